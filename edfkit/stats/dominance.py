"""Almost always better: by how much two error distributions within strata miss that one is better at every quantile.

Convention: Q_A(u) is the smallest error with F_A >= u, with the weighted F_A and F_B of `edfkit.stats.strata`; a
difference is A minus B, so it is below 0 where A is better. Differences are constant between the steps of the two
EDFs, and integrals over u are exact sums.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.adjusted import clustered, mean_difference
from edfkit.stats.curves import strata_band
from edfkit.stats.edf import ROUND_OFF, Floats, edf
from edfkit.stats.sample import different
from edfkit.stats.special import student_quantile
from edfkit.stats.strata import Strata

Steps = tuple[Floats, Floats]  # the distinct errors of a population, increasing, and its F there


@dataclass(frozen=True)
class Violation(Result):
    """How far A is from being at least as good as B at every quantile.

    Attributes
    ----------
    ratio : float
        0 to 1: 0 where A is at least as good everywhere, 1 where B is; below 1/2 A is nearer to it than B. That of B
        is 1 - ratio. NaN where the EDFs are equal.
    low, high : float
        Its interval; 0 and 1 where the data do not bound it.
    standard_error : float
        Of the ratio in large samples; too small near 0 and 1, where the interval does not rest on it. NaN where the
        EDFs are equal.
    distance : float
        The square root of the integral of (Q_A - Q_B)^2, the Wasserstein distance of order 2, percentage points.
    """

    ratio: float
    low: float
    high: float
    standard_error: float
    distance: float


@dataclass(frozen=True)
class QuantileDifference(Result):
    """The difference of quantiles Q_A - Q_B as a curve over the share, with a band that holds everywhere at once.

    Attributes
    ----------
    shares : ndarray, shape (k,)
        The heights of the steps of both EDFs, increasing, the last is 1. Each entry of the others holds for the u above
        the share before (at first above 0), up to this one.
    difference : ndarray, shape (k,)
        Q_A - Q_B, percentage points; below 0 where A is better.
    lower, upper : ndarray, shape (k,)
        The band, percentage points; infinite where it is open.
    half_width : float
        Of the band of the EDFs from which it follows, a share.
    confidence : float
    """

    shares: Floats
    difference: Floats
    lower: Floats
    upper: Floats
    half_width: float
    confidence: float


def violation(strata: Strata, confidence: float = 0.95) -> Violation:
    """Measure how nearly A is better than B at every quantile.

    The ratio is the integral of ((Q_A - Q_B)_+)^2 over that of (Q_A - Q_B)^2 (del Barrio, Cuesta-Albertos and Matran
    2018). It is the squared sine of an angle, which is estimated about equally well everywhere; the interval is one of
    that angle, +- asin(r). Here r is the Student quantile times the largest of the standard errors of the angle, of
    log W2, and of the mean difference divided by W2. The last two stand for noise in other directions than the one the
    sample shows: near 0 and 1 the angle's own standard error vanishes, but the sample may hide differences. Noise makes
    both parts of the denominator too large: before the lower limit is taken, the numerator loses the integrated
    variance of Q_A and Q_B, sum of F (1 - F) gap^2 / 2 over the gaps between their errors; likewise the other part
    before the upper limit. Where r reaches 1, W2 is no larger than the noise, and the interval goes from 0 to 1.

    In simulations it covers at least as often as it should; less, down to nine in ten, with a tail as heavy as that of
    a lognormal law.

    Standard errors come from the influence of each model on the integrals, by the variance of
    `edfkit.stats.adjusted.mean_difference`.

    Parameters
    ----------
    strata : Strata
        With H of at least 2.
    confidence : float
        Of the interval, above 0, below 1. Its limits are one-sided ones of the confidence (1 + confidence) / 2.

    Returns
    -------
    Violation

    Raises
    ------
    EdfkitError
        If H is below 2 or the confidence is out of range.
    """
    mean = mean_difference(strata, confidence, slope=False)
    a, b = _steps(strata)
    shares, difference = _difference(a, b)
    width = np.diff(shares, prepend=0.0)
    worse, better = (float(width @ np.square(np.maximum(r, 0.0))) for r in (difference, -difference))
    square = worse + better
    distance = math.sqrt(square)
    if square == 0:  # equal quantiles are the same error
        return Violation(math.nan, 0.0, 1.0, math.nan, 0.0)
    ratio = worse / square

    def noise(h: Callable[[Floats], Floats]) -> tuple[float, float]:
        """Give the standard error of the integral of h(Q_A - Q_B), and the Student quantile times it."""
        units = replace(strata, errors=_influence(strata, a, b, h)).collapsed()
        _, variance, df, _ = clustered(units, units.errors)
        return math.sqrt(variance), student_quantile(1 - confidence, df) * math.sqrt(variance)

    error, of_ratio = noise(lambda r: (np.square(np.maximum(r, 0.0)) - ratio * np.square(r)) / square)
    _, of_log = noise(lambda r: np.square(r) / (2 * square))
    slope = 2 * math.sqrt(ratio * (1 - ratio))  # of the ratio on the angle
    reach = max(of_log, (mean.high - mean.estimate) / distance, of_ratio / slope if slope else 0.0)
    half, extra = math.asin(min(1.0, reach)), _noise(a) + _noise(b)

    def least(part: float, rest: float) -> float:
        """Give the smallest angle with this part as the square of its opposite side."""
        return max(0.0, math.atan2(math.sqrt(max(0.0, part - extra)), math.sqrt(rest)) - half)

    low, high = math.sin(least(worse, better)) ** 2, math.cos(least(better, worse)) ** 2
    return Violation(ratio, low, high, error, distance)


def quantile_difference(
    strata: Strata, *, rng: "np.random.Generator | int", confidence: float = 0.95, draws: int = 399
) -> QuantileDifference:
    """Compute Q_A - Q_B over the share u, with a simultaneous band.

    With the confidence, no two errors x and y that the same share of A and of B reach have F_A(x) and F_B(y) further
    apart than c. So for x = Q_A(u) the y lies between Q_B(u - c) and Q_B(u + c), and the difference between x - Q_B(u +
    c) and x - Q_B(u - c) (Doksum and Sievers 1976): the band says by how much a model of A that is at x in the sample
    differs from the model of B of the same rank in its design space. Where u - c is not above 0 or u + c not below 1,
    the sample of B holds no limit, and the band is open: infinite. Ties make it wider than needed.

    c is the half width of `edfkit.stats.curves.strata_band`, with each error replaced by its rank, F_A or F_B of its
    own population: so it does not need equal distributions.

    Parameters
    ----------
    strata : Strata
    rng : numpy.random.Generator or int
        Source of the normal numbers of the half width, or its seed.
    confidence : float
        At least 0.5, below 1.
    draws : int
        Number of draws; at least 20 / (1 - confidence) - 1 are taken.

    Returns
    -------
    QuantileDifference

    Raises
    ------
    EdfkitError
        If the confidence is out of range.
    """
    if not 0.5 <= confidence < 1:
        raise EdfkitError(
            f"confidence: {confidence:g} was given, but at least 0.5 and less than 1 is needed, for example 0.95."
        )
    a, b = _steps(strata)
    ranks = np.round(_by_row(strata, a, b, a[1], b[1]), 10)  # so that equal ranks of A and B are one step
    ranked = replace(strata, errors=ranks)
    half = strata_band(ranked, rng=rng, confidence=confidence, draws=draws).half_width
    shares, difference = _difference(a, b)
    of_a = _quantile(a, shares)
    # What holds for a whole piece between two steps: from its ends.
    below, above = np.append(0.0, shares[:-1]) - half, shares + half
    upper = np.where(below > ROUND_OFF, of_a - _quantile(b, below), np.inf)
    lower = np.where(above < 1 - ROUND_OFF, of_a - _quantile(b, above, side="right"), -np.inf)
    return QuantileDifference(shares, difference, lower, upper, half, confidence)


def _steps(strata: Strata) -> tuple[Steps, Steps]:
    """Give the weighted EDFs of A and of B."""
    a = strata.first
    return edf(strata.errors[a], strata.weights[a]), edf(strata.errors[~a], strata.weights[~a])


def _noise(steps: Steps) -> float:
    """Estimate the integral of the variance of a quantile function: the sum of F (1 - F) gap^2 / 2 over its steps."""
    values, heights = steps[0], steps[1][:-1]
    return float(heights * (1 - heights) @ np.square(np.diff(values)) / 2)


def _by_row(strata: Strata, a: Steps, b: Steps, of_a: Floats, of_b: Floats) -> Floats:
    """Give each row of A and of B the number of its step."""
    values, place = strata.steps
    # An error that only the other population has reads any step.
    in_a, in_b = (of[np.minimum(np.searchsorted(own[0], values), of.size - 1)] for own, of in ((a, of_a), (b, of_b)))
    return np.where(strata.first, in_a[place], in_b[place])


def _quantile(steps: Steps, shares: Floats, side: str = "left") -> Floats:
    """Give the smallest error whose EDF reaches a share, or with side "right" exceeds it; else the largest."""
    values, heights = steps
    allowed = shares * (1 - ROUND_OFF if side == "left" else 1 + ROUND_OFF)
    found = np.searchsorted(heights, allowed, side="left" if side == "left" else "right")
    return np.asarray(values[np.minimum(found, values.size - 1)])


def _difference(a: Steps, b: Steps) -> Steps:
    """Give the heights of the steps of both EDFs, and Q_A - Q_B up to each from the one before."""
    shares = different(np.concatenate([a[1], b[1]]))
    shares = shares[np.append(np.diff(shares) > ROUND_OFF, True)]
    return shares, _quantile(a, shares) - _quantile(b, shares)


def _influence(strata: Strata, a: Steps, b: Steps, h: Callable[[Floats], Floats]) -> Floats:
    """Give the influence of each row on the integral of h(Q_A - Q_B); of rows of B with the opposite sign.

    A row of A with the error x moves it by the integral over y of -h'(y - Q_B(F_A(y))) ([x <= y] - F_A(y)).
    """
    return _by_row(strata, a, b, _pull(a, b, h), -_pull(b, a, lambda r: h(-r)))


def _pull(own: Steps, other: Steps, h: Callable[[Floats], Floats]) -> Floats:
    """Give the influence of one model at each step of its own EDF."""
    values, heights = own[0], own[1][:-1]
    # Where a step of the other EDF has the same height, the mean of what holds just below and just above.
    across = np.zeros(values.size)
    for side in ("left", "right"):
        opposite = _quantile(other, heights, side)
        across[:-1] += (h(values[1:] - opposite) - h(values[:-1] - opposite)) / 2
    return np.asarray(across[:-1] @ heights - np.cumsum(across[::-1])[::-1])
