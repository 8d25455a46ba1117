import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import stats
from strategies import counted, errors, samples

from edfkit import EdfkitError
from edfkit.stats.bands import (
    _LOCAL_LEVELS,
    METHODS,
    TABLE_SIZES,
    Band,
    Crossings,
    _exact_local_level,
    _joint_coverage,
    crossings,
    difference_band,
    edf_band,
    equal_local_level,
    ks_half_width,
    tail,
)
from edfkit.stats.edf import Floats, edf, effective_size, evaluate, quantiles

Sample = tuple[Floats, Floats]
few = settings(max_examples=40)
confidences = st.sampled_from([0.5, 0.8, 0.95, 0.99])


# --- Kolmogorov-Smirnov half widths ---


@pytest.mark.parametrize(
    ("confidence", "precision"), [(0.5, 6e-3), (0.8, 3e-4), (0.9, 3e-5), (0.95, 3e-6), (0.99, 3e-6)]
)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 30, 181, 499, 500, 501, 731, 4_595, 25_000, 1_000_000])
def test_half_width_is_the_quantile_of_scipys_exact_law(n: int, confidence: float, precision: float) -> None:
    assert ks_half_width(n, confidence) == pytest.approx(stats.kstwo(n).ppf(confidence), rel=precision)


@pytest.mark.parametrize(("n", "half"), [(181, 0.1), (731, 0.05), (4_595, 0.02), (25_000, 0.0086)])
def test_half_width_reaches_the_golden_numbers(n: int, half: float) -> None:
    assert ks_half_width(n) == pytest.approx(half, abs=0.00005)


def test_half_width_falls_steadily_with_n_whole_or_not() -> None:
    widths = [ks_half_width(n) for n in np.concatenate([np.linspace(1, 5, 41), np.linspace(495, 505, 101)])]
    assert np.all(np.diff(widths) < 0)


# --- equal local levels ---


def test_local_level_of_one_and_two_models_is_known_in_closed_form() -> None:
    assert equal_local_level(1, 0.9) == pytest.approx(0.1, rel=1e-9)
    eta = equal_local_level(2, 0.9)
    # The two draws in order have density 2 on u < v; u is within 1 - sqrt(1 - eta/2) and 1 - sqrt(eta/2), v mirrored.
    low, high = 1 - math.sqrt(1 - eta / 2), 1 - math.sqrt(eta / 2)
    triangle = max(0.0, high - (1 - high)) ** 2 / 2  # where u > v would be
    assert 2 * ((high - low) ** 2 - triangle) == pytest.approx(0.9, rel=1e-9)


def test_local_level_reaches_the_golden_number() -> None:
    assert equal_local_level(25_000) == pytest.approx(5.795e-4, rel=1e-4)
    band = edf_band(np.linspace(1, 99, 25_000), method="equal-local-levels")
    assert band.upper_before == pytest.approx(0.00033, abs=0.000005)


@pytest.mark.parametrize("n", [1, 2, 5, 20, 60])
def test_joint_coverage_of_constant_width_is_kolmogorovs_exact_law(n: int) -> None:
    for distance in (0.6 / math.sqrt(n), 1 / math.sqrt(n), 1.5 / math.sqrt(n)):
        if distance > 1 / (2 * n):
            low = np.clip(np.arange(1, n + 1) / n - distance, 0, None)
            assert _joint_coverage(low) == pytest.approx(stats.kstwo(n).cdf(distance), abs=1e-11)


@pytest.mark.parametrize("n", [3, 10, 40])
def test_joint_coverage_is_the_share_of_simulated_samples(n: int) -> None:
    draws = np.sort(np.random.default_rng(n).random((20_000, n)), axis=1)
    low = stats.beta.ppf(equal_local_level(n, 0.8) / 2, np.arange(1, n + 1), np.arange(n, 0, -1))
    inside = np.all((draws >= low) & (draws <= 1 - low[::-1]), axis=1)
    assert stats.binomtest(int(inside.sum()), inside.size, 0.8).pvalue > 1e-3


