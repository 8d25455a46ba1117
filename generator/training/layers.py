"""Parts that both kinds of network are made of: convolutions, batch norm, drop path, auxiliary heads."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# With fewer input channels, the backward pass of strided 1x1 convolutions in oneDNN 3.12 writes beyond its memory on
# processors without AVX-512, where channels go in blocks of 8: seen with 2, 3, 4 and 6 channels, never from 8 on.
_NARROW = 8

# A kernel is not cropped further: down to here oneDNN gives the same gradients to the last bit, of 1x1 it does not.
_FEWEST = 3


def convolution(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    groups: int = 1,
    dilation: int = 1,
) -> nn.Conv2d:
    """Make a convolution without bias, padded so that the stride alone changes the side, for an odd kernel.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel, stride : int or (int, int)
        Of a square, or along rows and columns, in pixels.
    groups, dilation : int

    Returns
    -------
    torch.nn.Conv2d
        Maps (batch, inputs, side, side) to (batch, outputs, side / stride, side / stride), rounded up.
    """
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (rows // 2), dilation * (columns // 2))
    kind = nn.Conv2d
    if rows == columns == 1 and stride != 1 and inputs < _NARROW:
        kind = _Thinning
    elif rows == columns > _FEWEST and groups == inputs == outputs:
        kind = _Cropping
    return kind(inputs, outputs, (rows, columns), stride, padding, dilation, groups, bias=False)


class _Thinning(nn.Conv2d):
    """A 1x1 convolution that takes the pixels it needs first, so that its stride is 1: the same output."""

    def forward(self, maps: Tensor) -> Tensor:
        rows, columns = self.stride
        return functional.conv2d(maps[:, :, ::rows, ::columns], self.weight)


class _Cropping(nn.Conv2d):
    """A depthwise convolution that leaves out what meets nothing but padding on small maps: the same output, sooner."""

    def forward(self, maps: Tensor) -> Tensor:
        reach, dilation = self.kernel_size[0] // 2, self.dilation[0]
        met = max(_FEWEST // 2, (maps.shape[-1] - 1) // dilation)
        if met >= reach:
            return super().forward(maps)
        part = slice(reach - met, reach + met + 1)
        return functional.conv2d(
            maps, self.weight[:, :, part, part], None, self.stride, dilation * met, dilation, self.groups
        )


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Make a batch norm of (batch, channels, side, side)."""
    norm = nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)
    # Counting batches is only for a cumulative average, which precise batch norm keeps itself: one call less a layer.
    norm.num_batches_tracked = None
    return norm


def normed_convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Make a convolution and its batch norm, in the order in which they run; see `convolution`."""
    return [convolution(inputs, outputs, kernel, stride, groups), batch_norm(outputs)]


class DropPath(nn.Module):
    """In training, zero each sample with some probability and scale up the others, so that the expectation stays.

    Parameters
    ----------
    rng : torch.Generator, optional
        Where the samples to drop come from, on the device of the maps; torch's own generator if absent.

    Attributes
    ----------
    probability : float or scalar tensor
        Of dropping a sample, at least 0 and less than 1; 0 until set. A tensor, on the device of the maps, is read
        there at each call, so it may change under a captured step.
    """

    def __init__(self, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.probability: float | Tensor = 0.0
        self.rng = rng

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, side, side) to the same shape; x itself where nothing is to be dropped."""
        # Whether a tensor is 0 cannot be known here without waiting for it.
        if not self.training or (not isinstance(self.probability, Tensor) and self.probability == 0.0):
            return x
        keep: Any = 1.0 - self.probability
        # In the precision of x, lest a product with float32 widen what autocast has narrowed.
        mask = x.new_empty((len(x), 1, 1, 1)).bernoulli_(keep, generator=self.rng)
        return x * mask.div_(keep)


class AuxiliaryHead(nn.Module):
    """A second classifier, on a map inside the network.

    Parameters
    ----------
    channels, classes : int
        Channels of the map and classes of the output.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *normed_convolution(channels, 128, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 768, 2, bias=False),
            batch_norm(768),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(768, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, side, side) to logits (batch, classes)."""
        x = functional.relu(x)  # not in place: the rest of the network sees this map too
        side = x.shape[-1]
        # Whichever way, 2x2 come out. The stride is 3 on the 8x8 maps of CIFAR-10 and 2 on the 7x7 maps of ImageNet.
        x = functional.avg_pool2d(x, 5, side - 5) if side >= 6 else functional.adaptive_avg_pool2d(x, 2)
        logits: Tensor = self.layers(x)
        return logits


class DeepSupervision(nn.Module):
    """A network cut in two, with an auxiliary head where it is cut.

    Parameters
    ----------
    front, back : torch.nn.Sequential
        The parts of the network. Between them flows a map, or a pair of maps of which the head gets the second.
    head : torch.nn.Module
        Maps that map to auxiliary logits.
    """

    def __init__(self, front: nn.Sequential, back: nn.Sequential, head: nn.Module) -> None:
        super().__init__()
        # In this order, so that the head's weights are drawn last: the network starts as it would without the head.
        self.front, self.back, self.head = front, back, head

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Map (batch, channels, side, side) to logits (batch, classes); in training, to them and the auxiliary ones."""
        state = self.front(x)
        logits: Tensor = self.back(state)
        if not self.training:
            return logits
        return logits, self.head(state[1] if isinstance(state, tuple) else state)
