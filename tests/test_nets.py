import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edfkit import EdfkitError
from edfkit.archive import nets
from edfkit.generator.spaces import SPACES
from edfkit.generator.spaces.kinds import Architecture

BASIC = {"block_type": "res_basic_block", "ds": [1, 2, 3], "ws": [16, 32, 64], "ss": [1, 1, 2], "num_gs": []}
CELL = [["sep_conv_3x3", 0], ["none", 1], ["max_pool_3x3", 1], ["skip_connect", 0]]
GENOTYPE = {"normal": CELL, "normal_concat": [3], "reduce": CELL, "reduce_concat": [2, 3]}
CELLS = {"width": 4, "depth": 2, "genotype": GENOTYPE}


def test_a_network_of_stages_by_hand() -> None:
    wide = {**BASIC, "ws": [64, 32, 64], "ss": [4, 1, 2]}
    one, two = nets.read([BASIC, wide, {**BASIC, "ds": [1, 5, 6], "bot_muls": []}])
    assert one[0].tolist() == [0, 2]
    assert one[1] == {"block": "res_basic_block", "stem_stride": 1, "stem_width": 16}
    assert {name: column.tolist() for name, column in one[2].items()} == {
        "depth": [[2, 3], [5, 6]],
        "width": [[32, 64], [32, 64]],
    }
    assert (two[0].tolist(), two[1]["stem_stride"], two[1]["stem_width"]) == ([1], 4, 64)
    assert nets.publish(one[1], one[2])[0] == {**BASIC, "bot_muls": []}


def test_a_network_of_cells_by_hand() -> None:
    [(places, architecture, columns)] = nets.read([CELLS, CELLS], imagenet=True)
    assert places.tolist() == [0, 1]
    assert architecture == {"block": "cells", "stem_stride": 8, "unused_nodes": True}
    assert columns["op"][0, 0].tolist() == [[6, 0], [3, 1]]
    assert columns["input"][0, 1].tolist() == [[0, 1], [1, 0]]
    assert columns["concat"][0].tolist() == [[False, True], [True, True]]
    [net, _] = nets.publish(architecture, columns)
    assert net == {**CELLS, "aux": False, "drop_prob": 0.0, "stem_stride": 8}
    [(_, again, _)] = nets.read([net])  # the stride is said, whatever the images are
    assert again == architecture
    [pruned, _] = nets.publish({"block": "cells"}, columns)
    assert pruned["genotype"]["normal"] == [["none", 0], ["none", 1], *CELL[2:]]  # node 2 feeds nothing
    assert pruned["genotype"]["reduce"] == CELL


@given(st.sampled_from(sorted(SPACES)), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_what_is_published_reads_as_the_same_networks(name: str, seed: int) -> None:
    space = SPACES[name]
    drawn = space.draw(np.random.default_rng(seed), 5)
    published = json.loads(json.dumps(nets.publish(space.architecture.as_dict(), drawn)))
    [(places, architecture, columns)] = nets.read(published)
    assert places.tolist() == [0, 1, 2, 3, 4]
    assert columns.keys() == drawn.keys()
    again = Architecture(**architecture)
    for ours, theirs in zip(again.measure(columns), space.architecture.measure(drawn), strict=True):
        assert_array_equal(ours, theirs)
    kept = drawn.keys() - ({"op"} if "op" in drawn else set())  # unused ones became none
    assert all(np.array_equal(columns[key], drawn[key]) for key in kept)
    together = nets.uniform(published)
    assert all(np.array_equal(together[key], columns[key]) for key in columns)


def test_every_real_network_is_published_as_it_was(published: Path) -> None:
    for file in published.glob("*.json"):
        content = json.loads(file.read_text())
        for records in content.values() if isinstance(content, dict) else [content]:
            given = [record["net"] for record in records]
            for places, architecture, columns in nets.read(given, imagenet=file.stem.endswith("_in")):
                for place, net in zip(places, nets.publish(architecture, columns), strict=True):
                    expected = copy.deepcopy(given[place])
                    if expected.get("bot_muls"):
                        expected["bot_muls"][0] = 1.0
                    net.pop("stem_stride", None)
                    assert net == expected


def changed(net: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {key: value for key, value in (net | change).items() if value is not None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([BASIC, CELLS], "not described as published"),
        ([CELLS, changed(CELLS, genotype=GENOTYPE | {"normal": CELL[:2], "normal_concat": [2]})], "has 2 ops in its"),
        ([BASIC, changed(BASIC, ds=[1, 2], ws=[16, 32], ss=[1, 1])], "not one number of stages each"),
        ([changed(BASIC, ws=None)], "KeyError: 'ws'"),
        ([changed(BASIC, ws=[16, 32])], "have lists of different lengths"),
        ([changed(BASIC, ds=[1], ws=[16])], "no numbers per stage"),
        ([changed(BASIC, ds=[1, 2.5, 3])], "have depths that are no numbers per stage"),
        ([changed(BASIC, ws=[16, "32", "64"])], "have widths that are no numbers per stage"),
        ([changed(BASIC, ds=[1, [2], [3]])], "have lists of different lengths"),
        ([5], "AttributeError|TypeError"),
        ([None], "AttributeError|TypeError"),
        ([changed(CELLS, aux=True)], "has an auxiliary head"),
    ],
)
def test_networks_that_do_not_go_together_are_refused(given: list[Any], message: str) -> None:
    with pytest.raises(EdfkitError, match=message) as caught:
        nets.uniform(given)
    assert "\n" not in str(caught.value)


def test_columns_that_some_networks_lack_are_left_out() -> None:
    bottleneck = changed(BASIC, bot_muls=[0.0, 0.5, 1.0], num_gs=[1, 2, 4])
    assert set(nets.uniform([bottleneck, bottleneck])) == {"depth", "width", "bot_mul", "groups"}
    assert set(nets.uniform([bottleneck, BASIC])) == {"depth", "width"}


def test_unknown_strides_are_refused() -> None:
    with pytest.raises(EdfkitError, match=r"The strides \[1, 2, 2\] are not known"):
        list(nets.read([changed(BASIC, ss=[1, 2, 2])]))
