"""Tables of models, as any tool writes them: CSV, Parquet and JSON lines, one row per model.

Tables are read in pieces, of which compact columns are kept. A row without an error is a model that failed. Columns
that have no role in the archive become variables of their own: numbers where all their values are, else text as it
stands in the table.
"""

import csv
import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Variable
from edfkit.archive.schema import Status
from edfkit.exchange import foreign
from edfkit.exchange.foreign import MOST_CHARACTERS, Attributes, Imported

_ROWS = 5_000  # of a piece; ten times as many took 1.6 times as long, and more memory
# Columns that are taken for the variable of the same name without being named for it.
NUMBERS = ("params", "macs", "flops", "acts", "seed", "lr", "wd", "seconds")
_MISSING = frozenset(("", "na", "n/a", "nan", "<na>", "none", "null"))
_STATUS = {
    **dict.fromkeys(("finished", "complete", "completed", "done", "ok", "success"), Status.FINISHED),
    **dict.fromkeys(("diverged",), Status.DIVERGED),
    **dict.fromkeys(("failed", "fail", "error", "crashed"), Status.FAILED),
}
_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet", ".pq": "parquet"}


class _Piece(NamedTuple):
    """Some rows of a table: where each is, as its line or row number, and the values by column."""

    lines: Sequence[int]
    values: Mapping[str, Sequence[Any]]


def import_table(
    file: Path,
    target: Path,
    *,
    error: str | None = None,
    accuracy: str | None = None,
    unit: str | None = None,
    final: str | None = None,
    space: str | None = None,
    name: str | None = None,
    params: str | None = None,
    macs: str | None = None,
    flops: str | None = None,
    acts: str | None = None,
    seed: str | None = None,
    lr: str | None = None,
    wd: str | None = None,
    seconds: str | None = None,
    id: str | None = None,
    status: str | None = None,
    **attrs: Unpack[Attributes],
) -> Imported:
    """Make an archive of a table with one row per model.

    Parameters
    ----------
    file : Path
        A table: .csv, .tsv, .jsonl or .ndjson, each also as .gz, or .parquet. CSV and TSV are UTF-8 with a line of
        column names; empty fields and NA, N/A, NaN, None and null in a column of numbers are values not known.
    target : Path
        The archive to write or replace, whole or not at all.
    error, accuracy : str, optional
        The column of the test errors, or of the accuracies (error = 100 - accuracy); exactly one of them.
    unit : {"percent", "share"}, optional
        Of both, and of `final`; percent by default, unless no value is above 1, when it has to be given.
    final : str, optional
        The column of the errors or accuracies after the last epoch.
    space : str, optional
        A column that names the population of each row; by default all are of one.
    name : str, optional
        The population, without `space`; by default called after the file.
    params, macs, flops, acts, seed, lr, wd, seconds, id : str, optional
        The columns of these variables; by default the column of the same name, if there is one, and none if "". Models
        have the number of their row, from 1, as id where there is no such column.
    status : str, optional
        A column that says how the training ended: finished, diverged or failed (complete, completed, done, ok and
        success, or fail, error and crashed, are the same).
    **attrs
        Attributes of the archive, see `edfkit.exchange.foreign.Attributes`; `created` is by default when the file was
        last changed.

    Returns
    -------
    Imported

    Raises
    ------
    EdfkitError
        If the file cannot be read as a table, a column is missing, or a value cannot be what its column is named for,
        with the line (in Parquet: the row) that it is in; if an id comes twice in a population, or two names of
        populations become the same.
    """
    if (error is None) == (accuracy is None):
        raise EdfkitError(
            "A table is imported by its errors or by its accuracies; name the column of exactly one of them, by "
            "--error or --accuracy."
        )
    if space is not None and name is not None:
        raise EdfkitError(f"Names of populations were given by the column {space!r} and as {name!r}; give one of them.")
    changed = foreign.modified(file)
    roles = {"error": error if error is not None else accuracy, "error_final": final, "space": space, "status": status}
    roles |= {"params": params, "macs": macs, "flops": flops, "acts": acts, "seed": seed, "lr": lr, "wd": wd}
    roles |= {"seconds": seconds, "id": id}
    table = _read(file, roles)
    place = _placing(file, table.lines)
    columns = {role: table.roles[role] for role in NUMBERS if role in table.roles}
    for role, values in columns.items():
        foreign.check_counts(role, values, place)
    columns["error"] = foreign.errors_of(table.roles["error"], accuracy is not None, unit, place)
    if "error_final" in table.roles:
        # The unit is settled by the errors: the last ones of all models can be above 1 only if those are.
        columns["error_final"] = foreign.errors_of(
            table.roles["error_final"], accuracy is not None, unit or "percent", place
        )
    rows = len(table.lines)
    state = table.roles.get("status", np.full(rows, Status.FINISHED, np.int8))
    columns["status"] = np.where(np.isnan(columns["error"]), Status.FAILED, state).astype(np.int8)
    columns["id"] = table.roles.get("id", np.arange(1, rows + 1).astype(str))

    if space is None:
        names = {foreign.population_name(name or _stem(file), str(file)): name or _stem(file)}
        codes = np.zeros(rows, np.intp)
    else:
        names = _names(table.spaces, file, space)
        codes = table.roles["space"]
    variables = foreign.named(table.extras)
    populations: dict[str, dict[str, Any]] = {}
    for code, population in enumerate(names):
        chosen = slice(None) if len(names) == 1 else np.flatnonzero(codes == code)
        populations[population] = {column: values[chosen] for column, values in columns.items()}
        foreign.check_ids(populations[population]["id"], _placing(file, table.lines[chosen]))
        populations[population] |= {
            column: Variable(np.asarray(v.values)[chosen], v.dims, v.attrs) for column, v in variables.items()
        }
    return foreign.save(
        target,
        populations,
        foreign.root_attrs(f"{file.name}, a table", changed, attrs),
        {population: {"name_in_source": foreign.text(text)[:1000] or "-"} for population, text in names.items()},
        notes=[
            f"The column {text!r} is not in the archive: its text is too long, {MOST_CHARACTERS:,} characters at most "
            "if each value takes as many as the longest."
            for text in table.too_long
        ],
    )


