"""Recomputed complexities against real records, and against records with a fault put in."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.datasets import locate
from edfkit.generator import data, spaces
from edfkit.generator.complexity import Complexity
from edfkit.generator.kinds import Architecture, CellSpace, Columns, Space, StageSpace
from edfkit.generator.verify import check_complexity
from edfkit.published import Published
from edfkit.schema import REQUIRED_ATTRS

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
    message = r"^The size of the images of 'MNIST' is not known; choose one of digits, cifar10, imagenet\.$"
    with (
        archive_of(tmp_path / "a.h5", spaces.SPACES["enas"], written="MNIST") as archive,
        pytest.raises(EdfkitError, match=message),
    ):
        check_complexity(archive, "enas")
