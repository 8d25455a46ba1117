"""Who is better within strata, by how much, and how equal complexity is: against sums over every pair."""

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from edfkit import EdfkitError
from edfkit.stats.adjusted import (
    Balance,
    balance,
    better,
    better_by_permutation,
    mean_difference,
    permutation_variance,
)
from edfkit.stats.strata import Strata, cut, in_strata
from edfkit.stats.two_sample import prob_better

Numbers = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)


def drawn(
    seed: int, *, repeated: bool = False, ties: bool = True
) -> tuple[Numbers, Numbers, NDArray[np.bool_], Numbers]:
    """Draw errors and complexities of A and B, and units if rows are to repeat some."""
    rng = np.random.default_rng(seed)
    n = rng.integers(12, 40, 2)
    first = np.arange(n.sum()) < n[0]
    unit = np.concatenate([rng.integers(0, n[0] // 2, n[0]), 1000 + rng.integers(0, n[1] // 2, n[1])])
    if not repeated:
        unit = np.arange(n.sum())
    of_unit = dict(zip(np.unique(unit).tolist(), rng.integers(1, 30, np.unique(unit).size).tolist(), strict=True))
    size = np.array([of_unit[one] for one in unit.tolist()], float)
    return rng.integers(0, 12, n.sum()) + size / 10 * rng.integers(0, 3), size, first, unit


def strata_of(errors: Numbers, size: Numbers, first: NDArray[np.bool_], unit: Numbers | None = None) -> Strata:
    units: dict[str, Any] = {} if unit is None else {"units_a": unit[first], "units_b": unit[~first]}
    found = in_strata(errors[first], errors[~first], size[first], size[~first], **units)
    assert found is not None
    return found


def by_pairs(
    errors: Numbers, size: Numbers, first: NDArray[np.bool_], unit: Numbers
) -> tuple[float, float, list[tuple[float, float]], float]:
    """Compute P, the mean difference, the variance and the degrees of freedom of both, and H, pair by pair of units."""
    _, of, rows = np.unique(unit, return_inverse=True, return_counts=True)
    stratum = cut(size, 1 / rows[of])
    parts: list[tuple[Any, ...]] = []
    for s in np.unique(stratum):
        a, b = ([errors[unit == u] for u in np.unique(unit[(stratum == s) & one])] for one in (first, ~first))
        if a and b:
            phi = np.array([[np.mean((x[:, None] < y) + (x[:, None] == y) / 2) for y in b] for x in a])
            gaps = np.array([[x.mean() - y.mean() for y in b] for x in a])
            parts.append((phi, gaps, len(a), len(b), len(a) + len(b)))
    h = sum(a * b / n for *_, a, b, n in parts)
    p, delta = (sum(float(part[i].sum()) / part[4] for part in parts) / h for i in (0, 1))
    laws = []
    for i, centre in ((0, p), (1, delta)):
        d = [(part[i] - centre, part[4]) for part in parts]
        s_a = sum(float(np.square(one.sum(axis=1)).sum()) / n**2 for one, n in d) / h**2
        s_b = sum(float(np.square(one.sum(axis=0)).sum()) / n**2 for one, n in d) / h**2
        both = sum(float(np.square(one).sum()) / n**2 for one, n in d) / h**2
        k_a, k_b = (h**2 / sum((a * b / n) ** 2 / (a, b)[side] for *_, a, b, n in parts) for side in (0, 1))
        df = (s_a + s_b) ** 2 / (s_a**2 / (k_a - 1) + s_b**2 / (k_b - 1))
        laws.append((h / (h - 1) * (s_a + s_b - both), df))
    return p, delta, laws, h


@pytest.mark.parametrize("repeated", [False, True])
@given(seed=SEEDS)
def test_estimates_and_variances_are_those_of_all_pairs(seed: int, repeated: bool) -> None:
    errors, size, first, unit = drawn(seed, repeated=repeated)
    strata = strata_of(errors, size, first, unit if repeated else None)
    if strata.overlap < 2:
        return
    p, delta, ((v, df), (v_mean, df_mean)), h = by_pairs(errors, size, first, unit)
    found, plain = better(strata), mean_difference(strata, slope=False)
    assert (found.prob, strata.overlap, plain.estimate) == pytest.approx((p, h, delta), abs=1e-9)
    assert (plain.standard_error**2, plain.df) == pytest.approx((v_mean, df_mean), rel=1e-6)
    if v <= 0:  # of a few models only; then it is the variance by permutation
        assert found.standard_error**2 == pytest.approx(permutation_variance(strata))
    elif 0.1 <= p <= 0.9:
        assert (found.standard_error**2, found.df) == pytest.approx((v / (4 * p * (1 - p)), df), rel=1e-6)


@given(SEEDS)
def test_the_interval_of_p_excludes_a_half_exactly_where_the_test_rejects(seed: int) -> None:
    errors, size, first, _ = drawn(seed)
    strata = strata_of(errors, size, first)
    if strata.overlap < 2:
        return
    for confidence in (0.5, 0.8, 0.95, 0.999):
        found = better(strata, confidence)
        assert (found.low <= 0.5 <= found.high) == (found.p_value > 1 - confidence)
        assert 0 <= found.low <= found.prob <= found.high <= 1


@given(SEEDS)
def test_swapping_mirrors_and_monotone_transforms_change_nothing(seed: int) -> None:
    errors, size, first, _ = drawn(seed)
    strata = strata_of(errors, size, first)
    if strata.overlap < 2:
        return
    one, mean = better(strata), mean_difference(strata)
    other, its = better(strata_of(errors, size, ~first)), mean_difference(strata_of(errors, size, ~first))
    assert (one.prob, one.low, one.p_value, one.df) == pytest.approx(
        (1 - other.prob, 1 - other.high, other.p_value, other.df)
    )
    assert (mean.estimate, mean.low, mean.df) == pytest.approx((-its.estimate, -its.high, its.df))
    assert better(strata_of(np.sqrt(errors), size, first)) == one
    assert better(strata_of(errors, np.exp(size / 5), first)) == one
    power, at = strata_of(errors, size**1.7, first), balance(strata, one.standard_error)
    there = balance(power, one.standard_error)
    assert at is not None
    assert there is not None
    assert (at.smd, at.bias_in_se) == pytest.approx((there.smd, there.bias_in_se), abs=1e-9)
    again = mean_difference(power)
    assert (again.estimate, again.low) == pytest.approx((mean.estimate, mean.low))


def test_one_stratum_without_ties_is_the_test_of_brunner_and_munzel_up_to_its_variance() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(20, 1, 200), rng.normal(20.3, 2, 300)
    strata = in_strata(a, b)
    assert strata is not None
    found = better(strata)
    peer = stats.brunnermunzel(a, b)
    assert found.prob == pytest.approx(stats.mannwhitneyu(b, a).statistic / 60_000)
    assert found.p_value == pytest.approx(peer.pvalue, rel=0.15)
    assert permutation_variance(strata) == pytest.approx(501 / (12 * 200 * 300))
    mean = mean_difference(strata)
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (mean.low, mean.high) == pytest.approx((welch.low, welch.high), abs=0.01)


def test_the_variance_under_permutations_is_that_of_all_of_them() -> None:
    # Strata {1, 1, 4 | 2, 5} and {3 | 3}: ten ways to label the first, the second is tied.
    strata = in_strata([1, 1, 4, 3], [2, 5, 3], [1, 1, 1, 9], [1, 1, 9], strata=2)
    assert strata is not None
    pooled, found = np.array([1, 1, 4, 2, 5.0]), []
    h = np.array([6 / 5, 1 / 2])
    for chosen in combinations(range(5), 3):
        of = np.isin(np.arange(5), chosen)
        found.append((h[0] * prob_better(pooled[of], pooled[~of]) + h[1] / 2) / h.sum())
    assert permutation_variance(strata) == pytest.approx(np.var(found))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0] * 6, [2.0] * 6, (1.0, True)),
        ([3.0] * 6, [2.0] * 6, (0.0, True)),
        ([2.0] * 6, [2.0] * 6, (0.5, False)),
    ],
    ids=["all better", "all worse", "all tied"],
)
def test_the_ends_of_the_scale_have_a_test_too(a: list[float], b: list[float], expected: tuple[float, bool]) -> None:
    strata = in_strata(a, b)
    assert strata is not None
    found = better(strata)
    prob, rejects = expected
    assert found.prob == prob
    assert (found.p_value < 0.05) == rejects
    if not rejects:
        assert (found.p_value, found.low, found.high) == (1.0, 0.0, 1.0)


