"""A report in a real browser: Debian's Chromium, from disk, without a network."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from reported import archive, cells, stages

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.nets import genotypes
from edfkit.archive.source import open_source
from edfkit.show.report.page import write_report
from edfkit.stats.edf import edf
from edfkit.stats.two_sample import ks
from edfkit.study.selection import Selection, select

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
    # Gaps in the complexities, one model on the upper end of a range, and params beyond 2**32.
    sparse: dict[str, Any] = {"params": np.array([10, 20, 21, 30, 40, 90, 100, 2**40]) * 1000}
    file = archive(
        folder / "made.h5",
        {
            "one": stages(400, 1),
            "two": stages(300, 2, 1.0),
            "nas": cells(90, 3),
            "sparse": stages(8, 4, **sparse),
        },
    )
    with open_source(file) as source:
        for names in (["one", "two"], ["one", "nas"], ["one", "two", "nas"], ["two", "sparse"]):
            write_report(source, names, folder / f"{'-'.join(names)}.html")
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

    def choose(self, lo: float, hi: float, bins: float, given: str | None = None) -> None:
        if given is not None:
            self.page.select_option("#given", given)
        for field, value in (("from", lo), ("to", hi), ("bins", bins)):
            self.page.fill(f"#{field}", np.format_float_positional(value, trim="-"))


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
        values, heights = edf(member.errors, member.weights)
        assert np.array_equal(curve["values"], values)
        np.testing.assert_allclose(curve["heights"], heights, rtol=0, atol=1e-12)
        summary = member.summary
        assert curve["models"] == summary.models
        assert curve["min"] == summary.min
        assert curve["median"] == summary.median
        np.testing.assert_allclose([curve["mean"], curve["nEff"]], [summary.mean, summary.n_eff], rtol=1e-12)


def test_a_page_shows_at_first_what_the_report_is_about(opened: Opened, made: Path) -> None:
    with open_source(made) as source:
        selection = select(source, ["one", "two"], given="params")
    agree(opened.curves(), selection)
    one, two = selection.populations
    d = ks(one.errors, two.errors, one.weights, two.weights).statistic
    assert f"D = {d:.3f}." in opened.page.inner_text("#found")
    assert opened.page.inner_text("#command").startswith("edfkit compare one two --archive made.h5 --given params")


def ranges(source: Archive, names: list[str], given: str) -> list[tuple[float, float, int]]:
    """Choose ranges: at random, and with ends on models, where it matters which end belongs to a bin."""
    rng = np.random.default_rng(5)
    counts = np.sort(np.concatenate([source.read(name, given) for name in names]).astype(float))
    found = []
    for bins in (1, 2, 3, 5, 7, 10, 20, 40):
        lo, hi = np.sort(rng.choice(counts, 2, replace=False)).tolist()
        found += [(lo, hi, bins), (lo - 0.5, hi + 0.25, bins)]
    return found


NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e\+\d+)?")


def same(said: str, expected: str) -> None:
    """Hold a sentence against another one; numbers half-way between two of ten digits may be rounded up or to even."""
    assert NUMBER.sub("", said) == NUMBER.sub("", expected)
    assert list(map(float, NUMBER.findall(said))) == pytest.approx(list(map(float, NUMBER.findall(expected))), rel=1e-9)


@pytest.mark.parametrize("opened", [{"name": "one-two-nas"}, {"name": "two-sparse"}], indirect=True, ids=str)
def test_any_range_gives_the_edfs_of_the_library_or_its_advice(opened: Opened, made: Path) -> None:
    names = ["one", "two", "nas"] if "nas" in opened.address else ["two", "sparse"]
    computed = advised = 0
    with open_source(made) as source:
        assert isinstance(source, Archive)
        for given in ("params", "flops", "acts"):
            for lo, hi, bins in ranges(source, names, given):
                opened.choose(lo, hi, bins, given)
                try:
                    selection = select(source, names, given=given, bins=bins, range=(lo, hi))
                except EdfkitError as error:
                    selection, advice = None, str(error)
                    advised += 1
                else:
                    advice = ""
                    computed += 1
                same(opened.message(), advice)
                if selection is None:
                    assert opened.curves() == []
                    assert opened.page.inner_text("#found") == opened.message()
                else:
                    agree(opened.curves(), selection)
    assert computed >= 3
    assert advised >= 10


def test_the_advice_works_when_it_is_followed(opened: Opened) -> None:
    opened.choose(8000, 850_000, 400)
    found = re.search(r"use (\d+) bins", opened.message())
    assert found
    opened.page.fill("#bins", found[1])
    assert opened.message() == ""
    assert len(opened.curves()) == 2


@pytest.mark.parametrize(
    ("lo", "hi", "bins", "sentence"),
    [
        (5e5, 1e5, 3, "must start below its end"),
        (1e5, 1e5, 1, "must start below its end"),
        (1e5, 5e5, 0, "must be a whole number from 1"),
        (1e5, 5e5, 2.5, "must be a whole number from 1"),
        (1e5, 5e5, 5000, "must be a whole number from 1"),
        (1e12, 2e12, 1, "one has no model in"),
    ],
)
def test_what_cannot_be_is_said_and_draws_nothing(
    opened: Opened, lo: float, hi: float, bins: float, sentence: str
) -> None:
    opened.choose(lo, hi, bins)
    assert sentence in opened.page.inner_text("#found")
    assert opened.page.locator("#again path").count() == 0
    assert opened.page.locator("#chosen tbody tr").count() == 0
    opened.page.fill("#from", "")
    assert "no number" in opened.page.inner_text("#found")


def expected(made: Path, opened: Opened) -> Selection:
    lo, hi, bins = (float(opened.page.input_value(f"#{field}")) for field in ("from", "to", "bins"))
    with open_source(made) as source:
        return select(source, ["one", "two"], given="params", bins=int(bins), range=(lo, hi))


def middle(opened: Opened, share: float, height: float = 0.5) -> tuple[float, float]:
    box = opened.page.locator("#models").bounding_box()
    assert box
    return box["x"] + share * box["width"], box["y"] + height * box["height"]


def test_drawing_a_range_and_moving_its_ends_computes_anew(opened: Opened, made: Path) -> None:
    page, mouse = opened.page, opened.page.mouse
    page.fill("#bins", "3")
    page.locator("#models").scroll_into_view_if_needed()
    before = opened.curves()
    mouse.move(*middle(opened, 0.2, 0.1))
    mouse.down()
    mouse.move(*middle(opened, 0.6, 0.1), steps=4)
    mouse.up()
    drawn = opened.curves()
    assert drawn != before
    agree(drawn, expected(made, opened))
    lo = page.input_value("#from")

    mouse.move(*middle(opened, 0.6, 0.2))
    mouse.down()
    mouse.move(*middle(opened, 0.8, 0.2), steps=4)
    mouse.up()
    assert page.input_value("#from") == lo
    moved = opened.curves()
    assert moved != drawn
    agree(moved, expected(made, opened))

    page.click("text=Reset")
    assert page.input_value("#bins") == "10"
    agree(opened.curves(), expected(made, opened))


@pytest.mark.parametrize("opened", [{"has_touch": True, "viewport": {"width": 360, "height": 800}}], indirect=True)
def test_a_range_can_be_drawn_by_touch(opened: Opened, made: Path) -> None:
    opened.page.fill("#bins", "2")
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
    agree(opened.curves(), expected(made, opened))


def test_the_ends_of_a_range_move_by_keys(opened: Opened, made: Path) -> None:
    opened.page.fill("#bins", "2")
    opened.page.focus("#hi")
    for key, field in (("End", "to"), ("PageDown", "to"), ("ArrowLeft", "to")):
        before = opened.page.input_value(f"#{field}")
        opened.page.keyboard.press(key)
        assert key == "End" or float(opened.page.input_value(f"#{field}")) < float(before)
        agree(opened.curves(), expected(made, opened))
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
    file = archive(tmp_path / "big.h5", {"a": stages(25_000, 1), "b": stages(25_000, 2, 0.5)})
    with open_source(file) as source:
        write_report(source, ["a", "b"], tmp_path / "big.html")
        selection = select(source, ["a", "b"], given="params", bins=40, range=(20_000.0, 600_000.0))
    context = browser.new_context()
    found = Opened(context, tmp_path / "big.html")
    found.choose(20_000, 600_000, 40)
    agree(found.curves(), selection)
    assert found.said == []
    context.close()
