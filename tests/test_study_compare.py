"""The compare study: each number of a pair is that of the array functions, and of the definitions."""

import json
from collections.abc import Iterator
from dataclasses import astuple, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.show.words import p_value
from edfkit.stats.bands import crossings, difference_band, edf_band, tail
from edfkit.stats.bootstrap import bootstrap
from edfkit.stats.mix import decompose, holm
from edfkit.stats.permutation import permutation_test
from edfkit.stats.two_sample import ks, lead, prob_better
from edfkit.study.compare import compare_populations, describe_populations, sensitivity, summary_intervals
from edfkit.study.selection import InMemory, Source, select

# Between the common ends 100 and 400 lie two bins, parted at 250; the last of b diverged.
SMALL = InMemory(
    {
        "a": {"error": [10.0, 20.0, 30.0, 40.0], "params": [100, 200, 300, 500]},
        "b": {"error": [20.0, 20.0, 50.0, 90.0], "params": [50, 150, 350, 400], "status": [0, 0, 0, 1]},
        "c": {"error": [1.0, 2.0], "params": [120, 390]},
    }
)
PAIR = [
    *("a", "b", "ks", "p_value", "p_method", "p_holm", "permutation", "prob_a_better", "dominance", "crossings"),
    *("confidence", "ranges", "tail", "mix", "verdict"),
]


@pytest.fixture(scope="module")
def digits() -> Iterator[Source]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


def three(seed: int = 0, size: int = 60) -> InMemory:
    """Populations that differ a little, with an error that falls with complexity."""
    rng = np.random.default_rng(seed)
    populations = {}
    for name, shift in (("a", 0.0), ("b", 3.0), ("c", 8.0)):
        params = np.append(rng.integers(1, 1000, size), [1, 1000])
        error = 30 + shift - params / 50 + rng.normal(0, 5, size + 2).round(1)
        populations[name] = {"error": error.clip(0, 100), "params": params, "flops": 2 * params}
    return InMemory(populations)


def test_a_comparison_computed_by_hand() -> None:
    result = compare_populations(SMALL, ["a", "b"], bins=2)
    # F_A is 0.25, 0.5, 1, 1, 1 and F_B 0, 0.5, 0.5, 0.75, 1 at 10, 20, 30, 50, 90.
    (pair,) = result.pairs
    assert (pair.a, pair.b) == ("a", "b")
    assert pair.test.statistic == pytest.approx(0.5, abs=1e-12)
    # n_eff is 8/3 for both, so n n / (n + n) = 4/3.
    assert pair.test.p_value == pytest.approx(stats.kstwobign.sf(0.5 * (4 / 3) ** 0.5), rel=1e-12)
    assert pair.p_holm == pair.test.p_value  # one pair: nothing to adjust for
    # 10 beats all, 20 beats half and ties with half, 30 beats half.
    assert pair.prob_a_better == pytest.approx(0.25 + 0.25 * 0.75 + 0.5 * 0.5, abs=1e-12)
    assert pair.verdict.startswith("Given params, no difference between the errors of a and b models could be shown")
    assert (pair.crossings.dominance, pair.crossings.errors) == ("a", ())
    assert pair.permutation is None
    assert result.seed is None
    # In the range a has (10, 20), (30) in its bins, and b (20), (50, 90): the shares are 2/3, 1/3 and 1/3, 2/3.
    assert pair.mix is not None
    assert pair.mix.mean.total == pytest.approx(20 - 160 / 3, abs=1e-12)
    assert pair.mix.mean.within == pytest.approx((15 - 20) / 2 + (30 - 70) / 2, abs=1e-12)
    assert pair.mix.mean.unshared == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("by", ["params", "none"])
