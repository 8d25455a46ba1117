import json
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import errors

from edfkit import EdfkitError
from edfkit.stats.edf import Floats, mean
from edfkit.stats.mix import Mix, Parts, decompose, holm
from edfkit.stats.two_sample import ks, prob_better

Population = tuple[Floats, NDArray[np.intp]]
PARTS = ("composition", "within", "unshared")


@st.composite
def populations(draw: st.DrawFn, most_bins: int = 4, outside: bool = True) -> Population:
    """Errors and bins; one model at least is in bin 0."""
    sample = draw(errors())
    bins = st.integers(-1 if outside else 0, most_bins - 1)
    return sample, np.array([0, *draw(st.lists(bins, min_size=sample.size - 1, max_size=sample.size - 1))])


def by_kitagawa(a: Population, b: Population, value: Callable[[Floats], float]) -> tuple[float, float]:
    """The composition and the within part of a difference of means, bin by bin, over the shared bins."""
    shared = sorted(set(a[1].tolist()) & set(b[1].tolist()) - {-1})
    n_a, n_b = np.isin(a[1], shared).sum(), np.isin(b[1], shared).sum()
    composition = within = 0.0
    for i in shared:
        in_a, in_b = a[0][a[1] == i], b[0][b[1] == i]
        p, q = in_a.size / n_a, in_b.size / n_b
        composition += (p - q) * (value(in_a) + value(in_b)) / 2
        within += (p + q) / 2 * (value(in_a) - value(in_b))
    return composition, within


def test_mix_by_hand() -> None:
    # A: bin 0 has 10, 10, 20; bin 1 has 30. B: bin 0 has 20; bin 1 has 30, 30, 40. Shares 3/4, 1/4 and 1/4, 3/4.
    mix = decompose([10, 10, 20, 30], [0, 0, 0, 1], [20, 30, 30, 40], [0, 1, 1, 1])
    # Means: 40/3, 30 and 20, 100/3. 17.5 - 30 = 1/2 (40/3 + 20)/2 - 1/2 (30 + 100/3)/2 + 1/2 (-20/3) + 1/2 (-10/3).
    assert mix.mean.total == pytest.approx(-12.5)
    assert mix.mean.composition == pytest.approx(-7.5)
    assert mix.mean.within == pytest.approx(-5)
    assert mix.mean.unshared == 0
    assert mix.mean.shares() == pytest.approx({"composition": 0.6, "within": 0.4, "unshared": 0})
    assert mix.errors.tolist() == [10, 20, 30, 40]
    # At 10: F_A|0 = 2/3, all others 0: 1/2 * 2/3 / 2 and 1/2 * 2/3.
    assert mix.total == pytest.approx([0.5, 0.5, 0.25, 0])
    assert mix.composition[0] == pytest.approx(1 / 6)
    assert mix.within[0] == pytest.approx(1 / 3)
    assert mix.distance.total == pytest.approx(0.5)
    assert mix.distance.within == pytest.approx(1 / 3)
    assert (mix.shares_a.tolist(), mix.shares_b.tolist()) == ([0.75, 0.25], [0.25, 0.75])


