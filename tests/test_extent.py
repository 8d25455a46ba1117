"""The extent of spaces against plain loops over every configuration, and against samples."""

import math
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.generator import spaces
from edfkit.generator.spaces import extent
from edfkit.generator.spaces.extent import PERCENTS, measure_extent
from edfkit.generator.spaces.kinds import Architecture, CellSpace, StageSpace
from edfkit.generator.spaces.sampling import BOUNDED, sample, within_bounds
from edfkit.generator.training.data import BOUNDS, geometry

DIGITS: dict[str, Any] = geometry("digits")
BOTTLENECK = StageSpace(
    "small",
    Architecture("res_bottleneck_block"),
    {"depth": (1, 3), "width": (8, 16), "bot_mul": (0.25, 1.0), "groups": (1, 2)},
    2,
)


def counts_by_loop(space: StageSpace, **images: int) -> dict[str, list[int]]:
    """Measure one configuration after the other."""
    counts: dict[str, list[int]] = {name: [] for name in BOUNDED}
    every_stage = list(product(*space.values.values()))
    for stages in product(every_stage, repeat=space.stages):
        columns = {
            name: np.array([column]) for name, column in zip(space.values, zip(*stages, strict=True), strict=True)
        }
        counted = space.architecture.measure(columns, **images)
        for name in BOUNDED:
            counts[name].append(int(getattr(counted, name)[0]))
    return counts


def smallest_reaching(counts: list[int], percent: int) -> int:
    """Give the smallest count that at least so many percent of the counts do not exceed."""
    ordered = sorted(counts)
    return next(count for i, count in enumerate(ordered, 1) if i * 100 >= percent * len(ordered))


def shares_by_loop(counts: dict[str, list[int]], bounds: dict[str, float]) -> dict[str, float]:
    size = len(counts["params"])
    below = [[counts[name][i] < bound for name, bound in bounds.items()] for i in range(size)]
    shares = {name: sum(row[k] for row in below) / size for k, name in enumerate(bounds)}
    return shares | {"and": sum(map(all, below)) / size, "or": sum(map(any, below)) / size}


@st.composite
def small_spaces(draw: st.DrawFn) -> StageSpace:
    stages = draw(st.integers(1, 3))
    some = st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True).map(tuple)
    values: dict[str, tuple[float, ...]] = {"depth": draw(some), "width": draw(some)}
    block = draw(st.sampled_from(["double_plain_block", "res_basic_block"]))
    return StageSpace("small", Architecture(block, draw(st.sampled_from([1, 4, 8])), 4), values, stages)


@given(small_spaces() | st.just(BOTTLENECK), st.data(), st.sampled_from([5, 100, 2**17]))
@settings(max_examples=25)
def test_the_extent_of_a_small_space_is_that_of_a_loop_over_it(
    space: StageSpace, data: st.DataObject, chunk: int
) -> None:
    counts = counts_by_loop(space, **DIGITS)
    names = data.draw(st.lists(st.sampled_from(BOUNDED), min_size=1, unique=True))
    edges = {
        name: st.sampled_from(counts[name]).map(lambda count: count + 0.5 * data.draw(st.integers(-1, 1)))
        for name in names
    }
    bounds = {name: data.draw(edge) for name, edge in edges.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edfkit.generator.spaces.extent._CHUNK", chunk)  # several of them give the same
        found = measure_extent(space, bounds, **DIGITS)
    assert (found.configurations, found.exact) == (space.size, True)
    assert found.quantiles == {name: [smallest_reaching(counts[name], p) for p in PERCENTS] for name in BOUNDED}
    assert found.within == pytest.approx(shares_by_loop(counts, bounds), abs=1e-12)


def test_the_quantiles_are_those_of_the_edf_by_hand() -> None:
    # Depths 1 to 20 of one stage: each is 5 % of the space, and one block more adds the same.
    space = StageSpace("line", Architecture("res_basic_block"), {"depth": tuple(range(1, 21)), "width": (16,)}, 1)
    one, two = (int(n) for n in space.architecture.measure(space.enumerate(0, 2)).params)
    depths = [1, 1, 5, 10, 15, 19, 20]
    found = measure_extent(space, {"params": one + 3 * (two - one)})
    assert found.quantiles["params"] == [one + (depth - 1) * (two - one) for depth in depths]
    assert found.within == {"params": 0.15, "and": 0.15, "or": 0.15}


def test_without_bounds_all_is_within() -> None:
    assert measure_extent(BOTTLENECK, {}, **DIGITS).within == {"and": 1.0, "or": 1.0}


def test_the_acceptance_of_resnet_is_that_of_a_sample() -> None:
    space, bounds = spaces.SPACES["resnet"], BOUNDS["cifar10"]
    found = measure_extent(space, bounds)
    assert (found.configurations, found.exact) == (1_259_712, True)
    drawn = sample(space, 40_000, seed=11).complexity
    for rule in ("and", "or"):
        share = within_bounds(drawn, bounds, rule).mean()
        p = found.within[rule]
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / 40_000)
    assert found.within["or"] == pytest.approx(0.16, abs=0.01)  # about what the published sample kept
    # No share of the sample below a quantile is far from its percentage either.
    for name in BOUNDED:
        for percent, quantile in zip(PERCENTS, found.quantiles[name], strict=True):
            p = percent / 100
            share = (getattr(drawn, name) <= quantile).mean()
            assert p - 5 * math.sqrt(p * (1 - p) / 40_000) <= share


