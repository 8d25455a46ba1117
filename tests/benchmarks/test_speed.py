"""Speed, each as a ratio to a reference that runs in turn with it: `pytest -n 0 tests/benchmarks -s`.

References are the published procedures (see `published_way`), where there is one. What takes minutes is done in part,
and its time scaled; the printed line says so. Times hold for one core, and are compared with what they should be at
most, but not asserted: on a machine that has other work too, CPU time and ratios tell more than time does.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import published_way
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from scipy import stats
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from edfkit.archive import Archive, write
from edfkit.datasets import locate
from edfkit.generator import spaces
from edfkit.generator.spaces import sampling
from edfkit.generator.spaces.extent import measure_extent
from edfkit.generator.training import data
from edfkit.stats.bands import edf_band
from edfkit.stats.bins import balanced_sample, bin_index, common_range, complexity_weights
from edfkit.stats.minima import best_of, difference, resample_minima, who_wins
from edfkit.stats.permutation import permutation_test
from edfkit.stats.sizes import expected_distance_to_population
from edfkit.stats.two_sample import ks, prob_better
from edfkit.study.compare import compare_populations
from edfkit.study.selection import InMemory

MODELS, EPOCHS = 25_000, 100
NAMES = ("resnet", "vanilla")

Floats = NDArray[np.float64]


@pytest.fixture(scope="session", autouse=True)
def one_core() -> Iterator[None]:
    """Keep numpy here, and in the processes that are started, from using several cores."""
    with threadpool_limits(1), pytest.MonkeyPatch.context() as patch:
        for library in ("OPENBLAS", "OMP", "MKL"):
            patch.setenv(f"{library}_NUM_THREADS", "1")
        yield


def in_turn(
    benchmark: BenchmarkFixture,
    ours: Callable[[], Any],
    reference: Callable[[], Any],
    rounds: int,
    *,
    at_most: float | None = None,
    ratio_at_most: float | None = None,
    part: int = 1,
) -> None:
    """Time ours with the reference before each round, and report the median of the ratios of neighbours.

    Parameters
    ----------
    benchmark : BenchmarkFixture
    ours, reference : callable
    rounds : int
        After one to warm up.
    at_most : float, optional
        What ours should take, ms.
    ratio_at_most : float, optional
        What the ratio should be.
    part : int
        The reference does one part of so many, and its time is scaled.
    """
    our_times: list[tuple[float, float]] = []
    references: list[tuple[float, float]] = []

    def before() -> None:
        references.append(timed(reference))

    benchmark.pedantic(lambda: our_times.append(timed(ours)), setup=before, rounds=rounds, warmup_rounds=1)
    # By time and by CPU time, ms; the round to warm up does not count.
    mine, theirs = (1e3 * np.array(times[-rounds:]).T for times in (our_times, references))
    theirs *= part
    ratio, cpu_ratio = np.median(mine / theirs, axis=1).tolist()
    (took, cpu), (other, other_cpu) = np.median(mine, axis=1).tolist(), np.median(theirs, axis=1).tolist()
    scaled = f", scaled from 1/{part} of its trials" if part > 1 else ""
    said = [
        f"{took:.3g} ms (CPU {cpu:.3g})",
        f"{ratio:.3g} x (CPU {cpu_ratio:.3g}) the reference of {other:.3g} ms (CPU {other_cpu:.3g}{scaled})",
    ]
    for name, value, cpu_value, most in (("ms", took, cpu, at_most), ("x", ratio, cpu_ratio, ratio_at_most)):
        if most is not None:
            verdict = "met" if value <= most else "met by CPU time only" if cpu_value <= most else "missed"
            said.append(f"at most {most:g} {name}: {verdict}")
    said.append(f"load {os.getloadavg()[0]:.1f}")
    benchmark.extra_info |= {"CPU ms": cpu, "reference, ms": other, "reference, CPU ms": other_cpu, "ratio": ratio}
    benchmark.extra_info |= {"CPU ratio": cpu_ratio, "part of the reference": f"1/{part}", "said": "; ".join(said)}
    print(f"\n{benchmark.name}: {'; '.join(said)}")


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the time and the CPU time, of the processes that it starts too, that a call takes, seconds."""

    def now() -> tuple[float, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime

    begun = now()
    call()
    ended = now()
    return ended[0] - begun[0], ended[1] - begun[1]


# Whole processes


def process(*command: str | Path) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, capture_output=True, cwd="/")


