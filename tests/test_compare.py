import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special, stats
from strategies import counted, errors, samples

from edfkit import EdfkitError
from edfkit.stats.bins import complexity_weights
from edfkit.stats.edf import Floats
from edfkit.stats.two_sample import KS, Summary, asymptotic_p, exact_p, ks, prob_better, summarize

Sample = tuple[Floats, Floats]


def distance(a: Floats, b: Floats) -> int:
    """The KS distance in units of 1 / (n_a n_b), straight from the definition."""
    return max(abs(int((a <= e).sum()) * b.size - int((b <= e).sum()) * a.size) for e in np.concatenate([a, b]))


def enumerated_p(a: Floats, b: Floats) -> float:
    """The share of all ways to deal out the pooled errors that are as far apart as a and b."""
    pooled = np.concatenate([a, b])
    far = [
        distance(pooled[list(chosen)], np.delete(pooled, list(chosen))) >= distance(a, b)
        for chosen in combinations(range(pooled.size), a.size)
    ]
    return sum(far) / len(far)


def test_ks_with_ties_by_hand() -> None:
    # F_A = 2/3 at 1 where F_B = 0. Of the 20 ways to choose A's three from 1, 1, 2, 2, 2, 2, the distance is 2/3 where
    # A has both ones, C(4, 1) = 4 ways, or none, C(4, 3) = 4 ways, and 0 otherwise: p = 8/20.
    test = ks([1, 1, 2], [2, 2, 2])
    assert test.statistic == pytest.approx(2 / 3)
    assert test.p_value == pytest.approx(0.4, rel=1e-12)
    assert test.method == "exact"
    assert test.a_ahead == test.statistic
    assert test.b_ahead == 0
    # As if there were no ties, it would be larger.
    assert stats.ks_2samp([1, 1, 2], [2, 2, 2], method="exact").pvalue > 0.5


def test_ks_of_samples_apart_and_of_equal_ones() -> None:
    # Only the two ways to separate 3 + 2 distinct errors give D = 1: p = 2 / C(5, 2).
    assert ks([1, 2, 3], [4, 5]).p_value == pytest.approx(0.2, rel=1e-12)
    assert ks([1, 2, 3], [1, 2, 3]).statistic == 0
    assert ks([1, 2, 3], [1, 2, 3]).p_value == pytest.approx(1, abs=1e-12)
    assert ks([5], [5]) == KS(0.0, 1.0, "exact", 0.0, 0.0)


@settings(max_examples=60)
@given(errors(max_size=5), errors(max_size=5))
def test_exact_p_equals_enumeration(a: Floats, b: Floats) -> None:
    test = ks(a, b)
    assert test.statistic == pytest.approx(distance(a, b) / (a.size * b.size), rel=1e-12)
    assert test.p_value == pytest.approx(enumerated_p(a, b), rel=1e-10)


@pytest.mark.parametrize(
    ("n_a", "n_b"), [(1, 1), (1, 40), (40, 1), (7, 7), (30, 45), (300, 300), (271, 300), (1000, 777)]
)
@pytest.mark.parametrize("shift", [0, 3, 15])
def test_exact_p_equals_scipy_without_ties(n_a: int, n_b: int, shift: float) -> None:
    pooled = np.random.default_rng([n_a, n_b]).permutation(n_a + n_b) * 80 / (n_a + n_b)
    a, b = pooled[:n_a], pooled[n_a:] + shift + 1e-3
    reference = stats.ks_2samp(a, b, method="exact")
    test = ks(a, b)
    assert test.statistic == pytest.approx(reference.statistic, rel=1e-12)
    assert test.p_value == pytest.approx(reference.pvalue, rel=1e-9)
    assert test.method == "exact"


def test_small_exact_p_keeps_its_precision() -> None:
    # All of A below all of B: 2 / C(200, 100), some 2e-59.
    assert ks(np.arange(100) / 4, np.arange(100) / 4 + 50).p_value == pytest.approx(
        2 / special.comb(200, 100), rel=1e-9
    )


