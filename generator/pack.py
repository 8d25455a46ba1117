"""Pack finished runs into an archive: one population per design space."""

import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from edfkit import EdfkitError
from edfkit.archive import write
from edfkit.generator import run as runs
from edfkit.generator import spaces
from edfkit.schema import STATUS

# What the runs of one population, and those of one archive, must have in common.
_OF_A_POPULATION, _OF_AN_ARCHIVE = ("space", "bounds", "rule", "replacement"), ("dataset", "recipe")


def pack(
    folders: Sequence[Path], archive: Path, *, title: str | None = None, source: str, license: str
) -> dict[str, tuple[int, int]]:
    """Write the finished models of some runs into an archive, in the order of their plans.

    Runs of the same space and bounds become one population. A run that is not finished gives what it has.

    Parameters
    ----------
    folders : sequence of Path
        The runs, of one data set and recipe.
    archive : Path
        The file to write.
    title, source, license : str
        What the archive is, who made it and how, and under which terms it may be used.

    Returns
    -------
    dict of str to (int, int)
        For each population: models packed, models planned.

    Raises
    ------
    EdfkitError
        If a run or a result is damaged, the runs do not go together, or none has a finished model.
    """
    plans = {folder: runs.read_plan(folder) for folder in folders}
    first = next(iter(plans))
    populations: dict[str, list[Path]] = {}
    for folder, plan in plans.items():
        members = populations.setdefault(plan.request.space.name, [])
        members.append(folder)
        _check_alike(first, folder, plans, _OF_AN_ARCHIVE)
        _check_alike(members[0], folder, plans, _OF_A_POPULATION)

    packed: dict[str, dict[str, Any]] = {}
    attrs: dict[str, dict[str, str | int | float]] = {}
    counts: dict[str, tuple[int, int]] = {}
    software: set[str] = set()
    for space, members in populations.items():
        parts = [_columns(folder, plans[folder], software) for folder in members]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        counts[space] = len(columns["id"]), sum(len(plans[folder].ids) for folder in members)
        if not counts[space][0]:
            raise EdfkitError(f"{members[0]} has no finished model yet; call edfkit generate to go on with it.")
        request = plans[members[0]].request
        packed[space] = columns
        attrs[space] = {
            "architecture": json.dumps(request.space.architecture.as_dict()),
            "space": json.dumps(spaces.definition(request.space)),
            "bounds": json.dumps(request.bounds),
            "bound_rule": request.rule,
            "replacement": int(request.replacement),
            "run_seeds": json.dumps([plans[folder].request.seed for folder in members]),
            "models_planned": counts[space][1],
        }

    request = plans[first].request
    write(
        archive,
        packed,
        {
            "title": title or f"{', '.join(populations)} on {request.dataset}",
            "source": source,
            "license": license,
            "dataset": request.dataset,
            "recipe": json.dumps(request.recipe.as_dict()),
            "software": "; ".join(sorted(software)),
            "commit": _commit(),
            # Of the plans, not of the packing: the same runs give the same bytes.
            "created": max(plan.created for plan in plans.values()),
        },
        attrs,
    )
    return counts


def _check_alike(one: Path, other: Path, plans: dict[Path, runs.Plan], names: tuple[str, ...]) -> None:
    a, b = plans[one].request.as_dict(), plans[other].request.as_dict()
    for name in names:
        if a[name] != b[name]:
            raise EdfkitError(
                f"The runs {one} and {other} differ in {name} ({a[name]} and {b[name]}); pack them into two archives."
            )


def _columns(folder: Path, plan: runs.Plan, software: set[str]) -> dict[str, np.ndarray]:
    results = [runs.read_result(folder, model) for model in plan.ids]
    done = np.array([i for i, result in enumerate(results) if result is not None], np.intp)
    found = [result for result in results if result is not None]
    software.update(result["software"] for result in found if result["status"] != "failed")
    recipe = plan.request.recipe
    unknown = [None] * recipe.epochs  # of a failed model
    curves = {
        name: np.array([result.get(name, unknown) for result in found], float).reshape(-1, recipe.epochs)
        for name in runs.CURVES
    }
    error = curves["test_error"]
    return {
        "id": np.array(plan.ids)[done],
        "error": error.min(axis=1),
        "error_final": error[:, -1],
        **{name: count[done] for name, count in plan.sample.complexity._asdict().items()},
        "seed": plan.seeds[done],
        "lr": np.full(len(done), recipe.lr),
        "wd": np.full(len(done), recipe.weight_decay),
        "status": np.array([STATUS.index(result["status"]) for result in found], np.int8),
        "seconds": np.array([result.get("seconds") for result in found], float),
        **{name: column[done] for name, column in plan.sample.columns.items()},
        **curves,
    }


def _commit() -> str:
    # pip records it for an installation from a repository, and only then is it known.
    try:
        record = distribution("edfkit").read_text("direct_url.json")
    except PackageNotFoundError:
        record = None
    commit = json.loads(record or "{}").get("vcs_info", {}).get("commit_id")
    return str(commit or "unknown")
