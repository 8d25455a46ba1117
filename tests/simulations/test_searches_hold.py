"""Searches of equal budget claim no more than they may, and have intervals that cover."""

import json

import inference
import pytest
import searches

CELLS = dict(searches.cells())
RECORDED = 1000


def missed(name: str, figures: dict[str, float], runs: int) -> list[str]:
    """List the figures of a cell that lie outside what has to hold; few runs may be three standard errors outside."""
    slack = 0.0 if runs >= RECORDED else 3 * (0.1 / runs) ** 0.5
    return [
        f"{name}: {key} is {figures[key]:.3f}, expected {low:g} to {high:g}"
        for key, (low, high) in searches.wanted(name).items()
        if not low - slack <= figures[key] <= high + slack
    ]


def test_the_recorded_figures_hold_what_is_promised() -> None:
    figures = json.loads(searches.FIGURES.read_text())
    assert list(figures) == list(CELLS)
    assert all(its["runs"] >= RECORDED for its in figures.values())
    assert [line for name, its in figures.items() for line in missed(name, its, RECORDED)] == []


@pytest.mark.parametrize("name", ["curve: vanilla, n = 130", "pair: nasnet and darts, n = 130", "null: resnet, n = 50"])
def test_a_few_runs_hold_already(name: str) -> None:
    assert missed(name, inference.simulate(CELLS[name], 25), 25) == []


def test_a_method_that_claims_too_much_is_found() -> None:
    liberal = {"claim": 0.3, "all_cover": 0.8, "one_covers": 0.7, "two_covers": 0.9, "most_covers": 0.9}
    for name in ("null: equal mixes, n = 50", "family: 5 equal populations, n = 130", "pair: nasnet and darts, n = 50"):
        assert missed(name, liberal, RECORDED)
    assert len(missed("curve: resnet, n = 500", liberal | {"medians_cover": 0.9}, RECORDED)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_a_thousand_runs_hold(name: str) -> None:
    if "ResNeXt" in name and not inference.NDS.exists():
        pytest.skip("the published files are not here: no folder shared/nds beside the checkout")
    # Other runs than those recorded: chance has its part.
    assert missed(name, inference.simulate(CELLS[name], 1000, first=100_000), 999) == []
