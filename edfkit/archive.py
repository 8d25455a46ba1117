"""Archives: one HDF5 file in netCDF-4 layout, with one group per population and one row per trained model.

What they hold, and the rules for it, is in `edfkit.schema`.

Every byte that reading here goes by lies under a checksum. Values have Fletcher32, so text is stored as fixed-width
characters: neither gzip nor checksums reach HDF5's variable-length data. The metadata have HDF5's own checksums, which
only the file layout of HDF5 1.10 and later has throughout.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.files import replacing
from edfkit.schema import (
    FORMAT,
    FORMAT_VERSION,
    TEXT,
    VARIABLES,
    Shape,
    check_dims,
    check_flags,
    check_name,
    check_relations,
    check_root,
    check_shape,
    check_structure,
    check_values,
    flag_attrs,
    listed,
    specs,
    stored_dims,
)

if TYPE_CHECKING:
    import xarray

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHUNK_BYTES = 2**20
# HDF5 keeps attributes up to 64 KiB in the object header, under its checksum. An object with more than 8 of them moves
# them to a heap, which leaves those above 4 KiB unchecked; the root is created so that it never does (see `_image`).
_ROOT_ATTR_BYTES, _ATTR_BYTES = 60_000, 4_000
_HIDDEN_ATTRS = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST")  # netCDF's own; the others start with `_`
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
        Attributes of each population.

    Raises
    ------
    EdfkitError
        If the input breaks a rule of the format or the file cannot be written.
    """
    path = Path(path)
    root = {"format": FORMAT, "format_version": FORMAT_VERSION}
    root |= {name: attrs[name] for name in sorted(attrs) if name not in root}
    check_root(path, root)
    _check_attrs(str(path), root, _ROOT_ATTR_BYTES)
    if not populations:
        raise EdfkitError(f"{path}: there are no populations to write, expected at least one; give it.")
    group_attrs = group_attrs or {}
    if unknown := sorted(set(group_attrs) - set(populations)):
        raise EdfkitError(
            f"{path}: attributes are given for {listed(unknown)}, which is no population to write; correct it."
        )
    groups: dict[str, dict[str, Variable]] = {}
    for name in sorted(populations):
        where = _where(path, name)
        check_name(str(path), "a population", name, r"[a-z0-9][a-z0-9._-]{0,99}")
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
        _check_attrs(f"{where}: {name!r}", attrs)
        if spec:
            check_flags(where, name, attrs, spec)
        if values.dtype == "S1":
            attrs["_Encoding"] = "utf-8"
        columns[name] = Variable(values, spec.dims if spec else variable.dims, attrs)

    arrays = {name: np.asarray(column.values) for name, column in columns.items()}
    sizes = check_structure(where, {n: Shape(a.dtype, a.shape, columns[n].attrs["units"]) for n, a in arrays.items()})
    for name, array in arrays.items():
        dims = columns[name].dims or _deduced_dims(where, name, array, sizes)
        on_disk = stored_dims(name, dims, array.dtype)
        for dim in dims:
            check_name(f"{where}: {name!r}", "a dimension", dim)
        check_shape(where, name, array.shape, on_disk, sizes)
        columns[name] = Variable(array, on_disk, columns[name].attrs)
    for name, column in columns.items():
        if name in sizes and column.dims != (name,):
            raise EdfkitError(f"{where}: {name!r} is a dimension and a variable not along it; rename one of them.")

    values_of = {name: _decoded(array) for name, array in arrays.items()}
    for name, values in values_of.items():
        check_values(where, name, values, lambda: values_of["status"])
    check_relations(where, values_of)
    return columns


