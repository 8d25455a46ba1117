"""Tables of models, counted by error and complexity bin: all that a comparison needs, of any number of models.

Errors are rounded (a test set of 10,000 images gives multiples of 0.01), so a population of any size has at most some
10,001 different ones, and a normalised comparison asks only how many models each bin has at each. Tables add up over
parts of a population, in any order and on any machine, and nothing is rounded in them.

Convention: errors and bins as in `edfkit.stats.edf` and `edfkit.stats.bins`; which models take part as in
`edfkit.study.selection`.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.remote import Address
from edfkit.archive.schema import Status
from edfkit.stats.bins import (
    DEFAULT_BINS,
    DEFAULT_LEAST,
    EmptyBinsError,
    bin_index,
    common_range,
    default_bins,
    empty_bins,
)
from edfkit.stats.edf import Floats, checked_sample
from edfkit.study.selection import cells, check_column

CELLS = 2**22
"""Cells that a table may have, distinct errors times bins: 32 MiB."""

_PER_POINT = 100  # errors of a test set of 10,000 images, the usual one, are multiples of 1 / 100
_GRID = np.arange(100 * _PER_POINT + 1) / _PER_POINT
_AT_ONCE = 2**18  # models counted at a time: what is computed of them stays in the processor's cache
_OF_A_TASK = 2**22  # models that one worker counts for one answer
_TIMEOUT = 10  # seconds that a scheduler and its workers have to answer
_S = TypeVar("_S")
_T = TypeVar("_T")

Where = Archive | str | os.PathLike[str]
"""An archive, open, or its file or address."""

Way = tuple[int, tuple[float, float]]
"""A number of bins of equal width, and the range that they divide."""


@dataclass(frozen=True)
class Terms:
    """Which models are counted, and how; tables add up only if their terms are the same.

    Attributes
    ----------
    given : {"params", "flops", "macs", "acts", "none"}
        The complexity to control for.
    range : (float, float) or None
        Raw counts, both ends included; None if no complexity is given.
    bins : int or None
        Bins of equal width over the range. None leaves it open: the bins are so fine that several numbers can be had of
        them, see `Table.binned`.
    error : {"best", "final"}
        Smallest over the epochs, or after the last one.
    diverged : {"keep", "drop", "censor"}
        Whether runs that diverged keep their error, take no part, or count as 100 %.
    ways : tuple of Way
        What can be had where the number of bins is left open: numbers of bins, each with a range inside `range`. By
        default 1 to 10 over all of it.
    """

    given: str = "none"
    range: tuple[float, float] | None = None
    bins: int | None = None
    error: str = "best"
    diverged: str = "keep"
    ways: tuple[Way, ...] = ()

    def __post_init__(self) -> None:
        if (self.given == "none") != (self.range is None) or (self.given == "none" and self.bins is not None):
            raise EdfkitError(
                f"Terms: given {self.given}, the range {self.range} and {self.bins} bins were set, but a complexity "
                "needs a range, and without one there are neither range nor bins: set them together."
            )
        if self.range is None:
            if self.ways:
                raise EdfkitError("Terms: ways to divide a range were set, but there is none: set a range too.")
            return
        lo, hi = self.range
        if self.bins is None and not self.ways:
            object.__setattr__(self, "ways", tuple((bins, self.range) for bins in range(1, DEFAULT_BINS + 1)))
        elif (self.bins is not None and self.ways) or not all(lo <= low <= high <= hi for _, (low, high) in self.ways):
            raise EdfkitError(
                f"Terms: {self.bins} bins over {self.range} and the ways {self.ways} were set, but these take an open "
                "number of bins and divide parts of the range: leave either out, or set ways inside the range."
            )

    def edges(self) -> Floats:
        """Return the edges of the bins; 0 and 1 if there is one for all models."""
        if self.range is None:
            return np.arange(2.0)
        lo, hi = self.range
        if self.bins is not None or not lo < hi:  # a range without width has one bin, or is refused by `bin_index`
            return np.linspace(lo, hi, (self.bins or 1) + 1)
        edges = [np.linspace(low, high, bins + 1) for bins, (low, high) in self.ways]
        # The models at the end of a part belong to it, and to the one above it: they have a bin to themselves.
        ends = [np.nextafter(high, np.inf) for _, (_, high) in self.ways if high < hi]
        return np.unique(np.concatenate([[lo, hi], *edges, ends]))

    def index(self, complexity: Floats) -> NDArray[np.intp]:
        """Find the bin of every model, -1 outside the range, as `edfkit.stats.bins.bin_index` does."""
        lo, hi = self.range or (0.0, 0.0)
        if self.bins is not None or not lo < hi:
            return bin_index(complexity, lo, hi, 1 if self.bins is None else self.bins)
        edges = self.edges()
        if complexity.min() >= lo and complexity.max() <= hi:  # as where the range is what the populations cover
            return np.minimum(_last_step(edges, complexity), edges.size - 2)
        index = np.minimum(_last_step(edges, np.clip(complexity, lo, hi)), edges.size - 2)
        index[(complexity < lo) | (complexity > hi)] = -1
        return index

    def takes(self, status: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which models take part, whatever their complexity."""
        takes: NDArray[np.bool_] = status != Status.FAILED
        return takes & (status != Status.DIVERGED) if self.diverged == "drop" else takes


