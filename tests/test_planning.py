"""Models that a comparison needs: against formulas for normal errors, and the very test of compare."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edfkit import EdfkitError
from edfkit.stats import planning
from edfkit.stats.adjusted import better, mean_difference
from edfkit.stats.claims import OF_BETTER, claims, permutations_needed
from edfkit.stats.curves import shape_test
from edfkit.stats.edf import Floats
from edfkit.stats.planning import LEAST, Needed, Pilot, models_for_comparison
from edfkit.stats.strata import in_strata
from edfkit.study.compare import compare_populations
from edfkit.study.selection import InMemory


def normal(mean: float, n: int = 2_000, sd: float = 3.0) -> Floats:
    """Give quantiles of a normal law, so that it is the pilot's own but for its far ends."""
    return np.asarray(stats.norm.ppf((np.arange(n) + 0.5) / n, mean, sd))


def plan(a: Floats, b: Floats | None = None, seed: int = 0, **options: Any) -> Needed:
    return models_for_comparison(Pilot(a), None if b is None else Pilot(b), rng=np.random.default_rng(seed), **options)


def z(p: float) -> float:
    return float(stats.norm.ppf(p))


# --- Numbers that are known


def test_a_difference_that_every_pair_shows_takes_the_fewest_models_of_a_claim() -> None:
    found = plan(np.linspace(1, 9, 40), np.linspace(50, 60, 30), trials=200)
    assert (found.models, found.power, found.prob_a_better, found.goal) == (LEAST, 1.0, 1.0, "detect")
    assert found.standard_error == pytest.approx(math.sqrt(201 / 200) / 202)
    assert found.mean_difference == pytest.approx(5 - 55)
    assert found.models_interval is not None
    assert found.models_interval[0] == LEAST
    # With 7 of each H is 3.5, and nothing is claimed.
    assert compare_populations(InMemory({"a": {"error": [1.0] * 7}, "b": {"error": [2.0] * 7}}), ["a", "b"],
                               given="none").pairs[0].claim is None  # fmt: skip


@pytest.mark.parametrize(("shift", "alone"), [(1.5, False), (1.5, True), (-0.8, True)])
def test_a_shift_of_normal_errors_is_detected_as_noether_says(shift: float, alone: bool) -> None:
    errors = normal(40)
    found = plan(errors, None if alone else errors + shift, shift=shift if alone else 0.0, trials=400)
    away = stats.norm.cdf(abs(shift) / 3 / math.sqrt(2)) - 0.5
    expected = (z(1 - OF_BETTER * 0.05 / 2) + z(0.8)) ** 2 / (6 * away**2)
    assert found.models == pytest.approx(expected, rel=0.12)
    assert found.power == pytest.approx(0.8, abs=0.07)
    if not alone:
        assert found.prob_a_better == pytest.approx(0.5 + away, abs=1e-3)


@pytest.mark.parametrize("alone", [False, True])
def test_width_and_equivalence_of_normal_errors_are_those_of_student(alone: bool) -> None:
    errors = normal(40)
    narrow = plan(errors, None if alone else errors + 5, width=2.0, trials=200)
    n = next(n for n in range(8, 999) if _share_of_narrow(n, 2.0) >= 0.8)
    assert narrow.models == pytest.approx(n, rel=0.06)
    equal = plan(errors, None if alone else errors, equivalent=1.2, trials=400)
    assert equal.models == pytest.approx(2 * 9 * (z(0.95) + z(0.9)) ** 2 / 1.2**2, rel=0.12)
    assert equal.power == pytest.approx(0.8, abs=0.07)
    assert (narrow.goal, equal.goal) == ("width", "equivalent")
    assert narrow.models_interval is equal.models_interval is None


def _share_of_narrow(n: int, width: float) -> float:
    """Compute the probability that the interval of a difference of means is narrow, where the sd is 3."""
    df = 2 * n - 2
    sd = width / 2 / stats.t.ppf(0.975, df) / math.sqrt(2 / n)
    return float(stats.chi2.cdf(df * (sd / 3) ** 2, df))


