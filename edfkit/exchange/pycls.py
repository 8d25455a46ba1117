"""The `sweep.json` of pycls, which its sweep tools collect from the logs of a sweep.

It is a list of runs. Each is an object with what the run logged, by type and metric: `cfg`, the nested configuration;
`complexity` with flops, params and acts; `train_epoch`, `test_epoch` and, of the averaged weights, `test_ema_epoch`,
each with lists along the epochs logged (`epoch_ind` and `epoch_max`, or `epoch` as "3/100", then `top1_err`,
`min_top1_err`, `loss`, ...), or as a list of objects with these. Errors are percent. Any part may be absent.

pycls counts multiply-adds and calls them flops: they are our `macs`, and `flops` too, the source's own count. Its
`acts` are elements output by convolutions, in later versions by fully connected layers too.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Variable
from edfkit.archive.outcomes import NO_WORD, outcomes
from edfkit.archive.schema import VARIABLES, Status
from edfkit.exchange import foreign
from edfkit.exchange.foreign import Attributes, Imported, is_number

# Such errors are those of runs that broke down: guessing among the 1,000 classes of ImageNet gives 99.9.
_BROKEN = 99.9
_MOST_EPOCHS = 10_000
_CONFIGURED = {"OPTIM.BASE_LR": "lr", "OPTIM.WEIGHT_DECAY": "wd", "RNG_SEED": "seed"}
_OF_THE_MACHINE = ("OUT_DIR", "CFG_DEST", "LOG_DEST", "HOST", "PORT", "DOWNLOAD_CACHE", "DESC")  # not of the model


def import_pycls(
    file: Path,
    target: Path,
    *,
    name: str | None = None,
    ema: bool = False,
    **attrs: Unpack[Attributes],
) -> Imported:
    """Make an archive of one population of a sweep.

    `error` is the smallest test error; where an epoch was tested twice, as the run was resumed, the smaller counts. A
    run that was not tested after the last epoch that it was to have was stopped, and one that was never tested failed.
    One whose training loss is not finite, or whose smallest error is 99.9 % or more, diverged. What the configurations
    differ in becomes variables, `cfg_regnet_w0` and the like; what they have in common is the recipe. Runs of the same
    configuration, but for the seed, share a number in `unit`.

    Parameters
    ----------
    file : Path
        The `sweep.json`.
    target : Path
        The archive to write or replace, whole or not at all.
    name : str, optional
        The population; by default the type of the models, if all are of one, else the folder that the file is in.
    ema : bool
        Take the errors of the averaged weights.
    **attrs
        Attributes of the archive, see `edfkit.exchange.foreign.Attributes`. By default the data set and the recipe are
        those of the configurations, and `created` is when the file was last changed.

    Returns
    -------
    Imported

    Raises
    ------
    EdfkitError
        If the file is no sweep, holds no run that was tested, or a value is out of range.
    """
    changed = foreign.modified(file)
    runs = _load(file)
    kind = "test_ema_epoch" if ema else "test_epoch"
    tests = [_logged(run, kind, place) for run, place in _placed(file, runs)]
    if not any(tests):
        other = "test_epoch" if ema else "test_ema_epoch"
        hint = (
            f"; they have {other}, import {'without' if ema else 'with'} --ema" if any(map(_has(other), runs)) else ""
        )
        raise EdfkitError(f"No run of {file} has a {kind}, so there are no errors to import{hint}.")
    trains = [_logged(run, "train_epoch", place) for run, place in _placed(file, runs)]
    configs = [_config(run) for run in runs]
    ends = [
        _end(config, test, train, place)
        for config, test, train, (_, place) in zip(configs, tests, trains, _placed(file, runs), strict=True)
    ]
    columns = _columns(file, runs, configs, tests, trains, np.array(ends))
    common, varied = _split(configs)
    model_type = common.get("MODEL.TYPE")
    folder = file.resolve().parent.name
    name = name or (model_type if isinstance(model_type, str) and model_type else folder)
    ((population, attributes),) = foreign.groups([name]).items()
    if (same := _units(configs)) is not None:
        columns["unit"] = same

    memory = [_part(run, "complexity").get("memory") for run in runs]
    extras: dict[str, Variable] = {}
    if any(map(is_number, memory)):
        extras["memory"] = Variable(
            foreign.column([value if is_number(value) else None for value in memory]),
            ("model",),
            {"long_name": "complexity.memory"},
        )
    extras |= foreign.named({key.lower(): values for key, values in varied.items()}, extras, "cfg_")
    notes = []
    whole = _nested(common)
    if not foreign.fits(whole):
        notes.append("The recipe is empty: what the configurations have in common is too long for an archive.")
        whole = {}
    images = common.get("TRAIN.DATASET")
    if stopped := int((columns["status"] == Status.STOPPED).sum()):
        notes.append(f"{stopped:,} of the runs were not tested after their last epoch: they are stopped runs.")
    return foreign.save(
        target,
        {population: columns | extras},
        foreign.root_attrs(
            f"{file.name}, a sweep of pycls{', averaged weights' if ema else ''}",
            changed,
            attrs,
            whole,
            images if isinstance(images, str) and images else "not stated",
        ),
        {population: attributes},
        notes=notes,
    )


def _load(file: Path) -> list[dict[str, Any]]:
    try:
        runs = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EdfkitError(f"{file} cannot be read as JSON ({error}); collect the sweep again.") from error
    if not isinstance(runs, list) or not runs or not all(isinstance(run, dict) for run in runs):
        raise EdfkitError(
            f"{file} is not a list of runs, expected a sweep.json as the sweep tools of pycls collect it; give that."
        )
    return runs


def _placed(file: Path, runs: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    return ((run, f"Run {number} of {file}") for number, run in enumerate(runs))


def _has(kind: str) -> Callable[[dict[str, Any]], bool]:
    return lambda run: bool(run.get(kind))


def _part(run: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    part = run.get(kind)
    return part if isinstance(part, dict) else {}


def _config(run: Mapping[str, Any]) -> dict[str, Any]:
    """Give a run's configuration with dotted keys."""
    flat: dict[str, Any] = {}

    def add(prefix: str, node: Mapping[str, Any]) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                add(f"{prefix}{key}.", value)
            else:
                flat[f"{prefix}{key}"] = value

    add("", _part(run, "cfg_base"))
    add("", _part(run, "cfg"))
    return flat


