"""The command line: one short command a verb, which parses, calls and prints. Start-up counts: imports stay inside."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from edfkit import EdfkitError, __version__
from edfkit.lazy import found
from edfkit.numbers import number
from edfkit.study import catalogue
from edfkit.study.catalogue import Option, Study
from edfkit.study.settings import COMPLEXITIES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from edfkit.archive import Archive
    from edfkit.archive.published import Published
    from edfkit.exchange.foreign import Imported
    from edfkit.generator.runs.engine import Engine
    from edfkit.generator.runs.plan import Plan, Request
    from edfkit.generator.spaces.kinds import Space
    from edfkit.generator.training.data import Dataset
    from edfkit.study.parts import Parts

Command = Callable[..., None]
Completer = Callable[[click.Context, click.Parameter, str], list["CompletionItem"]]
_PATH = click.Path(path_type=Path)


# Completing in the shell: what fails, fails in silence, as the user is in the middle of a line


def _completer(
    offered: Callable[[click.Context], Iterable[str]], *, files: bool = False, most: int | None = None
) -> Completer:
    """Make a completer of what gives all names there are: those that fit and do not stand there already."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        from click.shell_completion import CompletionItem

        try:
            names = list(offered(ctx))
        except Exception:
            names = []
        there = ctx.params.get(str(param.name))
        there = [str(name).lower() for name in there] if isinstance(there, tuple) else []
        if most is not None and len(there) >= most:
            return []
        fitting = [name for name in names if name.startswith(incomplete.lower()) and name.lower() not in there]
        return [CompletionItem(incomplete, type="file")] * files + [CompletionItem(name) for name in fitting]

    return complete


def _populations(ctx: click.Context) -> list[str]:
    """Name the populations of the archive that the command line names so far."""
    from edfkit.archive.source import open_source
    from edfkit.datasets import locate

    given = ctx.params
    # Arguments before an option that has no value yet are not parsed.
    first = ctx.args[0] if "archive" in given and ctx.args else None
    named = given.get("best_of") or given.get("where") or given.get("archive") or first
    place = locate(None if named is None else str(named))
    if isinstance(place, str):  # an address: nothing is fetched to complete a word
        return []
    with open_source(place) as source:
        return [name.lower() for name in source.names]


def _archives(_: click.Context) -> list[str]:
    """Name the archives of the registries."""
    from edfkit.datasets import registry

    return [entry.name for entry in registry.entries(ask=False)]


def _figures(_: click.Context) -> list[str]:
    """Name the figures of the paper."""
    from edfkit.show.figures import wanted

    return [*wanted(["all"]), "all"]


def _design_spaces(_: click.Context) -> list[str]:
    """Name the design spaces that come with edfkit."""
    from edfkit.generator.spaces import SPACES

    return list(SPACES)


_complete_populations = _completer(_populations)
_complete_archives = _completer(_archives, files=True)
_complete_figures = _completer(_figures)
_complete_designs = _completer(_design_spaces, files=True)
_complete_trained = _completer(
    lambda ctx: (_populations if ctx.params.get("best_of") else _design_spaces)(ctx), files=True
)


