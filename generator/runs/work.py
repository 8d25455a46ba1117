"""What a process that trains does: one model of a run at a time, with a sign of life in the run's folder meanwhile."""

import os
import platform
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from numpy.typing import NDArray

from edfkit import __version__
from edfkit.generator.runs import plan, run
from edfkit.generator.spaces.kinds import Architecture
from edfkit.generator.training import data
from edfkit.generator.training.recipe import Recipe

if TYPE_CHECKING:
    from edfkit.generator.training.train import Result


def software(device: str = "cpu") -> str:
    """Name what a result depends on besides its plan: versions and processor."""
    import torch

    on = torch.backends.cpu.get_cpu_capability() if device == "cpu" else torch.cuda.get_device_name()
    return (
        f"edfkit {__version__}, torch {version('torch')}, numpy {version('numpy')}, "
        f"python {platform.python_version()}, {platform.machine()} {on}"
    )


def plan_of(folder: str) -> plan.Plan:
    """Read a run's plan, which is kept from model to model, and read again once the run has grown."""
    return _plan(folder, (Path(folder) / "plan.json").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _plan(folder: str, modified: int) -> plan.Plan:
    return plan.read_plan(Path(folder))


@lru_cache(maxsize=1)
def images_of(dataset: str, where: str | None) -> tuple[data.Dataset, Any]:
    """Load a data set, which is kept from model to model.

    Raises
    ------
    EdfkitError
        If it cannot be had.
    """
    place = None if where is None else Path(where)
    found = data.find(dataset, place)
    return found, found.load(place)


@contextmanager
def sign_of_life(folder: str, model: str, worker: str, every: float) -> Iterator[None]:
    """Give a sign of life while a model is trained: a file of this process that changes every few seconds.

    Parameters
    ----------
    folder : str
        The run's folder.
    model : str
        Id of the model.
    worker : str
        Address of the Dask worker that this process is.
    every : float
        Seconds between two changes.
    """
    host, pid, ended = socket.gethostname(), os.getpid(), threading.Event()
    path = Path(folder) / "workers" / f"{host}-{pid}.json"

    def beat() -> None:
        for beats in count():
            with suppress(OSError):  # a disk that is full stops the results, which tell of it
                path.write_bytes(
                    orjson.dumps({"worker": worker, "host": host, "pid": pid, "model": model, "beats": beats})
                )
            if ended.wait(every):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.unlink(missing_ok=True)


def train_configuration(
    architecture: Architecture,
    columns: Mapping[str, NDArray[Any]],
    recipe: Recipe,
    dataset: data.Dataset,
    images: Any,
    *,
    seed: int,
    device: str = "cpu",
) -> "Result":
    """Build and train one network, on one thread of a processor or on a GPU.

    Parameters
    ----------
    architecture : Architecture
    columns : mapping of str to ndarray
        Its configuration, without the axis of the models.
    recipe : Recipe
    dataset : Dataset
    images
        What `dataset.load` gave.
    seed : int
        Decides the initial weights, which are the same on every device, and all that is random in training.
    device : {"cpu", "cuda"}

    Returns
    -------
    train.Result
    """
    import torch

    from edfkit.generator.training.layers import DropPath
    from edfkit.generator.training.stages import build_network
    from edfkit.generator.training.train import train

    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(seed)
    model = build_network(
        architecture,
        columns,
        channels=dataset.channels,
        classes=dataset.classes,
        auxiliary=recipe.auxiliary > 0,
        drop_path=recipe.drop_path > 0,
        rng=rng,
    )
    if device != "cpu":
        model, rng = model.to(device), torch.Generator(device).manual_seed(seed)
        for layer in model.modules():
            if isinstance(layer, DropPath):
                layer.rng = rng
    return train(model, images, recipe, rng=rng)


def device_of(wanted: str) -> str:
    """Say what to train on: as wanted, "cpu" or "cuda", or with "auto" a GPU if there is one."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def train_model(folder: str, index: int, where: str | None = None, device: str = "auto") -> tuple[str, bool]:
    """Train one model of a run and write its result.

    Parameters
    ----------
    folder : str
        The run's folder.
    index : int
        Which model of the plan.
    where : str, optional
        Where the images are.
    device : {"auto", "cpu", "cuda"}
        What to train on; auto takes a GPU if there is one.

    Returns
    -------
    str
        Its status: finished, diverged or failed.
    bool
        Whether it failed for a reason that may pass, such as a lack of memory.
    """
    whole = plan_of(folder)
    if (known := run.find_done(Path(folder), whole.ids[index])) is not None:
        # Dask asks again for what a process had not told of before it was killed.
        return str(known["status"]), False
    device = device_of(device)
    result: dict[str, Any] = {"id": whole.ids[index], "software": software(device)}
    may_pass = False
    try:
        columns = {name: column[index] for name, column in whole.sample.columns.items()}
        trained = train_configuration(
            whole.request.space.architecture,
            columns,
            whole.recipe(index),
            *images_of(whole.request.dataset, where),
            seed=int(whole.seeds[index]),
            device=device,
        )
        result |= asdict(trained)
    except Exception as error:  # whatever stops one model must not stop the others: it is recorded with its reason
        result |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        may_pass = isinstance(error, OSError | MemoryError | RuntimeError)  # RuntimeError: all that torch raises
    if device != "cpu":
        import torch

        torch.cuda.empty_cache()  # for the other processes on it
    run.write_result(Path(folder), result)
    return str(result["status"]), may_pass
