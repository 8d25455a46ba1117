"""Definitions of spaces: those that come with edfkit, those of users, and everything that is wrong with either."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive.schema import OPS
from edfkit.generator import spaces
from edfkit.generator.spaces.counting import BLOCKS
from edfkit.generator.spaces.kinds import Architecture, CellSpace, Network, Space, StageSpace

Document = dict[str, Any]

STANDARD = ["vanilla", "resnet", "resnet-b", "resnext-a", "resnext-b"]
NAS = ["nasnet", "amoeba", "pnas", "enas", "darts"]
IMAGENET = ["resnext-a_in", "resnext-b_in", *(f"{name}_in" for name in NAS)]
SINGLE = ["resnet-56", "resnet-110", "vanilla-56"]

STAGES: Document = {"block": "res_basic_block", "depth": [1, 2, 4], "width": [16, 32]}
BOTTLENECK: Document = {
    "block": "res_bottleneck_block",
    "depth": [1, 2],
    "width": [16, 32],
    "bot_mul": [0.25, 1.0],
    "groups": [1, 4],
}
CELLS: Document = {
    "ops": ["sep_conv_3x3", "skip_connect"],
    "nodes": 3,
    "output": "loose",
    "width": [16],
    "depth": [4, 8],
}
NETWORK: Document = {"block": "res_basic_block", "network": {"depth": [9, 9, 9], "width": [16, 32, 64]}}
PAIRS = [["conv_1x1", 0], ["none", 1], ["skip_connect", 2], ["conv_3x3", 0]]
GENOTYPE: Document = {"normal": PAIRS, "normal_concat": [2, 3], "reduce": PAIRS, "reduce_concat": [3]}
CELL_NETWORK: Document = {"block": "cells", "network": {"width": 4, "depth": 6, "genotype": GENOTYPE}}


def read(document: Document) -> Space:
    return spaces.read(document, "here", "mine")


def same(one: Space, other: Space) -> bool:
    """Compare spaces; those that are single networks hold arrays."""
    if not isinstance(one, Network):
        return bool(one == other)
    assert isinstance(other, Network)
    assert one.columns.keys() == other.columns.keys()
    columns = [(np.asarray(column), np.asarray(other.columns[name])) for name, column in one.columns.items()]
    equal = all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in columns)
    return equal and (one.name, one.architecture) == (other.name, other.architecture)


def test_the_spaces_that_there_are() -> None:
    assert list(spaces.SPACES) == [*STANDARD, *NAS, *IMAGENET, *SINGLE]
    assert [name for name, space in spaces.SPACES.items() if space.name != name] == []


# Block, depth, width, bot_mul, groups, as networks.md has them.
WIDE = (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)
DEEP, DOUBLED = (1, 2, 3, 4, 6, 8, 12, 16, 24), (1, 2, 4, 8, 16)


@pytest.mark.parametrize(
    ("name", "block", "values"),
    [
        ("vanilla", "double_plain_block", [DEEP, WIDE]),
        ("resnet", "res_basic_block", [DEEP, WIDE]),
        ("resnet-b", "res_bottleneck_block", [DOUBLED, (64, 128, 256, 512, 1024), (0.25, 0.5, 1.0), (1,)]),
        ("resnext-a", "res_bottleneck_block", [DOUBLED, (16, 32, 64, 128, 256), (0.25, 0.5, 1.0), (1, 2, 4)]),
        ("resnext-b", "res_bottleneck_block", [DOUBLED, (64, 128, 256, 512, 1024), (0.25, 0.5, 1.0), (1, 2, 4, 8, 16)]),
    ],
)
def test_the_standard_spaces_are_the_published_ones(name: str, block: str, values: list[tuple[float, ...]]) -> None:
    keys = ["depth", "width", "bot_mul", "groups"][: len(values)]
    expected = StageSpace(name, Architecture(block), dict(zip(keys, values, strict=True)), 3)
    assert spaces.SPACES[name] == expected
    if name.startswith("resnext"):
        of_imagenet = StageSpace(f"{name}_in", Architecture(block, 8, 64), expected.values, 3)
        assert spaces.SPACES[f"{name}_in"] == of_imagenet


@pytest.mark.parametrize(
    ("name", "nodes", "output", "ops"),
    [
        (
            "nasnet",
            5,
            "loose",
            "skip_connect conv_3x1_1x3 conv_7x1_1x7 dil_conv_3x3 avg_pool_3x3 max_pool_3x3 max_pool_5x5 max_pool_7x7 "
            "conv_1x1 conv_3x3 sep_conv_3x3 sep_conv_5x5 sep_conv_7x7",
        ),
        (
            "amoeba",
            5,
            "loose",
            "skip_connect sep_conv_3x3 sep_conv_5x5 sep_conv_7x7 avg_pool_3x3 max_pool_3x3 dil_sep_conv_3x3 "
            "conv_7x1_1x7",
        ),
        (
            "pnas",
            5,
            "all",
            "sep_conv_3x3 sep_conv_5x5 sep_conv_7x7 conv_7x1_1x7 skip_connect avg_pool_3x3 max_pool_3x3 dil_conv_3x3",
        ),
        ("enas", 5, "loose", "skip_connect sep_conv_3x3 sep_conv_5x5 avg_pool_3x3 max_pool_3x3"),
        (
            "darts",
            4,
            "all",
            "none max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5",
        ),
    ],
)
def test_the_spaces_of_cells_are_the_published_ones(name: str, nodes: int, output: str, ops: str) -> None:
    common = (tuple(ops.split()), nodes, output)
    here = CellSpace(name, Architecture("cells"), *common, (16, 24, 32), (4, 8, 12, 16, 20))
    there = CellSpace(f"{name}_in", Architecture("cells", 8), *common, (32, 48, 64, 80, 96), (6, 10, 14, 18, 22))
    assert (spaces.SPACES[name], spaces.SPACES[f"{name}_in"]) == (here, there)


@pytest.mark.parametrize("name", sorted(spaces.SPACES))
def test_a_built_in_space_is_made_of_its_definition_again(name: str) -> None:
    space = spaces.SPACES[name]
    stored = json.dumps(spaces.definition(space))
    again = spaces.read(json.loads(stored), "an archive", "another name")
    assert same(space, again)
    assert json.dumps(spaces.definition(again)) == stored


numbers = st.lists(st.integers(1, 1000), min_size=1, max_size=5, unique=True)
named: dict[str, st.SearchStrategy[Any]] = {"name": st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)}


@st.composite
def cell_documents(draw: st.DrawFn) -> Document:
    nodes = draw(st.integers(1, 20))
    some = st.lists(st.integers(2, 1 + nodes), min_size=1, unique=True)
    document = {
        "ops": draw(st.lists(st.sampled_from(OPS), min_size=1, unique=True)),
        "nodes": nodes,
        "output": draw(st.sampled_from(["all", "loose"]) | some),
        "width": [2 * width for width in draw(numbers)],
        "depth": draw(numbers),
    }
    extras: dict[str, st.SearchStrategy[Any]] = {"stem_stride": st.sampled_from([1, 8]), "unused_nodes": st.booleans()}
    return document | draw(st.fixed_dictionaries({}, optional=extras | named))


stem = {"stem_stride": st.sampled_from([1, 4, 8]), "stem_width": st.integers(1, 99).map(lambda half: 2 * half)}
stage_documents = st.fixed_dictionaries(
    {"block": st.sampled_from(BLOCKS), "depth": numbers, "width": numbers},
    optional={"stages": st.integers(1, 8), **stem, **named},
)
bottleneck_documents = st.fixed_dictionaries(
    {
        "block": st.just("res_bottleneck_block"),
        "depth": numbers,
        "width": st.just([16, 48]),
        "bot_mul": st.just([0.5, 1]),
        "groups": st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, unique=True),
    },
    optional={"stages": st.integers(1, 8), **stem, **named},
)


@st.composite
def network_documents(draw: st.DrawFn) -> Document:
    stages = draw(st.integers(1, 8))
    network: dict[str, list[float]] = {
        key: draw(st.lists(st.integers(1, 1000), min_size=stages, max_size=stages)) for key in ("depth", "width")
    }
    block = draw(st.sampled_from(BLOCKS))
    if block == "res_bottleneck_block" and draw(st.booleans()):
        network["bot_mul"] = [draw(st.sampled_from([1, 2.0, 3.0])) for _ in range(stages)]
    return {"block": block, "network": network} | draw(st.fixed_dictionaries({}, optional={**stem, **named}))


@given(stage_documents | bottleneck_documents | cell_documents() | network_documents())
def test_any_space_is_made_of_its_definition_again(document: Document) -> None:
    space = read(document)
    assert space.name == document.get("name", "mine")
    stored = json.dumps(spaces.definition(space))
    again = spaces.read(json.loads(stored), "an archive", "another name")
    assert same(space, again)
    assert json.dumps(spaces.definition(again)) == stored
    space.architecture.measure(space.draw(np.random.default_rng(1), 2))


def test_a_network_is_made_of_its_definition_again() -> None:
    for document in (NETWORK, CELL_NETWORK, {**CELL_NETWORK, "stem_stride": 8, "unused_nodes": True}):
        space = read(document)
        assert isinstance(space, Network)
        assert spaces.definition(space) == {"name": "mine", **document}
        assert same(space, read(spaces.definition(space)))


def test_networks_are_described_one_by_one() -> None:
    columns = {"depth": np.array([[1, 2], [3, 4]]), "width": np.array([[5, 6], [7, 8]])}
    assert spaces.describe_networks(Architecture("res_basic_block"), columns) == [
        {"depth": [1, 2], "width": [5, 6]},
        {"depth": [3, 4], "width": [7, 8]},
    ]
    network = read(CELL_NETWORK)
    described = spaces.describe_networks(network.architecture, network.draw(np.random.default_rng(1), 2))
    assert described == [CELL_NETWORK["network"]] * 2


def test_a_space_is_found_by_its_name_in_any_case() -> None:
    assert spaces.find("ResNeXt-A_in") is spaces.SPACES["resnext-a_in"]
    assert spaces.find("DARTS") is spaces.SPACES["darts"]
    with pytest.raises(EdfkitError, match=r"^There is no design space 'resnest'; choose one of vanilla, resnet, ") as e:
        spaces.find("resnest")
    assert all(name in str(e.value) for name in spaces.SPACES)
    assert str(e.value).endswith(", or give a file that ends in .toml.")


def written(folder: Path, text: str, name: str = "Mine.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_defines_a_space_of_stages(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        block = "res_bottleneck_block"
        depth = "1, 16, 5"
        width = "16,256,5"
        bot_mul = "0.25, 1, 3"
        groups = [1, 2, 4]
        stages = 4
        stem_stride = 4
        stem_width = 31
        """,
    )
    values = {"depth": DOUBLED, "width": (16, 32, 64, 128, 256), "bot_mul": (0.25, 0.5, 1.0), "groups": (1, 2, 4)}
    space = spaces.find(file)
    assert space == StageSpace("mine", Architecture("res_bottleneck_block", 4, 31), values, 4)
    assert space.size == (5 * 5 * 3 * 3) ** 4


