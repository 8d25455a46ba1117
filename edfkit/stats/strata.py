"""Strata: the models of two populations A and B, side by side with those of about their complexity.

Convention: strata are cut at quantiles of the complexity of A and B together, without a look at which is which; models
of one complexity are never parted, they go to the stratum of the middle of their ranks. Stratum s holds n_as and n_bs
units, N_s together, and has the overlap weight h_s = n_as n_bs / N_s (Li, Morgan and Zaslavsky 2018); H is the sum of
the h_s. So a stratum that holds models of one population only has the weight 0, and its models are outside the overlap:
what is estimated holds for the complexities at which both populations have models.

A unit is what was drawn: a network with its training settings. Rows that repeat a unit, with other seeds, share its
weight, 1 / k each of k, and stay together wherever models are counted, permuted or resampled.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.stats.sample import (
    Errors,
    Floats,
    Sample,
    checked_counts,
    checked_errors,
    checked_strata,
    ordered,
    places,
    refuse_pieces,
)

Index = NDArray[np.intp]

_FEW = 100_000  # rows above which a regression starts from a fit to at most so many of them
_AT_ONCE = 2**15  # of those, so that what is computed of them stays in the processor's cache


def usual_number(units: float) -> int:
    """Say in how many strata so many units are cut by default: the square root of their number, rounded."""
    return max(1, round(math.sqrt(units)))


def cut(complexity: ArrayLike, weights: ArrayLike | None = None, number: int | None = None) -> Index:
    """Cut models into strata of about equal size at quantiles of complexity.

    Parameters
    ----------
    complexity : array_like, shape (n,)
        Complexities of both populations, one after the other; finite.
    weights : array_like, shape (n,), optional
        Units that each row stands for; one if not given.
    number : int, optional
        Number of strata; by default the square root of the number of units, rounded.

    Returns
    -------
    ndarray of int, shape (n,)
        From 0, in order of complexity, some of them perhaps without models. Only the order of the complexities matters.

    Raises
    ------
    EdfkitError
        If `number` is below 1.
    """
    if number is not None and number < 1:
        raise EdfkitError(f"strata: {number} was given, but a number of at least 1 is needed: leave it out.")
    values = np.asarray(complexity, dtype=np.float64)
    increasing, order = ordered(values, stable=False)
    tie = np.cumsum(_fresh(increasing)) - 1
    # Rows of a unit have its complexity, so that every tie holds whole units; their parts sum to them up to round-off.
    of_tie = np.rint(np.bincount(tie, None if weights is None else np.asarray(weights, dtype=np.float64)[order]))
    total = of_tie.sum()
    pieces = number or usual_number(total)
    middle = np.cumsum(of_tie) - of_tie / 2
    stratum = np.minimum(np.floor(middle * pieces / total), pieces - 1).astype(np.intp)
    placed = np.empty(values.size, np.intp)
    placed[order] = stratum[tie]
    return placed


def _fresh(increasing: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which numbers differ from the one before."""
    return np.append(True, increasing[1:] != increasing[:-1])


