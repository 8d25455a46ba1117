"""Samples of models: errors with their weights, counts and strata, checked once for all functions that take them.

Convention: an entry stands for one model, or for as many as its count says, of one error, one weight and one stratum.
Functions give of a sample what they would give if every entry were there so many times. Errors are any finite numbers
of which the smaller one is the better, as a rule percent; what functions give of them is in their unit. A model of
weight 0 does not exist for the functions that weigh.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError

Floats = NDArray[np.float64]


def _array(values: ArrayLike, name: str, dtype: Any = None) -> NDArray[Any]:
    """Make an array of what may be none."""
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise EdfkitError(
            f"{name}: no numbers were given ({error}), but one number per model is needed: convert them."
        ) from error


def finite_vector(values: ArrayLike, name: str) -> Floats:
    """Return one finite number per model as a float array, or refuse.

    Parameters
    ----------
    values : array_like, shape (n,)
        One number per model.
    name : str
        What the numbers are, for the message.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    EdfkitError
        If the values are not one-dimensional, are none at all, or are not all finite.
    """
    vector = _array(values, name, np.float64)
    if isinstance(getattr(values, "mask", None), np.ndarray | np.bool_) and np.any(values.mask):  # type: ignore[union-attr]
        raise EdfkitError(f"{name}: some values are masked, but every model needs a number: leave those models out.")
    if vector.ndim != 1:
        raise EdfkitError(f"{name}: shape {vector.shape} was given, but one number per model is needed: flatten it.")
    if vector.size == 0:
        raise EdfkitError(f"{name}: no values were given, but at least one model is needed: check what selected them.")
    if not (np.isfinite(vector.min()) and np.isfinite(vector.max())):  # NaN is both
        unknown = int(np.count_nonzero(~np.isfinite(vector)))
        raise EdfkitError(
            f"{name}: {unknown} of {vector.size} values are unknown (NaN) or infinite, but every model needs a number: "
            "leave those models out."
        )
    return vector


def checked_errors(errors: ArrayLike) -> Floats:
    """Return errors as a float array, or refuse them.

    Parameters
    ----------
    errors : array_like, shape (n,)
        Percent, or in another unit; the smaller one is the better.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    EdfkitError
        If there are none, or one is not a finite number.
    """
    return finite_vector(errors, "errors")


def checked_weights(weights: ArrayLike, size: int | None = None) -> Floats:
    """Return weights, scaled so that the largest is 1 (nothing overflows, equal ones sum exactly), or refuse them.

    Parameters
    ----------
    weights : array_like, shape (n,)
        At least 0, on any scale.
    size : int, optional
        The n that is needed; any if not given.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    EdfkitError
        If one is negative or not finite, all are 0, or there are not n.
    """
    vector = finite_vector(weights, "weights")
    if vector.min() < 0:
        raise EdfkitError(
            f"weights: {vector.min():g} was given, but a weight is at least 0: correct or drop that model."
        )
    if vector.max() == 0:
        raise EdfkitError("weights: all are 0, but at least one model must count: check the range that set them.")
    if size is not None and vector.size != size:
        raise EdfkitError(
            f"weights: {vector.size} were given for {size} errors, but every model needs one of each: "
            "select both in the same way."
        )
    scaled: Floats = vector / vector.max()
    return scaled


def checked_counts(counts: ArrayLike, size: int) -> NDArray[np.int64]:
    """Return how many models each entry stands for, or refuse.

    Parameters
    ----------
    counts : array_like of int, shape (n,)
        At least 1.
    size : int
        The n that is needed.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    EdfkitError
        If one is not a whole number of at least 1, or there are not n.
    """
    number = _array(counts, "counts")
    whole = number.shape == (size,) and number.dtype.kind in "iu"
    if whole and size and number.sum(dtype=np.float64) >= 2**53:
        raise EdfkitError(
            f"counts: {number.sum(dtype=np.float64):.3g} models were given, but fewer than {2.0**53:.3g} can be "
            "counted: correct them."
        )
    if not whole or (size and number.min() < 1):
        raise EdfkitError(
            f"counts: {number.dtype} of shape {number.shape} was given for {size} errors, but every error needs a "
            "whole number of models, at least 1: leave out errors that no model has."
        )
    return number.astype(np.int64, copy=False)


def checked_strata(strata: ArrayLike, size: int, name: str = "strata") -> NDArray[np.intp]:
    """Return the stratum or bin of each entry, or refuse.

    Parameters
    ----------
    strata : array_like of int, shape (n,)
        From 0, or -1 for models in none.
    size : int
        The n that is needed.
    name : str
        What they are, for the message.

    Returns
    -------
    ndarray of int, shape (n,)

    Raises
    ------
    EdfkitError
        If one is not a whole number of at least -1, or there are not n.
    """
    index = _array(strata, name)
    if index.shape != (size,):
        raise EdfkitError(
            f"{name}: shape {index.shape} was given for {size} errors, but every model needs one bin: "
            "select both in the same way."
        )
    if index.dtype.kind not in "iu" or index.min() < -1 or index.max() >= 2**53:
        given = f"{index.dtype} from {index.min()}" if index.dtype.kind in "iuf" else str(index.dtype)
        raise EdfkitError(
            f"{name}: {given} was given, but integers from 0, or -1 outside the range, are needed: pass what "
            "edfkit.stats.bins.bin_index returns."
        )
    return index.astype(np.intp, copy=False)


@dataclass(frozen=True, eq=False, init=False)
class Sample:
    """The errors of one population, with what belongs to them; functions that accept it take it in place of errors.

    Its arrays are checked once, when it is made, and are copies that cannot be written to.

    Parameters
    ----------
    errors : array_like, shape (n,)
        Percent.
    weights : array_like, shape (n,), optional
        Of one model, at least 0, on any scale; all equal if not given.
    counts : array_like of int, shape (n,), optional
        How many models each entry stands for, at least 1; one if not given.
    strata : array_like of int, shape (n,), optional
        The complexity bin or stratum of each entry, from 0, or -1 outside all; needed only where a function takes bins.

    Attributes
    ----------
    errors : ndarray, shape (n,)
    weights : ndarray of shape (n,), or None
    counts : ndarray of int64 of shape (n,), or None
    strata : ndarray of int of shape (n,), or None

    Raises
    ------
    EdfkitError
        If an array has another length or holds values that it cannot.
    """

    errors: Floats
    weights: Floats | None
    counts: NDArray[np.int64] | None
    strata: NDArray[np.intp] | None

    def __init__(
        self,
        errors: ArrayLike,
        weights: ArrayLike | None = None,
        counts: ArrayLike | None = None,
        strata: ArrayLike | None = None,
    ) -> None:
        if isinstance(errors, Sample):
            raise EdfkitError("Sample: a Sample was given as errors, but errors are numbers: take it as it is.")
        percent = checked_errors(errors)
        arrays: dict[str, NDArray[np.generic] | None] = {
            "errors": percent,
            "weights": None if weights is None else checked_weights(weights, percent.size),
            "counts": None if counts is None else checked_counts(counts, percent.size),
            "strata": None if strata is None else checked_strata(strata, percent.size),
        }
        if weights is not None:
            arrays["weights"] = np.asarray(weights, dtype=np.float64)  # on the scale that was given
        for name, array in arrays.items():
            own = None if array is None else array.copy()
            if own is not None:
                own.flags.writeable = False
            object.__setattr__(self, name, own)

    @property
    def models(self) -> int:
        """Number of models, those of weight 0 included."""
        return self.errors.size if self.counts is None else int(self.counts.sum())

    @cached_property
    def weighing(self) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Errors, weights of one model, the largest 1, and counts of the entries of positive weight."""
        number = np.ones(self.errors.size, np.int64) if self.counts is None else self.counts
        if self.weights is None:
            return self.errors, np.ones(self.errors.size), number
        scaled = self.weights / self.weights.max()
        if scaled.min() > 0:
            return self.errors, scaled, number
        some = scaled > 0
        return self.errors[some], scaled[some], number[some]


