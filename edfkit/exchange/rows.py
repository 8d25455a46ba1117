"""Files of rows, read in pieces: CSV, TSV, JSON lines, JSON arrays and Parquet.

Objects within JSON records become columns with dotted names, config.lr; a list of objects becomes a column of lists for
each of their keys, learning_curve.top_1.
"""

import codecs
import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from edfkit import EdfkitError
from edfkit.exchange.numbers import Style

ROWS = 5_000  # of a piece; ten times as many took 1.6 times as long, and more memory
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_SEPARATORS = (",", ";", "\t", "|")
_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
_NESTED = frozenset((dict, list))
_PREAMBLE = re.compile(r'\s*"?sep=(.)"?\s*')  # what Excel reads and writes of the separator


class Piece(NamedTuple):
    """Some rows of a table: where each is, as its line or row number, and the values by column."""

    lines: Sequence[int]
    values: Mapping[str, Sequence[Any]]


class Rows(NamedTuple):
    """An open table: the names of its columns, its rows in pieces, how it has numbers, and what its rows are."""

    names: list[str]
    pieces: Iterable[Piece]
    style: Style
    row: str = "Line"


def _kind(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    kind = _SUFFIXES.get(suffixes[-2 if packed else -1]) if len(suffixes) > packed else None
    if kind is None or (packed and kind == "parquet"):
        raise EdfkitError(
            f"{file} has no suffix of a table, expected .csv, .tsv, .json, .jsonl or .ndjson, each also with .gz "
            "behind it, or .parquet; rename or convert it."
        )
    return kind


def stem(file: Path) -> str:
    """Give the name of a table without its suffixes."""
    return Path(file.stem).stem if file.suffix.lower() == ".gz" else file.stem


@contextmanager
def opened(file: Path, separator: str | None = None, decimal: str | None = None) -> Iterator[Rows]:
    """Open a table.

    Parameters
    ----------
    file : Path
    separator : str, optional
        Of the fields of CSV: a character, or "tab"; by default the one of , ; | and tab that parts the line of column
        names and the first row alike, the comma before the others.
    decimal : {".", ","}, optional

    Raises
    ------
    EdfkitError
        If it cannot be read, with the line where that is known.
    """
    kind = _kind(file)
    if decimal not in (None, ".", ","):
        raise EdfkitError(f"decimal: {decimal!r} was given, expected . or , (the decimal mark); give one of these.")
    if kind == "parquet":
        with _parquet(file, Style(decimal, nan_is_missing=True)) as table:
            yield table
        return
    try:
        if kind == "json":
            yield _json_rows(file, Style(decimal))
            return
        separator = _separator(file, "\t" if kind == "tsv" and separator is None else separator)
        with _text(file) as lines:
            reader = csv.reader(_without_preamble(lines), delimiter=separator, strict=True)
            header = next(reader, None)
            if not header:
                raise EdfkitError(f"{file} has no line of column names; give it one.")
            style = Style(decimal, "," if separator == ";" else ".")
            names = _named(header)
            yield Rows(names, _records(file, reader, names), style)
    except (OSError, EOFError, zlib.error, UnicodeError, csv.Error) as error:
        raise EdfkitError(
            f"{file} cannot be read as {kind.upper()} in UTF-8 ({' '.join(str(error).split())}); save or fetch it "
            "again."
        ) from error


def _text(file: Path) -> IO[str]:
    packed = file.suffix.lower() == ".gz"
    with gzip.open(file) if packed else open(file, "rb") as raw:
        of_windows = raw.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as PowerShell and Excel write text
    encoding = "utf-16" if of_windows else "utf-8-sig"
    return gzip.open(file, "rt", encoding=encoding, newline="") if packed else open(file, encoding=encoding, newline="")


# --- CSV


def _without_preamble(lines: Iterable[str]) -> Iterator[str]:
    rest = iter(lines)
    first = next(rest, None)
    if first is None or _PREAMBLE.fullmatch(first):
        return rest
    return chain([first], rest)


def _separator(file: Path, given: str | None) -> str:
    """Give the separator of fields: the one that is said, else the first by which two lines have as many fields."""
    if given is not None:
        separator = _WORDS.get(given.lower(), given)
        if len(separator) != 1 or separator in '"\r\n':
            raise EdfkitError(
                f"separator: {given!r} was given, expected one character such as ; or the word tab; correct it."
            )
        return separator
    for separator in _SEPARATORS:
        with _text(file) as lines:
            if separator == "," and (said := _PREAMBLE.fullmatch(lines.readline())):
                return said[1]
            lines.seek(0)
            try:
                first, *others = islice(csv.reader(lines, delimiter=separator, strict=True), 2)
            except (csv.Error, ValueError):
                continue
            if len(first) > 1 and all(len(other) == len(first) for other in others):
                return separator
    return ","


def _named(header: list[str]) -> list[str]:
    """Name the columns that have no name: the first `index`, as data frames have it, and others by their place."""
    names = []
    for column, name in enumerate(header):
        if not name.strip():
            name = "index" if column == 0 else f"column {column + 1}"
            while name in header:
                name += "_"
        names.append(name)
    return names


def _records(file: Path, reader: Any, names: list[str]) -> Iterator[Piece]:
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
        if len(rows) == ROWS:
            yield Piece(lines, dict(zip(names, zip(*rows, strict=True), strict=True)))
            lines, rows = [], []
    if rows:
        yield Piece(lines, dict(zip(names, zip(*rows, strict=True), strict=True)))


# --- JSON


def _json_rows(file: Path, style: Style) -> Rows:
    names: dict[str, None] = {}
    empty: set[str] = set()
    for _, row in _objects(file, empty):  # read once more: the last line may have a key that no other has
        names |= dict.fromkeys(row)
    # An empty list of objects has no keys: it is one of the curves that other records have under dotted names.
    if empty := empty & {name.rpartition(".")[0] for name in names}:
        empty -= {name for _, row in _objects(file) for name in empty if row.get(name) not in (None, [], {})}
    kept = [name for name in names if name not in empty]
    return Rows(kept, _grouped(_objects(file), kept), style, "Record" if _is_array(file) else "Line")


def _is_array(file: Path) -> bool:
    with _text(file) as lines:
        while (first := lines.read(1)).isspace():
            pass
    return first == "["


def _objects(file: Path, empty: set[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the records of JSON lines, or of an array of records, each with its number.

    The names of empty lists and objects are added to `empty`.
    """
    array = _is_array(file)
    with _text(file) as lines:
        for number, row in enumerate(_array(file, lines) if array else lines, 1):
            if not array:
                if not row.strip():
                    continue
                try:
                    row = json.loads(row)
                except (ValueError, RecursionError) as error:
                    raise EdfkitError(
                        f"Line {number} of {file} is not JSON ({error}); correct it or fetch it again."
                    ) from error
            if not isinstance(row, dict):
                place, each = (f"Record {number}", "record") if array else (f"Line {number}", "line")
                raise EdfkitError(f"{place} of {file} is not a JSON object, expected one per {each}; convert the file.")
            if not _NESTED.isdisjoint(map(type, row.values())):
                row = _flat(row, set() if empty is None else empty)
            yield number, row


def _array(file: Path, lines: IO[str]) -> list[Any]:
    try:
        records: list[Any] = json.load(lines)
    except (ValueError, RecursionError) as error:
        raise EdfkitError(f"{file} is not a JSON array ({error}); correct it or fetch it again.") from error
    return records


def _flat(row: Mapping[str, Any], empty: set[str], before: str = "") -> dict[str, Any]:
    """Give a record without objects in it: by dotted names, lists of objects as a list for each key."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        name = before + key
        if value and isinstance(value, dict):
            flat |= _flat(value, empty, f"{name}.")
        elif value and isinstance(value, list) and all(isinstance(one, dict) for one in value):
            for inner in dict.fromkeys(chain.from_iterable(value)):
                flat[f"{name}.{inner}"] = [one.get(inner) for one in value]
        else:
            flat[name] = value
            if not value and isinstance(value, dict | list):
                empty.add(name)
    return flat


def _grouped(rows: Iterator[tuple[int, dict[str, Any]]], names: list[str]) -> Iterator[Piece]:
    while piece := list(islice(rows, ROWS)):
        yield Piece([number for number, _ in piece], {name: [row.get(name) for _, row in piece] for name in names})


# --- Parquet


@contextmanager
def _parquet(file: Path, style: Style) -> Iterator[Rows]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EdfkitError(
            f"{file} is read by pyarrow, which is not installed; call pip install 'edfkit[parquet]', or convert the "
            "table to CSV."
        ) from error

    def pieces(table: Any) -> Iterator[Piece]:
        rows = 0
        for batch in table.iter_batches(batch_size=ROWS):
            values = {name: batch.column(i).to_pylist() for i, name in enumerate(batch.schema.names)}
            yield Piece(range(rows + 1, rows + 1 + batch.num_rows), values)
            rows += batch.num_rows

    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            yield Rows(table.schema_arrow.names, pieces(table), style, "Row")
    except (pyarrow.ArrowException, OSError) as error:
        raise EdfkitError(
            f"{file} cannot be read as Parquet ({' '.join(str(error).split())}); save or fetch it again."
        ) from error
