import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

from edfkit.stats.special import (
    betainc,
    chi_square_quantile,
    chi_square_tail,
    distance_tail,
    kolmogorov,
    kolmogorov_inverse,
    log_factorials,
    normal_quantile,
    smirnov_inverse,
    smirnov_tail,
    student_quantile,
    student_tail,
)


def test_kolmogorovs_law_is_scipys() -> None:
    x = np.concatenate([[0, 1e-300, 1e-9], np.linspace(0.01, 18, 3_000), np.linspace(1.179, 1.181, 50)])
    ours = [kolmogorov(at) for at in x.tolist()]
    assert_allclose(ours, special.kolmogorov(x), rtol=1e-13, atol=0)
    assert_allclose(ours, special.kolmogorov(x), rtol=0, atol=1e-14)
    assert kolmogorov(30) == special.kolmogorov(30) == 0


def test_the_inverse_of_kolmogorovs_law_is_scipys() -> None:
    p = np.concatenate([np.linspace(1e-4, 0.5, 2_000), 10.0 ** -np.arange(4, 300)])
    assert_allclose([kolmogorov_inverse(at) for at in p.tolist()], special.kolmogi(p), rtol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 12, 31, 99, 100, 101, 250, 499, 500])
def test_the_inverse_of_smirnovs_law_is_scipys(n: int) -> None:
    p = np.concatenate([np.linspace(0.01, 0.5, 15), 10.0 ** -np.arange(3, 40, 6)])
    assert_allclose([smirnov_inverse(n, at) for at in p.tolist()], special.smirnovi(n, p), rtol=1e-12)


def test_the_inverse_of_smirnovs_law_of_one_and_two_draws_by_hand() -> None:
    # One draw u is at least d below its step at height 1 where u <= 1 - d.
    assert smirnov_inverse(1, 0.3) == pytest.approx(0.7, rel=1e-15)
    # Of two draws, from d = 1/2 on, both have to be up to 1 - d.
    assert smirnov_inverse(2, 0.09) == pytest.approx(0.7, rel=1e-15)


@pytest.mark.parametrize("n", [1, 2, 7, 99, 500, 10_000])
def test_smirnovs_law_is_scipys(n: int) -> None:
    d = np.linspace(0.02, 0.98, 25) if n < 100 else np.linspace(0.1, 6, 25) / math.sqrt(n)
    assert_allclose([smirnov_tail(n, at) for at in d.tolist()], special.smirnov(n, d), rtol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 40, 139, 140])
def test_the_law_of_the_distance_is_scipys(n: int) -> None:
    d = np.concatenate([np.linspace(0.3 / n, 0.999, 60), np.sqrt(np.linspace(0.3, 6, 30) / n), [1, 2]])
    ours, theirs = [distance_tail(n, at) for at in d.tolist()], stats.kstwo.sf(d, n)
    assert_allclose(ours, theirs, atol=1e-12)
    assert_allclose(ours, theirs, rtol=2e-10)


@pytest.mark.parametrize("n", [141, 1_000, 3_000, 100_000, 3_000_000])
def test_the_law_of_the_distance_of_many_draws_is_scipys_as_far_as_that_is_exact(n: int) -> None:
    # scipy takes the expansion of Pelz and Good from 141 draws on, and twice Smirnov's law from n d^2 = 2.2 on.
    d = np.sqrt(np.array([0.2, 0.5, 1, 1.84, 2.19]) / n)
    assert_allclose([distance_tail(n, at) for at in d.tolist()], stats.kstwo.sf(d, n), rtol=3e-5 * 141 / n + 1e-9)
    d = np.sqrt(np.array([4, 5, 8, 12]) / n)
    assert_allclose([distance_tail(n, at) for at in d.tolist()], stats.kstwo.sf(d, n), rtol=1e-8)


