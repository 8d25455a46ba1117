"""Writing archives, whole or not at all."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.archive.files import Disk, replacing
from edfkit.archive.netcdf import File, Layout, chunks_alike
from edfkit.archive.packing import (
    HIDDEN_ATTRS,
    STORAGE_ATTRS,
    Field,
    Variable,
    pack,
    packed,
    power_of_two,
    widened,
)
from edfkit.archive.population import Population, place, reading
from edfkit.archive.reader import Archive
from edfkit.archive.schema import (
    FORMAT,
    FORMAT_VERSION,
    STATUS_2,
    TEXT,
    VARIABLES,
    Ids,
    Shape,
    Spec,
    Status,
    check_dims,
    check_flags,
    check_group,
    check_labels,
    check_name,
    check_relations,
    check_root,
    check_shape,
    check_structure,
    check_values,
    flag_attrs,
    listed,
    metrics,
    needs_2,
    specs_2,
    stored_dims,
)
from edfkit.archive.sink import Sink
from edfkit.metric import ERROR, Metric

_CHUNK_BYTES = 2**20  # what HDF5 keeps at hand of a variable, so that reading on within a chunk costs nothing
# HDF5 keeps attributes up to 64 KiB in the object header, under its checksum. What rewrites a file may move those of an
# object with more than 8 of them to a heap, which leaves those above 4 KiB unchecked.
_ROOT_ATTR_BYTES, _ATTR_BYTES = 60_000, 4_000
_DIGESTS = 999  # at most: as an attribute they stay below 4,000 bytes


def write(
    path: str | os.PathLike[str],
    populations: Mapping[str, Mapping[str, ArrayLike | Variable]],
    attrs: Mapping[str, str],
    group_attrs: Mapping[str, Mapping[str, str | int | float]] | None = None,
) -> None:
    """Write an archive, whole or not at all; the same input gives the same bytes.

    The file is written under a temporary name in the same folder, read back and checked (see `validate`), then renamed;
    after any failure the old file, if there was one, is as it was.

    Parameters
    ----------
    path : path-like
        The file to write or replace.
    populations : mapping of str to mapping of str to array_like or Variable
        The variables of each population, by its name (lower-case letters, digits, `-`, `_`, `.`). Those that
        `edfkit.archive.schema` knows have its shapes; others get their dimensions by `Variable`, or deduced from their
        shape. A `Variable` with the attribute `goal`, "min" or "max", is a metric.
    attrs : mapping of str to str
        The root attributes: all of `edfkit.archive.schema.REQUIRED_ATTRS` (`recipe` is JSON), and any others.
    group_attrs : mapping of str to mapping, optional
        Attributes of each population; `dataset` and `recipe` (JSON) take precedence over those of the root, `label` is
        the name as people write it, `metric` the default metric, if that is not `error`.

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
                with File(disk, _stored_attrs(root)) as file:
                    writer = Writer(path, file, disk, root)
                    try:
                        yield writer
                    except BaseException as error:
                        raised = error, getattr(error, "filename", None)
                        raise
                    writer.end()
                disk.check()
            try:
                with Archive(temporary) as archive:
                    for population in writer._copied:
                        archive.expect(population)
                    archive.validate()
            except EdfkitError as error:
                for population in writer._copied:
                    with Archive(population.path) as source:
                        source.validate([population.name])
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
    root: dict[str, object] = {"format": FORMAT, "format_version": 1}
    root |= {name: attrs[name] for name in sorted(attrs) if name not in root}
    check_root(path, root)
    _check_attrs(str(path), root, _ROOT_ATTR_BYTES)
    return root


