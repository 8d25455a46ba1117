"""How many models a study needs: expected distances between EDFs, precision, and power to detect a difference.

Convention: D is the largest distance between two EDFs, 0 to 1. n, k count models, N is the size of the population that
they are drawn from, without replacement unless said otherwise. What holds for continuous errors is on the safe side for
rounded ones: ties make D smaller, because EDFs exist at the ends of blocks of equal errors only.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.edf import Floats, checked_sample, edf, effective_size, evaluate
from edfkit.stats.two_sample import EXACT_BLOCKS, EXACT_PAIRS, asymptotic_p, exact_p

KOLMOGOROV_MEAN = math.sqrt(math.pi / 2) * math.log(2)
"""Mean of Kolmogorov's law, 0.8687."""

AT_ONCE = 1_000_000
"""Counts that are simulated at a time: some 30 MB."""

FEW_VALUES = 100
"""Up to this many distinct errors, chance ties of single samples move the critical value by a step of 1 / n."""

RESOLUTION = 0.005
"""Relative: between numbers of models this close, power differs by less than simulation can tell."""

DIGITS = 9
"""Shifted errors are rounded to this many digits, so that 7.1 + 0.2 ties with 7.3."""


@dataclass(frozen=True)
class Distances(Result):
    """Simulated distances between the EDF of some models and that of others.

    Attributes
    ----------
    models : list of int
        Models drawn.
    mean, sd : list of float
        Of D over the trials, for each number of models; `sd` is that of one D, its mean is sqrt(trials) times surer.
    trials : int
    population : int
        N, the models that they were drawn from.
    reference : int
        Models that they were compared with.
    """

    models: list[int]
    mean: list[float]
    sd: list[float]
    trials: int
    population: int
    reference: int


@dataclass(frozen=True)
class Detection(Result):
    """How many models a KS test needs to detect a difference.

    Attributes
    ----------
    models : int
        The smallest number of models of each population, drawn as the weights say, with the power wanted.
    models_a, models_b : int
        The same if models are sampled like the pilots' (those of positive weight) and weighted afterwards: `models`
        times n / n_eff, rounded up. Equal to `models` without weights.
    power, standard_error : float
        Simulated anew at `models` after the search, so not selected by it.
    distance : float
        D of the pilots.
    alpha : float
        Level of the test.
    trials : int
    """

    models: int
    models_a: int
    models_b: int
    power: float
    standard_error: float
    distance: float
    alpha: float
    trials: int


def _whole(values: ArrayLike, name: str, low: int, high: float = math.inf) -> NDArray[np.int64]:
    """Return whole numbers in [low, high], or refuse them."""
    numbers = np.asarray(values)
    if numbers.size == 0 or numbers.dtype.kind not in "iu" or numbers.min() < low or numbers.max() > high:
        upto = "" if high == math.inf else f" to {high:.0f}"
        raise EdfkitError(
            f"{name}: {numbers.tolist()} was given, but whole numbers from {low}{upto} are needed: correct them."
        )
    return numbers.astype(np.int64)


def _share(value: float, name: str) -> float:
    """Return a number strictly between 0 and 1, or refuse it."""
    if not 0 < value < 1:
        raise EdfkitError(f"{name}: {value:g} was given, but a share between 0 and 1 is needed: divide percent by 100.")
    return float(value)


def _mean_distance(fewer: Floats, more: Floats | float, n_eff: Floats) -> Floats:
    """Compute the mean of D in samples of `fewer` and `more` models, 1 / n_eff being the variance of their difference.

    Kolmogorov's law, the correction for the samples' steps (Hodges 1957), and what is left of order n_eff^-1.5.
    """
    return KOLMOGOROV_MEAN / np.sqrt(n_eff) - 1 / (6 * fewer) - 1 / (3 * more) + 0.037 / n_eff**1.5


def expected_distance(n: ArrayLike) -> Floats:
    """Compute the expected D of n independent draws against their distribution, which has no ties.

    0.8687 / sqrt(n) - 1 / (6 n) + 0.037 / n^1.5. It differs from the exact `scipy.stats.kstwo(n).mean()`, which takes
    up to seconds, by 1.5 % at n = 1, at most 0.5 % from n = 2 and 0.1 % from n = 5 on.

    Parameters
    ----------
    n : array_like of int, any shape
        Models, at least 1.

    Returns
    -------
    ndarray, shape of `n`

    Raises
    ------
    EdfkitError
        If an n is not a whole number from 1.
    """
    models = _whole(n, "n", 1).astype(float)
    return _mean_distance(models, math.inf, models)


