import json
from collections.abc import Callable
from itertools import combinations, product
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from strategies import counted, errors

from edfkit import EdfkitError
from edfkit.stats import permutation
from edfkit.stats.bins import bin_index, complexity_weights
from edfkit.stats.edf import Floats
from edfkit.stats.permutation import Permutation, permutation_test
from edfkit.stats.two_sample import ks

Bins = NDArray[np.intp]
Counted = tuple[Floats, Floats | None, NDArray[np.int64]]


def distance(a: Floats, b: Floats, bins_a: Bins, bins_b: Bins) -> float:
    """D of the weighted EDFs, straight from the definition."""
    occupied = set(bins_a.tolist())
    w_a = np.array([1 / len(occupied) / (bins_a == i).sum() for i in bins_a])
    w_b = np.array([1 / len(occupied) / (bins_b == i).sum() for i in bins_b])
    return float(max(abs(w_a[a <= e].sum() - w_b[b <= e].sum()) for e in np.concatenate([a, b])))


def enumerated_p(a: Floats, b: Floats, bins_a: Bins, bins_b: Bins) -> float:
    """The share of all ways to permute models within the bins that are as far apart as a and b."""
    pooled, bins = np.concatenate([a, b]), np.concatenate([bins_a, bins_b])
    members = [np.flatnonzero(bins == i) for i in np.unique(bins)]
    choices = [list(combinations(m, int((bins_a == bins[m[0]]).sum()))) for m in members]
    observed, far = distance(a, b, bins_a, bins_b), []
    for chosen in product(*choices):
        in_a = np.isin(np.arange(pooled.size), np.concatenate(chosen))
        far.append(distance(pooled[in_a], pooled[~in_a], bins[in_a], bins[~in_a]) >= observed - 1e-9)
    return sum(far) / len(far)


def assert_estimates(test: Permutation, p: float) -> None:
    low, high = stats.binom.interval(1 - 1e-5, test.trials, p)
    assert low <= test.exceeding <= high, f"{test.exceeding} of {test.trials}, expected {low} to {high}"


def test_p_by_hand() -> None:
    # Bin 0 holds 1, 2 of A and 3 of B, bin 1 holds 1 of A and 2 of B. At 1, F_A = 0.25 + 0.5 and F_B = 0. If bin 0 of A
    # becomes 1, 3 this is still so; with 2, 3 there and 2 in bin 1 it is -1; the other three of 3 * 2 are closer.
    arguments = [1, 2, 1], [3, 2], [0, 0, 1], [0, 1]
    test = permutation_test(*arguments, trials=6_000, rng=np.random.default_rng(0))
    assert test.statistic == 0.75
    assert (test.bins, test.left_out_a, test.left_out_b, test.trials) == (2, 0, 0, 6_000)
    assert test.p_value == (1 + test.exceeding) / 6_001
    assert_estimates(test, 0.5)
    assert enumerated_p(*(np.array(argument) for argument in arguments)) == 0.5


@pytest.mark.parametrize("seed", range(12))
def test_p_estimates_that_of_all_permutations_within_bins(seed: int) -> None:
    rng = np.random.default_rng([1, seed])
    bins_a, bins_b = np.append(rng.integers(0, 2, 3), [0, 1]), np.append(rng.integers(0, 2, 2), [0, 1])
    a, b = rng.integers(0, 4, bins_a.size) * 5.0 + bins_a, rng.integers(0, 5, bins_b.size) * 5.0 + bins_b
    test = permutation_test(a, b, bins_a, bins_b, trials=3_000, rng=rng)
    assert test.statistic == pytest.approx(distance(a, b, bins_a, bins_b), abs=1e-12)
    assert_estimates(test, enumerated_p(a, b, bins_a, bins_b))


@pytest.mark.parametrize("seed", range(8))
def test_with_one_bin_it_is_the_ordinary_test_that_ks_counts_exactly(seed: int) -> None:
    rng = np.random.default_rng([2, seed])
    a, b = (20 * rng.random(70)).round(seed % 2), (20 * rng.random(55) + seed / 4).round(seed % 2)
    test = permutation_test(a, b, np.full(70, 3), np.full(55, 3), trials=3_000, rng=rng)
    exact = ks(a, b)
    assert test.statistic == pytest.approx(exact.statistic, abs=1e-12)
    assert_estimates(test, exact.p_value)


def test_with_one_bin_it_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 8, 30) * 1.0, rng.integers(1, 9, 25) * 1.0

    def largest_distance(x: Floats, y: Floats) -> float:
        return float(stats.ks_2samp(x, y, method="asymp").statistic)

    reference = stats.permutation_test((a, b), largest_distance, n_resamples=999, alternative="greater", random_state=4)
    test = permutation_test(a, b, np.zeros(30, int), np.zeros(25, int), trials=4_000, rng=rng)
    error = np.hypot(test.standard_error, np.sqrt(reference.pvalue * (1 - reference.pvalue) / 999))
    assert abs(test.p_value - reference.pvalue) < 4 * error


