"""Counts against published numbers and an independent walk over the layers; samples against the uniform law."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edfkit import EdfkitError
from edfkit.generator import spaces
from edfkit.generator.complexity import Complexity, measure

RESNET, VANILLA = spaces.SPACES["resnet"], spaces.SPACES["vanilla"]
DIGITS: dict[str, Any] = {"image_size": 8, "channels": 1}


def layer_by_layer(
    block: str, stages: list[tuple[int, int, float, int]], side: int, channels: int, classes: int
) -> tuple[int, int, int, int]:
    """Count one network the long way round: a list of its convolutions, as (kernel, in, out, output side, groups).

    A stage is (depth, width, bottleneck multiplier, groups).
    """
    convolutions = [(3, channels, 16, side, 1)]
    inputs = 16
    for stage, (depth, width, bot_mul, groups) in enumerate(stages):
        for i in range(depth):
            stride = 2 if stage > 0 and i == 0 else 1
            before, side = side, (side + 2 - 3) // stride + 1
            if block == "res_bottleneck_block":
                inner = round(width * bot_mul)
                convolutions += [
                    (1, inputs, inner, before, 1),
                    (3, inner, inner, side, groups),
                    (1, inner, width, side, 1),
                ]
            else:
                convolutions += [(3, inputs, width, side, 1), (3, width, width, side, 1)]
            if block != "double_plain_block" and (stride == 2 or inputs != width):
                convolutions.append((1, inputs, width, side, 1))
            inputs = width
    params = sum(k * k * i * o // g + 2 * o for k, i, o, _, g in convolutions) + inputs * classes + classes
    macs = sum(k * k * i * o // g * s * s for k, i, o, s, g in convolutions) + inputs * classes + classes
    acts = sum(o * s * s for _, _, o, s, _ in convolutions)
    return params, macs, macs + 5 * acts, acts + classes


@pytest.mark.parametrize(
    ("block", "depth", "width", "params", "macs", "flops", "acts"),
    [
        ("res_basic_block", 9, [16, 32, 64], 855_770, 125_747_850, 128_471_690, 544_778),
        ("res_basic_block", 18, [16, 32, 64], 1_730_714, 253_149_834, None, None),
        ("double_plain_block", 9, [16, 32, 64], 853_018, 125_485_706, None, 532_490),
        ("res_basic_block", 12, [24, 24, 40], 594_138, None, 184_519_578, None),
        ("double_plain_block", 12, [24, 32, 40], 689_770, None, 208_363_930, None),
    ],
)
def test_known_networks_have_their_published_counts(
    block: str, depth: int, width: list[int], params: int, macs: int | None, flops: int | None, acts: int | None
) -> None:
    counts = measure(block, np.array([[depth] * 3]), np.array([width]))
    for count, expected in zip(counts, (params, macs, flops, acts), strict=True):
        assert expected is None or count.tolist() == [expected]


def test_a_known_bottleneck_network_has_its_published_counts() -> None:
    quarter = np.full((1, 3), 0.25)
    counts = measure(
        "res_bottleneck_block",
        np.array([[16, 1, 4]]),
        np.array([[64, 128, 16]]),
        bot_mul=quarter,
        groups=np.array([[2, 1, 2]]),
    )
    assert (counts.params.tolist(), counts.flops.tolist()) == ([83_002], [69_890_986])


@given(
    st.sampled_from(["double_plain_block", "res_basic_block", "res_bottleneck_block"]),
    st.lists(
        st.tuples(
            st.integers(1, 24),
            st.sampled_from([16, 24, 64, 112]),
            st.sampled_from([0.25, 0.5, 1.0]),
            st.sampled_from([1, 2, 4]),
        ).filter(lambda stage: stage[1] * stage[2] % stage[3] == 0),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([8, 9, 32, 33]),
    st.sampled_from([1, 3]),
    st.sampled_from([10, 100]),
)
def test_counts_equal_a_walk_over_the_layers(
    block: str, stages: list[tuple[int, int, float, int]], side: int, channels: int, classes: int
) -> None:
    depth, width, bot_mul, groups = (np.array([column]) for column in zip(*stages, strict=True))
    counts = measure(
        block, depth, width, bot_mul=bot_mul, groups=groups, image_size=side, channels=channels, classes=classes
    )
    assert tuple(int(count[0]) for count in counts) == layer_by_layer(block, stages, side, channels, classes)


def test_what_cannot_be_measured_is_refused() -> None:
    one = np.array([[1]])
    with pytest.raises(EdfkitError, match="block 'res_block' is unknown; it can be double_plain_block"):
        measure("res_block", one, one)
    with pytest.raises(EdfkitError, match="stem stride 2 is unknown; it can be 1, 4, 8"):
        measure("res_basic_block", one, one, stem_stride=2)


def test_sizes_are_the_published_ones() -> None:
    sizes = {"vanilla": 1_259_712, "resnet": 1_259_712, "resnext-a": 11_390_625, "resnext-b": 52_734_375}
    assert {name: space.size for name, space in spaces.SPACES.items()} == sizes


def test_inner_channels_divide_by_the_groups() -> None:
    for space in spaces.SPACES.values():
        for width, mul, groups in product(*(space.values.get(name, [1]) for name in ("width", "bot_mul", "groups"))):
            assert width * mul % groups == 0


@pytest.mark.parametrize("space", spaces.SPACES.values(), ids=lambda space: space.name)
def test_unbounded_samples_are_uniform_and_independent(space: spaces.Space) -> None:
    drawn = spaces.sample(space, 20_000, seed=3)
    columns = [drawn.stages[name][:, stage] for name in space.values for stage in range(3)]
    allowed = [space.values[name] for name in space.values for _ in range(3)]
    for column, values in zip(columns, allowed, strict=True):
        found, counts = np.unique(column, return_counts=True)
        assert found.tolist() == list(values)
        assert stats.chisquare(counts).pvalue > 1e-4
    for one, other in combinations(columns, 2):
        assert stats.chi2_contingency(stats.contingency.crosstab(one, other).count).pvalue > 1e-4


def test_bounded_samples_are_uniform_within_the_bounds() -> None:
    # Rejection keeps the law: the share of a region inside the bounds is the same as among unbounded draws inside.
    bounds = {"params": 0.3e6, "macs": 6e6}
    drawn = spaces.sample(RESNET, 5_000, seed=4, bounds=bounds, **DIGITS)
    free = spaces.sample(RESNET, 400_000, seed=5, **DIGITS)
    inside = (free.complexity.params < 0.3e6) & (free.complexity.macs < 6e6)
    for bounded, reference in (
        (drawn.stages["depth"].sum(1), free.stages["depth"][inside].sum(1)),
        (drawn.stages["width"][:, 2], free.stages["width"][inside, 2]),
    ):
        values = np.unique(reference)
        table = np.array([[(column == value).sum() for value in values] for column in (bounded, reference)])
        table = table[:, table.sum(0) > 20]
        assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("and", lambda c: (c.params < 0.3e6) & (c.macs < 6e6)),
        ("or", lambda c: (c.params < 0.3e6) | (c.macs < 6e6)),
    ],
)
def test_bounds_hold(rule: str, holds: Any) -> None:
    drawn = spaces.sample(VANILLA, 3_000, seed=6, bounds={"params": 0.3e6, "macs": 6e6}, rule=rule, **DIGITS)
    assert len(drawn) == 3_000
    assert holds(drawn.complexity).all()


def test_a_bound_is_exclusive() -> None:
    counts = Complexity(*(np.array([count, count + 1]) for count in (10, 20, 30, 40)))
    assert spaces.within_bounds(counts, {"flops": 31}, "and").tolist() == [True, False]


def test_or_keeps_more_than_and_and_none_keeps_all() -> None:
    free = spaces.sample(RESNET, 10_000, seed=7).complexity
    bounds = {"params": 0.856e6, "flops": 0.129e9}
    kept = {rule: spaces.within_bounds(free, bounds, rule).mean() for rule in ("and", "or", "none")}
    assert kept["and"] < kept["or"] < kept["none"] == 1
    assert kept["or"] == pytest.approx(0.16, abs=0.02)  # about what the published sample kept


def test_complexity_of_a_sample_is_that_of_its_configurations() -> None:
    drawn = spaces.sample(RESNET, 200, seed=8, bounds={"macs": 6e6}, **DIGITS)
    again = measure(RESNET.block, **drawn.stages, **DIGITS)
    for one, other in zip(drawn.complexity, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_longer_sample_begins_with_the_shorter_one() -> None:
    bounds = {"params": 0.3e6, "macs": 6e6}
    long, short = (spaces.sample(RESNET, n, seed=9, bounds=bounds, **DIGITS) for n in (4_000, 30))
    np.testing.assert_array_equal(long.stages["depth"][:30], short.stages["depth"])
    np.testing.assert_array_equal(long.stages["width"][:30], short.stages["width"])


def test_seed_and_space_decide_the_sample() -> None:
    first, again, other_seed = (spaces.sample(RESNET, 50, seed=seed) for seed in (1, 1, 2))
    other_space = spaces.sample(VANILLA, 50, seed=1)
    assert (first.stages["depth"] == again.stages["depth"]).all()
    assert (first.stages["depth"] != other_seed.stages["depth"]).any()
    assert (
        first.stages["depth"] != other_space.stages["depth"]
    ).any()  # else one seed would pair the spaces' configurations


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": 0}, "0 models were asked for"),
        ({"bounds": {"params": -1.0}}, "params = -1"),
        ({"bounds": {"params": float("nan")}}, "params = nan"),
        ({"bounds": {"width": 5.0}}, "width = 5"),
        ({"rule": "xor"}, "'xor' is no rule"),
        ({"bounds": {"params": 100.0}}, "None of 8,388,608 configurations"),
    ],
)
def test_bad_requests_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        spaces.sample(RESNET, **{"models": 5, "seed": 1, **arguments})


def test_an_unknown_space_is_answered_with_those_there_are() -> None:
    assert spaces.find("ResNet") is RESNET
    with pytest.raises(EdfkitError, match="vanilla, resnet, resnext-a, resnext-b"):
        spaces.find("resnest")
