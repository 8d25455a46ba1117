"""Errors and populations by buckets of complexity: what figures show, and which bins a comparison can use.

Convention: buckets are the bins of `edfkit.stats.bins`, of equal width over the closed range [lo, hi]; a model on an
inner edge belongs to the bucket above it, one at hi to the last; models outside the range take no part and are counted.
Complexity is a raw count, errors are percent. With counts, an entry stands for so many models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.bins import bin_counts, bin_index, default_bins
from edfkit.stats.checks import same_models, unweighted
from edfkit.stats.edf import Floats, finite_vector
from edfkit.stats.epochs import DECIMALS, rank_correlation, steps
from edfkit.stats.sample import Errors, checked_counts


@dataclass(frozen=True)
class BucketMeans(Result):
    """Errors by bucket of complexity.

    Attributes
    ----------
    edges : ndarray, shape (buckets + 1,)
        Raw counts.
    counts : ndarray of int, shape (buckets,)
    mean : ndarray, shape (buckets,)
        Percent; NaN in empty buckets.
    sd : ndarray, shape (buckets,)
        Standard deviation of the models (not of their mean), points; NaN in buckets of fewer than 2.
    outside : int
        Models outside the range.
    """

    edges: Floats
    counts: NDArray[np.intp]
    mean: Floats
    sd: Floats
    outside: int


def bucket_means(
    errors: Errors,
    complexity: ArrayLike,
    lo: float,
    hi: float,
    buckets: int = 20,
    *,
    counts: ArrayLike | None = None,
) -> BucketMeans:
    """Average the errors in buckets of complexity; NDS, figure 15, shows mean and 2 sd in 20 buckets.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent; without weights.
    complexity : array_like, shape (n,)
        Raw counts.
    lo, hi : float
        The closed range, lo < hi.
    buckets : int
        1 to 100,000.
    counts : array_like of int, shape (n,), optional
        How many models each entry stands for, at least 1; one if not given.

    Returns
    -------
    BucketMeans

    Raises
    ------
    EdfkitError
        If the lengths differ, and see `edfkit.stats.checks.unweighted` and `edfkit.stats.bins.bin_index`.
    """
    (sample, number), index = unweighted(errors, counts), bin_index(complexity, lo, hi, buckets)
    same_models(errors=sample, complexity=np.asarray(complexity))
    inside = index >= 0
    outside = int(number[~inside].sum())
    sample, number, index = sample[inside], number[inside], index[inside]
    models = np.bincount(index, number, minlength=buckets).astype(np.intp)

    def ratio(values: Floats, sizes: NDArray[np.intp]) -> Floats:
        sums = np.bincount(index, number * values, minlength=buckets)
        return np.asarray(np.divide(sums, sizes, out=np.full(buckets, np.nan), where=sizes > 0))

    mean = ratio(sample, models)
    variance = ratio(np.square(sample - mean[index]), models - 1)
    return BucketMeans(np.linspace(lo, hi, buckets + 1), models, mean, np.sqrt(variance), outside)


@dataclass(frozen=True)
class Histogram(Result):
    """Populations by bucket of complexity, with one set of edges.

    Attributes
    ----------
    edges : ndarray, shape (buckets + 1,)
        Raw counts.
    counts : dict of str to ndarray of int, shape (buckets,)
        By population.
    outside : dict of str to int
        Models outside the range, by population.
    """

    edges: Floats
    counts: dict[str, NDArray[np.intp]]
    outside: dict[str, int]


def histogram(
    populations: Mapping[str, ArrayLike],
    lo: float,
    hi: float,
    buckets: int = 36,
    *,
    counts: Mapping[str, ArrayLike] | None = None,
) -> Histogram:
    """Count the models of several populations in the same buckets of complexity (NDS, figures 5 and 8).

    Parameters
    ----------
    populations : mapping of str to array_like, shape (n_i,)
        The complexity of every model, by the population's name.
    lo, hi : float
        The closed range, lo < hi; NDS starts it at 0.
    buckets : int
        1 to 100,000.
    counts : mapping of str to array_like of int, shape (n_i,), optional
        How many models each entry stands for, at least 1, by the population's name; one where not given.

    Returns
    -------
    Histogram

    Raises
    ------
    EdfkitError
        If no population is given, and see `edfkit.stats.bins.bin_index` and `edfkit.stats.sample.checked_counts`.
    """
    given, inside, outside = counts or {}, {}, {}
    for name, complexity in _checked(populations).items():
        index = bin_index(complexity, lo, hi, buckets)
        number = checked_counts(given.get(name, np.ones(index.size, np.int64)), index.size)
        inside[name] = np.bincount(index[index >= 0], number[index >= 0], minlength=buckets).astype(np.intp)
        outside[name] = int(number[index < 0].sum())
    return Histogram(np.linspace(lo, hi, buckets + 1), inside, outside)


def _checked(populations: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    if not populations:
        raise EdfkitError("buckets: no population was given, but at least one is needed: pass complexities by name.")
    return {name: finite_vector(models, f"complexity of {name}") for name, models in populations.items()}


@dataclass(frozen=True)
class Advice(Result):
    """Which bins work, that is, leave none empty in any population.

    Attributes
    ----------
    works : bool
        Whether those asked for do.
    empty : dict of str to list of (float, float)
        The ranges of their empty bins, by population.
    most_bins : int
        The largest number of bins, up to the limit, that works in the range asked for; 0 if not even one does.
    widest : (float, float) or None
        The widest range within it in which the number of bins asked for works; None if none was found.
    """

    works: bool
    empty: dict[str, list[tuple[float, float]]]
    most_bins: int
    widest: tuple[float, float] | None


def advise(
    populations: Mapping[str, ArrayLike],
    lo: float,
    hi: float,
    bins: int,
    limit: int = 100,
    steps: int = 100,
) -> Advice:
    """Say which complexity bins leave none empty: whether those asked for do, and what else would.

    Parameters
    ----------
    populations : mapping of str to array_like, shape (n_i,)
        The complexity of every model, by the population's name.
    lo, hi : float
        The closed range asked for, lo < hi.
    bins : int
        The number of bins asked for, 1 to 100,000.
    limit : int
        Largest number of bins to look for, at least 1.
    steps : int
        The ranges that are tried start and end at multiples of (hi - lo) / steps from lo, or at the ends of the range
        that all populations cover; at least 1. The time taken grows with its square and with `bins`.

    Returns
    -------
    Advice

    Raises
    ------
    EdfkitError
        If no population is given, `limit` or `steps` is below 1, and see `edfkit.stats.bins.bin_index`.
    """
    if limit < 1 or steps < 1:
        raise EdfkitError(
            f"advise: limit = {limit} and steps = {steps} were given, but both must be at least 1: use 100 and 100."
        )
    checked = _checked(populations)
    edges = np.linspace(lo, hi, bins + 1) if bins > 0 else np.zeros(1)  # bin_counts refuses such bins
    inside = {name: bin_counts(models, lo, hi, bins) for name, models in checked.items()}
    spans = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    empty = {name: [spans[i] for i in np.flatnonzero(filled == 0)] for name, filled in inside.items()}
    populated = all(filled.any() for filled in inside.values())
    works = not any(empty.values())
    return Advice(
        works=works,
        empty=empty,
        most_bins=default_bins(checked, lo, hi, least=1, most=limit) if populated else 0,
        widest=(float(lo), float(hi)) if works else _widest(list(checked.values()), lo, hi, bins, steps),
    )


def _widest(complexities: Sequence[Floats], lo: float, hi: float, bins: int, steps: int) -> tuple[float, float] | None:
    """Find the widest range of the grid with no empty bin: every start of a range, all its ends at once."""
    ordered = [np.sort(models[(lo <= models) & (models <= hi)]) for models in complexities]
    if min(models.size for models in ordered) < bins:
        return None
    grid = np.linspace(lo, hi, steps + 1)
    covered = max(models[0] for models in ordered), min(models[-1] for models in ordered)
    grid = np.union1d(grid, covered)
    found, width = None, 0.0
    for start in grid:
        ends = grid[grid - start > width]
        edges = np.linspace(start, ends, bins + 1, axis=1)
        works = np.ones(ends.size, dtype=bool)
        for models in ordered:
            below = np.searchsorted(models, edges)
            below[:, -1] = np.searchsorted(models, ends, side="right")  # the last bin is closed
            works &= np.all(np.diff(below) > 0, axis=1)
        if works.any():
            found = float(start), float(ends[works][-1])
            width = found[1] - found[0]
    return found


def correlation(
    errors: Errors, complexity: ArrayLike, *, counts: ArrayLike | None = None, decimals: int | None = DECIMALS
) -> float:
    """Compute Spearman's rank correlation of error and complexity: below 0 where larger models are better.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent, without weights.
    complexity : array_like, shape (n,)
        Raw counts.
    counts : array_like of int, shape (n,), optional
        How many models each entry stands for, at least 1; one if not given.
    decimals : int or None
        To which tied errors agree; None: in single precision.

    Returns
    -------
    float
        -1 to 1; NaN where all errors or all complexities are equal.

    Raises
    ------
    EdfkitError
        If the lengths differ or a complexity is not known, and see `edfkit.stats.checks.unweighted`.
    """
    (sample, number), sizes = unweighted(errors, counts), finite_vector(complexity, "complexity")
    same_models(errors=sample, complexity=sizes)
    return rank_correlation(steps(sample, decimals), sizes, number)
