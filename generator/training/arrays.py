"""Images of one's own in an npz file: four arrays, of which nothing is believed before it is checked."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edfkit import EdfkitError

_EXPECTED = "an npz file with uint8 images x_train and x_test and whole labels y_train and y_test"


def read_geometry(path: Path) -> tuple[int, int, int, tuple[int, int]]:
    """Read what the images of an npz file are like, from its labels and headers, without the images.

    Parameters
    ----------
    path : Path
        A file as `numpy.savez` writes it, with x_train and x_test, uint8 of shape (images, side, side) or (images,
        side, side, channels), and y_train and y_test, whole numbers from 0, of shape (images,).

    Returns
    -------
    side, channels, classes : int
        Pixels, channels, and one more than the largest label.
    images : (int, int)
        How many there are for training and for the test.

    Raises
    ------
    EdfkitError
        If there is no such file, it is damaged or no npz file, or an array is missing or not as said above; if a set is
        empty, the labels skip a class in training, or those of the test do not occur in training.
    """
    with _reading(path) as archive:
        shape = _check_headers(archive)
        labels = [_array(archive, name) for name in ("y_train", "y_test")]
        return shape[1], shape[3], _count_classes(*labels), (len(labels[0]), len(labels[1]))


def read_arrays(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Read the images and labels of an npz file, whose form and faults are those of `read_geometry`.

    Returns
    -------
    x_train, y_train, x_test, y_test : ndarray
        Images of shape (images, side, side, channels), uint8, and labels of shape (images,), int64.
    """
    with _reading(path) as archive:
        _check_headers(archive)
        y_train, y_test = (_array(archive, name) for name in ("y_train", "y_test"))
        _count_classes(y_train, y_test)
        x_train, x_test = (_array(archive, name) for name in ("x_train", "x_test"))
    return _with_channels(x_train), y_train.astype(np.int64), _with_channels(x_test), y_test.astype(np.int64)


def measure_pixels(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute the mean and the standard deviation of each channel, exactly and without a wider copy of the images.

    Parameters
    ----------
    images : ndarray of uint8, shape (images, side, side, channels)

    Returns
    -------
    mean, std : tuple of float, length channels
        On the scale of the pixels.

    Raises
    ------
    EdfkitError
        If all pixels of a channel are the same.
    """
    channels = images.shape[3]
    counts = np.zeros((channels, 256), np.int64)
    at_once = max(1, 2**20 // images[0].size)
    for start in range(0, len(images), at_once):
        for channel in range(channels):
            pixels = images[start : start + at_once, :, :, channel].ravel()
            counts[channel] += np.bincount(pixels, minlength=256)
    shares, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256)
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))
    if not std.all():
        constant = int(np.argmin(std))
        raise EdfkitError(
            f"All pixels of channel {constant} of the training images are {mean[constant]:g}, so it tells nothing and "
            "cannot be normalised; leave it out."
        )
    return tuple(mean.tolist()), tuple(std.tolist())


@contextmanager
def _reading(path: Path) -> Iterator[ZipFile]:
    try:
        with ZipFile(path) as archive:
            yield archive
    except EdfkitError as error:
        raise EdfkitError(f"{path}: {error}") from error.__cause__
    except FileNotFoundError:
        raise EdfkitError(f"There is no file {path}; give {_EXPECTED}.") from None
    except Exception as error:  # zip files, compressions and headers raise many kinds where a file is damaged
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EdfkitError(f"{path} is no npz file, or is cut short or damaged ({reason}); give {_EXPECTED}.") from error


def _check_headers(archive: ZipFile) -> tuple[int, int, int, int]:
    """Return the shape of the training images, with channels."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("x_train", "y_train", "x_test", "y_test"):
        if f"{name}.npy" not in archive.namelist():
            there = ", ".join(member.removesuffix(".npy") for member in archive.namelist()[:8]) or "nothing"
            raise EdfkitError(f"the array {name} is missing; the file has {there}; expected {_EXPECTED}.")
        shape, dtype = _header(archive, name)
        size = archive.getinfo(f"{name}.npy").file_size
        images = name.startswith("x")
        if dtype != np.uint8 if images else dtype.kind not in "iu":
            expected = "uint8, from 0 to 255" if images else "whole numbers from 0, one per image"
            raise EdfkitError(f"the array {name} is of type {dtype}, expected {expected}; convert it.")
        if len(shape) not in ((3, 4) if images else (1,)):
            expected = "(images, side, side) or (images, side, side, channels)" if images else "(images,)"
            raise EdfkitError(f"the array {name} has the shape {shape}, expected {expected}; reshape it.")
        if 0 in shape:
            raise EdfkitError(f"the array {name} is empty, of the shape {shape}; give at least one image of each set.")
        if min(shape) < 0 or math.prod(shape) * dtype.itemsize > size:  # lest memory be taken for what is not there
            raise EdfkitError(
                f"the array {name} of the shape {shape} does not fit into {size:,} bytes; write it again."
            )
        if images and shape[1] != shape[2]:
            raise EdfkitError(
                f"the images of {name} have {shape[1]} x {shape[2]} pixels, expected square ones in the order "
                "(images, side, side, channels); crop, pad or transpose them."
            )
        shapes[name] = (*shape, 1)[:4] if images else shape
    for part in ("train", "test"):
        images_there, labels_there = shapes[f"x_{part}"][0], shapes[f"y_{part}"][0]
        if images_there != labels_there:
            raise EdfkitError(
                f"x_{part} has {images_there:,} images and y_{part} {labels_there:,} labels; give as many of both."
            )
    train, test = shapes["x_train"], shapes["x_test"]
    if train[1:] != test[1:]:
        sizes = (f"{side} x {side} pixels of {channels} channels" for _, side, _, channels in (train, test))
        raise EdfkitError("the images of x_train have {} and those of x_test {}; make them alike.".format(*sizes))
    return train[0], train[1], train[2], train[3]


def _header(archive: ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(f"{name}.npy") as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):  # later ones are for the names of fields
            raise EdfkitError(f"the array {name} has the header of a table; give a plain array.")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    return shape, dtype


def _array(archive: ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        if file.read(1):  # which also has the checksum compared: that is done at the end of the file
            raise EdfkitError(f"there are more bytes after the array {name}; write it again.")
    return array


def _with_channels(images: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images if images.ndim == 4 else images[..., None])


def _count_classes(train: NDArray[Any], test: NDArray[Any]) -> int:
    known = np.unique(train)
    for name, labels in (("y_train", known), ("y_test", np.unique(test))):
        if labels[0] < 0:
            raise EdfkitError(f"{name} has the label {labels[0]}; give whole numbers from 0, one per class.")
    # Compared in a way in which the largest numbers of 64 bits do not overflow.
    gaps = np.flatnonzero(known != np.arange(len(known)))
    if len(gaps):
        raise EdfkitError(
            f"y_train has no label {gaps[0]}, but goes up to {known[-1]}; number the classes from 0 without gaps."
        )
    if len(known) < 2:
        raise EdfkitError("all labels of y_train are 0; give images of at least two classes.")
    if test.max() >= len(known):
        raise EdfkitError(
            f"y_test has the label {test.max()}, which y_train, with labels from 0 to {len(known) - 1}, lacks; "
            "give training images of each class."
        )
    return len(known)
