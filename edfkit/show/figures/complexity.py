"""Figures of complexity: every model (4), histograms (5, 8), and the error by bucket (15)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edfkit.show import draw
from edfkit.show.figures.page import Page, by_name, called, finish, page
from edfkit.show.figures.reading import FigureSource, own
from edfkit.show.words import SENSELESS, short
from edfkit.stats.bins import common_range
from edfkit.stats.buckets import bucket_means, histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KINDS = ("params", "flops")
_SHOWN = 6000  # models in a scatter plot, of all populations together
_LOWEST = (0.02e6, 0.008e9)


def models(reading: FigureSource, names: Sequence[str]) -> Page:
    """Draw error against complexity, a point a model (figure 4)."""
    drawn = page(1, 2, 2.4)
    selection = reading.every(names)
    metric = drawn.metric = selection.metric
    rng, most = np.random.default_rng(reading.seed), _SHOWN // len(names)
    chosen = [
        (member, look, np.sort(rng.permutation(len(member.errors))[:most])) for member, look in by_name(selection)
    ]
    total = sum(len(rows) for _, _, rows in chosen)
    if total < _SHOWN:
        drawn.notes.append(f"{total:,} models rather than {_SHOWN:,}, as there are no more")
    for place, by in enumerate(_KINDS):
        axes = drawn.name(place, f"{metric.label} against {by}", f"{total:,} models")
        for member, look, rows in chosen:
            counts = reading.complexities(member, by)[rows]
            draw.draw_models(axes, counts, member.errors[rows], look, metric)
            axes.plot([], [], label=f"{called(member)} ({len(rows):,} models)", **draw.marked(look) | {"linestyle": ""})
            known = {"population": member.name, "seed": reading.seed, "row": member.rows[rows], "complexity": by}
            drawn.add(place, **known, complexity_count=counts, error_percent=own(member, member.errors[rows]))
        complexity_axis(axes, by)
        axes.set_ylabel(draw.error_label(reading.how.error, metric))
    finish(drawn)
    return drawn


def histograms(reading: FigureSource, names: Sequence[str], buckets: int = 36) -> Page:
    """Draw histograms of the complexities, from 0 to the paper's bound, or to the largest (figures 5, 8)."""
    drawn = page(1, 2)
    members = by_name(reading.every(names))
    for place, by in enumerate(_KINDS):
        counts = {member.name: reading.complexities(member, by) for member, _ in members}
        largest = max(float(values.max()) for values in counts.values())
        end = min(largest, reading.bound(names, by) or largest)
        found = histogram(counts, 0.0, end, buckets)
        axes = drawn.name(place, f"models by {by}", f"{buckets} bins, 0 to {short(end)}")
        for member, look in members:
            label = f"{called(member)} (n = {member.summary.models:,})"
            draw.draw_counts(axes, found.counts[member.name], found.edges, look, label=label)
            edges = {"low_count": found.edges[:-1], "high_count": found.edges[1:]}
            known = {"population": member.name, "complexity": by, "models_outside": found.outside[member.name]}
            drawn.add(place, **known, **edges, models=found.counts[member.name])
        beyond = {name: outside for name, outside in found.outside.items() if outside}
        if beyond:
            drawn.settings[-1] += "; beyond: " + ", ".join(f"{n:,} {name}" for name, n in beyond.items())
        complexity_axis(axes, by)
        axes.set_xlim(0, end)
        axes.yaxis.set_major_formatter(draw.shortened)
        axes.set_ylabel("models in the bin")
    finish(drawn)
    return drawn


def by_bucket(reading: FigureSource, names: Sequence[str], buckets: int = 20) -> Page:
    """Draw mean and 2 standard deviations of the error in buckets of complexity (figure 15)."""
    drawn = page(1, 2)
    selection = reading.every(names)
    metric = drawn.metric = selection.metric
    members = by_name(selection)
    for place, (by, lowest) in enumerate(zip(_KINDS, _LOWEST, strict=True)):
        counts = {member.name: reading.complexities(member, by) for member, _ in members}
        lo, hi = common_range(*counts.values(), names=list(counts))
        bound = reading.bound(names, by)
        if bound is not None and lowest < bound:
            lo, hi = lowest, bound
        span = f"{short(lo)} to {short(hi)}"
        axes = drawn.name(place, f"{metric.label} by {by}", f"mean and 2 sd in {buckets} buckets, {span}")
        for i, (member, look) in enumerate(members):
            found = bucket_means(member.errors, counts[member.name], lo, hi, buckets)
            label = f"{called(member)} (n = {member.summary.models:,})"
            draw.draw_buckets(axes, found, look, i, len(members), metric, label=label)
            edges = {"low_count": found.edges[:-1], "high_count": found.edges[1:]}
            known = {"population": member.name, "complexity": by, "models_outside": found.outside}
            mean, sd = own(member, found.mean), np.where(np.abs(found.mean) < SENSELESS, found.sd, np.nan)
            drawn.add(place, **known, **edges, models=found.counts, mean_error_percent=mean, sd_points=sd)
        draw.keep_possible(axes, metric)
        complexity_axis(axes, by)
        axes.set_ylabel(draw.error_label(reading.how.error, metric))
    finish(drawn)
    return drawn


def complexity_axis(axes: "Axes", by: str, most: int = 6) -> None:
    """Label an axis of raw counts, with few and short numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most))
    axes.xaxis.set_major_formatter(draw.shortened)
    axes.set_xlabel(by)
