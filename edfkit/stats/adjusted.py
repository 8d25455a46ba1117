"""Two populations A and B within strata of complexity: which is better, by how much, and how equal complexity is.

Convention: a difference is A minus B. With the shares w_s = h_s / H of `edfkit.stats.strata`, phi = [a < b] + [a = b]
/ 2 for a model a of A and b of B, and P_s the mean of phi over the pairs of stratum s,

* P = sum of w_s P_s: the probability that a random model of A beats one of B of about its complexity, ties count half,
* Delta = sum of w_s (mean of A in s - mean of B in s): the mean difference.

The variance of either is the two-way clustered one: with d_ij = phi_ij - P (or a_i - b_j - Delta) in stratum s,

    V = H / (H - 1) * sum_s w_s^2 / (n_as n_bs)^2 { sum_i (sum_j d_ij)^2 + sum_j (sum_i d_ij)^2 - sum_ij d_ij^2 },

as each model is in several pairs. It needs no two models of a kind in a stratum, and no equal spreads.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.sample import Floats
from edfkit.stats.special import student_quantile, student_tail
from edfkit.stats.strata import Index, Strata, powers

MOST_PAIRS = 20_000_000
"""Pairs of rows up to which pairs of repeated units are counted one by one, 1 s; above, their term is left out."""

TAME = 0.1
"""P from here to 1 - here has a variance of its own that can be relied on."""

LEAST_OVERLAP = 2.0
"""H below which nothing is computed of a pair."""

LEAST_CLAIM = 4.0
"""H below which nothing is claimed of a pair."""


@dataclass(frozen=True)
class Better(Result):
    """Whether a random model of A beats one of B of about its complexity.

    Attributes
    ----------
    prob : float
        P, 0 to 1; ties count half.
    low, high : float
        Its interval, 0 to 1; excludes 1/2 exactly where `p_value` is at most 1 - confidence.
    p_value : float
        Of P = 1/2, two-sided.
    df : float
        Degrees of freedom of the Student test.
    standard_error : float
        Of P where P = 1/2: the square root of kappa.
    """

    prob: float
    low: float
    high: float
    p_value: float
    df: float
    standard_error: float


@dataclass(frozen=True)
class Difference(Result):
    """The difference of the mean errors, A minus B, adjusted for what complexity does within strata.

    Attributes
    ----------
    estimate, low, high : float
        Percentage points.
    standard_error : float
        Percentage points.
    df : float
        Degrees of freedom.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    df: float

    def equivalent(self, delta: float) -> float:
        """Give the p value of two one-sided tests that the difference lies within -delta and delta.

        Parameters
        ----------
        delta : float
            Percentage points, above 0.

        Returns
        -------
        float
        """
        away = delta - abs(self.estimate)
        if self.standard_error == 0:
            return 0.0 if away > 0 else 1.0
        half = student_tail(abs(away) / self.standard_error, self.df) / 2
        return half if away >= 0 else 1 - half


@dataclass(frozen=True)
class Balance(Result):
    """How equal the complexity of A and B is; of several complexities the least equal one, but for `bias_in_se`.

    Attributes
    ----------
    before : float
        Geometric mean of A's complexity over that of B's, all models (with bins, of those in the range); a difference
        of means where `ratio` is not set.
    after : float
        The same within strata.
    smd : float
        Standardised mean difference of the logarithm of complexity after adjustment.
    bias_in_se : float
        Bias of P that is left, in its standard errors: the slope of the rank of the error within a stratum on the
        logarithm of complexity, times the difference of the mean logarithms, divided by the standard error; of several
        complexities of all together.
    overlap : float
        H, see `edfkit.stats.strata`.
    ratio : bool
        Whether `before` and `after` are ratios.
    column : int
        Which of several complexities it is.
    """

    before: float
    after: float
    smd: float
    bias_in_se: float
    overlap: float
    ratio: bool
    column: int = 0

    @property
    def equal(self) -> bool:
        """Whether what is left is too little to matter: then tests hold their level."""
        return abs(self.bias_in_se) <= MOST_BIAS and abs(self.smd) * math.sqrt(self.overlap) <= MOST_SMD


MOST_BIAS, MOST_SMD = 0.75, 0.5
"""What `Balance.equal` allows: the size of `bias_in_se`, and of `smd` times the square root of H."""


