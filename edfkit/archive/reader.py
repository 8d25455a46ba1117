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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.hdf5 import (
    attributes,
    chunk_rows,
    is_group,
    members,
    opened,
)
from edfkit.archive.packing import (
    Field,
    Variable,
    decoded,
    power_of_two,
)
from edfkit.archive.population import Population, Stored, place, reading, shown
from edfkit.archive.remote import Address, Blocks, is_address, open_address
from edfkit.archive.schema import (
    FORMAT,
    FORMAT_VERSION,
    Ids,
    Shape,
    check_labels,
    check_relations,
    check_root,
    check_values,
    hashed,
    listed,
)
from edfkit.metric import Metric

if TYPE_CHECKING:
    import xarray

_T = TypeVar("_T")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PIECE_ROWS, _PIECE_BYTES = 2**20, 2**24


def _there(found: Mapping[str, _T | None]) -> dict[str, _T]:
    return {name: value for name, value in found.items() if value is not None}


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
    with reading(str(path)):
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


class Archive:
    """An archive open for reading; a context manager.

    Opening checks the root attributes. A population is opened when it is first asked for, which checks that it has all
    its variables; type, units, shape and values of a variable are checked when it is read or described. Damage
    elsewhere is for `edfkit.archive.verify` to find. Nothing outside the file is opened, see `edfkit.archive.hdf5`.
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
    version : int
        The version of the format.

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
            with reading(str(self.path)):
                self._members = members(str(self.path), self._file.id)
                if not any(is_group(self._file.id, name) for name in self._members):
                    raise EdfkitError(
                        f"{self.path} holds no populations, expected at least one; write the archive again."
                    )
            self._populations: dict[str, Population] = {}  # those asked for
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._file.close()

    @property
    def digest(self) -> str | None:
        """A digest of the variables that were read so far, from their stored checksums; None if one has none."""
        from hashlib import sha256

        found = sha256()
        for name, population in sorted(self._populations.items()):
            for variable, crcs in sorted(population.checksums.items()):
                if crcs is None:
                    return None
                found.update(f"{name}/{variable} {' '.join(map(str, crcs))}\n".encode())
        return found.hexdigest()

    @cached_property
    def names(self) -> list[str]:
        """The populations, sorted."""
        self._check_open()
        with reading(str(self.path)):
            groups = [name for name in self._members if is_group(self._file.id, name)]
            for name in self._members.keys() - groups:
                opened(str(self.path), self._file.id, name)  # which refuses what leads elsewhere
            return groups

    def _root(self) -> dict[str, Any]:
        """Read the root attributes and check them."""
        with reading(str(self.path)):
            attrs = shown(attributes(self._file["/"].id)[0])
        version = attrs.get("format_version")
        if attrs.get("format") != FORMAT or not isinstance(version, int) or version < 1:
            raise EdfkitError(f"{self.path} is an HDF5 file but not an edfkit archive; import other data first.")
        if version > FORMAT_VERSION:
            raise EdfkitError(
                f"{self.path} has format version {version}, this edfkit reads up to {FORMAT_VERSION}; update edfkit."
            )
        check_root(self.path, attrs)
        self.version = version
        return attrs

    def _check_open(self) -> None:
        if not self._file:
            raise EdfkitError(f"{self.path} has been closed, expected an open archive; open it again.")

    def population(self, name: str) -> Population:
        """Open a population, or give it again; to copy it as it is stored."""
        self._check_open()
        folded = name.casefold()
        alike = [name] if name in self._members else [other for other in self._members if other.casefold() == folded]
        for stored in alike:
            if stored in self._populations:
                return self._populations[stored]
            with reading(str(self.path)):
                found = is_group(self._file.id, stored)
            if found:
                self._populations[stored] = Population(self.path, self._file, stored, self.version)
                return self._populations[stored]
        raise EdfkitError(f"{self.path} has no population {name!r}; choose from {listed(self.names)}.")

    def models(self, name: str) -> int:
        """Count the models of a population."""
        return self.population(name).sizes["model"]

    def dataset(self, name: str) -> str:
        """Say which images the models of a population were trained on."""
        return str(self.group_attrs(name).get("dataset", self.attrs["dataset"]))

    def recipe(self, name: str) -> Any:
        """Read, from its JSON, the recipe by which the models of a population were trained."""
        return json.loads(str(self.group_attrs(name).get("recipe", self.attrs["recipe"])))

    def variables(self, name: str) -> list[str]:
        """List the variables of a population, those of the format first."""
        return self.population(name).variables

    def metrics(self, name: str) -> list[Metric]:
        """List the metrics of a population, the default one first; before format version 2 that is `ERROR` alone."""
        return list(self.population(name).metrics)

    def label(self, name: str) -> str:
        """Give the name of a population as people write it."""
        population = self.population(name)
        return str(population.attrs.get("label", population.name))

    def identify(self, text: str) -> str:
        """Find a population by its name or its label, in any case.

        Parameters
        ----------
        text : str
            The name goes before a label, and a label as it is written before one in another case.

        Returns
        -------
        str
            Its name.

        Raises
        ------
        EdfkitError
            If there is none, or several have that label in another case.
        """
        folded = text.casefold()
        if any(name.casefold() == folded for name in self._members):
            return self.population(text).name
        labels = {name: self.label(name) for name in self.names}
        alike = [name for name, label in labels.items() if label == text] or [
            name for name, label in labels.items() if label.casefold() == folded
        ]
        if len(alike) > 1:
            raise EdfkitError(f"{self.path} has {listed(alike)} for the label {text!r}; choose one by its name.")
        if not alike:
            raise EdfkitError(f"{self.path} has no population {text!r}; choose from {listed([*labels.values()])}.")
        return alike[0]

    def has(self, name: str, variable: str) -> bool:
        """Tell whether a population has a variable."""
        return self.population(name).has(variable)

    def group_attrs(self, name: str) -> dict[str, Any]:
        """Read the attributes of a population."""
        return dict(self.population(name).attrs)

    def expect(self, population: Population) -> None:
        """Use the description of the population that one here was copied from."""
        self._populations[population.name] = population.copied_to(Path(self.path), self._file, self.version)

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
        population = self.population(name)
        stored = population.stored(variable)
        with reading(f"{population.where}: {variable!r}"):
            values = decoded(stored[0 : stored.storage.shape[0]])
        check_values(population.where, variable, values, lambda: self.read(name, "status"), known=population.specs)
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
            about 16 MB, and 2**20 models at most.

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
        population = self.population(name)
        models = population.sizes["model"]
        stop = models if stop is None else min(models, stop)

        def tried(variable: str, action: Callable[[], _T]) -> _T | None:
            try:
                with reading(f"{population.where}: {variable!r}"):
                    return action()
            except EdfkitError as error:
                if unreadable is None:
                    raise
                unreadable(error)
                return None

        def along(variable: str) -> Stored:
            stored = population.stored(variable)
            if stored.storage.shape[:1] != (models,):
                raise EdfkitError(
                    f"{population.where}: {variable!r} has shape {stored.storage.shape}, expected {models} along its "
                    "first axis, one for each model; write the archive again, or leave that variable out."
                )
            return stored

        stored = _there({variable: tried(variable, partial(along, variable)) for variable in variables})
        if rows is None:
            # Text is read as characters and then decoded to 4 bytes each.
            storages = [one.storage for one in stored.values()]
            widths = [5 if one.type == "S1" else one.type.itemsize for one in storages]
            of_a_model = sum(width * math.prod(one.shape[1:]) for width, one in zip(widths, storages, strict=True))
            rows = min(_PIECE_ROWS, power_of_two(_PIECE_BYTES // max(1, of_a_model)))
        else:
            longest = max((chunk_rows(one.dataset) for one in stored.values()), default=1)
            rows = -(-rows // longest) * longest
        while start < stop:
            those = slice(start, min(stop, (start // rows + 1) * rows))
            piece = _there({v: tried(v, partial(one.__getitem__, those)) for v, one in stored.items()})
            stored = {variable: stored[variable] for variable in piece}
            yield start, piece
            start = those.stop

    def _checked(
        self, name: str, variables: Sequence[str], start: int = 0, stop: int | None = None, rows: int | None = None
    ) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Read as `pieces` does, and check the values."""
        population = self.population(name)
        for first, piece in self.pieces(name, variables, start, stop, rows):

            def status(first: int = first, piece: dict[str, NDArray[Any]] = piece) -> NDArray[Any]:
                if "status" in piece:
                    return piece["status"]
                with reading(f"{population.where}: 'status'"):
                    return population.stored("status")[first : first + len(next(iter(piece.values())))]

            for variable, values in piece.items():
                check_values(population.where, variable, values, status, first, population.specs)
            yield first, piece

    def shape(self, name: str, variable: str) -> Shape:
        """Tell the type and the shape of one variable of a population, without its values.

        Parameters
        ----------
        name, variable : str
            The population and one of its `variables`.

        Returns
        -------
        Shape
            Of text as it is stored: characters, along one axis more.
        """
        storage = self.population(name).stored(variable).storage
        return Shape(storage.type, storage.shape, storage.attrs.get("units"))

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
        return self.population(name).field(variable)

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

    def validate(self, names: Iterable[str] | None = None) -> None:
        """Read everything, or some populations, and check it, see the function `validate`.

        Parameters
        ----------
        names : iterable of str, optional
            The populations; all by default.
        """
        if names is None:
            check_labels(self.path, {name: self.label(name) for name in self.names})
        for name in self.names if names is None else names:
            self.group_attrs(name)
            where = place(self.path, name)
            fields = {v: self.field(name, v) for v in self.variables(name)}
            along = [v for v, described in fields.items() if described.dims[0] == "model"]
            for variable in fields.keys() - set(along):
                self.read(name, variable)
            ids = Ids(self.models(name))
            for first, piece in self._checked(name, along):
                ids.add(piece["id"])
                check_relations(where, piece, first, self.metrics(name))
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