class _Command(click.Command):
    """A command whose error messages name its option where the called function names an argument."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdfkitError as error:
            name, colon, what = str(error).partition(": ")
            shown = [max(one.opts, key=len) for one in self.params if one.name == name]
            # A file may be called so too.
            if not colon or not shown or shown[0][0] != "-" or name in map(str, ctx.params.values()):
                raise
            raise EdfkitError(f"{shown[0]}: {what}") from error


class _Group(click.Group):
    command_class = _Command

    def main(self, args: Sequence[str] | None = None, *more: Any, **settings: Any) -> Any:
        self.given = list(sys.argv[1:] if args is None else args)
        return super().main(self.given, *more, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise EdfkitError("Interrupted; nothing is left half-written.") from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edfkit")
def edfkit() -> None:
    """Compare network design spaces by the error distributions of populations of trained models."""


def main() -> None:
    """Run the command line; a failure is one sentence on standard error and exit status 1 or 2, never a traceback."""
    try:
        edfkit()
    except EdfkitError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or 'Output'}: {error.strerror or error}; give another place, or make room there."
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed, which this needs; pip install 'edfkit[generator]' brings it."
    except Exception as error:
        if sys.flags.dev_mode:  # python -X dev shows where it comes from
            raise
        message = f"This is a fault of edfkit ({type(error).__name__}: {error}); please report it with the command."
    else:
        return
    click.echo(f"edfkit: {message}", err=True)
    sys.exit(1)


# Reading


def _with(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_ARCHIVE = click.option(
    "--archive",
    "where",
    metavar="WHERE",
    shell_complete=_complete_archives,
    help="Archive file or its address (https://...), published JSON file or folder of them, or the name of an "
    "archive (edfkit datasets list).  [default: $EDFKIT_ARCHIVE, else nds if downloaded, else digits]",
)
_WHERE = click.option(
    "--where",
    "condition",
    metavar="EXPR",
    help="Take only models for which this is true, such as 'params < 1e5 and width[0] > 16'.",
)
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")


class _WholeNumbers(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2 only
    """Whole numbers with commas between."""

    name = "whole numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return [int(_plain(one)) for one in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} was given, expected whole numbers with commas between, such as 1,10.", param, ctx)


class _AsWritten(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2 only
    """Numbers as people write them, such as 30k; `percent` is what 1% stands for, if the option takes that."""

    percent: float | None = None

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_plain(value, self.percent), param, ctx)


def _plain(value: Any, percent: float | None = None) -> Any:
    """Write a number without a magnitude or a percent sign; what is none stays as it is."""
    if not isinstance(value, str) or value[-1:].isdigit() or (found := number(value, percent)) is None:
        return value
    return int(found) if found.is_integer() else found


class _Float(_AsWritten, click.types.FloatParamType):
    """A number."""


class _FloatRange(_AsWritten, click.FloatRange):
    """A number within bounds."""


class _Int(_AsWritten, click.types.IntParamType):
    """A whole number."""


class _IntRange(_AsWritten, click.IntRange):
    """A whole number within bounds."""


def _option(option: Option) -> Callable[[Command], Command]:
    """Make an option of a command from an option of a study."""
    kind: Any = option.type
    if isinstance(kind, tuple):
        kind = click.Choice(kind)
    elif kind == "whole numbers":
        kind = _WholeNumbers()
    elif kind in (int, float):
        if option.least is None:
            kind = _Int() if kind is int else _Float()
        else:
            kind = _IntRange(int(option.least)) if kind is int else _FloatRange(option.least, min_open=option.above)
        if isinstance(option.default, float) and 0 < option.default < 1:
            kind.percent = 0.01
        elif option.unit.startswith("percent"):
            kind.percent = 1.0
    about = option.help + (f", {option.unit}." if option.unit else "")
    if option.type is bool:
        return click.option(option.shown, option.name, is_flag=True, help=about)
    if option.usual:
        about += f"  [default: {option.usual}]"
    return click.option(
        *filter(None, (option.shown, option.other)), option.name, type=kind, nargs=option.values,
        default=option.default, help=about, show_default=option.default is not None and not option.usual,
        metavar=option.metavar or None,
        shell_complete=_completer(lambda _: list(option.among)) if option.among else None,
    )  # fmt: skip


_reads = _with(_ARCHIVE, _WHERE, *map(_option, catalogue.READING), _AS_JSON)
_RANGE = _option(catalogue.RANGE)
_SEED = _option(catalogue.SEED)


def _drawable(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None:
        from edfkit.show.plot import check_path

        check_path(path)  # before the study, which may take a while
    return path


_PLOT = click.option("--plot", type=_PATH, metavar="FILE", callback=_drawable, help="Draw into a PNG, SVG or PDF file.")


class _OnDisk(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2 only
    """An archive file, or the name of an archive that is on this machine."""

    name = "archive"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from edfkit.datasets import locate

        place = locate(value)
        if isinstance(place, str):
            self.fail(f"{value} is an address, expected a file; download it first.", param, ctx)
        return Path(place)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        return _complete_archives(ctx, param, incomplete)


_ON_DISK = _OnDisk()


def _open(where: str | None) -> "Archive | Published":
    from edfkit.archive.source import open_source
    from edfkit.datasets import locate

    return open_source(locate(where))


def _study_command(study: Study) -> click.Command:
    """Make the command of a study."""

    def run(
        names: tuple[str, ...],
        where: str | None,
        condition: str | None,
        as_json: bool,
        plot: Path | None = None,
        target: Path | None = None,
        **options: Any,
    ) -> None:
        from edfkit.study.parts import parted

        options = {name: value for name, value in options.items() if value is not None}
        # A flag says the contrary of a default that is true; click's own way to say so differs between its versions.
        options |= {one.name: not options[one.name] for one in study.options if one.type is bool and one.default}
        if len(names) < study.least or (study.unpacked and len(names) > (study.most or len(names))):
            raise click.UsageError(_miscounted(study, names))
        if study.refuse is not None and (wrong := study.refuse(names, options)):
            raise click.UsageError(wrong)
        drawing = {one.name: options.pop(one.name) for one in study.plot_options}
        if not (names or study.everything):  # a study of no population reads no archive
            result = found(study.run)(None, (), **options)
            _print_json(result.to_dict()) if as_json else _say(_worded(study, result))
            return
        with _open(where) as opened:
            source = parted(opened, names, condition)
            chosen = _named(source, names or source.names)
            arguments: list[Any] = [*chosen] if study.unpacked else [chosen]
            if target is not None:
                arguments.append(target)
            with _progress():
                result = found(study.run)(source, *arguments, **options)
            if plot is not None:
                from edfkit.show.plot import figure, write_figure

                write_figure(figure(result, **drawing), plot)
            if as_json:
                file = {} if target is None else {study.name: str(target), "bytes": target.stat().st_size}
                _print_json({"archive": _read_of(source, chosen), **file, **result.to_dict()})
                return
            _print_source(source, chosen)
            if not names and condition is not None:
                _print_absent(source)
            _say(_worded(study, result))
        if target is not None:
            _print_written(target)

    needed = ["SPACE"] * study.least
    spaces = " ".join(needed + ["[SPACE]"] * ((study.most or study.least) - study.least))
    if study.most is None:
        spaces = f"{spaces}..." if needed else "[SPACE...]"
    params: list[Callable[[Command], Command]] = [
        click.argument("names", metavar=spaces, nargs=-1, required=study.least > 0,
                       shell_complete=_completer(_populations, most=study.most)),
        *map(_option, catalogue.control(study) if study.given is not None else ()),
        *map(_option, catalogue.READING),
        *map(_option, study.options),
        *map(_option, study.run_options),
        _ARCHIVE,
        _WHERE,
        _AS_JSON,
        *([_PLOT] if study.plot else []),
        *map(_option, study.plot_options),
    ]  # fmt: skip
    if study.writes:
        params.append(click.option("-o", "--output", "target", type=_PATH, required=True, metavar="FILE",
                                   help=study.writes))  # fmt: skip
    return click.command(study.name, cls=_Command, help=study.about)(_with(*params)(run))


def _miscounted(study: Study, names: Sequence[str]) -> str:
    """Say that there are too few populations for a study, or too many."""
    if len(names) == 1:
        return f"only {names[0]} was named, which cannot be compared with itself; name two spaces or more."
    most = "one space" if study.most == 1 else f"{study.most} spaces at most"
    return f"{len(names)} spaces were named ({', '.join(names)}), expected {most}; leave out the others."


def _worded(study: Study, result: Any) -> Iterable[str]:
    from edfkit.show import text

    return cast("Iterable[str]", getattr(text, study.text)(result))


for _study in catalogue.STUDIES:
    edfkit.add_command(_study_command(_study))


def _wanted(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    from edfkit.show.figures import wanted

    try:
        wanted(names)
    except EdfkitError as error:
        raise click.UsageError(str(error)) from None
    return names


def _formats(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from edfkit.show.figures import FORMATS

    chosen = [one.strip().lower() for some in given for one in some.split(",")] or list(FORMATS)
    if unknown := [one for one in chosen if one not in FORMATS]:
        raise click.UsageError(f"--format was {unknown[0]!r}, expected some of {', '.join(FORMATS)}, such as png,pdf.")
    return tuple(chosen)


@edfkit.command()
@click.argument("names", metavar="[N...|tables|all]", nargs=-1, callback=_wanted, shell_complete=_complete_figures)
@click.option("-o", "--output", "folder", type=_PATH, required=True, metavar="DIR", help="Folder to write into.")
@click.option("--format", "formats", multiple=True, metavar="png,svg,pdf", callback=_formats,
              help="As which files.  [default: all of these]")  # fmt: skip
@_SEED
@_reads
def figures(
    names: tuple[str, ...], folder: Path, where: str | None, condition: str | None, as_json: bool, **options: Any
) -> None:
    """Make the figures N of the paper, or all, and its tables, of the populations of an archive, with their numbers."""
    from edfkit.generator.spaces import SPACES
    from edfkit.show.figures import make_figures
    from edfkit.study.parts import parted

    sizes = {name: (space.size, getattr(space, "cells", None)) for name, space in SPACES.items()}
    with _open(where) as opened:
        source = parted(opened, (), condition)
        shown = _named(source, source.names)
        if not as_json:
            _print_source(source, shown)
            if condition is not None:
                _print_absent(source)
        made = []
        with _progress():
            for outcome in make_figures(source, names, folder, sizes=sizes, **options):
                made.append(outcome)
                if not as_json:
                    _say([outcome.line()])
        if as_json:
            settings = {"folder": str(folder)} | {name: options[name] for name in ("error", "diverged", "seed")}
            outcomes = [outcome.to_dict() for outcome in made]
            _print_json({"archive": _read_of(source, shown), **settings, "made": outcomes})
        asked = [outcome for outcome in made if outcome.name.startswith("figure")] or made
        if not any(outcome.files for outcome in asked):
            raise EdfkitError(
                f"{source.path} has none of the populations that these figures need, but only "
                f"{', '.join(source.names)}; give another archive."
            )


def _named(source: "Archive | Published | Parts", names: Sequence[str]) -> list[str]:
    """Name populations and parts as they are named everywhere."""
    if hasattr(source, "named"):
        return list(map(source.named, names))
    return list(map(source.identify, names)) if hasattr(source, "identify") else list(names)


def _about(source: "Archive | Published | Parts", names: Sequence[str]) -> dict[str, str]:
    datasets = sorted({source.dataset(name) for name in names})
    return {"path": str(source.path), "title": source.attrs["title"], "dataset": " and ".join(datasets)}


def _read_of(source: "Archive | Published | Parts", names: Sequence[str]) -> dict[str, str | None]:
    """Describe what was read; published files have no checksums."""
    return {**_about(source, names), "digest": getattr(source, "digest", None)}


def _say(lines: Iterable[str]) -> None:
    """Print sentences and tables; on a terminal, sentences break between words."""
    if not sys.stdout.isatty():
        for line in lines:
            click.echo(line)
        return
    from shutil import get_terminal_size
    from textwrap import fill

    width = get_terminal_size().columns
    for line in lines:
        click.echo(line if "\n" in line else fill(line, width, break_long_words=False, break_on_hyphens=False))


@contextmanager
def _progress() -> Iterator[None]:
    """Show how far long loops are, on standard error if that is a terminal; a bar is gone when its loop has ended."""
    if not sys.stderr.isatty():
        yield
        return
    from time import monotonic

    from edfkit.progress import showing

    bars: Any = None
    begun: dict[str, float] = {}
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int | None) -> None:
        nonlocal bars
        if done == total:
            begun.pop(what, None)
            if what in tasks:
                bars.remove_task(tasks.pop(what))
                if not tasks:
                    bars.stop()
        elif monotonic() > begun.setdefault(what, monotonic()) + _SHORT:
            if bars is None:
                bars = _bars()
            bars.start()  # nothing happens if it is there
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

    try:
        with showing(report):
            yield
    finally:
        if bars is not None:
            bars.stop()


_SHORT = 0.5
"""Seconds that a loop may take without a bar."""


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    # Standard output may go elsewhere, and is left alone.
    return Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )


def _print_json(result: dict[str, Any]) -> None:
    import json
    import shlex

    from edfkit.documents import VERSION

    command = shlex.join(["edfkit", *cast("_Group", click.get_current_context().find_root().command).given])
    about = {"schema_version": VERSION, "edfkit": __version__, "command": command}
    click.echo(json.dumps({**about, **result}, indent=2, allow_nan=False))


def _print_absent(source: "Parts") -> None:
    """Say which populations of the archive have no model that meets the condition."""
    from edfkit.study.counting import label_of

    if absent := [label_of(source.source, name) for name in source.source.names if name not in source.names]:
        _say([f"Left out, as none of their models meets the condition: {', '.join(absent)}."])


def _print_source(source: "Archive | Published | Parts", names: Sequence[str]) -> None:
    from edfkit.study.counting import label_of

    about = _about(source, names)
    counts = ", ".join(f"{source.models(name):,} {label_of(source, name)}" for name in names)
    path = click.format_filename(about["path"])  # a name need not be printable
    _say([f"{path}: {about['title']}; models trained on {about['dataset']}: {counts}"])


@edfkit.command()
@click.argument("where", metavar="PATH", shell_complete=_complete_archives)
@click.option("--complexity", is_flag=True, help="Recompute the complexities from the descriptions of the networks.")
def verify(where: str, complexity: bool) -> None:
    """Check the archive or the published files at PATH: read all, and hold it against the rules of the format.

    All that is wrong is listed, and what is worth knowing, such as models that are there twice.
    """
    from edfkit.archive.verify import verify as find_faults
    from edfkit.generator.runs.verify import check_complexity

    with _open(where) as source:
        found = find_faults(source)
        _say(("note: " if finding.severity == "note" else "") + finding.message for finding in found)
        if faults := [finding for finding in found if finding.severity == "error"]:
            raise EdfkitError(
                f"{source.path} is not whole: {faults[0].message.rstrip('.')}"
                + (f", and {len(faults) - 1:,} other kinds of fault" if len(faults) > 1 else "")
                + "; correct the source, or download it again."
            )
        models = sum(source.models(name) for name in source.names)
        populations = f"{len(source.names):,} population{'s' * (len(source.names) != 1)}"
        click.echo(f"{click.format_filename(source.path)}: whole, {populations}, {models:,} models")
        if not complexity:
            return
        wrong = 0
        for name in source.names:
            check = check_complexity(source, name)
            wrong += check.models - check.agreeing
            click.echo(f"{name}: {check.agreeing:,} of {check.models:,} agree ({', '.join(check.compared)})")
            for sentence in check.wrong[:3]:
                click.echo(f"  {sentence}")
    if wrong:
        raise EdfkitError(
            f"The complexities of {wrong:,} models are not those of their networks; correct the source of {where}."
        )


# Importing and exporting


_OUTPUT = click.option("-o", "--output", "target", type=_PATH, required=True, metavar="ARCHIVE", help="File to write.")
_NAME = click.option("--name", help="Name of the population.")
_described = _with(
    click.option("--title", help="What the archive is."),
    click.option("--license", help="Terms of use."),
    click.option("--dataset", help="What the models were trained on."),
)
_roles = _with(
    *(
        click.option(f"--{role}", metavar="COL", help=f"Column of {what}.")
        for role, what in (
            ("params", "parameters"),
            ("flops", "flops, by your own count"),
            ("macs", "multiply-adds"),
            ("acts", "activations"),
        )
    )
)


@edfkit.group("import")
def import_() -> None:
    """Make an archive of published files, or of another tool's data."""


