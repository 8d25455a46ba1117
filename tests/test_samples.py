import json
import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from strategies import counted, errors

from edfkit import EdfkitError
from edfkit.stats import sizes as samples
from edfkit.stats.edf import Floats
from edfkit.stats.sample import Sample
from edfkit.stats.sizes import (
    Distances,
    draw_models,
    expected_distance,
    expected_distance_to_population,
    models_for_precision,
    precision_of_models,
    simulate_distance,
)
from edfkit.stats.two_sample import exact_p, ks


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("n", "accuracy"), [(1, 0.016), (2, 0.005), (3, 0.003), (5, 0.001), (20, 1e-4), (100, 1e-5)])
def test_expected_distance_is_close_to_the_exact_law(n: int, accuracy: float) -> None:
    assert expected_distance(n) == pytest.approx(stats.kstwo(n).mean(), rel=accuracy)


def test_expected_distance_is_near_the_usual_formula() -> None:
    n = np.array([2, 10, 100, 1_000, 10_000, 25_000])
    np.testing.assert_allclose(expected_distance(n), 0.8687 / (np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n)), rtol=0.012)


def test_overlap_of_subsets_and_not_their_size_makes_the_end_of_the_curve_fall() -> None:
    # Two subsets of 16,384 out of 25,000: as if independent, their effective size would be 8,192.
    assert expected_distance_to_population(16_384, 25_000, 16_384) == pytest.approx(0.0056, abs=5e-5)
    assert expected_distance(8_192) == pytest.approx(0.0096, abs=5e-5)


def exact_mean(n: int, m: int) -> float:
    """The mean of D of two samples without ties, summed over its law."""
    steps = math.gcd(n, m)
    ends = list(range(1, n + m + 1))
    return sum(exact_p(ends, n, m, d) for d in range(steps, n * m + 1, steps)) * steps / (n * m)


@pytest.mark.parametrize(("k", "size"), [(10, 20), (10, 23), (10, 50), (20, 40), (60, 80), (12, 60)])
def test_distance_to_the_population_is_close_to_the_exact_mean(k: int, size: int) -> None:
    exact = (1 - k / size) * exact_mean(k, size - k)
    assert expected_distance_to_population(k, size) == pytest.approx(exact, rel=0.02)


@given(errors(2, 12), st.integers(1, 11))
def test_distance_to_the_population_is_a_share_of_that_to_the_rest(sample: Floats, k: int) -> None:
    k = min(k, sample.size - 1)
    to_all, to_rest = ks(sample[:k], sample).statistic, ks(sample[:k], sample[k:]).statistic
    assert to_all == pytest.approx((1 - k / sample.size) * to_rest, abs=1e-12)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 500))
def test_laws_of_the_expected_distance(k: int, reference: int, more: int) -> None:
    size = max(k, reference) + more
    both = float(expected_distance_to_population(k, size, reference))
    assert 0 <= both <= 1
    assert both == pytest.approx(float(expected_distance_to_population(reference, size, k)), abs=1e-12)
    to_all = expected_distance_to_population([1, k, size], size)
    assert to_all[2] == 0
    assert to_all[1] == pytest.approx(float(expected_distance_to_population(k, size, size)), abs=1e-15)
    assert np.all((to_all >= 0) & (to_all <= 1))


def test_a_population_without_end_is_the_distribution_itself() -> None:
    k = np.array([[1, 10], [100, 1_000]])
    np.testing.assert_allclose(expected_distance_to_population(k, 10**12), expected_distance(k), rtol=1e-6)


