"""Studies of Optuna: each trial becomes a model, from an SQLite file, a journal file or another storage of Optuna's.

The value of a study that is minimised is taken as an error, of one that is maximised as an accuracy (error = 100 -
accuracy), unless its name or its values say that it is no percentage: then it is a metric of its own. A trial that was
pruned is a run that was stopped, with the last value that it reported: every study of the archive says how many there
are. Pruned trials are the worse ones: a population that has many looks better than its space is. One whose objective
was NaN diverged, where that is recorded, which newer versions of Optuna do not. Trials that run or wait are kept as
running.
"""

import json
import math
import re
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Variable
from edfkit.archive.outcomes import codes, outcomes, status_map
from edfkit.archive.schema import Status
from edfkit.exchange import foreign
from edfkit.exchange.foreign import Attributes, Imported, is_number
from edfkit.metric import BEYOND, ERROR, Metric, check_bounds, is_other, stated

if TYPE_CHECKING:
    import optuna

# Attributes and parameters that are taken for the variable of the same name without being named for it.
_NUMBERS = ("params", "macs", "flops", "acts", "seed", "lr", "wd")
_MOST_STEPS = 10_000
_SQLITE = b"SQLite format 3\0"
_NAN = re.compile(r"\bnan\b", re.IGNORECASE)


def import_optuna(
    storage: str,
    study: str | None,
    target: Path,
    *,
    value: int | None = None,
    metric: str | None = None,
    goal: str | None = None,
    unit: str | None = None,
    statuses: str | None = None,
    name: str | None = None,
    params: str | None = None,
    macs: str | None = None,
    flops: str | None = None,
    acts: str | None = None,
    seed: str | None = None,
    lr: str | None = None,
    wd: str | None = None,
    **attrs: Unpack[Attributes],
) -> Imported:
    """Make an archive of one population of the trials of a study.

    Parameters of trials become variables `param_NAME`: numbers where all their values are numbers, else text; NaN or ""
    where a trial has not got them. User attributes become `attr_NAME` likewise, unless they hold lists or objects.
    Intermediate values become the curve `test_error`, step 1 (0, if a trial has that step) the first epoch, if the
    value of each finished trial is the best of them. Otherwise they are kept as they are in `intermediate`, and are
    no errors to edfkit. If the value of each finished trial is the last of them, it is `error_final` too. Where trials
    have the same parameters, but for the seed, they share a number in `unit`.

    Parameters
    ----------
    storage : str
        An SQLite file or a journal file, by its path, or the URL of a storage. It is only read.
    study : str or None
        The name of the study; None where the storage has just one.
    target : Path
        The archive to write or replace, whole or not at all.
    value : int, optional
        Which value is taken, from 0, in a study that has several.
    metric : str, optional
        The metric that the value is, with its own sign. By default it is an error or an accuracy, and becomes `error`,
        if it is within 0 to 100 and its name in the study does not say otherwise; else it is a metric called as there,
        or "value".
    goal : {"min", "max"}, optional
        By default the direction of the study.
    unit : str, optional
        Of the value, such as percent, share or nats; it has to be given if no value is above 1.
    statuses : str, optional
        What states of trials mean besides what they say, such as "FAIL=diverged", see
        `edfkit.archive.outcomes.status_map`.
    name : str, optional
        The population; by default called after the study.
    params, macs, flops, acts, seed, lr, wd : str, optional
        The user attribute, or else the parameter, that has these variables; by default the one of the same name, if
        there is one, and none if "".
    **attrs
        Attributes of the archive, see `edfkit.exchange.foreign.Attributes`; `created` is by default when the last
        trial ended, as stored.

    Returns
    -------
    Imported

    Raises
    ------
    EdfkitError
        If Optuna is not installed, there is no such storage or study, no trial is over, or a value is out of range.
    """
    found = _study(storage, study)
    which = _which(found, value)
    trials = found.get_trials(deepcopy=False)
    place = f"the study {found.study_name!r}"
    if not any(trial.state.is_finished() for trial in trials):
        raise EdfkitError(f"No trial of {place} is over, so there is nothing to import; finish some first.")

    def where(row: int) -> str:
        return f"Trial {trials[row].number} of {place}"

    states = np.array([trial.state.name for trial in trials])
    complete = states == "COMPLETE"
    raw = np.array([trial.values[which] if done else math.nan for trial, done in zip(trials, complete, strict=True)])
    values = np.where(np.abs(raw) >= BEYOND, math.nan, raw)
    measured = _metric(found, which, values, metric, goal, unit)
    notes: list[str] = []
    steps = _Steps.of(trials, notes)
    words = codes(states, None if statuses is None else status_map(statuses))
    ended = outcomes(raw, words, broke=[_broke(trial) for trial in trials], steps=steps.last)
    converted = _converted(values, measured, unit, where)
    columns: dict[str, Any] = {
        "id": np.array([str(trial.number) for trial in trials]),
        "status": ended,
        "seconds": np.array([trial.duration.total_seconds() if trial.duration else math.nan for trial in trials]),
    }
    columns |= _measured(measured, converted, ended, steps, unit, complete, notes)
    user_attrs = [
        {key: held for key, held in trial.user_attrs.items() if not isinstance(held, list | dict)} for trial in trials
    ]
    parameters = [trial.params for trial in trials]
    given = {"params": params, "macs": macs, "flops": flops, "acts": acts, "seed": seed, "lr": lr, "wd": wd}
    used_attrs: set[str] = set()
    used_parameters: set[str] = set()
    for role, key in given.items():
        key = role if key is None and (_keys(user_attrs) | _keys(parameters)).keys() & {role} else key
        if not key:
            continue
        foreign.choose("user attribute or parameter", key, [*(_keys(user_attrs) | _keys(parameters))], place)
        of_attrs = key in _keys(user_attrs)
        (used_attrs if of_attrs else used_parameters).add(key)
        columns[role] = _numbers(user_attrs if of_attrs else parameters, key, where)
        foreign.check_counts(role, columns[role], where)
    columns |= _named("attr_", user_attrs, used_attrs)
    columns |= _named("param_", parameters, used_parameters)
    columns["state"] = Variable(states, ("model",), {"long_name": "state of the trial"})
    if (same := _units(trials, found.study_name, seed or "seed")) is not None:
        columns["unit"] = same
    if pruned := int(((states == "PRUNED") & (ended == Status.STOPPED)).sum()):
        notes.append(f"{pruned:,} of the trials were pruned: they are stopped runs.")
    if failed := int((ended == Status.FAILED).sum()):
        notes.append(
            f"{failed:,} of the trials failed, and no reason is recorded; where their objective was NaN, count them as "
            "diverged by --status-map FAIL=diverged."
        )

    ((population, attributes),) = foreign.groups([name or found.study_name]).items()
    if measured.name != ERROR.name:
        attributes["metric"] = measured.name
    ends = [end for trial in trials if (end := trial.datetime_complete or trial.datetime_start)]
    return foreign.save(
        target,
        {population: columns},
        foreign.root_attrs(f"{found.study_name}, a study of Optuna", max(ends, default=datetime(1970, 1, 1)), attrs),
        {population: attributes},
        notes=notes,
    )


