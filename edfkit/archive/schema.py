"""What an archive holds, and the rules for it, the same before writing and when reading.

Errors are percent (0..100), `error` the smallest over the epochs; complexities are plain counts; NaN means not known.
`VARIABLES` is the format: it drives writing, reading and checking. A group may hold variables beyond it. Populations
of NAS cells are those with `op`, `input` and `concat`; what they say otherwise is in `specs`.

Format version 2 is what some population cannot do without, and has besides: models that were stopped or are running,
errors that are not known of models that diverged, any metrics, and the variable `unit`. What it says otherwise is in
`specs_2`.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.metric import ERROR, Metric

FORMAT = "edfkit"
FORMAT_VERSION = 2  # the newest; written only where it is needed
REQUIRED_ATTRS = ("title", "source", "license", "dataset", "recipe", "software", "commit", "created")


class Status(IntEnum):
    """How the training of a model ended, as the variable `status` has it."""

    FINISHED = 0
    DIVERGED = 1
    FAILED = 2
    STOPPED = 3
    RUNNING = 4


STATUS = tuple(status.name.lower() for status in Status)
"""The words of `Status`, in the order of its codes."""
STATUS_1 = STATUS[:3]
"""Those of format version 1; a population has the others only if it needs them."""
FINDINGS = ("none", "shape")
"""What is found of two populations of which none is better: no names of populations that are compared."""
# The meanings of op 0, 1, ...: part of the format, as archives hold the codes; other names are another format version.
OPS = (
    "none",
    "skip_connect",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "dil_sep_conv_3x3",
    "conv_1x1",
    "conv_3x3",
    "conv_3x1_1x3",
    "conv_7x1_1x7",
)
KINDS = ("normal", "reduce")  # the meanings of 0, 1 along `cell`

_INTEGER, _REAL, _NUMBER, _SMALL, TEXT = ("<i8",), ("<f8",), ("<i8", "<f8"), ("|i1",), ("|S1",)
_MODEL, _STAGE, _EPOCH = ("model",), ("model", "stage"), ("model", "epoch")
_NODE, _OPERAND = ("model", "cell", "node"), ("model", "cell", "node", "operand")
_LENGTHS = {"cell": len(KINDS), "operand": 2}  # of the dimensions that have one length in every population
_KINDS = "cells: 0 normal, 1 reduce"
_INPUTS = "0 output of the cell before the last, 1 of the last, 2 + i node i"
_LARGEST = sys.float_info.max  # as a bound: any finite number
_LABEL, _FAILED = 200, (Status.FAILED,)


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
    flags : tuple of str
        The meanings of the values 0, 1, ..., each a word; empty where the values are no codes.
    lacking : tuple of Status
        How a model must have ended for NaN to be allowed, where `nan` is not.
    """

    dims: tuple[str, ...]
    types: tuple[str, ...]
    units: str
    long_name: str
    low: float = 0.0
    high: float = _LARGEST
    nan: bool = False
    required: bool = False
    flags: tuple[str, ...] = ()
    lacking: tuple[Status, ...] = ()


def _coded(dims: tuple[str, ...], long_name: str, flags: tuple[str, ...], required: bool = False) -> Spec:
    """Specify a variable of codes, the places in `flags`."""
    return Spec(dims, _SMALL, "1", long_name, high=len(flags) - 1, required=required, flags=flags)


