import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.published import Published
from edfkit.datasets import BUNDLED
from edfkit.stats.bands import edf_band
from edfkit.stats.minima import best_of, best_of_band, draws_for_top, median_band
from edfkit.study.compare import compare_populations
from edfkit.study.search import DRAWS, SearchPair, search_study
from edfkit.study.selection import InMemory, Source, select, units_of

NAN = float("nan")


@pytest.fixture(scope="module")
def digits() -> Iterator[Source]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


def test_a_search_by_hand() -> None:
    source = InMemory({"a": {"error": [1.0, 3.0], "seconds": [10.0, 20.0]}})
    study = search_study(source, ["a"], given="none", m=[1, 2], cost="seconds")
    (curve,) = study.curves
    assert curve.best.error.tolist() == pytest.approx([2, 1 * 0.75 + 3 * 0.25])
    assert curve.cost_of_one == 15
    (space,) = study.to_dict()["spaces"]
    assert (space["m"], space["cost"]) == ([1, 2], [15, 30])


@pytest.mark.parametrize(
    ("way", "replacement"),
    [({"bins": 10}, True), ({"given": "acts", "bins": 2}, True), ({"given": "none"}, True), ({"given": "none"}, False)],
    ids=str,
)
@pytest.mark.parametrize("names", [["vanilla"], ["amoeba", "vanilla"]])
def test_curves_are_those_of_the_array_functions(
    digits: Source, names: list[str], way: dict[str, Any], replacement: bool
) -> None:
    m = np.array([1, 7, 100])
    options: dict[str, Any] = {"diverged": "censor", "error": "final"}
    study = search_study(
        digits, names, m=m.tolist(), replacement=replacement, cost="seconds", confidence=0.9, **options, **way
    )
    selected = select(digits, names, **{"given": "params", **way}, **options)
    assert study.selection.to_dict() == selected.to_dict()
    assert (study.confidence, study.cost, study.unadjusted) == (0.9, "seconds", None)
    assert [curve.name for curve in study.curves] == names
    for curve, member in zip(study.curves, selected.populations, strict=True):
        found = units_of(digits, member)
        again = found is not None and found.repeated
        units = found.unit if found is not None and again else None
        weights = member.weights
        if found is not None and again and weights is None and replacement:
            weights = found.weights
        best = best_of(member.errors, m, weights, replacement=replacement, units=units)
        assert curve.best.to_dict() == best.to_dict()
        method = "equal-local-levels" if weights is None and not again else "ks"
        band = edf_band(member.errors, weights, confidence=0.9, method=method, n_eff=best.n_eff)
        edges = band.values, band.lower, band.upper, m
        low, high = best_of_band(*edges, upper_before=band.upper_before)
        assert (curve.low.tolist(), curve.high.tolist()) == (low.tolist(), high.tolist())
        low, high = median_band(*edges, upper_before=band.upper_before)
        assert (curve.median_low.tolist(), curve.median_high.tolist()) == (low.tolist(), high.tolist())
        np.testing.assert_array_equal(curve.interval, best.interval(0.9))
        assert np.isnan(curve.interval).all(axis=1).tolist() == (m > curve.most).tolist()
        assert np.all((curve.low <= best.error) & (best.error <= curve.high))
        assert np.all((curve.median_low <= curve.median) & (curve.median <= curve.median_high))
        seconds = digits.read(member.name, "seconds")[member.rows]
        assert curve.cost_of_one == pytest.approx(np.average(seconds, weights=weights), rel=1e-12)
        assert np.all(np.diff(best.error) <= 0)


@pytest.mark.parametrize("given", ["params", "params,flops"])
def test_curves_of_two_spaces_are_at_equal_complexity_as_in_a_comparison(digits: Source, given: str) -> None:
    names = ["nasnet", "darts"]
    study = search_study(digits, names, given=given)
    drawn = compare_populations(digits, names, given=given).drawn
    (pair,) = study.pairs
    assert (study.given, study.selection.strata, study.unadjusted) == (given, drawn.strata, None)
    for curve, member, same in zip(study.curves, study.selection.populations, drawn.populations, strict=True):
        assert curve.best.error[0] == pytest.approx(same.summary.mean, rel=1e-9)
        lost = digits.models(member.name) - member.errors.size
        assert member.left_out.get("outside the common strata", 0) == lost
    usable = pair.m <= (pair.most or 0)
    apart = study.curves[0].best.error - study.curves[1].best.error
    np.testing.assert_allclose(pair.difference[usable], apart[usable], atol=1e-9)
    assert usable.any()
    assert np.isnan(pair.difference[~usable]).all()


