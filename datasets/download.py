"""Downloads that can be trusted: resumed after any break, from mirrors in turn, under the final name when checked.

What has come of a file lies in a folder `.<name>.part` beside it: the bytes, and a note of where they are from. A kill
at any instant is harmless: the bytes are the beginning of the file, up to their hash, which is taken before the rename.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from edfkit import EdfkitError, __version__
from edfkit.archive.files import TEMPORARY_SUFFIX, replacing, write_text

if TYPE_CHECKING:
    import requests

_REDIRECTS = 5
# Bytes between two flushes to the disk where no hash is known: as many are fetched again after a kill.
_FLUSH = 2**23


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None,
    size: int | None = None,
    most: int = 2**36,
    progress: bool = False,
    attempts: int = 5,
    timeout: float = 30,
    least: int = 1024,
    pause: float = 1,
    longest_pause: float = 120,
) -> str:
    """Fetch a file, unless it is there already.

    Breaks are resumed where they happened, by a later process too; a file comes under its final name only when it is
    whole and its hash right, and one that is there stays until then. Of processes that want the same file, one fetches
    it and the others wait.

    Parameters
    ----------
    urls : sequence of str
        Addresses of the same file, http or https, tried in turn.
    target : Path
        Its folder is made if need be. While a download is unfinished, and to lock it, hidden files lie beside it.
    sha256 : str or None
        Hash that the file must have, in hex. If None, a file that is there is taken as it is, and a broken download is
        resumed only at the same address, if the server shows that the file is still the same.
    size : int, optional
        Bytes that the file must have.
    most : int
        Bytes that it may have at most.
    progress : bool
        Show it, with the rate and the time left, on standard error.
    attempts : int
        Tries of an address without progress before it is given up; one that brought bytes sets the count back.
    timeout, least : float, int
        Seconds to wait for a connection, and between bytes; a server that sends fewer than `least` bytes in that time
        has stalled.
    pause, longest_pause : float
        Seconds before the second try, doubled with each further one, and at most. A server that asks for a longer pause
        (Retry-After) is given up.

    Returns
    -------
    str
        The sha256 of the file, in hex.

    Raises
    ------
    EdfkitError
        If no address gives the file, with the reason of each; if there is no room for it; if the environment variable
        EDFKIT_OFFLINE forbids downloads and the file is not there.
    """
    sha256 = _checked(sha256)
    if not urls:
        raise EdfkitError(f"There is no address to fetch {target.name} from; give a copy of it with --from FILE.")
    for url in urls:
        if _scheme(url) not in ("http", "https"):
            raise EdfkitError(
                f"{url} is no http or https address, and no others are fetched; give a file with --from FILE."
            )
    try:
        if (found := _present(target, sha256, size)) is not None:
            return found
        if os.environ.get("EDFKIT_OFFLINE", "0") not in ("", "0"):
            raise EdfkitError(
                f"{target.name} is not here, and EDFKIT_OFFLINE is set, so that nothing is downloaded: unset it, or "
                f"give a copy of {urls[0]} with --from FILE, which puts it at {target}."
            )
        with _locked(target, progress):
            if (found := _present(target, sha256, size)) is not None:  # another process fetched it
                return found
            with bytes_shown(target.name, progress) as bar:
                fetch = _Fetch(target, sha256, size, most, timeout, least, bar)
                whole = _from_mirrors(fetch, urls, attempts, pause, longest_pause)
            found = sha256 or _hash(whole)
            with replacing(target) as temporary:
                whole.replace(temporary)
            shutil.rmtree(fetch.folder)
            return found
    except OSError as error:
        raise _no_place(target, error) from None


def copy_in(file: Path, target: Path, sha256: str | None, size: int | None = None) -> str:
    """Take a copy of a file that the user has instead of a download, with the same checks.

    Parameters
    ----------
    file : Path
        The copy; it stays as it is.
    target, sha256, size
        As for `download`.

    Returns
    -------
    str
        The sha256 of the file, in hex.

    Raises
    ------
    EdfkitError
        If the copy is not the file that is wanted, or cannot be read, or there is no room for it.
    """
    sha256 = _checked(sha256)
    if not file.is_file():
        raise EdfkitError(f"{file} is not a file; give the copy of {target.name} that you have.")
    length = file.stat().st_size
    if size is not None and length != size:
        raise EdfkitError(f"{file} has {length:,} bytes, but {target.name} has {size:,}; give a whole copy of it.")
    try:
        with _locked(target, progress=False):
            if target.exists() and file.samefile(target):
                found = _hash(file)
                _hold_against(found, sha256, file, target)
                return found
            _room(target.parent, length, target)
            with replacing(target) as temporary:
                shutil.copyfile(file, temporary)
                found = _hash(temporary)  # of what was written, whatever became of the copy meanwhile
                _hold_against(found, sha256, file, target)
            shutil.rmtree(_part(target), ignore_errors=True)  # of no use any more
            return found
    except OSError as error:
        raise _no_place(target, error) from None


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _checked(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise EdfkitError(f"{sha256!r} is no sha256; give 64 hexadecimal digits.")
    return sha256 and sha256.lower()


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _hold_against(found: str, sha256: str | None, file: Path, target: Path) -> None:
    if sha256 is not None and found != sha256:
        raise EdfkitError(
            f"{file} is not {target.name}: its sha256 is {found}, and {sha256} was expected; give a copy of the right "
            "one."
        )


def _present(target: Path, sha256: str | None, size: int | None) -> str | None:
    """Give the hash of the file if it is there and right."""
    if target.is_dir():
        raise EdfkitError(f"{target} is a folder, where a file was to be put; move it away.")
    if not target.exists() or (size is not None and target.stat().st_size != size):
        return None
    found = _hash(target)
    return found if sha256 in (None, found) else None


def _part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


@contextmanager
def _locked(target: Path, progress: bool) -> Iterator[None]:
    """Keep others from fetching the same file; the system opens the lock of a process that is killed."""
    from filelock import FileLock, Timeout

    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress:
            print(f"Another process is fetching {target.name}; waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        left = re.compile(rf"\.{re.escape(target.name)}\.\d+{re.escape(TEMPORARY_SUFFIX)}")
        for file in target.parent.iterdir():
            if left.fullmatch(file.name):  # by a process killed in the last moment
                file.unlink()
        yield
    finally:
        lock.release()


@contextmanager
def bytes_shown(name: str, progress: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Give a function that shows how many bytes there are, of how many."""
    if not progress:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(name, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


@contextmanager
def bytes_counted(name: str, total: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many bytes more there are, of how many in all, and shows it."""
    done = 0
    with bytes_shown(name, progress) as show:

        def advance(size: int) -> None:
            nonlocal done
            done += size
            show(done, total)

        yield advance


def _room(folder: Path, needed: int, target: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EdfkitError(
            f"There is no room for {target}: it takes {needed:,} more bytes, and {free:,} are free; make room and call "
            "again, or have another folder used with EDFKIT_DATA."
        )


def _no_place(target: Path, error: OSError) -> EdfkitError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    advice = "make room and call again" if full else "make its folder writable and call again"
    return EdfkitError(
        f"{target} cannot be written: {error.strerror or error}; {advice}, or have another folder used with "
        "EDFKIT_DATA."
    )


class _Refused(Exception):
    """What an address gives is of no use, and asking again will not help."""


class _Broken(Exception):
    """An address may give more when asked again, after so many seconds if it says so."""

    def __init__(self, reason: str, wait: float = 0.0, stalled: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.stalled = stalled


@dataclass(frozen=True)
class _Note:
    """Where the bytes of a partial file are from: what resuming has to agree with."""

    sha256: str | None
    url: str
    etag: str | None
    modified: str | None
    length: int | None  # of the whole file
    durable: int = 0  # bytes that a loss of power leaves; kept only where no hash is known


class _Fetch:
    """A downloader for pooch that asks an address once for what is missing of the file, and keeps what comes.

    Raises _Broken if more may come when it is called again, _Refused if the address is of no use.
    """

    session: requests.Session

    def __init__(
        self,
        target: Path,
        sha256: str | None,
        size: int | None,
        most: int,
        timeout: float,
        least: int,
        show: Callable[[int, int | None], None],
    ) -> None:
        self.target, self.sha256, self.size, self.most = target, sha256, size, most
        self.timeout, self.least, self.show = timeout, least, show
        self.folder = _part(target)
        self.part = self.folder / "bytes"
        self.alone = False  # whether all bytes came in one answer, to this call
        self.folder.mkdir(exist_ok=True)
        for file in self.folder.iterdir():  # what pooch left when it was killed
            if file.name not in ("bytes", "note.json"):
                file.unlink()
        self.note = self._read_note()
        self.best = self.have  # the most bytes that there ever were

    @property
    def have(self) -> int:
        """Bytes that have come."""
        return self.part.stat().st_size if self.note and self.part.exists() else 0

    @property
    def movable(self) -> bool:
        """Whether another address can be tried without losing what has come."""
        return self.sha256 is not None or not self.have

    def forget(self) -> tuple[str, bool]:
        """Throw the bytes away; say their hash, and whether they came in one answer."""
        found = _hash(self.part) if self.part.exists() else "that is another"
        self._drop()
        self.best = 0
        return found, self.alone

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fetch into `output_file`, as pooch has it."""
        self._fetch(url)
        # A second name for the bytes, so that they are not lost if the process is killed while pooch takes the hash.
        Path(output_file).unlink()
        try:
            os.link(self.part, output_file)
        except OSError:  # not every file system has them
            self.part.replace(output_file)

    def _read_note(self) -> _Note | None:
        try:
            note = _Note(**json.loads((self.folder / "note.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return note if note.sha256 == self.sha256 else None

    def _write_note(self, note: _Note) -> None:
        if note != self.note:
            write_text(self.folder / "note.json", json.dumps(asdict(note)))
            self.note = note

    def _drop(self) -> None:
        self.part.unlink(missing_ok=True)

    def _usable(self, url: str) -> int:
        """Say how many bytes an answer from this address may be put behind."""
        note, have = self.note, self.have
        if note is None or (note.length is not None and have > note.length):
            return 0
        if self.sha256 is not None:  # which decides in the end
            return have
        if note.url != url or not (note.etag or note.modified):
            return 0
        return min(have, note.durable)

    def _fetch(self, url: str) -> None:
        start = self._usable(url)
        if self.note is not None and start and start == self.note.length:
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": f"edfkit/{__version__}"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self.note and self.note.url == url and (condition := self.note.etag or self.note.modified):
                headers["If-Range"] = condition
        response = self._ask(url, headers)
        try:
            self._take(url, response, start)
        finally:
            response.close()

    def _ask(self, url: str, headers: dict[str, str]) -> requests.Response:
        from urllib.parse import urljoin

        import requests

        for _ in range(_REDIRECTS + 1):
            try:
                response = self.session.get(
                    url, headers=headers, stream=True, allow_redirects=False, timeout=self.timeout
                )
                where = self.session.get_redirect_target(response)
            except requests.exceptions.Timeout:
                raise _Broken(f"did not answer within {self.timeout:g} s", stalled=True) from None
            except requests.exceptions.ConnectionError as error:
                if "CERTIFICATE" in str(error):
                    raise _Refused(f"has no certificate that can be trusted ({error})") from None
                raise _Broken(f"could not be reached ({_cause(error)})") from None
            except (requests.exceptions.RequestException, ValueError) as error:
                raise _Refused(f"is no address to fetch from ({error})") from None
            if where is None:
                return response
            response.close()
            before = _scheme(url)
            try:
                url = urljoin(url, where)
            except ValueError:
                raise _Refused("redirects to an address that is none") from None
            after = _scheme(url)
            if after not in ("http", "https") or (before == "https" and after == "http"):
                raise _Refused(f"redirects from {before} to {after!r}, which is not followed")
        raise _Refused(f"redirects more than {_REDIRECTS} times")

    def _take(self, url: str, response: requests.Response, start: int) -> None:
        """Judge an answer by its head, and keep its bytes if they are wanted."""
        from http import HTTPStatus

        status, headers = response.status_code, response.headers
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            if self.sha256 and headers.get("Content-Range") == f"bytes */{start}":  # they were all
                return
            self._drop()
            raise _Broken(f"has nothing from byte {start:,} on")
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT) or (
            status == HTTPStatus.PARTIAL_CONTENT and not start
        ):
            raise _answered(status, headers.get("Retry-After"))
        if (coding := headers.get("Content-Encoding", "identity").strip().lower()) not in ("", "identity"):
            raise _Refused(f"sends the file encoded ({coding}) although it was asked not to")
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        told = headers.get("Content-Length", "")
        declared = int(told) if re.fullmatch("[0-9]{1,18}", told) and not chunked else None
        note = self._validators(url, response)
        if status == HTTPStatus.PARTIAL_CONTENT:
            length = self._continued(note, headers.get("Content-Range", ""), start, declared)
        else:
            start, length = 0, declared
        if length is not None and self.size is not None and length != self.size:
            raise _Refused(f"has {length:,} bytes, where {self.size:,} were expected")
        if length is not None and length > self.most:
            raise _Refused(f"has {length:,} bytes, more than the {self.most:,} that are allowed")
        if length is None and not chunked and self.size is None and self.sha256 is None:
            raise _Refused("does not say how long the file is, so that a break could not be told from its end")
        if not start:
            self._drop()
        end = self.size if length is None else length
        if end is not None:
            _room(self.folder, end - start, self.target)
        self._write_note(replace(note, length=length, durable=min(start, self.note.durable if self.note else 0)))
        self.alone = not start
        have = self._append(response, start, self.most if end is None else end)
        if end is not None and have < end:
            if chunked and length is None:  # its last chunk came, so this was no break
                raise _Refused(f"ended after {have:,} bytes, where {end:,} were expected")
            raise _Broken(f"broke off after {have:,} of {end:,} bytes")
        self._write_note(replace(note, length=have, durable=have))

    def _validators(self, url: str, response: requests.Response) -> _Note:
        """Note what tells this version of the file from others; weak validators do not."""
        from email.utils import parsedate_to_datetime

        etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
        if etag is not None and not re.fullmatch(r'"[!#-~\x80-\xff]*"', etag):
            etag = None
        try:
            age = parsedate_to_datetime(response.headers["Date"]) - parsedate_to_datetime(modified or "")
            if age.total_seconds() < 1:  # it may have changed twice in that second
                modified = None
        except (KeyError, ValueError, TypeError):
            modified = None
        return _Note(self.sha256, url, etag, modified, None)

    def _continued(self, note: _Note, content_range: str, start: int, declared: int | None) -> int | None:
        """Give the length of the whole file, if a partial answer goes on with the bytes that are here."""
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", content_range.strip())
        first, last = (int(found[1]), int(found[2])) if found else (-1, -1)
        if found is None or first != start or last < first or declared not in (None, last + 1 - first):
            self._drop()
            raise _Broken("sent another part of the file than it was asked for")
        had = self.note
        assert had is not None  # else nothing would have been asked for
        length = int(found[3]) if found[3] != "*" else had.length
        same = had.length in (None, length)
        if self.sha256 is None:
            same &= (had.etag or had.modified) == (note.etag if had.etag else note.modified)
        if not same:
            self._drop()
            raise _Broken("has another version of the file now")
        return length

    def _append(self, response: requests.Response, start: int, end: int) -> int:
        """Write what comes behind the first `start` bytes; give how many bytes there are."""
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        have, since, mark = start, time.monotonic(), start
        note = self.note
        assert note is not None
        with self.part.open("ab", buffering=0) as file:  # without buffer: a kill loses nothing that came
            file.truncate(start)
            try:
                while True:
                    try:
                        data = response.raw.read1(2**16, decode_content=False)
                    except ReadTimeoutError:
                        raise _Broken(f"stalled for {self.timeout:g} s after {have:,} bytes", stalled=True) from None
                    except (HTTPError, OSError) as error:
                        raise _Broken(f"broke off after {have:,} bytes ({_cause(error)})") from None
                    if not data:
                        os.fsync(file.fileno())
                        return have
                    if have + len(data) > end:
                        self._drop()
                        raise _Refused(f"sends more than the {end:,} bytes that were expected")
                    self._write(file, data)
                    have += len(data)
                    self.best = max(self.best, have)
                    self.show(have, note.length or self.size)
                    if self.sha256 is None and have - note.durable >= _FLUSH:
                        note = self._flush(file.fileno(), have)
                    if (now := time.monotonic()) - since >= self.timeout:
                        if have - mark < self.least:
                            raise _Broken(f"sent only {have - mark:,} bytes in {now - since:.3g} s", stalled=True)
                        since, mark = now, have
            finally:
                if self.sha256 is None:
                    with suppress(OSError):  # of a full disk, say, for which there is another error
                        self._flush(file.fileno(), have)

    def _write(self, file: FileIO, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[file.write(view) :]
        except OSError:
            if self.sha256 is None:
                if self.note and (self.note.etag or self.note.modified):
                    file.truncate(max(file.tell() - 2**14, 0))  # room on a full disk for the note of what is kept
                else:
                    self._drop()  # it could not be resumed, so it would only fill the disk
            raise

    def _flush(self, descriptor: int, have: int) -> _Note:
        os.fsync(descriptor)
        assert self.note is not None
        self._write_note(replace(self.note, durable=have))
        return self.note


def _answered(status: int, retry_after: str | None) -> Exception:
    """Say what came of a request that gave no file."""
    from email.utils import parsedate_to_datetime
    from http import HTTPStatus

    try:
        answer = f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        answer = f"answered {status}"
    if status < 500 and status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT):
        return _Refused(answer)
    wait = 0.0
    with suppress(ValueError, TypeError, OverflowError):
        told = (retry_after or "").strip()
        wait = (
            float(told) if re.fullmatch("[0-9]{1,9}", told) else parsedate_to_datetime(told).timestamp() - time.time()
        )
    if wait > 0:
        answer += f", to be asked again in {wait:.0f} s"
    return _Broken(answer, max(wait, 0.0))


def _cause(error: BaseException) -> str:
    """Give the first cause of an error, such as "Connection refused", without what each layer wraps it in."""
    inner = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__  # type: ignore[assignment]
    return (inner.strerror if isinstance(inner, OSError) else None) or str(inner) or type(inner).__name__


def _from_mirrors(fetch: _Fetch, urls: Sequence[str], attempts: int, pause: float, longest_pause: float) -> Path:
    """Have pooch fetch and check the file, address after address, try after try."""
    import random

    import pooch
    import requests

    mirrors = deque(dict.fromkeys(urls))
    tries, ready = Counter[str](), dict[str, float]()
    reasons, again = dict[str, str](), set[str]()
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # else it writes to standard error
    try:
        with requests.Session() as fetch.session:
            while mirrors:
                url = mirrors[0]
                time.sleep(max(ready.get(url, 0) - time.monotonic(), 0))
                best = fetch.best
                try:
                    return Path(pooch.retrieve(url, fetch.sha256, "whole", fetch.folder, downloader=fetch))
                except _Refused as error:
                    reasons[url] = str(error)
                except _Broken as error:
                    grew = fetch.best > best and not error.stalled
                    tries[url] = 0 if grew else tries[url] + 1
                    reasons[url] = f"{error} ({tries[url]} times)" if tries[url] > 1 else str(error)
                    wait = max(error.wait, pause * 2 ** max(tries[url] - 1, 0) * random.uniform(0.5, 1))
                    if tries[url] < attempts and error.wait <= longest_pause:
                        ready[url] = time.monotonic() + min(wait, longest_pause)
                        if not grew and fetch.movable:
                            mirrors.rotate(-1)
                        continue
                except EdfkitError:
                    raise
                except ValueError:  # so pooch says that the hash is wrong
                    found, alone = fetch.forget()
                    if not alone and url not in again:  # pieces may not have fitted together
                        again.add(url)
                        continue
                    reasons[url] = f"gave a file with the sha256 {found} where {fetch.sha256} was expected"
                mirrors.popleft()
    finally:
        logger.setLevel(level)
    given = "; ".join(f"{url} {reason}" for url, reason in reasons.items())
    kept = f"; the {fetch.have:,} bytes that came are kept, and the next call goes on with them" if fetch.have else ""
    raise EdfkitError(
        f"{fetch.target.name} could not be fetched: {given}{kept}. Try again later, or give a copy of it with --from "
        "FILE."
    )
