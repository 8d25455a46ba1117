"""Comparison of populations given complexity: bins of equal width, and weights that make every bin count the same.

Convention: a range is closed, [lo, hi]; models outside it get the weight 0. Bin i holds edges[i] <= complexity <
edges[i + 1] of `numpy.linspace(lo, hi, bins + 1)`, so that a model on an inner edge belongs to the bin above it, as in
`numpy.histogram`, and a model at hi to the last bin. Complexity is a raw count: parameters, not millions of them.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.stats.sample import Floats, Sample, checked_errors, checked_strata, finite_vector, places

MOST_BINS = 100_000
"""More bins than this are a mistake, such as a range typed as a number of bins."""

DEFAULT_BINS, DEFAULT_LEAST = 10, 5
"""Bins that `default_bins` gives at most, and models of every population in each that it looks for."""


class EmptyBinsError(EdfkitError):
    """Bins of which one has no model of some population."""


def _span(lo: float, hi: float) -> str:
    """Write a range with all the digits it takes to type it in again."""
    return " to ".join(np.format_float_positional(end, trim="-") for end in (lo, hi))


def _covered(complexities: Iterable[Floats]) -> tuple[float, float]:
    """Return the largest minimum and the smallest maximum."""
    ends = [(float(c.min()), float(c.max())) for c in complexities]
    return max(low for low, _ in ends), min(high for _, high in ends)


def common_range(*complexities: ArrayLike, names: Sequence[str] = ()) -> tuple[float, float]:
    """Find the range of complexity that all populations cover: largest minimum to smallest maximum.

    Parameters
    ----------
    *complexities : array_like, shape (n_i,)
        The complexity of every model, one array per population.
    names : sequence of str, optional
        The populations' names, for the message.

    Returns
    -------
    lo, hi : float
        lo <= hi; they are equal where two populations share one value only.

    Raises
    ------
    EdfkitError
        If no population is given, one has no models or an unknown complexity, or the ranges do not overlap.
    """
    if not complexities:
        raise EdfkitError("common_range: no population was given, but at least one is needed: pass its complexities.")
    labels = list(names) or [f"population {i}" for i in range(1, len(complexities) + 1)]
    checked = {label: finite_vector(c, f"complexity of {label}") for label, c in zip(labels, complexities, strict=True)}
    lo, hi = _covered(checked.values())
    if lo > hi:
        ranges = ", ".join(f"{label} {_span(c.min(), c.max())}" for label, c in checked.items())
        raise EdfkitError(
            f"The populations share no range of complexity ({ranges}): compare them without normalising (given none), "
            "or give a range in which each of them has models."
        )
    return lo, hi


def bin_index(complexity: ArrayLike, lo: float, hi: float, bins: int) -> NDArray[np.intp]:
    """Find the bin of every model.

    Parameters
    ----------
    complexity : array_like, shape (n,)
        Raw counts.
    lo, hi : float
        The closed range, lo < hi; lo == hi only with one bin and all models there.
    bins : int
        Number of bins of equal width, 1 to 100,000.

    Returns
    -------
    ndarray of int, shape (n,)
        0 to bins - 1, or -1 for a model outside the range.

    Raises
    ------
    EdfkitError
        If there are no models, a complexity is unknown, or the range or the number of bins is impossible.
    """
    models = finite_vector(complexity, "complexity")
    if not 1 <= bins <= MOST_BINS:
        raise EdfkitError(f"bins: {bins} was given, but a number from 1 to {MOST_BINS} is needed: try 10.")
    single = bins == 1 and lo == hi and bool(np.all(models == lo))
    if not (single or -np.inf < lo < hi < np.inf):
        raise EdfkitError(
            f"range: {_span(lo, hi)} was given, but a range must start below its end: give a wider one, "
            "or compare without normalising (given none)."
        )
    edges = np.linspace(lo, hi, bins + 1)
    if (hi - lo) / bins > 1e-9 * max(abs(lo), abs(hi)):  # so that round-off makes it the next bin at most
        index = np.clip((models - lo) / (hi - lo) * bins, 0, bins - 1).astype(np.intp)
        index -= models < edges[index]
        index += models >= edges[index + 1]
    else:
        index = np.searchsorted(edges, models, side="right") - 1
    index[models >= hi] = bins - 1
    index[models > hi] = -1
    return index


def bin_counts(complexity: ArrayLike, lo: float, hi: float, bins: int) -> NDArray[np.intp]:
    """Count the models in every bin.

    Parameters
    ----------
    complexity, lo, hi, bins
        As in `bin_index`.

    Returns
    -------
    ndarray of int, shape (bins,)
        Their sum is the number of models in the closed range.

    Raises
    ------
    EdfkitError
        See `bin_index`.
    """
    index = bin_index(complexity, lo, hi, bins)
    return np.bincount(index[index >= 0], minlength=bins)


def _most_bins(complexities: Sequence[Floats], lo: float, hi: float, most: int, least: int = 1) -> int:
    """Find the largest number of bins, up to `most`, with `least` models of every population in each; 0 if none has."""
    for models in complexities:
        inside = np.sort(models[(lo <= models) & (models <= hi)])
        gap = float(np.diff(inside, prepend=lo, append=hi).max())
        # A bin narrower than half the widest gap between neighbours lies inside it, empty: no need to try so many bins
        # (one more is tried, against round-off). The number that works is not monotone, so no bisection.
        most = min(most, max(1, inside.size // least), int(2 * (hi - lo) / gap) + 1 if gap > 0 else 1)
    for bins in range(most, 0, -1):
        if all(bin_counts(models, lo, hi, bins).min() >= least for models in complexities):
            return bins
    return 0


def empty_bins(complexity: ArrayLike, lo: float, hi: float, bins: int) -> str:
    """Write the ranges of the empty bins, for a message.

    Parameters
    ----------
    complexity, lo, hi, bins
        As in `bin_index`.

    Returns
    -------
    str
        At most three of them, and how many more there are; nothing if no bin is empty.

    Raises
    ------
    EdfkitError
        See `bin_index`.
    """
    edges = np.linspace(lo, hi, bins + 1)
    empty = np.flatnonzero(bin_counts(complexity, lo, hi, bins) == 0)
    ranges = [f"{edges[i]:.10g} to {edges[i + 1]:.10g}" for i in empty[:3]]
    return ", ".join(ranges) + (f" and {empty.size - 3} more" if empty.size > 3 else "")


def check_bins(populations: Mapping[str, ArrayLike], lo: float, hi: float, bins: int) -> None:
    """Refuse bins of which one is empty in any population, and say which number of bins or range works for all.

    Parameters
    ----------
    populations : mapping of str to array_like, shape (n_i,)
        The complexity of every model, by the population's name.
    lo, hi, bins
        As in `bin_index`.

    Raises
    ------
    EmptyBinsError
        If a bin is empty: one sentence with the populations, their empty bins, the largest number of bins (up to
        `bins`) that leaves none empty in this range, and, where it allows more, the range that all populations cover.
    EdfkitError
        If no population is given, and see `bin_index`.
    """
    checked = _checked_populations(populations)
    gaps = {name: empty_bins(models, lo, hi, bins) for name, models in checked.items()}
    if not any(gaps.values()):
        return
    complexities = list(checked.values())
    advice = []
    if fewer := _most_bins(complexities, lo, hi, bins):
        advice.append(f"use {fewer} {'bin' if fewer == 1 else 'bins'}")
    inner_lo, inner_hi = _covered(complexities)
    if inner_lo < inner_hi:
        inner = _most_bins(complexities, inner_lo, inner_hi, bins)
        if inner > fewer:
            advice.append(f"use the range {_span(inner_lo, inner_hi)} with {inner} {'bin' if inner == 1 else 'bins'}")
    found = "; ".join(f"{name} has no model in {gap}" for name, gap in gaps.items() if gap)
    raise EmptyBinsError(
        f"With {bins} {'bin' if bins == 1 else 'bins'} over the complexity range {_span(lo, hi)}, {found}: "
        + (", or ".join(advice) or "compare without normalising (given none)")
        + "."
    )


def _checked_populations(populations: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    """Return the complexities as float arrays, or refuse them by name."""
    if not populations:
        raise EdfkitError("bins: no population was given, but at least one is needed: pass its complexities by name.")
    return {name: finite_vector(c, f"complexity of {name}") for name, c in populations.items()}


def default_bins(
    populations: Mapping[str, ArrayLike],
    lo: float,
    hi: float,
    least: int = DEFAULT_LEAST,
    most: int = DEFAULT_BINS,
) -> int:
    """Choose the number of bins: as many as leave every population `least` models in each bin.

    Parameters
    ----------
    populations : mapping of str to array_like, shape (n_i,)
        The complexity of every model, by the population's name.
    lo, hi : float
        The closed range.
    least : int
        Models wanted in every bin, at least 1.
    most : int
        Largest number of bins, at least 1.

    Returns
    -------
    int
        1 to `most`; 1 also where even one bin holds fewer than `least` models.

    Raises
    ------
    EdfkitError
        If a population has no model in the range, `least` or `most` is below 1, and see `check_bins`.
    """
    if least < 1 or most < 1:
        raise EdfkitError(
            f"bins: least = {least} and most = {most} were given, but both must be at least 1: use {DEFAULT_LEAST} and "
            f"{DEFAULT_BINS}."
        )
    check_bins(populations, lo, hi, 1)
    return _most_bins(list(_checked_populations(populations).values()), lo, hi, most, least) or 1


def complexity_weights(complexity: ArrayLike, lo: float, hi: float, bins: int) -> Floats:
    """Weigh the models so that the binned complexity is uniform: 1 / (bins * models in the same bin).

    Source: NDS, controlling for complexity.

    Parameters
    ----------
    complexity, lo, hi, bins
        As in `bin_index`.

    Returns
    -------
    ndarray, shape (n,)
        At least 0, sums to 1 (up to round-off) in all and to 1 / bins in each bin; 0 for the models outside the range.

    Raises
    ------
    EdfkitError
        If a bin is empty, with what would work (see `check_bins`), and see `bin_index`.
    """
    index = bin_index(finite_vector(complexity, "complexity of the population"), lo, hi, bins)
    counts = np.bincount(index + 1, minlength=bins + 1)[1:]
    if not counts.all():
        check_bins({"the population": complexity}, lo, hi, bins)
    # Index -1, outside the range, reads the last number.
    return np.asarray(np.append(1.0 / (bins * counts), 0.0)[index])


def balanced_sample(errors: ArrayLike, complexity: ArrayLike, lo: float, hi: float, bins: int) -> Sample:
    """Count the models of a range by error and bin, weighted so that the binned complexity is uniform.

    Of rounded errors that is far fewer entries than models, and functions of the sample give the same, faster.

    Parameters
    ----------
    errors : array_like, shape (n,)
        Percent.
    complexity : array_like, shape (n,)
        Raw counts.
    lo, hi, bins
        As in `bin_index`.

    Returns
    -------
    Sample
        An entry for each error in each bin, with its models as the count, the bin as the stratum, and the weight of
        `complexity_weights`. Models outside the range are left out.

    Raises
    ------
    EdfkitError
        If the lengths disagree, a bin is empty, and see `bin_index` and `edfkit.stats.sample.checked_errors`.
    """
    percent = checked_errors(errors)
    index = checked_strata(bin_index(complexity, lo, hi, bins), percent.size)
    values, place = places(percent)
    cell = place * bins + index
    if index.min() < 0:
        cell = cell[index >= 0]
    if values.size * bins <= 4 * cell.size:
        counts = np.bincount(cell)
        cells = np.flatnonzero(counts)
        counts = counts[cells]
    else:
        cells, counts = np.unique(cell, return_counts=True)
    place, index = np.divmod(cells, bins)
    in_bin = np.bincount(index, counts, bins)  # no model in the range at all is one of the cases that are refused
    if not in_bin.all():
        check_bins({"the population": complexity}, lo, hi, bins)
    return Sample(values[place], 1 / (bins * in_bin[index]), counts, index)
