"""What was drawn: which rows of populations are the same network with the same training settings.

A unit is a network, with its block and all, and the settings that it was trained with; the seed of the training is not
part of it. Rows that repeat a unit say less than as many units do, and rows of two populations may be of the same one.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.published import Published, networks
from edfkit.archive.schema import VARIABLES, row_hashes
from edfkit.stats.sample import different
from edfkit.study.parts import Parts

if TYPE_CHECKING:
    from edfkit.study.selection import Source

MOST = 1_000_000
"""Models of a population above which units are not looked for."""

NETWORK = ("depth", "width", "bot_mul", "groups", "op", "input", "concat")
SETTINGS = ("lr", "wd")
OVERLAP = 0.05
"""Share of the units of the smaller population that may be in another one by chance."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units of the rows of a population.

    Attributes
    ----------
    unit : ndarray of uint64, shape (models,)
        A hash of the network and its settings.
    comparable : bool
        Whether the block of the networks is known, so that units of two populations can be told to be the same.
    runs : callable
        Gives a hash of each run, its unit with its identifier and its error; None where rows have no identifier.
    stated : bool
        Whether the source says what the units are, in the variable `unit`; else the networks and settings do.
    drawn : ndarray of uint64, or None
        The different units of the population, with those of which no run takes part; None: those of the rows.
    """

    unit: NDArray[np.uint64]
    comparable: bool
    runs: Callable[[], NDArray[np.uint64] | None]
    stated: bool = False
    drawn: NDArray[np.uint64] | None = None

    def taken(self, rows: NDArray[Any]) -> "Units":
        """Give those of some rows, of a population that was drawn whole."""

        @cache
        def runs() -> NDArray[np.uint64] | None:
            every = self.runs()
            return None if every is None else every[rows]

        return Units(self.unit[rows], self.comparable, runs, self.stated, self.every)

    @property
    def every(self) -> NDArray[np.uint64]:
        """The different units that were drawn."""
        return self.different if self.drawn is None else self.drawn

    @cached_property
    def different(self) -> NDArray[np.uint64]:
        """The different units."""
        return different(self.unit)

    @cached_property
    def _own(self) -> NDArray[np.intp]:
        """The place of the unit of each row among the different ones."""
        return np.unique(self.unit, return_inverse=True)[1]

    @property
    def weights(self) -> NDArray[np.float64]:
        """What each row weighs: 1 / k of k rows of a unit, divided by the number of units."""
        rows = np.bincount(self._own)
        return np.asarray(1 / rows[self._own] / rows.size)

    @property
    def repeated(self) -> bool:
        """Whether some unit has several rows."""
        return self.different.size < self.unit.size

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Add up what rows have over the rows of each unit."""
        return np.asarray(np.bincount(self._own, values), np.float64)

    def means(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Average what rows have over the rows of each unit."""
        return self.sums(values) / np.bincount(self._own)


def find_units(source: "Source", name: str, read: Callable[[str, str], NDArray[Any]] | None = None) -> Units | None:
    """Find out what the rows of a population are, as far as its networks are known.

    Parameters
    ----------
    source : Source
        Where the population is.
    name : str
    read : callable, optional
        Reads its variables; by default the source does.

    Returns
    -------
    Units or None
        None if the source does not say them and the networks are not described, or more than `MOST`.
    """
    if not isinstance(source, Parts):
        return _found(source, name, read or source.read)
    base = source.base(name)
    models = source.source.models(base)
    whole = find_units(source.source, base) or _rows(base, models)
    known = whole.runs

    def runs() -> NDArray[np.uint64] | None:
        found = known()  # without identifiers runs are told apart by their place
        return _rows(base, models).runs() if found is None else found

    return replace(replace(whole, runs=runs).taken(source.mask(name)), drawn=None)


def _found(source: Any, name: str, read: Callable[[str, str], NDArray[Any]]) -> Units | None:
    variables = source.variables(name)
    if "unit" in variables:
        stated = _numbered(read(name, "unit"))
        return Units(stated, True, _runs(source, name, variables, read, stated), stated=True)
    if source.models(name) > MOST:
        return None
    if isinstance(source, Published):
        try:
            columns: dict[str, NDArray[Any]] = {"net": _texts(networks(source, name))}
        except EdfkitError:  # such as files exported from a table
            return None
        block = ""
    else:
        described = [variable for variable in NETWORK if variable in variables]
        if not described:
            return None
        columns = {variable: read(name, variable) for variable in described}
        block = _block(source, name, variables)
    # Beyond the format a table may have other settings.
    for variable in [*SETTINGS, *(one for one in variables if one not in VARIABLES)]:
        if variable in variables:
            values = read(name, variable)
            if values.shape[:1] == (source.models(name),) and values.dtype.kind in "iufbUS":
                columns[variable] = values
    unit = row_hashes(columns)
    if block:
        unit = row_hashes({"unit": unit, "block": np.full(unit.size, row_hashes({"block": np.array([block])}))})
    comparable = bool(block) or isinstance(source, Published)
    return Units(unit, comparable, _runs(source, name, variables, read, unit))


def _numbered(stated: NDArray[Any]) -> NDArray[np.uint64]:
    """Give units as numbers: those of an archive are, and populations in memory may name their networks."""
    if stated.dtype.kind == "f" and (stated % 1 == 0).all():
        stated = stated.astype(np.int64)
    if stated.dtype.kind in "iub":
        return stated.astype(np.int64).view(np.uint64)
    return row_hashes({"unit": stated if stated.dtype.kind == "f" else stated.astype(str)})


def _rows(name: str, models: int) -> Units:
    """Tell the rows of a population apart, so that parts of it that overlap are known to do so."""
    rows = np.arange(models, dtype=np.uint64)
    of_it = np.full(models, row_hashes({"population": np.array([name])}))
    own = row_hashes({"row": rows, "population": of_it})
    return Units(own, False, lambda: own)


def _runs(
    source: Any,
    name: str,
    variables: list[str],
    read: Callable[[str, str], NDArray[Any]],
    unit: NDArray[np.uint64],
) -> Callable[[], NDArray[np.uint64] | None]:
    """Say how the runs of units are told apart."""

    @cache  # as every pair asks
    def runs() -> NDArray[np.uint64] | None:
        if "id" not in variables:
            return None
        measured = "error" if "error" in variables else source.metrics(name)[0].name
        own = {"id": read(name, "id"), "error": read(name, measured).astype(np.float64)}
        return row_hashes({"unit": unit, **own})

    return runs


def _texts(nets: list[Any]) -> NDArray[Any]:
    return np.array([json.dumps(net, sort_keys=True) for net in nets])


def _block(source: Any, name: str, variables: list[str]) -> str:
    """Say what the networks have in common, as text; nothing if that is not known."""
    if not hasattr(source, "group_attrs"):
        return ""
    if isinstance(found := source.group_attrs(name).get("architecture"), str):
        return found
    if "record" not in variables:
        return ""
    piece = next(source.chunks(name, ["record"], 0, 1))
    try:
        net = json.loads(str(piece["record"][0]))["net"]
        return json.dumps({key: net.get(key) for key in ("block_type", "ss")} | {"stem": (net.get("ws") or [None])[0]})
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


@dataclass(frozen=True)
class Sharing:
    """What two populations have in common.

    Attributes
    ----------
    units : int
        Units that are in both.
    paired : bool
        Whether all are, so that each is compared with its counterpart, if that has a run that takes part.
    refused : str
        Why the two cannot be compared, a sentence; nothing if they can.
    """

    units: int = 0
    paired: bool = False
    refused: str = ""


def sharing(a: str, b: str, of_a: Units | None, of_b: Units | None) -> Sharing:
    """Say what two populations have in common, and whether they can be compared in spite of it.

    Parameters
    ----------
    a, b : str
        Names.
    of_a, of_b : Units or None
        None where it is not known what was drawn.

    Returns
    -------
    Sharing
    """
    if of_a is None or of_b is None:
        return Sharing()
    for name, one in ((a, of_a), (b, of_b)):
        if one.unit.size > 1 and one.different.size == 1:
            return Sharing(
                refused=f"All {one.unit.size:,} models of {name} are runs of one network with one setting: they show "
                "training noise and not a design space; use edfkit noise --one-network."
            )
    units_a, units_b = of_a.different, of_b.different
    both = np.intersect1d(units_a, units_b, assume_unique=True).size
    if not both:
        return Sharing()
    runs_a, runs_b = of_a.runs(), of_b.runs()
    if runs_a is not None and runs_b is not None and (same := np.intersect1d(runs_a, runs_b).size):
        return Sharing(
            both,
            refused=f"{same:,} of the runs are in both {a} and {b}, so they are not independent samples; "
            "compare parts without common runs (--where, edfkit subset).",
        )
    if not (of_a.comparable and of_b.comparable):
        return Sharing()
    if np.array_equal(of_a.every, of_b.every):  # of some no run may have a value
        return Sharing(both, paired=True)
    smaller = min(units_a.size, units_b.size)
    if both > OVERLAP * smaller:
        return Sharing(
            both,
            refused=f"{a} and {b} have {both:,} networks in common, of {smaller:,} in the smaller one: they are "
            "neither independent samples nor pairs; leave the shared networks out of one of them, or, for pairs, all "
            "others out of both (--where, edfkit subset).",
        )
    return Sharing(both)
