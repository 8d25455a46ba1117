"""One HTML file of a report, which needs no network and may use none.

What comes from an archive is text and is escaped as such. The policy in the page lets the browser run the one program
and the one style sheet that are in it, known by their digests, and nothing else.
"""

import base64
import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from markupsafe import Markup, escape

from edfkit import EdfkitError, __version__
from edfkit.archive import Archive
from edfkit.archive.files import write_text
from edfkit.archive.published import Published
from edfkit.metric import ERROR, Metric
from edfkit.show import draw, words
from edfkit.show.labels import labelled, named
from edfkit.show.look import looks
from edfkit.show.report import figures
from edfkit.show.report.content import Report, ReportOptions, decided, study, verdict
from edfkit.show.report.models import Packed, pack
from edfkit.stats.bands import ks_half_width
from edfkit.stats.sizes import models_for_precision
from edfkit.study import catalogue
from edfkit.study.compare import Pair
from edfkit.study.search import Curve, SearchPair
from edfkit.study.selection import Population

Cells = list[list[Any]]

_DRAWN = 3  # pairs up to which each is told and drawn by itself: above, a table of all, and a strip each
_EXPLORED = 10  # pairs that are estimated anew over a range: of more, those of the first space
_RANGES = 12  # of errors in a table; large populations may differ in dozens
_DRAWS = (1, 4, 16, 64, 256, 1024, 4096)  # in the table of best-of-m curves
_PRECISIONS = (0.1, 0.05, 0.02)
_PROGRAM = ("data.js", "edf.js", "estimates.js", "explore.js")
_LINE = 2  # width of a curve, pixels
_NOT_STATED = "not stated"