@dataclass(frozen=True, eq=False)
class Table:
    """How many models there are, by error and complexity bin.

    Attributes
    ----------
    values : ndarray, shape (k,)
        The distinct errors, increasing, percent.
    counts : ndarray of int64, shape (k, bins)
        Models of each error in each bin; one column if no complexity is given.
    terms : Terms
        How they were counted.
    diverging : ndarray of int64, shape (bins,)
        Those among them that diverged, by bin.
    failed, dropped, below, above : int
        Models that take no part: those that failed, those that diverged if these are dropped, and of the others those
        whose complexity is below or above the range.
    """

    values: Floats
    counts: NDArray[np.int64]
    terms: Terms
    diverging: NDArray[np.int64]
    failed: int = 0
    dropped: int = 0
    below: int = 0
    above: int = 0

    def __add__(self, other: "Table") -> "Table":
        if self.terms != other.terms:
            raise EdfkitError(
                f"Tables on the terms {self.terms} and {other.terms} do not add up: count all parts in the same way."
            )
        values = np.union1d(self.values, other.values)
        counts = np.zeros(_checked_shape(values.size, self.counts.shape[1]), np.int64)
        for table in (self, other):
            counts[np.searchsorted(values, table.values)] += table.counts
        tallies = (getattr(self, name) + getattr(other, name) for name in _TALLIES)
        return Table(values, counts, self.terms, *tallies)

    @property
    def models(self) -> int:
        """Number of models that take part."""
        return int(self.counts.sum())

    @property
    def diverged(self) -> int:
        """Number of models that diverged and take part."""
        return int(self.diverging.sum())

    @property
    def left_out(self) -> dict[str, int]:
        """How many models take no part, by reason; only reasons that occurred."""
        given = self.terms.given
        reasons = {
            "failed": self.failed,
            "diverged": self.dropped,
            f"{given} below the range": self.below,
            f"{given} above the range": self.above,
        }
        return {reason: count for reason, count in reasons.items() if count}

    def binned(self, bins: int, range: tuple[float, float] | None = None) -> "Table":
        """Merge the bins of a table whose number of bins was left open.

        Parameters
        ----------
        bins : int
            1 to 10, or what the terms have as ways.
        range : (float, float), optional
            Raw counts, both ends included; by default all that was counted.

        Returns
        -------
        Table
            What counting with that many bins over that range would have given.

        Raises
        ------
        EdfkitError
            If the number was not left open, or bins and range are none of the ways.
        """
        terms = self.terms
        if terms.range is None or (bins, range or terms.range) not in terms.ways:
            have = f"{len(terms.ways)} other ways are open" if terms.ways else f"they were counted in {terms.bins}"
            raise EdfkitError(
                f"binned: {bins} bins were asked for over {range or terms.range} given {terms.given}, but {have}: "
                "count the models with so many bins, or leave their number open, with ways that have this one."
            )
        lo, hi = range or terms.range
        # The edges of the wide bins are among those of the fine ones: each of these lies where its lower edge does.
        low = terms.edges()[:-1]
        wide = bin_index(low, lo, hi, bins)
        inside = np.flatnonzero(wide >= 0)
        cuts = np.searchsorted(wide[inside], np.arange(bins + 1)) + inside[0]
        below, above = (int(self.counts[:, outside].sum()) for outside in (low < lo, low > hi))
        counts = _merged(self.counts, cuts)
        occur = counts.any(axis=1)
        return replace(
            self,
            values=self.values[occur],
            counts=counts[occur],
            terms=replace(terms, range=(lo, hi), bins=bins, ways=()),
            diverging=_merged(self.diverging, cuts),
            below=self.below + below,
            above=self.above + above,
        )

    def to_sample(self) -> tuple[Floats, Floats | None, NDArray[np.intp] | None, NDArray[np.int64]]:
        """Return the cells that hold models: with their counts, functions give what they give with the models.

        Returns
        -------
        errors : ndarray, shape (m,)
            Percent; in increasing order, an error that models of several bins have once for each.
        weights : ndarray of shape (m,), or None
            Of one model: 1 / (bins * models in the bin), see `edfkit.stats.bins`; None if no complexity is given.
        bins : ndarray of int of shape (m,), or None
            From 0; None if no complexity is given.
        counts : ndarray of int64, shape (m,)
            At least 1.

        Raises
        ------
        EdfkitError
            If there are no models, a bin is empty (`edfkit.stats.bins.EmptyBinsError` if these are within a range), or
            the number of bins was left open.
        """
        in_bin = self._in_bins()
        place, bins = np.nonzero(self.counts)
        errors, counts = self.values[place], self.counts[place, bins]
        if self.terms.range is None:
            return errors, None, None, counts
        return errors, (1 / (in_bin.size * in_bin))[bins], bins, counts

    def _in_bins(self) -> NDArray[np.int64]:
        """Count the models of each bin, none of which may be empty."""
        in_bin: NDArray[np.int64] = self.counts.sum(axis=0)
        if not in_bin.any():
            refusal = EdfkitError if self.terms.range is None else EmptyBinsError
            raise refusal(
                f"A table has no models, but at least one is needed (left out: {self.left_out or 'none'}): check the "
                "population and the range."
            )
        if self.terms.range is not None and self.terms.bins is None:
            raise EdfkitError("The number of bins was left open, but weights depend on it: choose one with binned.")
        if not in_bin.all():
            lo, hi = self.terms.range or (0.0, 0.0)
            gaps = empty_bins(self.terms.edges()[:-1][in_bin > 0], lo, hi, in_bin.size)
            raise EmptyBinsError(
                f"With {in_bin.size} bins over the {self.terms.given} range {lo:.10g} to {hi:.10g}, a population has "
                f"no model in {gaps}: use fewer bins, leave their number open, or give another range."
            )
        return in_bin


