"""How many models an EDF needs: expected distances between EDFs, and precision.

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
from edfkit.stats.checks import share, unweighted, whole
from edfkit.stats.edf import Floats
from edfkit.stats.sample import Errors
from edfkit.stats.special import distance_tail

KOLMOGOROV_MEAN = math.sqrt(math.pi / 2) * math.log(2)
"""Mean of Kolmogorov's law, 0.8687."""

AT_ONCE = 1_000_000
"""Counts that are simulated at a time: some 30 MB."""

ONE_BY_ONE = 5_000_000
"""Models up to which samples are drawn model by model; of more, error by error, as that takes no memory for a model."""


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
    models = whole(n, "n", 1).astype(float)
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
    population = float(whole(size, "size", 1))
    models = whole(k, "k", 1, population).astype(float)
    others = population if reference is None else float(whole(reference, "reference", 1, population))
    fewer, more = np.minimum(models, others), np.maximum(models, others)
    rest = population - fewer
    with np.errstate(divide="ignore", invalid="ignore"):  # all against all have an infinite effective size
        against_all = _mean_distance(np.minimum(fewer, rest), np.maximum(fewer, rest), fewer * rest / population)
        against_some = _mean_distance(fewer, more, 1 / (1 / fewer + 1 / more - 2 / population))
    distance = np.where(more == population, rest / population * against_all, np.maximum(against_some, 0.0))
    return np.where(fewer == population, 0.0, distance)


def simulate_distance(
    errors: Errors,
    k: Sequence[int] | NDArray[np.int64],
    *,
    trials: int = 50,
    rng: "np.random.Generator",  # quoted, as numpy.random takes a while to load
    reference: int | None = None,
    counts: ArrayLike | None = None,
    units: ArrayLike | None = None,
) -> Distances:
    """Simulate D of k models of a population against all of it, or against another subset, with the ties there are.

    Parameters
    ----------
    errors : array_like, shape (N,), or Sample
        Percent; without weights.
    k : sequence of int
        Models drawn without replacement, 1 to N.
    trials : int
        Subsets of each size, at least 2 (NDS, figure 7: 50).
    rng : numpy.random.Generator
        Source of the subsets.
    reference : int, optional
        Compare with an independent subset of this many models, drawn anew in each trial; by default with all N.
    counts : array_like of int, shape of `errors`, optional
        How many models each error stands for, at least 1; one if not given. N is their sum.
    units : array_like of int, shape of `errors`, optional
        The unit of each row, where rows repeat some and are not counted: then units are drawn, each with all its rows,
        which share its weight. N is their number.

    Returns
    -------
    Distances

    Raises
    ------
    EdfkitError
        If a number of models or `trials` is out of its range, there is not one unit a row, and see
        `edfkit.stats.checks.unweighted`.
    """
    sample, number = unweighted(errors, counts)
    of_row = None if units is None else _units_of_rows(units, number)
    population = int(number.sum()) if of_row is None else int(of_row.max()) + 1
    sizes = whole(k, "k", 1, population).ravel()
    repeats = int(whole(trials, "trials", 2))
    others = population if reference is None else int(whole(reference, "reference", 1, population))
    if of_row is not None:
        order = np.argsort(sample, kind="stable")
        last, of_row = np.flatnonzero(np.diff(sample[order], append=np.inf)), of_row[order]
        shares = 1 / np.bincount(of_row)[of_row]
    elif population == sample.size:  # one of each, which takes a third of the time
        of_value = np.unique(sample, return_counts=True)[1]
    else:
        of_value = np.bincount(np.unique(sample, return_inverse=True)[1], number).astype(np.int64)

    def heights(models: int, rows: int) -> Floats:
        """Draw subsets and return their EDFs at the distinct errors."""
        if of_row is not None:
            chosen = rng.permuted(np.broadcast_to(np.arange(population) < models, (rows, population)), axis=1)
            return np.asarray(np.cumsum(chosen[:, of_row] * shares, axis=1)[:, last] / models)
        drawn = rng.multivariate_hypergeometric(
            of_value, models, size=rows, method="count" if population <= ONE_BY_ONE else "marginals"
        )
        return np.asarray(np.cumsum(drawn, axis=1) / models)

    def distances(models: int, rows: int) -> Floats:
        return np.asarray(np.abs(heights(models, rows) - heights(others, rows if reference else 1)).max(axis=1))

    width = of_value.size if of_row is None else of_row.size
    simulated = [_in_chunks(partial(distances, models), repeats, width) for models in sizes.tolist()]
    return Distances(
        models=sizes.tolist(),
        mean=[float(d.mean()) for d in simulated],
        sd=[float(d.std(ddof=1)) for d in simulated],
        trials=repeats,
        population=population,
        reference=others,
    )


