"""What a run will cost: operations, hours on this machine, bytes. Predicted before it is begun."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edfkit.generator.runs import work
from edfkit.generator.runs.plan import Plan
from edfkit.generator.training.data import Dataset
from edfkit.generator.training.images import Images
from edfkit.generator.training.recipe import Recipe

# Networks of the plan that are timed, and seconds after which no further one is begun.
_TIMED, _ENOUGH = 6, 20.0
_STEPS = 3  # training steps of each
_BLOCK = 4096  # bytes that a file takes at least, and a multiple of

_PUBLISHED = ((185e6, 0.059), (664e6, 0.281))
"""Published flops of two networks, and seconds of a training step of 128 images on a GPU of 2019."""


@dataclass(frozen=True)
class Cost:
    """What the models of a plan that are not done will take.

    Attributes
    ----------
    models : int
    flops : float
        Floating-point operations of training and testing them; a multiply-add is two, a backward pass two forward ones.
    hours : float
        On one process of this machine.
    hours_2019 : float
        On one GPU of 2019, by the two published step times, linearly between and beyond them.
    disk : int
        Bytes of their results.
    software : str
        What the hours hold for.
    timed : int
        How many of the networks were timed for them.
    """

    models: int
    flops: float
    hours: float
    hours_2019: float
    disk: int
    software: str
    timed: int


def steps(recipe: Recipe, dataset: Dataset) -> float:
    """Count what a training takes, in training steps: a batch that is only passed forward is a third of one."""
    train, test = dataset.images
    forward = min(recipe.precise_bn, train) + test
    return float(recipe.epochs * (train // recipe.batch + forward / (3 * recipe.batch)))


def predict(plan: Plan, left: list[int], dataset: Dataset, *, device: str = "auto") -> Cost:
    """Predict what the models of a plan that are not done will take; times some of its networks, some 20 s in all.

    Parameters
    ----------
    plan : Plan
    left : list of int
        The models that are not done.
    dataset : Dataset
        Of the plan.
    device : {"auto", "cpu", "cuda"}
        What to time on.

    Returns
    -------
    Cost
    """
    recipe = plan.request.recipe
    device = work.device_of(device)
    whole = steps(recipe, dataset)
    macs = plan.sample.complexity.macs[left].astype(float)
    seconds, timed = _step_seconds(plan, np.array(left, np.intp), dataset, device)
    low, high = _PUBLISHED
    slope = (high[1] - low[1]) / (high[0] - low[0])
    flops = plan.sample.complexity.flops[left]
    # Never less than the arithmetic's share of the smaller network: small ones are not free, but cheaper.
    published = np.maximum(low[1] + slope * (flops - low[0]), low[1] * flops / low[0]) * recipe.batch / 128
    size = 300 + 60 * recipe.epochs  # three curves of some 20 characters a number
    return Cost(
        models=len(left),
        flops=float(6 * macs.sum() * recipe.batch * whole),
        hours=float(seconds.sum() * whole / 3600),
        hours_2019=float(published.sum() * whole / 3600),
        disk=-(-size // _BLOCK) * _BLOCK * len(left),
        software=work.software(device),
        timed=timed,
    )


def _step_seconds(plan: Plan, left: NDArray[np.intp], dataset: Dataset, device: str) -> tuple[NDArray[np.float64], int]:
    """Predict the seconds of a training step of each model from those of some, by their macs and acts."""
    from scipy.optimize import nnls

    request, complexity = plan.request, plan.sample.complexity
    order = left[np.argsort(complexity.macs[left], kind="stable")]
    # Spread over the costs, and cheap ones first, in case that the others would take too long.
    chosen = order[np.unique(np.linspace(0, len(order) - 1, _TIMED).round().astype(int))]
    images = _noise(dataset, request.recipe.batch)
    short = {**request.recipe.as_dict(), "epochs": 1, "precise_bn": 0}
    times: list[float] = []
    begun = time.perf_counter()
    for model in chosen:
        columns = {name: column[model] for name, column in plan.sample.columns.items()}
        trained = [
            work.train_configuration(
                request.space.architecture, columns, Recipe(**short), dataset, images, seed=0, device=device
            ).seconds
            for _ in range(2)  # the first has to find its memory, and its algorithms
        ]
        times.append(min(trained) / (_STEPS + 1 / 3))
        if time.perf_counter() - begun > _ENOUGH:
            break

    def features(models: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.stack([np.ones(len(models)), complexity.macs[models] / 1e6, complexity.acts[models] / 1e6], axis=1)

    known = chosen[: len(times)]
    # By relative deviations, as the largest would else decide alone.
    weights = 1 / np.array(times)
    fitted, _ = nnls(features(known) * weights[:, None], np.ones(len(known)))
    return features(left) @ fitted, len(known)


def _noise(dataset: Dataset, batch: int) -> Images:
    """Make images of the size of a data set: enough for a few training steps, and a batch to test."""
    rng = np.random.default_rng(0)
    shape = (dataset.image_size, dataset.image_size, dataset.channels)
    parts = [rng.integers(256, size=(count, *shape), dtype=np.uint8) for count in (_STEPS * batch, batch)]
    labels = [np.arange(len(part)) % dataset.classes for part in parts]
    return Images(parts[0], labels[0], parts[1], labels[1], (128.0,) * dataset.channels, (64.0,) * dataset.channels)
