"""Other settings of a comparison: each is a comparison of its own, estimates that name nobody, and one sentence."""

import json
from typing import Any

import numpy as np
import pytest

import edfkit
from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.schema import Status
from edfkit.datasets import BUNDLED
from edfkit.show import text, words
from edfkit.stats.strata import cut
from edfkit.study.compare import Comparison, compare_populations
from edfkit.study.selection import InMemory
from edfkit.study.sensitivity import sensitivity
from edfkit.study.settings import Control, Reading


def made(seed: int = 0, n: int = 120, shift: float = 2.0) -> InMemory:
    """Draw two populations with several complexities, runs that diverged and runs that failed."""
    rng = np.random.default_rng(seed)
    found = {}
    for place, name in enumerate("ab"):
        size = np.round(np.exp(rng.normal(10 + 0.3 * place, 1, n))) + 100
        error = np.round(np.clip(45 - 3 * np.log(size) + rng.gamma(2, 2, n) + shift * place, 0, 100), 1)
        found[name] = {
            "error": np.where(np.arange(n) < 6, np.nan, error),
            "error_final": np.where(np.arange(n) < 6, np.nan, np.minimum(error + rng.exponential(1, n), 100)),
            "params": size,
            "flops": np.round(size * rng.uniform(1, 3, n)),
            "macs": np.full(n, np.nan),
            "status": np.repeat([Status.FAILED, Status.DIVERGED, Status.FINISHED], [6, 9, n - 15]).astype(np.int8),
        }
    return InMemory(found)


def settings(source: Any, *names: str, **options: Any) -> Comparison:
    return edfkit.compare(source, list(names or "ab"), sensitive=True, **options)


