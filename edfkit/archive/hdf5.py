"""What lies in an HDF5 file, found by few calls, and in that file alone.

HDF5 may send a reader elsewhere: by soft and external links, by values that are kept in other files, and by data sets
that are put together of others. Archives come from anywhere, and one of those could expose any file of the reader.
So all of these are refused, by what the file says of them and before anything else is opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t
from numpy.typing import NDArray

from edfkit import EdfkitError

JOINING = (b"DIMENSION_LIST", b"REFERENCE_LIST", b"CLASS", b"NAME", b"_Netcdf4Dimid", b"_Netcdf4Coordinates")
"""Attributes by which netCDF joins variables to dimensions."""

_OTHER_FILES, _FILTERS = 1 << 7, 1 << 11  # what an object's header has, as the file format numbers it
_LINKS = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "an external link"}
# What a dimension says of each axis along it, of which the reference is read as the address that it is: HDF5 opens what
# a reference leads to, and h5py looks through the whole file for its name.
_AXES = h5t.create(h5t.COMPOUND, 16)
_AXES.insert(b"dataset", 0, h5t.STD_REF_OBJ)
_AXES.insert(b"dimension", 8, h5t.NATIVE_INT64)


def members(where: str, group: h5g.GroupID) -> dict[str, int]:
    """Give what is in a group, each with its address in the file.

    Parameters
    ----------
    where : str
        What it is, for the message.
    group : GroupID

    Returns
    -------
    dict of str to int
        By name, sorted.

    Raises
    ------
    EdfkitError
        If something is a link to elsewhere.
    """
    found: list[tuple[bytes, int, int]] = []
    group.links.iterate(lambda name, link: found.append((name, link.type, link.u)), info=True)
    for name, kind, _ in found:
        if kind != h5l.TYPE_HARD:
            link = _LINKS.get(kind, "a link of an unknown kind")
            raise EdfkitError(
                f"{where}: {name.decode(errors='replace')!r} is {link}, and links are not followed, expected the data "
                "themselves; write the archive with them in it."
            )
    return {name.decode("utf-8"): address for name, _, address in found}


def is_group(parent: h5g.GroupID, name: str) -> bool:
    """Tell whether a member of a group is a group itself, without opening it."""
    return bool(h5o.get_info(parent, name.encode()).type == h5o.TYPE_GROUP)


def data_set(where: str, parent: h5g.GroupID, name: str) -> Any:
    """Give what HDF5 says of a member of a group that is a data set, else None, and refuse it as `opened` does.

    As a rule it is not opened: filters are for values in chunks, which lie in the file.
    """
    info = h5o.get_info(parent, name.encode())
    if info.type != h5o.TYPE_DATASET:
        return None
    if info.hdr.mesg.present & (_FILTERS | _OTHER_FILES) != _FILTERS:
        opened(where, parent, name)
    return info


def opened(where: str, parent: h5g.GroupID, name: str) -> h5g.GroupID | h5d.DatasetID | h5t.TypeID:
    """Open a member of a group, if its values are in the file.

    Parameters
    ----------
    where : str
        What the group is, for the message.
    parent : GroupID
    name : str
        One of its `members`.

    Raises
    ------
    EdfkitError
        If it has its values from elsewhere.
    """
    item = h5o.open(parent, name.encode())
    if isinstance(item, h5d.DatasetID):
        created = item.get_create_plist()
        if created.get_layout() == h5d.VIRTUAL:
            raise EdfkitError(
                f"{where}: {name!r} is a virtual data set, put together of others, which are not opened, expected the "
                "values themselves; write the archive with them in it."
            )
        if created.get_external_count():
            raise EdfkitError(
                f"{where}: {name!r} keeps its values in other files (external storage), which are not opened, expected "
                "them in the archive; write it with them in it."
            )
    return item


def attribute(item: h5g.GroupID | h5d.DatasetID, name: str) -> Any:
    """Read an attribute as h5py does, but text as str however it is stored; None if there is none."""
    return _value(item, name.encode())[0] if h5a.exists(item, name.encode()) else None


def attributes(item: h5g.GroupID | h5d.DatasetID) -> tuple[dict[str, Any], bool]:
    """Read all attributes as `attribute` does, but for those that join variables to dimensions.

    Returns
    -------
    values : dict
        By name, in the order of their creation if that is known.
    plain : bool
        Whether all lie in the object itself, which has a checksum: text of variable length does not.
    """
    found: list[tuple[int, bytes]] = []
    h5a.iterate(item, lambda name, info: found.append((info.corder_valid and info.corder, name)), info=True)
    read = {name.decode("utf-8"): _value(item, name) for _, name in sorted(found) if name not in JOINING}
    return {name: value for name, (value, _) in read.items()}, all(plain for _, plain in read.values())


def _value(item: h5g.GroupID | h5d.DatasetID, name: bytes) -> tuple[Any, bool]:
    found = h5a.open(item, name)
    kind = found.get_type()
    if isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
        text = np.empty((), f"S{kind.get_size()}")
        if found.get_storage_size() == text.nbytes:
            found.read(text, mtype=kind)
            return text.item().decode("utf-8"), True
    elif isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID)):
        numbers = np.empty(() if found.get_storage_size() == kind.get_size() else found.shape, kind.dtype)
        found.read(numbers, mtype=kind)
        return numbers[()], True
    value = (h5py.Dataset(item) if isinstance(item, h5d.DatasetID) else h5py.Group(item)).attrs[name]
    return value.decode("utf-8") if isinstance(value, bytes) else value, False


def is_whole(dataset: h5d.DatasetID, shape: tuple[int, ...]) -> bool:
    """Tell whether every value is stored: HDF5 reads absent ones as zeros, and a huge shape would take all memory."""
    created = dataset.get_create_plist()
    if created.get_layout() != h5d.CHUNKED:
        return bool(dataset.get_storage_size() >= math.prod(shape) * dataset.dtype.itemsize)
    chunks = (-(-size // chunk) for size, chunk in zip(shape, created.get_chunk(), strict=True))
    return bool(dataset.get_num_chunks() == math.prod(chunks))


def chunk_rows(dataset: h5d.DatasetID) -> int:
    """Count the rows of a chunk, 1 if there are no chunks."""
    created = dataset.get_create_plist()
    return int(created.get_chunk()[0]) if created.get_layout() == h5d.CHUNKED else 1


def read_rows(dataset: h5d.DatasetID, shape: tuple[int, ...], start: int, stop: int) -> NDArray[Any]:
    """Read some rows of a data set of that shape, numbers or characters as they are stored."""
    if dataset.dtype.kind not in "iufS":
        return np.asarray(h5py.Dataset(dataset)[start:stop])
    count = (stop - start, *shape[1:])
    rows = np.empty(count, dataset.dtype)
    if count == shape:
        dataset.read(h5s.ALL, h5s.ALL, rows)
    else:
        space = dataset.get_space()
        space.select_hyperslab((start, *(0 for _ in shape[1:])), count)
        dataset.read(h5s.create_simple(count), space, rows)
    return rows


def dimensions(scales: Mapping[str, h5d.DatasetID], addresses: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Read the dimensions of each variable, from the list that each dimension keeps of the axes along it.

    netCDF's own readers go by the lists that the variables keep (DIMENSION_LIST). Those are variable-length data, the
    one part without checksums: HDF5 2.0 was seen to hang on a damaged one.

    Parameters
    ----------
    scales : mapping of str to DatasetID
        The dimensions of a group.
    addresses : mapping of str to int
        The `members` of the group: what a dimension says of others does not count.

    Returns
    -------
    dict of str to tuple of str
    """
    names = {address: name for name, address in addresses.items()}
    axes: dict[str, dict[int, str]] = {}
    for dim, scale in scales.items():
        axes.setdefault(dim, {})[0] = dim
        for address, axis in _references(scale):
            axes.setdefault(names.get(address, ""), {})[axis] = dim  # "" if it has been deleted
    return {name: tuple(by_axis[axis] for axis in sorted(by_axis)) for name, by_axis in axes.items()}


def _references(scale: h5d.DatasetID) -> Iterable[tuple[int, int]]:
    if not h5a.exists(scale, b"REFERENCE_LIST"):
        return []
    found = h5a.open(scale, b"REFERENCE_LIST")
    axes = np.empty(found.shape, [("address", "u8"), ("axis", "i8")])
    found.read(axes, mtype=_AXES)
    pairs: list[tuple[int, int]] = axes.tolist()
    return pairs
