"""How values lie in an archive: variables, whole numbers that stand for real ones, and digests.

Real numbers of few decimals are stored as whole ones, as CF has it (`scale_factor`, `_FillValue` for NaN), which takes
a third of the space. Divided by a power of ten they are the same doubles again; CF's product may be off by a rounding.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError

HIDDEN_ATTRS = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST")
"""Attributes that netCDF keeps for itself; its others start with `_`."""

STORAGE_ATTRS = ("scale_factor", "add_offset", "crc32", "crc32_rows")
"""Attributes of variables that say how they are stored."""

# Numbers with at most 6 decimals are told apart by the quotient as by their text, and these are what records have.
_DECIMALS = (0, 1, 2, 3, 4, 6)


@dataclass(frozen=True)
class Variable:
    """Values with dimensions and attributes, for a variable that `edfkit.archive.schema` does not know.

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


@dataclass(frozen=True)
class Field:
    """A variable without its values: what it takes to store them bit by bit.

    Parameters
    ----------
    dtype : dtype
        As stored: `S1` for text, whole numbers for real ones that are packed.
    dims : tuple of str
        One name per axis of the values.
    shape : tuple of int
        As stored: text has its characters, in UTF-8, as one axis more.
    attrs : mapping, optional
        As those of `Variable`.
    decimals : int, optional
        Of real numbers that are packed: the values times 10**decimals are stored.
    """

    dtype: np.dtype[Any]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    decimals: int | None = None

    def of(self, models: int) -> Field:
        """Give the same for another number of models; what does not run along them stays."""
        return replace(self, shape=(models, *self.shape[1:])) if self.dims[0] == "model" else self

    @property
    def type(self) -> np.dtype[Any]:
        """The type of the values as they are read."""
        return self.dtype if self.decimals is None else np.dtype("<f8")

    def holds(self, values: NDArray[np.float64]) -> bool:
        """Tell whether real values, packed like this, are stored without loss."""
        whole = None if self.decimals is None else packed(values, self.decimals)
        return self.decimals is None or (whole is not None and whole.dtype.itemsize <= self.dtype.itemsize)


def pack(array: NDArray[Any]) -> tuple[NDArray[Any], int | None]:
    """Pack real numbers along two or more axes, if that loses nothing; give them with their decimals."""
    if array.dtype != "<f8" or array.ndim < 2:
        return array, None
    for decimals in _DECIMALS:
        # Some of them tell as a rule that it loses something.
        if packed(array[:: 1 + len(array) // 64], decimals) is not None:
            whole = packed(array, decimals)
            if whole is not None:
                return whole, decimals
    return array, None


def packed(values: NDArray[Any], decimals: int) -> NDArray[Any] | None:
    """Give the whole numbers that stand for real ones, None if they do not stand for every one exactly."""
    unknown = np.isnan(values)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * 10**decimals)
    scaled[unknown] = 0
    largest = np.abs(scaled).max(initial=0)
    if largest > np.iinfo(np.int32).max:
        return None
    whole: NDArray[Any] = scaled.astype(np.int16 if largest <= np.iinfo(np.int16).max else np.int32)
    again = whole / float(10**decimals)
    same = (again == values) & (np.signbit(again) == np.signbit(values))  # -0.0 would come back as 0.0
    if not (same | unknown).all():
        return None
    whole[unknown] = np.iinfo(whole.dtype).min
    return whole


def widened(whole: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give packed values a wider type."""
    wide = whole.astype(dtype)
    wide[whole == np.iinfo(whole.dtype).min] = np.iinfo(dtype).min
    return wide


def decimals_of(where: str, name: str, dtype: np.dtype[Any], attrs: Mapping[str, Any]) -> int | None:
    """Read with how many decimals a variable is packed; None if it is not."""
    if dtype.kind != "i" or "scale_factor" not in attrs:
        return None
    scale = float(np.ravel(attrs["scale_factor"])[0])
    for decimals in range(10):
        if scale == 1 / 10**decimals and "add_offset" not in attrs:
            return decimals
    raise EdfkitError(
        f"{where}: {name!r} is packed by the scale_factor {scale:g}, expected 1, 0.1, 0.01, ... without an add_offset; "
        "write it as real numbers."
    )


def unpack(whole: NDArray[Any], decimals: int, fill: Any, real: NDArray[np.float64]) -> None:
    """Put the real numbers that whole ones stand for where they belong; `fill`, if any, is NaN."""
    np.divide(whole, float(10**decimals), out=real)
    if fill is not None and (unknown := whole == fill).any():
        real[unknown] = np.nan


def decoded(values: NDArray[Any]) -> NDArray[Any]:
    """Text from its stored characters; numbers as they are."""
    if values.dtype != "S1":
        return values
    text = np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0]
    return text.astype(str) if is_ascii(values) else np.char.decode(text, "utf-8")


def is_ascii(characters: NDArray[Any]) -> bool:
    """Tell whether text, as its stored characters, is ASCII."""
    return bool(np.ascontiguousarray(characters).view(np.uint8).max(initial=0) < 128)


class Digests:
    """The CRC-32 of every so many rows of what is added."""

    def __init__(self, rows: int) -> None:
        self._rows, self._in_last = rows, 0
        self._digests: list[int] = []

    def add(self, values: NDArray[Any]) -> None:
        """Take the next rows."""
        start = 0
        while start < len(values):
            if self._in_last in (0, self._rows):
                self._digests.append(0)
                self._in_last = 0
            stop = min(len(values), start + self._rows - self._in_last)
            self._digests[-1] = zlib.crc32(np.ascontiguousarray(values[start:stop]).data, self._digests[-1])
            self._in_last += stop - start
            start = stop

    def all(self) -> list[int]:
        """Give the digests of all rows so far."""
        return self._digests


def power_of_two(number: int) -> int:
    """Give the largest power of two that is not above a number, 1 at least."""
    return 1 << (max(1, number).bit_length() - 1)
