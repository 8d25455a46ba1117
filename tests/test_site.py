"""The site that Sphinx makes of the guide: built without a warning, complete, and in need of no network."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
from pages import DOCS, NOTEBOOKS, ROOT
from public import modules, objects
from test_docs import commands


def build(source: Path, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).parent / "sphinx-build")
    command = [program, "-W", "-q", "-d", str(target / ".doctrees"), *options]
    return subprocess.run([*command, str(source), str(target / "site")], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    done = build(ROOT / "docs", folder)
    assert done.returncode == 0, done.stderr
    return folder / "site"


class Links(HTMLParser):
    """What a page refers to: files that a browser loads with it, links to follow, and places within it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.ids |= {given["id"]} if "id" in given else set()
        if tag == "a":
            self.links += [given["href"]] if "href" in given else []
        else:
            self.loaded += [given[key] for key in ("src", "href", "data", "poster") if key in given]


def foreign(text: str) -> list[str]:
    """Name what a page or a style sheet loads from elsewhere."""
    imported = re.findall(r"(?:@import\s+|url\()[\"']?([^\"')\s]+)", text)
    return [one for one in [*Links(text).loaded, *imported] if re.match(r"(\w+:)?//", one)]


def pages(site: Path) -> dict[Path, Links]:
    return {path: Links(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def broken(found: dict[Path, Links]) -> list[str]:
    """Name the references within a site that lead nowhere."""
    faults = []
    for path, links in found.items():
        for link in [*links.loaded, *links.links]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.is_file() or (place and target in found and place not in found[target].ids):
                faults.append(f"{path.name}: {link}")
    return faults


def test_every_page_is_there_and_can_be_searched(site: Path) -> None:
    names = [path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in [*DOCS, *NOTEBOOKS]]
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert len(names) > 25
    for name in names:
        assert (site / f"{name}.html").is_file()
        assert f'"{name}"' in index
    assert '"kolmogorov"' in index or "kolmogorov:" in index


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for path in [*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]:
        assert foreign(path.read_text(encoding="utf-8")) == [], path


def test_what_is_loaded_from_elsewhere_is_found() -> None:
    assert foreign('<script src="https://cdn.example/a.js"></script><a href="https://example.org">x</a>') == [
        "https://cdn.example/a.js"
    ]
    assert foreign("@import '//fonts.example/f.css'; a { background: url(https://x.example/b.png) }") == [
        "//fonts.example/f.css",
        "https://x.example/b.png",
    ]


def test_links_lead_somewhere(site: Path) -> None:
    found = pages(site)
    assert broken(found) == []
    page = site / "index.html"
    text = '<a href="method.html#the-edf">a</a><a href="absent.html">b</a><a href="json.html#absent">c</a>'
    assert broken(found | {page: Links(text)}) == ["index.html: absent.html", "index.html: json.html#absent"]


def test_every_function_and_class_is_in_the_api_reference(site: Path) -> None:
    ids = set.union(*(links.ids for path, links in pages(site).items() if path.parent.name == "api"))
    known = objects()
    assert {"edfkit.stats.edf.edf", "edfkit.archive.reader.Archive.read"} <= set(known)
    assert sorted(set(known) - ids) == []
    headings = {re.sub(r"[._]", "-", name) for name in modules() if name != "edfkit.cli"}
    assert sorted(headings - ids) == []


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    ids = pages(site)[site / "commands.html"].ids
    for name, command in commands():
        slug = name.replace(" ", "-")
        assert slug in ids
        for option in command.params:
            if isinstance(option, click.Option):
                flag = max(option.opts, key=len).lstrip("-")
                assert any(one.startswith(f"cmdoption-{slug}") and one.endswith(f"-{flag}") for one in ids), (
                    f"{name} {flag}"
                )


def test_no_folder_of_this_machine_is_in_it(site: Path) -> None:
    for path in site.rglob("*"):
        if path.is_file() and path.suffix in (".html", ".js", ".json", ".txt", ".svg"):
            assert str(ROOT) not in path.read_text(encoding="utf-8"), path


def test_the_search_works_from_disk(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no browser here: install Debian's chromium")
    asked: list[str] = []
    failed: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(f"{(site / 'search.html').as_uri()}?q=confounder")
        page.wait_for_selector("#search-results li a")
        found = page.locator("#search-results").inner_text()
        page.goto((site / "method.html").as_uri())
        formulas = page.locator("math").count()
        browser.close()
    assert "The method" in found
    assert formulas > 20
    assert failed == []
    assert all(url.startswith(("file:", "data:")) for url in asked), asked


def test_a_page_that_refers_to_nothing_is_no_site(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "index.md").write_text("# Title\n\n[there is no such page](absent.md)\n")
    done = build(source, tmp_path, "-C", "-D", "extensions=myst_parser")
    assert done.returncode != 0
    assert "absent.md" in done.stderr
