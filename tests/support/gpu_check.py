#!/usr/bin/env python3
"""Check and time the whole CUDA path of edfkit on one NVIDIA GPU, in under 8 minutes.

    python -P tests/support/gpu_check.py [--mps] [--out gpu.json]        (with edfkit[generator] installed; --cpu-smoke runs it tiny on a CPU)

1 correctness  one step on CUDA against one on the CPU from the same weights and the same batch (ResNet, ResNeXt, DARTS, auxiliary,
               drop path off); captured steps against eager ones bit for bit, in fp32, tf32, bf16; the same seed twice, bit for bit;
               a capture must happen (note is None); memory back to where it was after 40 models; a CUDA out-of-memory is survived
2 speed        mean ResNet-space and mean DARTS-space network, 32x32, batch 128: eager / graph, fp32 / tf32 / bf16, channels_last /
               contiguous, deterministic / not, cudnn.benchmark
3 workers      1, 2, 4, 8 processes on the GPU, without MPS and with (--mps starts a private daemon), models an hour of the recipe
               (100 epochs x 390 steps, test of 10,000 and 1,024 images for batch norm each epoch)
"""

import argparse
import contextlib
import json
import multiprocessing as mp
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

import numpy as np

BEGUN = time.time()
RESNET = (
    "resnet",
    {"depth": [3, 4, 3], "width": [48, 64, 64]},
)  # 203 M macs, 0.63 M params: the mean under ResNet-56's bounds
RESNEXT = (
    "resnext-b",
    {"depth": [4, 4, 1], "width": [128, 256, 64], "bot_mul": [0.25, 0.5, 0.5], "groups": [1, 4, 16]},
)
DARTS = (
    "darts",
    {
        "width": 16,
        "depth": 16,
        "genotype": {  # 73 M macs, the mean of DARTS
            "normal": [
                ["avg_pool_3x3", 1],
                ["dil_conv_5x5", 1],
                ["max_pool_3x3", 0],
                ["dil_conv_3x3", 2],
                ["dil_conv_5x5", 1],
                ["dil_conv_3x3", 0],
                ["dil_conv_3x3", 4],
                ["max_pool_3x3", 1],
            ],
            "normal_concat": [2, 3, 4, 5],
            "reduce": [
                ["skip_connect", 1],
                ["sep_conv_5x5", 0],
                ["skip_connect", 2],
                ["sep_conv_3x3", 2],
                ["none", 3],
                ["sep_conv_5x5", 2],
                ["dil_conv_5x5", 3],
                ["sep_conv_3x3", 1],
            ],
            "reduce_concat": [2, 3, 4, 5],
        },
    },
)
NETS = {"resnet": RESNET, "resnext-b": RESNEXT, "darts": DARTS}
SMOKE = "--cpu-smoke" in sys.argv


def parts(net):
    from edfkit.generator import spaces

    space = spaces.find(NETS[net][0])
    d = NETS[net][1]
    if net == "darts":
        from edfkit.generator.spaces.cells import from_genotypes

        return space, {k: v[0] for k, v in vars(from_genotypes([d])).items()}
    return space, {k: np.array(v) for k, v in d.items()}


def images(n, side=32, test=1000):
    test = 20 if SMOKE else test
    from edfkit.generator.training.images import Images

    r = np.random.default_rng(0)
    return Images(
        r.integers(0, 256, (n, side, side, 3), dtype=np.uint8),
        r.integers(0, 10, n),
        r.integers(0, 256, (test, side, side, 3), dtype=np.uint8),
        r.integers(0, 10, test),
        (125.0,) * 3,
        (63.0,) * 3,
    )


def make(net, device, recipe, n=1280, capturable=None, side=32, seed=0):
    if SMOKE:
        side, n = 16, min(n, 3 * recipe.batch)
    import torch

    from edfkit.generator.training.pipeline import InMemory
    from edfkit.generator.training.stages import build_network
    from edfkit.generator.training.train import _Step

    space, cols = parts(net)
    model = (
        build_network(space.architecture, cols, auxiliary=recipe.auxiliary > 0, rng=torch.Generator().manual_seed(seed))
        .to(device)
        .to(memory_format=torch.channels_last)
        .train()
    )
    rng = torch.Generator(device).manual_seed(seed)
    pipe = InMemory(images(n, side), recipe, torch.device(device), rng)
    return _Step(
        model, pipe, recipe, torch.device(device), capturable=device != "cpu" if capturable is None else capturable
    ), rng


