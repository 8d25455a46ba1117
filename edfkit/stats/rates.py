"""Learning rate and weight decay: how the errors rank over them, and near a default.

Convention: errors and ranks as in `edfkit.stats.epochs`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.checks import same_models
from edfkit.stats.edf import Floats, finite_vector
from edfkit.stats.epochs import DECIMALS, error_ranks


@dataclass(frozen=True)
class RateMap(Result):
    """Mean error rank over learning rate and weight decay.

    Attributes
    ----------
    lr_edges : ndarray, shape (lr_bins + 1,)
    wd_edges : ndarray, shape (wd_bins + 1,)
        A cell holds low <= rate < high; the last one its upper edge too.
    counts : ndarray of int, shape (lr_bins, wd_bins)
    mean_rank : ndarray, shape (lr_bins, wd_bins)
        0 (best) to 1 (worst); NaN in empty cells.
    empty : float
        Share of the cells without a model.
    best : (int, int) or None
        Indices of the cell of lowest mean rank among those with `least` models; None if there is none. Being the best
        of many, its mean rank is optimistic.
    outside : int
        Models outside the edges: ranked with the others, but in no cell.
    """

    lr_edges: Floats
    wd_edges: Floats
    counts: NDArray[np.intp]
    mean_rank: Floats
    empty: float
    best: tuple[int, int] | None
    outside: int


def rate_map(
    lr: ArrayLike,
    wd: ArrayLike,
    errors: ArrayLike,
    lr_bins: int | ArrayLike = 10,
    wd_bins: int | ArrayLike = 10,
    least: int = 5,
    *,
    decimals: int | None = DECIMALS,
) -> RateMap:
    """Map the rank of the error over learning rate and weight decay (NDS, figure 12).

    Parameters
    ----------
    lr, wd : array_like, shape (models,)
        Learning rate and weight decay, above 0.
    errors : array_like, shape (models,)
        Percent.
    lr_bins, wd_bins : int or array_like
        Number of cells, of equal width in the logarithm from the smallest to the largest rate; or their edges,
        increasing.
    least : int
        Models that the best cell must have.
    decimals : int or None
        To which tied errors agree; None: in single precision.

    Returns
    -------
    RateMap

    Raises
    ------
    EdfkitError
        If the lengths differ, a rate is not above 0, an error is not a finite number, all rates are equal and no
        edges are given, or the edges are not at least two increasing numbers.
    """
    lrs, wds, ranks = _rates(lr, wd, errors, decimals)
    edges = _edges(lrs, lr_bins, "lr"), _edges(wds, wd_bins, "wd")
    counts = np.histogram2d(lrs, wds, edges)[0].astype(np.intp)
    sums = np.histogram2d(lrs, wds, edges, weights=ranks)[0]
    mean_rank = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    candidates = np.where(counts >= max(least, 1), mean_rank, np.inf)
    row, column = divmod(int(candidates.argmin()), counts.shape[1])
    return RateMap(
        lr_edges=edges[0],
        wd_edges=edges[1],
        counts=counts,
        mean_rank=mean_rank,
        empty=float(np.mean(counts == 0)),
        best=(row, column) if candidates[row, column] < np.inf else None,
        outside=int(lrs.size - counts.sum()),
    )


@dataclass(frozen=True)
class DefaultRank(Result):
    """How good the models trained near a default are.

    Attributes
    ----------
    models : int
        Those near it.
    mean_rank : float
        Of their errors among all models, 0 (best) to 1 (worst); 0.5 if the rates did not matter.
    standard_error : float
        Of the mean rank; NaN with one model.
    """

    models: int
    mean_rank: float
    standard_error: float


def default_rank(
    lr: ArrayLike,
    wd: ArrayLike,
    errors: ArrayLike,
    default: tuple[float, float] = (0.1, 5e-4),
    factor: float = 2.0,
    *,
    decimals: int | None = DECIMALS,
) -> DefaultRank:
    """Compute the mean error rank near a default learning rate and weight decay (NDS, figure 12).

    Parameters
    ----------
    lr, wd : array_like, shape (models,)
        Learning rate and weight decay, above 0.
    errors : array_like, shape (models,)
        Percent.
    default : (float, float)
        Learning rate and weight decay, above 0. NDS has (0.1, 5e-4) on CIFAR-10, (0.05, 5e-5) on ImageNet.
    factor : float
        Near is at most `factor` times more or less, in both; above 1.
    decimals : int or None
        To which tied errors agree; None: in single precision.

    Returns
    -------
    DefaultRank

    Raises
    ------
    EdfkitError
        If no model is near, the lengths differ, a rate is not above 0, an error is not a finite number, or `factor`
        is not above 1.
    """
    lrs, wds, ranks = _rates(lr, wd, errors, decimals)
    if not (1 < factor < np.inf and 0 < min(default) <= max(default) < np.inf):
        raise EdfkitError(
            f"default_rank: default = {default} and factor = {factor:g} were given, but rates above 0 and a factor "
            "above 1 are needed: use (0.1, 5e-4) and 2."
        )
    near = np.ones(lrs.size, dtype=bool)
    for rates, centre in zip((lrs, wds), default, strict=True):
        near &= (centre / factor <= rates) & (rates <= centre * factor)
    chosen = ranks[near]
    if chosen.size == 0:
        raise EdfkitError(
            f"default_rank: no model has a learning rate and weight decay within a factor of {factor:g} of {default}: "
            "use a larger factor, or another default."
        )
    error = chosen.std(ddof=1) / np.sqrt(chosen.size) if chosen.size > 1 else math.nan
    return DefaultRank(chosen.size, float(chosen.mean()), float(error))


def _rates(lr: ArrayLike, wd: ArrayLike, errors: ArrayLike, decimals: int | None) -> tuple[Floats, Floats, Floats]:
    lrs, wds, ranks = finite_vector(lr, "lr"), finite_vector(wd, "wd"), error_ranks(errors, decimals=decimals)
    same_models(lr=lrs, wd=wds, errors=ranks)
    for name, rates in (("lr", lrs), ("wd", wds)):
        if rates.min() <= 0:
            raise EdfkitError(
                f"{name}: {rates.min():g} was given, but the scale is logarithmic, above 0: leave those models out."
            )
    return lrs, wds, ranks


def _edges(rates: Floats, bins: int | ArrayLike, name: str) -> Floats:
    """Return the edges given, or that many cells of equal width in the logarithm."""
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise EdfkitError(f"{name}_bins: {bins} was given, but at least one cell is needed: use 10.")
        if np.ptp(rates) == 0:
            raise EdfkitError(f"{name}: all are {rates[0]:g}, which is no range to divide: give edges around it.")
        return np.geomspace(rates.min(), rates.max(), int(bins) + 1)
    edges = finite_vector(bins, f"{name}_bins")
    if edges.size < 2 or np.any(np.diff(edges) <= 0):
        raise EdfkitError(
            f"{name}_bins: {edges.tolist()} were given, but at least two edges are needed, increasing: sort them."
        )
    return edges
