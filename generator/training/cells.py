"""The networks of cells that `edfkit.generator.spaces.cells` describes and counts, with just what it counts.

So a convolution with a dilation is dilated; those of the published networks were too, but their `flops` count them
otherwise. An op starts with a ReLU, and a cell computes that once for all ops on a map.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from edfkit import EdfkitError
from edfkit.archive.schema import OPS
from edfkit.generator.spaces.cells import Integers
from edfkit.generator.training.layers import (
    AuxiliaryHead,
    DeepSupervision,
    DropPath,
    batch_norm,
    convolution,
    normed_convolution,
)

State = tuple[Tensor, Tensor]  # s0 and s1: what the cell before the last put out, and the last
# The layers of an op on so many channels with such a stride. No layers: the identity. A leading ReLU is not in place.
_Op = Callable[[int, int], list[nn.Module]]


class FactorizedReduce(nn.Module):
    """Halve the side, rounding up, by two 1x1 convolutions of stride 2: one sees the even pixels, one the odd.

    Parameters
    ----------
    inputs, outputs : int
        Channels; those of the output an even number.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even, self.odd = (convolution(inputs, outputs // 2, 1, 2) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, side, side) to (batch, outputs, side / 2, side / 2)."""
        rows, columns = x.shape[2:]
        if rows % 2 or columns % 2:
            x = functional.pad(x, (0, columns % 2, 0, rows % 2))
        return torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1)


def _reduce(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ReLU(), FactorizedReduce(inputs, outputs), batch_norm(outputs)]


def _mapped(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ReLU(), *normed_convolution(inputs, outputs, 1)]


def _skip(channels: int, stride: int) -> list[nn.Module]:
    return _reduce(channels, channels) if stride == 2 else []


def _average(channels: int, stride: int) -> list[nn.Module]:
    return [nn.AvgPool2d(3, stride, 1, count_include_pad=False)]


def _maximum(kernel: int) -> _Op:
    return lambda channels, stride: [nn.MaxPool2d(kernel, stride, kernel // 2)]


def _full(kernel: int) -> _Op:
    return lambda channels, stride: [nn.ReLU(), *normed_convolution(channels, channels, kernel, stride)]


def _crossed(kernel: int) -> _Op:
    def layers(channels: int, stride: int) -> list[nn.Module]:
        row = convolution(channels, channels, (1, kernel), (1, stride))
        column = convolution(channels, channels, (kernel, 1), (stride, 1))
        return [nn.ReLU(), row, column, batch_norm(channels)]

    return layers


def _separable(kernel: int, *, units: int, dilation: int = 1) -> _Op:
    def layers(channels: int, stride: int) -> list[nn.Module]:
        made: list[nn.Module] = []
        for unit in range(units):
            depthwise = convolution(channels, channels, kernel, 1 if unit else stride, channels, dilation)
            # Only the first unit is on a map that others may see.
            made += [nn.ReLU(inplace=unit > 0), depthwise, *normed_convolution(channels, channels, 1)]
        return made

    return layers


_LAYERS: dict[str, _Op | None] = {
    "none": None,
    "skip_connect": _skip,
    "avg_pool_3x3": _average,
    "max_pool_3x3": _maximum(3),
    "max_pool_5x5": _maximum(5),
    "max_pool_7x7": _maximum(7),
    "sep_conv_3x3": _separable(3, units=2),
    "sep_conv_5x5": _separable(5, units=2),
    "sep_conv_7x7": _separable(7, units=2),
    "dil_conv_3x3": _separable(3, units=1, dilation=2),
    "dil_conv_5x5": _separable(5, units=1, dilation=2),
    "dil_sep_conv_3x3": _separable(3, units=2, dilation=2),
    "conv_1x1": _full(1),
    "conv_3x3": _full(3),
    "conv_3x1_1x3": _crossed(3),
    "conv_7x1_1x7": _crossed(7),
}


class Cell(nn.Module):
    """Two maps of the inputs, the nodes, and the concatenation of some.

    Parameters
    ----------
    op, input : ndarray of int, shape (nodes, 2)
        The ops of each node and what they act on, as in `edfkit.generator.spaces.cells.Cells`.
    concat : ndarray of bool, shape (nodes,)
        Which nodes are put out.
    inputs : (int, int)
        Channels of s0 and s1.
    channels : int
        Of a node.
    reduces : bool
        Whether ops on the maps of the inputs have a stride of 2.
    halves_first : bool
        Whether s0 has twice the side of s1.
    drop_path : bool
        Whether each op but the identity ends in a `DropPath`.
    rng : torch.Generator, optional
        Of the drop path.
    """

    def __init__(
        self,
        op: Integers,
        input: Integers,
        concat: NDArray[np.bool_],
        inputs: tuple[int, int],
        channels: int,
        *,
        reduces: bool,
        halves_first: bool,
        drop_path: bool,
        rng: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.channels, self.stride = channels, 2 if reduces else 1
        first = _reduce if halves_first else _mapped
        self.map_0 = nn.Sequential(*first(inputs[0], channels))
        self.map_1 = nn.Sequential(*_mapped(inputs[1], channels))

        self.ops = nn.ModuleList()
        self.concat: list[int] = [2 + node for node in np.flatnonzero(concat).tolist()]
        # Each node with the inputs of its ops, those that are not none, and whether these start with a ReLU.
        self.nodes: list[tuple[int, list[tuple[int, bool]]]] = []
        used = {source for code, source in zip(op.flat, input.flat, strict=True) if OPS[code] != "none"}
        for node, pairs in enumerate(zip(op.tolist(), input.tolist(), strict=True), start=2):
            terms = []
            for code, source in zip(*pairs, strict=True):
                make = _LAYERS[OPS[code]]
                if make is None:
                    continue
                layers = make(channels, 2 if reduces and source < 2 else 1)
                rectified = bool(layers) and isinstance(layers[0], nn.ReLU)
                if drop_path and layers:
                    layers.append(DropPath(rng))
                self.ops.append(nn.Sequential(*layers[rectified:]))
                terms.append((source, rectified))
            if terms or node in used or node in self.concat:
                self.nodes.append((node, terms))

    def forward(self, state: State) -> State:
        """Map s0 and s1, each (batch, channels, side, side), to s1 and the output."""
        s0, s1 = state
        maps = {0: self.map_0(s0), 1: self.map_1(s1)}
        rectified: dict[int, Tensor] = {}
        ops = iter(self.ops)
        for node, terms in self.nodes:
            total: Tensor | None = None
            for source, after_relu in terms:
                x = maps[source]
                if after_relu:
                    if source not in rectified:
                        rectified[source] = functional.relu(x)  # not in place: other ops see the map as it is
                    x = rectified[source]
                out = next(ops)(x)
                total = out if total is None else total + out
            maps[node] = self._zeros(maps[1]) if total is None else total
        chosen = [maps[node] for node in self.concat]
        return s1, torch.cat(chosen, 1) if len(chosen) > 1 else chosen[0]

    def _zeros(self, x: Tensor) -> Tensor:
        """Give one zero that looks like a node."""
        rows, columns = (-(-side // self.stride) for side in x.shape[2:])
        return x.new_zeros(()).expand(len(x), self.channels, rows, columns)


class Stem(nn.Module):
    """Make the first s0 and s1 of an image; see `edfkit.generator.spaces.cells.measure_cells`.

    Parameters
    ----------
    channels, width : int
        Channels of the image and of a node of the first cell, if that does not reduce.
    imagenet : bool
        Whether three convolutions of stride 2, or one that keeps the resolution.
    """

    def __init__(self, channels: int, width: int, *, imagenet: bool) -> None:
        super().__init__()
        if imagenet:
            half = normed_convolution(channels, width // 2, 3, 2)
            self.first = nn.Sequential(*half, nn.ReLU(inplace=True), *normed_convolution(width // 2, width, 3, 2))
            self.second = nn.Sequential(nn.ReLU(), *normed_convolution(width, width, 3, 2))
        else:
            self.first = nn.Sequential(*normed_convolution(channels, 3 * width, 3))
            self.second = nn.Sequential()

    def forward(self, x: Tensor) -> State:
        """Map (batch, channels, side, side) to s0 and s1."""
        s0 = self.first(x)
        return s0, self.second(s0)


class Last(nn.Module):
    """Leave what the last cell put out."""

    def forward(self, state: State) -> Tensor:
        """Map s0 and s1 to s1."""
        return state[1]


def build_cells(
    op: ArrayLike,
    input: ArrayLike,
    concat: ArrayLike,
    width: int,
    depth: int,
    *,
    channels: int = 3,
    classes: int = 10,
    imagenet_stem: bool = False,
    auxiliary: bool = False,
    drop_path: bool = False,
    rng: torch.Generator | None = None,
) -> nn.Module:
    """Build a network of cells with fresh weights.

    Convolutions and the classifier start from U(-b, b), b = 1 / sqrt(inputs of an output), batch norms from 1 and 0.

    Parameters
    ----------
    op, input : array_like of int, shape (2, nodes, 2)
        The two ops of each node, as places in `edfkit.generator.spaces.cells.OPS`, and what they act on; of the normal
        and of the reduce cell, as in `edfkit.generator.spaces.cells.Cells`.
    concat : array_like of bool, shape (2, nodes)
        Which nodes are concatenated to the output, at least one of either cell.
    width, depth : int
        Channels of a node of the first cell, if that does not reduce, and number of cells, at least 1.
    channels, classes : int
        Channels of the input and classes of the output.
    imagenet_stem : bool
        Whether the stem is that of the networks for ImageNet, which divides the resolution by 8; see `measure_cells`.
    auxiliary : bool
        Whether to add a `DeepSupervision` with an auxiliary head on the output of cell 2 * depth // 3. It draws its
        weights after the others, by the same laws.
    drop_path : bool
        Whether to put a `DropPath`, with the same `rng`, after each op other than none and the identity.
    rng : torch.Generator, optional
        Where the initial weights come from; torch's own generator if absent.

    Returns
    -------
    torch.nn.Module
        Maps (batch, channels, side, side) to logits (batch, classes); with `auxiliary`, in training, to a tuple of them
        and the logits of the auxiliary head.

    Raises
    ------
    EdfkitError
        If the width is odd with the ImageNet stem.
    """
    if imagenet_stem and width % 2:
        raise EdfkitError(f"The width is {width}, and the ImageNet stem starts with half of it; give an even width.")
    ops, inputs, concats = np.asarray(op, np.int64), np.asarray(input, np.int64), np.asarray(concat, np.bool_)
    width, depth = int(width), int(depth)  # an archive may hold narrower integers, which would overflow
    last_reduction = 2 * depth // 3
    chain: list[nn.Module] = [Stem(channels, width, imagenet=imagenet_stem)]
    c, reduced = width, imagenet_stem
    before = after = width if imagenet_stem else 3 * width
    supervised = 0
    for i in range(depth):
        reduces = i in (depth // 3, last_reduction)
        c *= 1 + reduces
        cell = Cell(
            ops[int(reduces)],
            inputs[int(reduces)],
            concats[int(reduces)],
            (before, after),
            c,
            reduces=reduces,
            halves_first=reduced,
            drop_path=drop_path,
            rng=rng,
        )
        chain.append(cell)
        before, after, reduced = after, c * len(cell.concat), reduces
        if i == last_reduction:
            supervised = after
    chain += [Last(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(after, classes)]
    model: nn.Module = nn.Sequential(*chain)
    if auxiliary:
        cut = last_reduction + 2  # behind the stem and that cell
        head = AuxiliaryHead(supervised, classes)
        model = DeepSupervision(nn.Sequential(*chain[:cut]), nn.Sequential(*chain[cut:]), head)

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=rng)
    return model