def test_a_single_draw_is_the_mean_difference_of_the_comparison(digits: Source) -> None:
    (pair,) = search_study(digits, ["resnet", "vanilla"], m=[1, 8], strata=20).pairs
    (compared,) = compare_populations(digits, ["resnet", "vanilla"], strata=20).pairs
    assert compared.better == pair.better[0] == "resnet"
    assert compared.estimates is not None
    assert compared.estimates.mean is not None
    assert pair.difference[0] == pytest.approx(compared.estimates.mean.estimate, rel=0.02)
    assert pair.claimed == ("resnet", 1, 8)


def test_one_space_is_not_adjusted(digits: Source) -> None:
    one, none = (search_study(digits, ["vanilla"], given=given) for given in ("params", "none"))
    assert (one.unadjusted, one.given, one.pairs) == ("one space", "none", [])
    assert (none.unadjusted, none.given) == (None, "none")
    for curve, same in zip(one.curves, none.curves, strict=True):
        np.testing.assert_array_equal(curve.best.error, same.best.error)


def spaces(*shifts: float, models: int = 60) -> InMemory:
    """Make populations up of which each has its own sizes, apart by the shift, and one law of error."""
    rng = np.random.default_rng(1)
    made = {}
    for i, shift in enumerate(shifts):
        params = np.round(np.exp(10 + shift + rng.random(models)))
        made[f"s{i}"] = {"error": rng.gamma(4, 2, models), "params": params, "flops": params * rng.random(models)}
    return InMemory(made)


def test_pairs_are_at_equal_complexity_where_curves_cannot_be() -> None:
    study = search_study(spaces(0, 0.6, 1.3), ["s0", "s1", "s2"])
    assert (study.unadjusted, study.given, study.selection.given) == (
        "no stratum holds models of all spaces", "params", "none",
    )  # fmt: skip
    assert [pair.no_claim is None for pair in study.pairs] == [True, False, True]
    assert search_study(spaces(0, 0, 0), ["s0", "s1", "s2"], given="params,flops").unadjusted == (
        "two complexities at once make strata of two spaces only"
    )
    apart = search_study(spaces(0, 5, models=50), ["s0", "s1"])
    (compared,) = compare_populations(spaces(0, 5, models=50), ["s0", "s1"]).pairs
    assert apart.unadjusted == "no stratum holds models of both spaces"
    assert apart.pairs[0].no_claim == compared.no_claim is not None
    assert apart.pairs[0].better == ["none"] * len(DRAWS)


def test_pairs_that_compare_refuses_are_not_claimed(digits: Source) -> None:
    names = ["resnet", "resnet_rng1"]
    (pair,) = search_study(digits, names).pairs
    (compared,) = compare_populations(digits, names).pairs
    assert pair.no_claim == compared.sharing.refused != ""
    assert (pair.most, pair.claims, pair.claimed) == (None, [], None)
    assert np.isnan([pair.difference, pair.low, pair.high, pair.p_adjusted]).all()


def test_more_pairs_have_wider_intervals() -> None:
    source = spaces(0, 0, 0, models=200)
    (alone,) = search_study(source, ["s0", "s1"]).pairs
    together = search_study(source, ["s0", "s1", "s2"]).pairs[0]
    usable = ~np.isnan(alone.low)
    np.testing.assert_array_equal(together.difference, alone.difference)
    assert np.all((together.high - together.low)[usable] > (alone.high - alone.low)[usable] * 1.1)
    assert np.all(together.p_adjusted[usable] >= alone.p_adjusted[usable])


def test_claims_are_ranges_of_budgets_that_follow_each_other() -> None:
    nothing = np.zeros(6)
    better = ["a", "b", "a", "none", "a", "b"]
    m = np.array([1, 32, 2, 16, 4, 64])
    pair = SearchPair("a", "b", m, nothing, nothing, nothing, nothing, better, 99, None)
    assert [m[run].tolist() for run in pair.claims] == [[1, 2, 4], [32, 64]]
    assert pair.claimed == ("a", 1, 4)
    assert pair.to_dict()["claimed"] == {"better": "a", "first": 1, "last": 4}


