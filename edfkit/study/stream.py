"""The compare study of populations that do not fit in memory: tables counted part by part, here or on a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Unpack

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
from edfkit.study.counting import Table, Where, tabulate_ways
from edfkit.study.selection import Population, Selection, Source, check_names
from edfkit.study.settings import Control, SelectionKeywords, settle, split

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
    """Compare populations as `compare_populations` does, in bounded memory where they are large.

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
    """Compare populations of any size in bounded memory, with the numbers that `compare_populations` gives.

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
    tables, other_ways = tabulate_ways(
        archive,
        names,
        dict.fromkeys(SENSITIVE_TO, ways) if sensitive else {},
        **vars(control),
        **vars(reading),
        scheduler=scheduler,
    )
    terms = next(iter(tables.values())).terms
    members = [_population(name, table, area_to) for name, table in tables.items()]
    selection = Selection(control.given, reading.error, reading.diverged, terms.bins, terms.range, members)
    result = compare_selected(selection, **inference)
    return replace(
        result, settings=[one for given, counted in other_ways.items() for one in _other_settings(given, counted)]
    )


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


def _population(name: str, table: Table, area_to: float) -> Population:
    errors, weights, bins, counts = table.to_sample()
    summary, rows = summarize(errors, weights, area_to, counts=counts), np.zeros(0, np.intp)
    return Population(name, errors, weights, bins, rows, table.diverged, table.left_out, summary, counts)
