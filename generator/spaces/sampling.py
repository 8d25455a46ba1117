"""Uniform samples of configurations from a design space, under complexity bounds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.nets import Columns
from edfkit.generator.spaces.counting import Complexity
from edfkit.generator.spaces.kinds import Space

BOUNDED = ("params", "macs", "flops")
RULES = ("and", "or", "none")

# Drawn at a time. It is part of what a seed means: another number gives other samples.
_DRAWS = 8192
# Of draws that find nothing new, before giving up.
_MOST_DRAWS = 128 * _DRAWS


@dataclass(frozen=True)
class Sample:
    """Configurations drawn from a space, with their complexity.

    Attributes
    ----------
    columns : dict of str to ndarray, shape (models, ...)
        The columns of the space, such as `depth` and `width`.
    complexity : Complexity
        Arrays of shape (models,).
    """

    columns: Columns
    complexity: Complexity

    def __len__(self) -> int:
        """Return the number of configurations."""
        return len(self.complexity.params)


def check_bounds(bounds: Mapping[str, float], rule: str) -> None:
    """Check bounds and how they combine.

    Raises
    ------
    EdfkitError
        If a bound is not a positive number of a known count, or the rule is unknown.
    """
    if rule not in RULES:
        raise EdfkitError(f"{rule!r} is no rule for bounds; choose {', '.join(RULES)}.")
    for name, bound in bounds.items():
        if name not in BOUNDED or not bound > 0:
            raise EdfkitError(f"The bound {name} = {bound} is not a positive number of {', '.join(BOUNDED)}.")


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
    replacement: bool = True,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
) -> Sample:
    """Draw configurations uniformly among those within the bounds, independently or without replacement.

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
    replacement : bool
        Whether a configuration may come more than once.
    image_size, channels, classes : int
        The data that the networks are for: side in pixels, channels, classes.

    Returns
    -------
    Sample
        Of length `models`.

    Raises
    ------
    EdfkitError
        If `models` is less than 1, the bounds or their rule are wrong, or a million draws in a row find no
        configuration within the bounds (without replacement: no further one).
    """
    bounds = dict(bounds or {})
    check_bounds(bounds, rule)
    if models < 1:
        raise EdfkitError(f"{models} models were asked for; ask for at least 1.")
    if not replacement and models > space.size:
        raise EdfkitError(
            f"{models:,} models without replacement were asked for, and {space.name} has {space.size:,} "
            "configurations; ask for fewer, or draw with replacement."
        )

    # With the name in the seed, spaces with the same value lists are sampled independently under one seed.
    rng = np.random.default_rng([seed, *space.name.encode()])
    kept: list[Sample] = []
    found = inside = idle = 0
    due = models  # looking for what came before costs a sort of all: it waits until that may be enough
    while found < models:
        drawn = space.draw(rng, _DRAWS)
        complexity = space.architecture.measure(drawn, image_size=image_size, channels=channels, classes=classes)
        kept.append(_pick(Sample(drawn, complexity), np.flatnonzero(within_bounds(complexity, bounds, rule))))
        inside += len(kept[-1])
        idle += _DRAWS
        before = found
        if replacement:
            found = inside
        elif inside >= due or idle >= _MOST_DRAWS:
            together = _join(kept)
            kept = [_pick(together, _first_places(together.columns))]
            found = inside = len(kept[0])
            due = max(models, 3 * found // 2)
        if found > before:
            idle = 0
        elif idle >= _MOST_DRAWS:
            raise EdfkitError(
                f"None of {idle:,} configurations drawn from {space.name} is within {bounds} ({rule}); raise them."
                if not found
                else f"{space.name} has no more than {found:,} different configurations within {bounds} ({rule}), as "
                f"{idle:,} further draws found no other; ask for fewer than {models:,}, or raise the bounds."
            )
    return _pick(_join(kept), np.arange(models))


def _pick(sample: Sample, places: NDArray[np.intp]) -> Sample:
    return Sample(
        {name: column[places] for name, column in sample.columns.items()},
        Complexity(*(count[places] for count in sample.complexity)),
    )


def _join(samples: list[Sample]) -> Sample:
    return Sample(
        {name: np.concatenate([part.columns[name] for part in samples]) for name in samples[0].columns},
        Complexity(*(np.concatenate(parts) for parts in zip(*(part.complexity for part in samples), strict=True))),
    )


def _first_places(columns: Columns) -> NDArray[np.intp]:
    """Say where each configuration comes for the first time, in order."""
    models = len(next(iter(columns.values())))
    rows = np.concatenate([column.reshape(models, -1).astype(float) for column in columns.values()], axis=1)
    keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))[:, 0]
    return np.sort(np.unique(keys, return_index=True)[1])
