"""Tables of models, as any tool writes them: a row for each model, or for each epoch of each.

Tables are read in pieces, of which compact columns are kept. How a model ended is told by `edfkit.archive.outcomes`.
Columns that have no role in the archive become variables of their own: numbers where all their values are, else text
as it stands in the table.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Variable
from edfkit.archive.outcomes import NO_WORD, outcomes, status_map
from edfkit.archive.schema import curve_of, final_of, row_hashes
from edfkit.exchange import epochs, foreign, rows
from edfkit.exchange.columns import COUNTS, NUMBERS, Measure, Request, Table, read
from edfkit.exchange.epochs import Runs
from edfkit.exchange.foreign import MOST_CHARACTERS, Attributes, Imported
from edfkit.exchange.numbers import MISSING
from edfkit.metric import BOUNDS, ERROR, Metric, is_other, stated

_LARGE = 10_000  # parameters and the like are more, where they have no fractions
_BROKEN = re.compile(r"(^|[^a-z])nan([^a-z]|$)|diverge", re.IGNORECASE)
_MAXIMISED = re.compile(
    r"(^|[^a-z])(acc|accuracy|top[-_@ ]?[15]|prec[15]?|precision|recall|auc|auroc|auprc|m?ap\d*|m?iou|f1|bleu|rouge|"
    r"reward|return|psnr|ssim|elo|r2)([^a-z]|$)",
    re.IGNORECASE,
)


def import_table(
    file: Path,
    target: Path,
    *,
    error: str | None = None,
    accuracy: str | None = None,
    metric: str | Sequence[str] = (),
    goal: str | Sequence[str] = (),
    unit: str | Sequence[str] | None = None,
    bounds: tuple[float, float] | Sequence[tuple[float, float]] = (),
    grid: float | Sequence[float] = (),
    final: str | None = None,
    space: str | None = None,
    name: str | None = None,
    params: str | None = None,
    macs: str | None = None,
    flops: str | None = None,
    acts: str | None = None,
    seed: str | None = None,
    lr: str | None = None,
    wd: str | None = None,
    seconds: str | None = None,
    id: str | None = None,
    network: str | None = None,
    status: str | None = None,
    statuses: str | None = None,
    diverged: str | None = None,
    run: str | None = None,
    step: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    **attrs: Unpack[Attributes],
) -> Imported:
    """Make an archive of a table with a row for each model, or for each epoch of each.

    Rows of epochs are told by a column of steps (epoch, step, training_iteration and the like) that the rows of each
    run count up: of each run named by a column (trial_id, run_id, name and the like), of each configuration, or of the
    only run that there is. They become one model a run, with its best and last values and its curve.

    Parameters
    ----------
    file : Path
        A table: .csv, .tsv, .json, .jsonl or .ndjson, each also as .gz, or .parquet. CSV and TSV are UTF-8, or UTF-16
        with its mark, with a line of column names. In a column of numbers empty fields and NA, N/A, None, null and -
        are values not known; the text nan and infinite values of a metric or a loss mean that the run diverged. Numbers
        may be written as 1.2M, 90.0%, 50 MFLOPs or 1,014.45. Columns of nested JSON have dotted names: config.lr,
        learning_curve.top_1.
    target : Path
        The archive to write or replace, whole or not at all.
    error, accuracy : str, optional
        The column of the test errors, or of the accuracies (error = 100 - accuracy); at most one of them.
    metric : str or sequence of str, optional
        Columns of any other metrics; the first is the default one if no errors or accuracies are named. A list in a
        column is a curve.
    goal : {"min", "max"} or sequence, optional
        Of the metrics: once for all, or once for each, as are `unit`, `bounds` and `grid`; by default min, but to be
        given for what is by its name the larger the better.
    unit : str or sequence of str, optional
        Of the errors or accuracies, first, and of the metrics. Errors and accuracies are in percent or share; percent
        by default, unless no value is above 1, when it has to be given.
    bounds : (float, float) or sequence, optional
        The smallest and largest value that a metric can have; by default those of percent or share, else none.
    grid : float or sequence, optional
        Distance of neighbouring values, such as 100 / test images.
    final : str, optional
        The column of the default metric after the last epoch.
    space : str, optional
        A column that names the population of each row; by default all are of one.
    name : str, optional
        The population, without `space`; by default called after the file.
    params, macs, flops, acts, seed, lr, wd, seconds, id : str, optional
        The columns of these variables; by default the column of the same name, if there is one, and none if "". All but
        the seed and the id may be multiplied: "param_count*1e6". Models have the number of their row, from 1, or the
        name of their run as id where there is no such column.
    network : str, optional
        The column that names the network with its settings, or several with commas between: rows with equal ones are
        runs of one unit.
    status : str, optional
        A column that says how the training ended; see `edfkit.archive.outcomes.WORDS`.
    statuses : str, optional
        What other words of it mean, as in "aborted=failed,timed out=stopped".
    diverged : str, optional
        A column that says by true or false whether a run diverged; by default one with nan or diverge in its name, if
        it has such values.
    run, step : str, optional
        In rows of epochs, the columns that name the run and count its steps; "" if each row is a model.
    separator : str, optional
        Of the fields of CSV; by default what parts the line of column names: , ; | or a tab.
    decimal : {".", ","}, optional
        The decimal mark. By default the dot, or the comma where fields are separated by semicolons.
    **attrs
        Attributes of the archive, see `edfkit.exchange.foreign.Attributes`; `created` is by default when the file was
        last changed.

    Returns
    -------
    Imported

    Raises
    ------
    EdfkitError
        If the file cannot be read as a table, a column is missing, or a value cannot be what its column is named for,
        with the line (in Parquet: the row) that it is in; if an id comes twice in a population; or if it is not clear
        how a number is to be read, or which rows are of one run.
    """
    wanted = _wanted(error, accuracy, metric, goal, unit, bounds, grid)
    if space is not None and name is not None:
        raise EdfkitError(f"Names of populations were given by the column {space!r} and as {name!r}; give one of them.")
    changed = foreign.modified(file)
    roles = {"space": space, "status": status, "id": id, "params": params, "macs": macs, "flops": flops, "acts": acts}
    roles |= {"seed": seed, "lr": lr, "wd": wd, "seconds": seconds}
    words = status_map(statuses) if statuses else {}
    table = read(file, Request([one.column for one in wanted], final, roles, network, words, separator, decimal))
    for role in NUMBERS:
        if role in table.roles:
            foreign.check_counts(role, table.roles[role], table.where)
    _check_scales(table)
    codes = table.roles.get("space", np.zeros(len(table.lines), np.intp))
    runs = _runs_of(table, run, step, codes)
    notes = _notes(table, runs)

    metrics, columns, made, broke = _measured(table, wanted, runs, notes)
    broke |= _evidence(table, diverged, runs, notes)
    if made is None:
        made = epochs.made(table.columns(), step)
    said = table.roles.get("status", np.full(len(table.lines), NO_WORD, np.int8))
    said = np.nan_to_num(epochs.last(np.where(said == NO_WORD, np.nan, said), runs), nan=NO_WORD)
    columns |= {role: epochs.last(table.roles[role], runs) for role in NUMBERS if role in table.roles}
    columns["id"] = _ids_of(table, runs)
    if table.network:
        columns["unit"] = foreign.units_of(table.network)[runs.first]
    extras = {text: epochs.last(values, runs) for text, values in table.extras.items()}
    columns |= foreign.named(extras, {*columns, *_names_of(metrics)})

    groups = foreign.groups(table.spaces if space is not None else [name or rows.stem(file)])
    values, codes, lines = np.asarray(columns[metrics[0].name].values), codes[runs.first], table.lines[runs.first]
    populations: dict[str, dict[str, Any]] = {}
    for code, (population, attributes) in enumerate(groups.items()):
        chosen = slice(None) if len(groups) == 1 else np.flatnonzero(codes == code)
        part = {column: _chosen(one, chosen) for column, one in columns.items()}
        steps = None if made is None else made[..., chosen]
        part["status"] = outcomes(values[chosen], said[chosen], broke=broke[chosen], steps=steps)
        foreign.check_ids(part["id"], _placing(table, lines[chosen]))
        populations[population] = part
        if metrics[0].name != ERROR.name:
            attributes["metric"] = metrics[0].name
    return foreign.save(
        target, populations, foreign.root_attrs(f"{file.name}, a table", changed, attrs), groups, notes=notes
    )


def _notes(table: Table, runs: Runs) -> list[str]:
    """Say what else is to be known of the table."""
    notes = [
        f"The column {text!r} is not in the archive: its text is too long, {MOST_CHARACTERS:,} characters at most if "
        "each value takes as many as the longest."
        for text in table.too_long
    ]
    if runs.gathered:
        count = len(runs.first)
        notes.append(
            f"{len(table.lines):,} rows are epochs of {count:,} run{'s' * (count != 1)}, told by {runs.told_by}; with "
            "--run '' each row is a model."
        )
    elif not table.network and (network := _repeated(table)):
        notes.append(
            f"Rows of one {network!r} differ in their seed: if it names a network, say --network-column {network}, so "
            "that they are not taken for independent models."
        )
    return notes


def _chosen(column: Any, chosen: Any) -> Any:
    if isinstance(column, Variable):
        return Variable(np.asarray(column.values)[chosen], column.dims, column.attrs)
    return column[chosen]


def _placing(table: Table, lines: NDArray[np.int64]) -> Callable[[int], str]:
    """Say where each model is in the file."""
    return lambda model: f"{table.row} {lines[model]} of {table.file}"


# --- Metrics


class _Wanted(NamedTuple):
    """What is said of a metric: the column, and whether it holds errors, accuracies or another metric."""

    column: str
    kind: Literal["error", "accuracy", "metric"]
    goal: str | None
    unit: str | None
    bounds: tuple[float, float] | None
    grid: float | None


def _wanted(
    error: str | None,
    accuracy: str | None,
    metric: str | Sequence[str],
    goal: str | Sequence[str],
    unit: str | Sequence[str] | None,
    bounds: Any,
    grid: float | Sequence[float],
) -> list[_Wanted]:
    """List the metrics, the default one first."""
    metric = [metric] if isinstance(metric, str) else [*metric]
    if (error is not None and accuracy is not None) or (error is None and accuracy is None and not metric):
        raise EdfkitError(
            "A table is imported by its errors, its accuracies or another metric; name the column of exactly one of "
            "them, by --error, --accuracy or --metric."
        )
    first: list[tuple[str, Any]] = [
        (column, kind) for column, kind in ((error, "error"), (accuracy, "accuracy")) if column is not None
    ]
    for column, kind in first:
        if is_other(column):
            better = "max" if _MAXIMISED.search(column) else "min"
            raise EdfkitError(
                f"{column!r} was given as the {kind}, which is top-1 and in percent, and is by its name another "
                f"metric; write --metric {column} --goal {better} --unit UNIT, such as share, nats or 1."
            )
    named = [*first, *((column, "metric") for column in metric)]
    if twice := [column for column in metric if metric.count(column) > 1]:
        raise EdfkitError(f"--metric {twice[0]} was given twice; give each metric once.")
    bounds = [bounds] if len(bounds) == 2 and not isinstance(bounds[0], Sequence) else [*bounds]
    goals = _each("goal", [goal] if isinstance(goal, str) else [*goal], len(metric))
    said = [unit] if isinstance(unit, str) else [*(unit or ())]
    if first and metric and len(said) == 1 and said[0] not in BOUNDS:
        raise EdfkitError(
            f"--unit was given once, as {said[0]!r}, and the {first[0][1]} {first[0][0]!r} is in percent or share; "
            f"give it for each in turn: --unit percent --unit {said[0]}."
        )
    units = _each("unit", said, len(named))
    limits = _each("bounds", bounds, len(metric))
    grids = _each("grid", [grid] if isinstance(grid, int | float) else [*grid], len(named))
    none = [None] * len(first)
    found = [
        _Wanted(column, kind, *said)
        for (column, kind), *said in zip(named, none + goals, units, none + limits, grids, strict=True)
    ]
    for one in found:
        if one.kind == "metric" and one.goal is None and _MAXIMISED.search(one.column):
            raise EdfkitError(
                f"The goal of {one.column!r} was not given, and by its name large values are the good ones; say so by "
                "--goal max, or --goal min."
            )
    return found


def _each(option: str, given: list[Any], count: int) -> list[Any]:
    """Give a value for each of the metrics: the only one for all."""
    if len(given) not in (0, 1, count):
        raise EdfkitError(f"--{option} was given {len(given)} times for {count} metrics; give it once, or for each.")
    return given if len(given) == count else given * count or [None] * count


def _measured(
    table: Table, wanted: Sequence[_Wanted], runs: Runs, notes: list[str]
) -> tuple[list[Metric], dict[str, Any], NDArray[np.float64] | None, NDArray[np.bool_]]:
    """Give the metrics, their variables, how many steps each run made if that is known, and which of them diverged."""
    metrics: list[Metric] = []
    columns: dict[str, Any] = {}
    broken = np.zeros(len(runs.first), np.bool_)
    made = None
    for one, measure in zip(wanted, table.metrics, strict=True):
        values = np.where(np.isinf(measure.values), np.nan, measure.values)
        broke = measure.broke | np.isinf(measure.values)
        metric, values = _stated(one, measure, values, _placing(table, table.lines[measure.rows]), _names_of(metrics))
        if one.kind == "metric" and one.unit is None and not measure.percent and metric.unit == ERROR.unit:
            notes.append(f"{one.column!r} is taken to be in percent, as its name says; --unit says what else it is in.")
        final = curve = None
        if runs.gathered or measure.counts is not None:
            of, step = (runs.of, runs.step) if measure.counts is None else (measure.rows, measure.places)
            values, final, curve, steps, broke = epochs.curves(values, broke, of, step, len(runs.first), metric.goal)
            made = steps if made is None else made
            if curve is None and not np.isnan(values).all():
                notes.append(
                    f"The curves of {one.column!r} are not in the archive, but the best and last values: its steps are "
                    f"not counted one by one, or are more than {epochs.MOST_EPOCHS:,}."
                )
        if not metrics and table.final is not None:
            final = _final(table, table.final, one, runs)
        columns |= foreign.metric_variables(metric, values, final, curve)
        metrics.append(metric)
        broken |= broke
    return metrics, columns, made, broken


def _stated(
    one: _Wanted,
    measure: Measure,
    values: NDArray[np.float64],
    where: Callable[[int], str],
    taken: set[str],
) -> tuple[Metric, NDArray[np.float64]]:
    """Give a metric by what is said of it and its values, and these as an archive has them."""
    unit = one.unit
    if measure.percent:
        if unit not in (None, "percent"):
            raise EdfkitError(
                f"The values of {one.column!r} have a percent sign, and their unit was given as {unit!r}; leave it out."
            )
        unit = "percent"
    if one.kind != "metric":
        errors = foreign.errors_of(values, one.kind == "accuracy", unit, where)
        return Metric(grid=one.grid), errors
    known = values[~np.isnan(values)]
    low, high = one.bounds or (None, None)
    metric = stated(
        foreign.variable_name(one.column, taken),
        (float(known.min()), float(known.max())) if known.size else None,
        goal=one.goal or "min",
        unit=unit,
        low=low,
        high=high,
        grid=one.grid,
        label=one.column,
    )
    return metric, values


def _names_of(metrics: Sequence[Metric]) -> set[str]:
    """Name what nothing else may be called: the variables that metrics have or may have, and what would have these."""
    names = [metric.name for metric in metrics]
    own = {one for name in names for one in (name, final_of(name), curve_of(name))}
    return own | {name.removesuffix(end) for name in names for end in (final_of(""), curve_of(""))}


def _final(table: Table, measure: Measure, one: _Wanted, runs: Runs) -> NDArray[np.float64]:
    """Give the first metric after the last epoch, of a column of its own."""
    if measure.counts is not None:
        raise EdfkitError(
            f"--final was given a column of curves of {table.file}, expected one of numbers; leave it out."
        )
    values = np.where(np.isinf(measure.values), np.nan, measure.values)
    if one.kind != "metric":
        # The unit is settled by the errors: the last ones of all models can be above 1 only if those are.
        values = foreign.errors_of(values, one.kind == "accuracy", one.unit or "percent", table.where)
    return epochs.last(values, runs)


# --- Outcomes, runs and ids


def _evidence(table: Table, diverged: str | None, runs: Runs, notes: list[str]) -> NDArray[np.bool_]:
    """Tell which models diverged by a loss, or by a column that says so."""
    broke = table.broke.copy()
    if diverged:
        foreign.choose("column", diverged, [*table.columns()], str(table.file))
    for name, values in table.columns().items() if diverged != "" else ():
        if (name != diverged) if diverged else not _BROKEN.search(name):
            continue
        told = _truths(values, numbers=diverged is not None)
        if told is None:
            if diverged:
                raise EdfkitError(
                    f"The column {name!r} was named to say which runs diverged, expected true or false in it; name "
                    "another."
                )
            continue
        broke |= told
        if diverged is None and told.any():
            notes.append(f"Runs with {name!r} true count as diverged; --diverged-column '' does without it.")
    return np.bincount(runs.of[broke], minlength=len(runs.first)) > 0


def _truths(values: NDArray[Any], *, numbers: bool) -> NDArray[np.bool_] | None:
    """Give truth values, false where missing; None if they are others."""
    if values.dtype.kind == "U":
        words = np.char.lower(np.char.strip(values))
        said = np.isin(words, ("true", "false", "yes", "no"))
        return np.isin(words, ("true", "yes")) if said.any() and np.isin(words[~said], [*MISSING]).all() else None
    if not numbers and values.dtype != np.int8:  # as truth values of JSON and Parquet are
        return None
    return values == 1 if np.isin(values[~np.isnan(values)], (0, 1)).all() else None


def _runs_of(table: Table, run: str | None, step: str | None, codes: NDArray[np.intp]) -> Runs:
    """Tell which rows are of one run: each is one, unless rows are epochs."""
    measure, alone = table.metrics[0], epochs.each(len(table.lines))
    if any(one.counts is not None for one in table.metrics):
        if run or step:
            raise EdfkitError(
                f"{table.file} has curves in its rows, and --run and --step are about rows of epochs; leave them out."
            )
        return alone
    settings = [table.used[role] for role in (*COUNTS, "seed", "wd") if role in table.used]
    valued = measure.broke | ~np.isnan(measure.values)
    return epochs.find(str(table.file), table.columns(), valued, run, step, codes, settings) or alone


def _repeated(table: Table) -> str | None:
    """Find the column of text whose values come again, each time with another seed."""
    seeds = table.roles.get("seed")
    for name, values in table.extras.items() if seeds is not None else ():
        if values.dtype.kind == "U" and (values != "").all():
            hashes = {"x": values}, {"x": values, "seed": np.asarray(seeds)}
            distinct, with_seed = (len(np.unique(row_hashes(columns))) for columns in hashes)
            if 1 < distinct < with_seed == len(values):
                return name
    return None


def _ids_of(table: Table, runs: Runs) -> NDArray[Any]:
    """Give models their ids: those of the table, the names of the runs, or numbers from 1."""
    if "id" in table.roles:
        return epochs.last(table.roles["id"], runs)
    if runs.gathered and runs.column is not None:
        return table.columns()[runs.column][runs.first].astype(str)
    return np.arange(1, len(runs.first) + 1).astype(str)


def _check_scales(table: Table) -> None:
    """Check that what counts parameters and the like does not seem to count thousands or millions of them."""
    for role in COUNTS:
        values = table.roles.get(role)
        if values is None or role in table.multiplied:
            continue
        known = np.flatnonzero(~np.isnan(values))
        parts = known[values[known] % 1 != 0]
        if parts.size and values[known].max() < _LARGE:
            column = table.used[role]
            raise EdfkitError(
                f"{table.where(int(parts[0]))} has the {role} {values[parts[0]]:g}, expected a whole number, "
                f"as {role} are counts; say what they are counted in by --{role} '{column}*1e6' (millions), or write "
                f"--{role} '{column}*1' to keep them."
            )
