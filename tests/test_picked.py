"""Searches that pick their best run by one metric and report another, against what is counted, enumerated and drawn."""

import json
import math
from collections import defaultdict
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from strategies import counted, samples

from edfkit import EdfkitError
from edfkit.cli import edfkit
from edfkit.metric import Metric
from edfkit.show import text
from edfkit.stats.edf import Floats
from edfkit.stats.minima import best_of, difference, minimum_gap, pseudo_values, resample_minima, who_wins
from edfkit.stats.searches import best_difference
from edfkit.stats.strata import in_strata
from edfkit.study.catalogue import schemas
from edfkit.study.compare import compare_populations
from edfkit.study.counting import Counted
from edfkit.study.point import point_study
from edfkit.study.search import SearchStudy, search_study
from edfkit.study.selection import InMemory

Sample = tuple[Floats, Floats]
Counts = NDArray[np.int64]
Columns = dict[str, Any]
ACCURACY = [Metric("test_acc", "share", "max"), Metric("val_acc", "share", "max")]


# --- Statistics


def test_the_best_of_two_by_hand() -> None:
    # Of the 16 ordered pairs 7 have the first model, 5 more the second or the third and not the first, which are tied:
    # their mean is 5. Then the last one, alone in one pair; one pair of 16 in all: 7 + 8 + 1 = 16.
    y, by = [1, 2, 8, 4], [0, 1, 1, 2]
    found = best_of(y, [1, 2], chosen_by=by, q=[0.5, 0.9])
    assert_allclose(found.error, [15 / 4, (7 * 1 + 8 * 5 + 1 * 4) / 16])
    assert_allclose(found.spread[1] ** 2, (7 * 1 + 4 * 4 + 4 * 64 + 1 * 16) / 16 - (51 / 16) ** 2)
    assert {q: values.tolist() for q, values in found.quantiles.items()} == {0.5: [2, 2], 0.9: [8, 8]}
    # Of the 6 sets of two, 3 have the first model; two of the others one of the tied ones, and one both.
    assert best_of(y, 2, chosen_by=by, replacement=False).error == pytest.approx((3 * 1 + 3 * 5) / 6)


def enumerated(outcomes: list[tuple[float, tuple[int, ...]]], y: Floats, by: Floats) -> dict[float, float]:
    """The law of the error of the model that is picked, of drawn models and their probabilities."""
    law: dict[float, float] = defaultdict(float)
    for probability, drawn in outcomes:
        best = [one for one in drawn if by[one] == min(by[list(drawn)])]
        for one in best:
            law[y[one]] += probability / len(best)
    return law


def agrees(law: dict[float, float], y: Floats, by: Floats, m: int, weights: Floats | None) -> None:
    values, probabilities = np.array(sorted(law)), np.array([law[value] for value in sorted(law)])
    mean = values @ probabilities
    found = best_of(y, m, weights, replacement=weights is not None, chosen_by=by, q=[0.25, 0.9])
    assert_allclose(found.error, mean, atol=1e-9)
    assert_allclose(found.spread, np.sqrt(probabilities @ np.square(values - mean)), atol=1e-6)
    for q, reached in found.quantiles.items():
        heights = np.cumsum(probabilities)
        assert heights[np.searchsorted(values, reached[0])] >= q * (1 - 1e-9)
        assert reached[0] == values[0] or heights[np.searchsorted(values, reached[0]) - 1] <= q * (1 + 1e-9)


@given(samples(max_size=5), st.integers(1, 3), st.data())
def test_with_replacement_it_is_what_enumeration_gives(sample: Sample, m: int, data: st.DataObject) -> None:
    y, w = sample
    by = np.array(data.draw(st.lists(st.integers(-1, 1), min_size=y.size, max_size=y.size)), float)
    shares = w / w.sum()
    drawn = [(math.prod(shares[list(rows)]), rows) for rows in product(range(y.size), repeat=m)]
    agrees(enumerated([one for one in drawn if one[0] > 0], y, by), y, by, m, w)


@given(samples(max_size=6), st.data())
def test_without_replacement_it_is_what_enumeration_gives(sample: Sample, data: st.DataObject) -> None:
    y, m = sample[0], data.draw(st.integers(1, sample[0].size))
    by = np.array(data.draw(st.lists(st.integers(-1, 1), min_size=y.size, max_size=y.size)), float)
    sets = list(combinations(range(y.size), m))
    agrees(enumerated([(1 / len(sets), rows) for rows in sets], y, by), y, by, m, None)