def test_the_curve_falls_with_the_models() -> None:
    curve = expected_distance_to_population(np.arange(1, 25_001), 25_000)
    assert np.all(np.diff(curve) < 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reference", [None, 300])
def test_simulation_agrees_with_the_formula_without_ties(seed: int, reference: int | None) -> None:
    k, trials = [10, 40, 200, 350], 1_500
    simulated = simulate_distance(np.arange(400) / 4, k, trials=trials, rng=rng(seed), reference=reference)
    expected = expected_distance_to_population(k, 400, reference)
    error = np.array(simulated.sd) / math.sqrt(trials)
    assert np.all(np.abs(simulated.mean - expected) < 4 * error + 0.012 * expected)


@pytest.mark.parametrize("seed", range(3))
def test_simulation_with_ties_agrees_with_enumeration(seed: int) -> None:
    sample = rng(20, seed).integers(0, 4, 8) * 10.0
    for k in (1, 3, 7):
        exact = [ks(sample[list(chosen)], sample).statistic for chosen in combinations(range(8), k)]
        simulated = simulate_distance(sample, [k], trials=2_000, rng=rng(21, seed))
        assert abs(simulated.mean[0] - np.mean(exact)) < 4.5 * np.std(exact) / math.sqrt(2_000) + 1e-12
        assert simulated.sd[0] == pytest.approx(np.std(exact), rel=0.15, abs=1e-12)


def test_simulation_against_a_subset_agrees_with_a_loop() -> None:
    generator, sample = rng(22), rng(23).integers(0, 12, 60) * 5.0
    looped = [
        ks(generator.choice(sample, 25, replace=False), generator.choice(sample, 40, replace=False)).statistic
        for _ in range(600)
    ]
    simulated = simulate_distance(sample, [25], trials=2_000, rng=generator, reference=40)
    error = np.hypot(np.std(looped) / math.sqrt(600), simulated.sd[0] / math.sqrt(2_000))
    assert abs(simulated.mean[0] - np.mean(looped)) < 4 * error


def test_ties_make_distances_smaller() -> None:
    fine, coarse = np.arange(400) / 4, np.arange(400) // 100 * 25.0
    k = [20, 100]
    mean = [simulate_distance(sample, k, trials=300, rng=rng(24)).mean for sample in (fine, coarse)]
    assert np.all(np.array(mean[1]) < 0.9 * np.array(mean[0]))


def test_all_models_or_models_that_tie_are_at_no_distance() -> None:
    assert simulate_distance([1, 2, 3], [3], trials=4, rng=rng(0)).mean == [0]
    assert simulate_distance([5] * 9, [1, 4], trials=4, rng=rng(0)).mean == [0, 0]
    assert simulate_distance([5], [1], trials=2, rng=rng(0), reference=1).sd == [0]


def test_chunks_change_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "AT_ONCE", 350)  # seven trials at a time, and the last chunk is smaller
    simulated = simulate_distance(np.arange(50) * 2, [10], trials=500, rng=rng(25))
    error = simulated.sd[0] / math.sqrt(500)
    assert abs(simulated.mean[0] - 0.8 * exact_mean(10, 40)) < 4 * error


def test_simulated_distances_are_plain_data() -> None:
    simulated = simulate_distance([1, 2, 3], np.array([1, 2]), trials=5, rng=rng(1))
    assert simulated == simulate_distance([1, 2, 3], [1, 2], trials=5, rng=rng(1))
    assert Distances(**json.loads(json.dumps(simulated.to_dict()))) == simulated


@given(counted(weighted=False), st.integers(1, 9), st.booleans())
def test_counts_stand_for_models(sample: tuple[Floats, None, NDArray[np.int64]], k: int, compared: bool) -> None:
    values, _, counts = sample
    k = min(k, int(counts.sum()))
    how: dict[str, Any] = {"trials": 3, "reference": k if compared else None}
    repeated = simulate_distance(np.repeat(values, counts), [k], rng=rng(2), **how)
    assert simulate_distance(values, [k], rng=rng(2), counts=counts, **how) == repeated
    assert simulate_distance(Sample(values, counts=counts), [k], rng=rng(2), **how) == repeated


def test_of_many_models_errors_are_drawn_rather_than_models(monkeypatch: pytest.MonkeyPatch) -> None:
    values, counts = np.arange(50.0), rng(3).integers(1, 60, 50)
    one_by_one = simulate_distance(values, [20, 300], trials=4_000, rng=rng(4), counts=counts)
    monkeypatch.setattr(samples, "ONE_BY_ONE", 10)
    together = simulate_distance(values, [20, 300], trials=4_000, rng=rng(4), counts=counts)
    assert together.mean != one_by_one.mean
    for mean, other, sd in zip(together.mean, one_by_one.mean, together.sd, strict=True):
        assert abs(mean - other) < 4 * sd * math.sqrt(2 / 4_000)
    np.testing.assert_allclose(together.sd, one_by_one.sd, rtol=0.06)


@given(counted(weighted=False), st.integers(1, 100))
def test_models_are_drawn_from_counts(sample: tuple[Floats, None, NDArray[np.int64]], k: int) -> None:
    values, _, counts = sample
    repeated = np.sort(np.repeat(values, counts))
    k = min(k, repeated.size)
    drawn = draw_models(values, k, rng=rng(5), counts=counts)
    assert drawn.size == k
    # None is there more often than it can be, and all are there in the end.
    left = np.searchsorted(repeated, drawn, side="right") - np.searchsorted(repeated, drawn)
    assert all(np.count_nonzero(drawn == value) <= most for value, most in zip(drawn, left, strict=True))
    every = draw_models(Sample(values, counts=counts), repeated.size, rng=rng(5))
    np.testing.assert_array_equal(np.sort(every), repeated)


