"""Every command and code block of README and docs runs, and every command stands in the guide."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edfkit.cli import edfkit

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "datasets").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_and_the_code_of_a_page_run(page: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = [["bash", "-euc", block] for block in blocks(page, "sh") if not block.startswith("pip install ")]
    scripts = [[sys.executable, "-W", "error", "-c", block] for block in blocks(page, "python")]
    for command in [*commands, *scripts]:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[-1]}\n{done.stderr}"


def test_the_guide_has_code_to_run() -> None:
    guide = ROOT / "docs" / "guide.md"
    assert len(blocks(guide, "sh")) >= 4
    assert len(blocks(guide, "python")) >= 2


def commands(group: click.Group = edfkit, prefix: str = "edfkit") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{prefix} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")


def test_every_command_has_help_and_stands_in_the_guide() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    names = dict(commands())
    assert {"edfkit compare", "edfkit spaces show"} <= set(names)
    for name, command in names.items():
        assert command.help
        assert name in guide
        for option in command.params:
            assert option.param_type_name == "argument" or getattr(option, "help", None), f"{name} {option.name}"


def test_every_option_in_the_docs_exists() -> None:
    known = {flag for _, command in commands() for option in command.params for flag in option.opts}
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            for flag in re.findall(r"(?<![\w=-])(--[a-z][a-z-]+)", line if "edfkit " in line else ""):
                assert flag in known | {"--help"}, f"{page.name}: {flag}"
