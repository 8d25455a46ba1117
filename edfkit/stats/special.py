"""The special functions that the laws of edfkit need: to load scipy, which has them, takes as long as most commands do.

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


def smirnov_tail(n: int, d: float) -> float:
    """Compute P(sup (EDF - F) >= d) of Smirnov's law, to a relative 1e-12 for n up to 500 and 1e-8 for any.

    The sum over i of C(n, i) d (d + i / n)^(i - 1) (1 - d - i / n)^(n - i), where 1 - d - i / n > 0.

    Parameters
    ----------
    n : int
        At least 1.
    d : float
        Above 0, below 1.

    Returns
    -------
    float
    """
    return _smirnov_tail(_log_choices(n), d)


def _smirnov_tail(log_choices: Floats, d: float) -> float:
    n = log_choices.size
    rest = 1 - d - np.arange(n) / n
    i = np.flatnonzero(rest > 0)
    log_terms = log_choices[i] + (i - 1) * np.log(d + i / n) + (n - i) * np.log(rest[i])
    return d * float(np.exp(log_terms).sum())


def _log_choices(n: int) -> Floats:
    """Compute log C(n, i) for i below n."""
    log_factorial = log_factorials(n)
    return np.asarray(log_factorial[n] - log_factorial[:n] - log_factorial[n:0:-1])


def smirnov_inverse(n: int, p: float) -> float:
    """Find the d with P(sup (EDF - F) >= d) = p of Smirnov's law, to a relative 1e-12 for n up to 500, by bisection.

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
    log_choices = _log_choices(n)
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _smirnov_tail(log_choices, middle) > p else (low, middle)
    return high


def distance_tail(n: int, d: float) -> float:
    """Compute P(sup `|EDF - F|` >= d) for n draws, to a relative 1e-7, and to 1e-10 for n up to 140.

    In the tail it is twice Smirnov's, as both sides are hardly ever d apart; else Durbin's exact law by the power of a
    matrix (Marsaglia, Tsang and Wang 2003), and where that is large the expansion of Pelz and Good (1976).

    Parameters
    ----------
    n : int
        At least 1.
    d : float
        Above 0.

    Returns
    -------
    float
    """
    if d >= 1:
        return 0.0
    if d >= 0.5 or n * d**2 >= 4:
        if n <= _EXACT_SMIRNOV:
            return 2 * smirnov_tail(n, d)
        return 2 * math.exp(-((6 * n * d + 1) ** 2) / (18 * n))
    return 1 - (_durbin(n, d) if n * d <= _EXACT_DURBIN else _pelz_good(n, d))


_EXACT_SMIRNOV = 1_000_000
"""Draws from which an expansion is as precise as the sum."""

_EXACT_DURBIN = 80
"""Half the size of the matrix that is worth its power: some milliseconds."""


def _durbin(n: int, d: float) -> float:
    """Compute P(sup `|EDF - F|` < d)."""
    k = math.ceil(n * d)
    size, h = 2 * k - 1, k - n * d
    step = np.subtract.outer(np.arange(size), np.arange(size)) + 1
    matrix = (step >= 0).astype(float)
    edge = h ** np.arange(1, size + 1)
    matrix[:, 0] -= edge
    matrix[-1] -= edge[::-1]
    matrix[-1, 0] += max(0.0, 2 * h - 1) ** size
    # The n-th root of n! / n^n, so that the power needs no other factor.
    root = math.exp(math.lgamma(n + 1) / n) / n if n < 100 else math.exp(_stirling(n) / n - 1)
    matrix *= root * np.exp(-log_factorials(size))[np.maximum(step, 0)]
    row = np.zeros(size)
    row[k - 1] = 1
    while n:
        if n % 2:
            row = row @ matrix
        if n := n // 2:
            matrix = matrix @ matrix
    return float(row[k - 1])


def _stirling(n: float) -> float:
    """Compute log(n! / (n / e)^n)."""
    return math.log(2 * math.pi * n) / 2 + 1 / (12 * n) - 1 / (360 * n**3)


def _pelz_good(n: int, d: float) -> float:
    """Compute P(sup `|EDF - F|` < d) up to terms of order n^-2."""
    u = n * d**2
    if u < 0.01:  # below 1e-50
        return 0.0
    odd, even = (math.pi * (np.arange(12) + 0.5)) ** 2, (math.pi * np.arange(1, 13)) ** 2
    weight, other = 2 * np.exp(-odd / (2 * u)), 2 * np.exp(-even / (2 * u))
    z, scale = math.sqrt(u), math.sqrt(math.pi / 2)
    terms = (
        weight.sum() / z,
        weight @ (odd - u) / (6 * u**2),
        weight @ (6 * u**3 + 2 * u**2 + (2 * u**2 - 5 * u) * odd + (1 - 2 * u) * odd**2) / (72 * u**3 * z)
        - other @ even / (36 * u * z),
        weight @ (
            (5 - 30 * u) * odd**3 + (212 * u**2 - 60 * u) * odd**2 + (135 * u**2 - 96 * u**3) * odd
            - 30 * u**3 - 90 * u**4
        ) / (6480 * u**5)
        + other @ (3 * u * even - even**2) / (216 * u**3),
    )  # fmt: skip
    return scale * math.fsum(float(term) / math.sqrt(n) ** order for order, term in enumerate(terms))


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


