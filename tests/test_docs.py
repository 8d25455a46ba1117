"""Every command and code block of README and docs runs and prints what the page says; every command stands there."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pages import DOCS, PAGES, ROOT, alike, blocks, run, session

from edfkit.cli import edfkit

RUN = {"sh", "console", "python"}
SHOWN = {"text", "toml", "yaml", "json"}  # these are looked at only
MARKUP = re.compile(r"\{[a-z-]+\}")  # directives of Sphinx
NOT_RUN = "not run by the tests"  # the words by which a page says so of its other commands, with the reason


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_and_the_code_of_a_page_run(page: Path, tmp_path: Path) -> None:
    for done in run(page.read_text(encoding="utf-8"), tmp_path):
        assert not done.failure, f"{done.code}\n{done.failure}"
        assert alike(done.said, done.prints), (
            f"{page.name} does not show what this prints: {done.code}\n{done.prints}\n"
            f"Renew the page if that is right: python -P tests/support/pages.py {page.relative_to(ROOT)}"
        )


def test_a_page_that_is_wrong_is_found(tmp_path: Path) -> None:
    page = (
        "```sh\nedfkit spaces count nowhere\n```\n\n```python\nassert False, 'wrong'\n```\n\n"
        "```console\n$ edfkit spaces count resnet\nresnet: 1 configuration\n$ echo 1; \\\n> echo 2\n1\n...\n```\n"
    )
    shell, script, stale, whole = run(page, tmp_path)
    assert "nowhere" in shell.failure
    assert "wrong" in script.failure
    assert not stale.failure
    assert not alike(stale.said, stale.prints)
    assert whole.prints == "1\n2\n"
    assert alike(whole.said, whole.prints)


def test_what_a_page_shows_is_found_block_by_block() -> None:
    text = "```console\n$ cat << 'END'\n> one\n> END\none\n$ true\n$ echo 2\n2\n```\n\n```text\nnot run\n```\n"
    assert [language for language, _ in blocks(text)] == ["console"]
    assert session(blocks(text)[0][1]) == [("cat << 'END'\none\nEND", "one\n"), ("true", ""), ("echo 2", "2\n")]


def test_the_docs_have_code_to_run() -> None:
    found = [language for page in DOCS for language, _ in blocks(page.read_text(encoding="utf-8"))]
    assert found.count("sh") >= 10
    assert found.count("console") >= 20
    assert found.count("python") >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_says_which_of_its_commands_are_not_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^```(\S+)[^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(fences) * 2 == len(re.findall(r"^```", text, re.MULTILINE)), "a block has no language, or no end"
    for language, code in fences:
        assert language in RUN | SHOWN or MARKUP.fullmatch(language), f"{language} is neither run nor known"
        if language in SHOWN and re.search(r"^edfkit ", code, re.MULTILINE):
            assert NOT_RUN in " ".join(text.split()), f"the page does not say why these are not run: {code}"


def commands(group: click.Group = edfkit, prefix: str = "edfkit") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{prefix} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")


def undocumented(text: str) -> list[str]:
    """Name the commands that a text does not name."""
    words = " ".join(text.split())  # a name may be broken over two lines
    return [name for name, _ in commands() if not re.search(rf"{re.escape(name)}\b", words)]


def test_every_command_has_help_and_stands_in_the_docs() -> None:
    assert undocumented("\n".join(page.read_text(encoding="utf-8") for page in DOCS)) == []
    for name, command in commands():
        assert command.help
        for option in command.params:
            assert option.param_type_name == "argument" or getattr(option, "help", None), f"{name} {option.name}"


def test_a_command_that_is_not_in_the_docs_is_found() -> None:
    names = dict(commands())
    assert {"edfkit compare", "edfkit spaces show"} <= set(names)
    assert undocumented("`edfkit compare` and\n`edfkit spaces\nshow`") == [
        name for name in names if name not in {"edfkit compare", "edfkit spaces", "edfkit spaces show"}
    ]


def test_every_option_in_the_docs_exists() -> None:
    known = {flag for _, command in commands() for option in command.params for flag in option.opts}
    known |= {flag for _, command in commands() for option in command.params for flag in option.secondary_opts}
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            for flag in re.findall(r"(?<![\w=-])(--[a-z][a-z-]+)", line if "edfkit " in line else ""):
                assert flag in known | {"--help"}, f"{page.name}: {flag}"
