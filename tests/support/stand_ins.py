"""Populations made up by chance, for every name that the figures of the paper know, in an archive."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edfkit.archive import write
from edfkit.show.look import SPACES, space_of

ALL = [
    *SPACES,
    *(f"{space}_fix-w-d" for space in ("pnas", "enas", "darts")),
    *(f"{space}_lr-wd" for space in ("vanilla", "resnet", "darts")),
    *(f"{space}_rng{i}" for space in ("vanilla", "resnet") for i in (1, 2, 3)),
    *(f"{space}_reruns_{kind}" for space in ("vanilla", "resnet") for kind in ("top", "mid")),
    *(f"{space}_in" for space in ("nasnet", "amoeba", "pnas", "enas", "darts", "resnext-a", "resnext-b")),
    *(f"{space}_lr-wd_in" for space in ("vanilla", "resnet", "darts")),
]
_WORSE = {"vanilla": 3.0, "nasnet": 1.0, "amoeba": 0.9, "resnext-a": 1.1, "enas": 0.5, "pnas": 0.45, "resnet": 0.9}


def stand_in(name: str, models: int, *, epochs: int = 0) -> dict[str, Any]:
    """Make up a population: better networks are larger, as a rule, and spaces differ as in the paper, about."""
    space = space_of(name)
    most = (6.0e6, 0.6e9) if name.endswith("_in") else (0.856e6, 0.129e9)
    rng = np.random.default_rng([sum(map(ord, space)), "rng" in name])  # the same networks for every seed
    noise = np.random.default_rng(sum(map(ord, name)))
    params = (
        np.exp(rng.uniform(np.log(0.015e6), np.log(most[0]), models))
        if "fix" not in name
        else most[0] * rng.beta(6, 4, models)
    )
    flops = np.clip(params * most[1] / most[0] * np.exp(rng.normal(0, 0.45, models)), 0.004e9, most[1])
    worse = _WORSE.get(space, 0.4)
    errors = 4 + 5 * (params / most[0]) ** -0.15 * worse**0.5 + rng.gamma(1.5, worse, models)
    lr, wd = np.full(models, 0.1), np.full(models, 5e-4)
    if "lr-wd" in name:
        lr, wd = 10 ** noise.uniform(-3, 0, models), 10 ** noise.uniform(-5, -2, models)
        errors = errors + 5 * (np.log10(lr) + 1) ** 2 + 2 * (np.log10(wd * lr) + 4.3) ** 2
    if "reruns" in name:
        params[:], flops[:], errors[:] = 0.5e6, 0.06e9, 6 + 2 * ("mid" in name) + worse
    errors = np.round(np.clip(errors + noise.normal(0, 0.15, models), 0.5, 90), 2)
    unknown = np.full(models, np.nan)
    variables: dict[str, Any] = {
        "id": [f"{name}-{i}" for i in range(models)],
        "error": errors,
        "error_final": errors + 0.105,
        "params": params.astype(int),
        "macs": (flops / 1.02).astype(int),
        "flops": flops.astype(int),
        "acts": unknown,
        "seed": np.arange(models),
        "lr": lr,
        "wd": wd,
        "status": np.zeros(models, np.int8),
        "seconds": unknown,
    }
    if epochs:
        curve = errors[:, None] + (90 - errors[:, None]) * np.linspace(1, 0, epochs) ** 3
        variables["test_error"] = np.round(curve, 2)
        variables["error_final"] = variables["test_error"][:, -1]
    return variables


def write_stand_ins(
    path: Path,
    names: Sequence[str] = tuple(ALL),
    models: int | Mapping[str, int] = 300,
    dataset: str = "",
    **options: Any,
) -> Path:
    """Write an archive of such populations, on CIFAR-10, and those that are called so on ImageNet."""
    sizes = models if isinstance(models, Mapping) else dict.fromkeys(names, models)
    about = dict.fromkeys(("title", "source", "license", "software", "commit", "created"), "made up") | {"recipe": "{}"}
    sets = {name: dataset or ("ImageNet" if name.endswith("_in") else "CIFAR-10") for name in names}
    populations = {name: stand_in(name, sizes[name], **options) for name in names}
    write(
        path, populations, about | {"dataset": dataset or "CIFAR-10"}, {name: {"dataset": sets[name]} for name in names}
    )
    return path
