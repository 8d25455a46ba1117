import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from edfkit.result import Result, plain


@dataclass(frozen=True)
class Inner(Result):
    values: Any


@dataclass(frozen=True)
class Outer(Result):
    name: str
    inner: Inner
    by_share: dict[float, Inner]
    pair: tuple[float, ...]
    nothing: None = None


class Short(Inner):
    def to_dict(self) -> dict[str, Any]:
        return {"length": len(self.values)}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (1.5, 1.5),
        (True, True),
        ("text", "text"),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (np.float64("nan"), None),
        (np.float32(0.5), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), [[1, None], [None, 2]]),
        (np.array([1, 2], np.intp), [1, 2]),
        (np.array([True]), [True]),
        (np.array(4.0), 4),
        ((1, (2.0, math.nan)), [1, [2, None]]),
        ({0.05: 1.0, 0.5: math.nan}, {"0.05": 1, "0.5": None}),
        ({10: "ten", "name": (1,)}, {"10": "ten", "name": [1]}),
        ({}, {}),
        ([], []),
        (Inner(np.arange(2)), {"values": [0, 1]}),
    ],
)
def test_values_as_plain_data(value: object, expected: object) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, float)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_result_is_plain_all_through() -> None:
    result = Outer("a", Inner(np.array([1.0, np.nan])), {0.05: Inner(np.float32(2))}, (1.0, math.inf))
    assert result.to_dict() == {
        "name": "a",
        "inner": {"values": [1, None]},
        "by_share": {"0.05": {"values": 2}},
        "pair": [1, None],
        "nothing": None,
    }


def test_a_result_within_another_says_itself_what_it_is() -> None:
    assert Outer("a", Short([1, 2, 3]), {}, ()).to_dict()["inner"] == {"length": 3}


def test_keys_that_are_large_counts_stay_apart() -> None:
    assert plain({1_234_567: 1, 1_234_568: 2}) == {"1234567": 1, "1234568": 2}


def test_what_is_given_is_not_changed() -> None:
    values = np.array([1.0, np.nan])
    inner = Inner(values)
    inner.to_dict()["values"][0] = 5
    assert inner.values is values
    assert values[0] == 1
