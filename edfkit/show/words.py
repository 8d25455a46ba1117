"""The words of every output: p values, counts, ranges, what is held equal, states, each written in one place.

Convention: results hold oriented values, of which the smaller is the better one; text has those of the metric, with its
own sign, name and unit. Errors are percent, their differences percentage points. Functions give text without a full
stop, unless they say that it is a sentence.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edfkit.metric import BEYOND, ERROR, Metric
from edfkit.study.settings import AS_WORST

if TYPE_CHECKING:
    from edfkit.stats.adjusted import Balance
    from edfkit.stats.bands import Best
    from edfkit.stats.two_sample import Summary
    from edfkit.study.compare import Comparison, Estimates, Pair, Setting
    from edfkit.study.complexity import Complexities
    from edfkit.study.plan import ComparisonPlan
    from edfkit.study.search import SearchPair, SearchStudy
    from edfkit.study.selection import Population, Selection

SMALLEST_P = 1e-4
"""Smaller p values are not written out: the laws behind them are not as precise, and nothing depends on it."""

SUMMARY = ("models", "n_eff", "min", "5 %", "median", "mean", "95 %", "area")
"""The columns of `summary`, of errors; see `summary_headings`."""

SENSELESS = 1e30
"""Means of this size and more are over runs that count as worse than any value."""

BEYOND_ANY = "worse than any"
"""What stands for the value of a run that counts as the worst where there is no worst value."""


# --- Values of a metric


def is_beyond(oriented: float) -> bool:
    """Tell whether a value stands for one that is worse, or better, than any."""
    return abs(oriented) >= BEYOND


def value(metric: Metric, oriented: float, *, sign: str = "", decimals: int | None = None) -> str:
    """Write a value without its unit, or a dash if it is not known or worse than any."""
    if not math.isfinite(oriented) or is_beyond(oriented):
        return "-"
    return f"{metric.turned(oriented):{sign}.{metric.digits if decimals is None else decimals}f}"


def valued(metric: Metric, oriented: float) -> str:
    """Write a value with its unit, such as 2.63 %."""
    return BEYOND_ANY if is_beyond(oriented) else f"{value(metric, oriented)}{unit(metric)}"


def unit(metric: Metric) -> str:
    """Write what follows a value: its unit, if it has one."""
    return {"percent": " %", "share": "", "1": ""}.get(metric.unit, f" {metric.unit}")


def gap_unit(metric: Metric) -> str:
    """Write what follows a difference of values: points, the unit, or nothing."""
    return " points" if metric.unit == "percent" else unit(metric)


def apart(metric: Metric, difference: float) -> str:
    """Write a number of points, such as 3 points, to as many digits as it was given with."""
    one = metric.unit == "percent" and difference == 1
    return f"{difference:g} point" if one else f"{difference:g}{gap_unit(metric)}"


def title(metric: Metric) -> str:
    """Begin a title with the name of a metric, as it is written."""
    return capital(metric.label) if metric.label == ERROR.label else metric.label


def many(metric: Metric) -> str:
    """Name several values, such as errors."""
    return "errors" if metric.label == ERROR.label else metric.label


def in_unit(metric: Metric, join: str = ", ") -> str:
    """Write the unit in words, after a join, if it has one."""
    return "" if metric.unit in ("share", "1") else f"{join}{metric.unit}"


def good(metric: Metric) -> str:
    """Say which values are the better ones: lower or higher."""
    return "lower" if metric.goal == "min" else "higher"


def at_most(metric: Metric) -> str:
    """Begin what a value is at least as good as."""
    return "at most" if metric.goal == "min" else "at least"


def best(metric: Metric) -> str:
    """Name the best value: the smallest error, the best of another metric."""
    return "smallest" if metric.label == ERROR.label and metric.goal == "min" else "best"


def turned_ends(metric: Metric, low: float, high: float) -> tuple[float, float]:
    """Turn the ends of an interval of oriented values back."""
    return (low, high) if metric.goal == "min" else (metric.turned(high), metric.turned(low))


def as_worst(metric: Metric, *, turned: bool = False) -> str:
    """Write what a run counts as that counts as the worst, or if `turned` the best."""
    end = metric.best if turned else metric.worst
    if is_beyond(end):
        return BEYOND_ANY.replace("worse", "better") if turned else BEYOND_ANY
    return f"{metric.turned(end):g}{unit(metric)}"


def diverged(policy: str, metric: Metric = ERROR) -> str:
    """Say what is done with runs that diverged, such as keep their error."""
    if policy in AS_WORST:
        return f"count as {as_worst(metric)}"
    return {"keep": f"keep their {metric.label}", "drop": "are left out"}[policy]


def stopped(policy: str, metric: Metric = ERROR) -> str:
    """Say what is done with runs that were stopped."""
    return {"drop": "are left out", "last": "keep the value they had", "worst": f"count as {as_worst(metric)}"}[policy]


# --- Numbers


def number(value: float, decimals: int = 2, sign: str = "") -> str:
    """Write a number, or a dash if it is not known."""
    return f"{value:{sign}.{decimals}f}" if math.isfinite(value) else "-"


def short(count: float) -> str:
    """Write a number to three digits with a letter for thousands and more, such as 1.23 M."""
    count = float(f"{count:.3g}")  # before, so that 999,999 is 1 M
    units = ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k"))
    scale, letter = next((unit for unit in units if abs(count) >= unit[0]), (1, ""))
    return f"{count / scale:,.10g}{letter}"


def p_value(value: float) -> str:
    """Write a p value for a table, such as 0.012."""
    return f"< {SMALLEST_P:.4f}" if value < SMALLEST_P else f"{value:.2g}"


def p_is(value: float) -> str:
    """Write a p value for a sentence, such as p = 0.012."""
    return f"p {p_value(value)}" if value < SMALLEST_P else f"p = {p_value(value)}"


def with_interval(value: float, interval: tuple[float, float], decimals: int = 2, sign: str = "") -> str:
    """Write a number with the ends of its interval, such as 0.30 (0.24 to 0.36)."""
    ends = " to ".join(number(end, decimals, sign) for end in interval)
    return f"{number(value, decimals, sign)} ({ends})"


def plural(count: int, word: str) -> str:
    """Write a count of things whose plural ends in s, such as 1 bin."""
    return f"{count:,} {word}" + "s" * (count != 1)


def strata(count: int) -> str:
    """Write a number of strata."""
    return f"{count:,} {'stratum' if count == 1 else 'strata'}"


def span(ends: tuple[float, float]) -> str:
    """Write a range of complexities, such as 30 k to 300 k."""
    return " to ".join(map(short, ends))


def exact_span(ends: tuple[float, float]) -> str:
    """Write a range of complexities to the last model, such as 30,112 to 299,880."""
    return " to ".join(f"{end:,.0f}" for end in ends)


# --- What is held equal


def held(given: str) -> str:
    """Say what is held equal, such as given params."""
    return "not normalised" if given == "none" else f"given {given}"


def capital(text: str) -> str:
    """Begin a text with a capital."""
    return text[:1].upper() + text[1:]


def within(selection: "Selection") -> str:
    """Say in what range and bins a complexity is held equal, such as 30 k to 300 k, 5 bins."""
    if selection.range is None or selection.bins is None:
        if selection.given == "none":
            return "all models"
        number = strata(selection.strata or 0)  # of two, those of their comparison
        return number.replace(" ", " common ") if len(selection.populations) > 2 else number
    return f"{span(selection.range)}, {plural(selection.bins, 'bin')}"


def control(selection: "Selection") -> str:
    """Say what complexity is held equal, and how: a sentence."""
    if selection.range is None or selection.bins is None:
        return (
            "Not adjusted for complexity." if selection.given == "none" else f"{opening(selection.given)}, in strata."
        )
    bins = f"{selection.bins} bins of equal weight."
    if selection.bins == 1:
        bins = "1 bin, which normalises nothing within the range; a narrower --range may allow more bins."
    return f"{capital(held(selection.given))}: {exact_span(selection.range)}, in {bins}"


# --- States


def error_read(kind: str, metric: Metric = ERROR) -> str:
    """Say which value is read, such as after epoch 5."""
    known = {"best": f"{best(metric)} over the epochs", "final": "after the last epoch"}
    return known.get(kind, f"after epoch {kind}")


def reasons(left_out: Mapping[str, int]) -> str:
    """Say how many models take no part, by reason; none is written as none."""
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "none"


def taking_part(
    name: str, left_out: Mapping[str, int], diverged: int, policy: str, metric: Metric = ERROR, filled: int = 0
) -> str:
    """Say which models of a population took no part, and what was done with runs that diverged: a sentence.

    Parameters
    ----------
    name : str
    left_out : mapping of str to int
        How many models take no part, by reason.
    diverged : int
        Those that take part and diverged.
    policy : str
        What is done with them.
    metric : Metric
    filled : int
        Those that have no value and count as the worst.

    Returns
    -------
    str
    """
    kept = ""
    have, count = ("has", "counts") if filled == 1 else ("have", "count")
    if diverged and policy != "keep":
        kept = f"; {diverged:,} diverged, counted as {as_worst(metric)}"
    elif diverged and filled:
        kept = f"; {diverged:,} diverged, of which {filled:,} {have} no {metric.label} and {count} as the worst"
        if filled > diverged:  # some of them ended otherwise
            kept = f"; {diverged:,} diverged; {filled:,} runs have no {metric.label} and count as the worst"
    elif diverged:
        kept = f"; {diverged:,} diverged, kept"
    elif filled:
        kept = f"; {filled:,} run{'s' * (filled != 1)} {have} no {metric.label} and {count} as the worst"
    return f"{name}: left out {reasons(left_out)}{kept}."


def better(name: str | None) -> str:
    """Say which population of a pair is better: its name, or that none is."""
    return {"shape": "neither; another shape", "none": "none shown", None: "none shown"}.get(name) or str(name)


# --- Summaries


def summary_headings(metric: Metric) -> list[str]:
    """Give the headings of `summary`."""
    return list(SUMMARY) if best(metric) == "smallest" else [one.replace("min", "best") for one in SUMMARY]


def summary(of: "Summary", metric: Metric = ERROR) -> list[str]:
    """Write the numbers of a summary, in the columns of `SUMMARY`."""
    values = (of.min, of.quantiles[0.05], of.median, of.mean, of.quantiles[0.95])
    written = (value(metric, one) for one in values)
    return [f"{of.models:,}", f"{of.n_eff:,.1f}", *written, number(of.area, 4)]


def medians(members: "Sequence[Population]") -> str:
    """Write the median error of each population."""
    return ", ".join(f"{member.name} {valued(member.metric, member.summary.median)}" for member in members)


def rank_correlation(space: "Complexities", metric: Metric) -> str:
    """Write the rank correlation of a complexity with the metric, with its interval."""
    ends = turned_ends(metric, *space.rank_interval)
    return with_interval(metric.turned(space.rank_correlation), ends, sign="+")


def area_under(member: "Population") -> str:
    """Say what the area of a population is, or why there is none."""
    metric, end = member.metric, member.summary.area_to
    if math.isfinite(end):
        return f"area: under the EDF, from {metric.turned(metric.least):g} to {metric.turned(end):g}{unit(metric)}"
    if not metric.bounded:
        return f"area: none, as {metric.label} has no bounds"
    return f"area: none, as some runs count as {BEYOND_ANY}"


def without_mean(member: "Population") -> str:
    """Say why a population has no mean, a sentence; nothing if it has one."""
    beyond = np.asarray(member.errors) >= BEYOND
    if not beyond.any():
        return ""
    runs = plural(int(beyond.sum() if member.counts is None else member.counts[beyond].sum()), "run")
    why = "has" if runs == "1 run" else "have"
    no = f"{why} no value and " if member.filled else ""
    counts = "counts" if runs == "1 run" else "count"
    return f"{member.name}: mean not defined, as {runs} {no}{counts} as {BEYOND_ANY} value."


# --- Comparisons

NAMES = {
    "params": "parameter count",
    "flops": "FLOP count",
    "macs": "multiply-add count",
    "acts": "activation count",
}
"""What complexities are called in a sentence; other columns go by their own name."""


def called(given: str) -> str:
    """Name what is held equal in a sentence, such as parameter count and FLOP count."""
    return " and ".join(NAMES.get(one.strip(), one.strip()) for one in given.split(","))


def opening(given: str) -> str:
    """Begin a claim that rests on equal complexity."""
    return "Without adjustment for size" if given == "none" else f"At equal {called(given)}"


def percent(*shares: float) -> list[str]:
    """Write a probability and the ends of its interval as percentages, with the digits that tell them apart."""
    width = max(shares) - min(shares)
    decimals = 0 if width >= 0.02 or not width else 1 if width >= 0.002 else 2
    if any(0 < share < 0.01 or 0.99 < share < 1 for share in shares):
        decimals = max(decimals, 1)
    ends = {f"{0:.{decimals}f}": "< ", f"{100:.{decimals}f}": "> "}
    least = 10.0**-decimals
    written = []
    for share in shares:
        text = f"{100 * share:.{decimals if 0 < share < 1 else 0}f}"
        if text in ends and 0 < share < 1:  # it keeps its distance from 0 and 1
            text = ends[text] + f"{least if share < 0.5 else 100 - least:.{decimals}f}"
        written.append(text)
    return written


def points(value: float, metric: Metric = ERROR) -> str:
    """Write a difference of values without its unit, one of percent with two digits that count."""
    if not math.isfinite(value) or is_beyond(value):
        return "-"
    decimals = 1 if metric.unit == "percent" and abs(value) >= 10 else metric.digits
    return f"{value:.{decimals}f}"


def confidently(confidence: float) -> str:
    """Name an interval, such as 95 % CI."""
    return f"{100 * confidence:g} % CI"


def setting(one: "Setting", metric: Metric = ERROR) -> str:
    """Name a setting of a sensitivity study, such as half the strata."""
    match one.group:
        case "strata":
            return strata(one.strata) if one.strata else "strata"
        case "bins":
            return f"{plural(one.bins, 'bin')} of equal width" if one.bins else "bins of equal width"
        case "complexity":
            return "without adjustment" if one.given == "none" else f"at equal {one.given.replace(',', ' and ')}"
        case "range":
            return f"{one.given} {span(one.range)}" if one.range else one.given
        case "error":
            return f"{metric.label} {error_read(one.error, metric)}"
        case "diverged":
            return f"diverged runs {diverged(one.diverged, metric)}"
        case "stopped":
            return f"stopped runs {stopped(one.stopped, metric)}"
        case "failed":
            which = "failed runs" if metric.label == ERROR.label else "runs without a value"
            return f"{which} count as {as_worst(metric, turned=one.failed == 'best')}"
    return "as chosen"


def marked(one: "Setting", metric: Metric = ERROR) -> str:
    """Name a setting, with a question mark where complexity is only partly balanced."""
    return f"{setting(one, metric)} ?" if one.balanced is False else setting(one, metric)


def sensitivity(comparison: "Comparison") -> str:
    """Say in which other settings the estimates do not agree with the finding of a comparison of two populations.

    Parameters
    ----------
    comparison : Comparison
        With settings.

    Returns
    -------
    str
        Sentences.
    """
    (pair,) = comparison.pairs
    others = [one for one in comparison.settings if not one.chosen and one.prob_a_better_interval]
    known = [(one, *one.prob_a_better_interval) for one in others if one.balanced and one.prob_a_better_interval]
    partly = [setting(one, pair.metric) for one in others if not one.balanced]
    note = f" Size is only partly balanced, so that nothing follows: {'; '.join(partly)}." if partly else ""
    if not known:
        return f"In no other setting are there enough models of equal size to compare.{note}"
    above = [one for one, low, _ in known if low > 0.5]
    below = [one for one, _, high in known if high < 0.5]
    number = plural(len(known), "other setting")
    every = f"in all of {number}" if len(known) > 1 else "in the only other setting"
    if pair.better not in (pair.a, pair.b):
        claim = "No space is claimed to be better"
        if not above and not below:
            return f"{claim}, and {every} the interval includes 50 %.{note}"
        parts = [
            f"above 50 % for {name} ({'; '.join(setting(one, pair.metric) for one in some)})"
            for name, some in ((pair.a, above), (pair.b, below))
            if some
        ]
        return (
            f"{claim}. In {len(above) + len(below)} of {number} the interval is {', and '.join(parts)}; that is no "
            f"finding, as a setting was looked for after the result was known.{note}"
        )
    agree, turned = (above, below) if pair.better == pair.a else (below, above)
    undecided = [one for one, low, high in known if low <= 0.5 <= high]
    if len(agree) == len(known):
        return f"The finding does not depend on these settings: {every} the interval favours {pair.better}.{note}"
    parts = [
        f"{what}: {'; '.join(setting(one, pair.metric) for one in some)}."
        for what, some in (("It includes 50 %", undecided), ("It favours the other space", turned))
        if some
    ]
    return (
        f"In {len(agree)} of {number} the interval favours {pair.better}, as the finding does. {' '.join(parts)}{note}"
    )


def _adjusted(pair: "Pair") -> str:
    """Write the p value that decides."""
    if pair.p_adjusted is None:
        return ""
    several = f", adjusted for {pair.pairs} pairs" if pair.pairs > 1 else ""
    return f" ({p_is(pair.p_adjusted)}{several})"


def _opens(pair: "Pair") -> str:
    """Begin the finding of a pair with how equal complexity really is."""
    if pair.sharing.paired:
        return "Network by network"
    if pair.given == "none" or pair.estimates is None:
        return opening(pair.given)
    if not pair.adjusts:
        one = "bin" if pair.bins else "stratum"
        return f"With all models in one {one}, which does not adjust for {called(pair.given)}"
    if pair.estimates.balance is not None and not pair.estimates.balance.equal:
        return f"With {called(pair.given)} only partly balanced"
    return opening(pair.given)


def verdict(pair: "Pair") -> str:
    """Say in one sentence what the comparison of a pair shows.

    Parameters
    ----------
    pair : Pair

    Returns
    -------
    str
        A sentence. It calls a population better only where `pair.better` names it, and then names it first.
    """
    if pair.no_claim is not None:
        if pair.sharing.refused:
            return pair.sharing.refused
        return pair.no_claim
    first, second = (pair.b, pair.a) if pair.better == pair.b else (pair.a, pair.b)
    if pair.better == "none":
        p = "" if changed(pair) else _adjusted(pair)
        claim = f"no difference between {first} and {second} is shown{p}; {excluded(pair)}"
    elif pair.better == "shape":
        claim = (
            f"the {pair.metric.label} distributions of {first} and {second} differ in shape{_adjusted(pair)}, but "
            "neither is shown to be better"
        )
    else:
        claim = f"{first} has {good(pair.metric)} {pair.metric.label} than {second}{_adjusted(pair)}"
    if pair.is_equivalent and pair.p_equivalent is not None and pair.equivalent is not None:
        near = f"{pair.equivalent:g}{gap_unit(pair.metric)}"
        values = "errors" if many(pair.metric) == "errors" else f"values of {pair.metric.label}"
        near = f"their {middle(pair)} {values} are shown to differ by less than {near}"
        claim += f"; {near} ({p_is(pair.p_equivalent)})"
    return f"{_opens(pair)}, {claim}." + (f" {fragile(pair)}" if changed(pair) else "")


def middle(pair: "Pair") -> str:
    """Name what is tested for equivalence."""
    return "median" if pair.medians else "mean"


def _has_mean(its: "Estimates") -> bool:
    """Tell whether the difference of the means is known: not where some run counts as worse than any value."""
    return its.mean is not None and math.isfinite(its.mean.estimate) and not is_beyond(its.mean.estimate)


def missing(pair: "Pair") -> str:
    """Count the runs without a value of a pair, such as 12 runs of a and 3 of b; nothing if there is none."""
    (first, a), (second, b) = zip(pair.missing, (pair.a, pair.b), strict=True)
    if not first or not second:
        return " ".join([plural(first or second, "run"), "of", a if first else b]) if first or second else ""
    return f"{plural(first, 'run')} of {a} and {second:,} of {b}"


def changed(pair: "Pair") -> bool:
    """Tell whether runs without a value could change what is found of a pair."""
    found = pair.fragile
    return found is not None and not found.plain == found.worst == found.best


def _same(pair: "Pair") -> str:
    """Say that runs without a value do not change what is found of a pair, as far as that is known."""
    if changed(pair) or pair.fragile is None:
        return ""
    unplaced, equal = pair.fragile.unplaced, called(pair.given)
    if unplaced == sum(pair.missing):
        return f": whether they change the finding is not known, as their {equal} is not"
    but = f", but for {unplaced:,} of unknown {equal}" if unplaced else ""
    return f": counted as the worst or the best, the finding is the same{but}"


def fragile(pair: "Pair") -> str:
    """Say how a finding depends on runs without a value, and what of it is claimed: a sentence."""
    found = pair.fragile
    if found is None:
        return ""

    def would(finding: str) -> str:
        known = {"none": "no difference would be shown", "shape": "the distributions would differ in shape"}
        return known.get(finding, f"{finding} would be better")

    parts = []
    if found.plain != "none":
        was = "the distributions differ in shape" if found.plain == "shape" else f"{found.plain} is better"
        parts.append(f"without them {was}{_adjusted(pair)}")
    if found.worst == found.best != found.plain:
        parts.append(f"counted as the worst or the best, {would(found.worst)}")
    else:
        parts += [
            f"counted as the {what}, {would(one)}"
            for what, one in (("worst", found.worst), ("best", found.best))
            if one != found.plain
        ]
    verb = "is" if sum(pair.missing) == 1 else "are"
    without = f"{missing(pair)} without a value of {pair.metric.label}"
    return f"Left out {verb} {without}: {'; '.join(parts)}; so no finding is claimed."


def chance(pair: "Pair", name: str) -> str:
    """Write how often a random model of one of a pair beats one of the other, such as 90 % (87 to 92)."""
    its = pair.estimates
    if its is None:
        return "-"
    prob, low, high = its.better.prob, its.better.low, its.better.high
    if name == pair.b:
        prob, low, high = 1 - prob, 1 - high, 1 - low
    at, least, most = percent(prob, low, high)
    return f"{at} % ({least} to {most})"


def brief(pair: "Pair") -> str:
    """Write the finding of a pair for a title or a table, such as resnet better, 90 % (87 to 92)."""
    if pair.sharing.refused:
        return "not comparable"
    if pair.estimates is None or pair.claim is None:
        return "too few models"
    found = {"none": "none shown to be better", "shape": "differ in shape"}
    text = found.get(pair.better) or f"{pair.better} better, {chance(pair, pair.better)}"
    if pair.given == "none" or pair.sharing.paired:
        return text
    if not pair.adjusts:
        return f"{text}, {pair.given} not balanced"
    equal = pair.estimates.balance
    return text if equal is None or equal.equal else f"{text}, {pair.given} only partly balanced"


def excluded(pair: "Pair") -> str:
    """Say what differences of the mean errors a comparison excludes."""
    metric, its = pair.metric, pair.estimates
    if its is None or not pair.sure:
        return f"the mean {many(metric)} are not compared"
    if its.mean is not None and _has_mean(its):
        what, low, high = "mean", its.mean.low, its.mean.high
    else:
        what, (_, low, high) = "median", its.middle.difference()
    if is_beyond(low) or is_beyond(high):
        return f"the difference of the {what} {many(metric)} is not known"
    low, high = turned_ends(metric, low, high)
    ends = f"between {_own(metric, low)} and {_own(metric, high)}"
    alone = "" if low <= 0 <= high else ", of this pair by itself"
    return f"the {what} {metric.label} of {pair.a} is {ends} ({confidently(pair.confidence)}{alone})"


def _side(difference: float) -> str:
    return "lower" if difference < 0 else "higher"


def findings(pair: "Pair") -> "list[tuple[str, str]]":
    """Say how large the difference of a pair is, how sure that is, where it holds, and how equal complexity is.

    Parameters
    ----------
    pair : Pair

    Returns
    -------
    list of (str, str)
        What is said, and the number with its interval. Nothing where nothing was computed.
    """
    its = pair.estimates
    if its is None or not pair.sure:
        return []
    metric = pair.metric
    a, b, prob, low, high = pair.a, pair.b, its.better.prob, its.better.low, its.better.high
    mean, median, sign = its.mean, its.middle.difference(), 1.0
    best = its.tail.a, its.tail.b
    if prob < 0.5:
        a, b, prob, low, high, sign, best = b, a, 1 - prob, 1 - high, 1 - low, -1.0, (its.tail.b, its.tail.a)
    at, least, most = percent(prob, low, high)
    often = f"{at} % of the time ({confidently(pair.confidence)} {least} to {most})"
    at_ends = [(one.low <= metric.least, one.high >= metric.worst) for one in (its.middle.a, its.middle.b)]
    unknown = at_ends[0][0] or at_ends[1][1], at_ends[1][0] or at_ends[0][1]
    means = f"not defined, as some runs count as {BEYOND_ANY}"
    if mean is not None and _has_mean(its):
        means = _difference(metric, a, sign, mean.estimate, mean.low, mean.high)
    found = [
        ("better on the same network" if pair.sharing.paired else "better of two random models", f"{a}, {often}"),
        (f"mean {metric.label}", means),
        (f"median {metric.label}", _difference(metric, a, sign, *median, unknown)),
        *(
            (f"{100 * its.tail.q:g} % quantile, {name}", quantile(one, metric))
            for name, one in zip((a, b), best, strict=True)
        ),
        *_where(pair, a),
    ]
    if (nearly := its.violation) is not None and math.isfinite(nearly.ratio):
        ends = (nearly.low, nearly.high) if a == pair.a else (1 - nearly.high, 1 - nearly.low)
        ratio = nearly.ratio if a == pair.a else 1 - nearly.ratio
        found.append(("violation of dominance", f"{a} {with_interval(ratio, ends)}"))
    if pair.mix is not None and abs(pair.mix.mean.total) < SENSELESS:
        found.append(("mean without adjustment", f"{a} {_signed(metric, sign * pair.mix.mean.total)}"))
    if (equal := its.balance) is not None and not pair.sharing.paired:
        found.append((called(pair.given.split(",")[equal.column]), balanced(pair, equal)))
    outside = [f"{count:,} {name}" for count, name in zip(pair.excluded, (pair.a, pair.b), strict=True) if count]
    if outside and pair.bins is None:
        found.append(("models outside the overlap", ", ".join(outside)))
    if pair.sharing.units and not pair.sharing.paired:
        found.append(("networks in both", f"{pair.sharing.units:,}, too few to matter"))
    if pair.equivalent is not None and pair.p_equivalent is not None:
        answer = f"{'shown' if pair.is_equivalent else 'not shown'} ({p_is(pair.p_equivalent)})"
        found.append((f"{middle(pair)}s within {pair.equivalent:g}{gap_unit(metric)}", answer))
    if without := missing(pair):
        found.append(("runs without a value", f"{without}{_same(pair)}"))
    found.append(("tests", _tests(pair, its)))
    return found


def _tests(pair: "Pair", its: "Estimates") -> str:
    """Write the p values of a pair by itself."""
    if pair.claim is None:
        return "none, with so few models"
    kind = "paired " if pair.sharing.paired else "stratified " if (pair.strata or 1) > 1 else ""
    rank = f"{kind}rank test {p_is(its.better.p_value)}"
    if pair.shape is None:
        return rank
    drawn = pair.shape.permutations
    how = " (limit law)" if pair.shape.method == "limit" else f" ({plural(drawn, 'permutation')})" if drawn else ""
    return f"{rank}; shape {p_is(pair.shape.p_value)}{how}"


MARKS = "+ row better, - column better, ~ shapes differ, ? size partly balanced, ! untested"
"""What the marks of `against` mean in a table of all pairs."""


def against(pair: "Pair", row: str) -> tuple[str, str]:
    """Write how often one population of a pair beats the other, for a table of all pairs.

    Parameters
    ----------
    pair : Pair
    row : str
        The one.

    Returns
    -------
    often, marks : str
        Percent, or nothing where it is not known; and what is claimed, see `MARKS`.
    """
    prob = pair.prob_a_better
    if prob is None or not pair.sure:
        return "", "!"
    column = pair.b if row == pair.a else pair.a
    mark = {"shape": "~", "none": "", row: "+", column: "-"}[pair.better] if pair.claim is not None else "!"
    balance = None if pair.estimates is None else pair.estimates.balance
    partly = balance is not None and not (balance.equal and pair.adjusts)
    return f"{100 * (prob if row == pair.a else 1 - prob):.0f}", mark + "?" * partly


def quantile(one: "Best", metric: Metric = ERROR) -> str:
    """Write a quantile with its interval, of which an end may not be known."""
    low, high = one.low > metric.best, one.high < metric.worst
    ends = [value(metric, one.low), value(metric, one.high)]
    if metric.goal == "max":
        low, high, ends = high, low, ends[::-1]
    known = f"at least {ends[0]}" if low else f"at most {ends[1]}" if high else "any"
    if low and high:
        known = " to ".join(ends)
    return f"{valued(metric, one.quantile)} ({known})"


def _own(metric: Metric, difference: float) -> str:
    """Write a difference of values, not oriented ones, such as 0.12 points lower."""
    return f"{points(abs(difference), metric)}{gap_unit(metric)} {_side(difference)}"


def _signed(metric: Metric, difference: float) -> str:
    """Write a difference of oriented values as one of the metric's own."""
    return _own(metric, metric.turned(difference))


