"""Two searches of equal budget: laws of their difference, by hand, by the bootstrap, and by loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opda.nonparametric import EmpiricalDistribution
from strategies import errors as some_errors
from strategies import samples

from edfkit import EdfkitError
from edfkit.stats.adjusted import mean_difference
from edfkit.stats.bands import edf_band
from edfkit.stats.edf import Floats
from edfkit.stats.minima import best_of, median_band, most_draws, pseudo_values
from edfkit.stats.searches import best_difference
from edfkit.stats.strata import Strata, in_strata

SEEDS = st.integers(0, 2**32)
M = np.array([1, 2, 3, 5])


def made(seed: int, shift: float = 0.0, models: int = 120, **more: int | bool) -> Strata:
    """Make two populations up, in strata of complexity."""
    rng = np.random.default_rng(seed)
    sizes = [np.exp(rng.normal(0, 1, models)) for _ in "ab"]
    a, b = (np.round(20 - np.log(one) + rng.gamma(2, 2, models), 1) for one in sizes)
    found = in_strata(a + shift, b, *sizes, **more)  # type: ignore[arg-type]
    assert found is not None
    return found


def turned(strata: Strata) -> Strata:
    """Exchange A and B."""
    parts = [(strata.errors[one], np.exp(strata.logs[one])) for one in (~strata.first, strata.first)]
    found = in_strata(parts[0][0], parts[1][0], parts[0][1], parts[1][1])
    assert found is not None
    return found


def test_of_one_draw_it_is_the_difference_of_the_means() -> None:
    for strata in (made(0), made(1, strata=3), made(2, models=30)):
        found, mean = best_difference(strata, 1), mean_difference(strata, slope=False)
        assert found.estimate[0] == pytest.approx(mean.estimate, abs=1e-12)
        assert found.standard_error[0] == pytest.approx(mean.standard_error, rel=1e-9)
        # As few models may decide, the interval may have fewer degrees of freedom.
        assert found.low[0] <= mean.low + 1e-9 * abs(mean.low)
        assert found.high[0] >= mean.high - 1e-9 * abs(mean.high)


def test_the_interval_of_one_draw_is_students_where_no_model_decides() -> None:
    # Two values, half of the models each: all are as far from the mean.
    halves = np.repeat([10.0, 20.0], 20)
    strata = in_strata(halves, halves + 5)
    assert strata is not None
    found, mean = best_difference(strata, 1, 0.9), mean_difference(strata, 0.9)
    assert (found.low[0], found.high[0]) == pytest.approx((mean.low, mean.high), rel=1e-6)


def test_two_draws_by_hand() -> None:
    # A: 1 and 3, so the best of two is 1 with probability 3/4; B: 2 and 6.
    strata = in_strata([1.0, 3.0] * 20, [2.0, 6.0] * 20)
    assert strata is not None
    assert best_difference(strata, 2).estimate[0] == pytest.approx(1.5 - 3)
    # A model more at 1, or at 3, moves the best of two by -2 (1 - F)^2 2, or 2 (1 - F) F 2, with F = 1/2 between.
    assert pseudo_values([1.0, 3.0], 2)[:, 0].tolist() == pytest.approx([1.5 - 1, 1.5 + 1])


@given(samples(), st.integers(1, 50))
def test_pseudo_values_are_what_one_more_model_does(sample: tuple[Floats, Floats], m: int) -> None:
    errors, weights = (one[sample[1] > 1e-3] for one in sample)
    if not errors.size:
        return
    values = pseudo_values(errors, m, weights)[:, 0]
    curve = best_of(errors, m, weights).error[0]
    assert np.average(values, weights=weights) == pytest.approx(curve, abs=1e-9)
    assert pseudo_values(errors, 1, weights)[:, 0] == pytest.approx(errors, abs=1e-9)
    share = 1e-6
    for place in range(min(3, errors.size)):
        more = (1 - share) * weights / weights.sum()
        more[place] += share
        moved = (best_of(errors, m, more).error[0] - curve) / share
        assert values[place] - curve == pytest.approx(moved, abs=1e-4 + 300 * share * m * m)


def test_the_standard_error_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.gamma(3, 2, 300), rng.gamma(4, 2, 200)
    strata = in_strata(a, b)
    assert strata is not None
    found = best_difference(strata, M)
    again = [best_of(rng.choice(a, 300), M).error - best_of(rng.choice(b, 200), M).error for _ in range(1500)]
    np.testing.assert_allclose(found.standard_error, np.std(again, axis=0), rtol=0.08)
    np.testing.assert_allclose(found.estimate, best_of(a, M).error - best_of(b, M).error, atol=1e-12)
    correlation = np.corrcoef(np.transpose(again))
    # Intervals of numbers that go together are between those of each alone and Bonferroni's.
    half = (found.high - found.low) / 2 / found.standard_error
    assert correlation.min() > 0.5
    assert np.all((half > 1.97) & (half < 2.53))


def test_the_law_of_the_smallest_p_value_is_that_of_normal_numbers() -> None:
    strata, rng = made(3, models=300), np.random.default_rng(0)
    found = best_difference(strata, [1, 8], 0.9)
    units = best_difference(strata, 1, 0.9), best_difference(strata, 8, 0.9)
    values = pseudo_values_within(strata, np.array([1, 8]))
    normal = rng.multivariate_normal([0, 0], np.corrcoef(values.T), 200_000)
    wanted = np.quantile(np.abs(normal).max(axis=1), 0.9) / 1.6448536
    for place, alone in enumerate(units):
        ratio = (found.high - found.low)[place] / (alone.high - alone.low)[0]
        assert ratio == pytest.approx(wanted, rel=0.02)


def pseudo_values_within(strata: Strata, m: Floats) -> Floats:
    """Give the pseudo-values of both, each less the mean of its own in the stratum, by a loop over strata."""
    parts = []
    for one in (strata.first, ~strata.first):
        values = pseudo_values(strata.errors[one], m.astype(int), strata.weights[one])
        for place in range(strata.number):
            rows = strata.stratum[one] == place
            values[rows] -= values[rows].mean(axis=0)
        parts.append(values * strata.weights[one][:, None])
    return np.concatenate(parts)


@given(SEEDS, st.floats(-3, 3), st.sampled_from([0.5, 0.8, 0.95, 0.999]), st.integers(1, 20))
def test_a_claim_and_its_interval_agree(seed: int, shift: float, confidence: float, pairs: int) -> None:
    found = best_difference(made(seed, shift), M, confidence, pairs=pairs)
    known = found.m <= found.most  # some draws leave fewer models, effectively
    assert np.all((found.low < found.estimate) & (found.estimate < found.high), where=known)
    np.testing.assert_array_equal(np.isnan(found.estimate), ~known)
    excludes = (found.low > 0) | (found.high < 0)
    np.testing.assert_array_equal(excludes, found.p_adjusted <= 1 - confidence)


@given(SEEDS)
def test_exchanging_the_populations_turns_all(seed: int) -> None:
    strata = made(seed, 1.0)
    found, back = best_difference(strata, M), best_difference(turned(strata), M)
    np.testing.assert_allclose(back.estimate, -found.estimate, atol=1e-9)
    np.testing.assert_allclose(back.low, -found.high, atol=1e-7)
    np.testing.assert_allclose(back.high, -found.low, atol=1e-7)
    np.testing.assert_allclose(back.p_adjusted, found.p_adjusted, atol=1e-7)


@given(SEEDS)
def test_the_order_of_models_and_of_budgets_changes_nothing(seed: int) -> None:
    strata, rng = made(seed, 1.0), np.random.default_rng(seed)
    found = best_difference(strata, M)
    parts = []
    for one in (strata.first, ~strata.first):
        order = rng.permutation(np.flatnonzero(one))
        parts.append((strata.errors[order], np.exp(strata.logs[order])))
    shuffled = in_strata(parts[0][0], parts[1][0], parts[0][1], parts[1][1])
    assert shuffled is not None
    other, back = best_difference(shuffled, M), best_difference(strata, M[::-1])
    np.testing.assert_allclose(other.estimate, found.estimate, atol=1e-9)
    np.testing.assert_allclose(other.low, found.low, atol=1e-7)
    np.testing.assert_allclose(back.estimate[::-1], found.estimate, atol=1e-9)
    np.testing.assert_allclose(back.low[::-1], found.low, rtol=0.01, atol=0.01)  # other directions are drawn


def test_units_count_once_however_many_rows_they_have() -> None:
    rng = np.random.default_rng(8)
    a, b, size = rng.gamma(3, 2, 80), rng.gamma(3, 3, 80), np.arange(80.0)
    once = in_strata(a, b, size, size + 0.5)
    rows = [np.repeat(one, 3) for one in (a, b, size, size + 0.5, np.arange(80))]
    several = in_strata(*rows[:4], units_a=rows[4], units_b=rows[4])
    counts = np.full(80, 3)
    assert once is not None
    assert several is not None
    first, again = best_difference(once, M), best_difference(several, M)
    for key in ("estimate", "standard_error", "low", "p_adjusted"):
        np.testing.assert_allclose(getattr(again, key), getattr(first, key), rtol=1e-9, atol=1e-12)
    counted = in_strata(a, b, size, size + 0.5, counts_a=counts, counts_b=counts)
    whole = in_strata(*rows[:4])
    assert counted is not None
    assert whole is not None
    np.testing.assert_allclose(best_difference(counted, M).high, best_difference(whole, M).high, rtol=1e-9)


def test_pairs_of_the_same_units_are_one_observation_each() -> None:
    rng = np.random.default_rng(9)
    network = rng.gamma(3, 4, 100)
    a, b = network + rng.random(100), network + rng.random(100) + 0.2
    units = np.arange(100)
    paired = in_strata(a, b, units_a=units, units_b=units, paired=True)
    apart = in_strata(a, b)
    assert paired is not None
    assert apart is not None
    found = best_difference(paired, 1)
    expected = np.std(a - b, ddof=1) / 10
    assert found.standard_error[0] == pytest.approx(expected, rel=0.02)
    assert best_difference(paired, [1, 2]).high.max() < 0 < best_difference(apart, [1, 2]).high.min()


def test_too_large_budgets_have_no_interval() -> None:
    strata = made(0)
    assert best_difference(strata, M).most == most_draws(min(strata.effective)) == 5
    found = best_difference(strata, [1, 5, 6, 4096])
    for key in ("estimate", "standard_error", "low", "high", "p_adjusted"):
        assert np.isnan(getattr(found, key)).tolist() == [False, False, True, True]
    assert best_difference(strata, [5000]).to_dict()["p_adjusted"] == [None]
    assert [most_draws(size) for size in (1, 19, 20, 39.99, 40, 500)] == [1, 1, 1, 1, 2, 25]


def test_errors_that_are_all_equal_leave_nothing_to_judge_by() -> None:
    strata = in_strata([5.0] * 40, [7.0] * 40)
    assert strata is not None
    assert np.isnan(best_difference(strata, [1, 2]).p_adjusted).all()


def test_bad_input_is_refused() -> None:
    strata = made(0)
    for call, message in (
        (lambda: best_difference(strata, 0), r"m: 0 was given, but whole numbers from 1"),
        (lambda: best_difference(strata, 1, 1.0), "confidence: 1 was given"),
        (lambda: best_difference(strata, 1, pairs=0), "pairs: 0 was given"),
        (lambda: pseudo_values([1, 2], 1, [1, 0]), "weights: 1 of 2 are 0, but models that count"),
        (lambda: best_of([1, 2], 1, units=[1]), "units: 1 were given for 2 errors"),
        (lambda: best_of([1, 2], 1).interval(2), "confidence: 2 was given"),
    ):
        with pytest.raises(EdfkitError, match=message):
            call()


# Intervals and bands of one curve


def test_an_interval_of_a_mean_has_the_degrees_of_freedom_of_its_spread() -> None:
    errors = np.repeat([10.0, 20.0], 10)
    found = best_of(errors, [1, 2])
    assert found.df[0] == 19
    assert found.interval(0.9)[0] == pytest.approx(15 + np.array([-1, 1]) * 1.7291328 * math.sqrt(25 / 19), rel=1e-6)
    assert np.isnan(found.interval()[1]).all()
    one_decides = best_of([*np.linspace(1, 2, 39), 90.0], 1)
    assert one_decides.df[0] < 3


def test_units_widen_the_interval() -> None:
    errors = np.random.default_rng(0).gamma(3, 2, 100)
    plain = best_of(errors, [1, 4])
    rows = best_of(np.repeat(errors, 3), [1, 4], units=np.repeat(np.arange(100), 3))
    weighted = best_of(np.repeat(errors, 3), [1, 4], np.full(300, 0.5), units=np.repeat(np.arange(100), 3))
    for other in (rows, weighted):
        np.testing.assert_allclose(other.interval(), plain.interval(), rtol=1e-9)
        assert other.models == 300
        assert other.n_eff == pytest.approx(100)


@pytest.mark.parametrize("size", [12, 60, 150])
def test_median_bands_equal_opda(size: int) -> None:
    errors = np.random.default_rng(size).gamma(3, 5, size)
    m = np.array([2, 3, 7, 20, 64, 500])
    low, middle, high = EmpiricalDistribution.confidence_bands(errors, 0.9, a=0.0, b=100.0, method="ld_equal_tailed")
    values = np.sort(errors)
    before = float(high.cdf(values[0] - 1e-9))
    ends = median_band(values, low.cdf(values), high.cdf(values), m, upper_before=before)
    for mine, theirs in ((ends[0], high), (best_of(errors, m).quantiles[0.5], middle), (ends[1], low)):
        np.testing.assert_array_equal(mine, theirs.quantile_tuning_curve(m, minimize=True))


@given(some_errors(min_size=2), st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_a_band_of_no_width_has_the_median_itself(errors: Floats, m: list[int]) -> None:
    curve = best_of(errors, m)
    values, counts = np.unique(errors, return_counts=True)
    heights = np.cumsum(counts) / errors.size
    low, high = median_band(values, heights, heights, m, upper_before=0.0)
    np.testing.assert_array_equal(low, high)
    np.testing.assert_array_equal(low, curve.quantiles[0.5])
    band = edf_band(errors)
    low, high = median_band(band.values, band.lower, band.upper, m, upper_before=band.upper_before)
    assert np.all((low <= curve.quantiles[0.5]) & (curve.quantiles[0.5] <= high))
