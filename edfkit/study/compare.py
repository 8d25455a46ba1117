"""The compare study: error distributions of populations, every pair of them, and how sure the differences are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.lazy import found
from edfkit.metric import ERROR, Metric
from edfkit.progress import steps
from edfkit.result import Result, signed
from edfkit.stats.adjusted import (
    LEAST_CLAIM,
    LEAST_OVERLAP,
    Balance,
    Better,
    Difference,
    balance,
    better,
    better_by_permutation,
    mean_difference,
)
from edfkit.stats.bands import Band, Crossings, DifferenceBand, Tail, crossings, difference_band, edf_band, tail
from edfkit.stats.bins import bin_index
from edfkit.stats.claims import OF_BETTER, OF_SHAPE, Claim, claims, permutations_needed
from edfkit.stats.curves import LARGE, Shape, shape_test, strata_band
from edfkit.stats.dominance import Violation, violation
from edfkit.stats.edf import effective_size
from edfkit.stats.mix import Mix, Parts, decompose, holm
from edfkit.stats.permutation import Permutation, permutation_test
from edfkit.stats.strata import Strata, common_weights, cut, in_strata
from edfkit.stats.two_sample import ks, prob_better
from edfkit.study.catalogue import SETTING, VERDICT
from edfkit.study.counting import WHOLE, Counted, once
from edfkit.study.selection import (
    Population,
    Selection,
    Source,
    check_names,
    chosen_on_test,
    expect,
    gather,
    select,
    tied_together,
    told_apart,
    units_of,
)
from edfkit.study.settings import FILLS, Control, Reading, ReadingKeywords, SelectionKeywords, settle, split
from edfkit.study.units import Sharing, sharing
from edfkit.study.weighing import by_unit, numbers, repeated

if TYPE_CHECKING:
    from edfkit import documents


class Inference(TypedDict, total=False):
    """How sure a comparison is to be: keywords of `compare_selected`, which the other ways to compare pass on."""

    permutations: int
    seed: int
    confidence: float
    best_share: float
    equivalent: float | None


class Options(Inference, total=False):
    """Keywords of `compare_populations` besides `reading` and `control`."""

    area_to: float | None


class Keywords(SelectionKeywords, Options, total=False):
    """Keywords of `compare_populations`."""


@dataclass(frozen=True)
class Estimates:
    """What is estimated of two populations at equal complexity.

    Attributes
    ----------
    distance : float
        D, the largest distance of the adjusted EDFs.
    better : Better
        Whether a random model of A beats one of B.
    mean : Difference or None
        Of the mean errors; None where too few models are comparable for an interval, or some run counts as worse than
        any value.
    balance : Balance or None
        How equal their complexities are; None if none is held equal.
    crossings : Crossings
        Where the EDFs cross, and whether one dominates.
    difference : DifferenceBand
        Simultaneous band of F_A - F_B: where A is better, worse, undecided.
    tail : Tail
        The best share of each.
    middle : Tail
        The medians.
    violation : Violation or None
        How far A is from being at least as good at every quantile; None where too few models are comparable.
    p_ks : float or None
        Exact p value of D, run by run; None if something is held equal.
    """

    distance: float
    better: Better
    mean: Difference | None
    balance: Balance | None
    crossings: Crossings
    difference: DifferenceBand
    tail: Tail
    middle: Tail
    violation: Violation | None
    p_ks: float | None


@dataclass(frozen=True)
class Fragile(Result):
    """What is found of a pair, depending on runs that have no value.

    Attributes
    ----------
    plain, worst, best : str
        Name of the better one, "shape" or "none", with those runs left out, counted as the worst, and as the best.
    unplaced : int
        Those that are left out in all three cases, as the complexity that is held equal is not known of them.
    """

    plain: str
    worst: str
    best: str
    unplaced: int = 0

    @property
    def survives(self) -> str:
        """What holds in all three cases, else "none"."""
        return self.plain if self.plain == self.worst == self.best else "none"


@dataclass(frozen=True)
class Pair:
    """Two compared populations.

    Attributes
    ----------
    a, b : str
        Names.
    given : str
        What is held equal, or "none".
    pairs : int
        How many pairs are tested together.
    confidence : float
        Of intervals, band, and of all claims together.
    estimates : Estimates or None
        None if there are too few models of both at equal complexity, or the two cannot be compared; with bins what the
        weighted populations show, whatever that is worth, see `sure`.
    shape : Shape or None
        The test whether the distributions differ at all; None where it could not change the claim.
    claim : Claim or None
        What may be said; None if the pair was not tested.
    strata : int or None
        Strata that hold models of both; None with bins, or with nothing held equal.
    bins : int or None
    overlap : float
        H, see `edfkit.stats.strata`.
    excluded : (int, int)
        Models of A and of B outside the overlap, or outside the range of the bins.
    sharing : Sharing
        What the two have in common.
    adjusts : bool
        Whether what is held equal has an effect: False if one stratum or bin holds all complexities.
    equivalent : float or None
        Percentage points within which the means, or the medians, were to be equivalent.
    p_equivalent : float or None
        The p value of that, adjusted for the number of pairs; not below 1e-6 of medians.
    permutation : Permutation or None
        The permutation test of D within bins, or of nothing held equal, if it was asked for; run by run.
    mix : Mix or None
        How much of the difference without adjustment is complexity mix; None if no complexity is held equal.
    metric : Metric
        What is compared; numbers are oriented.
    missing : (int, int)
        Runs of A and of B that are left out as they have no value.
    fragile : Fragile or None
        What is found if these count as the worst, or the best; None if there are none.
    medians : bool
        Whether medians are tested for equivalence rather than means, as the metric has no bounds, or runs without a
        value count as the worst.
    """

    a: str
    b: str
    given: str
    pairs: int
    confidence: float
    estimates: Estimates | None
    shape: Shape | None
    claim: Claim | None
    strata: int | None
    bins: int | None
    overlap: float
    excluded: tuple[int, int]
    sharing: Sharing
    adjusts: bool
    equivalent: float | None
    p_equivalent: float | None
    permutation: Permutation | None
    mix: Mix | None
    metric: Metric = ERROR
    missing: tuple[int, int] = (0, 0)
    fragile: Fragile | None = None
    medians: bool = False

    @property
    def better(self) -> str:
        """Name of the better one, "shape" if the distributions differ otherwise, or "none" if nothing is claimed."""
        return self.found if self.fragile is None else self.fragile.survives

    @property
    def found(self) -> str:
        """What would be claimed if no run without a value could change it, see `better`."""
        if self.claim is None or self.estimates is None or self.claim.kind != "better":
            return "none" if self.claim is None else self.claim.kind
        return self.a if self.estimates.better.prob > 0.5 else self.b

    @property
    def prob_a_better(self) -> float | None:
        """Probability that a random model of A beats one of B of about its complexity; ties count half."""
        return None if self.estimates is None else self.estimates.better.prob

    @property
    def p_value(self) -> float | None:
        """The p value that decides, of this pair by itself."""
        return None if self.claim is None else self.claim.p_value

    @property
    def p_adjusted(self) -> float | None:
        """The p value, adjusted for all pairs."""
        return None if self.claim is None else self.claim.p_adjusted

    @property
    def sure(self) -> bool:
        """Whether it is known how sure the estimates are: enough models, of populations that can be compared."""
        return self.estimates is not None and self.overlap >= LEAST_OVERLAP and not self.sharing.refused

    @property
    def alpha(self) -> float:
        """Probability of any false claim."""
        return 1 - self.confidence

    @property
    def is_equivalent(self) -> bool | None:
        """Whether the means are shown to be equivalent; None if that was not asked."""
        return None if self.p_equivalent is None else self.p_equivalent <= self.alpha

    @property
    def no_claim(self) -> str | None:
        """Why the pair was not tested; None if it was."""
        return untested(self.a, self.b, self.given, self.overlap, self.sharing) if self.claim is None else None

    def ranges(self) -> list[tuple[float, float, str]]:
        """Say where A is better, worse or undecided: all of it is undecided where nothing is claimed.

        Returns
        -------
        list of (float, float, str)
            See `edfkit.stats.bands.DifferenceBand.ranges`.
        """
        if self.estimates is None or self.better == "none":
            return [(self.metric.least, self.metric.most, "undecided")]
        return self.estimates.difference.ranges((self.metric.least, self.metric.most))

    @property
    def verdict(self) -> str:
        """What the comparison shows, in one sentence; `edfkit.show` has the words."""
        return str(found(VERDICT)(self))

    @property
    def p_method(self) -> str | None:
        """How the p value was computed."""
        if self.claim is None:
            return None
        if self.bins is not None:
            rank = "rank test by permutation within bins"
        else:
            rank = "paired rank test" if self.sharing.paired else "stratified rank test" if self.strata else "rank test"
        if self.shape is None:
            return rank
        if self.shape.method == "limit":
            return f"{rank}, shape by the limit law of permutations"
        return f"{rank}, shape by {self.shape.permutations:,} permutations"

    def to_dict(self) -> "documents.Pair":
        """Give the comparison of the pair as plain data, oriented; of curves the ranges alone."""
        its, mix = self.estimates, self.mix
        sure = its if self.sure else None
        mean = None if sure is None else sure.mean
        median = None if sure is None else sure.middle.difference()
        equal = None if sure is None else sure.balance
        return {
            "a": self.a,
            "b": self.b,
            "better": None if self.better == "none" else self.better,
            "ks": None if its is None else its.distance,
            "p_value": self.p_value,
            "p_method": self.p_method,
            "p_adjusted": self.p_adjusted,
            "p_holm": self.p_adjusted,
            "p_better": None if sure is None else sure.better.p_value,
            "p_shape": None if self.shape is None else self.shape.p_value,
            "p_ks": None if its is None else its.p_ks,
            "prob_a_better": self.prob_a_better,
            "prob_a_better_interval": None if sure is None else [sure.better.low, sure.better.high],
            "mean_difference": None if mean is None else mean.estimate,
            "mean_difference_interval": None if mean is None else [mean.low, mean.high],
            "median_difference": None if median is None else median[0],
            "median_difference_interval": None if median is None else [*median[1:]],
            "equivalent": self.is_equivalent,
            "p_equivalent": self.p_equivalent,
            "balance": None
            if equal is None
            else {
                "before": equal.before,
                "after": equal.after,
                "smd": equal.smd,
                "bias_in_se": equal.bias_in_se,
                "equal": equal.equal,
            },
            "strata": self.strata,
            "overlap": self.overlap,
            "excluded": sum(self.excluded),
            "excluded_by": {"a": self.excluded[0], "b": self.excluded[1]},
            "paired": self.sharing.paired,
            "shared": self.sharing.units,
            "no_claim": self.no_claim,
            "permutation": None if self.permutation is None else self.permutation.to_dict(),
            "dominance": None
            if its is None
            else {"a": self.a, "b": self.b}.get(its.crossings.dominance, its.crossings.dominance),
            "almost_dominance": None if sure is None or sure.violation is None else sure.violation.to_dict(),
            "crossings": [] if its is None else list(its.crossings.errors),
            "confidence": self.confidence,
            "ranges": [{"from": lo, "to": hi, "a_is": kind} for lo, hi, kind in self.ranges()],
            "tail": None if its is None else its.tail.to_dict(),
            "mix": None
            if mix is None
            else {
                "mean": mix.mean.to_dict(),
                "prob_better": mix.prob_better.to_dict(),
                "distance": mix.distance.to_dict(),
            },
            "missing": {"a": self.missing[0], "b": self.missing[1]},
            "fragile": None if self.fragile is None else self.fragile.to_dict(),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Setting(Result):
    """What is estimated of two populations in another setting, or why nothing is.

    Attributes
    ----------
    group : str
        What differs: "strata", "complexity", "range", "bins", "error", "diverged", "stopped" or "failed"; "chosen" for
        the comparison itself.
    given : str
        What is held equal, or "none".
    strata : int or None
        Strata that hold models of both; None with bins, or with nothing held equal.
    bins : int or None
    range : (float, float) or None
        The range of the bins, or the part of the complexities that is looked at; None: all. Raw counts, ends included.
    error, diverged, failed, stopped : str
        See `edfkit.study.settings.Reading`.
    prob_a_better : float or None
        Probability that a random model of A beats one of B of about its complexity; ties count half.
    prob_a_better_interval : (float, float) or None
    mean_difference : float or None
        Mean error of A minus that of B, percentage points.
    mean_difference_interval : (float, float) or None
        Both intervals are of this setting by itself, with the confidence of the comparison.
    balanced : bool or None
        Whether complexity is equal enough for the interval to hold, see `edfkit.stats.adjusted.Balance`.
    why : str or None
        Why nothing is estimated, a sentence.
    metric : Metric
        What is compared.
    """

    group: str
    given: str
    strata: int | None
    bins: int | None
    range: tuple[float, float] | None
    error: str
    diverged: str
    failed: str
    prob_a_better: float | None = None
    prob_a_better_interval: tuple[float, float] | None = None
    mean_difference: float | None = None
    mean_difference_interval: tuple[float, float] | None = None
    balanced: bool | None = None
    why: str | None = None
    stopped: str = "drop"
    metric: Metric = ERROR

    @property
    def chosen(self) -> bool:
        """Whether it is that of the comparison itself."""
        return self.group == "chosen"

    @property
    def label(self) -> str:
        """The setting in words; `edfkit.show` has them."""
        return str(found(SETTING)(self))

    def to_dict(self) -> "documents.Setting":
        """Give the setting as plain data."""
        document = {"label": self.label, **super().to_dict()}
        del document["metric"]
        return document  # type: ignore[return-value]


@dataclass(frozen=True)
class Comparison:
    """What comparing populations gave.

    Attributes
    ----------
    selection : Selection
        What took part; weighted with bins, else as it is.
    pairs : list of Pair
    drawn : Selection
        The populations as they are drawn: at equal complexity by strata that all have, if there are any, which with
        more than two are others than those of the pairs.
    bands : list of Band
        The simultaneous band of each drawn EDF.
    seed : int
        Of permutations and bands.
    settings : list of Setting
        Estimates in other settings, if they were asked for, see `edfkit.study.sensitivity`.
    """

    selection: Selection
    pairs: list[Pair]
    drawn: Selection
    bands: list[Band]
    seed: int
    settings: list[Setting]

    def to_dict(self) -> "documents.Comparison":
        """Give the comparison as plain data, see the guide; curves are left out."""
        chosen = self.selection
        spaces: list[documents.ComparedSpace] = [
            {
                **one.to_dict(),
                "units": int(one.units.different.size) if one.units is not None else one.models,
            }
            for one in chosen.populations
        ]
        document: documents.Comparison = {
            "metric": chosen.metric.to_dict(),
            "given": chosen.given,
            "error": chosen.error,
            "diverged": chosen.diverged,
            "stopped": chosen.stopped,
            "select": chosen.select,
            "bins": chosen.bins,
            "range": None if chosen.range is None else list(chosen.range),
            "chosen_on_test": chosen.chosen_on_test,
            "spaces": spaces,
            "pairs": [pair.to_dict() for pair in self.pairs],
            "seed": self.seed,
            "sensitivity": [setting.to_dict() for setting in self.settings],
        }
        return signed("Comparison", document, chosen.metric)  # type: ignore[no-any-return]


def compare_study(
    source: Source,
    names: Sequence[str],
    *,
    stream: bool = False,
    scheduler: str | None = None,
    sensitive: bool = False,
    **settings: Unpack[Keywords],
) -> Comparison:
    """Compare populations as `compare_populations` does, in other settings too, or counted on a cluster.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least two, each once.
    stream : bool
        Whether to count models whatever their number; else those of populations that are not kept row by row, see
        `edfkit.study.counting`. The numbers are the same.
    scheduler : str, optional
        Count on the Dask cluster with the scheduler at this address.
    sensitive : bool
        Whether to estimate the difference of two populations in other settings too, see `edfkit.study.sensitivity`.
    **settings
        As in `compare_populations`.

    Returns
    -------
    Comparison

    Raises
    ------
    EdfkitError
        See `compare_populations` and `edfkit.study.sensitivity.sensitivity`.
    """
    names = list(names)
    if len(names) < 2:
        raise EdfkitError(f"names: {len(names)} populations were named, expected two or more; name them.")
    counted = source
    if stream or scheduler is not None or not isinstance(source, Counted):
        counted = Counted(source, whole=0 if stream or scheduler is not None else WHOLE, scheduler=scheduler)
    if not sensitive:
        return compare_populations(counted, names, **settings)
    from edfkit.study.sensitivity import check_two, look_ahead, sensitivity

    check_two(names)
    inference, others = split(settings, Options)
    reading, control = settle("compare", others, Control())
    look_ahead(counted, names, reading, control)
    result = compare_populations(counted, names, reading=reading, control=control, **inference)
    confidence = inference.get("confidence", 0.95)
    return replace(result, settings=sensitivity(counted, names, reading, control, confidence=confidence))


def compare_populations(
    source: Source,
    names: Sequence[str],
    *,
    permutations: int = 0,
    seed: int = 0,
    confidence: float = 0.95,
    best_share: float = 0.05,
    equivalent: float | None = None,
    area_to: float | None = None,
    **settings: Unpack[SelectionKeywords],
) -> Comparison:
    """Compare the error distributions of populations, every pair of them, at equal complexity.

    Each pair has strata of its own, see `edfkit.stats.strata`; with bins or a range all have bins of equal width, as in
    the paper. What may be claimed of all pairs together is decided by `edfkit.stats.claims`.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population, each once.
    permutations : int
        Maximum number of the test of shape; fewer than a claim needs are raised to as many. With bins, or with nothing
        held equal, also the number of a permutation test of D.
    seed : int
        Of permutations and bands; those of a pair depend on it and on the pair alone.
    confidence : float
        Of bands and intervals, and of all claims together; at least 0.5 and below 1.
    best_share : float
        Fraction of each population that counts as its best models, above 0 and up to 1.
    equivalent : float, optional
        Percentage points: whether the mean errors differ by less is tested too.
    area_to : float, optional
        End of the area under the EDF, see `selection.select`.
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
    reading, control = settle("compare_populations", settings, Control())
    counted = once(source)
    inference: Inference = {
        "permutations": permutations,
        "seed": seed,
        "confidence": confidence,
        "best_share": best_share,
        "equivalent": equivalent,
    }
    result = compare_selected(take_part(counted, names, reading, control, area_to), **inference)
    if reading.failed != "drop" or not any(one.missing for one in result.selection.populations):
        return result
    if control.binned:  # the same bins
        control = replace(control, bins=result.selection.bins, range=result.selection.range)
    worst, best = (_if_counted(counted, names, replace(reading, failed=fill), control, inference) for fill in FILLS)
    unplaced = {one.name: one.unplaced for one in result.selection.populations}
    pairs = [
        _surviving(*three, unplaced[three[0].a] + unplaced[three[0].b])
        for three in zip(result.pairs, worst, best, strict=True)
    ]
    return replace(result, pairs=pairs)


