"""The figure of every study, drawn without a display.

Convention: errors are on axes in percent, their differences in percentage points, shares and probabilities from 0 to 1.
A population has one colour and one line style in all axes of a figure, by its place in the study.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from edfkit import EdfkitError
from edfkit.bands import Band
from edfkit.edf import Floats, edf
from edfkit.files import replacing
from edfkit.noise import AtEpochs, RateMap, SeedNoise
from edfkit.study.compare import Comparison
from edfkit.study.complexity import ComplexityStudy
from edfkit.study.noise import Noise, NoiseStudy
from edfkit.study.point import PointStudy
from edfkit.study.samples import SampleStudy
from edfkit.study.search import SearchStudy
from edfkit.study.selection import Population, Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")

# Okabe and Ito's colours, which the colour-blind can tell apart; line styles tell the curves apart without any colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")
_MARKERS = "osD^v<>"

# Text stays text in SVG and PDF; a fixed salt gives the same names, and so the same bytes, every time.
_RC: dict[Any, Any] = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "edfkit", "pdf.fonttype": 42}

_WIDTH, _HEIGHT, _LINE = 4.8, 3.2, 0.18  # of axes, and of a line of the legend below them, inches
_BARS = 60  # of a law, about
_UNSEEN = 5e-4  # probability of a law's tail that is not drawn, at either end
_CLOSEST = 1e-3  # points: errors a test image apart differ by more, equal ones by less, as they are rounded

P = ParamSpec("P")


def _styled(draw: Callable[P, "Figure"]) -> Callable[P, "Figure"]:
    """Draw in the module's style, whatever the style of whoever calls."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        import matplotlib as mpl

        with mpl.rc_context(_RC):
            return draw(*args, **kwargs)

    return styled


@_styled
def edf_figure(comparison: Comparison, *, band: bool = False) -> "Figure":
    """Draw the EDFs of compared populations: share of models against error, lower errors and higher curves are better.

    Parameters
    ----------
    comparison : Comparison
        The populations, with their weights.
    band : bool
        Whether to draw the simultaneous band of each.

    Returns
    -------
    matplotlib.figure.Figure
        One line a population, of steps at its errors (percent) to its EDF (share), from error 0 to 100.
    """
    figure, ((axes,),) = panels = _panels(1)
    selection = comparison.selection
    for i, member in enumerate(selection.populations):
        if band:
            _fill_band(axes, i, comparison.bands[i])
        _step_edf(axes, i, member)
    confidence = f"bands {100 * comparison.bands[0].confidence:g} %, everywhere at once" if band else ""
    _edf_axes(axes, selection, confidence)
    _add_legends(*panels)
    return figure


@_styled
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
    figure, ((law, edfs),) = panels = _panels(2)
    wins, gap = study.wins, study.gap
    edges, values, probabilities = _bars(study.values, study.probabilities)
    for i, side, size, won in (
        (0, values < -_CLOSEST, wins.small, wins.small_wins),
        (1, values > _CLOSEST, wins.large, wins.large_wins),
    ):
        heights = np.histogram(values[side], edges, weights=probabilities[side])[0]
        label = f"best of {size:,} is the better one: probability {won:.3f}"
        law.stairs(heights, edges, fill=True, color=_COLOURS[i], alpha=0.75, linewidth=0, label=label)
    tied = np.abs(values) <= _CLOSEST
    if tied.any():
        height = float(probabilities[tied].sum())
        law.vlines(0, 0, height, color="#000000", linewidth=1.6, label=f"tie: probability {wins.tie:.3f}")
    law.axvline(0, color="#000000", linewidth=0.6)
    names = [member.name for member in study.selection.populations]
    if np.isfinite(gap.either):
        both = f", both from {names[0]}" if len(names) > 1 else ""
        label = f"± {gap.either:.3g} points by chance: probability {gap.alpha:g}{both}"
        law.axvline(gap.either, color="#000000", linestyle="--", linewidth=1.0, label=label)
        law.axvline(-gap.either, color="#000000", linestyle="--", linewidth=1.0)
    law.set_ylim(bottom=0)
    law.set_xlabel(f"best of {wins.small:,} minus best of {wins.large:,} (percentage points)")
    law.set_ylabel(f"probability\n(bars {np.diff(edges)[0]:.2g} points wide)")
    title = (
        f"models of {names[0]}" if len(names) == 1 else f"{wins.small:,} of {names[0]}, {wins.large:,} of {names[1]}"
    )
    _decorate(law, title)
    for i, member in enumerate(study.selection.populations):
        _step_edf(edfs, i, member)
    _edf_axes(edfs, study.selection, "what they draw from")
    _add_legends(*panels)
    return figure


