from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.schema import REQUIRED_ATTRS, STATUS
from edfkit.study import Comparison, compare_populations, complexity_ranges, describe_populations

FINISHED, DIVERGED, FAILED = (STATUS.index(name) for name in ("finished", "diverged", "failed"))
NAN = float("nan")


class Memory:
    """Populations in memory, which is all that a source must be: name to variable to values."""

    def __init__(self, **populations: dict[str, Any]) -> None:
        self.populations = populations

    def models(self, name: str) -> int:
        return len(self.populations[name]["error"])

    def read(self, name: str, variable: str) -> NDArray[Any]:
        population = self.populations[name]
        if variable == "status" and variable not in population:
            return np.zeros(self.models(name), np.int8)
        return np.asarray(population[variable])


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
    "status": [FINISHED, FINISHED, FINISHED, DIVERGED],
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    def columns(population: dict[str, Any]) -> dict[str, Any]:
        size = len(population["error"])
        unknown = dict.fromkeys(("macs", "acts", "seed", "lr", "wd", "seconds"), [NAN] * size)
        return {
            "id": [f"m{i}" for i in range(size)],
            "flops": [2.0 * p for p in population["params"]],
            **unknown,
            **population,
        }

    path = tmp_path / "small.h5"
    attrs = dict.fromkeys(REQUIRED_ATTRS, "test") | {"recipe": "{}"}
    write(path, {"a": columns(A), "b": columns(B)}, attrs)
    return path


def test_a_comparison_computed_by_hand(archive: Path) -> None:
    with Archive(archive) as source:
        result = compare_populations(source, ["A", "b"], bins=2)
    assert (result.given, result.error, result.bins, result.range) == ("params", "best", 2, (100.0, 400.0))
    a, b = result.populations

    # a has 100 and 200 in the first bin, 300 in the second.
    assert a.name == "a"
    assert a.errors.tolist() == [10, 20, 30]
    assert a.weights is not None
    assert a.weights.tolist() == [0.25, 0.25, 0.5]
    assert a.left_out == {"failed": 1, "params above the range": 1}
    assert a.diverged == 0
    assert a.summary.models == 3
    assert a.summary.n_eff == pytest.approx(1 / (2 / 16 + 1 / 4), abs=1e-12)
    assert (a.summary.min, a.summary.mean, a.summary.median) == (10, 22.5, 20)
    assert a.summary.area == pytest.approx(1 - (0.25 * 0.2 + 0.25 * 0.4 + 0.5 * 0.6), abs=1e-12)

    # b has 150 in the first bin, 350 and, on the upper end, 400 in the second.
    assert b.errors.tolist() == [20, 50, 90]
    assert b.weights is not None
    assert b.weights.tolist() == [0.5, 0.25, 0.25]
    assert b.left_out == {"params below the range": 1}
    assert b.diverged == 1
    assert (b.summary.min, b.summary.mean, b.summary.median) == (20, 45, 20)
    assert b.summary.area == pytest.approx(1 - (0.5 * 0.4 + 0.25 + 0.25), abs=1e-12)

    # F_A is 0.25, 0.5, 1, 1, 1 and F_B 0, 0.5, 0.5, 0.75, 1 at 10, 20, 30, 50, 90.
    (pair,) = result.pairs
    assert (pair.a, pair.b) == ("a", "b")
    assert pair.test.statistic == pytest.approx(0.5, abs=1e-12)
    # n_eff is 8/3 for both, so n n / (n + n) = 4/3.
    assert pair.test.p_value == pytest.approx(stats.kstwobign.sf(0.5 * (4 / 3) ** 0.5), rel=1e-12)
    # 10 beats all, 20 beats half and ties with half, 30 beats half.
    assert pair.prob_a_better == pytest.approx(0.25 + 0.25 * 0.75 + 0.5 * 0.5, abs=1e-12)
    assert pair.verdict.startswith("Given params, no difference between the errors of a and b models could be shown")


def test_a_given_range_replaces_the_common_one(archive: Path) -> None:
    with Archive(archive) as source:
        result = compare_populations(source, ["a", "b"], range=(100, 300), bins=1)
    a, b = result.populations
    assert result.range == (100, 300)
    assert a.errors.tolist() == [10, 20, 30]
    assert b.errors.tolist() == [20]
    assert b.left_out == {"params below the range": 1, "params above the range": 2}
    assert b.diverged == 0  # the diverged one is not in the range


def test_another_complexity_has_its_own_range(archive: Path) -> None:
    with Archive(archive) as source:
        result = compare_populations(source, ["a", "b"], given="flops", bins=2)
    assert result.range == (200, 800)
    assert result.populations[0].left_out == {"failed": 1, "flops above the range": 1}


