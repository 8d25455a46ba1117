import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import complexities, errors

from edfkit import EdfkitError
from edfkit.stats.bins import (
    EmptyBinsError,
    balanced_sample,
    bin_counts,
    bin_index,
    check_bins,
    common_range,
    complexity_weights,
    default_bins,
)
from edfkit.stats.edf import Floats
from edfkit.stats.two_sample import ks, prob_better


def test_common_range_by_hand() -> None:
    assert common_range([1, 5, 9], [3, 12], [2, 8]) == (3, 8)
    assert common_range([4, 2]) == (2, 4)
    assert common_range([1, 2], [2, 3]) == (2, 2)


def test_populations_apart_are_refused_with_their_ranges() -> None:
    with pytest.raises(EdfkitError, match=r"share no range of complexity \(small 1 to 2, large 30000000 to 40000000\)"):
        common_range([1, 2], [3e7, 4e7], names=("small", "large"))
    with pytest.raises(
        EdfkitError, match=r"population 2 3 to 4\): compare them without normalising \(given none\), or"
    ):
        common_range([1, 2], [3, 4])


def test_bin_index_by_hand() -> None:
    # Bins of width 2 from 0 to 10: an inner edge belongs to the bin above it, 10 to the last bin.
    complexity = [-0.1, 0, 1.9, 2, 9.9, 10, 10.1]
    assert bin_index(complexity, 0, 10, 5).tolist() == [-1, 0, 0, 1, 4, 4, -1]
    assert bin_counts(complexity, 0, 10, 5).tolist() == [2, 1, 0, 0, 2]


@given(complexities(), st.integers(0, 100), st.integers(1, 1000), st.integers(1, 50), st.data())
def test_bins_equal_numpy_histogram(c: Floats, start: int, width: int, bins: int, data: st.DataObject) -> None:
    lo, hi = start / 3, (start + width) / 3
    # Models exactly on the edges are the hard ones.
    on_edges = data.draw(st.lists(st.sampled_from(np.linspace(lo, hi, bins + 1).tolist())))
    c = np.concatenate([c, on_edges])
    assert_array_equal(bin_counts(c, lo, hi, bins), np.histogram(c, bins, (lo, hi))[0])
    index = bin_index(c, lo, hi, bins)
    assert_array_equal(index < 0, (c < lo) | (c > hi))
    edges = np.linspace(lo, hi, bins + 1)
    inside = index >= 0
    assert np.all(edges[index[inside]] <= c[inside])
    assert np.all((c[inside] < edges[index[inside] + 1]) | (c[inside] == hi))


def test_weights_by_hand() -> None:
    # Two bins, 0 to 5 and 5 to 10. One model in the first: 1/2. Two in the second: 1/4 each. 11 is outside.
    assert complexity_weights([1, 5, 10, 11], 0, 10, 2).tolist() == [0.5, 0.25, 0.25, 0]


@given(st.integers(0, 2**53), st.integers(1, 40), st.integers(1, 60), st.data())
def test_bins_of_a_few_rounding_steps_are_found_too(lo: int, width: int, bins: int, data: st.DataObject) -> None:
    start, end = float(lo), float(lo) + width * max(1.0, float(np.spacing(float(lo))))
    c = np.array(data.draw(st.lists(st.floats(start, end), min_size=1, max_size=20)))
    expected = np.searchsorted(np.linspace(start, end, bins + 1), c, side="right") - 1
    assert_array_equal(bin_index(c, start, end, bins), np.where(c == end, bins - 1, expected))


@given(errors(40, 60), errors(40, 60), st.integers(1, 5))
def test_a_balanced_sample_is_the_models_with_their_weights(a: Floats, b: Floats, bins: int) -> None:
    populations = [(one, np.resize(np.arange(1.0, 12.0), one.size)) for one in (a, b)]
    counted = [balanced_sample(one, c, 2, 10, bins) for one, c in populations]
    weights = [complexity_weights(c, 2, 10, bins) for _, c in populations]
    assert [one.models for one in counted] == [int((one > 0).sum()) for one in weights]
    ours, theirs = ks(counted[0], counted[1]), ks(a, b, *weights)
    assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.p_value), abs=1e-12)
    assert prob_better(counted[0], counted[1]) == pytest.approx(prob_better(a, b, *weights), abs=1e-12)
    for one, (_, c) in zip(counted, populations, strict=True):
        assert one.strata is not None
        assert one.counts is not None
        assert_array_equal(np.bincount(one.strata, one.counts), bin_counts(c, 2, 10, bins))


