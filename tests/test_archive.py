"""Archives on real files: what is written is read back, whole; what is damaged, or breaks a rule, is refused."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace as replace_field
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edfkit import EdfkitError
from edfkit.archive import Archive, Field, Variable, reader, validate, write, writer, writing
from edfkit.archive.files import TEMPORARY_SUFFIX, Disk
from edfkit.archive.packing import HIDDEN_ATTRS
from edfkit.archive.schema import OPS, REQUIRED_ATTRS, VARIABLES, specs

ATTRS = {name: f"the {name}" for name in REQUIRED_ATTRS} | {"recipe": '{"epochs": 12, "note": "' + "x" * 5_000 + '"}'}
GROUP_ATTRS: dict[str, dict[str, str | int | float]] = {
    "resnet": {"space": "resnet · " + "y" * 3_000, "seed": 7, "bound": 0.5}
}
REQUIRED = [name for name, spec in VARIABLES.items() if spec.required]
CELLS = ["op", "input", "concat"]
STAGED = [name for name in VARIABLES if name not in CELLS]  # all that a population of stages may have
OPTIONAL = [name for name in STAGED if name not in REQUIRED]

Population = dict[str, Any]


def open_dataset(path: Path, group: str) -> Any:
    """Read as others do, with xarray: loaded here, as processes that load this file to be killed have no need of it."""
    import xarray

    return xarray.open_dataset(path, group=group, engine="h5netcdf")


def scalars(models: int, rng: np.random.Generator) -> Population:
    return {
        "id": [f"modèle-{i}" for i in range(models)],
        "error": rng.uniform(5, 90, models),
        "error_final": rng.uniform(5, 90, models),
        "params": rng.integers(1_000, 10**7, models),
        "macs": rng.integers(10**6, 10**9, models),
        "flops": rng.uniform(1e6, 1e9, models),
        "acts": np.full(models, np.nan),
        "seed": np.arange(models) - 3,
        "lr": np.full(models, 0.1),
        "wd": np.full(models, 5e-4),
        "status": np.zeros(models, dtype=int),
        "seconds": rng.uniform(1, 100, models),
    }


def with_curves(models: int, epochs: int, rng: np.random.Generator) -> Population:
    population = scalars(models, rng)
    curve = rng.uniform(5, 90, (models, epochs))
    loss = rng.uniform(0, 3, (models, epochs))
    loss[0, -1] = np.nan
    return population | {
        "error": curve.min(axis=1),
        "error_final": curve[:, -1],
        "test_error": curve,
        "train_error": rng.uniform(5, 90, (models, epochs)),
        "train_loss": loss,
        "depth": rng.integers(1, 9, (models, 3)),
        "width": rng.integers(8, 200, (models, 3)),
        "bot_mul": rng.choice([0.25, 1.0], (models, 3)),
        "groups": rng.integers(1, 5, (models, 3)),
        "step_seconds": rng.uniform(0, 1, models),
        "memory": np.full(models, np.nan),
        "record": [f'{{"rng": {i}}}' * (i % 3) for i in range(models)],
    }


def of_cells(models: int, nodes: int, rng: np.random.Generator) -> Population:
    last = 1 + np.arange(nodes)
    concat = rng.integers(0, 2, (models, 2, nodes))
    concat[..., -1] = 1
    return scalars(models, rng) | {
        "op": np.arange(models * 4 * nodes).reshape(models, 2, nodes, 2) % len(OPS),
        "input": rng.integers(0, last[:, None] + 1, (models, 2, nodes, 2)),
        "concat": concat.astype(bool),
        "depth": rng.integers(1, 21, models),
        "width": rng.integers(4, 49, models),
    }


def two_populations() -> dict[str, Population]:
    rng = np.random.default_rng(1)
    failed = scalars(12, rng)
    failed["status"][:] = [0, 1, 2] * 4
    failed["error"][failed["status"] == 2] = np.nan
    return {"resnet": with_curves(25, 12, rng), "vanilla": failed}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "archive.h5"
    write(path, two_populations(), ATTRS, GROUP_ATTRS)
    return path


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells") / "archive.h5"
    write(path, {"nas": of_cells(9, 5, np.random.default_rng(7))}, ATTRS)
    return path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "copy.h5"))


def content(path: Path) -> dict[str | tuple[str, str], Any]:
    """Every value and attribute of an archive, comparable with ==."""
    everything: dict[str | tuple[str, str], Any] = {}
    with Archive(path) as opened:
        everything["attrs"] = opened.attrs
        for name in opened.names:
            everything[name] = opened.group_attrs(name)
            for key in opened.variables(name):
                variable = opened.variable(name, key)
                values = np.asarray(variable.values)
                everything[name, key] = (
                    values.dtype.str,
                    values.shape,
                    values.tobytes(),
                    variable.dims,
                    str(variable.attrs),
                )
    return everything


def refusal(action: Callable[[], object]) -> str:
    """The one sentence of a refusal that also leaves no file open."""
    before = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
    with pytest.raises(EdfkitError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == before
    return message


def equal(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


# --- What is written is read back


def test_reads_back_what_was_written(original: Path) -> None:
    validate(original)
    with Archive(original) as opened:
        assert opened.path == original
        assert {name: opened.attrs[name] for name in REQUIRED_ATTRS} == ATTRS
        assert opened.attrs["format"] == "edfkit"
        assert opened.attrs["format_version"] == 1
        assert opened.names == ["resnet", "vanilla"]
        assert opened.models("resnet") == 25
        assert opened.models("VANILLA") == 12
        assert opened.group_attrs("ResNet") == GROUP_ATTRS["resnet"]
        assert opened.variables("vanilla") == REQUIRED
        assert opened.variables("resnet") == STAGED
        for name, population in two_populations().items():
            for key, values in population.items():
                read = opened.read(name, key)
                equal(read, values)
                assert read.dtype.kind == np.asarray(values).dtype.kind


def test_h5py_reads_it(original: Path) -> None:
    expected = two_populations()["resnet"]
    with h5py.File(original) as file:
        group = file["resnet"]
        equal(group["test_error"][:, 3], expected["test_error"][:, 3])
        assert group["id"].dtype == "S1"
        assert group["status"].dtype == np.int8
        equal(group["status"].attrs["flag_values"], [0, 1, 2])
        assert group["status"].attrs["flag_meanings"] == b"finished diverged failed"
        for name in STAGED:
            dataset = group[name]
            assert dataset.fletcher32, name
            assert dataset.shuffle, name
            assert dataset.compression == "gzip", name
            assert dataset.attrs["long_name"], name
            assert dataset.attrs["units"].decode() == VARIABLES[name].units


def test_h5netcdf_reads_it(original: Path) -> None:
    with h5netcdf.File(original, "r") as file:
        group = file["resnet"]
        assert {name: len(dim) for name, dim in group.dimensions.items()} == {
            "model": 25,
            "stage": 3,
            "epoch": 12,
            "id_length": len("modèle-24".encode()),
            "record_length": 22,
        }
        for name in STAGED:
            spec = VARIABLES[name]
            assert group[name].dimensions[: len(spec.dims)] == spec.dims
        equal(group["params"][:], two_populations()["resnet"]["params"])
        assert file.attrs["title"] == ATTRS["title"]
        assert group["lr"].attrs["units"] == "1"


def test_xarray_reads_it_as_to_xarray_does(original: Path) -> None:
    for name, population in two_populations().items():
        with open_dataset(original, name) as foreign, Archive(original) as opened:
            own = opened.to_xarray(name)
            for key, values in population.items():
                equal(foreign[key].astype(str) if key == "id" else foreign[key], values)
                equal(own[key], values)
                assert own[key].dims == foreign[key].dims == VARIABLES[key].dims
                assert own[key].attrs["units"] == foreign[key].attrs["units"] == VARIABLES[key].units
            assert own.attrs == opened.group_attrs(name)
        assert own["error"].values.size  # in memory: the archive is closed


def layout(group: h5py.Group, names: Iterable[str]) -> dict[str, Any]:
    """What makes data sets variables and dimensions of netCDF-4: their types and the attributes that it keeps."""

    def of(item: h5py.Dataset) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        for name in item.attrs:
            if name.startswith("_Netcdf4") or name in HIDDEN_ATTRS:
                attrs[name] = item.attrs.get_id(name).get_type().get_class(), item.attrs[name]
        if "DIMENSION_LIST" in attrs:
            attrs["DIMENSION_LIST"] = [group[scale].name for (scale,) in item.attrs["DIMENSION_LIST"]]
        if "REFERENCE_LIST" in attrs:
            attrs["REFERENCE_LIST"] = [(group[each].name, int(axis)) for each, axis in item.attrs["REFERENCE_LIST"]]
        if "NAME" in attrs:
            attrs["NAME"] = item.attrs.get_id("NAME").get_type().get_size(), item.attrs["NAME"]
        return {"dtype": item.dtype, "shape": item.shape, "chunks": item.chunks} | attrs

    return {name: of(group[name]) for name in names}


def test_h5netcdf_lays_it_out_alike(tmp_path: Path) -> None:
    """Dimensions with and without a variable, numbered throughout the file, and what refers to what."""
    population = with_curves(6, 4, np.random.default_rng(0)) | {"epoch": Variable(np.arange(4), ("epoch",))}
    write(tmp_path / "a.h5", {"x": population, "y": scalars(3, np.random.default_rng(1))}, ATTRS)
    with h5netcdf.File(tmp_path / "b.h5", "w") as file, Archive(tmp_path / "a.h5") as opened:
        for name in opened.names:
            fields = {variable: opened.field(name, variable) for variable in opened.variables(name)}
            group = file.create_group(name)
            dims = {v: (*f.dims, f"{v}_length")[: len(f.shape)] for v, f in fields.items()}
            sizes = [zip(dims[v], f.shape, strict=True) for v, f in fields.items()]
            group.dimensions = {dim: size for each in sizes for dim, size in each}
            for variable, field in fields.items():
                group.create_variable(variable, dims[variable], field.dtype, chunks=field.shape)
    with h5py.File(tmp_path / "a.h5") as ours, h5py.File(tmp_path / "b.h5") as theirs:
        for name in ("x", "y"):
            assert list(ours[name]) == list(theirs[name])
            np.testing.assert_equal(layout(ours[name], ours[name]), layout(theirs[name], theirs[name]))


def test_h5netcdf_goes_on_with_it(copy: Path) -> None:
    before = content(copy)
    with h5netcdf.File(copy, "a") as file:
        group = file["resnet"]
        group.dimensions["fold"] = 2
        group.create_variable("by_fold", ("model", "fold"), data=np.ones((25, 2)))
        group["error"].attrs["comment"] = "as published"
        numbers = [dim._dimid for each in file.groups.values() for dim in each.dimensions.values()]
        assert len(set(numbers)) == len(numbers)
    validate(copy)
    with Archive(copy) as opened:
        assert opened.field("resnet", "by_fold").dims == ("model", "fold")
        assert opened.field("resnet", "error").attrs["comment"] == "as published"
    after = content(copy)
    changed = {key for key in before if after[key] != before[key]}
    assert changed == {("resnet", "error")}


def test_netcdf_tools_read_it(original: Path, tmp_path: Path) -> None:
    if not shutil.which("ncdump"):
        pytest.skip("ncdump is not installed (Debian: netcdf-bin)")
    header = subprocess.run(["ncdump", "-h", original], check=True, capture_output=True, text=True).stdout
    assert "group: resnet {" in header
    assert "model = 25 ;" in header
    assert "double test_error(model, epoch) ;" in header
    assert 'error:units = "percent" ;' in header
    assert "status:flag_values = 0b, 1b, 2b ;" in header
    data = subprocess.run(["ncdump", original], check=True, capture_output=True, text=True).stdout
    assert 'le-7",' in data  # after "mod", and the bytes of "è"
    if shutil.which("nccopy"):
        subprocess.run(["nccopy", original, tmp_path / "copied.nc"], check=True)
        validate(tmp_path / "copied.nc")


def test_extra_variables(tmp_path: Path) -> None:
    population = with_curves(6, 4, np.random.default_rng(0))
    flags = {"flag_values": np.arange(3, dtype=np.int8), "flag_meanings": "a b c", "long_name": "colour"}
    extras: Population = {
        "note": ["", "é", "three", "a" * 300, "e", "f"],
        "fast": np.array([True, False] * 3),
        "peak": np.arange(6, dtype=np.uint16),
        "grad_norm": np.ones((6, 4), dtype=np.float32),
        "stride": np.ones((6, 3), dtype=np.int32),
        "colour": Variable(np.zeros((6, 2, 5), dtype=np.int8), ("model", "cell", "node"), flags),
        "stage_name": Variable(["one", "two", "three"], ("stage",)),
        "epoch": Variable(np.arange(1, 5), ("epoch",), {"units": "1", "long_name": "epoch"}),
    }
    write(tmp_path / "a.h5", {"x": population | extras}, ATTRS)
    validate(tmp_path / "a.h5")
    with Archive(tmp_path / "a.h5") as opened:
        assert opened.variables("x") == [*STAGED, *sorted(extras)]
        equal(opened.read("x", "note"), extras["note"])
        equal(opened.read("x", "fast"), [1, 0] * 3)
        assert opened.variable("x", "grad_norm").dims == ("model", "epoch")
        assert opened.variable("x", "stride").dims == ("model", "stage")
        assert opened.variable("x", "peak").attrs["long_name"] == "peak"
        assert opened.variable("x", "colour").dims == ("model", "cell", "node")
        assert opened.variable("x", "colour").attrs["flag_meanings"] == "a b c"
        assert dict(opened.to_xarray("x").sizes) == {"model": 6, "stage": 3, "epoch": 4, "cell": 2, "node": 5}
        equal(opened.to_xarray("x")["stage_name"], ["one", "two", "three"])
        # What is read can be written again, to the same bytes.
        again = {"x": {key: opened.variable("x", key) for key in opened.variables("x")}}
        write(tmp_path / "b.h5", again, opened.attrs)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_populations_of_cells_read_back(cells: Path, tmp_path: Path) -> None:
    expected = of_cells(9, 5, np.random.default_rng(7))
    validate(cells)
    with Archive(cells) as opened:
        assert opened.variables("nas") == [name for name in VARIABLES if name in expected]
        for key, values in expected.items():
            equal(opened.read("nas", key), values)
        assert {opened.read("nas", key).dtype for key in CELLS} == {np.dtype(np.int8)}
        write(tmp_path / "b.h5", {"nas": {key: opened.variable("nas", key) for key in expected}}, opened.attrs)
    assert (tmp_path / "b.h5").read_bytes() == cells.read_bytes()


def test_other_readers_read_cells(cells: Path) -> None:
    expected = of_cells(9, 5, np.random.default_rng(7))
    dims = {"op": ("model", "cell", "node", "operand"), "concat": ("model", "cell", "node")}
    dims |= {"input": dims["op"], "depth": ("model",), "width": ("model",)}
    with h5netcdf.File(cells, "r") as file:
        sizes = {name: len(dim) for name, dim in file["nas"].dimensions.items()}
        assert sizes == {"model": 9, "cell": 2, "node": 5, "operand": 2, "id_length": len("modèle-8".encode())}
        assert {name: file["nas"][name].dimensions for name in dims} == dims
        assert file["nas/op"].attrs["flag_meanings"] == " ".join(OPS)
        equal(file["nas/op"].attrs["flag_values"], range(16))
    with open_dataset(cells, "nas") as foreign, Archive(cells) as opened:
        own = opened.to_xarray("nas")
        for key in dims:
            equal(foreign[key], expected[key])
            equal(own[key], expected[key])
            assert own[key].dims == foreign[key].dims == dims[key]
            assert own[key].attrs["long_name"] == foreign[key].attrs["long_name"] == specs(expected)[key].long_name
        for key, meanings in (("op", list(OPS)), ("status", ["finished", "diverged", "failed"])):
            for read in (foreign[key], own[key]):
                assert read.attrs["flag_meanings"].split() == meanings
                equal(read.attrs["flag_values"], np.arange(len(meanings)))
        assert own["depth"].attrs["long_name"] == "number of cells"
        assert own["width"].attrs["long_name"] == "channels of the first cell"
        assert "0 normal, 1 reduce" in own["op"].attrs["long_name"]


def test_netcdf_tools_read_cells(cells: Path) -> None:
    if not shutil.which("ncdump"):
        pytest.skip("ncdump is not installed (Debian: netcdf-bin)")
    header = subprocess.run(["ncdump", "-h", cells], check=True, capture_output=True, text=True).stdout
    assert "byte op(model, cell, node, operand) ;" in header
    assert 'op:flag_meanings = "none skip_connect ' in header


def test_the_codes_of_ops_stay() -> None:
    assert (len(OPS), len(set(OPS)), OPS[0], OPS[6], OPS[15]) == (16, 16, "none", "sep_conv_3x3", "conv_7x1_1x7")
    assert [name for name, spec in VARIABLES.items() if spec.flags] == ["status", "op"]


def some_populations() -> st.SearchStrategy[dict[str, Population]]:
    percent = st.floats(0, 100)
    count = st.floats(0, 1e300) | st.just(float("nan"))
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)

    @st.composite
    def population(draw: st.DrawFn) -> Population:
        n, epochs = draw(st.integers(1, 5)), draw(st.integers(1, 4))
        drawn: Population = {key: draw(hnp.arrays(float, n, elements=count)) for key in REQUIRED}
        status = draw(hnp.arrays(np.int8, n, elements=st.integers(0, 2)))
        curve = draw(hnp.arrays(float, (n, epochs), elements=percent))
        drawn |= {
            "id": draw(st.lists(text, min_size=n, max_size=n, unique=True)),
            "status": status,
            "test_error": curve,
            "error": np.where(status == 2, np.nan, curve.min(axis=1)),
            "error_final": draw(hnp.arrays(float, n, elements=percent | st.just(float("nan")))),
            "params": draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2**62))),
            "train_loss": draw(hnp.arrays(float, (n, epochs))),
        }
        return drawn

    return st.dictionaries(
        st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True), population(), min_size=1, max_size=3
    )


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(populations=some_populations())
def test_any_population_reads_back(populations: dict[str, Population], tmp_path: Path) -> None:
    write(tmp_path / "any.h5", populations, ATTRS)
    with Archive(tmp_path / "any.h5") as opened:
        assert opened.names == sorted(populations)
        for name, population in populations.items():
            for key, values in population.items():
                equal(opened.read(name, key), values)


def test_same_input_gives_same_bytes(original: Path, tmp_path: Path) -> None:
    time.sleep(1.1)  # HDF5 keeps times in whole seconds
    other_order = {name: dict(reversed(p.items())) for name, p in reversed(two_populations().items())}
    write(tmp_path / "again.h5", other_order, dict(reversed(ATTRS.items())), GROUP_ATTRS)
    assert (tmp_path / "again.h5").read_bytes() == original.read_bytes()


def test_a_comparison_of_25000_models_touches_little(tmp_path: Path) -> None:
    write(tmp_path / "big.h5", {"big": with_curves(25_000, 100, np.random.default_rng(2))}, ATTRS)
    with h5py.File(tmp_path / "big.h5") as file:
        group = file["big"]
        touched = 0
        for name in ("error", "params", "status"):
            assert group[name].chunks == (25_000,)
            touched += group[name].id.get_storage_size()
        assert touched < 1_000_000
        assert group["test_error"].id.get_storage_size() > 10_000_000  # what an analysis leaves alone
        assert group["test_error"].chunks[1] == 100
        assert 2**19 < np.prod(group["test_error"].chunks) * 8 <= 2**20


def loaded_by(code: str, tmp_path: Path) -> set[str]:
    code += "; import sys; print(*{'xarray', 'pandas', 'scipy', 'h5netcdf', 'torch'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    return set(run.stdout.split())


def test_reading_loads_no_heavy_package(original: Path, tmp_path: Path) -> None:
    assert loaded_by(f"import edfkit.archive as a; a.validate({str(original)!r})", tmp_path) == set()
    assert loaded_by(f"import edfkit.archive as a; a.Archive({str(original)!r}).to_xarray('resnet')", tmp_path) >= {
        "xarray"
    }


def test_text_takes_no_more_characters_than_it_has(tmp_path: Path) -> None:
    for ids in (["m1", "m22"], ["é", "m2"]):
        population = scalars(2, np.random.default_rng(0)) | {"id": np.array(ids, "U40")}
        write(tmp_path / "a.h5", {"x": population}, ATTRS)
        with h5py.File(tmp_path / "a.h5") as file:
            assert file["x/id"].shape == (2, max(len(text.encode()) for text in ids))


# --- Packed numbers

PACKED: list[tuple[str, Any, str, int | None]] = [
    ("whole", [[1.0, 2.0]], "<i2", 0),
    ("two decimals", [[0.25, 99.99]], "<i2", 2),
    ("three decimals", [[99.999, np.nan]], "<i4", 3),
    ("six decimals", [[2147.483647, 1e-6]], "<i4", 6),
    ("five are six", [[0.12345, 7.0]], "<i4", 6),
    ("not known", [[np.nan, np.nan]], "<i2", 0),
    ("negative", [[-3276.7, 3276.7]], "<i2", 1),
    ("too large for six", [[2147.483648, 1e-6]], "<f8", None),
    ("seven decimals", [[0.1234567, 1.0]], "<f8", None),
    ("a seventh", [[0.1 + 0.2, 0.3]], "<f8", None),
    ("infinite", [[np.inf, 1.0]], "<f8", None),
    ("minus zero", [[-0.0, 1.0]], "<f8", None),
    ("thirds", [[100 / 797, 1.0]], "<f8", None),
]


@pytest.mark.parametrize(("values", "dtype", "decimals"), [pytest.param(*x, id=i) for i, *x in PACKED])
def test_few_decimals_are_packed_without_loss(tmp_path: Path, values: Any, dtype: str, decimals: int | None) -> None:
    population = scalars(1, np.random.default_rng(0)) | {"train_loss": np.array(values)}
    write(tmp_path / "a.h5", {"x": population}, ATTRS)
    with Archive(tmp_path / "a.h5") as opened:
        read = opened.read("x", "train_loss")
        assert read.dtype == np.float64
        bits = np.array(values).view(np.int64)
        equal(np.where(np.isnan(values), 0, read.view(np.int64)), np.where(np.isnan(values), 0, bits))
        equal(np.isnan(read), np.isnan(values))
        described = opened.field("x", "train_loss")
        assert (described.dtype, described.decimals, described.type) == (np.dtype(dtype), decimals, np.dtype(float))
        assert opened.variable("x", "train_loss").attrs == {"units": "nats", "long_name": "training loss of each epoch"}
        assert [piece["train_loss"].tobytes() for piece in opened.chunks("x", ["train_loss"])] == [read.tobytes()]
        write(tmp_path / "b.h5", {"x": {v: opened.variable("x", v) for v in population}}, opened.attrs)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with open_dataset(tmp_path / "a.h5", "x") as foreign:
        np.testing.assert_allclose(foreign["train_loss"], values, rtol=1e-6)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=hnp.arrays(np.int64, (7, 3), elements=st.integers(-(2**31) + 1, 2**31 - 1)),
    decimals=st.integers(0, 6),
    unknown=hnp.arrays(bool, (7, 3)),
)
def test_every_number_of_six_decimals_comes_back(values: Any, decimals: int, unknown: Any, tmp_path: Path) -> None:
    numbers = np.array([[float(f"{value}e-{decimals}") for value in row] for row in values.tolist()])
    numbers[unknown] = np.nan
    population = scalars(7, np.random.default_rng(0)) | {"train_loss": numbers}
    write(tmp_path / "a.h5", {"x": population}, ATTRS)
    with Archive(tmp_path / "a.h5") as opened:
        equal(opened.read("x", "train_loss"), numbers)


def test_other_packings_are_refused(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        without_digests(file["resnet"])
        assert file["resnet/bot_mul"].dtype == np.int16
        file["resnet/bot_mul"].attrs["scale_factor"] = 0.5
    with Archive(copy) as opened:
        assert "'bot_mul' is packed by the scale_factor 0.5, expected 1, 0.1" in refusal(
            lambda: opened.read("resnet", "bot_mul")
        )
    population = two_populations()["resnet"]
    population["bot_mul"] = Variable(population["bot_mul"], attrs={"scale_factor": 0.1})
    assert "'scale_factor' says how values are stored" in refusal(lambda: write(copy, {"x": population}, ATTRS))


# --- Digests


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an archive of many chunks."""
    monkeypatch.setattr(writer, "_CHUNK_BYTES", 512)
    write(tmp_path / "long.h5", {"x": with_curves(300, 4, np.random.default_rng(8))}, ATTRS)
    return tmp_path / "long.h5"