def write_report(
    source: Archive | Published, names: Sequence[str], path: Path | str, **settings: Unpack[ReportOptions]
) -> Report:
    """Write a report of some populations, whole or not at all; the same input gives the same bytes.

    Parameters
    ----------
    source : Archive or Published
        Where the populations are.
    names : sequence of str
        At least two, each once.
    path : Path or str
        The HTML file.
    **settings
        See `edfkit.show.report.content.study`.

    Returns
    -------
    Report
        What is in it.

    Raises
    ------
    EdfkitError
        See `edfkit.show.report.content.study`, and if the file cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise EdfkitError(f"The folder of {path} does not exist; make it, or give another place.")
    report = study(source, names, **settings)
    page = render(source, report)
    try:
        write_text(path, page)
    except OSError as error:
        raise EdfkitError(
            f"The report {path} cannot be written ({error.strerror or error}); give another place, or make room there."
        ) from error
    return report


def render(source: Archive | Published, report: Report) -> str:
    """Make the page of a report.

    Parameters
    ----------
    source : Archive or Published
        What the report is about.
    report : Report

    Returns
    -------
    str
        HTML.
    """
    from jinja2 import Environment

    confidence, names = report.options["confidence"], report.names
    packed, where, made_by = pack(report), archive(source, names), command(source, report)
    models = [source.models(name) for name in names]
    report = labelled(report)
    metric = report.main.selection.metric
    template = Environment(autoescape=True, finalize=_unbroken).from_string(_part("page.html"))
    classes = {name: f"s{i}" for i, name in enumerate(report.names)}
    style = colours(report.names) + _part("report.css")
    program = "(() => {\n'use strict';\n" + "\n".join(_part(name) for name in _PROGRAM) + "\n})();\n"
    about, block = _data(report, packed)
    return template.render(
        policy=f"default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src '{_digest(program)}'; style-src '{_digest(style)}'",
        style=Markup(style),
        program=Markup(program),
        about=Markup(about),
        block=Markup(block),
        version=__version__,
        names=report.names,
        classes=classes,
        archive=where,
        confidence=f"{100 * confidence:g} %",
        weighting=words.held(report.given),
        contents=[
            ("verdict", "Verdict"), ("edfs", _metric(metric)["distributions"]),
            ("difference", "Where one is better"),
            ("point", "Point estimates"), ("search", "Random search"), ("samples", "Are there enough models?"),
            ("complexity", "Complexity"), ("sensitivity", "Sensitivity"), ("method", "Method and provenance"),
        ],
        command=made_by,
        metric=_metric(metric),
        **_verdict(report),
        **_edfs(report),
        **_differences(report, classes),
        **_points(report),
        **_search(report),
        **_samples(report, confidence),
        **_complexity(report),
        **_balances(report),
        explored=_explored_only(report),
        undescribed=[
            named(space["why"], dict(zip(names, report.names, strict=True))) for space in packed.spaces if space["why"]
        ],
        **_settings(report),
        provenance=list(_provenance(where, report)),
        taking_part=_taking_part(models, report),
    )  # fmt: skip


def _unbroken(value: Any) -> Any:
    """Keep a number and its percent sign on one line."""
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if type(value) is str else value


def _part(name: str) -> str:
    return files("edfkit.show.report").joinpath(name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii")


def colours(names: Sequence[str]) -> str:
    """Write the style of each space: its colour on a light and on a dark page, and the dashes of its line."""
    rules = []
    for i, one in enumerate(looks(names)):
        dash = " ".join(f"{_LINE * length:g}" for length in one.dash) or "none"
        rules.append(f".s{i}{{--of:light-dark({one.light},{one.dark});--dash:{dash}}}\n")
    return "".join(rules)


def _metric(metric: Metric) -> dict[str, str]:
    """Write what the page says of the metric in several places."""
    gap = words.gap_unit(metric).strip()
    is_error = metric.label == ERROR.label
    return {
        "label": metric.label,
        "many": words.many(metric),
        "distributions": "Error distributions" if is_error else f"Distributions of {metric.label}",
        "titles": words.capital(words.many(metric)) if is_error else metric.label,
        "in_unit": words.in_unit(metric),
        "unit": words.unit(metric).strip(),
        "in_brackets": f" ({words.unit(metric).strip()})" if words.unit(metric) else "",
        "points": f" ({gap})" if gap else "",
        "by": f"by, {gap}" if gap else "by",
        "difference": ", percentage points" if metric.unit == "percent" else words.in_unit(metric),
        "axis": draw.error_label("best", metric),
        "good": words.good(metric),
        "the": "the error" if is_error else metric.label,
        "least": words.summary_headings(metric)[2],
        "smallest": words.best(metric),
        "smaller": "smaller" if is_error else words.good(metric),
        "edf": "error is at most e" if is_error else f"{metric.label} is at least as good as a value",
    }


def _data(report: Report, packed: Packed) -> tuple[str, str]:
    """Write what the program needs: facts as JSON, which no markup can end, and the block of numbers."""
    metric = report.main.selection.metric
    columns = [one for one in report.main.selection.given.split(",") if one in report.complexities]
    about = {
        "spaces": [
            space | {"name": name, "marker": one.marker}
            for space, name, one in zip(packed.spaces, report.names, looks(report.names), strict=True)
        ],
        "metric": {
            "label": metric.label,
            "sign": metric.sign,
            "digits": metric.digits,
            "unit": words.unit(metric),
            "least": metric.least if metric.least > -np.inf else None,
        },
        "ops": packed.ops,
        "given": next(iter(columns or report.complexities), None),
        "ranges": report.complexities,
        "strata": report.main.selection.strata,
        "span": figures.ends([one.drawn for one in report.comparisons.values()]),
        "pairs": [
            {
                "a": report.names.index(pair.a),
                "b": report.names.index(pair.b),
                "paired": pair.sharing.paired,
                "refused": pair.sharing.refused,
            }
            for pair in _explored(report)
        ],
        "confidence": report.options["confidence"],
    }
    content = json.dumps(about, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        content = content.replace(character, f"\\u{ord(character):04x}")
    return content, packed.block


def _explored(report: Report) -> list[Pair]:
    """Choose the pairs that are estimated anew over a range."""
    pairs = report.main.pairs
    return pairs if len(pairs) <= _EXPLORED else [pair for pair in pairs if report.names[0] in (pair.a, pair.b)]


def _explored_only(report: Report) -> str:
    if len(_explored(report)) == len(report.main.pairs):
        return ""
    return f"pairs of {report.names[0]}, as all {len(report.main.pairs)} are too many: name another space first"


# --- Text


def _control(given: str) -> str:
    return words.capital(words.held(given))


# --- Sections


def _verdict(report: Report) -> dict[str, Any]:
    claim, evidence = verdict(report.main)
    pairs = report.main.pairs
    pair_rows = [
        [
            pair.a,
            pair.b,
            words.better(pair.better) if pair.no_claim is None else "not tested",
            "" if pair.p_adjusted is None else words.p_value(pair.p_adjusted),
            _prob(pair),
            _mean(pair),
        ]
        for pair in pairs
    ]
    return {
        "claim": claim,
        "numbers": list(_numbers(pairs[0])) if len(pairs) == 1 else [],
        "evidence": evidence[:1].upper() + evidence[1:],
        "findings": words.findings(pairs[0]) if len(pairs) == 1 else [],
        "untested": list(
            dict.fromkeys(pair.verdict for pair in pairs if pair.no_claim is not None or words.changed(pair))
        )
        * (len(pairs) > 1),
        "pairs": pairs,
        "pair_rows": pair_rows,
        "matrix": _matrix(report) if len(pairs) > _DRAWN else [],
        "marks": words.MARKS,
        **_controls(report),
    }


def _numbers(pair: Pair) -> Iterator[tuple[str, str, str]]:
    """Give the few numbers that the comparison of a pair comes down to, with what each is and its interval."""
    its, metric = pair.estimates, pair.metric
    if its is None or not pair.sure:
        return
    turned = its.better.prob < 0.5
    first, second = (pair.b, pair.a) if turned else (pair.a, pair.b)
    often = its.better.prob, its.better.low, its.better.high
    apart = None if its.mean is None else (its.mean.estimate, its.mean.low, its.mean.high)
    if turned:
        often = 1 - often[0], 1 - often[2], 1 - often[1]
        apart = None if apart is None else (-apart[0], -apart[2], -apart[1])
    interval = words.confidently(pair.confidence)
    at, low, high = words.percent(*often)
    yield f"a random {first} model beats one of {second}", f"{at} %", f"{interval} {low} to {high}"
    if apart is not None:
        ends = metric.turned(apart[0]), *words.turned_ends(metric, *apart[1:])
        at, low, high = (f"{points:+.{metric.digits}f}".replace("-", "\N{MINUS SIGN}") for points in ends)
        unit = _metric(metric)["points"]
        yield f"mean {metric.label}, {first} minus {second}{unit}", at, f"{interval} {low} to {high}"
    for name, one in ((pair.a, its.middle.a), (pair.b, its.middle.b)):
        median, known = words.quantile(one, metric).rsplit(" (", 1)
        yield f"median {metric.label}, {name}", median, f"{interval} {known.rstrip(')')}"


def _matrix(report: Report) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Give for each space how often it beats each other one, what is claimed, and a class for either claim."""
    found = {frozenset((pair.a, pair.b)): pair for pair in report.main.pairs}
    style = {"+": "ahead", "-": "behind"}
    rows = []
    for row in report.names:
        cells = [
            ("", "", "") if row == column else words.against(found[frozenset((row, column))], row)
            for column in report.names
        ]
        rows.append((row, [(often, marks, style.get(marks[:1], "")) for often, marks, *_ in cells]))
    return rows


