"""What several functions of arrays ask of their arguments, and the sentence that refuses anything else."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.stats.edf import Floats, counted_sample
from edfkit.stats.sample import Errors


def percent(values: ArrayLike, name: str, axes: tuple[str, ...] = ("models",)) -> Floats:
    """Return errors as a float array with the given axes, or refuse them.

    Parameters
    ----------
    values : array_like, one axis for each of `axes`
        Percent, or in another unit.
    name : str
        What the numbers are, for the message.
    axes : tuple of str
        What each axis runs over, for the message.

    Returns
    -------
    ndarray

    Raises
    ------
    EdfkitError
        If the shape is another, an axis is empty, or a value is not a finite number.
    """
    expected = f"the shape ({', '.join(axes)})"
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EdfkitError(
            f"{name}: no table of numbers was given ({error}), but {expected} is needed: leave out the rows that are "
            "shorter."
        ) from error
    if table.ndim != len(axes) or table.size == 0:
        raise EdfkitError(
            f"{name}: shape {table.shape} was given, but {expected}, none of them 0, is needed: select the values so."
        )
    if unknown := int(np.isnan(table).reshape(len(table), -1).any(axis=1).sum()):
        raise EdfkitError(
            f"{name}: {unknown} of {len(table)} {axes[0]} have unknown values (NaN), as failed ones do, but all must "
            "be known: leave those out."
        )
    if not np.isfinite(table).all():
        raise EdfkitError(f"{name}: an infinite value was given, but finite ones are needed: leave that row out.")
    return table


def unweighted(errors: Errors, counts: ArrayLike | None = None) -> tuple[Floats, NDArray[np.int64]]:
    """Return the errors of models that count the same, and how many models each stands for, or refuse them.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent.
    counts : array_like of int, shape (n,), optional
        At least 1; one if not given.

    Returns
    -------
    errors, counts : ndarray, shape (n,)

    Raises
    ------
    EdfkitError
        If a sample has weights that differ, and see `edfkit.stats.edf.counted_sample`.
    """
    sample, weights, number = counted_sample(errors, counts=counts)
    if weights.min() < 1:  # the largest is 1
        raise EdfkitError(
            "Sample: one with weights that differ was given, but here every model counts the same: make the Sample "
            "without weights."
        )
    return sample, number


def same_models(**columns: Floats) -> None:
    """Refuse columns of different lengths.

    Parameters
    ----------
    **columns : ndarray, shape (models, ...)
        By name, for the message.

    Raises
    ------
    EdfkitError
        If their lengths differ.
    """
    if len({len(column) for column in columns.values()}) > 1:
        sizes = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise EdfkitError(
            f"The numbers of models differ ({sizes}), but every model needs one value of each: select all in the same "
            "way."
        )


def whole(values: ArrayLike, name: str, low: int, high: float = math.inf) -> NDArray[np.int64]:
    """Return whole numbers in a range, or refuse them.

    Parameters
    ----------
    values : array_like of int, any shape
    name : str
        What the numbers are, for the message.
    low, high : int
        The smallest and the largest that is allowed.

    Returns
    -------
    ndarray of int64, shape of `values`

    Raises
    ------
    EdfkitError
        If there is none, or one is out of the range or no whole number.
    """
    numbers = np.asarray(values)
    if numbers.size == 0 or numbers.dtype.kind not in "iu" or numbers.min() < low or numbers.max() > high:
        upto = "" if high == math.inf else f" to {high:.0f}"
        raise EdfkitError(
            f"{name}: {numbers.tolist()} was given, but whole numbers from {low}{upto} are needed: correct them."
        )
    return numbers.astype(np.int64)


def share(value: float, name: str) -> float:
    """Return a number strictly between 0 and 1, or refuse it.

    Parameters
    ----------
    value : float
    name : str
        What it is, for the message.

    Returns
    -------
    float

    Raises
    ------
    EdfkitError
        If it is not between 0 and 1.
    """
    if not 0 < value < 1:
        raise EdfkitError(f"{name}: {value:g} was given, but a share between 0 and 1 is needed: divide percent by 100.")
    return float(value)
