"""The language of expressions: against Python row by row, Kleene's logic, canonical texts, and what is refused."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import conditions

from edfkit import EdfkitError
from edfkit.expressions import DEEPEST, LONGEST, parse, unknown

NAN = float("nan")
STAGES = 3
MANY = settings(max_examples=max(100, settings().max_examples))

Columns = Mapping[str, NDArray[Any]]


@st.composite
def tables(draw: st.DrawFn, *, known: bool = True, rows: int = 8) -> Columns:
    """Columns a and b, w and v of three stages, and the text t, of small numbers whose sums and products are exact."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shapes = {"a": (rows,), "b": (rows,), "w": (rows, STAGES), "v": (rows, STAGES)}
    halves = {name: rng.integers(-4, 12, shape) / 2 for name, shape in shapes.items()}
    texts = rng.choice(["x", "y"], rows)
    if known:
        return {**halves, "t": texts}
    gaps = {name: np.where(rng.random(shape) < 0.3, NAN, halves[name]) for name, shape in shapes.items()}
    return {**gaps, "t": np.where(rng.random(rows) < 0.3, "", texts)}


def evaluated(text: str, columns: Columns) -> tuple[list[bool], list[bool]]:
    true, open_ = parse(text).of(columns.__getitem__)
    return true.tolist(), open_.tolist()


# --- Against Python


def python(text: str, row: Mapping[str, Any]) -> bool | None:
    """Evaluate a condition on one model by Python itself; None where Python has no answer."""
    known = {"sum": sum, "min": min, "max": max, "any": any, "all": all, "len": len, "log": log, "__builtins__": {}}
    try:
        with np.errstate(all="raise"):
            return bool(eval(text, known, dict(row)))
    except (ZeroDivisionError, FloatingPointError):
        return None


def log(x: float) -> float:
    if x <= 0:
        raise ZeroDivisionError
    return float(np.log(np.float64(x)))


@MANY
@given(conditions(), tables())
def test_on_known_values_an_expression_says_what_python_says_of_each_row(text: str, columns: Columns) -> None:
    true, open_ = evaluated(text, columns)
    for i, (is_true, is_open) in enumerate(zip(true, open_, strict=True)):
        said = python(text, {name: column[i] for name, column in columns.items()})
        if said is not None:
            assert (is_true, is_open) == (said, False)


# --- Against Kleene's logic, model by model and value by value, in plain Python


def kleene(node: ast.expr, row: Mapping[str, Any]) -> Any:
    """Evaluate a tree on one model: None is unknown, a list has a value for each stage."""

    def each(what: Any, *sides: Any) -> Any:
        if any(isinstance(side, list) for side in sides):
            return [what(*(s[i] if isinstance(s, list) else s for s in sides)) for i in range(STAGES)]
        return what(*sides)

    def strict(what: Any) -> Any:
        return lambda *sides: None if None in sides else what(*sides)

    match node:
        case ast.Name(id=name):
            return row[name]
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return each(strict(lambda a: -a), kleene(operand, row))
        case ast.UnaryOp(operand=operand):
            return each(strict(lambda a: not a), kleene(operand, row))
        case ast.BinOp(left=left, op=op, right=right):
            return each(strict(COMPUTE[type(op)]), kleene(left, row), kleene(right, row))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [kleene(one, row) for one in (left, *others)]
            links = [each(strict(COMPARE[type(op)]), a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False)]
            return each(lambda *truths: both(truths, False), *links)
        case ast.BoolOp(op=op, values=conditions):
            decides = isinstance(op, ast.Or)
            return each(lambda *truths: both(truths, decides), *(kleene(one, row) for one in conditions))
        case ast.Subscript(value=of, slice=index):
            return kleene(of, row)[ast.literal_eval(index)]
        case ast.Call(func=ast.Name(id=name), args=given):
            found = [kleene(one, row) for one in given]
            if name == "log":
                return None if found[0] is None or found[0] <= 0 else log(found[0])
            several = found if len(found) > 1 else found[0]
            if name in ("any", "all"):
                return both(several, name == "any")
            if name == "len":
                return len(several)
            taken: Any = {"sum": sum, "min": min, "max": max}[name]
            return strict(lambda *of: taken(of))(*several)
    raise AssertionError(ast.dump(node))


