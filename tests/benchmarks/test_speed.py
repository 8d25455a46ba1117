"""Speed, each as a ratio to a reference that runs in turn with it: `pytest tests/benchmarks`."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scipy import stats

from edfkit.archive import Archive
from edfkit.compare import ks, prob_better
from edfkit.complexity import common_range, complexity_weights
from edfkit.datasets import locate
from edfkit.generator import data, sampling, spaces
from edfkit.generator.extent import measure_extent

MODELS = 25_000


def in_turn(benchmark: BenchmarkFixture, ours: Callable[[], Any], reference: Callable[[], Any], rounds: int) -> None:
    """Time ours with the reference before each round, and report the median of the ratios of neighbours."""
    references: list[float] = []

    def before() -> None:
        begun = time.perf_counter()
        reference()
        references.append(time.perf_counter() - begun)

    benchmark.pedantic(ours, setup=before, rounds=rounds, warmup_rounds=1)
    data = benchmark.stats.stats.data  # type: ignore[union-attr]
    ratios = [one / other for one, other in zip(data, references[-rounds:], strict=True)]
    benchmark.extra_info["reference, median ms"] = round(1e3 * median(references), 2)
    benchmark.extra_info["ratio"] = round(median(ratios), 2)
    print(f"\n{benchmark.name}: {1e3 * median(data):.1f} ms, {benchmark.extra_info['ratio']} x the reference")


def process(*command: str | Path) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, capture_output=True, cwd="/")


IMPORTS = process(sys.executable, "-c", "import numpy, h5py, click")


@pytest.mark.parametrize("command", ["--help", "compare resnet vanilla", "describe"])
def test_a_whole_command_against_importing_numpy_h5py_and_click(benchmark: BenchmarkFixture, command: str) -> None:
    in_turn(benchmark, process(Path(sys.executable).parent / "edfkit", *command.split()), IMPORTS, rounds=15)


@pytest.fixture(scope="module")
def populations() -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw two large populations, of errors on a grid of 0.01 that depend on complexity, from the bundled models."""
    rng = np.random.default_rng(0)
    drawn = []
    with Archive(locate("digits")) as archive:
        for name in ("resnet", "vanilla"):
            rows = rng.integers(archive.models(name), size=MODELS)
            errors = archive.read(name, "error")[rows] + rng.normal(0, 0.2, MODELS)
            drawn.append((np.clip(errors, 0, 100).round(2), archive.read(name, "params")[rows].astype(float)))
    return drawn


def sort_both(populations: list[tuple[np.ndarray, np.ndarray]]) -> Callable[[], object]:
    return lambda: [np.sort(errors) for errors, _ in populations]


def test_a_normalised_comparison_of_25000_models_each_against_sorting_the_errors(
    benchmark: BenchmarkFixture, populations: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    def compare() -> None:
        lo, hi = common_range(*(counts for _, counts in populations))
        weights = [complexity_weights(counts, lo, hi, 10) for _, counts in populations]
        errors = [errors for errors, _ in populations]
        ks(*errors, *weights)
        prob_better(*errors, *weights)

    in_turn(benchmark, compare, sort_both(populations), rounds=20)


def test_an_exact_p_value_of_25000_models_each_against_scipys_asymptotic_one(
    benchmark: BenchmarkFixture, populations: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    (a, _), (b, _) = populations
    in_turn(benchmark, lambda: ks(a, b), lambda: stats.ks_2samp(a, b, method="asymp"), rounds=10)


@pytest.mark.parametrize("name", [name for name in spaces.SPACES if not name.endswith(("_in", "56", "110"))])
def test_sampling_25000_configurations_within_the_published_bounds_against_drawing_as_many_numbers(
    benchmark: BenchmarkFixture, name: str
) -> None:
    bounds = {"params": 0.856e6, "flops": 0.129e9}
    rng = np.random.default_rng(0)
    in_turn(
        benchmark,
        lambda: sampling.sample(spaces.SPACES[name], MODELS, seed=0, bounds=bounds, rule="or"),
        lambda: rng.integers(12, size=(MODELS, 6)),
        rounds=10,
    )


@pytest.mark.parametrize("name", ["vanilla", "resnet"])
def test_counting_a_whole_space_against_drawing_as_many_numbers(benchmark: BenchmarkFixture, name: str) -> None:
    space = spaces.SPACES[name]
    rng = np.random.default_rng(0)
    in_turn(
        benchmark,
        lambda: measure_extent(space, data.BOUNDS["cifar10"], **data.geometry("cifar10")),
        lambda: rng.integers(12, size=(space.size, 6)),
        rounds=3,
    )