@pytest.mark.parametrize("given", ["params", "none"])
def test_rows_of_a_network_weigh_as_one(given: str) -> None:
    rng = np.random.default_rng(3)
    groups = {name: {"depth": np.arange(100) + 1000 * i, "params": rng.integers(1000, 9000, 100),
                     "error": rng.gamma(4, 2, 100)} for i, name in enumerate("ab")}  # fmt: skip
    once = search_study(InMemory(groups), ["a", "b"], given=given, m=[1, 2, 5])
    repeated = InMemory(
        {name: {key: np.repeat(values, 3) for key, values in one.items()} for name, one in groups.items()}
    )
    study = search_study(repeated, ["a", "b"], given=given, m=[1, 2, 5])
    for curve, plain in zip(study.curves, once.curves, strict=True):
        assert curve.most == plain.most
        assert curve.best.n_eff == pytest.approx(plain.best.n_eff)
        np.testing.assert_allclose(curve.best.error, plain.best.error, rtol=1e-9)
        np.testing.assert_allclose(curve.interval, plain.interval, rtol=1e-9)
    for key in ("difference", "low", "high", "p_adjusted"):
        np.testing.assert_allclose(getattr(study.pairs[0], key), getattr(once.pairs[0], key), rtol=1e-6, atol=1e-9)


def test_draws_for_a_top_model_do_not_depend_on_the_population(digits: Source) -> None:
    study = search_study(digits, ["resnet"])
    assert study.top == {share: draws_for_top(share, 0.05) for share in (0.1, 0.05, 0.01, 0.001)}
    assert study.top[0.05] == 59
    assert study.curves[0].best.m.tolist() == list(DRAWS) == [2**i for i in range(13)]


def test_without_a_cost_there_is_none(digits: Source) -> None:
    study = search_study(digits, ["resnet"], m=[1])
    assert (study.cost, study.curves[0].cost_of_one) == (None, None)
    assert study.to_dict()["spaces"][0]["cost"] is None


@pytest.mark.parametrize("cost", ["seconds", "params", "macs", "flops"])
def test_a_search_is_plain_data(digits: Source, cost: str) -> None:
    document = search_study(digits, ["vanilla", "resnet"], m=[1, 10], cost=cost).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert [space["name"] for space in document["spaces"]] == ["vanilla", "resnet"]
    for space in document["spaces"]:
        assert {"name", "m", "error", "se", "spread", "low", "high", "cost", "cost_of_one", "summary"} <= set(space)
        assert len(space["error"]) == len(space["se"]) == len(space["spread"]) == len(space["m"]) == 2
        assert space["summary"]["name"] == space["name"]
    assert document["draws_for_top"] == {"0.1": 29, "0.05": 59, "0.01": 299, "0.001": 2995}
    assert document["given"] == "params"


def test_one_model_has_no_standard_error_in_the_document() -> None:
    document = search_study(InMemory({"a": {"error": [5.0]}}), ["a"], given="none", m=[1]).to_dict()
    json.dumps(document, allow_nan=False)
    assert document["spaces"][0]["se"] == [None]


def test_costs_that_are_not_known_are_refused(digits: Source, published: Path) -> None:
    some = InMemory({"a": {"error": [1.0, 2.0], "seconds": [1.0, NAN]}})
    with pytest.raises(EdfkitError, match=r"^The seconds of 1 a models are not known; choose another cost\.$"):
        search_study(some, ["a"], given="none", cost="seconds")
    with Published(published) as source:
        with pytest.raises(EdfkitError, match="Published files have no 'seconds'"):
            search_study(source, ["resnext-a_in"], cost="seconds")
        with pytest.raises(EdfkitError, match=r"The macs of \d+ resnext-a_in models are not known; choose another"):
            search_study(source, ["resnext-a_in"], cost="macs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replacement": False, "m": [1]}, "cannot be drawn without replacement; draw them with it"),
        ({"replacement": False, "given": "none", "m": [501]}, "without replacement none above 500"),
        ({"m": [0]}, "m: 0 was given"),
        ({"m": [2, -1]}, "m: -1 was given"),
        ({"confidence": 1.0}, "confidence: 1 was given"),
        ({"given": "none", "bins": 2}, "Bins and range belong to a complexity"),
    ],
)
def test_what_cannot_be_searched_is_refused(digits: Source, options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message) as caught:
        search_study(digits, ["resnet"], **options)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_the_refusal_of_weights_names_what_a_caller_can_change(digits: Source) -> None:
    with pytest.raises(EdfkitError, match="given none"):
        search_study(digits, ["resnet"], replacement=False, m=[1])


def test_real_searches(published: Path) -> None:
    with Published(published) as source:
        study = search_study(source, ["resnext-a_in", "resnext-b_in"], cost="flops", m=[1, 8, 64])
        a, b = study.curves
        assert np.all(a.best.error > b.best.error)
        assert a.cost_of_one is not None
        assert a.cost_of_one > 0
        json.dumps(study.to_dict(), allow_nan=False)