_GRID = np.arange(10_001) / 100  # errors of a test set of 10,000 images, the usual one


def ordered(key: NDArray[Any], *, stable: bool = True) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Sort numbers, and give the order of the rows.

    Whole numbers that leave room for that of the row are sorted together with it, ten times as fast as otherwise.

    Parameters
    ----------
    key : ndarray, shape (n,)
        Finite numbers.
    stable : bool
        Whether the rows of equal numbers stay in the order given; else they may come in any.

    Returns
    -------
    increasing : ndarray, shape (n,)
        The numbers, perhaps of another type.
    order : ndarray of int, shape (n,)
        The row of each.
    """
    bits = int(key.size).bit_length()
    if key.size > 1 and key.min() >= 0 and key.max() < 2 ** (62 - bits):
        whole = key.astype(np.int64)
        if key.dtype.kind in "iu" or np.array_equal(whole, key):
            whole <<= bits
            whole |= np.arange(key.size)
            whole.sort()
            return whole >> bits, whole & ((1 << bits) - 1)
    order = np.argsort(key, kind="stable" if stable else None)
    return key[order], order


def different(values: ArrayLike) -> NDArray[Any]:
    """Give the different numbers, increasing: `numpy.unique`, which loads numpy.ma just to look for masks.

    Parameters
    ----------
    values : array_like
        Finite numbers.

    Returns
    -------
    ndarray, shape (k,)
    """
    increasing = np.sort(values, axis=None)
    fresh = np.append(increasing.size > 0, increasing[1:] != increasing[:-1])
    return np.asarray(increasing[fresh[: increasing.size]])


def places(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Give the distinct numbers, and which of them each number is.

    That takes no sorting of many errors that are multiples of 0.01, nor of whole numbers that are not large.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite.

    Returns
    -------
    distinct : ndarray, shape (k,)
        Increasing.
    place : ndarray of int, shape (n,)
        `distinct[place]` are the values.
    """
    place = _codes(values)
    if place is None:
        distinct, place = np.unique(values, return_inverse=True)
        return distinct, place
    occurs = np.bincount(place) > 0
    numbers = np.flatnonzero(occurs)
    return (numbers if values.dtype.kind in "iu" else _GRID[numbers]), (np.cumsum(occurs) - 1)[place]


