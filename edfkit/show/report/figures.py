"""The figures of a report that need no program: drawn once, from the studies.

Values are on axes in the metric's own sign and unit, the best ones of an EDF on the left; arguments are oriented.
Spaces have the classes `s0`, `s1` and so on, by their place in the report. Every figure says in words what it shows.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from edfkit.metric import BEYOND, ERROR, Metric
from edfkit.show import draw, words
from edfkit.show.report.content import decided
from edfkit.show.report.draw import (
    Axis,
    bar,
    count,
    dot,
    figure,
    interval,
    label,
    polyline,
    ribbon,
    rule,
    step_band,
    steps,
    strip,
    whisker,
)
from edfkit.stats.bands import ks_half_width
from edfkit.stats.edf import ROUND_OFF, Floats, edf
from edfkit.stats.mix import Parts
from edfkit.stats.sizes import expected_distance
from edfkit.study.compare import Comparison, Pair, Setting
from edfkit.study.complexity import ComplexityStudy
from edfkit.study.point import PointStudy
from edfkit.study.search import SearchStudy
from edfkit.study.selection import Population, Selection

_LABELLED = 2  # curves up to which each is named where it runs: of more, names and curves would cross
_APART = 0.08  # of the height, between names


def ends(selections: Sequence[Selection]) -> tuple[float, float]:
    """Choose what values to show, oriented: from the best to where the slowest EDF is at 95 %."""
    left, right = draw.ends(selections)
    return left, min(selections[0].metric.most, right)


def across(selection: Selection, span: tuple[float, float]) -> Axis:
    """Make the axis of values; `span` is oriented."""
    metric = selection.metric
    return Axis(*span, draw.error_label("best", metric), sign=metric.sign)


def edfs(comparison: Comparison, span: tuple[float, float]) -> Markup:
    """Draw the EDFs of populations with their bands; `span` are the values shown, oriented."""
    members, metric = comparison.drawn.populations, comparison.selection.metric
    x, y = across(comparison.selection, span), Axis(0.0, 1.0, "cumulative share of models")
    areas, lines, names = [], [], []
    first = min(members, key=lambda member: member.summary.median)
    for i, (member, band) in enumerate(zip(members, comparison.bands, strict=True)):
        edge = (0.0, band.upper_before)
        areas.append(step_band(x, y, band.values, band.lower, band.upper, f"s{i}", edge))
        values, heights = edf(member.errors, member.shares)
        lines.append(steps(x, y, values, heights, f"s{i}"))
        if len(members) <= _LABELLED:
            height = 0.5 + 0.4 * ((i + 0.5) / len(members) - 0.5)
            value = float(values[np.searchsorted(heights, height)])
            at = float(x.place(value))  # the leftmost curve is named on its left, if there is room
            left = at > 0.7 or (member is first and at > 0.3)
            names.append(label(x, y, value, height, member.name, f"s{i}", "end" if left else "start"))
    at_most = words.at_most(metric)
    shares = "; ".join(
        f"{100 * q:g} % of the models have {at_most} {found}"
        for q in (0.05, 0.95)
        if (found := ", ".join(f"{words.valued(metric, value)} ({name})" for name, value in _quantiles(members, q)))
    )
    says = f"Half of the models have {at_most} this {metric.label}: {words.medians(members)}. {shares}."
    return figure(x, y, f"EDFs, {words.held(comparison.drawn.given)}", says, areas + lines, names)


def _quantiles(members: Sequence[Population], q: float) -> list[tuple[str, float]]:
    """Give a quantile of each population of which so many models have a value."""
    found = [(one.name, one.summary.quantiles[q]) for one in members]
    return [(name, value) for name, value in found if not words.is_beyond(value)]


def difference(pair: Pair, span: tuple[float, float], classes: Mapping[str, str]) -> Markup:
    """Draw the difference of two EDFs with its band; bars at the edges mark where one is above the other."""
    assert pair.estimates is not None
    band = pair.estimates.difference
    reach = 1.15 * max(float(np.abs(band.lower).max()), float(np.abs(band.upper).max()), 1e-3)
    x = Axis(*span, draw.error_label("best", pair.metric), sign=pair.metric.sign)
    y = Axis(-min(1.1, reach), min(1.1, reach), f"EDF of {pair.a} minus EDF of {pair.b}")
    stretched = [
        step_band(x, y, band.values, band.lower, band.upper, "neutral", (-band.half_width, band.half_width)),
        steps(x, y, band.values, band.difference, "neutral"),
    ]
    fixed = [rule(None, y, 0.0)]
    for lo, hi, name in decided(pair):
        start, end = np.clip(x.place(np.array([lo, min(hi, BEYOND)])), 0, 1)
        edge, shift = ("0", 0.0) if name == pair.a else ("100%", -8.0)
        if end > start:
            fixed.append(bar(float(start), float(end), f"edge {classes[name]}", edge, "8", shift))
    top, bottom = 0.86 * y.hi, 0.86 * y.lo
    fixed += [
        label(x, y, span[1], top, f"{pair.a} better \N{UPWARDS ARROW}", classes[pair.a], "end"),
        label(x, y, span[1], bottom, f"{pair.b} better \N{DOWNWARDS ARROW}", classes[pair.b], "end"),
    ]
    return figure(x, y, f"Difference of the EDFs of {pair.a} and {pair.b}", says_decided(pair), stretched, fixed)


def says_decided(pair: Pair) -> str:
    """Say in how much of the errors each of a pair is ahead."""
    confidence = f"{100 * pair.confidence:g} %"
    found = decided(pair)
    if pair.better == "none":
        return pair.verdict
    if not found:
        return f"With a confidence of {confidence}, neither EDF is above the other at any {pair.metric.label}."
    parts = []
    for name in (pair.a, pair.b):
        spans = [(lo, hi) for lo, hi, better in found if better == name]
        if spans:
            of = words.many(pair.metric)
            within = f"at {of}" if len(spans) == 1 else f"in {len(spans)} ranges of {of}"
            parts.append(f"{name} is better {within} from {words.between(pair.metric, spans[0][0], spans[-1][1])}")
    return f"With a confidence of {confidence}, {', and '.join(parts)}; elsewhere it is undecided."


def decided_strip(pair: Pair, span: tuple[float, float], classes: Mapping[str, str]) -> Markup:
    """Draw in one line where which of a pair is better: above the line the first one, below it the second."""
    x = Axis(*span, "")
    parts = [Markup('<line class="rule" x1="0" x2="100%" y1="50%" y2="50%"/>')]
    for lo, hi, name in decided(pair):
        start, end = np.clip(x.place(np.array([lo, min(hi, BEYOND)])), 0, 1)
        top = "8%" if name == pair.a else "54%"
        parts.append(bar(float(start), float(end), f"edge {classes[name]}", top, "38%"))
    return strip(f"Where {pair.a} or {pair.b} is better", says_decided(pair), parts)


def winners(study: PointStudy) -> Markup:
    """Draw who wins as one bar: small search, tie, large search."""
    wins = study.wins
    tied = wins.small_wins + wins.tie
    parts = [bar(0.0, wins.small_wins, "small"), bar(wins.small_wins, tied, "tie"), bar(tied, 1.0, "large")]
    says = (
        f"The search of {wins.small:,} models wins with probability {wins.small_wins:.3f}, that of {wins.large:,} with "
        f"{wins.large_wins:.3f}; a tie has {wins.tie:.3f}."
    )
    return strip("Who wins", says, parts)


def without_mean(study: SearchStudy) -> bool:
    """Tell whether the medians of searches are drawn: where there is no mean, or nothing bounds it."""
    return not study.selection.metric.bounded or any(one.beyond for one in study.selection.populations)


def best_of(study: SearchStudy) -> Markup:
    """Draw the best-of-m curves with their bands: of medians, where means have none."""
    metric = study.selection.metric
    medians = without_mean(study)
    curves: list[tuple[str, Floats, Floats, Floats]] = []
    for curve in study.curves:
        line = (curve.median, curve.median_low, curve.median_high)
        if not medians:
            line = (curve.best.error, curve.low, curve.high)
        error, low_end, high_end = (np.clip(metric.turned(one), -words.SENSELESS, words.SENSELESS) for one in line)
        curves.append((curve.name, error, low_end, high_end))
    shown = [values[np.abs(values) < words.SENSELESS] for _, values, *_ in curves]
    low = min((float(values.min()) for values in shown if values.size), default=0.0)
    high = max((float(values.max()) for values in shown if values.size), default=1.0)
    # Else the best models' errors, which matter, would look alike.
    logarithmic = 0 < 5 * low < high and metric.goal == "min"
    margin = 0.1 * (high - low) or draw.alike(low, metric)
    lo = low - margin if metric.low is None else max(metric.low, low - margin)
    hi = high + margin if metric.high is None else min(metric.high, high + margin)
    if logarithmic:
        lo, hi = low / 1.3, high * 1.2
    m = study.curves[0].best.m.astype(float)
    x = Axis(float(m[0]), float(m[-1]), "models drawn, m", 2.0, lambda value: f"{value:,.0f}")
    what = "median" if medians else "expected"
    y = Axis(lo, hi, f"{what} {words.best(metric)} {draw.error_label('best', metric)}", 10.0 if logarithmic else None)
    areas, lines, fixed = [], [], []
    starts = np.sort(y.place(np.array([values[0] for _, values, *_ in curves])))
    apart = len(curves) <= _LABELLED and float(np.diff(starts).min()) > _APART
    for i, (name, values, lower, upper) in enumerate(curves):
        seen = np.abs(values) < words.SENSELESS
        areas.append(ribbon(x, y, m, lower, upper, f"s{i}"))
        lines.append(polyline(x, y, m[seen], values[seen], f"s{i}"))
        fixed += [
            dot(x, y, at, error, f"s{i}") for at, error in zip(m[seen].tolist(), values[seen].tolist(), strict=True)
        ]
        if apart:
            fixed.append(label(x, y, m[0], float(values[0]), name, f"s{i} above"))
    middle = int(np.argmin(np.abs(m - 64)))
    found = ", ".join(f"{name} {words.valued(metric, metric.turned(values[middle]))}" for name, values, *_ in curves)
    return figure(
        x,
        y,
        "Best-of-m curves",
        f"The best of {m[middle]:.0f} models {'has in the median' if medians else 'is expected to have'}: {found}.",
        areas + lines,
        fixed,
    )


def adequacy(selection: Selection, confidence: float) -> Markup:
    """Draw how far an EDF of n models is from the truth, with the spaces at their effective numbers of models."""
    sizes = [member.summary.n_eff for member in selection.populations]
    most = max(1000.0, 10 ** np.ceil(np.log10(max(sizes))))
    n = np.unique(np.rint(np.geomspace(4, most, 60)))
    half = np.array([ks_half_width(float(one), confidence) for one in n])
    expected = expected_distance(n.astype(np.int64))
    x = Axis(4.0, most, "effective models, n", 10.0, count)
    y = Axis(float(expected.min()) / 1.3, min(1.0, float(half.max()) * 1.2), "distance of the EDF from the truth", 10.0)
    fixed = []
    for i, (member, size) in enumerate(zip(selection.populations, sizes, strict=True)):
        if size < x.lo:
            continue
        width = ks_half_width(size, confidence)
        fixed.append(dot(x, y, size, width, f"s{i}"))
        if len(sizes) <= 2:  # the line falls, so that there is room above to the right and below to the left
            side, anchor = ("above", "start") if i == 0 else ("below", "end")
            fixed.append(label(x, y, size, width, member.name, side, anchor))
    at = len(n) // 5
    fixed.append(label(x, y, n[at], float(half[at]), f"half width of the {100 * confidence:g} % band", "quiet above"))
    fixed.append(label(x, y, n[at], float(expected[at]), "expected distance", "quiet below", "end"))
    widths = ", ".join(
        f"{member.name} \N{PLUS-MINUS SIGN}{ks_half_width(size, confidence):.3f}"
        for member, size in zip(selection.populations, sizes, strict=True)
    )
    lines = [polyline(x, y, n, half, "neutral"), polyline(x, y, n, expected, "neutral dashed")]
    return figure(x, y, "Precision by number of models", f"Half widths of the bands: {widths}.", lines, fixed)


def histogram(study: ComplexityStudy) -> Markup:
    """Draw how many models have which complexity."""
    counts = study.histogram
    edges = counts.edges
    top = 1.08 * max(float(values.max()) for values in counts.counts.values())
    x = Axis(float(edges[0]), float(edges[-1]), f"{study.by} of a model", text=count)
    y = Axis(0.0, top, f"models in {len(edges) - 1} buckets", text=count)
    lines = []
    for i, values in enumerate(counts.counts.values()):
        lines.append(steps(x, y, edges, np.append(values, 0).astype(float), f"s{i}"))
    marks = [rule(x, None, end, "rule dotted") for end in study.range]
    medians = ", ".join(f"{space.name} {count(float(np.median(space.complexity)))}" for space in study.spaces)
    return figure(x, y, f"Histogram of {study.by}", f"Median {study.by}: {medians}.", lines, marks)


def buckets(study: ComplexityStudy) -> Markup:
    """Draw mean and two standard deviations of the errors by bucket of complexity."""
    lo, hi = study.range
    metric = study.metric
    x = Axis(lo, hi, f"{study.by} of a model", text=count)
    bounds = []
    for space in study.spaces:
        spread, middle = np.nan_to_num(2 * space.buckets.sd), metric.turned(space.buckets.mean)
        known = np.abs(middle) < words.SENSELESS
        bounds += [(middle - spread)[known], (middle + spread)[known]]
    ends = np.concatenate(bounds)
    bottom, top = (float(ends.min()), float(ends.max())) if ends.size else (0.0, 1.0)
    top *= 1.03 if top > 0 else 1.0
    bottom = bottom if metric.low is None else max(metric.low, bottom)
    top = top if metric.high is None else min(metric.high, top)
    y = Axis(bottom, top if top > bottom else bottom + 1.0, draw.error_label("best", metric))
    fixed = []
    for i, space in enumerate(study.spaces):
        shift = 5.0 * (i - (len(study.spaces) - 1) / 2)
        middles = (space.buckets.edges[:-1] + space.buckets.edges[1:]) / 2
        for middle, mean, sd in zip(
            middles.tolist(), metric.turned(space.buckets.mean).tolist(), space.buckets.sd.tolist(), strict=True
        ):
            if not abs(mean) < words.SENSELESS:
                continue
            if not np.isnan(sd):
                reach = max(y.lo, mean - 2 * sd), min(y.hi, mean + 2 * sd)
                fixed.append(whisker(x, y, middle, *reach, f"s{i}", shift))
            fixed.append(dot(x, y, middle, mean, f"s{i}", shift))
    said = ", ".join(
        f"{space.name} {metric.turned(space.rank_correlation):+.2f}"
        for space in study.spaces
        if not np.isnan(space.rank_correlation)
    )
    none = "There is no rank correlation to give."
    says = f"Rank correlation of {metric.label} and {study.by}: {said}." if said else none
    return figure(x, y, f"{words.title(metric)} by {study.by}", says, [], fixed)


def parts(found: Parts, reach: float, metric: Metric = ERROR) -> dict[str, Markup]:
    """Draw the parts of a difference as bars from 0, to the left where they are negative; `reach` is the largest."""
    drawn = {}
    for name in ("total", "composition", "within", "unshared"):
        value = metric.turned(getattr(found, name))
        end = 0.5 + 0.48 * value / (reach or 1.0)
        zero = Markup('<line class="rule" x1="50%" x2="50%" y1="0" y2="100%"/>')
        shape = bar(min(0.5, end), max(0.5, end), "part", "20%", "60%")
        drawn[name] = strip(name, f"{value:+.{metric.digits}f}{words.gap_unit(metric)}", [shape, zero])
    return drawn


def forest(one: Setting, name: str, metric: Metric = ERROR) -> Markup:
    """Draw how often the space of that name is better in one setting, with its interval, from 0 to 1."""
    x, y = Axis(0.0, 1.0, ""), Axis(0.0, 1.0, "")
    parts, called = [rule(x, None, 0.5)], words.setting(one, metric)
    if one.prob_a_better is None or one.prob_a_better_interval is None:
        return strip(called, f"Nothing is estimated: {one.why or 'too few models'} (0 estimates).", parts)
    low, high = one.prob_a_better_interval
    style = "chosen" if one.chosen else "neutral"
    parts += [interval(x, low, high, style), dot(x, y, one.prob_a_better, 0.5, style)]
    return strip(called, f"{name} is better with probability {one.prob_a_better:.3f} ({low:.3f} to {high:.3f}).", parts)


def complexities(comparison: Comparison, column: int) -> tuple[Markup, Markup | None]:
    """Draw the distribution of a complexity in each space as it is, and as the comparison weighs it.

    Parameters
    ----------
    comparison : Comparison
        With a complexity held equal.
    column : int
        Which of its complexities.

    Returns
    -------
    before, after : Markup
        The second is None where nothing is weighed, as no stratum holds models of all spaces.
    """
    selection, drawn = comparison.selection, comparison.drawn
    name = selection.given.split(",")[column].strip()
    weighed = selection if selection.bins is not None else drawn
    before = [_distribution(one, column, one.sizes) for one in selection.populations]
    ends = min(values[0] for values, _ in before), max(values[-1] for values, _ in before)
    logarithmic = ends[0] > 0
    if ends[0] == ends[1]:
        ends = (ends[0] / 2, ends[1] * 2) if logarithmic else (ends[0] - 1, ends[1] + 1)
    x = Axis(*ends, f"{name} of a model", 10.0 if logarithmic else None, count)
    found = _of_complexity(x, selection, before, f"{words.capital(name)}, as they are")
    if weighed.given == "none":
        return found, None
    after = [_distribution(one, column, one.shares) for one in weighed.populations]
    return found, _of_complexity(x, weighed, after, f"{words.capital(name)}, at equal {name}")


def _distribution(member: Population, column: int, shares: Floats | None) -> tuple[Floats, Floats]:
    """Give the distinct values of a complexity, and the cumulative shares of the models up to each."""
    assert member.complexity is not None
    values, place = np.unique(member.complexity[:, column], return_inverse=True)
    heights = np.cumsum(np.bincount(place, shares))
    return values, heights / heights[-1]


def _of_complexity(x: Axis, selection: Selection, found: Sequence[tuple[Floats, Floats]], name: str) -> Markup:
    """Draw the distributions of one panel."""
    y = Axis(0.0, 1.0, "cumulative share of models")
    lines = [steps(x, y, *one, f"s{i}") for i, one in enumerate(found)]
    medians = ", ".join(
        f"{member.name} {count(float(values[np.searchsorted(heights, 0.5 * (1 - ROUND_OFF))]))}"
        for member, (values, heights) in zip(selection.populations, found, strict=True)
    )
    return figure(x, y, name, f"Half of the models have at most: {medians}.", lines)
