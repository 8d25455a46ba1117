import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edfkit import EdfkitError
from edfkit.archive.published import Published, denoised, noised
from edfkit.archive.schema import STATUS, Status
from edfkit.stats.two_sample import ks
from edfkit.study.compare import compare_populations

COUNTS = {
    "DARTS_in": 121,
    "ENAS_in": 117,
    "NASNet_in": 122,
    "ResNeXt-A_in": 130,
    "ResNeXt-B_in": 164,
    "ResNet_lr-wd_in": 494,
    "ResNet_reruns_top": 100,
    "ResNet_reruns_mid": 100,
    "Vanilla_reruns_top": 100,
    "Vanilla_reruns_mid": 100,
}
VARIABLES: dict[str, Callable[[Any], float]] = {
    "error": lambda record: record["min_test_top1"],
    "error_final": lambda record: record["test_ep_top1"][-1],
    "params": lambda record: record["params"],
    "flops": lambda record: record["flops"],
    "seed": lambda record: record["rng_seed"],
    "lr": lambda record: record["optim"]["base_lr"],
    "wd": lambda record: record["optim"]["wd"],
}
RECORD = {
    "min_test_top1": 5.5,
    "test_ep_top1": [7.5, 5.5, 6.0],
    "params": 100,
    "flops": 2000,
    "rng_seed": 3,
    "optim": {"base_lr": 0.1, "wd": 5e-4},
}


def records(folder: Path, name: str) -> list[Any]:
    """Read the records of a population by json alone."""
    if "_reruns" in name:
        name, part = name.rsplit("_", 1)
        return list(json.loads((folder / f"{name}.json").read_text())[part])
    return list(json.loads((folder / f"{name}.json").read_text()))


def test_the_real_files_hold_these_populations(published: Path) -> None:
    source = Published(published)
    assert set(source.names) == {name.lower() for name in COUNTS}
    assert {name: source.models(name) for name in COUNTS} == COUNTS
    assert {source.dataset(name) for name in COUNTS if name.endswith("_in")} == {"ImageNet"}
    assert {source.dataset(name) for name in COUNTS if not name.endswith("_in")} == {"CIFAR-10"}


@pytest.mark.parametrize("name", COUNTS)
def test_values_are_those_of_the_real_records(published: Path, name: str) -> None:
    plain = records(published, name)
    with Published(published) as source:
        for variable, value in VARIABLES.items():
            read = source.read(name.upper(), variable)
            expected = [value(record) for record in plain]
            if variable.startswith("error"):  # stored in single precision: 4.65 also as 4.650002
                expected = [round(error, 4) for error in expected]
            assert read.tolist() == expected, variable
        for variable in ("macs", "acts"):
            assert np.isnan(source.read(name, variable)).all()
        status = source.read(name, "status")
        # Of one run, which guesses to the end, the smallest error is not the one that its record states.
        broken = [r["min_test_top1"] in (99.9, 100) or min(r["test_ep_top1"]) != r["min_test_top1"] for r in plain]
        assert sum(broken) - sum(r["min_test_top1"] in (99.9, 100) for r in plain) == (name == "ResNet_lr-wd_in")
        assert (status == Status.DIVERGED).tolist() == broken
        assert (status == Status.FINISHED).tolist() == [not is_broken for is_broken in broken]


def test_one_real_file_is_read_like_the_folder(published: Path) -> None:
    with Published(published) as folder, Published(published / "ResNeXt-A_in.json") as file:
        assert file.names == ["resnext-a_in"]
        assert file.read("ResNeXt-A_in", "error").tolist() == folder.read("resnext-a_in", "error").tolist()
    assert Published(published / "ResNet_reruns.json").names == ["resnet_reruns_top", "resnet_reruns_mid"]


