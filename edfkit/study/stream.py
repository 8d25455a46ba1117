"""The compare study of populations that do not fit in memory: tables counted part by part, here or on a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any, Unpack

import numpy as np

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.stats.bins import EmptyBinsError
from edfkit.stats.two_sample import summarize
from edfkit.study.compare import (
    SENSITIVE_TO,
    Comparison,
    Inference,
    Options,
    Sample,
    Setting,
    check_sensitive,
    compare_populations,
    compare_selected,
    setting,
    ways,
)
from edfkit.study.counting import Cells, Table, Where, count_cells, opened, tabulate_ways
from edfkit.study.selection import Population, Selection, Source, check_names, chosen_on_test, summary_of
from edfkit.study.settings import Control, SelectionKeywords, settle, split
from edfkit.study.units import Units, find_units, sharing

AT_MOST = 5_000_000
"""Models of a population that are compared in memory, where each takes some 200 bytes."""


class _Keywords(SelectionKeywords, Options, total=False):
    sensitive: bool


def compare(
    source: Source,
    names: Sequence[str],
    *,
    stream: bool = False,
    scheduler: str | None = None,
    **settings: Unpack[_Keywords],
) -> Comparison:
    """Compare populations as `compare_populations` does, in chunks where they are large.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least two, each once.
    stream : bool
        Whether to count in chunks whatever the size; else above `AT_MOST` models of a population.
    scheduler : str, optional
        Count on the Dask cluster with the scheduler at this address.
    **settings
        As in `compare.compare_populations`.

    Returns
    -------
    Comparison

    Raises
    ------
    EdfkitError
        See `compare.compare_populations` and `stream_populations`.
    """
    names = list(names)
    if len(names) < 2:
        raise EdfkitError(f"names: {len(names)} populations were named, expected two or more; name them.")
    # An archive that is open stays so, as opening one at an address transfers much of it.
    place = source if isinstance(source, Archive) else getattr(source, "path", None)
    large = place is not None and max(map(source.models, names)) > AT_MOST
    if not (stream or scheduler or large):
        return compare_populations(source, names, **settings)
    if place is None:
        raise EdfkitError(
            "stream: these populations are in memory, expected an archive; leave out stream and scheduler."
        )
    return stream_populations(place, names, scheduler=scheduler, **settings)


def stream_populations(
    archive: Where,
    names: Sequence[str],
    *,
    scheduler: str | None = None,
    **settings: Unpack[_Keywords],
) -> Comparison:
    """Compare populations of any size, read in chunks, with the numbers that `compare_populations` gives.

    Memory grows with the number of different errors and complexities, and not with that of variables or models.

    Parameters
    ----------
    archive : Archive or path-like
        Open, or the file or address.
    names : sequence of str
        At least one population, each once.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster that counts; all its workers have the archive at the same path.
    **settings
        As in `compare.compare_populations`; the error is "best" or "final". `sensitive` needs no second pass over the
        archive.

    Returns
    -------
    Comparison
        Its populations are counted: each error is one that some models of a bin have.

    Raises
    ------
    EdfkitError
        See `counting.tabulate_ways`, `selection.select` and `compare.compare_selected`.
    """
    inference, others = split(settings, Inference)
    area_to, sensitive = others.pop("area_to", 50.0), others.pop("sensitive", False)
    reading, control = settle("stream_populations", others, Control())
    names = check_names(names)
    if sensitive:
        check_sensitive(names)
    ways_to = dict.fromkeys(SENSITIVE_TO, ways) if sensitive else {}
    with opened(archive) as source:
        units = {name: find_units(source, name) for name in names}
        if any(one is not None and one.repeated for one in units.values()) or _paired(units):
            # Such populations are small enough to be looked for, and their rows have to be told apart.
            return compare_populations(
                source, names, reading=reading, control=control, area_to=area_to, sensitive=sensitive, **inference
            )
        chosen = any(map(partial(chosen_on_test, source), names)) and reading.error == "best"
        where: Where = source if scheduler is None else archive
        counted = {
            name: count_cells(where, name, control.columns, **vars(reading), scheduler=scheduler) for name in names
        }
        other_ways: dict[str, dict[str, Table]] = {}
        if control.binned or ways_to:
            binned = control if control.binned else Control("none")
            terms: dict[str, Any] = {"given": binned.given, "bins": binned.bins, "range": binned.range}
            tables, other_ways = tabulate_ways(where, names, ways_to, **terms, **vars(reading), scheduler=scheduler)
    if control.binned:
        agreed = next(iter(tables.values())).terms
        members = [_population(name, table, counted[name], area_to) for name, table in tables.items()]
        selection = Selection(control.given, reading.error, reading.diverged, agreed.bins, agreed.range, members)
    else:
        members = [_unweighted(name, one, area_to) for name, one in counted.items()]
        selection = Selection(
            control.given, reading.error, reading.diverged, None, None, members, control.strata, chosen
        )
    members = [replace(one, units=units[one.name]) for one in members]
    result = compare_selected(replace(selection, populations=members, chosen_on_test=chosen), **inference)
    return replace(
        result, settings=[one for given, tables in other_ways.items() for one in _other_settings(given, tables)]
    )


def _paired(units: Mapping[str, Units | None]) -> bool:
    """Tell whether two populations hold the same units."""
    return any(sharing(a, b, units[a], units[b]).paired for a, b in combinations(units, 2))


def _other_settings(given: str, tables: dict[str, Table]) -> Iterator[Setting]:
    """Compare two populations in all the ways in which they were counted."""
    for number, range in next(iter(tables.values())).terms.ways:
        try:
            one, other = (_sample(name, table.binned(number, range)) for name, table in tables.items())
        except EmptyBinsError:
            yield setting(given, number, range)
        else:
            yield setting(given, number, range, one, other)


def _sample(name: str, table: Table) -> Sample:
    errors, weights, _, counts = table.to_sample()
    return name, errors, weights, counts


def _population(name: str, table: Table, counted: Cells, area_to: float) -> Population:
    errors, weights, bins, counts = table.to_sample()
    summary, rows = summarize(errors, weights, area_to, counts=counts), np.zeros(0, np.intp)
    lo, hi = table.terms.range or (-np.inf, np.inf)
    inside = (counted.complexity[:, 0] >= lo) & (counted.complexity[:, 0] <= hi)
    own = counted.errors[inside], counted.complexity[inside], counted.counts[inside]
    return Population(name, errors, weights, bins, rows, table.diverged, table.left_out, summary, counts, cells=own)


def _unweighted(name: str, counted: Cells, area_to: float) -> Population:
    left_out = {"failed": counted.failed, "diverged": counted.dropped}
    return Population(
        name,
        counted.errors,
        None,
        None,
        np.zeros(0, np.intp),
        counted.diverged,
        {reason: count for reason, count in left_out.items() if count},
        summary_of(counted.errors, counted.counts, area_to),
        counted.counts,
        complexity=counted.complexity if counted.complexity.shape[1] else None,
    )
