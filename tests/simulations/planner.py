"""Whether comparisons reach their goal as often as a plan promises.

Run from the root of the repository: python tests/simulations/planner.py --out FILE

Convention: a cell is one law of two populations and a goal. Pilots of 500 models are drawn from the law, several times,
and a plan is made from each. Then models are drawn as many as it says, once from the pilots as the planner does, once
anew from the law, and `compare` looks whether the goal is reached. Figures are means over the pilots.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import inference
import numpy as np
from inference import Drawn, Floats

from edfkit.stats.planning import Needed
from edfkit.study.compare import compare_populations
from edfkit.study.plan import plan_comparison
from edfkit.study.selection import InMemory

FIGURES = Path(__file__).with_suffix(".json")
"""What the cells gave."""

PILOT = 500
PILOTS, LOOKS = 12, 150
"""Pilots of a cell, and comparisons that are looked at for each."""

NEAR, CHANCE = 0.03, 0.1
"""How far the share that is reached may be from the promise: drawn from the pilots, and from the law."""

Law = Callable[[int, np.random.Generator], Drawn]


def by_kind(n: int, rng: np.random.Generator) -> Drawn:
    """The sweep of `inference.notebook`, as many of each kind."""
    made = inference.notebook(4 * n, rng)
    (size_a, size_b), (a, b) = sizes_of(made), made.errors
    return Drawn((a[:n], b[:n]), (size_a[:n], size_b[:n]), mean=made.mean)


def sizes_of(made: Drawn) -> tuple[Floats, Floats]:
    """Give the complexities of both, which all laws here have."""
    a, b = made.complexity
    assert a is not None
    assert b is not None
    return a, b


def apart(shift: float, n: int, rng: np.random.Generator) -> Drawn:
    """Populations of one mix of sizes; B is worse by the shift."""
    made = inference.equal_mixes(n, n, rng)
    return Drawn((made.errors[0], made.errors[1] + shift), made.complexity, mean=-shift)


def source(made: Drawn) -> InMemory:
    """Give populations a and b to studies."""
    each = zip("ab", made.errors, made.complexity, strict=True)
    return InMemory({name: {"error": errors, "params": sizes} for name, errors, sizes in each})


def resampled(pilots: Drawn, n: int, rng: np.random.Generator) -> Drawn:
    """Draw models of pilots with replacement."""
    at_a, at_b = rng.integers(0, PILOT, (2, n))
    (size_a, size_b), (a, b) = sizes_of(pilots), pilots.errors
    return Drawn((a[at_a], b[at_b]), (size_a[at_a], size_b[at_b]))


def reached(made: Drawn, goal: dict[str, Any], better: str) -> bool:
    """Compare, and say whether the goal is reached."""
    (pair,) = compare_populations(source(made), ["a", "b"], equivalent=goal.get("equivalent")).pairs
    if "equivalent" in goal:
        return bool(pair.is_equivalent)
    if "width" in goal:
        mean = None if pair.estimates is None else pair.estimates.mean
        return pair.claim is not None and mean is not None and mean.high - mean.low <= goal["width"]
    return pair.better == better


def look(law: Law, goal: dict[str, Any], alone: bool, looks: int, seed: int) -> dict[str, float]:
    """Draw pilots, plan, and look how often the goal is reached; a goal of one pilot is looked at by the law alone."""
    rng = np.random.default_rng(seed)
    pilots = law(PILOT, rng)
    plan = plan_comparison(source(pilots), ["a"] if alone else ["a", "b"], seed=seed, **goal)
    found: Needed = plan.needed
    better = "a" if alone or (found.prob_a_better or 0.0) > 0.5 else "b"
    seen = {"models": float(found.models), "promised": found.power}

    def share(draw: Law) -> float:
        return float(np.mean([reached(draw(found.models, rng), goal, better) for _ in range(looks)]))

    if not alone:
        seen["from_pilots"] = share(partial(resampled, pilots))
    return seen | {"from_law": share(law)}


def cells() -> Iterator[tuple[str, Callable[[int, int], dict[str, float]]]]:
    """List the cells: name, and what looks at one draw of pilots, given looks and seed."""
    resnext, null = partial(_resnext, 1.5), partial(_resnext, 0.0)
    yield "detect: ResNeXt params -1.5", partial(look, resnext, {}, False)
    yield "detect: notebook", partial(look, by_kind, {}, False)
    yield "detect: equal mixes, 1 point", partial(look, partial(apart, 1.0), {}, False)
    yield "width 2: ResNeXt params -1.5", partial(look, resnext, {"width": 2.0}, False)
    yield "width 1.5: equal mixes", partial(look, partial(apart, 0.0), {"width": 1.5}, False)
    yield "equivalent 2.5: ResNeXt params", partial(look, null, {"equivalent": 2.5}, False)
    yield "equivalent 1.5: equal mixes", partial(look, partial(apart, 0.0), {"equivalent": 1.5}, False)
    yield "shift 1: one pilot of equal mixes", partial(look, partial(apart, 1.0), {"shift": 1.0}, True)
    yield "shift 0.4: one pilot of equal mixes", partial(look, partial(apart, 0.4), {"shift": 0.4}, True)
    yield "width 1: one pilot of equal mixes", partial(look, partial(apart, 0.0), {"width": 1.0}, True)
    yield "equivalent 0.5: one pilot of equal mixes", partial(look, partial(apart, 0.0), {"equivalent": 0.5}, True)


def _resnext(shift: float, n: int, rng: np.random.Generator) -> Drawn:
    return inference.resnext("params", n, shift, rng)


def simulate(
    looks: Callable[[int, int], dict[str, float]],
    pilots: int,
    each: int,
    first: int = 0,
    pool: ProcessPoolExecutor | None = None,
) -> dict[str, float]:
    """Give the means over pilots, and how many models were planned at least and at most."""
    seeds = range(first, first + pilots)
    seen = list((pool.map if pool else map)(looks, [each] * pilots, seeds))
    models: Floats = np.array([one["models"] for one in seen])
    ends = {"pilots": pilots, "looks": each, "fewest": float(models.min()), "most": float(models.max())}
    return ends | {key: float(np.mean([one[key] for one in seen])) for key in seen[0]}


def missed(name: str, figures: dict[str, float]) -> list[str]:
    """List what is too far from the promise, or three standard errors of the simulation if that is farther.

    Drawn from the law, a width is only shown: it depends on n so steeply that the chance of the pilots is all there is.
    """
    error = (0.2 / (figures["pilots"] * figures["looks"])) ** 0.5
    allowed = {"from_pilots": NEAR} | ({} if name.startswith("width") else {"from_law": CHANCE})
    return [
        f"{name}: {key} is {figures[key]:.3f}, promised {figures['promised']:.3f}"
        for key, most in allowed.items()
        if key in figures and abs(figures[key] - figures["promised"]) > max(most, 3 * error)
    ]


def main() -> None:
    """Run the cells and write their figures, each as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="Cells whose name holds this text.")
    parser.add_argument("--out", type=Path, help="JSON file that is added to.")
    options = parser.parse_args()
    done: dict[str, Any] = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, looks in cells():
            if options.only not in name or name in done:
                continue
            if "ResNeXt" in name and not inference.NDS.exists():
                print(f"{name}: left out, as {inference.NDS.name} is not there", file=sys.stderr)
                continue
            began = time.perf_counter()
            done[name] = simulate(looks, PILOTS, LOOKS, pool=pool)
            figures = ", ".join(f"{key} {value:.3f}" for key, value in done[name].items())
            print(f"{name}: {figures} ({time.perf_counter() - began:.0f} s)", flush=True)
            if options.out:
                options.out.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
