"""The training recipe: plain numbers, so that a run can be planned and described without loading torch."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from edfkit import EdfkitError

# Part of a model's id: raise it when a change to the training code alters the numbers that a configuration and a seed
# give.
REVISION = 1


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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name in ("epochs", "batch") else 0
            if field.type in (int, float) and not (math.isfinite(value) and value >= least):
                raise EdfkitError(f"The recipe has {field.name} = {value}; give a number of at least {least}.")
        if self.schedule not in ("cosine", "constant"):
            raise EdfkitError(f"The recipe has schedule = {self.schedule!r}; give cosine or constant.")

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        if self.schedule == "constant":
            return self.lr
        return self.lr / 2 * (1 + math.cos(math.pi * epoch / self.epochs))

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return asdict(self)
