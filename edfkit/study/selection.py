"""Which models of a source take part in a study, and with which weights.

A model that failed has no error and takes no part. A diverged one does, as it is what its configuration leads to,
unless the policy is another. Given a complexity, models outside the range take no part either. What is left out is
counted, by reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.schema import Status
from edfkit.stats.bins import bin_index, check_bins, common_range, complexity_weights, default_bins
from edfkit.stats.edf import Floats
from edfkit.stats.two_sample import Summary, summarize
from edfkit.study.settings import COMPLEXITIES, FILLS, Control, Reading, SelectionKeywords, settle
from edfkit.study.units import Units, find_units

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


def alike(
    errors: Floats, weights: Floats | None, bins: NDArray[np.intp] | None
) -> tuple[Floats, Floats | None, NDArray[np.intp] | None, NDArray[np.int64]]:
    """Count models of one error and bin, as `edfkit.study.counting.Table.to_sample` gives them.

    Parameters
    ----------
    errors : ndarray, shape (n,)
        Percent.
    weights : ndarray of shape (n,), or None
        The same within a bin.
    bins : ndarray of int of shape (n,), or None
        From 0; None: one bin.

    Returns
    -------
    errors, weights, bins : ndarray of shape (m,), or None
        In order of error, then of bin; None as given.
    counts : ndarray of int64, shape (m,)
    """
    cell = np.unique(errors, return_inverse=True)[1]
    if bins is not None:
        cell = cell * (int(bins.max()) + 1) + bins
    _, first, counts = np.unique(cell, return_index=True, return_counts=True)
    return (
        errors[first],
        None if weights is None else weights[first],
        None if bins is None else bins[first],
        counts.astype(np.int64),
    )


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
    order = np.lexsort((*complexity.T[::-1], errors))
    rows = np.column_stack([errors, complexity])[order]
    first = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1))) if len(rows) else np.zeros(0, np.intp)
    number = np.ones(errors.size, np.int64) if counts is None else counts[order]
    return rows[first, 0], rows[first, 1:], np.add.reduceat(number, first) if first.size else number


def summary_of(errors: Floats, counts: NDArray[np.int64], area_to: float) -> Summary:
    """Summarise models that are counted, each error once, so that it does not matter how they were counted.

    Parameters
    ----------
    errors : ndarray, shape (n,)
        Percent.
    counts : ndarray of int64, shape (n,)
        How many models each entry is.
    area_to : float
        Right end of the area under the EDF, percent.

    Returns
    -------
    Summary
    """
    values, place = np.unique(errors, return_inverse=True)
    return summarize(values, None, area_to, counts=np.bincount(place, counts).astype(np.int64))


@dataclass(frozen=True)
class Population:
    """The models of one space that take part, and their summary.

    Attributes
    ----------
    name : str
    errors : ndarray, shape (models,)
        Percent.
    weights : ndarray of shape (models,), or None
        Sum to 1 over all models; None weighs all alike.
    bins : ndarray of int of shape (models,), or None
        The complexity bin of each; None if no complexity is given.
    rows : ndarray of int, shape (models,)
        Which models of the source these are; empty if they were counted.
    diverged : int
        Those among them that diverged.
    left_out : dict of str to int
        How many models take no part, by reason; only reasons that occurred.
    summary : Summary
    counts : ndarray of int64 of shape (models,), or None
        If the models were counted, each error stands for so many of the same bin and complexity, and has the weight of
        one of them.
    complexity : ndarray of shape (models, complexities), or None
        What is held equal within strata, raw numbers; None if nothing is, or bins do it.
    units : Units or None
        What the rows are, or were before they were counted; None where that is not known.
    cells : (ndarray, ndarray, ndarray) or None
        With bins, errors and complexities and how many models have them, see `cells`.
    """

    name: str
    errors: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    bins: NDArray[np.intp] | None
    rows: NDArray[np.intp]
    diverged: int
    left_out: dict[str, int]
    summary: Summary
    counts: NDArray[np.int64] | None = None
    complexity: Floats | None = None
    units: Units | None = None
    cells: tuple[Floats, Floats, NDArray[np.int64]] | None = None

    @property
    def shares(self) -> NDArray[np.float64] | None:
        """What each error weighs with all the models that it stands for; None weighs all alike."""
        if self.counts is None:
            return self.weights
        return self.counts * (1 / self.counts.sum() if self.weights is None else self.weights)

    def counted(self) -> "Population":
        """Count the models that are alike, of one error, bin and complexity: the same, the numbers up to round-off.

        However the models were come by, the result is the same to the last bit.
        """
        if self.counts is not None:
            return self
        counted = self.cells
        if self.complexity is None or self.bins is not None:
            errors, weights, bins, counts = alike(self.errors, self.weights, self.bins)
            counted = None if self.complexity is None else cells(self.errors, self.complexity)
            complexity = None
        else:
            weights = bins = None
            errors, complexity, counts = cells(self.errors, self.complexity)
        summary = (
            summary_of(errors, counts, self.summary.area_to)
            if weights is None
            else summarize(errors, weights, self.summary.area_to, counts=counts)
        )
        return replace(
            self,
            errors=errors,
            weights=weights,
            bins=bins,
            rows=self.rows[:0],
            summary=summary,
            counts=counts,
            complexity=complexity,
            cells=counted,
        )

    def ordered(self) -> "Population":
        """Put the rows in order of error, complexity and unit, so that the order in which they came changes nothing."""
        keys = [self.errors, *([] if self.complexity is None else self.complexity.T)]
        if self.units is not None:
            keys.append(self.units.unit)
        order = np.lexsort(keys[::-1])
        return replace(
            self,
            errors=self.errors[order],
            weights=None if self.weights is None else self.weights[order],
            bins=None if self.bins is None else self.bins[order],
            rows=self.rows[order],
            complexity=None if self.complexity is None else self.complexity[order],
            units=None if self.units is None else self.units.taken(order),
            summary=self.counted().summary,
        )

    @property
    def sizes(self) -> Floats:
        """Units that each row stands for: a count, or 1 / k for one of k rows of a unit."""
        if self.counts is not None:
            return self.counts.astype(np.float64)
        if self.units is None or not self.repeats:
            return np.ones(self.errors.size)
        return self.units.weights * np.unique(self.units.unit).size

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
    given, bins, range = control.given, control.bins, control.range
    if control.strata is not None or len(control.columns) > 1:
        what = f"given {given}" if control.strata is None else f"{control.strata} strata"
        raise EdfkitError(f"This study holds one complexity equal, by bins, and {what} was asked for; leave that out.")
    names = check_names(names)
    read = {name: _read(source, name, reading, control.columns) for name in names}
    weights: dict[str, NDArray[np.float64]] = {}
    indices: dict[str, NDArray[np.intp]] = {}
    if given != "none":
        complexities = {name: one.complexity[:, 0] for name, one in read.items()}
        lo, hi = range = range or common_range(*complexities.values(), names=names)
        if bins is None:
            bins = default_bins(complexities, lo, hi)
        check_bins(complexities, lo, hi, bins)
        for name, complexity in complexities.items():
            weight = complexity_weights(complexity, lo, hi, bins)
            inside = weight > 0
            outside = {
                f"{given} below the range": int((complexity < lo).sum()),
                f"{given} above the range": int((complexity > hi).sum()),
            }
            indices[name], weights[name] = bin_index(complexity, lo, hi, bins)[inside], weight[inside]
            read[name] = read[name].taken(inside, outside)
    populations = [
        replace(one.population(area_to, weights.get(name)), bins=indices.get(name)) for name, one in read.items()
    ]
    return Selection(given, reading.error, reading.diverged, bins, range, populations)


def gather(
    source: Source, names: Sequence[str], *, area_to: float = 50.0, **settings: Unpack[SelectionKeywords]
) -> Selection:
    """Find the models of populations that take part, as they are, with what is held equal within strata.

    Parameters
    ----------
    source, names, area_to, **settings
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
    populations = []
    for name in check_names(names):
        one = _read(source, name, reading, control.columns).population(area_to, None)
        populations.append(replace(one, units=units_of(source, one)))
    chosen = reading.error == "best" and any(map(partial(chosen_on_test, source), names))
    return Selection(control.given, reading.error, reading.diverged, None, None, populations, control.strata, chosen)