def correctness(dev, report):
    import torch

    from edfkit.generator.training import train as T
    from edfkit.generator.training.capture import Captured
    from edfkit.generator.training.recipe import Recipe

    base = Recipe(batch=8 if SMOKE else 32, epochs=1 if SMOKE else 2, precise_bn=64)
    for net in NETS:
        for aux in (0.0, 0.4):
            # the same batch on both: no flips or shifts, and indices given; one step, so nothing is amplified
            rec = replace(base, flip=False, shift=0, auxiliary=aux)
            grads = {}
            for d in ("cpu", dev):
                with T._arithmetic(torch.device(d), "fp32"):
                    step, _ = make(net, d, rec, 64, capturable=d != "cpu")
                    step.begin_epoch(0)
                    step(torch.arange(rec.batch, device=d))
                    grads[d] = (
                        {
                            k: p.grad.detach().float().cpu().clone()
                            for k, p in step.model.named_parameters()
                            if p.grad is not None
                        },
                        float(step.loss_sum),
                        int(step.misses),
                    )
            worst = max(
                float((grads["cpu"][0][k] - g).norm() / (grads["cpu"][0][k].norm() + 1e-6))
                for k, g in grads[dev][0].items()
            )
            report[f"one step {net} aux {aux}: worst relative gradient difference to CPU"] = worst
            report[f"one step {net} aux {aux}: ok"] = worst < 0.02 and abs(grads["cpu"][1] - grads[dev][1]) < 1e-4
            # (a wrong layout of a gradient would give about 1.4)
    precisions = ("fp32",) if dev == "cpu" else ("fp32", "tf32", "bf16")
    for net in NETS:
        for prec in precisions:
            rec, marks = replace(base, precision=prec), []
            for captured in (False, True, True):
                with T._arithmetic(torch.device(dev), prec):
                    step, rng = make(net, dev, rec, 32 * 7 + 5)
                    do = Captured(step, rng) if captured and dev != "cpu" else step
                    curves = list(T._train(step, do))
                    note = getattr(do, "note", None)
                    w = torch.cat([p.detach().double().flatten() for p in step.model.parameters()])
                    marks.append((curves, hash(w.cpu().numpy().tobytes())))
                if note:
                    report[f"capture {net} {prec}: NOTE"] = note
            report[f"captured == eager, bit for bit: {net} {prec}"] = marks[0] == marks[1]
            report[f"same seed twice, bit for bit: {net} {prec}"] = marks[1] == marks[2]
    if dev == "cpu":
        return
    # memory over models, and out of memory
    from edfkit.generator.runs import work
    from edfkit.generator.training import data

    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    space, cols = parts("resnet")
    ds = data.Dataset("x", 32, 3, 10, (384, 64), {}, lambda _: None)
    im = images(384, test=64)
    trail = []
    for i in range(40):
        work.train_configuration(
            space.architecture, cols, Recipe(batch=128, epochs=1, precise_bn=128), ds, im, seed=i, device="cuda"
        )
        torch.cuda.empty_cache()
        trail.append(torch.cuda.memory_reserved() - before)
    report["memory reserved after models 1, 10, 40 (MB)"] = [round(trail[i] / 2**20, 1) for i in (0, 9, 39)]
    torch.cuda.set_per_process_memory_fraction(
        min(1.0, (trail[-1] + before + 600 * 2**20) / torch.cuda.get_device_properties(0).total_memory)
    )
    try:
        work.train_configuration(
            space.architecture,
            cols,
            Recipe(batch=4096, epochs=1, precise_bn=0),
            ds,
            images(4096, test=64),
            seed=0,
            device="cuda",
        )
        report["out of memory raised"] = "NO: it fitted"
    except torch.cuda.OutOfMemoryError:
        report["out of memory raised"] = True
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()
    again = work.train_configuration(
        space.architecture, cols, Recipe(batch=128, epochs=1, precise_bn=128), ds, im, seed=0, device="cuda"
    )
    report["trains after out of memory"] = again.status
    report["memory after it (MB)"] = round((torch.cuda.memory_reserved() - before) / 2**20, 1)


def timed(fn, dev, seconds):
    import torch

    sync = torch.cuda.synchronize if dev != "cpu" else (lambda: None)
    sync()
    n, t = 0, time.perf_counter()
    while time.perf_counter() - t < seconds:
        for _ in range(1 if dev == "cpu" else 10):
            fn()
        n += 1 if dev == "cpu" else 10
        sync()
    return (time.perf_counter() - t) / n


def speed(dev, report, secs):
    import torch

    from edfkit.generator.training import train as T
    from edfkit.generator.training.capture import Captured
    from edfkit.generator.training.recipe import Recipe

    for net in ("resnet", "darts"):
        for prec in ("fp32",) if dev == "cpu" else ("fp32", "tf32", "bf16"):
            for how in ("eager", "graph", "graph contiguous", "graph not deterministic", "graph cudnn.benchmark"):
                if dev == "cpu" and how != "eager":
                    continue
                rec = Recipe(batch=4 if SMOKE else 128, precision=prec)
                try:
                    with T._arithmetic(torch.device(dev), prec):
                        flags = contextlib.nullcontext()
                        if how.endswith(("deterministic", "benchmark")):
                            flags = torch.backends.cudnn.flags(
                                enabled=True,
                                benchmark="benchmark" in how,
                                deterministic=False,
                                allow_tf32=prec == "tf32",
                            )
                        with flags:
                            step, rng = make(net, dev, rec, 10 * rec.batch)
                            step.begin_epoch(0)
                            if "contiguous" in how:
                                step.model.to(memory_format=torch.contiguous_format)
                                old = step.pipeline.augmented
                                step.pipeline.augmented = lambda *a, o=old: (lambda x, y: (x.contiguous(), y))(*o(*a))
                            do = Captured(step, rng) if "graph" in how else step
                            idx = torch.arange(rec.batch, device=dev)
                            for _ in range(1 if dev == "cpu" else 8):
                                do(idx)
                            ms = 1000 * timed(lambda: do(idx), dev, secs)
                            report[f"ms a step {net} {prec} {how}"] = round(ms, 3)
                            if getattr(do, "note", None):
                                report[f"NOTE {net} {prec} {how}"] = do.note
                            if how == "graph" or dev == "cpu":
                                step.model.eval()
                                with torch.no_grad():
                                    report[f"ms a test batch of 1000 {net} {prec}"] = round(
                                        1000
                                        * timed(
                                            lambda: T._count_test_misses(
                                                step.model, step.pipeline, rec, torch.device(dev)
                                            ),
                                            dev,
                                            secs / 2,
                                        ),
                                        2,
                                    )
                except Exception as e:
                    report[f"FAILED {net} {prec} {how}"] = f"{type(e).__name__}: {e}"[:300]


