"""How often the interval of the violation ratio, and the band of the difference of quantiles, hold what is true.

Run from the root of the repository: python tests/simulations/dominance.py --runs 2000 --out FILE.

Convention: a cell is one pair of laws; its figures are shares of the runs, or means over them. Errors are a centre, a
slope on the logarithm of the size, and a spread times noise. What is true at equal complexity is computed from the laws
at the sizes that were drawn, with the weights of their strata.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import inference
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincinv, ndtr, ndtri

from edfkit.stats.dominance import QuantileDifference, quantile_difference, violation
from edfkit.stats.strata import Strata, in_strata

Floats = NDArray[np.float64]

FIGURES = Path(__file__).with_suffix(".json")
"""What the cells gave."""

NOISE: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "normal": (ndtri, ndtr),
    "skewed": (lambda u: gammaincinv(2, u), lambda z: gammainc(2, np.maximum(z, 0))),
    "heavy": (lambda u: np.exp(0.8 * ndtri(u)), lambda z: ndtr(np.log(np.maximum(z, 1e-300)) / 0.8)),
}
"""Quantile function and distribution function of the noise."""


@dataclass(frozen=True)
class Pair:
    """Two laws of error: centres in percent, spreads in percentage points, noise, and how sizes are drawn.

    Sizes are none, "equal" in both populations, or "tilted" over two decades: mostly small in A, large in B.
    """

    centres: tuple[float, float]
    spreads: tuple[float, float]
    noise: str = "normal"
    sizes: str = ""
    slope: float = 0.0
    tied: bool = False
    """Whether errors are rounded to whole numbers."""

    def draw(self, n: int, rng: np.random.Generator) -> Strata:
        """Draw n models of each."""
        logs = rng.normal(0, 1, (2, n)) if self.sizes == "equal" else math.log(100) * np.sqrt(rng.random((2, n)))
        if self.sizes == "tilted":
            logs[0] = math.log(100) - logs[0]
        noise = NOISE[self.noise][0](rng.random((2, n)))
        errors = np.array(self.centres)[:, None] - self.slope * logs + np.array(self.spreads)[:, None] * noise
        errors = np.clip(np.round(errors) if self.tied else errors, 0, 100)
        found = in_strata(*errors, *(np.exp(logs) if self.sizes else (None, None)))
        assert found is not None
        return found

    def heights(self, strata: Strata, at: Floats) -> tuple[Floats, Floats]:
        """Give the true F of A and of B at errors, at the sizes of strata."""
        logs = strata.logs[:, 0] if self.sizes else np.zeros(1)
        weights = (strata.shares / (strata.units_a + strata.units_b))[strata.stratum] if self.sizes else np.ones(1)
        at = np.floor(at) + 0.5 if self.tied else at
        law = NOISE[self.noise][1]
        f_a, f_b = (
            weights @ law((at[None, :] - centre + self.slope * logs[:, None]) / spread)
            for centre, spread in zip(self.centres, self.spreads, strict=True)
        )
        return f_a, f_b


GRID = np.linspace(0, 100, 4001)
SHARES = (np.arange(20_000) + 0.5) / 20_000


def look(pair: Pair, n: int, seed: int) -> dict[str, float]:
    """Draw two populations, and say whether the interval and the band hold what is true."""
    strata = pair.draw(n, np.random.default_rng(seed))
    found = violation(strata)
    curve = quantile_difference(strata, rng=seed)
    f_a, f_b = pair.heights(strata, GRID)
    if pair.tied:
        q_a, q_b = (GRID[np.minimum(np.searchsorted(f, SHARES), GRID.size - 1)] for f in (f_a, f_b))
    else:
        q_a, q_b = (np.interp(SHARES, f, GRID) for f in (f_a, f_b))
    apart = q_a - q_b
    true = float(np.square(np.maximum(apart, 0)).sum() / np.square(apart).sum())
    away = 1e-4  # of the grid
    return {
        "true_ratio": true,
        "ratio": found.ratio,
        "low": found.low,
        "high": found.high,
        "distance": found.distance,
        "ratio_covers": found.low <= true + away and found.high >= true - away,
        "low_covers": found.low <= true + away,
        "high_covers": found.high >= true - away,
        "curve_covers": _holds(curve, pair, strata, (f_a, f_b)),
        "half_width": curve.half_width,
    }


def _holds(curve: QuantileDifference, pair: Pair, strata: Strata, heights: tuple[Floats, Floats]) -> bool:
    """Say whether the band holds, at every error x of A, the difference of x and the error of B of the same rank."""
    errors = np.sort(strata.errors[strata.first])
    shares = np.cumsum(strata.weights[strata.first][np.argsort(strata.errors[strata.first], kind="stable")])
    x = errors[np.minimum(np.searchsorted(shares, curve.shares * (1 - 1e-10)), errors.size - 1)]
    if not pair.tied:
        apart = x - np.interp(np.interp(x, GRID, heights[0]), heights[1], GRID)
        return bool(np.all((curve.lower <= apart + 1e-2) & (apart - 1e-2 <= curve.upper)))
    # A tied error has many ranks: all its pieces together hold all of its counterparts.
    whole = np.arange(101.0)
    f_a, f_b = pair.heights(strata, whole)
    last, first = np.append(np.diff(x) > 0, True), np.append(True, np.diff(x) > 0)
    at = x[last].astype(int)
    most = np.searchsorted(f_b, f_a[at] - 1e-12)
    least = np.searchsorted(f_b, np.where(at > 0, f_a[at - 1], 0.0) + 1e-12)
    return bool(np.all((curve.lower[last] <= x[last] - most) & (x[last] - least <= curve.upper[first])))


PAIRS = {
    "crossing": Pair((40, 40), (3, 4.5)),
    "nearly dominating": Pair((40, 41.5), (4.5, 3)),
    "dominating": Pair((40, 43), (3, 3)),
    "nearly equal": Pair((40, 40.1), (3, 3.1)),
    "skewed, crossing": Pair((20, 18.8), (2, 2.6), "skewed"),
    "skewed, nearly dominating": Pair((20, 22), (2.5, 2), "skewed"),
    "ties, nearly dominating": Pair((40, 41.5), (4.5, 3), tied=True),
    "same sizes, crossing": Pair((40, 40), (2, 4), sizes="equal", slope=2.0),
    "same sizes, nearly dominating": Pair((40, 41.5), (4, 2), sizes="equal", slope=2.0),
    "tilted sizes, nearly dominating": Pair((40, 42.5), (4, 2), sizes="tilted", slope=2.0),
    "tilted sizes, dominating": Pair((40, 42.5), (3, 3), sizes="tilted", slope=2.0),
    "heavy tail, nearly dominating": Pair((10, 13), (5, 4.5), "heavy"),
}


def cells() -> Iterator[tuple[str, Callable[[int], dict[str, float]]]]:
    """List the cells: name, and what looks at one run."""
    for name, pair in PAIRS.items():
        for n in (50, 130, 500):
            yield f"{name}, n = {n}", partial(look, pair, n)


def wanted(name: str) -> dict[str, tuple[float, float]]:
    """Say between what the figures of a cell have to lie; nothing where it is only shown.

    The ratio's interval is wide where populations are nearly equal or one dominates, so it may hold more often.
    """
    curve = {"curve_covers": (0.93, 1.0 if name.startswith("ties") else 0.985)}
    return curve if name.startswith("heavy") else {"ratio_covers": (0.93, 1.0), **curve}


if __name__ == "__main__":
    inference.main(str(__doc__), cells(), 2000)
