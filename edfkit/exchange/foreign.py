"""What the imports of other tools' data share: from columns of values to an archive, and what is said of it.

Errors are percent, as in every archive: those given as shares are multiplied by 100, accuracies subtracted from 100,
and the result is rounded to 10 decimals, so that equal errors stay ties. Other values, and other metrics, are taken as
they are.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError, __version__
from edfkit.archive import Variable, write
from edfkit.archive.schema import FINDINGS, STATUS, VARIABLES, Status, curve_of, final_of, hashed
from edfkit.metric import ERROR, Metric

UNITS = ("percent", "share")
# Names that variables beyond the format cannot have: the format's own, and its dimensions.
_RESERVED = (*VARIABLES, "unit", "model", "stage", "epoch", "cell", "node", "operand")
_DECIMALS = 10  # of a percent, of errors that are computed: 100 - 94.35 gives 5.650000000000006
# Fixed-width text takes its longest value for each model: one long value among millions would take all memory.
MOST_CHARACTERS = 2**28
# The archive takes 60,000 bytes in an attribute of the file.
_RECIPE_BYTES = 59_000


class Attributes(TypedDict, total=False):
    """Root attributes that the caller of an import states; those left out, or None, are as the source has them.

    `recipe` is JSON; see `edfkit.archive.schema.REQUIRED_ATTRS`.
    """

    title: str | None
    source: str | None
    license: str | None
    dataset: str | None
    recipe: str | None
    software: str | None
    commit: str | None
    created: str | None


@dataclass(frozen=True)
class Imported:
    """What an import wrote, and what it did not.

    Attributes
    ----------
    models : dict of str to int
        The models of each population, those that failed included.
    outcomes : dict of str to dict of str to int
        How many of them finished, diverged, failed, stopped and are running; only outcomes that occurred.
    left_out : dict of str to int
        How many records are not in the archive, by reason; only reasons that occurred.
    notes : tuple of str
        What else is to be known of the import, a sentence each.
    labels : dict of str to str
        What people call populations, of those that have another name.
    """

    models: dict[str, int]
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, int]:
        """The models that failed, of the populations that have some; no study counts them."""
        failed = STATUS[Status.FAILED]
        return {name: counts[failed] for name, counts in self.outcomes.items() if failed in counts}

    def to_dict(self) -> dict[str, Any]:
        """Give the counts and notes as plain data."""
        return {
            "models": self.models,
            "outcomes": self.outcomes,
            "failed": self.failed,
            "left_out": self.left_out,
            "notes": list(self.notes),
        }


def save(
    target: Path,
    populations: Mapping[str, Mapping[str, ArrayLike | Variable]],
    attrs: Mapping[str, str],
    group_attrs: Mapping[str, Mapping[str, str | int | float]],
    *,
    left_out: Mapping[str, int] | None = None,
    notes: Iterable[str] = (),
) -> Imported:
    """Write an archive, whole or not at all; required variables that are not given are not known.

    A population whose attributes name a metric of its own has an `error` only if one is given.

    Raises
    ------
    EdfkitError
        See `edfkit.archive.write`.
    """
    whole: dict[str, dict[str, ArrayLike | Variable]] = {}
    models: dict[str, int] = {}
    outcomes: dict[str, dict[str, int]] = {}
    for name, columns in populations.items():
        models[name] = len(np.asarray(columns["id"]))
        needed = [variable for variable, spec in VARIABLES.items() if spec.required]
        if "metric" in group_attrs.get(name, {}) and "error" not in columns:
            needed = [variable for variable in needed if variable not in ("error", "error_final")]
        whole[name] = {variable: np.full(models[name], math.nan) for variable in needed} | dict(columns)
        counts = np.bincount(np.asarray(columns["status"]), minlength=len(Status)).tolist()
        outcomes[name] = {word: count for word, count in zip(STATUS, counts, strict=True) if count}
    write(target, whole, attrs, group_attrs)
    labels = {name: str(given["label"]) for name, given in group_attrs.items() if "label" in given}
    return Imported(models, outcomes, {why: n for why, n in (left_out or {}).items() if n}, tuple(notes), labels)


def root_attrs(
    source: str,
    created: datetime,
    given: Attributes,
    recipe: Mapping[str, Any] | None = None,
    dataset: str = "not stated",
) -> dict[str, str]:
    """Give the attributes of an archive: those given, else what is known.

    Parameters
    ----------
    source : str
        What was imported, and by what; also in the title.
    created : datetime
        When the source was, not the import: the same input gives the same bytes. Without a time zone where the source
        names none.
    given : Attributes
        Those that the caller states.
    recipe : mapping, optional
        What is known of how the models were trained.
    dataset : str
        What is known of the images.
    """
    known = {
        "title": source,
        "source": source,
        "license": "not stated",
        "dataset": dataset,
        "recipe": json.dumps(recipe or {}),
        "software": f"imported by edfkit {__version__}",
        "commit": "unknown",
        "created": (created.astimezone(UTC) if created.tzinfo else created).isoformat(timespec="seconds"),
    }
    if unknown := given.keys() - known.keys():
        raise TypeError(f"{', '.join(sorted(unknown))}: no attribute of an import, expected one of {', '.join(known)}")
    return known | {name: str(value) for name, value in given.items() if value is not None}


def fits(recipe: Mapping[str, Any]) -> bool:
    """Tell whether an archive takes a recipe: its attributes are limited."""
    return len(json.dumps(recipe).encode()) <= _RECIPE_BYTES


def modified(file: Path) -> datetime:
    """Return when a file was last changed.

    Raises
    ------
    EdfkitError
        If there is no such file.
    """
    try:
        if file.is_file():
            return datetime.fromtimestamp(file.stat().st_mtime, UTC)
        kind = "is a folder" if file.is_dir() else "does not exist"
    except (OSError, ValueError) as error:
        kind = f"cannot be opened ({error})"
    raise EdfkitError(f"{str(file)!r} {kind}, expected a file to import; correct the path.")


# --- Names


def population_name(text: str) -> str:
    """Bring a name into the form that populations have; nothing may be left of it.

    That is lower case, with `-` for each run of characters other than letters a to z, digits, `.`, `_` and `-`,
    beginning with a letter or a digit, of at most 100 characters.
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", text.strip().lower()).lstrip("-._")[:100]
    return name if name.strip("-._") else ""