def student_tail(t: float, df: float) -> float:
    """Compute `P(|T| >= t)` of Student's law.

    Parameters
    ----------
    t : float
        At least 0.
    df : float
        Degrees of freedom, above 0; need not be whole.

    Returns
    -------
    float
    """
    return betainc(df / 2, 0.5, df / (df + t * t))


def student_quantile(p: float, df: float) -> float:
    """Find the t with `P(|T| >= t)` = p of Student's law, to a relative 1e-12.

    Parameters
    ----------
    p : float
        Above 0, below 1.
    df : float
        Degrees of freedom, above 0; need not be whole.

    Returns
    -------
    float
    """
    high = 1.0
    while student_tail(high, df) > p:
        high *= 2
    low, t = 0.0, high / 2
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    while high - low > 1e-13 * high:
        excess = student_tail(t, df) - p
        low, high = (t, high) if excess > 0 else (low, t)
        # Newton's step, where it stays inside; else halve.
        step = t + excess / (2 * math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df)))
        if abs(step - t) < 1e-13 * t:
            return step
        t = step if low < step < high else (low + high) / 2
    return t


def normal_quantile(p: float) -> float:
    """Find the z with `P(|Z| >= z)` = p of the normal law, to 1e-15 (1 + z), by Newton's method for the logarithm.

    Parameters
    ----------
    p : float
        From 1e-300 to 1.

    Returns
    -------
    float
    """
    z, step = math.sqrt(-2 * math.log(p)), 1.0  # above the root, and so are all that follow
    while step > 1e-15 * (1 + z):
        tail = math.erfc(z / math.sqrt(2))
        step = math.log(p / tail) * tail / (math.sqrt(2 / math.pi) * math.exp(-z * z / 2))
        z -= step
    return max(z, 0.0)


def chi_square_tail(x: Floats, df: int) -> Floats:
    """Compute P(X >= x) of the chi-square law, to 3e-14 (1 + df), where that is small to a relative one.

    Parameters
    ----------
    x : ndarray, shape (n,)
        At least 0.
    df : int
        Degrees of freedom, at least 1.

    Returns
    -------
    ndarray, shape (n,)
    """
    half = np.maximum(x, 1e-300) / 2
    # A sum of y^a exp(-y) / Gamma(a + 1) over a = ..., df / 2 - 2, df / 2 - 1.
    powers = np.arange(df % 2 / 2, df / 2)
    log_gamma = np.cumsum(np.log(np.maximum(powers, 1.0)))
    tail = np.zeros(half.size)
    if df % 2:
        log_gamma = np.cumsum(np.log(np.append(math.gamma(1.5), powers[1:])))[: powers.size]
        tail += [math.erfc(math.sqrt(y)) for y in half.tolist()]
    terms = np.multiply.outer(np.log(half), powers) - half[:, None] - log_gamma
    return np.asarray(tail + np.exp(terms).sum(axis=1))


def chi_square_quantile(p: float, df: int) -> float:
    """Find the x with P(X >= x) = p of the chi-square law, to a relative 1e-10 for df up to 1000, by bisection.

    Parameters
    ----------
    p : float
        Above 0, below 1.
    df : int
        Degrees of freedom, at least 1.

    Returns
    -------
    float
    """
    low, high = 0.0, 2.0 * df
    while chi_square_tail(np.array([high]), df)[0] > p:
        low, high = high, 2 * high
    while high - low > 1e-14 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if chi_square_tail(np.array([middle]), df)[0] > p else (low, middle)
    return high


def quadratic_tail(x: float, eigenvalues: Floats) -> float:
    """Compute P(Q >= x) of Q = sum of l_k Z_k^2, the Z_k independent and standard normal, by a saddle point.

    Lugannani and Rice's formula (Kuonen 1999): to some percent of P over the whole range, better in the tail.

    Parameters
    ----------
    x : float
        Above 0.
    eigenvalues : ndarray, shape (k,)
        The l_k, at least 0, one of them above.

    Returns
    -------
    float
    """
    values = np.asarray(eigenvalues)
    values = values[values > 1e-12 * values.max()] / x  # so that x is 1
    mean = float(values.sum())
    largest = float(values.max())

    def slope(s: float) -> float:
        return float((values / (1 - 2 * s * values)).sum())

    low, high = -0.5 * values.size, 0.5 / largest * (1 - 1e-14)  # slope(low) is below 1
    for _ in range(200):
        middle = (low + high) / 2
        if slope(middle) < 1:
            low = middle
        else:
            high = middle
        if high - low <= 1e-13 * max(abs(low), abs(high)):
            break
    s = (low + high) / 2

    def tail(s: float) -> float:
        rest = 1 - 2 * s * values
        w = math.copysign(math.sqrt(max(0.0, 2 * (s + 0.5 * float(np.log(rest).sum())))), s)
        v = s * math.sqrt(2 * float(np.square(values / rest).sum()))
        z = w + math.log(v / w) / w
        return 0.5 * math.erfc(z / math.sqrt(2))

    if abs(mean - 1) < 1e-4:  # about the mean both w and v vanish: take the middle of what is next to it
        return (quadratic_tail(1.0 - 2e-4, values / mean) + quadratic_tail(1.0 + 2e-4, values / mean)) / 2
    return min(1.0, max(0.0, tail(s)))


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
