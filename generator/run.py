"""A run: a folder with a plan and one result file per finished model, so that it can stop anywhere and go on.

    RUN/plan.json          what is to be trained: request, configurations, seeds, ids; written before anything else
    RUN/results/ID.json    what training one model gave, written whole; its presence means that the model is done

Only this folder is the truth: workers hold nothing that is not in it.
"""

import hashlib
import json
import logging
import math
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edfkit import EdfkitError, __version__
from edfkit.files import TEMPORARY_SUFFIX, write_text
from edfkit.generator import data, spaces
from edfkit.generator.complexity import Complexity
from edfkit.generator.kinds import Space
from edfkit.generator.recipe import REVISION, Recipe
from edfkit.generator.sampling import Sample, sample
from edfkit.schema import STATUS

if TYPE_CHECKING:
    from dask.distributed import LocalCluster

FORMAT, FORMAT_VERSION = "edfkit run", 2
CURVES = ("test_error", "train_error", "train_loss")


@dataclass(frozen=True)
class Request:
    """What a run is to train.

    Attributes
    ----------
    space : Space
    dataset : str
        Name of an image data set.
    models : int
        Size of the population.
    seed : int
        Decides the configurations and the seed of each model's training.
    bounds : dict from "params", "macs" or "flops" to number
        Upper complexity bounds, exclusive.
    rule : {"and", "or", "none"}
        How the bounds combine.
    recipe : Recipe
    replacement : bool
        Whether a configuration may be drawn more than once.
    """

    space: Space
    dataset: str
    models: int
    seed: int
    bounds: dict[str, float]
    rule: str
    recipe: Recipe
    replacement: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Give the request as plain data."""
        return {**vars(self), "space": spaces.definition(self.space), "recipe": self.recipe.as_dict()}


@dataclass(frozen=True)
class Plan:
    """A request with every configuration that it means.

    Attributes
    ----------
    request : Request
    sample : Sample
        The configurations.
    seeds : ndarray of int64, shape (models,)
    ids : list of str
        One per model: a hash of configuration, recipe, data set, seed and revision of the training code.
    created : str
        When the plan was written, UTC.
    """

    request: Request
    sample: Sample
    seeds: np.ndarray
    ids: list[str]
    created: str


def make_plan(request: Request) -> Plan:
    """Sample the configurations of a request. The plan of more models begins with the plan of fewer."""
    space, dataset = request.space, data.find(request.dataset)
    if request.recipe.drop_path and space.architecture.block == "double_plain_block":
        raise EdfkitError(
            f"The blocks of {space.name} have no shortcut, so dropping their path would drop all; give --drop-path 0."
        )
    drawn = sample(
        space,
        request.models,
        seed=request.seed,
        bounds=request.bounds,
        rule=request.rule,
        replacement=request.replacement,
        **dataset.geometry,
    )
    seeds = np.random.default_rng([request.seed, 1, *space.name.encode()]).integers(2**31, size=request.models)
    architecture = space.architecture.as_dict()
    common = [REVISION, architecture.pop("block"), request.dataset, request.recipe.as_dict()]
    prefix = json.dumps(common + [architecture] * bool(architecture), sort_keys=True)
    columns = [*drawn.columns.values(), seeds]
    ids = [
        hashlib.blake2b((prefix + "".join(map(str, model))).encode(), digest_size=8).hexdigest()
        for model in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return Plan(request, drawn, seeds, ids, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def write_plan(run: Path, plan: Plan) -> None:
    """Write the plan into the run's folder, which is made if need be."""
    (run / "results").mkdir(parents=True, exist_ok=True)
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": plan.created,
        "request": plan.request.as_dict(),
        "models": {
            "id": plan.ids,
            "seed": plan.seeds.tolist(),
            **{name: column.tolist() for name, column in plan.sample.columns.items()},
            **{name: count.tolist() for name, count in plan.sample.complexity._asdict().items()},
        },
    }
    write_text(run / "plan.json", json.dumps(document))


