"""What stands in a report: the studies of some populations, and why parts of it are left out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from edfkit import EdfkitError
from edfkit.show.words import good, opening, pointwise
from edfkit.study import catalogue
from edfkit.study.compare import Comparison, Inference, Options, Pair, compare_populations
from edfkit.study.complexity import ComplexityStudy, complexity_study
from edfkit.study.counting import Counted, once
from edfkit.study.point import PointStudy, point_study
from edfkit.study.samples import SampleStudy, sample_study
from edfkit.study.search import SearchStudy, search_study
from edfkit.study.selection import Source, check_names, read_complexity, select
from edfkit.study.sensitivity import sensitivity
from edfkit.study.settings import COMPLEXITIES, Control, Reading, SelectionKeywords, settle, split

if TYPE_CHECKING:
    from edfkit import documents

AT_MOST = 200_000
"""Models of a report, all of which it holds: 5 to 10 MB."""

_ALWAYS = ("none", "params", "flops")  # what a report compares given, besides what was asked for
_LARGEST = 1000  # models of a large search at most, as in the paper
_PAIRED = 4  # spaces up to which searches of different ones are compared too: above, there are too many to read


@dataclass(frozen=True)
class Report:
    """The studies of a report.

    Attributes
    ----------
    names : list of str
    given : str
        What is controlled for where nothing else is said.
    comparisons : dict of str to Comparison
        By what is controlled for.
    absent : dict of str to str
        Why there is no comparison given something.
    points : list of PointStudy
        Small searches against large ones: of each space, and of pairs of up to four.
    search : SearchStudy
    samples : list of SampleStudy
        One a space.
    complexities : dict of str to (float, float)
        Those known of all models, with the smallest and the largest of all spaces together, raw counts.
    complexity : ComplexityStudy or None
        Of the first of them that is controlled for.
    settings_absent : str
        Why there are no other settings, on which the result may depend.
    reading : Reading
        Which error of each model is read.
    options : dict
        How the spaces were compared, by the names of the options of `compare`; all of them.
    source : Counted
        What the models were read from.
    """

    names: list[str]
    given: str
    comparisons: dict[str, Comparison]
    absent: dict[str, str]
    points: list[PointStudy]
    search: SearchStudy
    samples: list[SampleStudy]
    complexities: dict[str, tuple[float, float]]
    complexity: ComplexityStudy | None
    settings_absent: str
    reading: Reading
    options: dict[str, Any]
    source: Counted

    @property
    def main(self) -> Comparison:
        """The comparison that the report is about, with the result in other settings."""
        return self.comparisons[self.given]

    def to_dict(self) -> "documents.Comparison":
        """Give the comparison that the report is about as plain data."""
        return self.main.to_dict()


class ReportOptions(SelectionKeywords, Options, total=False):
    """Keywords of `study`."""


def study(source: Source, names: Sequence[str], **settings: Unpack[ReportOptions]) -> Report:
    """Run the studies of a report.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least two populations, each once.
    **settings
        `reading` and `control`, or their fields, see `edfkit.study.settings`; by default the first complexity is held
        equal for which that can be done. And the other options of `edfkit.study.compare.compare_populations`.

    Returns
    -------
    Report

    Raises
    ------
    EdfkitError
        If there are fewer than two populations or too many models, `given` was named and is not known, and see
        `edfkit.study.compare.compare_populations`. A part that is not what was asked for is left out instead.
    """
    names, source = check_names(names), once(source)
    if len(names) < 2:
        raise EdfkitError(f"A report compares spaces and {len(names)} was named; name two or more.")
    if (models := sum(map(source.models, names))) > AT_MOST:
        raise EdfkitError(
            f"A report holds every model, up to {AT_MOST:,}, and these spaces have {models:,}; take some of them with "
            "edfkit subset --models."
        )
    own, others = split({name: value for name, value in settings.items() if value is not None}, Options)
    options = {one.name: one.default for one in catalogue.find("compare").options} | own
    reading, held = settle("report", others, Control())
    seed, confidence = options["seed"], options["confidence"]
    complexities, absent = _known(source, names, reading, dict.fromkeys((*COMPLEXITIES, *held.columns)))
    if not others.keys() & {"given", "control"}:
        held = replace(held, given=next(iter(complexities), "none"))
    given = held.given

    compare = partial(compare_populations, source, names, area_to=own.get("area_to"), reading=reading)
    inference, _ = split(options, Inference)
    comparisons: dict[str, Comparison] = {}
    for control in dict.fromkeys((*_ALWAYS, given)):
        if control in absent and control != given:
            continue
        try:
            equal = held if control == given else Control(control)
            comparisons[control] = compare(control=equal, **inference)
        except EdfkitError as why:
            if control == given:
                raise
            absent[control] = str(why)
    settings_absent = f"It is made for two spaces, and this report has {len(names)}; compare two of them."
    if len(names) == 2:
        found = sensitivity(source, names, reading, held, confidence=confidence)
        comparisons[given], settings_absent = replace(comparisons[given], settings=found), ""
    by = next((one for one in (*held.columns, *complexities) if one in complexities), None)
    return Report(
        names,
        given,
        comparisons,
        {control: why for control, why in absent.items() if control in _ALWAYS},
        _points(source, names, comparisons["none"], seed, reading),
        search_study(source, names, reading=reading, control=held, confidence=confidence),
        [sample_study(source, name, reading=reading, seed=seed) for name in names],
        complexities,
        None
        if by is None
        else _complexity(source, names, by, (comparisons[given].selection.range, complexities[by]), reading),
        settings_absent,
        reading,
        options,
        source,
    )


def _known(
    source: Source, names: Sequence[str], reading: Reading, columns: Iterable[str]
) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
    """Find the smallest and the largest of each complexity, or say why it is not known."""
    members = select(source, names, reading=reading).populations
    known: dict[str, tuple[float, float]] = {}
    absent: dict[str, str] = {}
    for column in columns:
        try:
            both = np.concatenate([read_complexity(source, one.name, column, one.rows) for one in members])
        except EdfkitError as why:
            absent[column] = str(why)
        else:
            known[column] = float(both.min()), float(both.max())
    return known, absent


def _points(
    source: Source, names: Sequence[str], everyone: Comparison, seed: int, reading: Reading
) -> list[PointStudy]:
    """Compare searches; the large one draws at most half of a population, as of all models the best is certain."""
    fewest = min(member.summary.models for member in everyone.selection.populations)
    large = max(1, min(_LARGEST, fewest // 2))
    small = max(1, large // 10)
    pairs: list[tuple[str, str | None]] = [(name, None) for name in names]
    if len(names) <= _PAIRED:
        pairs += permutations(names, 2)
    return [point_study(source, a, b, small=small, large=large, seed=seed, reading=reading) for a, b in pairs]


def _complexity(
    source: Source,
    names: Sequence[str],
    by: str,
    ranges: Iterable[tuple[float, float] | None],
    reading: Reading,
) -> ComplexityStudy | None:
    """Describe a complexity over the first range that works; None stands for what all spaces cover."""
    for range in ranges:
        try:
            return complexity_study(source, names, by=by, range=range, reading=reading)
        except EdfkitError:  # nothing is covered by all, or there is one complexity for all models
            continue
    return None


def verdict(comparison: Comparison) -> tuple[str, str]:
    """Say what a comparison shows: the claim in one sentence, and what it rests on in another.

    Returns
    -------
    claim, evidence : str
        The verdict of the pair; of several pairs the claim about all of them, and how many show a difference.
    """
    pairs, given = comparison.pairs, comparison.selection.given
    if len(pairs) == 1:
        return pairs[0].verdict, pointwise(pairs[0])
    if not any(pair.claim for pair in pairs):
        return f"{opening(given)}, no two of these spaces can be compared.", "No pair was tested."
    better = {(pair.a, pair.b): pair.better for pair in pairs}
    names = [member.name for member in comparison.selection.populations]
    ahead = [name for name in names if all(better[pair] == name for pair in combinations(names, 2) if name in pair)]
    if ahead:
        metric = comparison.selection.metric
        claim = f"{opening(given)}, {ahead[0]} has {good(metric)} {metric.label} than each other space."
    else:
        claim = f"{opening(given)}, no space is shown to be better than each of the others."
    shown = sum(one in names for one in better.values())
    return claim, (
        f"In {shown} of the {len(pairs)} pairs of spaces one is shown to be better; all of this holds together with "
        f"confidence {100 * pairs[0].confidence:g} %."
    )


def decided(pair: Pair) -> list[tuple[float, float, str]]:
    """List the ranges of error in which one of a pair is claimed to be ahead, with the name of that one."""
    names = {"better": pair.a, "worse": pair.b}
    return [(lo, hi, names[kind]) for lo, hi, kind in pair.ranges() if kind in names]
