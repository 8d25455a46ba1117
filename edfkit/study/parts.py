"""Parts of populations by an expression: `resnet[params < 100000]` wherever a population is named.

A part is named by its population and the canonical text of its expression, see `edfkit.expressions`. Models for which
the expression is unknown are not in it, and are counted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.schema import Shape

if TYPE_CHECKING:
    from edfkit.expressions import Expression

_OF_A_POPULATION = ("dataset", "group_attrs", "metrics", "recipe")
"""What sources have besides, of a population by its name: of a part it is that of its population."""


def folded(name: str) -> str:
    """Write the name of a population or of a part in lower case, but not its expression, which may have texts."""
    base, bracket, expression = name.partition("[")
    return base.lower() + bracket + expression


def parted(source: Any, names: Sequence[str], where: str | None = None) -> Any:
    """Give the source of populations and parts.

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
    where : str, optional
        An expression for all of them.

    Returns
    -------
    Source
        A `Parts` if there is an expression, else the source itself.

    Raises
    ------
    EdfkitError
        If `where` is no expression.
    """
    return Parts(source, where) if where is not None or any("[" in name for name in names) else source


@dataclass(frozen=True)
class _Part:
    base: str
    expression: "Expression | None"

    @property
    def name(self) -> str:
        return self.base if self.expression is None else f"{self.base}[{self.expression.text}]"


@dataclass(frozen=True)
class _Taken:
    """Which models of a population a part has, how many, how many are unknown, and which columns of those are."""

    mask: NDArray[np.bool_]
    models: int
    unknown: int
    columns: tuple[str, ...]

    @property
    def why(self) -> str:
        return f"{' or '.join(self.columns)} not known" if self.columns else "expression not computable"


class Parts:
    """A source in which the name of a population may have an expression in brackets: `resnet[params < 1e5]`.

    What else the source has, such as `path` and `attrs`, this has too.

    Parameters
    ----------
    source : Source
        Where the populations are.
    where : str, optional
        An expression that goes with every population.

    Attributes
    ----------
    source : Source
    where : Expression or None

    Raises
    ------
    EdfkitError
        If `where` is no expression.
    """

    def __init__(self, source: Any, where: str | None = None) -> None:
        self.source = source
        self.where = None if where is None else _parsed(where)
        self._parts: dict[str, _Part] = {}
        self._taken: dict[str, _Taken] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.source, name)
        if name in _OF_A_POPULATION:
            return lambda of: found(self.base(of))
        if name == "label":
            return lambda of: found(self.base(of)) + self.named(of).removeprefix(self.base(of))
        if name == "networks":
            return lambda of: [net for net, taken in zip(found(self.base(of)), self.mask(of), strict=True) if taken]
        return found

    @property
    def names(self) -> list[str]:
        """The populations, without their expression: those of which `where` leaves some model."""
        if self.where is None:
            return list(self.source.names)
        wrong: list[EdfkitError] = []
        left = [name for name in self.source.names if self._has_models(name, wrong)]
        if not left:
            raise wrong[0]
        return left

    def _has_models(self, name: str, wrong: list[EdfkitError]) -> bool:
        try:
            return self.models(name) > 0
        except EdfkitError as error:
            wrong.append(error)
            return False

    def named(self, name: str) -> str:
        """Name a population or a part as it is named everywhere, with `where`.

        Raises
        ------
        EdfkitError
            If what is in brackets is no expression.
        """
        return self._part(name).name

    def base(self, name: str) -> str:
        """Name the population that a part is of."""
        return self._part(name).base

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Tell which models of its population a part has.

        Raises
        ------
        EdfkitError
            If there are none, or the expression is about a column that there is not.
        """
        part = self._part(name)
        if part.expression is None:
            return np.ones(self.source.models(part.base), bool)
        return self._models_of(part).mask

    def unknown(self, name: str) -> int:
        """Count the models of which it is not known whether they are in a part."""
        return sum(self.outside(name).values())

    def outside(self, name: str) -> dict[str, int]:
        """Count the models of which it is not known whether they are in a part, by reason, if there are any."""
        part = self._part(name)
        if part.expression is None or not (found := self._models_of(part)).unknown:
            return {}
        return {found.why: found.unknown}

    def models(self, name: str) -> int:
        """Return the number of models in a population or a part."""
        part = self._part(name)
        return int(self.source.models(part.base)) if part.expression is None else self._models_of(part).models

    def variables(self, name: str) -> list[str]:
        """List the variables of a population."""
        return list(self.source.variables(self.base(name)))

    def has(self, name: str, variable: str) -> bool:
        """Tell whether a population has a variable."""
        if isinstance(self.source, Archive):  # which need not list them all
            return self.source.has(self.base(name), variable)
        return variable in self.variables(name)

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of the models of a population or a part."""
        part = self._part(name)
        values = self.source.read(part.base, variable)
        return np.asarray(values if part.expression is None else values[self._models_of(part).mask])

    def shape(self, name: str, variable: str) -> Any:
        """Tell the type and the shape of one variable, if possible without reading it."""
        if not isinstance(self.source, Archive):
            return self.read(name, variable)
        whole: Shape = self.source.shape(self.base(name), variable)
        return whole._replace(shape=(self.models(name), *whole.shape[1:]))

    def chunks(
        self, name: str, variables: Sequence[str], start: int = 0, stop: int | None = None
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Read variables of a part piece by piece, see `Archive.chunks`; `start` and `stop` count its own models."""
        part = self._part(name)
        mask = self.mask(name)
        stop = self.models(name) if stop is None else stop
        first, before = 0, 0
        for piece in self._pieces(part.base, variables):
            taken = mask[first : first + len(next(iter(piece.values())))]
            first += taken.size
            here = slice(max(start - before, 0), max(stop - before, 0))
            before += int(np.count_nonzero(taken))
            if (rows := np.flatnonzero(taken)[here]).size:
                yield {variable: values[rows] for variable, values in piece.items()}
            if before >= stop:
                return

    def _part(self, name: str) -> _Part:
        if name not in self._parts:
            identify: Callable[[str], str] = getattr(self.source, "identify", str.lower)
            base, expression = (name, None) if self._is_label(name) else _split(name)
            if self.where is not None:
                expression = self.where if expression is None else expression & self.where
            part = _Part(identify(base).lower(), expression)
            self._parts[name] = self._parts[part.name] = part
        return self._parts[name]

    def _is_label(self, name: str) -> bool:
        """Tell whether a name with a bracket is a label as it stands, and not the name of a part."""
        return "[" in name and hasattr(self.source, "label") and name in map(self.source.label, self.source.names)

    def _models_of(self, part: _Part) -> _Taken:
        assert part.expression is not None
        if part.name not in self._taken:
            self._taken[part.name] = self._found(part, part.expression)
        found = self._taken[part.name]
        if not found.models:
            uncertain = f", and {found.unknown:,} have {found.why}" if found.unknown else ""
            raise EdfkitError(
                f"None of the {found.mask.size:,} models of {part.base} has {part.expression.text}{uncertain}; give "
                "another expression."
            )
        return found

    def _found(self, part: _Part, expression: "Expression") -> _Taken:
        """Evaluate an expression piece by piece, as a population need not fit in memory."""
        from edfkit.expressions import unknown

        columns = expression.columns(lambda column: self.has(part.base, column))
        self._check(part, columns)
        masks, many, gone = [], 0, set[str]()
        for piece in self._pieces(part.base, columns):
            mask, open_ = expression.of(lambda column, piece=piece: _given(piece, column))  # type: ignore[misc]
            masks.append(mask)
            if number := int(np.count_nonzero(open_)):
                many += number
                gone |= {column for column, values in piece.items() if unknown(values[open_]).any()}
        whole = np.concatenate(masks)
        return _Taken(whole, int(np.count_nonzero(whole)), many, tuple(one for one in columns if one in gone))

    def _check(self, part: _Part, columns: Sequence[str]) -> None:
        absent = [column for column in columns if not self.has(part.base, column)]
        if not absent:
            return
        from difflib import get_close_matches

        from edfkit.expressions import GROUP_WIDTH

        known = self.variables(part.base)
        close = get_close_matches(absent[0], [*known, "group_width"], 1)
        of = " to compute group_width of" if absent[0] in GROUP_WIDTH and "group_width" in part.name else ""
        what = f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}."
        raise EdfkitError(f"{part.base} has no column {absent[0]!r}{of}; {what}")

    def _pieces(self, base: str, columns: Sequence[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        if isinstance(self.source, Archive):
            return self.source.chunks(base, columns)
        return iter([{column: self.source.read(base, column) for column in columns}])


def _parsed(text: str) -> "Expression":
    from edfkit.expressions import parse  # here, as most commands do without

    return parse(text)


def _split(name: str) -> tuple[str, "Expression | None"]:
    """Part the name of a population and its expression."""
    base, bracket, rest = name.partition("[")
    if not bracket:
        return name, None
    rest = rest.rstrip()
    closed = rest.endswith("]")
    try:
        if closed:
            return base.strip(), _parsed(rest[:-1])
    except EdfkitError:
        if rest.count("]") > rest.count("["):  # all is closed
            raise
    end = "]" if any(sign in rest for sign in "<>=!") else "<1e5]"
    raise EdfkitError(
        f"{name!r} has a bracket that is not closed, as a shell takes < and > for itself; write it in quotes: "
        f"'{name}{end}'."
    )


def _given(piece: Mapping[str, NDArray[Any]], column: str) -> NDArray[Any]:
    if column not in piece:
        raise EdfkitError(f"There is no column {column!r}.")
    return piece[column]
