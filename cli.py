"""The command line: one short command a verb, which parses, calls and prints."""

import sys
from pathlib import Path
from typing import Any

import click

from edfkit import EdfkitError, __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edfkit")
def edfkit() -> None:
    """Compare network design spaces by the error distributions of populations of trained models."""


@edfkit.command()
@click.argument("space")
@click.option("--models", type=click.IntRange(1), required=True, help="Size of the population.")
@click.option("--out", "run", type=click.Path(path_type=Path), required=True, help="Folder of the run.", metavar="RUN")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides configurations and training.")
@click.option("--dataset", default="digits", show_default=True, help="Image data set: digits or cifar10.")
@click.option("--data-folder", "folder", type=click.Path(path_type=Path), help="Where its images are, if not downloaded.")
@click.option("--max-params", type=float, help="Keep configurations with fewer parameters.")
@click.option("--max-macs", type=float, help="Keep configurations with fewer multiply-adds.")
@click.option("--max-flops", type=float, help="Keep configurations with fewer flops (the published count).")
@click.option("--bound", "rule", type=click.Choice(["and", "or", "none"]), default="and", show_default=True,
              help="Below every one of the bounds, or below at least one, or unbounded.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of training.")
@click.option("--batch", type=click.IntRange(1), help="Images in a training batch.")
@click.option("--lr", type=float, help="Initial learning rate.")
@click.option("--schedule", type=click.Choice(["cosine", "constant"]), help="Learning rate over the epochs.")
@click.option("--weight-decay", type=float, help="Weight decay, on every parameter.")
@click.option("--momentum", type=float, help="Nesterov momentum.")
@click.option("--flip/--no-flip", default=None, help="Mirror half of the training images.")
@click.option("--shift", type=click.IntRange(0), help="Most pixels that training images are shifted by.")
@click.option("--precise-bn", type=click.IntRange(0), help="Images to compute batch norm statistics from; 0 for none.")
@click.option("--workers", type=click.IntRange(1), help="Processes, one thread each.  [default: one a core]")
def generate(space: str, models: int, run: Path, seed: int, dataset: str, folder: Path | None, rule: str,
             max_params: float | None, max_macs: float | None, max_flops: float | None, workers: int | None,
             **recipe: Any) -> None:
    """Train a population of a design SPACE.

    Everything is kept in the folder RUN. A second call with the same settings goes on where the first one stopped; with
    more --models, the population grows. The recipe is by default the published one, on digits a shorter one.
    """
    import os

    from edfkit.generator import data, run as runs
    from edfkit.generator.recipe import Recipe

    bounds = {"params": max_params, "macs": max_macs, "flops": max_flops}
    given = {name: value for name, value in recipe.items() if value is not None}
    request = runs.Request(
        space.lower(), dataset, models, seed, {name: bound for name, bound in bounds.items() if bound is not None}, rule,
        Recipe(**{**data.find(dataset).recipe, **given}),
    )
    plan = runs.open_run(run, request)
    _train(run, plan, workers or os.cpu_count() or 1, folder)


def _train(run: Path, plan: Any, workers: int, folder: Path | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from edfkit.generator import run as runs

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(plan.request.space, total=len(plan.ids), rate="")
        for _ in runs.train_pending(run, plan, workers=workers, folder=folder):
            progress.advance(task)
    click.echo("done")


def main() -> None:
    """Run the command line; every failure is one sentence on standard error."""
    try:
        sys.exit(edfkit(standalone_mode=True))
    except EdfkitError as error:
        click.echo(f"edfkit: {error}", err=True)
        sys.exit(1)
