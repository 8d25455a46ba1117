"""The compare study: each number of a pair is that of the array functions, and of the definitions."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.result import plain
from edfkit.show.words import findings, p_is
from edfkit.stats.adjusted import Difference, balance, better, better_by_permutation, mean_difference
from edfkit.stats.bands import crossings, difference_band, edf_band, tail
from edfkit.stats.bootstrap import bootstrap
from edfkit.stats.claims import claims
from edfkit.stats.curves import shape_test, strata_band
from edfkit.stats.dominance import violation
from edfkit.stats.edf import effective_size
from edfkit.stats.mix import decompose, holm
from edfkit.stats.permutation import permutation_test
from edfkit.stats.strata import Strata, common_weights, cut, in_strata
from edfkit.stats.two_sample import ks, prob_better
from edfkit.study.compare import (
    Estimates,
    Pair,
    compare_populations,
    describe_populations,
)
from edfkit.study.describe import summary_intervals
from edfkit.study.selection import InMemory, Population, Selection, Source, gather, select, units_of

# Between the common ends 100 and 400 lie two bins, parted at 250; the last of b diverged. There are three of each.
SMALL = InMemory(
    {
        "a": {"error": [10.0, 20.0, 30.0, 40.0] * 3, "params": [100, 200, 300, 500] * 3},
        "b": {"error": [20.0, 20.0, 50.0, 90.0] * 3, "params": [50, 150, 350, 400] * 3, "status": [0, 0, 0, 1] * 3},
        "c": {"error": [1.0, 2.0] * 3, "params": [120, 390] * 3},
    }
)
PAIR = [
    *("a", "b", "better", "ks", "p_value", "p_method", "p_adjusted", "p_holm", "p_better", "p_shape", "p_ks"),
    *("prob_a_better", "prob_a_better_interval", "mean_difference", "mean_difference_interval"),
    *("median_difference", "median_difference_interval", "equivalent", "p_equivalent", "balance", "strata", "overlap"),
    *("excluded", "excluded_by", "paired", "shared", "no_claim", "permutation", "dominance", "almost_dominance"),
    *("crossings",),
    *("confidence", "ranges", "tail", "mix", "missing", "fragile", "verdict"),
]


@pytest.fixture(scope="module")
def digits() -> Iterator[Source]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


def three(seed: int = 0, size: int = 60) -> InMemory:
    """Populations that differ a little, with an error that falls with complexity."""
    rng = np.random.default_rng(seed)
    populations = {}
    for name, shift in (("a", 0.0), ("b", 3.0), ("c", 8.0)):
        params = np.append(rng.integers(1, 1000, size), [1, 1000])
        error = (30 + shift - params / 50 + rng.normal(0, 5, size + 2)).round(2)
        populations[name] = {"error": error.clip(0, 100), "params": params, "flops": 2 * params}
    return InMemory(populations)


def estimated(pair: Pair) -> Estimates:
    """Give the estimates of a pair that has some."""
    assert pair.estimates is not None
    return pair.estimates


def mean_of(its: Estimates) -> Difference:
    """Give the difference of the means of estimates that have one."""
    assert its.mean is not None
    return its.mean


def assert_close(one: Any, other: Any, path: str = "") -> None:
    """Check that results, as plain data, are equal but for round-off."""
    one, other = plain(one), plain(other)
    if isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            assert_close(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for i, both in enumerate(zip(one, other, strict=True)):
            assert_close(*both, f"{path}[{i}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12), path
    else:
        assert one == other, path


def test_a_comparison_by_bins_computed_by_hand() -> None:
    result = compare_populations(SMALL, ["a", "b"], bins=2)
    # F_A is 0.25, 0.5, 1, 1, 1 and F_B 0, 0.5, 0.5, 0.75, 1 at 10, 20, 30, 50, 90.
    (pair,) = result.pairs
    its = estimated(pair)
    assert (pair.a, pair.b) == ("a", "b")
    assert its.distance == pytest.approx(0.5, abs=1e-12)
    # 10 beats all, 20 beats half and ties with half, 30 beats half.
    prob = 0.25 + 0.25 * 0.75 + 0.5 * 0.5
    assert pair.prob_a_better == pytest.approx(prob, abs=1e-12)
    # The midpoints of the steps of F are 1/12, 4/12, 7/12, 9/12, 11/12; their squares about the means of the bins, 3/12
    # and 9/12, sum to 1/8 and 1/6. Of 9 models in a bin a has 6 and b 3, or 3 and 6, so that each counts (w / 6 +
    # w / 3)^2 6 3 / (9 8) with w = 1/2. The effective numbers are 1 / (1 / 24 + 1 / 12) = 8 of each.
    kappa = (1 / 8 + 1 / 6) / 64
    p_better = 2 * stats.t.sf((prob - 0.5) / kappa**0.5, 14)
    assert its.better.p_value == pytest.approx(p_better, rel=1e-9)
    # A^2 is the sum of (F_A - F_B)^2 dF / (F (1 - F)), with F = 1/6, 1/2, 2/3, 5/6 and 1.
    assert pair.shape is not None
    assert pair.shape.statistic == pytest.approx(
        (1 / 16) / 6 / (5 / 36) + (1 / 4) / 6 / (2 / 9) + (1 / 16) / 6 / (5 / 36), rel=1e-12
    )
    # The test of P has 0.8 of the level, and one pair needs no adjustment: a is better.
    assert pair.p_value == pair.p_adjusted == pytest.approx(p_better / 0.8, rel=1e-9)
    assert p_better / 0.8 < pair.shape.p_value / 0.2
    assert pair.better == "a"
    assert pair.to_dict()["p_holm"] == pair.p_adjusted
    # d is 12.5 and 22.5 in the first bin, 2.5 and -37.5 in the second.
    squares = [3 * (37.5**2 + 67.5**2) + 3 * 105**2, 3 * 105**2 + 3 * (7.5**2 + 112.5**2)]
    both = 9 * (12.5**2 + 22.5**2 + 2.5**2 + 37.5**2)
    assert mean_of(its).estimate == pytest.approx(-22.5, abs=1e-12)
    assert mean_of(its).standard_error == pytest.approx((4 / 3 * (sum(squares) - both) / 36**2) ** 0.5, rel=1e-9)
    assert its.balance is not None
    assert its.balance.after == pytest.approx((100 * 200 * 300**2 / (150**2 * 350 * 400)) ** 0.25, rel=1e-9)
    assert not its.balance.equal
    assert pair.verdict == "With parameter count only partly balanced, a has lower error than b (p = 0.019)."
    assert (its.crossings.dominance, its.crossings.errors) == ("a", ())
    assert pair.ranges() == [(0, 100, "undecided")]  # a band of 0.68 on either side
    assert its.difference.half_width == pytest.approx(stats.kstwobign.isf(0.05) / 2, rel=1e-9)
    assert pair.permutation is None
    assert (pair.bins, pair.strata, pair.excluded, pair.overlap) == (2, None, (3, 3), 4)
    assert result.seed == 0
    # In the range a has (10, 20), (30) in its bins, and b (20), (50, 90): the shares are 2/3, 1/3 and 1/3, 2/3.
    assert pair.mix is not None
    assert pair.mix.mean.total == pytest.approx(20 - 160 / 3, abs=1e-12)
    assert pair.mix.mean.within == pytest.approx((15 - 20) / 2 + (30 - 70) / 2, abs=1e-12)
    assert pair.mix.mean.unshared == pytest.approx(0, abs=1e-12)


def test_a_comparison_in_strata_computed_by_hand() -> None:
    # 15 models are in four strata of nearly equal size: the last four of a, at 7 and 8, have none of b beside them. In
    # the others there are 2 and 2, 2 and 2, 1 and 2, which weigh 1, 1 and 2/3.
    source = InMemory(
        {
            "a": {"error": [9.0, 7.0, 6.0, 6.0, 3.0, 3.0, 2.0, 2.0, 2.0], "params": [1, 1, 3, 3, 5, 7, 7, 8, 8]},
            "b": {"error": [9.0, 8.0, 7.0, 5.0, 4.0, 2.0], "params": [1, 1, 3, 3, 5, 5]},
        }
    )
    (pair,) = compare_populations(source, ["a", "b"]).pairs
    its = estimated(pair)
    assert (pair.strata, pair.bins, pair.excluded) == (3, None, (4, 0))
    assert pair.overlap == pytest.approx(8 / 3, rel=1e-12)
    # 9 ties with one of two and 7 beats both; 6 beats one of two, twice; 3 beats one of two.
    shares = np.array([1, 1, 2 / 3]) / (8 / 3)
    assert pair.prob_a_better == pytest.approx(shares @ [2.5 / 4, 2 / 4, 1 / 2], abs=1e-12)
    # Complexity does not vary within a stratum, so that there is no slope to take off.
    assert mean_of(its).estimate == pytest.approx(shares @ [8 - 8.5, 6 - 6, 3 - 3], abs=1e-12)
    # F_A at 2, 3, 4, 5, 6, 7, 8 is 0, 1/4, 1/4, 1/4, 5/8, 13/16, 13/16, and F_B 1/8, 1/8, 1/4, 7/16, 7/16, 5/8, 13/16.
    assert its.distance == pytest.approx(3 / 16, abs=1e-12)
    assert its.difference.difference == pytest.approx(np.array([-2, 2, 0, -3, 3, 3, 0, 0]) / 16, abs=1e-12)
    assert its.balance is not None
    assert its.balance.after == pytest.approx(1, abs=1e-12)
    assert its.balance.equal
    # Numbers, but H is less than 4: no claim.
    assert (pair.shape, pair.claim, pair.p_value, pair.p_adjusted, pair.better) == (None, None, None, None, "none")
    assert pair.no_claim == (
        "Too few models of a and b of equal complexity to compare: they are worth 5.3 of each, and a claim needs 8."
    )
    assert pair.ranges() == [(0, 100, "undecided")]


def test_models_that_are_too_few_at_equal_complexity_have_no_numbers() -> None:
    few = {"error": [1.0, 2.0, 3.0], "params": [1, 2, 3]}
    large = {"error": [91.0, 92.0] * 40, "params": np.arange(100, 180)}
    for other, strata, overlap in ((few, 1, 1.5), (large, 83, 0.0)):
        (pair,) = compare_populations(InMemory({"a": few, "b": other}), ["a", "b"], strata=strata).pairs
        assert (pair.estimates, pair.shape, pair.claim, pair.mix, pair.better) == (None, None, None, None, "none")
        assert pair.overlap == overlap
        assert pair.excluded == ((0, 0) if overlap else (3, 80))
        document = pair.to_dict()
        nothing = {key for key, value in document.items() if value is None}
        assert {"ks", "p_value", "p_better", "prob_a_better", "mean_difference", "tail", "balance"} <= nothing
        assert document["verdict"] == document["no_claim"] == pair.no_claim
        assert f"they are worth {2 * overlap:.1f} of each" in document["verdict"]


def test_few_models_in_bins_have_the_numbers_of_the_paper_and_no_claim() -> None:
    # A third of the models of SMALL: the EDFs are the same, but they are worth 2/3 + 2/3 pairs.
    third = {
        name: {column: np.asarray(SMALL.read(name, column))[:4] for column in ("error", "params")} for name in "ab"
    }
    few, whole = (compare_populations(one, ["a", "b"], bins=2).pairs[0] for one in (InMemory(third), SMALL))
    assert few.overlap == pytest.approx(4 / 3)
    assert (few.sure, whole.sure) == (False, True)
    assert (few.better, few.claim, few.shape, few.p_value) == ("none", None, None, None)
    ours, theirs = few.to_dict(), whole.to_dict()
    for key in ("ks", "prob_a_better", "dominance", "crossings", "mix"):
        assert_close(ours[key], theirs[key], key)
    unknown = {key for key, value in ours.items() if value is None}
    assert {"prob_a_better_interval", "mean_difference", "median_difference", "p_better", "balance"} <= unknown
    assert ours["tail"] is not None
    assert ours["verdict"] == ours["no_claim"]
    assert "they are worth 2.7 of each" in ours["verdict"]


WAYS: list[dict[str, Any]] = [{}, {"strata": 5}, {"bins": 4}, {"given": "none"}]


def taken(source: Source, names: list[str], way: dict[str, Any], **options: Any) -> Selection:
    """Give the models of populations that take part, row by row."""
    return (select if "bins" in way else gather)(source, names, **{"given": "params"} | way, **options)


def in_one_way(source: Source, names: list[str], way: dict[str, Any]) -> tuple[list[Population], Strata]:
    """Give the models of two populations, row by row, and put them in strata."""
    a, b = (one.ordered() for one in taken(source, names, way, diverged="censor").populations)
    units = [None if (known := units_of(source, one)) is None else known.unit for one in (a, b)]
    options: dict[str, Any] = {"bins_a": a.bins, "bins_b": b.bins} if "bins" in way else {"strata": way.get("strata")}
    found = in_strata(a.errors, b.errors, a.complexity, b.complexity, units_a=units[0], units_b=units[1], **options)
    assert found is not None
    return [a, b], found


@pytest.mark.parametrize("way", [*WAYS, {"given": "params, flops"}], ids=str)
@pytest.mark.parametrize("repeats", [False, True])
def test_every_field_of_a_pair_is_that_of_the_array_functions(
    digits: Source, repeats: bool, way: dict[str, Any]
) -> None:
    # Some rows of the bundled archive are the same network.
    source, names = (digits, ["vanilla", "resnet"]) if repeats else (three(2), ["b", "a"])
    result = compare_populations(
        source, names, **way, permutations=50, seed=3, confidence=0.9, best_share=0.2, diverged="censor"
    )
    (a, b), strata = in_one_way(source, names, way)
    sides, binned, nothing = (strata.first, ~strata.first), "bins" in way, way.get("given") == "none"
    assert (strata.unit is not None) == repeats
    (pair,) = result.pairs
    its = estimated(pair)
    assert (pair.given, pair.pairs, pair.bins) == (way.get("given", "params"), 1, way.get("bins"))
    assert pair.strata == (None if binned or nothing else strata.number)
    assert pair.overlap == pytest.approx(strata.overlap, rel=1e-12)

    errors: tuple[Any, Any] = (a.errors, b.errors)
    weights: tuple[Any, Any] = (a.weights, b.weights)
    more: dict[str, Any] = {"confidence": 0.9}
    if binned:
        first = better_by_permutation(strata, prob_better(*errors, *weights), 0.9)
        band = difference_band(*errors, *weights, confidence=0.9)
    else:
        errors, weights = ((one[sides[0]], one[sides[1]]) for one in (strata.errors, strata.weights))
        first, band = better(strata, 0.9), strata_band(strata, rng=3, confidence=0.9)
        more |= {f"strata_{name}": strata.stratum[side] for name, side in zip("ab", sides, strict=True)}
        if strata.unit is not None:
            more |= {f"units_{name}": strata.unit[side] for name, side in zip("ab", sides, strict=True)}
    expected = Estimates(
        ks(*errors, *weights).statistic,
        first,
        mean_difference(strata, 0.9, slope=not binned),
        balance(strata, first.standard_error),
        crossings(*errors, *weights),
        band,
        tail(*errors, 0.2, *weights, **more),
        tail(*errors, 0.5, *weights, **more),
        violation(strata, 0.9),
        ks(a.errors, b.errors).p_value if nothing else None,
    )
    assert_close(vars(its), vars(expected))
    # No permutation could make the p value of shape matter for the first two.
    assert (pair.shape is None) == repeats
    p_shape = 1.0
    if pair.shape is not None:
        assert_close(pair.shape, shape := shape_test(strata, rng=3, permutations=1_999))
        p_shape = shape.p_value
    assert_close(vars(pair.claim), vars(claims([(first.p_value, p_shape)], 0.1)[0]))
    assert (pair.better != "none") == ((pair.p_adjusted or 0) <= 0.1)
    bins = np.split(strata.placed, [a.errors.size])
    if binned or nothing:
        assert_close(
            pair.permutation, permutation_test(a.errors, b.errors, *bins, trials=50, rng=np.random.default_rng(3))
        )
    else:
        assert pair.permutation is None
    assert (pair.mix is None) == nothing
    if pair.mix is not None:
        assert_close(vars(pair.mix), vars(decompose(a.errors, bins[0], b.errors, bins[1])))
    assert result.seed == 3


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_populations_are_summarised_as_they_are_and_drawn_at_equal_complexity(way: dict[str, Any]) -> None:
    source, names = three(), ["c", "a", "b"]
    result = compare_populations(source, names, **way, confidence=0.9)
    selected = taken(source, names, way)
    assert_close(result.selection.to_dict(), selected.to_dict())
    for ours, models in zip(result.selection.populations, selected.populations, strict=True):
        np.testing.assert_array_equal(ours.errors, models.errors)
        np.testing.assert_array_equal(ours.rows, models.rows)
        assert (ours.weights is None) == ("bins" not in way)
        assert (ours.summary.n_eff == len(ours.errors)) == ("bins" not in way)
    assert result.to_dict()["bins"] == way.get("bins")
    sizes = [one.errors.size for one in selected.populations]
    weights = [
        np.full(size, 1 / size) if one.weights is None else one.weights
        for one, size in zip(selected.populations, sizes, strict=True)
    ]
    if "bins" not in way and "given" not in way:  # by strata that all three have
        params = np.concatenate([source.read(name, "params") for name in names])
        placed = cut(params, number=way.get("strata"))
        found = common_weights(np.split(placed, np.cumsum(sizes)[:-1]), [np.ones(size) for size in sizes])
        assert found is not None
        weights = found[0]
        assert result.drawn.strata == found[1] == way.get("strata", 14)
    for one, models, each, band in zip(
        result.drawn.populations, selected.populations, weights, result.bands, strict=True
    ):
        assert one.shares is not None
        for error in models.errors:
            share = each[models.errors <= error].sum()
            assert one.shares[one.errors <= error].sum() == pytest.approx(share, abs=1e-12)
        assert one.summary.mean == pytest.approx(each @ models.errors, rel=1e-12)
        assert band.to_dict() == edf_band(one.errors, one.weights, confidence=0.9, counts=one.counts).to_dict()
        assert band.n_eff == pytest.approx(effective_size(each), rel=1e-9)


def test_two_complexities_of_more_than_two_populations_are_not_drawn_at_equal_complexity() -> None:
    for names, drawn in (("ab", "params,flops"), ("abc", "none")):
        result = compare_populations(three(), names, given="params,flops")
        assert (result.selection.given, result.drawn.given) == ("params,flops", drawn)
        assert (result.drawn.strata is None) == (drawn == "none")
        assert all(pair.strata for pair in result.pairs)


def test_bands_of_drawn_populations_count_networks(digits: Source) -> None:
    result = compare_populations(digits, ["resnet", "vanilla"], given="none")
    spaces = result.to_dict()["spaces"]
    assert [one["models"] for one in spaces] == [500, 500]
    for space, band in zip(spaces, result.bands, strict=True):
        assert space["units"] - 5 < band.n_eff < space["units"] < 500


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_pairs_of_three_are_claimed_together(seed: int, way: dict[str, Any]) -> None:
    result = compare_populations(three(seed), ["c", "a", "b"], **way)
    assert [(pair.a, pair.b) for pair in result.pairs] == [("c", "a"), ("c", "b"), ("a", "b")]
    p_values = [
        (estimated(pair).better.p_value, 1.0 if pair.shape is None else pair.shape.p_value) for pair in result.pairs
    ]
    assert [pair.claim for pair in result.pairs] == claims(p_values, 1 - 0.95)
    assert any((pair.p_adjusted or 0) > (pair.p_value or 0) for pair in result.pairs)
    for pair in result.pairs:
        assert pair.claim is not None
        assert (pair.better == "none") == (pair.claim.p_adjusted > pair.alpha)
        assert (pair.better in (pair.a, pair.b)) == (pair.claim.kind == "better")
        assert pair.pairs == 3
        assert f"({p_is(pair.claim.p_adjusted)}, adjusted for 3 pairs)" in pair.verdict
        assert pair.to_dict()["p_holm"] == pair.p_adjusted


def test_a_difference_that_one_pair_shows_is_not_claimed_of_many() -> None:
    rng = np.random.default_rng(0)
    errors = {"a": rng.uniform(0, 50, 40), "b": rng.uniform(16, 66, 40)}
    same = {name: rng.uniform(5, 55, 40) for name in "cdefghijklmn"}
    source = InMemory({name: {"error": error, "params": np.arange(1, 41)} for name, error in (errors | same).items()})
    alone, among = (compare_populations(source, names, given="none").pairs[0] for names in ("ab", "abcdefghijklmn"))
    assert estimated(alone).better == estimated(among).better
    assert alone.p_adjusted == alone.p_value
    assert (alone.p_adjusted or 1) <= 0.05 < (among.p_adjusted or 0)
    assert (alone.better, among.better) == ("a", "none")
    assert "a has lower error than b" in alone.verdict
    assert "no difference between a and b is shown" in among.verdict
    # Alone it is better at some errors; among many nothing is said of any.
    assert any(kind == "better" for *_, kind in alone.ranges())
    assert among.ranges() == [(0, 100, "undecided")]
    assert estimated(among).difference.ranges() == alone.ranges()


def test_one_population_has_no_pairs_and_three_have_a_common_range_of_bins() -> None:
    for bins in (1, None):
        alone = compare_populations(SMALL, ["a"], bins=bins)
        assert (alone.pairs, len(alone.bands)) == ([], 1)
    result = compare_populations(SMALL, ["c", "a", "b"], bins=1)
    assert [population.name for population in result.selection.populations] == ["c", "a", "b"]
    assert result.selection.range == (120, 390)  # what all three cover
    assert compare_populations(SMALL, ["c", "a", "b"]).selection.range is None


def test_the_seed_decides_what_is_drawn() -> None:
    first, again, other = (
        [
            [(pair.permutation, pair.shape, estimated(pair).difference.half_width) for pair in result.pairs]
            for result in (
                compare_populations(three(2), list("abc"), permutations=500, seed=seed, bins=bins) for bins in (4, None)
            )
        ]
        for seed in (1, 1, 2)
    )
    assert first == again
    for place in (0, 1):
        assert first[0][0][place] != other[0][0][place]
    for place in (1, 2):
        assert first[1][0][place] != other[1][0][place]


def test_more_permutations_are_drawn_than_were_asked_for_if_a_claim_takes_them() -> None:
    # The shapes differ, and neither is better: 20 permutations could not show it.
    errors = {"narrow": np.linspace(40, 60, 50), "wide": np.linspace(0, 100, 50)}
    source = InMemory({name: {"error": error} for name, error in errors.items()})
    for permutations, drawn in ((0, 1_999), (20, 1_999), (3_000, 3_000)):
        (pair,) = compare_populations(source, ["narrow", "wide"], given="none", permutations=permutations).pairs
        assert pair.shape is not None
        assert (pair.shape.permutations, pair.better) == (drawn, "shape")
        assert pair.shape.p_value == 1 / (drawn + 1)
        assert (pair.permutation is None) == (permutations == 0)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([{}, {"bins": 3}]))
def test_the_mix_adds_up_and_the_ranges_cover_all_errors(seed: int, way: dict[str, Any]) -> None:
    result = compare_populations(three(seed), ["a", "b"], **way)
    a, b = result.selection.populations
    (pair,) = result.pairs
    assert pair.mix is not None
    for parts in (pair.mix.mean, pair.mix.prob_better):
        assert parts.composition + parts.within + parts.unshared == pytest.approx(parts.total, abs=1e-9)
        assert "bins" not in way or parts.unshared == pytest.approx(0, abs=1e-12)  # no bin is empty
    assert pair.mix.mean.total == pytest.approx(a.errors.mean() - b.errors.mean(), abs=1e-9)
    assert pair.mix.prob_better.total == pytest.approx(prob_better(a.errors, b.errors) - 0.5, abs=1e-9)

    document = pair.to_dict()["ranges"]
    assert (document[0]["from"], document[-1]["to"]) == (0, 100)
    assert all(one["to"] == next_["from"] for one, next_ in pairwise(document))
    assert all(one["a_is"] != next_["a_is"] for one, next_ in pairwise(document))
    assert {one["a_is"] for one in document} <= {"better", "worse", "undecided"}
    assert pair.ranges() == (estimated(pair).difference.ranges() if pair.better != "none" else [(0, 100, "undecided")])


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_comparison_by_bins_is_that_of_the_definitions(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    populations = {
        name: {"error": rng.integers(0, 100, size) / 4, "params": rng.integers(0, 50, size)}
        for name, size in (("a", 90), ("b", 120))
    }
    result = compare_populations(InMemory(populations), ["a", "b"], range=(0.0, 50.0), bins=bins)
    a, b = (reference.normalise(p["error"].tolist(), p["params"].tolist(), 0, 50, bins) for p in populations.values())
    for ours, theirs in zip(result.selection.populations, (a, b), strict=True):
        assert ours.summary.n_eff == pytest.approx(theirs.n_eff, rel=1e-12)
        assert ours.summary.mean == pytest.approx(theirs.mean, rel=1e-12)
        assert ours.summary.area == pytest.approx(theirs.area(50), rel=1e-12)
        assert ours.summary.quantiles == {q: theirs.quantile(q) for q in ours.summary.quantiles}
    (pair,) = result.pairs
    assert estimated(pair).distance == pytest.approx(reference.distance(a, b), abs=1e-12)
    assert pair.prob_a_better == pytest.approx(reference.prob_better(a, b), abs=1e-12)
    one, other = result.selection.populations
    test = ks(one.errors, other.errors, one.weights, other.weights)
    assert test.p_value == pytest.approx(reference.p_value(a, b), rel=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.booleans())
def test_the_comparison_in_strata_is_that_of_the_definitions(seed: int, repeats: bool) -> None:
    rng = np.random.default_rng(seed)
    populations, models = {}, []
    for name, size, most in (("a", 90, 50), ("b", 120, 70)):
        depth = rng.integers(1, most, size)  # which is all that is known of a network
        error = rng.integers(0, 100, size) / 4
        populations[name] = {"error": error, "params": 7 * depth}
        if repeats:
            populations[name] |= {"depth": depth}
        units = (depth if repeats else np.arange(size)).tolist()
        models.append(list(zip(error.tolist(), (7.0 * depth).tolist(), units, strict=True)))
    (pair,) = compare_populations(InMemory(populations), ["a", "b"], confidence=0.9).pairs
    expected, its = reference.stratify(*models), estimated(pair)
    assert pair.strata == len(expected.strata)
    assert pair.overlap == pytest.approx(expected.overlap, rel=1e-9)
    assert its.distance == pytest.approx(reference.distance(*expected.members), abs=1e-9)
    assert its.better.prob == pytest.approx(expected.prob_better, abs=1e-9)
    assert (its.better.p_value, its.better.low, its.better.high) == pytest.approx(expected.better(0.9), rel=1e-6)
    assert mean_of(its).estimate == pytest.approx(expected.mean_difference, abs=1e-9)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_exchanging_the_populations_mirrors_the_result(seed: int, way: dict[str, Any]) -> None:
    ab, ba = (compare_populations(three(seed), names, **way).pairs[0] for names in (["a", "b"], ["b", "a"]))
    one, other = estimated(ab), estimated(ba)
    assert one.distance == pytest.approx(other.distance, abs=1e-12)
    assert one.better.prob == pytest.approx(1 - other.better.prob, abs=1e-12)
    assert (one.better.low, one.better.high) == pytest.approx((1 - other.better.high, 1 - other.better.low), rel=1e-9)
    assert one.better.p_value == pytest.approx(other.better.p_value, rel=1e-9)
    assert (mean_of(one).low, mean_of(one).high) == pytest.approx((-mean_of(other).high, -mean_of(other).low), rel=1e-9)
    assert (one.tail.a, one.tail.b) == (other.tail.b, other.tail.a)
    assert one.crossings.errors == other.crossings.errors
    # What is drawn is the same as well.
    assert ab.shape == ba.shape
    assert ab.better == ba.better
    assert ab.p_adjusted == pytest.approx(ba.p_adjusted, rel=1e-9)
    mirrored = {"better": "worse", "worse": "better", "undecided": "undecided"}
    assert ab.ranges() == [(lo, hi, mirrored[kind]) for lo, hi, kind in ba.ranges()]
    assert one.difference.ranges() == [(lo, hi, mirrored[kind]) for lo, hi, kind in other.difference.ranges()]
    if "given" in way:
        assert ab.mix is None
        return
    assert ab.mix is not None
    assert ba.mix is not None
    assert ab.mix.mean.within == pytest.approx(-ba.mix.mean.within, abs=1e-12)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_comparison_is_plain_data(way: dict[str, Any]) -> None:
    document = compare_populations(three(), list("abc"), permutations=20, seed=5, equivalent=2.0, **way).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == [
        *("metric", "given", "error", "diverged", "stopped", "select", "bins", "range", "chosen_on_test", "spaces"),
        *("pairs", "seed", "sensitivity"),
    ]
    assert (document["seed"], document["sensitivity"]) == (5, [])
    assert (document["bins"], document["range"] is None) == (way.get("bins"), "bins" not in way)
    assert [list(pair) for pair in document["pairs"]] == [PAIR] * 3
    binned, plain_ = "bins" in way, "given" in way
    for one in document["pairs"]:
        pair: Any = one
        assert pair["better"] in ("a", "b", "c", "shape", None)
        assert (pair["better"] is not None) == (pair["p_adjusted"] <= 1 - pair["confidence"])
        for key in ("prob_a_better", "mean_difference", "median_difference"):
            assert pair[f"{key}_interval"][0] <= pair[key] <= pair[f"{key}_interval"][1]
        assert (pair["mix"] is None) == (pair["balance"] is None) == plain_
        assert plain_ or list(pair["mix"]) == ["mean", "prob_better", "distance"]
        assert plain_ or list(pair["balance"]) == ["before", "after", "smd", "bias_in_se", "equal"]
        assert (pair["permutation"] is None) == (not binned and not plain_)
        assert pair["permutation"] is None or pair["permutation"]["trials"] == 20
        assert (pair["p_ks"] is not None) == plain_
        assert (pair["strata"] is not None) == (not binned and not plain_)
        assert pair["excluded"] == pair["excluded_by"]["a"] + pair["excluded_by"]["b"]
        assert pair["equivalent"] == (pair["p_equivalent"] <= 1 - pair["confidence"])
        assert (pair["paired"], pair["shared"], pair["no_claim"]) == (False, 0, None)
        assert (pair["tail"]["q"], pair["confidence"]) == (0.05, 0.95)
        assert pair["dominance"] in ("a", "b", "c", "neither", "equal")
    bare: Any = compare_populations(three(), ["a", "b"], **way).to_dict()
    json.dumps(bare, allow_nan=False)
    assert bare["seed"] == 0
    assert [bare["pairs"][0][key] for key in ("permutation", "equivalent", "p_equivalent")] == [None] * 3


def test_means_are_equivalent_where_two_one_sided_tests_say_so() -> None:
    rng = np.random.default_rng(0)
    source = InMemory({name: {"error": rng.normal(50, 1, 100), "params": rng.integers(1, 99, 100)} for name in "abc"})
    for equivalent in (0.1, 0.2, 5.0):
        pairs = compare_populations(source, list("abc"), equivalent=equivalent).pairs
        raw = []
        for pair in pairs:
            its = mean_of(estimated(pair))
            away = [(equivalent + sign * its.estimate) / its.standard_error for sign in (1, -1)]
            raw.append(max(stats.t.sf(away, its.df)))
        assert [pair.p_equivalent for pair in pairs] == pytest.approx(holm(raw).tolist(), rel=1e-6)
        for pair in pairs:
            assert pair.is_equivalent == ((pair.p_equivalent or 0) <= 0.05) == (equivalent > 1)
            assert (
                f"; their mean errors are shown to differ by less than {equivalent:g} points (p" in pair.verdict
            ) == pair.is_equivalent


def test_dominance_is_said_by_name() -> None:
    # The bands tell a and b; the names of spaces say who.
    source = InMemory({"good": {"error": [1.0, 2.0] * 3}, "bad": {"error": [3.0, 4.0] * 3}})
    for names in (["good", "bad"], ["bad", "good"]):
        (pair,) = compare_populations(source, names, given="none").to_dict()["pairs"]
        assert pair["dominance"] == "good"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "confidence: 1 was given"),
        ({"confidence": 0.4}, r"confidence: 0\.4 was given"),
        ({"best_share": 0.0}, "best_share: 0 was given, but a share above 0 and up to 1"),
        ({"best_share": 5.0}, "best_share: 5 was given, but a share above 0 and up to 1"),
        ({"permutations": -1}, "-1"),
        ({"given": "none", "bins": 2}, "Bins and range belong to a complexity"),
    ],
)
def test_what_cannot_be_compared_is_refused(options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        compare_populations(SMALL, ["a", "b"], **options)


def test_described_populations_are_those_compared_given_none(digits: Source) -> None:
    names = ["ResNet", "vanilla"]
    described = describe_populations(digits, names, error="final", area_to=30.0)
    compared = compare_populations(digits, names, given="none", error="final", area_to=30.0).selection.populations
    assert [one.to_dict() for one in described] == [one.to_dict() for one in compared]
    with pytest.raises(EdfkitError, match="named twice"):
        describe_populations(digits, ["resnet", "RESNET"])


def test_intervals_of_a_summary_are_those_of_the_bootstrap() -> None:
    with Archive(BUNDLED["digits"]) as archive:
        (member,) = describe_populations(archive, ["resnet"], area_to=20.0)
    found = summary_intervals(member, trials=200, confidence=0.9, seed=4)
    assert list(found) == ["mean", "median", "area", "best of 25"]
    assert found["best of 25"] == bootstrap("min", member.errors, m=25, trials=200, confidence=0.9, rng=4)
    assert found["area"] == bootstrap("area", member.errors, upto=20.0, trials=200, confidence=0.9, rng=4)
    assert found["mean"].low < member.summary.mean < found["mean"].high
    assert found["median"].estimate == member.summary.median


def test_a_finding_is_not_said_to_survive_runs_that_were_not_put_back() -> None:
    rng = np.random.default_rng(0)

    def rows(shift: float, lost: int, sizeless: int) -> dict[str, Any]:
        error, params = 20 + shift + rng.normal(0, 2, 90), rng.uniform(1e3, 5e4, 90)
        error[:lost], params[:sizeless] = np.nan, np.nan
        return {"error": error, "params": params}

    same = "counted as the worst or the best, the finding is the same"
    for sizeless, said in (
        (0, same),
        (1, f"{same}, but for 1 of unknown parameter count"),
        (4, "whether they change the finding is not known, as their parameter count is not"),
    ):
        (pair,) = compare_populations(InMemory({"a": rows(0, 4, sizeless), "b": rows(9, 0, 0)}), ["a", "b"]).pairs
        assert pair.better == "a"
        assert pair.missing == (4, 0)
        assert pair.fragile is not None
        assert pair.fragile.unplaced == sizeless
        assert dict(findings(pair))["runs without a value"] == f"4 runs of a: {said}"