def test_every_field_of_a_pair_is_that_of_the_array_functions(digits: Source, by: str) -> None:
    names = ["vanilla", "resnet"]
    result = compare_populations(
        digits, names, given=by, permutations=50, seed=3, confidence=0.9, best_share=0.2, diverged="censor"
    )
    selected = select(digits, names, given=by, diverged="censor")
    a, b = (member.counted() for member in selected.populations)
    assert result.selection.to_dict() == replace(selected, populations=[a, b]).to_dict()
    for ours, models in zip(result.selection.populations, selected.populations, strict=True):
        for one, other in zip(astuple(ours)[1:6], astuple(models)[1:6], strict=True):
            np.testing.assert_array_equal(one, other)
        assert ours.summary.mean == pytest.approx(models.summary.mean, rel=1e-12)
    errors, weights, shares = (a.errors, b.errors), (a.weights, b.weights), (a.shares, b.shares)
    counts: dict[str, Any] = {"counts_a": a.counts, "counts_b": b.counts}
    bins = [np.zeros(len(one.errors), np.intp) if one.bins is None else one.bins for one in (a, b)]
    (pair,) = result.pairs
    assert pair.test == ks(*errors, *weights, **counts)
    assert pair.prob_a_better == prob_better(*errors, *shares)
    assert pair.summaries == (a.summary, b.summary)
    assert (pair.given, pair.pairs) == (by, 1)
    assert f"; {p_value(pair.p_holm)} exact)" in pair.verdict
    led = lead(pair.p_holm, pair.prob_a_better, min(a.summary.n_eff, b.summary.n_eff))
    assert pair.better == {"a": pair.a, "b": pair.b}.get(led, led)
    assert pair.crossings == crossings(*errors, *shares)
    assert pair.difference is not None
    assert pair.difference.to_dict() == difference_band(*errors, *weights, confidence=0.9, **counts).to_dict()
    assert pair.tail == tail(*errors, 0.2, *weights, confidence=0.9, **counts)
    assert pair.permutation == permutation_test(*errors, *bins, trials=50, rng=np.random.default_rng(3), **counts)
    assert pair.p_holm == pair.permutation.p_value
    assert result.seed == 3
    if by == "none":
        assert pair.mix is None
    else:
        assert pair.mix is not None
        assert pair.mix.to_dict() == decompose(errors[0], bins[0], errors[1], bins[1], **counts).to_dict()
    assert [one.to_dict() for one in result.bands] == [
        edf_band(one.errors, one.weights, confidence=0.9, counts=one.counts).to_dict() for one in (a, b)
    ]


@pytest.mark.parametrize("permutations", [0, 200])
def test_pairs_of_three_are_adjusted_together(permutations: int) -> None:
    result = compare_populations(three(), ["c", "a", "b"], permutations=permutations)
    assert [(pair.a, pair.b) for pair in result.pairs] == [("c", "a"), ("c", "b"), ("a", "b")]
    raw = [pair.permutation.p_value if pair.permutation else pair.test.p_value for pair in result.pairs]
    assert [pair.p_holm for pair in result.pairs] == holm(raw).tolist()
    assert len(set(raw)) > 1
    assert any(pair.p_holm > p for pair, p in zip(result.pairs, raw, strict=True))
    kind = "exact, adjusted" if permutations else "adjusted"
    for pair in result.pairs:
        assert f"{pair.p_holm:.2g} {kind} for 3 pairs)" in pair.verdict
    assert [band.n_eff for band in result.bands] == pytest.approx(
        [one.summary.n_eff for one in result.selection.populations]
    )


def test_a_difference_that_one_pair_shows_is_not_claimed_of_many() -> None:
    rng = np.random.default_rng(0)
    errors = {"a": rng.uniform(0, 50, 40), "b": rng.uniform(18, 68, 40)}
    same = {name: rng.uniform(5, 55, 40) for name in "cdef"}
    source = InMemory({name: {"error": error, "params": np.arange(1, 41)} for name, error in (errors | same).items()})
    alone, among = (compare_populations(source, names, given="none").pairs[0] for names in ("ab", "abcdef"))
    assert alone.test == among.test
    assert alone.p_holm == alone.test.p_value < 0.05 < among.p_holm
    assert (alone.better, among.better) == ("a", "none")
    assert "a models tend to have lower error than b models" in alone.verdict
    assert "no difference between the errors of a and b models could be shown" in among.verdict


