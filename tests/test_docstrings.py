"""Docstrings name what there is: the parameters of functions, the attributes of classes."""

import inspect
import re
from dataclasses import fields, is_dataclass
from typing import Any, is_typeddict

from numpydoc.docscrape import NumpyDocString
from public import modules, objects

SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Notes", "References", "Examples", "See Also")


def named(entries: list[Any]) -> list[str]:
    return [name.strip().lstrip("*") for entry in entries for name in entry.name.split(",")]


def faults(name: str, thing: Any) -> list[str]:
    """Say what in a docstring is not numpydoc, or names what there is not."""
    text = inspect.getdoc(thing) if thing.__doc__ else None
    if not text:
        return [f"{name} has no docstring"]
    titles = [title for title, line in re.findall(r"^(\S.*)\n(-+)$", text, re.MULTILINE) if len(title) == len(line)]
    rules = re.findall(r"^-{3,}$", text, re.MULTILINE)
    found = [f"{name}: there is no section {title}" for title in titles if title not in SECTIONS]
    if len(rules) != len(titles):
        found.append(f"{name}: a heading and the line beneath it are not as long")
    if found:
        return found
    doc = NumpyDocString(text)
    try:
        signature = [key for key in inspect.signature(thing).parameters if key not in ("self", "cls")]
    except ValueError:  # of a class built in C
        signature = []
    if inspect.isclass(thing):
        known = (
            set(signature) | set(dir(thing)) | ({one.name for one in fields(thing)} if is_dataclass(thing) else set())
        )
        known |= set(getattr(thing, "__annotations__", {}))
        if not is_typeddict(thing):  # one that is made by a call has no source
            known |= set(re.findall(r"\bself\.(\w+)(?:: .*)? = ", inspect.getsource(thing)))
        documented = named(doc["Parameters"]) + named(doc["Attributes"])
        found += [f"{name} documents {one}, which there is not" for one in documented if one not in known]
        if is_dataclass(thing) and documented:
            own = [one.name for one in fields(thing) if not one.name.startswith("_")]
            found += [f"{name} does not document {one}" for one in own if one not in documented]
    elif documented := named(doc["Parameters"]):
        found += [f"{name} documents {one}, which there is not" for one in documented if one not in signature]
        found += [f"{name} does not document {one}" for one in signature if one not in documented]
    return found


def test_docstrings_name_what_there_is() -> None:
    found = objects()
    assert {"edfkit.stats.edf.edf", "edfkit.archive.reader.Archive.read", "edfkit.generator.spaces.find"} <= set(found)
    assert [fault for name, thing in found.items() for fault in faults(name, thing)] == []


def test_modules_say_what_they_are() -> None:
    assert [name for name in modules() if not __import__(name, fromlist=["_"]).__doc__] == []


def test_a_docstring_that_is_wrong_is_found() -> None:
    def silent(a: int) -> None: ...

    def other(a: int, b: int) -> None:
        """Do it.

        Parameters
        ----------
        a, c : int
        """

    def odd(a: int) -> None:
        """Do it.

        Arguments
        ---------
        a : int
        """

    def short(a: int) -> None:
        """Do it.

        Parameters
        -----
        a : int
        """

    assert faults("silent", silent) == ["silent has no docstring"]
    assert faults("other", other) == ["other documents c, which there is not", "other does not document b"]
    assert faults("odd", odd) == ["odd: there is no section Arguments"]
    assert faults("short", short) == ["short: a heading and the line beneath it are not as long"]