def groups(labels: Iterable[str]) -> dict[str, dict[str, str | int | float]]:
    """Give populations names of their own, with the attributes that say what people call them.

    A name is as `population_name` has it. A label without letters a to z or digits, such as one in Chinese, becomes
    `space-1`, the next such one `space-2`. What would have the name of another, or of a finding (see `FINDINGS`), gets
    `-2`, `-3` and so on.

    Parameters
    ----------
    labels : iterable of str
        As people write them; no two are the same.

    Returns
    -------
    dict of str to dict
        The attributes `name_in_source` and, where it differs from the name, `label` of each population, by its name and
        in the order of the labels.
    """
    found: dict[str, dict[str, str | int | float]] = {}
    shown: set[str] = set()
    unnamed = 0
    for label in labels:
        name = population_name(label)
        if not name:
            unnamed += 1
            name = f"space-{unnamed}"
        name = _distinct(name, {*found, *FINDINGS}, "-", 100)
        found[name] = {"name_in_source": text(label)[:1000] or "-"}
        printable = "".join(character if character.isprintable() else " " for character in text(label)).strip()[:200]
        if printable and printable != name:
            found[name]["label"] = _distinct(printable, shown, " ", 200)
            shown.add(str(found[name]["label"]))
    return found


def _distinct(name: str, taken: Collection[str], before: str, most: int) -> str:
    """Put a number from 2 on behind a name that is taken."""
    number, given = 1, name
    while name in taken:
        number += 1
        name = f"{given[: most - 5]}{before}{number}"
    return name


