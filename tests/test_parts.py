"""Parts of populations by an expression: which models they have, their names, and studies and commands of them."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edfkit import EdfkitError
from edfkit.archive import Archive, reader, write, writer
from edfkit.archive.combine import subset
from edfkit.archive.published import Published
from edfkit.archive.schema import REQUIRED_ATTRS, VARIABLES
from edfkit.cli import main
from edfkit.datasets import BUNDLED
from edfkit.exchange.tables import import_table
from edfkit.study.compare import compare_populations
from edfkit.study.counting import Counted, Wanted, counted
from edfkit.study.parts import Parts, parted
from edfkit.study.selection import InMemory, check_names, select
from edfkit.study.units import find_units

DIGITS = BUNDLED["digits"]
NAN = float("nan")
SMALL, LARGE = "resnet[params < 150000]", "resnet[params >= 150000]"
ROWS = {
    "error": [1.5, 2.0, 3.0, 4.0, 5.0, 6.0],
    "params": [10.0, 20.0, 30.0, 40.0, NAN, 60.0],
    "optimizer": ["SGD", "sgd", "Adam", "", "Adam", "Adam"],
}

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a few populations of the bundled archive, as opening all takes longer than most commands."""
    path = tmp_path_factory.mktemp("few") / "few.h5"
    subset(DIGITS, path, spaces=["resnet", "resnext-a", "resnext-b", "vanilla"])
    return path


