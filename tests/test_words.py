"""The words of every output: each is written in one place, and says no more than the numbers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import errors

from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.metric import ERROR
from edfkit.show import words
from edfkit.show.words import findings, pointwise, verdict
from edfkit.stats.edf import Floats
from edfkit.stats.two_sample import ks, prob_better
from edfkit.study.compare import Pair, compare_populations
from edfkit.study.selection import InMemory


@pytest.mark.parametrize(
    ("value", "table", "sentence"),
    [
        (0.0123, "0.012", "p = 0.012"),
        (1.0, "1", "p = 1"),
        (0.00012, "0.00012", "p = 0.00012"),
        (1e-4, "0.0001", "p = 0.0001"),
        (9.99e-5, "< 0.0001", "p < 0.0001"),
        (7.6e-104, "< 0.0001", "p < 0.0001"),
        (0.0, "< 0.0001", "p < 0.0001"),
    ],
)
def test_a_p_value_is_written_in_one_way(value: float, table: str, sentence: str) -> None:
    assert words.p_value(value) == table
    assert words.p_is(value) == sentence


def test_what_is_held_equal_is_said_in_one_way() -> None:
    assert words.held("params") == "given params"
    assert words.held("none") == "not normalised"
    assert words.capital(words.held("none")) == "Not normalised"
    assert words.opening("params") == "At equal parameter count"
    assert words.opening("flops, acts") == "At equal FLOP count and activation count"
    assert words.opening("macs,drop_path") == "At equal multiply-add count and drop_path"
    assert words.opening("none") == "Without adjustment for size"


def test_models_that_take_no_part_are_counted_by_reason() -> None:
    assert words.taking_part("a", {}, 0, "keep") == "a: left out none."
    left_out = {"failed": 1200, "params below the range": 3}
    assert words.taking_part("a", left_out, 2, "censor") == (
        "a: left out 1,200 failed, 3 params below the range; 2 diverged, counted as 100 %."
    )
    assert words.taking_part("a", {}, 2, "keep") == "a: left out none; 2 diverged, kept."


@pytest.mark.parametrize(
    ("share", "written"),
    [
        (0.5, "50"),
        (0.989, "99"),
        (0.996, "99.6"),
        (0.0042, "0.4"),
        (0.01, "1"),
        (0.9999, "> 99.9"),
        (0.0001, "< 0.1"),
        (0, "0"),
        (1, "100"),
    ],
)
def test_a_percentage_keeps_its_distance_from_0_and_100(share: float, written: str) -> None:
    assert words.percent(share) == [written]


def test_percentages_have_the_digits_that_tell_them_apart() -> None:
    assert words.percent(0.5512, 0.45, 0.65) == ["55", "45", "65"]
    assert words.percent(0.5512, 0.5454, 0.5569) == ["55.1", "54.5", "55.7"]
    assert words.percent(0.5512, 0.5506, 0.5518) == ["55.12", "55.06", "55.18"]
    assert words.percent(0.7, 0.2, 0.995) == ["70.0", "20.0", "99.5"]
    assert words.percent(1, 0.97, 1) == ["100", "97", "100"]


def test_who_is_better_is_a_name_or_none() -> None:
    said = [words.better(one) for one in ("resnet", "shape", "none", None)]
    assert said == ["resnet", "neither; another shape", "none shown", "none shown"]


def pair(a: Floats, b: Floats, *, params: tuple[Any, Any] | None = None, alpha: float = 0.05, **more: Any) -> Pair:
    """Compare errors, of models that all have the same params unless these are given."""
    sizes = params or (np.ones(len(a)), np.ones(len(b)))
    both = zip(("resnet", "vanilla"), (a, b), sizes, strict=True)
    source = InMemory({name: {"error": errors, "params": some} for name, errors, some in both}, metric=ERROR)
    return compare_populations(source, ["resnet", "vanilla"], confidence=1 - alpha, **more).pairs[0]


def test_a_verdict_is_that_of_the_pair() -> None:
    with Archive(BUNDLED["digits"]) as digits:
        (found,) = compare_populations(digits, ["resnet", "vanilla"]).pairs
    assert found.verdict == verdict(found)
    assert found.verdict == "At equal parameter count, resnet has lower error than vanilla (p < 0.0001)."


def say(a: Floats, b: Floats, **options: Any) -> str:
    return verdict(pair(a, b, **options))


def test_verdict_on_a_better_population() -> None:
    low, high = np.linspace(2, 8, 100), np.linspace(20, 26, 100)
    better = "At equal parameter count, resnet has lower error than vanilla (p < 0.0001)."
    assert say(low, high) == better
    # The better one comes first, whichever was given first.
    assert say(high, low) == "At equal parameter count, vanilla has lower error than resnet (p < 0.0001)."
    # And so it does in what is found, with all signs its own.
    found, mirrored = dict(findings(pair(low, high))), dict(findings(pair(high, low)))
    assert found["better of two random models"] == "resnet, 100 % of the time (95 % CI 97 to 100)"
    assert found["mean error"] == "resnet 18.0 points lower (17.5 to 18.5)"
    assert found["median error"] == "resnet 18.0 points lower (17.1 to 18.9)"
    assert found["5 % quantile, resnet"] == "2.24 % (2.00 to 2.61)"
    assert found["better at every threshold"] == "resnet from 2.85 to 25.15 %"
    assert found["parameter count"] == "resnet 1.00 times vanilla before, 1.00 after adjustment (1 stratum)"
    assert found["tests"] == "rank test p < 0.0001"  # all is one stratum
    named_again = {
        key.replace("resnet", "vanilla"): text.replace("resnet", "vanilla")
        for key, text in found.items()
        if key not in ("parameter count", "5 % quantile, vanilla")
    }
    assert {key: mirrored[key] for key in named_again} == named_again


def test_verdict_without_a_significant_difference_claims_none_and_says_what_is_excluded() -> None:
    found = pair(np.arange(20.0), np.arange(20.0) + 1, given="none")
    assert found.estimates is not None
    assert (mean := found.estimates.mean) is not None
    assert verdict(found) == (
        "Without adjustment for size, no difference between resnet and vanilla is shown (p = 0.75); the mean error of "
        f"resnet is between {-mean.low:.2f} points lower and {mean.high:.2f} points higher (95 % CI)."
    )
    assert (found.p_adjusted or 0) > 0.05
    assert dict(findings(found))["tests"] == "rank test p = 0.6; shape p = 1 (20 permutations)"


def test_verdict_on_too_few_models_claims_nothing() -> None:
    few = pair(np.array([1.0, 2, 3]), np.array([20.0, 30, 40]), given="none")
    assert few.verdict == (
        "Too few models of resnet and vanilla to compare: they are worth 3.0 of each, and a claim needs 8."
    )
    assert (findings(few), pointwise(few)) == ([], "")
    # Of some more there are numbers, even ones that look clear, and still no claim.
    some = pair(np.linspace(2, 8, 6), np.linspace(33, 39, 6))
    assert some.verdict == (
        "Too few models of resnet and vanilla of equal complexity to compare: they are worth 6.0 of each, and a claim "
        "needs 8."
    )
    assert dict(findings(some))["tests"] == "none, with so few models"
    assert pointwise(some) == "Each interval is for one number alone; with so few models nothing is claimed."


def test_verdict_on_distributions_of_other_shape() -> None:
    # One is narrow, the other wide around nearly the same median: they differ, and each wins half of the time.
    narrow, wide = np.linspace(40.02, 60.02, 200), np.linspace(0, 100, 200)
    found = pair(narrow, wide)
    assert ks(narrow, wide).p_value < 1e-12
    assert found.verdict == (
        "At equal parameter count, the error distributions of resnet and vanilla differ in shape (p = 0.0025), but "
        "neither is shown to be better."
    )
    assert found.shape is not None
    assert found.shape.p_value == 1 / 2_000
    where = [figure for what, figure in findings(found) if what == "better at every threshold"]
    # First comes the one that wins more often, by a hair.
    assert dict(findings(found))["better of two random models"].startswith("vanilla, 50 % of the time")
    assert [figure.split()[0] for figure in where] == ["vanilla", "resnet"]


def best_ones(models: int) -> tuple[Floats, Floats]:
    """Two populations that differ in so many of 240 models alone: the second has far better ones."""
    return np.linspace(40, 60, 240), np.append(np.linspace(40, 60, 240 - models), np.linspace(0, 10, models))


def test_verdict_on_a_difference_that_is_too_small_for_a_better_one() -> None:
    # The EDF of the second lies above throughout, and yet a random model of it beats one of the first too seldom.
    found = pair(*best_ones(31), alpha=0.01)
    assert found.verdict == (
        f"At equal parameter count, the error distributions of resnet and vanilla differ in shape (p = "
        f"{found.p_adjusted:.2g}), but neither is shown to be better."
    )
    assert (found.p_adjusted or 1) < 0.01 < p_better(found) < 0.05
    assert found.estimates is not None
    assert (found.better, found.estimates.crossings.dominance) == ("shape", "b")
    assert "vanilla has lower error than resnet" in say(*best_ones(31), alpha=0.05)


def test_verdict_on_a_better_population_whose_edf_crosses() -> None:
    # 95 of 100 models are better, five are the worst of all.
    a = np.concatenate([np.linspace(2, 8, 95), np.full(5, 90.0)])
    found = pair(a, np.linspace(20, 26, 100))
    assert "resnet has lower error than vanilla" in found.verdict
    assert found.estimates is not None
    assert found.estimates.crossings.dominance == "neither"
    assert dict(findings(found))["better of two random models"].startswith("resnet, 95 % of the time")


def test_another_p_value_may_decide() -> None:
    found = pair(np.arange(20.0), np.arange(20.0) + 9)
    assert found.claim is not None
    assert found.verdict == "At equal parameter count, resnet has lower error than vanilla (p = 0.00012)."
    denied = verdict(replace(found, claim=replace(found.claim, kind="none", p_adjusted=0.07), pairs=10))
    assert denied.startswith(
        "At equal parameter count, no difference between resnet and vanilla is shown (p = 0.07, adjusted for 10 pairs);"
    )
    sure = verdict(replace(found, claim=replace(found.claim, p_adjusted=1e-20), pairs=3))
    assert sure.endswith("resnet has lower error than vanilla (p < 0.0001, adjusted for 3 pairs).")


def test_verdict_needs_more_evidence_at_a_smaller_alpha() -> None:
    a, b = np.arange(20.0), np.arange(20.0) + 7
    for alpha, claimed in ((0.05, True), (0.0001, False)):
        found = pair(a, b, alpha=alpha)
        assert 0.0001 < (found.p_adjusted or 0) < 0.05
        assert ("has lower error than" in found.verdict) == claimed
        assert ("no difference" in found.verdict) != claimed


def test_a_pointwise_interval_that_a_claim_denies_is_explained() -> None:
    # The test of P has but 0.8 of the level.
    found = pair(*best_ones(25))
    assert found.estimates is not None
    assert 0.04 < p_better(found) < 0.05
    assert found.estimates.better.high < 0.5
    assert found.better == "none"
    assert pointwise(found) == (
        "Each interval is for one number alone; the finding accounts for two tests and claims nothing."
    )
    assert "accounts for two tests of 6 pairs and claims nothing" in pointwise(replace(found, pairs=6))
    # So is that of the mean error, in the sentence itself.
    few = pair(*best_ones(20))
    assert few.estimates is not None
    assert few.estimates.better.low < 0.5 < few.estimates.better.high
    assert few.verdict.endswith(" points higher (95 % CI, of this pair by itself).")
    assert pointwise(few) == pointwise(found)
    # Shapes that differ say nothing of who is better.
    shapes = pair(*best_ones(31), alpha=0.01)
    assert shapes.better == "shape"
    assert pointwise(shapes).endswith("the finding accounts for two tests and names no better one.")
    assert pointwise(pair(np.arange(20.0), np.arange(20.0) + 9)) == ""


def p_better(found: Pair) -> float:
    assert found.estimates is not None
    return found.estimates.better.p_value


def test_a_verdict_says_how_equal_size_is() -> None:
    a, b = np.linspace(2, 8, 40), np.linspace(4, 10, 40)
    same, other = np.arange(1, 41), np.arange(11, 51)
    assert say(a, b, params=(same, same)).startswith("At equal parameter count, resnet has")
    # Errors go up with size, so that in two strata much of the difference is one of size.
    found = pair(a, b, params=(same, other), strata=2)
    assert found.verdict.startswith("With parameter count only partly balanced, ")
    assert found.estimates is not None
    assert found.estimates.balance is not None
    bias = abs(found.estimates.balance.bias_in_se)
    assert dict(findings(found))["parameter count"].endswith(
        f"after adjustment (2 strata); what is left shifts the probability by about {bias:.1f} standard errors: train "
        "more models at sizes that both have"
    )
    for options, one in (({"strata": 1}, "stratum"), ({"bins": 1}, "bin")):
        sentence = say(a, b, params=(same, other), **options)
        assert sentence.startswith(f"With all models in one {one}, which does not adjust for parameter count, ")
    assert say(a, b, params=(same, other), given="none").startswith("Without adjustment for size, ")


def test_a_verdict_says_whether_means_are_equivalent() -> None:
    a, b = np.linspace(2, 8, 200), np.linspace(2.9, 8.9, 200)
    found = pair(a, b, equivalent=3)
    assert found.verdict.startswith("At equal parameter count, resnet has lower error than vanilla (p < 0.0001); ")
    assert found.verdict.endswith("; their mean errors are shown to differ by less than 3 points (p < 0.0001).")
    assert dict(findings(found))["means within 3 points"] == "shown (p < 0.0001)"
    near = pair(a, a + 0.1, equivalent=3)
    assert "no difference between resnet and vanilla is shown (p = " in near.verdict
    assert near.verdict.endswith(
        " (95 % CI); their mean errors are shown to differ by less than 3 points (p < 0.0001)."
    )
    apart = pair(a, b, equivalent=1)
    assert "mean errors are shown to differ" not in apart.verdict
    assert dict(findings(apart))["means within 1 points"].startswith("not shown (p = 0.")


@given(errors(), errors(), st.sampled_from(["params", "none"]))
def test_verdict_claims_no_more_than_the_test(a: Floats, b: Floats, by: str) -> None:
    found, prob = pair(a, b, given=by), prob_better(a, b)
    sentence = found.verdict
    enough = len(a) * len(b) / (len(a) + len(b)) >= 4
    assert sentence.startswith("Too few models of resnet and vanilla") == (not enough)
    assert ("no difference" in sentence) == (enough and (found.p_adjusted or 0) > 0.05)
    if "has lower error than" in sentence:
        better, worse = ("resnet", "vanilla") if prob > 0.5 else ("vanilla", "resnet")
        assert f"{better} has lower error than {worse} (p" in sentence
        assert p_better(found) <= 0.05 >= (found.p_adjusted or 0)
        assert found.better == better
    assert "the same" not in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    for what, figure in findings(found):
        assert "nan" not in figure, what


def test_a_finding_in_short_names_the_better_one_and_how_often() -> None:
    with Archive(BUNDLED["digits"]) as source:

        def brief(*names: str, **options: Any) -> str:
            return words.brief(compare_populations(source, names, **options).pairs[0])

        assert brief("resnet", "vanilla") == "resnet better, 90 % (87 to 92)"
        assert brief("vanilla", "resnet") == "resnet better, 90 % (87 to 92)"
        assert brief("nasnet", "darts") == "none shown to be better"
        assert brief("resnet_rng1", "resnet_rng2") == "none shown to be better"
        assert brief("resnet", "resnet_rng1") == "not comparable"
        assert brief("enas_fix-w-d", "pnas_fix-w-d") == "too few models"
        assert brief("pnas", "vanilla", given="acts").endswith("), acts only partly balanced")
        assert brief("resnet", "vanilla", strata=1).endswith("), params not balanced")
        assert not brief("resnet", "vanilla", given="none").endswith("balanced")
