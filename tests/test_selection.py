"""Which models take part, with which weights: policies, ranges and bins, sources."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.archive.schema import REQUIRED_ATTRS, Status
from edfkit.datasets import BUNDLED
from edfkit.metric import Metric
from edfkit.stats.bins import bin_index, complexity_weights
from edfkit.stats.two_sample import summarize
from edfkit.study.parts import Parts
from edfkit.study.selection import (
    InMemory,
    Population,
    Selection,
    Source,
    complexity_ranges,
    gather,
    select,
)
from edfkit.study.settings import COMPLEXITIES, POLICIES

FINISHED, DIVERGING, FAILED, STOPPED, RUNNING = Status
NAN = float("nan")

# Between the common ends 100 and 400 lie two bins, parted at 250. The failed model would widen the range, had it a say.
A = {
    "error": [10.0, 20.0, 30.0, 40.0, NAN],
    "error_final": [11.0, 22.0, 33.0, 44.0, NAN],
    "params": [100, 200, 300, 500, 1],
    "status": [FINISHED, FINISHED, FINISHED, FINISHED, FAILED],
}
B = {
    "error": [20.0, 20.0, 50.0, 90.0],
    "error_final": [20.0, 25.0, 55.0, 90.0],
    "params": [50, 150, 350, 400],
    "status": [FINISHED, FINISHED, FINISHED, DIVERGING],
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    def columns(population: dict[str, Any]) -> dict[str, Any]:
        size = len(population["error"])
        unknown = dict.fromkeys(("macs", "acts", "seed", "lr", "wd", "seconds"), [NAN] * size)
        flops = [2.0 * p for p in population["params"]]
        return {"id": [f"m{i}" for i in range(size)], "flops": flops, **unknown, **population}

    path = tmp_path / "small.h5"
    attrs = dict.fromkeys(REQUIRED_ATTRS, "test") | {"recipe": "{}"}
    write(path, {"a": columns(A), "b": columns(B)}, attrs)
    return path


def test_a_selection_by_hand(archive: Path) -> None:
    with Archive(archive) as source:
        selected = select(source, ["A", "b"], given="params", bins=2)
    assert (selected.given, selected.error, selected.diverged) == ("params", "best", "keep")
    assert (selected.bins, selected.range) == (2, (100.0, 400.0))
    a, b = selected.populations

    # a has 100 and 200 in the first bin, 300 in the second.
    assert (a.name, a.rows.tolist(), a.errors.tolist()) == ("a", [0, 1, 2], [10, 20, 30])
    assert a.weights is not None
    assert a.weights.tolist() == [0.25, 0.25, 0.5]
    assert a.bins is not None
    assert a.bins.tolist() == [0, 0, 1]
    assert a.left_out == {"failed": 1, "params above the range": 1}
    assert a.diverged == 0
    assert (a.summary.models, a.summary.min, a.summary.mean, a.summary.median) == (3, 10, 22.5, 20)
    assert a.summary.n_eff == pytest.approx(1 / (2 / 16 + 1 / 4), abs=1e-12)
    assert a.summary.area == pytest.approx(1 - (0.25 * 0.2 + 0.25 * 0.4 + 0.5 * 0.6), abs=1e-12)

    # b has 150 in the first bin, 350 and, on the upper end, 400 in the second.
    assert (b.rows.tolist(), b.errors.tolist()) == ([1, 2, 3], [20, 50, 90])
    assert b.weights is not None
    assert b.weights.tolist() == [0.5, 0.25, 0.25]
    assert b.bins is not None
    assert b.bins.tolist() == [0, 1, 1]
    assert b.left_out == {"params below the range": 1}
    assert b.diverged == 1
    assert (b.summary.min, b.summary.mean, b.summary.median) == (20, 45, 20)


def test_given_none_all_that_did_not_fail_take_part_alike(archive: Path) -> None:
    with Archive(archive) as source:
        selected = select(source, ["a", "b"])
    assert (selected.given, selected.bins, selected.range) == ("none", None, None)
    a, b = selected.populations
    assert (a.weights, a.bins, b.weights, b.bins) == (None, None, None, None)
    assert (a.rows.tolist(), b.rows.tolist()) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert (a.left_out, b.left_out) == ({"failed": 1}, {})
    assert a.summary.n_eff == 4


def test_models_are_gathered_as_they_are_with_what_is_held_equal(archive: Path) -> None:
    with Archive(archive) as source:
        gathered = gather(source, ["A", "b"], given="params, flops", strata=3, diverged="drop")
        plain = gather(source, ["a", "b"])
        with pytest.raises(EdfkitError, match="The macs of 4 of the 4 a models are not known"):
            gather(source, ["a"], given="macs")
    assert (gathered.given, gathered.strata, gathered.bins, gathered.range) == ("params, flops", 3, None, None)
    a, b = gathered.populations
    assert (a.weights, a.bins, b.weights, b.bins) == (None, None, None, None)
    assert (a.errors.tolist(), b.errors.tolist()) == ([10, 20, 30, 40], [20, 20, 50])
    assert (a.left_out, b.left_out) == ({"failed": 1}, {"diverged": 1})
    assert a.complexity is not None
    assert a.complexity.tolist() == [[100, 200], [200, 400], [300, 600], [500, 1000]]
    assert a.summary.n_eff == 4
    assert [one.complexity for one in plain.populations] == [None, None]
    # Errors after the last epoch are known, and larger.
    assert gathered.chosen_on_test
    with Archive(archive) as source:
        assert not gather(source, ["a", "b"], error="final", given="params").chosen_on_test


def test_models_that_are_alike_in_error_and_complexity_are_counted() -> None:
    same = {"error": [3.0, 1.0, 3.0, 3.0, 1.0], "params": [7, 9, 7, 8, 9], "flops": [1, 1, 1, 2, 1]}
    (one,) = gather(InMemory({"a": same}), ["a"], given="params,flops").populations
    counted = one.counted()
    assert counted.counts is not None
    assert counted.complexity is not None
    assert (counted.errors.tolist(), counted.counts.tolist()) == ([1, 3, 3], [2, 2, 1])
    assert counted.complexity.tolist() == [[9, 1], [7, 1], [8, 2]]
    assert counted.summary == one.summary


def test_a_given_range_replaces_the_common_one(archive: Path) -> None:
    with Archive(archive) as source:
        selected = select(source, ["a", "b"], given="params", range=(100, 300), bins=1)
    a, b = selected.populations
    assert selected.range == (100, 300)
    assert (a.errors.tolist(), b.errors.tolist()) == ([10, 20, 30], [20])
    assert b.left_out == {"params below the range": 1, "params above the range": 2}
    assert b.diverged == 0  # the diverged one is not in the range


def test_another_complexity_has_its_own_range(archive: Path) -> None:
    with Archive(archive) as source:
        selected = select(source, ["a", "b"], given="flops", bins=2)
    assert selected.range == (200, 800)
    assert selected.populations[0].left_out == {"failed": 1, "flops above the range": 1}


def test_the_final_error_replaces_the_best(archive: Path) -> None:
    with Archive(archive) as source:
        selected = select(source, ["a", "b"], error="final", area_to=22.0)
    assert selected.error == "final"
    a = selected.populations[0]
    assert a.errors.tolist() == [11, 22, 33, 44]
    assert a.summary.area == pytest.approx(0.5 / 4, abs=1e-12)
    assert a.summary.area_to == 22


# What is done with runs that diverged


@pytest.mark.parametrize(
    ("policy", "errors", "rows", "diverged", "left_out"),
    [
        ("keep", [20, 20, 50, 90], [0, 1, 2, 3], 1, {}),
        ("censor", [20, 20, 50, 100], [0, 1, 2, 3], 1, {}),
        ("drop", [20, 20, 50], [0, 1, 2], 0, {"diverged": 1}),
    ],
)
def test_policies_about_divergence(
    policy: str, errors: list[float], rows: list[int], diverged: int, left_out: dict[str, int]
) -> None:
    selected = select(InMemory({"b": B}), ["b"], diverged=policy)
    (b,) = selected.populations
    assert selected.diverged == policy
    assert (b.errors.tolist(), b.rows.tolist(), b.diverged, b.left_out) == (errors, rows, diverged, left_out)
    assert b.summary == summarize(errors)
    assert B["error"] == [20, 20, 50, 90]  # the caller's stay


def test_a_dropped_model_has_no_say_in_the_range() -> None:
    kept, dropped = (select(InMemory({"b": B}), ["b"], given="params", diverged=p).range for p in ("keep", "drop"))
    assert (kept, dropped) == ((50, 400), (50, 350))


def test_a_censored_final_error_is_100_too_and_may_be_unknown() -> None:
    population = {"error": [5.0, 90.0], "error_final": [6.0, NAN], "status": [FINISHED, DIVERGING]}
    (member,) = select(InMemory({"u": population}), ["u"], error="final", diverged="censor").populations
    assert member.errors.tolist() == [6, 100]
    (kept,) = select(InMemory({"u": population}), ["u"], error="final").populations
    assert (kept.errors.tolist(), kept.filled, kept.diverged) == ([6, 100], 1, 1)  # it has no value
    population["status"] = [FINISHED, FINISHED]
    with pytest.raises(EdfkitError, match="The final error of 1 of the 2 u models is not known; compare by the other"):
        select(InMemory({"u": population}), ["u"], error="final")


@pytest.mark.parametrize(
    ("status", "policy", "reason"),
    [
        ([FAILED, FAILED], "keep", "failed"),
        ([DIVERGING, DIVERGING], "drop", "diverged"),
        ([FAILED, DIVERGING], "drop", "failed or diverged"),
    ],
)
def test_a_population_of_which_nothing_is_left_is_refused(status: list[int], policy: str, reason: str) -> None:
    population = {"error": [NAN if one == FAILED else 90.0 for one in status], "status": status}
    with pytest.raises(EdfkitError, match=f"^All 2 models of f {reason}, so it has no errors to compare; leave it out"):
        select(InMemory({"f": population}), ["f"], diverged=policy)


# Laws


def random_populations(seed: int, *sizes: int) -> dict[str, dict[str, NDArray[Any]]]:
    rng = np.random.default_rng(seed)
    populations = {}
    for name, size in zip("abc", sizes, strict=False):
        status = rng.choice([FINISHED, DIVERGING, FAILED], size, p=[0.8, 0.1, 0.1])
        status[:2] = FINISHED
        error = np.where(status == FAILED, NAN, rng.integers(0, 1000, size) / 10)
        params = rng.integers(1, 1000, size)
        populations[name] = {"error": error, "error_final": error, "status": status, "params": params}
    return populations


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(POLICIES), st.sampled_from(["none", "params"]))
def test_rows_lead_back_to_the_source_and_everyone_is_counted(seed: int, policy: str, by: str) -> None:
    source = InMemory(random_populations(seed, 60, 80))
    selected = select(source, ["a", "b"], given=by, diverged=policy)
    for member in selected.populations:
        status = source.read(member.name, "status")[member.rows]
        errors = source.read(member.name, "error")[member.rows]
        if policy in ("worst", "censor"):
            errors = np.where(status == DIVERGING, 100.0, errors)
        assert member.errors.tolist() == errors.tolist()
        assert member.diverged == np.count_nonzero(status == DIVERGING)
        assert len(member.errors) + sum(member.left_out.values()) == source.models(member.name)
        assert all(member.left_out.values())
        assert np.all(np.diff(member.rows) > 0)
        summary, other = asdict(member.summary), asdict(summarize(member.errors, member.weights))
        assert summary.pop("quantiles") == other.pop("quantiles")
        assert summary == pytest.approx(other, rel=1e-12)
        if selected.range is None or selected.bins is None:
            assert member.weights is None
            assert member.bins is None
            continue
        params = source.read(member.name, "params")[member.rows].astype(float)
        lo, hi = selected.range
        assert member.bins is not None
        assert member.weights is not None
        assert member.bins.tolist() == bin_index(params, lo, hi, selected.bins).tolist()
        assert member.weights.tolist() == complexity_weights(params, lo, hi, selected.bins).tolist()
        assert member.weights.sum() == pytest.approx(1, abs=1e-12)


def numbers(selected: Selection) -> list[Any]:
    members = selected.populations
    return [(p.name, p.diverged, p.left_out, p.summary.models, p.summary.min, p.summary.quantiles) for p in members]


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_the_order_of_the_models_does_not_matter(seed: int) -> None:
    populations = random_populations(seed, 60, 80)
    rng = np.random.default_rng(seed)
    shuffled = {
        name: {variable: values[order] for variable, values in population.items()}
        for name, population in populations.items()
        for order in [rng.permutation(len(population["error"]))]
    }
    one, other = (select(InMemory(p), ["a", "b"], given="params") for p in (populations, shuffled))
    assert numbers(one) == numbers(other)
    assert (one.bins, one.range) == (other.bins, other.range)


# Bins by default


@pytest.mark.parametrize(
    ("in_first_half", "in_second_half", "bins"), [(5, 5, 2), (4, 6, 1), (6, 4, 1), (1, 1, 1), (50, 50, 2)]
)
def test_default_bins_hold_five_models_each(in_first_half: int, in_second_half: int, bins: int) -> None:
    # All at the two ends: a third bin would be empty.
    size = in_first_half + in_second_half
    few = {"params": [1.0] * in_first_half + [9.0] * in_second_half, "error": [5.0] * size}
    many = {"params": np.linspace(1, 9, 999), "error": np.full(999, 5.0)}
    source = InMemory({"few": few, "many": many})
    assert select(source, ["few", "many"], given="params").bins == bins
    assert select(source, ["many", "few"], given="params").bins == bins


def test_default_bins_are_ten_at_most() -> None:
    even = {"params": np.arange(1000.0), "error": np.full(1000, 5.0)}
    assert select(InMemory({"even": even}), ["even"], given="params").bins == 10


def counts(params: NDArray[np.float64], lo: float, hi: float, bins: int) -> list[int]:
    inside = params[(lo <= params) & (params <= hi)]
    return list(map(int, np.histogram(inside, np.linspace(lo, hi, bins + 1))[0]))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(30, 120), st.integers(30, 120))
def test_default_bins_are_the_most_that_hold_five_models_each(seed: int, size_a: int, size_b: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.gamma(2.0, size=size_a), rng.uniform(0, 4, size=size_b)
    errors = {"a": np.full(size_a, 5.0), "b": np.full(size_b, 5.0)}
    source = InMemory({name: {"params": {"a": a, "b": b}[name], "error": errors[name]} for name in "ab"})
    selected = select(source, ["a", "b"], given="params")
    lo, hi = max(a.min(), b.min()), min(a.max(), b.max())
    works = [bins for bins in range(1, 11) if min(counts(a, lo, hi, bins) + counts(b, lo, hi, bins)) >= 5]
    assert selected.range == (lo, hi)
    assert selected.bins == max(works, default=1)


# Sources


def contents(member: Population) -> list[Any]:
    weights, bins = (None if values is None else values.tolist() for values in (member.weights, member.bins))
    return [member.errors.tolist(), weights, bins, member.rows.tolist(), member.to_dict()]


@pytest.mark.parametrize("by", ["none", "params", "acts"])
def test_the_same_from_an_archive_arrays_lists_and_xarray(by: str) -> None:
    names = ["resnet", "vanilla"]
    variables = ("error", "error_final", "status", *COMPLEXITIES)
    with Archive(BUNDLED["digits"]) as archive:
        arrays = {name: {variable: archive.read(name, variable) for variable in variables} for name in names}
        lists = {name: {key: values.tolist() for key, values in columns.items()} for name, columns in arrays.items()}
        datasets = {name.upper(): archive.to_xarray(name) for name in names}
        sources: list[Source] = [archive, InMemory(arrays), InMemory(lists), InMemory(datasets)]
        results = [select(source, names, given=by, diverged="censor") for source in sources]
        ranges = [[complexity_ranges(source, name) for name in names] for source in sources]
    first, *others = results
    for other in others:
        assert unlabelled(other) == unlabelled(first)
        for ours, theirs in zip(other.populations, first.populations, strict=True):
            assert contents(replace(ours, label=theirs.label)) == contents(theirs)
    assert all(other == ranges[0] for other in ranges)


def unlabelled(selected: Selection) -> Any:
    """Give a selection as plain data, without the names as they were written."""
    document: Any = selected.to_dict()
    for space in document["spaces"]:
        del space["label"]
    return document


def test_a_source_in_memory() -> None:
    source = InMemory({"ResNet": {"error": [1.0, 2.0]}})
    assert source.names == ["resnet"]
    assert source.label("resnet") == "ResNet"
    assert source.models("RESNET") == 2
    assert source.read("resnet", "error").tolist() == [1, 2]
    assert source.read("resnet", "status").tolist() == [FINISHED, FINISHED]
    with pytest.raises(EdfkitError, match=r"^There is no population 'resnext'; choose from resnet\.$"):
        source.read("resnext", "error")
    with pytest.raises(EdfkitError, match=r"^The population 'resnet' has no 'params', but only error\.$"):
        source.read("resnet", "params")


def test_objects_of_numbers_are_numbers_and_none_is_missing() -> None:
    for missing in (None, float("nan"), pd.NA):
        source = InMemory({"a": {"error": np.array([5, missing, 7.5], object)}})
        np.testing.assert_array_equal(source.read("a", "error"), [5, np.nan, 7.5])
        assert source.read("a", "status").tolist() == [FINISHED, FAILED, FINISHED]
    with pytest.raises(EdfkitError, match="has the type object, expected one number"):
        select(InMemory({"a": {"error": np.array([5, "six"], object)}}), ["a"], given="none")


def test_a_population_without_models_is_refused() -> None:
    with pytest.raises(EdfkitError, match=r"^a has no models, expected one or more; leave it out\.$"):
        select(InMemory({"a": {"error": np.zeros(0)}}), ["a"], given="none")


def test_an_error_that_is_not_known_is_named(archive: Path) -> None:
    curves = {"error": [5.0, 6.0], "status": [FINISHED] * 2, "test_error": [[5.0, np.nan], [6.0, 7.0]]}
    with pytest.raises(EdfkitError, match="The error after epoch 2 of 1 of the 2 a models is not known; comp"):
        select(InMemory({"a": curves}), ["a"], given="none", error="2")
    loss = InMemory({"a": {"loss": [5.0, 6.0]}}, metric=Metric("loss", "nats"))
    with pytest.raises(EdfkitError, match="The final loss of the a models is not known; compare by the best"):
        select(loss, ["a"], given="none", error="final")
    with pytest.raises(EdfkitError, match="The loss of a after each epoch is not known; compare by the best"):
        select(loss, ["a"], given="none", error="2")
    with pytest.raises(EdfkitError, match=r"^select: a has no metric 'x', but only loss; name one of these"):
        select(loss, ["a"], given="none", select="x")


def test_a_selection_is_plain_data(archive: Path) -> None:
    with Archive(archive) as source:
        document = select(source, ["a", "b"], given="params", bins=2).to_dict()
        bare = select(source, ["a"]).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == ["metric", "given", "error", "diverged", "stopped", "select", "bins", "range", "spaces"]
    assert (document["bins"], document["range"], bare["bins"], bare["range"]) == (2, [100, 400], None, None)
    space = document["spaces"][0]
    assert (space["left_out"], space["left_out_why"]) == (2, {"failed": 1, "params above the range": 1})
    assert list(space["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]


# What is refused


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["a", "b", "A"], {}, r"named twice in a, b, a; name each once"),
        (["a", "c"], {}, r"no population 'c'; choose from 'a', 'b'"),
        (["a"], {"given": "macs"}, r"The macs of 4 of the 4 a models are not known; compare given another complexity"),
        (["a", "b"], {"bins": 3}, r"Bins and range belong to a complexity, and given is none"),
        (["a", "b"], {"range": (1.0, 2.0)}, r"Bins and range belong to a complexity"),
        (["a", "b"], {"given": "params", "strata": 3}, r"holds one complexity equal, by bins, and 3 strata was asked"),
        (["a", "b"], {"given": "params,flops"}, r"holds one complexity equal, by bins, and given params,flops was"),
        (
            ["a", "b"],
            {"given": "params", "bins": 4},
            r"With 4 bins over the complexity range 100 to 400, a has no .* to 400; b has .* to 325: use 2 bins",
        ),
        (
            ["a", "b"],
            {"given": "params", "range": (600.0, 700.0)},
            r"a has no model in 600 to 700; b has .*use the range 100 to 400",
        ),
        (["a", "b"], {"given": "params", "range": (300.0, 200.0)}, r"must start below its end"),
        (["a", "b"], {"area_to": 0.0}, r"area_to: 0 was given, expected above 0"),
    ],
)
def test_what_cannot_be_selected_is_refused(archive: Path, names: list[str], options: Any, message: str) -> None:
    with Archive(archive) as source, pytest.raises(EdfkitError, match=message) as caught:
        select(source, names, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_unknown_final_errors_are_refused() -> None:
    population = {"error": [1.0, 2.0, 3.0], "error_final": [1.0, NAN, 3.0]}
    with pytest.raises(EdfkitError, match="The final error of 1 of the 3 u models is not known; compare by the other"):
        select(InMemory({"u": population}), ["u"], error="final")


def test_ranges_that_share_nothing_are_refused() -> None:
    source = InMemory({"low": {"error": [5.0], "params": [1]}, "high": {"error": [5.0], "params": [2]}})
    with pytest.raises(EdfkitError, match=r"share no range of complexity \(low 1 to 1, high 2 to 2\)"):
        select(source, ["low", "high"], given="params")


def test_complexity_ranges(archive: Path) -> None:
    with Archive(archive) as source:
        known = complexity_ranges(source, "A")
    # Those of all models: what a failed one would have cost is known too.
    assert known == {"params": (1, 500), "flops": (2, 1000), "macs": None, "acts": None}


def test_the_error_after_an_epoch_is_that_of_the_curve() -> None:
    with Archive(BUNDLED["digits"]) as archive:
        (member,) = select(archive, ["resnet"], error="3").populations
        assert member.errors.tolist() == archive.read("resnet", "test_error")[:, 2].tolist()
        last = select(archive, ["resnet"], error="8").populations[0]
        assert last.errors.tolist() == select(archive, ["resnet"], error="final").populations[0].errors.tolist()
        for epoch in ("0", "9", "-1", "1.5", "worst"):
            with pytest.raises(EdfkitError, match="expected best, final or an epoch of resnet, 1 to 8; give one of"):
                select(archive, ["resnet"], error=epoch)


def test_codes_of_outcomes_that_do_not_exist_are_refused() -> None:
    rows = {"error": [5.0, 6.0, 7.0], "status": [0, 1, 7]}
    with pytest.raises(EdfkitError, match="a: 'status' has the code 7, expected 0 to 4"):
        select(InMemory({"a": rows}), ["a"])
    rows["status"] = [0, np.nan, 2]  # of the second nothing is said
    assert select(InMemory({"a": rows}), ["a"]).populations[0].left_out == {"failed": 1}


def test_models_that_all_take_no_part_are_told_without_those_that_are_no_part() -> None:
    rows = {"error": [np.nan, np.nan, 3.0], "lr": [1.0, 2.0, np.nan]}
    with pytest.raises(EdfkitError, match=r"All 2 models of a\[lr > 0\] failed, so it has no errors"):
        select(Parts(InMemory({"a": rows})), ["a[lr > 0]"])