def score(logs: Floats, first: NDArray[np.bool_], sizes: Floats) -> Floats:
    """Put several complexities into one number: how likely a model that has them is one of A.

    Within strata of this propensity score the complexities of A and B are alike (Rosenbaum and Rubin 1984). It is that
    of a logistic regression on the standardised logarithms, their products, squares and cubes, with a penalty of half
    the squared coefficients, so that it exists where the populations do not overlap.

    Parameters
    ----------
    logs : ndarray, shape (n, d)
        The complexities.
    first : ndarray of bool, shape (n,)
        Whether a row is one of A.
    sizes : ndarray, shape (n,)
        Units that each row stands for.

    Returns
    -------
    ndarray, shape (n,)
        Log odds, to 9 decimals; the same for equal complexities, whatever the order of the rows. Its sign is that of
        its correlation with the first complexity.
    """
    x, of_a = _standardised(logs, sizes), sizes * first
    found = np.zeros(_products(x[:1]).shape[1])
    if len(x) > _FEW:  # few points lead near the solution for all
        some = slice(None, None, -(-len(x) // _FEW))
        found = _logistic(x[some], of_a[some], sizes[some], found)
    found = _logistic(x, of_a, sizes, found)
    odds = np.round(np.concatenate([_products(x[part]) @ found for part in _parts(len(x))]), 9)
    along = logs[:, 0] @ (sizes * (odds - np.average(odds, weights=sizes)))
    return np.asarray(odds if along >= 0 else -odds)


def _parts(rows: int) -> list[slice]:
    """Cut rows into parts that stay in the processor's cache with what is computed of them."""
    return [slice(start, start + _AT_ONCE) for start in range(0, rows, _AT_ONCE)]


def _logistic(x: Floats, of_a: Floats, total: Floats, found: Floats) -> Floats:
    """Find the coefficients of a logistic regression with a penalty of half their squares, from some to begin with."""
    penalty = np.eye(found.size)
    penalty[0, 0] = 0.0
    for _ in range(50):  # Newton's method: the penalised likelihood is concave
        slope, curvature = -penalty @ found, penalty.copy()
        for part in _parts(len(x)):
            each = _products(x[part])
            p = 1 / (1 + np.exp(np.minimum(-each @ found, 700.0)))
            slope += each.T @ (of_a[part] - total[part] * p)
            curvature += (each * (total[part] * p * (1 - p))[:, None]).T @ each
        step = np.linalg.solve(curvature, slope)
        found = found + step
        if np.abs(step).max() < 1e-10:
            break
    return found


def powers(logs: Floats, sizes: Floats) -> Floats:
    """Give 1, the standardised columns, and their products of two and of three, in columns."""
    return _products(_standardised(logs, sizes))


def _standardised(logs: Floats, sizes: Floats) -> Floats:
    centre = np.average(logs, axis=0, weights=sizes)
    spread = np.sqrt(np.average(np.square(logs - centre), axis=0, weights=sizes))
    return np.asarray((logs - centre) / np.where(spread > 0, spread, 1.0))


def _products(x: Floats) -> Floats:
    """Give 1, the columns, and their products of two and of three, in columns."""
    chosen = [one for degree in range(4) for one in combinations_with_replacement(range(x.shape[1]), degree)]
    place = {one: i for i, one in enumerate(chosen)}
    columns = np.ones((len(chosen), len(x)))
    for i, one in enumerate(chosen[1:], 1):
        np.multiply(columns[place[one[:-1]]], x[:, one[-1]], out=columns[i])
    return np.ascontiguousarray(columns.T)  # row by row: the order of sums shows where columns are nearly alike


@dataclass(frozen=True, eq=False)
class Strata:
    """The models of two populations in strata, without those outside the overlap.

    Attributes
    ----------
    errors : ndarray, shape (n,)
        Percent.
    first : ndarray of bool, shape (n,)
        Whether a row is one of A.
    stratum : ndarray of int, shape (n,)
        From 0 to the number of strata - 1; each holds units of both populations.
    size : ndarray, shape (n,)
        Units that a row stands for: a count, or 1 / k for one of k rows of a unit.
    unit : ndarray of int of shape (n,), or None
        The unit of a row, from 0; None where every row is a unit, or a count of units, by itself.
    logs : ndarray, shape (n, d)
        The complexities, as logarithms where all are above 0.
    shares : ndarray, shape (strata,)
        What each stratum weighs, h_s / H unless told otherwise; they sum to 1.
    paired : bool
        Whether A and B are the same units, each with its counterpart in a stratum of its own.
    before : ndarray, shape (d,)
        Mean of `logs` of all models of A minus that of B, those outside the overlap included.
    outside_a, outside_b : int
        Models (rows) of each outside the overlap.
    logarithmic : tuple of bool
        Which of the complexities are logarithms.
    placed : ndarray of int, shape (rows,)
        The stratum, or bin, of every row that was given, A's first: as it was cut, those outside the overlap included.
    """

    errors: Floats
    first: NDArray[np.bool_]
    stratum: Index
    size: Floats
    unit: Index | None
    logs: Floats
    shares: Floats
    paired: bool
    before: Floats
    outside_a: int
    outside_b: int
    logarithmic: tuple[bool, ...]
    placed: Index

    @property
    def number(self) -> int:
        """How many strata there are."""
        return self.shares.size

    @cached_property
    def cell(self) -> Index:
        """Which population of which stratum a row is in, shape (n,): twice the stratum, and 1 more for B."""
        return self.stratum * 2 + ~self.first

    @cached_property
    def units(self) -> Floats:
        """Units of A and of B in each stratum, shape (strata, 2)."""
        return self.sums_of_both(None)

    @property
    def units_a(self) -> Floats:
        """Units of A in each stratum, shape (strata,)."""
        return self.units[:, 0]

    @property
    def units_b(self) -> Floats:
        """Units of B in each stratum, shape (strata,)."""
        return self.units[:, 1]

    @cached_property
    def overlap(self) -> float:
        """H, the sum of n_as n_bs / N_s: n / 2 for two populations of n units each of equal complexities."""
        return float((self.units_a * self.units_b / (self.units_a + self.units_b)).sum())

    @cached_property
    def weights(self) -> Floats:
        """What each row weighs within its own population; those of A sum to 1, those of B too."""
        return np.asarray(self.size * (self.shares[:, None] / self.units).ravel()[self.cell])

    @cached_property
    def of_pair(self) -> Floats:
        """What a pair of units, one of A and one of B, weighs in each stratum."""
        return np.asarray(self.shares / (self.units_a * self.units_b))

    @cached_property
    def effective(self) -> tuple[float, float]:
        """Effective numbers of units of A and of B, 1 / sum of squared weights of units."""
        return tuple(float(1 / (self.shares**2 / units).sum()) for units in (self.units_a, self.units_b))  # type: ignore[return-value]

    def sums(self, values: Floats) -> Floats:
        """Sum a number of each row by stratum, shape (strata,)."""
        return np.asarray(np.bincount(self.stratum, values, self.number), dtype=np.float64)

    def sums_of_both(self, values: Floats | None) -> Floats:
        """Sum a number of each unit by stratum and population, shape (strata, 2); without one count the units."""
        each = self.size if values is None else self.size * values
        return np.asarray(np.bincount(self.cell, each, 2 * self.number).reshape(-1, 2), dtype=np.float64)

    def centred(self, values: Floats) -> tuple[Floats, Floats]:
        """Part a number of each row into the mean of its population and stratum, shape (strata, 2), and the rest."""
        means = self.sums_of_both(values) / self.units
        return means, values - means.ravel()[self.cell]

    def centred_columns(self, columns: Floats) -> tuple[Floats, Floats]:
        """Part each column as `centred` does: means, shape (strata, 2, d), and the rest, shape (n, d)."""
        means, rest = np.empty((self.number, 2, columns.shape[1])), np.empty_like(columns)
        for i, column in enumerate(columns.T):
            means[..., i], rest[:, i] = self.centred(column)
        return means, rest

    @cached_property
    def logs_apart(self) -> tuple[Floats, Floats]:
        """Give `centred_columns` of `logs`."""
        return self.centred_columns(self.logs)

    @cached_property
    def steps(self) -> tuple[Floats, Index]:
        """The distinct errors, increasing, and which of them that of each row is."""
        return places(self.errors)

    @cached_property
    def blocks(self) -> "Blocks":
        """Blocks of equal errors within a stratum."""
        distinct, place = self.steps
        bits = int(distinct.size).bit_length()
        key, order = ordered((self.stratum << bits) | place)
        fresh = _fresh(key)
        block, stratum = np.cumsum(fresh) - 1, key[fresh] >> bits
        sizes, first = self.size[order], self.first[order]
        of_a, of_b = (np.asarray(np.bincount(block, sizes * one), dtype=np.float64) for one in (first, ~first))
        return Blocks(order, block, stratum, of_a, of_b)

    def collapsed(self) -> "Strata":
        """Average the rows of each unit: one row a unit. The same where no unit is repeated."""
        if self.unit is None:
            return self
        rows = np.unique(self.unit, return_index=True)[1]
        return replace(
            self,
            errors=np.asarray(np.bincount(self.unit, self.size * self.errors), dtype=np.float64),
            first=self.first[rows],
            stratum=self.stratum[rows],
            size=np.ones(rows.size),
            unit=None,
            logs=self.logs[rows],
        )

    def expanded(self) -> "Strata":
        """Repeat every row that counts several units: one row each."""
        if self.unit is not None or self.size.max() == 1:
            return self
        rows = np.repeat(np.arange(self.size.size), self.size.astype(np.int64))
        return replace(
            self,
            errors=self.errors[rows],
            first=self.first[rows],
            stratum=self.stratum[rows],
            size=np.ones(rows.size),
            logs=self.logs[rows],
        )


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of equal errors within a stratum, in order of stratum and error.

    Attributes
    ----------
    order, block : ndarray of int, shape (n,)
        The rows, block by block, and the block of each of these.
    stratum : ndarray of int, shape (blocks,)
    of_a, of_b : ndarray, shape (blocks,)
        Units of A and of B in a block.
    """

    order: Index
    block: Index
    stratum: Index
    of_a: Floats
    of_b: Floats

    @cached_property
    def openings(self) -> Index:
        """The first block of each stratum, shape (strata,): all strata hold some."""
        return np.flatnonzero(_fresh(self.stratum))

    def below(self, units: Floats) -> Floats:
        """Sum numbers of the blocks before each one in its stratum, shape (blocks,)."""
        before = np.cumsum(units) - units
        return np.asarray(before - before[self.openings][self.stratum])

    def by_row(self, values: Floats) -> Floats:
        """Give every row the number of its block, shape (n,)."""
        found = np.empty(self.order.size)
        found[self.order] = values[self.block]
        return found

    def sums(self, values: Floats) -> Floats:
        """Sum a number of each block by stratum, shape (strata,)."""
        return np.asarray(np.add.reduceat(values, self.openings))


def in_strata(
    errors_a: Errors,
    errors_b: Errors,
    complexity_a: ArrayLike | None = None,
    complexity_b: ArrayLike | None = None,
    *,
    strata: int | None = None,
    counts_a: ArrayLike | None = None,
    counts_b: ArrayLike | None = None,
    units_a: ArrayLike | None = None,
    units_b: ArrayLike | None = None,
    paired: bool = False,
    bins_a: ArrayLike | None = None,
    bins_b: ArrayLike | None = None,
) -> Strata | None:
    """Put the models of two populations into strata.

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent. Samples bring counts, and bins as their strata; their weights are not used.
    complexity_a, complexity_b : array_like, shapes (n_a,) and (n_b,), or (n_a, d) and (n_b, d), optional
        Any finite numbers; without them all models are in one stratum.
    strata : int, optional
        How many; by default the square root of the number of units of both, rounded.
    counts_a, counts_b : array_like of int, shapes (n_a,) and (n_b,), optional
        How many units each entry stands for, each a unit by itself.
    units_a, units_b : array_like of int, shapes (n_a,) and (n_b,), optional
        The unit of each row, where rows repeat units; not together with counts.
    paired : bool
        Whether both populations hold the same units, and each is compared with its counterpart.
    bins_a, bins_b : array_like of int, shapes (n_a,) and (n_b,), optional
        Bins to use in place of strata, each of the same weight; -1 for a model outside.

    Returns
    -------
    Strata or None
        None if no stratum holds models of both populations.

    Raises
    ------
    EdfkitError
        If an array has another length or holds values that it cannot, or `strata` is below 1.
    """
    parts = [one.errors if isinstance(one, Sample) else checked_errors(one) for one in (errors_a, errors_b)]
    if isinstance(errors_a, Sample):
        refuse_pieces(counts_a=counts_a, bins_a=bins_a)
        counts_a, bins_a = errors_a.counts, errors_a.strata
    if isinstance(errors_b, Sample):
        refuse_pieces(counts_b=counts_b, bins_b=bins_b)
        counts_b, bins_b = errors_b.counts, errors_b.strata
    for what, one, other in (("complexity", complexity_a, complexity_b), ("bins", bins_a, bins_b)):
        if (one is None) != (other is None):
            raise EdfkitError(f"{what}: it was given for one population, but both need it, or none: give both.")
    if (units_a is not None or units_b is not None) and (counts_a is not None or counts_b is not None):
        raise EdfkitError("units: they were given together with counts, but a count is of units: leave one out.")
    errors = np.concatenate(parts)
    first = np.arange(errors.size) < parts[0].size
    unit, size = _units(parts, (units_a, units_b), (counts_a, counts_b), paired)
    logs, logarithmic = np.zeros((errors.size, 0)), tuple[bool, ...]()
    if complexity_a is not None and complexity_b is not None:
        raw = np.concatenate([_columns(*one) for one in zip((complexity_a, complexity_b), parts, strict=True)])
        if unit is not None:  # it is the unit that has a complexity
            low = raw[np.unique(unit, return_index=True)[1][unit]]  # so that the mean of equal numbers is exact
            raw = low + np.column_stack([np.bincount(unit, size * column)[unit] for column in (raw - low).T])
        logs, logarithmic = _logarithms(raw)
    if paired:
        stratum = np.unique(np.concatenate([np.asarray(units_a), np.asarray(units_b)]), return_inverse=True)[1]
    elif bins_a is not None and bins_b is not None:
        stratum = np.concatenate(
            [checked_strata(b, p.size, "bins") for b, p in zip((bins_a, bins_b), parts, strict=True)]
        )
    elif logs.shape[1]:
        # One complexity is cut as it is: logarithms may tie what is not equal.
        each = None if unit is None and counts_a is None and counts_b is None else size
        stratum = cut(raw[:, 0] if raw.shape[1] == 1 else score(logs, first, size), each, strata)
    else:
        stratum = np.zeros(errors.size, np.intp)
    of_a, of_b = slice(parts[0].size), slice(parts[0].size, None)
    most = int(stratum.max()) + 2
    of_each = [np.bincount(stratum[of] + 1, minlength=most) for of in (of_a, of_b)]
    both = (of_each[0] > 0) & (of_each[1] > 0)
    both[0] = False  # a bin of -1
    if not both.any():
        return None
    rows = np.ones(errors.size) if unit is not None else size  # a row of a unit is a model, a count so many
    outside = [0.0, 0.0]
    some: Index | slice = slice(None)  # a view, so that nothing is copied where all take part
    if any(one[~both].any() for one in of_each):
        taken = both[stratum + 1]
        outside = [float(rows[of][~taken[of]].sum()) for of in (of_a, of_b)]
        some = np.flatnonzero(taken)
    kept, sizes = (np.cumsum(both) - 1)[stratum[some] + 1], size[some]
    end = int(np.count_nonzero(first[some]))
    a, b = (np.bincount(kept[of], sizes[of]) for of in (slice(end), slice(end, None)))
    shares = np.ones(a.size) if bins_a is not None else a * b / (a + b)
    return Strata(
        errors=errors[some],
        first=first[some],
        stratum=kept,
        size=sizes,
        unit=None if unit is None else np.unique(unit[some], return_inverse=True)[1].astype(np.intp),
        logs=logs[some],
        shares=np.asarray(shares / shares.sum()),
        paired=paired,
        before=np.average(logs[of_a], axis=0, weights=size[of_a]) - np.average(logs[of_b], axis=0, weights=size[of_b]),
        outside_a=round(outside[0]),
        outside_b=round(outside[1]),
        logarithmic=logarithmic,
        placed=stratum.astype(np.intp, copy=False),
    )


def common_weights(strata: Sequence[Index], sizes: Sequence[Floats]) -> tuple[list[Floats], int] | None:
    """Weigh several populations alike, by strata that they have in common.

    A stratum weighs h_s, proportional to 1 / sum over the populations of 1 / n_s; 0 where one of them has no model. Of
    two populations these are their overlap weights; of more, the strata are others than those of each pair.

    Parameters
    ----------
    strata : sequence of ndarray of int, shapes (n_k,)
        The stratum of each row of every population.
    sizes : sequence of ndarray, shapes (n_k,)
        Units that each row stands for.

    Returns
    -------
    weights : list of ndarray, shapes (n_k,)
        Of each row; they sum to 1 in each population.
    number : int
        Strata that hold models of all populations.
    None
        If there is no such stratum.
    """
    highest = 1 + max(int(at.max()) for at in strata)
    counts = np.array([np.bincount(at, size, highest) for at, size in zip(strata, sizes, strict=True)])
    shared = (counts > 0).all(axis=0)
    if not shared.any():
        return None
    counts[:, ~shared] = 1.0
    shares = np.where(shared, 1 / (1 / counts).sum(axis=0), 0.0)
    each = shares / shares.sum() / counts
    weights = [np.asarray(size * one[at]) for at, size, one in zip(strata, sizes, each, strict=True)]
    return weights, int(np.count_nonzero(shared))


def _units(
    parts: Sequence[Floats],
    units: tuple[ArrayLike | None, ArrayLike | None],
    counts: tuple[ArrayLike | None, ArrayLike | None],
    paired: bool,
) -> tuple[Index | None, Floats]:
    """Count off the units of both populations, B's after A's, and say how many each row stands for."""
    sizes = [
        np.ones(one.size) if many is None else checked_counts(many, one.size).astype(np.float64)
        for one, many in zip(parts, counts, strict=True)
    ]
    if units[0] is None and units[1] is None:
        return None, np.concatenate(sizes)
    found, start = [], 0
    for place, (part, ids) in enumerate(zip(parts, units, strict=True)):
        inverse = np.arange(part.size) if ids is None else np.unique(np.asarray(ids), return_inverse=True)[1]
        if inverse.shape != part.shape:
            raise EdfkitError(
                f"units: {inverse.size} were given for {part.size} errors, but every model needs one of each: select "
                "both in the same way."
            )
        sizes[place] = 1 / np.bincount(inverse)[inverse]
        found.append(inverse + start)
        start += int(inverse.max()) + 1
    if not paired and start == sum(one.size for one in parts):
        return None, np.concatenate(sizes)
    return np.concatenate(found).astype(np.intp), np.concatenate(sizes)


def _columns(complexity: ArrayLike, part: Floats) -> Floats:
    """Return complexities in columns, or refuse them."""
    values = np.asarray(complexity, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) != part.size or not np.isfinite(values).all():
        raise EdfkitError(
            f"complexity: shape {values.shape}, with {np.count_nonzero(~np.isfinite(values))} numbers that are not "
            f"finite, was given for {part.size} errors, but every model needs a finite one: leave the others out."
        )
    return values.reshape(part.size, -1)


def _logarithms(values: Floats) -> tuple[Floats, tuple[bool, ...]]:
    """Give columns as logarithms where all their numbers are above 0, and say which these are."""
    positive = values.min(axis=0) > 0
    if positive.all():
        return np.log(values), tuple(positive.tolist())
    return np.where(positive, np.log(np.where(positive, values, 1.0)), values), tuple(positive.tolist())
