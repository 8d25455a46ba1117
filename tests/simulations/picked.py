"""Searches that pick runs by one number and report another, and medians that differ by as much as is tested.

Convention: what is reported goes with what picks it in several ways; samples are drawn with replacement from a large
population, whose own curve is the truth.

Run: PYTHONPATH=tests/simulations python -P tests/simulations/picked.py --out tests/simulations/picked.json
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import inference
import numpy as np
from numpy.typing import NDArray
from searches import budgets

from edfkit.metric import Metric
from edfkit.stats.minima import best_of
from edfkit.stats.searches import best_difference
from edfkit.stats.strata import in_strata
from edfkit.study.compare import compare_populations
from edfkit.study.selection import InMemory

Floats = NDArray[np.float64]
LAWS = ("close", "loose", "coarse", "turning", "heavy tail", "diverged")
ANY = (-np.inf, np.inf)


@cache
def law(kind: str) -> tuple[Floats, Floats]:
    """Make 100,000 models up: what is reported, and what picks."""
    rng = np.random.default_rng(1)
    by = np.round(5 + rng.gamma(3, 2, 100_000), 2)
    noise = rng.standard_normal(by.size)
    if kind == "coarse":  # so that many tie
        by = np.round(by)
    reported = {
        "close": by + 0.5 * noise,
        "loose": by + 4 * noise,
        "coarse": by + 2 * noise,
        "turning": np.abs(by - 8) + noise,  # the best by it are not the best
        "heavy tail": by + np.exp(noise),
        "diverged": by + noise,
    }[kind]
    if kind == "diverged":
        bad = rng.random(by.size) < 0.1
        reported, by = np.where(bad, 90, reported), np.where(bad, 90, by)
    return reported, by


@cache
def truth(kind: str, n: int) -> Floats:
    """Give the true expectations for the budgets of n models."""
    reported, by = law(kind)
    return best_of(reported, budgets(n), chosen_by=by).error


def curve(kind: str, n: int, seed: int) -> dict[str, float]:
    """Do the intervals of the expectations cover?"""
    (reported, by), m = law(kind), budgets(n)
    rows = np.random.default_rng(seed).integers(0, by.size, n)
    low, high = best_of(reported[rows], m, chosen_by=by[rows]).interval(ends=ANY).T
    true = truth(kind, n)
    covers = (low <= true) & (true <= high)
    return {"one_covers": covers[0], "two_covers": covers[m == 2][0], "most_covers": covers[-1]}


def pair(kind: str, other: str, n: int, seed: int) -> dict[str, float]:
    """Do the intervals hold the true differences together; of one law, is anything claimed?"""
    m, rng = budgets(n), np.random.default_rng(seed)
    drawn = [[column[rows] for column in law(one)] for one in (kind, other) for rows in [rng.integers(0, 100_000, n)]]
    strata = in_strata(drawn[0][0], drawn[1][0])
    assert strata is not None
    found = best_difference(strata, m, chosen_by=np.concatenate([drawn[0][1], drawn[1][1]]))
    true = truth(kind, n) - truth(other, n)
    covers: dict[str, float] = {"all_cover": bool(np.all((found.low <= true) & (true <= found.high)))}
    return covers | ({"claim": bool(np.any(found.p_adjusted <= 0.05))} if kind == other else {})


def within(n: int, seed: int) -> dict[str, float]:
    """Compare two populations of one law given size, within strata: is anything claimed?"""
    rng = np.random.default_rng(seed)
    made = inference.equal_mixes(n, n, rng)
    by = np.concatenate(made.errors) + rng.normal(0, 2, 2 * n)
    strata = in_strata(*made.errors, *made.complexity)
    assert strata is not None
    taken = np.isin(strata.placed, np.intersect1d(strata.placed[:n], strata.placed[n:]))
    found = best_difference(strata, budgets(min(strata.effective)), chosen_by=by[taken])
    return {"claim": bool(np.any(found.p_adjusted <= 0.05))}


def units(n: int, seed: int) -> dict[str, float]:
    """Do intervals cover where each network has three rows, whose noise is part of what is picked and reported?"""
    rng, m = np.random.default_rng(seed), budgets(n)
    rows = np.repeat(rng.integers(0, 100_000, n), 3) + 100_000 * rng.integers(0, SEEDS, 3 * n)
    reported, by = seeds()
    found = best_of(reported[rows], m, np.full(3 * n, 1 / 3), units=np.repeat(np.arange(n), 3), chosen_by=by[rows])
    low, high = found.interval(ends=ANY).T
    covers = (low <= true_of_seeds(n)) & (true_of_seeds(n) <= high)
    return {"one_covers": covers[0], "two_covers": covers[m == 2][0], "most_covers": covers[-1]}


SEEDS = 5


@cache
def seeds() -> tuple[Floats, Floats]:
    """Train every model of a law with several seeds."""
    rng = np.random.default_rng(2)
    reported, by = (np.tile(column, SEEDS) + rng.normal(0, 0.5, SEEDS * column.size) for column in law("close"))
    return reported, by


@cache
def true_of_seeds(n: int) -> Floats:
    """Give the true expectations of one run of each network that is drawn."""
    reported, by = seeds()
    return best_of(reported, budgets(n), chosen_by=by).error


APART = 0.3


def medians(models: int, given: str, seed: int) -> dict[str, float]:
    """Are medians of a metric without bounds, that differ by just so much, shown to differ by less?"""
    rng = np.random.default_rng(seed)
    populations = {}
    for name, shift in (("a", 0.0), ("b", APART)):
        params = rng.integers(1, 1000, models)
        loss = rng.gamma(3, 0.3, models) + shift + (params / 1000 if given != "none" else 0)
        populations[name] = {"loss": loss, "params": params}
    source = InMemory(populations, Metric("loss", "nats"))
    (pair,) = compare_populations(source, ["a", "b"], given=given, equivalent=APART).pairs
    return {"claim": pair.is_equivalent is True}


CELLS: dict[str, Callable[[int], dict[str, float]]] = {
    **{f"curve: {kind}, n = {n}": partial(curve, kind, n) for kind in LAWS for n in (50, 130, 500)},
    **{f"pair: {kind}, n = {n}": partial(pair, kind, kind, n) for kind in LAWS for n in (50, 130, 500)},
    **{f"pair: loose and turning, n = {n}": partial(pair, "loose", "turning", n) for n in (50, 130, 500)},
    **{f"pair: within strata, n = {n}": partial(within, n) for n in (50, 130, 500)},
    "curve: three rows a unit, n = 130": partial(units, 130),
    **{
        f"medians: given {given}, n = {n}": partial(medians, n, given)
        for n, given in ((40, "none"), (150, "none"), (150, "params"))
    },
}
FIGURES = Path(__file__).with_name("picked.json")

RUNS = 4000
WANTED = {"claim": (0.0, 0.07), "all_cover": (0.93, 1.0), "one_covers": (0.93, 1.0), "two_covers": (0.93, 1.0),
          "most_covers": (0.92, 1.0)}  # fmt: skip


if __name__ == "__main__":
    inference.main(str(__doc__), CELLS.items())
