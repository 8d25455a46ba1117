"""Downloaded archives: whole or not there, whatever happens; and which archive a command reads."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from records import write_realistic
from server import Fault, Server, serve

from edfkit import EdfkitError
from edfkit.archive import Archive, validate
from edfkit.archive.combine import subset
from edfkit.datasets import BUNDLED, MARKER, data_folder, downloaded, fetch, load, locate, store
from edfkit.exchange.nds import import_nds


def parted() -> bytes:
    """Give two populations of the bundled archive: to check all twelve takes ten times as long."""
    with tempfile.TemporaryDirectory() as folder:
        subset(BUNDLED["digits"], Path(folder) / "a.h5", spaces=["resnet", "vanilla"])
        return (Path(folder) / "a.h5").read_bytes()


CORPUS = parted()


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EDFKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("EDFKIT_REGISTRY", "EDFKIT_OFFLINE", "EDFKIT_ARCHIVE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "data"


def entry(name: str, file: str, *, kind: str, data: bytes | None = None, version: str = "1") -> str:
    known = f'sha256 = "{hashlib.sha256(data).hexdigest()}"\nsize = {len(data)}\n' if data else ""
    return (
        f'format = 1\n[[archive]]\nname = "{name}"\nversion = "{version}"\ntitle = "A corpus"\nkind = "{kind}"\n'
        f'license = "CC0-1.0"\n[[archive.files]]\nname = "{file}"\nurls = ["{file}"]\n{known}'
    )


def zipped(path: Path, models: int = 3, names: tuple[str, ...] = ("ResNet",), seed: int = 0) -> Path:
    """Make a zip like the authors'."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for i, name in enumerate(names):
            write_realistic(path.with_name("records.json"), models, seed=seed + i)
            file.writestr(f"data/{name}.json", path.with_name("records.json").read_bytes())
    path.with_name("records.json").unlink()
    return path


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Serve the registry and the archive `corpus`, a zip `records`, and their registries, from loopback."""
    content = {
        "corpus.toml": entry("corpus", "corpus.h5", kind="archive", data=CORPUS).encode(),
        "corpus.h5": CORPUS,
        "records.toml": entry("records", "data.zip", kind="nds").encode(),
        "data.zip": zipped(tmp_path / "served.zip").read_bytes(),
    }
    with serve(content) as server:
        monkeypatch.setenv("EDFKIT_REGISTRY", f"{server.url}/corpus.toml,{server.url}/records.toml")
        (empty := tmp_path / "empty").mkdir()
        monkeypatch.chdir(empty)  # a file or folder that is called like an archive would go before it
        yield server


def files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    )


# --- Fetching


def test_an_archive_is_downloaded_once(lab: Server, data: Path) -> None:
    assert store.installed("corpus") is None
    path = fetch("corpus")
    assert path == data / "corpus" / "1" / "corpus.h5"
    assert path.read_bytes() == CORPUS
    assert files(data) == ["corpus/1/complete.json", "corpus/1/corpus.h5", "corpus/first-1.json"]
    assert fetch("corpus") == path == store.installed("corpus")
    assert [request.path for request in lab.requests].count("/corpus.h5") == 1
    with load("corpus") as archive:
        assert {"resnet", "vanilla"} <= set(archive.names)
    assert store.check("corpus").files == {
        "corpus.h5": {"sha256": hashlib.sha256(CORPUS).hexdigest(), "size": len(CORPUS)}
    }


def test_a_zip_becomes_an_archive_and_goes(lab: Server, data: Path) -> None:
    found = store.obtain("records")
    assert files(data) == ["records/1/complete.json", "records/1/records.h5", "records/first-1.json"]
    with Archive(found.path) as archive:
        assert archive.names == ["resnet"]
        assert archive.models("resnet") == 3
        assert archive.attrs["license"] == "CC0-1.0"
        assert archive.attrs["title"] == "A corpus"
    assert found.members == store.Members((), (), (), ("ResNet.json",))
    assert store.state("records") == found == store.check("records")


def test_what_comes_with_edfkit_is_there(data: Path) -> None:
    assert fetch("digits") == BUNDLED["digits"] == store.installed("digits")
    assert store.check("digits").size == BUNDLED["digits"].stat().st_size
    with pytest.raises(EdfkitError, match="comes with edfkit, so there is nothing to take from"):
        fetch("digits", from_file=BUNDLED["digits"])
    with pytest.raises(EdfkitError, match="digits comes with edfkit"):
        store.remove("digits")
    assert not data.exists()


def test_the_published_files_are_known_by_their_git_ids(published: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in published.glob("*.json"):
            file.write(path, f"nds_data/{path.name}")
    found = store.obtain("nds", from_file=tmp_path / "a.zip")
    assert found.members is not None
    assert found.members.known == tuple(sorted(path.name for path in published.glob("*.json")))
    assert [len(names) for names in vars(found.members).values()] == [8, 0, 26, 0]
    assert str(found.members).startswith("8 of 34 files are the known copy; missing: Amoeba.json, Amoeba_in.json, ")
    assert store.state("nds") == found
    with load("nds") as archive:
        assert len(archive.names) == 10  # each of two reruns is two
    assert locate() == found.path


def test_other_and_additional_files_are_said_and_not_refused(tmp_path: Path) -> None:
    found = store.obtain("nds", from_file=zipped(tmp_path / "a.zip", names=("ResNet", "Novel")))
    assert found.members is not None
    assert found.members.different == ("ResNet.json",)
    assert found.members.additional == ("Novel.json",)
    assert "0 of 34 files are the known copy; other content: ResNet.json; missing: " in str(found.members)
    assert str(found.members).endswith("; more: Novel.json")


def test_a_registry_that_is_a_file_has_its_archive_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "corpus.h5").write_bytes(CORPUS)
    (shared / "corpus.toml").write_text(entry("corpus", "corpus.h5", kind="archive", data=CORPUS))
    monkeypatch.setenv("EDFKIT_REGISTRY", str(shared / "corpus.toml"))
    monkeypatch.setenv("EDFKIT_OFFLINE", "1")
    path = fetch("corpus")
    (shared / "corpus.h5").write_bytes(b"")
    assert path.is_relative_to(data)
    assert path.read_bytes() == CORPUS


def test_a_copy_takes_the_place_of_the_download(lab: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_bytes(CORPUS)
    found = store.obtain("corpus", from_file=tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == found.path.read_bytes() == CORPUS
    assert "/corpus.h5" not in [request.path for request in lab.requests]
    assert store.obtain("corpus", from_file=tmp_path / "mine") == found
    (tmp_path / "other").write_bytes(CORPUS[:-1])
    with pytest.raises(EdfkitError, match=r"was made of corpus\.h5 with sha256 .* and .*other has .*; edfkit datasets"):
        fetch("corpus", from_file=tmp_path / "other")


@pytest.mark.parametrize(
    ("content", "why"), [(CORPUS[:-1], "bytes"), (CORPUS[:-1] + b"x", "sha256 is"), (b"", "bytes"), (None, "no file")]
)
def test_a_wrong_copy_is_refused(content: bytes | None, why: str, lab: Server, tmp_path: Path, data: Path) -> None:
    if content is not None:
        (tmp_path / "mine").write_bytes(content)
    with pytest.raises(EdfkitError, match=why):
        fetch("corpus", from_file=tmp_path / "mine")
    assert files(data / "corpus") == [] or all(".lock" in name for name in files(data / "corpus"))
    assert store.installed("corpus") is None
    assert fetch("corpus").read_bytes() == CORPUS


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_a_wrong_copy_of_unknown_hash_is_refused_and_forgotten(
    content: bytes, lab: Server, tmp_path: Path, data: Path
) -> None:
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(EdfkitError):
        fetch("records", from_file=tmp_path / "mine")
    assert files(data) == []  # no record either, which would refuse the right one
    assert fetch("records").exists()


def test_a_page_in_place_of_the_zip_is_refused_and_forgotten(lab: Server, data: Path) -> None:
    lab.fault = lambda request: Fault(body=b"<html>Please log in</html>") if "zip" in request.path else None
    with pytest.raises(EdfkitError):
        fetch("records")
    assert files(data) == []
    lab.fault = lambda request: None
    assert fetch("records").exists()


def test_an_archive_that_breaks_the_format_is_refused(lab: Server, data: Path) -> None:
    lab.content = {
        "corpus.toml": entry("corpus", "corpus.h5", kind="archive", data=b"no archive").encode(),
        "corpus.h5": b"no archive",
        "records.toml": entry("records", "data.zip", kind="nds").encode(),
    }
    with pytest.raises(EdfkitError, match="not an HDF5 file"):
        fetch("corpus")
    assert files(data) == []


def test_offline_only_what_is_here_is_given(lab: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch("corpus")
    asked = len(lab.requests)
    monkeypatch.setenv("EDFKIT_OFFLINE", "1")
    assert fetch("corpus").exists()
    with pytest.raises(EdfkitError, match="EDFKIT_OFFLINE"):
        fetch("records")
    with pytest.raises(EdfkitError, match="EDFKIT_OFFLINE"):
        fetch("nds")
    assert len(lab.requests) == asked


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "A", "a/b", "a\0b", "-x"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    for action in (fetch, load, store.installed, store.state, store.check, store.remove):
        with pytest.raises(EdfkitError, match="no name of a published archive"):
            action(name)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(EdfkitError, match="No registry has an archive 'else'"):
        fetch("else")
    with pytest.raises(EdfkitError, match="edfkit datasets download else"):
        store.check("else")


# --- Later downloads are held against the first


def test_another_content_than_the_first_is_refused_until_its_record_is_removed(
    lab: Server, tmp_path: Path, data: Path
) -> None:
    assert isinstance(lab.content, dict)
    first = zipped(tmp_path / "first.zip", seed=1)
    lab.content["data.zip"] = first.read_bytes()
    before = store.obtain("records")
    record = json.loads((data / "records" / "first-1.json").read_text())
    assert record["data.zip"]["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
    assert record["data.zip"]["size"] == first.stat().st_size
    removed = store.remove("records")
    assert removed.kept == (data / "records" / "first-1.json",)
    assert store.obtain("records").files == before.files  # the same one is no other
    store.remove("records")

    lab.content["data.zip"] = zipped(tmp_path / "second.zip", seed=2).read_bytes()
    with pytest.raises(EdfkitError, match=r"first download had .* --from FILE, or remove .*first-1\.json to accept"):
        fetch("records")
    assert files(data) == ["records/first-1.json"]
    assert store.obtain("records", from_file=first).files == before.files
    store.remove("records")
    (data / "records" / "first-1.json").unlink()
    assert store.obtain("records").files != before.files


def test_a_record_that_cannot_be_read_is_named(lab: Server, data: Path) -> None:
    (data / "records").mkdir(parents=True)
    for text in ("{", "[]", '{"data.zip": 1}', '{"data.zip": {}}', "7"):
        (data / "records" / "first-1.json").write_text(text)
        with pytest.raises(EdfkitError, match=r"first-1\.json, which says what the first download was, cannot be read"):
            fetch("records")


def test_what_is_here_is_held_against_the_registry(lab: Server) -> None:
    assert isinstance(lab.content, dict)
    fetch("corpus")
    lab.content["corpus.toml"] = entry("corpus", "corpus.h5", kind="archive", data=b"other").encode()
    with pytest.raises(EdfkitError, match=r"corpus\.toml says .*; edfkit datasets remove corpus, then"):
        fetch("corpus")


def test_a_new_version_lies_beside_the_old_and_goes_before_it(lab: Server, data: Path) -> None:
    assert isinstance(lab.content, dict)
    old = fetch("corpus")
    lab.content["corpus.toml"] = entry("corpus", "corpus.h5", kind="archive", data=CORPUS, version="0.9").encode()
    new = fetch("corpus")
    assert old.exists()
    assert new == data / "corpus" / "0.9" / "corpus.h5"
    assert locate("corpus") == new == store.installed("corpus")
    store.remove("corpus")
    assert not old.exists()
    assert not new.exists()


# --- Checking and removing


def test_a_change_is_found(lab: Server) -> None:
    path = fetch("corpus")
    path.write_bytes(CORPUS[:-1] + bytes([CORPUS[-1] ^ 1]))
    with pytest.raises(EdfkitError, match="it has changed; edfkit datasets remove corpus and edfkit datasets download"):
        store.check("corpus")
    path.write_bytes(CORPUS[:-1])
    assert store.installed("corpus") is None
    assert fetch("corpus").read_bytes() == CORPUS


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", '{"format": 2}', '{"format": 1, "sha256": 1}'])
def test_a_damaged_marker_is_none(text: str, lab: Server) -> None:
    path = fetch("corpus")
    path.with_name(MARKER).write_text(text)
    assert store.installed("corpus") is None
    assert fetch("corpus").read_bytes() == CORPUS
    store.check("corpus")


def test_removing_says_what_went(lab: Server, data: Path) -> None:
    path = fetch("corpus")
    part = data / "corpus" / "1" / "downloads" / "half"
    part.parent.mkdir()
    part.write_bytes(bytes(1000))
    expected = {path, path.with_name(MARKER), part}
    freed = sum(file.stat().st_size for file in expected)
    removed = store.remove("corpus")
    assert set(removed.files) == expected
    assert removed.freed == freed
    assert files(data) == ["corpus/first-1.json"]
    assert store.installed("corpus") is None
    with pytest.raises(EdfkitError, match=r"no more than .*first-1\.json"):
        store.remove("corpus")


def test_removing_nothing_is_refused(data: Path) -> None:
    with pytest.raises(EdfkitError, match="Nothing of nds has been downloaded"):
        store.remove("nds")
    assert not data.exists()


def test_what_has_been_downloaded_needs_no_registry(lab: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch("corpus")
    monkeypatch.delenv("EDFKIT_REGISTRY")
    assert store.installed("corpus") == locate("corpus") == path
    assert store.check("corpus").path == path
    assert store.remove("corpus").freed > len(CORPUS)


# --- Which archive a command reads


def test_where_to_read_from(lab: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate() == locate("digits") == BUNDLED["digits"]
    (tmp_path / "digits").mkdir()
    assert locate("digits") == BUNDLED["digits"]
    for address in ("https://example.org/a.h5", "s3://bucket/a.h5", "digits://x"):
        assert locate(address) == address
    assert locate("no/such.h5") == Path("no/such.h5")
    assert locate("such.h5") == Path("such.h5")
    assert locate("a\0b") == Path("a\0b") if sys.version_info >= (3, 13) else True

    with pytest.raises(EdfkitError, match="nds has not been downloaded to this machine; edfkit datasets download nds"):
        locate("nds")
    (tmp_path / "nds").mkdir()
    assert locate("nds") == Path("nds")  # a path that exists
    assert locate() == BUNDLED["digits"]
    (tmp_path / "nds").rmdir()
    nds = fetch("nds", from_file=zipped(tmp_path / "a.zip"))
    assert locate() == locate("nds") == nds
    monkeypatch.setenv("EDFKIT_ARCHIVE", "digits")
    assert locate() == BUNDLED["digits"]
    assert locate("nds") == nds
    monkeypatch.setenv("EDFKIT_ARCHIVE", "https://example.org/a.h5")
    assert locate() == "https://example.org/a.h5"


def test_the_name_of_an_entry_of_others_is_known_without_asking(lab: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate("corpus") == Path("corpus")  # its registry has never been read
    store.installed("corpus")
    fetch("records")  # which reads all
    asked = len(lab.requests)
    with pytest.raises(EdfkitError, match="edfkit datasets download corpus"):
        locate("corpus")
    assert len(lab.requests) == asked


def test_what_is_not_whole_is_not_read(data: Path) -> None:
    (data / "nds" / "1").mkdir(parents=True)
    (data / "nds" / "1" / "nds.h5").write_bytes(CORPUS)
    assert downloaded("nds") is None
    assert locate() == BUNDLED["digits"]


def test_locating_loads_nothing(lab: Server, tmp_path: Path) -> None:
    fetch("nds", from_file=zipped(tmp_path / "a.zip"))
    program = "import sys; from edfkit.datasets import locate; print(locate()); locate('a/b.h5'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    where, modules = done.stdout.splitlines()
    assert Path(where) == data_folder() / "nds" / "1" / "nds.h5"
    loaded = {name for name in modules.split() if name.startswith("edfkit")}
    assert loaded == {"edfkit", "edfkit.datasets"}
    assert not {"pooch", "requests", "tomllib", "h5py", "json", "numpy", "hashlib"} & set(modules.split())


# --- Faults


# Fetches in one child after another, each of which is killed at the next step that changes the disk, and says for each
# what was there then. Children are forks, so that loading is done once.
KILLER = """
import os, shutil, signal, sys
from pathlib import Path
from edfkit import EdfkitError
from edfkit.archive import validate
from edfkit.datasets import fetch, locate, store, BUNDLED
from edfkit.exchange import nds