def draw_models(
    errors: Errors,
    k: int,
    *,
    rng: "np.random.Generator",  # quoted, as numpy.random takes a while to load
    counts: ArrayLike | None = None,
    units: ArrayLike | None = None,
) -> Floats:
    """Draw models of a population at random, without replacement.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent; without weights.
    k : int
        Models to draw, 1 to N.
    rng : numpy.random.Generator
        Source of the choice.
    counts : array_like of int, shape (n,), optional
        How many models each error stands for, at least 1; one if not given. N is their sum.
    units : array_like of int, shape of `errors`, optional
        The unit of each row, where rows repeat some and are not counted: then units are drawn, of each one of its rows
        at random. N is their number.

    Returns
    -------
    ndarray, shape (k,)
        Their errors in random order, percent. Where every error is one model, a larger k gives more of the same.

    Raises
    ------
    EdfkitError
        If `k` is out of its range, there is not one unit a row, and see `edfkit.stats.checks.unweighted`.
    """
    sample, number = unweighted(errors, counts)
    if units is not None:
        rows = rng.permutation(sample.size)  # of which the first of a unit is any of its rows
        sample = sample[rows[np.unique(_units_of_rows(units, number)[rows], return_index=True)[1]]]
        number = np.ones(sample.size, np.int64)
    ends = np.cumsum(number)
    models = int(whole(k, "k", 1, ends[-1]))
    if ends[-1] == sample.size:
        return np.asarray(sample[rng.permutation(sample.size)[:models]])
    places = rng.choice(ends[-1], models, replace=False)
    return np.asarray(sample[np.searchsorted(ends, places, side="right")])


def _units_of_rows(units: ArrayLike, number: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the unit of each row as a number from 0, or refuse them."""
    of_row = np.asarray(units)
    if of_row.shape != number.shape or number.max() > 1:
        raise EdfkitError(
            f"units: {of_row.size} were given for {number.size} errors, expected one for each, and errors that are not "
            "counted; select both in the same way."
        )
    return np.asarray(np.unique(of_row, return_inverse=True)[1])


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
    risk, models = 1 - share(confidence, "confidence"), int(whole(n, "n", 1))
    # By bisection, below the bound of Dvoretzky, Kiefer, Wolfowitz and Massart.
    low, high = 0.0, min(1.0, math.sqrt(math.log(2 / risk) / (2 * models)))
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if distance_tail(models, middle) > risk else (low, middle)
    return high


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
    risk, half = 1 - share(confidence, "confidence"), share(eps, "eps")
    most = math.ceil(math.log(2 / risk) / (2 * half**2))
    if most > 1_000_000_000:
        raise EdfkitError(
            f"eps: {half:g} at confidence {confidence:g} was given, but that takes more than 1e9 models: ask for less."
        )
    # 1 - 0.9 is a little below 0.1, so a risk equal up to round-off is accepted.
    return _smallest(lambda n: distance_tail(n, half) <= risk * (1 + 1e-9), 1, most)


def _smallest(enough: Callable[[int], bool], low: int, high: int) -> int:
    """Bisect for the smallest number in [low, high] that is enough; high is known to be."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
