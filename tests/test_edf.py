import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from strategies import errors, samples

from edfkit import EdfkitError
from edfkit.stats.edf import (
    Floats,
    area,
    checked_sample,
    counted_sample,
    edf,
    edfs_together,
    effective_size,
    evaluate,
    mean,
    quantiles,
)

Sample = tuple[Floats, Floats]


def test_edf_by_hand() -> None:
    # One of four models at 1, one at 2, two at 3.
    values, heights = edf([3, 1, 3, 2])
    assert values.tolist() == [1, 2, 3]
    assert heights.tolist() == [0.25, 0.5, 1]


def test_weighted_edf_by_hand() -> None:
    # The weights sum to 8: 2/8 at 1, 4/8 more at 5 (1 + 3), 2/8 at 9; the model at 7 does not count.
    values, heights = edf([5, 1, 9, 5, 7], [1, 2, 2, 3, 0])
    assert values.tolist() == [1, 5, 9]
    assert heights.tolist() == [0.25, 0.75, 1]


def test_evaluate_is_right_continuous() -> None:
    values, heights = edf([1, 2, 3, 3])
    # Below all, at the first step, between two, at the last, above all.
    at = [[-np.inf, 0.99, 1], [1.5, 3, np.inf]]
    assert evaluate(values, heights, at).tolist() == [[0, 0, 0.25], [0.25, 1, 1]]
    assert evaluate(values, heights, 2).tolist() == 0.5


@given(errors())
def test_edf_equals_scipy(sample: Floats) -> None:
    values, heights = edf(sample)
    reference = stats.ecdf(sample).cdf
    assert_array_equal(values, reference.quantiles)
    assert_allclose(heights, reference.probabilities, rtol=1e-12)
    at = np.linspace(-1, 101, 50)
    assert_allclose(evaluate(values, heights, at), reference.evaluate(at), rtol=1e-12)


@given(samples())
def test_edf_is_the_share_of_weight_at_or_below(sample: Sample) -> None:
    e, w = sample
    values, heights = edf(e, w)
    assert_allclose(heights, [w[e <= value].sum() / w.sum() for value in values], rtol=1e-12)
    assert heights[-1] == 1
    assert np.all(np.diff(values) > 0)


@given(errors(), st.integers(1, 4))
def test_copies_of_all_models_change_nothing(sample: Floats, copies: int) -> None:
    for given_once, repeated in zip(edf(sample), edf(np.tile(sample, copies)), strict=True):
        assert_array_equal(repeated, given_once)
    assert_array_equal(quantiles(np.tile(sample, copies), [0.1, 0.5, 1]), quantiles(sample, [0.1, 0.5, 1]))
    assert mean(np.tile(sample, copies)) == pytest.approx(mean(sample), rel=1e-12)
    assert area(np.tile(sample, copies), 50) == pytest.approx(area(sample, 50), abs=1e-12)


@given(samples(), st.randoms(use_true_random=False), st.floats(1e-3, 1e3))
def test_order_scale_copies_and_split_weights_change_nothing(sample: Sample, random: Any, scale: float) -> None:
    e, w = sample
    order = np.array(random.sample(range(e.size), e.size))
    split = random.random()
    same = {
        "order": (e[order], w[order]),
        "scale": (e, w * scale),
        "copies": (np.tile(e, 2), np.tile(w, 2)),
        "split": (np.tile(e, 2), np.concatenate([w * split, w * (1 - split)])),
        "models of weight 0": (np.append(e, [0, 100]), np.append(w, [0, 0])),
    }
    values, heights = edf(e, w)
    for other_e, other_w in same.values():
        other_values, other_heights = edf(other_e, other_w)
        assert_array_equal(other_values, values)
        assert_allclose(other_heights, heights, rtol=1e-10)
        assert_array_equal(quantiles(other_e, [0.5, 1], other_w), quantiles(e, [0.5, 1], w))
        assert mean(other_e, other_w) == pytest.approx(mean(e, w), rel=1e-10)
        assert area(other_e, 50, other_w) == pytest.approx(area(e, 50, w), abs=1e-10)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20).filter(any))