def _difference(
    metric: Metric,
    name: str,
    sign: float,
    estimate: float,
    low: float,
    high: float,
    unknown: tuple[bool, bool] = (False, False),
) -> str:
    """Write a difference as the first population's, with its interval, of which an end may not be known."""
    if (sign < 0) != (metric.goal == "max"):
        estimate, low, high, unknown = -estimate, -high, -low, unknown[::-1]
    if is_beyond(estimate):
        return f"not known, as too many runs count as {BEYOND_ANY}"
    if all(unknown):
        ends = "any"
    elif unknown[0]:
        ends = f"up to {_own(metric, high)}"
    elif unknown[1]:
        ends = f"from {_own(metric, low)}"
    elif low <= 0 <= high:
        ends = f"{points(abs(low), metric)} lower to {points(abs(high), metric)} higher"
    else:
        ends = " to ".join(points(one, metric) for one in sorted((abs(low), abs(high))))
    return f"{name} {_own(metric, estimate)} ({ends})"


_RANGES = 3  # of errors, named in a sentence; large populations may differ in dozens


def _where(pair: "Pair", first: str) -> "list[tuple[str, str]]":
    """Say at which errors one EDF is above the other, the first one's before the other's."""
    decided = [one for one in pair.ranges() if one[2] != "undecided"]
    found = []
    kinds = [("better", pair.a), ("worse", pair.b)]
    for kind, name in kinds if first == pair.a else kinds[::-1]:
        narrow = 0.5 * 10.0**-pair.metric.digits  # would be written with two equal ends
        spans = [(lo, hi) for lo, hi, which in decided if which == kind and hi - lo >= narrow]
        widest = sorted(sorted(spans, key=lambda one: one[0] - one[1])[:_RANGES])
        if spans:
            more = f" and {plural(len(spans) - len(widest), 'narrower range')}" if len(spans) > len(widest) else ""
            named = ", ".join(between(pair.metric, *one) for one in widest)
            found.append(("better at every threshold", f"{name} from {named}{more}"))
    return found


