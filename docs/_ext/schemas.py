"""The page of the JSON schemas, made of the schemas themselves, which come with the site too."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PAGE, MARKER = "json", "```{schemas}\n```\n"
Schema = dict[str, Any]


def kind(schema: Schema) -> str:
    """Write what type of value a schema describes, with a link if it has a section of its own."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " or ".join(_single(one, schema) for one in types)


def _single(one: str, schema: Schema) -> str:
    if one == "array":
        return f"list of {kind(schema['items'])}"
    if one == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object, each value {kind(schema['additionalProperties'])}"
    if one in ("number", "integer") and "minimum" in schema and "maximum" in schema:
        return f"{one}, {schema['minimum']} to {schema['maximum']}"
    return one


def rows(schema: Schema, shared: dict[str, Schema], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Give key, type and meaning of every property, those of objects within it after it."""
    for name, value in schema.get("properties", {}).items():
        key = f"{prefix}{name}"
        target = shared.get(value.get("$ref", "").rpartition("/")[2], {})
        yield key, kind(value), value.get("description") or target["description"]
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
    lines = [f"| `{key}` | {what} | {meaning} |" for key, what, meaning in rows(schema, shared)]
    return "\n".join(["| key | type | what |", "|---|---|---|", *lines]) + "\n"


def page(folder: Path) -> str:
    """Write a section for each command, and one for each object that several of them have."""
    shared: dict[str, Schema] = {}
    parts = []
    for path in sorted(folder.glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        shared |= schema.get("$defs", {})
        parts.append(f"## {schema['title'].removesuffix(' --json')}\n\n{schema['description']} Schema: ")
        parts.append(f'<a href="schemas/{path.name}">{path.name}</a>.\n')
        for one in schema.get("oneOf", [schema]):
            parts.append((one["description"] + "\n") if one is not schema else "")
            parts.append("\n" + table(one, shared) + "\n")
    parts.append("## Objects in several documents\n\n`[]` stands for each member of a list, `*` for each key.\n")
    for name, schema in sorted(shared.items()):
        meaning = schema.get("description", "")
        parts.append(f"\n({name})=\n\n### {name}\n\n{meaning}\n\n")
        parts.append(table(schema, shared) if "properties" in schema else f"{kind(schema).capitalize()}.\n")
    return "".join(parts)


def expand(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the sections where the page has its marker."""
    if name == PAGE:
        source[0] = source[0].replace(MARKER, page(Path(app.srcdir) / "schemas"))


def publish(app: Sphinx, failure: Exception | None) -> None:
    """Copy the schemas into the site."""
    if failure is None:
        shutil.copytree(Path(app.srcdir) / "schemas", Path(app.outdir) / "schemas", dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Expand the page when it is read."""
    app.connect("source-read", expand)
    app.connect("build-finished", publish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