def tied(*samples: Floats, grid: float | None = None) -> list[Floats]:
    """Bring numbers that are one step into one number, the smallest of them, so that they tie.

    They are one step if they are the same multiple of the grid, to the nearest, where there is one; else if they are
    the same number in single precision, as logs have it.

    Parameters
    ----------
    *samples : ndarray, shapes (n,), (m,), ...
        Finite.
    grid : float, optional
        Above 0.

    Returns
    -------
    list of ndarray
        The samples themselves where no two different numbers are one step.
    """
    distinct = different(np.concatenate(samples))
    step = distinct.astype(np.float32) if grid is None else np.rint(distinct / grid)
    fresh = np.append(True, step[1:] != step[:-1])
    if fresh.all():
        return list(samples)
    first = distinct[fresh][np.cumsum(fresh) - 1]
    return [first[np.searchsorted(distinct, one)] for one in samples]


def _codes(values: NDArray[Any]) -> NDArray[np.intp] | None:
    """Return whole numbers from 0 to about as many as there are values, in their order; None if there are no such."""
    if not values.size or values.min() < 0:
        return None
    if values.dtype.kind in "iu":
        return values.astype(np.intp, copy=False) if values.max() <= values.size else None
    if values.size < _GRID.size or values.max() > 100:
        return None
    codes = np.rint(100 * values).astype(np.intp)
    return codes if np.array_equal(_GRID[codes], values) else None


Errors = ArrayLike | Sample
"""What functions take as the errors of a population: percent, one for each model, or a sample."""


def refuse_pieces(**pieces: ArrayLike | None) -> None:
    """Refuse what is given beside a sample that has its own.

    Parameters
    ----------
    **pieces : array_like or None
        By name.

    Raises
    ------
    EdfkitError
        If any is given.
    """
    if given := [name for name, piece in pieces.items() if piece is not None]:
        raise EdfkitError(
            f"Sample: {' and '.join(given)} were given beside it, but a Sample holds its own: leave them out, or make "
            "the Sample with them."
        )
