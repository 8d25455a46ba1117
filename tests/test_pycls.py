import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive import Archive, validate
from edfkit.exchange.pycls import import_pycls
from edfkit.study.selection import select


def run(
    number: int = 0, tested: dict[int, float] | None = None, epochs: int = 4, ema: float | None = None, **config: Any
) -> dict[str, Any]:
    """Give a run as the sweep tools collect it: metrics in lists along the epochs logged."""
    tested = {2: 50.0, 4: 30.0 + number} if tested is None else tested
    best = np.minimum.accumulate(list(tested.values())).tolist()
    trained = range(1, max(tested, default=1) + 1)
    test = {
        "epoch": [f"{epoch}/{epochs}" for epoch in tested],
        "epoch_ind": list(tested),
        "epoch_max": [epochs] * len(tested),
        "top1_err": list(tested.values()),
        "min_top1_err": best,
        "mem": [1000] * len(tested),
    }
    whole: dict[str, Any] = {
        "log_file": f"/sweeps/some/logs/{number:04}/stdout.log",
        "err": "",
        "complexity": {"flops": 1000 + number, "params": 10 + number, "acts": 7, "memory": 5},
        "cfg": {
            "MODEL": {"TYPE": "regnet", "NUM_CLASSES": 10},
            "OPTIM": {"BASE_LR": 0.1, "WEIGHT_DECAY": 5e-5 * (1 + number), "MAX_EPOCH": epochs},
            "REGNET": {"W0": 8 * number, "SE_ON": bool(number)},
            "ANYNET": {"DEPTHS": [1, number]},
            "TRAIN": {"DATASET": "cifar10"},
            "OUT_DIR": f"/out/{number}",
            "RNG_SEED": 3 + number,
            **config,
        },
        "train_epoch": {
            "epoch_ind": list(trained),
            "epoch_max": [epochs] * len(trained),
            "top1_err": [60.0 - epoch for epoch in trained],
            "loss": [2.0 / epoch for epoch in trained],
            "time_epoch": [1.5] * len(trained),
        },
    }
    if tested:
        whole["test_epoch"] = test
    if ema is not None:
        whole["test_ema_epoch"] = deepcopy(test) | {"top1_err": [90.0, ema], "min_top1_err": [90.0, ema]}
    return whole


def sweep(folder: Path, runs: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "sweep.json").write_text(runs if isinstance(runs, str) else json.dumps(runs), encoding="utf-8")
    return folder / "sweep.json"