@import_.command("nds")
@click.argument("sources", type=_PATH, metavar="SOURCE...", nargs=-1, required=True)
@_OUTPUT
@click.option("--title", help="What the archive is.  [default: the names of the files]")
@click.option("--license", default="not stated", show_default=True, help="Terms of use.")
def import_nds(sources: tuple[Path, ...], target: Path, title: str | None, license: str) -> None:
    """Import the published files.

    A SOURCE is their zip, which is read in place, a folder of them, or a JSON file. Each list of a file becomes a
    population, and edfkit export nds gives the files back.
    """
    from edfkit.datasets.download import bytes_counted
    from edfkit.exchange import nds

    with bytes_counted("importing", nds.total_bytes(sources), progress=True) as advance:
        imported = nds.import_nds(sources, target, title=title, license=license, progress=advance)
    for name, models in imported.populations.items():
        click.echo(f"{name}: {models:,} models")
    if imported.left_out:
        click.echo(f"left out, no published files: {imported.left_out:,}")
    _say(imported.notes)
    _print_written(target)


@import_.command("pycls")
@click.argument("file", type=_PATH)
@_OUTPUT
@_NAME
@click.option("--ema", is_flag=True, help="Take the errors of the averaged weights.")
@_described
def import_pycls(file: Path, target: Path, **options: Any) -> None:
    """Import a sweep.json of pycls as one population."""
    from edfkit.exchange import pycls

    _print_import(target, pycls.import_pycls(file, target, **options))


