"""Models that are counted give what they give row by row, however they are cut into parts, and are read once."""

import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import strategies as shared
from dask.distributed import LocalCluster
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import edfkit
from edfkit import EdfkitError
from edfkit.archive import Archive, write, writer
from edfkit.archive.schema import REQUIRED_ATTRS, VARIABLES, check_values
from edfkit.datasets import BUNDLED
from edfkit.show.figures import make_figures
from edfkit.show.report.page import write_report
from edfkit.study import counting
from edfkit.study.counting import Counted, Rows, Wanted, at_epoch, counted, distinct
from edfkit.study.selection import InMemory, Population, gather, select

DIGITS = BUNDLED["digits"]
FINISHED, DIVERGED, FAILED = range(3)
ROOT = dict.fromkeys(REQUIRED_ATTRS, "test") | {"recipe": "{}"}
NAN = float("nan")
ENDS = ("error", "error_final")


def refused(expected: str) -> Any:
    return pytest.raises(EdfkitError, match=expected)


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
    monkeypatch.setattr(counting, "_AT_ONCE", 97)
    monkeypatch.setattr(counting, "_OF_A_TASK", 1_000)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("counted") / "two.h5"
    return written(path, 512, a=population(3_333, 1), b=population(2_500, 2))


def tally(rows: Rows) -> Counter[tuple[float, ...]]:
    """Count rows one by one; NaN is -1."""
    columns = [np.nan_to_num(column.astype(float), nan=-1.0).tolist() for column in rows.columns.values()]
    number = [1] * len(columns[0]) if rows.counts is None else rows.counts.tolist()
    found: Counter[tuple[float, ...]] = Counter()
    for row, count in zip(zip(*columns, strict=True), number, strict=True):
        found[row] += count
    return found


# --- Rows that are alike


