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
from edfkit.stats.epochs import at_epochs, best_against_last, selection_optimism
from edfkit.stats.noise import noise_share, seed_noise
from edfkit.stats.rates import default_rank, rate_map
from edfkit.study.noise import noise_study
from edfkit.study.selection import InMemory, Source, select

NAN = float("nan")
RERUNS = [f"{space}_reruns_{part}" for space in ("resnet", "vanilla") for part in ("top", "mid")]


@pytest.fixture(scope="module")
def digits() -> Iterator[Source]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


def population(models: int = 60, seed: int = 0, epochs: int = 5, rates: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    quality = np.random.default_rng(9).uniform(5, 50, models)
    curves = (quality[:, None] + 10 / (1 + np.arange(epochs)) + rng.normal(0, 1, (models, epochs))).round(2)
    lr, wd = (10 ** rng.uniform(*span, models) if rates else np.full(models, 0.1) for span in ((-2, 0), (-4, -2)))
    status = np.zeros(models, np.int8)
    return {
        "error": curves.min(axis=1),
        "error_final": curves[:, -1],
        "test_error": curves,
        "lr": lr,
        "wd": wd,
        "status": status,
    }


def test_optimism_and_epochs_are_those_of_the_array_functions(digits: Source) -> None:
    study = noise_study(digits, ["ResNet", "vanilla"])
    assert study.share is None
    for space, member in zip(study.spaces, select(digits, ["resnet", "vanilla"]).populations, strict=True):
        assert (space.name, space.models) == (member.name, 500)
        final, curves = (digits.read(member.name, name)[member.rows] for name in ("error_final", "test_error"))
        assert space.last == best_against_last(member.errors, final)
        assert space.last.mean >= 0
        assert space.others == selection_optimism(curves)
        assert space.epochs is not None
        chosen = space.epochs.epochs
        assert (chosen[0], chosen[-1]) == (1, curves.shape[1])
        assert len(chosen) <= 10
        assert space.epochs.to_dict() == at_epochs(curves, chosen).to_dict()
        assert space.epochs.spearman[-1] == pytest.approx(1)
        assert (space.seeds, space.rates, space.default) == (None, None, None)


def test_rates_that_vary_are_mapped() -> None:
    data = population(300, rates=True)
    (space,) = noise_study(InMemory({"a": data}), ["a"], default=(0.05, 1e-3)).spaces
    assert space.rates is not None
    assert space.rates.to_dict() == rate_map(data["lr"], data["wd"], data["error"]).to_dict()
    assert space.default == default_rank(data["lr"], data["wd"], data["error"], (0.05, 1e-3))
    half = data | {"wd": np.full(300, 5e-4)}
    assert noise_study(InMemory({"a": half}), ["a"]).spaces[0].rates is None


def test_rates_far_from_the_default_are_mapped_too() -> None:
    # The map does not need the default; no model is near it here.
    data = population(300, rates=True)
    (space,) = noise_study(InMemory({"a": data}), ["a"], default=(10.0, 1.0)).spaces
    assert space.rates is not None
    assert space.default is None


def test_one_network_with_many_seeds() -> None:
    data = population()
    (space,) = noise_study(InMemory({"a": data}), ["a"], one_network=True).spaces
    assert space.seeds == seed_noise(data["error"])


def test_the_same_models_with_other_seeds() -> None:
    source = InMemory({name: population(seed=seed) for seed, name in enumerate("abc")})
    study = noise_study(source, list("abc"), same_models=True)
    errors = np.stack([source.read(name, "error") for name in "abc"], axis=1)
    assert study.share == noise_share(errors)
    assert 0 < study.share.share < 0.1
    assert study.share.seeds == 3


def test_policies() -> None:
    data = population()
    data["status"] = data["status"].copy()
    data["status"][:5] = 1
    source = InMemory({"a": data})
    kept, dropped, censored = (noise_study(source, ["a"], diverged=policy) for policy in ("keep", "drop", "censor"))
    assert [study.diverged for study in (kept, dropped, censored)] == ["keep", "drop", "censor"]
    assert (kept.spaces[0].models, dropped.spaces[0].models, censored.spaces[0].models) == (60, 55, 60)
    assert dropped.spaces[0].last == best_against_last(data["error"][5:], data["error_final"][5:])
    assert censored.spaces[0].last is None  # 100 % is no error of an epoch
    assert kept.spaces[0].last is not None


def test_what_is_not_known_is_left_out() -> None:
    data = population()
    unknown = data | {"error_final": np.full(60, NAN), "lr": np.full(60, NAN), "wd": np.full(60, NAN)}
    del unknown["test_error"]
    (space,) = noise_study(InMemory({"a": unknown}), ["a"]).spaces
    assert (space.last, space.others, space.epochs, space.rates, space.default) == (None,) * 5
    broken = data | {"test_error": np.where(np.eye(60, 5, dtype=bool), NAN, data["test_error"])}
    (space,) = noise_study(InMemory({"a": broken}), ["a"]).spaces
    assert (space.others, space.epochs) == (None, None)
    assert space.last is not None


def test_variables_that_a_source_does_not_have_are_not_known() -> None:
    (space,) = noise_study(InMemory({"a": {"error": [1.0, 2.0]}}), ["a"], one_network=True).spaces
    assert (space.last, space.epochs, space.rates) == (None, None, None)


def test_a_study_is_plain_data(digits: Source) -> None:
    source = InMemory({name: population(seed=seed, rates=True) for seed, name in enumerate("ab")})
    options: dict[str, Any] = {"same_models": True, "one_network": True, "default": (0.1, 1e-3)}
    for document in (
        noise_study(source, ["a", "b"], **options).to_dict(),
        noise_study(digits, ["resnet"]).to_dict(),
        noise_study(InMemory({"a": population(2)}), ["a"], one_network=True).to_dict(),
    ):
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert list(document) == ["metric", "diverged", "stopped", "select", "spaces", "share"]
        for space in document["spaces"]:
            studied = ["last", "others", "epochs", "seeds", "rates", "default"]
            assert list(space) == ["name", "models", "diverged", *studied, "left_out_why"]
            assert list(space["epochs"]) == ["epochs", "spearman", "kendall"]  # not model by model


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "c"]])
def test_what_are_not_the_same_models_is_refused(names: list[str]) -> None:
    failed = population()
    failed["status"] = failed["status"].copy()
    failed["status"][3] = 2
    source = InMemory({"a": population(), "b": population(50), "c": failed})
    with pytest.raises(EdfkitError, match=r"which are not two or more populations of the same models; name others"):
        noise_study(source, names, same_models=True)


