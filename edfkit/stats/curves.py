"""The whole error distributions of two populations A and B within strata: whether they differ anywhere, and where.

Convention: F_A = sum of w_s F_A|s with the shares w_s of `edfkit.stats.strata`, F_B likewise, and F is the same with
all models of a stratum, A and B together. Lower error is better, so the better population's F lies above.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edfkit.progress import steps
from edfkit.result import Result
from edfkit.stats.bands import DifferenceBand, edf_difference
from edfkit.stats.sample import Floats, different, ordered
from edfkit.stats.special import quadratic_tail
from edfkit.stats.strata import Index, Strata

LARGE = 10_000
"""Units of both populations above which laws in the limit are used, on at most `ERRORS` values of the error."""

ERRORS = 512

ENOUGH = 20
"""Permutations that reach the statistic after which the p value is settled."""

LEAST_PERMUTATIONS = 1_999

_AT_ONCE = 2_000_000  # numbers that are drawn at a time: 16 MB


@dataclass(frozen=True)
class Shape(Result):
    """A test whether two error distributions differ at all, given the strata.

    Attributes
    ----------
    statistic : float
        A^2, see `shape_test`.
    p_value : float
        Never 0.
    permutations : int
        Permutations that were drawn; 0 where the limit law was used.
    method : {"permutation", "limit"}
    """

    statistic: float
    p_value: float
    permutations: int
    method: Literal["permutation", "limit"]


def shape_test(strata: Strata, *, rng: "np.random.Generator | int", permutations: int = LEAST_PERMUTATIONS) -> Shape:
    """Test whether the errors of A and B differ within strata, by the Anderson and Darling distance of F_A and F_B.

    A^2 is the sum over the distinct errors with F < 1 of (F_A - F_B)^2 dF / (F (1 - F)): it weighs both ends of the
    distributions as much as the middle. Labels are permuted within strata. Drawing stops after 20 permutations that
    reach the statistic, with p = 20 / those drawn (Besag and Clifford 1991), else after all of them, with p = (1 +
    those that reach it) / (1 + all).

    With more than 10,000 units the law of A^2 under permutations is that of a quadratic form of normal variables, with
    the covariance that permutations have, and errors are taken at no more than 512 quantiles of F.

    Parameters
    ----------
    strata : Strata
    rng : numpy.random.Generator or int
        Source of the permutations, or its seed. A and B, and the order of rows, may be swapped: the result is the same.
    permutations : int
        Maximum number, at least 1.

    Returns
    -------
    Shape
    """
    if (strata.units_a + strata.units_b).sum() > LARGE:
        return _limit(strata)
    strata = strata.expanded()
    at = _canonical(strata)
    order, ends, scale = _weighing(strata)
    # What the label of a unit of A, instead of one of B, changes in F_A - F_B.
    of_stratum = strata.shares * (1 / strata.units_a + 1 / strata.units_b)
    step = (strata.size * of_stratum[strata.stratum])[order]
    unit = np.arange(order.size) if strata.unit is None else strata.unit
    slot = at.slot[unit][order]
    expected = (at.firsts / at.sizes)[strata.stratum][order]

    def statistics(labels: NDArray[np.float64]) -> Floats:
        """Compute A^2 of every row of labels, which has one for each unit."""
        heights = np.take(labels, slot, axis=1)
        heights -= expected
        heights *= step
        return np.square(np.cumsum(heights, axis=1, out=heights)[:, ends]) @ scale

    own = np.empty((1, at.slot.size))
    own[0, at.slot] = at.first
    statistic = float(statistics(own)[0])
    if statistic <= 1e-20:
        return Shape(0.0, 1.0, 0, "permutation")
    source = np.random.default_rng(rng)
    reach, drawn = 0, 0
    for some in steps(_batches(permutations, max(1, _AT_ONCE // order.size)), "permutations"):
        exceeds = statistics(at.permuted(source, some)) >= statistic * (1 - 1e-9)
        if reach + exceeds.sum() >= ENOUGH:
            drawn += int(np.flatnonzero(exceeds)[ENOUGH - reach - 1]) + 1
            return Shape(statistic, ENOUGH / drawn, drawn, "permutation")
        reach, drawn = reach + int(exceeds.sum()), drawn + some
    return Shape(statistic, (1 + reach) / (1 + permutations), permutations, "permutation")


def _batches(permutations: int, most: int) -> list[int]:
    """Part permutations into batches, few at first, as 64 may be enough."""
    sizes: list[int] = []
    while permutations:
        sizes.append(min(64 * 2 ** min(len(sizes), 30), permutations, most))
        permutations -= sizes[-1]
    return sizes


@dataclass(frozen=True)
class _Canonical:
    """The units of a pair in an order that neither the order of rows nor of populations changes.

    `slot` is the place of each unit, by stratum, complexity and error; `first` tells which units are of the population
    that counts as the first; `sizes` are those of strata, and `firsts` how many of their units are the first's.
    """

    slot: Index
    first: NDArray[np.bool_]
    sizes: Index
    firsts: Index

    def permuted(self, rng: "np.random.Generator", rows: int) -> Floats:
        """Draw labels, 1 for the first population, of all units in their places."""
        labels = np.empty((rows, self.slot.size))
        starts = np.cumsum(self.sizes) - self.sizes
        for size in different(self.sizes).tolist():
            of_size = np.flatnonzero(self.sizes == size)
            block = (np.arange(size) < self.firsts[of_size, None]).astype(np.float64)
            drawn = rng.permuted(np.tile(block, (rows, 1)), axis=1)
            labels[:, (starts[of_size, None] + np.arange(size)).ravel()] = drawn.reshape(rows, -1)
        return labels


def _canonical(strata: Strata) -> _Canonical:
    stratum, rows = strata.stratum, np.arange(strata.errors.size)
    keys = [strata.errors]
    if strata.unit is not None:
        rows = np.unique(strata.unit, return_index=True)[1]
        low, high = np.full(rows.size, np.inf), np.full(rows.size, -np.inf)
        np.minimum.at(low, strata.unit, strata.errors)
        np.maximum.at(high, strata.unit, strata.errors)
        keys = [high, low, np.bincount(strata.unit, strata.size * strata.errors).astype(np.float64)]
    keys += [*strata.logs[rows].T[::-1], stratum[rows].astype(np.float64)]
    order = np.lexsort(keys)
    # Which is the first: the one that has more of the first units, of all that are alike, that do not cancel.
    first = strata.first[rows]
    fresh = np.append(True, np.any([np.diff(key[order]) != 0 for key in keys], axis=0))
    lead = np.bincount(np.cumsum(fresh) - 1, np.where(first[order], 1.0, -1.0))
    lead = lead[lead != 0]
    if lead.size and lead[0] < 0:
        first = ~first
    slot = np.empty_like(order)
    slot[np.lexsort((first, *keys))] = np.arange(order.size)
    sizes = np.bincount(stratum[rows], minlength=strata.number)
    return _Canonical(slot, first, sizes, np.bincount(stratum[rows[first]], minlength=strata.number))


def _weighing(strata: Strata) -> tuple[Index, Index, Floats]:
    """Give the order of rows by error, the last row of each distinct error with F < 1, and dF / (F (1 - F)) there."""
    order, ends, heights = _pooled(strata)
    f = heights[:-1] / heights[-1]
    return order, ends[:-1], np.asarray(np.diff(f, prepend=0.0) / (f * (1 - f)))


def _pooled(strata: Strata) -> tuple[Index, Index, Floats]:
    """Give the order of rows by error, the last row of each distinct error, and F there."""
    step, order = ordered(strata.steps[1])
    units = strata.units_a + strata.units_b
    heights = np.cumsum((strata.size * (strata.shares / units)[strata.stratum])[order])
    ends = np.flatnonzero(np.append(step[1:] != step[:-1], True))
    return order, ends, heights[ends]


def _grid(strata: Strata) -> Floats:
    """Choose the errors at which the laws in the limit are computed: all, or quantiles of F."""
    values = strata.steps[0][:-1]
    if values.size <= ERRORS:
        return values
    heights = _pooled(strata)[2][:-1]
    chosen = np.searchsorted(heights, (np.arange(ERRORS) + 0.5) / ERRORS * heights[-1])
    return np.asarray(values[different(chosen)])


def _counted(strata: Strata, grid: Floats) -> tuple[Floats, Floats]:
    """Count the units of A, and of B, of each stratum with an error up to each of the grid, shape (strata, errors)."""
    values, place = strata.steps
    cell = strata.cell * (grid.size + 1) + np.searchsorted(grid, values)[place]
    counts = np.bincount(cell, strata.size, 2 * strata.number * (grid.size + 1)).reshape(strata.number, 2, -1)
    up_to = np.cumsum(counts, axis=2, dtype=np.float64)[:, :, :-1]
    return up_to[:, 0], up_to[:, 1]


def _limit(strata: Strata) -> Shape:
    """Test by the law of A^2 in the limit."""
    grid = _grid(strata)
    if not grid.size:
        return Shape(0.0, 1.0, 0, "limit")
    a, b = strata.units_a, strata.units_b
    units = a + b
    in_a, in_b = _counted(strata, grid)
    together = in_a + in_b
    f = (strata.shares / units) @ together
    scale = np.diff(f, prepend=0.0) / (f * (1 - f))
    step = strata.shares * (1 / a + 1 / b)
    difference = step @ (in_a - (a / units)[:, None] * together)
    statistic = float(np.square(difference) @ scale)
    if statistic <= 1e-20:
        return Shape(0.0, 1.0, 0, "limit")
    # Of n_a of N units drawn without replacement, a sum of x has the variance n_a n_b / (N (N - 1)) sum (x - mean)^2.
    each = np.square(step) * a * b / (units * np.maximum(units - 1, 1))
    covariance = _covariance(strata, grid, together, each, np.ones(strata.errors.size, bool))
    root = np.sqrt(scale)
    eigenvalues = np.linalg.eigvalsh(root[:, None] * covariance * root)
    return Shape(statistic, quadratic_tail(statistic, np.maximum(eigenvalues, 0.0)), 0, "limit")


def _covariance(strata: Strata, grid: Floats, counted: Floats, each: Floats, of: NDArray[np.bool_]) -> Floats:
    """Sum over strata, with these factors, the products of the centred indicators of error <= e and <= e' of units."""
    units = strata.sums(strata.size * of)
    lower = np.minimum.outer(np.arange(grid.size), np.arange(grid.size))
    between = counted.T @ ((each / np.maximum(units, 1))[:, None] * counted)
    if strata.unit is None:
        return np.asarray((each @ counted)[lower] - between)
    # Units with several rows have steps between 0 and 1.
    total = np.zeros((grid.size, grid.size))
    rows = np.flatnonzero(of)
    ids = np.unique(strata.unit[rows], return_inverse=True)[1]
    place = np.searchsorted(grid, strata.errors[rows])
    first = np.unique(ids, return_index=True)[1]
    factor = np.sqrt(each[strata.stratum[rows[first]]])
    for start in range(0, first.size, 4096):
        some = (ids >= start) & (ids < start + 4096)
        number = min(4096, first.size - start)
        cell = (ids[some] - start) * (grid.size + 1) + place[some]
        rises = np.bincount(cell, strata.size[rows][some], number * (grid.size + 1)).reshape(number, -1)
        heights = np.cumsum(rises, axis=1)[:, :-1] * factor[start : start + number, None]
        total += heights.T @ heights
    return np.asarray(total - between)


