"""Pack finished runs into an archive: one population per design space."""

import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np

from edfkit import EdfkitError
from edfkit.archive import write
from edfkit.archive.schema import Status
from edfkit.generator import spaces
from edfkit.generator.runs import run as runs
from edfkit.generator.runs.plan import Plan, read_plan

# What the runs of one population, and those of one archive, must have in common.
_OF_A_POPULATION = ("space", "bounds", "rule", "replacement", "lr_range", "wd_range")
_OF_AN_ARCHIVE = ("dataset", "recipe")


def pack(
    folders: Sequence[Path], archive: Path, *, title: str | None = None, source: str, license: str
) -> dict[str, tuple[int, int]]:
    """Write the finished models of some runs into an archive, in the order of their plans.

    Runs of the same space and bounds become one population. A run that is not finished gives what it has. Results that
    are damaged are put aside in their run, so that their models count as not done, and nothing is written.

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
    plans = {folder: read_plan(folder) for folder in folders}
    first = next(iter(plans))
    populations: dict[str, list[Path]] = {}
    for folder, plan in plans.items():
        members = populations.setdefault(plan.request.population, [])
        members.append(folder)
        _check_alike(first, folder, plans, _OF_AN_ARCHIVE)
        _check_alike(members[0], folder, plans, _OF_A_POPULATION)

    packed: dict[str, dict[str, Any]] = {}
    attrs: dict[str, dict[str, str | int | float]] = {}
    counts: dict[str, tuple[int, int]] = {}
    software: set[str] = set()
    damaged: list[str] = []
    for space, members in populations.items():
        parts = [_columns(folder, plans[folder], software, damaged) for folder in members]
        if damaged:
            raise EdfkitError(
                f"{len(damaged)} results are damaged and were put aside: {'; '.join(damaged[:5])}; call edfkit "
                "generate for their runs to train the models again."
            )
        columns = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
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
            **{name: json.dumps(ends) for name in ("lr_range", "wd_range") if (ends := getattr(request, name))},
            **({} if request.training_seed is None else {"training_seed": request.training_seed}),
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


def _check_alike(one: Path, other: Path, plans: dict[Path, Plan], names: tuple[str, ...]) -> None:
    a, b = plans[one].request.as_dict(), plans[other].request.as_dict()
    for name in names:
        here, there = a.get(name), b.get(name)
        if here != there:
            raise EdfkitError(
                f"The runs {one} and {other} differ in {name} ({here} and {there}); pack them into two archives."
            )


def _columns(folder: Path, plan: Plan, software: set[str], damaged: list[str]) -> dict[str, np.ndarray]:
    """Read the results of a run into columns; name those that are damaged, and put them aside."""
    models, recipe = len(plan.ids), plan.request.recipe
    status = np.full(models, -1, np.int8)
    seconds = np.full(models, np.nan)
    curves = {name: np.full((models, recipe.epochs), np.nan) for name in runs.CURVES}
    for i, model in enumerate(plan.ids):  # one file each
        try:
            result = runs.read_result(folder, model)
            if result is None:
                continue
            status[i] = Status[result["status"].upper()]
            if result["status"] == "failed":
                continue
            software.add(result["software"])
            seconds[i] = result["seconds"]
            for name, values in curves.items():
                values[i] = result[name]
        except (EdfkitError, LookupError, TypeError, ValueError) as error:
            runs.put_aside(folder, model)
            damaged.append(f"{runs.result_path(folder, model)} ({error})")
    done = np.flatnonzero(status >= 0)
    columns = {
        "id": np.array(plan.ids),
        "error": curves["test_error"].min(axis=1),
        "error_final": curves["test_error"][:, -1],
        **plan.sample.complexity._asdict(),
        "seed": plan.seeds,
        "lr": plan.rate("lr"),
        "wd": plan.rate("weight_decay"),
        "status": status,
        "seconds": seconds,
        **plan.sample.columns,
        **curves,
    }
    return columns if len(done) == models else {name: column[done] for name, column in columns.items()}


def _commit() -> str:
    # pip records it for an installation from a repository, and only then is it known.
    try:
        record = distribution("edfkit").read_text("direct_url.json")
    except PackageNotFoundError:
        record = None
    commit = json.loads(record or "{}").get("vcs_info", {}).get("commit_id")
    return str(commit or "unknown")
