"""The best of several models: exact laws of the smallest error found, and what follows for comparing two searches.

Convention: a search draws m models at random and keeps the smallest error, so its outcome is a minimum. Errors are in
percent, 0 to 100; equal errors are merged, and ties are the rule. With replacement, models are drawn with probabilities
proportional to their weights, as from the distribution that the population estimates; without replacement, all sets of
m of the N models are equally likely. Nothing is simulated, but in `resample_minima`.

All laws rest on one quantity: the log probability that a minimum which is at least u exceeds u. Without replacement, of
c models left, one is avoided with probability 1 - m / c; with it, weight w of the t left with (1 - w / t)^m. Sums of
these logarithms lose no digits, where binomial coefficients overflow and differences of powers cancel.

In the place of errors, functions take an `edfkit.stats.sample.Sample`, and counts: how many models each entry stands
for. They give what they would give if every entry were there so many times.

A search may pick its model by another number than the one that is reported, such as by the validation accuracy where
the test accuracy is reported: `chosen_by`. Then the model whose number is the smallest counts with its error, and of
several with that number one at random. The law of the smallest number is the same; the error is one of the models that
have it. Such an expectation need not fall with m.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.checks import share, unweighted
from edfkit.stats.edf import ROUND_OFF, Floats, counted_sample, effective_size, finite_vector
from edfkit.stats.sample import Errors, Sample, different
from edfkit.stats.special import student_quantile

GRID_DECIMALS = 4
GRID_CELLS = 2**21
"""`difference` takes errors for multiples of a step down to 0.0001, in a grid of at most this many steps."""

MOST_PAIRS = 4_000_000
"""`difference` of errors off any grid holds at most this many pairs of errors: some 0.2 GB."""

MODELS_PER_DRAW = 20
"""Least number of models, effectively, for each draw of a search: with fewer its standard error is too small."""

AT_ONCE = 2**22
"""Models whose logarithms are in memory at a time: some 0.1 GB."""

Law = tuple[Floats, Floats]


def most_draws(n_eff: float) -> int:
    """Say up to how many draws the standard error of the expected smallest error can be relied on.

    Parameters
    ----------
    n_eff : float
        Effective number of models, at least 1.

    Returns
    -------
    int
        A twentieth of them. A single draw is always among these: its expectation is a mean.
    """
    return max(1, int(n_eff / MODELS_PER_DRAW * (1 + ROUND_OFF)))


@dataclass(frozen=True)
class BestOf(Result):
    """The smallest error of m models, for several m.

    `spread` and `se` are different things: one search ends within about a `spread` of `error`, however many models the
    population has; `error` itself is known to about a `se`, because the population is a sample.

    Attributes
    ----------
    m : ndarray of int, shape (k,)
        Numbers of models drawn.
    error : ndarray, shape (k,)
        Expected smallest error, percent.
    spread : ndarray, shape (k,)
        Standard deviation of the smallest error over searches, percent.
    se : ndarray, shape (k,)
        Standard error of `error` as an estimate from this many models, percent; NaN for a single model.
    df : ndarray, shape (k,)
        Degrees of freedom of the standard error: fewer where few models decide.
    quantiles : dict of float to ndarray of shape (k,)
        Share of the searches to the smallest error that so many of them reach, percent.
    models : int
        Number of models with positive weight.
    n_eff : float
        Their effective number, see `edfkit.stats.edf.effective_size`.
    replacement : bool
        Whether models are drawn with replacement.
    method : str
        How, in words.
    """

    m: NDArray[np.int64]
    error: Floats
    spread: Floats
    se: Floats
    df: Floats
    quantiles: dict[float, Floats]
    models: int
    n_eff: float
    replacement: bool
    method: str

    def interval(self, confidence: float = 0.95, ends: tuple[float, float] = (0.0, 100.0)) -> Floats:
        """Give a confidence interval of each expected smallest error, each for one m alone.

        Parameters
        ----------
        confidence : float
            Above 0, below 1.
        ends : (float, float)
            The smallest and the largest error that can be; infinite where there is no bound.

        Returns
        -------
        ndarray, shape (k, 2)
            Percent, within the ends; NaN where m is above `most_draws`, as the standard error is too small there.
        """
        alpha = 1 - share(confidence, "confidence")
        known = (self.m <= most_draws(self.n_eff)) & np.isfinite(self.se)
        half = np.full(self.m.size, np.nan)
        half[known] = [student_quantile(alpha, df) * se for df, se in zip(self.df[known], self.se[known], strict=True)]
        return np.asarray(np.clip(np.column_stack([self.error - half, self.error + half]), *ends))


@dataclass(frozen=True)
class BestOfBins(Result):
    """The smallest error of r models from each complexity bin.

    Attributes
    ----------
    error : float
        Expected smallest error, percent.
    spread : float
        Standard deviation of the smallest error over searches, percent.
    r : int
        Models drawn from each bin, without replacement.
    bins : int
        Number of bins, so that r * bins models are drawn.
    models : int
        Number of models in the bins.
    """

    error: float
    spread: float
    r: int
    bins: int
    models: int


@dataclass(frozen=True)
class Wins(Result):
    """Who finds the smaller error: a small search or a large one. The three probabilities sum to 1.

    Attributes
    ----------
    small_wins, large_wins, tie : float
        Probabilities that the small search's minimum is smaller, the large search's, or that they are equal.
    small, large : int
        Numbers of models drawn.
    populations : int
        1 if both searches draw from one population, 2 if from two.
    replacement : bool
        Whether models are drawn with replacement.
    """

    small_wins: float
    large_wins: float
    tie: float
    small: int
    large: int
    populations: int
    replacement: bool


@dataclass(frozen=True)
class Gap(Result):
    """How far apart two minima must be to mean anything, though both searches draw from one population.

    Every gap is a positive difference of two errors of the population, or infinite where not even the largest
    difference is rare enough: then only what the population cannot give at all means something.

    Attributes
    ----------
    either : float
        Smallest gap g with P(`|min_small - min_large| >= g`) <= alpha, percent: two-sided.
    small_behind : float
        The same for P(min_small - min_large >= g): by how much the small search's minimum must be the larger one.
    large_behind : float
        The same for P(min_large - min_small >= g).
    alpha : float
        The probability of a gap so large or larger, at most.
    small, large : int
        Numbers of models drawn.
    replacement : bool
        Whether models are drawn with replacement.
    """

    either: float
    small_behind: float
    large_behind: float
    alpha: float
    small: int
    large: int
    replacement: bool


def _whole(value: Any, name: str) -> int:
    """Return a number of models, at least 1, or refuse."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise EdfkitError(f"{name}: {value} was given, but a whole number of models from 1 on is needed: correct it.")
    return int(value)