name, source = sys.argv[1], Path(sys.argv[2])
base = Path(os.environ["EDFKIT_DATA"])
step = at = 0

def hook(event, args):
    global step
    if at and event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "open"):
        if event == "open" and not (isinstance(args[1], str) and set(args[1]) & set("wax+")):
            return
        if not str(args[0]).startswith(str(base)):
            return
        step += 1
        if step == at:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
kills = halves = 0
while True:
    data = base / str(kills)
    os.environ["EDFKIT_DATA"] = str(data)
    child = os.fork()
    if not child:
        at = kills + 1
        fetch(name, from_file=source)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    kills += 1
    if store.installed(name) is None:
        halves += 1
    else:
        store.check(name)
    if kills % 3 == 0:  # go on with what is there, else with the file given again
        os.environ["EDFKIT_OFFLINE"] = "1"
        try:
            fetch(name)
        except EdfkitError as error:
            assert "EDFKIT_OFFLINE" in str(error), error
        del os.environ["EDFKIT_OFFLINE"]
    fetch(name, from_file=source)
    store.check(name)
    left = sorted(str(f.relative_to(data)) for f in data.rglob("*") if f.is_file() and ".locks" not in f.parts)
    kept = {f"{name}/1/complete.json", f"{name}/1/{name}.h5", f"{name}/first-1.json"}
    # Killed when the archive was whole already, it may leave the files that it was made of.
    assert kept <= set(left) and all("/downloads/" in other for other in set(left) - kept), left
    assert store.remove(name).kept
    shutil.rmtree(data)
