"""What is wrong with an archive or published files: all of it, not only the first thing.

`Archive.validate` holds a file against the rules of the format and stops at the first that is broken. Here reading goes
on after it, and what the values say of each other is checked besides: what follows from a curve, and what is there
twice. Archives are read once, a part at a time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.published import CURVES, DIVERGED_FROM, Published
from edfkit.archive.schema import (
    Ids,
    Spec,
    Status,
    cell_fault,
    check_labels,
    curve_of,
    final_of,
    hashed,
    impossible_cells,
    off_curve,
    out_of_range,
    range_fault,
)
from edfkit.metric import ERROR, Metric
from edfkit.result import Result

SHOWN = 3
"""Examples that a finding has, at most."""

_CONFIGURED = ("depth", "width", "bot_mul", "groups", "op", "input", "concat")
_TRAINED = ("lr", "wd", "seed")
# Percent. Published errors have been rounded to 4 decimals, the error and the curve each for itself.
_TOLERANCE, _ROUNDED = 1e-9, 2e-5
# Percent: within a point of guessing among 1,000 or 10 classes. Published files do not say which runs broke down.
_GUESSING = {"ImageNet": 99.0, "CIFAR-10": 89.0}


@dataclass(frozen=True)
class Finding(Result):
    """Something that is wrong with a population, or worth knowing of it.

    Attributes
    ----------
    population : str
    kind : {"unreadable", "range", "error", "error_final", "metric", "metric_final", "cells", "ids", "guessing", \
"repeated"}
        What it is about: what cannot be read or breaks the format; values out of their range; an error that is not the
        smallest of its curve; a final error that is not the last of it; the same of other metrics and their best;
        cells that cannot be; ids that are there twice;
        such errors of published runs that are as bad as guessing; configurations with their seed that are there twice.
    severity : {"error", "note"}
        The last two are notes: runs that diverged were published so, and sampling with replacement repeats.
    count : int
        Models concerned; of "unreadable" variables, of "range" values, of "ids" ids.
    examples : tuple of str
        The first of them, `SHOWN` at most; a phrase each.
    """

    population: str
    kind: str
    severity: Literal["error", "note"]
    count: int
    examples: tuple[str, ...]

    @property
    def message(self) -> str:
        """One sentence, with the examples."""
        what = _WHAT[self.kind]
        more = f"; and {self.count - len(self.examples):,} more" if self.count > len(self.examples) else ""
        return f"{self.population}: {self.count:,} {what}: {'; '.join(self.examples)}{more}."


_WHAT = {
    "unreadable": "variable(s) cannot be read",
    "range": "value(s) out of range",
    "error": "model(s) whose error is not the smallest of the curve",
    "error_final": "model(s) whose final error is not the last of the curve",
    "metric": "model(s) whose metric is not the best of the curve",
    "metric_final": "model(s) whose final metric is not the last of the curve",
    "cells": "model(s) with cells that cannot be",
    "ids": "id(s) of more than one model",
    "guessing": "model(s) as bad as guessing whose error is not the smallest of the curve",
    "repeated": "model(s) with the configuration and seed of an earlier one",
}


def verify(source: Archive | Published) -> list[Finding]:
    """Read all that there is, and find what is wrong with it.

    Parameters
    ----------
    source : Archive or Published
        What a population is made of, such as its variables and their lengths, is checked here too.

    Returns
    -------
    list of Finding
        By population, in the order of `Finding.kind`; empty if nothing is wrong and nothing is repeated.
    """
    found: list[Finding] = []
    labels: dict[str, str] = {}
    for name in source.names:
        report = _Report(name)
        if isinstance(source, Archive):
            _verify_archive(source, name, labels, report)
        else:
            _verify_published(source, name, report)
        found += report.findings()
    return found


class _Report:
    """Findings on a population while it is read: counts, and the first examples."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def add(self, kind: str, count: int, examples: Iterable[str]) -> None:
        if count:
            self._counts[kind] += count
            held = self._examples.setdefault(kind, [])
            held += islice(examples, SHOWN - len(held))

    def mask(self, kind: str, wrong: NDArray[np.bool_], phrase: Callable[..., str]) -> None:
        """Add the places at which something is wrong; `phrase` takes the indices of one."""
        if wrong.any():
            places = np.argwhere(wrong)[:SHOWN].tolist()
            self.add(kind, int(np.count_nonzero(wrong)), (phrase(*place) for place in places))

    def unreadable(self, error: EdfkitError) -> None:
        self.add("unreadable", 1, [str(error).rstrip(".")])

    @property
    def all_read(self) -> bool:
        return "unreadable" not in self._examples

    def findings(self) -> list[Finding]:
        return [
            Finding(
                self._name,
                kind,
                "note" if kind in ("guessing", "repeated") else "error",
                self._counts[kind],
                tuple(examples),
            )
            for kind in _WHAT
            if (examples := self._examples.get(kind))
        ]