@pytest.mark.parametrize("n", [3_000, 20_000])
def test_the_ways_to_the_law_of_the_distance_agree(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.sqrt(np.array([0.3, 1, 1.84, 3]) / n).tolist()
    ways = []
    for largest in (0, math.inf):
        monkeypatch.setattr("edfkit.stats.special._EXACT_DURBIN", largest)
        ways.append([distance_tail(n, at) for at in d])
    assert_allclose(ways[0], ways[1], rtol=1e-7 * 3_000 / n)


def test_the_law_of_the_distance_by_hand() -> None:
    # One draw at x: sup |F - F_1| = max(x, 1 - x). Of two, all is within 1/4 only at x = 1/4, 3/4.
    assert distance_tail(1, 0.6) == pytest.approx(0.8, rel=1e-14)
    assert [distance_tail(2, 0.25), distance_tail(2, 1.0)] == [pytest.approx(1), 0]
    # Of two, to be within 0.4, the smaller has to be between 0.1 and 0.4 and the larger between 0.6 and 0.9.
    assert distance_tail(2, 0.4) == pytest.approx(1 - 2 * 0.3**2, rel=1e-14)


@pytest.mark.parametrize("size", [1e-3, 1, 30, 1_000, 25_000, 1e6])
def test_the_incomplete_beta_function_is_scipys(size: float) -> None:
    random = np.random.default_rng(int(size))
    shares = np.concatenate([random.random(150), 10 ** random.uniform(-9, 0, 50), [1 / (1 + size)]])
    for share, whole in zip(shares.tolist(), [True, False] * shares.size, strict=False):
        a = max(1.0, round(share * size)) if whole else share * size
        b = size + 1 - a
        spread = math.sqrt(a * b / (a + b) ** 2 / (a + b + 1))
        for x in (0.0, 1e-12, random.random(), *np.clip(a / (a + b) + spread * random.normal(0, 2, 4), 0, 1), 1.0):
            if b > 0:
                assert betainc(a, b, float(x)) == pytest.approx(special.betainc(a, b, x), abs=1e-14 * (1 + a + b))


def test_the_incomplete_beta_function_of_few_trials_is_the_binomial_sum() -> None:
    for trials in range(1, 12):
        for successes in range(1, trials + 1):
            chance = sum(math.comb(trials, k) * 0.3**k * 0.7 ** (trials - k) for k in range(successes, trials + 1))
            assert betainc(successes, trials + 1 - successes, 0.3) == pytest.approx(chance, rel=1e-13)


def test_the_incomplete_beta_function_at_its_ends() -> None:
    assert [betainc(3, 5, 0), betainc(3, 5, 1), betainc(0, 5, 0.5)] == [0, 1, 1]
    assert betainc(1e-310, 2, 0.5) == pytest.approx(1, abs=1e-14)
    assert betainc(1, 1, 0.25) == pytest.approx(0.25, rel=1e-15)


@pytest.mark.parametrize("n", [0, 1, 2, 98, 99, 100, 101, 50_000])
def test_log_factorials_are_scipys(n: int) -> None:
    ours = log_factorials(n)
    assert ours.shape == (n + 1,)
    assert_allclose(ours, special.gammaln(np.arange(n + 1) + 1.0), rtol=1e-15)


def test_normal_quantiles_are_scipys() -> None:
    p = np.concatenate([np.linspace(1e-3, 1, 500), 10.0 ** -np.arange(3, 300, 7)])
    assert_allclose([normal_quantile(at) for at in p.tolist()], -special.ndtri(p / 2), rtol=1e-14, atol=2e-15)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 30, 99, 500, 999])
def test_the_chi_square_law_is_scipys(df: int) -> None:
    x = df * np.concatenate([[0, 1e-9], np.linspace(0.01, 5, 60), [50]])
    ours = chi_square_tail(x, df)
    assert_allclose(ours, special.chdtrc(df, x), rtol=1e-10, atol=1e-300)
    p = np.array([1e-9, 1e-4, 0.025, 0.05, 0.5, 0.95, 0.975, 0.9999])
    assert_allclose([chi_square_quantile(at, df) for at in p.tolist()], special.chdtri(df, p), rtol=1e-10)


@pytest.mark.parametrize("df", [1, 2, 2.5, 9, 99, 24_999])
def test_students_law_is_scipys(df: float) -> None:
    p = np.array([1e-12, 1e-3, 0.05, 0.3, 0.9])
    t = np.array([student_quantile(at, df) for at in p.tolist()])
    assert_allclose(t, -special.stdtrit(df, p / 2), rtol=1e-10)
    assert_allclose([student_tail(at, df) for at in t.tolist()], p, rtol=1e-10)
