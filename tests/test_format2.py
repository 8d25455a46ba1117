"""Format version 2: what of it is written, read, checked, joined, cut and given away, and where version 1 remains."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5o
from server import serve
from test_archive import ATTRS, refusal, without_digests
from test_opening import count_calls

from edfkit.archive import Archive, Variable, reader, remote, validate, write, writer, writing
from edfkit.archive.combine import merge, subset
from edfkit.archive.schema import STATUS, STATUS_1, STATUS_2, Status, flag_attrs
from edfkit.archive.verify import verify
from edfkit.datasets import BUNDLED
from edfkit.datasets.publish import publish
from edfkit.exchange.nds import export_nds
from edfkit.generator.spaces.described import best
from edfkit.metric import ERROR, Metric

FINISHED, DIVERGED, FAILED, STOPPED, RUNNING = Status
ACCURACY = {
    "goal": "max",
    "units": "share",
    "valid_min": 0.0,
    "valid_max": 1.0,
    "grid": 1 / 500,
    "long_name": "val/acc",
}
LOSS = {"goal": "min", "units": "nats"}
METRICS = [
    Metric("val_acc", "share", "max", 0.0, 1.0, 1 / 500, "val/acc"),
    Metric("val_loss", "nats", "min"),
]
BOTH = {"metric": "val_acc", "label": "ViT-B/16 (ours)"}

Population = dict[str, Any]


def plain(models: int = 12, seed: int = 0, prefix: str = "m") -> Population:
    """A population that version 1 can say."""
    rng = np.random.default_rng(seed)
    curve = rng.integers(500, 9_000, (models, 4)) / 100
    status = np.resize([FINISHED, FINISHED, FINISHED, DIVERGED, FAILED], models)
    return {
        "id": [f"{prefix}{i}" for i in range(models)],
        "error": np.where(status == FAILED, np.nan, curve.min(axis=1)),
        "error_final": curve[:, -1],
        "params": rng.integers(1_000, 100_000, models),
        "macs": np.full(models, np.nan),
        "flops": rng.uniform(1e6, 1e9, models),
        "acts": np.full(models, np.nan),
        "seed": np.arange(models),
        "lr": np.full(models, 0.1),
        "wd": np.full(models, 5e-4),
        "status": status,
        "seconds": rng.uniform(1, 100, models),
        "test_error": curve,
    }


def measured(models: int = 12, seed: int = 0, prefix: str = "m") -> Population:
    """A population without errors: an accuracy with its curve, a loss, and every way in which a run may end."""
    rng = np.random.default_rng(seed)
    columns = plain(models, seed, prefix)
    for variable in ("error", "error_final", "test_error"):
        del columns[variable]
    status = np.resize(list(Status), models)
    curve = rng.integers(50, 450, (models, 4)) / 500
    curve[status == FAILED] = np.nan
    accuracy = np.where(np.isin(status, [DIVERGED, FAILED, RUNNING]), np.nan, np.fmax.reduce(curve, axis=1))
    return columns | {
        "status": status,
        "val_acc": Variable(accuracy, attrs=ACCURACY),
        "val_acc_final": np.where(np.isnan(accuracy), np.nan, curve[:, -1]),
        "val_acc_curve": curve,
        "val_loss": Variable(np.where(status == FINISHED, rng.normal(size=models), np.nan), attrs=LOSS),
        "unit": rng.integers(0, 2**63 - 1, models),
    }


def part(columns: Population, rows: slice) -> Population:
    return {
        name: Variable(np.asarray(values.values)[rows], values.dims, values.attrs)
        if isinstance(values, Variable)
        else np.asarray(values)[rows]
        for name, values in columns.items()
    }


def version(path: Path) -> int:
    with h5py.File(path) as file:
        return int(np.ravel(file.attrs["format_version"])[0])


def assert_same(columns: Population, path: Path, name: str = "x") -> None:
    with Archive(path) as archive:
        assert set(archive.variables(name)) == set(columns)
        for variable, values in columns.items():
            given = np.asarray(values.values if isinstance(values, Variable) else values)
            np.testing.assert_array_equal(archive.read(name, variable), given, err_msg=variable)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("format2") / "original.h5"
    write(path, {"x": measured(), "y": plain()}, ATTRS, {"x": BOTH})
    return path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "copy.h5"))


# --- Written and read


def test_what_is_written_is_read(original: Path) -> None:
    validate(original)
    assert version(original) == 2
    assert_same(measured(), original)
    assert_same(plain(), original, "y")
    with Archive(original) as archive:
        assert (archive.version, archive.metrics("X"), archive.metrics("y")) == (2, METRICS, [ERROR])
        assert archive.label("x") == "ViT-B/16 (ours)"
        assert archive.label("Y") == "y"
        assert [archive.identify(text) for text in ("x", "X", "ViT-B/16 (ours)", "vit-b/16 (OURS)", "y")] == [*"xxxxy"]
        assert "has no population 'vit'; choose from 'ViT-B/16 (ours)', 'y'" in refusal(lambda: archive.identify("vit"))
        found = {v: archive.field("x", v).attrs for v in ("val_acc", "val_acc_curve", "status", "unit")}
        assert found["val_acc"] == ACCURACY
        assert found["val_acc_curve"] == {"units": "share", "long_name": "val/acc after each epoch"}
        assert found["status"]["flag_meanings"] == "finished diverged failed stopped running"
        assert archive.shape("x", "unit").dtype == np.dtype("<i8")
        assert archive.field("y", "status").attrs["flag_meanings"] == "finished diverged failed"
        assert [finding for finding in verify(archive) if finding.severity == "error"] == []


def test_other_readers_open_it(original: Path) -> None:
    import h5netcdf
    import xarray

    with xarray.open_dataset(original, group="x", engine="h5netcdf") as found:
        assert found.val_acc.attrs["goal"] == "max"
        np.testing.assert_array_equal(found.val_acc, measured()["val_acc"].values)
        np.testing.assert_array_equal(found.unit, measured()["unit"])
        assert found.val_acc_curve.dims == ("model", "epoch")
    with h5netcdf.File(original) as file:
        assert file["x"]["status"].attrs["flag_meanings"] == " ".join(STATUS)
    with Archive(original) as archive:
        assert archive.to_xarray("x").attrs == BOTH


def test_it_is_read_at_an_address(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.delenv("EDFKIT_OFFLINE", raising=False)
    monkeypatch.setattr(remote, "_PAUSE", 0.01)
    with serve({"a.h5": original.read_bytes()}) as server, Archive(f"{server.url}/a.h5") as archive:
        assert (archive.metrics("x"), archive.identify("ViT-B/16 (ours)")) == (METRICS, "x")
        np.testing.assert_array_equal(archive.read("x", "val_acc"), measured()["val_acc"].values)


def test_labels_in_another_case(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", {n: plain() for n in "abc"}, ATTRS, {"a": {"label": "Net"}, "b": {"label": "NET"}})
    with Archive(tmp_path / "a.h5") as archive:
        assert (archive.identify("Net"), archive.identify("NET"), archive.identify("C")) == ("a", "b", "c")
        assert "'a', 'b' for the label 'net'; choose one by its name" in refusal(lambda: archive.identify("net"))


def set_to(name: str, models: slice, value: object) -> Callable[[Population], None]:
    def change(columns: Population) -> None:
        columns[name] = np.array(columns[name])
        columns[name][models] = value

    return change


NEEDS: list[tuple[str, Callable[[Population], None], int]] = [
    ("nothing", lambda columns: None, 1),
    ("an error of a known grid", lambda c: c.update(error=Variable(c["error"], attrs={"grid": 0.01})), 1),
    ("words of all codes", lambda c: c.update(status=Variable(c["status"], attrs=flag_attrs(STATUS_2))), 1),
    ("stopped", set_to("status", slice(1), STOPPED), 2),
    ("running", set_to("status", slice(1), RUNNING), 2),
    ("diverged without an error", set_to("error", slice(3, 4), np.nan), 2),
    ("a unit", lambda c: c.update(unit=np.arange(12)), 2),
    ("a metric", lambda c: c.update(loss=Variable(np.arange(12), attrs={"goal": "min"})), 2),
    ("a variable that is no metric", lambda c: c.update(loss=np.arange(12)), 1),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [pytest.param(c, v, id=i) for i, c, v in NEEDS])
def test_version_2_is_written_where_it_is_needed(
    tmp_path: Path, change: Callable[[Population], None], expected: int
) -> None:
    columns = plain()
    change(columns)
    path = tmp_path / "a.h5"
    write(path, {"x": columns, "y": plain()}, ATTRS, {"x": {"label": "X!"}})
    assert version(path) == expected
    with Archive(path) as archive:
        words = STATUS if (np.asarray(archive.read("x", "status")) > FAILED).any() else STATUS_1
        assert archive.field("x", "status").attrs["flag_meanings"] == " ".join(words)
        fields = {name: {v: archive.field(name, v) for v in archive.variables(name)} for name in "xy"}
        with writing(tmp_path / "b.h5", ATTRS) as target:  # as streamed, so at once
            for name in "xy":
                blocks = archive.chunks(name, list(fields[name]), rows=5)
                target.stream(name, fields[name], blocks, archive.group_attrs(name))
        with writing(tmp_path / "c.h5", ATTRS) as target:
            assert all(target.copy(name, archive, archive.group_attrs(name)) for name in "xy")
    assert (tmp_path / "b.h5").read_bytes() == path.read_bytes()
    assert version(tmp_path / "c.h5") == expected
    validate(tmp_path / "c.h5")


def test_the_grid_of_the_error_is_known_in_either_version(tmp_path: Path) -> None:
    for more in ({}, {"unit": np.arange(12)}):
        columns = plain() | more
        write(tmp_path / "a.h5", {"x": columns | {"error": Variable(columns["error"], attrs={"grid": 0.01})}}, ATTRS)
        with Archive(tmp_path / "a.h5") as archive:
            assert archive.metrics("x") == [Metric(grid=0.01)]


def test_what_version_1_can_say_has_its_bytes(original: Path, tmp_path: Path) -> None:
    """Read from a file of version 2, streamed or copied, it is what a plain write gives."""
    write(tmp_path / "a.h5", {"y": plain()}, ATTRS)
    with Archive(original) as archive, writing(tmp_path / "b.h5", ATTRS) as target:
        fields = {variable: archive.field("y", variable) for variable in archive.variables("y")}
        target.stream("y", fields, archive.chunks("y", list(fields)))
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "a.h5").read_bytes()
    subset(original, tmp_path / "c.h5", spaces=["y"])
    assert version(tmp_path / "c.h5") == 1
    with h5py.File(tmp_path / "a.h5") as file:  # as a reader of version 1 looks at it
        assert list(file.attrs) == ["format", "format_version", *sorted(ATTRS), "_NCProperties"]
        assert file.attrs["format_version"] == 1
        assert file["y/status"].attrs["flag_meanings"] == b"finished diverged failed"
        assert file["y/status"].attrs["flag_values"].tolist() == [0, 1, 2]
        assert (file["y/status"][np.isnan(file["y/error"])] == FAILED).all()


def test_nothing_more_is_opened_of_version_1(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for module, function in ((h5o, "open"), (h5a, "open")):
        count_calls(monkeypatch, module, function, calls)
    with Archive(BUNDLED["digits"]) as archive:
        archive.read("resnet", "error")
        archive.dataset("resnet")
        calls.clear()
        assert archive.metrics("resnet") == [ERROR]
        assert archive.label("resnet") == archive.identify("ResNet") == "resnet"
    assert calls.total() <= 2  # the error, and where it belongs


# --- A file that says version 1 keeps to it


def as_version_1(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs.modify("format_version", [1])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            set_to("error", slice(3, 4), np.nan),
            r"'error' of model 3 is nan, expected 0..100 percent (NaN only for a failed",
        ),
        (set_to("status", slice(1), RUNNING), "'status' has the flag_values [0, 1, 2, 3, 4], expected [0, 1, 2]"),
    ],
)
def test_rules_of_version_2_are_refused_in_version_1(
    tmp_path: Path, change: Callable[[Population], None], expected: str
) -> None:
    columns, path = plain(), tmp_path / "a.h5"
    change(columns)
    write(path, {"x": columns}, ATTRS)
    as_version_1(path)
    assert expected in refusal(lambda: validate(path))
    with Archive(path) as archive:
        assert expected in verify(archive)[0].message


def test_a_population_without_errors_is_refused_in_version_1(copy: Path) -> None:
    as_version_1(copy)
    assert "population 'x' lacks 'error', 'error_final'; every population has id, error" in refusal(
        lambda: validate(copy)
    )


# --- Every rule


def metric(**attrs: object) -> Callable[[Population], None]:
    def change(columns: Population) -> None:
        columns["val_acc"] = Variable(columns["val_acc"].values, attrs=ACCURACY | attrs)

    return change


def value(name: str, model: int, number: float) -> Callable[[Population], None]:
    def change(columns: Population) -> None:
        variable = columns[name] if isinstance(columns[name], Variable) else Variable(columns[name])
        values = np.array(variable.values)
        values[model] = number
        columns[name] = Variable(values, variable.dims, variable.attrs)

    return change


WRONG: list[tuple[str, Callable[[Population], None], str]] = [
    ("no value", value("val_acc", 0, np.nan),
     "'val_acc' of model 0 is nan, expected 0..1 share (NaN only for a model that did not finish)"),
    ("above", value("val_acc", 5, 1.5), "'val_acc' of model 5 is 1.5, expected 0..1 share"),
    ("final", value("val_acc_final", 5, -0.5), "'val_acc_final' of model 5 is -0.5, expected 0..1"),
    ("infinite", value("val_loss", 5, np.inf), "'val_loss' of model 5 is inf, expected a finite number"),
    ("curve", value("val_acc_curve", 2, 7.0), "'val_acc_curve' of model 2 is 7.0, expected 0..1"),
    ("not the best", value("val_acc", 0, 0.001), "the largest 'val_acc_curve' of its curve"),
    ("a code", value("status", 0, 5), "'status' of model 0 is 5, expected 0..4"),
    ("goal", metric(goal="up"), "the metric 'val_acc': goal: 'up' was given, expected min or max"),
    ("goal of no text", metric(goal=1), "the metric 'val_acc' has the goal 1, expected text"),
    ("grid", metric(grid=0.0), "the metric 'val_acc': grid: 0 was given, expected a number above 0"),
    ("bounds", metric(valid_min=2.0), "The bounds of val/acc were given as 2 and 1, expected the lower one first"),
    ("bound of text", metric(valid_max="1"), "the metric 'val_acc' has the valid_max '1', expected a finite number"),
    ("infinite bound", metric(valid_max=np.inf), "has the valid_max inf, expected a finite number"),
    ("final with a goal", lambda c: c.update(val_acc_final=Variable(c["val_acc_final"], attrs=ACCURACY)),
     "'val_acc_final' has the attribute 'goal', expected none, as it belongs to the metric 'val_acc'"),
    ("units", lambda c: c.update(val_acc_curve=Variable(c["val_acc_curve"], attrs={"units": "percent"})),
     "'val_acc_curve' has units 'percent', expected 'share'"),
    ("shape of a curve", lambda c: c.update(val_acc_curve=c["val_acc_curve"][:, 0]), "'val_acc_curve' has shape (12,)"),
    ("shape", lambda c: c.update(val_loss=Variable(np.ones((12, 4)), attrs=LOSS)), "'val_loss' has shape (12, 4)"),
    ("text", lambda c: c.update(val_loss=Variable(["a"] * 12, attrs=LOSS)), "'val_loss' cannot be stored exactly"),
    ("real unit", lambda c: c.update(unit=np.full(12, 1.5)), "'unit' cannot be stored exactly as <i8"),
    ("missing unit", lambda c: c.update(unit=np.full(12, np.nan)), "'unit' cannot be stored exactly as <i8"),
    ("unit of stages", lambda c: c.update(unit=np.ones((12, 4), int)), "'unit' has shape (12, 4)"),
    ("no status", lambda c: c.pop("status"), "lacks 'status'; every population has id, params"),
    ("no default", lambda c: c.pop("val_acc"),
     "has the default metric 'val_acc', expected one of the variables that are metrics, 'val_loss'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [pytest.param(c, x, id=i) for i, c, x in WRONG])
def test_what_breaks_a_rule_is_not_written(tmp_path: Path, change: Callable[[Population], None], expected: str) -> None:
    columns = measured()
    change(columns)
    assert expected in refusal(lambda: write(tmp_path / "a.h5", {"x": columns}, ATTRS, {"x": BOTH}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("", "the attribute 'label' is '', expected printable text of 200 characters at most"),
        ("a\nb", r"the attribute 'label' is 'a\nb', expected printable text"),
        ("x" * 201, "expected printable text of 200 characters at most"),
        (7, "the attribute 'label' is 7, expected printable text"),
        ("y", "the populations 'x' and 'y' are both called 'y', expected labels that differ"),
    ],
)
def test_labels_are_for_people(tmp_path: Path, label: Any, expected: str) -> None:
    action = lambda: write(tmp_path / "a.h5", {"x": plain(), "y": plain()}, ATTRS, {"x": {"label": label}})  # noqa: E731
    assert expected in refusal(action)
    write(tmp_path / "a.h5", {"x": plain(), "y": plain()}, ATTRS, {"x": {"label": "网络 " + "é" * 197}})


def put(group: h5py.Group, name: str, model: int, number: float) -> None:
    values = group[name][()]
    values[model] = number
    group[name].write_direct(values)


DAMAGED: list[tuple[str, Callable[[h5py.Group], None], str, str]] = [
    ("no value", lambda x: put(x, "val_loss", 0, np.inf), "range", "'val_loss' of model 0 is inf, expected a finite"),
    ("default", lambda x: x["val_acc"].attrs.create("goal", "up"), "unreadable", "goal: 'up' was given"),
    ("grid", lambda x: x["val_acc"].attrs.modify("grid", [-1.0]), "unreadable", "grid: -1 was given"),
    ("bound", lambda x: x["val_acc"].attrs.modify("valid_max", [0.1]), "range", "expected 0..0.1 share"),
    ("no finished value", lambda x: put(x, "val_acc", 0, np.nan), "range", "expected 0..1 share (NaN only for a model"),
    ("not the best", lambda x: put(x, "val_acc", 5, 0.001), "metric", "'val_acc' of model 5 is 0.001, "),
    ("code", lambda x: put(x, "status", 3, 5), "range", "'status' of model 3 is 5, expected 0..4"),
    ("words", lambda x: x["status"].attrs.create("flag_meanings", "a b"), "unreadable, range", "flag_meanings 'a b'"),
    ("default gone", lambda x: x.attrs.create("metric", "auc"), "unreadable", "has the default metric 'auc'"),
    ("units", lambda x: x["val_acc_curve"].attrs.create("units", "1"), "unreadable", "has units '1', expected 'share'"),
    ("label", lambda x: x.attrs.create("label", "a\tb"), "unreadable", r"the attribute 'label' is 'a\tb'"),
    ("labels", lambda x: x.attrs.create("label", "y"), "unreadable", "are both called 'y'"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "kind", "expected"), [pytest.param(d, k, x, id=i) for i, d, k, x in DAMAGED])
def test_what_breaks_a_rule_in_a_file_is_named_once(
    copy: Path, damage: Callable[[h5py.Group], None], kind: str, expected: str
) -> None:
    with h5py.File(copy, "r+") as file:
        without_digests(file["x"])
        damage(file["x"])
    assert expected in refusal(lambda: validate(copy))
    with Archive(copy) as archive:
        found = [finding for finding in verify(archive) if finding.severity == "error"]
    assert ", ".join(finding.kind for finding in found) == kind  # without a status, nothing tells who may have no value
    assert expected in found[0].message


def test_verify_finds_a_final_value_that_is_not_the_last(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        without_digests(file["x"])
        put(file["x"], "val_acc_final", 0, 0.001)
        last = measured()["val_acc_curve"][0, -1]
    validate(copy)
    with Archive(copy) as archive:
        [finding] = [finding for finding in verify(archive) if finding.severity == "error"]
    assert finding.message == (
        "x: 1 model(s) whose final metric is not the last of the curve: 'val_acc_final' of model 0 is 0.001, the curve "
        f"ends with {last}."
    )


# --- Joined and cut


@pytest.mark.parametrize("pieces", [False, True])
def test_parts_of_a_population_are_joined(tmp_path: Path, pieces: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if pieces:
        monkeypatch.setattr(reader, "_PIECE_BYTES", 500)
        monkeypatch.setattr(writer, "_CHUNK_BYTES", 128)
    whole = measured(40)
    first = part(whole, slice(0, 1))  # finished, of which version 1 has a word
    write(tmp_path / "a.h5", {"x": first}, ATTRS, {"x": BOTH})
    write(tmp_path / "b.h5", {"x": part(whole, slice(1, 40))}, ATTRS, {"x": BOTH})
    write(tmp_path / "c.h5", {"z": plain()}, ATTRS)
    merge([tmp_path / f"{name}.h5" for name in "abc"], tmp_path / "all.h5")
    assert version(tmp_path / "all.h5") == 2
    validate(tmp_path / "all.h5")
    assert_same(whole, tmp_path / "all.h5")
    assert_same(plain(), tmp_path / "all.h5", "z")
    with Archive(tmp_path / "a.h5") as a, Archive(tmp_path / "all.h5") as archive:
        assert a.field("x", "status").attrs["flag_meanings"] == " ".join(STATUS_1)
        assert archive.field("x", "status").attrs["flag_meanings"] == " ".join(STATUS)
        assert (archive.metrics("x"), archive.label("x")) == (METRICS, BOTH["label"])


def test_a_further_metric_that_a_part_lacks_is_not_known(tmp_path: Path) -> None:
    whole = measured()
    lacking = part(whole, slice(0, 6))
    del lacking["val_loss"]
    write(tmp_path / "a.h5", {"x": lacking}, ATTRS, {"x": BOTH})
    write(tmp_path / "b.h5", {"x": part(whole, slice(6, 12))}, ATTRS, {"x": BOTH})
    merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5")
    with Archive(tmp_path / "c.h5") as archive:
        assert np.isnan(archive.read("x", "val_loss")[:6]).all()
        np.testing.assert_array_equal(archive.read("x", "val_loss")[6:], whole["val_loss"].values[6:])


@pytest.mark.parametrize(
    ("change", "attrs", "expected"),
    [
        (lambda c: c.update(val_loss=Variable(c["val_loss"].values, attrs=LOSS | {"goal": "max"})), BOTH,
         "'val_loss' has the goal 'max' in x of"),
        (lambda c: c.update(val_loss=Variable(c["val_loss"].values, attrs=LOSS | {"units": "bits"})), BOTH,
         "'val_loss' has the units 'bits' in x of"),
        (lambda c: c.update(val_loss=Variable(c["val_loss"].values, attrs=LOSS | {"valid_max": 9.0})), BOTH,
         "'val_loss' has the valid_max 9.0 in x of"),
        (lambda c: None, BOTH | {"metric": "val_loss"}, "The default metric is 'val_loss' in x of"),
        (lambda c: c.pop("unit"), BOTH, "lacks 'unit', which"),
    ],
)  # fmt: skip
def test_parts_with_other_metrics_are_not_joined(
    tmp_path: Path, change: Callable[[Population], None], attrs: dict[str, str], expected: str
) -> None:
    one, other = part(measured(), slice(0, 6)), part(measured(), slice(6, 12))
    one["status"] = np.where(
        np.isnan(one["val_loss"].values), STOPPED, one["status"]
    )  # either metric may be the default
    change(one)
    write(tmp_path / "a.h5", {"x": one}, ATTRS, {"x": attrs})
    write(tmp_path / "b.h5", {"x": other}, ATTRS, {"x": BOTH})
    for force in (False, True):
        message = refusal(partial(merge, [tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5", force=force))
        assert expected in message
        assert "merge them into two archives" in message


def test_a_subset_says_what_it_needs(original: Path, tmp_path: Path) -> None:
    subset(original, tmp_path / "s.h5", spaces=["x"], status=["stopped", "running"])
    status = np.asarray(measured()["status"])
    assert_same(part(measured(), np.isin(status, [STOPPED, RUNNING])), tmp_path / "s.h5")  # type: ignore[arg-type]
    with Archive(tmp_path / "s.h5") as archive:
        assert (archive.metrics("x"), archive.label("x")) == (METRICS, BOTH["label"])
        assert json.loads(archive.attrs["subset"])["status"] == ["stopped", "running"]

    columns = plain() | {"status": np.resize(list(Status), 12)}
    columns["error"] = np.where(columns["status"] == FINISHED, plain()["test_error"].min(axis=1), np.nan)
    write(tmp_path / "a.h5", {"x": columns}, ATTRS)
    for words, expected in ((["finished", "failed"], 1), (["finished", "diverged"], 2), (list(STATUS), 2)):
        subset(tmp_path / "a.h5", tmp_path / "b.h5", status=words)
        assert version(tmp_path / "b.h5") == expected
        validate(tmp_path / "b.h5")
        kept = np.isin(columns["status"], [STATUS.index(word) for word in words])
        assert_same(part(columns, kept), tmp_path / "b.h5")  # type: ignore[arg-type]


# --- Given away


@pytest.mark.parametrize(
    ("columns", "attrs", "expected"),
    [
        (measured(), BOTH, "population 'x' has the metric val/acc, and published files hold errors in percent"),
        (plain() | {"status": [STOPPED] * 12}, {}, "has 12 models that were stopped or are running, which published"),
        (
            plain() | {"error": np.where(plain()["status"] == 0, plain()["error"], np.nan)},
            {},
            "has 2 models without an error",
        ),
    ],
)
def test_published_files_cannot_say_it(
    tmp_path: Path, columns: Population, attrs: dict[str, str], expected: str
) -> None:
    write(tmp_path / "a.h5", {"x": columns, "y": plain() | {"unit": np.arange(12)}}, ATTRS, {"x": attrs})
    assert expected in refusal(lambda: export_nds(tmp_path / "a.h5", tmp_path / "files"))
    assert not (tmp_path / "files").exists()
    exported = export_nds(tmp_path / "a.h5", tmp_path / "files", ["y"])
    assert (exported.files, exported.left_out) == ({"y.json": 10}, {"y.json": 2})


def test_the_card_shows_metrics_and_outcomes(original: Path, tmp_path: Path) -> None:
    publish(original, tmp_path / "p", name="some", version="1", license="the license")
    card = (tmp_path / "p" / "some.md").read_text()
    assert "| population | trained on | models | finished | diverged | failed | stopped | running |" in card
    assert "| x | the dataset | 12 | 3 | 3 | 2 | 2 | 2 |" in card
    values = measured()["val_acc"].values
    known = values[~np.isnan(values)]
    ends = " | ".join(f"{f(known):.4g}" for f in (np.min, np.median, np.max))
    assert f"| x | val/acc | share | max | {ends} |" in card
    assert "- x: `val_acc` is unknown for 7 of 12 models." in card
    assert "- label: ViT-B/16 (ours)" in card
    assert "Top-1 test error in percent, of the models that have one." in card

    write(tmp_path / "a.h5", {"y": plain()}, ATTRS)
    publish(tmp_path / "a.h5", tmp_path / "q", name="other", version="1", license="the license")
    card = (tmp_path / "q" / "other.md").read_text()
    assert "| models | finished | diverged | failed |\n" in card
    assert "## Metrics" not in card


def test_no_network_is_best_without_errors(original: Path) -> None:
    with Archive(original) as archive:
        assert "the models of x have no error by which one is best" in refusal(lambda: best(archive, "x"))