def test_one_population_has_no_pairs_and_three_have_a_common_range() -> None:
    alone = compare_populations(SMALL, ["a"], bins=1)
    assert (alone.pairs, len(alone.bands)) == ([], 1)
    result = compare_populations(SMALL, ["c", "a", "b"], bins=1)
    assert [population.name for population in result.selection.populations] == ["c", "a", "b"]
    assert result.selection.range == (120, 390)  # what all three cover


def test_the_seed_decides_the_exact_test() -> None:
    first, again, other = (
        [pair.permutation for pair in compare_populations(three(), list("abc"), permutations=500, seed=seed).pairs]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_the_mix_adds_up_and_the_ranges_cover_all_errors(seed: int) -> None:
    result = compare_populations(three(seed), ["a", "b"])
    a, b = result.selection.populations
    (pair,) = result.pairs
    assert pair.mix is not None
    for parts in (pair.mix.mean, pair.mix.prob_better):
        assert parts.composition + parts.within + parts.unshared == pytest.approx(parts.total, abs=1e-9)
        assert parts.unshared == pytest.approx(0, abs=1e-12)  # no bin is empty
    assert pair.mix.mean.total == pytest.approx(a.errors.mean() - b.errors.mean(), abs=1e-9)
    assert pair.mix.prob_better.total == pytest.approx(prob_better(a.errors, b.errors) - 0.5, abs=1e-9)

    document = pair.to_dict()["ranges"]
    assert (document[0]["from"], document[-1]["to"]) == (0, 100)
    assert all(one["to"] == next_["from"] for one, next_ in pairwise(document))
    assert all(one["a_is"] != next_["a_is"] for one, next_ in pairwise(document))
    assert {one["a_is"] for one in document} <= {"better", "worse", "undecided"}


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_comparison_is_that_of_the_definitions(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    populations = {
        name: {"error": rng.integers(0, 100, size) / 4, "params": rng.integers(0, 50, size)}
        for name, size in (("a", 90), ("b", 120))
    }
    result = compare_populations(InMemory(populations), ["a", "b"], range=(0.0, 50.0), bins=bins)
    a, b = (reference.normalise(p["error"].tolist(), p["params"].tolist(), 0, 50, bins) for p in populations.values())
    for ours, theirs in zip(result.selection.populations, (a, b), strict=True):
        assert ours.summary.n_eff == pytest.approx(theirs.n_eff, rel=1e-12)
        assert ours.summary.mean == pytest.approx(theirs.mean, rel=1e-12)
        assert ours.summary.area == pytest.approx(theirs.area(50), rel=1e-12)
        assert ours.summary.quantiles == {q: theirs.quantile(q) for q in ours.summary.quantiles}
    (pair,) = result.pairs
    assert pair.test.statistic == pytest.approx(reference.distance(a, b), abs=1e-12)
    assert pair.test.p_value == pytest.approx(reference.p_value(a, b), rel=1e-9)
    assert pair.prob_a_better == pytest.approx(reference.prob_better(a, b), abs=1e-12)


def test_exchanging_the_populations_mirrors_the_result() -> None:
    ab, ba = (compare_populations(three(), names).pairs[0] for names in (["a", "b"], ["b", "a"]))
    assert ab.test.statistic == ba.test.statistic
    assert ab.prob_a_better == pytest.approx(1 - ba.prob_a_better, abs=1e-12)
    assert ab.tail is not None
    assert ba.tail is not None
    assert (ab.tail.a, ab.tail.b) == (ba.tail.b, ba.tail.a)
    assert ab.crossings.errors == ba.crossings.errors
    mirrored = {"better": "worse", "worse": "better", "undecided": "undecided"}
    assert ab.difference is not None
    assert ba.difference is not None
    assert ab.difference.ranges() == [(lo, hi, mirrored[kind]) for lo, hi, kind in ba.difference.ranges()]
    assert ab.mix is not None
    assert ba.mix is not None
    assert ab.mix.mean.within == pytest.approx(-ba.mix.mean.within, abs=1e-12)


def test_a_comparison_is_plain_data() -> None:
    document = compare_populations(three(), list("abc"), permutations=20, seed=5).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == ["given", "error", "diverged", "bins", "range", "spaces", "pairs", "seed", "sensitivity"]
    assert (document["seed"], document["sensitivity"]) == (5, [])
    assert [list(pair) for pair in document["pairs"]] == [PAIR] * 3
    pair: Any = document["pairs"][0]
    assert list(pair["mix"]) == ["mean", "prob_better", "distance"]
    assert pair["permutation"]["trials"] == 20
    assert (pair["tail"]["q"], pair["confidence"]) == (0.05, 0.95)
    assert pair["dominance"] in ("a", "b", "neither", "equal")
    bare = compare_populations(three(), ["a", "b"], given="none").to_dict()
    json.dumps(bare, allow_nan=False)
    assert (bare["bins"], bare["range"], bare["seed"]) == (None, None, None)
    assert (bare["pairs"][0]["mix"], bare["pairs"][0]["permutation"]) == (None, None)


def test_dominance_is_said_by_name() -> None:
    # The bands tell a and b; the names of spaces say who.
    source = InMemory({"good": {"error": [1.0, 2.0]}, "bad": {"error": [3.0, 4.0]}})
    for names in (["good", "bad"], ["bad", "good"]):
        (pair,) = compare_populations(source, names, given="none").to_dict()["pairs"]
        assert pair["dominance"] == "good"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "confidence: 1 was given"),
        ({"confidence": 0.4}, r"confidence: 0\.4 was given"),
        ({"best_share": 0.0}, "best_share: 0 was given, but a share above 0 and up to 1"),
        ({"best_share": 5.0}, "best_share: 5 was given, but a share above 0 and up to 1"),
        ({"permutations": -1}, "-1"),
        ({"given": "none", "bins": 2}, "Bins and range belong to a complexity"),
    ],
)
def test_what_cannot_be_compared_is_refused(options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        compare_populations(SMALL, ["a", "b"], **options)


def test_described_populations_are_those_compared_given_none(digits: Source) -> None:
    names = ["ResNet", "vanilla"]
    described = describe_populations(digits, names, error="final", area_to=30.0)
    compared = compare_populations(digits, names, given="none", error="final", area_to=30.0).selection.populations
    assert [one.to_dict() for one in described] == [one.to_dict() for one in compared]
    with pytest.raises(EdfkitError, match="named twice"):
        describe_populations(digits, ["resnet", "RESNET"])


# Sensitivity


def test_settings_are_separate_comparisons(digits: Source) -> None:
    names = ["resnet", "vanilla"]
    settings_ = sensitivity(digits, *names, given=["params", "macs"], bins=[2, 40])
    assert [(one.given, one.bins) for one in settings_] == [(by, n) for by in ("params", "macs") for n in [2, 40] * 3]
    for by in ("params", "macs"):
        lo, hi = select(digits, names, given=by, bins=1).range or (0, 0)
        middle = (lo + hi) / 2
        spans = [one.range for one in settings_ if one.given == by]
        assert spans == [(lo, hi)] * 2 + [(lo, middle)] * 2 + [(middle, hi)] * 2
    empty = 0
    for one in settings_:
        options: dict[str, Any] = {"given": one.given, "bins": one.bins, "range": one.range}
        if one.ks is None:
            empty += 1
            assert (one.p_value, one.prob_a_better, one.better) == (None, None, None)
            with pytest.raises(EdfkitError, match="has no model in"):
                compare_populations(digits, names, **options)
            continue
        (pair,) = compare_populations(digits, names, **options).pairs
        assert (one.ks, one.p_value, one.prob_a_better) == (
            pair.test.statistic,
            pair.test.p_value,
            pair.prob_a_better,
        )
        assert one.better == "resnet"
    assert 0 < empty < len(settings_)
    documents = [one.to_dict() for one in settings_]
    assert json.loads(json.dumps(documents, allow_nan=False)) == documents


def test_a_setting_that_shows_nothing_names_nobody() -> None:
    source = three()
    same = InMemory({name: {v: source.read("a", v) for v in ("error", "params", "flops")} for name in "ab"})
    settings_ = sensitivity(same, "a", "b", bins=[1, 2])
    assert {one.given for one in settings_} == {"params", "flops"}
    assert all(one.ks == 0 and one.p_value == 1 and one.better is None for one in settings_)
    # One is wider, but neither tends to be better: whoever comes first, round-off does not say so.
    wide = {"error": np.repeat([10.0, 30.0, 50.0], [400, 10, 400]), "params": np.arange(810)}
    narrow = {"error": np.repeat([10.0, 30.0, 50.0], [10, 790, 10]), "params": np.arange(810)}
    crossing = InMemory({"wide": wide, "narrow": narrow})
    for names in (("wide", "narrow"), ("narrow", "wide")):
        (one, *_) = sensitivity(crossing, *names, given=["params"], bins=[1])
        assert (one.p_value or 0) < 1e-9
        assert one.prob_a_better == pytest.approx(0.5, abs=1e-12)
        assert one.better is None
    worse = sensitivity(three(size=400), "c", "a", given=["params"], bins=[1])
    assert [one.better for one in worse] == ["a"] * 3


def test_a_comparison_brings_its_sensitivity() -> None:
    options: dict[str, Any] = {"error": "best", "diverged": "censor"}
    result = compare_populations(three(), ["A", "b"], sensitive=True, **options)
    assert result.settings == sensitivity(three(), "a", "b", **options)
    assert result.to_dict()["sensitivity"] == [one.to_dict() for one in result.settings]
    assert compare_populations(three(), ["a", "b"]).settings == []


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_sensitivity_is_about_two(names: list[str]) -> None:
    with pytest.raises(EdfkitError, match=f"two.*{len(names)}|{len(names)}.*two"):
        compare_populations(three(), names, sensitive=True)


def test_sensitivity_to_a_complexity_of_which_nothing_is_shared_has_no_results() -> None:
    one = {"error": [1.0, 2.0], "params": [1, 9], "flops": [1, 9]}
    source = InMemory({"a": one, "b": one | {"flops": [4, 6]}})  # where a has none
    result = compare_populations(source, ["a", "b"], sensitive=True)
    assert [setting.range for setting in result.settings[::12]] == [(1, 9), (4, 6)]
    assert all(setting.ks is None for setting in result.settings)


def test_sensitivity_passes_policies_on() -> None:
    options: dict[str, Any] = {"error": "best", "diverged": "drop"}
    first = sensitivity(SMALL, "a", "b", given=["params"], bins=[1], **options)[0]
    assert first.range == (100, 350)  # the diverged one, at 400, has no say


def test_sensitivity_takes_only_empty_bins_for_no_result() -> None:
    with pytest.raises(EdfkitError, match=r"bins"):
        sensitivity(three(), "a", "b", given=["params"], bins=[0])


def test_intervals_of_a_summary_are_those_of_the_bootstrap() -> None:
    with Archive(BUNDLED["digits"]) as archive:
        (member,) = describe_populations(archive, ["resnet"], area_to=20.0)
    found = summary_intervals(member, trials=200, confidence=0.9, seed=4)
    assert list(found) == ["mean", "median", "area", "best of 25"]
    assert found["best of 25"] == bootstrap("min", member.errors, m=25, trials=200, confidence=0.9, rng=4)
    assert found["area"] == bootstrap("area", member.errors, upto=20.0, trials=200, confidence=0.9, rng=4)
    assert found["mean"].low < member.summary.mean < found["mean"].high
    assert found["median"].estimate == member.summary.median
