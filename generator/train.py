"""Train one network by the recipe of the published populations and return its curves."""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edfkit import EdfkitError
from edfkit.generator.data import Images
from edfkit.generator.layers import DropPath
from edfkit.generator.recipe import Recipe


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
    """

    status: str
    test_error: list[float]
    train_error: list[float]
    train_loss: list[float]
    seconds: float


class _Pipeline:
    """The images on the device as bytes, and batches of them made there."""

    def __init__(self, images: Images, recipe: Recipe, device: torch.device, rng: torch.Generator) -> None:
        def on_device(array: Any) -> Tensor:
            return torch.from_numpy(array).to(device)

        self.x_train, self.y_train = on_device(images.x_train), on_device(images.y_train)
        self.x_test, self.y_test = on_device(images.x_test), on_device(images.y_test)
        self.mean = torch.tensor(images.mean, device=device)
        self.std = torch.tensor(images.std, device=device)
        self.side = torch.arange(images.x_train.shape[1], device=device)
        self.flip, self.shift, self.cutout = recipe.flip, recipe.shift, recipe.cutout
        self.device, self.rng = device, rng

    def _normalised(self, x: Tensor) -> Tensor:
        return (x.float() - self.mean) / self.std

    def _random(self, high: int, size: int) -> Tensor:
        return torch.randint(high, (size, 1), generator=self.rng, device=self.device)

    def order(self) -> Tensor:
        """Shuffle the training images: indices, shape (images,)."""
        return torch.randperm(len(self.x_train), generator=self.rng, device=self.device)

    def train(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images (batch, channels, side, side) in channels_last layout, and their labels.

        One gather flips and shifts the whole batch. It indexes images whose channels are last in memory, so viewing
        the result with channels second gives the channels_last layout without a copy.
        """
        x = self._normalised(self.x_train[index])
        size, shift = len(index), self.shift
        rows = columns = self.side.expand(size, -1)
        if self.flip:
            columns = torch.where(self._random(2, size) == 1, self.side.flip(0), columns)
        if shift:
            x = functional.pad(x, (0, 0, shift, shift, shift, shift))
            rows = rows + self._random(2 * shift + 1, size)
            columns = columns + self._random(2 * shift + 1, size)
        image = torch.arange(size, device=self.device)[:, None, None]
        x = x[image, rows[:, :, None], columns[:, None, :]]
        if self.cutout:
            x = x.masked_fill((self._inside(size)[:, :, None] & self._inside(size)[:, None, :])[..., None], 0.0)
        return x.permute(0, 3, 1, 2), self.y_train[index]

    def _inside(self, size: int) -> Tensor:
        """Tell which rows, or columns, lie in the square of each image: bool, shape (size, side)."""
        first = self._random(len(self.side), size) - self.cutout // 2
        inside: Tensor = (self.side >= first) & (self.side < first + self.cutout)
        return inside

    def test(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Test images as they are, in the layout of `train`, and their labels."""
        return self._normalised(self.x_test[start:stop]).permute(0, 3, 1, 2), self.y_test[start:stop]


def _misses(logits: Tensor, labels: Tensor) -> Tensor:
    # Logits that are not finite predict nothing: a miss, even where the arg max of nan happens to be the label.
    top, predicted = logits.max(1)
    return ((predicted != labels) | ~top.isfinite()).sum()


def _drop_paths(model: nn.Module) -> list[DropPath]:
    return [layer for layer in model.modules() if isinstance(layer, DropPath)]


@torch.no_grad()
def _set_precise_statistics(model: nn.Module, pipeline: _Pipeline, recipe: Recipe) -> None:
    for path in _drop_paths(model):
        path.probability = 0.0  # the statistics are for tests, where nothing is dropped
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    images = min(recipe.precise_bn, len(pipeline.x_train))
    batches = pipeline.order()[:images].split(recipe.batch)
    for i, index in enumerate(batches[: images // recipe.batch]):
        for norm in norms:
            norm.momentum = 1 / (i + 1)  # makes the running statistics the plain average over the batches so far
        model(pipeline.train(index)[0])
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def _count_test_misses(model: nn.Module, pipeline: _Pipeline, batch: int = 1000) -> Tensor:
    model.eval()
    number = len(pipeline.x_test)
    misses = torch.zeros((), dtype=torch.int64, device=pipeline.device)
    for start in range(0, number, batch):
        x, y = pipeline.test(start, start + batch)
        misses += _misses(model(x), y)
    model.train()
    return misses


def train(model: nn.Module, images: Images, recipe: Recipe, *, rng: torch.Generator) -> Result:
    """Train a network, testing it after every epoch.

    The same model, images, recipe, state of `rng`, number of threads, machine and versions give the same numbers.

    Parameters
    ----------
    model : torch.nn.Module
        A network with fresh weights on the device to train on; it is trained in place. If the recipe has an auxiliary
        classifier, the network gives two logits in training, the second for that.
    images : Images
        What to train and test on, with at least one batch of training images.
    recipe : Recipe
        How to train.
    rng : torch.Generator
        Where shuffling and augmentation come from, on the same device.

    Returns
    -------
    Result
        Curves of length `recipe.epochs`.

    Raises
    ------
    EdfkitError
        If a batch is larger than the training set.
    """
    begun = time.perf_counter()
    device = next(model.parameters()).device
    pipeline = _Pipeline(images, recipe, device, rng)
    steps = len(images.x_train) // recipe.batch
    if not steps:
        raise EdfkitError(
            f"A batch of {recipe.batch} is larger than the training set of {len(images.x_train)}; give a smaller one."
        )
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    paths = _drop_paths(model)
    test_error, train_error, train_loss = [], [], []
    for epoch in range(recipe.epochs):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate(epoch)
        for path in paths:
            path.probability = recipe.drop_probability(epoch)
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        misses = torch.zeros((), dtype=torch.int64, device=device)
        for index in pipeline.order()[: steps * recipe.batch].split(recipe.batch):
            x, y = pipeline.train(index)
            logits, auxiliary = model(x) if recipe.auxiliary else (model(x), None)
            loss = total = functional.cross_entropy(logits, y)
            if auxiliary is not None:
                total = loss + recipe.auxiliary * functional.cross_entropy(auxiliary, y)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            optimizer.step()
            loss_sum += loss.detach()
            misses += _misses(logits.detach(), y)
        if recipe.precise_bn:
            _set_precise_statistics(model, pipeline, recipe)
        # The one place where the host waits for the device.
        totals = torch.stack([loss_sum, misses.double(), _count_test_misses(model, pipeline).double()]).tolist()
        if not math.isfinite(totals[0]):
            break
        train_loss.append(totals[0] / steps)
        train_error.append(100 * totals[1] / (steps * recipe.batch))
        test_error.append(100 * totals[2] / len(images.x_test))
    lost = recipe.epochs - len(train_loss)
    return Result(
        "diverged" if lost else "finished",
        test_error + [100.0] * lost,
        train_error + [100.0] * lost,
        train_loss + [math.nan] * lost,
        time.perf_counter() - begun,
    )
