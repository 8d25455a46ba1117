"""A real HTTP server on loopback for tests: it keeps a log of what it sent, and fails on purpose."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Small buffers, so that what was sent and what the client took differ by little.
_BUFFER = 2**16


@dataclass(frozen=True)
class Fault:
    """How an answer differs from the ordinary one; the default changes nothing.

    Parameters
    ----------
    status, headers, body
        In place of the ordinary ones. A header of value None is left out.
    cut : int, optional
        Bytes of the body after which the connection is closed.
    reset : bool
        Close with a reset instead of in order.
    step, pause : int, float
        Send so many bytes at a time, with so many seconds after each.
    silence : float
        Seconds before the answer begins.
    chunked, length : bool
        Send the body in chunks; declare its length.
    ranges : bool
        Serve ranges.
    """

    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None
    reset: bool = False
    step: int = 2**14
    pause: float = 0.0
    silence: float = 0.0
    chunked: bool = False
    length: bool = True
    ranges: bool = True


@dataclass
class Request:
    """A request and what was answered: bytes of the body, and with the head, that went to the socket."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # names in lower case
    status: int = 0
    sent: int = 0
    wire: int = 0

    @property
    def range(self) -> str | None:
        """The Range header."""
        return self.headers.get("range")


class Server:
    """What is served, how, and what was asked for.

    Parameters
    ----------
    content : Path or mapping of str to bytes
        A folder, or contents by path without the first slash; a mapping may change while it is served.

    Attributes
    ----------
    url : str
        Address without a slash at the end.
    requests : list of Request
        In the order in which they came.
    ranges, etag, modified : bool
        Whether ranges are served and validators sent.
    fault : callable
        Gives the fault for a request, or None.
    """

    def __init__(self, content: Path | Mapping[str, bytes]) -> None:
        self.content = content
        self.url = ""
        self.requests: list[Request] = []
        self.ranges = True
        self.etag = True
        self.modified = False
        self.fault: Callable[[Request], Fault | None] = lambda request: None
        self.failures: list[BaseException] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()

    def first(self, *faults: Fault | None) -> None:
        """Answer the next requests with these faults, those after them in order."""
        left = list(faults)
        self.fault = lambda request: left.pop(0) if left else None

    def always(self, fault: Fault) -> None:
        """Answer every request with this fault."""
        self.fault = lambda request: fault

    @property
    def sent(self) -> int:
        """Bytes of bodies that were sent."""
        return sum(request.sent for request in self.requests)

    @property
    def wire(self) -> int:
        """Bytes of heads and bodies that were sent."""
        return sum(request.wire for request in self.requests)

    def read(self, path: str) -> bytes | None:
        """Give the content at a path, or None."""
        if isinstance(self.content, Path):
            file = self.content / path
            inside = file.resolve().is_relative_to(self.content.resolve())
            return file.read_bytes() if inside and file.is_file() else None
        return self.content.get(path)


def span(header: str, length: int) -> tuple[int, int] | None:
    """Give the first byte and the one after the last that a Range header asks for, or None where there are none."""
    first, _, last = header.removeprefix("bytes=").partition("-")
    if not first:
        start, stop = max(length - int(last), 0), length
    else:
        start, stop = int(first), min(int(last) + 1 if last else length, length)
    return (start, stop) if start < stop else None


def etag(body: bytes) -> str:
    """Give the entity tag of a content."""
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


EXPIRED = (
    b"<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions did not hold</Message></Error>"
)
"""What S3 says of an object that is another one than was asked for."""

# Of every file; long past, so that it is a strong validator.
MODIFIED = formatdate(1.5e9, usegmt=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        state = self.server.state
        headers = {name.lower(): value for name, value in self.headers.items()}
        address = urlsplit(self.path)
        request = Request(self.command, unquote(address.path), address.query, headers)
        with state.lock:  # so that faults are given out in the order of the log
            state.requests.append(request)
            fault = state.fault(request) or Fault()
        if state.closing.wait(fault.silence):
            return
        self._answer(request, fault)

    def _answer(self, request: Request, fault: Fault) -> None:
        state = self.server.state
        body = fault.body if fault.body is not None else state.read(request.path.lstrip("/"))
        status, out = 200, dict[str, str | None]()
        if body is None:
            status, body = 404, b"not here\n"
        elif request.headers.get("if-match", etag(body)) != etag(body):
            status, body = 412, EXPIRED
        elif fault.status not in (None, 200, 206):
            body = fault.body if fault.body is not None else b"no\n"
        else:
            ranges = state.ranges and fault.ranges
            out["ETag"] = etag(body) if state.etag else None
            out["Last-Modified"] = MODIFIED if state.modified else None
            out["Accept-Ranges"] = "bytes" if ranges else None
            condition = request.headers.get("if-range")
            if ranges and request.range and condition in (None, out["ETag"], out["Last-Modified"]):
                found, length = span(request.range, len(body)), len(body)
                status = 206 if found else 416
                body = body[slice(*found)] if found else b""
                out["Content-Range"] = f"bytes {found[0]}-{found[1] - 1}/{length}" if found else f"bytes */{length}"
        if fault.chunked:
            out["Transfer-Encoding"] = "chunked"
        elif fault.length:
            out["Content-Length"] = str(len(body))
        self.close_connection = not (fault.chunked or fault.length)
        out |= fault.headers
        request.status = fault.status or status
        self.send_response_only(request.status)
        self.send_header("Date", self.date_time_string())
        for name, value in out.items():
            if value is not None:
                self.send_header(name, value)
        request.wire += 2 + sum(len(line) for line in getattr(self, "_headers_buffer"))  # noqa: B009 - mypy knows no such name
        self.end_headers()
        if request.method != "HEAD":
            self._send(request, fault, body)

    def _send(self, request: Request, fault: Fault, body: bytes) -> None:
        stop = len(body) if fault.cut is None else min(fault.cut, len(body))
        for start in range(0, stop, fault.step):
            piece = body[start : min(start + fault.step, stop)]
            framed = b"%x\r\n%b\r\n" % (len(piece), piece) if fault.chunked else piece
            self.wfile.write(framed)
            request.sent += len(piece)
            request.wire += len(framed)
            if fault.pause and self.server.state.closing.wait(fault.pause):
                break
        if fault.cut is not None:
            self.close_connection = True
            if fault.reset:
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.request.close()
        elif fault.chunked:
            self.wfile.write(b"0\r\n\r\n")
            request.wire += 5


class _Http(ThreadingHTTPServer):
    daemon_threads = False  # joined at the end
    request_queue_size = 64

    def __init__(self, state: Server, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.state = state
        self.open: set[socket.socket] = set()

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        assert isinstance(request, socket.socket)
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception()
        # A client may go, and a reset closes the socket under the handler.
        if error is not None and not isinstance(error, OSError | ValueError):
            self.state.failures.append(error)


@contextmanager
def serve(content: Path | Mapping[str, bytes], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve a folder, or contents by path, on a free port of loopback until the block ends; by https with `tls`.

    Raises
    ------
    AssertionError
        At the end, if the server itself failed.
    """
    state = Server(content)
    with _Http(state, tls) as http:
        state.url = f"{'https' if tls else 'http'}://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            state.closing.set()
            http.shutdown()
            thread.join()
            for connection in list(http.open):  # a handler may wait for the next request of a connection
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
    assert not state.failures, state.failures
