"""The tables of the paper, as far as an archive tells: sizes of the spaces, populations, comparisons, best models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edfkit import EdfkitError
from edfkit.archive.files import write_text
from edfkit.metric import ERROR
from edfkit.show.figures.page import Numbers, about, header
from edfkit.show.figures.reading import FigureSource, in_columns
from edfkit.show.figures.registry import FIGURES
from edfkit.show.look import SPACES, space_of
from edfkit.stats.two_sample import ks
from edfkit.study.compare import Pair
from edfkit.study.selection import Population, Selection, complexity_ranges

Sizes = Mapping[str, tuple[int, int | None]]
"""Configurations of a design space, and cells of one kind, if it has cells."""


def spaces(reading: FigureSource, sizes: Sizes) -> list[Numbers]:
    """Give the design spaces of the archive: their sizes, as far as known, and their models."""
    found: dict[str, list[str]] = {}
    for name in reading.source.names:
        found.setdefault(space_of(name), []).append(name)
    order = [space for space in SPACES if space in found] + [space for space in found if space not in SPACES]
    rows: list[Numbers] = []
    for space in order:
        configurations, cells = sizes.get(space, (None, None))
        models = sum(reading.source.models(name) for name in found[space])
        rows.append(
            {
                "space": space,
                "configurations": configurations,
                "cells": cells,
                "populations": " ".join(found[space]),
                "models": models,
            }
        )
    return rows


def populations(reading: FigureSource, members: Mapping[str, Population]) -> list[Numbers]:
    """Describe every population, not normalised."""
    rows: list[Numbers] = []
    for name, member in members.items():
        summary = member.summary
        ranges = complexity_ranges(reading.counted, name)
        row: dict[str, object] = {
            "population": name,
            "dataset": reading.source.dataset(name),
            "models": summary.models,
            "diverged": member.diverged,
            "left_out": sum(member.left_out.values()),
            "min_error_percent": summary.min,
            **{f"q{100 * q:02.0f}_error_percent": value for q, value in summary.quantiles.items()},
            "mean_error_percent": summary.mean,
            f"area_to_{summary.area_to:g}_percent_share": summary.area,
        }
        for by in ("params", "flops"):
            row[f"{by}_min"], row[f"{by}_max"] = ranges[by] or (None, None)
        rows.append(row)
    return rows


def points(reading: FigureSource, members: Mapping[str, Population]) -> list[Numbers]:
    """Give the best model of every population: a point estimate of each."""
    rows: list[Numbers] = []
    for name, member in members.items():
        best = member.rows[member.errors.argmin()]
        row: dict[str, object] = {
            "population": name,
            "dataset": reading.source.dataset(name),
            "id": str(reading.counted.read(name, "id")[best]),
            "error_percent": member.summary.min,
        }
        for what in ("params", "flops", "lr", "wd"):
            known = what in reading.source.variables(name)
            row[what] = float(reading.counted.read(name, what)[best]) if known else None
        rows.append(row)
    return rows


def comparisons(reading: FigureSource) -> tuple[list[Numbers], list[str]]:
    """Compare every pair of populations that a figure compares; say which cannot be compared.

    Sizes and D are those of the figure, with bins of equal width; what is found is by strata.
    """
    rows: list[Numbers] = []
    notes = []
    others: dict[str, list[str]] = {}
    for entry in FIGURES.values():
        chosen = list(entry.choose(reading.source.names)[0])
        if entry.by is None or len(chosen) < 2 or entry.name in ("10", "16b"):  # those compare as 9 and 16a do
            continue
        try:
            if (metric := reading.metric(chosen)).label != ERROR.label:
                others.setdefault(metric.label, []).append(entry.name)
                continue
            selections = entry.by.selections(reading, chosen)
        except EdfkitError as error:
            notes.append(f"without the pairs of figure {entry.name}: {str(error).rstrip('.')}")
            continue
        for selection in selections:
            rows += _pairs(entry.name, selection, reading.compared(chosen, selection.given).pairs)
    return rows, notes + _of_others(others, "the pairs of figure ")


def _of_others(others: Mapping[str, Sequence[str]], what: str = "") -> list[str]:
    """Say what a table of errors leaves out, by the metric that it has instead."""
    return [
        f"without {what}{', '.join(some)}: the table is of errors, and {label} was to be shown"
        for label, some in others.items()
    ]


def _pairs(figure: str, selection: Selection, compared: Sequence[Pair]) -> list[Numbers]:
    members = {member.name: member for member in selection.populations}
    return [
        {
            "figure": figure,
            **about(selection),
            "a": (a := members[pair.a]).name,
            "b": (b := members[pair.b]).name,
            "models_a": a.summary.models,
            "models_b": b.summary.models,
            "ks_statistic": ks(a.errors, b.errors, a.weights, b.weights).statistic,
            **in_columns(pair),
        }
        for pair in compared
    ]


@dataclass(frozen=True)
class Table:
    """A table, and what it leaves out.

    Attributes
    ----------
    title : str
    rows : list of Numbers
    notes : list of str
        What is not in it, and why.
    """

    title: str
    rows: list[Numbers]
    notes: list[str] = field(default_factory=list)


def tables(reading: FigureSource, sizes: Sizes) -> dict[str, Table]:
    """Make the tables, each by the name of its files."""
    members: dict[str, Population] = {}
    unusable = []
    others: dict[str, list[str]] = {}
    for name in reading.source.names:
        try:
            (member,) = reading.every([name]).populations
            if member.metric.label == ERROR.label:
                members[name] = member
            else:
                others.setdefault(member.metric.label, []).append(name)
        except EdfkitError as error:
            unusable.append(f"without {name}: {str(error).rstrip('.')}")
    unusable += _of_others(others)
    return {
        "table_spaces": Table("design spaces", spaces(reading, sizes)),
        "table_populations": Table("populations, not normalised", populations(reading, members), unusable),
        "table_comparisons": Table("pairs that the figures compare", *comparisons(reading)),
        "table_points": Table("the best model of each population", points(reading, members), unusable),
    }


def write_markdown(path: Path, title: str, rows: Sequence[Numbers]) -> None:
    """Write a table to be read: numbers to four digits, counts in full.

    Raises
    ------
    EdfkitError
        If it cannot be written.
    """
    columns = header(rows)
    lines = [[_readable(column, row.get(column)) for column in columns] for row in rows]
    names = [column.replace("_", " ") for column in columns]
    widths = [max(map(len, cells)) for cells in zip(names, *lines, strict=True)]
    numeric = [all(isinstance(row.get(column) or None, int | float | None) for row in rows) for column in columns]
    rule = ["-" * (width - 1) + ":" if right else "-" * width for width, right in zip(widths, numeric, strict=True)]

    def laid_out(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if right else c.ljust(w) for c, w, right in zip(cells, widths, numeric, strict=True))
        return f"| {' | '.join(padded)} |"

    text = "\n".join([f"# {title.capitalize()}", "", laid_out(names), laid_out(rule), *map(laid_out, lines)]) + "\n"
    try:
        write_text(path, text)
    except OSError as error:
        raise EdfkitError(
            f"The table {path} cannot be written ({error.strerror or error}); give another place."
        ) from error


def _readable(column: str, value: object) -> str:
    if value is None or value == "" or value != value:
        return ""
    if isinstance(value, int):
        return f"{value:,}" if value < 1e15 else f"{value:.4e}"
    if isinstance(value, float):
        if column == "p_adjusted" and value < 1e-16:
            return "< 1e-16"
        return f"{value:,.0f}" if value >= 1e4 and value == round(value) else f"{value:.4g}"
    return str(value).replace("|", "\\|")
