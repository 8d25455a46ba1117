"""Which models of a source take part in a study, and with which weights.

A model that failed has no error and takes no part. A diverged one does, as it is what its configuration leads to,
unless the policy is another. Given a complexity, models outside the range take no part either. What is left out is
counted, by reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.schema import Status
from edfkit.stats.bins import DEFAULT_LEAST, bin_index, check_bins, common_range, default_bins
from edfkit.stats.edf import Floats, area
from edfkit.stats.sample import Sample
from edfkit.stats.two_sample import Summary, summarize
from edfkit.study.counting import Counted, Wanted, distinct, once
from edfkit.study.settings import COMPLEXITIES, FILLS, Control, Reading, SelectionKeywords, settle
from edfkit.study.units import Units, sharing

if TYPE_CHECKING:
    from edfkit import documents


OUTCOMES = ("error", "error_final", "test_error", "train_error", "train_loss", "status")
"""Variables that cannot be held equal, as they are what is compared."""


FINDINGS = ("none", "shape")
"""What is found of two populations of which none is better: no names of populations that are compared."""


class Source(Protocol):
    """What populations are read from: an `Archive`, `Published` files, or `InMemory`."""

    def models(self, name: str) -> int:
        """Return the number of models in a population."""

    def variables(self, name: str) -> list[str]:
        """List the variables of a population."""

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population, shape (models,) or (models, epochs)."""


class InMemory:
    """Populations that are in memory, as a source of studies.

    Parameters
    ----------
    populations : mapping of str to mapping of str to array_like, or to xarray.Dataset
        For each population its variables, named as in an archive: `error` (percent) and those that a study needs, such
        as `params`. Without `status` all models are finished.
    """

    def __init__(self, populations: Mapping[str, Mapping[Any, Any]]) -> None:
        self._populations = {name.lower(): variables for name, variables in populations.items()}

    @property
    def names(self) -> list[str]:
        """The populations."""
        return list(self._populations)

    def models(self, name: str) -> int:
        """Return the number of models in a population."""
        return len(self.read(name, "error"))

    def variables(self, name: str) -> list[str]:
        """List the variables of a population."""
        return list(map(str, self._variables(name)))

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population.

        Raises
        ------
        EdfkitError
            If there is no such population or variable; the message lists those there are.
        """
        variables = self._variables(name)
        if variable in variables:
            return np.asarray(variables[variable])
        if variable == "status":
            return np.zeros(self.models(name), np.int8)
        raise EdfkitError(f"The population {name!r} has no {variable!r}, but only {', '.join(map(str, variables))}.")

    def _variables(self, name: str) -> Mapping[Any, Any]:
        variables = self._populations.get(name.lower())
        if variables is None:
            raise EdfkitError(f"There is no population {name!r}; choose from {', '.join(self._populations)}.")
        return variables


def cells(
    errors: Floats, complexity: Floats, counts: NDArray[np.int64] | None = None
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Count models of one error and complexity, in order of error, then of complexity.

    Parameters
    ----------
    errors : ndarray, shape (n,)
        Percent.
    complexity : ndarray, shape (n, d)
    counts : ndarray of int64, shape (n,), optional
        How many models each entry is already; one if not given.

    Returns
    -------
    errors, complexity, counts : ndarray, shapes (m,), (m, d) and (m,)
    """
    (errors, *columns), number = distinct([errors, *complexity.T], counts)
    return errors, np.column_stack(columns) if columns else np.zeros((errors.size, 0)), number