VARIABLES: dict[str, Spec] = {
    "id": Spec(_MODEL, TEXT, "1", "identifier, unique in the population", required=True),
    "error": Spec(
        _MODEL, _REAL, "percent", "top-1 test error, smallest over the epochs", 0, 100, required=True, lacking=_FAILED
    ),
    "error_final": Spec(_MODEL, _REAL, "percent", "top-1 test error after the last epoch", 0, 100, True, True),
    "params": Spec(_MODEL, _NUMBER, "1", "trained parameters", nan=True, required=True),
    "macs": Spec(_MODEL, _NUMBER, "1", "multiply-adds of one forward pass", nan=True, required=True),
    "flops": Spec(_MODEL, _NUMBER, "1", "flops as published, by the source's own count", nan=True, required=True),
    "acts": Spec(_MODEL, _NUMBER, "1", "activations: elements output by the convolutions", nan=True, required=True),
    "seed": Spec(_MODEL, _NUMBER, "1", "seed of the training run", -_LARGEST, nan=True, required=True),
    "lr": Spec(_MODEL, _REAL, "1", "initial learning rate", nan=True, required=True),
    "wd": Spec(_MODEL, _REAL, "1", "weight decay", nan=True, required=True),
    "status": _coded(_MODEL, "how the training ended", STATUS_1, required=True),
    "seconds": Spec(_MODEL, _REAL, "s", "training time", nan=True, required=True),
    "depth": Spec(_STAGE, _INTEGER, "1", "blocks per stage"),
    "width": Spec(_STAGE, _INTEGER, "1", "channels per stage"),
    "bot_mul": Spec(_STAGE, _REAL, "1", "bottleneck multiplier per stage", nan=True),
    "groups": Spec(_STAGE, _INTEGER, "1", "convolution groups per stage"),
    "op": _coded(_OPERAND, f"op on each operand of a node; {_KINDS}", OPS),
    "input": Spec(_OPERAND, _SMALL, "1", f"operand: {_INPUTS}; {_KINDS}"),
    "concat": Spec(_NODE, _SMALL, "1", f"whether the cell's output has the node: 1 yes, 0 no; {_KINDS}", 0, 1),
    "test_error": Spec(_EPOCH, _REAL, "percent", "top-1 test error after each epoch", 0, 100, True),
    "train_error": Spec(_EPOCH, _REAL, "percent", "top-1 training error of each epoch", 0, 100, True),
    "train_loss": Spec(_EPOCH, _REAL, "nats", "training loss of each epoch", -math.inf, math.inf, True),
    "step_seconds": Spec(_MODEL, _REAL, "s", "time of one training step", nan=True),
    "memory": Spec(_MODEL, _REAL, "MB", "memory of activations, as the source measured it", nan=True),
    "record": Spec(_MODEL, TEXT, "1", "record of the source, JSON, without what the other variables hold"),
}
_CELLS = ("op", "input", "concat")
_WITH_CELLS = {
    "depth": VARIABLES["depth"]._replace(dims=_MODEL, long_name="number of cells"),
    "width": VARIABLES["width"]._replace(dims=_MODEL, long_name="channels of the first cell"),
}


UNIT = Spec(_MODEL, _INTEGER, "1", "number of what was drawn; models that share it repeat it", low=-_LARGEST)
"""Of the variable `unit`."""
STATUS_2 = VARIABLES["status"]._replace(high=len(STATUS) - 1, flags=STATUS)
"""Of `status`, where models were stopped or are running."""


class Shape(NamedTuple):
    """What the structure check looks at, of a variable to write as of one in a file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    units: object


def specs(names: Container[str]) -> dict[str, Spec]:
    """Return what format version 1 says of the variables of a population, by the names of those that it has.

    That is `VARIABLES`, except that in a population of cells `depth` and `width` are per model, not per stage.
    """
    return VARIABLES | _WITH_CELLS if any(name in names for name in _CELLS) else VARIABLES


def specs_2(attrs: Mapping[str, Mapping[str, Any]], measured: Sequence[Metric]) -> dict[str, Spec]:
    """Return what format version 2 says of the variables of a population.

    Parameters
    ----------
    attrs : mapping of str to mapping
        Its variables, with the attributes of `status`.
    measured : sequence of Metric
        Its `metrics`.
    """
    unfinished, default = tuple(Status)[1:], measured[0].name
    plain = default == ERROR.name
    found = dict(specs(attrs))
    found["error"] = found["error"]._replace(nan=not plain, required=plain, lacking=unfinished)
    found["error_final"] = found["error_final"]._replace(required=plain)
    words = " ".join(STATUS_1)
    if attrs.get("status", {}).get("flag_meanings", words) != words:
        found["status"] = STATUS_2
    if "unit" in attrs:
        found["unit"] = UNIT
    for metric in measured:
        if (name := metric.name) != ERROR.name:
            low, high = metric.low, metric.high
            least, most = -_LARGEST if low is None else low, _LARGEST if high is None else high
            of_model = Spec(_MODEL, _NUMBER, metric.unit, metric.label, least, most, True)
            found[name] = of_model._replace(nan=name != default, required=name == default, lacking=unfinished)
            found[final_of(name)] = of_model._replace(long_name=f"{metric.label} after the last epoch")
            # The curve of a run that diverged may hold infinite values.
            least, most = -math.inf if low is None else low, math.inf if high is None else high
            long_name = f"{metric.label} after each epoch"
            found[curve_of(name)] = Spec(_EPOCH, _REAL, metric.unit, long_name, least, most, True)
    return found


def needs_2(known: Container[str], measured: Sequence[Metric], columns: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether models need format version 2.

    Parameters
    ----------
    known : container of str
        What the format says of the variables of their population, see `specs_2`.
    measured : sequence of Metric
        Its `metrics`.
    columns : mapping of str to ndarray
        `status` and `error` of the models, if their population has it.
    """
    if "unit" in known or [metric.name for metric in measured] != [ERROR.name]:
        return True
    status, error = columns["status"], columns["error"]
    return bool((status > Status.FAILED).any() or (np.isnan(error) & (status != Status.FAILED)).any())