def columns(size: int) -> st.SearchStrategy[list[NDArray[Any]]]:
    """One to three columns: on grids, whole, wide apart, any numbers, and some that are not known."""

    def of(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[NDArray[Any]]:
        return st.lists(numbers, min_size=size, max_size=size).map(np.array)

    grid = of(st.integers(0, 300).map(lambda i: i / 100))
    wide = of(st.sampled_from([-(2**62), -1, 0, 3, 2**40, 2**62]))
    loose = of(st.sampled_from([0.1 + 0.2, 0.3, 1e-300, NAN, 1e300, -2.5, float("inf")]))
    small = of(st.integers(0, 2)).map(lambda whole: whole.astype(np.int8))
    return st.lists(grid | wide | loose | small, min_size=1, max_size=3)


@given(st.integers(1, 40).flatmap(columns), st.data())
def test_rows_that_are_alike_are_counted_in_order(some: list[NDArray[Any]], data: st.DataObject) -> None:
    weights = np.array(data.draw(st.lists(st.integers(1, 5), min_size=some[0].size, max_size=some[0].size)))

    def rows(columns: list[NDArray[Any]]) -> list[tuple[Any, ...]]:
        known = ([None if value != value else value for value in column.tolist()] for column in columns)
        return list(zip(*known, strict=True))

    for counts in (None, weights):
        found, number = distinct(some, counts)
        expected: Counter[Any] = Counter()
        for row, count in zip(rows(some), [1] * weights.size if counts is None else counts.tolist(), strict=True):
            expected[row] += count
        assert dict(zip(rows(found), number.tolist(), strict=True)) == expected
        assert rows(found) == sorted(expected, key=lambda row: [(value is None, value or 0) for value in row])
        assert [one.dtype for one in found] == [one.dtype for one in some]


def test_rows_of_many_wide_columns_are_counted_too() -> None:
    rng = np.random.default_rng(0)
    wide = [rng.permutation(2**22).astype(np.int64)[: 2**21] * 2**20 for _ in range(3)]
    found, number = distinct([np.tile(column, 2) for column in wide])
    order = np.argsort(wide[0])
    assert all(np.array_equal(one, column[order]) for one, column in zip(found, wide, strict=True))
    assert set(number.tolist()) == {2}


def test_nothing_is_counted_as_nothing() -> None:
    found, number = distinct([np.zeros(0), np.zeros(0, int)])
    assert [one.size for one in found] == [0, 0]
    assert number.size == 0


@given(shared.errors(2, 60), st.data())
def test_columns_that_are_left_out_are_summed_over(errors: NDArray[Any], data: st.DataObject) -> None:
    other = np.array(data.draw(st.lists(st.integers(0, 3), min_size=errors.size, max_size=errors.size)))
    both = counted({"error": errors, "other": other})
    assert tally(both.of(["error"])) == tally(Rows({"error": errors}))
    assert tally(both.of(["other", "error"])) == tally(Rows({"other": other, "error": errors}))
    whole = Rows({"error": errors, "other": other}).of(["other"])
    assert whole.counts is None
    assert whole.columns["other"] is other


# --- A source that is counted


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("columns", [("error", "status"), ("status", "params", "error_final"), ("params",)], ids=str)
def test_parts_add_up_to_the_whole(two: Path, columns: Sequence[str]) -> None:
    with Archive(two) as source:
        many, few = Counted(source, whole=0), Counted(source)
        assert few.by_row("A")
        assert not many.by_row("A")
        row_by_row = few.rows("A", columns)
        assert row_by_row.counts is None
        assert tally(many.rows("A", columns)) == tally(row_by_row)
        assert many.rows("A", columns, by_row=True).counts is None
        for variable in ("params", "error"):
            values = source.read("a", variable).astype(float)
            assert many.ends("a", variable) == few.ends("a", variable) == (np.nanmin(values), np.nanmax(values))
        assert many.chosen("a", ENDS) is few.chosen("a", ENDS) is True
        assert many.ends("a", "macs") is few.ends("a", "macs") is None  # known of none


@pytest.mark.usefixtures("small_parts")
def test_an_epoch_is_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive(DIGITS) as source:
        curves = source.read("resnet", "test_error")
        for some in (Counted(source, whole=0), Counted(source)):
            columns = [at_epoch("test_error", epoch) for epoch in (3, 8)]
            assert tally(some.rows("resnet", columns)) == tally(
                Rows(dict(zip(columns, (curves[:, 2], curves[:, 7]), strict=True)))
            )


class Watched(Archive):
    """An archive that counts how often each column of each population is read."""

    def __init__(self, path: Path) -> None:
        self.reads: Counter[tuple[str, str]] = Counter()
        super().__init__(path)

    def read(self, name: str, variable: str) -> NDArray[Any]:
        self.reads[name.lower(), variable] += 1
        return super().read(name, variable)

    def chunks(self, name: str, variables: Sequence[str], *where: Any) -> Iterator[dict[str, NDArray[Any]]]:
        self.reads.update((name.lower(), variable) for variable in variables)
        return super().chunks(name, variables, *where)


def reported(source: Archive, names: Sequence[str], folder: Path) -> None:
    write_report(source, names, folder / "report.html")


def drawn(source: Archive, names: Sequence[str], folder: Path) -> None:
    assert names
    list(make_figures(source, ["2", "3", "5", "7", "9"], folder, formats=("csv",)))


PAIR = ("resnet", "vanilla")
COMMANDS: dict[str, Callable[[Archive, Path], object]] = {
    "compare": lambda source, _: edfkit.compare(source, PAIR),
    "compare --sensitivity": lambda source, _: edfkit.compare(source, PAIR, sensitive=True),
    "compare --stream": lambda source, _: edfkit.compare(source, PAIR, sensitive=True, stream=True),
    "compare --error 3": lambda source, _: edfkit.compare(source, PAIR, sensitive=True, error="3"),
    "compare --bins": lambda source, _: edfkit.compare(source, PAIR, sensitive=True, bins=3),
    "compare all": lambda source, _: edfkit.compare(source, source.names[:14], given="none"),
    "describe": lambda source, _: edfkit.describe(source, source.names),
    "search": lambda source, _: edfkit.search(source, PAIR, cost="seconds"),
    "point": lambda source, _: edfkit.point(source, *PAIR, small=5, large=50),
    "samples": lambda source, _: edfkit.samples(source, "resnet"),
    "complexity": lambda source, _: edfkit.complexity(source, PAIR),
    "noise": lambda source, _: edfkit.noise(source, PAIR),
    "plan": lambda source, _: edfkit.plan(source, PAIR, trials=20),
    "report": lambda source, folder: write_report(source, PAIR, folder / "report.html"),
    "figures": lambda source, folder: list(make_figures(source, ["3", "7", "9"], folder)),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_column_is_read_once(command: str, tmp_path: Path) -> None:
    with Watched(DIGITS) as source:
        COMMANDS[command](source, tmp_path)
        assert source.reads
        assert {key: times for key, times in source.reads.items() if times > 1} == {}


def test_columns_are_read_again_only_where_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with Watched(DIGITS) as archive:
        source = Counted(archive)
        size = source.read("resnet", "error").nbytes
        monkeypatch.setattr(counting, "_KEPT", 2 * size)
        for variable in ("lr", "error", "wd", "error", "lr"):
            assert source.read("resnet", variable).tolist() == archive.read("resnet", variable).tolist()
        assert archive.reads["resnet", "error"] == 1 + 2  # the others are the check's own
        assert archive.reads["resnet", "lr"] == 2 + 2


@pytest.mark.usefixtures("small_parts")
def test_one_pass_finds_all_that_is_expected(two: Path) -> None:
    with Watched(two) as archive:
        source = Counted(archive, whole=0)
        source.expect("a", Wanted(("error", "status", "params"), ("flops",), chosen=ENDS))
        source.rows("A", ["params", "error"])
        source.ends("a", "flops")
        source.chosen("a", ENDS)
        assert set(archive.reads.values()) == {1}
        source.rows("a", ["error_final"])
        assert archive.reads["a", "error_final"] == 2
        source.rows("a", ["error_final", "error"])
        assert archive.reads["a", "error_final"] == 2


# --- Populations that are counted


def alike(one: Population, other: Population) -> None:
    """Check that a population that was counted is one that is counted now."""
    other = other.counted()
    for name in ("errors", "weights", "bins", "counts", "complexity"):
        np.testing.assert_array_equal(getattr(one.counted(), name), getattr(other, name), err_msg=name)
    assert (one.name, one.models, one.diverged) == (other.name, other.models, other.diverged)
    assert one.left_out == other.left_out
    assert list(one.left_out) == list(other.left_out)
    assert one.summary == other.summary


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"given": "params"},
        {"given": "params", "bins": 4},
        {"given": "params", "bins": 25},
        {"given": "params", "range": (100_000.0, 400_000.5)},
        {"given": "params", "range": (100_000.0, 400_000.0), "bins": 3},
        {"error": "final", "given": "params"},
        {"diverged": "drop", "bins": 3, "given": "params"},
        {"diverged": "censor", "given": "params", "failed": "worst"},
        {"diverged": "drop", "error": "final", "failed": "best"},
    ],
    ids=str,
)
def test_counted_populations_are_those_of_their_rows(two: Path, options: dict[str, Any]) -> None:
    take = select if {"bins", "range"} & set(options) else gather
    with Archive(two) as source:
        selected, other = (take(some, ["A", "b"], **options) for some in (Counted(source, whole=0), source))
        by_row = take(Counted(source, whole=0), ["A", "b"], by_row=True, **options)
    assert (selected.bins, selected.range, selected.chosen_on_test) == (other.bins, other.range, other.chosen_on_test)
    for one, its, rows in zip(selected.populations, other.populations, by_row.populations, strict=True):
        assert one.counts is not None
        assert one.rows.size == 0
        alike(one, its)
        assert rows.rows.tolist() == its.rows.tolist()


