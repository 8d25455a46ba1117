"""Where rows repeat networks, studies claim no more than they may and have intervals that cover."""

import json

import inference
import pytest
import repeats

CELLS = dict(repeats.cells())
RECORDED = 1000


def missed(name: str, figures: dict[str, float], runs: int) -> list[str]:
    """List the figures of a cell that lie outside what has to hold; few runs may be three standard errors outside."""
    slack = 0.0 if runs >= RECORDED else 3 * (0.1 / runs) ** 0.5
    return [
        f"{name}: {key} is {figures[key]:.3f}, expected {low:g} to {high:g}"
        for key, (low, high) in repeats.wanted(name).items()
        if not low - slack <= figures[key] <= high + slack
    ]


def test_the_recorded_figures_hold_what_is_promised() -> None:
    figures = json.loads(repeats.FIGURES.read_text())
    assert list(figures) == list(CELLS)
    assert all(its["runs"] >= RECORDED for its in figures.values())
    assert [line for name, its in figures.items() for line in missed(name, its, RECORDED)] == []


@pytest.mark.parametrize("name", ["compare: three seeds", "describe: three seeds", "search: one to five seeds"])
def test_a_few_runs_hold_already(name: str) -> None:
    assert missed(name, inference.simulate(CELLS[name], 20), 20) == []


def test_rows_that_count_as_networks_are_found() -> None:
    liberal = json.loads(repeats.FIGURES.read_text())["compare: three seeds, networks not stated"]
    assert len(missed("compare: three seeds", liberal, RECORDED)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_a_thousand_runs_hold(name: str) -> None:
    # Other runs than those recorded: chance has its part.
    assert missed(name, inference.simulate(CELLS[name], 1000, first=100_000), 999) == []
