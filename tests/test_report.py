"""What a report says, of which its page in a browser is in test_report_browser.py."""

import base64
import hashlib
import html
import json
import re
import shlex
import subprocess
import sys
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from reported import archive, cells, stages

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.source import open_source
from edfkit.cli import edfkit, main
from edfkit.datasets import locate
from edfkit.show.report import content, draw, figures
from edfkit.show.report.content import decided, study, verdict
from edfkit.show.report.models import pack
from edfkit.show.report.page import render, write_report
from edfkit.show.words import against, balanced, capital, findings, marked, p_value, search_finding, sensitivity
from edfkit.stats.edf import edf, evaluate
from edfkit.study.compare import compare_populations, compare_study
from edfkit.study.point import point_study
from edfkit.study.search import search_study
from edfkit.study.selection import InMemory

NETWORK = ("depth", "width", "bot_mul", "groups")
SECTIONS = [
    "verdict", "edfs", "difference", "point", "search", "samples", "complexity", "sensitivity", "method",
]  # fmt: skip


class Page(HTMLParser):
    """The tags of a page, with their attributes, and the text outside of scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.code: dict[str, list[str]] = {"script": [], "style": []}
        self._open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.code:
            self.code[self._open[-1]].append(data)
        elif data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words).replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return archive(folder / "three.h5", {"one": stages(150, 1), "two": stages(120, 2, 1.0), "nas": cells(90, 3)})


def report(where: Path, names: list[str], target: Path, **options: Any) -> str:
    with open_source(where) as source:
        write_report(source, names, target, **options)
    return target.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(Path(locate("digits")), ["resnet", "vanilla"], tmp_path_factory.mktemp("digits") / "digits.html")


def test_a_report_says_what_the_library_says(digits: str) -> None:
    text = Page(digits).text
    with open_source(locate("digits")) as source:
        comparison = compare_populations(source, ["resnet", "vanilla"])
        point = point_study(source, "resnet", "vanilla", small=25, large=250)
        search = search_study(source, ["resnet", "vanilla"])
        best = search.curves[1]
    (pair,) = comparison.pairs
    assert pair.estimates is not None
    assert pair.estimates.mean is not None
    assert pair.verdict in text
    for what, number in findings(pair):
        assert f"{capital(what)} {number}" in text
    prob, mean, middle = pair.estimates.better, pair.estimates.mean, pair.estimates.middle.a
    often = " ".join(f"{100 * share:.0f}" for share in (prob.low, prob.high)).replace(" ", " to ")
    assert f"a random resnet model beats one of vanilla {100 * prob.prob:.0f} % 95 % CI {often}" in text
    signed = text.replace("\N{MINUS SIGN}", "-")
    assert f"(points) {mean.estimate:+.2f} 95 % CI {mean.low:+.2f} to {mean.high:+.2f}" in signed
    assert f"median error, resnet {middle.quantile:.2f} % 95 % CI {middle.low:.2f} to {middle.high:.2f}" in text
    assert (
        f"Given params 31 strata {prob.prob:.3f} ({prob.low:.3f} to {prob.high:.3f}) "
        f"{mean.estimate:+.2f} ({mean.low:+.2f} to {mean.high:+.2f})"
    ) in text
    for given, members in (("not normalised", comparison.selection), ("given params", comparison.drawn)):
        for member in members.populations:
            summary = member.summary
            assert f"{member.name} {given} {summary.models} {summary.n_eff:.1f} {summary.min:.2f}" in text
            assert f"{summary.median:.2f} {summary.mean:.2f} {summary.quantiles[0.95]:.2f} {summary.area:.4f}" in text
    (lo, hi, name) = decided(pair)[0]
    assert f"resnet vanilla {name} {lo:.2f} {hi:.2f}" in text
    assert (
        f"{point.wins.small_wins:.3f} {point.wins.tie:.3f} {point.wins.large_wins:.3f} {point.gap.either:.2f}" in text
    )
    at = best.best.m.tolist().index(16)
    assert f"{best.best.error[at]:.2f} ({best.interval[at][0]:.2f} to {best.interval[at][1]:.2f})" in text
    assert f"{best.best.error[-1]:.2f} -" in text
    for searched in search.pairs:
        assert search_finding(searched, search) in text
    balance = pair.estimates.balance
    assert balance is not None
    assert f"Parameter count: {balanced(pair, balance)}." in text
    assert f"{balance.before:.2f} {balance.after:.2f} {balance.smd:+.3f} {balance.bias_in_se:+.2f} yes" in text
    assert "differ by this much or more with a probability of at most 0.05" in text
    assert pair.mix is not None
    for part in (pair.mix.mean.total, pair.mix.mean.composition, pair.mix.mean.within):
        assert f"{part:+.2f} points {part:+.2f} " in text


def test_the_finding_is_held_against_other_settings(digits: str) -> None:
    text = Page(digits).text
    with open_source(locate("digits")) as source:
        comparison = compare_study(source, ["resnet", "vanilla"], sensitive=True)
    assert sensitivity(comparison) in text
    for one in comparison.settings:
        assert one.prob_a_better is not None
        assert one.prob_a_better_interval is not None
        low, high = one.prob_a_better_interval
        assert f"{capital(marked(one))} resnet is better with probability {one.prob_a_better:.3f} ({low:.3f} to" in text
        strip = re.search(rf'aria-label="{re.escape(one.label)}".*?</svg>', digits)
        assert strip
        ends = re.search(r'x1="([\d.]+)%" x2="([\d.]+)%" y1="50%"', strip[0])
        assert ends
        np.testing.assert_allclose([float(ends[1]), float(ends[2])], [100 * low, 100 * high], atol=0.006)
        dot = re.search(r'cx="([\d.]+)%"', strip[0])
        assert dot
        assert float(dot[1]) == pytest.approx(100 * one.prob_a_better, abs=0.006)
    assert digits.count('<tr class="chosen">') == 1


def test_the_sections_come_in_order_the_verdict_first(digits: str) -> None:
    page = Page(digits)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert [found for found in ids if found in SECTIONS] == SECTIONS
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert {link for link in links if link} == {f"#{section}" for section in SECTIONS}
    for attribute in ("aria-labelledby", "aria-describedby"):
        assert {attrs[attribute] for _, attrs in page.tags if attribute in attrs} <= set(ids)
    assert [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)][:2] == ["h1", "h2"]


def test_a_page_refers_to_nothing_outside_and_lets_the_browser_load_nothing(digits: str) -> None:
    page = Page(digits)
    for _, attrs in page.tags:
        assert not {"src", "srcset", "action", "data", "poster", "style"} & set(attrs)
        assert not [name for name in attrs if name.startswith("on")]
        assert (attrs.get("href") or "#").startswith("#")
    assert "url(" not in "".join(page.code["style"])
    assert "@import" not in "".join(page.code["style"])
    (policy,) = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    program, style = digits[digits.rindex("<script>") + 8 : digits.rindex("</script>")], "".join(page.code["style"])
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in (program, style)]
    assert policy == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'"
    )


def test_every_figure_says_in_words_what_it_shows(digits: str) -> None:
    drawn = re.findall(r'<svg[^>]*role="img" aria-label="([^"]+)"[^>]*><desc>(.*?)</desc>', digits)
    assert len(drawn) > 10
    assert all(len(name) > 3 and re.search(r"\d", says) for name, says in drawn)
    assert all("nan" not in says for _, says in drawn)
    tables = digits.count("<table")
    assert tables == digits.count("<caption>")
    headings = re.findall(r"<th(?: [^>]*)?>", digits)
    assert headings
    assert all('scope="' in heading for heading in headings)


def test_the_same_archive_gives_the_same_bytes(digits: str, tmp_path: Path) -> None:
    target = tmp_path / "again.html"
    done = CliRunner().invoke(edfkit, ["report", "ResNet", "vanilla", "--archive", "digits", "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert target.read_text(encoding="utf-8") == digits
    assert "At equal parameter count, resnet has lower error than vanilla (p < 0.0001)." in done.output


def test_the_command_in_a_report_makes_it_again(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(three.parent)
    options: dict[str, Any] = {"error": "final", "diverged": "censor", "confidence": 0.9, "seed": 3, "given": "acts"}
    page = report(three, ["one", "two"], tmp_path / "made.html", **options)
    words = shlex.split(html.unescape(re.findall(r"<pre[^>]*><code>(.*?)</code>", page)[0]))
    assert words[:2] == ["edfkit", "report"]
    done = CliRunner().invoke(edfkit, words[1:])
    assert done.exit_code == 0, done.output
    again = (three.parent / "report.html").read_text(encoding="utf-8")
    assert again == page
    assert "Not normalised" in page
    assert "Given acts" in page


def test_a_report_says_where_its_numbers_come_from_but_not_where_the_file_lies(three: Path, tmp_path: Path) -> None:
    text = Page(page := report(three, ["one", "two"], tmp_path / "report.html", range=(1e5, 5e5))).text
    for fact in (
        "Populations for a test", "three.h5", "CC0-1.0", "epochs 3, lr 0.1", "2026-01-02T03:04:05Z", "numpy",
        "Given params, 100,000 to 500,000, both included, in",
    ):  # fmt: skip
        assert fact in text
    assert str(three.parent) not in page
    assert str(tmp_path) not in page
    with open_source(three) as source:
        left_out = compare_populations(source, ["one", "two"], range=(1e5, 5e5)).selection.populations[0].left_out
    for reason, number in left_out.items():
        assert f"{number} {reason}" in text


def test_more_than_two_spaces_give_a_table_of_pairs_and_no_sensitivity(three: Path, tmp_path: Path) -> None:
    names = ["one", "two", "nas"]
    text = Page(report(three, names, tmp_path / "report.html")).text
    with open_source(three) as source:
        comparison = compare_populations(source, names)
    for pair in comparison.pairs:
        better = pair.better.replace("shape", "neither; another shape").replace("none", "none shown")
        assert pair.estimates is not None
        its = pair.estimates.better
        where = f"{pair.a} {pair.b} {better} {p_value(pair.p_adjusted or 0)}"
        assert f"{where} {its.prob:.3f} ({its.low:.3f} to {its.high:.3f})" in text
    assert verdict(comparison)[0] in text
    assert "It is made for two spaces, and this report has 3" in text
    assert "Other ways to control" not in text


def test_many_spaces_give_a_table_of_all_pairs_before_the_long_one(tmp_path: Path) -> None:
    populations = {f"s{i}": stages(100, i, 1.5 * i) for i in range(6)}
    file = archive(tmp_path / "six.h5", populations)
    page = report(file, list(populations), tmp_path / "report.html")
    with open_source(file) as source:
        comparison = compare_populations(source, list(populations))
    (table,) = re.findall(r'<table class="matrix">.*?</table>', page, re.DOTALL)
    found = [
        [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]
        for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)[1:]
    ]
    for pair in comparison.pairs:
        for row, column in ((pair.a, pair.b), (pair.b, pair.a)):
            assert found[int(row[1])][int(column[1])] == "".join(against(pair, row))
    assert any(cell.endswith("+") for row in found for cell in row)
    assert page.index('class="matrix"') < page.index("<details>") < page.index("Pairs of spaces, given params")
    # Over a range of one's own fifteen pairs would be too many.
    about = json.loads(
        html.unescape(page[page.index('id="about">') + 11 : page.index('</script>\n<script type="text/p')])
    )
    assert [(pair["a"], pair["b"]) for pair in about["pairs"]] == [(0, i) for i in range(1, 6)]
    assert "pairs of s0, as all 15 are too many" in Page(page).text


def test_spaces_that_share_no_range_of_complexity_have_a_report(tmp_path: Path) -> None:
    small: dict[str, Any] = {"params": np.full(40, 1000)}
    large: dict[str, Any] = {"params": np.full(40, 9000)}
    file = archive(tmp_path / "a.h5", {"a": stages(40, 1, **small), "b": stages(40, 2, **large)})
    text = Page(report(file, ["a", "b"], tmp_path / "report.html")).text
    assert "Too few models of a and b of equal complexity to compare" in text
    assert "Left out. No stratum holds models of both spaces." in text


def test_a_distribution_of_complexity_is_drawn_as_it_is_and_as_it_is_weighed() -> None:
    # Two of A at 10 and one at 1,000; of B one at 10 and two at 1,000: two strata, of 3 models and of weight 2/3 each.
    a, b = ({"error": [1.0, 2.0, 3.0], "params": params} for params in ([10, 10, 1000], [10, 1000, 1000]))
    comparison = compare_populations(InMemory({"a": a, "b": b}), ["a", "b"])
    before, after = figures.complexities(comparison, 0)
    assert after is not None

    def heights(drawn: str) -> list[float]:
        paths = re.findall(r'class="line s\d" d="M0 ([\d.]+)', drawn)
        return [1 - float(path) / 1000 for path in paths]

    np.testing.assert_allclose(heights(before), [2 / 3, 1 / 3], atol=1e-4)
    np.testing.assert_allclose(heights(after), [0.5, 0.5], atol=1e-4)


def test_the_verdict_on_many_spaces_names_one_that_beats_all_others_only() -> None:
    def compared(*worse: float) -> tuple[str, str]:
        populations = {f"s{i}": stages(200, i, points) for i, points in enumerate(worse)}
        return verdict(compare_populations(InMemory(populations), list(populations)))

    assert compared(4.0, 0.0, 4.0) == (
        "At equal parameter count, s1 has lower error than each other space.",
        "In 2 of the 3 pairs of spaces one is shown to be better; all of this holds together with confidence 95 %.",
    )
    none = "At equal parameter count, no space is shown to be better than each of the others."
    assert compared(0.0, 0.0, 4.0)[0] == none


def test_a_complexity_that_is_not_known_is_left_out_and_it_is_said_why(tmp_path: Path) -> None:
    unknown = np.full(80, np.nan)
    file = archive(
        tmp_path / "a.h5", {"a": stages(80, 1, params=unknown, acts=unknown), "b": stages(80, 2, 2.0, macs=unknown)}
    )
    page = report(file, ["a", "b"], tmp_path / "report.html")
    text = Page(page).text
    assert "Left out. The params of 80 of the 80 a models are not known" in text
    assert "At equal FLOP count, a has lower error than b (p" in text
    assert "--given flops" in text
    assert "<option>flops</option>" in page
    assert "<option>params</option>" not in page
    with open_source(file) as source, pytest.raises(EdfkitError, match="params of 80 of the 80 a models are not known"):
        study(source, ["a", "b"], given="params")


def test_without_any_complexity_there_is_still_a_report(tmp_path: Path) -> None:
    unknown: dict[str, Any] = dict.fromkeys(("params", "macs", "flops", "acts"), np.full(60, np.nan))
    file = archive(tmp_path / "a.h5", {"a": stages(60, 1, **unknown), "b": stages(60, 2, 3.0, **unknown)})
    page = report(file, ["a", "b"], tmp_path / "report.html")
    text = Page(page).text
    assert "Without adjustment for size, a has lower error than b (p" in text
    assert "No complexity is known of all models" in text
    assert "As chosen" in text
    assert 'id="block"' not in page


def test_models_of_one_complexity_and_single_models_have_a_report(tmp_path: Path) -> None:
    same: dict[str, Any] = {"params": np.full(40, 1000)}
    file = archive(
        tmp_path / "a.h5",
        {"a": stages(40, 1, **same), "b": stages(40, 2, **same), "c": stages(1, 3), "d": stages(1, 4)},
    )
    assert "Given params 1 stratum 0." in Page(report(file, ["a", "b"], tmp_path / "same.html")).text
    assert "Given params 1 bin 0." in Page(report(file, ["a", "b"], tmp_path / "binned.html", bins=1)).text
    single = Page(report(file, ["c", "d"], tmp_path / "single.html")).text
    few = "Too few models of c and d of equal complexity to compare: they are worth 1.0 of each, and a claim needs 8."
    assert few in single
    assert "Better of two random models" not in single
    among = Page(report(file, ["a", "b", "c", "d"], tmp_path / "among.html")).text
    assert "c d not tested" in among
    assert "Too few models of c and d of equal complexity to compare" in among


def test_why_spaces_are_not_compared_is_said_once(tmp_path: Path) -> None:
    again = stages(60, 1)
    seeds = {**again, **{name: np.repeat(np.asarray(again[name])[:1], 60, axis=0) for name in NETWORK}}
    file = archive(tmp_path / "a.h5", {"a": stages(60, 2), "b": stages(60, 3), "seeds": seeds})
    page = report(file, ["a", "b", "seeds"], tmp_path / "report.html")
    said = "All 60 models of seeds are runs of one network with one setting"
    assert f"<p>{said}" in page
    assert page[: page.index("</section>")].count(said) == 1


def test_networks_that_are_not_described_are_named(tmp_path: Path) -> None:
    bare = {
        name: values for name, values in stages(50, 1).items() if name not in ("depth", "width", "bot_mul", "groups")
    }
    file = archive(tmp_path / "a.h5", {"a": bare, "b": stages(50, 2)})
    assert "The networks of a are not described" in Page(report(file, ["a", "b"], tmp_path / "report.html")).text


def test_what_an_archive_says_is_text_and_never_markup(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    attrs: dict[str, Any] = dict.fromkeys(("title", "source", "license", "software", "dataset", "commit"), evil)
    attrs["recipe"] = json.dumps({evil: evil})
    file = archive(tmp_path / f"{evil.replace('/', '')}.h5", {"a": stages(50, 1), "b": stages(50, 2)}, **attrs)
    page = Page(source := report(file, ["a", "b"], tmp_path / "report.html"))
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert "img" not in {tag for tag, _ in page.tags}
    assert evil in page.text
    assert "<script>alert" not in source


def test_a_population_with_markup_for_a_name_is_harmless(published: Path, tmp_path: Path) -> None:
    name = "<script>alert(1)<!--"
    for stem, file in ((name, "DARTS_in.json"), ("b", "ENAS_in.json")):
        (tmp_path / f"{stem}.json").write_bytes((published / file).read_bytes())
    page = Page(source := report(tmp_path, [name, "b"], tmp_path / "report.html"))
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert name in page.text
    assert "<script>alert" not in source
    assert "<!--" not in source


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (["resnext-a_in", "resnext-b_in"], {"given": "flops", "bins": 5, "range": (0.1e9, 0.6e9)}),
        (["nasnet_in", "darts_in", "enas_in", "resnext-a_in", "resnext-b_in"], {}),
    ],
)
def test_the_published_files_have_a_report(
    published: Path, tmp_path: Path, names: list[str], options: dict[str, Any]
) -> None:
    text = Page(report(published, names, tmp_path / "report.html", **options)).text
    assert "Data set: ImageNet" in text
    with open_source(published) as source:
        assert verdict(compare_populations(source, names, **options))[0] in text


def unpacked(block: bytes, place: dict[str, Any]) -> np.ndarray[Any, Any]:
    values = np.frombuffer(block, f"<{place['as']}", place["n"], place["at"])
    return unpacked(block, place["table"])[values] if "table" in place else values


def test_models_are_packed_without_loss(three: Path) -> None:
    names = ["one", "two", "nas"]
    with open_source(three) as source:
        assert isinstance(source, Archive)
        packed = pack(study(source, names, diverged="drop"))
        block = zlib.decompress(base64.b64decode(packed.block))
        for space, name in zip(packed.spaces, names, strict=True):
            rows = np.flatnonzero(source.read(name, "status") == 0)
            assert space["models"] == len(rows) < source.models(name)
            assert space["kind"] == ("cells" if name == "nas" else "stages")
            found = {variable: unpacked(block, place) for variable, place in space["columns"].items()}
            assert np.array_equal(found.pop("row"), rows)
            assert {"error", "params", "flops", "macs", "acts", "depth", "width"} < set(found)
            for variable, values in found.items():
                stored = source.read(name, variable)[rows]
                assert np.array_equal(values.reshape(stored.shape), stored), variable


@pytest.mark.parametrize("decimals", [2, 12])
def test_a_drawn_edf_is_where_the_edf_is(decimals: int) -> None:
    rng = np.random.default_rng(0)
    errors = np.round(5 + 20 * rng.random(20_000), decimals)
    values, heights = edf(errors)
    x, y = draw.Axis(7.0, 30.0, ""), draw.Axis(0.0, 1.0, "")
    path = re.search(r'd="([^"]+)"', draw.steps(x, y, values, heights, ""))
    assert path
    start, *moves = re.findall(r"([MHV])([\d. ]+)", path[1])
    assert len(moves) < 5100
    assert moves[-1] == ("H", "1000")
    across, up = [0.0], [float(start[1].split()[1])]
    for (kind, to), (_, level) in pairwise(moves):
        if kind == "H":
            across.append(float(to))
            up.append(float(level) if to != "1000" else up[-1])
    middles = (np.array(across[:-1]) + np.array(across[1:])) / 2
    found = 1 - np.array(up[:-1]) / 1000
    # A place is off by half a unit of a thousand at most, so the height by what F does there, and 0.05 of rounding.
    near = [evaluate(values, heights, 7 + 23 * np.clip(middles + off, 0, 1000) / 1000) for off in (-0.5, 0.5)]
    assert np.all(found >= near[0] - 1e-4)
    assert np.all(found <= near[1] + 1e-4)


@pytest.mark.parametrize(
    ("lo", "hi", "base"),
    [
        (0, 100, None),
        (3.1, 3.2, None),
        (-0.4, 0.9, None),
        (1, 4096, 2.0),
        (4, 1e5, 10.0),
        (0.02, 0.9, 10.0),
        (2.0, 5.0, 10.0),
    ],
)
def test_ticks_are_round_few_and_within_the_axis(lo: float, hi: float, base: float | None) -> None:
    ticks = draw.Axis(lo, hi, "", base).ticks()
    assert 2 <= len(ticks) <= 9
    assert all(-1e-6 <= at <= 100 + 1e-6 for at, _ in ticks)
    assert all(len(text) <= 6 for _, text in ticks)
    assert sorted(at for at, _ in ticks) == [at for at, _ in ticks]


def test_two_populations_of_25000_models_fit_in_6_megabytes(tmp_path: Path) -> None:
    file = archive(tmp_path / "big.h5", {"a": stages(25_000, 1), "b": stages(25_000, 2, 0.5)})
    page = report(file, ["a", "b"], tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 6e6
    assert "25,000" in Page(page).text


Refuse = Callable[..., tuple[int, str]]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Give what runs a command that is to be refused: its exit status, and what it says on standard error."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["edfkit", "report", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert not out
        return int(str(stop.value)), err

    return run


def test_bad_input_is_one_sentence_and_writes_nothing(three: Path, tmp_path: Path, refused: Refuse) -> None:
    source = ("--archive", str(three))
    where = (*source, "-o", str(tmp_path / "out.html"))
    status, said = refused("one", *where)
    assert status == 2
    assert "name two spaces or more" in said
    for words, sentence in (
        (("one", "x", *where), "has no population 'x'; choose from"),
        (("one", "One", *where), "named twice"),
        (("one", "two", "--given", "none", "--bins", "3", *where), "Bins and range belong to a complexity"),
        (("one", "two", *source, "-o", str(tmp_path / "no" / "out.html")), "does not exist; make it, or give another"),
        (("one", "two", *source, "-o", str(tmp_path)), "cannot be written"),
    ):
        status, said = refused(*words)
        assert status == 1
        assert sentence in said
        assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_too_many_models_are_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch, three: Path) -> None:
    monkeypatch.setattr(content, "AT_MOST", 200)
    with open_source(three) as source, pytest.raises(EdfkitError, match=r"up to 200, .* have 270; take some"):
        study(source, ["one", "two"])


def test_a_full_disk_leaves_nothing(three: Path, small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(100_000))
    target = small_disk / "report.html"
    with open_source(three) as source, pytest.raises(EdfkitError, match=r"report\.html cannot be written \(No space"):
        write_report(source, ["one", "two"], target)
    assert list(small_disk.iterdir()) == [filler]


def test_an_older_report_stays_until_the_new_one_is_whole(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    rename: Callable[..., Any] = Path.replace
    monkeypatch.setattr(Path, "replace", failing)
    with open_source(three) as source, pytest.raises(EdfkitError, match="cannot be written"):
        write_report(source, ["one", "two"], target)
    monkeypatch.setattr(Path, "replace", rename)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_json_gives_the_comparison_and_where_the_report_is(three: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    words = ["report", "one", "two", "--archive", str(three), "-o", str(target), "--json"]
    done = CliRunner().invoke(edfkit, words)
    found = json.loads(done.output)
    assert found["report"] == str(target)
    assert found["bytes"] == target.stat().st_size
    with open_source(three) as source:
        expected = compare_study(source, ["one", "two"], sensitive=True).to_dict()
    assert {key: found[key] for key in expected} == expected
    begins = {"schema_version", "edfkit", "command", "archive"}
    assert set(found) - set(expected) == begins | {"report", "bytes"}


def test_a_page_can_be_made_without_a_file(three: Path) -> None:
    with open_source(three) as source:
        assert render(source, study(source, ["one", "nas"])).startswith("<!doctype html>")


def test_a_report_loads_nothing_heavy(three: Path, tmp_path: Path) -> None:
    words = ["report", "one", "two", "--archive", str(three), "-o", str(tmp_path / "report.html")]
    heavy = ["matplotlib", "xarray", "pandas", "torch"]  # scipy.stats ranks errors and complexities
    code = (
        f"import sys; from edfkit.cli import edfkit; edfkit({words}, standalone_mode=False); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
