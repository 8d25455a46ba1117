"""Networks as the published files describe them, one by one, and as columns, arrays with one row a network.

A published description of stages has lists whose index 0 is the stem: `ds`, `ws`, `ss` (strides), `bot_muls`, `num_gs`,
with the `block_type`; one of cells has `genotype`, `width` and `depth`. The columns are those of an archive: `depth`,
`width`, `bot_mul`, `groups`, of shape (networks, stages); or `op`, `input`, `concat`, `width`, `depth`. What these do
not say is the architecture, plain data: `block` (or "cells"), `stem_stride`, `stem_width`, `unused_nodes`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.schema import KINDS, OPS

CELLS = "cells"
STEM_WIDTH = 16
# What descriptions of networks may hold at most: within these, no count of complexity overflows.
MOST = {"depth": 1000, "width": 16_384, "groups": 16_384, "bot_mul": 4.0}
MOST_NODES = 20

# What a published description calls the columns. Lists of no use are empty or missing.
_LISTS = {"depth": "ds", "width": "ws", "bot_mul": "bot_muls", "groups": "num_gs"}

Columns = dict[str, NDArray[Any]]


# --- Of stages and of cells


def read(nets: Sequence[Any], *, imagenet: bool = False) -> Iterator[tuple[NDArray[np.intp], dict[str, Any], Columns]]:
    """Read published descriptions, those of one architecture together.

    Parameters
    ----------
    nets : sequence of mappings
        The descriptions.
    imagenet : bool
        Whether networks of cells have the ImageNet stem, as their descriptions do not say.

    Yields
    ------
    tuple of ndarray, dict and dict of str to ndarray
        Which of the networks these are, what they have in common, and their columns.

    Raises
    ------
    EdfkitError
        If strides are not known, or cells are wrong, see `read_cells`; that numbers go together is not checked.
    LookupError, TypeError, ValueError, AttributeError
        If a network is not described in the published way at all.
    """
    # Networks that go together have the same number of nodes, or the same block, stem and number of stages.
    kinds: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for i, net in enumerate(nets):
        kinds[_kind(net, imagenet)].append(i)
    for (block, stride, width, *_), places in kinds.items():
        chosen = [nets[i] for i in places]
        if block == CELLS:
            yield np.array(places), {"block": CELLS, "stem_stride": stride, "unused_nodes": True}, read_cells(chosen)
        else:
            architecture = {"block": block, "stem_stride": stride, "stem_width": width}
            yield np.array(places), architecture, _read_stages(chosen)


def _kind(net: Mapping[str, Any], imagenet: bool) -> tuple[Any, ...]:
    if "genotype" in net:
        return (CELLS, net.get("stem_stride", 8 if imagenet else 1), None, len(net["genotype"]["normal"]))
    if net["ss"][1:] != [1] + [2] * (len(net["ss"]) - 2):
        raise EdfkitError(f"The strides {net['ss']} are not known; those of the stages can be 1, then 2 each.")
    lengths = [len(net.get(key) or ()) for key in (*_LISTS.values(), "ss")]
    if set(lengths) - {0, len(net["ss"])}:
        raise ValueError(f"the lists have the lengths {lengths}")
    return (net["block_type"], net["ss"][0], net["ws"][0], *lengths)


def _read_stages(nets: Sequence[Mapping[str, Any]]) -> Columns:
    used = {name: key for name, key in _LISTS.items() if nets[0].get(key)}
    columns = {name: np.array([net[key][1:] for net in nets]) for name, key in used.items()}
    if any(values.ndim != 2 for values in columns.values()):
        raise ValueError("a list holds lists")
    return columns


def uniform(nets: Sequence[Any]) -> Columns:
    """Read the columns of published descriptions that can stand in one array each, whatever else they are.

    Parameters
    ----------
    nets : sequence
        The descriptions, all of stages or all of cells.

    Returns
    -------
    dict of str to ndarray
        Of stages only those columns that every network has.

    Raises
    ------
    EdfkitError
        If their numbers of stages or nodes differ, or a network is not described in the published way.
    """
    if all(isinstance(net, dict) and "genotype" in net for net in nets):
        return read_cells(nets)
    columns: Columns = {}
    try:
        for name, key in _LISTS.items():
            if name in ("depth", "width") or all(net.get(key) for net in nets):
                columns[name] = np.array([net[key][1:] for net in nets])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise EdfkitError(
            f"the networks have not one number of stages each, or are not described as published "
            f"({type(error).__name__}: {error}); read them apart."
        ) from error
    if len({values.shape for values in columns.values()}) > 1 or columns["depth"].ndim != 2:
        raise EdfkitError("the networks have lists of different lengths; read them apart.")
    for name, values in columns.items():
        if values.dtype.kind not in ("if" if name == "bot_mul" else "i") or not values.size:
            raise EdfkitError(f"the networks have {name}s that are no numbers per stage; correct them.")
    return columns


def publish(architecture: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Describe networks as the published files do: what `read` reads, with the same complexity.

    Parameters
    ----------
    architecture : mapping
        What they have in common: `block`, and what is not usual of `stem_stride` (1), `stem_width` (16) and
        `unused_nodes` (False: ops of nodes that feed nothing become `none`, as published networks count what is built).
    columns : mapping of str to ndarray
        Their columns.

    Returns
    -------
    list of dict
        One per network.
    """
    block, stride = architecture["block"], architecture.get("stem_stride", 1)
    if block == CELLS:
        built = columns if architecture.get("unused_nodes", False) else pruned(columns)
        more: dict[str, Any] = {"aux": False, "drop_prob": 0.0}
        if stride != 1:
            more["stem_stride"] = stride
        return [net | more for net in genotypes(built)]
    stages = columns["depth"].shape[1]
    stem = {"depth": 1, "width": architecture.get("stem_width", STEM_WIDTH), "bot_mul": 1.0, "groups": 1}
    lists = {key: columns[name].tolist() for name, key in _LISTS.items() if name in columns}
    nets = []
    for i in range(len(columns["depth"])):
        net: dict[str, Any] = {"block_type": block, "ss": [stride, 1, *[2] * (stages - 1)]}
        for name, key in _LISTS.items():
            net[key] = [stem[name], *lists[key][i]] if key in lists else []
        nets.append(dict(sorted(net.items())))
    return nets


