"""Two random searches of equal budget, at equal complexity: whose best model is expected to be better, and how sure.

Convention: a difference is A minus B, of the expected smallest error of m models, drawn with replacement and with the
weights of `edfkit.stats.strata`. Of one draw it is the difference of the mean errors.

Each model has a pseudo-value (see `edfkit.stats.minima.pseudo_values`) whose weighted mean is that expectation, so that
the variance is the one of a difference of means within strata (see `edfkit.stats.adjusted`). The differences for
several budgets go together closely: their p values, as those of normal numbers with the correlation of the
pseudo-values, have a smallest one of known law, which makes intervals and p values that hold for all budgets at once.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit.result import Result
from edfkit.stats.adjusted import check_overlap, clustered
from edfkit.stats.checks import whole
from edfkit.stats.edf import Floats
from edfkit.stats.minima import most_draws, pseudo_values
from edfkit.stats.special import chi_square_tail, normal_quantile, student_quantile, student_tail
from edfkit.stats.strata import Strata

DIRECTIONS = 2000
"""Directions over which the law of the smallest p value is averaged: they settle intervals to 0.5 % of their width."""


@dataclass(frozen=True)
class BestDifference(Result):
    """The expected smallest error of m models of A minus that of B, for several m.

    Attributes
    ----------
    m : ndarray of int, shape (k,)
        Numbers of models drawn.
    estimate, standard_error : ndarray, shape (k,)
        Percentage points; NaN, as all that follows, where m is above `most`, or the errors leave no spread to judge by.
    low, high : ndarray, shape (k,)
        Intervals that hold for all m at once.
    p_adjusted : ndarray, shape (k,)
        Of no difference, adjusted for all m and pairs: at most 1 - confidence exactly where the interval excludes 0.
    most : int
        Largest m for which the populations hold enough models.
    """

    m: NDArray[np.int64]
    estimate: Floats
    standard_error: Floats
    low: Floats
    high: Floats
    p_adjusted: Floats
    most: int


def best_difference(
    strata: Strata,
    m: ArrayLike,
    confidence: float = 0.95,
    *,
    pairs: int = 1,
    rng: int = 0,
    chosen_by: Floats | None = None,
) -> BestDifference:
    """Compare the expected smallest error of m models of two populations within strata, for several m at once.

    Parameters
    ----------
    strata : Strata
        With H of at least 2.
    m : int or array_like of int, shape (k,)
        Numbers of draws with replacement, at least 1.
    confidence : float
        Of all intervals together, above 0, below 1.
    pairs : int
        Pairs of populations whose intervals are to hold together, at least 1.
    rng : int
        Seed of the directions in which the law of the smallest p value is averaged.
    chosen_by : ndarray, shape (n,), optional
        The number of each row of the strata by which the best model is picked, see `edfkit.stats.minima.best_of`.

    Returns
    -------
    BestDifference

    Raises
    ------
    EdfkitError
        If H is below 2, the confidence is out of range, m or `pairs` is not whole numbers from 1 on, or there is not
        one finite number to pick each row by.
    """
    alpha = check_overlap(strata, confidence) / int(whole(pairs, "pairs", 1))
    draws = np.atleast_1d(whole(m, "m", 1))
    most = most_draws(min(strata.effective))
    found = np.full((5, draws.size), np.nan)
    usable = np.flatnonzero(draws <= most)
    values = np.empty((strata.errors.size, usable.size))
    for one in (strata.first, ~strata.first):
        deciding = None if chosen_by is None else chosen_by[one]
        values[one] = pseudo_values(strata.errors[one], draws[usable], strata.weights[one], chosen_by=deciding)
    units = strata.collapsed()
    if strata.unit is not None:
        values = np.column_stack([np.bincount(strata.unit, strata.size * column) for column in values.T])
    each = [clustered(units, column) for column in values.T]
    spread = np.array([math.sqrt(variance) for _, variance, _, _ in each])
    # Where all errors are equal, round-off is all the spread there is.
    known = np.flatnonzero(spread > 1e-12 * np.abs(strata.errors).max())
    if known.size:
        estimate, error = np.array([each[i][0] for i in known]), spread[known]
        pulls = np.column_stack([each[i][3] for i in known])
        df = [max(1.0, min(each[i][2], _freedom(units, each[i][3]))) for i in known]
        largest = _largest(pulls, units.size, rng)
        level = _level(alpha, largest, known.size)
        half = error * [student_quantile(level, one) for one in df]
        t_values = np.abs(estimate) / error
        alone = np.array([student_tail(t, one) for t, one in zip(t_values, df, strict=True)])
        together = np.minimum(1.0, pairs * _together(alone, largest, known.size))
        found[:, usable[known]] = estimate, error, estimate - half, estimate + half, together
    estimates, errors, low, high, p_adjusted = found
    return BestDifference(draws, estimates, errors, low, high, p_adjusted, most)


def _freedom(units: Strata, pulls: Floats) -> float:
    """Compute the degrees of freedom of a variance by how much the squares that make it vary.

    Those of `clustered` count models; where few of them have most of the influence, the variance is known less well.
    """
    total = vary = 0.0
    for one in (units.first,) if units.paired else (units.first, ~units.first):  # of a pair both say the same
        size, squares = units.size[one], np.square(pulls[one])
        own = float(size @ squares)
        total += own
        vary += float(size @ np.square(squares)) - own**2 / float(size.sum())
    return 2 * total**2 / vary if vary > 0 else math.inf


def _largest(pulls: Floats, sizes: Floats, rng: int) -> Floats:
    """Give the square of the largest of several correlated standard normal numbers, by direction.

    In a direction of the space in which they are independent, the largest of them is the distance from the origin times
    a number of that direction, of which this is the square.
    """
    scaled = pulls * np.sqrt(sizes)[:, None]
    scaled = scaled / np.sqrt(np.square(scaled).sum(axis=0))
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    directions = np.random.default_rng(rng).standard_normal((DIRECTIONS, values.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(np.square(directions @ (vectors * np.sqrt(np.maximum(values, 0.0))).T).max(axis=1))


def _together(p_values: Floats, largest: Floats, number: int) -> Floats:
    """Compute the probability that the smallest of several p values is at most each of these, if nothing is there."""
    squares = [normal_quantile(max(p, 1e-300)) ** 2 for p in p_values.tolist()]
    return np.array([chi_square_tail(square / largest, number).mean() for square in squares])


def _level(alpha: float, largest: Floats, number: int) -> float:
    """Find the p value that the smallest of several is at most with probability alpha, by bisection."""
    low, high = alpha / number / 2, min(1.0, 2 * alpha)  # beyond Bonferroni's and one alone: means have round-off
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _together(np.array([middle]), largest, number)[0] > alpha else (middle, high)
    return low