@pytest.mark.parametrize("n", [2, 9, 33])
@pytest.mark.parametrize(("ours", "theirs"), [("equal-local-levels", "ld_equal_tailed"), ("ks", "ks")])
def test_bands_equal_those_of_opda(n: int, ours: str, theirs: str) -> None:
    from opda import nonparametric

    sample = np.random.default_rng(n).permutation(np.linspace(10, 90, n))
    low, _, high = nonparametric.EmpiricalDistribution.confidence_bands(
        sample, 0.95, a=0.0, b=100.0, method=theirs, generator=np.random.default_rng(0)
    )
    band = edf_band(sample, method=ours)
    # opda simulates its level, so that its bounds are off by 1e-3 or so.
    assert_allclose(low.cdf(band.values), band.lower, atol=3e-3)
    assert_allclose(high.cdf(band.values[:-1]), band.upper[:-1], atol=3e-3)
    assert_allclose(high.cdf(band.values[0] - 1e-6), band.upper_before, atol=3e-3)


@pytest.mark.parametrize(("n", "confidence"), [(1_024, 0.95), (1_500, 0.8), (3_000, 0.99), (4_096, 0.9)])
def test_tabulated_levels_agree_with_the_recursion(n: int, confidence: float) -> None:
    assert equal_local_level(n, confidence) == pytest.approx(_exact_local_level(n, confidence), rel=3e-5)


def test_levels_fall_with_n_across_the_ends_of_the_table() -> None:
    levels = [equal_local_level(n) for n in (1, 2, 3, 10, 100, 1_022, 1_023, 1_024, 1_025, 20_000, 262_144)]
    assert np.all(np.diff(levels) < 0)


@pytest.mark.slow
@pytest.mark.parametrize("confidence", _LOCAL_LEVELS)
def test_every_entry_of_the_table_agrees_with_the_recursion(confidence: float) -> None:
    for n, level in zip(TABLE_SIZES, _LOCAL_LEVELS[confidence], strict=True):
        assert level == pytest.approx(_exact_local_level(n, confidence), rel=1e-8)
    for n in (1_100, 2_048, 8_192, 32_768, 131_072):
        assert equal_local_level(n, confidence) == pytest.approx(_exact_local_level(n, confidence), rel=3e-5)


# --- bands of an EDF ---


def test_ks_band_by_hand() -> None:
    # Of two draws sup |EDF - F| is at most 1 - sqrt((1 - 0.95) / 2) with probability 0.95.
    half = 1 - math.sqrt(0.025)
    band = edf_band([3, 1])
    assert band.values.tolist() == [1, 3]
    assert_allclose([*band.lower, *band.upper, band.upper_before], [0, 1 - half, 1, 1, half], rtol=1e-5)
    assert (band.n_eff, band.confidence, band.method) == (2, 0.95, "ks")


def test_local_band_of_one_model_by_hand() -> None:
    for sample in ([50], [0], [100]):
        band = edf_band(sample, method="equal-local-levels", confidence=0.9)
        assert (band.lower[0], band.upper[0], band.upper_before) == pytest.approx((0.05, 1, 0.95))


def test_local_band_with_ties_is_that_of_the_last_of_each_block() -> None:
    apart, tied = (edf_band(e, method="equal-local-levels") for e in ([1, 2, 3, 4, 5], [1, 1, 1, 4, 4]))
    assert_allclose(tied.lower, apart.lower[[2, 4]], rtol=1e-12)
    assert_allclose(tied.upper, apart.upper[[2, 4]], rtol=1e-12)
    assert tied.upper_before == apart.upper_before


@few
@given(errors(), confidences, st.sampled_from(METHODS))
def test_a_band_contains_the_edf_and_rises_within_0_and_1(sample: Floats, confidence: float, method: str) -> None:
    band = edf_band(sample, confidence=confidence, method=method)
    assert_array_equal(band.values, edf(sample)[0])
    assert_array_equal(band.heights, edf(sample)[1])
    upper = np.append(band.upper_before, band.upper)
    assert np.all((band.lower >= 0) & (band.lower <= band.heights) & (band.heights <= band.upper) & (band.upper <= 1))
    assert np.all(np.diff(band.lower) >= 0)
    assert np.all(np.diff(upper) >= 0)
    wider = edf_band(sample, confidence=0.995, method=method)
    assert np.all(wider.lower <= band.lower)
    assert np.all(np.append(wider.upper_before, wider.upper) >= upper)


