"""Tables in memory: the columns that have a role in an archive, those of metrics, and the others.

Tables are read in pieces, of which compact columns are kept. Columns without a role are numbers where all their values
are, else text as it stands in the table.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.outcomes import NO_WORD, unknown_word, word
from edfkit.archive.schema import Status
from edfkit.exchange import foreign, rows
from edfkit.exchange.foreign import MOST_CHARACTERS
from edfkit.exchange.numbers import MISSING, Numbers, Style, free, joined, multiplied, refused, scaled, whole
from edfkit.exchange.rows import Piece
from edfkit.metric import BEYOND

COUNTS = ("params", "macs", "flops", "acts")
# Columns that are taken for the variable of the same name without being named for it.
NUMBERS = (*COUNTS, "seed", "lr", "wd", "seconds")
_ALIASES = {"lr": "learning_rate", "wd": "weight_decay"}
_LOSS = re.compile(r"(^|[^a-z])loss([^a-z]|$)", re.IGNORECASE)


class Request(NamedTuple):
    """What is to be read, and how.

    Attributes
    ----------
    metrics : sequence of str
        The columns of the metrics.
    final : str or None
        The column of the first metric after the last epoch.
    roles : mapping of str to str or None
        The columns of `space`, `status`, `id` and of `NUMBERS`; None for the one that is called so, "" for none.
    network : str or None
        The columns that name the network, with commas between.
    words : mapping of str to Status
        What words of `status` mean besides those that are known.
    separator, decimal : str or None
        See `edfkit.exchange.rows.opened`.
    """

    metrics: Sequence[str]
    final: str | None
    roles: Mapping[str, str | None]
    network: str | None
    words: Mapping[str, Status]
    separator: str | None
    decimal: str | None


class Measure:
    """The values of a metric, with what is evidence that a run diverged; a list is a curve.

    Attributes
    ----------
    values, broke : ndarray, shape (values,)
    counts : ndarray of int, shape (rows,), or None
        How many values each row has, where not all have one.
    """

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self.counts: NDArray[np.intp] | None = None
        self._parts: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
        self._counts: list[NDArray[np.intp] | int] = []

    def take(self, lines: Sequence[int], values: Sequence[Any]) -> None:
        """Read a piece."""
        counts: NDArray[np.intp] | int = len(values)
        kinds = {*map(type, values)}
        if kinds == {str}:
            listed = "[" in "".join(values)
        else:
            listed = list in kinds or any(isinstance(value, str) and "[" in value for value in values)
        if listed:
            curves = [_curve(value) for value in values]
            counts = np.array([len(curve) for curve in curves], np.intp)
            lines = np.repeat(np.array(lines), counts).tolist()
            values = [value for curve in curves for value in curve]
        self._parts.append(self._numbers.take(lines, values))
        self._counts.append(counts)

    def end(self) -> None:
        """Put the pieces together."""
        self.values = np.concatenate([values for values, _ in self._parts])
        self.values[np.abs(self.values) >= BEYOND] = np.inf  # see `edfkit.archive.outcomes`
        self.broke = np.concatenate([broke for _, broke in self._parts])
        if any(not isinstance(count, int) for count in self._counts):
            self.counts = np.concatenate(
                [np.ones(count, np.intp) if isinstance(count, int) else count for count in self._counts]
            )
        self._numbers.check(self.values)

    @property
    def percent(self) -> bool:
        """Whether they have a percent sign."""
        return self._numbers.percent

    @property
    def rows(self) -> Any:
        """The row of each value."""
        return slice(None) if self.counts is None else np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def places(self) -> NDArray[np.float64]:
        """The place of each value in its curve."""
        counts = cast(NDArray[np.intp], self.counts)
        places: NDArray[np.float64] = np.arange(float(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        return places


def _curve(value: Any) -> list[Any]:
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [value]  # refused as a number
    return value if isinstance(value, list) else [value]


@dataclass
class Table:
    """A table in memory: by role, and the columns without one by their names in the table.

    Attributes
    ----------
    file : Path
    row : str
        What its rows are called: Line, Row or Record.
    lines : ndarray of int, shape (rows,)
        Where each row is in the file.
    used : dict of str to str
        The column of each role.
    roles : dict of str to ndarray, shape (rows,)
        The values of each role; of `space` the place in `spaces`.
    metrics : list of Measure
    final : Measure or None
    spaces : list of str
        Names of populations, in the order in which they come.
    network : list of list of str
        What names the networks, by column.
    extras : dict of str to ndarray, shape (rows,)
        The columns without a role.
    broke : ndarray of bool, shape (rows,)
        Which rows have a loss that is infinite, or NaN and written as such.
    multiplied : frozenset of str
        The roles whose columns were multiplied.
    too_long : list of str
        The columns whose text an archive does not take.
    """

    file: Path
    row: str
    lines: NDArray[np.int64]
    used: dict[str, str]
    roles: dict[str, NDArray[Any]]
    metrics: list[Measure]
    final: Measure | None
    spaces: list[str]
    network: list[list[str]]
    extras: dict[str, NDArray[Any]]
    broke: NDArray[np.bool_]
    multiplied: frozenset[str] = frozenset()
    too_long: list[str] = field(default_factory=list)

    def where(self, row: int) -> str:
        """Say where a row is in the file."""
        return f"{self.row} {self.lines[row]} of {self.file}"

    def columns(self) -> dict[str, NDArray[Any]]:
        """Give all columns in memory but the metrics, by their names in the table."""
        return self.extras | {self.used[role]: values for role, values in self.roles.items()}


def read(file: Path, request: Request) -> Table:
    """Read a table.

    Raises
    ------
    EdfkitError
        If it cannot be read, a column is missing, or a value cannot be what its column is named for.
    """
    as_text: set[str] = set()  # columns of numbers in some pieces and text in others
    while True:
        table = _attempt(file, request, as_text)
        mixed = {name for name, values in table.extras.items() if values.dtype == object}
        if not mixed:
            return table
        as_text |= mixed


def _attempt(file: Path, request: Request, as_text: set[str]) -> Table:
    """Read a table once; a column without a role that has pieces of several kinds comes out empty, of type object."""
    lines: list[NDArray[np.int64]] = []
    pieces: dict[str, list[NDArray[Any]]] = {}
    extras: dict[str, list[NDArray[Any]]] = {}
    broke: list[NDArray[np.bool_]] = []
    spaces: dict[str, int] = {}
    too_long: list[str] = []
    count = 0
    with rows.opened(file, request.separator, request.decimal) as table:
        used, factors = _assigned(file, request.roles, table.names)
        networks = _networks(file, request.network, table.names)
        network: list[list[str]] = [[] for _ in networks]

        def place(line: int) -> str:
            return f"{table.row} {line} of {file}"

        numbers = {
            role: Numbers(column, place, table.style, clock=role == "seconds")
            for role, column in used.items()
            if role in NUMBERS
        }
        measured = [*request.metrics, *([] if request.final is None else [request.final])]
        measures = [
            Measure(Numbers(foreign.choose("column", column, table.names, str(file)), place, table.style))
            for column in measured
        ]
        taken = {*used.values(), *measured}
        for piece in table.pieces:
            count += len(piece.lines)
            lines.append(np.array(piece.lines, np.int64))
            for measure, column in zip(measures, measured, strict=True):
                measure.take(piece.lines, piece.values[column])
            for role, column in used.items():
                values = piece.values[column]
                if role == "space":
                    part: NDArray[Any] = _coded(place, piece.lines, column, values, spaces)
                elif role == "status":
                    part = _statuses(place, piece.lines, values, request.words)
                elif role == "id":
                    part = _ids(place, piece.lines, column, values)
                elif role == "seed" and (exact := whole(values)) is not None:
                    part = exact
                else:
                    part = numbers[role].take(piece.lines, values)[0]
                pieces.setdefault(role, []).append(part)
            for texts, column in zip(network, networks, strict=True):
                texts += map(foreign.text, piece.values[column])
            broke.append(np.zeros(len(piece.lines), np.bool_))
            for column in table.names:
                if column in taken or column in too_long:
                    continue
                part = free(piece.values[column], column in as_text, table.style)
                if part.dtype.kind == "f" and _LOSS.search(column):
                    broke[-1] |= _broken(place, piece, column, part, table.style)
                if _is_too_long(part, count):
                    too_long.append(column)
                    extras.pop(column, None)
                    continue
                extras.setdefault(column, []).append(part)
    if not count:
        raise EdfkitError(f"{file} has no rows, expected one for each model; give another table.")
    kept = {}
    for column in list(extras):
        all_of_it = joined(extras.pop(column))
        if _is_too_long(all_of_it, count):
            too_long.append(column)
        else:
            kept[column] = all_of_it
    found = {role: np.concatenate(pieces.pop(role)) for role in list(pieces)}
    for role in found.keys() & numbers.keys():
        numbers[role].check(found[role])
    for role, factor in factors.items():
        found[role] = multiplied(found[role], factor)
    for measure in measures:
        measure.end()
    return Table(
        file, table.row, np.concatenate(lines), used, found, measures[: len(request.metrics)],
        measures[-1] if request.final is not None else None, list(spaces), network, kept, np.concatenate(broke),
        frozenset(factors), too_long,
    )  # fmt: skip


def _broken(
    place: Callable[[int], str], piece: Piece, column: str, part: NDArray[np.float64], style: Style
) -> NDArray[np.bool_]:
    """Tell where a loss is infinite, or NaN and not just missing."""
    if np.isfinite(part).all():
        return np.zeros(len(part), np.bool_)
    return np.isinf(part) | Numbers(column, place, style).take(piece.lines, piece.values[column])[1]


def _is_too_long(values: NDArray[Any], count: int) -> bool:
    return values.dtype.kind == "U" and values.dtype.itemsize // 4 * count > MOST_CHARACTERS


def _assigned(
    file: Path, given: Mapping[str, str | None], names: Sequence[str]
) -> tuple[dict[str, str], dict[str, float]]:
    """Give the column of each role that has one, and what it is to be multiplied by."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EdfkitError(f"{file} has several columns called {twice[0]!r}, expected a name for each; rename them.")
    used: dict[str, str] = {}
    factors: dict[str, float] = {}
    for role, column in given.items():
        if column is None and role in (*NUMBERS, "id"):
            column = next((name for name in (role, _ALIASES.get(role)) if name in names), None)
        if column and role in NUMBERS and role != "seed":
            column, factor = scaled(column, names)
            factors |= {} if factor is None else {role: factor}
        if column or (column is not None and role not in (*NUMBERS, "id")):
            used[role] = foreign.choose("column", column, names, str(file))
    return used, factors