# --- Archives


def _verify_archive(archive: Archive, name: str, labels: dict[str, str], report: _Report) -> None:
    try:
        described, population = archive.variables(name), archive.population(name)
    except EdfkitError as error:  # its structure
        report.unreadable(error)
        return
    try:
        label = archive.label(name)
        check_labels(archive.path, {labels.get(label, name): label, name: label})
        labels[label] = name
    except EdfkitError as error:
        report.unreadable(error)
    along = []
    for variable in described:
        try:
            if archive.field(name, variable).dims[0] == "model":
                along.append(variable)
            else:
                archive.read(name, variable)
        except EdfkitError as error:
            report.unreadable(error)
    ids, runs = Ids(archive.models(name) if "id" in along else 0), _Runs()  # a damaged file may claim any number
    for first, piece in archive.pieces(name, along, unreadable=report.unreadable):
        _check_ranges(piece, first, population.specs, report)
        _check_curves(piece, first, report, measured=population.metrics)
        if "input" in piece and "concat" in piece:
            _check_cells(piece["input"], piece["concat"], first, report)
        if "id" in piece:
            ids.add(piece["id"])
        if "seed" in piece:
            runs.add(piece)
    again = archive.pieces(name, ["id"], unreadable=lambda _: None)
    _report_ids(ids.repeated(lambda: (piece["id"] for _, piece in again if piece)), report)
    if report.all_read and any(variable in described for variable in _CONFIGURED):
        runs.check(report)


def _check_ranges(piece: Mapping[str, NDArray[Any]], first: int, known: Mapping[str, Spec], report: _Report) -> None:
    for name, values in piece.items():
        # Where the status cannot be read, no model is known to have failed.
        spec = known.get(name)
        wrong = out_of_range(spec, values, lambda: piece.get("status", np.full(len(values), -1)))  # noqa: B023 - called at once
        if spec is not None and wrong is not None:
            report.mask("range", wrong, lambda *place: range_fault(name, values, place, spec, first))  # noqa: B023


def _check_curves(
    piece: Mapping[str, NDArray[Any]],
    first: int,
    report: _Report,
    tolerance: float = _TOLERANCE,
    guessing: float = np.inf,
    measured: Iterable[Metric] = (ERROR,),
) -> None:
    """Check what follows from the curves of each finished model; what has the error of guessing may have diverged."""

    def shown(name: str, model: int, values: NDArray[Any]) -> str:
        return f"{name!r} of model {first + model} is {values[model]}"

    for metric in measured:
        name, final_name = metric.name, final_of(metric.name)
        if "status" not in piece or curve_of(name) not in piece:
            continue
        status, curve = piece["status"], piece[curve_of(name)]
        kind, kind_final = ("error", "error_final") if name == ERROR.name else ("metric", "metric_final")
        if name in piece:
            values = piece[name]
            off, best = off_curve(metric, values, curve, status, tolerance)
            for which, those in ((kind, ~(values >= guessing)), ("guessing", values >= guessing)):
                report.mask(which, off & those, lambda i: f"{shown(name, i, values)}, the curve gives {best[i]}")  # noqa: B023
        if final_name in piece:
            finals, known = piece[final_name], ~np.isnan(curve)
            last = curve.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
            end = curve[np.arange(len(curve)), last]  # NaN where the whole curve is
            off = (status == Status.FINISHED) & (np.abs(finals - end) > tolerance)
            report.mask(kind_final, off, lambda i: f"{shown(final_name, i, finals)}, the curve ends with {end[i]}")  # noqa: B023


