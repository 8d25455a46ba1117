"""A run: a folder with a plan and one result file per finished model, so that it can stop anywhere and go on.

    RUN/plan.json          what is to be trained, see `plan`; written before anything else
    RUN/results/ID.json    what training one model gave, written whole; its presence means that the model is done
    RUN/damaged/ID.json    a result that could not be read when it was wanted; its model counts as not done
    RUN/workers/NAME.json  a sign of life of a process while it trains a model

Only this folder is the truth: what schedules the models, and the processes that train them, hold nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from edfkit import EdfkitError
from edfkit.archive.files import TEMPORARY_SUFFIX, replacing
from edfkit.archive.schema import STATUS_1
from edfkit.generator.runs.plan import Plan

CURVES = ("test_error", "train_error", "train_loss")


def result_path(run: Path, model: str) -> Path:
    """Say where the result of a model lies."""
    return run / "results" / f"{model}.json"


def write_result(run: Path, result: dict[str, Any]) -> None:
    """Write what training a model gave, durably, whole or not at all; what is not finite becomes null.

    If the model is done already, as that of a process that was taken for dead, the first result stays.
    """
    if find_done(run, result["id"]) is not None:
        return
    with replacing(result_path(run, result["id"])) as temporary:
        temporary.write_bytes(orjson.dumps(result))


def read_result(run: Path, model: str) -> dict[str, Any] | None:
    """Read what training a model gave; None if it is not done.

    Raises
    ------
    EdfkitError
        If the file is damaged.
    """
    path = result_path(run, model)
    try:
        result = orjson.loads(path.read_bytes())
        if result["id"] != model:
            raise ValueError("it is of another model")
        if result["status"] not in STATUS_1:
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


def find_done(run: Path, model: str) -> dict[str, Any] | None:
    """Read the result of a model that is done: whole and no failure; else None."""
    try:
        result = read_result(run, model)
    except EdfkitError:
        return None
    return None if result is None or result["status"] == "failed" else result


def pending(run: Path, plan: Plan) -> list[int]:
    """Return which models are to be trained, in the plan's order: those without a result, or with a bad one."""
    return [index for index, model in enumerate(plan.ids) if find_done(run, model) is None]


def put_aside(run: Path, model: str) -> None:
    """Move a result that is damaged out of the way, so that its model counts as not done."""
    (run / "damaged").mkdir(exist_ok=True)
    result_path(run, model).replace(run / "damaged" / f"{model}.json")


def signs(run: Path) -> dict[Path, tuple[bytes, float]]:
    """Read the signs of life in a run's folder: what each process that trains wrote last, and when by the file."""
    found = {}
    for path in (run / "workers").glob("*.json"):
        with suppress(OSError):  # one that has just ended takes its sign along
            found[path] = path.read_bytes(), path.stat().st_mtime
    return found


def sign_of(written: bytes) -> dict[str, Any]:
    """Parse a sign of life: `worker`, its address; `host`, `pid`; `model`, the id of that at work; else empty."""
    try:
        return dict(orjson.loads(written))
    except ValueError:  # read while it was written
        return {}


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Hold a run as the only process that trains it, and clear away what a killed one has left.

    Raises
    ------
    EdfkitError
        If another process is training it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise EdfkitError(f"Another process is training the run {run}; wait for it, or stop it.") from None
    try:
        (run / "results").mkdir(exist_ok=True)  # it may have been removed to train all of it again
        (run / "workers").mkdir(exist_ok=True)
        leftovers = [*(run / "results").glob(f".*{TEMPORARY_SUFFIX}"), *(run / "workers").iterdir()]
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
