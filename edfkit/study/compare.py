"""The compare study: error distributions of populations, every pair of them, and how sure the differences are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.lazy import found
from edfkit.result import Result
from edfkit.stats.bands import Band, Crossings, DifferenceBand, Tail, crossings, difference_band, edf_band, tail
from edfkit.stats.bins import EmptyBinsError
from edfkit.stats.bootstrap import MODELS_PER_DRAW, Interval, bootstrap
from edfkit.stats.edf import ROUND_OFF, Floats
from edfkit.stats.mix import Mix, decompose, holm
from edfkit.stats.permutation import Permutation, permutation_test
from edfkit.stats.two_sample import KS, Summary, ks, lead, prob_better
from edfkit.study.catalogue import VERDICT
from edfkit.study.selection import Population, Selection, Source, alike, select, shared_range
from edfkit.study.settings import Control, ReadingKeywords, SelectionKeywords, settle

if TYPE_CHECKING:
    from edfkit import documents

SENSITIVE_TO = ("params", "flops")
SENSITIVE_BINS = (5, 10, 20, 40)
"""Complexities and numbers of bins of a sensitivity study."""

Sample = tuple[str, Floats, Floats | None, NDArray[np.int64] | None]
"""A population's name, its errors, their weights, and how many models each stands for; None: one."""


class Inference(TypedDict, total=False):
    """How sure a comparison is to be: keywords of `compare_selected`, which the other ways to compare pass on."""

    permutations: int
    seed: int
    confidence: float
    best_share: float


class Options(Inference, total=False):
    """Keywords of `compare_populations` besides `reading` and `control`."""

    area_to: float