@import_.command("optuna")
@click.argument("storage")
@click.argument("study", required=False)
@_OUTPUT
@_NAME
@click.option("--value", type=_IntRange(0), help="Which value to take, from 0, if a study has several.")
@click.option("--metric", help="The metric that the value is.  [default: error, where it can be a percentage]")
@click.option("--goal", type=click.Choice(["min", "max"]), help="Whether small or large values are good.")
@click.option("--unit", help="Of the value: percent, share, or another, such as nats.")
@click.option("--status-map", "statuses", metavar="WORD=OUTCOME,...", help="What states of trials mean: FAIL=diverged.")
@_roles
@_described
def import_optuna(storage: str, study: str | None, target: Path, **options: Any) -> None:
    """Import the trials of an Optuna STUDY as one population.

    STORAGE is an SQLite file, a journal file, or the URL of a storage, and is only read. A value that is maximised is
    taken for an accuracy, unless its name or its values say otherwise. COL is a parameter or a user attribute.
    """
    from edfkit.exchange import optuna

    _print_import(target, optuna.import_optuna(storage, study, target, **options))


@import_.command("table")
@click.argument("file", type=_PATH)
@_OUTPUT
@click.option("--metric", multiple=True, metavar="COL", help="Column of a metric; the first is the default one.")
@click.option("--goal", multiple=True, type=click.Choice(["min", "max"]), help="Which values of the metric are good.")
@click.option("--unit", multiple=True, metavar="UNIT", help="Of the metric: percent, share (0 to 1) or any other.")
@click.option("--bounds", multiple=True, type=_Float(), nargs=2, metavar="LOW HIGH", help="Bounds of the metric.")
@click.option(
    "--grid",
    multiple=True,
    type=_Float(),
    metavar="STEP",
    help="Distance of neighbouring values, such as 100 / test images.",
)
@click.option("--error", metavar="COL", help="Column of the top-1 test errors, in percent or --unit share.")
@click.option("--accuracy", metavar="COL", help="Column of the top-1 test accuracies, taken as errors.")
@click.option("--final", metavar="COL", help="Column of the same after the last epoch.")
@click.option("--by", "--space", "space", metavar="COL", help="Column that names the design space of each model.")
@_NAME
@_roles
@click.option("--seed", metavar="COL", help="Column of seeds.")
@click.option("--lr", metavar="COL", help="Column of initial learning rates.")
@click.option("--wd", metavar="COL", help="Column of weight decays.")
@click.option("--seconds", metavar="COL", help="Column of training times.")
@click.option("--id", metavar="COL", help="Column of identifiers.")
@click.option(
    "--network-column",
    "network",
    metavar="COL[,COL...]",
    help="Columns that name the network with its settings: rows with equal ones are runs of one network.",
)
@click.option("--status-column", "--status", "status", metavar="COL", help="Column of how the training ended.")
@click.option(
    "--status-map",
    "statuses",
    metavar="WORD=OUTCOME,...",
    help="What other words of it mean: finished, diverged, failed, stopped or running.",
)
@click.option("--diverged-column", "diverged", metavar="COL", help="Column of true where a run diverged.")
@click.option("--run", metavar="COL", help="Column that names the run, in a table with a row for each epoch.")
@click.option("--step", metavar="COL", help="Column of epochs or steps, in such a table.")
@click.option("--separator", metavar="CHARACTER", help="What separates the fields.  [default: found in the file]")
@click.option(
    "--decimal",
    type=click.Choice([".", ","]),
    help="Decimal mark.  [default: the dot; the comma, if the separator is ;]",
)
@_described
def import_table(file: Path, target: Path, **options: Any) -> None:
    """Import a table with a row for each model, or for each epoch: CSV, TSV, JSON, JSON lines or Parquet.

    Columns called params, flops, macs, acts, seed, lr, wd, seconds or id are found without an option, and may be
    multiplied (--params 'param_count*1e6'). The others become variables of their own. Objects in JSON have dotted
    names: config.lr, or learning_curve.top_1 for a curve.
    """
    from edfkit.exchange import tables

    _print_import(target, tables.import_table(file, target, **options))


def _print_import(target: Path, imported: "Imported") -> None:
    for name, models in imported.models.items():
        others = [f"{count:,} {word}" for word, count in imported.outcomes[name].items() if word != "finished"]
        of_which = f", of which {', '.join(others)}" if others else ""
        click.echo(f"{imported.labels.get(name, name)}: {models:,} model{'s' * (models != 1)}{of_which}")
    for reason, count in imported.left_out.items():
        click.echo(f"left out, {reason}: {count:,}")
    _say(imported.notes)
    _print_written(target)


def _print_written(target: Path) -> None:
    click.echo(f"{click.format_filename(target)}: {target.stat().st_size / 1e6:.2f} MB")


@edfkit.group()
def export() -> None:
    """Write populations in the format of other tools."""


@export.command("nds")
@click.argument("archive", type=_ON_DISK)
@click.option("-o", "--output", "folder", type=_PATH, required=True, metavar="FOLDER", help="Where to write the files.")
@click.option("--space", "spaces", multiple=True, metavar="SPACE", shell_complete=_complete_populations,
              help="Only this population; may be repeated.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace files that exist.")
def export_nds(archive: Path, folder: Path, spaces: tuple[str, ...], force: bool) -> None:
    """Write the populations of an ARCHIVE as published files, JSON.

    What was imported from published files comes back: the same records with the same keys and equal numbers.
    """
    from edfkit.exchange import nds

    exported = nds.export_nds(archive, folder, spaces or None, force=force)
    for name, records in exported.files.items():
        click.echo(f"{folder / name}: {records:,} records")
    for name, count in exported.left_out.items():
        click.echo(f"{name}: {count:,} failed models left out")


@edfkit.command()
@click.argument("archives", type=_ON_DISK, metavar="ARCHIVE...", nargs=-1, required=True)
@_OUTPUT
@click.option("--force", is_flag=True, help="Join even what was trained on other data or in another way.")
@click.option("--title", help="What the archive is.  [default: the titles of all]")
@click.option("--source", help="Who made it, and how.  [default: those of all]")
@click.option("--license", help="Terms of use.  [default: those of all]")
def merge(archives: tuple[Path, ...], target: Path, **options: Any) -> None:
    """Merge ARCHIVEs into one; populations of the same name are joined."""
    from edfkit.archive.combine import merge as merge_archives

    _print_combined(target, merge_archives(archives, target, **options))


@edfkit.command()
@click.argument("archive", type=_ON_DISK)
@_OUTPUT
@click.option("--space", "spaces", multiple=True, metavar="SPACE", shell_complete=_complete_populations,
              help="Take this population; may be repeated.")  # fmt: skip
@click.option("--given", type=click.Choice(COMPLEXITIES), default="params", show_default=True,
              help="Complexity that --range is about.")  # fmt: skip
@_RANGE
@click.option("--status", type=click.Choice(["finished", "diverged", "failed", "stopped", "running"]), multiple=True,
              help="Take models that ended so; may be repeated.")  # fmt: skip
@_WHERE
@click.option("--models", type=_IntRange(1), help="Draw this many models of each population.")
@_SEED
def subset(
    archive: Path,
    target: Path,
    spaces: tuple[str, ...],
    status: tuple[str, ...],
    condition: str | None,
    **options: Any,
) -> None:
    """Take some models of an ARCHIVE into another one."""
    from edfkit.archive.combine import subset as take

    chosen: dict[str, Any] = {"spaces": spaces or None, "status": status or None, **options}
    if condition is None:
        _print_combined(target, take(archive, target, **chosen))
        return
    from edfkit.study.parts import Parts

    with _open(str(archive)) as source:
        parts = Parts(source, condition)
        _print_combined(target, take(archive, target, where=(str(parts.where), parts.mask), **chosen))


