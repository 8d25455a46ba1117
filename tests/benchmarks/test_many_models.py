"""Studies of millions of models, beside one reading of their columns with h5py, and their peak of memory.

The conventions are those of `test_speed`: `pytest -n 0 tests/benchmarks/test_many_models.py -s`. It takes some minutes
and 0.5 GB of disk.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import in_turn, one_core, timed  # noqa: F401 - a fixture

import edfkit
from edfkit.archive import writing
from edfkit.archive.packing import Field
from edfkit.archive.schema import REQUIRED_ATTRS
from edfkit.study import sensitivity
from edfkit.study.compare import Setting, prepared, side_by_side, take_part
from edfkit.study.counting import Counted
from edfkit.study.selection import Selection
from edfkit.study.settings import Control, Reading

MILLION, MANY, BLOCK = 1_000_000, 20_000_000, 2**18
ATTRS = dict.fromkeys(REQUIRED_ATTRS, "made up") | {"recipe": "{}"}
COLUMNS = ("error", "error_final", "status", "params")
WHOLE = ("params", "flops", "macs", "acts", "seed")


def blocks(models: int, seed: int, levels: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Make up models whose error, one of so many multiples of 100 / levels, falls with their size."""
    for start in range(0, models, BLOCK):
        count = min(BLOCK, models - start)
        rng = np.random.default_rng([seed, start])
        params = np.exp(rng.normal(12.5, 0.8, count)).astype(np.int64)
        flops = (params * rng.lognormal(4, 0.3, count)).astype(np.int64)
        diverged = rng.random(count) < 0.01
        grid = np.rint((8 + 0.3 * seed + 2_000 / np.sqrt(params) + rng.gamma(2, 1.5, count)) * levels / 100)
        grid = np.where(diverged, 9 * levels // 10, np.clip(grid, 0, levels))
        yield {
            "id": np.char.add("m", np.arange(start, start + count).astype(str)),
            "error": grid / (levels / 100),
            "error_final": np.minimum(levels, grid + rng.integers(0, 50, count)) / (levels / 100),
            "params": params,
            "flops": flops,
            "macs": flops // 2 + rng.integers(0, 9, count),
            "acts": (params**0.7 * rng.lognormal(3, 0.2, count)).astype(np.int64),
            "seed": np.arange(start, start + count),
            "status": diverged.astype(np.int8),
        } | {name: np.full(count, 0.1) for name in ("lr", "wd", "seconds")}


def write_many(path: Path, models: int, names: Sequence[str], levels: int) -> Path:
    with writing(path, ATTRS) as writer:
        for seed, name in enumerate(names):
            fields = {variable: Field(np.dtype("<f8"), ("model",), (models,)) for variable in next(blocks(1, 0, 10))}
            fields |= {variable: Field(np.dtype("<i8"), ("model",), (models,)) for variable in WHOLE}
            fields |= {"status": Field(np.dtype("i1"), ("model",), (models,))}
            fields |= {"id": Field(np.dtype("S1"), ("model",), (models, 9))}
            if levels == 10_000:
                packed = Field(np.dtype("<i2"), ("model",), (models,), {}, 2)
                fields |= {"error": packed, "error_final": packed}
            writer.stream(name, fields, blocks(models, seed, levels))
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_many(tmp_path_factory.mktemp("millions") / "two.h5", MILLION, "ab", 10_000)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_many(tmp_path_factory.mktemp("millions") / "many.h5", MANY, "a", 131_072)


def read(path: Path, columns: Sequence[str]) -> None:
    with h5py.File(path) as file:
        for name in "ab":
            for column in columns:
                file[name][column][:]


def count(selection: Selection) -> None:
    """Put the models of two populations into strata."""
    members, ((a, b),), (same,) = prepared(selection)
    assert side_by_side(members[a.name], members[b.name], same, selection)[2] is not None


def test_counting_for_a_comparison(benchmark: BenchmarkFixture, two: Path) -> None:
    def ours() -> None:
        with edfkit.open(two) as source:
            count(take_part(Counted(source), ["a", "b"], Reading(), Control()))

    in_turn(benchmark, ours, lambda: read(two, COLUMNS), rounds=7, ratio_at_most=4)


@pytest.mark.parametrize(("strata", "at_most"), [(False, 8.0), (True, None)], ids=["counts", "strata"])
def test_counting_for_other_settings(
    benchmark: BenchmarkFixture, two: Path, monkeypatch: pytest.MonkeyPatch, strata: bool, at_most: float | None
) -> None:
    def counted(start: Setting, selection: Selection, confidence: float) -> Setting:
        if all(one.errors.size for one in selection.populations):
            count(selection) if strata else prepared(selection)
        return start

    monkeypatch.setattr(sensitivity, "_estimated", counted)

    def ours() -> None:
        with edfkit.open(two) as source:
            assert len(sensitivity.sensitivity(source, ["a", "b"], Reading(), Control())) > 15

    in_turn(benchmark, ours, lambda: read(two, [*COLUMNS, "flops", "macs", "acts"]), rounds=5, ratio_at_most=at_most)


@pytest.mark.parametrize(
    "command",
    [
        "compare a b",
        "compare a b --sensitivity",
        "compare a b --given none --permutations 10000",
        "compare a b --bins 10 --permutations 10000",
        "describe a --bootstrap 1000",
        "describe a b --bootstrap 1000",
    ],
)
def test_long_work_ends_in_seconds(two: Path, command: str) -> None:
    edfkit_ = Path(sys.executable).parent / "edfkit"
    arguments = [str(edfkit_), *command.split(), "--archive", str(two)]
    took, cpu = timed(lambda: subprocess.run(arguments, check=True, capture_output=True, cwd="/"))
    print(f"\nedfkit {command}, 2 x 1 million models: {took:.1f} s, CPU {cpu:.1f} s")


@pytest.mark.parametrize("call", ["describe(source, 'a')", "search(source, 'a')", "samples(source, 'a')"])
def test_memory_for_20_million_models(many: Path, call: str) -> None:
    code = f"""
import edfkit
with edfkit.open({str(many)!r}) as source:
    edfkit.{call}
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    peak = int(subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True).stdout) / 1000
    print(f"\n{call}, {MANY:,} models: {peak:.0f} MB at the peak")
    assert peak < 300
