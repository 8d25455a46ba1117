"""How the populations of a figure are read: with the paper's ranges where they are the paper's, else with their own.

Source of the bounds and bins: Radosavovic et al., On Network Design Spaces for Visual Recognition (NDS), ICCV 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from edfkit.metric import Metric
from edfkit.show import words
from edfkit.stats.bins import EmptyBinsError
from edfkit.stats.edf import Floats
from edfkit.study.compare import Comparison, Pair, compare_populations
from edfkit.study.counting import Counted
from edfkit.study.parts import Parts
from edfkit.study.selection import Population, Selection, Source, common_metric, read_complexity, select, shared_range
from edfkit.study.settings import Control, Reading

# The most that a network of the paper has: ResNet-56 on CIFAR-10, and so much on ImageNet.
BOUNDS: dict[str, dict[str, float]] = {
    "cifar10": {"params": 0.856e6, "flops": 0.129e9},
    "imagenet": {"params": 6.0e6, "flops": 0.600e9},
}
# Learning rate and weight decay by default.
RATES: dict[str, tuple[float, float]] = {"cifar10": (0.1, 5e-4), "imagenet": (0.05, 5e-5)}


class Populations(Source, Protocol):
    """A source that knows what its populations are and were trained on: an `Archive`, or `Published` files."""

    @property
    def names(self) -> list[str]:
        """The populations."""

    def dataset(self, name: str) -> str:
        """Say which images the models of a population were trained on."""


@dataclass(frozen=True)
class FigureSource:
    """Populations, and how their errors are read.

    Attributes
    ----------
    source : Populations
    how : Reading
        Which error is read.
    seed : int
        Of what is drawn at random.
    """

    source: Populations
    how: Reading = field(default_factory=Reading)
    seed: int = 0

    @property
    def where(self) -> str:
        """The expression that chooses the models of every population; nothing if all are taken."""
        return self.source.where.text if isinstance(self.source, Parts) and self.source.where else ""

    @cached_property
    def counted(self) -> Counted:
        """What the populations are read from, each column once as far as memory allows."""
        return Counted(self.source)

    def dataset(self, names: Sequence[str]) -> str:
        """Return the data set of populations as a key of `BOUNDS`, or their own; nothing if they have several."""
        found = {self.source.dataset(name).lower().replace("-", "") for name in names}
        return found.pop() if len(found) == 1 else ""

    def bound(self, names: Sequence[str], given: str) -> float | None:
        """Return the largest complexity that the paper lets in; None if the models are not on its images."""
        return BOUNDS.get(self.dataset(names), {}).get(given)

    def metric(self, names: Sequence[str]) -> Metric:
        """Return what is read of populations, one metric of all of them."""
        return common_metric(self.counted, names, self.how)

    def every(self, names: Sequence[str]) -> Selection:
        """Select populations, not normalised."""
        return select(self.counted, names, reading=self.how, by_row=True)

    def complexities(self, member: Population, by: str) -> Any:
        """Read a complexity of the models that take part, raw counts."""
        return read_complexity(self.counted, member.name, by, member.rows)

    def compared(self, names: Sequence[str], given: str) -> Comparison:
        """Compare every pair of populations as `edfkit compare` does: by strata, with p values for all pairs."""
        return compare_populations(self.counted, names, given=given, reading=self.how, seed=self.seed)

    def normalised(self, names: Sequence[str], given: str, bins: int, lowest: float | None = None) -> Selection:
        """Select populations, given a complexity, in the paper's range and bins as far as no bin is empty.

        On the paper's images the range ends at its bound, and starts at `lowest`, or at the largest of the smallest
        complexities. On others, and where that leaves a bin empty, it is the range that all populations cover. Where
        that leaves one empty too, there are as many bins as leave each population 5 models in each, at most 10.
        """
        common = shared_range(self.counted, names, given, self.how)
        bound = self.bound(names, given)
        tries: list[tuple[tuple[float, float], int]] = [(common, bins)]
        if bound is not None and (lowest or common[0]) < bound:
            tries.insert(0, ((lowest or common[0], bound), bins))
        for range, number in tries:
            try:
                return self._binned(names, Control(given, number, range))
            except EmptyBinsError:
                continue
        return self._binned(names, Control(given))

    def _binned(self, names: Sequence[str], control: Control) -> Selection:
        return select(self.counted, names, reading=self.how, control=control, by_row=True)


@dataclass(frozen=True)
class Comparing:
    """In which ways a figure compares its populations.

    Attributes
    ----------
    bins : int
        Of complexity, in the paper.
    lowest : mapping of str to float
        Where the paper's range of a complexity starts, raw counts; else at the largest of the smallest complexities.
    given : sequence of str
        By which complexities, in this order; "none" is not normalised.
    """

    bins: int
    lowest: Mapping[str, float] = field(default_factory=dict)
    given: Sequence[str] = ("params", "flops")

    def selections(self, reading: FigureSource, names: Sequence[str]) -> list[Selection]:
        """Select the populations in each of these ways."""
        return [
            reading.every(names)
            if given == "none"
            else reading.normalised(names, given, self.bins, self.lowest.get(given))
            for given in self.given
        ]


AS_IN_THE_PAPER = "bins of equal width, as in the paper"


def findings(pairs: Sequence[Pair]) -> str:
    """Write in a line what is found of populations, such as at equal params: resnet better, 90 % (87 to 92)."""
    given = pairs[0].given
    opening = "not normalised" if given == "none" else f"at equal {given}"
    if len(pairs) == 1:
        return f"{opening}: {words.brief(pairs[0])}"
    over: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.better in (pair.a, pair.b):
            over.setdefault(pair.better, []).append(pair.b if pair.better == pair.a else pair.a)
    parts = [f"{better} better than {', '.join(others)}" for better, others in over.items()] or ["none shown"]
    for what, some in (
        ("differ in shape", [pair for pair in pairs if pair.better == "shape"]),
        (f"{given} only partly balanced", [pair for pair in pairs if partly_balanced(pair)]),
        ("too few models", [pair for pair in pairs if pair.no_claim and not pair.sharing.refused]),
        ("not comparable", [pair for pair in pairs if pair.sharing.refused]),
    ):
        if some:
            parts.append(f"{what}: {', '.join(f'{pair.a} and {pair.b}' for pair in some)}")
    return f"{opening}: {'; '.join(parts)}"


def partly_balanced(pair: Pair) -> bool:
    """Tell whether a pair is compared at complexities that are not quite equal."""
    equal = None if pair.estimates is None else pair.estimates.balance
    return pair.claim is not None and equal is not None and not (equal.equal and pair.adjusts)


def own(member: Population, values: Floats) -> Floats:
    """Turn oriented values of a population back; those that stand for worse than any are not known."""
    turned = np.asarray(member.metric.turned(values))
    return np.where(np.abs(turned) < words.SENSELESS, turned, np.nan)


def in_columns(pair: Pair) -> dict[str, Any]:
    """Give the columns that say what is found of a pair by strata; a difference is that of A minus B."""
    found, metric = pair.to_dict(), pair.metric
    prob, ends = found["prob_a_better_interval"] or (None, None), found["mean_difference_interval"]
    mean = (None, None) if ends is None else words.turned_ends(metric, ends[0], ends[1])
    difference = found["mean_difference"]
    return {
        "strata": pair.strata,
        "better": "" if pair.claim is None else pair.better,
        "p_adjusted": pair.p_adjusted,
        "prob_a_better": pair.prob_a_better,
        "prob_a_better_low": prob[0],
        "prob_a_better_high": prob[1],
        "mean_difference_points": None if difference is None else metric.turned(difference),
        "mean_difference_low_points": mean[0],
        "mean_difference_high_points": mean[1],
        "not_compared": pair.no_claim or "",
    }


def setting(selection: Selection, bins: int | None = None) -> str:
    """Write the range and bins of a selection, and why, on a second line, if there are not so many bins."""
    fewer = f"\n({bins} would leave some empty)" if bins not in (None, selection.bins) else ""
    return words.within(selection) + (fewer if selection.range is not None else "")
