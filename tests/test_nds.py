import json
import math
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import records as made
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edfkit import EdfkitError
from edfkit.archive import Archive, Variable, validate, write
from edfkit.archive.published import Published
from edfkit.archive.schema import STATUS
from edfkit.datasets import locate
from edfkit.exchange.nds import Imported, export_nds, import_nds, total_bytes
from edfkit.generator.runs.verify import check_complexity
from edfkit.generator.spaces.described import best, describe

ATTRS = {
    "title": "x",
    "source": "here",
    "license": "CC0-1.0",
    "dataset": "digits",
    "recipe": "{}",
    "software": "x",
    "commit": "x",
    "created": "2026-01-01",
}
SCALARS = ("id", "error", "error_final", "params", "macs", "flops", "acts", "seed", "lr", "wd", "status")
CURVES = ("test_error", "train_error", "train_loss")
RECORD: dict[str, Any] = {
    "job_id": "7",
    "rng_seed": 3,
    "params": 100,
    "flops": 2000,
    "net": {"block_type": "res_basic_block", "ds": [1, 2, 3], "ws": [16, 32, 64], "ss": [1, 1, 2]},
    "optim": {"base_lr": 0.1, "wd": 5e-4, "lr_policy": "cos", "max_ep": 3, "mom": 0.9, "iter_lr": False},
    "min_test_top1": 5.500002,
    "train_ep_loss": [2.0, 1.0, 0.5],
    "train_ep_top1": [50.0, 40.00002, 30.0],
    "test_ep_top1": [7.500002, 5.500002, 6.0],
    "train_it_loss": [],
}