def _print_combined(target: Path, written: dict[str, int]) -> None:
    for name, models in written.items():
        click.echo(f"{name}: {models:,} models")
    _print_written(target)


# Published archives


@edfkit.group()
def datasets() -> None:
    """List, download, check and publish archives.

    The registry that comes with edfkit knows the published files, nds, and the bundled archive, digits. EDFKIT_REGISTRY
    adds registries of your own; EDFKIT_DATA says where downloads are kept, and EDFKIT_OFFLINE=1 forbids the network.
    """


_NAMED = click.argument("name", metavar="NAME", shell_complete=_completer(_archives))


@datasets.command("list")
@_AS_JSON
def list_datasets(as_json: bool) -> None:
    """List the archives of the registries, and say which are on this machine."""
    from edfkit.datasets import registry, store
    from edfkit.show.text import table

    rows = [(entry, store.installed(entry.name)) for entry in registry.entries()]
    if as_json:
        found = [
            {"name": e.name, "version": e.version, "title": e.title, "path": None if path is None else str(path)}
            for e, path in rows
        ]
        _print_json({"archives": found})
        return
    cells = [[e.name, e.version, "here" if path else "not downloaded", e.title] for e, path in rows]
    click.echo(table(["name", "version", "on this machine", "title"], cells, left=4))


@datasets.command()
@_NAMED
def info(name: str) -> None:
    """Say what the archive NAME is, where it comes from, and what is here of it."""
    from edfkit.datasets import registry, store

    entry = registry.find(name)
    click.echo(f"{entry.name} {entry.version}: {entry.title}")
    for what, value in (("licence", entry.license), ("citation", entry.citation), ("data card", entry.card)):
        if value:
            click.echo(f"{what}: {value}")
    for file in entry.files:
        size = "size not known" if file.size is None else f"{file.size:,} bytes"
        click.echo(f"{file.name}: {size}, sha256 {file.sha256 or 'not known'}")
        _say(f"  {url}" for url in file.urls)
    state = store.state(name)
    click.echo(
        "not downloaded" if state is None else f"here: {state.path}, {state.size:,} bytes, sha256 {state.sha256}"
    )
    if state and state.members:
        click.echo(str(state.members))


@datasets.command()
@_NAMED
def path(name: str) -> None:
    """Print where the archive NAME lies on this machine."""
    from edfkit.datasets import registry, store

    found = store.installed(name)
    if found is None:
        registry.find(name)
        raise EdfkitError(f"{name} is not on this machine; edfkit datasets download {name} fetches it.")
    click.echo(str(found))


@datasets.command()
@_NAMED
@click.option("--from", "from_file", type=_PATH, metavar="FILE", help="Take this copy instead of downloading.")
def download(name: str, from_file: Path | None) -> None:
    """Download the archive NAME, check it, and convert it if need be; nothing is done if it is here."""
    from edfkit.datasets import store

    state = store.obtain(name, from_file=from_file, progress=True)
    click.echo(f"{state.name} {state.version}: {state.path}, {state.size:,} bytes")
    if state.members:
        click.echo(str(state.members))


@datasets.command("verify")
@click.argument("name", metavar="[NAME]", required=False, shell_complete=_completer(_archives))
def verify_dataset(name: str | None) -> None:
    """Check that the archive NAME is as it was when it was downloaded, and whole; all that are here, without NAME."""
    from edfkit.datasets import BUNDLED, downloaded, registry, store

    # Not those that are whole, as `store.installed` has it: what is damaged is looked for.
    names = [name] if name else [e.name for e in registry.entries() if e.name in BUNDLED or downloaded(e.name)]
    failures: list[str] = []
    for one in names:
        try:
            state = store.check(one)
        except EdfkitError as error:
            failures.append(str(error))
        else:
            click.echo(f"{state.name} {state.version}: whole, sha256 {state.sha256}")
    if failures:
        _say(failures[:-1])
        raise EdfkitError(failures[-1])


@datasets.command()
@_NAMED
def remove(name: str) -> None:
    """Remove the archive NAME from this machine."""
    from edfkit.datasets import store

    removed = store.remove(name)
    click.echo(f"{removed.name}: {len(removed.files):,} files removed, {removed.freed:,} bytes freed")
    _say(f"kept: {path}" for path in removed.kept)


@datasets.command()
@click.argument("archive", type=_ON_DISK)
@click.option("-o", "--output", "folder", type=_PATH, required=True, metavar="FOLDER", help="New folder to write.")
@click.option("--name", required=True, help="Name in the registry: lower-case letters, digits, -, _ and dots.")
@click.option("--version", required=True, help="Version of the archive.")
@click.option("--license", help="Terms of use, if the archive states none.")
@click.option("--citation", help="How to cite it.")
@click.option("--url", "urls", multiple=True, metavar="URL",
              help="Address that the archive will have; may be repeated.  [default: beside NAME.toml]")  # fmt: skip
@click.option("--notes", type=click.File(encoding="utf-8"), metavar="FILE", help="Markdown to add to the data card.")
def publish(archive: Path, folder: Path, notes: TextIO | None, **options: Any) -> None:
    """Make of an ARCHIVE what is to be uploaded: the file, a registry entry, checksums and a data card."""
    from edfkit.datasets.publish import publish as write_publication

    for file in write_publication(archive, folder, notes=notes.read() if notes else "", **options):
        click.echo(click.format_filename(file))
    click.echo(f"Upload them; EDFKIT_REGISTRY=ADDRESS/{options['name']}.toml makes it known as {options['name']}.")


# Generating


def _bounded(command: Command) -> Command:
    for option in (
        click.option("--max-flops", type=_Float(), help="Keep configurations with fewer flops, as published."),
        click.option("--max-macs", type=_Float(), help="Keep configurations with fewer multiply-adds."),
        click.option("--max-params", type=_Float(), help="Keep configurations with fewer parameters."),
    ):
        command = option(command)
    return command


def _sampled(command: Command) -> Command:
    for option in (
        click.option("--without-replacement", is_flag=True, help="Draw no configuration more than once."),
        click.option(
            "--bound",
            "rule",
            type=click.Choice(["and", "or", "none"]),
            default="and",
            show_default=True,
            help="Below each of the bounds, below at least one, or unbounded.",
        ),
    ):
        command = option(command)
    return _bounded(command)


def _bounds(params: float | None, macs: float | None, flops: float | None, rule: str = "and") -> dict[str, float]:
    given = {"params": params, "macs": macs, "flops": flops}
    bounds = {name: bound for name, bound in given.items() if bound is not None}
    if rule == "none" and bounds:
        raise click.UsageError(f"--bound none was given together with a bound of {', '.join(bounds)}; leave one out.")
    return bounds


@edfkit.group()
def spaces() -> None:
    """Look at design spaces: those of the paper, and your own.

    A SPACE is the name of one, or a TOML file that defines one.
    """


_SPACE = click.argument("name", metavar="SPACE", shell_complete=_complete_designs)
_COUNTED_FOR = click.option(
    "--dataset",
    type=click.Choice(["digits", "cifar10", "imagenet"]),
    help="Images that the networks are for.  [default: cifar10; imagenet for a space with a stem for it]",
)


