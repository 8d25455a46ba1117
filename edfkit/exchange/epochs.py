"""Rows of epochs: tables with a row for each epoch of each run, and their curves.

Which rows are of one run is said, or told by what such tables have: a column of steps that each run counts up from the
same first one, and a column that names the run, or else the configurations. A table of models that happens to have a
column called epoch is not taken for such a table: there, models do not start at one epoch and count up.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.schema import row_hashes
from edfkit.exchange.foreign import choose
from edfkit.metric import is_other, is_percentage

MOST_EPOCHS = 10_000
_MOST_VALUES = 2**27  # of all curves together
# In this order: a run that has several rows for an epoch has them for several steps.
_STEPS = ("training_iteration", "epoch", "epochs_trained", "trainer/global_step", "global_step", "step", "_step",
          "iteration", "iter")  # fmt: skip
_MADE = "training_iteration"  # in a table of models, how many steps each made
_RUNS = ("trial_id", "run_id", "experiment_id", "run", "run_name", "trial", "trial_name", "experiment", "name",
         "version", "job_id", "model_id", "uuid", "id")  # fmt: skip
_PHASES = ("phase", "split", "mode", "stage", "subset", "set", "partition", "state", "status", "done")
_SEARCH = ("iteration", "iter", "step")  # a search for networks counts its models so too
_CONFIG = re.compile(r"(config|params?|hparams|hp|hyperparameters)[/._].+")
_TIME = re.compile(r"(^|[^a-z])(time|date|seconds|elapsed|duration|runtime|created|wall)", re.IGNORECASE)
_MEASURED = re.compile(r"(^|[^a-z])(grad|gradient|step|epoch|iter|loss)", re.IGNORECASE)
_RATE = re.compile(r"(^|[^a-z])(lr|learning[ _-]?rate)", re.IGNORECASE)


class Runs(NamedTuple):
    """Which rows are of which run.

    Attributes
    ----------
    of : ndarray of int, shape (rows,)
        The run of each row; runs are in the order of their first rows.
    first : ndarray of int, shape (runs,)
        The first row of each.
    step : ndarray, shape (rows,)
        The epoch or step of each row.
    column : str or None
        The column that names the run.
    told_by : str
        What they were told by, in words.
    """

    of: NDArray[np.intp]
    first: NDArray[np.intp]
    step: NDArray[np.float64]
    column: str | None = None
    told_by: str = ""

    @property
    def gathered(self) -> bool:
        """Whether some run has several rows."""
        return len(self.first) < len(self.of)


def each(rows: int) -> Runs:
    """Take each row as a run."""
    return Runs(np.arange(rows), np.arange(rows), np.zeros(rows))


class Curves(NamedTuple):
    """The values of a metric of each run.

    Attributes
    ----------
    best, final : ndarray, shape (runs,)
        NaN where a run has no value.
    curve : ndarray, shape (runs, epochs), or None
        None where the steps are not counted one by one, or are too many.
    steps : ndarray, shape (2, runs)
        At how many steps each has a value, and the last of them.
    broke : ndarray of bool, shape (runs,)
        Whether a value of it is NaN, written as such, or infinite.
    """

    best: NDArray[np.float64]
    final: NDArray[np.float64]
    curve: NDArray[np.float64] | None
    steps: NDArray[np.float64]
    broke: NDArray[np.bool_]


def curves(
    values: NDArray[np.float64],
    broke: NDArray[np.bool_],
    run: NDArray[np.intp],
    step: NDArray[np.float64],
    runs: int,
    goal: Literal["min", "max"],
) -> Curves:
    """Gather values into curves; those missing are skipped.

    Parameters
    ----------
    values, broke : ndarray, shape (rows,)
        Values, and where one is evidence that the run diverged.
    run, step : ndarray, shape (rows,)
        Of each value; a run has one value for a step.
    runs : int
        How many there are.
    goal : {"min", "max"}
        Which value is the best.
    """
    broken = broke | np.isinf(values)
    valued = broken | ~np.isnan(values)
    made = np.stack([np.bincount(run[valued], minlength=runs), np.full(runs, -np.inf)])
    np.maximum.at(made[1], run[valued], step[valued])
    order = np.lexsort((step, run))
    order = order[np.isfinite(values[order])]
    of, at, known = run[order], step[order], values[order]
    best, final = np.full((2, runs), np.nan)
    (np.fmin if goal == "min" else np.fmax).at(best, of, known)
    final[of] = known  # the last one of each stays
    places = np.unique(step[valued])
    curve = None
    counted = places.size > 0 and bool((np.diff(places) == 1).all())
    if counted and places.size <= MOST_EPOCHS and places.size * runs <= _MOST_VALUES:
        curve = np.full((runs, places.size), np.nan)
        curve[of, (at - places[0]).astype(np.intp)] = known
    return Curves(best, final, curve, made, np.bincount(run[broken], minlength=runs) > 0)


def last(values: NDArray[Any], runs: Runs) -> NDArray[Any]:
    """Give the last value of each run that is not missing: the only one, of a setting of the run."""
    if not runs.gathered:
        return values
    order = np.lexsort((np.arange(len(values)), np.nan_to_num(runs.step, nan=-np.inf), runs.of))
    order = order[~_missing(values)[order]]
    place = runs.first.copy()
    place[runs.of[order]] = order
    return values[place]


def find(
    where: str,
    columns: Mapping[str, NDArray[Any]],
    valued: NDArray[np.bool_],
    run: str | None,
    step: str | None,
    apart: NDArray[np.intp],
    settings: Sequence[str],
) -> Runs | None:
    """Tell whether rows are epochs, and of which runs.

    Parameters
    ----------
    where : str
        The table, for messages.
    columns : mapping of str to ndarray, shape (rows,)
        All columns that are known, by their names.
    valued : ndarray of bool, shape (rows,)
        Which rows have a value of the metric.
    run, step : str or None
        The columns that are named for them; "" for none.
    apart : ndarray of int, shape (rows,)
        What parts rows besides: those of one run have it equal.
    settings : sequence of str
        Columns that describe a network or its training, besides those whose names tell so.

    Returns
    -------
    Runs or None
        None if each row is a model.

    Raises
    ------
    EdfkitError
        If a column is missing, or rows are epochs and it is not clear of which run.
    """
    for name in (run, step):
        if name:
            choose("column", name, [*columns], where)
    if run == "" or (step == "" and not run):
        return None
    steps = {name: values for name in _named(columns, _STEPS, step) if (values := _counts(columns[name])) is not None}
    if step and not steps:
        raise EdfkitError(
            f"{where}: the column {step!r} has values that are no whole numbers, expected steps; name another."
        )
    if not steps and not run:
        return None
    sure = run is not None or step is not None
    named = _named(columns, _RUNS, run)
    varied = [name for name in columns if _varies(columns[name]) and name not in steps]
    config = [name for name in varied if name in settings or _CONFIG.fullmatch(name.lower())]
    texts = [name for name in varied if columns[name].dtype.kind == "U" and not _within_run(name)]
    unclear = step or None
    for names in [*([name] for name in named), *([config, [*config, *texts, *named]] if not run else [])]:
        if not names and not _varies(apart):
            continue
        names = [*dict.fromkeys(names)]
        of = _codes(row_hashes({"apart": apart} | {f"x {name}": columns[name] for name in names}))
        column = names[0] if len(names) == 1 and names[0] not in config else None
        told_by = f"the column {column!r}" if column else "equal " + ", ".join(map(repr, names[:4] or ["population"]))
        if of.max() + 1 == len(of):
            if column in named:  # each row is a run of its own
                return None
        elif not steps:
            return _runs(of, _within(of), column, f"{told_by}, in the order of the rows")
        else:
            found = _counting(of, steps, valued, sure=sure, ordered=column not in named)
            if found is not None and found[1]:
                return _runs(of, steps[found[0]], column, f"{told_by} and {found[0]!r}")
            if found is not None and run:
                raise EdfkitError(
                    f"{where} has several rows of one {run!r} for one {found[0]!r}, as of a run that was started "
                    "again; leave all but one out, or name a column that counts them apart by --step."
                )
            unclear = unclear or (found and found[0])
    if not (run or config or _varies(apart)):
        for name, values in steps.items():
            if (alone := _alone(columns, name, values, valued, sure=sure)) is not None:
                if alone:
                    return _runs(np.zeros(len(valued), np.intp), values, None, f"the column {name!r}, which counts up")
                unclear = unclear or name
    if unclear:
        raise EdfkitError(
            f"{where} seems to have a row for each epoch, by its column {unclear!r}, and it is not clear which rows "
            "are of one run; name the column that tells runs apart by --run, and the one that counts the epochs by "
            "--step, or say --run '' if each row is a model."
        )
    return None


def _counting(
    of: NDArray[np.intp],
    steps: Mapping[str, NDArray[np.float64]],
    valued: NDArray[np.bool_],
    *,
    sure: bool,
    ordered: bool,
) -> tuple[str, bool] | None:
    """Find the column of steps that runs count up, and tell whether each has one value for a step.

    None if there is none. Where `ordered`, they count up in the order of the rows.
    """
    repeated = None
    for name, values in steps.items():
        run, step = of[valued], values[valued]
        if not sure and not _counted_up(run, step, ordered):
            continue
        order = np.lexsort((step, run))
        again = (np.diff(run[order]) == 0) & (np.diff(step[order]) == 0)
        if not np.isnan(step).any() and not again.any():
            return name, True
        repeated = repeated or (name, False)
    return repeated


def _counted_up(of: NDArray[np.intp], step: NDArray[np.float64], ordered: bool) -> bool:
    """Tell whether most rows are of runs that begin at the first step there is and go on from it."""
    if not of.size or np.isnan(step).any():
        return False
    runs = of.max() + 1
    low, high = np.full(runs, np.inf), np.full(runs, -np.inf)
    np.minimum.at(low, of, step)
    np.maximum.at(high, of, step)
    begun = (low == step.min()) & (high > low)
    if ordered or runs == 1:
        order = np.argsort(of, kind="stable")
        at, run = step[order], of[order]
        down = (np.diff(run, prepend=-1) != 0) | (np.diff(at, prepend=at[0]) < 0)
        if (down & (at != low[run]) & begun[run]).any():  # and not back to the first step, as of a run once more
            return False
    return bool(2 * begun[of].sum() > of.size)


def _alone(
    columns: Mapping[str, NDArray[Any]],
    name: str,
    step: NDArray[np.float64],
    valued: NDArray[np.bool_],
    *,
    sure: bool,
) -> bool | None:
    """Tell whether all rows are of one run; None if they are models, False if that is not clear."""
    at = step[valued]
    if at.size < 2 or np.isnan(at).any():
        return None
    ups = np.diff(at)
    starts = np.flatnonzero(ups < 0) + 1
    again = starts.size and (at[starts] == at[0]).all() and np.diff([0, *starts, at.size]).min() > 1
    if not ups.any() or (starts.size and not again):
        return None
    others = [other for other in columns if other != name and _varies(columns[other]) and not _within_run(other)]
    if not sure and any(columns[other].dtype.kind == "U" for other in others):
        return None
    if (ups <= 0).any():
        return False
    if sure or _plain(name) not in _SEARCH or any(_plain(other) in _STEPS for other in others):
        return True
    # A search counts its models so too: its learning rates tell, or else nothing does.
    rates = [other for other in others if _RATE.search(other)]
    if not all(_scheduled(columns[rate]) for rate in rates):
        return None
    others = [other for other in others if other not in rates]
    return all(is_percentage(one) or is_other(one) or _MEASURED.search(one) for one in others)


def _within_run(name: str) -> bool:
    """Tell whether a column is by its name one that differs within a run."""
    return bool(_TIME.search(name)) or _plain(name) in _PHASES


def _scheduled(rates: NDArray[Any]) -> bool:
    """Tell whether learning rates go up and down at most once each, as those of one run do."""
    ways = np.sign(np.diff(rates[~np.isnan(rates)]))
    return int((np.diff(ways[ways != 0]) != 0).sum()) <= 1


def _runs(of: NDArray[np.intp], step: NDArray[np.float64], column: str | None, told_by: str) -> Runs:
    _, first = np.unique(of, return_index=True)
    return Runs(of, first, step, column, told_by)


def made(columns: Mapping[str, NDArray[Any]], step: str | None) -> NDArray[np.float64] | None:
    """Give how many steps each model made, in a table of models; None if no column says it."""
    named = [step] if step else [name for name in columns if step is None and _plain(name) == _MADE]
    return _counts(columns[named[0]]) if named else None


def _plain(name: str) -> str:
    return re.sub(r"[ -]+", "_", name.strip().lower())


def _named(columns: Mapping[str, NDArray[Any]], known: Sequence[str], given: str | None) -> list[str]:
    """List the columns that a role may have, in the order in which they are tried."""
    if given is not None:
        return [given] if given else []
    return sorted((name for name in columns if _plain(name) in known), key=lambda name: known.index(_plain(name)))


def _counts(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Give the values if they are whole numbers, NaN where missing."""
    if values.dtype.kind not in "iuf":
        return None
    numbers = values.astype(float)
    return numbers if (np.isnan(numbers) | (numbers % 1 == 0)).all() and not np.isnan(numbers).all() else None


def _codes(values: NDArray[Any]) -> NDArray[np.intp]:
    """Give equal values one number, in the order in which they come."""
    _, first, codes = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes]


def _within(of: NDArray[np.intp]) -> NDArray[np.float64]:
    """Count the rows of each run, from 0."""
    order = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.diff(of[order], prepend=-1))
    count = np.empty(len(of))
    count[order] = np.arange(len(of)) - np.repeat(starts, np.diff([*starts, len(of)]))
    return count


def _varies(values: NDArray[Any]) -> bool:
    """Tell whether two values differ, those missing aside."""
    known = values[~_missing(values)]
    return bool(known.size and (known != known[0]).any())


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which values are missing."""
    missing: NDArray[np.bool_] = np.zeros(len(values), np.bool_)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype.kind == "U":
        missing = values == ""
    return missing
