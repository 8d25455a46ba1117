"""Searches that pick runs by another number have intervals that cover, and claims hold their level."""

import json

import inference
import pytest
from picked import CELLS, FIGURES, RUNS, WANTED


def missed(figures: dict[str, float], runs: int = RUNS) -> list[str]:
    """List the figures that lie outside what has to hold; few runs may be three standard errors outside."""
    slack = 0.0 if figures["runs"] >= runs else 3 * (0.1 / figures["runs"]) ** 0.5
    return [f"{key} is {figures[key]:.3f}" for key, (low, high) in WANTED.items()
            if key in figures and not low - slack <= figures[key] <= high + slack]  # fmt: skip


def test_the_recorded_figures_hold_what_is_promised() -> None:
    figures = json.loads(FIGURES.read_text())
    assert list(figures) == list(CELLS)
    assert {name: wrong for name, its in figures.items() if (wrong := missed(its, 1000))} == {}


def test_a_few_runs_hold_already() -> None:
    assert missed(inference.simulate(CELLS["curve: coarse, n = 130"], 25)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_a_thousand_runs_hold(name: str) -> None:
    # Other runs than those recorded: chance has its part.
    assert missed(inference.simulate(CELLS[name], 1000, first=100_000)) == []
