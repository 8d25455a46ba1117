"""What an archive holds, and the rules for it, the same before writing and when reading.

Errors are percent (0..100), `error` the smallest over the epochs; complexities are plain counts; NaN means not known.
`VARIABLES` is the format: it drives writing, reading and checking. A group may hold variables beyond it.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError

FORMAT = "edfkit"
FORMAT_VERSION = 1
REQUIRED_ATTRS = ("title", "source", "license", "dataset", "recipe", "software", "commit", "created")
STATUS = ("finished", "diverged", "failed")  # the meanings of status 0, 1, 2

_INTEGER, _REAL, _NUMBER, _FLAG, TEXT = ("<i8",), ("<f8",), ("<i8", "<f8"), ("|i1",), ("|S1",)
_MODEL, _STAGE, _EPOCH = ("model",), ("model", "stage"), ("model", "epoch")
_LARGEST = sys.float_info.max  # as a bound: any finite number


class Spec(NamedTuple):
    """What the format says of one variable.

    Attributes
    ----------
    dims : tuple of str
        A name for each axis.
    types : tuple of str
        Storage types; the first that holds the values exactly is used.
    units, long_name : str
    low, high : float
        Between which the values lie, ends included.
    nan : bool
        Whether NaN, not known, is allowed besides.
    required : bool
    """

    dims: tuple[str, ...]
    types: tuple[str, ...]
    units: str
    long_name: str
    low: float = 0.0
    high: float = _LARGEST
    nan: bool = False
    required: bool = False


VARIABLES: dict[str, Spec] = {
    "id": Spec(_MODEL, TEXT, "1", "identifier, unique in the population", required=True),
    "error": Spec(_MODEL, _REAL, "percent", "top-1 test error, smallest over the epochs", 0, 100, required=True),
    "error_final": Spec(_MODEL, _REAL, "percent", "top-1 test error after the last epoch", 0, 100, True, True),
    "params": Spec(_MODEL, _NUMBER, "1", "trained parameters", nan=True, required=True),
    "macs": Spec(_MODEL, _NUMBER, "1", "multiply-adds of one forward pass", nan=True, required=True),
    "flops": Spec(_MODEL, _NUMBER, "1", "flops as published, by the source's own count", nan=True, required=True),
    "acts": Spec(_MODEL, _NUMBER, "1", "activations: elements output by the convolutions", nan=True, required=True),
    "seed": Spec(_MODEL, _NUMBER, "1", "seed of the training run", -_LARGEST, nan=True, required=True),
    "lr": Spec(_MODEL, _REAL, "1", "initial learning rate", nan=True, required=True),
    "wd": Spec(_MODEL, _REAL, "1", "weight decay", nan=True, required=True),
    "status": Spec(_MODEL, _FLAG, "1", "how the training ended", 0, len(STATUS) - 1, required=True),
    "seconds": Spec(_MODEL, _REAL, "s", "training time", nan=True, required=True),
    "depth": Spec(_STAGE, _INTEGER, "1", "blocks per stage"),
    "width": Spec(_STAGE, _INTEGER, "1", "channels per stage"),
    "bot_mul": Spec(_STAGE, _REAL, "1", "bottleneck multiplier per stage", nan=True),
    "groups": Spec(_STAGE, _INTEGER, "1", "convolution groups per stage"),
    "test_error": Spec(_EPOCH, _REAL, "percent", "top-1 test error after each epoch", 0, 100, True),
    "train_error": Spec(_EPOCH, _REAL, "percent", "top-1 training error of each epoch", 0, 100, True),
    "train_loss": Spec(_EPOCH, _REAL, "nats", "training loss of each epoch", -math.inf, math.inf, True),
}
_REQUIRED = [name for name, spec in VARIABLES.items() if spec.required]


class Shape(NamedTuple):
    """What the structure check looks at, of a variable to write as of one in a file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    units: object


def check_root(path: Path, attrs: Mapping[str, object]) -> None:
    """Check the attributes of the file.

    Raises
    ------
    EdfkitError
        If one of `REQUIRED_ATTRS` is missing or no text, or the recipe is not JSON.
    """
    for name in REQUIRED_ATTRS:
        if not isinstance(attrs.get(name), str):
            raise EdfkitError(
                f"{path}: the attribute {name!r} is missing or no text, expected text in each of "
                f"{', '.join(REQUIRED_ATTRS)}; write the archive with it."
            )
    try:
        json.loads(str(attrs["recipe"]))
    except ValueError as error:
        raise EdfkitError(
            f"{path}: the attribute 'recipe' is not JSON ({error}); write the archive with a JSON text."
        ) from error


