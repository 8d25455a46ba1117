"""Recompute the complexities of a population from the descriptions of its networks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.generator import data
from edfkit.generator.cells import from_genotypes, measure_cells
from edfkit.generator.complexity import Complexity, measure
from edfkit.published import Published

# Side in pixels, channels and classes of what the published populations were trained on.
_PUBLISHED = {"CIFAR-10": (32, 3, 10), "ImageNet": (224, 3, 1000)}


@dataclass(frozen=True)
class Check:
    """What recomputing a population's complexities gave.

    Attributes
    ----------
    models : int
    compared : list of str
        The complexities that the population states; it may lack some.
    wrong : list of str
        A sentence for each model and complexity that does not agree.
    agreeing : int
        Models of which every stated complexity agrees.
    """

    models: int
    compared: list[str]
    wrong: list[str]
    agreeing: int


def check_complexity(source: Archive | Published, name: str) -> Check:
    """Compare the complexities that a population states with those of its networks.

    Parameters
    ----------
    source : Archive or Published
        Where the population is.
    name : str
        The population.

    Returns
    -------
    Check

    Raises
    ------
    EdfkitError
        If a network is not described, or not in a way that is known, or no complexity is stated.
    """
    counted = _of_published(source, name) if isinstance(source, Published) else _of_archive(source, name)
    ids = source.read(name, "id")
    agree = np.ones(len(ids), bool)
    compared: list[str] = []
    wrong: list[str] = []
    for count, values in counted._asdict().items():
        stated = source.read(name, count).astype(float)
        if np.isnan(stated).all():
            continue
        compared.append(count)
        differ = stated != values
        wrong += [f"{ids[i]}: {count} {stated[i]:,.0f}, recomputed {values[i]:,}" for i in np.flatnonzero(differ)]
        agree &= ~differ
    if not compared:
        raise EdfkitError(f"{source.path} states no complexity of {name}, so there is none to check; leave it out.")
    return Check(len(ids), compared, wrong, int(agree.sum()))


def _of_archive(archive: Archive, name: str) -> Complexity:
    block = archive.group_attrs(name).get("block")
    stages = [v for v in ("depth", "width", "bot_mul", "groups") if v in archive.variables(name)]
    if block is None or stages[:2] != ["depth", "width"]:
        raise EdfkitError(
            f"{archive.path} does not describe the networks of {name}, so their complexity cannot be recomputed; "
            "leave the check out."
        )
    columns: dict[str, Any] = {stage: archive.read(name, stage) for stage in stages}
    dataset = data.find(archive.dataset(name))
    return measure(
        block,
        **columns,
        image_size=dataset.image_size,
        channels=dataset.channels,
        classes=dataset.classes,
    )


def _of_published(published: Published, name: str) -> Complexity:
    nets = published.networks(name)
    # Networks that are counted at once have the same number of nodes, or the same block, stem and number of stages.
    kinds: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    counts = np.empty((len(Complexity._fields), len(nets)), np.int64)
    try:
        for i, net in enumerate(nets):
            kinds[_kind(net)].append(i)
        for members in kinds.values():
            counts[:, members] = _measure([nets[i] for i in members], published.dataset(name))
    except EdfkitError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise EdfkitError(
            f"A network of {name} is not described as published ({type(error).__name__}: {error}); "
            "give a file in the published format."
        ) from error
    return Complexity(*counts)


def _kind(net: Mapping[str, Any]) -> tuple[Any, ...]:
    if "genotype" in net:
        return (len(net["genotype"]["normal"]),)
    if net["ss"][1:] != [1] + [2] * (len(net["ss"]) - 2):
        raise EdfkitError(f"The strides {net['ss']} are not known; those of the stages can be 1, then 2 each.")
    lengths = [len(net.get(key) or ()) for key in ("ds", "ws", "ss", "bot_muls", "num_gs")]
    return (net["block_type"], net["ss"][0], net["ws"][0], *lengths)


def _measure(nets: Sequence[Mapping[str, Any]], dataset: str) -> Complexity:
    side, channels, classes = _PUBLISHED[dataset]
    images: dict[str, Any] = {"image_size": side, "channels": channels, "classes": classes}
    if "genotype" in nets[0]:
        return measure_cells(from_genotypes(nets), **images, imagenet_stem=dataset == "ImageNet")
    # Index 0 is the stem. Lists that a block has no use for are empty or missing.
    keys = {"depth": "ds", "width": "ws", "bot_mul": "bot_muls", "groups": "num_gs"}
    stages: dict[str, Any] = {
        name: np.array([net[key][1:] for net in nets]) for name, key in keys.items() if nets[0].get(key)
    }
    stages |= {"stem_stride": nets[0]["ss"][0], "stem_width": nets[0]["ws"][0]}
    return measure(nets[0]["block_type"], **stages, **images)