@settings(max_examples=60)
@given(populations(), populations())
def test_parts_are_those_of_kitagawa_and_add_up(a: Population, b: Population) -> None:
    mix = decompose(*a, *b)
    inside_a, inside_b = a[0][a[1] >= 0], b[0][b[1] >= 0]
    assert (mix.left_out_a, mix.left_out_b) == (a[0].size - inside_a.size, b[0].size - inside_b.size)
    assert mix.mean.total == pytest.approx(mean(inside_a) - mean(inside_b), abs=1e-9)
    assert mix.prob_better.total == pytest.approx(prob_better(inside_a, inside_b) - 0.5, abs=1e-12)
    assert mix.distance.total == pytest.approx(ks(inside_a, inside_b).statistic, abs=1e-12)
    parts: Parts
    for parts in (mix.mean, mix.prob_better):
        assert parts.composition + parts.within + parts.unshared == pytest.approx(parts.total, abs=1e-9)
    np.testing.assert_allclose(mix.composition + mix.within + mix.unshared, mix.total, rtol=0, atol=1e-12)
    assert (mix.mean.composition, mix.mean.within) == pytest.approx(by_kitagawa(a, b, np.mean), abs=1e-9)
    for e, composition, within in zip(mix.errors, mix.composition, mix.within, strict=True):
        expected = by_kitagawa(a, b, lambda x, e=e: np.mean(x <= e))  # type: ignore[misc] # mypy: no type for e=e
        assert (composition, within) == pytest.approx(expected, abs=1e-12)
    # The area between the EDFs is the difference of the means, part by part.
    for part in PARTS:
        area = -np.diff(mix.errors) @ getattr(mix, part)[:-1]
        assert getattr(mix.mean, part) == pytest.approx(area, abs=1e-9)
    assert np.abs(mix.within).max() == mix.distance.within


@given(populations(), populations(), st.permutations(range(4)))
def test_exchange_turns_the_signs_and_names_of_bins_do_not_matter(
    a: Population, b: Population, names: list[int]
) -> None:
    mix, swapped = decompose(*a, *b), decompose(*b, *a)
    renamed = [np.append(names, -1)[bins] for bins in (a[1], b[1])]
    again = decompose(a[0], renamed[0], b[0], renamed[1])
    for part in ("total", *PARTS):
        np.testing.assert_allclose(getattr(swapped, part), -getattr(mix, part), rtol=0, atol=1e-12)
        np.testing.assert_allclose(getattr(again, part), getattr(mix, part), rtol=0, atol=1e-12)
        for summary in ("mean", "prob_better"):
            value = getattr(getattr(mix, summary), part)
            assert getattr(getattr(swapped, summary), part) == pytest.approx(-value, abs=1e-9)
            assert getattr(getattr(again, summary), part) == pytest.approx(value, abs=1e-9)


@given(populations(outside=False), st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_equal_errors_within_bins_leave_composition_alone(a: Population, copies: list[int]) -> None:
    # B has the models of each bin of A several times over.
    times = np.array(copies)[a[1]]
    mix = decompose(*a, np.repeat(a[0], times), np.repeat(a[1], times))
    for parts in (mix.mean, mix.prob_better, mix.distance):
        assert parts.within == pytest.approx(0, abs=1e-9)
        assert parts.unshared == 0
        assert parts.composition == pytest.approx(parts.total, abs=1e-9)


@given(populations(outside=False), st.randoms(use_true_random=False))
def test_equal_shares_leave_within_alone(a: Population, random: Random) -> None:
    other = np.array([random.choice([0.0, 10.0, 20.0]) for _ in a[0]])
    mix = decompose(*a, other, a[1])
    for parts in (mix.mean, mix.prob_better, mix.distance):
        assert parts.composition == pytest.approx(0, abs=1e-9)
        assert parts.within == pytest.approx(parts.total, abs=1e-9)


def test_bins_of_one_population_are_a_part_of_their_own() -> None:
    # Bin 1 is A's alone, bin 2 B's. In bin 0, the two are 10 against 30.
    mix = decompose([10, 50], [0, 1], [30, 30, 90], [0, 0, 2])
    assert mix.bins.tolist() == [0, 1, 2]
    assert (mix.shares_a.tolist(), mix.shares_b.tolist()) == ([0.5, 0.5, 0], [2 / 3, 0, 1 / 3])
    assert (mix.mean.composition, mix.mean.within) == (0, -20)
    assert mix.mean.total == pytest.approx(-20)
    assert mix.mean.unshared == pytest.approx(0)
    # P(A better): 10 beats all, 50 beats 90: 4/6; in the shared bin it is 1.
    assert mix.prob_better.total == pytest.approx(1 / 6)
    assert mix.prob_better.within == pytest.approx(1 / 2)
    assert mix.prob_better.unshared == pytest.approx(-1 / 3)


@given(populations(), populations(), st.lists(st.integers(1, 9), min_size=60, max_size=60))
def test_counts_give_what_their_models_give(a: Population, b: Population, copies: list[int]) -> None:
    n_a, n_b = np.array(copies[: a[0].size]), np.array(copies[30 : 30 + b[0].size])
    mix = decompose(*a, *b, counts_a=n_a, counts_b=n_b)
    models = decompose(*(x.repeat(n_a) for x in a), *(x.repeat(n_b) for x in b))
    for name in Mix.__dataclass_fields__:
        one, other = getattr(mix, name), getattr(models, name)
        if isinstance(one, Parts):
            one, other = list(vars(one).values()), list(vars(other).values())
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12, err_msg=name)


