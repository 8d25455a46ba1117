"""Archives: one HDF5 file in netCDF-4 layout, with one group per population and one row per trained model.

What they hold, and the rules for it, is in `edfkit.schema`.

Every byte that reading here goes by lies under a checksum. Values have Fletcher32, so text is stored as fixed-width
characters: neither gzip nor checksums reach HDF5's variable-length data. The metadata have HDF5's own checksums, which
only the file layout of HDF5 1.10 and later has throughout. Fletcher32 covers each chunk alone and goes unharmed with a
chunk that is moved, so every variable has besides, in its attribute `crc32`, the CRC-32 of its stored values, for every
`crc32_rows` rows in C order. All that goes unharmed with what is moved as a whole; so every population, variable and
dimension has besides, in its attribute `_path`, where it belongs.

Real numbers of few decimals are stored as whole ones, as CF has it (`scale_factor`, `_FillValue` for NaN), which takes
a third of the space. Divided by a power of ten they are the same doubles again; CF's product may be off by a rounding.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.files import Disk, replacing
from edfkit.remote import Address, Blocks, is_address, open_address
from edfkit.schema import (
    FORMAT,
    FORMAT_VERSION,
    TEXT,
    VARIABLES,
    Ids,
    Shape,
    check_dims,
    check_flags,
    check_group,
    check_name,
    check_relations,
    check_root,
    check_shape,
    check_structure,
    check_values,
    flag_attrs,
    hashed,
    listed,
    specs,
    stored_dims,
)

if TYPE_CHECKING:
    import h5netcdf
    import xarray

_T = TypeVar("_T")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHUNK_BYTES = 2**20  # what HDF5 keeps at hand of a variable, so that reading on within a chunk costs nothing
_PIECE_ROWS, _PIECE_BYTES = 2**20, 2**26
# HDF5 keeps attributes up to 64 KiB in the object header, under its checksum. An object with more than 8 of them moves
# them to a heap, which leaves those above 4 KiB unchecked; the root is created so that it never does (see `_created`).
_ROOT_ATTR_BYTES, _ATTR_BYTES = 60_000, 4_000
_HIDDEN_ATTRS = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST")  # netCDF's own; the others start with `_`
_STORAGE_ATTRS = ("scale_factor", "add_offset", "crc32", "crc32_rows")  # of variables: how they are stored
_DIGESTS = 999  # at most: as an attribute they stay below 4,000 bytes
# Numbers with at most 6 decimals are told apart by the quotient as by their text, and these are what records have.
_DECIMALS = (0, 1, 2, 3, 4, 6)
_BARE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable."


@dataclass(frozen=True)
class Variable:
    """Values with dimensions and attributes, for a variable that `edfkit.schema` does not know.

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


