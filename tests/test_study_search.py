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
from edfkit.stats.minima import best_of, best_of_band, draws_for_top
from edfkit.study.search import DRAWS, search_study
from edfkit.study.selection import InMemory, Source, select

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


@pytest.mark.parametrize(("by", "replacement"), [("params", True), ("acts", True), ("none", True), ("none", False)])
@pytest.mark.parametrize("names", [["resnet"], ["resnet", "vanilla"]])
def test_curves_are_those_of_the_array_functions(digits: Source, names: list[str], by: str, replacement: bool) -> None:
    m = np.array([1, 7, 100])
    options: dict[str, Any] = {"diverged": "censor", "error": "final"}
    study = search_study(
        digits, names, given=by, m=m.tolist(), replacement=replacement, cost="seconds", confidence=0.9, **options
    )
    selected = select(digits, names, given=by, **options)
    assert study.selection.to_dict() == selected.to_dict()
    assert (study.confidence, study.cost) == (0.9, "seconds")
    assert [curve.name for curve in study.curves] == names
    for curve, member in zip(study.curves, selected.populations, strict=True):
        best = best_of(member.errors, m, member.weights, replacement=replacement)
        assert curve.best.to_dict() == best.to_dict()
        method = "equal-local-levels" if by == "none" else "ks"
        band = edf_band(member.errors, member.weights, confidence=0.9, method=method)
        low, high = best_of_band(band.values, band.lower, band.upper, m, upper_before=band.upper_before)
        assert (curve.low.tolist(), curve.high.tolist()) == (low.tolist(), high.tolist())
        assert np.all((curve.low <= best.error) & (best.error <= curve.high))
        seconds = digits.read(member.name, "seconds")[member.rows]
        assert curve.cost_of_one == pytest.approx(np.average(seconds, weights=member.weights), rel=1e-12)
        assert np.all(np.diff(best.error) <= 0)


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
