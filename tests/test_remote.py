"""Archives at an address, on a real web server: what is read, how much is sent, and every way in which it fails."""

import json
import os
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
from server import Fault, Server, etag, serve
from test_archive import ATTRS, refusal, with_curves

from edfkit import EdfkitError
from edfkit.archive import Archive, remote, validate, write
from edfkit.archive.published import Published
from edfkit.archive.remote import Address, is_address
from edfkit.archive.source import open_source
from edfkit.datasets import BUNDLED
from edfkit.study.compare import Comparison, compare_populations
from edfkit.study.counting import Counted
from edfkit.study.selection import select

pytest.importorskip("aiohttp")
BLOCK = 2**16
EDFKIT = shutil.which("edfkit", path=str(Path(sys.executable).parent)) or "edfkit"


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDFKIT_OFFLINE", raising=False)
    monkeypatch.setattr(remote, "_PAUSE", 0.01)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of several blocks."""
    path = tmp_path_factory.mktemp("remote") / "archive.h5"
    rng = np.random.default_rng(1)
    write(path, {"a": with_curves(400, 50, rng), "b": with_curves(300, 50, rng)}, ATTRS, {"a": {"space": "resnet"}})
    assert path.stat().st_size > 8 * BLOCK
    return path


@pytest.fixture
def content(small: Path) -> dict[str, bytes]:
    return {"a.h5": small.read_bytes()}


@pytest.fixture
def server(content: dict[str, bytes]) -> Iterator[Server]:
    with serve(content) as running:
        yield running


# --- What is read


def test_reads_what_is_in_the_file(small: Path, server: Server) -> None:
    with Archive(small) as here, open_source(f"{server.url}/a.h5") as there:
        assert isinstance(there, Archive)
        assert (there.names, there.attrs) == (here.names, here.attrs)
        for name in here.names:
            assert there.group_attrs(name) == here.group_attrs(name)
            assert there.variables(name) == here.variables(name)
            for variable in here.variables(name):
                np.testing.assert_array_equal(there.read(name, variable), here.read(name, variable))
        there.validate()
        assert str(there.path) == f"{server.url}/a.h5"
    validate(f"{server.url}/a.h5")


def test_nothing_is_sent_twice_and_columns_alone(tmp_path: Path) -> None:
    path, rng = tmp_path / "wide.h5", np.random.default_rng(4)
    write(path, {name: with_curves(2_000, 50, rng) for name in "abcd"}, ATTRS)
    with serve({"a.h5": path.read_bytes()}) as server, Archive(f"{server.url}/a.h5") as archive:
        for _ in range(2):
            archive.read("a", "error")
            archive.read("c", "params")
    ranges = [request.range for request in server.requests]
    assert len(set(ranges)) == len(ranges) <= 10
    assert {request.status for request in server.requests} == {206}
    assert {request.method for request in server.requests} == {"GET"}  # presigned addresses allow nothing else
    assert server.sent < path.stat().st_size / 4
    with h5py.File(path) as file:
        middles = [file[name]["test_error"].id.get_chunk_info(0) for name in "abcd"]
    for middle in middles:
        at = middle.byte_offset + middle.size // 2
        assert not any(int(r[6:].split("-")[0]) <= at <= int(r[6:].split("-")[1]) for r in ranges if r)  # no curve


def test_what_is_kept_is_bounded(small: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_KEPT", 2)
    monkeypatch.setattr(remote, "_BLOCK", 2**10)
    with remote.open_address(Address(f"{server.url}/a.h5")) as blocks:
        data = small.read_bytes()
        assert blocks.size == len(data)
        rng = np.random.default_rng(2)
        for start, length in zip(rng.integers(0, len(data) + 10, 60), rng.integers(0, 9_000, 60), strict=True):
            assert blocks.seek(int(start)) == blocks.tell() == start
            assert blocks.read(int(length)) == data[start : start + length]
            assert len(blocks._blocks) <= 2
        blocks.seek(-5, os.SEEK_END)
        assert blocks.read() == data[-5:]


def test_a_row_of_blocks_is_one_request(content: dict[str, bytes], server: Server) -> None:
    data = content["a.h5"]
    with remote.open_address(Address(f"{server.url}/a.h5")) as blocks:
        for start, length in ((9 * BLOCK + 5, 1), (10, 7 * BLOCK), (len(data) - 1, 1), (6 * BLOCK, 4 * BLOCK)):
            blocks.seek(start)
            assert blocks.read(length) == data[start : start + length]
    last = (len(data) - 1) // BLOCK
    assert last >= 12
    # What is less than a block comes with those near it, what is more alone, and nothing twice.
    spans = [(0, 2), (8, 10), (2, 8), (last // 2 * 2, last + 1)]
    ends = [min(stop * BLOCK, len(data)) - 1 for _, stop in spans]
    expected = [f"bytes={first * BLOCK}-{end}" for (first, _), end in zip(spans, ends, strict=True)]
    assert [request.range for request in server.requests] == expected


def test_any_file_system_of_fsspec_will_do(small: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/folder/a.h5", small.read_bytes())
    try:
        with Archive("memory://folder/a.h5") as there, Archive(small) as here:
            np.testing.assert_array_equal(there.read("a", "test_error"), here.read("a", "test_error"))
            assert str(there.path) == "memory://folder/a.h5"
        assert "does not exist" in refusal(lambda: Archive("memory://folder/b.h5"))
        assert "is a folder" in refusal(lambda: Archive("memory://folder"))
        memory.pipe_file("/folder/a.h5", b"")
        assert "is empty" in refusal(lambda: Archive("memory://folder/a.h5"))
    finally:
        memory.rm("/folder", recursive=True)


def counted(archive: Archive, **options: Any) -> Comparison:
    """Compare populations that are counted part by part."""
    return compare_populations(Counted(archive, whole=0, **options), ["a", "b"])


def test_counting_sends_nothing_twice(server: Server) -> None:
    with Archive(f"{server.url}/a.h5") as there:
        counted(there)
    ranges = [request.range for request in server.requests]
    assert len(set(ranges)) == len(ranges) > 0


def test_counting_takes_addresses(small: Path, server: Server) -> None:
    with Archive(f"{server.url}/a.h5") as there, Archive(small) as here:
        assert counted(there).to_dict() == counted(here).to_dict()


def test_counting_on_a_cluster_takes_addresses(small: Path, server: Server) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        scheduler = cluster.scheduler_address
        with Archive(f"{server.url}/a.h5?key=secret") as there, Archive(small) as here:
            assert counted(there, scheduler=scheduler).to_dict() == counted(here).to_dict()
            server.content = {}
            message = refusal_of_open_file(lambda: counted(there, scheduler=scheduler))
        assert "does not exist" in message
        assert "secret" not in message


# --- How much is sent


def test_a_comparison_of_the_bundled_archive_takes_few_requests() -> None:
    with serve(BUNDLED["digits"].parent) as server:
        compared(f"{server.url}/{BUNDLED['digits'].name}", [])
    ranges = [request.range for request in server.requests]
    assert len(set(ranges)) == len(ranges) <= 10


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "big.h5"
    rng = np.random.default_rng(3)
    write(path, {name: with_curves(25_000, 100, rng) for name in ("resnet", "vanilla")}, ATTRS)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--stream"]], ids=["in memory", "streamed"])
def test_a_comparison_of_25000_models_is_sent_little(big: Path, s3: Server, options: list[str]) -> None:
    size = big.stat().st_size
    assert size >= 60_000_000
    assert isinstance(s3.content, dict)
    s3.content["lab/big.h5"] = big.read_bytes()
    expected = compared(str(big), options)
    for address in (f"{s3.url}/lab/big.h5", "s3://lab/big.h5"):
        s3.requests.clear()
        assert compared(address, options) == expected
        print(f"\n{address}, {size:,} bytes: {s3.wire:,} sent in {len(s3.requests)} requests")
        assert s3.wire <= 3_000_000
        assert len(s3.requests) <= 40


def compared(archive: str, options: list[str]) -> dict[str, Any]:
    """What the command says of two populations, but for where they are."""
    done = subprocess.run(
        [EDFKIT, "compare", "resnet", "vanilla", "--archive", archive, "--json", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {key: value for key, value in json.loads(done.stdout).items() if key not in ("archive", "command")}


# --- S3


@pytest.fixture
def s3(content: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that answers reads as S3 does, and is asked in its place; it has the bucket `lab`."""
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with serve({f"lab/{name}": data for name, data in content.items()}) as running:
        for name, value in {
            "AWS_ENDPOINT_URL": running.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_CONFIG_FILE": str(tmp_path / "none"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        }.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield running
        s3fs.S3FileSystem.clear_instance_cache()


def test_reads_from_s3(small: Path, s3: Server) -> None:
    with Archive("s3://lab/a.h5") as there, Archive(small) as here:
        assert str(there.path) == "s3://lab/a.h5"
        found, expected = (select(archive, ["a", "b"], given="params") for archive in (there, here))
        assert found.to_dict() == expected.to_dict()
        assert s3.sent < small.stat().st_size
        np.testing.assert_array_equal(there.read("b", "test_error"), here.read("b", "test_error"))
    parts = [request for request in s3.requests if request.method == "GET"]
    assert {request.status for request in parts} == {206}
    assert {request.headers["if-match"] for request in parts} == {etag(small.read_bytes())}
    assert len({request.range for request in parts}) == len(parts)
    assert all("Credential=key/" in request.headers["authorization"] for request in s3.requests)


def test_reads_a_version_from_s3(s3: Server) -> None:
    s3.always(Fault(headers={"x-amz-version-id": "old"}))
    with Archive("s3://lab/a.h5?versionId=old") as archive:
        assert str(archive.path) == "s3://lab/a.h5?..."
    assert {request.method for request in s3.requests} == {"HEAD", "GET"}
    assert all("versionId=old" in request.query for request in s3.requests)


def test_goes_on_after_a_break_of_s3(small: Path, s3: Server) -> None:
    with Archive("s3://lab/a.h5") as there, Archive(small) as here:
        s3.first(Fault(cut=100), None, Fault(cut=0, reset=True))
        for variable in ("error", "test_error"):
            np.testing.assert_array_equal(there.read("b", variable), here.read("b", variable))


@pytest.mark.parametrize("change", ["content", "length", "gone"])
def test_refuses_what_changes_on_s3(s3: Server, change: str) -> None:
    with Archive("s3://lab/a.h5") as archive:
        assert isinstance(s3.content, dict)
        data = s3.content.pop("lab/a.h5")
        if change != "gone":
            s3.content["lab/a.h5"] = data[:-1] + b"x" if change == "content" else data + b"x"
        expected = "does not exist" if change == "gone" else "a.h5 has changed while it was read"
        assert expected in refusal_of_open_file(lambda: archive.read("b", "test_error"))


FOLDER = b"<ListBucketResult><KeyCount>1</KeyCount><Contents><Key>folder/a.h5</Key></Contents></ListBucketResult>"
ON_S3: list[tuple[str, dict[str, bytes], Fault | None, str]] = [
    ("missing", {}, None, "does not exist"),
    ("folder", {"lab": FOLDER}, None, "is a folder"),
    ("empty", {"lab/b.h5": b""}, None, "is empty"),
    ("page", {"lab/b.h5": b"<html>"}, None, "is not an HDF5 file"),
    ("no right", {}, Fault(status=403), "may not be read; give an address or credentials with the right"),
    ("broken server", {}, Fault(status=500), "cannot be read"),
]


@pytest.mark.parametrize(("more", "fault", "expected"), [pytest.param(*case, id=i) for i, *case in ON_S3])
def test_refuses_to_open_on_s3(s3: Server, more: dict[str, bytes], fault: Fault | None, expected: str) -> None:
    assert isinstance(s3.content, dict)
    s3.content |= more
    if fault:
        s3.always(fault)
    message = refusal(lambda: open_source("s3://lab/b.h5"))
    assert message.startswith("s3://lab/b.h5 ")
    assert expected in message


def test_names_the_credentials_that_s3_takes(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "takes credentials" in refusal(lambda: Archive("s3://lab/a.h5"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "s3://lab/a.h5 takes credentials, and none were found; set AWS_ACC" in refusal(
        lambda: Archive("s3://lab/a.h5")
    )
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "or AWS_PROFILE" in refusal(lambda: Archive("s3://lab/a.h5"))
    assert s3.requests == []
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True})  # FSSPEC_S3_ANON, which is read at the import
    with Archive("s3://lab/a.h5") as archive:
        assert archive.names == ["a", "b"]
    assert not any("authorization" in request.headers for request in s3.requests)


def test_names_an_endpoint_of_s3_that_cannot_be_reached(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert "s3://lab/a.h5 cannot be reached" in refusal(lambda: Archive("s3://lab/a.h5"))


# --- https


def test_a_redirect_may_become_secure_but_not_insecure(content: dict[str, bytes], certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serve(content) as plain, serve(content, tls) as secure:

        def opened(server: Server, trusted: bool = True) -> str:
            """What another process says, as trust is settled when aiohttp is imported."""
            done = child(
                f"from edfkit import EdfkitError\n"
                f"from edfkit.archive import Archive\n"
                f"try:\n"
                f"    with Archive('{server.url}/a.h5') as archive:\n"
                f"        print(len(archive.read('a', 'error')), 'models')\n"
                f"except EdfkitError as error:\n"
                f"    print(error)\n",
                SSL_CERT_FILE=str(certificate) if trusted else "",
            )
            assert (done.returncode, done.stderr) == (0, "")
            return done.stdout.strip()

        assert opened(secure) == "400 models"
        asked = len(secure.requests)
        assert "shows no certificate that can be trusted" in opened(secure, trusted=False)
        assert len(secure.requests) == asked
        plain.always(Fault(status=307, headers={"Location": f"{secure.url}/a.h5"}))
        assert opened(plain) == "400 models"
        plain.fault = lambda request: None
        plain.requests.clear()
        secure.always(Fault(status=307, headers={"Location": f"{plain.url}/a.h5"}))
        assert "leads from https:// to http://, which is not followed" in opened(secure)
        assert plain.requests == []


# --- What an address is, and what of it is shown


@pytest.mark.parametrize(
    ("where", "address"),
    [
        ("https://host/a.h5", True),
        ("s3://bucket/a.h5", True),
        ("HTTP://host/a.h5", True),
        ("a.h5", False),
        ("/data/a.h5", False),
        ("C://a.h5", False),
        ("C:\\a.h5", False),
        (Path("https://host/a.h5"), False),
        (None, False),
    ],
)
def test_tells_addresses_from_paths(where: object, address: bool) -> None:
    assert is_address(where) == address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a.h5", "https://host/a.h5"),
        ("HTTPS://Host:81/a%20b.h5", "https://Host:81/a%20b.h5"),
        ("https://me:secret@host/a.h5", "https://host/a.h5"),
        ("https://me:sec@ret@host/a.h5", "https://host/a.h5"),
        ("https://secret@host/a@b.h5?token=secret#secret", "https://host/a@b.h5?..."),
        ("https://host/a.h5#secret", "https://host/a.h5"),
        ("s3://key:secret@bucket/a.h5", "s3://bucket/a.h5"),
        ("http://[::1]:80/a.h5", "http://[::1]:80/a.h5"),
    ],
)
def test_shows_addresses_without_secrets(url: str, shown: str) -> None:
    address = Address(url)
    assert str(address) == f"{address}" == os.fspath(address) == shown
    assert "secret" not in repr(address)
    assert address.url.lower() == url.lower()
    again = pickle.loads(pickle.dumps(address))
    assert (again, again.url, Address(address).url) == (shown, address.url, address.url)
    assert json.dumps(address) == f'"{shown}"'


@pytest.mark.parametrize("url", ["https://", "https:///a.h5", "http://host:port/a.h5", "https://[::1/a.h5", "s3://"])
def test_refuses_what_is_no_address(url: str) -> None:
    assert "is no address of an archive" in refusal(lambda: open_source(url))


def test_refuses_joined_addresses() -> None:
    assert "joins several addresses" in refusal(lambda: open_source("zip://a.h5::https://host/a.zip"))


def test_no_failure_tells_a_secret(content: dict[str, bytes], server: Server) -> None:
    host = server.url.removeprefix("http://")
    address = f"http://me:secret@{host}/a.h5?token=secret"
    with Archive(address) as archive:
        assert "authorization" in server.requests[-1].headers
        assert "secret" not in str(archive.path) + repr(archive.path) + repr(archive._file) + archive._file.filename
        assert "secret" not in refusal(lambda: archive.read("a", "no"))
    for status in (401, 404, 500):
        server.always(Fault(status=status))
        assert "secret" not in refusal(lambda: Archive(address))
    content["a.h5"] = b"<html>"
    server.fault = lambda request: None
    assert "secret" not in refusal(lambda: Archive(address))
    assert "secret" not in refusal(lambda: Archive(f"http://me:secret@127.0.0.1:{free_port()}/a.h5?secret"))
    with pytest.raises(EdfkitError) as caught:
        Archive(f"http://me:secret@127.0.0.1:{free_port()}/a.h5?secret")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- Refused


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


FAULTS: list[tuple[str, Fault, str]] = [
    ("no ranges", Fault(ranges=False), "sends only whole files"),
    ("no ranges nor length", Fault(ranges=False, length=False), "sends only whole files"),
    ("no ranges, in chunks", Fault(ranges=False, chunked=True), "sends only whole files"),
    ("no length of the file", Fault(headers={"Content-Range": "bytes 0-65535/*"}), "does not say how long the file is"),
    ("no Content-Range", Fault(headers={"Content-Range": None}), "does not say how long the file is"),
    ("gone", Fault(status=410), "does not exist (HTTP status 410)"),
    ("no right", Fault(status=403), "may not be read (HTTP status 403)"),
    ("no password", Fault(status=401), "may not be read (HTTP status 401)"),
    ("odd status", Fault(status=400), "cannot be read (HTTP status 400)"),
    ("broken server", Fault(status=500), "cannot be read (HTTP status 500)"),
    ("too many requests", Fault(status=429), "cannot be read (HTTP status 429)"),
    ("silence", Fault(silence=30), "did not answer in time"),
    ("silence in the middle", Fault(step=1000, pause=30), "did not answer in time"),
    ("broken off", Fault(cut=1000), "broke off the connection 3 times"),
    ("broken off at once", Fault(cut=0, reset=True), "broke off the connection 3 times"),
    ("reset", Fault(cut=1000, reset=True), "broke off the connection 3 times"),
    (
        "short",
        Fault(body=b"\x89HDF\r\n\x1a\n", headers={"Content-Range": "bytes 0-7/9000"}),
        "gave 8 bytes where 9,000",
    ),
    ("circle", Fault(status=302, headers={"Location": "/a.h5"}), "too many redirects"),
    ("to a file", Fault(status=302, headers={"Location": "file:///etc/passwd"}), "from http:// to file://"),
    ("to ftp", Fault(status=302, headers={"Location": "ftp://host/a.h5"}), "from http:// to ftp://"),
    ("page", Fault(body=b"<!DOCTYPE html>"), "is not an HDF5 file"),
    ("empty", Fault(body=b""), "is empty"),
]


def _be_impatient(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault.silence or fault.pause:  # only then, as a busy machine answers late too
        monkeypatch.setattr(remote, "_SILENCE", 0.5)


@pytest.mark.parametrize(("fault", "expected"), [pytest.param(f, x, id=i) for i, f, x in FAULTS])
def test_refuses_to_open(server: Server, fault: Fault, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _be_impatient(fault, monkeypatch)
    server.always(fault)
    message = refusal(lambda: open_source(f"{server.url}/a.h5"))
    assert expected in message
    assert message.startswith(f"{server.url}/a.h5 ")
    assert server.wire < 2_000_000  # and nothing is taken as a whole


LATER = [case for case in FAULTS if case[0] not in ("page", "empty", "short")]


@pytest.mark.parametrize(("fault", "expected"), [pytest.param(f, x, id=i) for i, f, x in LATER])
def test_refuses_to_read_on(server: Server, fault: Fault, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _be_impatient(fault, monkeypatch)
    with Archive(f"{server.url}/a.h5") as archive:
        server.always(fault)
        for _ in range(2):
            message = refusal_of_open_file(lambda: archive.read("b", "test_error"))
            assert expected in message
        asked = len(server.requests)
        refusal_of_open_file(lambda: archive.read("b", "train_error"))
        assert len(server.requests) == asked  # one failure is enough
    assert "closed" in refusal(lambda: archive.read("a", "error"))


def refusal_of_open_file(action: Callable[[], object]) -> str:
    with pytest.raises(EdfkitError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_server_without_ranges_does_not_send_the_whole(tmp_path: Path) -> None:
    large = b"\x89HDF\r\n\x1a\n" + bytes(50_000_000)
    for length in (True, False):
        with serve({"a.h5": large}) as server:
            server.always(Fault(ranges=False, length=length))
            message = refusal(lambda: Archive(f"{server.url}/a.h5"))
            assert "download the file first, with edfkit datasets download or curl" in message
            assert server.sent < 10_000_000  # what the buffers of both sides take


def test_refuses_what_is_not_there(server: Server) -> None:
    assert "does not exist (HTTP status 404)" in refusal(lambda: Archive(f"{server.url}/b.h5"))
    assert "cannot be reached" in refusal(lambda: Archive(f"http://127.0.0.1:{free_port()}/a.h5"))
    assert "cannot be reached" in refusal(lambda: Archive("https://host.invalid/a.h5"))


@pytest.mark.parametrize("change", ["content", "length", "tag only"])
def test_refuses_a_file_that_changes(content: dict[str, bytes], server: Server, change: str) -> None:
    server.etag = change != "length"
    with Archive(f"{server.url}/a.h5") as archive:
        data = content["a.h5"]
        content["a.h5"] = {"content": data[:-1] + b"x", "length": data + b"x", "tag only": data}[change]
        if change == "tag only":
            server.always(Fault(headers={"ETag": '"other"'}))
        assert "is another file than before" in refusal_of_open_file(lambda: archive.read("b", "test_error"))


def test_refuses_a_file_that_shrinks(content: dict[str, bytes], server: Server) -> None:
    with Archive(f"{server.url}/a.h5") as archive:
        content["a.h5"] = content["a.h5"][:BLOCK]
        assert "it has changed while it was read" in refusal_of_open_file(lambda: archive.read("b", "test_error"))


def test_goes_on_after_a_break(small: Path, server: Server) -> None:
    faults = [None, Fault(cut=100), Fault(status=503), None, Fault(cut=0, reset=True)]
    server.first(*faults)
    with Archive(f"{server.url}/a.h5") as there, Archive(small) as here:
        for variable in ("error", "test_error"):
            np.testing.assert_array_equal(there.read("b", variable), here.read("b", variable))
    assert [request.status for request in server.requests].count(503) == 1


def test_follows_a_redirect(small: Path, server: Server) -> None:
    server.fault = lambda request: (
        Fault(status=302, headers={"Location": "/a.h5"}) if request.path == "/latest" else None
    )
    with Archive(f"{server.url}/latest") as archive:
        assert len(archive.read("a", "error")) == 400
        assert str(archive.path).endswith("/latest")


def test_offline_nothing_is_asked_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDFKIT_OFFLINE", "1")
    assert "EDFKIT_OFFLINE is set" in refusal(lambda: open_source(f"{server.url}/a.h5"))
    assert server.requests == []
    monkeypatch.setenv("EDFKIT_OFFLINE", "0")
    with open_source(f"{server.url}/a.h5") as source:
        assert source.names == ["a", "b"]


def test_published_files_are_not_read_there(server: Server) -> None:
    assert "is a JSON file" in refusal(lambda: open_source(f"{server.url}/ResNet.json?x=y"))
    assert server.requests == []


def test_open_source_takes_text(published: Path, small: Path) -> None:
    with open_source(str(published)) as source:
        assert isinstance(source, Published)
    with open_source(str(small)) as source:
        assert isinstance(source, Archive)


def test_damage_is_seen_there_too(content: dict[str, bytes], server: Server, small: Path) -> None:
    with h5py.File(small) as file:
        chunk = file["b/test_error"].id.get_chunk_info(0)
    at = chunk.byte_offset + chunk.size // 2
    content["a.h5"] = content["a.h5"][:at] + b"damage" + content["a.h5"][at + 6 :]
    with Archive(f"{server.url}/a.h5") as archive:
        assert len(archive.read("a", "test_error")) == 400
        assert "fails a checksum" in refusal_of_open_file(lambda: archive.read("b", "test_error"))
    content["a.h5"] = content["a.h5"][:-9]
    assert "incomplete" in refusal(lambda: Archive(f"{server.url}/a.h5"))


# --- What it takes


@pytest.mark.parametrize(
    ("module", "address", "install"),
    [
        ("fsspec", "https://host/a.h5", "pip install 'edfkit[remote]'."),
        ("aiohttp", "https://host/a.h5", "pip install 'edfkit[remote]'."),
        ("s3fs", "s3://bucket/a.h5", "pip install 'edfkit[s3]'."),
        ("gcsfs", "gs://bucket/a.h5", "pip install 'edfkit[remote]' gcsfs."),
    ],
)
def test_says_what_to_install(module: str, address: str, install: str) -> None:
    code = f"""
import sys
sys.modules[{module!r}] = None
from edfkit import EdfkitError
from edfkit.archive.source import open_source
try:
    open_source({address!r})
except EdfkitError as error:
    print(error)
"""
    done = child(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(install)


def child(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "EDFKIT_OFFLINE"} | variables
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_refuses_unknown_schemes() -> None:
    assert "fsspec does not know" in refusal(lambda: open_source("htps://host/a.h5"))


def test_paths_load_nothing_more(small: Path) -> None:
    code = f"""
import sys
from edfkit.archive.source import open_source
open_source({str(small)!r}).close()
print({{"fsspec", "aiohttp", "asyncio"}} & set(sys.modules))
"""
    assert child(code).stdout.strip() == "set()"


def test_an_archive_may_stay_open_to_the_end(server: Server) -> None:
    """HDF5 closes open files when Python has ended already, and crashes where they are read through Python."""
    code = f"""
from edfkit.archive import Archive
archive = Archive({server.url + "/a.h5"!r})
kept = archive._file["a/error"]
print(len(archive.read("a", "error")))
"""
    done = child(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "400\n", "")


def test_the_garbage_collector_does_not_lock_up(server: Server) -> None:
    """Objects of h5py that are collected in the thread of fsspec wait for the lock that the reading thread has."""
    code = f"""
import gc
from edfkit.archive import remote
from edfkit.archive import Archive
remote._KEPT = 1  # so that there is always something to fetch
with Archive({server.url + "/a.h5"!r}) as archive:
    for threshold in range(5, 400, 15):  # some of them are reached in the other thread
        gc.disable()
        for _ in range(20):
            circle = [archive._file["a"]]
            circle.append(circle)  # only the collector frees it
        del circle
        gc.set_threshold(threshold, 1000, 1000)
        gc.enable()
        archive.read("b", "test_error")
print("done")
"""
    done = child(code)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