# Obtained from tests/support/reference.py, which has none of edfkit in it: for A and B the models that take part,
# n_eff, mean, median and area; then D, p and P(A better).
GOLDEN_PARAMS = [
    *(42, 13.76470588235294, 36.19171111111111, 34.64, 0.27662977777777775),
    *(113, 93.71326570595151, 34.29342129152149, 33.608, 0.31413157416957027),
    *(0.3317034456058846, 0.14251947895334593, 0.3777158045206826),
]
GOLDEN_FLOPS = [
    *(110, 49.29523517695725, 47.91110282828283, 46.43, 0.11609964040404042),
    *(110, 91.41829702256723, 41.09274014831117, 39.648, 0.1924559637680564),
    *(0.2877030622722947, 0.009965497159925623, 0.32164587420856977),
]
GOLDEN = [
    pytest.param("params", 1.0e6, 6.0e6, GOLDEN_PARAMS, id="params"),
    pytest.param("flops", 0.1e9, 0.6e9, GOLDEN_FLOPS, id="flops"),
]


@pytest.mark.parametrize(("given", "lo", "hi", "golden"), GOLDEN)
def test_real_comparison_is_that_of_the_definitions(
    published: Path, given: str, lo: float, hi: float, golden: list[float]
) -> None:
    names = ["ResNeXt-A_in", "ResNeXt-B_in"]
    with Published(published) as source:
        result = compare_populations(source, names, given=given, bins=5, range=(lo, hi))
    expected = []
    for name in names:
        plain = records(published, name)
        errors, counts = ([float(record[key]) for record in plain] for key in ("min_test_top1", given))
        expected.append(reference.normalise(errors, counts, lo, hi, 5))
    for ours, theirs in zip(result.selection.populations, expected, strict=True):
        assert ours.weights is not None
        order = np.lexsort((ours.weights, ours.errors))
        pairs = sorted(zip(theirs.errors, theirs.weights, strict=True))
        assert ours.errors[order].tolist() == [error for error, _ in pairs]
        assert ours.weights[order].tolist() == pytest.approx([weight for _, weight in pairs], rel=1e-12)
        assert ours.left_out.get(f"{given} below the range", 0) == theirs.below
        assert ours.left_out.get(f"{given} above the range", 0) == theirs.above
        assert ours.summary.n_eff == pytest.approx(theirs.n_eff, rel=1e-12)
        assert ours.summary.mean == pytest.approx(theirs.mean, rel=1e-12)
        assert ours.summary.median == theirs.quantile(0.5)
        assert ours.summary.area == pytest.approx(theirs.area(50), rel=1e-12)
        assert ours.summary.quantiles == {q: theirs.quantile(q) for q in ours.summary.quantiles}
    (pair,) = result.pairs
    a, b = expected
    assert pair.estimates is not None
    assert pair.estimates.distance == pytest.approx(reference.distance(a, b), abs=1e-12)
    one, other = result.selection.populations
    p_value = ks(one.errors, other.errors, one.weights, other.weights).p_value
    assert p_value == pytest.approx(reference.p_value(a, b), rel=1e-12)
    assert pair.prob_a_better == pytest.approx(reference.prob_better(a, b), abs=1e-12)

    found: list[float] = []
    for member in expected:
        found += [len(member.errors), member.n_eff, member.mean, member.quantile(0.5), member.area(50)]
    found += [reference.distance(a, b), reference.p_value(a, b), reference.prob_better(a, b)]
    assert found == pytest.approx(golden, rel=1e-12)


# By the same loops, in strata: strata, H, P(A better) with p and its interval, the difference of the means, and D.
STRATA_PARAMS = [
    *(16, 53.05882352941176, 0.29785661492978566, 3.956916565715775e-06, 0.22745898914206342, 0.3793434900304873),
    *(2.9497696521134436, 0.1513919684651392),
]
STRATA_FLOPS = [
    *(16, 55.55555555555556, 0.2837647058823529, 5.1067216582446476e-08, 0.22149159148489778, 0.35554996223765273),
    *(5.498094669467251, 0.2511764705882352),
]
GOLDEN_STRATA = [
    pytest.param("params", STRATA_PARAMS, id="params"),
    pytest.param("flops", STRATA_FLOPS, id="flops"),
]


