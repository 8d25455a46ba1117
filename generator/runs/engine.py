"""The processes that train a run, on Dask: started here, by Slurm, or found on a cluster that there is.

Dask carries nothing but which model is whose. It reschedules the models of a process that died; one that merely stopped
is found by its sign of life in the run's folder, and dropped.
"""

import atexit
import logging
import math
import multiprocessing
import os
import queue
import shutil
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edfkit import EdfkitError, __version__
from edfkit.generator.runs import run as runs
from edfkit.generator.runs import work
from edfkit.generator.runs.plan import Plan

if TYPE_CHECKING:
    from dask.distributed import Client

_PATIENCE = 20  # seconds for a scheduler to answer
_TRIES = 3  # of a model that fails for a reason that may pass
_BATCH_SECONDS = 0.25  # what models that one process takes at a time may need together: Dask needs 10 ms of it
_BATCH = 32  # such models at most
_KILLED = "its process was killed each time it was tried, which a lack of memory may explain"

Task = Callable[[str, int, str | None, str], tuple[str, bool]]
_Outcome = tuple[list[tuple[str, bool]], float]  # what the task said of each model, and the seconds that all took


@dataclass(frozen=True)
class Engine:
    """Where the models are trained.

    Attributes
    ----------
    workers : int, optional
        Processes: each trains one model at a time on one thread. One a core, or `workers_per_gpu` a GPU, if absent.
        With Slurm, the jobs.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster, whose workers are taken as they are.
    slurm : sequence of str, optional
        Start the workers as jobs of Slurm, with these directives beside those of Dask's configuration.
    workers_per_gpu : int
        Processes that share a GPU.
    device : {"auto", "cpu", "cuda"}
        What to train on; auto takes a GPU where there is one.
    lease : float
        Seconds without a sign of life after which a process counts as hung, and its model goes to another.
    """

    workers: int | None = None
    scheduler: str | None = None
    slurm: Sequence[str] | None = None
    workers_per_gpu: int = 1
    device: str = "auto"
    lease: float = 60.0

    @contextmanager
    def connect(self, models: int) -> "Iterator[Client]":
        """Start what is to be started, for so many models at most, and connect to it.

        Raises
        ------
        EdfkitError
            If the scheduler cannot be reached, or a package is missing.
        """
        from dask.distributed import Client

        if self.scheduler is not None:
            try:
                client = Client(self.scheduler, timeout=_PATIENCE)
            except (OSError, ValueError, TimeoutError) as error:
                raise EdfkitError(
                    f"The scheduler {self.scheduler} cannot be reached ({error}); give the address that `dask "
                    "scheduler` printed, such as tcp://host:8786."
                ) from error
            with client:
                yield client
            return
        if self.slurm is not None:
            with self._start_slurm(models) as cluster, Client(cluster) as client:
                yield client
            return
        # At both ends: while they start, and before they are asked to end.
        stop = partial(_killed_by_interrupt, multiprocessing.active_children())
        with (
            stop(),
            _deaf_loop() as loop,
            self._start_local(models, loop) as cluster,
            Client(cluster) as client,
            stop(),
        ):
            yield client

    def _start_slurm(self, models: int) -> Any:
        try:
            from dask_jobqueue.slurm import SLURMCluster
        except ModuleNotFoundError:
            raise EdfkitError("Slurm needs dask-jobqueue; install it with pip install 'edfkit[slurm]'.") from None
        try:
            cluster = SLURMCluster(job_extra_directives=list(self.slurm or ()))
        except ValueError as error:
            raise EdfkitError(
                f"The jobs for Slurm are not described ({error}); set it under jobqueue.slurm in Dask's configuration."
            ) from error
        jobs = min(self.workers or 1, models)
        # Not `scale`, which replaces no job that ends before the run, as each does at its time limit.
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
        return cluster

    def _start_local(self, models: int, loop: Any) -> Any:
        import dask
        from dask.distributed import Nanny, Scheduler, SpecCluster

        devices = self._gpus()
        if self.device == "cuda" and not devices:
            raise EdfkitError("Training on cuda was asked for, and there is no GPU here; give --device cpu or auto.")
        count = min(self.workers or len(devices) * self.workers_per_gpu or os.cpu_count() or 1, models)
        # What happens to a model is in its result, and so not logged.
        options = {"host": "127.0.0.1", "nthreads": 1, "memory_limit": 0, "silence_logs": logging.CRITICAL}
        workers: dict[int, Any] = {}
        for i in range(count):
            env = {"CUDA_VISIBLE_DEVICES": devices[i % len(devices)]} if devices else {}
            workers[i] = {"cls": Nanny, "options": {**options, "env": env}}
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
        # Dask has glibc return freed memory at once, which makes a training step half as slow again, in page faults.
        key = "distributed.nanny.pre-spawn-environ"
        environment = {name: value for name, value in dask.config.get(key).items() if name != "MALLOC_TRIM_THRESHOLD_"}
        try:
            # A model whose process died comes back here at once, where it is known whether to try it again.
            with dask.config.set({key: environment, "distributed.scheduler.allowed-failures": 0}):
                cluster = SpecCluster(workers=workers, scheduler=scheduler, loop=loop, silence_logs=logging.CRITICAL)
                cluster.adapt(minimum=count, maximum=count)  # a worker that does not come back is replaced
                return cluster
        except RuntimeError as error:
            raise EdfkitError(
                f"The {count} workers could not be started ({error.__cause__ or error}); see that there is memory for "
                "them, or give fewer --workers."
            ) from error

    def _gpus(self) -> list[str]:
        """Name the GPUs that this process may use."""
        if self.device == "cpu" or shutil.which("nvidia-smi") is None:  # torch, which knows too, takes seconds to load
            return []
        import torch

        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        return visible or [str(i) for i in range(torch.cuda.device_count())]


