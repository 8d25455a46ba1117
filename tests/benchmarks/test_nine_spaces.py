"""An archive of the nine spaces of the paper, 25,000 models each: its size, and reading of one space.

Reading is held against json.load of the published file, and against h5py alone, which checks less.

The conventions are those of `test_speed`: `pytest -n 0 tests/benchmarks/test_nine_spaces.py -s`. Four spaces are of
stages and five of cells, imported from two files under nine names: a population is stored apart from the others, so
that equal ones take as much room as others. The records are those of `test_import`; it takes 0.5 GB of disk.
"""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import records
from pytest_benchmark.fixture import BenchmarkFixture
from test_import import MODELS, ROUNDS, json_load
from test_speed import in_turn, one_core  # noqa: F401 - a fixture

from edfkit.archive import Archive
from edfkit.exchange.nds import import_nds

SPACES = {
    "stages": ("Vanilla", "ResNet", "ResNeXt-A", "ResNeXt-B"),
    "cells": ("NASNet", "Amoeba", "PNAS", "ENAS", "DARTS"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spaces")
    for kind, (first, *others) in SPACES.items():
        records.write_realistic(path / f"{first}.json", MODELS, cells=kind == "cells")
        for name in others:
            os.link(path / f"{first}.json", path / f"{name}.json")
    return path


@pytest.fixture(scope="module")
def archive(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "nine.h5"
    imported = import_nds([folder], path)
    assert list(imported.populations.values()) == [MODELS] * 9
    print(f"\narchive of nine spaces {path.stat().st_size / 1e6:.0f} MB; JSON {imported.read / 1e6:.0f} MB")
    return path


def test_nine_spaces_take_less_than_300_megabytes(archive: Path) -> None:
    assert archive.stat().st_size < 300e6


spaces = pytest.mark.parametrize("name", ["ResNeXt-B", "DARTS"])
columns = pytest.mark.parametrize(
    "variables",
    [
        pytest.param(("error", "error_final", "params", "flops", "status"), id="scalars"),
        pytest.param(("test_error", "train_error", "train_loss"), id="curves"),
    ],
)


def reading(archive: Path, name: str, variables: tuple[str, ...]) -> Callable[[], None]:
    def read() -> None:
        with Archive(archive) as opened:
            for variable in variables:
                assert len(opened.read(name, variable)) == MODELS

    return read


@spaces
@columns
def test_reading_of_a_space(
    benchmark: BenchmarkFixture, folder: Path, archive: Path, name: str, variables: tuple[str, ...]
) -> None:
    in_turn(benchmark, reading(archive, name, variables), json_load(folder / f"{name}.json"), ROUNDS)


@spaces
@columns
def test_reading_of_a_space_with_all_checks_against_h5py_alone(
    benchmark: BenchmarkFixture, archive: Path, name: str, variables: tuple[str, ...]
) -> None:
    def reference() -> None:
        with h5py.File(archive) as file:
            for variable in variables:
                assert len(file[name.lower()][variable][:]) == MODELS

    in_turn(benchmark, reading(archive, name, variables), reference, rounds=30, ratio_at_most=1.5)
