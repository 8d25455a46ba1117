"""Samples against the uniform law, and against loops that draw one configuration after the other."""

from collections import Counter
from itertools import combinations, permutations, product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from scipy import stats

from edfkit import EdfkitError
from edfkit.archive.schema import OPS
from edfkit.generator import spaces
from edfkit.generator.spaces.counting import Complexity
from edfkit.generator.spaces.kinds import Architecture, CellSpace, Columns, Space, StageSpace
from edfkit.generator.spaces.sampling import Sample, check_bounds, sample, within_bounds
from edfkit.generator.training.data import BOUNDS, geometry

STANDARD = ("vanilla", "resnet", "resnet-b", "resnext-a", "resnext-b")
CELLS = ("nasnet", "amoeba", "pnas", "enas", "darts")
RESNET, VANILLA, DARTS = (spaces.SPACES[name] for name in ("resnet", "vanilla", "darts"))
DIGITS: dict[str, Any] = geometry("digits")
# 16 configurations of two stages, and 512 with one node in either cell: few enough to look at each.
FEW = StageSpace("few", Architecture("res_basic_block"), {"depth": (1, 2), "width": (4, 8)}, 2)
FEW_CELLS = CellSpace("few-cells", Architecture("cells"), ("skip_connect", "conv_1x1"), 1, "all", (4,), (1, 2))
# The level at which a test may fail although the law holds. It is for all that the test looks at together.
LEVEL = 1e-4


def coordinates(space: Space, columns: Columns) -> list[tuple[NDArray[Any], list[Any]]]:
    """Give each number that a configuration is drawn as, with the values that it may have."""
    if isinstance(space, StageSpace):
        return [(columns[name][:, i], list(v)) for name, v in space.values.items() for i in range(space.stages)]
    assert isinstance(space, CellSpace)
    found: list[tuple[NDArray[Any], list[Any]]] = []
    for kind, node, operand in product(range(2), range(space.nodes), range(2)):
        found.append((columns["op"][:, kind, node, operand], [OPS.index(op) for op in space.ops]))
        found.append((columns["input"][:, kind, node, operand], list(range(2 + node))))
    return [*found, (columns["width"], list(space.width)), (columns["depth"], list(space.depth))]


def rows(columns: Columns) -> list[tuple[Any, ...]]:
    """Write each configuration as one tuple."""
    together = [column.reshape(len(column), -1).tolist() for column in columns.values()]
    return [tuple(x for part in row for x in part) for row in zip(*together, strict=True)]


def assert_same(one: Sample, other: Sample) -> None:
    assert one.columns.keys() == other.columns.keys()
    for name, column in one.columns.items():
        assert_array_equal(column, other.columns[name])
    for count, again in zip(one.complexity, other.complexity, strict=True):
        assert_array_equal(count, again)


@pytest.mark.parametrize("name", STANDARD + CELLS)
def test_each_coordinate_and_each_pair_of_them_is_uniform(name: str) -> None:
    # Uniform pairs are independent pairs.
    space, models = spaces.SPACES[name], 16_384
    drawn = sample(space, models, seed=3)
    indicators, widths = [], []
    for column, values in coordinates(space, drawn.columns):
        one_hot = column[:, None] == np.array(values)
        assert (one_hot.sum(1) == 1).all()  # nothing but these values
        if len(values) > 1:
            indicators.append(one_hot)
            widths.append(len(values))
    together = np.concatenate(indicators, axis=1).astype(np.float32)
    counts = (together.T @ together).astype(float)
    ends = np.cumsum(widths)
    places = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
    p = [stats.chisquare(np.diag(counts)[place]).pvalue for place in places]
    p += [stats.chisquare(counts[one, other].ravel()).pvalue for one, other in combinations(places, 2)]
    assert len(p) == len(places) * (len(places) + 1) // 2
    assert min(p) * len(p) > LEVEL


@pytest.mark.parametrize("space", [FEW, FEW_CELLS], ids=lambda space: space.name)
def test_every_configuration_is_as_likely_as_any_other(space: Space) -> None:
    counts = Counter(rows(sample(space, 60_000, seed=4, **DIGITS).columns))
    assert len(counts) == space.size
    assert stats.chisquare([*counts.values()]).pvalue > LEVEL