@dataclass(frozen=True)
class Field:
    """A variable without its values: what it takes to store them bit by bit.

    Parameters
    ----------
    dtype : dtype
        As stored: `S1` for text, whole numbers for real ones that are packed.
    dims : tuple of str
        One name per axis of the values.
    shape : tuple of int
        As stored: text has its characters, in UTF-8, as one axis more.
    attrs : mapping, optional
        As those of `Variable`.
    decimals : int, optional
        Of real numbers that are packed: the values times 10**decimals are stored.
    """

    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    decimals: int | None = None

    def of(self, models: int) -> Field:
        """Give the same for another number of models; what does not run along them stays."""
        return replace(self, shape=(models, *self.shape[1:])) if self.dims[0] == "model" else self

    @property
    def type(self) -> np.dtype[Any]:
        """The type of the values as they are read."""
        return self.dtype if self.decimals is None else np.dtype("<f8")

    def holds(self, values: NDArray[np.float64]) -> bool:
        """Tell whether real values, packed like this, are stored without loss."""
        packed = None if self.decimals is None else _packed(values, self.decimals)
        return self.decimals is None or (packed is not None and packed.dtype.itemsize <= self.dtype.itemsize)


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
        The variables of each population, by its name (lower-case letters, digits, `-`, `_`, `.`). Those that
        `edfkit.schema` knows have its shapes; others get their dimensions by `Variable`, or deduced from their shape.
    attrs : mapping of str to str
        The root attributes: all of `edfkit.schema.REQUIRED_ATTRS` (`recipe` is JSON), and any others.
    group_attrs : mapping of str to mapping, optional
        Attributes of each population; `dataset` and `recipe` (JSON) take precedence over those of the root.

    Raises
    ------
    EdfkitError
        If the input breaks a rule of the format or the file cannot be written.
    """
    group_attrs = group_attrs or {}
    if unknown := sorted(set(group_attrs) - set(populations)):
        raise EdfkitError(
            f"{path}: attributes are given for {listed(unknown)}, which is no population to write; correct it."
        )
    with writing(path, attrs) as writer:
        for name in sorted(populations):
            writer.add(name, populations[name], group_attrs.get(name))


@contextmanager
def writing(path: str | os.PathLike[str], attrs: Mapping[str, str]) -> Iterator[Writer]:
    """Write an archive population by population: as `write` does, but with one of them in memory at a time.

    Parameters
    ----------
    path : path-like
        The file to write or replace; it is put in place, checked, when the block ends without an exception.
    attrs : mapping of str to str
        The root attributes, see `write`.

    Yields
    ------
    Writer
        Takes the populations.

    Raises
    ------
    EdfkitError
        See `write`; also if no population was given.
    """
    path = Path(path)
    root = _checked_root(path, attrs)
    disk: Disk | None = None
    raised: tuple[BaseException, object] | None = None  # in the caller's block, with the file that it names
    try:
        with replacing(path) as temporary:
            with Disk(temporary) as disk:
                with _created(disk, root) as file:
                    writer = Writer(path, file, disk, root)
                    try:
                        yield writer
                    except BaseException as error:
                        raised = error, getattr(error, "filename", None)
                        raise
                    writer.end()
                disk.check()
            try:
                validate(temporary)
            except EdfkitError as error:
                raise EdfkitError(f"{path} was not written: read back, it failed ({error}); check the disk.") from error
    except OSError as error:
        if raised and raised[0] is error and not (disk and disk.error):
            error.filename = raised[1]
            raise
        room = f"{disk.size} bytes and more" if disk else "new files"
        raise EdfkitError(
            f"{path} was not written ({error.strerror or error}); check that its folder takes {room}."
        ) from error


def _checked_root(path: Path, attrs: Mapping[str, object]) -> dict[str, object]:
    """Give the root attributes in order, with those of the format itself."""
    root: dict[str, object] = {"format": FORMAT, "format_version": FORMAT_VERSION}
    root |= {name: attrs[name] for name in sorted(attrs) if name not in root}
    check_root(path, root)
    _check_attrs(str(path), root, _ROOT_ATTR_BYTES)
    return root


class Writer:
    """Takes the populations of an archive, see `writing`."""

    def __init__(self, path: Path, file: h5netcdf.File, disk: Disk, root: Mapping[str, object]) -> None:
        self._path, self._file, self._disk, self._root = path, file, disk, root
        self._names: set[str] = set()
        self._begun: str | None = None  # a population that is not whole yet

    def add(
        self,
        name: str,
        columns: Mapping[str, ArrayLike | Variable],
        group_attrs: Mapping[str, str | int | float] | None = None,
    ) -> None:
        """Write a population.

        Parameters
        ----------
        name, columns, group_attrs
            Its name, variables and attributes, see `write`.

        Raises
        ------
        EdfkitError
            If they break a rule of the format.
        """
        where = self._check(name, group_attrs)
        try:
            stored = _columns(where, columns)
            sinks = self._begin(name, {variable: column for variable, (column, _) in stored.items()}, group_attrs)
            for variable, (_, values) in stored.items():
                sinks[variable].append(values)
                self._disk.check()
        except MemoryError as error:
            raise EdfkitError(
                f"{self._path} was not written: there is not enough memory to build it; write it in parts."
            ) from error
        self._finish(sinks)

    def stream(
        self,
        name: str,
        fields: Mapping[str, Field],
        blocks: Iterable[Mapping[str, ArrayLike]],
        group_attrs: Mapping[str, str | int | float] | None = None,
    ) -> None:
        """Write a population that comes in blocks of models, of which the whole need not fit in memory.

        Of each id 8 bytes are kept, of each variable 1 MiB, and besides only the block at hand.

        Parameters
        ----------
        name, group_attrs
            Its name and attributes, see `write`.
        fields : mapping of str to Field
            Its variables; `Archive.field` gives those of another population.
        blocks : iterable of mapping of str to array_like
            The values of all variables for the next models, down to the last one. Variables that do not run along the
            models are in the first block.

        Raises
        ------
        EdfkitError
            If the fields or values break a rule of the format, or do not fit each other.
        """
        where = self._check(name, group_attrs)
        fields = _checked_fields(where, fields)
        models = fields["id"].shape[0]
        sinks = self._begin(name, fields, group_attrs)
        ids, first = Ids(models), 0
        for block in blocks:
            taken = {v: f for v, f in fields.items() if first == 0 or f.dims[0] == "model"}
            stored, count = _block(where, taken, block, first)
            if first + count > models:
                raise EdfkitError(
                    f"{where}: blocks of {first + count} models came, expected {models}; count them again."
                )
            ids.add(stored["id"])
            for variable, values in stored.items():
                sinks[variable].append(values)
                self._disk.check()
            first += count
        if first != models:
            raise EdfkitError(f"{where}: blocks of {first} models came, expected {models}; count them again.")
        self._finish(sinks)
        ids.check(where, sinks["id"].pieces)

    def restate(self, attrs: Mapping[str, str]) -> None:
        """Replace root attributes, or add some: what is known only when the populations are.

        Parameters
        ----------
        attrs : mapping of str to str
            Some of the attributes that `write` takes.

        Raises
        ------
        EdfkitError
            If they break a rule of the format.
        """
        self._root = _checked_root(self._path, {**self._root, **attrs})
        for name in attrs:
            self._file.attrs[name] = _attribute(self._root[name])

    def _check(self, name: str, group_attrs: Mapping[str, object] | None) -> str:
        where = _where(self._path, name)
        check_name(str(self._path), "a population", name, r"[a-z0-9][a-z0-9._-]{0,99}")
        if name in self._names:
            raise EdfkitError(f"{where} has been written before, expected another name; join the two, or rename one.")
        _check_attrs(where, group_attrs or {})
        check_group(where, group_attrs or {})
        return where

    def _begin(
        self, name: str, fields: Mapping[str, Field], group_attrs: Mapping[str, object] | None
    ) -> dict[str, _Sink]:
        self._names.add(name)
        self._begun = name
        group = self._file.create_group(name)
        for key, value in sorted((group_attrs or {}).items()):
            group.attrs[key] = _attribute(value)
        on_disk = {variable: stored_dims(variable, column.dims, column.dtype) for variable, column in fields.items()}
        shapes = [zip(on_disk[variable], column.shape, strict=True) for variable, column in fields.items()]
        group.dimensions = {dim: size for shape in shapes for dim, size in shape}
        return {v: _Sink(group, v, on_disk[v], column) for v, column in fields.items()}

    def _finish(self, sinks: Mapping[str, _Sink]) -> None:
        for sink in sinks.values():
            sink.end()
        self._disk.check()
        self._begun = None

    def end(self) -> None:
        """Check that there is a population, and that each is whole."""
        if not self._names:
            raise EdfkitError(f"{self._path}: there are no populations to write, expected at least one; give it.")
        if self._begun:
            raise EdfkitError(f"{_where(self._path, self._begun)} was begun and not finished; write the archive again.")


class _Sink:
    """A variable in a file that takes its values piece by piece, and writes each chunk once."""

    def __init__(self, group: h5netcdf.Group, name: str, dims: tuple[str, ...], column: Field) -> None:
        rows = _power_of_two(_CHUNK_BYTES // (column.dtype.itemsize * math.prod(column.shape[1:])))
        self._length, self._chunk = column.shape[0], rows
        self._digest_rows = max(rows, 2 * _power_of_two(-(-self._length // _DIGESTS) - 1))
        self._variable = group.create_variable(
            name,
            dims,
            column.dtype,
            chunks=(min(rows, self._length), *column.shape[1:]),
            fillvalue=None if column.decimals is None else np.iinfo(column.dtype).min,
            compression="gzip",
            shuffle=True,
            fletcher32=True,
        )
        for key, value in column.attrs.items():
            self._variable.attrs[key] = _attribute(value)
        if column.decimals is not None:
            self._variable.attrs["scale_factor"] = _attribute(1 / 10**column.decimals)
        if column.dtype == "S1":
            self._variable.attrs["_Encoding"] = _attribute("utf-8")
        self._dataset: h5py.Dataset = group._h5group[name]
        self._held: list[NDArray[Any]] = []
        self._written = self._count = 0
        self._digests = _Digests(self._digest_rows)

    def append(self, values: NDArray[Any]) -> None:
        """Take the next rows, and write those that fill chunks."""
        self._held.append(values)
        self._count += len(values)
        stop = self._count if self._count == self._length else self._count // self._chunk * self._chunk
        if stop > self._written:
            held = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
            ready, rest = np.split(held, [stop - self._written])
            self._dataset[self._written : stop] = ready
            self._digests.add(ready)
            self._held, self._written = [rest.copy()], stop

    def end(self) -> None:
        """Write the digests, when all values are there."""
        self._variable.attrs["crc32"] = np.array(self._digests.all(), "<u4")
        self._variable.attrs["crc32_rows"] = _attribute(np.int64(self._digest_rows))

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Read back what was written, as stored."""
        for start in range(0, self._length, self._chunk):
            yield self._dataset[start : start + self._chunk]