@_styled
def search_figure(study: SearchStudy) -> "Figure":
    """Draw the error to expect of the best of m models against m, or against what they cost (NDS, figures 6, 10).

    Parameters
    ----------
    study : SearchStudy

    Returns
    -------
    matplotlib.figure.Figure
        One line a population with its simultaneous band, errors in percent; thin dotted lines are the outermost
        quantiles of the searches. The axes show the lines whole; bands and quantiles may leave them.
    """
    figure, ((axes,),) = panels = _panels(1)
    quantiles = sorted({q for curve in study.curves for q in curve.best.quantiles})
    outermost = sorted({quantiles[0], quantiles[-1]}) if quantiles else []
    for i, (curve, member) in enumerate(zip(study.curves, study.selection.populations, strict=True)):
        x = curve.best.m * (1.0 if curve.cost_of_one is None else curve.cost_of_one)
        look = _look(i)
        axes.fill_between(x, curve.low, curve.high, color=look["color"], alpha=0.15, linewidth=0.6)
        for q in outermost:
            axes.plot(x, curve.best.quantiles[q], color=look["color"], linestyle=":", linewidth=0.9)
        axes.plot(x, curve.best.error, marker=_MARKERS[i % 7], markersize=3.5, label=_models(member), **look)
    axes.fill_between(
        [], [], color="#000000", alpha=0.15, label=f"mean: {100 * study.confidence:g} % band, all m at once"
    )
    if outermost:
        shares = " and ".join(f"{100 * q:g} %" for q in outermost)
        axes.plot([], [], color="#000000", linestyle=":", linewidth=0.9, label=f"{shares} of the searches")
    errors = np.concatenate([curve.best.error for curve in study.curves])
    lowest, highest = float(errors.min()), float(errors.max())
    if 0 < 5 * lowest < highest:  # else the best models' errors, which matter, would look alike
        axes.set_yscale("log")
        axes.set_ylim(lowest / 1.5, highest * 1.2)
        _ticks(axes.yaxis, 10)
    else:
        margin = 0.2 * (highest - lowest) or 1.0
        axes.set_ylim(max(0.0, lowest - margin), highest + margin)
    axes.set_xscale("log", base=2)
    if study.cost is None:
        axes.set_xlabel("models drawn, m")
        _ticks(axes.xaxis, 2)
    else:
        unit = "seconds" if study.cost == "seconds" else f"{study.cost} of its models"
        axes.set_xlabel(f"mean cost of a search ({unit})")
        _ticks(axes.xaxis, 10)
    axes.set_ylabel(f"expected smallest {_error(study.selection.error)}\n({_weighting(study.selection)})")
    _decorate(axes, _title(study.selection))
    _add_legends(*panels)
    return figure


