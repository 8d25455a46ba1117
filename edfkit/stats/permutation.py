"""An exact test of the distance D of two populations within complexity bins: it describes, and no claim rests on it.

Convention: every bin counts the same, a model of population A in bin b weighs 1 / (bins * n_ab), as
`edfkit.stats.bins.complexity_weights` has it, and D is the largest distance of the two weighted EDFs. Labels are
permuted within bins only. If, given its bin, a model's error does not depend on its population, then every way to
permute the models of A and B within the bins is equally likely, whatever complexity does to the error: the level holds
exactly, for any numbers and any ties. (Where complexity still matters within a bin, and the populations differ in it
there, that is a difference, which the test finds. So `edfkit compare` decides by narrower strata, and by a test of more
power, see `edfkit.stats.adjusted`.)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.edf import ROUND_OFF, Floats, checked_counts, checked_sample

AT_ONCE = 250_000
"""Counts that are drawn at a time, each of one error in one bin for one permutation: some 10 MB."""

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
        not differ given their bin.
    standard_error : float
        Of the p-value, from the finite number of trials.
    exceeding, trials : int
        Permutations with a D as large or larger (equal up to round-off counts), of how many.
    bins : int
        Bins that hold models.
    left_out_a, left_out_b : int
        Models outside the range of complexity (bin -1), which take no part.
    """

    statistic: float
    p_value: float
    standard_error: float
    exceeding: int
    trials: int
    bins: int
    left_out_a: int
    left_out_b: int


def checked_bins(
    errors: ArrayLike, bins: ArrayLike, name: str, counts: ArrayLike | None = None
) -> tuple[Floats, NDArray[np.intp], NDArray[np.int64], int]:
    """Return the errors, bins and counts of the models in the range, and how many are outside, or refuse them.

    Parameters
    ----------
    errors : array_like, shape (n,)
        Percent, 0 to 100.
    bins : array_like of int, shape (n,)
        From 0, or -1 for a model outside the range, as `edfkit.stats.bins.bin_index` returns them.
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
        `edfkit.stats.edf.checked_sample` and `edfkit.stats.edf.checked_counts`.
    """
    sample, index = checked_sample(errors)[0], np.asarray(bins)
    if index.shape != sample.shape:
        raise EdfkitError(
            f"bins of {name}: shape {index.shape} was given for {sample.size} errors, but every model needs one bin: "
            "select both in the same way."
        )
    if index.dtype.kind not in "iu" or index.min() < -1:
        raise EdfkitError(
            f"bins of {name}: {index.dtype} from {index.min()} was given, but integers from 0, or -1 outside the "
            "range, are needed: pass what edfkit.stats.bins.bin_index returns."
        )
    number = np.ones(sample.size, np.int64) if counts is None else checked_counts(counts, sample.size)
    inside = index >= 0
    if not inside.any():
        raise EdfkitError(
            f"bins of {name}: all {sample.size} models are outside the range, but at least one must be in a bin: "
            "give a range that the population covers."
        )
    return sample[inside], index[inside].astype(np.intp), number[inside], int(number[~inside].sum())


def permutation_test(
    errors_a: ArrayLike,
    errors_b: ArrayLike,
    bins_a: ArrayLike,
    bins_b: ArrayLike,
    *,
    trials: int = 10_000,
    rng: np.random.Generator,
    counts_a: ArrayLike | None = None,
    counts_b: ArrayLike | None = None,
) -> Permutation:
    """Test whether the errors of two populations differ given complexity, by permuting models within bins.

    D is that of `edfkit.stats.two_sample.ks` with `edfkit.stats.bins.complexity_weights`. With one bin for all models
    this is the ordinary permutation test, whose p-value `ks` counts exactly. With bins it rejects as often as its level
    says (0.049 to 0.057 of 4,000 simulated pairs at 0.05, 300 models against 250 in 5 bins), where the law with
    effective sizes, which `ks` uses, rejects 0.036 down to 0.002 of the time; where complexity explains most of the
    error, it detects what that law does not (power 0.93 against 0.50, of 1,000 pairs).

    Parameters
    ----------
    errors_a, errors_b : array_like, shapes (n_a,) and (n_b,)
        Percent, 0 to 100.
    bins_a, bins_b : array_like of int, shapes (n_a,) and (n_b,)
        The models' bins, from 0, or -1 outside the range, as `edfkit.stats.bins.bin_index` returns them. A number that
        neither population has is no bin.
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
    occupied, of_bin = np.unique(np.concatenate([index_a, index_b]), return_inverse=True)
    values, of_error = np.unique(np.concatenate([sample_a, sample_b]), return_inverse=True)
    # A cell is one error in one bin; in order of bin, then of error.
    cells, of_cell = np.unique(of_bin * values.size + of_error, return_inverse=True)
    bin_of, error_of = np.divmod(cells, values.size)
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
    per_model = ((1 / size_a + 1 / size_b) / occupied.size)[bin_of]
    if_all_b = (pooled / size_b[bin_of]) / occupied.size
    by_error = np.argsort(error_of, kind="stable")
    starts = np.flatnonzero(np.diff(error_of[by_error], prepend=-1))  # of the blocks of equal errors

    def distances(drawn: NDArray[np.int64]) -> Floats:
        """Compute D of every row: EDFs exist only where a block of equal errors ends."""
        steps = np.take(drawn * per_model - if_all_b, by_error, axis=1)
        if starts.size < steps.shape[1]:
            steps = np.add.reduceat(steps, starts, axis=1)
        heights = np.cumsum(steps, axis=1, out=steps)
        return np.asarray(np.maximum(heights.max(axis=1), -heights.min(axis=1)))

    statistic = float(distances(from_a[None])[0])
    exceeding, rows = 0, min(trials, max(1, AT_ONCE // cells.size))
    members = list(zip(np.split(pooled, edges[1:]), size_a.tolist(), size_b.tolist(), strict=True))
    for done in range(0, trials, rows):
        some = min(rows, trials - done)
        drawn = np.concatenate([_permuted(rng, *one, some) for one in members], axis=1)
        exceeding += int((distances(drawn) >= statistic - ROUND_OFF).sum())
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
    )


def _permuted(
    rng: np.random.Generator, pooled: NDArray[np.int64], size_a: int, size_b: int, trials: int
) -> NDArray[np.int64]:
    """Draw how many of the models of each error of a bin become A's: the multivariate hypergeometric law.

    That is model by model, or error by error, whichever is faster.
    """
    method: Literal["count", "marginals"] = "count" if min(size_a, size_b) <= _DRAW * pooled.size else "marginals"
    drawn: NDArray[np.int64] = rng.multivariate_hypergeometric(pooled, size_a, size=trials, method=method)
    return drawn
