"""Kinds of space against published numbers, plain enumerations and definitions one node at a time."""

from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edfkit import EdfkitError
from edfkit.archive.schema import OPS
from edfkit.generator import spaces
from edfkit.generator.spaces.cells import Cells, from_genotypes, measure_cells, prune
from edfkit.generator.spaces.counting import measure
from edfkit.generator.spaces.kinds import Architecture, CellSpace, StageSpace
from edfkit.generator.spaces.sampling import sample
from edfkit.generator.training.data import geometry

NONE = OPS.index("none")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vanilla", 1_259_712),
        ("resnet", 1_259_712),
        ("resnet-b", 421_875),
        ("resnext-a", 11_390_625),
        ("resnext-b", 52_734_375),
        ("resnext-a_in", 11_390_625),
        ("resnext-b_in", 52_734_375),
        ("resnet-56", 1),
        ("resnet-110", 1),
        ("vanilla-56", 1),
    ],
)
def test_there_are_as_many_networks_of_stages_as_published(name: str, size: int) -> None:
    assert spaces.SPACES[name].size == size


@pytest.mark.parametrize(
    ("name", "ops", "nodes", "billions"),
    [
        ("nasnet", 13, 5, 71_465_842),
        ("amoeba", 8, 5, 556_628),
        ("pnas", 8, 5, 556_628),
        ("enas", 5, 5, 5_063),
        ("darts", 8, 4, 242),
    ],
)
@pytest.mark.parametrize("suffix", ["", "_in"])
def test_there_are_as_many_cells_as_published(name: str, suffix: str, ops: int, nodes: int, billions: int) -> None:
    space = spaces.SPACES[name + suffix]
    assert isinstance(space, CellSpace)
    assert (len(space.ops), space.nodes) == (ops, nodes)
    one_at_a_time = 1
    for node in range(nodes):
        one_at_a_time *= (ops * (2 + node)) ** 2
    assert space.cells == one_at_a_time
    assert (space.cells + 5 * 10**8) // 10**9 == billions  # halves, as of ENAS, go up
    sizes = 5 * 5 if suffix else 3 * 5
    assert space.size == one_at_a_time**2 * sizes
    assert type(space.size) is int


def test_a_space_of_cells_is_as_large_as_what_can_be_drawn_from_it() -> None:
    space = CellSpace("few", Architecture("cells"), ("none", "conv_1x1"), 1, "loose", (4, 8), (1,))
    assert (space.cells, space.size) == (16, 512)
    columns = sample(space, 50_000, seed=1, **geometry("digits")).columns
    drawn = {
        (op.tobytes(), taken.tobytes(), int(width))
        for op, taken, width in zip(columns["op"], columns["input"], columns["width"], strict=True)
    }
    assert len(drawn) == 512


SMALL = StageSpace(
    "small",
    Architecture("res_bottleneck_block"),
    {"depth": (1, 2, 5), "width": (8, 16), "bot_mul": (0.25, 1.0), "groups": (1, 2)},
    2,
)


def configurations(columns: dict[str, Any]) -> list[tuple[Any, ...]]:
    return list(zip(*(map(tuple, column.tolist()) for column in columns.values()), strict=True))


@pytest.mark.parametrize("stages", [1, 2])
def test_an_enumeration_gives_every_configuration_once(stages: int) -> None:
    space = replace(SMALL, stages=stages)
    found = configurations(space.enumerate(0, space.size))
    expected = set(product(*(product(values, repeat=stages) for values in space.values.values())))
    assert len(found) == space.size == len(expected) == 24**stages
    assert set(found) == expected


@given(st.lists(st.integers(0, 576), max_size=6), st.integers(0, 576))
def test_an_enumeration_in_parts_is_the_whole(cuts: list[int], start: int) -> None:
    whole = SMALL.enumerate(0, SMALL.size)
    ends = sorted({0, SMALL.size, *cuts})
    parts = [SMALL.enumerate(a, b) for a, b in pairwise(ends)]
    drawn = SMALL.draw(np.random.default_rng(1), 3)
    for name, column in whole.items():
        assert_array_equal(np.concatenate([part[name] for part in parts]), column)
        assert_array_equal(SMALL.enumerate(start, SMALL.size)[name], column[start:])
        assert (column.dtype, column.shape[1:]) == (drawn[name].dtype, drawn[name].shape[1:])


def test_the_largest_space_is_enumerated_to_its_end() -> None:
    space = spaces.SPACES["resnext-b"]
    assert isinstance(space, StageSpace)
    first, last = space.enumerate(0, 1), space.enumerate(space.size - 1, space.size)
    for name, values in space.values.items():
        assert first[name].tolist() == [[values[0]] * 3]
        assert last[name].tolist() == [[values[-1]] * 3]
    rng = np.random.default_rng(2)
    some = np.sort(rng.integers(0, space.size, 200))
    assert len({configurations(space.enumerate(i, i + 1))[0] for i in some}) == len(set(some.tolist()))