@given(errors(3), errors(3), st.randoms(use_true_random=False))
def test_d_is_that_of_ks_with_complexity_weights(a: Floats, b: Floats, random: Random) -> None:
    # Complexities 1, 2, 3 occur in both, the rest is random; 9 is outside.
    complexity_a = np.array([1, 2, 3] + [random.choice([1, 2, 3, 9]) for _ in a[3:]])
    complexity_b = np.array([1, 2, 3] + [random.choice([1, 2, 3, 9]) for _ in b[3:]])
    bins = bin_index(complexity_a, 1, 3, 3), bin_index(complexity_b, 1, 3, 3)
    weights = complexity_weights(complexity_a, 1, 3, 3), complexity_weights(complexity_b, 1, 3, 3)
    test = permutation_test(a, b, *bins, trials=5, rng=np.random.default_rng(0))
    assert test.statistic == pytest.approx(ks(a, b, *weights).statistic, abs=1e-12)
    assert (test.left_out_a, test.left_out_b) == ((complexity_a == 9).sum(), (complexity_b == 9).sum())
    swapped = permutation_test(b, a, *bins[::-1], trials=5, rng=np.random.default_rng(0))
    assert swapped.statistic == pytest.approx(test.statistic, abs=1e-12)
    order = np.array(random.sample(range(a.size), a.size))
    other_names = [np.array([4, 0, 7, -1])[index] for index in (bins[0][order], bins[1])]
    again = permutation_test(a[order], b, *other_names, trials=5, rng=np.random.default_rng(0))
    assert again.statistic == pytest.approx(test.statistic, abs=1e-12)


@given(counted(weighted=False), counted(weighted=False), st.integers(1, 2), st.integers(0, 9))
def test_counts_give_what_their_models_give(a: Counted, b: Counted, bins: int, seed: int) -> None:
    # Every error in every bin, so that both have models in all; bin -1 is outside.
    of_a, of_b = (np.arange(-1, bins).repeat(one[0].size) for one in (a, b))
    (e_a, n_a), (e_b, n_b) = ((np.tile(one[0], bins + 1), np.tile(one[2], bins + 1)) for one in (a, b))
    test = permutation_test(
        e_a, e_b, of_a, of_b, trials=20, rng=np.random.default_rng(seed), counts_a=n_a, counts_b=n_b
    )
    models = e_a.repeat(n_a), e_b.repeat(n_b), of_a.repeat(n_a), of_b.repeat(n_b)
    assert test == permutation_test(*models, trials=20, rng=np.random.default_rng(seed))
    assert test.left_out_a == a[2].sum()


@pytest.mark.parametrize("draw", [0, 10**9])
@pytest.mark.parametrize("seed", range(3))
def test_both_ways_to_draw_have_the_law_of_all_permutations(
    monkeypatch: pytest.MonkeyPatch, draw: int, seed: int
) -> None:
    monkeypatch.setattr(permutation, "_DRAW", draw)  # error by error, or model by model
    rng = np.random.default_rng([9, seed])
    bins_a, bins_b = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1])
    a, b = rng.integers(0, 3, 5).astype(float), rng.integers(0, 4, 4).astype(float)
    test = permutation_test(a, b, bins_a, bins_b, trials=4_000, rng=rng)
    assert_estimates(test, enumerated_p(a, b, bins_a, bins_b))


def test_counts_of_many_models_have_the_law_that_ks_has() -> None:
    counts = np.random.default_rng(10).multinomial(3_000_000, np.full(12, 1 / 12), 2)
    errors = np.arange(12.0)
    bins = np.zeros(12, int)
    test = permutation_test(
        *(errors, errors, bins, bins),
        trials=3_000,
        rng=np.random.default_rng(11),
        counts_a=counts[0],
        counts_b=counts[1],
    )
    swapped = permutation_test(
        *(errors, errors, bins, bins),
        trials=3_000,
        rng=np.random.default_rng(12),
        counts_a=counts[1],
        counts_b=counts[0],
    )
    assert test.statistic == ks(errors, errors, counts_a=counts[0], counts_b=counts[1]).statistic
    # In the limit the EDFs are Brownian bridges at the ends of the blocks.
    steps = np.random.default_rng(13).normal(size=(20_000, 12)) * np.sqrt(counts.sum(axis=0) / counts.sum())
    walk = np.cumsum(steps, axis=1)
    bridge = walk - np.cumsum(counts.sum(axis=0) / counts.sum()) * walk[:, -1:]
    p = float(np.mean(np.abs(bridge).max(axis=1) / np.sqrt(1_500_000) >= test.statistic))
    for one in (test, swapped):
        assert abs(one.p_value - p) < 5 * np.hypot(one.standard_error, np.sqrt(p * (1 - p) / 20_000))