def both(truths: Any, decides: bool) -> bool | None:
    """Bring truths together by `or` if true decides, by `and` if false does."""
    return decides if decides in truths else None if None in truths else not decides


COMPUTE: dict[type, Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b if b else None,
    ast.Mod: lambda a, b: a % b if b else None,
}
COMPARE: dict[type, Any] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if value in ("", None) or value != value else value


@MANY
@given(conditions(by_stage=True), tables(known=False))
def test_what_an_unknown_value_decides_is_unknown(text: str, columns: Columns) -> None:
    true, open_ = evaluated(text, columns)
    tree = ast.parse(text, mode="eval").body
    for i in range(len(true)):
        said = kleene(tree, {name: plain(column[i].tolist()) for name, column in columns.items()})
        assert (true[i], open_[i]) == (said is True, said is None)


@MANY
@given(conditions(by_stage=True), tables(known=False), tables())
def test_what_is_decided_stays_so_whatever_the_unknown_values_are(text: str, some: Columns, others: Columns) -> None:
    gaps = {name: column == "" if name == "t" else np.isnan(column) for name, column in some.items()}
    filled = {name: np.where(gaps[name], others[name], column) for name, column in some.items()}
    true, open_ = parse(text).of(some.__getitem__)
    now, _ = parse(text).of(filled.__getitem__)
    assert np.array_equal(true[~open_], now[~open_])
    assert not (true & open_).any()


def test_the_tables_of_kleene() -> None:
    a, b = (one.ravel() for one in np.meshgrid([0, NAN, 2], [0, NAN, 2], indexing="ij"))
    truth = {"a": a, "b": b}
    assert evaluated("a > 1 and b > 1", truth)[0] == [False] * 8 + [True]
    assert evaluated("a > 1 and b > 1", truth)[1] == [False, False, False, False, True, True, False, True, False]
    assert evaluated("a > 1 or b > 1", truth)[0] == [False, False, True, False, False, True, True, True, True]
    assert evaluated("a > 1 or b > 1", truth)[1] == [False, True, False, True, True, False, False, False, False]
    assert evaluated("not a > 1", truth) == ([True] * 3 + [False] * 6, [False] * 3 + [True] * 3 + [False] * 3)


# --- By hand

NETWORKS = {
    "params": np.array([1000, 20_000, 300_000]),
    "width": np.array([[16, 32, 64], [64, 64, 128], [8, 8, 8]]),
    "bot_mul": np.array([[0.5, 0.5, 0.25], [1.0, 1.0, NAN], [0.3, 1.0, 1.0]]),
    "groups": np.array([[2, 4, 8], [1, 2, 4], [1, 1, 2]]),
    "block": np.array(["basic", "", "bottleneck"]),
    "pretrained": np.array([True, False, True]),
    "macs": np.array([NAN, 1e6, 2e6]),
    "test_error": np.array([[9.0, 5.0], [8.0, 6.0], [7.0, 4.0]]),
}