@pytest.mark.parametrize("images", [10_000, 37])
def test_any_number_of_different_errors_is_counted(tmp_path: Path, images: int) -> None:
    rng = np.random.default_rng(images)
    loose = population(2_000, 3, images) | {"error": rng.random(2_000) * 100, "status": np.zeros(2_000, np.int8)}
    path = written(tmp_path / "x.h5", a=loose, b=population(500, 4, images))
    with Archive(path) as source:
        selected, other = (gather(some, ["a", "b"], given="params") for some in (Counted(source, whole=0), source))
    for one, its in zip(selected.populations, other.populations, strict=True):
        alike(one, its)
    assert np.unique(selected.populations[0].errors).size == 2_000


def test_other_columns_come_along(two: Path) -> None:
    with Archive(two) as source:
        one, other = (
            gather(some, ["a"], given="params", also=("flops", "seed")).populations[0]
            for some in (Counted(source, whole=0), source)
        )
    assert one.also is not None
    assert other.also is not None
    assert one.counts is not None
    assert other.also.shape == (other.models, 2)
    total = np.nansum(one.also * one.counts[:, None], axis=0)
    assert total == pytest.approx(np.nansum(other.also, axis=0))
    settled = one.counted()
    assert settled.also is None
    assert settled.counted() is settled


