"""Uncertainty of an error EDF and of the difference of two: simultaneous bands, crossings, the best models.

Convention: F(e) is the weight of errors <= e in percent, see `edfkit.stats.edf`; lower error is better, so the better
population's EDF lies above. A simultaneous band holds the whole true F with at least the confidence named, whatever F
is. Where F jumps (errors are rounded, so ties are the rule) the bands hold more often than that: a sample of F is F's
quantile function of a uniform sample, and the band is at most the uniform one, looked at in fewer places.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.edf import ROUND_OFF, Floats, counted_sample, edf, edfs_together, effective_size
from edfkit.stats.sample import Errors, Sample, places, refuse_pieces
from edfkit.stats.special import betainc, kolmogorov_inverse, log_factorials, smirnov_inverse

METHODS = ("ks", "equal-local-levels")

EXACT_KS = 500
"""`ks_half_width` is exact but for its second term up to this n, an expansion in 1 / sqrt(n) above."""

TABLE_SIZES = (2**10, 2**12, 2**14, 2**16, 2**18)
_LOCAL_LEVELS = {  # by confidence: what _exact_local_level finds for these sizes
    0.8: (0.00589720909, 0.00440573045, 0.00347244556, 0.00284246815, 0.00239253481),
    0.9: (0.00244830597, 0.00181948362, 0.00143023273, 0.00116934759, 0.000983892071),
    0.95: (0.00106491713, 0.000788321471, 0.000618558642, 0.000505398359, 0.000425233376),
    0.99: (0.000168538827, 0.000123839073, 9.68406822e-05, 7.90259037e-05, 6.64854897e-05),
}


def _checked_confidence(confidence: float) -> float:
    """Return a confidence that a band can have, or refuse."""
    if not 0.5 <= confidence < 1:
        raise EdfkitError(
            f"confidence: {confidence:g} was given, but at least 0.5 and less than 1 is needed, for example 0.95."
        )
    return float(confidence)


def ks_half_width(n: float, confidence: float = 0.95) -> float:
    """Compute the half width of the Kolmogorov-Smirnov band: d with P(sup `|EDF - F|` <= d) = confidence.

    The EDF is that of n independent draws from a continuous F. Up to n = 500, d is the exact quantile of the one-sided
    distance, at the level that makes up for both sides in the limit; above, the limit with its terms in 1 / sqrt(n) and
    1 / n. So d is too small by at most 3e-6 of itself from confidence 0.95 on, 3e-5 from 0.9, 3e-4 from 0.8, 6e-3 from
    0.5. Between whole n up to 500, sqrt(n) d is interpolated linearly.

    Parameters
    ----------
    n : float
        Number of models, at least 1; an effective number need not be whole.
    confidence : float
        At least 0.5, below 1.

    Returns
    -------
    float
        Above 0, below 1.

    Raises
    ------
    EdfkitError
        If n or the confidence is out of range.
    """
    if not 1 <= n < math.inf:
        raise EdfkitError(f"ks_half_width: n = {n:g} was given, but a number of at least 1 is needed.")
    limit = kolmogorov_inverse(1 - _checked_confidence(confidence))
    if n > EXACT_KS:
        second_order = (1 / 72 + (limit**2 - limit**4) / 9) / limit
        return (limit - 1 / (6 * math.sqrt(n)) + second_order / n) / math.sqrt(n)
    # Kolmogorov's law has P(K > x) = 2 exp(-2 x^2) - 2 exp(-8 x^2) + ..., the one-sided law only the first exponential.
    level = math.exp(-2 * limit**2)
    whole = sorted({math.floor(n), math.ceil(n)})
    return float(np.interp(n, whole, [math.sqrt(k) * smirnov_inverse(k, level) for k in whole]) / math.sqrt(n))


def _joint_coverage(low: Floats) -> float:
    """Compute P(low_i <= U_i <= 1 - low_{n+1-i} for all i), U_1 < ... < U_n being n uniform draws in order.

    The draws are the jumps of a Poisson process N of rate n on [0, 1], on condition that N(1) = n. The bounds say that
    N is at most i - 1 until low_i, and at least i from 1 - low_{n+1-i} on; between two such times N grows by a Poisson
    number, which is one convolution of the probabilities of the values that N can have there. As the bounds are
    symmetric, so is the second half of the way, walked backwards. Only sums of positive terms, none of them lost:
    precise to about 1e-12, in O(n) memory and about n^1.5 time.

    Parameters
    ----------
    low : ndarray, shape (n,)
        Increasing, each below the upper bound of the same draw.

    Returns
    -------
    float
    """
    n = low.size
    rises, falls = low[low <= 0.5], 1 - low[low > 0.5][::-1]
    times = np.concatenate([rises, falls])
    order = np.argsort(times, kind="stable")
    opens = [*(order < rises.size).tolist(), None]
    mean = n * np.diff(times[order], prepend=0.0, append=0.5)
    jump = np.arange(math.ceil(mean.max() + 8 * math.sqrt(mean.max())) + 10)
    log_factorial = log_factorials(jump.size - 1)
    inside, values = np.ones(1), 1  # probabilities of the values that N can have, and their number
    for start in range(0, mean.size, 1024):  # a part at a time, to bound the memory
        part = mean[start : start + 1024, None]
        kernels = np.exp(-part - log_factorial) * part**jump
        for kernel, opened in zip(kernels, opens[start : start + 1024], strict=True):
            inside = np.convolve(inside, kernel)[:values]
            if opened:  # past low_i, N may be i
                values += 1
            elif opened is not None:  # past the upper bound of draw i, N may not be i - 1
                inside, values = inside[1:], values - 1
    log_total = n * math.log(n) - n - math.lgamma(n + 1)
    return float(inside @ inside[::-1]) / math.exp(log_total)


def _exact_local_level(n: int, confidence: float) -> float:
    """Find the level of `equal_local_level` by secants, to a relative 1e-9; see there."""
    from scipy.special import betaincinv  # here and below, because scipy.special takes longer to load than edfkit

    draw = np.arange(1, n + 1.0)
    goal = math.log(-math.log(confidence))

    def excess(x: float) -> float:
        """Return how far the log of -log coverage is off at the level 1 - exp(-exp(x)): nearly linear, slope near 1."""
        return (
            math.log(-math.log(_joint_coverage(betaincinv(draw, n + 1 - draw, -math.expm1(-math.exp(x)) / 2)))) - goal
        )

    # As if log log n * log n independent intervals had to hold, twice; exact for n = 1.
    x = goal - math.log(1 + 2 * math.log(n) * math.log1p(math.log(n)))
    off = excess(x)
    step = -off
    while abs(step) > 1e-6:  # and a secant's next step would be of the order of the product of the last two
        x, before = x + step, off
        off = excess(x)
        step *= off / (before - off)
    return -math.expm1(-math.exp(x + step))


def equal_local_level(n: int, confidence: float = 0.95) -> float:
    """Find the level eta at which the beta intervals of all order statistics hold jointly with the confidence.

    Of n independent uniform draws, the i-th smallest is Beta(i, n + 1 - i). Each has an interval that it leaves with
    probability eta, eta / 2 on either side; eta is such that with probability `confidence` none does. For n from 1,024
    to 262,144 and the confidences 0.8, 0.9, 0.95, 0.99, log eta is interpolated in log log n through five exact values,
    to a relative 3e-5, which changes the joint coverage by 3e-5 (1 - confidence) or so; else eta is found to a relative
    1e-9 by a recursion over the bounds: 20 ms at n = 1,000, 1 s at 25,000, minutes near a million.

    Parameters
    ----------
    n : int
        Number of models, at least 1.
    confidence : float
        At least 0.5, below 1.

    Returns
    -------
    float
        1 - confidence for n = 1, less for more; 5.795e-4 for n = 25,000 and the confidence 0.95.

    Raises
    ------
    EdfkitError
        If n is not a whole number of at least 1, or the confidence is out of range.
    """
    if not 1 <= n < math.inf or n != int(n):
        raise EdfkitError(f"equal_local_level: n = {n:g} was given, but a whole number of at least 1 is needed.")
    levels = _LOCAL_LEVELS.get(_checked_confidence(confidence))
    if levels is None or not TABLE_SIZES[0] <= n <= TABLE_SIZES[-1]:
        return _exact_local_level(int(n), confidence)
    loglog = np.log(np.log(TABLE_SIZES))
    through = np.polynomial.Polynomial.fit(loglog, np.log(levels), len(levels) - 1)
    return math.exp(through(math.log(math.log(n))))


@dataclass(frozen=True)
class Band(Result):
    """A simultaneous band for the true F: it holds everywhere at once.

    Attributes
    ----------
    values : ndarray, shape (k,)
        The distinct errors, increasing, percent.
    heights : ndarray, shape (k,)
        The EDF at the values.
    lower, upper : ndarray, shape (k,)
        The bounds of F from each value up to the next, that one not included; from the last value on.
    upper_before : float
        The upper bound of F below the first value; the lower one is 0. Where F has no jump, it holds at the first value
        too: a bound on the share of models better than the best one.
    n_eff : float
        Effective number of models.
    confidence : float
    method : str
        One of `METHODS`.
    """

    values: Floats
    heights: Floats
    lower: Floats
    upper: Floats
    upper_before: float
    n_eff: float
    confidence: float
    method: str


def edf_band(
    errors: Errors,
    weights: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    method: str = "ks",
    counts: ArrayLike | None = None,
    n_eff: float | None = None,
) -> Band:
    """Compute a simultaneous band for the true F of a sample.

    "ks" is the EDF +- `ks_half_width`: as wide everywhere. "equal-local-levels" has the beta intervals of
    `equal_local_level`: far narrower at both ends, where the best models are, and a little wider in the middle.

    With weights "ks" takes the effective size for n. That holds for the weights of complexity bins, whose shares are
    set (see `edfkit.stats.bins`): the sampling variance is then at most 1 / (4 n_eff) everywhere. It does not hold for
    weights that are random and go with the error, such as importance weights: of simulated samples with a few models of
    large weight at one end, 9 to 24 % left the band of 95 %. "equal-local-levels" refuses unequal weights: near the
    best models a few of large weight can decide, which one n_eff for all errors does not tell. With ten bins, nine of
    100 models and the best of 3, the beta intervals with n_eff were left by 59 % of the samples, for 5 %.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    weights : array_like, shape (n,), optional
        Of one model, at least 0, on any scale; all equal if not given.
    confidence : float
        At least 0.5, below 1.
    method : str
        One of `METHODS`.
    counts : array_like of int, shape (n,), optional
        How many models each error stands for, see `edfkit.stats.edf`; one if not given.
    n_eff : float, optional
        Effective number of models, where some are not independent, for "ks"; by default that of the weights.

    Returns
    -------
    Band

    Raises
    ------
    EdfkitError
        If the method is unknown, or has no band for unequal weights, and see `ks_half_width` and
        `edfkit.stats.edf.counted_sample`.
    """
    if method not in METHODS:
        raise EdfkitError(f"method: {method!r} was given, but one of {', '.join(METHODS)} is needed.")
    sample, each, number = counted_sample(errors, weights, counts)
    values, heights = edf(sample, each * number)
    size = effective_size(each, number)
    if method == "ks":
        size = size if n_eff is None else n_eff
        half = ks_half_width(size, confidence)
        lower, upper, upper_before = np.maximum(0.0, heights - half), np.minimum(1.0, heights + half), half
    elif each.min() < 1 - ROUND_OFF:
        raise EdfkitError(
            "method: equal-local-levels was asked for with unequal weights, but only models of equal weight have such "
            "a band: use ks, or leave out the weights."
        )
    else:
        from scipy.special import betaincinv

        n = int(number.sum())
        rank = np.append(0.0, np.rint(heights * n))  # number of models up to each value, 0 below the first
        # The bounds mirror each other: the upper one of the k-th draw is 1 - the lower one of the k-th from the end.
        draws, at = np.unique(np.concatenate([rank[1:], n - rank[:-1]]), return_inverse=True)
        bounds = betaincinv(draws, n + 1 - draws, equal_local_level(n, confidence) / 2)[at]
        lower, upper = bounds[: values.size], np.append(1 - bounds[values.size + 1 :], 1.0)
        upper_before = 1 - bounds[values.size]
    return Band(values, heights, lower, upper, float(upper_before), size, confidence, method)


@dataclass(frozen=True)
class DifferenceBand(Result):
    """A simultaneous band for F_A - F_B: it holds everywhere at once.

    Attributes
    ----------
    values : ndarray, shape (k,)
        The distinct errors of both samples, increasing, percent.
    difference : ndarray, shape (k,)
        The EDF of A minus that of B at the values; positive where A is better.
    lower, upper : ndarray, shape (k,)
        The bounds of F_A - F_B from each value up to the next, that one not included; from the last value on.
    half_width : float
        Of the band; below the first value it reaches from minus this to this.
    n_eff_a, n_eff_b : float
        Effective numbers of models.
    confidence : float
    """

    values: Floats
    difference: Floats
    lower: Floats
    upper: Floats
    half_width: float
    n_eff_a: float
    n_eff_b: float
    confidence: float

    def ranges(self, ends: tuple[float, float] = (0.0, 100.0)) -> list[tuple[float, float, str]]:
        """Say where A is better, worse, or neither for certain.

        Parameters
        ----------
        ends : (float, float)
            The smallest and the largest error that can be; infinite where there is no bound.

        Returns
        -------
        list of (float, float, str)
            From, to (not included, but for the last one) and "better" (lower > 0), "worse" (upper < 0) or "undecided",
            in order of error, from one of the ends to the other; neighbours differ. All of it holds at once with the
            confidence.
        """
        kinds = np.select([self.lower > 0, self.upper < 0], ["better", "worse"], "undecided").tolist()
        ranges: list[tuple[float, float, str]] = []
        edges = [ends[0], *self.values.tolist(), ends[1]]
        for (start, end), kind in zip(pairwise(edges), ["undecided", *kinds], strict=True):
            if ranges and ranges[-1][2] == kind:
                ranges[-1] = (ranges[-1][0], end, kind)
            elif start < end:
                ranges.append((start, end, kind))
        return ranges

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes and the ranges as JSON can hold them."""
        return {**super().to_dict(), "ranges": [list(one) for one in self.ranges()]}