# --- Curves


def _logged(run: Mapping[str, Any], kind: str, place: str) -> dict[str, list[float]]:
    """Give the metrics that a run logged after epochs: lists of one length, among them `epoch` counted from 1."""
    part = run.get(kind)
    if not part:
        return {}
    if isinstance(part, list) and all(isinstance(entry, dict) for entry in part):
        part = {metric: [entry.get(metric) for entry in part] for metric in dict.fromkeys(k for e in part for k in e)}
    if not isinstance(part, dict):
        raise EdfkitError(
            f"{place} has a {kind} that is neither lists by metric nor a list of objects; collect it again."
        )
    lists = {metric: values for metric, values in part.items() if isinstance(values, list) and values}
    if not lists:
        return {}
    if len({len(values) for values in lists.values()}) > 1:
        raise EdfkitError(f"{place} has lists of several lengths in {kind}, expected one; collect the sweep again.")
    count = len(next(iter(lists.values())))
    logged: dict[str, list[float]] = {}
    for metric, values in lists.items():
        if metric == "epoch" and all(isinstance(value, str) for value in values):
            ends = [value.partition("/") for value in values]
            logged |= {"epoch": [_float(end[0]) for end in ends], "epoch_max": [_float(end[2]) for end in ends]}
        elif metric in ("epoch", "epoch_ind", "epoch_max", "top1_err", "min_top1_err", "loss", "time_epoch"):
            logged["epoch" if metric == "epoch_ind" else metric] = [_float(value) for value in values]
    logged.setdefault("epoch", [float(epoch) for epoch in range(1, count + 1)])
    if bad := [epoch for epoch in logged["epoch"] if not (1 <= epoch <= _MOST_EPOCHS and epoch == int(epoch))]:
        raise EdfkitError(
            f"{place} has the epoch {bad[0]:g} in {kind}, expected a whole number from 1 on; collect the sweep again."
        )
    for metric in ("top1_err", "min_top1_err"):
        for value in logged.get(metric, ()):
            if not (0 <= value <= 100 or math.isnan(value)):
                raise EdfkitError(f"{place} has the {metric} {value:g} in {kind}, expected 0..100 percent; correct it.")
    if kind != "train_epoch" and all(
        math.isnan(v) for metric in ("top1_err", "min_top1_err") for v in logged.get(metric, ())
    ):
        return {}
    return logged


