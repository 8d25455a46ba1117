"""The words of every output: p values, counts, ranges, what is held equal, states, each written in one place.

Convention: errors are percent, their differences percentage points. Functions give text without a full stop, unless
they say that it is a sentence.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edfkit.stats.two_sample import Summary
    from edfkit.study.compare import Pair
    from edfkit.study.selection import Population, Selection

SMALLEST_P = 1e-16
"""Smaller p values are not written out: neither the arithmetic nor the law behind them is as precise."""

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
    return f"< {SMALLEST_P:g}" if value < SMALLEST_P else f"{value:.2g}"


def p_is(value: float) -> str:
    """Write a p value for a sentence, such as p = 0.012."""
    return f"p {p_value(value)}" if value < SMALLEST_P else f"p = {p_value(value)}"


def plural(count: int, word: str) -> str:
    """Write a count of things whose plural ends in s, such as 1 bin."""
    return f"{count:,} {word}" + "s" * (count != 1)


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
        return "all models"
    return f"{span(selection.range)}, {plural(selection.bins, 'bin')}"


def control(selection: "Selection") -> str:
    """Say what complexity is held equal, and how: a sentence."""
    if selection.range is None or selection.bins is None:
        return "Not normalised for complexity."
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


# --- Claims


def opening(given: str) -> str:
    """Begin the claim of a comparison, by what is held equal."""
    return "Without normalising for complexity" if given == "none" else capital(held(given))


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
    a, b, test, prob = pair.a, pair.b, pair.test, pair.prob_a_better
    one, other = pair.summaries
    ahead, behind = test.a_ahead, test.b_ahead
    if pair.better == b:
        a, b, one, other, ahead, behind, prob = b, a, other, one, behind, ahead, 1 - prob
    if pair.better == "none":
        claim = f"no difference between the errors of {a} and {b} models could be shown"
    elif pair.better == "shape":
        claim = f"the error distributions of {a} and {b} models differ in shape, but neither is clearly better"
    else:
        claim = f"{a} models tend to have lower error than {b} models"
    if ahead > 0 and behind > 0:
        curves = f"the EDFs cross ({a} ahead by up to {ahead:.2g}, {b} by up to {behind:.2g})"
    else:
        curves = f"the {a if behind == 0 else b} EDF lies nowhere below the other"
    kind = test.method.partition(":")[0]
    sizes = f"n_eff {one.n_eff:.0f} and {other.n_eff:.0f}"
    if decides := _decides(pair):
        sizes += f"; {p_value(pair.p_holm)} {decides}"
    return (
        f"{opening(pair.given)}, {claim}: KS D = {test.statistic:.2f}, {p_is(test.p_value)} ({kind}, {sizes}), a "
        f"random {a} model beats a random {b} model with probability {prob:.2f} (ties count half), the median errors "
        f"are {one.median:.2f} % and {other.median:.2f} %" + (f", and {curves}." if pair.better != "none" else ".")
    )


def _decides(pair: "Pair") -> str:
    """Say what p value decides, if it is another one than that of the test."""
    exact = ["exact"] if pair.permutation is not None else []
    adjusted = [f"adjusted for {pair.pairs} pairs"] if pair.pairs > 1 else []
    return ", ".join(exact + adjusted)
