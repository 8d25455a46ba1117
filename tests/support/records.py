"""Published records that the tests make: realistic ones in any number, and ones as odd as the format allows."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

Json = dict[str, Any]


def write_realistic(path: Path, models: int, *, cells: bool = False, seed: int = 0) -> None:
    """Write a published file of so many models, 3.4 kB each: curves of 100 epochs in single precision, as 6 decimals.

    Test errors are multiples of 0.01 and training errors of 0.002, with the noise of single precision; errors fall in
    the way of a cosine schedule, and one in 50 models diverges.
    """
    rng = np.random.default_rng(seed)
    epoch = np.arange(1, 101)
    with open(path, "w", encoding="utf-8") as file:
        for i in range(models):
            best = 4 + 3 * rng.gamma(2)
            fall = rng.uniform(20, 60) * (0.25 + 0.75 * np.cos(np.pi / 2 * epoch / 100)) * epoch**-0.35
            test = np.clip(best + fall + rng.normal(0, 0.06 * fall + 0.05), 0.5, 90)
            train = np.clip(0.3 * best + 1.1 * fall + rng.normal(0, 0.04, 100), 0.01, 90)
            if i % 50 == 49:
                test, train = np.full(100, 90.0), rng.normal(90, 0.1, 100)
            noisy = np.float32(np.rint(test * 100) / 100) + np.float32(2e-6)
            curves = {
                "train_ep_loss": np.float32(train / 30 + rng.normal(0, 0.002, 100) ** 2),
                "train_ep_top1": np.float32(np.rint(train * 500) / 500),
                "test_ep_top1": noisy,
            }
            lists = {key: [round(value, 6) for value in np.asarray(values).tolist()] for key, values in curves.items()}
            params = float(rng.lognormal(13.5, 1))
            record = {
                "job_id": str(90_000_000 + i),
                "rng_seed": 1,
                "exp_mem": int(params / 2) + 400_000,
                "params": int(params),
                "flops": int(params * rng.uniform(40, 400)),
                "net": _cells(rng) if cells else _stages(rng),
                "optim": {
                    "base_lr": 0.1,
                    "iter_lr": False,
                    "lr_policy": "cos",
                    "max_ep": 100,
                    "mom": 0.9,
                    "wd": 0.0005,
                },
                "act_mem": int(rng.integers(200, 3000)),
                "prec_time": {
                    key: round(float(rng.uniform(0.002, 0.06)), 6)
                    for key in ("test_fw", "train_bw", "train_fw", "train_fw_bw")
                },
                "iter_time": round(float(rng.uniform(0.005, 0.1)), 6),
                "min_test_top1": min(lists["test_ep_top1"]),
                **lists,
                "train_it_loss": [],
                "train_it_top1": [],
            }
            file.write(("[" if i == 0 else ", ") + json.dumps(record))
        file.write("]")


def _stages(rng: np.random.Generator) -> Json:
    depths, widths = rng.choice([1, 2, 4, 8, 16], 3), rng.choice([16, 32, 64, 128, 256], 3)
    muls, groups = rng.choice([0.25, 0.5, 1.0], 3), rng.choice([1, 2, 4], 3)
    return {
        "block_type": "res_bottleneck_block",
        "bot_muls": [0.0, *muls.tolist()],
        "ds": [1, *depths.tolist()],
        "num_gs": [1, *groups.tolist()],
        "ss": [1, 1, 2, 2],
        "ws": [16, *widths.tolist()],
    }


def _cells(rng: np.random.Generator) -> Json:
    ops = ["none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3"]
    genotype: Json = {}
    for kind in ("normal", "reduce"):
        genotype[kind] = [[ops[rng.integers(7)], int(rng.integers(2 + place // 2))] for place in range(8)]
        genotype[f"{kind}_concat"] = [2, 3, 4, 5]
    return {"aux": False, "depth": int(rng.integers(4, 20)), "drop_prob": 0.0, "genotype": genotype, "width": 16}


_TEXT = st.text(st.characters(), max_size=8)  # lone surrogates too, which JSON can hold
_ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
_PERCENT = st.integers(0, 100) | st.floats(0, 100) | st.integers(0, 10**8).map(lambda i: i / 10**6) | st.just(math.nan)
_COUNT = st.integers(0, 2**53) | st.floats(0, 1e300)
_EXTRA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _ANY_FLOAT | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_NOISY = st.integers(0, 9_900).flatmap(lambda i: st.sampled_from([0, 1, 2, 3]).map(lambda n: (i * 10_000 + n) / 10**6))


@st.composite
def odd_records(draw: st.DrawFn) -> Json:
    """Records with any key missing but those of the error, keys in any order, and others besides."""
    errors = st.lists(_PERCENT, max_size=5) | st.lists(_NOISY, max_size=5)
    test = draw(errors)
    known = [value for value in test if value == value]
    record: Json = {"test_ep_top1": test}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "job_id": _TEXT | st.integers() | st.sampled_from(["1", "2"]) | st.none(),
        "rng_seed": st.integers(0, 9),
        "params": _COUNT | st.none(),
        "flops": _COUNT,
        "exp_mem": _EXTRA,
        "act_mem": st.integers(0, 10**6) | st.floats(0, 1e6),
        "iter_time": st.floats(0, 10),
        "prec_time": st.dictionaries(_TEXT, _ANY_FLOAT, max_size=2),
        "net": st.sampled_from([_stages(np.random.default_rng(1)), _cells(np.random.default_rng(1))]) | _EXTRA,
        "optim": st.fixed_dictionaries({}, optional={"base_lr": st.floats(0, 9), "wd": st.floats(0, 1), "mom": _EXTRA})
        | st.none(),
        "train_ep_top1": errors | st.none(),
        "train_ep_loss": st.lists(_ANY_FLOAT | st.integers(-9, 9), max_size=5),
        "train_it_loss": st.lists(_ANY_FLOAT, max_size=7),
        "train_it_top1": st.lists(_ANY_FLOAT, max_size=3),
    }
    for key, strategy in optional.items():
        if draw(st.booleans()):
            record[key] = draw(strategy)
    if not known or draw(st.booleans()):
        record["min_test_top1"] = draw(st.just(min(known, default=100.0)) | _PERCENT.filter(lambda e: e == e))
    for key in draw(st.lists(_TEXT, max_size=2)):
        record.setdefault(key, draw(_EXTRA))
    return dict(draw(st.permutations(list(record.items()))))


def equal(one: object, other: object) -> bool:
    """Tell whether two JSON values are the same: keys in one order, numbers as floats, NaN as NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float) and bool not in (type(one), type(other)):
        return float(one) == float(other) or (one != one and other != other)
    return type(one) is type(other) and one == other