@pytest.mark.parametrize(("given", "golden"), GOLDEN_STRATA)
def test_real_comparison_at_equal_complexity_is_that_of_the_definitions(
    published: Path, given: str, golden: list[float]
) -> None:
    names = ["ResNeXt-A_in", "ResNeXt-B_in"]
    with Published(published) as source:
        (pair,) = compare_populations(source, names, given=given).pairs
    models = []
    for name in names:
        plain = records(published, name)
        errors, counts = ([float(record[key]) for record in plain] for key in ("min_test_top1", given))
        models.append(reference.numbered(errors, counts))
    expected = reference.stratify(*models)
    p_value, low, high = expected.better(0.95)
    its = pair.estimates
    assert its is not None
    assert its.mean is not None
    found = [len(expected.strata), expected.overlap, expected.prob_better, p_value, low, high]
    found += [expected.mean_difference, reference.distance(*expected.members)]
    better = its.better
    assert [pair.strata, pair.overlap, better.prob, better.p_value, better.low, better.high] == pytest.approx(
        found[:6], rel=1e-9
    )
    assert [its.mean.estimate, its.distance] == pytest.approx(found[6:], rel=1e-9)
    assert found == pytest.approx(golden, rel=1e-9)


def folder_with(tmp_path: Path, **files: Any) -> Path:
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return tmp_path


def test_nan_tokens_are_accepted_in_curves(tmp_path: Path) -> None:
    record = {**RECORD, "train_ep_loss": [math.nan, math.nan], "test_ep_top1": [99.0, math.nan]}
    folder_with(tmp_path, nans=[record])
    assert "NaN" in (tmp_path / "nans.json").read_text()
    source = Published(tmp_path / "nans.json")
    assert source.read("nans", "error").tolist() == [5.5]
    assert np.isnan(source.read("nans", "error_final")).all()


def test_curves_are_read_after_each_epoch(tmp_path: Path) -> None:
    more = {"train_ep_top1": [50.0, 40.00002, 30.0], "train_ep_loss": [2.0, 1.5, 1.000001]}
    source = Published(folder_with(tmp_path, x=[RECORD | more, RECORD | more], bare=[RECORD]))
    assert source.read("x", "test_error").tolist() == [[7.5, 5.5, 6.0]] * 2
    assert source.read("x", "train_error").tolist() == [[50.0, 40.00002, 30.0]] * 2
    assert source.read("x", "train_loss").tolist() == [[2.0, 1.5, 1.000001]] * 2  # a loss is no percentage
    with pytest.raises(EdfkitError, match=r"bare\.json have no usable train_error, .*KeyError: 'train_ep_top1'"):
        source.read("bare", "train_error")


@pytest.mark.parametrize(
    "curve", [[7.5, 5.5], ["low", "low", "low"], None, 5.0], ids=["shorter", "text", "nothing", "number"]
)
def test_bad_curves_are_refused(tmp_path: Path, curve: Any) -> None:
    source = Published(folder_with(tmp_path, x=[RECORD, {**RECORD, "test_ep_top1": curve}]))
    with pytest.raises(EdfkitError, match=r"^The records of .*x\.json have no usable test_error") as caught:
        source.read("x", "test_error")
    assert "\n" not in str(caught.value)


def test_curves_out_of_range_are_refused(tmp_path: Path) -> None:
    source = Published(folder_with(tmp_path, x=[RECORD, {**RECORD, "test_ep_top1": [7.5, 105.0, 6.0]}]))
    with pytest.raises(EdfkitError, match=r"expected 0\.\.100"):
        source.read("x", "test_error")