def strata_band(
    strata: Strata, *, rng: "np.random.Generator | int", confidence: float = 0.95, draws: int = 399
) -> DifferenceBand:
    """Compute a simultaneous band for F_A - F_B within strata: it holds everywhere at once.

    Its half width is a quantile of the largest value of a Gaussian process with the covariance of F_A - F_B: each
    model's indicator of error <= e, less the mean of its two neighbours in complexity of the same population, times
    sqrt(2 / 3) and its weight, times an independent normal number. So what complexity explains does not widen the
    band. Without a complexity, the mean of its population is subtracted; above 10,000 units, that of its population in
    the stratum.

    Parameters
    ----------
    strata : Strata
    rng : numpy.random.Generator or int
        Source of the normal numbers, or its seed.
    confidence : float
        At least 0.5, below 1.
    draws : int
        Number of draws; at least 20 / (1 - confidence) - 1 are taken.

    Returns
    -------
    DifferenceBand
        `n_eff_a` and `n_eff_b` are in units.
    """
    source = np.random.default_rng(rng)
    draws = max(draws, math.ceil(20 / (1 - confidence)) - 1)
    if (strata.units_a + strata.units_b).sum() > LARGE:
        reach = _sup_in_the_limit(strata, source, draws)
    else:
        reach = _sup(strata.expanded(), source, draws)
    half = min(1.0, float(np.sort(reach)[min(draws - 1, math.ceil((draws + 1) * confidence) - 1)]))
    weights = strata.weights
    a, b = strata.first, ~strata.first
    values, difference = edf_difference(strata.errors[a], strata.errors[b], weights[a], weights[b])
    lower, upper = np.maximum(-1.0, difference - half), np.minimum(1.0, difference + half)
    return DifferenceBand(values, difference, lower, upper, half, *strata.effective, confidence)


