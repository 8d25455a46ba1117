import csv
import gzip
import io
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive import Archive, validate
from edfkit.archive.schema import VARIABLES, Status
from edfkit.exchange.foreign import population_name, variable_name
from edfkit.exchange.tables import import_table
from edfkit.study.compare import compare_populations

EDFKIT = shutil.which("edfkit", path=str(Path(sys.executable).parent)) or "edfkit"
TABLE = """arch,top1,params,flops,note,lr
a,7.5,100,2000,first,0.1
b,5.5,200,4000,,0.2
c,,300,6000,"two
lines",0.3
d,6.25,400,8000,last,
"""


def written(folder: Path, text: str = TABLE, name: str = "table.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_table_becomes_an_archive(tmp_path: Path) -> None:
    target = tmp_path / "out.h5"
    result = import_table(
        written(tmp_path), target, error="top1", id="arch", dataset="CIFAR-10", recipe='{"epochs": 3}'
    )
    assert result.to_dict() == {
        "models": {"table": 4},
        "outcomes": {"table": {"finished": 3, "failed": 1}},
        "failed": {"table": 1},
        "left_out": {},
        "notes": [],
    }
    validate(target)
    with Archive(target) as archive:
        assert archive.names == ["table"]
        assert archive.attrs["dataset"] == "CIFAR-10"
        assert archive.attrs["commit"] == "unknown"
        assert json.loads(archive.attrs["recipe"]) == {"epochs": 3}
        assert archive.attrs["title"] == "table.csv, a table"
        assert archive.read("table", "id").tolist() == ["a", "b", "c", "d"]
        np.testing.assert_array_equal(archive.read("table", "error"), [7.5, 5.5, math.nan, 6.25])
        assert archive.read("table", "params").tolist() == [100, 200, 300, 400]
        assert archive.read("table", "flops").tolist() == [2000, 4000, 6000, 8000]
        np.testing.assert_array_equal(archive.read("table", "lr"), [0.1, 0.2, 0.3, math.nan])
        assert archive.read("table", "status").tolist() == [0, 0, Status.FAILED, 0]
        assert archive.read("table", "note").tolist() == ["first", "", "two\nlines", "last"]
        for variable in ("macs", "acts", "seed", "wd", "seconds", "error_final"):
            assert np.isnan(archive.read("table", variable)).all()


def test_no_other_attributes_are_taken(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="titel: no attribute of an import, expected one of title, source, license"):
        import_table(written(tmp_path), tmp_path / "out.h5", error="top1", titel="x")  # type: ignore[call-arg]
    assert not (tmp_path / "out.h5").exists()


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    file = written(tmp_path)
    for name in ("a.h5", "b.h5"):
        import_table(file, tmp_path / name, error="top1")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_all_forms_of_a_table_give_the_same_values(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    rows: list[dict[str, Any]] = [
        {"err": 5.5, "params": 10, "seed": 2**60 + 1, "kind": "x", "deep": 3, "late": None},
        {"err": None, "params": 20, "seed": 7, "kind": "y", "deep": 4, "late": None},
        {"err": 1.25, "params": None, "seed": 8, "kind": "", "deep": 5, "late": 2.5},
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    jsonl = "\n\n".join(json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows)
    files = [
        written(tmp_path, text.getvalue(), "t.csv"),
        written(tmp_path, text.getvalue().replace(",", "\t"), "t.tsv"),
        written(tmp_path, jsonl, "t.jsonl"),
        tmp_path / "t.csv.gz",
        tmp_path / "t.ndjson.gz",
        tmp_path / "t.parquet",
    ]
    files[3].write_bytes(gzip.compress(("\ufeff" + text.getvalue()).encode()))
    files[4].write_bytes(gzip.compress(jsonl.encode()))
    parquet.write_table(pyarrow.Table.from_pylist(rows), files[5])
    for file in files:
        import_table(file, tmp_path / "out.h5", error="err", unit="percent")
        with Archive(tmp_path / "out.h5") as archive:
            assert archive.names == ["t"]
            np.testing.assert_array_equal(archive.read("t", "error"), [5.5, math.nan, 1.25], file.name)
            np.testing.assert_array_equal(archive.read("t", "params"), [10, 20, math.nan], file.name)
            assert archive.read("t", "seed").tolist() == [2**60 + 1, 7, 8], file.name
            assert archive.read("t", "kind").tolist() == ["x", "y", ""], file.name
            assert archive.read("t", "deep").tolist() == [3, 4, 5], file.name
            np.testing.assert_array_equal(archive.read("t", "late"), [math.nan, math.nan, 2.5], file.name)
            assert archive.read("t", "id").tolist() == ["1", "2", "3"], file.name


def test_a_column_splits_populations_and_they_compare(tmp_path: Path) -> None:
    rows = ["Space,err,n"]
    rng = np.random.default_rng(1)
    for name, shift in (("Res Net", 0.0), ("vanilla", 3.0)):
        rows += [
            f"{name},{5 + shift + e:.2f},{n}" for e, n in zip(rng.random(60), rng.integers(100, 200, 60), strict=True)
        ]
    target = tmp_path / "out.h5"
    file = written(tmp_path, "\n".join(rows))
    result = import_table(file, target, error="err", space="Space", params="n")
    assert result.models == {"res-net": 60, "vanilla": 60}
    with Archive(target) as archive:
        assert archive.group_attrs("res-net") == {"name_in_source": "Res Net", "label": "Res Net"}
        assert archive.group_attrs("vanilla") == {"name_in_source": "vanilla"}
        for given_ in ("params", "none"):
            (pair,) = compare_populations(archive, archive.names, given=given_).pairs
            assert pair.estimates is not None
            assert pair.estimates.distance == pytest.approx(1.0, abs=1e-12)
            assert pair.prob_a_better == 1.0
            assert pair.better == "res-net"
    for more, code in ((["--given", "params"], 0), (["--given", "none"], 0), (["--given", "macs"], 1)):
        command = [
            EDFKIT,
            "compare",
            "res-net",
            "VANILLA",
            "--archive",
            str(target),
            *more,
        ]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        if code == 0:
            found = json.loads(done.stdout)["pairs"][0]
            assert (found["ks"], found["prob_a_better"]) == (pytest.approx(1.0, abs=1e-12), 1.0)
            assert found["better"] == "res-net"
        else:
            assert "The macs of 60 of the 60 Res Net models are not known" in done.stderr


def test_accuracies_and_shares_become_errors(tmp_path: Path) -> None:
    text = "acc,last,state\n0.9435,0.94,Completed\n0.5,0.25,diverged\n,,ok\n0.1,0.1,FAILED\n"
    import_table(
        written(tmp_path, text),
        tmp_path / "out.h5",
        accuracy="acc",
        unit="share",
        final="last",
        status="state",
        name="X Y",
    )
    with Archive(tmp_path / "out.h5") as archive:
        np.testing.assert_array_equal(archive.read("x-y", "error"), [5.65, 50.0, math.nan, 90.0])
        np.testing.assert_array_equal(archive.read("x-y", "error_final"), [6.0, 75.0, math.nan, 90.0])
        assert archive.read("x-y", "status").tolist() == [0, 1, 2, 2]


def test_columns_take_the_role_of_their_name_unless_told_otherwise(tmp_path: Path) -> None:
    text = "err,params,weights,depth,error,0 x,a_length,a,a b,a-b\n5,1.2M,30,4,9,1,2,t,3,4\n"
    import_table(written(tmp_path, text), tmp_path / "out.h5", error="err", params="weights")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("table", "params").tolist() == [30]
        names = set(archive.variables("table")) - set(VARIABLES)
        assert names == {"x_params", "x_depth", "x_error", "x_0_x", "a_length", "a_2", "a_b", "a_b_2"}
        assert archive.variable("table", "x_params").attrs["long_name"] == "params"
        assert archive.variable("table", "a_b_2").attrs["long_name"] == "a-b"
    import_table(written(tmp_path, text), tmp_path / "out.h5", error="err", params="")
    with Archive(tmp_path / "out.h5") as archive:
        assert np.isnan(archive.read("table", "params")).all()
        assert archive.read("table", "x_params").tolist() == ["1.2M"]


def test_text_that_looks_like_numbers_stays_text(tmp_path: Path) -> None:
    text = "err,code,hash,word,large,real\n5,007,12e4567,NA,9007199254740993,1e5\n6,010,34e5678,nan,1.0,inf\n"
    import_table(written(tmp_path, text), tmp_path / "out.h5", error="err")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("table", "code").tolist() == ["007", "010"]
        assert archive.read("table", "hash").tolist() == ["12e4567", "34e5678"]
        assert archive.read("table", "word").tolist() == ["NA", "nan"]
        assert archive.read("table", "large").tolist() == ["9007199254740993", "1.0"]
        assert archive.read("table", "real").tolist() == [1e5, math.inf]


@pytest.mark.parametrize("late", ["x", "7.5", ""])
def test_a_column_is_of_one_kind_over_all_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str) -> None:
    monkeypatch.setattr("edfkit.exchange.rows.ROWS", 2)
    text = "err,code\n" + "".join(
        f"{i},{c}\n" for i, c in enumerate(["01" if late == "x" else "1", "2", "", "3", late], 2)
    )
    import_table(written(tmp_path, text), tmp_path / "out.h5", error="err")
    with Archive(tmp_path / "out.h5") as archive:
        if late == "x":
            assert archive.read("table", "code").tolist() == ["01", "2", "", "3", "x"]
        else:
            np.testing.assert_array_equal(archive.read("table", "code"), [1, 2, math.nan, 3, float(late or "nan")])


def test_text_too_long_for_an_archive_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edfkit.exchange.columns.MOST_CHARACTERS", 20)
    result = import_table(written(tmp_path, "err,a,b\n5,xxxxxxxxxxx,y\n6,y,y\n"), tmp_path / "out.h5", error="err")
    assert len(result.notes) == 1
    assert "'a' is not in the archive" in result.notes[0]
    with Archive(tmp_path / "out.h5") as archive:
        assert "b" in archive.variables("table")
        assert "a" not in archive.variables("table")


BAD = [
    ("err\n5\n", {"error": "error"}, r"has no column 'error'; did you mean 'err'\? It has 'err': name one of them\."),
    ("a,b\n5,1\n", {"error": "zzz"}, r"table\.csv has no column 'zzz'; it has 'a', 'b'"),
    ("a,b\n5,1\n", {"error": "a", "params": "zz"}, "has no column 'zz'"),
    ("a,b\n5,1\n", {"error": "a", "accuracy": "b"}, "exactly one of them"),
    ("a,b\n5,1\n", {}, "exactly one of them"),
    ("a,b\n5,1\n", {"error": "a", "space": "b", "name": "x"}, "give one of them"),
    ("a\n0.5\n1\n\n", {"error": "a"}, r"lies in 0\.\.1 \(the largest is 1\).*--unit share or --unit percent"),
    ("a\n0.5\n", {"accuracy": "a"}, r"Each accuracy lies in 0\.\.1.*--unit share or --unit percent"),
    ("a\n0.5\n", {"error": "a", "unit": "permille"}, "'permille', expected percent or share"),
    ("a,b\n5,1\n", {"error": "a", "metric": "b", "unit": "nats"}, "each in turn: --unit percent --unit nats"),
    ("a,b\n5,1.234.567\n", {"error": "a", "params": "b"}, r"'1\.234\.567' as 'b', where the dot may be the decimal"),
    ("a\n0.5\n1.5\n", {"error": "a", "unit": "share"}, r"Line 3 of .*has the error 1\.5, expected 0\.\.1 \(share\)"),
    ("a\n5\n\n-1\n", {"error": "a"}, r"Line 4 of .* has the error -1, expected 0\.\.100"),
    ('a,b\n5,"x\ny"\n101,\n', {"error": "a"}, r"Line 4 of .* has the error 101, expected 0\.\.100"),
    ("a\n5\nlow\n", {"error": "a"}, r"Line 3 of .* has 'low' as 'a', expected a number such as 1200000, .* or 1\.2M"),
    ("a\n5\n1_0\n", {"error": "a"}, r"Line 3 of .* has '1_0' as 'a', expected a number"),
    ("a,b\n5,1.2X\n", {"error": "a", "params": "b"}, r"Line 2 of .* has '1\.2X' as 'b', expected a number such"),
    (
        "a,b\n5,1\n6,-2\n",
        {"error": "a", "macs": "b"},
        "Line 3 of .* has the macs -2, expected a finite number, 0 or more",
    ),
    ("a,b\n5,1\n6,inf\n", {"error": "a", "acts": "b"}, "Line 3 of .* has the acts inf, expected a finite number, 0 or"),
    ("a,b\n5,x\n6,y\n7,x\n", {"error": "a", "id": "b"}, "Line 4 of .* has the id 'x', as Line 2 of .* has; give each"),
    ("a,b\n5,x\n6,\n", {"error": "a", "id": "b"}, "Line 3 of .* has '' as 'b', expected an id"),
    ("a,b\n5,x\n6,\n", {"error": "a", "space": "b"}, "Line 3 of .* has '' as 'b', expected the name of a population"),
    (
        "a,b\n5,ok\n6,odd\n",
        {"error": "a", "status": "b"},
        r"Line 3 of .* has 'odd' as the outcome of a run, expected one of: finished \(.*--status-map 'odd=failed'",
    ),
    ("val_loss\n5\n", {"error": "val_loss"}, "by its name another metric; write --metric val_loss --goal min --unit"),
    ("AUC\n5\n", {"accuracy": "AUC"}, "given as the accuracy, .* write --metric AUC --goal max --unit"),
    ("mAP\n5\n", {"accuracy": "mAP"}, "write --metric mAP --goal max --unit"),
    ("a\n0.5\n", {"metric": "a"}, r"No value of a is above 1 .*--unit"),
    ("val_acc\n50\n", {"metric": "val_acc"}, "The goal of 'val_acc' was not given, .* --goal max"),
    ("a\n50\n", {"metric": "a", "goal": ["min", "max"]}, "--goal was given 2 times for 1 metrics"),
    ("a\n50\n", {"metric": ["a", "a"]}, "--metric a was given twice"),
    ("a,b\n5,1.5\n", {"error": "a", "diverged": "b"}, "'b' was named to say which runs diverged, expected true or"),
    ("a,b\n5,1.5\n", {"error": "a", "diverged": "c"}, "has no column 'c'"),
    ("a\n2\n", {"metric": "a", "bounds": (0, 1), "unit": "nats"}, "a has the value 2, expected 0 to 1"),
    ("a,b\n5,1\n6\n", {"error": "a"}, "Line 3 of .* has 1 fields, expected 2"),
    ("a,b\n5,1\n6,1,2\n", {"error": "a"}, "Line 3 of .* has 3 fields, expected 2"),
    ("a,a\n5,1\n", {"error": "a"}, "several columns called 'a'"),
    ('a\n"5\n', {"error": "a"}, "cannot be read as CSV in UTF-8"),
    ("a\n", {"error": "a"}, "has no rows"),
    ("", {"error": "a"}, "has no line of column names"),
    ("a\n5\n", {"error": "a", "recipe": "{"}, "'recipe' is not JSON"),
]


@pytest.mark.parametrize(("text", "options", "message"), BAD)
def test_bad_tables_are_refused_and_nothing_is_written(
    tmp_path: Path, text: str, options: dict[str, Any], message: str
) -> None:
    target = tmp_path / "out.h5"
    target.write_bytes(b"before")
    with pytest.raises(EdfkitError, match=message) as caught:
        import_table(written(tmp_path, text), target, **options)
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "table.csv"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"a\n\xff\n", r"t\.csv cannot be read as CSV in UTF-8"),
        ("t.csv.gz", gzip.compress(b"a\n5\n", mtime=0)[:-9], r"t\.csv\.gz cannot be read as CSV"),
        ("t.csv.gz", b"a\n5\n", r"t\.csv\.gz cannot be read as CSV"),
        ("t.jsonl", b'{"a": 5}\n\n{"a": \n', r"Line 3 of .*t\.jsonl is not JSON"),
        ("t.jsonl", b'{"a": 5}\n[5]\n', r"Line 2 of .*t\.jsonl is not a JSON object"),
        ("t.jsonl", b'{"a": 5}\n{"a": true}\n', r"Line 2 of .*t\.jsonl has true as 'a', expected a number"),
        ("t.jsonl", b'{"a": 5}\n{"a": [1, [2]]}\n', r"Line 2 of .*t\.jsonl has \[2\] as 'a', expected a number"),
        ("t.json", b'[{"a": 5}, 3]', r"Record 2 of .*t\.json is not a JSON object"),
        ("t.json", b'[{"a": 5}, {"a": "x"}]', r"Record 2 of .*t\.json has 'x' as 'a'"),
        ("t.json", b'[{"a": 5}', r"t\.json is not a JSON array"),
        ("t.xlsx", b"PK", r"t\.xlsx has no suffix of a table, expected \.csv"),
        ("table", b"a\n5\n", r"table has no suffix of a table, expected \.csv"),
        ("t.parquet", b"PAR1", r"t\.parquet cannot be read as Parquet"),
    ],
)
def test_damaged_and_unknown_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EdfkitError, match=message) as caught:
        import_table(tmp_path / name, tmp_path / "out.h5", error="a")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


