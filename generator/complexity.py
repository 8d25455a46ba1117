"""Complexity of a network from its description, in closed form, for any number of configurations at once.

Conventions: a convolution has no bias, a batch norm has 2 parameters a channel, the classifier has a bias.

- params: trainable parameters.
- macs: multiply-adds of the convolutions and of the classifier, whose bias counts one each.
- flops: the count of the published files: macs + 5 x acts of the convolutions (batch norm and activation).
- acts: elements that the convolutions and the classifier output.

Every count is for one image. They equal those of all the published records of the standard spaces on CIFAR-10.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

STEM_WIDTH = 16
STRIDES = (1, 2, 2)


class Complexity(NamedTuple):
    """The four counts, int64 arrays of shape (models,)."""

    params: Counts
    macs: Counts
    flops: Counts
    acts: Counts


def measure(
    block: str, depth: Counts, width: Counts, *, image_size: int = 32, channels: int = 3, classes: int = 10
) -> Complexity:
    """Count params, macs, flops and acts of networks of the standard spaces.

    Parameters
    ----------
    block : {"double_plain_block", "res_basic_block"}
        Kind of block: two 3x3 convolutions, without or with a shortcut.
    depth, width : ndarray of int64, shape (models, 3)
        Blocks and channels of each stage, all at least 1.
    image_size, channels, classes : int
        Side of the square input in pixels, its channels, and the classes of the classifier.

    Returns
    -------
    Complexity
        Each an int64 array of shape (models,).

    Notes
    -----
    The side after a 3x3 convolution of stride 2 and padding 1 is half the side, rounded up.
    """
    params = np.zeros(len(depth), np.int64)
    macs = np.zeros_like(params)
    acts = np.zeros_like(params)

    def convolutions(number: Counts | int, kernel: int, inputs: Counts | int, outputs: Counts | int, side: int) -> None:
        weights = number * kernel**2 * inputs * outputs
        params[...] += weights + number * 2 * outputs
        macs[...] += weights * side**2
        acts[...] += number * outputs * side**2

    convolutions(1, 3, channels, STEM_WIDTH, image_size)
    side = image_size
    inputs: Counts | int = STEM_WIDTH
    for stage, stride in enumerate(STRIDES):
        side = -(-side // stride)
        blocks, outputs = depth[:, stage], width[:, stage]
        convolutions(1, 3, inputs, outputs, side)
        convolutions(2 * blocks - 1, 3, outputs, outputs, side)
        if block == "res_basic_block":
            projected = np.not_equal(inputs, outputs) | (stride != 1)
            convolutions(projected.astype(np.int64), 1, inputs, outputs, side)
        inputs = outputs

    flops = macs + 5 * acts
    classifier = inputs * classes + classes
    return Complexity(params + classifier, macs + classifier, flops + classifier, acts + classes)
