"""What a comparison of two populations would estimate in other settings: how much depends on the ones that were chosen.

Every setting differs from the comparison in one respect. It shows estimates with intervals of its own and makes no
claim: with so many looks, some interval may exclude chance by accident.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np

from edfkit import EdfkitError
from edfkit.metric import Metric
from edfkit.progress import steps
from edfkit.stats.adjusted import LEAST_OVERLAP, mean_difference
from edfkit.stats.bins import EmptyBinsError
from edfkit.stats.edf import Floats
from edfkit.stats.sample import ordered
from edfkit.stats.strata import usual_number
from edfkit.study.compare import Setting, balanced, better_of, prepared, side_by_side, take_part
from edfkit.study.counting import Wanted, once
from edfkit.study.selection import (
    Population,
    Selection,
    Source,
    best_and_last,
    error_column,
    expect,
    tied_together,
    told_apart,
)
from edfkit.study.settings import AS_WORST, COMPLEXITIES, FILLS, STOPPED, Control, Reading

MANY = 100_000
"""Models of both populations above which they are sorted once for all settings, and not for each."""


def look_ahead(source: Source, names: Sequence[str], reading: Reading, control: Control) -> Wanted:
    """Have all columns that the settings need counted at once, where populations are large, and say which these are."""
    counted = once(source)

    def known(columns: Sequence[str]) -> list[str]:
        return [column for column in columns if all(counted.has(name, column) for name in names)]

    columns = dict.fromkeys((*control.columns, *known(COMPLEXITIES)))
    ends = best_and_last(counted, names[0], reading)
    other = known(ends) if reading.error in _OTHER and reading.select is None else []
    if not told_apart(counted, names):
        expect(counted, names, reading, list(columns), also=other, chosen=True)
    which = dict.fromkeys((error_column(counted, names[0], reading), *other, "status", *columns))
    return Wanted(tuple(which), chosen=ends if reading.error == "best" else None)


def sensitivity(
    source: Source,
    names: Sequence[str],
    reading: Reading,
    control: Control,
    *,
    confidence: float = 0.95,
) -> list[Setting]:
    """Estimate the difference of two populations in the setting of a comparison, and in others.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        The two populations.
    reading, control
        Those of the comparison.
    confidence : float
        Of every interval, at least 0.5 and below 1.

    Returns
    -------
    list of Setting
        That of the comparison first. Those in which nothing can be estimated say why.

    Raises
    ------
    EdfkitError
        If there are not two populations, or the comparison itself cannot be made.
    """
    check_two(names)
    counted = once(source)
    main = take_part(counted, names, reading, control)
    (same,) = prepared(main)[2]
    # Many models are sorted once, by all columns that the settings read. Numbers then differ from those of separate
    # comparisons by round-off.
    many = sum(one.models for one in main.populations) > MANY
    many = many and not (same.paired or any(one.repeats for one in main.populations))
    if many:
        counted = counted.together(names, look_ahead(counted, names, reading, control))

    @cache
    def select(how: Reading, held: Control) -> Selection:
        selection = take_part(counted, names, how, held)
        if not many or selection.bins is not None or not held.columns:
            return replace(selection, populations=[*prepared(selection)[0].values()])
        return replace(selection, populations=[replace(one, settled=True) for one in selection.populations])

    def known(how: Reading, held: Control) -> bool:
        try:
            return bool(select(how, held))
        except EdfkitError:
            return False

    ways = [("chosen", reading, control)]
    if same.refused:  # in no setting the two can be compared
        return [_estimated(_named("chosen", reading, control, main.metric), main, confidence)]
    if not same.paired:  # else every network is compared with itself, whatever is held equal
        ways += _controls(main, reading, control, [one for one in COMPLEXITIES if known(reading, Control(one))])
    if reading.error in _OTHER and known(other := replace(reading, error=_OTHER[reading.error]), control):
        ways.append(("error", other, control))
    ways += [(group, how, control) for group, how in _outcomes(main, reading)]
    found = []
    for group, how, held in steps(ways, "other settings"):
        start = _named(group, how, held, main.metric)
        try:
            selection = main
            if group != "chosen":  # one selection serves any number of strata
                selection = replace(select(how, replace(held, strata=None)), strata=held.strata)
        except EmptyBinsError:  # whose own sentence is about options
            found.append(replace(start, why="A bin has no model of one of the populations."))
        except EdfkitError as why:
            found.append(replace(start, why=str(why)))
        else:
            found.append(_estimated(start, selection, confidence))
    for span, half in _halves(select(reading, control), control):
        start = replace(_named("range", reading, control, main.metric), range=span)
        found.append(_estimated(start, replace(half, strata=control.strata), confidence))
    return found


def _named(group: str, how: Reading, held: Control, metric: Metric) -> Setting:
    return Setting(group, held.given, held.strata, held.bins, held.range, how.error, how.diverged, how.failed,
                   stopped=how.stopped, metric=metric)  # fmt: skip


_OTHER = {"best": "final", "final": "best"}


def check_two(names: Sequence[str]) -> None:
    """Check the names of populations that are to be compared in several settings.

    Raises
    ------
    EdfkitError
        If they are not two.
    """
    if len(names) != 2:
        raise EdfkitError(f"Other settings are about two populations and {len(names)} were named; name two.")


def _controls(
    main: Selection, reading: Reading, control: Control, known: Sequence[str]
) -> Iterator[tuple[str, Reading, Control]]:
    """List other ways to hold complexity equal: finer and coarser strata, bins, and other complexities."""
    if control.binned:
        yield "strata", reading, Control(control.given)
    elif control.columns:
        usual = control.strata or usual_number(sum(float(one.sizes.sum()) for one in main.populations))
        for number in dict.fromkeys((max(1, usual // 2), 2 * usual)):
            yield "strata", reading, replace(control, strata=number)
        if len(control.columns) == 1:
            ends = [(one.min(), one.max()) for one in _columns(main)]
            common = max(float(low) for low, _ in ends), min(float(high) for _, high in ends)
            if common[0] < common[1]:
                yield "bins", reading, Control(control.given, None, common)
    for given in ("none", *known, *map(",".join, combinations(known, 2))):
        if set(Control(given).columns) != set(control.columns):
            yield "complexity", reading, Control(given)


def _outcomes(main: Selection, reading: Reading) -> Iterator[tuple[str, Reading]]:
    """List what else can be done with runs that did not finish, where there are such."""
    if any(one.diverged or "diverged" in one.left_out for one in main.populations):
        chosen = "censor" if reading.diverged in AS_WORST else reading.diverged
        others = [policy for policy in ("keep", "drop", "censor") if policy != chosen]
        yield from (("diverged", replace(reading, diverged=policy)) for policy in others)
    if any(one.stopped or "stopped" in one.left_out for one in main.populations):
        others = [policy for policy in STOPPED if policy != reading.stopped]
        yield from (("stopped", replace(reading, stopped=policy)) for policy in others)
    if any(one.missing for one in main.populations):
        yield from (("failed", replace(reading, failed=fill)) for fill in FILLS)


def _columns(main: Selection) -> list[Floats]:
    """Give the only complexity of each population."""
    return [one.complexity[:, 0] for one in main.populations if one.complexity is not None]


def _halves(main: Selection, control: Control) -> Iterator[tuple[tuple[float, float], Selection]]:
    """Part the models at the median complexity of both populations."""
    if len(control.columns) != 1 or control.binned:
        return
    both = np.concatenate(_columns(main))
    increasing, order = ordered(both, stable=False)
    height = np.cumsum(np.concatenate([one.sizes for one in main.populations])[order])
    at = int(np.searchsorted(height, height[-1] / 2))
    lowest, middle, highest = (float(increasing[place]) for place in (0, at, -1))
    above = both[both > middle]
    for span in ((lowest, middle), *([(float(above.min()), highest)] if above.size else [])):
        yield span, replace(main, populations=[_part(one, *span) for one in main.populations])


def _part(one: Population, lo: float, hi: float) -> Population:
    """Give the models of a population in a range of complexity, both ends included."""
    assert one.complexity is not None
    return one.taken(np.flatnonzero((one.complexity[:, 0] >= lo) & (one.complexity[:, 0] <= hi)))


def _estimated(start: Setting, selection: Selection, confidence: float) -> Setting:
    """Estimate what two populations differ by; nothing is tested."""
    if not all(one.errors.size for one in selection.populations):
        return replace(start, why="One of the populations has no model there.")
    members, ((one, other),), (same,) = prepared(selection)
    binned = selection.bins is not None
    a, b, strata = side_by_side(*tied_together(members[one.name], members[other.name]), same, selection)
    start = replace(
        start,
        bins=selection.bins,
        range=selection.range or start.range,
        strata=None if strata is None or binned or selection.given == "none" else strata.number,
    )
    if same.refused:
        return replace(start, why=same.refused)
    if strata is None or strata.overlap < LEAST_OVERLAP:
        return replace(start, why="Too few models of both have the same complexity.")
    better = better_of(a, b, strata, confidence, binned=binned)
    mean = None if a.beyond or b.beyond else mean_difference(strata, confidence, slope=not binned)
    return replace(
        start,
        prob_a_better=better.prob,
        prob_a_better_interval=(better.low, better.high),
        mean_difference=None if mean is None else mean.estimate,
        mean_difference_interval=None if mean is None else (mean.low, mean.high),
        balanced=balanced(strata, better, selection),
    )
