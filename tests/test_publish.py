"""What is to be uploaded of an archive: whole, the same each time, and of use by its registry alone."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server import serve

from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.datasets import BUNDLED, fetch, load, registry, store
from edfkit.datasets.publish import publish

DIGITS = BUNDLED["digits"]
ATTRS = {
    "title": "Models of a lab",
    "source": "a lab, by its own code",
    "license": "not stated",
    "dataset": "CIFAR-10",
    "recipe": '{"epochs": 3, "lr": 0.1, "schedule": "cosine"}',
    "software": "torch 2.0",
    "commit": "unknown",
    "created": "2026-01-02",
}


def population(models: int = 8, *, epochs: int = 3, **columns: Any) -> dict[str, Any]:
    rng = np.random.default_rng(models)
    curve = rng.integers(500, 9_000, (models, epochs)) / 100
    return {
        "id": [f"m{i}" for i in range(models)],
        "error": curve.min(axis=1),
        "error_final": curve[:, -1],
        "params": np.arange(models) * 1000 + 1000,
        "macs": np.full(models, np.nan),
        "flops": np.arange(models) * 10.0**6 + 10.0**6,
        "acts": np.where(np.arange(models) % 2, np.nan, 7.0),
        "seed": np.ones(models, int),
        "lr": np.full(models, 0.1),
        "wd": np.full(models, 5e-4),
        "status": np.zeros(models, int),
        "seconds": np.full(models, np.nan),
        "test_error": curve,
    } | columns


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDFKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("EDFKIT_REGISTRY", "EDFKIT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Make an archive that leaves much unsaid: 12 models of `a`, 8 of `b`."""
    status = np.array([0] * 8 + [1] * 3 + [2])
    write(
        tmp_path / "lab.h5",
        {"a": population(12, status=status), "b": population(8, depth=np.full((8, 3), 2))},
        ATTRS,
        {"a": {"bounds": '{"params": 15000, "macs": 2.5e6}', "bound_rule": "or", "models_planned": 20}},
    )
    return tmp_path / "lab.h5"


def read(path: Path) -> dict[str, dict[str, Any]]:
    with Archive(path) as opened:
        return {name: {v: opened.read(name, v) for v in opened.variables(name)} for name in opened.names}


