"""Comparisons counted part by part against those in memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edfkit import EdfkitError, table, text
from edfkit.archive import Archive, write
from edfkit.compare import KS, Summary
from edfkit.datasets import BUNDLED
from edfkit.plot import edf_figure
from edfkit.result import Result
from edfkit.schema import REQUIRED_ATTRS, STATUS, VARIABLES
from edfkit.study.compare import Comparison, Pair, compare_populations
from edfkit.study.stream import stream_populations

DIGITS = BUNDLED["digits"]
EDFKIT = Path(sys.executable).parent / "edfkit"
FINISHED, DIVERGED, FAILED = range(len(STATUS))


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """Check that results are equal: numbers to 1e-12, all else exactly."""
    if isinstance(one, Result | Comparison | Pair | KS | Summary):
        one, other = vars(one), vars(other)
    if isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, np.ndarray | float):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12, err_msg=path)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}[{i}]")
    else:
        assert one == other, path


def assert_streams_as_in_memory(path: Path, names: list[str], **options: Any) -> Comparison:
    streamed = stream_populations(path, names, **options)
    with Archive(path) as archive:
        whole = compare_populations(archive, names, **options)
    for key in ("pairs", "bands", "seed", "settings"):
        assert_same(getattr(streamed, key), getattr(whole, key), key)
    for one, other in zip(streamed.selection.populations, whole.selection.populations, strict=True):
        assert_same(one.summary, other.summary, "summary")
    assert_same(streamed.to_dict(), whole.to_dict())
    assert list(text.comparison(streamed)) == list(text.comparison(whole))
    return streamed


def written(path: Path, seed: int, names: str = "abc", images: int = 200, models: int = 150) -> Path:
    """Write random populations with many ties, some of whose models diverged or failed."""
    rng = np.random.default_rng(seed)
    columns: dict[str, dict[str, Any]] = {}
    for name in names:
        size = models + int(rng.integers(0, 50))
        params = np.append(rng.integers(1_000, 9_000, size - 2), [1_000, 9_000])
        status = np.append(rng.choice(3, size - 2, p=(0.8, 0.12, 0.08)), [0, 0]).astype(np.int8)
        missed = rng.binomial(images, 0.1 + 200 / params + 0.02 * rng.random())
        error = np.where(status == FAILED, np.nan, np.where(status == DIVERGED, 90.0, missed * 100 / images))
        unknown = {v: np.full(size, np.nan) for v, spec in VARIABLES.items() if spec.required}
        columns[name] = unknown | {
            "id": np.arange(size).astype(str),
            "error": error,
            "error_final": np.minimum(100, error + 0.5),
            "params": params,
            "status": status,
        }
    write(path, columns, dict.fromkeys(REQUIRED_ATTRS, "test") | {"recipe": "{}"})
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"given": "none", "permutations": 30},
        {"given": "flops", "bins": 5, "range": (2e6, 6e6), "permutations": 50, "seed": 4},
        {"error": "final", "diverged": "censor", "area_to": 20.0, "confidence": 0.8, "best_share": 0.3},
    ],
    ids=str,
)
def test_a_stream_gives_the_numbers_of_the_models_in_memory(options: dict[str, Any]) -> None:
    assert_streams_as_in_memory(DIGITS, ["resnet", "Vanilla"], **options)


@pytest.mark.parametrize("diverged", ["keep", "drop", "censor"])
@pytest.mark.parametrize("given_", ["params", "none"])
@pytest.mark.parametrize("seed", range(3))
def test_random_populations_give_the_same_in_every_field(tmp_path: Path, seed: int, given_: str, diverged: str) -> None:
    options: dict[str, Any] = {"given": given_, "diverged": diverged, "error": ["best", "final"][seed % 2]}
    options |= {
        "permutations": 40,
        "seed": seed,
        "confidence": [0.95, 0.9, 0.7][seed],
        "best_share": [0.05, 0.2, 1][seed],
    }
    if given_ == "params" and seed:
        options |= {"range": (1_500.0, 7_000.5), "bins": seed + 1}
    path = written(tmp_path / "x.h5", seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "_AT_ONCE", 37)
        result = assert_streams_as_in_memory(path, ["c", "a", "b"], **options)
    assert [(pair.a, pair.b) for pair in result.pairs] == [("c", "a"), ("c", "b"), ("a", "b")]
    assert all(pair.permutation is not None for pair in result.pairs)
    assert all((pair.mix is None) == (given_ == "none") for pair in result.pairs)
    assert all(one.left_out.get("failed") for one in result.selection.populations)


def test_one_population_streams_too(tmp_path: Path) -> None:
    result = assert_streams_as_in_memory(written(tmp_path / "x.h5", 9), ["b"])
    assert (result.pairs, len(result.bands)) == ([], 1)


def test_a_stream_is_drawn_like_the_models() -> None:
    streamed = stream_populations(DIGITS, ["resnet", "vanilla"])
    with Archive(DIGITS) as archive:
        whole = compare_populations(archive, ["resnet", "vanilla"])
    axes, others = (edf_figure(one, band=True).axes[0] for one in (streamed, whole))
    for one, other in zip(axes.lines, others.lines, strict=True):
        assert one.get_label() == other.get_label()
        assert one.get_xydata() == pytest.approx(other.get_xydata())
    assert len(axes.collections) == len(others.collections) == 2
    for band, its in zip(axes.collections, others.collections, strict=True):
        assert band.get_paths()[0].vertices == pytest.approx(its.get_paths()[0].vertices)


def test_a_stream_names_a_population_once() -> None:
    with pytest.raises(EdfkitError, match="named twice"):
        stream_populations(DIGITS, ["resnet", "RESNET"])


def test_the_command_streams_here_and_on_a_cluster() -> None:
    from distributed import LocalCluster

    command = [EDFKIT, "compare", "resnet", "vanilla", "--archive", DIGITS, "--json"]
    here = subprocess.run([*command, "--stream"], capture_output=True, check=True, text=True).stdout
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        there = [*command, "--scheduler", cluster.scheduler_address]
        assert subprocess.run(there, capture_output=True, check=True, text=True).stdout == here
    assert json.loads(here)["pairs"][0]["tail"]["q"] == 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_share": 0.0}, "was 0; give a share above 0"),
        ({"confidence": 1.0}, "confidence: 1 was given"),
        ({"permutations": -1}, "-1"),
        ({"given": "none", "bins": 2}, "Bins and range belong to a complexity"),
        ({"given": "none", "range": (1.0, 2.0)}, "Bins and range belong to a complexity"),
        ({"error": "3"}, "a stream has best and final only"),
    ],
)
def test_what_cannot_be_streamed_is_refused(options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        stream_populations(DIGITS, ["resnet", "vanilla"], **options)