@dataclass(frozen=True)
class Population:
    """The models of one space that take part.

    Attributes
    ----------
    name : str
    errors : ndarray, shape (n,)
        Percent.
    weights : ndarray of shape (n,), or None
        Of one model; they sum to 1 over all models. None weighs all alike.
    bins : ndarray of int of shape (n,), or None
        The complexity bin of each; None if no complexity is given.
    rows : ndarray of int, shape (n,)
        Which models of the source these are; empty if they were counted.
    diverged : int
        Those among them that diverged.
    left_out : dict of str to int
        How many models take no part, by reason; only reasons that occurred.
    area_to : float
        Right end of the area under the EDF, percent.
    counts : ndarray of int64 of shape (n,), or None
        If the models were counted, each error stands for so many of the same bin and complexity, and has the weight of
        one of them.
    complexity : ndarray of shape (n, complexities), or None
        What is held equal within strata, raw numbers; None if nothing is, or bins do it.
    units : Units or None
        What the rows are, or were before they were counted; None where that is not known.
    cells : (ndarray, ndarray, ndarray) or None
        With bins, errors and complexities and how many models have them, see `cells`.
    also : ndarray of shape (n, columns), or None
        Other columns that were asked for, raw numbers.
    settled : bool
        Whether the entries are the same, in the same order, however the models were come by.
    """

    name: str
    errors: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    bins: NDArray[np.intp] | None
    rows: NDArray[np.intp]
    diverged: int
    left_out: dict[str, int]
    area_to: float = 50.0
    counts: NDArray[np.int64] | None = None
    complexity: Floats | None = None
    units: Units | None = None
    cells: tuple[Floats, Floats, NDArray[np.int64]] | None = None
    also: Floats | None = None
    settled: bool = False

    @property
    def models(self) -> int:
        """How many models take part."""
        return self.errors.size if self.counts is None else int(self.counts.sum())

    @cached_property
    def sample(self) -> Sample:
        """What statistics are computed of."""
        return Sample(self.errors, self.weights, self.counts, self.bins)

    @cached_property
    def summary(self) -> Summary:
        """The errors in numbers, the same however the models were counted."""
        if self.bins is not None:
            counted = self.counted()
            return summarize(counted.errors, counted.weights, self.area_to, counts=counted.counts)
        if self.weights is not None:
            return summarize(self.errors, self.weights, self.area_to, counts=self.counts)
        (values,), counts = distinct([self.errors], self.counts)
        return summarize(values, None, self.area_to, counts=counts)

    @property
    def shares(self) -> NDArray[np.float64] | None:
        """What each error weighs with all the models that it stands for; None weighs all alike."""
        if self.counts is None:
            return self.weights
        return self.counts * (1 / self.counts.sum() if self.weights is None else self.weights)

    def counted(self) -> "Population":
        """Count models that are alike: of one error and complexity, or of one error and bin.

        With bins the complexities are in `cells`. The result does not depend on how the models were read.
        """
        if self.settled:
            return self
        own = None if self.complexity is None else cells(self.errors, self.complexity, self.counts)
        if self.bins is None:
            errors, complexity, counts = own or cells(self.errors, np.zeros((self.errors.size, 0)), self.counts)
            return replace(
                self,
                errors=errors,
                weights=None,
                rows=self.rows[:0],
                counts=counts,
                complexity=complexity if own else None,
                also=None,
                settled=True,
            )
        each = None
        if self.weights is not None:
            each = np.zeros(int(self.bins.max()) + 1)
            each[self.bins] = self.weights
        (errors, bins), counts = distinct([self.errors, self.bins], self.counts)
        return replace(
            self,
            errors=errors,
            weights=None if each is None else each[bins],
            bins=bins,
            rows=self.rows[:0],
            counts=counts,
            complexity=None,
            cells=own,
            also=None,
            settled=True,
        )

    def taken(self, rows: NDArray[Any], weights: Floats | None = None) -> "Population":
        """Give some of the entries, weighted in some way."""
        return replace(
            self,
            errors=self.errors[rows],
            weights=weights,
            bins=None if self.bins is None else self.bins[rows],
            rows=self.rows[rows] if self.counts is None else self.rows,
            counts=None if self.counts is None else self.counts[rows],
            complexity=None if self.complexity is None else self.complexity[rows],
            units=self.units.taken(rows) if self.units is not None and self.counts is None else None,
            cells=None,
            also=None if self.also is None else self.also[rows],
        )

    def ordered(self) -> "Population":
        """Put the rows in order of error, complexity and unit, so that the order in which they came changes nothing."""
        keys = [self.errors, *([] if self.complexity is None else self.complexity.T)]
        if self.units is not None:
            keys.append(self.units.unit)
        order = np.lexsort(keys[::-1])
        return self.taken(order, None if self.weights is None else self.weights[order])

    @property
    def sizes(self) -> Floats:
        """Units that each row stands for: a count, or 1 / k for one of k rows of a unit."""
        if self.counts is not None:
            return self.counts.astype(np.float64)
        if self.units is None or not self.repeats:
            return np.ones(self.errors.size)
        return self.units.weights * self.units.different.size

    @property
    def repeats(self) -> bool:
        """Whether some unit has several rows."""
        return self.units is not None and self.units.repeated

    def to_dict(self) -> "documents.Space":
        """Give the summary as plain data; errors are percent, `area` and the keys of `quantiles` shares (0 to 1)."""
        summary = self.summary
        return {
            "name": self.name,
            "models": summary.models,
            "diverged": self.diverged,
            "left_out": sum(self.left_out.values()),
            "left_out_why": self.left_out,
            "n_eff": summary.n_eff,
            "min": summary.min,
            "mean": summary.mean,
            "median": summary.median,
            "area": summary.area,
            "area_to": summary.area_to,
            "quantiles": {f"{q:g}": value for q, value in summary.quantiles.items()},
        }


