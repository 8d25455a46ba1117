"""Recompute the complexities of a population from the descriptions of its networks."""

from dataclasses import dataclass

import numpy as np

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.published import Published
from edfkit.generator.spaces import described as networks
from edfkit.generator.spaces.counting import Complexity
from edfkit.generator.training import data


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
    geometry = data.geometry(source.dataset(name))
    counts = np.empty((len(Complexity._fields), source.models(name)), np.int64)
    for places, architecture, columns in networks.describe(source, name):
        counts[:, places] = architecture.measure(columns, **geometry)
    counted = Complexity(*counts)
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
