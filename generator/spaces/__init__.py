"""The design spaces by their names, and those that users define: a space is data, in TOML.

    block = "res_basic_block"
    depth = [1, 2, 4]
    width = "16, 64, 3"

or, for cells,

    ops = ["sep_conv_3x3", "skip_connect"]
    nodes = 3
    output = "loose"
    width = [16]
    depth = [4, 8]

A list holds the values that are drawn from; "a, b, n" is n values from a to b, log-uniform. With `like = "resnet"` a
space is like another of those that come with edfkit, except for what else is said.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edfkit import EdfkitError
from edfkit.archive.nets import CELLS, MOST, MOST_NODES, Columns
from edfkit.archive.schema import OPS
from edfkit.generator.spaces.cells import Cells, from_genotypes, to_genotypes
from edfkit.generator.spaces.counting import BLOCKS
from edfkit.generator.spaces.kinds import (
    Architecture,
    CellSpace,
    Network,
    Space,
    StageSpace,
    check_choice,
    check_integer,
    wrong,
)

_BOTTLENECK = "res_bottleneck_block"
_STAGES = ("depth", "width", "bot_mul", "groups")
_MOST_STAGES = 8
# The keys of each kind, those it needs before those it may have.
_STAGE_KEYS = ("block", "depth", "width"), ("bot_mul", "groups", "stages", "stem_stride", "stem_width", "name", "like")
_CELL_KEYS = ("ops", "nodes", "output", "width", "depth"), ("unused_nodes", "stem_stride", "name", "like")
_NETWORK_KEYS = ("block", "network"), ("stem_stride", "stem_width", "unused_nodes", "name", "like")
# An archive keeps the definition in an attribute, which has room for so many bytes.
_MOST_BYTES = 4000
_NAME = "[a-z0-9][a-z0-9._-]{0,99}"  # as populations in an archive


def read(document: Mapping[str, Any], where: str, name: str) -> Space:
    """Make a space of its definition.

    Parameters
    ----------
    document : mapping
        What a TOML file, or `definition`, gives.
    where : str
        Where it is from, for messages.
    name : str
        What it is called if it does not say so itself.

    Returns
    -------
    Space

    Raises
    ------
    EdfkitError
        If a key is missing, unknown, or has a value that it cannot have; the message names the key.
    """
    like = document.get("like")
    if isinstance(like, str) and like.lower() in SPACES:
        where = f"{where} (like {like})"
        document = definition(SPACES[like.lower()]) | {"name": name} | dict(document)
    try:
        if "like" in document:
            check_choice("like", like, (like,) if where.endswith(f"(like {like})") else tuple(SPACES))
        space = _read(document, name)
        size = len(json.dumps(definition(space)))
        if size > _MOST_BYTES:
            raise EdfkitError(
                f"the definition takes {size:,} bytes, expected {_MOST_BYTES:,} at most, as an archive keeps it; "
                "shorten its lists."
            )
    except EdfkitError as error:
        raise EdfkitError(f"{where}: {error}") from error
    return space


def _read(document: Mapping[str, Any], name: str) -> Space:
    kind = next((kind for kind in ("network", "ops") if kind in document), "block")
    (needed, allowed), reader = _KINDS[kind]
    if unknown := sorted(set(document) - {*needed, *allowed}):
        raise EdfkitError(f"there is no key {unknown[0]!r} here; the keys are {', '.join((*needed, *allowed))}.")
    if missing := [key for key in needed if key not in document]:
        others = " (or ops, nodes and output, for cells)" if kind == "block" else ""
        raise EdfkitError(f"the key {missing[0]!r} is missing; give {', '.join(needed)}{others}.")
    name = document.get("name", name)
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise wrong("name", name, f"text like {_NAME}")
    return reader(document, name)


def definition(space: Space) -> dict[str, Any]:
    """Give the definition of a space as plain data, which `read` makes the space of again."""
    document: dict[str, Any] = {"name": space.name, **space.architecture.as_dict()}
    if isinstance(space, CellSpace):
        del document["block"]
        output = space.output if isinstance(space.output, str) else list(space.output)
        document |= {"ops": list(space.ops), "nodes": space.nodes, "output": output}
        return document | {"width": list(space.width), "depth": list(space.depth)}
    if isinstance(space, StageSpace):
        document |= {key: list(values) for key, values in space.values.items()}
        return document | ({"stages": space.stages} if space.stages != 3 else {})
    columns = {name: np.asarray(value)[None] for name, value in space.columns.items()}
    return document | {"network": describe_networks(space.architecture, columns)[0]}


def describe_networks(architecture: Architecture, columns: Columns) -> list[dict[str, Any]]:
    """Describe networks one by one as plain data: as the table `network` of a definition.

    Parameters
    ----------
    architecture : Architecture
        What they have in common.
    columns : dict of str to ndarray, shape (models, ...)
        Their configurations.

    Returns
    -------
    list of dict
        One per network.
    """
    if architecture.block == CELLS:
        nets: list[dict[str, Any]] = to_genotypes(Cells(**columns))
        return nets
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def load(path: Path) -> Space:
    """Read the space that a TOML file defines.

    Raises
    ------
    EdfkitError
        If it cannot be read, is no TOML, or defines no space.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EdfkitError(f"There is no file {path}; give the TOML file that defines the space.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise EdfkitError(f"{path} cannot be read as TOML ({error}); correct it.") from error
    return read(document, str(path), path.stem.lower())


def find(name: str) -> Space:
    """Look a space up by its name, in any case, or read the TOML file of that name.

    Raises
    ------
    EdfkitError
        If there is no such space, in which case the message lists those there are, or the file is wrong.
    """
    if name.lower().endswith(".toml"):
        return load(Path(name))
    space = SPACES.get(name.lower())
    if space is None:
        raise EdfkitError(
            f"There is no design space {name!r}; choose one of {', '.join(SPACES)}, or give a file that ends in .toml."
        )
    return space


def fix(space: Space, width: int | None = None, depth: int | None = None) -> Space:
    """Fix the width or the depth of a space of cells, or both, at a number of its own or another.

    Parameters
    ----------
    space : Space
    width, depth : int, optional
        At least 1; what is not given varies as before.

    Returns
    -------
    Space
        With the ending of the published populations, such as darts_fix-w-d, or the space itself if nothing is given.

    Raises
    ------
    EdfkitError
        If the space is none of cells.
    """
    given = {name: value for name, value in (("width", width), ("depth", depth)) if value is not None}
    if not given:
        return space
    if not isinstance(space, CellSpace):
        raise EdfkitError(
            f"The networks of {space.name} are not of cells, whose width and depth can be fixed; leave them out, or "
            "describe a space in a TOML file."
        )
    for name, value in given.items():
        check_integer(name, value, 1, int(MOST[name]))
    ending = "-".join(["fix", *(name[0] for name in given)])
    values: dict[str, Any] = {name: (value,) for name, value in given.items()}
    return replace(space, name=f"{space.name}_{ending}", **values)


def _values(key: str, value: Any) -> tuple[Any, ...]:
    """Read the values that something is drawn from."""
    whole, most = key != "bot_mul", MOST[key]
    expected = f"a list of different {'whole ' if whole else ''}numbers from {'1' if whole else 'above 0'} to {most:,}"
    values = _log_uniform(key, value, whole) if isinstance(value, str) else value
    if not isinstance(values, list) or not values:
        raise wrong(key, value, f'{expected}, or "a, b, n"')
    for one in values:
        if type(one) not in ((int,) if whole else (int, float)) or not 0 < one <= most:
            raise wrong(key, value, f"{expected}, which {one!r} is not")
    if len(set(values)) < len(values):
        twice = next(one for one in values if values.count(one) > 1)
        rounded = ", rounded to whole numbers" if isinstance(value, str) and whole else ""
        raise wrong(key, value, f"{expected}, and {twice} comes twice{rounded}")
    return tuple(values) if whole else tuple(map(float, values))


def _log_uniform(key: str, text: str, whole: bool) -> list[Any]:
    try:
        a, b, n = text.split(",")
        low, high, number = float(a), float(b), int(n)
        if not (0 < low < high <= MOST[key] and 2 <= number <= 1000):
            raise ValueError(text)
    except ValueError:
        raise wrong(key, text, f'"a, b, n" with 0 < a < b <= {MOST[key]:,} and n from 2 to 1,000, or a list') from None
    values = np.geomspace(low, high, number)
    return [int(one) for one in np.rint(values)] if whole else [round(float(one), 12) for one in values]


def _architecture(document: Mapping[str, Any], block: Any) -> Architecture:
    given = {key: document[key] for key in ("stem_stride", "stem_width", "unused_nodes") if key in document}
    return Architecture(block, **given)


def _stage_columns(block: Any, given: Mapping[str, Any]) -> list[str]:
    """Say which columns of stages are given, or refuse those that the block does not have."""
    columns = [key for key in _STAGES if key in given]
    if block != _BOTTLENECK and len(columns) > 2:
        raise EdfkitError(f"{columns[2]} is given, which only blocks {_BOTTLENECK} have; leave it out.")
    return columns


def _read_stages(document: Mapping[str, Any], name: str) -> StageSpace:
    check_choice("block", document["block"], BLOCKS)
    architecture = _architecture(document, document["block"])
    values = {key: _values(key, document[key]) for key in _stage_columns(architecture.block, document)}
    stages = document.get("stages", 3)
    check_integer("stages", stages, 1, _MOST_STAGES)
    together = np.meshgrid(*(np.array(values[key]) for key in values if key != "depth"))
    architecture.check(dict(zip([key for key in values if key != "depth"], together, strict=True)))
    return StageSpace(name, architecture, values, stages)


def _read_cells(document: Mapping[str, Any], name: str) -> CellSpace:
    ops, nodes, output = document["ops"], document["nodes"], document["output"]
    if not isinstance(ops, list) or not ops or not all(isinstance(op, str) for op in ops) or len(set(ops)) < len(ops):
        raise wrong("ops", ops, "a list of different ops")
    for op in ops:
        check_choice("ops", op, OPS)
    check_integer("nodes", nodes, 1, MOST_NODES)
    possible = range(2, nodes + 2)
    if isinstance(output, list) and output and all(type(node) is int and node in possible for node in output):
        output = tuple(dict.fromkeys(output))
    if output not in ("all", "loose") and (not isinstance(output, tuple) or len(output) < len(document["output"])):
        raise wrong("output", document["output"], f"all, loose, or a list of different nodes from 2 to {nodes + 1}")
    width, depth = (_values(key, document[key]) for key in ("width", "depth"))
    architecture = _architecture(document, CELLS)
    architecture.check({"width": np.array(width), "depth": np.array(depth)})
    return CellSpace(name, architecture, tuple(ops), nodes, output, width, depth)


def _read_network(document: Mapping[str, Any], name: str) -> Network:
    architecture, network = _architecture(document, document["block"]), document["network"]
    if not isinstance(network, dict):
        raise wrong("network", network, "a table of the network's depth, width and so on")
    if architecture.block == CELLS:
        if unknown := sorted(set(network) - {"width", "depth", "genotype", "aux", "drop_prob"}):
            raise EdfkitError(f"there is no key {unknown[0]!r} in network; the keys are width, depth, genotype.")
        columns = vars(from_genotypes([network]))
    else:
        if unknown := sorted(set(network) - {*_STAGES}):
            raise EdfkitError(f"there is no key {unknown[0]!r} in network; the keys are {', '.join(_STAGES)}.")
        keys = _stage_columns(architecture.block, network)
        for key in ("depth", "width", *keys):
            value = network.get(key)
            if not isinstance(value, list) or not value or not all(type(one) in (int, float) for one in value):
                raise wrong(key, value, "a list with a number for each stage")
            if len(value) != len(network["depth"]) or len(value) > _MOST_STAGES:
                stages = f"{len(network['depth'])} as depth has" if len(network["depth"]) <= _MOST_STAGES else "up to 8"
                raise wrong(key, value, f"{stages}, one for each stage")
        columns = {key: np.array([network[key]]) for key in keys}
        if "bot_mul" in columns:
            columns["bot_mul"] = columns["bot_mul"].astype(float)
    architecture.check(columns)
    return Network(name, architecture, {key: value[0] for key, value in columns.items()})


_KINDS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], Callable[[Mapping[str, Any], str], Space]]] = {
    "block": (_STAGE_KEYS, _read_stages),
    "ops": (_CELL_KEYS, _read_cells),
    "network": (_NETWORK_KEYS, _read_network),
}
SPACES: dict[str, Space] = {}
for _name, _document in tomllib.loads(Path(__file__).with_name("spaces.toml").read_text(encoding="utf-8")).items():
    SPACES[_name] = read(_document, "spaces.toml", _name)
