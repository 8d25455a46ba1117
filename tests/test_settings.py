"""Studies take the settings that they use, in any of the ways to give them, and refuse the others by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edfkit
from edfkit import EdfkitError
from edfkit.show.report import content
from edfkit.show.report.page import write_report
from edfkit.study.compare import compare_populations, describe_populations
from edfkit.study.complexity import complexity_study
from edfkit.study.noise import noise_study
from edfkit.study.plan import plan_comparison, plan_precision, plan_study
from edfkit.study.point import point_study
from edfkit.study.samples import sample_study
from edfkit.study.search import search_study
from edfkit.study.selection import InMemory, select
from edfkit.study.settings import Control, Reading


@pytest.fixture
def source() -> InMemory:
    rng = np.random.default_rng(0)
    return InMemory(
        {
            name: {"error": rng.uniform(1, 50, 60), "error_final": rng.uniform(50, 90, 60), "params": np.arange(1, 61)}
            for name in "ab"
        }
    )


# Studies of two populations: those that weight models, and those that do not.
WEIGHTING: list[Callable[..., Any]] = [compare_populations, search_study, plan_comparison, select, edfkit.compare]
PLAIN: list[Callable[..., Any]] = [
    describe_populations,
    complexity_study,
    noise_study,
    edfkit.describe,
    lambda source, names, **settings: point_study(source, *names, small=2, large=5, **settings),
    lambda source, names, **settings: sample_study(source, names[0], **settings),
]


@pytest.mark.parametrize("study", [*WEIGHTING, *PLAIN])
def test_a_keyword_that_a_study_does_not_have_is_named(study: Callable[..., Any], source: InMemory) -> None:
    with pytest.raises(TypeError, match="'diverge'"):
        study(source, ["a", "b"], diverge="drop")


@pytest.mark.parametrize("study", PLAIN)
@pytest.mark.parametrize("settings", [{"control": Control("params", 2)}, {"control": Control("none")}])
def test_a_study_that_weights_no_models_takes_no_control(
    study: Callable[..., Any], settings: dict[str, Any], source: InMemory
) -> None:
    with pytest.raises(TypeError, match="takes no argument 'control', as it takes no Control"):
        study(source, ["a", "b"], **settings)


def test_a_complexity_that_would_not_be_held_equal_is_refused(source: InMemory) -> None:
    studies: list[Callable[..., Any]] = [point_study, sample_study]
    for study in studies:
        with pytest.raises(TypeError, match=rf"{study.__name__}\(\) takes no argument 'given', as it takes no Control"):
            study(source, "a", given="params", bins=2)


@pytest.mark.parametrize("study", [compare_populations, search_study])
def test_objects_and_keywords_say_the_same(study: Callable[..., Any], source: InMemory) -> None:
    ways: list[dict[str, Any]] = [
        {"given": "params", "bins": 3, "range": (5.0, 50.0), "error": "final", "diverged": "drop"},
        {"control": Control("params", 3, (5.0, 50.0)), "reading": Reading("final", "drop")},
        {"control": Control(bins=3), "range": (5.0, 50.0), "reading": Reading("final"), "diverged": "drop"},
    ]
    one, *others = (study(source, ["a", "b"], **way).to_dict() for way in ways)
    assert one["range"] == [5.0, 50.0]
    assert (one["bins"], one["error"], one["diverged"]) == (3, "final", "drop")
    assert others == [one, one]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reading": "final"}, "takes a Reading as 'reading', not 'final'; or give its fields: error, diverged"),
        ({"control": None}, "takes a Control as 'control', not None; or give its fields: given, bins, range"),
    ],
)
def test_what_is_no_reading_and_no_control_is_refused(source: InMemory, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        compare_populations(source, ["a", "b"], **settings)


def test_a_setting_that_cannot_be_is_refused(source: InMemory) -> None:
    with pytest.raises(EdfkitError, match=r"^diverged: 'dropp' was given, expected one of keep, drop, worst, censor"):
        describe_populations(source, ["a"], diverged="dropp")
    with pytest.raises(EdfkitError, match="given is none; leave them out, or name one"):
        compare_populations(source, ["a", "b"], given="none", bins=3)
    with pytest.raises(EdfkitError, match="Strata were given together with bins or a range, which take their place"):
        Control(strata=3, range=(1.0, 2.0))


def test_what_is_held_equal_is_a_list_of_columns() -> None:
    assert [Control(given).columns for given in ("none", "params", "flops, acts")] == [
        (), ("params",), ("flops", "acts"),
    ]  # fmt: skip
    assert [Control(**one).binned for one in ({}, {"strata": 3}, {"bins": 3}, {"range": (1.0, 2.0)})] == [
        False, False, True, True,
    ]  # fmt: skip


def test_a_report_takes_what_compare_takes(tmp_path: Path) -> None:
    from edfkit.datasets import BUNDLED

    with edfkit.open(BUNDLED["digits"]) as digits:
        names = ["resnet_rng1", "vanilla_rng1"]
        some: dict[str, Any] = {"given": None, "bins": 2, "area_to": 30.0, "permutations": 20, "error": "final"}
        report = write_report(digits, names, str(tmp_path / "a.html"), **some)
        assert report.options["permutations"] == report.main.pairs[0].permutation.trials == 20  # type: ignore[union-attr]
        assert report.main.selection.bins == 2
        assert report.main.selection.populations[0].summary.area_to == 30
        assert "--permutations 20" in (tmp_path / "a.html").read_text(encoding="utf-8")
        assert content.study(digits, names, control=Control("none")).given == "none"
        in_strata = content.study(digits, names, strata=4, equivalent=90.0).main
        assert [(pair.strata, pair.is_equivalent) for pair in in_strata.pairs] == [(4, True)]
        with pytest.raises(TypeError, match=r"report\(\) takes no argument 'permutation'"):
            write_report(digits, names, tmp_path / "c.html", permutation=3)  # type: ignore[call-arg]
    assert not (tmp_path / "c.html").exists()


def test_the_front_page_runs_studies_of_what_is_in_memory(source: InMemory) -> None:
    assert edfkit.compare(source, iter("ab")).to_dict() == compare_populations(source, ["a", "b"]).to_dict()  # type: ignore[arg-type]
    assert edfkit.describe(source, ["a"]).ranges == {
        "a": {"params": (1.0, 60.0), "flops": None, "macs": None, "acts": None}
    }
    for names in ([], ["a"]):
        with pytest.raises(EdfkitError, match=f"names: {len(names)} populations were named, expected two or more"):
            edfkit.compare(source, names)
    with pytest.raises(EdfkitError, match=r"^scheduler: these populations are parts, in memory"):
        edfkit.compare(source, ["a", "b"], scheduler="tcp://127.0.0.1:1")


def test_a_plan_refuses_what_neither_of_its_kinds_takes() -> None:
    assert plan_study(None, eps=0.05) == plan_precision(0.05)
    with pytest.raises(TypeError, match=r"plan_study\(\) takes no argument 'esp'"):
        plan_study(None, eps=0.05, esp=1)  # type: ignore[call-arg]
    with pytest.raises(EdfkitError, match=r"^eps: None was given with 0 populations"):
        plan_study(None)