def test_parts_of_no_difference_have_no_shares() -> None:
    mix = decompose([7], [3], [7], [3])
    assert mix.mean == Parts(0, 0, 0, 0)
    assert mix.mean.shares() is None
    assert mix.distance.total == 0


def test_counteracting_parts_have_signed_shares() -> None:
    # A is better in every bin by 1, but has more models in the worse one.
    mix = decompose([9, 19, 19, 19], [0, 1, 1, 1], [10, 10, 10, 20], [0, 0, 0, 1])
    assert (mix.mean.composition, mix.mean.within, mix.mean.total) == pytest.approx((5, -1, 4))
    assert mix.mean.shares() == pytest.approx({"composition": 1.25, "within": -0.25, "unshared": 0})


def test_result_is_plain_data() -> None:
    plain = json.loads(json.dumps(decompose([1, 2, 3], [0, 1, -1], [2, 2], [0, 1]).to_dict()))
    assert set(plain) == set(Mix.__dataclass_fields__)
    assert plain["errors"] == [1, 2]
    assert plain["mean"]["total"] == -0.5
    assert set(plain["mean"]["shares"]) == set(PARTS)
    assert plain["left_out_a"] == 1


def test_holm_by_hand() -> None:
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1 is raised to 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([[0.4, 0.5]]).tolist() == [[0.8, 0.8]]
    assert holm([0.6, 0.6]).tolist() == [1, 1]
    assert holm(0.3).shape == ()
    assert holm([]).shape == (0,)


@given(st.lists(st.sampled_from([0.0, 0.01, 0.5, 1.0]) | st.floats(0, 1), min_size=1, max_size=12))
def test_laws_of_holm(p_values: list[float]) -> None:
    p, adjusted = np.array(p_values), holm(p_values)
    assert np.all(p <= adjusted)
    assert np.all(adjusted <= np.minimum(1, p * p.size) + 1e-15)
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0)
    assert adjusted.min() == min(1, p.min() * p.size)
    # By the steps of the procedure: reject the smallest while it is at most level / (tests left).
    for level in (0.03, 0.2, 0.7):
        rejected = np.zeros(p.size, dtype=bool)
        for done, i in enumerate(np.argsort(p, kind="stable")):
            if p[i] * (p.size - done) > level:
                break
            rejected[i] = True
        assert (adjusted <= level).tolist() == rejected.tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decompose([1], [0], [1], [1]), "bins: A has models in 1 bins and B in 1, but they share none"),
        (lambda: decompose([1], [-1], [1], [1]), "bins of A: all 1 models are outside the range"),
        (lambda: decompose([1], [0], [1, 2], [0]), r"bins of B: shape \(1,\) was given for 2 errors"),
        (lambda: decompose([1], [0], [np.nan], [0]), "errors: 1 of 1 values are unknown"),
        (lambda: holm([0.1, np.nan]), r"holm: p-values \[0.1, nan\] were given"),
        (lambda: holm([1.1]), r"holm: p-values \[1.1\] were given"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
