"""Columns of numbers as people write them, piece by piece, with what their cells show of how they are written.

A comma in a number stands between thousands where only that is possible, as in 1,014.45, or where another cell shows
that the dot is the decimal mark. It is the decimal mark where the fields are separated by semicolons, or that is said.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.exchange import foreign
from edfkit.numbers import number

MISSING = frozenset(("", "-", "--", "\u2013", "\u2014", "?", "na", "n/a", "#n/a", "nan", "<na>", "none", "null"))
_NAN = frozenset(("nan", "-nan", "+nan"))
_HEAD = re.compile(r"([+-]?)([\d.,]+)(.*)", re.DOTALL)
_GROUPED = re.compile(r"(?<=\d)['\u2019 \u00a0\u2009\u202f](?=\d{3}(?!\d))")  # 1 014, 1'014: between thousands only
_BY_COMMA = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
_BY_DOT = re.compile(r"[1-9]\d{0,2}(\.\d{3})+(,\d*)?")
_WITH_COMMA = re.compile("[^,]*,[^,]*")
_COMMA = re.compile(r"\d*,\d+|\d+,")
_CLOCK = re.compile(r"(?:(\d+) days?,? *)?(\d+):([0-5]\d):([0-5]\d(?:\.\d*)?)")
_PART = r"(\d+\.?\d*) ?(ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)"
_PARTS = re.compile(f"{_PART}(?:[, ]*{_PART})*")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Style(NamedTuple):
    """How a file has numbers.

    Attributes
    ----------
    decimal : {".", ",", None}
        The decimal mark, if it is said.
    usual : {".", ","}
        The one that a number with one comma is read by where that is not said.
    nan_is_missing : bool
        Whether the file has NaN for what is missing, as data frames have, and not only where something became NaN.
    """

    decimal: str | None = None
    usual: str = "."
    nan_is_missing: bool = False

    @property
    def commas(self) -> bool:
        """Whether the comma may be the decimal mark."""
        return (self.decimal or self.usual) == ","


PLAIN = Style()
"""Numbers with a dot as the decimal mark, as far as their cells do not show otherwise."""


class Numbers:
    """A column of numbers.

    Parameters
    ----------
    column : str
        Its name.
    place : callable
        Says where a line of the file is.
    style : Style
    clock : bool
        Whether it holds durations, which may be written as 1:02:03.5 or 0 days 00:01:00.
    """

    def __init__(self, column: str, place: Callable[[int], str], style: Style, *, clock: bool = False) -> None:
        self.column, self._place, self._style, self._clock = column, place, style, clock
        self._seen: dict[str, tuple[int, str]] = {}  # the first cell that shows a mark to be what

    @property
    def percent(self) -> bool:
        """Whether its values have a percent sign; known after all pieces."""
        return "%" in self._seen

    def take(self, lines: Sequence[int], values: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Read a piece.

        Returns
        -------
        numbers : ndarray, shape (cells,)
            NaN where there is no value.
        broke : ndarray of bool, shape (cells,)
            Where the cell is the text nan, or a NaN in a file that has null for what is missing.

        Raises
        ------
        EdfkitError
            If a cell is no number.
        """
        if not len(values):
            return np.empty(0), np.zeros(0, np.bool_)
        numbers = quick(values, self._style)
        if numbers is not None:
            self._seen.setdefault("bare", (lines[0], str(values[0])))
            if self._style.commas and isinstance(values[0], str):
                self._note(lines, values)
            broke = np.isnan(numbers)
            if self._style.nan_is_missing and broke.any():
                broke &= np.array([isinstance(value, str) for value in values])
            return numbers, broke
        numbers, broke = np.empty(len(values)), np.zeros(len(values), np.bool_)
        for row, value in enumerate(values):
            if isinstance(value, str):
                broke[row] = value.strip().lower() in _NAN
            elif isinstance(value, float):
                broke[row] = value != value and not self._style.nan_is_missing
            one = self._read(lines[row], value)
            if one is None:
                raise refused(
                    self._place(lines[row]), self.column, value,
                    "a number such as 1200000, 1.2e6 or 1.2M" + self._hint(value) + "; write it so in the table",
                )  # fmt: skip
            numbers[row] = one
        return numbers, broke

    def _note(self, lines: Sequence[int], values: Sequence[str]) -> None:
        """Note which marks there are in numbers that were read all at once."""
        for mark, cells in (("comma", _WITH_COMMA), ("dot or thousands", _BY_DOT)):
            if mark not in self._seen:
                row = next((row for row, value in enumerate(values) if cells.fullmatch(value.strip())), None)
                if row is not None:
                    self._seen[mark] = lines[row], values[row]

    def _hint(self, value: object) -> str:
        if isinstance(value, str) and self._style.decimal is not None and re.search(r"\d[.,]\d", value):
            return f" with the decimal mark {self._style.decimal!r}"
        return ""

    def _read(self, line: int, value: object) -> float | None:
        """Give a cell as a number, NaN if it is missing, None if it is none."""
        if value is None:
            return math.nan
        if isinstance(value, timedelta) and self._clock:
            return value.total_seconds()
        if not isinstance(value, str):
            try:
                return float(value) if foreign.is_number(value) or isinstance(value, Decimal) else None  # type: ignore[arg-type]
            except OverflowError:
                return None
        text = value.strip()
        if text.lower() in MISSING:
            return math.nan
        if self._clock and (duration := _duration(text)) is not None:
            return duration
        if "_" in text:  # which Python has in numbers, and tables have not
            return None
        self._seen.setdefault("%" if text.endswith("%") else "bare", (line, value))
        plain = self._plain(line, text)
        if plain is None:
            return None
        try:
            return float(plain)
        except ValueError:
            return number(plain, percent=1.0)

    def _plain(self, line: int, text: str) -> str | None:
        """Write a number with a dot as its decimal mark and nothing between thousands; None if its marks cannot be."""
        head = _HEAD.fullmatch(_GROUPED.sub("", text))
        if head is None or ("," not in head[2] and self._style.decimal != "," and head[2].count(".") < 2):
            if head is not None and _BY_DOT.fullmatch(head[2]):
                self._seen.setdefault("dot or thousands", (line, text))
            return text if head is None else "".join(head.groups())
        sign, digits, tail = head.groups()
        by_comma, by_dot = _BY_COMMA.fullmatch(digits), _BY_DOT.fullmatch(digits) or _COMMA.fullmatch(digits)
        if self._style.decimal is None:
            mark = "either" if by_comma and by_dot else "dot" if by_comma else "comma" if by_dot else ""
            self._seen.setdefault(mark, (line, text))
            decimal = {"dot": ".", "comma": ","}.get(mark, self._style.usual)
        else:
            decimal = self._style.decimal
        if decimal == ".":
            return f"{sign}{digits.replace(',', '')}{tail}" if by_comma or "," not in digits else None
        if by_dot or digits.isdigit():
            return f"{sign}{digits.replace('.', '').replace(',', '.')}{tail}"
        return None

    def check(self, values: NDArray[np.float64]) -> None:
        """Check that all cells together have one reading; `values` are those of the whole column.

        Raises
        ------
        EdfkitError
            If they have two, or none.
        """
        seen = self._seen
        if self._style.decimal is None:
            with np.errstate(invalid="ignore"):
                dots = "dot" in seen or ("either" in seen and self._style.usual == "." and bool((values % 1 > 0).any()))
            for mark, other in (("comma", "dot"), ("either", "dot"), ("comma", "dot or thousands")):
                if self._style.commas and mark in seen and other in seen:
                    self._two_readings(mark, f", and {self._place(seen[other][0])} has {seen[other][1]!r}")
            if not self._style.commas and "comma" in seen:
                self._two_readings("comma", "")
            if not self._style.commas and "either" in seen and not dots:
                self._two_readings("either", "")
        if "%" in seen and "bare" in seen:
            line, cell = seen["bare"]
            raise refused(self._place(line), self.column, cell, f"a percent sign as in {seen['%'][1]!r}; write all so")

    def _two_readings(self, mark: str, more: str) -> None:
        line, cell = self._seen[mark]
        sign = "comma" if "," in cell else "dot"
        raise EdfkitError(
            f"{self._place(line)} has {cell!r} as {self.column!r}{more}, where the {sign} may be the decimal mark or "
            "stand between thousands; say which by --decimal , or --decimal . (the decimal mark)."
        )


