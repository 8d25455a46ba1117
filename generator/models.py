"""The networks: a stem, three stages of blocks, a classifier, as described by the published configurations."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edfkit.generator.complexity import STEM_WIDTH, STRIDES


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    norm = nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.1)
    # Counting batches is only for a cumulative average, which precise batch norm keeps itself: one call less a layer.
    norm.num_batches_tracked = None
    return [nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), norm]


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
    """ReLU(shortcut + two 3x3 convolutions); the shortcut is 1x1 where width or resolution changes, else identity."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(inputs, outputs, 3, stride), nn.ReLU(inplace=True), *_convolution(outputs, outputs, 3)
        )
        changes = inputs != outputs or stride != 1
        self.shortcut = nn.Sequential(*_convolution(inputs, outputs, 1, stride)) if changes else nn.Identity()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, side, side) to (batch, outputs, side / stride, side / stride)."""
        out: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return out


BLOCKS: dict[str, type[PlainBlock | ResidualBlock]] = {
    "double_plain_block": PlainBlock,
    "res_basic_block": ResidualBlock,
}


def build(
    block: str,
    depth: Sequence[int],
    width: Sequence[int],
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
    block : {"double_plain_block", "res_basic_block"}
        Kind of block.
    depth, width : sequence of 3 int
        Blocks and channels of each stage.
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
    for blocks, outputs, stride in zip(depth, width, STRIDES, strict=True):
        for i in range(blocks):
            layers.append(BLOCKS[block](inputs, outputs, stride if i == 0 else 1))
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
