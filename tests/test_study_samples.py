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
from edfkit.stats.sizes import (
    expected_distance,
    expected_distance_to_population,
    models_for_detection,
    models_for_shift,
    simulate_distance,
)
from edfkit.stats.two_sample import summarize
from edfkit.study.samples import plan_detection, plan_precision, sample_study
from edfkit.study.selection import InMemory, Source, select

SELECTED = ["given", "error", "diverged", "bins", "range", "spaces"]


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


@pytest.mark.parametrize("by", ["none", "params"])
def test_a_plan_is_that_of_the_array_functions(digits: Source, by: str) -> None:
    settings: dict[str, Any] = {"power": 0.7, "alpha": 0.01, "trials": 50}
    names = ["resnet", "vanilla"]
    a, b = select(digits, names, given=by).populations
    plan = plan_detection(digits, names, given=by, seed=2, **settings)
    assert (plan.shift, plan.wanted, plan.seed) == (None, 0.7, 2)
    assert plan.detection == models_for_detection(
        a.errors, b.errors, a.weights, b.weights, rng=np.random.default_rng(2), **settings
    )
    (a,) = select(digits, ["resnet"], given=by).populations
    shifted = plan_detection(digits, ["resnet"], shift=3.0, given=by, seed=2, **settings)
    assert shifted.detection == models_for_shift(a.errors, 3.0, a.weights, rng=np.random.default_rng(2), **settings)
    assert shifted.detection.models > plan.detection.models
    for one in (plan, shifted):
        document = one.to_dict()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert list(document) == [*SELECTED, "shift", "wanted_power", "seed", "detection"]


def test_policies_reach_the_pilots() -> None:
    errors = np.linspace(1, 50, 40)
    pilots: dict[str, dict[str, Any]] = {
        "a": {"error": errors},
        "b": {"error": errors + 8, "status": [0] * 20 + [1] * 20},
    }
    kept, censored = (
        plan_detection(InMemory(pilots), ["a", "b"], trials=50, diverged=policy).detection
        for policy in ("keep", "censor")
    )
    assert censored.distance > kept.distance
    assert censored.models < kept.models


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (
            [],
            {},
            "^shift: 0 populations were given without a shift, expected two, or one and",
        ),
        (["resnet"], {}, "^shift: 1 populations were given without"),
        (["resnet", "vanilla", "resnet"], {}, "^shift: 3 populations were given without"),
        (["resnet", "vanilla"], {"shift": 1.0}, "^shift: 2 populations were given with a"),
        (["resnet", "resnet"], {}, "named twice"),
        (["resnet"], {"shift": 0.0}, "shift: 0 was given"),
        (["resnet"], {"shift": float("nan")}, "shift: nan was given"),
        (["resnet", "vanilla"], {"power": 1.0}, "power"),
        (["resnet", "vanilla"], {"alpha": 0.0}, "alpha"),
        (["resnet", "vanilla"], {"trials": 0}, "trials"),
    ],
)
def test_what_cannot_be_planned_is_refused(digits: Source, names: list[str], options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message) as caught:
        plan_detection(digits, names, **options)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