@few
@given(errors(), st.integers(2, 4), st.sampled_from(METHODS))
def test_more_models_of_the_same_errors_make_a_band_narrower(sample: Floats, copies: int, method: str) -> None:
    once, more = edf_band(sample, method=method), edf_band(np.tile(sample, copies), method=method)
    assert np.all(more.lower >= once.lower)
    assert np.all(more.upper <= once.upper)
    assert more.upper_before < once.upper_before


@few
@given(errors(), st.floats(1e-6, 1e6), st.sampled_from(METHODS))
def test_equal_weights_and_models_of_weight_0_change_no_band(sample: Floats, weight: float, method: str) -> None:
    weights = np.append(np.full(sample.size, weight), 0)
    weighted = edf_band(np.append(sample, 50.0), weights, method=method)
    assert weighted.to_dict() == edf_band(sample, method=method).to_dict()


@given(samples())
def test_a_weighted_band_is_as_wide_as_its_effective_size_says(sample: Sample) -> None:
    band = edf_band(*sample)
    half = ks_half_width(effective_size(sample[1]))
    assert_allclose(band.upper, np.minimum(1, band.heights + half), rtol=1e-9)
    assert band.n_eff == pytest.approx(effective_size(sample[1]))


def holds(band: Band, true: Callable[[Floats], Floats], before: Callable[[Floats], Floats]) -> bool:
    """Whether a band holds F everywhere: `before` is its limit from the left."""
    ends = before(np.append(band.values, 101.0))
    return bool(
        np.all(true(band.values) >= band.lower - 1e-12)
        and np.all(ends <= np.append(band.upper_before, band.upper) + 1e-12)
    )


