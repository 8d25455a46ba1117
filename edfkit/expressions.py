"""What can be asked of the models of a population, in a small language: `params < 1e5 and any(width > 64)`.

An expression has names of columns, numbers, texts in quotes, `and`, `or`, `not`, comparisons, also in chains, the
operators `+ - * / %`, indices as in `width[0]`, and the functions `FUNCTIONS`. Nothing of it is run as Python: its tree
is rebuilt of what is allowed, and evaluated on whole columns.

Numbers are float64, and may be written as 30k or 1.2M. A column has one value for each model, or several: of its
stages, counted from 0 and without the stem, or of its epochs. `and`, `or` and `not` go value by value, and in the end
`any` or `all` says how many have to be true. `sum`, `min`, `max`, `len`, `any` and `all` are about the values of one
model; `min` and `max` also take several numbers. `log` is the natural logarithm. Texts are only equal or not.

A value is unknown if it is NaN, masked or an empty text, and so is what cannot be computed, such as a division by 0 or
the logarithm of a number that is not above 0. What an unknown value decides is unknown (Kleene's logic): `a < 1 or b <
2` is true where a is 0 and b unknown, and `a < 1 and b < 2` is unknown.
"""

import ast
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError

FUNCTIONS = ("sum", "min", "max", "any", "all", "len", "log")
"""What can be called."""

LONGEST = 1_000
"""Characters of an expression, at most."""

_WRITTEN = re.compile(r"""'[^']*'|"[^"]*"|(?<![\w.])(\d+\.?\d*|\.\d+) ?([kMGBT])(?!\w)""")
"""A text, which stays as it is, or a number as 30k or 1.2 M."""
_POWERS = {"k": 3, "M": 6, "G": 9, "B": 9, "T": 12}

DEEPEST = 50
"""Levels of an expression, at most."""

GROUP_WIDTH = ("width", "bot_mul", "groups")
"""What `group_width` is computed of where there is no such column: round(width * bot_mul) / groups, for each stage."""


def _divided(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.where(b == 0, np.nan, a / b)


_ALLOWED = (
    "it can have names of columns, numbers, texts in quotes, and, or, not, == != < <= > >=, + - * / %, NAME[0], "
    "sum, min, max, any, all, len and log"
)
_COMPARED: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Eq: ("==", np.equal),
    ast.NotEq: ("!=", np.not_equal),
    ast.Lt: ("<", np.less),
    ast.LtE: ("<=", np.less_equal),
    ast.Gt: (">", np.greater),
    ast.GtE: (">=", np.greater_equal),
}
_COMPUTED: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("+", np.add),
    ast.Sub: ("-", np.subtract),
    ast.Mult: ("*", np.multiply),
    ast.Div: ("/", _divided),
    ast.Mod: ("%", np.mod),  # of Python's sign
}
_OTHERS: dict[type[ast.AST], str] = {
    ast.Pow: "**",
    ast.FloorDiv: "//",
    ast.BitAnd: "& (write and)",
    ast.BitOr: "| (write or)",
    ast.Invert: "~ (write not)",
    ast.UAdd: "+ before a value",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is (write ==)",
    ast.IsNot: "is not (write !=)",
}

Read = Callable[[str], NDArray[Any]]