def between(metric: Metric, lo: float, hi: float) -> str:
    """Write a range of values, the better end first where it has no other, such as 2.85 to 25.15 %."""
    if is_beyond(hi):
        return f"{valued(metric, lo)} on"
    first, last = (lo, hi) if metric.goal == "min" else (hi, lo)
    return f"{value(metric, first)} to {valued(metric, last)}"


def balanced(pair: "Pair", equal: "Balance") -> str:
    """Say how equal complexity is before and after."""
    many = plural(pair.bins or 0, "bin") if pair.strata is None else strata(pair.strata)
    if equal.ratio:
        text = f"{pair.a} {equal.before:.2f} times {pair.b} before, {equal.after:.2f} after adjustment ({many})"
    else:
        text = f"{pair.a} minus {pair.b}: {equal.before:.3g} before, {equal.after:.3g} after adjustment ({many})"
    if equal.equal or not pair.adjusts:
        return text
    from edfkit.stats.adjusted import MOST_BIAS  # here, as most studies do without

    cure = "use strata or more bins" if pair.bins else "train more models at sizes that both have"
    left = f"is {abs(equal.smd):.2f} standard deviations"
    if abs(equal.bias_in_se) > MOST_BIAS:
        left = f"shifts the probability by about {abs(equal.bias_in_se):.1f} standard errors"
    return f"{text}; what is left {left}: {cure}"


