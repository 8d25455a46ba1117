"""The page that holds the paper's claims against the bundled archive says what the archive says now."""

import importlib.util
from types import ModuleType

import pytest
from pages import ROOT
from stand_ins import stand_in

from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
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


def test_the_page_is_up_to_date(claims: ModuleType) -> None:
    # python docs/claims.py writes it anew
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == claims.page()


def test_every_claim_that_can_be_tested_is(claims: ModuleType) -> None:
    with Archive(BUNDLED["digits"]) as archive:
        found = claims.answers(archive)
        for claim, answer in zip(claims.CLAIMS, found, strict=True):
            there = set(claim.needs) <= set(archive.names)
            assert (answer.verdict in ("holds", "does not hold")) == there


def test_all_claims_are_answered_where_all_populations_are(claims: ModuleType) -> None:
    names = sorted({name for claim in claims.CLAIMS for name in claim.needs})
    found = claims.answers(InMemory({name: stand_in(name, 100) for name in names}))
    assert {answer.verdict for answer in found} <= {"holds", "does not hold"}


def test_a_claim_does_not_hold_where_the_archive_says_otherwise(claims: ModuleType) -> None:
    names = ("resnet", "vanilla")
    with Archive(BUNDLED["digits"]) as archive:
        columns = [{key: archive.read(name, key) for key in ("error", "params", "flops")} for name in names]
    as_they_are, exchanged = (
        {claim.paper: answer.verdict for claim, answer in zip(claims.CLAIMS, claims.answers(InMemory(of)), strict=True)}
        for of in (dict(zip(names, columns, strict=True)), dict(zip(names, columns[::-1], strict=True)))
    )
    changed = [paper for paper in exchanged if exchanged[paper] != as_they_are[paper]]
    assert len(changed) == 2
    assert all("ResNet" in paper and "Vanilla" in paper for paper in changed)
    assert {as_they_are[paper] for paper in changed} == {"holds"}
    assert {exchanged[paper] for paper in changed} == {"does not hold"}
