"""Fixtures that several modules share."""

import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

# No deadline: on a busy machine the time of one example says nothing about the code.
for profile, examples in (("quick", 10), ("usual", 15), ("thorough", 1000)):  # quick: while one writes code
    settings.register_profile(profile, deadline=None, max_examples=examples)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

# The tests and the commands that they start run side by side: threads of BLAS would wait for each other, and spin.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def cpu_seconds() -> float:
    """Give the CPU time of this process, and of those that it started and waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


BEFORE = cpu_seconds()  # that of a shell which became this process, having installed packages


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report the CPU time of the tests."""
    terminalreporter.write_line(f"CPU seconds of the tests: {cpu_seconds() - BEFORE:,.0f}")


_SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def published() -> Path:
    """Give the folder of real published files that lies beside some checkouts."""
    folder = _SHARED / "nds"
    if not folder.is_dir():
        pytest.skip("the published files are not here: no folder shared/nds beside the checkout")
    return folder


@pytest.fixture(scope="session")
def cifar_images() -> Path:
    """Give the real CIFAR-10 images, without loss, that lie beside some checkouts."""
    file = _SHARED / "images" / "cifar10_lossless_subset.npz"
    if not file.is_file():
        pytest.skip(
            "the CIFAR-10 images are not here: no shared/images/cifar10_lossless_subset.npz beside the checkout"
        )
    return file


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file with a key and the certificate of loopback, which nobody trusts."""
    if not shutil.which("openssl"):
        pytest.skip("a certificate cannot be made here: no openssl")
    file = tmp_path_factory.mktemp("tls") / "pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=loopback -addext subjectAltName=IP:127.0.0.1"
    made = subprocess.run([*command.split(), "-keyout", "-", "-out", "-"], check=True, capture_output=True)
    file.write_bytes(made.stdout)
    return file


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """Give the address of a Dask cluster of two processes, which load torch but once for all the tests.

    The processes of pytest-xdist share it: the one that starts it stops it, once none of the others uses it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "cluster"
    folder.mkdir(exist_ok=True)
    file = folder / "scheduler.json"
    with open(folder / "users", "a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with FileLock(folder / "lock"):
            started = [] if file.exists() else start_cluster(file)
        yield json.loads(file.read_text())["address"]
        if started:
            fcntl.flock(users, fcntl.LOCK_EX)
            file.unlink()
            for process in started:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def start_cluster(file: Path) -> "list[subprocess.Popen[bytes]]":
    """Start a scheduler, which writes a file, and two workers."""
    dask = str(Path(sys.executable).parent / "dask")
    commands = [
        [dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)],
        [dask, "worker", "--scheduler-file", str(file), "--host", "127.0.0.1", "--nworkers", "2", "--nthreads", "1",
         "--no-dashboard", "--local-directory", str(file.parent)],
    ]  # fmt: skip
    # While they wait for work they are to cost nothing: no profile of what they do, and few looks at the machine.
    environment = os.environ | {
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
        "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
    }
    with open(file.with_name("log"), "ab") as log:
        started = [
            subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=file.parent, env=environment)
            for command in commands
        ]
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return started


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 160 kB, mounted for the test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root and the right to mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Have torch compute on one thread, as runs do: small networks are faster so, and the numbers the same."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
