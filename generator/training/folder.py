"""An image folder: what lies in it, and batches of its images, read and cropped as they are needed."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset
from torchvision.transforms import v2

from edfkit import EdfkitError
from edfkit.generator.training.pipeline import Batch, inside_squares
from edfkit.generator.training.recipe import Recipe

Samples = list[tuple[str, int]]
_Request = tuple[Samples, list[int] | None]  # the images of a batch, and for training a seed for each
# Mean and standard deviation of ImageNet, on the scale of the pixels.
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Folder:
    """Images in files, a folder per class, read while they are trained on.

    Attributes
    ----------
    name : str
        That of the folder, the side, and a hash of the paths and sizes of the files.
    image_size : int
        Side in pixels that the images are cropped to.
    classes : tuple of str
        In the order of their labels.
    train, test : list of (str, int)
        Path and label of each image.
    loaders : int
        Processes that read ahead; 0: this one reads, when a batch is wanted. The batches are the same.
    """

    name: str
    image_size: int
    classes: tuple[str, ...]
    train: Samples
    test: Samples
    loaders: int = 0

    def pipeline(self, recipe: Recipe, device: torch.device, rng: torch.Generator) -> "Cropped":
        """Make a pipeline to train by the recipe on the device; `rng` is on the device too."""
        return Cropped(self, recipe, device, rng)


def read_folder(path: Path, image_size: int = 224) -> Folder:
    """List the images of a folder as torchvision's ImageFolder does; none is opened.

    Parameters
    ----------
    path : Path
        Holds train/CLASS/ and val/CLASS/, or test/CLASS/ if there is no val/, with images below each class, in any
        format that ImageFolder knows, told by their suffixes.
    image_size : int
        Side in pixels that the images are to be cropped to.

    Returns
    -------
    Folder

    Raises
    ------
    EdfkitError
        If a folder or a class is missing or empty, val/ has a class that train/ lacks, or an image has no bytes.
    """
    if image_size < 1:
        raise EdfkitError(f"The side of the images is {image_size} pixels; give at least 1.")
    expected = "expected train/CLASS/ and val/CLASS/ (or test/CLASS/) with images in each"
    try:
        parts = [path / "train", next((part for part in (path / "val", path / "test") if part.is_dir()), path / "val")]
        for part in parts:
            if not part.is_dir():
                or_test = " or test/" * (part.name == "val")
                raise EdfkitError(f"The folder {path} has no folder {part.name}/{or_test}; {expected}.")
        train, test = (sorted(entry.name for entry in part.iterdir() if entry.is_dir()) for part in parts)
        if len(train) < 2:
            raise EdfkitError(f"{parts[0]} has {len(train)} folders of classes, expected two or more; {expected}.")
        if unknown := sorted(set(test) - set(train)):
            raise EdfkitError(
                f"{parts[1]} has the class {unknown[0]!r}, which {parts[0]} lacks; give training images of it, or "
                "remove it."
            )
        # Of the training classes for both: ImageFolder numbers those that are there, and fewer may be in the test.
        labels = {name: label for label, name in enumerate(train)}
        samples = [make_dataset(part, labels, IMG_EXTENSIONS, allow_empty=True) for part in parts]
        present = {label for _, label in samples[0]}
        if empty := [name for name, label in labels.items() if label not in present]:
            raise EdfkitError(
                f"The class {empty[0]!r} in {parts[0]} has no image ({', '.join(IMG_EXTENSIONS)}); add some, or remove "
                "its folder."
            )
        if not samples[1]:
            raise EdfkitError(f"There is no image ({', '.join(IMG_EXTENSIONS)}) in {parts[1]}; {expected}.")
        digest = hashlib.sha256()
        for file, _ in sorted(samples[0] + samples[1]):
            size = os.stat(file).st_size
            if not size:
                raise EdfkitError(f"The image {file} is empty; restore it, or remove it.")
            digest.update(os.fsencode(f"{Path(file).relative_to(path).as_posix()}\0{size}\n"))
    except OSError as error:
        raise EdfkitError(f"The folder {path} cannot be read ({error}); {expected}.") from error
    name = f"{path.absolute().name}-{image_size}-{digest.hexdigest()[:8]}"
    return Folder(name, image_size, tuple(train), *samples)


class Cropped:
    """Batches of the images of a folder, cropped as for ImageNet; see `pipeline.Pipeline`.

    In training: a crop of 8 to 100 % of the image's area, resized, and flipped with probability one half. In the test:
    the shorter side resized to 256/224 of the wanted one, and the centre.
    """

    def __init__(self, folder: Folder, recipe: Recipe, device: torch.device, rng: torch.Generator) -> None:
        if recipe.shift:
            raise EdfkitError(
                f"The recipe shifts images by up to {recipe.shift} pixels, and those of a folder are cropped at random "
                "instead; give shift 0."
            )
        self.train_images, self.test_images = len(folder.train), len(folder.test)
        self.mean, self.std = torch.tensor(_MEAN, device=device), torch.tensor(_STD, device=device)
        self.side = torch.arange(folder.image_size, device=device)
        self.folder, self.recipe, self.device, self.rng = folder, recipe, device, rng
        self._wanted: list[_Request] = []
        self._loader = DataLoader(
            _Reader(folder.image_size, recipe.flip),
            batch_size=None,  # what is asked for is a batch already
            sampler=self._wanted,
            num_workers=folder.loaders,
            persistent_workers=folder.loaders > 0,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # lest it draw from torch's own
        )

    def _read(self, wanted: list[_Request]) -> Iterator[Batch]:
        """Yield bytes of shape (batch, side, side, channels), and labels, on the device."""
        self._wanted[:] = wanted
        for found in self._loader:
            if isinstance(found, str):  # an exception from another process would bring its traceback along
                raise EdfkitError(found)
            images, labels = (part.to(self.device, non_blocking=True) for part in found)
            yield images, labels

    def _shuffled(self, images: int) -> Iterator[Batch]:
        """Shuffle the training images and read the whole batches of the first so many."""
        batch = self.recipe.batch
        images = min(images, self.train_images) // batch * batch
        order = torch.randperm(self.train_images, generator=self.rng, device=self.device)[:images].tolist()
        # A seed for each image, so that it does not matter which process crops it, and when.
        seeds = torch.randint(2**63 - 1, (images,), generator=self.rng, device=self.device).tolist()
        starts = range(0, images, batch)
        samples = self.folder.train
        return self._read([([samples[i] for i in order[s : s + batch]], seeds[s : s + batch]) for s in starts])

    def epoch(self) -> Iterator[tuple[Tensor, ...]]:
        """Yield the images of each batch, cropped, as bytes, and their labels."""
        return self._shuffled(self.train_images)

    def augmented(self, *parts: Tensor) -> Batch:
        """Normalise a batch, in channels_last layout as its channels are last, and blank what Cutout does."""
        images, labels = parts
        x = (images.float() - self.mean) / self.std
        if self.recipe.cutout:
            rows, columns = (
                inside_squares(self.side, side=len(self.side), cutout=self.recipe.cutout, images=len(x), rng=self.rng)
                for _ in range(2)
            )
            x = x.masked_fill((rows[:, :, None] & columns[:, None, :])[..., None], 0.0)
        return x.permute(0, 3, 1, 2), labels

    def statistics(self) -> Iterator[Batch]:
        """Yield batches of `recipe.precise_bn` random images, augmented."""
        return (self.augmented(*parts) for parts in self._shuffled(self.recipe.precise_bn))

    def test(self) -> Iterator[Batch]:
        """Yield the test images, in batches as large as those of the training."""
        batch, samples = self.recipe.batch, self.folder.test
        for images, labels in self._read([(samples[s : s + batch], None) for s in range(0, len(samples), batch)]):
            yield ((images.float() - self.mean) / self.std).permute(0, 3, 1, 2), labels


class _Reader(Dataset[Any]):
    """Reads and crops the images of a batch, in whichever process."""

    def __init__(self, side: int, flip: bool) -> None:
        self.train = v2.Compose([v2.RandomResizedCrop(side), v2.RandomHorizontalFlip(0.5 if flip else 0.0)])
        self.test = v2.Compose([v2.Resize(round(side * 256 / 224)), v2.CenterCrop(side)])

    def __getitem__(self, wanted: _Request) -> tuple[Tensor, Tensor] | str:
        samples, seeds = wanted
        images = []
        with torch.random.fork_rng(devices=[]):
            for i, (path, _) in enumerate(samples):
                try:
                    with Image.open(path) as file:
                        image = file.convert("RGB")
                except Exception as error:  # decoders raise what they like where a file is damaged
                    reason = str(error) or type(error).__name__
                    return f"The image {path} cannot be read ({reason}); restore it, or remove it."
                if seeds is None:
                    image = self.test(image)
                else:
                    torch.default_generator.manual_seed(seeds[i])  # where the transforms draw from
                    image = self.train(image)
                images.append(np.asarray(image))
        return torch.from_numpy(np.stack(images)), torch.tensor([label for _, label in samples])
