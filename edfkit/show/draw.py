"""What figures are drawn with: axes, curves, ticks and labels, in one style, and files of the same bytes every time.

Convention: values are on axes in the metric's own sign and unit, the best ones on the left: errors in percent, their
differences in percentage points; shares and probabilities from 0 to 1. Arguments are oriented, as in all results.
Every population has the look that `edfkit.show.look` gives it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.files import replacing
from edfkit.metric import BEYOND, ERROR, Metric
from edfkit.show import words
from edfkit.show.look import Look
from edfkit.show.words import short
from edfkit.stats.bands import DifferenceBand
from edfkit.stats.buckets import BucketMeans
from edfkit.stats.edf import Floats, edf
from edfkit.stats.rates import RateMap
from edfkit.study.noise import Noise
from edfkit.study.point import PointStudy
from edfkit.study.samples import SampleStudy
from edfkit.study.selection import Population, Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")

# Text stays text in SVG and PDF; a fixed salt gives the same names, and so the same bytes, every time.
RC: dict[Any, Any] = {
    "font.size": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "edfkit",
    "pdf.fonttype": 42,
}

_WIDTH, _HEIGHT, _LINE = 4.8, 3.2, 0.18  # of axes, and of a line of the legend below them, inches
MARGIN = 0.05  # of the range of values, beside it
_BARS = 60  # of a law, about
_STYLES = ("-", "--", "-.", ":")
_UNSEEN = 5e-4  # probability of a law's tail that is not drawn, at either end
_CLOSEST = 1e-3  # points: errors a test image apart differ by more, equal ones by less, as they are rounded

P = ParamSpec("P")


def styled(draw: Callable[P, "Figure"]) -> Callable[P, "Figure"]:
    """Draw in the module's style, whatever the style of whoever calls."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        import matplotlib as mpl

        with mpl.rc_context(RC):
            return draw(*args, **kwargs)

    return styled


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
        with mpl.rc_context(RC), replacing(path) as temporary:
            figure.savefig(temporary, format=kind[1:], dpi=200, metadata=metadata)
    except OSError as error:
        raise EdfkitError(
            f"The plot {path} cannot be written ({error.strerror or error}); give another place."
        ) from error


def panels(*rows: int) -> tuple["Figure", list[list["Axes"]]]:
    """Make a figure with so many axes in each row, each in a part of its own, so that it can have its own legend."""
    from matplotlib.figure import Figure  # alone, without pyplot, it needs no display and keeps no state

    figure = Figure(figsize=(_WIDTH * max(rows), _HEIGHT * len(rows)), layout="constrained")
    if rows == (1,):
        return figure, [[figure.subplots()]]
    parts = figure.subfigures(len(rows), max(rows), squeeze=False)
    return figure, [[part.subplots() for part in row[:number]] for row, number in zip(parts, rows, strict=True)]


def add_legends(figure: "Figure", panels: Sequence[Sequence["Axes"]]) -> None:
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


def decorate(axes: "Axes", title: str) -> None:
    """Give axes their title, a faint grid, and no frame."""
    axes.set_title(title, loc="left", fontsize="medium")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def line(look: Look) -> dict[str, Any]:
    """Give the look of a line, as matplotlib's arguments."""
    return {"color": look.light, "linestyle": (0, look.dash) if look.dash else "-"}


def marked(look: Look) -> dict[str, Any]:
    """Give the look of a line with markers, as matplotlib's arguments."""
    return line(look) | {"marker": look.marker}


def step(axes: "Axes", errors: Floats, heights: Floats, metric: Metric = ERROR, **look: Any) -> None:
    """Draw an EDF, from the best value that can be to the worst; it ends below 1 where some are worse than any."""
    known = errors < BEYOND
    x, y = ends_added(errors[known], metric), np.concatenate([[0.0], heights[known], heights[known][-1:]])
    if known.all():
        y[-1] = 1.0
    axes.step(metric.turned(x), y, where="post", **look)


