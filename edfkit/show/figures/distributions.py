"""Figures of EDFs and of random search: 1, 3, 6, 9, 10, 11 and the like of 16."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np

from edfkit.show import draw, words
from edfkit.show.figures.complexity import complexity_axis
from edfkit.show.figures.page import Page, about, add_edf, by_name, called, finish, page
from edfkit.show.figures.reading import AS_IN_THE_PAPER, Comparing, FigureSource, findings, in_columns, own, setting
from edfkit.show.labels import labelled
from edfkit.show.words import held
from edfkit.stats.edf import Floats
from edfkit.study.search import search_study
from edfkit.study.selection import Population, Selection

_FEW = 5  # models on a curve estimate
_OF_SEARCHES = (0.05, 0.95)
_CHARACTERS = 108  # of what is found, side by side in a figure
_LEADING = 0.14  # of its lines, inches


def estimates(reading: FigureSource, names: Sequence[str], by: Comparing) -> Page:
    """Draw a point, a curve and a distribution estimate side by side (figure 1)."""
    drawn = page(1, 3)
    drawn.notes.append(f"EDFs: {AS_IN_THE_PAPER}")
    (selection,) = by.selections(reading, names)
    metric = drawn.metric = selection.metric
    lo, hi = selection.range or (0.0, 0.0)
    points = drawn.name(0, "point estimate", "the best model of each")
    curves = drawn.name(1, "curve estimate", f"the best in each of {_FEW} buckets of params")
    for i, (member, look) in enumerate(by_name(selection)):
        params = reading.complexities(member, "params")
        best = int(member.errors.argmin())
        label = _label(reading, member)
        values = own(member, member.errors)
        points.plot([i], [values[best]], label=label, **draw.marked(look) | {"linestyle": "", "markersize": 6})
        said = words.valued(metric, float(member.errors[best]))
        points.annotate(said, (i, values[best]), (0, 6), textcoords="offset points", ha="center")
        drawn.add(0, population=member.name, params=params[best], error_percent=values[best])
        bucket = np.minimum(((params - lo) / (hi - lo) * _FEW).astype(int), _FEW - 1)
        order = np.lexsort((params, member.errors, bucket))
        first = order[np.unique(bucket[order], return_index=True)[1]]
        curves.plot(params[first], values[first], label=label, **draw.marked(look))
        drawn.add(1, population=member.name, params=params[first], error_percent=values[first])
    points.set_xlim(-0.6, len(names) - 0.4)
    points.set_xticks(range(len(names)), [called(member) for member in selection.populations])
    points.margins(y=0.5)
    points.set_ylabel(draw.error_label(reading.how.error, metric))
    points.grid(axis="x", visible=False)
    complexity_axis(curves, "params", 4)
    curves.set_ylabel(draw.error_label(reading.how.error, metric))
    _edfs(drawn, 2, reading, selection, by, "distribution estimate", "params ")
    finish(drawn)
    return drawn


def edfs(reading: FigureSource, names: Sequence[str], by: Comparing) -> Page:
    """Draw EDFs, a panel for each way of normalising (figures 3, 9, 11), with what is found by strata below."""
    drawn = page(1, len(by.given), one_scale=True)
    drawn.notes.append(f"EDFs: {AS_IN_THE_PAPER}; findings below: strata")
    most = 0
    for place, selection in enumerate(by.selections(reading, names)):
        _edfs(drawn, place, reading, selection, by, held(selection.given))
        axes = drawn.axes[place]
        axes.label_outer()
        comparison = reading.compared(names, selection.given)
        pairs = comparison.pairs
        lines = wrap(findings(labelled(comparison).pairs).replace(" %", "\u00a0%"), _CHARACTERS // len(by.given))
        axes.set_xlabel("\n".join([axes.get_xlabel(), *lines]))
        most = max(most, len(lines))
        for pair in pairs:
            drawn.add(place, given=selection.given, a=pair.a, b=pair.b, **in_columns(pair))
    drawn.figure.set_figheight(drawn.figure.get_figheight() + _LEADING * most)
    ends = [axes.get_xlim() for axes in drawn.axes]
    first, last = (min, max) if drawn.metric.goal == "min" else (max, min)
    for axes in drawn.axes:  # the same errors, so that panels can be compared
        axes.set_xlim(first(left for left, _ in ends), last(right for _, right in ends))
    finish(drawn)
    return drawn


def edfs_and_search(reading: FigureSource, names: Sequence[str], by: Comparing, most: int) -> Page:
    """Draw EDFs, and random search (figure 6)."""
    drawn = page(1, 2)
    drawn.notes.append(AS_IN_THE_PAPER)
    (selection,) = by.selections(reading, names)
    _edfs(drawn, 0, reading, selection, by, f"EDFs {held(selection.given)}")
    _search(drawn, 1, reading, selection, by, most)
    finish(drawn)
    return drawn


def search(reading: FigureSource, names: Sequence[str], by: Comparing, most: int) -> Page:
    """Draw the efficiency of random search, up to 2 ** `most` models, a panel a complexity (figure 10)."""
    drawn = page(1, len(by.given), one_scale=True)
    drawn.notes.append(AS_IN_THE_PAPER)
    for place, selection in enumerate(by.selections(reading, names)):
        _search(drawn, place, reading, selection, by, most)
        drawn.axes[place].label_outer()
    finish(drawn)
    return drawn


def _edfs(
    drawn: Page, place: int, reading: FigureSource, selection: Selection, by: Comparing, title: str, of: str = ""
) -> None:
    drawn.metric = selection.metric
    axes = drawn.name(place, title, of + setting(selection, by.bins))
    for member, look in by_name(selection):
        draw.step_edf(axes, member, look, _label(reading, member))
        add_edf(drawn, place, selection, member)
    draw.limit_edfs(axes, selection)
    axes.set_xlabel(draw.error_label(reading.how.error, selection.metric))
    axes.set_ylabel("share of models")


def _search(drawn: Page, place: int, reading: FigureSource, selection: Selection, by: Comparing, most: int) -> None:
    names = [member.name for member in selection.populations]
    metric = drawn.metric = selection.metric
    m = 2 ** np.arange(most + 1)
    lines: list[Floats] = []  # that must be seen whole
    medians = any(member.beyond for member in selection.populations)  # which then have no mean
    options: dict[str, Any] = {"given": selection.given, "bins": selection.bins, "range": selection.range}
    study = search_study(reading.counted, names, m=m.tolist(), **options, reading=reading.how)
    axes = drawn.name(place, f"random search {held(selection.given)}", setting(selection, by.bins))
    for curve, (member, look) in zip(study.curves, by_name(selection), strict=True):
        if len(names) == 2:  # more of them would hide each other
            ends = [curve.best.quantiles[q] for q in _OF_SEARCHES]
            lines += ends
            low, high = (np.clip(metric.turned(one), -words.SENSELESS, words.SENSELESS) for one in ends)
            axes.fill_between(m, low, high, color=look.light, alpha=0.15, linewidth=0)
        expected = np.full(m.size, np.nan) if member.beyond else metric.turned(curve.best.error)
        lines.append(curve.median if medians else curve.best.error)
        axes.plot(m, own(member, lines[-1]), label=_label(reading, member), **draw.marked(look))
        band = (curve.low, curve.high) if metric.goal == "min" else (curve.high, curve.low)
        drawn.add(
            place,
            population=member.name,
            **about(selection),
            models=member.summary.models,
            models_drawn=curve.best.m,
            expected_min_error_percent=expected,
            standard_error_points=curve.best.se + 0 * expected,
            spread_points=curve.best.spread + 0 * expected,
            **{
                f"error_of_{100 * q:g}_percent_of_searches_percent": own(member, e)
                for q, e in curve.best.quantiles.items()
            },
            band_low_percent=own(member, band[0]) + 0 * expected,
            band_high_percent=own(member, band[1]) + 0 * expected,
        )
    draw.set_error_limits(axes, lines, metric)
    axes.set_xscale("log", base=2)
    draw.ticks(axes.xaxis, 2)
    if len(names) == 2:
        axes.fill_between([], [], color="#000000", alpha=0.15, linewidth=0, label="5 % to 95 % of searches")
    axes.set_xlabel("models drawn, m")
    axes.set_ylabel(
        f"{'median' if medians else 'expected'} {words.best(metric)}\n{draw.error_label(reading.how.error, metric)}"
    )


def _label(reading: FigureSource, member: Population) -> str:
    return f"{called(member)} (n = {reading.source.models(member.name):,})"