@pytest.mark.parametrize("options", [{}, {"bins": 4}, {"given": "none"}, {"given": "params,flops"}, {"strata": 6}])
def test_every_setting_is_a_comparison_of_its_own(options: dict[str, Any]) -> None:
    source = made()
    found = settings(source, **options)
    groups = [one.group for one in found.settings]
    assert groups[0] == "chosen"
    assert groups.count("chosen") == 1
    assert {"complexity", "error", "diverged", "failed"} <= set(groups)
    assert ("range" in groups) == (options.get("given", "params") == "params" and "bins" not in options)
    others = iter([options["strata"] // 2, options["strata"] * 2] if "strata" in options else [7, 30])  # of 228 models
    for one in found.settings:
        if one.group == "range":
            continue
        # The number of strata that was asked for is that of the setting or of the comparison.
        asked = {"strata": next(others)} if one.group == "strata" and "bins" not in options else {}
        if one.group in ("chosen", "error", "diverged", "failed"):
            asked = {"strata": options.get("strata")}
        how: dict[str, Any] = {"given": one.given, "bins": one.bins, "range": one.range} | asked
        how |= {"error": one.error, "diverged": one.diverged, "failed": one.failed}
        (pair,) = compare_populations(source, ["a", "b"], **how).pairs
        assert pair.estimates is not None
        its, mean = pair.estimates.better, pair.estimates.mean
        assert mean is not None
        assert (one.prob_a_better, one.prob_a_better_interval) == (its.prob, (its.low, its.high)), one.label
        assert (one.mean_difference, one.mean_difference_interval) == (mean.estimate, (mean.low, mean.high))
    assert len({one.label for one in found.settings}) == len(found.settings)
    documents = found.to_dict()["sensitivity"]
    assert json.loads(json.dumps(documents, allow_nan=False)) == documents


def test_halves_part_the_models_at_their_median_complexity() -> None:
    source = made()
    usable = {name: source.read(name, "status") != Status.FAILED for name in "ab"}
    sizes = {name: source.read(name, "params")[some] for name, some in usable.items()}
    middle = np.sort(np.concatenate(list(sizes.values())))[sum(map(len, sizes.values())) // 2 - 1]
    lower, upper = (one for one in settings(source).settings if one.group == "range")
    assert lower.range is not None
    assert upper.range is not None
    assert lower.range[1] == middle < upper.range[0]
    for half in (lower, upper):
        assert half.range is not None
        part = {}
        for name, some in usable.items():
            inside = (
                some & (source.read(name, "params") >= half.range[0]) & (source.read(name, "params") <= half.range[1])
            )
            part[name] = {v: source.read(name, v)[inside] for v in ("error", "params", "status")}
        (pair,) = compare_populations(InMemory(part), ["a", "b"]).pairs
        assert half.prob_a_better == pair.prob_a_better
    assert cut(sizes["a"]).max() > 0


def test_failed_runs_count_as_worst_or_best() -> None:
    source = made()
    worst, best = (one for one in settings(source, given="none").settings if one.group == "failed")
    errors = {name: source.read(name, "error") for name in "ab"}
    for one, value in ((worst, 100.0), (best, 0.0)):
        a, b = (np.nan_to_num(errors[name], nan=value) for name in "ab")
        won = (a[:, None] < b).mean() + (a[:, None] == b).mean() / 2
        assert one.prob_a_better == pytest.approx(won, abs=1e-12)
        assert one.mean_difference == pytest.approx(a.mean() - b.mean(), abs=1e-9)
    with pytest.raises(EdfkitError, match="failed: 'lost' was given, expected drop, worst, best"):
        Reading(failed="lost")


def test_the_settings_say_what_changes_the_finding() -> None:
    said = words.sensitivity(settings(made(shift=6.0)))
    assert said.startswith("The finding does not depend on these settings: in all of ")
    assert "the interval favours a. Size is only partly balanced, so that nothing follows: at equal params and" in said
    said = words.sensitivity(settings(made(1, n=60, shift=0.0)))
    assert said.startswith("No space is claimed to be better")
    # A space that is better only because it is larger: without adjustment the other one is.
    rng = np.random.default_rng(3)
    size = {"a": np.exp(rng.normal(9, 1, 300)), "b": np.exp(rng.normal(11, 1, 300))}
    error = {name: 60 - 4 * np.log(one) + rng.normal(0, 1, 300) for name, one in size.items()}
    error["b"] += 2
    source = InMemory({name: {"error": error[name].round(2), "params": size[name]} for name in "ab"})
    found = settings(source)
    assert found.pairs[0].better == "a"
    assert "It favours the other space: without adjustment. " in words.sensitivity(found)


def test_a_setting_in_which_nothing_can_be_compared_says_why() -> None:
    columns = {"error": np.arange(32.0), "params": np.arange(1.0, 33), "flops": np.arange(1.0, 33)}
    source = InMemory({"a": columns, "b": columns | {"flops": np.arange(101.0, 133)}})  # none in a stratum of the other
    found = settings(source)
    (apart,) = (one for one in found.settings if one.given == "flops")
    assert (apart.prob_a_better, apart.mean_difference) == (None, None)
    assert apart.why == "Too few models of both have the same complexity."
    shown = "\n".join(text.sensitivity(found))
    assert f"at equal flops: {apart.why}" in shown
    unknown = InMemory({"a": columns, "b": columns | {"flops": np.full(32, np.nan)}})
    assert not any("flops" in one.given for one in settings(unknown).settings)


def test_populations_of_the_same_networks_are_paired_in_every_setting() -> None:
    with Archive(BUNDLED["digits"]) as archive:
        found = settings(archive, "resnet_rng1", "resnet_rng2")
    assert {one.group for one in found.settings} == {"chosen", "error", "range"}


def test_the_text_holds_every_number() -> None:
    found = settings(made())
    (pair,) = found.pairs
    whole, shown = "\n".join(text.comparison(found)), "\n".join(text.sensitivity(found))
    assert whole.endswith(shown)
    assert max(map(len, shown.splitlines())) <= 110
    for one in found.settings:
        assert one.mean_difference is not None
        (line,) = (line for line in shown.splitlines() if line.startswith(f"{words.marked(one)} "))
        assert f"{one.mean_difference:+.2f} (" in line
    assert "p =" not in shown
    assert pair.better == "a"


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_other_settings_are_about_two(names: list[str]) -> None:
    with pytest.raises(EdfkitError, match=f"about two populations and {len(names)} were named"):
        sensitivity(made(), names, Reading(), Control())


def test_a_half_without_models_of_one_population_shows_nothing() -> None:
    size = np.concatenate([np.arange(100.0, 130), np.arange(1000.0, 1030)])
    apart = {"error": np.arange(30.0), "params": size[:30]}, {"error": np.arange(30.0) + 0.5, "params": size[30:]}
    found = settings(InMemory(dict(zip("ab", apart, strict=True))))
    for one in found.settings:
        assert (one.prob_a_better is None) == (one.why is not None)
        assert one.group != "range" or one.why == "One of the populations has no model there."


def test_a_setting_that_is_partly_balanced_does_not_count() -> None:
    with Archive(BUNDLED["digits"]) as archive:
        found = settings(archive, "resnet", "amoeba")
        (pair,) = compare_populations(archive, ["resnet", "amoeba"], given="flops,acts").pairs
    (one,) = (one for one in found.settings if one.given == "flops,acts")
    assert pair.estimates is not None
    assert pair.estimates.mean is not None
    assert one.balanced is False
    assert abs(pair.estimates.mean.estimate) < 40  # errors differ by less than what a slope beyond all sizes says
    assert "only partly balanced, so that nothing follows: at equal acts; " in (words.sensitivity(found))


def test_names_that_stand_for_findings_are_refused() -> None:
    source = made()
    named = InMemory({"none": {"error": source.read("a", "error_final")}, "b": {"error": source.read("b", "error")}})
    with pytest.raises(EdfkitError, match="A population is called 'none', which stands for a finding"):
        compare_populations(named, ["none", "b"], given="none")