def exactly(monkeypatch: pytest.MonkeyPatch, *arguments: Any, trials: int) -> Permutation:
    """Permute without the law in the limit."""
    with monkeypatch.context() as patch:
        patch.setattr(permutation, "LARGE", np.inf)
        return permutation_test(*arguments, trials=trials, rng=np.random.default_rng(1))


def assert_agree(one: Permutation, other: Permutation) -> None:
    assert other.exact
    assert one.statistic == other.statistic
    assert 0.02 < other.p_value < 0.98
    assert abs(one.p_value - other.p_value) < 4 * np.hypot(one.standard_error, other.standard_error)


@pytest.mark.parametrize("seed", range(4))
def test_large_bins_have_the_law_in_the_limit_and_small_ones_their_own(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = np.random.default_rng([15, seed])
    a, b = ([4_000, 30_000, 20_000, 300][: seed + 1], [45_000, 2_500, 9_000, 60][: seed + 1])
    a[0] += 100_000 * (seed == 0)
    bins = [np.repeat(np.arange(seed + 1), sizes) for sizes in (a, b)]
    errors = [np.round(20 + 5 * one + rng.normal(0, 3 + one), 1).clip(0, 100) for one in bins]
    test = permutation_test(*errors, *bins, trials=3_000, rng=rng)
    assert test.exact == (sum(a) + sum(b) <= permutation.LARGE)
    assert_agree(test, exactly(monkeypatch, *errors, *bins, trials=1_000))


def test_many_different_errors_are_compared_at_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(17)
    bins = [rng.integers(0, 3, n) for n in (50_000, 60_000)]
    errors = [30 + one + rng.normal(0, 3, one.size) for one in bins]
    test = permutation_test(*errors, *bins, trials=1_000, rng=rng)
    assert_agree(test, exactly(monkeypatch, *errors, *bins, trials=300))


@pytest.mark.parametrize(("repeats"), [300, pytest.param(4_000, marks=pytest.mark.slow)])
def test_level_holds_for_counts(repeats: int) -> None:
    rng = np.random.default_rng(14)
    chances = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    errors, bins = np.tile([1.0, 2.0, 3.0], 2), np.repeat([0, 1], 3)
    rejected = 0
    for _ in range(repeats):  # far more models than errors, so that these are drawn error by error
        a, b = (
            np.concatenate([rng.multinomial(n - 3, p) + 1 for n, p in zip(sizes, chances, strict=True)])
            for sizes in ((500, 900), (800, 300))
        )
        rejected += (
            permutation_test(errors, errors, bins, bins, trials=99, rng=rng, counts_a=a, counts_b=b).p_value <= 0.05
        )
    print(f"size {rejected / repeats:.4f}")
    assert rejected <= stats.binom.ppf(0.9995, repeats, 0.05)
    assert rejected >= stats.binom.ppf(0.0005, repeats, 0.035)  # ties count as exceeding, which rejects less often


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 40))
def test_populations_that_tie_throughout_do_not_differ(n_a: int, n_b: int, trials: int) -> None:
    test = permutation_test(
        np.full(n_a, 5),
        np.full(n_b, 5),
        np.zeros(n_a, int),
        np.zeros(n_b, int),
        trials=trials,
        rng=np.random.default_rng(0),
    )
    assert (test.statistic, test.p_value, test.exceeding, test.standard_error) == (0, 1, trials, 0)


def test_one_model_of_each_in_every_bin_is_enough() -> None:
    # Pairs: A is better in all ten, which two of the 2^10 permutations equal or mirror.
    bins = np.arange(10)
    test = permutation_test(np.full(10, 1), np.full(10, 2), bins, bins, trials=20_000, rng=np.random.default_rng(0))
    assert test.statistic == pytest.approx(1)
    assert_estimates(test, 2 / 2**10)


def test_chunks_change_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 9, 20) * 1.0, rng.integers(2, 9, 20) * 1.0
    monkeypatch.setattr(permutation, "AT_ONCE", 70)  # some seven permutations at a time, and the last chunk is smaller
    test = permutation_test(a, b, np.zeros(20, int), np.zeros(20, int), trials=2_000, rng=rng)
    assert_estimates(test, ks(a, b).p_value)


def test_the_same_seed_gives_the_same_result_as_plain_data() -> None:
    def result() -> Permutation:
        return permutation_test([1, 2, 3], [2, 3], [0, 0, -1], [0, 0], trials=50, rng=np.random.default_rng(7))

    assert result() == result()
    plain = json.loads(json.dumps(result().to_dict()))
    assert Permutation(**plain) == result()
    assert (plain["left_out_a"], plain["left_out_b"], plain["bins"]) == (1, 0, 1)