@pytest.mark.parametrize("name", ["nasnet", "amoeba", "enas"])
def test_a_loose_output_is_the_nodes_that_no_other_takes(name: str) -> None:
    columns = sample(spaces.SPACES[name], 2_000, seed=5).columns
    for inputs, concat in zip(columns["input"].tolist(), columns["concat"].tolist(), strict=True):
        for taken, chosen in zip(inputs, concat, strict=True):
            expected = []
            for node in range(5):
                users = [other for other in range(5) if other != node and 2 + node in taken[other]]
                expected.append(not users)
            assert chosen == expected


def test_how_many_loose_nodes_there_are_follows_from_the_inputs_alone() -> None:
    # Every combination of inputs of three nodes is as likely: 4 * 9 * 16 of them.
    expected = np.zeros(3)
    for pairs in product(product(range(2), repeat=2), product(range(3), repeat=2), product(range(4), repeat=2)):
        taken = {i for pair in pairs for i in pair}
        expected[len({2, 3, 4} - taken) - 1] += 1 / 576
    space = CellSpace("three", Architecture("cells"), ("none",), 3, "loose", (4,), (1,))
    concat = sample(space, 20_000, seed=6, **DIGITS).columns["concat"]
    assert concat.dtype == bool
    for kind in range(2):
        counts = np.bincount(concat[:, kind].sum(1), minlength=4)[1:]
        assert stats.chisquare(counts, 20_000 * expected).pvalue > LEVEL


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("all", [True, True, True]),
        ((4,), [False, False, True]),
        ((4, 2), [True, False, True]),
    ],
)
def test_any_other_output_is_the_same_in_every_cell(output: str | tuple[int, ...], expected: list[bool]) -> None:
    space = CellSpace("three", Architecture("cells"), ("none", "conv_1x1"), 3, output, (4,), (1, 2))
    drawn = sample(space, 50, seed=7, **DIGITS)
    assert drawn.columns["concat"].tolist() == [[expected, expected]] * 50


def test_bounded_samples_are_uniform_within_the_bounds() -> None:
    # Rejection keeps the law: the share of a region inside the bounds is the same as among unbounded draws inside.
    bounds = {"params": 0.3e6, "macs": 6e6}
    drawn = sample(RESNET, 5_000, seed=4, bounds=bounds, **DIGITS)
    free = sample(RESNET, 400_000, seed=5, **DIGITS)
    inside = (free.complexity.params < 0.3e6) & (free.complexity.macs < 6e6)
    for bounded, reference in (
        (drawn.columns["depth"].sum(1), free.columns["depth"][inside].sum(1)),
        (drawn.columns["width"][:, 2], free.columns["width"][inside, 2]),
    ):
        values = np.unique(reference)
        table = np.array([[(column == value).sum() for value in values] for column in (bounded, reference)])
        table = table[:, table.sum(0) > 20]
        assert stats.chi2_contingency(table).pvalue > LEVEL


def inside_by_loop(complexity: Complexity, bounds: dict[str, float], rule: str) -> list[bool]:
    """Decide one configuration after the other."""
    decided = []
    for i in range(len(complexity.params)):
        below = [int(getattr(complexity, name)[i]) < bound for name, bound in bounds.items()]
        decided.append({"and": all(below), "or": any(below), "none": True}[rule])
    return decided


@pytest.mark.parametrize("rule", ["and", "or", "none"])
@pytest.mark.parametrize(
    ("space", "bounds", "draws"),
    [
        (VANILLA, {"params": 0.3e6, "macs": 6e6}, 20_000),
        (DARTS, {"params": 1e6, "flops": 12e6}, 1_000),
        (DARTS, {"macs": 9e6}, 1_000),
    ],
    ids=["vanilla", "darts", "darts-one-bound"],
)
@pytest.mark.parametrize("replacement", [True, False])
def test_bounded_samples_are_the_unbounded_draws_that_hold(
    space: Space, bounds: dict[str, float], draws: int, rule: str, replacement: bool
) -> None:
    drawn = sample(space, 200, seed=6, bounds=bounds, rule=rule, replacement=replacement, **DIGITS)
    free = sample(space, draws, seed=6, **DIGITS)
    kept = np.flatnonzero(inside_by_loop(free.complexity, bounds, rule))
    assert len(drawn) == 200 <= len(kept)
    assert 0 < len(kept) < draws or rule == "none"
    expected = rows({name: column[kept] for name, column in free.columns.items()})
    assert rows(drawn.columns) == (expected if replacement else list(dict.fromkeys(expected)))[:200]


def test_a_bound_is_exclusive() -> None:
    counts = Complexity(*(np.array([count, count + 1]) for count in (10, 20, 30, 40)))
    assert within_bounds(counts, {"flops": 31}, "and").tolist() == [True, False]


