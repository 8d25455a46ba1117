"""Names that are looked up when they are used, so that every command starts fast."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def found(where: str) -> Any:
    """Give what is called "module:name", loading the module."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def contents(package: str, listed: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package whose contents lie in its modules.

    Parameters
    ----------
    package : str
        Its name, for the message of an attribute that it lacks.
    listed : mapping of str to str
        Where each name lies, as "module:name".

    Returns
    -------
    callable
        Gives what a name stands for, or raises an AttributeError.
    """

    def get(name: str) -> Any:
        if name not in listed:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return found(listed[name])

    return get
