"""Runs: plans, growth, damage, and real processes killed at random moments."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from dask.distributed import Client
from filelock import FileLock

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.source import open_source
from edfkit.cli import edfkit
from edfkit.generator import spaces
from edfkit.generator.runs import plan as plans
from edfkit.generator.runs import run as runs
from edfkit.generator.runs import status
from edfkit.generator.runs.pack import pack
from edfkit.generator.runs.verify import check_complexity
from edfkit.generator.training.recipe import Recipe

EDFKIT = Path(sys.executable).parent / "edfkit"
SETTINGS = ["--seed", "3", "--epochs", "2", "--max-params", "40e3", "--max-macs", "1e6"]
REQUEST = plans.Request(
    spaces.find("resnet"), "digits", 3, 3, {"params": 40e3, "macs": 1e6}, "and",
    Recipe(epochs=2, batch=100, flip=False, shift=1, precise_bn=1000),
)  # fmt: skip


ADDRESS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _cluster(cluster: str) -> None:
    """Have the commands that do not name a number of workers use those that are there."""
    ADDRESS[:] = [cluster]


def arguments(folder: Path, models: int, *more: str) -> list[str]:
    """Give what the command is told: to use the cluster that is there, or to start so many workers as `more` says."""
    where = [] if "--workers" in more else ["--scheduler", *ADDRESS]
    return ["generate", "resnet", "--models", str(models), *SETTINGS, "--out", str(folder), *more, *where]


@contextmanager
def started(folder: Path, models: int, *more: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """Start the command as a terminal does, in a process group of its own, which is dead in the end."""
    process = subprocess.Popen(
        [EDFKIT, *arguments(folder, models, *more)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_workers() -> None:
    """Wait until the workers have ended what they are at: each trains on one thread, and so answers after that."""
    with Client(*ADDRESS) as client:
        client.gather([client.submit(os.getpid, workers=[worker], pure=False) for worker in client.nthreads()])


def generate(folder: Path, models: int, *more: str) -> str:
    """Run the command undisturbed: in this process, which has loaded what it needs."""
    done = CliRunner().invoke(edfkit, arguments(folder, models, *more))
    assert done.exit_code == 0, done.output
    return done.stdout


def results(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (folder / "results").glob("*.json")}


def arrays(archive: Path) -> dict[str, np.ndarray]:
    """Give all that training decides: everything but the time it took."""
    with Archive(archive) as opened:
        return {name: opened.read("resnet", name) for name in opened.variables("resnet") if name != "seconds"}


def assert_same_archive(one: Path, other: Path) -> None:
    for run in (one, other):
        pack([run], run.with_suffix(".h5"), source="test", license="none")
    first, second = arrays(one.with_suffix(".h5")), arrays(other.with_suffix(".h5"))
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run of three models, without disturbance and with one worker."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    out = generate(folder, 3, "--workers", "1")
    assert "3 of 3 resnet models done; 3 trained now, of which 0 diverged and 0 failed" in out
    return folder


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run that takes long enough to be disturbed, without disturbance."""
    folder = tmp_path_factory.mktemp("runs") / "longer"
    generate(folder, 16)
    return folder


# Plans


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = plans.make_plan(REQUEST)
    plans.write_plan(tmp_path / "run", plan)
    again = plans.read_plan(tmp_path / "run")
    assert again.request == plan.request
    assert (again.ids, again.created) == (plan.ids, plan.created)
    np.testing.assert_equal(again.sample.columns, plan.sample.columns)
    np.testing.assert_array_equal(again.sample.complexity, plan.sample.complexity)
    np.testing.assert_array_equal(again.seeds, plan.seeds)


def test_the_plan_of_more_models_begins_with_that_of_fewer() -> None:
    short, long = (plans.make_plan(replace(REQUEST, models=models)) for models in (5, 500))
    assert long.ids[:5] == short.ids
    assert len(set(long.ids)) == 500
    np.testing.assert_array_equal(long.seeds[:5], short.seeds)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4}, {"dataset": "cifar10", "bounds": {}}, {"space": spaces.find("vanilla")},
        {"recipe": replace(REQUEST.recipe, lr=0.2)}, {"recipe": replace(REQUEST.recipe, epochs=3)},
    ],
)  # fmt: skip
def test_an_id_depends_on_all_that_decides_a_model(change: dict[str, Any]) -> None:
    assert not set(plans.make_plan(REQUEST).ids) & set(plans.make_plan(replace(REQUEST, **change)).ids)