def worker(net, prec, dev, secs, go, out):
    import torch

    from edfkit.generator.training import train as T
    from edfkit.generator.training.capture import Captured
    from edfkit.generator.training.recipe import Recipe

    torch.set_num_threads(1)
    with T._arithmetic(torch.device(dev), prec):
        rec = Recipe(batch=4 if SMOKE else 128, precision=prec)
        step, rng = make(net, dev, rec, 40 * rec.batch)
        step.begin_epoch(0)
        do = Captured(step, rng) if dev != "cpu" else step
        idx = torch.arange(rec.batch, device=dev)
        for _ in range(1 if SMOKE else 10):
            do(idx)
        go.wait()
        s = timed(lambda: do(idx), dev, secs)
        go.wait()  # the test while others train would be fairer yet; here all test together
        e = timed(lambda: T._count_test_misses(step.model, step.pipeline, rec, torch.device(dev)), dev, secs / 4)
        mem = torch.cuda.memory_reserved() / 2**20 if dev != "cpu" else 0
        out.put((s, e, mem))


def workers(dev, report, secs, label):
    ctx = mp.get_context("spawn")
    for net in ("resnet", "darts"):
        for prec in ("fp32",) if dev == "cpu" else ("fp32", "bf16"):
            for n in (1, 2) if SMOKE else (1, 2, 4, 8):
                if time.time() - BEGUN > 440:
                    report["stopped early"] = "time"
                    return
                go, out = ctx.Barrier(n), ctx.Queue()
                ps = [ctx.Process(target=worker, args=(net, prec, dev, secs, go, out)) for _ in range(n)]
                [p.start() for p in ps]
                got = []
                try:
                    got = [out.get(timeout=120) for _ in ps]
                except Exception as e:
                    report[f"{label} {net} {prec} x{n}"] = f"FAILED {type(e).__name__}"
                [p.join(5) for p in ps]
                [p.kill() for p in ps if p.is_alive()]
                if got:
                    per = [100 * (390 * s + 11.024 * e) for s, e, _ in got]  # seconds a model of 100 epochs
                    report[f"{label} {net} {prec} x{n}: models an hour"] = round(sum(3600 / p for p in per), 2)
                    report[f"{label} {net} {prec} x{n}: MB a worker"] = round(max(m for *_, m in got))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--mps", action="store_true")
    a.add_argument("--out", default="gpu.json")
    a.add_argument("--cpu-smoke", action="store_true")
    a = a.parse_args()
    import torch

    import edfkit

    torch.set_num_threads(1)
    dev = "cpu" if SMOKE else "cuda"
    report = {
        "edfkit": edfkit.__version__,
        "torch": torch.__version__,
        "device": "cpu" if SMOKE else torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }

    def save(what):
        report[f"seconds after {what}"] = round(time.time() - BEGUN, 1)
        open(a.out, "w").write(json.dumps(report, indent=1))
        print(
            json.dumps(report, indent=1) if what == "all" else f"{what}: {report[f'seconds after {what}']} s",
            flush=True,
        )

    for what, do in (
        ("correctness", lambda: correctness(dev, report)),
        ("speed", lambda: speed(dev, report, 0.2 if SMOKE else 1.0)),
        ("workers", lambda: workers(dev, report, 0.3 if SMOKE else 2.0, "no MPS")),
    ):
        try:
            do()
        except Exception:
            import traceback

            report[f"FAILED {what}"] = traceback.format_exc()[-1500:]
        save(what)
    if a.mps and not SMOKE:
        d = tempfile.mkdtemp()
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": d, "CUDA_MPS_LOG_DIRECTORY": d}
        subprocess.run(["nvidia-cuda-mps-control", "-d"], check=False)
        try:
            workers(dev, report, 2.0, "MPS")
        finally:
            subprocess.run(["nvidia-cuda-mps-control"], input=b"quit\n", check=False)
    save("all")


if __name__ == "__main__":
    main()
