"""A report in a real browser: Debian's Chromium, from disk, without a network."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from reported import archive, cells, repeated, stages

from edfkit.archive.nets import genotypes
from edfkit.archive.source import open_source
from edfkit.metric import Metric
from edfkit.show.report.content import study
from edfkit.show.report.page import render, write_report
from edfkit.stats.edf import edf
from edfkit.study.compare import Comparison, Pair, compare_populations
from edfkit.study.selection import InMemory, Selection

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here: install Debian's chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an archive with a report for each kind of network beside it."""
    folder = tmp_path_factory.mktemp("browser")
    # Gaps in the complexities, params beyond 2**32, ties of many models, networks with several rows.
    sparse: dict[str, Any] = {"params": np.array([10, 20, 21, 30, 40, 90, 100, 2**40]) * 1000}
    tied: dict[str, Any] = {"params": np.repeat([30_000, 90_000, 200_000], 40)}
    file = archive(
        folder / "made.h5",
        {
            "one": stages(400, 1),
            "two": stages(300, 2, 1.0),
            "nas": cells(90, 3),
            "sparse": stages(8, 4, **sparse),
            "tied": stages(120, 5, 0.5, **tied),
            "seeds": repeated(60, 3, 6),
            "again": repeated(60, 3, 6, worse=0.4),
        },
        group_attrs={"seeds": {"architecture": "same"}, "again": {"architecture": "same"}},
    )
    with open_source(file) as source:
        for name in ("one-two", "one-nas", "one-two-nas", "two-sparse", "two-tied", "one-seeds", "seeds-again"):
            write_report(source, name.split("-"), folder / f"{name}.html")
    return file