def ends_added(errors: Floats, metric: Metric) -> Floats:
    """Put the ends of what values can be around them; where there is none, one that no axis shows."""
    far = 10 * (1.0 + float(np.abs(errors).max(initial=0.0)))
    least, most = (end if np.isfinite(end) else away for end, away in ((metric.least, -far), (metric.most, far)))
    return np.concatenate([[least], errors, [most]])


def step_edf(axes: "Axes", member: Population, look: Look, label: str | None = None) -> None:
    """Draw the EDF of a population, labelled with its size and best value if with nothing else."""
    text = f"{member.name} (n = {member.summary.models:,}, {best_of(member)})" if label is None else label
    step(axes, *edf(member.errors, member.shares), member.metric, label=text, **line(look))


def best_of(member: Population) -> str:
    """Write the best value of a population."""
    return best_value(member.summary.min, member.metric)


def best_value(oriented: float, metric: Metric) -> str:
    """Write a best value, such as min 1.5 %."""
    name = words.summary_headings(metric)[2]
    digits = max(0, metric.digits - 1)
    return f"{name} {words.value(metric, oriented, decimals=digits)}{words.unit(metric)}"


def step_difference(axes: "Axes", band: DifferenceBand, metric: Metric = ERROR) -> None:
    """Draw the difference of two EDFs, from the best value that can be to the worst, and its band."""
    known = band.values < BEYOND
    x = metric.turned(ends_added(band.values[known], metric))
    lower, upper, difference = (
        np.concatenate([[first], heights[known], heights[known][-1:]])
        for first, heights in ((-band.half_width, band.lower), (band.half_width, band.upper), (0.0, band.difference))
    )
    label = f"{100 * band.confidence:g} % band, at all {'errors' if metric.label == ERROR.label else 'values'} at once"
    axes.fill_between(x, lower, upper, step="post", color="#000000", alpha=0.15, linewidth=0, label=label)
    axes.step(x, difference, where="post", color="#000000", label="difference")


def edf_axes(axes: "Axes", selection: Selection, also: str = "") -> None:
    """Label axes with EDFs, and set their limits."""
    limit_edfs(axes, selection)
    axes.set_xlabel(error_label(selection.error, selection.metric))
    axes.set_ylabel(f"cumulative share of models\n({words.held(selection.given)})")
    decorate(axes, title(selection, also))


def limit_edfs(axes: "Axes", selection: Selection) -> None:
    """Show EDFs from the best value to where the slowest is at 95 %."""
    axes.set_xlim(*map(selection.metric.turned, ends([selection])))
    axes.set_ylim(0, 1.02)  # a curve that has reached 1 is still seen whole


def ends(selections: Sequence[Selection]) -> tuple[float, float]:
    """Choose the values to show, oriented: from the best to where the slowest EDF is at 95 %.

    Beyond lie the few that diverged or hardly learned; where that many are worse than any, the last that is not.
    """
    metric, members = selections[0].metric, [one for some in selections for one in some.populations]
    left = min(member.summary.min for member in members)
    right = max(member.summary.quantiles[0.95] for member in members)
    if words.is_beyond(right):
        right = max((float(one.errors[one.errors < BEYOND].max(initial=left)) for one in members), default=left)
    if words.is_beyond(left):  # all are
        left, right = 0.0, 1.0
    margin = MARGIN * (right - left) or alike(left, metric)
    return max(metric.least, left - margin), right + margin


def alike(value: float, metric: Metric) -> float:
    """Choose a margin beside values that are all alike: 1 %, or a twentieth of what they are."""
    return 1.0 if metric.unit == "percent" else 0.05 * abs(value) or 1.0