print(kills, halves)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
@pytest.mark.parametrize("name", ["corpus", pytest.param("nds", marks=pytest.mark.slow)])
def test_killed_at_any_step_it_leaves_nothing_half_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    source = tmp_path / "corpus.h5"
    if name == "corpus":
        import_nds([zipped(tmp_path / "a.zip")], source)
        text = entry("corpus", "corpus.h5", kind="archive", data=source.read_bytes())
        (tmp_path / "corpus.toml").write_text(text)
        monkeypatch.setenv("EDFKIT_REGISTRY", str(tmp_path / "corpus.toml"))
    else:
        zipped(source)
    command = [sys.executable, "-P", "-c", textwrap.dedent(KILLER), name, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kills, halves = map(int, done.stdout.split())
    assert kills >= 20
    assert halves >= 15


FETCH = "import sys; from pathlib import Path; from edfkit.datasets import fetch; print(fetch(sys.argv[1], from_file=Path(sys.argv[2]) if sys.argv[2:] else None))"  # noqa: E501 - a program


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-c", FETCH, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "later", [0.1, *(pytest.param(later, marks=pytest.mark.slow) for later in (0.0, 0.3, 0.5, 0.7))]
)
def test_killed_while_it_converts_it_is_finished_by_the_next_call(
    later: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    source = zipped(tmp_path / "a.zip", models=1000)
    process = start("nds", str(source))
    while not (data / "nds" / "1" / "making").exists() or not (data / "nds" / "1" / "downloads" / "data.zip").exists():
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(later)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (data / "nds" / "1" / MARKER).exists()
    assert store.installed("nds") is None
    assert locate() == BUNDLED["digits"]
    source.unlink()
    monkeypatch.setenv("EDFKIT_OFFLINE", "1")
    found = store.obtain("nds")
    validate(found.path)
    assert files(data) == ["nds/1/complete.json", "nds/1/nds.h5", "nds/first-1.json"]
    with Archive(found.path) as archive:
        assert archive.models("resnet") == 1000


def test_of_two_processes_one_does_it(lab: Server, data: Path) -> None:
    assert isinstance(lab.content, dict)
    zipped(data.with_name("large.zip"), models=300)
    lab.content["data.zip"] = data.with_name("large.zip").read_bytes()
    processes = [start("records"), start("records")]
    out = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], out
    assert {text for text, _ in out} == {f"{data / 'records' / '1' / 'records.h5'}\n"}
    assert sum(request.sent for request in lab.requests if "zip" in request.path) == len(lab.content["data.zip"])
    store.check("records")


