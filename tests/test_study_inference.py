"""What a comparison concludes: laws that hold for any populations, and that no two lines disagree."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.show import text
from edfkit.study.compare import Comparison, Pair, compare_populations
from edfkit.study.selection import InMemory

SEEDS = st.integers(0, 2**32 - 1)


def made(seed: int, names: str = "ab", *, most: int = 60, shift: float = 0.0) -> InMemory:
    """Draw populations of some sizes, whose error falls with size, the first by so much better."""
    rng = np.random.default_rng(seed)
    found = {}
    for place, name in enumerate(names):
        n = int(rng.integers(2, most))
        size = np.round(np.exp(rng.normal(10 + rng.uniform(-1, 1), 1, n)), -2) + 100
        error = 40 - 3 * np.log(size) + rng.gamma(2, 2, n) + (shift if place else 0.0)
        found[name] = {
            "error": np.round(np.clip(error, 0, 100), 1),
            "params": size,
            "flops": size * rng.uniform(1, 2, n),
        }
    return InMemory(found)


def compared(seed: int, names: str = "ab", **options: Any) -> Comparison:
    return compare_populations(made(seed, names, shift=float(seed % 4)), list(names), **options)


GIVEN = st.sampled_from(["params", "none", "params,flops"])


@given(SEEDS, GIVEN, st.sampled_from([0.95, 0.8]))
def test_there_is_a_claim_exactly_where_the_adjusted_p_value_allows_it(seed: int, by: str, confidence: float) -> None:
    for pair in compared(seed, "abc", given=by, confidence=confidence).pairs:
        document: Any = pair.to_dict()
        p = document["p_adjusted"]
        assert (document["better"] is not None) == (p is not None and p <= 1 - confidence)
        assert (p is None) == (pair.overlap < 4)
        assert document["p_holm"] == p
        if document["prob_a_better_interval"] is not None:
            low, high = document["prob_a_better_interval"]
            assert (low <= 0.5 <= high) == (document["p_better"] > 1 - confidence)
        if document["better"] in ("a", "b", "c"):
            assert (document["better"] == pair.a) == (document["prob_a_better"] > 0.5)
            assert not low <= 0.5 <= high


@given(SEEDS, GIVEN)
def test_no_line_denies_what_another_one_claims(seed: int, by: str) -> None:
    result = compared(seed, given=by)
    (pair,) = result.pairs
    lines = "\n".join(text.comparison(result))
    denied = "no difference between" in lines or "Too few models" in lines
    assert denied == (pair.better == "none")
    assert (f"{pair.better} has lower error than" in lines) == (pair.better in ("a", "b"))
    ranges = pair.to_dict()["ranges"]
    if pair.better == "none":
        assert [one["a_is"] for one in ranges] == ["undecided"]
        assert "better at every threshold" not in lines
    if pair.estimates is not None and not pair.estimates.better.low <= 0.5 <= pair.estimates.better.high:
        assert (pair.better in ("a", "b")) != ("Each interval is for one number alone" in lines)
    if pair.better == "none" and pair.claim is not None:
        assert re.search(r"the mean error of a is between \d", pair.verdict)
    balanced = pair.estimates is None or pair.estimates.balance is None or pair.estimates.balance.equal
    assert balanced or not pair.verdict.startswith("At equal") or pair.claim is None


@given(SEEDS)
def test_a_third_population_changes_nothing_but_what_may_be_claimed(seed: int) -> None:
    alone = compared(seed, "ab").pairs[0].to_dict()
    among = compare_populations(made(seed, "abc", shift=float(seed % 4)), list("abc")).pairs[0].to_dict()
    free = {"p_adjusted", "p_holm", "better", "verdict", "ranges", "p_value"}  # the last is that of what is claimed
    assert {key: value for key, value in alone.items() if key not in free} == {
        key: value for key, value in among.items() if key not in free
    }


@given(SEEDS, GIVEN)
def test_swapping_and_the_order_of_rows_change_nothing(seed: int, by: str) -> None:
    source = made(seed, shift=float(seed % 4))
    rng = np.random.default_rng(seed)
    mixed = {}
    for name in "ab":
        order = rng.permutation(source.models(name))
        mixed[name] = {column: source.read(name, column)[order] for column in ("error", "params", "flops")}
    one = compare_populations(source, ["a", "b"], given=by).pairs[0].to_dict()
    assert compare_populations(InMemory(mixed), ["a", "b"], given=by).pairs[0].to_dict() == one
    turned = compare_populations(source, ["b", "a"], given=by).pairs[0].to_dict()
    for key in ("better", "p_adjusted", "p_value", "p_shape", "ks", "strata", "excluded", "overlap", "p_ks"):
        assert turned[key] == (pytest.approx(one[key]) if isinstance(one[key], float) else one[key])
    if one["prob_a_better"] is not None and turned["prob_a_better"] is not None:
        assert turned["prob_a_better"] == pytest.approx(1 - one["prob_a_better"])
        assert turned["mean_difference"] == pytest.approx(-(one["mean_difference"] or 0), rel=1e-4, abs=1e-6)


@given(SEEDS)
def test_a_monotone_transform_of_complexity_leaves_what_is_found(seed: int) -> None:
    source = made(seed, shift=float(seed % 4))
    turned = {
        name: {"error": source.read(name, "error"), "params": np.exp(source.read(name, "params") / 1e5)}
        for name in "ab"
    }
    one, other = (compare_populations(each, ["a", "b"]).pairs[0].to_dict() for each in (source, InMemory(turned)))
    for key in ("strata", "prob_a_better", "p_better", "p_shape", "ks", "better", "p_adjusted", "ranges", "excluded"):
        assert one[key] == other[key]


def pair_of(a: dict[str, Any], b: dict[str, Any], **options: Any) -> Pair:
    (pair,) = compare_populations(InMemory({"a": a, "b": b}), ["a", "b"], **options).pairs
    return pair


def test_a_difference_that_is_all_size_is_not_claimed_at_equal_size() -> None:
    rng = np.random.default_rng(0)
    size = np.exp(np.concatenate([rng.normal(10, 1, 300), rng.normal(11, 1, 300)]))
    error = 60 - 4 * np.log(size) + rng.normal(0, 1, 600)
    of = {
        name: {"error": error[some], "params": size[some]} for name, some in (("a", slice(300)), ("b", slice(300, 600)))
    }
    assert pair_of(of["a"], of["b"], given="none").better == "b"
    pair = pair_of(of["a"], of["b"])
    assert pair.better == "none"
    assert pair.estimates is not None
    assert pair.estimates.balance is not None
    assert pair.estimates.balance.before == pytest.approx(np.exp(-1), rel=0.3)
    assert pair.estimates.balance.after == pytest.approx(1, abs=0.05)


def test_too_few_models_of_one_size_are_not_tested() -> None:
    numbers = {"error": [10.0, 20, 30, 40, 50, 60, 70], "params": [1, 2, 3, 4, 5, 6, 7]}
    few = {"error": [15.0, 25, 35], "params": [1, 2, 3]}
    pair = pair_of(numbers, few, strata=1)
    assert 2 <= pair.overlap < 4
    assert pair.prob_a_better is not None
    assert (pair.better, pair.p_adjusted, pair.to_dict()["no_claim"]) == ("none", None, pair.no_claim)
    assert "Too few models of a and b of equal complexity" in pair.verdict
    far = pair_of(numbers, {"error": [1.0, 2, 3, 4, 5, 6, 7], "params": [70, 80, 90, 91, 92, 93, 94]}, strata=2)
    assert (far.overlap, far.prob_a_better, far.excluded) == (0.0, None, (7, 7))
    assert json.loads(json.dumps(far.to_dict(), allow_nan=False))["no_claim"].startswith("Too few models")
    assert list(text.details(far)) == []


def test_one_stratum_says_that_it_adjusts_nothing() -> None:
    source = made(1, most=200)
    for options in ({"strata": 1}, {"bins": 1}):
        (pair,) = compare_populations(source, ["a", "b"], **options).pairs  # type: ignore[arg-type]
        assert re.match("With all models in one (stratum|bin), which does not adjust for parameter count", pair.verdict)
    # Where there is one complexity only, it is equal.
    same = {"error": np.arange(20.0), "params": np.full(20, 7)}
    assert pair_of(same, same).verdict.startswith("At equal parameter count")


def test_finer_strata_can_be_asked_for() -> None:
    source = made(3, most=400)
    coarse, fine = (compare_populations(source, ["a", "b"], strata=number).pairs[0] for number in (3, 40))
    assert coarse.strata == 3
    assert 20 < (fine.strata or 0) <= 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strata": 0}, "strata: 0 was given"),
        ({"strata": 5, "bins": 5}, "Strata were given together with bins or a range"),
        ({"strata": 5, "given": "none"}, "Strata belong to a complexity"),
        ({"given": "params,params"}, "given: 'params,params' was given, expected one complexity, two different ones"),
        ({"given": "params,flops,acts"}, "expected one complexity, two different ones"),
        ({"given": "params,flops", "bins": 3}, "Bins hold one complexity equal"),
        ({"given": "error"}, "given: error is a result of training"),
        ({"given": "kind"}, "given: kind has no numbers"),
        ({"given": "stages"}, "given: stages has several numbers for each model"),
        ({"given": "latency"}, "has no 'latency'"),
        ({"equivalent": 0.0}, "equivalent: 0 was given, but percentage points above 0"),
        ({"equivalent": np.inf}, "equivalent: inf was given"),
    ],
    ids=str,
)
def test_what_cannot_be_held_equal_is_refused(options: dict[str, Any], message: str) -> None:
    one = {
        "error": [1.0, 2],
        "params": [1, 2],
        "flops": [1, 2],
        "acts": [1, 2],
        "kind": ["x", "y"],
        "stages": [[1], [2]],
    }
    with pytest.raises(EdfkitError, match=re.escape(message)):
        compare_populations(InMemory({"a": one, "b": one}), ["a", "b"], **options)


def test_any_numeric_column_can_be_held_equal() -> None:
    rng = np.random.default_rng(0)
    columns = {
        name: {"error": rng.uniform(5, 20, 40), "latency_ms": rng.normal(0, 3, 40), "params": rng.uniform(1, 9, 40)}
        for name in "ab"
    }
    (pair,) = compare_populations(InMemory(columns), ["a", "b"], given="latency_ms").pairs
    assert pair.verdict.startswith("At equal latency_ms, ")
    assert pair.estimates is not None
    assert pair.estimates.balance is not None
    assert not pair.estimates.balance.ratio  # below 0 there are differences only
    (two,) = compare_populations(InMemory(columns), ["a", "b"], given="params, latency_ms").pairs
    assert "parameter count and latency_ms" in two.verdict


def test_equivalence_is_claimed_with_its_p_value_only() -> None:
    rng = np.random.default_rng(0)
    a, b = ({"error": rng.normal(20, 1, 300), "params": rng.uniform(1, 2, 300)} for _ in "ab")
    near, far = pair_of(a, b, equivalent=1.0), pair_of(a, b, equivalent=0.01)
    assert (near.to_dict()["equivalent"], far.to_dict()["equivalent"]) == (True, False)
    assert near.verdict.endswith("; their mean errors are shown to differ by less than 1 points (p < 0.0001).")
    assert "less than" not in far.verdict
    assert pair_of(a, b).to_dict()["equivalent"] is None


def test_errors_chosen_on_the_test_set_are_said_once() -> None:
    with Archive(BUNDLED["digits"]) as source:
        best = compare_populations(source, ["resnet", "vanilla"])
        final = compare_populations(source, ["resnet", "vanilla"], error="final")
    assert (best.to_dict()["chosen_on_test"], final.to_dict()["chosen_on_test"]) == (True, False)
    assert "\n".join(text.comparison(best)).count("test set") == 1
    assert "test set" not in "\n".join(text.comparison(final))


def test_published_pairs_differ_as_much_as_regression_says(published: Any) -> None:
    from edfkit.archive.published import Published

    source = Published(published)
    for by, low, high in (("params", 2.7, 3.2), ("flops", 5.4, 6.2)):
        (pair,) = compare_populations(source, ["resnext-a_in", "resnext-b_in"], given=by).pairs
        assert pair.better == "resnext-b_in"
        assert pair.estimates is not None
        assert pair.estimates.mean is not None
        assert low <= pair.estimates.mean.estimate <= high


def test_many_populations_fit_80_columns() -> None:
    names = [f"a-{i}-long-name" for i in range(14)]
    rng = np.random.default_rng(0)
    source = InMemory({name: {"error": rng.uniform(5, 60, 30), "params": rng.uniform(1, 9, 30)} for name in names})
    result = compare_populations(source, names)
    lines = [line for block in text.matrix(result) for line in block.splitlines()]
    rows = [line for line in lines if re.match(r" *\d+ (a-| )", line)]
    assert len([row for row in rows if "a-13-long-name" in row]) >= 1
    assert max(map(len, rows)) <= 80
    cells = re.findall(r"\d+[-+~ ]", " ".join(row.partition("name")[2] for row in rows))
    assert len(cells) >= 14 * 13