def _placing(file: Path, lines: NDArray[np.int64]) -> Callable[[int], str]:
    """Say where each model is in the file."""
    return lambda row: f"{_line(file)} {lines[row]} of {file}"


class _Table(NamedTuple):
    """A table in memory: by role, and the columns without one by their names in the table."""

    lines: NDArray[np.int64]
    roles: dict[str, NDArray[Any]]
    spaces: list[str]
    extras: dict[str, NDArray[Any]]
    too_long: list[str]


def _read(file: Path, given: Mapping[str, str | None]) -> _Table:
    as_text: set[str] = set()  # columns of numbers in some pieces and text in others
    while True:
        table = _attempt(file, given, as_text)
        mixed = {name for name, values in table.extras.items() if values.dtype == object}
        if not mixed:
            return table
        as_text |= mixed


def _attempt(file: Path, given: Mapping[str, str | None], as_text: set[str]) -> _Table:
    """Read a table once; a column without a role that has pieces of several kinds comes out empty, of type object."""
    lines: list[NDArray[np.int64]] = []
    pieces: dict[str, list[NDArray[Any]]] = {}
    extras: dict[str, list[NDArray[Any]]] = {}
    spaces: dict[str, int] = {}
    roles: dict[str, str] = {}
    too_long: list[str] = []
    rows = 0
    with _opened(file) as (names, source):
        roles = _assigned(file, given, names)
        used = set(roles.values())
        for piece in source:
            rows += len(piece.lines)
            lines.append(np.array(piece.lines, np.int64))
            for role, column in roles.items():
                pieces.setdefault(role, []).append(_typed(file, piece, role, column, spaces))
            for column in names:
                if column in used or column in too_long:
                    continue
                part = _free(piece.values[column], column in as_text)
                if _is_too_long(part, rows):
                    too_long.append(column)
                    extras.pop(column, None)
                    continue
                extras.setdefault(column, []).append(part)
    if not rows:
        raise EdfkitError(f"{file} has no rows, expected one for each model; give another table.")
    joined = {}
    for column in list(extras):
        whole = _joined(extras.pop(column))
        if _is_too_long(whole, rows):
            too_long.append(column)
        else:
            joined[column] = whole
    found = {role: np.concatenate(pieces.pop(role)) for role in list(pieces)}
    return _Table(np.concatenate(lines), found, list(spaces), joined, too_long)


