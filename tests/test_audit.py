"""Audits: of real archives, honest and tampered with, and the noise band by simulation."""

import json
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.combine import subset
from edfkit.archive.published import Published
from edfkit.archive.verify import verify
from edfkit.cli import edfkit
from edfkit.datasets import locate
from edfkit.exchange.nds import import_nds
from edfkit.generator.runs import work
from edfkit.generator.runs.audit import (
    Audit,
    ModelAudit,
    Noise,
    Subject,
    audit,
    audit_model,
    draw,
    known_noise,
    prediction_band,
)
from edfkit.generator.runs.pack import pack
from edfkit.generator.runs.plan import Request, open_run
from edfkit.generator.spaces.kinds import Architecture, Network, StageSpace
from edfkit.generator.training.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe(epochs=2, batch=100, flip=False, shift=1, precise_bn=100)
# The smallest networks that learn something in 20 steps.
VALUES = {"depth": (1,), "width": (8, 16)}
RESNET = StageSpace("resnet", Architecture("res_basic_block", stem_width=8), VALUES)
VANILLA = StageSpace("vanilla", Architecture("double_plain_block", stem_width=8), VALUES)
NETWORK = Network("tiny", RESNET.architecture, {"depth": np.array([1, 1, 1]), "width": np.array([8, 8, 16])})
Tamper = Callable[[h5py.Group, int], None]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train and pack two populations, and one network under seven seeds."""
    folder = tmp_path_factory.mktemp("runs")
    runs = []
    for space, models in ((RESNET, 4), (VANILLA, 2), (NETWORK, 7)):
        runs.append(folder / space.name)
        open_run(runs[-1], Request(space, "digits", models, 3, {}, "none", RECIPE))
        for index in range(models):
            assert work.train_model(str(runs[-1]), index, None, "cpu")[0] == "finished"
    pack(runs, folder / "honest.h5", source="test", license="none")
    return folder / "honest.h5"


@pytest.fixture
def tampered(honest: Path, tmp_path: Path) -> Callable[[Subject, Tamper], Path]:
    """Change a model in a copy of the archive, without a trace in the checksums."""

    def change(subject: Subject, tamper: Tamper) -> Path:
        path = tmp_path / "tampered.h5"
        path.write_bytes(honest.read_bytes())
        with Archive(path) as archive:
            place = archive.read(subject.population, "id").tolist().index(subject.id)
        with h5py.File(path, "r+") as file:
            group = file[subject.population]
            for variable in group.values():
                variable.attrs.pop("crc32", None)
            tamper(group, place)
        return path

    return change


def audited(path: Path, models: int, *, population: str | None = "resnet", **options: Any) -> Audit:
    with Archive(path) as archive:
        return audit(archive, models, population=population, device="cpu", **options)


def first(path: Path) -> Subject:
    with Archive(path) as archive:
        return draw(archive, 1, population="resnet")[0]


def better(group: h5py.Group, place: int) -> None:
    """Lower the best error to nothing, consistently: the rules of the format hold."""
    group["test_error"][place, 1] = group["error"][place] = group["error_final"][place] = 0.0


# Whole audits


def test_an_honest_archive_is_equal_where_it_was_trained(honest: Path) -> None:
    seen: list[ModelAudit] = []
    found = audited(honest, 6, population=None, seed=1, progress=seen.append)
    assert (found.outcome, found.exit_status, found.same_platform) == ("equal", 0, True)
    assert found.stated_software == found.software == work.software()
    assert seen == list(found.models)
    assert len({model.id for model in found.models}) == 6
    assert {model.population for model in found.models} > {"resnet"}
    for model in found.models:
        assert (model.error, model.status, model.trainings, model.noise) == (model.stated_error, "finished", 1, "")
        assert set(model.differences.values()) == {0.0}
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (document["outcome"], document["models"][0]["band"]) == ("equal", None)
    assert document["models"][0]["differences"] == {"test_error": 0.0, "train_error": 0.0, "train_loss": 0.0}


def test_another_platform_is_told_and_equal_all_the_same(honest: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    path.write_bytes(honest.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["software"] = "edfkit 0.0.1, torch 1.0, numpy 1.0, python 3.6, riscv64 none"
    found = audited(path, 1)
    assert (found.outcome, found.exit_status, found.same_platform) == ("equal", 0, False)
    assert "riscv64" in found.stated_software
    assert found.software == work.software()


def test_an_error_that_is_too_good_is_different(honest: Path, tampered: Callable[[Subject, Tamper], Path]) -> None:
    path = tampered(first(honest), better)
    with Archive(path) as archive:
        assert not verify(archive)  # nothing else finds it
    found = audited(path, 2, reruns=4)
    model, other = found.models
    assert (found.outcome, found.exit_status, model.outcome, other.outcome) == ("different", 1, "different", "equal")
    assert model.reason.startswith("its error of 0.00 is not within ")
    assert model.stated_error == 0
    assert 0 < model.band < model.mean_error
    assert (model.noise, model.trainings, other.trainings) == ("reruns", 5, 1)
    assert model.differences["test_error"] > 20
    assert model.differences["train_loss"] == 0


def test_a_curve_that_contradicts_its_error_is_different(
    honest: Path, tampered: Callable[[Subject, Tamper], Path]
) -> None:
    def change(group: h5py.Group, place: int) -> None:
        group["test_error"][place, 1] = 0.0

    model = audited(tampered(first(honest), change), 1).models[0]
    assert (model.outcome, model.trainings) == ("different", 1)
    assert model.reason.startswith("its error is ")
    assert model.reason.endswith("and its curve says 0")


def test_a_curve_that_its_noise_does_not_explain_is_different(
    honest: Path, tampered: Callable[[Subject, Tamper], Path]
) -> None:
    def change(group: h5py.Group, place: int) -> None:
        group["train_loss"][place, 1] += 100

    model = audited(tampered(first(honest), change), 1, reruns=4).models[0]
    assert model.outcome == "different"
    assert re.fullmatch(r"the mean of its train_loss, 5\d.\d+, is not within [12]\.\d+ \+- [\d.]+", model.reason)
    assert model.differences == {"test_error": 0.0, "train_error": 0.0, "train_loss": pytest.approx(100)}


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("{here}", "trained on the same platform\n"),
        ("{other}", "trained on another platform, {other}\n"),
        ("{other}; {here}", "trained on this and other platforms, {other}; {here}\n"),
    ],
)
def test_the_command_says_where_an_archive_was_trained(honest: Path, tmp_path: Path, stated: str, said: str) -> None:
    names = {"here": work.software(), "other": "edfkit 0.0.1, torch 1.0, numpy 1.0, python 3.6, riscv64 none"}
    path = tmp_path / "a.h5"
    path.write_bytes(honest.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["software"] = stated.format(**names)
    done = CliRunner().invoke(edfkit, ["audit", str(path), "resnet", "--models", "1"])
    assert done.exit_code == 0
    assert said.format(**names) in done.stdout


def test_another_seed_is_no_more_than_noise(honest: Path, tampered: Callable[[Subject, Tamper], Path]) -> None:
    def change(group: h5py.Group, place: int) -> None:
        group["seed"][place] += 1

    found = audited(tampered(first(honest), change), 1, reruns=4, confidence=0.999)
    model = found.models[0]
    assert (found.outcome, found.exit_status, found.same_platform) == ("within noise", 3, True)
    assert model.differences["train_loss"] > 0
    assert abs(model.stated_error - model.mean_error) <= model.band
    assert (model.noise, model.trainings, model.reason) == ("reruns", 5, "")
    assert model.noise_sd > 0


def test_without_reruns_the_noise_is_that_of_a_network_with_many_seeds(
    honest: Path, tampered: Callable[[Subject, Tamper], Path]
) -> None:
    model = audited(tampered(first(honest), better), 1).models[0]
    with Archive(honest) as archive:
        errors = archive.read("tiny", "error")
    assert (model.noise, model.trainings) == ("archive", 1)
    assert model.noise_sd == pytest.approx(errors.std(ddof=1))
    band = prediction_band(errors.std(ddof=1), df=6, chance=0.05, step=100 / 797)
    assert model.band == pytest.approx(float(band))
    assert model.mean_error == model.error


def test_the_noise_can_be_given(honest: Path, tampered: Callable[[Subject, Tamper], Path]) -> None:
    path = tampered(first(honest), better)
    wide, narrow = (audited(path, 1, noise=sd).models[0] for sd in (50.0, 0.0))
    assert (wide.outcome, wide.noise, wide.noise_sd) == ("within noise", "given", 50)
    assert wide.band == pytest.approx(50 * 1.959964 * math.sqrt(2), rel=1e-6)
    assert narrow.outcome == "different"
    assert narrow.band == pytest.approx(100 / 797 / 2 * 1.959964 * math.sqrt(2), rel=1e-6)


# Models


def test_a_diverged_model_must_diverge_again(honest: Path) -> None:
    finished = first(honest)
    wild = replace(finished, recipe=replace(RECIPE, lr=1e30))
    model = audit_model(wild, chance=0.05)
    assert (model.outcome, model.stated_status, model.status) == ("different", "finished", "diverged")
    assert model.reason == "it diverged here, and the archive says finished"

    lost = np.full(2, 100.0)
    curves = {"test_error": lost, "train_error": lost, "train_loss": np.full(2, math.nan)}
    diverged = replace(wild, status="diverged", error=100.0, error_final=100.0, curves=curves)
    model = audit_model(diverged, chance=0.05)
    assert (model.outcome, model.error) == ("equal", 100)
    assert math.isnan(model.differences["train_loss"])

    later = replace(diverged, error=90.0, curves=curves | {"test_error": np.array([90.0, 100.0])})
    assert audit_model(later, chance=0.05).outcome == "within noise"

    model = audit_model(replace(finished, status="diverged"), chance=0.05)
    assert (model.outcome, model.reason) == ("different", "it finished here, and the archive says diverged")


def test_the_noise_of_the_same_network_is_preferred(honest: Path) -> None:
    with Archive(honest) as archive:
        tiny, resnet = (draw(archive, 1, population=name)[0] for name in ("tiny", "resnet"))
        same, other = known_noise(archive, [tiny, resnet])
        ids, errors, losses = (archive.read("tiny", name) for name in ("id", "error", "train_loss"))
    (of_same,), (of_other,) = same.noises, other.noises
    others = ids != tiny.id
    assert (of_same.df, of_other.df) == (5, 6)
    assert of_same.sd == pytest.approx(errors[others].std(ddof=1))
    assert of_same.curves["train_loss"] == pytest.approx(losses[others].mean(axis=1).std(ddof=1))
    assert not of_other.curves
    assert of_other.error == pytest.approx(errors.mean())


def test_of_several_networks_that_with_the_nearest_error_counts(honest: Path) -> None:
    subject = first(honest)
    off = replace(subject, error=subject.error + 0.1, curves={})
    noises = (
        Noise("archive", 1e-3, 99, 0.0),
        Noise("archive", 7.0, 9, subject.error),
        Noise("archive", 2.0, 99, 100.0),
    )
    model = audit_model(replace(off, noises=noises), chance=0.05)
    assert (model.outcome, model.noise_sd) == ("within noise", 7)


def test_a_model_can_be_audited_in_another_process(honest: Path) -> None:
    sent = pickle.loads(pickle.dumps(first(honest)))
    assert audit_model(sent, chance=0.05).outcome == "equal"


def test_an_archive_without_such_a_network_knows_no_noise(tmp_path: Path) -> None:
    subset(locate("digits"), tmp_path / "a.h5", spaces=["resnet"])
    with Archive(tmp_path / "a.h5") as archive:
        subjects = draw(archive, 5)
        assert known_noise(archive, subjects) == subjects
    assert not any(subject.noises for subject in subjects)


# The draw


def test_a_draw_of_more_begins_with_that_of_fewer_and_takes_every_model_once() -> None:
    def key(subject: Subject) -> tuple[str, str]:
        return subject.population, subject.id

    with Archive(locate("digits")) as archive:
        every = sum(map(archive.models, archive.names))
        few, many, others = (draw(archive, models, seed=seed) for models, seed in ((5, 0), (every, 0), (20, 1)))
        assert [key(subject) for subject in few] == [key(subject) for subject in many[:5]]
        assert len({key(subject) for subject in many}) == every
        assert [key(subject) for subject in others] != [key(subject) for subject in many[:20]]
        assert {subject.population for subject in many} == set(archive.names)
        assert {subject.population for subject in draw(archive, 20, population="Vanilla")} == {"vanilla"}
        ids, depth, loss = (archive.read("vanilla", name) for name in ("id", "depth", "train_loss"))
        for subject in many[:50]:
            if subject.population == "vanilla":
                place = ids.tolist().index(subject.id)
                np.testing.assert_array_equal(subject.configuration["depth"], depth[place])
                np.testing.assert_array_equal(subject.curves["train_loss"], loss[place])
                assert subject.architecture.block == "double_plain_block"


def test_failed_models_are_not_drawn_and_rates_are_the_model_s_own(honest: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(honest.read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["resnet"]
        for name in ("status", "lr", "wd"):
            del group[name].attrs["crc32"]
        group["status"][1] = 2
        group["lr"][:] = [0.1, 0.2, 0.3, math.nan]
        group["wd"][:] = 1e-3
    with Archive(path) as archive:
        subjects = draw(archive, 3, population="resnet")
        ids = archive.read("resnet", "id").tolist()
        rates = {ids.index(subject.id): subject.recipe.lr for subject in subjects}
        assert rates == {0: 0.1, 2: 0.3, 3: RECIPE.lr}
        assert {subject.recipe.weight_decay for subject in subjects} == {1e-3}
        with pytest.raises(
            EdfkitError, match=r"^4 models were asked for, and .* has 3 that were trained in resnet; ask"
        ):
            draw(archive, 4, population="resnet")


# What cannot be audited


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "The confidence was 1, expected a number between 0 and 1"),
        ({"reruns": 0}, "0 reruns were asked for, which show no noise"),
        ({"noise": -1.0}, "The noise was -1, expected its sd in points"),
        ({"noise": math.nan}, "The noise was nan, expected its sd in points"),
        ({"noise": 1.0, "reruns": 2}, "Both 2 reruns and a noise of 1 were given, expected one"),
        ({"population": "vgg"}, "has no population 'vgg'"),
        ({"folder": Path("elsewhere")}, "The folder elsewhere was given for digits"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        audited(locate("digits"), 1, **options)


@pytest.mark.parametrize("models", [0, -1, 501])
def test_so_many_models_must_be_there(models: int) -> None:
    with pytest.raises(
        EdfkitError, match=r"models were asked for, and .* has 500 that were trained in resnet; ask for 1"
    ):
        audited(locate("digits"), models)


def test_published_records_are_refused_and_so_is_an_import_of_them(published: Path, tmp_path: Path) -> None:
    with (
        Published(published / "ResNet_lr-wd_in.json") as source,
        pytest.raises(EdfkitError, match="holds published records"),
    ):
        audit(source, 1)
    import_nds([published / "ResNet_lr-wd_in.json"], tmp_path / "a.h5")
    with pytest.raises(
        EdfkitError, match=r"the recipe of resnet_lr-wd_in is not one of edfkit generate \(it says nothing of"
    ):
        audited(tmp_path / "a.h5", 1, population=None)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{}", "it says nothing of epochs"),
        ("[]", "it is no single one"),
        (json.dumps(RECIPE.as_dict() | {"tempo": 1}), "tempo"),
        (json.dumps(RECIPE.as_dict() | {"batch": 0}), "The recipe has batch = 0"),
        (json.dumps(RECIPE.as_dict() | {"epochs": 3}), "has 2 epochs and the recipe 3, so they cannot be compared"),
    ],
)
def test_a_recipe_that_was_not_that_of_the_models_is_refused(
    honest: Path, tmp_path: Path, recipe: str, message: str
) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(honest.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["recipe"] = recipe
    with pytest.raises(EdfkitError, match=message):
        audited(path, 1)


def test_a_data_set_or_a_seed_that_is_not_known_is_refused(
    honest: Path, tampered: Callable[[Subject, Tamper], Path]
) -> None:
    def of_faces(group: h5py.Group, _: int) -> None:
        group.file.attrs["dataset"] = "faces"

    def without_seed(group: h5py.Group, place: int) -> None:
        group["seed"][place] = -7

    with pytest.raises(EdfkitError, match="There is no data set 'faces'"):
        audited(tampered(first(honest), of_faces), 1)
    with pytest.raises(EdfkitError, match=r"states the seed -7 for \w+ of resnet, expected a whole number"):
        audited(tampered(first(honest), without_seed), 1)


def test_a_model_that_cannot_be_trained_is_named(honest: Path) -> None:
    subject = replace(first(honest), configuration={"depth": np.array([1]), "width": np.array([16, 16])})
    with pytest.raises(EdfkitError, match=rf"{subject.id} of resnet could not be trained again \(ValueError: zip"):
        audit_model(subject, chance=0.05)


# The band


def test_the_band_by_hand() -> None:
    # t of 4 degrees of freedom leaves 2.5 % above 2.7764.
    assert float(prediction_band(2.0, df=4, trainings=5)) == pytest.approx(2 * 2.7764 * math.sqrt(1.2), rel=1e-4)
    assert float(prediction_band(2.0, df=math.inf)) == pytest.approx(2 * 1.95996 * math.sqrt(2), rel=1e-5)
    assert float(prediction_band(0.1, df=math.inf, step=0.4)) == pytest.approx(0.2 * 1.95996 * math.sqrt(2), rel=1e-5)
    assert math.isnan(prediction_band(math.nan, df=4))


@given(st.floats(0, 100), st.floats(1, 200), st.integers(1, 50), st.floats(1e-6, 0.5))
def test_the_band_narrows_with_what_is_known(sd: float, df: float, trainings: int, chance: float) -> None:
    band = float(prediction_band(sd, df=df, trainings=trainings, chance=chance))
    assert band >= float(prediction_band(sd, df=df + 1, trainings=trainings, chance=chance))
    assert band >= float(prediction_band(sd, df=df, trainings=trainings + 1, chance=chance))
    assert band >= float(prediction_band(sd, df=df, trainings=trainings, chance=2 * chance * 0.999))
    assert float(prediction_band(2 * sd, df=df, trainings=trainings, chance=chance)) == pytest.approx(2 * band)
    assert band <= float(prediction_band(sd, df=df, trainings=trainings, chance=chance, step=sd + 1)) or sd == 0


@pytest.mark.parametrize(
    "wrong", [{"sd": -1.0}, {"df": 0.0}, {"trainings": 0}, {"chance": 0.0}, {"chance": 1.0}, {"step": -1.0}]
)
def test_a_band_of_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EdfkitError, match="A band was asked for with"):
        prediction_band(**({"sd": 1.0, "df": 4.0} | wrong))


def _false_alarms(step: float, sd: float, models: int, reruns: int, audits: int = 20_000) -> float:
    """Simulate honest audits with normal noise, and give the share of those that fail."""
    rng = np.random.default_rng(0)
    errors = rng.uniform(3, 90, (audits, models, 1)) + rng.normal(0, sd, (audits, models, 2 + reruns))
    errors = np.rint(errors / step) * step if step else errors
    stated, trained = errors[..., 0], errors[..., 1:]
    band = prediction_band(
        trained.std(axis=2, ddof=1), df=reruns, trainings=1 + reruns, chance=0.05 / models, step=step
    )
    return float((np.abs(stated - trained.mean(axis=2)) > band).any(axis=1).mean())


@pytest.mark.parametrize(("models", "reruns"), [(1, 4), (3, 4), (10, 4), (10, 1), (3, 20)])
def test_an_honest_archive_fails_with_the_chance_that_was_allowed(models: int, reruns: int) -> None:
    assert _false_alarms(0.0, 1.3, models, reruns) == pytest.approx(0.05, abs=0.006)  # 4 sd, and Bonferroni's 0.001


@pytest.mark.parametrize("sd", [0.01, 0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize(("models", "reruns"), [(1, 4), (10, 4), (3, 20), (10, 1)])
def test_errors_that_are_counts_of_images_raise_no_more_alarms(sd: float, models: int, reruns: int) -> None:
    assert _false_alarms(100 / 797, sd, models, reruns) < 0.056


def test_without_half_a_step_they_would() -> None:
    rng = np.random.default_rng(0)
    counts = np.rint(rng.normal(0, 0.3, (20_000, 6)) + rng.random((20_000, 1)))
    stated, trained = counts[:, 0], counts[:, 1:]
    spread = trained.std(axis=1, ddof=1)
    alarms = [
        float((np.abs(stated - trained.mean(axis=1)) > prediction_band(spread, df=4, trainings=5, chance=0.005, step=s))
              .mean())
        for s in (0.0, 1.0)
    ]  # fmt: skip
    assert alarms[0] > 0.03
    assert alarms[1] < 0.006