def card_of(folder: Path) -> list[str]:
    (card,) = folder.glob("*.md")
    return card.read_text(encoding="utf-8").splitlines()


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(EdfkitError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# --- The round trip


@pytest.mark.parametrize("remote", [True, False])
def test_what_is_published_is_had_by_its_registry(
    remote: bool, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = publish(lab, tmp_path / "out", name="lab-corpus", version="1.0", license="CC-BY-4.0", citation="Lab (2026)")
    assert [file.name for file in files] == ["lab-corpus.h5", "lab-corpus.toml", "lab-corpus.md", "SHA256SUMS"]
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    with serve(tmp_path / "out") as server:
        where = f"{server.url}/lab-corpus.toml" if remote else str(files[1])
        monkeypatch.setenv("EDFKIT_REGISTRY", where)
        entry = registry.find("lab-corpus")
        assert (entry.title, entry.version) == ("Models of a lab", "1.0")
        assert (entry.license, entry.citation) == ("CC-BY-4.0", "Lab (2026)")
        assert entry.card.endswith("lab-corpus.md")
        path = fetch("lab-corpus")
    assert path.read_bytes() == lab.read_bytes()
    with load("lab-corpus") as opened:
        assert opened.names == ["a", "b"]
    before, after = read(lab), read(path)
    assert before.keys() == after.keys()
    for name in before:
        for variable, values in before[name].items():
            np.testing.assert_array_equal(after[name][variable], values)
    assert store.check("lab-corpus").path == path


def test_a_second_address_is_tried(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve({"far/name.h5": lab.read_bytes()}) as server:
        urls = [f"{server.url}/gone.h5", f"{server.url}/far/name.h5"]
        files = publish(lab, tmp_path / "out", name="x", version="1", license="MIT", urls=urls)
        monkeypatch.setenv("EDFKIT_REGISTRY", str(files[1]))
        assert registry.find("x").files[0].urls == tuple(urls)
        assert fetch("x").read_bytes() == lab.read_bytes()


@pytest.mark.parametrize(
    "text", ['a "quoted" \\ back', "é 😀 \u2028", "tab\tand\nline", "'''", '"""', "# not a comment"]
)
def test_any_text_comes_back(text: str, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    citation = text.replace("\t", " ").replace("\u2028", "")
    files = publish(lab, tmp_path / "out", name="x", version="1", license="MIT", citation=citation)
    monkeypatch.setenv("EDFKIT_REGISTRY", str(files[1]))
    assert registry.find("x").citation == citation


def test_sums_are_those_that_sha256sum_checks(lab: Path, tmp_path: Path) -> None:
    publish(lab, tmp_path / "out", name="x", version="1", license="MIT")
    lines = (tmp_path / "out" / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["x.h5", "x.md", "x.toml"]
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path / "out", check=True)


def test_the_same_archive_gives_the_same_bytes(lab: Path, tmp_path: Path) -> None:
    options = {"name": "x", "version": "1", "license": "MIT", "notes": "Made for a test."}
    first, second = (publish(lab, tmp_path / folder, **options) for folder in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    times = [file.stat().st_mtime_ns for file in first]
    assert publish(lab, tmp_path / "a", **options) == first  # there already
    assert [file.stat().st_mtime_ns for file in first] == times


# --- The data card


def test_the_card_of_an_archive_that_says_little(lab: Path, tmp_path: Path) -> None:
    publish(lab, tmp_path / "out", name="x", version="1.0", license="MIT", notes="## More\n\nOf the lab.")
    lines = card_of(tmp_path / "out")
    assert lines[0] == "# Data card: x 1.0"
    digest = hashlib.sha256(lab.read_bytes()).hexdigest()
    a, b = read(lab)["a"]["error"], read(lab)["b"]["error"]
    for line in [
        "Models of a lab.",
        "| a | CIFAR-10 | 12 | 8 | 3 | 1 |",
        "| b | CIFAR-10 | 8 | 8 | 0 | 0 |",
        "| a | 1,000 to 12,000 | not stated | 1,000,000 to 12,000,000 | 7 |",
        f"| a | {a.min():.2f} | {np.median(a):.2f} | {a.max():.2f} |",
        f"| b | {b.min():.2f} | {np.median(b):.2f} | {b.max():.2f} |",
        "- Recipe: epochs 3, lr 0.1, schedule cosine",
        "- Epochs: 3",
        "- Made by: a lab, by its own code",
        "- Software: torch 2.0",
        "- Commit: not stated",
        "- Created: 2026-01-02",
        "- Bounds: params below 15,000, macs below 2,500,000 (or)",
        "- Bounds: not stated",
        "- a: `macs` is unknown for all models.",
        "- a: `acts` is unknown for 6 of 12 models.",
        "- a: `seconds` is unknown for all models.",
        "- a: no curves of train_error, train_loss.",
        "- a: the networks are not described.",
        "- a: 3 of 12 models diverged.",
        "- a: 1 of 12 models failed.",
        "- a: 12 of 20 models that were planned.",
        "- a: all models were trained with one seed, 1.",
        "- Licence: MIT",
        "- Citation: not stated",
        "## More",
        f"- `x.h5`, {lab.stat().st_size:,} bytes, an edfkit archive (HDF5, netCDF-4 layout)",
        f"- sha256 `{digest}`",
    ]:
        assert line in lines
    assert not any(line.startswith(("- b: the networks", "- b: 0", "- a: `params`")) for line in lines)
    assert not any(word in "\n".join(lines) for word in ("nan", "None", "TODO", "unknown\n"))


def test_the_card_of_the_bundled_archive_says_what_its_own_says(tmp_path: Path) -> None:
    publish(DIGITS, tmp_path / "out", name="x", version="1")
    lines = card_of(tmp_path / "out")
    own = DIGITS.with_suffix(".md").read_text(encoding="utf-8")
    assert "| resnet | 500 |" in own
    assert "| vanilla | 500 |" in own
    assert "| resnet | digits | 500 | 500 | 0 | 0 |" in lines
    assert "| vanilla | digits | 500 | 500 | 0 | 0 |" in lines
    assert "- Bounds: params below 300,000, macs below 6,000,000 (and)" in lines
    assert "- Epochs: 8" in lines
    assert "- Licence: CC0-1.0" in lines
    assert "- run_seeds: [1]" in lines


def test_recipes_that_differ_are_said_for_each_population(tmp_path: Path) -> None:
    no_curves = {key: values for key, values in population().items() if key != "test_error"}
    groups = {"a": {"recipe": '{"lr": 0.2}'}}
    write(tmp_path / "x.h5", {"a": population(epochs=5), "b": no_curves}, ATTRS | {"recipe": "{}"}, groups)
    publish(tmp_path / "x.h5", tmp_path / "out", name="x", version="1", license="MIT")
    lines = card_of(tmp_path / "out")
    assert "- Epochs of a: 5" in lines
    assert "- Epochs of b: not stated" in lines
    assert "- Recipe of a: lr 0.2" in lines
    assert "- Recipe of b: not stated" in lines


def test_what_was_forced_is_said(tmp_path: Path) -> None:
    write(tmp_path / "x.h5", {"a": population()}, ATTRS | {"forced": "recipes differ", "long": "x" * 5000})
    publish(tmp_path / "x.h5", tmp_path / "out", name="x", version="1", license="MIT")
    lines = card_of(tmp_path / "out")
    assert "- forced: recipes differ" in lines
    assert "- long: 5,000 characters, in the archive" in lines


# --- What is refused


def test_an_archive_without_license_is_refused(lab: Path, tmp_path: Path) -> None:
    def bare() -> object:
        return publish(lab, tmp_path / "out", name="x", version="1")

    def empty() -> object:
        return publish(lab, tmp_path / "out", name="x", version="1", license="")

    assert all("states no license" in refused(call) for call in (bare, empty))
    write(tmp_path / "b.h5", {"a": population()}, ATTRS | {"license": "Not stated for the data"})
    assert "states no license" in refused(lambda: publish(tmp_path / "b.h5", tmp_path / "out", name="x", version="1"))
    assert not (tmp_path / "out").exists()


def test_another_license_than_the_archives_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.h5", {"a": population()}, ATTRS | {"license": "CC0-1.0"})
    message = refused(lambda: publish(tmp_path / "x.h5", tmp_path / "out", name="x", version="1", license="MIT"))
    assert "states the license 'CC0-1.0' and 'MIT' was given" in message
    assert publish(tmp_path / "x.h5", tmp_path / "out", name="x", version="1", license="CC0-1.0")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"name": "X"}, "'name' is 'X'"),
        ({"name": "../x"}, "'name' is"),
        ({"name": "nds/x"}, "'name' is"),
        ({"version": "1 0"}, "'version' is"),
        ({"version": ""}, "'version' is"),
        ({"urls": ["ftp://a/b"]}, "no http:// or https:// address"),
        ({"urls": [""]}, "no http:// or https:// address"),
        ({"license": "a\nb"}, "'license' is"),
        ({"citation": "a\x1b[0m"}, "'citation' is"),
        ({"citation": "a\x7f"}, "'citation' is"),
    ],
)
def test_what_no_registry_may_say_is_refused(options: dict[str, Any], why: str, lab: Path, tmp_path: Path) -> None:
    given = {"name": "x", "version": "1", "license": "MIT"} | options
    assert why in refused(lambda: publish(lab, tmp_path / "out", **given))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["nds", "digits"])