@_styled
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
    figure, ((edfs, distances),) = panels = _panels(2)
    (member,) = study.selection.populations
    for i, (size, errors) in enumerate(study.errors.items()):
        label = f"{size:,} models (min {study.samples[size].min:.1f} %)"
        _step(edfs, *edf(errors), label=label, **_look(i))
    label = f"all {member.summary.models:,} models (min {member.summary.min:.1f} %)"
    _step(edfs, *edf(member.errors, member.weights), label=label, **(_look(0) | {"color": "#000000"}))
    _edf_axes(edfs, study.selection, member.name)

    for i, (d, to) in enumerate(
        (
            (study.to_truth, "to what they are drawn from"),
            (study.to_population, f"to these {len(member.errors):,} models"),
        )
    ):
        seen = d > 0
        distances.plot(study.models[seen], d[seen], marker=_MARKERS[i], markersize=3.5, label=to, **_look(i))
    if (simulated := study.simulated) is not None:
        mean = np.array(simulated.mean)
        seen = mean > 0
        distances.errorbar(
            np.array(simulated.models)[seen],
            mean[seen],
            np.array(simulated.sd)[seen],
            fmt="x",
            color=_COLOURS[2],
            markersize=5,
            capsize=2,
            linewidth=1.0,
            label=f"the latter, simulated: mean ± sd of {simulated.trials:,} trials",
        )
    distances.set_xscale("log")
    distances.set_yscale("log")
    _ticks(distances.xaxis, 10)
    _ticks(distances.yaxis, 10)
    distances.set_xlabel("models drawn, n")
    distances.set_ylabel("expected distance of EDFs, D (0 to 1)")
    _decorate(distances, "distance to the EDF of more models")
    _add_legends(*panels)
    return figure


@_styled
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
    figure, ((scatter, counts, means),) = panels = _panels(3)
    number = len(study.spaces)
    for i, space in enumerate(study.spaces):
        colour, marker = _COLOURS[i % 7], _MARKERS[i % 7]
        scatter.scatter(
            space.complexity,
            space.errors,
            s=float(np.clip(4000 / space.models, 2, 12)),
            alpha=float(np.clip(400 / space.models, 0.15, 0.7)),
            color=colour,
            marker=marker,
            linewidth=0,
            rasterized=True,
        )
        correlation = (
            ""
            if np.isnan(space.rank_correlation)
            else f", rank correlation {round(space.rank_correlation, 2) + 0.0:.2f}"
        )
        label = f"{space.name} (n = {space.models:,}{correlation})"
        counts.stairs(study.histogram.counts[space.name], study.histogram.edges, **_look(i))
        counts.plot([], [], marker=marker, markersize=3.5, label=label, **_look(i))
        edges = space.buckets.edges
        width = edges[1] - edges[0]
        means.errorbar(
            (edges[:-1] + edges[1:]) / 2 + (i - (number - 1) / 2) * 0.6 * width / number,
            space.buckets.mean,
            2 * space.buckets.sd,
            fmt=marker,
            color=colour,
            markersize=3.5,
            linewidth=1.2,
        )
    for axes, title in (
        (scatter, "every model"),
        (counts, f"models in {len(study.histogram.edges) - 1} buckets"),
        (means, f"mean and 2 sd of the errors in {len(study.spaces[0].buckets.counts)} buckets"),
    ):
        for end in study.range:
            axes.axvline(end, color="#000000", linestyle=":", linewidth=0.9)
        axes.set_xlabel(f"{study.by} of a model")
        axes.set_ylabel("models" if axes is counts else _error(study.error))
        axes.xaxis.set_major_formatter(_shortened)
        _decorate(axes, title)
    counts.yaxis.set_major_formatter(_shortened)
    bottom, top = means.get_ylim()
    means.set_ylim(max(bottom, -2.0), min(top, 102.0))  # 2 sd may reach where no error can be
    lo, hi = map(_short, study.range)
    counts.plot([], [], color="#000000", linestyle=":", linewidth=0.9, label=f"range {lo} to {hi}")
    _add_legends(*panels)
    return figure


