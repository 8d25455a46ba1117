import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.exchange.numbers import Numbers, Style, multiplied, scaled
from edfkit.exchange.tables import import_table
from edfkit.numbers import number

NAN = math.nan
COMMA = Style(decimal=",")
DOT = Style(decimal=".")
SEMICOLON = Style(usual=",")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        (" -1.5e3 ", -1500),
        (".5", 0.5),
        ("30k", 30_000),
        ("1.2M", 1.2e6),
        ("1.1 m", 1.1e6),
        ("2e3K", 2e6),
        ("0.3B", 3e8),
        ("50 MFLOPs", 5e7),
        ("60 GFLOPS", 6e10),
        ("7 macs", 7),
        ("1.5 million", 1.5e6),
        ("3.2M params", 3.2e6),
    ],
)
def test_numbers_as_people_write_them(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    "text", ["", "k", "1_000", "1,5", "1.2X", "90%", "nan", "inf", "0x10", "1 2", "12 apples", "--1"]
)
def test_what_is_no_number(text: str) -> None:
    assert number(text) is None


def test_a_percent_sign_means_what_the_caller_says() -> None:
    assert number("90.5%", percent=1) == 90.5
    assert number("5 %", percent=0.01) == 0.05
    assert number("1k%", percent=1) is None


@given(st.integers(-(10**6), 10**6), st.integers(0, 5), st.sampled_from(["", "k", "M", "G", "T"]))
def test_a_magnitude_gives_the_nearest_number(whole: int, decimals: int, magnitude: str) -> None:
    text = f"{whole / 10**decimals:.{decimals}f}"
    power = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12}[magnitude]
    assert number(text + magnitude) == float(f"{text}e{power}")


def column(cells: list[str], style: Style = Style(), *, clock: bool = False) -> list[float]:  # noqa: B008  (never changed)
    """Read a column in two pieces, and check it."""
    numbers = Numbers("x", "Line {}".format, style, clock=clock)
    half = (len(cells) + 1) // 2
    parts = [
        numbers.take([row + 1 for row in range(start, start + len(part))], part)[0]
        for start, part in ((0, cells[:half]), (half, cells[half:]))
        if part
    ]
    values = np.concatenate(parts)
    numbers.check(values)
    return [float(value) for value in values]


@pytest.mark.parametrize(
    ("style", "cells", "values"),
    [
        (Style(), ["1,014.45", "1,014", "7"], [1014.45, 1014, 7]),
        (Style(), ["0.36", "1,014", "2,000"], [0.36, 1014, 2000]),
        (Style(), ["1,234,567"], [1234567]),
        (Style(), ["1,234,567.5 M"], [1234567.5e6]),
        (Style(), ["1'014.5", "1 014", "1\u202f014\u202f000"], [1014.5, 1014, 1014000]),
        (DOT, ["1,014", "5"], [1014, 5]),
        (COMMA, ["1,014", "8,23", "5", "1.014", "1.014,45", ",5"], [1.014, 8.23, 5, 1014, 1014.45, 0.5]),
        (SEMICOLON, ["8,23", "1,014", "5.2"], [8.23, 1.014, 5.2]),
        (SEMICOLON, ["5.25", "1.5"], [5.25, 1.5]),
        (SEMICOLON, ["1.014,45", "1.234.567"], [1014.45, 1234567]),
        (Style(), ["-1,014.5", "+2,000.0"], [-1014.5, 2000]),
        (Style(), ["90.0%", "5 %", "-"], [90, 5, NAN]),
        (Style(), ["1.2M", "30k", "", "NA", "\u2013", "null"], [1.2e6, 3e4, NAN, NAN, NAN, NAN]),
        (Style(), ["1e5", "inf"], [1e5, math.inf]),
    ],
)
def test_marks_are_read_by_the_whole_column(style: Style, cells: list[str], values: list[float]) -> None:
    np.testing.assert_array_equal(column(cells, style), values)


