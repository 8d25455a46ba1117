"""Import and export of one space of 25,000 models, each as a ratio to json.load on its file of 85 MB and more.

The conventions are those of `test_speed`: `pytest -n 0 tests/benchmarks/test_import.py -s`. The file is made of records
with the digits of real ones, see `records.write_realistic`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import records
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import in_turn, one_core  # noqa: F401 - a fixture

from edfkit.exchange.nds import export_nds, import_nds

MODELS, ROUNDS = 25_000, 3


@pytest.fixture(scope="module", params=[False, True], ids=["stages", "cells"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "Space.json"
    records.write_realistic(path, MODELS, cells=request.param)
    return path


@pytest.fixture(scope="module")
def archive(source: Path) -> Path:
    path = source.with_suffix(".h5")
    import_nds([source], path)
    print(f"\narchive {path.stat().st_size / 1e6:.1f} MB; JSON {source.stat().st_size / 1e6:.1f} MB")
    return path


def json_load(source: Path) -> Callable[[], Any]:
    def load() -> Any:
        with open(source, encoding="utf-8") as file:
            return json.load(file)

    return load


def test_import_of_a_space(benchmark: BenchmarkFixture, source: Path, tmp_path: Path) -> None:
    def ours() -> object:
        return import_nds([source], tmp_path / "x.h5")

    in_turn(benchmark, ours, json_load(source), ROUNDS, ratio_at_most=1.3)


def test_export_of_a_space(benchmark: BenchmarkFixture, source: Path, archive: Path, tmp_path: Path) -> None:
    def ours() -> object:
        return export_nds(archive, tmp_path, force=True)

    in_turn(benchmark, ours, json_load(source), ROUNDS)