def _check_cells(inputs: NDArray[Any], concat: NDArray[Any], first: int, report: _Report) -> None:
    report.mask("cells", impossible_cells(inputs, concat), lambda model: cell_fault(inputs, concat, model, first))


class _Runs:
    """Hashes of 8 bytes of the configuration and seed of each model, of which equal ones are looked for."""

    def __init__(self) -> None:
        self._hashes: list[NDArray[np.uint64]] = []
        self._known: list[NDArray[np.bool_]] = []

    def add(self, piece: Mapping[str, NDArray[Any]]) -> None:
        columns = [piece[variable] for variable in (*_CONFIGURED, *_TRAINED) if variable in piece]
        rows = [np.ascontiguousarray(column.reshape(len(column), -1)).view(np.uint8) for column in columns]
        self._hashes.append(hashed(np.concatenate(rows, axis=1).view("S1")))
        self._known.append(~np.isnan(piece["seed"].astype(float)))  # a run of unknown seed repeats none

    def check(self, report: _Report) -> None:
        places = np.flatnonzero(np.concatenate(self._known))
        hashes = np.concatenate(self._hashes)[places]
        _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        again = np.flatnonzero(first[inverse] != np.arange(len(hashes)))
        phrases = (f"model {places[i]} is as model {places[first[inverse[i]]]}" for i in again)
        report.add("repeated", again.size, phrases)


def _report_ids(models: Mapping[str, int], report: _Report) -> None:
    several = {name: count for name, count in models.items() if count > 1}
    report.add("ids", len(several), (f"{name!r} stands for {count} models" for name, count in several.items()))


# --- Published files


def _verify_published(source: Published, name: str, report: _Report) -> None:
    columns: dict[str, NDArray[Any]] = {}
    try:
        variables = source.variables(name)
    except EdfkitError as error:
        report.unreadable(error)
        return
    for variable in variables:
        try:
            columns[variable] = source.read(name, variable)
        except EdfkitError as error:
            report.unreadable(error)
    if "error" in columns:
        # Reading takes a model whose error is not that of its curve for diverged: here that is the question.
        known = [np.isfinite(columns[curve]).all(axis=1) for curve in CURVES if curve in columns]
        finished = np.logical_and.reduce([columns["error"] < DIVERGED_FROM, *known])
        columns["status"] = np.where(finished, Status.FINISHED, Status.DIVERGED)
    _check_curves(columns, 0, report, _ROUNDED, _GUESSING.get(source.dataset(name), np.inf))
    if "id" in columns:
        _report_ids(Counter(columns["id"].tolist()), report)
    if all(variable in columns for variable in _TRAINED):
        try:
            nets = [json.dumps(net, sort_keys=True) for net in source.networks(name)]
        except EdfkitError:  # some files describe no networks
            return
        seen: dict[tuple[Any, ...], int] = {}
        earlier = [
            seen.setdefault(run, model)
            for model, run in enumerate(zip(nets, *(columns[variable].tolist() for variable in _TRAINED), strict=True))
        ]
        again = [model for model, before in enumerate(earlier) if before != model]
        report.add("repeated", len(again), (f"model {model} is as model {earlier[model]}" for model in again))