def _networks(file: Path, given: str | None, names: Sequence[str]) -> list[str]:
    """List the columns that name the network."""
    if given is None:
        return []
    listed = [given] if given in names else [column.strip() for column in given.split(",")]
    return [foreign.choose("column", column, names, str(file)) for column in listed]


# --- Values of a piece


def _missing(value: object) -> bool:
    return (
        value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and value != value)
    )


def _ids(place: Callable[[int], str], lines: Sequence[int], column: str, values: Sequence[Any]) -> NDArray[Any]:
    for row, value in enumerate(values):
        if _missing(value) or (isinstance(value, str) and "\0" in value):
            raise refused(
                place(lines[row]), column, value, "an id; give each model one, or name another column or none"
            )
    ids = np.array([foreign.text(value) for value in values])
    if ids.dtype.itemsize > 4 * 1000:
        row = max(range(len(values)), key=lambda row: len(str(values[row])))
        raise refused(place(lines[row]), column, values[row], "an id of at most 1,000 characters; name another column")
    return ids


def _coded(
    place: Callable[[int], str], lines: Sequence[int], column: str, values: Sequence[Any], spaces: dict[str, int]
) -> NDArray[np.intp]:
    """Give the names of populations as their places in `spaces`."""
    plain = {*map(type, values)} == {str}  # and not each brought into its form, which takes most of the time
    texts = values if plain else [foreign.text(value) for value in values]
    codes: dict[str, int] = {}
    for text in dict.fromkeys(texts):
        row = texts.index(text)
        if _missing(values[row]):
            raise refused(place(lines[row]), column, values[row], "the name of a population; give each row one")
        codes[text] = spaces.setdefault(foreign.text(text).strip(), len(spaces))
    return np.fromiter(map(codes.__getitem__, texts), np.intp, len(texts))


def _statuses(
    place: Callable[[int], str], lines: Sequence[int], values: Sequence[Any], words: Mapping[str, Status]
) -> NDArray[np.int8]:
    """Give the outcomes that words stand for."""
    codes: dict[str, int] = {}
    texts = ["" if _missing(value) else foreign.text(value).strip() for value in values]
    for text in dict.fromkeys(texts):
        status = word(text, words)
        if status is None and text.lower() not in MISSING:
            raise EdfkitError(f"{place(lines[texts.index(text)])} has {unknown_word(text)}.")
        codes[text] = NO_WORD if status is None else int(status)
    return np.fromiter(map(codes.__getitem__, texts), np.int8, len(texts))