@pytest.mark.parametrize(("n_a", "n_b"), [(25_000, 25_000), (20_000, 4_000), (4_000, 20_000), (1_000, 1_000)])
def test_exact_p_is_given_as_0_only_below_1e_300(n_a: int, n_b: int) -> None:
    ends = np.append(np.sort(np.random.default_rng(n_a).choice(np.arange(1, n_a + n_b), 9, replace=False)), n_a + n_b)
    low, high = 1, n_a * n_b
    while high - low > n_a * n_b / 10_000:
        middle = (low + high) // 2
        low, high = (middle, high) if exact_p(ends.tolist(), n_a, n_b, middle) > 0 else (low, middle)
    assert 0 < exact_p(ends.tolist(), n_a, n_b, low) < 1e-290
    # After k models F_A - F_B is D or more where at least so many of them are A's; p is at most the sum of all that.
    up, down = (-(-(high + ends * n) // (n_a + n_b)) for n in (n_a, n_b))
    tails = [stats.hypergeom.logsf(up - 1, n_a + n_b, n_a, ends), stats.hypergeom.logsf(down - 1, n_a + n_b, n_b, ends)]
    assert special.logsumexp(tails) < np.log(1e-300)


def test_exact_p_far_below_1e_300_takes_no_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.linspace(0, 60, 4_000), np.linspace(40, 100, 5_000)

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(np, "convolve", refuse)
    with pytest.raises(AssertionError):  # which shows that the check can fail
        ks(a, np.linspace(5, 65, 5_000))
    test = ks(a, b)
    assert (test.p_value, test.method) == (0, "exact")


def test_rounded_errors_of_25_000_models_are_counted_exactly() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(2, 0.5, (2, 25_000)).clip(0, 100).round(2)
    test = ks(a, b)
    assert test.method == "exact"
    # With this many models the asymptotic law is a close, conservative stand-in.
    asymptotic = stats.ks_2samp(a, b, method="asymp").pvalue
    assert 0.9 * asymptotic < test.p_value <= asymptotic


def test_too_many_models_take_the_asymptotic_law_and_say_so() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 15_000)) * 100
    test = ks(a, b)
    assert test.method == "asymptotic: too many models to count exactly"
    assert test.p_value == pytest.approx(special.kolmogorov(test.statistic * np.sqrt(7_500)), rel=1e-12)


def test_asymptotic_p_takes_effective_sizes() -> None:
    assert asymptotic_p(0.5, 6, 3) == pytest.approx(special.kolmogorov(0.5 * np.sqrt(2)), rel=1e-12)
    assert asymptotic_p(0.3, 1.5, 4.5) == pytest.approx(special.kolmogorov(0.3 * np.sqrt(1.125)), rel=1e-12)
    assert asymptotic_p(0, 10, 10) == 1


def test_weighted_ks_by_hand() -> None:
    # F_A is 0.75 at 1 and 1 at 3, F_B 0.5 at 2: D = 0.75 at 1. n_eff is 16 / 10 of A, 2 of B.
    test = ks([1, 3], [2, 4], [3, 1])
    assert (test.statistic, test.a_ahead, test.b_ahead) == (0.75, 0.75, 0)
    assert test.p_value == pytest.approx(special.kolmogorov(0.75 * np.sqrt(1.6 * 2 / 3.6)))
    assert test.method == "asymptotic: weighted, n_eff 1.6 and 2.0"


def test_round_off_of_weights_is_no_difference() -> None:
    # Both have 1/10, 7/10 and 2/10 of their weight at the same errors, but the sums differ in the last digit.
    test = ks([1, 2, 3], [1, 2, 3], [0.1, 0.7, 0.2], [1 / 7, 1, 2 / 7])
    assert (test.statistic, test.a_ahead, test.b_ahead, test.p_value) == (0, 0, 0, 1)


