"""The networks of a population, as an archive or a published file describes them."""

import json
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive, nets
from edfkit.archive.nets import CELLS, Columns
from edfkit.archive.published import Published, networks
from edfkit.archive.schema import Status
from edfkit.generator.spaces.kinds import Architecture, Network


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
    if isinstance(source, Published) or "record" in source.variables(name):
        yield from _of_nets(source, name)
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
    if "error" not in source.variables(name):
        raise EdfkitError(
            f"{source.path}: the models of {name} have no error by which one is best; choose another population."
        )
    error = source.read(name, "error")
    left_out = np.isnan(error) | np.isin(source.read(name, "status"), [Status.FAILED, Status.RUNNING])
    if left_out.all():
        raise EdfkitError(
            f"{source.path}: no model of {name} ended with an error, so none is best; choose another population."
        )
    model = np.where(left_out, np.inf, error).argmin()
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


def _of_nets(source: Archive | Published, name: str) -> Iterator[tuple[NDArray[np.intp], Architecture, Columns]]:
    described = networks(source, name)
    try:
        for places, data, columns in nets.read(described, imagenet=source.dataset(name) == "ImageNet"):
            architecture = Architecture(**data)
            architecture.check(columns)
            yield places, architecture, columns
    except EdfkitError as error:
        raise EdfkitError(f"{source.path}: a network of {name} cannot be: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise EdfkitError(
            f"A network of {name} is not described as published ({type(error).__name__}: {error}); "
            "give a file in the published format."
        ) from error