def _prob(pair: Pair) -> str:
    """Write the probability that the first one is better, with its interval."""
    if pair.estimates is None or not pair.sure:
        return ""
    its = pair.estimates.better
    return _interval(its.prob, (its.low, its.high), ".3f")


def _mean(pair: Pair) -> str:
    """Write the difference of the mean errors, with its interval."""
    if pair.estimates is None or pair.estimates.mean is None or not pair.sure:
        return ""
    its = pair.estimates.mean
    return _apart(its.estimate, (its.low, its.high), pair.metric)


def _apart(estimate: float | None, ends: tuple[float, float] | None, metric: Metric) -> str:
    """Write a difference of means with its interval, or a dash."""
    if estimate is None or ends is None:
        return "-"
    return _interval(metric.turned(estimate), words.turned_ends(metric, *ends), f"+.{metric.digits}f")


def _controls(report: Report) -> dict[str, Any]:
    """Tell what every way to control for complexity gives: estimates, as the one that was chosen decides."""
    if len(report.main.pairs) == 1:
        rows = []
        for given, comparison in report.comparisons.items():
            (pair,) = comparison.pairs
            where = words.plural(pair.bins, "bin") if pair.bins else words.strata(pair.strata or 1)
            rows.append([_control(given), where, _prob(pair), _mean(pair)])
        unit = _metric(report.main.selection.metric)["points"]
        headings = ["control", "by", f"P({report.names[0]} better)", f"mean difference{unit}"]
        rows += [[_control(given), "left out", "", ""] for given in report.absent]
        return {"control_headings": headings, "control_rows": rows, "control_left": 2}
    rows = [
        [same[0].a, same[0].b, *map(_prob, same)]
        for same in zip(*(comparison.pairs for comparison in report.comparisons.values()), strict=True)
    ]
    headings = ["space", "against", *map(_control, report.comparisons)]
    return {"control_headings": headings, "control_rows": rows, "control_left": 2}


