"""Archives: one HDF5 file in netCDF-4 layout, with one group per population and one row per trained model.

Errors are percent (0..100), `error` the smallest over the epochs; complexities are plain counts; NaN means not known.
`VARIABLES` is the format: it drives writing, reading and checking. A group may hold variables beyond it.

Every byte that carries meaning lies under a checksum. Values have Fletcher32, so text is stored as fixed-width
characters: neither gzip nor checksums reach HDF5's variable-length data. The metadata have HDF5's own checksums, which
only the file layout of HDF5 1.10 and later has throughout.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.files import replacing

if TYPE_CHECKING:
    import xarray

FORMAT = "edfkit"
FORMAT_VERSION = 1
REQUIRED_ATTRS = ("title", "source", "license", "dataset", "recipe", "software", "commit", "created")
STATUS = ("finished", "diverged", "failed")  # the meanings of status 0, 1, 2

_INTEGER, _REAL, _NUMBER, _FLAG, _TEXT = ("<i8",), ("<f8",), ("<i8", "<f8"), ("|i1",), ("|S1",)
_MODEL, _STAGE, _EPOCH = ("model",), ("model", "stage"), ("model", "epoch")
_LARGEST = sys.float_info.max  # as a bound: any finite number
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHUNK_BYTES = 2**20
# HDF5 keeps attributes up to 64 KiB in the object header, under its checksum. An object with more than 8 of them moves
# them to a heap, which leaves those above 4 KiB unchecked; the root is created so that it never does (see `_image`).
_ROOT_ATTR_BYTES, _ATTR_BYTES = 60_000, 4_000
_HIDDEN_ATTRS = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST")  # netCDF's own; the others start with `_`
_BARE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable."


class Spec(NamedTuple):
    """What the format says of one variable.

    `types` are the storage types, the first that holds the values exactly is used; values lie within `low`..`high`.
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
    "id": Spec(_MODEL, _TEXT, "1", "identifier, unique in the population", required=True),
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


@dataclass(frozen=True)
class Variable:
    """Values with dimensions and attributes, for a variable that `VARIABLES` does not know.

    Parameters
    ----------
    values : array_like
        Numbers or text.
    dims : tuple of str, optional
        One name per axis; deduced from the shape when left out.
    attrs : mapping, optional
        Attributes such as `units` ("1" when left out) and `long_name` (the variable's name when left out).
    """

    values: ArrayLike
    dims: tuple[str, ...] | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)