@_styled
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
    epochs = [(i, s.name, s.epochs) for i, s in enumerate(study.spaces) if s.epochs and _known(s.epochs)]
    seeds = [(i, s.name, s.seeds) for i, s in enumerate(study.spaces) if s.seeds]
    rates = [(space, space.rates) for space in study.spaces if space.rates]
    rows = [1] * bool(epochs) + [1] * bool(seeds) + [len(rates)] * bool(rates)
    if not rows:
        names = ", ".join(space.name for space in study.spaces)
        raise EdfkitError(
            f"Nothing is known of {names} that a plot of noise could show: no errors after each epoch, not one network "
            "with many seeds, no rates that vary; name other populations, or say that each is one network."
        )
    figure, panels = _panels(*rows)
    todo = (axes for row in panels for axes in row)
    if epochs:
        _draw_epochs(next(todo), epochs)
    if seeds:
        _draw_seeds(next(todo), seeds)
    for space, rate in rates:
        _draw_rates(next(todo), space, rate)
    _add_legends(figure, panels)
    return figure


Study = Comparison | PointStudy | SearchStudy | SampleStudy | ComplexityStudy | NoiseStudy

_FIGURES: dict[type, Callable[..., "Figure"]] = {
    Comparison: edf_figure,
    PointStudy: point_figure,
    SearchStudy: search_figure,
    SampleStudy: samples_figure,
    ComplexityStudy: complexity_figure,
    NoiseStudy: noise_figure,
}


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
    draw = _FIGURES.get(type(study))
    if draw is None:
        names = ", ".join(kind.__name__ for kind in _FIGURES)
        raise EdfkitError(f"There is no plot of a {type(study).__name__}; give one of {names}.")
    return draw(study, **options)


def check_path(path: Path) -> str:
    """Refuse a name that no plot can have, before anything is computed.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        The ending, in lower case: one of `FORMATS`.

    Raises
    ------
    EdfkitError
        If the ending is another one.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise EdfkitError(f"A plot cannot be written as {str(path)!r}; give a name that ends in {', '.join(FORMATS)}.")
    return kind


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a figure into a file, whole or not at all; the same study gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        A PNG, SVG or PDF file, by its ending.

    Raises
    ------
    EdfkitError
        If the ending is another one, or the file cannot be written.
    """
    kind = check_path(path)
    import matplotlib as mpl

    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(kind)
    try:
        with mpl.rc_context(_RC), replacing(path) as temporary:
            figure.savefig(temporary, format=kind[1:], dpi=200, metadata=metadata)
    except OSError as error:
        raise EdfkitError(
            f"The plot {path} cannot be written ({error.strerror or error}); give another place."
        ) from error


def _panels(*rows: int) -> tuple["Figure", list[list["Axes"]]]:
    """Make a figure with so many axes in each row, each in a part of its own, so that it can have its own legend."""
    from matplotlib.figure import Figure  # alone, without pyplot, it needs no display and keeps no state

    figure = Figure(figsize=(_WIDTH * max(rows), _HEIGHT * len(rows)), layout="constrained")
    if rows == (1,):
        return figure, [[figure.subplots()]]
    parts = figure.subfigures(len(rows), max(rows), squeeze=False)
    return figure, [[part.subplots() for part in row[:number]] for row, number in zip(parts, rows, strict=True)]


def _add_legends(figure: "Figure", panels: Sequence[Sequence["Axes"]]) -> None:
    """Put a legend below each of the axes, where no curve can pass under it, and make room for them."""
    from matplotlib.lines import Line2D

    blank = Line2D([], [], linestyle="")
    lines = 0
    for row in panels:
        entries = [axes.get_legend_handles_labels() for axes in row]
        most = max(len(labels) for _, labels in entries)
        for axes, (handles, labels) in zip(row, entries, strict=True):
            missing = most - len(labels)  # as many lines, so that axes side by side end at one height
            axes.figure.legend(
                handles=[*handles, *[blank] * missing],
                labels=[*labels, *[" "] * missing],
                loc="outside lower center",
                frameon=False,
            )
        lines += most
    figure.set_figheight(figure.get_figheight() + _LINE * lines)


def _decorate(axes: "Axes", title: str) -> None:
    axes.set_title(title, loc="left", fontsize="medium")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _look(i: int) -> dict[str, Any]:
    return {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _STYLES[i % len(_STYLES)], "linewidth": 1.6}