def pointwise(pair: "Pair") -> str:
    """Say why an interval may exclude what the finding does not deny: a sentence, or nothing."""
    its = pair.estimates
    if its is None or its.mean is None or not pair.sure or pair.better in (pair.a, pair.b):
        return ""
    if its.better.low <= 0.5 <= its.better.high and its.mean.low <= 0 <= its.mean.high:
        return ""
    if pair.claim is None:
        return "Each interval is for one number alone; with so few models nothing is claimed."
    allows = "two tests" if pair.pairs == 1 else f"two tests of {pair.pairs} pairs"
    what = "names no better one" if pair.better == "shape" else "claims nothing"
    return f"Each interval is for one number alone; the finding accounts for {allows} and {what}."


# --- Plans


def goal(plan: "ComparisonPlan") -> str:
    """Say what a planned comparison is to show, such as compare shows resnet to be better."""
    name, metric = plan.selection.populations[0].name, plan.selection.metric
    if plan.width is not None:
        wide = apart(metric, plan.width)
        return f"the {confidently(1 - plan.needed.alpha)} of the mean difference is at most {wide} wide"
    if plan.equivalent is not None:
        return f"compare shows that the mean {many(metric)} differ by less than {apart(metric, plan.equivalent)}"
    if plan.shift is not None:
        far = f"{apart(metric, abs(plan.shift))} {_side(metric.turned(plan.shift))}"
        if plan.shift > 0:
            return f"compare shows {name} to be better than a space with {many(metric)} {far}"
        return f"compare shows a space with {many(metric)} {far} to be better than {name}"
    return f"compare shows {_ordered(plan)[0]} to be better"


