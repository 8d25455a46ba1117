"""The networks of cells against the closed-form counts, torch's own flop counter, and their ops and nodes by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from edfkit import EdfkitError
from edfkit.archive.schema import OPS
from edfkit.generator.spaces.cells import Cells, measure_cells
from edfkit.generator.training import cells as cell_models
from edfkit.generator.training import data, layers
from edfkit.generator.training.cells import Cell, FactorizedReduce, Stem, build_cells
from edfkit.generator.training.layers import AuxiliaryHead, DeepSupervision, DropPath

pytestmark = pytest.mark.usefixtures("one_thread")

# The ops and the number of nodes of each published space, and whether it puts out only nodes that no other uses.
SPACES: dict[str, tuple[str, int, bool]] = {
    "nasnet": (
        "skip_connect conv_3x1_1x3 conv_7x1_1x7 dil_conv_3x3 avg_pool_3x3 max_pool_3x3 max_pool_5x5 max_pool_7x7 "
        "conv_1x1 conv_3x3 sep_conv_3x3 sep_conv_5x5 sep_conv_7x7",
        5,
        True,
    ),
    "amoeba": (
        "skip_connect sep_conv_3x3 sep_conv_5x5 sep_conv_7x7 avg_pool_3x3 max_pool_3x3 dil_sep_conv_3x3 conv_7x1_1x7",
        5,
        True,
    ),
    "pnas": (
        "sep_conv_3x3 sep_conv_5x5 sep_conv_7x7 conv_7x1_1x7 skip_connect avg_pool_3x3 max_pool_3x3 dil_conv_3x3",
        5,
        False,
    ),
    "enas": ("skip_connect sep_conv_3x3 sep_conv_5x5 avg_pool_3x3 max_pool_3x3", 5, True),
    "darts": (
        "none max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5",
        4,
        False,
    ),
    "any": (" ".join(OPS), 4, True),
}
Net = dict[str, Any]


def draw(space: str, models: int, seed: int, *, width: int = 5, depth: int = 6) -> Cells:
    """Draw networks of a space, of even widths up to 2 * width and of up to so many cells."""
    names, nodes, loose = SPACES[space]
    rng = np.random.default_rng([seed, *space.encode()])
    op = rng.choice([OPS.index(name) for name in names.split()], (models, 2, nodes, 2))
    source = rng.integers(0, np.arange(2, 2 + nodes)[:, None], (models, 2, nodes, 2))
    used = (source[..., None] == np.arange(2, 2 + nodes)).any((2, 3))
    concat = ~used if loose else np.ones_like(used)
    return Cells(op, source, concat, 2 * rng.integers(1, width + 1, models), rng.integers(1, depth + 1, models))


def net(cells: Cells, i: int) -> Net:
    return {
        "op": cells.op[i],
        "input": cells.input[i],
        "concat": cells.concat[i],
        "width": int(cells.width[i]),
        "depth": int(cells.depth[i]),
    }


def network(
    pairs: list[tuple[str, int]], concat: list[int] | None = None, *, width: int = 4, depth: int = 1, **options: Any
) -> nn.Sequential:
    """Build a network whose cells, of either kind, are the same; they put out every node or those named."""
    op = np.array([OPS.index(name) for name, _ in pairs]).reshape(-1, 2)
    source = np.array([i for _, i in pairs]).reshape(-1, 2)
    chosen = [concat is None or 2 + node in concat for node in range(len(op))]
    options = {"channels": 1, "rng": seeded()} | options
    model = build_cells([op] * 2, [source] * 2, [chosen] * 2, width, depth, **options)
    assert isinstance(model, nn.Sequential)
    return model


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed))


def leaves(model: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def cell_of(model: nn.Sequential, i: int = 0) -> Cell:
    cell = model[1 + i]
    assert isinstance(cell, Cell)
    return cell


# Counts


def assert_counts(
    cells: Cells, side: int, channels: int, *, device: str = "cpu", imagenet: bool = False, classes: int = 10
) -> None:
    counts = measure_cells(cells, image_size=side, channels=channels, classes=classes, imagenet_stem=imagenet)
    for i in range(len(cells)):
        outputs: list[int] = []
        counter = FlopCounterMode(display=False)
        with torch.device(device):
            model = build_cells(**net(cells, i), channels=channels, classes=classes, imagenet_stem=imagenet).eval()
            for layer in leaves(model):
                layer.register_forward_hook(lambda _, __, out, outputs=outputs: outputs.append(out.numel()))
            with counter, torch.no_grad():
                logits = model(torch.zeros(1, channels, side, side))
        assert logits.shape == (1, classes)
        assert sum(p.numel() for p in model.parameters()) == counts.params[i]
        # The counter counts two for a multiply-add, and leaves out the bias of the classifier.
        assert counter.get_total_flops() == 2 * (counts.macs[i] - classes)
        assert sum(outputs) == counts.acts[i]


@pytest.fixture
def whole_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out no part of a kernel that meets nothing but padding: the published counts have it too."""
    monkeypatch.setattr(layers, "_FEWEST", math.inf)