def put(folder: Path, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def brought_in(tmp_path: Path, **files: Any) -> tuple[Archive, Imported]:
    imported = import_nds([put(tmp_path / "in", **files)], tmp_path / "x.h5")
    return Archive(tmp_path / "x.h5"), imported


def there_and_back(tmp_path: Path, **files: Any) -> dict[str, Any]:
    """Import and export files, and read what comes back."""
    for folder in ("in", "out"):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
    import_nds([put(tmp_path / "in", **files)], tmp_path / "x.h5")
    exported = export_nds(tmp_path / "x.h5", tmp_path / "out")
    assert set(exported.files) == {f"{name}.json" for name in files}
    return {name: json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in files}


# --- The real files


@pytest.fixture(scope="module")
def real(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / "nds.h5"
    import_nds([published], path)
    return path


def test_every_real_file_comes_back_byte_by_byte(published: Path, real: Path, tmp_path: Path) -> None:
    exported = export_nds(real, tmp_path)
    files = sorted(published.glob("*.json"))
    assert len(files) == 8
    assert sum(exported.files.values()) == 1548
    assert exported.left_out == {}
    for file in files:
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_folder_files_and_zip_give_the_same_archive(published: Path, real: Path, tmp_path: Path) -> None:
    files = sorted(published.glob("*.json"))
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"nds_data/{file.name}")
        archive.writestr("nds_data/README.md", "what this is")
    pieces: list[int] = []
    zipped = import_nds([tmp_path / "data.zip"], tmp_path / "zip.h5", progress=pieces.append)
    single = import_nds(files[::-1], tmp_path / "files.h5", title="Ours", license="CC BY-NC 4.0")
    assert zipped.populations == single.populations
    assert zipped.left_out == 1
    assert zipped.read == single.read == sum(pieces) == total_bytes([tmp_path / "data.zip"])
    assert zipped.files == single.files
    assert zipped.files["ResNet_reruns.json"] == "b9d17803aca4eae7b9e2cea6ff8d4b275fdf78a1"
    assert zipped.files["DARTS_in.json"] == "89212c5c04fa67eb1bd596d7b247e41a41fb1052"
    with Archive(real) as one, Archive(tmp_path / "zip.h5") as two, Archive(tmp_path / "files.h5") as three:
        assert one.attrs["dataset"] == "ImageNet, CIFAR-10"
        assert three.attrs["title"] == "Ours"
        assert three.attrs["license"] == "CC BY-NC 4.0"
        for other in (two, three):
            assert one.names == other.names
            for name in one.names:
                assert one.group_attrs(name) == other.group_attrs(name)
                assert one.variables(name) == other.variables(name)
                for variable in one.variables(name):
                    assert_array_equal(one.read(name, variable), other.read(name, variable))


def test_real_values_are_those_of_the_files_read_in_place(published: Path, real: Path) -> None:
    validate(real)
    with Archive(real) as archive, Published(published) as files:
        assert archive.names == sorted(files.names)
        for name in archive.names:
            assert archive.dataset(name) == files.dataset(name)
            for variable in (*SCALARS, *CURVES):
                assert_array_equal(archive.read(name, variable), files.read(name, variable), variable)
        assert archive.recipe("resnet_reruns_top") == {
            "epochs": 100,
            "lr": 0.1,
            "schedule": "cosine",
            "weight_decay": 0.0005,
            "momentum": 0.9,
            "iter_lr": False,
        }
        assert archive.recipe("ResNet_lr-wd_in") == {
            "epochs": 50,
            "schedule": "cosine",
            "momentum": 0.9,
            "iter_lr": False,
        }
        assert json.loads(archive.attrs["recipe"]) == {"schedule": "cosine", "momentum": 0.9, "iter_lr": False}
        assert archive.read("resnext-a_in", "bot_mul").shape == (130, 3)
        assert archive.read("darts_in", "op").shape == (121, 2, 4, 2)
        assert archive.read("resnet_reruns_mid", "depth")[0].tolist() == [24, 2, 24]


def test_every_real_complexity_is_recomputed_from_the_archive(published: Path, real: Path) -> None:
    with Archive(real) as archive, Published(published) as files:
        checks = [check_complexity(archive, name) for name in archive.names]
        assert sum(check.agreeing for check in checks) == sum(check.models for check in checks) == 1548
        for name in archive.names:
            for ours, theirs in zip(describe(archive, name), describe(files, name), strict=True):
                assert ours[1] == theirs[1]
                assert_array_equal(ours[0], theirs[0])
                assert all(np.array_equal(ours[2][column], theirs[2][column]) for column in theirs[2])
        assert best(archive, "ENAS_in").columns["depth"] == best(files, "ENAS_in").columns["depth"]


def test_the_archive_of_the_real_files_takes_a_third_of_them(published: Path, real: Path) -> None:
    assert real.stat().st_size < sum(file.stat().st_size for file in published.glob("*.json")) / 3


def test_some_populations_alone_are_exported(real: Path, tmp_path: Path) -> None:
    exported = export_nds(real, tmp_path, ["RESNET_reruns_mid", "enas_IN"])
    assert exported.files == {"ResNet_reruns.json": 100, "ENAS_in.json": 117}
    assert list(json.loads((tmp_path / "ResNet_reruns.json").read_text())) == ["mid"]


# --- Records as odd as they may be


_FILES = st.fixed_dictionaries(
    {
        "One": st.lists(made.odd_records(), min_size=1, max_size=8),
        "Two_reruns": st.fixed_dictionaries({"top": st.lists(made.odd_records(), min_size=1, max_size=2)}),
    }
)


@given(_FILES)
@settings(max_examples=6)
def test_any_records_come_back(tmp_path_factory: pytest.TempPathFactory, files: made.Json) -> None:
    found = there_and_back(tmp_path_factory.getbasetemp(), **files)
    assert made.equal(found, json.loads(json.dumps(files)))


@pytest.mark.slow
@given(_FILES)
@settings(max_examples=300)
def test_any_records_come_back_of_many(tmp_path_factory: pytest.TempPathFactory, files: made.Json) -> None:
    found = there_and_back(tmp_path_factory.getbasetemp(), **files)
    assert made.equal(found, json.loads(json.dumps(files)))


@given(st.lists(st.floats(0, 100) | st.integers(0, 10**8).map(lambda i: i / 10**6), min_size=1, max_size=100))
@settings(max_examples=10)
def test_any_errors_come_back_bit_by_bit(tmp_path_factory: pytest.TempPathFactory, errors: list[float]) -> None:
    record = {**RECORD, "test_ep_top1": errors, "train_ep_top1": errors, "min_test_top1": min(errors)}
    [found] = there_and_back(tmp_path_factory.getbasetemp(), X=[record])["X"]
    assert found["test_ep_top1"] == found["train_ep_top1"] == errors
    assert found["min_test_top1"] == min(errors)


def test_files_written_in_other_ways_are_the_same(tmp_path: Path) -> None:
    records = [RECORD, {**RECORD, "job_id": "8", "note": 'ä }, { "'}]
    compact, wide = json.dumps(records, separators=(",", ":")), json.dumps(records, indent=2, ensure_ascii=False)
    found = there_and_back(tmp_path, Compact=compact, Wide="\ufeff" + wide)
    assert made.equal(found, {"Compact": records, "Wide": records})


# --- What is stored


def test_values_of_a_record_by_hand(tmp_path: Path) -> None:
    more = {
        "act_mem": 559,
        "iter_time": 0.023,
        "exp_mem": 0,
        "train_it_loss": [3.0, 2.5],
        "train_it_top1": [90, 80, 70],
    }
    other = {**RECORD, "job_id": "8", "test_ep_top1": [9.0], "min_test_top1": 9}
    archive, imported = brought_in(tmp_path, X=[RECORD | more, other])
    assert imported.populations == {"x": 2}
    assert imported.notes == ()
    with archive:
        assert archive.read("x", "id").tolist() == ["7", "8"]
        assert archive.read("x", "error").tolist() == [5.5, 9.0]
        assert archive.read("x", "error_final").tolist() == [6.0, 9.0]
        assert_array_equal(archive.read("x", "test_error"), [[7.5, 5.5, 6.0], [9.0, math.nan, math.nan]])
        assert archive.read("x", "test_error_rest").tolist() == [[2, 2, 0], [0, 0, 0]]
        assert archive.read("x", "train_error")[0].tolist() == [50.0, 40.00002, 30.0]
        assert_array_equal(archive.read("x", "memory"), [559, math.nan])
        assert_array_equal(archive.read("x", "step_seconds"), [0.023, math.nan])
        assert_array_equal(archive.read("x", "train_it_loss"), [[3.0, 2.5, math.nan], [math.nan] * 3])
        assert archive.read("x", "depth").tolist() == [[2, 3]] * 2
        assert archive.variable("x", "test_error_rest").attrs["units"] == "1e-6 percent"
        text = json.loads(archive.read("x", "record")[0])
        assert list(text) == list(RECORD | more)
        assert (text["test_ep_top1"], text["train_it_top1"], text["exp_mem"]) == (3, 3, 0)
        assert archive.group_attrs("x") == {
            "dataset": "CIFAR-10",
            "recipe": json.dumps(
                {
                    "epochs": 3,
                    "lr": 0.1,
                    "schedule": "cosine",
                    "weight_decay": 5e-4,
                    "momentum": 0.9,
                    "iter_lr": False,
                }
            ),
            "source_file": "X.json",
            "source_place": 0,
        }


def test_the_file_has_the_recipe_that_all_populations_share(tmp_path: Path) -> None:
    other = RECORD | {"optim": RECORD["optim"] | {"base_lr": 0.2, "max_ep": 4}}
    archive, _ = brought_in(tmp_path, one=[RECORD, RECORD], two=[other, other])
    with archive:
        assert json.loads(archive.attrs["recipe"]) == {
            "schedule": "cosine",
            "weight_decay": 5e-4,
            "momentum": 0.9,
            "iter_lr": False,
        }
        assert archive.recipe("two") == json.loads(archive.attrs["recipe"]) | {"epochs": 4, "lr": 0.2}
    odd = [RECORD | {"optim": {"max_ep": epochs, "mom": {"a": [1]}}} for epochs in ([3], [4], [4])]
    archive, _ = brought_in(tmp_path, one=odd, two=odd[1:])
    with archive:
        assert archive.recipe("one") == json.loads(archive.attrs["recipe"]) == {"momentum": {"a": [1]}}
        assert archive.recipe("two") == {"epochs": [4], "momentum": {"a": [1]}}


def test_ids_are_made_where_they_are_missing_or_repeated(tmp_path: Path) -> None:
    given = ["a", None, "a", "a", 5, "a-2", "", "1", "ab\0", "x" * 300]
    archive, _ = brought_in(tmp_path, X=[{**RECORD, "job_id": name} for name in given])
    with archive:
        ids = archive.read("x", "id").tolist()
    assert ids == ["a", "1", "a-2", "a-3", "5", "a-2-2", "6", "1-2", "ab", "x" * 100]


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({}, "finished", 5.5),
        ({"min_test_top1": 99.9, "test_ep_top1": [99.9, 99.9]}, "diverged", 99.9),
        ({"min_test_top1": 100, "test_ep_top1": [60.0, 100.0]}, "diverged", 100),
        ({"train_ep_loss": [1.0, math.nan]}, "diverged", 5.5),
        ({"test_ep_top1": [5.500002, math.nan]}, "diverged", 5.5),
        ({"min_test_top1": 99.822, "test_ep_top1": [99.718, 99.83]}, "diverged", 99.822),
        ({"min_test_top1": math.nan}, "finished", 5.5),
        ({"min_test_top1": None}, "finished", 5.5),
        ({"min_test_top1": math.nan, "test_ep_top1": [math.nan]}, "diverged", 100),
        ({"test_ep_top1": []}, "finished", 5.5),
    ],
)
def test_runs_that_broke_down_are_diverged(tmp_path: Path, change: made.Json, status: str, error: float) -> None:
    archive, imported = brought_in(tmp_path, X=[RECORD | change])
    with archive, Published(tmp_path / "in") as files:
        assert STATUS[archive.read("x", "status")[0]] == status
        assert archive.read("x", "error").tolist() == [error]
        if isinstance(change.get("min_test_top1", 0.0), int | float) and not math.isnan(
            change.get("min_test_top1", 0.0)
        ):
            assert STATUS[files.read("x", "status")[0]] == status
            assert files.read("x", "error").tolist() == [error]
    assert len(imported.notes) == (change.get("min_test_top1") == 99.822)