def expected_distance_to_population(k: ArrayLike, size: int, reference: int | None = None) -> Floats:
    """Compute the expected D of k of N models, drawn without replacement, against all N or another such subset.

    Against all N it is (1 - k / N) times that of k against the N - k others, exactly. Against an independent subset of
    n0, which may share models with the k, the effective size is 1 / n_e = (1 / k - 1 / N) + (1 / n0 - 1 / N) (NDS,
    figure 7: it falls towards k = N because the subsets overlap, not only because they are large). The formula is for
    errors without ties. It is within 2 % where ten models or more are in one of the two sets only, and such are in
    the other; of two nearly equal subsets it gives too little (a quarter at N - k = N - n0 = 1).

    Parameters
    ----------
    k : array_like of int, any shape
        Models drawn, 1 to N.
    size : int
        N, at least 1.
    reference : int, optional
        n0, 1 to N; by default all.

    Returns
    -------
    ndarray, shape of `k`
        0 at k = N without a reference.

    Raises
    ------
    EdfkitError
        If a number of models is out of its range.
    """
    population = float(_whole(size, "size", 1))
    models = _whole(k, "k", 1, population).astype(float)
    others = population if reference is None else float(_whole(reference, "reference", 1, population))
    fewer, more = np.minimum(models, others), np.maximum(models, others)
    rest = population - fewer
    with np.errstate(divide="ignore", invalid="ignore"):  # all against all have an infinite effective size
        against_all = _mean_distance(np.minimum(fewer, rest), np.maximum(fewer, rest), fewer * rest / population)
        against_some = _mean_distance(fewer, more, 1 / (1 / fewer + 1 / more - 2 / population))
    distance = np.where(more == population, rest / population * against_all, np.maximum(against_some, 0.0))
    return np.where(fewer == population, 0.0, distance)


def simulate_distance(
    errors: ArrayLike,
    k: Sequence[int] | NDArray[np.int64],
    *,
    trials: int = 50,
    rng: np.random.Generator,
    reference: int | None = None,
) -> Distances:
    """Simulate D of k models of a population against all of it, or against another subset, with the ties there are.

    Parameters
    ----------
    errors : array_like, shape (N,)
        Percent, 0 to 100.
    k : sequence of int
        Models drawn without replacement, 1 to N.
    trials : int
        Subsets of each size, at least 2 (NDS, figure 7: 50).
    rng : numpy.random.Generator
        Source of the subsets.
    reference : int, optional
        Compare with an independent subset of this many models, drawn anew in each trial; by default with all N.

    Returns
    -------
    Distances

    Raises
    ------
    EdfkitError
        If a number of models or `trials` is out of its range, and see `edfkit.stats.edf.checked_sample`.
    """
    sample = checked_sample(errors)[0]
    sizes = _whole(k, "k", 1, sample.size).ravel()
    repeats = int(_whole(trials, "trials", 2))
    others = sample.size if reference is None else int(_whole(reference, "reference", 1, sample.size))
    counts = np.unique(sample, return_counts=True)[1]

    def heights(models: int, rows: int) -> Floats:
        """Draw subsets and return their EDFs at the distinct errors."""
        drawn = rng.multivariate_hypergeometric(counts, models, size=rows, method="count")
        return np.asarray(np.cumsum(drawn, axis=1) / models)

    def distances(models: int, rows: int) -> Floats:
        return np.asarray(np.abs(heights(models, rows) - heights(others, rows if reference else 1)).max(axis=1))

    simulated = [_in_chunks(partial(distances, models), repeats, counts.size) for models in sizes.tolist()]
    return Distances(
        models=sizes.tolist(),
        mean=[float(d.mean()) for d in simulated],
        sd=[float(d.std(ddof=1)) for d in simulated],
        trials=repeats,
        population=sample.size,
        reference=others,
    )