def _wins(strata: Strata) -> tuple[Floats, Floats]:
    """Count the units of B that a unit of A beats, and those of A that beat a unit of B, by block; ties as half."""
    blocks = strata.blocks
    beaten = strata.units_b[blocks.stratum] - blocks.below(blocks.of_b) - blocks.of_b / 2
    return beaten, blocks.below(blocks.of_a) + blocks.of_a / 2


def _squares(strata: Strata, of_a: Floats, of_b: Floats) -> tuple[float, float]:
    """Sum over the units of A, and of B, the squared sums of d over their pairs, which are given by block."""
    blocks = strata.blocks
    scaled_a, scaled_b = (one * strata.of_pair[blocks.stratum] for one in (of_a, of_b))
    if strata.unit is None:
        return float((blocks.of_a * np.square(scaled_a)).sum()), float((blocks.of_b * np.square(scaled_b)).sum())
    scaled = np.where(strata.first, blocks.by_row(scaled_a), blocks.by_row(scaled_b))
    of_unit = np.square(np.bincount(strata.unit, strata.size * scaled))
    is_a = np.bincount(strata.unit, strata.first) > 0
    return float(of_unit[is_a].sum()), float(of_unit[~is_a].sum())


def _pairs_of_units(strata: Strata, prob: float) -> float:
    """Sum the squares of d over the pairs of units, of which some have several rows; 0 where there are too many pairs.

    Leaving a sum of squares out makes the variance larger, by about one part in the number of units.
    """
    rows = np.bincount(strata.stratum, minlength=strata.number)
    of_a = np.bincount(strata.stratum[strata.first], minlength=strata.number)
    if int((of_a * (rows - of_a)).sum()) > MOST_PAIRS:
        return 0.0
    assert strata.unit is not None
    total = 0.0
    order = np.lexsort((strata.unit, ~strata.first, strata.stratum))
    for place, members in enumerate(np.split(order, np.cumsum(rows)[:-1])):
        a, b = members[: of_a[place]], members[of_a[place] :]
        phi = (strata.errors[a][:, None] < strata.errors[b]) + (strata.errors[a][:, None] == strata.errors[b]) / 2
        phi *= strata.size[a][:, None] * strata.size[b]
        of_unit = np.add.reduceat(phi, _starts(strata.unit[a]), axis=0)
        of_unit = np.add.reduceat(of_unit, _starts(strata.unit[b]), axis=1)
        total += float(np.square(of_unit - prob).sum() * strata.of_pair[place] ** 2)
    return total


def _starts(values: Index) -> Index:
    return np.flatnonzero(np.append(True, np.diff(values) != 0))


def _freedom(strata: Strata, squares: tuple[float, float]) -> float:
    """Compute the degrees of freedom of a variance from what A and what B contribute to it (Satterthwaite)."""
    if strata.paired:  # each pair is one observation
        return strata.number - 1.0
    free = [max(k - 1, 1e-9) for k in strata.effective]
    if not any(squares):
        return float(sum(free))
    return float(sum(squares) ** 2 / sum(s * s / k for s, k in zip(squares, free, strict=True)))


def permutation_variance(strata: Strata) -> float:
    """Compute the variance of P if labels are permuted within strata.

    Parameters
    ----------
    strata : Strata

    Returns
    -------
    float
        With ties (t equal errors in a stratum of N) and one row a unit it is the sum of w_s^2 (N + 1 - sum (t^3 - t) /
        (N (N - 1))) / (12 n_as n_bs).
    """
    blocks = strata.blocks
    size = blocks.of_a + blocks.of_b
    units = strata.units_a + strata.units_b
    scores = blocks.below(size) + size / 2 - units[blocks.stratum] / 2
    if strata.unit is None:
        squares = blocks.sums(size * np.square(scores))
    else:
        of_unit = np.bincount(strata.unit, strata.size * blocks.by_row(scores))
        # Rows of one unit do not count against each other; their scores sum to 0 within it.
        rows = np.unique(strata.unit, return_index=True)[1]
        squares = np.bincount(strata.stratum[rows], np.square(of_unit), strata.number).astype(np.float64)
    a, b = strata.units_a, strata.units_b
    return float((strata.shares**2 * squares / (units * np.maximum(units - 1, 1) * a * b)).sum())


