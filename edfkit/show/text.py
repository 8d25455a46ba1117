"""The results of studies as text for a terminal: functions that give lines, or tables of several lines."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from edfkit.show import words
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


def populations(members: Sequence[Population], policy: str) -> Iterator[str]:
    """Summarise populations; `policy` is what is done with runs that diverged."""
    rows = [[member.name, *words.summary(member.summary)] for member in members]
    yield table(["space", *words.SUMMARY], rows)
    area_to = f"{members[0].summary.area_to:g}"
    yield f"n_eff: effective models; errors in percent; area: under the EDF, from 0 to {area_to} %."
    yield from taking_part(members, policy)


def taking_part(members: Sequence[Population | Complexities | Noise], policy: str) -> Iterator[str]:
    """Say which models took no part, and what was done with runs that diverged."""
    return (words.taking_part(one.name, one.left_out, one.diverged, policy) for one in members)


def description(study: Description) -> Iterator[str]:
    """Summarise populations, with their complexities and intervals."""
    yield from populations(study.populations, study.reading.diverged)
    for name, known in study.ranges.items():
        spans = [f"{count} {words.exact_span(ends)}" for count, ends in known.items() if ends]
        yield f"{name}: {'; '.join(spans)}"
    yield from intervals(study.intervals)


def intervals(found: Mapping[str, Mapping[str, Interval]]) -> Iterator[str]:
    """Give the bootstrap intervals of populations."""
    for name, some in found.items():
        if some:
            one = next(iter(some.values()))
            parts = []
            for what, i in some.items():
                estimate, low, high = (number(end, 4 if what == "area" else 2) for end in (i.estimate, i.low, i.high))
                parts.append(f"{what} {estimate} ({low} to {high})")
            yield f"{name}, confidence {one.confidence:g}, {one.trials:,} trials, seed {one.seed}: {', '.join(parts)}"


_IN_FULL = 3  # pairs up to which each is told in full; of more there is a table


def comparison(result: Comparison) -> Iterator[str]:
    """Say what comparing populations gave: the populations, then the finding of each pair and how large it is."""
    chosen = result.selection
    if chosen.bins is not None:
        yield words.control(chosen)
        yield from populations(chosen.populations, chosen.diverged)
    else:
        yield from _compared(chosen)
    if chosen.chosen_on_test:
        yield "Errors are the smallest over the epochs on the test set, which is optimistic; see --error final."
    yield from _repeated(chosen)
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
        numbers = words.summary(member.summary)
        row = [member.name, numbers[0], *numbers[2:]]
        if member.complexity is not None:
            order = np.argsort(member.complexity, axis=0)
            counts = np.ones(member.errors.size) if member.counts is None else member.counts
            for column, at in zip(member.complexity.T, order.T, strict=True):
                height = np.cumsum(counts[at])
                row.append(words.short(float(column[at][np.searchsorted(height, height[-1] / 2)])))
        rows.append(row)
    headings = [one for one in words.SUMMARY if one != "n_eff"]
    yield table(["space", *headings, *given], rows)
    area_to = f"{chosen.populations[0].summary.area_to:g}"
    also = f"; {', '.join(given)}: median" if given else ""
    yield f"Populations as they are; errors in percent; area: under the EDF, from 0 to {area_to} %{also}."
    yield from (line for line in taking_part(chosen.populations, chosen.diverged) if "left out none." not in line)


def _repeated(chosen: Selection) -> Iterator[str]:
    """Say where rows repeat a network."""
    for member in chosen.populations:
        if member.repeats and member.units is not None:
            units = member.units.different.size
            runs = f"{member.name}: {member.summary.models:,} runs of {words.plural(units, 'network')}"
            yield f"{runs}; tests and intervals count networks."


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
    yield from wrap(words.sensitivity(result), 80)
    rows = [[words.marked(one), *_often(one), _apart(one)] for one in result.settings]
    yield from wrap(
        f"How often {pair.a} is better than {pair.b}, and its mean error minus that of {pair.b} in points, each with "
        f"its {words.confidently(pair.confidence)}:",
        80,
    )
    yield table(["setting", "better", "interval", "mean difference"], rows)
    absent = dict.fromkeys(f"{one.label}: {one.why}" for one in result.settings if one.why)
    for line in absent:
        yield from wrap(line, 80)
    yield "Estimates, each with an interval of its own; the finding is that of the chosen setting. ?: partly balanced."


def _often(one: Setting) -> list[str]:
    """Write how often the first population is better, and the interval of that, as percentages."""
    if one.prob_a_better is None or one.prob_a_better_interval is None:
        return ["-", ""]
    at, low, high = words.percent(one.prob_a_better, *one.prob_a_better_interval)
    return [f"{at} %", f"{low} to {high}"]


def _apart(one: Setting) -> str:
    """Write a difference of mean errors with its interval, in points."""
    if one.mean_difference is None or one.mean_difference_interval is None:
        return "-"
    low, high = one.mean_difference_interval
    return f"{one.mean_difference:+.2f} ({low:+.2f} to {high:+.2f})"


def point(study: PointStudy) -> Iterator[str]:
    """Say whose best model wins."""
    wins, gap = study.wins, study.gap
    names = [member.name for member in study.selection.populations]
    yield f"The best of {wins.small:,} {names[0]} models against the best of {wins.large:,} {names[-1]} models:"
    rows = [["exact", *(f"{p:.4f}" for p in (wins.small_wins, wins.large_wins, wins.tie)), ""]]
    if (drawn := study.resampled) is not None:
        shares = [f"{share:.4f}" for share in (drawn.small_wins, drawn.large_wins, drawn.tie)]
        rows.append([f"{drawn.trials:,} trials, seed {drawn.seed}", *shares, f"{drawn.se:.4f}"])
    yield table(["", "small wins", "large wins", "tie", "+- (large)"], rows)
    mean = float(study.values @ study.probabilities)
    side = "lower" if mean < 0 else "higher"
    yield f"On average, the best error of the small search is {words.points(abs(mean))} points {side}."
    sizes = f"{gap.small:,} and {gap.large:,}"
    if math.isfinite(gap.either):
        yield (
            f"{names[0]} alone: two searches of {sizes} models differ by {gap.either:.2f} points or more with "
            f"probability {gap.alpha:g} at most. A smaller gap can be real too."
        )
    else:
        yield (
            f"{names[0]} alone: no gap between searches of {sizes} models is so rare that its probability is "
            f"{gap.alpha:g} at most."
        )
    yield from taking_part(study.selection.populations, study.selection.diverged)


def search(study: SearchStudy) -> Iterator[str]:
    """Say whose best of m models is expected to be lower, and show best-of-m curves."""
    yield words.search_control(study)
    yield from _repeated(study.selection)
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
    yield (
        "Smallest error of m models, percent. mean: expectation, its interval for this m (-: too few models); "
        f"band: {confidence}, of the medians of all m at once; 5 %, 95 %: so many searches end at or below it."
    )
    top = ", ".join(f"{100 * share:g} %: {draws:,}" for share, draws in study.top.items())
    yield f"Draws for a model of the best share, with probability 0.95: {top}."
    yield from (
        line
        for line in taking_part(study.selection.populations, study.selection.diverged)
        if "left out none." not in line
    )


def _searches(study: SearchStudy) -> Iterator[str]:
    """Say what is claimed of the best of m models of every pair."""
    if len(study.pairs) <= _IN_FULL:
        yield from (words.search_finding(pair, study) for pair in study.pairs)
    else:
        rows = [
            [pair.better[run[0]], words.other(pair, pair.better[run[0]]), *words.search_claim(pair, run)]
            for pair in study.pairs
            for run in pair.claims
        ]
        if rows:
            interval = words.confidently(study.confidence)
            yield table(["lower", "than", "m", "by, points", "at m", interval], rows, left=2)
        tested = [pair for pair in study.pairs if pair.no_claim is None]
        none = sum(not pair.claims for pair in tested)
        yield (
            f"{len(tested) - none} of {len(study.pairs)} pairs: the best of one is expected to be lower; {none}: no "
            "difference is shown."
        )
        most = sorted({pair.most for pair in tested if pair.most is not None})
        if most and any((pair.m > most[0]).any() for pair in tested):
            yield f"With more than {words.some(most)} models no claim is made: the populations hold too few."
        yield from dict.fromkeys(pair.no_claim for pair in study.pairs if pair.no_claim is not None)
    if any(pair.no_claim is None for pair in study.pairs):
        yield f"All claims and their intervals hold together with confidence {100 * study.confidence:g} %."


def _curve(curve: Curve, study: SearchStudy) -> tuple[list[str], list[list[str]]]:
    best = curve.best
    outer = {q: values for q, values in best.quantiles.items() if q != 0.5}
    rows = []
    for i, m in enumerate(best.m.tolist()):
        spent = [] if curve.cost_of_one is None else [f"{m * curve.cost_of_one:,.4g}"]
        low, high = curve.interval[i]
        interval = "-" if np.isnan(low) else f"{low:.2f} to {high:.2f}"
        band = f"{curve.median_low[i]:.2f} to {curve.median_high[i]:.2f}"
        row = [f"{m:,}", *spent, f"{best.error[i]:.2f}", interval, f"{curve.median[i]:.2f}", band]
        rows.append([*row, *(f"{values[i]:.2f}" for values in outer.values())])
    spent = [study.cost] if study.cost else []
    interval = words.confidently(study.confidence)
    return ["m", *spent, "mean", interval, "median", "band", *(f"{100 * q:g} %" for q in outer)], rows


def samples(study: SampleStudy) -> Iterator[str]:
    """Say how many models are enough."""
    drawn = study.simulated
    rows = []
    for i, models in enumerate(study.models.tolist()):
        simulated = [f"{drawn.mean[i]:.4f}", f"{drawn.sd[i]:.4f}"] if drawn else []
        rows.append([f"{models:,}", f"{study.to_truth[i]:.4f}", f"{study.to_population[i]:.4f}", *simulated])
    yield table(["models", "D to truth", "D to all", *(["simulated", "sd"] if drawn else [])], rows, left=0)
    yield "D to truth: expected distance of the EDF from that of the space; D to all: from that of all models here,"
    yield "which include the sample, so that it is smaller the larger a part of them that is."
    summaries = [[f"{size:,}", *(f"{x:.2f}" for x in (s.min, s.median, s.mean))] for size, s in study.samples.items()]
    if summaries:
        yield table(["models", "min", "median", "mean"], summaries, left=0)
        yield f"Samples drawn with seed {study.seed}; errors in percent."
    yield from taking_part(study.selection.populations, study.selection.diverged)


def plan(study: Precision | ComparisonPlan) -> Iterator[str]:
    """Say how many models give an EDF of a wanted precision, or let a comparison reach its goal."""
    from edfkit.study.plan import Precision

    if isinstance(study, Precision):
        yield (
            f"{study.models:,} models: the EDF is within {study.eps:g} of the truth with confidence "
            f"{study.confidence:g}."
        )
        return
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
    yield from taking_part(study.selection.populations, study.selection.diverged)


def complexity(study: ComplexityStudy) -> Iterator[str]:
    """Show complexities, and how the error goes with them."""
    rows = []
    for space in study.spaces:
        counts = (space.complexity.min(), _median(space.complexity, space.counts), space.complexity.max())
        sizes = [f"{space.models:,}", *(f"{count:,.0f}" for count in counts)]
        rows.append([space.name, *sizes, words.with_interval(space.rank_correlation, space.rank_interval, sign="+")])
    yield table(["space", "models", "smallest", "median", "largest", "rank correlation"], rows)
    lo, hi = study.range
    yield f"{study.by}, and its rank correlation with the error (95 % CI). Buckets from {lo:,.0f} to {hi:,.0f}:"
    edges = study.spaces[0].buckets.edges[:-1]
    for start in range(0, len(study.spaces), 2):  # side by side, as far as 80 columns go
        some = study.spaces[start : start + 2]
        buckets = [[words.short(edge), *(_bucket(space.buckets, i) for space in some)] for i, edge in enumerate(edges)]
        yield table(["from", *(space.name[:26] for space in some)], buckets, left=0)
    yield "Mean error +- 2 standard deviations of the models in the bucket, percent (models)."
    yield from taking_part(study.spaces, study.diverged)
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


def _bucket(buckets: BucketMeans, i: int) -> str:
    if not buckets.counts[i]:
        return "-"
    spread = f" +- {2 * buckets.sd[i]:.2f}" if buckets.counts[i] > 1 else ""
    return f"{buckets.mean[i]:.2f}{spread} ({buckets.counts[i]:,})"


def noise(study: NoiseStudy) -> Iterator[str]:
    """Say what seeds, epochs and rates do to the errors."""
    for space in study.spaces:
        yield ""
        yield f"{space.name}: {space.models:,} models"
        yield from _noise(space)
    if (share := study.share) is not None:
        low, high = share.interval
        yield (
            f"{number(100 * share.share, 1)} % ({number(100 * low, 1)} to {number(100 * high, 1)}) of the variance of "
            f"an EDF is training noise; {number(100 * share.share_of_average, 1)} % if errors are averaged over "
            f"{share.seeds} seeds."
        )
    yield from taking_part(study.spaces, study.diverged)


def _noise(space: Noise) -> Iterator[str]:
    if (seeds := space.seeds) is not None:
        low, high = seeds.sd_interval
        yield (
            f"over seeds: mean {seeds.mean:.2f} %, standard deviation {seeds.sd:.3f} ({number(low, 3)} to "
            f"{number(high, 3)}) points, {seeds.min:.2f} to {seeds.max:.2f} %"
        )
    for what, gap in (("the last epoch", space.last), ("the epoch that the other models choose", space.others)):
        if gap is not None:
            yield (
                f"best error against {what}: {words.with_interval(gap.mean, gap.mean_interval, 3)} points lower in the "
                f"mean, {gap.median:.3f} in the median; {gap.unchanged:,} models unchanged; rank correlation "
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

    yield verdict(study.main)[0]
