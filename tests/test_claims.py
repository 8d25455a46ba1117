"""The page that holds the paper's claims against the bundled archive says what the archive says now."""

import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pages import ROOT
from stand_ins import stand_in

from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.study.compare import compare_populations
from edfkit.study.selection import InMemory

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def claims() -> ModuleType:
    spec = importlib.util.spec_from_file_location("claims", DOCS / "claims.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bundled() -> Iterator[Archive]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


@pytest.fixture(scope="module")
def found(claims: ModuleType, bundled: Archive) -> list[Any]:
    answers: list[Any] = claims.answers(bundled)
    return answers


def test_the_page_is_up_to_date(claims: ModuleType, bundled: Archive, found: list[Any]) -> None:
    # python docs/claims.py writes it anew
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == claims.page(bundled, found)


def test_every_claim_that_can_be_tested_is(claims: ModuleType, bundled: Archive, found: list[Any]) -> None:
    for claim, answer in zip(claims.CLAIMS, found, strict=True):
        there = set(claim.needs) <= set(bundled.names)
        assert (answer.verdict in ("holds", "does not hold")) == there


def test_a_verdict_that_changed_is_in_the_table_with_its_reason(claims: ModuleType, bundled: Archive) -> None:
    same = [claims.Answer(claim.before, "") for claim in claims.CLAIMS]
    assert "\nNo verdict changed with the rules.\n" in claims.page(bundled, same)
    place = next(place for place, claim in enumerate(claims.CLAIMS) if claim.first and claim.before == "holds")
    other = [*same[:place], claims.Answer("does not hold", ""), *same[place + 1 :]]
    row = f"| [{place + 1}](#claim-{place + 1}) | holds | does not hold | {claims.CLAIMS[place].first} |"
    assert f"|---|---|---|---|\n{row}\n\n" in claims.page(bundled, other)


def test_all_claims_are_answered_where_all_populations_are(claims: ModuleType) -> None:
    names = sorted({name for claim in claims.CLAIMS for name in claim.needs})
    answers = claims.answers(InMemory({name: stand_in(name, 100) for name in names}))
    assert {answer.verdict for answer in answers} <= {"holds", "does not hold"}


def answered(claims: ModuleType, about: str, source: InMemory) -> str:
    (claim,) = (claim for claim in claims.CLAIMS if claim.answer.__name__ == about)
    verdict: str = claim.answer(source).verdict
    return verdict


@pytest.mark.parametrize(("apart", "verdict"), [(20.0, "holds"), (1.0, "does not hold")])
def test_few_models_are_not_enough_for_a_small_difference(claims: ModuleType, apart: float, verdict: str) -> None:
    # With 500 models of each both differences are shown; with 100 the small one is shown in some draws alone.
    rng = np.random.default_rng(1)
    params = rng.integers(20_000, 300_000, 500)

    def population(error: float) -> dict[str, Any]:
        return {"error": rng.normal(error, 4, 500), "params": params}

    pairs = (("resnet", "vanilla"), ("resnext-b", "resnext-a"))
    source = InMemory(
        {name: population(30 + more) for pair in pairs for name, more in zip(pair, (0, apart), strict=True)}
    )
    assert [compare_populations(source, pair).pairs[0].better for pair in pairs] == ["resnet", "resnext-b"]
    assert answered(claims, "few_models_are_enough", source) == verdict


def test_one_seed_is_not_enough_where_an_average_is_another_distribution(claims: ModuleType) -> None:
    # Errors that are noise alone: averages over three are closer to their mean, while shuffled seeds are alike.
    rng = np.random.default_rng(2)
    noisy = {
        f"{space}_rng{seed}": {"error": rng.normal(50, 8, 400)} for space in ("resnet", "vanilla") for seed in (1, 2, 3)
    }
    assert answered(claims, "one_seed_is_enough", InMemory(noisy)) == "does not hold"
    rng = np.random.default_rng(0)
    models = {space: rng.normal(50, 8, 400) for space in ("resnet", "vanilla")}
    calm = {name: {"error": models[name.partition("_")[0]] + rng.normal(0, 1, 400)} for name in noisy}
    assert answered(claims, "one_seed_is_enough", InMemory(calm)) == "holds"


def test_a_space_that_the_paper_has_before_another_may_not_be_worse(claims: ModuleType) -> None:
    rng = np.random.default_rng(3)
    params = rng.integers(20_000, 300_000, 300)

    def verdict(**errors: float) -> str:
        of = {
            name: {"error": rng.normal(error, 3, 300), "params": params, "flops": 100.0 * params}
            for name, error in errors.items()
        }
        return answered(claims, "order_of_cells", InMemory(of))

    assert verdict(darts=20, enas=25, pnas=25, nasnet=30, amoeba=30) == "holds"
    assert verdict(darts=20, enas=25, pnas=21, nasnet=30, amoeba=35) == "holds"  # nothing is said within a place
    assert verdict(darts=20, enas=35, pnas=25, nasnet=30, amoeba=30) == "does not hold"
    assert verdict(darts=20, enas=15, pnas=25, nasnet=30, amoeba=30) == "does not hold"
    assert verdict(darts=30, enas=30, pnas=30, nasnet=30, amoeba=30) == "does not hold"


def test_a_claim_does_not_hold_where_the_archive_says_otherwise(claims: ModuleType, bundled: Archive) -> None:
    names = ("resnet", "vanilla")
    columns = [{key: bundled.read(name, key) for key in ("error", "params", "flops")} for name in names]
    as_they_are, exchanged = (
        {claim.paper: answer.verdict for claim, answer in zip(claims.CLAIMS, claims.answers(InMemory(of)), strict=True)}
        for of in (dict(zip(names, columns, strict=True)), dict(zip(names, columns[::-1], strict=True)))
    )
    changed = [paper for paper in exchanged if exchanged[paper] != as_they_are[paper]]
    assert len(changed) == 2
    assert all("ResNet" in paper and "Vanilla" in paper for paper in changed)
    assert {as_they_are[paper] for paper in changed} == {"holds"}
    assert {exchanged[paper] for paper in changed} == {"does not hold"}
