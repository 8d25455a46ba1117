"""The plan study: how many models to train, for a precision of the EDF or for a comparison to reach its goal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from edfkit import EdfkitError
from edfkit.result import Result, signed
from edfkit.stats.sizes import models_for_precision
from edfkit.study.catalogue import unfit_goal
from edfkit.study.selection import Population, Selection, Source, gather, tied_together
from edfkit.study.settings import Control, SelectionKeywords, settle
from edfkit.study.units import sharing
from edfkit.study.weighing import repeated

if TYPE_CHECKING:
    from edfkit import documents
    from edfkit.stats.planning import Needed, Pilot

FEW = 25
"""Models of a pilot below which a plan says how few they are."""


@dataclass(frozen=True)
class Precision(Result):
    """Models whose EDF is everywhere within `eps` of the truth with some confidence.

    Attributes
    ----------
    models : int
    eps, confidence : float
        Shares, 0 to 1.
    """

    models: int
    eps: float
    confidence: float


@dataclass(frozen=True)
class ComparisonPlan:
    """Models of each population with which comparing them reaches its goal.

    Attributes
    ----------
    selection : Selection
        The pilot populations: two, or one that stands for both.
    shift, width, equivalent : float or None
        The goal, percentage points: of one pilot the difference to detect; the width of the interval of the mean
        difference; what the means are to differ by less than. With two pilots all are None if their own difference is
        to be detected.
    needed : Needed
    wanted : float
        The power that was asked for.
    seed : int
    """

    selection: Selection
    shift: float | None
    width: float | None
    equivalent: float | None
    needed: "Needed"
    wanted: float
    seed: int

    @property
    def small(self) -> list[Population]:
        """The pilots of fewer than 25 models."""
        return [one for one in self.selection.populations if one.models < FEW]

    def to_dict(self) -> "documents.ComparisonPlan":
        """Give the plan as plain data, see the guide."""
        document: documents.ComparisonPlan = {
            **self.selection.to_dict(),
            "shift": self.shift,
            "width": self.width,
            "equivalent": self.equivalent,
            "wanted_power": self.wanted,
            "seed": self.seed,
            "needed": self.needed.to_dict(),
        }
        return signed("ComparisonPlan", document, self.selection.metric)  # type: ignore[no-any-return]


def plan_precision(eps: float, confidence: float = 0.95) -> Precision:
    """Say how many models a population needs for its EDF to be within `eps` of the truth everywhere.

    Parameters
    ----------
    eps : float
        Share, above 0 and below 1.
    confidence : float
        Above 0 and below 1.

    Returns
    -------
    Precision

    Raises
    ------
    EdfkitError
        If one is out of its range.
    """
    return Precision(models_for_precision(eps, confidence), eps, confidence)


def plan_comparison(
    source: Source,
    names: Sequence[str],
    *,
    shift: float | None = None,
    width: float | None = None,
    equivalent: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    trials: int = 1000,
    seed: int = 0,
    **settings: Unpack[SelectionKeywords],
) -> ComparisonPlan:
    """Say how many models `compare` needs to reach a goal, by simulation of it from pilot populations.

    Parameters
    ----------
    source : Source
        Where the pilots are.
    names : sequence of str
        Two populations; or one, with a shift, a width or an equivalence, that stands for both.
    shift : float, optional
        Of one population: percentage points that the second one's errors would be above the first's.
    width : float, optional
        Percentage points from end to end of the confidence interval of the mean difference.
    equivalent : float, optional
        Percentage points that the mean errors are to be shown to differ by less than.
    power, alpha : float
        Wanted probability to reach the goal, and level of the test, or 1 - confidence of the interval.
    trials : int
        Simulated pairs of samples of the promised probability, and at most for each number of models that is tried.
    seed : int
        Of the simulation.
    **settings
        `reading` and `control`, or their fields, see `edfkit.study.settings`; by default params is held equal. A plan
        is for strata, so there are no bins and no range.

    Returns
    -------
    ComparisonPlan

    Raises
    ------
    EdfkitError
        If the names do not go with the goal, the populations share networks, there are bins, or the goal is about
        means where there are none, or compare tests medians; and see
        `edfkit.stats.planning.models_for_comparison`.
    """
    goals = {"shift": shift, "width": width, "equivalent": equivalent}
    if not 1 <= len(names) <= 2:
        raise EdfkitError(f"names: {len(names)} populations were named, expected one or two; name so many.")
    if wrong := unfit_goal(names, [name for name, value in goals.items() if value is not None]):
        raise EdfkitError(wrong)
    reading, control = settle("plan_comparison", settings, Control())
    if control.binned:
        raise EdfkitError(
            f"bins: {control.bins} with range {control.range} was given, but a plan is for the strata of a comparison: "
            "leave bins and range out."
        )
    selection = gather(source, names, reading=reading, control=control, by_row=True)
    a, b = selection.populations[0], selection.populations[-1]
    if b is not a:
        same = sharing(a.name, b.name, a.units, b.units)
        if same.refused or same.paired:
            raise EdfkitError(
                same.refused
                or f"{a.name} and {b.name} are the same {same.units:,} networks, so they are no independent samples to "
                "plan from; name populations without common networks."
            )
    a, b = (a, a) if b is a else tied_together(a, b)
    if equivalent is not None and (not a.metric.bounded or a.filled or b.filled):
        raise EdfkitError(
            f"equivalent: compare tests medians of {a.metric.label} here, as it has no bounds or runs without a value "
            "count as the worst, and a plan simulates means; plan for --width, or to show which is better."
        )
    if width is not None and (a.beyond or b.beyond):
        raise EdfkitError(
            f"width: this is about a mean, and some runs count as worse than any {a.metric.label}, so that there is "
            "none; plan a comparison without it, or leave them out by --diverged drop."
        )
    from edfkit.stats.planning import models_for_comparison

    needed = models_for_comparison(
        _pilot(_one_run_each(a, seed) if b is a else a),
        None if b is a else _pilot(b),
        shift=shift or 0.0,
        width=width,
        equivalent=equivalent,
        power=power,
        alpha=alpha,
        strata=control.strata,
        trials=trials,
        rng=np.random.default_rng(seed),
    )
    return ComparisonPlan(selection, shift, width, equivalent, needed, power, seed)


def _one_run_each(member: Population, seed: int) -> Population:
    """Take one run of each unit at random: models of both populations are drawn from one pilot without replacement."""
    units = repeated(member)
    if units is None:
        return member
    rows = np.random.default_rng(seed).permutation(units.unit.size)
    return member.taken(np.sort(rows[np.unique(units.unit[rows], return_index=True)[1]]))


def _pilot(member: Population) -> "Pilot":
    from edfkit.stats.planning import Pilot

    units = member.units.unit if member.units and member.repeats else None
    return Pilot(member.errors, member.complexity, units, (member.metric.least, member.metric.most))


class _Planned(SelectionKeywords, total=False):
    shift: float | None
    width: float | None
    equivalent: float | None
    power: float
    alpha: float
    trials: int
    seed: int


def plan_study(
    source: Source | None,
    names: Sequence[str] = (),
    *,
    eps: float | None = None,
    confidence: float = 0.95,
    **settings: Unpack[_Planned],
) -> Precision | ComparisonPlan:
    """Say how many models to train: for a precision of the EDF, or for a comparison to reach its goal.

    Parameters
    ----------
    source : Source or None
        Where the pilots are; not needed with `eps`.
    names : sequence of str
        Two populations, or one; none with `eps`.
    eps, confidence
        See `plan_precision`.
    **settings
        See `plan_comparison`.

    Returns
    -------
    Precision or ComparisonPlan

    Raises
    ------
    EdfkitError
        If there are neither `eps` nor populations, or both, or `eps` and another goal; and see `plan_precision` and
        `plan_comparison`.
    """
    if (eps is None) == (not names):
        raise EdfkitError(
            f"eps: {eps} was given with {len(names)} populations, expected either a precision, eps, or one or two "
            "populations; give one of them."
        )
    if unknown := [name for name in settings if name not in _Planned.__annotations__]:
        raise TypeError(f"plan_study() takes no argument {unknown[0]!r}")
    if eps is not None:  # a precision makes no use of the settings, but it is no goal of a comparison
        if goals := [name for name in ("shift", "width", "equivalent") if settings.get(name) is not None]:
            raise EdfkitError(f"eps: {eps:g} was given with {goals[0]}, which is a goal of populations; leave one out.")
        return plan_precision(eps, confidence)
    if source is None:
        raise EdfkitError("source: None was given, expected where the populations are; open an archive.")
    return plan_comparison(source, names, **settings)
