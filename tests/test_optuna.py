import json
import math
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edfkit import EdfkitError
from edfkit.archive import Archive, validate
from edfkit.archive.schema import STATUS
from edfkit.exchange.optuna import import_optuna
from edfkit.study.selection import select

optuna: Any = pytest.importorskip("optuna", reason="optuna is not installed")
sqlalchemy: Any = pytest.importorskip("sqlalchemy", reason="optuna is not installed")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def sqlite(folder: Path) -> tuple[Any, str]:
    """Give a new storage in an SQLite file, and its URL."""
    return optuna.storages.RDBStorage(f"sqlite:///{folder / 'x.db'}"), f"sqlite:///{folder / 'x.db'}"


def journal(folder: Path) -> tuple[Any, str]:
    """Give a new storage in a journal file, and its path."""
    path = str(folder / "x.log")
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path)), path


def study_in(storage: Any, objective: Callable[[Any], Any], trials: int, **options: Any) -> Any:
    study = optuna.create_study(
        storage=storage, sampler=optuna.samplers.RandomSampler(seed=1), **({"study_name": "My Study"} | options)
    )
    study.optimize(objective, n_trials=trials, catch=(RuntimeError,))
    return study


def objective(trial: Any) -> Any:
    """Train nothing: report three epochs, the best of which is the value."""
    trial.suggest_float("lr", 1e-3, 1, log=True)
    kind = trial.suggest_categorical("kind", ["plain", "residual"])
    width = trial.suggest_categorical("width", [16, 32])
    depth = trial.suggest_int("depth", 1, 5)
    if kind == "residual":
        trial.suggest_float("drop path", 0, 1)
    trial.set_user_attr("params", width * depth * 100)
    trial.set_user_attr("node", "n1")
    trial.set_user_attr("history", [1, 2])
    errors = [60.0 + depth, 20.0 + trial.number / 8, 25.0]
    for epoch, error in enumerate(errors):
        trial.report(error, epoch)
        if trial.number == 3 and epoch == 1:
            raise optuna.TrialPruned
        if trial.number == 4:
            raise RuntimeError("out of memory")
    return min(errors)