def _if_counted(
    source: Source, names: Sequence[str], reading: Reading, control: Control, inference: Inference
) -> list[Pair]:
    """Compare populations once more, with runs that have no value counted as the worst, or the best."""
    return compare_selected(take_part(source, names, reading, control), **inference, intervals=False).pairs


def _surviving(pair: Pair, worst: Pair, best: Pair, unplaced: int) -> Pair:
    """Claim of a pair what holds whatever the runs without a value would have come to."""
    if not sum(pair.missing):
        return pair
    equivalent = pair.p_equivalent
    if equivalent is not None:
        equivalent = max(equivalent, *(1.0 if one.p_equivalent is None else one.p_equivalent for one in (worst, best)))
    return replace(pair, fragile=Fragile(pair.found, worst.found, best.found, unplaced), p_equivalent=equivalent)


def take_part(
    source: Source,
    names: Sequence[str],
    reading: Reading,
    control: Control,
    area_to: float | None = None,
    also: Sequence[str] = (),
) -> Selection:
    """Select the models of populations that are compared: as they are for strata, weighted with bins.

    Parameters
    ----------
    source, names, reading, control, area_to
        As in `compare_populations`.
    also : sequence of str
        Other numeric columns to give of each row.

    Returns
    -------
    Selection

    Raises
    ------
    EdfkitError
        See `selection.select`.
    """
    if not control.binned:
        return gather(source, names, reading=reading, control=control, area_to=area_to, also=also)
    names, counted = check_names(names), once(source)
    by_row = told_apart(counted, names)
    if not by_row:
        expect(counted, names, reading, control.columns, also=also, chosen=True)
    selection = select(counted, names, reading=reading, control=control, area_to=area_to, by_row=by_row, also=also)
    members = [by_unit(replace(one, units=units_of(counted, one))) for one in selection.populations]
    chosen = chosen_on_test(counted, names, reading, by_row=by_row)
    return replace(selection, populations=members, chosen_on_test=chosen)


