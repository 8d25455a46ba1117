import json
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from opda.nonparametric import EmpiricalDistribution
from strategies import counted, errors, samples

from edfkit import EdfkitError
from edfkit.stats import minima
from edfkit.stats.edf import Floats, quantiles
from edfkit.stats.minima import (
    best_of,
    best_of_band,
    best_of_bins,
    difference,
    draws_for_top,
    minimum,
    minimum_gap,
    pseudo_values,
    resample_minima,
    who_wins,
)
from edfkit.stats.sample import Sample as Counted
from edfkit.stats.two_sample import prob_better

Sample = tuple[Floats, Floats]
Counts = NDArray[np.int64]


def population(models: int = 25_000, seed: int = 0) -> Floats:
    """Errors such as a design space has: a lower end, a long upper tail, steps of 0.01."""
    rng = np.random.default_rng(seed)
    return np.asarray(np.round(np.minimum(5 + rng.gamma(3, 2, models), 100), 2), dtype=np.float64)


def law(outcomes: list[float]) -> dict[float, float]:
    """The law of equally likely outcomes."""
    return {value: outcomes.count(value) / len(outcomes) for value in sorted(set(outcomes))}


def test_smallest_of_two_by_hand() -> None:
    # Of the 6 pairs, 3 have the 1 and 3 do not; none is without 1 and 2.
    values, without = minimum([2, 1, 4, 2], 2, replacement=False)
    assert values.tolist() == [1, 2, 4]
    assert_allclose(without, [1 / 2, 1 / 2, 0], rtol=1e-14)
    # Of the 16 ordered pairs, 9 avoid the 1, one avoids both 1 and 2.
    assert_allclose(minimum([2, 1, 4, 2], 2)[1], [7 / 16, 8 / 16, 1 / 16], rtol=1e-14)
    # By weight, 1 has half: it is avoided with 1/4, and then 4 is the minimum with (1/4)^2.
    assert_allclose(minimum([1, 2, 4], 2, [2, 1, 1])[1], [3 / 4, 3 / 16, 1 / 16], rtol=1e-14)


@given(errors(max_size=7), st.data())
def test_without_replacement_all_sets_of_models_are_equally_likely(sample: Floats, data: st.DataObject) -> None:
    m = data.draw(st.integers(1, sample.size))
    values, probabilities = minimum(sample, m, replacement=False)
    expected = law([min(drawn) for drawn in combinations(sample.tolist(), m)])
    assert_array_equal(values, np.unique(sample))
    assert_allclose(probabilities, [expected.get(value, 0) for value in values], atol=1e-14)


@given(samples(max_size=5), st.integers(1, 4))
def test_with_replacement_models_are_drawn_by_weight(sample: Sample, m: int) -> None:
    e, w = sample
    expected: dict[float, float] = {}
    for drawn in product(range(e.size), repeat=m):
        least = min(e[list(drawn)])
        expected[least] = expected.get(least, 0) + math.prod((w / w.sum())[list(drawn)])
    values, probabilities = minimum(e, m, w)
    assert_array_equal(values, np.unique(e[w > 0]))
    assert_allclose(probabilities, [expected[value] for value in values], rtol=1e-9, atol=1e-300)


@given(samples(), st.integers(1, 10_000), st.booleans())
def test_probabilities_sum_to_one(sample: Sample, m: int, weighted: bool) -> None:
    probabilities = minimum(sample[0], m, sample[1] if weighted else None)[1]
    assert probabilities.min() >= 0
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert minimum(sample[0], min(m, sample[0].size), replacement=False)[1].sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("m", [1, 2, 64, 500, 1_999])
def test_far_tails_are_precise(m: int) -> None:
    e = np.round(population(2_000), 1)
    values, without = minimum(e, m, replacement=False)
    _, with_replacement = minimum(e, m)
    for i in range(0, values.size, 7):
        at_least, above = int((e >= values[i]).sum()), int((e > values[i]).sum())
        ways = Fraction(math.comb(at_least, m) - math.comb(above, m), math.comb(2_000, m))
        assert without[i] == pytest.approx(float(ways), rel=1e-9, abs=1e-300)
        power = Fraction(at_least, 2_000) ** m - Fraction(above, 2_000) ** m
        assert with_replacement[i] == pytest.approx(float(power), rel=1e-9, abs=1e-300)


