"""The figures and tables of the paper, of whatever populations an archive has, with the numbers behind them.

A figure is written as a PNG, SVG and PDF file with a CSV table of what each curve, bar and point of it shows, a table
as CSV and as Markdown. The same archive and seed give the same bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edfkit import EdfkitError
from edfkit.metric import ERROR
from edfkit.result import Result

if TYPE_CHECKING:
    from edfkit.metric import Metric
    from edfkit.show.figures.page import Page
    from edfkit.show.figures.reading import FigureSource, Populations
    from edfkit.show.figures.registry import Entry
    from edfkit.show.figures.tables import Sizes

FORMATS = ("png", "svg", "pdf")
TABLES = "tables"


@dataclass(frozen=True)
class Outcome(Result):
    """What became of a figure or a table.

    Attributes
    ----------
    name : str
        Its number, such as "3" or "16a", or the name of the table.
    title : str
    files : list of str
        Those written; none if it was left out.
    populations : dict of str to int
        The models of each population that it shows.
    missing : list of str
        Populations of the paper's figure that are not there.
    settings : list of str
        What the panels show.
    notes : list of str
        What else is to be known, such as what differs from the paper.
    reason : str or None
        Why it was left out.
    """

    name: str
    title: str
    files: list[str] = field(default_factory=list)
    populations: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reason: str | None = None

    def line(self) -> str:
        """Write it in one line."""
        if self.reason is not None:
            return f"{self.name}: left out: {self.reason}"
        of = ", ".join(f"{models:,} {name}" for name, models in self.populations.items())
        without = [f"missing {', '.join(self.missing)}"] if self.missing else []
        return "; ".join([f"{self.name}: {self.title}", *([of] if of else []), *self.settings, *self.notes, *without])


def wanted(names: Sequence[str]) -> list[str]:
    """Find which figures are meant.

    Parameters
    ----------
    names : sequence of str
        Numbers of figures, "tables", "all"; "16" means all parts of figure 16. None means all.

    Returns
    -------
    list of str
        Names of figures, and of the tables last, each once.

    Raises
    ------
    EdfkitError
        If there is no such figure.
    """
    from edfkit.show.figures.registry import FIGURES

    known = [*FIGURES, TABLES]
    found: set[str] = set()
    for name in map(str.lower, names or ["all"]):
        bare = name.lstrip("0")
        some = known if name == "all" else [one for one in known if bare in (one, one.rstrip("abcdefgh"))]
        if not some:
            raise EdfkitError(f"There is no figure {name!r}; give numbers from 1 to 16, tables, or all.")
        found.update(some)
    return [one for one in known if one in found]


def make_figures(
    source: "Populations",
    names: Sequence[str],
    folder: Path,
    *,
    formats: Sequence[str] = FORMATS,
    error: str = "best",
    diverged: str = "keep",
    stopped: str = "drop",
    metric: str | None = None,
    select: str | None = None,
    seed: int = 0,
    sizes: "Sizes | None" = None,
) -> Iterator[Outcome]:
    """Make figures and tables of the paper, one by one.

    Parameters
    ----------
    source : Populations
        Where the populations are.
    names : sequence of str
        Which, see `wanted`.
    folder : Path
        Where to write; it is made if need be.
    formats : sequence of {"png", "svg", "pdf"}
    error, diverged, stopped, metric, select
        As in `edfkit.study.settings.Reading`.
    seed : int
        Of what is drawn at random.
    sizes : mapping of str to (int, int or None), optional
        Of design spaces, see `edfkit.show.figures.tables`; those not given are left blank.

    Yields
    ------
    Outcome

    Raises
    ------
    EdfkitError
        If a figure that was named cannot be made, or a file cannot be written.
    """
    from edfkit.show.figures.reading import FigureSource
    from edfkit.show.figures.registry import FIGURES
    from edfkit.study.settings import Reading

    if unknown := sorted(set(formats) - set(FORMATS)):
        raise EdfkitError(f"There are no figures as {', '.join(unknown)}; choose from {', '.join(FORMATS)}.")
    reading = FigureSource(source, Reading(error, diverged, stopped=stopped, metric=metric, select=select), seed)
    chosen = wanted(names)
    named = {name.lower().lstrip("0") for name in names} - {"all", TABLES}
    for number in sorted(named):
        _check_possible([FIGURES[name] for name in wanted([number])], source, number)
    _make_folder(folder)
    for name in chosen:
        if name == TABLES:
            yield from _make_tables(reading, folder, sizes or {})
        else:
            yield _make_figure(FIGURES[name], reading, folder, formats, name in named)


def _check_possible(parts: "Sequence[Entry]", source: "Populations", number: str) -> None:
    """Refuse a figure that was named if none of its parts can be made."""
    choices = [entry.choose(source.names) for entry in parts]
    if not any(chosen for chosen, _ in choices):
        raise EdfkitError(f"Figure {number} cannot be made: {_lacking(parts[0], choices[0][1])}; give another archive.")


def _lacking(entry: "Entry", missing: Sequence[str]) -> str:
    of = "" if entry.least == len(entry.populations) else f"; it needs {entry.least} of them"
    return f"there is no {', no '.join(missing)}{of}"


def _make_figure(entry: "Entry", reading: "FigureSource", folder: Path, formats: Sequence[str], named: bool) -> Outcome:
    import matplotlib as mpl

    from edfkit.show.draw import write_figure
    from edfkit.show.figures.page import STYLE, settle, write_csv

    name = f"figure {entry.name}"
    chosen, missing = entry.choose(reading.source.names)
    if not chosen:
        return Outcome(name, entry.title, missing=missing, reason=_lacking(entry, missing))
    with mpl.rc_context(STYLE):
        try:
            if entry.of_errors:
                _check_errors(f"Figure {entry.name}", reading.metric(list(chosen)))
            page = entry.draw(reading, list(chosen))
        except EdfkitError as error:
            if named:
                raise
            return Outcome(name, entry.title, missing=missing, reason=str(error).rstrip("."))
        _say_what_stands_in(page, chosen, reading.where)
        files = [folder / f"{entry.file}.{format}" for format in FORMATS if format in formats]
        if files:
            settle(page)
        for path in files:
            write_figure(page.figure, path)
    files.append(folder / f"{entry.file}.csv")
    write_csv(files[-1], page.numbers)
    models = {one: reading.source.models(one) for one in chosen}
    return Outcome(name, entry.title, [file.name for file in files], models, missing, page.settings, page.notes)


def _check_errors(what: str, metric: "Metric") -> None:
    """Refuse what is about errors alone for another metric."""
    if metric.label != ERROR.label:
        raise EdfkitError(f"{what} is about errors in percent, and {metric.label} was to be shown; leave it out.")


def _say_what_stands_in(page: "Page", chosen: dict[str, str], where: str) -> None:
    """Say on the figure, in its table and in words which populations the paper has others for, and which models."""
    others = {one: wanted for one, wanted in chosen.items() if one != wanted}
    if others:
        page.notes[:0] = [f"{one} in place of {wanted}" for one, wanted in others.items()]
        page.numbers = [
            part | {"in_place_of": others.get(part.get("population", ""), "")} for part in map(dict, page.numbers)
        ]
    if where:
        page.notes.insert(0, f"only models with {where}")
        page.numbers = [{"where": where, **part} for part in page.numbers]
    if page.notes:
        page.figure.suptitle("; ".join(page.notes), fontsize="small", x=0.01, ha="left", color="#555555")
        page.figure.set_figheight(page.figure.get_figheight() + 0.2)


def _make_tables(reading: "FigureSource", folder: Path, sizes: "Sizes") -> Iterator[Outcome]:
    from edfkit.show.figures.page import write_csv
    from edfkit.show.figures.tables import tables, write_markdown

    for name, table in tables(reading, sizes).items():
        if not table.rows:
            reason = "; ".join(table.notes) or "there are no populations that a figure compares"
            yield Outcome(name, table.title, reason=reason)
            continue
        rows, notes = table.rows, table.notes
        if reading.where:
            rows = [{"where": reading.where, **row} for row in rows]
            notes = [f"only models with {reading.where}", *notes]
        write_csv(folder / f"{name}.csv", rows)
        write_markdown(folder / f"{name}.md", table.title, rows)
        size = f"{len(table.rows):,} row" + "s" * (len(table.rows) != 1)
        yield Outcome(name, table.title, [f"{name}.csv", f"{name}.md"], settings=[size], notes=notes)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdfkitError(
            f"The folder {folder} cannot be made ({error.strerror or error}); give another place."
        ) from error
