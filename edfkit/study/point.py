"""The point-estimate study: what the best of a small search and the best of a large one say about their populations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from edfkit import EdfkitError
from edfkit.result import Result, signed
from edfkit.stats.edf import Floats
from edfkit.stats.minima import Gap, Wins, difference, minimum_gap, resample_minima, who_wins
from edfkit.study.selection import Selection, Source, tied_together
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
    """

    selection: Selection
    wins: Wins
    values: Floats
    probabilities: Floats
    gap: Gap
    resampled: Resampled | None

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
                "mean": float(self.values @ self.probabilities),
                "quantiles": {f"{q:g}": v for q, v in zip(shares, self.values[places].tolist(), strict=True)},
            },
            "gap": self.gap.to_dict(),
            "resampled": None if self.resampled is None else self.resampled.to_dict(),
        }
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
        `reading`, or its fields, see `edfkit.study.settings`.

    Returns
    -------
    PointStudy

    Raises
    ------
    EdfkitError
        If a search draws more models than there are, and see `selection.select`.
    """
    reading, _ = settle("point_study", settings)
    selection = select_units(source, [space] if against is None else [space, against], reading=reading)
    first, other = selection.populations[0].sample, None
    if against:
        first, other = (member.sample for member in tied_together(*selection.populations))
    again = any(repeated(member) for member in selection.populations)
    for name, draws, member in (
        ("small", small, selection.populations[0]),
        ("large", large, selection.populations[-1]),
    ):
        if draws > number(member):
            raise EdfkitError(
                f"{name}: the search is to draw {draws:,} models and {member.name} has {number(member):,}; draw no "
                "more than there are."
            )
    wins = who_wins(first, small, other, large=large, replacement=again)
    values, probabilities = difference(first, small, other, large=large, replacement=again)
    resampled = None
    if trials:
        rng = np.random.default_rng(seed)
        one, two = resample_minima(first, small, large, trials, rng=rng, errors_large=other, replacement=again)
        ahead, behind, tie = (float(np.mean(outcome)) for outcome in (one < two, two < one, one == two))
        se = float(np.sqrt(wins.large_wins * (1 - wins.large_wins) / trials))
        resampled = Resampled(trials, seed, ahead, behind, tie, se)
    most = number(selection.populations[0])
    gap = minimum_gap(first, min(small, most), min(large, most), alpha=alpha, replacement=again)
    return PointStudy(selection, wins, values, probabilities, gap, resampled)