def test_half_of_a_small_pilot_stands_for_more_models_than_it_has() -> None:
    small, large = (plan(normal(40, n), equivalent=0.5, trials=300).models for n in (60, 1_600))
    assert small == pytest.approx(large, rel=0.15)
    assert small > 500


def test_strata_take_off_what_complexity_explains() -> None:
    size = np.exp(np.linspace(10, 14, 600))
    noise = np.random.default_rng(1).permutation(normal(0, 600, 1.0))
    pilots = [Pilot(60 - 3 * np.log(size) + noise + shift, size) for shift in (0.0, 0.5)]
    bare = [Pilot(one.errors) for one in pilots]
    rng = np.random.default_rng(2)
    adjusted, plain = (models_for_comparison(*pair, rng=rng, trials=100).models for pair in (pilots, bare))
    assert adjusted < plain / 5


# --- The very test of compare


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.08))
@settings(max_examples=30)
def test_a_claim_of_the_planner_is_one_of_compare(seed: int, p_better: float) -> None:
    rng = np.random.default_rng(seed)
    strata = in_strata(np.round(rng.gamma(2, 2, 30), 1), np.round(rng.gamma(2, 2 + seed % 3, 30), 1))
    assert strata is not None
    shape = shape_test(strata, rng=np.random.default_rng(seed), permutations=permutations_needed(1, 0.05))
    expected = claims([(p_better, shape.p_value)])[0].kind == "better"
    assert planning._claimed(strata, p_better, 0.05, np.random.default_rng(seed)) == expected
    assert planning._claimed(strata, p_better, 0.05, None) <= expected


@pytest.mark.parametrize("seed", range(5))
def test_what_is_drawn_is_compared_as_compare_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = np.round(np.exp(rng.normal(12, 1, (2, 70))), -3) + 1000
    errors = np.round(60 - 3 * np.log(size) + rng.gamma(2, 2, (2, 70)) + [[0.0], [1.0]], 1)
    pilots = [Pilot(*one) for one in zip(errors, size, strict=True)]
    strata = planning._of_two(pilots[0], pilots[1], 50, None, np.random.default_rng(seed))
    again = np.random.default_rng(seed)
    rows = [np.repeat(*pilot.drawn(50, again)) for pilot in pilots]
    drawn = {
        name: {"error": one.errors[at], "params": pilot_size[at]}
        for name, one, pilot_size, at in zip("ab", pilots, size, rows, strict=True)
    }
    (pair,) = compare_populations(InMemory(drawn), ["a", "b"], equivalent=2.0).pairs
    assert strata is not None
    assert pair.estimates is not None
    assert pair.overlap == pytest.approx(strata.overlap)
    its = better(strata)
    assert pair.estimates.better.p_value == pytest.approx(its.p_value)
    assert pair.p_equivalent == pytest.approx(mean_difference(strata).equivalent(2.0))
    assert (pair.better in ("a", "b")) == planning._claimed(strata, its.p_value, 0.05, np.random.default_rng(0))


# --- How models are drawn


def test_rows_of_a_unit_share_its_weight() -> None:
    errors, units = np.array([1.0, 2.0, 3.0, 9.0]), np.array([7, 7, 7, 4])
    pilot = Pilot(errors, None, units)
    assert pilot.shares.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    assert pilot.units_in_all == 2
    rng = np.random.default_rng(3)
    for models in (3, 30_000):
        rows, counts = pilot.drawn(models, rng)
        assert counts.sum() == models
        assert counts.min() > 0
    assert counts[rows == 3] / models == pytest.approx(0.5, abs=0.02)
    a, b = normal(40, 50), normal(43, 50)
    tripled = [Pilot(np.repeat(one, 3), None, np.repeat(np.arange(50), 3)) for one in (a, b)]
    found = models_for_comparison(*tripled, rng=np.random.default_rng(0), trials=50)
    assert found.prob_a_better_interval == pytest.approx(plan(a, b, trials=50).prob_a_better_interval)


