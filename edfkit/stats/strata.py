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

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.stats.edf import Floats, checked_counts, checked_sample

Index = NDArray[np.intp]


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
    sizes = np.ones(values.size) if weights is None else np.asarray(weights, dtype=np.float64)
    tie = np.unique(values, return_inverse=True)[1]
    of_tie = np.bincount(tie, sizes)
    # Rows of a unit have its complexity, so that every tie holds whole units; their parts sum to them up to round-off.
    of_tie = np.rint(of_tie)
    total = of_tie.sum()
    pieces = number or usual_number(total)
    middle = np.cumsum(of_tie) - of_tie / 2
    return np.asarray(np.minimum(np.floor(middle * pieces / total), pieces - 1).astype(np.intp)[tie])


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
    points, place = np.unique(logs, axis=0, return_inverse=True)
    place = place.ravel()
    of_a, total = (np.bincount(place, one).astype(np.float64) for one in (sizes * first, sizes))
    x = powers(points, total)
    penalty = np.eye(x.shape[1])
    penalty[0, 0] = 0.0
    found = np.zeros(x.shape[1])
    for _ in range(50):  # Newton's method: the penalised likelihood is concave
        p = 1 / (1 + np.exp(-x @ found))
        slope = x.T @ (of_a - total * p) - penalty @ found
        step = np.linalg.solve((x * (total * p * (1 - p))[:, None]).T @ x + penalty, slope)
        found += step
        if np.abs(step).max() < 1e-10:
            break
    odds = np.round(x @ found, 9)
    along = points[:, 0] @ (total * (odds - np.average(odds, weights=total)))
    return np.asarray((odds if along >= 0 else -odds)[place])


def powers(logs: Floats, sizes: Floats) -> Floats:
    """Give 1, the standardised columns, and their products of two and of three, in columns."""
    centre = np.average(logs, axis=0, weights=sizes)
    spread = np.sqrt(np.average(np.square(logs - centre), axis=0, weights=sizes))
    x = (logs - centre) / np.where(spread > 0, spread, 1.0)
    columns = [np.ones(len(x))]
    for degree in (1, 2, 3):
        columns += [
            np.prod(x[:, list(chosen)], axis=1) for chosen in combinations_with_replacement(range(x.shape[1]), degree)
        ]
    return np.column_stack(columns)


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
    def units_a(self) -> Floats:
        """Units of A in each stratum, shape (strata,)."""
        return self.sums(self.size * self.first)

    @cached_property
    def units_b(self) -> Floats:
        """Units of B in each stratum, shape (strata,)."""
        return self.sums(self.size * ~self.first)

    @cached_property
    def overlap(self) -> float:
        """H, the sum of n_as n_bs / N_s: n / 2 for two populations of n units each of equal complexities."""
        return float((self.units_a * self.units_b / (self.units_a + self.units_b)).sum())

    @cached_property
    def weights(self) -> Floats:
        """What each row weighs within its own population; those of A sum to 1, those of B too."""
        units = np.where(self.first, self.units_a[self.stratum], self.units_b[self.stratum])
        return np.asarray(self.size * self.shares[self.stratum] / units)

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

    @cached_property
    def blocks(self) -> tuple[Index, Index, Index]:
        """Blocks of equal errors within a stratum: order of rows by stratum and error, the block of each, starts."""
        order = np.lexsort((self.errors, self.stratum))
        fresh = np.append(True, (np.diff(self.stratum[order]) != 0) | (np.diff(self.errors[order]) != 0))
        return order, np.cumsum(fresh) - 1, np.flatnonzero(fresh)

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


def in_strata(
    errors_a: ArrayLike,
    errors_b: ArrayLike,
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
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,)
        Percent, 0 to 100.
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
    parts = [checked_sample(one)[0] for one in (errors_a, errors_b)]
    number_a = parts[0].size
    errors, first = np.concatenate(parts), np.arange(sum(one.size for one in parts)) < number_a
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
        stratum = np.concatenate([np.asarray(bins_a), np.asarray(bins_b)])
    elif logs.shape[1]:
        # One complexity is cut as it is: logarithms may tie what is not equal.
        stratum = cut(raw[:, 0] if raw.shape[1] == 1 else score(logs, first, size), size, strata)
    else:
        stratum = np.zeros(errors.size, np.intp)
    highest = int(stratum.max()) + 1
    both = np.ones(highest + 1, bool)
    for one in (first, ~first):
        both &= np.bincount(stratum[one & (stratum >= 0)], minlength=highest + 1) > 0
    taken = both[stratum]  # a bin of -1 reads the last place, which nobody has
    if not taken.any():
        return None
    kept = np.unique(stratum[taken], return_inverse=True)[1].astype(np.intp)
    a, b = (np.bincount(kept, size[taken] * one[taken]) for one in (first, ~first))
    shares = np.ones(a.size) if bins_a is not None else a * b / (a + b)
    rows = np.ones(errors.size) if unit is not None else size  # a row of a unit is a model, a count so many
    return Strata(
        errors=errors[taken],
        first=first[taken],
        stratum=kept,
        size=size[taken],
        unit=None if unit is None else np.unique(unit[taken], return_inverse=True)[1].astype(np.intp),
        logs=logs[taken],
        shares=np.asarray(shares / shares.sum()),
        paired=paired,
        before=np.average(logs[first], axis=0, weights=size[first])
        - np.average(logs[~first], axis=0, weights=size[~first]),
        outside_a=round(rows[~taken & first].sum()),
        outside_b=round(rows[~taken & ~first].sum()),
        logarithmic=logarithmic,
        placed=stratum.astype(np.intp),
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
    return np.where(positive, np.log(np.where(positive, values, 1.0)), values), tuple(positive.tolist())