def _sums(index: NDArray[np.intp], weights: Floats | NDArray[np.int64]) -> Floats:
    """Sum weights by index."""
    return np.asarray(np.bincount(index, weights), dtype=np.float64)


class _Population:
    """The models of a population, sorted once, as searches of any size draw from them."""

    def __init__(
        self,
        errors: Errors,
        weights: ArrayLike | None,
        replacement: bool,
        units: ArrayLike | None = None,
        counts: ArrayLike | None = None,
        chosen_by: ArrayLike | None = None,
    ) -> None:
        given = errors.weights if isinstance(errors, Sample) else weights
        if given is not None and not replacement:
            raise EdfkitError(
                "weights: they were given for draws without replacement, but weighted draws are defined only with "
                "replacement: set replacement=True or leave the weights out."
            )
        sample, scaled, number = counted_sample(errors, weights, counts)
        self.models, self.replacement = int(number.sum()), replacement
        self.weighted = given is not None
        self.n_eff = effective_size(scaled, number) if self.weighted else float(self.models)
        deciding = sample
        if chosen_by is not None:
            deciding = _beside(finite_vector(chosen_by, "chosen_by"), "chosen_by", errors, given)
        if given is None and self.models == sample.size:
            self.values, ones = np.unique(deciding, return_counts=True)
            mass = np.asarray(ones, dtype=np.float64)
        else:
            self.values, step = np.unique(deciding, return_inverse=True)
            mass = _sums(step, scaled * number)
        self._mass, self._left = mass, np.cumsum(mass[::-1])[::-1]
        self.shares = mass / self._left[0]
        self._sample, self._scaled, self._number, self._unit = sample, scaled, number, None
        self.picked = None if chosen_by is None else _Picked.of(sample, scaled * number, self.values, deciding)
        self.means = self.values if self.picked is None else self.picked.means
        if units is not None:
            self._unit = np.unique(_beside(np.asarray(units), "units", errors, given), return_inverse=True)[1]
            self.n_eff = effective_size(_sums(self._unit, scaled * number))

    @cached_property
    def _place(self) -> NDArray[np.intp]:
        """Which value each entry has; where models are picked by another number, each has one of its own."""
        if self.picked is not None:
            return np.arange(self._sample.size)
        return np.searchsorted(self.values, self._sample)

    @property
    def entries(self) -> int:
        """How many entries count."""
        return self._sample.size

    def of_models(self, by_value: Floats) -> Floats:
        """Give each entry what its value has."""
        return np.asarray(by_value[self._place])

    def variance(self, influence: Floats) -> tuple[float, float]:
        """Return the variance of an estimate and its degrees of freedom, from the influence of a model by its value.

        Where few models have most of the influence, the variance is not known as well as the number of models says: the
        degrees of freedom are those of a chi square with its coefficient of variation.
        """
        if self.n_eff <= 1:
            return math.nan, math.nan
        square = np.square(influence)
        if self._unit is None:
            second, fourth = self._powers
            total, fourth_power, number = float(square @ second), float(np.square(square) @ fourth), self.models
        else:
            share = self._number * self._scaled / self._left[0]
            squares = np.square(_sums(self._unit, share * self.of_models(influence)))
            total, fourth_power, number = float(squares.sum()), float(np.square(squares).sum()), squares.size
        vary = fourth_power - total**2 / number
        df = self.n_eff - 1
        if vary * df > 2 * total**2:
            df = 2 * total**2 / vary
        return total * self.n_eff / (self.n_eff - 1), df

    @cached_property
    def _powers(self) -> list[Floats]:
        """By value, the sum over its models of the square and of the fourth power of a model's share."""
        share = self._scaled / self._left[0]
        return [_sums(self._place, self._number * share**power) for power in (2, 4)]

    @cached_property
    def single(self) -> Floats:
        """The log P(x > u | x >= u) for one model x, by value u."""
        after = np.append(self._left[1:], 0.0)
        with np.errstate(divide="ignore"):
            # Each form where it is precise.
            return np.where(after > self._mass, np.log1p(-self._mass / self._left), np.log(after / self._left))

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        """Number of models below each value."""
        return np.rint(self.models - self._left).astype(np.intp)

    def log_avoided(self, m: int) -> Floats:
        """Return log P(min > u | min >= u) for the smallest of m draws, by value u; the last is -inf."""
        if self.replacement:
            return m * self.single
        if m > self.models:
            raise EdfkitError(
                f"m: {m} draws without replacement from {self.models} models were asked for, but no more than there "
                "are can be drawn: lower m or draw with replacement."
            )
        # Models of smaller error are avoided one by one.
        found = np.zeros(self.values.size)
        for start in range(0, self.models, AT_ONCE):
            left = np.arange(self.models - start, max(0, self.models - start - AT_ONCE), -1.0)
            # Of 1 - m / c, the form that is precise for many models left, for few, and for too few to avoid any.
            many, some = (int(np.clip(left[0] - most, 0, left.size)) for most in (2 * m, m))
            log = np.empty(left.size)
            log[:many] = np.log1p(-m / left[:many])
            log[many:some] = np.log((left[many:some] - m) / left[many:some])
            log[some:] = -np.inf
            first, after = np.searchsorted(self._starts, (start + 1, start + left.size)) - (1, 0)
            found[first:after] += np.add.reduceat(log, np.maximum(self._starts[first:after] - start, 0))
        return found

    def influence(self, m: int) -> Floats:
        """Return the influence of a model on the expected smallest of m draws with replacement, by its value.

        One more model at x lowers it by m times what the integral of (1 - F)^(m - 1) from x on is above its mean. Where
        models are picked by another number x, that is the integral over their mean error at x. It moves this mean too,
        by how far its own error is from it, times the probability that x is picked, over the share of models at x.
        """
        above = np.exp((m - 1) * np.cumsum(self.single)[:-1])
        rest = np.append(np.cumsum((np.diff(self.means) * above)[::-1])[::-1], 0.0)
        found = np.asarray(m * (self.shares @ rest - rest))
        if self.picked is None:
            return found
        step = self.picked.step
        return np.asarray(found[step] + (_probabilities(m * self.single) / self.shares)[step] * self.picked.rest)

    def law(self, m: int) -> Law:
        """Return the errors and their probabilities of the best of m draws."""
        probabilities = _probabilities(self.log_avoided(m))
        if self.picked is None:
            return self.values, probabilities
        values, place = self.picked.places
        return values, _sums(place, self.picked.within * probabilities[self.picked.step])


