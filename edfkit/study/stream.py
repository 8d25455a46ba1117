"""The compare study of populations that do not fit in memory: tables counted part by part, here or on a cluster."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from edfkit import EdfkitError
from edfkit.compare import summarize
from edfkit.study.compare import Comparison, compare_selected
from edfkit.study.selection import Population, Selection, check_names
from edfkit.table import Table, tabulate_populations

AT_MOST = 5_000_000
"""Models of a population that are compared in memory, where each takes some 200 bytes."""


def stream_populations(
    path: str | os.PathLike[str],
    names: Sequence[str],
    *,
    given: str = "params",
    bins: int | None = None,
    range: tuple[float, float] | None = None,
    error: str = "best",
    diverged: str = "keep",
    area_to: float = 50.0,
    scheduler: str | None = None,
    **options: Any,
) -> Comparison:
    """Compare populations of any size in bounded memory, with the numbers that `compare_populations` gives.

    Parameters
    ----------
    path : path-like
        The archive.
    names : sequence of str
        At least one population, each once.
    given, bins, range, error, diverged, area_to
        Which models take part and how, see `selection.select`. The error is "best" or "final".
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
        See `table.tabulate_populations`, `selection.select` and `compare.compare_selected`.
    """
    if given == "none" and (bins is not None or range is not None):
        raise EdfkitError("Bins and range belong to a complexity, and given is none; leave them out, or name one.")
    tables = tabulate_populations(
        path,
        check_names(names),
        given=given,
        bins=bins,
        range=range,
        error=error,
        diverged=diverged,
        scheduler=scheduler,
    )
    terms = next(iter(tables.values())).terms
    members = [_population(name, table, area_to) for name, table in tables.items()]
    return compare_selected(Selection(given, error, diverged, terms.bins, terms.range, members), **options)


def _population(name: str, table: Table, area_to: float) -> Population:
    errors, weights, bins, counts = table.to_sample()
    summary, rows = summarize(errors, weights, area_to, counts=counts), np.zeros(0, np.intp)
    return Population(name, errors, weights, bins, rows, table.diverged, table.left_out, summary, counts)
