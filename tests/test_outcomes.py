import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive.outcomes import NO_WORD, WORDS, codes, outcomes, status_map, word
from edfkit.archive.schema import Status

FINISHED, DIVERGED, FAILED, STOPPED, RUNNING = Status
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("finished FINISHED COMPLETE Completed SUCCEEDED success done true TERMINATED", FINISHED),
        ("failed FAIL crashed ERROR ERRORED OUT_OF_MEMORY NODE_FAIL False", FAILED),
        ("killed KILLED PRUNED STOPPED CANCELLED preempted TIMEOUT EARLY_STOPPED INTERRUPTED", STOPPED),
        ("running RUNNING WAITING PENDING SCHEDULED QUEUED PAUSED", RUNNING),
        ("diverged DIVERGED nan NaN", DIVERGED),
    ],
)
def test_words_of_other_tools_are_known_in_any_case(words: str, status: Status) -> None:
    assert {word(one) for one in words.split()} == {status}
    assert codes([*words.split(), None, "", " ", NAN]).tolist() == [status] * len(words.split()) + [NO_WORD] * 4


def test_truth_values_and_joined_words_are_known() -> None:
    assert word(True) == FINISHED
    assert word(False) == FAILED
    assert word(" Early Stopped ") == word("early-stopped") == STOPPED
    assert word("CANCELLED by 1001") == STOPPED
    assert word("odd") is None


def test_words_are_added_and_given_another_meaning() -> None:
    extra = status_map("Timed out=stopped, done = running,a=b=failed")
    assert extra == {"timed out": STOPPED, "done": RUNNING, "a=b": FAILED}
    assert codes(["timed OUT", "done", "A=B", "complete"], extra).tolist() == [STOPPED, RUNNING, FAILED, FINISHED]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aborted", "'aborted' was given, expected WORD=OUTCOME with one of finished, diverged, failed, stopped, run"),
        ("a=odd", "'a=odd' was given"),
        ("=failed", "'=failed' was given"),
        ("", "'' was given"),
        ("a=failed,A=stopped", "the word 'a' was given as failed and as stopped"),
    ],
)
def test_a_bad_map_is_refused(text: str, message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        status_map(text)


def test_an_unknown_word_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(EdfkitError, match=r"'odd' as the outcome.*stopped \(killed, .*--status-map 'odd=failed'"):
        codes(["finished", "odd"])


@pytest.mark.parametrize(
    ("value", "said", "broke", "status"),
    [
        (5.0, NO_WORD, False, FINISHED),
        (5.0, FINISHED, False, FINISHED),
        (NAN, NO_WORD, False, FAILED),
        (NAN, FINISHED, False, FAILED),
        (NAN, DIVERGED, False, DIVERGED),
        (5.0, DIVERGED, False, DIVERGED),
        (5.0, FAILED, False, FAILED),
        (NAN, RUNNING, False, RUNNING),
        (5.0, STOPPED, False, STOPPED),
        (-INF, FINISHED, False, DIVERGED),
        (INF, RUNNING, False, DIVERGED),
        (NAN, FAILED, True, DIVERGED),
        (5.0, FINISHED, True, DIVERGED),
    ],
)
def test_evidence_comes_before_the_word_and_the_word_before_a_missing_value(
    value: float, said: int, broke: bool, status: Status
) -> None:
    assert outcomes([value], [said], broke=[broke]).tolist() == [status]


def test_fewer_steps_than_the_longest_run_are_stopped() -> None:
    said = [NO_WORD, FINISHED, DIVERGED, FAILED, RUNNING, FINISHED, NO_WORD]
    found = outcomes([1, 2, 3, 4, 5, 6, NAN], said, steps=[3, 3, 2, 2, 2, 10, 1])
    assert found.tolist() == [STOPPED, STOPPED, DIVERGED, FAILED, RUNNING, FINISHED, FAILED]
    assert outcomes([1, 2, 3], steps=[5, NAN, 5]).tolist() == [FINISHED] * 3
    assert outcomes([1, 2], steps=[NAN, NAN]).tolist() == [FINISHED] * 2
    assert outcomes([], steps=[]).tolist() == []
    # as many values as any, or one at the last step: tested at other steps, and not stopped
    assert outcomes([1, 2, 3, 4], steps=[[4, 2, 4, 2], [8, 8, 4, 4]]).tolist() == [FINISHED] * 3 + [STOPPED]


def test_what_single_precision_cannot_hold_diverged() -> None:
    assert outcomes([2.7e43, -1e39, 3e38]).tolist() == [DIVERGED, DIVERGED, FINISHED]


def plainly(value: float, said: int, broke: bool, steps: float, longest: float) -> int:
    """Tell of one run what the rule says, read from its sentences."""
    if broke or math.isinf(value):
        return DIVERGED
    if said in (DIVERGED, FAILED, STOPPED, RUNNING):
        return said
    if math.isnan(value):
        return FAILED
    return STOPPED if steps < longest else FINISHED


@given(
    st.lists(
        st.tuples(
            st.sampled_from([NAN, INF, -INF, 0.0, 3.5]),
            st.sampled_from([NO_WORD, *map(int, Status)]),
            st.booleans(),
            st.integers(1, 3),
        ),
        min_size=1,
    )
)
def test_runs_together_are_as_the_rule_says_of_each(runs: list[Any]) -> None:
    values, said, broke, steps = map(np.array, zip(*runs, strict=True))
    longest = max(steps)
    expected = [plainly(value, word, broken, made, longest) for value, word, broken, made in runs]
    assert outcomes(values, said, broke=broke, steps=steps).tolist() == expected


def test_no_word_has_two_meanings() -> None:
    assert set(WORDS.values()) == set(Status)
    assert all(one == one.lower() for one in WORDS)


def test_nothing_said_is_no_word() -> None:
    missing = pytest.importorskip("pandas").NA
    assert codes([None, NAN, "", " ", missing, "<NA>", "done"]).tolist() == [NO_WORD] * 6 + [Status.FINISHED]
