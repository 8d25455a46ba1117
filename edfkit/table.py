"""Tables of models, counted by error and complexity bin: all that a comparison needs, of any number of models.

Errors are rounded (a test set of 10,000 images gives multiples of 0.01), so a population of any size has at most some
10,001 different ones, and a normalised comparison asks only how many models each bin has at each. Tables add up over
parts of a population, in any order and on any machine, and nothing is rounded in them.

Convention: errors and bins as in `edfkit.edf` and `edfkit.complexity`; which models take part as in
`edfkit.study.selection`.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.complexity import DEFAULT_BINS, DEFAULT_LEAST, bin_index, common_range, default_bins, empty_bins
from edfkit.edf import Floats, checked_sample
from edfkit.remote import is_address
from edfkit.schema import STATUS

CELLS = 2**22
"""Cells that a table may have, distinct errors times bins: 32 MiB."""

_DIVERGED, _FAILED = STATUS.index("diverged"), STATUS.index("failed")
_PER_POINT = 100  # errors of a test set of 10,000 images, the usual one, are multiples of 1 / 100
_GRID = np.arange(100 * _PER_POINT + 1) / _PER_POINT
_AT_ONCE = 2**18  # models counted at a time: what is computed of them stays in the processor's cache
_OF_A_TASK = 2**22  # models that one worker counts for one answer
_TIMEOUT = 10  # seconds that a scheduler and its workers have to answer
_T = TypeVar("_T")


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
        Bins of equal width over the range. None leaves it open: the bins are so fine that any number from 1 to 10 can
        be had of them, see `Table.binned`.
    error : {"best", "final"}
        Smallest over the epochs, or after the last one.
    diverged : {"keep", "drop", "censor"}
        Whether runs that diverged keep their error, take no part, or count as 100 %.
    """

    given: str = "none"
    range: tuple[float, float] | None = None
    bins: int | None = None
    error: str = "best"
    diverged: str = "keep"

    def __post_init__(self) -> None:
        if (self.given == "none") != (self.range is None) or (self.given == "none" and self.bins is not None):
            raise EdfkitError(
                f"Terms: given {self.given}, the range {self.range} and {self.bins} bins were set, but a complexity "
                "needs a range, and without one there are neither range nor bins: set them together."
            )

    def edges(self) -> Floats:
        """Return the edges of the bins; 0 and 1 if there is one for all models."""
        if self.range is None:
            return np.arange(2.0)
        lo, hi = self.range
        if self.bins is not None or not lo < hi:  # a range without width has one bin, or is refused by `bin_index`
            return np.linspace(lo, hi, (self.bins or 1) + 1)
        return np.unique(np.concatenate([np.linspace(lo, hi, bins + 1) for bins in range(1, DEFAULT_BINS + 1)]))

    def index(self, complexity: Floats) -> NDArray[np.intp]:
        """Find the bin of every model, -1 outside the range, as `edfkit.complexity.bin_index` does."""
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
        takes: NDArray[np.bool_] = status != _FAILED
        return takes & (status != _DIVERGED) if self.diverged == "drop" else takes


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
    diverged : int
        Those among them that diverged.
    failed, dropped, below, above : int
        Models that take no part: those that failed, those that diverged if these are dropped, and of the others those
        whose complexity is below or above the range.
    """

    values: Floats
    counts: NDArray[np.int64]
    terms: Terms
    diverged: int = 0
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

    def binned(self, bins: int) -> "Table":
        """Merge the bins of a table whose number of bins was left open.

        Parameters
        ----------
        bins : int
            1 to 10.

        Returns
        -------
        Table
            What counting with that many bins would have given.

        Raises
        ------
        EdfkitError
            If the number was not left open, or it is out of range.
        """
        if self.terms.range is None or self.terms.bins is not None or not 1 <= bins <= DEFAULT_BINS:
            raise EdfkitError(
                f"binned: {bins} bins were asked for, but there are {self.terms.bins} given {self.terms.given}: count "
                f"the models with that many, or leave the number open, which gives any from 1 to {DEFAULT_BINS}."
            )
        lo, hi = self.terms.range
        # The edges of the wide bins are among those of the fine ones: each of these lies where its lower edge does.
        wide = bin_index(self.terms.edges()[:-1], lo, hi, bins)
        counts = self.counts @ (wide[:, None] == np.arange(bins)).astype(np.int64)
        return replace(self, counts=counts, terms=replace(self.terms, bins=bins))

    def to_sample(self) -> tuple[Floats, Floats | None, NDArray[np.intp] | None, NDArray[np.int64]]:
        """Return the cells that hold models: with their counts, functions give what they give with the models.

        Returns
        -------
        errors : ndarray, shape (m,)
            Percent; in increasing order, an error that models of several bins have once for each.
        weights : ndarray of shape (m,), or None
            Of one model: 1 / (bins * models in the bin), see `edfkit.complexity`; None if no complexity is given.
        bins : ndarray of int of shape (m,), or None
            From 0; None if no complexity is given.
        counts : ndarray of int64, shape (m,)
            At least 1.

        Raises
        ------
        EdfkitError
            If there are no models, a bin is empty, or the number of bins was left open.
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
            raise EdfkitError(
                f"A table has no models, but at least one is needed (left out: {self.left_out or 'none'}): check the "
                "population and the range."
            )
        if self.terms.range is not None and self.terms.bins is None:
            raise EdfkitError("The number of bins was left open, but weights depend on it: choose one with binned.")
        if not in_bin.all():
            lo, hi = self.terms.range or (0.0, 0.0)
            gaps = empty_bins(self.terms.edges()[:-1][in_bin > 0], lo, hi, in_bin.size)
            raise EdfkitError(
                f"With {in_bin.size} bins over the {self.terms.given} range {lo:.10g} to {hi:.10g}, a population has "
                f"no model in {gaps}: use fewer bins, leave their number open, or give another range."
            )
        return in_bin


