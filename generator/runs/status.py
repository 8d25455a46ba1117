"""How far a run is, read from its folder alone."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edfkit import EdfkitError
from edfkit.generator.runs import run as runs
from edfkit.generator.runs.plan import read_plan

# The speed is that of the latest results.
_LATEST = 100
# Seconds after which a sign of life counts no more. Twice the usual lease, and clocks differ a little.
_ALIVE = 120.0


@dataclass(frozen=True)
class Status:
    """Progress of a run.

    Attributes
    ----------
    population, dataset : str
    models : int
        Planned.
    finished, diverged, failed, damaged : int
        Models that ended so, and result files that cannot be read; both failed and damaged are trained again.
    running : int
        Processes that are at work on a model, by their signs of life in the last two minutes.
    models_per_hour : float or None
        Of all that are at work, or of one process if none is, from the latest results; None before the first.
    hours_left : float or None
        At this speed, but by what each model is predicted to take.
    best_error : float or None
        Smallest error so far, percent.
    cost_share : float or None
        Predicted cost of a model that is done by that of a planned one, each on average. Where it is not near 1, what
        is done so far is no random sample of the population: expensive models, for instance, are trained first.
    """

    population: str
    dataset: str
    models: int
    finished: int
    diverged: int
    failed: int
    damaged: int
    running: int
    models_per_hour: float | None
    hours_left: float | None
    best_error: float | None
    cost_share: float | None

    @property
    def remaining(self) -> int:
        """Models that are not done."""
        return self.models - self.finished - self.diverged


def read(folder: Path) -> Status:
    """Read the progress of a run.

    Raises
    ------
    EdfkitError
        If the folder holds no run.
    """
    plan = read_plan(folder)
    states: Counter[str] = Counter()
    done = np.zeros(len(plan.ids), bool)
    ended, seconds = np.zeros(len(plan.ids)), np.zeros(len(plan.ids))
    best: list[float] = []
    for i, model in enumerate(plan.ids):
        try:
            result = runs.read_result(folder, model)
        except EdfkitError:
            states["damaged"] += 1
            continue
        if result is None:
            continue
        states[result["status"]] += 1
        if result["status"] != "failed":
            done[i] = True
            ended[i] = runs.result_path(folder, model).stat().st_mtime
            seconds[i] = result["seconds"]
            best = [min(best + result["test_error"])]
    running = _running(folder)
    latest = np.flatnonzero(done)[np.argsort(ended[done])[-_LATEST:]]
    costs = plan.sample.complexity.macs.astype(float)
    speed = max(running, 1) / seconds[latest].mean() if len(latest) else None
    left = costs[~done].sum() / costs[latest].mean() / speed if speed else None
    return Status(
        plan.request.population,
        plan.request.dataset,
        len(plan.ids),
        finished=states["finished"],
        diverged=states["diverged"],
        failed=states["failed"],
        damaged=states["damaged"],
        running=running,
        models_per_hour=3600 * speed if speed else None,
        hours_left=None if left is None else left / 3600,
        best_error=best[0] if best else None,
        cost_share=float(costs[done].mean() / costs.mean()) if done.any() else None,
    )


def _running(folder: Path) -> int:
    # By the times of the file system, which of all clocks is the one that the processes share.
    now = time.time()
    alive = [runs.sign_of(written) for written, at in runs.signs(folder).values() if now - at < _ALIVE]
    return sum("model" in sign for sign in alive)