@spaces.command("list")
@_AS_JSON
def list_spaces(as_json: bool) -> None:
    """List the design spaces that come with edfkit."""
    from edfkit.generator.spaces import SPACES

    rows: list[dict[str, Any]] = [
        {"name": name, "block": space.architecture.block, "configurations": space.size}
        for name, space in SPACES.items()
    ]
    if as_json:
        _print_json({"spaces": rows})
        return
    from edfkit.show.text import table

    click.echo(
        table(
            ["space", "block", "configurations"],
            [[row["name"], row["block"], _large(row["configurations"])] for row in rows],
            left=2,
        )
    )


@spaces.command()
@_SPACE
@_AS_JSON
def count(name: str, as_json: bool) -> None:
    """Count the configurations of a design SPACE."""
    from edfkit.generator.spaces import find
    from edfkit.generator.spaces.kinds import CellSpace

    space = find(name)
    cells = space.cells if isinstance(space, CellSpace) else None
    if as_json:
        _print_json({"space": space.name, "configurations": space.size, "cells": cells})
        return
    if cells:
        click.echo(f"{space.name}: {cells:,} cells, {(cells + 500_000_000) // 10**9:,} billion")
    click.echo(f"{space.name}: {space.size:,} configurations")


@spaces.command()
@_SPACE
@_COUNTED_FOR
@_bounded
@_AS_JSON
def show(name: str, dataset: str | None, max_params: float | None, max_macs: float | None, max_flops: float | None,
         as_json: bool) -> None:  # fmt: skip
    """Show the definition of a design SPACE, how complex its networks are, and how many lie within bounds.

    The bounds are those of the paper, if none is given.
    """
    from rich.console import Console

    from edfkit.generator.spaces import definition, find
    from edfkit.generator.spaces.extent import PERCENTS, measure_extent
    from edfkit.generator.training import data
    from edfkit.show.text import table

    space = find(name)
    dataset = dataset or _counted_for(space)
    bounds = _bounds(max_params, max_macs, max_flops) or data.BOUNDS.get(dataset, {})
    with Console(stderr=True).status(f"counting {space.name}"):
        extent = measure_extent(space, bounds, **data.geometry(dataset))
    if as_json:
        quantiles = {
            name: {f"{percent / 100:g}": value for percent, value in zip(PERCENTS, values, strict=True)}
            for name, values in extent.quantiles.items()
        }
        about = {"definition": definition(space), "configurations": space.size, "dataset": dataset}
        measured = {"counted": extent.configurations, "exact": extent.exact, "quantiles": quantiles}
        _print_json({**about, **measured, "bounds": bounds, "within": extent.within})
        return
    for key, value in definition(space).items():
        click.echo(f"{key} = {_toml(value)}")
    how = "all counted" if extent.exact else f"estimated from {extent.configurations:,} of them, drawn with seed 0"
    click.echo(f"\n{_large(space.size)} configurations; on {dataset}, {how}:")
    rows = zip([f"{percent} % up to" for percent in PERCENTS], *extent.quantiles.values(), strict=True)
    click.echo(table(["", *extent.quantiles], [[label, *map(_large, values)] for label, *values in rows]))
    limits = {name: f"{name} below {bound:,.0f}" for name, bound in bounds.items()}
    for name, share in extent.within.items():
        what = limits.get(name, "all of these" if name == "and" else "any of these")
        if bounds and (name in bounds or len(bounds) > 1):
            spread = "" if extent.exact else f" +- {200 * (share * (1 - share) / extent.configurations) ** 0.5:.2f}"
            click.echo(f"{100 * share:.2f}{spread} % have {what}")


@spaces.command("sample")
@_SPACE
@click.option("--models", type=_IntRange(1), required=True, help="Configurations to draw.")
@click.option("--seed", type=_IntRange(0), default=0, show_default=True, help="Decides the configurations.")
@_COUNTED_FOR
@_sampled
@_AS_JSON
def sample_space(name: str, models: int, seed: int, dataset: str | None, max_params: float | None,
                 max_macs: float | None, max_flops: float | None, rule: str, without_replacement: bool,
                 as_json: bool) -> None:  # fmt: skip
    """Draw configurations uniformly from a design SPACE, those that generate would train with the same options."""
    from edfkit.generator.spaces import describe_networks, find
    from edfkit.generator.spaces.sampling import sample
    from edfkit.generator.training import data

    space = find(name)
    dataset = dataset or _counted_for(space)
    bounds = _bounds(max_params, max_macs, max_flops, rule)
    drawn = sample(
        space,
        models,
        seed=seed,
        bounds=bounds,
        rule=rule,
        replacement=not without_replacement,
        **data.geometry(dataset),
    )
    counts = {count: values.tolist() for count, values in drawn.complexity._asdict().items()}
    networks = describe_networks(space.architecture, drawn.columns)
    if as_json:
        rows = [dict(zip(counts, row, strict=True)) for row in zip(*counts.values(), strict=True)]
        about = {"space": space.name, "dataset": dataset, "seed": seed, "bounds": bounds, "bound": rule}
        models_ = [row | {"network": network} for row, network in zip(rows, networks, strict=True)]
        _print_json({**about, "replacement": not without_replacement, "models": models_})
        return
    click.echo("\t".join([*counts, "network"]))
    for *numbers, network in zip(*counts.values(), networks, strict=True):
        click.echo("\t".join([*map(str, numbers), _toml(network)]))


def _counted_for(space: "Space") -> str:
    return "cifar10" if space.architecture.stem_stride == 1 else "imagenet"


def _large(number: int) -> str:
    """Write a number in full, or, beyond what a reader takes in, in powers of ten."""
    return f"{number:,}" if number < 1e12 else f"{number:.4e}"


def _toml(value: Any) -> str:
    import json

    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + "}"
    return json.dumps(value)  # which is TOML too


@edfkit.command()
@click.argument("space", required=False, shell_complete=_complete_trained)
@click.option("--network", metavar="NAME", help="Train this one network, such as resnet-110, instead of a SPACE.")
@click.option("--best-of", metavar="ARCHIVE", shell_complete=_complete_archives,
              help="Train the best network of the population SPACE of this archive.")  # fmt: skip