class _Shape(NamedTuple):
    """What the structure check looks at, of a variable to write as of one in a file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    units: object


# --- The rules, the same before writing and when reading


def _check_root(path: Path, attrs: Mapping[str, object]) -> None:
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


def _check_structure(where: str, shapes: Mapping[str, _Shape]) -> dict[str, int]:
    """Check the variables' presence, types, units and shapes, and return the size of each dimension."""
    if missing := [name for name in _REQUIRED if name not in shapes]:
        raise EdfkitError(
            f"{where} lacks {_listed(missing)}; every population has {', '.join(_REQUIRED)} (NaN where not known): "
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
            _measure(where, name, shape, _stored_dims(name, spec.dims, dtype), sizes)
    return sizes


def _measure(where: str, name: str, shape: tuple[int, ...], dims: tuple[str, ...], sizes: dict[str, int]) -> None:
    """Check a shape against its dimensions, and add those not yet in `sizes`."""
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


def _check_name(where: str, what: str, name: str, pattern: str = r"[A-Za-z][A-Za-z0-9_]{0,99}") -> None:
    if not re.fullmatch(pattern, name):
        raise EdfkitError(f"{where}: {what} cannot be called {name!r}, expected a name like {pattern}; rename it.")


def _check_values(where: str, name: str, values: NDArray[Any], status: Callable[[], NDArray[Any]]) -> None:
    """Check one variable's values; `status` is asked only when `error` holds NaN."""
    spec = VARIABLES.get(name)
    if spec is None or spec.types == _TEXT:
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


def _check_relations(where: str, columns: Mapping[str, NDArray[Any]]) -> None:
    """Check what holds between values: ids are unique, a finished model's error is the smallest of its curve."""
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


def _stored_dims(name: str, dims: tuple[str, ...], dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Text has its characters as one more dimension."""
    return (*dims, f"{name}_length") if dtype == "S1" else dims


def _decoded(values: NDArray[Any]) -> NDArray[Any]:
    """Text from its stored characters; numbers as they are."""
    if values.dtype != "S1":
        return values
    return np.char.decode(np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0], "utf-8")


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


# --- Writing


def write(
    path: str | os.PathLike[str],
    populations: Mapping[str, Mapping[str, ArrayLike | Variable]],
    attrs: Mapping[str, str],
    group_attrs: Mapping[str, Mapping[str, str | int | float]] | None = None,
) -> None:
    """Write an archive, whole or not at all; the same input gives the same bytes.

    The file is written and checked under a temporary name in the same folder, then renamed; after any failure the old
    file, if there was one, is as it was.

    Parameters
    ----------
    path : path-like
        The file to write or replace.
    populations : mapping of str to mapping of str to array_like or Variable
        The variables of each population, by its name (lower-case letters, digits, `-`, `_`, `.`). Those of `VARIABLES`
        have its shapes; others get their dimensions by `Variable`, or deduced from their shape.
    attrs : mapping of str to str
        The root attributes: all of `REQUIRED_ATTRS` (`recipe` is JSON), and any others.
    group_attrs : mapping of str to mapping, optional
        Attributes of each population.

    Raises
    ------
    EdfkitError
        If the input breaks a rule of the format or the file cannot be written.
    """
    path = Path(path)
    root = {"format": FORMAT, "format_version": FORMAT_VERSION}
    root |= {name: attrs[name] for name in sorted(attrs) if name not in root}
    _check_root(path, root)
    _check_attrs(str(path), root, _ROOT_ATTR_BYTES)
    if not populations:
        raise EdfkitError(f"{path}: there are no populations to write, expected at least one; give it.")
    group_attrs = group_attrs or {}
    if unknown := sorted(set(group_attrs) - set(populations)):
        raise EdfkitError(
            f"{path}: attributes are given for {_listed(unknown)}, which is no population to write; correct it."
        )
    groups: dict[str, dict[str, Variable]] = {}
    for name in sorted(populations):
        where = _where(path, name)
        _check_name(str(path), "a population", name, r"[a-z0-9][a-z0-9._-]{0,99}")
        _check_attrs(where, group_attrs.get(name, {}))
        groups[name] = _columns(where, populations[name])
    try:
        image = _image(root, groups, group_attrs)
    except MemoryError as error:
        raise EdfkitError(
            f"{path} was not written: there is not enough memory to build it; write it in parts."
        ) from error
    _replace(path, image)


def _columns(where: str, given: Mapping[str, ArrayLike | Variable]) -> dict[str, Variable]:
    """Bring a population's variables into the form they are stored in, and check them."""
    columns: dict[str, Variable] = {}
    for name in [*(name for name in VARIABLES if name in given), *sorted(set(given) - set(VARIABLES))]:
        value = given[name]
        variable = value if isinstance(value, Variable) else Variable(value)
        spec = VARIABLES.get(name)
        _check_name(where, "a variable", name)
        if spec and variable.dims not in (None, spec.dims):
            raise EdfkitError(f"{where}: {name!r} has dimensions {variable.dims}, expected {spec.dims}; transpose it.")
        values = _stored(where, name, variable.values, spec.types if spec else None)
        attrs: dict[str, Any] = {"units": spec.units if spec else "1", "long_name": spec.long_name if spec else name}
        if name == "status":
            attrs |= {"flag_values": np.arange(len(STATUS), dtype=np.int8), "flag_meanings": " ".join(STATUS)}
        attrs |= variable.attrs
        _check_attrs(f"{where}: {name!r}", attrs)
        if values.dtype == "S1":
            attrs["_Encoding"] = "utf-8"
        columns[name] = Variable(values, spec.dims if spec else variable.dims, attrs)

    arrays = {name: np.asarray(column.values) for name, column in columns.items()}
    sizes = _check_structure(where, {n: _Shape(a.dtype, a.shape, columns[n].attrs["units"]) for n, a in arrays.items()})
    for name, array in arrays.items():
        dims = columns[name].dims or _deduced_dims(where, name, array, sizes)
        stored_dims = _stored_dims(name, dims, array.dtype)
        for dim in dims:
            _check_name(f"{where}: {name!r}", "a dimension", dim)
        _measure(where, name, array.shape, stored_dims, sizes)
        columns[name] = Variable(array, stored_dims, columns[name].attrs)
    for name, column in columns.items():
        if name in sizes and column.dims != (name,):
            raise EdfkitError(f"{where}: {name!r} is a dimension and a variable not along it; rename one of them.")

    values_of = {name: _decoded(array) for name, array in arrays.items()}
    for name, values in values_of.items():
        _check_values(where, name, values, lambda: values_of["status"])
    _check_relations(where, values_of)
    return columns


def _stored(where: str, name: str, values: ArrayLike, types: tuple[str, ...] | None) -> NDArray[Any]:
    """Convert values to the first storage type that holds them exactly (`types` None: to their own)."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
            array = array.astype(str)
        if array.dtype.kind == "U":
            text = np.char.encode(array, "utf-8")
            return _exact(np.ascontiguousarray(text).view("S1").reshape(*text.shape, text.itemsize), types or _TEXT)
        kind, size = array.dtype.kind, array.dtype.itemsize
        own = {"b": "|i1", "i": f"<i{size}", "u": f"<u{size}", "f": "<f4" if size == 4 else "<f8"}
        return _exact(array, types or (own[kind],))
    except (ValueError, TypeError, KeyError) as error:
        expected = " or ".join(types or ("numbers", "text")).replace("|S1", "text")
        raise EdfkitError(f"{where}: {name!r} cannot be stored exactly as {expected} ({error}); convert it.") from error


def _exact(array: NDArray[Any], types: tuple[str, ...]) -> NDArray[Any]:
    for code in types:
        if (array.dtype == "S1") == (code == "|S1") and np.can_cast(array.dtype, code, "same_kind"):
            with np.errstate(over="ignore", invalid="ignore"):
                cast = array.astype(code)
                exact = (cast == array) & (cast.astype(array.dtype) == array) | (array != array)
            if exact.all():  # else cast has rounded or wrapped: 256 would become status 0
                return cast
    raise TypeError(f"it is of type {array.dtype}")


def _deduced_dims(where: str, name: str, array: NDArray[Any], sizes: Mapping[str, int]) -> tuple[str, ...]:
    shape = array.shape[:-1] if array.dtype == "S1" else array.shape
    second = [dim for dim in ("stage", "epoch") if shape[1:] == (sizes.get(dim),)]
    if shape[:1] != (sizes["model"],) or len(second) != len(shape) - 1:
        raise EdfkitError(
            f"{where}: the dimensions of {name!r}, of shape {shape}, are unclear; give Variable(values, dims)."
        )
    return ("model", *second)


def _check_attrs(where: str, attrs: Mapping[str, object], limit: int = _ATTR_BYTES) -> None:
    for name, value in attrs.items():
        _check_name(where, "an attribute", name, rf"(?!{'|'.join(_HIDDEN_ATTRS)})[A-Za-z][A-Za-z0-9_.-]{{0,99}}")
        try:
            size = _attribute(value).nbytes
        except (ValueError, TypeError) as error:
            raise EdfkitError(
                f"{where}: the attribute {name!r} is {error}, expected text or numbers; convert it."
            ) from error
        if size > limit:
            raise EdfkitError(
                f"{where}: the attribute {name!r} has {size} bytes, expected {limit} at most; shorten it."
            )


def _attribute(value: object) -> NDArray[Any]:
    """Give an attribute its stored form: text of fixed length, because variable-length text has no checksum."""
    if isinstance(value, str):
        data = value.encode("utf-8")
        if b"\0" in data:
            raise ValueError("text with a NUL character")
        # One character alone would be read as bytes by h5netcdf, and HDF5 has no text of length 0.
        return np.array(data, dtype=h5py.string_dtype("utf-8", max(2, len(data))))
    numbers = np.atleast_1d(np.asarray(value))
    if numbers.dtype.kind not in "iuf" or numbers.ndim != 1 or numbers.size == 0:
        raise TypeError("neither text nor numbers")
    return numbers


def _image(
    root: Mapping[str, object],
    groups: Mapping[str, Mapping[str, Variable]],
    group_attrs: Mapping[str, Mapping[str, object]],
) -> bytes:
    """Build the file in memory, where a full disk cannot leave HDF5 with a file that it cannot close."""
    import h5netcdf  # here because reading does without it

    buffer = io.BytesIO()
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, buffer)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    order = h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED
    creation.set_link_creation_order(order)
    creation.set_attr_creation_order(order)
    creation.set_attr_phase_change(65_535, 0)  # the root keeps all its attributes in its header, under the checksum
    creation.set_obj_track_times(False)
    with (
        h5py.File(h5py.h5f.create(b"archive", h5py.h5f.ACC_TRUNC, creation, access)) as raw,
        h5netcdf.File(raw, "w") as file,
    ):
        for key, value in root.items():
            file.attrs[key] = _attribute(value)
        for name, columns in groups.items():
            group = file.create_group(name)
            for key, value in sorted(group_attrs.get(name, {}).items()):
                group.attrs[key] = _attribute(value)
            shapes = [zip(column.dims or (), np.shape(column.values), strict=True) for column in columns.values()]
            group.dimensions = {dim: size for shape in shapes for dim, size in shape}
            for variable, column in columns.items():
                array = np.asarray(column.values)
                rows = max(1, _CHUNK_BYTES // (array.nbytes // len(array)))
                created = group.create_variable(
                    variable,
                    column.dims,
                    array.dtype,
                    array,
                    chunks=(min(rows, len(array)), *array.shape[1:]),
                    compression="gzip",
                    shuffle=True,
                    fletcher32=True,
                )
                for key, value in column.attrs.items():
                    created.attrs[key] = _attribute(value)
    return buffer.getvalue()


def _replace(path: Path, image: bytes) -> None:
    """Put the image under its final name once it has been read back without fault."""
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(image)
            try:
                validate(temporary)
            except EdfkitError as error:
                raise EdfkitError(f"{path} was not written: read back, it failed ({error}); check the disk.") from error
    except OSError as error:
        raise EdfkitError(
            f"{path} was not written ({error.strerror or error}); check that its folder takes {len(image)} more bytes."
        ) from error


# --- Reading


def _where(path: Path, name: str) -> str:
    return f"{path}: population {name!r}"


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turn whatever h5py raises on a damaged file, which may be any exception, into one sentence."""
    try:
        yield
    except EdfkitError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise EdfkitError(
            f"{what} cannot be read: it is incomplete or fails a checksum ({reason}); download or write it again."
        ) from error


def _open(path: Path) -> h5py.File:
    try:
        if not path.exists():
            raise EdfkitError(
                f"{path} does not exist, expected an edfkit archive; correct the path or download the archive."
            )
        if path.is_dir():
            raise EdfkitError(f"{path} is a folder, expected an edfkit archive; give the path of the file in it.")
        if not path.is_file():
            raise EdfkitError(f"{path} is not a regular file, expected an edfkit archive; save it to a file first.")
        with open(path, "rb") as file:
            head = file.read(len(_SIGNATURE))
    except EdfkitError:
        raise
    except (OSError, ValueError) as error:
        raise EdfkitError(
            f"{str(path)!r} cannot be opened ({error}), expected an edfkit archive; check the path and its rights."
        ) from error
    if not head:
        raise EdfkitError(f"{path} is empty, expected an edfkit archive; download it or write it again.")
    if head != _SIGNATURE:
        raise EdfkitError(f"{path} is not an HDF5 file, expected an edfkit archive; import other data first.")
    with _reading(str(path)):
        return h5py.File(path, "r")


def _attrs(item: h5py.HLObject) -> dict[str, Any]:
    """Read the attributes, text as str, without those that netCDF keeps for itself."""
    attrs: dict[str, Any] = {}
    for name in item.attrs:
        if name.startswith("_") or name in _HIDDEN_ATTRS:
            continue
        value = item.attrs[name]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(())[()]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        attrs[name] = value.item() if isinstance(value, np.generic) else value
    return attrs


def _shapes(group: h5py.Group) -> dict[str, _Shape]:
    shapes: dict[str, _Shape] = {}
    for name in group:  # not items(), which gives None for what is damaged
        item, known = group[name], name in VARIABLES
        if isinstance(item, h5py.Dataset) and (known or not item.attrs.get("NAME", b"").startswith(_BARE_DIMENSION)):
            units = item.attrs.get("units") if known else None
            shapes[name] = _Shape(item.dtype, item.shape, units.decode() if isinstance(units, bytes) else units)
    return shapes


def _is_whole(dataset: h5py.Dataset) -> bool:
    """Tell whether every value is stored: HDF5 reads absent ones as zeros, and a huge shape would take all memory."""
    if dataset.chunks is None:
        return bool(dataset.id.get_storage_size() >= dataset.nbytes)
    chunks = (-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    return bool(dataset.id.get_num_chunks() == math.prod(chunks))


def _dims(group: h5py.Group) -> dict[str, tuple[str, ...]]:
    """Read the dimensions of each variable, from the list that each dimension keeps of the axes along it.

    netCDF's own readers go by the lists that the variables keep (DIMENSION_LIST). Those are variable-length data, the
    one part without checksums: HDF5 2.0 was seen to hang on a damaged one.
    """
    axes: dict[str, dict[int, str]] = {}
    items = {name: group[name] for name in group}
    names = {
        h5py.h5o.get_info(item.id).addr: name for name, item in items.items()
    }  # h5r.get_name searches the whole file
    for dim, scale in items.items():
        if scale.attrs.get("CLASS") == b"DIMENSION_SCALE":
            axes.setdefault(dim, {})[0] = dim
            for reference, axis in scale.attrs.get("REFERENCE_LIST", ()):
                address = h5py.h5o.get_info(h5py.h5r.dereference(reference, group.file.id)).addr
                axes.setdefault(names.get(address, ""), {})[int(axis)] = dim  # "" if it has been deleted
    return {name: tuple(by_axis[axis] for axis in sorted(by_axis)) for name, by_axis in axes.items()}


class Archive:
    """An archive open for reading; a context manager.

    Opening checks the structure (attributes, version, variables, shapes), reading checks the values that are read.
    Population names are case-insensitive.

    Parameters
    ----------
    path : path-like
        The file.

    Attributes
    ----------
    path : Path
        The file.
    attrs : dict
        The root attributes.
    names : list of str
        The populations, sorted.

    Raises
    ------
    EdfkitError
        If there is no such file, or it is no archive, damaged, or written in a newer version of the format.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            self.attrs = self._check_root()
            with _reading(str(self.path)):
                groups = {name: self._file[name] for name in sorted(self._file)}
                self._populations = {name: _shapes(g) for name, g in groups.items() if isinstance(g, h5py.Group)}
            self.names = list(self._populations)
            if not self.names:
                raise EdfkitError(f"{self.path} holds no populations, expected at least one; write the archive again.")
            self._dims: dict[str, dict[str, tuple[str, ...]]] = {}  # of the populations asked for
            self._sizes = {name: _check_structure(_where(self.path, name), s) for name, s in self._populations.items()}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._file.close()

    def _check_root(self) -> dict[str, Any]:
        with _reading(str(self.path)):
            attrs = _attrs(self._file)
        version = attrs.get("format_version")
        if attrs.get("format") != FORMAT or not isinstance(version, int) or version < 1:
            raise EdfkitError(f"{self.path} is an HDF5 file but not an edfkit archive; import other data first.")
        if version > FORMAT_VERSION:
            raise EdfkitError(
                f"{self.path} has format version {version}, this edfkit reads up to {FORMAT_VERSION}; update edfkit."
            )
        _check_root(self.path, attrs)
        return attrs

    def _name(self, name: str) -> str:
        """Give the name as stored."""
        if not self._file:
            raise EdfkitError(f"{self.path} has been closed, expected an open archive; open it again.")
        for stored in self._populations:
            if stored.casefold() == name.casefold():
                return str(stored)
        raise EdfkitError(f"{self.path} has no population {name!r}; choose from {_listed(self.names)}.")

    def models(self, name: str) -> int:
        """Count the models of a population."""
        return self._sizes[self._name(name)]["model"]

    def dataset(self, name: str) -> str:
        """Say which images the models of a population were trained on."""
        self._name(name)
        return str(self.attrs["dataset"])

    def variables(self, name: str) -> list[str]:
        """List the variables of a population, those of the format first."""
        stored = self._populations[self._name(name)]
        return [v for v in VARIABLES if v in stored] + [v for v in stored if v not in VARIABLES]

    def group_attrs(self, name: str) -> dict[str, Any]:
        """Read the attributes of a population."""
        name = self._name(name)
        with _reading(_where(self.path, name)):
            return _attrs(self._file[name])

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population and check its values.

        Parameters
        ----------
        name, variable : str
            The population and one of its `variables`.

        Returns
        -------
        ndarray
            Units and shape as in `VARIABLES`; text as an array of str.

        Raises
        ------
        EdfkitError
            If there is no such population or variable, a checksum does not match, or a value is out of range.
        """
        name = self._name(name)
        if variable not in self._populations[name]:
            raise EdfkitError(
                f"{_where(self.path, name)} has no variable {variable!r}; choose from {_listed(self.variables(name))}."
            )
        with _reading(f"{_where(self.path, name)}: {variable!r}"):
            dataset = self._file[name][variable]
            if not _is_whole(dataset):
                raise ValueError("some values are not stored")
            values = _decoded(dataset[()])
        _check_values(_where(self.path, name), variable, values, lambda: self.read(name, "status"))
        return values

    def variable(self, name: str, variable: str) -> Variable:
        """Read one variable as `read` does, with its dimensions and attributes, as `write` takes it.

        Parameters
        ----------
        name, variable : str
            The population and one of its `variables`.

        Returns
        -------
        Variable
            `dims` has a name for each axis of `values`.
        """
        values = self.read(name, variable)
        name = self._name(name)
        where = _where(self.path, name)
        with _reading(f"{where}: {variable!r}"):
            if name not in self._dims:
                self._dims[name] = _dims(self._file[name])
            dataset = self._file[name][variable]
            stored_dims, attrs = self._dims[name].get(variable, ()), _attrs(dataset)
        _measure(where, variable, dataset.shape, stored_dims, self._sizes[name])
        dims = stored_dims[: values.ndim]
        if variable in VARIABLES and dims != VARIABLES[variable].dims:
            raise EdfkitError(
                f"{where}: {variable!r} has dimensions {dims}, expected {VARIABLES[variable].dims}; transpose it."
            )
        return Variable(values, dims, attrs)

    def to_xarray(self, name: str) -> xarray.Dataset:
        """Read a population as an `xarray.Dataset`, with the checks of `read`.

        Parameters
        ----------
        name : str
            The population.

        Returns
        -------
        xarray.Dataset
            All its variables, in memory; its attributes are those of the population.
        """
        import xarray

        columns = {v: self.variable(name, v) for v in self.variables(name)}
        return xarray.Dataset(
            {v: (c.dims, c.values, c.attrs) for v, c in columns.items()}, attrs=self.group_attrs(name)
        )


def validate(path: str | os.PathLike[str]) -> None:
    """Read everything in an archive and check it against every rule of the format.

    Beyond the checks of `Archive`: all checksums, ids unique in a population, and the error of each finished model
    equal to the smallest of its curve within 1e-9 (published records of diverged runs may deviate).

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    EdfkitError
        At the first rule that is broken.
    """
    with Archive(path) as archive:
        for name in archive.names:
            archive.group_attrs(name)
            columns = {v: np.asarray(archive.variable(name, v).values) for v in archive.variables(name)}
            _check_relations(_where(archive.path, name), columns)