def _sup(strata: Strata, rng: "np.random.Generator", draws: int) -> Floats:
    """Draw the largest absolute value of the process, unit by unit."""
    order = np.argsort(strata.errors, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(strata.errors[order]) != 0, True))
    rows = np.arange(order.size) if strata.unit is None else np.unique(strata.unit, return_index=True)[1]
    unit = np.arange(order.size) if strata.unit is None else strata.unit
    share = strata.size[order]
    parts = _chains(strata, rows, rng)
    signed = np.where(strata.first, 1, -1) * strata.shares[strata.stratum]
    signed = (signed / np.where(strata.first, strata.units_a[strata.stratum], strata.units_b[strata.stratum]))[rows]
    reach = np.empty(draws)
    at_once = max(1, _AT_ONCE // order.size)
    for start in steps(range(0, draws, at_once), "band"):
        some = min(at_once, draws - start)
        factors = np.empty((some, rows.size))
        for part in parts:
            factors[:, part] = _residual(rng.standard_normal((some, part.size)) * signed[part], strata)
        if strata.paired:
            factors = _pairwise(strata, rows, rng, some)
        heights = np.take(factors, unit[order], axis=1)
        heights *= share
        heights = np.cumsum(heights, axis=1, out=heights)[:, ends]
        reach[start : start + some] = np.maximum(heights.max(axis=1), -heights.min(axis=1))
    return reach


def _chains(strata: Strata, rows: Index, rng: "np.random.Generator") -> list[Index]:
    """Put the units of A, and those of B, in order of complexity; equal ones in an order that is drawn."""
    at = _canonical(strata)
    drawn = np.empty(rows.size)
    drawn[np.argsort(at.slot)] = rng.permutation(rows.size)
    order = np.lexsort((drawn, *strata.logs[rows].T[::-1], strata.stratum[rows]))
    return [order[at.first[order]], order[~at.first[order]]]


def _residual(factors: Floats, strata: Strata) -> Floats:
    """Turn factors of indicators, less those of their neighbours, into factors of the indicators alone."""
    n = factors.shape[1]
    if n < 3 or not strata.logs.shape[1]:
        return np.asarray((factors - factors.mean(axis=1, keepdims=True)) * math.sqrt(n / max(1, n - 1)))
    half = factors / 2
    out = factors.copy()
    out[:, :-2] -= half[:, 1:-1]
    out[:, 2:] -= half[:, 1:-1]
    # The two at the ends have both neighbours on one side.
    for end, near, far in ((0, 1, 2), (-1, -2, -3)):
        out[:, near] -= half[:, end]
        out[:, far] -= half[:, end]
    return np.asarray(out * math.sqrt(2 / 3))


def _pairwise(strata: Strata, rows: Index, rng: "np.random.Generator", draws: int) -> Floats:
    """Draw factors of units that have a counterpart: one number a pair, less the mean difference."""
    n = strata.number
    drawn = rng.standard_normal((draws, n))
    drawn = (drawn - drawn.mean(axis=1, keepdims=True)) * (math.sqrt(n / max(1, n - 1)) / n)
    sign = np.where(strata.first[rows], 1.0, -1.0)
    return np.asarray(drawn[:, strata.stratum[rows]] * sign)


def _sup_in_the_limit(strata: Strata, rng: "np.random.Generator", draws: int) -> Floats:
    """Draw the largest absolute value of the process with the covariances of the strata, at no more than 512 errors."""
    grid = _grid(strata)
    if not grid.size:
        return np.zeros(draws)
    total = np.zeros((grid.size, grid.size))
    of_both = zip(_counted(strata, grid), (strata.first, ~strata.first), strict=True)
    for (counted, of), units in zip(of_both, (strata.units_a, strata.units_b), strict=True):
        several = units > 1
        each = np.where(several, strata.shares**2 / (units * np.maximum(units - 1, 1)), 0.0)
        total += _covariance(strata, grid, counted, each, of)
        if not several.all():  # one unit does not show how it varies in its stratum: as much as in all of them
            alone = float((strata.shares[~several] ** 2).sum())
            f = (strata.shares / units) @ counted
            total += alone * (np.minimum.outer(f, f) - np.outer(f, f))
    values, vectors = np.linalg.eigh(total)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    process = rng.standard_normal((draws, grid.size)) @ root.T
    return np.asarray(np.abs(process).max(axis=1))
