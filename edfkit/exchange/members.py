"""Where published files are read from: a zip, whose members are read in place, a folder, or the files themselves."""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from edfkit import EdfkitError

MOST_BYTES = 16 * 2**30  # of all members of a zip, unpacked
# Text of numbers takes a third or a fourth of the space when packed, and what repeats itself hardly less than a 100th;
# only above this size does it matter.
_MOST_RATIO, _RATIO_BYTES = 200, 10_000_000
_FOLDERS = ("data", "nds_data")  # that the published zip may unpack to


@dataclass(frozen=True)
class Member:
    """A JSON file to read, on its own or in a zip.

    Attributes
    ----------
    name : str
        Of the file, without folders.
    where : str
        What messages call it.
    size : int
        Bytes, as stated before reading.
    path : Path
        The file, or the zip that it is in.
    info : ZipInfo or None
        Its entry, if it is in a zip.
    """

    name: str
    where: str
    size: int
    path: Path
    info: zipfile.ZipInfo | None = None


def find_members(sources: Sequence[Path], *, most_bytes: int = MOST_BYTES) -> tuple[list[Member], int]:
    """List the JSON files of zips, folders and files.

    Parameters
    ----------
    sources : sequence of Path
        Zips, folders (their own JSON files; else those of a folder `data` or `nds_data` in it), or JSON files.
    most_bytes : int
        That the members of a zip may declare together.

    Returns
    -------
    list of Member
        In the order of the sources, then by name.
    int
        Files of the zips that are left out because they are no JSON.

    Raises
    ------
    EdfkitError
        If a source does not exist or holds no JSON file, or a zip is damaged or not safe (see `check_zip`).
    """
    found: list[Member] = []
    left_out = 0
    for source in sources:
        if source.is_dir():
            folder = next((f for f in (source, *(source / name for name in _FOLDERS)) if _json_files(f)), source)
            files = _json_files(folder)
            if not files:
                raise EdfkitError(f"The folder {source} has no JSON files; give one that holds published files.")
            found += [_file(file) for file in files]
        elif not source.is_file():
            raise EdfkitError(f"There is no file {source}; give published JSON files, their folder or their zip.")
        elif source.suffix.lower() == ".zip" or (source.suffix.lower() != ".json" and zipfile.is_zipfile(source)):
            with _reading(str(source)), zipfile.ZipFile(source) as archive:
                infos = archive.infolist()
                check_zip(source, infos, most_bytes=most_bytes)
            files_in = [info for info in infos if not info.is_dir() and not _is_foreign(info.filename)]
            chosen = sorted((i for i in files_in if i.filename.lower().endswith(".json")), key=lambda i: i.filename)
            if not chosen:
                raise EdfkitError(f"{source} has no JSON files; give the zip of the published files.")
            left_out += len(files_in) - len(chosen)
            found += [
                Member(PurePosixPath(i.filename).name, f"{source}: {i.filename}", i.file_size, source, i)
                for i in chosen
            ]
        else:
            found.append(_file(source))
    return found, left_out


def _file(path: Path) -> Member:
    return Member(path.name, str(path), path.stat().st_size, path)


def _json_files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.glob("*.json") if f.is_file() and not f.name.startswith("."))


