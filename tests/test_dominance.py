"""Almost always better, and the curve of quantile differences: by hand, by plain loops, and against deepsig."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import errors

from edfkit import EdfkitError
from edfkit.stats.bands import crossings
from edfkit.stats.dominance import quantile_difference, violation
from edfkit.stats.strata import Strata, in_strata

Numbers = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
ENOUGH = errors(5, 12)
"""Errors of one population: two of these have enough models for an interval."""


def strata_of(a: Any, b: Any, *complexities: Any, **options: Any) -> Strata:
    found = in_strata(a, b, *complexities, **options)
    assert found is not None
    return found


def in_sizes(seed: int, n: int = 60, shift: float = 1.0) -> Strata:
    """Make two populations whose errors fall with size, with ties."""
    rng = np.random.default_rng(seed)
    size = rng.normal(12, 1, (2, n))
    drawn = np.round(40 - 2 * size + rng.gamma(2, 2, (2, n)) * [[1.0], [1.3]], 1)
    return strata_of(drawn[0], drawn[1] + shift, *np.exp(size))


def plain(a: Numbers, b: Numbers) -> tuple[float, float]:
    """Compute both integrals, of the part where A is worse and of all, on a grid on which both EDFs step."""
    low, high, cells = sorted(a.tolist()), sorted(b.tolist()), a.size * b.size
    worse = total = 0.0
    for cell in range(cells):
        apart = low[cell // b.size] - high[cell // a.size]
        worse += max(apart, 0.0) ** 2 / cells
        total += apart**2 / cells
    return worse, total


def test_by_hand() -> None:
    # Three quarters of A are 1 point better, one quarter is 3 points worse.
    found = violation(strata_of([1, 1, 1, 5] * 2, [2] * 6))
    assert (found.ratio, found.distance) == pytest.approx((0.75, math.sqrt(3)))
    # Two strata of the same weight, whatever their models: half of A is 1 point better, half 2 points worse.
    together = strata_of([1] * 4 + [5] * 2, [2] * 2 + [3] * 4, [1] * 4 + [9] * 2, [1] * 2 + [9] * 4, strata=2)
    found = violation(together)
    assert (found.ratio, found.distance) == pytest.approx((0.8, math.sqrt(2.5)))
    curve = quantile_difference(together, rng=0)
    assert curve.shares.tolist() == [0.5, 1.0]
    assert curve.difference.tolist() == [-1.0, 2.0]


@given(ENOUGH, ENOUGH)
def test_the_ratio_is_that_of_plain_loops(a: Numbers, b: Numbers) -> None:
    worse, total = plain(a, b)
    found = violation(strata_of(a, b))
    assert found.distance == pytest.approx(math.sqrt(total))
    assert found.ratio == pytest.approx(worse / total if total else math.nan, nan_ok=True)
    if math.isnan(found.ratio):
        assert (found.low, found.high) == (0, 1)
    else:
        assert 0 <= found.low <= found.ratio <= found.high <= 1


@given(SEEDS, st.floats(-6, 6))
def test_swapping_mirrors_and_linear_maps_change_nothing(seed: int, shift: float) -> None:
    strata = in_sizes(seed, shift=shift)
    a, sizes = strata.first, np.exp(strata.logs[:, 0])
    ours = violation(strata)

    def numbers(change: float, factor: float, first: NDArray[np.bool_]) -> tuple[float, ...]:
        moved = strata.errors * factor + change
        found = violation(strata_of(moved[first], moved[~first], sizes[first], sizes[~first]))
        return found.ratio, found.low, found.high, found.standard_error, found.distance / factor

    # The models outside the overlap are left out before, so that the strata stay.
    again = numbers(0.0, 1.0, a)
    assert numbers(20.0, 0.5, a) == pytest.approx(again, abs=1e-6)
    ratio, low, high, error, distance = again
    assert numbers(0.0, 1.0, ~a) == pytest.approx((1 - ratio, 1 - high, 1 - low, error, distance), abs=1e-6)
    assert violation(strata, 0.5).low >= ours.low
    assert violation(strata, 0.5).high <= ours.high


@given(ENOUGH, ENOUGH)
def test_it_is_0_exactly_where_one_population_dominates(a: Numbers, b: Numbers) -> None:
    ratio = violation(strata_of(a, b)).ratio
    ahead = "equal" if math.isnan(ratio) else {0.0: "a", 1.0: "b"}.get(ratio, "neither")
    assert ahead == crossings(a, b).dominance


def test_the_standard_error_is_that_of_leaving_models_out() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(40, 3, 60), rng.normal(41, 2, 50)
    squares = 0.0
    for own, other, turned in ((a, b, False), (b, a, True)):
        left = []
        for out in range(own.size):
            pair = np.delete(own, out), other
            worse, total = plain(*(pair[::-1] if turned else pair))
            left.append(worse / total)
        squares += (own.size - 1) * float(np.var(left))
    assert violation(strata_of(a, b)).standard_error == pytest.approx(math.sqrt(squares), rel=0.1)


@pytest.mark.parametrize("shift", [-2.0, 0.0, 1.0])
def test_counts_and_repeated_rows_are_the_models_they_stand_for(shift: float) -> None:
    rng = np.random.default_rng(5)
    a, b = np.round(rng.normal(30, 3, 20)), np.round(rng.normal(30 + shift, 4, 25))
    many = rng.integers(1, 4, 20), rng.integers(1, 4, 25)
    counted = strata_of(a, b, a // 3, b // 3, counts_a=many[0], counts_b=many[1])
    rows = [np.repeat(one, number) for one, number in zip((a, b), many, strict=True)]
    each = strata_of(*rows, rows[0] // 3, rows[1] // 3)
    assert violation(counted).to_dict() == pytest.approx(violation(each).to_dict())
    curves = [quantile_difference(one, rng=3) for one in (counted, each)]
    assert curves[0].half_width == pytest.approx(curves[1].half_width)
    np.testing.assert_allclose(curves[0].lower, curves[1].lower)
    # Three rows of each network, all alike, are no more than one.
    single = strata_of(a, b)
    three = strata_of(np.repeat(a, 3), np.repeat(b, 3), units_a=np.arange(60) // 3, units_b=np.arange(75) // 3)
    assert violation(three).to_dict() == pytest.approx(violation(single).to_dict())
    curves = [quantile_difference(one, rng=3) for one in (three, single)]
    np.testing.assert_allclose(curves[0].difference, curves[1].difference)


def test_the_interval_says_where_the_data_do_not_bound_it() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(40, 3, 100)
    alike = violation(strata_of(a, rng.normal(40, 3, 100)))
    assert alike.high - alike.low > 0.9
    apart = violation(strata_of(a, rng.normal(46, 3, 100)))  # nothing is worse in the sample, but it may hide some
    assert (apart.ratio, apart.low, apart.standard_error) == (0, 0, 0)
    assert 0.005 < apart.high < 0.1
    equal = violation(strata_of(a, a))
    assert math.isnan(equal.ratio)
    assert (equal.low, equal.high, equal.distance) == (0, 1, 0)


@given(errors(10, 40), st.integers(-40, 40))
def test_a_constant_shift_lies_in_the_band(a: Numbers, shift: int) -> None:
    a = a / 5 + 40
    curve = quantile_difference(strata_of(a, a + shift), rng=0, draws=39, confidence=0.5)
    np.testing.assert_allclose(curve.difference, -shift, atol=1e-9)
    assert np.all((curve.lower <= curve.difference) & (curve.difference <= curve.upper))
    assert curve.shares[-1] == 1


@given(SEEDS)
def test_the_band_is_that_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(400)[:40] / 4, rng.permutation(400)[:25] / 4
    curve = quantile_difference(strata_of(a, b), rng=0, draws=19, confidence=0.9)
    low, high, start = sorted(a.tolist()), sorted(b.tolist()), 0.0
    assume(min(abs(curve.half_width * 1000 % 5 - edge) for edge in (0, 5)) > 1e-3)  # no step of b on an edge
    for share, difference, lower, upper in zip(curve.shares, curve.difference, curve.lower, curve.upper, strict=True):
        middle = (start + share) / 2
        x = low[int(middle * 40)]
        assert difference == x - high[int(middle * 25)]
        below, above = start - curve.half_width, share + curve.half_width
        assert upper == (x - high[math.ceil(below * 25) - 1] if below > 0 else math.inf)
        assert lower == (x - high[math.floor(above * 25)] if above < 1 else -math.inf)
        start = share
    assert start == 1


def test_the_band_does_not_need_equal_distributions_and_narrows_with_the_models() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(40, 3, 300), rng.normal(60, 9, 300)
    apart, alike = (quantile_difference(strata_of(a, one), rng=0).half_width for one in (b, a + 0.01))
    assert apart == pytest.approx(alike, rel=0.03)
    assert apart == pytest.approx(1.36 * math.sqrt(2 / 300), rel=0.1)  # Kolmogorov's law, as nothing is explained
    assert quantile_difference(strata_of(a[:75], b[:75]), rng=0).half_width == pytest.approx(2 * apart, rel=0.1)
    given_size = in_sizes(0, 300)
    free = strata_of(given_size.errors[given_size.first], given_size.errors[~given_size.first])
    assert quantile_difference(given_size, rng=0).half_width < quantile_difference(free, rng=0).half_width


def test_the_ratio_and_its_bound_are_about_those_of_deepsig() -> None:
    from deepsig import aso
    from deepsig.aso import compute_violation_ratio

    rng = np.random.default_rng(3)
    for centre, spread in ((41.5, 3.0), (41.0, 6.0), (38.5, 3.0)):
        a, b = rng.normal(40, 4, 250), rng.normal(centre, spread, 200)
        found = violation(strata_of(a, b), confidence=0.9)
        assert compute_violation_ratio(100 - a, 100 - b, dt=0.0005) == pytest.approx(found.ratio, abs=0.01)
        bound = aso(100 - a, 100 - b, seed=1, num_bootstrap_iterations=50, dt=0.02, show_progress=False)
        assert bound - 0.02 <= found.high <= bound + 0.15  # theirs does not guard against what the sample hides


def test_what_cannot_be_computed_is_refused() -> None:
    strata = in_sizes(0)
    with pytest.raises(EdfkitError, match="confidence: 1 was given"):
        violation(strata, confidence=1.0)
    with pytest.raises(EdfkitError, match="H = 1 was given"):
        violation(strata_of([1, 2], [1, 2]))
    for confidence in (0.4, 1.0):
        with pytest.raises(EdfkitError, match=r"confidence: .* was given, but at least 0\.5"):
            quantile_difference(strata, rng=0, confidence=confidence)