def _in_chunks(simulate: Callable[[int], Floats], trials: int, width: int) -> Floats:
    """Simulate so many trials at a time that their width fits in memory."""
    rows = max(1, AT_ONCE // width)
    return np.concatenate([simulate(min(rows, trials - done)) for done in range(0, trials, rows)])


def precision_of_models(n: int, confidence: float = 0.95) -> float:
    """Compute how far the EDF of n independent models may be from the truth: the half width of the KS band.

    Parameters
    ----------
    n : int
        Models, at least 1; the effective number, rounded down, if they are weighted.
    confidence : float
        Probability that the whole EDF is within it, between 0 and 1.

    Returns
    -------
    float
        Exact for errors without ties, on the safe side with ties.

    Raises
    ------
    EdfkitError
        If `n` or `confidence` is out of its range.
    """
    from scipy.stats import kstwo

    return float(kstwo.ppf(_share(confidence, "confidence"), int(_whole(n, "n", 1))))


def models_for_precision(eps: float, confidence: float = 0.95) -> int:
    """Compute the smallest number of independent models whose EDF is within eps of the truth at a confidence.

    From the exact law of D (181, 731, 4,595 models for 0.1, 0.05, 0.02 at 95 %), which asks for a little less than the
    bound of Dvoretzky, Kiefer, Wolfowitz and Massart does (185, 738, 4,612).

    Parameters
    ----------
    eps : float
        Half width of the band, between 0 and 1.
    confidence : float
        Probability that the whole EDF is within it, between 0 and 1.

    Returns
    -------
    int

    Raises
    ------
    EdfkitError
        If `eps` or `confidence` is not between 0 and 1, or more than 1e9 models are needed.
    """
    from scipy.stats import kstwo

    risk, half = 1 - _share(confidence, "confidence"), _share(eps, "eps")
    most = math.ceil(math.log(2 / risk) / (2 * half**2))
    if most > 1_000_000_000:
        raise EdfkitError(
            f"eps: {half:g} at confidence {confidence:g} was given, but that takes more than 1e9 models: ask for less."
        )
    # 1 - 0.9 is a little below 0.1, so a risk equal up to round-off is accepted.
    return _smallest(lambda n: bool(kstwo.sf(half, n) <= risk * (1 + 1e-9)), 1, most)


def _smallest(enough: Callable[[int], bool], low: int, high: int, resolution: float = 0.0) -> int:
    """Bisect for the smallest number in [low, high] that is enough, to a relative resolution; high is known to be."""
    while high - low > resolution * high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def models_for_detection(
    pilot_a: ArrayLike,
    pilot_b: ArrayLike,
    weights_a: ArrayLike | None = None,
    weights_b: ArrayLike | None = None,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    trials: int = 1_000,
    most: int = 100_000,
    rng: np.random.Generator,
) -> Detection:
    """Find how many models of each population a KS test needs to tell them apart, by drawing from pilot populations.

    Models are drawn from the pilots with replacement, and power is the share of trials with a p-value below alpha, that
    of `edfkit.stats.two_sample.ks`, exact for ties. To be fast, D is compared with one critical value for each n, that
    for the ties to be expected; where errors have 100 distinct values or fewer, a D at the value or one step below it
    gets its own p-value, because there the ties of the single trial matter. n is found by bisection to 0.5 %, as if
    power grew with n steadily: it does but for the steps of D and the error of the simulation.

    The pilots are taken for the truth: from small ones, which differ by chance too, the answer is too small. With
    weights, models are drawn in proportion to them, so that the n models are effective ones, of equal weight. (`ks` of
    that many effective models that were weighted afterwards takes the asymptotic law and detects less; the test of
    `edfkit.stats.permutation` does not.)

    Parameters
    ----------
    pilot_a, pilot_b : array_like, shapes (n_a,) and (n_b,)
        Errors, percent, 0 to 100.
    weights_a, weights_b : array_like, shapes (n_a,) and (n_b,), optional
        At least 0, on any scale; all equal if not given.
    power : float
        Wanted probability to detect the difference, between 0 and 1.
    alpha : float
        Level of the test, between 0 and 1.
    trials : int
        Simulated pairs of samples for every n that is tried, at least 1.
    most : int
        Give up beyond this number of models.
    rng : numpy.random.Generator
        Source of the samples.

    Returns
    -------
    Detection

    Raises
    ------
    EdfkitError
        If the pilots' EDFs are equal, `most` models are not enough, a parameter is out of its range, and see
        `edfkit.stats.edf.checked_sample`.
    """
    wanted, level = _share(power, "power"), _share(alpha, "alpha")
    repeats, limit = int(_whole(trials, "trials", 1)), int(_whole(most, "most", 1))
    samples = checked_sample(pilot_a, weights_a), checked_sample(pilot_b, weights_b)
    grid = np.union1d(samples[0][0], samples[1][0])
    cumulative = [evaluate(*edf(*sample), grid) for sample in samples]
    shares = [np.diff(heights, prepend=0.0) for heights in cumulative]
    shares = [steps / steps.sum() for steps in shares]
    distance = float(np.abs(cumulative[0] - cumulative[1]).max())
    if distance < 1e-10:
        raise EdfkitError("pilots: both have the same EDF, which no number of models tells apart: give others.")

    def detected(models: int) -> int:
        """Count the trials with a significant difference."""
        critical = _critical_steps(models, (cumulative[0] + cumulative[1]) / 2, level)

        def significant(rows: int) -> Floats:
            drawn = [rng.multinomial(models, pilot, size=rows) for pilot in shares]
            steps = np.abs(np.cumsum(drawn[0] - drawn[1], axis=1)).max(axis=1)
            found = steps >= critical
            if grid.size <= FEW_VALUES:
                for row in np.flatnonzero((steps == critical) | (steps == critical - 1)):
                    ends = np.cumsum(drawn[0][row] + drawn[1][row])
                    found[row] = _p_value(ends, models, int(steps[row])) < level
            return np.asarray(found, dtype=np.float64)

        return int(_in_chunks(significant, repeats, grid.size).sum())

    def enough(models: int) -> bool:
        return detected(models) >= wanted * repeats

    low, high = 1, min(limit, math.ceil(1 / distance**2))
    while not enough(high):
        if high == limit:
            raise EdfkitError(
                f"most: {limit} models were given as the limit, but they do not reach the power {wanted:g} for pilots "
                f"that are D = {distance:.2g} apart: raise the limit, or ask for less power."
            )
        low, high = high + 1, min(2 * high, limit)
    models = _smallest(enough, low, high, RESOLUTION)
    count = detected(models)
    cautious = (count + 1) / (repeats + 2)  # so that a power of 1 has an error too
    needed = [math.ceil(models * sample[1].size / effective_size(sample[1])) for sample in samples]
    return Detection(
        models=models,
        models_a=needed[0],
        models_b=needed[1],
        power=count / repeats,
        standard_error=math.sqrt(cautious * (1 - cautious) / repeats),
        distance=distance,
        alpha=level,
        trials=repeats,
    )


def _p_value(ends: NDArray[np.int64], n: int, steps: int) -> float:
    """Compute the p-value of n * D = steps for two samples of n models, as `edfkit.stats.two_sample.ks` does.

    `ends` counts the models of both samples up to the end of each block of equal errors.
    """
    ends = np.unique(ends[ends > 0])
    if ends.size > EXACT_BLOCKS or n * n > EXACT_PAIRS:
        return asymptotic_p(steps / n, n, n)
    return exact_p(ends.tolist(), n, n, n * steps)


def _critical_steps(n: int, heights: Floats, alpha: float) -> int:
    """Find the smallest n * D of two samples of n models with a p-value below alpha; n + 1 if there is none.

    `heights` is the EDF of both populations together at its distinct errors, so it says how many of the 2 n models are
    to be expected up to the end of each block of equal errors.
    """
    ends = np.rint(2 * n * heights).astype(np.int64)
    # Without ties the p-value is near 2 exp(-steps^2 / n), one step of safety; ties make it smaller.
    most = min(n + 1, math.ceil(math.sqrt(n * math.log(2 / alpha))) + 1)
    return _smallest(lambda steps: _p_value(ends, n, steps) < alpha, 1, most)


def models_for_shift(
    pilot: ArrayLike,
    shift: float,
    weights: ArrayLike | None = None,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    trials: int = 1_000,
    most: int = 100_000,
    rng: np.random.Generator,
) -> Detection:
    """Find how many models a KS test needs to detect that all errors are shifted by some percentage points.

    Parameters
    ----------
    pilot : array_like, shape (n,)
        Errors, percent, 0 to 100.
    shift : float
        Percentage points that B's errors are above the pilot's; the sums are clipped to 0..100.
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given.
    power, alpha, trials, most, rng
        As in `models_for_detection`.

    Returns
    -------
    Detection

    Raises
    ------
    EdfkitError
        If `shift` is not a finite number, or is 0, and see `models_for_detection`.
    """
    if not math.isfinite(shift) or shift == 0:
        raise EdfkitError(f"shift: {shift:g} was given, but percentage points other than 0 are needed, such as 0.5.")
    sample, shares = checked_sample(pilot, weights)
    shifted = np.round(sample + shift, DIGITS).clip(0, 100)
    return models_for_detection(
        np.round(sample, DIGITS), shifted, shares, shares, power=power, alpha=alpha, trials=trials, most=most, rng=rng
    )