def test_one_pilot_gives_no_model_to_both() -> None:
    errors = np.arange(40.0)
    strata = planning._of_one(Pilot(errors, errors), 20, 0.0, 1, np.random.default_rng(4))
    assert strata is not None
    assert sorted(strata.errors) == errors.tolist()
    assert strata.first.sum() == 20


# --- The search


@given(st.integers(1, 3_000), st.integers(LEAST, 2_500))
def test_the_search_ends_near_the_smallest_number_that_is_enough(true: int, start: int) -> None:
    asked: list[int] = []

    def enough(models: int) -> bool:
        asked.append(models)
        return models >= true

    found = planning._smallest(enough, start, 2_500)
    assert min(asked) >= LEAST
    assert len(asked) < 30
    if true > 2_500:
        assert found is None
    else:
        assert found is not None
        assert max(true, LEAST) <= found <= max(LEAST, true + max(1, 0.04 * true))


def test_more_is_needed_for_more_power_a_lower_level_and_a_smaller_difference() -> None:
    errors = normal(40, 300)

    def models(shift: float = 2.0, **options: Any) -> int:
        return plan(errors, errors + shift, trials=150, **options).models

    assert models(power=0.5) < models() < models(power=0.95)
    assert models() < models(alpha=0.01)
    assert models() < models(1.3)


def test_the_pilots_own_chance_is_said() -> None:
    rng = np.random.default_rng(5)
    for apart, known in ((2.5, True), (0.3, False)):
        found = plan(rng.normal(40, 3, 60), rng.normal(40 + apart, 3, 60), trials=50, power=0.6)
        assert found.prob_a_better is not None
        assert found.prob_a_better_interval is not None
        assert found.models_interval is not None
        fewest, most = found.models_interval
        ends = found.prob_a_better_interval
        assert fewest == max(
            LEAST, math.ceil(min(found.models * ((found.prob_a_better - 0.5) / (end - 0.5)) ** 2 for end in ends))
        )
        assert (most is not None) == known == (not ends[0] <= 0.5 <= ends[1])
        assert most is None or fewest < found.models < most


def test_a_plan_is_plain_data_and_repeatable() -> None:
    options: dict[str, Any] = {"a": normal(40, 30), "b": normal(43, 40), "seed": 6, "trials": 50}
    found = plan(**options)
    assert found == plan(**options)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document == found.to_dict()
    assert list(document) == list(Needed.__annotations__)


A, B = normal(40, 30), normal(43, 30)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plan(A, A.copy()), r"pilots: neither is better \(P = 1/2\)"),
        (lambda: plan(A[:6], B[:6]), "pilots: they are worth 6 models of each at equal complexity, but at least 8"),
        (lambda: plan(A[:14], shift=1.0), "pilots: they are worth 7 models of each"),
        (lambda: plan(A[:1], shift=1.0), "pilots: they are worth 0 models of each"),
        (lambda: plan(A), "shift: 0 was given, but percentage points other than 0 are needed"),
        (lambda: plan(A, shift=math.nan), "shift: nan was given, but percentage points other than 0"),
        (lambda: plan(A, B, shift=1.0), "shift: 1 was given with two pilots, which has none"),
        (lambda: plan(A, shift=1.0, width=2.0), "shift: 1 was given with a width or an equivalence"),
        (lambda: plan(A, width=2.0, equivalent=1.0), "width: 2 was given with equivalent 1, but a plan has one goal"),
        (lambda: plan(A, width=0.0), "width: 0 was given, but percentage points above 0"),
        (lambda: plan(A, equivalent=math.inf), "equivalent: inf was given, but percentage points above 0"),
        (lambda: plan(A, B, equivalent=3.0), "equivalent: 3 was given, but the pilots' mean errors differ by 3 "),
        (lambda: plan(A, B, power=80), "power: 80 was given, but a share between 0 and 1"),
        (lambda: plan(A, B, alpha=0.0), "alpha: 0 was given"),
        (lambda: plan(A, B, trials=0), "trials: 0 was given"),
        (lambda: plan(A, B, most=7), "most: 7 was given, but whole numbers from 8"),
        (lambda: plan(A, B, most=12, trials=100), r"most: 12 models of each reach the goal with probability 0\.[2-7]"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