class _Digests:
    """The CRC-32 of every so many rows of what is added."""

    def __init__(self, rows: int) -> None:
        self._rows, self._in_last = rows, 0
        self._digests: list[int] = []

    def add(self, values: NDArray[Any]) -> None:
        start = 0
        while start < len(values):
            if self._in_last in (0, self._rows):
                self._digests.append(0)
                self._in_last = 0
            stop = min(len(values), start + self._rows - self._in_last)
            self._digests[-1] = zlib.crc32(np.ascontiguousarray(values[start:stop]).data, self._digests[-1])
            self._in_last += stop - start
            start = stop

    def all(self) -> list[int]:
        return self._digests


def _power_of_two(number: int) -> int:
    """Give the largest power of two that is not above a number, 1 at least."""
    return 1 << (max(1, number).bit_length() - 1)


def _checked_fields(where: str, fields: Mapping[str, Field]) -> dict[str, Field]:
    """Check what is to be streamed as far as can be without its values, and put it in order."""
    known = specs(fields)
    ordered = {v: fields[v] for v in [*(v for v in VARIABLES if v in fields), *sorted(set(fields) - set(VARIABLES))]}
    for name, column in ordered.items():
        check_name(where, "a variable", name)
        spec = known.get(name)
        attrs: dict[str, Any] = {"units": spec.units if spec else "1", "long_name": spec.long_name if spec else name}
        attrs |= (flag_attrs(spec) if spec else {}) | dict(column.attrs)
        _check_attrs(f"{where}: {name!r}", attrs, reserved=_STORAGE_ATTRS)
        if spec:
            check_dims(where, name, column.dims, spec)
            check_flags(where, name, attrs, spec)
        ordered[name] = replace(column, attrs=attrs)
    sizes = check_structure(where, {v: Shape(f.type, f.shape, f.attrs["units"]) for v, f in ordered.items()})
    _check_axes(where, ordered, sizes)
    return ordered


