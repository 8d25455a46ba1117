"""Sweeps beyond a plain population: rates, seeds, fixed cells; and what a run is predicted to cost."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from itertools import chain
from pathlib import Path

import dask
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from dask.distributed import Client
from scipy import stats

from edfkit import EdfkitError, __version__
from edfkit.archive import Archive
from edfkit.cli import edfkit
from edfkit.generator import spaces
from edfkit.generator.runs import cost, engine, run, work
from edfkit.generator.runs.pack import pack
from edfkit.generator.runs.plan import Plan, Request, make_plan, open_run, read_plan, write_plan
from edfkit.generator.spaces.kinds import CellSpace
from edfkit.generator.training import data
from edfkit.generator.training.recipe import Recipe

SMALL = {"params": 30e3, "macs": 1e6}
REQUEST = Request(
    spaces.find("resnet"), "digits", 3, 3, SMALL, "and", Recipe(epochs=1, batch=100, flip=False, shift=1, precise_bn=0)
)
SWEPT = replace(REQUEST, lr_range=(1e-3, 1.0), wd_range=(1e-5, 1e-2))


def train_all(folder: Path, request: Request) -> Plan:
    plan = open_run(folder, request)
    for index in run.pending(folder, plan):
        assert work.train_model(str(folder), index, device="cpu") == ("finished", False)
    return plan


def test_rates_are_log_uniform_and_those_of_fewer_models_come_first() -> None:
    plan = make_plan(replace(SWEPT, models=4000, bounds={}))
    few = make_plan(replace(SWEPT, models=7, bounds={}))
    for name, (low, high) in (("lr", (1e-3, 1.0)), ("weight_decay", (1e-5, 1e-2))):
        share = np.log(plan.rates[name] / low) / np.log(high / low)
        assert stats.kstest(share, "uniform").pvalue > 1e-3
        np.testing.assert_array_equal(few.rates[name], plan.rates[name][:7])
    assert abs(stats.spearmanr(plan.rates["lr"], plan.rates["weight_decay"]).statistic) < 0.06
    assert few.ids == plan.ids[:7]
    assert plan.recipe(2) == replace(SWEPT.recipe, lr=plan.rates["lr"][2], weight_decay=plan.rates["weight_decay"][2])


def test_a_sweep_is_the_same_whatever_instructions_the_processor_has() -> None:
    numpys = import_module("numpy._core._multiarray_umath")
    used = [name for name in numpys.__cpu_dispatch__ if numpys.__cpu_features__[name]]
    if not used:
        pytest.skip("this processor has no instructions beyond those that numpy always takes")
    program = "import sys, pickle; from edfkit.generator.runs.plan import make_plan; " + (
        "print(*make_plan(pickle.load(sys.stdin.buffer)).ids)"
    )
    request = replace(SWEPT, models=200)
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        input=pickle.dumps(request),
        env=os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(used)},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split() == make_plan(request).ids


def test_a_sweep_of_rates_has_the_configurations_of_the_population_but_other_models() -> None:
    plain, swept = make_plan(REQUEST), make_plan(SWEPT)
    np.testing.assert_equal(swept.sample.columns, plain.sample.columns)
    assert not set(plain.ids) & set(swept.ids)
    only = make_plan(replace(SWEPT, wd_range=None))
    np.testing.assert_array_equal(only.rates["lr"], swept.rates["lr"])
    assert set(only.rate("weight_decay")) == {5e-4}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "resnet"),
        ({"lr_range": (0.1, 1)}, "resnet_lr"),
        ({"wd_range": (0.1, 1)}, "resnet_wd"),
        ({"lr_range": (0.1, 1), "wd_range": (0.1, 1)}, "resnet_lr-wd"),
        ({"training_seed": 2}, "resnet_rng2"),
        ({"space": spaces.fix(spaces.find("darts"), 16, 20)}, "darts_fix-w-d"),
        ({"space": spaces.fix(spaces.find("darts"), depth=20)}, "darts_fix-d"),
    ],
)
def test_populations_are_called_as_the_published_ones(change: dict[str, object], name: str) -> None:
    assert replace(REQUEST, **change).population == name


@pytest.mark.parametrize("ends", [(0, 1), (1, 0.1), (-1, 1), (0.1, float("inf")), (float("nan"), 1)])
def test_rates_that_cannot_be_drawn_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(EdfkitError, match=r"learning rate is to be between .* two positive numbers"):
        replace(REQUEST, lr_range=ends)


def test_another_training_seed_gives_the_same_configurations_and_other_models() -> None:
    plans = [make_plan(replace(REQUEST, training_seed=seed)) for seed in (None, 1, 2, 3)]
    for plan in plans:
        np.testing.assert_equal(plan.sample.columns, plans[0].sample.columns)
    assert len({model for plan in plans for model in plan.ids}) == 12
    assert make_plan(replace(REQUEST, seed=4, training_seed=1)).seeds.tolist() == plans[1].seeds.tolist()


def test_a_plan_of_a_sweep_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = make_plan(replace(SWEPT, training_seed=5))
    write_plan(tmp_path, plan)
    again = read_plan(tmp_path)
    assert again.request == plan.request
    np.testing.assert_equal(again.rates, plan.rates)
    with pytest.raises(EdfkitError, match="was begun with training_seed 5 and not None"):
        open_run(tmp_path, SWEPT)


def test_a_sweep_trains_each_model_at_its_rates(tmp_path: Path) -> None:
    plan = train_all(tmp_path / "swept", SWEPT)
    pack([tmp_path / "swept"], tmp_path / "a.h5", source="test", license="none")
    with Archive(tmp_path / "a.h5") as archive:
        assert archive.names == ["resnet_lr-wd"]
        np.testing.assert_array_equal(archive.read("resnet_lr-wd", "lr"), plan.rates["lr"])
        np.testing.assert_array_equal(archive.read("resnet_lr-wd", "wd"), plan.rates["weight_decay"])
        assert json.loads(str(archive.group_attrs("resnet_lr-wd")["lr_range"])) == [1e-3, 1.0]
        swept = archive.read("resnet_lr-wd", "train_loss")
    # The same network and seed at the recipe's rates, one by one, gives the same.
    dataset, images = work.images_of("digits", None)
    for index in range(3):
        columns = {name: column[index] for name, column in plan.sample.columns.items()}
        recipe = replace(
            SWEPT.recipe, lr=float(plan.rates["lr"][index]), weight_decay=float(plan.rates["weight_decay"][index])
        )
        trained = work.train_configuration(
            SWEPT.space.architecture, columns, recipe, dataset, images, seed=int(plan.seeds[index])
        )
        assert trained.train_loss == swept[index].tolist()


def test_several_seeds_become_several_populations(tmp_path: Path) -> None:
    for seed in (1, 2):
        train_all(tmp_path / str(seed), replace(REQUEST, training_seed=seed))
    counts = pack([tmp_path / "1", tmp_path / "2"], tmp_path / "a.h5", source="test", license="none")
    assert counts == {"resnet_rng1": (3, 3), "resnet_rng2": (3, 3)}
    with Archive(tmp_path / "a.h5") as archive:
        one, two = (archive.read(name, "depth") for name in archive.names)
        np.testing.assert_array_equal(one, two)
        losses = [archive.read(name, "train_loss") for name in archive.names]
    assert (losses[0] != losses[1]).all()


def test_width_and_depth_of_cells_are_fixed() -> None:
    fixed = spaces.fix(spaces.find("darts"), 16, 20)
    assert isinstance(fixed, CellSpace)
    assert (fixed.width, fixed.depth) == ((16,), (20,))
    plan = make_plan(replace(REQUEST, space=fixed, bounds={}))
    assert plan.sample.columns["width"].tolist() == [16] * 3
    assert spaces.fix(fixed) is fixed
    with pytest.raises(EdfkitError, match="networks of resnet are not of cells"):
        spaces.fix(spaces.find("resnet"), width=16)
    with pytest.raises(EdfkitError, match="depth is 0"):
        spaces.fix(spaces.find("darts"), depth=0)


def test_the_longest_models_come_first() -> None:
    plan = make_plan(replace(REQUEST, models=50, bounds={}))
    left = list(range(0, 50, 3))
    order = engine.longest_first(plan, left)
    assert sorted(order) == left
    assert (np.diff(plan.sample.complexity.macs[order]) <= 0).all()


# Cost


def test_the_steps_of_a_training_by_hand() -> None:
    # Of 1,000 images in batches of 100, 797 to test and 500 for the statistics: 10 steps and 12.97 passes forward.
    recipe = Recipe(epochs=3, batch=100, precise_bn=500)
    assert cost.steps(recipe, data.find("digits")) == pytest.approx(3 * (10 + 12.97 / 3))


def test_the_cost_of_a_plan_adds_up() -> None:
    plan = make_plan(replace(REQUEST, models=30))
    dataset = data.find("digits")
    whole, part = (cost.predict(plan, list(left), dataset, device="cpu") for left in (range(30), range(10)))
    assert (whole.models, part.models) == (30, 10)
    steps = 10 + 7.97 / 3
    assert whole.flops == pytest.approx(6 * 100 * steps * plan.sample.complexity.macs.sum())
    assert whole.disk == 30 * 4096
    assert 0 < part.hours < 1
    assert whole.timed == 6


def test_the_published_step_times_are_met() -> None:
    plan = make_plan(replace(REQUEST, models=1, recipe=replace(REQUEST.recipe, batch=128)))
    flops = plan.sample.complexity._replace(flops=np.array([185_000_000]))
    known = replace(plan, sample=replace(plan.sample, complexity=flops))
    dataset = data.find("digits")
    predicted = cost.predict(known, [0], dataset, device="cpu").hours_2019
    assert predicted * 3600 == pytest.approx(0.059 * cost.steps(known.request.recipe, dataset))


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(edfkit, [str(argument) for argument in arguments])
    return done.exit_code, f"{done.output} {done.exception}"


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    options = ["--models", 3, "--max-params", 30e3, "--max-macs", 1e6, "--epochs", 1, "--out", tmp_path / "run"]
    status, out = invoke("generate", "resnet", *options, "--dry-run", "--device", "cpu")
    assert status == 0, out
    assert "3 of 3 resnet models to train on digits" in out
    assert "on one process here" in out
    assert "on one GPU of 2019" in out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "--scheduler takes the workers that are there"),
        (["--slurm-directive", "--gres=gpu:1"], "--slurm-directive is for --slurm"),
        (["--image-size", "64"], "--image-size is for a folder of images"),
        (["--dataset", "digits", "--data", "x.npz"], "Both --dataset and --data were given"),
        (["--width", "16"], "networks of resnet are not of cells"),
        (["--lr-range", "1", "0.1"], "two positive numbers, the smaller first"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: list[str], said: str) -> None:
    status, out = invoke("generate", "resnet", "--models", 1, "--out", tmp_path / "run", *options)
    assert status != 0
    assert said in " ".join(out.split())
    assert not (tmp_path / "run").exists()


# Retries, by tasks that fail on purpose on the workers of a real cluster


def failing(times: int, *, may_pass: bool) -> Callable[[str, int, str | None, str], tuple[str, bool]]:
    def task(folder: str, index: int, where: str | None, device: str) -> tuple[str, bool]:
        log = Path(folder).parent / "tries.txt"
        with open(log, "a") as file:
            file.write(f"{index}\n")
        if index == 1 and log.read_text().split().count("1") <= times:
            return "failed", may_pass
        return "finished", False

    return task


@pytest.mark.parametrize(("times", "may_pass", "tries", "failed"), [(2, True, 3, 0), (9, True, 3, 1), (9, False, 1, 1)])
def test_a_failure_that_may_pass_is_tried_again_alone_and_last(
    cluster: str, tmp_path: Path, times: int, may_pass: bool, tries: int, failed: int
) -> None:
    plan = open_run(tmp_path / "run", replace(REQUEST, models=6))
    ended = Counter(
        engine.train_pending(
            tmp_path / "run", plan, range(6), engine.Engine(scheduler=cluster), task=failing(times, may_pass=may_pass)
        )
    )
    assert ended == Counter(finished=6 - failed, failed=failed)
    order = (tmp_path / "tries.txt").read_text().split()
    assert order.count("1") == tries
    assert sorted(order[:6]) == list("012345")  # the others first


def test_models_that_go_together_are_tried_apart_when_their_process_is_killed(tmp_path: Path) -> None:
    killer, models = 77, 100

    def task(folder: str, index: int, where: str | None, device: str) -> tuple[str, bool]:
        with open(Path(folder).parent / f"{os.getpid()}.txt", "a") as file:
            file.write(f"{index}\n")
        if index == killer:
            os.kill(os.getpid(), signal.SIGKILL)
        return "finished", False

    plan = open_run(tmp_path / "run", replace(REQUEST, models=models))
    ended = Counter(engine.train_pending(tmp_path / "run", plan, range(models), engine.Engine(workers=2), task=task))
    assert ended == Counter(finished=models - 1, failed=1)
    assert run.read_result(tmp_path / "run", plan.ids[killer])["reason"].startswith("its process was killed")
    tried = [path.read_text().split() for path in tmp_path.glob("*.txt")]
    assert sum(one[-1] == str(killer) for one in tried) == 3
    again = [model for model, times in Counter(chain.from_iterable(tried)).items() if times > 1]
    assert len(again) > 1  # others had gone with it


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PATIENCE", 1)
    plan = open_run(tmp_path / "run", REQUEST)
    with pytest.raises(EdfkitError, match=r"The scheduler tcp://127.0.0.1:1 cannot be reached"):
        list(engine.train_pending(tmp_path / "run", plan, [0], engine.Engine(scheduler="tcp://127.0.0.1:1")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("sys.modules['edfkit.generator'] = None", "The workers cannot train (No module named 'edfkit.generator.runs'"),
        ("edfkit.__version__ = '0.0.1'", f"The workers have edfkit 0.0.1, and this is {__version__}; install edfkit["),
    ],
)
def test_workers_that_have_another_edfkit_are_refused(tmp_path: Path, change: str, said: str) -> None:
    (tmp_path / "first.py").write_text(f"import sys, edfkit; {change}")
    plan = open_run(tmp_path / "run", REQUEST)
    with Client(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as client:
        address = client.scheduler.address
        command = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", address, "--host", "127.0.0.1"]
        worker = subprocess.Popen([*command, "--preload", tmp_path / "first.py"], stderr=subprocess.DEVNULL)
        try:
            with pytest.raises(EdfkitError) as refusal:
                list(engine.train_pending(tmp_path / "run", plan, [0], engine.Engine(scheduler=address)))
        finally:
            worker.terminate()
            worker.wait(60)
    assert said in str(refusal.value)
    assert run.pending(tmp_path / "run", plan) == [0, 1, 2]


def test_workers_that_end_as_they_start_are_told_of(tmp_path: Path) -> None:
    plan = open_run(tmp_path / "run", REQUEST)
    with (
        dask.config.set({"distributed.worker.preload": ["there_is_no_such_module"]}),
        pytest.raises(EdfkitError, match=r"The 2 workers could not be started \(.+\); see that there is memory"),
    ):
        list(engine.train_pending(tmp_path / "run", plan, [0, 1], engine.Engine(workers=2)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_missed_before_anything_is_trained(tmp_path: Path) -> None:
    plan = open_run(tmp_path / "run", REQUEST)
    with pytest.raises(EdfkitError, match=r"there is no GPU here; give --device cpu or auto"):
        list(engine.train_pending(tmp_path / "run", plan, [0], engine.Engine(device="cuda")))
    assert run.pending(tmp_path / "run", plan) == [0, 1, 2]