@given(samples(), samples())
def test_d_of_equal_weights_is_the_unweighted_one(sample_a: Sample, sample_b: Sample) -> None:
    a, b = sample_a[0], sample_b[0]
    weighted = ks(a, b, np.full(a.size, 0.1), np.full(b.size, 7))
    plain = ks(a, b)
    assert weighted.statistic == pytest.approx(plain.statistic, abs=1e-12)
    assert weighted.a_ahead == pytest.approx(plain.a_ahead, abs=1e-12)
    assert weighted.b_ahead == pytest.approx(plain.b_ahead, abs=1e-12)


@given(samples(), samples(), st.randoms(use_true_random=False))
def test_laws_of_ks_and_prob_better(sample_a: Sample, sample_b: Sample, random: Any) -> None:
    (a, w_a), (b, w_b) = sample_a, sample_b
    test, prob = ks(a, b, w_a, w_b), prob_better(a, b, w_a, w_b)
    # From the definitions.
    pooled = np.concatenate([a, b])
    lead = np.array([w_a[a <= e].sum() / w_a.sum() - w_b[b <= e].sum() / w_b.sum() for e in pooled])
    assert test.statistic == pytest.approx(np.abs(lead).max(), abs=1e-9)
    assert test.a_ahead == pytest.approx(lead.max(initial=0), abs=1e-9)
    assert test.b_ahead == pytest.approx((-lead).max(initial=0), abs=1e-9)
    wins = (a[:, None] < b) + (a[:, None] == b) / 2
    assert prob == pytest.approx(w_a @ wins @ w_b / w_a.sum() / w_b.sum(), abs=1e-10)
    # Exchange.
    swapped = ks(b, a, w_b, w_a)
    assert swapped.p_value == pytest.approx(test.p_value, rel=1e-9)
    assert swapped.a_ahead == test.b_ahead
    assert swapped.b_ahead == test.a_ahead
    assert prob + prob_better(b, a, w_b, w_a) == pytest.approx(1, abs=1e-12)
    # Order, copies of all models, one model's weight split over two copies, a monotonic transformation.
    order = np.array(random.sample(range(a.size), a.size))
    for other_a, other_b, other_w_a in (
        (a[order], b, w_a[order]),
        (np.tile(a, 2), b, np.tile(w_a, 2)),
        (np.append(a, a[0]), b, np.concatenate([[w_a[0] / 3], w_a[1:], [w_a[0] * 2 / 3]])),
        (a**2 / 100, b**2 / 100, w_a),
    ):
        assert ks(other_a, other_b, other_w_a, w_b).statistic == pytest.approx(test.statistic, abs=1e-9)
        assert prob_better(other_a, other_b, other_w_a, w_b) == pytest.approx(prob, abs=1e-9)


@given(errors(), errors())
def test_exact_p_depends_on_order_of_errors_alone(a: Floats, b: Floats) -> None:
    test = ks(a, b)
    assert ks(a[::-1], b).p_value == test.p_value
    assert ks(a**2 / 100, b**2 / 100).p_value == test.p_value
    assert ks(100 - a, 100 - b).p_value == pytest.approx(test.p_value, rel=1e-9)
    assert ks(b, a).p_value == pytest.approx(test.p_value, rel=1e-9)
    assert ks(np.tile(a, 2), np.tile(b, 3)).statistic == pytest.approx(test.statistic, abs=1e-12)
    assert 0 < test.p_value <= 1


def test_prob_better_by_hand() -> None:
    # 1 beats both; 3 ties with 3 and beats 5: (1 + 1 + 1/2 + 1) / 4.
    assert prob_better([1, 3], [3, 5]) == 0.875
    # The 3 with three quarters of A's weight: 1/4 * 1 + 3/4 * 3/4.
    assert prob_better([1, 3], [3, 5], [1, 3]) == 0.8125
    assert prob_better([1], [2]) == 1
    assert prob_better([2], [2]) == 0.5


@given(errors(), errors())
def test_prob_better_equals_mann_whitney(a: Floats, b: Floats) -> None:
    u = (
        stats.mannwhitneyu(b, a, method="asymptotic").statistic
        if np.ptp(np.concatenate([a, b]))
        else a.size * b.size / 2
    )
    assert prob_better(a, b) == pytest.approx(u / (a.size * b.size), abs=1e-12)