def read_plan(run: Path) -> Plan:
    """Read a run's plan.

    Raises
    ------
    EdfkitError
        If the folder holds no run, a damaged one, or one of another format version.
    """
    path = run / "plan.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EdfkitError(
            f"{run} is not a run: it has no plan.json; give the folder that edfkit generate wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise EdfkitError(f"The plan {path} cannot be read ({error}); restore it, or start a new run.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise EdfkitError(f"{path} is not the plan of a run; give the folder that edfkit generate wrote.")
    if (version_found := document.get("format_version")) != FORMAT_VERSION:
        raise EdfkitError(
            f"The run {run} has format version {version_found} and this edfkit reads {FORMAT_VERSION}; "
            "use the edfkit that began it."
        )
    try:
        request, models = document["request"], document["models"]
        space = spaces.read(request["space"], str(path), "")
        columns = {name: np.array(models[name]) for name in space.draw(np.random.default_rng(), 0)}
        counts = Complexity(*(np.array(models[name], np.int64) for name in Complexity._fields))
        return Plan(
            Request(**{**request, "space": space, "recipe": Recipe(**request["recipe"])}),
            Sample(columns, counts),
            np.array(models["seed"], np.int64),
            models["id"],
            document["created"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EdfkitError(f"The plan {path} is damaged ({type(error).__name__}: {error}); start a new run.") from error


def open_run(run: Path, request: Request) -> Plan:
    """Begin a run, or go on with the one in the folder, with more models if the request has more.

    Raises
    ------
    EdfkitError
        If the folder holds a run of something else, or other files.
    """
    if not (run / "plan.json").exists():
        # A run killed before its plan was whole has left an empty folder of results, and perhaps a temporary file.
        ours = {run / "results", *run.glob(f".*{TEMPORARY_SUFFIX}")}
        if run.is_file() or (run.is_dir() and set(run.iterdir()) - ours):
            raise EdfkitError(f"{run} exists and is not a run; give the name of a new folder.")
        plan = make_plan(request)
        write_plan(run, plan)
        return plan
    plan = read_plan(run)
    old, new = (_settings(r) for r in (plan.request, request))
    differing = [name for name in old | new if old.get(name) != new.get(name)]
    if differing:
        raise EdfkitError(
            f"The run {run} was begun with "
            + ", ".join(f"{name} {old.get(name)} and not {new.get(name)}" for name in differing)
            + "; repeat its settings to go on, or give a new folder."
        )
    if request.models < plan.request.models:
        raise EdfkitError(
            f"The run {run} has {plan.request.models} models, more than the {request.models} asked for; "
            "a run can only grow."
        )
    if request.models > plan.request.models:
        longer = make_plan(request)
        if longer.ids[: len(plan.ids)] != plan.ids:
            raise EdfkitError(
                f"The run {run} cannot grow: this version of edfkit or numpy draws other models from its seed; "
                "start a new run with another seed."
            )
        plan = longer
        write_plan(run, plan)
    return plan


def _settings(request: Request) -> dict[str, Any]:
    """Give all that a run cannot change, one by one."""
    settings = {name: value for name, value in request.as_dict().items() if name != "models"}
    space, recipe = settings.pop("space"), settings.pop("recipe")
    return {"space": space.pop("name"), **settings, **space, **recipe}


def result_path(run: Path, model: str) -> Path:
    """Say where the result of a model lies."""
    return run / "results" / f"{model}.json"


def read_result(run: Path, model: str) -> dict[str, Any] | None:
    """Read what training a model gave; None if it is not done.

    Raises
    ------
    EdfkitError
        If the file is damaged.
    """
    path = result_path(run, model)
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["id"] != model:
            raise ValueError("it is of another model")
        if result["status"] not in STATUS:
            raise ValueError(f"its status is {result['status']!r}")
        if result["status"] != "failed" and len({len(result[curve]) for curve in CURVES}) != 1:
            raise ValueError("its curves differ in length")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdfkitError(
            f"The result {path} is damaged ({error}); call edfkit generate for this run to train the model again."
        ) from error
    return dict(result)


def pending(run: Path, plan: Plan) -> list[int]:
    """Return which models are to be trained, in the plan's order: those without a result, or with a bad one."""
    return [index for index, model in enumerate(plan.ids) if not _is_done(run, model)]


def _is_done(run: Path, model: str) -> bool:
    try:
        result = read_result(run, model)
    except EdfkitError:
        return False
    return result is not None and result["status"] != "failed"


@lru_cache(maxsize=1)
def _plan(run: str, modified: int) -> Plan:
    # Kept from model to model; `modified` renews it when the run has grown.
    return read_plan(Path(run))


@lru_cache(maxsize=1)
def _images(dataset: str, folder: str | None) -> data.Images:
    return data.find(dataset).load(Path(folder) if folder else None)


def software() -> str:
    """Name what a result depends on besides its plan: versions and processor."""
    import torch

    return (
        f"edfkit {__version__}, torch {version('torch')}, numpy {version('numpy')}, "
        f"python {platform.python_version()}, {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    )


def train_model(run: str, index: int, folder: str | None = None) -> str:
    """Train one model of a run, on one thread, and write its result.

    Parameters
    ----------
    run : str
        The run's folder.
    index : int
        Which model of the plan.
    folder : str, optional
        Where the images are.

    Returns
    -------
    str
        Its status: finished, diverged or failed.
    """
    import torch

    from edfkit.generator.models import build_network
    from edfkit.generator.train import train

    plan = _plan(run, (Path(run) / "plan.json").stat().st_mtime_ns)
    request = plan.request
    dataset = data.find(request.dataset)
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(int(plan.seeds[index]))
    result: dict[str, Any] = {"id": plan.ids[index], "software": software()}
    try:
        images = _images(request.dataset, folder)
        model = build_network(
            request.space.architecture,
            {name: column[index] for name, column in plan.sample.columns.items()},
            channels=dataset.channels,
            classes=dataset.classes,
            auxiliary=request.recipe.auxiliary > 0,
            drop_path=request.recipe.drop_path > 0,
            rng=rng,
        )
        result |= asdict(train(model, images, request.recipe, rng=rng))
        result["train_loss"] = [loss if math.isfinite(loss) else None for loss in result["train_loss"]]
    except Exception as error:  # whatever stops one model must not stop the others: it is recorded with its reason
        result |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    _write_result(Path(run), result)
    return str(result["status"])


def _write_result(run: Path, result: dict[str, Any]) -> None:
    write_text(result_path(run, result["id"]), json.dumps(result))


def _start_cluster(workers: int) -> "LocalCluster":
    import dask
    from dask.distributed import LocalCluster  # which also sets the defaults of its configuration

    # Dask has glibc return freed memory at once, which makes a training step half as slow again, in page faults.
    key = "distributed.nanny.pre-spawn-environ"
    environment = {name: value for name, value in dask.config.get(key).items() if name != "MALLOC_TRIM_THRESHOLD_"}
    # A terminal sends Ctrl-C to every process. The workers inherit that it is ignored: this process stops them.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with dask.config.set({key: environment}):
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,  # what happens to a model is in its result
            )
    finally:
        signal.signal(signal.SIGINT, handler)


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise EdfkitError(f"Another process is training the run {run}; wait for it, or stop it.") from None
    try:
        yield
    finally:
        lock.release()


def train_pending(run: Path, plan: Plan, *, workers: int, folder: Path | None = None) -> Iterator[str]:
    """Train the models of a run that are not done, each on one thread of one of several processes.

    Parameters
    ----------
    run : Path
        The run's folder.
    plan : Plan
        Its plan.
    workers : int
        Processes, at least 1.
    folder : Path, optional
        Where the images are.

    Yields
    ------
    str
        The status of each model as it ends: finished, diverged or failed.

    Raises
    ------
    EdfkitError
        If another process is training this run, or the images cannot be had.
    """
    from dask.distributed import Client, KilledWorker, as_completed

    with _alone(run):
        (run / "results").mkdir(exist_ok=True)  # it may have been removed to train all of it again
        for leftover in (run / "results").glob(f".*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
        left = pending(run, plan)
        if not left:
            return
        where = None if folder is None else str(folder)
        _images(plan.request.dataset, where)  # a data set that cannot be had fails here, once, not in every model
        with _start_cluster(min(workers, len(left))) as cluster, Client(cluster) as client:
            # In the order of the plan, so that what is done so far is at any moment a sample of the space.
            futures = {client.submit(train_model, str(run), index, where, pure=False): index for index in left}
            for future in as_completed(futures):
                index = futures.pop(future)
                try:
                    yield future.result()
                except KilledWorker:
                    reason = "its process was killed each time it was tried, which a lack of memory may explain"
                    _write_result(run, {"id": plan.ids[index], "status": "failed", "reason": reason})
                    yield "failed"