def final_of(metric: str) -> str:
    """Name the variable that holds a metric after the last epoch."""
    return f"{metric}_final"


def curve_of(metric: str) -> str:
    """Name the variable that holds a metric after each epoch."""
    return "test_error" if metric == ERROR.name else f"{metric}_curve"


def metrics(where: str, attrs: Mapping[str, Mapping[str, Any]], default: object = ERROR.name) -> list[Metric]:
    """Give the metrics of a population, the default one first and the others by name.

    Parameters
    ----------
    where : str
        What it is, for messages.
    attrs : mapping of str to mapping
        The attributes of its variables; those of variables that the format knows may be left out, except of `error`.
    default : str
        The default metric: the attribute `metric` of the population.

    Raises
    ------
    EdfkitError
        If the default metric does not exist, or an attribute of a metric cannot be what it is.
    """
    found = {}
    for name in sorted(attrs):
        if name == ERROR.name:
            found[name] = _metric(where, name, {**_OF_ERROR, "grid": attrs[name].get("grid")})
        elif name not in VARIABLES and name != "unit" and "goal" in attrs[name]:
            found[name] = _metric(where, name, attrs[name])
    for name in found:
        for derived in (final_of(name), curve_of(name)):
            if derived in found:
                raise EdfkitError(
                    f"{where}: {derived!r} has the attribute 'goal', expected none, as it belongs to the metric "
                    f"{name!r}; leave that attribute out, or rename one of them."
                )
    if not found and default == ERROR.name:
        return [ERROR]  # which is required then
    if default not in found:
        raise EdfkitError(
            f"{where} has the default metric {default!r}, expected one of the variables that are metrics, "
            f"{listed(list(found)) or 'of which it has none'}; name one of these in its attribute 'metric'."
        )
    return sorted(found.values(), key=lambda metric: metric.name != default)


_OF_ERROR = {"units": ERROR.unit, "goal": ERROR.goal}


def _metric(where: str, name: str, attrs: Mapping[str, Any]) -> Metric:
    texts = [attrs.get(key, "1" if key == "units" else name) for key in ("units", "goal", "long_name")]
    for key, text in zip(("units", "goal", "long_name"), texts, strict=True):
        if not isinstance(text, str):
            raise EdfkitError(f"{where}: the metric {name!r} has the {key} {text!r}, expected text; write it as that.")
    unit, goal, label = texts
    if name == ERROR.name:
        label = ERROR.label
    low, high, grid = (_number(where, name, attrs, key) for key in ("valid_min", "valid_max", "grid"))
    try:
        return Metric(name, unit, goal, low, high, grid, label)
    except EdfkitError as error:
        raise EdfkitError(f"{where}: the metric {name!r}: {error}") from error


def _number(where: str, name: str, attrs: Mapping[str, Any], key: str) -> float | None:
    """Read an attribute that is a finite number, if there is one."""
    value = attrs.get(key)
    if value is None:
        return None
    numbers = np.ravel(value)
    if numbers.size != 1 or numbers.dtype.kind not in "iuf" or not np.isfinite(numbers[0]):
        raise EdfkitError(
            f"{where}: the metric {name!r} has the {key} {value!r}, expected a finite number; correct it."
        )
    return float(numbers[0])


