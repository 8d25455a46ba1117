"""A permutation test of D, the distance of two EDFs within complexity bins: it describes, and no claim rests on it.

Convention: every bin counts the same, a model of population A in bin b weighs 1 / (bins * n_ab), as
`edfkit.stats.bins.complexity_weights` has it, and D is the largest distance of the two weighted EDFs. Labels are
permuted within bins only. If, given its bin, a model's error does not depend on its population, then every way to
permute the models of A and B within the bins is equally likely, whatever complexity does to the error: the level holds
exactly, for any numbers and any ties. Of more than 100,000 models it holds in the limit, see `permutation_test`. (Where
complexity still matters within a bin, and the populations differ in it there, that is a difference, which the test
finds. So `edfkit compare` decides by narrower strata, and by a test of more power, see `edfkit.stats.adjusted`.)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.progress import steps
from edfkit.result import Result
from edfkit.stats.edf import ROUND_OFF, Floats
from edfkit.stats.sample import Errors, Sample, checked_counts, checked_errors, checked_strata, places, refuse_pieces

AT_ONCE = 250_000
"""Counts that are drawn at a time, each of one error in one bin for one permutation: some 10 MB."""

LARGE, LARGE_IN_BIN = 100_000, 2_000
"""Models in all above which bins that have so many of either population take part by the law in the limit."""

MOST_ERRORS = 20_000
"""Distinct errors of so many models up to which D is taken at all of them; of more it is at so many quantiles."""

MOST_IN_LIMIT = 4_000_000
"""Errors times bins up to which the law in the limit is used: its matrices have as many numbers."""

MOST_OF_A_BIN = 1_000_000_000
"""Models of both populations that one bin holds at most: the generator draws from fewer than these."""

_DRAW = 8  # models that are drawn one by one in the time that the number of one error takes to be drawn


@dataclass(frozen=True)
class Permutation(Result):
    """A permutation test of two populations given complexity.

    Attributes
    ----------
    statistic : float
        D, the largest distance between the two weighted EDFs, 0 to 1.
    p_value : float
        (1 + exceeding) / (1 + trials): never 0, and at most alpha with probability alpha or less if the populations do
        not differ given their bin; in the limit where the test is not exact.
    standard_error : float
        Of the p-value, from the finite number of trials.
    exceeding, trials : int
        Permutations with a D as large or larger (equal up to round-off counts), of how many. Both are at quantiles of
        the errors if there are more than 20,000 different ones in large populations.
    bins : int
        Bins that hold models.
    left_out_a, left_out_b : int
        Models outside the range of complexity (bin -1), which take no part.
    exact : bool
        Whether all bins were permuted; else some took part by their law in the limit.
    """

    statistic: float
    p_value: float
    standard_error: float
    exceeding: int
    trials: int
    bins: int
    left_out_a: int
    left_out_b: int
    exact: bool


def checked_bins(
    errors: Errors, bins: ArrayLike | None, name: str, counts: ArrayLike | None = None
) -> tuple[Floats, NDArray[np.intp], NDArray[np.int64], int]:
    """Return the errors, bins and counts of the models in the range, and how many are outside, or refuse them.

    Parameters
    ----------
    errors : array_like, shape (n,), or Sample
        Percent. A sample brings bins, its strata, and counts; its weights are not used.
    bins : array_like of int, shape (n,), optional
        From 0, or -1 for a model outside the range, as `edfkit.stats.bins.bin_index` returns them; not with a sample.
    name : str
        The population, for the message.
    counts : array_like of int, shape (n,), optional
        How many models of that error and bin there are; one if not given.

    Returns
    -------
    errors, bins, counts : ndarray, shape (k,)
    left_out : int
        Models outside the range.

    Raises
    ------
    EdfkitError
        If the lengths disagree, a bin is not an integer from -1, no model is in a bin, and see
        `edfkit.stats.sample.checked_errors`, `checked_strata` and `checked_counts`.
    """
    if isinstance(errors, Sample):
        refuse_pieces(bins=bins, counts=counts)
        sample, bins, counts = errors.errors, errors.strata, errors.counts
    else:
        sample = checked_errors(errors)
        counts = None if counts is None else checked_counts(counts, sample.size)
    if bins is None:
        raise EdfkitError(
            f"bins of {name}: none were given for {sample.size} errors, but every model needs one: pass what "
            "edfkit.stats.bins.bin_index returns, in a Sample as its strata."
        )
    index = checked_strata(bins, sample.size, f"bins of {name}")
    number = np.ones(sample.size, np.int64) if counts is None else np.asarray(counts)
    inside = index >= 0
    if inside.all():
        return sample, index, number, 0
    if not inside.any():
        raise EdfkitError(
            f"bins of {name}: all {sample.size} models are outside the range, but at least one must be in a bin: "
            "give a range that the population covers."
        )
    return sample[inside], index[inside], number[inside], int(number[~inside].sum())


def permutation_test(
    errors_a: Errors,
    errors_b: Errors,
    bins_a: ArrayLike | None = None,
    bins_b: ArrayLike | None = None,
    *,
    trials: int = 10_000,
    rng: "np.random.Generator",
    counts_a: ArrayLike | None = None,
    counts_b: ArrayLike | None = None,
) -> Permutation:
    """Test whether the errors of two populations differ given complexity, by permuting models within bins.

    D is that of `edfkit.stats.two_sample.ks` with `edfkit.stats.bins.complexity_weights`. With one bin for all models
    this is the ordinary permutation test, whose p-value `ks` counts exactly. With bins it rejects as often as its level
    says (0.049 to 0.057 of 4,000 simulated pairs at 0.05, 300 models against 250 in 5 bins), where the law with
    effective sizes, which `ks` uses, rejects 0.036 down to 0.002 of the time; where complexity explains most of the
    error, it detects what that law does not (power 0.93 against 0.50, of 1,000 pairs).

    Of up to 100,000 models permutations are drawn, by the multivariate hypergeometric law of how many models of each
    error are A's: the test is exact. Of more, bins with 2,000 models or more of both take part by its law in the limit,
    that of Brownian bridges, unless errors times bins exceed 4 million; and if there are more than 20,000 different
    errors, those that are permuted have D taken at so many quantiles, as has the D that they are compared with.

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,), or Sample
        Percent.
    bins_a, bins_b : array_like of int, shapes (n_a,) and (n_b,), optional
        The models' bins, from 0, or -1 outside the range, as `edfkit.stats.bins.bin_index` returns them. A number that
        neither population has is no bin. Samples bring them, as their strata.
    trials : int
        Random permutations, at least 1; the smallest p-value is 1 / (1 + trials).
    rng : numpy.random.Generator
        Source of the permutations. With the same one, models give what their counts give.
    counts_a, counts_b : array_like of int, shapes (n_a,) and (n_b,), optional
        How many models of that error and bin there are; one if not given.

    Returns
    -------
    Permutation

    Raises
    ------
    EdfkitError
        If a bin holds models of one population only or 1e9 models, `trials` is below 1, and see `checked_bins`.
    """
    if trials < 1:
        raise EdfkitError(f"trials: {trials} was given, but at least 1 is needed: use 1000 or more.")
    sample_a, index_a, number_a, left_out_a = checked_bins(errors_a, bins_a, "A", counts_a)
    sample_b, index_b, number_b, left_out_b = checked_bins(errors_b, bins_b, "B", counts_b)
    occupied, of_bin = places(np.concatenate([index_a, index_b]))
    values, of_error = places(np.concatenate([sample_a, sample_b]))
    # A cell is one error in one bin; in order of bin, then of error.
    errors = values.size
    cells, of_cell = places(of_bin * errors + of_error)
    bin_of, error_of = np.divmod(cells, errors)
    in_a, in_b = np.split(of_cell, [sample_a.size])
    from_a = np.bincount(in_a, number_a, cells.size).astype(np.int64)
    pooled = from_a + np.bincount(in_b, number_b, cells.size).astype(np.int64)
    edges = np.flatnonzero(np.diff(bin_of, prepend=-1))
    size, size_a = np.add.reduceat(pooled, edges), np.add.reduceat(from_a, edges)
    size_b = size - size_a
    if missing := np.flatnonzero((size_a == 0) | (size_b == 0)).tolist():
        raise EdfkitError(
            f"bins: {len(missing)} of {occupied.size} bins hold models of one population only, the first of them bin "
            f"{occupied[missing[0]]}, but models can be permuted only where both have some: use fewer bins, or a "
            "range that both cover."
        )
    if size.max() >= MOST_OF_A_BIN:
        raise EdfkitError(
            f"bins: one holds {size.max():,} models, but fewer than {MOST_OF_A_BIN:,} can be permuted: use more bins."
        )

    # With x of a cell's n models from A, F_A - F_B steps by x / size_a - (n - x) / size_b, divided by the bins.
    per_model = (1 / size_a + 1 / size_b) / occupied.size
    rises = from_a * per_model[bin_of] - pooled / size_b[bin_of] / occupied.size
    lead = np.cumsum(np.bincount(error_of, rises, errors))
    statistic = reached = float(np.abs(lead).max())
    if size.sum() > LARGE and errors > MOST_ERRORS:
        height = np.cumsum(np.bincount(error_of, pooled / (size * size.size)[bin_of], errors))  # of both populations
        group = places(np.minimum(height * MOST_ERRORS, MOST_ERRORS - 1).astype(np.intp))[1]
        reached = float(np.abs(lead[np.flatnonzero(np.diff(group, append=-1))]).max())
        errors = int(group[-1]) + 1
        cells, of_cell = places(bin_of * errors + group[error_of])
        bin_of, error_of = np.divmod(cells, errors)
        pooled = np.bincount(of_cell, pooled).astype(np.int64)

    large = np.minimum(size_a, size_b) >= LARGE_IN_BIN
    large &= size.sum() > LARGE and errors * occupied.size <= MOST_IN_LIMIT
    limit = _Limit(bin_of, error_of, pooled, size_a, size_b, large, errors) if large.any() else None
    # The cells of all other bins are drawn one by one; in order of bin, and of error to sum them up.
    some_cells = np.flatnonzero(~large[bin_of])
    if_all_b = pooled[some_cells] / size_b[bin_of[some_cells]] / occupied.size
    by_error = np.argsort(error_of[some_cells], kind="stable")
    columns = error_of[some_cells][by_error]
    starts = np.flatnonzero(np.diff(columns, prepend=-1))  # of the blocks of equal errors
    some_bins = [(pooled[bin_of == place], int(size_a[place]), int(size_b[place])) for place in np.flatnonzero(~large)]

    def distances(rows: int) -> Floats:
        """Draw D: EDFs exist only where a block of equal errors ends."""
        if not some_bins:
            heights = np.zeros((rows, errors))
        else:
            drawn = np.concatenate([_permuted(rng, *one, rows) for one in some_bins], axis=1)
            heights = np.take(drawn * per_model[bin_of[some_cells]] - if_all_b, by_error, axis=1)
            if starts.size < by_error.size:
                heights = np.add.reduceat(heights, starts, axis=1)
            if starts.size < errors:
                heights, few = np.zeros((rows, errors)), heights
                heights[:, columns[starts]] = few
            np.cumsum(heights, axis=1, out=heights)
        if limit is not None:
            heights += limit.drawn(rng, rows)
        return np.asarray(np.maximum(heights.max(axis=1), -heights.min(axis=1)))

    at_once = max(1, AT_ONCE // max(some_cells.size, 0 if limit is None else errors))
    exceeding = 0
    for done in steps(range(0, trials, at_once), "permutations"):
        exceeding += int((distances(min(at_once, trials - done)) >= reached - ROUND_OFF).sum())
    p_value = (1 + exceeding) / (1 + trials)
    return Permutation(
        statistic=statistic if statistic > ROUND_OFF else 0.0,
        p_value=p_value,
        standard_error=float(np.sqrt(p_value * (1 - p_value) / trials)),
        exceeding=exceeding,
        trials=trials,
        bins=occupied.size,
        left_out_a=left_out_a,
        left_out_b=left_out_b,
        exact=limit is None,
    )


class _Limit:
    """The law in the limit of F_A - F_B of bins of many models each, under permutations within them.

    A bin adds c (W(f) - f W(1)) at an error up to which a share f of its models lies, with a Brownian motion W of its
    own. The sum of the c W is a Brownian motion itself, so that one normal number is drawn for each error, not one for
    each error of each bin; then, given these, the ends W(1) of all bins, with their conditional mean and covariance.
    """

    def __init__(
        self,
        bin_of: NDArray[np.intp],
        error_of: NDArray[np.intp],
        pooled: NDArray[np.int64],
        size_a: NDArray[np.int64],
        size_b: NDArray[np.int64],
        large: NDArray[np.bool_],
        errors: int,
    ) -> None:
        size = size_a + size_b
        of_bin = np.zeros((size.size, errors))
        of_bin[bin_of, error_of] = pooled / size[bin_of]
        # Of n_a of N models drawn without replacement, a share has the variance n_b / (n_a (N - 1)) f (1 - f).
        scale = size / np.sqrt(size_a * size_b * (size - 1.0)) / size.size
        climbs = scale[large, None] * of_bin[large]
        self._deviation = np.sqrt(scale[large] @ climbs)
        self._heights = np.cumsum(climbs, axis=1)
        # Of W(1) on the standardised numbers of the errors.
        self._slopes = np.divide(climbs, self._deviation, where=self._deviation > 0, out=np.zeros_like(climbs))
        values, vectors = np.linalg.eigh(np.eye(len(climbs)) - self._slopes @ self._slopes.T)
        self._root = vectors * np.sqrt(np.maximum(values, 0.0))

    def drawn(self, rng: "np.random.Generator", trials: int) -> Floats:
        """Draw F_A - F_B at all errors, shape (trials, errors)."""
        numbers = rng.standard_normal((trials, self._deviation.size))
        ends = numbers @ self._slopes.T + rng.standard_normal((trials, len(self._root))) @ self._root.T
        numbers *= self._deviation
        return np.asarray(np.cumsum(numbers, axis=1, out=numbers) - ends @ self._heights)


def _permuted(
    rng: "np.random.Generator", pooled: NDArray[np.int64], size_a: int, size_b: int, trials: int
) -> NDArray[np.int64]:
    """Draw how many of the models of each error of a bin become A's: the multivariate hypergeometric law.

    That is model by model, or error by error, whichever is faster.
    """
    method: Literal["count", "marginals"] = "count" if min(size_a, size_b) <= _DRAW * pooled.size else "marginals"
    drawn: NDArray[np.int64] = rng.multivariate_hypergeometric(pooled, size_a, size=trials, method=method)
    return drawn
