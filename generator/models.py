"""The networks: a stem, three stages of blocks, a classifier, as described by the published configurations."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edfkit.generator.complexity import STEM_WIDTH, STRIDES


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    norm = nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1)
    # Counting batches is only for a cumulative average, which precise batch norm keeps itself: one call less a layer.
    norm.num_batches_tracked = None
    return [nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False), norm]


class PlainBlock(nn.Sequential):
    """Two 3x3 convolutions, each with batch norm and ReLU; the first has the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(
            *_convolution(inputs, outputs, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(outputs, outputs, 3),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """ReLU(shortcut + residual); the shortcut is a 1x1 convolution where width or resolution changes, else identity."""

    def __init__(self, residual: list[nn.Module], inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*residual)
        changes = inputs != outputs or stride != 1
        self.shortcut = nn.Sequential(*_convolution(inputs, outputs, 1, stride)) if changes else nn.Identity()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, side, side) to (batch, outputs, side / stride, side / stride)."""
        out: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return out


def _block(kind: str, inputs: int, outputs: int, stride: int, bot_mul: float, groups: int) -> nn.Module:
    if kind == "double_plain_block":
        return PlainBlock(inputs, outputs, stride)
    if kind == "res_basic_block":
        residual = [
            *_convolution(inputs, outputs, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(outputs, outputs, 3),
        ]
    else:
        inner = round(outputs * bot_mul)
        residual = [
            *_convolution(inputs, inner, 1),
            nn.ReLU(inplace=True),
            *_convolution(inner, inner, 3, stride, groups),
            nn.ReLU(inplace=True),
            *_convolution(inner, outputs, 1),
        ]
    return ResidualBlock(residual, inputs, outputs, stride)


def build(
    block: str,
    depth: Sequence[int],
    width: Sequence[int],
    bot_mul: Sequence[float] = (1.0, 1.0, 1.0),
    groups: Sequence[int] = (1, 1, 1),
    *,
    channels: int = 3,
    classes: int = 10,
    rng: torch.Generator | None = None,
) -> nn.Module:
    """Build a network of the standard spaces with fresh weights.

    Convolutions start from N(0, sqrt(2 / (k * k * outputs))), batch norms from 1 and 0, the classifier from N(0, 0.01)
    and 0.

    Parameters
    ----------
    block : {"double_plain_block", "res_basic_block", "res_bottleneck_block"}
        Kind of block: two 3x3 convolutions without or with a shortcut, or 1x1, grouped 3x3, 1x1 with a shortcut.
    depth, width : sequence of 3 int
        Blocks and channels of each stage.
    bot_mul, groups : sequence of 3 float and of 3 int
        Of bottleneck blocks: their inner channels are width * bot_mul, rounded, in so many groups.
    channels, classes : int
        Channels of the input and classes of the output.
    rng : torch.Generator, optional
        Where the initial weights come from; torch's own generator if absent.

    Returns
    -------
    torch.nn.Module
        Maps (batch, channels, side, side) to logits (batch, classes).
    """
    layers = [*_convolution(channels, STEM_WIDTH, 3), nn.ReLU(inplace=True)]
    inputs = STEM_WIDTH
    for blocks, outputs, inner, parts, stride in zip(depth, width, bot_mul, groups, STRIDES, strict=True):
        for i in range(blocks):
            layers.append(_block(block, inputs, outputs, stride if i == 0 else 1, inner, parts))
            inputs = outputs
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out), generator=rng)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01, generator=rng)
            nn.init.zeros_(layer.bias)
    return model