@pytest.mark.parametrize(
    ("style", "cells", "message"),
    [
        (Style(), ["1,014", "5"], r"Line 1 has '1,014' as 'x', where the comma may be .*--decimal"),
        (Style(), ["5", "8,23"], r"Line 2 has '8,23' as 'x', where .*--decimal"),
        (Style(), ["1,014.45", "8,23"], r"Line 2 has '8,23' as 'x'.*--decimal"),
        (SEMICOLON, ["8,23", "1,014.45"], r"Line 1 has '8,23' as 'x', and Line 2 has '1,014.45'.*--decimal"),
        (SEMICOLON, ["8,23", "1.014"], r"Line 1 has '8,23' as 'x', and Line 2 has '1.014'.*--decimal"),
        (DOT, ["8,23"], r"Line 1 has '8,23' as 'x', expected a number .* with the decimal mark '\.'"),
        (COMMA, ["5.2"], r"Line 1 has '5\.2' as 'x', expected a number .* with the decimal mark ','"),
        (Style(), ["1,2,3"], "Line 1 has '1,2,3' as 'x', expected a number"),
        (Style(), ["90%", "5"], "Line 2 has '5' as 'x', expected a percent sign as in '90%'"),
    ],
)
def test_two_readings_are_refused_with_the_option(style: Style, cells: list[str], message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        column(cells, style)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8), st.integers(1, 2))
def test_numbers_with_thousands_come_back(values: list[int], decimals: int) -> None:
    shown = [f"{value / 100:,.{decimals}f}" for value in values]
    expected = [float(text.replace(",", "")) for text in shown]
    assert column(shown) == column(shown, DOT) == expected
    german = [text.translate(str.maketrans(",.", ".,")) for text in shown]
    assert column(german, COMMA) == expected


def test_durations_are_seconds() -> None:
    cells = ["0 days 00:01:00.531", "1:02:03.5", "00:01:00", "1 day, 0:00:01", "30s", "12.5", "", "2 days"]
    cells += ["1h 30min", "1.5 h", "250 ms", "2 hours, 3 minutes"]
    expected = [60.531, 3723.5, 60, 86401, 30, 12.5, NAN, 172800, 5400, 5400, 0.25, 7380]
    np.testing.assert_array_equal(column(cells, clock=True), expected)
    with pytest.raises(EdfkitError, match="Line 1 has '1:30' as 'x'"):
        column(["1:30"], clock=True)
    with pytest.raises(EdfkitError, match="Line 1 has '00:01:00' as 'x'"):
        column(["00:01:00"])


def test_evidence_of_divergence_is_told_from_what_is_missing() -> None:
    numbers = Numbers("x", "Line {}".format, Style())
    assert numbers.take([1, 2, 3, 4], ["nan", "", "NaN", "-"])[1].tolist() == [True, False, True, False]
    assert numbers.take([5, 6], ["1", "nan"])[1].tolist() == [False, True]
    assert numbers.take([7, 8, 9], [NAN, None, 1.0])[1].tolist() == [True, False, False]
    of_frames = Numbers("x", "Row {}".format, Style(nan_is_missing=True))
    assert of_frames.take([1, 2, 3], [NAN, None, "nan"])[1].tolist() == [False, False, True]
    assert of_frames.take([1, 2], [NAN, 1.0])[1].tolist() == [False, False]


def test_a_scale_goes_with_the_name_of_a_column() -> None:
    assert scaled("a", ["a"]) == ("a", None)
    assert scaled("a*1e6", ["a"]) == ("a", 1e6)
    assert scaled("a * 1M", ["a"]) == ("a", 1e6)
    assert scaled("a/4", ["a"]) == ("a", 0.25)
    assert scaled("a*1e6", ["a", "a*1e6"]) == ("a*1e6", None)
    for bad in ("a*x", "a*0", "a*-1"):
        with pytest.raises(EdfkitError, match="expected a number above 0"):
            scaled(bad, ["a"])
    values = np.array([305.08, 0.36, 1014.45, NAN])
    np.testing.assert_array_equal(multiplied(values, 1e6), [305_080_000, 360_000, 1_014_450_000, NAN])


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_table_of_a_model_zoo_is_imported_by_its_scale(tmp_path: Path) -> None:
    file = written(tmp_path, 'err,count\n28.2,0.36\n5.3,305.08\n4.1,"1,014.45"\n')
    with pytest.raises(
        EdfkitError, match=r"Line 2 of .* has the params 0\.36, expected a whole .*--params 'count\*1e6'"
    ):
        import_table(file, tmp_path / "o.h5", error="err", params="count")
    import_table(file, tmp_path / "o.h5", error="err", params="count*1e6")
    with Archive(tmp_path / "o.h5") as archive:
        assert archive.read("t", "params").tolist() == [360_000, 305_080_000, 1_014_450_000]
    import_table(file, tmp_path / "o.h5", error="err", params="count*1")
    with Archive(tmp_path / "o.h5") as archive:
        assert archive.read("t", "params").tolist() == [0.36, 305.08, 1014.45]
    with pytest.raises(EdfkitError, match=r"has no column 'cont'; did you mean 'count'"):
        import_table(file, tmp_path / "o.h5", error="err", params="cont*1e6")


