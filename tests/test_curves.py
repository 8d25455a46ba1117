"""Tests and bands of whole error distributions within strata."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edfkit.stats import curves
from edfkit.stats.curves import shape_test, strata_band
from edfkit.stats.special import quadratic_tail
from edfkit.stats.strata import Strata, in_strata


def drawn(seed: int, n: int, shift: float = 0.0, seeds: int = 1) -> tuple[Any, Any, dict[str, Any]]:
    """Draw two populations whose error falls with size, each network with so many seeds: errors, sizes, units."""
    rng = np.random.default_rng(seed)
    size = np.exp(rng.normal(12, 1, (2, n)))
    network = 20 - 3 * (np.log(size) - 12) + rng.gamma(2, 2, (2, n)) + np.array([[0.0], [shift]])
    errors = np.repeat(network, seeds, axis=1) + rng.normal(0, 0.3, (2, n * seeds)) * (seeds > 1)
    units = {} if seeds == 1 else dict.fromkeys(("units_a", "units_b"), np.repeat(np.arange(n), seeds))
    return np.clip(np.round(errors, 2), 0, 100), np.repeat(size, seeds, axis=1), units


def made(seed: int, n: int = 60, *, shift: float = 0.0, seeds: int = 1) -> Strata:
    """Put two such populations into strata."""
    (a, b), (size_a, size_b), units = drawn(seed, n, shift, seeds)
    found = in_strata(a, b, size_a, size_b, **units)
    assert found is not None
    return found


def distance(errors: np.ndarray[Any, Any], first: np.ndarray[Any, Any]) -> float:
    """Compute A^2 of one stratum as it is defined."""
    total = 0.0
    before = 0.0
    for e in np.unique(errors):
        f = np.mean(errors <= e)
        if f < 1:
            gap = np.mean(errors[first] <= e) - np.mean(errors[~first] <= e)
            total += gap**2 * (f - before) / (f * (1 - f))
        before = f
    return float(total)


def test_the_p_value_is_the_share_of_all_permutations() -> None:
    errors = np.array([1, 2, 2, 5, 3, 6, 7.0])
    first = np.arange(7) < 4
    strata = in_strata(errors[first], errors[~first])
    assert strata is not None
    own = distance(errors, first)
    reach = [distance(errors, np.isin(np.arange(7), chosen)) >= own - 1e-12 for chosen in combinations(range(7), 4)]
    found = shape_test(strata, rng=0, permutations=20_000)
    assert found.statistic == pytest.approx(own)
    # It stops after 20: some 20 % of the share is its standard error.
    shares = [shape_test(strata, rng=seed).p_value for seed in range(200)]
    assert np.mean(shares) == pytest.approx(np.mean(reach), rel=0.1)
    assert found.permutations == round(20 / found.p_value)


def test_drawing_stops_after_twenty_or_at_the_end() -> None:
    clear = shape_test(made(0, shift=8.0), rng=1)
    assert (clear.permutations, clear.p_value) == (1_999, 1 / 2_000)
    alike = shape_test(made(0), rng=1)
    assert alike.permutations < 500
    assert alike.p_value == 20 / alike.permutations
    few = shape_test(made(0, shift=8.0), rng=1, permutations=50)
    assert (few.permutations, few.p_value) == (50, 1 / 51)
    tied = in_strata([3.0] * 5, [3.0] * 5)
    assert tied is not None
    assert shape_test(tied, rng=0).p_value == 1


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.sampled_from([1, 3]))
def test_neither_swapping_nor_the_order_of_rows_changes_anything(seed: int, seeds: int) -> None:
    strata = made(seed, 30, seeds=seeds)
    (a, b), (size_a, size_b), units = drawn(seed, 30, 0.0, seeds)
    rng = np.random.default_rng(seed)
    of_a, of_b = rng.permutation(a.size), rng.permutation(b.size)
    ids = {"units_a": units["units_b"][of_b], "units_b": units["units_a"][of_a]} if units else {}
    turned = in_strata(b[of_b], a[of_a], size_b[of_b], size_a[of_a], **ids)
    assert turned is not None
    one, other = (shape_test(each, rng=4) for each in (strata, turned))
    assert one.statistic == pytest.approx(other.statistic)
    assert (one.p_value, one.permutations) == (other.p_value, other.permutations)
    band, its = (strata_band(each, rng=4, draws=50) for each in (strata, turned))
    assert band.half_width == pytest.approx(its.half_width)
    np.testing.assert_allclose(band.difference, -its.difference, atol=1e-12)


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_law_in_the_limit_is_that_of_permutations(
    monkeypatch: pytest.MonkeyPatch, seeds: int, shift: float
) -> None:
    strata = made(3, 300, shift=shift, seeds=seeds)
    drawn, band = shape_test(strata, rng=0, permutations=4_000), strata_band(strata, rng=0)
    monkeypatch.setattr(curves, "LARGE", 100)
    limit, wide = shape_test(strata, rng=0), strata_band(strata, rng=0)
    assert (drawn.method, limit.method) == ("permutation", "limit")
    assert limit.statistic == pytest.approx(drawn.statistic, rel=0.02)
    assert limit.p_value == pytest.approx(drawn.p_value, rel=0.6, abs=0.002)
    assert wide.half_width == pytest.approx(band.half_width, rel=0.12)


def test_few_errors_are_all_looked_at_in_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    strata = in_strata(*rng.integers(0, 40, (2, 200)).astype(float), *rng.uniform(1, 2, (2, 200)))
    assert strata is not None
    exact = shape_test(strata, rng=0).statistic
    monkeypatch.setattr(curves, "LARGE", 100)
    assert shape_test(strata, rng=0).statistic == pytest.approx(exact, rel=1e-12)


def test_a_quadratic_form_has_the_tail_of_its_law() -> None:
    from scipy import stats

    for df in (2, 7):
        for p in (0.9, 0.5, 0.1, 1e-3, 1e-8):
            x = float(stats.chi2.isf(p, df))
            assert quadratic_tail(x, np.ones(df)) == pytest.approx(p, rel=0.06)
    near = [quadratic_tail(7 * (1 + step), np.ones(7)) for step in (-1e-2, -1e-6, 1e-6, 1e-2)]  # about the mean
    assert near == pytest.approx(stats.chi2.sf(7 * np.array([0.99, 1, 1, 1.01]), 7), rel=0.01)


def test_a_band_without_complexity_is_about_that_of_kolmogorov() -> None:
    from edfkit.stats.bands import difference_band

    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 50, 400), rng.uniform(0, 50, 300)
    strata = in_strata(a, b)
    assert strata is not None
    ours, usual = strata_band(strata, rng=0), difference_band(a, b)
    assert ours.half_width == pytest.approx(usual.half_width, rel=0.12)
    np.testing.assert_allclose(ours.difference, usual.difference, atol=1e-12)
    narrow = strata_band(strata, rng=0, confidence=0.5)
    assert narrow.half_width < ours.half_width


def test_what_complexity_explains_does_not_widen_the_band() -> None:
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(12, 1, (2, 300)))
    errors = np.clip(60 - 4 * np.log(size) + rng.normal(0, 0.2, (2, 300)), 0, 100)
    given_size, none = in_strata(*errors, *size), in_strata(*errors)
    assert given_size is not None
    assert none is not None
    assert strata_band(given_size, rng=0).half_width < 0.6 * strata_band(none, rng=0).half_width


def test_pairs_have_a_band_of_their_own() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(30, 10, 100).clip(0, 100)
    b = (a + rng.normal(0, 0.1, 100)).clip(0, 100)
    ids: dict[str, Any] = {"units_a": np.arange(100), "units_b": np.arange(100)}
    paired, free = in_strata(a, b, paired=True, **ids), in_strata(a, b)
    assert paired is not None
    assert free is not None
    assert strata_band(paired, rng=0).half_width < 0.7 * strata_band(free, rng=0).half_width