def _float(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def _end(
    config: Mapping[str, Any], test: Mapping[str, list[float]], train: Mapping[str, list[float]], place: str
) -> int:
    """Give the last epoch that a run was to have, or had if that is not known."""
    seen = [epoch for logged in (test, train) for epoch in logged.get("epoch", ())]
    planned = _planned(config, test, train)
    last = max(seen, default=1.0) if planned is None else planned
    if not max(seen, default=1.0) <= last <= _MOST_EPOCHS:
        raise EdfkitError(f"{place} has logged epoch {max(seen, default=1.0):g} of {last:g}; collect the sweep again.")
    return int(last)


def _planned(
    config: Mapping[str, Any], test: Mapping[str, list[float]], train: Mapping[str, list[float]]
) -> float | None:
    """Give the last epoch that a run was to have, as far as its logs or its configuration say."""
    stated = [value for logged in (test, train) for value in logged.get("epoch_max", ()) if value >= 1]
    planned = _float(config.get("OPTIM.MAX_EPOCH"))
    return max(stated) if stated else planned if planned >= 1 else None


def _curve(logged: Mapping[str, list[float]], metric: str, epochs: int) -> NDArray[np.float64]:
    """Put a metric along the epochs, NaN where it was not logged; the smaller where it was logged twice."""
    curve = np.full(epochs, math.nan)
    for epoch, value in zip(logged.get("epoch", ()), logged.get(metric, ()), strict=False):
        curve[int(epoch) - 1] = np.fmin(curve[int(epoch) - 1], value)
    return curve


def _columns(
    file: Path,
    runs: list[dict[str, Any]],
    configs: list[dict[str, Any]],
    tests: Sequence[Mapping[str, list[float]]],
    trains: Sequence[Mapping[str, list[float]]],
    ends: NDArray[np.intp],
) -> dict[str, Any]:
    epochs, every = int(ends.max()), np.arange(len(runs))
    curves = {
        "test_error": np.array([_curve(logged, "top1_err", epochs) for logged in tests]),
        "train_error": np.array([_curve(logged, "top1_err", epochs) for logged in trains]),
        "train_loss": np.array([_curve(logged, "loss", epochs) for logged in trains]),
    }
    best = np.fmin.reduce(curves["test_error"], axis=1)
    stated = np.array([np.fmin.reduce(logged.get("min_top1_err") or [math.nan]) for logged in tests])
    error = np.where(np.isnan(best), stated, best)
    tested = np.array([max(logged.get("epoch", [0])) for logged in tests])
    final = curves["test_error"][every, ends - 1]
    broken = np.array([any(not math.isfinite(loss) for loss in logged.get("loss", ())) for logged in trains])
    words = np.where((tested < ends) & ~np.isnan(error), Status.STOPPED, NO_WORD)
    planned = np.array([_planned(*logged) is not None for logged in zip(configs, tests, trains, strict=True)])
    status = outcomes(error, words, broke=broken | (error >= _BROKEN), steps=np.where(planned, math.nan, tested))
    last = np.where(np.isnan(curves["test_error"]), -1, np.arange(epochs)).max(axis=1)
    final = np.where(status == Status.STOPPED, curves["test_error"][every, last], final)
    seconds = np.array([_curve(logged, "time_epoch", epochs) for logged in trains])
    timed = [seconds[run, : ends[run]].sum() for run in every]  # NaN unless all epochs are known

    columns: dict[str, Any] = {
        "id": _ids(runs),
        "error": error,
        "error_final": final,
        "status": status,
        "seconds": np.array(timed),
        "seed": _configured(configs, "RNG_SEED"),
        "lr": _configured(configs, "OPTIM.BASE_LR"),
        "wd": _configured(configs, "OPTIM.WEIGHT_DECAY"),
    }
    for variable, key in {"params": "params", "macs": "flops", "flops": "flops", "acts": "acts"}.items():
        columns[variable] = np.array([_float(_part(run, "complexity").get(key)) for run in runs])
    for variable in VARIABLES:
        if variable in columns and variable not in ("id", "error", "error_final", "status"):
            foreign.check_counts(variable, columns[variable], lambda run: f"Run {run} of {file}")
    return columns | {variable: curve for variable, curve in curves.items() if not np.isnan(curve).all()}


def _configured(configs: list[dict[str, Any]], key: str) -> NDArray[Any]:
    values = [config.get(key) for config in configs]
    return foreign.column([value if is_number(value) else None for value in values])


def _ids(runs: list[dict[str, Any]]) -> NDArray[Any]:
    """Take the ids of the jobs or the folders of the logs, if they tell the runs apart, else the places in the file."""
    jobs = [run.get("job_id") for run in runs]
    logs = [run.get("log_file") for run in runs]
    folders = [Path(log).parent.name if isinstance(log, str) else None for log in logs]
    for ids in (jobs, folders):
        texts = [foreign.text(value) for value in ids]
        if all(texts) and len(set(texts)) == len(texts):
            return np.array(texts)
    return np.arange(len(runs)).astype(str)


# --- Configurations


def _split(configs: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Tell what all configurations have in common from what they differ in."""
    common: dict[str, Any] = {}
    varied: dict[str, NDArray[Any]] = {}
    for key in dict.fromkeys(key for config in configs for key in config):
        if key in _OF_THE_MACHINE:
            continue
        values = [config.get(key) for config in configs]
        if all(key in config and config[key] == values[0] for config in configs):
            common[key] = values[0]
        elif key not in _CONFIGURED:
            column = foreign.column(values)
            if column.dtype.kind != "U" or column.dtype.itemsize // 4 * len(values) <= foreign.MOST_CHARACTERS:
                varied[key] = column
    return common, varied


def _units(configs: list[dict[str, Any]]) -> NDArray[np.int64] | None:
    """Give numbers to the configurations, if some came again; None if not, or if not all are known."""
    left_out = {*_OF_THE_MACHINE, "RNG_SEED"}
    texts = [
        json.dumps({key: value for key, value in config.items() if key not in left_out}, sort_keys=True)
        for config in configs
    ]
    known = all(configs) and len(set(texts)) < len(texts)
    return foreign.units_of([texts]) if known else None


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node: Any = nested
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                break
        else:
            node[leaf] = value
    return nested
