"""The JSON that commands print is what the schemas of the documentation say: all of it, and nothing else."""

import copy
import inspect
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import guard
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from test_docs import commands

from edfkit import lazy
from edfkit.cli import edfkit
from edfkit.exchange.tables import import_table
from edfkit.generator.runs.pack import pack
from edfkit.generator.runs.plan import Request, open_run
from edfkit.generator.runs.work import train_model
from edfkit.generator.spaces.kinds import Architecture, StageSpace
from edfkit.generator.training.recipe import Recipe
from edfkit.study.catalogue import STUDIES, schemas

pytestmark = pytest.mark.usefixtures("one_thread")

SCHEMAS = schemas()

LINES = [
    "compare resnet vanilla --stream",
    "describe --archive table.h5",
    "point first --small 10 --large 100 --archive table.h5",
    "search resnet -m 1,500 --given none --without-replacement",
    "samples first --archive table.h5",
    "complexity first second --archive table.h5",
    "noise first second --same-models --archive table.h5",
    "noise constant --archive table.h5",
    "compare first second --bins 3 --permutations 20 --equivalent 5 --archive table.h5",
    "compare first constant --given none --archive table.h5",
    "report first second -o report.html --bins 3 --permutations 20 --best-share 0.1 --area-to 30 --equivalent 5 "
    "--archive table.h5",
    "report first constant -o few.html --given none --archive table.h5",
    "plan first second --given none --trials 20 --archive loss.h5",
    "noise first --one-network --archive loss.h5",
    "spaces count resnet",
    "spaces sample resnet --models 1 --dataset digits --max-params 1e6",
    "status run",
    "audit packed.h5 --models 1",
    "audit other.h5 --models 1 --reruns 1",
]
"""What is printed of archives that the tests make; `guard.BUNDLED` has the commands on the bundled archive."""


# Empty or null unless something rare happens: curves that cross, no range with such bins, a model that differs, a
# population that the archive lacks, a setting in which nothing can be compared.
RARE = {"grid", "select", "crossings", "widest", "reason", "missing", "why"}
# What these studies print as others do, though they hold no complexity equal, or exchange no models.
NEVER = {"point": {"bins", "range"}, "samples": {"bins", "range"}, "plan": {"bins", "range", "left_out_why"}}


def name_of(line: str) -> str:
    words = line.split()
    return " ".join(words[:2] if words[0] in ("spaces", "datasets") else words[:1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a table of populations whose rates vary, a run, its archive, and one that says otherwise."""
    place = tmp_path_factory.mktemp("json")
    rng = np.random.default_rng(0)
    rows = ["kind,err,final,lr,wd,params,status"]
    for kind in ("first", "second"):
        params = rng.integers(100_000, 400_000, 400)
        errors = rng.uniform(5, 50, 400).round(2)
        rates = (10 ** rng.uniform(low, high, 400) for low, high in ((-3, 0), (-5, -2)))
        values = zip(errors, *rates, params, strict=True)
        rows += [f"{kind},{e},{e + 0.5:.2f},{lr:.3g},{wd:.3g},{count},finished" for e, lr, wd, count in values]
        rows += [f"{kind},,,0.1,0.0005,300000,failed"]
    rows += [f"constant,{error},,0.1,0.0005,,finished" for error in (5, 5, 6)]
    (place / "table.csv").write_text("\n".join(rows))
    import_table(place / "table.csv", place / "table.h5", error="err", final="final", space="kind")

    losses = [f"{kind},{loss:.3f}" for kind in ("first", "second") for loss in rng.gamma(3, 1 + (kind == "first"), 40)]
    (place / "loss.csv").write_text("\n".join(["kind,loss", *losses, "first,inf", "second,nan"]))
    import_table(place / "loss.csv", place / "loss.h5", metric="loss", unit="nats", space="kind")

    space = StageSpace("tiny", Architecture("double_plain_block", stem_width=8), {"depth": (1,), "width": (8, 16)})
    recipe = Recipe(epochs=2, batch=100, flip=False, shift=1, precise_bn=100)
    open_run(place / "run", Request(space, "digits", 2, 3, {}, "none", recipe))
    assert train_model(str(place / "run"), 0, None, "cpu")[0] == "finished"
    pack([place / "run"], place / "packed.h5", source="test", license="none")
    shutil.copy(place / "packed.h5", place / "other.h5")
    with h5py.File(place / "other.h5", "r+") as file:
        for variable in file["tiny"].values():
            variable.attrs.pop("crc32", None)
        file["tiny/train_loss"][...] *= 1.0001
    return place


@pytest.fixture(scope="module")
def recording() -> dict[str, Any]:
    """Give what all commands make of the bundled archive."""
    return guard.record()


@pytest.fixture(scope="module")
def documents(folder: Path, recording: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give what each command line prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDFKIT_")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in set(os.environ) - set(kept):
            patch.delenv(name)
        patch.setenv("EDFKIT_DATA", str(folder / "data"))
        found = dict(recording["documents"])
        for line in LINES:
            result = CliRunner().invoke(edfkit, [*line.split(), "--json"])
            assert result.stdout, f"{line}: {result.output}{result.exception}"
            found[line] = json.loads(result.stdout)
        yield found


def faults(line: str, document: Any) -> list[str]:
    """Say what in a document is not as its schema has it."""
    found = Draft202012Validator(SCHEMAS[name_of(line)]).iter_errors(document)
    return [f"{line}: {error.json_path}: {error.message}" for error in found]


def parts(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a schema and those that it has within, without those it refers to."""
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from parts(inner, root)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], root)
    for key in ("anyOf", "oneOf"):
        for inner in schema.get(key, []):
            yield from parts(inner, root)