def test_networks_that_differ_in_their_stages_stay_in_the_records(tmp_path: Path) -> None:
    longer = {"block_type": "res_basic_block", "ds": [1, 2, 3, 4], "ws": [16, 32, 64, 64], "ss": [1, 1, 2, 2]}
    records = [RECORD] * 600 + [{**RECORD, "net": longer}] * 600
    archive, imported = brought_in(tmp_path, X=records, Y=[{**RECORD, "net": 5}], Z=[RECORD] * 1100)
    assert [note.split(",")[0] for note in imported.notes] == [
        "x: the networks are kept in the records",
        "y: the networks are kept in the records",
    ]
    with archive:
        assert "depth" not in archive.variables("x")
        assert [len(places) for places, _, _ in describe(archive, "x")] == [600, 600]
        assert archive.read("z", "depth").tolist() == [[2, 3]] * 1100
        with pytest.raises(EdfkitError, match="A network of y is not described as published"):
            list(describe(archive, "y"))


def test_names_of_files_become_names_of_populations(tmp_path: Path) -> None:
    archive, imported = brought_in(tmp_path, **{"Meine Räume (2)": [RECORD], "X_in": {"": [RECORD], "Ü": [RECORD]}})
    archive.close()
    assert list(imported.populations) == ["meine-r-ume--2-", "x_in_", "x_in_-"]
    assert set(export_nds(tmp_path / "x.h5", tmp_path / "out").files) == {"Meine Räume (2).json", "X_in.json"}
    assert list(json.loads((tmp_path / "out" / "X_in.json").read_text())) == ["", "Ü"]


