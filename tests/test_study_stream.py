"""Studies of models that are counted part by part, against those of models in memory."""

import io
import json
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edfkit
from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.archive.schema import REQUIRED_ATTRS, VARIABLES
from edfkit.cli import main
from edfkit.datasets import BUNDLED
from edfkit.show import text
from edfkit.show.plot import edf_figure
from edfkit.study import counting, sensitivity
from edfkit.study.compare import Comparison, compare_populations
from edfkit.study.counting import Counted

DIGITS = BUNDLED["digits"]
EDFKIT = Path(sys.executable).parent / "edfkit"
FINISHED, DIVERGED, FAILED = range(3)


def assert_same(one: Any, other: Any, path: str = "") -> None:
    """Check that results are equal, to the last bit."""
    if is_dataclass(one):
        one, other = vars(one), vars(other)
    if isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, np.ndarray | float):
        np.testing.assert_array_equal(one, other, err_msg=path)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}[{i}]")
    else:
        assert one == other, path


def stream(path: Path, names: list[str], **options: Any) -> Comparison:
    """Compare populations that are counted, however small they are."""
    with Archive(path) as archive:
        return compare_populations(Counted(archive, whole=0), names, **options)


def assert_streams_as_in_memory(path: Path, names: list[str], **options: Any) -> Comparison:
    streamed = stream(path, names, **options)
    with Archive(path) as archive:
        whole = compare_populations(archive, names, **options)
    for key in ("pairs", "bands", "seed", "settings"):
        assert_same(getattr(streamed, key), getattr(whole, key), key)
    for one, other in zip(streamed.selection.populations, whole.selection.populations, strict=True):
        assert_same(one.summary, other.summary, "summary")
    assert json.dumps(streamed.to_dict()) == json.dumps(whole.to_dict())
    assert list(text.comparison(streamed)) == list(text.comparison(whole))
    return streamed


def written(path: Path, seed: int, names: str = "abc", images: int = 200, models: int = 150) -> Path:
    """Write random populations with many ties, some of whose models diverged or failed."""
    rng = np.random.default_rng(seed)
    columns: dict[str, dict[str, Any]] = {}
    for name in names:
        size = models + int(rng.integers(0, 50))
        params = np.append(rng.integers(1_000, 9_000, size - 2), [1_000, 9_000])
        status = np.append(rng.choice(3, size - 2, p=(0.8, 0.12, 0.08)), [0, 0]).astype(np.int8)
        missed = rng.binomial(images, 0.1 + 200 / params + 0.02 * rng.random())
        error = np.where(status == FAILED, np.nan, np.where(status == DIVERGED, 90.0, missed * 100 / images))
        columns[name] = {
            "error": error,
            "error_final": np.minimum(100, error + 0.5),
            "params": params,
            "flops": 100 * params + rng.integers(0, 90_000, size),
            "status": status,
        }
    return archived(path, columns)


def archived(path: Path, populations: dict[str, dict[str, Any]]) -> Path:
    """Write populations of which some variables are known."""
    columns = {}
    for name, known in populations.items():
        size = len(known["error"])
        unknown = {v: np.full(size, np.nan) for v, spec in VARIABLES.items() if spec.required}
        columns[name] = unknown | {"id": np.arange(size).astype(str)} | known
    write(path, columns, dict.fromkeys(REQUIRED_ATTRS, "test") | {"recipe": "{}"})
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"given": "none", "permutations": 30},
        {"given": "flops", "bins": 5, "range": (2e6, 6e6), "permutations": 50, "seed": 4},
        {"error": "final", "diverged": "censor", "area_to": 20.0, "confidence": 0.8, "best_share": 0.3},
        {"given": "macs", "error": "final", "diverged": "drop"},
        {"error": "3"},
    ],
    ids=str,
)
def test_a_stream_gives_the_numbers_of_the_models_in_memory(options: dict[str, Any]) -> None:
    assert_streams_as_in_memory(DIGITS, ["resnet", "Vanilla"], **options)