def _edfs(report: Report) -> dict[str, Any]:
    span = figures.ends([one.drawn for one in report.comparisons.values()])
    metric = report.main.selection.metric
    controls: list[dict[str, Any]] = []
    rows: Cells = []
    for given in dict.fromkeys((*report.comparisons, *report.absent)):
        if given in report.absent:
            controls.append({"title": _control(given), "why": report.absent[given]})
            continue
        comparison = report.comparisons[given]
        members = comparison.drawn.populations
        controls.append(
            {
                "title": _control(given),
                "why": "",
                "drawing": figures.edfs(comparison, span),
                "caption": f"{words.capital(words.within(comparison.drawn))}. Medians: {words.medians(members)}.",
            }
        )
        rows += [[member.name, words.held(given), *words.summary(member.summary, metric)] for member in members]
    everyone = report.comparisons["none"].selection.populations if "none" in report.comparisons else []
    return {
        "controls": controls,
        "span": [f"{metric.turned(end):.3g}" for end in span],
        "area": escape(_area(report.main.selection.populations)),
        "no_means": list(filter(None, map(words.without_mean, everyone))),
        "summary_rows": rows,
        "summary_headings": ["space", "control", *words.summary_headings(metric)],
    }


def _area(members: Sequence[Population]) -> str:
    """Say what the area is, or why there is none, a sentence."""
    known = [one for one in members if np.isfinite(one.summary.area_to)]
    if not known:
        return f"{words.capital(words.area_under(members[0]).replace('area: none', 'there is no area'))}."
    where = words.area_under(known[0]).removeprefix("area: under the EDF, ")
    return f"Area is that under the EDF {where}, as a share."


def _differences(report: Report, classes: Mapping[str, str]) -> dict[str, Any]:
    span = figures.ends([report.main.drawn])
    pairs = [pair for pair in report.main.pairs if pair.estimates is not None]
    drawn = [
        {
            "title": f"{pair.a} against {pair.b}",
            "drawing": figures.difference(pair, span, classes),
            "says": figures.says_decided(pair),
        }
        for pair in (pairs if len(pairs) <= _DRAWN else [])
    ]
    strips = [
        {"a": pair.a, "b": pair.b, "drawing": figures.decided_strip(pair, span, classes)}
        for pair in (pairs if len(pairs) > _DRAWN else [])
    ]
    found = [(pair, *one) for pair in pairs for one in decided(pair)]
    widest = sorted(found, key=lambda one: one[1] - one[2])[:_RANGES]
    seen = [one for one in found if one in widest]
    more = len(found) - len(seen)
    metric = report.main.selection.metric
    caption = f"Ranges of {metric.label} in which one EDF is above the other" + (
        f"; {more} narrower ones are left out" * bool(more)
    )
    rows = [[pair.a, pair.b, name, words.value(metric, lo), words.value(metric, hi)] for pair, lo, hi, name in seen]
    return {"differences": drawn, "strips": strips, "ranges": rows, "ranges_caption": caption}


