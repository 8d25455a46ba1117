import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import reference

from edfkit import __version__
from edfkit.archive import Archive, write
from edfkit.archive.combine import subset
from edfkit.archive.schema import REQUIRED_ATTRS
from edfkit.cli import main
from edfkit.datasets import BUNDLED

DIGITS = BUNDLED["digits"]
EDFKIT = shutil.which("edfkit", path=str(Path(sys.executable).parent)) or shutil.which("edfkit") or "edfkit"
SUMMARY = [
    *("name", "label", "models", "diverged", "without_value", "left_out", "left_out_why", "n_eff", "min", "mean"),
    *("median", "area", "area_to", "quantiles"),
]
PAIR = [
    *("a", "b", "better", "ks", "p_value", "p_method", "p_adjusted", "p_holm", "p_better", "p_shape", "p_ks"),
    *("prob_a_better", "prob_a_better_interval", "mean_difference", "mean_difference_interval"),
    *("median_difference", "median_difference_interval", "equivalent", "p_equivalent", "balance", "strata", "overlap"),
    *("excluded", "excluded_by", "paired", "shared", "no_claim", "permutation", "dominance", "almost_dominance"),
    *("crossings",),
    *("confidence", "ranges", "tail", "mix", "missing", "fragile", "verdict"),
]
READ = ["error", "diverged", "stopped", "select"]
SELECTED = ["archive", "metric", "given", *READ, "bins", "range", "spaces"]
COMPARED = [*SELECTED[:-1], "chosen_on_test", "spaces", "pairs", "seed", "sensitivity"]
QUANTILES = ["0.05", "0.25", "0.5", "0.75", "0.95"]


