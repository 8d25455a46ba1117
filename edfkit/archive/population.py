"""A population in an archive, and its variables: where they are found, how they are stored, and their values.

What is checked when: that a population has its variables, when it is opened; the rest of a variable, when it is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5g
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.hdf5 import attribute, attribute_names, dimensions, is_data, is_whole, members, opened, read_rows
from edfkit.archive.packing import HIDDEN_ATTRS, STORAGE_ATTRS, Field, decimals_of, decoded, is_ascii, unpack
from edfkit.archive.remote import Address
from edfkit.archive.schema import (
    VARIABLES,
    check_dims,
    check_flags,
    check_lengths,
    check_presence,
    check_shape,
    check_type,
    listed,
    specs,
)

_BARE_DIMENSION = "This is a netCDF dimension but not a netCDF variable."


def place(path: Path | Address, name: str) -> str:
    """Name a population and the file that it is in, for messages."""
    return f"{path}: population {name!r}"


@contextmanager
def reading(what: str) -> Iterator[None]:
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


class Storage(NamedTuple):
    """How a variable is stored.

    Attributes
    ----------
    shape : tuple of int
    type : dtype
        Of the values as they are read, text as characters.
    decimals : int or None
        Of numbers that are packed.
    fill : number or None
        What stands for NaN in these.
    digests : ndarray of uint32, or None
        The CRC-32 of every so many rows.
    rows : int
    """

    shape: tuple[int, ...]
    type: np.dtype[Any]
    decimals: int | None
    fill: Any
    digests: NDArray[Any] | None
    rows: int

    @classmethod
    def of(cls, dataset: h5d.DatasetID, decimals: int | None) -> Storage:
        """Find how a variable is stored, if all of it is."""
        shape = dataset.shape
        if not is_whole(dataset, shape):
            raise ValueError("some values are not stored")
        digests, rows = attribute(dataset, "crc32"), shape[0] if shape else 1
        if digests is not None and np.shape(digests) != (1,):
            rows = int(np.ravel(attribute(dataset, "crc32_rows"))[0])
            if rows < 1 or np.shape(digests) != (-(-shape[0] // rows),):
                raise ValueError("there is not a digest for each part of it")
        if decimals is None:
            return cls(shape, dataset.dtype, None, None, digests, rows)
        return cls(shape, np.dtype("<f8"), decimals, attribute(dataset, "_FillValue"), digests, rows)


class Stored:
    """A variable in a file, for reading; digests are checked as far as all of their rows are read, in turn."""

    def __init__(self, dataset: h5d.DatasetID, storage: Storage) -> None:
        self.dataset, self.storage = dataset, storage
        self._place, self._digest = 0, 0  # up to where the rows read last have which digest; -1 if it is not known

    def __getitem__(self, those: slice) -> NDArray[Any]:
        """Read some rows, text as characters, and check the digests that they complete."""
        shape, _, decimals, fill, _, rows = self.storage
        if not shape:
            return np.asarray(h5py.Dataset(self.dataset)[()])
        if decimals is None:
            values = read_rows(self.dataset, shape, those.start, those.stop)
            self._check(values, those.start)
            if values.dtype == "S1" and not is_ascii(values):
                decoded(values)  # fails if it is no text
            return values
        real = np.empty((those.stop - those.start, *shape[1:]))
        first = those.start
        while first < those.stop:  # what is unpacked part by part stays in the processor's cache
            stop = min(those.stop, (first // rows + 1) * rows)
            whole = read_rows(self.dataset, shape, first, stop)
            self._check(whole, first)
            unpack(whole, decimals, fill, real[first - those.start : stop - those.start])
            first = stop
        return real

    def _check(self, values: NDArray[Any], start: int) -> None:
        shape, *_, digests, rows = self.storage
        if digests is None:
            return
        if start != self._place:
            self._digest = -1
        place, stop = start, start + len(values)
        while place < stop:
            block = place // rows
            end = min(stop, (block + 1) * rows)
            if place == block * rows:
                self._digest = 0
            if self._digest >= 0:
                part = np.ascontiguousarray(values[place - start : end - start])
                self._digest = zlib.crc32(part.data, self._digest)
                whole = end == (block + 1) * rows or end == shape[0]
                if whole and self._digest != digests[block]:
                    raise ValueError(f"rows {block * rows} to {end - 1} are not those that were written")
            place = end
        self._place = stop


def attrs_of(item: h5g.GroupID | h5d.DatasetID) -> dict[str, Any]:
    """Read the attributes, text as str, without those that netCDF or the writer keeps for itself."""
    attrs: dict[str, Any] = {}
    hidden = HIDDEN_ATTRS + (STORAGE_ATTRS if isinstance(item, h5d.DatasetID) else ())
    for name in attribute_names(item):
        if name.startswith("_") or name in hidden:
            continue
        value = attribute(item, name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(())[()]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        attrs[name] = value.item() if isinstance(value, np.generic) else value
    return attrs


def _check_path(item: h5g.GroupID | h5d.DatasetID, path: str) -> None:
    """Refuse what belongs elsewhere; archives of earlier versions do not say where things belong."""
    written = attribute(item, "_path")
    if written not in (None, path):
        raise ValueError(f"{path} is what was written as {written}")


class Population:
    """A population in a file, of which it is checked that it has its variables, and has them in the file.

    Their types, units, lengths and places are checked when they are read, the lengths against that of `id`. Of those
    that are not read, nothing else is looked at.

    Attributes
    ----------
    name : str
        As stored.
    where : str
        What it is, for messages.
    group : GroupID
    sizes : dict of str to int
        Of the dimensions of the variables that the format knows.
    """

    def __init__(self, path: Path | Address, file: h5py.File, name: str) -> None:
        self.name, self.where = name, place(path, name)
        self.fields: dict[str, Field] = {}  # those asked for
        self.sizes: dict[str, int] = {}
        self._storages: dict[str, Storage] = {}
        with reading(self.where):
            self.group = opened(str(path), file.id, name)
            _check_path(self.group, name)
            self._members = members(self.where, self.group)
            self._data = {member for member in self._members if is_data(self.where, self.group, member)}
            check_presence(self.where, self._data)
            self._check_lengths("id", self._open("id"))

    def _check_lengths(self, variable: str, dataset: h5d.DatasetID) -> None:
        check_lengths(self.where, variable, dataset.shape, self._data, self.sizes)

    def _open(self, member: str) -> h5d.DatasetID:
        """Open a data set that belongs here."""
        item = opened(self.where, self.group, member)
        _check_path(item, f"{self.name}/{member}")
        return item

    @cached_property
    def variables(self) -> list[str]:
        """The variables, those of the format first; what only stands for a dimension is none."""
        with reading(self.where):
            others = [
                member
                for member in sorted(self._data - VARIABLES.keys())
                if not str(attribute(self._open(member), "NAME")).startswith(_BARE_DIMENSION)
            ]
        return [variable for variable in VARIABLES if variable in self._data] + others

    def stored(self, variable: str) -> Stored:
        """Open a variable that is stored whole."""
        known = variable in VARIABLES
        if variable not in (self._data if known else self.variables):
            raise EdfkitError(f"{self.where} has no variable {variable!r}; choose from {listed(self.variables)}.")
        with reading(f"{self.where}: {variable!r}"):
            if variable in self._storages:
                return Stored(opened(self.where, self.group, variable), self._storages[variable])
            dataset = self._open(variable)
            storage = Storage.of(dataset, decimals_of(self.where, variable, dataset))
            if known:
                check_type(self.where, variable, storage.type, attribute(dataset, "units"))
                self._check_lengths(variable, dataset)
            self._storages[variable] = storage
            return Stored(dataset, storage)

    @cached_property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """The dimensions of each variable, as stored."""
        items = {member: self._open(member) for member in self._data - VARIABLES.keys()}
        scales = {name: item for name, item in items.items() if attribute(item, "CLASS") == "DIMENSION_SCALE"}
        return dimensions(scales, self._members)

    def field(self, variable: str) -> Field:
        """Describe a variable, or give its description again."""
        if variable in self.fields:
            return self.fields[variable]
        stored = self.stored(variable)
        with reading(f"{self.where}: {variable!r}"):
            on_disk, attrs = self.dims.get(variable, ()), attrs_of(stored.dataset)
        dtype, shape = stored.dataset.dtype, stored.storage.shape
        check_shape(self.where, variable, shape, on_disk, self.sizes)
        dims = on_disk[:-1] if dtype == "S1" else on_disk
        if spec := specs(self.variables).get(variable):
            check_dims(self.where, variable, dims, spec)
            check_flags(self.where, variable, attrs, spec)
        self.fields[variable] = Field(dtype, dims, shape, attrs, stored.storage.decimals)
        return self.fields[variable]
