"""The blocks of code in the pages of the documentation, and what they print.

A page's blocks run in the order in which they stand, in one folder:

* `sh` runs and must end well; its output is not shown.
* `console` has commands after `$ `, which go on after `> `, and what each prints, which must be what the page says;
  `...` stands for anything.
* `python` runs with warnings as errors.

Blocks in other languages are not run. `python -P tests/support/pages.py` writes what the commands print now into the
pages, and runs the notebooks anew, or does so with those that are named.
"""

import base64
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from edfkit.cli import main
from edfkit.datasets import BUNDLED

ROOT = Path(__file__).parents[2]
DOCS = sorted(path for path in (ROOT / "docs").rglob("*.md") if "pictures" not in path.parts)  # those are made
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", *DOCS, *sorted((ROOT / "datasets").glob("*.md"))]

_BLOCK = re.compile(r"^```(sh|console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ALONE = re.compile(r"edfkit [^|&;<>$`\\*?~#!]*")  # a command that needs no shell
_COMMAND = re.compile(r"^\$ (.*(?:\n> .*)*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@dataclass(frozen=True)
class Done:
    """A block that has run: what it prints as the page has it and in truth, and how it ended."""

    code: str
    said: str
    prints: str
    failure: str


def blocks(text: str) -> list[tuple[str, str]]:
    """Give the language and the code of each block that runs."""
    return [(found[1], found[2]) for found in _BLOCK.finditer(text)]


def session(code: str) -> list[tuple[str, str]]:
    """Give the commands of a `console` block, each with what it prints."""
    return [(found[1].replace("\n> ", "\n"), found[2]) for found in _COMMAND.finditer(code)]


def alike(said: str, prints: str) -> bool:
    """Tell whether a page says what a command prints; `...` stands for anything."""
    return doctest.OutputChecker().check_output(said, prints, doctest.ELLIPSIS)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDFKIT_")}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "EDFKIT_DATA": str(folder / ".data"),  # where nothing has been downloaded
        "NO_COLOR": "1",
    }


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = _environment(folder)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _run_here(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of edfkit in this process, as starting another takes longer than most commands do."""
    said, wrong, status = io.StringIO(), io.StringIO(), 0
    with (
        chdir(folder),
        patch.dict(os.environ, _environment(folder), clear=True),
        patch.object(sys, "argv", words),
        redirect_stdout(said),
        redirect_stderr(wrong),
    ):
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(words, status, said.getvalue(), wrong.getvalue())


def _run_shell(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run shell lines until one fails; without a shell if none of them needs one."""
    lines = code.strip().split("\n")
    if not all(map(_ALONE.fullmatch, lines)):
        return _run(["bash", "-euc", code], folder)
    said, done = "", subprocess.CompletedProcess(lines, 0, "", "")
    for line in lines:
        done = _run_here(shlex.split(line), folder)
        said += done.stdout
        if done.returncode:
            break
    return subprocess.CompletedProcess(lines, done.returncode, said, done.stderr)


def _printed(done: subprocess.CompletedProcess[str]) -> str:
    """Give standard output, and the sentence of an error, as a page shows them: without folders and trailing blanks."""
    error = done.stderr if done.returncode else ""
    text = (done.stdout + error).replace(f"{BUNDLED['digits'].parent}{os.sep}", "")
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def run(text: str, folder: Path) -> Iterator[Done]:
    """Run the blocks of a page one after the other in a folder."""
    for language, code in blocks(text):
        if language == "console":
            for line, said in session(code):
                yield Done(line, said, _printed(_run_shell(line, folder)), "")
        elif not code.startswith("pip install "):
            python = [sys.executable, "-P", "-W", "error", "-c", code]
            done = _run_shell(code, folder) if language == "sh" else _run(python, folder)
            yield Done(code, "", "", done.stderr + done.stdout if done.returncode else "")


def refresh(page: Path) -> None:
    """Write what the commands of a page print now into it."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for done in run(text, Path(folder)):
            if done.failure:
                print(f"{page.name}: {done.code}\n{done.failure}")
            elif done.said != done.prints and not alike(done.said, done.prints):
                print(f"{page.name}: {done.code}")
                shown = "$ " + done.code.replace("\n", "\n> ") + "\n"
                text = text.replace(shown + done.said, shown + done.prints, 1)
    page.write_text(text, encoding="utf-8")


def execute(notebook: Any, folder: Path) -> Any:
    """Run all cells of a notebook anew, in a folder."""
    from nbclient import NotebookClient

    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def refresh_notebook(path: Path) -> None:
    """Run a notebook and save it with what it gives now, its pictures in few colours: they are in the repository."""
    import nbformat
    from PIL import Image

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        execute(notebook, Path(folder))
    for cell in notebook.cells:
        cell.metadata = {}  # when it ran
        for data in [output["data"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]:
            small = io.BytesIO()
            picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
            picture.quantize(64, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
            data["image/png"] = base64.b64encode(small.getvalue()).decode()
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for chosen in [Path(name) for name in sys.argv[1:]] or [*PAGES, *NOTEBOOKS]:
        (refresh_notebook if chosen.suffix == ".ipynb" else refresh)(chosen)
