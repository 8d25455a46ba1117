"""The words of every output: p values, counts, ranges, what is held equal, states, each written in one place.

Convention: errors are percent, their differences percentage points. Functions give text without a full stop, unless
they say that it is a sentence.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edfkit.stats.adjusted import MOST_BIAS

if TYPE_CHECKING:
    from edfkit.stats.adjusted import Balance
    from edfkit.stats.bands import Best
    from edfkit.stats.two_sample import Summary
    from edfkit.study.compare import Estimates, Pair
    from edfkit.study.selection import Population, Selection

SMALLEST_P = 1e-4
"""Smaller p values are not written out: the laws behind them are not as precise, and nothing depends on it."""

DIVERGED = {"keep": "keep their error", "drop": "are left out", "censor": "count as 100 %"}
"""What is done with runs that diverged."""

ERRORS = {"best": "smallest over the epochs", "final": "after the last epoch"}
"""Which error is read; others are after an epoch."""

SUMMARY = ("models", "n_eff", "min", "5 %", "median", "mean", "95 %", "area")
"""The columns of `summary`."""


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
        return "all models" if selection.given == "none" else f"{selection.strata or 0:,} common strata"
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


def error_read(kind: str) -> str:
    """Say which error is read, such as after epoch 5."""
    return ERRORS.get(kind, f"after epoch {kind}")


def reasons(left_out: Mapping[str, int]) -> str:
    """Say how many models take no part, by reason; none is written as none."""
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "none"


def taking_part(name: str, left_out: Mapping[str, int], diverged: int, policy: str) -> str:
    """Say which models of a population took no part, and what was done with runs that diverged: a sentence."""
    what = "kept" if policy == "keep" else "counted as 100 %"
    kept = f"; {diverged:,} diverged, {what}" if diverged else ""
    return f"{name}: left out {reasons(left_out)}{kept}."


def better(name: str | None) -> str:
    """Say which population of a pair is better: its name, or that none is."""
    return {"shape": "neither; another shape", "none": "none shown", None: "none shown"}.get(name) or str(name)


# --- Summaries


def summary(of: "Summary") -> list[str]:
    """Write the numbers of a summary, in the columns of `SUMMARY`; errors are percent."""
    errors = (of.min, of.quantiles[0.05], of.median, of.mean, of.quantiles[0.95])
    return [f"{of.models:,}", f"{of.n_eff:,.1f}", *(f"{error:.2f}" for error in errors), f"{of.area:.4f}"]


def medians(members: "Sequence[Population]") -> str:
    """Write the median error of each population."""
    return ", ".join(f"{member.name} {member.summary.median:.2f} %" for member in members)


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


def points(value: float) -> str:
    """Write a difference of errors, with two digits that count."""
    size = abs(value)
    return f"{value:.{1 if size >= 10 else 2}f}"


def confidently(confidence: float) -> str:
    """Name an interval, such as 95 % CI."""
    return f"{100 * confidence:g} % CI"


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
        claim = f"no difference between {first} and {second} is shown{_adjusted(pair)}; {excluded(pair)}"
    elif pair.better == "shape":
        claim = (
            f"the error distributions of {first} and {second} differ in shape{_adjusted(pair)}, but neither is shown "
            "to be better"
        )
    else:
        claim = f"{first} has lower error than {second}{_adjusted(pair)}"
    if pair.is_equivalent and pair.p_equivalent is not None:
        near = f"their mean errors are shown to differ by less than {pair.equivalent:g} points"
        claim += f"; {near} ({p_is(pair.p_equivalent)})"
    return f"{_opens(pair)}, {claim}."


def excluded(pair: "Pair") -> str:
    """Say what differences of the mean errors a comparison excludes."""
    if pair.estimates is None or pair.estimates.mean is None:
        return "the mean errors are not compared"
    mean = pair.estimates.mean
    ends = f"between {_signed(mean.low)} and {_signed(mean.high)}"
    alone = "" if mean.low <= 0 <= mean.high else ", of this pair by itself"
    return f"the mean error of {pair.a} is {ends} ({confidently(pair.confidence)}{alone})"


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
    if its is None or its.mean is None or not pair.sure:
        return []
    a, b, prob, low, high = pair.a, pair.b, its.better.prob, its.better.low, its.better.high
    mean, median, sign = its.mean, its.middle.difference(), 1.0
    best = its.tail.a, its.tail.b
    if prob < 0.5:
        a, b, prob, low, high, sign, best = b, a, 1 - prob, 1 - high, 1 - low, -1.0, (its.tail.b, its.tail.a)
    at, least, most = percent(prob, low, high)
    often = f"{at} % of the time ({confidently(pair.confidence)} {least} to {most})"
    unknown = its.middle.a.low <= 0 or its.middle.b.high >= 100, its.middle.b.low <= 0 or its.middle.a.high >= 100
    found = [
        ("better of two random models", f"{a}, {often}"),
        ("mean error", _difference(a, sign, mean.estimate, mean.low, mean.high)),
        ("median error", _difference(a, sign, *median, unknown)),
        *((f"{100 * its.tail.q:g} % quantile, {name}", _quantile(one)) for name, one in zip((a, b), best, strict=True)),
        *_where(pair, a),
    ]
    if pair.mix is not None:
        found.append(("mean without adjustment", f"{a} {_signed(sign * pair.mix.mean.total)}"))
    if (equal := its.balance) is not None and not pair.sharing.paired:
        found.append((called(pair.given.split(",")[equal.column]), _balanced(pair, equal)))
    outside = [f"{count:,} {name}" for count, name in zip(pair.excluded, (pair.a, pair.b), strict=True) if count]
    if outside and pair.bins is None:
        found.append(("models outside the overlap", ", ".join(outside)))
    if pair.sharing.units and not pair.sharing.paired:
        found.append(("networks in both", f"{pair.sharing.units:,}, too few to matter"))
    if pair.equivalent is not None and pair.p_equivalent is not None:
        answer = f"{'shown' if pair.is_equivalent else 'not shown'} ({p_is(pair.p_equivalent)})"
        found.append((f"means within {pair.equivalent:g} points", answer))
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


def _quantile(one: "Best") -> str:
    """Write a quantile with its interval, of which an end may not be known."""
    low, high = one.low > 0, one.high < 100
    if low and high:
        return f"{one.quantile:.2f} % ({one.low:.2f} to {one.high:.2f})"
    known = f"at least {one.low:.2f}" if low else f"at most {one.high:.2f}" if high else "any"
    return f"{one.quantile:.2f} % ({known})"


def _signed(difference: float) -> str:
    return f"{points(abs(difference))} points {_side(difference)}"


def _difference(
    name: str, sign: float, estimate: float, low: float, high: float, unknown: tuple[bool, bool] = (False, False)
) -> str:
    """Write a difference as the first population's, with its interval, of which an end may not be known."""
    if sign < 0:
        estimate, low, high, unknown = -estimate, -high, -low, unknown[::-1]
    if all(unknown):
        ends = "any"
    elif unknown[0]:
        ends = f"up to {_signed(high)}"
    elif unknown[1]:
        ends = f"from {_signed(low)}"
    elif low <= 0 <= high:
        ends = f"{points(abs(low))} lower to {points(abs(high))} higher"
    else:
        ends = " to ".join(points(one) for one in sorted((abs(low), abs(high))))
    return f"{name} {_signed(estimate)} ({ends})"