def better(strata: Strata, confidence: float = 0.95) -> Better:
    """Test whether a random model of A beats one of B of about its complexity as often as not.

    With kappa = V / (4 P (1 - P)), at least the variance by permutation where P is outside 0.1 to 0.9, t = (P - 1/2) /
    sqrt(kappa) has Student's law, and the interval is Wilson's with n = 1 / (4 kappa) and Student's quantile: the P
    that the test would not reject. Where P is 0 or 1, kappa is the variance by permutation. Where all errors are tied
    within strata, p = 1 and the interval is 0 to 1.

    Source: van Elteren (1960) for the stratified rank statistic; two-way clustering makes it hold under unequal
    spreads, where the variance by permutation does not.

    Parameters
    ----------
    strata : Strata
        With H of at least 2.
    confidence : float
        Of the interval, above 0, below 1.

    Returns
    -------
    Better

    Raises
    ------
    EdfkitError
        If H is below 2 or the confidence is out of range.
    """
    alpha = check_overlap(strata, confidence)
    blocks, (of_a, of_b) = strata.blocks, _wins(strata)
    won, tied = blocks.sums(blocks.of_a * of_a), blocks.sums(blocks.of_a * blocks.of_b)  # ties as half in the first
    prob = min(1.0, max(0.0, float((strata.of_pair * won).sum())))
    at = blocks.stratum
    squares = _squares(strata, of_a - strata.units_b[at] * prob, of_b - strata.units_a[at] * prob)
    if strata.unit is None:
        of_pairs = won - tied / 4 - 2 * prob * won + strata.units_a * strata.units_b * prob**2
        both = float((strata.of_pair**2 * of_pairs).sum())
    else:
        both = _pairs_of_units(strata, prob)
    variance = max(0.0, strata.overlap / (strata.overlap - 1) * (squares[0] + squares[1] - both))
    by_permutation = permutation_variance(strata)
    if min(prob, 1 - prob) < 1e-12:
        kappa, df = by_permutation, _freedom(strata, (0.0, 0.0))
    else:
        kappa, df = variance / (4 * prob * (1 - prob)), _freedom(strata, squares)
        if not TAME <= prob <= 1 - TAME or kappa <= 1e-15:
            kappa = max(kappa, by_permutation)
    if kappa <= 1e-15:
        return Better(prob, 0.0, 1.0, 1.0, df, 0.0)
    return wilson(prob, kappa, df, alpha)


def wilson(prob: float, kappa: float, df: float, alpha: float) -> Better:
    """Test P = 1/2 by Student's law, and give the P that the test would not reject.

    Parameters
    ----------
    prob, kappa, df : float
        P, its variance where P = 1/2, and the degrees of freedom.
    alpha : float
        1 - confidence.

    Returns
    -------
    Better
    """
    t, limit = abs(prob - 0.5) / math.sqrt(kappa), student_quantile(alpha, df)
    reach = 4 * kappa * limit**2  # z^2 / n
    middle = (prob + reach / 2) / (1 + reach)
    half = math.sqrt(reach * prob * (1 - prob) + reach**2 / 4) / (1 + reach)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Better(prob, low, high, student_tail(t, df), df, math.sqrt(kappa))


def better_by_permutation(strata: Strata, prob: float, confidence: float = 0.95) -> Better:
    """Test P = 1/2 of two weighted populations by permuting labels within bins.

    P - 1/2 is the integral of F_A - F_B over the mean of F_A and F_B, where ties count half; with the F of all models
    for that mean it is a sum of scores, whose variance under permutations within bins is known. With one bin that is
    the rank sum test.

    Parameters
    ----------
    strata : Strata
        Of bins; with H of at least 2.
    prob : float
        `edfkit.stats.two_sample.prob_better` of the weighted populations.
    confidence : float
        Of the interval, above 0, below 1.

    Returns
    -------
    Better

    Raises
    ------
    EdfkitError
        As in `better`.
    """
    alpha = check_overlap(strata, confidence)
    a, b = strata.units_a, strata.units_b
    units = a + b
    values, place = strata.steps
    steps = np.bincount(place, strata.size * (strata.shares / units)[strata.stratum], values.size)
    score = (np.cumsum(steps) - steps / 2)[place]
    away = score - (strata.sums(strata.size * score) / units)[strata.stratum]
    each = np.square(strata.shares * (1 / a + 1 / b)) * a * b / (units * np.maximum(units - 1, 1))
    kappa = float((each * strata.sums(strata.size * np.square(away))).sum())
    df = _freedom(strata, (0.0, 0.0))
    if kappa <= 1e-15:
        return Better(prob, 0.0, 1.0, 1.0, df, 0.0)
    return wilson(prob, kappa, df, alpha)


