import gzip
import hashlib
import json
import os
import random
import resource
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server import Fault, Request, Server, serve

from edfkit import EdfkitError
from edfkit.datasets import data_folder
from edfkit.datasets.download import copy_in, download

BODY = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def names(folder: Path) -> list[str]:
    """All but the lock, which stays."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def get(where: Server | list[str], target: Path, known: bool = True, **changes: Any) -> str:
    """Download without the pauses that the real world needs."""
    urls = [f"{where.url}/file"] if isinstance(where, Server) else where
    options = {"sha256": digest(BODY) if known else None, "pause": 0.001, "timeout": 5.0} | changes
    return str(download(urls, target, **options))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "file"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("EDFKIT_OFFLINE", raising=False)


def test_a_file_comes_whole_and_leaves_nothing_beside_it(target: Path) -> None:
    with serve({"file": BODY}) as server:
        assert get(server, target, size=len(BODY)) == digest(BODY)
        assert server.sent == len(BODY)
        assert server.requests[0].headers["accept-encoding"] == "identity"
    assert target.read_bytes() == BODY
    assert names(target.parent) == ["file"]


@pytest.mark.parametrize("known", [True, False])
def test_what_is_there_is_not_fetched(target: Path, known: bool) -> None:
    target.parent.mkdir()
    target.write_bytes(BODY)
    assert get(["http://127.0.0.1:9/file"], target, known) == digest(BODY)
    assert os.listdir(target.parent) == ["file"]  # not even a lock: the folder may be read-only


def test_a_wrong_file_that_is_there_stays_until_the_right_one_is_whole(target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    with serve({}) as server, pytest.raises(EdfkitError, match="404 Not Found"):
        get(server, target)
    assert target.read_bytes() == b"old"
    with serve({"file": BODY}) as server:
        get(server, target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_sixty_breaks_in_one_download_are_resumed(target: Path, known: bool, chunked: bool) -> None:
    rng, breaks = random.Random(2), 60
    cuts = [Fault(cut=rng.randrange(1, len(BODY) // breaks), chunked=chunked) for _ in range(breaks)]
    with serve({"file": BODY}) as server:
        server.first(*cuts)
        assert get(server, target, known, attempts=2) == digest(BODY)
        assert len(server.requests) == breaks + 1
        assert server.sent == len(BODY)  # not one byte twice
    assert target.read_bytes() == BODY


def test_resets_are_resumed(target: Path) -> None:
    cuts = [Fault(cut=4000, pause=0.01, reset=True) for _ in range(10)]
    with serve({"file": BODY}) as server:
        server.first(*cuts)
        assert get(server, target, attempts=12) == digest(BODY)
        assert len(server.requests) == 11
        assert len(BODY) <= server.sent <= len(BODY) + 10 * 4000
    assert target.read_bytes() == BODY


def test_only_progress_sets_the_count_of_attempts_back(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.always(Fault(cut=1000, ranges=False))  # never beyond the first thousand bytes
        with pytest.raises(EdfkitError, match=r"broke off after 1,000 bytes .*\(4 times\); the 1,000 bytes"):
            get(server, target, attempts=4)
        assert len(server.requests) == 5
    assert not target.exists()


def test_a_later_call_goes_on_and_so_does_another_mirror(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.first(Fault(cut=200_000), *[Fault(status=503)] * 2)
        with pytest.raises(EdfkitError, match="the 200,000 bytes that came are kept"):
            get(server, target, attempts=2)
    assert names(target.parent) == [".file.part"]
    with serve({"file": BODY}) as server:
        get(server, target)
        assert [request.range for request in server.requests] == ["bytes=200000-"]
        assert server.sent == 100_000
    assert target.read_bytes() == BODY


def test_without_a_hash_only_the_same_address_with_a_validator_goes_on(target: Path) -> None:
    def half(server: Server) -> None:
        server.first(Fault(cut=200_000), Fault(status=404))
        with pytest.raises(EdfkitError, match="404"):
            get(server, target, known=False)
        server.requests.clear()

    with serve({"file": BODY}) as server, serve({"file": BODY}) as mirror:
        half(server)
        assert get(mirror, target, known=False) == digest(BODY)
        assert mirror.sent == len(BODY)
        target.unlink()
        half(server)
        assert get(server, target, known=False) == digest(BODY)
        assert server.sent == 100_000
        assert "if-range" in server.requests[0].headers
        target.unlink()
        server.etag = False
        half(server)
        assert get(server, target, known=False) == digest(BODY)
        assert server.sent == len(BODY)
        target.unlink()
        server.modified = True  # an old enough date will do
        half(server)
        assert get(server, target, known=False) == digest(BODY)
        assert server.sent == 100_000
        server.modified, server.etag = False, True
        target.unlink()
        server.fault = lambda request: Fault(cut=200_000, headers={"ETag": 'W/"1"'}) if not request.range else None
        server.requests.clear()
        with pytest.raises(EdfkitError, match="broke off"):
            get(server, target, known=False, attempts=2)
        assert [request.range for request in server.requests] == [None] * 3  # a weak one says nothing of bytes


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_changes_meanwhile_is_fetched_anew(target: Path, known: bool) -> None:
    content = {"file": OTHER}

    def change(request: Request) -> Fault | None:
        if len(server.requests) > 1:
            content["file"] = BODY
        return Fault(cut=100_000) if len(server.requests) == 1 else None

    with serve(content) as server:
        server.fault = change
        assert get(server, target, known) == digest(BODY)
        assert server.sent == 100_000 + len(BODY)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_ignores_if_range_does_not_mix_two_files(target: Path, known: bool) -> None:
    content = {"file": OTHER}

    def change(request: Request) -> Fault | None:
        if len(server.requests) > 1:
            content["file"] = BODY
            request.headers.pop("if-range", None)
        return Fault(cut=100_000) if len(server.requests) == 1 else None

    with serve(content) as server:
        server.fault = change
        assert get(server, target, known) == digest(BODY)
        assert [request.status for request in server.requests] == [200, 206, 200]
    assert target.read_bytes() == BODY


def test_a_file_that_got_longer_is_fetched_anew(target: Path) -> None:
    content = {"file": BODY[:250_000]}

    def change(request: Request) -> Fault | None:
        if len(server.requests) > 1:
            content["file"] = BODY
        return Fault(cut=100_000) if len(server.requests) == 1 else None

    with serve(content) as server:
        server.etag = False
        server.fault = change
        assert get(server, target) == digest(BODY)
        assert [request.status for request in server.requests] == [200, 206, 200]


def test_damaged_bytes_from_before_are_fetched_once_more(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.first(Fault(cut=200_000), Fault(status=404))
        with pytest.raises(EdfkitError, match="404"):
            get(server, target)
        part = target.with_name(".file.part") / "bytes"
        part.write_bytes(bytes(len(part.read_bytes())))  # as a loss of power may leave them
        assert get(server, target) == digest(BODY)
        assert [request.status for request in server.requests[2:]] == [206, 200]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"url": 1}'])
def test_a_damaged_note_means_a_fresh_start(target: Path, note: str) -> None:
    part = target.with_name(".file.part")
    part.mkdir(parents=True)
    (part / "bytes").write_bytes(b"what is this?")
    (part / "note.json").write_text(note)
    (part / "tmpabc").write_bytes(b"left by a kill")
    (target.with_name(".file.123.tmp")).write_bytes(b"left by a kill")
    (target.with_name(".file.x.123.tmp")).write_bytes(b"another's")
    with serve({"file": BODY}) as server:
        assert get(server, target) == digest(BODY)
        assert server.sent == len(BODY)
    assert names(target.parent) == [".file.x.123.tmp", "file"]


@pytest.mark.parametrize("breaks", [0, 3])
def test_without_ranges_a_break_means_from_the_beginning(target: Path, breaks: int) -> None:
    with serve({"file": BODY}) as server:
        server.ranges = False
        server.first(*[Fault(cut=100_000)] * breaks)
        assert get(server, target) == digest(BODY)
        assert server.sent == len(BODY) + breaks * 100_000
    assert target.read_bytes() == BODY


def test_nothing_behind_what_is_here_means_from_the_beginning(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.first(Fault(cut=200_000), Fault(status=416, headers={"Content-Range": "bytes */1000"}))
        assert get(server, target) == digest(BODY)
        assert [request.status for request in server.requests] == [200, 416, 200]


@pytest.mark.parametrize(
    "range_", ["bytes 0-99999/300000", "bytes 200000-199000/300000", "bytes 200000-299999/x", "items 1-2/3", None]
)
def test_another_part_than_asked_for_is_not_taken(target: Path, range_: str | None) -> None:
    with serve({"file": BODY}) as server:
        server.first(Fault(cut=200_000), Fault(headers={"Content-Range": range_}))
        assert get(server, target) == digest(BODY)
        assert [request.status for request in server.requests] == [200, 206, 200]


def test_a_wrong_file_is_thrown_away_and_the_next_mirror_asked(target: Path) -> None:
    with serve({"file": OTHER}) as wrong, serve({"file": BODY}) as right:
        with pytest.raises(EdfkitError, match="--from FILE") as error:
            get(wrong, target)
        assert all(part in str(error.value) for part in (digest(BODY), digest(OTHER), wrong.url))
        assert not (target.with_name(".file.part") / "bytes").exists()
        assert len(wrong.requests) == 1
        assert get([f"{wrong.url}/file", f"{right.url}/file"], target) == digest(BODY)
    assert names(target.parent) == ["file"]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_short_file_is_not_taken(target: Path, chunked: bool) -> None:
    with serve({"file": BODY[:-1]}) as server:
        server.always(Fault(chunked=chunked))
        with pytest.raises(EdfkitError, match=r"299,999 bytes, where 300,000 were expected"):
            get(server, target, size=len(BODY))
        with pytest.raises(EdfkitError, match=digest(BODY)):
            get(server, target)
    assert not target.exists()


def test_a_file_that_always_ends_early_is_not_taken(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.fault = lambda request: Fault(status=416) if request.range else Fault(cut=299_999)
        with pytest.raises(EdfkitError, match="3 times"):
            get(server, target, known=False, attempts=3)
    assert not target.exists()


@pytest.mark.parametrize(("options", "fault"), [
    ({"size": 299_999}, Fault()), ({"size": 299_999}, Fault(chunked=True)),
    ({"most": 299_999}, Fault()), ({"most": 299_999}, Fault(chunked=True)),
])  # fmt: skip
@pytest.mark.parametrize("known", [True, False])
def test_more_than_declared_is_refused(target: Path, options: dict[str, int], fault: Fault, known: bool) -> None:
    with serve({"file": BODY}) as server:
        server.always(fault)
        with pytest.raises(EdfkitError, match=r"300,000 bytes, |sends more than the 299,999 bytes"):
            get(server, target, known, **options)
        assert len(server.requests) == 1
    assert not target.exists()
    assert not (target.with_name(".file.part") / "bytes").exists()


def test_bytes_behind_the_declared_length_are_not_of_the_file(target: Path) -> None:
    with serve({"file": BODY + b"more"}) as server:
        server.always(Fault(headers={"Content-Length": str(len(BODY))}))
        assert get(server, target) == digest(BODY)
    assert target.read_bytes() == BODY


def test_chunks_without_length_are_taken(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.always(Fault(chunked=True))
        assert get(server, target, known=False) == digest(BODY)
    assert target.read_bytes() == BODY


def test_an_end_that_could_be_a_break_takes_a_hash_or_a_size(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.always(Fault(length=False))
        with pytest.raises(EdfkitError, match="does not say how long"):
            get(server, target, known=False)
        assert get(server, target, known=False, size=len(BODY)) == digest(BODY)
        target.unlink()
        assert get(server, target) == digest(BODY)


@pytest.mark.parametrize("known", [True, False])
def test_encoded_content_is_refused(target: Path, known: bool) -> None:
    with serve({"file": BODY}) as server:
        server.always(Fault(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"}))
        with pytest.raises(EdfkitError, match="encoded \\(gzip\\)"):
            get(server, target, known)
    assert not target.exists()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 206, 304, 418, 599])
def test_some_answers_are_final_and_the_next_mirror_helps(target: Path, status: int) -> None:
    with serve({"file": BODY}) as bad, serve({"file": BODY}) as good:
        bad.always(Fault(status=status))
        attempts = 1 if status == 599 else 5
        assert get([f"{bad.url}/file", f"{good.url}/file"], target, attempts=attempts) == digest(BODY)
        assert len(bad.requests) == 1
        assert good.sent == len(BODY)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_some_answers_may_get_better(target: Path, status: int) -> None:
    with serve({"file": BODY}) as server:
        server.first(*[Fault(status=status)] * 3)
        assert get(server, target) == digest(BODY)
        assert len(server.requests) == 4
        target.unlink()
        server.always(Fault(status=status))
        with pytest.raises(EdfkitError, match=f"answered {status} .*5 times"):
            get(server, target)
        assert len(server.requests) == 9


def test_a_pause_that_the_server_asks_for_is_kept_if_it_is_short(target: Path) -> None:
    times: list[float] = []

    def busy(request: Request) -> Fault | None:
        times.append(time.monotonic())
        return Fault(status=429, headers={"Retry-After": "1"}) if len(times) == 1 else None

    with serve({"file": BODY}) as server:
        server.fault = busy
        assert get(server, target) == digest(BODY)
        assert times[1] - times[0] >= 1  # which no slow machine can break
        target.unlink()
        server.requests.clear()
        for told in ("3600", "Fri, 31 Dec 2100 23:59:59 GMT"):
            server.always(Fault(status=503, headers={"Retry-After": told}))
            with pytest.raises(EdfkitError, match=r"503 Service Unavailable, to be asked again in \d+ s"):
                get(server, target)
        assert len(server.requests) == 2
        server.first(Fault(status=503, headers={"Retry-After": "soon"}))
        assert get(server, target) == digest(BODY)


@pytest.mark.parametrize("slow", [Fault(silence=30), Fault(step=100_000, pause=30), Fault(step=10, pause=0.05)])
def test_a_server_that_stalls_is_left_for_the_next(target: Path, slow: Fault) -> None:
    with serve({"file": BODY}) as bad, serve({"file": BODY}) as good:
        bad.always(slow)
        urls = [f"{bad.url}/file", f"{good.url}/file"]
        assert get(urls, target, timeout=0.5) == digest(BODY)
        assert len(bad.requests) == 1
        assert good.requests[0].range or not slow.pause  # what the slow one sent is kept
    assert target.read_bytes() == BODY


def test_stalls_alone_end(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.always(Fault(step=10, pause=0.05))
        with pytest.raises(EdfkitError, match=r"sent only \d+ bytes in .*\(2 times\)"):
            get(server, target, timeout=0.3, attempts=2)


def test_an_address_where_nobody_listens_is_left_for_the_next(target: Path) -> None:
    with serve({}) as gone:
        url = f"{gone.url}/file"
    with serve({"file": BODY}) as good:
        assert get([url, f"{good.url}/file"], target) == digest(BODY)
        target.unlink()
        with pytest.raises(EdfkitError, match=r"could not be reached \(Connection refused\) \(2 times\)"):
            get([url], target, attempts=2)


def test_redirects_are_followed_but_not_to_another_scheme_nor_for_ever(target: Path, tmp_path: Path) -> None:
    with serve({"file": BODY, "other": BODY}) as server:
        server.first(Fault(status=302, headers={"Location": "/other"}))
        assert get(server, target) == digest(BODY)
        assert [request.path for request in server.requests] == ["/file", "/other"]
        target.unlink()
        (tmp_path / "secret").write_bytes(BODY)
        for where in (f"file://{tmp_path}/secret", "ftp://127.0.0.1/file", "data:,x", "http://["):
            server.first(Fault(status=301, headers={"Location": where}))
            with pytest.raises(EdfkitError, match=r"redirects from http to|no address"):
                get(server, target)
        server.requests.clear()
        server.always(Fault(status=307, headers={"Location": "/file"}))
        with pytest.raises(EdfkitError, match="redirects more than 5 times"):
            get(server, target)
        assert len(server.requests) == 6
    assert not target.exists()


def test_a_redirect_may_become_secure_but_not_insecure(
    target: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serve({"file": BODY}) as plain, serve({"file": BODY}, tls) as secure:
        with pytest.raises(EdfkitError, match="no certificate that can be trusted"):
            get(secure, target)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        secure.first(Fault(cut=100_000))
        plain.always(Fault(status=308, headers={"Location": f"{secure.url}/file"}))
        assert get(plain, target) == digest(BODY)
        assert secure.sent == len(BODY)
        target.unlink()
        secure.always(Fault(status=308, headers={"Location": f"{plain.url}/file"}))
        with pytest.raises(EdfkitError, match="redirects from https to 'http', which is not followed"):
            get(secure, target)
    assert not target.exists()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/file", "file", "s3://bucket/file"])
def test_other_schemes_are_refused_before_anything_is_asked(target: Path, url: str) -> None:
    with serve({"file": BODY}) as server:
        with pytest.raises(EdfkitError, match="no http or https address"):
            get([f"{server.url}/file", url], target)
        assert not server.requests
    assert not target.parent.exists()


@pytest.mark.parametrize("url", ["http://", "http://[", "http://127.0.0.1:port/file", "http://.x/file"])
def test_a_malformed_address_is_named(target: Path, url: str) -> None:
    with pytest.raises(EdfkitError, match="address"):
        get([url], target)


@pytest.mark.parametrize("sha256", ["", "0" * 63, "g" * 64])
def test_a_malformed_hash_is_named(target: Path, sha256: str) -> None:
    with pytest.raises(EdfkitError, match="no sha256; give 64"):
        get(["http://127.0.0.1:9/file"], target, sha256=sha256)
    with pytest.raises(EdfkitError, match="no address"):
        get([], target)


def test_a_hash_in_capitals_is_the_same(target: Path) -> None:
    with serve({"file": BODY}) as server:
        assert get(server, target, sha256=digest(BODY).upper()) == digest(BODY)


def test_offline_nothing_is_asked(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDFKIT_OFFLINE", "1")
    with serve({"file": BODY}) as server:
        with pytest.raises(EdfkitError, match="--from FILE") as error:
            get(server, target)
        assert all(part in str(error.value) for part in (str(target), f"{server.url}/file", "EDFKIT_OFFLINE"))
        assert not server.requests
        monkeypatch.setenv("EDFKIT_OFFLINE", "0")
        get(server, target)
        monkeypatch.setenv("EDFKIT_OFFLINE", "1")
        get(server, target)  # it is there
        assert len(server.requests) == 1


def test_progress_is_shown_on_standard_error(target: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serve({"file": BODY}) as server:
        get(server, target, progress=True)
        shown = capfd.readouterr()
        assert not shown.out
        assert "file" in shown.err
        assert "left" in shown.err
        target.unlink()
        get(server, target)
    assert capfd.readouterr() == ("", "")


PROGRAM = """
import json, sys
from pathlib import Path
from edfkit.datasets.download import download
from edfkit import EdfkitError
url, target, options = sys.argv[1:]
try:
    print(download([url], Path(target), pause=0.001, **json.loads(options)))
