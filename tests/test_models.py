"""The networks against the closed-form counts, torch's own flop counter and the rules of their initial weights."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edfkit.generator import models, spaces

SPACES = list(spaces.SPACES.values())


def small(space: spaces.Space, number: int, seed: int, side: int = 8, channels: int = 1) -> spaces.Sample:
    bounds = {"params": 0.3e6, "macs": 6e6 * (side / 8) ** 2}
    return spaces.sample(space, number, seed=seed, bounds=bounds, image_size=side, channels=channels)


def stages(drawn: spaces.Sample, i: int) -> dict[str, Any]:
    return {name: column[i].tolist() for name, column in drawn.stages.items()}


def record_outputs(model: nn.Module) -> list[int]:
    """Give a list that fills with the number of elements that each layer with weights outputs."""
    outputs: list[int] = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda _, __, out: outputs.append(out.numel()))
    return outputs


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3), (9, 2)])
def test_counts_equal_those_of_the_network(space: spaces.Space, side: int, channels: int) -> None:
    drawn = small(space, 8, seed=side, side=side, channels=channels)
    for i in range(len(drawn)):
        model = models.build(space.block, **stages(drawn, i), channels=channels)
        assert sum(p.numel() for p in model.parameters()) == drawn.complexity.params[i]

        outputs = record_outputs(model)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            logits = model(torch.zeros(1, channels, side, side))
        assert logits.shape == (1, 10)
        assert sum(outputs) == drawn.complexity.acts[i]
        # The counter counts two for a multiply-add, and leaves out the bias of the classifier.
        assert counter.get_total_flops() == 2 * (drawn.complexity.macs[i] - 10)


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_counts_equal_those_of_200_networks(space: spaces.Space) -> None:
    drawn = spaces.sample(space, 200, seed=1)
    for i in range(len(drawn)):
        with torch.device("meta"):
            model = models.build(space.block, **stages(drawn, i))
            counter = FlopCounterMode(display=False)
            with counter, torch.no_grad():
                model(torch.zeros(1, 3, 32, 32))
        assert sum(p.numel() for p in model.parameters()) == drawn.complexity.params[i]
        assert counter.get_total_flops() == 2 * (drawn.complexity.macs[i] - 10)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_every_parameter_gets_a_gradient(space: spaces.Space) -> None:
    rng = torch.Generator().manual_seed(0)
    model = models.build(space.block, [2, 1, 3], [16, 32, 32], [1.0, 0.5, 0.25], [1, 4, 2], channels=1, rng=rng)
    model(torch.randn(8, 1, 8, 8, generator=rng)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_memory_layout_does_not_change_the_result() -> None:
    rng = torch.Generator().manual_seed(0)
    model = models.build("res_basic_block", [1, 2, 1], [16, 32, 48], rng=rng).eval()
    x = torch.randn(4, 3, 32, 32, generator=rng)
    with torch.no_grad():
        contiguous = model(x)
        channels_last = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(contiguous, channels_last, rtol=1e-4, atol=1e-5)


def test_initial_weights_follow_their_law() -> None:
    model = models.build("res_basic_block", [1, 1, 1], [64, 128, 256], rng=torch.Generator().manual_seed(0))
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 10  # the stem, two a block, three shortcuts
    for layer in convolutions:
        weight = layer.weight.detach()
        expected = math.sqrt(2 / (layer.kernel_size[0] ** 2 * layer.out_channels))
        # Of n normal values, the standard deviation has relative error 1 / sqrt(2 n) and the mean sigma / sqrt(n).
        assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * weight.numel()))
        assert abs(weight.mean().item()) < 5 * expected / math.sqrt(weight.numel())
        assert layer.bias is None
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
        assert (norm.eps, norm.momentum, norm.num_batches_tracked) == (1e-5, 0.1, None)
    classifier = next(layer for layer in model.modules() if isinstance(layer, nn.Linear))
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert (classifier.bias == 0).all()


def test_one_generator_state_gives_one_network() -> None:
    first, again, other = (
        models.build("double_plain_block", [1, 1, 1], [16, 16, 16], rng=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_blocks_compute_what_they_say() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(5, 16, 8, 8, generator=rng)
    first, norm_1, _, second, norm_2, _ = plain = models._block("double_plain_block", 16, 16, 1, 1, 1).eval()
    torch.testing.assert_close(plain(x), norm_2(second(norm_1(first(x)).relu())).relu())
    for kind in ("res_basic_block", "res_bottleneck_block"):
        same = models._block(kind, 16, 16, 1, 0.5, 2).eval()
        torch.testing.assert_close(same(x), (same.residual(x) + x).relu())
        changed = models._block(kind, 16, 24, 2, 0.5, 2).eval()
        torch.testing.assert_close(changed(x), (changed.residual(x) + changed.shortcut(x)).relu())
        assert changed(x).shape == (5, 24, 4, 4)
        assert (changed.shortcut[0].kernel_size, changed.shortcut[0].stride) == ((1, 1), (2, 2))


def test_a_bottleneck_has_its_stride_and_its_groups_in_the_middle() -> None:
    block = models._block("res_bottleneck_block", 16, 24, 2, 0.5, 4)
    assert isinstance(block, models.ResidualBlock)
    layers = [layer for layer in block.residual if isinstance(layer, nn.Conv2d)]
    described = [(c.kernel_size[0], c.in_channels, c.out_channels, c.stride[0], c.groups) for c in layers]
    assert described == [(1, 16, 12, 1, 1), (3, 12, 12, 2, 4), (1, 12, 24, 1, 1)]