def _points(report: Report) -> dict[str, Any]:
    first, metric = report.points[0], report.main.selection.metric
    points = []
    for one in report.points:
        wins = one.wins
        names = [member.name for member in one.selection.populations]
        numbers = [f"{p:.3f}" for p in (wins.small_wins, wins.tie, wins.large_wins)]
        either = one.gap.either
        gap = f"{either:.{metric.digits}f}" if either < words.SENSELESS else "none is enough"
        points.append({"a": names[0], "b": names[-1], "drawing": figures.winners(one), "numbers": [*numbers, gap]})
    wins = first.wins
    return {"points": points, "small": f"{wins.small:,}", "large": f"{wins.large:,}", "alpha": f"{first.gap.alpha:g}"}


def _search(report: Report) -> dict[str, Any]:
    study = report.search
    curves, pairs = study.curves, study.pairs
    places = [i for i, m in enumerate(curves[0].best.m.tolist()) if m in _DRAWS]
    metric = study.selection.metric
    no_mean = {one.name for one in study.selection.populations if one.beyond}
    rows = [
        [curve.name, *("-" if curve.name in no_mean else _expected(curve, i, metric) for i in places)]
        for curve in curves
    ]
    top = ", ".join(f"{100 * share:g} % takes {draws:,}" for share, draws in study.top.items())
    few = len(pairs) <= _DRAWN
    return {
        "search": figures.best_of(study),
        "search_within": words.search_control(study),
        "search_findings": [words.search_finding(pair, study) for pair in pairs] if few else [],
        "search_claims": [] if few else list(_claimed(pairs, metric)),
        "search_curves": "median" if figures.without_mean(study) else "expected",
        "search_pairs": len(pairs),
        "search_caption": f"In any space, to draw with probability 0.95 a model of the best {top} draws.",
        "search_headings": ["space", *(f"m = {curves[0].best.m[i]:,}" for i in places)],
        "search_rows": rows,
    }


def _claimed(pairs: Sequence[SearchPair], metric: Metric) -> Iterator[list[str]]:
    """List the budgets at which the best of one space is claimed to be lower than that of another."""
    for pair in pairs:
        for run in pair.claims:
            name = pair.better[run[0]]
            budgets, difference, m, ends = words.search_claim(pair, run, metric)
            yield [name, words.other(pair, name), budgets, f"{difference} ({ends})", m]


def _expected(curve: Curve, place: int, metric: Metric) -> str:
    """Write the expected smallest error with its interval, or a dash where that is not known."""
    low, high = words.turned_ends(metric, *curve.interval[place])
    interval = "-" if np.isnan(low) else f"({low:.{metric.digits}f} to {high:.{metric.digits}f})"
    return f"{words.value(metric, curve.best.error[place])} {interval}"


def _samples(report: Report, confidence: float) -> dict[str, Any]:
    members = report.main.selection.populations
    rows = []
    for member in members:
        size = member.summary.n_eff
        rows.append(
            [member.name, f"{member.summary.models:,}", f"{size:,.1f}",
             f"\N{PLUS-MINUS SIGN}{ks_half_width(size, confidence):.3f}"]
        )  # fmt: skip
    needed = "; ".join(f"\N{PLUS-MINUS SIGN}{eps:g}: {models_for_precision(eps, confidence):,}" for eps in _PRECISIONS)
    widths = [pair.estimates.difference.half_width for pair in report.main.pairs if pair.estimates is not None]
    reach = (
        f"{max(widths, default=1.0):.3f}" if len(widths) < 2 else f"{min(widths):.3f} to {max(widths):.3f}, by pair,"
    )
    return {
        "adequacy": figures.adequacy(report.main.selection, confidence),
        "adequacy_caption": f"Effective models for a band of {needed}.",
        "adequacy_headings": ["space", "models", "n_eff", "half width of the band"],
        "adequacy_rows": rows,
        "resolution": f"The band of the difference of two EDFs reaches {reach} to either side.",
    }


