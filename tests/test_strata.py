"""Strata of equal complexity, and the units in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.stats import strata as strata_module
from edfkit.stats.strata import Strata, common_weights, cut, in_strata, score

SIZES = st.lists(st.integers(1, 40), min_size=4, max_size=60)


def both(errors: str | list[float], sizes: list[float], of_a: int) -> Strata:
    """Put the first models, and the others, into strata."""
    e, c = np.array(errors, float), np.array(sizes, float)
    found = in_strata(e[:of_a], e[of_a:], c[:of_a], c[of_a:])
    assert found is not None
    return found


def test_strata_are_cut_at_quantiles_of_all_models_together() -> None:
    # Nine models, three strata; the ranks of the ties at 5 are 4, 5 and 6, so that their middle is in the second.
    assert cut([1, 2, 3, 5, 5, 5, 7, 8, 9]).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # One tie of seven: its middle, 4.5 of 9, is in the second stratum, and the third holds what is left.
    assert cut([1, 5, 5, 5, 5, 5, 5, 5, 9]).tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 2]
    assert cut([3.0, 3.0, 3.0, 3.0]).tolist() == [1, 1, 1, 1]
    assert cut(np.arange(8), number=2).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    # Rows that stand for several units count as many.
    assert cut([1, 2, 3], [7, 1, 1], 3).tolist() == [1, 2, 2]
    with pytest.raises(EdfkitError, match="strata: 0 was given, but a number of at least 1"):
        cut([1, 2], number=0)


@given(SIZES)
def test_strata_keep_ties_together_and_depend_on_the_order_alone(sizes: list[int]) -> None:
    c = np.array(sizes, float)
    strata = cut(c)
    order = np.argsort(c, kind="stable")
    assert np.all(np.diff(strata[order]) >= 0)
    assert all(np.ptp(strata[c == one]) == 0 for one in set(sizes))
    for changed in (np.log(c), c**3, -1 / c):
        np.testing.assert_array_equal(cut(changed), strata)
    if len(set(sizes)) == len(sizes):  # without ties all strata are of about one size
        assert np.ptp(np.bincount(strata)) <= 1


@given(SIZES, st.integers(1, 9), st.booleans())
def test_strata_are_cut_at_the_middles_of_ties(sizes: list[int], number: int, fractions: bool) -> None:
    c = np.array(sizes, float) / (7 if fractions else 1)
    weights = np.resize([1.0, 3.0, 2.0], c.size)
    place = [
        ((weights[c < one].sum() + weights[c == one].sum() / 2) * number, int(weights.sum())) for one in c.tolist()
    ]
    assert cut(c, weights, number).tolist() == [min(int(middle // total), number - 1) for middle, total in place]


def test_overlap_weights_are_those_computed_by_hand() -> None:
    # The first stratum holds one of A and two of B, the second one of A alone, the third three of A and one of B.
    strata = both([1, 3, 5, 7, 9, 2, 4, 6], [1, 4, 5, 5, 9, 2, 3, 5], 5)
    assert cut([1, 4, 5, 5, 9, 2, 3, 5]).tolist() == [0, 1, 2, 2, 2, 0, 0, 2]
    assert (strata.units_a.tolist(), strata.units_b.tolist()) == ([1, 3], [2, 1])
    assert (strata.outside_a, strata.outside_b) == (1, 0)
    h = np.array([2 / 3, 3 / 4])
    assert strata.overlap == h.sum()
    assert strata.shares == pytest.approx(h / h.sum())
    for of in (strata.first, ~strata.first):
        assert strata.weights[of].sum() == pytest.approx(1)
    assert strata.effective[0] == pytest.approx(1 / np.square(strata.weights[strata.first]).sum())


def test_models_outside_the_overlap_take_no_part_and_are_counted() -> None:
    strata = both([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9], 4)
    assert (strata.outside_a, strata.outside_b) == (3, 3)
    assert sorted(strata.errors) == [4, 5, 6]
    counted = in_strata([1, 2], [8, 9], [1, 2], [2, 9], counts_a=[5, 2], counts_b=[2, 7])
    assert counted is not None
    assert (counted.outside_a, counted.outside_b) == (5, 7)
    assert in_strata([1, 2], [3, 4], [1, 1], [9, 9]) is None


def test_rows_of_a_unit_share_its_weight_and_its_stratum() -> None:
    strata = in_strata([1, 2, 3, 4], [5, 6], [10, 12, 30, 30], [11, 30], units_a=[7, 7, 8, 8], units_b=[1, 2], strata=2)
    assert strata is not None
    assert strata.size.tolist() == [0.5] * 4 + [1, 1]
    assert strata.units_a.tolist() == strata.units_b.tolist() == [1, 1]
    assert strata.collapsed().errors.tolist() == [1.5, 3.5, 5, 6]
    assert np.exp(strata.logs[:2, 0]) == pytest.approx([11, 11])
    plain = both([1, 2, 3, 4], [1, 1, 1, 1], 2)
    assert plain.unit is None
    assert plain.collapsed() is plain


def test_counts_are_so_many_rows() -> None:
    counted = in_strata([1, 2], [1, 3], [1, 2], [1, 2], counts_a=[3, 2], counts_b=[1, 4])
    rows = in_strata([1, 1, 1, 2, 2], [1, 3, 3, 3, 3], [1, 1, 1, 2, 2], [1, 2, 2, 2, 2])
    assert counted is not None
    assert rows is not None
    assert counted.overlap == rows.overlap
    np.testing.assert_array_equal(counted.expanded().errors, rows.errors)
    np.testing.assert_allclose(counted.expanded().weights, rows.weights)


def test_pairs_are_strata_of_two() -> None:
    strata = in_strata([1, 2, 3], [4, 5, 6], units_a=[9, 8, 7], units_b=[7, 8, 9], paired=True)
    assert strata is not None
    assert strata.number == 3
    assert strata.overlap == pytest.approx(3 / 2)
    for at in range(3):  # the first of A is the last of B
        assert set(strata.errors[strata.stratum == at]) in ({1, 6}, {2, 5}, {3, 4})


def test_a_complexity_that_is_not_above_0_is_taken_as_it_is() -> None:
    strata = in_strata([1, 2], [3, 4], [[1, 0], [2, 5]], [[1, 5], [2, 0]], strata=1)
    assert strata is not None
    assert strata.logarithmic == (True, False)
    assert strata.logs[:, 1].tolist() == [0, 5, 5, 0]
    for wrong in ([1, np.nan], [1, 2, 3], [[[1]], [[2]]]):
        with pytest.raises(EdfkitError, match="complexity: shape"):
            in_strata([1, 2], [3, 4], wrong, [1, 2])


def test_a_score_balances_several_complexities() -> None:
    rng = np.random.default_rng(0)
    logs = np.concatenate([rng.normal(0, 1, (400, 2)), rng.normal((0.8, 0.3), 1, (400, 2))])
    first = np.arange(800) < 400
    errors = rng.normal(20, 1, 800)
    strata = in_strata(errors[first], errors[~first], np.exp(logs[first]), np.exp(logs[~first]))
    assert strata is not None
    sign = np.where(strata.first, strata.weights, -strata.weights)
    assert np.abs(strata.before) == pytest.approx([0.8, 0.3], abs=0.2)
    assert np.abs(sign @ strata.logs).max() < 0.1
    # Neither the order of the rows nor which is A changes it, and equal rows have one score.
    sizes = np.ones(800)
    one = score(logs, first, sizes)
    order = rng.permutation(800)
    np.testing.assert_array_equal(score(logs[order], first[order], sizes), one[order])
    np.testing.assert_allclose(score(logs, ~first, sizes), one, atol=1e-8)
    np.testing.assert_allclose(score(3 * logs, first, sizes), one, atol=1e-8)


def test_a_regression_on_many_points_begins_with_some(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    logs, first = rng.normal(0, 1, (1_000, 2)), rng.random(1_000) < 0.4
    logs[first] += 0.5
    found = score(logs, first, np.ones(1_000))
    monkeypatch.setattr(strata_module, "_FEW", 250)
    np.testing.assert_allclose(score(logs, first, np.ones(1_000)), found, atol=2e-9)


def test_common_strata_of_two_populations_are_their_own() -> None:
    rng = np.random.default_rng(1)
    a, b, c = (np.exp(rng.normal(shift, 1, 50)) for shift in (0, 0.3, 1))
    strata = in_strata(a, b, a, b)
    assert strata is not None
    placed = cut(np.concatenate([a, b]))
    found = common_weights([placed[:50], placed[50:]], [np.ones(50)] * 2)
    assert found is not None
    weights, number = found
    assert number == strata.number
    assert weights[0][weights[0] > 0] == pytest.approx(strata.weights[strata.first])
    three = common_weights(np.split(cut(np.concatenate([a, b, c])), [50, 100]), [np.ones(50)] * 3)
    assert three is not None
    assert [one.sum() for one in three[0]] == pytest.approx([1, 1, 1])
    assert common_weights([np.array([0]), np.array([1])], [np.ones(1)] * 2) is None


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(EdfkitError, match="units: 1 were given for 2 errors"):
        in_strata([1, 2], [3, 4], units_a=[1], units_b=[1, 2])
    with pytest.raises(EdfkitError, match="counts: "):
        in_strata([1, 2], [3, 4], counts_a=[0, 1])
