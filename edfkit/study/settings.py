"""The settings that studies share: which value of each model is read, and which complexity is held equal.

Every study takes a `Reading`; one that weights its models takes a `Control` too. Their fields may be given as keywords
of the study itself: `compare_populations(source, names, given="flops", error="final")`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict

from edfkit import EdfkitError

AS_WORST = ("worst", "censor")
"""Two words for one policy: runs that diverged count as the worst, even those that have a value."""

POLICIES = ("keep", "drop", *AS_WORST)
"""What can be done with runs that diverged."""

STOPPED = ("drop", "last", "worst")
"""What can be done with runs that were stopped."""

FILLS = ("worst", "best")
"""What runs without a value can count as."""

COMPLEXITIES = ("params", "flops", "macs", "acts")
GIVEN = ("none", *COMPLEXITIES)
"""What can be held equal, besides any other numeric column."""

MOST_COLUMNS = 2
"""So many complexities can be held equal at once: tests hold their level with two."""


@dataclass(frozen=True)
class Reading:
    """Which error of each model is read.

    Attributes
    ----------
    error : str
        "best", the best value over the epochs, "final", the one after the last epoch, or the number of an epoch,
        counted from 1: the one after that.
    diverged : {"keep", "drop", "worst", "censor"}
        Whether runs that diverged keep their value, or count as the worst where they have none; take no part; or count
        as the worst, 100 % of an error.
    failed : {"drop", "worst", "best"}
        Whether runs without a value that failed, were stopped or are not over take no part, or count as the worst or
        the best: how much could depend on them.
    stopped : {"drop", "last", "worst"}
        Whether runs that were stopped take no part, keep the value that they had, or count as the worst.
    metric : str or None
        The metric, by its name or label; None: the default of the archive.
    select : str or None
        The metric by which the best epoch of each run is chosen; None: the metric itself.

    Raises
    ------
    EdfkitError
        If `diverged`, `failed` or `stopped` is none of these.
    """

    error: str = "best"
    diverged: str = "keep"
    failed: str = "drop"
    stopped: str = "drop"
    metric: str | None = None
    select: str | None = None

    def __post_init__(self) -> None:
        if self.diverged not in POLICIES:
            raise EdfkitError(
                f"diverged: {self.diverged!r} was given, expected one of {', '.join(POLICIES)}; correct it."
            )
        if self.failed not in ("drop", *FILLS):
            raise EdfkitError(f"failed: {self.failed!r} was given, expected drop, {', '.join(FILLS)}; correct it.")
        if self.stopped not in STOPPED:
            raise EdfkitError(f"stopped: {self.stopped!r} was given, expected one of {', '.join(STOPPED)}; correct it.")


@dataclass(frozen=True)
class Control:
    """Which complexity is held equal.

    Attributes
    ----------
    given : str
        The complexity: "params", "flops", "macs", "acts", or any numeric column; two with a comma between, such as
        "params,flops"; or "none".
    bins : int or None
        Bins of equal width over the range instead of strata, as in the paper; None: if there is a range, at most 10, as
        many as leave 5 models of every population in each.
    range : (float, float) or None
        Raw counts, both ends included, of the bins; None: the range that all populations cover.
    strata : int or None
        Strata of a pair of populations; None: the square root of the number of models of both.

    Raises
    ------
    EdfkitError
        If these do not go together.
    """

    given: str = "params"
    bins: int | None = None
    range: tuple[float, float] | None = None
    strata: int | None = None

    def __post_init__(self) -> None:
        if self.given == "none" and (self.binned or self.strata is not None):
            what = "Bins and range" if self.binned else "Strata"
            raise EdfkitError(f"{what} belong to a complexity, and given is none; leave them out, or name one.")
        if self.binned and self.strata is not None:
            raise EdfkitError("Strata were given together with bins or a range, which take their place; leave one out.")
        if self.strata is not None and self.strata < 1:
            raise EdfkitError(f"strata: {self.strata} was given, but a number of at least 1 is needed; leave it out.")
        if len(self.columns) > MOST_COLUMNS or len(set(self.columns)) < len(self.columns) or "" in self.columns:
            raise EdfkitError(
                f"given: {self.given!r} was given, expected one complexity, two different ones with a comma between, "
                "or none; correct it."
            )
        if self.binned and len(self.columns) > 1:
            raise EdfkitError(
                f"Bins hold one complexity equal and {self.given} are {len(self.columns)}; leave bins and range out, "
                "or name one."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are held equal."""
        return () if self.given == "none" else tuple(one.strip() for one in self.given.split(","))

    @property
    def binned(self) -> bool:
        """Whether bins of equal width are asked for, as in the paper."""
        return self.bins is not None or self.range is not None


class ReadingKeywords(TypedDict, total=False):
    """A `Reading`, or its fields as keywords."""

    reading: Reading
    error: str
    diverged: str
    failed: str
    stopped: str
    metric: str | None
    select: str | None


class ControlKeywords(TypedDict, total=False):
    """A `Control`, or its fields as keywords."""

    control: Control
    given: str
    bins: int | None
    range: tuple[float, float] | None
    strata: int | None


class SelectionKeywords(ReadingKeywords, ControlKeywords, total=False):
    """What a study that weights its models takes."""


def settle(study: str, settings: Mapping[str, Any], control: Control | None = None) -> tuple[Reading, Control]:
    """Make the `Reading` and the `Control` from the keywords of a study.

    Parameters
    ----------
    study : str
        Name of the function, for messages.
    settings : mapping
        Its keywords.
    control : Control, optional
        What is held equal where nothing else is said; left out for a study that weights no models.

    Returns
    -------
    Reading, Control

    Raises
    ------
    TypeError
        If a keyword is none of the study's.
    EdfkitError
        If a setting has a value that it cannot have.
    """
    left = dict(settings)
    reading = _taken(study, left, "reading", Reading())
    if control is not None:
        control = _taken(study, left, "control", control)
    if left:
        name = next(iter(left))
        why = ", as it takes no Control" if name in ControlKeywords.__annotations__ and control is None else ""
        raise TypeError(f"{study}() takes no argument {name!r}{why}")
    return reading, control or Control("none")


def split(settings: Mapping[str, Any], kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the keywords that a TypedDict names, and the others."""
    own = {name: value for name, value in settings.items() if name in kind.__annotations__}
    return own, {name: value for name, value in settings.items() if name not in own}


def _taken(study: str, left: dict[str, Any], name: str, default: Any) -> Any:
    """Take an object, or the fields that it has, out of keywords."""
    chosen, kind = left.pop(name, default), type(default)
    if not isinstance(chosen, kind):
        names = ", ".join(one.name for one in fields(kind))
        raise TypeError(f"{study}() takes a {kind.__name__} as {name!r}, not {chosen!r}; or give its fields: {names}")
    return replace(chosen, **{one.name: left.pop(one.name) for one in fields(chosen) if one.name in left})