def _law_bars(values: Floats, probabilities: Floats, closest: float) -> tuple[Floats, Floats, Floats]:
    """Choose bars for a law: their edges, and the values to draw with their probabilities.

    Errors are multiples of one test image; of values that are not, there are about as many bars. Bars that are all as
    many of those wide hold as many values each, and edges half a step beside 0 keep a tie apart.
    """
    levels = np.cumsum(probabilities)
    first, last = np.searchsorted(levels, [_UNSEEN, levels[-1] - _UNSEEN])
    seen = slice(int(first), int(last) + 1)
    values, probabilities = values[seen], probabilities[seen]
    sure = np.abs(values) < words.SENSELESS
    values, probabilities = values[sure], probabilities[sure]
    if not values.size:
        values, probabilities = np.zeros(1), np.zeros(1)
    gaps = np.diff(values)
    gaps = gaps[gaps > closest]
    step = float(gaps.min()) if gaps.size else 0.1
    lo, hi = min(0.0, float(values[0])), max(0.0, float(values[-1]))
    width = step * max(1, round((hi - lo) / _BARS / step))
    below, above = (int(np.ceil(max(0.0, reach - step / 2) / width + 1e-6)) for reach in (-lo, hi))
    edges = np.concatenate([-step / 2 - width * np.arange(below, -1, -1), step / 2 + width * np.arange(above + 1)])
    return edges, values, probabilities


def draw_law(axes: "Axes", study: PointStudy, looks: Sequence[Look]) -> None:
    """Draw the law of the small search's minimum minus the large one's, coloured by the winner.

    With one population, the small search has a lighter shade of its colour.
    """
    wins, metric = study.wins, study.selection.metric
    closest = _CLOSEST if metric.unit == "percent" else 0.1 * 10.0**-metric.digits
    edges, values, probabilities = _law_bars(study.values, study.probabilities, closest)
    small = looks[0].light if len(looks) > 1 else tint(looks[0].light, 0.4)
    for colour, side, size, won in (
        (small, values < -closest, wins.small, wins.small_wins),
        (looks[-1].light, values > closest, wins.large, wins.large_wins),
    ):
        heights = np.histogram(values[side], edges, weights=probabilities[side])[0]
        label = f"best of {size:,} is the better one: probability {won:.3f}"
        if metric.goal == "min":
            axes.stairs(heights, edges, fill=True, color=colour, linewidth=0, label=label)
        else:
            axes.stairs(heights[::-1], -edges[::-1], fill=True, color=colour, linewidth=0, label=label)
    tied = np.abs(values) <= closest
    if tied.any():
        height = float(probabilities[tied].sum())
        axes.vlines(0, 0, height, color="#000000", linewidth=1.6, label=f"tie: probability {wins.tie:.3f}")
    axes.axvline(0, color="#000000", linewidth=0.6)
    axes.set_ylim(bottom=0)
    if metric.goal == "max":  # where the small search wins is on the left
        axes.invert_xaxis()
    axes.set_xlabel(f"best of {wins.small:,} minus best of {wins.large:,}{_of_gap(metric)}")
    axes.set_ylabel(f"probability\n(bars {np.diff(edges)[0]:.2g}{words.gap_unit(metric)} wide)")


def _of_gap(metric: Metric) -> str:
    """Write the unit of a difference behind the label of an axis."""
    unit = "percentage points" if metric.unit == "percent" else words.unit(metric).strip()
    return f" ({unit})" if unit else ""


def tint(colour: str, share: float) -> str:
    """Mix so much of a colour with white."""
    parts = [round(255 + share * (int(colour[i : i + 2], 16) - 255)) for i in (1, 3, 5)]
    return "#" + "".join(f"{part:02X}" for part in parts)


