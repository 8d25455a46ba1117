"""The search study: the error to expect of the best of m models, by their number or cost, and which space has less.

Curves of several populations are at equal complexity by strata that all have, pairs by strata of their own, as in
`edfkit.study.compare`; with bins or a range all have bins of equal width, as in the paper.

The best of m runs may be picked by another metric than the one that is reported, see `edfkit.study.picking`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.metric import Metric
from edfkit.result import plain, signed
from edfkit.stats.adjusted import better
from edfkit.stats.bands import TABLE_SIZES, edf_band
from edfkit.stats.edf import Floats
from edfkit.stats.minima import BestOf, best_of, best_of_band, draws_for_top, median_band, most_draws
from edfkit.stats.sample import Sample
from edfkit.stats.searches import best_difference
from edfkit.stats.strata import Strata
from edfkit.study.compare import at_equal_complexity, balanced, prepared, side_by_side, take_part, untested
from edfkit.study.counting import Counted, once
from edfkit.study.picking import columns, deciding, pickable, picking
from edfkit.study.selection import Population, Selection, Source, check_column, check_names, tied_together
from edfkit.study.settings import Control, Reading, SelectionKeywords, settle
from edfkit.study.weighing import repeated

if TYPE_CHECKING:
    from edfkit import documents

DRAWS = tuple(2**power for power in range(13))
"""Those of the paper."""


@dataclass(frozen=True)
class Curve:
    """Best-of-m curve of one population.

    Attributes
    ----------
    name : str
    best : BestOf
    low, high : ndarray, shape (k,)
        Simultaneous band of the expected smallest error, percent; NaN where runs are picked by another metric, of which
        a band of the EDF says nothing.
    cost_of_one : float or None
        Mean cost of a draw, in the unit of the cost; None if there is none.
    interval : ndarray, shape (k, 2)
        Confidence interval of the expected smallest error, of each m alone, percent; NaN where m is above `most`.
    median, median_low, median_high : ndarray, shape (k,)
        Median of the smallest error, and its simultaneous band, percent; the band is NaN as the other one is.
    """

    name: str
    best: BestOf
    low: Floats
    high: Floats
    cost_of_one: float | None
    interval: Floats
    median: Floats
    median_low: Floats
    median_high: Floats

    @property
    def most(self) -> int:
        """The largest m for which there are enough models for an interval of the expectation."""
        return most_draws(self.best.n_eff)

    def to_dict(self) -> "documents.Curve":
        """Give the curve as plain data; errors in percent."""
        best = self.best.to_dict()
        return {
            "name": self.name,
            "m": best["m"],
            "error": best["error"],
            "interval": [None if np.isnan(ends).any() else ends.tolist() for ends in self.interval],
            "median": self.median.tolist(),
            "median_low": plain(self.median_low),
            "median_high": plain(self.median_high),
            "spread": best["spread"],
            "se": plain(np.where(self.best.m <= self.most, self.best.se, np.nan)),
            "quantiles": best["quantiles"],
            "models": best["models"],
            "n_eff": best["n_eff"],
            "most": self.most,
            "replacement": best["replacement"],
            "method": best["method"],
            "low": plain(self.low),
            "high": plain(self.high),
            "cost_of_one": self.cost_of_one,
            "cost": None if self.cost_of_one is None else (self.cost_of_one * self.best.m).tolist(),
        }


@dataclass(frozen=True)
class SearchPair:
    """Two searches of equal budget: the expected smallest error of A minus that of B, at equal complexity.

    Attributes
    ----------
    a, b : str
        Names.
    m : ndarray of int, shape (k,)
        Numbers of models drawn, with replacement.
    difference : ndarray, shape (k,)
        Percentage points; NaN, as what follows, where m is above `most`, and where the pair was not tested.
    low, high : ndarray, shape (k,)
        Intervals that hold together for all m of all pairs.
    p_adjusted : ndarray, shape (k,)
        The p value of no difference, adjusted for all m of all pairs.
    better : list of str
        For each m the one that is claimed to have the lower expectation, as `p_adjusted` is at most 1 - confidence; or
        "none".
    most : int or None
        Largest m for which there are enough models to claim anything; None if the pair was not tested.
    no_claim : str or None
        Why the pair was not tested, a sentence; None if it was.
    balanced : bool
        Whether complexity is equal enough for the intervals to hold.
    """

    a: str
    b: str
    m: NDArray[np.int64]
    difference: Floats
    low: Floats
    high: Floats
    p_adjusted: Floats
    better: list[str]
    most: int | None
    no_claim: str | None
    balanced: bool = True

    @property
    def claims(self) -> list[list[int]]:
        """The places in `m` of budgets that follow each other with the same claim: a list for every such range."""
        order = np.argsort(self.m, kind="stable").tolist()
        runs = [list(places) for _, places in groupby(order, key=lambda at: self.better[at])]
        return [run for run in runs if self.better[run[0]] != "none"]

    @property
    def claimed(self) -> tuple[str, int, int] | None:
        """The better one, with the first and last m of the longest range of budgets that it is claimed for."""
        if not self.claims:
            return None
        longest = max(self.claims, key=len)
        return self.better[longest[0]], int(self.m[longest[0]]), int(self.m[longest[-1]])

    def to_dict(self) -> "documents.SearchPair":
        """Give the pair as plain data."""
        found = self.claimed
        return {
            "a": self.a,
            "b": self.b,
            "m": self.m.tolist(),
            "difference": plain(self.difference),
            "low": plain(self.low),
            "high": plain(self.high),
            "p_adjusted": plain(self.p_adjusted),
            "better": [None if one == "none" else one for one in self.better],
            "most": self.most,
            "claimed": None if found is None else {"better": found[0], "first": found[1], "last": found[2]},
            "balanced": None if self.no_claim else self.balanced,
            "no_claim": self.no_claim,
        }


@dataclass(frozen=True)
class SearchStudy:
    """Best-of-m curves of some populations, and every pair of them.

    Attributes
    ----------
    selection : Selection
        The populations with the weights that they are drawn with; given "none" if these adjust for nothing.
    curves : list of Curve
    pairs : list of SearchPair
    given : str
        What is held equal, by curves or by pairs; "none" if neither does.
    unadjusted : str or None
        Why curves are not adjusted for a complexity, a few words; None if they are, or that was not asked for.
    confidence : float
        Of bands, intervals, and all claims together.
    cost : str or None
        What the cost is counted in.
    top : dict of float to int
        Draws that find a model of that best share with probability 0.95, whatever the population.
    picked_by : Metric or None
        The metric by which the best run is picked; None: the one that is reported.
    """

    selection: Selection
    curves: list[Curve]
    pairs: list[SearchPair]
    given: str
    unadjusted: str | None
    confidence: float
    cost: str | None
    top: dict[float, int]
    picked_by: Metric | None = None

    def to_dict(self) -> "documents.SearchStudy":
        """Give the study as plain data, see the guide."""
        curves = {curve.name: curve.to_dict() for curve in self.curves}
        selected = self.selection.to_dict()
        document: documents.SearchStudy = {
            "metric": selected["metric"],
            "given": self.given,
            "error": selected["error"],
            "diverged": selected["diverged"],
            "stopped": selected["stopped"],
            "select": selected["select"] if self.picked_by is None else self.picked_by.name,
            "bins": selected["bins"],
            "range": selected["range"],
            "strata": self.selection.strata if self.selection.given != "none" else None,
            "unadjusted": self.unadjusted,
            "spaces": [{**curves[space["name"]], "summary": space} for space in selected["spaces"]],
            "pairs": [pair.to_dict() for pair in self.pairs],
            "confidence": self.confidence,
            "cost": self.cost,
            "draws_for_top": {f"{share:g}": draws for share, draws in self.top.items()},
        }
        return signed("SearchStudy", document, self.selection.metric)  # type: ignore[no-any-return]


def search_study(
    source: Source,
    names: Sequence[str],
    *,
    m: Sequence[int] | None = None,
    replacement: bool = True,
    cost: str | None = None,
    confidence: float = 0.95,
    **settings: Unpack[SelectionKeywords],
) -> SearchStudy:
    """Compute the error to expect of the best of m random models (NDS, figures 6 right and 10), and compare searches.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population.
    m : sequence of int, optional
        Numbers of draws, at least 1; by default powers of 2 up to 4,096, without replacement up to the smallest
        population.
    replacement : bool
        Whether a model can be drawn again, as in the paper: rows that repeat a unit share one draw, which is any of
        them. Without it there can be no weights (given none), rows that repeat a network by chance are drawn as any
        other, and there can be none that repeat a unit that the source states. Pairs are compared with replacement in
        any case.
    cost : {"seconds", "params", "macs", "flops"}, optional
        What a search spends: the mean of it over the models, drawn with their weights, times m.
    confidence : float
        Of bands and intervals, and of all claims together; at least 0.5 and below 1.
    **settings
        `reading` and `control`, or their fields, see `edfkit.study.settings`; by default params is held equal by
        strata, where there are several populations. A metric to select by may pick runs, see `edfkit.study.picking`.

    Returns
    -------
    SearchStudy

    Raises
    ------
    EdfkitError
        If the cost is not known, models with weights are to be drawn without replacement, the metric that runs are
        picked by is not known of all, and see `selection.select`.
    """
    reading, control = settle("search_study", settings, Control())
    given = control.given
    if not replacement and given != "none":
        raise EdfkitError(
            f"replacement: models that are weighted, given {given}, cannot be drawn without replacement; draw them "
            "with it, or hold nothing equal (given none)."
        )
    counted = once(source)
    reading, picked_by = picking(counted, check_names(names), reading)
    gathered = _gathered(counted, names, reading, control, cost, picked_by)
    if not replacement and (again := [one.name for one in gathered.populations if repeated(one)]):
        raise EdfkitError(
            f"replacement: rows of {again[0]} repeat networks, which cannot be drawn without replacement; draw them "
            "with it."
        )
    selection = _overlapping(gathered)
    fewest = min(member.models for member in selection.populations)
    if m is None:
        m = [draws for draws in DRAWS if replacement or draws <= fewest]
    if not len(m) or (not replacement and max(m) > fewest):
        raise EdfkitError(
            f"m: {list(m)} was given, expected one or more, and without replacement none above "
            f"{fewest:,}, the models of the smallest population; correct them."
        )
    picks = picked_by is not None
    curves = [_curve(member, np.array(m), replacement, confidence, cost, picks) for member in selection.populations]
    pairs = _pairs(gathered, curves[0].best.m, confidence, picks)
    unadjusted = None
    if given != selection.given:
        unadjusted = _why(gathered)
        given = given if pairs else "none"
    top = {share: draws_for_top(share, 0.05) for share in (0.1, 0.05, 0.01, 0.001)}
    return SearchStudy(selection, curves, pairs, given, unadjusted, confidence, cost, top, picked_by)


def _gathered(
    source: Counted,
    names: Sequence[str],
    reading: Reading,
    control: Control,
    cost: str | None,
    picked_by: Metric | None,
) -> Selection:
    """Select the models, with what a draw costs in the first other column and what picks it in the last one."""
    also = [*([] if cost is None else [cost]), *columns(source, names[0], reading, picked_by)]
    if len(names) > 1 or control.binned:
        return pickable(take_part(source, names, reading, control, also=also), picked_by, reading)
    for name in names:  # there is nothing to hold equal
        for column in control.columns:
            check_column(column, source.field(name, column))
    alone = pickable(take_part(source, names, reading, Control("none"), also=also), picked_by, reading)
    return replace(alone, given=control.given, strata=control.strata)


def _overlapping(gathered: Selection) -> Selection:
    """Weigh populations alike, and count the models that no common stratum holds as left out."""
    selection = at_equal_complexity(gathered)
    members = []
    for one, whole in zip(selection.populations, gathered.populations, strict=True):
        outside = whole.models - one.models
        left_out = one.left_out | ({"outside the common strata": outside} if outside else {})
        members.append(replace(one, left_out=left_out))
    return replace(selection, populations=members)


def _why(gathered: Selection) -> str:
    """Say why populations cannot all be weighted alike."""
    if len(gathered.populations) == 1:
        return "one space"
    if "," in gathered.given and len(gathered.populations) > 2:
        return "two complexities at once make strata of two spaces only"
    return "no stratum holds models of " + ("both spaces" if len(gathered.populations) == 2 else "all spaces")


def _price(member: Population, sample: Sample, cost: str | None) -> float | None:
    """Compute the mean cost of a model."""
    if cost is None or member.also is None:
        return None
    each, unknown = member.also[:, 0], np.isnan(member.also[:, 0])
    if unknown.any():
        number = np.count_nonzero(unknown) if member.counts is None else member.counts[unknown].sum()
        raise EdfkitError(f"The {cost} of {number:,} {member.name} models are not known; choose another cost.")
    return float(np.average(each, weights=sample.weighing[1] * sample.weighing[2]))


def _curve(
    member: Population, m: NDArray[np.int64], replacement: bool, confidence: float, cost: str | None, picks: bool
) -> Curve:
    """Compute the curve of a population, with what is known of its expectation and its median."""
    units = member.units if member.units is not None and member.repeats else None
    # Rows that repeat a network share one draw.
    weights = units.weights if units is not None and member.weights is None else member.weights
    sample = Sample(member.errors, weights if replacement else None, member.counts)
    found = best_of(
        sample,
        m,
        replacement=replacement,
        units=None if units is None else units.unit,
        chosen_by=deciding(member) if picks else None,
    )
    ends = member.metric.least, member.metric.most
    unknown = np.full(m.size, np.nan)
    low, high, median_low, median_high = (
        (unknown, unknown, unknown, unknown) if picks else _bands(member, sample, found, units is None, confidence)
    )
    if member.beyond:  # so that there is no mean, however seldom such a run is the best one
        low, high, found = unknown, unknown, replace(found, error=unknown, spread=unknown, se=unknown)
    return Curve(
        member.name,
        found,
        low,
        high,
        _price(member, sample, cost),
        found.interval(confidence, ends),
        found.quantiles[0.5],
        median_low,
        median_high,
    )


def _bands(
    member: Population, sample: Sample, found: BestOf, by_model: bool, confidence: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Give the ends of the band of the expectation, and of that of the median."""
    # Narrow at the best models, which is what counts here; without weights only, and within what is tabulated.
    local = sample.weights is None and by_model and member.models <= TABLE_SIZES[-1]
    method = "equal-local-levels" if local else "ks"
    band = edf_band(sample, confidence=confidence, method=method, n_eff=found.n_eff)
    edges = band.values, band.lower, band.upper, found.m
    span: dict[str, float] = {
        "upper_before": band.upper_before,
        "least": member.metric.least,
        "most": member.metric.most,
    }
    return *best_of_band(*edges, **span), *median_band(*edges, **span)