def test_pairs_are_compared_by_their_differences() -> None:
    rng = np.random.default_rng(5)
    a = rng.normal(30, 10, 40)
    b = a + rng.normal(0.5, 1, 40)
    strata = in_strata(a, b, units_a=np.arange(40), units_b=np.arange(40), paired=True)
    assert strata is not None
    found, mean = better(strata), mean_difference(strata)
    assert found.prob == pytest.approx(np.mean((a < b) + (a == b) / 2))
    peer = stats.ttest_rel(a, b).confidence_interval()
    assert (mean.estimate, mean.df) == pytest.approx((np.mean(a - b), 39))
    assert (mean.low, mean.high) == pytest.approx((peer.low, peer.high), rel=0.05)


def test_what_is_left_of_complexity_is_taken_off_the_mean() -> None:
    size = np.exp(np.linspace(0, 3, 60))
    first = np.random.default_rng(0).random(60) < np.linspace(0.2, 0.8, 60)
    errors = 40 - 5 * np.log(size) + np.where(first, 0.0, 1.0)
    strata = strata_of(errors, size, first)
    assert mean_difference(strata).estimate == pytest.approx(-1, abs=1e-9)
    assert abs(mean_difference(strata, slope=False).estimate + 1) > 0.01


def test_balance_is_computed_by_hand() -> None:
    # One stratum: logs of A 0, 1, of B 1, 2; within A and within B the rank rises by 1 of 4 for each unit of the log.
    strata = in_strata([1, 2], [3, 4], np.exp([0, 1]), np.exp([1, 2]), strata=1)
    assert strata is not None
    found = balance(strata, 0.5)
    assert found is not None
    assert (found.before, found.after) == pytest.approx((math.exp(-1), math.exp(-1)))
    assert found.smd == pytest.approx(-1 / 0.5)
    assert found.bias_in_se == pytest.approx(0.25 / 0.5)
    assert not found.equal
    assert Balance(1, 1, 0.01, 0.74, 100, True).equal
    assert not Balance(1, 1, 0.01, -0.76, 100, True).equal
    assert not Balance(1, 1, 0.06, 0.1, 100, True).equal
    nothing = in_strata([1, 2], [3, 4])
    assert nothing is not None
    assert balance(nothing, 0.5) is None


