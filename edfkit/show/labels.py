"""Results as people are to see them: labels in place of names.

Convention: programs see the identifiers of populations, people the labels, which are the names as the user wrote them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from edfkit.metric import Metric

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
    names = {one.name: one.label for one in _found(result) if one.label not in ("", one.name)}
    return _copied(result, names) if names else result


def _found(value: Any) -> Iterator[Any]:
    """List what has a label of its own, in a result: populations, and what is known of one."""
    if isinstance(value, Metric):
        return
    if is_dataclass(value):
        own = {one.name for one in fields(value)}
        if {"name", "label"} <= own:
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


def _copied(value: Any, names: Mapping[str, str], of: str = "") -> Any:
    """Copy what is in a field of that name; what does not change is not copied."""
    if isinstance(value, Metric):
        return value
    if isinstance(value, str):
        if of in _SENTENCES:
            return named(value, names)
        return names.get(value, value) if of in _NAMES else value
    if isinstance(value, dict):
        keys = names if of in _BY_NAME else {}
        return {keys.get(key, key): _copied(one, names, of) for key, one in value.items()}
    if isinstance(value, list | tuple):
        copied = [_copied(one, names, of) for one in value]
        if all(one is other for one, other in zip(copied, value, strict=True)):
            return value
        return copied if isinstance(value, list) else tuple(copied)
    if is_dataclass(value) and not isinstance(value, type):
        new = {}
        for one in fields(value):
            old = getattr(value, one.name)
            if (copied := _copied(old, names, one.name)) is not old:
                new[one.name] = copied
        return replace(value, **new) if new else value
    return value


def named(sentence: str, names: Mapping[str, str]) -> str:
    """Put labels in place of the names in a sentence, where each first stands as sentences have it: "models of a".

    A name may be a word that is there besides, such as `a` or `of`.
    """
    if not names:
        return sentence
    longest = sorted(names, key=len, reverse=True)
    left = dict(names)
    return re.sub(
        rf"(?:^|(?<=of )|(?<=and )|(?<=both )|(?<='))({'|'.join(map(re.escape, longest))})(?![\w-])",
        lambda found: left.pop(found[1], found[1]),
        sentence,
    )