_TALLIES = ("diverging", "failed", "dropped", "below", "above")


def _merged(counts: NDArray[np.int64], cuts: NDArray[np.intp]) -> NDArray[np.int64]:
    """Sum counts along their last axis from each cut to before the next."""
    before = np.zeros((*counts.shape[:-1], counts.shape[-1] + 1), np.int64)
    np.cumsum(counts, axis=-1, out=before[..., 1:])
    return np.diff(before[..., cuts], axis=-1)


def tabulate(
    errors: ArrayLike, status: ArrayLike, complexity: ArrayLike | None = None, terms: Terms | None = None
) -> Table:
    """Count models by error and complexity bin.

    Parameters
    ----------
    errors : array_like, shape (n,)
        Percent, 0 to 100; anything for models that take no part.
    status : array_like of int, shape (n,)
        Codes, see `edfkit.archive.schema.Status`.
    complexity : array_like, shape (n,), optional
        Raw counts; needed if the terms give a complexity.
    terms : Terms, optional
        By default no complexity is given.

    Returns
    -------
    Table

    Raises
    ------
    EdfkitError
        If the error or the complexity of a model that takes part is not known, the lengths disagree, the range or the
        number of bins is impossible, or the errors have too many different values (see `CELLS`).
    """
    terms = terms or Terms()
    percent, outcome = np.asarray(errors, dtype=np.float64), np.asarray(status)
    sizes = outcome if terms.range is None else np.asarray(complexity, dtype=np.float64)
    if not (percent.ndim == 1 and percent.shape == outcome.shape == sizes.shape):
        raise EdfkitError(
            f"tabulate: shapes {percent.shape}, {outcome.shape} and {sizes.shape} were given, but one error, status "
            "and complexity for each model are needed: select all in the same way."
        )
    return _tabulate(percent, outcome, {terms.given: sizes}, [terms])[0]


