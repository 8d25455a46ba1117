"""Faults of a run on a real cluster: processes killed and stopped, links cut, clocks that jump."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edfkit.archive import Archive
from edfkit.cli import edfkit
from edfkit.generator.runs import plan as plans
from edfkit.generator.runs import run as runs
from edfkit.generator.runs import status
from edfkit.generator.runs.pack import pack

BIN = Path(sys.executable).parent
SETTINGS = ["--seed", "3", "--epochs", "2", "--max-params", "40e3", "--max-macs", "1e6"]
LEASE = 4  # seconds

# A command that trains like edfkit generate, and notes each training when it begins and when it has ended.
NOTING = """
import os, sys
from pathlib import Path
from edfkit.generator.runs import engine
from edfkit.generator.runs import plan
from edfkit.generator.runs import run
from edfkit.generator.runs import work

def noting(folder, index, where, device):
    name = work.plan_of(folder).ids[index]
    def note(what):
        with open(Path(folder).parent / "trainings.txt", "a") as file:
            file.write(f"{what} {name}\\n")
    note("begun")
    ended = work.train_model(folder, index, where, device)
    note("ended")
    return ended

if __name__ == "__main__":
    folder, scheduler = Path(sys.argv[1]), sys.argv[2]
    planned = plan.read_plan(folder)
    left = run.pending(folder, planned)
    for _ in engine.train_pending(folder, planned, left, engine.Engine(scheduler=scheduler, lease=20), task=noting):
        pass
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """Processes by name, each in a group of its own, so that it can be killed with what it has started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: object, prefix: tuple[str, ...] = ()) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [*prefix, *map(str, command)], stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )

    def send(self, name: str, what: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.running[name].pid, what)

    def kill(self, name: str) -> None:
        self.send(name, signal.SIGKILL)
        self.running.pop(name).wait()

    def is_running(self, name: str) -> bool:
        return name in self.running and self.running[name].poll() is None

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path)
    yield started
    for name in list(started.running):
        started.kill(name)


def start_cluster(processes: Processes, port: int, name: str) -> None:
    if name == "scheduler":
        processes.start(name, BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    else:
        where = ["--nthreads", 1, "--host", "127.0.0.1", "--local-directory", processes.folder / name, "--no-dashboard"]
        processes.start(name, BIN / "dask", "worker", f"tcp://127.0.0.1:{port}", *where)


def results(folder: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "results").glob("*.json")}


def wait_until(what: str, is_so: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.05)


def generate(cluster: str, folder: Path, models: int, *more: object) -> None:
    """Train a run undisturbed, in processes that are there."""
    command = ["generate", "resnet", "--models", models, *SETTINGS, "--out", folder, "--scheduler", cluster, *more]
    done = CliRunner().invoke(edfkit, list(map(str, command)))
    assert done.exit_code == 0, done.output


def assert_same_archive(one: Path, other: Path) -> None:
    read = []
    for folder in (one, other):
        pack([folder], folder.with_suffix(".h5"), source="test", license="none")
        with Archive(folder.with_suffix(".h5")) as opened:
            names = [name for name in opened.variables("resnet") if name != "seconds"]
            read.append({name: opened.read("resnet", name) for name in names})
    assert read[0].keys() == read[1].keys()
    for name, values in read[0].items():
        np.testing.assert_array_equal(values, read[1][name], err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    generate(cluster, folder, 12)
    return folder


@pytest.mark.slow
def test_thirty_kills_of_anything_lose_nothing(cluster: str, processes: Processes, tmp_path: Path) -> None:
    models, rounds = 240, 30
    generate(cluster, tmp_path / "undisturbed", models)
    folder = tmp_path / "run"
    plans.open_run(folder, plans.read_plan(tmp_path / "undisturbed").request)
    command = tmp_path / "train.py"
    command.write_text(NOTING)
    rng, port = random.Random(1), free_port()
    killed: Counter[str] = Counter()
    parts = ["scheduler", "worker-1", "worker-2", "command"]

    def mend() -> None:
        for name in parts:
            if not processes.is_running(name):
                if name == "command":
                    processes.start(name, sys.executable, "-P", command, folder, f"tcp://127.0.0.1:{port}")
                else:
                    start_cluster(processes, port, name)

    def is_further(known: int) -> bool:
        mend()  # workers end, though not at once, when their scheduler is lost
        return len(results(folder)) > known or len(results(folder)) == models

    in_flight = 0
    before: dict[str, int] = {}
    while killed.total() < rounds:
        known = len(results(folder))
        wait_until("another model", partial(is_further, known))
        time.sleep(rng.uniform(0, 1.5))
        assert len(results(folder)) < models, f"all was done after {killed.total()} kills: train more models"
        victim = parts[killed.total() % len(parts)] if killed.total() < 4 else rng.choice(parts)
        in_flight += 2  # at most: as many as there are workers
        processes.kill(victim)
        killed[victim] += 1
        now = results(folder)
        assert all(now[name] == at for name, at in before.items())  # what was done stays as it is
        before = now
    while len(results(folder)) < models:
        wait_until("another model", partial(is_further, len(results(folder))))
    processes.running["command"].wait(120)

    notes = Counter((tmp_path / "trainings.txt").read_text().splitlines())
    trained = Counter({name.split()[1]: count for name, count in notes.items() if name.startswith("ended")})
    again = sum(trained.values()) - models
    print(f"\nkilled {dict(killed)}; {models} models, {again} of them trained to the end once more")
    assert again <= in_flight
    assert_same_archive(tmp_path / "undisturbed", folder)


def test_a_lost_scheduler_and_a_killed_worker_cost_the_models_at_work(
    processes: Processes, undisturbed: Path, tmp_path: Path
) -> None:
    folder, port = tmp_path / "run", free_port()
    start_cluster(processes, port, "scheduler")
    start_cluster(processes, port, "worker")
    command = [BIN / "edfkit", "generate", "resnet", "--models", 12, *SETTINGS, "--out", folder]
    command += ["--scheduler", f"tcp://127.0.0.1:{port}"]
    processes.start("command", *command)
    wait_until("a model", lambda: results(folder))
    kept = results(folder)
    processes.kill("scheduler")
    assert processes.running["command"].wait(120) == 1
    said = processes.log("command").strip().splitlines()[-1]
    assert said == (
        "edfkit: The scheduler is gone, and with it the models at work; the same command goes on with the others."
    )
    assert "Traceback" not in processes.log("command")

    start_cluster(processes, port, "scheduler")
    if processes.is_running("worker"):
        processes.kill("worker")
    start_cluster(processes, port, "worker")
    processes.start("command", *command)
    wait_until("another model", lambda: len(results(folder)) > len(kept) + 1)
    processes.kill("worker")
    start_cluster(processes, port, "worker")
    assert processes.running["command"].wait(240) == 0, processes.log("command")
    assert kept.items() <= results(folder).items()
    assert_same_archive(undisturbed, folder)


def stopped_worker(folder: Path) -> tuple[int, str]:
    """Stop a process at work, and tell its number and its model."""
    while True:
        for written, _ in runs.signs(folder).values():
            sign = runs.sign_of(written)
            if sign.get("model"):
                os.kill(sign["pid"], signal.SIGSTOP)
                return sign["pid"], sign["model"]
        time.sleep(0.01)


@pytest.mark.parametrize("wakes", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_process_that_hangs_loses_its_model_to_another(
    processes: Processes, undisturbed: Path, tmp_path: Path, wakes: bool
) -> None:
    folder = tmp_path / "run"
    command = [BIN / "edfkit", "generate", "resnet", "--models", 12, *SETTINGS, "--out", folder]
    processes.start("command", *command, "--workers", 2, "--lease", LEASE)
    wait_until("a model", lambda: results(folder))
    pid, model = stopped_worker(folder)
    try:
        if wakes:  # after another process has trained its model
            wait_until("its model", lambda: model in results(folder))
            first = results(folder)[model]
            with suppress(ProcessLookupError):  # its nanny may have killed it by now
                os.kill(pid, signal.SIGCONT)
        assert processes.running["command"].wait(240) == 0, processes.log("command")
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if wakes:
        assert results(folder)[model] == first
    assert_same_archive(undisturbed, folder)


def test_clocks_that_jump_do_no_harm(cluster: str, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    plan = plans.read_plan(folder)
    for model in plan.ids[6:]:
        runs.result_path(folder, model).unlink()
    # Files from a century ago, and from one to come.
    for i, path in enumerate([folder / "plan.json", *sorted((folder / "results").iterdir())]):
        os.utime(path, ((-1) ** i * 2e9, (-1) ** i * 2e9))
    now = status.read(folder)
    assert (now.finished, now.remaining, now.running) == (6, 6, 0)
    assert now.hours_left is not None
    assert 0 < now.hours_left < 1
    generate(cluster, folder, 12)
    assert_same_archive(undisturbed, folder)


def test_a_loss_that_is_not_finite_at_once_is_a_result(cluster: str, tmp_path: Path) -> None:
    generate(cluster, tmp_path / "run", 2, "--lr", "1e30")
    now = status.read(tmp_path / "run")
    assert (now.diverged, now.failed, now.remaining, now.best_error) == (2, 0, 0, 100.0)
    pack([tmp_path / "run"], tmp_path / "a.h5", source="test", license="none")
    with Archive(tmp_path / "a.h5") as archive:
        assert archive.read("resnet", "status").tolist() == [1, 1]
        assert (archive.read("resnet", "test_error") == 100).all()
        assert np.isnan(archive.read("resnet", "train_loss")).all()


# Two hosts: network namespaces, joined by a link that can be cut.

DRIVER, HOST = "10.211.7.1", "10.211.7.2"


def ip(*arguments: str, check: bool = True) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=check).returncode == 0


@pytest.fixture
def other_host() -> Iterator[tuple[str, ...]]:
    """Give what a command is prefixed with to run on another host, which `HOST` is from here."""
    name = f"edfkit-{os.getpid()}"
    if not shutil.which("ip") or not ip("netns", "add", name, check=False):
        pytest.skip("a second host cannot be made here: that takes ip, of iproute2, and the right to add namespaces")
    try:
        ip("link", "add", "edfkit0", "type", "veth", "peer", "name", "edfkit1", "netns", name)
        ip("addr", "add", f"{DRIVER}/24", "dev", "edfkit0")
        ip("link", "set", "edfkit0", "up")
        for command in (["addr", "add", f"{HOST}/24", "dev", "edfkit1"], ["link", "set", "edfkit1", "up"]):
            ip("-n", name, *command)
        ip("-n", name, "link", "set", "lo", "up")
        yield ("ip", "netns", "exec", name)
    finally:
        ip("link", "del", "edfkit0", check=False)
        ip("netns", "del", name, check=False)


@pytest.mark.slow
def test_a_link_that_is_cut_for_a_minute_loses_nothing(
    cluster: str, processes: Processes, other_host: tuple[str, ...], tmp_path: Path
) -> None:
    models = 60
    generate(cluster, tmp_path / "undisturbed", models)
    folder, port = tmp_path / "run", free_port()
    processes.start("scheduler", BIN / "dask", "scheduler", "--host", DRIVER, "--port", port, "--no-dashboard")
    for name, host, prefix in (("here", DRIVER, ()), ("there", HOST, other_host)):
        command = [BIN / "dask", "worker", f"tcp://{DRIVER}:{port}", "--host", host, "--nthreads", 1, "--no-dashboard"]
        processes.start(name, *command, "--local-directory", tmp_path / name, prefix=prefix)
    command = [BIN / "edfkit", "generate", "resnet", "--models", models, *SETTINGS, "--out", folder, "--lease", 15]
    processes.start("command", *command, "--scheduler", f"tcp://{DRIVER}:{port}")
    workers: set[str] = set()

    def both_at_work() -> bool:
        workers.update(str(runs.sign_of(written).get("worker")) for written, _ in runs.signs(folder).values())
        return any(HOST in worker for worker in workers) and any(DRIVER in worker for worker in workers)

    wait_until("a sign of life from both hosts", both_at_work)
    kept = results(folder)
    assert len(kept) < models // 2
    ip("link", "set", "edfkit0", "down")
    time.sleep(60)
    ip("link", "set", "edfkit0", "up")
    during = len(results(folder)) - len(kept)
    assert processes.running["command"].wait(900) == 0, processes.log("command")
    print(f"\n{len(kept)} models before the cut, {during} during it, {models} in the end")
    assert kept.items() <= results(folder).items()
    assert_same_archive(tmp_path / "undisturbed", folder)


def test_what_the_processes_say_is_whole_json(undisturbed: Path) -> None:
    for path in (undisturbed / "results").iterdir():
        assert json.loads(path.read_text())["id"] == path.stem
    assert not list((undisturbed / "workers").iterdir())  # each has taken its sign of life along