@pytest.mark.parametrize("name", ["enas", "darts"])
def test_a_space_that_is_too_large_is_estimated(name: str) -> None:
    space, bounds = spaces.SPACES[name], {"params": 1e6, "macs": 0.2e9}
    found, again, other = (measure_extent(space, bounds, seed=seed) for seed in (1, 1, 2))
    assert (found.configurations, found.exact) == (25_000, False)
    assert found == again != other
    drawn = sample(space, 25_000, seed=1).complexity
    counts = {count: getattr(drawn, count).tolist() for count in BOUNDED}
    assert found.quantiles == {count: [smallest_reaching(counts[count], p) for p in PERCENTS] for count in BOUNDED}
    assert found.within == pytest.approx(shares_by_loop(counts, bounds), abs=1e-12)
    for rule in ("params", "macs", "and", "or"):
        p = found.within[rule]
        assert 0.01 < p < 0.99
        assert abs(other.within[rule] - p) < 5 * math.sqrt(2 * p * (1 - p) / 25_000)


def test_a_space_of_stages_that_is_too_large_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edfkit.generator.spaces.extent._MOST", 100)
    monkeypatch.setattr("edfkit.generator.spaces.extent._DRAWS", 90)
    space = StageSpace("more", BOTTLENECK.architecture, BOTTLENECK.values, 3)
    found = measure_extent(space, {"params": 5_000}, **DIGITS)
    assert (found.configurations, found.exact) == (90, False)


def test_a_small_space_of_cells_is_exact_or_says_that_it_is_not() -> None:
    # 32 configurations: drawn with replacement, 32 draws would miss some and repeat others.
    space = CellSpace("few", Architecture("cells"), ("conv_3x3",), 1, "all", (4, 8), (1,))
    columns = sample(space, space.size, seed=1, replacement=False, **DIGITS).columns
    counted = space.architecture.measure(columns, **DIGITS)
    for seed in range(5):
        found = measure_extent(space, {"macs": float(counted.macs.mean())}, seed=seed, **DIGITS)
        if found.exact:
            assert found.configurations == space.size == 32
            assert found.within["macs"] == (counted.macs < counted.macs.mean()).mean()
            counts = counted.macs.tolist()
            assert found.quantiles["macs"] == [smallest_reaching(counts, percent) for percent in PERCENTS]


def test_the_extent_of_one_network_is_its_complexity() -> None:
    found = measure_extent(spaces.SPACES["resnet-56"], BOUNDS["cifar10"])
    assert (found.configurations, found.exact) == (1, True)
    assert found.quantiles == {"params": [855_770] * 7, "macs": [125_747_850] * 7, "flops": [128_471_690] * 7}
    assert found.within == {"params": 0.0, "flops": 0.0, "and": 0.0, "or": 0.0}  # a bound is exclusive
    above = {name: bound + 1 for name, bound in BOUNDS["cifar10"].items()}
    assert measure_extent(spaces.SPACES["resnet-56"], above).within["and"] == 1.0


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"params": 0}, "The bound params = 0 is not a positive number"),
        ({"params": float("nan")}, "The bound params = nan"),
        ({"acts": 5.0}, "The bound acts = 5.0 is not a positive number of params, macs, flops"),
    ],
)
@pytest.mark.parametrize("name", ["resnet", "enas", "resnet-56"])
def test_bounds_that_are_wrong_are_refused(name: str, bounds: dict[str, float], message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        measure_extent(spaces.SPACES[name], bounds)


def test_counting_a_space_whole_measures_every_configuration_once_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    enumerate_: Callable[[StageSpace, int, int], Any] = StageSpace.enumerate

    def noted(self: StageSpace, start: int, stop: int) -> Any:
        seen.append((start, stop))
        return enumerate_(self, start, stop)

    monkeypatch.setattr(StageSpace, "enumerate", noted)
    monkeypatch.setattr("edfkit.generator.spaces.extent._CHUNK", 100)
    measure_extent(BOTTLENECK, {"params": 5_000}, **DIGITS)
    assert seen == [(0, 100), (100, 200), (200, 256)] * (len(seen) // 3)
    assert seen
    assert spaces.SPACES["resnext-b"].size <= extent._MOST  # the published spaces of stages are counted whole


@pytest.mark.slow
def test_the_largest_published_space_is_counted_whole_within_a_gigabyte() -> None:
    script = """
import resource
from edfkit.generator.training import data
from edfkit.generator.spaces import extent
from edfkit.generator import spaces
found = extent.measure_extent(spaces.SPACES["resnext-b"], data.BOUNDS["cifar10"])
assert found.exact
print(found.configurations, found.within["or"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    printed = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    configurations, share, kibibytes = printed.split()
    assert int(configurations) == 52_734_375
    assert float(share) == pytest.approx(0.15, abs=0.01)
    assert int(kibibytes) * 1024 < 1e9
