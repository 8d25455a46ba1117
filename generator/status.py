"""How far a run is, read from its folder alone."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edfkit import EdfkitError
from edfkit.generator import run as runs

# The speed is that of the latest results, so that a pause before them does not count.
_LATEST = 100


@dataclass(frozen=True)
class Status:
    """Progress of a run.

    Attributes
    ----------
    space, dataset : str
    models : int
        Planned.
    finished, diverged, failed, damaged : int
        Models that ended so, and result files that cannot be read; both failed and damaged are trained again.
    models_per_hour : float or None
        From the latest results; None before the second.
    best_error : float or None
        Smallest error so far, percent.
    """

    space: str
    dataset: str
    models: int
    finished: int
    diverged: int
    failed: int
    damaged: int
    models_per_hour: float | None
    best_error: float | None

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
    plan = runs.read_plan(folder)
    states: Counter[str] = Counter()
    times: list[float] = []
    errors: list[float] = []
    for model in plan.ids:
        try:
            result = runs.read_result(folder, model)
        except EdfkitError:
            states["damaged"] += 1
            continue
        if result is not None:
            states[result["status"]] += 1
            times.append(runs.result_path(folder, model).stat().st_mtime)
            errors += result.get("test_error", [])
    latest = sorted(times)[-_LATEST:]
    span = latest[-1] - latest[0] if latest else 0.0
    return Status(
        plan.request.space.name,
        plan.request.dataset,
        len(plan.ids),
        finished=states["finished"],
        diverged=states["diverged"],
        failed=states["failed"],
        damaged=states["damaged"],
        models_per_hour=3600 * (len(latest) - 1) / span if span else None,
        best_error=min(errors, default=None),
    )
