"""Training noise, the choice of the epoch, and the choice of learning rate and weight decay.

Convention: errors are percent, 0 to 100, one row per model where there are several each; every value is known, so leave
failed models out before. A diverged model stays: it is what its configuration leads to. Ranks and rank correlations
treat errors as tied that agree to `DECIMALS` decimals: the published files hold 4.65 and 4.650002 for one count of
misclassified images. Shares, ranks and probabilities are 0 to 1. Intervals are two-sided, at level `conf`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.compare import SUMMARY_QUANTILES
from edfkit.edf import Floats, finite_vector
from edfkit.result import Result

DECIMALS = 4
"""Of a percent: two errors that differ by less are one, as one test image of 50,000 is worth 0.002."""


def percent(values: ArrayLike, name: str, axes: tuple[str, ...] = ("models",)) -> Floats:
    """Return errors as a float array with the given axes, or refuse them.

    Parameters
    ----------
    values : array_like, one axis for each of `axes`
        Percent, 0 to 100.
    name : str
        What the numbers are, for the message.
    axes : tuple of str
        What each axis runs over, for the message.

    Returns
    -------
    ndarray

    Raises
    ------
    EdfkitError
        If the shape is another, an axis is empty, or a value is not a number in 0..100.
    """
    expected = f"the shape ({', '.join(axes)})"
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EdfkitError(
            f"{name}: no table of numbers was given ({error}), but {expected} is needed: leave out the rows that are "
            "shorter."
        ) from error
    if table.ndim != len(axes) or table.size == 0:
        raise EdfkitError(
            f"{name}: shape {table.shape} was given, but {expected}, none of them 0, is needed: select the values so."
        )
    if unknown := int(np.isnan(table).reshape(len(table), -1).any(axis=1).sum()):
        raise EdfkitError(
            f"{name}: {unknown} of {len(table)} {axes[0]} have unknown values (NaN), as failed ones do, but all must "
            "be known: leave those out."
        )
    if table.min() < 0 or table.max() > 100:
        raise EdfkitError(
            f"{name}: values from {table.min():g} to {table.max():g} were given, but percent from 0 to 100 are needed: "
            "convert them."
        )
    return table


def same_models(**columns: Floats) -> None:
    """Refuse columns of different lengths.

    Parameters
    ----------
    **columns : ndarray, shape (models, ...)
        By name, for the message.

    Raises
    ------
    EdfkitError
        If their lengths differ.
    """
    if len({len(column) for column in columns.values()}) > 1:
        sizes = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise EdfkitError(
            f"The numbers of models differ ({sizes}), but every model needs one value of each: select all in the same "
            "way."
        )


def _level(conf: float) -> float:
    if not 0 < conf < 1:
        raise EdfkitError(f"conf: {conf:g} was given, but a level between 0 and 1 is needed, for example 0.95.")
    return conf


def _jackknife(statistic: float, without: Floats, conf: float) -> tuple[float, float]:
    """Return the jackknife's interval of a positive statistic, computed on its logarithm (Miller 1968).

    Parameters
    ----------
    statistic : float
        Of all models.
    without : ndarray, shape (n,)
        Without each one of them.
    conf : float

    Returns
    -------
    low, high : float
        NaN where a logarithm does not exist.
    """
    from scipy.special import stdtrit

    n = without.size
    if n < 3 or not (0 < statistic < np.inf and np.all((without > 0) & (without < np.inf))):
        return math.nan, math.nan
    pseudo = n * np.log(statistic) - (n - 1) * np.log(without)
    reach = stdtrit(n - 1, (1 + conf) / 2) * pseudo.std(ddof=1) / np.sqrt(n)
    with np.errstate(over="ignore"):  # three wild values reach from 0 to infinity
        low, high = np.exp(pseudo.mean() + np.array([-reach, reach]))
    return float(low), float(high)


def _variances_without(values: Floats) -> Floats:
    """Return the variance of the values without each one of them; 0 where round-off is all that is left."""
    n = values.size
    squares = np.square(values - values.mean())
    return _unless_round_off(squares.sum() - squares * n / (n - 1), squares.sum()) / max(n - 2, 1)


def _unless_round_off(rest: Floats, total: float) -> Floats:
    """Return what is left of a sum of squares, or 0 where that may be round-off of numbers up to 100."""
    return np.where(rest > 1e-9 * total, rest, 0.0)


@dataclass(frozen=True)
class SeedNoise(Result):
    """How much the error of one model depends on the seed.

    Attributes
    ----------
    seeds : int
    mean, min, max : float
        Percent; the range is max - min.
    quantiles : dict of float to float
        Share to percent, interpolated as by `numpy.quantile`.
    sd : float
        Standard deviation between seeds, points; its square is the unbiased variance.
    sd_interval : (float, float)
        Of the sd, by the jackknife, which assumes no distribution; NaN below 3 seeds, and where all seeds or all but
        one agree.
    sd_interval_normal : (float, float)
        By chi-square, which is right for normal errors only.
    excess_kurtosis : float
        0 if normal; the chi-square interval is about sqrt(1 + excess / 2) times too short. NaN where all agree.
    """

    seeds: int
    mean: float
    min: float
    max: float
    quantiles: dict[float, float]
    sd: float
    sd_interval: tuple[float, float]
    sd_interval_normal: tuple[float, float]
    excess_kurtosis: float


def seed_noise(errors: ArrayLike, conf: float = 0.95) -> SeedNoise:
    """Measure the training noise on one model trained with several seeds (NDS, figure 13).

    It matters which interval: one of the four published reruns has one seed far out, an excess kurtosis of 6.8, and its
    chi-square interval is less than half as long as the jackknife's. At the level 0.95, the jackknife's interval of 100
    seeds covers 0.95 of the time if they are normal and 0.92 if exponential, chi-square's 0.95 and 0.70; of 10 seeds it
    is 0.94 and 0.83 against 0.95 and 0.75.

    Parameters
    ----------
    errors : array_like, shape (seeds,)
        Percent, 0 to 100, of the same model; at least 2.
    conf : float
        Level of the intervals, above 0 and below 1.

    Returns
    -------
    SeedNoise

    Raises
    ------
    EdfkitError
        If there is one seed only, an error is not a number in 0..100, or `conf` is not between 0 and 1.
    """
    from scipy.special import chdtri

    sample, conf = percent(errors, "errors", ("seeds",)), _level(conf)
    n = sample.size
    if n < 2:
        raise EdfkitError("errors: 1 seed was given, but noise shows between at least 2: train the model once more.")
    variance = float((sample - sample[0]).var(ddof=1))  # exactly 0 if all seeds agree
    low, high = _jackknife(variance, _variances_without(sample), conf)
    tails = chdtri(n - 1, (1 + np.array([-conf, conf])) / 2)  # upper and lower chi-square quantile
    normal_low, normal_high = np.sqrt(variance * (n - 1) / tails).tolist()
    fourth, second = np.mean((sample - sample.mean()) ** 4), sample.var()
    return SeedNoise(
        seeds=n,
        mean=float(sample.mean()),
        min=float(sample.min()),
        max=float(sample.max()),
        quantiles=_quantiles(sample),
        sd=math.sqrt(variance),
        sd_interval=(math.sqrt(low), math.sqrt(high)),
        sd_interval_normal=(normal_low, normal_high),
        excess_kurtosis=float(fourth / second**2 - 3) if np.ptp(sample) > 0 else math.nan,
    )


def _quantiles(values: Floats) -> dict[float, float]:
    return dict(zip(SUMMARY_QUANTILES, np.quantile(values, SUMMARY_QUANTILES).tolist(), strict=True))


def average_over_seeds(errors: ArrayLike) -> Floats:
    """Average the errors over the first 1, 2, ... seeds: what the EDFs of NDS, figure 14, are of.

    Parameters
    ----------
    errors : array_like, shape (models, seeds)
        Percent, 0 to 100.

    Returns
    -------
    ndarray, shape (seeds, models)
        Row k - 1 is the errors averaged over the first k seeds, percent.

    Raises
    ------
    EdfkitError
        If an error is not a number in 0..100; a model that lacks a seed must be left out.
    """
    table = percent(errors, "errors", ("models", "seeds")).T
    means = np.cumsum(table, axis=0) / np.arange(1, len(table) + 1)[:, None]
    # Against round-off: the average of equal errors is that error.
    return np.clip(means, np.minimum.accumulate(table), np.maximum.accumulate(table))


@dataclass(frozen=True)
class NoiseShare(Result):
    """What share of the variance of errors is training noise.

    Attributes
    ----------
    models, seeds : int
        Seeds per model.
    noise_variance : float
        Between seeds of one model, points squared, averaged over the models.
    model_variance : float
        Between models, without the noise, points squared. Unbiased, therefore below 0 now and then where the models
        differ little.
    share : float
        noise / (noise + model) variance of models trained once, at most 1.
    interval : (float, float)
        Of the share, by the jackknife over models; NaN below 3 models and where the variation comes from one of them.
    share_of_average : float
        The same for errors averaged over all the seeds given.
    """

    models: int
    seeds: int
    noise_variance: float
    model_variance: float
    share: float
    interval: tuple[float, float]
    share_of_average: float


def noise_share(errors: ArrayLike, conf: float = 0.95) -> NoiseShare:
    """Estimate what share of an EDF's variance is training noise, from models trained with several seeds each.

    One-way random-effects analysis of variance: with the mean squares M between and W within models and s seeds, the
    noise variance is W, the model variance (M - W) / s. Both are unbiased, whatever the distributions and even if some
    models are noisier than others. The interval is the jackknife's for log(M / W) (Arvesen and Schmitz 1970): F's would
    need normal models with one noise. At the level 0.95, of 200 models with 3 seeds, it covers 0.96 of the time if they
    are normal, as F's does, and 0.92 against 0.78 if they are exponential and worse ones noisier; of 20 models 0.88.
    Diverged models can make up most of either variance.

    Parameters
    ----------
    errors : array_like, shape (models, seeds)
        Percent, 0 to 100; at least 2 models and 2 seeds.
    conf : float
        Level of the interval, above 0 and below 1.

    Returns
    -------
    NoiseShare

    Raises
    ------
    EdfkitError
        If there are less than 2 models or seeds, all errors are equal, an error is not a number in 0..100, or `conf` is
        not between 0 and 1.
    """
    table, conf = percent(errors, "errors", ("models", "seeds")), _level(conf)
    n, s = table.shape
    if n < 2 or s < 2:
        raise EdfkitError(
            f"errors: {n} models with {s} seeds were given, but at least 2 of each are needed: "
            "train them again, or give the noise to noise_share_from_sd."
        )
    means, noises = table.mean(axis=1), (table - table[:, :1]).var(axis=1, ddof=1)  # exactly 0 if all seeds agree
    if np.ptp(table) == 0:
        raise EdfkitError(
            f"errors: all are {table[0, 0]:g}, so there is no variance to share: give models that differ."
        )
    within, between = float(noises.mean()), s * float(means.var(ddof=1))
    rest = _unless_round_off(noises.sum() - noises, noises.sum()) / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = _jackknife(between / within if within else math.inf, s * _variances_without(means) / rest, conf)
    model = (between - within) / s
    # The share is s / (F + s - 1), with F = M / W: W counts once in the noise and s - 1 of s times in M.
    return NoiseShare(
        models=n,
        seeds=s,
        noise_variance=within,
        model_variance=model,
        share=_share(within, within + model),
        interval=(_share(s, high + s - 1), _share(s, low + s - 1)),
        share_of_average=_share(within, between),
    )


def _share(part: float, whole: float) -> float:
    """Return part / whole, at most 1; NaN if either is."""
    return 1.0 if part >= whole else part / whole


def noise_share_from_sd(errors: ArrayLike, noise_sd: float, conf: float = 0.95) -> NoiseShare:
    """Estimate what share of an EDF's variance is training noise, for models trained once.

    The noise is taken from elsewhere, such as `seed_noise`, as if known and the same on average over these models; the
    interval is that of the total variance alone.

    Parameters
    ----------
    errors : array_like, shape (models,)
        Percent, 0 to 100; at least 2 models.
    noise_sd : float
        Standard deviation between seeds, points, at least 0. For models of unequal noise: the root of the mean square.
    conf : float
        Level of the interval, above 0 and below 1.

    Returns
    -------
    NoiseShare
        With seeds = 1, so that `share_of_average` is `share`.

    Raises
    ------
    EdfkitError
        If there is one model only, all errors are equal, one is not a number in 0..100, or `noise_sd` or `conf` is out
        of range.
    """
    sample, conf = percent(errors, "errors"), _level(conf)
    if not 0 <= noise_sd < np.inf:
        raise EdfkitError(
            f"noise_sd: {noise_sd:g} was given, but points from 0 up are needed: take it from seed_noise."
        )
    if np.ptp(sample) == 0:
        raise EdfkitError(
            f"errors: {sample.size} of {sample[0]:g} were given, so there is no variance to share: "
            "give models that differ."
        )
    total, noise = float(sample.var(ddof=1)), float(noise_sd) ** 2
    low, high = _jackknife(total, _variances_without(sample), conf)
    share, interval = _share(noise, total), (_share(noise, high), _share(noise, low))
    return NoiseShare(sample.size, 1, noise, total - noise, share, interval, share)


def error_ranks(errors: ArrayLike) -> Floats:
    """Rank errors: the share of models that are better, ties counting half.

    Parameters
    ----------
    errors : array_like, shape (models,)
        Percent, 0 to 100; those equal to `DECIMALS` decimals are tied.

    Returns
    -------
    ndarray, shape (models,)
        Above 0 (best) and below 1 (worst), 0.5 on average.

    Raises
    ------
    EdfkitError
        If an error is not a number in 0..100.
    """
    return _ranks(np.round(percent(errors, "errors"), DECIMALS))


def _ranks(values: Floats) -> Floats:
    _, step, ties = np.unique(values, return_inverse=True, return_counts=True)
    return ((np.cumsum(ties) - ties / 2) / values.size)[step]


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Compute Spearman's rank correlation, equal values sharing their mean rank.

    Parameters
    ----------
    a, b : array_like, shape (models,)
        Any finite numbers, compared as they are: round errors before.

    Returns
    -------
    float
        -1 to 1; NaN where all of a or all of b are equal.

    Raises
    ------
    EdfkitError
        If the lengths differ or a value is not finite.
    """
    first, second = finite_vector(a, "a"), finite_vector(b, "b")
    same_models(a=first, b=second)
    return float(_correlations(_ranks(first)[None], _ranks(second))[0])


