"""Studies of Optuna: each trial becomes a model, from an SQLite file, a journal file or another storage of Optuna's.

The value of a study that is minimised is taken as an error, of one that is maximised as an accuracy (error = 100 -
accuracy). A trial that was pruned stopped before the end of its training, so it has no error that compares with the
others': it is kept as a model that failed, so that every study of the archive says how many there are, rather than left
out unseen. Pruned trials are the worse ones: a population that has many looks better than its space is. Trials that run
or wait are left out.
"""

import math
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Variable
from edfkit.archive.schema import Status
from edfkit.exchange import foreign
from edfkit.exchange.foreign import Attributes, Imported, is_number

if TYPE_CHECKING:
    import optuna

# Attributes and parameters that are taken for the variable of the same name without being named for it.
_NUMBERS = ("params", "macs", "flops", "acts", "seed", "lr", "wd")
_MOST_STEPS = 10_000
_SQLITE = b"SQLite format 3\0"


def import_optuna(
    storage: str,
    study: str | None,
    target: Path,
    *,
    value: int | None = None,
    unit: str | None = None,
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
    no errors to edfkit. If the value of each finished trial is the last of them, it is `error_final` too.

    Parameters
    ----------
    storage : str
        An SQLite file or a journal file, by its path, or the URL of a storage. It is only read.
    study : str or None
        The name of the study; None where the storage has just one.
    target : Path
        The archive to write or replace, whole or not at all.
    value : int, optional
        Which value is the error, from 0, in a study that has several.
    unit : {"percent", "share"}, optional
        Of the value; percent by default, unless no value is above 1, when it has to be given.
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
    every = found.get_trials(deepcopy=False)
    trials = [trial for trial in every if trial.state.is_finished()]
    states = np.array([trial.state.name for trial in trials])
    left_out = {f"trial {state.lower()}": sum(t.state.name == state for t in every) for state in ("RUNNING", "WAITING")}
    place = f"the study {found.study_name!r}"
    if not trials:
        raise EdfkitError(f"No trial of {place} is over, so there is nothing to import; finish some first.")

    def where(row: int) -> str:
        return f"Trial {trials[row].number} of {place}"

    accuracy = found.directions[which].name == "MAXIMIZE"
    complete = states == "COMPLETE"
    raw = [trial.values[which] if done else math.nan for trial, done in zip(trials, complete, strict=True)]
    error = foreign.errors_of(np.array(raw, float), accuracy, unit, where)
    columns: dict[str, Any] = {
        "id": np.array([str(trial.number) for trial in trials]),
        "error": error,
        "status": np.where(complete, Status.FINISHED, Status.FAILED).astype(np.int8),
        "seconds": np.array([trial.duration.total_seconds() if trial.duration else math.nan for trial in trials]),
    }
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
    notes: list[str] = []
    if curves := _curves(trials, which, accuracy, unit, error, complete, notes):
        columns |= curves
    if pruned := int((states == "PRUNED").sum()):
        notes.append(f"{pruned:,} of the trials that failed were pruned.")

    name = name or found.study_name
    ends = [end for trial in trials if (end := trial.datetime_complete or trial.datetime_start)]
    return foreign.save(
        target,
        {foreign.population_name(name, place): columns},
        foreign.root_attrs(f"{found.study_name}, a study of Optuna", max(ends, default=datetime(1970, 1, 1)), attrs),
        {foreign.population_name(name, place): {"name_in_source": foreign.text(name)[:1000]}},
        left_out=left_out,
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
    """Say which of a study's values is the error."""
    count = len(study.directions)
    if value is None and count == 1:
        return 0
    if value is None or not 0 <= value < count:
        names = study.metric_names or [direction.name.lower() + "d" for direction in study.directions]
        listed = ", ".join(f"{place} ({name})" for place, name in enumerate(names))
        raise EdfkitError(
            f"The study {study.study_name!r} has the values {listed}; say by --value which of them is the error."
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


def _curves(
    trials: Sequence["optuna.trial.FrozenTrial"],
    which: int,
    accuracy: bool,
    unit: str | None,
    error: NDArray[np.float64],
    complete: NDArray[np.bool_],
    notes: list[str],
) -> dict[str, Any]:
    """Give the intermediate values, as errors if they are that, and the errors after the last epoch, if known."""
    steps = {step for trial in trials for step in trial.intermediate_values}
    if not steps:
        return {}
    first = min(0 if 0 in steps else 1, *steps)
    if first < 0 or max(steps) - first >= _MOST_STEPS:
        notes.append(
            f"The intermediate values are not in the archive: their steps go from {first:,} to {max(steps):,}."
        )
        return {}
    raw = np.full((len(trials), max(steps) - first + 1), math.nan)
    for row, trial in enumerate(trials):
        for step, value in trial.intermediate_values.items():
            raw[row, step - first] = value
    try:
        flat = foreign.errors_of(raw.ravel(), accuracy, unit or "percent", str)
    except EdfkitError:
        flat = None  # not all in the range of errors
    columns: dict[str, Any] = {}
    if flat is not None:
        curve = flat.reshape(raw.shape)
        reported = complete & ~np.isnan(curve).all(axis=1)
        places = np.where(np.isnan(curve), -1, np.arange(curve.shape[1])).max(axis=1)
        ends = curve[np.arange(len(trials)), places]
        best = np.fmin.reduce(curve, axis=1)
        if reported.any() and np.allclose(best[reported], error[reported], 0, 1e-9):
            return {"error_final": np.where(reported, ends, math.nan), "test_error": curve}
        if reported.any() and np.allclose(ends[reported], error[reported], 0, 1e-9):
            columns["error_final"] = np.where(reported, ends, math.nan)
    notes.append(
        "The intermediate values are kept in 'intermediate' and not as curves of errors: the value of a trial is not "
        "always the best of its own."
    )
    label = {"long_name": f"intermediate values from step {first} on"}
    return columns | {"intermediate": Variable(raw, ("model", "epoch"), label)}