def _tabulate(
    percent: Floats, outcome: NDArray[Any], complexities: Mapping[str, Floats], terms: Sequence[Terms]
) -> list[Table]:
    """Count models by each of some terms, which have the same error and do the same with those that diverged."""
    first, failed, takes = terms[0], int(np.count_nonzero(outcome == Status.FAILED)), terms[0].takes(outcome)
    dropped = int(takes.size - np.count_nonzero(takes)) - failed
    percent, diverging = percent[takes], outcome[takes] == Status.DIVERGED
    if first.diverged == "censor":
        percent = np.where(diverging, 100.0, percent)
    _check_known(percent, f"{first.error} error", "compare by the other")
    if not percent.size:
        shapes = [(0, one.edges().size - 1) for one in terms]
        nothing = [(np.zeros(shape, np.int64), one) for shape, one in zip(shapes, terms, strict=True)]
        return [Table(np.empty(0), none, one, none.sum(axis=0), failed, dropped) for none, one in nothing]
    checked_sample([percent.min(), percent.max()])
    steps, place = _places(percent)
    diverged = np.flatnonzero(diverging)
    tables = []
    for one in terms:
        columns, below, above = one.edges().size - 1, 0, 0
        shape = _checked_shape(steps.size, columns)
        if one.range is None:
            counts, diverging_of = np.bincount(place, minlength=shape[0]), np.array([diverged.size])
        else:
            sizes = complexities[one.given][takes].astype(np.float64)
            _check_known(sizes, one.given, "compare given another complexity, or none")
            index = one.index(sizes)
            cells, among = place * columns + index, index[diverged]
            if index.min() < 0:
                cells, among = cells[index >= 0], among[among >= 0]
                below = int(np.count_nonzero(sizes < one.range[0]))
                above = index.size - cells.size - below
            counts, diverging_of = np.bincount(cells, minlength=math.prod(shape)), np.bincount(among, minlength=columns)
        counts = counts.reshape(shape)
        occur = counts.any(axis=1)
        values = steps
        if not occur.all():
            values, counts = steps[occur], counts[occur]
        tables.append(Table(values, counts, one, diverging_of, failed, dropped, below, above))
    return tables


def _checked_shape(values: int, columns: int) -> tuple[int, int]:
    """Return the shape of the counts, or refuse it."""
    if values * columns > CELLS:
        raise EdfkitError(
            f"The errors have {values:,} different values or more, but a table of {columns} bins holds "
            f"{CELLS // columns:,}: round them to the grid of the test set, such as multiples of 0.01, use fewer bins, "
            "or compare a part of the models in memory."
        )
    return values, columns


