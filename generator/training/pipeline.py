"""Batches of images on the device that trains: what a source of them must offer, and that of images held in memory."""

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from edfkit.generator.training.images import Images
from edfkit.generator.training.recipe import Recipe

Batch = tuple[Tensor, Tensor]  # images (batch, channels, side, side), float32, channels_last; labels (batch,), int64


class Pipeline(Protocol):
    """Where `train.train` gets its batches; all randomness comes from the generator that it was made with.

    Attributes
    ----------
    train_images, test_images : int
        How many there are.
    """

    train_images: int
    test_images: int

    def epoch(self) -> Iterator[tuple[Tensor, ...]]:
        """Shuffle the training images; yield what `augmented` takes for each whole batch, on the device.

        The tensors of one batch have the shapes and types of those of any other, since a captured step copies them to
        where it reads them. A last, partial batch is dropped.
        """

    def augmented(self, *parts: Tensor) -> Batch:
        """Make a training batch of that, with fresh random numbers, without waiting for the device.

        It is captured with the rest of a step, so only the parts and the generator may change from batch to batch.
        """

    def statistics(self) -> Iterator[Batch]:
        """Yield the augmented training batches, all whole, for the batch norm statistics that precede a test."""

    def test(self) -> Iterator[Batch]:
        """Yield all test images, in batches of any size, as they are but normalised."""


class Source(Protocol):
    """Images that bring their own pipeline, as those do which are too many for memory."""

    def pipeline(self, recipe: Recipe, device: torch.device, rng: torch.Generator) -> Pipeline:
        """Make a pipeline to train by the recipe on the device; `rng` is on the device too."""


def inside_squares(positions: Tensor, *, side: int, cutout: int, images: int, rng: torch.Generator) -> Tensor:
    """Draw a square for each image, centred anywhere in it, along one axis.

    Parameters
    ----------
    positions : Tensor of int64, shape (positions,)
        Pixels along the axis, from 0.
    side, cutout : int
        Of the images and of the squares, pixels.
    images : int
    rng : torch.Generator
        On the device of the positions.

    Returns
    -------
    Tensor of bool, shape (images, positions)
        Whether they lie in the square.
    """
    first = torch.randint(side, (images, 1), generator=rng, device=positions.device) - cutout // 2
    inside: Tensor = (positions >= first) & (positions < first + cutout)
    return inside


class InMemory:
    """The images on the device as bytes, and batches of them made there."""

    def __init__(self, images: Images, recipe: Recipe, device: torch.device, rng: torch.Generator) -> None:
        def on_device(array: NDArray[Any]) -> Tensor:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that an array may be read-only: nothing here writes to it
                return torch.from_numpy(array).to(device)

        self.x_train, self.y_train = on_device(images.x_train), on_device(images.y_train)
        self.x_test, self.y_test = on_device(images.x_test), on_device(images.y_test)
        self.train_images, self.test_images = len(images.x_train), len(images.x_test)
        _, self.side, _, self.channels = images.x_train.shape
        # One for each value of a row of pixels: kernels are much faster over long rows than over pairs or triples.
        self.mean = torch.tensor(images.mean * self.side, device=device)
        self.std = torch.tensor(images.std * self.side, device=device)
        self.rows = torch.arange(self.side, device=device)
        self.columns = self.rows.repeat_interleave(self.channels)
        self.recipe, self.device, self.rng = recipe, device, rng

    def _random(self, high: int, size: int) -> Tensor:
        return torch.randint(high, (size, 1), generator=self.rng, device=self.device)

    def _batches(self, images: int) -> Iterator[Tensor]:
        """Shuffle the training images and yield the whole batches of the first so many: indices, shape (batch,)."""
        order = torch.randperm(self.train_images, generator=self.rng, device=self.device)
        whole = min(images, self.train_images) // self.recipe.batch
        yield from order.split(self.recipe.batch)[:whole]

    def epoch(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield the indices of the images of each batch."""
        return ((index,) for index in self._batches(self.train_images))

    def augmented(self, *parts: Tensor) -> Batch:
        """Take the images of some indices, normalised, flipped, shifted and cut out."""
        (index,) = parts
        size, side, channels, shift = len(index), self.side, self.channels, self.recipe.shift
        x = self.x_train.index_select(0, index)
        numbers = torch.arange(size, device=self.device)
        mirrored: Tensor | None = None
        if self.recipe.flip:
            mirrored = self._random(2, size) == 1
            # Both are made and one is taken, which is faster than to merge them by a mask.
            x = torch.cat([x, x.flip(2)]).index_select(0, numbers + size * mirrored.squeeze(1))
        x = x.view(size, side, side * channels).float().sub_(self.mean)
        if shift:
            padded_side = side + 2 * shift
            row = padded_side * channels
            padded = x.new_zeros(size, padded_side, row)
            border = shift * channels
            torch.div(x, self.std, out=padded[:, shift : shift + side, border : border + side * channels])
            down, right = self._random(2 * shift + 1, size), self._random(2 * shift + 1, size)
            if mirrored is not None:
                right = torch.where(mirrored, 2 * shift - right, right)  # it is the shift that gets mirrored
            # A window is the rows of an image from some pixel on; this is a view of all the windows there are.
            starts = size * padded_side**2 - (side - 1) * (padded_side + 1)
            windows = padded.as_strided((starts, side, side * channels), (channels, row, 1))
            first = numbers * padded_side**2
            x = windows.index_select(0, (down * padded_side + right).squeeze(1) + first)
        else:
            x = x.div_(self.std)
        if self.recipe.cutout:
            along = partial(inside_squares, side=side, cutout=self.recipe.cutout, images=size, rng=self.rng)
            x = x.masked_fill_(along(self.rows)[:, :, None] & along(self.columns)[:, None], 0)
        return self._viewed(x), self.y_train.index_select(0, index)

    def _viewed(self, x: Tensor) -> Tensor:
        # The channels are last in memory: viewed as the second axis, they are in channels_last layout without a copy.
        return x.view(len(x), self.side, self.side, self.channels).permute(0, 3, 1, 2)

    def statistics(self) -> Iterator[Batch]:
        """Yield batches of `recipe.precise_bn` random images, augmented."""
        return (self.augmented(index) for index in self._batches(self.recipe.precise_bn))

    def test(self, batch: int = 1000) -> Iterator[Batch]:
        """Yield the test images and their labels."""
        for start in range(0, self.test_images, batch):
            x = self.x_test[start : start + batch].flatten(2)
            yield self._viewed(x.float().sub_(self.mean).div_(self.std)), self.y_test[start : start + batch]
