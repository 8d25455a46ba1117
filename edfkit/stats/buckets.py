"""Errors and populations by buckets of complexity: what figures show, and which bins a comparison can use.

Convention: buckets are the bins of `edfkit.stats.bins`, of equal width over the closed range [lo, hi]; a model on an
inner edge belongs to the bucket above it, one at hi to the last; models outside the range take no part and are counted.
Complexity is a raw count, errors are percent, 0 to 100.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.bins import bin_counts, bin_index, default_bins
from edfkit.stats.checks import percent, same_models
from edfkit.stats.edf import Floats, finite_vector
from edfkit.stats.epochs import DECIMALS, rank_correlation


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


def bucket_means(errors: ArrayLike, complexity: ArrayLike, lo: float, hi: float, buckets: int = 20) -> BucketMeans:
    """Average the errors in buckets of complexity; NDS, figure 15, shows mean and 2 sd in 20 buckets.

    Parameters
    ----------
    errors : array_like, shape (models,)
        Percent, 0 to 100.
    complexity : array_like, shape (models,)
        Raw counts.
    lo, hi : float
        The closed range, lo < hi.
    buckets : int
        1 to 100,000.

    Returns
    -------
    BucketMeans

    Raises
    ------
    EdfkitError
        If the lengths differ, an error is not a number in 0..100, and see `edfkit.stats.bins.bin_index`.
    """
    sample, index = percent(errors, "errors"), bin_index(complexity, lo, hi, buckets)
    same_models(errors=sample, complexity=np.asarray(complexity))
    inside = index >= 0
    sample, index = sample[inside], index[inside]
    counts = np.bincount(index, minlength=buckets)

    def ratio(values: Floats, sizes: NDArray[np.intp]) -> Floats:
        sums = np.bincount(index, values, minlength=buckets)
        return np.asarray(np.divide(sums, sizes, out=np.full(buckets, np.nan), where=sizes > 0))

    mean = ratio(sample, counts)
    variance = ratio(np.square(sample - mean[index]), counts - 1)
    return BucketMeans(np.linspace(lo, hi, buckets + 1), counts, mean, np.sqrt(variance), int((~inside).sum()))


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


def histogram(populations: Mapping[str, ArrayLike], lo: float, hi: float, buckets: int = 36) -> Histogram:
    """Count the models of several populations in the same buckets of complexity (NDS, figures 5 and 8).

    Parameters
    ----------
    populations : mapping of str to array_like, shape (n_i,)
        The complexity of every model, by the population's name.
    lo, hi : float
        The closed range, lo < hi; NDS starts it at 0.
    buckets : int
        1 to 100,000.

    Returns
    -------
    Histogram

    Raises
    ------
    EdfkitError
        If no population is given, and see `edfkit.stats.bins.bin_index`.
    """
    counts = {name: bin_counts(models, lo, hi, buckets) for name, models in _checked(populations).items()}
    outside = {name: int(np.size(populations[name]) - inside.sum()) for name, inside in counts.items()}
    return Histogram(np.linspace(lo, hi, buckets + 1), counts, outside)


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
    populations: Mapping[str, ArrayLike], lo: float, hi: float, bins: int, limit: int = 100, steps: int = 100
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
    counts = {name: bin_counts(models, lo, hi, bins) for name, models in checked.items()}
    spans = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    empty = {name: [spans[i] for i in np.flatnonzero(inside == 0)] for name, inside in counts.items()}
    populated = all(inside.any() for inside in counts.values())
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


def correlation(errors: ArrayLike, complexity: ArrayLike) -> float:
    """Compute Spearman's rank correlation of error and complexity: below 0 where larger models are better.

    Parameters
    ----------
    errors : array_like, shape (models,)
        Percent, 0 to 100; those equal to `edfkit.stats.epochs.DECIMALS` decimals are tied.
    complexity : array_like, shape (models,)
        Raw counts.

    Returns
    -------
    float
        -1 to 1; NaN where all errors or all complexities are equal.

    Raises
    ------
    EdfkitError
        If the lengths differ, an error is not a number in 0..100, or a complexity is not known.
    """
    sample, counts = percent(errors, "errors"), finite_vector(complexity, "complexity")
    same_models(errors=sample, complexity=counts)
    return rank_correlation(np.round(sample, DECIMALS), counts)