def _beside(each: NDArray[Any], name: str, errors: Errors, weights: ArrayLike | None) -> NDArray[Any]:
    """Return what belongs to the models that count, of one thing for each model, or refuse."""
    shape = np.shape(errors.errors if isinstance(errors, Sample) else errors)
    if each.shape != shape:
        raise EdfkitError(
            f"{name}: {each.size} were given for {math.prod(shape)} errors, but every model needs one of each: select "
            "both in the same way."
        )
    return each if weights is None else np.asarray(each[np.asarray(weights) > 0])


@dataclass(frozen=True)
class _Picked:
    """The errors of models that are picked by another number.

    `errors` and `step` are of each entry, `step` being the number by which it is picked, `within` its share of the
    models of that number, `rest` how far its error is from their mean; `means` and `variances` are by number.
    """

    errors: Floats
    step: NDArray[np.intp]
    within: Floats
    rest: Floats
    means: Floats
    variances: Floats

    @classmethod
    def of(cls, errors: Floats, mass: Floats, values: Floats, deciding: Floats) -> "_Picked":
        step = np.searchsorted(values, deciding)
        within = mass / _sums(step, mass)[step]
        one = np.empty(values.size)
        one[step] = errors  # so that the mean of equal errors is exact
        means = one + _sums(step, within * (errors - one[step]))
        rest = errors - means[step]
        return cls(errors, step, within, rest, means, _sums(step, within * np.square(rest)))

    @cached_property
    def places(self) -> tuple[Floats, NDArray[np.intp]]:
        """The distinct errors, increasing, and which of them each entry has."""
        return np.unique(self.errors, return_inverse=True)


def _probabilities(log_avoided: Floats) -> Floats:
    """Return P(min = u) from log P(min > u | min >= u), each with full relative precision."""
    reached = np.exp(np.append(0.0, np.cumsum(log_avoided)[:-1]))
    return np.asarray(reached * -np.expm1(log_avoided))


def minimum(
    errors: Errors,
    m: int,
    weights: ArrayLike | None = None,
    *,
    replacement: bool = True,
    counts: ArrayLike | None = None,
) -> Law:
    """Compute the exact law of the smallest of m draws.

    Without replacement P(min >= u) = C(c, m) / C(N, m), with c of the N errors at least u; with replacement it is
    (1 - F(u-))^m, with the weighted F.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    m : int
        Number of draws, at least 1.
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given. Only with replacement.
    replacement : bool
        Whether a model can be drawn again.
    counts : array_like of int, shape (n,), optional
        How many models each error stands for, at least 1; one if not given.

    Returns
    -------
    values : ndarray, shape (k,)
        The distinct errors of positive weight, increasing, percent.
    probabilities : ndarray, shape (k,)
        That the minimum is each of them: precise in the far tails too, down to 1e-308; they sum to 1.

    Raises
    ------
    EdfkitError
        If m is not a whole number from 1 on, or above the number of models without replacement; if there are weights
        without replacement; and see `edfkit.stats.edf.counted_sample`.
    """
    return _Population(errors, weights, replacement, counts=counts).law(_whole(m, "m"))