def test_models_are_drawn_alike() -> None:
    plain = np.arange(30.0)
    np.testing.assert_array_equal(draw_models(plain, 7, rng=rng(1)), plain[rng(1).permutation(30)[:7]])
    drawn = [draw_models([1, 2, 3], 2, rng=rng(seed), counts=[1, 2, 7]) for seed in range(3_000)]
    shares = [np.mean(np.array(drawn) == value) for value in (1, 2, 3)]
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.7], atol=0.025)


@pytest.mark.parametrize(("eps", "n"), [(0.1, 181), (0.05, 731), (0.02, 4_595)])
def test_models_within_a_precision_at_95_percent(eps: float, n: int) -> None:
    assert models_for_precision(eps, 0.95) == n
    # The bound that holds for any number asks for more.
    assert n < math.log(2 / 0.05) / (2 * eps**2) < 1.03 * n


@settings(max_examples=40)
@given(st.floats(0.06, 0.6), st.floats(0.5, 0.99))
def test_models_for_precision_is_the_smallest_number(eps: float, confidence: float) -> None:
    n = models_for_precision(eps, confidence)
    assert precision_of_models(n, confidence) <= eps * (1 + 1e-9)
    smaller = range(max(1, n - 3), n)
    assert all(precision_of_models(m, confidence) > eps for m in smaller)


@pytest.mark.parametrize("n", [1, 2, 5, 30, 140])
def test_the_precision_is_that_of_the_exact_law(n: int) -> None:
    for confidence in (0.05, 0.5, 0.9, 0.95, 0.999):
        assert precision_of_models(n, confidence) == pytest.approx(stats.kstwo.ppf(confidence, n), rel=1e-10)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99, 0.9999])
@pytest.mark.parametrize("eps", [0.3, 0.07, 0.01, 0.004])
def test_models_for_precision_by_the_law_of_scipy(eps: float, confidence: float) -> None:
    # Up to some millionths of the probability, scipy's law is that of two sides; see the test of `distance_tail`.
    n = models_for_precision(eps, confidence)
    assert stats.kstwo.sf(eps, n) <= (1 - confidence) * (1 + 1e-5)
    assert n == 1 or stats.kstwo.sf(eps, n - 1) > (1 - confidence) * (1 - 1e-5)


def test_precision_by_hand() -> None:
    # One model at x: sup |F - F_1| = max(x, 1 - x), at most d with probability 2 d - 1.
    assert precision_of_models(1, 0.9) == pytest.approx(0.95)
    assert models_for_precision(0.95, 0.9) == 1
    assert models_for_precision(0.949, 0.9) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_distance(0), "n: 0 was given, but whole numbers from 1 are needed"),
        (lambda: expected_distance([1.5]), r"n: \[1.5\] was given, but whole numbers"),
        (lambda: expected_distance([]), r"n: \[\] was given"),
        (lambda: expected_distance_to_population(9, 8), "k: 9 was given, but whole numbers from 1 to 8 are needed"),
        (lambda: expected_distance_to_population(1, 8, 9), "reference: 9 was given"),
        (lambda: simulate_distance([1, 2], [3], rng=rng(0)), r"k: \[3\] was given, but whole numbers from 1 to 2"),
        (lambda: simulate_distance([1, np.nan], [1], rng=rng(0)), "errors: 1 of 2 values are unknown"),
        (lambda: simulate_distance([1, 2], [1], trials=1, rng=rng(0)), "trials: 1 was given"),
        (
            lambda: simulate_distance(Sample([1, 2], [1, 3]), [1], rng=rng(0)),
            "Sample: one with weights that differ was given, but here every model counts the same",
        ),
        (lambda: draw_models([1, 2], 3, rng=rng(0)), "k: 3 was given, but whole numbers from 1 to 2 are needed"),
        (lambda: precision_of_models(0), "n: 0 was given"),
        (lambda: precision_of_models(5, 95), "confidence: 95 was given, but a share between 0 and 1"),
        (lambda: models_for_precision(0), "eps: 0 was given, but a share between 0 and 1"),
        (lambda: models_for_precision(1e-6), "eps: 1e-06 at confidence 0.95 was given, but that takes more than 1e9"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