@pytest.mark.parametrize("kind", [sqlite, journal])
def test_a_study_becomes_an_archive(tmp_path: Path, kind: Callable[[Path], tuple[Any, str]]) -> None:
    storage, url = kind(tmp_path)
    study = study_in(storage, objective, 8)
    study.ask()  # which leaves a trial running
    study.enqueue_trial({"lr": 0.5})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = import_optuna(url, None, tmp_path / "out.h5")
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "out.h5"}
    assert result.models == {"my-study": 10}
    assert result.outcomes == {"my-study": {"finished": 6, "failed": 1, "stopped": 1, "running": 2}}
    assert result.left_out == {}
    assert result.notes[0] == "1 of the trials were pruned: they are stopped runs."
    assert "--status-map FAIL=diverged" in result.notes[1]
    validate(tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:

        def read(variable: str) -> list[Any]:
            return list(archive.read("my-study", variable).tolist())

        trials = study.get_trials()
        expected = [math.nan if number == 4 else 20.0 + number / 8 for number in range(8)] + [math.nan] * 2
        np.testing.assert_array_equal(read("error"), expected)
        finals = [25.0] * 3 + [expected[3], math.nan] + [25.0] * 3 + [math.nan] * 2
        np.testing.assert_array_equal(read("error_final"), finals)
        assert read("id") == [str(number) for number in range(10)]
        ended = ["finished"] * 3 + ["stopped", "failed"] + ["finished"] * 3 + ["running"] * 2
        assert [STATUS[code] for code in read("status")] == ended
        assert read("state") == ["COMPLETE"] * 3 + ["PRUNED", "FAIL"] + ["COMPLETE"] * 3 + ["RUNNING", "WAITING"]
        assert archive.label("my-study") == "My Study"
        curves = archive.read("my-study", "test_error")
        assert curves.shape == (10, 3)
        for row, trial in enumerate(trials):
            np.testing.assert_array_equal(curves[row], [trial.intermediate_values.get(e, math.nan) for e in range(3)])
        assert read("params")[:8] == [trial.user_attrs["params"] for trial in trials[:8]]
        assert read("lr")[:8] == [trial.params["lr"] for trial in trials[:8]]
        assert read("seconds")[:8] == [trial.duration.total_seconds() for trial in trials[:8]]
        assert read("attr_node") == ["n1"] * 8 + [""] * 2
        assert read("param_kind") == [trial.params.get("kind", "") for trial in trials]
        assert read("param_width")[:8] == [trial.params["width"] for trial in trials[:8]]
        assert read("param_depth")[:8] == [trial.params["depth"] for trial in trials[:8]]
        drop = [trial.params.get("drop path", math.nan) for trial in trials]
        assert any(map(math.isnan, drop))
        np.testing.assert_array_equal(read("param_drop_path"), drop)
        assert archive.variable("my-study", "param_drop_path").attrs["long_name"] == "drop path"
        assert not {"attr_history", "attr_params", "param_lr"} & set(archive.variables("my-study"))
        assert archive.attrs["title"] == "My Study, a study of Optuna"
        (member,) = select(archive, ["my-study"]).populations
        assert (member.models, sum(member.left_out.values())) == (6, 4)


def test_an_sqlite_file_is_found_by_its_path_and_by_other_urls(tmp_path: Path) -> None:
    folder = tmp_path / "a %41 & #b"
    folder.mkdir()
    path = folder / "x.db"
    address = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string()
    storage = optuna.storages.RDBStorage(address)
    study_in(storage, lambda trial: 50.0 + trial.suggest_int("a", 0, 9), 2)
    assert path.is_file()
    for given in (str(path), address, address.replace("sqlite:", "sqlite+pysqlite:")):
        assert import_optuna(given, "My Study", tmp_path / "out.h5", name="other").models == {"other": 2}


def test_accuracies_and_shares_become_errors(tmp_path: Path) -> None:
    storage, url = sqlite(tmp_path)
    accuracies = [0.9435, 0.5]

    def accuracy(trial: Any) -> Any:
        trial.report(0.25, 1)
        trial.report(accuracies[trial.number], 2)
        return accuracies[trial.number]

    study_in(storage, accuracy, 2, direction="maximize")
    with pytest.raises(EdfkitError, match=r"Each accuracy lies in 0\.\.1.*--unit share or --unit percent"):
        import_optuna(url, "My Study", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    import_optuna(url, "My Study", tmp_path / "out.h5", unit="share")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("my-study", "error").tolist() == [5.65, 50.0]
        assert archive.read("my-study", "test_error").tolist() == [[75.0, 5.65], [75.0, 50.0]]


def test_trials_diverge_stop_and_fail_by_what_is_recorded(tmp_path: Path) -> None:
    storage, url = journal(tmp_path)
    study = study_in(storage, lambda trial: [30.0, math.inf, 20.0][trial.number], 3)
    for end, reports in ((40.0, [50.0, math.nan]), (None, [60.0]), (None, [])):
        trial = study.ask()
        for step, error in enumerate(reports, start=1):
            trial.report(error, step)
        study.tell(trial, end, state=None if end else optuna.trial.TrialState.PRUNED)
    for reason in ("The value nan is not acceptable", "worker lost"):
        trial = study.ask()
        trial.set_system_attr("STUDY_TELL_WARNING", reason) if hasattr(trial, "set_system_attr") else None
        storage.set_trial_system_attr(trial._trial_id, "fail_reason", reason)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    import_optuna(url, None, tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        ended = [STATUS[code] for code in archive.read("my-study", "status")]
        assert ended == ["finished", "diverged", "finished", "diverged", "stopped", "stopped", "diverged", "failed"]
        nan = math.nan
        np.testing.assert_array_equal(archive.read("my-study", "error"), [30, nan, 20, 40, nan, nan, nan, nan])
        (member,) = select(archive, ["my-study"]).populations
        assert (member.models, member.diverged) == (5, 3)
    import_optuna(url, None, tmp_path / "out.h5", statuses="fail=diverged,PRUNED=failed")
    with Archive(tmp_path / "out.h5") as archive:
        ended = [STATUS[code] for code in archive.read("my-study", "status")]
        assert ended[4:] == ["failed", "failed", "diverged", "diverged"]


@pytest.mark.parametrize(
    ("options", "label", "unit", "values"),
    [
        ({}, "val loss", "1", [1.5, 0.5]),
        ({"unit": "nats"}, "val loss", "nats", [1.5, 0.5]),
        ({"metric": "NLL", "goal": "max"}, "NLL", "1", [1.5, 0.5]),
        ({"metric": "error"}, "error", "percent", [1.5, 0.5]),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_value_that_is_no_percentage_is_a_metric_of_its_own(
    tmp_path: Path, options: dict[str, Any], label: str, unit: str, values: list[float]
) -> None:
    storage, url = journal(tmp_path)

    def loss(trial: Any) -> Any:
        for step in (1, 2, 3):
            trial.report(3.5 - step - trial.number + (step == 3), step)
            if trial.number == 2 and step == 2:
                raise optuna.TrialPruned
        return 1.5 - trial.number

    study_in(storage, loss, 0).set_metric_names(["val loss"])
    optuna.load_study(study_name="My Study", storage=storage).optimize(loss, n_trials=3)
    import_optuna(url, None, tmp_path / "out.h5", **options)
    validate(tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        metric = archive.metrics("my-study")[0]
        assert (metric.label, metric.unit, metric.goal) == (label, unit, options.get("goal", "min"))
        assert archive.read("my-study", metric.name).tolist()[:2] == values
        if options.get("metric") is None:
            assert archive.read("my-study", f"{metric.name}_curve").shape == (3, 3)
            assert archive.read("my-study", f"{metric.name}_final").tolist() == [1.5, 0.5, -0.5]
            assert archive.read("my-study", metric.name)[2] == -0.5
            (member,) = select(archive, ["my-study"]).populations
            assert member.metric == metric


def test_trials_of_the_same_parameters_are_runs_of_one_network(tmp_path: Path) -> None:
    storage, url = journal(tmp_path)

    def objective(trial: Any) -> Any:
        trial.suggest_int("seed", trial.number, trial.number)
        return 50.0 + trial.suggest_int("depth", trial.number // 3, trial.number // 3)

    study_in(storage, objective, 6)
    import_optuna(url, None, tmp_path / "out.h5")
    with Archive(tmp_path / "out.h5") as archive:
        unit = archive.read("my-study", "unit")
        assert (unit == unit[0]).tolist() == [True] * 3 + [False] * 3
        assert np.unique(unit).size == 2


@pytest.mark.parametrize("ends", ["last", "other", "loss"])
def test_intermediate_values_that_are_no_curve_of_errors_are_kept_apart(tmp_path: Path, ends: str) -> None:
    storage, url = journal(tmp_path)

    def objective(trial: Any) -> Any:
        trial.report(-3.0 if ends == "loss" else 20.0, 1)
        trial.report(30.0, 3)
        return {"last": 30.0, "other": 25.0, "loss": 30.0}[ends]

    study_in(storage, objective, 2)
    result = import_optuna(url, "My Study", tmp_path / "out.h5")
    assert len(result.notes) == 1
    with Archive(tmp_path / "out.h5") as archive:
        first = -3.0 if ends == "loss" else 20.0
        np.testing.assert_array_equal(archive.read("my-study", "intermediate"), [[first, math.nan, 30.0]] * 2)
        assert "test_error" not in archive.variables("my-study")
        final = archive.read("my-study", "error_final")
        assert final.tolist() == [30.0] * 2 if ends == "last" else np.isnan(final).all()


def test_steps_that_are_no_epochs_are_left_out_and_said(tmp_path: Path) -> None:
    storage, url = journal(tmp_path)

    def objective(trial: Any) -> Any:
        trial.report(30.0, 1_000_000)
        return 30.0

    study_in(storage, objective, 1)
    (note,) = import_optuna(url, "My Study", tmp_path / "out.h5").notes
    assert "their steps go from 1 to 1,000,000" in note


def test_a_study_of_several_values_needs_to_be_told_which(tmp_path: Path) -> None:
    storage, url = sqlite(tmp_path)
    study = study_in(storage, lambda trial: (1e6 * (1 + trial.number), 70.0), 2, directions=["minimize", "maximize"])
    for value in (None, 2, -1):
        with pytest.raises(EdfkitError, match=r"has the values 0 \(minimized\), 1 \(maximized\); say by --value"):
            import_optuna(url, "My Study", tmp_path / "out.h5", value=value)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["macs", "accuracy"])
    with pytest.raises(EdfkitError, match=r"has the values 0 \(macs\), 1 \(accuracy\)"):
        import_optuna(url, "My Study", tmp_path / "out.h5")
    import_optuna(url, "My Study", tmp_path / "out.h5", value=1)
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("my-study", "error").tolist() == [30.0, 30.0]
    with pytest.raises(EdfkitError, match=r"Trial 0 of the study 'My Study' has the error 1e\+06, expected 0\.\.100"):
        import_optuna(url, "My Study", tmp_path / "out.h5", value=0, unit="percent")
    import_optuna(url, "My Study", tmp_path / "out.h5", value=0)
    with Archive(tmp_path / "out.h5") as archive:
        (metric,) = archive.metrics("my-study")
        assert (metric.label, metric.goal, metric.unit, metric.name) == ("macs", "min", "1", "x_macs")
        assert archive.read("my-study", metric.name).tolist() == [1e6, 2e6]


def test_complexities_are_named(tmp_path: Path) -> None:
    storage, url = journal(tmp_path)

    def objective(trial: Any) -> Any:
        trial.set_user_attr("size", [5, 7][trial.number])
        trial.set_user_attr("label", "x")
        trial.suggest_int("bad", -2, -2)
        trial.suggest_int("cost", 9, 9)
        return 50.0

    study_in(storage, objective, 2)
    import_optuna(url, "My Study", tmp_path / "out.h5", params="size", macs="cost")
    with Archive(tmp_path / "out.h5") as archive:
        assert archive.read("my-study", "params").tolist() == [5, 7]
        assert archive.read("my-study", "macs").tolist() == [9, 9]
        assert {"attr_size", "param_cost"}.isdisjoint(archive.variables("my-study"))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"params": "sise"}, r"has no user attribute or parameter 'sise'; did you mean 'size'\?"),
        ({"params": "label"}, "Trial 0 of the study 'My Study' has 'x' as 'label', expected a number"),
        ({"flops": "bad"}, "Trial 0 of the study 'My Study' has the flops -2, expected a finite number, 0 or more"),
        ({"metric": "error", "unit": "permille"}, "'permille', expected percent or share"),
        ({"goal": "up"}, "'up' was given, expected min or max"),
        ({"statuses": "FAIL=lost"}, "--status-map: 'FAIL=lost' was given"),
        ({"recipe": "{"}, "'recipe' is not JSON"),
    ]
    for options, message in bad:
        with pytest.raises(EdfkitError, match=message):
            import_optuna(url, "My Study", tmp_path / "none.h5", **options)
    assert not (tmp_path / "none.h5").exists()


def test_the_study_is_named_where_there_are_several(tmp_path: Path) -> None:
    storage, url = sqlite(tmp_path)
    with pytest.raises(EdfkitError, match=r"x\.db has 0 studies, none; name one"):
        import_optuna(url, None, tmp_path / "out.h5")
    study_in(storage, lambda trial: 50.0, 1)
    optuna.create_study(storage=storage, study_name="empty")
    with pytest.raises(EdfkitError, match=r"x\.db has 2 studies, 'My Study', 'empty'; name one\."):
        import_optuna(url, None, tmp_path / "out.h5")
    with pytest.raises(EdfkitError, match=r"x\.db has no study 'my study'; did you mean 'My Study'\?"):
        import_optuna(url, "my study", tmp_path / "out.h5")
    with pytest.raises(EdfkitError, match="No trial of the study 'empty' is over"):
        import_optuna(url, "empty", tmp_path / "out.h5")


def test_a_storage_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    for address in (f"sqlite:///{tmp_path / 'x.db'}", str(tmp_path / "x.db"), str(tmp_path / "x.log"), str(tmp_path)):
        with pytest.raises(EdfkitError, match=r"does not exist|is a folder"):
            import_optuna(address, "s", tmp_path / "out.h5")
    with pytest.raises(EdfkitError, match="memory of another process"):
        import_optuna("sqlite:///:memory:", "s", tmp_path / "out.h5")
    with pytest.raises(EdfkitError, match=r"^The storage nonsense://\.\.\. cannot be read by Optuna") as caught:
        import_optuna("nonsense://user:secret@host/x", "s", tmp_path / "out.h5")
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused_and_stay_as_they_are(tmp_path: Path) -> None:
    for name, content in (
        ("a.db", b""),
        ("b.log", b"text"),
        ("c.log", b"{"),
        ("d.log", json.dumps({"a": 1}).encode() + b"\n"),
    ):
        (tmp_path / name).write_bytes(content)
    other = sqlite3.connect(tmp_path / "e.db")
    other.execute("create table t (a integer)")
    other.commit()
    other.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in before:
        with pytest.raises(EdfkitError, match=r"^The storage .* (cannot be read by Optuna|has 0 studies)") as caught:
            import_optuna(str(tmp_path / name), None, tmp_path / "out.h5")
        assert "\n" not in str(caught.value)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_damaged_storage_is_refused(tmp_path: Path) -> None:
    storage, url = sqlite(tmp_path)
    study_in(storage, lambda trial: 50.0, 3)
    path = tmp_path / "x.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(EdfkitError, match="cannot be read by Optuna"):
        import_optuna(url, None, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_without_optuna_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, url = journal(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(EdfkitError, match=r"pip install 'edfkit\[optuna\]'"):
        import_optuna(url, None, tmp_path / "out.h5")
