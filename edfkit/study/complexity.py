"""The complexity study: what complexities populations have, how the error goes with it, and which bins would work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit.metric import BEYOND, Metric
from edfkit.result import Result, plain, signed
from edfkit.stats.bins import common_range
from edfkit.stats.buckets import Advice, BucketMeans, Histogram, advise, bucket_means, correlation, histogram
from edfkit.stats.edf import Floats
from edfkit.stats.epochs import decimals_of, rank_interval
from edfkit.study.selection import Population, Source, gather
from edfkit.study.settings import ReadingKeywords, settle
from edfkit.study.weighing import repeated

if TYPE_CHECKING:
    from edfkit import documents


@dataclass(frozen=True)
class Complexities(Result):
    """Error against complexity in one population.

    Where rows repeat a unit, numbers are those of units with the means of their rows.

    Attributes
    ----------
    name : str
    models, diverged : int
        Those that take part, and those among them that diverged.
    units : int
        Units that are looked at: fewer than models where rows repeat some.
    left_out : dict of str to int
        How many models take no part, by reason.
    complexity, errors : ndarray, shape (n,)
        Raw counts, and percent: a scatter plot.
    counts : ndarray of int64 of shape (n,), or None
        How many models each of these is, where they were counted.
    rank_correlation : float
        Spearman's, of error and complexity.
    rank_interval : (float, float)
        Its confidence interval at 95 %, see `edfkit.stats.epochs.rank_interval`.
    buckets : BucketMeans
        Mean and standard deviation of the error by bucket.
    label : str
        The name as people see it.
    filled : int
        Models among them that have no value, and count as the worst.
    """

    name: str
    models: int
    diverged: int
    units: int
    left_out: dict[str, int]
    complexity: Floats
    errors: Floats
    counts: NDArray[np.int64] | None
    rank_correlation: float
    rank_interval: tuple[float, float]
    buckets: BucketMeans
    label: str = ""
    filled: int = 0

    def to_dict(self) -> "documents.ComplexitySpace":
        """Give the numbers as plain data, without the models one by one."""
        return {
            "name": self.name,
            "models": self.models,
            "diverged": self.diverged,
            "left_out_why": self.left_out,
            "min": float(self.complexity.min()),
            "max": float(self.complexity.max()),
            "rank_correlation": plain(self.rank_correlation),
            "rank_interval": plain(self.rank_interval),
            "buckets": self.buckets.to_dict(),
        }


@dataclass(frozen=True)
class ComplexityStudy:
    """Complexities of some populations.

    Attributes
    ----------
    by : str
        Which complexity.
    metric : Metric
    error, diverged, stopped, select : str
        As in `selection.Selection`.
    range : (float, float)
        The one given, or that all populations cover, raw counts.
    spaces : list of Complexities
    histogram : Histogram
        From 0 to the largest.
    advice : Advice
        Whether the bins asked for work in the range, and what else would.
    bins : int
        Those asked for.
    """

    by: str
    metric: Metric
    error: str
    diverged: str
    stopped: str
    select: str | None
    range: tuple[float, float]
    spaces: list[Complexities]
    histogram: Histogram
    advice: Advice
    bins: int

    def to_dict(self) -> "documents.ComplexityStudy":
        """Give the study as plain data, see the guide."""
        document: documents.ComplexityStudy = {
            "by": self.by,
            "metric": self.metric.to_dict(),
            "error": self.error,
            "diverged": self.diverged,
            "stopped": self.stopped,
            "select": self.select,
            "range": list(self.range),
            "bins": self.bins,
            "advice": self.advice.to_dict(),
            "spaces": [space.to_dict() for space in self.spaces],
            "histogram": self.histogram.to_dict(),
        }
        return signed("ComplexityStudy", document, self.metric)  # type: ignore[no-any-return]


def complexity_study(
    source: Source,
    names: Sequence[str],
    *,
    by: str = "params",
    range: tuple[float, float] | None = None,
    bins: int = 10,
    buckets: int = 20,
    **settings: Unpack[ReadingKeywords],
) -> ComplexityStudy:
    """Describe the complexities of populations and how their errors depend on it (NDS, figures 4, 5, 8, 15).

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population, each once.
    by : {"params", "flops", "macs", "acts"}
        The complexity.
    range : (float, float), optional
        Raw counts, of the buckets and the bins; by default the range that all populations cover.
    bins : int
        Bins for a comparison, about which the advice is.
    buckets : int
        Of the means and the histogram.
    **settings
        `reading`, or its fields, see `edfkit.study.settings`.

    Returns
    -------
    ComplexityStudy

    Raises
    ------
    EdfkitError
        See `selection.select`.
    """
    reading, _ = settle("complexity_study", settings)
    everyone = gather(source, names, reading=reading, given=by).populations
    members = [_units(one) for one in everyone]
    complexities = {one.name: one.complexity[:, 0] for one in members if one.complexity is not None}
    lo, hi = range or common_range(*complexities.values(), names=list(complexities))
    decimals = decimals_of(members[0].metric.unit)
    related = {one.name: correlation(one.sample, complexities[one.name], decimals=decimals) for one in members}
    spaces = [
        Complexities(
            one.name,
            rows.models,
            one.diverged,
            one.models,
            one.left_out,
            complexities[one.name],
            one.errors,
            one.counts,
            related[one.name],
            rank_interval(related[one.name], one.models),
            bucket_means(one.sample, complexities[one.name], lo, hi, buckets),
            one.label,
            one.filled,
        )
        for rows, one in zip(everyone, members, strict=True)
    ]
    largest = float(np.max([values.max() for values in complexities.values()]))
    number = {one.name: one.counts for one in members if one.counts is not None}
    return ComplexityStudy(
        by,
        members[0].metric,
        reading.error,
        reading.diverged,
        reading.stopped,
        reading.select,
        (lo, hi),
        spaces,
        histogram(complexities, 0.0, largest, buckets, counts=number),
        advise(complexities, lo, hi, bins),
        bins,
    )


def _units(member: Population) -> Population:
    """Put one row for each unit that is stated and repeated, the mean of its rows."""
    units = repeated(member)
    if units is None or member.complexity is None:
        return member
    complexity = np.column_stack([units.means(column) for column in member.complexity.T])
    # A mean is worse than any value where one of the rows is.
    errors = np.where(units.sums(member.errors >= BEYOND), BEYOND, units.means(member.errors))
    return replace(member, errors=errors, complexity=complexity, units=None)