def _is_too_long(values: NDArray[Any], rows: int) -> bool:
    return values.dtype.kind == "U" and values.dtype.itemsize // 4 * rows > MOST_CHARACTERS


def _assigned(file: Path, given: Mapping[str, str | None], names: Sequence[str]) -> dict[str, str]:
    """Give the column of each role that has one."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EdfkitError(f"{file} has several columns called {twice[0]!r}, expected a name for each; rename them.")
    roles = {}
    for role, column in given.items():
        if column is None and role in (*NUMBERS, "id") and role in names:
            column = role
        if column:
            roles[role] = foreign.choose("column", column, names, str(file))
        elif column is not None and role in ("error", "space", "status", "error_final"):
            foreign.choose("column", column, names, str(file))
    return roles


# --- Values of a piece


def _typed(file: Path, piece: _Piece, role: str, column: str, spaces: dict[str, int]) -> NDArray[Any]:
    """Give the values of a column that has a role; names of populations as their places in `spaces`."""
    lines, values = piece.lines, piece.values[column]
    if role == "space":
        return _coded(file, lines, column, values, spaces)
    if role == "status":
        return _statuses(file, lines, column, values)
    if role == "id":
        return _ids(file, lines, column, values)
    return _numbers(file, lines, column, values, integers=role == "seed")


def _refused(file: Path, line: int, column: str, value: object, expected: str) -> EdfkitError:
    shown = " ".join(foreign.text(value).split())
    shown = repr(f"{shown[:80]}..." if len(shown) > 80 else shown) if isinstance(value, str) else shown[:80]
    return EdfkitError(f"{_line(file)} {line} of {file} has {shown} as {column!r}, expected {expected}.")


def _numbers(
    file: Path, lines: Sequence[int], column: str, values: Sequence[Any], *, integers: bool
) -> NDArray[np.float64] | NDArray[np.int64]:
    """Give the values of a role that is a number."""
    exact = _whole(values) if integers else None
    if exact is not None:
        return exact
    quick = _quick(values)
    if quick is not None:
        return quick
    numbers = np.empty(len(values))
    for row, value in enumerate(values):
        number = _number(value)
        if number is None:
            raise _refused(
                file, lines[row], column, value, "a plain number such as 1200000 or 1.2e6; write it so in the table"
            )
        numbers[row] = number
    return numbers


def _whole(values: Sequence[Any]) -> NDArray[np.int64] | None:
    """Give the values if all are integers, or text of one."""
    kinds = {*map(type, values)}
    # Python has _ in numbers, and tables have not.
    if not kinds <= {str, int} or (str in kinds and "_" in "".join(map(str, values))):
        return None
    try:
        return np.array(list(map(int, values)), np.int64)
    except (ValueError, OverflowError):
        return None


def _quick(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """Give the values if all are numbers, or text of numbers: the usual cases, much faster than one by one."""
    try:
        if {*map(type, values)} <= {int, float}:
            return np.array(values, float)
        return None if "_" in "".join(values) else np.array(list(map(float, values)))
    except (ValueError, TypeError, OverflowError):
        return None


def _number(value: object) -> float | None:
    """Give a value as a number, NaN if it is missing, or None if it is not one."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        if value.strip().lower() in _MISSING:
            return math.nan
        if "_" in value:  # which Python has in numbers, and tables have not
            return None
    elif not foreign.is_number(value):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None


def _missing(value: object) -> bool:
    return (
        value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and value != value)
    )