def variable_name(text: str, taken: Collection[str], prefix: str = "") -> str:
    """Bring a name into the form that variables have, another than those taken.

    That is `_` for each run of characters other than letters a to z, digits and `_`; `x_` before a name that does not
    begin with a letter or that the format uses; `_2`, `_3` and so on behind one that is taken.

    Parameters
    ----------
    text : str
        As the source has it.
    taken : collection of str
        Names of other variables of the population.
    prefix : str
        What the name is to begin with.
    """
    name = prefix + re.sub(r"[^A-Za-z0-9_]+", "_", text)
    reserved = {known for name in _RESERVED for known in (name, f"{name}_length")}
    if not re.match("[A-Za-z]", name) or name in reserved:
        name = f"x_{name}"
    # The characters of a text lie along a dimension called after it, which no variable may be called after.
    forbidden = {*taken, *(f"{other}_length" for other in taken), *(other.removesuffix("_length") for other in taken)}
    name, number, base = name[:100], 1, name[:95]
    while name in forbidden:
        number += 1
        name = f"{base}_{number}"
    return name


def named(columns: Mapping[str, ArrayLike], taken: Collection[str] = (), prefix: str = "") -> dict[str, Variable]:
    """Name columns as variables; the attribute `long_name` has the name in the source."""
    variables: dict[str, Variable] = {}
    for text, values in columns.items():
        name = variable_name(text, {*taken, *variables}, prefix)
        label = re.sub(r"[\0-\x1f\ud800-\udfff]", " ", text)[:1000] or name
        variables[name] = Variable(values, ("model",), {"long_name": label})
    return variables


def choose(what: str, name: str, names: Collection[str], where: str) -> str:
    """Return a name if it is among those there are.

    Raises
    ------
    EdfkitError
        If not; the message lists them, and the nearest.
    """
    if name in names:
        return name
    near = get_close_matches(name, names, 1) or [n for n in names if n.strip().lower() == name.strip().lower()]
    hint = f"did you mean {near[0]!r}? It has " if near else "it has "
    listed = ", ".join(map(repr, names)) if names else "none"
    if len(listed) > 1000:
        listed = f"{listed[:1000]} ..."
    raise EdfkitError(f"{where} has no {what} {name!r}; {hint}{listed}: name one of them.")


def metric_variables(
    metric: Metric,
    values: NDArray[np.float64],
    final: NDArray[np.float64] | None = None,
    curve: NDArray[np.float64] | None = None,
) -> dict[str, Variable]:
    """Give the variables of a metric.

    Parameters
    ----------
    metric : Metric
    values : ndarray, shape (models,)
        The best of each curve, where there are curves; NaN where there is no value.
    final : ndarray, shape (models,), optional
        After the last epoch.
    curve : ndarray, shape (models, epochs), optional
        After each epoch, NaN where there is no value.
    """
    names = (metric.name, final_of(metric.name), curve_of(metric.name))
    if metric.name == ERROR.name:
        attrs: dict[str, str | float] = {} if metric.grid is None else {"grid": metric.grid}
        others: dict[str, str] = {}
    else:
        bounds = {"valid_min": metric.low, "valid_max": metric.high, "grid": metric.grid}
        others = {"units": metric.unit}
        attrs = {"units": metric.unit, "goal": metric.goal, "long_name": metric.label}
        attrs |= {key: value for key, value in bounds.items() if value is not None}
    variables = {names[0]: Variable(values, ("model",), attrs)}
    if final is not None:
        variables[names[1]] = Variable(final, ("model",), others)
    if curve is not None:
        variables[names[2]] = Variable(curve, ("model", "epoch"), others)
    return variables


# --- Values


def units_of(columns: Sequence[Sequence[object]]) -> NDArray[np.int64]:
    """Give the networks of models their numbers: a hash of what names them, so that equal names have equal numbers.

    Parameters
    ----------
    columns : sequence of sequence
        What names the network of each model, with its settings: one column or several, of text or numbers.

    Returns
    -------
    ndarray of int64, shape (models,)
        63 bits, the same in every archive.
    """
    names = ["\x1f".join(map(text, row)) for row in zip(*columns, strict=True)]
    distinct, places = np.unique(np.array(names), return_inverse=True)
    encoded = np.char.encode(distinct, "utf-8")
    characters = encoded.view("S1").reshape(len(encoded), -1)
    return (hashed(characters) >> np.uint64(1)).astype(np.int64)[places]