@dataclass(frozen=True)
class Expression:
    """A condition on the models of a population, see `parse`.

    Attributes
    ----------
    text : str
        The expression as it is named everywhere: equal ones have equal texts, whatever their blanks, their brackets
        and the form of their numbers; `params<1e5` is "params < 100000". Parsing it gives the expression again.
    names : tuple of str
        The columns that it is about, in the order in which they come.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr = field(repr=False, compare=False)

    def __str__(self) -> str:
        """Give the canonical text."""
        return self.text

    def __and__(self, other: "Expression") -> "Expression":
        """Ask for both; what both ask for alike stands there once."""
        parts = {_text(part): part for tree in (self._tree, other._tree) for part in _parts_of(tree)}
        return _expression(next(iter(parts.values())) if len(parts) == 1 else ast.BoolOp(ast.And(), [*parts.values()]))

    def columns(self, has: Callable[[str], bool]) -> list[str]:
        """Name what has to be read where there are some columns; in place of `group_width` what it is computed of."""
        wanted = (GROUP_WIDTH if name == "group_width" and not has(name) else (name,) for name in self.names)
        return list(dict.fromkeys(column for some in wanted for column in some))

    def of(self, read: Read) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tell for which models the expression is true.

        Parameters
        ----------
        read : callable
            Gives a column by its name, shape (models,), or (models, stages) or more: numbers, truths or text; raises
            EdfkitError if there is none.

        Returns
        -------
        true, unknown : ndarray of bool, shape (models,)
            Where it is true, and where that cannot be told.

        Raises
        ------
        EdfkitError
            If there is no such column, it has no such stage, or its values are not of the kind that is needed.
        """
        with np.errstate(all="ignore"):
            columns = {name: _column(name, read) for name in self.names}
            truth = _truths(self._tree, columns)
        if truth.ndim > 1:
            raise EdfkitError(
                f"{self.text} has several answers for each model, one for each stage; write any(...) or all(...)."
            )
        return truth == 1, np.isnan(truth)


