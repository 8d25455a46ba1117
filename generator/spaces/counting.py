"""Complexity of a network from its description, in closed form, for any number of configurations at once.

Conventions: a convolution has no bias, a batch norm has 2 parameters a channel, the classifier has a bias.

- params: trainable parameters.
- macs: multiply-adds of the convolutions and of the classifier, whose bias counts one each.
- flops: the count of the published files: macs + 5 x acts of the convolutions (batch norm and activation).
- acts: elements that the convolutions and the classifier output.

Every count is for one image. They equal those of all the published records of the standard spaces that were tried.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.nets import STEM_WIDTH

Counts = NDArray[np.int64]
Count = Counts | int  # of each model, or the same for all

BLOCKS = ("double_plain_block", "res_basic_block", "res_bottleneck_block")
# By their stride: the layers, as kernel (0: a pool, which has no weights), stride and share of the stem's channels.
STEMS = {1: ((3, 1, 1),), 4: ((7, 2, 1), (0, 2, 1)), 8: ((3, 2, 2), (3, 2, 1), (3, 2, 1))}


class Complexity(NamedTuple):
    """The four counts, int64 arrays of shape (models,)."""

    params: Counts
    macs: Counts
    flops: Counts
    acts: Counts


def measure(
    block: str,
    depth: Counts,
    width: Counts,
    *,
    bot_mul: NDArray[np.float64] | None = None,
    groups: Counts | None = None,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
    stem_stride: int = 1,
    stem_width: int = STEM_WIDTH,
) -> Complexity:
    """Count params, macs, flops and acts of networks of the standard spaces.

    Parameters
    ----------
    block : {"double_plain_block", "res_basic_block", "res_bottleneck_block"}
        Kind of block: two 3x3 convolutions without or with a shortcut, or 1x1, grouped 3x3, 1x1 with a shortcut.
    depth, width : ndarray of int64, shape (models, stages)
        Blocks and channels of each stage, all at least 1. The first stage keeps the resolution, each other halves it.
    bot_mul, groups : ndarray, shape (models, stages), optional
        Of bottleneck blocks: their inner channels are width * bot_mul, rounded, in so many groups; 1 if absent.
    image_size, channels, classes : int
        Side of the square input in pixels, its channels, and the classes of the classifier.
    stem_stride : {1, 4, 8}
        1: a 3x3 convolution. 4: a 7x7 convolution of stride 2 and a 3x3 max pool of stride 2. 8: three 3x3 convolutions
        of stride 2, the first with half the channels. The last two are those of the networks for ImageNet.
    stem_width : int
        Channels of the stem.

    Returns
    -------
    Complexity
        Each an int64 array of shape (models,).

    Raises
    ------
    EdfkitError
        If the block or the stem is unknown.

    Notes
    -----
    A stride of 2 halves the side, rounded up, for each of these kernels with its padding of half the kernel.
    """
    if block not in BLOCKS:
        raise EdfkitError(f"The block {block!r} is unknown; it can be {', '.join(BLOCKS)}.")
    if stem_stride not in STEMS:
        raise EdfkitError(f"The stem stride {stem_stride} is unknown; it can be {', '.join(map(str, STEMS))}.")
    params = np.zeros(len(depth), np.int64)
    macs = np.zeros_like(params)
    acts = np.zeros_like(params)

    def convolutions(number: Count, kernel: int, inputs: Count, outputs: Count, side: int, groups: Count = 1) -> None:
        weights = np.asarray(number * kernel**2 * (inputs // groups) * outputs, np.int64)
        params[...] += weights + number * 2 * outputs
        macs[...] += weights * side**2
        acts[...] += number * outputs * side**2

    side = image_size
    inputs: Count = channels
    for kernel, stride, share in STEMS[stem_stride]:
        side = -(-side // stride)
        if kernel:
            convolutions(1, kernel, inputs, stem_width // share, side)
            inputs = stem_width // share

    for stage in range(depth.shape[1]):
        stride = 1 if stage == 0 else 2
        before, side = side, -(-side // stride)
        blocks, outputs = depth[:, stage], width[:, stage]
        if block == "res_bottleneck_block":
            inner = outputs if bot_mul is None else np.rint(outputs * bot_mul[:, stage]).astype(np.int64)
            convolutions(1, 1, inputs, inner, before)  # the stride is in the 3x3 convolution behind it
            convolutions(blocks - 1, 1, outputs, inner, side)
            convolutions(blocks, 3, inner, inner, side, 1 if groups is None else groups[:, stage])
            convolutions(blocks, 1, inner, outputs, side)
        else:
            convolutions(1, 3, inputs, outputs, side)
            convolutions(2 * blocks - 1, 3, outputs, outputs, side)
        if block != "double_plain_block":
            projected = np.not_equal(inputs, outputs) | (stride != 1)
            convolutions(projected.astype(np.int64), 1, inputs, outputs, side)
        inputs = outputs

    flops = macs + 5 * acts
    classifier = inputs * classes + classes
    return Complexity(params + classifier, macs + classifier, flops + classifier, acts + classes)