# --- Faults


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"X\.json is empty"),
        ("3", r"X\.json does not hold a list of records"),
        (json.dumps([RECORD, RECORD])[:-30], r"X\.json cannot be read as JSON \(it ends within record 1\); fetch it"),
        (
            [RECORD, {**RECORD, "params": "many"}],
            r"Record 1 of .*X\.json has the params 'many', expected a number; give",
        ),
        ([{**RECORD, "min_test_top1": True}], "has the min_test_top1 True, expected a number"),
        ([{**RECORD, "flops": 10**400}], r"has the flops 1000000.*\.\.\., expected a number"),
        ([{**RECORD, "optim": {"wd": []}}], r"has the wd \[\], expected a number"),
        ([{**RECORD, "test_ep_top1": 5}], "has the test_ep_top1 5, expected a list of numbers"),
        ([{**RECORD, "test_ep_top1": [1, None]}], r"has the test_ep_top1 \[1, None\], expected a list of numbers"),
        ([{**RECORD, "train_ep_loss": ["1.5"]}], r"has the train_ep_loss \['1\.5'\], expected a list of numbers"),
        ([{**RECORD, "train_ep_loss": [10**400]}], r"has the train_ep_loss \[1000.*\.\.\., expected a list of numbers"),
        ({"top": [RECORD], "mid": [{**RECORD, "params": []}]}, r"Record 0 in 'mid' of .*X\.json has the params \[\]"),
        ([{"job_id": "7"}], r"Record 0 of .*X\.json has neither min_test_top1 nor test_ep_top1"),
        ([{**RECORD, "test_ep_top1": [105.0, 5.500002]}], r"'test_error' of model 0 is 105\.0, expected 0\.\.100"),
        ([{**RECORD, "params": -5}], r"'params' of model 0 is -5\.0, expected a finite number, 0 or more"),
        ({"a": [RECORD], "A": [RECORD]}, r"X\.json gives a second population 'x_a'; rename the file"),
        ({"a\0": [RECORD]}, "NUL"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path, content: Any, message: str) -> None:
    folder = put(tmp_path / "in", X=content)
    (tmp_path / "x.h5").write_text("before")
    with pytest.raises(EdfkitError, match=message) as caught:
        import_nds([folder], tmp_path / "x.h5")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "x.h5"]
    assert (tmp_path / "x.h5").read_text() == "before"


