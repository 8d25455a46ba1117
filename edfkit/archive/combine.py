"""Archives made of others: joined by `merge`, or a part of one by `subset`.

Both read and write piece by piece, so that neither the archives nor a population need fit in memory. Of each model at
most some tens of bytes are kept: a hash of its id, and whether it is taken.

All values are read and checked in any case. A population that goes over unchanged is copied byte by byte, and checked
when it is read back. Where populations are joined or cut, whole chunks are copied as far as they fit.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive, Field, Writer, writing
from edfkit.archive.schema import REQUIRED_ATTRS, STATUS, TEXT, Status, listed, row_hashes

Block = dict[str, NDArray[Any]]

_COMPLEXITIES = ("params", "macs", "flops", "acts")
_TRAINED_ON = ("dataset", "recipe")  # of a population, or of all in the file
_DEFINING = ("goal", "valid_min", "valid_max")  # what a metric is


@dataclass(frozen=True)
class _Part:
    """A population of one of the sources."""

    archive: Archive
    name: str
    fields: dict[str, Field]

    @property
    def where(self) -> str:
        return f"{self.name} of {self.archive.path}"

    @property
    def models(self) -> int:
        return self.archive.models(self.name)

    @cached_property
    def trained_on(self) -> dict[str, Any]:
        return {"dataset": self.archive.dataset(self.name), "recipe": self.archive.recipe(self.name)}


def merge(
    sources: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    *,
    force: bool = False,
    title: str | None = None,
    source: str | None = None,
    license: str | None = None,
) -> dict[str, int]:
    """Write one archive that holds the populations of several, those of one name joined in the order of the sources.

    What a population lacks of a joined one is NaN, not known, where the format allows that; shorter curves are padded
    with NaN. A model that comes twice, equal in every variable, is taken once.

    Parameters
    ----------
    sources : sequence of path-like
        The archives.
    target : path-like
        The archive to write or replace; it may be one of the sources.
    force : bool
        Join even what differs in its data set, its recipe, or another attribute of a population. The root attribute
        `forced` (JSON) then says what did; every population keeps its own `dataset` and `recipe`. Of one that is joined
        of several, `dataset` names all, `recipe` is a list of them, and other attributes are those of the first.
    title, source, license : str, optional
        Root attributes; those of the sources, one after the other, by default.

    Returns
    -------
    dict of str to int
        The models of each population written.

    Raises
    ------
    EdfkitError
        If there is no source, a source cannot be read, the sources do not go together, or an id stands for two models
        that differ.
    """
    if not sources:
        raise EdfkitError("No archive to merge was given, expected one or more; name them.")
    with ExitStack() as opened:
        archives = [opened.enter_context(Archive(path)) for path in sources]
        populations: dict[str, list[_Part]] = {}
        for archive in archives:
            for name in archive.names:
                fields = {variable: archive.field(name, variable) for variable in archive.variables(name)}
                populations.setdefault(name, []).append(_Part(archive, name, fields))
        joined = {name: _Joined(populations[name]) for name in sorted(populations)}

        differing = _differing_training([part for parts in populations.values() for part in parts])
        group_attrs: dict[str, dict[str, Any]] = {}
        for name, parts in populations.items():
            group_attrs[name], others = _joined_attrs(parts, joined[name].giving)
            differing |= others
        for population in joined.values():
            differing |= population.differing
        if differing and not force:
            what, values = next(iter(differing.items()))
            raise EdfkitError(
                f"The {what} of what is to be merged is not one: {_shortened(values)}; write two archives, or force it."
            )
        root = _root([archive.attrs for archive in archives])
        root |= {k: v for k, v in (("title", title), ("source", source), ("license", license)) if v is not None}
        root |= _texts(next(iter(populations.values()))[0].trained_on)
        if differing:
            root["forced"] = json.dumps(_earlier(archives) + [{"what": w, "values": v} for w, v in differing.items()])
        for name, parts in populations.items():
            group_attrs[name] |= {k: v for k, v in _trained_on(parts).items() if v != root[k]}

        with writing(target, root) as writer:
            for name, population in joined.items():
                population.write(writer, group_attrs[name])
            opened.close()  # the target may be one of them
    return {name: population.models for name, population in joined.items()}


def subset(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    spaces: Sequence[str] | None = None,
    given: str = "params",
    range: tuple[float, float] | None = None,
    status: Sequence[str] | None = None,
    models: int | None = None,
    seed: int = 0,
    where: tuple[str, Callable[[str], NDArray[np.bool_]]] | None = None,
) -> dict[str, int]:
    """Write an archive of some models of another, in their order.

    Parameters
    ----------
    source : path-like
        The archive.
    target : path-like
        The archive to write or replace; it may be the source.
    spaces : sequence of str, optional
        The populations, by name or label, in either case; all by default.
    given : str
        A complexity: params, macs, flops or acts.
    range : tuple of float, optional
        The smallest and the largest of that complexity, both included, in raw counts. Models of which it is not known
        are left out then.
    status : sequence of str, optional
        Some of finished, diverged, failed, stopped, running; all by default.
    models : int, optional
        How many of these models to take of every population, drawn without replacement.
    seed : int
        Of the draw, 0 or more. The models drawn of a population do not depend on the other populations.
    where : (str, callable), optional
        Any other condition, in words, and what tells of a population, by its name, which models meet it.

    Returns
    -------
    dict of str to int
        The models of each population written.

    Raises
    ------
    EdfkitError
        If the source cannot be read, an option is out of its range, a space is unknown, or no model or fewer than
        `models` are left of one.
    """
    chosen = _checked_choice(given, range, status, models, seed)
    with ExitStack() as opened:
        archive = opened.enter_context(Archive(source))
        wanted = archive.names if spaces is None else sorted({archive.identify(space) for space in spaces})
        if not wanted:
            raise EdfkitError("No space was given, expected one or more; name some, or leave it out to take all.")
        taken: dict[str, NDArray[np.bool_]] = {}
        for name in wanted:
            mask = _selected(archive, name, given, range, status)
            if where is not None:
                mask &= where[1](name)
            left = int(mask.sum())
            if left < (models or 1):
                raise EdfkitError(
                    f"{archive.path}: {left} of {mask.size} models of {name} are left, expected {models or 1} or more; "
                    "choose a wider range, another status or condition, fewer models, or leave that space out."
                )
            if models is not None:
                rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
                drawn = np.flatnonzero(mask)[rng.choice(left, models, replace=False, shuffle=False)]
                mask[:] = False
                mask[drawn] = True
            taken[name] = mask
        record = {"spaces": wanted} | ({} if where is None else {"where": where[0]}) | chosen
        if "subset" in archive.attrs:
            record["of"] = json.loads(archive.attrs["subset"])
        with writing(target, archive.attrs | {"subset": json.dumps(record)}) as writer:
            for name, mask in taken.items():
                fields = {variable: archive.field(name, variable) for variable in archive.variables(name)}
                part = _Part(archive, name, fields)
                attrs, left = archive.group_attrs(name), int(mask.sum())
                if not (mask.all() and writer.copy(name, archive, attrs)):
                    writer.stream(
                        name,
                        {variable: described.of(left) for variable, described in fields.items()},
                        _with_constants(part, _masked(_pieces(part), mask)),
                        attrs,
                    )
            opened.close()  # the target may be the source
    return {name: int(mask.sum()) for name, mask in taken.items()}


# --- A part of an archive


def _checked_choice(
    given: str,
    range: tuple[float, float] | None,
    status: Sequence[str] | None,
    models: int | None,
    seed: int,
) -> dict[str, Any]:
    """Check the options of a subset, and give a record of those that choose."""
    if given not in _COMPLEXITIES:
        raise EdfkitError(
            f"The complexity {given!r} was given, expected one of {listed(list(_COMPLEXITIES))}; correct it."
        )
    if range is not None and not range[0] <= range[1]:
        raise EdfkitError(
            f"The range {range[0]:g} to {range[1]:g} was given, expected the smaller end first; correct it."
        )
    if status is not None and (not status or set(status) - set(STATUS)):
        raise EdfkitError(f"The status {list(status)} was given, expected some of {listed(list(STATUS))}; correct it.")
    if models is not None and models < 1:
        raise EdfkitError(f"{models} models were asked for, expected 1 or more; correct the number.")
    if seed < 0:
        raise EdfkitError(f"The seed {seed} was given, expected 0 or more; correct it.")
    record: dict[str, Any] = {}
    if range is not None:
        # JSON has no infinity.
        record |= {"given": given, "range": [end if math.isfinite(end) else None for end in map(float, range)]}
    if status is not None:
        record["status"] = [word for word in STATUS if word in status]
    if models is not None:
        record |= {"models": models, "seed": seed}
    return record


def _selected(
    archive: Archive, name: str, given: str, range: tuple[float, float] | None, status: Sequence[str] | None
) -> NDArray[np.bool_]:
    """Tell which models of a population have a complexity in the range and one of the statuses."""
    if range is None and status is None:
        return np.ones(archive.models(name), bool)
    masks = []
    codes = list(Status) if status is None else [Status[word.upper()] for word in status]
    for piece in archive.chunks(name, [given, "status"]):
        mask = np.isin(piece["status"], codes)
        if range is not None:
            mask &= (piece[given] >= range[0]) & (piece[given] <= range[1])
        masks.append(mask)
    return np.concatenate(masks)


# --- Blocks of a population


def _pieces(part: _Part) -> Iterator[Block]:
    """Read all variables along the models, piece by piece."""
    along = [variable for variable, described in part.fields.items() if described.dims[0] == "model"]
    return part.archive.chunks(part.name, along)


def _masked(pieces: Iterable[Block], mask: NDArray[np.bool_]) -> Iterator[Block]:
    """Take some of the models."""
    start = 0
    for piece in pieces:
        taken = mask[start : start + len(piece["id"])]
        start += len(piece["id"])
        if taken.any():
            yield {variable: values[taken] for variable, values in piece.items()}


def _with_constants(part: _Part, blocks: Iterator[Block]) -> Iterator[Block]:
    """Add to the first block what does not run along the models."""
    constants = {v: part.archive.read(part.name, v) for v, f in part.fields.items() if f.dims[0] != "model"}
    for block in blocks:
        yield constants | block
        constants = {}


# --- Populations that are joined


class _Joined:
    """The population that the parts of one name become.

    Attributes
    ----------
    fields : dict of str to Field
        Its variables.
    models : int
        How many models it has, each once.
    giving : list of _Part
        The parts with a model that no part before has.
    differing : dict of str to list
        Attributes of its variables that the parts have not in common, with their values.
    """

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = parts
        self.differing: dict[str, list[Any]] = {}
        for part in parts[1:]:
            measured = [one.archive.metrics(one.name)[0].name for one in (parts[0], part)]
            if measured[0] != measured[1]:
                raise EdfkitError(
                    f"The default metric is {measured[0]!r} in {parts[0].where} and {measured[1]!r} in {part.where}, "
                    "expected the same; merge them into two archives."
                )
        names = list(dict.fromkeys(variable for part in parts for variable in part.fields))
        fields = {variable: self._field(variable) for variable in names} if len(parts) > 1 else parts[0].fields
        epochs = max((f.shape[f.dims.index("epoch")] for f in fields.values() if "epoch" in f.dims), default=0)
        for variable, described in fields.items():
            if described.dims[0] == "model" and described.type.kind == "f":
                axes = zip(described.dims, described.shape, strict=True)
                fields[variable] = replace(described, shape=tuple(epochs if d == "epoch" else n for d, n in axes))
        self._constants = {v: self._constant(v) for v, f in fields.items() if f.dims[0] != "model"}
        self.fields = fields
        self._masks = [np.ones(part.models, bool) for part in parts]
        if len(parts) > 1:
            self._leave_out_doubles()
        self.models = sum(int(mask.sum()) for mask in self._masks)
        self.giving = [part for part, mask in zip(parts, self._masks, strict=True) if mask.any()]
        self.fields = {variable: described.of(self.models) for variable, described in fields.items()}

    def write(self, writer: Writer, attrs: Mapping[str, Any]) -> None:
        """Write the population: that of one part as it is, else the models of all parts."""
        part, *others = self._parts
        if others or not writer.copy(part.name, part.archive, attrs):
            sizes = [int(mask.sum()) for mask in self._masks]
            copies = {
                sum(sizes[:place]): (part.archive, part.name)
                for place, (part, mask) in enumerate(zip(self._parts, self._masks, strict=True))
                if mask.all()
            }
            writer.stream(part.name, self.fields, self._blocks(), attrs, copies)

    def _blocks(self) -> Iterator[Block]:
        """Read the models of all parts, as `fields` has them."""
        constants = self._constants
        for part, mask in zip(self._parts, self._masks, strict=True):
            for block in _masked(_pieces(part), mask):
                yield constants | self._fitted(block)
                constants = {}

    def _field(self, variable: str) -> Field:
        """Find how to store a variable so that the values of every part fit."""
        having = [part for part in self._parts if variable in part.fields]
        fields = [part.fields[variable] for part in having]
        first = fields[0]
        lacking = [part for part in self._parts if variable not in part.fields]
        spec = having[0].archive.population(having[0].name).specs.get(variable)
        if lacking and first.dims[0] == "model":
            unknown = (spec.nan and spec.types != TEXT) if spec else all(f.type.kind == "f" for f in fields)
            if not unknown:
                raise EdfkitError(
                    f"{lacking[0].where} lacks {variable!r}, which {having[0].where} has and which is always known; "
                    "merge them into two archives."
                )
        for part in having:
            self._check_alike(variable, having[0], part)
        shape = tuple(max(sizes) for sizes in zip(*(f.shape for f in fields), strict=True))
        types = {f.type for f in fields}
        if lacking and first.type.kind == "i":  # known as whole numbers, where it is
            types.add(np.dtype("<f8"))
        together = np.dtype("S1") if first.type == "S1" else np.result_type(*types)
        described = replace(first, dtype=together, shape=shape, decimals=None)
        if all(f.decimals is not None for f in fields):
            decimals = max(f.decimals or 0 for f in fields)
            packed = replace(described, dtype=np.result_type(*(f.dtype for f in fields)), decimals=decimals)
            if any(f.decimals != decimals for f in fields):
                packed = replace(packed, dtype=np.dtype("<i4"))
            if all(f.decimals == decimals for f in fields) or self._fits(variable, packed):
                return packed
        return described

    def _check_alike(self, variable: str, one: _Part, other: _Part) -> None:
        a, b = one.fields[variable], other.fields[variable]
        text = a.type == "S1", b.type == "S1"
        if a.dims != b.dims or text[0] != text[1] or "model" in a.dims[1:]:
            raise EdfkitError(
                f"{variable!r} is {_described(a)} in {one.where} and {_described(b)} in {other.where}, expected one "
                "kind with the models as its first axis; merge them into two archives."
            )
        for dim, *sizes in zip(a.dims, a.shape, b.shape, strict=False):  # text has its characters besides
            padded = dim == "epoch" and (a.type.kind == b.type.kind == "f" or a.dims == ("epoch",))
            if dim != "model" and sizes[0] != sizes[1] and not padded:
                raise EdfkitError(
                    f"{variable!r} has length {sizes[0]} along {dim!r} in {one.where} and {sizes[1]} in {other.where}, "
                    "expected one length; merge them into two archives."
                )
        metric = "goal" in a.attrs.keys() | b.attrs.keys()
        for key in sorted(a.attrs.keys() | b.attrs.keys()):
            if variable == "status" and key.startswith("flag_"):
                continue  # codes beyond those of format version 1 are told of where there are such
            values = [np.asarray(attrs.get(key)).tolist() for attrs in (a.attrs, b.attrs)]
            if values[0] != values[1]:
                if key == "units" or key.startswith("flag_") or (metric and key in _DEFINING):
                    raise EdfkitError(
                        f"{variable!r} has the {key} {values[0]!r} in {one.where} and {values[1]!r} in {other.where}, "
                        "expected the same; merge them into two archives."
                    )
                seen = self.differing.setdefault(f"{key} of {variable} of {one.name}", values[:1])
                if values[1] not in seen:
                    seen.append(values[1])

    def _fits(self, variable: str, packed: Field) -> bool:
        """Tell whether the values of all parts are stored exactly when packed in one way."""
        having = [part for part in self._parts if variable in part.fields]
        pieces = (piece for part in having for piece in part.archive.chunks(part.name, [variable]))
        return all(packed.holds(piece[variable]) for piece in pieces)

    def _constant(self, variable: str) -> NDArray[Any]:
        """Read what does not run along the models; all parts must agree on it, as far as they go."""
        having = [part for part in self._parts if variable in part.fields]
        read = [part.archive.read(part.name, variable) for part in having]
        longest = max(read, key=len)
        for part, values in zip(having, read, strict=True):
            beginning = longest[: len(values)]
            if not np.array_equal(values, beginning, equal_nan=values.dtype.kind == "f"):
                raise EdfkitError(
                    f"{variable!r} of {part.where} has other values than in another source, expected the same, as it "
                    "is one for all models; merge them into two archives."
                )
        return longest

    def _fitted(self, block: Block) -> Block:
        """Give a block all variables, and curves their full length."""
        fitted: Block = {}
        for variable, described in self.fields.items():
            if described.dims[0] != "model":
                continue
            shape = (len(block["id"]), *described.shape[1 : len(described.dims)])
            values = block.get(variable)
            if values is None or values.shape != shape:
                padded = np.full(shape, np.nan)
                if values is not None:
                    padded[tuple(map(slice, values.shape))] = values
                values = padded
            if described.type == "<f8" and values.dtype.kind in "iu":
                values = _as_real(variable, values)
            fitted[variable] = values
        return fitted

    # Of ids that may be equal by their hashes, all but the first are left out if the models are equal, by a hash too.

    def _leave_out_doubles(self) -> None:
        hashes = np.concatenate([part.archive.id_hashes(part.name) for part in self._parts])
        ordered = np.sort(hashes)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        del ordered
        if not twice.size:
            return
        places = np.flatnonzero(np.isin(hashes, twice))
        places = places[np.argsort(hashes[places], kind="stable")]
        again = np.concatenate([[False], hashes[places][1:] == hashes[places][:-1]])
        firsts = places[np.maximum.accumulate(np.where(again, 0, np.arange(len(places))))]
        rows = np.concatenate([row_hashes(self._fitted(piece)) for part in self._parts for piece in _pieces(part)])
        equal = rows[places] == rows[firsts]
        for place, first in zip(places[~equal].tolist(), firsts[~equal].tolist(), strict=True):
            (part, model), (other, earlier) = self._find(place), self._find(first)
            name = _id(part, model)
            if name == _id(other, earlier):
                raise EdfkitError(
                    f"The id {name!r} stands for two models that differ, in {other.where} and {part.where}, expected "
                    "one model; give one of them another id, or leave it out."
                )
        mask = np.ones(len(hashes), bool)
        mask[places[again & equal]] = False
        self._masks = np.split(mask, np.cumsum([part.models for part in self._parts])[:-1])

    def _find(self, place: int) -> tuple[_Part, int]:
        for part in self._parts:
            if place < part.models:
                return part, place
            place -= part.models
        raise IndexError(place)


def _as_real(variable: str, values: NDArray[Any]) -> NDArray[np.float64]:
    real = values.astype(float)
    if (real.astype(values.dtype) != values).any():
        raise EdfkitError(
            f"{variable!r} is real in one source and has whole numbers in another that no real number holds, expected "
            "numbers below 2**53; merge them into two archives."
        )
    return real


def _id(part: _Part, model: int) -> str:
    [piece] = part.archive.chunks(part.name, ["id"], model, model + 1)
    return str(piece["id"][0])


def _described(described: Field) -> str:
    return f"{'text' if described.type == 'S1' else described.type} along {described.dims}"


# --- Attributes


def _differing_training(parts: Sequence[_Part]) -> dict[str, list[Any]]:
    found = {key: _distinct(part.trained_on[key] for part in parts) for key in _TRAINED_ON}
    return {key: values for key, values in found.items() if len(values) > 1}


def _trained_on(parts: Sequence[_Part]) -> dict[str, str]:
    """Say what a population was trained on, all of it if its parts differ."""
    datasets, recipes = (_distinct(part.trained_on[key] for part in parts) for key in _TRAINED_ON)
    return _texts({"dataset": "; ".join(datasets), "recipe": recipes[0] if len(recipes) == 1 else recipes})


def _texts(trained_on: Mapping[str, Any]) -> dict[str, str]:
    return {"dataset": trained_on["dataset"], "recipe": json.dumps(trained_on["recipe"])}


def _joined_attrs(parts: Sequence[_Part], giving: Sequence[_Part]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Give the attributes of a population of several parts, and those that these have not in common.

    Runs are those of the parts that are `giving` a model which no part before has.
    """
    attrs = [part.archive.group_attrs(part.name) for part in parts]
    joined: dict[str, Any] = {}
    differing: dict[str, list[Any]] = {}
    new = [of_part for part, of_part in zip(parts, attrs, strict=True) if part in giving]
    for key in dict.fromkeys(key for of_part in attrs for key in of_part if key not in _TRAINED_ON):
        runs = [of_part[key] for of_part in new if key in of_part]
        if key == "run_seeds" and len(parts) > 1:
            joined[key] = json.dumps([seed for seeds in runs for seed in json.loads(seeds)])
        elif key == "models_planned" and len(parts) > 1:
            if len(runs) == len(new):  # else it is not known
                joined[key] = sum(runs)
        else:
            joined[key] = next(of_part[key] for of_part in attrs if key in of_part)
            found = _distinct(np.asarray(of_part.get(key)).tolist() for of_part in attrs)
            if len(found) > 1:
                differing[f"{key} of {parts[0].name}"] = found
    return joined, differing


def _root(attrs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join root attributes: the latest date, and otherwise what there is, each once."""
    root: dict[str, Any] = {}
    for key in dict.fromkeys(key for of_source in attrs for key in of_source if key != "forced"):
        # What sources need not have, some may have and others not.
        having = [a.get(key) for a in attrs] if key not in REQUIRED_ATTRS else [a[key] for a in attrs]
        values = _distinct(np.asarray(value).tolist() for value in having)
        if key == "created":
            root[key] = max(values)
        elif key in ("software", "commit"):
            root[key] = "; ".join(sorted({part for value in values for part in value.split("; ")}))
        elif key in REQUIRED_ATTRS:
            root[key] = "; ".join(values)
        else:
            parsed = [json.loads(value) if key == "subset" and value else value for value in values]
            root[key] = values[0] if len(values) == 1 else json.dumps(parsed)
    return root


def _earlier(archives: Sequence[Archive]) -> list[Any]:
    """Read what was forced when the sources were merged themselves."""
    return [each for archive in archives for each in json.loads(archive.attrs.get("forced", "[]"))]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Give every value once, in the order of their first."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _shortened(values: Sequence[Any]) -> str:
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values)
    return " and ".join(text if len(text) <= 200 else f"{text[:200]}..." for text in texts)