def test_a_run_is_gone_on_with_only_by_its_own_settings(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plans.open_run(folder, REQUEST)
    assert plans.open_run(folder, REQUEST).ids == plans.read_plan(folder).ids
    with pytest.raises(EdfkitError, match=r"was begun with seed 3 and not 4; repeat its settings"):
        plans.open_run(folder, replace(REQUEST, seed=4))
    with pytest.raises(EdfkitError, match=r"was begun with seed 3 and not 4, epochs 2 and not 3; repeat"):
        plans.open_run(folder, replace(REQUEST, seed=4, recipe=replace(REQUEST.recipe, epochs=3)))
    with pytest.raises(EdfkitError, match=r"has 3 models, more than the 2 asked for; a run can only grow"):
        plans.open_run(folder, replace(REQUEST, models=2))
    assert len(plans.open_run(folder, replace(REQUEST, models=7)).ids) == 7
    assert len(plans.read_plan(folder).ids) == 7


def test_a_run_whose_seed_means_other_models_does_not_grow(tmp_path: Path) -> None:
    plan = plans.make_plan(replace(REQUEST, seed=99))
    plans.write_plan(tmp_path, replace(plan, request=REQUEST))
    with pytest.raises(EdfkitError, match="cannot grow: this version of edfkit or numpy draws other models"):
        plans.open_run(tmp_path, replace(REQUEST, models=5))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("dear to somebody")
    with pytest.raises(EdfkitError, match="exists and is not a run; give the name of a new folder"):
        plans.open_run(tmp_path, REQUEST)
    with pytest.raises(EdfkitError, match="exists and is not a run"):
        plans.open_run(tmp_path / "thesis.txt", REQUEST)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a run: it has no plan.json"),
        ("", "cannot be read"),
        ('{"format": "edfkit run", "format_ver', "cannot be read"),
        ("[]", "is not the plan of a run"),
        ('{"format": "edfkit run", "format_version": 2}', "has format version 2 and this edfkit reads 3"),
        ('{"format": "edfkit run"}', "has format version None and this edfkit reads 3"),
        ('{"format": "edfkit run", "format_version": 3}', "is damaged .KeyError: 'request'."),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "plan.json").write_text(text)
    with pytest.raises(EdfkitError, match=message):
        plans.read_plan(tmp_path)


# Training, with real processes


def test_results_hold_the_curves(undisturbed: Path) -> None:
    plan = plans.read_plan(undisturbed)
    found = results(undisturbed)
    assert sorted(found) == sorted(plan.ids)
    for result in found.values():
        assert result["status"] == "finished"
        assert {len(result[curve]) for curve in ("test_error", "train_error", "train_loss")} == {2}
        assert "torch" in result["software"]


def test_a_finished_run_trains_nothing_again(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (undisturbed / "results").iterdir()}
    assert "3 of 3 resnet models done; 0 trained now" in generate(undisturbed, 3)
    assert {path: path.stat().st_mtime_ns for path in (undisturbed / "results").iterdir()} == before


def test_more_workers_and_growth_give_the_same_models(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    generate(folder, 2, "--workers", "2")
    assert "3 of 3 resnet models done; 1 trained now" in generate(folder, 3)
    assert_same_archive(undisturbed, folder)


def wait_for_another_result(process: "subprocess.Popen[str]", folder: Path) -> None:
    known = len(results(folder))
    deadline = time.monotonic() + 120
    while len(results(folder)) == known and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)


def kill_and_resume(folder: Path, models: int, kills: int, longest: float, seed: int) -> int:
    """Kill the command `kills` times at random moments, let it finish; return how often it was at work then."""
    rng = random.Random(seed)
    hits = 0
    for kill in range(kills):
        with started(folder, models, "--workers", "2") as process:
            # In turn at any moment, perhaps before the plan is whole, and just after a model was done.
            if kill % 2:
                wait_for_another_result(process, folder)
                time.sleep(rng.uniform(0, 0.3))
            else:
                time.sleep(rng.uniform(0, longest))
            hits += process.poll() is None
        kept = results(folder)  # every file there is whole
        assert all(result["id"] == name for name, result in kept.items())
    done = {path: path.stat().st_mtime_ns for path in folder.glob("results/*.json")}
    generate(folder, models)
    assert {path: path.stat().st_mtime_ns for path in done} == done  # what was done is not trained again
    assert not list(folder.glob("results/.*.tmp"))
    return hits


