"""What was drawn: rows that repeat a network, and networks that are in two populations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edfkit
from edfkit.archive import Archive, write
from edfkit.archive.published import Published
from edfkit.archive.schema import REQUIRED_ATTRS, VARIABLES
from edfkit.datasets import BUNDLED
from edfkit.show import text
from edfkit.study.compare import Pair, compare_populations
from edfkit.study.selection import InMemory
from edfkit.study.units import find_units, sharing

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