except EdfkitError as error:
    sys.exit(str(error))
"""


def start(
    server: Server, target: Path, preexec: Callable[[], None] | None = None, **options: Any
) -> subprocess.Popen[str]:
    arguments = [f"{server.url}/file", str(target), json.dumps({"sha256": digest(BODY)} | options)]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=preexec,
    )  # fmt: skip


def test_two_processes_fetch_once(target: Path) -> None:
    with serve({"file": BODY}) as server:
        server.always(Fault(pause=0.1))  # two seconds in all
        one = start(server, target)
        while not server.sent:
            time.sleep(0.01)
        two = start(server, target, progress=True)
        found = [process.communicate() for process in (one, two)]
        assert [out.strip() for out, _ in found] == [digest(BODY)] * 2
        assert "Another process is fetching file" in found[1][1]
        assert server.sent == len(BODY)
        assert len(server.requests) == 1


def kills(target: Path, rounds: int, known: bool, seed: int) -> None:
    """Kill at random moments, then finish."""
    rng = random.Random(seed)
    with serve({"file": BODY}) as server:
        server.always(Fault(step=2000, pause=0.002))
        for _ in range(rounds):
            wanted = server.sent + rng.randrange(25_000 if known else 5_000)
            process = start(server, target, sha256=digest(BODY) if known else None)
            while process.poll() is None and server.sent < wanted:
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert not target.exists() or target.read_bytes() == BODY
            if process.returncode == 0:  # it was faster
                target.unlink()
        before = server.sent
        server.fault = lambda request: None
        assert get(server, target, known) == digest(BODY)
        assert target.read_bytes() == BODY
        assert names(target.parent) == ["file"]
        if known:  # each kill costs what was on the way
            assert server.sent <= len(BODY) + rounds * 2**15
            assert server.sent - before < len(BODY)


@pytest.mark.parametrize("known", [True, False])
def test_a_kill_at_any_moment_is_harmless(target: Path, known: bool) -> None:
    kills(target, 10, known, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_many_kills_are_harmless(target: Path, known: bool, seed: int) -> None:
    kills(target, 30, known, seed)


def test_a_disk_without_room_is_seen_beforehand(small_disk: Path) -> None:
    said = r"no room for .*: it takes 300,000 more bytes, and 1[0-9]{2},[0-9]{3}"
    with serve({"file": BODY}) as server, pytest.raises(EdfkitError, match=said):
        get(server, small_disk / "file")
    assert not (small_disk / "file").exists()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("etag", [True, False])
def test_a_disk_that_gets_full_keeps_what_can_be_resumed(small_disk: Path, known: bool, etag: bool) -> None:
    target = small_disk / "file"
    with serve({"file": BODY}) as server:
        server.etag = etag
        server.always(Fault(chunked=True))  # the length is not known beforehand
        with pytest.raises(EdfkitError, match="No space left on device; make room and call again"):
            get(server, target, known)
        assert not target.exists()
        part = small_disk / ".file.part" / "bytes"
        assert part.exists() == (known or etag)
        if known or etag:
            assert BODY.startswith(part.read_bytes())
            assert part.stat().st_size > 50_000
            subprocess.run(["mount", "-o", "remount,size=400k", str(small_disk)], check=True)
            assert get(server, target, known) == digest(BODY)
            assert server.requests[1].range
            assert target.read_bytes() == BODY


def test_a_limit_of_file_sizes_is_said(target: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    with serve({"file": BODY}) as server:
        process = start(server, target, limit)
        assert "File too large; make room" in process.communicate()[1]
        assert process.returncode == 1
        assert not target.exists()
        get(server, target)
        assert server.requests[1].range == "bytes=100000-"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(target: Path) -> None:
    target.parent.mkdir(mode=0o500)
    with serve({"file": BODY}) as server, pytest.raises(EdfkitError, match="Permission denied"):
        get(server, target)


def test_a_place_that_takes_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("")
    with serve({"file": BODY}) as server:
        with pytest.raises(EdfkitError, match="is a folder"):
            get(server, tmp_path / "folder")
        with pytest.raises(EdfkitError, match=r"cannot be written: (Not a directory|File exists)"):
            get(server, tmp_path / "text" / "file")


def test_a_copy_is_taken_if_it_is_right(target: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(BODY)
    part = target.with_name(".file.part")
    part.mkdir(parents=True)
    assert copy_in(copy, target, digest(BODY), len(BODY)) == digest(BODY)
    assert target.read_bytes() == copy.read_bytes() == BODY
    assert names(target.parent) == ["file"]
    assert copy_in(target, target, digest(BODY)) == digest(BODY)
    copy.write_bytes(OTHER)
    with pytest.raises(EdfkitError, match=digest(OTHER)):
        copy_in(copy, target, digest(BODY), len(BODY))
    with pytest.raises(EdfkitError, match="has 300,000 bytes, but file has 1"):
        copy_in(copy, target, digest(BODY), 1)
    with pytest.raises(EdfkitError, match="not a file"):
        copy_in(tmp_path / "absent", target, None)
    assert target.read_bytes() == BODY
    assert copy_in(copy, target, None) == digest(OTHER)
    assert names(target.parent) == ["file"]


def test_a_copy_that_has_no_room_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(BODY)
    with pytest.raises(EdfkitError, match="no room"):
        copy_in(copy, small_disk / "file", digest(BODY))
    assert names(small_disk) == []


@pytest.mark.parametrize("cache", [None, "", "  ", "relative", "/srv/cache"])
def test_the_data_folder_is_the_platforms(cache: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pooch

    monkeypatch.delenv("EDFKIT_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert data_folder() == Path(pooch.os_cache("edfkit"))
    monkeypatch.setenv("EDFKIT_DATA", str(tmp_path / "here"))
    assert data_folder() == tmp_path / "here"
    assert not data_folder().exists()


def test_nothing_heavy_is_loaded_to_find_the_data_folder() -> None:
    program = "import sys; from edfkit.datasets import data_folder; data_folder(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True).stdout
    heavy = {"pooch", "requests", "urllib3", "filelock", "rich", "ssl", "numpy"}
    if sys.platform == "linux":
        heavy.add("platformdirs")
    assert not heavy & set(loaded.split())