_RANGES = 3  # of errors, named in a sentence; large populations may differ in dozens


def _where(pair: "Pair", first: str) -> "list[tuple[str, str]]":
    """Say at which errors one EDF is above the other, the first one's before the other's."""
    decided = [one for one in pair.ranges() if one[2] != "undecided"]
    found = []
    kinds = [("better", pair.a), ("worse", pair.b)]
    for kind, name in kinds if first == pair.a else kinds[::-1]:
        spans = [(lo, hi) for lo, hi, which in decided if which == kind and hi - lo >= 0.005]
        widest = sorted(sorted(spans, key=lambda one: one[0] - one[1])[:_RANGES])
        if spans:
            more = f" and {plural(len(spans) - len(widest), 'narrower range')}" if len(spans) > len(widest) else ""
            named = ", ".join(f"{lo:.2f} to {hi:.2f} %" for lo, hi in widest)
            found.append(("better at every threshold", f"{name} from {named}{more}"))
    return found


def _balanced(pair: "Pair", equal: "Balance") -> str:
    """Say how equal complexity is before and after."""
    many = plural(pair.bins or 0, "bin") if pair.strata is None else strata(pair.strata)
    if equal.ratio:
        text = f"{pair.a} {equal.before:.2f} times {pair.b} before, {equal.after:.2f} after adjustment ({many})"
    else:
        text = f"{pair.a} minus {pair.b}: {equal.before:.3g} before, {equal.after:.3g} after adjustment ({many})"
    if equal.equal or not pair.adjusts:
        return text
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
