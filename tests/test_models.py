"""The networks against the closed-form counts, torch's own flop counter and the rules of their initial weights."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from edfkit import EdfkitError
from edfkit.generator import spaces
from edfkit.generator.spaces import counting as complexity
from edfkit.generator.spaces.counting import Complexity
from edfkit.generator.spaces.kinds import Columns, StageSpace
from edfkit.generator.training import data
from edfkit.generator.training import stages as models
from edfkit.generator.training.layers import AuxiliaryHead, DeepSupervision, DropPath

pytestmark = pytest.mark.usefixtures("one_thread")

SPACES = [space for space in spaces.SPACES.values() if isinstance(space, StageSpace)]
BLOCKS = [
    (block, {"bot_mul": [0.5, 0.25, 1.0], "groups": [2, 1, 4]} if "bottle" in block else {})
    for block in complexity.BLOCKS
]


def small(space: StageSpace, number: int, seed: int, side: int = 8, channels: int = 1) -> tuple[Columns, Complexity]:
    columns = space.draw(np.random.default_rng([seed, *space.name.encode()]), 20_000)
    counts = space.architecture.measure(columns, image_size=side, channels=channels)
    fits = np.flatnonzero((counts.params < 0.3e6) & (counts.macs < 6e6 * (side / 8) ** 2))[:number]
    assert len(fits) == number
    return {name: column[fits] for name, column in columns.items()}, Complexity(*(count[fits] for count in counts))


def build(space: StageSpace, columns: Columns, i: int, **options: Any) -> nn.Module:
    stages: dict[str, Any] = {name: column[i].tolist() for name, column in columns.items()}
    stem, width = space.architecture.stem_stride, space.architecture.stem_width
    model: nn.Module = models.build(space.architecture.block, **stages, **options, stem_stride=stem, stem_width=width)
    return model


def record_outputs(model: nn.Module) -> list[int]:
    """Give a list that fills with the number of elements that each layer with weights outputs."""
    outputs: list[int] = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda _, __, out: outputs.append(out.numel()))
    return outputs


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3), (9, 2)])
def test_counts_equal_those_of_the_network(space: StageSpace, side: int, channels: int) -> None:
    columns, counts = small(space, 6, seed=side, side=side, channels=channels)
    for i in range(6):
        model = build(space, columns, i, channels=channels).eval()
        assert sum(p.numel() for p in model.parameters()) == counts.params[i]

        outputs = record_outputs(model)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            logits = model(torch.zeros(1, channels, side, side))
        assert logits.shape == (1, 10)
        assert sum(outputs) == counts.acts[i]
        # The counter counts two for a multiply-add, and leaves out the bias of the classifier.
        assert counter.get_total_flops() == 2 * (counts.macs[i] - 10)


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_counts_equal_those_of_200_networks(space: StageSpace) -> None:
    columns = space.draw(np.random.default_rng(1), 200)
    counts = space.architecture.measure(columns)
    for i in range(200):
        with torch.device("meta"):
            model = build(space, columns, i).eval()
            counter = FlopCounterMode(display=False)
            with counter, torch.no_grad():
                model(torch.zeros(1, 3, 32, 32))
        assert sum(p.numel() for p in model.parameters()) == counts.params[i]
        assert counter.get_total_flops() == 2 * (counts.macs[i] - 10)


@pytest.mark.parametrize("block", complexity.BLOCKS)
def test_every_parameter_gets_a_gradient(block: str) -> None:
    rng = torch.Generator().manual_seed(0)
    model = models.build(block, [2, 1, 3], [16, 32, 32], [1.0, 0.5, 0.25], [1, 4, 2], channels=1, rng=rng)
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


# Stems and stages


@pytest.mark.parametrize("stem", [(1, 16), (4, 64), (8, 32)])
@pytest.mark.parametrize(
    ("block", "depth", "width"),
    [
        ("double_plain_block", [1], [24]),
        ("res_basic_block", [1, 2], [64, 32]),
        ("res_bottleneck_block", [1, 2, 1, 2], [32, 64, 96, 128]),
        ("res_basic_block", [1, 1, 1, 1, 1], [16, 16, 32, 32, 64]),
    ],
)
@pytest.mark.parametrize(("side", "channels"), [(64, 3), (75, 1)])
def test_counts_equal_those_of_the_network_with_any_stem(
    stem: tuple[int, int], block: str, depth: list[int], width: list[int], side: int, channels: int
) -> None:
    sizes = {"stem_stride": stem[0], "stem_width": stem[1], "channels": channels, "classes": 7}
    counts = complexity.measure(block, np.array([depth]), np.array([width]), image_size=side, **sizes)
    model = models.build(block, depth, width, **sizes).eval()
    outputs = record_outputs(model)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        assert model(torch.zeros(1, channels, side, side)).shape == (1, 7)
    assert sum(p.numel() for p in model.parameters()) == counts.params[0]
    assert counter.get_total_flops() == 2 * (counts.macs[0] - 7)
    assert sum(outputs) == counts.acts[0]


@pytest.mark.parametrize(
    ("name", "block", "width", "bot_mul"),
    [
        ("resnet18", "res_basic_block", [64, 128, 256, 512], None),
        ("resnet50", "res_bottleneck_block", [256, 512, 1024, 2048], [0.25] * 4),
    ],
)
def test_a_network_of_the_first_imagenet_stem_is_that_of_torchvision(
    name: str, block: str, width: list[int], bot_mul: list[float] | None
) -> None:
    theirs = torchvision.models.get_model(name, weights=None).eval()
    depth = [2, 2, 2, 2] if name == "resnet18" else [3, 4, 6, 3]
    ours = models.build(block, depth, width, bot_mul, classes=1000, stem_stride=4, stem_width=64).eval()
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.copy_(other)
        x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_the_second_imagenet_stem_by_hand() -> None:
    model = models.build("res_basic_block", [1], [8], stem_stride=8, stem_width=8).eval()
    assert isinstance(model, nn.Sequential)
    layers = list(model)[:9]
    y = x = torch.randn(2, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    for conv, norm, relu in zip(layers[::3], layers[1::3], layers[2::3], strict=True):
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(relu, nn.ReLU)
        y = norm(functional.conv2d(y, conv.weight, None, 2, 1)).relu()
    assert y.shape == (2, 8, 5, 5)
    torch.testing.assert_close(nn.Sequential(*layers)(x), y)


def test_an_unknown_stem_is_refused() -> None:
    with pytest.raises(EdfkitError, match=r"^The stem stride 2 is unknown; it can be 1, 4, 8\.$"):
        models.build("res_basic_block", [1], [8], stem_stride=2)


# Auxiliary head, drop path


@pytest.mark.parametrize("depth", [[2], [1, 1], [1, 2, 1], [2, 1, 3]])
@pytest.mark.parametrize(("block", "inner"), BLOCKS)
def test_the_auxiliary_head_sees_the_first_map_of_the_last_stage(
    block: str, inner: dict[str, Any], depth: list[int]
) -> None:
    width, stages = [16, 24, 32][: len(depth)], len(depth)
    inner = {name: values[:stages] for name, values in inner.items()}
    model, plain = (
        models.build(block, depth, width, **inner, channels=1, classes=7, auxiliary=auxiliary, rng=rng)
        for auxiliary, rng in ((True, torch.Generator().manual_seed(0)), (False, torch.Generator().manual_seed(0)))
    )
    assert isinstance(model, DeepSupervision)
    assert isinstance(model.head, AuxiliaryHead)
    kinds = (models.PlainBlock, models.ResidualBlock)
    blocks = [layer for part in (model.front, model.back) for layer in part if isinstance(layer, kinds)]
    assert len(blocks) == sum(depth)
    outputs: list[Tensor] = []
    looked: list[Tensor] = []
    blocks[sum(depth[:-1])].register_forward_hook(lambda _, __, out: outputs.append(out))
    model.head.register_forward_pre_hook(lambda _, inputs: looked.append(inputs[0]))
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    logits, auxiliary = model.train()(x)
    assert logits.shape == auxiliary.shape == (4, 7)
    assert looked[0] is outputs[0]
    assert looked[0].shape == (4, width[-1], *[math.ceil(8 / 2 ** (stages - 1))] * 2)
    # The network starts as it would without the head.
    assert torch.equal(plain.train()(x), logits)
    assert torch.equal(plain.eval()(x), model.eval()(x))
    assert len(looked) == 1  # not in evaluation


@pytest.mark.parametrize("block", ["res_basic_block", "res_bottleneck_block"])
def test_drop_path_leaves_a_dropped_sample_its_shortcut(block: str) -> None:
    rng = torch.Generator().manual_seed(0)
    model = models.build(block, [2, 1], [16, 24], channels=1, drop_path=True, rng=rng)
    blocks = [layer for layer in model.modules() if isinstance(layer, models.ResidualBlock)]
    paths = [layer for layer in model.modules() if isinstance(layer, DropPath)]
    assert [layer.residual[-1] for layer in blocks] == paths
    assert all(path.rng is rng and path.probability == 0 for path in paths)
    for layer, inputs in zip(blocks, (16, 16, 16), strict=True):
        path = layer.residual[-1]
        assert isinstance(path, DropPath)
        path.probability = 0.5
        x = torch.randn(100, inputs, 8, 8, generator=rng)
        kept, dropped = (
            (part + layer.shortcut(x)).relu() for part in (2 * layer.residual[:-1](x), torch.zeros(1, 1, 1, 1))
        )
        out = layer.train()(x)
        chosen = [torch.isclose(out, y, atol=1e-5).flatten(1).all(1) for y in (kept, dropped)]
        assert (chosen[0] ^ chosen[1]).all()
        assert 25 < chosen[0].sum() < 75


def test_drop_path_does_not_change_the_initial_weights_nor_the_result_in_evaluation() -> None:
    with_paths, without = (
        models.build("res_basic_block", [1, 1, 1], [16, 24, 32], drop_path=drop, rng=torch.Generator().manual_seed(0))
        for drop in (True, False)
    )
    for path in (layer for layer in with_paths.modules() if isinstance(layer, DropPath)):
        path.probability = 0.9
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(with_paths.eval()(x), without.eval()(x))
    assert not torch.equal(with_paths.train()(x), without.train()(x))


def test_drop_path_without_a_shortcut_is_refused() -> None:
    message = (
        "^Drop path was asked for with double_plain_block, expected a block whose shortcut carries on a sample that is "
        "dropped; choose res_basic_block or res_bottleneck_block, or leave drop path out[.]$"
    )
    with pytest.raises(EdfkitError, match=message):
        models.build("double_plain_block", [1, 1, 1], [16, 16, 16], drop_path=True)


@pytest.mark.parametrize(("block", "inner"), BLOCKS)
def test_training_on_real_images_lowers_both_losses(block: str, inner: dict[str, Any]) -> None:
    digits = data.find("digits").load(None)
    x = (torch.from_numpy(digits.x_train[:64]).float() - torch.tensor(digits.mean)) / torch.tensor(digits.std)
    x, y = x.permute(0, 3, 1, 2), torch.from_numpy(digits.y_train[:64])
    rng = torch.Generator().manual_seed(0)
    residual = block != "double_plain_block"
    options = {"channels": 1, "auxiliary": True, "drop_path": residual, "rng": rng}
    model = models.build(block, [1, 1, 1], [16, 24, 32], **inner, **options).train()
    for path in (layer for layer in model.modules() if isinstance(layer, DropPath)):
        path.probability = 0.1
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    losses = []
    for _ in range(30):
        main, auxiliary = (functional.cross_entropy(logits, y) for logits in model(x))
        optimizer.zero_grad()
        (main + 0.4 * auxiliary).backward()
        optimizer.step()
        losses.append((main.item(), auxiliary.item()))
    for first, last in zip(losses[0], losses[-1], strict=True):
        assert last < 0.6 * first
