"""The networks: a stem, stages of blocks, a classifier, as described by the published configurations."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edfkit import EdfkitError
from edfkit.archive.nets import CELLS, STEM_WIDTH
from edfkit.generator.spaces.counting import STEMS
from edfkit.generator.spaces.kinds import Architecture
from edfkit.generator.training.cells import build_cells
from edfkit.generator.training.layers import AuxiliaryHead, DeepSupervision, DropPath, normed_convolution


class PlainBlock(nn.Sequential):
    """Two 3x3 convolutions, each with batch norm and ReLU; the first has the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(
            *normed_convolution(inputs, outputs, 3, stride),
            nn.ReLU(inplace=True),
            *normed_convolution(outputs, outputs, 3),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """ReLU(shortcut + residual); the shortcut is a 1x1 convolution where width or resolution changes, else identity."""

    def __init__(self, residual: list[nn.Module], inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*residual)
        changes = inputs != outputs or stride != 1
        self.shortcut = nn.Sequential(*normed_convolution(inputs, outputs, 1, stride)) if changes else nn.Identity()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, side, side) to (batch, outputs, side / stride, side / stride)."""
        out: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return out


def _block(
    kind: str, inputs: int, outputs: int, stride: int, bot_mul: float, groups: int, drop_path: DropPath | None = None
) -> nn.Module:
    if kind == "double_plain_block":
        return PlainBlock(inputs, outputs, stride)
    if kind == "res_basic_block":
        residual = [
            *normed_convolution(inputs, outputs, 3, stride),
            nn.ReLU(inplace=True),
            *normed_convolution(outputs, outputs, 3),
        ]
    else:
        inner = round(outputs * bot_mul)
        residual = [
            *normed_convolution(inputs, inner, 1),
            nn.ReLU(inplace=True),
            *normed_convolution(inner, inner, 3, stride, groups),
            nn.ReLU(inplace=True),
            *normed_convolution(inner, outputs, 1),
        ]
    return ResidualBlock(residual if drop_path is None else [*residual, drop_path], inputs, outputs, stride)


def _stem(stride: int, width: int, channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for kernel, step, share in STEMS[stride]:
        if kernel:
            layers += [*normed_convolution(channels, width // share, kernel, step), nn.ReLU(inplace=True)]
            channels = width // share
        else:
            layers.append(nn.MaxPool2d(3, step, padding=1))
    return layers


def build(
    block: str,
    depth: Sequence[int],
    width: Sequence[int],
    bot_mul: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
    *,
    channels: int = 3,
    classes: int = 10,
    stem_stride: int = 1,
    stem_width: int = STEM_WIDTH,
    auxiliary: bool = False,
    drop_path: bool = False,
    rng: torch.Generator | None = None,
) -> nn.Module:
    """Build a network of the standard spaces with fresh weights.

    Convolutions start from N(0, sqrt(2 / (k * k * outputs))), batch norms from 1 and 0, the classifier from N(0, 0.01)
    and 0.

    Parameters
    ----------
    block : {"double_plain_block", "res_basic_block", "res_bottleneck_block"}
        Kind of block: two 3x3 convolutions without or with a shortcut, or 1x1, grouped 3x3, 1x1 with a shortcut.
    depth, width : sequence of int, one per stage
        Blocks and channels. The first stage keeps the resolution, each other halves it, rounding up.
    bot_mul, groups : sequence of float and of int, one per stage, optional
        Of bottleneck blocks: their inner channels are width * bot_mul, rounded, in so many groups; 1 if absent.
    channels, classes : int
        Channels of the input and classes of the output.
    stem_stride : {1, 4, 8}
        1: a 3x3 convolution. 4: a 7x7 convolution of stride 2 and a 3x3 max pool of stride 2. 8: three 3x3 convolutions
        of stride 2, the first with half the channels. Batch norm and ReLU follow every convolution.
    stem_width : int
        Channels of the stem.
    auxiliary : bool
        Whether to add a `DeepSupervision` with an auxiliary head on the first map of the last resolution: the output
        of the first block of the last stage. It draws its weights after the others, by the same laws.
    drop_path : bool
        Whether to put a `DropPath`, with the same `rng`, at the end of each residual, never on a shortcut.
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
        If the stem is unknown, or blocks without a shortcut are to have drop path.
    """
    if stem_stride not in STEMS:
        raise EdfkitError(f"The stem stride {stem_stride} is unknown; it can be {', '.join(map(str, STEMS))}.")
    if drop_path and block == "double_plain_block":
        raise EdfkitError(
            "Drop path was asked for with double_plain_block, expected a block whose shortcut carries on a sample that "
            "is dropped; choose res_basic_block or res_bottleneck_block, or leave drop path out."
        )
    bot_mul = [1.0] * len(depth) if bot_mul is None else bot_mul
    groups = [1] * len(depth) if groups is None else groups
    layers = _stem(stem_stride, stem_width, channels)
    inputs, last = stem_width, 0
    for stage, (blocks, outputs, inner, parts) in enumerate(zip(depth, width, bot_mul, groups, strict=True)):
        last = len(layers)  # where the last stage starts, once the loop is over
        for i in range(blocks):
            stride = 2 if stage and i == 0 else 1
            drop = DropPath(rng) if drop_path else None
            layers.append(_block(block, inputs, outputs, stride, inner, parts, drop))
            inputs = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)]
    model: nn.Module = nn.Sequential(*layers)
    if auxiliary:
        front, back = nn.Sequential(*layers[: last + 1]), nn.Sequential(*layers[last + 1 :])
        model = DeepSupervision(front, back, AuxiliaryHead(inputs, classes))

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out), generator=rng)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01, generator=rng)
            nn.init.zeros_(layer.bias)
    return model


def build_network(
    architecture: Architecture,
    columns: Mapping[str, NDArray[Any]],
    *,
    channels: int = 3,
    classes: int = 10,
    auxiliary: bool = False,
    drop_path: bool = False,
    rng: torch.Generator | None = None,
) -> nn.Module:
    """Build the network of a configuration, by `build` or `build_cells`, which say more.

    Parameters
    ----------
    architecture : Architecture
        What it has in common with those of its space.
    columns : mapping of str to ndarray
        Its configuration, without the axis of the models.
    channels, classes, auxiliary, drop_path, rng
        As of `build`.

    Returns
    -------
    torch.nn.Module
        Maps (batch, channels, side, side) to logits (batch, classes); with `auxiliary`, in training, to a tuple of them
        and the logits of the auxiliary head.
    """
    options: dict[str, Any] = {"channels": channels, "classes": classes, "auxiliary": auxiliary, "drop_path": drop_path}
    stem = architecture.stem_stride
    if architecture.block == CELLS:
        cells = architecture.cells({name: np.asarray(value)[None] for name, value in columns.items()})
        network = {name: value[0] for name, value in vars(cells).items()}
        model: nn.Module = build_cells(**network, **options, imagenet_stem=stem == 8, rng=rng)
        return model
    stages = {name: value.tolist() for name, value in columns.items()}
    width = architecture.stem_width
    return build(architecture.block, **stages, **options, stem_stride=stem, stem_width=width, rng=rng)
