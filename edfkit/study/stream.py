"""The compare study of populations that do not fit in memory: tables counted part by part, here or on a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any, Unpack

import numpy as np

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.stats.two_sample import summarize
from edfkit.study.compare import Comparison, Inference, Options, compare_populations, compare_selected, take_part
from edfkit.study.counting import Cells, Table, Where, count_cells, opened, tabulate_populations
from edfkit.study.selection import Population, Selection, Source, check_names, chosen_on_test, summary_of
from edfkit.study.sensitivity import Take, check_two, sensitivity
from edfkit.study.settings import Control, Reading, SelectionKeywords, settle, split
from edfkit.study.units import Units, find_units, sharing

AT_MOST = 5_000_000
"""Models of a population that are compared in memory, where each takes some 200 bytes."""


class _Keywords(SelectionKeywords, Options, total=False):
    pass


def compare(
    source: Source,
    names: Sequence[str],
    *,
    stream: bool = False,
    scheduler: str | None = None,
    sensitive: bool = False,
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
    sensitive : bool
        Whether to estimate the difference of two populations in other settings too, see `edfkit.study.sensitivity`.
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
    if sensitive:
        check_two(names)
    # An archive that is open stays so, as opening one at an address transfers much of it.
    place = source if isinstance(source, Archive) else getattr(source, "path", None)
    large = place is not None and max(map(source.models, names)) > AT_MOST
    chunks = stream or scheduler is not None or large
    take: Take | None = None
    if not chunks:
        result = compare_populations(source, names, **settings)
    elif place is None:
        raise EdfkitError(
            "stream: these populations are in memory, expected an archive; leave out stream and scheduler."
        )
    else:
        result = stream_populations(place, names, scheduler=scheduler, **settings)
        take = partial(_counted, place, names, scheduler)
    if not sensitive:
        return result
    inference, others = split(settings, Options)
    reading, control = settle("compare", others, Control())
    confidence = inference.get("confidence", 0.95)
    return replace(result, settings=sensitivity(source, names, reading, control, confidence=confidence, take=take))


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
        As in `compare.compare_populations`; the error is "best" or "final".

    Returns
    -------
    Comparison
        Its populations are counted: each error is one that some models of a bin have.

    Raises
    ------
    EdfkitError
        See `counting.tabulate_populations`, `selection.select` and `compare.compare_selected`.
    """
    inference, others = split(settings, Inference)
    area_to = others.pop("area_to", 50.0)
    reading, control = settle("stream_populations", others, Control())
    return compare_selected(_counted(archive, names, scheduler, reading, control, area_to), **inference)


def _counted(
    archive: Where,
    names: Sequence[str],
    scheduler: str | None,
    reading: Reading,
    control: Control,
    area_to: float = 50.0,
) -> Selection:
    """Select the models of populations as `compare.take_part` does, counted in chunks."""
    names = check_names(names)
    how: dict[str, Any] = {"error": reading.error, "diverged": reading.diverged, "scheduler": scheduler}
    tables: dict[str, Table] = {}
    with opened(archive) as source:
        if reading.failed != "drop":  # which is not counted
            if max(map(source.models, names)) > AT_MOST:
                raise EdfkitError("Failed runs are left out of populations of this size; take fewer models.")
            return take_part(source, names, reading, control, area_to)
        units = {name: find_units(source, name) for name in names}
        if any(one is not None and one.repeated for one in units.values()) or _paired(units):
            # Such populations are small enough to be looked for, and their rows have to be told apart.
            return take_part(source, names, reading, control, area_to)
        chosen = any(map(partial(chosen_on_test, source), names)) and reading.error == "best"
        where: Where = source if scheduler is None else archive
        counted = {name: count_cells(where, name, control.columns, **how) for name in names}
        if control.binned:
            terms: dict[str, Any] = {"given": control.given, "bins": control.bins, "range": control.range}
            tables = tabulate_populations(where, names, **terms, **how)
    bins, range = None, None
    if control.binned:
        agreed = next(iter(tables.values())).terms
        bins, range = agreed.bins, agreed.range
        members = [_population(name, table, counted[name], area_to) for name, table in tables.items()]
    else:
        members = [_unweighted(name, one, area_to) for name, one in counted.items()]
    members = [replace(one, units=units[one.name]) for one in members]
    strata = None if control.binned else control.strata
    return Selection(control.given, reading.error, reading.diverged, bins, range, members, strata, chosen)


def _paired(units: Mapping[str, Units | None]) -> bool:
    """Tell whether two populations hold the same units."""
    return any(sharing(a, b, units[a], units[b]).paired for a, b in combinations(units, 2))


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
