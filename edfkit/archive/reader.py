"""Reading archives: one HDF5 file in netCDF-4 layout, with one group per population and one row per trained model.

What they hold, and the rules for it, is in `edfkit.archive.schema`.

Every byte that reading here goes by lies under a checksum. Values have Fletcher32, so text is stored as fixed-width
characters: neither gzip nor checksums reach HDF5's variable-length data. The metadata have HDF5's own checksums, which
only the file layout of HDF5 1.10 and later has throughout. Fletcher32 covers each chunk alone and goes unharmed with a
chunk that is moved, so every variable has besides, in its attribute `crc32`, the CRC-32 of its stored values, for every
`crc32_rows` rows in C order. All that goes unharmed with what is moved as a whole; so every population, variable and
dimension has besides, in its attribute `_path`, where it belongs.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.packing import (
    HIDDEN_ATTRS,
    STORAGE_ATTRS,
    Field,
    Variable,
    decimals_of,
    decoded,
    is_ascii,
    power_of_two,
)
from edfkit.archive.remote import Address, Blocks, is_address, open_address
from edfkit.archive.schema import (
    FORMAT,
    FORMAT_VERSION,
    VARIABLES,
    Ids,
    Shape,
    check_dims,
    check_flags,
    check_group,
    check_relations,
    check_root,
    check_shape,
    check_structure,
    check_values,
    hashed,
    listed,
    specs,
)

if TYPE_CHECKING:
    import xarray

_T = TypeVar("_T")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PIECE_ROWS, _PIECE_BYTES = 2**20, 2**26
_BARE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable."


class _Stored:
    """A variable in a file, with what it takes to read its values: how they are packed, and their digests."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.decimals = dataset, decimals_of(dataset)
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
        if values.dtype == "S1" and not is_ascii(values):
            decoded(values)  # fails if it is no text
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


def _there(found: Mapping[str, _T | None]) -> dict[str, _T]:
    return {name: value for name, value in found.items() if value is not None}


def place(path: Path | Address, name: str) -> str:
    """Name a population and the file that it is in, for messages."""
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
    hidden = HIDDEN_ATTRS + (STORAGE_ATTRS if isinstance(item, h5py.Dataset) else ())
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
            dtype = item.dtype if decimals_of(item) is None else np.dtype("<f8")
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
            self._sizes = {name: check_structure(place(self.path, name), s) for name, s in self._populations.items()}
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
        with _reading(place(self.path, name)):
            attrs = _attrs(self._file[name])
        check_group(place(self.path, name), attrs)
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
            Units and shape as in `edfkit.archive.schema.VARIABLES`; text as an array of str, `status` and `op` as
            codes.

        Raises
        ------
        EdfkitError
            If there is no such population or variable, a checksum does not match, or a value is out of range.
        """
        name = self._name(name)
        stored = self._stored(name, variable)
        with _reading(f"{place(self.path, name)}: {variable!r}"):
            values = decoded(stored[0 : self._populations[name][variable].shape[0]])
        check_values(place(self.path, name), variable, values, lambda: self.read(name, "status"))
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
            yield {variable: decoded(values) for variable, values in piece.items()}

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
                with _reading(f"{place(self.path, name)}: {variable!r}"):
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
            rows = min(_PIECE_ROWS, power_of_two(_PIECE_BYTES // max(1, of_a_model)))
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
        where, of_all = place(self.path, self._name(name)), self._stored(self._name(name), "status")
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
                f"{place(self.path, name)} has no variable {variable!r}; choose from {listed(self.variables(name))}."
            )
        with _reading(f"{place(self.path, name)}: {variable!r}"):
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
        where = place(self.path, name)
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
            where = place(self.path, name)
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
