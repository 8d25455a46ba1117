"""Train one network by the recipe of the published populations and return its curves."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.sgd import sgd

from edfkit import EdfkitError
from edfkit.generator.training.capture import Captured
from edfkit.generator.training.images import Images
from edfkit.generator.training.layers import DropPath
from edfkit.generator.training.pipeline import InMemory, Pipeline, Source
from edfkit.generator.training.recipe import Recipe


@dataclass(frozen=True)
class Result:
    """What training a network gave.

    Attributes
    ----------
    status : {"finished", "diverged"}
        Diverged: the loss of an epoch was not finite. The epochs from there on have 100 % error and no loss (nan).
    test_error, train_error : list of float, one per epoch
        Percent; the training error is that of the augmented batches while they were learned from.
    train_loss : list of float, one per epoch
        Mean cross-entropy, nats, without that of an auxiliary classifier.
    seconds : float
        Wall time of the training.
    note : str or None
        What was not done as asked without a change of the numbers: on a CUDA device, that steps could not be captured.
    """

    status: str
    test_error: list[float]
    train_error: list[float]
    train_loss: list[float]
    seconds: float
    note: str | None = None


def _misses(logits: Tensor, labels: Tensor) -> Tensor:
    # Logits that are not finite predict nothing: a miss, even where the arg max of nan happens to be the label. What is
    # not finite is not 0 when taken from itself, and telling so takes two kernels where isfinite takes four.
    top, predicted = logits.max(1)
    return ((predicted != labels) | (top - top != 0)).sum()


def _drop_paths(model: nn.Module) -> list[DropPath]:
    return [layer for layer in model.modules() if isinstance(layer, DropPath)]


def _logits(model: nn.Module, x: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor | None]:
    """Give the logits and those of an auxiliary classifier, in float32."""
    if recipe.precision == "bf16":
        # Each weight is used once a step, so nothing is gained by keeping what it was rounded to.
        with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
            out = model(x)
    else:
        out = model(x)
    logits, auxiliary = out if isinstance(out, tuple) else (out, None)
    return logits.float(), None if auxiliary is None else auxiliary.float()


@torch.no_grad()
def _set_precise_statistics(model: nn.Module, pipeline: Pipeline, recipe: Recipe) -> None:
    for path in _drop_paths(model):
        path.probability = 0.0  # the statistics are for tests, where nothing is dropped
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for i, (x, _) in enumerate(pipeline.statistics()):
        for norm in norms:
            norm.momentum = 1 / (i + 1)  # makes the running statistics the plain average over the batches so far
        _logits(model, x, recipe)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def _count_test_misses(model: nn.Module, pipeline: Pipeline, recipe: Recipe, device: torch.device) -> Tensor:
    model.eval()
    misses = torch.zeros((), dtype=torch.int64, device=device)
    for x, y in pipeline.test():
        misses += _misses(_logits(model, x, recipe)[0], y)
    model.train()
    return misses


class _Step:
    """One step of training, which waits for nothing, and what it counts.

    Parameters
    ----------
    model : torch.nn.Module
        In training mode, on the device.
    pipeline : Pipeline
    recipe : Recipe
    device : torch.device
    capturable : bool
        Whether the learning rate and the probability of dropping a path are in tensors, so that a captured step follows
        them. They are then rounded to float32; on a CPU, drop path draws other numbers.

    Attributes
    ----------
    loss_sum, misses : Tensor
        Over the steps since the epoch began: scalars, on the device.
    """

    def __init__(
        self, model: nn.Module, pipeline: Pipeline, recipe: Recipe, device: torch.device, *, capturable: bool
    ) -> None:
        self.model, self.pipeline, self.recipe = model, pipeline, recipe
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.misses = torch.zeros((), dtype=torch.int64, device=device)
        self.capturable, self.paths = capturable, _drop_paths(model)
        self.rate = torch.tensor(recipe.lr, device=device)  # float32: all that the fused optimizer of CUDA reads
        self.probability = torch.zeros((), device=device)
        self.lr: float | Tensor = recipe.lr
        self.weights: list[Tensor] = []  # those that take part, which the first gradients show
        self.momenta: list[Tensor | None] = []

    def begin_epoch(self, epoch: int) -> None:
        """Set what changes from epoch to epoch, and count from 0."""
        self.lr = rate = self.recipe.learning_rate(epoch)
        probability: float | Tensor = self.recipe.drop_probability(epoch)
        if self.capturable:
            self.lr, probability = self.rate.fill_(rate), self.probability.fill_(probability)
        for path in self.paths:
            path.probability = probability
        self.loss_sum.zero_()
        self.misses.zero_()

    def __call__(self, *parts: Tensor) -> None:
        """Learn from the batch that the pipeline makes of the parts."""
        x, y = self.pipeline.augmented(*parts)
        logits, auxiliary = _logits(self.model, x, self.recipe)
        loss = total = functional.cross_entropy(logits, y)
        if auxiliary is not None:
            total = loss + self.recipe.auxiliary * functional.cross_entropy(auxiliary, y)
        for weight in self.weights:
            weight.grad = None
        total.backward()
        if not self.weights:
            self.weights += [weight for weight in self.model.parameters() if weight.grad is not None]
            self.momenta += [None] * len(self.weights)
        if self.capturable:
            _align_gradients(self.weights)
        self._descend()
        self.loss_sum += loss.detach()
        self.misses += _misses(logits.detach(), y)

    @torch.no_grad()
    def _descend(self) -> None:
        # The function behind torch.optim.SGD, which itself loads torch's compiler first, for more than two seconds.
        recipe = self.recipe
        sgd(
            self.weights,
            [weight.grad for weight in self.weights if weight.grad is not None],
            self.momenta,
            fused=True,
            lr=self.lr,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
            dampening=0.0,
            maximize=False,
        )


def _align_gradients(weights: Iterable[Tensor]) -> None:
    # Along an axis of length 1 a stride means nothing, and gradients come with others than the weights have. The fused
    # optimizer of CUDA refuses that.
    for weight in weights:
        if weight.grad is not None and weight.grad.stride() != weight.stride():
            weight.grad = weight.grad.as_strided(weight.shape, weight.stride())


@contextmanager
def _arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """On a CUDA device, have products in the precision that is asked for, and the same numbers each time."""
    if device.type != "cuda":
        yield
        return
    # By the older of torch's two interfaces, which all versions have; the newer cannot be used beside it.
    products, tf32 = torch.backends.cuda.matmul, precision == "tf32"
    usual = products.allow_tf32
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32):
        products.allow_tf32 = tf32
        try:
            yield
        finally:
            products.allow_tf32 = usual


def train(model: nn.Module, images: Images | Source, recipe: Recipe, *, rng: torch.Generator) -> Result:
    """Train a network, testing it after every epoch.

    The same model, images, recipe, state of `rng`, number of threads, machine and versions give the same numbers,
    whatever was trained before. On a CUDA device the steps are captured in a CUDA graph, which gives the same numbers
    as steps that are not.

    Parameters
    ----------
    model : torch.nn.Module
        A network with fresh weights on the device to train on; it is trained in place. If the recipe has an auxiliary
        classifier, the network gives two logits in training, the second for that.
    images : Images or Source
        What to train and test on, with at least one batch of training images.
    recipe : Recipe
        How to train.
    rng : torch.Generator
        Where shuffling and augmentation come from, on the same device, as any drop path must have it too.

    Returns
    -------
    Result
        Curves of length `recipe.epochs`.

    Raises
    ------
    EdfkitError
        If a batch is larger than the training set, or the device has no such precision.
    torch.OutOfMemoryError
        If the device has too little memory.
    """
    begun = time.perf_counter()
    device = next(model.parameters()).device
    if recipe.precision == "tf32" and device.type != "cuda":
        raise EdfkitError(
            "The recipe has precision = tf32, which CUDA devices alone have, and this is to be trained on "
            f"{device.type}; give fp32 or bf16."
        )
    with _arithmetic(device, recipe.precision), torch.cuda.device(device if device.type == "cuda" else -1):
        pipeline = _open(images, recipe, device, rng)
        model = model.to(memory_format=torch.channels_last).train()
        step = _Step(model, pipeline, recipe, device, capturable=device.type == "cuda")
        do = Captured(step, rng) if device.type == "cuda" else step
        curves = list(_train(step, do))
    lost = recipe.epochs - len(curves)
    test_error, train_error, train_loss = ([epoch[i] for epoch in curves] for i in range(3))
    return Result(
        "diverged" if lost else "finished",
        test_error + [100.0] * lost,
        train_error + [100.0] * lost,
        train_loss + [math.nan] * lost,
        time.perf_counter() - begun,
        do.note if isinstance(do, Captured) else None,
    )


def _open(images: Images | Source, recipe: Recipe, device: torch.device, rng: torch.Generator) -> Pipeline:
    pipeline: Pipeline
    if isinstance(images, Images):
        pipeline = InMemory(images, recipe, device, rng)
    else:
        pipeline = images.pipeline(recipe, device, rng)
    if pipeline.train_images < recipe.batch:
        raise EdfkitError(
            f"A batch of {recipe.batch} is larger than the training set of {pipeline.train_images}; give a smaller one."
        )
    return pipeline


def _train(step: _Step, do: Callable[..., None]) -> Iterator[tuple[float, float, float]]:
    """Yield the test error, the training error and the training loss of each epoch, until it diverges.

    Parameters
    ----------
    step : _Step
    do : callable
        Does the step.
    """
    recipe, pipeline, model = step.recipe, step.pipeline, step.model
    steps = pipeline.train_images // recipe.batch
    for epoch in range(recipe.epochs):
        step.begin_epoch(epoch)
        for parts in pipeline.epoch():
            do(*parts)
        if recipe.precise_bn:
            _set_precise_statistics(model, pipeline, recipe)
        missed = _count_test_misses(model, pipeline, recipe, step.misses.device)
        # The one place where the host waits for the device.
        totals = torch.stack([step.loss_sum, step.misses.double(), missed.double()]).tolist()
        if not math.isfinite(totals[0]):
            return
        images = steps * recipe.batch
        yield 100 * totals[2] / pipeline.test_images, 100 * totals[1] / images, totals[0] / steps
