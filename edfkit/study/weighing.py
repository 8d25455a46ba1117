"""Populations whose rows weigh as units: where the source says that k rows are of one unit, each weighs 1 / k.

Units that a source does not state are found by networks and settings (see `edfkit.study.units`). Such populations are
samples with replacement, in which a network comes twice by chance: their rows count as they are.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit.study.counting import Counted, once
from edfkit.study.selection import Population, Selection, Source, check_names, select
from edfkit.study.settings import ReadingKeywords
from edfkit.study.units import Units


def select_units(
    source: Source,
    names: Sequence[str],
    *,
    area_to: float | None = None,
    also: Sequence[str] = (),
    **settings: Unpack[ReadingKeywords],
) -> Selection:
    """Find the models of populations that take part, each unit that the source states of one weight.

    Parameters
    ----------
    source, names, area_to, also, **settings
        As in `edfkit.study.selection.select`; nothing is held equal.

    Returns
    -------
    Selection
        Populations with repeated units have weights and `units`, the others are as `select` gives them.

    Raises
    ------
    EdfkitError
        See `edfkit.study.selection.select`.
    """
    counted = once(source)
    stated = {name: units for name in check_names(names) if (units := _stated(counted, name)) is not None}
    selection = select(counted, names, area_to=area_to, also=also, by_row=bool(stated), **settings)
    return replace(selection, populations=[_weighed(one, stated.get(one.name)) for one in selection.populations])


def repeated(member: Population) -> Units | None:
    """Give the units of a population that are stated and repeated; None where rows count as they are."""
    units = member.units
    return units if units is not None and units.stated and units.repeated and member.counts is None else None


def numbers(member: Population) -> NDArray[np.uint64] | None:
    """Give the unit of each row, as statistics take it; None where rows count as they are."""
    units = repeated(member)
    return None if units is None else units.unit


def number(member: Population) -> int:
    """Count the units that are stated and repeated, else models."""
    units = repeated(member)
    return member.models if units is None else int(units.different.size)


def by_unit(member: Population) -> Population:
    """Weigh rows so that all units that are stated and repeated weigh alike, or all of one bin with bins."""
    units = repeated(member)
    if units is None:
        return member
    if member.bins is None:
        return replace(member, weights=units.weights)
    sizes = member.sizes
    in_bin = np.bincount(member.bins, sizes)
    return replace(member, weights=sizes / (in_bin.size * in_bin[member.bins]))


def _stated(source: Counted, name: str) -> Units | None:
    units = source.units(name) if source.has(name, "unit") else None
    return units if units is not None and units.repeated else None


def _weighed(member: Population, units: Units | None) -> Population:
    if units is None:
        return member
    of_rows = units.taken(member.rows)
    return by_unit(replace(member, units=of_rows))