def test_the_names_of_edfkits_own_archives_are_refused(name: str, lab: Path, tmp_path: Path) -> None:
    message = refused(lambda: publish(lab, tmp_path / "out", name=name, version="1", license="MIT"))
    assert f"{name} is the name of an archive that edfkit knows" in message


def test_a_damaged_archive_is_refused(lab: Path, tmp_path: Path) -> None:
    lab.write_bytes(lab.read_bytes()[:-100])
    refused(lambda: publish(lab, tmp_path / "out", name="x", version="1", license="MIT"))
    refused(lambda: publish(tmp_path / "none.h5", tmp_path / "out", name="x", version="1", license="MIT"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab.h5"]


def test_a_folder_with_anything_else_is_refused(lab: Path, tmp_path: Path) -> None:
    options = {"name": "x", "version": "1", "license": "MIT"}
    out = tmp_path / "out"
    out.mkdir()
    files = publish(lab, out, **options)  # into an empty one
    for change in (
        lambda: files[2].write_text("# My own card"),
        lambda: (out / "more").write_text("more"),
        lambda: files[3].unlink(),
    ):
        publish(lab, out, **options)
        change()
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        assert "holds other files than those to be published" in refused(lambda: publish(lab, out, **options))
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        shutil.rmtree(out)
    (tmp_path / "file").write_text("a file")
    assert "file" in refused(lambda: publish(lab, tmp_path / "file", **options))
    assert (tmp_path / "file").read_text() == "a file"


def test_a_full_disk_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    message = refused(lambda: publish(DIGITS, small_disk / "out", name="x", version="1"))
    assert "No space left on device; give another place" in message
    assert list(small_disk.iterdir()) == []


def test_the_file_stays_what_it_was_when_the_archive_is_written_again(lab: Path, tmp_path: Path) -> None:
    published = publish(lab, tmp_path / "out", name="x", version="1", license="MIT")[0]
    before = published.read_bytes()
    write(lab, {"a": population(5)}, ATTRS)
    assert published.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="making a link takes a right there")
def test_a_link_to_an_archive_is_published_as_the_file(lab: Path, tmp_path: Path) -> None:
    os.symlink(lab, tmp_path / "link.h5")
    published = publish(tmp_path / "link.h5", tmp_path / "out", name="x", version="1", license="MIT")[0]
    assert not published.is_symlink()
    assert published.read_bytes() == lab.read_bytes()