@click.option("--models", type=_IntRange(1), help="Size of the population.  [default: 1 of a single network]")
@click.option("--out", "folder", type=_PATH, metavar="RUN", help="Folder of the run.  [default: runs/NAME]")
@click.option("--seed", type=_IntRange(0), default=0, show_default=True, help="Decides configurations and training.")
@click.option("--training-seed", type=_IntRange(0), help="Decides training alone: the same models once more.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and leave it.")
@click.option("--dataset", help="Images: digits, cifar10 or cifar100.  [default: digits]")
@click.option("--data", "own", type=_PATH, metavar="PATH", help="Images of your own: an npz file, or a folder.")
@click.option("--image-size", type=_IntRange(8), help="Side that images of a folder are cropped to.  [default: 224]")
@click.option("--images", type=_PATH, metavar="FOLDER", help="Where CIFAR is, if it shall not be downloaded.")
@_sampled
@click.option("--width", type=_IntRange(1), help="Fix the width of a space of cells.")
@click.option("--depth", type=_IntRange(1), help="Fix the depth of a space of cells.")
@click.option(
    "--recipe",
    "recipe_name",
    type=click.Choice(["default", "enhanced"]),
    default="default",
    show_default=True,
    help="Enhanced: auxiliary classifier, Cutout, drop path, six times the epochs. Single settings go over it:",
)
@click.option("--epochs", type=_IntRange(1), help="Epochs of training.")
@click.option("--batch", type=_IntRange(1), help="Images in a training batch.")
@click.option("--lr", type=_Float(), help="Initial learning rate.")
@click.option("--lr-range", type=_Float(), nargs=2, metavar="LO HI", help="Draw it for each model, log-uniformly.")
@click.option("--schedule", type=click.Choice(["cosine", "constant"]), help="Learning rate over the epochs.")
@click.option("--weight-decay", type=_Float(), help="Weight decay, of every parameter.")
@click.option("--weight-decay-range", "wd_range", type=_Float(), nargs=2, metavar="LO HI", help="Draw it likewise.")
@click.option("--momentum", type=_Float(), help="Nesterov momentum.")
@click.option("--flip/--no-flip", default=None, help="Mirror half of the training images.")
@click.option("--shift", type=_IntRange(0), help="Most pixels that training images are shifted by.")
@click.option("--precise-bn", type=_IntRange(0), help="Images for batch norm statistics; 0: running averages.")
@click.option("--auxiliary", type=_FloatRange(0), help="Weight of an auxiliary classifier in the loss; 0: none.")
@click.option("--cutout", type=_IntRange(0), help="Side in pixels of a square blanked in each training image.")
@click.option("--drop-path", type=_Float(), help="Probability that a path is dropped, reached after the last epoch.")
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16"]), help="Of the arithmetic.  [default: fp32]")
@click.option("--workers", type=_IntRange(1), help="Processes of one thread each.  [default: one a core, or GPU]")
@click.option("--workers-per-gpu", type=_IntRange(1), default=1, show_default=True, help="That share a GPU.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="What to train on.")
@click.option("--scheduler", metavar="ADDRESS", help="Train on the workers of this Dask cluster.")
@click.option("--slurm", is_flag=True, help="Start the workers as jobs of Slurm, as Dask's configuration describes.")
@click.option("--slurm-directive", multiple=True, metavar="TEXT", help="Of the jobs, such as --gres=gpu:1.")
@click.option(
    "--lease",
    type=_FloatRange(1),
    default=60,
    show_default=True,
    help="Seconds without a sign of life after which a process loses its model to another.",
)
@click.option(
    "--order",
    type=click.Choice(["longest", "drawn"]),
    default="longest",
    show_default=True,
    help="Which models come first; as drawn, those done so far are at any time a sample.",
)
def generate(space: str | None, network: str | None, best_of: str | None, models: int | None, folder: Path | None,
             seed: int, training_seed: int | None, dry_run: bool, dataset: str | None, own: Path | None,
             image_size: int | None, images: Path | None, rule: str, max_params: float | None, max_macs: float | None,
             max_flops: float | None, without_replacement: bool, width: int | None, depth: int | None,
             recipe_name: str, lr_range: tuple[float, float] | None, wd_range: tuple[float, float] | None,
             workers: int | None, workers_per_gpu: int, device: str, scheduler: str | None, slurm: bool,
             slurm_directive: tuple[str, ...], lease: float, order: str, **recipe: Any) -> None:  # fmt: skip
    """Train a population of a design SPACE, which is a name or a TOML file, or of a single network.

    All of it is kept in the folder RUN. The same command goes on where it was stopped; with more --models, the
    population grows. What is not said of the recipe is as published for cifar10, and shorter for digits.
    """
    from edfkit.generator.runs import plan as plans
    from edfkit.generator.runs.engine import Engine
    from edfkit.generator.spaces import fix
    from edfkit.generator.training.recipe import Recipe, enhanced

    if scheduler is not None and (slurm or workers):
        raise click.UsageError("--scheduler takes the workers that are there: leave out --slurm and --workers.")
    if slurm_directive and not slurm:
        raise click.UsageError("--slurm-directive is for --slurm; give that too, or leave it out.")
    chosen = fix(_chosen(space, network, best_of), width, depth)
    if models is None:
        if chosen.size > 1:
            raise click.UsageError(
                f"{chosen.name} has {chosen.size:,} configurations; say how many to train: --models."
            )
        models = 1
    images_of = _images(dataset, own, image_size)
    if own is not None and own.is_dir() and recipe["shift"]:
        raise click.UsageError("--shift is not for a folder, whose images are cropped at random; leave it out.")
    usual = enhanced(images_of.recipe, images_of.image_size) if recipe_name == "enhanced" else images_of.recipe
    settings = usual | {name: value for name, value in recipe.items() if value is not None}
    request = plans.Request(
        chosen,
        images_of.name,
        models,
        seed,
        _bounds(max_params, max_macs, max_flops, rule),
        rule,
        Recipe(**settings),
        not without_replacement,
        lr_range,
        wd_range,
        training_seed,
        images_of.geometry,
    )
    folder = folder or Path("runs") / request.population
    if dry_run:
        _predict(folder, request, images_of, device, workers)
        return
    engine = Engine(workers, scheduler, slurm_directive if slurm else None, workers_per_gpu, device, lease)
    place = own or images
    _train(folder, plans.open_run(folder, request), engine, None if place is None else place.absolute(), order)


def _chosen(space: str | None, network: str | None, best_of: str | None) -> "Space":
    from edfkit.generator.spaces import find

    if best_of is not None:
        if space is None or network is not None:
            raise click.UsageError("--best-of needs the name of a population, SPACE, and no --network; correct it.")
        from edfkit.generator.spaces.described import best

        with _open(best_of) as source:
            return best(source, space)
    if (name := network or space) is None or (network and space):
        what = "Both SPACE and" if space else "Neither SPACE nor"
        raise click.UsageError(f"{what} --network was given; give one of them.")
    chosen = find(name)
    if network and chosen.size > 1:
        raise click.UsageError(f"{network} is a design space and no single network; leave --network out.")
    return chosen


def _images(dataset: str | None, own: Path | None, image_size: int | None) -> "Dataset":
    from edfkit.generator.training import data

    if own is None:
        if image_size is not None:
            raise click.UsageError("--image-size is for a folder of images; give that as --data, or leave it out.")
        return data.find(dataset or "digits")
    if dataset is not None:
        raise click.UsageError("Both --dataset and --data were given; give one of them.")
    return data.own(own, image_size)


def _predict(folder: Path, request: "Request", images: "Dataset", device: str, workers: int | None) -> None:
    from edfkit.generator.runs import run as runs
    from edfkit.generator.runs.cost import predict
    from edfkit.generator.runs.plan import make_plan

    plan = make_plan(request)
    left = runs.pending(folder, plan)
    if not left:
        click.echo(f"{folder}: all {len(plan.ids):,} {request.population} models are done.")
        return
    cost = predict(plan, left, images, device=device)
    shared = f", {cost.hours / workers:,.2f} on {workers}" if workers else ""
    click.echo(f"{folder}: {cost.models:,} of {len(plan.ids):,} {request.population} models to train on {images.name}")
    click.echo(f"flops {cost.flops:.3g}, {cost.flops / cost.models:.3g} a model")
    click.echo(
        f"hours {cost.hours:,.2f} on one process here{shared} ({cost.software}; "
        f"by {cost.timed} networks that were timed); {cost.hours_2019:,.2f} on one GPU of 2019, by published times"
    )
    click.echo(f"disk {cost.disk / 1e6:,.1f} MB")


def _train(folder: Path, plan: "Plan", engine: "Engine", images: Path | None, order: str) -> None:
    from collections import Counter

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from edfkit.generator.runs import run as runs
    from edfkit.generator.runs.engine import longest_first, train_pending

    ended: Counter[str] = Counter()
    left = runs.pending(folder, plan)
    done, population = len(plan.ids) - len(left), plan.request.population
    if order == "longest":
        left = longest_first(plan, left)
    columns = (
        TextColumn(population), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[speed]}"),
    )  # fmt: skip
    try:
        with Progress(*columns, console=Console(stderr=True), speed_estimate_period=600) as progress:
            task = progress.add_task("", total=len(plan.ids), completed=done, speed="")
            for status in train_pending(folder, plan, left, engine, where=images, said=progress.console.print):
                ended[status] += 1
                speed = progress.tasks[task].speed
                progress.update(task, advance=1, speed=f"{3600 * speed:,.0f} models/h" if speed else "")
    except KeyboardInterrupt:
        raise EdfkitError(f"Interrupted; the same command goes on with {folder}, where nothing is lost.") from None
    click.echo(
        f"{folder}: {done + ended.total() - ended['failed']:,} of {len(plan.ids):,} {population} models "
        f"done; {ended.total():,} trained now, of which {ended['diverged']:,} diverged and {ended['failed']:,} failed."
    )
    if ended["failed"]:
        raise EdfkitError(
            f"{ended['failed']:,} models failed: {_reason(folder, plan)}; the same command tries them again."
        )