def best_of(
    errors: Errors,
    m: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    replacement: bool = True,
    q: Sequence[float] = (0.05, 0.5, 0.95),
    units: ArrayLike | None = None,
    counts: ArrayLike | None = None,
    chosen_by: ArrayLike | None = None,
) -> BestOf:
    """Compute the expected smallest error of m models, for several m: the random-search curve (NDS, figure 6 right).

    As an estimate for the distribution that the models come from, the mean without replacement is unbiased; with
    replacement it is too high once m is not far below n, since the best model is missed with probability exp(-m / n).
    The standard error is that of the influence function of F -> integral of (1 - F)^m, for both. With 300 models of
    uniform or gamma errors it was right to 5 % up to m = n / 10, too small by 6 to 22 % at n / 2 and by 24 to 43 % at
    n.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    m : int or array_like of int, shape (k,)
        Numbers of draws, at least 1.
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given. Only with replacement.
    replacement : bool
        Whether a model can be drawn again.
    q : sequence of float
        Shares of the searches in (0, 1], see `BestOf.quantiles`; reached as in `edfkit.stats.edf.quantiles`.
    units : array_like of int, shape (n,), optional
        The unit of each model, where some repeat one; then units are counted by `n_eff` and the standard error.
    counts : array_like of int, shape (n,), optional
        How many models each error stands for, at least 1; one if not given.
    chosen_by : array_like, shape (n,), optional
        The number of each model by which the best one is picked, the smallest; the error itself if not given.

    Returns
    -------
    BestOf

    Raises
    ------
    EdfkitError
        If a q is outside (0, 1], there is not one unit per model, or one finite number to pick it by; and see
        `minimum`.
    """
    shares = np.asarray(q, dtype=np.float64)
    if shares.ndim != 1 or not np.all((shares > 0) & (shares <= 1)):
        raise EdfkitError(f"q: {q} was given, but shares above 0 and up to 1 are needed: divide percent by 100.")
    draws = [_whole(size, "m") for size in np.atleast_1d(np.asarray(m))]
    population = _Population(errors, weights, replacement, units, counts, chosen_by)
    means, gaps = population.means, np.diff(population.means)
    variances = 0.0 if population.picked is None else population.picked.variances
    log_missed = -np.log1p(-shares * (1 - ROUND_OFF))
    rows, reached = np.empty((len(draws), 4)), np.empty((len(draws), shares.size))
    for row, size in enumerate(draws):
        log_beyond = np.cumsum(population.log_avoided(size))  # log P(min > u)
        beyond = np.exp(log_beyond)
        mean = means[0] + gaps @ beyond[:-1]
        variance = -np.diff(beyond, prepend=1.0) @ (np.square(means - mean) + variances)
        rows[row] = mean, variance, *population.variance(population.influence(size))
        if population.picked is None:
            reached[row] = means[np.searchsorted(-log_beyond, log_missed)]
        else:
            found, probabilities = population.law(size)
            heights = np.cumsum(probabilities)
            reached[row] = found[np.searchsorted(heights / heights[-1], shares * (1 - ROUND_OFF))]
    how = ("with" if replacement else "without") + " replacement"
    if population.picked is not None:
        how = f"picked by another number, {how}"
    return BestOf(
        m=np.array(draws),
        error=rows[:, 0],
        spread=np.sqrt(rows[:, 1]),
        se=np.sqrt(rows[:, 2]),
        df=rows[:, 3],
        quantiles=dict(zip(shares.tolist(), reached.T, strict=True)),
        models=population.models,
        n_eff=population.n_eff,
        replacement=replacement,
        method=f"exact, {how}, {'weighted' if population.weighted else 'all models alike'}; se by influence function",
    )


def pseudo_values(
    errors: Errors,
    m: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    counts: ArrayLike | None = None,
    chosen_by: ArrayLike | None = None,
) -> Floats:
    """Give each model a number whose weighted mean is the expected smallest error of m draws with replacement.

    It is that expectation plus the influence of the model on it, so that inference about means holds for it too; of one
    draw it is the error of the model.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    m : int or array_like of int, shape (k,)
        Numbers of draws, at least 1.
    weights : array_like, shape (n,), optional
        Above 0, on any scale; all equal if not given.
    counts : array_like of int, shape (n,), optional
        How many models each error stands for, at least 1; one if not given.
    chosen_by : array_like, shape (n,), optional
        As in `best_of`.

    Returns
    -------
    ndarray, shape (n, k)
        Percent, of one model of each entry.

    Raises
    ------
    EdfkitError
        If a weight is 0, and see `best_of`.
    """
    draws = [_whole(size, "m") for size in np.atleast_1d(np.asarray(m))]
    population = _Population(errors, weights, replacement=True, counts=counts, chosen_by=chosen_by)
    given = errors.weights if isinstance(errors, Sample) else weights
    unused = np.zeros(0, bool) if given is None else np.asarray(given) == 0
    if unused.any():
        raise EdfkitError(
            f"weights: {unused.sum()} of {unused.size} are 0, but models that count are needed: leave the others out."
        )
    found = np.empty((population.entries, len(draws)))
    for column, size in enumerate(draws):
        values, probabilities = population.law(size)
        found[:, column] = population.of_models(values @ probabilities + population.influence(size))
    return found


