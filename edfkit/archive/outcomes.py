"""How a run ended: the one rule by which every import, and a population in memory, tells it.

What a run shows comes before what is said of it: one whose metric or loss became infinite or NaN diverged, whatever
its word. Then its word counts. A run that says finished, or nothing, finished if it has a value, else it failed; with
fewer steps than the longest run of its population it was stopped.

What a number in single precision cannot hold is as good as infinite, such as the perplexity of a loss of 100.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.archive.schema import STATUS, Status
from edfkit.metric import BEYOND

NO_WORD = -1
"""The code of a run of which nothing is said."""

_KNOWN = {
    Status.FINISHED: "finished complete completed succeeded success done ok true terminated",
    Status.DIVERGED: "diverged nan",
    Status.FAILED: "failed fail crashed error errored out_of_memory node_fail false",
    Status.STOPPED: "killed pruned stopped cancelled canceled preempted timeout early_stopped interrupted",
    Status.RUNNING: "running waiting pending scheduled queued paused",
}
WORDS: dict[str, Status] = {word: status for status, words in _KNOWN.items() for word in words.split()}
"""What is written of how a run ended by W&B, Optuna, Ray Tune, Slurm and others, in lower case."""


def word(text: object, extra: Mapping[str, Status] | None = None) -> Status | None:
    """Give the outcome that a word stands for, None if it is none that is known.

    Parameters
    ----------
    text : object
        A word in any case, or a truth value; words joined by spaces or `-` are as those joined by `_`, and "by" with
        what follows is left out, as in "CANCELLED by 1001" of Slurm.
    extra : mapping of str to Status, optional
        Words besides `WORDS`, or with another meaning, in lower case; see `status_map`.
    """
    key = str(text).strip().lower()
    if extra is not None and key in extra:
        return extra[key]
    return WORDS.get(key.partition(" by ")[0].replace(" ", "_").replace("-", "_"))


def status_map(text: str) -> dict[str, Status]:
    """Read words and their outcomes, as in "aborted=failed,timed out=stopped".

    Returns
    -------
    dict of str to Status
        By the word in lower case.

    Raises
    ------
    EdfkitError
        If a part is no WORD=OUTCOME, an outcome is unknown, or a word is given two.
    """
    found: dict[str, Status] = {}
    for part in text.split(","):
        key, equals, outcome = (piece.strip().lower() for piece in part.rpartition("="))
        if not equals or not key or outcome not in STATUS:
            raise EdfkitError(
                f"--status-map: {part.strip()!r} was given, expected WORD=OUTCOME with one of {', '.join(STATUS)}, "
                "several with a comma between; correct it."
            )
        status = Status(STATUS.index(outcome))
        if found.setdefault(key, status) != status:
            raise EdfkitError(
                f"--status-map: the word {key!r} was given as {STATUS[found[key]]} and as {outcome}, expected one "
                "outcome for each word; correct it."
            )
    return found


def unknown_word(text: object) -> str:
    """Say that a word is not known, which ones are, and how to add it."""
    lists = "; ".join(f"{STATUS[status]} ({words.replace(' ', ', ')})" for status, words in _KNOWN.items())
    return (
        f"{str(text)[:80]!r} as the outcome of a run, expected one of: {lists}; say what it means by --status-map, "
        f"such as --status-map '{str(text)[:80]}=failed'"
    )


def codes(texts: Iterable[object], extra: Mapping[str, Status] | None = None) -> NDArray[np.int8]:
    """Give the outcomes that words stand for, `NO_WORD` for None, NaN, NA of pandas and empty text.

    Parameters
    ----------
    texts : iterable of object
    extra : mapping of str to Status, optional
        See `word`.

    Returns
    -------
    ndarray of int8, shape (runs,)

    Raises
    ------
    EdfkitError
        If a word is not known.
    """
    known: dict[str, int] = {"": NO_WORD, "<NA>": NO_WORD}
    found: list[int] = []
    for text in texts:
        key = "" if text is None or (isinstance(text, float) and text != text) else str(text).strip()
        if key not in known:
            status = word(key, extra)
            if status is None:
                raise EdfkitError(f"There is {unknown_word(key)}.")
            known[key] = int(status)
        found.append(known[key])
    return np.array(found, np.int8)


def outcomes(
    values: ArrayLike,
    words: ArrayLike | None = None,
    *,
    broke: ArrayLike | None = None,
    steps: ArrayLike | None = None,
) -> NDArray[np.int8]:
    """Tell how the runs of a population ended.

    Parameters
    ----------
    values : array_like, shape (runs,)
        The metric; NaN where there is no value. Infinite values are evidence of divergence, and no values: the caller
        stores NaN for them.
    words : array_like of int8, shape (runs,), optional
        What is said of each: a `Status`, or `NO_WORD`; see `codes`.
    broke : array_like of bool, shape (runs,), optional
        Other evidence that a run diverged: the text nan in a file, a NaN inside its curve, an infinite loss.
    steps : array_like, shape (runs,) or (counts, runs), optional
        How many epochs or steps each made; NaN where it is not known. Of several counts, such as the epochs with a
        value and the last of them, a run has fewer steps if all are fewer: one that was tested less often did not stop.

    Returns
    -------
    ndarray of int8, shape (runs,)
        The codes of `Status`.
    """
    metric = np.asarray(values, float)
    said = np.full(metric.shape, NO_WORD, np.int8) if words is None else np.asarray(words, np.int8)
    ended = said.copy()
    open_ended = (said == NO_WORD) | (said == Status.FINISHED)
    ended[open_ended] = np.where(np.isnan(metric[open_ended]), Status.FAILED, Status.FINISHED)
    if steps is not None and metric.size:
        made = np.atleast_2d(np.asarray(steps, float))
        with np.errstate(invalid="ignore"):
            fewer = (made < np.fmax.reduce(made, axis=1, keepdims=True)).all(axis=0)
        ended[(ended == Status.FINISHED) & fewer] = Status.STOPPED
    diverged = np.abs(metric) >= BEYOND
    if broke is not None:
        diverged |= np.asarray(broke, bool)
    ended[diverged] = Status.DIVERGED
    return ended


def of_curves(curves: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Tell which runs diverged by their curves, and how many epochs each made.

    Parameters
    ----------
    curves : array_like, shape (runs, epochs)
        NaN after the end of a run. Epochs of which no run has a value were not measured, and do not count.

    Returns
    -------
    broke : ndarray of bool, shape (runs,)
        Whether there is a NaN before a value, or an infinite value.
    steps : ndarray of int64, shape (runs,)
        Up to the last value.
    """
    known = ~np.isnan(np.asarray(curves, float))
    infinite = np.isinf(np.asarray(curves, float)).any(axis=1)
    known = known[:, known.any(axis=0)]
    steps = np.where(known.any(axis=1), known.shape[1] - known[:, ::-1].argmax(axis=1), 0) if known.size else (
        np.zeros(len(known), np.int64)
    )  # fmt: skip
    return (known.sum(axis=1) < steps) | infinite, steps.astype(np.int64)