def _step(axes: "Axes", errors: Floats, heights: Floats, **look: Any) -> None:
    x, y = np.concatenate([[0.0], errors, [100.0]]), np.concatenate([[0.0], heights, [1.0]])
    axes.step(x, y, where="post", **look)


def _step_edf(axes: "Axes", i: int, member: Population) -> None:
    label = f"{member.name} (n = {member.summary.models:,}, min {member.summary.min:.1f} %)"
    _step(axes, *edf(member.errors, member.shares), label=label, **_look(i))


def _fill_band(axes: "Axes", i: int, band: Band) -> None:
    x = np.concatenate([[0.0], band.values, [100.0]])
    lower = np.concatenate([[0.0], band.lower, band.lower[-1:]])
    upper = np.concatenate([[band.upper_before], band.upper, band.upper[-1:]])
    axes.fill_between(x, lower, upper, step="post", color=_look(i)["color"], alpha=0.18, linewidth=0)


def _edf_axes(axes: "Axes", selection: Selection, also: str = "") -> None:
    axes.set_xlim(*_ends(selection))
    axes.set_ylim(0, 1.02)  # a curve that has reached 1 is still seen whole
    axes.set_xlabel(_error(selection.error))
    axes.set_ylabel(f"cumulative share of models\n({_weighting(selection)})")
    _decorate(axes, _title(selection, also))


def _ends(selection: Selection) -> tuple[float, float]:
    # From the smallest error to where the slowest EDF is at 95 %: beyond lie the few that diverged or hardly learned.
    left = min(member.summary.min for member in selection.populations)
    right = max(member.summary.quantiles[0.95] for member in selection.populations)
    margin = 0.05 * (right - left) or 1.0
    return max(0.0, left - margin), right + margin


def _bars(values: Floats, probabilities: Floats) -> tuple[Floats, Floats, Floats]:
    """Choose bars for a law: their edges, and the values to draw with their probabilities.

    Errors are multiples of one test image. Bars that are all as many of those wide hold as many values each, and edges
    half a step beside 0 keep a tie apart.
    """
    levels = np.cumsum(probabilities)
    first, last = np.searchsorted(levels, [_UNSEEN, levels[-1] - _UNSEEN])
    seen = slice(int(first), int(last) + 1)
    values, probabilities = values[seen], probabilities[seen]
    gaps = np.diff(values)
    gaps = gaps[gaps > _CLOSEST]
    step = float(gaps.min()) if gaps.size else 0.1
    lo, hi = min(0.0, float(values[0])), max(0.0, float(values[-1]))
    width = step * max(1, round((hi - lo) / _BARS / step))
    below, above = (int(np.ceil(max(0.0, reach - step / 2) / width + 1e-6)) for reach in (-lo, hi))
    edges = np.concatenate([-step / 2 - width * np.arange(below, -1, -1), step / 2 + width * np.arange(above + 1)])
    return edges, values, probabilities


def _known(epochs: AtEpochs) -> bool:
    return bool(np.isfinite(epochs.spearman).any())


def _draw_epochs(axes: "Axes", spaces: Sequence[tuple[int, str, AtEpochs]]) -> None:
    for i, name, at in spaces:
        label = f"{name} (n = {at.errors.shape[1]:,})"
        axes.plot(at.epochs, at.spearman, marker=_MARKERS[i % 7], markersize=3.5, label=label, **_look(i))
        axes.plot(at.epochs, at.kendall, color=_look(i)["color"], linestyle=":", linewidth=0.9)
    axes.plot([], [], color="#000000", linestyle="-", label="Spearman's rho")
    axes.plot([], [], color="#000000", linestyle=":", linewidth=0.9, label="Kendall's tau-b")
    axes.set_xscale("log")
    _ticks(axes.xaxis, 10)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    axes.set_xlabel("epochs trained")
    axes.set_ylabel("rank correlation with the errors\nafter the last epoch (-1 to 1)")
    _decorate(axes, "order of the models after some epochs")