def best_of_bins(errors: Errors, bin_index: ArrayLike, r: int, *, counts: ArrayLike | None = None) -> BestOfBins:
    """Compute the smallest error of exactly r models from each bin, drawn without replacement.

    P(min >= u) is the product over the bins of C(c, r) / C(n, r), with c of a bin's n errors at least u.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent; without weights.
    bin_index : array_like of int, shape (n,)
        The bin of every model, as `edfkit.stats.bins.bin_index` finds it; models of negative index are left out.
    r : int
        Models from each bin, at least 1 and at most what the smallest bin has. Bins without any model do not count.
    counts : array_like of int, shape (n,), optional
        How many models each error stands for, at least 1; one if not given.

    Returns
    -------
    BestOfBins

    Raises
    ------
    EdfkitError
        If a bin has fewer than r models, there is not one whole bin number per model, and see
        `edfkit.stats.checks.unweighted`.
    """
    sample, number = unweighted(errors, counts)
    index, size = np.asarray(bin_index), _whole(r, "r")
    if index.shape != sample.shape or index.dtype.kind not in "iu":
        raise EdfkitError(
            f"bin_index: {index.dtype} of shape {index.shape} was given for {sample.size} errors, but every model "
            "needs one whole number: pass what edfkit.stats.bins.bin_index returns."
        )
    inside = index >= 0
    if not inside.any():
        raise EdfkitError("bin_index: all models are outside the bins, but at least one is needed: widen the range.")
    sample, index, number = sample[inside], index[inside], number[inside]
    bins, place = np.unique(index, return_inverse=True)
    models = _sums(place, number)
    if models.min() < size:
        scarce = ", ".join(f"{bins[i]} ({models[i]:.0f})" for i in np.flatnonzero(models < size)[:5])
        raise EdfkitError(
            f"r: {size} models from each bin were asked for, but some bins have fewer: {scarce}: lower r or use fewer "
            "bins."
        )
    values = np.unique(sample, return_counts=True)[0]  # with counts, as numpy loads numpy.ma without
    log_avoided = np.zeros(values.size)
    for one in range(bins.size):
        own = place == one
        population = _Population(sample[own], None, False, counts=number[own])
        log_avoided[np.searchsorted(values, population.values)] += population.log_avoided(size)
    probabilities = _probabilities(log_avoided)
    mean = float(probabilities @ values)
    spread = math.sqrt(float(probabilities @ np.square(values - mean)))
    return BestOfBins(mean, spread, size, bins.size, int(number.sum()))


def best_of_band(
    values: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    m: ArrayLike,
    *,
    upper_before: float,
    least: float = 0.0,
    most: float = 100.0,
) -> tuple[Floats, Floats]:
    """Turn a simultaneous band on F into one on every expected best-of-m curve.

    E[min] = least + integral of (1 - F)^m from `least` to `most` falls as F rises, so the upper F gives the lower end.
    Where the band holds F with some confidence, all these intervals hold at once with the same.

    Parameters
    ----------
    values : array_like, shape (k,)
        Increasing errors, percent, where the band steps.
    lower, upper : array_like, shape (k,)
        The band on F from each value up to the next, the last one up to `most`; 0 to 1, not decreasing.
    m : int or array_like of int, shape (j,)
        Numbers of draws with replacement, at least 1.
    upper_before : float
        The upper band before the first value, 0 to 1; the lower one is 0 there.
    least, most : float
        The range of errors that can occur, percent; it must contain the values. Infinite where there is no bound.

    Returns
    -------
    low, high : ndarray, shape (j,)
        Ends of the expected smallest error, percent; infinite where there is none.

    Raises
    ------
    EdfkitError
        If the band is not as described, or m is not whole numbers from 1 on.
    """
    steps, below, above = _checked_band(values, lower, upper, upper_before, least, most)
    draws = [_whole(size, "m") for size in np.atleast_1d(np.asarray(m))]
    known = steps[0] if math.isinf(least) else least, steps[-1] if math.isinf(most) else most
    widths = np.diff(steps, prepend=known[0], append=known[1])
    high, low = (np.array([known[0] + widths @ (1.0 - edge) ** size for size in draws]) for edge in (below, above))
    # Without a bound, the little that the band allows beyond the values may be anywhere.
    if math.isinf(least) and above[0] > 0:
        low[:] = -math.inf
    if math.isinf(most) and below[-1] < 1:
        high[:] = math.inf
    return low, high


def median_band(
    values: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    m: ArrayLike,
    *,
    upper_before: float,
    least: float = 0.0,
    most: float = 100.0,
) -> tuple[Floats, Floats]:
    """Turn a simultaneous band on F into one on the median of the smallest of m draws, for every m.

    That median is the quantile of F at 1 - 2^(-1/m), which falls as F rises. Other than the expectation it does not
    depend on errors that no search will meet.

    Source: Lourie, Cho and He (2024), who invert bands for the quantiles of tuning curves.

    Parameters
    ----------
    values, lower, upper, m, upper_before, least, most
        As in `best_of_band`.

    Returns
    -------
    low, high : ndarray, shape (j,)
        Ends of the median, percent; `least` or `most` where the band allows any error on that side.

    Raises
    ------
    EdfkitError
        As in `best_of_band`.
    """
    steps, below, above = _checked_band(values, lower, upper, upper_before, least, most)
    draws = np.array([_whole(size, "m") for size in np.atleast_1d(np.asarray(m))])
    height = -np.expm1(-math.log(2) / draws) * (1 - ROUND_OFF)
    reached = np.concatenate([[least], steps, [most]])
    high, low = (reached[np.searchsorted(np.append(edge, 1.0), height)] for edge in (below, above))
    return low, high