@st.composite
def cells(draw: st.DrawFn, models: int = 3) -> Cells:
    """Networks of any ops, inputs and outputs."""
    nodes = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (models, 2, nodes, 2)
    inputs = rng.integers(0, 2 + np.arange(nodes)[:, None], shape)
    concat = rng.random(shape[:3]) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    concat[~concat.any(2), draw(st.integers(0, nodes - 1))] = True
    width, depth = 2 * rng.integers(1, 9, models), rng.integers(1, 9, models)
    kind = draw(st.sampled_from([np.int64, np.int8]))  # an archive holds the latter
    return Cells(rng.integers(0, len(OPS), shape).astype(kind), inputs.astype(kind), concat, width, depth)


def feeds_the_output(inputs: list[list[int]], concat: list[bool], node: int) -> bool:
    """Say whether anything that a node computes can reach the output of its cell."""
    takers = [later for later in range(node + 1, len(concat)) if 2 + node in inputs[later]]
    return concat[node] or any(feeds_the_output(inputs, concat, later) for later in takers)


@given(cells())
def test_pruning_takes_the_ops_of_the_nodes_that_feed_nothing(nets: Cells) -> None:
    pruned = prune(nets)
    for i, kind, node in product(range(len(nets)), range(2), range(nets.op.shape[2])):
        used = feeds_the_output(nets.input[i, kind].tolist(), nets.concat[i, kind].tolist(), node)
        assert pruned.op[i, kind, node].tolist() == (nets.op[i, kind, node].tolist() if used else [NONE, NONE])
    for name in ("input", "concat", "width", "depth"):
        assert getattr(pruned, name) is getattr(nets, name)


@given(cells())
def test_pruning_twice_is_pruning_once(nets: Cells) -> None:
    once = prune(nets)
    assert_array_equal(prune(once).op, once.op)
    assert once.op.dtype == nets.op.dtype


@given(cells(models=8))
def test_pruning_counts_no_more_and_the_same_where_all_is_used(nets: Cells) -> None:
    before, after = measure_cells(nets), measure_cells(prune(nets))
    everything = prune(replace(nets, concat=np.ones_like(nets.concat)))
    assert_array_equal(everything.op, nets.op)
    for one, other in zip(before, after, strict=True):
        assert (other <= one).all()
        whole = (prune(nets).op == nets.op).all((1, 2, 3))
        assert_array_equal(other[whole], one[whole])


def test_pruning_a_cell_by_hand() -> None:
    # Node 2 feeds node 4, which is put out; node 3 feeds node 5, which is not; node 6 feeds nothing.
    pairs = [("conv_1x1", 0), ("conv_3x3", 1)] * 2
    pairs += [("skip_connect", 2), ("sep_conv_3x3", 0), ("conv_1x1", 3), ("conv_1x1", 2), ("conv_3x3", 4)]
    pairs += [("conv_3x3", 4)]
    genotype = {"normal": pairs, "normal_concat": [4], "reduce": pairs, "reduce_concat": [4, 5]}
    nets = from_genotypes([{"width": 4, "depth": 1, "genotype": genotype}])
    names = [[[OPS[op] for op in node] for node in kind] for kind in prune(nets).op[0]]
    first, gone = ["conv_1x1", "conv_3x3"], ["none", "none"]
    assert names == [
        [first, gone, ["skip_connect", "sep_conv_3x3"], gone, gone],
        [first, first, ["skip_connect", "sep_conv_3x3"], ["conv_1x1", "conv_1x1"], gone],
    ]
    # The one cell reduces, so that it has 8 channels: node 6 had two 3x3 convolutions with a batch norm each.
    fewer = measure_cells(nets).params - measure_cells(prune(nets)).params
    assert fewer.tolist() == [2 * (9 * 8 * 8 + 2 * 8)]


def test_unused_nodes_are_built_and_counted_on_request() -> None:
    columns = sample(spaces.SPACES["darts"], 200, seed=1).columns
    columns["concat"] = np.zeros_like(columns["concat"])
    columns["concat"][:, :, 1] = True
    nets = Cells(**columns)
    kept, left = Architecture("cells", unused_nodes=True), Architecture("cells")
    assert_array_equal(kept.cells(columns).op, nets.op)
    assert_array_equal(left.cells(columns).op, prune(nets).op)
    for one, other in (
        (kept.measure(columns), measure_cells(nets)),
        (left.measure(columns), measure_cells(prune(nets))),
    ):
        for count, again in zip(one, other, strict=True):
            assert_array_equal(count, again)
    assert (left.measure(columns).params < kept.measure(columns).params).any()


@pytest.mark.parametrize("name", ["nasnet", "amoeba", "enas", "pnas", "darts"])
def test_every_node_of_the_published_spaces_is_used(name: str) -> None:
    # So whether unused ones are built makes no difference to what is drawn.
    columns = sample(spaces.SPACES[name], 2_000, seed=2).columns
    assert_array_equal(prune(Cells(**columns)).op, columns["op"])