# --- Of cells


def read_cells(nets: Sequence[Mapping[str, Any]]) -> Columns:
    """Read networks of cells as the published files describe them.

    Parameters
    ----------
    nets : sequence of mappings
        Each with width, depth and genotype: normal and reduce, lists of [op, input], two for each node, and
        normal_concat and reduce_concat, lists of inputs that are nodes. drop_prob is ignored.

    Returns
    -------
    dict of str to ndarray
        `op`, `input`, `concat` (bool), `width`, `depth`.

    Raises
    ------
    EdfkitError
        If there is no network, or one is not so described, has an auxiliary head, has an unknown op, takes an input
        that does not come earlier, concatenates nothing, what is no node or a node twice, or has another number of
        nodes than the first.
    """
    if not nets:
        raise EdfkitError("There are no networks to read; give at least one.")
    ops, concats, width, depth = zip(*(_read_cells(f"Network {i}", net) for i, net in enumerate(nets)), strict=True)
    nodes = len(ops[0][0]) // 2
    for i, cells in enumerate(ops):
        for kind, pairs in zip(KINDS, cells, strict=True):
            if len(pairs) != 2 * nodes:
                raise EdfkitError(
                    f"Network {i} has {len(pairs)} ops in its {kind} cell, expected {2 * nodes} as in the normal cell "
                    "of network 0; read networks with other numbers of nodes apart."
                )
    codes = np.array(ops, np.int64).reshape(-1, len(KINDS), nodes, 2, 2)
    concat = np.array([[[2 + node in chosen for node in range(nodes)] for chosen in cells] for cells in concats])
    return {
        "op": codes[..., 0],
        "input": codes[..., 1],
        "concat": concat,
        "width": np.array(width, np.int64),
        "depth": np.array(depth, np.int64),
    }


