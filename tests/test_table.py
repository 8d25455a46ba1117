"""Tables give the numbers of the models themselves, however these are cut into parts and wherever they are counted."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import strategies as shared
from dask.distributed import LocalCluster
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive, write, writer
from edfkit.archive.schema import REQUIRED_ATTRS, STATUS, VARIABLES, check_values
from edfkit.stats.bins import bin_index, complexity_weights, default_bins
from edfkit.stats.edf import Floats, area, edf, effective_size, mean, quantiles
from edfkit.stats.two_sample import prob_better, summarize
from edfkit.study import counting as table
from edfkit.study.counting import (
    Table,
    Terms,
    choose_bins,
    complexity_extents,
    tabulate,
    tabulate_archive,
    tabulate_at_once,
    tabulate_populations,
)
from edfkit.study.selection import select

FINISHED, DIVERGED, FAILED = range(len(STATUS))
ROOT = dict.fromkeys(REQUIRED_ATTRS, "test") | {"recipe": "{}"}
NAN = float("nan")


def same(a: Table, b: Table) -> bool:
    """Whether two tables hold the same, to the last bit."""
    return all(
        np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in zip(parts(a), parts(b), strict=True)
    )


def parts(one: Table) -> list[Any]:
    return [getattr(one, name) for name in Table.__dataclass_fields__]


def population(models: int, seed: int, images: int = 10_000) -> dict[str, NDArray[Any]]:
    """Models whose error falls with their size, on the grid of a test set; some diverged, some failed."""
    rng = np.random.default_rng(seed)
    params = rng.integers(10_000, 1_000_000, models)
    missed = rng.binomial(images, 0.05 + 0.1 * rng.random(models) + 5_000 / params)
    status = rng.choice(3, models, p=(0.9, 0.07, 0.03)).astype(np.int8)
    error = np.where(status == FAILED, NAN, np.where(status == DIVERGED, 90.0, missed * 100 / images))
    return {"error": error, "error_final": np.minimum(100, error + 0.25), "params": params, "status": status}


def written(path: Path, chunk_bytes: int = 2**20, **populations: dict[str, NDArray[Any]]) -> Path:
    """Write populations to an archive with chunks of some size."""
    columns = {}
    for name, given_ in populations.items():
        unknown = {v: np.full(len(given_["error"]), NAN) for v, spec in VARIABLES.items() if spec.required}
        columns[name] = unknown | {"id": np.arange(len(given_["error"])).astype(str)} | given_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_CHUNK_BYTES", chunk_bytes)
        write(path, columns, ROOT)
    return path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_AT_ONCE", 97)
    monkeypatch.setattr(table, "_OF_A_TASK", 1_000)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "two.h5"
    return written(path, 512, a=population(3_333, 1), b=population(2_500, 2))


def equal_to_the_study(path: Path, **options: Any) -> None:
    """Check what is counted against the models selected in memory."""
    with Archive(path) as source:
        selected = select(source, ["a", "b"], **{"given": "params"} | options)
    tables = tabulate_populations(path, ["A", "b"], **options)
    one, other = selected.populations
    assert list(tables) == [one.name, other.name]
    for member, counted in ((one, tables["a"]), (other, tables["b"])):
        assert (counted.terms.range, counted.terms.bins) == (selected.range, selected.bins)
        assert (counted.left_out, counted.diverged) == (member.left_out, member.diverged)
        assert list(counted.left_out) == list(member.left_out)
        assert counted.models == len(member.errors)
        errors, weights, bins, counts = counted.to_sample()
        models = [np.repeat(x, counts) for x in (errors, errors * 0 if bins is None else bins)]
        order = np.lexsort((member.bins, member.errors)) if member.bins is not None else np.argsort(member.errors)
        assert models[0].tolist() == member.errors[order].tolist()
        if member.bins is not None and member.weights is not None and weights is not None:
            assert models[1].tolist() == member.bins[order].tolist()
            assert np.repeat(weights, counts) == pytest.approx(member.weights[order], rel=1e-14)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bins": 4},
        {"bins": 25},
        {"given": "none"},
        {"range": (100_000.0, 400_000.5)},
        {"range": (100_000.0, 400_000.0), "bins": 3},
        {"error": "final"},
        {"diverged": "drop"},
        {"diverged": "censor"},
        {"given": "none", "diverged": "drop", "error": "final"},
    ],
    ids=str,
)
def test_streaming_gives_what_memory_gives(two: Path, options: dict[str, Any]) -> None:
    equal_to_the_study(two, **options)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("images", [360, 777, 50_000])
def test_any_test_set_has_a_grid(tmp_path: Path, images: int) -> None:
    equal_to_the_study(written(tmp_path / "x.h5", a=population(999, 3, images), b=population(500, 4, images)))


def test_a_table_by_hand() -> None:
    # The bins of 100 to 400 part at 250; 99 and 401 are outside, 250 is in the upper bin, as is the end, 400.
    errors = [10.0, 10.0, 30.0, 10.0, 30.0, 50.0, 50.0, NAN]
    params = [100, 249, 250, 400, 401, 99, 200, 300]
    status = [FINISHED, FINISHED, DIVERGED, FINISHED, DIVERGED, FINISHED, FINISHED, FAILED]
    terms = Terms("params", (100.0, 400.0), 2)
    counted = tabulate(errors, status, params, terms)
    assert counted.values.tolist() == [10.0, 30.0, 50.0]
    assert counted.counts.tolist() == [[2, 1], [0, 1], [1, 0]]
    assert counted.left_out == {"failed": 1, "params below the range": 1, "params above the range": 1}
    assert (counted.models, counted.diverged) == (5, 1)
    sample, weights, bins, counts = counted.to_sample()
    assert sample.tolist() == [10.0, 10.0, 30.0, 50.0]
    assert weights is not None
    assert weights.tolist() == pytest.approx([1 / 6, 1 / 4, 1 / 4, 1 / 6])
    assert bins is not None
    assert (bins.tolist(), counts.tolist()) == ([0, 1, 1, 0], [2, 1, 1, 1])
    assert effective_size(weights, counts) == pytest.approx(1 / (3 * (1 / 6) ** 2 + 2 * (1 / 4) ** 2))

    dropped = tabulate(errors, status, params, Terms("params", (100.0, 400.0), 2, diverged="drop"))
    assert dropped.counts.tolist() == [[2, 1], [1, 0]]
    assert dropped.left_out == {"failed": 1, "diverged": 2, "params below the range": 1}
    censored = tabulate(errors, status, params, Terms("params", (100.0, 400.0), 2, diverged="censor"))
    assert censored.values.tolist() == [10.0, 50.0, 100.0]
    assert censored.diverged == 1


# --- Laws


@st.composite
def models(draw: st.DrawFn, size: int | None = None) -> tuple[Floats, NDArray[np.int8], Floats]:
    """Errors, statuses and complexities; the first and the last complexity are 0 and 1,000, and these are finished."""
    size = size or draw(st.integers(2, 40))
    any_float = st.lists(st.floats(0, 100), min_size=size, max_size=size).map(np.array)
    errors = draw(shared.errors(size, size) | any_float)
    complexity = draw(shared.complexities(size, size))
    complexity[[0, -1]] = 0.0, 1_000.0
    status = np.array(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)), np.int8)
    status[[0, -1]] = FINISHED
    return np.where(status == FAILED, NAN, errors), status, complexity


def terms() -> st.SearchStrategy[Terms]:
    lo, hi = st.sampled_from([0.0, 3.0, 7.3]), st.sampled_from([12.0, 23.0, 999.0, 1_000.0])
    bins = st.none() | st.integers(1, 12)
    diverged = st.sampled_from(["keep", "drop", "censor"])
    with_range = st.builds(Terms, st.just("params"), st.tuples(lo, hi), bins, diverged=diverged)
    return with_range | st.builds(Terms, diverged=diverged)


@given(models(), terms(), st.data())
def test_tables_of_parts_add_up_in_any_order(
    sample: tuple[Floats, NDArray[np.int8], Floats], terms: Terms, data: st.DataObject
) -> None:
    size = len(sample[0])
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=5)))
    pieces = [
        tabulate(sample[0][start:stop], sample[1][start:stop], sample[2][start:stop], terms)
        for start, stop in zip([0, *cuts], [*cuts, size], strict=True)
    ]
    whole = tabulate(*sample, terms)
    assert same(reduce(add, data.draw(st.permutations(pieces))), whole)
    if len(pieces) > 2:
        a, b, c = pieces[:3]
        assert same((a + b) + c, a + (b + c))
        assert same(a + b, b + a)
    left_out = whole.failed + whole.dropped + whole.below + whole.above
    assert whole.models + left_out == size


@given(models(), terms())
def test_weighted_functions_give_what_they_give_with_the_models(
    sample: tuple[Floats, NDArray[np.int8], Floats], terms: Terms
) -> None:
    errors, status, complexity = sample
    terms = Terms(terms.given, terms.range, terms.range and (terms.bins or 3), diverged=terms.diverged)
    counted = tabulate(*sample, terms)
    takes = terms.takes(status)
    percent = np.where(status == DIVERGED, 100.0, errors)[takes] if terms.diverged == "censor" else errors[takes]
    weights = None
    if terms.range is not None and terms.bins is not None:
        index = bin_index(complexity[takes], *terms.range, terms.bins)
        full = bool(np.bincount(index[index >= 0], minlength=terms.bins).all())
        if not full:
            with pytest.raises(EdfkitError, match=r"has no model in|has no models"):
                counted.to_sample()
        assume(full)
        weights = complexity_weights(complexity[takes], *terms.range, terms.bins)
    cells, of_one, _, counts = counted.to_sample()
    table_sample = cells, counts * (1.0 if of_one is None else of_one)
    expected = summarize(percent, weights)
    summary = summarize(cells, of_one, counts=counts)
    assert (summary.models, summary.min, summary.quantiles) == (expected.models, expected.min, expected.quantiles)
    assert summary.n_eff == pytest.approx(expected.n_eff, rel=1e-12)
    for function in (mean, lambda e, w=None: area(e, 30.0, w)):
        assert function(*table_sample) == pytest.approx(function(percent, weights), rel=1e-12, abs=1e-14)
    steps, heights = edf(*table_sample)
    assert steps.tolist() == edf(percent, weights)[0].tolist()
    assert heights == pytest.approx(edf(percent, weights)[1], rel=1e-12)
    assert quantiles(table_sample[0], [0.1, 0.9, 1.0], table_sample[1]).tolist() == (
        quantiles(percent, [0.1, 0.9, 1.0], weights).tolist()
    )
    assert prob_better(*(table_sample[0], [40.0]), table_sample[1]) == pytest.approx(
        prob_better(percent, [40.0], weights)
    )


@given(models(), models(), st.sampled_from(["keep", "drop", "censor"]), st.sampled_from([1, 3, 20]))
def test_the_default_bins_are_those_of_the_models(a: Any, b: Any, diverged: str, copies: int) -> None:
    a, b = ([np.tile(values, copies) for values in sample] for sample in (a, b))
    range_ = (0.0, 1_000.0)
    terms = Terms("params", range_, diverged=diverged)
    tables = {name: tabulate(sample[0], sample[1], sample[2], terms) for name, sample in (("a", a), ("b", b))}
    models = {name: s[2][terms.takes(s[1])] for name, s in (("a", a), ("b", b))}
    bins = choose_bins(tables)
    assert bins == default_bins(models, *range_)
    for name, sample in (("a", a), ("b", b)):
        coarse = tables[name].binned(bins)
        assert same(coarse, tabulate(sample[0], sample[1], sample[2], Terms("params", range_, bins, diverged=diverged)))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e7), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_fine_bins_part_models_as_each_number_of_bins_does(lo: float, width: float, at: list[float]) -> None:
    hi = lo + width
    edges = np.concatenate([np.linspace(lo, hi, bins + 1) for bins in range(1, 11)])
    on_and_beside = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
    complexity = np.append(on_and_beside, lo + width * np.array(at))
    errors, status = np.zeros(complexity.size), np.zeros(complexity.size)
    fine = tabulate(errors, status, complexity, Terms("params", (lo, hi)))
    for bins in range(1, 11):
        assert same(fine.binned(bins), tabulate(errors, status, complexity, Terms("params", (lo, hi), bins)))


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e7),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.integers(0, 10**9),
    st.sampled_from(["keep", "drop", "censor"]),
)
def test_fine_bins_part_models_as_each_way_does(
    lo: float, width: float, at: list[float], seed: int, diverged: str
) -> None:
    hi = lo + width
    middle = (lo + hi) / 2
    every = tuple((bins, span) for span in ((lo, hi), (lo, middle), (middle, hi)) for bins in (5, 10, 20, 40))
    ends = np.concatenate([np.linspace(*span, bins + 1) for bins, span in every])
    on_and_beside = np.concatenate([ends, np.nextafter(ends, -np.inf), np.nextafter(ends, np.inf)])
    complexity = np.concatenate([on_and_beside, lo + width * np.array(at), [lo - width, hi + width]])
    rng = np.random.default_rng(seed)
    errors, status = rng.integers(0, 5, complexity.size) * 25.0, rng.choice(3, complexity.size, p=[0.6, 0.3, 0.1])
    fine = tabulate(errors, status, complexity, Terms("params", (lo, hi), None, "best", diverged, every))
    for bins, span in every:
        once = tabulate(errors, status, complexity, Terms("params", span, bins, diverged=diverged))
        assert same(fine.binned(bins, span), once)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.booleans())
def test_places_are_those_of_a_search(errors: list[float], crowd: bool) -> None:
    points = np.array(errors)
    if crowd:  # neighbours that no list of cells can part
        points = np.concatenate([points, *(np.nextafter(points, i) for i in (0.0, 100.0)), points * (1 + 3e-16)])
    steps = np.unique(points)
    assert table._last_step(steps, points).tolist() == np.unique(points, return_inverse=True)[1].tolist()


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300), st.booleans())
def test_errors_on_the_usual_grid_are_placed_as_others(missed: list[int], off: bool) -> None:
    percent = np.tile(np.array(missed) * 100 / 10_000, -(-20_000 // len(missed)))
    if off:
        percent[-1] = np.nextafter(50.0, 0)
    steps, place = table._places(percent)
    assert steps.tolist() == np.unique(percent).tolist()
    assert place.tolist() == np.unique(percent, return_inverse=True)[1].tolist()
    counted = tabulate(percent, np.zeros(percent.size))
    values, counts = np.unique(percent, return_counts=True)
    assert (counted.values.tolist(), counted.counts[:, 0].tolist()) == (values.tolist(), counts.tolist())


# --- Refusals


def refused(expected: str) -> Any:
    return pytest.raises(EdfkitError, match=expected)


def test_refuses_errors_on_no_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "CELLS", 1_000)
    rng = np.random.default_rng(0)
    terms = Terms("params", (0.0, 1.0), 4)
    first, second = (tabulate(rng.random(250), np.zeros(250), rng.random(250), terms) for _ in range(2))
    with refused(r"The errors have 500 different values or more, but a table of 4 bins holds 250: round them to"):
        first + second
    with refused(r"have 251 different values"):
        tabulate(rng.random(251), np.zeros(251), rng.random(251), terms)
    with refused(r"have 1 different values or more, but a table of 1001 bins holds 0: .* use fewer bins"):
        tabulate([1.0], [0], [0.5], Terms("params", (0.0, 1.0), 1_001))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (([1.0, NAN], [0, 1]), "The best error of 1 of 2 models is not known; compare by the other"),
        (([1.0, 101.0], [0, 0]), "percent from 0 to 100"),
        (([1.0, 2.0], [0]), "one error, status and complexity for each"),
        (([1.0], [0], [NAN], Terms("params", (0.0, 1.0), 1)), "The params of 1 of 1 models is not known"),
        (([1.0], [0], None, Terms("params", (0.0, 1.0), 1)), "one error, status and complexity for each"),
        (([1.0], [0], [1.0], Terms("params", (1.0, 0.0), 1)), "must start below its end"),
        (([1.0], [0], [1.0], Terms("params", (1.0, 0.0))), "must start below its end"),
        (([1.0], [0], [1.0], Terms("params", (0.0, 1.0), 0)), "a number from 1 to"),
    ],
)
def test_refuses_models_that_cannot_be_counted(arguments: Any, expected: str) -> None:
    with refused(expected):
        tabulate(*arguments)


def test_refuses_terms_and_tables_that_do_not_fit() -> None:
    for wrong in ({"given": "params"}, {"range": (0.0, 1.0)}, {"bins": 2}):
        with refused("set them together"):
            Terms(**wrong)
    with refused("there is none: set a range too"):
        Terms(ways=((2, (0.0, 1.0)),))
    for bins, ways_ in ((3, ((2, (0.0, 1.0)),)), (None, ((2, (0.0, 1.5)),)), (None, ((2, (-1.0, 1.0)),))):
        with refused("ways inside the range"):
            Terms("params", (0.0, 1.0), bins, ways=ways_)
    a = tabulate([1.0, 2.0], [0, 0], [0.0, 1.0], Terms("params", (0.0, 1.0)))
    b = tabulate([1.0, 2.0], [0, 0], [0.0, 1.0], Terms("params", (0.0, 1.0), 2))
    with refused("do not add up"):
        a + b
    with refused("choose one with binned"):
        a.to_sample()
    for counted, bins, have in ((a, 11, "10 other ways are open"), (b, 3, "they were counted in 2")):
        with refused(f"{bins} bins were asked for .* {have}:"):
            counted.binned(bins)
    with refused("a population has no model in 0.3333333333 to 0.6666666667: use fewer bins"):
        a.binned(3).to_sample()
    with refused("has no models, .*'failed': 1"):
        tabulate([NAN], [FAILED]).to_sample()


@pytest.mark.usefixtures("small_parts")
def test_models_are_counted_at_once_as_one_by_one(two: Path) -> None:
    several = [
        Terms(diverged="drop"),
        Terms("params", (50_000.0, 700_000.0), 7, diverged="drop"),
        Terms("params", (50_000.0, 700_000.0), diverged="drop"),
        Terms("params", (1.0, 2.0), 3, diverged="drop"),
    ]
    with Archive(two) as opened:
        for counted, terms in zip(tabulate_at_once(opened, "a", several), several, strict=True):
            assert same(counted, tabulate_archive(two, "a", terms))
        assert opened.models("a") == 3_333  # still open
    for others in ([], [Terms(), Terms(error="final")], [Terms(), Terms(diverged="drop")]):
        with refused("read once for all of them"):
            tabulate_at_once(two, "a", others)


def test_a_common_range_without_width(tmp_path: Path) -> None:
    def models(params: list[int]) -> dict[str, NDArray[Any]]:
        size = len(params)
        return population(size, 1) | {
            "error": np.arange(1.0, size + 1),
            "status": np.zeros(size, int),
            "params": np.array(params),
        }

    equal_to_the_study(written(tmp_path / "one.h5", a=models([7, 7, 7]), b=models([7, 7])))
    touching = written(tmp_path / "two.h5", a=models([7, 5, 7]), b=models([9, 7]))
    with Archive(touching) as source, refused("must start below its end"):
        select(source, ["a", "b"], given="params")
    with refused("must start below its end"):
        tabulate_populations(touching, ["a", "b"])
    apart = written(tmp_path / "three.h5", a=models([5, 6]), b=models([7, 8]))
    with refused("share no range"):
        tabulate_populations(apart, ["a", "b"])


def test_refuses_a_population_that_has_nothing(tmp_path: Path) -> None:
    nothing = population(5, 1) | {"status": np.full(5, FAILED, np.int8), "error": np.full(5, NAN)}
    unknown = population(5, 1) | {"params": np.full(5, NAN), "status": np.zeros(5, np.int8), "error": np.ones(5)}
    path = written(tmp_path / "x.h5", nothing=nothing, unknown=unknown)
    with refused("No model of nothing takes part"):
        tabulate_populations(path, ["nothing"])
    with refused("The params of 5 of the 5 unknown models are not known"):
        complexity_extents(path, "unknown", ["params"])
    with refused("has no population 'x'"):
        tabulate_archive(path, "x")


# --- Reading piece by piece


def test_pieces_of_an_archive_are_what_it_holds(two: Path) -> None:
    with Archive(two) as source:
        for start, stop, rows in ((0, None, 1), (5, 2_001, 100), (64, 64, 10), (3_000, 10_000, 10**6)):
            pieces = list(source.chunks("A", ["id", "error", "params"], start, stop, rows))
            for variable in ("id", "error", "params"):
                read = [piece[variable] for piece in pieces]
                whole = source.read("a", variable)[start:stop]
                assert np.array_equal(np.concatenate(read) if read else whole[:0], whole, equal_nan=variable == "error")
        sizes = [len(piece["error"]) for piece in source.chunks("a", ["error", "status"], 5, 2_001, 600)]
        assert sizes == [1_019, 977]  # to multiples of 1,024: two chunks of status, the longest, hold 600 models
        with refused("has no variable 'nothing'"):
            next(source.chunks("a", ["nothing"]))


def test_pieces_are_checked(two: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.h5"
    copy.write_bytes(two.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["a/error"][2_000] = 101.0
        del file["a/error"].attrs["crc32"]  # as if it had been written so
        offset = file["b/error"].id.get_chunk_info(3).byte_offset
    with Archive(copy) as source, refused("'error' of model 2000 is 101.0"):
        list(source.chunks("a", ["error"], rows=512))
    damaged = bytearray(copy.read_bytes())
    damaged[offset + 20] ^= 1
    copy.write_bytes(damaged)
    with refused("population 'b': 'error' cannot be read"):
        tabulate_archive(copy, "b")


@pytest.mark.usefixtures("small_parts")
def test_an_unfinished_error_of_a_finished_model_is_refused_wherever_it_is(tmp_path: Path) -> None:
    models = population(3_000, 1)
    path = written(tmp_path / "x.h5", 512, a=models)
    place = int(np.flatnonzero(models["status"] == FINISHED)[-1])
    with h5py.File(path, "r+") as file:
        file["a/error"][place] = NAN
        del file["a/error"].attrs["crc32"]
    with refused("NaN only for a failed model"):
        tabulate_archive(path, "a")


@pytest.mark.usefixtures("small_parts")
def test_refusals_of_a_part_say_where_it_is(tmp_path: Path) -> None:
    some = population(3_000, 1) | {"status": np.zeros(3_000, np.int8), "error": np.ones(3_000)}
    final = np.ones(3_000)
    final[[2_000, 2_001, 2_999]] = NAN
    path = written(tmp_path / "x.h5", 512, a=some | {"error_final": final})
    with refused(r"^a, models 1940 to 2036: The final error of 2 of 97 models is not known; compare by the other\.$"):
        tabulate_archive(path, "a", Terms(error="final"))
    with refused(r"^a, models 1995 to 2004: The final error of 2 of 10 models"):
        table._counted(path, "a", (Terms(error="final"),), 1_995, 2_005)


def test_a_bad_value_is_named_by_its_place_in_the_population() -> None:
    with refused(r"^x: 'error' of model 1538 is 101\.0, expected 0\.\.100 percent"):
        check_values("x", "error", np.array([1.0, 2.0, 101.0]), lambda: np.zeros(3), 1_536)


# --- Many machines, many models


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        yield cluster


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("options", [{}, {"given": "none"}, {"bins": 5, "diverged": "censor"}], ids=str)
def test_a_cluster_gives_the_same_tables(two: Path, cluster: LocalCluster, options: dict[str, Any]) -> None:
    here = tabulate_populations(two, ["a", "b"], **options)
    there = tabulate_populations(two, ["a", "b"], scheduler=cluster.scheduler_address, **options)
    assert all(same(here[name], there[name]) for name in ("a", "b"))


def test_worker_processes_give_the_same_table(two: Path) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        there = tabulate_archive(two, "a", scheduler=cluster.scheduler_address)
    assert same(there, tabulate_archive(two, "a"))


def test_clusters_that_cannot_be_used(two: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_TIMEOUT", 0.5)
    for address in ("tcp://127.0.0.1:1", "nonsense://"):
        with refused(f"No Dask scheduler answers at {address}"):
            tabulate_archive(two, "a", scheduler=address)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty, refused("check that it has work"):
        tabulate_archive(two, "a", scheduler=empty.scheduler_address)
    with refused("has no variable 'nothing'"):
        complexity_extents(two, "a", ["nothing"], scheduler=cluster.scheduler_address)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused("pip install distributed"):
        tabulate_archive(two, "a", scheduler=cluster.scheduler_address)


def many(path: Path, models: int) -> Path:
    """Write an archive of more models than `write` can hold, one chunk over and over."""
    block = 2**18
    columns: dict[str, NDArray[Any]] = {v: np.full(block, NAN) for v, spec in VARIABLES.items() if spec.required}
    columns |= population(block, 1) | {"id": np.full((block, 1), b"x", "S1")}
    with h5py.File(written(path, tiny=population(2, 1)), "r+", libver=("v110", "v110")) as file:
        for variable, values in columns.items():
            like = file["tiny"][variable]
            dataset = file.create_dataset(
                f"many/{variable}",
                (models, *values.shape[1:]),
                like.dtype,
                chunks=values.shape,
                compression=1,
                shuffle=True,
                fletcher32=True,
            )
            dataset.attrs["units"] = np.array(VARIABLES[variable].units.encode(), h5py.string_dtype("utf-8", 8))
            dataset[:block] = values
            dataset.flush()
            mask, stored = dataset.id.read_direct_chunk((0,) * values.ndim)
            for start in range(block, models, block):
                dataset.id.write_direct_chunk((start,) + (0,) * (values.ndim - 1), stored, mask)
    return path


def peak_of_streaming(path: Path) -> tuple[int, float]:
    """Count the models of an archive in a process of its own; return their number and its peak of memory, MiB."""
    code = """
        import sys
        from edfkit.study.counting import tabulate_populations
        table = tabulate_populations(sys.argv[1], ["many"])["many"]
        # Not ru_maxrss, which a process inherits from the one that started it.
        peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
        print(table.models + sum(table.left_out.values()), peak)
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(code), str(path)]
    models, kilobytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(models), int(kilobytes) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize("models", [6 * 2**20, pytest.param(100 * 2**20, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_models(tmp_path: Path, models: int) -> None:
    few = 2 * 2**20  # some pieces, of which one is read ahead
    small = peak_of_streaming(many(tmp_path / "small.h5", few))
    large = peak_of_streaming(many(tmp_path / "large.h5", models))
    assert (small[0], large[0]) == (few, models)
    assert large[1] < small[1] + 32
    assert large[1] < 400