def test_given_none_all_that_did_not_fail_take_part_alike(archive: Path) -> None:
    with Archive(archive) as source:
        result = compare_populations(source, ["a", "b"], given="none")
    a, b = result.populations
    assert (result.bins, result.range) == (None, None)
    assert a.weights is b.weights is None
    assert a.errors.tolist() == [10, 20, 30, 40]
    assert a.left_out == {"failed": 1}
    assert b.left_out == {}
    assert b.diverged == 1
    assert a.summary.n_eff == 4
    (pair,) = result.pairs
    assert pair.test.method == "exact"
    # A wins 4 of 4 with 10; ties with two and wins two with 20; wins two each with 30 and 40.
    assert pair.prob_a_better == (4 + 3 + 2 + 2) / 16
    assert pair.verdict.startswith("Without normalising for complexity, ")


def test_described_populations_are_those_compared_given_none() -> None:
    source = Memory(a=A, b=B)
    described = describe_populations(source, ["A", "b"], error="final", area_to=30.0)
    compared = compare_populations(source, ["a", "b"], given="none", error="final", area_to=30.0).populations
    assert [(p.name, p.summary, p.left_out, p.diverged) for p in described] == [
        (p.name, p.summary, p.left_out, p.diverged) for p in compared
    ]
    with pytest.raises(EdfkitError, match="named twice"):
        describe_populations(source, ["a", "A"])


def test_the_final_error_replaces_the_best(archive: Path) -> None:
    with Archive(archive) as source:
        result = compare_populations(source, ["a", "b"], given="none", error="final", area_to=22.0)
    assert result.error == "final"
    a = result.populations[0]
    assert a.errors.tolist() == [11, 22, 33, 44]
    assert a.summary.area == pytest.approx(0.5 / 4, abs=1e-12)
    assert a.summary.area_to == 22


def test_one_population_has_no_pairs_and_three_have_three() -> None:
    source = Memory(a=A, b=B, c={"error": [1.0, 2.0], "params": [120, 390]})
    assert compare_populations(source, ["a"], bins=1).pairs == []
    result = compare_populations(source, ["c", "a", "b"], bins=1)
    assert [population.name for population in result.populations] == ["c", "a", "b"]
    assert [(pair.a, pair.b) for pair in result.pairs] == [("c", "a"), ("c", "b"), ("a", "b")]
    assert result.range == (120, 390)  # what all three cover


@pytest.mark.parametrize(
    ("in_first_half", "in_second_half", "bins"),
    [(5, 5, 2), (4, 6, 1), (6, 4, 1), (1, 1, 1), (50, 50, 2)],
)
def test_default_bins_hold_five_models_each(in_first_half: int, in_second_half: int, bins: int) -> None:
    # All at the two ends: a third bin would be empty.
    size = in_first_half + in_second_half
    few = {"params": [1.0] * in_first_half + [9.0] * in_second_half, "error": [5.0] * size}
    many = {"params": np.linspace(1, 9, 999), "error": np.full(999, 5.0)}
    assert compare_populations(Memory(few=few, many=many), ["few", "many"]).bins == bins
    assert compare_populations(Memory(few=few, many=many), ["many", "few"]).bins == bins


def test_default_bins_are_ten_at_most() -> None:
    even = {"params": np.arange(1000.0), "error": np.full(1000, 5.0)}
    assert compare_populations(Memory(even=even), ["even"]).bins == 10


def counts(params: NDArray[np.float64], lo: float, hi: float, bins: int) -> list[int]:
    inside = params[(lo <= params) & (params <= hi)]
    return list(map(int, np.histogram(inside, np.linspace(lo, hi, bins + 1))[0]))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(30, 120), st.integers(30, 120))
