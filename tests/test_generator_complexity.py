"""Counts of networks of stages against published numbers and an independent walk over the layers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.generator.spaces.counting import measure


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