def _duration(text: str) -> float | None:
    """Give the seconds of a duration such as 1:02:03.5, 2 days 00:01:00 or 1 h 30 min; None if it is none."""
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds
    if _PARTS.fullmatch(text):
        return sum(
            float(count) * _SECONDS[unit if unit == "ms" else unit[0]] for count, unit in re.findall(_PART, text)
        )
    return None


def refused(place: str, column: str, value: object, expected: str) -> EdfkitError:
    """Give the error of a cell that cannot be what its column is named for."""
    shown = " ".join(foreign.text(value).split())
    shown = repr(f"{shown[:80]}..." if len(shown) > 80 else shown) if isinstance(value, str) else shown[:80]
    return EdfkitError(f"{place} has {shown} as {column!r}, expected {expected}.")


def quick(values: Sequence[Any], style: Style = PLAIN) -> NDArray[np.float64] | None:
    """Give the values if all are numbers, or text of numbers: the usual cases, much faster than one by one."""
    try:
        if {*map(type, values)} <= {int, float}:
            return np.array(values, float)
        text = "".join(values)
        if "_" in text or (style.decimal == "," and "." in text):
            return None
        if style.commas and "," in text and "." not in text:
            values = [value.replace(",", ".") for value in values]
        return np.array(list(map(float, values)))
    except (ValueError, TypeError, OverflowError):
        return None


