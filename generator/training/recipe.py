"""The training recipe: plain numbers, so that a run can be planned and described without loading torch."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from edfkit import EdfkitError

# Part of a model's id: raise it when a change to the training code alters the numbers that a configuration and a seed
# give.
REVISION = 1
# Left out where they are off, so that a model's id does not change when a further one is invented.
_OPTIONS = {"auxiliary": 0, "cutout": 0, "drop_path": 0, "precision": "fp32"}
PRECISIONS = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of the published CIFAR-10 populations.

    Attributes
    ----------
    epochs : int
    batch : int
        Images in a training batch; a last, partial batch is dropped.
    lr, weight_decay, momentum : float
        Of SGD with Nesterov momentum; weight decay applies to every parameter.
    schedule : {"cosine", "constant"}
        Learning rate over the epochs: lr / 2 * (1 + cos(pi * epoch / epochs)), or unchanged.
    flip : bool
        Mirror each image with probability one half.
    shift : int
        Most pixels that an image is shifted by, in each direction and axis, uniformly; zeros move in.
    precise_bn : int
        Augmented training images that the batch norm statistics are computed from before each test, in whole batches;
        0 keeps the running averages.
    auxiliary : float
        Weight in the loss of an auxiliary classifier on an inner layer; 0: there is none.
    cutout : int
        Side in pixels of a square that is blanked in each training image, centred anywhere in it; 0: none.
    drop_path : float
        Probability that an op of a cell, or the residual of a block, is left out for an image: it rises from 0 by the
        same step each epoch, and would reach this after the last.
    precision : {"fp32", "tf32", "bf16"}
        fp32 is the reference. tf32, on CUDA devices only, rounds the factors in convolutions and matrix products to 10
        bits. bf16 computes most of the networks with 8 bits; the weights, batch norm, the loss and the optimizer stay
        in fp32.
    """

    epochs: int = 100
    batch: int = 128
    lr: float = 0.1
    schedule: str = "cosine"
    weight_decay: float = 5e-4
    momentum: float = 0.9
    flip: bool = True
    shift: int = 4
    precise_bn: int = 1024
    auxiliary: float = 0.0
    cutout: int = 0
    drop_path: float = 0.0
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name in ("epochs", "batch") else 0
            if field.type in (int, float) and not (math.isfinite(value) and value >= least):
                raise EdfkitError(f"The recipe has {field.name} = {value}; give a number of at least {least}.")
        if self.drop_path >= 1:
            raise EdfkitError(f"The recipe has drop_path = {self.drop_path}; give a probability below 1.")
        if self.schedule not in ("cosine", "constant"):
            raise EdfkitError(f"The recipe has schedule = {self.schedule!r}; give cosine or constant.")
        if self.precision not in PRECISIONS:
            raise EdfkitError(f"The recipe has precision = {self.precision!r}; give {', '.join(PRECISIONS)}.")

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        if self.schedule == "constant":
            return self.lr
        return self.lr / 2 * (1 + math.cos(math.pi * epoch / self.epochs))

    def drop_probability(self, epoch: int) -> float:
        """Probability of dropping a path in an epoch, counted from 0."""
        return self.drop_path * epoch / self.epochs

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, without the options that are off. A model's id depends on it."""
        return {name: value for name, value in asdict(self).items() if name not in _OPTIONS or value != _OPTIONS[name]}


def enhanced(recipe: dict[str, Any], image_size: int) -> dict[str, Any]:
    """Give the settings of the paper's point comparison for a data set.

    What is published of it is that there is an auxiliary classifier, Cutout, drop path and a longer schedule. The
    weight 0.4, half of the side for Cutout, the probability 0.2 and six times the epochs are those of DARTS.

    Parameters
    ----------
    recipe : dict
        The settings for the data set.
    image_size : int
        Side of its images, pixels.

    Returns
    -------
    dict
        The settings with the enhancements.
    """
    epochs = 6 * recipe.get("epochs", Recipe.epochs)
    return recipe | {"epochs": epochs, "auxiliary": 0.4, "cutout": image_size // 2, "drop_path": 0.2}
