"""The published files, in and out: `import_nds` makes an archive of them, `export_nds` files of an archive.

An archive that was imported holds every number of the files, and so gives them back: the curves as variables, the rest
of each record as JSON in `record`, where the number of its values stands for each curve. Test errors lie without the
noise of single precision in `error`, `error_final` and `test_error`, and what that took from `test_error` in
`test_error_rest`.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError, __version__
from edfkit.archive import Archive, Variable, Writer, nets, writing
from edfkit.archive.files import replacing
from edfkit.archive.published import CURVES, DIVERGED_FROM, NOISE, dataset_of, denoised, noised
from edfkit.archive.schema import Status
from edfkit.exchange.members import Member, find_members, open_member
from edfkit.exchange.records import read_records
from edfkit.metric import ERROR

# Of each iteration, in some files.
_STEPS = {"train_it_loss": "train_it_loss", "train_it_top1": "train_it_top1"}
_STEP_ATTRS = {
    "train_it_loss": {"units": "nats", "long_name": "training loss of each iteration"},
    "train_it_top1": {"units": "percent", "long_name": "top-1 training error of each iteration"},
}
_REST = "test_error_rest"
_REST_ATTRS = {"units": "1e-6 percent", "long_name": "noise of single precision that test_error had in the source"}
_ALL_CURVES = CURVES | _STEPS
# Variables by what the records call them.
_NUMBERS = {
    "error": "min_test_top1",
    "params": "params",
    "flops": "flops",
    "seed": "rng_seed",
    "step_seconds": "iter_time",
    "memory": "act_mem",
}
_OPTIM = {"lr": "base_lr", "wd": "wd"}
# What a recipe calls the settings of a record.
_RECIPE = {
    "epochs": "max_ep",
    "lr": "base_lr",
    "schedule": "lr_policy",
    "weight_decay": "wd",
    "momentum": "mom",
    "iter_lr": "iter_lr",
}
_POLICIES = {"cos": "cosine"}
_STATUS = np.array([Status.FINISHED, Status.DIVERGED], np.int8)
_BLOCK = 512  # records whose networks become columns together
_BLOCK_BYTES = 3_000_000  # of a curve
_LONGEST_ID = 100
_MOST_BYTES = 2**31  # of one variable, padded
_ROWS = 512  # records that are lists of numbers, ten times as large as arrays, at a time


@dataclass(frozen=True)
class Imported:
    """What an import gave.

    Attributes
    ----------
    populations : dict of str to int
        The number of models of each, in the order of the files.
    files : dict of str to str
        The id that git gives to each file, SHA-1 of its content with a header.
    read : int
        Bytes of JSON that were read.
    left_out : int
        Files of zips that are no JSON.
    notes : tuple of str
        What was found otherwise than expected, a sentence each.
    """

    populations: dict[str, int]
    files: dict[str, str]
    read: int
    left_out: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    files : dict of str to int
        The number of records of each file, by its name.
    left_out : dict of str to int
        Failed models that are not in it, for each file that has such.
    """

    files: dict[str, int]
    left_out: dict[str, int]


# --- Import


def total_bytes(sources: Sequence[Path]) -> int:
    """Say how many bytes of JSON an import will read, for a progress bar.

    Raises
    ------
    EdfkitError
        See `import_nds`.
    """
    return sum(member.size for member in find_members(sources)[0])