def _stored(where: str, name: str, values: ArrayLike, types: tuple[str, ...] | None) -> NDArray[Any]:
    """Convert values to the first storage type that holds them exactly (`types` None: to their own)."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
            array = array.astype(str)
        if array.dtype.kind == "U":
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


def _check_attrs(where: str, attrs: Mapping[str, object], limit: int = _ATTR_BYTES) -> None:
    for name, value in attrs.items():
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


def _decoded(values: NDArray[Any]) -> NDArray[Any]:
    """Text from its stored characters; numbers as they are."""
    if values.dtype != "S1":
        return values
    return np.char.decode(np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0], "utf-8")


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


def _shapes(group: h5py.Group) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for name in group:  # not items(), which gives None for what is damaged
        item, known = group[name], name in VARIABLES
        if isinstance(item, h5py.Dataset) and (known or not item.attrs.get("NAME", b"").startswith(_BARE_DIMENSION)):
            units = item.attrs.get("units") if known else None
            shapes[name] = Shape(item.dtype, item.shape, units.decode() if isinstance(units, bytes) else units)
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
            self.attrs = self._root()
            with _reading(str(self.path)):
                groups = {name: self._file[name] for name in sorted(self._file)}
                self._populations = {name: _shapes(g) for name, g in groups.items() if isinstance(g, h5py.Group)}
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
            Units and shape as in `edfkit.schema.VARIABLES`; text as an array of str, `status` and `op` as codes.

        Raises
        ------
        EdfkitError
            If there is no such population or variable, a checksum does not match, or a value is out of range.
        """
        name = self._name(name)
        dataset = self._dataset(name, variable)
        with _reading(f"{_where(self.path, name)}: {variable!r}"):
            values = _decoded(dataset[()])
        check_values(_where(self.path, name), variable, values, lambda: self.read(name, "status"))
        return values

    def chunks(
        self, name: str, variables: Sequence[str], start: int = 0, stop: int | None = None, rows: int = 2**20
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Read variables of a population piece by piece, with the checks of `read`, so that it need not fit in memory.

        Pieces end where the chunks of the file do, so that from any multiple of `rows` on every chunk is read once.

        Parameters
        ----------
        name : str
            The population.
        variables : sequence of str
            Some of its `variables`.
        start, stop : int
            The models to read, from the first to before the second; to the last by default.
        rows : int
            Models of a piece, at least; fewer where the models to read begin or end.

        Yields
        ------
        dict of str to ndarray
            The values of each variable for the next models, as `read` gives them.

        Raises
        ------
        EdfkitError
            See `read`.
        """
        name = self._name(name)
        stop = min(self.models(name), self.models(name) if stop is None else stop)
        datasets = {variable: self._dataset(name, variable) for variable in (*variables, "status")}
        longest = max(dataset.chunks[0] if dataset.chunks else 1 for dataset in datasets.values())
        rows = -(-rows // longest) * longest
        where = _where(self.path, name)

        def part(variable: str, models: slice) -> NDArray[Any]:
            with _reading(f"{where}: {variable!r}"):
                return _decoded(datasets[variable][models])

        while start < stop:
            models = slice(start, min(stop, (start // rows + 1) * rows))
            piece = {variable: part(variable, models) for variable in variables}
            for variable, values in piece.items():
                check_values(f"{where}, models from {start} on", variable, values, partial(part, "status", models))
            yield piece
            start = models.stop

    def _dataset(self, name: str, variable: str) -> h5py.Dataset:
        """Find a variable that is stored whole; the population's name is given as stored."""
        if variable not in self._populations[name]:
            raise EdfkitError(
                f"{_where(self.path, name)} has no variable {variable!r}; choose from {listed(self.variables(name))}."
            )
        with _reading(f"{_where(self.path, name)}: {variable!r}"):
            dataset = self._file[name][variable]
            if not _is_whole(dataset):
                raise ValueError("some values are not stored")
            return dataset

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
        check_shape(where, variable, dataset.shape, stored_dims, self._sizes[name])
        dims = stored_dims[: values.ndim]
        if spec := specs(self._populations[name]).get(variable):
            check_dims(where, variable, dims, spec)
            check_flags(where, variable, attrs, spec)
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

    def validate(self) -> None:
        """Read everything and check it, see the function `validate`."""
        for name in self.names:
            self.group_attrs(name)
            columns = {v: np.asarray(self.variable(name, v).values) for v in self.variables(name)}
            check_relations(_where(self.path, name), columns)


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
