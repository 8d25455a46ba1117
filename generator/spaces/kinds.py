"""The kinds of design space: what a configuration is, how many there are, and how to draw one uniformly.

Configurations are columns, arrays with one row a model. Those of stages are `depth`, `width` and, of bottleneck blocks,
`bot_mul` and `groups`, each of shape (models, stages). Those of cells are the fields of `cells.Cells`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.nets import CELLS, MOST, STEM_WIDTH, Columns
from edfkit.archive.schema import KINDS, OPS
from edfkit.generator.spaces.cells import Cells, measure_cells, prune
from edfkit.generator.spaces.counting import BLOCKS, STEMS, Complexity, measure


def wrong(name: str, value: object, expected: str) -> EdfkitError:
    """Word what is wrong with a value of a definition."""
    return EdfkitError(f"{name} is {value!r}, expected {expected}; correct it.")


def check_choice(name: str, value: object, choices: tuple[Any, ...]) -> None:
    """Check that a value of a definition is one of some.

    Raises
    ------
    EdfkitError
        If it is not.
    """
    if value not in choices or type(value) is not type(choices[0]):  # for 1.0 and True are equal to 1
        raise wrong(name, value, "one of " + ", ".join(map(str, choices)).lower())


def check_integer(name: str, value: object, least: int, most: int) -> None:
    """Check that a value of a definition is a whole number within some range, ends included.

    Raises
    ------
    EdfkitError
        If it is not.
    """
    if type(value) is not int or not least <= value <= most:
        raise wrong(name, value, f"a whole number from {least:,} to {most:,}")


@dataclass(frozen=True)
class Architecture:
    """What the networks of a space have in common, and what their columns do not say.

    Attributes
    ----------
    block : str
        One of `counting.BLOCKS`, or "cells".
    stem_stride : int
        One of `counting.STEMS`; for cells 1 or, with the ImageNet stem, 8.
    stem_width : int
        Channels of the stem, if there are no cells: theirs follow from `width`.
    unused_nodes : bool
        Whether nodes of a cell that feed nothing are built, and so counted.
    """

    block: str
    stem_stride: int = 1
    stem_width: int = STEM_WIDTH
    unused_nodes: bool = False

    def __post_init__(self) -> None:
        strides = (1, 8) if self.block == CELLS else tuple(STEMS)
        choices = {"block": (*BLOCKS, CELLS), "stem_stride": strides, "unused_nodes": (False, True)}
        for name, allowed in choices.items():
            check_choice(name, getattr(self, name), allowed)
        check_integer("stem_width", self.stem_width, 1, int(MOST["width"]))
        if self.stem_stride == 8 and self.stem_width % 2:
            raise wrong("stem_width", self.stem_width, "an even number, as a stem of stride 8 starts with half of it")
        name = "stem_width" if self.block == CELLS else "unused_nodes"
        if getattr(self, name) != getattr(Architecture, name):
            raise EdfkitError(f"{name} is given, which networks of {self.block} do not have; leave it out.")

    def check(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Check that networks can be built.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (models, ...)
            Their configurations, with cells as `cells.from_genotypes` gives them.

        Raises
        ------
        EdfkitError
            If a number is out of its range, inner channels do not divide into groups, or a width is odd with a stem of
            which half is needed.
        """
        for name in ("depth", "width", "bot_mul", "groups"):
            if name in columns:
                values, most = columns[name], MOST[name]
                whole = name != "bot_mul"
                if values.dtype.kind not in ("i" if whole else "if"):
                    raise wrong(name, values.ravel()[:1].tolist()[0], "whole numbers" if whole else "numbers")
                bad = ~((values > 0) & (values <= most))
                if bad.any():
                    raise wrong(name, values[bad][0].item(), f"{'1' if whole else 'above 0'} to {most:,}")
        width = columns["width"]
        if self.block == CELLS:
            if self.stem_stride == 8 and (width % 2).any():
                odd = width[width % 2 == 1][0]
                raise wrong("width", odd.item(), "an even number, as a stem of stride 8 starts with half of it")
            return
        bot_mul, groups = np.broadcast_arrays(columns.get("bot_mul", 1.0), columns.get("groups", 1), width)[:2]
        inner = np.rint(width * bot_mul).astype(np.int64)
        bad = (inner == 0) | (inner % groups != 0)
        if bad.any():
            raise EdfkitError(
                f"width {width[bad][0]} with bot_mul {bot_mul[bad][0]:g} gives {inner[bad][0] or 'no'} inner channels, "
                f"expected some that divide into {groups[bad][0]} groups; change one of them."
            )

    def as_dict(self) -> dict[str, str | int | bool]:
        """Give as plain data what is not usual: `Architecture(**data)` makes the same of it."""
        usual = Architecture(self.block)
        return {"block": self.block} | {key: value for key, value in vars(self).items() if value != vars(usual)[key]}

    def measure(
        self, columns: Mapping[str, NDArray[Any]], *, image_size: int = 32, channels: int = 3, classes: int = 10
    ) -> Complexity:
        """Count the complexity of configurations, see `counting.measure` and `cells.measure_cells`.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (models, ...)
            The configurations.
        image_size, channels, classes : int
            Side of the square input in pixels, its channels, and the classes of the classifier.

        Returns
        -------
        Complexity
            Each an int64 array of shape (models,).
        """
        images: dict[str, Any] = {"image_size": image_size, "channels": channels, "classes": classes}
        if self.block == CELLS:
            cells = self.cells(columns)
            return measure_cells(cells, **images, imagenet_stem=self.stem_stride == 8)
        stem = {"stem_stride": self.stem_stride, "stem_width": self.stem_width}
        return measure(self.block, **{**columns, **images, **stem})

    def cells(self, columns: Mapping[str, NDArray[Any]]) -> Cells:
        """Make the cells that are built of the columns that describe them."""
        cells = Cells(**columns)
        return cells if self.unused_nodes else prune(cells)