class Opened:
    """A page that was opened, and what went wrong in it or left it."""

    def __init__(self, context: BrowserContext, file: Path) -> None:
        self.page: Page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.stopped: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.stopped.append(f"{request.failure} {request.url}"))
        self.address = file.as_uri()
        self.page.goto(self.address)
        self.page.wait_for_function("globalThis.edfkit?.curves !== undefined")

    def curves(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate("edfkit.curves")
        return found

    def message(self) -> str:
        return str(self.page.evaluate("edfkit.message"))

    def pairs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate("edfkit.pairs")
        return found

    def choose(self, lo: float, hi: float, strata: float | None, given: str | None = None) -> None:
        if given is not None:
            self.page.select_option("#given", given)
        for field, value in (("from", lo), ("to", hi), ("strata", strata)):
            self.page.fill(f"#{field}", "" if value is None else np.format_float_positional(value, trim="-"))


@pytest.fixture
def opened(browser: Browser, made: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Open a report, by default that of two spaces; whatever a test does, nothing may go wrong or leave the page."""
    options: dict[str, Any] = dict(getattr(request, "param", {}))
    name = options.pop("name", "one-two")
    options.setdefault("viewport", {"width": 1280, "height": 900})
    context = browser.new_context(**options)
    found = Opened(context, made.parent / f"{name}.html")
    yield found
    assert found.said == []
    assert found.asked == [found.address]
    context.close()


def agree(curves: list[dict[str, Any]], selection: Selection) -> None:
    """Hold the curves of a page against what the library computes."""
    assert [curve["name"] for curve in curves] == [member.name for member in selection.populations]
    for curve, member in zip(curves, selection.populations, strict=True):
        values, heights = edf(member.errors, member.shares)
        assert np.array_equal(curve["values"], values)
        np.testing.assert_allclose(curve["heights"], heights, rtol=0, atol=1e-12)
        summary = member.summary
        assert curve["models"] == summary.models
        assert curve["min"] == summary.min
        assert curve["median"] == summary.median
        np.testing.assert_allclose([curve["mean"], curve["nEff"]], [summary.mean, summary.n_eff], rtol=1e-12)


def agree_on_pair(shown: dict[str, Any], pair: Pair | None) -> bool:
    """Hold the estimates of a page against those of the library; tell whether there are any."""
    if pair is None or not pair.sure:
        assert shown["better"] is shown["mean"] is None
        if pair is None or not pair.sharing.refused:  # such as when the range leaves one network alone
            assert shown["overlap"] == pytest.approx(0.0 if pair is None else pair.overlap, abs=1e-9)
        return False
    assert shown["overlap"] == pytest.approx(pair.overlap, rel=1e-12)
    assert pair.sharing.paired or shown["strata"] == pair.strata
    assert pair.estimates is not None
    assert pair.estimates.mean is not None
    better, mean = pair.estimates.better, pair.estimates.mean
    for its, numbers in (
        (shown["better"], (better.prob, better.low, better.high)),
        (shown["mean"], (mean.estimate, mean.low, mean.high)),
    ):
        np.testing.assert_allclose([its["estimate"], its["low"], its["high"]], numbers, rtol=0, atol=1e-9)
    return True


READ = ("error", "status", "lr", "wd", "depth", "width", "bot_mul", "groups", "op", "input", "concat")


def over(made: Path, names: list[str], given: str, lo: float, hi: float, strata: int | None) -> Comparison | None:
    """Compare those of the populations that have models in a range of complexity; None if they are not two."""
    found: dict[str, dict[str, Any]] = {}
    with open_source(made) as source:
        for name in names:
            counts = source.read(name, given)
            rows = (counts >= lo) & (counts <= hi)
            if rows.any():
                known = [variable for variable in (*READ, given) if variable in source.variables(name)]
                found[name] = {variable: source.read(name, variable)[rows] for variable in known}
    return None if len(found) < 2 else compare_populations(InMemory(found), list(found), given=given, strata=strata)


def check(opened: Opened, made: Path) -> int:
    """Hold what a page shows against what the library computes of the models in its range; count estimated pairs."""
    names = opened.address.rsplit("/", 1)[-1].removesuffix(".html").split("-")
    lo, hi = (float(opened.page.input_value(f"#{field}")) for field in ("from", "to"))
    strata = opened.page.input_value("#strata")
    given = opened.page.input_value("#given")
    comparison = over(made, names, given, lo, hi, int(strata) if strata else None)
    pairs = {} if comparison is None else {(pair.a, pair.b): pair for pair in comparison.pairs}
    estimated = 0
    for shown in opened.pairs():
        estimated += agree_on_pair(shown, pairs.get((names[shown["a"]], names[shown["b"]])))
    drawn = None if comparison is None else comparison.drawn
    if drawn is None or drawn.given == "none" or len(drawn.populations) < len(names):
        assert opened.curves() == []
    else:
        agree(opened.curves(), drawn)
        assert opened.page.evaluate("edfkit.common") == drawn.strata
    return estimated


def test_a_page_shows_at_first_what_the_report_is_about(opened: Opened, made: Path) -> None:
    with open_source(made) as source:
        comparison = compare_populations(source, ["one", "two"])
    agree(opened.curves(), comparison.drawn)
    (pair,) = comparison.pairs
    assert agree_on_pair(opened.pairs()[0], pair)
    assert f"{pair.strata} strata hold models of all spaces." in opened.page.inner_text("#found")
    assert pair.estimates is not None
    assert pair.estimates.mean is not None
    better, mean = pair.estimates.better, pair.estimates.mean
    assert opened.page.inner_text("#pairs tbody tr").split("\t") == [
        "one", "two", str(pair.strata), f"{2 * pair.overlap:.1f}",
        f"{better.prob:.3f} ({better.low:.3f} to {better.high:.3f})",
        f"{mean.estimate:+.2f} ({mean.low:+.2f} to {mean.high:+.2f})",
    ]  # fmt: skip
    assert "It names no winner" in opened.page.inner_text("#explore")


def ranges(made: Path, names: list[str], given: str) -> list[tuple[float, float, int | None]]:
    """Choose ranges: at random with ends on models and beside them, all, tiny, of one complexity, without models."""
    rng = np.random.default_rng(5)
    with open_source(made) as source:
        counts = np.sort(np.concatenate([source.read(name, given) for name in names]).astype(float))
    found: list[tuple[float, float, int | None]] = [(counts[0], counts[-1], None), (counts[-1] + 1, counts[-1] + 9, 2)]
    for strata in (None, None, 1, 3, 60):
        lo, hi = np.sort(rng.choice(counts, 2, replace=False)).tolist()
        found += [(lo, hi, strata), (lo - 0.5, hi + 0.25, strata)]
    start = int(rng.integers(len(counts) - 12))
    return [*found, (counts[start], counts[start + 11], None), (counts[start], counts[start], None)]


@pytest.mark.parametrize(
    "opened",
    [{"name": name} for name in ("one-two-nas", "two-sparse", "two-tied", "one-seeds")],
    indirect=True,
    ids=lambda options: options["name"],
)
def test_any_range_gives_the_numbers_of_the_library(opened: Opened, made: Path) -> None:
    names = opened.address.rsplit("/", 1)[-1].removesuffix(".html").split("-")
    estimated = 0
    for given in ("params", "acts"):
        for lo, hi, strata in ranges(made, names, given):
            opened.choose(lo, hi, strata, given)
            assert opened.page.evaluate("edfkit.message") == ""
            estimated += check(opened, made)
    assert estimated >= 8


@pytest.mark.parametrize("opened", [{"name": "seeds-again"}], indirect=True, ids=str)
def test_the_same_networks_in_two_spaces_are_paired(opened: Opened, made: Path, tmp_path: Path) -> None:
    opened.choose(20_000, 300_000, None)
    with open_source(made) as source:
        found = {}
        for name in ("seeds", "again"):
            inside = (source.read(name, "params") >= 20_000) & (source.read(name, "params") <= 300_000)
            found[name] = {variable: source.read(name, variable)[inside] for variable in source.variables(name)}
    part = archive(tmp_path / "part.h5", found, group_attrs={name: {"architecture": "same"} for name in found})
    with open_source(part) as source:
        (pair,) = compare_populations(source, ["seeds", "again"]).pairs
    assert pair.sharing.paired
    assert agree_on_pair(opened.pairs()[0], pair)


@pytest.mark.parametrize(
    ("lo", "hi", "strata", "sentence"),
    [
        (5e5, 1e5, None, "must not start above its end"),
        (1e5, 5e5, 0, "must be a whole number from 1"),
        (1e5, 5e5, 2.5, "must be a whole number from 1"),
        (1e5, 5e5, 500_000, "must be a whole number from 1"),
    ],
)
def test_what_cannot_be_is_said_and_draws_nothing(
    opened: Opened, lo: float, hi: float, strata: float | None, sentence: str
) -> None:
    opened.choose(lo, hi, strata)
    assert sentence in opened.page.inner_text("#found")
    assert opened.page.locator("#again path").count() == 0
    for table in ("chosen", "pairs"):
        assert opened.page.locator(f"#{table} tbody tr").count() == 0
    opened.page.fill("#from", "")
    assert "no number" in opened.page.inner_text("#found")


def test_a_range_without_models_of_both_shows_the_overlap_alone(opened: Opened) -> None:
    opened.choose(1e12, 2e12, None)
    assert "one and two has no model there" in opened.page.inner_text("#found")
    assert opened.page.inner_text("#pairs tbody tr").split("\t") == ["one", "two", "0", "0.0", "-", "-"]
    assert opened.page.locator("#again path").count() == 0


def middle(opened: Opened, share: float, height: float = 0.5) -> tuple[float, float]:
    box = opened.page.locator("#models").bounding_box()
    assert box
    return box["x"] + share * box["width"], box["y"] + height * box["height"]


def test_drawing_a_range_and_moving_its_ends_computes_anew(opened: Opened, made: Path) -> None:
    page, mouse = opened.page, opened.page.mouse
    page.fill("#strata", "3")
    page.locator("#models").scroll_into_view_if_needed()
    before = opened.curves()
    mouse.move(*middle(opened, 0.2, 0.1))
    mouse.down()
    mouse.move(*middle(opened, 0.6, 0.1), steps=4)
    mouse.up()
    drawn = opened.curves()
    assert drawn != before
    assert check(opened, made) == 1
    lo = page.input_value("#from")

    mouse.move(*middle(opened, 0.6, 0.2))
    mouse.down()
    mouse.move(*middle(opened, 0.8, 0.2), steps=4)
    mouse.up()
    assert page.input_value("#from") == lo
    moved = opened.curves()
    assert moved != drawn
    assert check(opened, made) == 1

    page.click("text=Reset")
    assert page.input_value("#strata") == ""
    assert check(opened, made) == 1
    assert opened.page.evaluate("[edfkit.lo, edfkit.hi]") == opened.page.evaluate(
        "JSON.parse(document.getElementById('about').textContent).ranges.params"
    )


@pytest.mark.parametrize("opened", [{"has_touch": True, "viewport": {"width": 360, "height": 800}}], indirect=True)
def test_a_range_can_be_drawn_by_touch(opened: Opened, made: Path) -> None:
    opened.page.fill("#strata", "2")
    opened.page.locator("#models").scroll_into_view_if_needed()
    touch = opened.page.context.new_cdp_session(opened.page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    before = opened.curves()
    send("touchStart", middle(opened, 0.3))
    for share in (0.4, 0.5, 0.7):
        send("touchMove", middle(opened, share))
    send("touchEnd")
    assert opened.curves() != before
    assert check(opened, made) == 1


def test_the_ends_of_a_range_move_by_keys(opened: Opened, made: Path) -> None:
    opened.page.fill("#strata", "2")
    opened.page.focus("#hi")
    for key, field in (("End", "to"), ("PageDown", "to"), ("ArrowLeft", "to")):
        before = opened.page.input_value(f"#{field}")
        opened.page.keyboard.press(key)
        assert key == "End" or float(opened.page.input_value(f"#{field}")) < float(before)
        assert check(opened, made) == 1
    handle = opened.page.locator("#hi")
    assert handle.get_attribute("aria-valuenow") == opened.page.input_value("#to")
    assert "params" in str(handle.get_attribute("aria-valuetext"))


def place(opened: Opened) -> tuple[int, int]:
    at = opened.page.evaluate("edfkit.at")
    return at["space"], at["model"]


@pytest.mark.parametrize("opened", [{"name": "one-nas"}], indirect=True)
def test_keys_go_from_model_to_model_and_show_their_networks(opened: Opened, made: Path) -> None:
    with open_source(made) as source:
        one = {name: source.read("one", name) for name in ("params", "error", "depth", "width", "bot_mul", "groups")}
        nas = {name: source.read("nas", name) for name in ("params", "op", "input", "concat", "width", "depth")}
    opened.page.focus("#models")
    opened.page.keyboard.press("Home")
    opened.page.keyboard.press("Home")
    order = np.argsort(one["params"], kind="stable")
    for step in range(3):
        model = int(order[step])
        assert place(opened) == (0, model)
        said = opened.page.inner_text("#model")
        assert f"one model {model}: error {one['error'][model]:g} %" in said
        rows = [row.split() for row in said.splitlines()]
        for label, name in (("depth", "depth"), ("width", "width"), ("bottleneck", "bot_mul"), ("groups", "groups")):
            assert [label, *(f"{value:g}" for value in one[name][model])] in rows
        opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowDown")
    space, model = place(opened)
    assert space == 1
    away = np.abs(nas["params"] - one["params"][order[3]])
    assert away[model] == away.min()
    said = opened.page.inner_text("#model")
    (described,) = genotypes({name: values[[model]] for name, values in nas.items()})
    for kind in ("normal", "reduce"):
        pairs = described["genotype"][kind]
        for node in range(4):
            (a, i), (b, j) = pairs[2 * node : 2 * node + 2]
            assert f"{node + 2} = {a}({i}) + {b}({j})" in said
    assert "out 2, 3, 4, 5" in said
    opened.page.keyboard.press("Escape")
    assert not opened.page.locator("#model").is_visible()


def test_pointing_at_a_model_shows_it(opened: Opened, made: Path) -> None:
    opened.page.locator("#models").scroll_into_view_if_needed()
    opened.page.focus("#models")
    opened.page.keyboard.press("End")
    opened.page.keyboard.press("End")
    shown, ring = place(opened), opened.page.locator("#ring").bounding_box()
    assert ring
    opened.page.keyboard.press("Escape")
    opened.page.mouse.move(ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2)
    assert opened.page.locator("#model").is_visible()
    assert place(opened) == shown
    with open_source(made) as source:
        model = int(np.argmax(source.read("one", "params")))
    assert shown == (0, model)
    opened.page.mouse.move(5, 5)
    assert not opened.page.locator("#model").is_visible()


AXE = Path(pytest.importorskip("axe_playwright_python.base").AXE_FILE_PATH)


@pytest.mark.parametrize(
    "opened",
    [
        {"name": name, "color_scheme": scheme, "viewport": {"width": width, "height": 800}}
        for name, scheme, width in (
            ("one-two", "light", 1280),
            ("one-two-nas", "dark", 360),
        )
    ],
    indirect=True,
    ids=lambda options: "-".join(map(str, (options["name"], options["color_scheme"], options["viewport"]["width"]))),
)
def test_a_page_breaks_no_rule_of_accessibility_and_fits_its_width(opened: Opened) -> None:
    opened.page.focus("#models")
    opened.page.keyboard.press("Home")
    opened.page.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
    found = opened.page.evaluate("axe.run()")
    assert len(found["passes"]) > 20
    broken = [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]
    assert broken == []
    inside = opened.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert inside[0] <= inside[1]


def luminance(colour: str) -> float:
    channels = [float(number) / 255 for number in re.findall(r"[\d.]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("opened", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True, ids=str)
def test_text_stands_out_in_light_and_dark_and_the_button_changes_them(opened: Opened) -> None:
    def contrasts() -> tuple[float, list[float]]:
        texts = opened.page.evaluate(
            """() => { const style = (one) => getComputedStyle(document.querySelector(one));
            return [style('body').backgroundColor,
            ...['.claim', '.note', 'figcaption', 'a', 'caption', 'button'].map((one) => style(one).color),
            ...['.plot .label', '.plot .ticks text'].map((one) => style(one).fill)]; }"""
        )
        paper, *inks = map(luminance, texts)
        return paper, [(max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) for ink in inks]

    first = contrasts()
    opened.page.click("#theme")
    other = contrasts()
    assert sorted([first[0] > 0.5, other[0] > 0.5]) == [False, True]
    assert min(first[1] + other[1]) >= 4.5


def test_models_are_drawn_in_the_colours_of_their_spaces(opened: Opened) -> None:
    count = """() => { const canvas = document.querySelector('#models canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let drawn = 0; for (let i = 3; i < data.length; i += 4) if (data[i]) drawn += 1; return drawn; }"""
    assert opened.page.evaluate(count) > 2000


def test_a_page_prints_without_its_controls(opened: Opened) -> None:
    data = opened.page.pdf(format="A4", print_background=True)
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", data)) >= 4
    opened.page.emulate_media(media="print")
    for hidden in ("#theme", "#controls", "nav", "#hi"):
        assert not opened.page.locator(hidden).is_visible()
    assert opened.page.locator("#models canvas").is_visible()


def test_without_javascript_all_but_the_range_is_there(browser: Browser, made: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((made.parent / "one-two.html").as_uri())
    assert page.locator("#edfs svg[role=img]").first.is_visible()
    assert page.get_by_text("This part needs JavaScript").is_visible()
    assert not page.locator("#explore").is_visible()
    assert not page.locator("#theme").is_visible()
    context.close()


def test_the_policy_stops_what_a_page_is_made_to_load(opened: Opened) -> None:
    opened.page.evaluate("() => { const image = new Image(); image.src = 'https://example.org/a.png'; }")
    stopped = opened.page.evaluate("fetch('https://example.org/').then(() => 'loaded', () => 'stopped')")
    assert stopped == "stopped"
    assert all("Content Security Policy" in said for said in opened.said)
    assert len(opened.said) >= 2
    assert {f"csp {address}" for address in opened.asked[1:]} <= set(opened.stopped)
    opened.said.clear()
    del opened.asked[1:]


@pytest.mark.slow
def test_two_populations_of_25000_models_are_explored(browser: Browser, tmp_path: Path) -> None:
    rates: dict[str, Any] = {"lr": np.linspace(0.05, 0.2, 25_000)}  # so that no network is drawn twice
    file = archive(tmp_path / "a-b.h5", {"a": stages(25_000, 1, **rates), "b": stages(25_000, 2, 0.5, **rates)})
    with open_source(file) as source:
        write_report(source, ["a", "b"], tmp_path / "a-b.html")
    context = browser.new_context()
    found = Opened(context, tmp_path / "a-b.html")
    found.choose(20_000, 600_000, None)
    assert check(found, file) == 1
    took = found.page.evaluate(
        "() => { const start = performance.now(); "
        "document.getElementById('strata').dispatchEvent(new Event('input')); return performance.now() - start; }"
    )
    assert took < 1000  # ms
    assert found.said == []
    context.close()


class Memory(InMemory):
    """Populations in memory, of which a report can be made."""

    path = Path("populations.h5")
    attrs = {"title": "Populations in memory"}  # noqa: RUF012

    def dataset(self, name: str) -> str:
        return "images"


def test_a_metric_that_is_maximised_is_explored_with_its_own_sign(browser: Browser, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source = Memory(
        {
            name: {
                "auc": 1 / (1 + 0.02 * (rng.gamma(4, 1, 200) + worse)),
                "params": rng.integers(1_000, 100_000, 200),
            }
            for name, worse in (("ViT-B/16", 0), ("cnn", 1))
        },
        metric=Metric("auc", "share", "max", label="val AUC"),
    )
    report = study(source, source.names)
    file = tmp_path / "auc.html"
    file.write_text(render(source, report), encoding="utf-8")  # type: ignore[arg-type]
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Opened(context, file)
    rows = [row.split("\t") for row in found.page.inner_text("#chosen tbody").splitlines()]
    for row, member in zip(rows, report.main.drawn.populations, strict=True):
        summary = member.summary
        values = [-summary.min, -summary.median, -summary.mean]
        assert [row[0], *row[3:]] == [member.label, *(f"{value:.4f}" for value in values)]
    mean = report.main.pairs[0].estimates
    assert mean is not None
    assert mean.mean is not None
    shown = found.page.inner_text("#pairs tbody").split("\t")[-1]
    assert shown == f"{-mean.mean.estimate:+.4f} ({-mean.mean.high:+.4f} to {-mean.mean.low:+.4f})"
    ticks = found.page.eval_on_selector_all(
        "#again text[y='100%']", "all => all.map((one) => [one.textContent, one.getAttribute('x')])"
    )
    found_at = sorted((float(value), float(place.rstrip("%"))) for value, place in ticks)
    places = [place for _, place in found_at]
    assert places == sorted(places, reverse=True)  # the best values are on the left
    found.page.focus("#models")
    found.page.keyboard.press("ArrowRight")
    assert "val AUC 0." in found.page.inner_text("#model")
    assert found.said == []
    context.close()