def check_structure(where: str, shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Check the presence, types, units and shapes of a population's variables.

    Returns
    -------
    dict of str to int
        The size of each dimension.

    Raises
    ------
    EdfkitError
        If a required variable is missing, has another type or other units, or lengths disagree.
    """
    if missing := [name for name in _REQUIRED if name not in shapes]:
        raise EdfkitError(
            f"{where} lacks {listed(missing)}; every population has {', '.join(_REQUIRED)} (NaN where not known): "
            "write the archive with all of them."
        )
    sizes: dict[str, int] = {}
    for name, spec in VARIABLES.items():
        if name in shapes:
            dtype, shape, units = shapes[name]
            if dtype.kind not in {np.dtype(code).kind for code in spec.types}:
                expected = " or ".join(spec.types)
                raise EdfkitError(f"{where}: {name!r} is of type {dtype}, expected {expected}; write it as that.")
            if units != spec.units:
                raise EdfkitError(f"{where}: {name!r} has units {units!r}, expected {spec.units!r}; convert it.")
            check_shape(where, name, shape, stored_dims(name, spec.dims, dtype), sizes)
    return sizes


def check_shape(where: str, name: str, shape: tuple[int, ...], dims: tuple[str, ...], sizes: dict[str, int]) -> None:
    """Check a variable's shape against its dimensions, and add those that are not yet in `sizes`.

    Raises
    ------
    EdfkitError
        If an axis has no dimension, another length than others have along it, or length 0.
    """
    if not dims or len(shape) != len(dims) or len(set(dims)) < len(dims):
        raise EdfkitError(
            f"{where}: {name!r} has shape {shape}, expected one axis for each of {dims}; write it as that."
        )
    for dim, size in zip(dims, shape, strict=True):
        if size == 0:
            raise EdfkitError(f"{where}: {name!r} has length 0 along {dim!r}, expected 1 or more; leave it out.")
        if sizes.setdefault(dim, size) != size:
            raise EdfkitError(
                f"{where}: {name!r} has length {size} along {dim!r}, expected {sizes[dim]} as others have; "
                "write all with one length."
            )


def check_name(where: str, what: str, name: str, pattern: str = r"[A-Za-z][A-Za-z0-9_]{0,99}") -> None:
    """Check the name of something.

    Raises
    ------
    EdfkitError
        If it does not match the pattern.
    """
    if not re.fullmatch(pattern, name):
        raise EdfkitError(f"{where}: {what} cannot be called {name!r}, expected a name like {pattern}; rename it.")


def check_values(where: str, name: str, values: NDArray[Any], status: Callable[[], NDArray[Any]]) -> None:
    """Check the values of a variable; those beyond the format may be anything.

    Parameters
    ----------
    where : str
        What they belong to, for the message.
    name : str
        The variable.
    values : ndarray, shape (models, ...)
    status : callable
        Gives the status of the models; it is asked only when `error` holds NaN, which failed models alone may have.

    Raises
    ------
    EdfkitError
        If a value is out of the range of its variable.
    """
    spec = VARIABLES.get(name)
    if spec is None or spec.types == TEXT:
        return
    bad = ~((values >= spec.low) & (values <= spec.high))  # true for NaN too
    if spec.nan:
        bad &= ~np.isnan(values)
    elif name == "error" and bad.any():
        bad &= ~(np.isnan(values) & (status() == STATUS.index("failed")))
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        expected = f"{spec.low:g}..{spec.high:g}" if spec.high < _LARGEST else "a finite number"
        if spec.low == 0 and spec.high == _LARGEST:
            expected += ", 0 or more"
        if name == "error":
            expected += " percent (NaN only for a failed model)"
        raise EdfkitError(
            f"{where}: {name!r} of model {place[0]} is {values[place]}, expected {expected}; correct the source."
        )


def check_relations(where: str, columns: Mapping[str, NDArray[Any]]) -> None:
    """Check what holds between a population's variables.

    Raises
    ------
    EdfkitError
        If an id stands for two models, or a finished model's error is not the smallest of its curve, within 1e-9.
    """
    names, counts = np.unique(columns["id"], return_counts=True)
    if counts.max() > 1:
        twice = str(names[counts.argmax()])
        raise EdfkitError(
            f"{where}: the id {twice!r} stands for {counts.max()} models, expected one; give each its own id."
        )
    if "test_error" in columns:
        best = np.fmin.reduce(columns["test_error"], axis=1)  # NaN only where the whole curve is
        off = (columns["status"] == STATUS.index("finished")) & (np.abs(columns["error"] - best) > 1e-9)
        if off.any():
            model = int(off.argmax())
            raise EdfkitError(
                f"{where}: 'error' of model {model} is {columns['error'][model]}, expected {best[model]}, the smallest "
                "'test_error' of its curve; correct one of them and write the archive again."
            )


def stored_dims(name: str, dims: tuple[str, ...], dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Return the dimensions that a variable is stored with: text has its characters as one more."""
    return (*dims, f"{name}_length") if dtype == "S1" else dims


def listed(names: list[str]) -> str:
    """Write names one after the other, in quotes."""
    return ", ".join(repr(name) for name in names)