@dataclass(frozen=True)
class StageSpace:
    """Networks of stages of blocks: each stage draws a value for each column, independently and uniformly.

    Attributes
    ----------
    name : str
    architecture : Architecture
    values : dict of str to tuple
        What a stage's `depth` (blocks), `width` (channels) and, of bottleneck blocks, `bot_mul` (inner channels by
        width) and `groups` (of the 3x3 convolution) may be.
    stages : int
        The first keeps the resolution, each other halves it.
    """

    name: str
    architecture: Architecture
    values: Mapping[str, tuple[float, ...]]
    stages: int = 3

    @property
    def size(self) -> int:
        """Number of configurations."""
        return int(math.prod(map(len, self.values.values())) ** self.stages)

    def draw(self, rng: np.random.Generator, number: int) -> Columns:
        """Draw so many configurations, uniformly, with replacement."""
        return {
            name: np.array(values)[rng.integers(len(values), size=(number, self.stages))]
            for name, values in self.values.items()
        }

    def enumerate(self, start: int, stop: int) -> Columns:
        """Give the configurations with the numbers from `start` to `stop`, exclusive, out of `size`."""
        number = np.arange(start, stop)
        columns = {name: np.empty((len(number), self.stages), np.array(v).dtype) for name, v in self.values.items()}
        for name, values in self.values.items():
            for stage in range(self.stages):
                number, digit = np.divmod(number, len(values))
                columns[name][:, stage] = np.array(values)[digit]
        return columns


@dataclass(frozen=True)
class CellSpace:
    """Networks of NAS cells: ops and inputs of both cells, width and depth are drawn independently and uniformly.

    Attributes
    ----------
    name : str
    architecture : Architecture
    ops : tuple of str
        What an op may be, out of `cells.OPS`.
    nodes : int
        Nodes of a cell; each adds two ops.
    output : "all", "loose" or tuple of int
        What a cell concatenates: all nodes, those that no other node uses, or these, counted from 2 as inputs are.
    width, depth : tuple of int
        What the channels of the first cell and the number of cells may be.
    """

    name: str
    architecture: Architecture
    ops: tuple[str, ...]
    nodes: int
    output: str | tuple[int, ...]
    width: tuple[int, ...]
    depth: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Number of cells: two ordered pairs of op and input a node, in order, whatever they compute."""
        return int(math.factorial(self.nodes + 1) ** 2 * len(self.ops) ** (2 * self.nodes))

    @property
    def size(self) -> int:
        """Number of configurations: a normal cell, a reduction cell, a width and a depth."""
        return self.cells**2 * len(self.width) * len(self.depth)

    def draw(self, rng: np.random.Generator, number: int) -> Columns:
        """Draw so many configurations, uniformly, with replacement."""
        shape = (number, len(KINDS), self.nodes, 2)
        codes = np.array([OPS.index(op) for op in self.ops])
        op = codes[rng.integers(len(codes), size=shape)]
        node = np.arange(self.nodes)
        inputs = rng.integers(2 + node[:, None], size=shape)
        if self.output == "loose":
            concat = np.stack([(inputs != 2 + i).all((2, 3)) for i in node], axis=2)
        else:
            concat = np.broadcast_to(np.isin(2 + node, self.output) | (self.output == "all"), shape[:3])
        return {
            "op": op,
            "input": inputs,
            "concat": concat,
            "width": np.array(self.width)[rng.integers(len(self.width), size=number)],
            "depth": np.array(self.depth)[rng.integers(len(self.depth), size=number)],
        }


@dataclass(frozen=True, eq=False)
class Network:
    """One network, as a space of one configuration: a population of it shows what the training seed does.

    Attributes
    ----------
    name : str
    architecture : Architecture
    columns : dict of str to ndarray
        The configuration, without the axis of the models.
    """

    name: str
    architecture: Architecture
    columns: Mapping[str, NDArray[Any]]

    @property
    def size(self) -> int:
        """Number of configurations."""
        return 1

    def draw(self, rng: np.random.Generator, number: int) -> Columns:
        """Repeat the configuration so many times."""
        return {name: np.repeat(np.asarray(value)[None], number, axis=0) for name, value in self.columns.items()}


Space = StageSpace | CellSpace | Network
