"""The command line: one short command a verb, which parses, calls and prints. Start-up counts: imports stay inside."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edfkit import EdfkitError, __version__

if TYPE_CHECKING:
    from edfkit.archive import Archive
    from edfkit.generator.run import Plan
    from edfkit.published import Published
    from edfkit.study import Comparison, Population

Command = Callable[..., None]
_PATH = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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


def _reads(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."),
        click.option(
            "--area-to",
            type=click.FloatRange(0, min_open=True),
            default=50.0,
            show_default=True,
            help="Right end of the area, percent.",
        ),
        click.option(
            "--error",
            type=click.Choice(["best", "final"]),
            default="best",
            show_default=True,
            help="Smallest error over the epochs, or that after the last.",
        ),
        click.option(
            "--archive",
            "where",
            metavar="WHERE",
            help="Archive file, published JSON file or folder of them, or the name of a bundled archive.  "
            "[default: $EDFKIT_ARCHIVE, else digits]",
        ),
    ):
        command = option(command)
    return command


def _open(where: str | None) -> "Archive | Published":
    from edfkit.datasets import locate
    from edfkit.source import open_source

    return open_source(locate(where))


@edfkit.command()
@click.argument("spaces", metavar="SPACE SPACE...", nargs=-1, required=True)
@click.option(
    "--given",
    type=click.Choice(["none", "params", "flops", "macs", "acts"]),
    default="params",
    show_default=True,
    help="Complexity to normalise.",
)
@click.option(
    "--bins",
    type=click.IntRange(1),
    help="Complexity bins of equal width.  [default: at most 10, as many as leave 5 models of every space in each]",
)
@click.option(
    "--range",
    "span",
    type=float,
    nargs=2,
    metavar="LO HI",
    help="Complexity range, raw counts, ends included.  [default: the range that all spaces cover]",
)
@click.option("--plot", "plot", type=_PATH, metavar="FILE", help="Draw the EDFs into a PNG, SVG or PDF file.")
@_reads
def compare(spaces: tuple[str, ...], given: str, bins: int | None, span: tuple[float, float] | None, plot: Path | None,
            where: str | None, error: str, area_to: float, as_json: bool) -> None:  # fmt: skip
    """Compare design SPACEs by their error distributions, given complexity."""
    from edfkit import document
    from edfkit.study import compare_populations

    if len(spaces) < 2:
        raise click.UsageError(
            f"only {spaces[0]} was named, which cannot be compared with itself; name two spaces or more."
        )
    with _open(where) as source:
        result = compare_populations(source, spaces, given=given, bins=bins, range=span, error=error, area_to=area_to)
        if plot is not None:
            from edfkit.plot import plot_edfs

            plot_edfs(result, plot)
        if as_json:
            _print_json({"archive": _about(source, spaces), **document.comparison(result)})
        else:
            _print_source(source, spaces)
            _print_comparison(result)


@edfkit.command()
@click.argument("spaces", metavar="SPACE...", nargs=-1)
@_reads
def describe(spaces: tuple[str, ...], where: str | None, error: str, area_to: float, as_json: bool) -> None:
    """Describe the populations of design SPACEs, one by one; all there are, if none is named."""
    from edfkit import document
    from edfkit.study import complexity_ranges, describe_populations

    with _open(where) as source:
        names = [name.lower() for name in spaces or source.names]
        populations = describe_populations(source, names, error=error, area_to=area_to)
        ranges = {name: complexity_ranges(source, name) for name in names}
        if as_json:
            described = [{**document.population(member), "complexity": ranges[member.name]} for member in populations]
            _print_json({"archive": _about(source, names), "error": error, "spaces": described})
        else:
            _print_source(source, names)
            _print_populations(populations)
            for name, known in ranges.items():
                spans = [f"{count} {ends[0]:,.0f} to {ends[1]:,.0f}" for count, ends in known.items() if ends]
                click.echo(f"{name}: {'; '.join(spans)}")


def _about(source: "Archive | Published", names: Sequence[str]) -> dict[str, str]:
    datasets = sorted({source.dataset(name) for name in names})
    return {"path": str(source.path), "title": source.attrs["title"], "dataset": " and ".join(datasets)}


def _print_json(result: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(result, indent=2, allow_nan=False))


def _print_source(source: "Archive | Published", names: Sequence[str]) -> None:
    about = _about(source, names)
    counts = ", ".join(f"{source.models(name):,} {name.lower()}" for name in names)
    path = click.format_filename(about["path"])  # a name need not be printable
    click.echo(f"{path}: {about['title']}; models trained on {about['dataset']}: {counts}")


def _print_comparison(result: "Comparison") -> None:
    if result.range is None:
        click.echo("Not normalised for complexity.")
    else:
        lo, hi = result.range
        bins = f"{result.bins} bins of equal weight."
        if result.bins == 1:
            bins = "1 bin, which normalises nothing within the range; a narrower --range may allow more bins."
        click.echo(f"Given {result.given}: {lo:,.0f} to {hi:,.0f}, in {bins}")
    _print_populations(result.populations)
    for pair in result.pairs:
        click.echo(pair.verdict)


def _print_populations(populations: "list[Population]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    # Without styles, so that nobody has to switch them off.
    table = Table(box=SIMPLE_HEAD, show_edge=False, header_style="", padding=(0, 1, 0, 0))
    table.add_column("space", overflow="fold")
    for heading in ("models", "n_eff", "min", "5 %", "median", "mean", "95 %", "area"):
        table.add_column(heading, justify="right", no_wrap=True)
    for member in populations:
        summary = member.summary
        shares = summary.quantiles
        table.add_row(
            member.name,
            f"{summary.models:,}",
            f"{summary.n_eff:,.1f}",
            *(f"{error:.2f}" for error in (summary.min, shares[0.05], summary.median, summary.mean, shares[0.95])),
            f"{summary.area:.4f}",
        )
    Console(width=80).print(table)  # whatever the terminal: a narrower table would lose digits
    area_to = f"{populations[0].summary.area_to:g}"
    click.echo(f"n_eff: effective models; errors in percent; area: under the EDF, from 0 to {area_to} %.")
    for member in populations:
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in member.left_out.items())
        kept = f"; {member.diverged:,} diverged, kept" if member.diverged else ""
        click.echo(f"{member.name}: left out {left_out or 'none'}{kept}.")


@edfkit.command()
@click.argument("where", metavar="PATH")
@click.option("--complexity", is_flag=True, help="Recompute the complexities from the descriptions of the networks.")
def verify(where: str, complexity: bool) -> None:
    """Check the archive or the published files at PATH: read all, and hold it against the rules of the format."""
    from edfkit.generator.verify import check_complexity

    with _open(where) as source:
        source.validate()
        models = sum(source.models(name) for name in source.names)
        click.echo(f"{click.format_filename(source.path)}: whole, {len(source.names):,} populations, {models:,} models")
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


# Generating


@edfkit.command()
@click.argument("space")
@click.option("--models", type=click.IntRange(1), required=True, help="Size of the population.")
@click.option("--out", "folder", type=_PATH, required=True, metavar="RUN", help="Folder of the run.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides configurations and training."
)
@click.option("--dataset", default="digits", show_default=True, help="Images: digits or cifar10.")
@click.option("--images", type=_PATH, metavar="FOLDER", help="Where the images are, if they shall not be downloaded.")
@click.option("--max-params", type=float, help="Keep configurations with fewer parameters.")
@click.option("--max-macs", type=float, help="Keep configurations with fewer multiply-adds.")
@click.option("--max-flops", type=float, help="Keep configurations with fewer flops, as published.")
@click.option(
    "--bound",
    "rule",
    type=click.Choice(["and", "or", "none"]),
    default="and",
    show_default=True,
    help="Below each of the bounds, below at least one, or unbounded.",
)
@click.option("--epochs", type=click.IntRange(1), help="Epochs of training.")
@click.option("--batch", type=click.IntRange(1), help="Images in a training batch.")
@click.option("--lr", type=float, help="Initial learning rate.")
@click.option("--schedule", type=click.Choice(["cosine", "constant"]), help="Learning rate over the epochs.")
@click.option("--weight-decay", type=float, help="Weight decay, of every parameter.")
@click.option("--momentum", type=float, help="Nesterov momentum.")
@click.option("--flip/--no-flip", default=None, help="Mirror half of the training images.")
@click.option("--shift", type=click.IntRange(0), help="Most pixels that training images are shifted by.")
@click.option("--precise-bn", type=click.IntRange(0), help="Images for batch norm statistics; 0: running averages.")
@click.option("--workers", type=click.IntRange(1), help="Processes of one thread each.  [default: one a core]")
def generate(space: str, models: int, folder: Path, seed: int, dataset: str, images: Path | None, rule: str,
             max_params: float | None, max_macs: float | None, max_flops: float | None, workers: int | None,
             **recipe: Any) -> None:  # fmt: skip
    """Train a population of a design SPACE.

    All of it is kept in the folder RUN. The same command goes on where it was stopped; with more --models, the
    population grows. What is not said of the recipe is as published for cifar10, and shorter for digits.
    """
    from edfkit.generator import data
    from edfkit.generator import run as runs
    from edfkit.generator.recipe import Recipe

    given = {"params": max_params, "macs": max_macs, "flops": max_flops}
    bounds = {name: bound for name, bound in given.items() if bound is not None}
    if rule == "none" and bounds:
        raise click.UsageError(f"--bound none was given together with a bound of {', '.join(bounds)}; leave one out.")
    settings = data.find(dataset).recipe | {name: value for name, value in recipe.items() if value is not None}
    request = runs.Request(space.lower(), dataset, models, seed, bounds, rule, Recipe(**settings))
    _train(folder, runs.open_run(folder, request), workers, images)


def _train(folder: Path, plan: "Plan", workers: int | None, images: Path | None) -> None:
    import os
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

    from edfkit.generator import run as runs

    ended: Counter[str] = Counter()
    done = len(plan.ids) - len(runs.pending(folder, plan))
    columns = (
        TextColumn(plan.request.space), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[speed]}"),
    )  # fmt: skip
    try:
        with Progress(*columns, console=Console(stderr=True), speed_estimate_period=600) as progress:
            task = progress.add_task("", total=len(plan.ids), completed=done, speed="")
            for status in runs.train_pending(folder, plan, workers=workers or os.cpu_count() or 1, folder=images):
                ended[status] += 1
                speed = progress.tasks[task].speed
                progress.update(task, advance=1, speed=f"{3600 * speed:,.0f} models/h" if speed else "")
    except KeyboardInterrupt:
        raise EdfkitError(f"Interrupted; the same command goes on with {folder}, where nothing is lost.") from None
    click.echo(
        f"{folder}: {done + ended.total() - ended['failed']:,} of {len(plan.ids):,} {plan.request.space} models done; "
        f"{ended.total():,} trained now, of which {ended['diverged']:,} diverged and {ended['failed']:,} failed."
    )
    if ended["failed"]:
        raise EdfkitError(
            f"{ended['failed']:,} models failed: {_reason(folder, plan)}; the same command tries them again."
        )


def _reason(folder: Path, plan: "Plan") -> str:
    from edfkit.generator import run as runs

    results = (runs.read_result(folder, model) for model in plan.ids)
    return next(str(result["reason"]) for result in results if result is not None and result["status"] == "failed")


@edfkit.command()
@click.argument("folder", type=_PATH, metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(folder: Path, as_json: bool) -> None:
    """Say how far a RUN is."""
    from dataclasses import asdict

    from edfkit.generator import status as progress

    now = progress.read(folder)
    if as_json:
        _print_json({"run": str(folder), **asdict(now), "remaining": now.remaining})
        return
    click.echo(f"{folder}: {now.space} on {now.dataset}, {now.models - now.remaining:,} of {now.models:,} models done")
    click.echo(
        f"finished {now.finished:,}, diverged {now.diverged:,}; to be trained again: failed {now.failed:,}, "
        f"damaged {now.damaged:,}"
    )
    if now.best_error is not None:
        click.echo(f"smallest error so far {now.best_error:.2f} %")
    if now.models_per_hour:
        click.echo(
            f"{now.models_per_hour:,.0f} models/h; {now.remaining / now.models_per_hour:.2f} h for those remaining"
        )


@edfkit.command()
@click.argument("folders", type=_PATH, metavar="RUN...", nargs=-1, required=True)
@click.option("-o", "--output", "archive", type=_PATH, required=True, metavar="ARCHIVE", help="The file to write.")
@click.option("--title", help="What the archive is.  [default: its spaces and data set]")
@click.option("--source", default="edfkit generate", show_default=True, help="Who made it, and how.")
@click.option("--license", "terms", default="not stated", show_default=True, help="Terms of use.")
def pack(folders: tuple[Path, ...], archive: Path, title: str | None, source: str, terms: str) -> None:
    """Pack RUNs into an archive; runs of one space become one population."""
    from edfkit.generator.pack import pack as pack_runs

    counts = pack_runs(folders, archive, title=title, source=source, license=terms)
    for space, (packed, planned) in counts.items():
        click.echo(f"{space}: {packed:,} of {planned:,} models")
    click.echo(f"{archive}: {archive.stat().st_size / 1e6:.2f} MB")