def check_root(path: object, attrs: Mapping[str, object]) -> None:
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
    _check_recipe(str(path), attrs["recipe"])


def check_group(where: str, attrs: Mapping[str, object]) -> None:
    """Check the attributes of a population that take precedence over those of the file, if it has them.

    Raises
    ------
    EdfkitError
        If `dataset` is no text, `recipe` is not JSON, or `label` is no text for people.
    """
    if not isinstance(attrs.get("dataset", ""), str):
        raise EdfkitError(f"{where}: the attribute 'dataset' is {attrs['dataset']!r}, expected text; write it as that.")
    label = attrs.get("label", "-")
    if not (isinstance(label, str) and label.isprintable() and len(label.strip()) > 0 and len(label) <= _LABEL):
        raise EdfkitError(
            f"{where}: the attribute 'label' is {label!r:.300}, expected printable text of {_LABEL} characters at "
            "most; correct it, or leave it out."
        )
    if "recipe" in attrs:
        _check_recipe(where, attrs["recipe"])


def check_labels(path: object, labels: Mapping[str, str]) -> None:
    """Check that people can tell the populations of an archive apart.

    Parameters
    ----------
    path : object
        The archive, for the message.
    labels : mapping of str to str
        Of each population its label, or its name if it has none.

    Raises
    ------
    EdfkitError
        If two have one label.
    """
    names: dict[str, str] = {}
    for name, label in labels.items():
        if label in names:
            raise EdfkitError(
                f"{path}: the populations {names[label]!r} and {name!r} are both called {label!r}, expected labels "
                "that differ; correct the attribute 'label' of one of them."
            )
        names[label] = name


def _check_recipe(where: str, recipe: object) -> None:
    try:
        json.loads(str(recipe))
    except ValueError as error:
        raise EdfkitError(
            f"{where}: the attribute 'recipe' is not JSON ({error}); write the archive with a JSON text."
        ) from error


def check_structure(where: str, shapes: Mapping[str, Shape], known: Mapping[str, Spec]) -> dict[str, int]:
    """Check the presence, types, units and shapes of a population's variables.

    Parameters
    ----------
    where : str
        What it is, for messages.
    shapes : mapping of str to Shape
        Its variables.
    known : mapping of str to Spec
        What the format says of them.

    Returns
    -------
    dict of str to int
        The size of each dimension.

    Raises
    ------
    EdfkitError
        See `check_presence`, `check_type` and `check_lengths`.
    """
    check_presence(where, shapes, known)
    sizes: dict[str, int] = {}
    for name, spec in known.items():
        if name in shapes:
            dtype, shape, units = shapes[name]
            check_type(where, name, dtype, units, spec)
            check_lengths(where, name, shape, spec, sizes)
    return sizes


def check_presence(where: str, names: Container[str], known: Mapping[str, Spec] = VARIABLES) -> None:
    """Check that a population has its variables.

    Raises
    ------
    EdfkitError
        If a required variable is missing, or one of those that describe cells if there are others of them.
    """
    required = [name for name, spec in known.items() if spec.required]
    if missing := [name for name in required if name not in names]:
        raise EdfkitError(
            f"{where} lacks {listed(missing)}; every population has {', '.join(required)} (NaN where not known): "
            "write the archive with all of them."
        )
    if (some := [name for name in _CELLS if name in names]) and len(some) < len(_CELLS):
        raise EdfkitError(f"{where} has {listed(some)}, expected all or none of {listed([*_CELLS])}; add the others.")


def check_type(where: str, name: str, dtype: np.dtype[Any], units: object, spec: Spec) -> None:
    """Check the type and units of a variable.

    Raises
    ------
    EdfkitError
        If they are not those of the format.
    """
    if dtype.kind not in {np.dtype(code).kind for code in spec.types}:
        expected = " or ".join(spec.types)
        raise EdfkitError(f"{where}: {name!r} is of type {dtype}, expected {expected}; write it as that.")
    if units != spec.units:
        raise EdfkitError(f"{where}: {name!r} has units {units!r}, expected {spec.units!r}; convert it.")