def test_real_curves_end_in_the_final_error(published: Path) -> None:
    for name in ("resnext-a_in", "resnet_reruns_top"):
        with Published(published) as source:
            curves = source.read(name, "test_error")
            assert curves.shape[0] == source.models(name)
            assert curves[:, -1].tolist() == source.read(name, "error_final").tolist()
            assert np.nanmin(curves, axis=1).tolist() == source.read(name, "error").tolist()
            assert np.all((curves == curves.round(4)) | np.isnan(curves))


def test_several_lists_in_one_file_are_populations_each(tmp_path: Path) -> None:
    folder_with(tmp_path, Some_reruns={"top": [RECORD], "mid": [RECORD, RECORD]}, other_in=[RECORD])
    source = Published(tmp_path)
    assert source.names == ["some_reruns_top", "some_reruns_mid", "other_in"]
    assert [source.models(name) for name in ("SOME_RERUNS_TOP", "some_reruns_mid")] == [1, 2]
    with pytest.raises(
        EdfkitError, match="not hold a list of records for some_reruns; name one of some_reruns_top, some"
    ):
        source.models("some_reruns")
    with pytest.raises(EdfkitError, match=r"There is no population 'some_reruns_low' .*; it has some_reruns_top, some"):
        source.models("some_reruns_low")


def test_a_damaged_file_does_not_matter_to_the_others(tmp_path: Path) -> None:
    folder_with(tmp_path, good=[RECORD], bad_reruns="{", bad="[")
    assert Published(tmp_path).models("good") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("errors: 1, 2, 3", r"x\.json cannot be read as JSON \(Expecting value: .*\); fetch it again\."),
        (json.dumps([RECORD])[:-20], r"x\.json cannot be read as JSON \(.*\); fetch it again\."),
        ("", r"x\.json cannot be read as JSON \(.*\); fetch it again\."),
        ("[" * 100_000, r"x\.json cannot be read as JSON \(.*\); fetch it again\."),
        ([], r"x\.json does not hold a list of records for x; give a file in the published format\."),
        ("3", r"x\.json does not hold a list of records for x; give a file in the published format\."),
        ({"a": [RECORD], "b": []}, r"x\.json does not hold a list of records for x; name one of x_a, x_b\."),
        ([RECORD, {}], r"Record 1 of .*x\.json has no usable error \(KeyError: 'min_test_top1'\); give a file"),
        ([RECORD, 5], r"Record 1 of .*x\.json has no usable error \(TypeError: .*\); give a file in the"),
        ([{**RECORD, "min_test_top1": None}], r"Record 0 of .*x\.json has no usable error \(TypeError"),
        ([{**RECORD, "min_test_top1": "low"}], r"Record 0 of .*x\.json has no usable error \(ValueError"),
        ([{**RECORD, "min_test_top1": 10**400}], r"Record 0 of .*x\.json has no usable error \(OverflowError"),
        (
            [{**RECORD, "min_test_top1": 100.5}],
            r"Record 0 of .*x\.json has the error 100\.5, expected 0 to 100 percent; ",
        ),
        ([{**RECORD, "min_test_top1": -1}], r"Record 0 of .*x\.json has the error -1, expected 0 to 100 percent; "),
        (
            [{**RECORD, "min_test_top1": math.nan}],
            r"Record 0 of .*x\.json has the error nan, expected 0 to 100 percent; ",
        ),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path: Path, content: Any, message: str) -> None:
    source = Published(folder_with(tmp_path, x=content))
    with pytest.raises(EdfkitError, match=message) as caught:
        source.read("x", "error")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("params", {"params": -5}, "has the params -5, expected a finite number, 0 or more"),
        ("flops", {"flops": math.inf}, "has the flops inf, expected a finite number, 0 or more"),
        ("error_final", {"test_ep_top1": []}, r"has no usable error_final \(IndexError"),
        ("error_final", {"test_ep_top1": [101]}, "has the error_final 101, expected 0 to 100 percent"),
        ("lr", {"optim": {}}, r"has no usable lr \(KeyError: 'base_lr'\)"),
    ],
)
def test_bad_values_are_refused(tmp_path: Path, variable: str, value: dict[str, Any], message: str) -> None:
    source = Published(folder_with(tmp_path, x=[RECORD, {**RECORD, **value}]))
    assert source.read("x", "error").tolist() == [5.5, 5.5]  # what is not asked for is not checked
    with pytest.raises(EdfkitError, match=f"Record 1 of .* {message}"):
        source.read("x", variable)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\x89HDF\r\n")
    with pytest.raises(EdfkitError, match=r"x\.json cannot be read as JSON \(.*\); fetch it again"):
        Published(tmp_path).read("x", "error")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(EdfkitError, match="has no JSON files; give one that holds published files, or an archive"):
        Published(tmp_path)
    with pytest.raises(EdfkitError, match=r"There is no file .*absent\.json; give an archive, or published JSON files"):
        Published(tmp_path / "absent.json")
    source = Published(folder_with(tmp_path, x=[RECORD], y=[RECORD]))
    with pytest.raises(EdfkitError, match=r"There is no population 'z' in .*; it has x, y"):
        source.read("z", "error")
    with pytest.raises(
        EdfkitError, match="no 'depth'; they have id, status, error, error_final, params, flops, macs, acts"
    ):
        source.read("x", "depth")


