"""Archives at an address, such as `https://` or `s3://`, read in place: only the blocks that are asked for are sent.

HDF5 reads a few dozen bytes at a time, so the file is fetched in blocks of 64 KiB, which are kept. A request takes
about as long as sending 256 KiB, so a small read fetches its neighbour too, of the two that make 128 KiB: with four
together requests are a third fewer, and half as much again is sent.

What is at the address may change meanwhile: of a web server every answer is held against the first one, and S3 is asked
for parts of what was there when it was opened.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard
from urllib.parse import urljoin, urlsplit

import h5py

from edfkit import EdfkitError

_BLOCK = 2**16
_NEAR = 2  # blocks that are fetched together where less than one is asked for: 128 KiB
_KEPT = 512  # blocks that are kept: 32 MiB
_CONNECT, _SILENCE, _WHOLE = 15.0, 30.0, 600.0  # seconds for a connection, without any byte, and for one answer
_TRIES = 3  # of a request that broke off
_PAUSE = 0.25  # seconds before the second try, twice that before the third
_WEB = ("http", "https")
_CHANGED = "has changed while it was read; try again, or download the file first."


class Address(str):
    """The address of an archive; as text without what may be a secret, so that it can be shown.

    Parameters
    ----------
    url : str
        Such as "https://example.org/archive.h5".

    Attributes
    ----------
    url : str
        The whole of it, with the user, password and query, which the text lacks.

    Raises
    ------
    EdfkitError
        If it names no host or has a port that is none, or joins several addresses.
    """

    __slots__ = ("url",)

    url: str

    def __new__(cls, url: str) -> Address:
        """Make one of the whole text, or of another one."""
        whole = url.url if isinstance(url, Address) else url
        scheme, _, rest = whole.partition("://")
        shown = f"{scheme.lower()}://{re.sub(r'^[^/?#]*@', '', rest)}"
        shown = re.sub(r"[?#].*", "", shown, flags=re.DOTALL)
        self = super().__new__(cls, shown + ("?..." if "?" in whole else ""))
        self.url = f"{scheme.lower()}://{rest}"
        try:
            parts = urlsplit(self.url)
            named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            named = False
        if (self.scheme in _WEB and not named) or not rest.strip("/"):
            raise EdfkitError(
                f"{self} is no address of an archive, expected one like https://host/archive.h5; correct it."
            )
        if re.search(r"::[A-Za-z][\w+.-]*://", whole):
            raise EdfkitError(f"{self} joins several addresses, expected that of an archive itself; give that.")
        return self

    def __getnewargs__(self) -> tuple[str]:
        """Give what a copy on another machine, of a cluster, is made of."""
        return (self.url,)

    @property
    def scheme(self) -> str:
        """What stands before "://", in lower case."""
        return self.url.partition("://")[0]


def is_address(where: object) -> TypeGuard[str]:
    """Tell whether this is an address rather than a path: text with "://" after two letters or more."""
    return isinstance(where, str) and bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", where))


def open_address(address: Address) -> Blocks:
    """Open what is at an address, of which nothing but the first blocks are fetched.

    Parameters
    ----------
    address : Address

    Returns
    -------
    Blocks

    Raises
    ------
    EdfkitError
        If EDFKIT_OFFLINE is set, a package is missing, there is nothing, it cannot be reached, or it comes from a web
        server that sends no parts of files.
    """
    if os.environ.get("EDFKIT_OFFLINE", "0") not in ("", "0"):
        raise EdfkitError(
            f"{address} is not read, because EDFKIT_OFFLINE is set; unset it, or give an archive on this machine."
        )
    _at_exit()
    return Blocks(address)


class Blocks(io.RawIOBase):
    """A file at an address, for reading in any order.

    Parameters
    ----------
    address : Address
        See `open_address`.

    Attributes
    ----------
    size : int
        In bytes.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._failure: str | None = None
        self._answers = _Answers(address) if address.scheme in _WEB else None
        with self._one_sentence():
            self._store, self._path = _store(address, self._answers)
            if self._answers is None:
                self.size = int(self._info()["size"] or 0)
                with _no_collection():
                    self._file = self._store.open(self._path, "rb", cache_type="none")
            else:
                self._fetch(0, _NEAR)
                self.size = self._answers.size or 0

    def __repr__(self) -> str:
        return f"<Blocks of {self._address}>"

    def readable(self) -> bool:
        """Tell that it is."""
        return True

    def seekable(self) -> bool:
        """Tell that it is."""
        return True

    def tell(self) -> int:
        """Give the place that is read from next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read what is at the place, to the end of the buffer or of the file."""
        view = memoryview(buffer).cast("B")
        start, stop = self._at, max(self._at, min(self._at + len(view), self.size))
        if start < stop:
            view[: stop - start] = self._read(start, stop)
        self._at = stop
        return stop - start

    def _read(self, start: int, stop: int) -> bytes:
        with self._one_sentence():
            numbers = range(start // _BLOCK, (stop - 1) // _BLOCK + 1)
            found = {number: self._blocks[number] for number in numbers if number in self._blocks}
            for number in numbers:
                if number not in found:
                    found |= self._fetch(*self._missing(number, numbers, alone=stop - start >= _BLOCK))
            self._blocks |= found
            for number in numbers:
                self._blocks.move_to_end(number)
            while len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        first = numbers.start * _BLOCK
        return b"".join(found[number] for number in numbers)[start - first : stop - first]

    def _missing(self, number: int, wanted: range, alone: bool) -> tuple[int, int]:
        """Give the row of missing blocks around one: those that are wanted, and if not alone those near it."""
        first, last = number, number + 1
        begin, end = wanted.start, wanted.stop
        if not alone:
            begin = min(begin, number // _NEAR * _NEAR)
            end = max(end, min((number // _NEAR + 1) * _NEAR, -(-self.size // _BLOCK)))
        while first > begin and first - 1 not in self._blocks:
            first -= 1
        while last < end and last not in self._blocks:
            last += 1
        return first, last

    def _fetch(self, first: int, last: int) -> dict[int, bytes]:
        """Fetch the blocks from the first to before the last in one request, and again if it breaks off."""
        opening = not hasattr(self, "size")
        start, stop = first * _BLOCK, last * _BLOCK if opening else min(last * _BLOCK, self.size)
        for attempt in range(_TRIES):
            try:
                with _no_collection():
                    data = self._part(start, stop)
                break
            except Exception as error:
                if attempt == _TRIES - 1 or not _may_pass(error):
                    raise
            time.sleep(_PAUSE * 2**attempt)
        if opening and self._answers:
            stop = min(stop, self._answers.size or 0)
        if len(data) != stop - start:
            raise EdfkitError(
                f"{self._address} gave {len(data):,} bytes where {stop - start:,} were asked for: it is incomplete or "
                "has changed; try again, or download the file first."
            )
        blocks = {first + i // _BLOCK: data[i : i + _BLOCK] for i in range(0, len(data), _BLOCK)}
        if opening:
            self._blocks |= blocks
        return blocks

    def _part(self, start: int, stop: int) -> bytes:
        if self._answers:
            part: bytes = self._store.cat_file(self._path, start=start, end=stop)
        else:
            self._file.seek(start)
            part = self._file.read(stop - start)
        return part

    def _info(self) -> dict[str, Any]:
        with _no_collection():
            info: dict[str, Any] = self._store.info(self._path)
        if info.get("type", "file") != "file":
            raise EdfkitError(f"{self._address} is a folder, expected an edfkit archive; give the address of the file.")
        return info

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        """Turn whatever goes wrong into one sentence, and stay with it: HDF5 reads on while it closes the file."""
        if self._failure is not None:
            raise EdfkitError(self._failure)
        try:
            yield
        except EdfkitError as error:
            self._failure = str(error)
            raise
        except Exception as error:
            self._failure = _sentence(self._address, error)
        if self._failure is not None:
            raise EdfkitError(self._failure) from None  # the cause may tell a secret of the address


class _Answers:
    """What a web server answers to requests for parts of one file, looked at before any content is read.

    Attributes
    ----------
    size : int or None
        Of the whole file, in bytes; None before the first part.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._validators: tuple[str | None, str | None] = (None, None)
        self.size: int | None = None

    async def redirected(self, _: Any, __: Any, about: Any) -> None:
        """Refuse to go from https to http, or to something else."""
        to = urlsplit(urljoin(str(about.url), about.response.headers.get("Location", ""))).scheme.lower()
        if to != about.url.scheme and (about.url.scheme, to) != ("http", "https"):
            about.response.close()
            raise EdfkitError(
                f"{self._address} leads from {about.url.scheme}:// to {to}://, which is not followed; give the address "
                "of the file itself, if you trust it."
            )

    async def answered(self, _: Any, __: Any, about: Any) -> None:
        """Refuse an answer that is not the wanted part of the same file."""
        if refusal := self._refusal(about.response.status, about.response.headers):
            about.response.close()  # else its content would be waited for
            raise EdfkitError(f"{self._address} {refusal}")

    def _refusal(self, status: int, headers: Any) -> str | None:
        if status == 200:
            return (
                "comes from a server that sends only whole files, expected one that sends parts (HTTP Range); download "
                "the file first, with edfkit datasets download or curl -O, and give its path."
            )
        if status == 416 and self.size is None:  # there is not even a first byte
            return "is empty, expected an edfkit archive; correct the address, or write it again."
        if status in (412, 416):
            return f"no longer has the wanted part: it {_CHANGED}"
        if status in (404, 410):
            return f"does not exist (HTTP status {status}), expected an edfkit archive; correct the address."
        if status in (401, 403, 407):
            return f"may not be read (HTTP status {status}); give an address with the right to read it."
        if status != 206:
            return None  # left to fsspec, and perhaps to another try
        part = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        if part is None:
            return (
                "comes from a server that does not say how long the file is (HTTP Content-Range); download the file "
                "first, with edfkit datasets download or curl -O, and give its path."
            )
        size, validators = int(part[3]), (headers.get("ETag"), headers.get("Last-Modified"))
        if self.size is None:
            self.size, self._validators = size, validators
        elif (size, validators) != (self.size, self._validators):
            return f"is another file than before: it {_CHANGED}"
        return None


def _store(address: Address, answers: _Answers | None) -> tuple[Any, str]:
    """Make the file system of fsspec that the address is in; give it and the path there."""
    try:
        import fsspec
        from fsspec.registry import known_implementations
    except ImportError:
        raise EdfkitError(
            f"To read {address} takes the package fsspec, which is not installed: pip install 'edfkit[remote]'."
        ) from None
    known = known_implementations.get(address.scheme)
    if known is None and address.scheme not in fsspec.registry:
        raise EdfkitError(
            f"{address} begins with {address.scheme}://, which fsspec does not know, expected https://, s3:// or the "
            "like; correct it."
        )
    try:
        if answers is not None:
            return fsspec.filesystem(address.scheme, **_web_options(answers)), address.url
        store, path = fsspec.core.url_to_fs(address.url)
        return store, path
    except ImportError:
        module = known["class"].partition(".")[0] if known else address.scheme
        needed = {"fsspec": "'edfkit[remote]'", "s3fs": "'edfkit[s3]'"}.get(module, f"'edfkit[remote]' {module}")
        raise EdfkitError(f"To read {address} takes packages that are not installed: pip install {needed}.") from None


def _web_options(answers: _Answers) -> dict[str, Any]:
    import aiohttp

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(answers.redirected)
    trace.on_request_end.append(answers.answered)
    timeout = aiohttp.ClientTimeout(total=_WHOLE, sock_connect=_CONNECT, sock_read=_SILENCE)
    client: dict[str, Any] = {"trace_configs": [trace], "timeout": timeout, "trust_env": True}
    client["headers"] = {"Accept-Encoding": "identity"}  # parts of a compressed file are of no use
    return {"client_kwargs": client, "skip_instance_cache": True}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from running.

    This thread has h5py's lock, and fsspec works in another one: if that one collected an object of h5py, it would
    wait for the lock, and this thread for it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _may_pass(error: Exception) -> bool:
    """Tell whether the same request may go well the next time."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status == 429 or status >= 500
    named = {kind.__name__ for kind in type(error).__mro__}
    if "ClientConnectorError" in named or isinstance(error, TimeoutError):  # those have waited, or have been refused
        return False
    return isinstance(error, ConnectionError) or bool(named & {"ClientPayloadError", "ClientConnectionError"})


def _sentence(address: Address, error: Exception) -> str:
    """Say what went wrong without the error's own text, which may have the whole address."""
    status = getattr(error, "status", None)
    named = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, FileNotFoundError):
        return f"{address} does not exist, expected an edfkit archive; correct the address."
    if isinstance(error, PermissionError):
        return f"{address} may not be read; give an address or credentials with the right to read it."
    if named & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}:
        return (
            f"{address} takes credentials, and none were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE, or FSSPEC_S3_ANON=true if everybody may read it."
        )
    if "FileExpired" in named:
        return f"{address} {_CHANGED}"
    if isinstance(error, TimeoutError):
        return f"{address} did not answer in time; try again, or download the file first."
    if "TooManyRedirects" in named:
        return f"{address} leads nowhere (too many redirects); give the address of the file itself."
    if isinstance(status, int):
        return f"{address} cannot be read (HTTP status {status}), expected an edfkit archive; correct it or try later."
    if named & {"ClientConnectorCertificateError", "ClientConnectorSSLError", "SSLError"}:
        return (
            f"{address} shows no certificate that can be trusted; check the address, or name the certificate of its "
            "authority in SSL_CERT_FILE."
        )
    if named & {"ClientConnectorError", "EndpointConnectionError", "ConnectTimeoutError"}:
        return f"{address} cannot be reached; check the address and the network."
    if isinstance(error, ConnectionError) or named & {"ClientPayloadError", "ClientConnectionError"}:
        return f"{address} broke off the connection {_TRIES} times; try again, or download the file first."
    return f"{address} cannot be read ({type(error).__name__}); check the address, its rights and the network."


_registered: list[bool] = []


def _at_exit() -> None:
    """Have files that are still open closed before Python ends: HDF5 closes them later, when they cannot be read."""
    if not _registered:
        _registered.append(True)
        atexit.register(_close_all)


def _close_all() -> None:
    for file in h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE):
        if file.get_access_plist().get_driver() == h5py.h5fd.fileobj_driver:
            h5py.File(file).close()
