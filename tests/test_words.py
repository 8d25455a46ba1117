"""The words of every output: each is written in one place, and says no more than the numbers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from strategies import errors

from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.show import words
from edfkit.show.words import verdict
from edfkit.stats.edf import Floats
from edfkit.stats.two_sample import ks, lead, prob_better, summarize
from edfkit.study.compare import Pair, compare_populations
from edfkit.study.selection import InMemory


@pytest.mark.parametrize(
    ("value", "table", "sentence"),
    [
        (0.0123, "0.012", "p = 0.012"),
        (1.0, "1", "p = 1"),
        (7.6e-104, "< 1e-16", "p < 1e-16"),
        (0.0, "< 1e-16", "p < 1e-16"),
        (1e-16, "1e-16", "p = 1e-16"),
    ],
)
def test_a_p_value_is_written_in_one_way(value: float, table: str, sentence: str) -> None:
    assert words.p_value(value) == table
    assert words.p_is(value) == sentence


def test_what_is_held_equal_is_said_in_one_way() -> None:
    assert words.held("params") == "given params"
    assert words.held("none") == "not normalised"
    assert words.capital(words.held("none")) == "Not normalised"


def test_models_that_take_no_part_are_counted_by_reason() -> None:
    assert words.taking_part("a", {}, 0, "keep") == "a: left out none."
    left_out = {"failed": 1200, "params below the range": 3}
    assert words.taking_part("a", left_out, 2, "censor") == (
        "a: left out 1,200 failed, 3 params below the range; 2 diverged, counted as 100 %."
    )
    assert words.taking_part("a", {}, 2, "keep") == "a: left out none; 2 diverged, kept."


TEMPLATE = compare_populations(
    InMemory({name: {"error": [1.0, 2.0]} for name in ("resnet", "vanilla")}), ["resnet", "vanilla"], given="none"
).pairs[0]


def pair(a: Floats, b: Floats, alpha: float = 0.05) -> Pair:
    """Compare errors as far as a verdict says it, with params held equal."""
    test, prob = ks(a, b), prob_better(a, b)
    led = lead(test.p_value, prob, min(len(a), len(b)), alpha)
    better = {"a": "resnet", "b": "vanilla"}.get(led, led)
    return replace(
        TEMPLATE,
        test=test,
        p_holm=test.p_value,
        prob_a_better=prob,
        summaries=(summarize(a), summarize(b)),
        given="params",
        better=better,
    )


def test_a_verdict_is_that_of_the_pair() -> None:
    with Archive(BUNDLED["digits"]) as digits:
        (found,) = compare_populations(digits, ["resnet", "vanilla"]).pairs
    assert found.verdict == verdict(found)
    assert found.verdict.startswith("Given params, resnet models tend to have lower error than vanilla models: KS D = ")


def say(a: Floats, b: Floats, given: str = "params", alpha: float = 0.05) -> str:
    return verdict(replace(pair(a, b, alpha), given=given))


def test_verdict_on_a_better_population() -> None:
    low, high = np.linspace(2, 8, 100), np.linspace(20, 26, 100)
    better = (
        "Given params, resnet models tend to have lower error than vanilla models: KS D = 1.00, p < 1e-16 (exact, "
        "n_eff 100 and 100), a random resnet model beats a random vanilla model with probability 1.00 (ties count "
        "half), the median errors are 4.97 % and 22.97 %, and the resnet EDF lies nowhere below the other."
    )
    assert say(low, high) == better
    # The better one comes first, whichever was given first.
    named_again = better.replace("resnet", "?").replace("vanilla", "resnet").replace("?", "vanilla")
    assert say(high, low) == named_again


def test_verdict_without_a_significant_difference_claims_none() -> None:
    sentence = say(np.array([1.0, 2, 3]), np.array([2.0, 3, 4]), given="none")
    # D = 1/3, and any other way to deal out 1, 2, 2, 3, 3, 4 is that far apart or farther.
    assert sentence == (
        "Without normalising for complexity, no difference between the errors of resnet and vanilla models could be "
        "shown: KS D = 0.33, p = 1 (exact, n_eff 3 and 3), a random resnet model beats a random vanilla model with "
        "probability 0.78 (ties count half), the median errors are 2.00 % and 3.00 %."
    )


def test_verdict_on_distributions_of_other_shape() -> None:
    # One is narrow, the other wide around the same median: they differ, and each wins half of the time.
    narrow, wide = np.linspace(40, 60, 200), np.linspace(0, 100, 200)
    sentence = say(narrow, wide)
    assert ks(narrow, wide).p_value < 1e-12
    assert (
        "the error distributions of resnet and vanilla models differ in shape, but neither is clearly better"
        in sentence
    )
    assert "probability 0.50" in sentence
    assert sentence.endswith("and the EDFs cross (resnet ahead by up to 0.4, vanilla by up to 0.4).")


def test_verdict_on_a_difference_that_is_too_small_for_a_better_one() -> None:
    # Three in ten of A's are a little worse than the rest, which all tie: the probability is 0.5 - 0.3 / 2, within the
    # sampling error of 20 models, but the EDF of B lies above throughout.
    tied = np.full(20, 5.0)
    sentence = say(np.append(tied[:14], np.full(6, 6.0)), tied)
    assert "Given params, the error distributions of resnet and vanilla models differ in shape" in sentence
    assert "p = 0.02 " in sentence
    assert "a random resnet model beats a random vanilla model with probability 0.35" in sentence
    assert sentence.endswith("and the vanilla EDF lies nowhere below the other.")


def test_verdict_on_a_better_population_whose_edf_crosses() -> None:
    # 95 of 100 models are better, five are the worst of all.
    a = np.concatenate([np.linspace(2, 8, 95), np.full(5, 90.0)])
    sentence = say(a, np.linspace(20, 26, 100))
    assert "resnet models tend to have lower error than vanilla models" in sentence
    assert sentence.endswith("and the EDFs cross (resnet ahead by up to 0.95, vanilla by up to 0.05).")


def test_another_p_value_may_decide() -> None:
    found = pair(np.arange(20.0), np.arange(20.0) + 9)
    sentence = verdict(replace(found, p_holm=0.07, pairs=10, better="none"))
    assert sentence.startswith(
        "Given params, no difference between the errors of resnet and vanilla models could be shown: KS D"
    )
    assert f"p = {found.test.p_value:.2g} (exact, n_eff 20 and 20; 0.07 adjusted for 10 pairs), a random" in sentence
    sure = verdict(replace(found, p_holm=1e-20, pairs=3))
    assert "resnet models tend to have lower error than vanilla models" in sure
    assert "n_eff 20 and 20; < 1e-16 adjusted for 3 pairs)" in sure


def test_verdict_needs_more_evidence_at_a_smaller_alpha() -> None:
    a, b = np.arange(20.0), np.arange(20.0) + 9
    assert 0.001 < ks(a, b).p_value < 0.05
    assert "tend to have lower error" in say(a, b)
    assert "no difference" in say(a, b, alpha=0.001)


@given(errors(), errors())
def test_verdict_claims_no_more_than_the_test(a: Floats, b: Floats) -> None:
    sentence, test, prob = say(a, b), ks(a, b), prob_better(a, b)
    assert ("no difference" in sentence) == (test.p_value >= 0.05)
    if "tend to have" in sentence:
        better = "resnet" if prob > 0.5 else "vanilla"
        assert f"{better} models tend to have lower error" in sentence
        assert abs(prob - 0.5) > 0.005
    assert "the same" not in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
