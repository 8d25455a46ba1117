"""Write the tables of docs/does-it-hold.md from the records of the simulations.

Run: python tests/simulations/page.py.
"""

import json
from pathlib import Path

Figures = dict[str, dict[str, float]]
PAGE = Path(__file__).parents[2] / "docs" / "does-it-hold.md"

TABLES = {
    "inference": {
        "null: ": (
            "No difference",
            ["runs", "claim", "better", "shape", "unbalanced", "prob_covers", "mean_covers", "band_covers"],
        ),
        "null of better: ": (
            "Equal probabilities, unequal spreads",
            ["runs", "better", "shape", "prob_covers", "mean_covers"],
        ),
        "power: ": ("A difference that is there", ["runs", "named", "misnamed", "mean_covers"]),
        "effect: ": (
            "A difference over two decades of size",
            ["runs", "named", "misnamed", "prob_covers", "mean_covers", "band_covers"],
        ),
        "family: ": ("Several equal populations", ["runs", "claim"]),
        "quantile 0.5: ": ("Intervals of the difference of the medians", ["runs", "covers"]),
        "quantile 0.05: ": ("Intervals of the difference of the 5 % quantiles", ["runs", "covers"]),
    },
    "planner": {"": ("Plans", ["pilots", "looks", "fewest", "most", "promised", "from_pilots", "from_law"])},
    "searches": {
        "": ("Searches", ["runs", "claim", "all_cover", "one_covers", "two_covers", "most_covers", "medians_cover"])
    },
    "repeats": {
        "compare: ": ("Comparisons", ["runs", "claim_none", "claim_params", "prob_covers", "mean_covers"]),
        "describe: ": (
            "Intervals of descriptions",
            ["runs", "mean_covers", "median_covers", "area_covers", "best of 5_covers"],
        ),
        "search: ": (
            "Searches of repeated networks",
            ["runs", "claim_none", "one_covers", "two_covers", "most_covers", "band_covers"],
        ),
    },
    "picked": {
        "curve: ": ("Intervals of runs picked by another metric", ["runs", "one_covers", "two_covers", "most_covers"]),
        "pair: ": ("Pairs of such searches", ["runs", "all_cover", "claim"]),
        "medians: ": ("Medians that differ by the margin", ["runs", "claim"]),
    },
    "dominance": {
        "": ("Almost dominance and quantiles", ["runs", "true_ratio", "ratio", "ratio_covers", "curve_covers"])
    },
}
"""Tables of a record, by how the names of their cells begin: title, and figures."""

ROWS = {
    "searches": {
        "curve: resnet, n = 50",
        "curve: amoeba, n = 50",
        "curve: darts, n = 50",
        "curve: amoeba, n = 130",
        "curve: vanilla, n = 130",
        "curve: amoeba, n = 500",
        "pair: equal mixes, 1 point, n = 130",
        "pair: nasnet and darts, n = 500",
        "pair: amoeba and pnas, n = 500",
        "null: ResNeXt params, n = 50",
        "null: two decades tilted, n = 130",
        "family: 5 equal populations, n = 130",
    },
    "dominance": {
        "crossing, n = 50",
        "crossing, n = 500",
        "nearly dominating, n = 50",
        "nearly equal, n = 130",
        "skewed, nearly dominating, n = 50",
        "ties, nearly dominating, n = 50",
        "same sizes, nearly dominating, n = 50",
        "tilted sizes, nearly dominating, n = 50",
        "tilted sizes, dominating, n = 50",
        "heavy tail, nearly dominating, n = 50",
        "heavy tail, nearly dominating, n = 130",
        "heavy tail, nearly dominating, n = 500",
    },
}
"""Cells that the page shows, of records that are long."""

HEADINGS = {
    "claim": "any claim",
    "better": "rank test, p <= 0.05",
    "shape": "shape, p <= 0.05",
    "unbalanced": "partly balanced",
    "prob_covers": "P covers",
    "mean_covers": "mean covers",
    "band_covers": "band covers",
    "named": "better one named",
    "misnamed": "worse one named",
    "looks": "runs of each",
    "fewest": "fewest models",
    "most": "most models",
    "from_pilots": "reached, from the pilots",
    "from_law": "reached, new models",
    "all_cover": "all differences covered",
    "one_covers": "m = 1 covers",
    "two_covers": "m = 2 covers",
    "most_covers": "largest m covers",
    "medians_cover": "medians cover",
    "claim_none": "any claim",
    "claim_params": "any claim at equal size",
    "median_covers": "median covers",
    "area_covers": "area covers",
    "best of 5_covers": "best of 5 covers",
    "true_ratio": "true violation",
    "ratio": "mean estimate",
    "ratio_covers": "interval covers",
    "curve_covers": "quantile band covers",
}
COUNTS = {"runs", "pilots", "looks", "fewest", "most"}


def recorded(record: str) -> Figures:
    """Read what the cells of a simulation gave."""
    found: Figures = json.loads(Path(__file__).with_name(f"{record}.json").read_text())
    return found


def tables(record: str, figures: Figures) -> str:
    """Write the figures of a simulation as tables."""
    shown = ROWS.get(record, figures.keys())
    parts = []
    for start, (title, keys) in TABLES[record].items():
        heads = [HEADINGS.get(key, key) for key in keys]
        lines = [f"| {title} | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(keys)]
        for name, its in figures.items():
            if name.startswith(start) and name in shown:
                cells = [f"{its[key]:{',.0f' if key in COUNTS else '.3f'}}" if key in its else "" for key in keys]
                lines.append(f"| {name.removeprefix(start)} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def paged(page: str, records: dict[str, Figures]) -> str:
    """Put the tables into the text of a page."""
    end = "<!-- end of the tables -->"
    for record, figures in records.items():
        begin = f"<!-- tables: tests/simulations/{record}.py -->"
        before, found, rest = page.partition(begin)
        assert found, f"the page has no line {begin}"
        page = f"{before}{begin}\n\n{tables(record, figures)}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(paged(PAGE.read_text(encoding="utf-8"), {one: recorded(one) for one in TABLES}), encoding="utf-8")
