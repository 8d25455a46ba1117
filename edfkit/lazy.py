"""Names that are looked up when they are used, so that every command starts fast."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any


def found(where: str) -> Any:
    """Import what is named as "module:name"."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def look_up(package: str, listed: Mapping[str, str], name: str) -> Any:
    """Do the work of a package's `__getattr__`.

    Parameters
    ----------
    package : str
        The package, for the message.
    listed : mapping of str to str
        Where each of its names lies, as "module:name".
    name : str
        The name that was asked for.

    Returns
    -------
    Any
        What it stands for.

    Raises
    ------
    AttributeError
        If it is not listed.
    """
    if name not in listed:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return found(listed[name])