def pilots(plan: "ComparisonPlan") -> str:
    """Say what the pilots of a plan show, and how much the plan depends on their chance: a sentence."""
    found, ci = plan.needed, confidently(1 - plan.needed.alpha)
    if found.prob_a_better is None or found.prob_a_better_interval is None:
        return f"Both spaces are taken to be like {plan.selection.populations[0].name}."
    first, second = _ordered(plan)
    if found.models_interval is None:
        metric = plan.selection.metric
        least, largest = turned_ends(metric, *(found.mean_difference_interval or (math.nan, math.nan)))
        difference = math.nan if found.mean_difference is None else metric.turned(found.mean_difference)
        at, low, high = (number(one, metric.digits, "+") for one in (difference, least, largest))
        a, b = (one.name for one in plan.selection.populations)
        return (
            f"In the pilots the mean {metric.label} of {a} minus that of {b} is {at}{gap_unit(metric)} "
            f"({ci} {low} to {high})."
        )
    shares = found.prob_a_better, *found.prob_a_better_interval
    at, *ends = percent(*shares) if found.prob_a_better > 0.5 else percent(*(1 - one for one in shares))
    low, high = ends if found.prob_a_better > 0.5 else ends[::-1]
    fewest, most = found.models_interval
    unknown = "models, or more than any number, as the pilots do not show which is better"
    upto = unknown if most is None else f"to {most:,} models"
    often = f"In the pilots {first} is better than {second} {at} % of the time ({ci} {low} to {high})"
    return f"{often}; at the ends of this interval it takes {fewest:,} {upto}."