def whole(values: Sequence[Any]) -> NDArray[np.int64] | None:
    """Give the values if all are integers, or text of one."""
    kinds = {*map(type, values)}
    # Python has _ in numbers, and tables have not.
    if not kinds <= {str, int} or (str in kinds and "_" in "".join(map(str, values))):
        return None
    try:
        return np.array(list(map(int, values)), np.int64)
    except (ValueError, OverflowError):
        return None


def free(values: Sequence[Any], as_text: bool, style: Style = PLAIN) -> NDArray[Any]:
    """Give the values of a column without a role, as numbers if all of them are, else as text.

    Text such as 007 is not a number, nor 12e4567, which would be infinite: such text is a name.
    """
    if as_text or not {*map(type, values)} <= {str, type(None)}:
        return np.array([foreign.text(value) for value in values]) if as_text else foreign.column(values)
    if re.search(r"(?:^|\n)\s*[+-]?0\d", "\n".join(value or "" for value in values)):
        return foreign.column(values)
    exact = whole(values)
    if exact is not None:
        return exact
    parsed = quick(values, style)
    if parsed is None:
        numbers = [_free_number(value, style) for value in values]
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


def _free_number(value: str | None, style: Style) -> float | None:
    if value is None or value.strip().lower() in MISSING:
        return math.nan
    found = quick([value], style)
    return None if found is None else float(found[0])


def joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Put the pieces of a column together, or give an empty one of type object where they are of several kinds."""
    kinds = {part.dtype.kind for part in parts if not (part.dtype.kind == "f" and np.isnan(part).all())}
    booleans = {part.dtype == np.int8 for part in parts}
    if len(booleans) > 1 or ("U" in kinds and (len(kinds) > 1 or any(part.dtype.kind != "U" for part in parts))):
        return np.empty(0, object)
    if kinds == {"i", "f"} and any((np.abs(part) > 2**53).any() for part in parts if part.dtype.kind == "i"):
        return np.empty(0, object)
    return np.concatenate(parts)


_SCALED = re.compile(r"(.+?)\s*([*/])\s*([^*/]+)")


def scaled(column: str, names: Sequence[str]) -> tuple[str, float | None]:
    """Take what multiplies a column from its name, as in param_count*1e6 or flops/1e9; None if nothing does."""
    found = None if column in names else _SCALED.fullmatch(column)
    if found is None:
        return column, None
    factor = number(found[3])
    if factor is None or not 0 < factor < math.inf:
        raise EdfkitError(
            f"{column!r} multiplies by {found[3]!r}, expected a number above 0 such as 1e6; correct it, or write the "
            "name of a column."
        )
    return found[1], 1 / factor if found[2] == "/" else factor


def multiplied(values: NDArray[Any], factor: float) -> NDArray[np.float64]:
    """Multiply values; where the product is a whole number but for rounding, it is that."""
    product: NDArray[np.float64] = values * factor
    nearest = np.rint(product)
    return np.where(np.abs(product - nearest) <= 1e-12 * np.abs(product), nearest, product)
