"""The special functions that the laws of `edfkit compare` need: to load scipy.special, which has them, takes as long.

Kolmogorov's law is that of sqrt(n) sup `|EDF - F|` in the limit, Smirnov's that of sup (EDF - F), for n draws of a
continuous F.
"""

import math

import numpy as np

from edfkit.stats.edf import Floats


def kolmogorov(x: float) -> float:
    """Compute P(K > x) of Kolmogorov's law, to 1e-14, and where it is small to a relative 1e-13.

    Of the law's two series, one for small x and one for large, the better one needs at most seven terms.

    Parameters
    ----------
    x : float
        At least 0.

    Returns
    -------
    float
    """
    if x < 0.03:  # P(K <= x) is below 1e-500
        return 1.0
    if x < 1.18:
        return 1 - math.sqrt(2 * math.pi) / x * math.fsum(
            math.exp(-(((2 * i - 1) * math.pi / x) ** 2) / 8) for i in range(1, 6)
        )
    return 2 * math.fsum((-1) ** (i - 1) * math.exp(-2 * (i * x) ** 2) for i in range(1, 8))


def kolmogorov_inverse(p: float) -> float:
    """Find the x with P(K > x) = p of Kolmogorov's law, to a relative 1e-14.

    With y = exp(-2 x^2), p / 2 = y - y^4 + y^9 - ...; solved for the first y, each step makes the error 15 times less.

    Parameters
    ----------
    p : float
        Above 0, up to 0.5.

    Returns
    -------
    float
    """
    y = p / 2
    for _ in range(16):
        y = p / 2 + y**4 - y**9 + y**16 - y**25
    return math.sqrt(-math.log(y) / 2)


def smirnov_inverse(n: int, p: float) -> float:
    """Find the d with P(sup (EDF - F) >= d) = p of Smirnov's law, to a relative 1e-12 for n up to 500.

    By bisection of the sum over i of C(n, i) d (d + i / n)^(i - 1) (1 - d - i / n)^(n - i), where 1 - d - i / n > 0.

    Parameters
    ----------
    n : int
        At least 1.
    p : float
        Above 0, up to 0.5.

    Returns
    -------
    float
        Above 0, below 1.
    """
    log_factorial = log_factorials(n)
    draw = np.arange(n)
    log_choices = log_factorial[n] - log_factorial[:n] - log_factorial[n:0:-1]
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        rest = 1 - middle - draw / n
        i = draw[rest > 0]
        log_terms = log_choices[i] + (i - 1) * np.log(middle + i / n) + (n - i) * np.log(rest[i])
        low, high = (middle, high) if middle * np.exp(log_terms).sum() > p else (low, middle)
    return high


def betainc(a: float, b: float, x: float) -> float:
    """Compute the regularised incomplete beta function I_x(a, b), to 1e-14 (1 + a + b) or better.

    For whole a and b it is the probability of at least a successes in a + b - 1 trials that each succeed with
    probability x. A continued fraction (DLMF 8.17.22) of some sqrt(a + b) terms.

    Parameters
    ----------
    a, b : float
        Above 0; with a = 0 it is the limit, 1.
    x : float
        0 to 1.

    Returns
    -------
    float
    """
    if a == 0:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction for the other side converges faster
        return 1 - _beta_fraction(b, a, 1 - x)
    return _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Compute I_x(a, b) for x up to (a + 1) / (a + b + 2), about the mean, by Lentz's method."""
    if x == 0:
        return 0.0
    log_beta = math.lgamma(a + 1) + math.lgamma(b) - math.lgamma(a + b)  # of a B(a, b)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d * math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta)
    m, factor = 1, 0.0
    while abs(factor - 1) > 2e-15:
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        c, d = 1 + even / c, 1 / (1 + even * d)
        factor = c * d
        c, d = 1 + odd / c, 1 / (1 + odd * d)
        factor *= c * d
        value *= factor
        m += 1
    return value


def log_factorials(n: int) -> Floats:
    """Compute log 0!, log 1!, ..., log n!, each to a relative 1e-15, by Stirling's series from 100 on.

    Parameters
    ----------
    n : int
        At least 0.

    Returns
    -------
    ndarray, shape (n + 1,)
    """
    k = np.arange(100, max(n, 100) + 1.0)
    series = (k + 0.5) * np.log(k) - k + math.log(2 * math.pi) / 2 + 1 / (12 * k) - 1 / (360 * k**3)
    return np.append([math.lgamma(i + 1) for i in range(100)], series)[: n + 1]