def rejections_of_exact_test(repeats: int) -> tuple[int, float]:
    """Deal out one pooled sample with many ties at random; count the p-values up to an attainable level near 5 %."""
    rng = np.random.default_rng(5)
    pooled = rng.integers(0, 6, 45) * 10.0

    def p_value() -> float:
        dealt = rng.permutation(pooled)
        return ks(dealt[:20], dealt[20:]).p_value

    # Few levels can be attained; the largest up to 0.08 among a first lot of p-values is one of them.
    level = max(p for p in (p_value() for _ in range(300)) if p < 0.08) * (1 + 1e-9)
    return sum(p_value() <= level for _ in range(repeats)), level


def assert_binomial(count: int, repeats: int, level: float) -> None:
    low, high = stats.binom.interval(0.999, repeats, level)
    assert low <= count <= high, f"{count} of {repeats}, expected {low} to {high}"


def test_exact_test_with_ties_has_its_size() -> None:
    count, level = rejections_of_exact_test(1_000)
    assert level > 0.02
    assert_binomial(count, 1_000, level)


@pytest.mark.slow
def test_exact_test_with_ties_has_its_size_precisely() -> None:
    count, level = rejections_of_exact_test(10_000)
    assert_binomial(count, 10_000, level)


def rejections_given_complexity(repeats: int, slope: float, gain: float = 0.0) -> tuple[int, int]:
    """Compare populations of different complexity; A is better by `gain` percent given complexity.

    Returns how many of the weighted and of the unweighted tests reject at 5 %.
    """
    rng = np.random.default_rng(6)

    def population(n: int, power: float, better: float) -> Sample:
        complexity = np.ceil(rng.random(n) ** power * 5).clip(1, 5)
        error = 20 - slope * complexity - better + 3 * rng.lognormal(0, 0.6, n)
        return error.clip(0, 100).round(2), complexity_weights(complexity, 0.5, 5.5, 5)

    weighted = plain = 0
    for _ in range(repeats):
        (a, w_a), (b, w_b) = population(300, 1.0, gain), population(250, 3.0, 0.0)
        weighted += ks(a, b, w_a, w_b).p_value < 0.05
        plain += ks(a, b).p_value < 0.05
    return weighted, plain


def test_weighted_test_is_not_fooled_by_complexity() -> None:
    weighted, plain = rejections_given_complexity(200, slope=0.4)
    assert weighted <= stats.binom.ppf(0.9995, 200, 0.05)
    assert plain > 120  # the complexity mix alone looks like a difference
    detected, _ = rejections_given_complexity(50, slope=0.4, gain=2.0)
    assert detected > 45


@pytest.mark.slow
def test_weighted_test_is_conservative_by_a_little() -> None:
    repeats = 4_000
    no_slope, _ = rejections_given_complexity(repeats, slope=0.0)
    assert stats.binom.ppf(0.0005, repeats, 0.025) <= no_slope <= stats.binom.ppf(0.9995, repeats, 0.05)
    # Balanced bins take away what complexity explains, and the law does not know.
    steep, _ = rejections_given_complexity(repeats, slope=2.0)
    assert steep < no_slope / 2


def test_summary_by_hand() -> None:
    # F is 0.25 at 2, 0.5 at 10, 1 at 40; 90 has the weight 0. Mean 0.5 + 2.5 + 20.
    # Area to 20: 1 - (0.025 + 0.125 + 0.5).
    summary = summarize([40, 2, 10, 90], [2, 1, 1, 0], area_to=20)
    assert summary == Summary(
        models=3,
        n_eff=pytest.approx(16 / 6),  # type: ignore[arg-type] # pytest's approximate number has no type
        min=2,
        mean=23,
        median=10,
        area=pytest.approx(0.35),  # type: ignore[arg-type] # pytest's approximate number has no type
        area_to=20,
        quantiles={0.05: 2, 0.25: 2, 0.5: 10, 0.75: 40, 0.95: 40},
    )