# --- Storages


def _study(storage: str, study: str | None) -> "optuna.Study":
    """Open a study to read it; nothing is created or changed."""
    try:
        import optuna
    except ImportError as error:
        raise EdfkitError(
            "Studies of Optuna are read by Optuna, which is not installed; call pip install 'edfkit[optuna]'."
        ) from error
    path = _path(storage)
    if path is not None:
        foreign.modified(path)  # else Optuna would make an empty one
    shown = str(path) if path is not None else storage.split("://")[0] + "://..."  # a URL may have a password in it
    try:
        opened = _storage(storage, path)
        names = optuna.study.get_all_study_names(opened)
        if study is None and len(names) != 1:
            listed = ", ".join(map(repr, names)) or "none"
            raise EdfkitError(f"The storage {shown} has {len(names)} studies, {listed}; name one.")
        name = names[0] if study is None else foreign.choose("study", study, names, f"The storage {shown}")
        return optuna.load_study(study_name=name, storage=opened)
    except EdfkitError:
        raise
    except Exception as error:  # of Optuna, SQLAlchemy, Alembic or a database's driver: they share no class
        reason = " ".join(str(error).split())[:300]
        raise EdfkitError(
            f"The storage {shown} cannot be read by Optuna {optuna.__version__} ({type(error).__name__}: {reason}); "
            "give an SQLite file, a journal file or the URL of a storage that it reads."
        ) from error