def train_pending(
    run: Path,
    plan: Plan,
    left: Sequence[int],
    engine: Engine,
    *,
    where: Path | None = None,
    said: Callable[[str], None] = lambda line: None,
    task: Task = work.train_model,
) -> Iterator[str]:
    """Train models of a run.

    Parameters
    ----------
    run : Path
        The run's folder.
    plan : Plan
        Its plan.
    left : sequence of int
        Which models, in the order in which to begin them.
    engine : Engine
        Where.
    where : Path, optional
        Where the images are.
    said : callable
        Takes a line that a person may want to read.
    task : callable
        What trains a model and writes its result, see `work.train_model`.

    Yields
    ------
    str
        The status of each model as it ends: finished, diverged or failed.

    Raises
    ------
    EdfkitError
        If another process is training this run, the images cannot be had, or the cluster is gone.
    """
    with runs.alone(run):
        if not len(left):
            return
        place = None if where is None else str(where)
        work.images_of(plan.request.dataset, place)  # what cannot be had fails here, once, not in every model
        with engine.connect(len(left)) as client:
            said(f"Dask dashboard: {client.dashboard_link}")
            # Absolute, as the workers of a cluster may have been started elsewhere.
            yield from _Driver(client, run.absolute(), plan, engine, place, task, said).train(left)


class _Driver:
    """Keeps the workers of a cluster busy with the models of a run.

    Only as many models as keep them busy are with Dask at a time, so that 25,000 cost no more memory than a few. One
    goes alone unless a few take less than a moment together.
    """

    def __init__(
        self,
        client: "Client",
        run: Path,
        plan: Plan,
        engine: Engine,
        where: str | None,
        task: Task,
        said: Callable[[str], None],
    ) -> None:
        self.client, self.run, self.plan, self.engine, self.said = client, run, plan, engine, said
        self.every = engine.lease / 4
        self.arguments = where, engine.device, self.every, task
        self.ended: queue.SimpleQueue[tuple[list[int], _Outcome | BaseException]] = queue.SimpleQueue()
        self.with_dask = 0  # batches
        self.batch = 1  # models
        self.signs: dict[Path, tuple[bytes, float]] = {}  # what each process wrote last, and when that was first seen
        self.window = 1

    def train(self, left: Sequence[int]) -> Iterator[str]:
        from dask.distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        self.check_workers()
        waiting, alone = deque(left), deque[int]()
        tries: Counter[int] = Counter()
        looked = -math.inf
        while waiting or alone or self.with_dask:
            if time.monotonic() - looked > self.every:
                self.look()
                looked = time.monotonic()
            while waiting and self.with_dask < self.window:
                batch = [waiting.popleft()]
                # What was tried before is tried by itself, as it may stop its process again.
                while waiting and len(batch) < self.batch and not (tries[batch[0]] or tries[waiting[0]]):
                    batch.append(waiting.popleft())
                self.submit(batch)
            if alone and not self.with_dask:  # and so none waits
                self.submit([alone.popleft()])
            try:
                batch, outcome = self.ended.get(timeout=self.every)
            except queue.Empty:
                continue
            self.with_dask -= 1
            if isinstance(outcome, CancelledError | CommClosedError):  # as all are when the scheduler is lost
                waiting.extendleft(reversed(batch))
                self.wait_for_scheduler()
                continue
            tries.update(batch)
            if isinstance(outcome, KilledWorker):
                if tries[batch[0]] == 1:  # it may have been another model's fault
                    waiting.extend(batch)
                    continue
                (model,) = batch
                runs.write_result(self.run, {"id": self.plan.ids[model], "status": "failed", "reason": _KILLED})
                outcome = [("failed", True)], 0.0
            if isinstance(outcome, BaseException):  # such as a full disk, which stops the others too
                raise outcome
            ended, seconds = outcome
            if all(status != "failed" for status, _ in ended):  # failing at once says nothing of the others
                self.batch = max(1, min(_BATCH, int(_BATCH_SECONDS * len(batch) / seconds)))
            for model, (status, may_pass) in zip(batch, ended, strict=True):
                if status == "failed" and may_pass and tries[model] < _TRIES:
                    alone.append(model)  # with all the memory for itself, once the others are done
                    continue
                del tries[model]
                yield status

    def check_workers(self) -> None:
        """Have a worker say whether it can train, as functions that it cannot load would end it without a word."""
        from dask.distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        def found() -> str:  # within this function, and so sent whole and not by its name
            from importlib.util import find_spec

            import edfkit.generator.runs.work

            if find_spec("torch") is None:
                raise ModuleNotFoundError("No module named 'torch'")
            return edfkit.__version__

        need = f"install edfkit[generator]=={__version__} where the workers are started."
        for _ in range(_TRIES):
            future = self.client.submit(found, pure=False)
            while True:
                self.look()
                try:
                    version = future.result(timeout=self.every)
                except TimeoutError:
                    continue
                except ImportError as error:
                    raise EdfkitError(f"The workers cannot train ({error}); {need}") from None
                except (KilledWorker, CommClosedError, CancelledError):
                    break
                if version != __version__:
                    raise EdfkitError(f"The workers have edfkit {version}, and this is {__version__}; {need}")
                return
        raise EdfkitError("The workers are lost before they train anything; see what they and the scheduler log.")

    def submit(self, batch: list[int]) -> None:
        future = self.client.submit(_train, str(self.run), batch, *self.arguments, pure=False)
        self.with_dask += 1

        async def wait() -> None:
            # What a process holds that has stopped since comes late, and the others go on meanwhile.
            try:
                outcome = await self.client.gather(future, asynchronous=True)
            except (Exception, CancelledError) as error:
                outcome = error
            self.ended.put((batch, outcome))

        loop = self.client.loop
        assert loop is not None  # as of every client that is connected
        loop.add_callback(wait)

    def wait_for_scheduler(self) -> None:
        """Wait while the connection is being restored, which Dask gives up after a time."""
        time.sleep(0.1)  # before it is known that it is lost
        while self.client.status == "connecting":
            time.sleep(0.1)
        if self.client.status != "running":
            raise EdfkitError(
                "The scheduler is gone, and with it the models at work; the same command goes on with the others."
            )

    def look(self) -> None:
        """Count the workers, and drop those that have given no sign of life for too long.

        Times are of this process, and no clock is compared with another: one that jumps, or is wrong, does no harm.
        """
        try:
            threads = self.client.nthreads().values()
        except OSError:  # CommClosedError is one
            self.wait_for_scheduler()
            return
        if not threads and self.window:
            self.said("No worker has come yet, or all are gone: waiting for one.")
        self.window = 2 * sum(threads)  # for each thread one at work and one that waits
        now = time.monotonic()
        seen = {}
        for path, (written, _) in runs.signs(self.run).items():
            before, since = self.signs.get(path, (b"", now))
            seen[path] = (written, since if written == before else now)
            if now - seen[path][1] > self.engine.lease:
                self.client.run_on_scheduler(_drop, worker=runs.sign_of(written).get("worker"))
                path.unlink(missing_ok=True)
                del seen[path]
        self.signs = seen


