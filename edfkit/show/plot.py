"""The figure of every study, drawn without a display.

Convention: values are on axes in the metric's own sign and unit, the best ones on the left: errors in percent, their
differences in percentage points; shares and probabilities from 0 to 1.
A population has its design space's look (see `edfkit.show.look`) in all axes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from edfkit import EdfkitError
from edfkit.metric import BEYOND, ERROR, Metric
from edfkit.show import draw, words
from edfkit.show.draw import FORMATS, check_path, write_figure
from edfkit.show.labels import labelled
from edfkit.show.look import Look, looks
from edfkit.show.words import short
from edfkit.stats.edf import Floats
from edfkit.stats.epochs import AtEpochs
from edfkit.stats.noise import SeedNoise
from edfkit.study.catalogue import STUDIES, too_many_bands
from edfkit.study.compare import Comparison, Pair
from edfkit.study.complexity import ComplexityStudy
from edfkit.study.noise import NoiseStudy
from edfkit.study.point import PointStudy
from edfkit.study.samples import SampleStudy
from edfkit.study.search import SearchStudy
from edfkit.study.selection import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FORMATS",
    "check_path",
    "complexity_figure",
    "edf_figure",
    "figure",
    "noise_figure",
    "point_figure",
    "samples_figure",
    "search_figure",
    "write_figure",
]

_BARS = {"better": 0.98, "worse": 0.02}
"""The bars of where the EDF of A, or of B, is above: how high in the axes."""


@draw.styled
def edf_figure(comparison: Comparison, *, band: bool = False) -> "Figure":
    """Draw the EDFs of compared populations: share of models at least as good as a value; higher curves are better.

    Parameters
    ----------
    comparison : Comparison
        The populations, with their weights.
    band : bool
        Whether to draw the difference of the EDFs of each pair too, with its simultaneous band.

    Returns
    -------
    matplotlib.figure.Figure
        One line a population, of steps at its values to its EDF (share), from the best value, such as error 0, to the
        worst, such as 100 %; it ends below 1 where some runs count as worse than any value. With the band a
        panel for each pair follows: the EDF of A minus that of B in the strata of the pair (share, -1 to 1), its band,
        and bars, above for A and below for B, where a pair that is claimed to differ has the higher EDF. With settings
        the last panel is a forest plot: the probability that A is better in each (share, 0 to 1), with its interval.

    Raises
    ------
    EdfkitError
        If bands are asked for of more than `catalogue.MOST_WITH_BANDS` populations.
    """
    comparison = labelled(comparison)
    if band and (wrong := too_many_bands([member.name for member in comparison.drawn.populations])):
        raise EdfkitError(words.capital(wrong))
    steps = [partial(_draw_edfs, comparison)]
    if band:
        steps += [partial(_draw_difference, comparison, pair) for pair in comparison.pairs]
    if any(one.prob_a_better is not None for one in comparison.settings):
        steps.append(partial(_draw_forest, comparison))
    columns = len(steps) if len(steps) < 4 else 2 if len(steps) == 4 else 3
    rows = [min(columns, len(steps) - first) for first in range(0, len(steps), columns)]
    figure, panels = draw.panels(*rows)
    for step, axes in zip(steps, chain(*panels), strict=True):
        step(axes)
    draw.add_legends(figure, panels)
    return figure


@draw.styled
def point_figure(study: PointStudy) -> "Figure":
    """Draw the law of the difference of two searches' minima, and the EDFs that they draw from (NDS, figure 2).

    Parameters
    ----------
    study : PointStudy

    Returns
    -------
    matplotlib.figure.Figure
        Left, bars of the probability of the small search's minimum minus the large one's, in percentage points: those
        below 0, where the small one wins, those above, and a line for a tie; 0.05 % of the probability at either end is
        left out. Dashed lines are at plus and minus the gap that means something, if it is finite. Right, the EDFs.
    """
    study = labelled(study)
    metric = study.selection.metric
    figure, ((law, edfs),) = panels = draw.panels(2)
    wins, gap = study.wins, study.gap
    chosen = _looks(study.selection)
    draw.draw_law(law, study, chosen)
    names = [member.name for member in study.selection.populations]
    if gap.either < words.SENSELESS:
        both = f", both from {names[0]}" if len(names) > 1 else ""
        label = f"± {gap.either:.3g}{words.gap_unit(metric)} by chance: probability {gap.alpha:g}{both}"
        law.axvline(gap.either, color="#000000", linestyle="--", linewidth=1.0, label=label)
        law.axvline(-gap.either, color="#000000", linestyle="--", linewidth=1.0)
    title = (
        f"models of {names[0]}" if len(names) == 1 else f"{wins.small:,} of {names[0]}, {wins.large:,} of {names[1]}"
    )
    draw.decorate(law, title)
    for member, look in zip(study.selection.populations, chosen, strict=True):
        draw.step_edf(edfs, member, look)
    draw.edf_axes(edfs, study.selection, "what they draw from")
    draw.add_legends(*panels)
    return figure


@draw.styled
def search_figure(study: SearchStudy) -> "Figure":
    """Draw the expected and the median error of the best of m models against m, or their cost (NDS, figures 6, 10).

    Parameters
    ----------
    study : SearchStudy

    Returns
    -------
    matplotlib.figure.Figure
        One line a population with its simultaneous band, errors in percent: left the expectations, with the outermost
        quantiles of the searches as thin dotted lines, right the medians. Both show all lines whole; bands and
        quantiles may leave the axes.
    """
    study = labelled(study)
    metric = study.selection.metric
    figure, ((mean, median),) = panels = draw.panels(2)
    quantiles = sorted({q for curve in study.curves for q in curve.best.quantiles})
    outermost = sorted({quantiles[0], quantiles[-1]}) if quantiles else []
    for curve, member, look in zip(study.curves, study.selection.populations, _looks(study.selection), strict=True):
        x = curve.best.m * (1.0 if curve.cost_of_one is None else curve.cost_of_one)
        for q in outermost:
            mean.plot(x, _seen(curve.best.quantiles[q], metric), color=look.light, linestyle=":", linewidth=0.9)
        for axes, line, low, high in (
            (mean, curve.best.error, curve.low, curve.high),
            (median, curve.median, curve.median_low, curve.median_high),
        ):
            if axes is mean and member.beyond:
                continue
            if study.picked_by is None and (axes is median or metric.bounded):
                low, high = (_seen(edge, metric, clipped=True) for edge in (low, high))
                axes.fill_between(x, low, high, color=look.light, alpha=0.15, linewidth=0.6)
            axes.plot(x, _seen(line, metric), label=draw.models_label(member), **draw.marked(look))
    banded = [(mean, "mean"), (median, "median")] if metric.bounded else [(median, "median")]
    for axes, what in banded if study.picked_by is None else ():  # the mean of values without bounds has none
        label = f"{what}: {100 * study.confidence:g} % band, all m at once"
        axes.fill_between([], [], color="#000000", alpha=0.15, label=label)
    if outermost:
        shares = " and ".join(f"{100 * q:g} %" for q in outermost)
        mean.plot([], [], color="#000000", linestyle=":", linewidth=0.9, label=f"{shares} of the searches")
    lines = [curve.median for curve in study.curves]
    lines += [
        curve.best.error for curve, one in zip(study.curves, study.selection.populations, strict=True) if not one.beyond
    ]
    for axes, what in ((mean, "expected"), (median, "median")):
        draw.set_error_limits(axes, lines, metric)
        axes.set_xscale("log", base=2)
        if study.cost is None:
            axes.set_xlabel("models drawn, m")
            draw.ticks(axes.xaxis, 2)
        else:
            unit = "seconds" if study.cost == "seconds" else f"{study.cost} of its models"
            axes.set_xlabel(f"mean cost of a search ({unit})")
            draw.ticks(axes.xaxis, 10)
        of = f"{what} {words.best(metric)} {draw.error_label(study.selection.error, metric)}"
        if study.picked_by is not None:
            of = f"{what} {draw.error_label(study.selection.error, metric)}, picked by {study.picked_by.label}"
        axes.set_ylabel(f"{of}\n({words.held(study.selection.given)})")
        draw.decorate(axes, draw.title(study.selection))
    draw.add_legends(*panels)
    return figure


@draw.styled
def samples_figure(study: SampleStudy) -> "Figure":
    """Draw the EDFs of few and many models, and how far they are from all (NDS, figure 7).

    Parameters
    ----------
    study : SampleStudy

    Returns
    -------
    matplotlib.figure.Figure
        Left, the EDFs of the samples and of the population. Right, expected D against the number of models, both
        logarithmic, so that the D of 0 of all models is not seen; with the simulated mean and its standard deviation,
        if there is one.
    """
    study = labelled(study)
    figure, ((edfs, distances),) = panels = draw.panels(2)
    (member,) = study.selection.populations
    (look,) = _looks(study.selection)
    draw.draw_samples(edfs, study, look)
    draw.edf_axes(edfs, study.selection, member.name)
    draw.draw_distances(distances, study, look)
    draw.decorate(distances, "distance to the EDF of more models")
    draw.add_legends(*panels)
    return figure


@draw.styled
def complexity_figure(study: ComplexityStudy) -> "Figure":
    """Draw error against complexity, the complexities, and mean errors by bucket (NDS, figures 4, 5, 15).

    Parameters
    ----------
    study : ComplexityStudy

    Returns
    -------
    matplotlib.figure.Figure
        Left, a point a model (of pixels in any file, as there may be many); in the middle, models by bucket; right,
        mean and 2 standard deviations of the errors by bucket, populations side by side. Dotted lines are the ends of
        the range.
    """
    study = labelled(study)
    metric = study.metric
    figure, ((scatter, counts, means),) = panels = draw.panels(3)
    number = len(study.spaces)
    chosen = looks([space.name for space in study.spaces])
    for i, (space, look) in enumerate(zip(study.spaces, chosen, strict=True)):
        draw.draw_models(scatter, space.complexity, space.errors, look, metric)
        correlation = (
            ""
            if np.isnan(space.rank_correlation)
            else f", rank correlation {round(metric.turned(space.rank_correlation), 2) + 0.0:.2f}"
        )
        label = f"{space.name} (n = {space.models:,}{correlation})"
        draw.draw_counts(counts, study.histogram.counts[space.name], study.histogram.edges, look)
        counts.plot([], [], label=label, **draw.marked(look))
        draw.draw_buckets(means, space.buckets, look, i, number, metric)
    for axes, title in (
        (scatter, "every model"),
        (counts, f"models in {len(study.histogram.edges) - 1} buckets"),
        (means, f"mean and 2 sd of {_the_values(metric)} in {len(study.spaces[0].buckets.counts)} buckets"),
    ):
        for end in study.range:
            axes.axvline(end, color="#000000", linestyle=":", linewidth=0.9)
        axes.set_xlabel(f"{study.by} of a model")
        axes.set_ylabel("models" if axes is counts else draw.error_label(study.error, metric))
        axes.xaxis.set_major_formatter(draw.shortened)
        draw.decorate(axes, title)
    counts.yaxis.set_major_formatter(draw.shortened)
    draw.keep_possible(means, metric)
    lo, hi = map(short, study.range)
    counts.plot([], [], color="#000000", linestyle=":", linewidth=0.9, label=f"range {lo} to {hi}")
    draw.add_legends(*panels)
    return figure


@draw.styled
def noise_figure(study: NoiseStudy) -> "Figure":
    """Draw what is known of the training noise and the rates: a row for each kind (NDS, figures 12, 13).

    Parameters
    ----------
    study : NoiseStudy

    Returns
    -------
    matplotlib.figure.Figure
        As far as it is there: the rank correlation of the errors after some epochs with those after the last; for one
        network of many seeds, the errors that shares of its seeds stay below; and for each population of which the
        rates vary, the mean rank of the errors over them, with a cross in the best cell.

    Raises
    ------
    EdfkitError
        If there is none of these.
    """
    study = labelled(study)
    chosen = looks([space.name for space in study.spaces])
    spaces = list(zip(study.spaces, chosen, strict=True))
    epochs = [(s.name, look, s.epochs) for s, look in spaces if s.epochs and _known(s.epochs)]
    seeds = [(s.name, look, s.seeds) for s, look in spaces if s.seeds]
    rates = [(space, space.rates) for space in study.spaces if space.rates]
    rows = [1] * bool(epochs) + [1] * bool(seeds) + [len(rates)] * bool(rates)
    if not rows:
        names = ", ".join(space.name for space in study.spaces)
        raise EdfkitError(
            f"Nothing is known of {names} that a plot of noise could show: no errors after each epoch, not one network "
            "with many seeds, no rates that vary; name other populations, or say that each is one network."
        )
    figure, panels = draw.panels(*rows)
    todo = (axes for row in panels for axes in row)
    if epochs:
        _draw_epochs(next(todo), epochs, study.metric)
    if seeds:
        _draw_seeds(next(todo), seeds, study.metric)
    for space, rate in rates:
        draw.draw_rates(next(todo), space, rate, study.metric)
    draw.add_legends(figure, panels)
    return figure


Study = Comparison | PointStudy | SearchStudy | SampleStudy | ComplexityStudy | NoiseStudy


def figure(study: Study, **options: Any) -> "Figure":
    """Draw the figure of a study, whichever it is.

    Parameters
    ----------
    study : Comparison, PointStudy, SearchStudy, SampleStudy, ComplexityStudy or NoiseStudy
    **options
        Those of the function that draws it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    EdfkitError
        If there is no figure of such a result, and see `noise_figure`.
    """
    kind = f"{type(study).__module__}:{type(study).__qualname__}"
    drawn = {one.result: one.plot for one in STUDIES if one.plot}
    if kind not in drawn:
        names = ", ".join(result.partition(":")[2] for result in drawn)
        raise EdfkitError(f"There is no plot of a {type(study).__name__}; give one of {names}.")
    draw: Callable[..., Figure] = globals()[drawn[kind]]
    return draw(study, **options)


def _draw_edfs(comparison: Comparison, axes: "Axes") -> None:
    selection = comparison.drawn
    for member, look in zip(selection.populations, _looks(selection), strict=True):
        draw.step_edf(axes, member, look)
    own = len(selection.populations) > 2 and selection.given != "none" and selection.bins is None
    draw.edf_axes(axes, selection, "pairs have strata of their own" if own else "")


_TITLE = 58
"""Characters of a title that a panel has room for."""


def _draw_difference(comparison: Comparison, pair: Pair, axes: "Axes") -> None:
    regions = [one.estimates.difference for one in comparison.pairs if one.estimates is not None]
    low = min((min(float(one.lower.min()), -one.half_width) for one in regions), default=-1.0)
    high = max((max(float(one.upper.max()), one.half_width) for one in regions), default=1.0)
    margin = 0.08 * (high - low)  # for the bars
    draw.limit_edfs(axes, comparison.drawn)
    axes.set_ylim(low - margin, high + margin)  # of all pairs, so that their panels can be compared
    axes.axhline(0, color="#000000", linewidth=0.6)
    if pair.estimates is not None:
        draw.step_difference(axes, pair.estimates.difference, pair.metric)
    for (kind, height), name, look in zip(_BARS.items(), (pair.a, pair.b), looks([pair.a, pair.b]), strict=True):
        ranges = [(lo, min(hi, BEYOND)) for lo, hi, which in pair.ranges() if which == kind]
        above = pair.metric.turned(np.array(ranges)) if ranges else np.zeros(0)
        if above.size:
            bars: dict[str, Any] = {"color": look.light, "linewidth": 4, "transform": axes.get_xaxis_transform()}
            axes.hlines([height] * len(above), *above.T, **bars, label=f"{name} is shown to have the higher EDF")
    axes.set_xlabel(draw.error_label(comparison.selection.error, pair.metric))
    axes.set_ylabel(f"EDF of {pair.a}\nminus EDF of {pair.b}")
    draw.decorate(axes, "\n".join(wrap(f"{pair.a}, {pair.b}: {words.brief(pair)}", _TITLE)))


def _draw_forest(comparison: Comparison, axes: "Axes") -> None:
    (pair,) = comparison.pairs
    known = [one for one in comparison.settings if one.prob_a_better is not None]
    for height, one in enumerate(known):
        assert one.prob_a_better is not None
        assert one.prob_a_better_interval is not None
        colour = "#000000" if one.chosen else "#666666"
        axes.hlines(height, *one.prob_a_better_interval, color=colour, linewidth=2.2 if one.chosen else 1.2)
        axes.plot(one.prob_a_better, height, color=colour, marker="D" if one.chosen else "o", markersize=4)
    axes.axvline(0.5, color="#000000", linewidth=0.6)
    axes.set_yticks(range(len(known)), [words.marked(one, pair.metric) for one in known], fontsize="x-small")
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    interval = words.confidently(pair.confidence)
    axes.set_xlabel(f"probability that {pair.a} is better than {pair.b}\n({interval} of each)")
    draw.decorate(axes, "other settings: estimates, no claims")


def _known(epochs: AtEpochs) -> bool:
    return bool(np.isfinite(epochs.spearman).any())


def _the_values(metric: Metric) -> str:
    """Name the values in a sentence, such as the errors."""
    return "the errors" if metric.label == ERROR.label else metric.label


def _seen(values: Floats, metric: Metric, *, clipped: bool = False) -> Floats:
    """Turn oriented values back; those worse than any are not drawn, or if `clipped` at the end of the numbers."""
    own = np.asarray(metric.turned(values))
    if clipped:
        return own.clip(-words.SENSELESS, words.SENSELESS)
    return np.where(np.abs(own) < words.SENSELESS, own, np.nan)


def _draw_epochs(axes: "Axes", spaces: Sequence[tuple[str, Look, AtEpochs]], metric: Metric) -> None:
    for name, look, at in spaces:
        label = f"{name} (n = {at.errors.shape[1]:,})"
        axes.plot(at.epochs, at.spearman, label=label, **draw.marked(look))
        axes.plot(at.epochs, at.kendall, color=look.light, linestyle=":", linewidth=0.9)
    axes.plot([], [], color="#000000", linestyle="-", label="Spearman's rho")
    axes.plot([], [], color="#000000", linestyle=":", linewidth=0.9, label="Kendall's tau-b")
    axes.set_xscale("log")
    draw.ticks(axes.xaxis, 10)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    axes.set_xlabel("epochs trained")
    axes.set_ylabel(f"rank correlation with {_the_values(metric)}\nafter the last epoch (-1 to 1)")
    draw.decorate(axes, "order of the models after some epochs")


def _draw_seeds(axes: "Axes", spaces: Sequence[tuple[str, Look, SeedNoise]], metric: Metric) -> None:
    for name, look, seeds in spaces:
        shares = [0.0, *seeds.quantiles, 1.0]
        errors = [seeds.min, *seeds.quantiles.values(), seeds.max]
        label = f"{name} ({seeds.seeds:,} seeds, sd {seeds.sd:.2g}{words.gap_unit(metric)})"
        axes.plot(metric.turned(np.array(errors)), shares, label=label, **draw.marked(look))
    if metric.goal == "max":
        axes.invert_xaxis()
    axes.set_xlabel(draw.error_label("best", metric))
    axes.set_ylabel(f"share of seeds with {words.at_most(metric)} that {metric.label}")
    ends = "smallest error, quantiles, largest" if metric.label == ERROR.label else "best value, quantiles, worst"
    draw.decorate(axes, f"one network, many seeds: {ends}")


def _looks(selection: Selection) -> list[Look]:
    return looks([member.name for member in selection.populations])
