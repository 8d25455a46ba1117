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
from edfkit.stats.planning import Pilot, models_for_comparison
from edfkit.stats.sizes import (
    expected_distance,
    expected_distance_to_population,
    simulate_distance,
)
from edfkit.stats.two_sample import summarize
from edfkit.study.compare import compare_populations
from edfkit.study.plan import plan_comparison, plan_precision, plan_study
from edfkit.study.samples import sample_study
from edfkit.study.selection import InMemory, Source, gather, select

SELECTED = ["metric", "given", "error", "diverged", "stopped", "select", "bins", "range", "spaces"]


@pytest.fixture(scope="module")
def digits() -> Iterator[Source]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


# How many models are enough


def test_a_sample_study_is_that_of_the_array_functions(digits: Source) -> None:
    study = sample_study(digits, "Vanilla", trials=20, seed=7, error="final", diverged="censor")
    selected = select(digits, ["vanilla"], error="final", diverged="censor")
    assert study.selection.to_dict() == selected.to_dict()
    errors = selected.populations[0].errors
    sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert study.models.tolist() == sizes
    assert study.to_truth.tolist() == expected_distance(sizes).tolist()
    assert study.to_population.tolist() == expected_distance_to_population(sizes, 500).tolist()
    assert np.all(study.to_population < study.to_truth)
    assert study.simulated == simulate_distance(errors, sizes, trials=20, rng=np.random.default_rng(7))
    assert list(study.samples) == list(study.errors) == [10, 100]
    pool = errors.tolist()
    for size, sample in study.errors.items():
        assert len(sample) == size
        assert study.samples[size] == summarize(sample)
        left = pool.copy()
        for error in sample.tolist():
            left.remove(error)  # drawn without replacement from all
    assert study.errors[10].tolist() == study.errors[100][:10].tolist()


def test_simulation_agrees_with_the_formula() -> None:
    rng = np.random.default_rng(0)
    source = InMemory({"a": {"error": rng.uniform(0, 100, 1000)}})
    study = sample_study(source, "a", models=[50, 500], trials=300)
    assert study.simulated is not None
    assert study.simulated.mean == pytest.approx(study.to_population.tolist(), rel=0.05)


def test_sizes_may_be_given_and_all_of_them_agree_with_themselves() -> None:
    source = InMemory({"a": {"error": [1.0, 2.0, 3.0, 90.0], "status": [0, 0, 0, 1]}})
    study = sample_study(source, "a", models=[4, 1], trials=3)
    assert study.models.tolist() == [4, 1]
    assert study.to_population[0] == 0
    assert study.simulated is not None
    assert study.simulated.mean[0] == 0
    assert sample_study(source, "a", diverged="drop").models.tolist() == [1, 2]
    assert sample_study(source, "a").samples == {}


def test_the_seed_decides_the_samples(digits: Source) -> None:
    first, again, other = (sample_study(digits, "resnet", trials=2, seed=seed) for seed in (1, 1, 2))
    assert first.to_dict() == again.to_dict()
    assert first.simulated != other.simulated
    assert first.errors[100].tolist() != other.errors[100].tolist()
    assert first.to_truth.tolist() == other.to_truth.tolist()


@pytest.mark.parametrize("trials", [0, 2])
def test_a_sample_study_is_plain_data(digits: Source, trials: int) -> None:
    document = sample_study(digits, "resnet", trials=trials).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == [
        *SELECTED,
        *("space", "models", "d_to_truth", "d_to_population", "simulated", "samples", "seed"),
    ]
    assert list(document["samples"]) == ["10", "100"]
    assert list(document["samples"]["10"]) == ["min", "median", "mean", "area"]
    assert (document["simulated"] is None) == (trials == 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": [501]}, "501"),
        ({"models": [0]}, "0"),
        ({"trials": 1}, "trials"),
    ],
)
def test_sizes_out_of_range_are_refused(digits: Source, options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message) as caught:
        sample_study(digits, "resnet", **options)
    assert str(caught.value).endswith(".")


def test_real_samples(published: Path) -> None:
    with Published(published) as source:
        for name in ("resnext-a_in", "darts_in"):
            study = sample_study(source, name, trials=50)
            assert study.simulated is not None
            # The errors have ties, and the distances of few trials scatter.
            assert study.simulated.mean == pytest.approx(study.to_population.tolist(), rel=0.25)
            json.dumps(study.to_dict(), allow_nan=False)


# Plans


@pytest.mark.parametrize(("eps", "models"), [(0.1, 181), (0.05, 731), (0.02, 4595)])
def test_models_for_a_precision(eps: float, models: int) -> None:
    assert plan_precision(eps).to_dict() == {"models": models, "eps": eps, "confidence": 0.95}


@pytest.mark.parametrize(("eps", "confidence"), [(0.0, 0.95), (1.5, 0.95), (0.1, 0.0), (0.1, 1.0), (float("nan"), 0.5)])
def test_a_precision_out_of_range_is_refused(eps: float, confidence: float) -> None:
    with pytest.raises(EdfkitError, match=r"^[^\n]*\.$"):
        plan_precision(eps, confidence)