def check_overlap(strata: Strata, confidence: float) -> float:
    """Return 1 - confidence, or refuse too little overlap.

    Parameters
    ----------
    strata : Strata
    confidence : float

    Returns
    -------
    float

    Raises
    ------
    EdfkitError
        If H is below 2, or the confidence not between 0 and 1.
    """
    if strata.overlap < LEAST_OVERLAP:
        raise EdfkitError(
            f"strata: H = {strata.overlap:.2g} was given, but at least {LEAST_OVERLAP:g} is needed: give more models "
            "of both."
        )
    if not 0 < confidence < 1:
        raise EdfkitError(
            f"confidence: {confidence:g} was given, but a number between 0 and 1 is needed, for example 0.95."
        )
    return 1 - confidence


def _slopes(
    strata: Strata, columns: Floats, apart: Floats, values: Floats
) -> tuple[Floats, Callable[[Floats, Floats], float]]:
    """Fit one common slope of a number on columns within the models of A, and of B, of each stratum.

    Parameters
    ----------
    strata : Strata
    columns, apart : ndarray, shape (n, d)
        The columns, and what they are apart from their means, see `edfkit.stats.strata.Strata.centred_columns`.
    values : ndarray, shape (n,)
        The number.

    Returns
    -------
    slopes : ndarray, shape (d,)
        0 where a column does not vary within strata.
    variance : callable
        That of `slopes @ v`, whatever the spreads, of v and of what the slopes leave of the number in each row.
    """
    size, slopes = strata.size, np.zeros(apart.shape[1])
    least = 1e-9 * math.sqrt(len(values))
    if slopes.size == 1:  # without matrix products, whose threads take more time than they do
        x, largest = apart[:, 0], max(1.0, float(columns.max()), -float(columns.min()))
        square = float((size * np.square(x)).sum())
        if math.sqrt(square) <= least * largest:
            return slopes, lambda v, rest: 0.0
        slopes[0] = (size * x * values).sum() / square
        return slopes, lambda v, rest: float((size * np.square(x * rest)).sum() * (v[0] / square) ** 2)
    scale = np.sqrt((size[:, None] * np.square(apart)).sum(axis=0))
    varies = scale > least * np.maximum(1.0, np.abs(columns).max(axis=0, initial=0.0))
    if not varies.any():
        return slopes, lambda v, rest: 0.0
    x, scale = apart[:, varies] / scale[varies], scale[varies]
    # Columns may be nearly the same, such as two counts of operations: what tells them apart is then noise.
    inverse = np.linalg.pinv(x.T @ (size[:, None] * x), rcond=1e-10, hermitian=True)
    slopes[varies] = inverse @ (x.T @ (size * strata.centred(values)[1])) / scale

    def variance(v: Floats, rest: Floats) -> float:
        return float((size * np.square(x @ (inverse @ (v[varies] / scale)) * rest)).sum())

    return slopes, variance


def _imbalance(strata: Strata, means: Floats) -> Any:
    """Return the mean of a number, or of each column, of A minus that of B, from those of each stratum."""
    return strata.shares @ (means[:, 0] - means[:, 1])


def mean_difference(strata: Strata, confidence: float = 0.95, *, slope: bool = True) -> Difference:
    """Estimate the difference of the mean errors within strata.

    What is left of complexity within strata is taken off by one common slope of the error on the logarithm of
    complexity, fitted within the models of A, and of B, of each stratum; of several complexities by one on each of
    their products of up to three. A correction of more than one standard deviation of the errors would extrapolate, and
    is not made.

    Parameters
    ----------
    strata : Strata
        With H of at least 2.
    confidence : float
        Of the interval, above 0, below 1.
    slope : bool
        Whether to take off what is left of complexity; else it is the difference of the weighted means.

    Returns
    -------
    Difference

    Raises
    ------
    EdfkitError
        As in `better`.
    """
    alpha = check_overlap(strata, confidence)
    strata = strata.collapsed()
    error = strata.errors
    extra: Callable[[Floats], float] | None = None
    if slope and strata.logs.shape[1]:
        logs = strata.logs
        means, apart = strata.logs_apart
        if logs.shape[1] > 1:
            logs = powers(logs, strata.size)[:, 1:]
            means, apart = strata.centred_columns(logs)
        left = _imbalance(strata, means)
        slopes, of_slopes = _slopes(strata, logs, apart, error)
        usual = np.average(error, weights=strata.size)
        if abs(left @ slopes) <= math.sqrt(np.average(np.square(error - usual), weights=strata.size)):
            error = error - np.einsum("ni,i->n", logs - logs.mean(axis=0), slopes)
            extra = partial(of_slopes, left)
    means, rest = strata.centred(error - error.mean())  # large numbers would cost digits
    delta, variance, squares, _ = _differences(strata, means, rest)
    df = _freedom(strata, squares)
    deviation = math.sqrt(variance + (0.0 if extra is None else extra(rest)))
    half = student_quantile(alpha, df) * deviation
    return Difference(delta, delta - half, delta + half, deviation, df)