def _complexity(report: Report) -> dict[str, Any]:
    found, pairs = report.complexity, report.main.pairs
    mixes = []
    metric = report.main.selection.metric
    known = [pair for pair in pairs if pair.mix and abs(pair.mix.mean.total) < words.SENSELESS]
    reach = max((abs(value) for pair in known for value in _parts(pair).values()), default=0.0)
    for pair in known:
        if pair.mix is not None:
            drawn = figures.parts(pair.mix.mean, reach, metric)
            numbers = [
                (drawn[name], f"{metric.turned(value):+.{metric.digits}f}") for name, value in _parts(pair).items()
            ]
            mixes.append({"a": pair.a, "b": pair.b, "parts": numbers})
    shown: dict[str, Any] = {"histogram": None}
    if found is not None:
        correlations = ", ".join(f"{one.name} {words.rank_correlation(one, metric)}" for one in found.spaces)
        shown = {
            "by": found.by,
            "histogram": figures.histogram(found),
            "buckets": figures.buckets(found),
            "histogram_caption": f"Dotted lines are the ends of the range, {words.span(found.range)}.",
            "buckets_caption": f"Rank correlation of {metric.label} and {found.by}: {correlations}.",
        }
    cells = "strata" if report.main.selection.bins is None else "bins"
    why = "Nothing is controlled for, so there is nothing within which to compare."
    if report.given != "none" and any(one.beyond for one in report.main.selection.populations):
        why = f"Some runs count as {words.BEYOND_ANY} value, so there is no difference of means."
    return {**shown, "mixes": mixes, "mixes_absent": why, "cells": cells, "complexities": list(report.complexities)}


def _parts(pair: Pair) -> dict[str, float]:
    assert pair.mix is not None
    return {name: getattr(pair.mix.mean, name) for name in ("total", "composition", "within", "unshared")}


def _balances(report: Report) -> dict[str, Any]:
    """Show how equal each complexity is, as the models are and at equal complexity."""
    main = report.main
    drawn = []
    for column, given in enumerate(main.selection.given.split(",") if report.given != "none" else []):
        before, after = figures.complexities(main, column)
        drawn.append({"given": given.strip(), "before": before, "after": after})
    rows, says = [], []
    for pair in main.pairs:
        equal = None if pair.estimates is None else pair.estimates.balance
        if equal is None or pair.sharing.paired:
            continue
        what = words.capital(words.called(pair.given.split(",")[equal.column]))
        says.append(f"{what}: {words.balanced(pair, equal)}.")
        name = [pair.given.split(",")[equal.column].strip()] if len(drawn) > 1 else []
        ends = (f"{end:.2f}" if equal.ratio else f"{end:.3g}" for end in (equal.before, equal.after))
        answer = "yes" if equal.equal and pair.adjusts else "only partly"
        rows.append([pair.a, pair.b, *name, *ends, f"{equal.smd:+.3f}", f"{equal.bias_in_se:+.2f}", answer])
    least = [] if len(drawn) < 2 else ["least equal"]
    return {
        "balances": drawn,
        "balance_absent": f"{words.capital(report.search.unadjusted or 'nothing is adjusted')}.",
        "balance_says": says[0] if len(main.pairs) == 1 and says else "",
        "balance_within": words.capital(words.within(main.drawn)),
        "balance_headings": ["space", "against", *least, "before", "after", "SMD", "bias (SE)", "equal"],
        "balance_rows": rows,
        "balance_left": 2 + len(least),
    }


def _settings(report: Report) -> dict[str, Any]:
    settings, metric = report.main.settings, report.main.selection.metric
    rows = [
        {
            "label": words.capital(words.marked(one, metric)),
            "chosen": one.chosen,
            "drawing": figures.forest(one, report.names[0], metric),
            "prob": _interval(one.prob_a_better, one.prob_a_better_interval, ".3f"),
            "mean": _apart(one.mean_difference, one.mean_difference_interval, metric),
        }
        for one in settings
    ]
    return {
        "settings": rows,
        "settings_absent": report.settings_absent,
        "settings_says": words.sensitivity(report.main) if settings else "",
        "settings_why": list(
            dict.fromkeys(f"{words.capital(words.setting(one, metric))}: {one.why}" for one in settings if one.why)
        ),
    }