def parse(text: str) -> Expression:
    """Read an expression.

    Parameters
    ----------
    text : str
        At most `LONGEST` characters, in the language of this module.

    Returns
    -------
    Expression

    Raises
    ------
    EdfkitError
        If it is none, has something that is not allowed, or is too long or too deep.
    """
    if len(text) > LONGEST:
        raise EdfkitError(f"An expression has {len(text):,} characters, expected {LONGEST:,} at most; shorten it.")
    if not text.strip():
        raise EdfkitError("An expression is empty, expected a condition such as params < 1e5; write one.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python warns of is refused, or means nothing here
            plain = _WRITTEN.sub(lambda of: f"{of[1]}e{_POWERS[of[2]]}" if of[1] else of[0], text)
            tree = ast.parse(plain.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        why = f" ({error.msg})" if isinstance(error, SyntaxError) else ""
        raise EdfkitError(
            f"{_short(text)!r} cannot be read as an expression{why}, expected a condition such as params < 1e5; "
            "correct it."
        ) from None
    found = _expression(_allowed(tree, plain, DEEPEST))
    if not found.names:
        raise EdfkitError(f"The expression {_short(text)!r} names no column; write a condition such as params < 1e5.")
    return found


def unknown(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of which models some value of a column is not known.

    Parameters
    ----------
    values : ndarray, shape (models,), or (models, stages) or more
        Numbers, truths or text.

    Returns
    -------
    ndarray of bool, shape (models,)
    """
    found = _typed("a column", values)
    gone = found.values == "" if found.kind == "text" else np.isnan(found.values)
    return np.asarray(gone.reshape(len(gone), -1).any(axis=1))


# --- The tree: what is allowed is built anew, so that nothing else is in it


def _expression(tree: ast.expr) -> Expression:
    names = [node.id for node in _walk(tree) if isinstance(node, ast.Name)]
    return Expression(_text(tree), tuple(dict.fromkeys(names)), tree)


def _walk(tree: ast.AST) -> list[ast.AST]:
    """Give the parts of a tree in the order of the text, without the names of functions."""
    inner = tree.args if isinstance(tree, ast.Call) else ast.iter_child_nodes(tree)
    return [tree, *(node for child in inner for node in _walk(child))]


def _parts_of(tree: ast.expr) -> Sequence[ast.expr]:
    return tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]


def _allowed(node: ast.expr, text: str, depth: int) -> ast.expr:
    """Build a tree of what is allowed, and refuse what is not."""
    if not depth:
        raise EdfkitError(f"The expression {_short(text)!r} is more than {DEEPEST} levels deep; shorten it.")

    def inner(some: ast.expr) -> ast.expr:
        return _allowed(some, text, depth - 1)

    def refused(what: str) -> EdfkitError:
        return EdfkitError(f"The expression {_short(text)!r} has {what}, which is not allowed: {_ALLOWED}.")

    match node:
        case ast.Name(id=name) if not name.startswith("__"):
            return ast.Name(name)
        case ast.Constant(value=str() as said) if said:
            return ast.Constant(said)
        case ast.Constant(value=""):
            raise EdfkitError(
                f"The expression {_short(text)!r} has an empty text, which stands for an unknown value and is equal to "
                "nothing; leave it out."
            )
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return ast.Constant(_plain(number, text))
        case ast.UnaryOp(op=ast.USub() | ast.Not() as sign, operand=operand):
            return ast.UnaryOp(sign, inner(operand))
        case ast.BoolOp(op=op, values=values):
            # Written in brackets or not, a chain is the same.
            chain = [inner(value) for value in values]
            same = [one.values if isinstance(one, ast.BoolOp) and type(one.op) is type(op) else [one] for one in chain]
            return ast.BoolOp(op, [one for some in same for one in some])
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _COMPUTED:
            return ast.BinOp(inner(left), sign, inner(right))
        case ast.Compare(left=left, ops=signs, comparators=others) if all(type(sign) in _COMPARED for sign in signs):
            return ast.Compare(inner(left), signs, [inner(other) for other in others])
        case ast.Subscript(value=value, slice=index):
            place = index.operand if isinstance(index, ast.UnaryOp) and isinstance(index.op, ast.USub) else index
            if not isinstance(place, ast.Constant) or type(place.value) is not int:
                raise EdfkitError(
                    f"{_segment(text, node)} was given, expected a whole number as the index, such as 0, the first, or "
                    "-1, the last; correct it."
                )
            return ast.Subscript(inner(value), ast.Constant(place.value if place is index else -place.value))
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in FUNCTIONS:
            if len(given) != 1 and (name not in ("min", "max") or not given):
                raise EdfkitError(
                    f"{name} takes one value and has {len(given)} in the expression {_short(text)!r}; correct it."
                )
            return ast.Call(ast.Name(name), [inner(one) for one in given], [])
        case _:
            found: list[ast.AST] = [*getattr(node, "ops", ()), getattr(node, "op", node)]
            raise refused(next((_OTHERS[type(one)] for one in found if type(one) in _OTHERS), _segment(text, node)))


def _text(node: ast.expr, least: int = 0) -> str:
    """Write a tree with as few brackets as are needed: least is the level of what need not be in any."""
    match node:
        case ast.BoolOp(op=op, values=values):
            level, word = (1, " or ") if isinstance(op, ast.Or) else (2, " and ")
            said = word.join(_text(value, level + 1) for value in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            level, said = 3, f"not {_text(operand, 3)}"
        case ast.Compare(left=left, ops=signs, comparators=others):
            links = (f" {_COMPARED[type(sign)][0]} {_text(one, 5)}" for sign, one in zip(signs, others, strict=True))
            level, said = 4, _text(left, 5) + "".join(links)
        case ast.BinOp(left=left, op=sign, right=right):
            level = 5 if isinstance(sign, ast.Add | ast.Sub) else 6
            said = f"{_text(left, level)} {_COMPUTED[type(sign)][0]} {_text(right, level + 1)}"
        case ast.UnaryOp(operand=operand):
            level, said = 7, f"-{_text(operand, 7)}"
        case ast.Subscript(value=value, slice=index):
            level, said = 8, f"{_text(value, 8)}[{_text(index)}]"
        case ast.Call(func=func, args=given):
            level, said = 8, f"{_text(func)}({', '.join(map(_text, given))})"
        case ast.Name(id=name):
            level, said = 8, name
        case ast.Constant(value=value):
            level, said = 8, repr(value)
        case _:
            raise TypeError(node)  # as no other is in a tree
    return said if level >= least else f"({said})"


def _plain(number: float, text: str) -> float:
    """Give a number so that equal ones are written alike: 1e5 as 100000, 0.10 as 0.1."""
    try:
        real = float(number)
    except OverflowError:
        real = np.inf
    if real == np.inf:
        raise EdfkitError(f"The expression {_short(text)!r} has a number that is too large; give one below 1.8e308.")
    return int(real) if repr(real).endswith(".0") else real


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _segment(text: str, node: ast.AST) -> str:
    said = _short(" ".join((ast.get_source_segment(text.strip(), node) or type(node).__name__).split()))
    return said if said.isprintable() else repr(said)


# --- Values: unknown ones are NaN, truths 0 and 1, so that all goes by arithmetic


@dataclass(frozen=True)
class _Value:
    """A number or a text, shape (), of each model, (models,), or several of each, (models, stages) or more."""

    values: NDArray[Any]
    kind: Literal["number", "truth", "text"]


def _column(name: str, read: Read) -> _Value:
    try:
        return _typed(name, read(name))
    except EdfkitError:
        if name != "group_width":
            raise
    parts = {of: _typed(of, read(of)) for of in GROUP_WIDTH}
    width, bot_mul, groups = _aligned(ast.Name(name), [_numbers(ast.Name(of), parts) for of in GROUP_WIDTH])
    return _Value(_divided(np.rint(width * bot_mul), groups), "number")


def _typed(name: str, values: NDArray[Any]) -> _Value:
    kind = values.dtype.kind
    if kind in "OTU":
        gone = np.ma.getmaskarray(values)
        values = np.ma.getdata(values)
        if kind == "O":  # None, NA of pandas, which cannot be compared, and NaN
            missing = [one is None or str(one) == "<NA>" or one != one for one in values.flat]
            gone = gone | np.reshape(missing, values.shape)
        return _Value(np.where(gone, "", values.astype(str)), "text")
    if kind not in "biuf":
        raise EdfkitError(f"{name} has the type {values.dtype}, expected numbers or text; leave it out.")
    real = np.ma.filled(values.astype(np.float64, copy=False), np.nan)
    return _Value(real, "truth" if kind == "b" else "number")


def _value(node: ast.expr, columns: Mapping[str, _Value]) -> _Value:
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=str() as said):
            return _Value(np.asarray(said), "text")
        case ast.Constant(value=int() | float() as number):
            return _Value(np.asarray(number, np.float64), "number")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _Value(-_numbers(operand, columns), "number")
        case ast.BinOp(left=left, op=sign, right=right):
            both = _aligned(node, [_numbers(left, columns), _numbers(right, columns)])
            return _Value(_COMPUTED[type(sign)][1](*both), "number")
        case ast.Subscript(value=of, slice=ast.Constant(value=int() as place)):
            some = _several(of, _value(of, columns), "an index")
            many = some.values.shape[1]
            if not -many <= place < many:
                raise EdfkitError(
                    f"{_text(node)} was given and {_text(of)} has {many:,} values for each model, expected "
                    f"an index from 0 to {many - 1:,}, or from -1, the last, to -{many:,}; correct it."
                )
            return _Value(some.values[:, place], some.kind)
        case ast.Call():
            return _called(node, columns)
    return _Value(_truths(node, columns), "truth")


def _truths(node: ast.expr, columns: Mapping[str, _Value]) -> NDArray[np.float64]:
    """Evaluate a condition: 1 true, 0 false, NaN unknown."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return 1 - _truths(operand, columns)
        case ast.BoolOp(op=op, values=values):
            both = _and if isinstance(op, ast.And) else _or
            return reduce(both, _aligned(node, [_truths(value, columns) for value in values]))
        case ast.Compare(left=left, ops=signs, comparators=others):
            # Each once, as in a chain of Python.
            sides = [(one, _value(one, columns)) for one in (left, *others)]
            links = [_compared(sign, a, b) for sign, a, b in zip(signs, sides, sides[1:], strict=False)]
            return reduce(_and, _aligned(node, links))
    found = _value(node, columns)
    if found.kind != "truth":
        raise EdfkitError(
            f"{_text(node)} is a {found.kind}, expected a condition; compare it, as in {_text(node)} == "
            f"{'0' if found.kind == 'number' else repr('a')}."
        )
    return found.values


def _numbers(node: ast.expr, columns: Mapping[str, _Value]) -> NDArray[Any]:
    """Evaluate a number; a truth is 1 or 0."""
    found = _value(node, columns)
    if found.kind == "text":
        raise EdfkitError(f"{_text(node)} is text, expected a number: texts are compared by == and != only.")
    return found.values


def _compared(sign: ast.cmpop, a: tuple[ast.expr, _Value], b: tuple[ast.expr, _Value]) -> NDArray[np.float64]:
    kinds = {one.kind == "text" for _, one in (a, b)}
    if True in kinds and (False in kinds or not isinstance(sign, ast.Eq | ast.NotEq)):
        said = _text(ast.Compare(a[0], [sign], [b[0]]))
        raise EdfkitError(f"{said} was given, but text is compared with text, by == and != only; correct it.")
    node = ast.Compare(a[0], [sign], [b[0]])
    left, right = _aligned(node, [a[1].values, b[1].values])
    gone = (left == "") | (right == "") if True in kinds else np.isnan(left) | np.isnan(right)
    return np.where(gone, np.nan, _COMPARED[type(sign)][1](left, right))


def _aligned(node: ast.expr, several: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Bring values together: one of a model goes with each of its stages."""
    axes = max(one.ndim for one in several)
    if len({one.shape[1:] for one in several if one.ndim > 1}) > 1:
        raise EdfkitError(
            f"The values in {_text(node)} are not equally many for each model; take one by an index, or sum, min "
            "or max of them."
        )
    return [one.reshape(one.shape + (1,) * (axes - one.ndim)) if one.ndim else one for one in several]


def _called(node: ast.Call, columns: Mapping[str, _Value]) -> _Value:
    name, given = _text(node.func), node.args
    if name == "log":
        number = _numbers(given[0], columns)
        return _Value(np.where(number > 0, np.log(number), np.nan), "number")
    if len(given) > 1:
        each = [_numbers(one, columns) for one in given]
        if any(one.ndim > 1 for one in each):
            raise EdfkitError(
                f"{_text(node)} has several values for each model, expected one in each place; take {name} of "
                "each column first."
            )
        return _Value(reduce(np.minimum if name == "min" else np.maximum, each), "number")
    if name in ("any", "all"):
        truths = _several(given[0], _Value(_truths(given[0], columns), "truth"), name).values
        return _Value(_over(truths, _any if name == "any" else _all), "truth")
    some = _several(given[0], _value(given[0], columns), name)
    if name == "len":
        return _Value(np.full(len(some.values), float(some.values.shape[1])), "number")
    if some.kind == "text":
        raise EdfkitError(f"{_text(given[0])} is text, expected numbers for {name}; correct it.")
    return _Value(_over(some.values, getattr(np, name)), "number")


def _several(node: ast.expr, found: _Value, what: str) -> _Value:
    """Refuse what has one value for each model where several are needed."""
    if found.values.ndim < 2:
        raise EdfkitError(
            f"{what} takes a column with several values for each model, and {_text(node)} has one; leave it out."
        )
    return found


def _over(values: NDArray[Any], what: Callable[..., Any]) -> NDArray[Any]:
    """Take all the values of each model together."""
    return np.asarray(what(values.reshape(len(values), -1), axis=1))


def _and(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(np.fmin(a, b) == 0, 0.0, np.minimum(a, b))  # fmin passes over NaN


def _or(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(np.fmax(a, b) == 1, 1.0, np.maximum(a, b))


def _all(truths: NDArray[Any], axis: int) -> NDArray[np.float64]:
    return np.where(np.fmin.reduce(truths, axis=axis) == 0, 0.0, np.min(truths, axis=axis))


def _any(truths: NDArray[Any], axis: int) -> NDArray[np.float64]:
    return np.where(np.fmax.reduce(truths, axis=axis) == 1, 1.0, np.max(truths, axis=axis))