def test_whole_weights_are_copies(weights: list[int]) -> None:
    e = np.arange(len(weights))
    for weighted, copied in zip(edf(e, weights), edf(np.repeat(e, weights)), strict=True):
        assert_allclose(weighted, copied, rtol=1e-12)


def test_quantiles_by_hand() -> None:
    # F is 0.25 at 1, 0.75 at 5, 1 at 9.
    assert quantiles([5, 1, 9, 5], [0.01, 0.25, 0.26, 0.75, 0.76, 1]).tolist() == [1, 1, 5, 5, 9, 9]
    assert quantiles([1, 2], 0.5, [0.5, 0.5]) == 1


@pytest.mark.parametrize("n", [3, 7, 10, 49, 100, 1000, 25_000])
@pytest.mark.parametrize("weight", [None, 0.1, 1 / 3, 1e-9])
def test_round_off_does_not_shift_a_quantile(n: int, weight: float | None) -> None:
    e = np.linspace(0, 100, n)
    k = np.arange(1, n + 1)
    weights = None if weight is None else np.full(n, weight)
    assert_array_equal(quantiles(e, k / n, weights), e)  # F reaches k / n at the k-th error ...
    assert_array_equal(quantiles(e, k[:-1] / n + 1e-7, weights), e[1:])  # ... and a little more only at the next


def test_round_off_of_unequal_weights_does_not_shift_a_quantile() -> None:
    weights = [0.1, 0.7, 0.2]
    assert edf([1, 2, 3], weights)[1][1] < 0.8  # 0.1 + 0.7 falls short by round-off ...
    assert quantiles([1, 2, 3], 0.8, weights) == 2  # ... and reaches 0.8 all the same


@given(samples(), st.floats(1e-3, 1))
def test_quantile_is_the_first_error_where_the_edf_reaches_q(sample: Sample, q: float) -> None:
    e, w = sample
    value = float(quantiles(e, q, w))
    assert w[e <= value].sum() / w.sum() >= q - 1e-9
    assert w[e < value].sum() / w.sum() < q + 1e-9
    assert value in e[w > 0]


def test_mean_and_area_by_hand() -> None:
    # (3 * 10 + 1 * 60) / 4 = 22.5; up to 50, the means of min(1, e / 50) are (3 * 0.2 + 1) / 4 = 0.4.
    assert mean([10, 60], [3, 1]) == 22.5
    assert area([10, 60], 50, [3, 1]) == pytest.approx(0.6)
    assert area([0, 0], 1e-3) == 1
    assert area([50, 100], 50) == 0


@given(samples(), st.floats(1, 150))
def test_area_is_the_mean_height_of_the_edf(sample: Sample, upto: float) -> None:
    values, heights = edf(*sample)
    # Between two ends F is constant, so the integral is a sum over steps.
    ends = np.unique(np.concatenate([[0, upto], values[values < upto]]))
    integral = np.diff(ends) @ evaluate(values, heights, ends[:-1])
    assert area(sample[0], upto, sample[1]) == pytest.approx(integral / upto, abs=1e-12)


def test_effective_size_by_hand() -> None:
    assert effective_size([1, 1, 2]) == pytest.approx(16 / 6)  # (1 + 1 + 2)^2 / (1 + 1 + 4)
    assert effective_size([1, 0, 0]) == 1
    assert effective_size(np.full(291, 0.1)) == 291


@given(samples())
def test_effective_size_is_between_one_and_n(sample: Sample) -> None:
    weights = sample[1]
    assert 1 - 1e-12 <= effective_size(weights) <= np.count_nonzero(weights) + 1e-9
    assert effective_size(weights / weights.sum()) == pytest.approx(1 / np.square(weights / weights.sum()).sum())


def test_huge_and_tiny_weights_do_not_overflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scale in (1e308, 1e-308):
            weights = np.array([1, 1, 1, 1]) * scale
            assert edf([1, 2, 3, 4], weights)[1].tolist() == [0.25, 0.5, 0.75, 1]
            assert mean([1, 2, 3, 4], weights) == 2.5
            assert effective_size(weights) == 4


