"""What a figure is made of: panels in one style for a page of a paper, and the numbers behind every mark on them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edfkit import EdfkitError
from edfkit.archive.files import replacing
from edfkit.metric import ERROR, Metric
from edfkit.show import draw
from edfkit.show.look import Look, looks
from edfkit.stats.edf import edf
from edfkit.study.selection import Population, Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = Mapping[str, Any]
"""Columns of a table, each a number or text that holds for all rows, or as many as there are rows."""

_GREY = "#555555"  # of what is said beside the data
_LEADING = 9.5  # of the setting above a panel, points a line
WIDTH = 7.0  # of two columns of a page, inches
STYLE: dict[Any, Any] = draw.RC | {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.handlelength": 3.2,  # so that a whole period of every dash is seen
    "legend.borderaxespad": 0.2,
}


@dataclass
class Page:
    """A figure while it is drawn.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    axes : list of matplotlib.axes.Axes
        The panels, row by row.
    numbers : list of Numbers
        The table behind the figure, in parts of equal columns.
    settings : list of str
        What the panels show, one line each.
    notes : list of str
        What is to be known, such as what differs from the paper.
    headings : dict of int to (str, str)
        Title and setting of each panel, the latter of one line or more.
    metric : Metric
        What is shown: columns of errors have its name instead.
    """

    figure: "Figure"
    axes: "list[Axes]"
    numbers: list[Numbers] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    headings: dict[int, tuple[str, str]] = field(default_factory=dict)
    metric: Metric = ERROR

    def name(self, place: int, title: str, setting: str = "") -> "Axes":
        """Give a panel its letter, its title and its setting, and return its axes."""
        axes = self.axes[place]
        draw.decorate(axes, "")
        self.headings[place] = (f"({letter(place)}) {title}", setting)
        said = ", ".join(filter(None, [title, setting.replace("\n", " ")]))
        self.settings.append(f"({letter(place)}) {said}")
        return axes

    def add(self, place: int, **numbers: Any) -> None:
        """Add rows to the table: those of a panel, with values in the metric's own sign."""
        self.numbers.append(
            {"panel": letter(place)} | {column(name, self.metric): one for name, one in numbers.items()}
        )


def column(name: str, metric: Metric) -> str:
    """Name a column of errors after another metric, such as mean_error_percent: mean_val_loss."""
    if metric.label == ERROR.label:
        return name
    name = re.sub(r"(?<!standard_)(min_)?error(?=_)", lambda found: "best_" * bool(found[1]) + metric.name, name)
    return name if metric.unit == "percent" else re.sub("_(percent|points)$", "", name)


def letter(place: int) -> str:
    """Return the letter of a panel."""
    return "abcdefghijkl"[place]


def page(rows: int, columns: int, height: float = 2.4, *, one_scale: bool = False) -> Page:
    """Start a figure of so many panels, each so high (inches), in a width that fits a page, perhaps with one y axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(min(WIDTH, 3.5 * columns), height * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=one_scale, squeeze=False)
    return Page(figure, list(panels.flat))


def finish(page: Page, shared: bool = True) -> None:
    """Put the titles above the panels, at one height, and the legend below, one for all if they agree."""
    most = max(setting.count("\n") + bool(setting) for _, setting in page.headings.values())
    for place, (title, setting) in page.headings.items():
        axes = page.axes[place]
        axes.set_title(title, loc="left", pad=5 + _LEADING * most)
        offset: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
        axes.annotate(setting, (0, 1), (0, 1.5 + _LEADING * most), fontsize="small", color=_GREY, **offset)
    entries = [axes.get_legend_handles_labels() for axes in page.axes]
    figure = page.figure
    if shared:
        handles = {label: handle for found in entries for handle, label in zip(*found, strict=True)}
        if not handles:
            return
        longest = max(map(len, handles))
        columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.52 + 0.056 * longest))))
        lines = -(-len(handles) // columns)
        columns = -(-len(handles) // lines)  # lines of about as many each
        figure.legend(
            handles=list(handles.values()),
            labels=list(handles),
            loc="outside lower center",
            ncols=columns,
            frameon=False,
        )
    else:
        lines = max(len(labels) for _, labels in entries)
        for axes, (handles_here, labels) in zip(page.axes, entries, strict=True):
            if labels:
                axes.legend(handles_here, labels, loc="upper left", bbox_to_anchor=(-0.02, -0.26), frameon=False)
    figure.set_figheight(figure.get_figheight() + 0.15 * lines + 0.05)


def settle(page: Page) -> None:
    """Lay a figure out once for all formats."""
    for _ in range(2):  # ticks change with the room that they leave
        page.figure.draw_without_rendering()
    page.figure.set_layout_engine("none")


def by_name(selection: Selection) -> list[tuple[Population, Look]]:
    """Pair the populations of a selection with their looks."""
    members = selection.populations
    return list(zip(members, looks([member.name for member in members]), strict=True))


def called(member: Population) -> str:
    """Name a population as people see it."""
    return member.label or member.name


def about(selection: Selection) -> dict[str, Any]:
    """Give the columns that say how populations were normalised."""
    lo, hi = selection.range or ("", "")
    return {"given": selection.given, "bins": selection.bins or "", "range_low": lo, "range_high": hi}


def add_edf(page: Page, place: int, selection: Selection, member: Population, **also: Any) -> None:
    """Add the steps of the EDF of a population to the table."""
    errors, heights = edf(member.errors, member.weights)
    said = about(selection) | {"models": member.summary.models} | also
    page.add(place, population=member.name, **said, error_percent=member.metric.turned(errors), edf_share=heights)


def header(numbers: Sequence[Numbers]) -> list[str]:
    """Return the columns of a table, in the order in which they first come."""
    return list(dict.fromkeys(column for part in numbers for column in part))


def rows_of(part: Numbers, columns: Sequence[str]) -> "list[tuple[str, ...]]":
    """Write the rows of a part of a table: numbers with all their digits, what is not there or not known as nothing."""
    sizes = {len(values) for values in part.values() if not isinstance(values, str) and np.ndim(values)}
    rows = sizes.pop() if sizes else 1
    cells: list[list[str]] = []
    for column in columns:
        values = part.get(column, "")
        listed = np.asarray(values).tolist() if not isinstance(values, str) else values
        texts = list(map(_cell, listed)) if isinstance(listed, list) else [_cell(listed)] * rows
        cells.append(texts)
    return list(zip(*cells, strict=True))


def _cell(value: Any) -> str:
    return "" if value is None or value != value else str(value)  # only NaN differs from itself


def write_csv(path: Path, numbers: Sequence[Numbers]) -> None:
    """Write a table as CSV, whole or not at all.

    Raises
    ------
    EdfkitError
        If it cannot be written.
    """
    import csv

    columns = header(numbers)
    try:
        with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for part in numbers:
                writer.writerows(rows_of(part, columns))
    except OSError as error:
        raise EdfkitError(
            f"The table {path} cannot be written ({error.strerror or error}); give another place."
        ) from error