def _ids(file: Path, lines: Sequence[int], column: str, values: Sequence[Any]) -> NDArray[Any]:
    for row, value in enumerate(values):
        if _missing(value) or (isinstance(value, str) and "\0" in value):
            raise _refused(
                file, lines[row], column, value, "an id; give each model one, or name another column or none"
            )
    ids = np.array([foreign.text(value) for value in values])
    if ids.dtype.itemsize > 4 * 1000:
        row = max(range(len(values)), key=lambda row: len(str(values[row])))
        raise _refused(file, lines[row], column, values[row], "an id of at most 1,000 characters; name another column")
    return ids


def _coded(
    file: Path, lines: Sequence[int], column: str, values: Sequence[Any], spaces: dict[str, int]
) -> NDArray[np.intp]:
    plain = {*map(type, values)} == {str}  # and not each brought into its form, which takes most of the time
    texts = values if plain else [foreign.text(value) for value in values]
    codes: dict[str, int] = {}
    for text in dict.fromkeys(texts):
        row = texts.index(text)
        if _missing(values[row]):
            raise _refused(file, lines[row], column, values[row], "the name of a population; give each row one")
        codes[text] = spaces.setdefault(foreign.text(text), len(spaces))
    return np.fromiter(map(codes.__getitem__, texts), np.intp, len(texts))


def _statuses(file: Path, lines: Sequence[int], column: str, values: Sequence[Any]) -> NDArray[np.int8]:
    codes = np.empty(len(values), np.int8)
    for row, value in enumerate(values):
        word = "finished" if _missing(value) else foreign.text(value).strip().lower()  # if it has an error
        if word not in _STATUS:
            raise _refused(file, lines[row], column, value, f"one of {', '.join(_STATUS)}; write it so in the table")
        codes[row] = _STATUS[word]
    return codes