def _draw_seeds(axes: "Axes", spaces: Sequence[tuple[int, str, SeedNoise]]) -> None:
    for i, name, seeds in spaces:
        shares = [0.0, *seeds.quantiles, 1.0]
        errors = [seeds.min, *seeds.quantiles.values(), seeds.max]
        label = f"{name} ({seeds.seeds:,} seeds, sd {seeds.sd:.2g} points)"
        axes.plot(errors, shares, marker=_MARKERS[i % 7], markersize=3.5, label=label, **_look(i))
    axes.set_xlabel(_error("best"))
    axes.set_ylabel("share of seeds with at most that error")
    _decorate(axes, "one network, many seeds: smallest error, quantiles, largest")


def _draw_rates(axes: "Axes", space: Noise, rates: RateMap) -> None:
    mesh = axes.pcolormesh(rates.lr_edges, rates.wd_edges, rates.mean_rank.T, vmin=0, vmax=1, cmap="viridis")
    if rates.best is not None:
        centres = [np.sqrt(edges[:-1] * edges[1:]) for edges in (rates.lr_edges, rates.wd_edges)]
        x, y = (float(centre[i]) for centre, i in zip(centres, rates.best, strict=True))
        label = f"best cell with enough models: rate {x:.2g}, decay {y:.2g}"
        axes.plot([x], [y], "x", color="#D55E00", markersize=8, markeredgewidth=2, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _ticks(axes.xaxis, 10, "{:g}".format)
    _ticks(axes.yaxis, 10, "{:g}".format)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("weight decay")
    if space.default:
        axes.plot([], [], " ", label=f"near the default rates: mean rank {space.default.mean_rank:.2f}")
    _decorate(axes, f"{space.name} (n = {space.models:,})")
    axes.grid(False)
    bar = axes.figure.colorbar(mesh, ax=axes)
    bar.set_label("mean rank of the error (0 best, 1 worst)")


def _ticks(axis: "Axis", base: int, text: Callable[[float], str] | None = None) -> None:
    """Put ticks on a logarithmic axis at round numbers, however few powers of the base it spans."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    lo, hi = axis.get_view_interval()
    axis.set_minor_locator(NullLocator())
    if base == 2 and hi > 4 * lo:
        axis.set_major_locator(LogLocator(base=2))
    elif hi > 5 * lo:
        decades = np.log10(hi / lo)
        subs = (1.0,) if decades > 3 else (1.0, 3.0) if decades > 2 else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=15))
    else:
        axis.set_major_locator(MaxNLocator(6))
    shown = text or (_number if base == 2 else _short)
    axis.set_major_formatter(lambda value, _: shown(value))


def _error(kind: str) -> str:
    epoch = {"best": "", "final": " after the last epoch"}.get(kind, f" after epoch {kind}")
    return f"test error (%){epoch}"


def _models(member: Population) -> str:
    return f"{member.name} (n = {member.summary.models:,})"


def _weighting(selection: Selection) -> str:
    return "not normalised" if selection.given == "none" else f"{selection.given} normalised"


def _title(selection: Selection, also: str = "") -> str:
    parts = []
    if selection.range is not None:
        lo, hi = map(_short, selection.range)
        parts = [f"{selection.given} {lo} to {hi}, {selection.bins} bin" + "s" * (selection.bins != 1)]
    parts += {"drop": ["without diverged runs"], "censor": ["diverged runs count as 100 %"]}.get(selection.diverged, [])
    return "; ".join([*parts, *([also] if also else [])])


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1 <= value < 100_000 and value == round(value) else _short(value)


def _shortened(value: float, _: float) -> str:
    return _short(value)


def _short(count: float) -> str:
    """Write a number with three digits, and a letter for thousands and more."""
    count = float(f"{count:.3g}")  # before, so that 999,999 is 1 M
    units = ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k"))
    scale, letter = next((unit for unit in units if abs(count) >= unit[0]), (1, ""))
    return f"{count / scale:,.10g}{letter}"
