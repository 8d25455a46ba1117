"""Any metric in its own words: its label, its unit and its sign, in texts, plots, reports and figures."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edfkit.metric import BEYOND, ERROR, Metric
from edfkit.show import plot, text, words
from edfkit.show.figures import make_figures
from edfkit.show.labels import labelled, named
from edfkit.show.report import page
from edfkit.show.report.content import study
from edfkit.stats.bands import Best
from edfkit.study.compare import Fragile, Pair, compare_populations, compare_study
from edfkit.study.complexity import complexity_study
from edfkit.study.describe import describe_study
from edfkit.study.noise import noise_study
from edfkit.study.plan import plan_comparison
from edfkit.study.point import point_study
from edfkit.study.samples import sample_study
from edfkit.study.search import search_study
from edfkit.study.selection import InMemory

LOSS = Metric("val_loss", "nats")
AUC = Metric("val_auc", "share", "max", label="val AUC")
ACCURACY = Metric("val_acc", "percent", "max")
NO_VALUE = re.compile(r"\d{20}|e\+[23]\d")  # digits of what stands for worse than any, or of a mean over it


class Memory(InMemory):
    """Populations in memory, of which a report can be made."""

    path = Path("populations.h5")
    attrs = {"title": "Populations in memory"}  # noqa: RUF012

    def dataset(self, name: str) -> str:
        return f"images of {self.dataset.__name__}"


def population(metric: Metric, models: int, seed: int, worse: float = 0.0, **gone: int) -> dict[str, Any]:
    """Make a population; the first of its runs diverged without a value, the next ones failed."""
    rng = np.random.default_rng(seed)
    params = rng.integers(20_000, 3_000_000, models)
    drawn = rng.gamma(4, 1, models) + worse
    values = {"val_loss": 0.3 + 0.05 * drawn, "val_auc": 1 / (1 + 0.02 * drawn), "error": 2 * drawn}
    values["val_acc"] = 100 - values["error"]
    status = np.zeros(models, np.int8)
    status[: gone.get("diverged", 0)] = 1
    status[gone.get("diverged", 0) :][: gone.get("failed", 0)] = 2
    return {
        metric.name: np.where(status > 0, np.nan, values[metric.name]),
        "params": params,
        "flops": 100.0 * params,
        "status": status,
        "id": np.arange(models).astype(str),
    }


def source(metric: Metric, **gone: int) -> Memory:
    populations = {
        "ViT-B/16": population(metric, 150, 1, **gone),
        "cnn": population(metric, 130, 2, 2.0),
        "ConvNeXt (ours)": population(metric, 90, 3, 1.2),
        "resnet": population(metric, 80, 4, 0.1),
    }
    return Memory(populations, metric=metric)


STUDIES: dict[str, Callable[[Memory], Any]] = {
    "comparison": lambda one: compare_study(one, one.names[:2], sensitive=True),
    "description": lambda one: describe_study(one, one.names, trials=100),
    "point": lambda one: point_study(one, *one.names[:2], small=10, large=40),
    "search": lambda one: search_study(one, one.names[:2]),
    "samples": lambda one: sample_study(one, one.names[0]),
    "plan": lambda one: plan_comparison(one, one.names[:1], shift=0.05, trials=2),
    "complexity": lambda one: complexity_study(one, one.names[:2], buckets=3),
    "noise": lambda one: noise_study(one, one.names[:1], one_network=True),
}


def said(what: str, result: Any) -> str:
    return "\n".join(getattr(text, what)(result))


# Words


def test_values_have_their_own_sign_and_unit() -> None:
    assert words.valued(ERROR, 2.634) == "2.63 %"
    assert words.valued(ACCURACY, -97.366) == "97.37 %"
    assert words.valued(LOSS, 0.25) == "0.2500 nats"
    assert words.valued(AUC.fitted(0.05), -0.93) == "0.9300"
    assert words.value(ACCURACY, 0.0) == "0.00"
    assert (words.value(LOSS, BEYOND), words.valued(LOSS, BEYOND)) == ("-", "worse than any")
    assert words.value(LOSS, float("nan")) == "-"
    assert [words.as_worst(one) for one in (ERROR, ACCURACY, AUC, LOSS)] == ["100 %", "0 %", "0", "worse than any"]
    assert words.as_worst(AUC, turned=True) == "1"


@pytest.mark.parametrize(("spread", "digits"), [(0.05, 4), (0.5, 3), (1.0, 2), (12.0, 1), (150.0, 0), (1500.0, 0)])
def test_three_digits_of_the_spread_are_written(spread: float, digits: int) -> None:
    assert LOSS.fitted(spread).digits == digits
    assert ERROR.fitted(spread) is ERROR


def test_a_quantile_with_an_unknown_end_is_bounded_on_the_side_that_is_known() -> None:
    assert words.quantile(Best(2.0, 1.0, 3.0, 1.5, 50)) == "2.00 % (1.00 to 3.00)"
    assert words.quantile(Best(2.0, 0.0, 3.0, 1.5, 50)) == "2.00 % (at most 3.00)"
    assert words.quantile(Best(-98.0, -99.0, -97.0, -98.5, 50), ACCURACY) == "98.00 % (97.00 to 99.00)"
    assert words.quantile(Best(-98.0, -100.0, -97.0, -98.5, 50), ACCURACY) == "98.00 % (at least 97.00)"
    assert words.quantile(Best(0.5, 0.4, BEYOND, 0.45, 50), LOSS) == "0.5000 nats (at least 0.4000)"


def pair(metric: Metric, **gone: int) -> Pair:
    one = source(metric, **gone)
    return compare_populations(one, one.names[:2]).pairs[0]


def test_an_accuracy_is_compared_as_its_error_is() -> None:
    errors, accuracy = dict(words.findings(pair(ERROR))), dict(words.findings(pair(ACCURACY)))
    assert pair(ACCURACY).verdict == pair(ERROR).verdict.replace("lower error", "higher val_acc")
    assert accuracy["better of two random models"] == errors["better of two random models"]
    for what in ("mean", "median"):
        assert accuracy[f"{what} val_acc"] == errors[f"{what} error"].replace("lower", "higher")
    name = "5 % quantile, cnn"
    numbers = [[float(one) for one in re.findall(r"\d+\.\d+", some[name])] for some in (errors, accuracy)]
    quantile, low, high = numbers[0]
    assert numbers[1] == pytest.approx([100 - quantile, 100 - high, 100 - low])


def test_a_threshold_is_the_metrics_own() -> None:
    threshold = dict(words.findings(pair(AUC)))["better at every threshold"]
    low, high = map(float, re.findall(r"\d\.\d+", threshold)[:2])
    assert 0.8 < low < high < 1
    assert words.between(LOSS, 0.5, BEYOND) == "0.5000 nats on"


def test_a_finding_that_depends_on_runs_without_a_value_says_so() -> None:
    found = replace(pair(AUC), missing=(12, 3), fragile=Fragile("vit-b/16", "cnn", "vit-b/16"))
    assert found.better == "none"
    assert found.verdict.endswith(
        "Left out are 12 runs of vit-b/16 and 3 of cnn without a value of val AUC: without them vit-b/16 is better (p "
        "< 0.0001); counted as the worst, cnn would be better; so no finding is claimed."
    )
    none = replace(found, fragile=Fragile("vit-b/16", "none", "none"))
    assert "no difference between vit-b/16 and cnn is shown; the mean val AUC of vit-b/16 is between " in none.verdict
    assert none.verdict.endswith(
        "counted as the worst or the best, no difference would be shown; so no finding is claimed."
    )
    same = replace(found, fragile=Fragile("vit-b/16", "vit-b/16", "vit-b/16"))
    assert same.verdict == pair(AUC).verdict
    assert dict(words.findings(same))["runs without a value"] == (
        "12 runs of vit-b/16 and 3 of cnn: counted as the worst or the best, the finding is the same"
    )


def test_runs_without_a_value_are_counted() -> None:
    assert words.taking_part("a", {"stopped": 3}, 50, "keep", LOSS, 50) == (
        "a: left out 3 stopped; 50 diverged, of which 50 have no val_loss and count as the worst."
    )
    assert words.taking_part("a", {}, 2, "worst", LOSS) == "a: left out none; 2 diverged, counted as worse than any."
    assert words.taking_part("a", {}, 2, "worst", ACCURACY) == "a: left out none; 2 diverged, counted as 0 %."


# Texts


@pytest.mark.parametrize("what", STUDIES)
@pytest.mark.parametrize("metric", [LOSS, AUC, ACCURACY])
def test_texts_speak_of_the_metric_alone(metric: Metric, what: str) -> None:
    found = said(what, STUDIES[what](source(metric)))
    assert metric.label in found
    assert not re.search(
        r"\berrors?\b(?! over| final)", found.replace("--error final", "").replace("standard error", "")
    )
    assert "vit-b/16" not in found


@pytest.mark.parametrize("what", STUDIES)
def test_what_is_worse_than_any_is_never_a_number(what: str) -> None:
    found = said(what, STUDIES[what](source(LOSS, diverged=12, failed=3)))
    assert not NO_VALUE.search(found)
    if what in ("comparison", "description", "search", "point", "samples"):
        assert "ViT-B/16: mean not defined, as 12 runs have no value and count as worse than any value." in found
    assert "12 diverged, of which 12 have no val_loss and count as the worst" in found


def test_a_table_has_the_best_value_first_and_says_why_there_is_no_area() -> None:
    one = source(AUC)
    lines = said("comparison", compare_populations(one, one.names[:2], confidence=0.9)).splitlines()
    assert lines[0].split()[:8] == ["space", "models", "best", "5", "%", "median", "mean", "95"]
    name, models, *values = lines[2].split()
    assert (name, models) == ("ViT-B/16", "150")
    assert sorted(values[:3], reverse=True) == values[:3]  # from the best on
    assert float(values[0]) == pytest.approx(one.read("vit-b/16", "val_auc").max(), abs=5e-5)
    assert "val AUC; area: under the EDF, from 1 to 0.5; params: median." in lines[4]
    assert "val_loss in nats; area: none, as val_loss has no bounds." in said(
        "comparison", compare_populations(source(LOSS), ["cnn", "resnet"], given="none")
    )


def test_what_is_called_an_error_and_maximised_has_a_best_and_no_smallest_value() -> None:
    odd = Metric("x_error", "m", "max", label="error")
    assert (words.best(ERROR), words.best(odd)) == ("smallest", "best")
    assert ("min" in words.summary_headings(ERROR), "min" in words.summary_headings(odd)) == (True, False)


def test_one_run_has_and_counts() -> None:
    said = words.taking_part("a", {}, 1, "keep", Metric("loss", "nats"), 1)
    assert said == "a: left out none; 1 diverged, of which 1 has no loss and counts as the worst."


def test_all_lines_of_a_text_have_as_many_digits() -> None:
    one = source(LOSS)
    found = said("comparison", compare_populations(one, one.names[:3]))
    values = re.findall(r"\d+\.(\d+) nats", found)
    assert values
    assert len({len(one) for one in values}) == 1


# Plots


@pytest.mark.parametrize("metric", [LOSS, AUC, ACCURACY])
def test_the_best_values_are_on_the_left(metric: Metric) -> None:
    one = source(metric, diverged=12)
    comparison = compare_populations(one, one.names[:2], given="none")
    edfs, difference, *_ = plot.figure(comparison, band=True).axes
    for axes in (edfs, difference):
        left, right = axes.get_xlim()
        assert (left < right) == (metric.goal == "min")
        assert axes.get_xlabel() == {"val_loss": "val_loss (nats)", "val_acc": "val_acc (%)"}.get(
            metric.name, metric.label
        )
    line = edfs.get_lines()[0]
    x, heights = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    values = np.sort(metric.turned(one.read("vit-b/16", metric.name)[12:]))
    inside = slice(1, 1 + values.size)
    np.testing.assert_allclose(x[inside], metric.turned(values))
    np.testing.assert_allclose(heights[inside], np.arange(1, 139) / 150)  # share of models at least as good
    assert heights[-1] == pytest.approx(1 if metric.bounded else 138 / 150)
    assert np.abs(x).max() <= 100


@pytest.mark.parametrize("what", [one for one in STUDIES if one not in ("description", "plan", "noise")])
@pytest.mark.parametrize("metric", [LOSS, AUC])
def test_plots_of_any_metric_show_what_is_there(metric: Metric, what: str) -> None:
    drawn = plot.figure(STUDIES[what](source(metric, diverged=12)))
    drawn.draw_without_rendering()
    written = [label for axes in drawn.axes for label in (axes.get_xlabel(), axes.get_ylabel())]
    assert any(metric.label in label for label in written)
    assert not any("error" in label for label in written)
    for axes in drawn.axes:
        assert np.isfinite([axes.get_xlim(), axes.get_ylim()]).all()
        assert np.abs(axes.get_ylim()).max() < 200


# Labels


def test_people_see_labels_and_programs_names() -> None:
    one = source(AUC)
    result = compare_study(one, one.names[:2], sensitive=True)
    seen = labelled(result)
    assert [member.name for member in seen.selection.populations] == ["ViT-B/16", "cnn"]
    assert (seen.pairs[0].a, seen.pairs[0].better) == ("ViT-B/16", "ViT-B/16")
    assert seen.pairs[0].verdict == result.pairs[0].verdict.replace("vit-b/16", "ViT-B/16")
    assert [member.name for member in result.selection.populations] == ["vit-b/16", "cnn"]
    assert result.to_dict()["pairs"][0]["a"] == "vit-b/16"
    described = labelled(describe_study(one, one.names[:2], trials=100))
    assert list(described.ranges) == list(described.intervals) == ["ViT-B/16", "cnn"]
    assert labelled(complexity_study(one, one.names[:2])).spaces[0].name == "ViT-B/16"


def test_names_in_sentences_are_replaced_as_words() -> None:
    one = Memory({"Net": population(ERROR, 3, 1), "net-2": population(ERROR, 3, 2)}, metric=ERROR)
    searched = labelled(search_study(one, one.names, given="none"))
    assert "Too few models of Net and net-2 to compare" in str(searched.pairs[0].no_claim)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("a and of have 5 networks in common, of 40", "A and Of (ours) have 5 networks in common, of 40"),
        ("All 30 models of a are runs of one network: no", "All 30 models of A are runs of one network: no"),
        ("All 3 models of of show noise and not a space", "All 3 models of Of (ours) show noise and not a space"),
        ("Too few models of of and a, and a claim needs 4", "Too few models of Of (ours) and A, and a claim needs 4"),
        ("A bin has no model of one of the populations.", "A bin has no model of one of the populations."),
    ],
)
def test_words_that_are_also_names_stay_in_sentences(sentence: str, expected: str) -> None:
    assert named(sentence, {"a": "A", "of": "Of (ours)"}) == expected


def test_a_result_without_labels_is_itself() -> None:
    one = Memory({"a": population(ERROR, 30, 1), "b": population(ERROR, 30, 2)}, metric=ERROR)
    result = compare_populations(one, ["a", "b"])
    assert labelled(result) is result
    assert labelled(result) is result


# Reports and figures


@pytest.mark.parametrize("metric", [LOSS, AUC])
def test_a_report_of_any_metric(metric: Metric) -> None:
    one = source(metric, diverged=4 if metric is LOSS else 0)
    html = page.render(one, study(one, one.names[:2]))  # type: ignore[arg-type]
    body = re.sub(r"<[^>]*>", " ", html.partition("<main>")[2].partition("<script")[0])
    assert f"ViT-B/16 has {words.good(metric)} {metric.label} than cnn" in body
    assert "vit-b/16" not in body.partition("<pre>")[0].replace("edfkit report", "").partition("This report is made")[0]
    assert not re.search(r"\d{20}", body)
    assert f"Distributions of {metric.label}" in body
    assert not re.search(r"\berrors? (in|over|percent|%)", body)


def test_figures_of_the_paper_show_another_metric(tmp_path: Path) -> None:
    names = ["resnet", "resnext-b", "resnet_lr-wd"]
    one = Memory({name: population(AUC, 120, i) for i, name in enumerate(names)}, metric=AUC)
    made = {one.name: one for one in make_figures(one, ["1", "tables"], tmp_path, formats=["svg"])}
    assert "val AUC" in (tmp_path / "figure_01.svg").read_text()
    with open(tmp_path / "figure_01.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    best = next(row for row in rows if row["population"] == "resnet")
    assert float(best["val_auc"]) == one.read("resnet", "val_auc").max()
    assert made["table_points"].reason == (
        "without resnet, resnext-b, resnet_lr-wd: the table is of errors, and val AUC was to be shown"
    )
    (left,) = [one for one in make_figures(one, ["all"], tmp_path, formats=[]) if one.name == "figure 12"]
    assert left.reason == "Figure 12 is about errors in percent, and val AUC was to be shown; leave it out"