def _checked_band(
    values: ArrayLike, lower: ArrayLike, upper: ArrayLike, upper_before: float, least: float, most: float
) -> tuple[Floats, Floats, Floats]:
    """Return the steps of a band, its lower and its upper edge with what they are before the first step, or refuse."""
    steps = finite_vector(values, "values")
    band = [np.append(0.0, finite_vector(lower, "lower")), np.append(upper_before, finite_vector(upper, "upper"))]
    if any(edge.size != steps.size + 1 for edge in band) or np.any(np.diff(steps) <= 0):
        raise EdfkitError(
            f"band: {steps.size} values, {band[0].size - 1} lower and {band[1].size - 1} upper heights were given, but "
            "increasing values with one height of each are needed: pass what made the band."
        )
    if not all(edge[0] >= 0 and edge[-1] <= 1 and np.all(np.diff(edge) >= 0) for edge in band) or np.any(
        band[0] > band[1]
    ):
        raise EdfkitError(
            "band: its heights leave 0..1, decrease, or cross, but both ends must be distribution functions, the lower "
            "one below: clip them to 0..1 and take running maxima."
        )
    if not least <= steps[0] <= steps[-1] <= most:
        raise EdfkitError(
            f"band: values from {steps[0]:g} to {steps[-1]:g} were given, but they must lie between least = {least:g} "
            f"and most = {most:g}: widen these."
        )
    return steps, band[0], band[1]


def _both(
    errors_small: Errors,
    small: int,
    errors_large: Errors | None,
    large: int,
    weights_small: ArrayLike | None,
    weights_large: ArrayLike | None,
    replacement: bool,
    counts_small: ArrayLike | None,
    counts_large: ArrayLike | None,
    chosen_by_small: ArrayLike | None,
    chosen_by_large: ArrayLike | None,
) -> tuple[Law, Law]:
    """Return the laws of both minima."""
    small, large = _whole(small, "small"), _whole(large, "large")
    first = second = _Population(
        errors_small, weights_small, replacement, counts=counts_small, chosen_by=chosen_by_small
    )
    if errors_large is not None:
        second = _Population(errors_large, weights_large, replacement, counts=counts_large, chosen_by=chosen_by_large)
    for name, given in (("weights", weights_large), ("counts", counts_large), ("chosen_by", chosen_by_large)):
        if errors_large is None and given is not None:
            raise EdfkitError(
                f"{name}_large: they were given without errors_large, but one population has one set of {name}: give "
                f"them as {name}_small."
            )
    return first.law(small), second.law(large)


def _wins(one: Law, other: Law) -> tuple[float, float]:
    """Return P(one < other) and P(one = other) for independent one and other."""
    tail = np.append(np.cumsum(other[1][::-1])[::-1], 0.0)
    first, after = (np.searchsorted(other[0], one[0], side) for side in ("left", "right"))
    equal = np.where(after > first, np.append(other[1], 0.0)[first], 0.0)
    return float(one[1] @ tail[after]), float(one[1] @ equal)


def who_wins(
    errors_small: Errors,
    small: int,
    errors_large: Errors | None = None,
    *,
    large: int,
    weights_small: ArrayLike | None = None,
    weights_large: ArrayLike | None = None,
    replacement: bool = False,
    counts_small: ArrayLike | None = None,
    counts_large: ArrayLike | None = None,
    chosen_by_small: ArrayLike | None = None,
    chosen_by_large: ArrayLike | None = None,
) -> Wins:
    """Compute who finds the smaller error, a search of `small` models or an independent one of `large` (NDS, figure 2).

    P(small wins) = sum over u of P(min_small = u) P(min_large > u). The samples may overlap, as in the paper's study.

    Parameters
    ----------
    errors_small : array_like, shape (n,), or Sample
        The population that the small search draws from, percent, 0 to 100.
    small : int
        Number of models that it draws, at least 1.
    errors_large : array_like, shape (k,), or Sample, optional
        The population that the large search draws from; the same one if not given.
    large : int
        Number of models that it draws, at least 1; it need not be the larger number.
    weights_small, weights_large : array_like, shapes (n,) and (k,), optional
        At least 0, on any scale; all equal if not given. Only with replacement.
    replacement : bool
        Whether a model can be drawn again.
    counts_small, counts_large : array_like of int, shapes (n,) and (k,), optional
        How many models each error stands for, at least 1; one if not given.
    chosen_by_small, chosen_by_large : array_like, shapes (n,) and (k,), optional
        As in `best_of`: the error is that of the model which is picked.

    Returns
    -------
    Wins

    Raises
    ------
    EdfkitError
        See `minimum`.
    """
    one, other = _both(
        errors_small, small, errors_large, large, weights_small, weights_large, replacement, counts_small, counts_large,
        chosen_by_small, chosen_by_large,
    )  # fmt: skip
    (small_wins, tie), (large_wins, _) = _wins(one, other), _wins(other, one)
    return Wins(small_wins, large_wins, tie, int(small), int(large), 1 if errors_large is None else 2, replacement)


