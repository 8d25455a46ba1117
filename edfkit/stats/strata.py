"""Strata: the models of two populations A and B, side by side with those of about their complexity.

Convention: strata are cut at quantiles of the complexity of A and B together, without a look at which is which; models
of one complexity are never parted, they go to the stratum of the middle of their ranks. Stratum s holds n_as and n_bs
units, N_s together, and has the overlap weight h_s = n_as n_bs / N_s (Li, Morgan and Zaslavsky 2018); H is the sum of
the h_s. So a stratum that holds models of one population only has the weight 0, and its models are outside the overlap:
what is estimated holds for the complexities at which both populations have models.

A unit is what was drawn: a network with its training settings. Rows that repeat a unit, with other seeds, share its
weight, 1 / k each of k, and stay together wherever models are counted, exchanged or resampled.
"""

import os
EXP=float(os.environ.get('EXP','.5'))
import os
EXP=float(os.environ.get('EXP','.5'))
import os
EXP=float(os.environ.get('EXP','.5'))
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.stats.edf import Floats, checked_counts, checked_sample

Index = NDArray[np.intp]


def cut(complexity: ArrayLike, weights: ArrayLike | None = None, number: int | None = None) -> Index:
    """Cut models into strata of about equal size at quantiles of complexity.

    Parameters
    ----------
    complexity : array_like, shape (n,)
        Of both populations together, finite.
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
    pieces = number or max(1, round(math.sqrt(total)))
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
    of_a, total = np.bincount(place, sizes * first), np.bincount(place, sizes)
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
    return np.asarray((odds if points[:, 0] @ (total * (odds - np.average(odds, weights=total))) >= 0 else -odds)[place])


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
        """H, the sum of n_as n_bs / N_s: as many pairs of equal populations would be as telling."""
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
        return np.bincount(self.stratum, values, self.number)

    @cached_property
    def blocks(self) -> tuple[Index, Index, Index]:
        """The blocks of equal errors within a stratum: order of the rows by stratum and error, block of each, starts."""
        order = np.lexsort((self.errors, self.stratum))
        fresh = np.append(True, (np.diff(self.stratum[order]) != 0) | (np.diff(self.errors[order]) != 0))
        return order, np.cumsum(fresh) - 1, np.flatnonzero(fresh)

    def collapsed(self) -> "Strata":
        """Average the rows of each unit: one row a unit. The same where no unit is repeated."""
        if self.unit is None:
            return self
        rows = np.unique(self.unit, return_index=True)[1]
        return Strata(
            np.bincount(self.unit, self.size * self.errors) / np.bincount(self.unit, self.size),
            self.first[rows],
            self.stratum[rows],
            np.ones(rows.size),
            None,
            self.logs[rows],
            self.shares,
            self.paired,
            self.before,
            self.outside_a,
            self.outside_b,
            self.logarithmic,
        )

    def expanded(self) -> "Strata":
        """Repeat every row that counts several units: one row each."""
        if self.unit is not None or self.size.max() == 1:
            return self
        rows = np.repeat(np.arange(self.size.size), self.size.astype(np.int64))
        return Strata(
            self.errors[rows],
            self.first[rows],
            self.stratum[rows],
            np.ones(rows.size),
            None,
            self.logs[rows],
            self.shares,
            self.paired,
            self.before,
            self.outside_a,
            self.outside_b,
            self.logarithmic,
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
        Bins that are used as strata instead, each of the same weight; -1 for a model outside.

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
    logs, logarithmic = _logarithms(parts, complexity_a, complexity_b)
    if paired:
        assert units_a is not None
        assert units_b is not None
        stratum = np.unique(np.concatenate([np.asarray(units_a), np.asarray(units_b)]), return_inverse=True)[1]
    elif bins_a is not None and bins_b is not None:
        stratum = np.concatenate([np.asarray(bins_a), np.asarray(bins_b)]).astype(np.intp)
    elif complexity_a is None:
        stratum = np.zeros(errors.size, np.intp)
    else:
        # The order of the values themselves: logarithms may tie what is not equal.
        raw = np.concatenate([np.asarray(one, dtype=np.float64) for one in (complexity_a, complexity_b)])
        one_only = logs.shape[1] == 1
        stratum = cut(raw.ravel() if one_only else score(logs, first, size), size, strata)
    inside = stratum >= 0
    highest = int(stratum.max()) + 1
    both = np.ones(highest, bool)
    for one in (first, ~first):
        both &= np.bincount(stratum[one & inside], minlength=highest) > 0
    taken = inside & np.append(both, False)[stratum]
    if not taken.any():
        return None
    kept = np.unique(stratum[taken], return_inverse=True)[1]
    if unit is not None:
        unit = np.unique(unit[taken], return_inverse=True)[1]
    a, b = (np.bincount(kept, size[taken] * one[taken]) for one in (first, ~first))
    shares = np.full(a.size, 1 / a.size) if bins_a is not None else a * b / (a + b)
    return Strata(
        errors[taken],
        first[taken],
        kept.astype(np.intp),
        size[taken],
        unit,
        logs[taken],
        shares / shares.sum(),
        paired,
        np.average(logs[first], axis=0, weights=size[first]) - np.average(logs[~first], axis=0, weights=size[~first]),
        *(int(np.bincount(one[~taken], _rows(counts, one)[~taken], 2)[1]) for counts, one in _by(first, counts_a, counts_b)),
        logarithmic,
    )


def _by(first: NDArray[np.bool_], counts_a: Any, counts_b: Any) -> Any:
    return (counts_a, first), (counts_b, ~first)


def _rows(counts: ArrayLike | None, of: NDArray[np.bool_]) -> Floats:
    """Give how many models each row of a population is, 0 for rows of the other one."""
    number = np.zeros(of.size)
    number[of] = 1 if counts is None else np.asarray(counts)
    return number


def _units(
    parts: Sequence[Floats],
    units: tuple[ArrayLike | None, ArrayLike | None],
    counts: tuple[ArrayLike | None, ArrayLike | None],
    paired: bool,
) -> tuple[Index | None, Floats]:
    """Number the units of both populations, those of B after those of A, and say how many each row stands for."""
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
                f"units: shape {np.shape(ids)} was given for {part.size} errors, but every model needs one unit: select "
                "both in the same way."
            )
        sizes[place] = 1 / np.bincount(inverse)[inverse]
        found.append(inverse + start)
        start += int(inverse.max()) + 1
    if not paired and start == sum(one.size for one in parts):
        return None, np.concatenate(sizes)
    return np.concatenate(found).astype(np.intp), np.concatenate(sizes)


def _logarithms(
    parts: Sequence[Floats], complexity_a: ArrayLike | None, complexity_b: ArrayLike | None
) -> tuple[Floats, tuple[bool, ...]]:
    """Give the complexities of both populations in columns, as logarithms where all are above 0."""
    if complexity_a is None or complexity_b is None:
        return np.zeros((sum(one.size for one in parts), 0)), ()
    columns = []
    for one, part in ((complexity_a, parts[0]), (complexity_b, parts[1])):
        values = np.asarray(one, dtype=np.float64).reshape(len(np.asarray(one)), -1)
        if len(values) != part.size or not np.isfinite(values).all():
            raise EdfkitError(
                f"complexity: {values.shape} numbers, of which {np.count_nonzero(~np.isfinite(values))} are not "
                f"finite, were given for {part.size} errors, but every model needs a finite one: leave the others out."
            )
        columns.append(values)
    together = np.concatenate(columns)
    positive = together.min(axis=0) > 0
    return np.where(positive, np.log(np.where(positive, together, 1.0)), together), tuple(positive.tolist())
