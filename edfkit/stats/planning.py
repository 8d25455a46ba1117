"""How many models a comparison needs to reach its goal, by simulation of its own test from pilot populations.

Convention: n models of each of two populations A and B are drawn from the pilots, put in strata as
`edfkit.stats.strata` does, and compared. The power is the probability that this reaches the goal, 0 to 1, if the pilots
are the truth.

From two pilots models are drawn with replacement. There are at most as many strata as for the pilots themselves: in
finer ones a few models would come again and again, so that they would hardly vary.

From one pilot, n models are drawn for A and n others for B, without replacement, and the errors of B are shifted: with
replacement A and B would share models, and comparing a model with itself shows any shift. Beyond half the pilot, half
of it stands for n: shift, width or equivalence are made larger by the square root of how many times n is that, as a
standard error would be smaller.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.adjusted import LEAST_CLAIM, Better, better, mean_difference
from edfkit.stats.checks import share, whole
from edfkit.stats.claims import claims, permutations_needed
from edfkit.stats.curves import shape_test
from edfkit.stats.edf import Floats
from edfkit.stats.sample import different, tied
from edfkit.stats.strata import Index, Strata, in_strata, usual_number

LEAST = int(2 * LEAST_CLAIM)
"""Models of each below which nothing is claimed, however equal their complexities are."""

STEP, RESOLUTION = 1.5, 0.03
"""Ratio of the numbers of models that are tried at first, and that to which the answer is found."""

AT_ONCE = 100
"""Trials after which a number of models may be seen to be too small, or large enough."""


@dataclass(frozen=True, eq=False)
class Pilot:
    """A population that stands for the space that models will be drawn from.

    Attributes
    ----------
    errors : ndarray, shape (n,)
        Percent.
    complexity : ndarray of shape (n,) or (n, d), or None
        What is held equal; None: nothing.
    units : ndarray of int of shape (n,), or None
        The unit of each row, where rows repeat units.
    ends : (float, float)
        The smallest and the largest error that can be; infinite where there is no bound.
    """

    errors: Floats
    complexity: Floats | None = None
    units: NDArray[Any] | None = None
    ends: tuple[float, float] = (0.0, 100.0)

    @cached_property
    def shares(self) -> Floats:
        """Probability that each row is drawn: all units have the same, and so have the rows of a unit."""
        if self.units is None:
            return np.full(len(self.errors), 1 / len(self.errors))
        _, own, rows = np.unique(self.units, return_inverse=True, return_counts=True)
        return np.asarray(1 / rows[own] / rows.size)

    @cached_property
    def units_in_all(self) -> int:
        """How many units there are."""
        return len(self.errors) if self.units is None else different(self.units).size

    def drawn(self, models: int, rng: np.random.Generator) -> tuple[Index, NDArray[np.int64]]:
        """Draw rows with replacement, and count how often each that comes does."""
        if models < self.shares.size:
            counts = np.bincount(rng.choice(self.shares.size, models, p=self.shares))
        else:  # as many steps as there are rows, however many models
            counts = rng.multinomial(models, self.shares)
        rows = np.flatnonzero(counts)
        return rows, counts[rows].astype(np.int64)

    def complexity_of(self, rows: Index) -> Floats | None:
        """Give what is held equal of some rows."""
        return None if self.complexity is None else self.complexity[rows]


@dataclass(frozen=True)
class Needed(Result):
    """How many models a comparison needs.

    Attributes
    ----------
    goal : {"detect", "width", "equivalent"}
        That the better one of the pilots is claimed to be better, that the interval of the mean difference is narrow
        enough, or that the means are shown to be equivalent.
    models : int
        Of each population.
    power, standard_error : float
        Simulated anew at `models` after the search, so not selected by it.
    alpha : float
        Level of the tests; 1 - confidence of the intervals.
    trials : int
        Pairs of samples that `power` is the share of.
    prob_a_better : float or None
        P of the pilots, see `edfkit.stats.adjusted`; None of one pilot.
    prob_a_better_interval : (float, float) or None
    mean_difference : float or None
        Of the pilots, A minus B at equal complexity, percentage points; None of one pilot.
    mean_difference_interval : (float, float) or None
    models_interval : (int, int or None) or None
        The models needed to detect the difference if P is at the ends of its interval: the fewest, and the most, or
        None if the interval contains 1/2. They grow as 1 / (P - 1/2)^2. None for other goals, and of one pilot.
    """

    goal: Literal["detect", "width", "equivalent"]
    models: int
    power: float
    standard_error: float
    alpha: float
    trials: int
    prob_a_better: float | None
    prob_a_better_interval: tuple[float, float] | None
    mean_difference: float | None
    mean_difference_interval: tuple[float, float] | None
    models_interval: tuple[int, int | None] | None


def models_for_comparison(
    a: Pilot,
    b: Pilot | None = None,
    *,
    shift: float = 0.0,
    width: float | None = None,
    equivalent: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    strata: int | None = None,
    trials: int = 1_000,
    most: int = 100_000,
    rng: np.random.Generator,
) -> Needed:
    """Find how many models of each population a comparison needs, by drawing from pilot populations.

    The goal is that the better one of the pilots is claimed to be better, as one pair by `edfkit.stats.claims`; or that
    the interval of the mean difference has some width; or that the means are shown to be equivalent. The first number
    that is tried is that at which standard errors, which shrink as 1 / sqrt(n), are small enough. It is changed in
    steps until the power lies between two numbers, and these are halved to 3 %, as if power grew with n steadily. The
    test of shape, which hardly ever decides, is left out of the search and takes part in the promise. The pilots are
    taken for the truth: small ones differ by chance too, see `Needed.models_interval`.

    Parameters
    ----------
    a : Pilot
    b : Pilot, optional
        If not given, B is of the same space as A, but for the shift.
    shift : float
        Without `b`: percentage points that B's errors are above A's; the sums are clipped to what errors can be. Not
        0, unless there is a width or an equivalence.
    width : float, optional
        Percentage points from end to end of the interval of the mean difference, above 0.
    equivalent : float, optional
        Percentage points that the means are to differ by less than, above 0.
    power : float
        Wanted probability to reach the goal, between 0 and 1.
    alpha : float
        Level of the tests, and 1 - confidence of the intervals, between 0 and 1.
    strata : int, optional
        How many; by default the square root of the number of models of both, rounded.
    trials : int
        Simulated pairs of samples of the promise, and at most for every n that is tried; at least 1.
    most : int
        Give up beyond this number of models of each, at least 8.
    rng : numpy.random.Generator
        Source of the samples.

    Returns
    -------
    Needed

    Raises
    ------
    EdfkitError
        If the pilots have too few models of equal complexity, neither is better and a difference is to be detected, or
        they differ by more than is to be equivalent; if `most` models are not enough or a parameter is out of its
        range; and see `edfkit.stats.strata.in_strata`.
    """
    wanted, level = share(power, "power"), share(alpha, "alpha")
    repeats, limit = int(whole(trials, "trials", 1)), int(whole(most, "most", LEAST))
    _check_goal(b is None, shift, width, equivalent)
    if b is None:
        worth = a.units_in_all / 2
        together = _of_one(a, int(worth), 0.0, strata, rng)
    else:
        worth = 2 / (1 / a.units_in_all + 1 / b.units_in_all)
        together = in_strata(
            a.errors, b.errors, a.complexity, b.complexity, strata=strata, units_a=a.units, units_b=b.units
        )
    if together is None or together.overlap < LEAST_CLAIM:
        raise EdfkitError(
            f"pilots: they are worth {0 if together is None else 2 * together.overlap:.3g} models of each at equal "
            f"complexity, but at least {LEAST} are needed: give larger ones."
        )
    prob, mean = better(together, 1 - level), mean_difference(together, 1 - level)
    apart, first = (-shift, shift > 0) if b is None else (mean.estimate, prob.prob > 0.5)
    if equivalent is not None and abs(apart) >= equivalent:
        raise EdfkitError(
            f"equivalent: {equivalent:g} was given, but the pilots' mean errors differ by {abs(apart):.3g} points: "
            "give more."
        )
    detects = width is None and equivalent is None
    if detects and b is not None and abs(prob.prob - 0.5) < 1e-12:
        raise EdfkitError("pilots: neither is better (P = 1/2), so there is no difference to detect: give others.")

    def reached(models: int, *, thorough: bool) -> bool:
        """Draw models of both, and say whether comparing them reaches the goal."""
        larger = 1.0
        if b is None:
            drawn = min(models, int(worth))
            larger = math.sqrt(models / drawn)
            found = _of_one(a, drawn, shift * larger, strata, rng)
        else:
            found = _of_two(a, b, models, strata, rng)
        if found is None or found.overlap < LEAST_CLAIM:
            return False
        if detects:
            its = better(found, 1 - level)
            return (its.prob > 0.5) == first and _claimed(found, its.p_value, level, rng if thorough else None)
        difference = mean_difference(found, 1 - level)
        if width is not None:
            return difference.high - difference.low <= width * larger
        return equivalent is not None and difference.equivalent(equivalent * larger) <= level

    def enough(models: int) -> bool:
        """Draw until it is clear whether the power is that wanted."""
        found = done = 0
        while done < repeats:
            some = min(AT_ONCE, repeats - done)
            found, done = found + sum(reached(models, thorough=False) for _ in range(some)), done + some
            if abs(found - wanted * done) > 3 * math.sqrt(wanted * (1 - wanted) * done):
                break
        return found >= wanted * done

    z = NormalDist().inv_cdf
    # The standard error of the pilots, how many of them are needed, and the distance that they have to fit in.
    if width is not None:
        error, number, distance = mean.standard_error, z(1 - level / 2), width / 2
    elif equivalent is not None:
        error, number, distance = mean.standard_error, z(1 - level) + z((1 + wanted) / 2), equivalent - abs(apart)
    elif b is None:
        error, number, distance = mean.standard_error, z(1 - level / 2) + z(wanted), abs(shift)
    else:
        error, number, distance = prob.standard_error, z(1 - level / 2) + z(wanted), abs(prob.prob - 0.5)
    start = worth * (error * max(number, 0.0) / distance) ** 2
    models = _smallest(enough, math.ceil(min(max(start, LEAST), limit)), limit)
    found = sum(reached(models or limit, thorough=True) for _ in range(repeats))
    if models is None:
        raise EdfkitError(
            f"most: {limit:,} models of each reach the goal with probability {found / repeats:.2g}, but {wanted:g} was "
            "asked for: ask for less."
        )
    cautious = (found + 1) / (repeats + 2)  # so that a power of 1 has an error too
    return Needed(
        goal="detect" if detects else "width" if equivalent is None else "equivalent",
        models=models,
        power=found / repeats,
        standard_error=math.sqrt(cautious * (1 - cautious) / repeats),
        alpha=level,
        trials=repeats,
        prob_a_better=None if b is None else prob.prob,
        prob_a_better_interval=None if b is None else (prob.low, prob.high),
        mean_difference=None if b is None else mean.estimate,
        mean_difference_interval=None if b is None else (mean.low, mean.high),
        models_interval=_interval(models, prob) if detects and b is not None else None,
    )


def _check_goal(alone: bool, shift: float, width: float | None, equivalent: float | None) -> None:
    """Refuse what is no goal, or several."""
    for name, value in (("width", width), ("equivalent", equivalent)):
        if value is not None and not 0 < value < math.inf:
            raise EdfkitError(f"{name}: {value:g} was given, but percentage points above 0 are needed, such as 1.")
    if width is not None and equivalent is not None:
        raise EdfkitError(
            f"width: {width:g} was given with equivalent {equivalent:g}, but a plan has one goal: leave one out."
        )
    goal = width is not None or equivalent is not None
    if not math.isfinite(shift) or (alone and not goal and shift == 0):
        raise EdfkitError(f"shift: {shift:g} was given, but percentage points other than 0 are needed, such as 0.5.")
    if shift and (goal or not alone):
        what = "a width or an equivalence" if alone else "two pilots"
        raise EdfkitError(f"shift: {shift:g} was given with {what}, which has none: leave it out.")


def _of_two(a: Pilot, b: Pilot, models: int, strata: int | None, rng: np.random.Generator) -> Strata | None:
    """Draw models of both pilots with replacement, each a unit of its own, and put them in strata."""
    (at_a, counts_a), (at_b, counts_b) = a.drawn(models, rng), b.drawn(models, rng)
    return in_strata(
        a.errors[at_a],
        b.errors[at_b],
        a.complexity_of(at_a),
        b.complexity_of(at_b),
        strata=strata or usual_number(min(2 * models, a.units_in_all + b.units_in_all)),
        counts_a=counts_a,
        counts_b=counts_b,
    )


def _of_one(pilot: Pilot, models: int, shift: float, strata: int | None, rng: np.random.Generator) -> Strata | None:
    """Draw models of A and others of B from one pilot, without replacement, and put them in strata."""
    if not models:
        return None
    at_a, at_b = rng.choice(pilot.shares.size, (2, models), replace=False, p=pilot.shares)
    shifted = (pilot.errors[at_b] + shift).clip(*pilot.ends)
    errors, others = tied(pilot.errors[at_a], shifted)  # such as 3.3 and 1.1 + 2.2
    return in_strata(errors, others, pilot.complexity_of(at_a), pilot.complexity_of(at_b), strata=strata)


def _claimed(strata: Strata, p_better: float, alpha: float, rng: np.random.Generator | None) -> bool:
    """Tell whether one of a single pair is claimed to be better; the shape is looked at only where it decides."""

    def claimed(p_shape: float) -> bool:
        return claims([(p_better, p_shape)], alpha)[0].kind == "better"

    if claimed(1.0) or rng is None or not claimed(0.0):
        return claimed(1.0)
    return claimed(shape_test(strata, rng=rng, permutations=permutations_needed(1, alpha)).p_value)


def _smallest(enough: Callable[[int], bool], start: int, most: int) -> int | None:
    """Find the smallest number that is enough, to the resolution; None if `most` is not."""
    low, high = LEAST - 1, start
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(math.ceil(STEP * high), most)
    if low < LEAST:  # the first was enough already
        while (below := math.floor(high / STEP)) >= LEAST and enough(below):
            high = below
        low = max(below, LEAST - 1)
    while high - low > max(1, RESOLUTION * high):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _interval(models: int, prob: Better) -> tuple[int, int | None]:
    """Give the models that are needed if P is at the end of its interval that is far from 1/2, and at the near one."""
    ends = sorted((abs(end - 0.5) for end in (prob.low, prob.high)), reverse=True)
    fewest, largest = (models * ((prob.prob - 0.5) / away) ** 2 if away else math.inf for away in ends)
    unknown = prob.low <= 0.5 <= prob.high or math.isinf(largest)
    return max(LEAST, math.ceil(fewest)), None if unknown else math.ceil(largest)
