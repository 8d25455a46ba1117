"""Tables with a row for each epoch, and curves in the rows of tables and in nested records."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edfkit import EdfkitError
from edfkit.archive import Archive, validate
from edfkit.archive.schema import Status
from edfkit.exchange.epochs import curves
from edfkit.exchange.foreign import Imported
from edfkit.exchange.tables import import_table

NAN, INF = math.nan, math.inf
LIGHTNING = "epoch,step,train_loss,val_acc\n0,9,2.1,\n0,9,,0.41\n1,19,1.7,\n1,19,,0.55\n2,29,1.6,\n2,29,,0.53\n"


class Gathered:
    """An archive of a table, with what was said of the import."""

    def __init__(self, folder: Path, text: str, name: str = "t.csv", **options: Any) -> None:
        (folder / name).write_text(text, encoding="utf-8")
        self.said: Imported = import_table(folder / name, folder / "o.h5", **options)
        validate(folder / "o.h5")
        with Archive(folder / "o.h5") as archive:
            self.columns = {
                space: {variable: archive.read(space, variable) for variable in archive.variables(space)}
                for space in archive.names
            }
            self.metrics = archive.metrics(archive.names[0])

    def __getitem__(self, name: str) -> Any:
        return next(iter(self.columns.values()))[name]


def progress(
    runs: int = 4, epochs: int = 3, step: str = "training_iteration", run: str | None = "trial_id"
) -> list[str]:
    """Write a row for each epoch of each run; run i reaches the accuracies 50 + i, 60 + i, ..."""
    named = "" if run is None else f"{run},"
    rows = [f"{named}{step},mean_accuracy,config/lr,time_total_s"]
    for i in range(runs):
        for epoch in range(1, epochs + 1):
            name = "" if run is None else f"r{i},"
            rows.append(f"{name}{epoch},{40 + 10 * epoch + i},{0.1 / (i + 1)},{epoch * 1.5}")
    return rows


def test_a_file_of_one_run_is_one_model_with_a_curve(tmp_path: Path) -> None:
    found = Gathered(tmp_path, LIGHTNING, accuracy="val_acc", unit="share")
    assert found.said.models == {"t": 1}
    assert "6 rows are epochs of 1 run, told by the column 'epoch'" in found.said.notes[0]
    assert found["error"].tolist() == [45]
    assert found["error_final"].tolist() == [47]
    assert found["test_error"].tolist() == [[59, 45, 47]]
    assert found["status"].tolist() == [Status.FINISHED]
    assert found["x_train_loss"].tolist() == [1.6]
    of_loss = Gathered(tmp_path, LIGHTNING, metric="train_loss", unit="nats")
    assert of_loss["x_train_loss"].tolist() == of_loss["x_train_loss_final"].tolist() == [1.6]
    assert of_loss["x_train_loss_curve"].tolist() == [[2.1, 1.7, 1.6]]
    assert (of_loss.metrics[0].label, of_loss.metrics[0].unit) == ("train_loss", "nats")


@pytest.mark.parametrize("step", ["training_iteration", "Epoch", "global_step", "iteration"])
@pytest.mark.parametrize(("run", "mixed"), [("trial_id", False), ("run", True), ("Name", True), ("id", False)])
def test_rows_of_named_runs_are_gathered_in_any_order(tmp_path: Path, step: str, run: str, mixed: bool) -> None:
    head, *rows = progress(step=step, run=run)
    if mixed:
        random.Random(0).shuffle(rows)
    found = Gathered(tmp_path, "\n".join([head, *rows]), accuracy="mean_accuracy", seconds="time_total_s")
    order = np.argsort(found["id"])
    assert found["id"][order].tolist() == ["r0", "r1", "r2", "r3"]
    np.testing.assert_array_equal(found["error"][order], [30, 29, 28, 27])
    np.testing.assert_array_equal(found["test_error"][order], [[50 - i, 40 - i, 30 - i] for i in range(4)])
    np.testing.assert_array_equal(found["config_lr"][order], [0.1, 0.05, 0.1 / 3, 0.025])
    assert found["seconds"].tolist() == [4.5] * 4


def test_rows_without_a_name_are_told_by_their_configuration(tmp_path: Path) -> None:
    found = Gathered(tmp_path, "\n".join(progress(run=None)), accuracy="mean_accuracy")
    assert found.said.models == {"t": 4}
    assert found["id"].tolist() == ["1", "2", "3", "4"]
    assert found["error"].tolist() == [30, 29, 28, 27]


def test_nested_records_of_epochs_are_gathered(tmp_path: Path) -> None:
    rows = [
        {
            "acc": 0.5 + epoch / 10,
            "training_iteration": epoch,
            "trial_id": f"t{i}",
            "config": {"lr": lr, "opt": {"m": 1}},
        }
        for i, lr in enumerate((0.1, 0.2))
        for epoch in (1, 2)
    ]
    for text in ("\n".join(map(json.dumps, rows)), json.dumps(rows), f"\n {json.dumps(rows, indent=1)}"):
        found = Gathered(tmp_path, text, "result.json", metric="acc", goal="max", unit="share")
        assert found["acc"].tolist() == [0.7, 0.7]
        assert found["acc_curve"].tolist() == [[0.6, 0.7]] * 2
        assert found["config_lr"].tolist() == [0.1, 0.2]
        assert found["config_opt_m"].tolist() == [1, 1]


def test_best_follows_the_goal_and_missing_cells_are_skipped(tmp_path: Path) -> None:
    text = "run,epoch,auc,f1\na,0,0.5,\na,1,0.9,0.2\na,2,,0.1\nb,0,0.7,0.3\nb,1,0.6,\nb,2,0.4,0.5\n"
    found = Gathered(tmp_path, text, metric=["auc", "f1"], goal="max", unit="share")
    assert [metric.name for metric in found.metrics] == ["auc", "f1"]
    assert found["auc"].tolist() == [0.9, 0.7]
    assert found["auc_final"].tolist() == [0.9, 0.4]
    np.testing.assert_array_equal(found["auc_curve"], [[0.5, 0.9, NAN], [0.7, 0.6, 0.4]])
    assert found["f1"].tolist() == [0.2, 0.5]
    assert found["f1_final"].tolist() == [0.1, 0.5]
    assert found["status"].tolist() == [Status.STOPPED, Status.FINISHED]  # a has a step less


def test_outcomes_of_gathered_runs(tmp_path: Path) -> None:
    rows = ["run,epoch,err,train_loss,state"]
    for run, errors, losses, word in (
        ("ended", "9 8 7", "1 1 1", "done"),
        ("nan", "9 nan 8", "1 1 1", "done"),
        ("infinite", "9 8 inf", "1 1 1", "running"),
        ("loss", "9 8 7", "1 inf 1", "done"),
        ("none", "- - -", "1 1 1", ""),
        ("short", "9 8", "1 1", "TERMINATED"),
        ("word", "9 8", "1 1", "running"),
    ):
        for epoch, (error, loss) in enumerate(zip(errors.split(), losses.split(), strict=True)):
            rows.append(f"{run},{epoch},{error},{loss},{word}")
    found = Gathered(tmp_path, "\n".join(rows), error="err", status="state")
    words = ["finished", "diverged", "diverged", "diverged", "failed", "stopped", "running"]
    assert [Status(code).name.lower() for code in found["status"]] == words
    assert found.said.outcomes == {"t": {"finished": 1, "diverged": 3, "failed": 1, "stopped": 1, "running": 1}}
    np.testing.assert_array_equal(found["error"], [7, 8, 8, 7, NAN, 8, 8])
    np.testing.assert_array_equal(found["test_error"][1], [9, NAN, 8])


def test_each_population_has_a_longest_run_of_its_own(tmp_path: Path) -> None:
    rows = ["space,run,epoch,err"]
    rows += [
        f"{space},{run},{epoch},{9 - epoch}"
        for space, n in (("a", 2), ("b", 4))
        for run in (0, 1)
        for epoch in range(n)
    ]
    found = Gathered(tmp_path, "\n".join([*rows, "b,2,0,9"]), error="err", space="space")
    assert found.said.models == {"a": 2, "b": 3}
    assert found.said.outcomes == {"a": {"finished": 2}, "b": {"finished": 2, "stopped": 1}}
    assert found.columns["b"]["id"].tolist() == ["0", "1", "2"]


def test_steps_that_are_not_counted_one_by_one_have_no_curve(tmp_path: Path) -> None:
    text = "run,global_step,err\na,50,9\na,100,7\na,150,8\nb,50,9\nb,100,8\nb,150,5\n"
    found = Gathered(tmp_path, text, error="err")
    assert found["error"].tolist() == [7, 5]
    assert found["error_final"].tolist() == [8, 5]
    assert "test_error" not in found.columns["t"]
    assert any("The curves of 'err' are not in the archive" in note for note in found.said.notes)


def test_columns_that_are_named_settle_it(tmp_path: Path) -> None:
    text = "who,n,err\na,7,9\nb,3,8\na,9,5\nb,4,6\n"
    assert Gathered(tmp_path, text, error="err").said.models == {"t": 4}
    for options in ({"run": "who"}, {"run": "who", "step": "n"}):
        found = Gathered(tmp_path, text, error="err", **options)
        assert found["id"].tolist() == ["a", "b"]
        assert found["error"].tolist() == [5, 6]
    rows = "\n".join(progress())
    assert Gathered(tmp_path, rows, accuracy="mean_accuracy", run="").said.models == {"t": 12}
    assert Gathered(tmp_path, rows, accuracy="mean_accuracy", step="").said.models == {"t": 12}


ONE_RUN = {
    "Keras": "epoch,accuracy,loss,val_accuracy,val_loss\n0,60,1.5,50,1.7\n1,70,1.2,65,1.4\n2,75,1.1,60,1.3\n",
    "YOLO": "   epoch,  time, train/box_loss, val_accuracy\n 1, 9.5, 1.2, 50\n 2, 19.1, 1.1, 65\n 3, 29, 1, 60\n",
    "Hugging Face": "epoch,step,learning_rate,val_accuracy,eval_x\n.5,10,.1,50,3\n1,20,.05,65,7\n1.5,30,0,60,5\n",
    "validation apart": "epoch,phase,val_accuracy\n0,train,\n0,val,50\n1,train,\n1,val,65\n2,val,60\n",
    "iterations": "iteration,lr,loss,val_accuracy\n20,.01,3,50\n40,.1,2,65\n60,.01,1,60\n",
    "times": "epoch,timestamp,val_accuracy\n0,10:00,50\n1,10:05,65\n2,10:07,60\n",
}


@pytest.mark.parametrize("text", ONE_RUN.values(), ids=ONE_RUN.keys())
def test_logs_of_one_run(tmp_path: Path, text: str) -> None:
    column = next(name for name in text.split("\n")[0].split(",") if name.strip() == "val_accuracy")
    found = Gathered(tmp_path, text, accuracy=column)
    assert found.said.models == {"t": 1}
    assert (found["error"].tolist(), found["error_final"].tolist()) == ([35], [40])


@pytest.mark.parametrize(
    "columns",
    ["arch,epoch,err", "name,seed,epoch,err", "arch,seed,epoch,err", "model,config/lr,epoch,err", "seed,wd,epoch,err"],
)
def test_runs_are_told_by_all_that_does_not_change_in_them(tmp_path: Path, columns: str) -> None:
    first, second, *_ = columns.split(",")
    twofold = second != "epoch"
    rows = [
        f"{one},{two}{epoch},{10 * (i + 1) + 3 * j - epoch}"
        for i, one in enumerate(("1", "2") if first == "seed" else ("x", "y"))
        for j, two in enumerate(("1,", "2,") if twofold else ("",))
        for epoch in range(2)
    ]
    found = Gathered(tmp_path, "\n".join([columns, *rows]), error="err")
    assert found["error"].tolist() == ([9, 12, 19, 22] if twofold else [9, 19])


MODELS = {
    "the best epoch of each": "arch,epoch,err\na,90,5\na,85,6\nb,99,7\nb,70,8\n",
    "one number of epochs": "arch,seed,epoch,err\na,1,200,5\na,2,200,6\nb,1,200,7\nb,2,200,8\n",
    "names that repeat with best epochs": "name,epoch,err\na,90,5\na,85,6\na,90,7\nb,70,8\nb,71,8\n",
    "the iterations of a search": "iteration,lr,err\n0,0.1,5\n1,0.01,6\n2,0.3,7\n3,0.02,8\n4,0.5,9\n",
    "the last row of each trial": "trial_id,training_iteration,err\na,3,5\nb,3,6\nc,3,7\n",
    "budgets": "arch,seed,epochs,err\na,0,12,5\na,0,200,6\nb,0,12,7\nb,0,200,8\n",
    "one row": "epoch,err\n1,5\n",
}


@pytest.mark.parametrize("text", MODELS.values(), ids=MODELS.keys())
def test_models_are_not_taken_for_epochs(tmp_path: Path, text: str) -> None:
    found = Gathered(tmp_path, text, error="err")
    assert found.said.models == {"t": text.count("\n") - 1}
    assert not any("epoch" in note for note in found.said.notes)
    assert found.said.failed == {}


def test_a_trial_of_fewer_iterations_was_stopped(tmp_path: Path) -> None:
    text = "trial_id,training_iteration,n,err,status\na,100,1,5,TERMINATED\nb,40,2,6,TERMINATED\nc,100,2,7,ERROR\n"
    found = Gathered(tmp_path, text, error="err", status="status")
    assert found["status"].tolist() == [Status.FINISHED, Status.STOPPED, Status.FAILED]
    found = Gathered(tmp_path, text, error="err", step="n")
    assert found["status"].tolist() == [Status.STOPPED, Status.FINISHED, Status.FINISHED]


@pytest.mark.parametrize("hole", ["a,1,\n", ""], ids=["an empty cell", "no row"])
def test_a_run_that_was_not_tested_after_each_epoch_did_not_stop(tmp_path: Path, hole: str) -> None:
    text = f"run,epoch,err\na,0,9\n{hole}a,2,7\nb,0,8\nb,1,7\nb,2,6\nc,0,9\nc,1,8\n"
    found = Gathered(tmp_path, text, error="err")
    assert found["status"].tolist() == [Status.FINISHED, Status.FINISHED, Status.STOPPED]
    np.testing.assert_array_equal(found["test_error"][0], [9, NAN, 7])


def test_a_run_that_was_started_again_is_named_as_such(tmp_path: Path) -> None:
    text = "run,epoch,err\na,0,9\na,1,8\na,1,7\na,2,6\n"
    with pytest.raises(EdfkitError, match="several rows of one 'run' for one 'epoch', as of a run that was start"):
        Gathered(tmp_path, text, error="err", run="run", step="epoch")


def test_a_perplexity_that_no_single_precision_holds_diverged(tmp_path: Path) -> None:
    found = Gathered(tmp_path, "ppl\n12.5\n2.7e43\n14\n", metric="ppl", unit="1")
    assert found["status"].tolist() == [Status.FINISHED, Status.DIVERGED, Status.FINISHED]
    np.testing.assert_array_equal(found["ppl"], [12.5, NAN, 14])


UNCLEAR = [
    ("epoch,err\n0,9\n1,8\n0,7\n1,6\n", {}),  # two runs, and nothing that tells them apart
    ("run,epoch,err\na,0,9\na,1,8\na,0,7\na,1,6\n", {}),  # a run that has two values at an epoch
    ("config/lr,epoch,err\n.1,0,9\n.1,1,8\n.1,0,7\n.1,1,6\n.2,0,3\n.2,1,3\n", {}),  # a configuration twice
    ("n,err\n3,9\n2,8\n3,7\n", {"step": "n"}),
    ("step,depth,err\n0,3,5\n1,9,6\n2,4,7\n", {}),  # a search, or a log with a measure called depth
    ("epoch,phase,err\n0,train,5\n0,val,6\n1,train,4\n1,val,5\n", {}),
]


@pytest.mark.parametrize(("text", "options"), UNCLEAR)
def test_what_is_not_clear_is_refused_with_the_options(tmp_path: Path, text: str, options: dict[str, str]) -> None:
    with pytest.raises(EdfkitError, match=r"a row for each epoch, by its column '.*--run, .*--step, .*--run ''"):
        Gathered(tmp_path, text, error="err", **options)
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": "rum"}, "has no column 'rum'; did you mean 'run'"),
        ({"step": "who"}, "the column 'who' has values that are no whole numbers"),
    ],
)
def test_wrong_columns_are_refused(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(EdfkitError, match=message):
        Gathered(tmp_path, "run,epoch,who,err\na,0,x,9\na,1,x,8\n", error="err", **options)


def nested() -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [{"lr": 0.5, "nan_train_loss": True, "learning_curve": []}]
    for i in range(3):
        points = [{"epoch": epoch, "time": 1.5, "top_1": (epoch + i + 1) / 10} for epoch in range(4)]
        records.append({"lr": 0.1 * i, "nan_train_loss": False, "learning_curve": points})
    return records


def test_curves_in_nested_records(tmp_path: Path) -> None:
    for text, name in (("\n".join(map(json.dumps, nested())), "t.jsonl"), (json.dumps(nested()), "t.json")):
        found = Gathered(tmp_path, text, name, accuracy="learning_curve.top_1", unit="share")
        assert found["status"].tolist() == [Status.DIVERGED, 0, 0, 0]
        np.testing.assert_array_equal(found["error"], [NAN, 60, 50, 40])
        np.testing.assert_array_equal(found["error_final"], found["error"])
        assert found["test_error"][1].tolist() == [90, 80, 70, 60]
        assert "nan_train_loss" in found.said.notes[0]
        without = Gathered(tmp_path, text, name, accuracy="learning_curve.top_1", unit="share", diverged="")
        assert without["status"].tolist() == [Status.FAILED, 0, 0, 0]


def test_lists_in_a_column_are_curves(tmp_path: Path) -> None:
    text = 'run,loss\na,"[3.0, 2.0, 2.5]"\nb,"[3.0, NaN]"\nc,"[4.0, 3.5]"\nd,[]\ne,5\n'
    of_lines = "\n".join(
        json.dumps({"run": run, "loss": loss})
        for run, loss in (("a", [3.0, 2.0, 2.5]), ("b", [3.0, NAN]), ("c", [4.0, 3.5]), ("d", []), ("e", 5))
    )
    for written, name in ((text, "t.csv"), (of_lines, "t.jsonl")):
        found = Gathered(tmp_path, written, name, metric="loss", unit="nats", id="run")
        np.testing.assert_array_equal(found["loss"], [2, 3, 3.5, NAN, 5])
        np.testing.assert_array_equal(found["loss_final"], [2.5, 3, 3.5, NAN, 5])
        np.testing.assert_array_equal(
            found["loss_curve"],
            [[3, 2, 2.5], [3, NAN, NAN], [4, 3.5, NAN], [NAN, NAN, NAN], [5, NAN, NAN]],
        )
        words = [Status(code).name for code in found["status"]]
        assert words == ["FINISHED", "DIVERGED", "STOPPED", "FAILED", "STOPPED"]
    with pytest.raises(EdfkitError, match="has curves in its rows"):
        Gathered(tmp_path, text, metric="loss", unit="nats", run="run")


@settings(max_examples=50)
@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.5, -3.0, NAN, INF]), min_size=1, max_size=5), min_size=1, max_size=4
    ),
    st.sampled_from(["min", "max"]),
    st.randoms(use_true_random=False),
)
def test_curves_are_those_of_each_run_by_itself(runs: list[list[float]], goal: Any, shuffled: random.Random) -> None:
    rows = [(value, i, step) for i, run in enumerate(runs) for step, value in enumerate(run)]
    shuffled.shuffle(rows)
    values, of, steps = (np.array(column) for column in zip(*rows, strict=True))
    found = curves(values.astype(float), np.zeros(len(rows), np.bool_), of, steps.astype(float), len(runs), goal)
    for i, run in enumerate(runs):
        known = [value for value in run if math.isfinite(value)]
        best = (min if goal == "min" else max)(known) if known else NAN
        np.testing.assert_array_equal([found.best[i], found.final[i]], [best, known[-1] if known else NAN])
        valued = [step for step, value in enumerate(run) if not math.isnan(value)]
        assert found.steps[:, i].tolist() == [len(valued), max(valued, default=-INF)]
        assert found.broke[i] == (INF in run)
        if found.curve is not None:
            kept = found.curve[i][~np.isnan(found.curve[i])]
            assert kept.tolist() == known