def test_what_another_process_makes_is_not_removed(lab: Server) -> None:
    fetch("corpus")
    with (
        store._locked("corpus", wait=True),
        pytest.raises(EdfkitError, match="Another process is at work on corpus"),
    ):
        store.remove("corpus")
    assert store.installed("corpus")


def test_a_disk_too_small_for_the_file(lab: Server, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDFKIT_DATA", str(small_disk / "data"))
    with pytest.raises(EdfkitError, match="room"):
        fetch("corpus")
    assert store.installed("corpus") is None
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    assert fetch("corpus").read_bytes() == CORPUS
    store.check("corpus")


def test_a_disk_too_small_for_the_archive(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDFKIT_DATA", str(small_disk / "data"))
    source = zipped(tmp_path / "a.zip", models=90)
    assert 60_000 < source.stat().st_size < 140_000
    with pytest.raises((EdfkitError, OSError)):
        fetch("nds", from_file=source)
    folder = small_disk / "data" / "nds" / "1"
    assert store.installed("nds") is None
    assert not (folder / "making").exists()
    assert (folder / "downloads" / "data.zip").read_bytes() == source.read_bytes()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    source.unlink()
    monkeypatch.setenv("EDFKIT_OFFLINE", "1")
    with load("nds") as archive:  # goes on with the copy
        assert np.isfinite(archive.read("resnet", "error")).all()
    store.check("nds")