def _is_foreign(name: str) -> bool:
    """Tell what macOS adds to a zip, and hidden files, from the files that are meant."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")


def check_zip(path: Path, infos: Sequence[zipfile.ZipInfo], *, most_bytes: int = MOST_BYTES) -> None:
    """Check by its directory that a zip is safe to read.

    Parameters
    ----------
    path : Path
        The zip.
    infos : sequence of ZipInfo
        Its members.
    most_bytes : int
        That they may declare together.

    Raises
    ------
    EdfkitError
        If a member has an absolute path, one with `..`, a backslash, a drive or a NUL character, is no plain file or
        folder (a symbolic link), is encrypted, is there twice, or takes less than a 200th of its size; if members share
        bytes of the zip, or declare more bytes together than they may.
    """
    seen: set[str] = set()
    for info in infos:
        name = info.orig_filename
        parts = PurePosixPath(name).parts
        kind = stat.S_IFMT(info.external_attr >> 16)
        ratio = info.file_size / max(1, info.compress_size)
        if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or name[1:2] == ":":
            wrong = "has a path that leads out of the zip"
        elif kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            wrong = "is a symbolic link or a special file"
        elif info.flag_bits & 1:
            wrong = "is encrypted"
        elif info.filename in seen:
            wrong = "is there twice"
        elif info.file_size > _RATIO_BYTES and ratio > _MOST_RATIO:
            wrong = f"declares {info.file_size:,} bytes in {info.compress_size:,}, which no such data pack to"
        else:
            seen.add(info.filename)
            continue
        raise EdfkitError(
            f"{path}: the member {name!r} {wrong}, expected plain JSON files; fetch the zip again, or unpack it "
            "yourself and give the folder."
        )
    declared, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if declared > most_bytes:
        raise EdfkitError(
            f"{path}: the members declare {declared:,} bytes together, expected {most_bytes:,} at most; unpack those "
            "you need and give them."
        )
    if packed > path.stat().st_size:
        raise EdfkitError(
            f"{path}: the members declare {packed:,} packed bytes, more than the zip has, so that some share them; "
            "fetch the zip again."
        )


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn what zipfile raises on a damaged zip into one sentence."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise EdfkitError(f"{where} cannot be read ({error or type(error).__name__}); fetch it again.") from error
    except ValueError as error:
        if isinstance(error, EdfkitError):
            raise
        raise EdfkitError(f"{where} cannot be read ({error}); fetch it again.") from error


class Stream:
    """Reads a member from its start to its end, and hashes what it reads as git does.

    Parameters
    ----------
    member : Member
        What to read.
    file : binary file
        It, open.
    progress : callable, optional
        Called with the number of bytes after each read.
    """

    def __init__(self, member: Member, file: IO[bytes], progress: Callable[[int], None] | None = None) -> None:
        self._member, self._file, self._progress = member, file, progress
        self._hash = hashlib.sha1(b"blob %d\0" % member.size, usedforsecurity=False)
        self.count = 0

    def read(self, size: int) -> bytes:
        """Read up to so many bytes, none at the end.

        Raises
        ------
        EdfkitError
            If they cannot be read, or are more or less in all than was declared.
        """
        with _reading(self._member.where):
            data = self._file.read(size)
        self._hash.update(data)
        self.count += len(data)
        if self.count > self._member.size or (not data and self.count < self._member.size):
            found = f"only {self.count:,}" if not data else "more"
            raise EdfkitError(
                f"{self._member.where} has {found} bytes, expected the {self._member.size:,} that were declared; fetch "
                "it again."
            )
        if self._progress:
            self._progress(len(data))
        return data

    @property
    def blob(self) -> str:
        """The id that git gives to the content, once all is read."""
        return self._hash.hexdigest()


@contextmanager
def open_member(member: Member, progress: Callable[[int], None] | None = None) -> Iterator[Stream]:
    """Open a member to read it in place.

    Parameters
    ----------
    member : Member
        What to read.
    progress : callable, optional
        Called with the number of bytes after each read.

    Yields
    ------
    Stream

    Raises
    ------
    EdfkitError
        If it cannot be opened.
    """
    if member.info is None:
        with _reading(member.where):
            file: IO[bytes] = open(member.path, "rb", buffering=0)  # noqa: SIM115 - closed below
        with file:
            yield Stream(member, file, progress)
        return
    with _reading(member.where):
        archive = zipfile.ZipFile(member.path)
    with archive:
        with _reading(member.where):
            file = archive.open(member.info)
        with file:
            yield Stream(member, file, progress)