def _check_axes(where: str, fields: Mapping[str, Field], sizes: dict[str, int]) -> None:
    for name, column in fields.items():
        on_disk = stored_dims(name, column.dims, column.dtype)
        for dim in column.dims:
            check_name(f"{where}: {name!r}", "a dimension", dim)
        check_shape(where, name, column.shape, on_disk, sizes)
    for name, column in fields.items():
        if name in sizes and stored_dims(name, column.dims, column.dtype) != (name,):
            raise EdfkitError(f"{where}: {name!r} is a dimension and a variable not along it; rename one of them.")


def _block(
    where: str, fields: Mapping[str, Field], block: Mapping[str, ArrayLike], first: int
) -> tuple[dict[str, NDArray[Any]], int]:
    """Bring a block of a stream into the form it is stored in, check it, and count its models."""
    if odd := sorted(set(fields) ^ set(block) - (set(block) - set(fields) if first else set())):
        raise EdfkitError(
            f"{where}: the block from model {first} on has {listed(sorted(block))}, expected {listed(list(fields))}: "
            f"correct {listed(odd)}."
        )
    stored: dict[str, NDArray[Any]] = {}
    values_of: dict[str, NDArray[Any]] = {}
    count = len(np.asarray(block["id"]))
    for name, column in fields.items():
        values = _stored(where, name, block[name], (column.type.str,))
        if column.dtype == "S1":
            if (missing := column.shape[-1] - values.shape[-1]) < 0:
                raise EdfkitError(
                    f"{where}: {name!r} has {values.shape[-1]} bytes, expected {column.shape[-1]} at most; widen it."
                )
            if missing:
                values = np.concatenate([values, np.zeros((*values.shape[:-1], missing), "S1")], axis=-1)
        expected = column.of(count).shape
        if values.shape != expected:
            raise EdfkitError(f"{where}: {name!r} has the shape {values.shape}, expected {expected}; write it as that.")
        stored[name] = values
        if column.dtype != "S1":
            values_of[name] = values
        if column.decimals is not None:
            packed = _packed(values, column.decimals)
            if packed is None or packed.dtype.itemsize > column.dtype.itemsize:
                raise EdfkitError(
                    f"{where}: {name!r} has values that {column.dtype} with {column.decimals} decimals does not hold; "
                    "store it as <f8."
                )
            stored[name] = _widened(packed, column.dtype)
    for name, values in values_of.items():
        check_values(where, name, values, lambda: values_of["status"], first)
    check_relations(where, {v: a for v, a in values_of.items() if fields[v].dims[0] == "model"}, first)
    return stored, count


