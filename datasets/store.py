"""The archives that have been downloaded: made whole or not at all, checked, removed.

    FOLDER/NAME/VERSION/NAME.h5          the archive
    FOLDER/NAME/VERSION/complete.json    what it was made of; written last, and nothing without it is read
    FOLDER/NAME/VERSION/downloads/       the files as downloaded, until the archive is whole
    FOLDER/NAME/VERSION/making/          the archive while it is made
    FOLDER/NAME/first-VERSION.json       sha256 and size of the files that the archive was first made of
    FOLDER/.locks/NAME.lock              held by the process that is at work on it

FOLDER is the data folder, see `edfkit.datasets.data_folder`. Where the registry knows no sha256, what is
downloaded later is held against the first download; its record is kept when an archive is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edfkit import EdfkitError, __version__
from edfkit.archive.files import TEMPORARY_SUFFIX, replacing, write_text
from edfkit.datasets import BUNDLED, MARKER, data_folder, downloaded
from edfkit.datasets.download import bytes_counted, copy_in, download
from edfkit.datasets.registry import Entry, File, find, is_name

_FORMAT = 1  # of the marker
_MOST_BYTES = 20 * 2**30  # of a file whose size the registry does not tell


@dataclass(frozen=True)
class Members:
    """How published files compare with the copy that the registry knows, by their git blob ids.

    Attributes
    ----------
    known, different, missing, additional : tuple of str
        Names of files: those that are the known copy, those of another content (perhaps another release), those that
        are not there, and those that the registry does not know.
    """

    known: tuple[str, ...]
    different: tuple[str, ...]
    missing: tuple[str, ...]
    additional: tuple[str, ...]

    def __str__(self) -> str:
        expected = len(self.known) + len(self.different) + len(self.missing)
        text = f"{len(self.known)} of {expected} files are the known copy"
        for what, names in (("other content", self.different), ("missing", self.missing), ("more", self.additional)):
            if names:
                text += f"; {what}: {', '.join(names)}"
        return text


@dataclass(frozen=True)
class Installed:
    """An archive on this machine.

    Attributes
    ----------
    name, version : str
    path : Path
    sha256 : str
        Of the archive.
    size : int
        Of the archive, in bytes.
    files : dict of str to dict
        `sha256` and `size` of the files that it was made of, by name.
    members : Members or None
        How the published files compare with the known copy; None of kind "archive".
    """

    name: str
    version: str
    path: Path
    sha256: str
    size: int
    files: dict[str, dict[str, Any]]
    members: Members | None


@dataclass(frozen=True)
class Removed:
    """What was removed.

    Attributes
    ----------
    name : str
    files : tuple of Path
    freed : int
        Their bytes.
    kept : tuple of Path
        The records of first downloads, which stay.
    """

    name: str
    files: tuple[Path, ...]
    freed: int
    kept: tuple[Path, ...]


def installed(name: str) -> Path | None:
    """Say where the archive of a name lies, if it is here and whole.

    Parameters
    ----------
    name : str

    Returns
    -------
    Path or None

    Raises
    ------
    EdfkitError
        If this can be no name.
    """
    found = state(name)
    return found.path if found else None


def state(name: str) -> Installed | None:
    """Say what is here under a name: the version downloaded last, or what comes with edfkit.

    No registry but the built-in one is read, so what has been downloaded is there without its registry too.

    Parameters
    ----------
    name : str

    Returns
    -------
    Installed or None

    Raises
    ------
    EdfkitError
        If this can be no name.
    """
    _check_name(name)
    if name in BUNDLED:
        return _bundled(find(name))
    path = downloaded(name)
    return _whole(path.parent, name) if path else None


def obtain(name: str, *, from_file: Path | None = None, progress: bool = False) -> Installed:
    """Download a published archive, check and convert it, unless it is here already: all of this or nothing.

    Killed at any moment, it leaves nothing that would be taken for whole, and the next call goes on with what was
    downloaded. Of several processes one does it, and the others wait. Once the archive is whole, the files that it was
    made of are removed: it holds all that they do.

    Parameters
    ----------
    name : str
    from_file : Path, optional
        A copy of the file to download, to be taken in its place; where the entry has several files, a folder of them.
    progress : bool
        Whether to show on standard error how far it is.

    Returns
    -------
    Installed

    Raises
    ------
    EdfkitError
        If there is no such entry, its files cannot be had or are wrong, or are no such data.
    OSError
        If the disk is full; what was downloaded stays for the next call.
    """
    _check_name(name)
    entry = find(name)
    if entry.bundled:
        if from_file is not None:
            raise EdfkitError(f"{name} comes with edfkit, so there is nothing to take from {from_file}; leave it out.")
        return _bundled(entry)
    folder = data_folder() / name / entry.version
    if done := _whole(folder, name):
        return _as_asked(done, entry, from_file)
    with _locked(name, wait=True):
        if done := _whole(folder, name):  # another process has been faster
            return _as_asked(done, entry, from_file)
        return _make(entry, folder, from_file, progress)


def _make(entry: Entry, folder: Path, from_file: Path | None, progress: bool) -> Installed:
    """Make the archive; the lock is held."""
    making, downloads = folder / "making", folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for stale in (*folder.parent.glob(f".*{TEMPORARY_SUFFIX}"), *folder.iterdir()):
        if stale != downloads:
            _delete(stale)  # of a process that was killed
    making.mkdir()
    first = folder.parent / f"first-{entry.version}.json"
    record = _read_record(first)
    new = making / f"{entry.name}.h5"
    try:
        files = {
            file.name: _get(file, downloads / file.name, _source(entry, file, from_file), progress)
            for file in entry.files
        }
        try:
            _hold_against(record, files, entry, first)
            members = _convert(entry, [downloads / name for name in files], new, progress)
        except EdfkitError as error:
            if not isinstance(error.__cause__, OSError):  # such as a full disk, for which the files cannot be blamed
                _delete(downloads)
            raise
        done = Installed(
            entry.name,
            entry.version,
            folder / new.name,
            _sha256(new),
            new.stat().st_size,
            {name: {"sha256": about["sha256"], "size": about["size"]} for name, about in files.items()},
            members,
        )
        with replacing(done.path) as temporary:
            new.replace(temporary)
        if not record:
            write_text(first, json.dumps(files, indent=1) + "\n")
        _write_marker(folder / MARKER, done)
    finally:
        _delete(making)
    _delete(downloads)
    return done


def _source(entry: Entry, file: File, given: Path | None) -> Path | None:
    """Say what to copy a file from, if it need not be downloaded."""
    if given is None:
        absent = file.urls and file.beside and not file.beside.exists()
        return None if absent else file.beside
    if len(entry.files) > 1:
        if not given.is_dir():
            names = ", ".join(file.name for file in entry.files)
            raise EdfkitError(f"{entry.name} is made of {names}; give the folder that holds them, not {given}.")
        given = given / file.name
    if not given.is_file():
        raise EdfkitError(f"There is no file {given}; give a copy of {file.name} of {entry.name}.")
    return given


def _get(file: File, target: Path, source: Path | None, progress: bool) -> dict[str, Any]:
    """Bring a file into the folder of downloads, where a process that was killed may have left it; say what it is."""
    if source is None:
        most = file.size or _MOST_BYTES
        sha256 = download(file.urls, target, sha256=file.sha256, size=file.size, most=most, progress=progress)
    elif source == file.beside and target.is_file() and file.sha256 in (None, _sha256(target)):
        sha256 = _sha256(target)
    else:
        sha256 = copy_in(source, target, file.sha256, file.size)
    origin = str(source) if source else list(file.urls)
    return {"sha256": sha256, "size": target.stat().st_size, "from": origin}


def _hold_against(record: Mapping[str, Any], files: Mapping[str, Any], entry: Entry, path: Path) -> None:
    """Hold files against what is recorded of the first download."""
    for name, about in files.items():
        before = record.get(name, about)["sha256"]
        if about["sha256"] != before:
            raise EdfkitError(
                f"{name} of {entry.name} has the sha256 {about['sha256']}, and the first download had {before}; give a "
                f"copy of that with --from FILE, or remove {path} to accept another."
            )


def _convert(entry: Entry, sources: list[Path], target: Path, progress: bool) -> Members | None:
    """Make the archive of the files, and check it."""
    from edfkit.archive import validate

    if entry.kind == "archive":
        validate(sources[0])
        try:
            os.link(sources[0], target)  # another name for the same bytes: the download stays for another try
        except OSError:
            shutil.copyfile(sources[0], target)
        return None
    from edfkit.exchange.nds import import_nds, total_bytes

    with bytes_counted(f"converting {entry.name}", total_bytes(sources), progress) as advance:
        imported = import_nds(sources, target, title=entry.title, license=entry.license, progress=advance)
    validate(target)
    return compare(imported.files, entry.members)


def compare(files: Mapping[str, str], known: Mapping[str, str]) -> Members:
    """Compare git blob ids, by the names of files, with those that are known."""
    return Members(
        tuple(sorted(name for name in known if files.get(name) == known[name])),
        tuple(sorted(name for name in known if name in files and files[name] != known[name])),
        tuple(sorted(set(known) - set(files))),
        tuple(sorted(set(files) - set(known))),
    )


def check(name: str) -> Installed:
    """Check that an archive on this machine is as it was made: its sha256, then every rule of the format.

    Parameters
    ----------
    name : str

    Returns
    -------
    Installed

    Raises
    ------
    EdfkitError
        If it is not here, has changed, or breaks a rule.
    """
    from edfkit.archive import validate

    found = state(name)
    if found is None:
        raise EdfkitError(f"{name} is not whole on this machine; edfkit datasets download {name} makes it so.")
    if (sha256 := _sha256(found.path)) != found.sha256:
        raise EdfkitError(f"{found.path} has sha256 {sha256}, expected {found.sha256}: it has changed; {_again(name)}.")
    validate(found.path)
    return found


def remove(name: str) -> Removed:
    """Remove all versions of an archive from this machine, and what was downloaded of it, without asking.

    The records of what was first downloaded stay.

    Parameters
    ----------
    name : str

    Returns
    -------
    Removed

    Raises
    ------
    EdfkitError
        If nothing of it is here, it comes with edfkit, or another process is at work on it.
    """
    _check_name(name)
    if name in BUNDLED:
        raise EdfkitError(f"{name} comes with edfkit and is no download; pip uninstall edfkit removes both.")
    folder = data_folder() / name
    if not folder.is_dir():
        raise EdfkitError(f"Nothing of {name} has been downloaded to {folder.parent}; there is nothing to remove.")
    with _locked(name, wait=False):
        kept = tuple(sorted(path for path in folder.glob("first-*.json") if path.is_file()))
        files = tuple(sorted(path for path in folder.rglob("*") if path.is_file() and path not in kept))
        freed = sum(path.stat().st_size for path in files)
        if not files and kept:
            raise EdfkitError(
                f"Of {name} there is no more than {', '.join(map(str, kept))}, against which a later download is "
                "held; there is nothing else to remove."
            )
        for marker in folder.glob(f"*/{MARKER}"):  # first, so that nothing is taken for whole from here on
            marker.unlink()
        for path in folder.iterdir():
            if path not in kept:
                _delete(path)
        if not kept:
            folder.rmdir()
    return Removed(name, files, freed, kept)


def _check_name(name: str) -> None:
    """Check a name before it becomes part of a path."""
    if not is_name(name):
        raise EdfkitError(
            f"{name!r} is no name of a published archive, which has lower-case letters, digits, '-', '_' and '.'; "
            "edfkit datasets list shows them."
        )


def _again(name: str) -> str:
    return f"edfkit datasets remove {name} and edfkit datasets download {name} make it again"


def _as_asked(done: Installed, entry: Entry, from_file: Path | None) -> Installed:
    """Check that what is here was made of the files that the registry means, and of those given."""
    for file in entry.files:
        made_of = done.files.get(file.name, {}).get("sha256")
        wanted, whose = file.sha256, f"{entry.registry} says"
        if from_file is not None:
            source = _source(entry, file, from_file)
            wanted, whose = _sha256(source) if source else None, f"{source} has"
        if wanted not in (None, made_of):
            raise EdfkitError(
                f"{done.path} was made of {file.name} with sha256 {made_of}, and {whose} {wanted}; "
                f"edfkit datasets remove {entry.name}, then download it again."
            )
    return done


def _bundled(entry: Entry) -> Installed:
    file = entry.files[0]
    assert file.beside is not None
    assert file.sha256 is not None
    about = {"sha256": file.sha256, "size": file.size}
    return Installed(entry.name, entry.version, file.beside, file.sha256, file.size or 0, {file.name: about}, None)


def _whole(folder: Path, name: str) -> Installed | None:
    """Read the marker of an archive; None if there is none, or it does not describe the file."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        if marker["format"] != _FORMAT:
            return None
        members = marker["members"]
        found = Installed(
            name,
            folder.name,
            folder / f"{name}.h5",
            marker["sha256"],
            marker["size"],
            marker["files"],
            Members(**{key: tuple(names) for key, names in members.items()}) if members else None,
        )
        return found if found.path.stat().st_size == found.size else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _write_marker(path: Path, done: Installed) -> None:
    document = {
        "format": _FORMAT,
        "edfkit": __version__,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "sha256": done.sha256,
        "size": done.size,
        "files": done.files,
        "members": asdict(done.members) if done.members else None,
    }
    write_text(path, json.dumps(document, indent=1) + "\n")


def _read_record(path: Path) -> dict[str, dict[str, Any]]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record, dict) and all(isinstance(about["sha256"], str) for about in record.values()):
            return record
        reason = "it is no table of files"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise EdfkitError(
        f"{path}, which says what the first download was, cannot be read ({reason}); remove it to accept the next one."
    )


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(name: str, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a name, which its holder's end frees, however it comes."""
    from filelock import FileLock, Timeout

    path = data_folder() / ".locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise EdfkitError(f"Another process is at work on {name} ({path}); let it end, or stop it.") from None
        print(f"edfkit: another process is at work on {name}; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
