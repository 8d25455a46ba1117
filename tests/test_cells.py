import copy
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edfkit import EdfkitError
from edfkit.archive.schema import KINDS, OPS
from edfkit.generator.spaces.cells import Cells, from_genotypes, measure_cells, to_genotypes

Net = dict[str, Any]
FIELDS = ("op", "input", "concat", "width", "depth")


def network(pairs: list[tuple[str, int]], *, width: int = 2, depth: int = 1) -> Net:
    """Describe a network whose cells, of either kind, are the same and concatenate every node."""
    concat = list(range(2, 2 + len(pairs) // 2))
    genotype = {"normal": [*pairs], "normal_concat": concat, "reduce": [*pairs], "reduce_concat": [*concat]}
    return {"width": width, "depth": depth, "aux": False, "drop_prob": 0.0, "genotype": genotype}


def genotypes(nodes: int) -> st.SearchStrategy[Net]:
    """Genotypes of any op with any input, that concatenate all nodes, those nobody uses, or any."""

    @st.composite
    def genotype(draw: st.DrawFn) -> Net:
        cells: Net = {}
        for kind in KINDS:
            pairs = [[draw(st.sampled_from(OPS)), draw(st.integers(0, 1 + place // 2))] for place in range(2 * nodes)]
            names = range(2, 2 + nodes)
            loose = [node for node in names if node not in {i for _, i in pairs}]
            some = st.lists(st.sampled_from(names), min_size=1, unique=True).map(sorted)
            cells |= {kind: pairs, f"{kind}_concat": draw(st.just(list(names)) | st.just(loose) | some)}
        return cells

    return genotype()


def networks(nodes: int) -> st.SearchStrategy[list[Net]]:
    """Several networks, of even width so that either stem fits."""
    sizes = {"width": st.integers(1, 20).map(lambda half: 2 * half), "depth": st.integers(1, 9)}
    return st.lists(st.fixed_dictionaries({**sizes, "genotype": genotypes(nodes)}), min_size=1, max_size=3)


# An independent count: walks one network with the shapes of its maps and writes down each layer.


@dataclass
class Walk:
    """The layers that a network runs, in order, with what each counts; maps are (channels, rows, columns)."""

    params: int = 0
    macs: int = 0
    acts: int = 0
    relu: int = 0
    pool: int = 0
    quirk: int = 0
    layers: list[str] = field(default_factory=list)

    def conv(
        self,
        x: tuple[int, int, int],
        outputs: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
        dilation: int = 1,
    ) -> tuple[int, int, int]:
        assert x[0] % groups == outputs % groups == 0
        reach = [dilation * (k - 1) for k in kernel]  # padded by half of it on either side
        size = [(n + r - r - 1) // s + 1 for n, r, s in zip(x[1:], reach, stride, strict=True)]
        weights = outputs * (x[0] // groups) * kernel[0] * kernel[1]
        self.params += weights
        self.macs += weights * size[0] * size[1]
        self.acts += outputs * size[0] * size[1]
        # The published files give the reach of a dilated kernel to the padding, but not to the kernel.
        seen = [(n + r - k) // s + 1 for n, r, k, s in zip(x[1:], reach, kernel, stride, strict=True)]
        self.quirk += weights * (seen[0] * seen[1] - size[0] * size[1])
        self.layers.append(f"conv {kernel}")
        return (outputs, size[0], size[1])

    def norm(self, x: tuple[int, int, int]) -> tuple[int, int, int]:
        self.params += x[0] + x[0]
        self.layers.append("norm")
        return x

    def rectify(self, x: tuple[int, int, int]) -> tuple[int, int, int]:
        self.relu += x[0] * x[1] * x[2]
        self.layers.append("relu")
        return x

    def factorized_reduce(self, x: tuple[int, int, int], outputs: int) -> tuple[int, int, int]:
        c, h, w = self.rectify(x)
        first = self.conv((c, h, w), outputs // 2, (1, 1), (2, 2))
        # An odd map takes a row and a column of zeros before it is shifted by one pixel.
        second = self.conv((c, h + h % 2 - 1, w + w % 2 - 1), outputs // 2, (1, 1), (2, 2))
        assert first == second
        return self.norm((first[0] + second[0], *first[1:]))

    def op(self, name: str, x: tuple[int, int, int], stride: int) -> tuple[int, int, int]:
        c = x[0]
        family, _, size = name.rpartition("_")
        k = int(size[0]) if size[0].isdigit() else 0
        if name == "none":
            return (c, len(range(0, x[1], stride)), len(range(0, x[2], stride)))
        if name == "skip_connect":
            return x if stride == 1 else self.factorized_reduce(x, c)
        if family.endswith("pool"):
            y = (c, (x[1] + 2 * (k // 2) - k) // stride + 1, (x[2] + 2 * (k // 2) - k) // stride + 1)
            self.pool += k * k * y[0] * y[1] * y[2]
            self.layers.append("pool")
            return y
        if family == "conv":
            return self.norm(self.conv(self.rectify(x), c, (k, k), (stride, stride)))
        if family.startswith("conv_"):
            k = int(family[5])
            x = self.conv(self.rectify(x), c, (1, k), (1, stride))
            return self.norm(self.conv(x, c, (k, 1), (stride, 1)))
        units = {"sep_conv": (2, 1), "dil_conv": (1, 2), "dil_sep_conv": (2, 2)}[family]
        for unit in range(units[0]):
            step = (1, 1) if unit else (stride, stride)
            x = self.conv(self.rectify(x), c, (k, k), step, groups=c, dilation=units[1])
            x = self.norm(self.conv(x, c, (1, 1)))
        return x


def walk(net: Net, image_size: int, channels: int, classes: int, imagenet_stem: bool) -> tuple[int, int, int, int]:
    """Count params, macs, flops and acts of one network, layer by layer."""
    log = Walk()
    c, depth = net["width"], net["depth"]
    x = (channels, image_size, image_size)
    if imagenet_stem:
        x = log.rectify(log.norm(log.conv(x, c // 2, (3, 3), (2, 2))))
        s0 = log.norm(log.conv(x, c, (3, 3), (2, 2)))
        s1 = log.norm(log.conv(log.rectify(s0), c, (3, 3), (2, 2)))
    else:
        s0 = s1 = log.norm(log.conv(x, 3 * c, (3, 3)))
    reduced = imagenet_stem
    for cell in range(depth):
        reduces = cell in (depth // 3, 2 * depth // 3)
        kind = "reduce" if reduces else "normal"
        c *= 1 + reduces
        a = log.factorized_reduce(s0, c) if reduced else log.norm(log.conv(log.rectify(s0), c, (1, 1)))
        b = log.norm(log.conv(log.rectify(s1), c, (1, 1)))
        assert a == b
        maps = [a, b]
        pairs = net["genotype"][kind]
        for left, right in zip(pairs[::2], pairs[1::2], strict=True):
            ends = {log.op(op, maps[i], 2 if reduces and i < 2 else 1) for op, i in (left, right)}
            assert len(ends) == 1  # else they could not be added
            maps.append(ends.pop())
        joined = [maps[i] for i in net["genotype"][f"{kind}_concat"]]
        s0, s1, reduced = s1, (sum(m[0] for m in joined), *joined[0][1:]), reduces
    fc = s1[0] * classes + classes
    pooled = s1[0] * s1[1] * s1[2]
    flops = log.macs + log.quirk + log.relu + log.pool + pooled + fc
    return log.params + fc, log.macs + fc, flops, log.acts + classes


@pytest.mark.parametrize(("name", "models"), [("NASNet_in", 122), ("ENAS_in", 117), ("DARTS_in", 121)])
def test_counts_equal_those_of_every_published_record(published: Path, name: str, models: int) -> None:
    records = json.loads((published / f"{name}.json").read_text(encoding="utf-8"))
    assert len(records) == models
    cells = from_genotypes([record["net"] for record in records])
    counted = measure_cells(cells, image_size=224, classes=1000, imagenet_stem=True)
    assert_array_equal(counted.params, [record["params"] for record in records])
    assert_array_equal(counted.flops, [record["flops"] for record in records])


@pytest.mark.parametrize(
    ("image_size", "channels", "classes", "imagenet_stem"),
    [(32, 3, 10, False), (8, 1, 10, False), (33, 3, 7, False), (224, 3, 1000, True), (37, 3, 5, True)],
)
@given(st.sampled_from([4, 5]).flatmap(networks))
@settings(max_examples=40)
def test_counts_equal_a_walk_over_the_layers(
    image_size: int, channels: int, classes: int, imagenet_stem: bool, nets: list[Net]
) -> None:
    size = {"image_size": image_size, "channels": channels, "classes": classes}
    counted = measure_cells(from_genotypes(nets), **size, imagenet_stem=imagenet_stem)
    for i, net in enumerate(nets):
        assert tuple(count[i] for count in counted) == walk(net, **size, imagenet_stem=imagenet_stem)


def test_a_network_by_hand() -> None:
    # Width 2, one cell, which reduces; node: none(s0) + none(s1). Image 8x8 of 1 channel, 3 classes.
    #                            params            macs            flops                         acts
    # stem conv 3x3 1 -> 6, BN   54 + 12           54 * 64         54 * 64                       6 * 64
    # two maps, 6 -> 4, BN       2 * (24 + 8)      2 * 24 * 64     2 * (24 * 64 + 6 * 64)        2 * 4 * 64
    # pool 4x4x4, fc 4 -> 3      12 + 3            15              15 + 64                       3
    cells = from_genotypes([network([("none", 0), ("none", 1)])])
    assert [int(count[0]) for count in measure_cells(cells, image_size=8, channels=1, classes=3)] == [
        66 + 64 + 15,
        3456 + 3072 + 15,
        3456 + 3072 + 768 + 15 + 64,
        384 + 512 + 3,
    ]


def added_by(op: str, stride: int, *, width: int = 2, side: int = 8) -> list[int]:
    """Count what an op on 2 * width channels of side x side adds to a network whose other ops are none."""
    # In a reduction cell an op on s0 has the stride 2; the side halves before an op on node 2, of stride 1.
    place, source, image = (0, 0, side) if stride == 2 else (2, 2, 2 * side)
    nothing = [("none", 0)] * 4
    some = [*nothing[:place], (op, source), *nothing[place + 1 :]]
    cells = from_genotypes([network(some, width=width), network(nothing, width=width)])
    return [int(count[0] - count[1]) for count in measure_cells(cells, image_size=image)]


# On 4 channels, 8x8: 256 elements enter a ReLU. W are the weights of a unit, BN 8 parameters.
STRIDE_1 = {  # 64 positions come out
    "none": (0, 0, 0, 0),
    "skip_connect": (0, 0, 0, 0),
    "avg_pool_3x3": (0, 0, 9 * 256, 0),
    "max_pool_3x3": (0, 0, 9 * 256, 0),
    "max_pool_5x5": (0, 0, 25 * 256, 0),
    "max_pool_7x7": (0, 0, 49 * 256, 0),
    "sep_conv_3x3": (120, 6656, 7168, 1024),  # W = 36 + 16; 2 (52 + 8), 2 * 52 * 64, + 2 * 256, 4 * 256
    "sep_conv_5x5": (248, 14848, 15360, 1024),  # W = 100 + 16; 2 (116 + 8), 2 * 116 * 64, + 2 * 256
    "sep_conv_7x7": (440, 27136, 27648, 1024),  # W = 196 + 16; 2 (212 + 8), 2 * 212 * 64, + 2 * 256
    "dil_conv_3x3": (60, 3328, 4880, 512),  # side 8 + 4 - 3 + 1 = 10: 36 * 100 + 16 * 64 + 256
    "dil_conv_5x5": (124, 7424, 15680, 512),  # side 8 + 8 - 5 + 1 = 12: 100 * 144 + 16 * 64 + 256
    "dil_sep_conv_3x3": (120, 6656, 9760, 1024),  # dil_conv_3x3 twice
    "conv_1x1": (24, 1024, 1280, 256),  # W = 16
    "conv_3x3": (152, 9216, 9472, 256),  # W = 144
    "conv_3x1_1x3": (104, 6144, 6400, 512),  # W = 48 + 48
    "conv_7x1_1x7": (232, 14336, 14592, 512),  # W = 112 + 112
}
STRIDE_2 = {  # 16 positions, 64 elements come out
    "none": (0, 0, 0, 0),
    "skip_connect": (24, 256, 512, 64),  # two 1x1 convolutions 4 -> 2: 8 + 8 + BN, 16 * 16, + 256
    "avg_pool_3x3": (0, 0, 9 * 64, 0),
    "max_pool_3x3": (0, 0, 9 * 64, 0),
    "max_pool_5x5": (0, 0, 25 * 64, 0),
    "max_pool_7x7": (0, 0, 49 * 64, 0),
    "sep_conv_3x3": (120, 1664, 1984, 256),  # 2 * 52 * 16, + 256 + 64
    "sep_conv_5x5": (248, 3712, 4032, 256),  # 2 * 116 * 16, + 256 + 64
    "sep_conv_7x7": (440, 6784, 7104, 256),  # 2 * 212 * 16, + 256 + 64
    "dil_conv_3x3": (60, 832, 1412, 128),  # side (8 + 4 - 3) // 2 + 1 = 5: 36 * 25 + 16 * 16 + 256
    "dil_conv_5x5": (124, 1856, 4112, 128),  # side (8 + 8 - 5) // 2 + 1 = 6: 100 * 36 + 16 * 16 + 256
    "dil_sep_conv_3x3": (120, 1664, 3028, 256),  # 1412, then side 4 + 4 - 3 + 1 = 6: 36 * 36 + 16 * 16 + 64
    "conv_1x1": (24, 256, 512, 64),
    "conv_3x3": (152, 2304, 2560, 64),
    "conv_3x1_1x3": (104, 2304, 2560, 192),  # 1 x 3 first, to 8x4: 48 * 32 + 48 * 16; 4 * (32 + 16)
    "conv_7x1_1x7": (232, 5376, 5632, 192),  # 112 * 32 + 112 * 16
}


@pytest.mark.parametrize("op", OPS)
def test_each_op_by_hand(op: str) -> None:
    assert added_by(op, 1) == list(STRIDE_1[op])
    assert added_by(op, 2) == list(STRIDE_2[op])


class Shift(nn.Module):
    """Shift a map by one pixel, after padding that keeps the number of positions of stride 2."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]


class Beside(nn.ModuleList):
    """Concatenate what several modules make of one map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self], 1)


def build(op: str, c: int, s: int) -> nn.Module:
    """Build an op; a pooling, as a mere convolution of nothing, is the identity here."""

    def conv(outputs: int, kh: int, kw: int, sh: int = 1, sw: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
        pad = (dilation * (kh // 2), dilation * (kw // 2))
        return nn.Conv2d(c, outputs, (kh, kw), (sh, sw), pad, dilation, groups, bias=False)

    def unit(k: int, stride: int, dilation: int) -> nn.Sequential:
        depthwise = conv(c, k, k, stride, stride, c, dilation)
        return nn.Sequential(nn.ReLU(), depthwise, conv(c, 1, 1), nn.BatchNorm2d(c))

    match op.split("_"):
        case ["skip", _] if s == 2:
            branches = Beside([conv(c // 2, 1, 1, 2, 2), nn.Sequential(Shift(), conv(c // 2, 1, 1, 2, 2))])
            return nn.Sequential(nn.ReLU(), branches, nn.BatchNorm2d(c))
        case ["sep", _, k]:
            return nn.Sequential(unit(int(k[0]), s, 1), unit(int(k[0]), 1, 1))
        case ["dil", "conv", k]:
            return unit(int(k[0]), s, 2)
        case ["dil", "sep", _, k]:
            return nn.Sequential(unit(int(k[0]), s, 2), unit(int(k[0]), 1, 2))
        case ["conv", k]:
            return nn.Sequential(nn.ReLU(), conv(c, int(k[0]), int(k[0]), s, s), nn.BatchNorm2d(c))
        case ["conv", k, _]:
            n = int(k[0])
            return nn.Sequential(nn.ReLU(), conv(c, 1, n, 1, s), conv(c, n, 1, s, 1), nn.BatchNorm2d(c))
        case _:
            return nn.Identity()


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("op", OPS)
def test_each_op_counts_as_its_module(op: str, stride: int, side: int) -> None:
    module = build(op, 6, stride).eval()
    acts: list[int] = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _, __, out: acts.append(out.numel()))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        out = module(torch.zeros(1, 6, side, side))
    if acts:
        assert out.shape == (1, 6, -(-side // stride), -(-side // stride))
    params, macs, _, counted = added_by(op, stride, width=3, side=side)
    assert params == sum(p.numel() for p in module.parameters())
    assert 2 * macs == counter.get_total_flops()
    assert counted == sum(acts)


def drawn(models: int, seed: int) -> Cells:
    """Draw networks of five nodes that concatenate all of them."""
    rng = np.random.default_rng(seed)
    shape = (models, 2, 5, 2)
    inputs = rng.integers(0, np.arange(2, 7)[:, None], shape)
    width, depth = 2 * rng.integers(8, 33, models), rng.integers(1, 23, models)
    return Cells(rng.integers(0, len(OPS), shape), inputs, np.ones(shape[:3], bool), width, depth)


def chosen(cells: Cells, models: Any) -> Cells:
    return Cells(*(getattr(cells, name)[models] for name in FIELDS))


def test_models_are_counted_apart() -> None:
    cells = drawn(200, seed=1)
    assert len(cells) == 200
    order = np.random.default_rng(2).permutation(200)
    whole = measure_cells(cells)
    for count, permuted, first in zip(
        whole,
        measure_cells(chosen(cells, order)),
        measure_cells(chosen(cells, slice(1))),
        strict=True,
    ):
        assert count.dtype == np.int64
        assert_array_equal(permuted, count[order])
        assert_array_equal(first, count[:1])
    assert [count.shape for count in measure_cells(chosen(cells, slice(0)))] == [(0,)] * 4


def test_what_nothing_uses_counts() -> None:
    # Node 2 goes nowhere: it adds the ops of its two inputs all the same, and nothing but them.
    pairs = [("conv_3x3", 0), ("none", 1), ("none", 0), ("none", 1)]
    net = network(pairs)
    bare = network([("none", 0), *pairs[1:]])
    for described in (net, bare):
        described["genotype"]["normal_concat"] = described["genotype"]["reduce_concat"] = [3]
    params = measure_cells(from_genotypes([net, bare]), image_size=8).params
    assert params[0] - params[1] == 152


def test_narrow_integers_are_counted_alike() -> None:
    # Depths whose double is beyond 8 bits, and widths whose products are.
    cells = replace(drawn(50, seed=3), depth=np.arange(60, 110), width=np.arange(20, 120, 2))
    narrow = Cells(
        cells.op.astype(np.int8),
        cells.input.astype(np.int8),
        cells.concat,
        *(sizes.astype(np.int8) for sizes in (cells.width, cells.depth)),
    )
    for wide_count, narrow_count in zip(measure_cells(cells), measure_cells(narrow), strict=True):
        assert narrow_count.dtype == np.int64
        assert_array_equal(narrow_count, wide_count)


def test_genotypes_are_read() -> None:
    net = network([("none", 0), ("conv_7x1_1x7", 1), ("skip_connect", 2), ("sep_conv_3x3", 0)], width=4, depth=7)
    net["genotype"]["normal_concat"] = [3]
    cells = from_genotypes([net])
    assert cells.op.tolist() == [[[[0, 15], [1, 6]]] * 2]
    assert cells.input.tolist() == [[[[0, 1], [2, 0]]] * 2]
    assert cells.concat.tolist() == [[[False, True], [True, True]]]
    assert (cells.width.tolist(), cells.depth.tolist()) == ([4], [7])
    del net["aux"], net["drop_prob"]
    assert_array_equal(from_genotypes([net]).op, cells.op)


@given(st.sampled_from([1, 4, 5]).flatmap(networks))
def test_networks_are_described_as_they_are_read(nets: list[Net]) -> None:
    cells = from_genotypes(nets)
    described = to_genotypes(cells)
    assert described == nets
    assert json.loads(json.dumps(described)) == described
    again = from_genotypes(described)
    for name in FIELDS:
        assert_array_equal(getattr(again, name), getattr(cells, name))
        assert getattr(again, name).dtype == getattr(cells, name).dtype


def test_any_cells_are_described() -> None:
    cells = drawn(50, seed=4)
    narrow = replace(cells, op=cells.op.astype(np.int8), input=cells.input.astype(np.int8), concat=cells.concat + 0)
    for described in (to_genotypes(cells), to_genotypes(narrow)):
        for name in FIELDS:
            assert_array_equal(getattr(from_genotypes(described), name), getattr(cells, name))
    assert to_genotypes(chosen(cells, slice(0))) == []
    assert to_genotypes(chosen(cells, slice(7, 9))) == to_genotypes(cells)[7:9]


def test_published_networks_are_described_as_published(published: Path) -> None:
    for name in ("NASNet_in", "ENAS_in", "DARTS_in"):
        nets = [record["net"] for record in json.loads((published / f"{name}.json").read_text(encoding="utf-8"))]
        told = [{key: net[key] for key in ("width", "depth", "genotype")} for net in nets]
        assert to_genotypes(from_genotypes(nets)) == told


def test_an_output_is_described_in_the_order_of_the_nodes() -> None:
    net = network([("none", 0), ("none", 1), ("conv_1x1", 2), ("none", 2)])
    net["genotype"]["normal_concat"] = [3, 2]
    assert to_genotypes(from_genotypes([net]))[0]["genotype"]["normal_concat"] == [2, 3]


PAIRS = [("none", 0), ("conv_1x1", 1), ("none", 2), ("conv_1x1", 0)]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["aux"], True, r"^Network 1 has an auxiliary head, which is not counted here; describe it with aux false\.$"),
        (["width"], 0, r"^Network 1 has the width 0, expected a whole number from 1 to 16,384; correct it\.$"),
        (["width"], 16.0, r"^Network 1 has the width 16\.0, expected a whole number"),
        (["depth"], "6", r"^Network 1 has the depth '6', expected a whole number"),
        (
            ["genotype"],
            {},
            r"^Network 1 is not described as in the published files \(KeyError: 'normal'\); give width,",
        ),
        (["genotype", "reduce"], [("none",)], r"^Network 1 is not described as in the published files \(ValueError: "),
        (["genotype", "reduce"], None, r"^Network 1 is not described as in the published files \(TypeError: "),
        (
            ["genotype", "reduce", 3],
            ("conv_9x9", 0),
            r"^Network 1 has the op 'conv_9x9' in its reduce cell; choose one",
        ),
        (
            ["genotype", "normal", 3],
            ("none", 3),
            r"^Network 1 has the input 3 at node 3 of its normal cell, expected 0 to 2; let a node take only",
        ),
        (["genotype", "normal", 0], ("none", 2), r"input 2 at node 2 of its normal cell, expected 0 to 1;"),
        (["genotype", "normal", 0], ("none", -1), r"input -1 at node 2 of its normal cell, expected 0 to 1;"),
        (["genotype", "normal", 0], ("none", "0"), r"input '0' at node 2 of its normal cell"),
        (
            ["genotype", "reduce_concat"],
            [2, 4],
            r"^Network 1 concatenates \[2, 4\] in its reduce cell, expected one or more of the nodes 2 to 3, each",
        ),
        (["genotype", "normal_concat"], [1, 2], r"concatenates \[1, 2\] in its normal cell"),
        (["genotype", "normal_concat"], [3, 3], r"concatenates \[3, 3\] in its normal cell"),
        (["genotype", "normal_concat"], [], r"concatenates \[\] in its normal cell"),
        (
            ["genotype", "reduce"],
            PAIRS[:3],
            r"^Network 1 has 3 ops in its reduce cell, expected two for each node, of which there can be 20; add or ",
        ),
        (["genotype", "reduce"], [], r"has 0 ops in its reduce cell, expected two for each node"),
    ],
)
def test_what_is_no_network_is_refused(path: list[str | int], value: Any, message: str) -> None:
    net = network(PAIRS)
    broken = copy.deepcopy(net)
    place: Any = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    from_genotypes([net, net])
    with pytest.raises(EdfkitError, match=message):
        from_genotypes([net, broken])


def test_networks_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(EdfkitError, match=r"^There are no networks to read; give at least one\.$"):
        from_genotypes([])
    message = r"^Network 1 has 2 ops in its normal cell, expected 4 as in the normal cell of network 0; read networks"
    with pytest.raises(EdfkitError, match=message):
        from_genotypes([network(PAIRS), network(PAIRS[:2])])
    mixed = network(PAIRS)
    mixed["genotype"] |= {"reduce": PAIRS[:2], "reduce_concat": [2]}
    with pytest.raises(EdfkitError, match=r"^Network 0 has 2 ops in its reduce cell, expected 4"):
        from_genotypes([mixed])


def test_half_of_an_odd_width_is_refused() -> None:
    cells = from_genotypes([network(PAIRS, width=4), network(PAIRS, width=33)])
    measure_cells(cells)
    message = r"^Network 1 has the width 33, and the ImageNet stem starts with half of it; give an even width\.$"
    with pytest.raises(EdfkitError, match=message):
        measure_cells(cells, imagenet_stem=True)