def is_number(value: object) -> bool:
    """Tell whether a value is a number and not a truth value."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def errors_of(
    values: NDArray[np.float64], accuracy: bool, unit: str | None, where: Callable[[int], str]
) -> NDArray[np.float64]:
    """Give errors in percent.

    Parameters
    ----------
    values : ndarray
        Errors or accuracies; NaN where not known.
    accuracy : bool
        Whether they are accuracies.
    unit : {"percent", "share"} or None
        None is percent, unless no value is above 1.
    where : callable
        Says which record a place in `values` is.

    Raises
    ------
    EdfkitError
        If a value is out of range, or no unit is given and none is above 1.
    """
    what = "accuracy" if accuracy else "error"
    if unit is not None and unit not in UNITS:
        raise EdfkitError(f"The unit was to be {unit!r}, expected percent or share; give one of these.")
    known = values[~np.isnan(values)]
    if unit is None and known.size and known.min() >= 0 and known.max() <= 1:
        raise EdfkitError(
            f"Each {what} lies in 0..1 (the largest is {known.max():g}), so they may be shares or percent; say which "
            "by --unit share or --unit percent."
        )
    most = 1.0 if unit == "share" else 100.0
    if (bad := (values < 0) | (values > most)).any():
        place = int(np.argmax(bad))
        hint = "" if unit == "share" else f"; an {what} that is no percentage cannot be imported"
        raise EdfkitError(
            f"{where(place)} has the {what} {values[place]:g}, expected 0..{most:g} ({unit or 'percent'}){hint}: "
            "correct it."
        )
    if unit == "share":
        values = 100.0 * values
    if accuracy:
        values = 100.0 - values
    return values.round(_DECIMALS) if accuracy or unit == "share" else values


def check_counts(name: str, values: NDArray[Any], where: Callable[[int], str]) -> None:
    """Check the values of a required variable, such as `params`, against what the format allows; NaN is not known.

    Raises
    ------
    EdfkitError
        At the first value out of range, with where it is.
    """
    low = VARIABLES[name].low
    with np.errstate(invalid="ignore"):
        bad = np.isinf(values) | (values < low)
    if bad.any():
        place = int(np.argmax(bad))
        bound = ", 0 or more" if low == 0 else ""
        raise EdfkitError(
            f"{where(place)} has the {name} {values[place]:g}, expected a finite number{bound}; correct it."
        )


def check_ids(ids: NDArray[Any], where: Callable[[int], str]) -> None:
    """Check that no two models have one id.

    Raises
    ------
    EdfkitError
        At the first that comes again, with both places.
    """
    _, firsts, inverse = np.unique(ids, return_index=True, return_inverse=True)
    if firsts.size < ids.size:
        again = int(np.flatnonzero(firsts[inverse] != np.arange(ids.size))[0])
        raise EdfkitError(
            f"{where(again)} has the id {str(ids[again])!r}, as {where(int(firsts[inverse][again]))} has; give each "
            "model of a population its own id, or name another column or none for it."
        )


def column(values: Sequence[Any]) -> NDArray[Any]:
    """Give the values of a column one type, so that an archive takes them.

    Numbers stay numbers (None is NaN, as is a column of nothing else), truth values become 0 and 1; anything else makes
    the column one of text, with lists and objects as JSON and nothing for None.
    """
    known = [value for value in values if value is not None]
    if not known:
        return np.full(len(values), math.nan)
    if all(is_number(value) for value in known):
        whole = all(isinstance(value, int | np.integer) for value in known)
        try:
            if whole and len(known) == len(values):
                return np.array(values, np.int64)
            numbers = np.array([math.nan if value is None else float(value) for value in values])
            if not whole or all(int(float(value)) == value for value in known):
                return numbers
        except OverflowError:
            pass  # larger than numbers here are: as text
    if len(known) == len(values) and all(isinstance(value, bool) for value in known):
        return np.array(values, np.int8)
    return np.array([text(value) for value in values])


def text(value: object) -> str:
    """Write a value as text that an archive holds: NUL becomes U+2400, half a surrogate pair a question mark."""
    if value is None:
        return ""
    if isinstance(value, str):
        written = value
    elif isinstance(value, list | dict | tuple | bool):
        written = json.dumps(value, default=str)
    else:
        written = str(value)
    if written.isascii() and "\0" not in written:  # the usual case
        return written
    return written.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
