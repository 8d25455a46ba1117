"""The describe study: populations one by one, as they are, with their complexities and bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from edfkit.stats.bootstrap import Interval
from edfkit.study.compare import describe_populations, summary_intervals
from edfkit.study.counting import Wanted, once
from edfkit.study.selection import Population, Source, complexity_ranges, error_column
from edfkit.study.settings import COMPLEXITIES, Reading, ReadingKeywords, settle

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
        Unweighted.
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
        return {
            "error": self.reading.error,
            "diverged": self.reading.diverged,
            "spaces": [
                {
                    **member.to_dict(),
                    "complexity": {
                        "params": self._ends(member.name, "params"),
                        "flops": self._ends(member.name, "flops"),
                        "macs": self._ends(member.name, "macs"),
                        "acts": self._ends(member.name, "acts"),
                    },
                    "intervals": {what: one.to_dict() for what, one in self.intervals[member.name].items()},
                }
                for member in self.populations
            ],
        }

    def _ends(self, name: str, complexity: str) -> list[float] | None:
        ends = self.ranges[name][complexity]
        return None if ends is None else list(ends)


def describe_study(
    source: Source,
    names: Sequence[str],
    *,
    area_to: float = 50.0,
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
    area_to : float
        Right end of the area under the EDF, percent.
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
    members = describe_populations(counted, names, area_to=area_to, reading=reading)
    return Description(
        reading,
        members,
        {member.name: complexity_ranges(counted, member.name) for member in members},
        {
            member.name: summary_intervals(member, trials=trials, confidence=confidence, seed=seed) if trials else {}
            for member in members
        },
    )
