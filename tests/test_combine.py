"""Archives joined and cut: what comes out is what went in, and what does not go together is refused."""

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive import Archive, Field, Variable, netcdf, reader, validate, write, writer, writing
from edfkit.archive.combine import merge, subset
from edfkit.archive.files import Disk
from edfkit.archive.schema import REQUIRED_ATTRS, STATUS

ATTRS = {name: f"the {name}" for name in REQUIRED_ATTRS} | {"recipe": '{"epochs": 12}', "created": "2024-01-02"}

Population = dict[str, Any]


def population(models: int, seed: int = 0, prefix: str = "m", epochs: int = 4) -> Population:
    rng = np.random.default_rng(seed)
    curve = rng.integers(500, 9_000, (models, epochs)) / 100
    status = rng.choice(3, models, p=(0.8, 0.1, 0.1))
    return {
        "id": [f"{prefix}{i}" for i in range(models)],
        "error": curve.min(axis=1),
        "error_final": curve[:, -1],
        "params": rng.integers(1_000, 100_000, models),
        "macs": rng.integers(10**6, 10**9, models),
        "flops": rng.uniform(1e6, 1e9, models),
        "acts": np.full(models, np.nan),
        "seed": np.arange(models),
        "lr": np.full(models, 0.1),
        "wd": np.full(models, 5e-4),
        "status": status,
        "seconds": rng.uniform(1, 100, models),
        "test_error": curve,
        "depth": rng.integers(1, 9, (models, 3)),
    }


def part(whole: Population, models: slice) -> Population:
    return {name: np.asarray(values)[models] for name, values in whole.items()}


def read(path: Path) -> dict[str, dict[str, Any]]:
    with Archive(path) as opened:
        return {name: {v: opened.read(name, v) for v in opened.variables(name)} for name in opened.names}