def test_summary_without_weights() -> None:
    summary = summarize(np.arange(101))
    assert (summary.models, summary.n_eff, summary.area_to) == (101, 101, 50)
    assert summary.quantiles == {0.05: 5, 0.25: 25, 0.5: 50, 0.75: 75, 0.95: 95}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ks([], [1]), "errors: no values were given"),
        (lambda: ks([1], [1, np.nan]), "errors: 1 of 2 values are unknown"),
        (lambda: ks([1], [np.inf]), "errors: 1 of 1 values are unknown \\(NaN\\) or infinite"),
        (lambda: ks([1], [1], [1, 2]), "weights: 2 were given for 1 errors"),
        (lambda: prob_better([1], [1], None, [-1]), "weights: -1 was given"),
        (lambda: prob_better([1], [[1]]), r"errors: shape \(1, 1\) was given"),
        (lambda: summarize([1], [0]), "weights: all are 0"),
        (lambda: summarize([1], area_to=-5), "area: upto = -5 was given"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("extra", "loaded"),
    [
        ("two_sample.ks([1, 2], [2, 3]); two_sample.ks([1, 2], [3], [1, 2])", "False"),
        ("bands.edf_band([1, 2]); bands.difference_band([1], [2]); bands.tail([1, 3], [2], 0.5)", "False"),
        ("s = strata.in_strata([1.0] * 8, range(8)); adjusted.better(s); adjusted.mean_difference(s)", "False"),
        (
            "s = strata.in_strata([1.0] * 8, range(8)); curves.shape_test(s, rng=0); curves.strata_band(s, rng=0)",
            "False",
        ),
        ("bands.edf_band([1], method='equal-local-levels')", "True"),
    ],
)
def test_scipy_is_loaded_only_where_it_is_needed(extra: str, loaded: str) -> None:
    # Start-up time is for everybody; the last case shows that the check can fail.
    modules = "adjusted, bands, bins, curves, strata, two_sample"
    code = f"import sys; from edfkit.stats import {modules}; {extra}; print('scipy' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == loaded


# Counts

Counted = tuple[Floats, Floats | None, NDArray[np.int64]]


def models(one: Counted) -> tuple[Floats, Floats | None]:
    """Every model of a counted sample."""
    errors, weights, counts = one
    return errors.repeat(counts), None if weights is None else weights.repeat(counts)


@given(counted(), counted())
def test_counts_give_what_their_models_give(a: Counted, b: Counted) -> None:
    (errors_a, weights_a), (errors_b, weights_b) = models(a), models(b)
    test = ks(a[0], b[0], a[1], b[1], counts_a=a[2], counts_b=b[2])
    expected = ks(errors_a, errors_b, weights_a, weights_b)
    assert test.method.partition(" n_eff")[0] == expected.method.partition(" n_eff")[0]  # rounded, so near a half
    if test.method == "exact":
        assert test == expected
    for name in ("statistic", "p_value", "a_ahead", "b_ahead"):
        assert getattr(test, name) == pytest.approx(getattr(expected, name), rel=1e-12, abs=1e-12)
    summary = vars(summarize(a[0], a[1], 30.0, counts=a[2]))
    whole = vars(summarize(errors_a, weights_a, 30.0))
    assert summary.pop("quantiles") == whole.pop("quantiles")
    assert summary == pytest.approx(whole, rel=1e-12, abs=1e-12)


def test_counts_of_very_many_models_are_tested_by_the_law() -> None:
    # D is 0.001, and 4e9 pairs of models are too many to count paths.
    test = ks([1.0, 2.0], [1.0, 2.0], counts_a=[1_001_000, 999_000], counts_b=[999_000, 1_001_000])
    assert test.method == "asymptotic: too many models to count exactly"
    assert test.statistic == pytest.approx(0.001, rel=1e-9)
    assert test.b_ahead == 0
    assert test.p_value == pytest.approx(stats.kstwobign.sf(1.0), rel=1e-6)
    # More pairs than 64 bits hold.
    assert ks([1.0], [2.0], counts_a=[10**10], counts_b=[10**10]).statistic == 1.0