def test_a_killed_run_goes_on_to_the_same_archive(longer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    assert kill_and_resume(folder, 16, kills=2, longest=4, seed=1) == 2
    assert_same_archive(longer, folder)


@pytest.mark.slow
def test_a_run_killed_ten_times_goes_on_to_the_same_archive(tmp_path: Path) -> None:
    generate(tmp_path / "undisturbed", 200, "--workers", "2")
    assert kill_and_resume(tmp_path / "killed", 200, kills=10, longest=12, seed=2) == 10
    assert_same_archive(tmp_path / "undisturbed", tmp_path / "killed")


def test_damaged_results_are_named_and_trained_again(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plan = plans.make_plan(REQUEST)
    plans.write_plan(folder, plan)
    whole = {model: runs.result_path(undisturbed, model).read_text() for model in plan.ids}
    cut, swapped, kept = plan.ids
    runs.result_path(folder, cut).write_text(whole[cut][:100])
    runs.result_path(folder, swapped).write_text(whole[kept])
    runs.result_path(folder, kept).write_text(whole[kept])

    now = status.read(folder)
    assert (now.finished, now.damaged, now.remaining) == (1, 2, 2)
    with pytest.raises(EdfkitError, match=rf"{cut}.json is damaged .*; call edfkit generate .* again"):
        runs.read_result(folder, cut)
    with pytest.raises(
        EdfkitError, match=rf"2 results are damaged and were put aside: .*{cut}.json .*{swapped}.json .*; call edfkit"
    ):
        pack([folder], tmp_path / "a.h5", source="test", license="none")
    assert sorted(path.stem for path in (folder / "damaged").iterdir()) == sorted([cut, swapped])
    assert len(runs.pending(folder, plan)) == 2
    assert not (tmp_path / "a.h5").exists()
    assert "3 of 3 resnet models done; 2 trained now" in generate(folder, 3)
    for model, text in whole.items():
        again = json.loads(runs.result_path(folder, model).read_text())
        assert {**again, "seconds": 0} == {**json.loads(text), "seconds": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "resting"}, "its status is 'resting'"),
        ({"status": None}, "its status is None"),
        ({"train_loss": [1.0]}, "its curves differ in length"),
        ({"test_error": None}, "object of type 'NoneType' has no len"),
    ],
)
def test_a_result_that_lacks_something_is_damaged(
    undisturbed: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    plan = plans.read_plan(undisturbed)
    plans.write_plan(tmp_path, plan)
    model, result = next(iter(results(undisturbed).items()))
    runs.result_path(tmp_path, model).write_text(json.dumps(result | change))
    with pytest.raises(EdfkitError, match=rf"{model}.json is damaged .*{message}"):
        runs.read_result(tmp_path, model)
    assert len(runs.pending(tmp_path, plan)) == 3
    assert status.read(tmp_path).damaged == 1


def test_a_model_that_fails_is_recorded_and_tried_again(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plan = plans.make_plan(REQUEST)
    stages = {name: column.copy() for name, column in plan.sample.columns.items()}
    stages["width"][1, 2] = 0  # a network that cannot be built
    plans.write_plan(folder, replace(plan, sample=replace(plan.sample, columns=stages)))
    with started(folder, 3) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "2 of 3 resnet models done; 3 trained now, of which 0 diverged and 1 failed" in out
    assert err.strip().splitlines()[-1].startswith("edfkit: 1 models failed: ")
    assert "Traceback" not in err
    assert results(folder)[plan.ids[1]]["status"] == "failed"

    pack([folder], tmp_path / "a.h5", source="test", license="none")
    with Archive(tmp_path / "a.h5") as archive:
        assert archive.read("resnet", "status").tolist() == [0, 2, 0]
        assert np.isnan(archive.read("resnet", "error")).tolist() == [False, True, False]

    plans.write_plan(folder, plan)
    assert "3 of 3 resnet models done; 1 trained now" in generate(folder, 3)


def test_a_full_disk_stops_a_run_that_goes_on_once_there_is_room(small_disk: Path) -> None:
    folder, filler = small_disk / "run", small_disk / "filler"
    filler.write_bytes(bytes(120_000))  # of 160 kB; each result takes a block of 4
    with started(folder, 24) as process:
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (1, "")
    *_, sentence = err.strip().splitlines()
    assert sentence.startswith(f"edfkit: {folder}/results/")
    assert sentence.endswith(".json: No space left on device; give another place, or make room there.")
    wait_for_workers()  # which do not stop with the command: there would be room for what they are at
    done = len(results(folder))  # all of them whole
    assert 0 < done < 24
    filler.unlink()
    assert f"24 of 24 resnet models done; {24 - done} trained now" in generate(folder, 24)


def test_removed_results_are_trained_again(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plans.write_plan(folder, plans.read_plan(undisturbed))
    (folder / "results").rmdir()
    generate(folder, 3)
    assert_same_archive(undisturbed, folder)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_model(longer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with started(folder, 16, "--workers", "1") as process:
        wait_for_another_result(process, folder)
        kill_worker(process, folder)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_same_archive(longer, folder)


def test_a_model_that_kills_its_worker_each_time_is_recorded_as_failed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with started(folder, 1, "--workers", "1", "--epochs", "3000") as process:
        killed: set[int] = set()
        while len(killed) < 3:
            killed.add(kill_worker(process, folder, killed))
        out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "0 of 1 resnet models done; 1 trained now, of which 0 diverged and 1 failed" in out
    assert "a lack of memory may explain" in err
    assert "Traceback" not in err


def kill_worker(process: "subprocess.Popen[str]", folder: Path, killed: Set[int] = frozenset()) -> int:
    """Kill another process that is at work on a model, and return its number."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for written, _ in runs.signs(folder).values():
            sign = runs.sign_of(written)
            if sign.get("model") and sign["pid"] not in killed:
                os.kill(sign["pid"], signal.SIGKILL)
                return int(sign["pid"])
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no worker was seen at work")


def test_workers_are_jobs_of_slurm(undisturbed: Path, tmp_path: Path) -> None:
    """Submit real jobs to a batch system that starts each at once, keeps its directives, and ends the first early."""
    job, log = tmp_path / "job", tmp_path / "log"
    (tmp_path / "bin").mkdir()
    for name, text in {
        "sbatch": f'cp "$1" {job}; setsid bash {job} > {log} 2>&1 & echo $! >> {job}s; echo Submitted batch job $!',
        "scancel": 'kill -- "-$1"',
    }.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    settings = {"CORES": "1", "PROCESSES": "1", "MEMORY": "4GB", "INTERFACE": "lo", "LOCAL_DIRECTORY": str(tmp_path)}
    environment = {f"DASK_JOBQUEUE__SLURM__{name}": value for name, value in settings.items()}
    environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment["PYTHONSAFEPATH"] = "1"  # a job starts Python in this folder, whose parts of edfkit are not the package
    environment["DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT"] = "1s"  # within which it may come back
    options = ["--slurm", "--workers", "1", "--slurm-directive=--gres=gpu:1"]
    with started(tmp_path / "run", 3, *options, **environment) as process:
        wait_for_another_result(process, tmp_path / "run")
        os.killpg(int((tmp_path / "jobs").read_text()), signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "3 of 3 resnet models done; 3 trained now" in out
    assert len((tmp_path / "jobs").read_text().split()) == 2
    assert "#SBATCH --gres=gpu:1" in job.read_text()
    assert_same_archive(undisturbed, tmp_path / "run")


def test_two_commands_do_not_train_one_run(undisturbed: Path) -> None:
    with FileLock(undisturbed / ".lock"), started(undisturbed, 3) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "Another process is training the run" in err
    generate(undisturbed, 3)  # and later it may


@pytest.mark.parametrize("when", ["starting", "training"])
def test_an_interrupt_is_answered_with_one_line(when: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # Each process that trains has loaded torch, which takes seconds; those that start have not.
    with started(folder, 50, "--workers", "1" if when == "training" else "2") as process:
        if when == "training":
            wait_for_another_result(process, folder)
        while not (children := psutil.Process(process.pid).children(recursive=True)):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert err.strip().splitlines()[-1] == (
        f"edfkit: Interrupted; the same command goes on with {folder}, where nothing is lost."
    )
    assert "Traceback" not in err
    assert not psutil.wait_procs(children, timeout=30)[1]


# Status and pack


def test_status_counts_what_is_there(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    plan = plans.make_plan(REQUEST)
    plans.write_plan(folder, plan)
    now = status.read(folder)
    assert asdict(now) == {
        "population": "resnet", "dataset": "digits", "models": 3, "finished": 0, "diverged": 0, "failed": 0,
        "damaged": 0, "running": 0, "models_per_hour": None, "hours_left": None, "best_error": None,
        "cost_share": None,
    }  # fmt: skip
    assert now.remaining == 3
    macs = plan.sample.complexity.macs
    for model, seconds in zip(plan.ids[:2], (30.0, 42.0), strict=True):
        result = json.loads(runs.result_path(undisturbed, model).read_text())
        runs.result_path(folder, model).write_text(json.dumps(result | {"seconds": seconds}))
    now = status.read(folder)
    assert (now.finished, now.remaining, now.models_per_hour) == (2, 1, 100.0)
    assert now.hours_left == pytest.approx(macs[2] / macs[:2].mean() / 100)
    assert now.cost_share == pytest.approx(macs[:2].mean() / macs.mean())
    found = results(folder)
    assert now.best_error == min(min(result["test_error"]) for result in found.values())

    # Two processes at work, one that was killed long ago, and one that writes at this moment.
    (folder / "workers").mkdir()
    for name in ("a", "b", "dead"):
        (folder / "workers" / f"{name}.json").write_text(json.dumps({"worker": "tcp://x", "model": plan.ids[2]}))
    os.utime(folder / "workers" / "dead.json", (1_000_000, 1_000_000))
    (folder / "workers" / "torn.json").write_text('{"worker": "tcp:')
    now = status.read(folder)
    assert (now.running, now.models_per_hour) == (2, 200.0)
    assert now.hours_left == pytest.approx(macs[2] / macs[:2].mean() / 200)


def test_an_archive_says_what_the_runs_say(undisturbed: Path, tmp_path: Path) -> None:
    plan = plans.read_plan(undisturbed)
    pack([undisturbed], tmp_path / "a.h5", title="A title", source="a test", license="CC0")
    found = results(undisturbed)
    with Archive(tmp_path / "a.h5") as archive:
        assert archive.attrs["title"] == "A title"
        assert archive.attrs["dataset"] == "digits"
        assert json.loads(archive.attrs["recipe"]) == plan.request.recipe.as_dict()
        assert archive.attrs["created"] == plan.created
        assert json.loads(archive.group_attrs("resnet")["bounds"]) == plan.request.bounds
        read = {name: archive.read("resnet", name) for name in archive.variables("resnet")}
    assert read["id"].tolist() == plan.ids
    for i, model in enumerate(plan.ids):
        result = found[model]
        assert read["error"][i] == min(result["test_error"])
        assert read["error_final"][i] == result["test_error"][-1]
        for curve in ("test_error", "train_error", "train_loss"):
            assert read[curve][i].tolist() == result[curve]
    np.testing.assert_array_equal(read["depth"], plan.sample.columns["depth"])
    np.testing.assert_array_equal(read["flops"], plan.sample.complexity.flops)
    np.testing.assert_array_equal(read["seed"], plan.seeds)
    assert set(read["lr"]) == {0.1}
    assert set(read["wd"]) == {5e-4}
    assert set(read["params"] < 40e3) == {True}


def test_a_run_is_not_taken_for_an_archive(undisturbed: Path) -> None:
    with pytest.raises(EdfkitError, match=r"is a run and not an archive; make one of it with edfkit pack"):
        open_source(undisturbed)


def test_the_same_runs_give_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        pack([undisturbed], tmp_path / name, source="test", license="none")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def copy_run(folder: Path, request: plans.Request, source: Path) -> Path:
    """Make a run with the results of another under its own ids, to pack without training again."""
    plan = plans.make_plan(request)
    plans.write_plan(folder, plan)
    texts = list(results(source).values())
    for i, model in enumerate(plan.ids):
        runs.result_path(folder, model).write_text(json.dumps({**texts[i % len(texts)], "id": model}))
    return folder


def test_runs_of_one_space_become_one_population(undisturbed: Path, tmp_path: Path) -> None:
    first = copy_run(tmp_path / "first", REQUEST, undisturbed)
    second = copy_run(tmp_path / "second", replace(REQUEST, seed=8, models=2), undisturbed)
    other = copy_run(tmp_path / "other", replace(REQUEST, space=spaces.find("vanilla")), undisturbed)
    counts = pack([first, second, other], tmp_path / "a.h5", source="test", license="none")
    assert counts == {"resnet": (5, 5), "vanilla": (3, 3)}
    with Archive(tmp_path / "a.h5") as archive:
        assert archive.names == ["resnet", "vanilla"]
        assert archive.read("resnet", "id").tolist() == plans.read_plan(first).ids + plans.read_plan(second).ids
        assert json.loads(archive.group_attrs("resnet")["run_seeds"]) == [3, 8]


def test_runs_that_do_not_go_together_are_refused(undisturbed: Path, tmp_path: Path) -> None:
    first = copy_run(tmp_path / "first", REQUEST, undisturbed)
    bounded = copy_run(tmp_path / "bounded", replace(REQUEST, bounds={"params": 30e3}), undisturbed)
    longer = replace(REQUEST, recipe=replace(REQUEST.recipe, lr=0.2), space=spaces.find("vanilla"))
    trained = copy_run(tmp_path / "trained", longer, undisturbed)
    with pytest.raises(EdfkitError, match="differ in bounds"):
        pack([first, bounded], tmp_path / "a.h5", source="test", license="none")
    with pytest.raises(EdfkitError, match="differ in recipe"):
        pack([first, trained], tmp_path / "a.h5", source="test", license="none")
    twin = copy_run(tmp_path / "twin", REQUEST, undisturbed)
    with pytest.raises(EdfkitError, match=r"the id .* stands for 2 models"):
        pack([first, twin], tmp_path / "a.h5", source="test", license="none")
    empty = tmp_path / "empty"
    plans.write_plan(empty, plans.make_plan(REQUEST))
    with pytest.raises(EdfkitError, match="has no finished model yet"):
        pack([empty], tmp_path / "a.h5", source="test", license="none")
    assert not (tmp_path / "a.h5").exists()


# Kinds of space

CELLS = """
ops = ["sep_conv_3x3", "skip_connect", "none"]
nodes = 3
output = [4]
width = "4, 8, 2"
depth = [1, 3]
"""
NETWORK = """
block = "res_bottleneck_block"
network = { depth = [1, 2], width = [8, 16], bot_mul = [0.5, 0.25], groups = [2, 1] }
stem_width = 8
"""


def defined(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["darts", "resnext-b_in", "resnet-56", "pruned", "one"])
@pytest.mark.parametrize("replacement", [True, False])
def test_a_plan_of_any_kind_of_space_is_read_as_it_was_written(tmp_path: Path, name: str, replacement: bool) -> None:
    files = {"pruned": CELLS, "one": NETWORK}
    space = spaces.load(defined(tmp_path, name, files[name])) if name in files else spaces.find(name)
    request = replace(REQUEST, space=space, models=min(4, space.size), bounds={}, replacement=replacement)
    plan = plans.open_run(tmp_path / "run", request)
    again = plans.read_plan(tmp_path / "run")
    assert again.request.as_dict() == plan.request.as_dict()
    assert again.ids == plan.ids
    np.testing.assert_equal(again.sample.columns, plan.sample.columns)
    assert {key: value.dtype.kind for key, value in again.sample.columns.items()} == {
        key: value.dtype.kind for key, value in plan.sample.columns.items()
    }
    assert plans.open_run(tmp_path / "run", request).ids == plan.ids


def test_a_run_is_gone_on_with_only_by_the_space_that_it_was_begun_with(tmp_path: Path) -> None:
    space = spaces.load(defined(tmp_path, "mine", CELLS))
    plans.open_run(tmp_path / "run", replace(REQUEST, space=space, bounds={}))
    wider = spaces.load(defined(tmp_path, "mine", CELLS.replace("4, 8, 2", "8, 16, 2")))
    with pytest.raises(EdfkitError, match=r"was begun with width \[4, 8\] and not \[8, 16\]; repeat its settings"):
        plans.open_run(tmp_path / "run", replace(REQUEST, space=wider, bounds={}))
    built = spaces.load(defined(tmp_path, "mine", CELLS + "unused_nodes = true"))
    with pytest.raises(EdfkitError, match="was begun with unused_nodes None and not True"):
        plans.open_run(tmp_path / "run", replace(REQUEST, space=built, bounds={}))
    ids = [set(plans.make_plan(replace(REQUEST, space=kind, bounds={})).ids) for kind in (space, wider, built)]
    assert not ids[0] & ids[2]  # what is built differs, and so does the network


def train(*options: object, folder: Path) -> None:
    command = ["generate", *map(str, options), "--out", str(folder), "--scheduler", *ADDRESS]
    done = CliRunner().invoke(edfkit, command)
    assert done.exit_code == 0, done.output


def test_networks_of_cells_are_trained_packed_and_counted(tmp_path: Path) -> None:
    mine = defined(tmp_path, "mine", CELLS)
    train("darts", "--models", 2, "--epochs", 1, "--max-params", "60e3", folder=tmp_path / "a")
    train(mine, "--models", 3, "--epochs", 1, "--without-replacement", folder=tmp_path / "b")
    counts = pack([tmp_path / "a", tmp_path / "b"], tmp_path / "c.h5", source="test", license="none")
    assert counts == {"darts": (2, 2), "mine": (3, 3)}
    with Archive(tmp_path / "c.h5") as archive:
        archive.validate()
        for name, folder in (("darts", "a"), ("mine", "b")):
            columns = plans.read_plan(tmp_path / folder).sample.columns
            for column, values in columns.items():
                np.testing.assert_array_equal(archive.read(name, column), values)
            assert check_complexity(archive, name).agreeing == archive.models(name)
            assert (archive.read(name, "status") == 0).all()
        definition = json.loads(str(archive.group_attrs("mine")["space"]))
        assert spaces.read(definition, "the archive", "") == spaces.load(mine)
        assert archive.group_attrs("mine")["replacement"] == 0


def test_one_network_is_trained_with_many_seeds(tmp_path: Path) -> None:
    train("--network", defined(tmp_path, "one", NETWORK), "--models", 3, "--epochs", 1, folder=tmp_path / "run")
    plan = plans.read_plan(tmp_path / "run")
    assert len(set(plan.ids)) == len(set(plan.seeds.tolist())) == 3
    assert plan.sample.columns["depth"].tolist() == [[1, 2]] * 3
    assert len({tuple(result["train_loss"]) for result in results(tmp_path / "run").values()}) == 3


def test_the_best_network_of_an_archive_is_trained_by_the_enhanced_recipe(undisturbed: Path, tmp_path: Path) -> None:
    pack([undisturbed], tmp_path / "a.h5", source="test", license="none")
    options = ["--best-of", tmp_path / "a.h5", "--recipe", "enhanced", "--epochs", 2]
    train("resnet", *options, folder=tmp_path / "run")
    plan = plans.read_plan(tmp_path / "run")
    found = results(undisturbed)
    errors = [min(found[model]["test_error"]) for model in plans.read_plan(undisturbed).ids]
    best = int(np.argmin(errors))
    assert plan.request.space.name == "best-of-resnet"
    whole = plans.read_plan(undisturbed).sample
    assert {name: column[0].tolist() for name, column in plan.sample.columns.items()} == {
        name: column[best].tolist() for name, column in whole.columns.items()
    }
    recipe = plan.request.recipe
    assert (recipe.epochs, recipe.auxiliary, recipe.cutout, recipe.drop_path) == (2, 0.4, 4, 0.2)
    assert [result["status"] for result in results(tmp_path / "run").values()] == ["finished"]


def test_drop_path_without_shortcuts_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    request = replace(REQUEST, space=spaces.find("vanilla"), recipe=replace(REQUEST.recipe, drop_path=0.2))
    with pytest.raises(EdfkitError, match=r"The blocks of vanilla have no shortcut, .* give --drop-path 0"):
        plans.open_run(tmp_path / "run", request)
    assert not (tmp_path / "run").exists()


def test_spaces_sampled_under_one_seed_share_no_configuration_pairs() -> None:
    resnet, vanilla = (
        plans.make_plan(replace(REQUEST, space=spaces.find(name), models=200)).sample for name in ("resnet", "vanilla")
    )
    same = np.all([(resnet.columns[name] == vanilla.columns[name]).all(1) for name in resnet.columns], axis=0)
    assert same.mean() < 0.1