def _grid(scales: Iterable[float], *values: Floats) -> tuple[float, list[NDArray[np.int64]]] | None:
    """Return how many steps of a grid a point has, and the values in steps; None if they are on none of those."""
    pooled = different(np.concatenate(values))
    for scale in scales:
        scaled = pooled * scale
        units = np.rint(scaled)
        if np.abs(units).max() < 2**53 and np.all(np.abs(scaled - units) < 1e-6) and np.all(np.diff(units) > 0):
            return scale, [np.rint(each * scale).astype(np.int64) for each in values]
    return None


def difference(
    errors_small: Errors,
    small: int,
    errors_large: Errors | None = None,
    *,
    large: int,
    weights_small: ArrayLike | None = None,
    weights_large: ArrayLike | None = None,
    replacement: bool = False,
    counts_small: ArrayLike | None = None,
    counts_large: ArrayLike | None = None,
    chosen_by_small: ArrayLike | None = None,
    chosen_by_large: ArrayLike | None = None,
) -> Law:
    """Compute the exact law of min_small - min_large for two independent searches (NDS, figure 2 left).

    Errors are on a grid if for some number of decimals, 0 to 4, all are multiples of the last one's unit to within a
    millionth of it, and no two are the same multiple. Then the law is the correlation of the laws of the minima over
    the multiples of their greatest common divisor: probabilities are right to 1e-15, and differences that round-off
    makes distinct are merged. Errors on no such grid are subtracted pair by pair, and if these are too many, they may
    be multiples of 100 / N, as of a test set of N images, of which two are next to each other.

    Parameters
    ----------
    errors_small, small, errors_large, large, weights_small, weights_large, replacement, counts_small, counts_large
        As in `who_wins`.
    chosen_by_small, chosen_by_large
        As in `who_wins`.

    Returns
    -------
    values : ndarray, shape (k,)
        The differences that can occur, increasing, percent; negative where the small search wins.
    probabilities : ndarray, shape (k,)

    Raises
    ------
    EdfkitError
        If the errors are on no grid and there are too many pairs, and see `minimum`.
    """
    laws = _both(
        errors_small, small, errors_large, large, weights_small, weights_large, replacement, counts_small, counts_large,
        chosen_by_small, chosen_by_large,
    )  # fmt: skip
    return _difference(*(_possible(law) for law in laws))


def _possible(law: Law) -> Law:
    """Leave out values of probability 0: impossible without replacement, or below 1e-308."""
    possible = law[1] > 0
    return law[0][possible], law[1][possible]


def _difference(one: Law, other: Law) -> Law:
    """Return the law of one - other for independent one and other."""
    pairs = one[0].size * other[0].size
    grid = _grid((float(10**decimals) for decimals in range(GRID_DECIMALS + 1)), one[0], other[0])
    if not grid and pairs > MOST_PAIRS:
        step = np.diff(different(np.concatenate([one[0], other[0]]))).min()
        grid = _grid([round(100 / step) / 100], one[0], other[0])
    if grid:
        scale, (units, other_units) = grid
        start, other_end = int(units[0]), int(other_units[-1])
        cells, other_cells = units - start, other_end - other_units  # from the end: a correlation is a convolution
        step = max(1, int(np.gcd.reduce(np.concatenate([cells, other_cells]))))
        cells, other_cells = cells // step, other_cells // step
        length = int(cells[-1] + other_cells[0] + 1)
        if length <= GRID_CELLS:
            size = 1 << (length - 1).bit_length()
            # Two transforms of each: the law, and where it is positive, whose correlation counts the pairs.
            spectra = [np.fft.rfft(np.bincount(at, by, size)) for at, by in ((cells, one[1]), (other_cells, other[1]))]
            marks = [np.fft.rfft(np.bincount(at, minlength=size)) for at in (cells, other_cells)]
            possible = np.flatnonzero(np.fft.irfft(marks[0] * marks[1], size)[:length] > 0.5)
            probabilities = np.maximum(np.fft.irfft(spectra[0] * spectra[1], size)[possible], 0.0)
            return (start - other_end + possible * step) / scale, probabilities
    if pairs > MOST_PAIRS:
        raise EdfkitError(
            f"difference: {one[0].size} and {other[0].size} distinct errors on no common grid were given, which are "
            f"more than {MOST_PAIRS} pairs: round the errors, such as percent to 0.01."
        )
    values, index = np.unique(np.subtract.outer(one[0], other[0]), return_inverse=True)
    return values, _sums(index.ravel(), np.multiply.outer(one[1], other[1]).ravel())


def minimum_gap(
    errors: Errors,
    small: int,
    large: int,
    *,
    alpha: float = 0.05,
    weights: ArrayLike | None = None,
    replacement: bool = False,
    counts: ArrayLike | None = None,
    chosen_by: ArrayLike | None = None,
) -> Gap:
    """Compute how far apart the minima of two searches of one population must be to mean anything.

    A gap g means something if two searches of these sizes in one population are so far apart, or farther, with
    probability at most alpha: exact, by `difference`.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    small, large : int
        Numbers of models drawn, at least 1.
    alpha : float
        Above 0 and below 1.
    weights : array_like, shape (n,), optional
        At least 0, on any scale; all equal if not given. Only with replacement.
    replacement : bool
        Whether a model can be drawn again.
    counts : array_like of int, shape (n,), optional
        How many models each error stands for, at least 1; one if not given.
    chosen_by : array_like, shape (n,), optional
        As in `best_of`.

    Returns
    -------
    Gap

    Raises
    ------
    EdfkitError
        If alpha is not between 0 and 1, and see `difference`.
    """
    if not 0 < alpha < 1:
        raise EdfkitError(f"alpha: {alpha:g} was given, but a level between 0 and 1 is needed, for example 0.05.")
    values, probabilities = difference(
        errors, small, large=large, weights_small=weights, replacement=replacement, counts_small=counts,
        chosen_by_small=chosen_by,
    )  # fmt: skip
    either, behind, ahead = (
        _rare(sizes[sizes > 0], probabilities[sizes > 0], alpha) for sizes in (np.abs(values), values, -values)
    )
    return Gap(either, behind, ahead, alpha, int(small), int(large), replacement)