def clustered(strata: Strata, values: Floats) -> tuple[float, float, float, Floats]:
    """Estimate the difference of the means of a number within strata, with its two-way clustered variance.

    Parameters
    ----------
    strata : Strata
        With one row a unit, see `edfkit.stats.strata.Strata.collapsed`, and H of at least 2.
    values : ndarray, shape (n,)
        The number of each row.

    Returns
    -------
    difference : float
        A minus B.
    variance : float
    df : float
        Degrees of freedom.
    pulls : ndarray, shape (n,)
        What a unit of each row adds to the difference, up to its sign: their squares make the variance, their products
        for two numbers the correlation of two differences.
    """
    means, rest = strata.centred(values - values.mean())  # large numbers would cost digits
    delta, variance, squares, gap = _differences(strata, means, rest)
    signed = np.where(strata.first, rest, -rest)
    pulls = (strata.shares[:, None] / strata.units).ravel()[strata.cell] * (gap[strata.stratum] + signed)
    return delta, variance, _freedom(strata, squares), pulls


def _differences(strata: Strata, means: Floats, rest: Floats) -> tuple[float, float, tuple[float, float], Floats]:
    """Give the difference and its variance, what A and B add to it, and the gap of each stratum.

    The sum over j of d_ij is n_bs (rest of i + gap), with the rest of i its distance from the mean of A in its stratum,
    and the gap that of the two means there less their difference in all; the other sums follow.
    """
    delta = float(_imbalance(strata, means))
    gap = means[:, 0] - means[:, 1] - delta
    inner, units = strata.sums_of_both(np.square(rest)), strata.units
    each = np.square(strata.shares)[:, None] / np.square(units) * (inner + units * np.square(gap)[:, None])
    squares = float(each[:, 0].sum()), float(each[:, 1].sum())
    of_pairs = (units[:, ::-1] * inner).sum(axis=1) + units.prod(axis=1) * np.square(gap)
    both = float((np.square(strata.of_pair) * of_pairs).sum())
    variance = max(0.0, strata.overlap / (strata.overlap - 1) * (sum(squares) - both))
    return delta, variance, squares, gap


def balance(strata: Strata, standard_error: float) -> Balance | None:
    """Say how equal the complexity of A and B is within strata, and what is left of its effect.

    Parameters
    ----------
    strata : Strata
    standard_error : float
        That of P, see `Better`.

    Returns
    -------
    Balance or None
        None if no complexity is held equal.
    """
    if not strata.logs.shape[1]:
        return None
    means, apart = strata.logs_apart
    left = _imbalance(strata, means)
    within = [strata.sums_of_both(np.square(column)) for column in apart.T]
    middle = np.tensordot(strata.shares, means, 1)  # of A and of B
    around = np.stack(within, axis=-1) / strata.units[..., None] + np.square(means - middle)
    spread = np.tensordot(strata.shares, around, 1).mean(axis=0)
    smd = np.divide(left, np.sqrt(spread), where=spread > 1e-24, out=np.zeros(left.size))
    blocks = strata.blocks
    size = blocks.of_a + blocks.of_b
    rank = (blocks.below(size) + size / 2) / (strata.units_a + strata.units_b)[blocks.stratum]
    slopes, _ = _slopes(strata, strata.logs, apart, blocks.by_row(rank))
    bias = float(-slopes @ left / standard_error) if standard_error else 0.0
    worst = int(np.argmax(np.abs(smd)))
    ratio = strata.logarithmic[worst]
    before, after = (float(np.exp(one[worst]) if ratio else one[worst]) for one in (strata.before, left))
    return Balance(before, after, float(smd[worst]), bias, strata.overlap, ratio, worst)
