"""How often searches of equal budget are told apart where nothing is, and how often their intervals cover.

Run from the root of the repository: PYTHONPATH=tests/simulations python -P tests/simulations/searches.py --runs 1000
--out FILE.

Convention: a cell is one way to make populations up; its figures are shares of the runs. Budgets go up to the largest
for which anything is claimed. The bundled populations stand for laws of error that are known: samples are drawn from
them with replacement.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import inference
import numpy as np
from numpy.typing import NDArray

from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.stats.bands import edf_band
from edfkit.stats.minima import best_of, median_band, most_draws
from edfkit.stats.searches import best_difference
from edfkit.stats.strata import in_strata

Floats = NDArray[np.float64]
FIGURES = Path(__file__).with_suffix(".json")
SIZES = (50, 130, 500)
LAWS = ("resnet", "vanilla", "amoeba", "darts")
PAIRS = (("resnet", "vanilla"), ("nasnet", "darts"), ("amoeba", "pnas"))


@cache
def bundled(name: str) -> tuple[Floats, Floats]:
    """Give the errors and parameters of a bundled population."""
    with Archive(BUNDLED["digits"]) as source:
        return source.read(name, "error").astype(float), source.read(name, "params").astype(float)


def budgets(n: float) -> NDArray[np.int64]:
    """Give powers of 2 and the largest budget for which anything is claimed."""
    most = most_draws(n)
    return np.unique(np.append(2 ** np.arange(int(np.log2(most)) + 1), most))


def curve(name: str, n: int, seed: int) -> dict[str, float]:
    """Draw from a bundled population: do intervals of the expectations, and the band of the medians, cover?"""
    law, m = bundled(name)[0], budgets(n)
    sample = np.random.default_rng(seed).choice(law, n)
    found, true = best_of(sample, m), best_of(law, m)
    low, high = found.interval().T
    covers = (low <= true.error) & (true.error <= high)
    wide = 2 ** np.arange(13)
    band = edf_band(sample, method="equal-local-levels")
    least, most = median_band(band.values, band.lower, band.upper, wide, upper_before=band.upper_before)
    medians = best_of(law, wide).quantiles[0.5]
    return {
        "one_covers": covers[0],
        "two_covers": covers[m == 2][0],
        "most_covers": covers[-1],
        "medians_cover": bool(np.all((least <= medians) & (medians <= most))),
    }


def pair(a: str, b: str, n: int, seed: int) -> dict[str, float]:
    """Draw from two bundled populations, nothing held equal: do the intervals hold the true differences together?"""
    rng, m = np.random.default_rng(seed), budgets(n)
    laws = [bundled(name)[0] for name in (a, b)]
    strata = in_strata(*(rng.choice(law, n) for law in laws))
    assert strata is not None
    found, true = best_difference(strata, m), np.subtract(*(best_of(law, m).error for law in laws))
    low, high = found.low - true, found.high - true
    return {"all_cover": bool(np.all((low <= 0) & (high >= 0))), "claim": bool(np.any(found.p_adjusted <= 0.05))}


def shifted(n: int, seed: int) -> dict[str, float]:
    """Compare two of one mix of sizes, the second one worse by 1 point at equal size: every difference is -1."""
    made = inference.equal_mixes(n, n, np.random.default_rng(seed))
    strata = in_strata(made.errors[0] + 20, made.errors[1] + 21, *made.complexity)
    assert strata is not None
    found = best_difference(strata, budgets(min(strata.effective)))
    covers = (found.low <= -1) & (found.high >= -1)
    return {"all_cover": bool(covers.all()), "claim": bool(np.any(found.p_adjusted <= 0.05))}


def null(draw: inference.Draw, seed: int) -> dict[str, float]:
    """Compare two populations of one law of error given complexity: is anything claimed?"""
    made = draw(np.random.default_rng(seed))
    strata = in_strata(*made.errors, *made.complexity, units_a=made.units[0], units_b=made.units[1])
    assert strata is not None
    found = best_difference(strata, budgets(min(strata.effective)))
    return {"claim": bool(np.any(found.p_adjusted <= 0.05))}


def of_bundled(name: str, n: int, rng: np.random.Generator) -> inference.Drawn:
    """Draw both populations from a bundled one."""
    errors, sizes = bundled(name)
    a, b = rng.integers(0, errors.size, (2, n))
    return inference.Drawn((errors[a], errors[b]), (sizes[a], sizes[b]))


def family(spaces: int, n: int, seed: int) -> dict[str, float]:
    """Compare every pair of several samples of one bundled population: is anything claimed?"""
    rng = np.random.default_rng(seed)
    errors, sizes = bundled("resnet")
    rows = rng.integers(0, errors.size, (spaces, n))
    number, claimed = spaces * (spaces - 1) // 2, False
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            strata = in_strata(errors[a], errors[b], sizes[a], sizes[b])
            assert strata is not None
            found = best_difference(strata, budgets(min(strata.effective)), pairs=number)
            claimed |= bool(np.any(found.p_adjusted <= 0.05))
    return {"claim": claimed}


def cells() -> Iterator[tuple[str, Callable[[int], dict[str, float]]]]:
    """List the cells: name, and what looks at one run."""
    for n in SIZES:
        for name in LAWS:
            yield f"curve: {name}, n = {n}", partial(curve, name, n)
    for n in SIZES:
        for a, b in PAIRS:
            yield f"pair: {a} and {b}, n = {n}", partial(pair, a, b, n)
        yield f"pair: equal mixes, 1 point, n = {n}", partial(shifted, n)
    for n in SIZES:
        for name in ("resnet", "vanilla"):
            yield f"null: {name}, n = {n}", partial(null, partial(of_bundled, name, n))
        yield f"null: equal mixes, n = {n}", partial(null, partial(inference.equal_mixes, n, n))
        yield f"null: two decades tilted, n = {n}", partial(null, partial(inference.tilted, n, 0.0, 3.0))
        for given in ("params", "flops"):
            yield f"null: ResNeXt {given}, n = {n}", partial(null, partial(inference.resnext, given, n, 0.0))
    yield "null: three rows a unit, n = 60", partial(null, partial(inference.repeated, 60))
    for spaces in (2, 5):
        yield f"family: {spaces} equal populations, n = 130", partial(family, spaces, 130)


LEVEL, FAMILY, COVERAGE = 0.07, 0.06, 0.93
"""The largest shares of studies with a false claim, of a pair and of several; the smallest share of covering intervals.

Where sizes differ, a little of their effect is left within strata, which a comparison takes off and a search does not:
hence the level of a pair."""

HEAVY = 0.83
"""The smallest share of intervals that cover the mean, m = 1, of few models where some have not learned at all."""


def wanted(name: str) -> dict[str, tuple[float, float]]:
    """Say between what the figures of a cell have to lie."""
    kind, _, what = name.partition(": ")
    if kind == "curve":
        one = COVERAGE if what.endswith("500") or what.startswith("vanilla") else HEAVY
        return {
            "one_covers": (one, 1.0),
            "two_covers": (COVERAGE, 1.0),
            "most_covers": (0.92, 1.0),
            "medians_cover": (0.94, 1.0),
        }
    if kind == "pair":
        return {"all_cover": (0.92, 1.0)}
    return {"claim": (0.0, FAMILY if kind == "family" else LEVEL)}


if __name__ == "__main__":
    inference.main(str(__doc__), cells())