@pytest.mark.parametrize(
    ("text", "true", "open_"),
    [
        ("params < 1e5", "110", "000"),
        ("1e3 < params <= 3e5", "011", "000"),
        ("width[0] > 16 or width[-1] == 8", "011", "000"),
        ("any(width > 32)", "110", "000"),
        ("all(width > 32 or width == 8)", "011", "000"),
        ("any(width > 32 and params < 1e4)", "100", "000"),
        ("sum(width > 16) == 2", "100", "000"),
        ("max(width) / min(width) == 4", "100", "000"),
        ("len(width) == 3 and len(test_error) == 2", "111", "000"),
        ("max(width[0], width[1]) == 64", "010", "000"),
        ("group_width[0] == 4", "100", "000"),  # 16 * 0.5 / 2
        ("group_width[0] == 2", "001", "000"),  # round(8 * 0.3) channels
        ("all(group_width >= 2)", "101", "010"),
        ("any(group_width >= 64)", "010", "000"),  # the unknown last stage decides nothing
        ("block == 'basic'", "100", "010"),
        ('block != "basic"', "001", "010"),
        ("pretrained and params > 1e4", "001", "000"),
        ("params == 3e5 or macs > 1", "011", "100"),
        ("log(params) < log(1e4)", "100", "000"),
        ("log(params - 1000) > 0", "011", "100"),
        ("1 / (params - 1000) > 0", "011", "100"),
        ("params % 0 == 0", "000", "111"),
        ("test_error[-1] < test_error[0] - 2", "101", "000"),
        ("-params % 7 == 1", "100", "000"),  # of Python's sign: -1000 % 7 is 1
    ],
)
def test_expressions_by_hand(text: str, true: str, open_: str) -> None:
    found = parse(text).of(read)
    assert ["".join(map(str, one.astype(int))) for one in found] == [true, open_]


def read(name: str) -> NDArray[Any]:
    if name not in NETWORKS:
        raise EdfkitError(f"There is no column {name!r}.")
    return NETWORKS[name]


def test_a_column_of_that_name_goes_before_the_group_width_that_is_computed() -> None:
    own = {"group_width": np.array([[1.0], [2.0]])}
    assert evaluated("any(group_width == 2)", own) == ([False, True], [False, False])
    assert parse("group_width[0] > 1 and width[0] > 1").columns(own.__contains__) == ["group_width", "width"]
    assert parse("group_width[0] > 1 and width[0] > 1").columns(lambda _: False) == ["width", "bot_mul", "groups"]


def test_masked_values_and_objects_are_read_as_text_or_are_unknown() -> None:
    columns = {
        "t": np.array(["x", None, NAN, "y"], object),
        "n": np.ma.array([1, 2, 3, 4], mask=[False, True, False, False]),
        "m": np.ma.array(["x", "x", "y", "y"], mask=[True, False, False, False]),
    }
    assert evaluated("t != 'x'", columns) == ([False, False, False, True], [False, True, True, False])
    assert evaluated("n < 4", columns) == ([True, False, True, False], [False, True, False, False])
    assert evaluated("m == 'x'", columns) == ([False, True, False, False], [True, False, False, False])
    assert unknown(columns["t"]).tolist() == [False, True, True, False]
    assert unknown(np.array([[1, NAN], [1, 2]])).tolist() == [True, False]


# --- Canonical texts


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("params<1e5", "params < 100000"),
        ("( params )<(100_000.0)", "params < 100000"),
        ("lr<=.10", "lr <= 0.1"),
        ("wd < 0.00001", "wd < 1e-05"),
        ("not(a<1)and(b<2)", "not a < 1 and b < 2"),
        ("a<1 and (b<1 and c<1)", "a < 1 and b < 1 and c < 1"),
        ("a<1 and (b<1 or c<1)", "a < 1 and (b < 1 or c < 1)"),
        ("a-(b-c)<1", "a - (b - c) < 1"),
        ("(a-b)-c<1", "a - b - c < 1"),
        ('t=="it\'s"', 't == "it\'s"'),
        ("width[ -1 ]>u", "width[-1] > u"),
        ("any( (w>1) )", "any(w > 1)"),
        ("u'x'==t # why", "'x' == t"),
        ("30k<=a<1.2M or a== 2 B", "30000 <= a < 1200000 or a == 2000000000"),
        ("t=='30k'", "t == '30k'"),
    ],
)
def test_equal_expressions_have_one_text(written: str, text: str) -> None:
    assert parse(written).text == text


@MANY
@given(conditions(by_stage=True), tables(known=False))
def test_the_text_of_an_expression_is_that_expression(text: str, columns: Columns) -> None:
    found = parse(f" {text}")
    again = parse(found.text)
    assert again == found
    assert hash(again) == hash(found)
    assert evaluated(found.text, columns) == evaluated(text, columns)