def import_nds(
    sources: Sequence[Path],
    target: Path,
    *,
    title: str | None = None,
    license: str = "not stated",
    progress: Callable[[int], None] | None = None,
) -> Imported:
    """Make an archive of published files, whole or not at all.

    Of the files no more is in memory than one population, as numbers. An id that is missing or not the first of its
    kind is made: the place of the record, or the id with "-2", "-3" and so on.

    Parameters
    ----------
    sources : sequence of Path
        The zip of the published files, which is not unpacked to disk, folders, or JSON files.
    target : Path
        The archive to write or replace.
    title : str, optional
        By default the names of the files.
    license : str
        Under which terms the data may be used.
    progress : callable, optional
        Called with the number of bytes after each piece that was read; their sum is `total_bytes`.

    Returns
    -------
    Imported

    Raises
    ------
    EdfkitError
        If a source cannot be read, is not in the published format, or two of its lists give one population; if values
        are out of range (errors in percent), or the archive cannot be written.
    """
    if not sources:
        raise EdfkitError("There is nothing to import; give published JSON files, their folder or their zip.")
    members, left_out = find_members(sources)
    names = [member.name.removesuffix(".json") for member in members]
    data = list(dict.fromkeys(map(_dataset, members)))
    attrs = {
        "title": title or "published files: " + (", ".join(names) if len(names) <= 8 else f"{len(names)} populations"),
        "source": ", ".join(dict.fromkeys(str(member.path.name) for member in members))[:10_000],
        "license": license,
        "dataset": ", ".join(data)[:10_000],
        "recipe": "{}",  # until the records have been read
        "software": f"edfkit {__version__}",
        "commit": "unknown",
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    populations: dict[str, int] = {}
    files: dict[str, str] = {}
    notes: list[str] = []
    read = 0
    recipe: dict[str, Any] | None = None  # what all populations share; each has its own besides
    with writing(target, attrs) as writer:
        for member in members:
            with open_member(member, progress) as stream:
                for place, population in enumerate(_populations(stream, member)):
                    population.place = place
                    if population.name in populations:
                        raise EdfkitError(
                            f"{member.where} gives a second population {population.name!r}; rename the file, or import "
                            "it into another archive."
                        )
                    populations[population.name] = len(population.ids)
                    population.write(writer)
                    recipe = _shared(recipe, population.recipe)
                    notes += population.notes
            files[member.name] = stream.blob
            read += stream.count
        writer.restate({"recipe": json.dumps(recipe)})
    return Imported(populations, files, read, left_out, tuple(notes))


def _dataset(member: Member) -> str:
    """Say what the models of a file were trained on, by its name and its first record."""
    with open_member(member) as stream:
        return dataset_of(member.name, next(read_records(stream, member.where)).record)


def _populations(stream: Any, member: Member) -> Iterator[_Population]:
    """Gather the records of a file, list by list."""
    population: _Population | None = None
    for key, record, strict in read_records(stream, member.where):
        if population is None or population.key != key:
            if population is not None:
                yield population
            population = _Population(member, key)
        population.add(record, strict)
    if population is not None:
        yield population


def _population_name(file: str, key: str | None) -> str:
    stem = Path(file).stem.lower()
    name = stem if key is None else f"{stem}_{key}"
    return re.sub(r"[^a-z0-9._-]", "-", name.lower()).lstrip("._-")[:100] or "population"


class _Population:
    """Records that come one by one, as numbers and text.

    Parameters
    ----------
    member : Member
        The file.
    key : str or None
        Of the list in the file, if it has several.
    """

    def __init__(self, member: Member, key: str | None) -> None:
        self.key, self.place = key, 0
        self.name = _population_name(member.name, key)
        self.ids: list[str] = []
        self.notes: list[str] = []
        self._member = member
        self._dataset: str | None = None
        self._seen: dict[str, int] = {}
        self._numbers = {name: array("d") for name in (*_NUMBERS, *_OPTIM)}
        # In blocks, the last one open. Those of a few megabytes go back to the system when they are joined; one array
        # that grows, or many small ones, would leave holes in memory.
        self._curves = {key: [array("d")] for key in _ALL_CURVES.values()}
        self._lengths = {key: array("q") for key in _ALL_CURVES.values()}
        self._texts: list[bytes] = []
        self._optim: object = None
        self._common: dict[str, Any] | None = None
        self._nets: list[Any] = []
        self._columns: list[nets.Columns] | None = []

    def add(self, record: dict[str, Any], strict: bool) -> None:
        """Take the next record, which is changed."""
        self.ids.append(self._id(record.get("job_id")))
        if not self._texts:
            self._dataset = dataset_of(self._member.name, record)
        for name, key in _NUMBERS.items():
            self._numbers[name].append(self._number(key, record.get(key)))
        optim = record.get("optim")
        settings = optim if isinstance(optim, dict) else {}
        for name, key in _OPTIM.items():
            self._numbers[name].append(self._number(key, settings.get(key)))
        if optim != self._optim or self._common is None:
            self._optim = optim
            known = {key: settings[old] for key, old in _RECIPE.items() if old in settings}
            self._common = _shared(self._common, known)
        for key, blocks in self._curves.items():
            curve = record.get(key)
            if curve is None:
                self._lengths[key].append(0)
                continue
            if len(blocks[-1]) * 8 > _BLOCK_BYTES:
                blocks.append(array("d"))
            try:
                blocks[-1].fromlist(curve)
            except (TypeError, OverflowError) as error:
                raise self._wrong(key, curve, "a list of numbers") from error
            record[key] = len(curve)
            self._lengths[key].append(len(curve))
        self._nets.append(record.get("net"))
        if len(self._nets) == _BLOCK:
            self._read_nets()
        # A copy, as what orjson gives takes kilobytes however short it is.
        text = orjson.dumps(record) if strict else json.dumps(record).encode()
        self._texts.append(memoryview(text).tobytes())

    def _number(self, key: str, value: object) -> float:
        if type(value) is float or type(value) is int:
            try:
                return float(value)
            except OverflowError:
                pass
        elif value is None:
            return math.nan
        raise self._wrong(key, value, "a number")

    def _wrong(self, key: str, value: object, expected: str) -> EdfkitError:
        given = repr(value)
        given = given if len(given) <= 60 else given[:57] + "..."
        part = "" if self.key is None else f" in {self.key!r}"
        return EdfkitError(
            f"Record {len(self._texts)}{part} of {self._member.where} has the {key} {given}, expected {expected}; give "
            "a file in the published format."
        )

    def _id(self, given: object) -> str:
        """Give an id that no record before has."""
        name = given if isinstance(given, str) else "" if given is None else json.dumps(given)
        name = name.replace("\0", "").encode("utf-8", "backslashreplace").decode()[:_LONGEST_ID] or str(len(self.ids))
        while (count := self._seen.get(name, 0)) > 0:
            self._seen[name] = count + 1
            name = f"{name}-{count + 1}"
        self._seen[name] = 1
        return name

    def _read_nets(self) -> None:
        """Turn the networks at hand into columns, as long as those of all records go together."""
        if self._columns is not None and self._nets:
            try:
                columns = nets.uniform(self._nets)
                if self._columns and _shapes(columns) != _shapes(self._columns[0]):
                    raise EdfkitError("the networks differ in what they have; read them apart.")
                self._columns.append(columns)
            except EdfkitError as error:
                self._columns = None
                self.notes.append(f"{self.name}: the networks are kept in the records, not as columns: {error}")
        self._nets = []

    def write(self, writer: Writer) -> None:
        """Write the population to an archive; this takes its records away."""
        self._read_nets()
        columns: dict[str, ArrayLike | Variable] = {"id": np.array(self.ids)}
        numbers = {name: np.frombuffer(values) for name, values in self._numbers.items()}
        lengths = {key: np.frombuffer(counts, np.int64) for key, counts in self._lengths.items()}
        unknown = np.zeros(len(self.ids), bool)  # whether a curve has NaN
        curves: dict[str, NDArray[np.float64]] = {}
        epochs, steps = (max(lengths[key].max() for key in keys.values()) for keys in (CURVES, _STEPS))
        for name, key in _ALL_CURVES.items():
            values = np.concatenate([np.frombuffer(block) for block in self._curves.pop(key)])
            if not values.size:
                continue
            if name in CURVES and (nan := np.isnan(values)).any():
                unknown[np.repeat(np.arange(len(unknown)), lengths[key])[nan]] = True
            curves[name] = self._padded(key, values, lengths[key], int(steps if name in _STEPS else epochs))

        given = numbers["error"]
        error, final = denoised(given)[0], np.full(len(self.ids), np.nan)
        diverged = unknown | (given >= DIVERGED_FROM)
        if "test_error" in curves:
            best = np.fmin.reduce(curves["test_error"], axis=1)
            off = np.abs(given - best) > NOISE
            if (more := (off & ~diverged).sum()) > 0:
                self.notes.append(
                    f"{self.name}: of {more:,} models min_test_top1 is not the smallest test error, as of runs that "
                    "broke down; they count as diverged."
                )
            diverged |= off
            test, rest = denoised(curves["test_error"])
            curves["test_error"] = test
            if rest.any():
                columns[_REST] = Variable(rest, ("model", "epoch"), _REST_ATTRS)
            has = np.flatnonzero(lengths["test_ep_top1"])
            final[has] = test[has, lengths["test_ep_top1"][has] - 1]
            best = np.fmin.reduce(test, axis=1)
            error = np.where((np.isnan(given) | ~diverged) & ~np.isnan(best), best, error)
        error[np.isnan(error) & unknown] = 100.0  # without any known test error, it did not get beyond guessing
        self._check_errors(error)
        columns |= {name: values for name, values in numbers.items() if name in (*_NUMBERS, *_OPTIM)}
        columns |= {"error": error, "error_final": final, "status": _STATUS[diverged.astype(int)]}
        columns |= {name: np.full(len(self.ids), np.nan) for name in ("macs", "acts", "seconds")}
        for name in ("step_seconds", "memory"):
            if np.isnan(numbers[name]).all():
                del columns[name]
        for name in CURVES:
            if name in curves:
                columns[name] = curves.pop(name)
        for name, values in curves.items():
            columns[name] = Variable(values, ("model", "iteration"), _STEP_ATTRS[name])
        columns["record"] = self._joined_texts()
        for name in self._columns[0] if self._columns else ():
            columns[name] = np.concatenate([part[name] for part in self._columns or ()])
        attrs: dict[str, str | int | float] = {
            "source_file": self._member.name,
            "source_place": self.place,
            "dataset": self._dataset or "",
            "recipe": json.dumps(self.recipe),
        }
        if self.key is not None:
            attrs["source_key"] = self.key
        writer.add(self.name, columns, attrs)

    def _check_errors(self, error: NDArray[np.float64]) -> None:
        if np.isnan(error).any():
            record = int(np.isnan(error).argmax())
            raise EdfkitError(
                f"Record {record} of {self._member.where} has neither min_test_top1 nor test_ep_top1, expected the "
                "error of every model; give a file in the published format."
            )

    def _padded(
        self, key: str, values: NDArray[np.float64], lengths: NDArray[np.int64], width: int
    ) -> NDArray[np.float64]:
        """Give values as rows, with NaN where one is shorter."""
        if (lengths == width).all():
            return values.reshape(-1, width)
        if len(lengths) * width * values.itemsize > _MOST_BYTES:
            raise EdfkitError(
                f"{self._member.where} has a {key} of {width:,} values, which is too long to pad the others to; import "
                "records of such different lengths from files of their own."
            )
        rows = np.full((len(lengths), width), np.nan)
        rows[np.arange(width) < lengths[:, None]] = values
        return rows

    def _joined_texts(self) -> NDArray[np.bytes_]:
        longest = max(map(len, self._texts))
        if len(self._texts) * longest > _MOST_BYTES:
            raise EdfkitError(
                f"{self._member.where} has a record of {longest:,} bytes besides its curves, which is too long to pad "
                "the others to; import it from a file of its own."
            )
        texts = np.array(self._texts)
        self._texts.clear()
        return texts.view("S1").reshape(len(texts), -1)

    @property
    def recipe(self) -> dict[str, Any]:
        """How all models were trained, as far as it is the same."""
        recipe = self._common or {}
        if isinstance(policy := recipe.get("schedule"), str):
            recipe = recipe | {"schedule": _POLICIES.get(policy, policy)}
        return recipe


def _shared(one: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    """Give the settings that both have, all of the other one if there is no first."""
    return other if one is None else {key: value for key, value in one.items() if key in other and other[key] == value}


def _shapes(columns: nets.Columns) -> dict[str, tuple[int, ...]]:
    return {name: values.shape[1:] for name, values in columns.items()}


# --- Export


@dataclass(frozen=True)
class _Part:
    """A population that goes to a file: its place in it, and the key of its list there."""

    place: int
    key: str | None
    name: str


def export_nds(source: Path, target: Path, spaces: Sequence[str] | None = None, *, force: bool = False) -> Exported:
    """Write the populations of an archive as published files, each whole or not at all.

    What was imported comes back: the same records in the same order, with the same keys and equal numbers. Of other
    populations each model becomes such a record with what is known of it, except those that failed; `dataset` is a key
    more where the name of the file would tell of other images. Metrics besides the error, as all other variables of an
    archive, are no part of such records.

    Parameters
    ----------
    source : Path
        The archive.
    target : Path
        The folder, which is made if it does not exist.
    spaces : sequence of str, optional
        Some of the populations, in any case; all by default.
    force : bool
        Whether files that exist are replaced.

    Returns
    -------
    Exported

    Raises
    ------
    EdfkitError
        If the archive cannot be read, lacks a population, gives one list of a file twice, or holds damaged records; if
        a population has another default metric than the error, models that were stopped or are running, or diverged
        without an error, as published files cannot say so; if a file exists, or cannot be written.
    """
    with Archive(source) as archive:
        files: dict[str, list[_Part]] = {}
        names = archive.names if spaces is None else list(map(archive.identify, spaces))
        for name in dict.fromkeys(_stored_name(archive, name) for name in names):
            if archive.version > 1:
                _check_sayable(archive, name)
            file, part = _part(archive, name)
            files.setdefault(file, []).append(part)
        for file, parts in files.items():
            parts.sort(key=lambda part: part.place)
            keys = [part.key for part in parts]
            if len(set(keys)) < len(keys) or (None in keys and len(keys) > 1):
                raise EdfkitError(
                    f"{source}: {', '.join(part.name for part in parts)} all come from {file} and cannot be told apart "
                    "it; export them to a folder each."
                )
            if (target / file).exists() and not force:
                raise EdfkitError(
                    f"{target / file} exists; choose another folder, or allow that files are replaced (--force)."
                )
        written: dict[str, int] = {}
        left_out: dict[str, int] = {}
        try:
            target.mkdir(parents=True, exist_ok=True)
            for file, parts in files.items():
                with replacing(target / file) as temporary, open(temporary, "w", encoding="utf-8") as out:
                    counts = [_write_part(archive, file, part, i, len(parts), out) for i, part in enumerate(parts)]
                written[file] = sum(count for count, _ in counts)
                if failed := sum(failed for _, failed in counts):
                    left_out[file] = failed
        except OSError as error:
            raise EdfkitError(
                f"{error.filename or target} was not written ({error.strerror or error}); check the folder."
            ) from error
        return Exported(written, left_out)


def _check_sayable(archive: Archive, name: str) -> None:
    """Check that published files can say how the models of a population ended, and how good they are."""
    default = archive.metrics(name)[0]
    if default.name != ERROR.name:
        raise EdfkitError(
            f"{archive.path}: population {name!r} has the metric {default.label}, and published files hold errors in "
            "percent; leave it out."
        )
    status, error = archive.read(name, "status"), archive.read(name, "error")
    going = int((status > Status.FAILED).sum())
    unknown = int((np.isnan(error) & (status == Status.DIVERGED)).sum())
    if going or unknown:
        what = f"{going:,} models that were stopped or are running" if going else f"{unknown:,} models without an error"
        raise EdfkitError(
            f"{archive.path}: population {name!r} has {what}, which published files cannot say; take the others by "
            "edfkit subset --status finished."
        )


def _stored_name(archive: Archive, name: str) -> str:
    archive.models(name)  # refuses an unknown one
    found: str = next(stored for stored in archive.names if stored.casefold() == name.casefold())
    return found


def _is_imported(archive: Archive, name: str) -> bool:
    return "record" in archive.variables(name) and "source_file" in archive.group_attrs(name)


def _part(archive: Archive, name: str) -> tuple[str, _Part]:
    """Find to which file a population goes, and where in it."""
    attrs = archive.group_attrs(name)
    if not _is_imported(archive, name):
        imagenet = archive.dataset(name) == "ImageNet" and not name.endswith("_in")
        return f"{name}{'_in' if imagenet else ''}.json", _Part(0, None, name)
    file, place, key = str(attrs["source_file"]), attrs.get("source_place", 0), attrs.get("source_key")
    # Archives come from anywhere: such a name must not lead out of the folder.
    if not re.fullmatch(r"[^/\\\0:]+\.json", file, re.IGNORECASE) or file.startswith("."):
        raise EdfkitError(
            f"{archive.path}: population {name!r} has the source_file {file!r}, expected the name of a JSON file; "
            "import it again."
        )
    return file, _Part(place if isinstance(place, int) else 0, None if key is None else str(key), name)


def _write_part(archive: Archive, file: str, part: _Part, number: int, of: int, out: TextIO) -> tuple[int, int]:
    """Write the list of a population; count its records, and the failed models that it leaves out."""
    if part.key is not None:
        out.write(f"{'{' if number == 0 else ', '}{json.dumps(part.key)}: ")
    out.write("[")
    count = failed = 0
    records = _imported(archive, part.name) if _is_imported(archive, part.name) else _made(archive, file, part.name)
    for record in records:
        if record is None:
            failed += 1
            continue
        out.write(("" if count == 0 else ", ") + json.dumps(record))
        count += 1
    if not count:
        raise EdfkitError(
            f"{archive.path}: every model of {part.name} failed, so there is no record to write; leave it out."
        )
    out.write("]" + ("}" if part.key is not None and number == of - 1 else ""))
    return count, failed


def _pieces(archive: Archive, name: str, variables: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
    """Read some models after the others."""
    for piece in archive.chunks(name, variables):
        for start in range(0, len(piece[variables[0]]), _ROWS):
            yield {variable: values[start : start + _ROWS] for variable, values in piece.items()}


def _rows(piece: Mapping[str, NDArray[Any]], curves: Mapping[str, str]) -> dict[str, list[Any]]:
    """Give the curves of a piece as lists, by what the records call them, with the noise that they had."""
    rows = {}
    for name, key in curves.items():
        values = piece[name]
        if name == "test_error" and _REST in piece:
            values = noised(values, piece[_REST])
        rows[key] = values.tolist()
    return rows


def _imported(archive: Archive, name: str) -> Iterator[dict[str, Any]]:
    """Give back the records of a population that was imported."""
    stored = archive.variables(name)
    curves = {variable: key for variable, key in _ALL_CURVES.items() if variable in stored}
    read = [*curves, "record", *([_REST] if _REST in stored else [])]
    number = 0
    for piece in _pieces(archive, name, read):
        rows = _rows(piece, curves)
        for i, text in enumerate(piece["record"].tolist()):
            try:
                record: dict[str, Any] = json.loads(text)
                for key in _ALL_CURVES.values():
                    length = record.get(key)
                    if length is not None:
                        values = rows[key][i] if length else []
                        if not 0 <= length <= len(values):
                            raise ValueError(f"{length} values of {key}")
                        record[key] = values[:length]
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                raise EdfkitError(
                    f"{archive.path}: record {number} of {name} cannot be given back ({type(error).__name__}: "
                    "{error}); import the published file again."
                ) from error
            number += 1
            yield record


def _made(archive: Archive, file: str, name: str) -> Iterator[dict[str, Any] | None]:
    """Make records of models that were not imported, None of those that failed."""
    stored, attrs = archive.variables(name), archive.group_attrs(name)
    try:
        architecture = json.loads(str(attrs.get("architecture", "null")))
        recipe = archive.recipe(name)
    except ValueError as error:
        raise EdfkitError(f"{archive.path}: the attributes of {name} are no JSON ({error}); write it again.") from error
    recipe = recipe if isinstance(recipe, dict) else {}
    dataset = archive.dataset(name)
    curves = {variable: key for variable, key in CURVES.items() if variable in stored}
    optional = [variable for variable in ("step_seconds", "memory") if variable in stored]
    described = [v for v in ("op", "input", "concat", "depth", "width", "bot_mul", "groups") if v in stored]
    if not isinstance(architecture, dict) or "block" not in architecture or not {"depth", "width"} <= set(described):
        described = []
    numbers = ("error", "error_final", "params", "flops", "seed", "lr", "wd", *optional)
    for piece in _pieces(archive, name, ["id", "status", *numbers, *described, *curves]):
        rows = _rows(piece, curves)
        known = {variable: [_plain(value) for value in piece[variable].tolist()] for variable in numbers}
        networks = nets.publish(architecture, {v: piece[v] for v in described}) if described else None
        for i, (model, status) in enumerate(zip(piece["id"].tolist(), piece["status"].tolist(), strict=True)):
            if status == Status.FAILED:
                yield None
                continue
            record: dict[str, Any] = {"job_id": model}
            for key, variable in (("rng_seed", "seed"), ("params", "params"), ("flops", "flops")):
                if (value := known[variable][i]) is not None:
                    record[key] = value
            if dataset != dataset_of(file, None):
                record["dataset"] = dataset
            if networks:
                record["net"] = networks[i]
            record["optim"] = _optim(recipe, known["lr"][i], known["wd"][i])
            for key, variable in (("act_mem", "memory"), ("iter_time", "step_seconds")):
                if variable in known and (value := known[variable][i]) is not None:
                    record[key] = value
            record["min_test_top1"] = float(piece["error"][i])
            for variable, key in CURVES.items():
                record[key] = rows[key][i] if variable in curves else []
            if "test_error" not in curves and known["error_final"][i] is not None:
                # The readers take the error after the last epoch from the curve.
                record["test_ep_top1"] = [float(piece["error"][i]), float(piece["error_final"][i])]
            yield record | {"train_it_loss": [], "train_it_top1": []}


def _plain(value: float) -> float | int | None:
    """Give a number as people write it, None if it is not known."""
    if math.isnan(value):
        return None
    return int(value) if value == int(value) else value


def _optim(recipe: Mapping[str, Any], lr: float | None, wd: float | None) -> dict[str, Any]:
    names = {policy: name for name, policy in _POLICIES.items()}
    schedule = recipe.get("schedule")
    found = {
        "base_lr": lr,
        "iter_lr": recipe.get("iter_lr", False),
        "lr_policy": names.get(schedule, schedule) if isinstance(schedule, str) else None,
        "max_ep": recipe.get("epochs"),
        "mom": recipe.get("momentum"),
        "wd": wd,
    }
    return {key: value for key, value in found.items() if value is not None}