def units_of(source: Source, member: Population) -> Units | None:
    """Find out what the rows of a population that take part are; None if that is not known."""
    units = find_units(source, member.name)
    return None if units is None else units.taken(member.rows)


def chosen_on_test(source: Source, name: str) -> bool:
    """Tell whether the errors of a population are the smallest over the epochs, and those of the last epoch differ."""
    if "error_final" not in source.variables(name):
        return False
    if source.models(name) > _LOOKED_AT and hasattr(source, "chunks"):  # some tell
        piece = next(source.chunks(name, ["error", "error_final"], 0, _LOOKED_AT))
        return bool((piece["error"] < piece["error_final"]).any())
    return bool((source.read(name, "error") < source.read(name, "error_final")).any())


_LOOKED_AT = 100_000


@dataclass(frozen=True)
class _Read:
    """The models of a population that take part."""

    name: str
    rows: NDArray[np.intp]
    status: NDArray[Any]
    errors: Floats
    complexity: Floats
    left_out: dict[str, int]

    def taken(self, inside: NDArray[np.bool_], left_out: dict[str, int]) -> "_Read":
        return _Read(
            self.name,
            self.rows[inside],
            self.status[inside],
            self.errors[inside],
            self.complexity[inside],
            self.left_out | left_out,
        )

    def population(self, area_to: float, weights: Floats | None) -> Population:
        return Population(
            self.name,
            self.errors,
            weights,
            None,
            self.rows,
            int((self.status == Status.DIVERGED).sum()),
            {reason: count for reason, count in self.left_out.items() if count},
            summarize(self.errors, weights, area_to),
            complexity=self.complexity if self.complexity.shape[1] else None,
        )