def draw_samples(axes: "Axes", study: SampleStudy, look: Look) -> None:
    """Draw the EDFs of samples of one population, the larger the darker, and that of all in black."""
    (member,) = study.selection.populations
    fewer = {size: errors for size, errors in study.errors.items() if size < member.models}
    for i, (size, errors) in enumerate(fewer.items()):
        label = f"{size:,} models ({best_value(study.samples[size].min, member.metric)})"
        shade = tint(look.light, 0.4 + 0.6 * (i + 1) / len(fewer))
        step(axes, *edf(errors), member.metric, label=label, color=shade, linestyle=_STYLES[i % len(_STYLES)])
    label = f"all {member.summary.models:,} models ({best_of(member)})"
    step(axes, *edf(member.sample), member.metric, label=label, color="#000000", linewidth=0.9)


def draw_distances(axes: "Axes", study: SampleStudy, look: Look) -> None:
    """Draw how far the EDF of fewer models is from that of more, on axes that this makes logarithmic."""
    models = study.selection.populations[0].models
    dashed = replace(look, light="#595959", dash=(4.5, 1.8), marker="s")
    for d, to, of in (
        (study.to_truth, "to what they are drawn from", dashed),
        (study.to_population, f"to these {models:,} models", look),
    ):
        seen = d > 0
        axes.plot(study.models[seen], d[seen], label=to, **marked(of))
    if (simulated := study.simulated) is not None:
        mean = np.array(simulated.mean)
        seen = mean > 0
        axes.errorbar(
            np.array(simulated.models)[seen],
            mean[seen],
            np.array(simulated.sd)[seen],
            fmt="x",
            color="#000000",
            markersize=5,
            capsize=2,
            linewidth=1.0,
            label=f"the latter, simulated: mean ± sd of {simulated.trials:,} trials",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks(axes.xaxis, 10)
    ticks(axes.yaxis, 10)
    axes.set_xlabel("models drawn, n")
    axes.set_ylabel("expected distance of EDFs, D (0 to 1)")


def draw_models(axes: "Axes", complexity: Floats, errors: Floats, look: Look, metric: Metric = ERROR) -> None:
    """Draw a point a model, of pixels in any file, as there may be many; none for a value worse than any."""
    known = np.abs(errors) < BEYOND
    axes.scatter(
        complexity[known],
        metric.turned(errors[known]),
        s=float(np.clip(4000 / len(errors), 2, 12)),
        alpha=float(np.clip(900 / len(errors), 0.3, 0.7)),
        color=look.light,
        marker=look.marker,
        linewidth=0,
        rasterized=True,
    )


def draw_counts(axes: "Axes", counts: NDArray[Any], edges: Floats, look: Look, **more: Any) -> None:
    """Draw a histogram as an outline with a faint fill."""
    import matplotlib as mpl

    heights = np.append(counts, counts[-1:])
    axes.fill_between(edges, heights, step="post", color=look.light, alpha=0.12, linewidth=0)
    axes.stairs(counts, edges, linewidth=mpl.rcParams["lines.linewidth"], **line(look), **more)


def draw_buckets(
    axes: "Axes", buckets: BucketMeans, look: Look, place: int, number: int, metric: Metric = ERROR, **more: Any
) -> None:
    """Draw mean and 2 sd of each bucket, beside those of the other populations; none where there is no mean."""
    width = buckets.edges[1] - buckets.edges[0]
    beside = (place - (number - 1) / 2) * 0.6 * width / number
    middle = (buckets.edges[:-1] + buckets.edges[1:]) / 2 + beside
    points: dict[str, Any] = {"fmt": look.marker, "color": look.light, "linewidth": 1.2}
    mean, sd = buckets.mean, buckets.sd
    if (beyond := np.abs(mean) >= words.SENSELESS).any():
        mean, sd = np.where(beyond, np.nan, mean), np.where(beyond, np.nan, sd)
    axes.errorbar(middle, metric.turned(mean), 2 * sd, **points, **more)


def keep_possible(axes: "Axes", metric: Metric = ERROR) -> None:
    """Cut the axis of values where none can be, which 2 sd may reach."""
    bottom, top = axes.get_ylim()
    aside = 0.02 * (metric.high - metric.low) if metric.low is not None and metric.high is not None else 0.0
    low = -np.inf if metric.low is None else metric.low - aside
    high = np.inf if metric.high is None else metric.high + aside
    axes.set_ylim(max(bottom, low), min(top, high))


def set_error_limits(axes: "Axes", curves: Sequence[Floats], metric: Metric = ERROR) -> None:
    """Show curves of values whole, on a logarithmic axis where the smallest errors would otherwise look alike."""
    errors = np.concatenate(curves)
    errors = metric.turned(errors[np.abs(errors) < words.SENSELESS])
    if not errors.size:
        return
    lowest, highest = float(errors.min()), float(errors.max())
    if 0 < 5 * lowest < highest and metric.goal == "min":
        axes.set_yscale("log")
        axes.set_ylim(lowest / 1.5, highest * 1.2)
        ticks(axes.yaxis, 10)
    else:
        margin = 0.2 * (highest - lowest) or alike(lowest, metric)
        axes.set_ylim(lowest - margin if metric.low is None else max(metric.low, lowest - margin), highest + margin)


def draw_rates(axes: "Axes", space: Noise, rates: RateMap, metric: Metric = ERROR) -> None:
    """Draw the mean rank of the errors over learning rate and weight decay."""
    mesh = axes.pcolormesh(rates.lr_edges, rates.wd_edges, rates.mean_rank.T, vmin=0, vmax=1, cmap="viridis")
    if rates.best is not None:
        centres = [np.sqrt(edges[:-1] * edges[1:]) for edges in (rates.lr_edges, rates.wd_edges)]
        x, y = (float(centre[i]) for centre, i in zip(centres, rates.best, strict=True))
        label = f"best cell with enough models: rate {x:.2g}, decay {y:.2g}"
        axes.plot([x], [y], "x", color="#D55E00", markersize=8, markeredgewidth=2, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks(axes.xaxis, 10, "{:g}".format)
    ticks(axes.yaxis, 10, "{:g}".format)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("weight decay")
    if space.default:
        axes.plot([], [], " ", label=f"near the default rates: mean rank {space.default.mean_rank:.2f}")
    decorate(axes, f"{space.name} (n = {space.models:,})")
    axes.grid(False)
    bar = axes.figure.colorbar(mesh, ax=axes)
    of = "the error" if metric.label == ERROR.label else metric.label
    bar.set_label(f"mean rank of {of} (0 best, 1 worst)")


def ticks(axis: "Axis", base: int, text: Callable[[float], str] | None = None) -> None:
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
    shown = text or (_number if base == 2 else short)
    axis.set_major_formatter(lambda value, _: shown(value))


def error_label(kind: str, metric: Metric = ERROR) -> str:
    """Write which value it is, with its unit, such as test error (%)."""
    unit = words.unit(metric).strip()
    name = f"test {metric.label}" if metric.label == ERROR.label else metric.label
    return name + (f" ({unit})" if unit else "") + ("" if kind == "best" else f" {words.error_read(kind)}")


def models_label(member: Population) -> str:
    """Write a population with its size."""
    return f"{member.name} (n = {member.summary.models:,})"


def title(selection: Selection, also: str = "") -> str:
    """Write the setting of a selection."""
    parts = (
        []
        if selection.given == "none"
        else [f"{selection.given}{' ' if selection.bins else ', '}{words.within(selection)}"]
    )
    policy = (
        []
        if selection.diverged == "keep"
        else [f"diverged runs {words.diverged(selection.diverged, selection.metric)}"]
    )
    if selection.stopped != "drop":
        policy.append(f"stopped runs {words.stopped(selection.stopped, selection.metric)}")
    return "; ".join([*parts, *policy, *([also] if also else [])])


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1 <= value < 100_000 and value == round(value) else short(value)


def shortened(value: float, _: float) -> str:
    """Write a tick with three digits."""
    return short(value)