def _path(storage: str) -> Path | None:
    """Give the file that a storage is, or None for one that is no file."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if "://" not in storage:
        return Path(storage)
    try:
        url = make_url(storage)
    except ArgumentError as error:
        raise EdfkitError(
            "The storage is neither a path nor a URL, expected one such as sqlite:///study.db; correct it."
        ) from error
    if url.get_backend_name() != "sqlite":
        return None
    database = url.database or ""
    if database.startswith("file:"):
        database = unquote(database.removeprefix("file:").partition("?")[0])
    if not database or database == ":memory:":
        raise EdfkitError(f"The storage {storage!r} is in the memory of another process; give one that is a file.")
    return Path(database)


def _storage(storage: str, path: Path | None) -> Any:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if path is None:
        return RDBStorage(storage, skip_table_creation=True)
    with open(path, "rb") as file:
        head = file.read(len(_SQLITE))
    if head != _SQLITE:
        if "://" in storage or head[:1] != b"{":
            raise ValueError("it is neither an SQLite file nor a journal")
        return JournalStorage(JournalFileBackend(str(path)))
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    with_tables = sqlite3.connect(address, uri=True)
    try:
        tables = {table for (table,) in with_tables.execute("select name from sqlite_master where type = 'table'")}
    finally:
        with_tables.close()
    if not {"studies", "version_info"} <= tables:
        raise ValueError("it has no studies of Optuna")
    return RDBStorage(
        "sqlite://",
        engine_kwargs={"creator": lambda: sqlite3.connect(address, uri=True)},
        skip_table_creation=True,
    )


def _which(study: "optuna.Study", value: int | None) -> int:
    """Say which of a study's values is taken."""
    count = len(study.directions)
    if value is None and count == 1:
        return 0
    if value is None or not 0 <= value < count:
        names = study.metric_names or [direction.name.lower() + "d" for direction in study.directions]
        listed = ", ".join(f"{place} ({name})" for place, name in enumerate(names))
        raise EdfkitError(
            f"The study {study.study_name!r} has the values {listed}; say by --value which of them to take."
        )
    return value


# --- Values


def _keys(records: Sequence[Mapping[str, Any]]) -> dict[str, None]:
    return dict.fromkeys(key for record in records for key in record)


def _numbers(records: Sequence[Mapping[str, Any]], key: str, where: Any) -> NDArray[Any]:
    values = [record.get(key) for record in records]
    for row, value in enumerate(values):
        if value is not None and not ((is_number(value) and abs(value) <= sys.float_info.max) or value != value):
            raise EdfkitError(f"{where(row)} has {value!r} as {key!r}, expected a number; name another for it.")
    return foreign.column(values)


def _named(prefix: str, records: Sequence[Mapping[str, Any]], used: set[str]) -> dict[str, Variable]:
    values = {key: foreign.column([record.get(key) for record in records]) for key in _keys(records) if key not in used}
    return foreign.named(values, prefix=prefix)


def _metric(
    study: "optuna.Study",
    which: int,
    values: NDArray[np.float64],
    name: str | None,
    goal: str | None,
    unit: str | None,
) -> Metric:
    """Say what a value of a study is: the error, which accuracies become, or a metric of its own."""
    label = name or (study.metric_names[which] if study.metric_names else "value")
    goal = goal or ("max" if study.directions[which].name == "MAXIMIZE" else "min")
    known = values[~np.isnan(values)]
    ends = (float(known.min()), float(known.max())) if known.size else None
    percentage = unit in foreign.UNITS or (unit is None and (ends is None or (ends[0] >= 0 and ends[1] <= 100)))
    if label == ERROR.name or (name is None and percentage and not is_other(label)):
        return Metric(ERROR.name, goal=goal)  # type: ignore[arg-type]
    variable = foreign.variable_name(label, ("state", "intermediate"))
    return stated(variable, ends, goal=goal, unit=unit, label=label)


def _converted(values: NDArray[np.float64], measured: Metric, unit: str | None, where: Any) -> NDArray[np.float64]:
    """Give values as they are stored: errors in percent; other metrics as they are."""
    if measured.name == ERROR.name:
        return foreign.errors_of(values, measured.goal == "max", unit, where)
    return values