def _free(values: Sequence[Any], as_text: bool) -> NDArray[Any]:
    """Give the values of a column without a role, as numbers if all of them are, else as text.

    Text such as 007 is not a number, nor 12e4567, which would be infinite: such text is a name.
    """
    if as_text or not {*map(type, values)} <= {str, type(None)}:
        return np.array([foreign.text(value) for value in values]) if as_text else foreign.column(values)
    if re.search(r"(?:^|\n)\s*[+-]?0\d", "\n".join(value or "" for value in values)):
        return foreign.column(values)
    exact = _whole(values)
    if exact is not None:
        return exact
    parsed = _quick(values)
    if parsed is None:
        numbers = [_number(value) for value in values]
        if None in numbers:
            return foreign.column(values)
        parsed = np.array(numbers, float)
    if np.isnan(parsed).all() and any(values):
        return foreign.column(values)
    for row in np.flatnonzero(np.abs(parsed) >= 2**53).tolist():
        digits = values[row].strip().lstrip("+-")
        if digits.isdigit() or (math.isinf(parsed[row]) and "n" not in digits.lower()):
            return foreign.column(values)  # an integer that would be rounded, or no infinity as the table has it
    return parsed


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Put the pieces of a column together, or give an empty one of type object where they are of several kinds."""
    kinds = {part.dtype.kind for part in parts if not (part.dtype.kind == "f" and np.isnan(part).all())}
    booleans = {part.dtype == np.int8 for part in parts}
    if len(booleans) > 1 or ("U" in kinds and (len(kinds) > 1 or any(part.dtype.kind != "U" for part in parts))):
        return np.empty(0, object)
    if kinds == {"i", "f"} and any((np.abs(part) > 2**53).any() for part in parts if part.dtype.kind == "i"):
        return np.empty(0, object)
    return np.concatenate(parts)


def _names(spaces: list[str], file: Path, column: str) -> dict[str, str]:
    """Give the population of each name that the table has, in order."""
    names: dict[str, str] = {}
    for text in spaces:
        population = foreign.population_name(text, f"{file}, column {column!r}")
        if population in names:
            raise EdfkitError(
                f"{file}: {names[population]!r} and {text!r} in the column {column!r} both become the population "
                f"{population!r}; rename one of them."
            )
        names[population] = text
    return names


# --- Files


def _line(file: Path) -> str:
    return "Row" if _kind(file) == "parquet" else "Line"


def _kind(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    kind = _SUFFIXES.get(suffixes[-2 if packed else -1]) if len(suffixes) > packed else None
    if kind is None or (packed and kind == "parquet"):
        raise EdfkitError(
            f"{file} has no suffix of a table, expected .csv, .tsv, .jsonl or .ndjson, each also with .gz behind it, "
            "or .parquet; rename or convert it."
        )
    return kind


def _stem(file: Path) -> str:
    return Path(file.stem).stem if file.suffix.lower() == ".gz" else file.stem


@contextmanager
def _opened(file: Path) -> Iterator[tuple[list[str], Iterable[_Piece]]]:
    """Open a table: the names of its columns, and its rows in pieces."""
    kind = _kind(file)
    if kind == "parquet":
        with _parquet(file) as table:
            yield table
        return
    try:
        if kind == "json":
            names: dict[str, None] = {}
            with _text(file) as lines:  # read once more: the last line may have a key that no other has
                for _, row in _objects(file, lines):
                    names |= dict.fromkeys(row)
            with _text(file) as lines:
                yield [*names], _grouped(_objects(file, lines), [*names])
        else:
            with _text(file) as lines:
                reader = csv.reader(lines, "excel-tab" if kind == "tsv" else "excel", strict=True)
                header = next(reader, None)
                if not header:
                    raise EdfkitError(f"{file} has no line of column names; give it one.")
                yield header, _records(file, reader, header)
    except (OSError, EOFError, zlib.error, UnicodeError, csv.Error) as error:
        raise EdfkitError(
            f"{file} cannot be read as {kind.upper()} in UTF-8 ({' '.join(str(error).split())}); save or fetch it "
            "again."
        ) from error


def _text(file: Path) -> IO[str]:
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return open(file, encoding="utf-8-sig", newline="")


def _records(file: Path, reader: Any, names: list[str]) -> Iterator[_Piece]:
    """Read the rows of a CSV table; one that goes over several lines counts as the last of them."""
    lines: list[int] = []
    rows: list[list[str]] = []
    for row in reader:
        if not row:  # an empty line
            continue
        if len(row) != len(names):
            raise EdfkitError(
                f"Line {reader.line_num} of {file} has {len(row)} fields, expected {len(names)} as the line of column "
                "names has; correct it, or fetch the file again if it is cut short."
            )
        lines.append(reader.line_num)
        rows.append(row)
        if len(rows) == _ROWS:
            yield _Piece(lines, dict(zip(names, zip(*rows, strict=True), strict=True)))
            lines, rows = [], []
    if rows:
        yield _Piece(lines, dict(zip(names, zip(*rows, strict=True), strict=True)))


def _objects(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read JSON lines, each with its number."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise EdfkitError(
                f"Line {number} of {file} is not JSON ({error}); correct it or fetch it again."
            ) from error
        if not isinstance(row, dict):
            raise EdfkitError(f"Line {number} of {file} is not a JSON object, expected one per line; convert the file.")
        yield number, row


def _grouped(rows: Iterator[tuple[int, dict[str, Any]]], names: list[str]) -> Iterator[_Piece]:
    while piece := list(islice(rows, _ROWS)):
        yield _Piece([number for number, _ in piece], {name: [row.get(name) for _, row in piece] for name in names})


@contextmanager
def _parquet(file: Path) -> Iterator[tuple[list[str], Iterable[_Piece]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EdfkitError(
            f"{file} is read by pyarrow, which is not installed; call pip install 'edfkit[parquet]', or convert the "
            "table to CSV."
        ) from error

    def pieces(table: Any) -> Iterator[_Piece]:
        rows = 0
        for batch in table.iter_batches(batch_size=_ROWS):
            values = {name: batch.column(i).to_pylist() for i, name in enumerate(batch.schema.names)}
            yield _Piece(range(rows + 1, rows + 1 + batch.num_rows), values)
            rows += batch.num_rows

    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            yield table.schema_arrow.names, pieces(table)
    except (pyarrow.ArrowException, OSError) as error:
        raise EdfkitError(
            f"{file} cannot be read as Parquet ({' '.join(str(error).split())}); save or fetch it again."
        ) from error