def swap(path: Path, name: str, one: int, other: int) -> None:
    """Swap the bytes of two chunks of one length, with their checksums."""
    with h5py.File(path) as file:
        chunks = [file[name].id.get_chunk_info(i) for i in (one, other)]
    assert chunks[0].size == chunks[1].size
    data = bytearray(path.read_bytes())
    a, b = (slice(chunk.byte_offset, chunk.byte_offset + chunk.size) for chunk in chunks)
    data[a], data[b] = data[b], data[a]
    path.write_bytes(data)


def test_swapped_chunks_are_found(long: Path) -> None:
    with h5py.File(long) as file:
        sizes = [file["x/train_error"].id.get_chunk_info(i).size for i in range(18)]
        crcs = file["x/train_error"].attrs["crc32"]
        assert (crcs.shape, crcs.dtype, file["x/train_error"].attrs["crc32_rows"]) == ((19,), np.uint32, [16])
        stored = file["x/train_error"][16:32]
    assert zlib.crc32(stored.tobytes()) == crcs[1]
    one, other = next((i, j) for i in range(18) for j in range(i) if sizes[i] == sizes[j])
    whole = long.read_bytes()
    swap(long, "x/train_error", one, other)
    assert "'train_error' cannot be read: it is incomplete or fails a checksum (rows" in refusal(lambda: validate(long))
    with Archive(long) as opened:
        assert "fails a checksum" in refusal(lambda: opened.read("x", "train_error"))
        assert "fails a checksum" in refusal(lambda: list(opened.chunks("x", ["train_error"], rows=1)))
        at = 16 * one
        assert "fails a checksum" in refusal(lambda: list(opened.chunks("x", ["train_error"], at, at + 16)))
        assert len(opened.read("x", "test_error")) == 300
    # Without digests, as other writers leave an archive, nothing tells.
    long.write_bytes(whole)
    with h5py.File(long, "r+") as file:
        without_digests(file["x"])
    swap(long, "x/train_error", one, other)
    validate(long)