def _read_cells(name: str, net: Mapping[str, Any]) -> tuple[list[list[tuple[int, int]]], list[list[int]], int, int]:
    """Check one network: of both cells the coded ops, each with its input, and what they concatenate; width; depth."""
    try:
        sizes = {"width": net["width"], "depth": net["depth"]}
        aux = "aux" in net and net["aux"]
        genotype = net["genotype"]
        ops = [[(op, i) for op, i in genotype[kind]] for kind in KINDS]
        concats = [list(genotype[f"{kind}_concat"]) for kind in KINDS]
    except (LookupError, TypeError, ValueError) as error:
        raise EdfkitError(
            f"{name} is not described as in the published files ({type(error).__name__}: {error}); give width, depth "
            "and a genotype of normal, normal_concat, reduce and reduce_concat."
        ) from error
    if aux:
        raise EdfkitError(f"{name} has an auxiliary head, which is not counted here; describe it with aux false.")
    for size, value in sizes.items():
        if type(value) is not int or not 1 <= value <= MOST[size]:
            raise EdfkitError(
                f"{name} has the {size} {value!r}, expected a whole number from 1 to {MOST[size]:,}; correct it."
            )

    for kind, pairs, chosen in zip(KINDS, ops, concats, strict=True):
        if not pairs or len(pairs) % 2 or len(pairs) > 2 * MOST_NODES:
            raise EdfkitError(
                f"{name} has {len(pairs)} ops in its {kind} cell, expected two for each node, of which there can be "
                f"{MOST_NODES}; add or remove some."
            )
        for place, (op, i) in enumerate(pairs):
            if op not in OPS:
                raise EdfkitError(f"{name} has the op {op!r} in its {kind} cell; choose one of {', '.join(OPS)}.")
            if type(i) is not int or not 0 <= i < 2 + place // 2:
                raise EdfkitError(
                    f"{name} has the input {i!r} at node {2 + place // 2} of its {kind} cell, expected 0 to "
                    f"{1 + place // 2}; let a node take only what comes earlier."
                )
        last = 1 + len(pairs) // 2
        nodes = all(type(i) is int and 2 <= i <= last for i in chosen)
        if not chosen or not nodes or len(set(chosen)) < len(chosen):
            raise EdfkitError(
                f"{name} concatenates {chosen} in its {kind} cell, expected one or more of the nodes 2 to {last}, each "
                "once; correct the list."
            )
    return [[(OPS.index(op), i) for op, i in pairs] for pairs in ops], concats, sizes["width"], sizes["depth"]


def genotypes(columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Describe networks of cells as the published files do: what `read_cells` reads.

    Parameters
    ----------
    columns : mapping of str to ndarray
        `op`, `input`, `concat`, `width`, `depth`.

    Returns
    -------
    list of dict
        One per network, with width, depth and genotype.
    """
    op, taken, concat, width, depth = (columns[name] for name in ("op", "input", "concat", "width", "depth"))
    described = []
    for i in range(len(depth)):
        genotype: dict[str, Any] = {}
        for k, kind in enumerate(KINDS):
            pairs = zip(op[i, k].flat, taken[i, k].flat, strict=True)
            genotype[kind] = [[OPS[code], int(place)] for code, place in pairs]
            genotype[f"{kind}_concat"] = (2 + np.flatnonzero(concat[i, k])).tolist()
        described.append({"width": int(width[i]), "depth": int(depth[i]), "genotype": genotype})
    return described


def pruned(columns: Mapping[str, NDArray[Any]]) -> Columns:
    """Replace the ops of nodes that feed nothing by `none`, which neither costs nor counts anything.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Of networks of cells.

    Returns
    -------
    dict of str to ndarray
        Of networks that compute the same.
    """
    op, taken = columns["op"], columns["input"]
    used = columns["concat"].astype(bool)
    for node in reversed(range(used.shape[2])):
        # A node that is used makes those used that it takes; they all come before it.
        for operand in range(2):
            before = taken[:, :, node, operand, None] == 2 + np.arange(used.shape[2])
            used = used | (before & used[:, :, node, None])
    return {**columns, "op": np.where(used[..., None], op, OPS.index("none"))}
