"""Images in memory, with the labels of their classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
