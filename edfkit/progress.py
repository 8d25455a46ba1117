"""Progress of long work: loops say how far they are, to whoever asked for it."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

Reporter = Callable[[str, int, int | None], object]
"""What hears of progress: what is done, how many steps of it are done, and of how many, if that is known."""

_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def steps(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Give the items one by one, and report how many are done.

    Parameters
    ----------
    items : iterable
        The steps of a loop.
    what : str
        What the loop does, in a word or two.
    total : int, optional
        How many items there are; by default the length of `items`, if it has one.

    Yields
    ------
    item
        The reporter is called before each, and with the total once the loop has ended, also where it ends early.
    """
    report = _reporter.get()
    if report is None:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    done = 0
    try:
        for item in items:
            report(what, done, total)
            yield item
            done += 1
    finally:
        report(what, done if total is None else total, done if total is None else total)


@contextmanager
def showing(reporter: Reporter) -> Iterator[None]:
    """Report the progress of loops inside to a function.

    Parameters
    ----------
    reporter : callable
        Gets what is done, the steps done, and their total or None; both numbers are the same once a loop has ended.

    Yields
    ------
    None
    """
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)