def _interval(value: float | None, ends: tuple[float, float] | None, form: str) -> str:
    """Write an estimate with its interval, or a dash."""
    if value is None or ends is None:
        return "-"
    return f"{value:{form}} ({ends[0]:{form}} to {ends[1]:{form}})"


# --- Provenance


def archive(source: Archive | Published, names: Sequence[str]) -> dict[str, str]:
    """Say what an archive says of itself, with the name of its file and without the folders that it lies in."""
    facts = {key: str(source.attrs.get(key) or _NOT_STATED) for key in ("title", "source", "license", "software")}
    facts["dataset"] = " and ".join(sorted({source.dataset(name) for name in names}))
    facts["file"] = str(source.path).rstrip("/").rpartition("/")[2] or str(source.path)
    facts["created"] = str(source.attrs.get("created") or _NOT_STATED)
    facts["commit"] = str(source.attrs.get("commit") or _NOT_STATED)
    recipes = [source.recipe(name) for name in names] if hasattr(source, "recipe") else []
    facts["recipe"] = "; ".join(dict.fromkeys(map(_recipe, recipes))) or _NOT_STATED
    return facts


def _recipe(recipe: Any) -> str:
    if not isinstance(recipe, dict):
        return str(recipe)
    return ", ".join(f"{name} {json.dumps(value)}".replace('"', "") for name, value in recipe.items())


def _provenance(where: Mapping[str, str], report: Report) -> Iterator[tuple[str, str]]:
    selection = report.main.selection
    for term, key in (
        ("Archive", "title"), ("File", "file"), ("Source", "source"), ("Licence", "license"), ("Data set", "dataset"),
        ("Recipe", "recipe"), ("Software of the training", "software"), ("Commit", "commit"), ("Created", "created"),
    ):  # fmt: skip
        yield term, where[key]
    metric = selection.metric
    on = ", top-1, on the test set" if metric.label == ERROR.label else ""
    yield words.title(metric), words.error_read(selection.error, metric) + on + words.in_unit(metric)
    yield "Runs that diverged", words.diverged(selection.diverged, metric)
    if selection.stopped != "drop":
        yield "Runs that were stopped", words.stopped(selection.stopped, metric)
    control = _control(report.given)
    if selection.range is not None:
        lo, hi = selection.range
        control += f", {lo:,.10g} to {hi:,.10g}, both included, in {selection.bins} bins of equal width and weight"
    elif report.given != "none":
        control += ", by strata of each pair of spaces with overlap weights"
    yield "Complexity", control
    yield "Confidence", f"{report.options['confidence']:g}"
    yield "Seed", f"{report.options['seed']}"
    yield "edfkit", __version__


def command(source: Archive | Published, report: Report) -> str:
    """Write the command that makes a report."""
    selection = report.main.selection
    words = ["edfkit", "report", *report.names, "--archive", str(source.path).rstrip("/").rpartition("/")[2]]
    words += ["--given", report.given]
    if selection.range is not None:
        ends = (np.format_float_positional(end, trim="-") for end in selection.range)
        words += ["--bins", str(selection.bins), "--range", *ends]
    if selection.strata is not None:
        words += ["--strata", str(selection.strata)]
    values = vars(report.reading) | report.options
    for option in (*catalogue.READING, *catalogue.find("report").options):
        if values[option.name] != option.default:
            words += [option.shown, f"{values[option.name]}"]
    return shlex.join([*words, "-o", "report.html"])


def _taking_part(models: Sequence[int], report: Report) -> Cells:
    rows: Cells = []
    for member, number in zip(report.main.selection.populations, models, strict=True):
        counts = (number, member.summary.models, member.diverged)
        rows.append([member.name, *(f"{number:,}" for number in counts), words.reasons(member.left_out)])
    return rows
