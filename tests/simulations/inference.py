"""How often comparisons at equal complexity claim what is not there, find what is, and how often intervals cover.

Run from the root of the repository: python -P tests/simulations/inference.py --runs 2000 --out FILE.

Convention: a cell is one way to make two populations up, or several; its figures are shares of the runs. In null cells
there is one law of error given complexity for both populations, so every claim is false.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit.stats.adjusted import balance, better, mean_difference
from edfkit.stats.bands import tail
from edfkit.stats.claims import claims, permutations_needed
from edfkit.stats.curves import shape_test, strata_band
from edfkit.stats.strata import Strata, in_strata

Floats = NDArray[np.float64]
NDS = Path(__file__).parents[3] / "shared" / "nds"
"""Published records, that the cells of ResNeXt draw from; without them these cells are left out."""

FIGURES = Path(__file__).with_suffix(".json")
"""What the cells gave."""


@dataclass(frozen=True)
class Drawn:
    """Two populations: errors and complexities (n, d), and what is true of them where that is known."""

    errors: tuple[Floats, Floats]
    complexity: tuple[Floats | None, Floats | None]
    units: tuple[NDArray[np.int64] | None, NDArray[np.int64] | None] = (None, None)
    mean: float | None = 0.0
    alike: bool = True
    """Whether both have one law given complexity, but for a shift of the mean."""
    law: Callable[[Floats, Floats], tuple[Floats, Floats]] | None = None
    """For complexities and errors the distribution function of A and of B, each of shape (models, errors)."""


Draw = Callable[[np.random.Generator], Drawn]


# --- How populations are made up


@cache
def _resnext(given: str) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Complexity of ResNeXt-A and -B, and the pooled law: logs in order, a cubic's coefficients, residuals."""
    records = [json.loads((NDS / f"ResNeXt-{one}_in.json").read_text()) for one in "AB"]
    sizes = [np.array([record[given] for record in some], float) for some in records]
    errors = np.concatenate([[record["min_test_top1"] for record in some] for some in records])
    logs = np.log(np.concatenate(sizes))
    order = np.argsort(logs)
    centre = logs.mean()
    cubic = np.polyfit(logs - centre, errors, 3)
    return *sizes, logs[order], np.append(cubic, centre), (errors - np.polyval(cubic, logs - centre))[order]


def _by_resnext(given: str, logs: Floats, rng: np.random.Generator) -> Floats:
    """Draw errors by the pooled law: the cubic, and the residual of one of the ten nearest records."""
    *_, known, cubic, residuals = _resnext(given)
    near = np.clip(np.searchsorted(known, logs) + rng.integers(-5, 5, logs.size), 0, known.size - 1)
    return np.asarray(np.polyval(cubic[:-1], logs - cubic[-1]) + residuals[near])


def resnext(given: str, n: int, shift: float, rng: np.random.Generator) -> Drawn:
    """Complexities of ResNeXt-A and -B, one law of error; B is better by the shift."""
    logs = [np.log(rng.choice(sizes, n)) + rng.normal(0, 0.15, n) for sizes in _resnext(given)[:2]]
    errors = [_by_resnext(given, one, rng) for one in logs]
    errors[1] = errors[1] - shift
    lo = min(one.min() for one in errors)
    percent = [np.round(np.clip(one - min(0.0, lo), 0, 100), 3) for one in errors]
    return Drawn((percent[0], percent[1]), (np.exp(logs[0]), np.exp(logs[1])), mean=shift)


@cache
def _surface() -> tuple[list[Floats], Floats, Floats, Floats]:
    """Logs of parameters and operations of ResNeXt-A and -B, scale, coefficients of a quadratic surface, residuals."""
    records = [json.loads((NDS / f"ResNeXt-{one}_in.json").read_text()) for one in "AB"]
    logs = [np.log([[record["params"], record["flops"]] for record in some]) for some in records]
    errors = np.concatenate([[record["min_test_top1"] for record in some] for some in records])
    together = np.concatenate(logs)
    centre = together.mean(axis=0)
    found = np.linalg.lstsq(_quadratic(together - centre), errors, rcond=None)[0]
    return logs, centre, found, errors - _quadratic(together - centre) @ found