def same(a: dict[str, dict[str, Any]], b: dict[str, dict[str, Any]], variables: set[str] | None = None) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].keys() == b[name].keys()
        for variable in a[name]:
            np.testing.assert_array_equal(np.asarray(a[name][variable]), np.asarray(b[name][variable]))


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(EdfkitError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an archive of some models be read and written in many pieces."""
    monkeypatch.setattr(reader, "_PIECE_BYTES", 2_000)
    monkeypatch.setattr(writer, "_CHUNK_BYTES", 512)


# --- Merge


def test_populations_of_other_names_stand_side_by_side(tmp_path: Path) -> None:
    a, b, c = population(7, 1), population(5, 2), population(3, 3)
    write(tmp_path / "a.h5", {"x": a, "z": c}, ATTRS, {"x": {"space": "X"}})
    write(tmp_path / "b.h5", {"y": b}, ATTRS | {"created": "2025-01-01", "software": "torch; numpy"})
    assert merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5") == {"x": 7, "y": 5, "z": 3}
    same(read(tmp_path / "c.h5"), {"x": read_of(a, tmp_path), "y": read_of(b, tmp_path), "z": read_of(c, tmp_path)})
    with Archive(tmp_path / "c.h5") as opened:
        assert opened.attrs["created"] == "2025-01-01"
        assert opened.attrs["software"] == "numpy; the software; torch"
        assert opened.attrs["license"] == "the license"
        assert "forced" not in opened.attrs
        assert opened.group_attrs("x") == {"space": "X"}
        assert opened.group_attrs("y") == {}


def read_of(columns: Population, folder: Path) -> dict[str, Any]:
    write(folder / "one.h5", {"x": columns}, ATTRS)
    return read(folder / "one.h5")["x"]


@pytest.mark.usefixtures("small_pieces")
def test_parts_of_one_name_are_joined_as_if_written_whole(tmp_path: Path) -> None:
    whole = population(700)
    cuts = [slice(0, 100), slice(100, 101), slice(101, 700)]
    for i, cut in enumerate(cuts):
        attrs: dict[str, Any] = {"space": "S", "run_seeds": f"[{i}]", "models_planned": 10 + i}
        write(tmp_path / f"{i}.h5", {"x": part(whole, cut)}, ATTRS, {"x": attrs})
    assert merge([tmp_path / f"{i}.h5" for i in range(3)], tmp_path / "m.h5") == {"x": 700}
    joined: dict[str, str | int | float] = {"space": "S", "run_seeds": "[0, 1, 2]", "models_planned": 33}
    write(tmp_path / "whole.h5", {"x": whole}, ATTRS, {"x": joined})
    same(read(tmp_path / "m.h5"), read(tmp_path / "whole.h5"))
    with Archive(tmp_path / "m.h5") as found, Archive(tmp_path / "whole.h5") as expected:
        assert found.attrs == expected.attrs
        assert found.group_attrs("x") == expected.group_attrs("x")
        for variable in expected.variables("x"):
            assert repr(found.field("x", variable)) == repr(expected.field("x", variable))
    before = (tmp_path / "m.h5").read_bytes()
    merge([tmp_path / f"{i}.h5" for i in range(3)], tmp_path / "m.h5")
    assert (tmp_path / "m.h5").read_bytes() == before
    merge([tmp_path / "m.h5", tmp_path / "0.h5", tmp_path / "2.h5"], tmp_path / "m.h5")
    assert (tmp_path / "m.h5").read_bytes() == before  # what it has already adds neither models nor runs


def test_what_is_not_known_is_nan(tmp_path: Path) -> None:
    a, b = population(3, 1, "a", epochs=2), population(2, 2, "b", epochs=4)
    a |= {"train_loss": np.ones((3, 2)), "memory": np.arange(3.0), "heat": Variable(np.arange(3.0))}
    a["seed"] = np.array([1.5, 2, 3])
    b |= {"epoch": Variable(np.arange(1, 5), ("epoch",)), "bot_mul": np.ones((2, 3))}
    a |= {"epoch": Variable(np.arange(1, 3), ("epoch",))}
    write(tmp_path / "a.h5", {"x": a}, ATTRS)
    write(tmp_path / "b.h5", {"x": b}, ATTRS)
    merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5")
    found = read(tmp_path / "c.h5")["x"]
    nan = np.nan
    np.testing.assert_array_equal(found["memory"], [0, 1, 2, nan, nan])
    np.testing.assert_array_equal(found["heat"], [0, 1, 2, nan, nan])
    np.testing.assert_array_equal(found["seed"], [1.5, 2, 3, 0, 1])
    np.testing.assert_array_equal(found["epoch"], [1, 2, 3, 4])
    np.testing.assert_array_equal(found["train_loss"], [[1, 1, nan, nan]] * 3 + [[nan] * 4] * 2)
    np.testing.assert_array_equal(found["bot_mul"], [[nan] * 3] * 3 + [[1] * 3] * 2)
    np.testing.assert_array_equal(found["test_error"][:3, :2], a["test_error"])
    assert np.isnan(found["test_error"][:3, 2:]).all()


def test_packings_are_joined_where_they_can_be(tmp_path: Path) -> None:
    """Curves of 2 and 6 decimals become such of 6, unless their numbers are too large for that."""
    a, b, c = population(3, 1, "a"), population(3, 2, "b"), population(3, 3, "c")
    a["train_loss"], b["train_loss"] = np.full((3, 4), 1.25), np.full((3, 4), 0.123456)
    c["train_loss"] = np.full((3, 4), 1e5 + 0.25)
    for name, columns in (("a", a), ("b", b), ("c", c)):
        write(tmp_path / f"{name}.h5", {"x": columns}, ATTRS)
    for names, dtype, decimals in (("ab", "<i4", 6), ("bc", "<f8", None), ("ac", "<i4", 2)):
        merge([tmp_path / f"{name}.h5" for name in names], tmp_path / "m.h5")
        with Archive(tmp_path / "m.h5") as opened:
            described = opened.field("x", "train_loss")
            assert (described.dtype, described.decimals) == (np.dtype(dtype), decimals)
            expected = np.concatenate([{"a": a, "b": b, "c": c}[name]["train_loss"] for name in names])
            np.testing.assert_array_equal(opened.read("x", "train_loss"), expected)


@pytest.mark.usefixtures("small_pieces")
def test_a_model_that_comes_twice_is_taken_once(tmp_path: Path) -> None:
    whole = population(300)
    write(tmp_path / "a.h5", {"x": part(whole, slice(0, 200))}, ATTRS)
    write(tmp_path / "b.h5", {"x": part(whole, slice(100, 300))}, ATTRS)
    write(tmp_path / "w.h5", {"x": whole}, ATTRS)
    assert merge([tmp_path / "a.h5", tmp_path / "b.h5", tmp_path / "a.h5"], tmp_path / "c.h5") == {"x": 300}
    same(read(tmp_path / "c.h5"), read(tmp_path / "w.h5"))
    other = part(whole, slice(150, 160))
    other["seconds"][3] += 1
    write(tmp_path / "b.h5", {"x": other}, ATTRS)
    message = refused(lambda: merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "d.h5", force=True))
    assert "The id 'm153' stands for two models that differ" in message
    assert not (tmp_path / "d.h5").exists()


def test_ids_whose_hashes_are_equal_by_chance_stay_two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.h5", {"x": population(5, 1, "a")}, ATTRS)
    write(tmp_path / "b.h5", {"x": population(5, 2, "b")}, ATTRS)
    same_hash = Archive.id_hashes
    monkeypatch.setattr(Archive, "id_hashes", lambda *arguments: same_hash(*arguments) % 3)
    assert merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5") == {"x": 10}


def test_the_target_may_be_a_source(tmp_path: Path) -> None:
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    write(a, {"x": population(5, 1, "a")}, ATTRS)
    write(b, {"x": population(4, 2, "b")}, ATTRS)
    merge([a, b], tmp_path / "c.h5")
    merge([a, b], a)
    assert a.read_bytes() == (tmp_path / "c.h5").read_bytes()
    assert subset(a, a, models=3) == {"x": 3}
    validate(a)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5", "c.h5"]


def test_other_data_sets_and_recipes_are_refused_unless_forced(tmp_path: Path) -> None:
    a, b, c = (tmp_path / f"{name}.h5" for name in "abc")
    write(a, {"x": population(5, 1, "a")}, ATTRS, {"x": {"space": "S"}})
    other = ATTRS | {"dataset": "cifar10", "recipe": '{"epochs": 3}', "title": "b"}
    write(b, {"x": population(4, 2, "b"), "y": population(3, 3)}, other, {"x": {"space": "T"}})
    assert "The dataset of what is to be merged is not one: the dataset and cifar10" in refused(
        lambda: merge([a, b], c)
    )
    assert not c.exists()
    assert merge([a, b], c, force=True) == {"x": 9, "y": 3}
    with Archive(c) as opened:
        assert opened.attrs["title"] == "the title; b"
        assert opened.dataset("x") == "the dataset; cifar10"
        assert opened.recipe("x") == [{"epochs": 12}, {"epochs": 3}]
        assert (opened.dataset("y"), opened.recipe("y")) == ("cifar10", {"epochs": 3})
        assert json.loads(opened.attrs["forced"]) == [
            {"what": "dataset", "values": ["the dataset", "cifar10"]},
            {"what": "recipe", "values": [{"epochs": 12}, {"epochs": 3}]},
            {"what": "space of x", "values": ["S", "T"]},
        ]
    # What differs within an archive differs when it is merged again, unless it is cut out.
    assert "The dataset" in refused(lambda: merge([c], tmp_path / "d.h5"))
    subset(c, tmp_path / "y.h5", spaces=["Y"])
    merge([tmp_path / "y.h5"], tmp_path / "d.h5")
    with Archive(tmp_path / "d.h5") as opened:
        assert opened.attrs["dataset"] == "cifar10"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"depth": np.ones((3, 2), int), "stage": None}, "'depth' has length 3 along 'stage'"),
        ({"depth": None}, "lacks 'depth', which x of"),
        ({"heat": ["a", "b", "c"]}, "lacks 'heat'"),
        ({"kind": np.arange(3.0)}, "'kind' is text along ('model',) in"),
        ({"kind": Variable(["a"] * 3, attrs={"units": "m"})}, "'kind' has the units '1' in"),
        ({"kind": Variable(["a"] * 3, attrs={"long_name": "sort"})}, "The long_name of kind of x of what"),
        ({"stage": Variable([1, 2, 4], ("stage",))}, "'stage' of x of"),
    ],
)
def test_variables_that_do_not_go_together_are_refused(tmp_path: Path, change: Population, expected: str) -> None:
    more: Population = {"kind": ["a", "b", "c"], "stage": Variable([1, 2, 3], ("stage",))}
    write(tmp_path / "a.h5", {"x": population(3, 1, "a") | more}, ATTRS)
    changed = {k: v for k, v in (population(3, 2, "b") | more | change).items() if v is not None}
    write(tmp_path / "b.h5", {"x": changed}, ATTRS)
    assert expected in refused(lambda: merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5"))
    assert not (tmp_path / "c.h5").exists()


def test_no_source_is_refused(tmp_path: Path) -> None:
    assert "No archive to merge was given" in refused(lambda: merge([], tmp_path / "c.h5"))
    assert "does not exist" in refused(lambda: merge([tmp_path / "absent.h5"], tmp_path / "c.h5"))


# --- Subset


@pytest.fixture
def two(tmp_path: Path) -> Path:
    path = tmp_path / "two.h5"
    write(path, {"a": population(200, 1), "b": population(100, 2)}, ATTRS, {"a": {"space": "A"}})
    return path


def test_models_are_chosen_by_space_range_and_status(two: Path, tmp_path: Path) -> None:
    whole = read(two)["a"]
    low, high = np.sort(whole["params"])[[50, 150]].tolist()
    options: dict[str, Any] = {"spaces": ["A"], "range": (low, high), "status": ["failed", "finished"]}
    mask = (whole["params"] >= low) & (whole["params"] <= high) & (whole["status"] != 1)
    assert subset(two, tmp_path / "s.h5", **options) == {"a": mask.sum()}
    same(read(tmp_path / "s.h5"), {"a": {name: values[mask] for name, values in whole.items()}})
    with Archive(tmp_path / "s.h5") as opened:
        assert json.loads(opened.attrs["subset"]) == {
            "spaces": ["a"],
            "given": "params",
            "range": [low, high],
            "status": ["finished", "failed"],
        }
        assert opened.group_attrs("a") == {"space": "A"}
    write(tmp_path / "l.h5", {"a": population(20, 1), "b": population(10, 2)}, ATTRS, {"a": {"label": "A (ours)"}})
    assert subset(tmp_path / "l.h5", tmp_path / "l.h5", spaces=["a (OURS)"]) == {"a": 20}
    subset(tmp_path / "s.h5", tmp_path / "t.h5", models=5, seed=3)
    with Archive(tmp_path / "t.h5") as opened:
        record = json.loads(opened.attrs["subset"])
        assert (record["models"], record["seed"], record["of"]["range"]) == (5, 3, [low, high])


def test_a_draw_is_the_same_for_the_same_seed_whatever_the_pieces(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subset(two, tmp_path / "a.h5", models=20, seed=1)
    monkeypatch.setattr(reader, "_PIECE_BYTES", 500)
    subset(two, tmp_path / "b.h5", models=20, seed=1)
    subset(two, tmp_path / "c.h5", models=20, seed=2)
    subset(two, tmp_path / "d.h5", models=20, seed=1, spaces=["b"])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    drawn = {name: read(tmp_path / f"{name}.h5")["b"]["seed"].tolist() for name in "acd"}
    assert drawn["a"] == drawn["d"] == sorted(drawn["a"])
    assert drawn["a"] != drawn["c"]
    assert len(set(drawn["a"])) == 20


def test_every_model_is_drawn_as_often_as_the_others(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", {"x": population(10)}, ATTRS)
    counts = np.zeros(10)
    for seed in range(20):
        subset(tmp_path / "a.h5", tmp_path / "s.h5", models=5, seed=seed)
        counts[read(tmp_path / "s.h5")["x"]["seed"]] += 1
    assert counts.sum() == 100
    assert (np.abs(counts - 10) < 4.5 * np.sqrt(20 / 4)).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"spaces": ["c"]}, "has no population 'c'; choose from 'a', 'b'"),
        ({"spaces": []}, "No space was given"),
        ({"range": (1e9, 2e9)}, "0 of 200 models of a are left"),
        ({"models": 150}, "100 of 100 models of b are left, expected 150 or more"),
        ({"given": "acts", "range": (0, 1e12)}, "0 of 200 models of a are left"),
        ({"given": "depth"}, "The complexity 'depth' was given"),
        ({"range": (2, 1)}, "The range 2 to 1 was given"),
        ({"range": (float("nan"), 1)}, "The range nan to 1 was given"),
        ({"status": ["done"]}, "The status ['done'] was given"),
        ({"status": []}, "The status [] was given"),
        ({"models": 0}, "0 models were asked for"),
        ({"seed": -1}, "The seed -1 was given"),
    ],
)
def test_a_choice_of_nothing_is_refused(two: Path, tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    assert expected in refused(lambda: subset(two, tmp_path / "s.h5", **options))
    assert not (tmp_path / "s.h5").exists()


def test_a_full_disk_leaves_nothing(two: Path, small_disk: Path, tmp_path: Path) -> None:
    write(tmp_path / "more.h5", {"c": population(9_000, 3)}, ATTRS)
    message = refused(lambda: merge([two, tmp_path / "more.h5"], small_disk / "m.h5"))
    assert "was not written (No space left on device)" in message
    assert list(small_disk.iterdir()) == []
    assert "No space left" in refused(lambda: subset(tmp_path / "more.h5", small_disk / "m.h5", range=(0, 1e9)))
    assert list(small_disk.iterdir()) == []


# --- Chunks that are copied


@pytest.fixture
def other_level(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Have archives compressed less until it is called, so that chunks which are not compressed again can be told."""
    level = netcdf._LEVEL
    monkeypatch.setattr(netcdf, "_LEVEL", 1)
    netcdf._chunked_plist.cache_clear()

    def usual_level() -> None:
        monkeypatch.setattr(netcdf, "_LEVEL", level)
        netcdf._chunked_plist.cache_clear()

    yield usual_level
    usual_level()


def stored_chunks(dataset: Any) -> list[bytes]:
    found: list[Any] = []
    dataset.chunk_iter(found.append)
    return [dataset.read_direct_chunk(chunk.chunk_offset)[1] for chunk in found]


def chunks(path: Path, name: str) -> dict[str, list[bytes]]:
    """Read the chunks of each variable of a population, as stored."""
    with h5py.File(path) as file:
        chunked = {variable: item for variable, item in file[name].items() if item.chunks}
        return {variable: stored_chunks(item.id) for variable, item in chunked.items()}


def joined(group: h5py.Group) -> dict[str, Any]:
    """Tell which dimensions each variable names, and which variables each dimension."""
    names: dict[str, Any] = {}
    for name, item in group.items():
        names[name] = [[scale.name for scale in dim.values()] for dim in item.dims]
        if "REFERENCE_LIST" in item.attrs:
            axes = item.attrs["REFERENCE_LIST"].tolist()
            names[name] = [(group[reference].name, axis) for reference, axis in axes]
    return names


@pytest.mark.usefixtures("small_pieces")
def test_what_goes_over_unchanged_is_not_compressed_again(tmp_path: Path, other_level: Callable[[], None]) -> None:
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    more = {"kind": ["é", "b", "c"] * 100, "stage": Variable([1, 2, 3], ("stage",))}
    write(a, {"x": population(300, 1) | more, "z": population(200, 2)}, ATTRS, {"x": {"space": "X"}})
    write(b, {"y": population(20, 3)}, ATTRS)
    other_level()
    merge([a, b], tmp_path / "m.h5")
    subset(a, tmp_path / "s.h5", spaces=["X"], status=STATUS)
    for path, name, source in (("m.h5", "x", a), ("m.h5", "y", b), ("m.h5", "z", a), ("s.h5", "x", a)):
        assert chunks(tmp_path / path, name) == chunks(source, name)
        same({name: read(tmp_path / path)[name]}, {name: read(source)[name]})
        with Archive(tmp_path / path) as found, Archive(source) as expected:
            assert found.group_attrs(name) == expected.group_attrs(name)
            for variable in expected.variables(name):
                assert repr(found.field(name, variable)) == repr(expected.field(name, variable))
        validate(tmp_path / path)
    with h5py.File(tmp_path / "m.h5") as file:
        scales = [item for group in file.values() for item in group.values() if "CLASS" in item.attrs]
        assert sorted(scale.attrs["_Netcdf4Dimid"] for scale in scales) == list(range(len(scales)))
    for path, name, source in (("m.h5", "x", a), ("m.h5", "y", b), ("m.h5", "z", a)):
        with h5py.File(tmp_path / path) as file, h5py.File(source) as expected:
            assert joined(file[name]) == joined(expected[name])
        read_by_xarray = (xarray.load_dataset(p, group=name, engine="h5netcdf") for p in (tmp_path / path, source))
        xarray.testing.assert_identical(*read_by_xarray)
    before = (tmp_path / "m.h5").read_bytes()
    merge([a, b], tmp_path / "m.h5")
    assert (tmp_path / "m.h5").read_bytes() == before
    subset(a, tmp_path / "few.h5", spaces=["x"], models=299)
    assert not set(chunks(tmp_path / "few.h5", "x")["flops"]) & set(chunks(a, "x")["flops"])


@pytest.mark.usefixtures("small_pieces")
def test_of_joined_parts_the_chunks_that_fit_are_copied(tmp_path: Path, other_level: Callable[[], None]) -> None:
    """Of 64 models each, where a model has 8 bytes: the last part begins within a chunk, and is compressed again."""
    whole, cuts = population(1_000, epochs=130), (0, 128, 500, 1_000)
    loss = np.random.default_rng(1).integers(0, 5_000_000, (1_000, 130)) / 10_000
    whole["train_loss"] = np.where(np.arange(1_000)[:, None] < 500, np.round(loss, 2), loss)  # packed in two ways
    constant = {"epoch": Variable(np.arange(130), ("epoch",))}
    for i, cut in enumerate(pairwise(cuts)):
        write(tmp_path / f"{i}.h5", {"x": part(whole, slice(*cut)) | constant}, ATTRS)
    write(tmp_path / "low.h5", {"x": whole | constant}, ATTRS)
    other_level()
    write(tmp_path / "usual.h5", {"x": whole | constant}, ATTRS)
    merge([tmp_path / f"{i}.h5" for i in range(3)], tmp_path / "m.h5")
    same(read(tmp_path / "m.h5"), read(tmp_path / "usual.h5"))
    found, low, usual = (chunks(tmp_path / path, "x")["flops"] for path in ("m.h5", "low.h5", "usual.h5"))
    assert not set(low) & set(usual)
    assert found == low[:7] + usual[7:]
    with h5py.File(tmp_path / "m.h5") as file, h5py.File(tmp_path / "usual.h5") as expected:
        for variable in whole:
            assert file["x"][variable].attrs["crc32"].tolist() == expected["x"][variable].attrs["crc32"].tolist()


@pytest.mark.usefixtures("small_pieces")
def test_digests_of_other_rows_are_taken_anew(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", {"x": population(200)}, ATTRS)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        flops = file["x/flops"]
        assert (len(flops.attrs["crc32"]), flops.attrs["crc32_rows"]) == (4, 64)
        flops.attrs["crc32"] = np.array([zlib.crc32(flops[i : i + 50]) for i in range(0, 200, 50)], "<u4")
        flops.attrs["crc32_rows"] = [50]
    merge([tmp_path / "a.h5"], tmp_path / "m.h5")
    same(read(tmp_path / "m.h5"), read(tmp_path / "a.h5"))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("join", [False, True])
def test_another_fill_value_stands_for_nan(two: Path, tmp_path: Path, join: bool) -> None:
    """One that is a number of the curves here: copied as it is, it would come out as that number."""
    write(tmp_path / "more.h5", {"a": population(50, 9, prefix="n")}, ATTRS, {"a": {"space": "A"}})
    with h5py.File(two, "r+") as file:
        curves = file["a/test_error"]
        curves.attrs["_FillValue"] = np.array([curves[()].max()], np.int16)
    before = read(two)["a"]["test_error"]
    assert np.isnan(before).any()
    merge([two, tmp_path / "more.h5"] if join else [two], tmp_path / "m.h5")
    np.testing.assert_array_equal(read(tmp_path / "m.h5")["a"]["test_error"][:200], before)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("variable", ["id", "flops", "test_error", "depth"])
def test_a_damaged_chunk_is_not_copied(two: Path, tmp_path: Path, variable: str) -> None:
    with h5py.File(two) as file:
        chunk = file["b"][variable].id.get_chunk_info(0)
    data = bytearray(two.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    two.write_bytes(data)
    for action in (lambda: merge([two], tmp_path / "m.h5"), lambda: subset(two, tmp_path / "m.h5", spaces=["b"])):
        assert refused(action).startswith(f"{two}: population 'b': {variable!r} cannot be read")
        assert not (tmp_path / "m.h5").exists()
    subset(two, tmp_path / "m.h5", spaces=["a"])


NETCDF_KEEPS = ("DIMENSION_LIST", "_Netcdf4Coordinates", "_Netcdf4Dimid")
FILTERS: dict[str, Any] = {"shuffle": True, "compression": "gzip", "fletcher32": True}


def without_digests(file: h5py.File, name: str) -> None:
    del file[name].attrs["crc32"], file[name].attrs["crc32_rows"]


def without_checksum(file: h5py.File, name: str) -> None:
    _, data = file[name].id.read_direct_chunk((0,))
    file[name].id.write_direct_chunk((0,), data[:-4], 4)  # of the filters the third is skipped


def stored_anew(file: h5py.File, name: str, **options: Any) -> None:
    old = file[name]
    attrs, values, scales = dict(old.attrs), old[()], [file[dim[0].name] for dim in old.dims]
    for dim, scale in zip(old.dims, scales, strict=True):
        dim.detach_scale(scale)
    del file[name]
    new = file.create_dataset(name, data=values, **options)
    new.attrs.update({key: value for key, value in attrs.items() if key not in NETCDF_KEEPS})
    new.attrs["crc32"] = np.array([zlib.crc32(new[()])], "<u4")
    for dim, scale in zip(new.dims, scales, strict=True):
        dim.attach_scale(scale)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(without_digests, id="no digests"),
        pytest.param(without_checksum, id="no checksum"),
        pytest.param(stored_anew, id="no chunks"),
        pytest.param(partial(stored_anew, **FILTERS, chunks=(50,)), id="other chunks"),
        pytest.param(partial(stored_anew, chunks=(200,), fletcher32=True), id="other filters"),
        pytest.param(partial(stored_anew, **FILTERS, chunks=(200,), dtype=">f8"), id="other type"),
    ],
)
def test_what_is_stored_in_another_way_is_written_anew(
    two: Path, tmp_path: Path, change: Callable[[h5py.File, str], None]
) -> None:
    before = read(two)
    with h5py.File(two, "r+") as file:
        change(file, "a/flops")
    merge([two], tmp_path / "m.h5")
    same(read(tmp_path / "m.h5"), before)
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["a/flops"].fletcher32
        assert file["a/flops"].id.get_chunk_info(0).filter_mask == 0
        assert "crc32" in file["a/flops"].attrs


def has_a_text_without_checksum(file: h5py.File) -> None:
    file["a/flops"].attrs["comment"] = "of variable length"


def has_such_a_text_at_a_dimension(file: h5py.File) -> None:
    file["a/model"].attrs["comment"] = "of variable length"


def has_links(file: h5py.File) -> None:
    file["a"].create_group("more")["elsewhere"] = h5py.ExternalLink("other.h5", "/x")


def has_a_type(file: h5py.File) -> None:
    file["a/kind"] = np.dtype("<f8")


def does_not_say_where_it_belongs(file: h5py.File) -> None:
    del file["a/flops"].attrs["_path"]


@pytest.mark.parametrize(
    "change",
    [
        has_a_text_without_checksum,
        has_such_a_text_at_a_dimension,
        has_links,
        has_a_type,
        does_not_say_where_it_belongs,
    ],
)
def test_what_has_no_checksum_or_leads_elsewhere_is_not_copied(
    two: Path, tmp_path: Path, change: Callable[[h5py.File], None]
) -> None:
    before = read(two)
    with h5py.File(two, "r+") as file:
        change(file)
    merge([two], tmp_path / "m.h5")
    same(read(tmp_path / "m.h5"), before)
    assert_checked(tmp_path / "m.h5")


def test_indices_without_checksums_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(h5py.h5f, "LIBVER_V110", h5py.h5f.LIBVER_V18)
        write(tmp_path / "old.h5", {"x": population(50)}, ATTRS)
    with pytest.raises(AssertionError):
        assert_checked(tmp_path / "old.h5")
    merge([tmp_path / "old.h5"], tmp_path / "m.h5")
    same(read(tmp_path / "m.h5"), read(tmp_path / "old.h5"))
    assert_checked(tmp_path / "m.h5")


def assert_checked(path: Path) -> None:
    """Check that a population has variables and dimensions alone, with all attributes in headers with checksums."""
    with h5py.File(path) as file:
        assert file.id.get_create_plist().get_version()[0] == 3
        for item in (each for group in file.values() for each in (group, *group.values())):
            assert isinstance(item, h5py.Dataset) or item.parent == file
            info = h5py.h5o.get_info(item.id)
            assert info.hdr.version == 2
            assert info.meta_size.attr.heap_size == 0
            assert "_path" in item.attrs
            for name in item.attrs.keys() - {"DIMENSION_LIST"}:
                kind = item.attrs.get_id(name).get_type()
                assert not isinstance(kind, h5py.h5t.TypeStringID) or not kind.is_variable_str()


def test_a_copy_that_comes_out_damaged_is_not_put_in_place(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [chunk] = chunks(two, "b")["flops"]
    write_well = Disk.write

    def write_ill(disk: Disk, data: Any) -> int:
        return write_well(disk, bytes(data).replace(chunk, bytes(len(chunk))))

    monkeypatch.setattr(Disk, "write", write_ill)
    message = refused(lambda: merge([two], tmp_path / "m.h5"))
    assert "was not written: read back, it failed" in message
    assert "'flops' cannot be read" in message
    assert not (tmp_path / "m.h5").exists()


# --- Laws

_slow_fixture = settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_slow_fixture
@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4), pieces=st.integers(200, 5_000))
def test_subsets_of_a_merge_give_back_the_parts(sizes: list[int], pieces: int, tmp_path: Path) -> None:
    paths = []
    for i, models in enumerate(sizes):
        paths.append(tmp_path / f"{i}.h5")
        write(paths[-1], {f"p{i}": population(models, i)}, ATTRS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_PIECE_BYTES", pieces)
        assert merge(paths, tmp_path / "m.h5") == {f"p{i}": models for i, models in enumerate(sizes)}
        for i, path in enumerate(paths):
            subset(tmp_path / "m.h5", tmp_path / "s.h5", spaces=[f"P{i}"])
            same(read(tmp_path / "s.h5"), read(path))


@_slow_fixture
@given(
    sizes=st.tuples(*[st.integers(1, 12)] * 3),
    epochs=st.tuples(*[st.integers(1, 4)] * 3),
    overlap=st.booleans(),
)
def test_merging_is_associative_and_its_order_only_that_of_models(
    sizes: tuple[int, ...], epochs: tuple[int, ...], overlap: bool, tmp_path: Path
) -> None:
    a, b, c = (tmp_path / f"{name}.h5" for name in "abc")
    for i, path in enumerate((a, b, c)):
        write(path, {"x": population(sizes[i], i, prefix=str(i), epochs=epochs[i])}, ATTRS)
    if overlap:
        merge([b, a], b)
    left, right, other = (tmp_path / f"{name}.h5" for name in ("left", "right", "other"))
    merge([a, b], left)
    merge([left, c], left)
    merge([b, c], right)
    merge([a, right], right)
    same(read(left), read(right))
    merge([c, b, a], other)
    found, expected = read(other)["x"], read(left)["x"]
    order, place = np.argsort(found["id"]), np.argsort(expected["id"])
    for variable in expected:
        np.testing.assert_array_equal(found[variable][order], expected[variable][place])


# --- Memory

_MANY = 20_000_000
_MEASURED = """
from edfkit.archive.combine import merge, subset
from edfkit.archive import validate
{call}
with open("/proc/self/status") as status:  # what getrusage says counts in what the parent had
    print(*[int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from Linux's /proc")
def test_memory_is_bounded_for_20_million_models(tmp_path: Path) -> None:
    """Per model 17 bytes are kept to merge, and besides some hundred megabytes; whole columns take over 3 GB."""

    def blocks() -> Any:
        for start in range(0, _MANY, 2**20):
            count = min(2**20, _MANY - start)
            rng = np.random.default_rng(start)
            error = rng.integers(500, 9_000, count) / 100
            numbers = {name: rng.integers(1, 10**6, count) for name in ("params", "macs", "flops", "acts", "seed")}
            real = {name: np.full(count, 0.1) for name in ("lr", "wd", "seconds")}
            ids = np.char.add("model", np.arange(start, start + count).astype(str))
            yield {"id": ids, "error": error, "error_final": error, "status": np.zeros(count, int)} | numbers | real

    fields = {name: Field(np.dtype("<f8"), ("model",), (_MANY,)) for name in next(blocks())}
    for name in ("params", "macs", "flops", "acts", "seed"):
        fields[name] = Field(np.dtype("<i8"), ("model",), (_MANY,))
    fields["status"] = Field(np.dtype("i1"), ("model",), (_MANY,))
    fields["id"] = Field(np.dtype("S1"), ("model",), (_MANY, 13))
    with writing(tmp_path / "many.h5", ATTRS) as writer:
        writer.stream("x", fields, blocks())
    write(tmp_path / "few.h5", {"x": {k: v for k, v in population(9, 1, "few").items() if k in fields}}, ATTRS)
    calls = {
        f"validate({str(tmp_path / 'many.h5')!r})": 700,
        f"merge([{str(tmp_path / 'many.h5')!r}, {str(tmp_path / 'few.h5')!r}], {str(tmp_path / 'm.h5')!r})": 1_200,
        f"subset({str(tmp_path / 'many.h5')!r}, {str(tmp_path / 's.h5')!r}, range=(0, 500_000))": 1_000,
    }
    for call, megabytes in calls.items():
        code = [sys.executable, "-P", "-c", _MEASURED.format(call=call)]
        used = float(subprocess.run(code, check=True, capture_output=True, text=True).stdout)
        print(f"{call}: {used:.0f} MB")
        assert used < megabytes
    with Archive(tmp_path / "m.h5") as opened:
        assert opened.models("x") == _MANY + 9
        assert STATUS[0] == "finished"
