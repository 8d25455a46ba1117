"""Make of an archive what is to be uploaded: the file, a registry, checksums and a data card.

The same archive gives the same bytes, and where it does not say something, the card says "not stated".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edfkit import EdfkitError
from edfkit.archive import Archive, validate
from edfkit.archive.files import TEMPORARY_SUFFIX
from edfkit.archive.schema import REQUIRED_ATTRS, STATUS, Status
from edfkit.datasets import registry
from edfkit.metric import ERROR

NOT_STATED = "not stated"
_COMPLEXITIES = ("params", "macs", "flops", "acts")
_CURVES = ("test_error", "train_error", "train_loss")
_NETWORK = ("depth", "width", "op")
_SHORT = 300  # characters of an attribute that the card shows; those beyond are named


def publish(
    archive: Path,
    folder: Path,
    *,
    name: str,
    version: str,
    license: str | None = None,
    citation: str | None = None,
    urls: Sequence[str] = (),
    notes: str = "",
) -> list[Path]:
    """Write into a folder what is to be uploaded: NAME.h5, NAME.toml, NAME.md and SHA256SUMS, or nothing.

    NAME.toml is a registry, so that EDFKIT_REGISTRY=ADDRESS/NAME.toml makes the archive known by its name.

    Parameters
    ----------
    archive : Path
        The archive, which is validated.
    folder : Path
        A folder to be made; one that holds exactly these files already stays as it is.
    name, version : str
        Under which it is published: lower-case letters, digits, `-`, `_`, `.`.
    license : str, optional
        If the archive does not state one, which it should.
    citation : str, optional
        How to cite it.
    urls : sequence of str
        All http(s) addresses that the archive will have; none means beside NAME.toml, wherever that will be.
    notes : str
        What else the data card should say, in Markdown.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    EdfkitError
        If the archive is not whole, states no license and none is given, or another one; if a registry may not have
        the name, the version or an address; if the folder holds anything else or cannot be written.
    """
    validate(archive)
    if any(entry.name == name for entry in registry.built_in()):
        raise EdfkitError(
            f"{name} is the name of an archive that edfkit knows, and would be refused; give another name."
        )
    file, card, index, sums = f"{name}.h5", f"{name}.md", f"{name}.toml", "SHA256SUMS"
    digest, size = _sha256(archive), archive.stat().st_size
    with Archive(archive) as opened:
        license = _license(opened, license)
        entry = {
            "name": name,
            "version": version,
            "title": opened.attrs["title"],
            "kind": "archive",
            "license": license,
            **({"citation": citation} if citation else {}),
            "card": card,
        }
        about = {"name": file, "urls": list(urls) or [file], "sha256": digest, "size": size}
        text = _toml(entry, about)
        registry.parse(text, f"What is given for {archive}")  # which refuses what is no name, no address, and so on
        texts = {index: text, card: _card(opened, name, version, license, citation, digest, size, notes)}
    hashes = {file: digest} | {other: hashlib.sha256(text.encode()).hexdigest() for other, text in texts.items()}
    texts[sums] = "".join(f"{hashes[other]}  {other}\n" for other in sorted(hashes))  # as `sha256sum -c` reads it

    if folder.is_dir() and any(folder.iterdir()):
        _check_same(folder, {**hashes, sums: hashlib.sha256(texts[sums].encode()).hexdigest()})
    else:
        _write(archive, file, texts, folder)
    return [folder / other for other in (file, index, card, sums)]


def _license(archive: Archive, given: str | None) -> str:
    stated = str(archive.attrs["license"]).strip()
    if stated and not stated.lower().startswith(NOT_STATED):
        if given and given != stated:
            raise EdfkitError(
                f"{archive.path} states the license {stated!r} and {given!r} was given; publish it under the one that "
                "it states."
            )
        return stated
    if not given:
        raise EdfkitError(
            f"{archive.path} states no license, and without one nobody may use it; give the license, such as CC0-1.0."
        )
    return given


def _check_same(folder: Path, hashes: Mapping[str, str]) -> None:
    there = sorted(path.name for path in folder.iterdir())
    if there == sorted(hashes) and all(
        (folder / name).is_file() and _sha256(folder / name) == digest for name, digest in hashes.items()
    ):
        return
    raise EdfkitError(
        f"{folder} holds other files than those to be published ({', '.join(there[:5])}{', ...' * (len(there) > 5)}); "
        "give a new folder."
    )


def _write(archive: Path, file: str, texts: Mapping[str, str], folder: Path) -> None:
    """Write the folder under a temporary name, then rename it."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        shutil.copyfile(archive, temporary / file)  # no link: other programs may change the archive in place
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8", newline="\n")
        if folder.is_dir():
            folder.rmdir()  # an empty one, which not every system renames over
        temporary.replace(folder)
    except OSError as error:
        raise EdfkitError(f"{folder} cannot be written: {error.strerror or error}; give another place.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _toml(entry: Mapping[str, Any], file: Mapping[str, Any]) -> str:
    lines = [f"format = {registry.FORMAT}", "", "[[archive]]", *(f"{key} = {_value(entry[key])}" for key in entry)]
    return "\n".join([*lines, "", "[[archive.files]]", *(f"{key} = {_value(file[key])}" for key in file)]) + "\n"


def _value(value: object) -> str:
    """Write text, a number or a list as TOML: the same as JSON, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# --- The data card


def _card(
    archive: Archive, name: str, version: str, license: str, citation: str | None, digest: str, size: int, notes: str
) -> str:
    """Write the data card, all of it from the archive but license, citation and notes."""
    attrs = archive.attrs
    scalars = {population: _scalars(archive, population) for population in archive.names}
    parts = [
        f"# Data card: {name} {version}",
        f"{_line(attrs['title'])}.",
        "## What was trained",
        "\n".join(_counts(archive, scalars)),
        "## Complexity",
        "Smallest and largest over the models of a population, as plain counts.",
        "\n".join(_ranges(scalars)),
        *_measured(archive, scalars),
        "## How",
        "\n".join(_how(archive)),
        *(f"Population {population}:\n\n" + "\n".join(lines) for population, lines in _spaces(archive)),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(archive, scalars)),
        *(["## Notes", notes.strip()] if notes.strip() else []),
        "## Licence and citation",
        f"- Licence: {_line(license)}\n- Citation: {_line(citation)}",
        "## File",
        f"- `{name}.h5`, {size:,} bytes, an edfkit archive (HDF5, netCDF-4 layout)\n- sha256 `{digest}`",
    ]
    return "\n\n".join(parts) + "\n"


def _scalars(archive: Archive, population: str) -> dict[str, np.ndarray]:
    errors = [variable for variable in ("error", "error_final") if archive.has(population, variable)]
    others = [metric.name for metric in archive.metrics(population) if metric.name != ERROR.name]
    names = (*errors, *others, "status", "seed", "seconds", *_COMPLEXITIES)
    return {variable: np.asarray(archive.read(population, variable)) for variable in names}


def _counts(archive: Archive, scalars: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[str]:
    occurring = np.unique(np.concatenate([columns["status"] for columns in scalars.values()])).tolist()
    shown = [status for status in Status if status <= Status.FAILED or status in occurring]
    yield f"| population | trained on | models | {' | '.join(STATUS[status] for status in shown)} |"
    yield "|---|---|---:" + "|---:" * len(shown) + "|"
    for population, columns in scalars.items():
        numbers = [len(columns["status"]), *((columns["status"] == code).sum() for code in shown)]
        cells = (_line(archive.dataset(population)), *(f"{number:,}" for number in numbers))
        yield f"| {population} | {' | '.join(cells)} |"


def _ranges(scalars: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[str]:
    yield f"| population | {' | '.join(_COMPLEXITIES)} |"
    yield "|---" * (1 + len(_COMPLEXITIES)) + "|"
    for population, columns in scalars.items():
        cells = (_range(columns[complexity], ",.0f") for complexity in _COMPLEXITIES)
        yield f"| {population} | {' | '.join(cells)} |"


def _measured(archive: Archive, scalars: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[str]:
    """Say how good the models are: their errors, and whatever else is measured."""
    if any("error" in columns for columns in scalars.values()):
        yield "## Errors"
        lacking = (
            (columns["status"] > Status.FAILED)
            | ((columns["status"] == Status.DIVERGED) & np.isnan(columns.get("error", np.nan)))
            for columns in scalars.values()
        )
        which = "have one" if any(map(np.any, lacking)) else "finished or diverged"
        yield f"Top-1 test error in percent, of the models that {which}."
        yield "\n".join(_errors(scalars))
    others = {name: [m for m in archive.metrics(name) if m.name != ERROR.name] for name in scalars}
    if any(others.values()):
        yield "## Metrics"
        yield "Smallest, median and largest of the models that have a value."
        lines = ["| population | metric | unit | goal | smallest | median | largest |"]
        lines.append("|---|---|---|---|---:|---:|---:|")
        for population, metrics in others.items():
            for metric in metrics:
                known = scalars[population][metric.name]
                known = known[~np.isnan(known)]
                ends = [f"{f(known):.4g}" for f in (np.min, np.median, np.max)] if len(known) else [NOT_STATED] * 3
                cells = (population, _line(metric.label), _line(metric.unit), metric.goal, *ends)
                lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        yield "\n".join(lines)


def _errors(scalars: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[str]:
    yield "| population | smallest | median | largest |"
    yield "|---|---:|---:|---:|"
    for population, columns in scalars.items():
        if "error" not in columns:
            continue
        known = columns["error"][~np.isnan(columns["error"])]
        cells = (f"{f(known):.2f}" for f in (np.min, np.median, np.max)) if len(known) else [NOT_STATED] * 3
        yield f"| {population} | {' | '.join(cells)} |"


def _range(values: np.ndarray, form: str) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return NOT_STATED
    low, high = format(known.min(), form), format(known.max(), form)
    return low if low == high else f"{low} to {high}"


def _how(archive: Archive) -> Iterator[str]:
    attrs = archive.attrs
    recipes = {population: _recipe(archive.recipe(population)) for population in archive.names}
    epochs = {population: str(_epochs(archive, population) or NOT_STATED) for population in archive.names}
    for what, values in (("Recipe", recipes), ("Epochs", epochs)):
        if len(set(values.values())) == 1:
            yield f"- {what}: {next(iter(values.values()))}"
        else:
            yield from (f"- {what} of {population}: {value}" for population, value in values.items())
    for what, key in (("Made by", "source"), ("Software", "software"), ("Commit", "commit"), ("Created", "created")):
        yield f"- {what}: {_line(attrs[key])}"
    for key in sorted(set(attrs) - {*REQUIRED_ATTRS, "format", "format_version"}):
        yield f"- {key}: {_line(attrs[key])}"


def _recipe(recipe: object) -> str:
    if isinstance(recipe, dict):
        values = (f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in recipe.items())
        return _line(", ".join(values))
    return _line(json.dumps(recipe) if recipe else None)


def _epochs(archive: Archive, population: str) -> int:
    """Count the epochs of the curves, by the first model; 0 without curves."""
    for curve in _CURVES:
        if curve in archive.variables(population):
            return int(next(archive.chunks(population, [curve], 0, 1))[curve].shape[1])
    return 0


def _spaces(archive: Archive) -> Iterator[tuple[str, list[str]]]:
    """Say what is known of each population's design space: its bounds, its definition, how it was sampled."""
    for population in archive.names:
        attrs = archive.group_attrs(population)
        lines = [f"- Bounds: {_bounds(attrs)}"]
        lines += [f"- {key}: {_line(attrs[key])}" for key in sorted(set(attrs) - {"bounds", "bound_rule"})]
        yield population, lines


def _bounds(attrs: Mapping[str, Any]) -> str:
    try:
        bounds = json.loads(str(attrs["bounds"]))
        text = ", ".join(f"{key} below {value:,.15g}" for key, value in bounds.items())
    except (LookupError, ValueError, TypeError, AttributeError):
        return _line(attrs.get("bounds"))
    if not text:
        return "none"
    return f"{text} ({_line(attrs['bound_rule'])})" if len(bounds) > 1 and "bound_rule" in attrs else text


def _limits(archive: Archive, scalars: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[str]:
    """Say what whoever uses the archive should know, population by population."""
    for population, columns in scalars.items():
        models, variables = len(columns["status"]), archive.variables(population)
        measured = [metric.name for metric in archive.metrics(population)]
        for variable in dict.fromkeys(("error", "error_final", *measured, "seed", "seconds", *_COMPLEXITIES)):
            if variable in columns and (unknown := int(np.isnan(columns[variable]).sum())):
                yield f"{population}: `{variable}` is unknown for {_share(unknown, models)}."
        if absent := [curve for curve in _CURVES if curve not in variables]:
            yield f"{population}: no curves of {', '.join(absent)}."
        if not any(variable in variables for variable in _NETWORK):
            yield f"{population}: the networks are not described."
        for status in list(Status)[1:]:
            if number := int((columns["status"] == status).sum()):
                yield f"{population}: {_share(number, models)} {STATUS[status]}."
        planned = archive.group_attrs(population).get("models_planned")
        if isinstance(planned, int | float) and not math.isnan(planned) and planned > models:
            yield f"{population}: {models:,} of {planned:,.0f} models that were planned."
        seeds = columns["seed"][~np.isnan(columns["seed"])]
        if len(seeds) > 1 and len(np.unique(seeds)) == 1:
            yield f"{population}: all models were trained with one seed, {seeds[0]:.0f}."
    if any("error" in columns for columns in scalars.values()):
        yield (
            "`error` is the smallest over the epochs, and so selected on the test images; `error_final`, where known, "
            "is not."
        )
    yield "`flops` is the source's own count, and need not be on one scale with that of other sources."


def _share(number: int, models: int) -> str:
    if number == models:
        return "all models" if models > 1 else "the one model"
    return f"{number:,} of {models:,} models"


def _line(value: object) -> str:
    """Give a text on one line, "not stated" if there is none; one too long is only named."""
    text = " ".join(str("" if value is None else value).split())
    if len(text) > _SHORT:
        return f"{len(text):,} characters, in the archive"
    return text if text and text.lower() != "unknown" else NOT_STATED


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
