"""How much of the difference of two populations is their mix of complexity, and how much is left within the bins.

Convention: a difference is A minus B. With bins b of complexity, F_A = sum of p_b F_{A|b} and F_B = sum of q_b F_{B|b},
where the shares p and q each sum to 1. Kitagawa's (Oaxaca and Blinder's) symmetric decomposition of F_A - F_B is

* composition: sum of (p_b - q_b) (F_{A|b} + F_{B|b}) / 2, other shares of the same bins,
* within: sum of (p_b + q_b) / 2 (F_{A|b} - F_{B|b}), other errors in the same bin,

and these add up to it. A bin that one population has no model in says nothing about either: the two parts are those of
the shared bins, with shares that sum to 1 over these, and what the models of the other bins change is the third part,

* unshared: the difference of all models minus that of the models in shared bins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.permutation import checked_bins
from edfkit.stats.sample import Errors, Floats, places

_ROUND_OFF = 1e-12  # relative to the numbers of which sums are differences


@dataclass(frozen=True)
class Parts(Result):
    """A difference and its parts.

    Attributes
    ----------
    total, composition, within, unshared : float
        Signed, A minus B. The last three add up to the first, except where they are distances.
    """

    total: float
    composition: float
    within: float
    unshared: float

    def shares(self) -> dict[str, float] | None:
        """Return each part divided by the total, signed: below 0 where it counteracts.

        None if the total is 0 or not known. Where parts counteract each other, shares exceed 1, and are the
        less telling the smaller the total is.
        """
        if not abs(self.total) > 0:
            return None
        return {part: getattr(self, part) / self.total for part in ("composition", "within", "unshared")}

    def to_dict(self) -> Any:
        """Return the parts and their shares as plain data."""
        return super().to_dict() | {"shares": self.shares()}


@dataclass(frozen=True)
class Mix(Result):
    """The difference of two populations, and how much of it is the mix of complexity.

    Attributes
    ----------
    mean : Parts
        Of the mean error of A minus that of B, percentage points.
    prob_better : Parts
        Of P(A < B) + P(A = B) / 2 - 1 / 2, how much likelier than not a random model of A beats one of B. `within` is
        its value if both had the average shares.
    distance : Parts
        The largest `|F_A - F_B|` and the largest `|part|` of each; distances do not add up.
    errors : ndarray, shape (k,)
        The distinct errors, increasing, percent.
    total, composition, within, unshared : ndarray, shape (k,)
        F_A - F_B at the errors, and its parts, which add up to it.
    bins : ndarray of int, shape (m,)
        The bins that hold models, increasing.
    shares_a, shares_b : ndarray, shape (m,)
        The shares of each population's models in these bins; one is 0 in an unshared bin.
    left_out_a, left_out_b : int
        Models outside the range of complexity (bin -1), which take no part.
    """

    mean: Parts
    prob_better: Parts
    distance: Parts
    errors: Floats
    total: Floats
    composition: Floats
    within: Floats
    unshared: Floats
    bins: NDArray[np.intp]
    shares_a: Floats
    shares_b: Floats
    left_out_a: int
    left_out_b: int


def decompose(
    errors_a: Errors,
    bins_a: ArrayLike | None,
    errors_b: Errors,
    bins_b: ArrayLike | None = None,
    *,
    counts_a: ArrayLike | None = None,
    counts_b: ArrayLike | None = None,
    sizes_a: ArrayLike | None = None,
    sizes_b: ArrayLike | None = None,
) -> Mix:
    """Decompose the unnormalised difference of two populations into complexity mix and what is left within bins.

    The parts depend on the bins: complexity still varies within one, so wide bins leave some of the mix to `within`,
    and bins of a few models leave noise there.

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent.
    bins_a, bins_b : array_like of int, shapes (n_a,) and (n_b,), or None
        The models' bins, from 0, or -1 outside the range, as `edfkit.stats.bins.bin_index` returns them; None with a
        sample, which has them as its strata.
    counts_a, counts_b : array_like of int, shapes (n_a,) and (n_b,), optional
        How many models of that error and bin there are; one if not given.
    sizes_a, sizes_b : array_like, shapes (n_a,) and (n_b,), optional
        What each entry is of a model, as 1 / k of k rows that repeat one; 1 if not given.

    Returns
    -------
    Mix

    Raises
    ------
    EdfkitError
        If the populations share no bin, and see `edfkit.stats.permutation.checked_bins`.
    """
    sample_a, index_a, number_a, left_out_a = checked_bins(errors_a, bins_a, "A", counts_a)
    sample_b, index_b, number_b, left_out_b = checked_bins(errors_b, bins_b, "B", counts_b)
    number_a, number_b = _sized(number_a, sizes_a, bins_a), _sized(number_b, sizes_b, bins_b)
    bins, index = places(np.concatenate([index_a, index_b]))
    errors, place = places(np.concatenate([sample_a, sample_b]))
    at_a, at_b = np.split(place, [index_a.size])
    in_a, in_b = np.split(index, [index_a.size])
    models_a, models_b = np.bincount(in_a, number_a, bins.size), np.bincount(in_b, number_b, bins.size)
    shared = (models_a > 0) & (models_b > 0)
    if not shared.any():
        raise EdfkitError(
            f"bins: A has models in {np.count_nonzero(models_a)} bins and B in {np.count_nonzero(models_b)}, but they "
            "share none, so nothing can be compared given complexity: use fewer bins, or a range that both cover."
        )

    # Each part is a difference of differences under three weightings of the same models.
    everyone = number_a.astype(float), number_b.astype(float)
    sharing = number_a * shared[in_a], number_b * shared[in_b]
    shares = [models * shared / models[shared].sum() for models in (models_a, models_b)]
    each = [(shares[0] + shares[1]) / 2 / np.where(models > 0, models, 1) for models in (models_a, models_b)]
    balanced = number_a * each[0][in_a], number_b * each[1][in_b]
    laws = []
    for weights in (everyone, sharing, balanced):
        steps = [np.bincount(at, one, errors.size) for at, one in zip((at_a, at_b), weights, strict=True)]
        laws.append([one / one.sum() for one in steps])

    def parts(difference: Callable[[Floats, Floats], Any]) -> tuple[Any, Any, Any, Any]:
        total, common, within = (difference(*law) for law in laws)
        return total, common - within, within, total - common

    curves = parts(lambda a, b: np.cumsum(a) - np.cumsum(b))
    return Mix(
        mean=_parts(*parts(lambda a, b: float(errors @ a - errors @ b)), float(np.abs(errors).max())),
        prob_better=_parts(*parts(lambda a, b: float(a @ (0.5 - np.cumsum(b) + b / 2)))),
        distance=_parts(*(float(np.abs(curve).max()) for curve in curves)),
        errors=errors,
        total=curves[0],
        composition=curves[1],
        within=curves[2],
        unshared=curves[3],
        bins=bins,
        shares_a=models_a / models_a.sum(),
        shares_b=models_b / models_b.sum(),
        left_out_a=left_out_a,
        left_out_b=left_out_b,
    )


def _sized(number: NDArray[Any], sizes: ArrayLike | None, bins: ArrayLike | None) -> NDArray[Any]:
    """Multiply the numbers of models of the entries in bins by their sizes."""
    return number if sizes is None else number * np.asarray(sizes)[np.asarray(bins) >= 0]


def _parts(total: float, composition: float, within: float, unshared: float, size: float = 1.0) -> Parts:
    """Give a difference of numbers up to this size and its parts; where it is round-off it is 0."""
    return Parts(0.0 if abs(total) < _ROUND_OFF * size else total, composition, within, unshared)


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values of several tests by Holm's method: the probability of any false rejection stays below the level.

    The i-th smallest of m is multiplied by m - i + 1, raised to the largest so far, and capped at 1. No independence is
    assumed, and Bonferroni's method rejects nothing that this one does not.

    Parameters
    ----------
    p_values : array_like, any shape
        0 to 1.

    Returns
    -------
    ndarray, shape of `p_values`
        Adjusted: reject where it is at most the level.

    Raises
    ------
    EdfkitError
        If one is not a number from 0 to 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise EdfkitError(
            f"holm: p-values {p.tolist()} were given, but numbers from 0 to 1 are needed: leave out tests without one."
        )
    flat = p.ravel()
    order = np.argsort(flat, kind="stable")
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(flat[order] * np.arange(flat.size, 0, -1)))
    return adjusted.reshape(p.shape)
