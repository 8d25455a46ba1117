"""The results of studies as text for a terminal: functions that give lines, or tables of several lines."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from edfkit.metric import ERROR, Metric
from edfkit.show import words
from edfkit.show.labels import labelled
from edfkit.show.words import number

if TYPE_CHECKING:  # the modules of the other studies are not loaded to print one
    from numpy.typing import NDArray

    from edfkit.show.report.content import Report
    from edfkit.stats.bootstrap import Interval
    from edfkit.stats.buckets import BucketMeans
    from edfkit.stats.edf import Floats
    from edfkit.study.compare import Comparison, Pair, Setting
    from edfkit.study.complexity import Complexities, ComplexityStudy
    from edfkit.study.describe import Description
    from edfkit.study.noise import Noise, NoiseStudy
    from edfkit.study.plan import ComparisonPlan, Precision
    from edfkit.study.point import PointStudy
    from edfkit.study.samples import SampleStudy
    from edfkit.study.search import Curve, SearchStudy
    from edfkit.study.selection import Population, Selection
    from edfkit.study.settings import Reading


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Lay out a table of 80 columns at most, of which so many on the left are text and the others numbers.

    Whatever the terminal: a narrower table would lose digits. Where there is no room text folds, and then columns stand
    closer together; numbers are never broken, and where they alone take more than 80 columns, the table does.
    """
    grid = [headings, *rows]
    widths = [max(_width(line) for row in grid for line in row[at].split("\n")) for at in range(len(headings))]
    columns = len(widths)
    # As a rule two blanks between columns, and one at the end.
    between, end = ("  ", " ") if left + sum(widths[left:]) + 2 * columns - 1 <= 80 else (" ", "")
    _narrow(widths, left, 80 - len(between) * (columns - 1) - len(end))
    lines = []
    for row in grid:
        cells = [
            _folded(cell, width if at < left else 0) for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        depth = max(map(len, cells))
        for cell in cells:
            at = 0 if row is headings else len(cell)  # headings stand at the bottom
            cell[at:at] = [""] * (depth - len(cell))
        for parts in zip(*cells, strict=True):
            blanks = [" " * (width - _width(part)) for width, part in zip(widths, parts, strict=True)]
            texts = [part + blank for part, blank in zip(parts[:left], blanks, strict=False)]
            numbers = [blank + part for part, blank in zip(parts[left:], blanks[left:], strict=True)]
            lines.append(between.join(texts + numbers) + end)
        if row is headings:
            utf = (getattr(sys.stdout, "encoding", None) or "utf").lower().startswith("utf")
            lines.append(("\N{BOX DRAWINGS LIGHT HORIZONTAL}" if utf else "-") * _width(lines[-1]))
    return "\n".join(lines)


def _width(text: str) -> int:
    """Count the columns that a text takes on a terminal, where some characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _narrow(widths: list[int], left: int, room: int) -> None:
    """Make the widest of the columns on the left narrower, until all fit into the room; not where none can."""
    if sum(widths[left:]) + left > room:  # one letter a line would not help
        return
    while (excess := sum(widths) - room) > 0 and (widest := max(widths[:left], default=1)) > 1:
        tied = [at for at in range(left) if widths[at] == widest]
        part = widest - max((width for width in widths[:left] if width < widest), default=1)
        for share, at in zip(range(len(tied), 0, -1), tied, strict=True):
            less = min(part, round(excess / share))
            widths[at] -= less
            excess -= less


def _folded(text: str, width: int) -> list[str]:
    """Break a text between words, and words that are longer than the width; a width of 0 breaks lines only."""
    if not width:
        return text.split("\n")
    lines: list[str] = []
    for line in text.split("\n"):
        at = len(lines)
        lines.append("")
        for word in re.findall(r"\s*\S+\s*", line):
            if _width(lines[-1] + word.rstrip()) <= width:
                lines[-1] += word
            elif _width(word.rstrip()) <= width:
                lines.append(word)
            else:
                lines[at if lines[at:] == [""] else len(lines) :] = _chopped(word, width)
    return [line.rstrip() for line in lines]


def _chopped(word: str, width: int) -> list[str]:
    if word.isascii():
        return [word[at : at + width] for at in range(0, len(word), width)]
    from rich.cells import chop_cells

    return chop_cells(word, width)


def populations(members: Sequence[Population], how: Selection | Reading) -> Iterator[str]:
    """Summarise populations, and say which models these are."""
    metric = members[0].metric
    rows = [[member.name, *words.summary(member.summary, metric)] for member in members]
    yield table(["space", *words.summary_headings(metric)], rows)
    yield f"n_eff: effective models; {_values(metric)}; {_area(members)}."
    yield from _no_means(members)
    yield from selected(members, how)


def _values(metric: Metric) -> str:
    """Say what the numbers of a table are, such as errors in percent."""
    return words.many(metric) + words.in_unit(metric, " in ")


def _area(members: Sequence[Population]) -> str:
    """Say what the area of populations is, or why one has none."""
    return words.area_under(next((one for one in members if math.isnan(one.summary.area)), members[0]))


def _no_means(members: Sequence[Population]) -> Iterator[str]:
    """Say why populations have no mean."""
    return filter(None, map(words.without_mean, members))


def selected(members: Sequence[Population], how: Selection | Reading, *, brief: bool = False) -> Iterator[str]:
    """Say which models of populations took no part, and what was done with runs that diverged, or were stopped.

    If `brief`, nothing is said of populations of which all do as usual.
    """
    for one in members:
        line = words.taking_part(one.name, one.left_out, one.diverged, how.diverged, one.metric, one.filled)
        if one.stopped:
            kept = "kept" if how.stopped == "last" else f"counted as {words.as_worst(one.metric)}"
            line = f"{line[:-1]}; {one.stopped:,} stopped, {kept}."
        if not (brief and line.endswith("left out none.")):
            yield line
    if how.select is not None and how.error == "best":
        yield f"The epoch of each run is the best one by {how.select}."


def taking_part(members: Sequence[Complexities | Noise], policy: str, metric: Metric = ERROR) -> Iterator[str]:
    """Say the same of populations of which only numbers are left."""
    return (words.taking_part(one.name, one.left_out, one.diverged, policy, metric, one.filled) for one in members)


def description(study: Description) -> Iterator[str]:
    """Summarise populations, with their complexities and intervals."""
    study = labelled(study)
    yield from populations(study.populations, study.reading)
    for name, known in study.ranges.items():
        if spans := [f"{count} {words.exact_span(ends)}" for count, ends in known.items() if ends]:
            yield f"{name}: {'; '.join(spans)}"
    what = "each network has the same weight, and intervals count networks"
    yield from _repeated(study.populations, what, stated=True)
    yield from intervals(study.intervals, study.populations[0].metric)


def intervals(found: Mapping[str, Mapping[str, Interval]], metric: Metric = ERROR) -> Iterator[str]:
    """Give the bootstrap intervals of populations."""
    for name, some in found.items():
        if some:
            one = next(iter(some.values()))
            parts = []
            for what, i in some.items():
                if what == "area":
                    parts.append(f"{what} {words.with_interval(i.estimate, (i.low, i.high), 4)}")
                else:
                    ends = words.turned_ends(metric, i.low, i.high)
                    parts.append(f"{what} {words.with_interval(metric.turned(i.estimate), ends, metric.digits)}")
            yield f"{name}, confidence {one.confidence:g}, {one.trials:,} trials, seed {one.seed}: {', '.join(parts)}"


_IN_FULL = 3  # pairs up to which each is told in full; of more there is a table


def comparison(result: Comparison) -> Iterator[str]:
    """Say what comparing populations gave: the populations, then the finding of each pair and how large it is."""
    result = labelled(result)
    chosen = result.selection
    if chosen.bins is not None:
        yield words.control(chosen)
        yield from populations(chosen.populations, chosen)
    else:
        yield from _compared(chosen)
    if chosen.chosen_on_test:
        which = "Errors are the smallest over the epochs on the test set"
        if chosen.metric.label != ERROR.label:
            which = f"Values of {chosen.metric.label} are the best over the epochs"
        yield f"{which}, which is optimistic; see --error final."
    yield from _repeated(chosen.populations)
    pairs = result.pairs
    for pair in pairs if len(pairs) <= _IN_FULL else []:
        yield ""
        yield pair.verdict
        yield from details(pair)
        if (test := pair.permutation) is not None:
            kind, drawn = ("Exact test", "permutations") if test.exact else ("Test", "draws of the limit law")
            within = " within the bins" if pair.bins else ""
            yield (
                f"{kind} of D{within}, run by run: {words.p_is(test.p_value)} +- {test.standard_error:.1g}, "
                f"{test.trials:,} {drawn}, seed {result.seed}."
            )
    if len(pairs) > _IN_FULL:
        yield ""
        yield from matrix(result)
    if result.settings:
        yield ""
        yield from sensitivity(result)


def _compared(chosen: Selection) -> Iterator[str]:
    """Summarise populations as they are, with their typical complexity."""
    given = [] if chosen.given == "none" else [one.strip() for one in chosen.given.split(",")]
    rows = []
    for member in chosen.populations:
        numbers = words.summary(member.summary, chosen.metric)
        row = [member.name, numbers[0], *numbers[2:]]
        if member.complexity is not None:
            order = np.argsort(member.complexity, axis=0)
            counts = np.ones(member.errors.size) if member.counts is None else member.counts
            for column, at in zip(member.complexity.T, order.T, strict=True):
                height = np.cumsum(counts[at])
                row.append(words.short(float(column[at][np.searchsorted(height, height[-1] / 2)])))
        rows.append(row)
    headings = [one for one in words.summary_headings(chosen.metric) if one != "n_eff"]
    yield table(["space", *headings, *given], rows)
    also = f"; {', '.join(given)}: median" if given else ""
    yield f"Populations as they are; {_values(chosen.metric)}; {_area(chosen.populations)}{also}."
    yield from _no_means(chosen.populations)
    yield from selected(chosen.populations, chosen, brief=True)


def _repeated(
    members: Sequence[Population], what: str = "tests and intervals count networks", *, stated: bool = False
) -> Iterator[str]:
    """Say where rows repeat a network, and what follows; if `stated`, only where the source says so."""
    for member in members:
        if member.repeats and member.units is not None and (member.units.stated or not stated):
            units = member.units.different.size
            yield f"{member.name}: {member.models:,} runs of {words.plural(units, 'network')}; {what}."


def details(pair: Pair) -> Iterator[str]:
    """Say how large the difference of a pair is, how sure that is, where it holds, and how equal complexity is."""
    found = words.findings(pair)
    width = max((len(what) for what, _ in found), default=0)
    for what, figure in found:
        yield from wrap(f"{what:{width}}  {figure}", 80, initial_indent="  ", subsequent_indent=" " * (width + 4))
    if note := words.pointwise(pair):
        yield note


def matrix(result: Comparison) -> Iterator[str]:
    """Show every pair of many populations in a table of at most 80 columns."""
    names = [member.name for member in result.selection.populations]
    found = {(pair.a, pair.b): pair for pair in result.pairs}
    yield f"{words.opening(result.selection.given)}, how often a model of the row beats one of the column, percent:"
    width = max(map(len, names))
    columns = max(1, (80 - width - 4) // 6)
    for start in range(0, len(names), columns):
        some = range(start, min(start + columns, len(names)))
        yield " " * (width + 4) + "".join(f"{at + 1:>5} " for at in some)
        for row, name in enumerate(names):
            cells = "".join(_cell(found, names, row, at) for at in some)
            yield f"{row + 1:>3} {name:{width}}{cells}".rstrip()
    claimed = [pair for pair in result.pairs if pair.better in (pair.a, pair.b)]
    shapes = sum(pair.better == "shape" for pair in result.pairs)
    confidence = 100 * result.pairs[0].confidence
    yield words.MARKS
    yield (
        f"{len(claimed)} of {len(result.pairs)} pairs: one is shown to be better; {shapes}: the shape alone differs. "
        f"All of this holds together with confidence {confidence:g} %. Intervals and p values: --json, or two spaces."
    )
    few = [f"{pair.a} and {pair.b}" for pair in result.pairs if pair.claim is None and not pair.sharing.refused]
    if few:
        yield f"Untested, as there are too few models of equal complexity: {'; '.join(few)}."
    if hung := [f"{pair.a} and {pair.b}" for pair in result.pairs if words.changed(pair)]:
        yield f"Not claimed, as runs without a value could change the finding: {'; '.join(hung)}."
    yield from dict.fromkeys(pair.sharing.refused for pair in result.pairs if pair.sharing.refused)


def _cell(found: Mapping[tuple[str, str], Pair], names: Sequence[str], row: int, column: int) -> str:
    """Write how often a row beats a column, and what is claimed."""
    if row == column:
        return "    . "
    often, marks = words.against(found[names[min(row, column)], names[max(row, column)]], names[row])
    if not marks or marks == "?":
        marks = f" {marks}"
    return f"{often:>4}{marks:2}" if often else "    ! "


def sensitivity(result: Comparison) -> Iterator[str]:
    """Show what would be estimated of two populations in other settings."""
    (pair,) = result.pairs
    metric = pair.metric
    yield from wrap(words.sensitivity(result), 80)
    rows = [[words.marked(one, metric), *_often(one), _apart(one, metric)] for one in result.settings]
    unit = f" in{words.gap_unit(metric)}" if words.gap_unit(metric) else ""
    yield from wrap(
        f"How often {pair.a} is better than {pair.b}, and its mean {metric.label} minus that of {pair.b}{unit}, each "
        f"with its {words.confidently(pair.confidence)}:",
        80,
    )
    yield table(["setting", "better", "interval", "mean difference"], rows)
    absent = dict.fromkeys(f"{words.setting(one, metric)}: {one.why}" for one in result.settings if one.why)
    for line in absent:
        yield from wrap(line, 80)
    yield "Estimates, each with an interval of its own; the finding is that of the chosen setting. ?: partly balanced."


def _often(one: Setting) -> list[str]:
    """Write how often the first population is better, and the interval of that, as percentages."""
    if one.prob_a_better is None or one.prob_a_better_interval is None:
        return ["-", ""]
    at, low, high = words.percent(one.prob_a_better, *one.prob_a_better_interval)
    return [f"{at} %", f"{low} to {high}"]


def _apart(one: Setting, metric: Metric) -> str:
    """Write a difference of means with its interval."""
    if one.mean_difference is None or one.mean_difference_interval is None:
        return "-"
    ends = words.turned_ends(metric, *one.mean_difference_interval)
    return words.with_interval(metric.turned(one.mean_difference), ends, metric.digits, "+")


def point(study: PointStudy) -> Iterator[str]:
    """Say whose best model wins."""
    study = labelled(study)
    metric = study.selection.metric
    wins, gap = study.wins, study.gap
    names = [member.name for member in study.selection.populations]
    yield from _picked(study)
    yield f"The best of {wins.small:,} {names[0]} models against the best of {wins.large:,} {names[-1]} models:"
    rows = [["exact", *(f"{p:.4f}" for p in (wins.small_wins, wins.large_wins, wins.tie)), ""]]
    if (drawn := study.resampled) is not None:
        shares = [f"{share:.4f}" for share in (drawn.small_wins, drawn.large_wins, drawn.tie)]
        rows.append([f"{drawn.trials:,} trials, seed {drawn.seed}", *shares, f"{drawn.se:.4f}"])
    yield table(["", "small wins", "large wins", "tie", "+- (large)"], rows)
    mean = metric.turned(study.mean)
    if any(one.beyond for one in study.selection.populations):
        yield from _no_means(study.selection.populations)
    else:
        far = f"{words.points(abs(mean), metric)}{words.gap_unit(metric)} {'lower' if mean < 0 else 'higher'}"
        yield f"On average, the best {metric.label} of the small search is {far}."
    sizes = f"{gap.small:,} and {gap.large:,}"
    if abs(gap.either) < words.SENSELESS:
        far = f"{number(gap.either, metric.digits)}{words.gap_unit(metric)}"
        yield (
            f"{names[0]} alone: two searches of {sizes} models differ by {far} or more with "
            f"probability {gap.alpha:g} at most. A smaller gap can be real too."
        )
    else:
        yield (
            f"{names[0]} alone: no gap between searches of {sizes} models is so rare that its probability is "
            f"{gap.alpha:g} at most."
        )
    what = "the searches draw networks, with replacement, and one run of each at random"
    yield from _repeated(study.selection.populations, what, stated=True)
    yield from selected(study.selection.populations, study.selection)


def search(study: SearchStudy) -> Iterator[str]:
    """Say whose best of m models is expected to be lower, and show best-of-m curves."""
    study = labelled(study)
    metric = study.selection.metric
    yield words.search_control(study)
    yield from _picked(study)
    yield from _repeated(study.selection.populations)
    if study.pairs:
        yield ""
        yield from _searches(study)
    for curve in study.curves:
        best = curve.best
        how = "with" if best.replacement else "without"
        yield ""
        yield f"{curve.name}: {best.models:,} models, n_eff {best.n_eff:,.1f}, drawn {how} replacement"
        yield table(*_curve(curve, study), left=0)
    confidence = words.confidently(study.confidence).removesuffix(" CI")
    what = f"{words.capital(words.best(metric))} {metric.label} of m models{words.in_unit(metric)}"
    band = f"band: {confidence}, of the medians of all m at once"
    if study.picked_by is not None:
        by = study.picked_by.label
        what = f"{words.title(metric)} of the best of m models, picked by {by}{words.in_unit(metric)}"
        band = f"no band: runs are picked by {by}"
    side = "below" if metric.goal == "min" else "above"
    yield (
        f"{what}. mean: expectation, its interval for this m (-: too few models); {band}; 5 %, 95 %: so many searches "
        f"end at or {side} it."
    )
    yield from _no_means(study.selection.populations)
    top = ", ".join(f"{100 * share:g} %: {draws:,}" for share, draws in study.top.items())
    yield f"Draws for a model of the best share, with probability 0.95: {top}."
    yield from selected(study.selection.populations, study.selection, brief=True)


def _picked(study: PointStudy | SearchStudy) -> Iterator[str]:
    """Say by which other metric the best run is picked."""
    if study.picked_by is not None:
        by = study.picked_by.label
        yield (
            f"Runs are picked by {by}: of the models of a search the one with the best {by} counts, with its "
            f"{study.selection.metric.label}."
        )


def _searches(study: SearchStudy) -> Iterator[str]:
    """Say what is claimed of the best of m models of every pair."""
    metric = study.selection.metric
    if len(study.pairs) <= _IN_FULL:
        yield from (words.search_finding(pair, study) for pair in study.pairs)
    else:
        rows = [
            [pair.better[run[0]], words.other(pair, pair.better[run[0]]), *words.search_claim(pair, run, metric)]
            for pair in study.pairs
            for run in pair.claims
        ]
        if rows:
            interval = words.confidently(study.confidence)
            by = f"by,{words.gap_unit(metric)}" if words.gap_unit(metric) else "by"
            yield table([words.good(metric), "than", "m", by, "at m", interval], rows, left=2)
        tested = [pair for pair in study.pairs if pair.no_claim is None]
        none = sum(not pair.claims for pair in tested)
        yield (
            f"{len(tested) - none} of {len(study.pairs)} pairs: the best of one is expected to be "
            f"{words.good(metric)}; {none}: no difference is shown."
        )
        most = sorted({pair.most for pair in tested if pair.most is not None})
        if most and any((pair.m > most[0]).any() for pair in tested):
            yield f"With more than {words.some(most)} models no claim is made: the populations hold too few."
        yield from dict.fromkeys(pair.no_claim for pair in study.pairs if pair.no_claim is not None)
    if any(pair.no_claim is None for pair in study.pairs):
        yield f"All claims and their intervals hold together with confidence {100 * study.confidence:g} %."


def _curve(curve: Curve, study: SearchStudy) -> tuple[list[str], list[list[str]]]:
    best, metric = curve.best, study.selection.metric
    no_mean = next(one.beyond for one in study.selection.populations if one.name == curve.name)
    outer = {q: values for q, values in best.quantiles.items() if q != 0.5}
    rows = []
    for i, m in enumerate(best.m.tolist()):
        spent = [] if curve.cost_of_one is None else [f"{m * curve.cost_of_one:,.4g}"]
        interval = "-" if no_mean or np.isnan(curve.interval[i][0]) else _ends(metric, *curve.interval[i])
        band = [] if study.picked_by else [_ends(metric, curve.median_low[i], curve.median_high[i])]
        mean = "-" if no_mean else words.value(metric, best.error[i])
        row = [f"{m:,}", *spent, mean, interval, words.value(metric, curve.median[i]), *band]
        rows.append([*row, *(words.value(metric, values[i]) for values in outer.values())])
    spent = [study.cost] if study.cost else []
    interval = words.confidently(study.confidence)
    band = [] if study.picked_by else ["band"]
    return ["m", *spent, "mean", interval, "median", *band, *(f"{100 * q:g} %" for q in outer)], rows


def _ends(metric: Metric, low: float, high: float) -> str:
    """Write an interval of values; a dash is an end that is not known."""
    ends = [words.value(metric, low), words.value(metric, high)]
    return " to ".join(ends if metric.goal == "min" else ends[::-1])


def samples(study: SampleStudy) -> Iterator[str]:
    """Say how many models are enough."""
    study = labelled(study)
    metric = study.selection.metric
    drawn = study.simulated
    rows = []
    for i, models in enumerate(study.models.tolist()):
        simulated = [f"{drawn.mean[i]:.4f}", f"{drawn.sd[i]:.4f}"] if drawn else []
        rows.append([f"{models:,}", f"{study.to_truth[i]:.4f}", f"{study.to_population[i]:.4f}", *simulated])
    yield table(["models", "D to truth", "D to all", *(["simulated", "sd"] if drawn else [])], rows, left=0)
    yield "D to truth: expected distance of the EDF from that of the space; D to all: from that of all models here,"
    yield "which include the sample, so that it is smaller the larger a part of them that is."
    summaries = [
        [f"{size:,}", *(words.value(metric, x) for x in (s.min, s.median, s.mean))] for size, s in study.samples.items()
    ]
    if summaries:
        best = words.summary_headings(metric)[2]
        yield table(["models", best, "median", "mean"], summaries, left=0)
        yield f"Samples drawn with seed {study.seed}; {_values(metric)}."
        yield from _no_means(study.selection.populations)
    yield from _repeated(study.selection.populations, "the models above are networks", stated=True)
    yield from selected(study.selection.populations, study.selection)


def plan(study: Precision | ComparisonPlan) -> Iterator[str]:
    """Say how many models give an EDF of a wanted precision, or let a comparison reach its goal."""
    from edfkit.study.plan import Precision

    if isinstance(study, Precision):
        yield (
            f"{study.models:,} models: the EDF is within {study.eps:g} of the truth with confidence "
            f"{study.confidence:g}."
        )
        return
    study = labelled(study)
    found = study.needed
    truth = "the pilot is" if found.prob_a_better is None else "the pilots are"
    yield from wrap(
        f"{found.models:,} models of each: {words.goal(study)} with probability {found.power:.2f} (standard error "
        f"{max(found.standard_error, 0.01):.2f}; {study.wanted:g} wanted), if {truth} the truth.",
        80,
    )
    yield from wrap(words.pilots(study), 80)
    for one in study.small:
        yield f"{one.name} has only {words.plural(one.summary.models, 'model')}: the plan is as good as the pilots are."
    yield f"{words.control(study.selection)} {found.trials:,} simulated comparisons, seed {study.seed}."
    yield from _repeated(study.selection.populations, "the models of the plan are networks", stated=True)
    yield from selected(study.selection.populations, study.selection)


def complexity(study: ComplexityStudy) -> Iterator[str]:
    """Show complexities, and how the error goes with them."""
    study = labelled(study)
    metric, rows = study.metric, []
    for space in study.spaces:
        counts = (space.complexity.min(), _median(space.complexity, space.counts), space.complexity.max())
        sizes = [f"{space.models:,}", *(f"{count:,.0f}" for count in counts)]
        rows.append([space.name, *sizes, words.rank_correlation(space, metric)])
    yield table(["space", "models", "smallest", "median", "largest", "rank correlation"], rows)
    lo, hi = study.range
    what = f"its rank correlation with {'the ' * (metric.label == ERROR.label)}{metric.label} (95 % CI)"
    yield f"{study.by}, and {what}. Buckets from {lo:,.0f} to {hi:,.0f}:"
    edges = study.spaces[0].buckets.edges[:-1]
    for start in range(0, len(study.spaces), 2):  # side by side, as far as 80 columns go
        some = study.spaces[start : start + 2]
        buckets = [
            [words.short(edge), *(_bucket(space.buckets, i, metric) for space in some)] for i, edge in enumerate(edges)
        ]
        yield table(["from", *(space.name[:26] for space in some)], buckets, left=0)
    yield (f"Mean {metric.label} +- 2 standard deviations of the models in the bucket{words.in_unit(metric)} (models).")
    for space in study.spaces:
        if space.units < space.models:
            runs = f"{space.name}: {space.models:,} runs of {words.plural(space.units, 'network')}"
            yield f"{runs}; a network counts once, by the mean of its runs."
    yield from taking_part(study.spaces, study.diverged, study.metric)
    advice = study.advice
    if advice.works:
        yield f"{study.bins} bins over this range leave none empty."
        return
    empty = ", ".join(f"{len(gaps)} of {name}" for name, gaps in advice.empty.items() if gaps)
    use = [f"use {advice.most_bins} bins"] if advice.most_bins else []
    use += [f"the range {advice.widest[0]:,.0f} to {advice.widest[1]:,.0f}"] if advice.widest else []
    yield f"Of {study.bins} bins over this range, {empty} are empty: {', or '.join(use) or 'give another range'}."


def _median(values: Floats, counts: NDArray[np.int64] | None) -> float:
    """Compute the median of numbers that stand for so many models each."""
    order = np.argsort(values)
    ends = np.cumsum(np.ones(values.size, np.int64) if counts is None else counts[order])
    middle = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], side="right")
    return float(values[order][middle].mean())


def _bucket(buckets: BucketMeans, i: int, metric: Metric) -> str:
    if not buckets.counts[i]:
        return "-"
    mean = buckets.mean[i] if abs(buckets.mean[i]) < words.SENSELESS else math.nan
    spread = f" +- {number(2 * buckets.sd[i], metric.digits)}" if buckets.counts[i] > 1 and mean == mean else ""
    return f"{words.value(metric, mean)}{spread} ({buckets.counts[i]:,})"


def noise(study: NoiseStudy) -> Iterator[str]:
    """Say what seeds, epochs and rates do to the errors."""
    study = labelled(study)
    for space in study.spaces:
        yield ""
        yield f"{space.name}: {space.models:,} models"
        known = list(_noise(space, study.metric))
        yield from known or ["nothing to measure: no curves, no values after the last epoch, and no rates that vary"]
    if (share := study.share) is not None:
        low, high = share.interval
        yield (
            f"{number(100 * share.share, 1)} % ({number(100 * low, 1)} to {number(100 * high, 1)}) of the variance of "
            f"an EDF is training noise; {number(100 * share.share_of_average, 1)} % if {words.many(study.metric)} "
            f"{'are' if study.metric.label == ERROR.label else 'is'} averaged over "
            f"{share.seeds} seeds."
        )
    yield from taking_part(study.spaces, study.diverged, study.metric)


def _noise(space: Noise, metric: Metric) -> Iterator[str]:
    digits, unit = metric.digits + 1, words.gap_unit(metric)
    if (seeds := space.seeds) is not None and abs(seeds.mean) >= words.SENSELESS:
        yield f"over seeds: mean not defined, as some runs count as {words.BEYOND_ANY} value"
    elif seeds is not None:
        low, high = (number(end, digits) for end in seeds.sd_interval)
        of = "" if metric.label == ERROR.label else f"{metric.label} "
        yield (
            f"over seeds: mean {of}{words.valued(metric, seeds.mean)}, standard deviation {number(seeds.sd, digits)} "
            f"({low} to {high}){unit}, {words.between(metric, seeds.min, seeds.max)}"
        )
    for what, gap in (("the last epoch", space.last), ("the epoch that the other models choose", space.others)):
        if gap is not None:
            yield (
                f"best {metric.label} against {what}: {words.with_interval(gap.mean, gap.mean_interval, digits)}{unit} "
                f"{words.good(metric)} in the mean, {number(gap.median, digits)} in the median; {gap.unchanged:,} "
                "models unchanged; rank correlation "
                f"{words.with_interval(gap.rank_correlation, gap.rank_interval, 3)}"
            )
    if (epochs := space.epochs) is not None:
        pairs = zip(epochs.epochs.tolist(), epochs.spearman.tolist(), strict=True)
        yield "rank correlation with the last epoch, after epoch " + ", ".join(f"{e}: {number(r)}" for e, r in pairs)
    if (near := space.default) is not None:
        yield (
            f"near the default rates: {near.models:,} models, mean rank {near.mean_rank:.2f} +- "
            f"{number(near.standard_error)} (0 best, 1 worst)"
        )
    if (rates := space.rates) is not None and rates.best is not None:
        row, column = rates.best
        lr, wd = rates.lr_edges[row : row + 2], rates.wd_edges[column : column + 2]
        yield (
            f"lowest mean rank: {rates.mean_rank[row, column]:.2f}, at lr {lr[0]:.2g} to {lr[1]:.2g}, wd {wd[0]:.2g} "
            f"to {wd[1]:.2g}; optimistic, as the best of {np.isfinite(rates.mean_rank).sum():,} cells"
        )


def report(study: Report) -> Iterator[str]:
    """Say what a report claims."""
    from edfkit.show.report.content import verdict

    yield verdict(labelled(study.main))[0]
