"""Records out of published JSON as it comes in, without holding more of it than one record and a piece.

A file is a list of records, or an object of such lists. The bytes are cut where one object ends and the next begins, as
far as `}`, `,` and `{` tell. What parses as an object is the record, as no whole object begins another; what does not
has such signs in a text or an inner list, or holds NaN, and is cut by counting brackets.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import orjson

from edfkit import EdfkitError

_PIECE = 2**20
_MOST_BYTES = 2**24  # of one record, thousands of times as many as they have
_BETWEEN = re.compile(rb"\}\s*,\s*\{")
# A text, with its end if that is there, or a bracket.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+("?)|[{}\[\]]', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")


class Readable(Protocol):
    """What can be read from."""

    def read(self, size: int) -> bytes:
        """Read up to so many bytes, none at the end."""


class Record(NamedTuple):
    """A record of a file.

    Attributes
    ----------
    key : str or None
        Of the list that it is in; None if the file is a list.
    record : dict
    strict : bool
        Whether its JSON is strict, without NaN and the like.
    """

    key: str | None
    record: dict[str, Any]
    strict: bool


def read_records(stream: Readable, where: str) -> Iterator[Record]:
    """Read the records of a published file one by one.

    Parameters
    ----------
    stream : Readable
        Its bytes.
    where : str
        What messages call it.

    Yields
    ------
    Record

    Raises
    ------
    EdfkitError
        If it is no JSON, or holds no list of records; a list without records is refused too.
    """
    yield from _Reader(stream, where).records()


class _Reader:
    def __init__(self, stream: Readable, where: str) -> None:
        self._stream, self._where = stream, where
        self._data, self._place, self._ended = b"", 0, False
        self._count = 0  # of records in this list

    def records(self) -> Iterator[Record]:
        if self._next() == b"\xef" and self._data.startswith(b"\xef\xbb\xbf"):
            self._place += 3  # a byte order mark
        opening = self._next()
        if opening == b"[":
            yield from self._list(None)
        elif opening == b"{":
            self._place += 1
            while True:
                key = self._key()
                if self._next() != b"[":
                    raise self._not_published(f" for {key!r}")
                yield from self._list(key)
                closing = self._next()
                self._place += 1
                if closing == b"}":
                    break
                if closing != b",":
                    raise self._broken("an object of lists goes on without a comma")
        elif not opening:
            raise EdfkitError(f"{self._where} is empty, expected a list of records; fetch it again.")
        else:
            raise self._not_published("")
        if self._next():
            raise self._broken("it goes on after its end")

    def _list(self, key: str | None) -> Iterator[Record]:
        self._place += 1
        self._count = 0
        while True:
            found = self._next()
            if found != b"{":
                if found == b"]" and not self._count:
                    raise self._not_published("" if key is None else f" for {key!r}")
                raise self._broken(
                    f"record {self._count} is no object" if found else f"it ends after record {self._count}"
                )
            yield Record(key, *self._object())
            self._count += 1
            found = self._next()
            self._place += 1
            if found == b"]":
                return
            if found != b",":
                raise self._broken(
                    f"there is no comma after record {self._count - 1}" if found else "it ends too early"
                )

    def _object(self) -> tuple[dict[str, Any], bool]:
        between = _BETWEEN.search(self._data, self._place)
        if not between and self._fill():
            between = _BETWEEN.search(self._data, self._place)
        if between:
            end = between.start() + 1
            try:
                record: dict[str, Any] = orjson.loads(memoryview(self._data)[self._place : end])
                self._place = end
                return record, True
            except orjson.JSONDecodeError:
                pass
        end = self._end()
        text = self._data[self._place : end]
        self._place = end
        try:
            return orjson.loads(text), True
        except orjson.JSONDecodeError:
            pass
        try:
            loaded = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._broken(f"record {self._count}: {error}") from error
        return loaded, False

    def _end(self) -> int:
        """Find the end of the object at hand by counting brackets."""
        depth = after = 0  # up to how far after the place they are counted
        while True:
            for token in _TOKEN.finditer(self._data, self._place + after):
                first = token[0][:1]
                if first == b'"':
                    if not token[1]:
                        break
                elif first in b"{[":
                    depth += 1
                else:
                    depth -= 1
                    if not depth:
                        return token.end()
                after = token.end() - self._place
            if not self._fill():
                raise self._broken(f"it ends within record {self._count}")

    def _key(self) -> str:
        if self._next() != b'"':
            raise self._not_published("")
        while not (token := _TOKEN.match(self._data, self._place)) or not token[1]:
            if not self._fill():
                raise self._broken("it ends within a key")
        try:
            key: str = json.loads(token[0])
        except ValueError as error:
            raise self._broken(str(error)) from error
        self._place = token.end()
        if self._next() != b":":
            raise self._broken(f"there is no colon after {key!r}")
        self._place += 1
        return key

    def _next(self) -> bytes:
        """Go to the next byte that is no space, and give it; nothing at the end."""
        while True:
            space = _SPACE.match(self._data, self._place)
            self._place = space.end() if space else self._place
            if self._place < len(self._data):
                return self._data[self._place : self._place + 1]
            if not self._fill():
                return b""

    def _fill(self) -> bool:
        """Read on, as much again as there is, so that what is longer than a piece is not searched too often."""
        kept = len(self._data) - self._place
        if kept > _MOST_BYTES:
            raise EdfkitError(
                f"{self._where}: record {self._count} has more than {_MOST_BYTES:,} bytes, expected a list of records "
                "of trained models; give a file in the published format."
            )
        if self._ended:
            return False
        more = self._stream.read(max(_PIECE, kept))
        self._ended = not more
        self._data = self._data[self._place :] + more
        self._place = 0
        return bool(more)

    def _broken(self, reason: str) -> EdfkitError:
        return EdfkitError(f"{self._where} cannot be read as JSON ({reason}); fetch it again.")

    def _not_published(self, part: str) -> EdfkitError:
        return EdfkitError(f"{self._where} does not hold a list of records{part}; give a file in the published format.")
