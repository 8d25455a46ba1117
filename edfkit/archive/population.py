"""A population in an archive, and its variables: where they are found, how they are stored, and their values.

What is checked when: that a population has its variables, when it is opened; the rest of a variable, when it is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5o
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.hdf5 import attribute, attributes, data_set, dimensions, is_whole, members, opened, read_rows
from edfkit.archive.netcdf import copyable
from edfkit.archive.packing import STORAGE_ATTRS, Field, decimals_of, decoded, is_ascii, unpack
from edfkit.archive.remote import Address
from edfkit.archive.schema import (
    VARIABLES,
    Spec,
    check_dims,
    check_flags,
    check_group,
    check_lengths,
    check_presence,
    check_shape,
    check_type,
    listed,
    metrics,
    specs,
    specs_2,
)
from edfkit.metric import ERROR, Metric

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
    attrs : dict
        All attributes, see `attributes`.
    plain : bool
        Whether these have checksums.
    """

    shape: tuple[int, ...]
    type: np.dtype[Any]
    decimals: int | None
    fill: Any
    digests: NDArray[Any] | None
    rows: int
    attrs: dict[str, Any]
    plain: bool

    @classmethod
    def of(cls, where: str, variable: str, dataset: h5d.DatasetID) -> Storage:
        """Find how a variable is stored, if all of it is."""
        shape, (attrs, plain) = dataset.shape, attributes(dataset)
        decimals = decimals_of(where, variable, dataset.dtype, attrs)
        if not is_whole(dataset, shape):
            raise ValueError("some values are not stored")
        digests, rows = np.atleast_1d(attrs["crc32"]) if "crc32" in attrs else None, shape[0] if shape else 1
        if digests is not None and digests.shape != (1,):
            rows = int(np.ravel(attrs["crc32_rows"])[0])
            if rows < 1 or digests.shape != (-(-shape[0] // rows),):
                raise ValueError("there is not a digest for each part of it")
        if decimals is None:
            return cls(shape, dataset.dtype, None, None, digests, rows, attrs, plain)
        return cls(shape, np.dtype("<f8"), decimals, attrs.get("_FillValue"), digests, rows, attrs, plain)


class Stored:
    """A variable in a file, for reading; digests are checked as far as all of their rows are read, in turn."""

    def __init__(self, dataset: h5d.DatasetID, storage: Storage) -> None:
        self.dataset, self.storage = dataset, storage
        self._place, self._digest = 0, 0  # up to where the rows read last have which digest; -1 if it is not known

    def __getitem__(self, those: slice) -> NDArray[Any]:
        """Read some rows, text as characters, and check the digests that they complete."""
        shape, _, decimals, fill, _, rows, *_ = self.storage
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
        shape, _, _, _, digests, rows, *_ = self.storage
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


def shown(values: Mapping[str, Any], hidden: Container[str] = ()) -> dict[str, Any]:
    """Give the attributes, text as str, without those that netCDF or the writer keeps for itself."""
    attrs: dict[str, Any] = {}
    for name, value in values.items():
        if name.startswith("_") or name in hidden:
            continue
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(())[()]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        attrs[name] = value.item() if isinstance(value, np.generic) else value
    return attrs


def _check_path(written: object, path: str) -> None:
    """Refuse what belongs elsewhere; archives of earlier versions do not say where things belong."""
    if written not in (None, path):
        raise ValueError(f"{path} is what was written as {written}")


class Population:
    """A population in a file, of which it is checked that it has its variables, and has them in the file.

    Their types, units, lengths and places are checked when they are read, the lengths against that of `id`. Of those
    that are not read, nothing else is looked at.

    Attributes
    ----------
    path : Path or Address
        The file.
    name : str
        As stored.
    where : str
        What it is, for messages.
    group : GroupID
    version : int
        Of the format of the file.
    sizes : dict of str to int
        Of the dimensions of the variables that the format knows.
    """

    def __init__(self, path: Path | Address, file: h5py.File, name: str, version: int = 1) -> None:
        self.path, self.name, self.where = path, name, place(path, name)
        self.version = version
        self.fields: dict[str, Field] = {}  # those asked for
        self.sizes: dict[str, int] = {}
        self._storages: dict[str, Storage] = {}
        with reading(self.where):
            self.group = opened(str(path), file.id, name)
            _check_path(attribute(self.group, "_path"), name)
            self._members = members(self.where, self.group)
            found = {member: data_set(self.where, self.group, member) for member in self._members}
            self._data = {member: info for member, info in found.items() if info}
            for member in found.keys() - self._data.keys():  # which mean nothing here, but may belong elsewhere
                _check_path(attribute(h5o.open(self.group, member.encode()), "_path"), f"{name}/{member}")
            check_presence(self.where, self._data, self.specs)
            self._check_lengths("id", self._open("id").shape)

    def _check_lengths(self, variable: str, shape: tuple[int, ...]) -> None:
        check_lengths(self.where, variable, shape, self.specs[variable], self.sizes)

    def _open(self, member: str) -> h5d.DatasetID:
        """Open a data set that belongs here."""
        item = opened(self.where, self.group, member)
        _check_path(attribute(item, "_path"), f"{self.name}/{member}")
        return item

    @cached_property
    def _others(self) -> dict[str, h5d.DatasetID]:
        """Dimensions, and variables that the format does not know."""
        return {member: self._open(member) for member in sorted(self._data.keys() - VARIABLES.keys())}

    @cached_property
    def variables(self) -> list[str]:
        """The variables, those of the format first; what only stands for a dimension is none."""
        with reading(self.where):
            names = {member: str(attribute(dataset, "NAME")) for member, dataset in self._others.items()}
        others = [member for member, name in names.items() if not name.startswith(_BARE_DIMENSION)]
        return [variable for variable in VARIABLES if variable in self._data] + others

    @property
    def checksums(self) -> dict[str, list[int] | None]:
        """The CRC-32 of the parts of each variable that was read, None where there are none."""
        found = {name: storage.digests for name, storage in self._storages.items()}
        return {name: None if crcs is None else crcs.tolist() for name, crcs in found.items()}

    def has(self, variable: str) -> bool:
        """Tell whether there is a variable, without looking at any that the format knows."""
        return variable in (self._data if variable in VARIABLES else self.variables)

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """The attributes of the population."""
        with reading(self.where):
            attrs = shown(attributes(self.group)[0])
        check_group(self.where, attrs)
        return attrs

    @cached_property
    def metrics(self) -> list[Metric]:
        """The metrics, the default one first; before format version 2 that is the error alone."""
        if self.version > 1:
            return metrics(self.where, self._described, self.attrs.get("metric", ERROR.name))
        with reading(self.where):
            grid = attribute(self._open(ERROR.name), "grid")
        return metrics(self.where, {ERROR.name: {} if grid is None else {"grid": grid}})

    @cached_property
    def specs(self) -> dict[str, Spec]:
        """What the format says of the variables."""
        return specs(self._data) if self.version == 1 else specs_2(self._described, self.metrics)

    @cached_property
    def _described(self) -> dict[str, dict[str, Any]]:
        """The attributes of those variables by which format version 2 says what others are."""
        with reading(self.where):
            known = {variable: self._open(variable) for variable in ("status", ERROR.name) if variable in self._data}
            opened = {variable: shown(attributes(one)[0]) for variable, one in (known | self._others).items()}
        return {variable: opened.get(variable, {}) for variable in self._data}

    def stored(self, variable: str) -> Stored:
        """Open a variable that is stored whole."""
        if not self.has(variable):
            raise EdfkitError(f"{self.where} has no variable {variable!r}; choose from {listed(self.variables)}.")
        with reading(f"{self.where}: {variable!r}"):
            if variable in self._storages:  # and has been found to be in the file
                return Stored(h5o.open(self.group, variable.encode()), self._storages[variable])
            dataset = opened(self.where, self.group, variable)
            storage = Storage.of(self.where, variable, dataset)
            _check_path(storage.attrs.get("_path"), f"{self.name}/{variable}")
            if spec := self.specs.get(variable):
                check_type(self.where, variable, storage.type, storage.attrs.get("units"), spec)
                self._check_lengths(variable, storage.shape)
            self._storages[variable] = storage
            return Stored(dataset, storage)

    @cached_property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """The dimensions of each variable, as stored."""
        scales = {name: one for name, one in self._others.items() if attribute(one, "CLASS") == "DIMENSION_SCALE"}
        return dimensions(scales, self._members)

    def copied_to(self, path: Path, file: h5py.File, version: int) -> Population:
        """Open the copy of this in another file, described as here; what was written anew is compared."""
        other = copy(self)
        other.path, other.where, other.version = path, place(path, self.name), version
        for read_anew in ("attrs", "dims", "_others", "_described", "metrics", "specs"):
            vars(other).pop(read_anew, None)
        with reading(other.where):
            other.group = opened(str(path), file.id, self.name)
            other._members = members(other.where, other.group)
            if other.dims != self.dims:
                raise ValueError("its variables do not have the dimensions that were written")
        return other

    @property
    def copyable(self) -> bool:
        """Whether it may be copied as it is, as far as this can be told without its variables."""
        dims = {dim for of_one in self.dims.values() for dim in of_one}
        if self._members.keys() != dims.union(self.variables):
            return False
        bare = {dim: attributes(self._others[dim]) for dim in dims.difference(self.variables)}
        alone = all(found == ({"_path": f"{self.name}/{dim}"}, True) for dim, found in bare.items())
        return alone and copyable(self.group, self._data.values())

    def field(self, variable: str) -> Field:
        """Describe a variable, or give its description again."""
        if variable in self.fields:
            return self.fields[variable]
        stored = self.stored(variable)
        with reading(f"{self.where}: {variable!r}"):
            on_disk, attrs = self.dims.get(variable, ()), shown(stored.storage.attrs, STORAGE_ATTRS)
        dtype, shape = stored.dataset.dtype, stored.storage.shape
        check_shape(self.where, variable, shape, on_disk, self.sizes)
        dims = on_disk[:-1] if dtype == "S1" else on_disk
        if spec := self.specs.get(variable):
            check_dims(self.where, variable, dims, spec)
            check_flags(self.where, variable, attrs, spec)
        self.fields[variable] = Field(dtype, dims, shape, attrs, stored.storage.decimals)
        return self.fields[variable]
