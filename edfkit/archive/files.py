"""Files that are whole or absent: written under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

# A killed process leaves such a name behind; nothing reads it.
TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; on success it takes the place of `path`, durably, else it is removed.

    Parameters
    ----------
    path : Path
        Final name. A file that has it stays as it is until the new one is whole.

    Yields
    ------
    Path
        Temporary name in the same folder, ending in ".tmp".
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            _sync(path.parent)  # the rename itself
    except OSError as error:
        # A failed write knows no name, and a temporary one tells nobody anything.
        error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class Disk:
    """A file to write to that looks whole from then on even when the disk fails, so that HDF5 can always close it.

    HDF5 cannot close a file that it cannot write to the end. After the first failure, which is kept for the caller to
    raise, what is written stays in memory.

    Parameters
    ----------
    path : Path
        The file, which is made anew.

    Attributes
    ----------
    error : OSError or None
        The first failure.
    strict : bool
        Whether a write that fails raises: HDF5 can be stopped so while it copies, but not when it closes the file.
    size : int
        Bytes up to the end of what was written, or was to be.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self.strict = False
        self.size = 0
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115 - a context manager itself
        self._place = 0
        self._kept: list[tuple[int, bytes]] = []  # what the disk did not take, by place

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.error:
            raise OSError(self.error.errno, self.error.strerror)

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place, as files do."""
        self._place = place + (0, self._place, self.size)[whence]
        return self._place

    def tell(self) -> int:
        """Tell the place."""
        return self._place

    def write(self, data: ReadableBuffer) -> int:
        """Write at the place; this does not fail, unless it is `strict`."""
        view = memoryview(data).cast("B")
        written = 0
        if not self.error:
            try:
                self._file.seek(self._place)
                while written < len(view):
                    written += self._file.write(view[written:]) or 0
            except OSError as error:
                self.error = error
        if self.error:
            if self.strict:
                self.check()
            self._kept.append((self._place + written, bytes(view[written:])))
        self._place += len(view)
        self.size = max(self.size, self._place)
        return len(view)

    def readinto(self, data: WriteableBuffer) -> int:
        """Read what was written, zeros where nothing was."""
        view = memoryview(data).cast("B")
        view[:] = bytes(len(view))
        self._file.seek(self._place)
        read = 0
        while read < len(view) and (more := self._file.readinto(view[read:])):
            read += more
        for place, kept in self._kept:
            start, stop = max(place, self._place), min(place + len(kept), self._place + len(view))
            if start < stop:
                view[start - self._place : stop - self._place] = kept[start - place : stop - place]
        self._place += len(view)
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the size; this does not fail."""
        self.size = size
        if not self.error:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Do nothing: nothing is held back."""
