"""Text of pages that comes from the catalogue of studies: the tables of the JSON schemas, and the index."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from edfkit.documents import Schema
from edfkit.study.catalogue import STUDIES, schemas


def anchor(name: str) -> str:
    """Name the place of an object on the page; classes of Python have the same names."""
    return f"json-{name.lower()}"


def kind(schema: Schema) -> str:
    """Write what type of value a schema describes, with a link if it has a section of its own."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    return _single(schema.get("type", "any"), schema)


def unit(schema: Schema) -> str:
    """Write what the numbers of a value are in; nothing if it has none."""
    inner = [*schema.get("anyOf", []), schema.get("items"), schema.get("additionalProperties")]
    found = (unit(one) for one in inner if isinstance(one, dict))
    return str(schema["unit"]) if "unit" in schema else next(filter(None, found), "")


def _single(one: str, schema: Schema) -> str:
    if one == "array":
        return f"list of {kind(schema['items'])}"
    if one == "object" and schema.get("additionalProperties"):
        return f"object, each value {kind(schema['additionalProperties'])}"
    if one in ("number", "integer") and "minimum" in schema and "maximum" in schema:
        return f"{one}, {schema['minimum']} to {schema['maximum']}"
    return one


def rows(schema: Schema, shared: dict[str, Schema], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Give key, type, unit and meaning of every property, those of objects within it after it."""
    for name, value in schema.get("properties", {}).items():
        key = f"{prefix}{name}"
        target = shared.get(value.get("$ref", "").rpartition("/")[2], {})
        meaning = value.get("description") or target["description"]
        yield key, kind(value), unit(value), re.sub(r"(--[a-z-]+)", r"`\1`", meaning)
        for inner, mark in _within(value):
            yield from rows(inner, shared, f"{key}{mark}.")


def _within(schema: Schema) -> Iterator[tuple[Schema, str]]:
    for one in schema.get("anyOf", [schema]):
        if "properties" in one:
            yield one, ""
        elif "items" in one:
            yield from ((inner, f"[]{mark}") for inner, mark in _within(one["items"]))
        elif isinstance(one.get("additionalProperties"), dict):
            yield from ((inner, f".*{mark}") for inner, mark in _within(one["additionalProperties"]))


def table(schema: Schema, shared: dict[str, Schema]) -> str:
    """Write the properties as a table in Markdown."""
    lines = [f"| {' | '.join((f'`{key}`', *others))} |" for key, *others in rows(schema, shared)]
    return "\n".join(["| key | type | unit | meaning |", "|---|---|---|---|", *lines]) + "\n"


def page() -> str:
    """Write a section for each command, and one for each object that documents have within."""
    shared: dict[str, Schema] = {}
    parts = []
    for command, schema in sorted(schemas().items()):
        shared |= schema["$defs"]
        parts.append(f"## edfkit {command}\n\n{schema['description']} Schema: ")
        parts.append(f'<a href="schemas/{schema["$id"]}">{schema["$id"]}</a>.\n')
        for one in schema.get("oneOf", [schema]):
            parts.append((one["description"] + "\n") if one is not schema else "")
            parts.append("\n" + table(one, shared) + "\n")
    parts.append("## Objects in the documents\n\n`[]` stands for each item of a list, `*` for each key.\n")
    for name, schema in sorted(shared.items()):
        parts.append(f"\n({anchor(name)})=\n\n### {name}\n\n{schema['description']}\n\n{table(schema, shared)}")
    return "".join(parts)


def index() -> str:
    """List the pages of the studies, each once."""
    return "".join(f"{name}\n" for name in dict.fromkeys(study.doc for study in STUDIES))


# What is put in the place of a marker, by the page.
MARKERS = {"json": ("```{schemas}\n```\n", page), "index": ("{studies}\n", index)}


def expand(app: Sphinx, name: str, source: list[str]) -> None:
    """Put what is made where a page has its marker."""
    if name in MARKERS:
        marker, make = MARKERS[name]
        if marker not in source[0]:
            raise ExtensionError(f"the page {name} has no {marker!r}")
        source[0] = source[0].replace(marker, make())


def publish(app: Sphinx, failure: Exception | None) -> None:
    """Write the schemas into the site."""
    if failure is None:
        folder = Path(app.outdir) / "schemas"
        folder.mkdir(exist_ok=True)
        for schema in schemas().values():
            (folder / schema["$id"]).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Expand pages when they are read."""
    app.connect("source-read", expand)
    app.connect("build-finished", publish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
