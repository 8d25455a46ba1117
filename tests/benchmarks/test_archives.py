"""Archives of many populations: writing, merging and cutting them beside what h5py does, and as their number grows.

The conventions are those of `test_speed`: `pytest -n 0 tests/benchmarks/test_archives.py -s`.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import stand_ins
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import in_turn, one_core  # noqa: F401 - a fixture

from edfkit.archive import Archive, write
from edfkit.archive.combine import merge, subset
from edfkit.archive.schema import REQUIRED_ATTRS

ROUNDS = 5
ATTRS = dict.fromkeys(REQUIRED_ATTRS, "made up") | {"recipe": "{}"}
SPACES = stand_ins.ALL[:12]


def population(seed: int, models: int = 50, epochs: int = 20) -> dict[str, Any]:
    """Make up a population of stages, with all variables of one."""
    rng = np.random.default_rng(seed)
    curves = {v: rng.integers(500, 9_000, (models, epochs)) / 100 for v in ("test_error", "train_error", "train_loss")}
    stages = {v: rng.integers(1, 200, (models, 3)) for v in ("depth", "width", "groups")}
    errors = {"error": curves["test_error"].min(axis=1), "error_final": curves["test_error"][:, -1]}
    others = {
        "bot_mul": rng.choice([0.25, 1.0], (models, 3)),
        "step_seconds": rng.uniform(0, 1, models),
        "memory": rng.uniform(100, 900, models),
        "record": [f'{{"rng": {i}}}' for i in range(models)],
    }
    return {**stand_ins.stand_in("resnet", models), **curves, **stages, **errors, **others}


def write_many(path: Path, names: range) -> None:
    write(path, {f"p{i:04}": population(i) for i in names}, ATTRS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of 36 archives of a population of 1,000 models each, and one of all."""
    path = tmp_path_factory.mktemp("archives")
    stand_ins.write_stand_ins(path / "all.h5", models=1_000, dataset="CIFAR-10")
    for name in stand_ins.ALL:
        stand_ins.write_stand_ins(path / f"{name}.h5", [name], models=1_000, dataset="CIFAR-10")
    return path


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archives") / "thousand.h5"
    write_many(path, range(1_000))
    return path


def copy(sources: list[Path], target: Path, names: list[str]) -> None:
    """Copy populations as h5py does: their dimensions come out broken, and nothing is checked."""
    with h5py.File(target, "w") as file:
        for source in sources:
            with h5py.File(source) as opened:
                for name in names:
                    if name in opened:
                        opened.copy(name, file)


@pytest.mark.parametrize("files", [36, 1])
def test_merge_of_36_populations(benchmark: BenchmarkFixture, folder: Path, tmp_path: Path, files: int) -> None:
    sources = [folder / f"{name}.h5" for name in (stand_ins.ALL if files > 1 else ["all"])]
    in_turn(
        benchmark,
        lambda: merge(sources, tmp_path / "m.h5"),
        lambda: copy(sources, tmp_path / "c.h5", stand_ins.ALL),
        ROUNDS,
        ratio_at_most=5,
    )


def test_subset_of_12_of_36_populations(benchmark: BenchmarkFixture, folder: Path, tmp_path: Path) -> None:
    in_turn(
        benchmark,
        lambda: subset(folder / "all.h5", tmp_path / "s.h5", spaces=SPACES),
        lambda: copy([folder / "all.h5"], tmp_path / "c.h5", SPACES),
        ROUNDS,
        ratio_at_most=5,
    )


def test_1000_populations_are_written(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    populations = {f"p{i:04}": population(i) for i in range(1_000)}
    few = dict(list(populations.items())[:100])
    in_turn(
        benchmark,
        lambda: write(tmp_path / "many.h5", populations, ATTRS),
        lambda: write(tmp_path / "few.h5", few, ATTRS),
        1,
        at_most=20_000,
        ratio_at_most=1.3,
        part=10,
    )


def test_two_of_1000_populations_are_read(benchmark: BenchmarkFixture, thousand: Path, tmp_path: Path) -> None:
    write_many(tmp_path / "two.h5", range(2))

    def read(path: Path) -> None:
        with Archive(path) as opened:
            for name in ("p0000", "p0001"):
                for variable in ("error", "params", "status"):
                    opened.read(name, variable)

    in_turn(benchmark, lambda: read(thousand), lambda: read(tmp_path / "two.h5"), 20, ratio_at_most=2)


def test_two_of_1000_populations_are_cut_out(benchmark: BenchmarkFixture, thousand: Path, tmp_path: Path) -> None:
    write_many(tmp_path / "two.h5", range(2))

    def cut(path: Path) -> None:
        subset(path, tmp_path / "s.h5", spaces=["p0000", "p0001"])

    in_turn(benchmark, lambda: cut(thousand), lambda: cut(tmp_path / "two.h5"), 20, ratio_at_most=2)