def test_weights_spanning_many_orders_keep_their_precision() -> None:
    rng = np.random.default_rng(0)
    weights = 10.0 ** rng.integers(-10, 11, 60)
    probabilities = minimum(np.arange(60), 9, weights)[1]
    exact = [Fraction(w) for w in weights.tolist()]
    above = [sum(exact[i:], Fraction(0)) / sum(exact) for i in range(61)]
    assert_allclose(probabilities, [float(above[i] ** 9 - above[i + 1] ** 9) for i in range(60)], rtol=1e-9)


def test_one_model_equal_models_and_the_ends_of_the_scale() -> None:
    for sample in ([7.0], [7.0] * 5, [0.0], [100.0, 100.0]):
        for replacement in (True, False):
            curve = best_of(sample, [1, len(sample)], replacement=replacement)
            assert curve.error.tolist() == [sample[0]] * 2
            assert curve.spread.tolist() == [0, 0]
            assert np.all(np.isnan(curve.se)) if len(sample) == 1 else curve.se.tolist() == [0, 0]
            assert [each.tolist() for each in curve.quantiles.values()] == [[sample[0]] * 2] * 3
        assert who_wins(sample, 1, large=len(sample)).tie == 1
        assert [each.tolist() for each in difference(sample, 1, large=len(sample))] == [[0], [1]]
    assert minimum([0, 100], 2)[1].tolist() == [0.75, 0.25]


def test_drawing_all_models_finds_the_best() -> None:
    e = population()
    assert minimum(e, e.size, replacement=False)[1][:2].tolist() == [1, 0]
    curve = best_of(e, [1, 128, e.size], replacement=False)
    assert np.all(np.isfinite(curve.error))  # plain binomials overflow from m = 128 on
    assert curve.error[-1] == e.min()
    assert curve.spread[-1] == 0


@given(samples(), st.lists(st.integers(1, 300), min_size=1, max_size=4), st.floats(1e-3, 1))
def test_curve_has_the_moments_and_quantiles_of_the_minimum(sample: Sample, m: list[int], q: float) -> None:
    e, w = sample
    for weights, replacement in ((None, True), (w, True), (None, False)):
        draws = m if replacement else [min(size, e.size) for size in m]
        curve = best_of(e, draws, weights, replacement=replacement, q=[q, 1])
        for i, size in enumerate(draws):
            values, p = minimum(e, size, weights, replacement=replacement)
            assert curve.error[i] == pytest.approx(p @ values, abs=1e-10)
            assert curve.spread[i] == pytest.approx(np.sqrt(p @ (values - p @ values) ** 2), abs=1e-6)
            assert curve.quantiles[q][i] == quantiles(values, q, p)


@given(samples(min_size=2))
def test_one_draw_is_the_mean(sample: Sample) -> None:
    e, w = sample
    curve = best_of(e, 1)
    assert curve.error[0] == pytest.approx(e.mean())
    assert curve.spread[0] == pytest.approx(e.std(), abs=1e-6)
    assert curve.se[0] == pytest.approx(e.std(ddof=1) / np.sqrt(e.size), abs=1e-6)
    assert best_of(e, 1, w).error[0] == pytest.approx(np.average(e, weights=w))


@given(samples(), st.floats(1e-3, 1e3))
def test_order_and_scale_change_no_curve_and_more_draws_never_harm(sample: Sample, scale: float) -> None:
    e, w = sample
    curve = best_of(e, [1, 2, 3, 50], w)
    assert np.all(np.diff(curve.error) <= 1e-12)
    other = best_of(e[::-1], [1, 2, 3, 50], w[::-1] * scale)
    assert_allclose(other.error, curve.error, rtol=1e-10, atol=1e-12)
    assert_allclose(other.se, curve.se, rtol=1e-6, atol=1e-7)


@given(errors(min_size=2), st.integers(1, 5))
def test_copies_of_all_models_bring_both_kinds_of_draws_together(sample: Floats, m: int) -> None:
    with_replacement = best_of(sample, m).error
    assert_allclose(best_of(np.tile(sample, 3), m).error, with_replacement, rtol=1e-10, atol=1e-10)
    draws = min(m, sample.size)
    gaps = [
        abs(best_of(np.tile(sample, copies), draws, replacement=False).error[0] - best_of(sample, draws).error[0])
        for copies in (1, 10, 1_000)
    ]
    assert gaps[2] <= gaps[1] + 1e-9
    assert gaps[1] <= gaps[0] + 1e-9


