"""Image data sets as one kind of object, by their names or where they lie: what to know of each, and how to load it."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.generator.training.arrays import measure_pixels, read_arrays, read_geometry
from edfkit.generator.training.images import Images

if TYPE_CHECKING:
    from edfkit.generator.training.pipeline import Source


@dataclass(frozen=True)
class Dataset:
    """What must be known of a data set before its images are loaded, and how to load them.

    Attributes
    ----------
    name : str
        What it is called, in a model's id too: other images have another name.
    image_size, channels, classes : int
        Side in pixels, channels, classes.
    images : (int, int)
        How many there are for training and for the test.
    recipe : dict
        Where the training recipe for it departs from that of CIFAR-10.
    load : callable
        Takes the folder of the images, or None, and returns the `Images`, or a source of those that are too many for
        memory. Images of one's own are read from where they were found.
    """

    name: str
    image_size: int
    channels: int
    classes: int
    images: tuple[int, int]
    recipe: dict[str, int | float | bool]
    load: Callable[[Path | None], "Images | Source"]

    @property
    def geometry(self) -> dict[str, int]:
        """What the complexity of a network depends on, as `kinds.Architecture.measure` takes it."""
        return {"image_size": self.image_size, "channels": self.channels, "classes": self.classes}


def _digits(folder: Path | None) -> Images:
    # Split in the order of the source, without a seed. It is harder than a random split: nearest neighbours miss 3.8 %
    # of the test images instead of 1.6 %.
    if folder is not None:
        raise EdfkitError(f"The folder {folder} was given for digits, which come with scikit-learn; leave it out.")
    table = _digits_table()
    images = table[:, :-1].reshape(-1, 8, 8, 1).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    train = images[:1000]
    mean, std = float(train.mean()), float(train.std())
    return Images(train, labels[:1000], images[1000:], labels[1000:], (mean,), (std,))


def _digits_table() -> NDArray[np.float64]:
    """Read the pixels and the label of each image."""
    # The file that scikit-learn reads itself: loading the package takes a hundred times as long, in every process.
    package = find_spec("sklearn")
    file = Path(package.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if package else None
    if file is not None and file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # which says if it is not installed, or has its data elsewhere

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def _cifar(classes: int, folder: Path | None) -> Images:
    import pooch
    from torchvision import datasets

    kind = datasets.CIFAR10 if classes == 10 else datasets.CIFAR100
    root = folder or Path(pooch.os_cache("edfkit")) / "images"
    try:
        # A folder that the user names is read as it is; only our own is filled by a download.
        train, test = (kind(str(root), train=part, download=folder is None) for part in (True, False))
    except (RuntimeError, OSError) as error:
        reason = error if isinstance(error, OSError) else "a file is missing or is not the official one"
        raise EdfkitError(
            f"CIFAR-{classes} could not be read from {root} ({reason}); give the folder that holds {kind.base_folder}, "
            "or leave it out to download."
        ) from error
    mean, std = _CIFAR[classes]
    return Images(
        train.data,
        np.array(train.targets, np.int64),
        test.data,
        np.array(test.targets, np.int64),
        tuple(255 * m for m in mean),
        tuple(255 * s for s in std),
    )


# Mean and standard deviation of the 50,000 official training images, as shares of the largest pixel, by the classes.
_CIFAR = {
    10: ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    100: ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
_DIGITS: dict[str, int | float | bool] = {"epochs": 8, "batch": 100, "flip": False, "shift": 1, "precise_bn": 1000}
DATASETS = {
    "digits": Dataset("digits", 8, 1, 10, (1_000, 797), _DIGITS, _digits),
    "cifar10": Dataset("cifar10", 32, 3, 10, (50_000, 10_000), {}, partial(_cifar, 10)),
    "cifar100": Dataset("cifar100", 32, 3, 100, (50_000, 10_000), {}, partial(_cifar, 100)),
}


# ImageNet is here for counting by its name; its images lie in a folder of one's own, which is found by where it is.
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


def find(name: str, where: Path | None = None) -> Dataset:
    """Look a data set up by its name.

    Parameters
    ----------
    name : str
        One of `DATASETS`, or what `own` calls images of one's own.
    where : Path, optional
        Where one's own are; of no account for the others.

    Raises
    ------
    EdfkitError
        If there is no such data set, in which case the message lists those there are; if the images at `where` are
        others than those of that name, or are refused by `own`.
    """
    if name in DATASETS:
        return DATASETS[name]
    if where is None:
        raise EdfkitError(
            f"There is no data set {name!r}; choose one of {', '.join(DATASETS)}, or say where your own images are."
        )
    size = name.split("-")[-2:-1]
    pixels = int(size[0]) if where.is_dir() and size and size[0].isdecimal() else None
    found = own(where, pixels)
    if found.name != name:
        raise EdfkitError(
            f"The images at {where} are not those that the run began with: they are {found.name}, expected {name}; "
            "say where those are, or start a new run."
        )
    return found


def own(path: Path, image_size: int | None = None) -> Dataset:
    """Look at images of one's own: an npz file, or a folder with a folder of images per class.

    A file is described in `arrays.read_geometry`, a folder in `folder.read_folder`. Both are trained on by the recipe
    of CIFAR-10 except that images of a file are shifted by up to an eighth of their side, which is 4 pixels of 32, and
    those of a folder have the crops, the learning rate, the weight decay and the epochs of ImageNet.

    Parameters
    ----------
    path : Path
        The file or folder.
    image_size : int, optional
        Side in pixels that the images of a folder are cropped to; 224 if absent.

    Returns
    -------
    Dataset
        Its name is that of the file without its suffix and 8 hexadecimal digits of a hash of its bytes, as in
        faces-1a2b3c4d; or that of the folder, the side and a hash of the paths and sizes of the images, as in
        photos-224-1a2b3c4d.

    Raises
    ------
    EdfkitError
        If there is nothing there, it is not as described, or a size is given that a file does not have.
    """
    path = Path(os.path.abspath(path))  # so that "." has a name
    if not path.exists():
        raise EdfkitError(f"There is no file or folder {path}; give where your images are.")
    if path.is_dir():
        from edfkit.generator.training.folder import read_folder

        folder = read_folder(path, 224 if image_size is None else image_size)
        size, classes, images = folder.image_size, len(folder.classes), (len(folder.train), len(folder.test))
        return Dataset(folder.name, size, 3, classes, images, _IMAGENET, lambda _: folder)
    side, channels, classes, images = read_geometry(path)
    if image_size not in (None, side):
        raise EdfkitError(
            f"The images of {path} have {side} pixels and {image_size} were asked for, which is possible for a folder "
            "only; leave it out."
        )
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    name = f"{path.stem}-{digest}"
    return Dataset(name, side, channels, classes, images, {"shift": side // 8}, lambda _: _read_own(path))


# Shifts are for images that are not cropped at random.
_IMAGENET: dict[str, int | float | bool] = {"epochs": 50, "lr": 0.05, "weight_decay": 5e-5, "shift": 0}


def _read_own(path: Path) -> Images:
    x_train, y_train, x_test, y_test = read_arrays(path)
    return Images(x_train, y_train, x_test, y_test, *measure_pixels(x_train))