def test_default_bins_are_the_most_that_hold_five_models_each(seed: int, size_a: int, size_b: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.gamma(2.0, size=size_a), rng.uniform(0, 4, size=size_b)
    source = Memory(
        a={"params": a, "error": rng.uniform(0, 100, size_a)}, b={"params": b, "error": rng.uniform(0, 100, size_b)}
    )
    result = compare_populations(source, ["a", "b"])
    lo, hi = max(a.min(), b.min()), min(a.max(), b.max())
    works = [bins for bins in range(1, 11) if min(counts(a, lo, hi, bins) + counts(b, lo, hi, bins)) >= 5]
    assert result.range == (lo, hi)
    assert result.bins == max(works, default=1)


def numbers(result: Comparison) -> list[Any]:
    return [
        (p.name, p.diverged, p.left_out, p.summary.models, p.summary.min, p.summary.quantiles)
        for p in result.populations
    ]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_the_order_of_the_models_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    populations = {
        name: {
            "error": np.where((status := rng.integers(0, 3, size)) == FAILED, NAN, rng.integers(0, 1000, size) / 10),
            "status": status,
            "params": rng.integers(1, 1000, size),
        }
        for name, size in (("a", 60), ("b", 80))
    }
    shuffled = {
        name: {variable: values[order] for variable, values in population.items()}
        for name, population in populations.items()
        for order in [rng.permutation(len(population["error"]))]
    }
    one = compare_populations(Memory(**populations), ["a", "b"])
    other = compare_populations(Memory(**shuffled), ["a", "b"])
    assert numbers(one) == numbers(other)
    assert (one.bins, one.range) == (other.bins, other.range)
    assert one.pairs[0].test.statistic == pytest.approx(other.pairs[0].test.statistic, abs=1e-12)
    assert one.pairs[0].prob_a_better == pytest.approx(other.pairs[0].prob_a_better, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_comparison_is_that_of_the_definitions(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    populations = {
        name: {"error": rng.integers(0, 100, size) / 4, "params": rng.integers(0, 50, size)}
        for name, size in (("a", 90), ("b", 120))
    }
    result = compare_populations(Memory(**populations), ["a", "b"], range=(0.0, 50.0), bins=bins)
    a, b = (reference.normalise(p["error"].tolist(), p["params"].tolist(), 0, 50, bins) for p in populations.values())
    for ours, theirs in zip(result.populations, (a, b), strict=True):
        assert ours.summary.n_eff == pytest.approx(theirs.n_eff, rel=1e-12)
        assert ours.summary.mean == pytest.approx(theirs.mean, rel=1e-12)
        assert ours.summary.area == pytest.approx(theirs.area(50), rel=1e-12)
        assert ours.summary.quantiles == {q: theirs.quantile(q) for q in ours.summary.quantiles}
    (pair,) = result.pairs
    assert pair.test.statistic == pytest.approx(reference.distance(a, b), abs=1e-12)
    assert pair.test.p_value == pytest.approx(reference.p_value(a, b), rel=1e-9)
    assert pair.prob_a_better == pytest.approx(reference.prob_better(a, b), abs=1e-12)


def test_exchanging_the_populations_mirrors_the_result() -> None:
    source = Memory(a=A, b=B)
    ab, ba = (compare_populations(source, names, bins=2).pairs[0] for names in (["a", "b"], ["b", "a"]))
    assert ab.test.statistic == ba.test.statistic
    assert ab.prob_a_better == pytest.approx(1 - ba.prob_a_better, abs=1e-12)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["a", "b", "A"], {}, r"named twice in a, b, a; name each once"),
        (["a", "c"], {}, r"no population 'c'; choose from 'a', 'b'"),
        (
            ["a", "b"],
            {"given": "macs"},
            r"The macs of 4 of the 4 a models are not known; compare given another complexity",
        ),
        (["a", "b"], {"given": "none", "bins": 3}, r"Bins and range belong to a complexity, and given is none"),
        (["a", "b"], {"given": "none", "range": (1.0, 2.0)}, r"Bins and range belong to a complexity"),
        (
            ["a", "b"],
            {"bins": 4},
            r"With 4 bins over the complexity range 100 to 400, a has no .* to 400; b has .* to 325: use 2 bins",
        ),
        (["a", "b"], {"range": (600.0, 700.0)}, r"a has no model in 600 to 700; b has .*use the range 100 to 400"),
        (["a", "b"], {"range": (300.0, 200.0)}, r"must start below its end"),
        (["a", "b"], {"area_to": 0.0}, r"area: upto = 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(archive: Path, names: list[str], options: Any, message: str) -> None:
    with Archive(archive) as source, pytest.raises(EdfkitError, match=message):
        compare_populations(source, names, **options)


def test_a_population_that_failed_whole_is_refused() -> None:
    failed = {"error": [NAN, NAN], "status": [FAILED, FAILED], "params": [1, 2]}
    with pytest.raises(EdfkitError, match="All 2 models of f failed, so it has no errors to compare; leave it out"):
        compare_populations(Memory(a=A, f=failed), ["a", "f"])


def test_unknown_final_errors_are_refused() -> None:
    population = {"error": [1.0, 2.0, 3.0], "error_final": [1.0, NAN, 3.0], "params": [1, 2, 3]}
    with pytest.raises(EdfkitError, match="The final error of 1 of the 3 u models is not known; compare by the other"):
        compare_populations(Memory(u=population), ["u"], error="final")


def test_ranges_that_share_nothing_are_refused() -> None:
    source = Memory(low={"error": [1.0], "params": [1]}, high={"error": [1.0], "params": [2]})
    with pytest.raises(EdfkitError, match=r"share no range of complexity \(low 1 to 1, high 2 to 2\)"):
        compare_populations(source, ["low", "high"])


def test_complexity_ranges(archive: Path) -> None:
    with Archive(archive) as source:
        known = complexity_ranges(source, "A")
    # Those of all models: what a failed one would have cost is known too.
    assert known == {"params": (1, 500), "flops": (2, 1000), "macs": None, "acts": None}