def check_lengths(where: str, name: str, shape: tuple[int, ...], spec: Spec, sizes: dict[str, int]) -> None:
    """Check the shape of a variable that the format knows, and add those of its dimensions that are not yet in `sizes`.

    Parameters
    ----------
    where, name : str
    shape : tuple of int
        As stored: text has its characters as one axis more.
    spec : Spec
    sizes : dict of str to int

    Raises
    ------
    EdfkitError
        See `check_shape`; also if what describes cells is not of 2 cells with 2 operands for each node.
    """
    if name in _WITH_CELLS and len(shape) != len(spec.dims):
        raise EdfkitError(
            f"{where}: {name!r} has shape {shape}, expected one axis for each of {spec.dims} ({spec.long_name}) "
            f"{'with' if spec.dims == _MODEL else 'without'} 'op'; write it as that."
        )
    check_shape(where, name, shape, stored_dims(name, spec.dims, np.dtype(spec.types[0])), sizes)
    for dim, length in _LENGTHS.items():
        if sizes.get(dim, length) != length:
            raise EdfkitError(
                f"{where}: {name!r} has length {sizes[dim]} along {dim!r}, expected {length}; write it with that."
            )


def check_dims(where: str, name: str, dims: tuple[str, ...], spec: Spec) -> None:
    """Check the names of a variable's dimensions.

    Raises
    ------
    EdfkitError
        If they are not those of the format, in their order.
    """
    if dims != spec.dims:
        raise EdfkitError(
            f"{where}: {name!r} has dimensions {dims}, expected {spec.dims} ({spec.long_name}); write it as that."
        )


def check_flags(where: str, name: str, attrs: Mapping[str, object], spec: Spec) -> None:
    """Check that a variable of codes says of them what the format says.

    Raises
    ------
    EdfkitError
        If its `flag_values` or `flag_meanings` are others.
    """
    for attribute, value in flag_attrs(spec).items():
        found, expected = np.asarray(attrs.get(attribute)).tolist(), np.asarray(value).tolist()
        if found != expected:
            raise EdfkitError(
                f"{where}: {name!r} has the {attribute} {found!r}, expected {expected!r}; write it with those codes."
            )


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


def check_values(
    where: str,
    name: str,
    values: NDArray[Any],
    status: Callable[[], NDArray[Any]],
    first: int = 0,
    known: Mapping[str, Spec] = VARIABLES,
) -> None:
    """Check the values of a variable; those beyond the format may be anything.

    Parameters
    ----------
    where : str
        What they belong to, for the message.
    name : str
        The variable.
    values : ndarray, shape (models, ...)
    status : callable
        Gives the status of the models; it is asked only when the variable holds NaN that some of them may have.
    first : int
        Which model of the population the first one is, for the message.
    known : mapping of str to Spec
        What the format says of the variables.

    Raises
    ------
    EdfkitError
        If a value is out of the range of its variable.
    """
    spec = known.get(name)
    wrong = out_of_range(spec, values, status)
    if spec is not None and wrong is not None and wrong.any():
        fault = range_fault(name, values, np.argwhere(wrong)[0], spec, first)
        raise EdfkitError(f"{where}: {fault}; correct the source.")


def out_of_range(
    spec: Spec | None, values: NDArray[Any], status: Callable[[], NDArray[Any]]
) -> NDArray[np.bool_] | None:
    """Tell which values of a variable are out of its range, None if it may have any; see `check_values`."""
    if spec is None or spec.types == TEXT or not values.size:
        return None
    # Nothing is wrong as a rule, and the smallest and the largest tell so at once.
    smaller, larger = (np.fmin, np.fmax) if spec.nan else (np.minimum, np.maximum)
    low, high = smaller.reduce(values, axis=None), larger.reduce(values, axis=None)
    if (low >= spec.low and high <= spec.high) or (spec.nan and np.isnan(low)):
        return None
    wrong: NDArray[np.bool_] = ~((values >= spec.low) & (values <= spec.high))  # true for NaN too
    if spec.nan:
        wrong &= ~np.isnan(values)
    elif spec.lacking and wrong.any():
        wrong &= ~(np.isnan(values) & np.isin(status(), spec.lacking))
    return wrong