@MANY
@given(conditions(), conditions(), tables(known=False))
def test_both_of_two_expressions(a: str, b: str, columns: Columns) -> None:
    both_, texts = parse(a) & parse(b), (parse(a).text, parse(b).text)
    assert both_ & parse(b) == both_
    assert both_ & both_ == both_
    assert parse(both_.text) == both_
    assert evaluated(both_.text, columns) == evaluated(f"({texts[0]}) and ({texts[1]})", columns)


def test_the_names_of_an_expression_come_in_its_order() -> None:
    assert parse("max(b) > a and sum(b) < c[0] and len < 1").names == ("b", "a", "c", "len")


# --- What is refused


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a.b < 1", "has a.b, which is not allowed: it can have names of columns"),
        ("a.__class__ < 1", "has a.__class__,"),
        ("(a.\nb) < 1", "has a. b,"),
        ("[a, '\x1b'] < 1", "has \"[a, '\\x1b']\","),
        ("__import__('os').system('true') < a", "which is not allowed"),
        ("__class__ < 1", "has __class__,"),
        ("open('x') < a", "has open('x'),"),
        ("abs(a) < 1", "has abs(a),"),
        ("sum(a)(1) < 1", "which is not allowed"),
        ("sum(w, start=1) < 1", "which is not allowed"),
        ("any(*w)", "has *w,"),
        ("[b for b in a]", "which is not allowed"),
        ("sum(b for b in w) < 1", "which is not allowed"),
        ("{1: a}", "which is not allowed"),
        ("(a, 1)", "which is not allowed"),
        ("a < 1 if b else c", "which is not allowed"),
        ("(lambda: 1) < a", "which is not allowed"),
        ("(b := 1) < a", "which is not allowed"),
        ("f'{a}' == t", "which is not allowed"),
        ("b'x' == t", "which is not allowed"),
        ("a < 1j", "which is not allowed"),
        ("a == True", "has True,"),
        ("a == None", "has None,"),
        ("a == ...", "has ...,"),
        ("9 ** 9 ** 9 ** 9 < a", "has **,"),
        ("a // 2 < 1", "has //,"),
        ("a @ b < 1", "has a @ b,"),
        ("a << 2 < 1", "has a << 2,"),
        ("(a < 1) & (b < 1)", "has & (write and),"),
        ("a < 1 | b", "has | (write or),"),
        ("~(a < 1)", "has ~ (write not),"),
        ("a in (1, 2)", "has in,"),
        ("a is 1", "has is (write ==),"),
        ("+a < 1", "has + before a value,"),
        ("await a", "which is not allowed"),
        ("w[0:1] < 1", "expected a whole number as the index"),
        ("w[a] < 1", "expected a whole number as the index"),
        ("w[1.0] < 1", "expected a whole number as the index"),
        ("w[True] < 1", "expected a whole number as the index"),
        ("t == ''", "has an empty text"),
        ("a < 1e999", "has a number that is too large"),
        (f"a < {'9' * 400}", "has a number that is too large"),
        ("1 < 2", "names no column"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("a <", "cannot be read as an expression (invalid syntax)"),
        ("a = 1", "cannot be read as an expression"),
        ("a < 1; b < 2", "cannot be read as an expression"),
        ("import os", "cannot be read as an expression"),
        ("a < 30x", "cannot be read as an expression"),
        ("a < 1e5k", "cannot be read as an expression"),
        ("a\0 < 1", "cannot be read as an expression"),
        ("a < '\udc80", "cannot be read as an expression"),
        ("log(a, 10) < 1", "log takes one value and has 2"),
        ("min() < a", "min takes one value and has 0"),
        ("a < " + "(" * 300 + "1" + ")" * 300, "cannot be read as an expression"),
        ("-" * 900 + "a < 1", f"is more than {DEEPEST} levels deep"),
        ("not " * 200 + "a < 1", f"is more than {DEEPEST} levels deep"),
        ("a" + "[0]" * 300, f"is more than {DEEPEST} levels deep"),
        ("a" + ".b" * 400, "which is not allowed"),
        ("a + " * 200 + "a < 1", f"is more than {DEEPEST} levels deep"),
        ("a < 1 or " * 200 + "a < 1", f"expected {LONGEST:,} at most"),
        ("x" * 10**6, f"has 1,000,000 characters, expected {LONGEST:,} at most"),
    ],
)
def test_what_is_not_of_the_language_is_refused_in_one_sentence(text: str, what: str) -> None:
    with pytest.raises(EdfkitError) as refused:
        parse(text)
    assert what in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@given(st.text(max_size=40) | st.text("abw()[]<>=!.,:+-*/%'\" 01etandornlsum", max_size=40))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    try:
        found = parse(text)
    except EdfkitError:
        return
    values = ast.Name | ast.Constant | ast.UnaryOp | ast.BoolOp | ast.BinOp | ast.Compare | ast.Subscript | ast.Call
    signs = ast.expr_context | ast.operator | ast.cmpop | ast.unaryop | ast.boolop
    for node in ast.walk(ast.parse(found.text, mode="eval").body):
        assert isinstance(node, values | signs)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("absent < 1", "There is no column 'absent'"),
        ("width > 32", "width > 32 has several answers for each model, one for each stage; write any(...) or all(...)"),
        ("width > 32 and params < 1", "write any(...) or all(...)"),
        ("not width > 32", "write any(...) or all(...)"),
        ("params", "params is a number, expected a condition"),
        ("block", "block is a text, expected a condition"),
        ("params and macs > 1", "params is a number, expected a condition"),
        ("block < 'b'", "block < 'b' was given, but text is compared with text, by == and != only"),
        ("block == 1", "text is compared with text"),
        ("params == 'many'", "text is compared with text"),
        ("block + 'x' == block", "block is text, expected a number"),
        ("log(block) < 1", "block is text, expected a number"),
        ("width[3] > 1", "has 3 values for each model, expected an index from 0 to 2, or from -1, the last, to -3"),
        ("width[-4] > 1", "expected an index from 0 to 2"),
        ("params[0] > 1", "an index takes a column with several values for each model, and params has one"),
        ("width[0][0] > 1", "an index takes a column with several values"),
        ("sum(params) > 1", "sum takes a column with several values"),
        ("any(params > 1)", "any takes a column with several values"),
        ("any(width)", "width is a number, expected a condition"),
        ("max(width, 3) > 1", "expected one in each place; take max of each column first"),
        ("any(width > test_error)", "are not equally many for each model"),
    ],
)
def test_what_does_not_fit_the_columns_is_refused(text: str, what: str) -> None:
    with pytest.raises(EdfkitError) as refused:
        parse(text).of(read)
    assert what in str(refused.value)


def test_the_language_needs_numpy_alone() -> None:
    code = "import sys, edfkit.expressions; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.split(".")[0] in ("edfkit", "scipy", "h5py", "pandas")}
    assert loaded == {"edfkit", "edfkit.expressions"}


def test_a_million_models_take_no_loop() -> None:
    many = {"a": np.arange(1e6), "w": np.tile([16.0, 32.0, 64.0], (10**6, 1))}
    true, open_ = parse("a % 2 == 0 and any(w * 2 > 100) and log(a + 1) < 1e9").of(many.__getitem__)
    assert true.tolist() == [True, False] * 500_000
    assert not open_.any()


def test_what_pandas_has_for_a_missing_text_is_unknown() -> None:
    missing = pytest.importorskip("pandas").NA
    column = np.array(["sgd", missing, None, NAN, "adam"], object)
    true, open_ = parse("opt == 'sgd'").of({"opt": column}.__getitem__)
    assert true.tolist() == [True, False, False, False, False]
    assert open_.tolist() == [False, True, True, True, False]