@pytest.mark.filterwarnings("ignore:ws gives equal weight")
@given(samples(min_size=2), st.lists(st.integers(1, 500), min_size=1, max_size=4))
def test_curves_equal_opda(sample: Sample, m: list[int]) -> None:
    e, w = sample
    assert_allclose(
        best_of(e, m, w).error,
        EmpiricalDistribution(e, ws=w / w.sum()).average_tuning_curve(m, minimize=True),
        rtol=1e-9,
        atol=1e-9,
    )
    unweighted = EmpiricalDistribution(e)
    assert_allclose(best_of(e, m).error, unweighted.v_tuning_curve(m, minimize=True), rtol=1e-9, atol=1e-9)
    few = [min(size, e.size) for size in m]
    mine = best_of(e, few, replacement=False).error
    assert_allclose(mine, unweighted.u_tuning_curve(few, minimize=True), rtol=1e-9, atol=1e-9)


def test_quantile_curve_equals_opda() -> None:
    e, m = population(997), [1, 3, 10, 100, 1_000]  # 997 is prime, so that no quantile lies at a step
    for q in (0.05, 0.5, 0.95):
        theirs = EmpiricalDistribution(e).quantile_tuning_curve(m, q=q, minimize=True)
        assert_array_equal(best_of(e, m, q=[q]).quantiles[q], theirs)