@pytest.mark.parametrize("diverged", ["keep", "drop", "censor"])
@pytest.mark.parametrize("given_", ["params", "none"])
@pytest.mark.parametrize("seed", range(3))
def test_random_populations_give_the_same_in_every_field(tmp_path: Path, seed: int, given_: str, diverged: str) -> None:
    options: dict[str, Any] = {"given": given_, "diverged": diverged, "error": ["best", "final"][seed % 2]}
    options |= {
        "permutations": 40,
        "seed": seed,
        "confidence": [0.95, 0.9, 0.7][seed],
        "best_share": [0.05, 0.2, 1][seed],
    }
    if given_ == "params" and seed:
        options |= {"range": (1_500.0, 7_000.5), "bins": seed + 1}
    path = written(tmp_path / "x.h5", seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_AT_ONCE", 37)
        result = assert_streams_as_in_memory(path, ["c", "a", "b"], **options)
    assert [(pair.a, pair.b) for pair in result.pairs] == [("c", "a"), ("c", "b"), ("a", "b")]
    assert all((pair.permutation is None) == (given_ == "params" and not seed) for pair in result.pairs)
    assert all((pair.mix is None) == (given_ == "none") for pair in result.pairs)
    assert all(one.left_out.get("failed") for one in result.selection.populations)


@pytest.mark.parametrize("many", [0, sensitivity.MANY])
@pytest.mark.parametrize("seed", range(6))
def test_other_settings_of_random_populations_are_the_same(tmp_path: Path, seed: int, many: int) -> None:
    options: dict[str, Any] = {"error": ["best", "final"][seed % 2], "diverged": ["keep", "drop", "censor"][seed % 3]}
    ways: list[dict[str, Any]] = [{}, {"bins": 2}, {"given": "none"}, {"given": "params,flops", "strata": 5}]
    options |= ways[seed % 4]
    path = written(tmp_path / "x.h5", seed, "ab", models=[60, 1_000][seed % 2])
    with Archive(path) as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_AT_ONCE", 37)
        patch.setattr(sensitivity, "MANY", many)
        whole, streamed = (
            edfkit.compare(archive, ["B", "a"], stream=stream, sensitive=True, **options).settings
            for stream in (False, True)
        )
    assert [one.failed for one in whole if one.group == "failed"] == ["worst", "best"]
    assert [one.to_dict() for one in streamed] == [one.to_dict() for one in whole]
    assert whole[0].mean_difference is None or whole[0].mean_difference == compared(path, **options)


def compared(path: Path, **options: Any) -> float | None:
    """Give the mean difference of a comparison of its own."""
    with Archive(path) as archive:
        (pair,) = edfkit.compare(archive, ["B", "a"], **options).pairs
    assert pair.estimates is not None
    return None if pair.estimates.mean is None else pair.estimates.mean.estimate


@st.composite
def populations(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Populations of few sizes and errors, so that models are on edges and ends of bins, and many bins are empty."""
    found = {}
    for name in "ab":
        size = draw(st.integers(1, 40))
        sizes = st.integers(0, 12).map(lambda i: 10 * i) | st.integers(0, 120)
        columns = {
            variable: np.array(draw(st.lists(of, min_size=size, max_size=size)))
            for variable, of in (
                ("error", st.integers(0, 16).map(lambda i: 100 * i / 16)),
                ("params", sizes),
                ("flops", sizes),
                ("status", st.sampled_from([FINISHED, FINISHED, FINISHED, DIVERGED, FAILED])),
            )
        }
        copies = draw(st.sampled_from([1, 1, 1, 40]))
        found[name] = {variable: np.tile(values, copies) for variable, values in columns.items()}
        found[name]["error"] = np.where(found[name]["status"] == FAILED, np.nan, found[name]["error"])
    return found


@settings(max_examples=12)
@given(
    populations(),
    st.sampled_from(["params", "flops", "none"]),
    st.sampled_from(["keep", "drop", "censor"]),
    st.sampled_from([[], ["--json"]]),
)
def test_the_command_prints_the_same_for_any_populations(some: Any, by: str, diverged: str, form: list[str]) -> None:
    assert_prints_the_same(some, by, diverged, form)


def without_command(text: str) -> str:
    """Leave out of a document, if it is one, by which command it was made, and the digest of what that has read."""
    if not text.startswith("{"):
        return text
    document = json.loads(text)
    del document["command"], document["archive"]["digest"]
    return json.dumps(document)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    populations(),
    st.sampled_from(["params", "flops", "none"]),
    st.sampled_from(["keep", "drop", "censor"]),
    st.sampled_from([[], ["--json"]]),
)
def test_the_command_prints_the_same_for_many_populations(some: Any, by: str, diverged: str, form: list[str]) -> None:
    assert_prints_the_same(some, by, diverged, form)


def assert_prints_the_same(some: Any, by: str, diverged: str, form: list[str]) -> None:
    """Check what the command prints of two populations, or that it refuses both ways."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = archived(Path(folder) / "x.h5", some)
        patch.setattr(counting, "_AT_ONCE", 7)
        options = ["compare", "b", "a", "--archive", path, "--given", by, "--diverged", diverged, "--sensitivity"]
        whole, streamed = (command(patch, *options, *form, *more) for more in ([], ["--stream"]))
        assert (streamed[0], without_command(streamed[1])) == (whole[0], without_command(whole[1]))
        if whole[0]:
            assert streamed[2].startswith("edfkit: ")
            assert streamed[2].count("\n") == 1
        elif form:
            assert json.loads(whole[1])["sensitivity"][0]["group"] == "chosen"


def command(patch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str, str]:
    """Run the command line here, and return its status and what it printed."""
    patch.setattr(sys, "argv", ["edfkit", *map(str, arguments)])
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out.getvalue(), err.getvalue()


def test_one_population_streams_too(tmp_path: Path) -> None:
    result = assert_streams_as_in_memory(written(tmp_path / "x.h5", 9), ["b"])
    assert (result.pairs, len(result.bands)) == ([], 1)


def test_a_stream_is_drawn_like_the_models() -> None:
    streamed = stream(DIGITS, ["resnet", "vanilla"])
    with Archive(DIGITS) as archive:
        whole = compare_populations(archive, ["resnet", "vanilla"])
    drawn, other = (edf_figure(one, band=True).axes for one in (streamed, whole))
    assert len(drawn) == len(other) == 2
    for axes, its in zip(drawn, other, strict=True):
        for line, same in zip(axes.lines, its.lines, strict=True):
            assert line.get_label() == same.get_label()
            assert line.get_xydata() == pytest.approx(same.get_xydata())
        for band, other_band in zip(axes.collections, its.collections, strict=True):
            assert band.get_paths()[0].vertices == pytest.approx(other_band.get_paths()[0].vertices)
    assert drawn[1].collections


def test_a_stream_names_a_population_once() -> None:
    with pytest.raises(EdfkitError, match="named twice"):
        stream(DIGITS, ["resnet", "RESNET"])


def test_the_command_streams_here_and_on_a_cluster() -> None:
    from distributed import LocalCluster

    compare = [EDFKIT, "compare", "resnet", "vanilla", "--archive", DIGITS, "--sensitivity"]

    def printed(*options: str) -> str:
        return without_command(subprocess.run([*compare, *options], capture_output=True, check=True, text=True).stdout)

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        for form in ([], ["--json"]):
            in_memory = printed(*form)
            assert printed(*form, "--stream") == in_memory
            assert printed(*form, "--scheduler", cluster.scheduler_address) == in_memory
    document = json.loads(in_memory)
    assert document["pairs"][0]["tail"]["q"] == 0.05
    assert [one["group"] for one in document["sensitivity"]].count("complexity") == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_share": 0.0}, "best_share: 0 was given, but a share above 0"),
        ({"confidence": 1.0}, "confidence: 1 was given"),
        ({"permutations": -1}, "-1"),
        ({"given": "none", "bins": 2}, "Bins and range belong to a complexity"),
        ({"given": "none", "range": (1.0, 2.0)}, "Bins and range belong to a complexity"),
        ({"bins": 0}, "a number from 1 to"),
    ],
)
def test_what_cannot_be_streamed_is_refused(options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        stream(DIGITS, ["resnet", "vanilla"], **options)


def test_rows_that_repeat_a_network_are_compared_as_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    columns = {}
    for name in "ab":
        network = np.repeat(np.arange(40), 3)
        error = np.round(np.repeat(rng.normal(20, 3, 40), 3) + rng.normal(0, 0.3, 120), 2)
        status = np.zeros(120, np.int8)
        sizes = 1_000.0 + network
        depth = np.column_stack([network, network])
        rates = {"lr": np.full(120, 0.1), "wd": np.full(120, 5e-4)}
        known = {"error": error, "error_final": error, "params": sizes, "flops": sizes, "status": status}
        columns[name] = known | rates | {"depth": depth + (name == "b"), "width": depth + 8}
    result = assert_streams_as_in_memory(archived(tmp_path / "x.h5", columns), ["a", "b"])
    assert [one["units"] for one in result.to_dict()["spaces"]] == [40, 40]


def in_memory(path: Path, names: list[str], **options: Any) -> Comparison:
    with Archive(path) as archive:
        return compare_populations(archive, names, **options)
