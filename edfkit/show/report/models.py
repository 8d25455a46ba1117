"""The models of a report, packed: columns of numbers in one compressed block, with a list of where each lies.

A column is stored as whole numbers of 1, 2 or 4 bytes if it has no others, as places in a table of its values if that
is shorter, else as doubles: read back, the numbers are the same to the last bit.
"""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.nets import uniform
from edfkit.archive.schema import OPS
from edfkit.show.report.content import Report
from edfkit.study.counting import Counted
from edfkit.study.selection import select

_CELLS, _STAGES = ("op", "input", "concat"), ("depth", "width", "bot_mul", "groups")
_WHOLE = (("u1", 2**8), ("u2", 2**16), ("u4", 2**32))  # type, and the smallest number that it cannot hold


@dataclass(frozen=True)
class Packed:
    """The models of all spaces.

    Attributes
    ----------
    spaces : list of dict
        Of each space its `name`, its number of `models`, `kind` of network ("stages", "cells" or None, with the reason
        `why`), and its `columns`: of each the place `at`, number `n` and type `as`, the `table` of what the numbers
        stand for if they are places in one (with its own `at`, `n` and `as`), and how many numbers a model has, `per`.
    block : str
        The numbers, little-endian, compressed by zlib, in base64.
    ops : list of str
        What the codes of a cell's ops mean.
    """

    spaces: list[dict[str, Any]]
    block: str
    ops: list[str]


class _Block:
    """Grows by columns; remembers where they are."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, values: NDArray[Any]) -> dict[str, Any]:
        flat = np.asarray(values, dtype=np.float64).ravel()
        kind = _kind(flat)
        table, codes = np.unique(flat, return_inverse=True)
        coded = _kind(codes.ravel())
        if np.dtype(coded).itemsize * codes.size + 8 * table.size < np.dtype(kind).itemsize * flat.size:
            return self._append(codes.ravel(), coded) | {"table": self._append(table, "f8")}
        return self._append(flat, kind)

    def _append(self, values: NDArray[Any], kind: str) -> dict[str, Any]:
        data = values.astype(f"<{kind}").tobytes()
        place = {"at": self.size, "n": values.size, "as": kind}
        padding = -len(data) % 8  # where doubles may lie
        self.parts += [data, bytes(padding)]
        self.size += len(data) + padding
        return place


def _kind(values: NDArray[Any]) -> str:
    if values.size and np.all((values >= 0) & (values == np.floor(values))):
        return next((kind for kind, end in _WHOLE if values.max() < end), "f8")
    return "f8"


def pack(report: Report) -> Packed:
    """Pack the models that a report shows: those that take part without a complexity, whatever their complexity.

    Parameters
    ----------
    report : Report

    Returns
    -------
    Packed
        Columns `row` (of the population), `error` (percent) and each complexity known; where a network has several
        rows `unit`, a number that is its own in all spaces; of networks `depth`, `width`, `bot_mul` and `groups`, or
        `depth`, `width`, `op`, `input` and `concat`.
    """
    block, spaces = _Block(), []
    read = report.source.read
    members = select(report.source, report.names, reading=report.reading).populations
    numbers = _numbers(report, [len(member.rows) for member in members])
    for member, number in zip(members, numbers, strict=True):
        columns: dict[str, NDArray[Any]] = {"row": member.rows, "error": member.errors} | number
        for complexity in report.complexities:
            columns[complexity] = read(member.name, complexity)[member.rows].astype(float)
        kind, why = None, ""
        try:
            described = _networks(report.source, member.name)
            kind = "cells" if "op" in described else "stages"
            columns |= {name: values[member.rows] for name, values in described.items()}
        except EdfkitError as error:
            why = str(error)
        models = len(member.rows)
        packed = {name: block.add(values) | {"per": int(np.size(values) / models)} for name, values in columns.items()}
        spaces.append({"name": member.name, "models": models, "kind": kind, "why": why, "columns": packed})
    compressed = zlib.compress(b"".join(block.parts), 6)
    return Packed(spaces, base64.b64encode(compressed).decode("ascii"), list(OPS))


def _numbers(report: Report, models: Sequence[int]) -> list[dict[str, NDArray[Any]]]:
    """Give each unit of all spaces a number; nothing where every row is a unit by itself."""
    everyone = report.comparisons["none"]
    if not any(pair.sharing.paired for pair in everyone.pairs) and not any(
        one.repeats for one in everyone.selection.populations
    ):
        return [{} for _ in models]
    ends = np.cumsum(models)
    own = [
        np.arange(end - many, end, dtype=np.uint64) if one.units is None else one.units.unit
        for one, many, end in zip(everyone.selection.populations, models, ends, strict=True)
    ]
    _, first, place = np.unique(np.concatenate(own), return_index=True, return_inverse=True)
    # By the row that has it first, so that numbers grow and compress well.
    return [{"unit": some} for some in np.split(first[place], ends[:-1])]


def _networks(source: Counted, name: str) -> Mapping[str, NDArray[Any]]:
    """Read what describes the networks of a population, as columns."""
    if hasattr(source.source, "networks"):
        return uniform(source.source.networks(name))
    variables: Sequence[str] = source.variables(name)
    wanted = (*_CELLS, "depth", "width") if set(_CELLS) <= set(variables) else _STAGES
    found = {variable: source.read(name, variable) for variable in wanted if variable in variables}
    if not {"depth", "width"} <= set(found):
        raise EdfkitError(f"The networks of {name} are not described: it has no depth and width.")
    return found