def test_a_row_of_parquet_is_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    parquet.write_table(pyarrow.table({"a": [5.0, 6.0], "b": ["1", "x"], "c": [1, -1]}), tmp_path / "t.parquet")
    with pytest.raises(EdfkitError, match=r"Row 2 of .* has 'x' as 'b'"):
        import_table(tmp_path / "t.parquet", tmp_path / "out.h5", error="a", params="b")
    with pytest.raises(EdfkitError, match=r"Row 2 of .* has the params -1"):
        import_table(tmp_path / "t.parquet", tmp_path / "out.h5", error="a", params="c")


def test_without_pyarrow_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(EdfkitError, match=r"pip install 'edfkit\[parquet\]'"):
        import_table(tmp_path / "t.parquet", tmp_path / "out.h5", error="a")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "absent.csv", "does not exist"),
        (Path("a\0.csv"), "a"),
    ):
        with pytest.raises(EdfkitError, match=message):
            import_table(path, tmp_path / "out.h5", error="a")


def test_half_a_space_that_diverged_is_no_failure(tmp_path: Path) -> None:
    rows = ["arch,acc,status,loss"]
    for i in range(6):
        rows += [f"tame,{80 + i},finished,1", f"wild,{'' if i % 2 else 90 + i},{'diverged' if i % 2 else 'finished'},1"]
    rows += [
        "wild,91,finished,nan",
        "wild,92,finished,-inf",
        "wild,93,finished,",
        "wild,NaN,failed,1",
        "wild,-inf,ok,1",
    ]
    result = import_table(
        written(tmp_path, "\n".join(rows)), tmp_path / "out.h5", accuracy="acc", space="arch", status="status"
    )
    assert result.outcomes == {"tame": {"finished": 6}, "wild": {"finished": 4, "diverged": 7}}
    assert result.failed == {}
    validate(tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        np.testing.assert_array_equal(
            archive.read("wild", "error"), [10, math.nan, 8, math.nan, 6, math.nan, 9, 8, 7, math.nan, math.nan]
        )
    result = import_table(written(tmp_path, "err\n5\n-\ninf\n--\nnan\n6\n"), tmp_path / "out.h5", error="err")
    assert result.outcomes == {"table": {"finished": 2, "diverged": 2, "failed": 2}}


def test_nan_of_json_is_evidence_and_nan_of_a_data_frame_is_missing(tmp_path: Path) -> None:
    text = '{"err": 5}\n{"err": NaN}\n{"err": null}\n{"err": Infinity}\n{"err": "NaN"}\n{}\n'
    result = import_table(written(tmp_path, text, "t.jsonl"), tmp_path / "out.h5", error="err")
    assert result.outcomes == {"t": {"finished": 1, "diverged": 3, "failed": 2}}
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    parquet.write_table(pyarrow.table({"err": [5.0, math.nan, None, math.inf]}), tmp_path / "t.parquet")
    result = import_table(tmp_path / "t.parquet", tmp_path / "out.h5", error="err")
    assert result.outcomes == {"t": {"finished": 1, "diverged": 1, "failed": 2}}


@pytest.mark.parametrize(
    ("column", "cells", "options", "diverged"),
    [
        ("nan_train_loss", "true false True", {}, 2),
        ("is_diverged", "False,yes,no", {}, 1),
        ("broken", "1 0 1", {"diverged": "broken"}, 2),
        ("broken", "1 0 1", {}, 0),
        ("has_nan", "1 0 1", {}, 0),  # may be a count
        ("nan_train_loss", "true false True", {"diverged": ""}, 0),
        ("finance", "true false True", {}, 0),
    ],
)
def test_a_column_says_which_runs_diverged(
    tmp_path: Path, column: str, cells: str, options: dict[str, str], diverged: int
) -> None:
    rows = [f"{column},err", *(f"{cell},{i + 2}" for i, cell in enumerate(cells.replace(",", " ").split()))]
    result = import_table(written(tmp_path, "\n".join(rows)), tmp_path / "out.h5", error="err", **options)  # type: ignore[arg-type]
    assert result.outcomes["table"].get("diverged", 0) == diverged
    assert len(result.notes) == (diverged > 0 and not options)


def test_words_of_other_tools(tmp_path: Path) -> None:
    text = (
        '"Name","State","Runtime","weight_decay","test_acc","val/acc"\n"a","finished","30","1e-4","80","81"\n'
        '"b","crashed","","1e-4","","50"\n"c","killed","7","1e-5","60","61"\n"d","running","8","1e-5","",""\n'
        '"e","preempted","9","1e-5","",""\n'
    )
    file = written(tmp_path, text)
    result = import_table(file, tmp_path / "out.h5", accuracy="test_acc", status="State", seconds="Runtime", id="Name")
    assert result.outcomes == {"table": {"finished": 1, "failed": 1, "stopped": 2, "running": 1}}
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("table", "wd").tolist() == [1e-4, 1e-4, 1e-5, 1e-5, 1e-5]
        np.testing.assert_array_equal(archive.read("table", "seconds"), [30, math.nan, 7, 8, 9])
    import_table(file, tmp_path / "out.h5", metric="val/acc", goal="max", status="State", statuses="killed=failed")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("table", "status").tolist() == [0, 2, 2, 4, 3]
        (metric,) = archive.metrics("table")
        assert (metric.name, metric.label, metric.goal, metric.unit) == ("val_acc", "val/acc", "max", "percent")
        np.testing.assert_array_equal(archive.read("table", "val_acc"), [81, 50, 61, math.nan, math.nan])
        assert not archive.has("table", "error")


def test_trials_of_a_data_frame_of_optuna(tmp_path: Path) -> None:
    text = (
        "number,value,duration,state\n0,0.6,0 days 00:01:00.531,COMPLETE\n1,0.5,0 days 00:00:02,PRUNED\n"
        "2,,0 days 00:00:03,FAIL\n3,,,RUNNING\n4,,,WAITING\n"
    )
    import_table(
        written(tmp_path, text), tmp_path / "out.h5", metric="value", unit="nats", status="state", seconds="duration"
    )
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("table", "status").tolist() == [0, 3, 2, 4, 4]
        np.testing.assert_array_equal(archive.read("table", "seconds"), [60.531, 2, 3, math.nan, math.nan])


def test_several_metrics_with_what_is_said_of_each(tmp_path: Path) -> None:
    file = written(tmp_path, "loss,auc,err,loss_final\n2.5,0.5,50,x\n1.5,0.75,40,y\n")
    target = tmp_path / "out.h5"
    import_table(
        file,
        target,
        metric=["loss", "auc"],
        goal=["min", "max"],
        unit=["nats", "share"],
        bounds=[(0, 10), (0, 1)],
        grid=[0.5, 0.25],
    )
    with Archive(target) as archive:
        loss, auc = archive.metrics("table")
        assert (loss.name, loss.goal, loss.unit, loss.low, loss.high, loss.grid) == ("loss", "min", "nats", 0, 10, 0.5)
        assert (auc.name, auc.goal, auc.unit, auc.low, auc.high, auc.grid) == ("auc", "max", "share", 0, 1, 0.25)
        assert archive.group_attrs("table")["metric"] == "loss"
        assert archive.read("table", "loss_final_2").tolist() == ["x", "y"]  # and not the metric's last value
    import_table(file, target, error="err", metric="loss", unit=["percent", "1"], grid=0.01)
    with Archive(target) as archive:
        error, loss = archive.metrics("table")
        assert (error.name, error.grid, loss.name, loss.unit) == ("error", 0.01, "loss", "1")
        assert archive.read("table", "error").tolist() == [50, 40]
        assert archive.read("table", "loss").tolist() == [2.5, 1.5]
    import_table(file, target, metric="loss", final="err", unit="1")
    with Archive(target) as archive:
        assert archive.read("table", "loss_final").tolist() == [50, 40]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("form", [".csv", ".jsonl", ".csv.gz"])
def test_text_as_windows_writes_it_is_read(tmp_path: Path, encoding: str, form: str) -> None:
    text = '{"err": 5}\n{"err": 6.5}\n' if "json" in form else "err\n5\n6.5\n"
    encoded = ("\ufeff" * (encoding != "utf-16") + text).encode(encoding)
    (tmp_path / f"t{form}").write_bytes(gzip.compress(encoded) if "gz" in form else encoded)
    import_table(tmp_path / f"t{form}", tmp_path / "out.h5", error="err")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("t", "error").tolist() == [5, 6.5]


def test_every_space_has_a_name_of_its_own_and_keeps_its_label(tmp_path: Path) -> None:
    labels = {
        "残差网络": "space-1",
        "普通网络": "space-2",
        "Сеть": "space-3",
        "Δίκτυο": "space-4",
        "??": "space-5",
        "ViT-B/16": "vit-b-16",
        "ViT-B 16": "vit-b-16-2",
        "a": "a",
        "A": "a-2",
        "ConvNeXt (ours)": "convnext-ours-",
        "模型1": "1",
        "space-1": "space-1-2",
        "x\u200by": "x-y",
        "none": "none-2",  # which compare says of populations of which none is better, as it does of shape
        "Shape": "shape-2",
    }
    text = "arch,err\n" + "".join(f'"{label}",{i + 2}\n' for i, label in enumerate(labels))
    result = import_table(written(tmp_path, text), tmp_path / "out.h5", error="err", space="arch")
    assert [*result.models] == [*labels.values()]
    validate(tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.version == 1
        for i, (label, name) in enumerate(labels.items()):
            assert archive.read(name, "error").tolist() == [i + 2]
            assert archive.label(name) == label.replace("\u200b", " ")
        assert "label" not in archive.group_attrs("a")
        assert archive.identify("普通网络") == "space-2"
    import_table(written(tmp_path, "err\n5\n", "结果.csv"), tmp_path / "out.h5", error="err")
    with Archive(tmp_path / "out.h5") as archive:
        assert (archive.names, archive.label("space-1")) == (["space-1"], "结果")


def test_columns_without_names_are_an_index_or_go_by_their_place(tmp_path: Path) -> None:
    import_table(written(tmp_path, ",arch,err,\n0,a,5,x\n1,b,6,y\n"), tmp_path / "out.h5", error="err")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("table", "index").tolist() == [0, 1]
        assert archive.read("table", "column_4").tolist() == ["x", "y"]
        assert archive.read("table", "error").tolist() == [5, 6]


def test_rows_of_one_network_share_a_unit_in_every_archive(tmp_path: Path) -> None:
    text = "arch,lr,seed,err\nx,0.1,1,5\nx,0.1,2,6\ny,0.1,1,7\nx,0.2,1,8\n"
    units = []
    for columns, name in (("arch", "a.csv"), ("arch,lr", "b.csv"), ("arch", "c.csv")):
        import_table(written(tmp_path, text, name), tmp_path / "out.h5", error="err", network=columns)
        with Archive(tmp_path / "out.h5") as archive:
            units.append(archive.read(archive.names[0], "unit"))
            assert archive.read(archive.names[0], "arch").tolist() == ["x", "x", "y", "x"]
    first, both, again = units
    assert first.dtype == np.int64
    assert (first >= 0).all()
    assert [first.tolist().index(unit) for unit in first] == [0, 0, 2, 0]
    assert [both.tolist().index(unit) for unit in both] == [0, 0, 2, 3]
    assert again.tolist() == first.tolist()
    result = import_table(tmp_path / "a.csv", tmp_path / "out.h5", error="err", id="")
    assert ["--network-column arch" in note for note in result.notes] == []  # x comes twice with the seed 1
    result = import_table(written(tmp_path, text.replace("0.2,1", "0.2,3")), tmp_path / "out.h5", error="err")
    assert ["say --network-column arch" in note for note in result.notes] == [True]
    with pytest.raises(EdfkitError, match="has no column 'arc'; did you mean 'arch'"):
        import_table(tmp_path / "a.csv", tmp_path / "out.h5", error="err", network="arc,lr")


def test_objects_within_records_have_dotted_names(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"err": 5, "config": {"lr": 0.1, "net": {"depth": 3}, "blocks": [1, 2]}, "empty": {}},
        {"err": 6, "config": {"lr": 0.2}, "empty": {}},
    ]
    for text, name in (("\n".join(map(json.dumps, records)), "t.jsonl"), (json.dumps(records, indent=1), "t.json")):
        import_table(written(tmp_path, text, name), tmp_path / "out.h5", error="err", lr="config.lr")
        with Archive(tmp_path / "out.h5") as archive:
            assert archive.read("t", "lr").tolist() == [0.1, 0.2]
            np.testing.assert_array_equal(archive.read("t", "config_net_depth"), [3, math.nan])
            assert archive.variable("t", "config_net_depth").attrs["long_name"] == "config.net.depth"
            assert archive.read("t", "config_blocks").tolist() == ["[1, 2]", ""]


def test_the_command_takes_all_options_and_says_how_runs_ended(tmp_path: Path) -> None:
    text = "Arch;auc;net;state;count\nA 1;0,5;x;done;1,5\nA 1;0,25;x;gone;2,5\nB;nan;y;done;3,5\n"
    arguments = "--metric auc --goal max --unit share --by Arch --network-column net --status-column state --grid 0.25 \
        --bounds 0 1 --status-map gone=stopped --params count*1M --separator ; --decimal , --dataset digits --seed net"
    file = written(tmp_path, text)
    command = [EDFKIT, "import", "table", str(file), "-o", str(tmp_path / "out.h5"), *arguments.split()]
    done = subprocess.run(command[:-2], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("A 1: 2 models, of which 1 stopped\nB: 1 model, of which 1 diverged\n")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("a-1", "params").tolist() == [1_500_000, 2_500_000]
        assert archive.attrs["dataset"] == "digits"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "has 'x' as 'net', expected a number" in done.stderr


def test_options_of_other_commands_take_numbers_as_people_write_them() -> None:
    command = [EDFKIT, "compare", "resnet", "vanilla", "--archive", "digits", "--json", "--given", "params"]
    for more, code in (
        (["--range", "20k", "0.3M", "--bins", "0.005k"], 0),
        (["--confidence", "90%"], 0),
        (["--bins", "50%"], 2),
    ):
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        if more[0] == "--range":
            found = json.loads(done.stdout)
            assert (found["range"], found["bins"]) == ([20_000.0, 300_000.0], 5)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(str.strip)
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Columns err, n, id, then some of any name, of text, integers or floats."""
    kinds = draw(st.dictionaries(NAMES, st.sampled_from(["text", "int", "float"]), max_size=4))
    kinds = {key: kind for key, kind in kinds.items() if key not in ("err", "n", "id", *VARIABLES)}
    rows = draw(st.integers(1, 6))
    ids = draw(st.lists(st.integers(0, 99), min_size=rows, max_size=rows, unique=True))
    values = {"text": CELLS, "int": st.integers(-(2**63), 2**63 - 1), "float": st.floats(allow_nan=False, width=64)}
    names = ["err", "n", "id", *kinds]
    table = [
        [
            draw(st.none() | st.floats(0, 100)),
            draw(st.none() | st.integers(0, 2**53)),
            f"i{id_}",
            *(draw(values[kind]) for kind in kinds.values()),
        ]
        for id_ in ids
    ]
    return names, table


@settings(max_examples=20)
@given(tables(), st.sampled_from(["csv", "jsonl"]))
def test_an_import_equals_its_table(tmp_path_factory: pytest.TempPathFactory, table: Any, form: str) -> None:
    names, rows = table
    folder = tmp_path_factory.mktemp("import")
    file = folder / f"t.{form}"
    with open(file, "w", encoding="utf-8", newline="") as stream:
        if form == "csv":
            writer = csv.writer(stream)
            writer.writerow(names)
            writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
        else:
            stream.writelines(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    result = import_table(file, folder / "out.h5", error="err", params="n", unit="percent")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    failed = columns["err"].count(None)
    assert result.models == {"t": len(rows)}
    assert result.failed == ({"t": failed} if failed else {})
    with Archive(folder / "out.h5") as archive:
        for name, variable in (("err", "error"), ("n", "params")):
            expected = [math.nan if cell is None else cell for cell in columns[name]]
            np.testing.assert_array_equal(archive.read("t", variable), np.array(expected, float))
        assert archive.read("t", "id").tolist() == list(columns["id"])
        found: list[str] = []
        for name, cells in list(columns.items())[3:]:
            found.append(variable_name(name, found))
            values = archive.read("t", found[-1])
            assert all(equal(ours, cell) for ours, cell in zip(values, cells, strict=True)), (name, values, cells)
        assert set(found) == set(archive.variables("t")) - set(VARIABLES)


def equal(ours: Any, cell: Any) -> bool:
    """Tell whether a value read back is that of the table: a number as the same number, text as the same text."""
    if isinstance(ours, str):
        return ours == str(cell)
    if isinstance(cell, str):
        return (math.isnan(ours) and not cell.strip()) or (bool(cell.strip()) and float(ours) == float(cell))
    return bool(ours == cell)


@given(st.lists(NAMES, unique=True, max_size=12))
def test_names_of_variables_are_valid_and_never_meet(texts: list[str]) -> None:
    names: list[str] = []
    for text in texts:
        names.append(variable_name(text, names))
    reserved = {"model", "epoch", *VARIABLES}
    every = [*names, *(f"{name}_length" for name in [*names, *reserved]), *reserved]
    assert len(set(every)) == len(every)
    assert all(name.isascii() and name.isidentifier() and len(name) <= 100 for name in names)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ResNeXt-A_in", "resnext-a_in"),
        (" My Space (v2) ", "my-space-v2-"),
        ("_x", "x"),
        ("é1", "1"),
        ("a" * 200, "a" * 100),
        ("残差", ""),
    ],
)
def test_names_of_populations(text: str, name: str) -> None:
    assert population_name(text) == name


def test_a_unit_that_a_name_gives_is_said(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("val_acc,loss\n81.5,2.1\n90.25,1.4\n")
    imported = import_table(table, tmp_path / "a.h5", metric=["val_acc", "loss"], goal=["max", "min"])
    assert imported.notes == ("'val_acc' is taken to be in percent, as its name says; --unit says what else it is in.",)
    assert not import_table(table, tmp_path / "b.h5", metric="val_acc", goal="max", unit="percent").notes
