"""Comparisons counted part by part against those in memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.plot import edf_figure
from edfkit.study.compare import compare_populations
from edfkit.study.stream import stream_populations

DIGITS = BUNDLED["digits"]
EDFKIT = Path(sys.executable).parent / "edfkit"
SAME = ("a", "b", "ks", "p_value", "p_method", "p_holm", "prob_a_better", "dominance", "crossings", "verdict")


def close(one: Any, other: Any) -> bool:
    """Tell whether plain data are equal, numbers to round-off."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return bool(one == pytest.approx(other, rel=1e-9)) if isinstance(one, float) else bool(one == other)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"given": "none"},
        {"given": "flops", "bins": 5, "range": (2e6, 6e6)},
        {"error": "final", "diverged": "censor", "area_to": 20.0},
    ],
    ids=str,
)
def test_a_stream_gives_the_numbers_of_the_models_in_memory(options: dict[str, Any]) -> None:
    streamed = stream_populations(DIGITS, ["resnet", "Vanilla"], **options).to_dict()
    with Archive(DIGITS) as archive:
        whole = compare_populations(archive, ["resnet", "Vanilla"], **options).to_dict()
    for key in ("given", "error", "diverged", "bins", "range", "spaces"):
        assert close(streamed[key], whole[key]), key
    (pair,), (other,) = streamed["pairs"], whole["pairs"]
    for key in SAME:
        assert close(pair[key], other[key]), key
    assert pair["ranges"] is pair["tail"] is pair["mix"] is None


def test_a_stream_is_drawn_like_the_models() -> None:
    streamed = stream_populations(DIGITS, ["resnet", "vanilla"])
    with Archive(DIGITS) as archive:
        whole = compare_populations(archive, ["resnet", "vanilla"])
    for one, other in zip(edf_figure(streamed).axes[0].lines, edf_figure(whole).axes[0].lines, strict=True):
        assert one.get_label() == other.get_label()
        assert one.get_xydata() == pytest.approx(other.get_xydata())


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
    assert json.loads(here)["pairs"][0]["tail"] is None


def test_what_needs_the_models_in_memory_is_refused() -> None:
    command = [EDFKIT, "compare", "resnet", "vanilla", "--archive", DIGITS, "--stream", "--permutations", "10"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert "these are streamed" in " ".join(done.stderr.split())