def test_input_is_left_as_it_was() -> None:
    e, w = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0, 4.0])
    edf(e, w)
    quantiles(e, 0.5, w)
    effective_size(w)
    assert (e.tolist(), w.tolist()) == ([3, 1, 2], [2, 0, 4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: edf([]), "errors: no values were given, but at least one model is needed"),
        (lambda: edf([[1, 2]]), r"errors: shape \(1, 2\) was given, but one number per model is needed"),
        (lambda: edf([1, np.nan, np.inf]), r"errors: 2 of 3 values are unknown \(NaN\) or infinite, .* leave those"),
        (lambda: area([-1, 5], 50), "area: -1 was given, but errors of at least 0 are needed"),
        (lambda: edf([1, 2], [1, -0.5]), "weights: -0.5 was given, but a weight is at least 0"),
        (lambda: edf([1, 2], [0, 0]), "weights: all are 0, but at least one model must count"),
        (lambda: edf([1, 2], [1, np.inf]), r"weights: 1 of 2 values are unknown \(NaN\) or infinite"),
        (lambda: edf([1, 2], [1, 2, 3]), "weights: 3 were given for 2 errors, but every model needs one of each"),
        (lambda: effective_size([]), "weights: no values were given"),
        (lambda: quantiles([1], 0), r"quantiles: q = 0.0 was given, but shares above 0 and up to 1 are needed"),
        (lambda: quantiles([1], [0.5, 50]), r"quantiles: q = \[0.5, 50.0\] was given, .*: divide percent by 100"),
        (lambda: quantiles([1], np.nan), "quantiles: q = nan was given"),
        (lambda: area([1], 0), "area: upto = 0 was given, but an error above 0 percent is needed"),
        (lambda: area([1], np.inf), "area: upto = inf was given"),
        (lambda: evaluate([1, 2], [1], 0), "evaluate: 2 values and 1 heights were given, but increasing values"),
        (lambda: evaluate([2, 1], [0.5, 1], 0), "evaluate: .* increasing values with one height each are needed"),
        (lambda: evaluate([1], [1], np.nan), "evaluate: NaN was given, but F is defined at numbers only"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")


def test_checked_sample_keeps_the_models_that_count() -> None:
    e, w = checked_sample([3, 1, 2], [2, 0, 4])
    assert (e.tolist(), w.tolist()) == ([3, 2], [0.5, 1])


@given(samples(), samples())
def test_two_edfs_together_are_each_evaluated_at_the_errors_of_both(a: Sample, b: Sample) -> None:
    values, heights_a, heights_b = edfs_together(a[0], b[0], a[1], b[1])
    assert values.tolist() == sorted({*checked_sample(*a)[0].tolist(), *checked_sample(*b)[0].tolist()})
    assert heights_a.tolist() == evaluate(*edf(*a), values).tolist()
    assert heights_b.tolist() == evaluate(*edf(*b), values).tolist()


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 3.0]), st.integers(1, 9)), min_size=1, max_size=9))
def test_an_effective_size_from_counts_is_that_of_the_models(groups: list[tuple[float, int]]) -> None:
    weights, counts = np.array([w for w, _ in groups]), np.array([n for _, n in groups])
    if not weights.any():
        weights[0] = 1.0
    assert effective_size(weights, counts) == pytest.approx(effective_size(weights.repeat(counts)), rel=1e-12)
    sample, each, number = counted_sample(np.arange(weights.size), weights, counts)
    assert (sample.tolist(), number.tolist()) == (np.flatnonzero(weights).tolist(), counts[weights > 0].tolist())
    assert each.max() == 1


@pytest.mark.parametrize("counts", [[1], [1, 0], [1, -2], [1.0, 2.0], [[1, 2]], [True, True]])
def test_counts_that_are_none_are_refused(counts: Any) -> None:
    with pytest.raises(EdfkitError, match=r"^counts: .* every error needs a whole number of models"):
        counted_sample([1.0, 2.0], None, counts)
