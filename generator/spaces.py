"""The design spaces, and uniform samples from them under complexity bounds. A space is data: block and value lists."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.generator.complexity import STRIDES, Complexity, measure

BOUNDED = ("params", "macs", "flops")

# Drawn at a time. It is part of what a seed means: another number gives other samples.
_DRAWS = 8192
_MOST_DRAWS = 1024 * _DRAWS


@dataclass(frozen=True)
class Space:
    """A design space: each of three stages draws a value for each of its columns, independently and uniformly.

    Attributes
    ----------
    name : str
        Name of the space, lower case.
    block : str
        Kind of block, in the words of the published files.
    values : dict of str to tuple
        What a stage's `depth` (blocks), `width` (channels) and, of bottleneck blocks, `bot_mul` (inner channels by
        width) and `groups` (of the 3x3 convolution) may be.
    """

    name: str
    block: str
    values: Mapping[str, Sequence[float]]

    @property
    def size(self) -> int:
        """Number of configurations in the space."""
        return int(math.prod(map(len, self.values.values())) ** len(STRIDES))


_RESNET = {
    "depth": (1, 2, 3, 4, 6, 8, 12, 16, 24),
    "width": (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256),
}
_RESNEXT_A = {
    "depth": (1, 2, 4, 8, 16),
    "width": (16, 32, 64, 128, 256),
    "bot_mul": (0.25, 0.5, 1.0),
    "groups": (1, 2, 4),
}
_RESNEXT_B = _RESNEXT_A | {"width": (64, 128, 256, 512, 1024), "groups": (1, 2, 4, 8, 16)}

SPACES = {
    space.name: space
    for space in (
        Space("vanilla", "double_plain_block", _RESNET),
        Space("resnet", "res_basic_block", _RESNET),
        Space("resnext-a", "res_bottleneck_block", _RESNEXT_A),
        Space("resnext-b", "res_bottleneck_block", _RESNEXT_B),
    )
}


def find(name: str) -> Space:
    """Look a space up by its name, in any case.

    Raises
    ------
    EdfkitError
        If there is no such space; the message lists those there are.
    """
    space = SPACES.get(name.lower())
    if space is None:
        raise EdfkitError(f"There is no design space {name!r}; choose one of {', '.join(SPACES)}.")
    return space


@dataclass(frozen=True)
class Sample:
    """Configurations drawn from a space, with their complexity.

    Attributes
    ----------
    stages : dict of str to ndarray, shape (models, 3)
        The columns of the space, such as `depth` and `width`.
    complexity : Complexity
        Arrays of shape (models,).
    """

    stages: dict[str, NDArray[Any]]
    complexity: Complexity

    def __len__(self) -> int:
        """Return the number of configurations."""
        return len(self.complexity.params)


def within_bounds(complexity: Complexity, bounds: Mapping[str, float], rule: str) -> NDArray[np.bool_]:
    """Tell which configurations lie strictly below the bounds.

    Parameters
    ----------
    complexity : Complexity
        Arrays of shape (models,).
    bounds : mapping from "params", "macs" or "flops" to number
        Upper bounds, exclusive.
    rule : {"and", "or", "none"}
        Below every bound, below at least one, or no bound at all. The published samples fit "or".

    Returns
    -------
    ndarray of bool, shape (models,)
    """
    if rule == "none" or not bounds:
        return np.ones(len(complexity.params), bool)
    below = [getattr(complexity, name) < bound for name, bound in bounds.items()]
    combine = np.logical_and if rule == "and" else np.logical_or
    return np.asarray(combine.reduce(below))


def sample(
    space: Space,
    models: int,
    *,
    seed: int,
    bounds: Mapping[str, float] | None = None,
    rule: str = "and",
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
) -> Sample:
    """Draw configurations uniformly and independently (with replacement) among those within the bounds.

    The first n of a longer sample are the sample of n: a population can grow without retraining a model.

    Parameters
    ----------
    space : Space
        Where to draw from.
    models : int
        How many, at least 1.
    seed : int
        The same seed gives the same configurations.
    bounds : mapping from "params", "macs" or "flops" to number, optional
        Upper bounds, exclusive.
    rule : {"and", "or", "none"}
        How bounds combine, see `within_bounds`.
    image_size, channels, classes : int
        The data that the networks are for: side in pixels, channels, classes.

    Returns
    -------
    Sample
        Of length `models`.

    Raises
    ------
    EdfkitError
        If `models` is less than 1, a bound is not a positive number of a known count, the rule is unknown, or nothing
        in eight million draws is within the bounds.
    """
    bounds = dict(bounds or {})
    if models < 1:
        raise EdfkitError(f"{models} models were asked for; ask for at least 1.")
    if rule not in ("and", "or", "none"):
        raise EdfkitError(f"{rule!r} is no rule for bounds; choose and, or, none.")
    for name, bound in bounds.items():
        if name not in BOUNDED or not bound > 0:
            raise EdfkitError(f"The bound {name} = {bound} is not a positive number of {', '.join(BOUNDED)}.")

    # With the name in the seed, spaces with the same value lists are sampled independently under one seed.
    rng = np.random.default_rng([seed, *space.name.encode()])
    values = {name: np.array(list(allowed)) for name, allowed in space.values.items()}
    kept: list[tuple[dict[str, NDArray[Any]], Complexity]] = []
    found = drawn = 0
    while found < models:
        stages: dict[str, Any] = {
            name: allowed[rng.integers(len(allowed), size=(_DRAWS, len(STRIDES)))] for name, allowed in values.items()
        }
        complexity = measure(space.block, **stages, image_size=image_size, channels=channels, classes=classes)
        inside = within_bounds(complexity, bounds, rule)
        kept.append(
            ({name: drawing[inside] for name, drawing in stages.items()}, Complexity(*(c[inside] for c in complexity)))
        )
        found += int(inside.sum())
        drawn += _DRAWS
        if not found and drawn >= _MOST_DRAWS:
            raise EdfkitError(
                f"None of {drawn:,} configurations drawn from {space.name} is within {bounds} ({rule}); raise them."
            )
    return Sample(
        {name: np.concatenate([stages[name] for stages, _ in kept])[:models] for name in values},
        Complexity(*(np.concatenate(parts)[:models] for parts in zip(*(counts for _, counts in kept), strict=True))),
    )
