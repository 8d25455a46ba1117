"""Image data sets as one kind of object: uint8 images for training and test, and the statistics to normalise them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError


@dataclass(frozen=True)
class Images:
    """An image classification data set.

    Attributes
    ----------
    x_train, x_test : ndarray of uint8, shape (images, side, side, channels)
    y_train, y_test : ndarray of int64, shape (images,)
        Class indices.
    mean, std : tuple of float, length channels
        Statistics of the training images, on the scale of the pixels, to normalise with.
    """

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Dataset:
    """What must be known of a data set before its images are loaded, and how to load them.

    Attributes
    ----------
    image_size, channels, classes : int
        Side in pixels, channels, classes.
    recipe : dict
        Where the training recipe for it departs from that of CIFAR-10.
    load : callable
        Takes the folder of the images, or None, and returns the `Images`.
    """

    image_size: int
    channels: int
    classes: int
    recipe: dict[str, int | float | bool]
    load: Callable[[Path | None], Images]

    @property
    def geometry(self) -> dict[str, int]:
        """What the complexity of a network depends on, as `kinds.Architecture.measure` takes it."""
        return {"image_size": self.image_size, "channels": self.channels, "classes": self.classes}


def _digits(folder: Path | None) -> Images:
    # Split in the order of the source, without a seed. It is harder than a random split: nearest neighbours miss 3.8 %
    # of the test images instead of 1.6 %.
    from sklearn.datasets import load_digits

    if folder is not None:
        raise EdfkitError(f"The folder {folder} was given for digits, which come with scikit-learn; leave it out.")
    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    train = images[:1000]
    mean, std = float(train.mean()), float(train.std())
    return Images(train, labels[:1000], images[1000:], labels[1000:], (mean,), (std,))


def _cifar10(folder: Path | None) -> Images:
    import pooch
    from torchvision.datasets import CIFAR10

    root = folder or Path(pooch.os_cache("edfkit")) / "images"
    try:
        # A folder that the user names is read as it is; only our own is filled by a download.
        train, test = (CIFAR10(str(root), train=part, download=folder is None) for part in (True, False))
    except (RuntimeError, OSError) as error:
        reason = error if isinstance(error, OSError) else "a file is missing or is not the official one"
        raise EdfkitError(
            f"CIFAR-10 could not be read from {root} ({reason}); give the folder that holds cifar-10-batches-py, "
            "or leave it out to download."
        ) from error
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    return Images(
        train.data,
        np.array(train.targets, np.int64),
        test.data,
        np.array(test.targets, np.int64),
        tuple(255 * m for m in mean),
        tuple(255 * s for s in std),
    )


DATASETS = {
    "digits": Dataset(8, 1, 10, {"epochs": 8, "batch": 100, "flip": False, "shift": 1, "precise_bn": 1000}, _digits),
    "cifar10": Dataset(32, 3, 10, {}, _cifar10),
}


# ImageNet is here for counting: its images are too many for training as it is done here.
GEOMETRIES = {name: dataset.geometry for name, dataset in DATASETS.items()}
GEOMETRIES["imagenet"] = {"image_size": 224, "channels": 3, "classes": 1000}


# The complexity bounds of the paper; a model is below one of them.
BOUNDS = {
    "cifar10": {"params": 855_770, "flops": 128_471_690},  # those of ResNet-56
    "imagenet": {"params": 6_000_000, "flops": 600_000_000},
}


def geometry(name: str) -> dict[str, int]:
    """Look up what the complexity of a network depends on, by the name of a data set, such as CIFAR-10 or cifar10.

    Returns
    -------
    dict of str to int
        `image_size` (pixels), `channels`, `classes`.

    Raises
    ------
    EdfkitError
        If the data set is unknown; the message lists those that are known.
    """
    found = GEOMETRIES.get(name.lower().replace("-", ""))
    if found is None:
        raise EdfkitError(f"The size of the images of {name!r} is not known; choose one of {', '.join(GEOMETRIES)}.")
    return found


def find(name: str) -> Dataset:
    """Look a data set up by its name.

    Raises
    ------
    EdfkitError
        If there is no such data set; the message lists those there are.
    """
    if name not in DATASETS:
        raise EdfkitError(f"There is no data set {name!r}; choose one of {', '.join(DATASETS)}.")
    return DATASETS[name]