def range_fault(name: str, values: NDArray[Any], place: Iterable[int], spec: Spec, first: int = 0) -> str:
    """Say in a phrase of the value at a place that it is out of range; `first` is as in `check_values`."""
    model, *rest = map(int, place)
    low, high = (f"{end:g}" if abs(end) < _LARGEST else "" for end in (spec.low, spec.high))
    if low and high:
        expected = f"{low}..{high}"
    else:
        expected = "a finite number" + (f", {low} or more" if low else f", {high} at most" if high else "")
    if spec.lacking:
        unit = "" if spec.units == "1" else f" {spec.units}"
        who = "failed model" if spec.lacking == _FAILED else "model that did not finish"
        expected += f"{unit} (NaN only for a {who})"
    return f"{name!r} of model {first + model} is {values[(model, *rest)]}, expected {expected}"


class Ids:
    """The ids of a population, of which a hash of 8 bytes each is kept, to find those that stand for two models.

    Parameters
    ----------
    models : int
        How many ids there will be.
    """

    def __init__(self, models: int) -> None:
        self._hashes = np.empty(models, np.uint64)
        self._count = 0

    def add(self, characters: NDArray[np.bytes_]) -> None:
        """Take the ids of the next models.

        Parameters
        ----------
        characters : ndarray of S1, shape (models, characters)
            In UTF-8, padded with NUL.
        """
        self._hashes[self._count : self._count + len(characters)] = hashed(characters)
        self._count += len(characters)

    def repeated(self, again: Callable[[], Iterable[NDArray[np.bytes_]]]) -> dict[str, int]:
        """Count the models of each id that stands for several.

        Parameters
        ----------
        again : callable
            Gives what was added once more; it is called only if hashes are equal, to look at the ids themselves.

        Returns
        -------
        dict of str to int
            In the order in which they were added.
        """
        hashes = self._hashes[: self._count]
        hashes.sort()
        equal = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        if not equal.size:
            return {}
        counts: Counter[bytes] = Counter()
        for characters in again():
            of_equal = np.ascontiguousarray(characters[np.isin(hashed(characters), equal)])
            counts.update(of_equal.view(f"S{characters.shape[1]}")[:, 0].tolist())
        return {name.decode(): count for name, count in counts.items() if count > 1}

    def check(self, where: str, again: Callable[[], Iterable[NDArray[np.bytes_]]]) -> None:
        """Check that they differ.

        Parameters
        ----------
        where : str
            What they belong to, for the message.
        again : callable
            See `repeated`.

        Raises
        ------
        EdfkitError
            If an id stands for two models.
        """
        for twice, times in self.repeated(again).items():
            raise EdfkitError(
                f"{where}: the id {twice!r} stands for {times} models, expected one; give each its own id."
            )