@dataclass(frozen=True)
class Selection:
    """The models that take part in a study.

    Attributes
    ----------
    given : str
        The complexity that is controlled for, or "none".
    error : str
        "best", the smallest over the epochs, "final", after the last one, or after an epoch, such as "5".
    diverged : {"keep", "drop", "censor"}
        What is done with runs that diverged: they keep their error, take no part, or count as 100 %.
    bins : int or None
    range : (float, float) or None
        Raw counts, both ends included.
    populations : list of Population
    strata : int or None
        Strata that were asked for; None for the default, and where there are none.
    chosen_on_test : bool
        Whether errors are the smallest over the epochs on the test set, and others are known.
    """

    given: str
    error: str
    diverged: str
    bins: int | None
    range: tuple[float, float] | None
    populations: list[Population]
    strata: int | None = None
    chosen_on_test: bool = False

    def to_dict(self) -> "documents.Selected":
        """Give what was selected, and how, as plain data."""
        return {
            "given": self.given,
            "error": self.error,
            "diverged": self.diverged,
            "bins": self.bins,
            "range": None if self.range is None else list(self.range),
            "spaces": [member.to_dict() for member in self.populations],
        }


def check_names(names: Sequence[str]) -> list[str]:
    """Return the names of populations in lower case.

    Raises
    ------
    EdfkitError
        If one comes twice.
    """
    lower = [name.lower() for name in names]
    if len(set(lower)) < len(lower):
        raise EdfkitError(f"A population is named twice in {', '.join(lower)}; name each once.")
    if len(lower) > 1 and (taken := [name for name in lower if name in FINDINGS]):
        raise EdfkitError(
            f"A population is called {taken[0]!r}, which stands for a finding in every result of a comparison; give it "
            "another name."
        )
    return lower


def select(
    source: Source,
    names: Sequence[str],
    *,
    area_to: float = 50.0,
    by_row: bool = False,
    also: Sequence[str] = (),
    **settings: Unpack[SelectionKeywords],
) -> Selection:
    """Find the models of populations that take part, and their weights.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population, each once.
    area_to : float
        Right end of the area under the EDF, percent.
    by_row : bool
        Whether to give every model as a row; else those of large populations are counted, see `edfkit.study.counting`.
    also : sequence of str
        Other numeric columns to give of each row.
    **settings
        `reading` and `control`, or their fields, see `edfkit.study.settings`; by default nothing is held equal.

    Returns
    -------
    Selection

    Raises
    ------
    EdfkitError
        If a population is named twice, does not exist or has no usable model, its complexity is not known, or the range
        and the bins do not fit the populations.
    """
    reading, control = settle("select", settings, Control("none"))
    area([0.0], area_to)  # refuses an end that it cannot have before anything is read
    given, bins, range = control.given, control.bins, control.range
    if control.strata is not None or len(control.columns) > 1:
        what = f"given {given}" if control.strata is None else f"{control.strata} strata"
        raise EdfkitError(f"This study holds one complexity equal, by bins, and {what} was asked for; leave that out.")
    names, counted = check_names(names), once(source)
    if not by_row:
        expect(counted, names, reading, control.columns, also=also)
    read = {name: _read(counted, name, reading, control.columns, by_row=by_row, also=also) for name in names}
    if given == "none":
        populations = [one.population(area_to) for one in read.values()]
        return Selection(given, reading.error, reading.diverged, None, None, populations)
    complexities = {name: one.complexity[:, 0] for name, one in read.items()}
    lo, hi = range = range or common_range(*complexities.values(), names=list(read))
    if bins is None:  # which depends only on whether bins hold up to 5 models
        bins = default_bins({name: one.repeated(DEFAULT_LEAST) for name, one in read.items()}, lo, hi)
    check_bins(complexities, lo, hi, bins)
    populations = []
    for name, complexity in complexities.items():
        below, above = complexity < lo, complexity > hi
        outside = {
            f"{given} below the range": read[name].number(below),
            f"{given} above the range": read[name].number(above),
        }
        member = read[name].taken(np.flatnonzero(~(below | above)), outside).population(area_to)
        assert member.complexity is not None
        index = bin_index(member.complexity[:, 0], lo, hi, bins)
        in_bin = np.bincount(index, member.counts, bins)
        populations.append(replace(member, weights=1 / (bins * in_bin[index]), bins=index))
    return Selection(given, reading.error, reading.diverged, bins, range, populations)