_TALLIES = ("diverged", "failed", "dropped", "below", "above")


def tabulate(
    errors: ArrayLike, status: ArrayLike, complexity: ArrayLike | None = None, terms: Terms | None = None
) -> Table:
    """Count models by error and complexity bin.

    Parameters
    ----------
    errors : array_like, shape (n,)
        Percent, 0 to 100; anything for models that take no part.
    status : array_like of int, shape (n,)
        Codes, see `edfkit.schema.STATUS`.
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
    failed, takes = int(np.count_nonzero(outcome == _FAILED)), terms.takes(outcome)
    dropped = int(takes.size - np.count_nonzero(takes)) - failed
    percent, diverging, sizes = percent[takes], outcome[takes] == _DIVERGED, sizes[takes]
    if terms.diverged == "censor":
        percent = np.where(diverging, 100.0, percent)
    _check_known(percent, f"{terms.error} error", "compare by the other")

    columns, below, above = terms.edges().size - 1, 0, 0
    index = np.zeros(percent.size, np.intp)
    if terms.range is not None and percent.size:
        _check_known(sizes, terms.given, "compare given another complexity, or none")
        index = terms.index(sizes)
        inside = index >= 0
        below = int(np.count_nonzero(sizes < terms.range[0]))
        above = int(inside.size - np.count_nonzero(inside)) - below
        if below or above:
            percent, diverging, index = percent[inside], diverging[inside], index[inside]
    values, counts = np.empty(0), np.empty((0, columns), np.int64)
    if percent.size:
        checked_sample([percent.min(), percent.max()])
        steps, place = _places(percent, columns)
        shape = _checked_shape(steps.size, columns)
        counts = np.bincount(place * columns + index, minlength=math.prod(shape)).reshape(shape)
        occur = counts.any(axis=1)
        values, counts = steps[occur], counts[occur]
    return Table(values, counts, terms, int(np.count_nonzero(diverging)), failed, dropped, below, above)


def _checked_shape(values: int, columns: int) -> tuple[int, int]:
    """Return the shape of the counts, or refuse it."""
    if values * columns > CELLS:
        raise EdfkitError(
            f"The errors have {values:,} different values or more, but a table of {columns} bins holds "
            f"{CELLS // columns:,}: round them to the grid of the test set, such as multiples of 0.01, use fewer bins, "
            "or compare a part of the models in memory."
        )
    return values, columns


def _places(percent: Floats, columns: int) -> tuple[Floats, NDArray[np.intp]]:
    """Return increasing errors, and the place among them of each error given: on the usual grid without sorting."""
    if _GRID.size * columns <= min(2 * percent.size, CELLS):  # else most of the grid's cells would stay empty
        place = np.rint(percent * _PER_POINT).astype(np.intp)
        if np.array_equal(_GRID[place], percent):
            return _GRID, place
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
    """Choose the number of bins as `edfkit.complexity.default_bins` does, from tables whose number was left open.

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
        See `edfkit.complexity.default_bins`.
    """
    terms = next(iter(tables.values())).terms
    # Its answer depends only on whether bins, any union of fine ones, hold up to 5 models: these stand for them.
    few = {
        name: np.repeat(terms.edges()[:-1], np.minimum(table.counts.sum(axis=0), DEFAULT_LEAST))
        for name, table in tables.items()
    }
    return default_bins(few, *(terms.range or (0.0, 0.0)))


# --- Archives


def tabulate_archive(
    path: str | os.PathLike[str], name: str, terms: Terms | None = None, *, scheduler: str | None = None
) -> Table:
    """Count the models of a population in an archive, a part at a time, here or on a Dask cluster.

    Parameters
    ----------
    path : path-like
        The archive; on a cluster all workers have it there.
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
    return reduce(add, _each_part(_table, path, name, terms or Terms(), scheduler))