@dataclass(frozen=True)
class Pair:
    """Two compared populations.

    Attributes
    ----------
    a, b : str
        Names.
    test : KS
    p_holm : float
        The p value, adjusted by Holm's method for the number of pairs.
    prob_a_better : float
        Probability that a random model of A beats one of B; ties count half.
    better : str
        Name of the better one, "shape" or "none", see `edfkit.stats.two_sample.lead`; by `p_holm`.
    summaries : (Summary, Summary)
        Of A and B.
    given : str
        The complexity that is held equal, or "none".
    pairs : int
        How many pairs `p_holm` is adjusted for.
    crossings : Crossings
        Where the EDFs cross, and whether one dominates.
    difference : DifferenceBand
        Simultaneous band of F_A - F_B: where A is better, worse, undecided.
    tail : Tail
        The best share of each.
    permutation : Permutation or None
        The exact test given complexity, if it was asked for.
    mix : Mix or None
        How much of the unnormalised difference, within the range, is complexity mix; None if no complexity is given.
    """

    a: str
    b: str
    test: KS
    p_holm: float
    prob_a_better: float
    better: str
    summaries: tuple[Summary, Summary]
    given: str
    pairs: int
    crossings: Crossings
    difference: DifferenceBand
    tail: Tail
    permutation: Permutation | None
    mix: Mix | None

    @property
    def verdict(self) -> str:
        """What the comparison shows, in one sentence; `edfkit.show` has the words."""
        return str(found(VERDICT)(self))

    def to_dict(self) -> "documents.Pair":
        """Give the comparison of the pair as plain data; of curves the ranges alone."""
        mix, band = self.mix, self.difference
        return {
            "a": self.a,
            "b": self.b,
            "ks": self.test.statistic,
            "p_value": self.test.p_value,
            "p_method": self.test.method,
            "p_holm": self.p_holm,
            "permutation": None if self.permutation is None else self.permutation.to_dict(),
            "prob_a_better": self.prob_a_better,
            "dominance": {"a": self.a, "b": self.b}.get(self.crossings.dominance, self.crossings.dominance),
            "crossings": list(self.crossings.errors),
            "confidence": band.confidence,
            "ranges": [{"from": lo, "to": hi, "a_is": kind} for lo, hi, kind in band.ranges()],
            "tail": self.tail.to_dict(),
            "mix": None
            if mix is None
            else {
                "mean": mix.mean.to_dict(),
                "prob_better": mix.prob_better.to_dict(),
                "distance": mix.distance.to_dict(),
            },
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Comparison:
    """What comparing populations gave.

    Attributes
    ----------
    selection : Selection
        What took part.
    pairs : list of Pair
    bands : list of Band
        The simultaneous band of each population's EDF.
    seed : int or None
        Of the permutation tests, if there are any.
    settings : list of Setting
        The result under other settings, if that was asked for, see `sensitivity`.
    """

    selection: Selection
    pairs: list[Pair]
    bands: list[Band]
    seed: int | None
    settings: "list[Setting]"

    def to_dict(self) -> "documents.Comparison":
        """Give the comparison as plain data, see the guide; curves are left out."""
        return {
            **self.selection.to_dict(),
            "pairs": [pair.to_dict() for pair in self.pairs],
            "seed": self.seed,
            "sensitivity": [setting.to_dict() for setting in self.settings],
        }


def compare_populations(
    source: Source,
    names: Sequence[str],
    *,
    permutations: int = 0,
    seed: int = 0,
    confidence: float = 0.95,
    best_share: float = 0.05,
    area_to: float = 50.0,
    sensitive: bool = False,
    **settings: Unpack[SelectionKeywords],
) -> Comparison:
    """Compare the error distributions of populations, every pair of them.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population, each once.
    permutations : int
        Permutations of the exact test within the bins; 0: no such test.
    seed : int
        Of the permutation tests.
    confidence : float
        Of the bands and intervals, at least 0.5 and below 1.
    best_share : float
        What of each population is compared as its best, above 0 and up to 1.
    area_to : float
        Right end of the area under the EDF, percent.
    sensitive : bool
        Whether to repeat the comparison of two populations in other settings, see `sensitivity`.
    **settings
        `reading` and `control`, or their fields, see `edfkit.study.settings`; by default params is held equal.

    Returns
    -------
    Comparison

    Raises
    ------
    EdfkitError
        See `selection.select`, and if a number is out of its range.
    """
    if sensitive:
        check_sensitive(names)
    reading, control = settle("compare_populations", settings, Control())
    selection = select(source, names, reading=reading, control=control, area_to=area_to)
    members = selection.populations
    # Models that are alike are counted, as those that are streamed are: so both round in the same way.
    counted = [member.counted() for member in members]
    comparison = compare_selected(
        replace(selection, populations=counted),
        permutations=permutations,
        seed=seed,
        confidence=confidence,
        best_share=best_share,
    )
    summarised = [replace(member, summary=its.summary) for member, its in zip(members, counted, strict=True)]
    comparison = replace(comparison, selection=replace(selection, populations=summarised))
    if not sensitive:
        return comparison
    return replace(comparison, settings=sensitivity(source, *(member.name for member in members), reading=reading))


def check_sensitive(names: Sequence[str]) -> None:
    """Check the names of populations that are to be compared in several settings.

    Raises
    ------
    EdfkitError
        If they are not two.
    """
    if len(names) != 2:
        raise EdfkitError(f"Other settings are about two populations and {len(names)} were named; name two.")


def compare_selected(
    selection: Selection, *, permutations: int = 0, seed: int = 0, confidence: float = 0.95, best_share: float = 0.05
) -> Comparison:
    """Compare populations that are selected already, model by model or counted.

    Parameters
    ----------
    selection : Selection
    permutations, seed, confidence, best_share
        As in `compare_populations`.

    Returns
    -------
    Comparison

    Raises
    ------
    EdfkitError
        If a number is out of its range.
    """
    if not 0 < best_share <= 1:
        raise EdfkitError(f"best_share: {best_share:g} was given, but a share above 0 and up to 1 is needed.")
    rng, given, members = np.random.default_rng(seed), selection.given, selection.populations
    both = list(combinations(members, 2))
    pairs = [_pair(a, b, given, permutations, rng, confidence, best_share) for a, b in both]
    adjusted = holm([pair.p_holm for pair in pairs]).tolist()
    pairs = [_judged(pair, p, len(pairs)) for pair, p in zip(pairs, adjusted, strict=True)]
    bands = [edf_band(one.errors, one.weights, confidence=confidence, counts=one.counts) for one in members]
    return Comparison(selection, pairs, bands, seed if permutations else None, [])


def describe_populations(
    source: Source, names: Sequence[str], *, area_to: float = 50.0, **settings: Unpack[ReadingKeywords]
) -> list[Population]:
    """Summarise the errors of populations one by one, without normalising for complexity.

    Parameters
    ----------
    source, names
        As in `compare_populations`.
    area_to : float
        Right end of the area under the EDF, percent.
    **settings
        `reading`, or its fields, see `edfkit.study.settings`.

    Returns
    -------
    list of Population

    Raises
    ------
    EdfkitError
        See `selection.select`.
    """
    reading, _ = settle("describe_populations", settings)
    members = select(source, names, reading=reading, area_to=area_to).populations
    return [replace(member, summary=member.counted().summary) for member in members]


def summary_intervals(
    member: Population, *, trials: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Give bootstrap intervals of what summarises a population; see `edfkit.stats.bootstrap` for what they cover.

    Parameters
    ----------
    member : Population
        The models.
    trials : int
        At least 100.
    confidence : float
        Above 0 and below 1.
    seed : int
        Of the resampling.

    Returns
    -------
    dict of str to Interval
        Of "mean", "median" (percent) and "area" (share); from 20 models on also of the expected smallest error of a
        search with a 20th of the models, "best of m" (percent), as no resample goes below the smallest of all.

    Raises
    ------
    EdfkitError
        See `edfkit.stats.bootstrap.bootstrap`.
    """
    settings: dict[str, Any] = {"trials": trials, "confidence": confidence, "rng": seed}
    upto = member.summary.area_to
    found = {
        statistic: bootstrap(statistic, member.errors, member.weights, upto=upto, **settings)
        for statistic in ("mean", "median", "area")
    }
    if m := int(member.summary.n_eff / MODELS_PER_DRAW):
        found[f"best of {m}"] = bootstrap("min", member.errors, member.weights, m=m, **settings)
    return found


def _pair(
    a: Population,
    b: Population,
    given: str,
    permutations: int,
    rng: np.random.Generator,
    confidence: float,
    best_share: float,
) -> Pair:
    """Compare two populations, but for what all pairs together decide."""
    errors, weights, shares = (a.errors, b.errors), (a.weights, b.weights), (a.shares, b.shares)
    counts: dict[str, Any] = {"counts_a": a.counts, "counts_b": b.counts}
    bins = [np.zeros(len(member.errors), np.intp) if member.bins is None else member.bins for member in (a, b)]
    test = ks(*errors, *weights, **counts)
    exact = permutation_test(*errors, *bins, trials=permutations, rng=rng, **counts) if permutations else None
    return Pair(
        a.name,
        b.name,
        test,
        (exact or test).p_value,
        prob_better(*errors, *shares),
        "",
        (a.summary, b.summary),
        given,
        1,
        crossings(*errors, *shares),
        difference_band(*errors, *weights, confidence=confidence, **counts),
        tail(*errors, best_share, *weights, confidence=confidence, **counts),
        exact,
        decompose(errors[0], bins[0], errors[1], bins[1], **counts) if given != "none" else None,
    )


def _judged(pair: Pair, p_value: float, pairs: int) -> Pair:
    """Say which of a pair is better by the p value that decides, one of several pairs'."""
    better = lead(p_value, pair.prob_a_better, min(one.n_eff for one in pair.summaries))
    return replace(pair, p_holm=p_value, better={"a": pair.a, "b": pair.b}.get(better, better), pairs=pairs)


@dataclass(frozen=True)
class Setting(Result):
    """One way to control for complexity, and what comes out; None where bins are empty.

    Attributes
    ----------
    given : str
    bins : int
    range : (float, float)
        Raw counts, both ends included.
    ks, p_value, prob_a_better : float or None
    better : str or None
        The population that tends to have the lower error; None if no difference could be shown, or neither does.
    """

    given: str
    bins: int
    range: tuple[float, float]
    ks: float | None
    p_value: float | None
    prob_a_better: float | None
    better: str | None


def sensitivity(
    source: Source,
    a: str,
    b: str,
    *,
    given: Sequence[str] = SENSITIVE_TO,
    bins: Sequence[int] = SENSITIVE_BINS,
    alpha: float = 0.05,
    **settings: Unpack[ReadingKeywords],
) -> list[Setting]:
    """Compare two populations in many ways: by several complexities, numbers of bins, and ranges.

    The ranges are the one that both populations cover, and its lower and its upper half.

    Parameters
    ----------
    source : Source
        Where the populations are.
    a, b : str
        The populations.
    given : sequence of str
        Complexities.
    bins : sequence of int
        Numbers of bins.
    alpha : float
        Level at which a difference is shown.
    **settings
        `reading`, or its fields, see `edfkit.study.settings`.

    Returns
    -------
    list of Setting
        In the order of complexity, range, bins.

    Raises
    ------
    EdfkitError
        See `selection.select`; a setting with an empty bin is no error but has no result.
    """

    def sample(name: str, member: Population) -> Sample:
        errors, weights, _, counts = alike(member.errors, member.weights, member.bins)
        return name.lower(), errors, weights, counts

    reading, _ = settle("sensitivity", settings)
    found: list[Setting] = []
    for complexity in given:
        whole = shared_range(source, [a, b], complexity, reading.diverged)
        for number, range in ways(whole, bins):
            try:
                chosen = select(source, [a, b], reading=reading, control=Control(complexity, number, range))
            except EmptyBinsError:
                found.append(setting(complexity, number, range))
                continue
            one, other = map(sample, (a, b), chosen.populations)
            found.append(setting(complexity, number, range, one, other, alpha))
    return found


def ways(range: tuple[float, float], bins: Sequence[int] = SENSITIVE_BINS) -> list[tuple[int, tuple[float, float]]]:
    """List the settings of a sensitivity study for one complexity: numbers of bins, over the range and its halves.

    Parameters
    ----------
    range : (float, float)
        What both populations cover, raw counts.
    bins : sequence of int
        Numbers of bins.

    Returns
    -------
    list of (int, (float, float))
        Bins and range; of the whole range first, then of the lower and of the upper half.
    """
    lo, hi = range
    middle = (lo + hi) / 2
    return [(number, span) for span in (range, (lo, middle), (middle, hi)) for number in bins]


def setting(
    given: str,
    bins: int,
    range: tuple[float, float],
    one: Sample | None = None,
    other: Sample | None = None,
    alpha: float = 0.05,
) -> Setting:
    """Compare two populations in one setting.

    Parameters
    ----------
    given, bins, range
        The setting.
    one, other : Sample, optional
        Name, errors, weights and counts of each; left out where bins are empty.
    alpha : float
        Level at which a difference is shown.

    Returns
    -------
    Setting
    """
    if one is None or other is None:
        return Setting(given, bins, range, None, None, None, None)
    (a, errors_a, weights_a, counts_a), (b, errors_b, weights_b, counts_b) = one, other
    test = ks(errors_a, errors_b, weights_a, weights_b, counts_a=counts_a, counts_b=counts_b)
    better = prob_better(errors_a, errors_b, _shares(weights_a, counts_a), _shares(weights_b, counts_b))
    lead = better - 0.5  # where none tends to be better, round-off must not decide
    winner = None if test.p_value >= alpha or abs(lead) < ROUND_OFF else a if lead > 0 else b
    return Setting(given, bins, range, test.statistic, test.p_value, better, winner)


def _shares(weights: Floats | None, counts: NDArray[np.int64] | None) -> Floats | None:
    return weights if weights is None or counts is None else weights * counts
