"""Hypothesis strategies that the tests share: small populations, with the ties that rounded errors have."""

import re

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from edfkit.stats.edf import Floats

# Half of the draws from eleven errors, so that ties are the rule; half from the grid of a test set of 10,000 images.
_percent = st.integers(0, 10).map(lambda i: 10.0 * i) | st.integers(0, 10_000).map(lambda i: i / 100)


def errors(min_size: int = 1, max_size: int = 30) -> st.SearchStrategy[Floats]:
    """Errors in percent."""
    return st.lists(_percent, min_size=min_size, max_size=max_size).map(lambda e: np.array(e, dtype=float))


@st.composite
def samples(draw: st.DrawFn, min_size: int = 1, max_size: int = 30) -> tuple[Floats, Floats]:
    """Errors with weights, some of them 0, at least one positive."""
    sample = draw(errors(min_size, max_size))
    weight = st.integers(0, 5).map(float) | st.floats(1e-3, 1e3)
    weights = draw(st.lists(weight, min_size=sample.size, max_size=sample.size).filter(any))
    return sample, np.array(weights)


@st.composite
def counted(draw: st.DrawFn, weighted: bool = True) -> tuple[Floats, Floats | None, NDArray[np.int64]]:
    """Errors with weights, all positive or none given, and how many models each stands for."""
    sample = draw(errors(1, 12))
    size = sample.size
    counts = draw(st.lists(st.integers(1, 9), min_size=size, max_size=size))
    some = st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=size, max_size=size).map(np.array)
    return sample, draw(st.none() | some) if weighted else None, np.array(counts)


def complexities(min_size: int = 1, max_size: int = 30) -> st.SearchStrategy[Floats]:
    """Raw counts, dense enough for ties and for models on the edges of bins."""
    counts = st.lists(st.integers(0, 24) | st.integers(0, 1_000), min_size=min_size, max_size=max_size)
    return counts.map(lambda c: np.array(c, dtype=float))


_numbers = st.sampled_from(["0", "1", "2", "0.5", "1e1", "a", "b", "w[0]", "w[-1]", "v[1]"])
_of_stages = st.sampled_from(["w", "v", "(w + v)", "(w * a)", "-v", "(w % 2)"])
_texts = st.sampled_from(["t", "'x'", '"y"'])


def _joined(left: st.SearchStrategy[str], signs: str, right: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    blank = st.sampled_from([" ", "  "] if signs.isalpha() else ["", " "])
    return st.tuples(left, blank, st.sampled_from(signs.split()), blank, right).map(lambda parts: f"({''.join(parts)})")


def _called(names: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(names.split()), value).map(lambda parts: f"{parts[0]}({parts[1]})")


_COMPARED = "< <= > >= == !="
_computed = st.recursive(
    _numbers | _called("sum min max len", _of_stages),
    lambda inner: (
        _joined(inner, "+ - * / %", inner)
        | inner.map(lambda one: f"-{one}")
        | _called("log", inner)
        | st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda parts: "{}({}, {})".format(*parts))
    ),
    max_leaves=4,
)
_simple = (
    _joined(_computed, _COMPARED, _computed)
    | _joined(_computed, _COMPARED, _joined(_computed, _COMPARED, _computed).map(lambda chain: chain[1:-1]))
    | _joined(_texts, "== !=", st.just("t"))
    | _called("any all", _joined(_of_stages, _COMPARED, _numbers))
)


def conditions(*, by_stage: bool = False) -> st.SearchStrategy[str]:
    """Expressions about numbers `a` and `b`, stages `w` and `v`, and a text `t`; also `and`, `or`, `not` by stage."""

    def logical(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return _joined(inner, "and", inner) | _joined(inner, "or", inner) | inner.map(lambda one: f"(not {one})")

    of_stages = st.recursive(_joined(_of_stages, _COMPARED, _numbers), logical, max_leaves=3)
    leaves = _simple | _called("any all", of_stages) if by_stage else _simple
    return st.recursive(leaves, logical, max_leaves=4).filter(re.compile(r"\b[abwvt]\b").search)