def test_a_truncated_real_file_is_refused(published: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(published / "ENAS_in.json", tmp_path))
    copy.chmod(0o600)
    copy.write_bytes(copy.read_bytes()[:-1000])
    with pytest.raises(EdfkitError, match=r"ENAS_in\.json cannot be read as JSON \(.*\); fetch it again"):
        Published(tmp_path).read("enas_in", "error")


def test_noise_is_what_single_precision_and_six_decimals_leave() -> None:
    values = np.array([4.650002, 4.65, 99.990013, 4.65001, 4.650011, 4.6500005, 12.345678, 0.0, math.nan, 5.65])
    errors, noise = denoised(values)
    assert_array_equal(errors, [4.65, 4.65, 99.990013, 4.65, 4.650011, 4.6500005, 12.345678, 0.0, math.nan, 5.65])
    assert noise.tolist() == [2, 0, 0, 10, 0, 0, 0, 0, 0, 0]
    assert_array_equal(noised(errors, noise), values)


@given(st.lists(st.floats() | st.integers(0, 10**8).map(lambda i: i / 10**6), max_size=50))
def test_noise_goes_and_comes_back_exactly(numbers: list[float]) -> None:
    values = np.array(numbers, float)
    errors, noise = denoised(values)
    assert_array_equal(noised(errors, noise), values)
    changed = noise != 0
    assert np.all(np.abs(errors[changed] - values[changed]) <= 1.1e-5)
    assert_array_equal(errors[~changed], values[~changed])


def test_records_may_say_what_the_models_were_trained_on(tmp_path: Path) -> None:
    source = Published(folder_with(tmp_path, x=[{**RECORD, "dataset": "digits"}], x_in=[RECORD], y=[RECORD]))
    assert [source.dataset(name) for name in ("x", "X_in", "y")] == ["digits", "ImageNet", "CIFAR-10"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "finished"),
        ({"train_ep_loss": [1.0, math.nan]}, "diverged"),
        ({"min_test_top1": 5.4}, "diverged"),
        ({"min_test_top1": 5.500002}, "finished"),
        ({"min_test_top1": 99.9, "test_ep_top1": [99.9]}, "diverged"),
        ({"test_ep_top1": []}, "finished"),
        ({"test_ep_top1": ["low"]}, "finished"),
    ],
)
def test_runs_that_broke_down_are_diverged(tmp_path: Path, change: dict[str, Any], status: str) -> None:
    source = Published(folder_with(tmp_path, x=[RECORD | change]))
    assert STATUS[source.read("x", "status")[0]] == status
