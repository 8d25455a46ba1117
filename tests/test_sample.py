"""A sample in the place of errors, weights, counts and bins: the same results, checked once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from strategies import counted

from edfkit import EdfkitError
from edfkit.result import plain
from edfkit.stats import edf as edf_module
from edfkit.stats import sample as sample_module
from edfkit.stats.adjusted import better
from edfkit.stats.bands import crossings, difference_band, edf_band, edf_difference, tail
from edfkit.stats.bootstrap import bootstrap
from edfkit.stats.edf import area, checked_sample, counted_sample, edf, edfs_together, effective_size, mean, quantiles
from edfkit.stats.mix import decompose
from edfkit.stats.permutation import permutation_test
from edfkit.stats.sample import Sample, ordered, places
from edfkit.stats.strata import in_strata
from edfkit.stats.two_sample import ks, prob_better, summarize

RNG = np.random.default_rng(3)
SIZES = 60, 80
(E, F), (V, W), (N, M), (S, T) = (
    [RNG.integers(0, 40, n) / 4 for n in SIZES],
    [RNG.choice([0.0, 0.5, 1.0, 3.0], n) for n in SIZES],
    [RNG.integers(1, 5, n) for n in SIZES],
    [RNG.integers(-1, 4, n) for n in SIZES],
)
RE, RV, RF, RW = np.repeat(E, N), np.repeat(V, N), np.repeat(F, M), np.repeat(W, M)


def same(result: Any, expected: Any) -> None:
    """Compare results of any kind, up to round-off."""
    if isinstance(expected, dict):
        assert result.keys() == expected.keys()
        for key, value in expected.items():
            same(result[key], value)
    elif isinstance(expected, list):
        assert len(result) == len(expected)
        for one, other in zip(result, expected, strict=True):
            same(one, other)
    elif isinstance(expected, float):
        assert result == pytest.approx(expected, rel=1e-11, abs=1e-11)
    else:
        assert result == expected


def as_data(result: Any) -> Any:
    if hasattr(result, "__dataclass_fields__") and not hasattr(result, "to_dict"):
        return plain(vars(result))
    return plain(result)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


A, B = Sample(E, V, N), Sample(F, W, M)
IN_BINS = Sample(E, None, N, S), Sample(F, None, M, T)
POSITIVE = Sample(E, V + 1, N, S), Sample(F, W + 1, M, T)


@pytest.mark.parametrize(
    ("sampled", "in_pieces"),
    [
        (lambda: counted_sample(A), lambda: counted_sample(E, V, N)),
        (lambda: edf(A), lambda: edf(RE, RV)),
        (lambda: edfs_together(A, B), lambda: edfs_together(RE, RF, RV, RW)),
        (lambda: quantiles(A, [0.1, 0.5]), lambda: quantiles(RE, [0.1, 0.5], RV)),
        (lambda: mean(A), lambda: mean(RE, RV)),
        (lambda: area(A, 7.0), lambda: area(RE, 7.0, RV)),
        (lambda: effective_size(A), lambda: effective_size(RV)),
        (lambda: ks(A, B), lambda: ks(RE, RF, RV, RW)),
        (lambda: ks(Sample(E, None, N), Sample(F)), lambda: ks(RE, F)),
        (lambda: ks(A, F), lambda: ks(RE, F, RV)),
        (lambda: prob_better(A, B), lambda: prob_better(RE, RF, RV, RW)),
        (lambda: summarize(A, area_to=6.0), lambda: summarize(RE, RV, 6.0)),
        (lambda: edf_band(A), lambda: edf_band(RE, RV)),
        (
            lambda: edf_band(Sample(E, counts=N), method="equal-local-levels"),
            lambda: edf_band(RE, method="equal-local-levels"),
        ),
        (lambda: edf_difference(A, B), lambda: edf_difference(RE, RF, RV, RW)),
        (lambda: difference_band(A, B), lambda: difference_band(RE, RF, RV, RW)),
        (lambda: crossings(A, B), lambda: crossings(RE, RF, RV, RW)),
        (lambda: tail(A, B, 0.3), lambda: tail(RE, RF, 0.3, RV, RW)),
        (
            lambda: tail(*POSITIVE, 0.3),
            lambda: tail(
                RE, RF, 0.3, RV + 1, RW + 1, strata_a=np.repeat(S, N), strata_b=np.repeat(T, M)
            ),
        ),
        (
            lambda: tail(Sample(E, V, N, S), B, 0.3),
            lambda: tail(
                RE[RV > 0], RF, 0.3, RV[RV > 0], RW, strata_a=np.repeat(S, N)[RV > 0]
            ),
        ),
        (
            lambda: permutation_test(*IN_BINS, trials=50, rng=rng()),
            lambda: permutation_test(RE, RF, np.repeat(S, N), np.repeat(T, M), trials=50, rng=rng()),
        ),
        (
            lambda: decompose(IN_BINS[0], None, IN_BINS[1]),
            lambda: decompose(RE, np.repeat(S, N), RF, np.repeat(T, M)),
        ),
        (
            lambda: bootstrap("mean", A, trials=100, rng=7),
            lambda: bootstrap("mean", RE, RV, trials=100, rng=7),
        ),
        (
            lambda: bootstrap("prob_better", A, errors_b=B, trials=100, rng=7),
            lambda: bootstrap("prob_better", RE, RV, errors_b=RF, weights_b=RW, trials=100, rng=7),
        ),
        (
            lambda: better(in_strata(Sample(E, counts=N), Sample(F, counts=M), E, F)),  # type: ignore[arg-type]
            lambda: better(in_strata(RE, RF, RE, RF)),  # type: ignore[arg-type]
        ),
        (
            lambda: better(in_strata(*IN_BINS)),  # type: ignore[arg-type]
            lambda: better(in_strata(RE, RF, bins_a=np.repeat(S, N), bins_b=np.repeat(T, M))),  # type: ignore[arg-type]
        ),
    ],
)  # fmt: skip
def test_a_sample_gives_what_its_models_give(sampled: Callable[[], Any], in_pieces: Callable[[], Any]) -> None:
    same(as_data(sampled()), as_data(in_pieces()))


@given(counted())
def test_a_sample_weighs_as_its_models_do(drawn: tuple[Any, Any, Any]) -> None:
    errors, weights, counts = drawn
    sample = Sample(errors, weights, counts)
    repeated = np.repeat(errors, counts), None if weights is None else np.repeat(weights, counts)
    assert sample.models == counts.sum()
    e, w = checked_sample(sample)
    for one, other in zip(edf(e, w), edf(*repeated), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert effective_size(sample) == pytest.approx(effective_size(checked_sample(*repeated)[1]), rel=1e-12)


def test_a_sample_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def counting(values: ArrayLike, name: str) -> Any:
        seen.append(name)
        return finite_vector(values, name)

    finite_vector = sample_module.finite_vector
    monkeypatch.setattr(sample_module, "finite_vector", counting)
    monkeypatch.setattr(edf_module, "finite_vector", counting)
    sample = Sample(E, V, N)
    assert seen == ["errors", "weights"]
    first = counted_sample(sample)
    assert all(one is other for one, other in zip(counted_sample(sample), first, strict=True))
    assert seen == ["errors", "weights"]
    checked_sample(E, V)
    assert seen == ["errors", "weights"] * 2


def test_its_arrays_are_its_own_and_cannot_be_written_to() -> None:
    errors = np.array([1.0, 2.0])
    sample = Sample(errors, [1, 2], [3, 4], [0, -1])
    errors[0] = 5.0
    assert sample.errors.tolist() == [1.0, 2.0]
    for array in (sample.errors, sample.weights, sample.counts, sample.strata):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Sample([]), "no values were given"),
        (lambda: Sample([1.0, np.nan]), "errors: 1 of 2 values are unknown"),
        (lambda: Sample([1.0, np.inf]), "1 of 2 values are unknown \\(NaN\\) or infinite"),
        (lambda: Sample([1.0], [1.0, 2.0]), "2 were given for 1 errors"),
        (lambda: Sample([1.0], [-1.0]), "a weight is at least 0"),
        (lambda: Sample([1.0], [0.0]), "all are 0"),
        (lambda: Sample([1.0], None, [0]), "whole number of models, at least 1"),
        (lambda: Sample([1.0], None, [1.5]), "whole number of models, at least 1"),
        (lambda: Sample([1.0], None, None, [-2]), "strata: int64 from -2"),
        (lambda: Sample(["one"]), "errors: no numbers were given"),
        (lambda: Sample([1.0, 2.0], [[1.0], [1.0, 2.0]]), "weights: no numbers were given"),
        (lambda: Sample(Sample([1.0])), "a Sample was given as errors"),  # type: ignore[arg-type]
        (lambda: Sample(np.ma.masked_array([1.0, 2.0], [False, True])), "some values are masked"),
        (lambda: Sample([1.0, 2.0], None, [2**62, 2**62]), r"9\.22e\+18 models were given"),
        (lambda: Sample([1.0], None, None, ["a"]), "strata: <U1 was given"),
        (lambda: Sample([1.0], None, None, np.array([2**64 - 1], np.uint64)), "strata: uint64 from"),
        (lambda: Sample([1.0], None, None, [0, 1]), r"strata: shape \(2,\) was given for 1 errors"),
        (lambda: mean(A, V), "weights were given beside it"),
        (lambda: summarize(A, V, counts=N), "weights and counts were given beside it"),
        (lambda: permutation_test(*IN_BINS, S, T, rng=rng()), "bins were given beside it"),
        (lambda: permutation_test(A, B, rng=rng()), "bins of A: none were given"),
        (lambda: in_strata(A, B, counts_a=N), "counts_a were given beside it"),
        (lambda: tail(*POSITIVE, 0.5, strata_a=S), "strata were given beside it"),
    ],
)
def test_what_a_sample_cannot_hold_or_have_beside_it_is_refused(wrong: Callable[[], Any], words: str) -> None:
    with pytest.raises(EdfkitError, match=words):
        wrong()


GRIDS = st.one_of(
    st.lists(st.integers(0, 10_000).map(lambda k: k / 100), min_size=1, max_size=40),
    st.lists(st.floats(0, 100), min_size=1, max_size=40),
    st.lists(st.integers(0, 50), min_size=1, max_size=40),
    st.lists(st.integers(-3, 2**62), min_size=1, max_size=40),
)


@settings(max_examples=60)
@given(GRIDS, st.booleans())
def test_numbers_are_sorted_and_counted_off_as_numpy_does(drawn: list[float], many: bool) -> None:
    values = np.array(drawn * (20_000 // len(drawn)) if many else drawn)
    distinct, place = places(values)
    expected = np.unique(values, return_inverse=True)
    np.testing.assert_array_equal(distinct, expected[0])
    np.testing.assert_array_equal(place, expected[1])
    increasing, order = ordered(values)
    np.testing.assert_array_equal(increasing, np.sort(values))
    np.testing.assert_array_equal(order, np.argsort(values, kind="stable"))
