"""No two outputs disagree about a pair: every command and the report are run on the same populations."""

import html
import json
import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from reported import ATTRS, stages

from edfkit.archive import write
from edfkit.archive.source import open_source
from edfkit.cli import edfkit
from edfkit.datasets import BUNDLED
from edfkit.show import plot
from edfkit.study.compare import compare_populations

DIGITS = BUNDLED["digits"]
BUNDLED_PAIRS = [
    ("resnet", "vanilla"),
    ("pnas", "darts"),
    ("amoeba", "pnas"),
    ("resnet_rng1", "resnet_rng2"),
    ("resnet", "resnet_rng1"),
]
PUBLISHED_PAIRS = [("resnext-a_in", "resnext-b_in"), ("darts_in", "enas_in")]
MADE = ["equal", "same", "worse", "large", "few"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write populations that are equal, worse, larger, and too few."""
    path = tmp_path_factory.mktemp("made") / "made.h5"
    columns = {
        "equal": stages(150, 1),
        "same": stages(130, 2),
        "worse": stages(140, 3, worse=2.0),
        "large": stages(200, 4),
        "few": stages(3, 5),
    }
    large = columns["large"]["params"] > np.median(columns["large"]["params"])
    columns["large"] = {name: np.asarray(values)[large] for name, values in columns["large"].items()}
    write(path, columns, ATTRS)
    return path


def run(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(edfkit, [*map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.stdout


def written(page: Path) -> str:
    """Give the text that a page shows, in one line."""
    body = page.read_text(encoding="utf-8").partition("<main>")[2].partition("</main>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).replace("\N{NO-BREAK SPACE}", " ").split())


def compared(archive: Path, *names: str, given: str) -> dict[str, Any]:
    options = [*names, "--archive", archive, "--given", given]
    document: dict[str, Any] = json.loads(run("compare", *options, "--json"))
    return document


def check(archive: Path, a: str, b: str, folder: Path, given: str = "params") -> None:
    """Run what there is about a pair, and look for contradictions."""
    options: list[object] = [a, b, "--archive", archive, "--given", given]
    document = compared(archive, a, b, given=given)
    (pair,) = document["pairs"]
    other = {a: b, b: a}
    loser = other.get(pair["better"])
    claim = pair["p_adjusted"] is not None and pair["p_adjusted"] <= 0.05
    assert claim == (pair["better"] is not None)

    shown = " ".join(run("compare", *options).split())
    assert pair["verdict"] in shown

    # The other order of names turns everything round, and changes no claim.
    (turned,) = compared(archive, b, a, given=given)["pairs"]
    assert turned["better"] == pair["better"]
    assert turned["p_adjusted"] == (p if (p := pair["p_adjusted"]) is None else pytest.approx(p, rel=1e-8))
    if pair["prob_a_better"] is not None:
        assert turned["prob_a_better"] == pytest.approx(1 - pair["prob_a_better"], abs=1e-12)
        assert turned["mean_difference"] == pytest.approx(-pair["mean_difference"], abs=1e-9)

    # The settings: that of the comparison has its numbers.
    with_settings = json.loads(run("compare", *options, "--sensitivity", "--json"))
    assert with_settings["pairs"] == [pair]
    first = with_settings["sensitivity"][0]
    if pair["prob_a_better_interval"] is not None:
        for key in ("prob_a_better", "prob_a_better_interval", "mean_difference", "mean_difference_interval"):
            assert first[key] == pair[key]

    # The report: the same document, the verdict word for word, and no other winner.
    page = folder / "report.html"
    reported = json.loads(run("report", *options, "-o", page, "--json"))
    assert reported["pairs"] == [pair]
    said = written(page)
    assert pair["verdict"] in said
    if pair["better"] not in other:
        assert "has lower error than" not in said
    else:
        assert f"{loser} has lower error than" not in said
        assert f"{loser} is shown to have" not in said

    # The plot: bars only where there is a claim, and only for the ranges of it.
    with open_source(archive) as source:
        drawn = compare_populations(source, [a, b], given=given)
    labels = [text for axes in plot.figure(drawn, band=True).axes for text in axes.get_legend_handles_labels()[1]]
    ahead = {a: "better", b: "worse"}
    for name, kind in ahead.items():
        has = any(one["a_is"] == kind for one in pair["ranges"])
        assert (f"{name} is shown to have the higher EDF" in labels) == has
        assert not has or claim

    # The search: one draw is a random model, so its mean is that of the comparison but for what is left of size.
    found = json.loads(run("search", *options, "-m", "1,2,4", "--json"))
    (searches,) = found["pairs"]
    assert (searches["no_claim"] is None) == (pair["no_claim"] is None)
    if searches["no_claim"] is not None:
        assert searches["no_claim"] == pair["no_claim"]
        assert set(searches["better"]) == {None}
    elif searches["difference"][0] is not None:
        low, high = pair["mean_difference_interval"]
        assert low <= searches["difference"][0] <= high
        assert loser is None or searches["better"][0] != loser

    # The plan takes the populations for the truth that the comparison estimates.
    if pair["no_claim"] is None and not pair["paired"]:
        needed = json.loads(
            run("plan", a, b, "--archive", archive, "--given", given, "--width", 30, "--trials", 20, "--json")
        )["needed"]
        assert needed["prob_a_better"] == pytest.approx(pair["prob_a_better"], abs=1e-12)
        assert needed["mean_difference"] == pytest.approx(pair["mean_difference"], abs=1e-9)


@pytest.mark.parametrize("names", BUNDLED_PAIRS, ids=" ".join)
def test_bundled_pairs(names: tuple[str, str], tmp_path: Path) -> None:
    check(Path(DIGITS), *names, tmp_path)


def test_a_pair_without_adjustment(tmp_path: Path) -> None:
    check(Path(DIGITS), *BUNDLED_PAIRS[1], tmp_path, "none")


@pytest.mark.parametrize("given", ["params", "flops"])
@pytest.mark.parametrize("names", PUBLISHED_PAIRS, ids=" ".join)
def test_published_pairs(names: tuple[str, str], given: str, published: Path, tmp_path: Path) -> None:
    check(published, *names, tmp_path, given)


@pytest.mark.parametrize("names", [*pairwise(MADE), ("equal", "worse")], ids=" ".join)
def test_made_up_pairs(names: tuple[str, str], made: Path, tmp_path: Path) -> None:
    check(made, *names, tmp_path)


def test_many_spaces(made: Path, tmp_path: Path) -> None:
    names = MADE[:4]
    document = compared(made, *names, given="params")
    shown = run("compare", *names, "--archive", made)
    page = tmp_path / "report.html"
    assert json.loads(run("report", *names, "--archive", made, "-o", page, "--json"))["pairs"] == document["pairs"]
    marks = {name: row for name in names for row in shown.splitlines() if re.match(rf" *\d+ {name} ", row)}
    for pair in document["pairs"]:
        alone = compared(made, pair["a"], pair["b"], given="params")["pairs"][0]
        for key in ("prob_a_better", "prob_a_better_interval", "mean_difference", "p_better", "strata"):
            assert alone[key] == pair[key]
        column = names.index(pair["b"])
        mark = re.findall(r"(\.|\d+)([+\-~!]?)", marks[pair["a"]].split(pair["a"])[1])[column][1]
        assert mark == {pair["a"]: "+", pair["b"]: "-", "shape": "~", None: ""}[pair["better"]]
    better = {(pair["a"], pair["b"]): pair["better"] for pair in document["pairs"]}
    ahead = [name for name in names if all(better[two] == name for two in combinations(names, 2) if name in two)]
    said = written(page)
    assert ("has lower error than each other space" in said) == bool(ahead)
    for one, next_ in pairwise(names):  # what is searched at one draw has the sign of what is compared
        found = json.loads(run("search", one, next_, "--archive", made, "-m", "1", "--json"))["pairs"][0]
        (pair,) = (pair for pair in document["pairs"] if (pair["a"], pair["b"]) == (one, next_))
        assert pair["better"] not in names or found["better"][0] in (None, pair["better"])
