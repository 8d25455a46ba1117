"""The compare and describe studies: which models of a source take part, with which weights, and what comes out.

A model that failed has no error and takes no part. A diverged one does: it is what its configuration leads to. Given a
complexity, models outside the range take no part either. What is left out is counted, by reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.compare import KS, Summary, ks, prob_better, summarize, verdict
from edfkit.complexity import check_bins, common_range, complexity_weights, default_bins
from edfkit.schema import STATUS

COMPLEXITIES = ("params", "flops", "macs", "acts")
_DIVERGED, _FAILED = STATUS.index("diverged"), STATUS.index("failed")


class Source(Protocol):
    """What populations are read from: an `Archive`, or `Published` files."""

    def models(self, name: str) -> int:
        """Return the number of models in a population."""

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population, shape (models,)."""


@dataclass(frozen=True)
class Population:
    """The models of one space that take part, and their summary.

    Attributes
    ----------
    name : str
    errors : ndarray, shape (models,)
        Percent.
    weights : ndarray of shape (models,), or None
        Sum to 1; None weighs all alike.
    diverged : int
        Those among them that diverged.
    left_out : dict of str to int
        How many models take no part, by reason; only reasons that occurred.
    summary : Summary
    """

    name: str
    errors: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    diverged: int
    left_out: dict[str, int]
    summary: Summary


@dataclass(frozen=True)
class Pair:
    """Two compared populations.

    Attributes
    ----------
    a, b : str
        Names.
    test : KS
    prob_a_better : float
        Probability that a random model of A beats one of B; ties count half.
    verdict : str
        One sentence.
    """

    a: str
    b: str
    test: KS
    prob_a_better: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """What comparing populations gave.

    Attributes
    ----------
    given : str
        The complexity that is controlled for, or "none".
    error : {"best", "final"}
        Smallest over the epochs, or after the last one.
    bins : int or None
    range : (float, float) or None
        Raw counts, both ends included.
    populations : list of Population
    pairs : list of Pair
    """

    given: str
    error: str
    bins: int | None
    range: tuple[float, float] | None
    populations: list[Population]
    pairs: list[Pair]


def compare_populations(
    source: Source,
    names: Sequence[str],
    *,
    given: str = "params",
    bins: int | None = None,
    range: tuple[float, float] | None = None,
    error: str = "best",
    area_to: float = 50.0,
) -> Comparison:
    """Compare the error distributions of populations, every pair of them.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population, each once.
    given : {"params", "flops", "macs", "acts", "none"}
        The complexity to control for.
    bins : int, optional
        Bins of equal width over the range; by default at most 10, as many as leave 5 models of every population in
        each.
    range : (float, float), optional
        Raw counts; by default the range that all populations cover.
    error : {"best", "final"}
        Smallest error over the epochs, or the one after the last epoch.
    area_to : float
        Right end of the area under the EDF, percent.

    Returns
    -------
    Comparison

    Raises
    ------
    EdfkitError
        If a population is named twice, does not exist or has no usable model, its complexity is not known, or the range
        and the bins do not fit the populations.
    """
    if given == "none" and (bins is not None or range is not None):
        raise EdfkitError("Bins and range belong to a complexity, and given is none; leave them out, or name one.")
    populations, bins, range = _populations(source, names, given, bins, range, error, area_to)
    pairs = [_pair(a, b, given) for a, b in combinations(populations, 2)]
    return Comparison(given, error, bins, range, populations, pairs)


def describe_populations(
    source: Source, names: Sequence[str], *, error: str = "best", area_to: float = 50.0
) -> list[Population]:
    """Summarise the errors of populations one by one, without normalising for complexity.

    Parameters
    ----------
    source, names, error, area_to
        As in `compare_populations`.

    Returns
    -------
    list of Population

    Raises
    ------
    EdfkitError
        If a population is named twice, does not exist or has no usable model.
    """
    return _populations(source, names, "none", None, None, error, area_to)[0]


def _populations(
    source: Source,
    names: Sequence[str],
    given: str,
    bins: int | None,
    range: tuple[float, float] | None,
    error: str,
    area_to: float,
) -> tuple[list[Population], int | None, tuple[float, float] | None]:
    """Find the models that take part and their weights; return them with the bins and the range that were used."""
    names = [name.lower() for name in names]
    if len(set(names)) < len(names):
        raise EdfkitError(f"A population is named twice in {', '.join(names)}; name each once.")

    column = {"best": "error", "final": "error_final"}[error]
    errors, statuses, complexities, weights = {}, {}, {}, {}
    left_out: dict[str, dict[str, int]] = {}
    for name in names:
        status, values = source.read(name, "status"), source.read(name, column)
        usable = status != _FAILED
        if not usable.any():
            raise EdfkitError(
                f"All {len(status)} models of {name} failed, so it has no errors to compare; leave it out."
            )
        left_out[name] = {"failed": int((~usable).sum())}
        errors[name], statuses[name] = values[usable], status[usable]
        models = f"of the {usable.sum():,} {name} models"
        if unknown := np.isnan(errors[name]).sum():
            raise EdfkitError(f"The {error} error of {unknown:,} {models} is not known; compare by the other.")
        if given != "none":
            complexities[name] = source.read(name, given)[usable].astype(float)
            if unknown := np.isnan(complexities[name]).sum():
                raise EdfkitError(
                    f"The {given} of {unknown:,} {models} are not known; compare given another complexity, or none."
                )

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
            errors[name], statuses[name], weights[name] = errors[name][inside], statuses[name][inside], weight[inside]

    populations = [
        Population(
            name,
            errors[name],
            weights.get(name),
            int((statuses[name] == _DIVERGED).sum()),
            {reason: count for reason, count in left_out[name].items() if count},
            summarize(errors[name], weights.get(name), area_to),
        )
        for name in names
    ]
    return populations, bins, range


def _pair(a: Population, b: Population, given: str) -> Pair:
    test = ks(a.errors, b.errors, a.weights, b.weights)
    better = prob_better(a.errors, b.errors, a.weights, b.weights)
    return Pair(a.name, b.name, test, better, verdict(a.name, b.name, test, better, a.summary, b.summary, given))


def complexity_ranges(source: Source, name: str) -> dict[str, tuple[float, float] | None]:
    """Smallest and largest of each complexity of a population, raw counts; None where it is not known."""
    ranges: dict[str, tuple[float, float] | None] = {}
    for complexity in COMPLEXITIES:
        values = source.read(name, complexity).astype(float)
        known = values[~np.isnan(values)]
        ranges[complexity] = (float(known.min()), float(known.max())) if known.size else None
    return ranges