def test_populations_in_memory_are_counted_as_well(two: Path) -> None:
    with Archive(two) as source:
        columns = {name: {v: source.read(name, v) for v in ("error", "params", "status")} for name in "ab"}
        expected = gather(source, ["a", "b"], given="params")
    found = gather(Counted(InMemory(columns), whole=0), ["a", "b"], given="params")
    for one, other in zip(found.populations, expected.populations, strict=True):
        alike(one, other)


# --- Refusals


@pytest.mark.parametrize("whole", [0, counting.WHOLE])
def test_what_cannot_be_counted_is_refused(tmp_path: Path, whole: int) -> None:
    nothing = population(5, 1) | {"status": np.full(5, FAILED, np.int8), "error": np.full(5, NAN)}
    unknown = population(5, 1) | {"params": np.full(5, NAN), "status": np.zeros(5, np.int8), "error": np.ones(5)}
    final = unknown | {"error_final": np.array([1.0, NAN, NAN, 1, 1])}
    path = written(tmp_path / "x.h5", nothing=nothing, unknown=unknown, final=final)
    with Archive(path) as archive:
        source = Counted(archive, whole=whole)
        with refused("All 5 models of nothing failed, so it has no errors to compare"):
            gather(source, ["nothing"])
        with refused("The params of 5 of the 5 unknown models are not known; compare given another"):
            gather(source, ["unknown"], given="params")
        with refused("The final error of 2 of the 5 final models is not known; compare by the other"):
            gather(source, ["final"], error="final")
        with refused("has no population 'x'"):
            gather(source, ["x"])
        with refused("has no variable 'depth'"):
            gather(source, ["unknown"], given="depth")
        with refused("given: id has no numbers"):
            gather(source, ["unknown"], given="id")
        with refused("given: error_final is a result of training"):
            gather(source, ["unknown"], given="error_final")
        with refused("The error of unknown after each epoch is not known"):
            gather(source, ["unknown"], error="3")


@pytest.mark.parametrize("whole", [0, counting.WHOLE])
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"params": np.arange(5.0)}, r"'params' has the shape \(5,\), expected one number for each of the 6 models"),
        ({"status": np.zeros(7, int)}, r"'status' has the shape \(7,\)"),
        ({"status": np.array(["no word"] * 6)}, "'no word' as the outcome of a run"),
        ({"error": np.array(["1"] * 6)}, "'error' has the type <U1"),
        ({"params": np.array(["1"] * 6)}, "given: params has no numbers"),
        ({"params": np.ones((6, 2))}, "given: params has several numbers"),
    ],
)
def test_columns_that_are_no_numbers_of_the_models_are_refused(
    whole: int, columns: dict[str, NDArray[Any]], expected: str
) -> None:
    usual = {"error": np.arange(6.0), "params": np.arange(6.0), "status": np.zeros(6, int)}
    with refused(expected):
        gather(Counted(InMemory({"a": usual | columns}), whole=whole), ["a"], given="params")


def test_a_common_range_without_width(tmp_path: Path) -> None:
    def models(params: list[int]) -> dict[str, NDArray[Any]]:
        size = len(params)
        return population(size, 1) | {
            "error": np.arange(1.0, size + 1),
            "status": np.zeros(size, int),
            "params": np.array(params),
        }

    def both(path: Path) -> Iterator[Any]:
        with Archive(path) as archive:
            for source in (Counted(archive, whole=0), archive):
                yield lambda source=source: select(source, ["a", "b"], given="params")

    one, other = (take() for take in both(written(tmp_path / "one.h5", a=models([7, 7, 7]), b=models([7, 7]))))
    for counted_, whole in zip(one.populations, other.populations, strict=True):
        alike(counted_, whole)
    for take in both(written(tmp_path / "two.h5", a=models([7, 5, 7]), b=models([9, 7]))):
        with refused("must start below its end"):
            take()
    for take in both(written(tmp_path / "three.h5", a=models([5, 6]), b=models([7, 8]))):
        with refused("share no range"):
            take()


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
        list(Archive(copy).chunks("b", ["error"]))


