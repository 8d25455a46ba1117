"""What several functions of arrays ask of their arguments, and the sentence that refuses anything else."""

import numpy as np
from numpy.typing import ArrayLike

from edfkit import EdfkitError
from edfkit.stats.edf import Floats


def percent(values: ArrayLike, name: str, axes: tuple[str, ...] = ("models",)) -> Floats:
    """Return errors as a float array with the given axes, or refuse them.

    Parameters
    ----------
    values : array_like, one axis for each of `axes`
        Percent, 0 to 100.
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
        If the shape is another, an axis is empty, or a value is not a number in 0..100.
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
    if table.min() < 0 or table.max() > 100:
        raise EdfkitError(
            f"{name}: values from {table.min():g} to {table.max():g} were given, but percent from 0 to 100 are needed: "
            "convert them."
        )
    return table


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