def rejections(
    repeats: int, slope: float, gain: float = 0.0, sizes: tuple[int, int] = (300, 250), digits: int = 1
) -> tuple[int, int]:
    """Compare populations of other complexity; A is better by `gain` percent given complexity.

    Returns how many permutation tests and how many tests by the n_eff law reject at 5 %.
    """
    rng = np.random.default_rng(8)

    def population(n: int, power: float, better: float) -> tuple[Floats, Bins, Floats]:
        complexity = np.ceil(rng.random(n) ** power * 5).clip(1, 5)
        error = 20 - slope * complexity - better + 3 * rng.lognormal(0, 0.6, n)
        weights = complexity_weights(complexity, 0.5, 5.5, 5)
        return error.clip(0, 100).round(digits), bin_index(complexity, 0.5, 5.5, 5), weights

    exact = law = 0
    for _ in range(repeats):
        (a, bins_a, w_a), (b, bins_b, w_b) = population(sizes[0], 1.0, gain), population(sizes[1], 3.0, 0.0)
        exact += permutation_test(a, b, bins_a, bins_b, trials=99, rng=rng).p_value <= 0.05
        law += ks(a, b, w_a, w_b).p_value <= 0.05
    return exact, law


def assert_binomial(count: int, repeats: int, level: float) -> None:
    low, high = stats.binom.interval(0.999, repeats, level)
    assert low <= count <= high, f"{count} of {repeats}, expected {low} to {high}"


def test_level_holds_where_error_depends_on_complexity() -> None:
    assert_binomial(rejections(200, slope=2.0)[0], 200, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("slope", [0.0, 0.4, 2.0])
def test_level_holds_precisely_where_error_depends_on_complexity(slope: float) -> None:
    repeats = 4_000
    exact, law = rejections(repeats, slope)
    print(f"slope {slope}: size {exact / repeats:.4f}, by the n_eff law {law / repeats:.4f}")
    assert_binomial(exact, repeats, 0.05)
    assert law < exact


@pytest.mark.slow
@pytest.mark.parametrize(("slope", "digits"), [(0.0, 1), (2.0, 2), (2.0, 9)])
def test_level_holds_in_the_limit(slope: float, digits: int) -> None:
    repeats = 1_000
    limit, law = rejections(repeats, slope, sizes=(60_000, 50_000), digits=digits)
    print(f"slope {slope}, {digits} digits: size {limit / repeats:.4f}, by the n_eff law {law / repeats:.4f}")
    assert_binomial(limit, repeats, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("slope", "gain"), [(0.0, 0.5), (0.4, 0.5), (2.0, 0.5), (2.0, 1.0)])
def test_power_exceeds_that_of_the_n_eff_law(slope: float, gain: float) -> None:
    repeats = 1_000
    exact, law = rejections(repeats, slope, gain)
    print(f"slope {slope}, gain {gain}: power {exact / repeats:.3f}, by the n_eff law {law / repeats:.3f}")
    assert exact > law


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: t([1], [1], [0], [1]),
            "bins: 2 of 2 bins hold models of one population only, the first of them bin 0",
        ),
        (lambda t: t([1, 2], [1], [0], [0]), r"bins of A: shape \(1,\) was given for 2 errors"),
        (lambda t: t([1], [1], [0], [0.5]), "bins of B: float64 from 0.5 was given"),
        (lambda t: t([1], [1], [-2], [0]), "bins of A: int64 from -2 was given"),
        (lambda t: t([1], [1, 2], [0], [-1, -1]), "bins of B: all 2 models are outside the range"),
        (lambda t: t([np.nan], [1], [0], [0]), "errors: 1 of 1 values are unknown"),
        (lambda t: t([], [1], [], [0]), "errors: no values were given"),
        (lambda t: t([1], [1], [0], [0], trials=0), "trials: 0 was given, but at least 1"),
        (lambda t: t([1], [1], [0], [0], counts_a=[0]), r"counts: int64 of shape \(1,\) was given for 1 errors"),
        (lambda t: t([1], [1], [0], [0], counts_b=[1, 2]), r"counts: int64 of shape \(2,\) was given for 1 errors"),
        (lambda t: t([1], [1], [0], [0], counts_b=[1.5]), r"counts: float64 of shape \(1,\) was given for 1 errors"),
        (lambda t: t([1], [1], [0], [0], counts_a=[10**9]), "bins: one holds 1,000,000,001 models, but fewer than"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[..., object], message: str) -> None:
    def permuted(*arguments: object, trials: int = 9, **counts: object) -> Permutation:
        return permutation_test(*arguments, trials=trials, rng=np.random.default_rng(0), **counts)  # type: ignore[arg-type]

    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call(permuted)
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
