"""Models of populations, each column read once, and counted where they are many: what every study works from.

Errors are rounded (a test set of 10,000 images gives multiples of 0.01), so a population of any size has few different
ones. A population of up to `WHOLE` models is kept row by row; of a larger one the models that are alike in all columns
that are asked for are counted together, piece by piece, here or on a Dask cluster. Memory then grows with the number of
different rows, and not with that of models. Counts add up over the parts of a population in any order, and nothing is
rounded in them.

Which models take part, and what the columns mean, is in `edfkit.study.selection`.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain
from operator import add
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.remote import Address
from edfkit.metric import ERROR, Metric
from edfkit.progress import steps
from edfkit.stats.sample import ordered
from edfkit.study.parts import Parts, folded
from edfkit.study.units import MOST, Units, find_units

if TYPE_CHECKING:
    from edfkit.study.selection import Column, Source

WHOLE = MOST
"""Models up to which a population is kept row by row: units are told apart by their rows."""

_AT_ONCE = 2**20  # models counted at a time
_KEPT = 2**29  # bytes of columns that are kept to be given again
_OF_A_TASK = 2**22  # models that one worker of a cluster counts for one answer
_TIMEOUT = 10  # seconds that a scheduler and its workers have to answer
_SCALES = (1, 100, 10_000)  # of grids that numbers may lie on: whole numbers, and errors of usual test sets
_T = TypeVar("_T")


# --- Rows that are alike


def distinct(
    columns: Sequence[NDArray[Any]], counts: NDArray[np.int64] | None = None
) -> tuple[list[NDArray[Any]], NDArray[np.int64]]:
    """Count the rows that are alike in all columns.

    Parameters
    ----------
    columns : sequence of ndarray, shapes (n,)
        Numbers, at least one column; NaN is like NaN.
    counts : ndarray of int64, shape (n,), optional
        How many each row is already; one if not given.

    Returns
    -------
    columns : list of ndarray, shapes (m,)
        The different rows, in order of the first column, then of the next.
    counts : ndarray of int64, shape (m,)
    """
    if not columns[0].size:
        return list(columns), np.zeros(0, np.int64)
    # Sorting one whole number a row is several times as fast as sorting rows: it holds as many columns as it can.
    coded, key, most = [], np.zeros(columns[0].size, np.int64), 1
    for column in columns:
        one = _codes(column)
        if most * one.number >= 2**62:
            break
        key, most = key * one.number + one.codes, most * one.number
        coded.append(one)
    if len(coded) == len(columns) and counts is None:
        key.sort()
        starts = np.flatnonzero(_changes(key))
        return _decoded(key[starts], coded), np.diff(starts, append=key.size).astype(np.int64)
    key, order = ordered(key, stable=False)
    fresh = _changes(key)
    if len(coded) < len(columns):
        tied = np.flatnonzero(~(fresh & np.append(fresh[1:], True)))
        rest = [column[order[tied]] for column in columns[len(coded) :]]
        within = np.lexsort([*rest[::-1], key[tied]])
        order[tied] = order[tied][within]
        fresh[tied] |= reduce(np.logical_or, (_changes(column[within]) for column in rest))
    starts = np.flatnonzero(fresh)
    number = np.diff(starts, append=key.size) if counts is None else np.add.reduceat(counts[order], starts)
    if len(coded) == len(columns):
        return _decoded(key[starts], coded), number
    rows = order[starts]
    return [column[rows] for column in columns], number.astype(np.int64)


@dataclass(frozen=True)
class _Codes:
    """A column as whole numbers from 0 to below `number`, in the same order, and how to get it back."""

    codes: NDArray[np.int64]
    number: int
    decoded: Callable[[NDArray[np.int64]], NDArray[Any]]


def _codes(values: NDArray[Any]) -> _Codes:
    if values.dtype.kind in "iub" and int(values.max()) - int(values.min()) < 2**62:
        return _from_least(values.astype(np.int64), lambda whole: whole.astype(values.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        for scale in _SCALES:
            grid = np.rint(values * scale)
            if np.abs(grid).max() < 2**52 and np.array_equal(grid / scale, values):  # not where there is NaN
                return _from_least(grid.astype(np.int64), lambda whole, scale=scale: whole / scale)  # type: ignore[misc]
    different, codes = np.unique(values, return_inverse=True)
    return _Codes(codes, different.size, lambda code: different[code])


def _from_least(whole: NDArray[np.int64], back: Callable[[NDArray[np.int64]], NDArray[Any]]) -> _Codes:
    least = int(whole.min())
    return _Codes(whole - least, int(whole.max()) - least + 1, lambda code: back(code + least))


def _decoded(key: NDArray[np.int64], coded: Sequence[_Codes]) -> list[NDArray[Any]]:
    found = []
    for one in reversed(coded):
        key, code = np.divmod(key, one.number)
        found.append(one.decoded(code))
    return found[::-1]


def _changes(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which numbers differ from the one before; NaN is like NaN."""
    known = (rows[1:] == rows[1:]) | (rows[:-1] == rows[:-1])
    return np.append(True, (rows[1:] != rows[:-1]) & known)


