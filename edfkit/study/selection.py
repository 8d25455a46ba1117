"""Which models of a source take part in a study, and with which weights.

A run that failed, was stopped, or is not over takes no part. A diverged one does, as it is what its configuration leads
to: with its value, or as the worst where it has none. Policies can say otherwise. Given a complexity, models outside
the range take no part either. What is left out is counted, by reason.

Convention: values are oriented, see `edfkit.metric`: of two errors the smaller one is the better, whatever the metric.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.outcomes import NO_WORD, codes, of_curves, outcomes
from edfkit.archive.schema import FINDINGS, Status, curve_of, final_of
from edfkit.metric import BEYOND, ERROR, Metric, check_bounds, find
from edfkit.stats.bins import DEFAULT_LEAST, bin_index, check_bins, common_range, default_bins
from edfkit.stats.edf import Floats, effective_size
from edfkit.stats.sample import Sample, tied
from edfkit.stats.two_sample import Summary, summarize
from edfkit.study.counting import Counted, Wanted, at_best, at_epoch, distinct, label_of, metrics_of, once
from edfkit.study.parts import Parts, folded
from edfkit.study.settings import AS_WORST, COMPLEXITIES, Control, Reading, SelectionKeywords, settle
from edfkit.study.units import Units, sharing

if TYPE_CHECKING:
    from edfkit import documents


DEFAULT_READING = Reading()

OUTCOMES = ("error", "error_final", "test_error", "train_error", "train_loss", "status")
"""Variables that cannot be held equal, as they are what is compared."""


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
        For each population its variables, named as in an archive: the metric, and those that a study needs, such as
        `params`. Masked values, None and NaN are not known. `status` holds words, such as finished and failed, or
        their codes; without it a run without a value failed, one whose value is infinite or whose curve has a NaN
        before a value diverged, and one with a shorter curve than others was stopped, as `edfkit.archive.outcomes` has
        it. Rows that share the number, or the name, in `unit` are of one network.
    metric : Metric, or sequence of Metric, optional
        What is measured, the default first; by default `error`, percent.
    """

    def __init__(
        self, populations: Mapping[str, Mapping[Any, Any]], metric: Metric | Sequence[Metric] | None = None
    ) -> None:
        self._populations = {name.lower(): variables for name, variables in populations.items()}
        self._labels = {name.lower(): name for name in populations}
        self._stated = metric is not None
        self._metrics = [metric or ERROR] if metric is None or isinstance(metric, Metric) else list(metric)

    @property
    def names(self) -> list[str]:
        """The populations."""
        return list(self._populations)

    def label(self, name: str) -> str:
        """Give the name of a population as it was written."""
        return self._labels.get(name.lower(), name)

    def metrics(self, name: str) -> list[Metric]:
        """List the metrics, the default first."""
        return self._metrics

    def models(self, name: str) -> int:
        """Return the number of models in a population."""
        return len(self._column(name, self._metrics[0].name))

    def variables(self, name: str) -> list[str]:
        """List the variables of a population."""
        return list(map(str, self._variables(name)))

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population; of a metric, infinite values are none.

        Raises
        ------
        EdfkitError
            If there is no such population or variable, the message lists those there are; or a metric has values that
            it cannot have.
        """
        if variable == "status":
            return self._status(name)
        values = self._column(name, variable)
        for metric in self._metrics:
            if variable == metric.name:
                return self._checked(metric, values)
        return values

    def _column(self, name: str, variable: str) -> NDArray[Any]:
        variables = self._variables(name)
        if variable not in variables:
            raise EdfkitError(
                f"The population {name!r} has no {variable!r}, but only {', '.join(map(str, variables))}."
            )
        values = variables[variable]
        mask = getattr(values, "mask", None)
        if isinstance(mask, np.ndarray | np.bool_) and np.any(mask):
            if np.asarray(values).dtype.kind not in "iufb":
                return np.where(mask, "", np.asarray(values))
            return np.where(mask, np.nan, np.asarray(values, np.float64))
        return _of_objects(np.asarray(values))

    def _checked(self, metric: Metric, values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind not in "iuf" or not values.size:
            return values
        infinite = ~(np.abs(values) < BEYOND)
        known = values[~infinite]
        if known.size:
            ends = float(known.min()), float(known.max())
            if not self._stated and ends[0] >= 0 and 0 < ends[1] <= 1 and not self._above_one(metric.name):
                raise EdfkitError(
                    f"No {metric.label} is above 1 (the largest is {ends[1]:g}), so they may be shares, or percent; "
                    "say which: give metric=Metric('error', 'share'), or metric=Metric() for percent."
                )
            check_bounds(metric, ends)
        return np.where(infinite, np.nan, values) if infinite.any() else values

    def _above_one(self, variable: str) -> bool:
        """Tell whether some value of any population is above 1."""
        every = (self._column(name, variable) for name, columns in self._populations.items() if variable in columns)
        return any((values[np.isfinite(values)] > 1).any() for values in every)

    def _status(self, name: str) -> NDArray[Any]:
        values, variables = self._column(name, self._metrics[0].name), self._variables(name)
        words, coded = None, False
        if "status" in variables:
            given = self._column(name, "status")
            if coded := given.dtype.kind in "iuf":
                stated = np.where(np.isnan(given), NO_WORD, given)
                if not (known := np.isin(stated, [NO_WORD, *Status])).all():
                    raise EdfkitError(
                        f"{name}: 'status' has the code {stated[~known].flat[0]:g}, expected 0 to {max(Status)}, the "
                        "codes of finished, diverged, failed, stopped and running; correct it, or write words."
                    )
                words = stated.astype(np.int8)
            else:
                words = codes(given.ravel().tolist())
        if values.dtype.kind not in "iuf" or (words is not None and words.shape != values.shape):
            return np.zeros(len(values), np.int8) if words is None else words  # which is refused as it is read
        curve = curve_of(self._metrics[0].name)
        if coded or curve not in variables:
            return outcomes(values, words)
        broke, steps = of_curves(self._column(name, curve))
        return outcomes(values, words, broke=broke, steps=steps)

    def _variables(self, name: str) -> Mapping[Any, Any]:
        variables = self._populations.get(name.lower())
        if variables is None:
            raise EdfkitError(f"There is no population {name!r}; choose from {', '.join(self._populations)}.")
        return variables


def _of_objects(values: NDArray[Any]) -> NDArray[Any]:
    """Give objects as numbers if all are, those that are missing aside: None and NA of pandas."""
    if values.dtype.kind != "O" or values.ndim != 1:
        return values
    known = [None if one is None or str(one) == "<NA>" else one for one in values]
    if not all(one is None or isinstance(one, Real) for one in known):
        return values
    return np.array(known, np.float64)  # None becomes NaN


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


def _beyond(errors: Floats) -> bool:
    return bool(max(errors.max(), -errors.min()) >= BEYOND)


@dataclass(frozen=True)
class Population:
    """The models of one space that take part.

    Attributes
    ----------
    name : str
    errors : ndarray, shape (n,)
        Oriented values of the metric: percent for an error. Those of runs that count as worse than any are
        `edfkit.metric.BEYOND`.
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
        Right end of the area under the EDF, oriented; NaN if there is none, as the metric has no bounds.
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
    metric : Metric
    label : str
        The name as people see it.
    filled : int
        Models among those that diverged that have no value, and count as the worst as nothing else is said of them.
    missing : int
        Models that take no part as they have no value, for a reason that may have to do with it or not.
    unplaced : int
        Those among the missing whose complexity is not known either, so that what they could change is not.
    stopped : int
        Models among those that take part that were stopped.
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
    metric: Metric = ERROR
    label: str = ""
    filled: int = 0
    missing: int = 0
    unplaced: int = 0
    stopped: int = 0

    @property
    def beyond(self) -> bool:
        """Whether some model counts as worse, or better, than any value, so that there is no mean."""
        return bool(self.errors.size) and _beyond(self.errors)

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
        if self.counts is None and self.units is not None and self.units.stated and self.repeats:
            weights = self.units.weights if self.weights is None else self.weights
            return replace(self.summarized(self.errors, weights), n_eff=effective_size(self.units.sums(weights)))
        if self.bins is not None:
            counted = self.counted()
            return self.summarized(counted.errors, counted.weights, counted.counts)
        if self.weights is not None:
            return self.summarized(self.errors, self.weights, self.counts)
        (values,), counts = distinct([self.errors], self.counts)
        return self.summarized(values, None, counts)

    def summarized(self, errors: Floats, weights: Floats | None = None, counts: Any = None) -> Summary:
        """Summarise oriented values of the metric; there is no mean where some are worse than any."""
        found = summarize(errors, weights, self.area_to, counts=counts, area_from=max(self.metric.least, -BEYOND))
        return replace(found, mean=math.nan, area=math.nan) if _beyond(errors) else found

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
        """Give the summary as plain data, oriented; `area` and the keys of `quantiles` are shares (0 to 1)."""
        summary = self.summary
        return {
            "name": self.name,
            "label": self.label or self.name,
            "models": summary.models,
            "diverged": self.diverged,
            "without_value": self.filled,
            "left_out": sum(self.left_out.values()),
            "left_out_why": self.left_out,
            "n_eff": summary.n_eff,
            "min": summary.min,
            "mean": summary.mean,
            "median": summary.median,
            "area": None if math.isnan(summary.area) else summary.area,
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
    diverged, stopped : str
        What is done with runs that diverged, and with those that were stopped, see `settings.Reading`.
    metric : Metric
        What is compared.
    select : str or None
        The metric by which epochs, or runs, are chosen; None: the same.
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
    metric: Metric = ERROR
    stopped: str = "drop"
    select: str | None = None

    def to_dict(self) -> "documents.Selected":
        """Give what was selected, and how, as plain data; values are oriented."""
        return {
            "metric": self.metric.to_dict(),
            "given": self.given,
            "error": self.error,
            "diverged": self.diverged,
            "stopped": self.stopped,
            "select": self.select,
            "bins": self.bins,
            "range": None if self.range is None else list(self.range),
            "spaces": [member.to_dict() for member in self.populations],
        }


def check_names(names: Sequence[str]) -> list[str]:
    """Return the names of populations in lower case; the expressions of parts stay.

    Raises
    ------
    EdfkitError
        If one comes twice.
    """
    lower = [folded(name) for name in names]
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
    area_to: float | None = None,
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
    area_to : float, optional
        End of the area under the EDF, in the unit of the metric, that begins at its best bound; by default halfway to
        the other one: 50 % of an error.
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
    given, bins, range = control.given, control.bins, control.range
    if control.strata is not None or len(control.columns) > 1:
        what = f"given {given}" if control.strata is None else f"{control.strata} strata"
        raise EdfkitError(f"This study holds one complexity equal, by bins, and {what} was asked for; leave that out.")
    names, counted = check_names(names), once(source)
    metric = common_metric(counted, names, reading)
    end = area_end(metric, area_to)
    if not by_row:
        expect(counted, names, reading, control.columns, also=also)
    read = {name: _read(counted, name, reading, control.columns, by_row=by_row, also=also) for name in names}
    chosen = Selection(given, reading.error, reading.diverged, None, None, [], metric=metric, stopped=reading.stopped)
    chosen = replace(chosen, select=reading.select)
    if given == "none":
        return fitted(replace(chosen, populations=[one.population(end) for one in read.values()]))
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
        member = read[name].taken(np.flatnonzero(~(below | above)), outside).population(end)
        assert member.complexity is not None
        index = bin_index(member.complexity[:, 0], lo, hi, bins)
        in_bin = np.bincount(index, member.counts, bins)
        populations.append(replace(member, weights=1 / (bins * in_bin[index]), bins=index))
    return fitted(replace(chosen, bins=bins, range=range, populations=populations))


def gather(
    source: Source,
    names: Sequence[str],
    *,
    area_to: float | None = None,
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
    names, counted = check_names(names), once(source)
    metric = common_metric(counted, names, reading)
    end = area_end(metric, area_to)
    by_row = by_row or told_apart(counted, names)
    if not by_row:
        expect(counted, names, reading, control.columns, also=also, chosen=True)
    populations = []
    for name in names:
        one = _read(counted, name, reading, control.columns, by_row=by_row, also=also).population(end)
        populations.append(replace(one, units=units_of(counted, one)))
    selection = Selection(
        control.given,
        reading.error,
        reading.diverged,
        None,
        None,
        populations,
        control.strata,
        chosen_on_test(counted, names, reading, by_row=by_row),
        metric,
        reading.stopped,
        reading.select,
    )
    return fitted(selection)


def fitted(selection: Selection) -> Selection:
    """Settle with how many decimals values are written: as many as show how the values of all populations differ."""
    if selection.metric.unit == "percent":
        return selection
    metric = selection.metric.fitted(min(map(_spread, selection.populations), default=0.0))
    members = [replace(one, metric=replace(one.metric, decimals=metric.decimals)) for one in selection.populations]
    return replace(selection, metric=metric, populations=members)


def _spread(member: Population) -> float:
    """Give how far apart the middle half of the values is, or all of them."""
    values = np.sort(member.errors[np.abs(member.errors) < BEYOND])
    if not values.size:
        return 0.0
    low, high = values[values.size // 4], values[3 * (values.size - 1) // 4]
    return float(high - low) or float(values[-1] - values[0])


def common_metric(source: Source, names: Sequence[str], reading: Reading) -> Metric:
    """Give the metric that is read of some populations.

    Raises
    ------
    EdfkitError
        If one of them has none of that name, or another one than the others have by it.
    """
    every = [find(metrics_of(source, name), reading.metric, label_of(source, name)) for name in names]
    first = every[0]
    for name, one in zip(names, every, strict=True):
        if (one.name, one.unit, one.goal, one.low, one.high) != (
            first.name, first.unit, first.goal, first.low, first.high,
        ):  # fmt: skip
            raise EdfkitError(
                f"metric: {label_of(source, names[0])} has {_described(first)} and {label_of(source, name)} has "
                f"{_described(one)}, expected one metric in one unit; name one that both have, or compare others."
            )
    return replace(first, grid=first.grid if all(one.grid == first.grid for one in every) else None)


def _described(metric: Metric) -> str:
    return f"{metric.label} ({'unit ' if metric.unit == '1' else ''}{metric.unit}, goal {metric.goal})"


def area_end(metric: Metric, area_to: float | None) -> float:
    """Give the end of the area under the EDF, oriented; NaN if there is none.

    Raises
    ------
    EdfkitError
        If the metric has no bounds, or the end is not beyond the best of them.
    """
    if not metric.bounded:
        if area_to is not None:
            raise EdfkitError(
                f"area_to: {area_to:g} was given, and {metric.label} has no bounds, so that there is no area under its "
                "EDF; leave it out."
            )
        return math.nan
    end = metric.turned(metric.middle if area_to is None else area_to)
    assert end is not None
    if not metric.least < end < math.inf:
        side, best = ("above", metric.low) if metric.goal == "min" else ("below", metric.high)
        raise EdfkitError(f"area_to: {area_to:g} was given, expected {side} {best:g}; correct it.")
    return end


def chosen_on_test(source: Counted, names: Sequence[str], reading: Reading, *, by_row: bool = False) -> bool:
    """Tell whether values are the best over the epochs by themselves, and others are known."""
    if reading.error != "best" or reading.select is not None:
        return False
    return any(source.chosen(name, best_and_last(source, name, reading), by_row=by_row) for name in names)


def best_and_last(source: Source, name: str, reading: Reading) -> tuple[str, str]:
    """Name the variables of the best value over the epochs and of the last one."""
    metric = find(metrics_of(source, name), reading.metric, name).name
    return metric, final_of(metric)


def tied_together(a: Population, b: Population) -> tuple[Population, Population]:
    """Bring values of two populations that are one step into one, see `edfkit.stats.sample.tied`."""
    errors = [one for member in (a, b) for one in (member.errors, *([] if member.cells is None else member.cells[:1]))]
    found = tied(*errors, grid=a.metric.grid if a.metric.grid == b.metric.grid else None)
    if all(one is other for one, other in zip(found, errors, strict=True)):
        return a, b
    members = []
    for member in (a, b):
        own = replace(member, errors=found.pop(0))
        members.append(own if own.cells is None else replace(own, cells=(found.pop(0), *own.cells[1:])))
    return members[0], members[1]


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
            metric = find(metrics_of(source, name), reading.metric, name)
            for column in columns:
                check_column(column, source.field(name, column), metric)
            which = error_column(source, name, reading)
            ends = best_and_last(source, name, reading) if chosen and reading.error == "best" else None
            source.expect(name, Wanted((which, "status", *columns, *also), chosen=ends))


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
    metric: Metric
    label: str
    filled: int
    missing: int
    unplaced: int

    def number(self, which: NDArray[np.bool_]) -> int:
        return _number(which, self.counts)

    def taken(self, rows: NDArray[np.intp], left_out: dict[str, int]) -> "_Read":
        return replace(
            self,
            rows=self.rows[rows] if self.counts is None else self.rows,
            status=self.status[rows],
            errors=self.errors[rows],
            complexity=self.complexity[rows],
            also=self.also[rows],
            counts=None if self.counts is None else self.counts[rows],
            left_out=self.left_out | left_out,
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
            metric=self.metric,
            label=self.label,
            filled=self.filled,
            missing=self.missing,
            unplaced=self.unplaced,
            stopped=self.number(self.status == Status.STOPPED),
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
    shown = label_of(source, name)
    metric = find(metrics_of(source, name), reading.metric, name)
    which = error_column(source, name, reading)
    for column in columns:
        check_column(column, source.field(name, column), metric)
    found = source.rows(name, (which, "status", *columns, *also), by_row=by_row)
    status, counts = found.columns["status"], found.counts
    values = metric.turned(found.columns[which].astype(np.float64))
    values[np.isinf(values)] = np.nan  # as curves of runs that diverged may have
    errors, filled, away = _by_outcome(values, status, reading, metric)
    takes = ~np.logical_or.reduce([*away.values()])
    missing = np.isnan(values) & ~takes & (status != Status.DIVERGED)
    placed = np.logical_and.reduce([missing, *(np.isfinite(found.columns[one].astype(float)) for one in columns)])
    if reading.failed != "drop":  # what those without a value could change, as far as it is known how large they are
        errors[placed] = metric.worst if reading.failed == "worst" else metric.best
        takes |= placed
    left_out = {reason: _number(some & ~takes, counts) for reason, some in away.items()}
    rows = np.flatnonzero(takes)
    if not rows.size:
        reasons = " or ".join(_ENDED.get(reason, reason) for reason, count in left_out.items() if count)
        if not status.size:
            raise EdfkitError(f"{shown} has no models, expected one or more; leave it out.")
        raise EdfkitError(
            f"All {source.models(name)} models of {shown} {reasons}, so it has no {_plural(metric)} to compare; leave "
            "it out."
        )
    if isinstance(source.source, Parts):
        left_out |= source.source.outside(name)
    part = slice(None) if rows.size == status.size else rows  # nothing is copied where all take part
    numbers = [_number(some, counts) for some in (filled & takes, missing, missing & ~placed)]
    status, counts = status[part], None if counts is None else counts[part]
    errors = errors[part]
    if unknown := _number(np.isnan(errors), counts):
        models = rows.size if counts is None else int(counts.sum())
        which_one, other = f"{reading.error} {metric.label}", "the other"
        if reading.error not in ("best", "final"):
            which_one, other = f"{metric.label} after epoch {reading.error}", "the best"
        raise EdfkitError(
            f"The {which_one} of {unknown:,} of the {models:,} {shown} models is not known; compare by {other}."
        )
    complexity = [_known(found.columns[column][part], column, shown, counts) for column in columns]
    others = [found.columns[column][part].astype(np.float64) for column in also]
    no_column = np.zeros((rows.size, 0))
    return _Read(
        name,
        rows if counts is None else rows[:0],
        status,
        errors,
        np.column_stack(complexity) if complexity else no_column,
        np.column_stack(others) if others else no_column,
        counts,
        left_out,
        metric,
        label_of(source, name),
        *numbers,
    )


def _by_outcome(
    values: Floats, status: NDArray[Any], reading: Reading, metric: Metric
) -> tuple[Floats, NDArray[np.bool_], dict[str, NDArray[np.bool_]]]:
    """Say what runs count as, by how they ended.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Oriented; NaN where there is none.
    status : ndarray, shape (n,)
    reading : Reading
    metric : Metric

    Returns
    -------
    errors : ndarray, shape (n,)
        Oriented values, as they count.
    filled : ndarray of bool, shape (n,)
        Those that diverged and are kept, have no value, and count as the worst.
    away : dict of str to ndarray of bool, shapes (n,)
        Those that take no part, by reason.
    """
    errors = values.copy()
    diverged, stopped = status == Status.DIVERGED, status == Status.STOPPED
    if reading.diverged in AS_WORST:
        errors[diverged] = metric.worst
    filled = diverged & np.isnan(errors)
    errors[filled] = metric.worst
    if reading.stopped == "worst":
        errors[stopped] = metric.worst
    return errors, filled, {
        "failed": status == Status.FAILED,
        "diverged": diverged & (reading.diverged == "drop"),
        "stopped": stopped & ((reading.stopped == "drop") | np.isnan(errors)),
        "running": status == Status.RUNNING,
    }  # fmt: skip


_ENDED = {"stopped": "were stopped", "running": "are not over"}


def _plural(metric: Metric) -> str:
    return "errors" if metric.name == ERROR.name else f"values of {metric.label}"


def without_curves(source: Counted, name: str, *metrics: Metric) -> list[str]:
    """List the curves that a population lacks of those that choosing the epoch of one metric by another takes."""
    return [curve for one in metrics if not source.has(name, curve := curve_of(one.name))]


def error_column(source: Counted, name: str, reading: Reading) -> str:
    """Name the column of a metric, see `counting.Wanted`.

    Raises
    ------
    EdfkitError
        If it is neither best nor final nor the number of an epoch; or the epoch is to be chosen by another metric, and
        there are no curves, or it is named too.
    """
    known = metrics_of(source, name)
    shown = label_of(source, name)
    metric = find(known, reading.metric, shown)
    curve = curve_of(metric.name)
    by = metric if reading.select is None else find(known, reading.select, shown, "select")
    if by.name != metric.name:
        if reading.error != "best":
            raise EdfkitError(
                f"select: the epoch was to be chosen by {by.label}, and the error was to be {reading.error}, which "
                "names one; leave one of the two out."
            )
        if lacking := without_curves(source, name, metric, by):
            raise EdfkitError(
                f"select: the epoch was to be chosen by {by.label}, and {shown} has no {' and no '.join(lacking)}, "
                "expected both metrics after each epoch; leave it out."
            )
        return at_best(curve, curve_of(by.name), by.goal)
    if reading.error in ("best", "final"):
        if reading.error == "final" and not source.has(name, final_of(metric.name)):
            raise EdfkitError(f"The final {metric.label} of the {shown} models is not known; compare by the best.")
        return metric.name if reading.error == "best" else final_of(metric.name)
    if not source.has(name, curve):
        raise EdfkitError(f"The {metric.label} of {shown} after each epoch is not known; compare by the best.")
    epochs = source.field(name, curve).shape[1]
    if not reading.error.isdecimal() or not 1 <= int(reading.error) <= epochs:
        raise EdfkitError(
            f"The error was to be {reading.error!r}, expected best, final or an epoch of {shown}, 1 to {epochs}; give "
            "one of these."
        )
    return at_epoch(curve, int(reading.error))


def shared_range(
    source: Source, names: Sequence[str], given: str, reading: Reading = DEFAULT_READING
) -> tuple[float, float]:
    """Find the range of a complexity that populations cover: what `select` takes without one.

    Parameters
    ----------
    source, names, given, reading
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
    counted = once(source)
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
    return _known(values[rows], given, label_of(source, name), None)


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


def check_column(given: str, column: Column, metric: Metric = ERROR) -> None:
    """Check that a column can be held equal where a metric is compared.

    Raises
    ------
    EdfkitError
        If it is a result of the runs, has no numbers or several for each model.
    """
    if given in (*OUTCOMES, metric.name, final_of(metric.name)):
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
