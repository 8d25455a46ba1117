"""Which models of a source take part in a study, and with which weights.

A model that failed has no error and takes no part. A diverged one does, as it is what its configuration leads to,
unless the policy is another. Given a complexity, models outside the range take no part either. What is left out is
counted, by reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.schema import Status
from edfkit.stats.bins import bin_index, check_bins, common_range, complexity_weights, default_bins
from edfkit.stats.edf import Floats
from edfkit.stats.two_sample import Summary, summarize
from edfkit.study.settings import COMPLEXITIES, Control, Reading, SelectionKeywords, settle

if TYPE_CHECKING:
    from edfkit import documents


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
        If the models were counted, each error stands for so many of the same bin, and has the weight of one of them.
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

    @property
    def shares(self) -> NDArray[np.float64] | None:
        """What each error weighs with all the models that it stands for; None weighs all alike."""
        if self.counts is None:
            return self.weights
        return self.counts * (1 / self.counts.sum() if self.weights is None else self.weights)

    def counted(self) -> "Population":
        """Count the models that are alike, of one error and bin: the same population, the numbers up to round-off.

        However the models were come by, the result is the same to the last bit.
        """
        if self.counts is not None:
            return self
        errors, weights, bins, counts = alike(self.errors, self.weights, self.bins)
        summary = summarize(errors, weights, self.summary.area_to, counts=counts)
        return replace(
            self, errors=errors, weights=weights, bins=bins, rows=self.rows[:0], summary=summary, counts=counts
        )

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
    """

    given: str
    error: str
    diverged: str
    bins: int | None
    range: tuple[float, float] | None
    populations: list[Population]

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
    given, bins, range, error, diverged = control.given, control.bins, control.range, reading.error, reading.diverged
    names = check_names(names)
    rows: dict[str, NDArray[np.intp]] = {}
    errors: dict[str, NDArray[np.float64]] = {}
    statuses: dict[str, NDArray[Any]] = {}
    complexities: dict[str, NDArray[np.float64]] = {}
    left_out: dict[str, dict[str, int]] = {}
    for name in names:
        values = _errors(source, name, error)
        status, usable, left_out[name] = _usable(source, name, diverged)
        if diverged == "censor":
            values = np.where(status == Status.DIVERGED, 100.0, values)
        rows[name], statuses[name], errors[name] = np.flatnonzero(usable), status[usable], values[usable]
        models = f"of the {usable.sum():,} {name} models"
        if unknown := np.isnan(errors[name]).sum():
            raise EdfkitError(f"The {error} error of {unknown:,} {models} is not known; compare by the other.")
        if given != "none":
            complexities[name] = read_complexity(source, name, given, rows[name])

    weights: dict[str, NDArray[np.float64]] = {}
    indices: dict[str, NDArray[np.intp]] = {}
    if given != "none":
        lo, hi = range = range or common_range(*complexities.values(), names=names)
        if bins is None:
            bins = default_bins(complexities, lo, hi)
        check_bins(complexities, lo, hi, bins)
        for name, complexity in complexities.items():
            weight = complexity_weights(complexity, lo, hi, bins)
            inside = weight > 0
            left_out[name] |= {
                f"{given} below the range": int((complexity < lo).sum()),
                f"{given} above the range": int((complexity > hi).sum()),
            }
            indices[name], weights[name] = bin_index(complexity, lo, hi, bins)[inside], weight[inside]
            rows[name], statuses[name], errors[name] = rows[name][inside], statuses[name][inside], errors[name][inside]

    populations = [
        Population(
            name,
            errors[name],
            weights.get(name),
            indices.get(name),
            rows[name],
            int((statuses[name] == Status.DIVERGED).sum()),
            {reason: count for reason, count in left_out[name].items() if count},
            summarize(errors[name], weights.get(name), area_to),
        )
        for name in names
    ]
    return Selection(given, error, diverged, bins, range, populations)


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


def _usable(source: Source, name: str, diverged: str) -> tuple[NDArray[Any], NDArray[np.bool_], dict[str, int]]:
    """Return the status of the models of a population, which of them take part, and how many do not, by reason."""
    status = source.read(name, "status")
    failed, diverging = status == Status.FAILED, status == Status.DIVERGED
    usable = ~(failed | diverging) if diverged == "drop" else ~failed
    left_out = {"failed": int(failed.sum())}
    if diverged == "drop":
        left_out["diverged"] = int(diverging.sum())
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
    counts = source.read(name, given)[rows].astype(float)
    if unknown := np.isnan(counts).sum():
        raise EdfkitError(
            f"The {given} of {unknown:,} of the {len(rows):,} {name} models are not known; compare given another "
            "complexity, or none."
        )
    return counts


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
