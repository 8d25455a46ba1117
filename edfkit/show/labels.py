"""Results as people are to see them: labels in place of names, and digits that fit the values.

Convention: programs see the identifiers of populations, people the labels, which are the names as the user wrote them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from edfkit.metric import BEYOND, Metric

T = TypeVar("T")

_NAMES = {"name", "names", "a", "b", "better", "plain", "worst", "best"}
"""Fields that hold names of populations, one or several."""

_BY_NAME = {"ranges", "intervals", "counts", "outside", "empty"}
"""Fields that may be dicts by name."""

_SENTENCES = {"refused", "no_claim", "why", "absent"}
"""Fields of sentences, in which names occur."""


def labelled(result: T) -> T:
    """Copy a result with the labels of populations in place of their names.

    Parameters
    ----------
    result : T
        Dataclasses, and lists, tuples and dicts of them. What has a name and a label says which label stands for it.

    Returns
    -------
    T
        The result itself, if every label is the name.
    """
    called = [one for one in _found(result) if hasattr(one, "name") and hasattr(one, "label")]
    names = {one.name: one.label for one in called if one.label not in ("", one.name)}
    return _copied(result, names, None) if names else result


def shown(result: T) -> T:
    """Copy a result as people are to see it: see `labelled`, with as many decimals as three digits of its values need.

    Parameters
    ----------
    result : T
        See `labelled`.

    Returns
    -------
    T
        The result itself, if nothing differs.
    """
    found = list(_found(result))
    metric = next((one.metric for one in found if isinstance(getattr(one, "metric", None), Metric)), None)
    if metric is not None and metric.decimals is None and metric.unit != "percent":
        spreads = [spread for one in found if hasattr(one, "errors") and (spread := _spread(one.errors))]
        fitted = metric.fitted(min(spreads, default=0.0))
        if fitted is not metric:
            result = _copied(result, {}, fitted.decimals)
    return labelled(result)


def _spread(errors: Any) -> float:
    """Give how far apart the middle half of the values is, or all of them."""
    values = np.asarray(errors, float)
    values = values[np.abs(values) < BEYOND]
    if not values.size:
        return 0.0
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low) or float(np.ptp(values))


def _found(value: Any) -> Iterator[Any]:
    """List what has a label of its own, in a result: populations, and what is known of one."""
    if isinstance(value, Metric):
        return
    if is_dataclass(value):
        own = {one.name for one in fields(value)}
        if {"name", "label"} <= own or "metric" in own:
            yield value
        for name in own:
            yield from _found(getattr(value, name))
    elif isinstance(value, dict):
        for one in value.values():
            yield from _found(one)
    elif isinstance(value, list | tuple):
        for one in value:
            if isinstance(one, list | tuple | dict) or is_dataclass(one):
                yield from _found(one)


def _copied(value: Any, names: Mapping[str, str], decimals: int | None, of: str = "") -> Any:
    """Copy what is in a field of that name; what does not change is not copied."""
    if isinstance(value, Metric):
        return value if decimals is None else replace(value, decimals=decimals)
    if isinstance(value, str):
        if of in _SENTENCES:
            return named(value, names)
        return names.get(value, value) if of in _NAMES else value
    if isinstance(value, dict):
        keys = names if of in _BY_NAME else {}
        return {keys.get(key, key): _copied(one, names, decimals, of) for key, one in value.items()}
    if isinstance(value, list | tuple):
        copied = [_copied(one, names, decimals, of) for one in value]
        if all(one is other for one, other in zip(copied, value, strict=True)):
            return value
        return copied if isinstance(value, list) else tuple(copied)
    if is_dataclass(value) and not isinstance(value, type):
        new = {}
        for one in fields(value):
            old = getattr(value, one.name)
            if (copied := _copied(old, names, decimals, one.name)) is not old:
                new[one.name] = copied
        return replace(value, **new) if new else value
    return value


def named(sentence: str, names: Mapping[str, str]) -> str:
    """Put labels in place of the names in a sentence, where each stands as a word."""
    if not names:
        return sentence
    longest = sorted(names, key=len, reverse=True)
    return re.sub(rf"(?<![\w-])({'|'.join(map(re.escape, longest))})(?![\w-])", lambda found: names[found[1]], sentence)
