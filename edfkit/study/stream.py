"""The compare study of populations that do not fit in memory: tables counted part by part, here or on a cluster."""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from edfkit.mix import holm
from edfkit.study.compare import Comparison, Pair
from edfkit.study.selection import Population, Selection, check_names
from edfkit.table import Table, compare_tables, summarize_table, tabulate_populations

AT_MOST = 5_000_000
"""Models of a population that are compared in memory, where each takes some 200 bytes."""


def stream_populations(
    path: str | os.PathLike[str],
    names: Sequence[str],
    *,
    given: str = "params",
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
    given : {"params", "flops", "macs", "acts", "none"}
        The complexity to control for.
    area_to : float
        Right end of the area under the EDF, percent.
    scheduler : str, optional
        Address of the scheduler of a Dask cluster that counts; all its workers have the archive at the same path.
    **options
        `bins`, `range`, `error`, `diverged`, see `selection.select`.

    Returns
    -------
    Comparison
        Without bands, tails, mix and permutations. The errors of its populations are the distinct ones, by bin.

    Raises
    ------
    EdfkitError
        See `table.tabulate_populations`.
    """
    check_names(names)
    tables = tabulate_populations(path, names, given=given, scheduler=scheduler, **options)
    terms = next(iter(tables.values())).terms
    members = [_population(name, table, area_to) for name, table in tables.items()]
    selection = Selection(given, terms.error, terms.diverged, terms.bins, terms.range, members)
    pairs = []
    for a, b in combinations(tables, 2):
        found = compare_tables(tables[a], tables[b], (a, b), area_to=area_to)
        test, better = found.test, found.prob_a_better
        pairs.append(Pair(a, b, test, test.p_value, better, found.verdict, found.crossings, None, None, None, None))
    adjusted = holm([pair.test.p_value for pair in pairs]).tolist()
    pairs = [replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True)]
    return Comparison(selection, pairs, [], None, [])


def _population(name: str, table: Table, area_to: float) -> Population:
    errors, weights = table.to_sample()
    left_out = {reason: count for reason, count in table.left_out.items() if count}
    rows = np.zeros(0, np.intp)
    return Population(name, errors, weights, None, rows, table.diverged, left_out, summarize_table(table, area_to))