def test_digests_are_checked_whatever_the_pieces(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive(long) as opened:
        whole = opened.read("x", "train_error")
        for start, stop, size in ((0, 300, 1_000), (3, 299, 1_000), (16, 33, 64), (5, 6, 64)):
            with monkeypatch.context() as patch:
                patch.setattr(reader, "_PIECE_BYTES", size)
                pieces = list(opened.chunks("x", ["train_error"], start, stop))
            equal(np.concatenate([piece["train_error"] for piece in pieces]), whole[start:stop])


def test_digests_of_other_lengths_are_refused(long: Path) -> None:
    with h5py.File(long, "r+") as file:
        file["x/error"].attrs["crc32"] = np.zeros(3, np.uint32)
    with Archive(long) as opened:
        assert "not a digest for each part" in refusal(lambda: opened.read("x", "error"))


def test_the_digests_of_many_models_stay_below_4000_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_CHUNK_BYTES", 16)
    population = scalars(2_500, np.random.default_rng(0))
    write(tmp_path / "a.h5", {"x": population}, ATTRS)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["x/error"].chunks == (2,)
        assert file["x/error"].attrs["crc32_rows"] == [4]
        assert file["x/error"].attrs["crc32"].nbytes == 2_500


# --- Population by population, and block by block


def fields_of(path: Path, name: str) -> dict[str, Field]:
    with Archive(path) as opened:
        return {v: opened.field(name, v) for v in opened.variables(name)}


def blocks_of(population: Population, size: int) -> Iterator[Population]:
    for start in range(0, len(population["id"]), size):
        yield {name: np.asarray(values)[start : start + size] for name, values in population.items()}


def test_populations_written_one_by_one_are_those_written_together(original: Path, tmp_path: Path) -> None:
    with writing(tmp_path / "a.h5", ATTRS) as writer:
        for name, population in two_populations().items():
            writer.add(name, population, GROUP_ATTRS.get(name))
        assert leftovers(tmp_path) == [f".a.h5.{os.getpid()}{TEMPORARY_SUFFIX}"]
    assert (tmp_path / "a.h5").read_bytes() == original.read_bytes()


@pytest.mark.parametrize("size", [1, 7, 100, 1_000])
def test_a_stream_is_what_is_written_whole(long: Path, tmp_path: Path, size: int) -> None:
    population = with_curves(300, 4, np.random.default_rng(8))
    fields = fields_of(long, "x")
    fields["id"] = replace_field(fields["id"], shape=(300, 40))  # wider than needed
    with writing(tmp_path / "s.h5", ATTRS) as writer:
        writer.stream("x", fields, blocks_of(population, size))
    validate(tmp_path / "s.h5")
    assert content(tmp_path / "s.h5") == content(long)
    with h5py.File(long) as one, h5py.File(tmp_path / "s.h5") as other:
        for name in set(population) - {"id"}:
            assert one["x"][name].chunks == other["x"][name].chunks
            equal(one["x"][name].attrs["crc32"], other["x"][name].attrs["crc32"])


def test_the_blocks_leave_no_trace_in_the_bytes(long: Path, tmp_path: Path) -> None:
    """Chunks of 512 bytes hold 16 to 512 models, so that blocks end within them and complete some of each variable."""
    population, fields = with_curves(300, 4, np.random.default_rng(8)), fields_of(long, "x")
    for size in (1, 37, 200):
        with writing(tmp_path / "s.h5", ATTRS) as writer:
            writer.stream("x", fields, blocks_of(population, size))
        assert (tmp_path / "s.h5").read_bytes() == long.read_bytes()


STREAMS: list[tuple[str, Callable[[dict[str, Field], list[Population]], object], str]] = [
    ("too few", lambda f, b: b.pop(), "blocks of 30 models came, expected 40"),
    ("too many", lambda f, b: b.append(b[0]), "blocks of 50 models came, expected 40"),
    ("same id", lambda f, b: b[3]["id"].__setitem__(0, b[0]["id"][1]), "the id 'modèle-1' stands for 2 models"),
    ("lacks one", lambda f, b: b[1].pop("lr"), "the block from model 10 on has"),
    (
        "range",
        lambda f, b: b[2]["error_final"].__setitem__(1, 101),
        "'error_final' of model 21 is 101",
    ),
    ("curve", lambda f, b: b[2]["error"].__setitem__(1, 1), "'error' of model 21 is 1.0"),
    ("wide text", lambda f, b: b[1].update(id=np.full(10, "x" * 99)), "'id' has 99 bytes, expected"),
    ("shape", lambda f, b: b[1].update(test_error=np.ones((10, 3))), "'test_error' has the shape (10, 3)"),
    ("decimals", lambda f, b: b[1]["bot_mul"].__setitem__((2, 0), 1 / 3), "values that int16 with 2 decimals"),
    ("kind", lambda f, b: b[1].update(lr=["a"] * 10), "'lr' cannot be stored exactly as <f8"),
    ("no id", lambda f, b: f.pop("id"), "lacks 'id'"),
    ("units", lambda f, b: f.update(lr=replace_field(f["lr"], attrs={"units": "m"})), "has units 'm'"),
    ("dims", lambda f, b: f.update(lr=replace_field(f["lr"], dims=("epoch",))), "expected ('model',)"),
    ("length", lambda f, b: f.update(lr=f["lr"].of(39)), "has length 39 along 'model'"),
]


@pytest.mark.parametrize(("change", "expected"), [pytest.param(c, x, id=i) for i, c, x in STREAMS])
def test_a_stream_that_breaks_a_rule_leaves_nothing(
    tmp_path: Path, change: Callable[[dict[str, Field], list[Population]], object], expected: str
) -> None:
    population = with_curves(40, 4, np.random.default_rng(8))
    write(tmp_path / "a.h5", {"x": population}, ATTRS)
    fields = fields_of(tmp_path / "a.h5", "x")
    blocks = [{k: np.array(v) for k, v in block.items()} for block in blocks_of(population, 10)]
    change(fields, blocks)

    def stream() -> None:
        with writing(tmp_path / "s.h5", ATTRS) as writer:
            writer.stream("x", fields, blocks)

    assert expected in refusal(stream)
    assert leftovers(tmp_path) == ["a.h5"]


def test_an_exception_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    missing = FileNotFoundError(2, "No such file", "source.json")

    def write_and_raise(error: BaseException) -> None:
        with writing(tmp_path / "a.h5", ATTRS) as writer:
            writer.add("x", two_populations()["vanilla"])
            raise error

    for error in (missing, KeyboardInterrupt(), ValueError("odd")):
        with pytest.raises(type(error)) as caught:
            write_and_raise(error)
        assert caught.value is error
        assert leftovers(tmp_path) == []
    assert missing.filename == "source.json"


def test_a_writer_takes_root_attributes_to_the_end(tmp_path: Path) -> None:
    vanilla = two_populations()["vanilla"]
    for long in ("y", "y" * 50_000):
        with writing(tmp_path / "a.h5", ATTRS) as writer:
            writer.add("x", vanilla)
            writer.restate({"title": long, "more": "z", "recipe": '{"epochs": 3}'})
            writer.add("y", vanilla)
        validate(tmp_path / "a.h5")
        with Archive(tmp_path / "a.h5") as archive:
            assert archive.attrs["title"] == long
            assert (archive.attrs["more"], archive.recipe("x"), archive.recipe("y")) == ("z", *[{"epochs": 3}] * 2)
            assert archive.attrs["source"] == ATTRS["source"]
            assert archive.attrs["format_version"] == 1
    before = (tmp_path / "a.h5").read_bytes()

    def restated(attrs: dict[str, str]) -> None:
        with writing(tmp_path / "a.h5", ATTRS) as writer:
            writer.add("x", vanilla)
            writer.restate(attrs)

    assert "'recipe' is not JSON" in refusal(lambda: restated({"recipe": "{"}))
    assert "60000 at most" in refusal(lambda: restated({"title": "y" * 60_001}))
    assert (tmp_path / "a.h5").read_bytes() == before


def test_what_a_writer_does_not_take(tmp_path: Path) -> None:
    vanilla = two_populations()["vanilla"]

    def twice() -> None:
        with writing(tmp_path / "a.h5", ATTRS) as writer:
            writer.add("x", vanilla)
            writer.add("x", vanilla)

    def nothing() -> None:
        with writing(tmp_path / "a.h5", ATTRS):
            pass

    def half() -> None:
        with writing(tmp_path / "a.h5", ATTRS) as writer, pytest.raises(ValueError, match="stop"):
            writer.stream("x", fields, broken())

    def broken() -> Iterator[Population]:
        yield from blocks_of(vanilla, 5)
        raise ValueError("stop")

    write(tmp_path / "b.h5", {"x": vanilla}, ATTRS)
    fields = fields_of(tmp_path / "b.h5", "x")
    assert "has been written before" in refusal(twice)
    assert "no populations to write" in refusal(nothing)
    assert "was begun and not finished" in refusal(half)
    assert leftovers(tmp_path) == ["b.h5"]


def test_a_population_may_say_what_it_was_trained_on(copy: Path) -> None:
    attrs: dict[str, dict[str, str | int | float]] = {"x": {"dataset": "cifar10", "recipe": '{"epochs": 100}'}}
    vanilla = two_populations()["vanilla"]
    write(copy, {"x": vanilla, "y": vanilla}, ATTRS, attrs)
    with Archive(copy) as opened:
        assert (opened.dataset("X"), opened.recipe("X")) == ("cifar10", {"epochs": 100})
        assert (opened.dataset("y"), opened.recipe("y")["epochs"]) == ("the dataset", 12)
    for wrong, expected in (
        ({"recipe": "{"}, "'recipe' is not JSON"),
        ({"dataset": 3}, "'dataset' is 3, expected text"),
    ):
        assert expected in refusal(lambda wrong=wrong: write(copy, {"x": vanilla}, ATTRS, {"x": wrong}))  # type: ignore[misc]
        with h5py.File(copy, "r+") as file:
            file["x"].attrs.update(wrong)
        assert expected in refusal(lambda: validate(copy))
        write(copy, {"x": vanilla, "y": vanilla}, ATTRS, attrs)


# --- Refused: what is no archive, and what breaks a rule


def test_refuses_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    assert "does not exist" in refusal(lambda: Archive(path))
    assert "is a folder" in refusal(lambda: Archive(tmp_path))
    path.write_bytes(b"")
    assert "is empty" in refusal(lambda: Archive(path))
    path.write_bytes(b'[{"error": 5.0}]')
    assert "not an HDF5 file" in refusal(lambda: Archive(path))
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert "incomplete" in refusal(lambda: Archive(path))
    with h5py.File(path, "w") as file:
        file["x"] = [1, 2]
    assert "not an edfkit archive" in refusal(lambda: Archive(path))
    refusal(lambda: Archive("a\0b"))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert "not a regular file" in refusal(lambda: Archive(tmp_path / "pipe"))


def test_refuses_unknown_names(original: Path) -> None:
    with Archive(original) as opened:
        assert "choose from 'resnet', 'vanilla'." in refusal(lambda: opened.read("resnext", "error"))
        assert "choose from 'id', 'error', 'error_final'" in refusal(lambda: opened.read("vanilla", "depth"))
    opened.close()
    assert "closed" in refusal(lambda: opened.read("resnet", "error"))


def without_digests(group: h5py.Group) -> None:
    """Remove the digests of its variables, so that other values are found by the other checks."""
    for dataset in group.values():
        for name in ("crc32", "crc32_rows"):
            dataset.attrs.pop(name, None)


def replace(group: h5py.Group, name: str, values: Any) -> None:
    attrs = {key: group[name].attrs[key] for key in ("units", "long_name")}
    del group[name]
    dataset = group.create_dataset(name, data=values)
    dataset.attrs.update(attrs)


EDITS: list[tuple[str, Callable[[h5py.File], None], str]] = [
    ("newer", lambda f: f.attrs.modify("format_version", [3]), "update edfkit"),
    ("other format", lambda f: f.attrs.modify("format", b"pycls"), "not an edfkit archive"),
    ("version is text", lambda f: f.attrs.create("format_version", "1"), "not an edfkit archive"),
    ("recipe", lambda f: f.attrs.create("recipe", "epochs: 3"), "not JSON"),
    ("empty", lambda f: f.clear(), "no populations"),
    ("short", lambda f: replace(f["resnet"], "params", np.arange(24)), "has length 24 along 'model'"),
    ("short curve", lambda f: replace(f["resnet"], "train_loss", np.ones((25, 11))), "has length 11 along 'epoch'"),
    ("no model", lambda f: replace(f["resnet"], "id", np.zeros((0, 9), "S1")), "length 0"),
    ("transposed", lambda f: replace(f["resnet"], "test_error", np.ones((12, 25))), "has length 12 along 'model'"),
    ("two axes", lambda f: replace(f["resnet"], "error", np.ones((25, 1))), "one axis for each of ('model',)"),
    ("text error", lambda f: replace(f["resnet"], "error", ["a"] * 25), "expected <f8"),
    ("float status", lambda f: replace(f["resnet"], "status", np.ones(25)), "expected |i1"),
    ("share", lambda f: f["resnet/error"].attrs.create("units", "1"), "has units '1', expected 'percent'"),
    ("error above 100", lambda f: f["resnet/error"].write_direct(np.full(25, 100.5)), "is 100.5, expected 0..100"),
    ("error below 0", lambda f: f["vanilla/error"].write_direct(np.full(12, -1.0)), "is -1.0, expected 0..100"),
    ("final above 100", lambda f: f["resnet/error_final"].write_direct(np.full(25, 101.0)), "'error_final' of model 0"),
    ("NaN error", lambda f: f["vanilla/error"].write_direct(np.full(12, np.nan)), "NaN only for a failed model"),
    ("negative params", lambda f: f["resnet/params"].write_direct(np.arange(25) - 3), "of model 0 is -3"),
    ("negative flops", lambda f: f["resnet/flops"].write_direct(np.arange(25) - 3.0), "of model 0 is -3.0"),
    ("infinite acts", lambda f: f["resnet/acts"].write_direct(np.full(25, np.inf)), "a finite number, 0 or more"),
    ("status", lambda f: f["resnet/status"].write_direct(np.full(25, 3, np.int8)), "expected 0..2"),
    ("curve", lambda f: f["resnet/train_error"].write_direct(np.full((25, 12), 200.0)), "'train_error' of model 0"),
    ("minimum", lambda f: f["resnet/error"].write_direct(np.full(25, 1.0)), "the smallest 'test_error'"),
    ("same id", lambda f: f["resnet/id"].write_direct(np.full((25, 10), b"a")), "stands for 25 models"),
    ("not UTF-8", lambda f: f["resnet/id"].write_direct(np.full((25, 10), b"\xff")), "'id' cannot be read"),
    ("no dimensions", lambda f: f["vanilla/lr"].dims[0].detach_scale(f["vanilla/model"]), "one axis for each of ()"),
]


@pytest.mark.parametrize(("edit", "expected"), [pytest.param(e, x, id=i) for i, e, x in EDITS])
def test_refuses_what_breaks_a_rule(copy: Path, edit: Callable[[h5py.File], None], expected: str) -> None:
    with h5py.File(copy, "r+") as file:
        for name in file:
            without_digests(file[name])
        edit(file)
    message = refusal(lambda: validate(copy))
    assert expected in message
    assert str(copy) in message


def changed(name: str, place: Any, value: int) -> Callable[[Population], None]:
    def change(population: Population) -> None:
        population[name] = np.array(population[name], np.int8 if name in CELLS else np.int64)
        population[name][place] = value

    return change


def reshaped(name: str, shape: tuple[int, ...]) -> Callable[[Population], None]:
    return lambda population: population.update({name: np.ones(shape, np.int8 if name in CELLS else np.int64)})


BROKEN_CELLS: list[tuple[str, Callable[[Population], object], str]] = [
    ("no op", lambda p: p.pop("op"), "has 'input', 'concat', expected all or none of 'op', 'input', 'concat'; add"),
    ("no input", lambda p: p.pop("input"), "has 'op', 'concat', expected all or none"),
    ("op only", lambda p: [p.pop("input"), p.pop("concat")], "has 'op', expected all or none"),
    ("unknown op", changed("op", (4, 1, 0, 1), 16), "'op' of model 4 is 16, expected 0..15"),
    ("negative op", changed("op", (4, 1, 0, 1), -1), "'op' of model 4 is -1, expected 0..15"),
    ("negative input", changed("input", (3, 0, 2, 0), -1), "'input' of model 3 is -1, expected a finite number, 0 or"),
    (
        "own input",
        changed("input", (3, 1, 2, 0), 4),
        "'input' of model 3 is 4 at operand 0 of node 2 of its reduce cell, expected 0..3, what comes earlier",
    ),
    (
        "later input",
        changed("input", (5, 0, 0, 1), 2),
        "'input' of model 5 is 2 at operand 1 of node 0 of its normal cell, expected 0..1, what comes earlier",
    ),
    ("no mask", changed("concat", (0, 0, 0), 2), "'concat' of model 0 is 2, expected 0..1"),
    (
        "no output",
        changed("concat", (6, 0), 0),
        "'concat' of model 6 is 0 at every node of its normal cell, expected 1 at one or more",
    ),
    (
        "depth of stages",
        reshaped("depth", (9, 3)),
        "'depth' has shape (9, 3), expected one axis for each of ('model',) (number of cells) with 'op'",
    ),
    ("width of stages", reshaped("width", (9, 3)), "('model',) (channels of the first cell) with 'op'"),
    (
        "stages without stage",
        lambda p: [p.pop(name) for name in CELLS],
        "'depth' has shape (9,), expected one axis for each of ('model', 'stage') (blocks per stage) without 'op'",
    ),
    (
        "three kinds",
        lambda p: [reshaped(name, (9, 3, 5, 2)[: 4 - (name == "concat")])(p) for name in CELLS],
        "'op' has length 3 along 'cell', expected 2",
    ),
    (
        "three operands",
        lambda p: [reshaped(name, (9, 2, 5, 3))(p) for name in ("op", "input")],
        "'op' has length 3 along 'operand', expected 2",
    ),
    ("other nodes", reshaped("concat", (9, 2, 4)), "'concat' has length 4 along 'node', expected 5 as others have"),
    ("one operand", reshaped("op", (9, 2, 5)), "one axis for each of ('model', 'cell', 'node', 'operand')"),
]


@pytest.mark.parametrize(("break_it", "expected"), [pytest.param(b, x, id=i) for i, b, x in BROKEN_CELLS])
def test_refuses_broken_cells(
    cells: Path, tmp_path: Path, break_it: Callable[[Population], object], expected: str
) -> None:
    path, population = tmp_path / "a.h5", of_cells(9, 5, np.random.default_rng(7))
    before = dict(population)
    break_it(population)
    assert expected in refusal(lambda: write(path, {"nas": population}, ATTRS))
    assert list(tmp_path.iterdir()) == []

    shutil.copy(cells, path)
    with h5py.File(path, "r+") as file:
        group = file["nas"]
        without_digests(group)
        for name in before:
            if name not in population:
                del group[name]
            elif population[name] is before[name]:
                continue
            elif population[name].shape == group[name].shape:
                group[name].write_direct(population[name])
            else:
                replace(group, name, population[name])
    message = refusal(lambda: validate(path))
    assert expected in message
    assert str(path) in message


def test_refuses_dimensions_of_the_other_kind(tmp_path: Path) -> None:
    population = of_cells(9, 5, np.random.default_rng(7))
    population["depth"] = Variable(np.ones((9, 3), int), ("model", "stage"))
    message = refusal(lambda: write(tmp_path / "a.h5", {"nas": population}, ATTRS))
    assert "'depth' has dimensions ('model', 'stage'), expected ('model',) (number of cells)" in message


@pytest.mark.parametrize("name", ["status", "op"])
@pytest.mark.parametrize(
    ("attribute", "value"), [("flag_meanings", "a b c"), ("flag_values", np.arange(3, dtype=np.int8)[::-1])]
)
def test_refuses_other_codes(cells: Path, tmp_path: Path, name: str, attribute: str, value: Any) -> None:
    """Codes that say of themselves that they mean something else would be misread."""
    path, population = tmp_path / "a.h5", of_cells(9, 5, np.random.default_rng(7))
    other = population | {name: Variable(population[name], attrs={attribute: value})}
    assert f"{name!r} has the {attribute}" in refusal(lambda: write(path, {"nas": other}, ATTRS))
    shutil.copy(cells, path)
    with h5py.File(path, "r+") as file:
        file["nas"][name].attrs[attribute] = value
    assert f"{name!r} has the {attribute}" in refusal(lambda: validate(path))


@pytest.mark.parametrize("variable", ["depth", "width"])
def test_cells_may_lack_depth_or_width(tmp_path: Path, variable: str) -> None:
    population = of_cells(9, 5, np.random.default_rng(7))
    del population[variable]
    write(tmp_path / "a.h5", {"nas": population}, ATTRS)
    validate(tmp_path / "a.h5")
    with Archive(tmp_path / "a.h5") as opened:
        assert variable not in opened.variables("nas")


@pytest.mark.parametrize("variable", REQUIRED)
def test_refuses_a_missing_variable(copy: Path, variable: str) -> None:
    with h5py.File(copy, "r+") as file:
        del file["vanilla"][variable]
    with Archive(copy) as opened:
        assert opened.names == ["resnet", "vanilla"]
        for ask in (opened.models, opened.variables, opened.group_attrs, lambda name: opened.read(name, REQUIRED[-1])):
            assert f"population 'vanilla' lacks {variable!r}" in refusal(lambda ask=ask: ask("vanilla"))  # type: ignore[misc]
        assert opened.models("resnet") == 25  # asked for, one population is as good as before
    populations = two_populations()
    del populations["vanilla"][variable]
    assert f"population 'vanilla' lacks {variable!r}" in refusal(lambda: write(copy, populations, ATTRS))


@pytest.mark.parametrize("variable", OPTIONAL)
def test_the_others_may_be_missing(copy: Path, variable: str) -> None:
    populations = two_populations()
    del populations["resnet"][variable]
    write(copy, populations, ATTRS)
    validate(copy)
    with Archive(copy) as opened:
        assert variable not in opened.variables("resnet")
        assert set(REQUIRED) < set(opened.variables("resnet"))


@pytest.mark.parametrize("attribute", ["format", "format_version", *REQUIRED_ATTRS])
def test_refuses_a_missing_attribute(copy: Path, attribute: str) -> None:
    with h5py.File(copy, "r+") as file:
        del file.attrs[attribute]
    refusal(lambda: Archive(copy))
    if attribute in ATTRS:
        attrs = {name: text for name, text in ATTRS.items() if name != attribute}
        assert repr(attribute) in refusal(lambda: write(copy, two_populations(), attrs))


def test_reading_one_variable_checks_that_one(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        without_digests(file["resnet"])
        file["resnet/error"][4] = 101.0
    with Archive(copy) as opened:
        assert len(opened.read("resnet", "params")) == 25
        assert "'error' of model 4 is 101.0" in refusal(lambda: opened.read("resnet", "error"))


def test_diverged_records_may_deviate_from_their_curve(copy: Path) -> None:
    population = two_populations()["resnet"]
    population["error"][2] = 100.0
    assert "of model 2 is 100.0" in refusal(lambda: write(copy, {"x": population}, ATTRS))
    population["status"][2] = 1
    write(copy, {"x": population}, ATTRS)
    population["status"][2] = 0
    population["test_error"][2] = np.nan
    write(copy, {"x": population}, ATTRS)


@pytest.mark.parametrize(("a", "b"), [("resnet", "vanilla"), ("resnet/macs", "resnet/params")])
def test_refuses_what_was_written_elsewhere(copy: Path, a: str, b: str) -> None:
    with h5py.File(copy, "r+") as file:
        for old, new in ((a, "kept"), (b, a), ("kept", b)):
            file.move(old, new)
    population, _, variable = a.partition("/")
    with Archive(copy) as opened:
        assert f"{a} is what was written as {b}" in refusal(lambda: opened.read(population, variable or "error"))
    assert " is what was written as " in refusal(lambda: validate(copy))


def test_reads_archives_that_do_not_say_where_things_belong(original: Path, copy: Path) -> None:
    def forget(path: str, item: Any) -> None:
        del item.attrs["_path"]

    with h5py.File(copy, "r+") as file:
        file.visititems(forget)
    assert content(copy) == content(original)


def test_refuses_values_that_are_not_stored(copy: Path) -> None:
    """A small file cannot claim a huge array: HDF5 would fill it with zeros, and take all memory."""
    with h5py.File(copy, "r+") as file:
        for name in REQUIRED:
            old = file["vanilla"][name]
            dtype, units = old.dtype, old.attrs["units"]
            del file["vanilla"][name]
            shape = (10**12, 9) if name == "id" else (10**12,)
            file["vanilla"].create_dataset(name, shape, dtype, chunks=True).attrs["units"] = units
    with Archive(copy) as opened:
        assert opened.models("vanilla") == 10**12
        assert "incomplete" in refusal(lambda: opened.read("vanilla", "error"))


def rejected(change: Population | None = None, *, name: str = "x", **arguments: Any) -> Callable[[Path], None]:
    population = two_populations()["resnet"] | (change or {})
    return lambda path: write(path, {name: population}, **({"attrs": ATTRS} | arguments))


REJECTED: list[tuple[str, Callable[[Path], None], str]] = [
    ("nothing", lambda path: write(path, {}, ATTRS), "no populations"),
    ("upper case", rejected(name="ResNet"), "cannot be called 'ResNet'"),
    ("path", rejected(name="a/b"), "cannot be called 'a/b'"),
    ("dots", rejected(name=".."), "cannot be called '..'"),
    ("short", rejected({"lr": np.ones(24)}), "has length 24"),
    ("scalar", rejected({"lr": 0.1}), "one axis for each of ('model',)"),
    ("status wraps", rejected({"status": np.full(25, 256)}), "cannot be stored exactly as |i1"),
    ("real depth", rejected({"depth": np.full((25, 3), 1.5)}), "cannot be stored exactly as <i8"),
    ("numbered ids", rejected({"id": np.arange(25)}), "cannot be stored exactly as text"),
    ("surrogate", rejected({"id": ["\ud800", *map(str, range(24))]}), "cannot be stored exactly as text"),
    ("ragged", rejected({"test_error": [[1.0], [1.0, 2.0]]}), "cannot be stored exactly as <f8"),
    ("objects", rejected({"lr": [None] * 25}), "cannot be stored exactly as <f8"),
    ("complex extra", rejected({"z": np.ones(25, complex)}), "cannot be stored exactly as numbers or text"),
    ("huge seed", rejected({"seed": np.full(25, 2**63 + 5, np.uint64)}), "cannot be stored exactly as <i8 or <f8"),
    ("unclear dims", rejected({"z": np.ones((25, 7))}), "the dimensions of 'z', of shape (25, 7), are unclear"),
    ("too few dims", rejected({"z": Variable(np.ones((25, 7)), ("model",))}), "one axis for each of ('model',)"),
    ("same dim twice", rejected({"z": Variable(np.ones((25, 25)), ("model", "model"))}), "one axis for each"),
    ("wrong dims", rejected({"lr": Variable(np.ones(25), ("epoch",))}), "expected ('model',)"),
    ("other length", rejected({"z": Variable(np.ones(3), ("epoch",))}), "has length 3 along 'epoch', expected 12"),
    ("dimension's name", rejected({"stage": np.ones(25)}), "is a dimension and a variable not along it"),
    ("variable's name", rejected({"a b": np.ones(25)}), "a variable cannot be called 'a b'"),
    ("other units", rejected({"error": Variable(np.ones(25), attrs={"units": "1"})}), "expected 'percent'"),
    ("bad recipe", rejected(attrs=ATTRS | {"recipe": "{"}), "not JSON"),
    ("NUL", rejected(attrs=ATTRS | {"title": "a\0b"}), "'title' is text with a NUL"),
    ("long title", rejected(attrs=ATTRS | {"title": "a" * 60_001}), "has 60001 bytes"),
    ("long attribute", rejected(group_attrs={"x": {"space": "a" * 4_001}}), "has 4001 bytes"),
    ("reserved attribute", rejected(group_attrs={"x": {"_NCProperties": "a"}}), "cannot be called '_NCProperties'"),
    ("other group's attribute", rejected(group_attrs={"y": {}}), "'y'"),
    ("attribute's type", rejected(group_attrs={"x": {"space": None}}), "neither text nor numbers"),
]


@pytest.mark.parametrize(("action", "expected"), [pytest.param(a, x, id=i) for i, a, x in REJECTED])
def test_does_not_write_what_breaks_a_rule(tmp_path: Path, action: Callable[[Path], None], expected: str) -> None:
    assert expected in refusal(lambda: action(tmp_path / "new.h5"))
    assert list(tmp_path.iterdir()) == []


# --- Refused: damage


def test_refuses_a_truncated_file(original: Path, tmp_path: Path) -> None:
    data, path = original.read_bytes(), tmp_path / "cut.h5"
    lengths = [*range(0, 60, 3), len(data) - 1, *np.random.default_rng(3).integers(60, len(data), 40)]
    for length in lengths:
        path.write_bytes(data[:length])
        assert str(path) in refusal(lambda: Archive(path))


def test_every_flipped_byte_is_refused_or_harmless(original: Path, tmp_path: Path) -> None:
    data, path, expected = original.read_bytes(), tmp_path / "flipped.h5", content(original)
    rng = np.random.default_rng(4)
    refused = 0
    for place in rng.integers(0, len(data), 120):
        damaged = bytearray(data)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            validate(path)
        except EdfkitError:
            refused += 1
        else:
            assert content(path) == expected, f"the flip at byte {place} went unseen"
    assert refused > 80  # the others fell into space that HDF5 leaves unused


def test_every_flipped_byte_of_a_long_recipe_is_refused(tmp_path: Path) -> None:
    """HDF5 keeps long attributes without a checksum unless the file is laid out with care."""
    path, recipe = tmp_path / "a.h5", '"' + "recipe" * 9_000 + '"'
    extra = {f"extra_{i}": "more than 8 attributes" for i in range(9)}
    write(path, two_populations(), ATTRS | extra | {"recipe": recipe})
    data = path.read_bytes()
    start = data.index(recipe.encode())
    for place in range(start, start + len(recipe), 2_003):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        refusal(lambda: Archive(path))


def test_names_the_variable_whose_checksum_fails(original: Path, copy: Path) -> None:
    with h5py.File(original) as file:
        chunk = file["resnet/train_loss"].id.get_chunk_info(0)
    data = bytearray(copy.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    data[middle - 50 : middle + 50] = bytes(100)
    copy.write_bytes(data)
    message = refusal(lambda: validate(copy))
    assert f"{copy}: population 'resnet': 'train_loss' cannot be read" in message
    assert "checksum" in message
    with Archive(copy) as opened:
        assert len(opened.read("resnet", "error")) == 25  # the others can still be read


def test_whatever_h5py_raises_is_translated(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (OSError, RuntimeError, KeyError, ValueError, SystemError, TypeError, AttributeError, MemoryError):

        def fail(*_: object, kind: type[Exception] = kind) -> None:
            raise kind("odd")

        with Archive(original) as opened, monkeypatch.context() as patch:
            patch.setattr("edfkit.archive.population.read_rows", fail)
            assert "'error' cannot be read" in refusal(lambda opened=opened: opened.read("resnet", "error"))  # type: ignore[misc]


# --- Never half-written


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(
    copy: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise failure

    old = copy.read_bytes()
    monkeypatch.setattr(os, step, fail)
    expected = EdfkitError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected) as caught:
        write(copy, {"x": two_populations()["vanilla"]}, ATTRS)
    monkeypatch.undo()
    if isinstance(failure, OSError):
        assert "was not written (No space left on device)" in str(caught.value)
    assert copy.read_bytes() == old
    assert leftovers(copy.parent) == [copy.name]


def test_a_copy_that_fails_its_check_is_not_put_in_place(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = copy.read_bytes()
    write_well = Disk.write

    def write_ill(disk: Disk, data: Any) -> int:
        return write_well(disk, bytes(data)[:-9] + bytes(9) if len(data) > 99 else data)

    monkeypatch.setattr(Disk, "write", write_ill)
    assert "was not written: read back, it failed" in refusal(lambda: write(copy, two_populations(), ATTRS))
    assert copy.read_bytes() == old
    assert leftovers(copy.parent) == [copy.name]


def test_refuses_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    populations = two_populations()
    assert "was not written" in refusal(lambda: write(tmp_path / "absent" / "a.h5", populations, ATTRS))
    (tmp_path / "file").write_text("no folder")
    assert "was not written" in refusal(lambda: write(tmp_path / "file" / "a.h5", populations, ATTRS))
    (tmp_path / "folder").mkdir()
    assert "was not written" in refusal(lambda: write(tmp_path / "folder", populations, ATTRS))
    assert leftovers(tmp_path) == ["file", "folder"]


def test_a_full_disk_leaves_the_old_file(small_disk: Path) -> None:
    path = small_disk / "a.h5"
    write(path, {"x": two_populations()["vanilla"]}, ATTRS)
    old = path.read_bytes()
    large = {"x": with_curves(500, 50, np.random.default_rng(5))}
    assert "No space left on device" in refusal(lambda: write(path, large, ATTRS))
    assert path.read_bytes() == old
    assert leftovers(small_disk) == ["a.h5"]


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {sys_path!r}
import test_archive as t
from edfkit import EdfkitError
path = Path({path!r})
"""


def child(path: Path, code: str) -> subprocess.Popen[str]:
    code = CHILD.format(
        sys_path=[str(Path(__file__).parent), *filter(None, sys.path)], path=str(path)
    ) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True, cwd=path.parent)


def test_a_disk_that_fills_while_streaming_leaves_the_old_file(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "a.h5"
    write(path, {"x": two_populations()["vanilla"]}, ATTRS)
    old = path.read_bytes()
    large = with_curves(2_000, 10, np.random.default_rng(5))
    write(tmp_path / "large.h5", {"x": large}, ATTRS)
    fields = fields_of(tmp_path / "large.h5", "x")

    def stream() -> None:
        with writing(path, ATTRS) as writer:
            writer.add("w", two_populations()["vanilla"])
            writer.stream("x", fields, blocks_of(large, 100))

    assert "was not written (No space left on device); check that its folder takes" in refusal(stream)
    assert path.read_bytes() == old
    assert leftovers(small_disk) == ["a.h5"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are a POSIX thing")
def test_a_limit_on_file_size_leaves_the_old_file(copy: Path) -> None:
    old = copy.read_bytes()
    code = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    try:
        t.write(path, t.two_populations(), t.ATTRS)
    except EdfkitError as error:
        print(error)
    """
    with child(copy, code) as process:
        printed, _ = process.communicate()
    assert process.returncode == 0
    assert "was not written (File too large)" in printed
    assert copy.read_bytes() == old
    assert leftovers(copy.parent) == [copy.name]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX thing")
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_killed_while_writing_leaves_the_final_name_as_it_was(
    original: Path, tmp_path: Path, step: str, exists: bool
) -> None:
    path = tmp_path / "a.h5"
    if exists:
        shutil.copy(original, path)
    code = f"""
    import os, time
    def stop(*_):
        print("stopped", flush=True)
        time.sleep(600)
    os.{step} = stop
    t.write(path, {{"x": t.two_populations()["vanilla"]}}, t.ATTRS)
    """
    with child(path, code) as process:
        assert process.stdout
        assert process.stdout.readline() == "stopped\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert path.exists() == exists
    if exists:
        assert path.read_bytes() == original.read_bytes()
    assert [name.endswith(TEMPORARY_SUFFIX) for name in leftovers(tmp_path) if name != "a.h5"] == [True]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX thing")
def test_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    code = """
    populations = t.two_populations()
    while True:
        t.write(path, populations, t.ATTRS)
        print("written", flush=True)
    """
    for moment in np.random.default_rng(6).uniform(0.0, 0.4, 2):
        with child(path, code) as process:
            assert process.stdout
            assert process.stdout.readline() == "written\n"
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        validate(path)


def test_a_digest_is_of_what_was_read(tmp_path: Path) -> None:
    def digest(path: Path, *variables: str) -> str | None:
        with Archive(path) as archive:
            for variable in variables:
                archive.read("resnet", variable)
            return archive.digest

    one, other, bare = (tmp_path / f"{name}.h5" for name in ("one", "other", "bare"))
    populations = two_populations()
    write(one, populations, ATTRS, GROUP_ATTRS)
    populations["resnet"]["lr"] = np.asarray(populations["resnet"]["lr"]) + 1
    write(other, populations, ATTRS, GROUP_ATTRS)
    shutil.copy(one, bare)
    with h5py.File(bare, "r+") as file:
        del file["resnet/error"].attrs["crc32"]
    assert digest(one, "error", "lr") == digest(one, "lr", "error") != digest(one, "error")
    assert digest(one, "error") == digest(other, "error")
    assert digest(one, "lr") != digest(other, "lr")
    assert digest(bare, "error") is None
    assert digest(bare, "lr") == digest(one, "lr")