def _correlations(ranks: Floats, other: Floats) -> Floats:
    """Correlate every row of ranks with `other`; NaN where either has ties only."""
    x, y = ranks - 0.5, other - 0.5  # the mean rank is 0.5
    # Ties only: the mean rank is exactly 0.5, so 0 / 0.
    with np.errstate(invalid="ignore"):
        r = (x @ y) / np.sqrt(np.square(x).sum(axis=1) * np.square(y).sum())
    return np.asarray(np.clip(r, -1.0, 1.0))


@dataclass(frozen=True)
class Optimism(Result):
    """How much lower the best error over the epochs is than another error of the same models.

    Attributes
    ----------
    models : int
    mean, median : float
        Of other - best, points.
    quantiles : dict of float to float
        Share to points, interpolated as by `numpy.quantile`.
    unchanged : int
        Models whose two errors are equal (to `DECIMALS` decimals).
    rank_correlation : float
        Spearman's, of the two errors; NaN where all models are tied.
    """

    models: int
    mean: float
    median: float
    quantiles: dict[float, float]
    unchanged: int
    rank_correlation: float


def _optimism(best: Floats, other: Floats) -> Optimism:
    gap = other - best
    best, other = np.round(best, DECIMALS), np.round(other, DECIMALS)
    return Optimism(
        models=gap.size,
        mean=float(gap.mean()),
        median=float(np.median(gap)),
        quantiles=_quantiles(gap),
        unchanged=int(np.count_nonzero(best == other)),
        rank_correlation=rank_correlation(best, other),
    )


