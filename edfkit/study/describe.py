"""The describe study: populations one by one, as they are, with their complexities and bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from edfkit.result import signed
from edfkit.stats.bootstrap import Interval, bootstrap
from edfkit.stats.minima import MODELS_PER_DRAW
from edfkit.study.counting import Wanted, once
from edfkit.study.selection import Population, Source, complexity_ranges, error_column
from edfkit.study.settings import COMPLEXITIES, Reading, ReadingKeywords, settle
from edfkit.study.weighing import number, numbers, repeated, select_units

if TYPE_CHECKING:
    from edfkit import documents


@dataclass(frozen=True)
class Description:
    """The result of `describe_study`.

    Attributes
    ----------
    reading : Reading
        Which error was read.
    populations : list of Population
        Unweighted, but for rows that repeat a unit.
    ranges : dict of str to dict of str to (float, float) or None
        By population and complexity: the smallest and the largest, raw counts; None where it is not known.
    intervals : dict of str to dict of str to Interval
        By population and statistic; empty if none were asked for.
    """

    reading: Reading
    populations: list[Population]
    ranges: dict[str, dict[str, tuple[float, float] | None]]
    intervals: dict[str, dict[str, Interval]]

    def to_dict(self) -> "documents.Description":
        """Give the description as plain data."""
        metric = self.populations[0].metric
        document: documents.Description = {
            "metric": metric.to_dict(),
            "error": self.reading.error,
            "diverged": self.reading.diverged,
            "stopped": self.reading.stopped,
            "select": self.reading.select,
            "spaces": [
                {
                    **member.to_dict(),
                    "complexity": {
                        "params": self._ends(member.name, "params"),
                        "flops": self._ends(member.name, "flops"),
                        "macs": self._ends(member.name, "macs"),
                        "acts": self._ends(member.name, "acts"),
                    },
                    "intervals": {
                        # An area has no sign: what is turned here is turned back with the whole.
                        what: signed("BootstrapInterval", one.to_dict(), metric) if what == "area" else one.to_dict()
                        for what, one in self.intervals[member.name].items()
                    },
                }
                for member in self.populations
            ],
        }
        return signed("Description", document, metric)  # type: ignore[no-any-return]

    def _ends(self, name: str, complexity: str) -> list[float] | None:
        ends = self.ranges[name][complexity]
        return None if ends is None else list(ends)


def describe_study(
    source: Source,
    names: Sequence[str],
    *,
    area_to: float | None = None,
    trials: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
    **settings: Unpack[ReadingKeywords],
) -> Description:
    """Summarise the errors and the complexities of populations one by one, without weights.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population, each once.
    area_to : float, optional
        End of the area under the EDF, see `selection.select`.
    trials : int
        Bootstrap samples of the intervals, at least 100; 0: no intervals.
    confidence : float
        Of the intervals, above 0 and below 1.
    seed : int
        Of the bootstrap.
    **settings
        `reading`, or its fields, see `edfkit.study.settings`.

    Returns
    -------
    Description

    Raises
    ------
    EdfkitError
        See `selection.select` and `edfkit.stats.bootstrap.bootstrap`.
    """
    reading, _ = settle("describe_study", settings)
    counted = once(source)
    for name in names:
        known = tuple(one for one in COMPLEXITIES if counted.has(name, one))
        counted.expect(name, Wanted((error_column(counted, name, reading), "status"), ends=known))
    members = select_units(counted, names, area_to=area_to, reading=reading).populations
    return Description(
        reading,
        members,
        {member.name: complexity_ranges(counted, member.name) for member in members},
        {
            member.name: summary_intervals(member, trials=trials, confidence=confidence, seed=seed) if trials else {}
            for member in members
        },
    )


def summary_intervals(
    member: Population, *, trials: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Give bootstrap intervals of what summarises a population; see `edfkit.stats.bootstrap` for what they cover.

    Parameters
    ----------
    member : Population
        The models; where rows repeat a unit, units are resampled.
    trials : int
        At least 100.
    confidence : float
        Above 0 and below 1.
    seed : int
        Of the resampling.

    Returns
    -------
    dict of str to Interval
        Of "mean", "median" (oriented) and "area" (share), if there is one; from 20 models on also of the expected best
        of a search with a 20th of the models, "best of m" (oriented), as no resample goes below the smallest of all.
        Where some run counts as worse than any value, of "median" alone.

    Raises
    ------
    EdfkitError
        See `edfkit.stats.bootstrap.bootstrap`.
    """
    settings: dict[str, Any] = {"units": numbers(member), "trials": trials, "confidence": confidence, "rng": seed}
    found = {"median": bootstrap("median", member.sample, **settings)}
    if member.beyond:
        return found
    found = {"mean": bootstrap("mean", member.sample, **settings), **found}
    if member.metric.bounded:  # the area begins at the best value that can be
        moved = replace(member, errors=member.errors - member.metric.least).sample
        found["area"] = bootstrap("area", moved, upto=member.area_to - member.metric.least, **settings)
    size = number(member) if repeated(member) else member.summary.n_eff
    if m := int(size / MODELS_PER_DRAW):
        found[f"best of {m}"] = bootstrap("min", member.sample, m=m, **settings)
    return found