def test_one_seed_shows_no_noise() -> None:
    with pytest.raises(EdfkitError, match="1 seed was given, but noise shows between at least 2"):
        noise_study(InMemory({"a": population(1)}), ["a"], one_network=True)


def test_an_archive_whose_curves_cannot_be_read_is_not_taken_for_one_without() -> None:
    class Damaged(InMemory):
        def read(self, name: str, variable: str) -> Any:
            if variable == "test_error":
                raise EdfkitError("The archive x cannot be read (checksum); fetch it again.")
            return super().read(name, variable)

    with pytest.raises(EdfkitError, match="checksum"):
        noise_study(Damaged({"a": population()}), ["a"])


# Real data


def test_reruns_of_real_networks(published: Path) -> None:
    with Published(published) as source:
        study = noise_study(source, RERUNS, one_network=True)
        for space in study.spaces:
            assert space.models == 100
            assert space.seeds is not None
            assert 0.13 <= round(space.seeds.sd, 2) <= 0.25
            low, high = space.seeds.sd_interval
            assert low < space.seeds.sd < high
            assert space.seeds.sd == pytest.approx(source.read(space.name, "error").std(ddof=1), rel=1e-9)
            assert space.last is not None
            assert 0.05 < space.last.mean < 0.15
        json.dumps(study.to_dict(), allow_nan=False)


def test_real_rates_have_a_map(published: Path) -> None:
    with Published(published) as source:
        (space,) = noise_study(source, ["ResNet_lr-wd_in"], default=(0.05, 5e-5)).spaces
        assert space.rates is not None
        assert space.rates.counts.sum() + space.rates.outside == 494
        assert space.default is not None
        assert space.default.mean_rank < 0.4  # the default is a good one
        assert space.rates.best is not None
        (plain,) = noise_study(source, ["resnext-a_in"]).spaces
        assert plain.rates is None