def _places(percent: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return the distinct errors, and the place among them of each one given: on the usual grid without sorting."""
    if percent.size >= _GRID.size:
        place = np.rint(percent * _PER_POINT).astype(np.intp)
        if np.array_equal(_GRID[place], percent):
            occur = np.bincount(place, minlength=_GRID.size) > 0
            return _GRID[occur], (np.cumsum(occur) - 1)[place]
    values = np.unique(percent)
    return values, _last_step(values, percent)


def _last_step(steps: Floats, points: Floats) -> NDArray[np.intp]:
    """Return the index of the last of increasing steps at or before each point, none of which is outside them.

    That is a search, but a list of cells is faster: of how many steps lie before each, and where one has steps in it,
    a look at these. Round-off makes no difference, as it does not change the order: what is in an earlier cell is
    smaller.
    """
    span, cells = float(steps[-1] - steps[0]), 32 * steps.size
    if span == 0:
        return np.zeros(points.size, np.intp)
    own = ((steps - steps[0]) / span * cells).astype(np.intp)
    crowd = np.bincount(own, minlength=cells + 1)
    if crowd.max() > 4 or cells > 2**20:
        return np.searchsorted(steps, points, side="right") - 1
    cell = ((points - steps[0]) / span * cells).astype(np.intp)
    before = np.cumsum(crowd) - crowd
    index: NDArray[np.intp] = before[cell]
    look = np.flatnonzero((crowd > 0)[cell])
    some, found, following = points[look], index[look], np.append(steps, np.inf)
    for _ in range(crowd.max()):
        found += some >= following[found]
    index[look] = found
    return np.subtract(index, 1)


def _check_known(values: Floats, what: str, instead: str) -> None:
    """Refuse NaN among the values of models that take part."""
    if unknown := np.count_nonzero(np.isnan(values)):
        raise EdfkitError(f"The {what} of {unknown:,} of {values.size:,} models is not known; {instead}.")


def choose_bins(tables: Mapping[str, Table]) -> int:
    """Choose the number of bins as `edfkit.stats.bins.default_bins` does, from tables whose number was left open.

    Parameters
    ----------
    tables : mapping of str to Table
        By the population's name, all on the same terms.

    Returns
    -------
    int
        1 to 10: as many as leave every population 5 models in each bin.

    Raises
    ------
    EdfkitError
        See `edfkit.stats.bins.default_bins`.
    """
    terms = next(iter(tables.values())).terms
    # Its answer depends only on whether bins, any union of fine ones, hold up to 5 models: these stand for them.
    few = {
        name: np.repeat(terms.edges()[:-1], np.minimum(table.counts.sum(axis=0), DEFAULT_LEAST))
        for name, table in tables.items()
    }
    return default_bins(few, *(terms.range or (0.0, 0.0)))


# --- Archives


def tabulate_archive(archive: Where, name: str, terms: Terms | None = None, *, scheduler: str | None = None) -> Table:
    """Count the models of a population in an archive, a part at a time, here or on a Dask cluster.

    Parameters
    ----------
    archive : Archive or path-like
        Open, or the file or address; on a cluster all workers have it there.
    name : str
        The population.
    terms : Terms, optional
        By default no complexity is given.
    scheduler : str, optional
        Address of the scheduler of a running cluster, such as "tcp://10.0.0.1:8786"; by default this process counts.

    Returns
    -------
    Table
        The same wherever it is counted.

    Raises
    ------
    EdfkitError
        See `tabulate` and `edfkit.archive.Archive`, and if the cluster cannot be used.
    """
    return tabulate_at_once(archive, name, [terms or Terms()], scheduler=scheduler)[0]


def tabulate_at_once(archive: Where, name: str, terms: Sequence[Terms], *, scheduler: str | None = None) -> list[Table]:
    """Count the models of a population in several ways, reading them once.

    Parameters
    ----------
    archive, name, scheduler
        As in `tabulate_archive`.
    terms : sequence of Terms
        At least one, all with the same error and the same policy on models that diverged.

    Returns
    -------
    list of Table
        In the order of the terms.

    Raises
    ------
    EdfkitError
        See `tabulate_archive`, and if the terms differ in error or policy.
    """
    if len({(one.error, one.diverged) for one in terms}) != 1:
        raise EdfkitError(
            f"The terms {tuple(terms)} were given, but models are read once for all of them: give terms with one "
            "error, and one policy on models that diverged."
        )
    return reduce(_both, _each_part(_counted, archive, name, tuple(terms), scheduler))


@dataclass(frozen=True, eq=False)
class Cells:
    """How many models there are, by error and complexity.

    Attributes
    ----------
    errors : ndarray, shape (m,)
        Percent, increasing; models of one error are in order of complexity.
    complexity : ndarray, shape (m, d)
        What is held equal.
    counts : ndarray of int64, shape (m,)
        At least 1.
    diverged, failed, dropped : int
        As in `Table`: those that diverged and take part, and models that take none.
    """

    errors: Floats
    complexity: Floats
    counts: NDArray[np.int64]
    diverged: int
    failed: int
    dropped: int

    def __add__(self, other: "Cells") -> "Cells":
        both = (self, other)
        joined = cells(
            np.concatenate([one.errors for one in both]),
            np.concatenate([one.complexity for one in both]),
            np.concatenate([one.counts for one in both]),
        )
        return Cells(*joined, self.diverged + other.diverged, self.failed + other.failed, self.dropped + other.dropped)


def count_cells(
    archive: Where,
    name: str,
    given: Sequence[str],
    *,
    error: str = "best",
    diverged: str = "keep",
    scheduler: str | None = None,
) -> Cells:
    """Count the models of a population by error and complexity, a part at a time, here or on a Dask cluster.

    Parameters
    ----------
    archive, name, scheduler
        As in `tabulate_archive`.
    given : sequence of str
        Complexities; none or several.
    error, diverged
        As in `Terms`.

    Returns
    -------
    Cells
        In memory that grows with the number of different errors and complexities.

    Raises
    ------
    EdfkitError
        If no model takes part, an error or a complexity is not known, and see `edfkit.archive.Archive`.
    """
    how = _ByCell(tuple(given), error, diverged)
    found = _summed(_each_part(_cells_of, archive, name, how, scheduler))
    if not found.counts.size:
        reasons = " or ".join(why for why, count in (("failed", found.failed), ("diverged", found.dropped)) if count)
        all_ = found.failed + found.dropped
        raise EdfkitError(f"All {all_} models of {name} {reasons}, so it has no errors to compare; leave it out.")
    return found


@dataclass(frozen=True)
class _ByCell:
    given: tuple[str, ...]
    error: str
    diverged: str


def _cells_of(archive: Where, name: str, how: _ByCell, start: int, stop: int) -> Cells:
    """Count some models of a population by error and complexity."""
    column = _column(how.error)
    terms = Terms(error=how.error, diverged=how.diverged)

    def counted(piece: Mapping[str, NDArray[Any]]) -> Cells:
        status = piece["status"]
        takes = terms.takes(status)
        errors = piece[column][takes].astype(np.float64)
        if how.diverged == "censor":
            errors[status[takes] == Status.DIVERGED] = 100.0
        _check_known(errors, f"{how.error} error", "compare by the other")
        columns = [piece[one][takes].astype(np.float64) for one in how.given]
        for one, values in zip(how.given, columns, strict=True):
            _check_known(values, one, "compare given another complexity, or none")
        sizes = np.column_stack(columns) if columns else np.zeros((errors.size, 0))
        failed = int(np.count_nonzero(status == Status.FAILED))
        diverging = int(np.count_nonzero(status == Status.DIVERGED))
        dropped = diverging if how.diverged == "drop" else 0
        return Cells(*cells(errors, sizes), diverging - dropped, failed, dropped)

    with opened(archive) as source:
        for one in how.given:
            check_column(one, source.field(name, one))
        variables = [column, "status", *how.given]
        return _summed(map(counted, _ahead(source.chunks(name, variables, start, stop))))


def _summed(parts: Iterable[Cells]) -> Cells:
    """Add parts up in such an order that each is sorted a few times only: two of about one size at a time."""
    stack: list[Cells] = []
    for part in parts:
        stack.append(part)
        while len(stack) > 1 and stack[-2].counts.size <= 2 * stack[-1].counts.size:
            stack[-2:] = [stack[-2] + stack[-1]]
    return reduce(add, reversed(stack))


def complexity_extents(
    archive: Where,
    name: str,
    given: Sequence[str],
    *,
    diverged: str = "keep",
    scheduler: str | None = None,
) -> dict[str, tuple[float, float]]:
    """Find the smallest and the largest complexity of the models of a population that take part, reading them once.

    Parameters
    ----------
    archive, name, scheduler
        As in `tabulate_archive`.
    given : sequence of {"params", "flops", "macs", "acts"}
        The complexities, at least one.
    diverged : {"keep", "drop", "censor"}
        Those that diverged take no part if they are dropped.

    Returns
    -------
    dict of str to (float, float)
        By complexity, raw counts.

    Raises
    ------
    EdfkitError
        If no model takes part, or a complexity is not known, and see `edfkit.archive.Archive`.
    """
    terms = tuple(Terms(complexity, (0.0, 0.0), diverged=diverged) for complexity in given)
    extents = list(_each_part(_extents, archive, name, terms, scheduler))
    found: dict[str, tuple[float, float]] = {}
    for complexity, parts in zip(given, zip(*extents, strict=True), strict=True):
        lows, highs, taking, unknown = zip(*parts, strict=True)
        if not sum(taking):
            raise EdfkitError(f"No model of {name} takes part, so it has no errors to compare; leave it out.")
        if sum(unknown):
            raise EdfkitError(
                f"The {complexity} of {sum(unknown):,} of the {sum(taking):,} {name} models are not known; compare "
                "given another complexity, or none."
            )
        found[complexity] = min(lows), max(highs)
    return found


def tabulate_populations(
    archive: Where,
    names: Sequence[str],
    *,
    given: str = "params",
    bins: int | None = None,
    range: tuple[float, float] | None = None,
    error: str = "best",
    diverged: str = "keep",
    scheduler: str | None = None,
) -> dict[str, Table]:
    """Count the models of populations that are to be compared: the same as `edfkit.study.selection.select` selects.

    Parameters
    ----------
    archive, scheduler
        As in `tabulate_archive`.
    names : sequence of str
        At least one population.
    given, bins, range, error, diverged
        As in `edfkit.study.selection.select`. Without `range` complexity is read twice.

    Returns
    -------
    dict of str to Table
        By the population's name, lower case; all on the same terms, with the number of bins chosen.

    Raises
    ------
    EdfkitError
        See `tabulate_archive`, and if the populations share no range of complexity.
    """
    names = [name.lower() for name in names]
    with opened(archive) as source:  # once: of an archive at an address, what it takes to open it is sent each time
        if given != "none" and range is None:
            read = partial(complexity_extents, source, given=[given], diverged=diverged, scheduler=scheduler)
            range = common_range(*(read(name)[given] for name in names), names=names)
        terms = Terms(given, None if given == "none" else range, bins, error, diverged)
        tables = {name: tabulate_archive(source, name, terms, scheduler=scheduler) for name in names}
    if given != "none" and bins is None:
        chosen = choose_bins(tables)
        tables = {name: table.binned(chosen) for name, table in tables.items()}
    return tables


def _counted(archive: Where, name: str, terms: tuple[Terms, ...], start: int, stop: int) -> list[Table]:
    """Count some models of a population in several ways."""
    column = _column(terms[0].error)
    variables = [column, "status", *dict.fromkeys(one.given for one in terms if one.range is not None)]
    with opened(archive) as source:
        pieces = _ahead(source.chunks(name, variables, start, stop))
        return reduce(_both, _tables(pieces, name, start, column, terms))


def _column(error: str) -> str:
    """Name the variable of an error."""
    column = {"best": "error", "final": "error_final"}.get(error)
    if column is None:
        raise EdfkitError(f"The error was to be {error!r}, but a stream has best and final only; give one of these.")
    return column


def _both(some: list[Table], others: list[Table]) -> list[Table]:
    """Add the tables of two parts."""
    return list(map(add, some, others))


def _ahead(pieces: Iterator[_T]) -> Iterator[_T]:
    """Yield what an iterator does, while a thread fetches the next one: decompressing takes longer than counting."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, pieces, None)
        while (piece := following.result()) is not None:
            following = thread.submit(next, pieces, None)
            yield piece


def _tables(
    pieces: Iterator[Mapping[str, NDArray[Any]]], name: str, first: int, column: str, terms: tuple[Terms, ...]
) -> Iterator[list[Table]]:
    """Count the models of pieces, of which the first one begins with that model, some at a time."""
    for piece in pieces:
        for start in range(0, len(piece[column]), _AT_ONCE):
            part = {variable: values[start : start + _AT_ONCE] for variable, values in piece.items()}
            try:
                yield _tabulate(part[column].astype(np.float64), part["status"], part, terms)
            except EdfkitError as error:
                at = first + start
                raise EdfkitError(f"{name}, models {at} to {at + len(part[column]) - 1}: {error}") from error
        first += len(piece[column])


def _extents(
    archive: Where, name: str, terms: tuple[Terms, ...], start: int, stop: int
) -> list[tuple[float, float, int, int]]:
    """Find the smallest and the largest of complexities of some models, and how many take part and are not known."""
    low, high, unknown = np.full(len(terms), np.inf), np.full(len(terms), -np.inf), np.zeros(len(terms), np.int64)
    taking = 0
    with opened(archive) as source:
        for piece in source.chunks(name, [*(one.given for one in terms), "status"], start, stop):
            takes = terms[0].takes(piece["status"])
            taking += int(np.count_nonzero(takes))
            for i, one in enumerate(terms):
                complexity = piece[one.given][takes].astype(float)
                unknown[i] += np.count_nonzero(np.isnan(complexity))
                low[i] = np.fmin(low[i], np.fmin.reduce(complexity, initial=np.inf))
                high[i] = np.fmax(high[i], np.fmax.reduce(complexity, initial=-np.inf))
    return [(float(lo), float(hi), taking, int(count)) for lo, hi, count in zip(low, high, unknown, strict=True)]


@contextmanager
def opened(archive: Where) -> Iterator[Archive]:
    """Give an archive that is open as it is, and open another one meanwhile.

    Parameters
    ----------
    archive : Archive or path-like

    Yields
    ------
    Archive
    """
    if isinstance(archive, Archive):
        yield archive
    else:
        with Archive(archive) as source:
            yield source


def _each_part(
    task: Callable[[Archive | str, str, _S, int, int], _T],
    archive: Where,
    name: str,
    terms: _S,
    scheduler: str | None,
) -> Iterator[_T]:
    """Do a task for a population, here as a whole, on a cluster by parts, and yield what it returns, in any order."""
    with opened(archive) as source:
        models = source.models(name)
        if scheduler is None:
            yield task(source, name, terms, 0, models)
            return
        where = source.path if isinstance(source.path, Address) else str(source.path.resolve())
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise EdfkitError(
            "A cluster needs the package distributed, which is not installed: pip install distributed, or compare "
            "without a cluster."
        ) from error
    try:
        client = Client(scheduler, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EdfkitError(
            f"No Dask scheduler answers at {scheduler} ({error}): start one with dask scheduler, and give the address "
            "that it names."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_TIMEOUT)
            futures = [
                client.submit(task, where, name, terms, start, start + _OF_A_TASK, pure=False)
                for start in range(0, models, _OF_A_TASK)
            ]
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
                future.release()
        except EdfkitError:
            raise
        except Exception as error:
            raise EdfkitError(
                f"The cluster at {scheduler} did not count the models of {name} ({type(error).__name__}: {error}): "
                "check that it has workers, and that they have this edfkit and the archive at the same path."
            ) from error
