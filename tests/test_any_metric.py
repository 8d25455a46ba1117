"""Populations of any metric: studies of one that is maximised mirror those of its negative, others have no bounds."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.metric import BEYOND, ERROR, Metric, check_bounds, find, is_known, is_other, is_percentage, stated
from edfkit.study.compare import compare_populations, compare_study, describe_populations
from edfkit.study.complexity import complexity_study
from edfkit.study.counting import Counted
from edfkit.study.describe import describe_study
from edfkit.study.noise import noise_study
from edfkit.study.plan import plan_study
from edfkit.study.point import point_study
from edfkit.study.samples import sample_study
from edfkit.study.search import search_study
from edfkit.study.selection import InMemory, common_metric, select
from edfkit.study.settings import Reading

ACCURACY = Metric("val_acc", "percent", "max", label="val/acc")
LOSS = Metric("loss", "nats")


def errors(seed: Any, models: int = 120) -> Any:
    rng = np.random.default_rng(seed)
    params = rng.integers(1_000, 50_000, models)
    return (60 - 4 * np.log(params) + rng.gamma(3, 2, models)).round(2), params


def both(turned: Any) -> Any:
    """Give two populations by their errors, or by the accuracies that are 100 minus these."""
    found = {}
    for name, seed in (("a", 1), ("b", 2)):
        error, params = errors(seed)
        error += 3 * (name == "b")
        values = {"val_acc": 100 - error, "val_acc_final": 100 - error - 1} if turned else {
            "error": error, "error_final": error + 1,
        }  # fmt: skip
        curve = np.stack([error + 5, error, error + 1], axis=1)
        values |= {"val_acc_curve": 100 - curve} if turned else {"test_error": curve}
        found[name] = values | {"params": params, "lr": params / 1e6, "wd": params[::-1] / 1e6}
    return InMemory(found, ACCURACY if turned else None)


STUDIES: dict[str, Callable[[Any], Any]] = {
    "compare": lambda source: compare_study(source, ["a", "b"], sensitive=True, equivalent=5),
    "compare none": lambda source: compare_study(source, ["a", "b"], given="none", permutations=100),
    "bins": lambda source: compare_study(source, ["a", "b"], bins=3),
    "final": lambda source: compare_study(source, ["a", "b"], error="final"),
    "epoch": lambda source: compare_study(source, ["a", "b"], error="1"),
    "describe": lambda source: describe_study(source, ["a", "b"], trials=100),
    "point": lambda source: point_study(source, "a", "b", small=5, large=20, trials=20),
    "search": lambda source: search_study(source, ["a", "b"], m=[1, 2, 8]),
    "samples": lambda source: sample_study(source, "a"),
    "plan": lambda source: plan_study(source, ["a", "b"], trials=20),
    "complexity": lambda source: complexity_study(source, ["a", "b"]),
    "noise": lambda source: noise_study(source, ["a", "b"]),
}
TEXT = {"verdict", "why", "no_claim", "label"}
# An error e is 100 - e as an accuracy, with the ends of intervals the other way round; differences and correlations
# change sign.
SWAPPED = {"low": "high", "high": "low", "median_low": "median_high", "median_high": "median_low", "from": "to",
           "to": "from"}  # fmt: skip


def numbers(value: Any) -> Any:
    if isinstance(value, dict):
        for one in value.values():
            yield from numbers(one)
    elif isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


@pytest.mark.parametrize("study", STUDIES)
def test_a_maximised_metric_mirrors_its_negative(study: Any) -> None:
    plain, turned = (STUDIES[study](both(way)).to_dict() for way in (False, True))
    json.dumps(turned, allow_nan=False)
    assert turned["metric"] == ACCURACY.to_dict()

    def agree(own: Any, other: Any, at: str = "") -> None:
        assert type(own) is type(other), at
        if isinstance(own, dict):
            assert list(own) == list(other), at
            for key in own:
                if key not in TEXT | {"metric"}:
                    swapped = not at.endswith(("almost_dominance", "area"))
                    agree(own[key], other[SWAPPED.get(key, key) if swapped else key], f"{at}/{key}")
        elif isinstance(own, list):
            assert len(own) == len(other), at
            if len(own) == 2 and "interval" in at.split("/")[-2 if at.rpartition("/")[2].isdecimal() else -1]:
                other = other[::-1] if math.isclose(own[0], other[0], abs_tol=1e-9) is False else other
            for i, (one, that) in enumerate(zip(own, other, strict=True)):
                agree(one, that, f"{at}/{i}")
        elif isinstance(own, float | int) and not isinstance(own, bool):
            alike = [other, 100 - other, -other]
            assert any(math.isclose(own, one, rel_tol=1e-9, abs_tol=1e-9) for one in alike), f"{at}: {own} {other}"
        else:
            assert own == other, at

    agree(plain, turned)


def test_values_keep_their_own_sign_and_the_best_side_comes_first() -> None:
    source = both(turned=True)
    accuracy = source.read("a", "val_acc")
    document: Any = compare_populations(source, ["a", "b"]).to_dict()
    space = document["spaces"][0]
    assert space["min"] == accuracy.max()
    assert space["mean"] == pytest.approx(accuracy.mean())
    assert space["quantiles"]["0.05"] == np.sort(accuracy)[::-1][5]  # the 6th best of 120
    assert space["area_to"] == 50
    assert space["area"] == pytest.approx(1 - np.minimum(1, (100 - accuracy) / 50).mean())


def test_the_better_one_follows_the_goal() -> None:
    source = both(turned=True)
    document: Any = compare_populations(source, ["a", "b"]).to_dict()
    pair = document["pairs"][0]
    assert pair["better"] == "a"
    low, high = pair["mean_difference_interval"]
    assert 0 < low < pair["mean_difference"] < high
    assert [one["a_is"] for one in pair["ranges"] if one["a_is"] == "better"]
    assert all(one["from"] < one["to"] for one in pair["ranges"])
    assert pair["ranges"][0]["to"] == 100
    assert pair["ranges"][-1]["from"] == 0
    means = [source.read(name, "val_acc").mean() for name in "ab"]
    assert compare_populations(source, ["a", "b"], given="none").to_dict()["pairs"][0]["mean_difference"] == (
        pytest.approx(means[0] - means[1])
    )
    by_size: Any = complexity_study(source, ["a"]).to_dict()
    assert by_size["spaces"][0]["rank_correlation"] > 0


def losses(infinite: int = 0) -> Any:
    error, params = errors(3, 100)
    loss = (error / 10).round(3)
    worse = (loss + 0.3).round(3)
    loss = loss.copy()
    loss[:infinite] = np.inf
    return InMemory({"a": {"loss": loss, "params": params}, "b": {"loss": worse, "params": params + 1}}, LOSS)


def test_a_metric_without_bounds_has_no_area_and_no_ends() -> None:
    document = compare_populations(losses(), ["a", "b"]).to_dict()
    assert document["spaces"][0]["area"] is None
    assert document["spaces"][0]["area_to"] is None
    assert document["spaces"][0]["mean"] == pytest.approx(losses().read("a", "loss").mean())
    assert document["pairs"][0]["better"] == "a"
    assert document["pairs"][0]["ranges"][0]["from"] is None
    assert document["pairs"][0]["ranges"][-1]["to"] is None
    with pytest.raises(EdfkitError, match=r"area_to: 5 was given, and loss has no bounds"):
        compare_populations(losses(), ["a", "b"], area_to=5)
    negative = InMemory({"a": {"r2": np.linspace(-8, 0.9, 30)}}, Metric("r2", "1", "max"))
    assert describe_study(negative, ["a"]).to_dict()["spaces"][0]["min"] == 0.9


def test_runs_that_are_worse_than_any_value_leave_ranks_and_take_means() -> None:
    document: Any = compare_populations(losses(40), ["a", "b"]).to_dict()
    json.dumps(document, allow_nan=False)
    (a, b), (pair,) = document["spaces"], document["pairs"]
    assert (a["diverged"], a["without_value"], a["mean"], a["quantiles"]["0.95"]) == (40, 40, None, None)
    finite = losses(40).read("a", "loss")[40:]
    assert a["median"] == np.sort(finite)[49]
    assert b["mean"] is not None
    assert pair["mean_difference"] is None
    assert pair["mix"]["mean"]["total"] is None
    ours, others = np.append(finite, np.full(40, np.inf)), losses().read("b", "loss")
    wins = (ours[:, None] < others).mean() + (ours[:, None] == others).mean() / 2
    plain = compare_populations(losses(40), ["a", "b"], given="none").to_dict()["pairs"][0]
    assert plain["prob_a_better"] == pytest.approx(wins)
    for study in ("describe", "samples"):
        document = STUDIES[study](losses(40)).to_dict()
        json.dumps(document, allow_nan=False)
        assert all(map(is_known, numbers(document)))
    curves: Any = search_study(losses(40), ["a", "b"], m=[1, 2]).to_dict()
    assert curves["spaces"][0]["error"] == [None, None]
    assert curves["spaces"][0]["median"][0] == a["median"]
    assert "no expectation to compare; --diverged drop" in curves["pairs"][0]["no_claim"]
    with pytest.raises(EdfkitError, match="equivalent: compare tests medians of loss here"):
        plan_study(losses(), ["a", "b"], equivalent=1.0)
    with pytest.raises(EdfkitError, match="width: this is about a mean, and some runs count as worse than any loss"):
        plan_study(losses(40), ["a", "b"], width=1.0)


# --- Outcomes


def test_a_diverged_run_without_a_value_counts_as_the_worst() -> None:
    rng = np.random.default_rng(0)
    tame, wild = rng.uniform(10, 20, 100).round(2), rng.uniform(6, 10, 100).round(2)
    status = np.where(np.arange(100) % 2, "Diverged", "finished")
    source = InMemory({"tame": {"error": tame}, "wild": {"error": np.where(status == "Diverged", np.nan, wild),
                                                         "status": status}})  # fmt: skip
    found = {
        policy: compare_populations(source, ["tame", "wild"], given="none", diverged=policy).to_dict()
        for policy in ("keep", "worst", "censor", "drop")
    }
    for policy in ("keep", "worst", "censor"):
        wild_space, pair = found[policy]["spaces"][1], found[policy]["pairs"][0]
        assert (wild_space["models"], wild_space["diverged"]) == (100, 50)
        assert pair["prob_a_better"] == pytest.approx(0.5)
        assert wild_space["quantiles"]["0.75"] == 100
    assert found["keep"]["spaces"][1]["without_value"] == 50
    assert found["drop"]["spaces"][1]["models"] == 50
    assert found["drop"]["pairs"][0]["prob_a_better"] == 0


@pytest.mark.parametrize(
    ("policy", "models", "left_out"),
    [("drop", 2, {"failed": 1, "stopped": 2, "running": 1}), ("last", 3, {"failed": 1, "stopped": 1, "running": 1}),
     ("worst", 4, {"failed": 1, "running": 1})],
)  # fmt: skip
def test_stopped_runs_are_left_out_or_keep_their_last_value_or_are_the_worst(
    policy: Any, models: Any, left_out: Any
) -> None:
    words = ["COMPLETE", "pruned", "KILLED", "FAIL", "RUNNING", "done"]
    source = InMemory({"a": {"error": [5, 50, np.nan, np.nan, 30, 6], "status": words}})
    (space,) = describe_study(source, ["a"], stopped=policy).to_dict()["spaces"]
    assert (space["models"], space["left_out_why"]) == (models, left_out)
    assert space["quantiles"]["0.95"] == {"drop": 6, "last": 50, "worst": 100}[policy]


def test_masked_values_are_not_known_and_words_are() -> None:
    values = np.ma.array([5.0, 99.9, 7.0], mask=[False, True, False])
    (space,) = describe_study(InMemory({"a": {"error": values}}), ["a"]).to_dict()["spaces"]
    assert (space["models"], space["left_out_why"], space["mean"]) == (2, {"failed": 1}, 6)
    with pytest.raises(EdfkitError, match=r"'exploded' as the outcome of a run, expected one of: finished"):
        describe_study(InMemory({"a": {"error": [5.0], "status": ["exploded"]}}), ["a"])


def test_curves_in_memory_tell_who_diverged_and_who_was_stopped() -> None:
    nan = np.nan
    curves = [[9, 8, nan, 7], [9, nan, nan, 6], [9, 8, nan, nan], [np.inf, 5, nan, 4], [nan] * 4]
    columns = {"error": [7, 6, 8, 4, nan], "test_error": np.array(curves, float)}
    assert InMemory({"a": columns}).read("a", "status").tolist() == [0, 1, 3, 1, 2]  # no run has the third epoch
    coded = InMemory({"a": columns | {"status": [0, 0, 0, 0, 2]}})
    assert coded.read("a", "status").tolist() == [0, 0, 0, 0, 2]


def test_an_infinite_value_diverged_and_is_none() -> None:
    source = InMemory({"a": {"error": [5.0, np.inf, 7.0], "status": ["finished"] * 3}})
    assert source.read("a", "status").tolist() == [0, 1, 0]
    assert np.isnan(source.read("a", "error")[1])


# --- Findings that depend on runs without a value


def failing(failed: Any, better: float = 3.0) -> Any:
    rng = np.random.default_rng(5)
    a, b = rng.normal(20, 2, 80), rng.normal(20 + better, 2, 80)
    a[:failed] = np.nan
    return InMemory({"a": {"error": a}, "b": {"error": b}})


def test_a_finding_that_missing_runs_would_turn_is_not_claimed() -> None:
    (pair,) = compare_populations(failing(45), ["a", "b"], given="none").pairs
    assert pair.missing == (45, 0)
    assert pair.fragile is not None
    assert (pair.fragile.plain, pair.fragile.best) == ("a", "a")
    assert pair.fragile.worst != "a"
    assert pair.better == "none"
    assert pair.found == "a"
    assert pair.ranges() == [(0, 100, "undecided")]
    assert pair.to_dict()["better"] is None


def test_a_finding_that_missing_runs_cannot_turn_stands() -> None:
    (pair,) = compare_populations(failing(3), ["a", "b"], given="none").pairs
    assert pair.better == "a"
    assert pair.fragile is not None
    assert pair.fragile.worst == "a"
    (whole,) = compare_populations(failing(0), ["a", "b"], given="none").pairs
    assert whole.fragile is None
    assert whole.missing == (0, 0)


def test_equivalence_is_shown_only_if_missing_runs_leave_it() -> None:
    shown = [compare_populations(failing(n, 0.0), ["a", "b"], given="none", equivalent=2).pairs[0] for n in (0, 30)]
    assert shown[0].is_equivalent is True
    assert shown[1].is_equivalent is False


# --- Ties


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=60))
def test_logs_of_two_precisions_tie(hundredths: Any) -> None:
    exact = np.array(hundredths) / 100 + 1
    source = InMemory({"a": {"error": exact.astype(np.float32)}, "b": {"error": exact}}, Metric("error", "1"))
    pair: Any = compare_populations(source, ["a", "b"], given="none").to_dict()["pairs"][0]
    if pair["ks"] is not None:
        assert (pair["ks"], pair["prob_a_better"]) == (0, pytest.approx(0.5))


def test_values_on_a_grid_tie_to_the_nearest_step_and_means_stay() -> None:
    grid = Metric(grid=0.01)
    a, b = np.arange(1000, 1100) / 100, np.arange(1000, 1100) / 100 + 0.004
    both = {"a": {"error": a}, "b": {"error": b}}
    (pair,) = compare_populations(InMemory(both, grid), ["a", "b"], given="none").pairs
    assert pair.prob_a_better == 0.5
    assert pair.to_dict()["mean_difference"] == pytest.approx(-0.004)
    (apart,) = compare_populations(InMemory(both), ["a", "b"], given="none").pairs
    assert apart.prob_a_better is not None
    assert apart.prob_a_better > 0.5


# --- One metric chosen, another reported


def test_the_epoch_is_chosen_by_one_metric_and_reported_of_another() -> None:
    metrics = [Metric("test_acc", "percent", "max"), Metric("val_loss", "nats")]
    curves = {"val_loss_curve": [[3, 1, 2], [np.nan, 5, 4]], "test_acc_curve": [[10, 20, 90], [80, 30, 40]]}
    columns = {name: np.array(curve, float) for name, curve in curves.items()}
    columns |= {"test_acc": np.array([90, 80]), "val_loss": np.array([1, 4])}
    source = InMemory({"a": columns}, metrics)
    for counted in (source, Counted(source, whole=0)):
        picked = select(counted, ["a"], select="val_loss").populations[0]
        assert sorted(picked.errors.tolist()) == [-40, -20]
        assert sorted(select(counted, ["a"]).populations[0].errors.tolist()) == [-90, -80]
        assert sorted(select(counted, ["a"], metric="val_loss").populations[0].errors.tolist()) == [1, 4]
    del columns["val_loss_curve"]
    with pytest.raises(EdfkitError, match="epoch was to be chosen by val_loss, and a has no val_loss_curve"):
        select(InMemory({"a": columns}, metrics), ["a"], select="val_loss")


# --- What a metric is


def test_shares_are_not_taken_for_percent() -> None:
    with pytest.raises(EdfkitError, match=r"No error is above 1 \(the largest is 0.4\).*shares, or percent"):
        describe_study(InMemory({"a": {"error": [0.2, 0.4]}}), ["a"])
    assert describe_study(InMemory({"a": {"error": [0.2, 0.4]}}, ERROR), ["a"]).populations[0].summary.median == 0.2
    with pytest.raises(EdfkitError, match=r"error has the value 120, expected 0 to 100 \(percent\)"):
        describe_study(InMemory({"a": {"error": [5, 120]}}), ["a"])


class Two:
    """Two populations whose metrics are not the same."""

    def metrics(self, name: Any) -> Any:
        return [Metric("m", "share" if name == "a" else "percent", "max")]

    def models(self, name: Any) -> Any:
        return 2

    def variables(self, name: Any) -> Any:
        return ["m"]

    def read(self, name: Any, variable: Any) -> Any:
        return np.array([0.5, 0.75])


def test_populations_of_different_metrics_are_not_compared() -> None:
    with pytest.raises(EdfkitError, match=r"a has m \(share, goal max\) and b has m \(percent, goal max\)"):
        common_metric(Two(), ["a", "b"], Reading())
    with pytest.raises(EdfkitError, match="metric: a has no metric 'loss', but only m"):
        common_metric(Two(), ["a", "b"], Reading(metric="loss"))


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"goal": "up"}, "goal: 'up' was given, expected min or max"),
        ({"low": 2, "high": 1}, "bounds of m were given as 2 and 1"),
        ({"grid": 0}, "grid: 0 was given"),
    ],
)
def test_a_metric_is_checked(settings: Any, wrong: Any) -> None:
    with pytest.raises(EdfkitError, match=wrong):
        Metric("m", "1", **settings)


def test_bounds_follow_the_unit_and_oriented_ends_the_goal() -> None:
    assert (ERROR.least, ERROR.most, ERROR.worst, ERROR.best, ERROR.middle) == (0, 100, 100, 0, 50)
    auc = Metric("auc", "share", "max")
    assert (auc.least, auc.most, auc.turned(0.25)) == (-1, 0, -0.25)
    assert math.copysign(1, auc.most) == 1
    assert (LOSS.least, LOSS.most, LOSS.worst, LOSS.bounded) == (-math.inf, math.inf, BEYOND, False)
    assert Metric("perplexity", "1", low=1.0).best == 1
    assert not is_known(BEYOND / 1e9)
    assert is_known(1e20)
    assert not is_known(math.nan)


@pytest.mark.parametrize("name", ["val_loss", "AUC", "mAP", "val/perplexity", "testLoss", "mean_IoU", "val_f1", "R2"])
def test_names_of_other_metrics_are_known(name: Any) -> None:
    assert is_other(name)
    assert not is_percentage(name)


@pytest.mark.parametrize("name", ["acc", "val/best_acc", "test_error", "top1_err", "top-1", "mean_accuracy", "Top_5"])
def test_names_of_errors_and_accuracies_are_known(name: Any) -> None:
    assert is_percentage(name)
    assert not is_other(name)


def test_a_metric_is_made_of_what_is_said_and_of_what_its_values_show() -> None:
    assert stated("val_acc", (10, 90), goal="max") == Metric("val_acc", "percent", "max")
    assert stated("val_loss", (0.3, 5.4)).bounded is False
    assert stated("auc", (0.2, 0.9), goal="max", unit="share").high == 1
    assert stated("r2", (-3, 0.9), goal="max", unit="1").unit == "1"
    with pytest.raises(EdfkitError, match=r"No value of r2 is above 1.*--unit"):
        stated("r2", (-3, 0.9), goal="max")
    with pytest.raises(EdfkitError, match=r"acc has the value 120, expected 0 to 100 \(percent\)"):
        stated("acc", (10, 120), unit="percent")
    with pytest.raises(EdfkitError, match=r"ppl has the value 0.5, expected 1 or more"):
        check_bounds(Metric("ppl", "1", low=1.0), (0.5, 3))
    assert find([ERROR, ACCURACY], "val/acc", "a") is ACCURACY


def test_the_metric_that_is_compared_is_not_held_equal() -> None:
    source = both(turned=True)
    for column in ("val_acc", "val_acc_final"):
        with pytest.raises(EdfkitError, match=f"given: {column} is a result of training"):
            compare_populations(source, ["a", "b"], given=column)


def test_an_epoch_that_is_named_is_not_chosen_by_another_metric() -> None:
    values, _ = errors(3)
    rows = {"val_acc": 100 - values, "loss": values / 20, "val_acc_final": 99 - values}
    source = InMemory({"a": rows}, [ACCURACY, LOSS])
    with pytest.raises(EdfkitError, match="the epoch was to be chosen by loss, and the error was to be final"):
        select(source, ["a"], error="final", select="loss")
    assert select(source, ["a"], error="final", select="val_acc").populations[0].models == 120


def test_populations_of_any_metric_are_summarised_with_their_own_area() -> None:
    share = InMemory({"a": {"auc": [0.25, 0.75]}}, Metric("auc", "share", "max"))
    (member,) = describe_populations(share, ["a"])
    assert member.summary.area == pytest.approx(0.25)  # one of two is halfway from the middle to the best
    (member,) = describe_populations(InMemory({"a": {"loss": [1.0, 2.0]}}, LOSS), ["a"])
    assert math.isnan(member.summary.area)


def test_runs_that_are_worse_than_any_leave_no_mean_however_rarely_they_decide() -> None:
    losses = np.linspace(1, 2, 200)
    losses[:40] = np.nan
    source = InMemory({"a": {"loss": losses, "status": (np.arange(200) < 40).astype(int)}}, LOSS)
    study = point_study(source, "a", small=18, large=30)
    assert 1e20 < abs(study.mean) < BEYOND / 1e12  # of which the size alone does not tell
    assert study.to_dict()["difference"]["mean"] is None


@pytest.mark.parametrize("settings", [{}, {"diverged": "worst"}, {"diverged": "drop", "stopped": "worst"}])
def test_a_last_value_is_compared_with_the_best_one_only(settings: Any) -> None:
    values = np.linspace(10, 20, 60)
    status = np.where(np.arange(60) < 5, 1, np.where(np.arange(60) < 10, 3, 0))
    finals = values + 1
    if not settings:
        values[:5] = np.nan
    source = InMemory({"a": {"loss": values, "loss_final": finals, "status": status}}, LOSS)
    assert noise_study(source, ["a"], **settings).spaces[0].last is None
    kept = noise_study(source, ["a"], diverged="drop").spaces[0].last
    assert kept is not None
    assert kept.mean == pytest.approx(1)


@pytest.mark.parametrize("models", [20, 30, 70])
def test_a_half_that_is_worse_than_any_does_not_weigh_in_the_mean_of_the_other(models: Any) -> None:
    losses = np.random.default_rng(models).uniform(1, 2, models)
    rows = {"loss": losses.copy(), "status": (np.arange(models) < models // 2).astype(int)}
    rows["loss"][: models // 2] = np.nan
    source = InMemory({"a": rows, "b": {"loss": losses}}, LOSS)
    (pair,) = compare_populations(source, ["a", "b"], given="none", best_share=0.5).pairs
    assert pair.estimates is not None
    assert pair.estimates.tail.a.mean == pytest.approx(losses[models // 2 :].mean())


def test_an_infinite_value_of_a_curve_is_none() -> None:
    curve = np.array([[np.inf, 2, 1.5], [3, 2, 1], [4, 3, 2]])
    reward = np.array([[1, 2, np.inf], [1, 3, 2], [3, 2, 1]])
    rows = {"loss": curve.min(axis=1), "loss_curve": curve, "reward_curve": reward, "status": [1, 0, 0]}
    source = InMemory({"a": rows | {"reward": [2, 3, 3]}}, [LOSS, Metric("reward", "1", "max")])
    (first,) = select(source, ["a"], error="1").populations
    assert first.errors.tolist() == [BEYOND, 3, 4]
    assert first.filled == 1
    (chosen,) = select(source, ["a"], select="reward").populations
    assert chosen.errors.tolist() == [2, 2, 4]  # where the largest number of the rewards is
    assert noise_study(source, ["a"]).spaces[0].epochs is None


def test_a_metric_is_found_by_its_name_before_a_label_and_not_by_a_label_of_several() -> None:
    by_name, labelled, other = Metric("acc"), Metric("val", label="acc"), Metric("test", label="top")
    assert find([labelled, by_name], "acc", "a") is by_name
    with pytest.raises(EdfkitError, match="a has 2 metrics called 'top': test, best; name one of these"):
        find([other, Metric("best", label="top")], "top", "a")
