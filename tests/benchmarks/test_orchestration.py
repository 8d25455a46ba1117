"""How fast runs go where nothing is trained: 25,000 tasks, resumption, packing."""

import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from edfkit.archive import Archive
from edfkit.generator import spaces
from edfkit.generator.runs import engine, plan, run, work
from edfkit.generator.training.recipe import Recipe

MODELS, EPOCHS = 25_000, 100


def report_at_once(folder: str, index: int, where: str | None = None, device: str = "cpu") -> tuple[str, bool]:
    """Write a result with whole curves as if the model had been trained."""
    whole = work.plan_of(folder)
    rng = np.random.default_rng(index)
    curves = {name: (rng.integers(9000, size=EPOCHS) / 100).tolist() for name in run.CURVES}
    result = {"id": whole.ids[index], "software": "none", "status": "finished", "reason": None, "seconds": 1.0}
    run.write_result(Path(folder), result | curves)
    return "finished", False


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import a test
    request = plan.Request(spaces.find("resnet"), "digits", MODELS, 0, {}, "none", Recipe(epochs=EPOCHS, batch=100))
    begun = time.perf_counter()
    planned = plan.open_run(folder, request)
    left = run.pending(folder, planned)
    seconds = time.perf_counter() - begun
    print(f"\nplan of {MODELS:,} models: {seconds:.1f} s")
    ended: Counter[str] = Counter()
    memory: list[float] = []
    begun = time.perf_counter()
    first = 0.0
    for status in engine.train_pending(
        folder, planned, left, engine.Engine(workers=2, device="cpu"), task=report_at_once
    ):
        first = first or time.perf_counter()
        ended[status] += 1
        if ended.total() in (MODELS // 10, MODELS):
            memory.append(peak_mb())
    total, at_work = time.perf_counter() - begun, time.perf_counter() - first
    assert ended == {"finished": MODELS}
    print(
        f"{MODELS:,} tasks on two workers: {MODELS / at_work:,.0f} a second ({MODELS / total:,.0f} with the start of "
        f"the workers); peak memory of the driver {memory[0]:.0f} MB after a tenth, {memory[1]:.0f} MB at the end"
    )
    return folder


def measured(*command: object) -> tuple[float, float]:
    """Run a command; give its seconds and its peak memory in MB."""
    code = (
        "import resource, subprocess, sys, time; t = time.perf_counter(); "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
        "print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    out = subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, command)], check=True, capture_output=True, text=True
    ).stdout
    seconds, memory = map(float, out.split())
    return seconds, memory


def test_a_finished_run_is_resumed_and_packed(finished: Path, tmp_path: Path) -> None:
    edfkit = Path(sys.executable).parent / "edfkit"
    raw = time.perf_counter()
    size = sum(len(Path(entry.path).read_bytes()) for entry in os.scandir(finished / "results"))
    raw = time.perf_counter() - raw
    print(f"\nreading the {MODELS:,} files of results, {size / 1e6:.0f} MB, and nothing else: {raw:.2f} s")
    arguments = ["resnet", "--models", MODELS, "--bound", "none", "--epochs", EPOCHS, "--batch", 100, "--flip"]
    arguments += ["--shift", 4, "--precise-bn", 1024, "--out", finished]
    for what, command in (
        ("resume", [edfkit, "generate", *arguments]),
        ("status", [edfkit, "status", finished]),
        ("pack", [edfkit, "pack", finished, "-o", tmp_path / "a.h5"]),
    ):
        seconds, memory = measured(*command)
        print(f"{what}: {seconds:.1f} s, {seconds / raw:.1f} x reading the files, {memory:.0f} MB")
    with Archive(tmp_path / "a.h5") as archive:
        assert archive.models("resnet") == MODELS
