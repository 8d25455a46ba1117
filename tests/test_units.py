"""What was drawn: rows that repeat a network, and networks that are in two populations."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edfkit
from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.archive.published import Published
from edfkit.archive.schema import REQUIRED_ATTRS, VARIABLES
from edfkit.datasets import BUNDLED
from edfkit.show import text
from edfkit.show.words import findings
from edfkit.stats.bootstrap import bootstrap
from edfkit.stats.sizes import draw_models, simulate_distance
from edfkit.study.compare import Pair, compare_populations
from edfkit.study.complexity import complexity_study
from edfkit.study.describe import describe_study
from edfkit.study.parts import Parts
from edfkit.study.plan import plan_comparison
from edfkit.study.point import point_study
from edfkit.study.samples import sample_study
from edfkit.study.search import search_study
from edfkit.study.selection import InMemory
from edfkit.study.units import Sharing, find_units, sharing

RESNET, VANILLA = '{"block": "res_basic_block"}', '{"block": "double_plain_block"}'


def population(networks: list[int], errors: list[float], start: int = 0) -> dict[str, Any]:
    """Give models of networks that a number describes."""
    number, size = np.array(networks), len(networks)
    unknown = {name: np.full(size, np.nan) for name, spec in VARIABLES.items() if spec.required}
    stages = np.column_stack([number + 1, number % 3 + 1])
    known = {
        "id": (np.arange(size) + start).astype(str),
        "error": np.array(errors),
        "error_final": np.array(errors),
        "params": 1000.0 + number,
        "status": np.zeros(size, np.int8),
        "lr": np.full(size, 0.1),
        "wd": np.full(size, 5e-4),
        "depth": stages,
        "width": 8 * stages,
    }
    return unknown | known


def archive(path: Path, populations: dict[str, dict[str, Any]], blocks: dict[str, str]) -> Archive:
    attrs = {name: {"architecture": block} for name, block in blocks.items()}
    write(path, populations, dict.fromkeys(REQUIRED_ATTRS, "test") | {"recipe": "{}"}, attrs)
    return Archive(path)


def only(source: Any, **options: Any) -> Pair:
    (pair,) = compare_populations(source, ["a", "b"], **options).pairs
    return pair


def test_the_seed_is_no_part_of_a_unit_but_the_rates_are() -> None:
    rows = population([1, 1, 2, 2], [10, 11, 12, 13])
    units = find_units(InMemory({"a": rows}), "a")
    assert units is not None
    assert units.unit[0] == units.unit[1] != units.unit[2] == units.unit[3]
    assert units.repeated
    assert units.weights.tolist() == [0.25] * 4
    rows["lr"] = np.array([0.1, 0.2, 0.1, 0.2])
    other = find_units(InMemory({"a": rows}), "a")
    assert other is not None
    assert not other.repeated
    # What a table has beyond the format may have been set too.
    more = population([1, 1, 2, 2], [10, 11, 12, 13]) | {"dropout": np.array([0.0, 0.5, 0.0, 0.5])}
    told = find_units(InMemory({"a": more}), "a")
    assert told is not None
    assert not told.repeated


def test_without_a_description_of_networks_nothing_is_known() -> None:
    assert find_units(InMemory({"a": {"error": [1.0, 1.0], "params": [5, 5], "lr": [0.1, 0.1]}}), "a") is None
    assert sharing("a", "b", None, None).refused == ""


def test_networks_of_one_block_are_shared_and_of_another_are_not(tmp_path: Path) -> None:
    errors = list(np.linspace(10, 30, 20))
    both = {"a": population(list(range(20)), errors), "b": population(list(range(20)), errors[::-1], 50)}
    with archive(tmp_path / "x.h5", both, {"a": RESNET, "b": RESNET}) as source:
        pair = only(source)
        assert (pair.sharing.paired, pair.sharing.units, pair.strata) == (True, 20, 20)
        assert pair.verdict.startswith("Network by network, ")
    with archive(tmp_path / "y.h5", both, {"a": RESNET, "b": VANILLA}) as source:
        pair = only(source)
        assert (pair.sharing.paired, pair.sharing.units) == (False, 0)
        assert pair.verdict.startswith("At equal parameter count, ")


def test_a_small_gain_of_every_network_is_found_by_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(30, 8, 60).clip(1, 99)
    gained = errors - 0.3 + rng.normal(0, 0.3, 60)
    both = {"a": population(list(range(60)), list(gained)), "b": population(list(range(60)), list(errors), 90)}
    with archive(tmp_path / "x.h5", both, {"a": RESNET, "b": RESNET}) as source:
        assert only(source).better == "a"
    with archive(tmp_path / "y.h5", both, {"a": RESNET, "b": VANILLA}) as source:
        assert only(source).better == "none"


@pytest.mark.parametrize(
    ("networks", "same_runs", "refused"),
    [
        (range(10, 30), False, "a and b have 10 networks in common, of 20 in the smaller one"),
        (range(19, 39), True, "1 of the runs are in both a and b"),
        (range(19, 39), False, ""),
    ],
    ids=["too many in common", "one run in both", "one by chance"],
)
def test_populations_that_share_some_networks(tmp_path: Path, networks: range, same_runs: bool, refused: str) -> None:
    rng = np.random.default_rng(1)
    a = population(list(range(20)), list(rng.uniform(10, 30, 20)))
    b = population(list(networks), list(rng.uniform(10, 30, 20)), 100)
    if same_runs:
        for column in ("id", "error"):
            b[column][0] = a[column][19]
    c = population(list(range(50, 70)), list(rng.uniform(10, 30, 20)), 200)
    with archive(tmp_path / "x.h5", {"a": a, "b": b, "c": c}, dict.fromkeys("abc", RESNET)) as source:
        result = compare_populations(source, list("abc"), given="none")
    ab, ac, _ = result.pairs
    assert ab.sharing.refused.startswith(refused)
    assert (ab.claim is None) == bool(refused)
    assert ac.claim is not None
    assert ac.pairs == (2 if refused else 3)
    assert ab.sharing.units in (1, 10)
    if refused:
        assert (ab.verdict, ab.no_claim) == (ab.sharing.refused,) * 2
        assert (ab.prob_a_better, ab.p_adjusted) == (None, None)
    else:
        assert any("networks in both" in line for line in text.comparison(result))


def test_one_network_with_many_seeds_is_no_design_space(published: Path) -> None:
    source = Published(published)
    pair = compare_populations(source, ["resnet_reruns_top", "vanilla_reruns_top"], given="none").pairs[0]
    assert pair.verdict.startswith("All 100 models of resnet_reruns_top are runs of one network with one setting")
    assert "edfkit noise" in pair.verdict


def test_repeated_networks_are_counted_once_and_said() -> None:
    rng = np.random.default_rng(4)
    columns = {}
    for name in "ab":
        network = rng.normal(20, 3, 30)
        columns[name] = population(
            list(np.repeat(np.arange(30), 3)), list(np.repeat(network, 3) + rng.normal(0, 0.2, 90))
        )
        columns[name]["depth"] = columns[name]["depth"] + (name == "b")
    result = compare_populations(InMemory(columns), ["a", "b"], given="none")
    (pair,) = result.pairs
    assert [one["units"] for one in result.to_dict()["spaces"]] == [30, 30]
    assert [one["models"] for one in result.to_dict()["spaces"]] == [90, 90]
    assert pair.overlap == pytest.approx(15)
    assert "a: 90 runs of 30 networks; tests and intervals count networks." in list(text.comparison(result))
    # Thrice the same rows are no more evidence than one row each.
    first = {name: {key: np.asarray(values)[::3] for key, values in of.items()} for name, of in columns.items()}
    once = InMemory(first)
    (single,) = compare_populations(once, ["a", "b"], given="none").pairs
    assert single.estimates is not None
    assert pair.estimates is not None
    assert pair.estimates.better.standard_error == pytest.approx(single.estimates.better.standard_error, rel=0.1)


def test_an_archive_and_the_published_files_agree_on_units(published: Path, tmp_path: Path) -> None:
    from edfkit.exchange.nds import import_nds

    file = published / "ResNeXt-A_in.json"
    import_nds([file], tmp_path / "a.h5")
    there = find_units(Published(file), "resnext-a_in")
    with Archive(tmp_path / "a.h5") as imported:
        ours = find_units(imported, "resnext-a_in")
    assert there is not None
    assert ours is not None
    assert there.comparable
    assert ours.comparable
    assert np.unique(there.unit).size == np.unique(ours.unit).size == len(json.loads(file.read_text()))


def test_the_bundled_populations_repeat_a_few_networks() -> None:
    with Archive(BUNDLED["digits"]) as source:
        units = find_units(source, "resnet")
    assert units is not None
    assert np.unique(units.unit).size == 496


def test_a_pair_is_compared_alike_whoever_else_is_there() -> None:
    rng = np.random.default_rng(0)
    depth = rng.integers(1, 99, (200, 3))

    class Known(InMemory):
        def group_attrs(self, name: str) -> dict[str, str]:
            return {"architecture": "one"}

    def population(shift: float, networks: NDArray[np.int64]) -> dict[str, Any]:
        rates = {"lr": np.full(200, 0.1), "wd": np.full(200, 5e-4), "depth": networks, "width": networks + 8}
        error = np.round(20 + shift + rng.normal(0, 2, 200), 2)
        return {"error": error, "params": 1_000.0 * networks.sum(axis=1)} | rates

    # The first two are the same networks, so their rows stay apart; those of the third are counted.
    spaces = {"a": population(0, depth), "b": population(0.3, depth), "c": population(1, rng.integers(1, 99, (200, 3)))}
    source = Known(spaces)
    for given in ("none", "params"):
        (alone,) = edfkit.compare(source, ["a", "c"], given=given).pairs
        for names in (["a", "b", "c"], ["a", "c", "b"]):
            pairs = {(pair.a, pair.b): pair for pair in edfkit.compare(source, names, given=given).pairs}
            assert pairs["a", "b"].sharing.paired
            assert pairs["a", "c"].overlap == alone.overlap > 90
            assert pairs["a", "c"].p_value == pytest.approx(alone.p_value, rel=1e-6)
            assert pairs["a", "c"].prob_a_better == pytest.approx(alone.prob_a_better, rel=1e-12)


def stated(networks: int, rows: int, *, noise: float = 0.0, seed: int = 0, first: int = 0) -> dict[str, Any]:
    """Give networks, of increasing error where there is no noise, with several rows each, and say which these are."""
    rng = np.random.default_rng(seed)
    network = np.repeat(np.arange(networks), rows)
    error, size = np.sort(rng.permutation(8_000)[:networks] / 100), rng.uniform(1e4, 1e5, networks)
    return {
        "error": (error[network] + noise * rng.normal(0, 1, network.size)).clip(0, 100),
        "params": size[network],
        "unit": network + first,
    }


def test_what_a_source_states_are_units_in_all_of_its_populations() -> None:
    a, b = stated(40, 3, noise=0.5), stated(40, 2, noise=0.5, seed=1)
    units = find_units(InMemory({"a": a}), "a")
    assert units is not None
    assert units.stated
    assert units.comparable
    assert units.different.size == 40
    assert not units.taken(np.arange(0, 120, 3)).repeated
    assert only(InMemory({"a": a, "b": b})).sharing.paired
    few, many = b | {"unit": b["unit"] + 39}, b | {"unit": b["unit"] + 10}
    assert only(InMemory({"a": a, "b": few})).sharing == Sharing(1)
    assert "a and b have 30 networks in common, of 40" in only(InMemory({"a": a, "b": many})).sharing.refused
    negative = find_units(InMemory({"a": a | {"unit": -a["unit"] - 1}}), "a")
    assert negative is not None
    assert negative.different.size == 40


def test_units_in_memory_may_be_names_or_numbers_with_fractions() -> None:
    errors = np.random.default_rng(2).uniform(10, 30, 12)
    for unit in (np.arange(12), np.arange(12.0), np.arange(12) / 8, [f"net {i}" for i in range(12)]):
        both = {"a": {"error": errors, "unit": unit}, "b": {"error": errors + 1, "unit": unit}}
        (pair,) = compare_populations(InMemory(both), ["a", "b"], given="none").pairs
        assert pair.sharing.paired
        assert dict(findings(pair))["better on the same network"].startswith("a, 100 % of the time")


def test_the_rows_of_a_network_weigh_as_one() -> None:
    rows = {"error": [10.0] * 9 + [30.0, 50.0], "params": [1.0] * 9 + [2.0, 3.0], "unit": [7] * 9 + [8, 9]}
    (member,) = describe_study(InMemory({"a": rows}), ["a"]).populations
    assert (member.models, member.summary.median) == (11, 30)
    assert member.summary.mean == pytest.approx(30)
    study = sample_study(InMemory({"a": rows}), "a")
    assert study.models.tolist() == [1, 2]
    assert study.selection.populations[0].summary.mean == pytest.approx(30)
    (found,) = complexity_study(InMemory({"a": rows}), ["a"]).spaces
    assert (found.models, found.units, found.rank_correlation) == (11, 3, 1)


def test_repeating_every_row_changes_nothing() -> None:
    once, thrice = InMemory({"a": stated(60, 1)}), InMemory({"a": stated(60, 3)})
    single, triple = (describe_study(source, ["a"], trials=200) for source in (once, thrice))
    for what, interval in single.intervals["a"].items():
        its = triple.intervals["a"][what]
        assert (its.estimate, its.low, its.high) == pytest.approx((interval.estimate, interval.low, interval.high))
    for run in (
        lambda source: complexity_study(source, ["a"]).spaces[0].rank_interval,
        lambda source: plan_comparison(source, ["a"], shift=8, trials=20).needed.to_dict(),
        lambda source: search_study(source, ["a"], m=[1, 2, 3]).curves[0].interval,
        lambda source: sample_study(source, "a").to_population,
        lambda source: np.sort(sample_study(source, "a").errors[10]).size,
    ):
        assert run(thrice) == pytest.approx(run(once), nan_ok=True)


def test_units_that_are_not_repeated_change_no_number() -> None:
    known = stated(60, 1)
    unknown = {name: values for name, values in known.items() if name != "unit"}
    for run in (
        lambda source: describe_study(source, ["a"], trials=200).to_dict(),
        lambda source: sample_study(source, "a", trials=5).to_dict(),
        lambda source: point_study(source, "a", small=5, large=20, trials=50).to_dict(),
        lambda source: search_study(source, ["a"], given="none", replacement=False).to_dict(),
        lambda source: complexity_study(source, ["a"]).to_dict(),
        lambda source: plan_comparison(source, ["a"], shift=8, trials=20).to_dict(),
    ):
        assert run(InMemory({"a": known})) == run(InMemory({"a": unknown}))


def test_a_search_draws_networks_and_any_run_of_each() -> None:
    rows = {"error": [10.0, 12.0, 11.0], "unit": [1, 1, 2]}
    chances = {10.0: 0.25, 12.0: 0.25, 11.0: 0.5}
    found = point_study(InMemory({"a": rows}), "a", small=1, large=2, trials=4000)
    expected = {"small": 0.0, "large": 0.0, "tie": 0.0}
    for x, y, z in itertools.product(chances, repeat=3):
        ahead = x - min(y, z)
        who = "tie" if ahead == 0 else "small" if ahead < 0 else "large"
        expected[who] += chances[x] * chances[y] * chances[z]
    wins = found.wins
    assert (wins.small_wins, wins.large_wins, wins.tie) == pytest.approx(tuple(expected.values()))
    assert found.resampled is not None
    assert found.resampled.large_wins == pytest.approx(wins.large_wins, abs=4 * found.resampled.se)
    with pytest.raises(EdfkitError, match="is to draw 3 models and a has 2"):
        point_study(InMemory({"a": rows}), "a", small=1, large=3)
    curve = search_study(InMemory({"a": rows}), ["a"], given="none", m=[1, 2]).curves[0]
    assert curve.best.error.tolist() == pytest.approx([11.0, 0.4375 * 10 + 0.5 * 11 + 0.0625 * 12])
    with pytest.raises(EdfkitError, match="rows of a repeat networks, which cannot be drawn without replacement"):
        search_study(InMemory({"a": rows}), ["a"], given="none", replacement=False)


def test_samples_are_of_networks_with_all_their_runs() -> None:
    rows = stated(30, 3, noise=2)
    found = sample_study(InMemory({"a": rows}), "a", models=[1, 10, 30], trials=200)
    assert found.simulated is not None
    assert found.simulated.population == 30
    assert found.simulated.mean[-1] == pytest.approx(0, abs=1e-12)
    assert found.simulated.mean[1] == pytest.approx(found.to_population[1], rel=0.25)
    drawn = draw_models(rows["error"], 30, rng=np.random.default_rng(1), units=rows["unit"])
    places = [int(np.flatnonzero(rows["error"] == error)[0]) for error in drawn]
    assert sorted(rows["unit"][places].tolist()) == list(range(30))
    with pytest.raises(EdfkitError, match="units: 2 were given for 3 errors"):
        simulate_distance([1.0, 2.0, 3.0], [1], rng=np.random.default_rng(1), units=[1, 1])
    with pytest.raises(EdfkitError, match="units: 2 were given for 3 errors"):
        draw_models([1.0, 2.0, 3.0], 1, rng=np.random.default_rng(1), units=[1, 1])


def test_a_bootstrap_of_networks_is_as_wide_as_their_number_says() -> None:
    rows = stated(50, 4, noise=0.1)
    units, of_rows = (
        bootstrap("mean", rows["error"], units=given, trials=1000, rng=0) for given in (rows["unit"], None)
    )
    means = rows["error"].reshape(50, 4).mean(axis=1)
    assert units.estimate == pytest.approx(means.mean())
    assert units.high - units.low == pytest.approx(2 * 1.96 * means.std(ddof=1) / 50**0.5, rel=0.1)
    assert of_rows.high - of_rows.low == pytest.approx((units.high - units.low) / 2, rel=0.1)
    with pytest.raises(EdfkitError, match=r"quantile: q = 0\.05 was asked for, but where one model has up to 2 %"):
        bootstrap("quantile", rows["error"], q=0.05, units=rows["unit"], rng=0)
    with pytest.raises(EdfkitError, match="units: 3 were given for 200 rows"):
        bootstrap("mean", rows["error"], units=[1, 2, 3], rng=0)


def test_every_text_says_what_counts() -> None:
    source = InMemory({"a": stated(60, 3, noise=1)})
    said = [
        *text.description(describe_study(source, ["a"])),
        *text.samples(sample_study(source, "a")),
        *text.point(point_study(source, "a", small=5, large=20)),
        *text.search(search_study(source, ["a"])),
        *text.complexity(complexity_study(source, ["a"])),
        *text.plan(plan_comparison(source, ["a"], shift=8, trials=20)),
    ]
    assert sum("a: 180 runs of 60 networks; " in line for line in said) == 6


def test_parts_of_the_same_rows_are_no_pairs_though_no_run_has_a_name() -> None:
    parts = Parts(InMemory({"a": stated(20, 2, noise=1) | {"lr": np.linspace(1, 2, 40)}}))
    (pair,) = compare_populations(parts, ["a[lr > 0]", "a[lr > 0.5]"], given="none").pairs
    assert not pair.sharing.paired
    assert pair.sharing.refused.startswith("40 of the runs are in both")


@pytest.mark.parametrize("settings", [{"given": "none"}, {"bins": 1, "range": (1, 2)}, {"bins": 2, "range": (1, 2)}])
def test_a_network_that_is_trained_often_weighs_as_one(settings: Any) -> None:
    rng = np.random.default_rng(0)
    one, other = ({"error": rng.normal(20, 2, 40), "params": rng.permutation(np.linspace(1, 2, 40))} for _ in "ab")
    worst = one["error"].argmax()
    again = np.append(np.arange(40), np.repeat(worst, 60))
    often = {name: values[again] for name, values in one.items()} | {"unit": again}
    plain, repeating = (
        compare_populations(InMemory({"a": rows, "b": other}), ["a", "b"], **settings) for rows in (one, often)
    )
    assert repeating.selection.populations[0].models == 100
    assert repeating.bands[0].n_eff == pytest.approx(40)
    got, expected = (study.selection.populations[0].summary for study in (repeating, plain))
    assert (got.mean, got.median, got.n_eff) == pytest.approx((expected.mean, expected.median, expected.n_eff))
    found, wanted = (json.loads(json.dumps(study.pairs[0].to_dict())) for study in (repeating, plain))
    for name in ("ks", "prob_a_better", "mean_difference", "median_difference", "p_better", "tail", "mix"):
        near = 0.05 if name == "p_better" else 1e-6
        assert flat(found[name]) == pytest.approx(flat(wanted[name]), rel=near, abs=1e-9), name


def flat(value: Any) -> list[float]:
    """Give the numbers of plain data."""
    if isinstance(value, dict):
        return [one for each in value.values() for one in flat(each)]
    return [] if value is None else [value]


def test_pairs_of_which_some_runs_failed_are_those_with_both_runs() -> None:
    rng = np.random.default_rng(0)
    good = rng.normal(20, 3, 60)
    errors = {"a": good, "b": good + rng.normal(1, 1, 60)}
    errors["a"][:2], errors["b"][5] = np.nan, np.nan
    unit = np.arange(60)
    source = InMemory({name: {"error": values, "unit": unit, "params": unit + 10} for name, values in errors.items()})
    for given in ("none", "params"):
        (pair,) = compare_populations(source, ["a", "b"], given=given).pairs
        assert (pair.sharing.paired, pair.sharing.units, pair.excluded, pair.missing) == (True, 57, (1, 2), (2, 1))
        both = ~np.isnan(errors["a"]) & ~np.isnan(errors["b"])
        assert pair.estimates is not None
        assert pair.estimates.mean is not None
        assert pair.estimates.mean.estimate == pytest.approx((errors["a"] - errors["b"])[both].mean())
        assert pair.better == "a"
