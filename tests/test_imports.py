"""What commands load: torch takes seconds, and the others several times as long as all of edfkit."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from edfkit.generator import spaces
from edfkit.generator.runs.plan import Request, open_run
from edfkit.generator.training import data
from edfkit.generator.training.recipe import Recipe

HEAVY = ["torch", "torchvision", "xarray", "pandas", "matplotlib", "scipy", "dask", "distributed", "sklearn"]
HEAVY += ["requests", "pooch"]
# These take some milliseconds each.
ALSO = ["rich.console", "numpy.ma", "numpy.polynomial", "importlib.metadata"]
COMPARE = ["compare", "resnet", "vanilla"]

# Runs commands in one process, in which nothing is unloaded, and tells after each what heavy modules are there.
PROBE = """
import contextlib, io, json, sys
exec(sys.argv[1])
from edfkit.cli import main
heavy, commands = json.loads(sys.argv[2]), json.loads(sys.argv[3])
loaded = {}
for command in commands:
    sys.argv = ["edfkit", *command]
    status = 0
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
    assert status == 0, (command, status)
    assert out.getvalue(), command
    loaded[" ".join(command)] = [name for name in heavy if name in sys.modules]
print(json.dumps(loaded))
"""


def loaded_after(
    *commands: list[str], before: str = "", package: Path | None = None, heavy: list[str] = HEAVY
) -> dict[str, list[str]]:
    """Say what heavy modules are loaded after each command; `package` is the folder of another copy of edfkit."""
    environment = {key: value for key, value in os.environ.items() if key != "EDFKIT_ARCHIVE"}
    options = ["-P"]
    if package:
        # Without the start-up files of site-packages, which may lead `edfkit` to a checkout.
        options.append("-S")
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(package), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        )
    done = subprocess.run(
        [sys.executable, *options, "-c", PROBE, before, json.dumps(heavy), json.dumps(commands)],
        stdout=subprocess.PIPE,
        check=True,
        env=environment,
    )
    return dict(json.loads(done.stdout))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Begin a run, of which nothing is trained."""
    folder = tmp_path / "run"
    open_run(folder, Request(spaces.find("resnet"), "digits", 2, 0, {}, "and", Recipe(**data.find("digits").recipe)))
    return folder


STUDIES = [
    ["compare", "resnet", "vanilla", "--given", "none", "--permutations", "5", "--sensitivity"],
    ["describe", "--diverged", "drop"],
    ["point", "resnet", "vanilla", "--small", "5", "--large", "50", "--bootstrap", "5"],
    ["search", "resnet", "vanilla", "--cost", "seconds"],
    ["search", "resnet", "--given", "none", "--without-replacement", "-m", "1,10"],
    ["samples", "resnet", "--simulate", "2"],
    ["plan", "resnet", "vanilla", "--trials", "5"],
    ["plan", "resnet", "--shift", "5", "--trials", "5"],
    ["complexity", "resnet", "vanilla"],
]
LIGHT = [["describe"], ["plan", "--eps", "0.1"], ["noise", "resnet"], ["complexity", "resnet"], ["samples", "resnet"]]


def test_help_and_tables_load_nothing_heavy() -> None:
    names = ["compare", "describe", "point", "search", "samples", "plan", "complexity", "noise", "verify", "generate"]
    names += ["status", "pack", "merge", "subset", "spaces", "datasets", "import", "export"]
    helps = [[*command, "--help"] for command in ([], *([name] for name in names))]
    helps += [["spaces", command, "--help"] for command in ("list", "count", "show", "sample")]
    helps += [["import", command, "--help"] for command in ("nds", "table", "pycls", "optuna")]
    helps += [["datasets", "list"], ["datasets", "info", "digits"], ["datasets", "path", "digits"]]
    looks = [["list"], ["count", "darts"], ["show", "resnet-56"], ["sample", "darts", "--models", "2"]]
    helps += [["spaces", *command] for command in looks]
    commands = [*helps, COMPARE, [*COMPARE, "--json"], ["verify", "digits", "--complexity"], *LIGHT, *STUDIES]
    assert loaded_after(*commands) == {" ".join(command): [] for command in commands}


def test_what_prints_plain_text_loads_little() -> None:
    commands = [
        ["--help"],
        ["compare", "--help"],
        COMPARE,
        [*COMPARE, "--json"],
        *LIGHT,
        *STUDIES,
        ["datasets", "list"],
    ]
    assert loaded_after(*commands, heavy=ALSO) == {" ".join(command): [] for command in commands}


def test_no_light_command_loads_torch(run: Path, tmp_path: Path) -> None:
    plot = [*COMPARE, "--plot", str(tmp_path / "edfs.png")]
    status = ["status", str(run)]
    studies = [[*command, "--json"] for command in (*STUDIES, *LIGHT)]
    loaded = loaded_after(COMPARE, ["describe", "--json"], status, [*status, "--json"], *studies, plot)
    assert all("torch" not in modules for modules in loaded.values()), loaded
    assert "matplotlib" in loaded[" ".join(plot)]  # so the probe sees what a command loads


def test_no_module_of_the_library_loads_torch() -> None:
    library = Path(__file__).parents[1] / "edfkit"
    modules = [
        ".".join(("edfkit", *path.relative_to(library).with_suffix("").parts)) for path in library.rglob("[!_]*.py")
    ]
    assert {"edfkit.stats.edf", "edfkit.show.text", "edfkit.study.compare", "edfkit.study.noise"} <= set(modules)
    before = f"import edfkit, edfkit.datasets, {', '.join(modules)}"
    assert loaded_after(["--version"], before=before) == {"--version": []}


def copied(folder: Path) -> Path:
    """Copy the checkout as the package that it installs as."""
    checkout = Path(__file__).parents[1]
    shutil.copytree(checkout / "edfkit", folder / "edfkit")
    for part in ("generator", "datasets"):
        shutil.copytree(checkout / part, folder / "edfkit" / part)
    shutil.copy(checkout / "cli.py", folder / "edfkit" / "cli.py")
    return folder


def test_the_probe_sees_a_package_that_loads_a_heavy_module(tmp_path: Path) -> None:
    package = copied(tmp_path)
    assert loaded_after(["--version"], package=package) == {"--version": []}
    with open(package / "edfkit" / "__init__.py", "a", encoding="utf-8") as file:
        file.write("\nimport xarray\n")
    assert "xarray" in loaded_after(["--version"], package=package)["--version"]


def test_the_probe_sees_what_is_loaded_before() -> None:
    assert loaded_after(["--version"], before="import xarray")["--version"] == ["xarray", "pandas"]