@pytest.mark.usefixtures("small_parts")
def test_an_unfinished_error_of_a_finished_model_is_refused_wherever_it_is(tmp_path: Path) -> None:
    models = population(3_000, 1)
    path = written(tmp_path / "x.h5", 512, a=models)
    place = int(np.flatnonzero(models["status"] == FINISHED)[-1])
    with h5py.File(path, "r+") as file:
        file["a/error"][place] = NAN
        del file["a/error"].attrs["crc32"]
    with Archive(path) as source, refused("NaN only for a failed model"):
        Counted(source, whole=0).rows("a", ["error"])


def test_a_bad_value_is_named_by_its_place_in_the_population() -> None:
    with refused(r"^x: 'error' of model 1538 is 101\.0, expected 0\.\.100 percent"):
        check_values("x", "error", np.array([1.0, 2.0, 101.0]), lambda: np.zeros(3), 1_536)


# --- Many machines, many models


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        yield cluster


@pytest.mark.usefixtures("small_parts")
def test_a_cluster_counts_the_same(two: Path, cluster: LocalCluster) -> None:
    wanted = Wanted(("error", "status", "params"), ("flops", "macs"), chosen=ENDS)
    with Archive(two) as archive:
        here = Counted(archive, whole=0)
        there = Counted(archive, whole=0, scheduler=cluster.scheduler_address)
        for source in (here, there):
            source.expect("A", wanted)
        one, other = (source.rows("a", wanted.columns) for source in (here, there))
        assert one.counts is not None
        assert other.counts is not None
        assert one.counts.tolist() == other.counts.tolist()
        for column in wanted.columns:
            np.testing.assert_array_equal(one.columns[column], other.columns[column])
        assert there.ends("a", "flops") == here.ends("a", "flops")
        assert there.ends("a", "macs") is None
        assert there.chosen("a", ENDS) is True


def test_worker_processes_count_the_same(two: Path) -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Archive(two) as archive,
    ):
        there = Counted(archive, whole=0, scheduler=cluster.scheduler_address).rows("a", ["error", "params"])
        assert tally(there) == tally(Counted(archive).rows("a", ["error", "params"]))


def test_clusters_that_cannot_be_used(two: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_TIMEOUT", 0.5)

    def count(address: str, column: str = "error", source: Any = None) -> None:
        with Archive(two) as archive:
            Counted(source or archive, whole=0, scheduler=address).rows("a", [column])

    for address in ("tcp://127.0.0.1:1", "nonsense://"):
        with refused(f"No Dask scheduler answers at {address}"):
            count(address)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty, refused("check that it has work"):
        count(empty.scheduler_address)
    with refused("has no variable 'nothing'"):
        count(cluster.scheduler_address, "nothing")
    with refused("expected an archive; leave it out"):
        count(cluster.scheduler_address, source=InMemory({"a": {"error": [1.0, 2.0]}}))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused("pip install distributed"):
        count(cluster.scheduler_address)


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


def peak(path: Path, call: str) -> float:
    """Run a study of the population `many` in a process of its own; return its peak of memory, MiB."""
    code = """
        import sys, edfkit
        with edfkit.open(sys.argv[1]) as source:
            eval(sys.argv[2])
        # Not ru_maxrss, which a process inherits from the one that started it.
        print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(code), str(path), call]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


CALLS = [
    "edfkit.describe(source, ['many'])",
    "edfkit.search(source, ['many'])",
    "edfkit.point(source, 'many')",
    "edfkit.samples(source, 'many')",
    "edfkit.complexity(source, ['many'])",
]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize(
    ("fewer", "models", "calls"),
    [(2 * 2**20, 6 * 2**20, CALLS[:1]), pytest.param(5 * 2**20, 20 * 2**20, CALLS, marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_memory_does_not_grow_with_the_models(tmp_path: Path, fewer: int, models: int, calls: list[str]) -> None:
    # Enough for one piece to be read ahead and, of many, to fill what searches without replacement compute in parts.
    small, large = many(tmp_path / "small.h5", fewer), many(tmp_path / "large.h5", models)
    for call in calls:
        few, much = peak(small, call), peak(large, call)
        print(f"{call}: {few:.0f} and {much:.0f} MiB")
        assert much < few + 32
        assert much < 300
