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
from edfkit.generator.verify import check_complexity
from edfkit.published import Published

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
        ({"net": {**RECORD["net"], "ds": [1, "a", 2, 2]}}, "A network of resnet is not described as published"),
        ({"net": {"genotype": {}}}, "A network of resnet is not described as published"),
        ({"net": {"genotype": {"normal": []}, "width": 16, "depth": 8}}, "not described as in the published files"),
        ({"net": {**RECORD["net"], "block_type": "res_block"}}, "block 'res_block' is unknown"),
        ({"net": {**RECORD["net"], "ss": [2, 1, 2, 2]}}, "stem stride 2 is unknown"),
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
