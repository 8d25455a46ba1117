"""What may be claimed of several pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.stats.claims import claims, p_any, permutations_needed
from edfkit.stats.mix import holm

P = st.floats(0, 1) | st.sampled_from([0.0, 1e-9, 1e-4, 0.001, 0.01, 0.04, 0.05, 0.2])
PAIRS = st.lists(st.tuples(P, P), min_size=1, max_size=12)
ALPHA = st.sampled_from([0.01, 0.05, 0.1, 0.5])


def test_claims_by_hand() -> None:
    # p_any is .00125, .01, .02, .375; levels .05 / 4, then / 3 after the first is better, and so on.
    found = claims([(0.001, 0.5), (0.9, 0.002), (0.016, 0.9), (0.3, 0.9)])
    assert [one.kind for one in found] == ["better", "shape", "none", "none"]
    assert found[0].p_value == 0.001 / 0.8
    assert [one.p_adjusted for one in found] == pytest.approx([0.005, 0.03, 0.06, 1.0])
    # By itself the third would be claimed.
    (alone,) = claims([(0.016, 0.9)])
    assert alone.kind == "better"
    assert alone.p_adjusted == pytest.approx(0.02)


def test_a_difference_in_shape_alone_names_nobody() -> None:
    (found,) = claims([(0.2, 0.001)])
    assert found.kind == "shape"
    assert found.p_value == pytest.approx(0.005)
    (one,) = claims([(0.045, 0.0001)])  # the rank test by itself would not do, but the pair is claimed already
    assert (one.kind, one.p_value) == ("better", 0.045)


@given(PAIRS, ALPHA)
def test_there_is_a_claim_exactly_where_the_adjusted_p_value_allows_it(
    pairs: list[tuple[float, float]], alpha: float
) -> None:
    found = claims(pairs, alpha)
    for one, (p_better, p_shape) in zip(found, pairs, strict=True):
        assert (one.kind != "none") == (one.p_adjusted <= alpha)
        assert 0 <= one.p_value <= one.p_adjusted <= 1 or one.p_adjusted == pytest.approx(one.p_value)
        if one.kind == "better":
            assert one.p_value == max(p_better, p_any(p_better, p_shape)) <= alpha
        else:
            assert one.p_value == p_any(p_better, p_shape)


@given(PAIRS, ALPHA)
def test_order_does_not_matter_and_one_more_pair_claims_no_more(pairs: list[tuple[float, float]], alpha: float) -> None:
    found = claims(pairs, alpha)
    assert [one.p_value for one in claims(pairs[::-1], alpha)][::-1] == [one.p_value for one in found]
    more = claims([*pairs, (1.0, 1.0)], alpha)[:-1]
    for one, other in zip(found, more, strict=True):
        assert other.kind == "none" or one.kind != "none"


@given(st.lists(P, min_size=1, max_size=10))
def test_where_shapes_say_nothing_it_is_holms_method(p_better: list[float]) -> None:
    adjusted = holm([min(1.0, p / 0.8) for p in p_better])
    found = claims([(p, 1.0) for p in p_better])
    # Up to where the steps stop: from there on Holm's method goes on as if it had not.
    claimed = [one.p_adjusted <= 0.05 for one in found]
    np.testing.assert_array_equal(claimed, adjusted <= 0.05)
    for one, its in zip(found, adjusted.tolist(), strict=True):
        assert one.kind == "none" or one.p_adjusted == pytest.approx(its)


def test_enough_permutations_are_drawn_for_a_claim_of_any_pair() -> None:
    assert permutations_needed(1, 0.05) == 1_999
    assert permutations_needed(91, 0.05) == 18_200
    for pairs, alpha in ((1, 0.001), (36, 0.05), (105, 0.01)):
        smallest = 1 / (1 + permutations_needed(pairs, alpha))
        assert p_any(1.0, smallest) <= alpha / pairs


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(EdfkitError, match="alpha: 1 was given"):
        claims([(0.1, 0.1)], 1.0)
    with pytest.raises(EdfkitError, match="claims: p values"):
        claims([(0.1, 1.1)])
