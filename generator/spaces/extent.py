"""How complex the networks of a space are: exactly, over all of them, where that is feasible, else from a sample."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edfkit.generator.spaces.counting import Complexity
from edfkit.generator.spaces.kinds import Space, StageSpace
from edfkit.generator.spaces.sampling import BOUNDED, check_bounds, sample, within_bounds

PERCENTS = (0, 5, 25, 50, 75, 95, 100)
# Spaces up to this size are counted whole, one count at a time, which takes 8 bytes a configuration.
_MOST = 2**26
_CHUNK = 2**17
_DRAWS = 25_000


@dataclass(frozen=True)
class Extent:
    """The complexity of a space.

    Attributes
    ----------
    configurations : int
        Counted: all of the space, or so many drawn uniformly.
    exact : bool
        Whether it is all of them.
    quantiles : dict of str to list of int
        Of params, macs and flops: the smallest that so many percent of the configurations do not exceed, for each of
        `PERCENTS`.
    within : dict of str to float
        The share of the configurations that lie below each bound, below all of them ("and") and below one ("or").
    """

    configurations: int
    exact: bool
    quantiles: dict[str, list[int]]
    within: dict[str, float]


def measure_extent(space: Space, bounds: Mapping[str, float], *, seed: int = 0, **geometry: Any) -> Extent:
    """Count the complexity of all configurations of a space, or of 25,000 if they are more than 67 million.

    Parameters
    ----------
    space : Space
        The space.
    bounds : mapping from "params", "macs" or "flops" to number
        Upper bounds, exclusive.
    seed : int
        Of the sample, if one is drawn.
    **geometry : int
        `image_size` (pixels), `channels`, `classes` of the data that the networks are for.

    Returns
    -------
    Extent

    Raises
    ------
    EdfkitError
        If a bound is not a positive number of a known count.
    """
    check_bounds(bounds, "and")
    if isinstance(space, StageSpace) and space.size <= _MOST:
        size = space.size

        def count(start: int) -> Complexity:
            return space.architecture.measure(space.enumerate(start, min(start + _CHUNK, size)), **geometry)
    else:
        size = min(space.size, _DRAWS)
        # All of a small space is each configuration once.
        drawn = sample(space, size, seed=seed, replacement=size < space.size, **geometry).complexity

        def count(start: int) -> Complexity:
            return Complexity(*(values[start : start + _CHUNK] for values in drawn))

    quantiles: dict[str, list[int]] = {}
    places = [max(0, -(-percent * size // 100) - 1) for percent in PERCENTS]
    for name in BOUNDED:
        values = np.empty(size, np.int64)
        for start in range(0, size, _CHUNK):
            values[start : start + _CHUNK] = getattr(count(start), name)
        values.partition(places)
        quantiles[name] = values[places].tolist()

    rules = {name: ({name: bound}, "and") for name, bound in bounds.items()}
    rules |= {rule: (dict(bounds), rule) for rule in ("and", "or")}
    inside = dict.fromkeys(rules, 0)
    for start in range(0, size, _CHUNK):
        complexity = count(start)
        for name, (some, rule) in rules.items():
            inside[name] += int(within_bounds(complexity, some, rule).sum())
    return Extent(size, size == space.size, quantiles, {name: hits / size for name, hits in inside.items()})