def _pairs(gathered: Selection, m: NDArray[np.int64], confidence: float, picks: bool) -> list[SearchPair]:
    """Compare every pair of populations; the intervals of all those that can be tested hold together."""
    members, both, shared = prepared(gathered)
    together: list[tuple[str, str, Strata | None, Floats | None, str | None]] = []
    for (a, b), same in zip(both, shared, strict=True):
        chosen_by = None
        if picks:  # alike in the error, models may differ in what picks them
            first, second = _as_they_are(a, b, binned=gathered.bins is not None)
            _, _, strata = side_by_side(first, second, same, gathered)
            if strata is not None:
                chosen_by = deciding(first, second)[_within(strata, first.errors.size)]
        else:
            _, _, strata = side_by_side(*tied_together(members[a.name], members[b.name]), same, gathered)
        overlap = 0.0 if strata is None else strata.overlap
        why = untested(a.name, b.name, gathered.given, overlap, same)
        if why is None and (a.beyond or b.beyond):
            name = (a if a.beyond else b).name
            why = (
                f"Some runs of {name} count as worse than any {a.metric.label}, so that the best of m has no "
                "expectation to compare; --diverged drop leaves them out."
            )
        together.append((a.name, b.name, strata, chosen_by, why))
    tested = sum(why is None for *_, why in together)
    pairs = []
    for name, other, strata, chosen_by, why in together:
        if strata is None or why is not None:
            unknown = np.full(m.size, np.nan)
            pairs.append(SearchPair(name, other, m, unknown, unknown, unknown, unknown, ["none"] * m.size, None, why))
            continue
        budgets, place = np.unique(m, return_inverse=True)  # one that comes twice is one claim
        found = best_difference(strata, budgets, confidence, pairs=tested, chosen_by=chosen_by)
        lower = np.where(found.estimate < 0, name, other)
        claimed = np.where(found.p_adjusted <= 1 - confidence, lower, "none")[place].tolist()
        pairs.append(
            SearchPair(
                name,
                other,
                m,
                found.estimate[place],
                found.low[place],
                found.high[place],
                found.p_adjusted[place],
                claimed,
                found.most,
                None,
                balanced(strata, better(strata, confidence), gathered),
            )
        )
    return pairs


def _as_they_are(a: Population, b: Population, *, binned: bool) -> list[Population]:
    """Give two populations in an order of their own, row by row unless both are counted."""
    by_row = binned or a.counts is None or b.counts is None
    found = []
    for one in (a, b):
        own = (one if one.counts is None else replace(one, units=None)).ordered()
        if own.counts is not None and by_row:
            own = replace(own.taken(np.repeat(np.arange(own.errors.size), own.counts)), counts=None)
        found.append(own)
    return found


def _within(strata: Strata, of_a: int) -> NDArray[np.bool_]:
    """Tell which of the rows that were put in strata, A's first, are in a stratum of both populations."""
    first, second = (np.unique(part[part >= 0]) for part in (strata.placed[:of_a], strata.placed[of_a:]))
    return np.isin(strata.placed, np.intersect1d(first, second, assume_unique=True))