def gather(
    source: Source,
    names: Sequence[str],
    *,
    area_to: float = 50.0,
    by_row: bool = False,
    also: Sequence[str] = (),
    **settings: Unpack[SelectionKeywords],
) -> Selection:
    """Find the models of populations that take part, as they are, with what is held equal within strata.

    Parameters
    ----------
    source, names, area_to, by_row, also, **settings
        As in `select`; the control has no bins and no range.

    Returns
    -------
    Selection
        Unweighted.

    Raises
    ------
    EdfkitError
        See `select`.
    """
    reading, control = settle("gather", settings, Control("none"))
    area([0.0], area_to)
    names, counted = check_names(names), once(source)
    chosen, by_row = reading.error == "best", by_row or told_apart(counted, names)
    if not by_row:
        expect(counted, names, reading, control.columns, also=also, chosen=chosen)
    populations = []
    for name in names:
        one = _read(counted, name, reading, control.columns, by_row=by_row, also=also).population(area_to)
        populations.append(replace(one, units=units_of(counted, one)))
    chosen = chosen and any(counted.chosen(name, by_row=by_row) for name in names)
    return Selection(control.given, reading.error, reading.diverged, None, None, populations, control.strata, chosen)


def expect(
    source: Counted,
    names: Sequence[str],
    reading: Reading,
    columns: Sequence[str],
    *,
    also: Sequence[str] = (),
    chosen: bool = False,
) -> None:
    """Have large populations counted by an error and columns that are to be held equal, in one pass over each."""
    for name in names:
        if not source.by_row(name):
            for column in columns:
                check_column(column, source.field(name, column))
            which = error_column(source, name, reading)
            source.expect(name, Wanted((which, "status", *columns, *also), chosen=chosen))


def units_of(source: Source, member: Population) -> Units | None:
    """Find out what the rows of a population that take part are; None if that is not known."""
    units = once(source).units(member.name)
    return units if units is None or member.counts is not None else units.taken(member.rows)


def told_apart(source: Counted, names: Sequence[str]) -> bool:
    """Tell whether rows that would be counted have to be told apart: some repeat a unit, or have counterparts."""
    if all(map(source.by_row, names)):
        return False
    units = {name: source.units(name) for name in names}
    return any(one is not None and one.repeated for one in units.values()) or any(
        sharing(a, b, units[a], units[b]).paired for a, b in combinations(names, 2)
    )


@dataclass(frozen=True)
class _Read:
    """The models of a population that take part."""

    name: str
    rows: NDArray[np.intp]
    status: NDArray[Any]
    errors: Floats
    complexity: Floats
    also: Floats
    counts: NDArray[np.int64] | None
    left_out: dict[str, int]

    def number(self, which: NDArray[np.bool_]) -> int:
        return _number(which, self.counts)

    def taken(self, rows: NDArray[np.intp], left_out: dict[str, int]) -> "_Read":
        return _Read(
            self.name,
            self.rows[rows] if self.counts is None else self.rows,
            self.status[rows],
            self.errors[rows],
            self.complexity[rows],
            self.also[rows],
            None if self.counts is None else self.counts[rows],
            self.left_out | left_out,
        )

    def repeated(self, most: int) -> Floats:
        """Give the only complexity of each model, up to so many of each entry."""
        only = self.complexity[:, 0]
        return only if self.counts is None else np.repeat(only, np.minimum(self.counts, most))

    def population(self, area_to: float) -> Population:
        return Population(
            self.name,
            self.errors,
            None,
            None,
            self.rows,
            self.number(self.status == Status.DIVERGED),
            {reason: count for reason, count in self.left_out.items() if count},
            area_to,
            self.counts,
            self.complexity if self.complexity.shape[1] else None,
            also=self.also,
        )


def _number(which: NDArray[np.bool_], counts: NDArray[np.int64] | None) -> int:
    """Count models."""
    return int(np.count_nonzero(which) if counts is None else counts[which].sum())