def _quadratic(x: Floats) -> Floats:
    return np.column_stack([np.ones(len(x)), x, x**2, x[:, 0] * x[:, 1]])


def two_complexities(n: int, shift: float, rng: np.random.Generator) -> Drawn:
    """Parameters and operations of ResNeXt-A and -B, one law of error given both."""
    logs, centre, found, residuals = _surface()
    records = np.concatenate(logs)
    errors, sizes = [], []
    for some in logs:
        drawn = some[rng.integers(0, len(some), n)] + rng.normal(0, 0.15, (n, 2))
        distance = np.square(drawn[:, None] - records).sum(axis=2)
        near = np.argpartition(distance, 10, axis=1)[np.arange(n), rng.integers(0, 10, n)]
        errors.append(_quadratic(drawn - centre) @ found + residuals[near])
        sizes.append(np.exp(drawn))
    percent = np.clip(errors[0], 0, 100), np.clip(errors[1] - shift, 0, 100)
    return Drawn(percent, (sizes[0], sizes[1]), mean=shift)


def _tilted(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw sizes over two decades: A mostly small, B mostly large."""
    small = np.sqrt(rng.random((2, n)))
    return np.exp(math.log(1e4) + math.log(100) * (1 - small[0])), np.exp(math.log(1e4) + math.log(100) * small[1])


def _falling(logs: Floats) -> Floats:
    """An error that falls with size, and levels off."""
    return np.asarray(40 + 25 * np.exp(-(logs - math.log(1e4)) / 1.5))


def tilted(n: int, shift: float, sd: float, rng: np.random.Generator) -> Drawn:
    """Sizes over two decades, mostly small in A, mostly large in B; B is better by the shift."""
    a, b = _tilted(n, rng)
    errors = [_falling(np.log(one)) + rng.normal(0, sd, n) for one in (a, b)]
    law = partial(_normal_law, shift, sd) if shift else None
    return Drawn((errors[0], errors[1] - shift), (a, b), mean=shift, law=law)


def _normal_law(shift: float, sd: float, sizes: Floats, at: Floats) -> tuple[Floats, Floats]:
    from scipy.special import ndtr

    z = (at[None, :] - _falling(np.log(sizes))[:, None]) / sd
    return ndtr(z), ndtr(z + shift / sd)


def equal_mixes(n: int, m: int, rng: np.random.Generator) -> Drawn:
    """One mix of sizes and one law for both, skewed."""
    sizes = [np.exp(rng.normal(12, 1, one)) for one in (n, m)]
    errors = [20 - 3 * (np.log(one) - 12) + rng.gamma(2, 2, one.size) for one in sizes]
    return Drawn((np.clip(errors[0], 0, 100), np.clip(errors[1], 0, 100)), (sizes[0], sizes[1]))


def tied(n: int, rng: np.random.Generator) -> Drawn:
    """As `equal_mixes`, but errors are whole numbers."""
    made = equal_mixes(n, n, rng)
    return Drawn((np.round(made.errors[0]), np.round(made.errors[1])), made.complexity)


def spreads(n: int, m: int, rng: np.random.Generator) -> Drawn:
    """Equal means and probabilities, but B spreads three times as much: only claims of a better one are false."""
    sizes = [np.exp(rng.normal(12, 1, one)) for one in (n, m)]
    errors = [40 - 3 * (np.log(one) - 12) + rng.normal(0, sd, one.size) for one, sd in zip(sizes, (1, 3), strict=True)]
    return Drawn((errors[0], errors[1]), (sizes[0], sizes[1]), alike=False)


def notebook(n: int, rng: np.random.Generator) -> Drawn:
    """A sweep of two kinds of networks, one of them larger and better by 1 point at equal size."""
    params = rng.integers(100_000, 1_000_000, n)
    kind = rng.random(n) < params / 1e6
    error = np.clip(30 - 3.5 * np.log2(params / 1e5) - kind + rng.gamma(2, 2, n), 0, 100)
    return Drawn((error[kind], error[~kind]), (params[kind].astype(float), params[~kind].astype(float)), mean=-1.0)


def repeated(n: int, rng: np.random.Generator) -> Drawn:
    """Networks of one law, three seeds each: rows of a network share its part of the error."""
    made = []
    for _ in range(2):
        size = np.exp(rng.normal(12, 1, n))
        network = 20 - 3 * (np.log(size) - 12) + rng.gamma(2, 2, n)
        made.append((np.repeat(network, 3) + rng.normal(0, 0.5, 3 * n), np.repeat(size, 3), np.repeat(np.arange(n), 3)))
    (ea, ca, ua), (eb, cb, ub) = made
    return Drawn((ea, eb), (ca, cb), (ua, ub))


def plain(n: int, rng: np.random.Generator) -> Drawn:
    """One law for both, nothing held equal."""
    made = equal_mixes(n, n, rng)
    return Drawn(made.errors, (None, None))


# --- What is counted


def look(draw: Draw, seed: int, alpha: float = 0.05, strata: int | None = None) -> dict[str, float]:
    """Make two populations up and compare them."""
    rng = np.random.default_rng(seed)
    made = draw(rng)
    (a, b), (ca, cb), (ua, ub) = made.errors, made.complexity, made.units
    together = in_strata(a, b, ca, cb, units_a=ua, units_b=ub, strata=strata)
    assert together is not None
    found = better(together, 1 - alpha)
    shape = shape_test(together, rng=seed, permutations=permutations_needed(1, alpha))
    (claim,) = claims([(found.p_value, shape.p_value)], alpha)
    mean = mean_difference(together, 1 - alpha)
    equal = balance(together, found.standard_error)
    seen = {
        "better": found.p_value <= alpha,
        "shape": shape.p_value <= alpha,
        "claim": claim.kind != "none",
        "named": claim.kind == "better" and bool(made.mean) and (found.prob > 0.5) == ((made.mean or 0.0) < 0),
        "misnamed": claim.kind == "better" and (not made.mean or (found.prob > 0.5) != (made.mean < 0)),
        "unbalanced": equal is not None and not equal.equal,
        "claim_though_unbalanced": claim.kind != "none" and equal is not None and not equal.equal,
        "bias": math.nan if equal is None else abs(equal.bias_in_se),
    }
    if made.mean is not None:
        seen |= {"mean_covers": mean.low <= made.mean <= mean.high, "mean_off": mean.estimate - made.mean}
    return seen | _coverage(made, together, found, seed, 1 - alpha)


def _coverage(made: Drawn, together: Strata, found: Any, seed: int, confidence: float) -> dict[str, float]:
    """Say whether intervals and band hold what is true: no difference, or what a law says of the same complexities."""
    band = strata_band(together, rng=seed, confidence=confidence)
    if made.law is None:
        if made.mean:
            return {}
        covers = {"prob_covers": found.low <= 0.5 <= found.high}
        return covers | ({"band_covers": bool(np.abs(band.difference).max() <= band.half_width)} if made.alike else {})
    sizes = np.exp(together.logs[:, 0])
    weights = together.size * (together.shares / (together.units_a + together.units_b))[together.stratum]
    above_a, above_b = made.law(sizes, band.values)
    true = weights @ (above_a - above_b)
    # Of P: over all pairs of complexities of a stratum, by the law on a fine grid.
    at = np.linspace(band.values[0] - 5, band.values[-1] + 5, 400)
    f_a, f_b = made.law(sizes, at)
    each = np.zeros((together.number, at.size)), np.zeros((together.number, at.size))
    for total, heights in zip(each, (f_a, f_b), strict=True):
        np.add.at(total, together.stratum, heights)
        total /= np.bincount(together.stratum)[:, None]
    step = np.diff(each[0], axis=1, prepend=0.0)
    prob = float(together.shares @ (step * (1 - (each[1] + np.pad(each[1], ((0, 0), (1, 0)))[:, :-1]) / 2)).sum(axis=1))
    return {
        "prob_covers": found.low <= prob <= found.high,
        "band_covers": bool(np.abs(band.difference - true).max() <= band.half_width),
    }


def look_at_quantiles(draw: Draw, seed: int, q: float) -> dict[str, float]:
    """Compare a quantile of two populations with what is true: no difference."""
    made = draw(np.random.default_rng(seed))
    together = in_strata(*made.errors, *made.complexity)
    assert together is not None
    a, b = together.first, ~together.first
    errors, weights = together.errors, together.weights
    strata = together.stratum
    found = tail(errors[a], errors[b], q, weights[a], weights[b], strata_a=strata[a], strata_b=strata[b])
    _, low, high = found.difference()
    return {"covers": low <= 0 <= high}


def look_at_family(spaces: int, rows: int, seed: int, alpha: float = 0.05) -> dict[str, float]:
    """Compare several equal populations, every pair: is anything claimed?"""
    rng = np.random.default_rng(seed)
    members = []
    for _ in range(spaces):
        size = np.exp(rng.normal(12, 1, 60))
        network = 20 - 3 * (np.log(size) - 12) + rng.gamma(2, 2, 60)
        errors = np.repeat(network, rows) + (rng.normal(0, 0.5, 60 * rows) if rows > 1 else 0)
        members.append((errors, np.repeat(size, rows), np.repeat(np.arange(60), rows) if rows > 1 else None))
    pairs = spaces * (spaces - 1) // 2
    p_values = []
    for i, (ea, ca, ua) in enumerate(members):
        for eb, cb, ub in members[i + 1 :]:
            together = in_strata(ea, eb, ca, cb, units_a=ua, units_b=ub)
            assert together is not None
            shape = shape_test(together, rng=seed, permutations=permutations_needed(pairs, alpha))
            p_values.append((better(together, 1 - alpha).p_value, shape.p_value))
    return {"claim": any(one.kind != "none" for one in claims(p_values, alpha))}


# --- The cells


def cells() -> Iterator[tuple[str, Callable[[int], dict[str, float]]]]:
    """List the cells: name, and what looks at one run."""
    for given in ("params", "flops"):
        for n in (25, 60, 130, 500):
            yield f"null: ResNeXt {given}, n = {n}", partial(look, partial(resnext, given, n, 0.0))
    for n in (25, 60, 130, 500):
        yield f"null: ResNeXt params,flops, n = {n}", partial(look, partial(two_complexities, n, 0.0))
    for n in (25, 50, 100, 500):
        yield f"null: two decades tilted, n = {n}", partial(look, partial(tilted, n, 0.0, 3.0))
    for n in (25, 60, 500):
        yield f"null: equal mixes, n = {n}", partial(look, partial(equal_mixes, n, n))
    yield "null: equal mixes, 400 against 40", partial(look, partial(equal_mixes, 400, 40))
    yield "null: ties, n = 60", partial(look, partial(tied, 60))
    yield "null: three rows a unit, n = 60", partial(look, partial(repeated, 60))
    yield "null: nothing held equal, n = 60", partial(look, partial(plain, 60))
    yield "null of better: unequal spreads, n = 60", partial(look, partial(spreads, 60, 60))
    yield "null of better: unequal spreads, 400 against 40", partial(look, partial(spreads, 400, 40))
    yield "null: above 10,000 models, n = 5,500", partial(look, partial(equal_mixes, 5500, 5500))
    yield "null: above 10,000 models, two decades tilted, n = 5,500", partial(look, partial(tilted, 5500, 0.0, 3.0))
    yield "power: notebook, n = 400", partial(look, partial(notebook, 400))
    for given in ("params", "flops"):
        for n in (60, 130):
            yield f"power: ResNeXt {given} -1.5, n = {n}", partial(look, partial(resnext, given, n, 1.5))
    for n in (60, 130):
        yield f"power: ResNeXt params,flops -1.5, n = {n}", partial(look, partial(two_complexities, n, 1.5))
    for n in (25, 60, 130, 500):
        yield f"effect: two decades tilted, 1.5 points, n = {n}", partial(look, partial(tilted, n, 1.5, 3.0))
    for n in (60, 500):
        yield f"effect: two decades tilted, 8 points, n = {n}", partial(look, partial(tilted, n, 8.0, 3.0))
    for spaces in (2, 5, 9, 14):
        for rows in (1, 3):
            name = f"family: {spaces} equal populations" + (", three rows a unit" if rows > 1 else "")
            yield name, partial(look_at_family, spaces, rows)
    for q in (0.5, 0.05):
        for n in (25, 60, 130, 500):
            yield f"quantile {q:g}: equal mixes, n = {n}", partial(look_at_quantiles, partial(equal_mixes, n, n), q=q)
            yield f"quantile {q:g}: two decades, n = {n}", partial(look_at_quantiles, partial(tilted, n, 0.0, 3.0), q=q)
            if n > 25:
                for given in ("params", "flops"):
                    draw = partial(resnext, given, n, 0.0)
                    yield f"quantile {q:g}: ResNeXt {given}, n = {n}", partial(look_at_quantiles, draw, q=q)


def run(looks: Callable[[int], dict[str, float]], seeds: range) -> list[dict[str, float]]:
    """Look at some runs."""
    return [looks(seed) for seed in seeds]


def simulate(
    looks: Callable[[int], dict[str, float]], runs: int, first: int = 0, pool: ProcessPoolExecutor | None = None
) -> dict[str, float]:
    """Give the mean of everything that is counted over some runs; of biases the mean, of what is off its mean too."""
    pieces = [range(start, min(start + 25, first + runs)) for start in range(first, first + runs, 25)]
    found = pool.map(run, [looks] * len(pieces), pieces) if pool else map(run, [looks] * len(pieces), pieces)
    seen = [one for some in found for one in some]
    return {"runs": len(seen)} | {
        key: float(np.mean([one[key] for one in seen])) for key in seen[0] if not math.isnan(seen[0][key])
    }


# --- What has to hold

LEVEL, FAMILY = 0.07, 0.06
"""The largest share of studies that may claim what is not there: of a pair, and of several pairs."""

POWER = {"notebook, n = 400": 0.88, "ResNeXt params -1.5, n = 60": 0.58, "ResNeXt params -1.5, n = 130": 0.91}
"""The smallest share of studies that has to name the better population."""

COVERAGE = {"prob_covers": (0.93, 0.97), "mean_covers": (0.92, 0.97), "band_covers": (0.91, 0.975)}


def wanted(name: str) -> dict[str, tuple[float, float]]:
    """Say between what the figures of a cell have to lie; nothing where it is only shown."""
    kind, _, what = name.partition(": ")
    if kind == "family":
        return {"claim": (0.0, FAMILY)}
    if kind == "power":
        return {"named": (POWER[what], 1.0)} if what in POWER else {}
    if kind == "null of better":
        return {"better": (0.0, LEVEL)}
    if kind == "null" and "params,flops" in what:  # two complexities at once: the claims hold, which is what counts
        return {"claim": (0.0, LEVEL)}
    if kind == "null":
        return {"claim": (0.03 if "equal mixes" in name and "400" not in name else 0.0, LEVEL), **COVERAGE}
    return {"covers": (0.93, 1.0)} if kind.startswith("quantile") else {}


def slow(name: str) -> bool:
    """Tell whether a cell takes so long that it has half the runs."""
    return name.startswith("family") or "10,000" in name


def main(
    about: str,
    cells: Iterable[tuple[str, Callable[[int], dict[str, float]]]],
    runs: int = 1000,
    halved: Callable[[str], bool] = lambda _: False,
) -> None:
    """Run cells and write their figures, each as soon as it is done; those that are there are passed over.

    Cells whose name is `halved` have half the runs.
    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=runs, help="Runs of a cell; half as many of the slowest ones.")
    parser.add_argument("--only", default="", help="Cells whose name holds this text.")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="Processes.")
    parser.add_argument("--out", type=Path, help="JSON file that is added to.")
    options = parser.parse_args()
    done = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    with ProcessPoolExecutor(options.workers) as pool:
        for name, looks in cells:
            many = options.runs // 2 if halved(name) else options.runs
            if options.only not in name or done.get(name, {}).get("runs", 0) >= many:
                continue
            if "ResNeXt" in name and not NDS.exists():
                print(f"{name}: left out, as {NDS.name} is not there", file=sys.stderr)
                continue
            began = time.perf_counter()
            done[name] = simulate(looks, many, pool=pool)
            figures = ", ".join(f"{key} {value:.3f}" for key, value in done[name].items() if key != "runs")
            print(f"{name}: {figures} ({time.perf_counter() - began:.0f} s)", flush=True)
            if options.out:
                options.out.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main(str(__doc__), cells(), 2000, slow)
