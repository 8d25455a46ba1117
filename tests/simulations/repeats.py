"""How often studies claim a difference that is not there, and intervals cover, where rows repeat networks.

Run from the root of the repository: PYTHONPATH=tests/simulations python -P tests/simulations/repeats.py --runs 1000
--out tests/simulations/repeats.json, and then tests/simulations/page.py.

Networks of one law of errors are trained with several seeds each; all populations are equal.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import inference
import numpy as np
from numpy.typing import NDArray

from edfkit.study.compare import compare_populations
from edfkit.study.describe import describe_study
from edfkit.study.search import search_study
from edfkit.study.selection import InMemory

Floats = NDArray[np.float64]
FIGURES = Path(__file__).with_suffix(".json")
NETWORKS, SPREAD = 100, 2.0
"""Networks of a population, and the standard deviation of their errors, points, about 30 %."""

CASES = {
    "one seed": ((1, 1), 0.2),
    "three seeds": ((3, 3), 0.2),
    "three seeds, much noise": ((3, 3), 1.5),
    "one to five seeds": ((1, 5), 0.5),
}
"""The fewest and the most seeds of a network, and the standard deviation between seeds, points."""


def population(case: str, rng: np.random.Generator, first: int, *, stated: bool = True) -> dict[str, Any]:
    """Draw networks and train them."""
    (fewest, most), noise = CASES[case]
    seeds = rng.integers(fewest, most + 1, NETWORKS)
    network = np.repeat(np.arange(NETWORKS), seeds)
    errors = rng.normal(30, SPREAD, NETWORKS)[network] + rng.normal(0, noise, network.size)
    size = rng.uniform(1e5, 1e6, NETWORKS)[network]
    return {"error": errors.round(2), "params": size} | ({"unit": network + first} if stated else {})


@cache
def truth(case: str, m: int) -> float:
    """Compute the expected smallest error of m models."""
    from scipy.stats import norm

    error = np.linspace(0, 60, 60_001)
    above = norm.sf(error, 30, np.hypot(SPREAD, CASES[case][1]))
    return float(above**m @ np.gradient(error))


def compared(case: str, stated: bool, seed: int) -> dict[str, float]:
    """Compare two equal populations: is anything claimed?"""
    rng = np.random.default_rng(seed)
    source = InMemory({name: population(case, rng, 1000 * i, stated=stated) for i, name in enumerate("ab")})
    found = {
        given: compare_populations(source, ["a", "b"], given=given, seed=seed).pairs[0] for given in ("none", "params")
    }
    claims: dict[str, float] = {f"claim_{given}": pair.better != "none" for given, pair in found.items()}
    its = found["none"].estimates
    assert its is not None
    assert its.mean is not None
    return claims | {
        "prob_covers": its.better.low <= 0.5 <= its.better.high,
        "mean_covers": its.mean.low <= 0 <= its.mean.high,
    }


def described(case: str, seed: int) -> dict[str, float]:
    """Describe a population: do its intervals cover?"""
    source = InMemory({"a": population(case, np.random.default_rng(seed), 0)})
    intervals = describe_study(source, ["a"], trials=500, seed=seed).intervals["a"]
    true = {"mean": 30.0, "median": 30.0, "area": 0.4, "best of 5": truth(case, 5)}
    assert true.keys() == intervals.keys()
    return {f"{what}_covers": one.low <= true[what] <= one.high for what, one in intervals.items()}


def searched(case: str, seed: int) -> dict[str, float]:
    """Compare searches of equal budget in two equal populations: is anything claimed, and do intervals cover?"""
    rng = np.random.default_rng(seed)
    source = InMemory({name: population(case, rng, 1000 * i) for i, name in enumerate("ab")})
    study = search_study(source, ["a", "b"], given="none", m=[1, 2, 5])
    curve = study.curves[0]
    true = np.array([truth(case, m) for m in (1, 2, 5)])
    low, high = curve.interval.T
    covers = (low <= true) & (true <= high)
    return {
        "claim_none": study.pairs[0].claimed is not None,
        "one_covers": covers[0],
        "two_covers": covers[1],
        "most_covers": covers[2],
        "band_covers": bool(np.all((curve.low <= true) & (true <= curve.high))),
    }


def cells() -> Iterator[tuple[str, Callable[[int], dict[str, float]]]]:
    """List the cells: name, and what looks at one run."""
    for case in CASES:
        yield f"compare: {case}", partial(compared, case, True)
    yield "compare: three seeds, networks not stated", partial(compared, "three seeds", False)
    for case in CASES:
        yield f"describe: {case}", partial(described, case)
    for case in CASES:
        yield f"search: {case}", partial(searched, case)


LEVEL, COVERAGE = 0.06, 0.93
"""The largest share of studies with a false claim, and the smallest share of covering intervals."""


def wanted(name: str) -> dict[str, tuple[float, float]]:
    """Say between what the figures of a cell have to lie."""
    kind, _, what = name.partition(": ")
    if what.endswith("not stated"):  # so that the others show something
        return {"claim_none": (0.25, 1.0)}
    if kind == "describe":
        covers = {f"{statistic}_covers": (0.92, 1.0) for statistic in ("mean", "median", "area")}
        return covers | {"best of 5_covers": (0.88, 1.0)}  # as few models decide, see edfkit.stats.bootstrap
    if kind == "search":
        covers = {f"{budget}_covers": (COVERAGE, 1.0) for budget in ("one", "two", "band")}
        return covers | {"most_covers": (0.92, 1.0), "claim_none": (0.0, LEVEL)}
    claims = {f"claim_{given}": (0.0, LEVEL) for given in ("none", "params")}
    return claims | {"prob_covers": (COVERAGE, 1.0), "mean_covers": (COVERAGE, 1.0)}


if __name__ == "__main__":
    inference.main(str(__doc__), cells())
