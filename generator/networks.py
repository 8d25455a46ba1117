"""The networks of a population, as an archive or a published file describes them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.generator.cells import from_genotypes
from edfkit.generator.kinds import CELLS, Architecture, Columns, Network
from edfkit.published import Published
from edfkit.schema import STATUS

# What a published description calls the columns; its index 0 is the stem. Lists of no use are empty or missing.
_PUBLISHED = {"depth": "ds", "width": "ws", "bot_mul": "bot_muls", "groups": "num_gs"}


def describe(source: Archive | Published, name: str) -> Iterator[tuple[NDArray[np.intp], Architecture, Columns]]:
    """Give the configurations of a population, those of one architecture together.

    Parameters
    ----------
    source : Archive or Published
        Where the population is.
    name : str
        The population.

    Yields
    ------
    tuple of ndarray, Architecture and dict of str to ndarray
        Which models these are, what their networks have in common, and their columns.

    Raises
    ------
    EdfkitError
        If the networks are not described, or not in a way that is known.
    """
    if isinstance(source, Published):
        yield from _of_published(source, name)
    else:
        yield _of_archive(source, name)


def best(source: Archive | Published, name: str) -> Network:
    """Give the network with the smallest error of a population, the first of several.

    Parameters
    ----------
    source : Archive or Published
        Where the population is.
    name : str
        The population.

    Returns
    -------
    Network
        Called best-of-NAME.

    Raises
    ------
    EdfkitError
        If the networks are not described, or none has an error.
    """
    failed = source.read(name, "status") == STATUS.index("failed")
    if failed.all():
        raise EdfkitError(f"{source.path}: every model of {name} failed, so none is best; choose another population.")
    model = np.where(failed, np.inf, source.read(name, "error")).argmin()
    places, architecture, columns = next(part for part in describe(source, name) if model in part[0])
    network = {column: values[places == model][0] for column, values in columns.items()}
    called = re.sub(r"[^a-z0-9._-]", "-", f"best-of-{name.lower()}")[:100]  # files have all kinds of names
    return Network(called, architecture, network)


def _of_archive(archive: Archive, name: str) -> tuple[NDArray[np.intp], Architecture, Columns]:
    stored, attrs = archive.variables(name), archive.group_attrs(name)
    try:
        if "architecture" not in attrs:
            raise TypeError("there is no attribute architecture")
        architecture = Architecture(**json.loads(str(attrs["architecture"])))
        if architecture.block != CELLS and "op" in stored:
            raise TypeError(f"it has cells, and the block is {architecture.block}")
        needed = ["op", "input", "concat"] * (architecture.block == CELLS) + ["depth", "width"]
        if missing := sorted(set(needed) - set(stored)):
            raise TypeError(f"there is no {missing[0]}")
    except (TypeError, ValueError) as error:
        raise EdfkitError(
            f"{archive.path} does not describe the networks of {name} as edfkit does ({error}), which this needs; "
            "take an archive that edfkit pack wrote."
        ) from error
    columns = needed + [name for name in ("bot_mul", "groups") if name in stored]
    described = {column: archive.read(name, column) for column in columns}
    try:
        architecture.check(described)
    except EdfkitError as error:
        raise EdfkitError(f"{archive.path}: a network of {name} cannot be: {error}") from error
    return np.arange(archive.models(name)), architecture, described


def _of_published(published: Published, name: str) -> Iterator[tuple[NDArray[np.intp], Architecture, Columns]]:
    nets = published.networks(name)
    imagenet = published.dataset(name) == "ImageNet"
    # Networks that go together have the same number of nodes, or the same block, stem and number of stages.
    kinds: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    try:
        for i, net in enumerate(nets):
            kinds[_kind(net)].append(i)
        for places in kinds.values():
            yield np.array(places), *_columns([nets[i] for i in places], imagenet)
    except EdfkitError as error:
        raise EdfkitError(f"{published.path}: a network of {name} cannot be: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise EdfkitError(
            f"A network of {name} is not described as published ({type(error).__name__}: {error}); "
            "give a file in the published format."
        ) from error


def _kind(net: Mapping[str, Any]) -> tuple[Any, ...]:
    if "genotype" in net:
        return (len(net["genotype"]["normal"]),)
    if net["ss"][1:] != [1] + [2] * (len(net["ss"]) - 2):
        raise EdfkitError(f"The strides {net['ss']} are not known; those of the stages can be 1, then 2 each.")
    lengths = [len(net.get(key) or ()) for key in (*_PUBLISHED.values(), "ss")]
    if set(lengths) - {0, len(net["ss"])}:
        raise ValueError(f"the lists have the lengths {lengths}")
    return (net["block_type"], net["ss"][0], net["ws"][0], *lengths)


def _columns(nets: Sequence[Mapping[str, Any]], imagenet: bool) -> tuple[Architecture, Columns]:
    first = nets[0]
    if "genotype" in first:
        architecture, columns = Architecture(CELLS, 8 if imagenet else 1, unused_nodes=True), vars(from_genotypes(nets))
    else:
        architecture = Architecture(first["block_type"], first["ss"][0], first["ws"][0])
        used = {name: key for name, key in _PUBLISHED.items() if first.get(key)}
        columns = {name: np.array([net[key][1:] for net in nets]) for name, key in used.items()}
        if any(values.ndim != 2 for values in columns.values()):
            raise ValueError("a list holds lists")
    architecture.check(columns)
    return architecture, columns