@pytest.mark.parametrize("by", [{"given": "none"}, {}, {"given": "flops", "strata": 4}])
def test_a_plan_is_that_of_the_array_functions(digits: Source, by: Any) -> None:
    settings: dict[str, Any] = {"power": 0.7, "alpha": 0.01, "trials": 50}
    names = ["resnet", "vanilla"]
    pilots = [
        Pilot(one.errors, one.complexity, one.units.unit if one.units else None)
        for one in gather(digits, names, **({"given": "params"} | by)).populations
    ]
    strata = by.get("strata")
    plan = plan_comparison(digits, names, seed=2, **settings, **by)
    assert (plan.shift, plan.width, plan.equivalent, plan.wanted, plan.seed) == (None, None, None, 0.7, 2)
    assert plan.needed == models_for_comparison(*pilots, rng=np.random.default_rng(2), strata=strata, **settings)
    goals: dict[str, Any] = {goal: {goal: 8.0} for goal in GOALS}
    alone = {goal: plan_comparison(digits, ["resnet"], seed=2, **goals[goal], **settings, **by) for goal in GOALS}
    for goal, one in alone.items():
        assert one.needed == models_for_comparison(
            pilots[0], rng=np.random.default_rng(2), strata=strata, **goals[goal], **settings
        )
    for one in (plan, *alone.values()):
        document = one.to_dict()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert list(document) == [*SELECTED, *GOALS, "wanted_power", "seed", "needed"]


GOALS = ("shift", "width", "equivalent")


def test_a_plan_has_the_estimates_of_compare(digits: Source) -> None:
    plan = plan_comparison(digits, ["pnas", "darts"], trials=20).needed
    (pair,) = compare_populations(digits, ["pnas", "darts"]).pairs
    document: Any = pair.to_dict()
    for key in ("prob_a_better", "prob_a_better_interval", "mean_difference", "mean_difference_interval"):
        assert plan.to_dict()[key] == pytest.approx(document[key]), key


def test_policies_reach_the_pilots() -> None:
    errors = np.linspace(1, 50, 40)
    pilots: dict[str, dict[str, Any]] = {
        "a": {"error": errors},
        "b": {"error": errors + 8, "status": [0] * 20 + [1] * 20},
    }
    kept, censored = (
        plan_comparison(InMemory(pilots), ["a", "b"], trials=50, diverged=policy, given="none").needed
        for policy in ("keep", "censor")
    )
    assert (kept.prob_a_better or 0) < (censored.prob_a_better or 0)
    assert censored.models < kept.models


def test_small_pilots_are_named() -> None:
    rng = np.random.default_rng(1)
    source = InMemory({"a": {"error": rng.normal(30, 2, 20)}, "b": {"error": rng.normal(33, 2, 25)}})
    assert [one.name for one in plan_comparison(source, ["a", "b"], trials=20, given="none").small] == ["a"]


def test_rows_of_a_network_are_no_models_of_a_plan() -> None:
    rng = np.random.default_rng(2)
    columns: dict[str, Any] = {
        name: {"error": np.repeat(rng.normal(mean, 3, 40), 3), "depth": np.repeat(depths, 3)[:, None]}
        for name, mean, depths in (("a", 30, np.arange(40)), ("b", 32, np.arange(40, 80)))
    }
    single = {name: {"error": one["error"][::3], "depth": one["depth"][::3]} for name, one in columns.items()}
    several, alone = (
        plan_comparison(InMemory(one), ["a", "b"], trials=20, given="none").needed for one in (columns, single)
    )
    assert several.prob_a_better_interval == pytest.approx(alone.prob_a_better_interval)


def test_pilots_that_share_networks_are_refused() -> None:
    def pilots(start: int) -> InMemory:
        depth = np.arange(60)[:, None]
        return InMemory(
            {
                "a": {"error": np.linspace(20, 40, 60), "depth": depth, "id": [f"a{i}" for i in range(60)]},
                "b": {"error": np.linspace(22, 41, 60), "depth": depth + start, "id": [f"b{i}" for i in range(60)]},
            }
        )

    with pytest.raises(EdfkitError, match=r"^a and b are the same 60 networks, .*; name populations without"):
        plan_comparison(Known(pilots(0)), ["a", "b"], given="none")
    with pytest.raises(EdfkitError, match=r"^a and b have 30 networks in common"):
        plan_comparison(Known(pilots(30)), ["a", "b"], given="none")


class Known:
    """Populations whose networks are known as far as an archive says: with an architecture."""

    def __init__(self, source: InMemory) -> None:
        self.models, self.variables, self.read = source.models, source.variables, source.read

    def group_attrs(self, name: str) -> dict[str, str]:
        return {"architecture": "residual"}


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "^names: 0 populations were named, expected one or two"),
        (["resnet"], {}, "^resnet was named alone, expected a goal, shift, width or equivalent, or two spaces"),
        (["resnet", "vanilla", "darts"], {}, "^names: 3 populations were named"),
        (["resnet", "vanilla"], {"shift": 1.0}, "^shift was given with two spaces, whose own difference counts"),
        (["resnet"], {"shift": 1.0, "width": 1.0}, "^shift and width were given, but a plan has one goal"),
        (["resnet", "vanilla"], {"width": 1.0, "equivalent": 1.0}, "^width and equivalent were given"),
        (["resnet", "resnet"], {}, "named twice"),
        (["resnet"], {"shift": 0.0}, "^shift: 0 was given"),
        (["resnet"], {"shift": float("nan")}, "^shift: nan was given"),
        (
            ["resnet", "vanilla"],
            {"equivalent": 1.0},
            "^equivalent: 1 was given, but the pilots' mean errors differ by 40",
        ),
        (["resnet", "vanilla"], {"bins": 3}, "^bins: 3 with range None was given, but a plan is for the strata"),
        (["resnet", "vanilla"], {"power": 1.0}, "power"),
        (["resnet", "vanilla"], {"alpha": 0.0}, "alpha"),
        (["resnet", "vanilla"], {"trials": 0}, "trials"),
    ],
)
def test_what_cannot_be_planned_is_refused(digits: Source, names: list[str], options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message) as caught:
        plan_comparison(digits, names, **options)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_precision_is_no_goal_of_a_comparison() -> None:
    with pytest.raises(EdfkitError, match=r"^eps: 0\.1 was given with width, which is a goal of populations"):
        plan_study(None, eps=0.1, width=1.0)