class Result(NamedTuple):
    status: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two populations of the bundled archive: to open all twelve takes a tenth of a second, in each command."""
    path = tmp_path_factory.mktemp("few") / "few.h5"
    subset(DIGITS, path, spaces=["resnet", "vanilla"])
    return path


@pytest.fixture(autouse=True)
def _plain_environment(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EDFKIT_ARCHIVE", str(few))


def default() -> Path:
    """Give the archive that commands read which name none."""
    return Path(os.environ["EDFKIT_ARCHIVE"] or DIGITS)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line here, without the cost of a process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["edfkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        return Result(caught.value.code, *capsys.readouterr())

    return run


def process(*arguments: object, **environment: str) -> Result:
    """Run the installed command in a process of its own."""
    done = subprocess.run(
        [EDFKIT, *map(str, arguments)],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def check_refusal(result: Result, *parts: str) -> None:
    """Status 1, nothing on standard output, one sentence on standard error with these parts."""
    assert result.status == 1, result
    assert result.out == ""
    assert result.err.startswith("edfkit: ")
    assert result.err.endswith(".\n")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    for part in parts:
        assert part in result.err


def check_usage(result: Result, *parts: str) -> None:
    assert result.status == 2, result
    assert result.out == ""
    assert "Error: " in result.err
    assert "Traceback" not in result.err
    for part in parts:
        assert part in result.err


def populations() -> dict[str, int]:
    """Give the populations of the default archive, with their numbers of models."""
    with Archive(default()) as archive:
        return {name: archive.models(name) for name in archive.names}


def bundled(name: str) -> tuple[list[float], list[float]]:
    """Read errors and params of the models that did not fail, from the default archive, with h5py alone."""
    with h5py.File(default()) as file:
        kept = file[name]["status"][()] != 2
        return file[name]["error"][()][kept].tolist(), file[name]["params"][()][kept].astype(float).tolist()


def models(name: str) -> reference.Models:
    """Read error, params and network, with its rates, of the models that did not fail, with h5py alone."""
    with h5py.File(default()) as file:
        kept = file[name]["status"][()] != 2
        columns = [file[name][variable][()][kept].tolist() for variable in ("depth", "width", "lr", "wd")]
    return list(zip(*bundled(name), map(str, zip(*columns, strict=True)), strict=True))


# What comes out


def test_compare_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDFKIT_ARCHIVE", "")
    result = process("compare", "resnet", "vanilla")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    with h5py.File(DIGITS) as file:
        sizes = {name: len(file[name]["error"]) for name in ("resnet", "vanilla")}
        title = file.attrs["title"].decode()
    assert lines[0] == (
        f"{DIGITS}: {title}; models trained on digits: {sizes['resnet']:,} resnet, {sizes['vanilla']:,} vanilla"
    )
    assert lines[1].split() == ["space", "models", "min", "5", "%", "median", "mean", "95", "%", "area", "params"]
    assert lines[3].split()[0] == "resnet"
    assert lines[4].split()[0] == "vanilla"
    assert lines[5].startswith("Populations as they are; errors in percent; area: ")
    assert lines[6].startswith("Errors are the smallest over the epochs on the test set")
    assert lines[7].startswith("resnet: 500 runs of 496 networks; ")
    assert lines[8].startswith("vanilla: 500 runs of 495 networks; ")
    assert lines[9] == ""
    assert lines[10] == "At equal parameter count, resnet has lower error than vanilla (p < 0.0001)."
    found = [line for line in lines[11:] if not line.startswith(" " * 4)]
    assert [line[2:31].rstrip() for line in found] == [
        *("better of two random models", "mean error", "median error"),
        *("5 % quantile, resnet", "5 % quantile, vanilla", "better at every threshold"),
        *("violation of dominance", "mean without adjustment", "parameter count", "tests"),
    ]
    assert all(line[:2] == "  " and line[31] != " " for line in found)
    assert max(map(len, lines[11:])) <= 80


def test_compare_as_json() -> None:
    result = process("compare", "ResNet", "VANILLA", "--json")
    assert (result.status, result.err) == (0, "")
    document = printed(result)  # one document, nothing else
    assert list(document) == COMPARED
    assert list(document["archive"]) == ["path", "title", "dataset", "digest"]
    assert document["archive"]["path"] == str(default())
    assert document["archive"]["dataset"] == "digits"
    assert (document["bins"], document["range"], document["chosen_on_test"]) == (None, None, True)
    assert [list(space) for space in document["spaces"]] == [[*SUMMARY, "units"]] * 2
    assert [space["name"] for space in document["spaces"]] == ["resnet", "vanilla"]
    assert [list(space["quantiles"]) for space in document["spaces"]] == [QUANTILES, QUANTILES]
    (pair,) = document["pairs"]
    assert list(pair) == PAIR

    for space, name in zip(document["spaces"], ("resnet", "vanilla"), strict=True):
        errors, _ = bundled(name)
        member = reference.Member(errors, [1 / len(errors)] * len(errors), 0, 0)
        assert space["models"] == space["n_eff"] == len(errors)
        assert space["units"] == len({unit for _, _, unit in models(name)}) < len(errors)
        assert space["min"] == min(errors)
        assert space["mean"] == pytest.approx(member.mean, rel=1e-12)
        assert space["area"] == pytest.approx(member.area(50), rel=1e-12)
        assert space["median"] == space["quantiles"]["0.5"]
        assert space["quantiles"] == {q: member.quantile(float(q)) for q in QUANTILES}
    expected = reference.stratify(models("resnet"), models("vanilla"))
    a, b = expected.members
    p_better, low, high = expected.better(0.95)
    assert (pair["strata"], pair["excluded"]) == (len(expected.strata), 1000 - len(a.errors) - len(b.errors))
    assert pair["overlap"] == pytest.approx(expected.overlap, rel=1e-12)
    assert pair["ks"] == pytest.approx(reference.distance(a, b), abs=1e-12)
    assert pair["prob_a_better"] == pytest.approx(expected.prob_better, abs=1e-12)
    assert pair["prob_a_better_interval"] == pytest.approx([low, high], rel=1e-9)
    assert pair["p_better"] == pytest.approx(p_better, rel=1e-6)
    assert pair["p_value"] == pair["p_adjusted"] == pair["p_holm"] == pytest.approx(p_better / 0.8, rel=1e-6)
    assert pair["mean_difference"] == pytest.approx(expected.mean_difference, abs=1e-9)
    assert pair["better"] == "resnet"


def test_compare_by_bins_as_json(call: Call) -> None:
    document = printed(call("compare", "ResNet", "VANILLA", "--bins", 10, "--json"))
    (pair,) = document["pairs"]
    lo, hi = document["range"]
    (_, params_a), (_, params_b) = bundled("resnet"), bundled("vanilla")
    assert (lo, hi) == (max(min(params_a), min(params_b)), min(max(params_a), max(params_b)))
    a, b = (reference.normalise(*bundled(name), lo, hi, document["bins"]) for name in ("resnet", "vanilla"))
    for space, member in zip(document["spaces"], (a, b), strict=True):
        assert space["models"] == len(member.errors)
        assert space["left_out"] == member.below + member.above == sum(space["left_out_why"].values())
        assert space["n_eff"] == pytest.approx(member.n_eff, rel=1e-12)
        assert space["min"] == min(member.errors)
        assert space["mean"] == pytest.approx(member.mean, rel=1e-12)
        assert space["area"] == pytest.approx(member.area(50), rel=1e-12)
        assert space["median"] == space["quantiles"]["0.5"]
        assert space["quantiles"] == {q: member.quantile(float(q)) for q in QUANTILES}
    assert pair["ks"] == pytest.approx(reference.distance(a, b), abs=1e-12)
    assert pair["prob_a_better"] == pytest.approx(reference.prob_better(a, b), abs=1e-12)
    assert pair["p_method"] == "rank test by permutation within bins"
    assert (document["bins"], pair["strata"]) == (10, None)


def test_compare_given_none_has_neither_range_nor_bins(call: Call) -> None:
    document = printed(call("compare", "resnet", "vanilla", "--given", "none", "--json"))
    assert (document["given"], document["bins"], document["range"]) == ("none", None, None)
    (pair,) = document["pairs"]
    assert (pair["p_method"], pair["strata"], pair["balance"]) == ("rank test", None, None)
    table = call("compare", "resnet", "vanilla", "--given", "none").out
    assert "\nWithout adjustment for size, resnet has lower error than vanilla (p < 0.0001).\n" in table
    assert "params" not in table


def test_other_columns_and_two_of_them_are_held_equal(call: Call) -> None:
    for given, said in (
        ("flops, acts", "With FLOP count and activation count only partly balanced, resnet has lower error "),
        ("seed", "At equal seed, resnet has lower error "),
    ):
        found = printed(call("compare", "resnet", "vanilla", "--given", given, "--strata", 9, "--json"))
        assert found["given"] == given
        assert found["pairs"][0]["strata"] == 9
        assert f"\n{said}" in call("compare", "resnet", "vanilla", "--given", given).out


def test_options_of_compare_reach_the_study(call: Call) -> None:
    given = ("--given", "macs", "--bins", 2, "--range", "1e6", "5e6", "--error", "final", "--area-to", 20)
    document = printed(call("compare", "resnet", "vanilla", *given, "--json"))
    assert (document["given"], document["bins"], document["range"], document["error"]) == (
        "macs",
        2,
        [1e6, 5e6],
        "final",
    )
    assert document["spaces"][0]["area_to"] == 20
    table = call("compare", "resnet", "vanilla", *given).out
    assert "Given macs: 1,000,000 to 5,000,000, in 2 bins of equal weight." in table
    assert "area: under the EDF, from 0 to 20 %" in table


def test_one_bin_is_said_to_normalise_nothing(call: Call) -> None:
    second = call("compare", "resnet", "vanilla", "--bins", "1").out.splitlines()[1]
    assert second.endswith(
        "in 1 bin, which normalises nothing within the range; a narrower --range may allow more bins."
    )


def test_describe(call: Call) -> None:
    result = call("describe", "ResNet")
    assert (result.status, result.err) == (0, "")
    errors, params = bundled("resnet")
    lines = result.out.splitlines()
    assert lines[0].startswith(f"{default()}: ")
    assert lines[0].endswith(" resnet")
    median = sorted(errors)[(len(errors) - 1) // 2]
    row = lines[3].split()
    assert row[:4] == ["resnet", f"{len(errors):,}", f"{len(errors):,.1f}", f"{min(errors):.2f}"]
    assert row[5:7] == [f"{median:.2f}", f"{np.mean(errors):.2f}"]
    assert lines[-1].startswith(f"resnet: params {min(params):,.0f} to {max(params):,.0f}; flops ")


def test_describe_as_json_all_there_is(call: Call) -> None:
    document = printed(call("describe", "--json"))
    assert list(document) == ["archive", "metric", *READ, "spaces"]
    assert [space["name"] for space in document["spaces"]] == list(populations())
    for space in document["spaces"]:
        assert list(space) == [*SUMMARY, "complexity", "intervals"]
        assert space["intervals"] == {}
        errors, params = bundled(space["name"])
        assert space["models"] == space["n_eff"] == len(errors)
        assert space["mean"] == pytest.approx(np.mean(errors), rel=1e-12)
        assert list(space["complexity"]) == ["params", "flops", "macs", "acts"]
        assert space["complexity"]["params"] == [min(params), max(params)]


def test_describe_gives_intervals_on_request(call: Call) -> None:
    options = ("describe", "resnet", "--bootstrap", 200, "--confidence", 0.9, "--seed", 2)
    found = printed(call(*options, "--json"))["spaces"][0]["intervals"]
    assert list(found) == ["mean", "median", "area", "best of 25"]
    assert {(one["trials"], one["confidence"], one["seed"]) for one in found.values()} == {(200, 0.9, 2)}
    median = found["median"]
    said = f"median {median['estimate']:.2f} ({median['low']:.2f} to {median['high']:.2f})"
    assert said in call(*options).out


def printed(result: Result) -> dict[str, Any]:
    """Read the one JSON document that a command printed, without what all begin with."""
    assert (result.status, result.err) == (0, "")
    found = dict(json.loads(result.out))
    assert (found.pop("schema_version"), found.pop("edfkit")) == (1, __version__)
    assert found.pop("command").startswith("edfkit ")
    return found


def test_more_options_of_compare(call: Call) -> None:
    names = ("resnet", "vanilla")
    options: list[object] = ["--permutations", 30, "--seed", 4, "--confidence", 0.9, "--best-share", 0.1]
    options += ["--diverged", "drop", "--equivalent", 50]
    found = printed(call("compare", *names, *options, "--bins", 5, "--json"))
    (pair,) = found["pairs"]
    assert (found["seed"], found["diverged"]) == (4, "drop")
    assert (pair["permutation"]["trials"], pair["confidence"], pair["tail"]["q"]) == (30, 0.9, 0.1)
    assert pair["p_holm"] == pair["p_adjusted"] < 0.1
    assert (pair["equivalent"], pair["p_equivalent"] < 0.1) == (True, True)
    assert found["sensitivity"] == []
    table = call("compare", *names, *options, "--bins", 5).out
    assert "Exact test of D within the bins, run by run: p = " in table
    assert "30 permutations, seed 4." in table
    assert "; their mean errors are shown to differ by less than 50 points (p < 0.0001)." in table
    assert "(90 % CI " in table
    assert "\n  10 % quantile, resnet " in table
    apart = printed(call("compare", *names, *options, "--strata", 7, "--json"))
    assert (apart["pairs"][0]["permutation"], apart["pairs"][0]["strata"], apart["seed"]) == (None, 7, 4)
    assert "Exact test of D, run by run: p = " in call("compare", *names, *options, "--given", "none").out


def test_sensitivity_of_a_comparison(call: Call) -> None:
    found = printed(call("compare", "resnet", "vanilla", "--sensitivity", "--json"))
    assert list(found) == COMPARED
    chosen, *others = found["sensitivity"]
    assert (chosen["group"], chosen["prob_a_better"]) == ("chosen", found["pairs"][0]["prob_a_better"])
    lines = call("compare", "resnet", "vanilla", "--sensitivity").out.splitlines()
    assert [line[: len(one["label"])] for line, one in zip(lines[-len(others) - 1 : -1], others, strict=True)] == [
        one["label"] for one in others
    ]


def test_three_spaces_are_compared_pair_by_pair(call: Call, published: Path) -> None:
    names = ("resnext-a_in", "resnext-b_in", "darts_in")
    found = printed(call("compare", *names, "--archive", published, "--json"))
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [
        ("resnext-a_in", "resnext-b_in"),
        ("resnext-a_in", "darts_in"),
        ("resnext-b_in", "darts_in"),
    ]
    assert all(pair["p_adjusted"] >= pair["p_value"] for pair in found["pairs"])
    assert [pair["better"] for pair in found["pairs"]] == ["resnext-b_in", "darts_in", "darts_in"]
    assert call("compare", *names, "--archive", published).out.count(", adjusted for 3 pairs).") == 3
    # What is estimated of a pair does not depend on the third space.
    (alone,) = printed(call("compare", *names[:2], "--archive", published, "--json"))["pairs"]
    assert 2.7 < alone["mean_difference"] < 3.2  # in favour of resnext-b_in
    same = (
        "prob_a_better_interval",
        "mean_difference_interval",
        "median_difference_interval",
        "balance",
        "tail",
        "mix",
    )
    assert [alone[key] for key in same] == [found["pairs"][0][key] for key in same]


def test_point(call: Call) -> None:
    options = ("--small", 10, "--large", 50, "--bootstrap", 20, "--seed", 3)
    found = printed(call("point", "ResNet", *options, "--json"))
    assert list(found) == [
        *SELECTED,
        *("space", "against", "small", "large", "p_small_wins", "p_large_wins", "p_tie"),
        *("difference", "gap", "resampled"),
    ]
    assert (found["space"], found["against"], found["small"], found["large"]) == ("resnet", "resnet", 10, 50)
    assert found["p_small_wins"] + found["p_large_wins"] + found["p_tie"] == pytest.approx(1)
    assert (found["resampled"]["trials"], found["resampled"]["seed"]) == (20, 3)
    lines = call("point", "ResNet", *options).out.splitlines()
    assert lines[0].endswith("models trained on digits: 500 resnet")
    assert lines[1] == "The best of 10 resnet models against the best of 50 resnet models:"
    exact = [f"{found[name]:.4f}" for name in ("p_small_wins", "p_large_wins", "p_tie")]
    assert lines[4].split() == ["exact", *exact]
    assert lines[5].startswith("20 trials, seed 3 ")

    two = printed(call("point", "resnet", "vanilla", "--small", 10, "--large", 500, "--alpha", 0.1, "--json"))
    assert (two["against"], two["resampled"], two["gap"]["alpha"]) == ("vanilla", None, 0.1)
    assert len(two["spaces"]) == 2


def test_search(call: Call) -> None:
    options = ("-m", "1,8,64", "--cost", "macs", "--confidence", 0.9, "--bins", 2)
    found = printed(call("search", "resnet", "vanilla", *options, "--json"))
    others = ["strata", "unadjusted", "spaces", "pairs", "confidence", "cost", "draws_for_top"]
    assert list(found) == [*SELECTED[:-1], *others]
    assert (found["given"], found["bins"], found["confidence"], found["cost"]) == ("params", 2, 0.9, "macs")
    for space, name in zip(found["spaces"], ("resnet", "vanilla"), strict=True):
        assert space["name"] == name
        assert space["m"] == [1, 8, 64]
        assert {len(space[key]) for key in ("error", "se", "spread", "low", "high", "cost")} == {3}
        assert list(space["summary"]) == SUMMARY
        assert space["error"][0] == pytest.approx(space["summary"]["mean"])  # of one draw
    (pair,) = found["pairs"]
    assert (pair["m"], pair["better"], pair["no_claim"]) == ([1, 8, 64], ["resnet", "resnet", None], None)
    assert pair["difference"][2] is pair["low"][2] is pair["p_adjusted"][2] is None
    assert pair["claimed"] == {"better": "resnet", "first": 1, "last": 8}
    table = call("search", "resnet", "vanilla", *options).out
    assert "Given params: " in table
    assert all(f"{error:.2f}" in table for space in found["spaces"] for error in space["error"])

    plain = printed(call("search", "resnet", "--given", "none", "--without-replacement", "-m", "500", "--json"))
    assert plain["spaces"][0]["error"] == [plain["spaces"][0]["summary"]["min"]]
    assert printed(call("search", "resnet", "--json"))["spaces"][0]["m"] == [2**i for i in range(13)]
    assert printed(call("search", "resnet", "vanilla", "--strata", "7", "--json"))["strata"] == 7


def test_samples(call: Call) -> None:
    found = printed(call("samples", "vanilla", "--simulate", 5, "--seed", 1, "--json"))
    assert list(found) == [
        *SELECTED,
        *("space", "models", "d_to_truth", "d_to_population", "simulated", "samples", "seed"),
    ]
    assert (found["space"], found["models"][-1], found["seed"]) == ("vanilla", 256, 1)
    table = call("samples", "vanilla", "--simulate", 5, "--seed", 1).out
    assert all(f"{d:.4f}" in table for d in found["d_to_truth"])
    assert "Samples drawn with seed 1; errors in percent." in table
    assert printed(call("samples", "vanilla", "--json"))["simulated"] is None


def test_plan(call: Call) -> None:
    assert printed(call("plan", "--eps", 0.05, "--json")) == {"models": 731, "eps": 0.05, "confidence": 0.95}
    said = "731 models: the EDF is within 0.05 of the truth with confidence 0.95.\n"
    assert call("plan", "--eps", 0.05) == (0, said, "")
    options = ("--power", 0.9, "--alpha", 0.01, "--trials", 40, "--seed", 2)
    found = printed(call("plan", "resnet", "vanilla", "--given", "macs", *options, "--json"))
    assert list(found) == [*SELECTED, "shift", "width", "equivalent", "wanted_power", "seed", "needed"]
    assert (found["given"], found["shift"], found["wanted_power"], found["seed"]) == ("macs", None, 0.9, 2)
    needed = found["needed"]
    assert (needed["goal"], needed["alpha"], needed["trials"]) == ("detect", 0.01, 40)
    lines = call("plan", "resnet", "vanilla", "--given", "macs", *options).out.splitlines()
    assert lines[1].startswith(f"{needed['models']:,} models of each: compare shows resnet to be better with")
    assert "At equal multiply-add count, in strata. 40 simulated comparisons, seed 2." in lines
    for goal, points in (("shift", -3), ("width", 5), ("equivalent", 4)):
        alone = printed(call("plan", "resnet", f"--{goal}", points, *options, "--json"))
        assert (alone[goal], alone["given"], len(alone["spaces"])) == (points, "params", 1)
        assert alone["needed"]["models"] > 20
    assert "--bins" not in call("plan", "--help").out


def test_complexity(call: Call) -> None:
    options = ("--by", "acts", "--bins", 40, "--buckets", 4)
    found = printed(call("complexity", "resnet", "vanilla", *options, "--json"))
    assert list(found) == ["archive", "by", "metric", *READ, "range", "bins", "advice", "spaces", "histogram"]
    assert (found["by"], found["bins"]) == ("acts", 40)
    assert [len(space["buckets"]["counts"]) for space in found["spaces"]] == [4, 4]
    table = call("complexity", "resnet", "vanilla", *options).out
    assert "acts, and its rank correlation with the error (95 % CI)." in table
    narrow = printed(call("complexity", "resnet", "--range", "1e5", "2e5", "--json"))
    assert narrow["range"] == [1e5, 2e5]


def test_the_advice_of_complexity_is_taken_by_compare(call: Call) -> None:
    advice = printed(call("complexity", "resnet", "vanilla", "--bins", 100, "--json"))["advice"]
    assert not advice["works"]
    assert call("compare", "resnet", "vanilla", "--bins", advice["most_bins"]).status == 0


def test_noise(call: Call, published: Path) -> None:
    found = printed(call("noise", "resnet", "vanilla", "--json"))
    assert list(found) == ["archive", "metric", *READ[1:], "spaces", "share"]
    assert found["share"] is None
    studied = ["last", "others", "epochs", "seeds", "rates", "default"]
    assert list(found["spaces"][0]) == ["name", "models", "diverged", *studied, "left_out_why"]
    assert "\nresnet: 500 models\nbest error against the last epoch: " in call("noise", "resnet").out
    reruns = ("resnet_reruns_top", "resnet_reruns_mid", "--one-network", "--archive", published)
    seeds = [space["seeds"] for space in printed(call("noise", *reruns, "--json"))["spaces"]]
    table = call("noise", *reruns).out
    assert all(f"standard deviation {one['sd']:.3f} (" in table for one in seeds)
    rates = ("resnet_lr-wd_in", "--default", "0.05", "5e-5", "--archive", published)
    assert printed(call("noise", *rates, "--json"))["spaces"][0]["rates"] is not None
    assert "near the default rates: " in call("noise", *rates).out


@pytest.mark.parametrize(
    "arguments",
    [
        ["point", "resnet", "--small", "5", "--large", "9"],
        ["search", "resnet", "-m", "1"],
        ["samples", "resnet"],
        ["complexity", "resnet"],
        ["noise", "resnet"],
        ["plan", "resnet", "--shift", "3", "--trials", "5"],
    ],
)
@pytest.mark.parametrize("policy", ["keep", "drop", "censor"])
def test_every_study_takes_the_policy_and_says_where_it_read(call: Call, arguments: list[str], policy: str) -> None:
    found = printed(call(*arguments, "--diverged", policy, "--json"))
    assert found["diverged"] == policy
    assert found["archive"]["path"] == str(default())
    assert call(*arguments, "--diverged", policy).out.startswith(f"{default()}: ")


def test_published_files_are_described_and_compared(call: Call, published: Path) -> None:
    result = call("describe", "--archive", published)
    assert (result.status, result.err) == (0, "")
    assert "resnet_lr-wd_in: left out none; 37 diverged, kept." in result.out
    document = printed(call("describe", "ResNet_reruns_top", "--archive", published, "--json"))
    assert document["archive"]["dataset"] == "CIFAR-10"
    assert document["spaces"][0]["complexity"]["macs"] is None
    arguments = ("--archive", published, "--bins", 5, "--range", "1.0e6", "6.0e6")
    table = call("compare", "ResNeXt-A_in", "ResNeXt-B_in", *arguments).out.splitlines()
    assert table[0].endswith("models trained on ImageNet: 130 resnext-a_in, 164 resnext-b_in")
    assert table[4].split() == ["resnext-a_in", "42", "13.8", "29.98", "29.98", "34.64", "36.19", "43.13", "0.2766"]
    assert table[5].split() == ["resnext-b_in", "113", "93.7", "27.45", "28.59", "33.61", "34.29", "41.64", "0.3141"]


# Where it is read from


def test_the_environment_names_the_archive(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Path(shutil.copy(default(), tmp_path / "mine.h5"))
    monkeypatch.setenv("EDFKIT_ARCHIVE", str(mine))
    assert call("describe").out.startswith(f"{mine}: ")
    assert call("describe", "--archive", "digits").out.startswith(f"{DIGITS}: ")  # the option counts more
    monkeypatch.setenv("EDFKIT_ARCHIVE", str(tmp_path / "absent.h5"))
    check_refusal(call("describe"), "absent.h5", "does not exist")
    monkeypatch.setenv("EDFKIT_ARCHIVE", "")
    assert call("describe").out.startswith(f"{DIGITS}: ")


def test_a_file_name_that_is_no_text_can_be_shown(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff.h5"
    Path(os.fsdecode(odd)).write_bytes(default().read_bytes())
    for arguments in ([b"describe", b"--archive", odd], [b"describe", b"--json", b"--archive", odd]):
        done = subprocess.run([os.fsencode(EDFKIT), *arguments], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


# How it looks


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Write an archive of long names and large numbers."""
    size = 23_456
    rng = np.random.default_rng(0)
    unknown = dict.fromkeys(("macs", "acts", "seed", "lr", "wd", "seconds"), np.full(size, np.nan))
    errors = rng.uniform(99, 100, size)
    counts = {"params": rng.uniform(1e11, 9e11, size).round(), "flops": rng.uniform(1e14, 9e14, size).round()}
    columns = {"id": np.arange(size).astype(str), "error": errors, "error_final": errors, "status": np.zeros(size, int)}
    names = [letter * 60 for letter in "ab"]
    path = tmp_path / "large.h5"
    write(
        path,
        {name: {**columns, **counts, **unknown} for name in names},
        dict.fromkeys(REQUIRED_ATTRS, "x") | {"recipe": "{}"},
    )
    return path