def complexity_extent(
    path: str | os.PathLike[str],
    name: str,
    given: str,
    *,
    diverged: str = "keep",
    scheduler: str | None = None,
) -> tuple[float, float]:
    """Find the smallest and the largest complexity of the models of a population that take part.

    Parameters
    ----------
    path, name, scheduler
        As in `tabulate_archive`.
    given : {"params", "flops", "macs", "acts"}
        The complexity.
    diverged : {"keep", "drop", "censor"}
        Those that diverged take no part if they are dropped.

    Returns
    -------
    lo, hi : float
        Raw counts.

    Raises
    ------
    EdfkitError
        If no model takes part, or a complexity is not known, and see `edfkit.archive.Archive`.
    """
    terms = Terms(given, (0.0, 0.0), diverged=diverged)
    lows, highs = zip(*_each_part(_extent, path, name, terms, scheduler), strict=True)
    if min(lows) > max(highs):
        raise EdfkitError(f"No model of {name} takes part, so it has no errors to compare; leave it out.")
    return min(lows), max(highs)


def tabulate_populations(
    path: str | os.PathLike[str],
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
    path, scheduler
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
    if given != "none" and range is None:
        ends = [complexity_extent(path, name, given, diverged=diverged, scheduler=scheduler) for name in names]
        range = common_range(*ends, names=names)
    terms = Terms(given, range, bins, error, diverged)
    tables = {name: tabulate_archive(path, name, terms, scheduler=scheduler) for name in names}
    if given != "none" and bins is None:
        chosen = choose_bins(tables)
        tables = {name: table.binned(chosen) for name, table in tables.items()}
    return tables


def _table(path: str, name: str, terms: Terms, start: int, stop: int) -> Table:
    """Count some models of a population."""
    column = {"best": "error", "final": "error_final"}.get(terms.error)
    if column is None:
        raise EdfkitError(
            f"The error was to be {terms.error!r}, but a stream has best and final only; give one of these."
        )
    variables = [column, "status"] if terms.range is None else [column, "status", terms.given]
    with Archive(path) as archive:
        pieces = _ahead(archive.chunks(name, variables, start, stop))
        return reduce(add, (table for piece in pieces for table in _tables(piece, column, terms)))


def _ahead(pieces: Iterator[_T]) -> Iterator[_T]:
    """Yield what an iterator does, while a thread fetches the next one: decompressing takes longer than counting."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, pieces, None)
        while (piece := following.result()) is not None:
            following = thread.submit(next, pieces, None)
            yield piece


def _tables(piece: Mapping[str, NDArray[Any]], column: str, terms: Terms) -> Iterator[Table]:
    for start in range(0, len(piece[column]), _AT_ONCE):
        part = {variable: values[start : start + _AT_ONCE] for variable, values in piece.items()}
        yield tabulate(part[column], part["status"], part.get(terms.given), terms)


def _extent(path: str, name: str, terms: Terms, start: int, stop: int) -> tuple[float, float]:
    """Find the smallest and the largest complexity of some models, infinite and reversed if none takes part."""
    low, high = np.inf, -np.inf
    with Archive(path) as archive:
        for piece in archive.chunks(name, [terms.given, "status"], start, stop):
            complexity = piece[terms.given][terms.takes(piece["status"])].astype(float)
            _check_known(complexity, terms.given, "compare given another complexity, or none")
            low = min(low, float(complexity.min(initial=np.inf)))
            high = max(high, float(complexity.max(initial=-np.inf)))
    return low, high


def _each_part(
    task: Callable[[str, str, Terms, int, int], _T],
    path: str | os.PathLike[str],
    name: str,
    terms: Terms,
    scheduler: str | None,
) -> Iterator[_T]:
    """Do a task for a population, here as a whole, on a cluster by parts, and yield what it returns, in any order."""
    where = path if is_address(path) else str(Path(path).resolve())
    with Archive(path) as archive:
        models = archive.models(name)
    if scheduler is None:
        yield task(where, name, terms, 0, models)
        return
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