def _read(source: Source, name: str, reading: Reading, columns: Sequence[str]) -> _Read:
    """Read the errors and complexities of the models of a population that take part."""
    values = _errors(source, name, reading.error)
    status, usable, left_out = _usable(source, name, reading.diverged, reading.failed)
    if reading.diverged == "censor":
        values = np.where(status == Status.DIVERGED, 100.0, values)
    if reading.failed != "drop":
        values = np.where(status == Status.FAILED, FILLS[reading.failed], values)
    rows, errors = np.flatnonzero(usable), values[usable]
    if unknown := np.isnan(errors).sum():
        raise EdfkitError(
            f"The {reading.error} error of {unknown:,} of the {usable.sum():,} {name} models is not known; compare by "
            "the other."
        )
    complexity = [read_complexity(source, name, column, rows) for column in columns]
    return _Read(
        name,
        rows,
        status[usable],
        errors,
        np.column_stack(complexity) if columns else np.zeros((rows.size, 0)),
        left_out,
    )


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
    names, diverged = check_names(names), Reading(diverged=diverged).diverged
    rows = [np.flatnonzero(_usable(source, name, diverged)[1]) for name in names]
    complexities = [read_complexity(source, *one) for one in zip(names, [given] * len(names), rows, strict=True)]
    return common_range(*complexities, names=names)


def _usable(
    source: Source, name: str, diverged: str, failed: str = "drop"
) -> tuple[NDArray[Any], NDArray[np.bool_], dict[str, int]]:
    """Return the status of the models of a population, which of them take part, and how many do not, by reason."""
    status = source.read(name, "status")
    dropped = {
        "failed": (status == Status.FAILED) & (failed == "drop"),
        "diverged": (status == Status.DIVERGED) & (diverged == "drop"),
    }
    usable = ~(dropped["failed"] | dropped["diverged"])
    left_out = {reason: int(some.sum()) for reason, some in dropped.items()}
    if not usable.any():
        reasons = " or ".join(reason for reason, count in left_out.items() if count)
        raise EdfkitError(
            f"All {len(status)} models of {name} {reasons}, so it has no errors to compare; leave it out."
        )
    return status, usable, left_out


def _errors(source: Source, name: str, error: str) -> NDArray[np.float64]:
    column = {"best": "error", "final": "error_final"}.get(error)
    if column is not None:
        return source.read(name, column).astype(float)
    curves = source.read(name, "test_error")
    if not error.isdecimal() or not 1 <= int(error) <= curves.shape[1]:
        raise EdfkitError(
            f"The error was to be {error!r}, expected best, final or an epoch of {name}, 1 to {curves.shape[1]}; give "
            "one of these."
        )
    return curves[:, int(error) - 1].astype(float)


def read_complexity(source: Source, name: str, given: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Read a complexity of some models of a population, raw counts, or refuse it if it is not known.

    Raises
    ------
    EdfkitError
        If that of one of the models is not known.
    """
    values = source.read(name, given)
    check_column(given, values)
    counts = values[rows].astype(float)
    if unknown := np.count_nonzero(~np.isfinite(counts)):
        raise EdfkitError(
            f"The {given} of {unknown:,} of the {len(rows):,} {name} models are not known; compare given another "
            "complexity, or none."
        )
    return counts


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
        what = "several numbers for each model" if len(column.shape) != 1 else "no numbers"
        raise EdfkitError(f"given: {given} has {what}, expected one number for each model; give another column.")


def complexity_ranges(source: Source, name: str) -> dict[str, tuple[float, float] | None]:
    """Smallest and largest of each complexity of a population, raw counts; None where it is not known."""
    ranges: dict[str, tuple[float, float] | None] = {}
    for complexity in COMPLEXITIES:
        if complexity not in source.variables(name):
            ranges[complexity] = None
            continue
        values = source.read(name, complexity).astype(float)
        known = values[~np.isnan(values)]
        ranges[complexity] = (float(known.min()), float(known.max())) if known.size else None
    return ranges