def compare_selected(
    selection: Selection,
    *,
    permutations: int = 0,
    seed: int = 0,
    confidence: float = 0.95,
    best_share: float = 0.05,
    equivalent: float | None = None,
    intervals: bool = True,
) -> Comparison:
    """Compare populations that are selected already, model by model or counted.

    Parameters
    ----------
    selection : Selection
    permutations, seed, confidence, best_share, equivalent
        As in `compare_populations`.
    intervals : bool
        Whether the bands of the EDFs are wanted.

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
    if not 0.5 <= confidence < 1:
        raise EdfkitError(
            f"confidence: {confidence:g} was given, but at least 0.5 and less than 1 is needed, for example 0.95."
        )
    if permutations < 0:
        raise EdfkitError(f"permutations: {permutations} was given, but a number of at least 0 is needed.")
    if equivalent is not None and not 0 < equivalent < np.inf:
        raise EdfkitError(f"equivalent: {equivalent:g} was given, but percentage points above 0 are needed.")
    members, both, shared = prepared(selection)
    alpha = 1 - confidence
    most = max(permutations, permutations_needed(max(1, len(both)), alpha))
    how = _How(selection, confidence, best_share, equivalent, seed, most, permutations)
    pairs = [
        _pair(members[a.name], members[b.name], same, how)
        for (a, b), same in steps(list(zip(both, shared, strict=True)), "comparing pairs")
    ]
    drawn, bands = selection, list[Band]()
    if intervals:
        drawn, bands = _drawn(replace(selection, populations=list(members.values())), confidence)
    return Comparison(selection, _claimed(pairs), drawn, bands, seed, [])


def prepared(
    selection: Selection,
) -> tuple[dict[str, Population], list[tuple[Population, Population]], list[Sharing]]:
    """Bring populations into the form in which they are compared.

    Parameters
    ----------
    selection : Selection

    Returns
    -------
    members : dict of str to Population
        Models that are alike are counted, as in large populations, so that both round in the same way; a population of
        which a network has several rows, or a counterpart, is put in order instead.
    both : list of (Population, Population)
        Every pair, as it was selected.
    shared : list of Sharing
        What each pair has in common.
    """
    both = list(combinations(selection.populations, 2))
    shared = [sharing(a.name, b.name, a.units, b.units) for a, b in both]
    rows = {one.name for one in selection.populations if one.repeats}
    rows |= {one.name for pair, same in zip(both, shared, strict=True) for one in pair if same.paired}
    if selection.bins is not None and rows:
        rows = {one.name for one in selection.populations}
    members = {one.name: one.ordered() if one.name in rows else one.counted() for one in selection.populations}
    return members, both, shared


@dataclass(frozen=True)
class _How:
    """How pairs are compared."""

    selection: Selection
    confidence: float
    best_share: float
    equivalent: float | None
    seed: int
    most: int
    permutations: int

    @property
    def ends(self) -> tuple[float, float]:
        """The best and the worst that an oriented value can be."""
        return self.selection.metric.least, self.selection.metric.most


def _pair(a: Population, b: Population, same: Sharing, how: _How) -> Pair:
    """Compare two populations, but for what all pairs together decide."""
    selection = how.selection
    binned = selection.bins is not None
    untied = a, b
    a, b = tied_together(a, b)
    ties = a is not untied[0]
    a, b, strata = side_by_side(a, b, same, selection)
    if binned:
        outside = [sum(n for why, n in one.left_out.items() if "the range" in why) for one in (a, b)]
    elif strata is None:
        outside = [a.models, b.models]
    else:
        alone = [whole.models - some.models for whole, some in zip(untied, (a, b), strict=True)]
        outside = [strata.outside_a + alone[0], strata.outside_b + alone[1]]
    overlap = 0.0 if strata is None else strata.overlap
    adjusts = strata is not None and _adjusts(strata, selection)
    start = Pair(
        a.name, b.name, selection.given, 1, how.confidence, None, None, None,
        None if strata is None or binned or selection.given == "none" else strata.number,
        selection.bins, overlap, (outside[0], outside[1]), same, adjusts, how.equivalent, None, None, None,
        selection.metric, (a.missing, b.missing),
        medians=not selection.metric.bounded or bool(a.filled or b.filled),
    )  # fmt: skip
    if strata is None or (not binned and (same.refused or overlap < LEAST_OVERLAP)):
        return start
    means = side_by_side(*untied, same, selection)[2] if ties else strata  # of the values as they are
    estimates = (_in_bins if binned else _in_strata)(a, b, strata, means or strata, how)
    permuted = None
    if how.permutations and (binned or selection.given == "none"):
        rng = np.random.default_rng(how.seed)
        permuted = permutation_test(
            a.errors, b.errors, *_bins(a, b), trials=how.permutations, rng=rng, counts_a=a.counts, counts_b=b.counts
        )
    mix = None
    if selection.given != "none" and (binned or not same.paired):
        bins = _bins(a, b) if binned else np.split(strata.placed, [a.errors.size])
        sizes = [one.sizes if repeated(one) else None for one in (a, b)]
        mix = decompose(
            a.errors, bins[0], b.errors, bins[1],
            counts_a=a.counts, counts_b=b.counts, sizes_a=sizes[0], sizes_b=sizes[1],
        )  # fmt: skip
        if a.beyond or b.beyond:
            mix = replace(mix, mean=Parts(*[np.nan] * len(fields(Parts))))
    start = replace(start, estimates=estimates, permutation=permuted, mix=mix)
    if same.refused or overlap < LEAST_CLAIM:
        return start
    # The p value of shape is at least 1 / (1 + permutations): where that is too much to matter, none is drawn.
    large = float((strata.units_a + strata.units_b).sum()) > LARGE
    least = 0.0 if large else 1 / (1 + how.most)
    needed = estimates.better.p_value / OF_BETTER > least / OF_SHAPE
    shape = shape_test(strata, rng=how.seed, permutations=how.most) if needed else None
    p_value = None
    if how.equivalent is not None and start.medians:
        p_value = _medians_within(a, b, strata, how)
    elif how.equivalent is not None and estimates.mean is not None:
        p_value = estimates.mean.equivalent(how.equivalent)
    return replace(start, shape=shape, claim=Claim("none", 1.0, 1.0), p_equivalent=p_value)


def side_by_side(
    a: Population, b: Population, same: Sharing, selection: Selection
) -> tuple[Population, Population, Strata | None]:
    """Put the models of two populations into strata, or into the bins of the selection.

    Parameters
    ----------
    a, b : Population
        As `prepared` gives them.
    same : Sharing
        What they have in common.
    selection : Selection
        How complexity is held equal.

    Returns
    -------
    a, b : Population
        Row by row where one of them is, as a network has several rows or a counterpart; without the networks that
        have no counterpart, where all others have.
    strata : Strata or None
        None if no stratum holds models of both, or the two cannot be compared.
    """
    if selection.bins is None and (a.counts is None or b.counts is None):
        a, b = _rows(a), _rows(b)
    if selection.bins is None and same.paired:
        a, b = _counterparts(a, b), _counterparts(b, a)
    return a, b, _strata(a, b, same, selection)


def _counterparts(one: Population, other: Population) -> Population:
    """Give the rows of networks that another population has too."""
    assert one.units is not None
    assert other.units is not None
    rows = np.flatnonzero(np.isin(one.units.unit, other.units.different))
    return one if rows.size == one.errors.size else one.taken(rows)


def better_of(a: Population, b: Population, strata: Strata, confidence: float, *, binned: bool) -> Better:
    """Test whether a random model of one population beats one of the other, within strata or within bins.

    Parameters
    ----------
    a, b : Population
    strata : Strata
        See `side_by_side`; with H of at least 2.
    confidence : float
    binned : bool
        Whether the strata are bins of the paper.

    Returns
    -------
    Better
    """
    if not binned:
        return better(strata, confidence)
    return better_by_permutation(strata, prob_better(a.errors, b.errors, a.shares, b.shares), confidence)


def untested(a: str, b: str, given: str, overlap: float, same: Sharing) -> str | None:
    """Say why nothing can be claimed of two populations; None if they can be tested.

    Parameters
    ----------
    a, b, given : str
        Their names, and what is held equal.
    overlap : float
        H, see `edfkit.stats.strata`; 0 where no stratum holds models of both.
    same : Sharing
        What they have in common.

    Returns
    -------
    str or None
        A sentence.
    """
    if same.refused:
        return same.refused
    if overlap >= LEAST_CLAIM:
        return None
    equal = "" if given == "none" else " of equal complexity"
    return (
        f"Too few models of {a} and {b}{equal} to compare: they are worth {2 * overlap:.1f} of each, and a claim needs "
        f"{2 * LEAST_CLAIM:g}."
    )


def _adjusts(strata: Strata, selection: Selection) -> bool:
    """Tell whether what is held equal has an effect: not if one stratum or bin holds all complexities."""
    if selection.bins is not None:
        return selection.bins != 1
    several = strata.paired or np.ptp(strata.placed) > 0 or not np.ptp(strata.logs, axis=0).any()
    return bool(strata.logs.shape[1] and several)


def balanced(strata: Strata, found: Better, selection: Selection) -> bool:
    """Tell whether complexity is equal enough for tests to hold their level; so it is if none is to be equal.

    Parameters
    ----------
    strata : Strata
    found : Better
        Of these strata.
    selection : Selection

    Returns
    -------
    bool
    """
    if selection.given == "none" or strata.paired:
        return True
    equal = balance(strata, found.standard_error)
    return _adjusts(strata, selection) and (equal is None or equal.equal)


def _bins(a: Population, b: Population) -> list[NDArray[np.intp]]:
    return [np.zeros(one.errors.size, np.intp) if one.bins is None else one.bins for one in (a, b)]


def _strata(a: Population, b: Population, same: Sharing, selection: Selection) -> Strata | None:
    """Put the models of two populations side by side."""
    if selection.bins is not None and selection.range is not None:
        if a.cells is None or b.cells is None:  # row by row, as some unit is repeated
            bins, units = _bins(a, b), [None if one.units is None else one.units.unit for one in (a, b)]
            return in_strata(
                a.errors, b.errors, a.complexity, b.complexity,
                bins_a=bins[0], bins_b=bins[1], units_a=units[0], units_b=units[1],
            )  # fmt: skip
        (ea, ca, na), (eb, cb, nb) = a.cells, b.cells
        bins = [bin_index(one[:, 0], *selection.range, selection.bins) for one in (ca, cb)]
        return in_strata(ea, eb, ca, cb, bins_a=bins[0], bins_b=bins[1], counts_a=na, counts_b=nb)
    if same.refused:
        return None
    if a.counts is None:
        units = [None if one.units is None or one.counts is not None else one.units.unit for one in (a, b)]
        return in_strata(
            a.errors, b.errors, a.complexity, b.complexity,
            strata=selection.strata, units_a=units[0], units_b=units[1], paired=same.paired,
        )  # fmt: skip
    return in_strata(
        a.errors, b.errors, a.complexity, b.complexity,
        strata=selection.strata, counts_a=a.counts, counts_b=b.counts,
    )  # fmt: skip


def _rows(one: Population) -> Population:
    """Give a population row by row; what it repeats is no longer known of one that was counted."""
    if one.counts is None:
        return one
    rows = np.repeat(np.arange(one.errors.size), one.counts)
    complexity = None if one.complexity is None else one.complexity[rows]
    return replace(one, errors=one.errors[rows], complexity=complexity, counts=None, units=None)


def _medians_within(a: Population, b: Population, strata: Strata, how: _How) -> float:
    """Compute the p value of medians that differ by less: the smallest level whose interval lies within, up to 1/4.

    As two one-sided tests at a level have it, that is the interval of confidence 1 - 2 levels.
    """
    assert how.equivalent is not None

    def within(level: float) -> bool:
        at = replace(how, confidence=1 - 2 * level)
        tail_at = _tails_in_bins(a, b, at, 0.5) if how.selection.bins is not None else _tails(strata, at, 0.5)
        _, low, high = tail_at.difference()
        return -how.equivalent < low <= high < how.equivalent  # type: ignore[operator]

    if not within(0.25):
        return 1.0
    low, high = math.log(1e-6), math.log(0.25)
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (low, middle) if within(math.exp(middle)) else (middle, high)
    return math.exp(high)


def _tails(strata: Strata, how: _How, q: float) -> Tail:
    """Describe the best share of both populations within strata."""
    of_a, of_b = strata.first, ~strata.first
    whole = strata.unit is None
    counts = [strata.size[one].astype(np.int64) if whole else None for one in (of_a, of_b)]
    weights = strata.weights[of_a], strata.weights[of_b]
    each = [one if many is None else one / many for one, many in zip(weights, counts, strict=True)]
    units = [None if strata.unit is None else strata.unit[one] for one in (of_a, of_b)]
    return tail(
        strata.errors[of_a], strata.errors[of_b], q, *each, confidence=how.confidence,
        counts_a=counts[0], counts_b=counts[1], units_a=units[0], units_b=units[1],
        strata_a=strata.stratum[of_a], strata_b=strata.stratum[of_b], ends=how.ends,
    )  # fmt: skip


def _tails_in_bins(a: Population, b: Population, how: _How, q: float) -> Tail:
    """Describe the best share of both populations with the weights of bins."""
    given: dict[str, Any] = {"counts_a": a.counts, "counts_b": b.counts, "units_a": numbers(a), "units_b": numbers(b)}
    return tail(a.errors, b.errors, q, a.weights, b.weights, confidence=how.confidence, ends=how.ends, **given)


def _in_strata(a: Population, b: Population, strata: Strata, means: Strata, how: _How) -> Estimates:
    """Estimate what two populations differ by, within strata."""
    of_a, of_b = strata.first, ~strata.first
    errors, weights = (strata.errors[of_a], strata.errors[of_b]), (strata.weights[of_a], strata.weights[of_b])
    first = better(strata, how.confidence)
    band = strata_band(strata, rng=how.seed, confidence=how.confidence)
    tails = [_tails(strata, how, q) for q in (how.best_share, 0.5)]
    plain = how.selection.given == "none" and not strata.paired
    exact = ks(a.errors, b.errors, counts_a=a.counts, counts_b=b.counts).p_value if plain else None
    beyond = a.beyond or b.beyond
    return Estimates(
        float(np.abs(band.difference).max()),
        first,
        None if beyond else mean_difference(means, how.confidence),
        balance(strata, first.standard_error),
        crossings(*errors, *weights),
        band,
        tails[0],
        tails[1],
        None if beyond else violation(strata, how.confidence),
        exact,
    )


def _effective(one: Population) -> float | None:
    """Give the effective number of the units that are stated and repeated; None where rows count as they are."""
    units = repeated(one)
    return None if units is None or one.weights is None else effective_size(units.sums(one.weights))


def _in_bins(a: Population, b: Population, strata: Strata, means: Strata, how: _How) -> Estimates:
    """Estimate what two populations differ by, with the weights of bins as in the paper."""
    errors, weights, shares = (a.errors, b.errors), (a.weights, b.weights), (a.shares, b.shares)
    counts: dict[str, Any] = {"counts_a": a.counts, "counts_b": b.counts}
    enough, beyond = strata.overlap >= LEAST_OVERLAP, a.beyond or b.beyond
    first = Better(prob_better(*errors, *shares), 0.0, 1.0, 1.0, 0.0, 0.0)
    if enough:
        first = better_of(a, b, strata, how.confidence, binned=True)
    tails = [_tails_in_bins(a, b, how, q) for q in (how.best_share, 0.5)]
    return Estimates(
        ks(*errors, *weights, **counts).statistic,
        first,
        mean_difference(means, how.confidence, slope=False) if enough and not beyond else None,
        balance(strata, first.standard_error),
        crossings(*errors, *shares),
        difference_band(
            *errors, *weights, confidence=how.confidence, n_eff_a=_effective(a), n_eff_b=_effective(b), **counts
        ),
        tails[0],
        tails[1],
        violation(strata, how.confidence) if enough and not beyond else None,
        None,
    )


def _claimed(pairs: list[Pair]) -> list[Pair]:
    """Say what may be claimed of pairs, one of several."""
    tested = [pair for pair in pairs if pair.claim is not None and pair.estimates is not None]
    if not tested:
        return pairs
    p_values = [
        (pair.estimates.better.p_value, 1.0 if pair.shape is None else pair.shape.p_value)
        for pair in tested
        if pair.estimates is not None
    ]
    decided = dict(zip(map(id, tested), claims(p_values, tested[0].alpha), strict=True))
    asked = {id(pair): pair.p_equivalent for pair in tested if pair.p_equivalent is not None}
    equivalent = dict(zip(asked, holm(list(asked.values())).tolist(), strict=True))
    return [
        replace(pair, pairs=len(tested), claim=decided.get(id(pair)), p_equivalent=equivalent.get(id(pair)))
        for pair in pairs
    ]


def _drawn(selection: Selection, confidence: float) -> tuple[Selection, list[Band]]:
    """Weigh populations so that their EDFs can be drawn side by side, with the band of each."""
    selection = at_equal_complexity(selection)
    bands = []
    for one in selection.populations:
        size = None
        if one.repeats and one.units is not None and one.counts is None:
            weights = np.full(one.errors.size, 1.0) if one.weights is None else one.weights
            size = effective_size(one.units.sums(weights))
        bands.append(edf_band(one.errors, one.weights, confidence=confidence, counts=one.counts, n_eff=size))
    return selection, bands


def at_equal_complexity(selection: Selection) -> Selection:
    """Weigh populations alike, by strata of complexity that all of them have; those of bins are as they are.

    Parameters
    ----------
    selection : Selection
        See `take_part`.

    Returns
    -------
    Selection
        Without models that no common stratum holds. Where nothing can be held equal, as there is one population or no
        common stratum, it is unweighted, but for rows that repeat a unit, and given "none".
    """
    if selection.bins is not None:
        return selection
    found = None
    if selection.given != "none" and len(selection.populations) > 1:
        found = _common(selection.populations, selection)
    return found or replace(selection, given="none", populations=[*map(by_unit, selection.populations)])


def _common(members: list[Population], selection: Selection) -> Selection | None:
    """Weigh populations by strata that all of them have."""
    sizes = [one.sizes for one in members]
    columns = [one.complexity for one in members if one.complexity is not None]
    if columns[0].shape[1] == 1:
        placed = cut(np.concatenate(columns)[:, 0], np.concatenate(sizes), selection.strata)
    else:  # several are put into one number by what tells two populations apart, so that there is none for three
        if len(members) != 2 or (together := _strata(members[0], members[1], Sharing(), selection)) is None:
            return None
        placed = together.placed
    found = common_weights(np.split(placed, np.cumsum([one.errors.size for one in members])[:-1]), sizes)
    if found is None:
        return None
    weighted = []
    for one, weights in zip(members, found[0], strict=True):
        rows = np.flatnonzero(weights > 0)
        each = weights[rows] if one.counts is None else weights[rows] / one.counts[rows]
        weighted.append(one.taken(rows, each))
    return replace(selection, populations=weighted, strata=found[1])


def describe_populations(
    source: Source, names: Sequence[str], *, area_to: float | None = None, **settings: Unpack[ReadingKeywords]
) -> list[Population]:
    """Summarise the errors of populations one by one, without normalising for complexity.

    Parameters
    ----------
    source, names
        As in `compare_populations`.
    area_to : float, optional
        End of the area under the EDF, see `selection.select`.
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
    return select(source, names, reading=reading, area_to=area_to).populations