def _rare(sizes: Floats, probabilities: Floats, alpha: float) -> float:
    """Return the smallest size g with P(size >= g) <= alpha, to round-off; infinite if there is none."""
    distinct, index = np.unique(sizes, return_inverse=True)
    at_least = np.cumsum(_sums(index, probabilities)[::-1])[::-1]
    rare = distinct[at_least <= alpha * (1 + ROUND_OFF)]
    return float(rare[0]) if rare.size else math.inf


def draws_for_top(q: float, miss: float) -> int:
    """Compute how many random draws find a model in the best fraction q with probability 1 - miss.

    The smallest m with (1 - q)^m <= miss: ceil(ln miss / ln(1 - q)). A quotient above a whole number by no more than
    its round-off, 1e-12 of it, counts as that number: (1 - 0.9)^2 is 0.01, though not in binary.

    Parameters
    ----------
    q : float
        Above 0, up to 1.
    miss : float
        Above 0 and below 1.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    EdfkitError
        If q or miss is outside its range.
    """
    if not 0 < q <= 1 or not 0 < miss < 1:
        raise EdfkitError(
            f"draws_for_top: q = {q:g} and miss = {miss:g} were given, but shares above 0 and up to 1, "
            "miss below 1, are needed: divide percent by 100."
        )
    return 1 if q == 1 else max(1, math.ceil(math.log(miss) / math.log1p(-q) * (1 - 1e-12)))


def resample_minima(
    errors: Errors,
    small: int,
    large: int,
    trials: int,
    *,
    rng: "np.random.Generator",  # quoted, as numpy.random takes a while to load
    errors_large: Errors | None = None,
    counts: ArrayLike | None = None,
    counts_large: ArrayLike | None = None,
    replacement: bool = False,
    chosen_by: ArrayLike | None = None,
    chosen_by_large: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Draw two searches of models many times and keep their minima: the paper's study (NDS, figure 2 left).

    In each trial, `small` models and independently `large` ones are drawn without replacement. What this estimates,
    `minimum`, `who_wins` and `difference` give exactly.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent; with weights only if models are drawn with replacement.
    small, large : int
        Numbers of models drawn, at least 1 and at most the size of the population.
    trials : int
        At least 1.
    rng : numpy.random.Generator
        Source of randomness.
    errors_large : array_like, shape (k,), or Sample, optional
        The population that the large search draws from; the same one if not given.
    counts, counts_large : array_like of int, shapes (n,) and (k,), optional
        How many models each error stands for, at least 1; one if not given.
    replacement : bool
        Whether a model can be drawn again; then with probabilities proportional to the weights.
    chosen_by, chosen_by_large : array_like, shapes (n,) and (k,), optional
        As in `best_of`.

    Returns
    -------
    mins_small, mins_large : ndarray, shape (trials,)
        Smallest errors, percent.

    Raises
    ------
    EdfkitError
        If a number is not whole or too large, and see `edfkit.stats.checks.unweighted`.
    """
    times = range(_whole(trials, "trials"))
    minima = []
    of_small = errors, counts, chosen_by
    of_large = of_small if errors_large is None else (errors_large, counts_large, chosen_by_large)
    for name, size, (given, number, by) in (("small", small, of_small), ("large", large, of_large)):
        least = _least(given, by, rng)
        if replacement:
            sample, weights, models = counted_sample(given, counts=number)
            share = weights * models / (weights @ models)
            minima.append(np.array([least(rng.choice(sample.size, _whole(size, name), p=share)) for _ in times]))
            continue
        sample, models = unweighted(given, number)
        ends = np.cumsum(models)
        if _whole(size, name) > ends[-1]:
            raise EdfkitError(
                f"{name}: {size} draws without replacement from {ends[-1]} models were asked for, but no more than "
                "there are can be drawn: lower it."
            )
        places = (rng.choice(ends[-1], size, replace=False, shuffle=False) for _ in times)
        if ends[-1] > sample.size:
            places = (np.searchsorted(ends, some, side="right") for some in places)
        minima.append(np.array([least(some) for some in places]))
    return minima[0], minima[1]


def _least(
    errors: Errors, chosen_by: ArrayLike | None, rng: "np.random.Generator"
) -> Callable[[NDArray[np.intp]], np.float64]:
    """Give what finds the error of the best of some entries of positive weight."""
    sample = counted_sample(errors)[0]
    if chosen_by is None:
        return lambda rows: sample[rows].min()
    given = errors.weights if isinstance(errors, Sample) else None
    deciding = _beside(finite_vector(chosen_by, "chosen_by"), "chosen_by", errors, given)

    def found(rows: NDArray[np.intp]) -> np.float64:
        best = rows[deciding[rows] == deciding[rows].min()]
        return np.float64(sample[best[0] if best.size == 1 else rng.choice(best)])

    return found