def _read(
    source: Counted,
    name: str,
    reading: Reading,
    columns: Sequence[str],
    *,
    by_row: bool = False,
    also: Sequence[str] = (),
) -> _Read:
    """Read the models of a population that take part: the one place that says which these are."""
    which = error_column(source, name, reading)
    for column in columns:
        check_column(column, source.field(name, column))
    found = source.rows(name, (which, "status", *columns, *also), by_row=by_row)
    status, counts = found.columns["status"], found.counts
    left_out = {}
    takes = np.ones(status.size, bool)
    for reason, code, policy in (
        ("failed", Status.FAILED, reading.failed),
        ("diverged", Status.DIVERGED, reading.diverged),
    ):
        some = (status == code) & (policy == "drop")
        takes &= ~some
        left_out[reason] = _number(some, counts)
    rows = np.flatnonzero(takes)
    if not rows.size:
        reasons = " or ".join(reason for reason, count in left_out.items() if count)
        raise EdfkitError(
            f"All {source.models(name)} models of {name} {reasons}, so it has no errors to compare; leave it out."
        )
    part = slice(None) if rows.size == status.size else rows  # nothing is copied where all take part
    status, counts = status[part], None if counts is None else counts[part]
    errors = found.columns[which][part].astype(np.float64)
    if reading.diverged == "censor":
        errors[status == Status.DIVERGED] = 100.0
    if reading.failed != "drop":
        errors[status == Status.FAILED] = FILLS[reading.failed]
    if unknown := _number(np.isnan(errors), counts):
        models = rows.size if counts is None else int(counts.sum())
        raise EdfkitError(
            f"The {reading.error} error of {unknown:,} of the {models:,} {name} models is not known; compare by the "
            "other."
        )
    complexity = [_known(found.columns[column][part], column, name, counts) for column in columns]
    others = [found.columns[column][part].astype(np.float64) for column in also]
    nothing = np.zeros((rows.size, 0))
    return _Read(
        name,
        rows if counts is None else rows[:0],
        status,
        errors,
        np.column_stack(complexity) if complexity else nothing,
        np.column_stack(others) if others else nothing,
        counts,
        left_out,
    )


def error_column(source: Counted, name: str, reading: Reading) -> str:
    """Name the column of an error, see `counting.Wanted`.

    Raises
    ------
    EdfkitError
        If it is neither best nor final nor the number of an epoch.
    """
    if reading.error in ("best", "final"):
        return "error" if reading.error == "best" else "error_final"
    epochs = source.field(name, "test_error").shape[1]
    if not reading.error.isdecimal() or not 1 <= int(reading.error) <= epochs:
        raise EdfkitError(
            f"The error was to be {reading.error!r}, expected best, final or an epoch of {name}, 1 to {epochs}; give "
            "one of these."
        )
    return str(int(reading.error))


def shared_range(source: Source, names: Sequence[str], given: str, diverged: str = "keep") -> tuple[float, float]:
    """Find the range of a complexity that populations cover: what `select` takes without one.

    Parameters
    ----------
    source, names, given, diverged
        As in `select`; a complexity is given.

    Returns
    -------
    lo, hi : float
        Raw counts. Within them some population may have no model.

    Raises
    ------
    EdfkitError
        If there is no such range, and see `select`.
    """
    reading, counted = Reading(diverged=diverged), once(source)
    read = {name: _read(counted, name, reading, (given,)).complexity[:, 0] for name in check_names(names)}
    return common_range(*read.values(), names=list(read))


def read_complexity(source: Source, name: str, given: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Read a complexity of some models of a population, raw counts, or refuse it if it is not known.

    Raises
    ------
    EdfkitError
        If that of one of the models is not known.
    """
    values = source.read(name, given)
    check_column(given, values)
    return _known(values[rows], given, name, None)


def _known(values: NDArray[Any], given: str, name: str, counts: NDArray[np.int64] | None) -> Floats:
    """Return a complexity as a float array, or refuse it if it is not known of all models."""
    numbers = values.astype(np.float64)
    if unknown := _number(~np.isfinite(numbers), counts):
        models = numbers.size if counts is None else int(counts.sum())
        raise EdfkitError(
            f"The {given} of {unknown:,} of the {models:,} {name} models are not known; compare given another "
            "complexity, or none."
        )
    return numbers


class Column(Protocol):
    """What is known of a column before it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type."""


def check_column(given: str, column: Column) -> None:
    """Check that a column can be held equal.

    Raises
    ------
    EdfkitError
        If it is a result of the runs, has no numbers or several for each model.
    """
    if given in OUTCOMES:
        raise EdfkitError(
            f"given: {given} is a result of training, expected what was set before it; give another column."
        )
    if len(column.shape) != 1 or column.dtype.kind not in "iuf":
        what = "several numbers for each model" if column.dtype.kind in "iuf" else "no numbers"
        raise EdfkitError(f"given: {given} has {what}, expected one number for each model; give another column.")


def complexity_ranges(source: Source, name: str) -> dict[str, tuple[float, float] | None]:
    """Smallest and largest of each complexity of a population, raw counts; None where it is not known."""
    counted = once(source)
    return {column: counted.ends(name, column) if counted.has(name, column) else None for column in COMPLEXITIES}
