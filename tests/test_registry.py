"""The registry of published archives: what the built-in one says, what is refused, and registries of others."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server import Fault, Server, serve

from edfkit import EdfkitError
from edfkit.datasets import BUNDLED, registry

ENTRY = """format = 1

[[archive]]
name = "corpus"
version = "1"
title = "A corpus"
kind = "archive"
license = "CC0-1.0"
card = "corpus.md"

[[archive.files]]
name = "corpus.h5"
urls = ["corpus.h5", "https://example.org/mirror/corpus.h5"]
sha256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
size = 12
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDFKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("EDFKIT_REGISTRY", "EDFKIT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def lab() -> Iterator[Server]:
    """Serve a registry from loopback."""
    with serve({"lab.toml": ENTRY.encode()}) as server:
        yield server


def refused(text: str, place: str = "lab.toml") -> str:
    with pytest.raises(EdfkitError) as caught:
        registry.parse(text, place)
    message = str(caught.value)
    assert message.startswith(place)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# --- The built-in registry


def test_it_has_the_authors_zip_and_what_comes_with_edfkit() -> None:
    nds, digits = registry.entries()
    assert (nds.name, nds.kind, nds.bundled) == ("nds", "nds", None)
    assert nds.files == (registry.File("data.zip", ("https://dl.fbaipublicfiles.com/nds/data.zip",), None, None, None),)
    assert (digits.name, digits.kind, digits.bundled) == ("digits", "archive", BUNDLED["digits"])


def test_what_comes_with_edfkit_is_what_the_registry_says() -> None:
    for entry in registry.entries():
        if entry.bundled:
            data = entry.bundled.read_bytes()
            assert entry.files[0].sha256 == hashlib.sha256(data).hexdigest()
            assert entry.files[0].size == len(data)
    assert {entry.name: entry.bundled for entry in registry.entries() if entry.bundled} == BUNDLED


def test_every_entry_has_a_data_card_beside_the_registry() -> None:
    for entry in registry.entries():
        assert Path(entry.card).read_text(encoding="utf-8").startswith(f"# Data card: {entry.name}\n")


def test_it_knows_34_published_files() -> None:
    members = registry.find("nds").members
    assert len(members) == len(set(members.values())) == 34
    assert sum(name.endswith("_in.json") for name in members) == 10


def test_the_published_files_are_the_known_copy(published: Path) -> None:
    members = registry.find("nds").members
    files = list(published.glob("*.json"))
    assert files
    for file in files:
        data = file.read_bytes()
        assert members[file.name] == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


# --- Reading a registry


def test_names_of_files_mean_beside_the_registry() -> None:
    (entry,) = registry.parse(ENTRY, "https://example.org/lab/lab.toml")
    assert entry.files[0].urls == (
        "https://example.org/lab/corpus.h5",
        "https://example.org/mirror/corpus.h5",
    )
    assert entry.files[0].beside is None
    assert entry.card == "https://example.org/lab/corpus.md"
    (entry,) = registry.parse(ENTRY, "/lab/lab.toml")
    assert entry.files[0].urls == ("https://example.org/mirror/corpus.h5",)
    assert entry.files[0].beside == Path("/lab/corpus.h5")
    assert entry.card == str(Path("/lab/corpus.md"))
    assert entry.bundled is None


def test_what_may_be_left_out() -> None:
    text = "\n".join(line for line in ENTRY.splitlines() if not line.startswith(("sha256", "size", "card")))
    (entry,) = registry.parse(text, "lab.toml")
    assert (entry.card, entry.citation, entry.members) == ("", "", {})
    assert (entry.files[0].sha256, entry.files[0].size) == (None, None)


ENDS = {"true": "true", "number": "7", "list": "[1]", "table": "{ a = 1 }"}


@pytest.mark.parametrize("value", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize(
    "key", ["name", "version", "title", "kind", "license", "card", "urls", "sha256", "size", "citation", "format"]
)
def test_a_value_of_another_type_is_refused(key: str, value: str) -> None:
    line = f"{key} = {value}"
    text = re.sub(rf"(?m)^{key} = .*$", line, ENTRY) if f"\n{key} =" in f"\n{ENTRY}" else ENTRY
    if key == "citation":
        text = ENTRY.replace('card = "corpus.md"', line)
    if (key, value) == ("size", "7"):
        assert registry.parse(text, "lab.toml")[0].files[0].size == 7
    elif (key, value) == ("urls", "[1]"):
        assert "'urls' has 1, expected text" in refused(text)
    else:
        assert f"{key!r} is" in refused(text)


BAD = [
    ("format = 1", "format = 2", "'format' is 2, expected 1"),
    ("format = 1", "format = 2\nnovel = 1", "'format' is 2, expected 1"),
    ("format = 1", "", "the key 'format' is missing"),
    ("format = 1", "format = 1\nextra = 1", "the key 'extra' is unknown"),
    ("format = 1", "format = = 1", "not TOML"),
    ("format = 1", "format = " + "[" * 50_000, "not TOML"),
    ('name = "corpus"', 'name = "corpus"\nname = "corpus"', "not TOML"),
    ('name = "corpus"\n', "", "the key 'name' is missing"),
    ('name = "corpus"', 'name = "Corpus"', "'name' is 'Corpus', expected lower-case"),
    ('name = "corpus"', 'name = "../corpus"', "'name' is"),
    ('name = "corpus"', 'name = ".corpus"', "'name' is"),
    ('name = "corpus"', 'name = ""', "'name' is"),
    ('name = "corpus"', 'name = "a/b"', "'name' is"),
    ('name = "corpus"', f'name = "{"a" * 101}"', "'name' is"),
    ('version = "1"', 'version = ".."', "'version' is"),
    ('version = "1"', 'version = "1\\n"', "'version' is"),
    ('title = "A corpus"', 'title = "\\u001b[2J"', "'title' is"),
    ('title = "A corpus"', 'title = " "', "'title' is"),
    ('title = "A corpus"', 'title = "a\\nb"', "'title' is"),
    ('kind = "archive"', 'kind = "zip"', "'kind' is 'zip', expected 'archive' or 'nds'"),
    ('license = "CC0-1.0"', 'licence = "CC0-1.0"', "the key 'licence' is unknown"),
    ('license = "CC0-1.0"\n', "", "the key 'license' is missing"),
    ('card = "corpus.md"', 'card = "cards/corpus.md"', "'card': 'cards/corpus.md' is no http"),
    ('card = "corpus.md"', 'card = "javascript:alert(1)"', "'card'"),
    ('card = "corpus.md"', 'citation = "a\\u0007"', "'citation' is"),
    ('card = "corpus.md"', 'members = { "a.json" = "00" }', "'members' belong to kind 'nds'"),
    ('name = "corpus.h5"', 'name = "a/corpus.h5"', "'name' is 'a/corpus.h5', expected the plain name"),
    ('name = "corpus.h5"', 'name = "..\\\\corpus.h5"', "expected the plain name"),
    ('name = "corpus.h5"', 'name = ".."', "expected the plain name"),
    ('name = "corpus.h5"', 'path = "corpus.h5"', "the key 'path' is unknown"),
    ('"corpus.h5", "https', '"ftp://example.org/corpus.h5", "https', "no http:// or https:// address"),
    ('"corpus.h5", "https', '"file:///etc/passwd", "https', "no http:// or https:// address"),
    ('"corpus.h5", "https', '"../corpus.h5", "https', "no http:// or https:// address"),
    ('"corpus.h5", "https', '"http://", "https', "no http:// or https:// address"),
    ('"corpus.h5", "https', '"http://a b/", "https', "no http:// or https:// address"),
    ('"corpus.h5", "https', '"http://a:port/", "https', "no http:// or https:// address"),
    ('"corpus.h5", "https', '"http://[a/", "https', "no http:// or https:// address"),
    ('"corpus.h5", "https', '"corpus.h5", "corpus.h5", "https', "'urls' has an address twice"),
    ('["corpus.h5", "https://example.org/mirror/corpus.h5"]', "[]", "'urls' is empty"),
    ("00112233445566778899aabbccddeeff0", "0", "'sha256' is"),
    ("00112233445566778899aabbccddeeff0", "00112233445566778899AABBCCDDEEFF0", "lower case"),
    ("size = 12", "size = 0", "'size' is 0"),
    ("size = 12", "size = -1", "'size' is -1"),
    ("size = 12", "size = 12\nmd5 = 'a'", "the key 'md5' is unknown"),
    ("size = 12", 'size = 12\n[[archive.files]]\nname = "b"\nurls = ["b"]', "'files' has 2, expected 1"),
]


@pytest.mark.parametrize(("old", "new", "why"), BAD)
def test_a_broken_rule_is_refused_with_the_key(old: str, new: str, why: str) -> None:
    assert ENTRY.count(old) == 1
    assert why in refused(ENTRY.replace(old, new))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the key 'format' is missing"),
        ("format = 1", "the key 'archive' is missing"),
        ("format = 1\narchive = 3", "'archive' is 3, expected a list"),
        ("format = 1\narchive = [3]", "'archive' number 1 is 3, expected a table"),
        (ENTRY + ENTRY[ENTRY.index("[[archive]]") :], "'name' is 'corpus' twice"),
        (ENTRY.split("[[archive.files]]")[0], "the key 'files' is missing"),
        (ENTRY.split("[[archive.files]]")[0].replace('version = "1"', 'version = "1"\nfiles = []'), "'files' has 0"),
        (ENTRY.replace('"archive"', '"nds"') + '[archive.members]\n"a.json" = "0f"', "'members' has '0f' for 'a.json'"),
        (ENTRY.replace('"archive"', '"nds"') + '[archive.members]\n"a.json" = 1', "'members' has 1 for 'a.json'"),
    ],
)
def test_what_is_no_registry_is_refused(text: str, why: str) -> None:
    assert why in refused(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(EdfkitError):
        assert registry.parse(f"format = 1\narchive = []\n{text}", "x") == []


# --- Registries of others


def test_a_file_adds_its_entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(ENTRY)
    (tmp_path / "b c.toml").write_text(ENTRY.replace("corpus", "other"))
    monkeypatch.setenv("EDFKIT_REGISTRY", f" {tmp_path / 'a.toml'}, {tmp_path / 'b c.toml'},")
    assert [entry.name for entry in registry.entries()] == ["nds", "digits", "corpus", "other"]
    assert registry.find("other").registry == str(tmp_path / "b c.toml")


@pytest.mark.parametrize("name", ["nds", "digits", "corpus"])
def test_a_name_that_is_taken_is_refused(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(ENTRY)
    (tmp_path / "b.toml").write_text(ENTRY.replace('"corpus"', f'"{name}"'))
    monkeypatch.setenv("EDFKIT_REGISTRY", f"{tmp_path / 'a.toml'},{tmp_path / 'b.toml'}")
    with pytest.raises(EdfkitError, match=rf"b\.toml: the name '{name}' is taken by an entry of .*\.toml; give this"):
        registry.entries()
    assert registry.find("nds").registry == str(registry.BUILT_IN)


def test_a_name_that_no_registry_has_is_refused() -> None:
    with pytest.raises(EdfkitError, match="No registry has an archive 'else'; there is nds, digits, and"):
        registry.find("else")


def test_a_registry_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDFKIT_REGISTRY", str(tmp_path / "none.toml"))
    with pytest.raises(EdfkitError, match=r"none\.toml cannot be read \(No such file.*correct EDFKIT_REGISTRY"):
        registry.entries()
    monkeypatch.setenv("EDFKIT_REGISTRY", str(tmp_path))
    with pytest.raises(EdfkitError, match="cannot be read"):
        registry.entries()
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("EDFKIT_REGISTRY", str(tmp_path / "latin.toml"))
    with pytest.raises(EdfkitError, match="not UTF-8"):
        registry.entries()
    monkeypatch.setenv("EDFKIT_REGISTRY", "s3://bucket/lab.toml")
    with pytest.raises(EdfkitError, match="no http:// or https:// address"):
        registry.entries()


def test_an_address_is_asked_each_time(lab: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDFKIT_REGISTRY", f"{lab.url}/lab.toml")
    assert registry.find("corpus").title == "A corpus"
    lab.content = {"lab.toml": ENTRY.replace("A corpus", "Another").encode()}
    assert registry.find("corpus").title == "Another"
    assert len(list((tmp_path / "data" / ".registries").iterdir())) == 1  # the copy, and nothing else


def test_the_built_in_names_need_no_other_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDFKIT_REGISTRY", "http://127.0.0.1:9/lab.toml,/nowhere.toml")
    assert registry.find("nds").name == "nds"


def test_the_kept_copy_is_used_when_the_address_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve({"lab.toml": ENTRY.encode()}) as server:
        monkeypatch.setenv("EDFKIT_REGISTRY", f"{server.url}/lab.toml")
        server.first(Fault(status=404))
        with pytest.raises(EdfkitError, match=r"lab\.toml cannot be read, and no copy of it has been kept"):
            registry.entries()
        assert [entry.name for entry in registry.entries(ask=False)] == ["nds", "digits"]
        before = registry.entries()
        assert capsys.readouterr().err == ""
        server.first(Fault(status=500))
        assert registry.entries() == before
        assert "the copy kept of the registry" in capsys.readouterr().err
        asked = len(server.requests)
        monkeypatch.setenv("EDFKIT_OFFLINE", "1")
        assert registry.entries() == before
        assert "EDFKIT_OFFLINE is set" in capsys.readouterr().err
        assert registry.entries(ask=False) == before
        assert capsys.readouterr().err == ""
        assert len(server.requests) == asked
        monkeypatch.delenv("EDFKIT_OFFLINE")
    assert registry.entries() == before  # the server is gone
    assert "the copy kept of the registry" in capsys.readouterr().err


def test_a_page_in_place_of_a_registry_does_not_become_the_kept_copy(
    lab: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDFKIT_REGISTRY", f"{lab.url}/lab.toml")
    before = registry.entries()
    lab.content = {"lab.toml": b"<html>Please log in</html>"}
    with pytest.raises(EdfkitError, match=r"lab\.toml is not a registry"):
        registry.entries()
    assert registry.entries(ask=False) == before


def test_a_registry_too_large_is_not_read(lab: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDFKIT_REGISTRY", f"{lab.url}/lab.toml")
    lab.content = {"lab.toml": ENTRY.encode() + b"#" * 2**20}
    with pytest.raises(EdfkitError, match="cannot be read"):
        registry.entries()