EDFKIT = Path(sys.executable).parent / "edfkit"
IMPORTS = process(sys.executable, "-c", "import numpy, h5py, click")

# Linux counts to a child's peak what its parent had when it started it, so a small process starts it.
_PEAK = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, cwd="/")
_, status, used = os.wait4(child.pid, 0)
print(status, used.ru_maxrss)
"""


def peak(*command: str | Path) -> float:
    """Return the largest memory of a process, MB."""
    call = (sys.executable, "-I", "-S", "-c", _PEAK, *command)
    status, used = map(int, subprocess.run(call, check=True, capture_output=True).stdout.split())
    assert status == 0
    return used * (1 if sys.platform == "darwin" else 1024) / 1e6


def is_editable() -> bool:
    """Tell whether the start of every process goes by the finder of an editable installation, which takes time."""
    origin = json.loads(distribution("edfkit").read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


@pytest.mark.parametrize(
    ("command", "at_most"),
    [("--help", 1), ("compare resnet vanilla", 2.2), ("describe", 2.2), ("plan --eps 0.1", 2), ("noise resnet", 3)],
)
def test_a_whole_command_against_importing_numpy_h5py_and_click(
    benchmark: BenchmarkFixture, command: str, at_most: float
) -> None:
    in_turn(benchmark, process(EDFKIT, *command.split()), IMPORTS, rounds=15, ratio_at_most=at_most)
    print(f"edfkit is installed {'editable' if is_editable() else 'as a wheel'}")


@pytest.fixture(scope="session")
def archive(populations: list[tuple[Floats, Floats]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write both populations with three curves of 100 epochs each."""
    rng = np.random.default_rng(1)
    rest = np.append(10 ** np.linspace(0, -2.5, EPOCHS - 1), 0.0)  # of an error, still to go
    groups: dict[str, dict[str, Any]] = {}
    for name, (errors, params) in zip(NAMES, populations, strict=True):
        best = errors[:, None]
        noise = rng.exponential(0.2, (MODELS, EPOCHS)) * (1 + 10 * rest)
        test = np.minimum(best + (90 - best).clip(0) * rest * rng.uniform(0.2, 0.8, (MODELS, 1)) + noise, 100).round(2)
        test[np.arange(MODELS), rng.integers(EPOCHS - 10, EPOCHS, MODELS)] = errors
        train = (test * rng.uniform(0.2, 0.9, (MODELS, 1)) + rng.exponential(0.1, test.shape)).clip(0, 100).round(3)
        unknown = np.full(MODELS, np.nan)
        groups[name] = {
            "id": [f"{100_000_000 + i}" for i in range(MODELS)],
            "error": test.min(axis=1),
            "error_final": test[:, -1],
            "params": params.astype(int),
            "macs": (150 * params).astype(int),
            "flops": (151 * params).astype(int),
            "acts": unknown,
            "seed": np.arange(MODELS),
            "lr": np.full(MODELS, 0.1),
            "wd": np.full(MODELS, 5e-4),
            "status": np.zeros(MODELS, np.int8),
            "seconds": unknown,
            "depth": rng.integers(1, 25, (MODELS, 3)),
            "width": rng.integers(16, 257, (MODELS, 3)),
            "test_error": test,
            "train_error": train,
            "train_loss": (train / 30 + rng.exponential(0.01, test.shape)).round(3),
        }
    about = dict.fromkeys(("title", "source", "license", "dataset", "software", "commit", "created"), "benchmark")
    path = tmp_path_factory.mktemp("large") / "large.h5"
    write(path, groups, about | {"recipe": "{}"})
    return path


