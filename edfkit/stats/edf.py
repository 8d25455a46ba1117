"""Empirical distribution functions (EDFs) of errors.

Convention: F(e) is the total weight of the models with error <= e (right-continuous). Errors are in percent.
Weights are shares: whatever their scale, they are normalised to sum to 1; without weights every model counts the same.
Equal errors are merged into one step. A model of weight 0 does not exist for any function here.

Where the number of models matters, functions also take counts: how many models, each of that error and that weight, an
entry stands for. They give what they would give if every entry were there so many times. In the place of errors all of
them take an `edfkit.stats.sample.Sample`, which holds errors, weights and counts, checked once.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.stats.sample import (
    Errors,
    Sample,
    checked_counts,
    checked_errors,
    checked_weights,
    different,
    places,
    refuse_pieces,
)
from edfkit.stats.sample import Floats as Floats
from edfkit.stats.sample import finite_vector as finite_vector

ROUND_OFF = 1e-10
"""Relative difference below which two sums of weights are equal.

A running sum of n weights is off by at most n * 1.1e-16 relative: below this for n up to 900,000 models.
"""


def checked_sample(errors: Errors, weights: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """Return the errors and weights of the models that count, or refuse them.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent; a sample's arrays are not checked again.
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given.

    Returns
    -------
    errors, weights : ndarray, shape (k,)
        The k models with positive weight, in the order given; the weights are scaled so that the largest is 1. Of a
        sample with counts, the weight of an entry is that of all its models.

    Raises
    ------
    EdfkitError
        If there are no errors, one is not a finite number, a weight is negative or not finite, all weights are 0, or
        the lengths disagree; or if weights are given beside a sample.
    """
    if isinstance(errors, Sample):
        sample, each, number = counted_sample(errors, weights)
        return sample, each if errors.counts is None else each * number
    percent = checked_errors(errors)
    if weights is None:
        return percent, np.ones_like(percent)
    scaled = checked_weights(weights, percent.size)
    if scaled.min() > 0:
        return percent, scaled
    some = scaled > 0
    return percent[some], scaled[some]


def counted_sample(
    errors: Errors, weights: ArrayLike | None = None, counts: ArrayLike | None = None
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return the errors, weights and counts of the models that count, or refuse them.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent; a sample's arrays are not checked again.
    weights : array_like, shape (n,), optional
        Of one model, at least 0, on any scale; all equal if not given.
    counts : array_like of int, shape (n,), optional
        How many models each entry stands for, at least 1; one if not given.

    Returns
    -------
    errors, weights, counts : ndarray, shape (k,)
        The k entries with positive weight, in the order given; the weights are scaled so that the largest is 1.

    Raises
    ------
    EdfkitError
        See `checked_sample` and `edfkit.stats.sample.checked_counts`.
    """
    if isinstance(errors, Sample):
        refuse_pieces(weights=weights, counts=counts)
        return errors.weighing
    sample, scaled = checked_sample(errors, weights)
    if counts is None:
        return sample, scaled, np.ones(sample.size, np.int64)
    number = checked_counts(counts, np.size(errors))
    return sample, scaled, number if scaled.size == number.size else number[np.asarray(weights) > 0]


