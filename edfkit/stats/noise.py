"""Training noise: what seeds alone do to errors, and to the EDF of a population.

Convention: errors are percent, one row per model where there are several each; every value is known, so leave
failed models out before. A diverged model stays: it is what its configuration leads to. Shares are 0 to 1. Intervals
are two-sided, at level `conf`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.checks import percent
from edfkit.stats.edf import Floats
from edfkit.stats.special import chi_square_quantile, student_quantile
from edfkit.stats.two_sample import SUMMARY_QUANTILES


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
    n = without.size
    if n < 3 or not (0 < statistic < np.inf and np.all((without > 0) & (without < np.inf))):
        return math.nan, math.nan
    pseudo = n * np.log(statistic) - (n - 1) * np.log(without)
    reach = student_quantile(1 - conf, n - 1) * pseudo.std(ddof=1) / np.sqrt(n)
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
        Percent, of the same model; at least 2.
    conf : float
        Level of the intervals, above 0 and below 1.

    Returns
    -------
    SeedNoise

    Raises
    ------
    EdfkitError
        If there is one seed only, an error is not a finite number, or `conf` is not between 0 and 1.
    """
    sample, conf = percent(errors, "errors", ("seeds",)), _level(conf)
    n = sample.size
    if n < 2:
        raise EdfkitError("errors: 1 seed was given, but noise shows between at least 2: train the model once more.")
    variance = float((sample - sample[0]).var(ddof=1))  # exactly 0 if all seeds agree
    low, high = _jackknife(variance, _variances_without(sample), conf)
    upper, lower = (chi_square_quantile(tail, n - 1) for tail in ((1 - conf) / 2, (1 + conf) / 2))
    normal = math.sqrt(variance * (n - 1) / upper), math.sqrt(variance * (n - 1) / lower)
    fourth, second = np.mean((sample - sample.mean()) ** 4), sample.var()
    return SeedNoise(
        seeds=n,
        mean=float(sample.mean()),
        min=float(sample.min()),
        max=float(sample.max()),
        quantiles=interpolated_quantiles(sample),
        sd=math.sqrt(variance),
        sd_interval=(math.sqrt(low), math.sqrt(high)),
        sd_interval_normal=normal,
        excess_kurtosis=float(fourth / second**2 - 3) if np.ptp(sample) > 0 else math.nan,
    )


def interpolated_quantiles(values: Floats) -> dict[float, float]:
    """Give the quantiles of a summary, interpolated between numbers that need not be errors of models."""
    # As numpy.quantile does, which loads numpy.ma.
    places = np.array(SUMMARY_QUANTILES) * (values.size - 1)
    found = np.interp(places, np.arange(values.size), np.sort(values))
    return dict(zip(SUMMARY_QUANTILES, found.tolist(), strict=True))


def average_over_seeds(errors: ArrayLike) -> Floats:
    """Average the errors over the first 1, 2, ... seeds: what the EDFs of NDS, figure 14, are of.

    Parameters
    ----------
    errors : array_like, shape (models, seeds)
        Percent.

    Returns
    -------
    ndarray, shape (seeds, models)
        Row k - 1 is the errors averaged over the first k seeds, percent.

    Raises
    ------
    EdfkitError
        If an error is not a finite number; a model that lacks a seed must be left out.
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
        Percent; at least 2 models and 2 seeds.
    conf : float
        Level of the interval, above 0 and below 1.

    Returns
    -------
    NoiseShare

    Raises
    ------
    EdfkitError
        If there are less than 2 models or seeds, all errors are equal, an error is not a finite number, or `conf` is
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
        Percent; at least 2 models.
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
        If there is one model only, all errors are equal, one is not a finite number, or `noise_sd` or `conf` is out
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