def _packing(array: NDArray[Any]) -> tuple[NDArray[Any], int | None]:
    """Pack real numbers along two or more axes, if that loses nothing; give them with their decimals."""
    if array.dtype != "<f8" or array.ndim < 2:
        return array, None
    for decimals in _DECIMALS:
        # Some of them tell as a rule that it loses something.
        if _packed(array[:: 1 + len(array) // 64], decimals) is not None:
            packed = _packed(array, decimals)
            if packed is not None:
                return packed, decimals
    return array, None


def _packed(values: NDArray[Any], decimals: int) -> NDArray[Any] | None:
    """Give the whole numbers that stand for real ones, None if they do not stand for every one exactly."""
    unknown = np.isnan(values)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * 10**decimals)
    scaled[unknown] = 0
    largest = np.abs(scaled).max(initial=0)
    if largest > np.iinfo(np.int32).max:
        return None
    whole: NDArray[Any] = scaled.astype(np.int16 if largest <= np.iinfo(np.int16).max else np.int32)
    again = whole / float(10**decimals)
    same = (again == values) & (np.signbit(again) == np.signbit(values))  # -0.0 would come back as 0.0
    if not (same | unknown).all():
        return None
    whole[unknown] = np.iinfo(whole.dtype).min
    return whole


def _widened(packed: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    wide = packed.astype(dtype)
    wide[packed == np.iinfo(packed.dtype).min] = np.iinfo(dtype).min
    return wide


def _columns(where: str, given: Mapping[str, ArrayLike | Variable]) -> dict[str, tuple[Field, NDArray[Any]]]:
    """Bring a population's variables into the form they are stored in, and check them."""
    columns: dict[str, Variable] = {}
    known = specs(given)
    for name in [*(name for name in VARIABLES if name in given), *sorted(set(given) - set(VARIABLES))]:
        value = given[name]
        variable = value if isinstance(value, Variable) else Variable(value)
        spec = known.get(name)
        check_name(where, "a variable", name)
        if spec and variable.dims is not None:
            check_dims(where, name, variable.dims, spec)
        values = _stored(where, name, variable.values, spec.types if spec else None)
        attrs: dict[str, Any] = {"units": spec.units if spec else "1", "long_name": spec.long_name if spec else name}
        if spec:
            attrs |= flag_attrs(spec)
        attrs |= variable.attrs
        _check_attrs(f"{where}: {name!r}", attrs, reserved=_STORAGE_ATTRS)
        if spec:
            check_flags(where, name, attrs, spec)
        columns[name] = Variable(values, spec.dims if spec else variable.dims, attrs)

    arrays = {name: np.asarray(column.values) for name, column in columns.items()}
    sizes = check_structure(where, {n: Shape(a.dtype, a.shape, columns[n].attrs["units"]) for n, a in arrays.items()})
    fields = {
        name: Field(array.dtype, columns[name].dims or _deduced_dims(where, name, array, sizes), array.shape)
        for name, array in arrays.items()
    }
    _check_axes(where, fields, sizes)
    for name, array in arrays.items():
        check_values(where, name, array, lambda: arrays["status"])
    ids = Ids(len(arrays["id"]))
    ids.add(arrays["id"])
    ids.check(where, lambda: [arrays["id"]])
    check_relations(where, arrays)
    packings = {name: _packing(array) for name, array in arrays.items()}
    return {
        name: (replace(fields[name], dtype=values.dtype, attrs=columns[name].attrs, decimals=decimals), values)
        for name, (values, decimals) in packings.items()
    }


def _stored(where: str, name: str, values: ArrayLike, types: tuple[str, ...] | None) -> NDArray[Any]:
    """Convert values to the first storage type that holds them exactly (`types` None: to their own)."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
            array = array.astype(str)
        if array.dtype.kind == "U":
            try:
                text = array.astype(bytes)  # many times as fast, for ASCII
                text = text.astype(f"S{max(1, np.char.str_len(text).max(initial=0))}")
            except UnicodeEncodeError:
                text = np.char.encode(array, "utf-8")
            return _exact(np.ascontiguousarray(text).view("S1").reshape(*text.shape, text.itemsize), types or TEXT)
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


def _check_attrs(
    where: str, attrs: Mapping[str, object], limit: int = _ATTR_BYTES, reserved: tuple[str, ...] = ()
) -> None:
    for name, value in attrs.items():
        if name in reserved:
            raise EdfkitError(f"{where}: the attribute {name!r} says how values are stored; leave it out.")
        check_name(where, "an attribute", name, rf"(?!{'|'.join(_HIDDEN_ATTRS)})[A-Za-z][A-Za-z0-9_.-]{{0,99}}")
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


@contextmanager
def _created(disk: Disk, root: Mapping[str, object]) -> Iterator[h5netcdf.File]:
    """Begin a file, by way of an object that takes everything: HDF5 cannot close a file on a full disk."""
    import h5netcdf  # here because reading does without it

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, disk)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    order = h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED
    creation.set_link_creation_order(order)
    creation.set_attr_creation_order(order)
    creation.set_attr_phase_change(65_535, 0)  # the root keeps all its attributes in its header, under the checksum
    creation.set_obj_track_times(False)
    with h5py.File(h5py.h5f.create(b"archive", h5py.h5f.ACC_TRUNC, creation, access)) as raw:
        with h5netcdf.File(raw, "w") as file:
            for key, value in root.items():
                file.attrs[key] = _attribute(value)
            yield file
        raw.visititems(lambda path, item: item.attrs.create("_path", _attribute(path)))


# --- Reading


def _decoded(values: NDArray[Any]) -> NDArray[Any]:
    """Text from its stored characters; numbers as they are."""
    if values.dtype != "S1":
        return values
    text = np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0]
    return text.astype(str) if _is_ascii(values) else np.char.decode(text, "utf-8")


def _is_ascii(characters: NDArray[Any]) -> bool:
    return bool(np.ascontiguousarray(characters).view(np.uint8).max(initial=0) < 128)


class _Stored:
    """A variable in a file, with what it takes to read its values: how they are packed, and their digests."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.decimals = dataset, _decimals(dataset)
        self._fill = dataset.attrs.get("_FillValue") if self.decimals is not None else None
        self._digests = dataset.attrs.get("crc32")
        if self._digests is not None:
            self._rows = int(np.ravel(dataset.attrs["crc32_rows"])[0])
            if self._rows < 1 or np.shape(self._digests) != (-(-len(dataset) // self._rows),):
                raise ValueError("there is not a digest for each part of it")
        self._place, self._digest = 0, 0  # up to where the rows read last have which digest; -1 if it is not known

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Read some rows, text as characters, and check the digests that they complete.

        A digest is of many rows: it is checked as far as all of them are read, in turn.
        """
        if not self.dataset.shape:
            return np.asarray(self.dataset[()])
        values: NDArray[Any] = self.dataset[rows]
        if self._digests is not None:
            self._check(values, rows.start)
        if values.dtype == "S1" and not _is_ascii(values):
            _decoded(values)  # fails if it is no text
        if self.decimals is None:
            return values
        real = values / float(10**self.decimals)
        if self._fill is not None:
            real[values == self._fill] = np.nan
        return real

    def _check(self, values: NDArray[Any], start: int) -> None:
        if start != self._place:
            self._digest = -1
        place, stop = start, start + len(values)
        while place < stop:
            block = place // self._rows
            end = min(stop, (block + 1) * self._rows)
            if place == block * self._rows:
                self._digest = 0
            if self._digest >= 0:
                part = np.ascontiguousarray(values[place - start : end - start])
                self._digest = zlib.crc32(part.data, self._digest)
                whole = end == (block + 1) * self._rows or end == len(self.dataset)
                if whole and self._digest != self._digests[block]:
                    raise ValueError(f"rows {block * self._rows} to {end - 1} are not those that were written")
            place = end
        self._place = stop


def _decimals(dataset: h5py.Dataset) -> int | None:
    """Read with how many decimals a variable is packed; None if it is not."""
    if dataset.dtype.kind != "i" or "scale_factor" not in dataset.attrs:
        return None
    scale = float(np.ravel(dataset.attrs["scale_factor"])[0])
    for decimals in range(10):
        if scale == 1 / 10**decimals and "add_offset" not in dataset.attrs:
            return decimals
    raise EdfkitError(
        f"{dataset.file.filename}: {dataset.name!r} is packed by the scale_factor {scale:g}, expected 1, 0.1, 0.01, "
        "... without an add_offset; write it as real numbers."
    )


def _there(found: Mapping[str, _T | None]) -> dict[str, _T]:
    return {name: value for name, value in found.items() if value is not None}


def _where(path: Path | Address, name: str) -> str:
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


def _open(path: Path | Address) -> h5py.File:
    file: Path | Blocks = path if isinstance(path, Path) else open_address(path)
    try:
        head = _head(file) if isinstance(file, Path) else file.read(len(_SIGNATURE))
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
        return h5py.File(file, "r")


def _head(path: Path) -> bytes:
    """Read the first bytes of what may be no file."""
    if not path.exists():
        raise EdfkitError(
            f"{path} does not exist, expected an edfkit archive; correct the path, or take the name of one that edfkit "
            "datasets list shows."
        )
    if path.is_dir():
        raise EdfkitError(f"{path} is a folder, expected an edfkit archive; give the path of the file in it.")
    if not path.is_file():
        raise EdfkitError(f"{path} is not a regular file, expected an edfkit archive; save it to a file first.")
    with open(path, "rb") as file:
        return file.read(len(_SIGNATURE))


def _attrs(item: h5py.HLObject) -> dict[str, Any]:
    """Read the attributes, text as str, without those that netCDF or the writer keeps for itself."""
    attrs: dict[str, Any] = {}
    hidden = _HIDDEN_ATTRS + (_STORAGE_ATTRS if isinstance(item, h5py.Dataset) else ())
    for name in item.attrs:
        if name.startswith("_") or name in hidden:
            continue
        value = item.attrs[name]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(())[()]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        attrs[name] = value.item() if isinstance(value, np.generic) else value
    return attrs


def _items(group: h5py.Group, path: str = "") -> Iterator[tuple[str, h5py.HLObject]]:
    """Give what is in a group, by its name, and refuse what belongs elsewhere."""
    for name in group:  # not items(), which gives None for what is damaged
        item = group[name]
        written = item.attrs.get("_path", path + name)  # archives of earlier versions have none
        written = written.decode() if isinstance(written, bytes) else str(written)
        if written != path + name:
            raise ValueError(f"{path + name} is what was written as {written}")
        yield name, item


def _shapes(group: h5py.Group, population: str) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for name, item in _items(group, f"{population}/"):
        known = name in VARIABLES
        if isinstance(item, h5py.Dataset) and (known or not item.attrs.get("NAME", b"").startswith(_BARE_DIMENSION)):
            units = item.attrs.get("units") if known else None
            dtype = item.dtype if _decimals(item) is None else np.dtype("<f8")
            shapes[name] = Shape(dtype, item.shape, units.decode() if isinstance(units, bytes) else units)
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
    path : path-like, or str
        The file; or its address, as "https://example.org/archive.h5", of which only what is asked for is fetched.

    Attributes
    ----------
    path : Path or Address
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
        self.path: Path | Address = Address(path) if is_address(path) else Path(path)
        self._file = _open(self.path)
        try:
            self.attrs = self._root()
            with _reading(str(self.path)):
                groups = sorted(_items(self._file))
                self._populations = {name: _shapes(g, name) for name, g in groups if isinstance(g, h5py.Group)}
            self.names = list(self._populations)
            if not self.names:
                raise EdfkitError(f"{self.path} holds no populations, expected at least one; write the archive again.")
            self._dims: dict[str, dict[str, tuple[str, ...]]] = {}  # of the populations asked for
            self._sizes = {name: check_structure(_where(self.path, name), s) for name, s in self._populations.items()}
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

    def _root(self) -> dict[str, Any]:
        """Read the root attributes and check them."""
        with _reading(str(self.path)):
            attrs = _attrs(self._file)
        version = attrs.get("format_version")
        if attrs.get("format") != FORMAT or not isinstance(version, int) or version < 1:
            raise EdfkitError(f"{self.path} is an HDF5 file but not an edfkit archive; import other data first.")
        if version > FORMAT_VERSION:
            raise EdfkitError(
                f"{self.path} has format version {version}, this edfkit reads up to {FORMAT_VERSION}; update edfkit."
            )
        check_root(self.path, attrs)
        return attrs

    def _name(self, name: str) -> str:
        """Give the name as stored."""
        if not self._file:
            raise EdfkitError(f"{self.path} has been closed, expected an open archive; open it again.")
        for stored in self._populations:
            if stored.casefold() == name.casefold():
                return str(stored)
        raise EdfkitError(f"{self.path} has no population {name!r}; choose from {listed(self.names)}.")

    def models(self, name: str) -> int:
        """Count the models of a population."""
        return self._sizes[self._name(name)]["model"]

    def dataset(self, name: str) -> str:
        """Say which images the models of a population were trained on."""
        return str(self.group_attrs(name).get("dataset", self.attrs["dataset"]))

    def recipe(self, name: str) -> Any:
        """Read, from its JSON, the recipe by which the models of a population were trained."""
        return json.loads(str(self.group_attrs(name).get("recipe", self.attrs["recipe"])))

    def variables(self, name: str) -> list[str]:
        """List the variables of a population, those of the format first."""
        stored = self._populations[self._name(name)]
        return [v for v in VARIABLES if v in stored] + [v for v in stored if v not in VARIABLES]

    def group_attrs(self, name: str) -> dict[str, Any]:
        """Read the attributes of a population."""
        name = self._name(name)
        with _reading(_where(self.path, name)):
            attrs = _attrs(self._file[name])
        check_group(_where(self.path, name), attrs)
        return attrs

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population and check its values.

        Parameters
        ----------
        name, variable : str
            The population and one of its `variables`.

        Returns
        -------
        ndarray
            Units and shape as in `edfkit.schema.VARIABLES`; text as an array of str, `status` and `op` as codes.

        Raises
        ------
        EdfkitError
            If there is no such population or variable, a checksum does not match, or a value is out of range.
        """
        name = self._name(name)
        stored = self._stored(name, variable)
        with _reading(f"{_where(self.path, name)}: {variable!r}"):
            values = _decoded(stored[0 : self._populations[name][variable].shape[0]])
        check_values(_where(self.path, name), variable, values, lambda: self.read(name, "status"))
        return values

    def chunks(
        self, name: str, variables: Sequence[str], start: int = 0, stop: int | None = None, rows: int | None = None
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Read variables of a population piece by piece, with the checks of `read`, so that it need not fit in memory.

        Of the digests (CRC-32 of many models each) those are checked of which all models are read.

        Parameters
        ----------
        name : str
            The population.
        variables : sequence of str
            Some of its `variables` along the models.
        start, stop : int
            The models to read, from the first to before the second; to the last by default.
        rows : int, optional
            Models of a piece, at least: pieces end at multiples of it, made up to whole chunks of the file. By default
            about 64 MB, and 2**20 models at most.

        Yields
        ------
        dict of str to ndarray
            The values of each variable for the next models, as `read` gives them.

        Raises
        ------
        EdfkitError
            See `read`.
        """
        for _, piece in self._checked(name, variables, start, stop, rows):
            yield {variable: _decoded(values) for variable, values in piece.items()}

    def pieces(
        self,
        name: str,
        variables: Sequence[str],
        start: int = 0,
        stop: int | None = None,
        rows: int | None = None,
        unreadable: Callable[[EdfkitError], object] | None = None,
    ) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Read variables of a population piece by piece as `chunks` does, but of their values check nothing else.

        Parameters
        ----------
        name, variables, start, stop, rows
            As in `chunks`.
        unreadable : callable, optional
            Called with the error if a variable cannot be read, which is then left out; by default that is raised.

        Yields
        ------
        first : int
            The place of the first model of the piece.
        piece : dict of str to ndarray
            The values of each variable for the next models; text as characters (S1) in UTF-8, along one axis more.

        Raises
        ------
        EdfkitError
            If there is no such population, or see `unreadable`.
        """
        name = self._name(name)
        stop = min(self.models(name), self.models(name) if stop is None else stop)

        def tried(variable: str, action: Callable[[], _T]) -> _T | None:
            try:
                with _reading(f"{_where(self.path, name)}: {variable!r}"):
                    return action()
            except EdfkitError as error:
                if unreadable is None:
                    raise
                unreadable(error)
                return None

        stored = _there({variable: tried(variable, partial(self._stored, name, variable)) for variable in variables})
        if rows is None:
            shapes = [self._populations[name][variable] for variable in stored]
            # Text is read as characters and then decoded to 4 bytes each.
            of_a_model = sum((5 if s.dtype == "S1" else s.dtype.itemsize) * math.prod(s.shape[1:]) for s in shapes)
            rows = min(_PIECE_ROWS, _power_of_two(_PIECE_BYTES // max(1, of_a_model)))
        else:
            longest = max((s.dataset.chunks[0] for s in stored.values() if s.dataset.chunks), default=1)
            rows = -(-rows // longest) * longest
        while start < stop:
            models = slice(start, min(stop, (start // rows + 1) * rows))
            piece = _there({v: tried(v, partial(one.__getitem__, models)) for v, one in stored.items()})
            stored = {variable: stored[variable] for variable in piece}
            yield start, piece
            start = models.stop

    def _checked(
        self, name: str, variables: Sequence[str], start: int = 0, stop: int | None = None, rows: int | None = None
    ) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Read as `pieces` does, and check the values."""
        where, of_all = _where(self.path, self._name(name)), self._stored(self._name(name), "status")
        for first, piece in self.pieces(name, variables, start, stop, rows):

            def status(first: int = first, piece: dict[str, NDArray[Any]] = piece) -> NDArray[Any]:
                if "status" in piece:
                    return piece["status"]
                with _reading(f"{where}: 'status'"):
                    return of_all[first : first + len(piece["error"])]

            for variable, values in piece.items():
                check_values(where, variable, values, status, first)
            yield first, piece

    def _stored(self, name: str, variable: str) -> _Stored:
        """Find a variable that is stored whole; the population's name is given as stored."""
        if variable not in self._populations[name]:
            raise EdfkitError(
                f"{_where(self.path, name)} has no variable {variable!r}; choose from {listed(self.variables(name))}."
            )
        with _reading(f"{_where(self.path, name)}: {variable!r}"):
            dataset = self._file[name][variable]
            if not _is_whole(dataset):
                raise ValueError("some values are not stored")
            return _Stored(dataset)

    def field(self, name: str, variable: str) -> Field:
        """Describe one variable of a population without reading its values.

        Parameters
        ----------
        name, variable : str
            The population and one of its `variables`.

        Returns
        -------
        Field
            Its type, dimensions, shape and attributes.
        """
        name = self._name(name)
        where = _where(self.path, name)
        stored = self._stored(name, variable)
        with _reading(f"{where}: {variable!r}"):
            if name not in self._dims:
                self._dims[name] = _dims(self._file[name])
            on_disk, attrs = self._dims[name].get(variable, ()), _attrs(stored.dataset)
        shape = stored.dataset.shape
        check_shape(where, variable, shape, on_disk, self._sizes[name])
        dims = on_disk[:-1] if stored.dataset.dtype == "S1" else on_disk
        if spec := specs(self._populations[name]).get(variable):
            check_dims(where, variable, dims, spec)
            check_flags(where, variable, attrs, spec)
        return Field(stored.dataset.dtype, dims, shape, attrs, stored.decimals)

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
        described = self.field(name, variable)
        return Variable(values, described.dims, described.attrs)

    def id_hashes(self, name: str) -> NDArray[np.uint64]:
        """Compute a hash of each id of a population, 8 bytes a model, by which to look for equal ones.

        Parameters
        ----------
        name : str
            The population.

        Returns
        -------
        ndarray of uint64, shape (models,)
            Equal for equal ids, in any archive; different ids have equal ones by chance, once in 2**64 pairs.
        """
        return np.concatenate([hashed(piece["id"]) for _, piece in self.pieces(name, ["id"])])

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

    def validate(self) -> None:
        """Read everything and check it, see the function `validate`."""
        for name in self.names:
            self.group_attrs(name)
            where = _where(self.path, name)
            fields = {v: self.field(name, v) for v in self.variables(name)}
            along = [v for v, described in fields.items() if described.dims[0] == "model"]
            for variable in fields.keys() - set(along):
                self.read(name, variable)
            ids = Ids(self.models(name))
            for first, piece in self._checked(name, along):
                ids.add(piece["id"])
                check_relations(where, piece, first)
            ids.check(where, lambda name=name: (piece["id"] for _, piece in self.pieces(name, ["id"])))  # type: ignore[misc]


def validate(path: str | os.PathLike[str]) -> None:
    """Read everything in an archive and check it against every rule of the format.

    Beyond the checks of `Archive`: all checksums, ids unique in a population, and the error of each finished model
    equal to the smallest of its curve within 1e-9 (published records of diverged runs may deviate), every input in a
    cell earlier than its node, and at least one node concatenated.

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
        archive.validate()