def edf(errors: Errors, weights: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """Compute the empirical distribution function F(e) = sum of the weights of errors <= e (NDS, the error EDF).

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given.

    Returns
    -------
    values : ndarray, shape (k,)
        The distinct errors of positive weight, increasing, percent.
    heights : ndarray, shape (k,)
        F at the values, in (0, 1]; the last is exactly 1. Without weights they are count / n, correctly rounded.

    Raises
    ------
    EdfkitError
        See `checked_sample`.
    """
    sample, shares = checked_sample(errors, weights)
    values, step = places(sample)
    cumulative = np.cumsum(np.bincount(step, shares))
    return values, cumulative / cumulative[-1]


def evaluate(values: ArrayLike, heights: ArrayLike, at: ArrayLike) -> Floats:
    """Evaluate an EDF: F at any errors.

    Parameters
    ----------
    values, heights : array_like, shape (k,)
        As `edf` returns them.
    at : array_like, any shape
        Errors, percent; below the first value F is 0, from the last one on it is 1.

    Returns
    -------
    ndarray, shape of `at`
        F, in [0, 1].

    Raises
    ------
    EdfkitError
        If values and heights are not as `edf` returns them, or an error is NaN.
    """
    steps, levels = finite_vector(values, "values"), finite_vector(heights, "heights")
    if steps.size != levels.size or np.any(np.diff(steps) <= 0):
        raise EdfkitError(
            f"evaluate: {steps.size} values and {levels.size} heights were given, but increasing values with one "
            "height each are needed: pass what edf returns."
        )
    points = np.asarray(at, dtype=np.float64)
    if np.isnan(points).any():
        raise EdfkitError("evaluate: NaN was given, but F is defined at numbers only: leave the NaN out.")
    return np.asarray(np.append(0.0, levels)[np.searchsorted(steps, points, side="right")])


def edfs_together(
    errors_a: Errors,
    errors_b: Errors,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Evaluate the EDFs of two samples at the errors of both.

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent.
    weights_a, weights_b : array_like, shapes (n_a,) and (n_b,), optional
        At least 0, on any scale; all equal if not given.

    Returns
    -------
    values : ndarray, shape (k,)
        The distinct errors of both, increasing, percent.
    heights_a, heights_b : ndarray, shape (k,)
        F_A and F_B at the values.

    Raises
    ------
    EdfkitError
        See `checked_sample`.
    """
    edf_a, edf_b = edf(errors_a, weights_a), edf(errors_b, weights_b)
    values = different(np.concatenate([edf_a[0], edf_b[0]]))
    return values, evaluate(*edf_a, values), evaluate(*edf_b, values)


def quantiles(errors: Errors, q: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Compute quantiles: the smallest error whose EDF reaches q.

    F reaches q when F >= q * (1 - 1e-10): the running sum of weights is inexact (ten times 0.1 is not 1), and without
    this allowance the quantile could jump to the next error.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    q : array_like, any shape
        Shares in (0, 1].
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given.

    Returns
    -------
    ndarray, shape of `q`
        Percent; each is one of the errors, nothing is interpolated.

    Raises
    ------
    EdfkitError
        If a q is outside (0, 1], or see `checked_sample`.
    """
    shares = np.asarray(q, dtype=np.float64)
    if not np.all((shares > 0) & (shares <= 1)):
        raise EdfkitError(
            f"quantiles: q = {shares.tolist()} was given, but shares above 0 and up to 1 are needed: "
            "divide percent by 100."
        )
    values, heights = edf(errors, weights)
    return np.asarray(values[np.searchsorted(heights, shares * (1 - ROUND_OFF), side="left")])


def mean(errors: Errors, weights: ArrayLike | None = None) -> float:
    """Compute the weighted mean error, percent.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given.

    Returns
    -------
    float

    Raises
    ------
    EdfkitError
        See `checked_sample`.
    """
    sample, shares = checked_sample(errors, weights)
    return float(np.average(sample, weights=shares))


def area(errors: Errors, upto: float, weights: ArrayLike | None = None) -> float:
    """Compute the mean height of the EDF between error 0 and `upto`: 1 - sum of w min(1, e / upto).

    It is (1 / upto) times the integral of F from 0 to `upto` (NDS, area under the EDF): 1 if all models are perfect, 0
    if none is better than `upto`.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    upto : float
        Right end of the integral, percent, above 0.
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    EdfkitError
        If `upto` is not a positive finite number, or see `checked_sample`.
    """
    if not 0 < upto < np.inf:
        raise EdfkitError(f"area: upto = {upto:g} was given, but an error above 0 percent is needed, for example 50.")
    sample, shares = checked_sample(errors, weights)
    if sample.min() < 0:
        raise EdfkitError(
            f"area: {sample.min():g} was given, but errors of at least 0 are needed: subtract the smallest that can be."
        )
    return 1.0 - float(np.average(np.minimum(1.0, sample / upto), weights=shares))


def effective_size(weights: ArrayLike | Sample, counts: ArrayLike | None = None) -> float:
    """Compute the effective sample size (Kish): (sum w)^2 / sum w^2.

    That many models of equal weight would estimate a mean as precisely as the weighted ones.

    Parameters
    ----------
    weights : array_like, shape (n,), or Sample
        At least 0, on any scale; of a sample, its weights and counts.
    counts : array_like of int, shape (n,), optional
        How many models of that weight there are, at least 1; one if not given.

    Returns
    -------
    float
        From 1 to n; exactly n if all weights are equal.

    Raises
    ------
    EdfkitError
        If there are no weights, one is negative or not finite, or all are 0, and see `checked_counts`.
    """
    number: int | NDArray[np.int64]
    if isinstance(weights, Sample):
        _, scaled, number = counted_sample(weights, None, counts)
    else:
        scaled = checked_weights(weights)
        number = 1 if counts is None else checked_counts(counts, scaled.size)
    return float((number * scaled).sum() ** 2 / (number * np.square(scaled)).sum())