@dataclass(frozen=True, eq=False)
class Rows:
    """Models by what some columns say of them.

    Attributes
    ----------
    columns : dict of str to ndarray, shapes (n,)
    counts : ndarray of int64 of shape (n,), or None
        How many models each row is; None: one, and the rows are in the order of the population.
    """

    columns: dict[str, NDArray[Any]]
    counts: NDArray[np.int64] | None = None

    def of(self, names: Iterable[str]) -> "Rows":
        """Give some of the columns, in which rows may then be alike."""
        return Rows({name: self.columns[name] for name in names}, self.counts)


def counted(columns: Mapping[str, NDArray[Any]], counts: NDArray[np.int64] | None = None) -> Rows:
    """Count the models that are alike in all columns, see `distinct`."""
    found, number = distinct(list(columns.values()), counts)
    return Rows(dict(zip(columns, found, strict=True)), number)


# --- A source of which every column is read once


@dataclass(frozen=True)
class Wanted:
    """What is to be found out of the models of a population in one pass.

    Attributes
    ----------
    columns : tuple of str
        What models are counted by: variables, or one value of each curve, see `at_epoch` and `at_best`.
    ends : tuple of str
        Variables of which the smallest and the largest number are wanted.
    chosen : (str, str) or None
        Variables with the best value over the epochs and with the last one, of which to tell whether they differ.
    """

    columns: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    chosen: tuple[str, str] | None = None

    def __or__(self, other: "Wanted") -> "Wanted":
        columns, ends = (
            (*dict.fromkeys((*a, *b)),) for a, b in ((self.columns, other.columns), (self.ends, other.ends))
        )
        return Wanted(columns, ends, self.chosen or other.chosen)

    @property
    def variables(self) -> list[str]:
        """What has to be read."""
        return list(dict.fromkeys((*chain(*map(_read_for, self.columns)), *self.ends, *(self.chosen or ()))))


def at_epoch(curve: str, epoch: int) -> str:
    """Name the column of the values of a curve after an epoch, counted from 1."""
    return f"{curve}@{epoch}"


def at_best(curve: str, by: str, goal: str) -> str:
    """Name the column of the values of a curve at the epoch of the best value of another one, whose goal is given."""
    return f"{curve}@{goal} {by}"


def _read_for(column: str) -> list[str]:
    """List the variables that a column is taken from."""
    curve, _, where = column.partition("@")
    return [curve] if not where or where.isdecimal() else [curve, where.partition(" ")[2]]


