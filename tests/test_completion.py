"""Completion in the shell: what is offered, from where, how silently, and by real shells."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from edfkit.archive import Archive
from edfkit.cli import edfkit
from edfkit.datasets import BUNDLED
from edfkit.exchange.tables import import_table

BIN = Path(sys.executable).parent
SHELLS = ("bash", "zsh", "fish")


@pytest.fixture(autouse=True)
def nothing_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("EDFKIT_ARCHIVE", "EDFKIT_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EDFKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "mine.h5"
    table = tmp_path / "mine.csv"
    table.write_text("kind,error\nwide,1\nwide,2\nsmall,3\n")
    import_table(table, path, error="error", space="kind")
    return path


def offered(line: str) -> list[str]:
    """Give what is offered for the last word of a line, an empty one after a blank; `file` stands for files."""
    *words, last = line.split(" ")
    completions = BashComplete(edfkit, {}, "edfkit", "_EDFKIT_COMPLETE").get_completions(words, last)
    return ["file" if one.type == "file" else one.value for one in completions]


with Archive(BUNDLED["digits"]) as _opened:
    NAMES = _opened.names


def bundled(beginning: str) -> list[str]:
    """Name the bundled populations that begin so."""
    return [name for name in NAMES if name.startswith(beginning)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("comp", ["compare", "completion", "complexity"]),
        ("compare --given fl", ["flops"]),
        ("compare ", bundled("")),
        ("compare resnet ", [name for name in bundled("") if name != "resnet"]),
        ("describe VAN", bundled("van")),
        ("point res", bundled("res")),
        ("point resnet van", bundled("van")),
        ("samples resnet van", []),
        ("audit digits van", bundled("van")),
        ("subset digits --space res", bundled("res")),
        ("generate --best-of digits van", ["file", *bundled("van")]),
        ("generate pn", ["file", "pnas", "pnas_in"]),
        ("spaces show ena", ["file", "enas", "enas_in"]),
        ("compare --archive di", ["file", "digits"]),
        ("verify n", ["file", "nds"]),
        ("merge di", ["file", "digits"]),
        ("datasets info ", ["nds", "digits"]),
        ("compare --diverged ", ["keep", "drop", "worst", "censor"]),
        ("completion ", list(SHELLS)),
    ],
)
def test_what_is_offered(line: str, expected: list[str]) -> None:
    assert sorted(offered(line)) == sorted(expected)


def test_the_options_of_a_study_are_offered() -> None:
    assert {"--bins", "--band", "--best-share"} <= set(offered("compare --b"))


def test_populations_are_those_of_the_archive_that_is_named(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(offered(f"compare --archive {archive} ")) == ["small", "wide"]
    assert sorted(offered(f"subset {archive} --space ")) == ["small", "wide"]
    monkeypatch.setenv("EDFKIT_ARCHIVE", str(archive))
    assert offered("compare w") == ["wide"]
    assert offered("compare --archive digits r") == bundled("r")


def test_what_cannot_be_read_offers_nothing_and_says_nothing(
    tmp_path: Path, archive: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(archive.read_bytes()[:1000])
    for where in (damaged, tmp_path / "absent.h5", tmp_path, "https://127.0.0.1:9/archive.h5"):
        assert offered(f"compare --archive {where} ") == []
    assert capfd.readouterr() == ("", "")


def loaded(words: str, at: int) -> set[str]:
    """Give the modules that completing loads, in a process of its own."""
    code = (
        "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from edfkit.cli import main; sys.argv = ['edfkit']; main()"
    )
    environment = os.environ | {"_EDFKIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout
    return set(done.stderr.split())


def test_little_is_loaded_to_complete() -> None:
    assert "numpy" not in loaded("edfkit comp", 1)
    heavy = {"torch", "xarray", "matplotlib", "scipy", "pandas", "dask", "requests"}
    modules = loaded("edfkit compare re", 2)
    assert "h5py" in modules  # so that what is looked for would be seen
    assert not modules & heavy
    assert not loaded("edfkit generate re", 2) & (heavy | {"h5py"})


def test_every_shell_has_a_script() -> None:
    scripts = {
        shell: subprocess.run([BIN / "edfkit", "completion", shell], capture_output=True, text=True, check=True).stdout
        for shell in SHELLS
    }
    for shell, script in scripts.items():
        assert f"_EDFKIT_COMPLETE={shell}_complete" in script
    assert len(set(scripts.values())) == len(SHELLS)


def found(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed here")
    return path


def said(command: list[str]) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_a_real_bash_completes() -> None:
    script = (
        'eval "$(edfkit completion bash)"; COMP_WORDS=(edfkit compare "$1"); COMP_CWORD=2; '
        '_edfkit_completion edfkit; echo "${COMPREPLY[@]}"'
    )
    assert said([found("bash"), "-c", script, "bash", ""]) == bundled("")
    assert said([found("bash"), "-c", script, "bash", "van"]) == bundled("van")


def test_a_real_fish_completes() -> None:
    script = "edfkit completion fish | source; complete -C 'edfkit compare {}'"
    assert said([found("fish"), "--no-config", "-c", script.format("")]) == bundled("")
    assert said([found("fish"), "--no-config", "-c", script.format("van")]) == bundled("van")


def test_a_real_zsh_completes() -> None:
    shell = found("zsh")
    process, terminal = pty.fork()
    if process == 0:
        os.execv(shell, [shell, "-f", "-i"])
    seen, deadline = "", time.monotonic() + 60

    def wait_for(text: str) -> None:
        nonlocal seen
        while text not in seen:
            assert time.monotonic() < deadline, f"no {text!r} in {seen!r}"
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 4096).decode(errors="replace")
        seen = ""

    try:
        os.write(terminal, b"autoload -U compinit; compinit -D -u; eval \"$(edfkit completion zsh)\"; echo rea''dy\n")
        wait_for("ready\r\n")
        os.write(terminal, b"edfkit compare van\t")
        wait_for("illa")
    finally:
        os.close(terminal)
        os.kill(process, 9)
        os.waitpid(process, 0)
