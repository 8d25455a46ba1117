"""The compare study of populations that do not fit in memory: tables counted part by part, here or on a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edfkit import EdfkitError
from edfkit.stats.bins import EmptyBinsError
from edfkit.stats.two_sample import summarize
from edfkit.study.compare import (
    SENSITIVE_TO,
    Comparison,
    Sample,
    Setting,
    check_sensitive,
    compare_selected,
    setting,
    ways,
)
from edfkit.study.counting import Table, Where, tabulate_ways
from edfkit.study.selection import Population, Selection, check_names

AT_MOST = 5_000_000
"""Models of a population that are compared in memory, where each takes some 200 bytes."""


def stream_populations(
    archive: Where,
    names: Sequence[str],
    *,
    given: str = "params",
    bins: int | None = None,
    range: tuple[float, float] | None = None,
    error: str = "best",
    diverged: str = "keep",
    area_to: float = 50.0,
    sensitive: bool = False,
    scheduler: str | None = None,
    **options: Any,
) -> Comparison:
    """Compare populations of any size in bounded memory, with the numbers that `compare_populations` gives.

    Parameters
    ----------
    archive : Archive or path-like
        Open, or the file or address.
    names : sequence of str
        At least one population, each once.
    given, bins, range, error, diverged, area_to
        Which models take part and how, see `selection.select`. The error is "best" or "final".
    sensitive : bool
        Whether to repeat the comparison of two populations in other settings, see `compare.sensitivity`; the models are
        read no more often.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster that counts; all its workers have the archive at the same path.
    **options
        `permutations`, `seed`, `confidence`, `best_share`, see `compare.compare_populations`.

    Returns
    -------
    Comparison
        Its populations are counted: each error is one that some models of a bin have.

    Raises
    ------
    EdfkitError
        See `table.tabulate_ways`, `selection.select` and `compare.compare_selected`.
    """
    if given == "none" and (bins is not None or range is not None):
        raise EdfkitError("Bins and range belong to a complexity, and given is none; leave them out, or name one.")
    names = check_names(names)
    if sensitive:
        check_sensitive(names)
    tables, others = tabulate_ways(
        archive,
        names,
        dict.fromkeys(SENSITIVE_TO, ways) if sensitive else {},
        given=given,
        bins=bins,
        range=range,
        error=error,
        diverged=diverged,
        scheduler=scheduler,
    )
    terms = next(iter(tables.values())).terms
    members = [_population(name, table, area_to) for name, table in tables.items()]
    result = compare_selected(Selection(given, error, diverged, terms.bins, terms.range, members), **options)
    return replace(result, settings=[one for given, two in others.items() for one in _settings(given, two)])


def _settings(given: str, tables: dict[str, Table]) -> Iterator[Setting]:
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