@contextmanager
def _killed_by_interrupt(others: Sequence[BaseProcess]) -> Iterator[None]:
    """End all but other processes at Ctrl-C, which loses nothing: workers that are asked to end take seconds."""
    try:
        yield
    except KeyboardInterrupt:
        from distributed.deploy.spec import close_clusters

        for logger in ("distributed", "tornado", "asyncio"):  # to which what follows looks like a fault
            logging.getLogger(logger).setLevel(logging.CRITICAL + 1)
        atexit.unregister(close_clusters)  # which fails on one that was not yet up
        for process in set(multiprocessing.active_children()) - set(others):
            process.kill()
        raise


@contextmanager
def _deaf_loop() -> Iterator[Any]:
    """Run the loop of a cluster in a thread that blocks Ctrl-C, as will all processes that it starts.

    A terminal sends it to every process, and this one stops the others.
    """
    from distributed.utils import LoopRunner

    resource_tracker.ensure_running()  # which would lift the block if it came after
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        runner = LoopRunner()
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        yield runner.loop
    finally:
        runner.stop()


async def _drop(worker: str | None, dask_scheduler: Any) -> None:
    """Have the scheduler take a worker for dead, and its nanny start another, for which nobody waits."""
    state = dask_scheduler.workers.get(worker)
    if state is not None:
        if state.nanny:
            dask_scheduler.loop.add_callback(dask_scheduler.rpc(state.nanny).restart, timeout=30)
        await dask_scheduler.remove_worker(worker, stimulus_id="edfkit-no-sign-of-life")


def _train(folder: str, models: list[int], where: str | None, device: str, every: float, task: Task) -> _Outcome:
    from dask.distributed import get_worker

    begun, ended = time.perf_counter(), []
    for model in models:
        with work.sign_of_life(folder, work.plan_of(folder).ids[model], get_worker().address, every):
            ended.append(task(folder, model, where, device))
    return ended, time.perf_counter() - begun


def longest_first(plan: Plan, left: Sequence[int]) -> list[int]:
    """Order models by what they are predicted to take, the longest first, so that none is left over in the end."""
    costs = plan.sample.complexity.macs[np.asarray(left, np.intp)]
    return [left[i] for i in np.argsort(-costs, kind="stable")]