def coverage(method: str, size: int, grid: float, runs: int, confidence: float) -> int:
    """How often a band holds the F of uniform errors, rounded up to a grid."""
    random = np.random.default_rng([size, int(grid * 100)])

    def on_grid(e: Floats) -> Floats:
        return np.floor(e / grid + 1e-9) * grid / 100

    def before(e: Floats) -> Floats:
        return np.minimum(1, (np.ceil(e / grid - 1e-9) - 1) * grid / 100)

    def share(e: Floats) -> Floats:
        return np.minimum(1, e / 100)

    held = 0
    for _ in range(runs):
        draw = 100 * random.random(size)
        band = edf_band(np.ceil(draw / grid) * grid if grid else draw, method=method, confidence=confidence)
        held += holds(band, on_grid, before) if grid else holds(band, share, share)
    return held


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("grid", [0, 0.01, 5])
@pytest.mark.parametrize("runs", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_a_band_holds_the_true_distribution_as_often_as_it_says(method: str, grid: float, runs: int) -> None:
    for size in (1, 4, 50):
        held = coverage(method, size, grid, runs, 0.8)
        assert stats.binomtest(held, runs, 0.8, "less").pvalue > 1e-3
        if grid == 0:  # exact
            assert stats.binomtest(held, runs, 0.8).pvalue > 1e-3


# A few models stand for the best tenth, and for the worst; the other bins have plenty.
BINS = [3, *[60] * 8, 3]


def test_a_weighted_band_holds_the_mixture_of_complexity_bins() -> None:
    random = np.random.default_rng(5)
    weights = np.concatenate([np.full(n, 1e6 / n) for n in BINS])
    middle = np.repeat(np.arange(15.0, 65, 5), BINS)

    def mixture(e: Floats) -> Floats:
        return np.asarray(stats.norm.cdf((e[:, None] - np.arange(15.0, 65, 5)) / 3).mean(axis=1))

    held = sum(holds(edf_band(random.normal(middle, 3), weights, confidence=0.8), mixture, mixture) for _ in range(200))
    assert stats.binomtest(held, 200, 0.8, "less").pvalue > 1e-3


def test_weights_over_six_decades_leave_a_band_valid() -> None:
    random = np.random.default_rng(6)

    def share(e: Floats) -> Floats:
        return np.minimum(1, e / 100)

    bands = [edf_band(100 * random.random(80), 10 ** random.uniform(-6, 0, 80), confidence=0.8) for _ in range(300)]
    assert stats.binomtest(sum(holds(b, share, share) for b in bands), 300, 0.8, "less").pvalue > 1e-3


# --- the difference of two EDFs ---


def test_difference_band_by_hand() -> None:
    a, b = np.full(100, 10.0), np.repeat([10.0, 30.0], 50)
    band = difference_band(a, b)
    half = 1.3581 * math.sqrt(2 / 100)  # Kolmogorov's 0.95 quantile
    assert band.half_width == pytest.approx(half, rel=1e-4)
    assert band.difference.tolist() == [0.5, 0]
    assert_allclose(band.lower, [0.5 - half, -half], rtol=1e-4)
    assert band.ranges() == [(0, 10, "undecided"), (10, 30, "better"), (30, 100, "undecided")]
    assert difference_band(b, a).ranges()[1] == (10, 30, "worse")


@pytest.mark.parametrize("error", [0, 50, 100])
def test_a_single_error_decides_nothing(error: float) -> None:
    assert difference_band([error], [error]).ranges() == [(0, 100, "undecided")]


@few
@given(samples(), samples(), confidences)
def test_difference_band_is_mirrored_when_the_samples_are_exchanged(a: Sample, b: Sample, confidence: float) -> None:
    band = difference_band(a[0], b[0], a[1], b[1], confidence=confidence)
    mirrored = difference_band(b[0], a[0], b[1], a[1], confidence=confidence)
    assert_array_equal(mirrored.lower, -band.upper)
    assert_array_equal(mirrored.difference, -band.difference)
    swap = {"better": "worse", "worse": "better", "undecided": "undecided"}
    assert mirrored.ranges() == [(start, end, swap[kind]) for start, end, kind in band.ranges()]


@few
@given(errors(), errors(), confidences, st.integers(1, 30))
def test_ranges_cover_0_to_100_and_say_what_the_bounds_do(a: Floats, b: Floats, confidence: float, copies: int) -> None:
    band = difference_band(np.tile(a, copies), np.tile(b, copies), confidence=confidence)
    ranges = band.ranges()
    assert (ranges[0][0], ranges[-1][1]) == (0, 100)
    for (_, end, kind), (start, _, other) in pairwise(ranges):
        assert end == start
        assert kind != other
    for start, end, kind in ranges:
        inside = (band.values >= start) & (band.values < end)
        assert np.all((band.lower[inside] > 0) == (kind == "better"))
        assert np.all((band.upper[inside] < 0) == (kind == "worse"))


@pytest.mark.parametrize("other", [(50, 10), (50, 30), (60, 10), (90, 1)], ids=["same", "scale", "shift", "apart"])
@pytest.mark.parametrize("runs", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_difference_band_holds_whether_or_not_the_distributions_are_equal(other: tuple[int, int], runs: int) -> None:
    random = np.random.default_rng(other)
    for sizes in ((1, 30), (5, 50), (50, 50)):
        held = 0
        for _ in range(runs):
            a, b = np.clip(random.normal(50, 10, sizes[0]), 0, 100), np.clip(random.normal(*other, sizes[1]), 0, 100)
            band = difference_band(a, b, confidence=0.8)
            # F is continuous here, so its difference is the same on both sides of a value.
            true = stats.norm.cdf(band.values, 50, 10) - stats.norm.cdf(band.values, *other)
            before = np.append(0, band.difference[:-1])
            held += max(np.abs(band.difference - true).max(), np.abs(before - true).max()) <= band.half_width
        assert stats.binomtest(held, runs, 0.8, "less").pvalue > 1e-3


# --- crossings ---


def test_crossings_by_hand() -> None:
    # F_A is 1/3 from 10 on, 1 from 50; F_B is 0 until 30, then 1.
    assert crossings([10, 50, 50], [30, 30, 30]) == Crossings((30.0,), ("a", "b"), "neither")
    assert crossings([10, 20], [10, 30]) == Crossings((), ("a",), "a")
    assert crossings([10, 30], [10, 20]) == Crossings((), ("b",), "b")
    assert crossings([10, 30], [30, 10, 30, 10]) == Crossings((), (), "equal")
    # They meet at 20 and A is ahead again from 30: no crossing.
    assert crossings([10, 30], [20, 40]).dominance == "a"


def test_round_off_is_no_crossing() -> None:
    assert crossings([1, 2, 3], [1, 2, 3], [0.1, 0.2, 0.3], [1, 2, 3]).dominance == "equal"


@given(samples(), samples())
def test_the_lead_is_as_the_crossings_say(a: Sample, b: Sample) -> None:
    result = crossings(a[0], b[0], a[1], b[1])
    at = np.unique(np.concatenate([a[0], b[0]]))
    lead = evaluate(*edf(*a), at) - evaluate(*edf(*b), at)
    assert len(result.ahead) == (len(result.errors) + 1 if result.ahead else 0)
    for e, leads_a in zip(at, lead, strict=True):
        if abs(leads_a) > 1e-9:
            assert result.ahead[np.searchsorted(result.errors, e, side="right")] == ("a" if leads_a > 0 else "b")
    swapped = crossings(b[0], a[0], b[1], a[1])
    assert swapped.errors == result.errors
    assert swapped.ahead == tuple({"a": "b", "b": "a"}[x] for x in result.ahead)


# --- the best share ---


def test_tail_by_hand() -> None:
    # The best quarter of ten is 1, 2 and half of 3: mean (1 + 2 + 1.5) / 2.5.
    best = tail(np.arange(1, 11), [50], 0.25).a
    assert best.quantile == 3
    assert best.mean == pytest.approx(1.8)
    assert best.n_eff == pytest.approx(10)
    # P(Bin(10, 1/4) = 0) = 0.056 is more than 0.025: no order statistic bounds it from below. P(at least 6) = 0.0197.
    assert (best.low, best.high) == (0, 6)
    alone = tail([50], [50], 0.5).b
    assert (alone.quantile, alone.low, alone.high, alone.mean) == (50, 0, 100, 50)


@given(st.integers(1, 200), st.floats(0.01, 0.99), confidences)
def test_the_interval_is_the_binomial_one(n: int, q: float, confidence: float) -> None:
    best = tail(np.arange(n) * 100 / n, [50], q, confidence=confidence).a
    rank, outside = np.arange(1, n + 1), (1 - confidence) / 2 * (1 + 1e-10)  # 1e-10 for round-off
    low = np.flatnonzero(stats.binom.cdf(rank - 1, n, q) <= outside)
    high = np.flatnonzero(stats.binom.sf(rank - 1, n, q) <= outside)
    assert best.low == (low[-1] * 100 / n if low.size else 0)
    assert best.high == (high[0] * 100 / n if high.size else 100)


@pytest.mark.parametrize("q", [0.0004, 0.05, 0.5, 0.97, 0.99999])
def test_the_interval_of_25_000_models_is_the_binomial_one(q: float) -> None:
    n = 25_000
    best = tail(np.arange(n) * 100 / n, [50], q, confidence=0.9).a
    # The smallest count that is exceeded with a probability of at most 0.05, and the largest that is not reached.
    low, high = stats.binom.ppf(0.05, n, q) - 1, stats.binom.isf(0.05, n, q) + 1
    assert best.low == (low * 100 / n if low >= 0 else 0)
    assert best.high == ((high - 1) * 100 / n if high <= n else 100)


def test_a_probability_that_is_as_large_as_allowed_bounds_the_quantile_whatever_the_round_off() -> None:
    # Of one model P(at least 1) = 0.1, and (1 - 0.8) / 2 comes out below that.
    assert tail([50], [50], 0.1, confidence=0.8).a.high == 50


def test_models_of_a_weight_below_round_off_change_no_interval() -> None:
    for q in (0.3, 0.95, 1):
        alone = tail([1, 2], [50], q, [1, 2]).a
        more = tail([1, 2, 3, 4], [50], q, [1, 2, 1e-25, 1e-300]).a
        assert (more.low, more.quantile, more.mean) == pytest.approx((alone.low, alone.quantile, alone.mean))
        assert more.high in (alone.high, 3)


@given(samples(), st.floats(0.01, 1))
def test_the_quantile_lies_in_its_interval_and_above_the_mean_of_the_best(sample: Sample, q: float) -> None:
    best = tail(sample[0], [50], q, sample[1]).a
    assert best.quantile == quantiles(sample[0], q, sample[1])
    assert best.low <= best.quantile <= best.high
    assert best.mean <= best.quantile + 1e-9
    assert best.n_eff <= effective_size(sample[1]) + 1e-9
    assert tail([50], sample[0], q, None, sample[1]).b == best


@pytest.mark.parametrize("runs", [300, pytest.param(3_000, marks=pytest.mark.slow)])
def test_the_interval_holds_the_quantile_where_a_few_models_of_large_weight_are_best(runs: int) -> None:
    random = np.random.default_rng(8)
    weights, middle = np.concatenate([np.full(n, 1 / n) for n in BINS]), np.repeat(np.arange(15.0, 65, 5), BINS)
    at = np.linspace(0, 100, 100_001)
    true = at[np.searchsorted(stats.norm.cdf((at[:, None] - np.arange(15.0, 65, 5)) / 3).mean(axis=1), 0.05)]
    held = 0
    for _ in range(runs):
        best = tail(random.normal(middle, 3).clip(0, 100), [50], 0.05, weights).a
        held += best.low <= true <= best.high
    assert stats.binomtest(held, runs, 0.95, "less").pvalue > 1e-3


# --- all of them ---


def test_results_are_json() -> None:
    a, b = [1, 2, 2.5], [2, 3]
    band = json.loads(json.dumps(edf_band(a, method="equal-local-levels").to_dict()))
    assert band["values"] == [1, 2, 2.5]
    assert json.loads(json.dumps(difference_band(a, b).to_dict()))["ranges"] == [[0, 100, "undecided"]]
    assert json.loads(json.dumps(crossings(a, b).to_dict()))["ahead"] == ["a"]
    assert json.loads(json.dumps(tail(a, b, 0.5).to_dict()))["a"]["quantile"] == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: edf_band([]), "errors: no values were given"),
        (lambda: edf_band([1], confidence=95), "confidence: 95 was given, but at least 0.5 and less than 1 is needed"),
        (lambda: edf_band([1], confidence=0.05), "confidence: 0.05 was given, but at least 0.5"),
        (lambda: edf_band([1], method="dkw"), "method: 'dkw' was given, but one of ks, equal-local-levels is needed"),
        (lambda: edf_band([1, 2], [1, 2], method="equal-local-levels"), "method: .* only models of equal weight"),
        (lambda: ks_half_width(0.5), "ks_half_width: n = 0.5 was given, but a number of at least 1 is needed"),
        (lambda: ks_half_width(math.nan), "ks_half_width: n = nan was given"),
        (lambda: equal_local_level(0), "equal_local_level: n = 0 was given, but a whole number of at least 1"),
        (lambda: equal_local_level(2.5), "equal_local_level: n = 2.5 was given"),  # type: ignore[arg-type]
        (lambda: equal_local_level(5, math.nan), "confidence: nan was given"),
        (lambda: difference_band([1], [np.inf]), "errors: 1 of 1 values are unknown \\(NaN\\) or infinite"),
        (lambda: difference_band([1], [1], confidence=1), "confidence: 1 was given"),
        (lambda: tail([1], [1], 5), "tail: q = 5 was given, but a share above 0 and up to 1 is needed"),
        (lambda: tail([1], [1], 0.1, confidence=0), "confidence: 0 was given"),
        (lambda: crossings([1], []), "errors: no values were given"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")


# Counts

Counted = tuple[Floats, Floats | None, NDArray[np.int64]]


def models(one: Counted) -> tuple[Floats, Floats | None]:
    """Every model of a counted sample."""
    errors, weights, counts = one
    return errors.repeat(counts), None if weights is None else weights.repeat(counts)


@given(counted(), counted(), st.sampled_from([0.05, 0.3, 1.0]), st.sampled_from(["ks", "equal-local-levels"]))
def test_counts_give_what_their_models_give(a: Counted, b: Counted, q: float, method: str) -> None:
    (errors_a, weights_a), (errors_b, weights_b) = models(a), models(b)
    counts: dict[str, Any] = {"counts_a": a[2], "counts_b": b[2]}
    found = [
        difference_band(a[0], b[0], a[1], b[1], confidence=0.8, **counts),
        *(lambda both: (both.a, both.b))(tail(a[0], b[0], q, a[1], b[1], **counts)),
    ]
    expected = [
        difference_band(errors_a, errors_b, weights_a, weights_b, confidence=0.8),
        *(lambda both: (both.a, both.b))(tail(errors_a, errors_b, q, weights_a, weights_b)),
    ]
    if method == "ks" or a[1] is None:
        found.append(edf_band(a[0], a[1], counts=a[2], method=method))
        expected.append(edf_band(errors_a, weights_a, method=method))
    for one, other in zip(found, expected, strict=True):
        for name, value in vars(one).items():
            if isinstance(value, str):
                assert value == getattr(other, name)
            else:
                assert_allclose(value, getattr(other, name), rtol=1e-12, atol=1e-12, err_msg=name)
