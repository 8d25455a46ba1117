"""Complexity of networks of NAS cells from their description, in closed form, for any number of networks at once.

A network is a stem, `depth` cells and a classifier. Every cell is one of two, normal or reduce; cells depth // 3 and
2 * depth // 3 (one and the same where depth is 1) are reduction cells: they halve the side and double the channels.
A cell maps the outputs s1 and s0 of the two cells before it to its number of channels (ReLU, 1x1 convolution, batch
norm; s0 by a factorized reduce where the cell before reduced), adds two ops at each node, and concatenates some nodes.

Conventions: a convolution has no bias, a batch norm has 2 parameters a channel, the classifier has a bias. What is
built is counted, even if nothing uses it: both maps of the inputs, and every node; see `prune` for leaving out nodes.

- params: trainable parameters.
- macs: multiply-adds of the convolutions and of the classifier, whose bias counts one each.
- flops: the count of the published files: macs + elements that enter a ReLU + k * k x elements that a k x k pooling
  outputs + elements that enter the global pooling. A dilated depthwise convolution counts as if it were not dilated,
  but padded as much: its output would be larger.
- acts: elements that the convolutions and the classifier output.

Every count is for one image; params and flops equal those of the published records of NAS spaces. A stride of 2
halves the side, rounded up, in every op. That takes a factorized reduce which pads odd maps by one row and column
of zeros, right and below, before its second convolution looks at the map shifted by one pixel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.nets import genotypes, pruned, read_cells
from edfkit.archive.schema import OPS
from edfkit.generator.spaces.counting import Complexity, Counts

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Cells:
    """Networks of cells with the same number of nodes. Axis 1 of the first three is the kind of cell: normal, reduce.

    Attributes
    ----------
    op : ndarray of integers, shape (models, 2, nodes, 2)
        The two ops of each node, as places in `OPS`.
    input : ndarray of integers, shape (models, 2, nodes, 2)
        What each op acts on: 0 and 1 are s0 and s1, the outputs of the cell before the last and of the last, 2 + i is
        node i, an earlier one.
    concat : ndarray of bool, shape (models, 2, nodes)
        Which nodes are concatenated to the output.
    width : ndarray of integers, shape (models,)
        Channels of a node of the first cell, if that does not reduce.
    depth : ndarray of integers, shape (models,)
        Number of cells, at least 1.
    """

    op: Integers
    input: Integers
    concat: NDArray[np.bool_]
    width: Integers
    depth: Integers

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.depth)


def from_genotypes(nets: Sequence[Mapping[str, Any]]) -> Cells:
    """Read networks as the published files describe them.

    Parameters
    ----------
    nets : sequence of mappings
        Each with width, depth and genotype: normal and reduce, lists of [op, input], two for each node, and
        normal_concat and reduce_concat, lists of inputs that are nodes. drop_prob is ignored.

    Returns
    -------
    Cells

    Raises
    ------
    EdfkitError
        If there is no network, or one is not so described, has an auxiliary head, has an unknown op, takes an input
        that does not come earlier, concatenates nothing, what is no node or a node twice, or has another number of
        nodes than the first.
    """
    return Cells(**read_cells(nets))


def to_genotypes(cells: Cells) -> list[dict[str, Any]]:
    """Describe networks as the published files do: what `from_genotypes` reads.

    Parameters
    ----------
    cells : Cells
        The networks.

    Returns
    -------
    list of dict
        One per network, with width, depth and genotype.
    """
    return genotypes(vars(cells))


def prune(cells: Cells) -> Cells:
    """Replace the ops of nodes that feed nothing by `none`, which neither costs nor counts anything.

    Parameters
    ----------
    cells : Cells
        The networks.

    Returns
    -------
    Cells
        They compute the same.
    """
    return Cells(**pruned(vars(cells)))


def measure_cells(
    cells: Cells, *, image_size: int = 32, channels: int = 3, classes: int = 10, imagenet_stem: bool = False
) -> Complexity:
    """Count params, macs, flops and acts of networks of NAS cells.

    Parameters
    ----------
    cells : Cells
        The networks.
    image_size, channels, classes : int
        Side of the square input in pixels, its channels, and the classes of the classifier.
    imagenet_stem : bool
        Whether the stem is three 3x3 convolutions of stride 2 to width / 2, width and width channels, with a ReLU
        before the second and the third: then s0 is what the second outputs, s1 what the third outputs, and the first
        cell follows a reduction. Else it is one 3x3 convolution to 3 * width channels, both s0 and s1.

    Returns
    -------
    Complexity
        Each an int64 array of shape (models,).

    Raises
    ------
    EdfkitError
        If a network with the ImageNet stem has an odd width.
    """
    depth, c = cells.depth.astype(np.int64), cells.width.astype(np.int64)  # an archive may hold narrower ones
    stem, (c0, side0), (c1, side1) = _stem(c, image_size, channels, imagenet_stem)
    total = stem
    # How many ops of a kind each cell has; in reduction cells, those on s0 and s1 have the stride 2.
    strided = (cells.input < 2) & np.array([False, True])[:, None, None]
    number = {
        (op, stride): ((cells.op == code) & (strided == (stride == 2))).sum((2, 3))
        for code, op in enumerate(OPS)
        for stride in (1, 2)
    }
    outputs = cells.concat.sum(2)

    for cell in range(depth.max(initial=0)):
        within = cell < depth
        reduces = (cell == depth // 3) | (cell == 2 * depth // 3)
        c = np.where(reduces, 2 * c, c)
        side = np.where(reduces, _half(side1), side1)
        # Where the cell before reduced, s0 still has twice the side of s1, and the factorized reduce takes it there.
        added = _convolve(1, c0, c, side0, side1) + _convolve(1, c1, c, side1, side1)
        for (op, stride), times in number.items():
            if (now := np.where(reduces, times[:, 1], times[:, 0])).any():
                added += now * _operate(op, stride, c, side if stride == 1 else side1)
        total += within * added
        c0, side0, side1 = c1, side1, side
        # Past its last cell a network keeps what that put out: its side stays too, as no cell reduces there.
        c1 = np.where(within, c * np.where(reduces, outputs[:, 1], outputs[:, 0]), c1)

    classifier = c1 * classes + classes
    return Complexity(*(total + _count(classifier, classifier, classifier + c1 * side1**2, classes)))


def _stem(
    width: Counts, image_size: int, channels: int, imagenet: bool
) -> tuple[Counts, tuple[Counts, Counts], tuple[Counts, Counts]]:
    """Count the stem; give the channels and the side of s0 and of s1."""
    side = np.full_like(width, image_size)
    if not imagenet:
        stem = _convolve(3, channels, 3 * width, side, side, relu=False)
        return stem, (3 * width, side), (3 * width, side)
    odd = np.flatnonzero(width % 2)
    if odd.size:
        raise EdfkitError(
            f"Network {odd[0]} has the width {width[odd[0]]}, and the ImageNet stem starts with half of it; "
            "give an even width."
        )
    sides = [side]
    for _ in range(3):
        sides.append(_half(sides[-1]))
    stem = _convolve(3, channels, width // 2, sides[0], sides[1], relu=False)
    stem += _convolve(3, width // 2, width, sides[1], sides[2]) + _convolve(3, width, width, sides[2], sides[3])
    return stem, (width, sides[2]), (width, sides[3])


def _operate(op: str, stride: int, c: Counts, side: Counts) -> Counts:
    """Count an op on c channels of a square map."""
    out = _half(side) if stride == 2 else side
    if op == "none" or (op == "skip_connect" and stride == 1):
        return _count(flops=0 * c)
    if op == "skip_connect":
        return _convolve(1, c, c, side, out)
    kernel = int(op[-1])
    if "pool" in op:
        return _count(flops=kernel**2 * c * out**2)
    if op in ("conv_1x1", "conv_3x3"):
        return _convolve(kernel, c, c, side, out)
    if op.startswith("conv"):
        # The 1 x k convolution comes first, with the stride along the rows; one batch norm follows both.
        weights, areas = kernel * c * c, side * out + out * out
        return _count(2 * weights + 2 * c, weights * areas, weights * areas + c * side**2, c * areas)
    unit = _separable(kernel, c, side, stride, op.startswith("dil"))
    return unit if op.startswith("dil_conv") else unit + _separable(kernel, c, out, 1, op.startswith("dil"))


def _separable(kernel: int, c: Counts, side: Counts, stride: int, dilated: bool) -> Counts:
    """Count a ReLU, a depthwise convolution, a 1x1 convolution and a batch norm."""
    out = _half(side) if stride == 2 else side
    # Dilated by 2, a kernel is padded by k - 1; without the dilation this padding makes the map larger.
    counted = (side + 2 * (kernel - 1) - kernel) // stride + 1 if dilated else out
    depthwise, pointwise = kernel**2 * c, c * c
    return _count(
        depthwise + pointwise + 2 * c,
        (depthwise + pointwise) * out**2,
        depthwise * counted**2 + pointwise * out**2 + c * side**2,
        2 * c * out**2,
    )


def _convolve(
    kernel: int, inputs: Counts | int, outputs: Counts, side: Counts, out: Counts, *, relu: bool = True
) -> Counts:
    """Count a ReLU (if any), a convolution and a batch norm.

    A factorized reduce counts as one 1x1 convolution of stride 2: its two have half of the output channels each, always
    an even number, as it follows a doubling of the channels or the ImageNet stem of even width.
    """
    weights = kernel**2 * inputs * outputs
    macs = weights * out**2
    return _count(weights + 2 * outputs, macs, macs + relu * inputs * side**2, outputs * out**2)


def _count(params: Counts | int = 0, macs: Counts | int = 0, flops: Counts | int = 0, acts: Counts | int = 0) -> Counts:
    """Stack the four counts, one row each."""
    return np.stack(np.broadcast_arrays(params, macs, flops, acts))


def _half(side: Counts) -> Counts:
    """Halve the side, rounded up: what a convolution or a pooling of stride 2 leaves."""
    return (side + 1) // 2