def test_records_that_are_too_unlike_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edfkit.exchange.nds._MOST_BYTES", 5000)
    with pytest.raises(EdfkitError, match="has a train_it_loss of 900 values, which is too long to pad the others to"):
        brought_in(tmp_path, X=[RECORD, {**RECORD, "train_it_loss": [1.0] * 900}])
    with pytest.raises(
        EdfkitError, match=r"has a record of 3,\d\d\d bytes besides its curves, which is too long to pad"
    ):
        brought_in(tmp_path, X=[RECORD, {**RECORD, "note": "x" * 3000}])


def test_nothing_to_import_is_said(tmp_path: Path) -> None:
    with pytest.raises(EdfkitError, match="There is nothing to import"):
        import_nds([], tmp_path / "x.h5")
    with pytest.raises(EdfkitError, match="gives a second population 'x'"):
        import_nds([put(tmp_path / "a", X=[RECORD]), put(tmp_path / "b", x=[RECORD])], tmp_path / "x.h5")


def test_a_damaged_zip_leaves_nothing_behind(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("data/A.json", json.dumps([RECORD] * 3000))
        archive.writestr("data/B.json", json.dumps([RECORD] * 3000))
    data = bytearray((tmp_path / "data.zip").read_bytes())
    data[-2000] ^= 1  # stored as it is, in B.json
    (tmp_path / "data.zip").write_bytes(data)
    with pytest.raises(EdfkitError, match=r"data\.zip: data/B\.json cannot be read \(Bad CRC-32 .*\); fetch it again"):
        import_nds([tmp_path / "data.zip"], tmp_path / "x.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_files_that_exist_are_replaced_only_if_asked(tmp_path: Path) -> None:
    archive, _ = brought_in(tmp_path, X=[RECORD], Y=[RECORD])
    archive.close()
    out = tmp_path / "out"
    out.mkdir()
    (out / "Y.json").write_text("mine")
    with pytest.raises(EdfkitError, match=r"Y\.json exists; choose another folder, or allow"):
        export_nds(tmp_path / "x.h5", out)
    assert [path.name for path in out.iterdir()] == ["Y.json"]
    export_nds(tmp_path / "x.h5", out, force=True)
    assert json.loads((out / "Y.json").read_text()) == [RECORD]
    with pytest.raises(EdfkitError, match="has no population 'z'"):
        export_nds(tmp_path / "x.h5", out, ["z"])
    (tmp_path / "file").write_text("")
    with pytest.raises(EdfkitError, match=r"file.* was not written \(.*\); check the folder"):
        export_nds(tmp_path / "x.h5", tmp_path / "file" / "inner")


def changed(tmp_path: Path, columns: dict[str, Any], attrs: dict[str, str | int | float]) -> Path:
    """Write an archive of one imported population with something changed."""
    archive, _ = brought_in(tmp_path, X=[RECORD])
    with archive:
        stored = {v: archive.variable("x", v) for v in archive.variables("x")}
        kept = {v: Variable(c.values, c.dims, dict(c.attrs)) for v, c in stored.items()}
        group = {key: value for key, value in (archive.group_attrs("x") | attrs).items() if value != ""}
    plain = {
        v: c.values if v in (*SCALARS, "seconds", "record", *CURVES, "depth", "width") else c for v, c in kept.items()
    }
    plain = {v: Variable(c.values, c.dims) if isinstance(c, Variable) else c for v, c in plain.items()}
    write(tmp_path / "changed.h5", {"x": plain | columns}, ATTRS, {"x": group})
    return tmp_path / "changed.h5"


@pytest.mark.parametrize("file", ["../x.json", "/x.json", "a\\x.json", "x.txt", ".json", "c:x.json"])
def test_an_archive_cannot_lead_out_of_the_folder(tmp_path: Path, file: str) -> None:
    path = changed(tmp_path, {}, {"source_file": file})
    with pytest.raises(EdfkitError, match="expected the name of a JSON file; import it again"):
        export_nds(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    ["", "5", "{", '{"test_ep_top1": 9}', '{"test_ep_top1": -1}', '{"test_ep_top1": "x"}', '{"train_it_loss": 1}'],
)
def test_damaged_records_are_refused(tmp_path: Path, text: str) -> None:
    path = changed(tmp_path, {"record": np.array([text or " "])}, {})
    with pytest.raises(
        EdfkitError, match=r"record 0 of x cannot be given back \(.*\); import the published file again"
    ):
        export_nds(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


# --- Populations that were made


def test_the_bundled_archive_goes_out_and_in_again(tmp_path: Path) -> None:
    source = locate("digits")
    exported = export_nds(source, tmp_path / "out")
    with Archive(source) as archive:
        assert exported.files == {f"{name}.json": archive.models(name) for name in archive.names}
    first = json.loads((tmp_path / "out" / "resnet.json").read_text())[0]
    needed = {"job_id", "rng_seed", "params", "flops", "net", "optim", "min_test_top1", "test_ep_top1", "train_ep_top1"}
    assert needed | {"train_ep_loss", "train_it_loss", "train_it_top1"} <= set(first)
    assert set(first["net"]) == {"block_type", "ds", "ws", "ss", "bot_muls", "num_gs"}
    assert set(first["optim"]) == {"base_lr", "wd", "mom", "max_ep", "lr_policy", "iter_lr"}
    assert isinstance(first["params"], int)
    assert first["net"]["ds"][0] == 1
    assert first["optim"]["lr_policy"] == "cos"
    import_nds([tmp_path / "out"], tmp_path / "again.h5")
    with Archive(source) as one, Published(tmp_path / "out") as two, Archive(tmp_path / "again.h5") as three:
        assert three.attrs["dataset"] == "digits"
        for name in one.names:
            for other in (two, three):
                assert other.dataset(name) == "digits"
                for variable in (*SCALARS, *CURVES):
                    if variable not in ("macs", "acts"):
                        assert_array_equal(other.read(name, variable), one.read(name, variable), variable)
                check = check_complexity(other, name)
                assert (check.agreeing, check.compared) == (one.models(name), ["params", "flops"])
                for ours, theirs in zip(describe(one, name), describe(other, name), strict=True):
                    # Cells with nodes that nothing uses can be published, and ours have none.
                    assert replace(theirs[1], unused_nodes=False) == ours[1]
                    assert_array_equal(ours[2]["depth"], theirs[2]["depth"])


def made_archive(path: Path, name: str, columns: dict[str, Any], attrs: dict[str, str | int | float]) -> Path:
    """Write three models: one failed, one without much known of it."""
    unknown = math.nan
    full: dict[str, Any] = {
        "id": np.array(["a", "b", "c"]),
        "error": [12.345678901, unknown, 50.0],
        "error_final": [13.0, unknown, unknown],
        **{count: [100.0, 1.0, unknown] for count in ("params", "macs", "flops", "acts")},
        "seed": [1.0, 2.0, unknown],
        "lr": [0.1, 0.1, unknown],
        "wd": [0.0, 0.0, unknown],
        "status": np.array([0, 2, 1], np.int8),
        "seconds": [1.0] * 3,
    }
    write(path, {name: full | columns}, ATTRS, {name: attrs})
    return path


def test_failed_models_are_left_out_and_what_is_not_known_too(tmp_path: Path) -> None:
    path = made_archive(tmp_path / "x.h5", "some", {"memory": [5.5, 1.0, math.nan]}, {"dataset": "ImageNet"})
    exported = export_nds(path, tmp_path)
    assert (exported.files, exported.left_out) == ({"some_in.json": 2}, {"some_in.json": 1})
    empty: dict[str, Any] = {"train_ep_top1": [], "train_ep_loss": [], "train_it_loss": [], "train_it_top1": []}
    assert json.loads((tmp_path / "some_in.json").read_text()) == [
        {
            "job_id": "a",
            "rng_seed": 1,
            "params": 100,
            "flops": 100,
            "optim": {"base_lr": 0.1, "iter_lr": False, "wd": 0},
            "act_mem": 5.5,
            "min_test_top1": 12.345678901,
            "test_ep_top1": [12.345678901, 13.0],
            **empty,
        },
        {"job_id": "c", "optim": {"iter_lr": False}, "min_test_top1": 50.0, "test_ep_top1": [], **empty},
    ]
    failed = made_archive(tmp_path / "y.h5", "some", {"status": np.full(3, 2, np.int8)}, {})
    with pytest.raises(EdfkitError, match="every model of some failed, so there is no record to write"):
        export_nds(failed, tmp_path / "out")


@pytest.mark.parametrize("unused", [False, True])
@pytest.mark.parametrize("stride", [1, 8])
def test_cells_keep_their_complexity(tmp_path: Path, unused: bool, stride: int) -> None:
    from edfkit.generator.spaces import SPACES
    from edfkit.generator.spaces.kinds import Architecture

    drawn = SPACES["nasnet"].draw(np.random.default_rng(1), 3)
    columns = drawn | {"concat": drawn["concat"].copy()}
    columns["concat"][:, :, :-1] = False  # so that many nodes are of no use
    architecture = Architecture("cells", stride, unused_nodes=unused)
    counts = architecture.measure(columns, image_size=8, channels=1)._asdict()
    attrs: dict[str, str | int | float] = {"architecture": json.dumps(architecture.as_dict())}
    export_nds(made_archive(tmp_path / "x.h5", "nas", columns | counts, attrs), tmp_path / "out")
    import_nds([tmp_path / "out"], tmp_path / "y.h5")
    with Archive(tmp_path / "y.h5") as archive, Published(tmp_path / "out") as files:
        for source in (archive, files):
            check = check_complexity(source, "nas")
            assert (check.models, check.agreeing) == (2, 2)
        assert archive.read("nas", "op").shape == (2, 2, 5, 2)


def test_two_lists_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    one = changed(tmp_path, {}, {})
    with Archive(one) as archive:
        columns = {v: archive.read("x", v) for v in archive.variables("x") if v != "test_error_rest"}
        group = archive.group_attrs("x")
    write(tmp_path / "two.h5", {"x": columns, "y": columns}, ATTRS, {"x": group, "y": group})
    with pytest.raises(EdfkitError, match=r"x, y all come from X\.json and cannot be told apart"):
        export_nds(tmp_path / "two.h5", tmp_path / "out")
    assert export_nds(tmp_path / "two.h5", tmp_path / "out", ["y"]).files == {"X.json": 1}


# --- Size


_MEASURED = """
import sys
from pathlib import Path
from edfkit.exchange.nds import export_nds, import_nds
if sys.argv[1] == "import":
    import_nds([Path(sys.argv[2])], Path(sys.argv[3]))
else:
    export_nds(Path(sys.argv[2]), Path(sys.argv[3]))
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(peak)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize("cells", [False, True], ids=["stages", "cells"])
def test_a_space_of_25000_models_takes_little_memory_and_comes_back(tmp_path: Path, cells: bool) -> None:
    source, archive = tmp_path / "Space.json", tmp_path / "x.h5"
    made.write_realistic(source, 25_000, cells=cells)
    assert source.stat().st_size > 85_000_000
    peaks = []
    for verb, *paths in (("import", source, archive), ("export", archive, tmp_path / "out")):
        command = [sys.executable, "-P", "-c", _MEASURED, verb, *map(str, paths)]
        peaks.append(1024 * int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    print(f"peaks: {[peak / 1e6 for peak in peaks]} MB; archive: {archive.stat().st_size / 1e6} MB")
    assert max(peaks) <= 400_000_000
    assert archive.stat().st_size < 300_000_000 / 9
    assert (tmp_path / "out" / "Space.json").read_bytes() == source.read_bytes()
