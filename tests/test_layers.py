"""The parts of the networks: sides and sums by hand, the law of drop path, where auxiliary heads look."""

import copy
import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edfkit.generator.training.layers import (
    AuxiliaryHead,
    DeepSupervision,
    DropPath,
    batch_norm,
    convolution,
    normed_convolution,
)

SIDES = [1, 2, 4, 7, 8, 14]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7, (1, 7), (7, 1)])
def test_only_the_stride_changes_the_side(kernel: int | tuple[int, int], dilation: int) -> None:
    for side in SIDES:
        x = torch.zeros(1, 4, side, side)
        assert convolution(4, 6, kernel, groups=2, dilation=dilation)(x).shape == (1, 6, side, side)
        half = math.ceil(side / 2)
        assert convolution(4, 6, kernel, 2, dilation=dilation)(x).shape == (1, 6, half, half)
        assert convolution(4, 6, kernel, (1, 2), dilation=dilation)(x).shape == (1, 6, side, half)


def test_a_convolution_has_no_bias_and_its_norm_counts_no_batches() -> None:
    layer, norm = normed_convolution(3, 8, 3, 2)
    assert isinstance(layer, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert [tuple(p.shape) for p in layer.parameters()] == [(8, 3, 3, 3)]
    assert (norm.num_features, norm.eps, norm.momentum, norm.num_batches_tracked) == (8, 1e-5, 0.1, None)


# Drop path


def drop(probability: float, seed: int = 0) -> DropPath:
    path = DropPath(seeded(seed)).train()
    path.probability = probability
    return path


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_drop_path_zeroes_whole_samples_and_keeps_the_expectation(probability: float) -> None:
    samples = 4000
    x = torch.randn(samples, 3, 2, 2, generator=seeded())
    out = drop(probability)(x)
    dropped = (out == 0).flatten(1).all(1)
    torch.testing.assert_close(out[~dropped], x[~dropped] / (1 - probability))
    # A share of n draws has the standard deviation sqrt(p (1 - p) / n).
    tolerance = 5 * math.sqrt(probability * (1 - probability) / samples)
    assert dropped.float().mean().item() == pytest.approx(probability, abs=tolerance)
    ones = drop(probability, seed=1)(torch.ones(samples, 1, 1, 1))
    assert ones.mean().item() == pytest.approx(1, abs=tolerance / (1 - probability))


def test_drop_path_is_the_identity_unless_it_trains_with_a_probability() -> None:
    x = torch.ones(64, 1, 1, 1)
    assert DropPath().probability == 0
    assert DropPath().train()(x) is x
    assert drop(0.0)(x) is x
    assert drop(0.5).eval()(x) is x
    assert not torch.equal(drop(0.5)(x), x)


def test_drop_path_draws_from_its_own_generator() -> None:
    x = torch.ones(64, 1, 1, 1)
    before = torch.get_rng_state()
    path = drop(0.5, seed=3)
    first, second = path(x), path(x)
    assert torch.equal(first, drop(0.5, seed=3)(x))
    assert not torch.equal(first, second)
    assert not torch.equal(first, drop(0.5, seed=4)(x))
    assert torch.equal(torch.get_rng_state(), before)
    untouched = seeded(3)
    DropPath(untouched).train()(x)
    assert torch.equal(untouched.get_state(), seeded(3).get_state())


def test_drop_path_without_a_generator_draws_from_that_of_torch() -> None:
    path = DropPath().train()
    path.probability = 0.5
    x = torch.ones(64, 1, 1, 1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = path(x)
        torch.manual_seed(1)
        assert torch.equal(first, path(x))


def test_drop_path_stops_the_gradient_of_dropped_samples_and_keeps_the_precision() -> None:
    x = torch.ones(64, 2, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    out = drop(0.5)(x)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out)  # 0 or 2, of inputs that are 1
    assert set(x.grad.unique().tolist()) == {0.0, 2.0}


def test_drop_path_reads_a_probability_in_a_tensor_at_each_call() -> None:
    probability = torch.zeros(())
    path = DropPath(seeded()).train()
    path.probability = probability
    x = torch.ones(4000, 1, 1, 1)
    assert torch.equal(path(x), x)
    for share in (0.25, 0.8):
        probability.fill_(share)  # the same tensor, as a captured step sees it
        out = path(x)
        assert set(out.unique().tolist()) == {0.0, (1 / (1 - probability)).item()}
        tolerance = 5 * math.sqrt(share * (1 - share) / 4000)
        assert (out == 0).float().mean().item() == pytest.approx(share, abs=tolerance)
    assert path.eval()(x) is x
    narrow = path.train()(x.bfloat16())
    assert narrow.dtype == torch.bfloat16


# Auxiliary head


@pytest.mark.parametrize("side", SIDES)
def test_an_auxiliary_head_gives_logits_for_any_side(side: int) -> None:
    head = AuxiliaryHead(6, 10)
    pooled: list[Tensor] = []
    head.layers.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    x = torch.randn(3, 6, side, side, generator=seeded())
    kept = x.clone()
    assert head(x).shape == (3, 10)
    assert pooled[0].shape == (3, 6, 2, 2)
    assert torch.equal(x, kept)  # its ReLU is not in place
    # conv 6 -> 128, BN, conv 2x2 128 -> 768, BN, fc
    assert sum(p.numel() for p in head.parameters()) == 6 * 128 + 256 + 4 * 128 * 768 + 1536 + 768 * 10 + 10


@pytest.mark.parametrize(
    ("side", "windows"),
    [
        (14, [(0, 5), (9, 14)]),
        (8, [(0, 5), (3, 8)]),  # stride 3
        (7, [(0, 5), (2, 7)]),  # stride 2
        (6, [(0, 5), (1, 6)]),
        (5, [(0, 3), (2, 5)]),
        (4, [(0, 2), (2, 4)]),
        (1, [(0, 1), (0, 1)]),
    ],
)
def test_an_auxiliary_head_averages_four_windows(side: int, windows: list[tuple[int, int]]) -> None:
    head = AuxiliaryHead(2, 3)
    pooled: list[Tensor] = []
    head.layers.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    x = torch.randn(2, 2, side, side, generator=seeded())
    head(x)
    means = [x.relu()[:, :, a:b, c:d].mean((2, 3)) for a, b in windows for c, d in windows]
    torch.testing.assert_close(pooled[0].flatten(2), torch.stack(means, 2))


def test_an_auxiliary_head_computes_what_it_says() -> None:
    head = AuxiliaryHead(4, 3).eval()
    conv_1, norm_1, _, conv_2, norm_2, _, _, fc = head.layers
    x = torch.randn(2, 4, 8, 8, generator=seeded())
    y = functional.avg_pool2d(x.relu(), 5, 3)
    y = norm_1(functional.conv2d(y, conv_1.weight)).relu()
    y = norm_2(functional.conv2d(y, conv_2.weight)).relu()
    torch.testing.assert_close(head(x), fc(y.flatten(1)))


class Pair(nn.Module):
    """Give a map twice, the second time negated."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, -x


class Join(nn.Module):
    """Concatenate a pair."""

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return torch.cat(pair, 1)


@pytest.mark.parametrize("pair", [False, True])
def test_deep_supervision_adds_logits_in_training_only(pair: bool) -> None:
    front = [convolution(1, 4, 3), batch_norm(4), *([Pair()] if pair else [])]
    back = [*([Join()] if pair else []), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 if pair else 4, 3)]
    head = AuxiliaryHead(4, 3)
    model = DeepSupervision(nn.Sequential(*front), nn.Sequential(*back), head)
    whole = nn.Sequential(*front, *back)
    x = torch.randn(5, 1, 8, 8, generator=seeded())

    logits, auxiliary = model.train()(x)
    torch.testing.assert_close(logits, whole(x))
    state = nn.Sequential(*front)(x)
    torch.testing.assert_close(auxiliary, head(state[1] if pair else state))
    alone = model.eval()(x)
    assert isinstance(alone, Tensor)
    torch.testing.assert_close(alone, whole(x))


def test_parts_can_be_copied_with_their_generator() -> None:
    path = drop(0.5, seed=2)
    x = torch.ones(64, 1, 1, 1)
    assert torch.equal(copy.deepcopy(path)(x), path(x))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [5, 7])
def test_a_kernel_larger_than_its_map_gives_the_same_output_and_gradients(
    kernel: int, dilation: int, stride: int
) -> None:
    torch.manual_seed(0)
    for side in SIDES:
        layer = convolution(16, 16, kernel, stride, groups=16, dilation=dilation).double()
        maps = torch.randn(3, 16, side, side, dtype=torch.float64, requires_grad=True)
        got = layer(maps)
        padding = dilation * (kernel // 2)
        expected = functional.conv2d(maps, layer.weight, None, stride, padding, dilation, 16)
        torch.testing.assert_close(got, expected)
        along = torch.randn_like(expected)
        wanted = torch.autograd.grad(expected, [maps, layer.weight], along)
        for found, gradient in zip(torch.autograd.grad(got, [maps, layer.weight], along), wanted, strict=True):
            torch.testing.assert_close(found, gradient)


@pytest.mark.parametrize("stride", [2, (1, 2)])
def test_a_strided_convolution_of_few_channels_is_that_of_many(stride: int | tuple[int, int]) -> None:
    narrow, plain = convolution(4, 6, 1, stride), nn.Conv2d(4, 6, 1, stride, bias=False)
    plain.load_state_dict(narrow.state_dict())
    maps = torch.randn(5, 4, 7, 8, generator=torch.Generator().manual_seed(0))
    ours, theirs = narrow(maps), plain(maps)
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, atol=1e-6)
    ours_back, theirs_back = (
        torch.autograd.grad(out.square().sum(), layer.weight)[0] for out, layer in ((ours, narrow), (theirs, plain))
    )
    assert torch.allclose(ours_back, theirs_back, rtol=1e-4)


def test_strided_convolutions_of_few_channels_keep_to_their_memory() -> None:
    # In processes of their own, which a breach kills: small blocks that come and go lie beside what is written beyond.
    # They are forks of one that has loaded torch.
    script = """
import os, torch
from edfkit.generator.training.layers import convolution
torch.set_num_threads(1)
def train(channels):
    layer = convolution(channels, channels if channels < 3 else 16, 1, 2).to(memory_format=torch.channels_last)
    maps = torch.randn(100, channels, 8, 8, requires_grad=True)
    blocks = []
    for _ in range(40):
        layer(torch.relu(maps.to(memory_format=torch.channels_last))).square().sum().backward()
        blocks = [*blocks[-2:], [torch.empty(7 * size + 1) for size in range(20)]]
for channels in (2, 3, 4):
    if not (child := os.fork()):
        train(channels)
        os._exit(0)
    print(channels, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["2 0", "3 0", "4 0"], done.stderr
