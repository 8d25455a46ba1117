"""The choice of the epoch: how optimistic the best one is, and how early the order of the models is known.

Convention: errors are percent, one row per model; every value is known, so leave failed models out before.
Ranks and rank correlations treat errors as tied that agree to `DECIMALS` decimals: the published files hold 4.65 and
4.650002 for one count of misclassified images. Values in another unit than percent are tied where they are one number
in single precision: `decimals=None`. Ranks are 0 to 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.checks import percent, same_models
from edfkit.stats.edf import ROUND_OFF, Floats, finite_vector
from edfkit.stats.noise import interpolated_quantiles
from edfkit.stats.sample import checked_counts
from edfkit.stats.special import normal_quantile, student_quantile

DECIMALS = 4
"""Of a percent: two errors that differ by less are one, as one test image of 50,000 is worth 0.002."""


def decimals_of(unit: str) -> int | None:
    """Say to how many decimals tied values of a unit agree; None: in single precision."""
    return DECIMALS if unit == "percent" else None


def steps(values: Floats, decimals: int | None) -> Floats:
    """Bring values that are tied into one number.

    Parameters
    ----------
    values : ndarray, any shape
    decimals : int or None
        To which they agree; None: in single precision.

    Returns
    -------
    ndarray, shape of `values`
    """
    return np.asarray(np.float64(np.float32(values)) if decimals is None else np.round(values, decimals))


def error_ranks(errors: ArrayLike, *, decimals: int | None = DECIMALS) -> Floats:
    """Rank errors: the share of models that are better, ties counting half.

    Parameters
    ----------
    errors : array_like, shape (models,)
        Percent.
    decimals : int or None
        To which tied errors agree; None: in single precision.

    Returns
    -------
    ndarray, shape (models,)
        Above 0 (best) and below 1 (worst), 0.5 on average.

    Raises
    ------
    EdfkitError
        If an error is not a finite number.
    """
    return _ranks(steps(percent(errors, "errors"), decimals))


def _ranks(values: Floats, counts: NDArray[np.int64] | None = None) -> Floats:
    step = np.unique(values, return_inverse=True)[1]
    ties = np.bincount(step, counts)
    return np.asarray(((np.cumsum(ties) - ties / 2) / ties.sum())[step])


def rank_correlation(a: ArrayLike, b: ArrayLike, counts: ArrayLike | None = None) -> float:
    """Compute Spearman's rank correlation, equal values sharing their mean rank.

    Parameters
    ----------
    a, b : array_like, shape (n,)
        Any finite numbers, compared as they are: round errors before.
    counts : array_like of int, shape (n,), optional
        How many models each pair stands for, at least 1; one if not given.

    Returns
    -------
    float
        -1 to 1; NaN where all of a or all of b are equal.

    Raises
    ------
    EdfkitError
        If the lengths differ or a value is not finite, and see `edfkit.stats.sample.checked_counts`.
    """
    first, second = finite_vector(a, "a"), finite_vector(b, "b")
    same_models(a=first, b=second)
    number = None if counts is None else checked_counts(counts, first.size)
    return float(_correlations(_ranks(first, number)[None], _ranks(second, number), number)[0])


def rank_interval(r: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give a confidence interval of Spearman's rank correlation.

    The inverse hyperbolic tangent of r is taken for normal, with the variance (1 + r^2 / 2) / (n - 3) (Bonett and
    Wright 2000).

    Parameters
    ----------
    r : float
        -1 to 1.
    n : int
        Models.
    confidence : float
        Above 0, below 1.

    Returns
    -------
    low, high : float
        NaN for fewer than 4 models, or where r is NaN.
    """
    if n < 4 or math.isnan(r):
        return math.nan, math.nan
    z, half = math.atanh(min(max(r, -1 + 1e-15), 1 - 1e-15)), normal_quantile(1 - confidence)
    half *= math.sqrt((1 + r**2 / 2) / (n - 3))
    return min(r, math.tanh(z - half)), max(r, math.tanh(z + half))  # round-off at 1


def _correlations(ranks: Floats, other: Floats, counts: NDArray[np.int64] | None = None) -> Floats:
    """Correlate every row of ranks with `other`; NaN where either has ties only."""
    x, y = ranks - 0.5, other - 0.5  # the mean rank is 0.5
    if counts is not None:
        x, y = x * np.sqrt(counts), y * np.sqrt(counts)
    # Ties only: the mean rank is exactly 0.5, so 0 / 0.
    with np.errstate(invalid="ignore"):
        r = (x @ y) / np.sqrt(np.square(x).sum(axis=1) * np.square(y).sum())
    return np.asarray(np.clip(r, -1.0, 1.0))


