import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from edfkit.stats.special import betainc, kolmogorov, kolmogorov_inverse, log_factorials, smirnov_inverse


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