def test_a_sweep_becomes_an_archive(tmp_path: Path) -> None:
    file = sweep(tmp_path / "my sweep", [run(0), run(1), run(2, {}), run(3, {2: 40.0})])
    result = import_pycls(file, tmp_path / "out.h5")
    assert result.models == {"regnet": 4}
    assert result.outcomes == {"regnet": {"finished": 2, "failed": 1, "stopped": 1}}
    assert result.notes == ("1 of the runs were not tested after their last epoch: they are stopped runs.",)
    validate(tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:

        def read(variable: str) -> Any:
            return archive.read("regnet", variable).tolist()

        nan = math.nan
        assert archive.attrs["dataset"] == "cifar10"
        assert json.loads(archive.attrs["recipe"]) == {
            "MODEL": {"TYPE": "regnet", "NUM_CLASSES": 10},
            "OPTIM": {"BASE_LR": 0.1, "MAX_EPOCH": 4},
            "TRAIN": {"DATASET": "cifar10"},
        }
        assert read("id") == ["0000", "0001", "0002", "0003"]
        np.testing.assert_array_equal(read("error"), [30.0, 31.0, nan, 40.0])
        np.testing.assert_array_equal(read("error_final"), [30.0, 31.0, nan, 40.0])
        np.testing.assert_array_equal(
            read("test_error"), [[nan, 50, nan, 30], [nan, 50, nan, 31], [nan] * 4, [nan, 40, nan, nan]]
        )
        np.testing.assert_array_equal(
            read("train_error"), [[59, 58, 57, 56], [59, 58, 57, 56], [59, nan, nan, nan], [59, 58, nan, nan]]
        )
        assert read("train_loss")[0] == [2.0, 1.0, 2.0 / 3, 0.5]
        np.testing.assert_array_equal(read("seconds"), [6.0, 6.0, nan, nan])
        assert read("status") == [0, 0, 2, 3]
        assert read("params") == [10, 11, 12, 13]
        assert read("macs") == read("flops") == [1000, 1001, 1002, 1003]
        assert read("acts") == [7] * 4
        assert read("memory") == [5] * 4
        assert read("lr") == [0.1] * 4
        assert read("wd") == [5e-5 * (1 + number) for number in range(4)]
        assert read("seed") == [3, 4, 5, 6]
        assert read("cfg_regnet_w0") == [0, 8, 16, 24]
        assert read("cfg_regnet_se_on") == [0, 1, 1, 1]
        assert read("cfg_anynet_depths") == ["[1, 0]", "[1, 1]", "[1, 2]", "[1, 3]"]
        assert not [name for name in archive.variables("regnet") if "dir" in name]
        assert archive.variable("regnet", "cfg_regnet_w0").attrs["long_name"] == "regnet.w0"


def test_averaged_weights_are_taken_on_request(tmp_path: Path) -> None:
    file = sweep(tmp_path / "s", [run(0, ema=20.0), run(1, ema=25.0), run(2)])
    import_pycls(file, tmp_path / "raw.h5", name="Sweep A")
    assert import_pycls(file, tmp_path / "ema.h5", name="Sweep A", ema=True).failed == {"sweep-a": 1}
    with Archive(tmp_path / "raw.h5") as raw, Archive(tmp_path / "ema.h5") as ema:
        assert raw.read("sweep-a", "error").tolist() == [30.0, 31.0, 32.0]
        np.testing.assert_array_equal(ema.read("sweep-a", "error"), [20.0, 25.0, math.nan])
        assert "averaged weights" in ema.attrs["title"]
    plain = sweep(tmp_path / "p", [run()])
    with pytest.raises(EdfkitError, match=r"has a test_ema_epoch.*; they have test_epoch, import without --ema"):
        import_pycls(plain, tmp_path / "none.h5", ema=True)
    assert not (tmp_path / "none.h5").exists()


def test_objects_by_epoch_and_missing_parts_are_read(tmp_path: Path) -> None:
    runs = [
        {"job_id": 7, "test_epoch": [{"epoch": "1/2", "top1_err": 50.0}, {"epoch": "2/2", "top1_err": 60.0}]},
        {"job_id": 8, "test_epoch": {"min_top1_err": [40.0, 35.0]}, "cfg": None, "complexity": None},
        {"job_id": 9, "test_epoch": None, "train_epoch": []},
    ]
    import_pycls(sweep(tmp_path / "The Sweep", runs), tmp_path / "out.h5")
    validate(tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.names == ["the-sweep"]
        assert archive.attrs["dataset"] == "not stated"
        assert archive.read("the-sweep", "id").tolist() == ["7", "8", "9"]
        np.testing.assert_array_equal(archive.read("the-sweep", "error"), [50.0, 35.0, math.nan])
        np.testing.assert_array_equal(archive.read("the-sweep", "error_final"), [60.0, math.nan, math.nan])
        assert archive.read("the-sweep", "status").tolist() == [0, 0, 2]
        for variable in ("params", "macs", "flops", "acts", "lr", "wd", "seed"):
            assert np.isnan(archive.read("the-sweep", variable)).all()


def test_runs_that_broke_down_diverged(tmp_path: Path) -> None:
    lost = run(1, {2: 90.0})
    lost["train_epoch"]["loss"] = [2.0, math.nan]
    untested = run(3, {})
    untested["train_epoch"]["loss"] = [math.inf]
    import_pycls(sweep(tmp_path / "s", [run(0, {4: 99.9}), lost, run(2), untested]), tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("regnet", "status").tolist() == [1, 1, 0, 1]
        np.testing.assert_array_equal(archive.read("regnet", "error"), [99.9, 90.0, 32.0, math.nan])


def test_runs_of_one_configuration_are_of_one_network(tmp_path: Path) -> None:
    again = run(1)
    again["cfg"] |= {"RNG_SEED": 77, "OUT_DIR": "/elsewhere"}
    again["log_file"] = "/sweeps/some/logs/0007/stdout.log"
    import_pycls(sweep(tmp_path / "s", [run(0), run(1), again]), tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        unit = archive.read("regnet", "unit")
        assert unit[1] == unit[2] != unit[0]
    import_pycls(sweep(tmp_path / "s", [run(0), run(1)]), tmp_path / "once.h5")
    with Archive(tmp_path / "once.h5") as archive:
        assert "unit" not in archive.variables("regnet")


def test_without_a_planned_end_fewer_epochs_than_the_longest_run_are_stopped(tmp_path: Path) -> None:
    runs = [
        {"job_id": job, "test_epoch": {"top1_err": [50.0, 40.0, 30.0][:epochs]}} for job, epochs in ((1, 3), (2, 2))
    ]
    import_pycls(sweep(tmp_path / "s", runs), tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("s", "status").tolist() == [0, 3]
        assert archive.read("s", "error").tolist() == [30.0, 40.0]


def test_an_epoch_tested_twice_counts_by_the_smaller_error(tmp_path: Path) -> None:
    resumed = run(0)
    resumed["test_epoch"] = {"epoch_ind": [2, 2, 4], "epoch_max": [4, 4, 4], "top1_err": [20.0, 45.0, 30.0]}
    import_pycls(sweep(tmp_path / "s", [resumed]), tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("regnet", "error").tolist() == [20.0]
        assert archive.read("regnet", "error_final").tolist() == [30.0]


def test_a_recipe_too_long_for_an_archive_is_left_out_and_said(tmp_path: Path) -> None:
    runs = [run(number, EXTRA={"TEXT": "x" * 70_000}) for number in range(2)]
    result = import_pycls(sweep(tmp_path / "s", runs), tmp_path / "out.h5")
    assert result.notes == ("The recipe is empty: what the configurations have in common is too long for an archive.",)
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.attrs["recipe"] == "{}"


def test_models_of_a_sweep_are_selected_given_macs(tmp_path: Path) -> None:
    file = sweep(tmp_path / "s", [run(number) for number in range(40)])
    import_pycls(file, tmp_path / "out.h5", name="a")
    with Archive(tmp_path / "out.h5") as archive:
        (member,) = select(archive, ["a"], given="macs").populations
        assert member.summary.models == 40


def changed(place: str, value: Any) -> dict[str, Any]:
    whole: Any = run()
    node, *parents = whole, *place.split(".")
    for parent in parents[:-1]:
        node = node[parent]
    node[parents[-1]] = value
    return dict(whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", r"sweep\.json cannot be read as JSON \(.*\); collect the sweep again\."),
        ("[" * 100_000, r"sweep\.json cannot be read as JSON"),
        ("{}", "is not a list of runs"),
        ("[]", "is not a list of runs"),
        ("[3]", "is not a list of runs"),
        ([run(0, {})], "No run of .* has a test_epoch, so there are no errors to import"),
        ([run(0, {}) | {"test_ema_epoch": {"top1_err": [5.0]}}], "they have test_ema_epoch, import with --ema"),
        ([run(), changed("test_epoch.top1_err", [5.0, 101.0])], r"Run 1 of .* has the top1_err 101 in test_epoch"),
        ([run(), changed("test_epoch.top1_err", [5.0])], "Run 1 of .* has lists of several lengths in test_epoch"),
        (
            [run(), changed("test_epoch.epoch_ind", [0, 4])],
            r"Run 1 of .* has the epoch 0 in test_epoch, expected a whole",
        ),
        ([run(), changed("test_epoch.epoch_ind", [1, 5])], r"Run 1 of .* has logged epoch 5 of 4"),
        ([run(), changed("test_epoch", "x")], "Run 1 of .* has a test_epoch that is neither"),
        (
            [run(), changed("complexity.params", -5)],
            "Run 1 of .* has the params -5, expected a finite number, 0 or more",
        ),
        ([run(), changed("complexity.flops", math.inf)], "Run 1 of .* has the macs inf"),
        ([run(), changed("cfg.OPTIM.BASE_LR", -1)], "Run 1 of .* has the lr -1"),
    ],
)
def test_bad_sweeps_are_refused_and_nothing_is_written(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "out.h5").write_bytes(b"before")
    with pytest.raises(EdfkitError, match=message) as caught:
        import_pycls(sweep(tmp_path / "s", content), tmp_path / "out.h5")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "out.h5").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "s"]


def test_a_sweep_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdfkitError, match="does not exist"):
        import_pycls(tmp_path / "sweep.json", tmp_path / "out.h5")


CURVES = st.dictionaries(st.integers(1, 6), st.integers(0, 9_900).map(lambda e: e / 100), min_size=1, max_size=6)


@settings(max_examples=15)
@given(st.lists(CURVES, min_size=1, max_size=5))
def test_curves_are_those_that_were_logged(
    tmp_path_factory: pytest.TempPathFactory, curves: list[dict[int, float]]
) -> None:
    folder = tmp_path_factory.mktemp("sweep")
    ordered = [dict(sorted(curve.items())) for curve in curves]
    import_pycls(sweep(folder / "s", [run(i, curve, 6) for i, curve in enumerate(ordered)]), folder / "out.h5")
    with Archive(folder / "out.h5") as archive:
        read = archive.read("regnet", "test_error")
        assert read.shape == (len(curves), 6)
        for model, curve in enumerate(ordered):
            expected = [curve.get(epoch, math.nan) for epoch in range(1, 7)]
            np.testing.assert_array_equal(read[model], expected)
            assert archive.read("regnet", "error")[model] == min(curve.values())
            assert archive.read("regnet", "status")[model] == (0 if 6 in curve else 3)
