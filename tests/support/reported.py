"""Archives that reports are made of in the tests."""

from pathlib import Path
from typing import Any

import numpy as np

from edfkit.archive import write
from edfkit.archive.schema import OPS

ATTRS = {
    "title": "Populations for a test",
    "source": "tests",
    "license": "CC0-1.0",
    "dataset": "digits",
    "recipe": '{"epochs": 3, "lr": 0.1}',
    "software": "numpy",
    "commit": "none",
    "created": "2026-01-02T03:04:05Z",
}
MOST = 856_000  # params of a model


def stages(models: int, seed: int, worse: float = 0.0, **other: Any) -> dict[str, Any]:
    """Draw networks of three stages, as a population: the larger the better, with noise, errors of two decimals."""
    rng = np.random.default_rng(seed)
    depth, width = (
        rng.integers(1, 17, (4 * models, 3)),
        np.array([16, 32, 64, 128])[rng.integers(0, 4, (4 * models, 3))],
    )
    params = (5 * depth * width**2).sum(1) + rng.integers(0, 50, 4 * models)
    kept = np.flatnonzero(params < MOST)[:models]
    depth, width, params = depth[kept], width[kept], params[kept]
    excess = 14 * np.exp(-np.log10(params / 2e4)) * rng.gamma(4, 0.25, models) + rng.gamma(1.5, 0.5, models)
    error = np.round(np.minimum(3.5 + worse + excess, 90), 2)
    macs = (params * rng.uniform(60, 300, models)).astype(np.int64)
    return {
        "id": [f"{i:05d}" for i in range(models)],
        "error": error,
        "error_final": np.minimum(100, error + 0.25),
        "params": params,
        "macs": macs,
        "flops": macs + 1000 * depth.sum(1),
        "acts": 100 * depth.sum(1),
        "seed": np.arange(models),
        "lr": np.full(models, 0.1),
        "wd": np.full(models, 5e-4),
        "status": (np.arange(models) % 50 == 49).astype(np.int8),
        "seconds": np.full(models, 9.0),
        "depth": depth,
        "width": width,
        "bot_mul": rng.choice([0.25, 0.5, 1.0], (models, 3)),
        "groups": 2 ** rng.integers(0, 3, (models, 3)),
        **other,
    }


def cells(models: int, seed: int) -> dict[str, Any]:
    """Draw networks of cells of four nodes, as a population."""
    rng = np.random.default_rng(seed)
    network = {
        "op": rng.integers(0, len(OPS), (models, 2, 4, 2)).astype(np.int8),
        "input": np.minimum(rng.integers(0, 6, (models, 2, 4, 2)), np.arange(4)[:, None] + 1).astype(np.int8),
        "concat": np.ones((models, 2, 4), np.int8),
        "depth": rng.choice([4, 8, 12], models),
        "width": rng.choice([16, 24, 32], models),
    }
    common = {name: values for name, values in stages(models, seed).items() if name not in ("bot_mul", "groups")}
    return common | network


def repeated(networks: int, runs: int, seed: int, worse: float = 0.0) -> dict[str, Any]:
    """Draw networks of which each has several runs; the same ones whatever is added to their errors."""
    drawn = stages(networks, seed)
    rows = {name: np.repeat(np.asarray(values), runs, axis=0) for name, values in drawn.items() if name != "id"}
    noise = np.random.default_rng([seed, int(100 * worse)]).normal(worse, 0.5, networks * runs)
    error = np.round(np.clip(rows["error"] + noise, 0, 99), 2)
    return rows | {
        "id": [f"{worse:g}-{i:05d}" for i in range(networks * runs)],
        "error": error,
        "error_final": error + 0.25,
        "seed": np.tile(np.arange(runs), networks),
    }


def archive(
    path: Path,
    populations: dict[str, dict[str, Any]],
    group_attrs: dict[str, dict[str, str | int | float]] | None = None,
    **attrs: str,
) -> Path:
    """Write an archive of populations."""
    write(path, populations, ATTRS | attrs, group_attrs)
    return path