def _reason(folder: Path, plan: "Plan") -> str:
    from edfkit.generator.runs import run as runs

    results = (runs.read_result(folder, model) for model in plan.ids)
    return next(str(result["reason"]) for result in results if result is not None and result["status"] == "failed")


@edfkit.command()
@click.argument("folder", type=_PATH, metavar="RUN")
@_AS_JSON
def status(folder: Path, as_json: bool) -> None:
    """Say how far a RUN is."""
    from dataclasses import asdict

    from edfkit.generator.runs import status as progress

    now = progress.read(folder)
    if as_json:
        _print_json({"run": str(folder), **asdict(now), "remaining": now.remaining})
        return
    click.echo(
        f"{folder}: {now.population} on {now.dataset}, {now.models - now.remaining:,} of {now.models:,} models done"
    )
    click.echo(
        f"finished {now.finished:,}, diverged {now.diverged:,}; to be trained again: failed {now.failed:,}, "
        f"damaged {now.damaged:,}"
    )
    if now.best_error is not None:
        click.echo(f"smallest error so far {now.best_error:.2f} %")
    if now.remaining and now.models_per_hour is not None and now.hours_left is not None:
        by = f"{now.running:,} at work" if now.running else "nobody is at work; one process would make"
        click.echo(f"{by}: {now.models_per_hour:,.0f} models/h, {now.hours_left:,.2f} h for those remaining")
    if now.remaining and now.cost_share is not None and not 0.9 < now.cost_share < 1.1:
        click.echo(
            f"A model that is done costs {now.cost_share:.2f} x a planned one on average: those done are no random "
            "sample until all are."
        )


@edfkit.command()
@click.argument("where", metavar="ARCHIVE", shell_complete=_complete_archives)
@click.argument("space", required=False, shell_complete=_complete_populations)
@click.option("--models", type=_IntRange(1), default=3, show_default=True, help="How many to train again.")
@_SEED
@click.option(
    "--reruns",
    type=_IntRange(1),
    help="Measure the noise by so many trainings under other seeds.  [default: 4, unless the archive knows it]",
)
@click.option("--noise", type=_FloatRange(0), metavar="SD", help="Take the noise as known, points.")
@click.option("--confidence", type=_Float(), default=0.95, show_default=True, help="That an honest archive passes.")
@click.option("--images", "folder", type=_PATH, metavar="PATH", help="Where the images are.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="What to train on.")
@_AS_JSON
def audit(where: str, space: str | None, models: int, folder: Path | None, as_json: bool, **options: Any) -> None:
    """Train some models of an ARCHIVE, or of its population SPACE, again and compare their curves.

    Exit status: 0 if all are equal to the last bit, 3 if those that are not differ by no more than training noise, as
    on another platform, else 1.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from edfkit.generator.runs.audit import audit as audit_archive
    from edfkit.show.text import table
    from edfkit.show.words import number

    columns = (TextColumn("auditing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _open(where) as source, Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=models)
        found = audit_archive(
            source, models, population=space, folder=folder, progress=lambda _: progress.advance(task), **options
        )
    if as_json:
        _print_json(found.to_dict())
    else:
        stated = found.stated_software
        others = "this and other platforms" if found.software in stated.split("; ") else "another platform"
        trained_on = "the same platform" if found.same_platform else f"{others}, {stated}"
        click.echo(f"{click.format_filename(found.archive)}: trained on {trained_on}")
        click.echo(f"trained again on {found.software}")
        rows = [
            [model.population, model.id, model.outcome, number(model.stated_error), number(model.error),
             number(model.mean_error), number(model.band), number(model.differences.get("test_error", float("nan")))]
            for model in found.models
        ]  # fmt: skip
        headings = ["population", "id", "outcome", "stated", "again", "mean", "+-", "curve"]
        click.echo(table(headings, rows, left=3))
        _say(f"{model.id}: {model.reason}" for model in found.models if model.reason)
    if found.outcome == "different":
        wrong = [model for model in found.models if model.outcome == "different"]
        raise EdfkitError(
            f"{len(wrong)} of {len(found.models)} models of {found.archive} are not what training them again gives: "
            f"of {wrong[0].id}, {wrong[0].reason}; ask whoever made it."
        )
    sys.exit(found.exit_status)


@edfkit.command()
@click.argument("folders", type=_PATH, metavar="RUN...", nargs=-1, required=True)
@click.option("-o", "--output", "archive", type=_PATH, required=True, metavar="ARCHIVE", help="The file to write.")
@click.option("--title", help="What the archive is.  [default: its spaces and data set]")
@click.option("--source", default="edfkit generate", show_default=True, help="Who made it, and how.")
@click.option("--license", "terms", default="not stated", show_default=True, help="Terms of use.")
def pack(folders: tuple[Path, ...], archive: Path, title: str | None, source: str, terms: str) -> None:
    """Pack RUNs into an archive; runs of one space become one population."""
    from edfkit.generator.runs.pack import pack as pack_runs

    counts = pack_runs(folders, archive, title=title, source=source, license=terms)
    for space, (packed, planned) in counts.items():
        click.echo(f"{space}: {packed:,} of {planned:,} models")
    click.echo(f"{archive}: {archive.stat().st_size / 1e6:.2f} MB")


# The shell


@edfkit.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets a SHELL complete commands, options and names when Tab is pressed.

    Put what it prints into ~/.local/share/bash-completion/completions/edfkit for bash, into a file _edfkit in a folder
    of fpath for zsh, and into ~/.config/fish/completions/edfkit.fish for fish.
    """
    from click.shell_completion import get_completion_class

    if script := get_completion_class(shell):
        click.echo(script(edfkit, {}, "edfkit", "_EDFKIT_COMPLETE").source())