def test_drawing_with_replacement_is_biased_and_without_is_not() -> None:
    # The estimates are linear in the order statistics, so their mean over samples is that at the mean order statistics:
    # for 60 errors uniform between 4 and 10, 4 + 6 k / 61. The smallest of 40 such errors is 4 + 6 / 41 on average.
    mean_order = 4 + 6 * np.arange(1, 61) / 61
    assert best_of(mean_order, 40, replacement=False).error[0] == pytest.approx(4 + 6 / 41, rel=1e-12)
    assert best_of(mean_order, 40).error[0] - (4 + 6 / 41) == pytest.approx(0.053, abs=0.001)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_standard_error_and_spread_are_what_they_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    curves = [best_of(rng.uniform(5, 14.2, 900), 50) for _ in range(400)]
    assert np.std([curve.error[0] for curve in curves]) == pytest.approx(0.030, rel=0.15)
    assert np.mean([curve.se[0] for curve in curves]) == pytest.approx(0.030, rel=0.05)
    searches = rng.uniform(5, 14.2, (4_000, 50)).min(axis=1)
    assert np.std(searches) == pytest.approx(0.18, rel=0.1)
    assert np.mean([curve.spread[0] for curve in curves]) == pytest.approx(0.18, rel=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_weighted_curve_agrees_with_the_papers_resampling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    e, w = population(2_000, seed), rng.uniform(0, 1, 2_000)
    m, searches = [1, 4, 16, 64, 256], 3_000
    curve = best_of(e, m, w)
    for i, size in enumerate(m):
        found = rng.choice(e, (searches, size), p=w / w.sum()).min(axis=1)
        assert abs(found.mean() - curve.error[i]) < 4 * curve.spread[i] / np.sqrt(searches)
        assert np.mean(found <= curve.quantiles[0.5][i]) > 0.5 - 4 * 0.5 / np.sqrt(searches)


def test_bins_by_hand() -> None:
    # One of {1, 4} and one of {2, 3}: the minima 1, 1, 2, 3 are equally likely; the model outside is not drawn.
    best = best_of_bins([1, 4, 2, 3, 0], [0, 0, 1, 1, -1], 1)
    assert best.error == pytest.approx(7 / 4)
    assert best.spread == pytest.approx(np.std([1, 1, 2, 3]))
    assert (best.r, best.bins, best.models) == (1, 2, 4)


@given(st.lists(errors(min_size=2, max_size=4), min_size=1, max_size=3), st.integers(1, 2))
def test_bins_draw_all_choices_of_r_models_equally_often(bins: list[Floats], r: int) -> None:
    choices = product(*(combinations(members.tolist(), r) for members in bins))
    outcomes = [min(min(members) for members in choice) for choice in choices]
    index = np.repeat(np.arange(len(bins)), [members.size for members in bins])
    order = np.random.default_rng(0).permutation(index.size)
    best = best_of_bins(np.concatenate(bins)[order], index[order], r)
    assert best.error == pytest.approx(np.mean(outcomes), abs=1e-10)
    assert best.spread == pytest.approx(np.std(outcomes), abs=1e-6)


@given(errors(), st.data())
def test_one_bin_is_drawing_without_replacement(sample: Floats, data: st.DataObject) -> None:
    r = data.draw(st.integers(1, sample.size))
    best, curve = best_of_bins(sample, np.full(sample.size, 3), r), best_of(sample, r, replacement=False)
    assert best.error == pytest.approx(curve.error[0], abs=1e-10)
    assert best.spread == pytest.approx(curve.spread[0], abs=1e-6)


def test_band_by_hand() -> None:
    # The upper F is 0.5 from 0 to 10 and 1 beyond: 10 * 0.5^2 = 2.5. The lower is 0 to 10, 0.5 to 100: 10 + 90 * 0.25.
    low, high = best_of_band([10], [0.5], [1], [2], upper_before=0.5)
    assert (low.tolist(), high.tolist()) == ([2.5], [32.5])
    low, high = best_of_band([10], [0.5], [1], 2, upper_before=0.5, least=6, most=20)
    assert (low.tolist(), high.tolist()) == ([7], [12.5])


@given(samples(), st.integers(1, 500))
def test_a_band_of_no_width_is_the_curve(sample: Sample, m: int) -> None:
    values, p = minimum(sample[0], 1, sample[1])
    heights = np.minimum(np.cumsum(p), 1)
    heights[-1] = 1
    for end in best_of_band(values, heights, heights, m, upper_before=0):
        assert_allclose(end, best_of(sample[0], m, sample[1]).error, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_simultaneous_band_holds_all_curves_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, m = population(20_000), [1, 3, 10, 30, 100, 1_000]
    curve, held = best_of(truth, m).error, 0
    for _ in range(200):
        values, p = minimum(rng.choice(truth, 100), 1)
        width = np.sqrt(np.log(2 / 0.1) / 200)  # Dvoretzky-Kiefer-Wolfowitz, 90 %
        lower, upper = np.clip(np.cumsum(p) - width, 0, 1), np.clip(np.cumsum(p) + width, 0, 1)
        low, high = best_of_band(values, lower, upper, m, upper_before=width)
        held += bool(np.all((low <= curve) & (curve <= high)))
    assert held / 200 > 0.9 - 3 * np.sqrt(0.1 * 0.9 / 200)


@given(errors(max_size=6), errors(max_size=6), st.booleans(), st.data())
def test_wins_and_differences_are_those_of_all_pairs_of_searches(
    first: Floats, second: Floats, one_population: bool, data: st.DataObject
) -> None:
    second = first if one_population else second
    small, large = data.draw(st.integers(1, first.size)), data.draw(st.integers(1, second.size))
    pairs = product(combinations(first.tolist(), small), combinations(second.tolist(), large))
    expected = law([round(min(one) - min(other), 2) for one, other in pairs])
    other_errors = None if one_population else second
    wins = who_wins(first, small, other_errors, large=large)
    values, p = difference(first, small, other_errors, large=large)
    assert_allclose(values, list(expected), atol=1e-12)
    assert_allclose(p, list(expected.values()), atol=1e-14)
    assert wins.small_wins == pytest.approx(p[values < 0].sum(), abs=1e-12)
    assert wins.large_wins == pytest.approx(p[values > 0].sum(), abs=1e-12)
    assert wins.tie == pytest.approx(p[values == 0].sum(), abs=1e-12)
    assert wins.small_wins + wins.large_wins + wins.tie == pytest.approx(1, abs=1e-12)
    assert wins.populations == (1 if one_population else 2)


@given(samples(max_size=10), samples(max_size=10))
def test_one_weighted_draw_each_is_prob_better(a: Sample, b: Sample) -> None:
    wins = who_wins(a[0], 1, b[0], large=1, weights_small=a[1], weights_large=b[1], replacement=True)
    assert wins.small_wins + wins.tie / 2 == pytest.approx(prob_better(a[0], b[0], a[1], b[1]), abs=1e-12)


@given(samples(), samples(), st.integers(1, 40), st.integers(1, 40))
def test_exchanging_the_searches_exchanges_the_wins(a: Sample, b: Sample, small: int, large: int) -> None:
    wins = who_wins(a[0], small, b[0], large=large, weights_small=a[1], weights_large=b[1], replacement=True)
    back = who_wins(b[0], large, a[0], large=small, weights_small=b[1], weights_large=a[1], replacement=True)
    assert (wins.small_wins, wins.large_wins) == (back.large_wins, back.small_wins)
    assert wins.tie == pytest.approx(back.tie, rel=1e-12)


@given(errors(max_size=12), errors(max_size=12), st.integers(1, 5), st.integers(1, 50))
def test_a_grid_changes_nothing_but_round_off(first: Floats, second: Floats, small: int, large: int) -> None:
    on_grid = difference(first / 2, small, second / 2, large=large, replacement=True)
    # Times pi, the errors are on no grid, so they are subtracted pair by pair.
    pairs = difference(first * np.pi / 8, small, second * np.pi / 8, large=large, replacement=True)
    group = np.rint(pairs[0] * 8 / np.pi * 100).astype(int)
    merged = [pairs[1][group == each].sum() for each in np.unique(group)]
    assert_allclose(on_grid[0], np.unique(group) / 200, atol=1e-12)
    assert_allclose(on_grid[1], merged, atol=1e-14)


@pytest.mark.parametrize("images", [3_072, 131_072])
def test_a_test_set_of_any_size_makes_a_grid(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minima, "MOST_PAIRS", 10_000)  # below, errors on no decimal grid are subtracted pair by pair
    missed = np.append([0, 1], np.random.default_rng(images).integers(0, images + 1, 300))
    on_grid = difference(100 * missed / images, 3, 100 * missed[:200] / images, large=7, replacement=True)
    pairs = Counter[int]()
    small, large = (minimum(100 * some / images, m) for some, m in ((missed, 3), (missed[:200], 7)))
    for (e, p), (f, q) in product(zip(*small, strict=True), zip(*large, strict=True)):
        pairs[round((e - f) * images / 100)] += p * q
    found = dict(zip(np.rint(on_grid[0] * images / 100).astype(int).tolist(), on_grid[1].tolist(), strict=True))
    assert len(found) == on_grid[0].size  # what differs by round-off is merged
    assert max(abs(found.get(key, 0.0) - p) for key, p in pairs.items()) < 1e-14


def test_round_off_in_the_errors_makes_no_differences() -> None:
    e = 100 - np.array([93.17, 93.2, 94.05, 90.11])
    assert e[0] != 6.83  # but 6.829999999999998
    assert np.unique(np.subtract.outer(e, e)).size == 13
    values, p = difference(e, 1, large=1)
    rounded = [6.83, 6.8, 5.95, 9.89]
    assert values.tolist() == sorted({round(a - b, 2) for a, b in product(rounded, rounded)})
    assert p[values == 0] == pytest.approx(1 / 4)


def test_errors_that_differ_by_round_off_only_are_no_ties_anywhere() -> None:
    assert who_wins([100 - 93.17], 1, [6.83], large=1).small_wins == 1
    values, p = difference([100 - 93.17], 1, [6.83], large=1)
    assert values[0] < 0
    assert p.tolist() == [1]


def test_a_large_population_off_any_grid_is_refused_with_advice() -> None:
    e = np.random.default_rng(0).uniform(0, 100, 5_000)
    with pytest.raises(EdfkitError, match=r"5000 and 5000 distinct errors .* the errors, such as percent to 0\.01\.$"):
        difference(e, 3, large=3, replacement=True)
    assert difference(np.round(e, 2), 3, large=3)[1].sum() == pytest.approx(1)


def test_the_larger_search_wins_nine_times_in_ten() -> None:
    wins = who_wins(population(), 100, large=1_000)  # the paper: 90 %
    assert wins.large_wins == pytest.approx(0.90, abs=0.01)
    # Disjoint samples, no ties: exactly M / (M + B); so are those that can hardly overlap.
    untied = np.linspace(5, 90, 25_000)
    assert who_wins(untied, 10, large=100, replacement=True).large_wins == pytest.approx(100 / 110, abs=1e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_exact_laws_agree_with_the_papers_study(seed: int) -> None:
    e, other = population(5_000), np.round(population(4_000, 1) + 0.2, 2)
    trials, noise = 3_000, 4 * 0.5 / np.sqrt(3_000)
    for second in (None, other):
        rng = np.random.default_rng(seed)
        mins_small, mins_large = resample_minima(e, 30, 300, trials, rng=rng, errors_large=second)
        assert mins_small.shape == mins_large.shape == (trials,)
        wins = who_wins(e, 30, second, large=300)
        assert np.mean(mins_small < mins_large) == pytest.approx(wins.small_wins, abs=noise)
        assert np.mean(mins_small > mins_large) == pytest.approx(wins.large_wins, abs=noise)
        values, p = difference(e, 30, second, large=300)
        apart = np.round(mins_small - mins_large, 2)
        assert apart.mean() == pytest.approx(p @ values, abs=4 * apart.std() / np.sqrt(trials))
        assert np.isin(np.rint(100 * apart), np.rint(100 * values)).all()
        share = np.searchsorted(np.sort(apart), values, side="right") / trials
        assert np.abs(share - np.cumsum(p)).max() < 1.95 / np.sqrt(trials)  # Kolmogorov, 0.1 %


def test_the_study_draws_models_and_no_model_twice() -> None:
    rng = np.random.default_rng(0)
    e = np.arange(20.0)
    small, large = resample_minima(e, 19, 20, 200, rng=rng)
    assert set(small.tolist()) == {0, 1}  # of 19 of 20 models, the best one or the next
    assert set(large.tolist()) == {0}
    again = resample_minima(e, 19, 20, 200, rng=np.random.default_rng(0))
    assert_array_equal(again[0], small)


@given(errors(min_size=2, max_size=12), st.integers(1, 6), st.integers(1, 6), st.floats(0.01, 0.6))
def test_gap_is_the_smallest_that_is_rare_enough(sample: Floats, small: int, large: int, alpha: float) -> None:
    gap = minimum_gap(sample, small, large, alpha=alpha, replacement=True)
    values, p = difference(sample, small, large=large, replacement=True)
    for found, apart in ((gap.either, np.abs(values)), (gap.small_behind, values), (gap.large_behind, -values)):
        possible = np.unique(apart[apart > 0])
        rare = [g for g in possible if p[apart >= g].sum() <= alpha * (1 + 1e-9)]
        assert found == (rare[0] if rare else math.inf)


def test_gap_by_hand() -> None:
    # One model each of {1, 2, 4}: of 9 pairs, differences 0 three times, and -3, -2, -1, 1, 2, 3 once each.
    for alpha, either, behind in ((0.3, 3, 2), (0.5, 2, 1), (0.2, math.inf, 3), (0.1, math.inf, math.inf)):
        gap = minimum_gap([1, 2, 4], 1, 1, alpha=alpha)
        assert (gap.either, gap.small_behind, gap.large_behind) == (either, behind, behind)
    assert minimum_gap([5, 5], 1, 2).to_dict()["either"] is None


def test_draws_for_the_top_by_hand() -> None:
    assert draws_for_top(0.05, 0.05) == 59
    assert draws_for_top(0.01, 0.05) == 299
    assert draws_for_top(1, 0.5) == 1
    assert draws_for_top(0.9, 0.5) == 1
    assert draws_for_top(1e-9, 0.5) == 693_147_181


@given(st.integers(2, 99), st.integers(1, 12))
def test_draws_for_the_top_are_exact_at_rounding_edges(percent: int, m: int) -> None:
    share = Fraction(percent, 100)
    miss = (1 - share) ** m
    assert draws_for_top(float(share), float(miss)) == m
    assert draws_for_top(float(share), float(miss * Fraction(999_999, 1_000_000))) == m + 1


@given(st.floats(0.001, 0.999), st.floats(1e-6, 0.999))
def test_draws_for_the_top_are_enough_and_none_too_many(q: float, miss: float) -> None:
    m = draws_for_top(q, miss)
    assert (1 - q) ** m <= miss * (1 + 1e-9)
    assert m == 1 or (1 - q) ** (m - 1) > miss * (1 - 1e-9)


def test_golden_numbers() -> None:
    curve = best_of(population(), 2 ** np.arange(0, 13, 4))
    assert_allclose(curve.error, GOLDEN["error"], rtol=1e-10)
    assert_allclose(curve.spread, GOLDEN["spread"], rtol=1e-10)
    assert_allclose(curve.se, GOLDEN["se"], rtol=1e-10)
    gap = minimum_gap(population(), 100, 1_000)
    assert [gap.either, gap.small_behind, gap.large_behind] == GOLDEN["gap"]


GOLDEN: dict[str, list[float]] = {
    "error": [11.0170768, 6.58331680248, 5.52103109817, 5.20837963019],
    "spread": [3.47094896633, 0.711678163017, 0.204584299698, 0.062847016141],
    "se": [0.021952647809, 0.0149745900901, 0.0172438283964, 0.0215393449579],
    "gap": [1.02, 1.02, 0.08],
}


def test_results_are_json_able_with_every_field() -> None:
    e = population(50)
    results: list[Any] = [
        best_of(e, [1, 2]),
        best_of([3], 1),
        best_of_bins(e, np.zeros(50, int), 2),
        who_wins(e, 1, large=2),
    ]
    for result in [*results, minimum_gap(e, 2, 3)]:
        data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert list(data) == list(result.__dataclass_fields__)
    assert best_of([3], 1).to_dict()["se"] == [None]
    assert list(best_of(e, [1, 2]).to_dict()["quantiles"]) == ["0.05", "0.5", "0.95"]


# Counts


def assert_equal_results(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@given(counted(), st.integers(1, 12), st.booleans(), st.booleans())
def test_counts_stand_for_models(
    sample: tuple[Floats, Floats | None, Counts], m: int, replacement: bool, as_sample: bool
) -> None:
    errors, weights, counts = sample
    if not replacement:
        weights, m = None, min(m, int(counts.sum()))
    repeated, many = np.repeat(errors, counts), None if weights is None else np.repeat(weights, counts)
    given: dict[str, Any] = {} if as_sample else {"weights": weights, "counts": counts}
    population: Any = Counted(errors, weights, counts) if as_sample else errors
    how: dict[str, Any] = {"replacement": replacement}
    assert_equal_results(minimum(population, m, **given, **how), minimum(repeated, m, many, **how))
    found, expected = best_of(population, [1, m], **given, **how), best_of(repeated, [1, m], many, **how)
    assert (found.models, found.method) == (expected.models, expected.method)
    assert_allclose(found.n_eff, expected.n_eff)
    for name in ("error", "spread", "se", "df"):
        # Of models that are all equal, round-off is all that is left.
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-6)
    assert_equal_results(found.quantiles.values(), expected.quantiles.values())
    assert_allclose(
        np.repeat(pseudo_values(population, [1, m], **given), counts, axis=0), pseudo_values(repeated, [1, m], many)
    )


@given(counted(weighted=False), counted(weighted=False), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_counts_stand_for_models_of_two_populations(
    a: tuple[Floats, None, Counts], b: tuple[Floats, None, Counts], small: int, large: int, as_sample: bool
) -> None:
    small, large = min(small, int(a[2].sum())), min(large, int(b[2].sum()))
    if as_sample:
        populations: Any = Counted(*a), small, Counted(*b)
        counts: dict[str, Any] = {}
    else:
        populations, counts = (a[0], small, b[0]), {"counts_small": a[2], "counts_large": b[2]}
    repeated = np.repeat(a[0], a[2]), small, np.repeat(b[0], b[2])
    found, expected = (who_wins(*populations, large=large, **counts), who_wins(*repeated, large=large))
    assert_allclose(
        (found.small_wins, found.large_wins, found.tie), (expected.small_wins, expected.large_wins, expected.tie)
    )
    assert_equal_results(difference(*populations, large=large, **counts), difference(*repeated, large=large))
    both = min(small, large, int(a[2].sum()))
    alone = minimum_gap(a[0], both, both, counts=a[2])
    assert alone == minimum_gap(repeated[0], both, both) == minimum_gap(Counted(*a), both, both)


@given(counted(weighted=False), st.data())
def test_counts_stand_for_models_in_bins(sample: tuple[Floats, None, Counts], data: st.DataObject) -> None:
    errors, _, counts = sample
    index = np.array(data.draw(st.lists(st.integers(0, 2), min_size=errors.size, max_size=errors.size)))
    r = data.draw(st.integers(1, int(np.bincount(index, counts)[np.unique(index)].min())))
    found = best_of_bins(errors, index, r, counts=counts)
    expected = best_of_bins(np.repeat(errors, counts), np.repeat(index, counts), r)
    assert (found.models, found.bins) == (expected.models, expected.bins)
    assert_allclose((found.error, found.spread), (expected.error, expected.spread), atol=1e-6)


@given(errors(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_the_logarithms_are_summed_in_parts(sample: Floats, m: int, at_once: int) -> None:
    m = min(m, sample.size)
    whole = minimum(sample, m, replacement=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minima, "AT_ONCE", at_once)
        assert_equal_results(minimum(sample, m, replacement=False), whole)


def test_units_are_counted_where_entries_stand_for_models() -> None:
    errors, counts, unit = np.array([1.0, 2, 3, 3, 5]), np.array([3, 1, 2, 2, 4]), np.array([0, 1, 1, 2, 0])
    found = best_of(errors, [1, 2], units=unit, counts=counts)
    expected = best_of(np.repeat(errors, counts), [1, 2], units=np.repeat(unit, counts))
    assert_allclose((found.n_eff, *found.se, *found.df), (expected.n_eff, *expected.se, *expected.df))


def test_searches_are_drawn_from_counts_as_from_the_models() -> None:
    errors, counts = np.array([4.0, 1, 3, 2]), np.array([5, 1, 4, 30])
    drawn = [
        resample_minima(*some, rng=np.random.default_rng(1))
        for some in ((Counted(errors, counts=counts), 3, 9, 200), (np.repeat(errors, counts), 3, 9, 200))
    ]
    assert_array_equal(drawn[0], drawn[1])
    with_counts = resample_minima(
        errors, 3, 9, 200, rng=np.random.default_rng(1), counts=counts, errors_large=errors, counts_large=counts
    )
    assert_array_equal(with_counts, drawn[0])


def test_twenty_million_models_are_counted_in_bounded_memory() -> None:
    errors = np.arange(10_001) / 100
    counts = np.bincount(np.random.default_rng(0).binomial(10_000, 0.4, 50_000), minlength=10_001) * 400 + 1
    tracemalloc.start()
    values, probabilities = minimum(errors, 1000, replacement=False, counts=counts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
    # Of so many models, to draw with or without replacement is nearly the same.
    assert_allclose(probabilities, minimum(errors, 1000, counts=counts)[1], atol=2e-5)
    assert_array_equal(values, errors)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minimum([1, np.nan], 1), r"errors: 1 of 2 values are unknown \(NaN\)"),
        (lambda: minimum([1, 2], 0), "m: 0 was given, but a whole number of models from 1 on is needed"),
        (lambda: minimum([1, 2], True), "m: True was given, but a whole number"),
        (lambda: best_of([1, 2], [1, 1.5]), r"m: 1.0 was given, but a whole number"),
        (lambda: minimum([1, 2], 3, replacement=False), "m: 3 draws without replacement from 2 models"),
        (lambda: best_of([1, 2], [1, 3], replacement=False), "m: 3 draws without replacement from 2 models"),
        (lambda: minimum([1, 2], 1, [1, 1], replacement=False), "weights: they were given for draws without repl"),
        (
            lambda: who_wins([1], 1, large=1, weights_small=[1]),
            "weights: they were given for draws without replacement",
        ),
        (lambda: who_wins([1], 1, large=1, weights_large=[1], replacement=True), "weights_large: they were given with"),
        (lambda: who_wins([1, 2], 1, large=3), "m: 3 draws without replacement from 2 models"),
        (lambda: best_of([1, 2], 1, q=[0, 0.5]), r"q: \[0, 0.5\] was given, but shares above 0"),
        (lambda: best_of_bins([1, 2, 3], [0, 0, 1], 2), r"r: 2 models from each bin .*: 1 \(1\): lower r or use fewer"),
        (lambda: best_of_bins([1, 2], [0, 0, 1], 1), r"bin_index: int64 of shape \(3,\) was given for 2 errors"),
        (lambda: best_of_bins([1, 2], [0.0, 1.0], 1), r"bin_index: float64 of shape \(2,\) was given"),
        (lambda: best_of_bins([1, 2], [-1, -1], 1), "bin_index: all models are outside the bins"),
        (
            lambda: best_of_band([1, 1], [0, 1], [0, 1], 1, upper_before=0),
            "band: 2 values, 2 lower and 2 upper heights",
        ),
        (
            lambda: best_of_band([1], [0.5], [0.4], 1, upper_before=0),
            "band: its heights leave 0..1, decrease, or cross",
        ),
        (lambda: best_of_band([1], [0.5], [0.6], 1, upper_before=0.7), "band: its heights leave 0..1, decrease, or"),
        (lambda: best_of_band([1], [0], [1], 1, upper_before=0, least=2), "band: values from 1 to 1 were given, but"),
        (lambda: minimum_gap([1, 2], 1, 1, alpha=5), "alpha: 5 was given, but a level between 0 and 1 is needed"),
        (lambda: draws_for_top(0, 0.1), "draws_for_top: q = 0 and miss = 0.1 were given, but"),
        (lambda: draws_for_top(0.1, 1), "draws_for_top: q = 0.1 and miss = 1 were given, but"),
        (
            lambda: resample_minima([1], 1, 2, 5, rng=np.random.default_rng()),
            "large: 2 draws without replacement from 1",
        ),
        (lambda: resample_minima([1], 1, 1, 0, rng=np.random.default_rng()), "trials: 0 was given, but a whole number"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
