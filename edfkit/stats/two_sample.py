"""Comparison of two populations A and B by the EDFs of their errors.

Convention: lower error is better, so the better population's EDF lies above. Errors are in percent; F(e) is the weight
of errors <= e, see `edfkit.stats.edf`. Errors are rounded (a test set of 10,000 images gives multiples of 0.01), so
ties are the rule: they count half in `prob_better`, and the exact p-value of `ks` takes them as they are.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit.stats.edf import (
    ROUND_OFF,
    Floats,
    area,
    counted_sample,
    edfs_together,
    effective_size,
    mean,
    quantiles,
)
from edfkit.stats.sample import Errors, Sample
from edfkit.stats.special import kolmogorov, log_factorials

EXACT_BLOCKS = 20_000
EXACT_PAIRS = 1_000_000_000
"""`ks` counts paths up to this many distinct errors and this many pairs of models: 0.3 s on one core or less."""

SUMMARY_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class KS:
    """A two-sample Kolmogorov-Smirnov test.

    Attributes
    ----------
    statistic : float
        D, the largest distance between the two EDFs, 0 to 1.
    p_value : float
        Probability of such a D or a larger one if both samples come from one distribution; 0 below about 1e-300.
    method : str
        How the p-value was computed: begins with "exact" or "asymptotic".
    a_ahead, b_ahead : float
        The largest F_A - F_B and F_B - F_A, at least 0; `statistic` is the larger one. If `b_ahead` is 0, A's EDF lies
        nowhere below B's; if both are positive, the EDFs cross.
    """

    statistic: float
    p_value: float
    method: str
    a_ahead: float
    b_ahead: float


@dataclass(frozen=True)
class Summary:
    """One population's errors in numbers; all but `min` and `models` are weighted.

    Attributes
    ----------
    models : int
        Number of models with positive weight.
    n_eff : float
        Effective number of models, see `edfkit.stats.edf.effective_size`.
    min, mean, median : float
        Percent; the median is the 0.5 quantile.
    area : float
        Mean height of the EDF from error 0, or the smallest that can be, to `area_to`, 0 to 1; NaN if there is none.
    area_to : float
        Percent; NaN if there is no area.
    quantiles : dict of float to float
        Share to the smallest error whose EDF reaches it, percent.
    """

    models: int
    n_eff: float
    min: float
    mean: float
    median: float
    area: float
    area_to: float
    quantiles: dict[float, float]


def exact_p(ends: list[int], size_a: int, size_b: int, distance: int) -> float:
    """Compute P(size_a * size_b * D >= distance), given the pooled errors with their ties.

    If both samples come from one distribution, every choice of the size_a models of A among the pooled ones is equally
    likely. Read in order of error, a choice is a path: after k models, i of them from A, the EDFs are
    `|i / size_a - (k - i) / size_b|` apart, or `|i * size - k * size_a|` in units of 1 / (size_a * size_b). EDFs exist
    only where a block of equal errors ends, so only there is a path tested, and taken out if it is far enough: what was
    taken out is the p-value, summed without subtraction, so a small one is precise too.

    To make the models independent, each one is given to A with probability size_a / size, on condition that size_a are
    A's in the end. Then one block is one convolution with a binomial distribution.

    A p-value below 1e-300, where paths would underflow, is given as 0 uncounted. After k models, i / size_a is the mean
    of a sample of size_a of zeros and ones drawn without replacement, so that by Serfling's inequality (Ann. Statist.
    2, 1974, corollary 1.1) F_A - F_B is D or more there with a probability of at most exp(-2 D^2 size_a size_b / size *
    size_b / (size_b + 1)); the same with A and B exchanged; and p is at most the sum over both signs and all k.

    Parameters
    ----------
    ends : list of int
        Number of pooled models up to the end of every tie block, increasing; the last is size_a + size_b.
    size_a, size_b : int
        Sizes of the samples.
    distance : int
        size_a * size_b * D.

    Returns
    -------
    float
    """
    if distance == 0:
        return 1.0
    size, larger = size_a + size_b, max(size_a, size_b)
    exponent = 2 * distance * (distance / (size_a * size_b)) / size * larger / (larger + 1)
    if math.log(2 * len(ends)) - exponent < math.log(1e-300):
        return 0.0
    log_factorial = log_factorials(size)
    log_a, log_b = math.log(size_a / size), math.log(size_b / size)

    def log_binomial(total: int | NDArray[np.int64], chosen: int | NDArray[np.int64]) -> Floats:
        """Return the log probability that `chosen` of `total` models are from A."""
        others = total - chosen
        log_choices = log_factorial[total] - log_factorial[chosen] - log_factorial[others]
        return np.asarray(log_choices + chosen * log_a + others * log_b)

    k = np.array(ends, dtype=np.int64)
    blocks = np.diff(k, prepend=0)
    kernels = {block: np.exp(log_binomial(block, np.arange(block + 1))) for block in set(blocks.tolist())}
    # Paths that can end at size_a have from `least` to below `most` models from A ...
    least, most = np.maximum(0, k - size_b), np.minimum(k, size_a) + 1
    # ... and those inside, where |i * size - k * size_a| < distance, from `low` to below `high`.
    low = np.clip((k * size_a - distance) // size + 1, least, most)
    high = np.clip(-((-k * size_a - distance) // size), low, most)
    inside = np.ones(1)  # probability of the paths still inside, by the number of models from A ...
    first = 0  # ... of which this is the smallest
    taken: list[float] = []  # probability of the paths taken out, ...
    after: list[int] = []  # ... after how many models, ...
    chosen: list[int] = []  # ... and how many of these are from A
    for block, end, *bounds in zip(*(x.tolist() for x in (blocks, k, least, low, high, most)), strict=True):
        inside = np.convolve(inside, kernels[block])
        start, lower, upper, stop = (max(0, bound - first) for bound in bounds)
        for out, part in ((start, inside[start:lower]), (upper, inside[upper:stop])):
            taken += part.tolist()
            after += [end] * part.size
            chosen += range(first + out, first + out + part.size)
        inside, first = inside[lower:upper], first + lower
        if inside.size == 0:
            break
    ended, from_a = np.array(after, dtype=np.int64), np.array(chosen, dtype=np.int64)
    log_rest = log_binomial(size - ended, size_a - from_a) - log_binomial(size, size_a)
    return min(1.0, float((np.array(taken) * np.exp(log_rest)).sum()))


def ks(
    errors_a: Errors,
    errors_b: Errors,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
    *,
    counts_a: ArrayLike | None = None,
    counts_b: ArrayLike | None = None,
) -> KS:
    """Test whether two samples come from one error distribution (two-sample Kolmogorov-Smirnov).

    D = sup `|F_A - F_B|`. Without weights the p-value is exact for the ties that there are, by counting paths, up to
    20,000 distinct errors and 1e9 pairs of models; above, it is asymptotic, P(K > D sqrt(n_a n_b / (n_a + n_b))) with
    Kolmogorov's K, which ties make too large. With weights it is asymptotic with the effective sizes. That is too large
    as well, the more so the better complexity predicts error: balanced bins remove that part of the variation. At the
    level 0.05, with 300 models against 250 of one distribution given complexity, it rejected 3 to 4 % of the time where
    error hardly depended on complexity, 1.5 % and less where it did strongly.

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent.
    weights_a, weights_b : array_like, shapes (n_a,) and (n_b,), optional
        Of one model, at least 0, on any scale; all equal if not given.
    counts_a, counts_b : array_like of int, shapes (n_a,) and (n_b,), optional
        How many models each error stands for, see `edfkit.stats.edf`; one if not given.

    Returns
    -------
    KS

    Raises
    ------
    EdfkitError
        See `edfkit.stats.edf.counted_sample`.
    """
    (sample_a, each_a, number_a), (sample_b, each_b, number_b) = (
        counted_sample(errors_a, weights_a, counts_a),
        counted_sample(errors_b, weights_b, counts_b),
    )
    _, above_a, above_b = edfs_together(sample_a, sample_b, each_a * number_a, each_b * number_b)
    size_a, size_b = int(number_a.sum()), int(number_b.sum())
    weighted = _weighted(errors_a, weights_a) or _weighted(errors_b, weights_b)
    if weighted or above_a.size > EXACT_BLOCKS or size_a * size_b > EXACT_PAIRS:
        n_a, n_b = effective_size(each_a, number_a), effective_size(each_b, number_b)
        lead = above_a - above_b
        lead[np.abs(lead) < ROUND_OFF] = 0.0
        why = f"weighted, n_eff {n_a:.1f} and {n_b:.1f}" if weighted else "too many models to count exactly"
        return _test(lead, asymptotic_p(float(np.abs(lead).max()), n_a, n_b), f"asymptotic: {why}")
    # Heights are counts / n up to round-off, so this gives the counts back, and distances are compared as integers.
    up_to_a, up_to_b = np.rint(above_a * size_a).astype(np.int64), np.rint(above_b * size_b).astype(np.int64)
    distances = up_to_a * size_b - up_to_b * size_a
    p = exact_p((up_to_a + up_to_b).tolist(), size_a, size_b, int(np.abs(distances).max()))
    return _test(distances / (size_a * size_b), p, "exact")


def _weighted(errors: Errors, weights: ArrayLike | None) -> bool:
    return (errors.weights if isinstance(errors, Sample) else weights) is not None


def _test(lead: Floats, p_value: float, method: str) -> KS:
    """Put the result together from F_A - F_B at all errors of both samples."""
    return KS(float(np.abs(lead).max()), p_value, method, max(0.0, float(lead.max())), max(0.0, float(-lead.min())))


def asymptotic_p(statistic: float, size_a: float, size_b: float) -> float:
    """Compute P(K > D sqrt(size_a size_b / (size_a + size_b))) by Kolmogorov's law.

    Parameters
    ----------
    statistic : float
        D, 0 to 1.
    size_a, size_b : float
        Sizes of the samples; effective numbers need not be whole.

    Returns
    -------
    float
    """
    return kolmogorov(statistic * math.sqrt(size_a * size_b / (size_a + size_b)))


def prob_better(
    errors_a: Errors,
    errors_b: Errors,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
) -> float:
    """Compute the probability that a random model of A beats one of B: P(A < B) + P(A = B) / 2.

    Models are drawn with probabilities proportional to their weights. The same with A and B exchanged is 1 minus this.

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent.
    weights_a, weights_b : array_like, shapes (n_a,) and (n_b,), optional
        At least 0, on any scale; all equal if not given.

    Returns
    -------
    float
        0 to 1; above 0.5 where A tends to have the lower error.

    Raises
    ------
    EdfkitError
        See `edfkit.stats.edf.checked_sample`.
    """
    _, above_a, above_b = edfs_together(errors_a, errors_b, weights_a, weights_b)
    # A model of A at e beats the 1 - F_B(e) of B above it and half of those at e: 1 - (F_B(e) + F_B(e-)) / 2.
    shares_a = np.diff(above_a, prepend=0.0)
    beaten = 1.0 - (above_b + np.append(0.0, above_b[:-1])) / 2
    return float((shares_a * beaten).sum())


def summarize(
    errors: Errors,
    weights: ArrayLike | None = None,
    area_to: float = 50.0,
    *,
    counts: ArrayLike | None = None,
    area_from: float = 0.0,
) -> Summary:
    """Summarise the errors of one population.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    weights : array_like, shape (n,), optional
        Of one model, at least 0, on any scale; all equal if not given.
    area_to : float
        Right end of the area under the EDF, percent, above `area_from`; NaN: there is none.
    counts : array_like of int, shape (n,), optional
        How many models each error stands for, see `edfkit.stats.edf`; one if not given.
    area_from : float
        Its left end: the smallest error that can be.

    Returns
    -------
    Summary

    Raises
    ------
    EdfkitError
        If `area_to` is not above `area_from`, and see `edfkit.stats.edf.counted_sample`.
    """
    sample, each, number = counted_sample(errors, weights, counts)
    shares = each * number
    levels = quantiles(sample, SUMMARY_QUANTILES, shares).tolist()
    by_share = dict(zip(SUMMARY_QUANTILES, levels, strict=True))
    return Summary(
        models=int(number.sum()),
        n_eff=effective_size(each, number),
        min=float(sample.min()),
        mean=mean(sample, shares),
        median=by_share[0.5],
        area=float("nan") if math.isnan(area_to) else area(sample - area_from, area_to - area_from, shares),
        area_to=area_to,
        quantiles=by_share,
    )