@pytest.mark.parametrize("rule", ["and", "or", "none"])
def test_without_bounds_everything_is_within_them(rule: str) -> None:
    counts = Complexity(*(np.array([count, count + 1]) for count in (10, 20, 30, 40)))
    assert within_bounds(counts, {}, rule).tolist() == [True, True]


# What networks.md says of the published samples, in percent.
@pytest.mark.parametrize(
    ("name", "low", "high"), [("vanilla", 15, 17), ("resnet", 15, 17), ("resnext-a", 66, 70), ("resnext-b", 14, 16)]
)
def test_as_much_is_kept_as_the_published_samples_kept(name: str, low: float, high: float) -> None:
    free = sample(spaces.SPACES[name], 50_000, seed=7).complexity
    assert BOUNDS["cifar10"] == {"params": 855_770, "flops": 128_471_690}
    kept = {rule: 100 * within_bounds(free, BOUNDS["cifar10"], rule).mean() for rule in ("and", "or", "none")}
    assert low < kept["or"] < high
    assert kept["and"] < kept["or"] < kept["none"] == 100


@pytest.mark.parametrize("name", ["resnet", "resnext-b_in", "enas", "darts_in", "resnet-56"])
def test_complexity_of_a_sample_is_that_of_its_configurations(name: str) -> None:
    space = spaces.SPACES[name]
    drawn = sample(space, 200, seed=8, **DIGITS)
    again = space.architecture.measure(drawn.columns, **DIGITS)
    for one, other in zip(drawn.complexity, again, strict=True):
        assert one.shape == (200,)
        assert_array_equal(one, other)


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize(
    ("space", "bounds"),
    [(RESNET, {"params": 0.3e6, "macs": 6e6}), (DARTS, {"macs": 12e6}), (FEW, {}), (FEW_CELLS, {})],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_longer_sample_begins_with_the_shorter_one(space: Space, bounds: dict[str, float], replacement: bool) -> None:
    most = 10_000 if replacement or space.size > 10_000 else space.size
    lengths = [length for length in (1, 7, 16, most) if length <= most]
    drawn = [sample(space, n, seed=9, bounds=bounds, replacement=replacement, **DIGITS) for n in lengths]
    for length, shorter in zip(lengths, drawn, strict=True):
        assert len(shorter) == length
        longest = drawn[-1]
        assert_same(
            shorter,
            Sample(
                {name: column[:length] for name, column in longest.columns.items()},
                Complexity(*(count[:length] for count in longest.complexity)),
            ),
        )


def test_seed_and_name_decide_the_sample() -> None:
    for space, other in ((RESNET, VANILLA), (spaces.SPACES["amoeba"], spaces.SPACES["pnas"])):
        first, again, other_seed = (sample(space, 50, seed=seed) for seed in (1, 1, 2))
        assert_same(first, again)
        name = "depth"
        assert (first.columns[name] != other_seed.columns[name]).any()
        # Else one seed would pair the spaces' configurations.
        assert (first.columns[name] != sample(other, 50, seed=1).columns[name]).any()


def test_the_data_set_does_not_change_which_configurations_are_drawn() -> None:
    for space in (RESNET, DARTS):
        one, other = sample(space, 50, seed=1), sample(space, 50, seed=1, **DIGITS)
        assert rows(one.columns) == rows(other.columns)
        assert (one.complexity.macs > other.complexity.macs).all()


@pytest.mark.parametrize(
    ("space", "models", "bounds"),
    [(FEW, 16, {}), (FEW_CELLS, 150, {}), (FEW, 9, {"params": 3203.0}), (RESNET, 90, {"params": 120_000.0})],
    ids=["few", "few-cells", "bounded", "resnet"],
)
def test_without_replacement_is_with_replacement_less_what_came_before(
    space: Space, models: int, bounds: dict[str, float]
) -> None:
    for seed in range(3):
        drawn = rows(sample(space, models, seed=seed, bounds=bounds, replacement=False, **DIGITS).columns)
        assert len(set(drawn)) == models
        endless = rows(sample(space, 30 * models, seed=seed, bounds=bounds, **DIGITS).columns)
        assert list(dict.fromkeys(endless))[:models] == drawn


def test_without_replacement_a_space_can_be_drawn_whole() -> None:
    space = StageSpace("eight", Architecture("res_basic_block"), {"depth": (1, 3), "width": (16,)})
    drawn = sample(space, 8, seed=1, replacement=False)
    assert sorted(drawn.columns["depth"].tolist()) == [list(each) for each in product((1, 3), repeat=3)]
    every = sample(FEW_CELLS, FEW_CELLS.size, seed=1, replacement=False)
    assert len(set(rows(every.columns))) == FEW_CELLS.size == len(every)


def test_without_replacement_every_order_is_as_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edfkit.generator.spaces.sampling._DRAWS", 8)  # enough of four; the law does not depend on it
    space = StageSpace("four", Architecture("res_basic_block"), {"depth": (1, 2, 3, 4), "width": (4,)}, 1)
    counts = dict.fromkeys(permutations((1, 2, 3, 4)), 0)
    for seed in range(4_800):
        drawn = sample(space, 4, seed=seed, replacement=False, **DIGITS)
        counts[tuple(drawn.columns["depth"][:, 0].tolist())] += 1
    assert stats.chisquare([*counts.values()]).pvalue > LEVEL
    for place in range(4):
        here = [sum(n for order, n in counts.items() if order[place] == value) for value in (1, 2, 3, 4)]
        assert stats.chisquare(here).pvalue > LEVEL


def test_one_network_is_repeated() -> None:
    for name, params in (("resnet-56", 855_770), ("resnet-110", 1_730_714), ("vanilla-56", 853_018)):
        drawn = sample(spaces.SPACES[name], 3, seed=1)
        assert drawn.columns["width"].tolist() == [[16, 32, 64]] * 3
        assert drawn.complexity.params.tolist() == [params] * 3
        assert len(sample(spaces.SPACES[name], 1, seed=1, replacement=False)) == 1
    one = sample(DARTS, 1, seed=2)
    cells = spaces.read(
        {"block": "cells", "network": spaces.describe_networks(DARTS.architecture, one.columns)[0]}, "here", "one"
    )
    assert rows(sample(cells, 2, seed=9).columns) == 2 * rows(one.columns)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": 0}, r"^0 models were asked for; ask for at least 1\.$"),
        ({"bounds": {"params": -1.0}}, "The bound params = -1"),
        ({"bounds": {"params": 0}}, "The bound params = 0"),
        ({"bounds": {"params": float("nan")}}, "The bound params = nan"),
        ({"bounds": {"width": 5.0}}, "The bound width = 5.0 is not a positive number of params, macs, flops"),
        ({"rule": "xor"}, r"^'xor' is no rule for bounds; choose and, or, none\.$"),
        ({"bounds": {"params": 100.0}}, "None of 65,536 configurations drawn from resnet is within .*; raise them"),
        (
            {"models": 1_259_713, "replacement": False},
            "^1,259,713 models without replacement were asked for, and resnet has 1,259,712 configurations; ask for "
            r"fewer, or draw with replacement\.$",
        ),
    ],
)
def test_bad_requests_are_refused(arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edfkit.generator.spaces.sampling._MOST_DRAWS", 65_536)
    with pytest.raises(EdfkitError, match=message):
        sample(RESNET, **{"models": 5, "seed": 1, **arguments})


@pytest.mark.parametrize("models", [5, 6, 16])
def test_more_than_the_bounds_leave_are_refused(models: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # In 60,000 draws of 16, no configuration is missed.
    monkeypatch.setattr("edfkit.generator.spaces.sampling._MOST_DRAWS", 60_000)
    every = FEW.enumerate(0, 16)
    smallest = np.sort(FEW.architecture.measure(every, **DIGITS).macs)
    bounds = {"macs": float(smallest[4])}  # which four are below
    assert len(sample(FEW, 4, seed=1, bounds=bounds, replacement=False, **DIGITS)) == 4
    message = r"^few has no more than 4 different configurations within .* \(and\), as 6\d,\d+ further draws found no "
    with pytest.raises(EdfkitError, match=rf"{message}other; ask for fewer than {models}, or raise the bounds\.$"):
        sample(FEW, models, seed=1, bounds=bounds, replacement=False, **DIGITS)


def test_a_second_sample_of_one_network_without_replacement_is_refused() -> None:
    with pytest.raises(EdfkitError, match=r"^2 models without replacement were asked for, and resnet-56 has 1 conf"):
        sample(spaces.SPACES["resnet-56"], 2, seed=1, replacement=False)


def test_bounds_that_are_right_pass() -> None:
    for rule in ("and", "or", "none"):
        check_bounds({"params": 1, "macs": 0.5, "flops": float("inf")}, rule)
    assert len(sample(RESNET, 5, seed=1, bounds={"flops": float("inf")})) == 5