def hashed(characters: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Give a hash of each row of characters, the same however many NUL pad it."""
    words = -(-characters.shape[1] // 8)
    padded = np.zeros((len(characters), words * 8), "S1")
    padded[:, : characters.shape[1]] = characters
    hashes = np.zeros(len(characters), np.uint64)
    # From the last word to the first, by the finalizer of splitmix64, which keeps 0: padding changes nothing.
    for word in padded.view("<u8").T[::-1]:
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + word
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            hashes ^= hashes >> np.uint64(shift)
            hashes *= np.uint64(factor)
        hashes ^= hashes >> np.uint64(31)
    return hashes


def row_hashes(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.uint64]:
    """Give a hash of all values of each model; there is at least one column."""
    hashes = np.zeros(len(next(iter(columns.values()))), np.uint64)
    for _, values in sorted(columns.items()):
        stored: NDArray[Any] = values
        if values.dtype.kind == "U":
            stored = np.char.encode(values, "utf-8")
        elif values.dtype.kind == "f":
            stored = values + 0.0  # the same bits for -0.0 as for 0.0, and then for every NaN
            stored[np.isnan(stored)] = np.nan
        characters = np.ascontiguousarray(stored.reshape(len(stored), -1)).view("S1")
        hashes = hashed(np.stack([hashes, hashed(characters)], axis=1).view("S1"))
    return hashes


def check_relations(
    where: str, columns: Mapping[str, NDArray[Any]], first: int = 0, measured: Iterable[Metric] = (ERROR,)
) -> None:
    """Check what holds between the variables of models, except that ids differ, for which there is `Ids`.

    Parameters
    ----------
    where : str
        What they belong to, for the message.
    columns : mapping of str to ndarray
        The variables, of some models of a population.
    first : int
        The place of the first of these models in the population, for the message.
    measured : iterable of Metric
        The metrics of the population.

    Raises
    ------
    EdfkitError
        If a finished model's error, or another metric of it, is not the best of its curve, within 1e-9, or a cell takes
        an input that does not come earlier or outputs no node.
    """
    for metric in measured:
        name, curve = metric.name, curve_of(metric.name)
        if name in columns and curve in columns:
            off, best = off_curve(metric, columns[name], columns[curve], columns["status"])
            if off.any():
                model = int(off.argmax())
                raise EdfkitError(
                    f"{where}: {name!r} of model {first + model} is {columns[name][model]}, expected {best[model]}, "
                    f"the {extreme(metric)} {curve!r} of its curve; correct one of them and write the archive again."
                )
    if "input" in columns:
        inputs, concat = columns["input"], columns["concat"]
        wrong = impossible_cells(inputs, concat)
        if wrong.any():
            raise EdfkitError(f"{where}: {cell_fault(inputs, concat, int(wrong.argmax()), first)}; correct the source.")


def off_curve(
    metric: Metric, values: NDArray[Any], curve: NDArray[np.float64], status: NDArray[Any], tolerance: float = 1e-9
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Tell which finished models have another value of a metric than the best of their curve, and give those best."""
    best = (np.fmin if metric.goal == "min" else np.fmax).reduce(curve, axis=1)  # NaN only where the whole curve is
    return (status == Status.FINISHED) & (np.abs(values - best) > tolerance), best


def extreme(metric: Metric) -> str:
    """Say which value of a curve is its best."""
    return "smallest" if metric.goal == "min" else "largest"


def impossible_cells(inputs: NDArray[Any], concat: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which models have a cell with a node that takes what does not come earlier, or that outputs no node."""
    later: NDArray[np.bool_] = inputs > _latest(inputs)[:, None]
    empty: NDArray[np.bool_] = (concat == 0).all(axis=2)
    return np.logical_or(later.any(axis=(1, 2, 3)), empty.any(axis=1))


def cell_fault(inputs: NDArray[Any], concat: NDArray[Any], model: int, first: int = 0) -> str:
    """Say in a phrase what is impossible in the cells of a model; `first` is as in `check_relations`."""
    latest = _latest(inputs)
    for cell, node, operand in np.argwhere(inputs[model] > latest[:, None]):
        return (
            f"'input' of model {first + model} is {inputs[model, cell, node, operand]} at operand {operand} of node "
            f"{node} of its {KINDS[cell]} cell, expected 0..{latest[node]}, what comes earlier"
        )
    kind = KINDS[int((concat[model] == 0).all(axis=1).argmax())]
    return f"'concat' of model {first + model} is 0 at every node of its {kind} cell, expected 1 at one or more"


def _latest(inputs: NDArray[Any]) -> NDArray[np.int_]:
    """Give the largest input that each node may have."""
    return 1 + np.arange(inputs.shape[2])


def flag_attrs(spec: Spec) -> dict[str, Any]:
    """Return the attributes by which CF has codes explained; none for a variable that has no codes."""
    if not spec.flags:
        return {}
    return {"flag_values": np.arange(len(spec.flags), dtype=np.int8), "flag_meanings": " ".join(spec.flags)}


def stored_dims(name: str, dims: tuple[str, ...], dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Return the dimensions that a variable is stored with: text has its characters as one more."""
    return (*dims, f"{name}_length") if dtype == "S1" else dims


def listed(names: list[str]) -> str:
    """Write names one after the other, in quotes."""
    return ", ".join(repr(name) for name in names)