def _broke(trial: "optuna.trial.FrozenTrial") -> bool:
    """Tell whether there is evidence that a trial diverged: NaN or infinite values, or a reason that names NaN."""
    numbers = [*(trial.values or ()), *trial.intermediate_values.values()]
    reasons = [held for held in trial.system_attrs.values() if isinstance(held, str)]
    return not all(map(math.isfinite, numbers)) or (trial.state.name == "FAIL" and any(map(_NAN.search, reasons)))


def _units(trials: Sequence["optuna.trial.FrozenTrial"], study: str, seed: str) -> NDArray[np.int64] | None:
    """Give numbers to what was drawn, in this study, if some came again; None if not, or if it is not known."""
    drawn = [{key: held for key, held in trial.params.items() if key != seed} for trial in trials]
    texts = [json.dumps(params, sort_keys=True, default=str) if params else "" for params in drawn]
    known = [one for one, trial in zip(texts, trials, strict=True) if trial.state.is_finished()]
    if not all(known) or len(set(known)) == len(known):
        return None
    numbers = [one or str(trial.number) for one, trial in zip(texts, trials, strict=True)]
    return foreign.units_of([[study] * len(trials), numbers])


@dataclass(frozen=True)
class _Steps:
    """The intermediate values of trials by step, the first of which is `first`; no columns where they are not kept."""

    values: NDArray[np.float64]
    first: int
    last: NDArray[np.float64]

    @classmethod
    def of(cls, trials: Sequence["optuna.trial.FrozenTrial"], notes: list[str]) -> "_Steps":
        last = np.array([max(trial.intermediate_values, default=math.nan) for trial in trials])
        steps = {step for trial in trials for step in trial.intermediate_values}
        first = min(0 if 0 in steps else 1, *steps, 1)
        if steps and (first < 0 or max(steps) - first >= _MOST_STEPS):
            notes.append(
                f"The intermediate values are not in the archive: their steps go from {first:,} to {max(steps):,}."
            )
            steps = set()
        values = np.full((len(trials), max(steps) - first + 1 if steps else 0), math.nan)
        if steps:
            for row, trial in enumerate(trials):
                for step, value in trial.intermediate_values.items():
                    values[row, step - first] = value if math.isfinite(value) else math.nan
        return cls(values, first, last)


def _measured(
    measured: Metric,
    values: NDArray[np.float64],
    ended: NDArray[np.int8],
    steps: _Steps,
    unit: str | None,
    complete: NDArray[np.bool_],
    notes: list[str],
) -> dict[str, Any]:
    """Give the variables of a metric, with its curve if the intermediate values are that, or these as they are."""
    raw, final = steps.values, None
    if not raw.shape[1]:
        return dict(foreign.metric_variables(measured, values))
    curve: NDArray[np.float64] | None = None
    try:
        curve = _converted(raw.ravel(), measured, unit or "percent", str).reshape(raw.shape)
        check_bounds(measured, (float(np.fmin.reduce(curve, axis=None)), float(np.fmax.reduce(curve, axis=None))))
    except EdfkitError:
        curve = None  # not all in the range of the metric
    if curve is not None:
        places = np.where(np.isnan(curve), -1, np.arange(raw.shape[1])).max(axis=1)
        ends = curve[np.arange(len(raw)), places]
        least = measured.goal == "min" or measured.name == ERROR.name
        best = (np.fmin if least else np.fmax).reduce(curve, axis=1)
        reported = complete & ~np.isnan(values) & (places >= 0)
        of_best, of_last = (
            bool(reported.any()) and np.allclose(one[reported], values[reported], 0, 1e-9) for one in (best, ends)
        )
        if of_best or of_last or not reported.any():  # else trials report something other than their value
            values = np.where(ended == Status.STOPPED, np.where(complete, values, ends), values)
            reported |= (ended == Status.STOPPED) & (places >= 0)
        final = np.where(reported, ends, math.nan) if of_best or of_last else None
        if of_best:
            return dict(foreign.metric_variables(measured, values, final, curve))
    notes.append(
        "The intermediate values are kept in 'intermediate' and not as curves: the value of a trial is not always the "
        "best of its own."
    )
    label = {"long_name": f"intermediate values from step {steps.first} on"}
    kept = {"intermediate": Variable(raw, ("model", "epoch"), label)}
    return foreign.metric_variables(measured, values, final) | kept