def test_tables_fit_80_columns_and_lose_no_digit(call: Call, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in ("30", "80", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        lines = call("compare", "A" * 60, "b" * 60, "--archive", large).out.splitlines()
        end = next(i for i, line in enumerate(lines) if line.startswith("Populations as they are"))
        table = lines[1:end]
        assert len(table) > 4
        assert max(len(line) for line in table) <= 80
        assert "…" not in "".join(table)
        assert "".join(line.split()[0] for line in table).count("b") == 60
        assert "23,456" in "".join(table)


def test_help_fits_80_columns(call: Call) -> None:
    studies = [[name] for name in ("compare", "describe", "point", "search", "samples", "plan", "complexity", "noise")]
    for command in ([], *studies, ["verify"], ["generate"], ["status"], ["pack"]):
        result = call(*command, "--help")
        assert (result.status, result.err) == (0, "")
        assert result.out.startswith("Usage: edfkit ")
        assert max(len(line) for line in result.out.splitlines()) <= 80


def on_terminal(*arguments: object, **environment: str) -> str:
    """Run the installed command on a terminal and give what it shows there."""
    return seen_by_terminal([EDFKIT, *map(str, arguments)], environment)


def seen_by_terminal(command: list[str], environment: dict[str, str], target: int | None = None) -> str:
    """Run a command on a terminal, with its output there or in a file, and give what the terminal gets."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    ours, theirs = pty.openpty()
    written = theirs if target is None else target
    with subprocess.Popen(command, stdout=written, stderr=theirs, env={**os.environ, **environment}) as child:
        os.close(theirs)
        output = b""
        try:
            while part := os.read(ours, 65_536):
                output += part
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(ours)
    assert child.returncode == 0
    return output.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}])
def test_there_are_no_escape_codes_even_on_a_terminal(environment: dict[str, str]) -> None:
    output = on_terminal("describe", **environment)
    assert "resnet" in output
    assert "\x1b" not in output


def test_sentences_break_between_words_on_a_terminal_only() -> None:
    shown, piped = (
        on_terminal("compare", "resnet", "vanilla", COLUMNS="70"),
        process("compare", "resnet", "vanilla").out,
    )
    assert shown != piped
    assert shown.split() == piped.split()
    assert max(map(len, shown.splitlines()[1:])) <= 70  # the first has a path
    assert max(map(len, piped.splitlines()[1:])) > 90


LONG = """
import sys, time
from edfkit.cli import _progress
from edfkit.progress import steps

with _progress():
    for draws, seconds in (("short", 0.01), ("long", float(sys.argv[1])), ("short", 0.01)):
        for _ in steps(range(40), draws):
            time.sleep(seconds)
print("found")
"""


def test_long_loops_have_a_bar_on_a_terminal_that_goes_when_they_end(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", LONG]
    with open(tmp_path / "out", "wb") as file:
        shown = seen_by_terminal([*command, "0.02"], {"TERM": "xterm", "COLUMNS": "80"}, file.fileno())
        assert seen_by_terminal([*command, "0.001"], {"TERM": "xterm"}, file.fileno()) == ""
    assert (tmp_path / "out").read_bytes() == b"found\nfound\n"
    assert "long" in shown
    assert "/40" in shown
    assert "short" not in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back
    assert "long" not in shown[shown.rindex("\x1b[2K") :]  # and the line is empty
    quiet = subprocess.run([*command, "0.02"], capture_output=True, check=True)
    assert (quiet.stdout, quiet.stderr) == (b"found\n", b"")


def test_the_same_command_gives_the_same_bytes(tmp_path: Path) -> None:
    first, again = (
        process("compare", "resnet", "vanilla", "--plot", tmp_path / f"{seed}.svg", PYTHONHASHSEED=seed)
        for seed in "12"
    )
    assert first == again
    assert first.status == 0
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()


def test_output_that_is_ascii_only_is_possible() -> None:
    result = process("describe", PYTHONIOENCODING="ascii")
    assert (result.status, result.err) == (0, "")
    assert result.out.isascii()


# Design spaces


def test_spaces_are_listed_with_their_sizes(call: Call) -> None:
    listed = printed(call("spaces", "list", "--json"))["spaces"]
    sizes = {row["name"]: row["configurations"] for row in listed}
    assert sizes["resnext-b"] == 52_734_375
    assert sizes["darts"] == 241_591_910_400**2 * 15
    table = call("spaces", "list").out
    assert all(name in table for name in sizes)
    assert "1,259,712" in table


@pytest.mark.parametrize(
    ("space", "cells", "billions"),
    [
        ("nasnet", 71_465_842_174_521_600, "71,465,842 billion"),
        ("AMOEBA", 556_627_761_561_600, "556,628 billion"),
        ("pnas", 556_627_761_561_600, "556,628 billion"),
        ("enas", 5_062_500_000_000, "5,063 billion"),
        ("darts", 241_591_910_400, "242 billion"),
    ],
)
def test_cells_are_counted(call: Call, space: str, cells: int, billions: str) -> None:
    assert printed(call("spaces", "count", space, "--json"))["cells"] == cells
    assert f"{cells:,} cells, {billions}" in call("spaces", "count", space).out


def test_show_counts_all_of_a_small_space(call: Call) -> None:
    shown = printed(call("spaces", "show", "resnet-b", "--json"))
    assert (shown["counted"], shown["exact"], shown["dataset"]) == (421_875, True, "cifar10")
    assert shown["bounds"] == {"params": 855_770, "flops": 128_471_690}
    assert shown["quantiles"]["params"]["0"] == 23_578
    assert list(shown["quantiles"]["macs"]) == ["0", "0.05", "0.25", "0.5", "0.75", "0.95", "1"]
    text = call("spaces", "show", "resnet-b", "--max-params", "1e6").out
    assert "421,875 configurations; on cifar10, all counted" in text
    assert " % have params below 1,000,000" in text
    assert "all of these" not in text


@pytest.mark.parametrize(
    "name",
    [
        "darts",
        "resnet-110",
        pytest.param("resnext-a_in", marks=pytest.mark.slow, id="resnext-a_in: counts 11 million networks"),
    ],
)
def test_what_show_prints_of_a_space_defines_it(call: Call, tmp_path: Path, name: str) -> None:
    text = call("spaces", "show", name, "--dataset", "digits").out
    (tmp_path / "copy.toml").write_text(text.split("\n\n")[0])
    again = printed(call("spaces", "show", tmp_path / "copy.toml", "--dataset", "digits", "--json"))
    assert again["definition"] == printed(call("spaces", "show", name, "--json"))["definition"]


def test_a_sample_is_what_generate_would_train(call: Call) -> None:
    options = ["--models", 5, "--seed", 1, "--max-params", "0.3e6", "--max-macs", "6e6", "--dataset", "digits"]
    drawn = printed(call("spaces", "sample", "resnet", *options, "--json"))
    with h5py.File(DIGITS) as file:
        group = file["resnet"]
        for i, model in enumerate(drawn["models"]):
            assert model["network"]["width"] == group["width"][i].tolist()
            assert model["network"]["depth"] == group["depth"][i].tolist()
            assert model["params"] == group["params"][i]
    lines = call("spaces", "sample", "resnet", *options).out.splitlines()
    assert lines[0].split("\t") == ["params", "macs", "flops", "acts", "network"]
    assert [line.split("\t")[0] for line in lines[1:]] == [str(model["params"]) for model in drawn["models"]]


def test_a_space_for_imagenet_is_counted_on_imagenet(call: Call) -> None:
    drawn = printed(call("spaces", "sample", "enas_in", "--models", 3, "--json"))
    assert drawn["dataset"] == "imagenet"
    assert all(model["network"]["width"] in (32, 48, 64, 80, 96) for model in drawn["models"])


# What is wrong usage


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["compare"], "Missing argument 'SPACE SPACE...'"),
        (["compare", "resnet"], "only resnet was named, which cannot be compared with itself; name two spaces or more"),
        (["complexity", "resnet", "--by", "size"], "'params', 'flops', 'macs', 'acts'"),
        (["compare", "resnet", "vanilla", "--strata", "0"], "'--strata': 0 is not in the range x>=1"),
        (["compare", "resnet", "vanilla", "--equivalent", "0"], "'--equivalent': 0.0 is not in the range x>0"),
        (["compare", "resnet", "vanilla", "--bins", "0"], "'--bins': 0 is not in the range x>=1"),
        (["compare", "resnet", "vanilla", "--bins", "many"], "'many' is not a valid integer"),
        (["compare", "resnet", "vanilla", "--range", "1"], "'--range' requires 2 arguments"),
        (["compare", "resnet", "vanilla", "--area-to", "none"], "'--area-to': 'none' is not a valid float"),
        (["compare", "resnet", "vanilla", "--colour"], "No such option"),
        (["describe", "resnet", "--bins", "3"], "No such option"),
        (["train"], "No such command 'train'"),
        (["compare", "resnet", "vanilla", "--permutations", "-1"], "'--permutations': -1 is not in the range x>=0"),
        (["compare", "resnet", "vanilla", "--seed", "-1"], "'--seed': -1 is not in the range x>=0"),
        (["compare", "resnet", "vanilla", "--diverged", "lose"], "'keep', 'drop', 'worst', 'censor'"),
        (["compare", "a", "b", "c", "--sensitivity"], "--sensitivity is about two spaces and 3 were named; name two"),
        (["point"], "Missing argument 'SPACE [SPACE]'"),
        (["point", "resnet", "vanilla", "resnet"], "3 spaces were named (resnet, vanilla, resnet), expected 2 spaces"),
        (["point", "resnet", "--small", "0"], "'--small': 0 is not in the range x>=1"),
        (["search"], "Missing argument 'SPACE...'"),
        (["search", "resnet", "-m", "1,many"], "'-m': '1,many' was given, expected whole numbers with commas between"),
        (["search", "resnet", "-m", ""], "'-m': '' was given, expected whole numbers with commas between"),
        (["search", "resnet", "--cost", "acts"], "'seconds', 'params', 'macs', 'flops'"),
        (["samples"], "Missing argument 'SPACE'"),
        (["samples", "resnet", "--simulate", "1"], "'--simulate': 1 is not in the range x>=2"),
        (["plan"], "expected either --eps, or one or two spaces; give one of them"),
        (["plan", "resnet", "--eps", "0.1"], "expected either --eps, or one or two spaces; give one of them"),
        (["plan", "--eps", "0.1", "--width", "1"], "--eps was given with --width, which is a goal of spaces"),
        (["plan", "resnet"], "resnet was named alone, expected a goal, --shift, --width or --equivalent, or two"),
        (["plan", "resnet", "vanilla", "--shift", "1"], "--shift was given with two spaces, whose own difference"),
        (["plan", "resnet", "--shift", "1", "--width", "2"], "--shift and --width were given, but a plan has one goal"),
        (["plan", "resnet", "vanilla", "--bins", "3"], "No such option"),
        (["complexity"], "Missing argument 'SPACE...'"),
        (["complexity", "resnet", "--by", "seconds"], "'params', 'flops', 'macs', 'acts'"),
        (["complexity", "resnet", "--buckets", "0"], "'--buckets': 0 is not in the range x>=1"),
        (["noise"], "Missing argument 'SPACE...'"),
        (["noise", "resnet", "--error", "final"], "this is about the best error and the final one; leave --error out"),
        (["noise", "resnet", "--default", "0.1"], "'--default' requires 2 arguments"),
        (["spaces", "sample", "resnet"], "Missing option '--models'"),
        (
            ["spaces", "sample", "resnet", "--models", "1", "--max-macs", "1", "--bound", "none"],
            "--bound none was given",
        ),
        (["spaces", "show", "resnet", "--dataset", "mnist"], "'digits', 'cifar10', 'imagenet'"),
        (["generate"], "Neither SPACE nor --network was given; give one of them"),
        (["generate", "resnet"], "resnet has 1,259,712 configurations; say how many to train: --models"),
        (["generate", "resnet", "--network", "resnet-56"], "Both SPACE and --network was given; give one of them"),
        (["generate", "--network", "resnet"], "resnet is a design space and no single network"),
        (["generate", "--best-of", "digits"], "--best-of needs the name of a population, SPACE"),
        (["generate", "resnet", "--models", "1", "--recipe", "better"], "'default', 'enhanced'"),
    ],
)
def test_wrong_usage(call: Call, arguments: list[str], part: str) -> None:
    check_usage(call(*arguments), part)


def test_no_command_shows_the_help(call: Call) -> None:
    result = call()
    assert "Usage: edfkit [OPTIONS] COMMAND [ARGS]..." in result.out + result.err
    assert "compare" in result.out + result.err


def test_version(call: Call) -> None:
    assert call("--version") == Result(0, f"edfkit, version {__version__}\n", "")


# What is refused


@pytest.mark.parametrize("command", ["compare", "describe", "point", "search", "plan", "complexity", "noise"])
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_an_unknown_space_lists_what_there_is(call: Call, command: str, extra: list[str]) -> None:
    there = ", ".join(map(repr, populations()))
    check_refusal(call(command, "resnet", "resnext", *extra), str(default()), "'resnext'", there)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["resnet", "RESNET"], ["named twice"]),
        (["resnet", "vanilla", "--bins", "5000"], ["With 5000 bins", "resnet has no model in", "use ", " bins"]),
        (["resnet", "vanilla", "--range", "1", "2"], ["resnet has no model in 1 to 2", "use the range "]),
        (["resnet", "vanilla", "--range", "2", "1"], ["range: 2 to 1"]),
        (["resnet", "vanilla", "--range", "nan", "1"], ["range: nan to 1"]),
        (["resnet", "vanilla", "--given", "none", "--bins", "2"], ["Bins and range belong to a complexity"]),
        (["resnet", "vanilla", "--given", "none", "--strata", "2"], ["Strata belong to a complexity"]),
        (["resnet", "vanilla", "--strata", "2", "--bins", "2"], ["Strata were given together with bins or a range"]),
        (["resnet", "vanilla", "--given", "size"], ["has no variable 'size'", "'params', 'macs', 'flops', 'acts'"]),
        (["resnet", "vanilla", "--given", "error"], ["error is a result of training"]),
        (["resnet", "vanilla", "--given", "width"], ["width has several numbers for each model"]),
        (["resnet", "vanilla", "--given", "id"], ["id has no numbers"]),
        (["resnet", "vanilla", "--given", "params,params"], ["expected one complexity, two different ones"]),
        (["resnet", "vanilla", "--given", "params,flops", "--bins", "2"], ["Bins hold one complexity equal"]),
        (["resnet", "vanilla", "--area-to", "nan"], ["--area-to: nan was given, expected above 0"]),
        (["resnet", "vanilla", "--plot", "edfs.bmp"], ["'edfs.bmp'", ".png, .svg, .pdf"]),
        (["resnet", "vanilla", "--plot", "absent/edfs.png"], ["absent/edfs.png", "No such file or directory"]),
        (["resnet", "vanilla", "--archive", "absent.h5"], ["absent.h5", "does not exist"]),
        (["resnet", "vanilla", "--archive", "absent.json"], ["absent.json", "There is no file"]),
        (["resnet", "vanilla", "--archive", "."], ["has no JSON files"]),
    ],
)
def test_refusals(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], parts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    check_refusal(call("compare", *arguments), *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["spaces", "count", "resnest"], ["'resnest'", "vanilla, resnet, resnet-b", "a file that ends in .toml"]),
        (["spaces", "show", "absent.toml"], ["absent.toml", "There is no file"]),
        (["spaces", "sample", "resnet-56", "--models", "2", "--without-replacement"], ["has 1 configurations"]),
        (["spaces", "sample", "resnet", "--models", "2", "--max-params", "-1"], ["The bound params = -1.0"]),
        (["spaces", "show", "resnet", "--max-macs", "nan"], ["The bound macs = nan"]),
        (
            ["generate", "resnet", "--models", "1", "--dataset", "imagenet"],
            ["no data set 'imagenet'", "digits, cifar10"],
        ),
        (["generate", "vgg", "--best-of", "digits"], ["no population 'vgg'"]),
        (["generate", "vanilla", "--models", "1", "--recipe", "enhanced"], ["have no shortcut", "--drop-path 0"]),
        (["generate", "resnet", "--models", "1", "--drop-path", "1"], ["drop_path = 1.0"]),
    ],
)
def test_refusals_about_spaces(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], parts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    check_refusal(call(*arguments), *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["compare", "resnet", "vanilla", "--confidence", "1"], ["confidence: 1 was given"]),
        (["compare", "resnet", "vanilla", "--best-share", "5"], ["--best-share", "5 was given, but a share above 0"]),
        (
            ["compare", "resnet", "vanilla", "--error", "worst"],
            ["'worst'", "best, final or an epoch of resnet, 1 to 8"],
        ),
        (["describe", "--error", "9"], ["'9'", "1 to 8"]),
        (["describe", "--bootstrap", "9"], ["--bootstrap: 9 was given, but at least 100"]),
        (["point", "resnet"], ["--large", "is to draw 1,000 models and resnet has 500"]),
        (["point", "resnet", "resnet"], ["named twice in resnet, resnet"]),
        (["point", "resnet", "--large", "5", "--alpha", "0", "--small", "5"], ["alpha: 0 was given"]),
        (["search", "resnet", "-m", "0"], ["m: 0 was given"]),
        (
            ["search", "resnet", "--without-replacement"],
            ["--without-replacement: models that are weighted, given params", "given none"],
        ),
        (["search", "resnet", "--confidence", "0.2"], ["confidence: 0.2 was given"]),
        (["samples", "resnest"], ["no population 'resnest'"]),
        (["plan", "--eps", "2"], ["eps"]),
        (["plan", "--eps", "0.1", "--confidence", "1"], ["confidence"]),
        (["plan", "resnet", "vanilla", "--equivalent", "1"], ["--equivalent: 1 was given, but the pilots' mean"]),
        (["plan", "resnet", "vanilla", "--power", "1"], ["power"]),
        (["plan", "resnet", "--shift", "0"], ["shift: 0 was given"]),
        (["complexity", "resnet", "--range", "2", "1"], ["range: 2 to 1"]),
        (["complexity", "resnet", "--bins", "1000000"], ["1000000"]),
        (["noise", "resnet", "--same-models"], ["500 of resnet", "not two or more populations of the same models"]),
        (["noise", "resnet", "RESNET"], ["named twice"]),
        (["point", "resnet", "--small", "1", "--large", "1", "--plot", "point.bmp"], ["'point.bmp'"]),
    ],
)
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_refusals_of_studies(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    parts: list[str],
    extra: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    check_refusal(call(*arguments, *extra), *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["point", "resnet"], "--large"),
        (["search", "resnet", "--without-replacement"], "--without-replacement"),
        (["search", "resnet", "--without-replacement", "--given", "none", "-m", "501"], "-m"),
        (["compare", "resnet", "vanilla", "--best-share", "5"], "--best-share"),
    ],
)
def test_refusals_say_which_option_to_change(call: Call, arguments: list[str], part: str) -> None:
    check_refusal(call(*arguments), part)


def test_a_cost_that_published_files_lack_is_refused(call: Call, published: Path) -> None:
    search = ("search", "resnext-a_in", "--archive", published, "--cost")
    check_refusal(call(*search, "seconds"), "have no 'seconds'")
    check_refusal(call(*search, "macs"), "resnext-a_in models are not known; choose another cost")


def test_advice_on_bins_works(call: Call) -> None:
    refusal = call("compare", "resnet", "vanilla", "--bins", "1000")
    advised = refusal.err.rstrip(".\n").rsplit("use ", 1)[1].split()[0]
    assert call("compare", "resnet", "vanilla", "--bins", advised).status == 0


def test_damaged_archives_are_refused(call: Call, tmp_path: Path) -> None:
    whole = default().read_bytes()
    for name, content in (("half.h5", whole[: len(whole) // 2]), ("empty.h5", b""), ("text.h5", b"error,params\n")):
        (tmp_path / name).write_bytes(content)
        check_refusal(call("compare", "resnet", "vanilla", "--archive", tmp_path / name), name)


def test_what_published_files_do_not_hold_is_refused(call: Call, published: Path) -> None:
    arguments = ["compare", "ResNeXt-A_in", "ResNeXt-B_in", "--archive", published, "--given", "macs"]
    check_refusal(call(*arguments), "The macs of 130 of the 130 resnext-a_in models are not known", "or none")


def test_a_fault_is_reported_without_a_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(where: str | None) -> Path:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("edfkit.datasets.locate", broken)
    check_refusal(call("describe"), "a fault of edfkit (ZeroDivisionError: division by zero)", "report it")


# Where it goes


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_a_closed_pipe_ends_it_silently(extra: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([EDFKIT, "describe", *extra], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""


def test_the_first_line_can_be_taken() -> None:
    done = subprocess.run(["/bin/sh", "-c", '"$0" describe | head -1', EDFKIT], capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout.decode().startswith(f"{default()}: ")
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, a disk that is always full, on this system")
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_a_full_disk_is_said(extra: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([EDFKIT, "describe", *extra], stdout=full, stderr=subprocess.PIPE, check=False)
    check_refusal(Result(done.returncode, "", done.stderr.decode()), "Output: No space left on device")


def test_verify_says_what_is_whole_and_what_agrees(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDFKIT_ARCHIVE", "")
    counts = populations()
    whole = f"{DIGITS}: whole, {len(counts)} populations, {sum(counts.values()):,} models"
    status, said, complained = call("verify", "digits")
    assert (status, said.splitlines()[-1], complained) == (0, whole, "")
    lines = call("verify", "digits", "--complexity").out.splitlines()[-len(counts) :]
    assert lines == [f"{name}: {n} of {n} agree (params, macs, flops, acts)" for name, n in counts.items()]


def test_verify_refuses_damage_and_wrong_counts(call: Call, tmp_path: Path) -> None:
    data = bytearray(default().read_bytes())
    with h5py.File(default()) as file:
        chunk = file["resnet/error"].id.get_chunk_info(0)
    data[chunk.byte_offset + chunk.size // 2] ^= 255
    (tmp_path / "damaged.h5").write_bytes(data)
    result = call("verify", tmp_path / "damaged.h5")
    assert "population 'resnet': 'error' cannot be read: it is incomplete or fails a checksum" in result.out
    check_refusal(result._replace(out=""), "damaged.h5")

    net = {"block_type": "double_plain_block", "ds": [1, 12, 12, 12], "ws": [16, 24, 32, 40], "ss": [1, 1, 2, 2]}
    record = {"job_id": "5", "rng_seed": 1, "params": 689_770, "flops": 208_363_931, "net": net, "min_test_top1": 15.5}
    record |= {"test_ep_top1": [15.5, 15.65], "optim": {"base_lr": 0.1, "wd": 5e-4}}
    (tmp_path / "Vanilla.json").write_text(json.dumps([record]))
    result = call("verify", tmp_path, "--complexity")
    assert result.status == 1
    assert result.out.splitlines()[1:] == [
        "vanilla: 0 of 1 agree (params, flops)",
        "  5: flops 208,363,931, recomputed 208,363,930",
    ]
    assert result.err.startswith("edfkit: The complexities of 1 models are not those of their networks")


def test_a_plot_comes_with_the_table_and_with_json(call: Call, tmp_path: Path) -> None:
    for extra in ([], ["--json"]):
        path = tmp_path / f"edfs{len(extra)}.png"
        plain, drawn = (call("compare", "resnet", "vanilla", *extra, *more) for more in ((), ("--plot", path)))
        assert drawn._replace(out="") == plain._replace(out="")
        assert printed(drawn) == printed(plain) if extra else drawn.out == plain.out
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        ["point", "resnet", "--small", "5", "--large", "50"],
        ["search", "resnet", "vanilla"],
        ["samples", "resnet"],
        ["complexity", "resnet", "vanilla"],
        ["noise", "resnet"],
    ],
)
def test_every_study_draws_a_plot_beside_its_document(call: Call, tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "study.svg"
    assert printed(call(*arguments, "--json", "--plot", path)) == printed(call(*arguments, "--json"))
    assert path.read_text().startswith("<?xml")


def test_the_band_goes_into_the_plot(call: Call, tmp_path: Path) -> None:
    with_band, without = tmp_path / "band.svg", tmp_path / "plain.svg"
    assert call("compare", "resnet", "vanilla", "--plot", with_band, "--band").status == 0
    assert call("compare", "resnet", "vanilla", "--plot", without).status == 0
    assert "EDF of resnet" in with_band.read_text()
    assert "EDF of resnet" not in without.read_text()


def test_bands_of_too_many_pairs_are_refused_before_anything_is_read(call: Call, tmp_path: Path) -> None:
    refused = call("compare", *"abcde", "--plot", tmp_path / "p.svg", "--band", "--archive", tmp_path / "none.h5")
    assert refused.status == 2
    assert "takes 4 spaces at most and 5 were named; name fewer, or leave out --band." in " ".join(refused.err.split())
    assert not (tmp_path / "p.svg").exists()


def test_verify_lists_all_that_is_wrong_and_notes_the_rest(call: Call, tmp_path: Path) -> None:
    record = {"rng_seed": 1, "params": 5, "flops": 6, "optim": {"base_lr": 0.1, "wd": 5e-4}, "net": {}}
    record |= {"min_test_top1": 15.5, "test_ep_top1": [15.65]}
    records = [record | {"job_id": "5"}, record | {"job_id": "5"}]
    (tmp_path / "Vanilla.json").write_text(json.dumps(records))
    result = call("verify", tmp_path / "Vanilla.json")
    assert (result.status, [line.split(":")[1] for line in result.out.splitlines()]) == (
        1,
        [
            " 2 model(s) whose error is not the smallest of the curve",
            " 1 id(s) of more than one model",
            " vanilla",
        ],
    )
    assert result.out.splitlines()[-1].startswith("note: vanilla: 1 model(s) with the configuration and seed of an")
    assert "and 1 other kinds of fault; correct the source" in result.err


def test_streamed_models_are_compared_by_all_options(call: Call) -> None:
    options = (
        "compare",
        "resnet",
        "vanilla",
        "--permutations",
        20,
        "--seed",
        3,
        "--confidence",
        0.9,
        "--best-share",
        0.1,
    )
    for more in ((), ("--sensitivity",)):
        assert call(*options, *more, "--stream").out == call(*options, *more).out
    rows, counted = (printed(call(*options, "--sensitivity", "--json", *more)) for more in ((), ("--stream",)))
    assert counted == rows
    refused = call(*options, "digits", "--stream", "--sensitivity")
    assert refused.status == 2
    assert "--sensitivity is about two spaces and 3 were named" in refused.err


def test_what_is_published_can_be_downloaded(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = call("datasets", "publish", default(), "-o", tmp_path / "lab", "--name", "mine", "--version", "1").out
    assert [Path(line).name for line in said.splitlines()[:-1]] == ["mine.h5", "mine.toml", "mine.md", "SHA256SUMS"]
    monkeypatch.setenv("EDFKIT_REGISTRY", str(tmp_path / "lab" / "mine.toml"))
    monkeypatch.setenv("EDFKIT_DATA", str(tmp_path / "data"))
    assert "mine  " in call("datasets", "list").out
    check_refusal(call("compare", "resnet", "vanilla", "--archive", "mine"), "edfkit datasets download mine")
    assert call("datasets", "download", "mine").status == 0
    assert call("datasets", "verify").out.count("whole, sha256") == 2
    there = Path(call("datasets", "path", "mine").out.strip())
    assert there.read_bytes() == default().read_bytes()
    assert f"{sum(populations().values()):,} models" in call("verify", "mine").out
    changed = bytearray(there.read_bytes())
    changed[-1] ^= 1
    for content, said in ((changed, "mine.h5 has sha256"), (changed[:-1], "mine is not whole")):
        there.write_bytes(content)
        verified = call("datasets", "verify")
        assert (verified.status, verified.out.count("whole, sha256")) == (1, 1)
        assert said in verified.err
    assert call("datasets", "remove", "mine").status == 0
    check_refusal(call("datasets", "path", "mine"), "mine is not on this machine")


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read from Linux's /proc")
def test_an_interrupt_is_answered_with_one_sentence(tmp_path: Path) -> None:
    command = [
        EDFKIT,
        "compare",
        "resnet",
        "vanilla",
        "--bins",
        "5",
        "--permutations",
        "10000000",
        "--plot",
        str(tmp_path / "edfs.pdf"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as running:  # fmt: skip
        while "h5py" not in Path(f"/proc/{running.pid}/maps").read_text():  # and so the command has begun
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    check_refusal(Result(running.returncode, out, err), "Interrupted; nothing is left half-written.")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_called_as_an_option_is_no_option(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(BUNDLED["digits"], "seed")
    with h5py.File("seed", "r+") as file:
        del file.attrs["title"]
    result = call("describe", "--archive", "seed")
    check_refusal(result, "seed: ")
    assert "--seed" not in result.err