def _kendall(a: Floats, b: Floats) -> float:
    """Compute Kendall's tau-b."""
    x, y = (np.unique(values, return_inverse=True)[1].astype(np.int64) for values in (a, b))
    both = x * y.size + y
    order = np.argsort(both)
    tied_x, tied_y, tied = (_pairs(np.unique(codes, return_counts=True)[1]) for codes in (x, y, both))
    pairs = y.size * (y.size - 1) // 2
    concordant_less_discordant = pairs - tied_x - tied_y + tied - 2 * _inversions(y[order])
    # One root after the other: their product is not exact where both are equal.
    tau = concordant_less_discordant / math.sqrt(pairs - tied_x) / math.sqrt(pairs - tied_y)
    return min(1.0, max(-1.0, tau))


def _pairs(sizes: NDArray[np.intp]) -> int:
    """Count the pairs within groups of these sizes."""
    return int((sizes * (sizes - 1) // 2).sum())


def _inversions(codes: NDArray[np.int64]) -> int:
    """Count the pairs of which the first number is larger, in n log n steps.

    Numbers are ordered by one bit after the other, from the highest, in groups that agree in all bits before: of two
    that differ in a bit for the first time, the one with the bit is the larger.
    """
    bits = int(codes.max()).bit_length()
    below = np.searchsorted(np.sort(codes), np.arange((1 << bits) + 1))  # where the group of a number starts
    place, found = np.arange(codes.size), 0
    for bit in reversed(range(bits)):
        one = (codes >> bit) & 1 == 1
        ones = np.append(0, np.cumsum(one))
        before = ones[:-1] - ones[below[(codes >> bit + 1) << bit + 1]]  # in the same group
        found += int(before[~one].sum())
        ordered = np.empty_like(codes)
        ordered[np.where(one, below[(codes >> bit) << bit] + before, place - before)] = codes
        codes = ordered
    return found


@dataclass(frozen=True)
class Optimism(Result):
    """How much lower the best error over the epochs is than another error of the same models.

    Attributes
    ----------
    models : int
    mean, median : float
        Of other - best, points.
    mean_interval : (float, float)
        Confidence interval of the mean at 95 %, by Student's law; NaN for a single model.
    quantiles : dict of float to float
        Share to points, interpolated as by `numpy.quantile`.
    unchanged : int
        Models whose two errors are tied.
    rank_correlation : float
        Spearman's, of the two errors; NaN where all models are tied.
    rank_interval : (float, float)
        Its confidence interval at 95 %, see `rank_interval`.
    """

    models: int
    mean: float
    mean_interval: tuple[float, float]
    median: float
    quantiles: dict[float, float]
    unchanged: int
    rank_correlation: float
    rank_interval: tuple[float, float]


def _optimism(best: Floats, other: Floats, decimals: int | None) -> Optimism:
    gap = other - best
    best, other = steps(best, decimals), steps(other, decimals)
    mean, half, correlation = float(gap.mean()), math.nan, rank_correlation(best, other)
    quantiles = interpolated_quantiles(gap)
    if gap.size > 1:
        half = student_quantile(0.05, gap.size - 1) * float(gap.std(ddof=1)) / math.sqrt(gap.size)
    return Optimism(
        models=gap.size,
        mean=mean,
        mean_interval=(mean - half, mean + half),
        median=quantiles[0.5],
        quantiles=quantiles,
        unchanged=int(np.count_nonzero(best == other)),
        rank_correlation=correlation,
        rank_interval=rank_interval(correlation, gap.size),
    )


def best_against_last(error_best: ArrayLike, error_final: ArrayLike, *, decimals: int | None = DECIMALS) -> Optimism:
    """Measure what picking the best epoch on the test set gains over the last epoch.

    The published errors are the best ones. The last epoch is chosen beforehand, so its error is not biased by choice;
    the gain is optimism only as far as the last epoch is not really worse than the best one (see `selection_optimism`).

    Parameters
    ----------
    error_best, error_final : array_like, shape (models,)
        Percent: the smallest over the epochs, and after the last one.
    decimals : int or None
        To which tied errors agree; None: in single precision.

    Returns
    -------
    Optimism
        Of final - best.

    Raises
    ------
    EdfkitError
        If the lengths differ, an error is not a finite number, or a final error is below the best one.
    """
    best, final = percent(error_best, "error_best"), percent(error_final, "error_final")
    same_models(error_best=best, error_final=final)
    one = np.spacing(np.float32(np.abs(best))) if decimals is None else 10.0**-decimals
    if swapped := int(np.count_nonzero(best - final > one)):
        raise EdfkitError(
            f"error_final: {swapped} of {best.size} models have a final error below their best, but the best is the "
            "smallest: leave those models out, or swap the two if it is all."
        )
    return _optimism(best, final, decimals)


def selection_optimism(test_error: ArrayLike, *, decimals: int | None = DECIMALS) -> Optimism:
    """Measure what reporting each model's own best epoch gains over the epoch that all other models would choose.

    Each model is read at the epoch where the mean error of the others is smallest, a choice that its own noise has no
    part in, and its best error is compared with that. What curves can tell, and what they cannot:

    * The gain is the optimism, chance in favour of the epoch chosen, plus what the model's own choice really gains (or
      loses) against the others'. Curves alone do not tell these apart.
    * With rows that are seeds of one model, no epoch is really better for one of them. So up to sampling error the own
      choice really gains nothing, and the optimism is at least the gain.
    * All epochs are judged on the same test images. Chance in which images those are moves the whole curve; what that
      adds to the optimism needs the predictions per image or a second test set.

    Parameters
    ----------
    test_error : array_like, shape (models, epochs)
        Percent; at least 2 models.
    decimals : int or None
        To which tied errors agree; None: in single precision.

    Returns
    -------
    Optimism
        Of the error at the others' epoch - the smallest over the epochs; never below 0.

    Raises
    ------
    EdfkitError
        If there is one model only, or an error is not a finite number.
    """
    curves = percent(test_error, "test_error", ("models", "epochs"))
    if len(curves) < 2:
        raise EdfkitError(
            "test_error: 1 model was given, but its epoch is chosen by the others: give at least 2 models or seeds."
        )
    # Rounded, because taking a model out of the sum leaves round-off, which must not decide between equal epochs.
    total = curves.sum(axis=0)
    scale = 1 / (ROUND_OFF * (np.abs(total).max() or 1.0)) if decimals is None else 10.0**decimals
    epoch = np.rint((total - curves) * scale).argmin(axis=1)
    return _optimism(curves.min(axis=1), curves[np.arange(len(curves)), epoch], decimals)


@dataclass(frozen=True)
class AtEpochs(Result):
    """All models after some epochs.

    Attributes
    ----------
    epochs : ndarray of int, shape (k,)
        Counted from 1.
    errors : ndarray, shape (k, models)
        Percent; a row is the input of an EDF.
    best_so_far : ndarray, shape (k, models)
        The smallest error up to that epoch, percent.
    spearman, kendall : ndarray, shape (k,)
        Rank correlation (rho, tau-b) of the errors after that epoch with those after the last one, -1 to 1; NaN where
        all models are tied.
    """

    epochs: NDArray[np.intp]
    errors: Floats
    best_so_far: Floats
    spearman: Floats
    kendall: Floats


def at_epochs(test_error: ArrayLike, epochs: ArrayLike | None = None, *, decimals: int | None = DECIMALS) -> AtEpochs:
    """Read all models after some epochs, and say how well those predict the order after the last one.

    Parameters
    ----------
    test_error : array_like, shape (models, epochs)
        Percent.
    epochs : array_like of int, shape (k,), optional
        Counted from 1; all of them if not given.
    decimals : int or None
        To which tied errors agree; None: in single precision.

    Returns
    -------
    AtEpochs

    Raises
    ------
    EdfkitError
        If an error is not a finite number (failed models have NaN), or there is no such epoch.
    """
    curves = percent(test_error, "test_error", ("models", "epochs")).T
    last = len(curves)
    chosen = np.arange(1, last + 1) if epochs is None else np.asarray(epochs)
    if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu" or chosen.min() < 1 or chosen.max() > last:
        raise EdfkitError(
            f"epochs: {chosen.tolist()} was given, but a list of whole numbers from 1 to {last} is needed: count so."
        )
    rows = chosen.astype(np.intp) - 1
    rounded, final = steps(curves[rows], decimals), steps(curves[-1], decimals)
    spearman = _correlations(np.array([_ranks(errors) for errors in rounded]), _ranks(final))
    kendall = np.full(rows.size, np.nan)
    for i in np.flatnonzero(~np.isnan(spearman)):
        kendall[i] = _kendall(rounded[i], final)
    best = np.minimum.accumulate(curves)
    return AtEpochs(rows + 1, curves[rows], best[rows], spearman, kendall)