@pytest.fixture
def call(few: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line here, on those populations."""
    monkeypatch.setenv("EDFKIT_ARCHIVE", str(few))
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edfkit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


# --- Names


def test_a_part_has_one_name_however_it_is_written() -> None:
    parts = Parts(InMemory({"resnet": ROWS}))
    assert parts.named("ResNet [ (params)<1e5 ]") == "resnet[params < 100000]"
    assert parts.named("resnet[params < 100000]") == "resnet[params < 100000]"
    assert parts.named("RESNET") == "resnet"
    assert parts.named("a[optimizer=='SGD']") == "a[optimizer == 'SGD']"


def test_an_expression_for_all_goes_with_every_name_once() -> None:
    parts = Parts(InMemory({"resnet": ROWS}), "lr<1 or wd<1")
    assert parts.named("resnet") == "resnet[lr < 1 or wd < 1]"
    assert parts.named("resnet[params<9 or a<1]") == "resnet[(params < 9 or a < 1) and (lr < 1 or wd < 1)]"
    for name in ("resnet", "resnet[params<9 or a<1]"):
        assert parts.named(parts.named(name)) == parts.named(name)


def test_a_label_with_a_bracket_names_its_population(tmp_path: Path) -> None:
    text = "arch,err\na[b,5\na[b,6\n[x<1],7\n"
    (tmp_path / "t.csv").write_text(text)
    import_table(tmp_path / "t.csv", tmp_path / "o.h5", error="err", space="arch")
    with Archive(tmp_path / "o.h5") as source:
        parts = Parts(source)
        assert [parts.named(name) for name in ("a[b", "[x<1]", "a-b[error<5.5]")] == ["a-b", "x-1-", "a-b[error < 5.5]"]
        assert Parts(source, "error<5.5").named("a[b") == "a-b[error < 5.5]"


def test_texts_in_a_name_keep_their_case() -> None:
    a, b = "a[optimizer == 'SGD']", "a[optimizer == 'sgd']"
    assert check_names([a, "B", b]) == [a, "b", b]
    with pytest.raises(EdfkitError, match="named twice"):
        check_names([a, a.replace("a[", "A[")])
    once = Counted(Parts(InMemory({"a": ROWS})))
    assert [once.read(name, "error").tolist() for name in (a, b)] == [[1.5], [2.0]]


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("resnet[params", "'resnet[params<1e5]'"),  # what a shell leaves of resnet[params<1e5]
        ("resnet[width[0]", "'resnet[width[0]<1e5]'"),
        ("resnet[params < 3", "'resnet[params < 3]'"),
        ("resnet[", "'resnet[<1e5]'"),
    ],
)
def test_an_open_bracket_is_refused_with_the_quoted_form(name: str, quoted: str) -> None:
    with pytest.raises(EdfkitError, match="has a bracket that is not closed") as refused:
        Parts(InMemory({"resnet": ROWS})).models(name)
    assert f"write it in quotes: {quoted}" in str(refused.value)


def test_a_source_without_parts_stays_itself() -> None:
    source = InMemory({"a": ROWS})
    assert parted(source, ["a", "b"]) is source
    assert isinstance(parted(source, ["a", "a[params < 1]"]), Parts)
    assert isinstance(parted(source, ["a"], "params < 1"), Parts)


# --- Which models


def test_every_variable_is_that_of_the_models_that_are_taken(few: Path) -> None:
    name = "resnext-a[group_width[0] < 8 and max(depth) > 2]"
    with Archive(few) as source:
        parts = Parts(source)
        width, bot_mul, groups, depth = (source.read("resnext-a", v) for v in ("width", "bot_mul", "groups", "depth"))
        taken = (width[:, 0] * bot_mul[:, 0] / groups[:, 0] < 8) & (depth.max(axis=1) > 2)
        assert 0 < taken.sum() < taken.size
        assert parts.models(name) == taken.sum()
        assert np.array_equal(parts.mask(name), taken)
        assert parts.variables(name) == source.variables("resnext-a")
        assert parts.outside(name) == {}
        for variable in source.variables("resnext-a"):
            expected = source.read("resnext-a", variable)[taken]
            assert np.array_equal(parts.read(name, variable), expected, equal_nan=expected.dtype.kind == "f")
            assert len(parts.read("resnext-a", variable)) == 500
        assert parts.shape(name, "test_error").shape == (taken.sum(), 8)
        assert parts.dataset(name) == source.dataset("resnext-a")
        assert parts.group_attrs(name) == source.group_attrs("resnext-a")
        assert (parts.path, parts.attrs) == (source.path, source.attrs)


def test_models_of_which_it_is_not_known_are_left_out_and_counted() -> None:
    parts = Parts(InMemory({"a": ROWS}))
    assert parts.read("a[params < 45]", "error").tolist() == [1.5, 2.0, 3.0, 4.0]
    assert parts.outside("a[params < 45]") == {"params not known": 1}
    assert parts.outside("a[params < 45 or optimizer == 'Adam']") == {}
    assert parts.outside("a[params < 45 and optimizer != 'SGD']") == {"params or optimizer not known": 2}
    assert parts.outside("a[1 / (params - 10) > 0]") == {"params not known": 2}
    assert parts.outside("a[1 / (error - 2) > 0]") == {"expression not computable": 1}
    assert parts.unknown("a[params < 45 and optimizer != 'SGD']") == 2
    assert parts.outside("a") == {}
    with pytest.raises(EdfkitError, match=r"None of the 6 models of a has params < 5, and 1 have params not known"):
        parts.read("a[params < 5]", "error")


def test_a_column_that_there_is_not_is_refused_with_the_nearest() -> None:
    parts = Parts(InMemory({"a": ROWS}))
    with pytest.raises(EdfkitError, match=r"a has no column 'parms'; did you mean params\?"):
        parts.models("a[parms < 5]")
    with pytest.raises(EdfkitError, match="a has no column 'zzz'; it has error, params, optimizer"):
        parts.models("a[zzz < 5]")
    with pytest.raises(EdfkitError, match="a has no column 'width' to compute group_width of"):
        parts.models("a[group_width[0] < 5]")


def test_where_leaves_the_populations_that_have_such_models() -> None:
    source = InMemory({"a": ROWS, "b": {"error": [1.0], "params": [5.0]}, "c": {"error": [1.0]}})
    assert Parts(source).names == ["a", "b", "c"]
    assert Parts(source, "params > 15").names == ["a"]
    assert Parts(source, "params < 1e3").names == ["a", "b"]
    with pytest.raises(EdfkitError, match="did you mean params"):
        _ = Parts(source, "parms < 1e3").names


# --- Many models


def test_large_populations_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models, rng = 5_000, np.random.default_rng(3)
    columns: dict[str, Any] = {v: np.full(models, NAN) for v, spec in VARIABLES.items() if spec.required}
    columns |= {"id": np.arange(models).astype(str), "status": np.zeros(models, np.int8)}
    columns |= {"error": rng.integers(1, 90, models) / 1.0, "params": np.arange(models) % 997.0}
    columns |= {"depth": rng.integers(1, 9, (models, 3)), "width": np.ones((models, 3), np.int64)}
    columns["error_final"] = columns["error"]
    monkeypatch.setattr(writer, "_CHUNK_BYTES", 2**12)
    write(tmp_path / "a.h5", {"a": columns}, dict.fromkeys(REQUIRED_ATTRS, "test") | {"recipe": "{}"})
    monkeypatch.setattr(reader, "_PIECE_ROWS", 512)
    name = "a[params < 400 and (sum(depth) > 12 or depth[-1] == 8)]"
    taken = (columns["params"] < 400) & ((columns["depth"].sum(axis=1) > 12) | (columns["depth"][:, 2] == 8))
    with Archive(tmp_path / "a.h5") as source:
        parts = Parts(source)
        pieces = list(parts.chunks(name, ["id", "error"]))
        assert len(pieces) > 5
        assert np.array_equal(np.concatenate([piece["id"] for piece in pieces]), columns["id"][taken])
        some = [piece["id"] for piece in parts.chunks(name, ["id"], 100, 1_000)]
        assert np.array_equal(np.concatenate(some), columns["id"][taken][100:1_000])
        large, small = Counted(parts, whole=0), Counted(parts)
        large.expect(name, Wanted(("error", "params"), ends=("params",)))
        found, expected = large.rows(name, ["error", "params"]), counted(small.rows(name, ["error", "params"]).columns)
        for column in ("error", "params"):
            assert np.array_equal(found.columns[column], expected.columns[column])
        assert found.counts is not None
        assert expected.counts is not None
        assert np.array_equal(found.counts, expected.counts)
        assert large.ends(name, "params") == small.ends(name, "params") == (0, 399)
        by_count, by_row = (select(one, [name], given="params", bins=3).populations[0] for one in (large, small))
        assert by_count.summary.models == by_row.summary.models == taken.sum()
        assert by_count.summary.mean == pytest.approx(by_row.summary.mean)


# --- Units


def test_parts_that_overlap_are_refused_and_disjoint_ones_are_compared(few: Path) -> None:
    with Archive(few) as source:
        parts = Parts(source)
        (pair,) = compare_populations(parts, [SMALL, LARGE], given="none").pairs
        assert not pair.sharing.refused
        assert pair.estimates is not None
        (pair,) = compare_populations(parts, [SMALL, "resnet[params < 2e5]"], given="none").pairs
        assert f"178 of the runs are in both {SMALL} and resnet[params < 2e5]" in pair.sharing.refused
        (pair,) = compare_populations(parts, ["resnet", SMALL], given="none").pairs
        assert "178 of the runs are in both" in pair.sharing.refused


def test_a_part_gives_what_its_models_give_alone(few: Path) -> None:
    with Archive(few) as source:
        params = source.read("resnet", "params")
        variables = [v for v in source.variables("resnet") if v not in ("test_error", "train_error", "train_loss")]
        alone = {
            name: {v: source.read("resnet", v)[taken] for v in variables}
            for name, taken in (("small", params < 150_000), ("large", params >= 150_000))
        }
        (ours,) = compare_populations(Parts(source), [SMALL, LARGE]).pairs
        (theirs,) = compare_populations(InMemory(alone), ["small", "large"]).pairs
    a, b = ours.to_dict(), theirs.to_dict()
    assert (a["ks"], a["p_value"], a["strata"]) == (b["ks"], b["p_value"], b["strata"])
    assert a["mean_difference_interval"] == pytest.approx(b["mean_difference_interval"])


def test_units_of_a_part_are_those_of_its_population(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive(few) as source:
        parts = Parts(source)
        whole, part = find_units(source, "resnet"), find_units(parts, SMALL)
        assert whole is not None
        assert part is not None
        assert np.array_equal(part.unit, whole.unit[parts.mask(SMALL)])
        assert part.comparable
        # Where there are too many in the population, rows are told apart, so that overlapping parts are known.
        monkeypatch.setattr("edfkit.study.units.MOST", 300)
        for name in ("resnet", SMALL, LARGE):
            rows = find_units(parts, name)
            assert rows is not None
            assert (rows.comparable, rows.repeated) == (False, False)


def test_parts_of_published_files(published: Path) -> None:
    with Published(published / "ResNeXt-A_in.json") as source:
        parts = Parts(source)
        name = "resnext-a_in[params < 3e6 and status == 0]"
        taken = (source.read("resnext-a_in", "params") < 3e6) & (source.read("resnext-a_in", "status") == 0)
        assert parts.models(name) == taken.sum() > 0
        assert len(parts.networks(name)) == taken.sum()
        units, whole = find_units(parts, name), find_units(source, "resnext-a_in")
        assert units is not None
        assert whole is not None
        assert np.array_equal(units.unit, whole.unit[taken])


# --- The command line


def test_parts_are_compared_by_name(call: Call) -> None:
    status, out, _ = call("compare", "resnet[params<1.5e5]", "ResNet[ params>=150_000 ]", "--given", "none")
    assert status == 0
    assert f"178 {SMALL}, 322 {LARGE}" in out
    assert f"error distributions of {SMALL} and {LARGE} differ in shape" in out
    status, out, _ = call("compare", "resnet[params<1.5e5]", "resnet[params>=1.5e5]", "--given", "none", "--json")
    document = json.loads(out)
    assert [(space["name"], space["models"]) for space in document["spaces"]] == [(SMALL, 178), (LARGE, 322)]
    assert document["archive"]["dataset"] == "digits"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "resnet[params<2e5]", "resnet[params>1e5]"), "237 of the runs are in both"),
        (("compare", "resnet", "resnet[params<2e5]"), "302 of the runs are in both"),
    ],
)
def test_parts_that_overlap_are_not_compared(call: Call, words: tuple[str, ...], said: str) -> None:
    _, out, _ = call(*words)
    assert said in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "resnet[params", "vanilla"), "write it in quotes: 'resnet[params<1e5]'"),
        (("compare", "resnet[params<2e5]", "RESNET[params<200000]"), "named twice"),
        (("describe", "resnet[parms<2e5]"), "did you mean params?"),
        (("describe", "resnet", "--where", "params.real < 1"), "has params.real, which is not allowed"),
        (("describe", "resnet", "--where", "params <"), "'params <' cannot be read as an expression"),
        (("describe", "--where", "parms<2e5"), "did you mean params?"),
        (("describe", "resnet", "--where", "params < 1"), "None of the 500 models of resnet has params < 1"),
        (("describe", "lenet[params<2e5]"), "has no population 'lenet'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(call: Call, words: tuple[str, ...], said: str) -> None:
    status, out, err = call(*words)
    assert (status, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "resnet", "vanilla"),
        ("describe", "resnet", "vanilla"),
        ("search", "resnet", "vanilla"),
        ("point", "resnet", "--small", "5", "--large", "20"),
        ("samples", "resnet"),
        ("complexity", "resnet"),
        ("noise", "resnet"),
        ("plan", "resnet", "--width", "5", "--trials", "20"),
    ],
)
def test_where_goes_with_every_study(call: Call, words: tuple[str, ...]) -> None:
    status, out, err = call(*words, "--where", "params<2e5 and any(depth > 4)", "--json")
    assert (status, err) == (0, "")
    assert "resnet[params < 200000 and any(depth > 4)]" in out
    assert '"resnet"' not in out


def test_where_goes_with_a_report(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "r.html"
    status, out, _ = call("report", "resnet", "vanilla", "--where", "params < 2e5", "-o", file)
    assert (status, "302 resnet[params < 200000], 307 vanilla" in out) == (0, True)
    page = file.read_text(encoding="utf-8")
    assert "edfkit report &#39;resnet[params &lt; 200000]&#39; &#39;vanilla" in page


def test_where_goes_with_figures_and_stands_on_them(call: Call, tmp_path: Path) -> None:
    status, out, _ = call("figures", "3", "tables", "--where", "params<2e5", "-o", tmp_path, "--format", "svg")
    assert status == 0
    assert "302 resnet[params < 200000]" in out
    assert "only models with params < 200000" in out
    for file in ("figure_03.csv", "table_spaces.csv", "table_points.csv"):
        rows = list(csv.DictReader((tmp_path / file).read_text(encoding="utf-8").splitlines()))
        assert {row["where"] for row in rows} == {"params < 200000"}


def test_models_that_are_left_out_as_unknown_are_counted(call: Call) -> None:
    status, out, _ = call("describe", "resnet", "--where", "macs / (depth[0] - 1) < 1e6")
    assert status == 0
    assert "resnet[macs / (depth[0] - 1) < 1000000]: left out 142 expression not computable" in out


def test_parts_of_a_table_that_overlap_are_refused() -> None:
    models = 60
    rng = np.random.default_rng(0)
    source = InMemory({"a": {"error": rng.uniform(5, 20, models).round(2), "lr": np.arange(models) / models}})
    names = ["a[lr < 0.6]", "a[lr >= 0.5]", "a[lr > 0.6]"]
    pairs = compare_populations(Parts(source), names, given="none").pairs
    refused = {(pair.a, pair.b): bool(pair.sharing.refused) for pair in pairs}
    assert refused == {(names[0], names[1]): True, (names[0], names[2]): False, (names[1], names[2]): True}
    assert "of the runs are in both" in pairs[0].sharing.refused


def test_a_subset_takes_the_models_of_a_condition(few: Path, tmp_path: Path, call: Call) -> None:
    target = tmp_path / "some.h5"
    status, _, error = call("subset", few, "-o", target, "--where", "params < 1e3")
    assert status == 1
    assert "None of the" in error
    assert not target.exists()
    assert call("subset", few, "-o", target, "--where", "params < 1e5")[0] == 0
    with Archive(few) as whole, Archive(target) as part:
        assert part.names == whole.names
        for name in whole.names:
            params = whole.read(name, "params")
            assert part.read(name, "params").tolist() == params[params < 1e5].tolist()
        assert json.loads(part.attrs["subset"])["where"] == "params < 100000"


def test_populations_without_such_models_are_named(call: Call) -> None:
    line = "Left out, as none of their models meets the condition: resnet, vanilla."
    assert line in call("describe", "--where", "groups[0] > 1")[1]
    for words in (("resnext-a", "--where", "groups[0] > 1"), ("--where", "params > 0")):
        status, out, _ = call("describe", *words)
        assert status == 0
        assert "Left out, as none" not in out