def test_a_balanced_sample_of_an_empty_bin_is_refused() -> None:
    with pytest.raises(EmptyBinsError, match="the population has no model in 10 to 15"):
        balanced_sample([1.0, 2.0], [5, 16], 10, 20, 2)


def test_weights_of_a_single_complexity() -> None:
    assert complexity_weights([7, 7], 7, 7, 1).tolist() == [0.5, 0.5]
    assert default_bins({"a": [7, 7]}, 7, 7) == 1


@given(complexities(), st.integers(1, 8), st.integers(0, 30), st.integers(1, 90))
def test_every_bin_weighs_the_same(c: Floats, bins: int, lo: int, width: int) -> None:
    hi = lo + width
    c = np.append(c, lo + (np.arange(bins) + 0.5) * width / bins)  # one at least in every bin
    weights = complexity_weights(c, lo, hi, bins)
    index = bin_index(c, lo, hi, bins)
    assert_allclose(np.bincount(index[index >= 0], weights[index >= 0]), 1 / bins)
    assert np.all(weights[index < 0] == 0)
    order = np.argsort(-c, kind="stable")
    assert_array_equal(complexity_weights(c[order], lo, hi, bins), weights[order])
    assert_allclose(complexity_weights(np.tile(c, 3), lo, hi, bins), np.tile(weights, 3) / 3)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_merging_bins_of_equal_counts_changes_nothing(counts: list[int]) -> None:
    # Bins 2i and 2i + 1 hold counts[i] models each, so one bin of twice the width gives the same weights.
    c = np.repeat(np.arange(2 * len(counts)) + 0.5, np.repeat(counts, 2))
    hi = 2 * len(counts)
    assert_allclose(complexity_weights(c, 0, hi, hi), complexity_weights(c, 0, hi, hi // 2))


def test_empty_bins_are_named_with_what_works() -> None:
    # 0 to 10 in five bins: none in 4 to 6 and 6 to 8. Of four 5 to 7.5 is empty, three hold 3, 1 and 1 models.
    with pytest.raises(EdfkitError) as refused:
        complexity_weights([0, 1, 3, 4 - 1e-9, 9], 0, 10, 5)
    assert str(refused.value) == (
        "With 5 bins over the complexity range 0 to 10, the population has no model in 4 to 6, 6 to 8: use 3 bins."
    )


def test_a_better_range_is_named_too() -> None:
    # Over 0 to 100 one bin is all that works; over 40 to 45, where both have models, three do.
    with pytest.raises(EdfkitError) as refused:
        check_bins({"a": [40, 42, 44, 45], "b": [39, 41, 43, 45]}, 0, 100, 3)
    assert str(refused.value) == (
        "With 3 bins over the complexity range 0 to 100, a has no model in 0 to 33.33333333, 66.66666667 to 100; "
        "b has no model in 0 to 33.33333333, 66.66666667 to 100: use 1 bin, or use the range 40 to 45 with 3 bins."
    )


def test_many_empty_bins_are_counted() -> None:
    with pytest.raises(EdfkitError, match="no model in 1 to 2, 2 to 3, 3 to 4 and 5 more: use 2 bins"):
        check_bins({"a": [0, 10]}, 0, 10, 10)


def test_a_range_without_models_names_the_one_that_is_covered() -> None:
    with pytest.raises(EdfkitError, match=r"b has no model in 20 to 30: use the range 2 to 10 with 1 bin\.$"):
        check_bins({"a": [1, 9, 25], "b": [2, 10]}, 20, 30, 1)
    with pytest.raises(EdfkitError, match=r"b has no model in 0 to 3: compare without normalising \(given none\)\.$"):
        check_bins({"a": [1, 2], "b": [5, 6]}, 0, 3, 1)


@given(st.lists(complexities(), min_size=1, max_size=3), st.integers(1, 12), st.floats(0, 1))
def test_the_advice_works(populations: list[Floats], bins: int, lo: float) -> None:
    named = {f"space {i}": c for i, c in enumerate(populations)}
    hi = max(c.max() for c in populations) + 1
    try:
        check_bins(named, lo, hi, bins)
    except EdfkitError as refused:
        message = str(refused)
        assert any(bin_counts(c, lo, hi, bins).min() == 0 for c in populations)
        if fewer := re.search(r": use (\d+) bin", message):
            check_bins(named, lo, hi, int(fewer[1]))
        if inner := re.search(r"use the range (\S+) to (\S+) with (\d+) bin", message):
            check_bins(named, float(inner[1]), float(inner[2]), int(inner[3]))
    else:
        assert all(bin_counts(c, lo, hi, bins).min() > 0 for c in populations)


def test_default_bins_by_hand() -> None:
    # 20 models evenly over 0 to 19: four bins hold five each, five bins only four.
    even = np.arange(20)
    assert default_bins({"a": even}, 0, 19) == 4
    assert default_bins({"a": even}, 0, 19, least=1) == 10
    # Ten models: two bins; both populations must have their five.
    assert default_bins({"a": even, "b": even[::2]}, 0, 19) == 2
    # Less than five in all: one bin.
    assert default_bins({"a": even, "b": [3, 4]}, 0, 19) == 1


@given(st.lists(complexities(), min_size=1, max_size=3), st.integers(1, 6), st.integers(1, 40))
def test_default_bins_is_the_most_that_works(populations: list[Floats], least: int, most: int) -> None:
    lo, hi = max(c.min() for c in populations), min(c.max() for c in populations)
    assume(lo < hi)
    assume(all(np.any((lo <= c) & (c <= hi)) for c in populations))
    works = [b for b in range(1, most + 1) if all(np.histogram(c, b, (lo, hi))[0].min() >= least for c in populations)]
    named = {str(i): c for i, c in enumerate(populations)}
    assert default_bins(named, lo, hi, least, most) == max(works, default=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: common_range(), "common_range: no population was given"),
        (lambda: common_range([1, np.nan]), r"complexity of population 1: 1 of 2 values are unknown \(NaN\)"),
        (lambda: complexity_weights([1, np.nan], 0, 1, 1), "complexity of the population: 1 of 2 values are unknown"),
        (lambda: bin_index([], 0, 1, 1), "complexity: no values were given"),
        (lambda: bin_index([1], 0, 1, 0), "bins: 0 was given, but a number from 1 to 100000 is needed"),
        (lambda: bin_index([1], 0, 1, 856_000), "bins: 856000 was given, but a number from 1 to 100000 is needed"),
        (lambda: bin_index([1], 5, 1, 3), "range: 5 to 1 was given, but a range must start below its end"),
        (lambda: bin_index([5, 5], 5, 5, 2), "range: 5 to 5 was given, but a range must start below its end"),
        (lambda: bin_index([5, 6], 5, 5, 1), "range: 5 to 5 was given, but a range must start below its end"),
        (lambda: bin_index([5], 0, np.nan, 1), "range: 0 to nan was given"),
        (lambda: bin_index([5], 0, np.inf, 1), "range: 0 to inf was given"),
        (lambda: check_bins({}, 0, 1, 1), "bins: no population was given"),
        (lambda: check_bins({"resnet": [np.nan]}, 0, 1, 1), "complexity of resnet: 1 of 1 values are unknown"),
        (
            lambda: default_bins({"a": [5.0]}, 0, 1),
            "With 1 bin over the complexity range 0 to 1, a has no model in 0 to 1",
        ),
        (lambda: default_bins({"a": [5.0]}, 0, 9, least=0), "bins: least = 0 and most = 10 were given"),
        (lambda: default_bins({"a": [5.0]}, 0, 9, most=0), "bins: least = 5 and most = 0 were given"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