class Writer:
    """Takes the populations of an archive, see `writing`.

    The format version is 1 unless a population needs 2, see `edfkit.archive.schema`.
    """

    def __init__(self, path: Path, file: File, disk: Disk, root: Mapping[str, object]) -> None:
        self._path, self._file, self._disk, self._root = path, file, disk, root
        self._labels: dict[str, str] = {}  # of each population
        self._needs_2 = False  # whether a population needs version 2 of the format
        self._begun: str | None = None  # a population that is not whole yet
        self._codes_2 = False  # whether its models ended in ways that version 1 has no code for
        self._copied: list[Population] = []  # where it was copied from

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
            given = {v: column if isinstance(column, Variable) else Variable(column) for v, column in columns.items()}
            rules = _rules(where, {variable: column.attrs for variable, column in given.items()}, group_attrs)
            stored = _columns(where, given, rules)
            sinks = self._begin(name, {variable: column for variable, (column, _) in stored.items()}, group_attrs)
            self._take(rules, {variable: values for variable, (_, values) in stored.items()})
            for variable, (_, values) in stored.items():
                sinks[variable].append(values)
            self._write(sinks)
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
        copies: Mapping[int, tuple[Archive, str]] | None = None,
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
        copies : mapping of int to (Archive, str), optional
            Populations of archives that are in the blocks, all models in their order, by the place of their first one.
            Of these, the chunks that fit are copied as they are, which saves the time to compress them again.

        Raises
        ------
        EdfkitError
            If the fields or values break a rule of the format, or do not fit each other.
        """
        where = self._check(name, group_attrs)
        rules = _rules(where, {variable: column.attrs for variable, column in fields.items()}, group_attrs)
        fields = _checked_fields(where, fields, rules)
        models = fields["id"].shape[0]
        sinks = self._begin(name, fields, group_attrs)
        for at, (archive, source) in (copies or {}).items():
            for variable in archive.variables(source):
                column, stored = fields[variable], archive.population(source).stored(variable)
                if column.dims[0] == "model" and _packed_alike(stored.storage.decimals, stored.storage.fill, column):
                    sinks[variable].copy(stored.dataset, at)
        ids, first = Ids(models), 0
        for block in blocks:
            taken = {v: f for v, f in fields.items() if first == 0 or f.dims[0] == "model"}
            coming, values_of = _block(where, taken, block, first, rules)
            count = len(coming["id"])
            if first + count > models:
                raise EdfkitError(
                    f"{where}: blocks of {first + count} models came, expected {models}; count them again."
                )
            self._take(rules, values_of)
            ids.add(coming["id"])
            for variable, values in coming.items():
                sinks[variable].append(values)
            self._write(sinks)
            first += count
        if first != models:
            raise EdfkitError(f"{where}: blocks of {first} models came, expected {models}; count them again.")
        self._finish(sinks)
        ids.check(where, sinks["id"].pieces)

    def copy(
        self,
        name: str,
        archive: Archive,
        group_attrs: Mapping[str, str | int | float] | None = None,
    ) -> bool:
        """Write a population as another archive has it, by copying all of it as it is.

        Its description is read and checked there, its values when the copy is read back: with the digests of there,
        and the checks of `validate`. What fails these is looked for in the other archive first.

        Parameters
        ----------
        name : str
            The population, by its name there and here.
        archive : Archive
        group_attrs : mapping, optional
            Its attributes, see `write`.

        Returns
        -------
        bool
            False, and nothing is written, if it is not stored as it would be here: then use `stream`.

        Raises
        ------
        EdfkitError
            If it cannot be read, or breaks a rule of the format.
        """
        where, population = self._check(name, group_attrs), archive.population(name)
        fields = {variable: population.field(variable) for variable in population.variables}
        rules = _rules(where, {variable: column.attrs for variable, column in fields.items()}, group_attrs)
        layouts: dict[str, Layout] = {}
        for variable, column in _checked_fields(where, fields, rules).items():
            stored, layouts[variable] = population.stored(variable), _bare_layout(variable, column)
            storage, kept = stored.storage, fields[variable].attrs.keys() == column.attrs.keys()
            if not (
                storage.plain and kept and "_path" in storage.attrs and chunks_alike(stored.dataset, layouts[variable])
            ):
                return False
            if storage.digests is None or len(storage.digests) > _DIGESTS:
                return False
        if population.name != name or not population.copyable:
            return False
        self._enter(name, group_attrs)
        self._needs_2 |= rules.known["status"] == STATUS_2
        if archive.version > 1 and not self._needs_2:
            for piece in archive.chunks(name, [v for v in ("status", "error") if v in fields]):
                self._take(rules, piece)
        self._disk.strict = True
        try:
            attrs = _stored_attrs(dict(sorted((group_attrs or {}).items())))
            self._file.add(name, attrs, layouts, population.group)
        except Exception:
            self._disk.check()
            archive.validate([name])  # which says what of it cannot be read
            with reading(population.where):
                raise
        finally:
            self._disk.strict = False
        self._copied.append(population)
        self._finish({})
        return True

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
            self._file.set_attr(name, _attribute(self._root[name]))

    def _check(self, name: str, group_attrs: Mapping[str, object] | None) -> str:
        where = place(self._path, name)
        check_name(str(self._path), "a population", name, r"[a-z0-9][a-z0-9._-]{0,99}")
        if name in self._labels:
            raise EdfkitError(f"{where} has been written before, expected another name; join the two, or rename one.")
        _check_attrs(where, group_attrs or {})
        check_group(where, group_attrs or {})
        check_labels(self._path, self._labels | {name: _label(name, group_attrs)})
        return where

    def _enter(self, name: str, group_attrs: Mapping[str, object] | None) -> None:
        self._labels[name] = _label(name, group_attrs)
        self._begun = name
        self._codes_2 = False

    def _take(self, rules: _Rules, columns: Mapping[str, NDArray[Any]]) -> None:
        """Note what models of the population need of the format."""
        self._needs_2 = self._needs_2 or needs_2(rules.known, rules.measured, columns)
        self._codes_2 = self._codes_2 or bool((columns["status"] > Status.FAILED).any())

    def _begin(
        self, name: str, fields: Mapping[str, Field], group_attrs: Mapping[str, object] | None
    ) -> dict[str, Sink]:
        self._enter(name, group_attrs)
        layouts = {variable: _layout(variable, column) for variable, column in fields.items()}
        datasets = self._file.add(name, _stored_attrs(dict(sorted((group_attrs or {}).items()))), layouts)
        return {variable: Sink(datasets[variable], layout) for variable, layout in layouts.items()}

    def _write(self, sinks: Mapping[str, Sink]) -> None:
        """Write the full chunks, in the order in which models fill them, whatever the blocks that they come in."""
        for _ in heapq.merge(*(sink.write() for sink in sinks.values())):
            self._disk.check()

    def _finish(self, sinks: Mapping[str, Sink]) -> None:
        for sink in sinks.values():
            sink.end()
        if self._codes_2 and sinks:
            sinks["status"].restate(_stored_attrs(flag_attrs(STATUS_2)))
        self._disk.check()
        self._begun = None

    def end(self) -> None:
        """Check that there is a population, and that each is whole; say which version of the format they need."""
        if not self._labels:
            raise EdfkitError(f"{self._path}: there are no populations to write, expected at least one; give it.")
        if self._begun:
            raise EdfkitError(f"{place(self._path, self._begun)} was begun and not finished; write the archive again.")
        if self._needs_2:
            self._file.set_attr("format_version", _attribute(FORMAT_VERSION))


class _Rules(NamedTuple):
    """What the format says of a population to write: its metrics, and its variables by name."""

    measured: list[Metric]
    known: dict[str, Spec]

    @property
    def to_check(self) -> dict[str, Spec]:
        """What values are held against: those of `status` say themselves which version of the format they need."""
        return self.known | {"status": STATUS_2}


def _rules(where: str, attrs: Mapping[str, Mapping[str, Any]], group_attrs: Mapping[str, object] | None) -> _Rules:
    measured = metrics(where, attrs, (group_attrs or {}).get("metric", ERROR.name))
    return _Rules(measured, specs_2(attrs, measured))


def _label(name: str, group_attrs: Mapping[str, object] | None) -> str:
    return str((group_attrs or {}).get("label", name))


def _layout(name: str, column: Field) -> Layout:
    """Say how a variable is stored."""
    layout, attrs = _bare_layout(name, column), _stored_attrs(column.attrs)
    if column.decimals is not None:
        attrs["scale_factor"] = _attribute(1 / 10**column.decimals)
    if column.dtype == "S1":
        attrs["_Encoding"] = _attribute("utf-8")
    rows = max(_rows(column), 2 * power_of_two(-(-column.shape[0] // _DIGESTS) - 1))
    return replace(layout, attrs=attrs | {"crc32_rows": _attribute(np.int64(rows))}, fill=_fill(column))


def _bare_layout(name: str, column: Field) -> Layout:
    """Say in which chunks a variable is stored."""
    chunks = (min(_rows(column), column.shape[0]), *column.shape[1:])
    return Layout(column.dtype, stored_dims(name, column.dims, column.dtype), column.shape, chunks, {})


def _rows(column: Field) -> int:
    return power_of_two(_CHUNK_BYTES // (column.dtype.itemsize * math.prod(column.shape[1:])))


def _fill(column: Field) -> int | None:
    return None if column.decimals is None else int(np.iinfo(column.dtype).min)


def _packed_alike(decimals: int | None, fill: Any, column: Field) -> bool:
    """Tell whether numbers that are stored with such decimals and fill value stand for the same in a column."""
    return decimals == column.decimals and (decimals is None or np.ravel(fill).tolist() == [_fill(column)])


def _checked_fields(where: str, fields: Mapping[str, Field], rules: _Rules) -> dict[str, Field]:
    """Check what is to be streamed as far as can be without its values, and put it in order."""
    ordered = {v: fields[v] for v in [*(v for v in VARIABLES if v in fields), *sorted(set(fields) - set(VARIABLES))]}
    for name, column in ordered.items():
        check_name(where, "a variable", name)
        spec = rules.known.get(name)
        if spec:
            check_dims(where, name, column.dims, spec)
        ordered[name] = replace(column, attrs=_checked_attrs(where, name, column.attrs, spec))
    shapes = {v: Shape(f.type, f.shape, f.attrs["units"]) for v, f in ordered.items()}
    sizes = check_structure(where, shapes, rules.known)
    _check_axes(where, ordered, sizes)
    return ordered


def _checked_attrs(where: str, name: str, given: Mapping[str, Any], spec: Spec | None) -> dict[str, Any]:
    """Give the attributes of a variable, with those that the format has for it."""
    attrs: dict[str, Any] = {"units": spec.units if spec else "1", "long_name": spec.long_name if spec else name}
    attrs |= (flag_attrs(spec) if spec else {}) | dict(given)
    _check_attrs(f"{where}: {name!r}", attrs, reserved=STORAGE_ATTRS)
    if spec:
        check_flags(where, name, attrs, spec)
    return attrs | flag_attrs(VARIABLES["status"]) if name == "status" else attrs  # until its values say more


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
    where: str, fields: Mapping[str, Field], block: Mapping[str, ArrayLike], first: int, rules: _Rules
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Bring a block of a stream into the form it is stored in, and check it; give that, and its numbers as they are."""
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
            whole = packed(values, column.decimals)
            if whole is None or whole.dtype.itemsize > column.dtype.itemsize:
                raise EdfkitError(
                    f"{where}: {name!r} has values that {column.dtype} with {column.decimals} decimals does not hold; "
                    "store it as <f8."
                )
            stored[name] = widened(whole, column.dtype)
    for name, values in values_of.items():
        check_values(where, name, values, lambda: values_of["status"], first, rules.to_check)
    along = {v: values for v, values in values_of.items() if fields[v].dims[0] == "model"}
    check_relations(where, along, first, rules.measured)
    return stored, values_of


