"""The point-estimate study: what the best of a small search and the best of a large one say about their populations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from edfkit import EdfkitError
from edfkit.metric import Metric
from edfkit.result import Result, signed
from edfkit.stats.edf import Floats
from edfkit.stats.minima import Gap, Wins, difference, minimum_gap, resample_minima, who_wins
from edfkit.study.counting import once
from edfkit.study.picking import columns, deciding, pickable, picking
from edfkit.study.selection import Selection, Source, check_names, tied_together
from edfkit.study.settings import ReadingKeywords, settle
from edfkit.study.weighing import number, repeated, select_units

if TYPE_CHECKING:
    from edfkit import documents


@dataclass(frozen=True)
class Resampled(Result):
    """The same by resampling, as the paper has it.

    Attributes
    ----------
    trials, seed : int
    small_wins, large_wins, tie : float
        Shares of the trials.
    se : float
        Standard error of the share that the large search wins, if the exact probability holds.
    """

    trials: int
    seed: int
    small_wins: float
    large_wins: float
    tie: float
    se: float


@dataclass(frozen=True)
class PointStudy:
    """Two searches, a small and a large one, compared by the best model that each finds.

    Attributes
    ----------
    selection : Selection
        One population, which both draw from, or two, of which the small search draws from the first.
    wins : Wins
        Exact probabilities.
    values, probabilities : ndarray, shape (k,)
        The exact law of the small search's minimum minus the large one's, percentage points.
    gap : Gap
        How far split two minima must be to mean anything, if both searches drew from the first population.
    resampled : Resampled or None
        The study by resampling, if it was asked for.
    picked_by : Metric or None
        The metric by which the best run is picked; None: the one that is reported.
    """

    selection: Selection
    wins: Wins
    values: Floats
    probabilities: Floats
    gap: Gap
    resampled: Resampled | None
    picked_by: Metric | None = None

    @property
    def mean(self) -> float:
        """The mean of the difference, oriented."""
        return float(self.values @ self.probabilities)

    def to_dict(self) -> "documents.PointStudy":
        """Give the study as plain data, see the guide; the law of the difference is given by its quantiles."""
        names = [member.name for member in self.selection.populations]
        levels = np.cumsum(self.probabilities)
        shares = (0.05, 0.25, 0.5, 0.75, 0.95)
        places = np.minimum(np.searchsorted(levels, np.array(shares) * (1 - 1e-10)), len(levels) - 1)
        document: documents.PointStudy = {
            **self.selection.to_dict(),
            "space": names[0],
            "against": names[-1],
            "small": self.wins.small,
            "large": self.wins.large,
            "p_small_wins": self.wins.small_wins,
            "p_large_wins": self.wins.large_wins,
            "p_tie": self.wins.tie,
            "difference": {
                # Where a run counts as worse than any value there is none, however rare it is that it decides.
                "mean": None if any(one.beyond for one in self.selection.populations) else self.mean,
                "quantiles": {f"{q:g}": v for q, v in zip(shares, self.values[places].tolist(), strict=True)},
            },
            "gap": self.gap.to_dict(),
            "resampled": None if self.resampled is None else self.resampled.to_dict(),
        }
        if self.picked_by is not None:
            document["select"] = self.picked_by.name
        return signed("PointStudy", document, self.selection.metric)  # type: ignore[no-any-return]


def point_study(
    source: Source,
    space: str,
    against: str | None = None,
    *,
    small: int = 100,
    large: int = 1000,
    alpha: float = 0.05,
    trials: int = 0,
    seed: int = 0,
    **settings: Unpack[ReadingKeywords],
) -> PointStudy:
    """Compare two searches by their best models: who wins, by how much, and what that means (NDS, figure 2).

    The searches draw without replacement and independently of each other, so in one population they may share models.
    Where rows repeat a unit, they draw units with replacement, and of each one of its rows at random.

    Parameters
    ----------
    source : Source
        Where the populations are.
    space : str
        The population that the small search draws from.
    against : str, optional
        The one that the large search draws from; the same if not given.
    small, large : int
        Models that they draw.
    alpha : float
        Level for the gap that means something.
    trials : int
        Trials of the study by resampling; 0: none.
    seed : int
        Of the resampling.
    **settings
        `reading`, or its fields, see `edfkit.study.settings`. A metric to select by may pick runs, see
        `edfkit.study.picking`.

    Returns
    -------
    PointStudy

    Raises
    ------
    EdfkitError
        If a search draws more models than there are, the metric that runs are picked by is not known of all, and see
        `selection.select`.
    """
    reading, _ = settle("point_study", settings)
    counted, names = once(source), check_names([space] if against is None else [space, against])
    reading, picked_by = picking(counted, names, reading)
    also = columns(counted, names[0], reading, picked_by)
    selection = pickable(select_units(counted, names, reading=reading, also=also), picked_by, reading)
    first, other = selection.populations[0].sample, None
    if against:
        first, other = (member.sample for member in tied_together(*selection.populations))
    by = None if picked_by is None else deciding(selection.populations[0])
    by_large = deciding(selection.populations[1]) if picked_by is not None and against else None
    again = any(repeated(member) for member in selection.populations)
    for name, draws, member in (
        ("small", small, selection.populations[0]),
        ("large", large, selection.populations[-1]),
    ):
        if draws > number(member):
            raise EdfkitError(
                f"{name}: the search is to draw {draws:,} models and {member.label or member.name} has "
                f"{number(member):,}; draw no more than there are."
            )
    how: dict[str, Any] = {"large": large, "replacement": again, "chosen_by_small": by, "chosen_by_large": by_large}
    wins = who_wins(first, small, other, **how)
    values, probabilities = difference(first, small, other, **how)
    resampled = None
    if trials:
        rng = np.random.default_rng(seed)
        one, two = resample_minima(
            first, small, large, trials, rng=rng, errors_large=other, replacement=again,
            chosen_by=by, chosen_by_large=by_large,
        )  # fmt: skip
        ahead, behind, tie = (float(np.mean(outcome)) for outcome in (one < two, two < one, one == two))
        se = float(np.sqrt(wins.large_wins * (1 - wins.large_wins) / trials))
        resampled = Resampled(trials, seed, ahead, behind, tie, se)
    most = number(selection.populations[0])
    gap = minimum_gap(first, min(small, most), min(large, most), alpha=alpha, replacement=again, chosen_by=by)
    return PointStudy(selection, wins, values, probabilities, gap, resampled, picked_by)