def test_a_table_of_a_readme_is_understood(tmp_path: Path) -> None:
    file = written(tmp_path, "acc,params,flops,seconds\n0.9%,1.2M,50 MFLOPs,1:00:00\n0.5%,30k,60 GFLOPS,30s\n")
    import_table(file, tmp_path / "o.h5", accuracy="acc")
    with Archive(tmp_path / "o.h5") as archive:
        assert archive.read("t", "error").tolist() == [99.1, 99.5]  # the sign says percent, though none is above 1
        assert archive.read("t", "params").tolist() == [1_200_000, 30_000]
        assert archive.read("t", "flops").tolist() == [5e7, 6e10]
        assert archive.read("t", "seconds").tolist() == [3600, 30]
    with pytest.raises(EdfkitError, match="'acc' have a percent sign, and their unit was given as 'share'"):
        import_table(file, tmp_path / "o.h5", accuracy="acc", unit="share")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("\ufeffmodell;fehler;lr;parameter\r\na;8,23;0,001;1000\r\nb;5,2;0,01;1200\r\n", {}),
        ("modell|fehler|lr|parameter\na|8,23|0,001|1000\nb|5,2|0,01|1200\n", {"decimal": ","}),
        ("modell\tfehler\tlr\tparameter\na\t8.23\t0.001\t1000\nb\t5.2\t0.01\t1200\n", {}),
        ('modell,fehler,lr,parameter\na,"8,23","0,001",1000\nb,"5,2","0,01",1200\n', {"decimal": ","}),
        ("sep=;\nmodell;fehler;lr;parameter\na;8,23;0,001;1000\nb;5,2;0,01;1200\n", {}),
        ("modell fehler lr parameter\na 8.23 0.001 1000\nb 5.2 0.01 1200\n", {"separator": "space"}),
        ("modell;fehler;lr;parameter\na;8.23;0.001;1.000\nb;5.2;0.01;1.200\n", {"params": "parameter*1e3"}),
    ],
)
def test_separators_and_decimal_marks_are_found_or_said(tmp_path: Path, text: str, options: dict[str, str]) -> None:
    options = {"params": "parameter", **options}
    import_table(written(tmp_path, text), tmp_path / "o.h5", error="fehler", space="modell", **options)  # type: ignore[arg-type]
    with Archive(tmp_path / "o.h5") as archive:
        read = {name: [archive.read(space, name)[0] for space in ("a", "b")] for name in ("error", "lr", "params")}
    assert read == {"error": [8.23, 5.2], "lr": [0.001, 0.01], "params": [1000, 1200]}


def test_columns_without_a_role_have_the_decimal_comma_too(tmp_path: Path) -> None:
    import_table(written(tmp_path, "e;x;y\n5,5;0,25;a,b\n6,5;1;c\n"), tmp_path / "o.h5", error="e")
    with Archive(tmp_path / "o.h5") as archive:
        assert archive.read("t", "x").tolist() == [0.25, 1]
        assert archive.read("t", "y").tolist() == ["a,b", "c"]


@pytest.mark.parametrize(("option", "value"), [("separator", "ab"), ("separator", '"'), ("decimal", ";")])
def test_bad_marks_are_refused(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{option}: .* was given, expected"):
        import_table(written(tmp_path, "a,b\n5,1\n"), tmp_path / "o.h5", error="a", **{option: value})  # type: ignore[arg-type]