@pytest.fixture(scope="session")
def files(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write what the archive holds as published files."""
    folder = tmp_path_factory.mktemp("published")
    optim = {"base_lr": 0.1, "iter_lr": False, "lr_policy": "cos", "max_ep": EPOCHS, "mom": 0.9, "wd": 5e-4}
    prec_time = {"test_fw": 0.007879, "train_bw": 0.013491, "train_fw": 0.007959, "train_fw_bw": 0.02145}
    with Archive(archive) as source:
        for name in NAMES:
            columns = {
                key: source.read(name, variable).tolist()
                for key, variable in {
                    "job_id": "id",
                    "rng_seed": "seed",
                    "params": "params",
                    "flops": "flops",
                    "depth": "depth",
                    "width": "width",
                    "min_test_top1": "error",
                    "train_ep_loss": "train_loss",
                    "train_ep_top1": "train_error",
                    "test_ep_top1": "test_error",
                }.items()
            }
            records = []
            for values in zip(*columns.values(), strict=True):
                record = dict(zip(columns, values, strict=True))
                depth, width = record.pop("depth"), record.pop("width")
                net = {"block_type": "res_basic_block", "ds": [1, *depth], "ws": [16, *width], "ss": [1, 1, 2, 2]}
                net |= {"bot_muls": [], "num_gs": []}
                record |= {"net": net, "optim": optim, "prec_time": prec_time, "exp_mem": 962570, "act_mem": 559}
                record |= {"iter_time": 0.023254, "train_it_loss": [], "train_it_top1": []}
                records.append(record)
            (folder / f"{name}.json").write_text(json.dumps(records), encoding="utf-8")
    return [folder / f"{name}.json" for name in NAMES]


def test_comparing_an_archive_with_curves_against_importing_numpy_h5py_and_click(
    benchmark: BenchmarkFixture, archive: Path
) -> None:
    command: list[str | Path] = [EDFKIT, "compare", *NAMES, "--archive", archive]
    in_turn(benchmark, process(*command), IMPORTS, rounds=15, ratio_at_most=4)
    used, size, installed = peak(*command), archive.stat().st_size / 1e6, "editable" if is_editable() else "as a wheel"
    benchmark.extra_info |= {"peak MB": used, "archive MB": size, "installed": installed}
    print(
        f"archive {size:.0f} MB; peak {used:.0f} MB; at most 150 MB: {'met' if used <= 150 else 'missed'}; {installed}"
    )


def test_comparing_an_archive_with_curves_against_reading_the_published_files(
    benchmark: BenchmarkFixture, archive: Path, files: list[Path]
) -> None:
    theirs: list[str | Path] = [sys.executable, published_way.__file__, *files]
    in_turn(benchmark, process(EDFKIT, "compare", *NAMES, "--archive", archive), process(*theirs), rounds=1)
    used, size = peak(*theirs), sum(file.stat().st_size for file in files) / 1e6
    benchmark.extra_info |= {"reference, peak MB": used, "reference, files MB": size}
    print(f"published files {size:.0f} MB; their way has a peak of {used:.0f} MB")


# Studies


@pytest.fixture(scope="session")
def populations() -> list[tuple[Floats, Floats]]:
    """Draw two large populations, of errors on a grid of 0.01 that depend on complexity, from the bundled models."""
    rng = np.random.default_rng(0)
    drawn = []
    with Archive(locate("digits")) as source:
        for name in NAMES:
            rows = rng.integers(source.models(name), size=MODELS)
            errors = source.read(name, "error")[rows] + rng.normal(0, 0.2, MODELS)
            params = source.read(name, "params")[rows] * rng.uniform(0.9, 1.1, MODELS)
            drawn.append((np.clip(errors, 0, 100).round(2), params.round()))
    return drawn


@pytest.fixture(scope="session")
def records(populations: list[tuple[Floats, Floats]]) -> list[list[published_way.Record]]:
    """Give the same as a published file has it."""
    return [
        [{"min_test_top1": e, "params": p} for e, p in zip(errors.tolist(), params.tolist(), strict=True)]
        for errors, params in populations
    ]


def normalised(populations: list[tuple[Floats, Floats]]) -> Callable[[], object]:
    def compare() -> object:
        lo, hi = common_range(*(counts for _, counts in populations))
        weights = [complexity_weights(counts, lo, hi, 10) for _, counts in populations]
        errors = [errors for errors, _ in populations]
        return ks(*errors, *weights), prob_better(*errors, *weights)

    return compare


def test_a_normalised_comparison_of_25000_models_each_against_sorting_the_errors(
    benchmark: BenchmarkFixture, populations: list[tuple[Floats, Floats]]
) -> None:
    in_turn(benchmark, normalised(populations), lambda: [np.sort(errors) for errors, _ in populations], rounds=20)


def test_a_normalised_comparison_of_25000_models_each_against_the_published_way(
    benchmark: BenchmarkFixture, populations: list[tuple[Floats, Floats]], records: list[list[published_way.Record]]
) -> None:
    in_turn(benchmark, normalised(populations), lambda: published_way.compare(records), rounds=20, at_most=15)


def test_a_normalised_comparison_of_a_million_models_each_against_polars(benchmark: BenchmarkFixture) -> None:
    pl = pytest.importorskip("polars", reason="polars, the reference, is not installed: pip install polars")
    rng = np.random.default_rng(0)
    sizes = [rng.uniform(1e5, hi, 1_000_000).round() for hi in (2.9e6, 3e6)]
    errors = [np.clip(5 + 3e6 / size + rng.gamma(2, 3, size.size), 0, 100).round(2) for size in sizes]

    def ours() -> tuple[float, float]:
        lo, hi = common_range(*sizes)
        a, b = (balanced_sample(*one, lo, hi, 10) for one in zip(errors, sizes, strict=True))
        return ks(a, b).statistic, prob_better(a, b)

    def theirs() -> tuple[float, float]:
        frames = [pl.DataFrame({"error": e, "size": c}) for e, c in zip(errors, sizes, strict=True)]
        ends = [frame.select(lo=pl.col("size").min(), hi=pl.col("size").max()).row(0) for frame in frames]
        lo, hi = max(low for low, _ in ends), min(high for _, high in ends)
        a, b = (
            frame.lazy()
            .filter(pl.col("size").is_between(lo, hi))
            .with_columns(bin=((pl.col("size") - lo) / (hi - lo) * 10).cast(pl.Int32).clip(0, 9))
            .group_by("error", "bin")
            .agg(models=pl.len())
            .with_columns(weight=pl.col("models") / (10 * pl.col("models").sum().over("bin")))
            .group_by("error")
            .agg(pl.col("weight").sum())
            .collect()
            for frame in frames
        )
        both = a.join(b, on="error", how="full", coalesce=True, suffix="_b").sort("error").fill_null(0.0)
        of_a, of_b = pl.col("weight"), pl.col("weight_b")
        distance = (of_a.cum_sum() - of_b.cum_sum()).abs().max()
        found: tuple[float, float] = both.select(d=distance, p=(of_a * (1 - of_b.cum_sum() + of_b / 2)).sum()).row(0)
        return found

    assert ours() == pytest.approx(theirs(), abs=1e-9)
    in_turn(benchmark, ours, theirs, rounds=10, ratio_at_most=1.5)


def test_a_compare_study_of_25000_models_each_against_the_published_way(
    benchmark: BenchmarkFixture, populations: list[tuple[Floats, Floats]], records: list[list[published_way.Record]]
) -> None:
    source = InMemory({name: {"error": e, "params": p} for name, (e, p) in zip(NAMES, populations, strict=True)})
    in_turn(
        benchmark, lambda: compare_populations(source, NAMES), lambda: published_way.compare(records, 10), rounds=10
    )


@pytest.mark.parametrize("space", [0, 1], ids=NAMES)
def test_the_exact_point_study_against_resampling(
    benchmark: BenchmarkFixture,
    populations: list[tuple[Floats, Floats]],
    records: list[list[published_way.Record]],
    space: int,
) -> None:
    errors = populations[space][0]
    in_turn(
        benchmark,
        lambda: (who_wins(errors, 100, large=1000), difference(errors, 100, large=1000)),
        lambda: published_way.resample_point(records[space], 100, 1000, trials=500),
        rounds=5,
        at_most=25,
        part=10,
    )


@pytest.mark.parametrize("space", [0, 1], ids=NAMES)
def test_the_exact_random_search_curve_against_resampling(
    benchmark: BenchmarkFixture,
    populations: list[tuple[Floats, Floats]],
    records: list[list[published_way.Record]],
    space: int,
) -> None:
    errors, params = populations[space]
    lo, hi = common_range(*(counts for _, counts in populations))
    weights = complexity_weights(params, lo, hi, 10)
    inside, their_weights = published_way.weigh(records[space], lo, hi, 10)
    sizes = [2**power for power in range(13)]
    in_turn(
        benchmark,
        lambda: best_of(errors, sizes, weights),
        lambda: published_way.resample_search(inside, their_weights, sizes),
        rounds=5,
        at_most=6,
    )


def test_the_sample_size_curve_against_resampling(
    benchmark: BenchmarkFixture, records: list[list[published_way.Record]]
) -> None:
    sizes = [2**power for power in range(15)]
    in_turn(
        benchmark,
        lambda: expected_distance_to_population(sizes, MODELS),
        lambda: published_way.resample_sizes(records[0], sizes, trials=5),
        rounds=5,
        at_most=5,
        part=10,
    )


@pytest.mark.parametrize("other", ["another space", "the same space"])
def test_an_exact_p_value_of_25000_models_each_against_scipys_asymptotic_one(
    benchmark: BenchmarkFixture, populations: list[tuple[Floats, Floats]], other: str
) -> None:
    (a, _), (b, _) = populations
    if other == "the same space":  # with as many ties, and a p-value that is not 0
        a = np.random.default_rng(2).choice(b, MODELS)
    in_turn(benchmark, lambda: ks(a, b), lambda: stats.ks_2samp(a, b, method="asymp"), rounds=10, at_most=500)


@pytest.mark.parametrize("space", [0, 1], ids=NAMES)
def test_an_equal_local_levels_band_of_25000_models_against_the_ks_band(
    benchmark: BenchmarkFixture, populations: list[tuple[Floats, Floats]], space: int
) -> None:
    errors = populations[space][0]
    in_turn(
        benchmark,
        lambda: edf_band(errors, method="equal-local-levels"),
        lambda: edf_band(errors),
        rounds=10,
        at_most=200,
    )


def test_an_equal_local_levels_band_of_25000_models_against_that_of_opda_of_100(
    benchmark: BenchmarkFixture, populations: list[tuple[Floats, Floats]]
) -> None:
    bands = pytest.importorskip("opda.nonparametric").EmpiricalDistribution.confidence_bands
    few = np.random.default_rng(2).choice(np.unique(populations[0][0]), 100, replace=False)
    in_turn(
        benchmark,
        lambda: edf_band(populations[0][0], method="equal-local-levels"),
        lambda: bands(few, 0.95, generator=np.random.default_rng(0), method="ld_equal_tailed", n_jobs=1),
        rounds=2,
        at_most=200,
    )


def test_1000_permutations_within_40_bins_against_one_bin_at_a_time(
    benchmark: BenchmarkFixture, populations: list[tuple[Floats, Floats]]
) -> None:
    errors = [errors for errors, _ in populations]
    bins = [bin_index(counts, 60_000, 290_000, 40) for _, counts in populations]
    inside = [index >= 0 for index in bins]
    their_errors = [each[kept] for each, kept in zip(errors, inside, strict=True)]
    their_bins = [each[kept] for each, kept in zip(bins, inside, strict=True)]
    in_turn(
        benchmark,
        lambda: permutation_test(*errors, *bins, trials=1000, rng=np.random.default_rng(0)),
        lambda: published_way.permute(their_errors, their_bins, trials=100),
        rounds=3,
        at_most=3000,
        part=10,
    )


def test_the_point_study_by_resampling_against_the_published_way(
    benchmark: BenchmarkFixture, populations: list[tuple[Floats, Floats]], records: list[list[published_way.Record]]
) -> None:
    errors = populations[0][0]
    in_turn(
        benchmark,
        lambda: resample_minima(errors, 100, 1000, 5000, rng=np.random.default_rng(0)),
        lambda: published_way.resample_point(records[0], 100, 1000, trials=500),
        rounds=5,
        at_most=2000,
        part=10,
    )


# Spaces


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