def test_a_file_defines_a_space_of_cells(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        name = "other"
        ops = ["none", "conv_1x1"]
        nodes = 3
        output = [4, 2]
        width = "4, 16, 3"
        depth = [6]
        stem_stride = 8
        unused_nodes = true
        """,
    )
    architecture = Architecture("cells", 8, unused_nodes=True)
    assert spaces.find(file) == CellSpace("other", architecture, ("none", "conv_1x1"), 3, (4, 2), (4, 8, 16), (6,))


def test_a_file_defines_one_network(tmp_path: Path) -> None:
    text = 'block = "res_bottleneck_block"\n[network]\ndepth = [1, 2]\nwidth = [8, 16]\nbot_mul = [1, 0.5]\n'
    stages = spaces.find(written(tmp_path, text + "groups = [1, 4]"))
    assert isinstance(stages, Network)
    columns = {"depth": [1, 2], "width": [8, 16], "bot_mul": [1.0, 0.5], "groups": [1, 4]}
    assert {name: column.tolist() for name, column in stages.columns.items()} == columns
    assert (stages.name, stages.size, stages.architecture) == ("mine", 1, Architecture("res_bottleneck_block"))
    text = """
        block = "cells"
        [network]
        width = 4
        depth = 6
        [network.genotype]
        normal = [["conv_1x1", 0], ["none", 1], ["skip_connect", 2], ["conv_3x3", 0]]
        normal_concat = [2, 3]
        reduce = [["conv_1x1", 0], ["none", 1], ["skip_connect", 2], ["conv_3x3", 0]]
        reduce_concat = [3]
    """
    assert same(spaces.find(written(tmp_path, text)), read(CELL_NETWORK))


def test_every_built_in_space_can_be_a_file_of_its_own(tmp_path: Path) -> None:
    documents = tomllib.loads(Path(spaces.__file__).with_name("spaces.toml").read_text(encoding="utf-8"))
    assert list(documents) == list(spaces.SPACES)
    for name, document in documents.items():
        lines = []
        for key, value in document.items():
            pairs = value.items() if isinstance(value, dict) else ()
            inline = "{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in pairs) + " }"
            lines.append(f"{key} = {inline if pairs else json.dumps(value)}\n")
        assert same(spaces.find(written(tmp_path, "".join(lines), f"{name}.toml")), spaces.SPACES[name])


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1, 16, 5", (1, 2, 4, 8, 16)),
        ("1,4,3", (1, 2, 4)),
        ("16, 256, 2", (16, 256)),
        ("1, 24, 9", (1, 2, 3, 5, 7, 11, 16, 24)),
        ("  64 ,1024, 5 ", (64, 128, 256, 512, 1024)),
        ("1, 1000, 4", (1, 10, 100, 1000)),
    ],
)
def test_log_uniform_values_are_equally_far_apart(text: str, values: tuple[int, ...]) -> None:
    document = {**STAGES, "width": text}
    if text == "1, 24, 9":  # 1, 1.49, 2.21, ...: rounded, the first two are the same
        with pytest.raises(EdfkitError, match="and 1 comes twice, rounded to whole numbers; correct it"):
            read(document)
        return
    space = read(document)
    assert isinstance(space, StageSpace)
    assert space.values["width"] == values
    assert all(type(value) is int for value in space.values["width"])


def test_log_uniform_bottleneck_multipliers_are_not_rounded() -> None:
    space = read({**BOTTLENECK, "groups": [1], "bot_mul": "0.25, 1, 3"})
    assert isinstance(space, StageSpace)
    assert space.values["bot_mul"] == (0.25, 0.5, 1.0)
    uneven = read({**BOTTLENECK, "groups": [1], "bot_mul": "0.3, 0.9, 3"})
    assert isinstance(uneven, StageSpace)
    assert uneven.values["bot_mul"] == pytest.approx((0.3, 0.3 * 3**0.5, 0.9), abs=1e-12)


def test_a_space_is_like_another_but_for_what_it_says() -> None:
    space = read({"like": "resnext-b", "groups": [1, 2], "stem_stride": 4})
    base = spaces.SPACES["resnext-b"]
    assert isinstance(base, StageSpace)
    architecture = Architecture("res_bottleneck_block", 4)
    assert space == StageSpace("mine", architecture, {**base.values, "groups": (1, 2)}, 3)
    assert read({"like": "darts", "name": "shallow", "depth": [4]}) == CellSpace(
        **{**vars(spaces.SPACES["darts"]), "name": "shallow", "depth": (4,)}
    )
    plain = read({"like": "resnext-a_in", "stem_stride": 1, "stem_width": 16, "name": "resnext-a"})
    assert plain == spaces.SPACES["resnext-a"]
    single = read({"like": "resnet-56", "block": "double_plain_block", "name": "vanilla-56"})
    assert same(single, spaces.SPACES["vanilla-56"])
    assert read({"like": "resnet"}).name == "mine"


WHOLE = "a list of different whole numbers from 1 to"
WRONG: list[tuple[Document, str]] = [
    # Keys.
    ({}, "the key 'block' is missing; give block, depth, width (or ops, nodes and output, for cells)."),
    ({"block": "res_basic_block", "depth": [1]}, "the key 'width' is missing; give block, depth, width"),
    (
        {key: CELLS[key] for key in ("ops", "nodes")},
        "the key 'output' is missing; give ops, nodes, output, width, depth.",
    ),
    ({"network": {}}, "the key 'block' is missing; give block, network."),
    ({**STAGES, "widths": [1]}, "there is no key 'widths' here; the keys are block, depth, width, bot_mul, groups, st"),
    ({**STAGES, "unused_nodes": True}, "there is no key 'unused_nodes' here; the keys are block,"),
    ({**CELLS, "block": "cells"}, "there is no key 'block' here; the keys are ops, nodes, output, width, depth, unus"),
    ({**CELLS, "stages": 3}, "there is no key 'stages' here"),
    ({**NETWORK, "depth": [1]}, "there is no key 'depth' here; the keys are block, network, stem_stride,"),
    # Names.
    ({**STAGES, "name": 5}, "name is 5, expected text like [a-z0-9]"),
    ({**STAGES, "name": "A space"}, "name is 'A space', expected text like [a-z0-9]"),
    ({**STAGES, "name": ""}, "name is '', expected text like"),
    ({**STAGES, "name": "x" * 101}, "name is 'xxx"),
    ({**STAGES, "name": "x\n"}, r"name is 'x\n'"),
    ({"like": "resnest"}, "like is 'resnest', expected one of vanilla, resnet, resnet-b, resnext-a, "),
    ({"like": 5}, "like is 5, expected one of vanilla, "),
    ({"like": ["resnet"]}, "like is ['resnet'], expected one of vanilla, "),
    ({"like": "resnet", "nodes": 5}, "there is no key 'nodes' here"),
    # Blocks and stems.
    ({**STAGES, "block": "res_block"}, "block is 'res_block', expected one of double_plain_block, res_basic_block, "),
    ({**STAGES, "block": None}, "block is None, expected one of double_plain_block"),
    ({**STAGES, "block": ["res_basic_block"]}, "block is ['res_basic_block'], expected one of double_plain_block"),
    ({**STAGES, "block": "cells"}, "block is 'cells', expected one of double_plain_block"),
    ({**STAGES, "stem_stride": 2}, "stem_stride is 2, expected one of 1, 4, 8; correct it."),
    ({**STAGES, "stem_stride": 1.0}, "stem_stride is 1.0, expected one of 1, 4, 8; correct it."),
    ({**STAGES, "stem_stride": True}, "stem_stride is True, expected one of 1, 4, 8; correct it."),
    ({**STAGES, "stem_stride": [1]}, "stem_stride is [1], expected one of 1, 4, 8"),
    ({**CELLS, "stem_stride": 4}, "stem_stride is 4, expected one of 1, 8; correct it."),
    ({**STAGES, "stem_width": 0}, "stem_width is 0, expected a whole number from 1 to 16,384; correct it."),
    ({**STAGES, "stem_width": 16_385}, "stem_width is 16385, expected a whole number from 1 to 16,384; correct it."),
    ({**STAGES, "stem_width": True}, "stem_width is True, expected a whole number"),
    ({**STAGES, "stem_width": 16.0}, "stem_width is 16.0, expected a whole number"),
    ({**STAGES, "stem_stride": 8, "stem_width": 15}, "stem_width is 15, expected an even number, as a stem of stride"),
    ({**STAGES, "stages": 0}, "stages is 0, expected a whole number from 1 to 8; correct it."),
    ({**STAGES, "stages": 9}, "stages is 9, expected a whole number from 1 to 8; correct it."),
    ({**STAGES, "stages": "3"}, "stages is '3', expected a whole number from 1 to 8; correct it."),
    ({**STAGES, "stages": True}, "stages is True, expected a whole number from 1 to 8; correct it."),
    # Values.
    ({**STAGES, "depth": 3}, f'depth is 3, expected {WHOLE} 1,000, or "a, b, n"; correct it.'),
    ({**STAGES, "depth": []}, f'depth is [], expected {WHOLE} 1,000, or "a, b, n"; correct it.'),
    ({**STAGES, "depth": {"a": 1}}, "depth is {'a': 1}, expected"),
    ({**STAGES, "depth": None}, "depth is None, expected"),
    ({**STAGES, "depth": [1, 0]}, f"depth is [1, 0], expected {WHOLE} 1,000, which 0 is not; correct it."),
    ({**STAGES, "depth": [1001]}, f"depth is [1001], expected {WHOLE} 1,000, which 1001 is not; correct it."),
    ({**STAGES, "depth": [10**400]}, "which 1000"),
    ({**STAGES, "depth": [-1]}, f"depth is [-1], expected {WHOLE} 1,000, which -1 is not; correct it."),
    ({**STAGES, "depth": [2.0]}, f"depth is [2.0], expected {WHOLE} 1,000, which 2.0 is not; correct it."),
    ({**STAGES, "depth": [True]}, f"depth is [True], expected {WHOLE} 1,000, which True is not; correct it."),
    ({**STAGES, "depth": ["1"]}, f"depth is ['1'], expected {WHOLE} 1,000, which '1' is not; correct it."),
    ({**STAGES, "depth": [[1]]}, f"depth is [[1]], expected {WHOLE} 1,000, which [1] is not; correct it."),
    ({**STAGES, "depth": [2, 4, 2]}, f"depth is [2, 4, 2], expected {WHOLE} 1,000, and 2 comes twice; correct it."),
    ({**STAGES, "width": [16_385]}, f"width is [16385], expected {WHOLE} 16,384, which 16385 is not; correct it."),
    ({**BOTTLENECK, "groups": [0]}, f"groups is [0], expected {WHOLE} 16,384, which 0 is not; correct it."),
    ({**BOTTLENECK, "bot_mul": [0]}, "bot_mul is [0], expected a list of different numbers from above 0 to "),
    ({**BOTTLENECK, "bot_mul": [1, 1.0]}, "and 1 comes twice; correct it."),
    ({**BOTTLENECK, "bot_mul": [1e9]}, "which 1000000000.0 is not; correct it."),
    ({**BOTTLENECK, "bot_mul": [float("nan")]}, "which nan is not; correct it."),
    ({**BOTTLENECK, "bot_mul": [float("inf")]}, "which inf is not; correct it."),
    ({**BOTTLENECK, "bot_mul": [True]}, "which True is not; correct it."),
    # Log-uniform values.
    *(
        ({**STAGES, "depth": text}, f'depth is {text!r}, expected "a, b, n" with 0 < a < b <= 1,000 and n from 2 to 1')
        for text in (
            "",
            "1, 16",
            "1, 16, 5, 2",
            "a, b, n",
            "1, 16, 5.0",
            "1, 16, 1",
            "1, 16, 1001",
            "16, 1, 5",
            "0, 16, 5",
            "-1, 16, 5",
            "4, 4, 2",
            "1, 1001, 5",
            "1, inf, 5",
            "nan, 16, 5",
            "1; 16; 5",
        )
    ),
    ({**STAGES, "depth": "1, 4, 9"}, "and 1 comes twice, rounded to whole numbers; correct it."),
    ({**STAGES, "depth": "0.1, 4, 3"}, "depth is '0.1, 4, 3', expected a list of different whole numbers from 1 to"),
    ({**BOTTLENECK, "bot_mul": "1e-20, 1, 3"}, "bot_mul is '1e-20, 1, 3', expected a list of different numbers from"),
    # Bottlenecks.
    ({**STAGES, "bot_mul": [1.0]}, "bot_mul is given, which only blocks res_bottleneck_block have; leave it out."),
    ({**STAGES, "groups": [1]}, "groups is given, which only blocks res_bottleneck_block have; leave it out."),
    (
        {**BOTTLENECK, "groups": [3]},
        "width 16 with bot_mul 0.25 gives 4 inner channels, expected some that divide into 3 groups; change one",
    ),
    ({**BOTTLENECK, "bot_mul": [0.01]}, "width 16 with bot_mul 0.01 gives no inner channels"),
    # Cells.
    ({**CELLS, "ops": []}, "ops is [], expected a list of different ops; correct it."),
    ({**CELLS, "ops": "none"}, "ops is 'none', expected a list of different ops; correct it."),
    ({**CELLS, "ops": ["none", 5]}, "ops is ['none', 5], expected a list of different ops; correct it."),
    ({**CELLS, "ops": ["none", "none"]}, "ops is ['none', 'none'], expected a list of different ops; correct it."),
    ({**CELLS, "ops": [["none"]]}, "ops is [['none']], expected a list of different ops; correct it."),
    ({**CELLS, "ops": ["none", "conv_9x9"]}, "ops is 'conv_9x9', expected one of none, skip_connect, "),
    ({**CELLS, "nodes": 0}, "nodes is 0, expected a whole number from 1 to 20; correct it."),
    ({**CELLS, "nodes": 21}, "nodes is 21, expected a whole number from 1 to 20; correct it."),
    ({**CELLS, "nodes": True}, "nodes is True, expected a whole number from 1 to 20; correct it."),
    ({**CELLS, "nodes": [3]}, "nodes is [3], expected a whole number from 1 to 20; correct it."),
    (
        {**CELLS, "output": "none"},
        "output is 'none', expected all, loose, or a list of different nodes from 2 to 4; correct it.",
    ),
    (
        {**CELLS, "output": []},
        "output is [], expected all, loose, or a list of different nodes from 2 to 4; correct it.",
    ),
    (
        {**CELLS, "output": [2, 2]},
        "output is [2, 2], expected all, loose, or a list of different nodes from 2 to 4; correct it.",
    ),
    ({**CELLS, "output": 2}, "output is 2, expected all, loose, or a list of different nodes from 2 to 4; correct it."),
    (
        {**CELLS, "output": [1]},
        "output is [1], expected all, loose, or a list of different nodes from 2 to 4; correct it.",
    ),
    (
        {**CELLS, "output": [5]},
        "output is [5], expected all, loose, or a list of different nodes from 2 to 4; correct it.",
    ),
    (
        {**CELLS, "output": [True]},
        "output is [True], expected all, loose, or a list of different nodes from 2 to 4; correct it.",
    ),
    (
        {**CELLS, "output": [[2]]},
        "output is [[2]], expected all, loose, or a list of different nodes from 2 to 4; correct it.",
    ),
    ({**CELLS, "unused_nodes": 1}, "unused_nodes is 1, expected one of false, true; correct it."),
    ({**CELLS, "unused_nodes": "true"}, "unused_nodes is 'true', expected one of false, true; correct it."),
    ({**CELLS, "width": [16, 0]}, f"width is [16, 0], expected {WHOLE} 16,384, which 0 is not; correct it."),
    ({**CELLS, "stem_stride": 8, "width": [16, 5]}, "width is 5, expected an even number, as a stem of stride 8"),
    # Networks.
    ({**NETWORK, "network": [9, 9]}, "network is [9, 9], expected a table of the network's depth, width and so on;"),
    ({**NETWORK, "block": "cell"}, "block is 'cell', expected one of double_plain_block, res_basic_block, "),
    (
        {**NETWORK, "network": {}},
        "depth is None, expected a list with a number for each stage",
    ),
    ({**NETWORK, "network": {"depth": [1]}}, "width is None, expected a list with a number for each stage"),
    (
        {**NETWORK, "network": {**NETWORK["network"], "bot_mul": [1.0] * 3}},
        "bot_mul is given, which only blocks res_bottleneck_block have; leave it out.",
    ),
    (
        {**NETWORK, "network": {**NETWORK["network"], "kind": 1}},
        "there is no key 'kind' in network; the keys are depth",
    ),
    ({**NETWORK, "network": {"depth": [1, 2], "width": [8]}}, "width is [8], expected 2 as depth has, one for each"),
    ({**NETWORK, "network": {"depth": [1] * 9, "width": [8] * 9}}, "expected up to 8, one for each stage"),
    ({**NETWORK, "network": {"depth": [], "width": []}}, "depth is [], expected a list with a number for each stage"),
    ({**NETWORK, "network": {"depth": 1, "width": 8}}, "depth is 1, expected a list with a number for each stage"),
    ({**NETWORK, "network": {"depth": [1], "width": "8"}}, "width is '8', expected a list with a number for each st"),
    ({**NETWORK, "network": {"depth": [0], "width": [8]}}, "depth is 0, expected 1 to 1,000; correct it."),
    ({**NETWORK, "network": {"depth": [1], "width": [8.0]}}, "width is 8.0, expected whole numbers; correct it."),
    (
        {**NETWORK, "network": {"depth": [True], "width": [8]}},
        "depth is [True], expected a list with a number for each",
    ),
    ({**NETWORK, "stem_stride": 8, "stem_width": 3}, "stem_width is 3, expected an even number"),
    (
        {"block": "res_bottleneck_block", "network": {"depth": [1], "width": [8], "groups": [3]}},
        "width 8 with bot_mul 1 gives 8 inner channels, expected some that divide into 3 groups; change one of them.",
    ),
    (
        {**CELL_NETWORK, "network": {"width": 4}},
        "not described as in the published files (KeyError: 'depth'); give wid",
    ),
    (
        {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "genotype": {**GENOTYPE, "normal_concat": [4]}}},
        "concatenates [4] in its normal cell, expected one or more of the nodes 2 to 3, each once; correct the list.",
    ),
    (
        {
            **CELL_NETWORK,
            "network": {
                **CELL_NETWORK["network"],
                "genotype": {**GENOTYPE, "normal": PAIRS[:2], "normal_concat": [2]},
            },
        },
        "has 4 ops in its reduce cell, expected 2 as in the normal cell of network 0; read networks with other numbers",
    ),
    (
        {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "genotype": {**GENOTYPE, "reduce": [["conv", 0]] * 4}}},
        "has the op 'conv' in its reduce cell; choose one of none, skip_connect, ",
    ),
    (
        {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "aux": True}},
        "has an auxiliary head, which is not count",
    ),
    ({**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "width": 0}}, "has the width 0, expected a whole number"),
    (
        {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "width": 5}, "stem_stride": 8},
        "width is 5, expected an even number, as a stem of stride 8 starts with half of it; correct it.",
    ),
]


@pytest.mark.parametrize(("document", "message"), WRONG, ids=[message[:50] for _, message in WRONG])
def test_what_defines_no_space_is_answered_by_one_sentence(document: Document, message: str) -> None:
    for base in (STAGES, BOTTLENECK, CELLS, NETWORK, CELL_NETWORK):
        read(base)
    with pytest.raises(EdfkitError) as error:
        read(document)
    said = str(error.value)
    assert re.match(r"here( \(like \w+\))?: ", said)
    assert message in said
    assert said.endswith(".")
    assert "\n" not in said


LARGE: list[Document] = [
    {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "width": 10**30}},
    {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "depth": 10**12}},
    {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "width": True}},
    {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "widths": 4}},
]


@pytest.mark.parametrize("document", LARGE, ids=["width", "depth", "bool", "key"])
def test_a_network_of_cells_is_held_to_what_a_space_of_cells_is_held_to(document: Document) -> None:
    with pytest.raises(EdfkitError, match=r"^here: .*(width|depth)"):
        read(document)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"block = ", r"Mine.toml cannot be read as TOML \(Invalid value.*\); correct it\.$"),
        (
            b"depth = [1]\ndepth = [2]",
            r"Mine.toml cannot be read as TOML \(Cannot overwrite a value.*\); correct it\.$",
        ),
        (b'block = "\xff"', r"Mine.toml cannot be read as TOML \('utf-8' codec can't decode .*\); correct it\.$"),
        (b"\x00", r"Mine.toml cannot be read as TOML \(.*\); correct it\.$"),
        (b"", r"Mine.toml: the key 'block' is missing; give block, depth, width"),
        (b'[resnet]\nblock = "res_basic_block"', r"Mine.toml: there is no key 'resnet' here; the keys are block,"),
        (b"depth = " + b"[" * 50_000, r"Mine.toml cannot be read as TOML \(.*\); correct it\.$"),
        (b"depth = 1979-05-27\nblock = 5\nwidth = 1", r"Mine.toml: block is 5, expected one of double_plain_block"),
    ],
    ids=["value", "twice", "utf-8", "nul", "empty", "heading", "nested", "date"],
)
def test_a_file_that_defines_no_space_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "Mine.toml"
    path.write_bytes(content)
    with pytest.raises(EdfkitError, match=message):
        spaces.find(str(path))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(EdfkitError) as error:
        spaces.find(str(missing))
    assert str(error.value) == f"There is no file {missing}; give the TOML file that defines the space."
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(EdfkitError, match=r"folder.toml cannot be read as TOML"):
        spaces.find(str(folder))
    with pytest.raises(EdfkitError, match=r"cannot be read as TOML|There is no file"):
        spaces.find("a\0b.toml")
    with pytest.raises(EdfkitError, match="name is 'my space', expected text like"):
        spaces.find(written(tmp_path, 'like = "resnet"', "My space.toml"))


# Anything that JSON and TOML can say, not too large, with what definitions are made of among it.
words = st.sampled_from(
    ["all", "loose", "cells", "resnet", "darts", "1, 16, 5", "0.25, 1, 3", "1,2,3,4", "a, b, n", *BLOCKS, *OPS[:4]]
)
keys = st.sampled_from(
    [
        *("block", "depth", "width", "bot_mul", "groups", "stages", "stem_stride", "stem_width", "name", "like"),
        *("ops", "nodes", "output", "unused_nodes", "network", "aux", "genotype"),
        *("normal", "normal_concat", "reduce", "reduce_concat"),
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 20)
    | st.integers()
    | st.floats()
    | st.sampled_from([0.25, 0.5, 1.0, 8.0])
    | words
    | st.text(max_size=5)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=5),
    max_leaves=12,
)


def altered(document: Document) -> st.SearchStrategy[Document]:
    """Definitions that are right but for a few keys, at the top or in the network."""
    whole = st.dictionaries(keys, anything, max_size=2).map(lambda some: {**document, **some})
    dropped = st.sampled_from([*document]).map(lambda key: {k: v for k, v in document.items() if k != key})
    if not isinstance(network := document.get("network"), dict):
        return whole | dropped
    inner = st.dictionaries(st.sampled_from([*network, "bot_mul", "groups"]), anything, min_size=1, max_size=2)
    changed = inner.map(lambda some: {**document, "network": {**network, **some}})
    genes = st.dictionaries(st.sampled_from([*GENOTYPE]), anything, min_size=1, max_size=2)
    cells = genes.map(
        lambda some: {**CELL_NETWORK, "network": {**CELL_NETWORK["network"], "genotype": {**GENOTYPE, **some}}}
    )
    return whole | dropped | changed | cells


documents = st.one_of(
    st.dictionaries(keys | st.text(max_size=3), anything, max_size=7),
    *map(altered, (STAGES, BOTTLENECK, CELLS, NETWORK, CELL_NETWORK, {"like": "resnext-a"}, {"like": "darts"})),
)


@given(documents)
@example({"like": "resnet", "ops": ["none"]})
@example({"like": "darts", "network": {}})
@settings(max_examples=500)
def test_anything_gives_a_space_or_a_message(document: Document) -> None:
    try:
        space = read(document)
    except EdfkitError as error:
        assert re.match(r"here( \(like [\w-]+\))?: ", str(error))  # noqa: PT017
        assert str(error).endswith(".")  # noqa: PT017
    else:
        assert same(space, spaces.read(spaces.definition(space), "there", "other"))
        drawn = space.draw(np.random.default_rng(1), 3)
        assert (drawn["depth"] <= 1000).all()  # else counting takes long
        for count in space.architecture.measure(drawn, image_size=8):
            assert (count > 0).all()
