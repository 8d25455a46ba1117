"""Recomputed complexities, and all other findings, on real data and on data with faults put in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.archive.published import Published
from edfkit.archive.schema import REQUIRED_ATTRS
from edfkit.archive.source import open_source
from edfkit.archive.verify import SHOWN, Finding, verify
from edfkit.datasets import locate
from edfkit.generator import spaces
from edfkit.generator.runs.verify import check_complexity
from edfkit.generator.spaces.counting import Complexity
from edfkit.generator.spaces.kinds import Architecture, CellSpace, Columns, Space, StageSpace
from edfkit.generator.training import data

RECORD: dict[str, Any] = {
    "job_id": "7",
    "rng_seed": 1,
    "params": 594_138,
    "flops": 184_519_578,
    "net": {"block_type": "res_basic_block", "ds": [1, 12, 12, 12], "ws": [16, 24, 24, 40], "ss": [1, 1, 2, 2]},
    "optim": {"base_lr": 0.1, "wd": 5e-4},
    "min_test_top1": 6.42,
    "test_ep_top1": [6.42],
}


GENOTYPE: dict[str, Any] = {
    "normal": [["conv_1x1", 0], ["none", 1], ["skip_connect", 2], ["conv_3x3", 0]],
    "normal_concat": [2, 3],
    "reduce": [["conv_1x1", 0], ["none", 1], ["skip_connect", 0], ["conv_3x3", 0]],
    "reduce_concat": [2],  # node 3 feeds nothing
}
CELL_NET: dict[str, Any] = {"width": 16, "depth": 8, "aux": False, "drop_prob": 0.0, "genotype": GENOTYPE}


def published_file(folder: Path, *records: dict[str, Any]) -> Published:
    path = folder / "ResNet.json"
    path.write_text(json.dumps(records))
    return Published(path)


def test_every_real_record_agrees(published: Path) -> None:
    with Published(published) as source:
        models = 0
        for name in source.names:
            check = check_complexity(source, name)
            assert check.compared == ["params", "flops"]
            assert (check.agreeing, check.wrong) == (check.models, []), name
            models += check.models
    assert models == 1_548


def test_every_real_record_is_among_those_that_are_checked(published: Path) -> None:
    records = 0
    for file in published.glob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        records += sum(map(len, content.values())) if isinstance(content, dict) else len(content)
    with Published(published) as source:
        assert sum(check_complexity(source, name).models for name in source.names) == records == 1_548


@pytest.mark.parametrize(("name", "model"), [("ENAS_in", 3), ("ResNeXt-B_in", 5), ("ResNet_lr-wd_in", 7)])
@pytest.mark.parametrize("count", ["params", "flops"])
def test_a_real_record_with_a_wrong_count_is_found(
    published: Path, tmp_path: Path, name: str, model: int, count: str
) -> None:
    records = json.loads((published / f"{name}.json").read_text(encoding="utf-8"))
    true = records[model][count]
    records[model][count] += 1
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(records))
    check = check_complexity(Published(path), name)
    assert (check.models, check.agreeing) == (len(records), len(records) - 1)
    assert check.wrong == [f"{records[model]['job_id']}: {count} {true + 1:,}, recomputed {true:,}"]


@pytest.mark.parametrize("name", ["resnet", "vanilla"])
def test_the_bundled_archive_agrees(name: str) -> None:
    with Archive(locate("digits")) as archive:
        check = check_complexity(archive, name)
    assert check.compared == ["params", "macs", "flops", "acts"]
    assert (check.agreeing, check.models, check.wrong) == (500, 500, [])


def test_a_wrong_count_is_found(tmp_path: Path) -> None:
    wrong = {**RECORD, "job_id": "8", "params": 594_137}
    bottleneck = {
        "block_type": "res_bottleneck_block",
        "ds": [1, 16, 1, 4],
        "ws": [16, 64, 128, 16],
        "ss": [1, 1, 2, 2],
        "bot_muls": [0.0, 0.25, 0.25, 0.25],
        "num_gs": [1, 2, 1, 2],
    }
    other = {**RECORD, "job_id": "9", "net": bottleneck, "params": 83_002, "flops": 69_890_986}
    check = check_complexity(published_file(tmp_path, RECORD, wrong, other), "resnet")
    assert (check.models, check.agreeing) == (3, 2)
    assert check.wrong == ["8: params 594,137, recomputed 594,138"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": {}}, "A network of resnet is not described as published .KeyError: 'ss'.; give a file"),
        ({"net": {**RECORD["net"], "ws": [16, 24, 24]}}, "A network of resnet is not described as published"),
        (
            {"net": {**RECORD["net"], "ds": [1, "a", 2, 2]}},
            "a network of resnet cannot be: depth is 'a', expected whole",
        ),
        ({"net": {"genotype": {}}}, "A network of resnet is not described as published"),
        ({"net": {"genotype": {"normal": []}, "width": 16, "depth": 8}}, "not described as in the published files"),
        ({"net": {"genotype": {"normal": [["conv", 0]] * 2}}}, "not described as in the published files"),
        (
            {"net": {**CELL_NET, "genotype": {**GENOTYPE, "normal": [["conv", 0]] * 4}}},
            "has the op 'conv' in its normal",
        ),
        ({"net": {**CELL_NET, "aux": True}}, "Network 0 has an auxiliary head, which is not counted here"),
        ({"net": {**RECORD["net"], "block_type": "res_block"}}, "block is 'res_block', expected one of"),
        ({"net": {**RECORD["net"], "ss": [2, 1, 2, 2]}}, "stem_stride is 2, expected one of 1, 4, 8"),
        ({"net": {**RECORD["net"], "ss": [1, 2, 2, 2]}}, r"strides \[1, 2, 2, 2\] are not known"),
    ],
)
def test_networks_that_are_not_known_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        check_complexity(published_file(tmp_path, {**RECORD, **change}), "resnet")


def test_a_record_without_a_network_is_refused(tmp_path: Path) -> None:
    source = published_file(tmp_path, {name: value for name, value in RECORD.items() if name != "net"})
    with pytest.raises(EdfkitError, match=r"Record 0 of .* has no net; give a file in the published format"):
        check_complexity(source, "resnet")


def rewritten(path: Path, **changes: Any) -> Archive:
    """Write the bundled ResNet models again, with other values of some variables, or without those that are None."""
    with Archive(locate("digits")) as archive:
        columns = {v: archive.read("resnet", v) for v in archive.variables("resnet")} | changes
        attrs = {name: str(value) for name, value in archive.attrs.items() if name not in ("format", "format_version")}
        group_attrs = archive.group_attrs("resnet")
    known = {name: column for name, column in columns.items() if column is not None}
    write(path, {"resnet": known}, attrs, {"resnet": group_attrs})
    return Archive(path)


def configurations(space: Space, dataset: str) -> tuple[Columns, Complexity]:
    """Draw 40 configurations of a space, the same each time, and count their complexity."""
    columns = space.draw(np.random.default_rng(1), 40)
    return columns, space.architecture.measure(columns, **data.geometry(dataset))


def archive_of(
    path: Path,
    space: Space,
    *,
    dataset: str = "digits",
    written: str | None = None,
    described: Architecture | None = None,
    **changes: Any,
) -> Archive:
    """Write 40 models of a space with their complexities, with another data set or architecture in its attributes."""
    found, complexity = configurations(space, dataset)
    columns = {name: column.astype(np.int8) if column.dtype == bool else column for name, column in found.items()}
    scalars = {name: np.zeros(40) for name in ("error", "error_final", "lr", "wd", "seconds")}
    columns |= {"id": np.array([f"m{i}" for i in range(40)]), "seed": np.arange(40), "status": np.zeros(40, int)}
    columns |= scalars | complexity._asdict() | changes
    attrs = {name: f"the {name}" for name in REQUIRED_ATTRS} | {"recipe": "{}", "dataset": written or dataset}
    architecture = json.dumps((described or space.architecture).as_dict())
    write(path, {space.name: columns}, attrs, {space.name: {"architecture": architecture}})
    return Archive(path)


def test_an_archive_without_networks_is_refused(tmp_path: Path) -> None:
    with (
        rewritten(tmp_path / "a.h5", depth=None, width=None) as archive,
        pytest.raises(EdfkitError, match="does not describe the networks of resnet"),
    ):
        check_complexity(archive, "resnet")


def test_an_archive_that_states_no_complexity_does_not_agree(tmp_path: Path) -> None:
    unknown = dict.fromkeys(("params", "macs", "flops", "acts"), np.full(500, np.nan))
    with (
        rewritten(tmp_path / "a.h5", **unknown) as archive,
        pytest.raises(EdfkitError, match="states no complexity of resnet"),
    ):
        check_complexity(archive, "resnet")


def test_an_archive_with_a_wrong_count_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(locate("digits").read_bytes())
    with h5py.File(path, "r+") as file:
        counts = file["vanilla"]["acts"]
        counts[3] = np.int64(counts[3]) + 1
        del counts.attrs["crc32"]  # which would tell
    with Archive(path) as archive:
        assert check_complexity(archive, "vanilla").agreeing == 499
        assert check_complexity(archive, "resnet").agreeing == 500


@pytest.mark.parametrize("unused_nodes", [False, True])
def test_a_population_of_cells_agrees(tmp_path: Path, unused_nodes: bool) -> None:
    # Where output nodes are chosen, some feed nothing; whether they count is part of the architecture.
    ops = ("none", "conv_1x1", "sep_conv_3x3", "max_pool_5x5")
    architecture = Architecture("cells", unused_nodes=unused_nodes)
    space = CellSpace("mine", architecture, ops, 4, (3, 5), (3, 4), (1, 5, 8))
    with archive_of(tmp_path / "a.h5", space) as archive:
        check = check_complexity(archive, "mine")
        assert check.compared == ["params", "macs", "flops", "acts"]
        assert (check.agreeing, check.models, check.wrong) == (40, 40, [])
    other = Architecture("cells", unused_nodes=not unused_nodes)
    with archive_of(tmp_path / "b.h5", space, described=other) as archive:
        check = check_complexity(archive, "mine")
        assert 0 < check.agreeing < 40
        assert {line.split(": ")[0] for line in check.wrong} <= {f"m{i}" for i in range(40)}


@pytest.mark.parametrize("name", ["enas", "darts_in", "resnext-b", "resnext-a_in", "vanilla-56"])
@pytest.mark.parametrize("dataset", ["digits", "CIFAR-10", "ImageNet"])
def test_a_population_of_any_space_and_images_agrees(tmp_path: Path, name: str, dataset: str) -> None:
    with archive_of(tmp_path / "a.h5", spaces.SPACES[name], dataset=dataset) as archive:
        check = check_complexity(archive, name.upper())
    assert (check.agreeing, check.models, check.wrong) == (40, 40, [])


def test_a_wrong_stem_is_found_in_every_model(tmp_path: Path) -> None:
    space = StageSpace("mine", Architecture("res_basic_block", 4, 8), {"depth": (1, 2), "width": (8, 16)}, 4)
    with archive_of(tmp_path / "a.h5", space) as archive:
        assert check_complexity(archive, "mine").agreeing == 40
    for described in (Architecture("res_basic_block", 8, 8), Architecture("res_basic_block", 4, 16)):
        with archive_of(tmp_path / "b.h5", space, described=described) as archive:
            assert check_complexity(archive, "mine").agreeing == 0


def test_each_wrong_complexity_of_cells_is_found(tmp_path: Path) -> None:
    space = spaces.SPACES["darts"]
    _, complexity = configurations(space, "digits")
    for name, counts in complexity._asdict().items():
        changed = counts.copy()
        changed[[3, 7]] -= 1
        with archive_of(tmp_path / "a.h5", space, **{name: changed}) as archive:
            check = check_complexity(archive, "darts")
        assert check.agreeing == 38
        assert check.wrong == [f"m{i}: {name} {counts[i] - 1:,}, recomputed {counts[i]:,}" for i in (3, 7)]


def test_complexities_that_are_not_stated_are_left_out(tmp_path: Path) -> None:
    unknown = np.full(40, np.nan)
    with archive_of(tmp_path / "a.h5", spaces.SPACES["enas"], macs=unknown, acts=unknown) as archive:
        check = check_complexity(archive, "enas")
    assert (check.compared, check.agreeing, check.wrong) == (["params", "flops"], 40, [])


def test_an_archive_of_images_that_are_not_known_is_refused(tmp_path: Path) -> None:
    message = r"^The size of the images of 'MNIST' is not known; choose one of digits, cifar10, .*imagenet\.$"
    with (
        archive_of(tmp_path / "a.h5", spaces.SPACES["enas"], written="MNIST") as archive,
        pytest.raises(EdfkitError, match=message),
    ):
        check_complexity(archive, "enas")


# --- Everything that is wrong


def sound(models: int = 40, epochs: int = 6) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    curve = rng.uniform(5, 90, (models, epochs))
    unknown = np.full(models, np.nan)
    return {
        "id": [f"modèle-{i}" for i in range(models)],
        "error": curve.min(axis=1),
        "error_final": curve[:, -1].copy(),
        **dict.fromkeys(("params", "macs", "flops", "acts", "seconds"), unknown),
        "seed": np.arange(models),
        "lr": np.full(models, 0.1),
        "wd": np.full(models, 5e-4),
        "status": np.zeros(models, np.int8),
        "depth": rng.integers(1, 9, (models, 3)),
        "test_error": curve,
    }


def of_cells(models: int = 9, nodes: int = 3) -> dict[str, Any]:
    concat = np.zeros((models, 2, nodes), np.int8)
    concat[..., -1] = 1
    cells = {"op": np.ones((models, 2, nodes, 2), np.int8), "input": np.zeros((models, 2, nodes, 2), np.int8)}
    columns = {name: column for name, column in sound(models).items() if name not in ("depth", "test_error")}
    return columns | cells | {"concat": concat}


def findings(path: Path, columns: dict[str, Any], edit: Callable[[h5py.Group], object]) -> list[Finding]:
    """Write a sound population, put a fault in without leaving the digests wrong, and verify it."""
    attrs = dict.fromkeys(REQUIRED_ATTRS, "x") | {"recipe": "{}"}
    write(path, {"some": columns}, attrs)
    with h5py.File(path, "r+") as file:
        for dataset in file["some"].values():
            dataset.attrs.pop("crc32", None)
        edit(file["some"])
    with Archive(path) as archive:
        return verify(archive)


def put(name: str, *values: tuple[Any, Any]) -> Callable[[h5py.Group], None]:
    """Replace values of a variable; packed ones as they are read."""

    def edit(group: h5py.Group) -> None:
        scale = group[name].attrs.get("scale_factor", 1)
        for place, value in values:
            group[name][place] = value if group[name].dtype.kind == "f" else np.rint(np.divide(value, scale))

    return edit


def test_what_is_sound_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path / "a.h5", sound(), lambda group: None) == []
    assert findings(tmp_path / "b.h5", of_cells(), lambda group: None) == []
    with open_source(locate("digits")) as source:
        assert verify(source) == []


def test_real_published_files_have_one_note(published: Path) -> None:
    with open_source(published) as source:
        [finding] = verify(source)
    assert (finding.population, finding.kind, finding.severity) == ("resnet_lr-wd_in", "guessing", "note")
    assert finding.examples == ("'error' of model 127 is 99.822, the curve gives 99.718",)


FAULTS: list[tuple[str, Callable[[h5py.Group], object], tuple[str, int, str]]] = [
    (
        "range",
        put("lr", (3, -1.0), (5, np.inf)),
        ("range", 2, "'lr' of model 3 is -1.0, expected a finite number, 0 or more"),
    ),
    (
        "NaN",
        put("error", (2, np.nan)),
        ("range", 1, "'error' of model 2 is nan, expected 0..100 percent (NaN only for"),
    ),
    ("curve out of range", put("test_error", ((7, 2), 100.5)), ("range", 1, "'test_error' of model 7 is 100.5")),
    (
        "minimum",
        put("error", *((i, 1.0) for i in range(9))),
        ("error", 9, "'error' of model 0 is 1.0, the curve gives"),
    ),
    (
        "final",
        put("error_final", (6, 77.0)),
        ("error_final", 1, "'error_final' of model 6 is 77.0, the curve ends with"),
    ),
    (
        "ids",
        lambda group: group["id"].write_direct(group["id"][()][[0, 0, 0, *range(3, 39), 3]]),
        ("ids", 2, "'modèle-0' stands for 3 models"),
    ),
    (
        "repeated",
        lambda group: [group[n].write_direct(group[n][()][[*range(38), 4, 4]]) for n in ("depth", "seed")],
        ("repeated", 2, "model 38 is as model 4"),
    ),
    (
        "dims",
        lambda group: group["lr"].dims[0].detach_scale(group["model"]),
        ("unreadable", 1, "one axis for each of ()"),
    ),
]


@pytest.mark.parametrize(("edit", "expected"), [pytest.param(e, x, id=i) for i, e, x in FAULTS])
def test_a_fault_is_found(tmp_path: Path, edit: Callable[[h5py.Group], object], expected: tuple[str, int, str]) -> None:
    [finding] = findings(tmp_path / "a.h5", sound(), edit)
    kind, count, example = expected
    assert (finding.population, finding.kind, finding.count) == ("some", kind, count)
    assert example in finding.examples[0]
    assert finding.severity == ("note" if kind == "repeated" else "error")
    assert len(finding.examples) == min(count, SHOWN)
    assert ("; and 6 more." in finding.message) == (count == 9)
    assert finding.message.startswith(f"some: {count} ")
    assert finding.to_dict()["examples"] == list(finding.examples)


def test_cells_that_cannot_be_are_found(tmp_path: Path) -> None:
    def edit(group: h5py.Group) -> None:
        group["input"][4, 1, 2, 0] = 4
        group["concat"][6, 0] = 0

    [finding] = findings(tmp_path / "a.h5", of_cells(), edit)
    assert (finding.kind, finding.count) == ("cells", 2)
    assert finding.examples == (
        "'input' of model 4 is 4 at operand 0 of node 2 of its reduce cell, expected 0..3, what comes earlier",
        "'concat' of model 6 is 0 at every node of its normal cell, expected 1 at one or more",
    )


def test_everything_wrong_is_found_at_once(tmp_path: Path) -> None:
    def edit(group: h5py.Group) -> None:
        for _, fault, _ in FAULTS:
            fault(group)

    found = findings(tmp_path / "a.h5", sound(), edit)
    assert [f.kind for f in found] == ["unreadable", "range", "error", "error_final", "ids"]
    assert {f.severity for f in found} == {"error"}


def test_diverged_models_and_unknown_ends_are_no_findings(tmp_path: Path) -> None:
    columns = sound()
    columns["status"][2] = 1
    columns["error"][2] = columns["error_final"][2] = 100.0
    columns["test_error"][3, -2:] = np.nan  # the last known value is the final error
    columns["error"][3] = np.nanmin(columns["test_error"][3])
    columns["error_final"][3] = columns["test_error"][3, -3]
    columns["error_final"][4] = np.nan
    columns["test_error"][5] = np.nan
    columns["seed"] = np.full(40, np.nan)  # unknown seeds are not the same
    columns["depth"][:] = 1
    assert findings(tmp_path / "a.h5", columns, lambda group: None) == []


def test_damage_is_found_variable_by_variable(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, {"some": sound()}, dict.fromkeys(REQUIRED_ATTRS, "x") | {"recipe": "{}"})
    with h5py.File(path) as file:
        chunks = [file["some"][name].id.get_chunk_info(0) for name in ("lr", "test_error")]
    data = bytearray(path.read_bytes())
    for chunk in chunks:
        data[chunk.byte_offset + chunk.size // 2] ^= 255
    path.write_bytes(data)
    with Archive(path) as archive:
        [finding] = verify(archive)
    assert (finding.kind, finding.count) == ("unreadable", 2)
    assert "'lr' cannot be read" in finding.examples[0]
    assert "'test_error' cannot be read" in finding.examples[1]


def test_models_that_are_only_claimed_are_found(tmp_path: Path) -> None:
    def edit(group: h5py.Group) -> None:
        for name in ("depth", "test_error"):
            del group[name]
        for name in [name for name, item in group.items() if "units" in item.attrs]:
            dtype, units = group[name].dtype, group[name].attrs["units"]
            del group[name]
            shape = (10**12, 9) if name == "id" else (10**12,)
            group.create_dataset(name, shape, dtype, chunks=True).attrs["units"] = units

    [finding] = findings(tmp_path / "a.h5", sound(), edit)
    assert (finding.kind, finding.count) == ("unreadable", 12)
    assert "some values are not stored" in finding.examples[0]


def test_pieces_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = sound(3000, 100)
    columns["depth"][:] = columns["seed"][:] = 1

    def edit(group: h5py.Group) -> None:
        put("error", *((i, 1.0) for i in (7, 1000, 2999)))(group)
        group["id"][2998] = group["id"][1]

    whole = findings(tmp_path / "a.h5", columns, edit)
    monkeypatch.setattr("edfkit.archive.reader._PIECE_ROWS", 64)
    with Archive(tmp_path / "a.h5") as archive:
        assert verify(archive) == whole
    assert [(f.kind, f.count) for f in whole] == [("error", 3), ("ids", 1), ("repeated", 2999)]


def test_faults_of_published_files_are_found(tmp_path: Path) -> None:
    good = {**RECORD, "test_ep_top1": [6.42, 7.0], "train_ep_top1": [1.0, 1.0], "train_ep_loss": [1.0, float("nan")]}
    curves = {"test_ep_top1": [4.0, 7.0]}
    records = [
        {**good, "job_id": "1"},
        {**good, "job_id": "2", "rng_seed": 2, **curves},
        {**good, "job_id": "2", "rng_seed": 3},
        {**good, "job_id": "4", "rng_seed": 4, "min_test_top1": 90.0, **curves},
        {**good, "job_id": "5", "rng_seed": 3},
    ]
    for record in records[1:]:
        record["train_ep_loss"] = [1.0, 1.0]
    found = {finding.kind: finding for finding in verify(published_file(tmp_path, *records))}
    assert {kind: (f.count, f.severity) for kind, f in found.items()} == {
        "error": (1, "error"),
        "ids": (1, "error"),
        "guessing": (1, "note"),
        "repeated": (1, "note"),
    }
    assert found["error"].examples == ("'error' of model 1 is 6.42, the curve gives 4.0",)
    assert found["repeated"].examples == ("model 4 is as model 2",)
    records[0]["params"] = -1
    del records[1]["optim"]
    kinds = {finding.kind: finding for finding in verify(published_file(tmp_path, *records))}
    assert kinds["unreadable"].count == 3  # params, lr, wd
    assert "repeated" not in kinds
