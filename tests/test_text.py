"""What is printed of a study: its key numbers, tables that fit 80 columns whole, and nothing that is no number."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edfkit.archive import Archive
from edfkit.archive.published import Published
from edfkit.datasets import BUNDLED
from edfkit.show import text, words
from edfkit.study.compare import Comparison, Pair, compare_populations, describe_populations
from edfkit.study.complexity import complexity_study
from edfkit.study.noise import noise_study
from edfkit.study.plan import plan_comparison
from edfkit.study.point import point_study
from edfkit.study.samples import sample_study
from edfkit.study.search import search_study
from edfkit.study.selection import InMemory, Population, Source
from edfkit.study.settings import Reading

NAN = float("nan")
NOT_A_NUMBER = re.compile(r"\bNone\b|\bnan\b|\binf\b|\[\]|array\(|np\.")


@pytest.fixture(scope="module")
def digits() -> Iterator[Source]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


def render(lines: Iterable[str]) -> str:
    """Put the text together; what holds of all texts is checked: tables fit, and there is nothing that is no number."""
    parts = list(lines)
    for part in parts:
        if "\n" in part:  # a table
            assert max(map(len, part.splitlines())) <= 80, part
            assert "…" not in part
    whole = "\n".join(parts)
    assert not NOT_A_NUMBER.search(whole), whole
    return whole


def population(errors: Any, params: Any, **more: Any) -> dict[str, Any]:
    size = len(errors)
    unknown = dict.fromkeys(("macs", "acts", "lr", "wd", "seconds"), [NAN] * size)
    return {"error": errors, "error_final": errors, "params": params, "flops": params, **unknown, **more}


# Tables


def test_a_table() -> None:
    lines = text.table(["space", "models", "area"], [["a", "1,000", "0.5"], ["bb", "7", "0.25"]]).splitlines()
    assert lines[0].split() == ["space", "models", "area"]
    assert set(lines[1].strip()) == {"─"}
    assert [line.split() for line in lines[2:]] == [["a", "1,000", "0.5"], ["bb", "7", "0.25"]]
    assert lines[2].index("1,000") + 5 == lines[3].index("7") + 1  # numbers end together


TEXTS = st.text("abc  -\u65e5\u00e9", max_size=50).map(str.strip)
NUMBERS = st.integers(0, 10**7).map("{:,}".format)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], int]:
    """Headings and rows, of which some columns are text, in 80 columns even where each has one character."""
    left, right = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    row = st.tuples(*[TEXTS] * left, *[NUMBERS] * right).map(list)
    return draw(row), draw(st.lists(row, max_size=4)), left


@given(tables().filter(lambda made: bool(made[0])))
def test_a_table_is_laid_out_as_by_rich(made: tuple[list[str], list[list[str]], int]) -> None:
    headings, rows, left = made
    grid = Table(box=SIMPLE_HEAD, show_edge=False, header_style="", padding=(0, 1, 0, 0))
    for at, heading in enumerate(headings):
        longest = max(len(row[at]) for row in [headings, *rows])
        grid.add_column(Text(heading), justify="left" if at < left else "right", no_wrap=at >= left, overflow="fold",
                        min_width=None if at < left else longest)  # fmt: skip
    for row in rows:
        grid.add_row(*map(Text, row))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(grid)
    assert text.table(headings, rows, left) == capture.get().rstrip("\n")


def test_where_numbers_leave_no_room_columns_stand_closer() -> None:
    numbers = [f"{10**13:,}"] * 4
    lines = text.table(["space", *"1234"], [["ab", *numbers]]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].split() == ["ab", *numbers]
    wide = [f"{10**20:,}"] * 4  # which 80 columns cannot hold, whatever the text
    assert text.table(["space", *"1234"], [["resnet-wide", *wide]]).splitlines()[-1].split() == ["resnet-wide", *wide]


@pytest.mark.parametrize("columns", ["20", "200"])
def test_a_table_does_not_depend_on_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["a" * 100, *(f"{10**i:,}" for i in range(7))]]
    headings = ["space", *"1234567"]
    plain = text.table(headings, rows)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert text.table(headings, rows) == plain
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert plain.count("a") == 100 + 1  # folded, and the heading has one
    assert all(f"{10**i:,}" in plain for i in range(7))


@pytest.mark.parametrize("name", ["[bold]a", "[/a]", "a[1]", ":smile:"])
def test_brackets_in_a_table_are_no_markup(name: str) -> None:
    # Names come from archives, which may have any.
    assert name in text.table(["space"], [[name]])


# Key numbers


def rows_of(result: Comparison, found: str) -> Iterator[tuple[Population, list[str], list[str]]]:
    """Give each population with its row in the table, and the errors and the area that belong there."""
    for member in result.selection.populations:
        s = member.summary
        row = next(line for line in found.splitlines() if line.startswith(f"{member.name} "))
        expected = [s.min, s.quantiles[0.05], s.median, s.mean, s.quantiles[0.95]]
        yield member, row.split()[1:], [*(f"{error:.2f}" for error in expected), f"{s.area:.4f}"]


def test_a_comparison_by_bins(digits: Source) -> None:
    result = compare_populations(digits, ["resnet", "vanilla"], bins=10, permutations=100, seed=8, diverged="censor")
    found = render(text.comparison(result))
    lo, hi = result.selection.range or (0, 0)
    assert found.startswith(f"Given params: {lo:,.0f} to {hi:,.0f}, in 10 bins of equal weight.")
    for member, row, errors in rows_of(result, found):
        assert row == [f"{member.summary.models:,}", f"{member.summary.n_eff:,.1f}", *errors]
        assert words.taking_part(member.name, member.left_out, 0, "keep") in found
    (pair,) = result.pairs
    assert f"\n{pair.verdict}\n" in found
    assert pair.permutation is not None
    assert f"Exact test of D within the bins, run by run: p = {pair.permutation.p_value:.2g} +- " in found
    assert "100 permutations, seed 8." in found
    assert "adjusted for" not in found  # one pair
    assert_says_how_large(found, pair)
    assert re.search(r"parameter count .* adjustment \(10 bins\)", one_line(found))


def test_a_comparison_at_equal_complexity(digits: Source) -> None:
    result = compare_populations(digits, ["resnet", "vanilla"], seed=8, diverged="censor")
    found = render(text.comparison(result))
    assert found.split("\n")[0].split() == [
        *("space", "models", "min", "5", "%", "median", "mean", "95", "%", "area", "params")
    ]
    for member, row, errors in rows_of(result, found):
        assert member.complexity is not None
        params = np.sort(member.complexity[:, 0])[len(member.errors) // 2 - 1]
        assert row == [f"{member.summary.models:,}", *errors, *words.short(params).split()]
    said = "Populations as they are; errors in percent; area: under the EDF, from 0 to 50 %; params: median."
    assert said in found
    assert "resnet: 500 runs of 496 networks; tests and intervals count networks." in found
    assert "Errors are the smallest over the epochs on the test set" in found
    assert "left out" not in found  # nothing was
    (pair,) = result.pairs
    assert f"\n\n{pair.verdict}\n" in found
    assert "Exact test" not in found
    assert_says_how_large(found, pair)
    assert re.search(r"parameter count .* adjustment \(31 strata\)", one_line(found))


def one_line(found: str) -> str:
    return " ".join(found.split())


def assert_says_how_large(found: str, pair: Pair) -> None:
    """Check the lines on a pair whose first population is better."""
    its, said = pair.estimates, one_line(found)
    assert its is not None
    assert its.mean is not None
    assert pair.mix is not None
    assert its.balance is not None
    prob = [f"{100 * one:.0f}" for one in (its.better.prob, its.better.low, its.better.high)]
    assert f"better of two random models {pair.a}, {prob[0]} % of the time (95 % CI {prob[1]} to {prob[2]})" in said
    mean = [f"{-one:.1f}" for one in (its.mean.estimate, its.mean.high, its.mean.low)]
    assert f"mean error {pair.a} {mean[0]} points lower ({mean[1]} to {mean[2]})" in said
    estimate, low, high = its.middle.difference()
    assert f"median error {pair.a} {-estimate:.1f} points lower ({-high:.1f} to {-low:.1f})" in said
    for name, one in ((pair.a, its.tail.a), (pair.b, its.tail.b)):
        assert f"5 % quantile, {name} {one.quantile:.2f} % ({one.low:.2f} to {one.high:.2f})" in said
    lo, hi, _ = next(one for one in pair.ranges() if one[2] == "better")
    assert f"better at every threshold {pair.a} from {lo:.2f} to {hi:.2f} %" in said
    assert f"mean without adjustment {pair.a} {-pair.mix.mean.total:.1f} points lower" in said
    ratios = f"{its.balance.before:.2f} times {pair.b} before, {its.balance.after:.2f} after adjustment"
    assert f"parameter count {pair.a} {ratios}" in said
    assert its.better.p_value < 1e-4
    assert "rank test p < 0.0001" in said


def test_pairs_of_three_are_said_to_be_adjusted() -> None:
    rng = np.random.default_rng(0)
    source = InMemory({name: population(rng.uniform(0, 50, 40), rng.uniform(1, 9, 40)) for name in "abc"})
    result = compare_populations(source, list("abc"), given="none")
    found = render(text.comparison(result))
    for pair in result.pairs:
        assert (
            f"Without adjustment for size, no difference between {pair.a} and {pair.b} is shown ("
            f"p = {pair.p_adjusted:.2g}, adjusted for 3 pairs); the mean error of {pair.a} is between "
        ) in found
    assert "better at every threshold" not in found
    assert "adjustment (" not in found
    assert "without adjustment" not in found


def test_only_the_widest_ranges_of_errors_are_named() -> None:
    # Blocks of 1,000 models: A and B are ahead in turn, nine times.
    a = population(np.repeat([10.0, 21, 30, 43, 50, 63.5, 70, 74.5, 80], 1000), np.ones(9000))
    b = population(np.repeat([11.0, 20, 32, 40, 59, 60, 73, 72, 81], 1000), np.ones(9000))
    result = compare_populations(InMemory({"a": a, "b": b}), ["a", "b"], given="none")
    (pair,) = result.pairs
    assert pair.better == "shape"
    assert [kind for *_, kind in pair.ranges() if kind != "undecided"] == ["better", "worse"] * 4 + ["better"]
    said = one_line(render(text.comparison(result)))
    assert (
        "every threshold a from 30.00 to 32.00 %, 50.00 to 59.00 %, 70.00 to 72.00 % and 2 narrower ranges bet" in said
    )
    assert (
        "every threshold b from 40.00 to 43.00 %, 60.00 to 63.50 %, 73.00 to 74.50 % and 1 narrower range vio" in said
    )


def test_no_range_is_named_where_nothing_is_claimed() -> None:
    # By itself the band of one pair excludes 0 somewhere; the tests do not, among so many pairs.
    rng = np.random.default_rng(0)
    errors = {"a": rng.uniform(0, 50, 40), "b": rng.uniform(16, 66, 40)}
    errors |= {name: rng.uniform(5, 55, 40) for name in "cdefghijklmn"}
    source = InMemory({name: {"error": one} for name, one in errors.items()})
    result = compare_populations(source, list(errors), given="none")
    pair = result.pairs[0]
    assert pair.estimates is not None
    assert len(pair.estimates.difference.ranges()) > 1
    assert pair.better == "none"
    assert "better at every threshold" not in render(text.details(pair))


def test_many_pairs_are_told_as_a_matrix(digits: Source) -> None:
    names = ["nasnet", "amoeba", "pnas", "enas", "darts", "resnet"]
    result = compare_populations(digits, names, confidence=0.9)
    found = render(text.comparison(result))
    lines = found.splitlines()
    start = lines.index("At equal parameter count, how often a model of the row beats one of the column, percent:")
    matrix = lines[start + 1 : start + 8]
    assert max(map(len, matrix)) <= 80
    assert matrix[0].split() == list("123456")
    cells = {
        name: re.findall(r" {2,}(\S+)", line.removeprefix(f"  {place + 1} {name:6}"))
        for place, (name, line) in enumerate(zip(names, matrix[1:], strict=True))
    }
    assert all(row[place] == "." for place, row in enumerate(cells.values()))
    for pair in result.pairs:
        prob = pair.prob_a_better or 0
        ours, theirs = {pair.a: "+-", pair.b: "-+", "shape": "~~", "none": ("", "")}[pair.better]
        assert cells[pair.a][names.index(pair.b)] == f"{100 * prob:.0f}{ours}"
        assert cells[pair.b][names.index(pair.a)] == f"{100 - 100 * prob:.0f}{theirs}"
    counts = Counter("one" if pair.better in names else pair.better for pair in result.pairs)
    assert {"one", "shape", "none"} == set(counts)
    said = f"{counts['one']} of 15 pairs: one is shown to be better; {counts['shape']}: the shape alone differs."
    assert f"\n{said} All of this holds together with confidence 90 %." in found
    assert all(pair.verdict not in found for pair in result.pairs)


def test_a_matrix_says_what_is_not_balanced_and_what_was_not_tested() -> None:
    rng = np.random.default_rng(0)
    params = np.arange(1, 41)
    populations = {name: population(rng.uniform(0, 50, 40) + params, params + 10 * (name == "d")) for name in "abcd"}
    populations["few"] = population([1.0, 2.0], [3, 4])
    result = compare_populations(InMemory(populations), list(populations), strata=2)
    found = render(text.comparison(result))
    unbalanced = {(pair.a, pair.b) for pair in result.pairs if pair.estimates and not balanced(pair)}
    assert unbalanced == {("a", "d"), ("b", "d"), ("c", "d")}
    assert found.count("?") == 2 * len(unbalanced) + 1  # and the legend
    assert found.count("   !") == 2 * 4
    few = "a and few; b and few; c and few; d and few"
    assert f"Untested, as there are too few models of equal complexity: {few}." in found


def balanced(pair: Pair) -> bool:
    assert pair.estimates is not None
    return pair.estimates.balance is not None and pair.estimates.balance.equal


def test_a_reason_not_to_test_is_said_once() -> None:
    # Four seeds each of one network: it is not a design space, whatever it is compared with.
    rng = np.random.default_rng(0)
    one = {"error": rng.uniform(1, 9, 40), "params": np.full(40, 7), "depth": np.full(40, 3)}
    others = {
        name: {"error": rng.uniform(1, 9, 40), "params": np.arange(40), "depth": np.arange(40)}
        for name in ("a", "b", "c")
    }
    found = render(text.comparison(compare_populations(InMemory({"seeds": one, **others}), ["seeds", "a", "b", "c"])))
    assert found.count("All 40 models of seeds are runs of one network with one setting") == 1
    assert "Untested" not in found


def test_policies_are_said() -> None:
    source = InMemory({"a": population([1.0, 2.0, 90.0], [1, 2, 3], status=[0, 2, 1])})

    def said(policy: str) -> str:
        how = Reading(diverged=policy)
        return render(text.populations(describe_populations(source, ["a"], reading=how), how))

    assert said("keep").endswith("a: left out 1 failed; 1 diverged, kept.")
    assert said("censor").endswith("a: left out 1 failed; 1 diverged, counted as 100 %.")
    assert said("drop").endswith("a: left out 1 failed, 1 diverged.")


@pytest.mark.parametrize("against", [None, "vanilla"])
def test_a_point_study(digits: Source, against: str | None) -> None:
    study = point_study(digits, "resnet", against, small=10, large=100, trials=50, seed=2)
    found = render(text.point(study))
    other = against or "resnet"
    assert found.startswith(f"The best of 10 resnet models against the best of 100 {other} models:")
    wins = study.wins
    assert [f"{p:.4f}" for p in (wins.small_wins, wins.large_wins, wins.tie)] == next(
        line.split()[1:] for line in found.splitlines() if line.startswith("exact")
    )
    assert "50 trials, seed 2" in found
    assert study.resampled is not None
    assert f"{study.resampled.large_wins:.4f}" in found
    mean = study.mean
    assert f"search is {abs(mean):.2f} points {'higher' if mean > 0 else 'lower'}." in found
    assert f"two searches of 10 and 100 models differ by {study.gap.either:.2f} points or more with" in found
    assert "nothing" not in found


def test_a_gap_of_other_sizes_says_which() -> None:
    # The first population has no 150 models, so that the gap is that of two searches of all it has at most.
    errors = np.arange(200) / 2
    source = InMemory({"few": population(errors[:50], errors[:50]), "many": population(errors, errors)})
    study = point_study(source, "few", "many", small=10, large=150)
    assert (study.gap.small, study.gap.large) == (10, 50)
    assert "few alone: two searches of 10 and 50 models differ by " in render(text.point(study))


def test_every_study_says_what_was_left_out_and_what_became_of_diverged_runs() -> None:
    status = np.array([0, 0, 1, 2] * 5)
    errors = np.where(status == 2, np.nan, np.arange(20.0))
    source = InMemory({"some": {"error": errors, "error_final": errors, "params": np.arange(20), "status": status}})
    studies = [
        text.point(point_study(source, "some", small=2, large=5)),
        text.search(search_study(source, ["some"], m=[1], given="none")),
        text.samples(sample_study(source, "some")),
        text.complexity(complexity_study(source, ["some"])),
        text.noise(noise_study(source, ["some"])),
    ]
    for lines in studies:
        assert "some: left out 5 failed; 5 diverged, kept." in render(lines)
    dropped = search_study(source, ["some"], m=[1], given="none", diverged="drop")
    assert "some: left out 5 failed, 5 diverged." in render(text.search(dropped))


def test_a_search(digits: Source) -> None:
    study = search_study(digits, ["resnet", "vanilla"], m=[1, 1000], cost="seconds")
    found = render(text.search(study))
    assert found.startswith(f"At equal parameter count, in {study.selection.strata} common strata.\n")
    for curve in study.curves:
        best = curve.best
        assert f"{curve.name}: {best.models:,} models, n_eff {best.n_eff:,.1f}, drawn with replacement" in found
        low, high = curve.interval[0]
        assert f"{low:.2f} to {high:.2f}" in found
        for i in range(2):
            assert f"{best.error[i]:.2f}" in found
            assert f"{curve.median_low[i]:.2f} to {curve.median_high[i]:.2f}" in found
        assert curve.cost_of_one is not None
        assert f"{1000 * curve.cost_of_one:,.4g}" in found
    (pair,) = study.pairs
    assert re.search(
        r"With 1 model, the best of resnet is expected to be lower than the best of vanilla: "
        rf"{-pair.difference[0]:.1f} points at m = 1 \(95 % CI {-pair.high[0]:.1f} to {-pair.low[0]:.1f}\)\. "
        rf"With more than {pair.most} models no claim is made: the populations hold too few\.\n"
        r"All claims and their intervals hold together with confidence 95 %\.",
        found,
    )
    assert "10 %: 29, 5 %: 59, 1 %: 299, 0.1 %: 2,995" in found
    one = render(text.search(search_study(digits, ["resnet"], m=[1])))
    assert "seconds" not in one
    assert one.startswith("Not adjusted for complexity: one space.\nresnet: 500 runs of 496 networks")


def test_a_search_without_a_difference_says_what_is_excluded(digits: Source) -> None:
    study = search_study(digits, ["nasnet", "darts"], m=[4, 1], confidence=0.9)
    (pair,) = study.pairs
    assert (
        f"No difference in the expected best error of nasnet and darts is shown up to m = 4: there, that of nasnet is "
        f"between {-pair.low[0]:.2f} points lower and {pair.high[0]:.2f} points higher (90 % CI)."
    ) in render(text.search(study))
    some = render(text.search(search_study(digits, ["nasnet", "amoeba"])))
    assert "With 1 to 4 models, the best of amoeba is expected to be lower than the best of nasnet" in some
    assert "No difference is shown for m = 8. With more than 9 models no claim is made" in some


def test_searches_of_many_pairs_are_a_table_of_claims(digits: Source) -> None:
    study = search_study(digits, ["nasnet", "amoeba", "pnas", "enas"], m=[1, 2, 64])
    found = render(text.search(study))
    claims = [(pair, run) for pair in study.pairs for run in pair.claims]
    for pair, run in claims:
        name = pair.better[run[0]]
        assert re.search(
            rf"^{name} +{words.other(pair, name)} +{words.some(pair.m[run].tolist())} ", found, re.MULTILINE
        )
    shown = sum(bool(pair.claims) for pair in study.pairs)
    assert f"{shown} of 6 pairs: the best of one is expected to be lower; {6 - shown}: no difference is shown." in found
    assert re.search(r"With more than \d+ to \d+ models no claim is made", found)


def test_a_search_says_why_it_compares_nothing(digits: Source) -> None:
    study = search_study(digits, ["resnet", "resnet_rng1"], m=[1])
    found = render(text.search(study))
    assert study.pairs[0].no_claim is not None
    assert study.pairs[0].no_claim in found
    assert "hold together" not in found


def test_samples(digits: Source) -> None:
    study = sample_study(digits, "resnet", trials=5, seed=3)
    found = render(text.samples(study))
    for values in (study.to_truth, study.to_population):
        assert all(f"{value:.4f}" in found for value in values)
    assert study.simulated is not None
    assert all(f"{value:.4f}" in found for value in (*study.simulated.mean, *study.simulated.sd))
    assert all(f"{one.mean:.2f}" in found for one in study.samples.values())
    assert "seed 3" in found
    assert "simulated" not in render(text.samples(sample_study(digits, "resnet")))


def test_a_plan(digits: Source) -> None:
    study = plan_comparison(digits, ["vanilla", "resnet"], trials=50)
    found, needed = render(text.plan(study)), study.needed
    assert found.startswith(f"{needed.models:,} models of each: compare shows resnet to be better")
    assert f"probability {needed.power:.2f}" in found
    assert needed.models_interval is not None
    assert "In the pilots resnet is better than vanilla 90 % of the time (95 % CI 87 to 92)" in found.replace("\n", " ")
    assert "it takes {} to {} models.".format(*needed.models_interval) in found.replace("\n", " ")
    alone = {
        ("shift", 1.5): "compare shows resnet to be better than a space with errors 1.5 points higher",
        ("shift", -1.0): "compare shows a space with errors 1 point lower to be better than resnet",
        ("width", 4.0): "the 90 % CI of the mean difference is at most 4 points wide",
        ("equivalent", 3.0): "compare shows that the mean errors differ by less than 3 points",
    }
    for (goal, points), said in alone.items():
        one = plan_comparison(digits, ["resnet"], trials=20, alpha=0.1, **{goal: points})  # type: ignore[arg-type]
        lines = render(text.plan(one)).replace("\n", " ")
        assert f"models of each: {said} with probability" in lines
        assert "Both spaces are taken to be like resnet." in lines
    wide = render(text.plan(plan_comparison(digits, ["resnet", "vanilla"], trials=20, width=9.0))).replace("\n", " ")
    assert "In the pilots the mean error of resnet minus that of vanilla is -40.36 points (95 % CI -43.06 to" in wide


def test_a_plan_says_how_much_depends_on_few_pilots() -> None:
    errors = np.linspace(20, 40, 24)
    source = InMemory({"a": {"error": errors}, "b": {"error": errors + 1}})
    lines = render(text.plan(plan_comparison(source, ["a", "b"], trials=20, given="none")))
    assert "or more than any number, as the pilots do not show which is better." in lines.replace("\n", " ")
    assert "a has only 24 models: the plan is as good as the pilots are.\nb has only 24 models" in lines
    assert "Not adjusted for complexity. 20 simulated comparisons, seed 0." in lines


def test_complexity(digits: Source) -> None:
    study = complexity_study(digits, ["resnet", "vanilla"], buckets=4, bins=40)
    found = render(text.complexity(study))
    for space in study.spaces:
        assert f"{space.rank_correlation:+.2f}" in found
        for mean, sd, count in zip(space.buckets.mean, space.buckets.sd, space.buckets.counts, strict=True):
            assert f"{mean:.2f} +- {2 * sd:.2f} ({count:,})" in found
    assert f"use {study.advice.most_bins} bins" in found
    assert "10 bins over this range leave none empty." in render(text.complexity(complexity_study(digits, ["resnet"])))


def test_noise() -> None:
    rng = np.random.default_rng(0)
    curves = (rng.uniform(5, 50, (200, 1)) + rng.normal(0, 0.5, (200, 6))).round(2)
    rates = {"lr": 10 ** rng.uniform(-2, 0, 200), "wd": 10 ** rng.uniform(-4, -2, 200)}
    one = population(curves.min(axis=1), np.arange(200.0), test_error=curves) | rates
    one["error_final"] = curves[:, -1]
    other = one | {"error": one["error"] + rng.normal(0, 0.2, 200).round(2)}
    source = InMemory({"a": one, "b": other | {"error_final": [NAN] * 200}})
    study = noise_study(source, ["a", "b"], same_models=True, one_network=True, default=(0.1, 1e-3))
    found = render(text.noise(study))
    a = study.spaces[0]
    assert a.seeds is not None
    assert a.last is not None
    assert a.epochs is not None
    assert a.default is not None
    assert a.rates is not None
    assert a.rates.best is not None
    assert study.share is not None
    assert f"mean {a.seeds.mean:.2f} %, standard deviation {a.seeds.sd:.3f}" in found
    low, high = a.last.mean_interval
    assert f"the last epoch: {a.last.mean:.3f} ({low:.3f} to {high:.3f}) points lower in the mean" in found
    assert all(f"{e}: {r:.2f}" in found for e, r in zip(a.epochs.epochs, a.epochs.spearman, strict=True))
    assert f"near the default rates: {a.default.models:,} models, mean rank {a.default.mean_rank:.2f}" in found
    assert f"lowest mean rank: {a.rates.mean_rank[a.rates.best]:.2f}, at lr" in found
    assert f"{100 * study.share.share:.1f} % (" in found
    assert found.count("against the last epoch") == 1  # that of b is not known


# Extremes


SMALL = InMemory(
    {
        "one": population([5.0], [3]),
        "two": population([5.0, 5.0], [1, 4], test_error=[[6.0, 5.0], [6.0, 5.0]]),
        "three": population([5.0, 6.0, 7.0], [1, 2, 4], test_error=[[9.0, 5.0], [9.0, 6.0], [9.0, 7.0]]),
        "zero": population([0.0, 0.0], [1, 4]),
        "hundred": population([100.0, 100.0], [1, 4], status=[1, 1]),
    }
)


def test_small_comparisons() -> None:
    render(text.comparison(compare_populations(SMALL, ["one", "two", "zero", "hundred"], given="none")))
    render(text.comparison(compare_populations(SMALL, ["two", "three", "zero", "hundred"], permutations=3)))
    found = render(text.comparison(compare_populations(SMALL, ["two", "three"], bins=1)))
    assert "in 1 bin, which normalises nothing within the range" in found
    found = render(text.comparison(compare_populations(SMALL, ["two", "three"])))
    assert "Too few models of two and three of equal complexity to compare: they are worth 2." in found
    assert "better of two" not in found
    # A dozen of each have numbers that do not vary.
    same = InMemory({name: population([error] * 12, [3] * 12) for name, error in (("a", 5.0), ("b", 5.0), ("c", 0.0))})
    found = render(text.comparison(compare_populations(same, ["a", "b", "c"], permutations=3, equivalent=1)))
    assert "no difference between a and b is shown (p = 1, adjusted for 3 pairs)" in found
    assert re.search(r"c has lower error than b \(p [^)]*, adjusted for 3 pairs\)", found)


@pytest.mark.parametrize("names", [["one"], ["two"], ["three"], ["zero"], ["hundred"], ["two", "three"]])
def test_small_point_studies(names: list[str]) -> None:
    render(text.point(point_study(SMALL, *names, small=1, large=1, trials=2)))


@pytest.mark.parametrize("name", ["one", "two", "three", "zero", "hundred"])
def test_small_searches_and_samples(name: str) -> None:
    render(text.samples(sample_study(SMALL, name, trials=2)))
    render(text.search(search_study(SMALL, [name], given="none", m=[1, 10])))


@pytest.mark.parametrize("names", [["two"], ["three", "two"], ["zero", "hundred"]])
def test_small_complexities(names: list[str]) -> None:
    render(text.complexity(complexity_study(SMALL, names, buckets=3)))


@pytest.mark.parametrize("name", ["one", "two", "three", "zero", "hundred"])
def test_small_noise_studies(name: str) -> None:
    render(text.noise(noise_study(SMALL, [name], one_network=name != "one")))


def test_noise_of_which_nothing_is_known() -> None:
    found = render(text.noise(noise_study(InMemory({"a": {"error": [5.0, 6.0, 7.0]}}), ["a"])))
    assert "nothing to measure: no curves, no values after the last epoch" in found


def test_noise_of_models_that_do_not_differ() -> None:
    render(text.noise(noise_study(SMALL, ["two", "zero"], same_models=True)))


def test_a_range_without_models_is_not_advised_to_take_no_bins(digits: Source) -> None:
    found = render(text.complexity(complexity_study(digits, ["resnet"], range=(1.0, 2.0), buckets=2)))
    assert "use 0 bins" not in found


@pytest.fixture(scope="module")
def large() -> Source:
    """Give five populations of long names, many models, and large numbers."""
    rng = np.random.default_rng(0)
    size = 25_000
    return InMemory(
        {
            letter * 60: population(
                (90 + place + rng.gamma(2, 1, size).clip(0, 5)).round(2),
                rng.uniform(1e11, 9e11, size).round(),
                seconds=rng.uniform(1e5, 1e7, size),
            )
            for place, letter in enumerate("abcde")
        }
    )


NAMES = [letter * 60 for letter in "abcde"]


def test_large_comparisons(large: Source) -> None:
    found = render(text.comparison(compare_populations(large, NAMES[:3])))
    assert "24,9" in found or "25,000" in found
    render(text.populations(describe_populations(large, NAMES), Reading()))


def test_large_points_searches_and_samples(large: Source) -> None:
    render(text.point(point_study(large, *NAMES[:2], small=10_000, large=25_000, trials=2)))
    study = search_study(large, NAMES[:2], m=[1, 4096, 10**9], cost="seconds")
    found = render(text.search(study))
    for curve in study.curves:
        assert all(f"{error:.2f}" in found for error in curve.best.error)
        assert curve.cost_of_one is not None
        assert all(f"{m * curve.cost_of_one:,.4g}" in found for m in curve.best.m.tolist())
    assert "16,384" in render(text.samples(sample_study(large, NAMES[0])))


@pytest.mark.parametrize("spaces", [1, 3, 5])
def test_large_complexities_lose_no_digit(large: Source, spaces: int) -> None:
    study = complexity_study(large, NAMES[:spaces], buckets=3)
    found = render(text.complexity(study))
    for space in study.spaces:
        for mean, count in zip(space.buckets.mean, space.buckets.counts, strict=True):
            assert f"{mean:.2f}" in found
            assert f"{count:,}" in found


def test_large_noise(large: Source) -> None:
    render(text.noise(noise_study(large, NAMES[:2], same_models=True, one_network=True)))


# Real data


def test_real_complexities_of_five_spaces_lose_no_digit(published: Path) -> None:
    with Published(published) as source:
        study = complexity_study(source, ["resnext-a_in", "resnext-b_in", "nasnet_in", "enas_in", "darts_in"])
    found = render(text.complexity(study))
    for space in study.spaces:
        for mean, sd, count in zip(space.buckets.mean, space.buckets.sd, space.buckets.counts, strict=True):
            if count > 1:
                assert f"{mean:.2f}" in found
                assert f"{2 * sd:.2f}" in found
            if count:
                assert f"({count:,})" in found


def test_real_studies(published: Path) -> None:
    names = ["resnext-a_in", "resnext-b_in"]
    with Published(published) as source:
        render(text.comparison(compare_populations(source, names, permutations=10)))
        render(text.point(point_study(source, *names, small=10, large=100)))
        render(text.search(search_study(source, names, cost="flops")))
        render(text.samples(sample_study(source, "resnext-a_in")))
        render(text.noise(noise_study(source, names)))


def test_a_real_gap_that_nothing_reaches(published: Path) -> None:
    with Published(published) as source:
        found = render(text.point(point_study(source, "resnext-a_in", small=2, large=100)))
    assert re.search(r"two searches of 2 and 100 models differ by \d+\.\d\d points or more", found)