def _columns(where: str, given: Mapping[str, Variable], rules: _Rules) -> dict[str, tuple[Field, NDArray[Any]]]:
    """Bring a population's variables into the form they are stored in, and check them."""
    columns: dict[str, Variable] = {}
    for name in [*(name for name in VARIABLES if name in given), *sorted(set(given) - set(VARIABLES))]:
        variable, spec = given[name], rules.known.get(name)
        check_name(where, "a variable", name)
        if spec and variable.dims is not None:
            check_dims(where, name, variable.dims, spec)
        values = _stored(where, name, variable.values, spec.types if spec else None)
        attrs = _checked_attrs(where, name, variable.attrs, spec)
        columns[name] = Variable(values, spec.dims if spec else variable.dims, attrs)

    arrays = {name: np.asarray(column.values) for name, column in columns.items()}
    shapes = {n: Shape(a.dtype, a.shape, columns[n].attrs["units"]) for n, a in arrays.items()}
    sizes = check_structure(where, shapes, rules.known)
    fields = {
        name: Field(array.dtype, columns[name].dims or _deduced_dims(where, name, array, sizes), array.shape)
        for name, array in arrays.items()
    }
    _check_axes(where, fields, sizes)
    for name, array in arrays.items():
        check_values(where, name, array, lambda: arrays["status"], known=rules.to_check)
    ids = Ids(len(arrays["id"]))
    ids.add(arrays["id"])
    ids.check(where, lambda: [arrays["id"]])
    check_relations(where, arrays, measured=rules.measured)
    packings = {name: pack(array) for name, array in arrays.items()}
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
        check_name(where, "an attribute", name, rf"(?!{'|'.join(HIDDEN_ATTRS)})[A-Za-z][A-Za-z0-9_.-]{{0,99}}")
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
        return np.array(data, f"S{max(2, len(data))}")
    numbers = np.atleast_1d(np.asarray(value))
    if numbers.dtype.kind not in "iuf" or numbers.ndim != 1 or numbers.size == 0:
        raise TypeError("neither text nor numbers")
    return numbers


def _stored_attrs(attrs: Mapping[str, object]) -> dict[str, NDArray[Any]]:
    return {name: _attribute(value) for name, value in attrs.items()}
