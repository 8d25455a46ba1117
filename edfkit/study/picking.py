"""Searches that pick their best run by another metric than the one that is reported.

The best of m runs is the one that is best by the other metric, and what counts is its value of the one that is
reported: at the epoch that is best by the other metric too, where all populations have both after each epoch.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edfkit import EdfkitError
from edfkit.archive.schema import Status
from edfkit.metric import Metric
from edfkit.stats.edf import Floats
from edfkit.stats.sample import tied
from edfkit.study.counting import Counted
from edfkit.study.selection import Population, Selection, common_metric, error_column, without_curves
from edfkit.study.settings import AS_WORST, Reading


def picking(source: Counted, names: Sequence[str], reading: Reading) -> tuple[Reading, Metric | None]:
    """Say how values are read, and by which other metric the best run is picked, if by any.

    Parameters
    ----------
    source : Counted
    names : sequence of str
        Populations.
    reading : Reading

    Returns
    -------
    reading : Reading
        Without a metric to select by, where that picks no epochs.
    picked_by : Metric or None

    Raises
    ------
    EdfkitError
        If there is no such metric, and see `edfkit.study.selection.common_metric`.
    """
    if reading.select is None:
        return reading, None
    metric = common_metric(source, names, reading)
    by = common_metric(source, names, replace(reading, metric=reading.select))
    if by.name == metric.name:
        return reading, None
    epochs = reading.error == "best" and not any(without_curves(source, name, metric, by) for name in names)
    return (reading if epochs else replace(reading, select=None)), by


def columns(source: Counted, name: str, reading: Reading, picked_by: Metric | None) -> list[str]:
    """List the other columns that picking runs takes, the last ones of those that are asked for.

    Parameters
    ----------
    source : Counted
    name : str
        Any of the populations.
    reading : Reading
    picked_by : Metric or None

    Returns
    -------
    list of str
    """
    if picked_by is None:
        return []
    return [error_column(source, name, replace(reading, metric=picked_by.name)), "status"]


def pickable(found: Selection, picked_by: Metric | None, reading: Reading) -> Selection:
    """Put oriented values that pick runs in the place of `columns`; runs that count as the worst do so here too.

    Parameters
    ----------
    found : Selection
    picked_by : Metric or None
    reading : Reading

    Returns
    -------
    Selection

    Raises
    ------
    EdfkitError
        If such a value is not known of a run that has one of the metric that is reported.
    """
    if picked_by is None:
        return found
    return replace(found, populations=[_pickable(one, picked_by, reading) for one in found.populations])


def _pickable(member: Population, by: Metric, reading: Reading) -> Population:
    assert member.also is not None
    values, status = by.turned(member.also[:, -2]).copy(), member.also[:, -1]
    diverged, finished = status == Status.DIVERGED, status == Status.FINISHED
    worst = diverged & (np.isnan(values) | (reading.diverged in AS_WORST))
    if reading.stopped == "worst":
        worst |= status == Status.STOPPED
    values[worst] = by.worst
    unknown = np.isnan(values)
    if reading.failed != "drop":
        values[unknown & ~finished] = by.best if reading.failed == "best" else by.worst
        unknown &= finished
    if unknown.any():
        number = np.count_nonzero(unknown) if member.counts is None else member.counts[unknown].sum()
        raise EdfkitError(
            f"select: runs were to be picked by {by.label}, and that of {number:,} of the {member.models:,} "
            f"{member.name} models is not known; leave them out (--where, edfkit subset), or pick by another metric."
        )
    return replace(member, also=np.column_stack([member.also[:, :-2], *tied(values, grid=by.grid)]))


def deciding(*members: Population) -> Floats:
    """Give the values by which the runs of populations are picked, one population after the other.

    Parameters
    ----------
    *members : Population
        As `pickable` gives them.

    Returns
    -------
    ndarray
        Oriented.
    """
    return np.concatenate([one.also[:, -1] for one in members if one.also is not None])
