"""The netCDF-4 layout, written by HDF5's own calls.

A population is a group. Each of its dimensions is a data set, a dimension scale: the variable of that name if there is
one, else an empty data set. Scales and variables name each other by references (REFERENCE_LIST, DIMENSION_LIST), and
the dimensions of a file are numbered (`_Netcdf4Dimid`), as the netCDF library has it:
https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html#netcdf_4_spec.

A group is laid out at once, when all its variables are known, so that each list is written once. What writes a group
variable by variable writes the lists again for each, which took 10 times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5i, h5o, h5p, h5r, h5s, h5t, h5z
from numpy.typing import NDArray

from edfkit.archive.files import Disk
from edfkit.archive.hdf5 import JOINING

Attrs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Layout:
    """How a variable lies in the file: compressed, in chunks with checksums.

    Attributes
    ----------
    dtype : dtype
    dims : tuple of str
        One name per axis.
    shape, chunks : tuple of int
    attrs : mapping of str to ndarray
        Text as an array of bytes, in UTF-8.
    fill : int, optional
        What stands for a value that is not known.
    """

    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    attrs: Attrs
    fill: int | None = None


class File:
    """A netCDF-4 file in the making, by way of an object that takes everything: HDF5 cannot close one on a full disk.

    Parameters
    ----------
    disk : Disk
        Where it is written.
    attrs : mapping of str to ndarray
        Its root attributes.
    """

    def __init__(self, disk: Disk, attrs: Attrs) -> None:
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_fileobj_driver(h5py.h5fd.fileobj_driver, disk)
        access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
        access.set_fclose_degree(h5f.CLOSE_STRONG)
        access.set_cache(0, 0, 0, 1.0)  # chunks come whole, and lie in the file in the order in which they come
        self._file = h5f.create(b"archive", h5f.ACC_TRUNC, _group_plist(h5p.FILE_CREATE), access)
        self._dimensions = 0
        for name, value in attrs.items():
            self.set_attr(name, value)
        versions = f"version=2,h5py={h5py.__version__},hdf5={h5py.version.hdf5_version}"
        _write(self._file, "_NCProperties", np.array(versions.encode()), h5t.py_create(np.dtype(f"S{len(versions)}")))

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def set_attr(self, name: str, value: NDArray[Any]) -> None:
        """Write a root attribute, or write it anew."""
        if h5a.exists(self._file, name.encode()):
            h5a.delete(self._file, name.encode())
        set_attr(self._file, name, value)

    def add(
        self, name: str, attrs: Attrs, variables: Mapping[str, Layout], source: h5g.GroupID | None = None
    ) -> dict[str, h5d.DatasetID]:
        """Lay out a group; every object says in its attribute `_path` where it belongs.

        Parameters
        ----------
        name : str
        attrs : mapping of str to ndarray
            Its attributes.
        variables : mapping of str to Layout
            Those of a dimension's name have that dimension alone.
        source : GroupID, optional
            A group of another file, of that name and `copyable`. Its variables are copied as they are, except what
            names others of the file; layouts have no attributes then.

        Returns
        -------
        dict of str to DatasetID
            Where the values of each variable go.
        """
        if source is None:
            group = h5g.create(self._file, name.encode(), gcpl=_group_plist(h5p.GROUP_CREATE))
        else:
            h5o.copy(source, b".", self._file, name.encode())
            group = h5g.open(self._file, name.encode())
            while h5a.get_num_attrs(group):
                h5a.delete(group, index=0)
        for key, value in attrs.items():
            set_attr(group, key, value)
        set_attr(group, "_path", np.array(name.encode()))

        sizes = {dim: n for layout in variables.values() for dim, n in zip(layout.dims, layout.shape, strict=True)}
        numbers = {dim: np.array(self._dimensions + i, "<i4") for i, dim in enumerate(sizes)}
        self._dimensions += len(sizes)
        if source is None:
            datasets = {dim: _bare(group, dim, size) for dim, size in sizes.items() if dim not in variables}
            datasets |= {variable: _chunked(group, variable, layout) for variable, layout in variables.items()}
        else:
            datasets = {each: h5d.open(group, each.encode()) for each in {**sizes, **variables}}
            for dataset in datasets.values():
                for joining in JOINING:
                    if h5a.exists(dataset, joining):
                        h5a.delete(dataset, joining)
        references = {each: h5r.create(group, each.encode(), h5r.OBJECT) for each in datasets}
        axes: dict[str, list[tuple[h5r.Reference, int]]] = {dim: [] for dim in sizes}
        for variable, layout in variables.items():
            dataset = datasets[variable]
            if variable not in sizes:
                scales = np.empty(len(layout.dims), object)
                for axis, dim in enumerate(layout.dims):
                    scales[axis] = np.array([references[dim]], h5py.ref_dtype)
                    axes[dim].append((references[variable], axis))
                _write(dataset, "DIMENSION_LIST", scales, *_SCALES)
                set_attr(dataset, "_Netcdf4Dimid", numbers[layout.dims[0]])
            set_attr(dataset, "_Netcdf4Coordinates", np.array([numbers[dim] for dim in layout.dims]))
            if layout.fill is not None:
                set_attr(dataset, "_FillValue", np.array([layout.fill], layout.dtype))
            for key, value in layout.attrs.items():
                set_attr(dataset, key, value)
        for dim, size in sizes.items():
            set_attr(datasets[dim], "_Netcdf4Dimid", numbers[dim])
            label = dim if dim in variables else f"This is a netCDF dimension but not a netCDF variable.{size:10}"
            for key, text in (("CLASS", "DIMENSION_SCALE"), ("NAME", label)):
                _write(datasets[dim], key, np.array(text.encode(), f"S{len(text) + 1}"), _terminated(len(text) + 1))
            if axes[dim]:
                _write(datasets[dim], "REFERENCE_LIST", np.array(axes[dim], _AXIS), *_AXES)
        for each, dataset in datasets.items() if source is None else ():
            set_attr(dataset, "_path", np.array(f"{name}/{each}".encode()))
        return {variable: datasets[variable] for variable in variables}


def copyable(group: h5g.GroupID, data_sets: Iterable[Any]) -> bool:
    """Tell whether all that a group of another file has in it is such as is written here, under checksums.

    The values of attributes are not looked at, and `data_sets` is what HDF5 says of those in it.
    """
    superblock, *_ = h5i.get_file_id(group).get_create_plist().get_version()
    if superblock < _SUPERBLOCK or group.get_create_plist().get_link_creation_order() != _ORDER:
        return False
    return not any(
        info.hdr.version < _HEADER
        or info.hdr.mesg.shared
        or info.hdr.mesg.present & ~_MESSAGES
        or info.meta_size.attr.heap_size
        for info in (h5o.get_info(group), *data_sets)
    )


def chunks_alike(dataset: h5d.DatasetID, layout: Layout) -> bool:
    """Tell whether the chunks of a variable in some file, with their checksums, could be chunks of such a layout."""
    plist = dataset.get_create_plist()
    if plist.get_layout() != h5d.CHUNKED or plist.get_chunk() != layout.chunks or dataset.dtype != layout.dtype:
        return False
    filters = [plist.get_filter(place) for place in range(plist.get_nfilters())]
    chunks: list[Any] = []
    dataset.chunk_iter(chunks.append)
    return (
        [number for number, *_ in filters] == _FILTERS
        and filters[0][2] == (layout.dtype.itemsize,)
        and not any(chunk.filter_mask & _CHECKSUM for chunk in chunks)
    )


def set_attr(item: Any, name: str, value: NDArray[Any]) -> None:
    """Write an attribute that an object does not have; bytes as text in UTF-8."""
    _write(item, name, value, _type(value.dtype.str))


# --- HDF5's descriptions of objects, types and shapes, of which few are used over and over

_LEVEL = 4  # of compression
_FILTERS = [h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32]
_CHECKSUM = 1 << _FILTERS.index(h5z.FILTER_FLETCHER32)  # in the mask of the filters that a chunk has skipped
# From these versions on, as HDF5 1.10 writes them, all that describes objects has checksums.
_SUPERBLOCK, _HEADER = 3, 2
# What an object's header may have, as the file format numbers it: nothing that is shared with others or lies elsewhere.
_MESSAGES = sum(1 << kind for kind in (0, 1, 2, 3, 5, 6, 8, 10, 11, 12, 16, 21))
_ORDER = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED
_AXIS = np.dtype([("dataset", h5py.ref_dtype), ("dimension", "<u4")])
# In the file and in memory.
_AXES = h5t.py_create(_AXIS, logical=True), h5t.py_create(_AXIS)
_SCALES = tuple(h5t.py_create(h5py.vlen_dtype(h5py.ref_dtype), logical=logical) for logical in (True, False))


def _write(item: Any, name: str, value: NDArray[Any], stored: h5t.TypeID, memory: h5t.TypeID = None) -> None:
    h5a.create(item, name.encode(), stored, _space(value.shape)).write(value, mtype=memory or stored)


def _bare(group: h5g.GroupID, dim: str, size: int) -> h5d.DatasetID:
    return h5d.create(group, dim.encode(), h5t.IEEE_F32BE, _space((size,)), _plist(h5p.DATASET_CREATE))


def _chunked(group: h5g.GroupID, name: str, layout: Layout) -> h5d.DatasetID:
    plist = _chunked_plist(layout.chunks, layout.dtype.str, layout.fill)
    return h5d.create(group, name.encode(), h5t.py_create(layout.dtype), _space(layout.shape), plist)


def _plist(of: Any) -> Any:
    plist = h5p.create(of)
    plist.set_attr_creation_order(_ORDER)
    # All attributes stay in the header, under its checksum: by default HDF5 moves more than 8 of them to a heap, which
    # takes more room and leaves those above 4 KiB unchecked.
    plist.set_attr_phase_change(65_535, 0)
    plist.set_obj_track_times(False)
    return plist


@lru_cache
def _group_plist(of: Any) -> Any:
    plist = _plist(of)
    plist.set_link_creation_order(_ORDER)
    return plist


@lru_cache(1024)
def _chunked_plist(chunks: tuple[int, ...], code: str, fill: int | None) -> h5p.PropDCID:
    plist = _plist(h5p.DATASET_CREATE)
    plist.set_chunk(chunks)
    plist.set_shuffle()
    plist.set_deflate(_LEVEL)
    plist.set_fletcher32()
    plist.set_fill_time(h5d.FILL_TIME_IFSET)
    if fill is not None:
        plist.set_fill_value(np.array(fill, code))
    return plist


@lru_cache(1024)
def _type(code: str) -> h5t.TypeID:
    dtype = np.dtype(code)
    return h5t.py_create(h5py.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype)


@lru_cache
def _terminated(length: int) -> h5t.TypeID:
    kind = h5t.C_S1.copy()
    kind.set_size(length)
    return kind


@lru_cache(1024)
def _space(shape: tuple[int, ...]) -> h5s.SpaceID:
    return h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