def _taken(column: str, piece: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Give the values of a column, of models of which the variables were read."""
    curve, _, where = column.partition("@")
    if not where:
        return piece[curve]
    if where.isdecimal():
        return np.asarray(piece[curve][:, int(where) - 1])
    goal, by = where.split(" ")
    deciding = piece[by] if goal == "min" else -piece[by]
    known = np.isfinite(deciding)  # an infinite value is none
    best = np.where(known, deciding, np.inf).argmin(axis=1)
    rows = np.arange(len(best))
    return np.where(known[rows, best], piece[curve][rows, best], np.nan)


@dataclass(frozen=True, eq=False)
class _Found:
    """What a pass found of a part of a population; parts add up."""

    rows: Rows
    ends: dict[str, tuple[float, float]]
    chosen: bool

    def __add__(self, other: "_Found") -> "_Found":
        columns = {name: np.concatenate([mine, other.rows.columns[name]]) for name, mine in self.rows.columns.items()}
        counts = [one.rows.counts for one in (self, other) if one.rows.counts is not None]
        rows = counted(columns, np.concatenate(counts)) if columns else self.rows
        both = ((name, lo, hi, other.ends[name]) for name, (lo, hi) in self.ends.items())
        ends = {name: (min(lo, low), max(hi, high)) for name, lo, hi, (low, high) in both}
        return _Found(rows, ends, self.chosen or other.chosen)


class Counted:
    """A source of which every column is read once, row by row or counted: what studies read from.

    Parameters
    ----------
    source : Source
        Where the populations are.
    whole : int
        Models up to which a population is kept row by row.
    scheduler : str, optional
        Address of the scheduler of a running Dask cluster that counts larger ones, such as "tcp://10.0.0.1:8786"; all
        its workers have the archive at the same path.
    """

    def __init__(self, source: "Source", *, whole: int = WHOLE, scheduler: str | None = None) -> None:
        self.source, self._whole, self._scheduler = source, whole, scheduler
        self._read: dict[tuple[str, str], NDArray[Any]] = {}
        self._units: dict[str, Units | None] = {}
        self._found: dict[str, tuple[Wanted, _Found]] = {}

    def models(self, name: str) -> int:
        """Return the number of models in a population."""
        return self.source.models(name)

    def variables(self, name: str) -> list[str]:
        """List the variables of a population."""
        return self.source.variables(name)

    def has(self, name: str, variable: str) -> bool:
        """Tell whether a population has a variable."""
        if isinstance(self.source, Archive | Parts):  # which need not list them all
            return self.source.has(name, variable)
        return variable in self.source.variables(name)

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population, every model of it."""
        return self._once(name, variable, lambda: self.source.read(name, variable))

    def _once(self, name: str, column: str, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Read a column, or give it again; columns that were read long ago go where all take too much memory."""
        key = folded(name), column
        values = self._read.pop(key, None)
        values = self._read[key] = read() if values is None else values
        while len(self._read) > 1 and sum(one.nbytes for one in self._read.values()) > _KEPT:
            del self._read[next(iter(self._read))]
        return values

    def field(self, name: str, variable: str) -> "Column":
        """Describe one variable of a population, if possible without reading it."""
        if isinstance(self.source, Archive | Parts):
            return self.source.shape(name, variable)
        return self.read(name, variable)

    def units(self, name: str) -> Units | None:
        """Find out what the rows of a population are, see `edfkit.study.units.find_units`."""
        key = folded(name)
        if key not in self._units:
            self._units[key] = find_units(self.source, name, self.read)
        return self._units[key]

    def by_row(self, name: str) -> bool:
        """Tell whether a population is small enough to be kept row by row."""
        return self.models(name) <= self._whole

    def expect(self, name: str, wanted: Wanted) -> None:
        """Say what will be asked of a population, so that one pass over a large one finds it all."""
        if self.by_row(name):
            return
        if wanted.chosen is not None and not self.has(name, wanted.chosen[1]):
            wanted = replace(wanted, chosen=None)
        before = self._found.get(folded(name))
        if before is not None:
            if before[0] | wanted == before[0]:
                return
            wanted = before[0] | wanted
        self._found[folded(name)] = wanted, self._pass(name, wanted)

    def together(self, names: Sequence[str], wanted: Wanted) -> "Counted":
        """Give the same source with these populations counted by all of these columns, however small they are.

        The rows and their order do not depend on how they were read.
        """
        found = Counted(self.source, whole=0, scheduler=self._scheduler)
        for name in names:
            self.expect(name, wanted)
            rows = self.rows(name, wanted.columns)
            rows = counted(rows.columns, rows.counts)
            chosen = wanted.chosen is not None and self.chosen(name, wanted.chosen)
            found._found[folded(name)] = wanted, _Found(rows, {}, chosen)
            found._units[folded(name)] = self.units(name)
        return found

    def rows(self, name: str, columns: Sequence[str], *, by_row: bool = False) -> Rows:
        """Give the models of a population by some columns.

        Parameters
        ----------
        name : str
            The population.
        columns : sequence of str
            See `Wanted`.
        by_row : bool
            Whether models are not to be counted, however many there are.

        Returns
        -------
        Rows

        Raises
        ------
        EdfkitError
            If there is no such population or column, and see `edfkit.archive.Archive`.
        """
        if by_row or self.by_row(name):
            return Rows({column: self._column(name, column) for column in columns})
        self.expect(name, Wanted(tuple(columns)))
        return self._found[folded(name)][1].rows.of(columns)

    def ends(self, name: str, variable: str) -> tuple[float, float] | None:
        """Find the smallest and the largest number of a variable; None if none is known."""
        if self.by_row(name):
            lo, hi = _ends(self.read(name, variable))
        else:
            self.expect(name, Wanted(ends=(variable,)))
            lo, hi = self._found[folded(name)][1].ends[variable]
        return (lo, hi) if lo <= hi else None

    def chosen(self, name: str, ends: tuple[str, str], *, by_row: bool = False) -> bool:
        """Tell whether values are the best over the epochs, and those of the last epoch differ; see `Wanted`."""
        if not self.has(name, ends[1]):
            return False
        if by_row or self.by_row(name):
            return _differ(*(self.read(name, one) for one in ends))
        self.expect(name, Wanted(chosen=ends))
        return self._found[folded(name)][1].chosen

    def metrics(self, name: str) -> list[Metric]:
        """List the metrics of a population, the default first."""
        return metrics_of(self.source, name)

    def label(self, name: str) -> str:
        """Give the name of a population as people see it."""
        return label_of(self.source, name)

    def _column(self, name: str, column: str) -> NDArray[Any]:
        if "@" not in column:
            values, models = self.read(name, column), self.models(name)
            check_numbers(name, column, values, models)
            return values
        pieces = _pieces(self.source, name, _read_for(column), 0, self.models(name))
        return self._once(name, column, lambda: np.concatenate([_taken(column, piece) for piece in pieces]))

    def _pass(self, name: str, wanted: Wanted) -> _Found:
        """Read a population once, here or on a cluster."""
        if self._scheduler is None:
            return _count(self.source, name, wanted, 0, self.models(name))
        if not isinstance(self.source, Archive):
            raise EdfkitError(
                "scheduler: these populations are parts, in memory or in published files, expected an archive; leave "
                "it out."
            )
        for variable in wanted.variables:  # described here too: a digest is of all that was read
            self.source.shape(name, variable)
        return _summed(_on_cluster(self.source, name, wanted, self._scheduler))


def _differ(best: NDArray[Any], last: NDArray[Any]) -> bool:
    return bool(((best < last) | (best > last)).any())  # of which neither is so where one is not known


def metrics_of(source: "Source", name: str) -> list[Metric]:
    """List the metrics of a population, the default first; sources that do not say have errors in percent."""
    known = getattr(source, "metrics", None)
    return [ERROR] if known is None else list(known(name))


def label_of(source: "Source", name: str) -> str:
    """Give the name of a population as people see it."""
    known = getattr(source, "label", None)
    return folded(name) if known is None else str(known(name))


def once(source: "Source") -> Counted:
    """Give a source of which every column is read once: itself, if it is one."""
    return source if isinstance(source, Counted) else Counted(source)


def check_numbers(name: str, column: str, values: NDArray[Any], models: int) -> None:
    """Check that a column has one number for each model.

    Raises
    ------
    EdfkitError
        If it has others.
    """
    if values.shape != (models,) or values.dtype.kind not in "iufb":
        has = f"the shape {values.shape}" if values.dtype.kind in "iufb" else f"the type {values.dtype}"
        raise EdfkitError(
            f"{name}: {column!r} has {has}, expected one number for each of the {models:,} models; correct the source."
        )


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    """Find the smallest and the largest number that is known; infinity and minus infinity if none is."""
    real = values.astype(np.float64, copy=False)
    return float(np.fmin.reduce(real, initial=np.inf)), float(np.fmax.reduce(real, initial=-np.inf))


# --- One pass over a population


def _count(source: "Source | str | Address", name: str, wanted: Wanted, start: int, stop: int) -> _Found:
    """Find out what is wanted of some models of a population."""
    if not isinstance(source, str | Address):
        with closing(_ahead(_pieces(source, name, wanted.variables, start, stop))) as pieces:
            return _summed(_of_piece(piece, name, wanted) for piece in steps(pieces, f"counting {name}"))
    with Archive(source) as opened:
        return _count(opened, name, wanted, start, stop)


def _of_piece(piece: Mapping[str, NDArray[Any]], name: str, wanted: Wanted) -> _Found:
    columns = {column: _taken(column, piece) for column in wanted.columns}
    for column, values in columns.items():
        check_numbers(name, column, values, len(values))  # of text only, as the archive has checked how many there are
    return _Found(
        counted(columns) if columns else Rows({}),
        {variable: _ends(piece[variable]) for variable in wanted.ends},
        wanted.chosen is not None and _differ(*(piece[one] for one in wanted.chosen)),
    )


def _pieces(
    source: "Source", name: str, variables: Sequence[str], start: int, stop: int
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Read variables of some models, some at a time."""
    if isinstance(source, Archive | Parts):
        pieces: Iterator[Mapping[str, NDArray[Any]]] = source.chunks(name, variables, start, stop)
    else:
        whole = {variable: source.read(name, variable) for variable in variables}
        for variable in variables:
            if whole[variable].ndim == 1:  # others have a number for each epoch
                check_numbers(name, variable, whole[variable], source.models(name))
        pieces = iter([{variable: values[start:stop] for variable, values in whole.items()}])
    for piece in pieces:
        for first in range(0, len(next(iter(piece.values()))), _AT_ONCE):
            yield {variable: values[first : first + _AT_ONCE] for variable, values in piece.items()}


def _ahead(pieces: Iterator[_T]) -> Generator[_T, None, None]:
    """Yield what an iterator does, while a thread fetches the next one: decompressing takes longer than counting."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, pieces, None)
        while (piece := following.result()) is not None:
            following = thread.submit(next, pieces, None)
            yield piece


def _summed(parts: Iterable[_Found]) -> _Found:
    """Add parts up in such an order that each is sorted a few times only: two of about one size at a time."""
    stack: list[_Found] = []
    for part in parts:
        stack.append(part)
        while len(stack) > 1 and _size(stack[-2]) <= 2 * _size(stack[-1]):
            stack[-2:] = [stack[-2] + stack[-1]]
    return reduce(add, reversed(stack))


def _size(part: _Found) -> int:
    return 0 if part.rows.counts is None else part.rows.counts.size


def _on_cluster(archive: Archive, name: str, wanted: Wanted, scheduler: str) -> Iterator[_Found]:
    """Count the parts of a population on a Dask cluster, and yield what is found, in any order."""
    where = archive.path if isinstance(archive.path, Address) else str(archive.path.resolve())
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
                client.submit(_count, where, name, wanted, start, start + _OF_A_TASK, pure=False)
                for start in range(0, archive.models(name), _OF_A_TASK)
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