def test_equivalence_is_two_one_sided_tests() -> None:
    rng = np.random.default_rng(8)
    strata = in_strata(rng.normal(20, 1, 100), rng.normal(20.1, 1, 100))
    assert strata is not None
    found = mean_difference(strata, 0.9)
    reach = max(abs(found.low), abs(found.high))  # the 90 % interval lies within exactly where p is at most 5 %
    assert found.equivalent(reach) == pytest.approx(0.05)
    assert found.equivalent(reach + 0.1) < 0.05 < found.equivalent(reach - 0.1)
    assert replace(found, standard_error=0.0).equivalent(abs(found.estimate) + 0.1) == 0
    for delta in (0.01, 0.3):
        low, high = (found.estimate + one * delta for one in (1, -1))
        sides = stats.t.sf([low / found.standard_error, -high / found.standard_error], found.df)
        assert found.equivalent(delta) == pytest.approx(max(sides))


def test_bins_are_tested_by_permutation_with_the_weights_of_the_paper() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 30, 80).astype(float), rng.integers(2, 32, 60).astype(float)
    bins = rng.integers(0, 3, 80), rng.integers(0, 3, 60)
    strata = in_strata(a, b, bins_a=bins[0], bins_b=bins[1])
    assert strata is not None
    each = [1 / (3 * np.bincount(one)[one]) for one in bins]
    prob = prob_better(a, b, *each)
    found = better_by_permutation(strata, prob)
    # The standard deviation of P over random permutations within the bins.
    pooled, at = np.concatenate([a, b]), np.concatenate(bins)
    labels, seen = np.arange(140) < 80, []
    weights = np.concatenate([1 / (3 * np.bincount(one)) for one in bins])
    for _ in range(2000):
        mixed = labels.copy()
        for one in range(3):
            mixed[at == one] = rng.permutation(labels[at == one])
        seen.append(prob_better(pooled[mixed], pooled[~mixed], weights[:3][at[mixed]], weights[3:][at[~mixed]]))
    assert np.mean(seen) == pytest.approx(0.5, abs=0.003)
    assert found.standard_error == pytest.approx(np.std(seen), rel=0.06)
    assert found.p_value == pytest.approx(stats.t.sf(abs(prob - 0.5) / found.standard_error, found.df) * 2)


def test_nothing_is_said_of_too_few_models() -> None:
    strata = in_strata([1.0], [2.0])
    assert strata is not None
    for function in (better, mean_difference):
        with pytest.raises(EdfkitError, match=r"strata: H = 0\.5 was given, but at least 2"):
            function(strata)
    enough = in_strata([1.0] * 9, [2.0] * 9)
    assert enough is not None
    with pytest.raises(EdfkitError, match="confidence: 1 was given"):
        better(enough, 1.0)