def unseen(schema: dict[str, Any], root: dict[str, Any], values: list[Any], path: str = "$") -> Iterator[str]:
    """Name the properties that none of the documents has, but as null, an empty list or an empty object."""
    if "$ref" in schema:
        yield from unseen(root["$defs"][schema["$ref"].rpartition("/")[2]], root, values, path)
    for one in [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
        if one.get("type") != "null":
            yield from unseen(one, root, values, path)
    for name, inner in schema.get("properties", {}).items():
        if inner.get("type") == "null":  # it never has one
            continue
        found = [value[name] for value in values if isinstance(value, dict) and value.get(name) not in (None, [], {})]
        if found:
            yield from unseen(inner, root, found, f"{path}.{name}")
        else:
            yield f"{path}.{name}"
    if "items" in schema:
        members = [member for value in values if isinstance(value, list) for member in value]
        yield from unseen(schema["items"], root, members, f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        members = [member for value in values if isinstance(value, dict) for member in value.values()]
        yield from unseen(schema["additionalProperties"], root, members, f"{path}.*")


def test_every_command_that_prints_json_has_a_schema_and_an_example() -> None:
    printing = {
        name.removeprefix("edfkit ")
        for name, command in commands()
        if any("--json" in option.opts for option in command.params)
    }
    assert printing == set(SCHEMAS)
    assert {name_of(line) for line in (*LINES, *guard.BUNDLED)} == set(SCHEMAS)


def test_the_schemas_are_sound() -> None:
    shared: dict[str, Any] = {}
    for name, schema in SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"{name.replace(' ', '-')}.json"
        for known, definition in schema.get("$defs", {}).items():
            assert shared.setdefault(known, definition) == definition, f"{known} differs between schemas"
        for part in [part for top in (schema, *schema.get("$defs", {}).values()) for part in parts(top, schema)]:
            if "properties" in part:
                assert part["additionalProperties"] is False
                assert part["required"] == list(part["properties"])
            if part.get("type") in ("number", "integer"):
                assert part.get("unit"), f"{name}: a number of {part} has no unit"
            if "properties" in part:
                for key, inner in part["properties"].items():
                    assert inner.get("description") or "$ref" in inner, f"{name}: {key} is not described"


def test_what_commands_print_is_what_the_schemas_say(documents: dict[str, Any]) -> None:
    assert [fault for line, document in documents.items() for fault in faults(line, document)] == []


def test_every_key_of_the_schemas_has_a_value_somewhere(documents: dict[str, Any]) -> None:
    for name, schema in SCHEMAS.items():
        values = [document for line, document in documents.items() if name_of(line) == name]
        never = {path.rpartition(".")[2] for path in unseen(schema, schema, values)}
        assert never <= RARE | NEVER.get(name, set()), f"{name}: {never}"


def test_a_document_that_is_not_as_its_schema_says_is_found(documents: dict[str, Any]) -> None:
    line = guard.BUNDLED[0]
    assert faults(line, documents[line]) == []
    changes: list[Callable[[Any], object]] = [
        lambda document: document["pairs"][0].pop("ks"),
        lambda document: document["pairs"][0].update(news=1),
        lambda document: document["spaces"][0].update(min="1.6"),
        lambda document: document["pairs"][0].update(p_value=1.5),
        lambda document: document["pairs"][0].update(prob_a_better_interval=[0.5]),
        lambda document: document["sensitivity"][0].update(group="better"),
        lambda document: document.update(given=3),
        lambda document: document.update(diverged="lost"),
    ]
    for change in changes:
        document = copy.deepcopy(documents[line])
        change(document)
        assert len(faults(line, document)) == 1


def test_numbers_are_those_that_were_recorded(recording: dict[str, Any]) -> None:
    assert guard.unlike(guard.load(guard.RECORDED), recording, to_the_byte=False) == []


def test_published_files_give_the_numbers_that_were_recorded(published: Path) -> None:
    assert guard.unlike(guard.load(guard.RECORDED_PUBLISHED), guard.record(published)) == []


def test_a_number_that_is_not_the_recorded_one_is_found(recording: dict[str, Any]) -> None:
    changed = copy.deepcopy(recording)
    line = guard.BUNDLED[0]
    changed["documents"][line]["pairs"][0]["ks"] += 1e-9
    changed["documents"][line]["pairs"][0]["verdict"] = "Another sentence."
    changed["documents"]["plan --eps 0.05"] = dict(reversed(changed["documents"]["plan --eps 0.05"].items()))
    changed["tables"]["figure_07.csv"] = changed["tables"]["figure_07.csv"].replace("0.5", "0.6", 1)
    changed["exported"].popitem()
    assert len(guard.unlike(recording, changed)) == len(guard.unlike(recording, changed, to_the_byte=False)) == 4
    assert guard.unlike(recording, recording) == []


def test_a_study_takes_what_the_catalogue_says() -> None:
    for study in STUDIES:
        function = lazy.found(study.run)
        taken = {one.name: one.default for one in (*study.options, *study.run_options)}
        parameters = inspect.signature(function).parameters
        explicit = {name: one.default for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
        hints = get_type_hints(function)
        (settings,) = get_args(hints["settings"])
        passed_on = set(settings.__annotations__)
        assert set(taken) <= set(explicit) | passed_on, study.name
        assert {"error", "diverged"} <= passed_on, study.name
        assert ("given" in passed_on) == (study.given is not None), study.name
        for name, default in taken.items():
            if name in explicit and default is not None:
                assert explicit[name] == default, f"{study.name}: {name}"


def test_a_report_has_the_options_of_compare() -> None:
    by_name = {study.name: study for study in STUDIES}
    assert by_name["report"].options == by_name["compare"].options