def best_against_last(error_best: ArrayLike, error_final: ArrayLike) -> Optimism:
    """Measure what picking the best epoch on the test set gains over the last epoch.

    The published errors are the best ones. The last epoch is chosen beforehand, so its error is not biased by choice;
    the gain is optimism only as far as the last epoch is not really worse than the best one (see `selection_optimism`).

    Parameters
    ----------
    error_best, error_final : array_like, shape (models,)
        Percent, 0 to 100: the smallest over the epochs, and after the last one.

    Returns
    -------
    Optimism
        Of final - best.

    Raises
    ------
    EdfkitError
        If the lengths differ, an error is not a number in 0..100, or a final error is below the best one.
    """
    best, final = percent(error_best, "error_best"), percent(error_final, "error_final")
    same_models(error_best=best, error_final=final)
    if swapped := int(np.count_nonzero(best - final > 10.0**-DECIMALS)):
        raise EdfkitError(
            f"error_final: {swapped} of {best.size} models have a final error below their best, but the best is the "
            "smallest: leave those models out, or swap the two if it is all."
        )
    return _optimism(best, final)


def selection_optimism(test_error: ArrayLike) -> Optimism:
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
        Percent, 0 to 100; at least 2 models.

    Returns
    -------
    Optimism
        Of the error at the others' epoch - the smallest over the epochs; never below 0.

    Raises
    ------
    EdfkitError
        If there is one model only, or an error is not a number in 0..100.
    """
    curves = percent(test_error, "test_error", ("models", "epochs"))
    if len(curves) < 2:
        raise EdfkitError(
            "test_error: 1 model was given, but its epoch is chosen by the others: give at least 2 models or seeds."
        )
    # Rounded, because taking a model out of the sum leaves round-off, which must not decide between equal epochs.
    epoch = np.round(curves.sum(axis=0) - curves, DECIMALS).argmin(axis=1)
    return _optimism(curves.min(axis=1), curves[np.arange(len(curves)), epoch])


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


def at_epochs(test_error: ArrayLike, epochs: ArrayLike | None = None) -> AtEpochs:
    """Read all models after some epochs, and say how well those predict the order after the last one.

    Parameters
    ----------
    test_error : array_like, shape (models, epochs)
        Percent, 0 to 100.
    epochs : array_like of int, shape (k,), optional
        Counted from 1; all of them if not given.

    Returns
    -------
    AtEpochs

    Raises
    ------
    EdfkitError
        If an error is not a number in 0..100 (failed models have NaN), or there is no such epoch.
    """
    from scipy.stats import kendalltau

    curves = percent(test_error, "test_error", ("models", "epochs")).T
    last = len(curves)
    chosen = np.arange(1, last + 1) if epochs is None else np.asarray(epochs)
    if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu" or chosen.min() < 1 or chosen.max() > last:
        raise EdfkitError(
            f"epochs: {chosen.tolist()} was given, but a list of whole numbers from 1 to {last} is needed: count so."
        )
    rows = chosen.astype(np.intp) - 1
    rounded = np.round(curves[rows], DECIMALS)
    final = np.round(curves[-1], DECIMALS)
    spearman = _correlations(np.array([_ranks(errors) for errors in rounded]), _ranks(final))
    kendall = np.full(rows.size, np.nan)
    for i in np.flatnonzero(~np.isnan(spearman)):  # scipy warns of ties only
        kendall[i] = kendalltau(rounded[i], final).statistic
    best = np.minimum.accumulate(curves)
    return AtEpochs(rows + 1, curves[rows], best[rows], spearman, kendall)


@dataclass(frozen=True)
class RateMap(Result):
    """Mean error rank over learning rate and weight decay.

    Attributes
    ----------
    lr_edges : ndarray, shape (lr_bins + 1,)
    wd_edges : ndarray, shape (wd_bins + 1,)
        A cell holds low <= rate < high; the last one its upper edge too.
    counts : ndarray of int, shape (lr_bins, wd_bins)
    mean_rank : ndarray, shape (lr_bins, wd_bins)
        0 (best) to 1 (worst); NaN in empty cells.
    empty : float
        Share of the cells without a model.
    best : (int, int) or None
        Indices of the cell of lowest mean rank among those with `least` models; None if there is none. Being the best
        of many, its mean rank is optimistic.
    outside : int
        Models outside the edges: ranked with the others, but in no cell.
    """

    lr_edges: Floats
    wd_edges: Floats
    counts: NDArray[np.intp]
    mean_rank: Floats
    empty: float
    best: tuple[int, int] | None
    outside: int


def rate_map(
    lr: ArrayLike,
    wd: ArrayLike,
    errors: ArrayLike,
    lr_bins: int | ArrayLike = 10,
    wd_bins: int | ArrayLike = 10,
    least: int = 5,
) -> RateMap:
    """Map the rank of the error over learning rate and weight decay (NDS, figure 12).

    Parameters
    ----------
    lr, wd : array_like, shape (models,)
        Learning rate and weight decay, above 0.
    errors : array_like, shape (models,)
        Percent, 0 to 100.
    lr_bins, wd_bins : int or array_like
        Number of cells, of equal width in the logarithm from the smallest to the largest rate; or their edges,
        increasing.
    least : int
        Models that the best cell must have.

    Returns
    -------
    RateMap

    Raises
    ------
    EdfkitError
        If the lengths differ, a rate is not above 0, an error is not a number in 0..100, all rates are equal and no
        edges are given, or the edges are not at least two increasing numbers.
    """
    lrs, wds, ranks = _rates(lr, wd, errors)
    edges = _edges(lrs, lr_bins, "lr"), _edges(wds, wd_bins, "wd")
    counts = np.histogram2d(lrs, wds, edges)[0].astype(np.intp)
    sums = np.histogram2d(lrs, wds, edges, weights=ranks)[0]
    mean_rank = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    candidates = np.where(counts >= max(least, 1), mean_rank, np.inf)
    row, column = divmod(int(candidates.argmin()), counts.shape[1])
    return RateMap(
        lr_edges=edges[0],
        wd_edges=edges[1],
        counts=counts,
        mean_rank=mean_rank,
        empty=float(np.mean(counts == 0)),
        best=(row, column) if candidates[row, column] < np.inf else None,
        outside=int(lrs.size - counts.sum()),
    )


@dataclass(frozen=True)
class DefaultRank(Result):
    """How good the models trained near a default are.

    Attributes
    ----------
    models : int
        Those near it.
    mean_rank : float
        Of their errors among all models, 0 (best) to 1 (worst); 0.5 if the rates did not matter.
    standard_error : float
        Of the mean rank; NaN with one model.
    """

    models: int
    mean_rank: float
    standard_error: float


def default_rank(
    lr: ArrayLike,
    wd: ArrayLike,
    errors: ArrayLike,
    default: tuple[float, float] = (0.1, 5e-4),
    factor: float = 2.0,
) -> DefaultRank:
    """Compute the mean error rank near a default learning rate and weight decay (NDS, figure 12).

    Parameters
    ----------
    lr, wd : array_like, shape (models,)
        Learning rate and weight decay, above 0.
    errors : array_like, shape (models,)
        Percent, 0 to 100.
    default : (float, float)
        Learning rate and weight decay, above 0. NDS has (0.1, 5e-4) on CIFAR-10, (0.05, 5e-5) on ImageNet.
    factor : float
        Near is at most `factor` times more or less, in both; above 1.

    Returns
    -------
    DefaultRank

    Raises
    ------
    EdfkitError
        If no model is near, the lengths differ, a rate is not above 0, an error is not a number in 0..100, or `factor`
        is not above 1.
    """
    lrs, wds, ranks = _rates(lr, wd, errors)
    if not (1 < factor < np.inf and 0 < min(default) <= max(default) < np.inf):
        raise EdfkitError(
            f"default_rank: default = {default} and factor = {factor:g} were given, but rates above 0 and a factor "
            "above 1 are needed: use (0.1, 5e-4) and 2."
        )
    near = np.ones(lrs.size, dtype=bool)
    for rates, centre in zip((lrs, wds), default, strict=True):
        near &= (centre / factor <= rates) & (rates <= centre * factor)
    chosen = ranks[near]
    if chosen.size == 0:
        raise EdfkitError(
            f"default_rank: no model has a learning rate and weight decay within a factor of {factor:g} of {default}: "
            "use a larger factor, or another default."
        )
    error = chosen.std(ddof=1) / np.sqrt(chosen.size) if chosen.size > 1 else math.nan
    return DefaultRank(chosen.size, float(chosen.mean()), float(error))


def _rates(lr: ArrayLike, wd: ArrayLike, errors: ArrayLike) -> tuple[Floats, Floats, Floats]:
    lrs, wds, ranks = finite_vector(lr, "lr"), finite_vector(wd, "wd"), error_ranks(errors)
    same_models(lr=lrs, wd=wds, errors=ranks)
    for name, rates in (("lr", lrs), ("wd", wds)):
        if rates.min() <= 0:
            raise EdfkitError(
                f"{name}: {rates.min():g} was given, but the scale is logarithmic, above 0: leave those models out."
            )
    return lrs, wds, ranks


def _edges(rates: Floats, bins: int | ArrayLike, name: str) -> Floats:
    """Return the edges given, or that many cells of equal width in the logarithm."""
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise EdfkitError(f"{name}_bins: {bins} was given, but at least one cell is needed: use 10.")
        if np.ptp(rates) == 0:
            raise EdfkitError(f"{name}: all are {rates[0]:g}, which is no range to divide: give edges around it.")
        return np.geomspace(rates.min(), rates.max(), int(bins) + 1)
    edges = finite_vector(bins, f"{name}_bins")
    if edges.size < 2 or np.any(np.diff(edges) <= 0):
        raise EdfkitError(
            f"{name}_bins: {edges.tolist()} were given, but at least two edges are needed, increasing: sort them."
        )
    return edges