@pytest.mark.usefixtures("whole_kernels")
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("side", "channels", "models"), [(8, 1, 12), (9, 2, 4), (32, 3, 2)])
def test_counts_equal_those_of_the_network(space: str, side: int, channels: int, models: int) -> None:
    assert_counts(draw(space, models, seed=side), side, channels)


@pytest.mark.usefixtures("whole_kernels")
@pytest.mark.parametrize("space", SPACES)
def test_counts_equal_those_of_the_network_with_the_imagenet_stem(space: str) -> None:
    assert_counts(draw(space, 2, seed=1), 64, 3, imagenet=True)
    assert_counts(draw(space, 1, seed=2, width=24, depth=4), 224, 3, device="meta", imagenet=True, classes=1000)


@pytest.mark.slow
@pytest.mark.usefixtures("whole_kernels")
@pytest.mark.parametrize("space", SPACES)
def test_counts_equal_those_of_200_networks(space: str) -> None:
    assert_counts(draw(space, 200, seed=0, width=16, depth=12), 32, 3, device="meta")


def test_every_cell_is_built_and_two_reduce() -> None:
    # Depth 1: one cell, which reduces; depth 2: two that reduce, one after the other.
    for depth in range(1, 9):
        model = network([("conv_1x1", 0), ("skip_connect", 1)], depth=depth)
        cells = [layer for layer in model if isinstance(layer, Cell)]
        assert len(cells) == depth
        assert [i for i, cell in enumerate(cells) if cell.stride == 2] == sorted({depth // 3, 2 * depth // 3})
        assert model(random(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("side", [1, 2, 4, 7, 8])
@pytest.mark.parametrize("imagenet", [False, True])
def test_images_of_any_side_give_logits(side: int, imagenet: bool) -> None:
    pairs = [("skip_connect", 0), ("none", 1), ("dil_conv_5x5", 1), ("max_pool_7x7", 2), ("none", 0), ("none", 1)]
    model = network(pairs, depth=3, classes=7, imagenet_stem=imagenet)
    assert model(random(3, 1, side, side)).shape == (3, 7)


# Ops


def op(name: str, channels: int, stride: int) -> nn.Sequential:
    make = cell_models._LAYERS[name]
    assert make is not None
    return nn.Sequential(*make(channels, stride))


def test_every_op_has_layers_but_none() -> None:
    assert set(cell_models._LAYERS) == set(OPS)
    assert [name for name, make in cell_models._LAYERS.items() if make is None] == ["none"]


@pytest.mark.parametrize("side", [1, 2, 4, 7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPS)
def test_an_op_divides_the_side_by_its_stride_and_keeps_the_channels(name: str, stride: int, side: int) -> None:
    out = math.ceil(side / stride)
    if name == "none":  # only a cell knows the shape of nothing
        cell = cell_of(network([("none", 0), ("none", 1)], depth=1 if stride == 2 else 3))
        x = random(2, 12, side, side)
        assert cell((x, x))[1].shape == (2, 4 * stride, out, out)
        return
    assert op(name, 6, stride)(random(2, 6, side, side)).shape == (2, 6, out, out)


def expected(name: str, layers: nn.Sequential, x: Tensor, stride: int) -> Tensor:
    """Compute an op from the weights of its convolutions alone, with batch norms as they are at first."""
    weights = iter([layer.weight for layer in leaves(layers)])

    def norm(x: Tensor) -> Tensor:
        return x / math.sqrt(1 + 1e-5)  # running mean 0 and variance 1

    def unit(x: Tensor, k: int, stride: int, dilation: int) -> Tensor:
        depthwise = next(weights)
        x = functional.conv2d(x.relu(), depthwise, None, stride, dilation * (k // 2), dilation, groups=len(depthwise))
        return norm(functional.conv2d(x, next(weights)))

    k = int(name[-1]) if name[-1].isdigit() else 0
    match name.split("_"):
        case ["skip", _] if stride == 2:
            padded = functional.pad(x.relu(), (0, x.shape[3] % 2, 0, x.shape[2] % 2))
            pixels = padded[:, :, ::2, ::2], padded[:, :, 1::2, 1::2]
            return norm(torch.cat([functional.conv2d(part, next(weights)) for part in pixels], 1))
        case ["skip", _]:
            return x
        case ["max" | "avg" as kind, *_]:
            around = functional.pad(x, [k // 2] * 4, value=math.nan)
            windows = around.unfold(2, k, stride).unfold(3, k, stride).flatten(4)
            return windows.nanmean(4) if kind == "avg" else windows.nan_to_num(-math.inf).amax(4)
        case ["sep", *_]:
            return unit(unit(x, k, stride, 1), k, 1, 1)
        case ["dil", "conv", _]:
            return unit(x, k, stride, 2)
        case ["dil", "sep", *_]:
            return unit(unit(x, k, stride, 2), k, 1, 2)
        case ["conv", _]:
            return norm(functional.conv2d(x.relu(), next(weights), None, stride, k // 2))
        case _:
            x = functional.conv2d(x.relu(), next(weights), None, (1, stride), (0, k // 2))
            return norm(functional.conv2d(x, next(weights), None, (stride, 1), (k // 2, 0)))


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", [name for name in OPS if name != "none"])
def test_an_op_computes_what_it_says(name: str, stride: int, side: int) -> None:
    layers = op(name, 6, stride).eval()
    x = random(2, 6, side, side)
    kept = x.clone()
    torch.testing.assert_close(layers(x), expected(name, layers, x, stride))
    assert torch.equal(x, kept)


def test_a_factorized_reduce_by_hand() -> None:
    reduce = FactorizedReduce(1, 2)
    with torch.no_grad():
        reduce.even.weight.fill_(1)
        reduce.odd.weight.fill_(10)
    x = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])[None, None]
    # The even pixels; the odd ones of the map with a row and a column of zeros right and below.
    assert reduce(x).tolist() == [[[[1, 3], [7, 9]], [[50, 0], [0, 0]]]]
    assert reduce(x[:, :, :2, :2]).tolist() == [[[[1]], [[50]]]]
    assert reduce(x[:, :, :, :2]).tolist() == [[[[1], [7]], [[50], [0]]]]


# Cells


def test_a_cell_by_hand() -> None:
    pairs = [
        ("conv_1x1", 0), ("max_pool_3x3", 1),
        ("skip_connect", 2), ("sep_conv_3x3", 0),
        ("none", 1), ("avg_pool_3x3", 3),
        ("conv_3x3", 2), ("conv_3x3", 2),
    ]  # fmt: skip
    cell = cell_of(network(pairs, [3, 4], depth=3)).eval()
    assert cell.stride == 1
    s0, s1 = random(2, 12, 8, 8), random(2, 12, 8, 8, seed=1)
    maps = [cell.map_0(s0), cell.map_1(s1)]
    conv, pool, skip, separable, average, *_ = cell.ops  # without their first ReLU
    maps.append(conv(maps[0].relu()) + pool(maps[1]))
    maps.append(skip(maps[2]) + separable(maps[0].relu()))
    maps.append(average(maps[3]))
    kept, out = cell((s0, s1))
    assert kept is s1
    torch.testing.assert_close(out, torch.cat([maps[3], maps[4]], 1))


def test_a_reduction_cell_by_hand() -> None:
    # Both ops on the maps of the inputs have the stride 2, the one on a node has not.
    cell = cell_of(network([("max_pool_3x3", 0), ("skip_connect", 1), ("skip_connect", 2), ("none", 0)])).eval()
    s0, s1 = random(2, 12, 7, 7), random(2, 12, 7, 7, seed=1)
    pool, reduce, skip = cell.ops
    assert len(skip) == 0
    node = pool(cell.map_0(s0)) + reduce(cell.map_1(s1).relu())
    torch.testing.assert_close(cell((s0, s1))[1], torch.cat([node, node], 1))
    assert node.shape == (2, 8, 4, 4)


def test_maps_of_the_inputs_by_hand() -> None:
    model = network([("conv_1x1", 0), ("conv_1x1", 1)], depth=2).eval()
    x = random(2, 1, 8, 8)
    stem = model[0]
    assert isinstance(stem, Stem)
    s0, s1 = state = stem(x)
    assert s0 is s1
    convolution, norm = stem.first
    torch.testing.assert_close(s0, norm(convolution(x)))  # no ReLU
    cell = cell_of(model)
    for part, s in ((cell.map_0, s0), (cell.map_1, s1)):
        torch.testing.assert_close(part(s), part[2](functional.conv2d(s.relu(), part[1].weight)))
    # The cell before the second reduced: s0 has twice the side of s1.
    following = cell_of(model, 1)
    assert isinstance(following.map_0[1], FactorizedReduce)
    s0, s1 = cell(state)
    assert (s0.shape[2], s1.shape[2]) == (8, 4)
    assert following.map_0(s0).shape == following.map_1(s1).shape


def test_the_imagenet_stem_by_hand() -> None:
    model = network([("conv_1x1", 0), ("conv_1x1", 1)], width=6, imagenet_stem=True).eval()
    stem = model[0]
    assert isinstance(stem, Stem)
    conv_1, norm_1, _, conv_2, norm_2 = stem.first
    _, conv_3, norm_3 = stem.second
    x = random(2, 1, 33, 33)
    first = norm_2(conv_2(norm_1(conv_1(x)).relu()))
    s0, s1 = stem(x)
    torch.testing.assert_close(s0, first)
    torch.testing.assert_close(s1, norm_3(conv_3(first.relu())))
    assert (s0.shape, s1.shape) == ((2, 6, 9, 9), (2, 6, 5, 5))


@pytest.mark.parametrize("space", SPACES)
def test_no_shared_map_is_changed_in_place(space: str) -> None:
    model = build_cells(**net(draw(space, 1, seed=4), 0), channels=1, auxiliary=True, rng=seeded()).train()
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, __: Any, out: Tensor | tuple[Tensor, Tensor]) -> None:
        seen.extend((x, x.detach().clone()) for x in (out if isinstance(out, tuple) else (out,)))

    for layer in model.modules():
        if isinstance(layer, Cell):
            for part in (layer, layer.map_0, layer.map_1, *layer.ops):
                part.register_forward_hook(keep)
    model(random(4, 1, 8, 8))
    assert seen
    assert all(torch.equal(x, copy) for x, copy in seen)


# The op none


class Calls(TorchDispatchMode):
    """List the operators that run, each with the number of elements that it has allocated."""

    names: list[str]
    filled: list[int]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.names.append(func.overloadpacket.__name__)
        if any(word in self.names[-1] for word in ("zeros", "full", "fill", "empty")):
            self.filled.append(out.untyped_storage().nbytes() // out.element_size())
        return out


def calls_of(cell: Cell, side: int = 8) -> Calls:
    x = random(2, 12, side, side)
    calls: Calls = Calls()  # type: ignore[no-untyped-call]
    calls.names, calls.filled = [], []
    with calls:
        cell.train()((x, x))
    return calls


MAPS = ["relu", "convolution", "native_batch_norm"] * 2


def without_views(calls: Calls) -> list[str]:
    return [name for name in calls.names if name not in ("expand", "detach", "empty")]


@pytest.mark.parametrize("depth", [1, 3])
def test_a_cell_of_none_is_its_two_maps_and_one_zero(depth: int) -> None:
    cell = cell_of(network([("none", 0), ("none", 1), ("none", 2), ("none", 2)], depth=depth))
    assert not list(cell.ops.parameters())
    calls = calls_of(cell)
    assert without_views(calls) == [*MAPS, "new_zeros", "new_zeros", "cat"]
    assert max(calls.filled) <= 1
    x = random(2, 12, 7, 7)
    out = cell((x, x))[1]
    side, channels = (4, 16) if depth == 1 else (7, 8)
    assert torch.equal(out, torch.zeros(2, channels, side, side))


def test_a_zero_that_nothing_uses_is_not_made() -> None:
    # Node 2 is zero; only none looks at it.
    cell = cell_of(network([("none", 0), ("none", 1), ("max_pool_3x3", 0), ("none", 2)], [3]))
    assert without_views(calls_of(cell)) == [*MAPS, "max_pool2d_with_indices"]
    # Here an op does.
    cell = cell_of(network([("none", 0), ("none", 1), ("max_pool_3x3", 2), ("none", 2)], [3]))
    assert without_views(calls_of(cell)) == [*MAPS, "new_zeros", "max_pool2d_with_indices"]


def test_a_node_of_one_op_is_what_that_puts_out() -> None:
    cell = cell_of(network([("none", 0), ("skip_connect", 1)], depth=3)).eval()
    calls = calls_of(cell)
    assert without_views(calls) == MAPS
    outputs: list[Tensor] = []
    cell.map_1.register_forward_hook(lambda _, __, out: outputs.append(out))
    x = random(2, 12, 8, 8)
    assert cell((x, x))[1] is outputs[0]  # neither added to nor copied


def test_a_map_goes_through_relu_once_for_all_ops_on_it() -> None:
    pairs = [("conv_1x1", 0), ("conv_3x3", 0), ("dil_conv_3x3", 0), ("max_pool_3x3", 0)]
    names = calls_of(cell_of(network(pairs, depth=3))).names
    assert names.count("relu") == 3  # two for the maps of the inputs
    assert names.count("add") == 2


# Gradients


def reached(cells: Cells, i: int) -> list[tuple[bool, bool, list[bool]]]:
    """Tell of each cell whether its output depends on each input, on each op but none; from the last cell back."""
    depth = int(cells.depth[i])
    alive = [False] * depth + [False, False]
    alive[depth - 1] = True
    found = []
    for cell in reversed(range(depth)):
        kind = int(cell in (depth // 3, 2 * depth // 3))
        wanted = {2 + node for node in np.flatnonzero(cells.concat[i, kind]).tolist()} if alive[cell] else set()
        ops: list[bool] = []
        for node in reversed(range(cells.op.shape[2])):
            for place in (1, 0):
                if OPS[cells.op[i, kind, node, place]] == "none":
                    continue
                ops.append(2 + node in wanted)
                if 2 + node in wanted:
                    wanted.add(int(cells.input[i, kind, node, place]))
        found.append((0 in wanted, 1 in wanted, ops[::-1]))
        alive[cell - 1] |= 1 in wanted  # in cell 0, the last entry: the stem
        alive[cell - 2] |= 0 in wanted
    return found[::-1]


@pytest.mark.parametrize("space", SPACES)
def test_a_parameter_gets_a_gradient_iff_it_reaches_the_output(space: str) -> None:
    cells = draw(space, 8, seed=6, width=3, depth=5)
    cells.concat[::2] &= np.random.default_rng(0).random(cells.concat[::2].shape) < 0.5
    cells.concat[:, :, -1] = True  # at least one
    for i in range(len(cells)):
        model = build_cells(**net(cells, i), channels=1, rng=seeded(i)).train()
        assert isinstance(model, nn.Sequential)
        zero: set[nn.Module] = set()

        def note(layer: nn.Module, inputs: Any, _: Any, zero: set[nn.Module] = zero) -> None:
            if not inputs[0].any():
                zero.add(layer)

        for layer in model.modules():
            if list(layer.parameters(recurse=False)):
                layer.register_forward_hook(note)
        model(random(8, 1, 8, 8)).square().sum().backward()

        reach = reached(cells, i)
        parts: list[tuple[nn.Module, bool]] = [(model[-1], True)]
        for j, (first, second, ops) in enumerate(reach):
            cell = cell_of(model, j)
            parts += [(cell.map_0, first), (cell.map_1, second), *zip(cell.ops, ops, strict=True)]
        stem = any(reach[0][:2]) or (len(reach) > 1 and reach[1][0])
        parts.append((model[0], stem))
        assert sum(len(list(part.parameters())) for part, _ in parts) == len(list(model.parameters()))
        for part, reaches in parts:
            for layer in part.modules():
                for parameter in layer.parameters(recurse=False):
                    assert (parameter.grad is not None) == reaches, (i, layer)
                    if parameter.grad is not None and layer not in zero:
                        assert parameter.grad.any(), (i, layer)


def test_sharing_a_relu_does_not_change_the_gradient() -> None:
    pairs = [("conv_1x1", 0), ("conv_3x3", 0), ("sep_conv_3x3", 0), ("max_pool_3x3", 0)]
    cell = cell_of(network(pairs, depth=3)).double().train()
    s0, s1 = (random(2, 12, 8, 8, seed=seed).double() for seed in (0, 1))
    s0.requires_grad_()
    cell((s0, s1))[1].square().sum().backward()
    shared, s0.grad = s0.grad, None
    mapped = cell.map_0(s0)
    first, second, third, pool = cell.ops
    nodes = [first(mapped.relu()) + second(mapped.relu()), third(mapped.relu()) + pool(mapped)]
    torch.cat(nodes, 1).square().sum().backward()
    torch.testing.assert_close(shared, s0.grad)


# Initial weights, layouts


def test_initial_weights_follow_their_law() -> None:
    pairs = [("sep_conv_3x3", 0), ("conv_3x3", 1), ("conv_7x1_1x7", 0), ("skip_connect", 1)]
    model = network(pairs, width=32, depth=2)
    values = {}
    for layer in leaves(model):
        weight = layer.weight.detach()
        bound = 1 / math.sqrt(weight[0].numel())
        assert weight.abs().max() <= bound
        # Of n uniform values in +-b, the mean has the deviation b / sqrt(3 n); that of the squares, b^2 / 3, has
        # 2 b^2 / sqrt(45 n).
        n = weight.numel()
        assert abs(weight.mean().item()) < 5 * bound / math.sqrt(3 * n)
        assert weight.square().mean().item() == pytest.approx(bound**2 / 3, abs=10 * bound**2 / math.sqrt(45 * n))
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is None
        values[n] = weight
    assert len(values) > 6
    classifier = model[-1]
    assert isinstance(classifier, nn.Linear)
    assert 0 < classifier.bias.abs().max() <= 1 / math.sqrt(classifier.in_features)
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
        assert (norm.eps, norm.momentum, norm.num_batches_tracked) == (1e-5, 0.1, None)


def test_one_generator_state_gives_one_network() -> None:
    described = net(draw("nasnet", 1, seed=3), 0)
    first, again, other = (
        list(build_cells(**described, auxiliary=True, rng=seeded(seed)).parameters()) for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True) if a.dim() > 1)
    # The auxiliary head takes nothing from the other weights.
    alone = list(build_cells(**described, rng=seeded(1)).parameters())
    assert all(torch.equal(a, b) for a, b in zip(alone, first[: len(alone)], strict=True))


def test_nested_lists_describe_the_same_network() -> None:
    described = net(draw("darts", 1, seed=3), 0)
    lists = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in described.items()}
    pairs = zip(
        build_cells(**described, rng=seeded()).parameters(),
        build_cells(**lists, rng=seeded()).parameters(),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_narrow_integers_describe_the_same_network() -> None:
    described = net(draw("enas", 1, seed=3), 0) | {"width": 44, "depth": 3}
    narrow = {
        name: np.int8(value) if isinstance(value, int) else value.astype(np.int8) for name, value in described.items()
    }
    shapes = [[p.shape for p in build_cells(**arguments).parameters()] for arguments in (described, narrow)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("space", SPACES)
def test_memory_layout_does_not_change_the_result(space: str) -> None:
    for i in range(2):
        model = build_cells(**net(draw(space, 2, seed=8), i), rng=seeded()).eval()
        x = random(4, 3, 9, 9)
        with torch.no_grad():
            contiguous = model(x)
            channels_last = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
        torch.testing.assert_close(contiguous, channels_last, rtol=1e-4, atol=1e-5)


# Drop path


def test_drop_path_ends_every_op_but_none_and_the_identity() -> None:
    pairs = [
        ("skip_connect", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 2),
        ("none", 0),
        ("sep_conv_3x3", 3),
        ("none", 0),
    ]
    rng = seeded()
    reducing, normal = (cell_of(network(pairs, depth=3, drop_path=True, rng=rng), i) for i in (1, 0))
    for cell, wanted in ((reducing, [True, True, False, True]), (normal, [False, True, False, True])):
        assert [len(part) > 0 and isinstance(part[-1], DropPath) for part in cell.ops] == wanted
        paths = [layer for layer in cell.modules() if isinstance(layer, DropPath)]
        assert len(paths) == sum(wanted)
        assert all(path.rng is rng and path.probability == 0 for path in paths)
    assert not any(isinstance(layer, DropPath) for layer in network(pairs, depth=3).modules())


def test_drop_path_drops_samples_of_ops_apart_and_keeps_the_identity() -> None:
    cell = cell_of(network([("max_pool_3x3", 0), ("skip_connect", 0), ("max_pool_3x3", 0), ("none", 0)], depth=3,
                           drop_path=True))  # fmt: skip
    x = random(200, 12, 4, 4)
    for path in (layer for layer in cell.modules() if isinstance(layer, DropPath)):
        path.probability = 0.5
    mapped = cell.train().map_0(x)
    added, alone = cell((x, x))[1].split(4, 1)
    pooled = functional.max_pool2d(mapped, 3, 1, 1)
    kept = [torch.isclose(part, 2 * pooled, atol=1e-5).flatten(1).all(1) for part in (added - mapped, alone)]
    dropped = [torch.isclose(part, 0 * pooled, atol=1e-5).flatten(1).all(1) for part in (added - mapped, alone)]
    for one, other in zip(kept, dropped, strict=True):
        assert (one ^ other).all()
        assert 60 < one.sum() < 140
    assert not torch.equal(*kept)


def test_drop_path_does_not_change_the_initial_weights_nor_the_result_in_evaluation() -> None:
    described = net(draw("nasnet", 1, seed=3), 0)
    with_paths, without = (build_cells(**described, drop_path=drop, rng=seeded()) for drop in (True, False))
    for path in (layer for layer in with_paths.modules() if isinstance(layer, DropPath)):
        path.probability = 0.9
    x = random(4, 3, 8, 8)
    assert torch.equal(with_paths.eval()(x), without.eval()(x))
    assert not torch.equal(with_paths.train()(x), without.train()(x))


# Auxiliary head, training


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 8])
def test_the_auxiliary_head_sees_what_the_second_reduction_puts_out(depth: int) -> None:
    pairs = [("max_pool_3x3", 0), ("conv_1x1", 1), ("conv_1x1", 2), ("max_pool_3x3", 1)]
    code = np.array([OPS.index(name) for name, _ in pairs]).reshape(2, 2)
    source = np.array([i for _, i in pairs]).reshape(2, 2)
    concats = [[True, True], [False, True]]
    arguments = ([code] * 2, [source] * 2, concats, 4, depth)
    model = build_cells(*arguments, channels=1, classes=7, auxiliary=True, rng=seeded())
    assert isinstance(model, DeepSupervision)
    assert isinstance(model.head, AuxiliaryHead)
    cells = [layer for part in (model.front, model.back) for layer in part if isinstance(layer, Cell)]
    outputs: list[Tensor] = []
    looked: list[Tensor] = []
    cells[2 * depth // 3].register_forward_hook(lambda _, __, out: outputs.append(out[1]))
    model.head.register_forward_pre_hook(lambda _, inputs: looked.append(inputs[0]))
    x = random(4, 1, 8, 8)
    logits, auxiliary = model.train()(x)
    assert logits.shape == auxiliary.shape == (4, 7)
    assert looked[0] is outputs[0]
    plain = build_cells(*arguments, channels=1, classes=7, rng=seeded())
    assert torch.equal(plain.train()(x), logits)
    assert torch.equal(plain.eval()(x), model.eval()(x))
    assert len(looked) == 1  # not in evaluation


def digits(images: int) -> tuple[Tensor, Tensor]:
    known = data.find("digits").load(None)
    x = (torch.from_numpy(known.x_train[:images]).float() - torch.tensor(known.mean)) / torch.tensor(known.std)
    return x.permute(0, 3, 1, 2), torch.from_numpy(known.y_train[:images])


@pytest.mark.parametrize("space", list(SPACES)[::2])
def test_training_on_real_images_lowers_both_losses(space: str) -> None:
    x, y = digits(64)
    described = net(draw(space, 1, seed=5), 0) | {"width": 4, "depth": 3}
    model = build_cells(**described, channels=1, auxiliary=True, drop_path=True, rng=seeded()).train()
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


def test_half_of_an_odd_width_is_refused() -> None:
    pairs = [("conv_1x1", 0), ("conv_1x1", 1)]
    network(pairs, width=5)
    message = r"^The width is 5, and the ImageNet stem starts with half of it; give an even width\.$"
    with pytest.raises(EdfkitError, match=message):
        network(pairs, width=5, imagenet_stem=True)
