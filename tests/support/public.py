"""What of edfkit is public: modules, and the functions, classes and methods that they define."""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# What the generator has for itself: its networks, the pieces of its training loop, and how runs lie on disk.
INTERNAL = {
    *(
        f"edfkit.generator.training.{name}"
        for name in ("arrays", "capture", "cells", "folder", "layers", "pipeline", "stages")
    ),
    "edfkit.generator.runs.work",
    "edfkit.documents",  # a page of its own is made of it
}


def modules() -> list[str]:
    """Name the modules, internal ones left out."""
    found = []
    for folder, package in (("edfkit", "edfkit"), ("generator", "edfkit.generator"), ("datasets", "edfkit.datasets")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found.append(".".join((package, *(part for part in parts if part != "__init__"))))
    return [name for name in found if name not in INTERNAL and "._" not in name]


def members(holder: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Give the public functions and classes that a module or a class defines, with their full names."""
    for key, value in vars(holder).items():
        if key.startswith("_") or key in getattr(holder, "__dataclass_fields__", ()):
            continue
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if inspect.isclass(value) or inspect.isfunction(value):
            if inspect.ismodule(holder) and value.__module__ != name:
                continue
            yield f"{name}.{key}", value
            if inspect.isclass(value):
                yield from members(value, f"{name}.{key}")


def objects() -> dict[str, Any]:
    """Give all public functions, classes and methods by their full names."""
    return {key: value for name in modules() for key, value in members(importlib.import_module(name), name)}