def edf_difference(
    errors_a: Errors,
    errors_b: Errors,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Return the distinct errors of both samples, increasing, and F_A - F_B there; round-off counts as 0."""
    values, above_a, above_b = edfs_together(errors_a, errors_b, weights_a, weights_b)
    difference = above_a - above_b
    difference[np.abs(difference) < ROUND_OFF] = 0.0
    return values, difference


def difference_band(
    errors_a: Errors,
    errors_b: Errors,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    counts_a: ArrayLike | None = None,
    counts_b: ArrayLike | None = None,
    n_eff_a: float | None = None,
    n_eff_b: float | None = None,
) -> DifferenceBand:
    """Compute a simultaneous band for F_A - F_B: the difference of the EDFs +- K / sqrt(n_e).

    K is Kolmogorov's quantile and n_e = n_a n_b / (n_a + n_b), effective sizes with weights (on which ones that holds,
    see `edf_band`). So it is 0 outside the band where the test of `edfkit.stats.two_sample.ks` rejects. It holds
    whether or not F_A = F_B: in the limit the errors of the EDFs are independent Brownian bridges of F_A and F_B, and
    the bridge of the pooled F, to which K belongs, is their difference plus an independent Gaussian multiple of F_A -
    F_B; more noise about 0 leaves a symmetric band more often (Anderson's inequality).

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent.
    weights_a, weights_b : array_like, shapes (n_a,) and (n_b,), optional
        Of one model, at least 0, on any scale; all equal if not given.
    confidence : float
        At least 0.5, below 1.
    counts_a, counts_b : array_like of int, shapes (n_a,) and (n_b,), optional
        How many models each error stands for, see `edfkit.stats.edf`; one if not given.
    n_eff_a, n_eff_b : float, optional
        Effective sizes, where rows are not independent; by default those of the weights.

    Returns
    -------
    DifferenceBand

    Raises
    ------
    EdfkitError
        If the confidence is out of range, and see `edfkit.stats.edf.counted_sample`.
    """
    (sample_a, each_a, number_a), (sample_b, each_b, number_b) = (
        counted_sample(errors_a, weights_a, counts_a),
        counted_sample(errors_b, weights_b, counts_b),
    )
    values, difference = edf_difference(sample_a, sample_b, each_a * number_a, each_b * number_b)
    size_a = effective_size(each_a, number_a) if n_eff_a is None else n_eff_a
    size_b = effective_size(each_b, number_b) if n_eff_b is None else n_eff_b
    half = min(1.0, kolmogorov_inverse(1 - _checked_confidence(confidence)) * math.sqrt(1 / size_a + 1 / size_b))
    lower, upper = np.maximum(-1.0, difference - half), np.minimum(1.0, difference + half)
    return DifferenceBand(values, difference, lower, upper, half, size_a, size_b, confidence)


@dataclass(frozen=True)
class Crossings(Result):
    """Where the EDFs of two samples cross.

    Attributes
    ----------
    errors : tuple of float
        The errors at which the lead changes, increasing, percent: from there on the other EDF lies above.
    ahead : tuple of str
        Whose EDF lies above, "a" or "b", in order of error: before the first crossing, between two, after the last; so
        one more than there are crossings, but none if the EDFs are equal.
    dominance : str
        "a" if A's EDF lies nowhere below B's and somewhere above (first-order stochastic dominance of the samples),
        "b" the other way round, "neither" if they cross, "equal" if they are the same.
    """

    errors: tuple[float, ...]
    ahead: tuple[str, ...]
    dominance: str


def crossings(
    errors_a: Errors,
    errors_b: Errors,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
) -> Crossings:
    """Find where the EDFs of two samples cross, and whether one dominates.

    This describes the samples; what holds for the populations, `difference_band` says. EDFs that differ by less than
    1e-10 are equal there. Where they touch and part again on the same side, they do not cross.

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent.
    weights_a, weights_b : array_like, shapes (n_a,) and (n_b,), optional
        At least 0, on any scale; all equal if not given.

    Returns
    -------
    Crossings

    Raises
    ------
    EdfkitError
        See `edfkit.stats.edf.checked_sample`.
    """
    values, difference = edf_difference(errors_a, errors_b, weights_a, weights_b)
    apart = difference != 0
    values, leads_a = values[apart], difference[apart] > 0
    change = np.flatnonzero(leads_a[1:] != leads_a[:-1]) + 1
    ahead = tuple("a" if lead else "b" for lead in leads_a[np.append(0, change)]) if leads_a.size else ()
    dominance = ahead[0] if len(ahead) == 1 else "neither" if ahead else "equal"
    return Crossings(tuple(values[change].tolist()), ahead, dominance)


@dataclass(frozen=True)
class Best(Result):
    """The best share q of one population.

    Attributes
    ----------
    quantile : float
        The smallest error whose EDF reaches q, percent: what the best share stays within.
    low, high : float
        Confidence interval of the true quantile, percent; 0 or 100, or what the error can be at the least or at the
        most, where too few models are on that side.
    mean : float
        Mean error of the best share, percent.
    n_eff : float
        Effective number of models for the share at the quantile.
    """

    quantile: float
    low: float
    high: float
    mean: float
    n_eff: float


@dataclass(frozen=True)
class Tail(Result):
    """The best share q of two populations.

    Attributes
    ----------
    q : float
        0 to 1.
    confidence : float
        Of each of the two intervals, not of both at once.
    a, b : Best
    """

    q: float
    confidence: float
    a: Best
    b: Best

    def difference(self) -> tuple[float, float, float]:
        """Give the quantile of A minus that of B, with an interval of the same confidence.

        The interval puts those of the two quantiles together as independent ones (the method of variance estimates
        recovery, Zou and Donner 2008).

        Returns
        -------
        estimate, low, high : float
            Percentage points.
        """
        a, b = self.a, self.b
        estimate = a.quantile - b.quantile
        low = estimate - math.hypot(a.quantile - a.low, b.high - b.quantile)
        return estimate, low, estimate + math.hypot(a.high - a.quantile, b.quantile - b.low)


def _best(
    sample: Floats,
    each: Floats,
    number: NDArray[np.int64],
    q: float,
    outside: float,
    units: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    ends: tuple[float, float] = (0.0, 100.0),
) -> Best:
    """Describe the best share q of one sample; the interval leaves out `outside` on either side."""
    values, heights = edf(sample, each * number)
    at = int(np.searchsorted(heights, q * (1 - ROUND_OFF), side="left"))
    # n_eff where the variance of F at the quantile is h (1 - h) / n_eff: exactly n for equal weights.
    h, size = heights[at], effective_size(each, number)
    below = (sample <= values[at]).astype(np.float64)
    shares = each / (each * number).sum()
    if units is not None:  # one row a unit, with the mean of what its rows are
        _, first, own = np.unique(np.asarray(units), return_index=True, return_inverse=True)
        of_unit = np.bincount(own, shares)
        below, shares, number = np.bincount(own, shares * below) / of_unit, of_unit, np.ones(of_unit.size, np.int64)
        strata = None if strata is None else np.asarray(strata)[first]
        size = effective_size(shares)
    if h < 1:
        usual = np.full(below.size, h)
        factor = np.ones(below.size)
        if strata is not None:  # what a stratum explains does not vary; of one model alone that is not known
            group = places(np.asarray(strata))[1]
            models = np.bincount(group, number)[group]
            several = models > 1
            usual[several] = (np.bincount(group, number * below)[group] / models)[several]
            factor[several] = models[several] / (models[several] - 1)
        spread = float((number * factor * np.square(shares * (below - usual))).sum())
        found = float(h * (1 - h) / spread) if spread > 0 else math.inf
        size = min(size if strata is None else 4 * size, found)
    up_to = np.append(0.0, size * heights)
    allowed = outside * (1 + ROUND_OFF)
    # The r-th of n draws is below the true quantile with probability P(at least r of n are) = I_q(r, n + 1 - r), which
    # falls with r, so where it is small enough is found by bisection.
    above = bisect_left(up_to, True, lo=1, key=lambda r: betainc(float(r), float(size + 1 - r), q) <= allowed)
    below = bisect_left(
        up_to, True, hi=values.size, key=lambda r: betainc(float(size - r), float(r + 1), 1 - q) > allowed
    )
    taken = np.diff(np.minimum(heights, q), prepend=0.0)
    taken[at + 1 :] = 0.0  # round-off, that must not weigh a value as large as `edfkit.metric.BEYOND`
    return Best(
        quantile=float(values[at]),
        low=float(values[below - 1]) if below else ends[0],
        high=float(values[above - 1]) if above <= values.size else ends[1],
        mean=float(np.average(values, weights=taken)),
        n_eff=size,
    )


def _own_strata(errors: Errors, strata: ArrayLike | None) -> ArrayLike | None:
    """Return the strata of the entries of a sample that have a positive weight, or those that were given."""
    if not isinstance(errors, Sample):
        return strata
    refuse_pieces(strata=strata)
    if errors.strata is None or errors.weights is None:
        return errors.strata
    return errors.strata[errors.weights > 0]


def tail(
    errors_a: Errors,
    errors_b: Errors,
    q: float,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    counts_a: ArrayLike | None = None,
    counts_b: ArrayLike | None = None,
    units_a: ArrayLike | None = None,
    units_b: ArrayLike | None = None,
    strata_a: ArrayLike | None = None,
    strata_b: ArrayLike | None = None,
    ends: tuple[float, float] = (0.0, 100.0),
) -> Tail:
    """Compare the best share q of two populations: its largest and its mean error.

    The confidence intervals of the quantiles go from one order statistic to another, by the binomial distribution: at
    least the confidence for any F. With weights the sample size is the one that gives F its variance at the quantile,
    sum of w^2 ((e <= quantile) - F)^2, at most n_eff (Korn and Graubard's interval, approximate): near the best models
    a few of large weight can decide.

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent.
    q : float
        Share of the models, above 0 and up to 1; of the model at the end only the part that is needed enters the mean.
    weights_a, weights_b : array_like, shapes (n_a,) and (n_b,), optional
        Of one model, at least 0, on any scale; all equal if not given.
    confidence : float
        Of each interval, at least 0.5, below 1.
    counts_a, counts_b : array_like of int, shapes (n_a,) and (n_b,), optional
        How many models each error stands for, see `edfkit.stats.edf`; one if not given.
    units_a, units_b : array_like of int, shapes (n_a,) and (n_b,), optional
        The unit of each model, where several repeat one; not together with counts or weights of 0.
    strata_a, strata_b : array_like of int, shapes (n_a,) and (n_b,), optional
        The stratum of each model, see `edfkit.stats.strata`: what differs between strata does not widen the intervals.
    ends : (float, float)
        The smallest and the largest error that can be; infinite where there is no bound.

    Returns
    -------
    Tail

    Raises
    ------
    EdfkitError
        If q or the confidence is out of range, and see `edfkit.stats.edf.counted_sample`.
    """
    if not 0 < q <= 1:
        raise EdfkitError(
            f"tail: q = {q:g} was given, but a share above 0 and up to 1 is needed: divide percent by 100."
        )
    outside = (1 - _checked_confidence(confidence)) / 2
    samples = counted_sample(errors_a, weights_a, counts_a), counted_sample(errors_b, weights_b, counts_b)
    of = zip(
        samples, (units_a, units_b), (_own_strata(errors_a, strata_a), _own_strata(errors_b, strata_b)), strict=True
    )
    both = (_best(*sample, q, outside, units, strata, ends) for sample, units, strata in of)
    return Tail(float(q), confidence, *both)