def _ordered(plan: "ComparisonPlan") -> tuple[str, str]:
    """Name the pilots, the better one first."""
    a, b = (one.name for one in plan.selection.populations)
    return (a, b) if (plan.needed.prob_a_better or 0.0) > 0.5 else (b, a)


# --- Searches


def search_control(study: "SearchStudy") -> str:
    """Say what complexity is held equal between searches, and how: a sentence."""
    chosen = study.selection
    if chosen.bins is not None or chosen.given != "none":
        common = "" if chosen.bins is not None or chosen.strata is None else f"{chosen.strata:,} common "
        return control(chosen).replace("in strata.", f"in {common}strata.")
    if study.unadjusted is None:
        return "Not adjusted for complexity."
    if study.given == "none" or all(pair.no_claim for pair in study.pairs):
        return f"Not adjusted for complexity: {study.unadjusted}."
    return (
        f"Curves are not adjusted for complexity: {study.unadjusted}. Pairs are compared at equal "
        f"{called(study.given)}, in strata of their own."
    )


def other(pair: "SearchPair", name: str) -> str:
    """Name the other one of a pair."""
    return pair.b if name == pair.a else pair.a


def some(numbers: Sequence[int]) -> str:
    """Write the smallest and the largest of some whole numbers."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def search_claim(pair: "SearchPair", run: Sequence[int], metric: Metric = ERROR) -> list[str]:
    """Write for which m a search is better, by how many points at the middle one, which that is, and its interval."""
    at = run[len(run) // 2]
    ends = sorted((abs(pair.low[at]), abs(pair.high[at])))
    m = [int(pair.m[place]) for place in run]
    written = " to ".join(points(end, metric) for end in ends)
    return [some(m), points(abs(pair.difference[at]), metric), f"{pair.m[at]:,}", written]


def search_finding(pair: "SearchPair", study: "SearchStudy") -> str:
    """Say of a pair whose best of m models is expected to be lower: sentences."""
    if pair.no_claim is not None or pair.most is None:
        return pair.no_claim or ""
    usable, metric = pair.m[~np.isnan(pair.difference)], study.selection.metric
    parts = []
    for run in pair.claims:
        name = pair.better[run[0]]
        budgets, difference, m, ends = search_claim(pair, run, metric)
        models = "model" if budgets == "1" else "models"
        parts.append(
            f"With {budgets} {models}, the best of {name} is expected to be {good(metric)} than the best of "
            f"{other(pair, name)}: {difference}{gap_unit(metric)} at m = {m} ({confidently(study.confidence)} {ends})."
        )
    if not usable.size:
        parts.append(f"Nothing is claimed of {pair.a} and {pair.b} with so many models.")
    elif not parts:
        at = int(np.nanargmax(np.where(np.isnan(pair.difference), -1, pair.m)))
        least, most = (_own(metric, end) for end in turned_ends(metric, pair.low[at], pair.high[at]))
        parts.append(
            f"No difference in the expected best {metric.label} of {pair.a} and {pair.b} is shown up to m = "
            f"{pair.m[at]:,}: there, that of {pair.a} is between {least} and {most} ({confidently(study.confidence)})."
        )
    elif undecided := [int(m) for m, name in zip(pair.m, pair.better, strict=True) if name == "none" and m in usable]:
        parts.append(f"No difference is shown for m = {some(undecided)}.")
    if (pair.m > pair.most).any():
        models = "model" if pair.most == 1 else "models"
        parts.append(f"With more than {pair.most:,} {models} no claim is made: the populations hold too few.")
    if not pair.balanced:
        parts.append("Size is only partly balanced.")
    return " ".join(parts)