@given(
    st.builds(
        Architecture,
        block=st.sampled_from(["double_plain_block", "res_basic_block", "res_bottleneck_block"]),
        stem_stride=st.sampled_from([1, 4, 8]),
        stem_width=st.integers(1, 32).map(lambda half: 2 * half),
    )
    | st.builds(
        Architecture,
        block=st.just("cells"),
        stem_stride=st.sampled_from([1, 8]),
        unused_nodes=st.booleans(),
    )
)
def test_an_architecture_is_made_of_its_plain_data_again(architecture: Architecture) -> None:
    data = architecture.as_dict()
    assert Architecture(**data) == architecture
    assert next(iter(data)) == "block"


def test_what_is_usual_is_not_said() -> None:
    assert Architecture("res_basic_block", 1, 16, False).as_dict() == {"block": "res_basic_block"}
    assert Architecture("cells", 8, unused_nodes=True).as_dict() == {
        "block": "cells",
        "stem_stride": 8,
        "unused_nodes": True,
    }


def test_a_stem_for_imagenet_is_counted_by_hand() -> None:
    # One block on 4 channels behind a stem to 4: 64 -> 32 -> 16 -> 8 pixels, 3 -> 2 -> 4 -> 4 channels.
    columns = {"depth": np.array([[1]]), "width": np.array([[4]])}
    counts = Architecture("double_plain_block", 8, 4).measure(columns, image_size=64, classes=7)
    weights = [3 * 2 * 9, 2 * 4 * 9, 4 * 4 * 9, 4 * 4 * 9, 4 * 4 * 9]
    outputs = [2 * 32**2, 4 * 16**2, 4 * 8**2, 4 * 8**2, 4 * 8**2]
    sides = [32, 16, 8, 8, 8]
    fc = 4 * 7 + 7
    macs = sum(w * side**2 for w, side in zip(weights, sides, strict=True))
    assert counts.params.tolist() == [sum(weights) + 2 * (2 + 4 + 4 + 4 + 4) + fc]
    assert counts.macs.tolist() == [macs + fc]
    assert counts.flops.tolist() == [macs + 5 * sum(outputs) + fc]
    assert counts.acts.tolist() == [sum(outputs) + 7]


@pytest.mark.parametrize("name", ["resnext-a_in", "resnext-b_in", "darts_in", "nasnet_in"])
def test_the_architecture_says_which_stem_is_counted(name: str) -> None:
    space = spaces.SPACES[name]
    columns, images = space.draw(np.random.default_rng(3), 50), geometry("imagenet")
    assert space.architecture.stem_stride == 8
    counted = space.architecture.measure(columns, **images)
    if isinstance(space, StageSpace):
        again = measure(space.architecture.block, **columns, **images, stem_stride=8, stem_width=64)
    else:
        again = measure_cells(Cells(**columns), **images, imagenet_stem=True)
    for one, other in zip(counted, again, strict=True):
        assert_array_equal(one, other)
    plain = replace(space.architecture, stem_stride=1).measure(columns, **images)
    assert (plain.macs > counted.macs).all()


@pytest.mark.parametrize(
    "document",
    [
        {"block": "res_basic_block", "depth": [1000], "width": [16_384], "stages": 8},
        {"block": "res_bottleneck_block", "depth": [1000], "width": [16_384], "bot_mul": [4.0], "stages": 8},
    ],
)
@pytest.mark.parametrize("image_size", [32, 224])
def test_no_count_of_the_largest_stages_overflows(document: dict[str, Any], image_size: int) -> None:
    space = spaces.read(document, "here", "large")
    counts = space.architecture.measure(space.draw(np.random.default_rng(5), 1), image_size=image_size)
    # Of the first stage alone: one 3x3 convolution a block at the full resolution, but for the first of them.
    inner = 16_384 * int(document.get("bot_mul", [1])[0])
    least = 999 * 9 * inner**2 * image_size**2
    assert least < int(counts.macs[0]) < int(counts.flops[0]) < 2**63
    assert 0 < int(counts.params[0]) < int(counts.macs[0])


@pytest.mark.parametrize("image_size", [32, 224])
def test_no_count_of_the_largest_cells_overflows(image_size: int) -> None:
    document = {"ops": ["conv_7x1_1x7"], "nodes": 20, "output": "all", "width": [16_384], "depth": [1000]}
    space = spaces.read(document, "here", "large")
    counts = space.architecture.measure(space.draw(np.random.default_rng(5), 1), image_size=image_size)
    # Each third of the cells, without the reduction cells, counts the same: twice the channels on half the side.
    least = 3 * 332 * 40 * 14 * 16_384**2 * image_size**2
    assert least < int(counts.macs[0]) < int(counts.flops[0]) < 2**63
    assert 0 < int(counts.params[0]) < int(counts.macs[0])


def test_a_bot_mul_with_which_counts_overflow_is_refused() -> None:
    document = {"block": "res_bottleneck_block", "depth": [1000], "width": [16_384], "bot_mul": [64.0]}
    with pytest.raises(EdfkitError, match="bot_mul"):
        spaces.read(document, "here", "large")
