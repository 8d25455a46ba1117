"""The wings of the house, and who may use whom; docs/design.md draws it in words."""

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edfkit
from edfkit.study.catalogue import STUDIES

ROOT = Path(__file__).parents[1]

# What each wing may use of the others. The base is what lies in edfkit/ itself: plain data, documents, lazy names.
MAY_USE = {
    "base": set[str](),
    "archive": {"base"},
    "stats": {"base"},
    "exchange": {"base", "archive"},
    "study": {"base", "archive", "stats"},
    "show": {"base", "archive", "stats", "study"},
    "datasets": {"base", "archive", "exchange"},
    "generator.spaces": {"base", "archive"},
    "generator.training": {"base", "archive", "generator.spaces"},
    "generator.runs": {"base", "archive", "generator.spaces", "generator.training"},
    "cli": {"base", "archive", "exchange", "study", "show", "datasets", "generator.spaces", "generator.training",
            "generator.runs"},
}  # fmt: skip
NUMPY_ALONE = {"numpy", *sys.stdlib_module_names}  # what design spaces are made of
# They name functions of other wings, which are loaded when they are called: what a study is shown by, and the contents.
NAMING = {"edfkit", "edfkit.study.catalogue"}


def modules(root: Path) -> dict[str, Path]:
    """Give the modules of a checkout, by the names under which they install."""
    found = {"edfkit.cli": root / "cli.py"} if (root / "cli.py").exists() else {}
    for folder, package in (("edfkit", "edfkit"), ("generator", "edfkit.generator"), ("datasets", "edfkit.datasets")):
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


def imports(tree: ast.AST, known: dict[str, Path], *, by_name: bool = False) -> Iterator[str]:
    """Name the modules that a piece of code imports, wherever in it; also those of functions that it looks up."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            named = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (one if one in known else node.module for one in named)
        elif by_name and isinstance(node, ast.Constant) and re.fullmatch(r"edfkit[\w.]*:\w+", str(node.value)):
            yield str(node.value).partition(":")[0]


def wing(module: str) -> str:
    """Name the wing of a module."""
    parts = module.split(".")[1:]
    if parts[:1] == ["generator"]:
        return ".".join(parts[:2]) if len(parts) > 1 else "base"
    return parts[0] if parts and parts[0] in MAY_USE else "base"


def faults(root: Path) -> list[str]:
    """Name the imports that lead where they may not."""
    known = modules(root)
    found = []
    for module, path in known.items():
        if module in NAMING:
            continue
        used = set(imports(ast.parse(path.read_text(encoding="utf-8")), known, by_name=True))
        for other in sorted(used):
            ours = other == "edfkit" or other.startswith("edfkit.")
            if ours and wing(other) not in {wing(module), *MAY_USE[wing(module)]}:
                found.append(f"{module} uses {other}")
            if not ours and wing(module) == "generator.spaces" and other.split(".")[0] not in NUMPY_ALONE:
                found.append(f"{module} uses {other}")
    return found


def at_import(path: Path) -> ast.Module:
    """Give what of a module runs when it is imported: without functions, and what is for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    tree.body = [node for node in checked if not isinstance(node, ast.FunctionDef)]
    return tree


def circle(root: Path) -> list[str]:
    """Give a circle of modules that import each other when they are imported; nothing if there is none."""
    known = modules(root)
    graph = {
        module: set(imports(at_import(path), known)) & set(known) - {module, "edfkit"} for module, path in known.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_wings_use_only_what_they_may() -> None:
    assert {wing(module) for module in modules(ROOT)} == set(MAY_USE)
    assert faults(ROOT) == []


def test_no_module_imports_itself_by_others() -> None:
    assert circle(ROOT) == []


@pytest.mark.parametrize(
    ("where", "code", "fault"),
    [
        ("edfkit/stats/edf.py", "from edfkit.archive import Archive", "edfkit.stats.edf uses edfkit.archive"),
        ("edfkit/archive/schema.py", "import edfkit.stats.edf", "edfkit.archive.schema uses edfkit.stats.edf"),
        (
            "edfkit/study/compare.py",
            "def f():\n    from edfkit.show import text",
            "edfkit.study.compare uses edfkit.show.text",
        ),
        ("edfkit/study/point.py", "found('edfkit.show.text:point')", "edfkit.study.point uses edfkit.show.text"),
        ("edfkit/study/point.py", "from edfkit import exchange", "edfkit.study.point uses edfkit.exchange"),
        ("generator/spaces/kinds.py", "import torch", "edfkit.generator.spaces.kinds uses torch"),
        ("edfkit/result.py", "from edfkit.stats.edf import edf", "edfkit.result uses edfkit.stats.edf"),
    ],
)
def test_an_arrow_in_the_wrong_direction_is_found(tmp_path: Path, where: str, code: str, fault: str) -> None:
    for module in ("edfkit/show/text", "edfkit/stats/edf", "edfkit/exchange/__init__", "edfkit/archive/__init__"):
        path = tmp_path / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    assert faults(tmp_path) == [fault]


def test_a_circle_is_found(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / "edfkit").mkdir(exist_ok=True)
        (tmp_path / "edfkit" / f"{one}.py").write_text(f"from edfkit.{other} import x")
    assert set(circle(tmp_path)) == {"edfkit.a", "edfkit.b", "edfkit.c"}
    (tmp_path / "edfkit" / "c.py").write_text("def f():\n    from edfkit.a import x")
    assert circle(tmp_path) == []


def test_the_table_of_contents_has_what_it_says() -> None:
    names = [name for name in edfkit.__all__ if name != "EdfkitError"]
    assert set(names) <= {"open", *(study.name for study in STUDIES)}
    assert all(callable(getattr(edfkit, name)) for name in names)
    assert set(edfkit.__all__) <= set(dir(edfkit))
    assert all(re.search(rf"\b{name}\b", edfkit.__doc__ or "") for name in names)
    with pytest.raises(AttributeError, match="module 'edfkit' has no attribute 'comparison'"):
        _ = edfkit.comparison