@given(samples(max_size=12), st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_picked_by_the_error_itself_it_is_the_smallest(sample: Sample, m: list[int]) -> None:
    y, w = sample
    own, plain = best_of(y, m, w, chosen_by=y), best_of(y, m, w)
    assert_array_equal(own.error, plain.error)
    assert_array_equal(own.spread, plain.spread)
    for q, values in plain.quantiles.items():
        assert_array_equal(own.quantiles[q], values)
    scale = 1e-9 * max(1.0, float(np.abs(y).max()))
    assert_allclose(own.se, plain.se, rtol=1e-7, atol=scale)
    kept = w > 0
    numbers = [pseudo_values(y[kept], m, w[kept], chosen_by=by) for by in (y[kept], None)]
    assert_allclose(numbers[0], numbers[1], rtol=1e-9, atol=scale)


def test_searches_of_two_populations_meet_as_enumeration_says() -> None:
    y, by, _ = example(6, steps=1)
    other, by_other, _ = example(5, 1, steps=1)
    y, other = y.round(), other.round()
    laws = []
    for errors, chosen, m in ((y, by, 2), (other, by_other, 3)):
        sets = list(combinations(range(errors.size), m))
        laws.append(enumerated([(1 / len(sets), rows) for rows in sets], errors, chosen))
    expected: dict[float, float] = defaultdict(float)
    for (one, p), (two, q) in product(laws[0].items(), laws[1].items()):
        expected[one - two] += p * q
    how: dict[str, Any] = {"chosen_by_small": by, "chosen_by_large": by_other}
    values, probabilities = difference(y, 2, other, large=3, **how)
    assert_allclose(probabilities, [expected[value] for value in values], atol=1e-12)
    wins = who_wins(y, 2, other, large=3, **how)
    assert wins.small_wins == pytest.approx(sum(p for apart, p in expected.items() if apart < 0))
    assert wins.small_wins + wins.large_wins + wins.tie == pytest.approx(1)
    drawn = resample_minima(y, 2, 3, 4000, rng=np.random.default_rng(0), errors_large=other, chosen_by=by,
                            chosen_by_large=by_other)  # fmt: skip
    assert np.mean(drawn[0] < drawn[1]) == pytest.approx(wins.small_wins, abs=0.03)
    gap = minimum_gap(y, 2, 3, alpha=0.2, chosen_by=by)
    values, probabilities = difference(y, 2, large=3, chosen_by_small=by)
    assert probabilities[np.abs(values) >= gap.either].sum() <= 0.2
    with pytest.raises(EdfkitError, match="chosen_by_large: they were given without errors_large"):
        who_wins(y, 2, large=3, chosen_by_large=by)


@given(counted(), st.integers(1, 30), st.data())
def test_counts_repeat_models(sample: tuple[Floats, Floats | None, Counts], m: int, data: st.DataObject) -> None:
    y, w, counts = sample
    by = np.array(data.draw(st.lists(st.integers(0, 3), min_size=y.size, max_size=y.size)), float)
    few = best_of(y, m, w, counts=counts, chosen_by=by)
    w = None if w is None else np.repeat(w, counts)
    many = best_of(np.repeat(y, counts), m, w, chosen_by=np.repeat(by, counts))
    for name in ("error", "spread", "se"):
        assert_allclose(getattr(few, name), getattr(many, name), rtol=1e-7, atol=1e-7, err_msg=name)


def example(n: int, seed: int = 0, *, steps: int | None = 8) -> tuple[Floats, Floats, Floats]:
    """Errors that go with what picks them, in steps so that some tie, and weights."""
    rng = np.random.default_rng(seed)
    by = rng.gamma(3, 2, n)
    y = by + rng.normal(0, 2, n)
    return y, by if steps is None else np.round(by * steps) / steps, rng.uniform(0.5, 1.5, n)


@pytest.mark.parametrize("steps", [1, 8, None])
def test_pseudo_values_are_the_slopes_of_the_expectation_on_the_weights(steps: int | None) -> None:
    y, by, w = example(25, steps=steps)
    m, shares, step = [1, 2, 7, 40], w / w.sum(), 1e-7
    plain = best_of(y, m, w, chosen_by=by)
    slopes = [(best_of(y, m, shares * (1 - step) + step * one, chosen_by=by).error - plain.error) / step
              for one in np.eye(y.size)]  # fmt: skip
    numbers = pseudo_values(y, m, w, chosen_by=by)
    assert_allclose(numbers - plain.error, slopes, atol=1e-4)
    assert_allclose(shares @ numbers, plain.error, rtol=1e-12)
    n_eff = plain.n_eff
    assert_allclose(plain.se**2, np.square(shares) @ np.square(numbers - plain.error) * n_eff / (n_eff - 1), rtol=1e-9)


def test_units_are_what_the_standard_error_counts() -> None:
    y, by, _ = example(40)
    once, units = best_of(y, [1, 4], chosen_by=by), np.repeat(np.arange(40), 3)
    again = best_of(np.repeat(y, 3), [1, 4], np.full(120, 1 / 3), units=units, chosen_by=np.repeat(by, 3))
    assert_allclose(again.error, once.error)
    assert_allclose(again.se, once.se)
    assert_allclose(again.n_eff, 40)


def test_a_curve_need_not_fall() -> None:
    by = np.arange(100.0)  # the best by it are the worst of those that are not bad
    found = best_of(np.abs(by - 20), [1, 4, 64], chosen_by=by)
    assert found.error[1] < min(found.error[0], found.error[2])


@pytest.mark.parametrize("by", [[1.0], [1.0, np.nan, 2.0], [[1.0, 2.0, 3.0]]])
def test_what_does_not_pick_every_model_is_refused(by: list[float]) -> None:
    with pytest.raises(EdfkitError, match="chosen_by"):
        best_of([1, 2, 3], 2, chosen_by=by)


def test_a_difference_is_that_of_the_curves() -> None:
    (a, by_a, _), (b, by_b, _) = example(200, 1), example(160, 2)
    strata = in_strata(a, b + 1)
    assert strata is not None
    by = np.concatenate([by_a, by_b])
    found = best_difference(strata, [1, 2, 8], chosen_by=by)
    one, other = best_of(a, [1, 2, 8], chosen_by=by_a), best_of(b + 1, [1, 2, 8], chosen_by=by_b)
    assert_allclose(found.estimate, one.error - other.error, rtol=1e-9)
    assert_allclose(found.standard_error, np.hypot(one.se, other.se), rtol=0.02)
    assert_array_equal(best_difference(strata, [2], chosen_by=strata.errors).p_adjusted > 0, True)
    assert_allclose(
        best_difference(strata, [1, 4], chosen_by=strata.errors).estimate, best_difference(strata, [1, 4]).estimate
    )


# --- Studies


def population(n: int, seed: int, better: float = 0.0) -> Columns:
    rng = np.random.default_rng(seed)
    true = rng.beta(8, 2, n) * (1 - better) + better
    val, test = (np.clip(true + rng.normal(0, 0.03, n), 0, 1).round(4) for _ in range(2))
    return {"test_acc": test, "val_acc": val, "params": rng.integers(10**5, 10**6, n)}


def picked(populations: dict[str, Columns], **options: object) -> SearchStudy:
    settings = {"metric": "test_acc", "select": "val_acc", "given": "none", "m": [1, 2, 8]} | options
    return search_study(InMemory(populations, ACCURACY), list(populations), **settings)  # type: ignore[arg-type]


def test_a_study_picks_runs_by_one_metric_and_reports_another() -> None:
    a, b = population(200, 0), population(160, 1, 0.3)
    study = picked({"a": a, "b": b})
    for curve, one in zip(study.curves, (a, b), strict=True):
        expected = best_of(-one["test_acc"], [1, 2, 8], chosen_by=-one["val_acc"])
        assert_allclose(curve.best.error, expected.error)
        assert_allclose(curve.best.se, expected.se)
        assert np.isnan([curve.low, curve.high, curve.median_low, curve.median_high]).all()
    pair = study.pairs[0]
    assert_allclose(pair.difference, study.curves[0].best.error - study.curves[1].best.error)
    assert pair.better == ["b"] * 3
    document: Any = study.to_dict()
    json.dumps(document, allow_nan=False)
    assert document["select"] == "val_acc"
    assert document["spaces"][0]["error"][0] == pytest.approx(a["test_acc"].mean())
    assert document["spaces"][0]["low"] == [None] * 3
    assert document["spaces"][0]["interval"][0][0] < a["test_acc"].mean() < document["spaces"][0]["interval"][0][1]
    printed = "\n".join(text.search(study))
    assert "picked by val_acc" in printed
    assert "no band: runs are picked by val_acc" in printed
    assert " band " not in printed


@pytest.mark.parametrize("against", [None, "b"])
def test_point_estimates_pick_runs_too(against: str | None) -> None:
    made = {"a": population(60, 0), "b": population(50, 1, 0.3)}
    study = point_study(InMemory(made, ACCURACY), "a", against, small=5, large=20, metric="test_acc", select="val_acc",
                        trials=2000)  # fmt: skip
    (y, by), (other, by_other) = ((-one["test_acc"], -one["val_acc"]) for one in made.values())
    expected = who_wins(y, 5, other if against else None, large=20, chosen_by_small=by,
                        chosen_by_large=by_other if against else None)  # fmt: skip
    assert study.wins == expected
    assert study.resampled is not None
    assert study.resampled.large_wins == pytest.approx(expected.large_wins, abs=0.05)
    assert study.to_dict()["select"] == "val_acc"
    assert "Runs are picked by val_acc" in "\n".join(text.point(study))


def test_picked_by_the_metric_itself_nothing_changes() -> None:
    populations = {"a": population(80, 0), "b": population(80, 1)}
    own, plain = picked(populations, select="test_acc"), picked(populations, select=None)
    assert own.picked_by is None
    assert own.to_dict() | {"select": None} == plain.to_dict()


@pytest.mark.parametrize(
    "options", [{"given": "params"}, {"given": "params", "bins": 2}, {"given": "params", "strata": 4}]
)
def test_at_equal_complexity_pairs_and_curves_pick_within_the_weights(options: dict[str, object]) -> None:
    a, b = population(200, 0), population(160, 1, 0.3)
    study = picked({"a": a, "b": b}, **options)
    own = {"a": a | {"val_acc": a["test_acc"]}, "b": b | {"val_acc": b["test_acc"]}}
    same, plain = picked(own, **options), picked(own, **options, select=None)
    for one, other in zip(same.curves, plain.curves, strict=True):
        assert_allclose(one.best.error, other.best.error)
    assert_allclose(same.pairs[0].difference, plain.pairs[0].difference)
    assert_allclose(same.pairs[0].low, plain.pairs[0].low, rtol=1e-6)
    assert study.pairs[0].better[:2] == ["b", "b"]
    member = study.selection.populations[0]
    assert member.also is not None
    rows = member.rows
    assert_allclose(member.also[:, -1], -a["val_acc"][rows])
    expected = best_of(-a["test_acc"][rows], [1, 2, 8], member.weights, chosen_by=-a["val_acc"][rows])
    assert_allclose(study.curves[0].best.error, expected.error)


def test_repeated_units_share_a_draw() -> None:
    a = population(60, 0)
    again = {key: np.repeat(values, 2) for key, values in a.items()} | {"unit": np.repeat(np.arange(60), 2)}
    twice, once = picked({"a": again}, m=[1, 2]), picked({"a": a}, m=[1, 2])
    assert_allclose(twice.curves[0].best.error, once.curves[0].best.error)
    assert_allclose(twice.curves[0].interval, once.curves[0].interval)


@pytest.mark.parametrize("options", [{}, {"given": "params"}, {"given": "params", "bins": 2}, {"cost": "params"}])
def test_large_populations_are_picked_from_alike(options: dict[str, object]) -> None:
    made = {name: population(300, seed) for seed, name in enumerate("ab")}
    for one in made.values():
        one["params"] = np.round(one["params"], -5)
        one["val_acc"], one["test_acc"] = one["val_acc"].round(2), one["test_acc"].round(1)
    settings = {"metric": "test_acc", "select": "val_acc", "given": "none", "m": [1, 2, 8]} | options
    found = []
    for whole in (0, 1000):
        source = Counted(InMemory(made, ACCURACY), whole=whole)
        found.append(search_study(source, ["a", "b"], **settings))  # type: ignore[arg-type]
    for few, many in zip(found[0].curves, found[1].curves, strict=True):
        assert_allclose(few.best.error, many.best.error)
        assert_allclose(few.best.se, many.best.se)
        assert few.cost_of_one == pytest.approx(many.cost_of_one)
    assert_allclose(found[0].pairs[0].difference, found[1].pairs[0].difference)
    assert_allclose(found[0].pairs[0].p_adjusted, found[1].pairs[0].p_adjusted, rtol=1e-6)


def test_runs_that_diverged_are_the_worst_in_both() -> None:
    a = population(50, 0)
    bad = np.zeros(50, bool)
    bad[:5] = True
    for name in ("test_acc", "val_acc"):
        a[name] = np.where(bad, np.nan, a[name])
    a["status"] = np.where(bad, "diverged", "finished")
    curve = picked({"a": a}).curves[0]
    filled = {name: np.where(bad, 0.0, a[name]) for name in ("test_acc", "val_acc")}
    assert_allclose(curve.best.error, best_of(-filled["test_acc"], [1, 2, 8], chosen_by=-filled["val_acc"]).error)
    # One that has a value to be picked by may be picked, unless it is to count as the worst.
    a["val_acc"] = np.where(bad, 1.0, a["val_acc"])
    found = [picked({"a": a}, diverged=policy).curves[0].best.error[2] for policy in ("keep", "worst", "drop")]
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("select", [None, "val_loss"])
def test_a_run_that_is_worse_than_any_leaves_no_mean(select: str | None) -> None:
    metrics, values = [Metric("loss", "nats"), Metric("val_loss", "nats")], np.arange(1.0, 40)
    a = {"loss": [*values, np.nan], "val_loss": [*values[::-1], np.nan], "status": ["finished"] * 39 + ["diverged"]}
    m = [1, 4, 24, 256]
    study = search_study(InMemory({"a": a}, metrics), ["a"], given="none", select=select, m=m)
    filled = np.append(values[::-1] if select else values, 1e3)
    expected = best_of(np.append(values, 1e3), m, chosen_by=filled).quantiles[0.5]
    assert_array_equal(study.curves[0].median, expected)
    document: Any = study.to_dict()["spaces"][0]
    assert [document[name] for name in ("error", "spread", "se", "low", "high")] == [[None] * 4] * 5
    assert document["interval"] == [None] * 4
    assert "mean not defined" in "\n".join(text.search(study))


def test_a_run_that_cannot_be_picked_is_refused() -> None:
    a = population(50, 0)
    a["val_acc"] = np.where(np.arange(50) < 3, np.nan, a["val_acc"])
    with pytest.raises(EdfkitError, match="picked by val_acc, and that of 3 of the 50 a models is not known; leave"):
        picked({"a": a})


def test_curves_of_both_choose_the_epoch_and_other_studies_ask_for_them() -> None:
    a = population(50, 0)
    with pytest.raises(EdfkitError, match="expected both metrics after each epoch"):
        compare_populations(InMemory({"a": a, "b": a}, ACCURACY), ["a", "b"], metric="test_acc", select="val_acc")
    rng = np.random.default_rng(0)
    for name in ("test_acc", "val_acc"):
        a[f"{name}_curve"] = rng.uniform(0.5, 1, (50, 4)).round(3)
        a[name] = a[f"{name}_curve"].max(axis=1)
    study = picked({"a": a})
    chosen = a["test_acc_curve"][np.arange(50), a["val_acc_curve"].argmax(axis=1)]
    # The run is picked by it, too: what is reported decides nothing.
    assert_allclose(study.curves[0].best.error, best_of(-chosen, [1, 2, 8], chosen_by=-a["val_acc"]).error)
    # After the last epoch there is none to choose, and the run is picked.
    for name in ("test_acc", "val_acc"):
        a[f"{name}_final"] = a[f"{name}_curve"][:, -1]
    last = picked({"a": a}, error="final")
    expected = best_of(-a["test_acc_final"], [1, 2, 8], chosen_by=-a["val_acc_final"])
    assert_allclose(last.curves[0].best.error, expected.error)


def test_the_command_line_says_what_picks(tmp_path: Path) -> None:
    made = population(120, 0)
    rows = zip(*(made[name].tolist() for name in ("val_acc", "test_acc", "params")), strict=True)
    table, archive = tmp_path / "runs.csv", tmp_path / "runs.h5"
    table.write_text("val_acc,test_acc,params\n" + "".join(f"{v},{t},{p}\n" for v, t, p in rows))
    options = "--name a --metric test_acc --metric val_acc --goal max --unit share --params params"
    run = CliRunner().invoke(edfkit, f"import table {table} -o {archive} {options}")
    assert run.exit_code == 0, run.output
    given = ["search", "a", "--archive", str(archive), "--select", "val_acc", "-m", "1,2", "--json"]
    document = json.loads(CliRunner().invoke(edfkit, given).stdout)
    Draft202012Validator(schemas()["search"]).validate(document)
    expected = best_of(-made["test_acc"], [1, 2], chosen_by=-made["val_acc"]).error
    assert document["spaces"][0]["error"] == pytest.approx(-expected)
    assert document["spaces"][0]["median_high"] == [None, None]
    refused = CliRunner().invoke(edfkit, ["describe", *given[1:6]])
    assert refused.exit_code == 1
    assert "expected both metrics after each epoch" in str(refused.exception)
