"""The notebooks of the guide run, give what they show, and take archives with other populations."""

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from pages import NOTEBOOKS, execute

from edfkit.exchange.tables import import_table

MOST_BYTES = 200_000  # of the pictures of all notebooks, which are in the repository


def printed(notebook: Any) -> list[str]:
    """Give what each cell prints; of pictures, that there is one."""
    return [
        "".join(
            output.get("text", "".join(sorted(set(output.get("data", {})) - {"text/plain"}))) for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def pictures(notebook: Any) -> list[bytes]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [base64.b64decode(one["data"]["image/png"]) for one in outputs if "image/png" in one.get("data", {})]


@pytest.mark.filterwarnings("ignore")  # of Jupyter, about its own sockets
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_it_shows(path: Path, tmp_path: Path) -> None:
    shown = nbformat.read(path, as_version=4)
    assert all(cell.execution_count for cell in shown.cells if cell.cell_type == "code"), "cells were not run"
    before = printed(shown)
    assert any("image/png" in text for text in before)
    assert printed(execute(shown, tmp_path)) == before, f"run it anew: python -P tests/support/pages.py {path}"


def test_the_pictures_are_small() -> None:
    sizes = {path.stem: sum(len(one) for one in pictures(nbformat.read(path, as_version=4))) for path in NOTEBOOKS}
    assert min(sizes.values()) > 0
    assert sum(sizes.values()) < MOST_BYTES, sizes


def rows(name: str, models: int, better: float, rng: np.random.Generator) -> list[str]:
    """Make up a population: larger networks tend to be better."""
    counts = rng.integers(30_000, 300_000, models)
    errors = np.clip(20 - 2 * np.log2(counts / 3e4) - better + rng.gamma(2, 3, models), 0, 100).round(2)
    rates = (10 ** rng.uniform(low, high, models) for low, high in ((-3, 0), (-5, -2)))
    columns = zip(errors, counts, *rates, strict=True)
    return [f"{name},{e},{e:.2f},{c},{20 * c},{21 * c},{c // 5},{lr:.3g},{wd:.3g}" for e, c, lr, wd in columns]


@pytest.mark.filterwarnings("ignore")
def test_the_paper_on_digits_takes_all_nine_spaces(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = ["kind,error,final,params,macs,flops,acts,lr,wd"]
    sizes = dict.fromkeys(("vanilla", "resnet", "resnext-a", "resnext-b"), 500)
    sizes |= dict.fromkeys(("nasnet", "amoeba", "pnas", "enas", "darts", "resnet_lr-wd", "vanilla_lr-wd"), 200)
    sizes |= {f"{space}_rng{seed}": 100 for space in ("resnet", "vanilla") for seed in (1, 2, 3)}
    sizes |= {f"{space}_reruns_{part}": 30 for space in ("resnet", "vanilla") for part in ("top", "mid")}
    for place, (name, models) in enumerate(sizes.items()):
        table += rows(name, models, place % 5, rng)
    (tmp_path / "nine.csv").write_text("\n".join(table))
    import_table(tmp_path / "nine.csv", tmp_path / "nine.h5", error="error", final="final", space="kind")

    notebook = nbformat.read(NOTEBOOKS[0].with_name("paper-on-digits.ipynb"), as_version=4)
    first = notebook.cells[1]
    first.source, replaced = re.subn(r'locate\("digits"\)', repr(str(tmp_path / "nine.h5")), first.source)
    assert replaced == 1
    text = "\n".join(printed(execute(notebook, tmp_path)))
    assert "has no population" not in text
    assert "nothing to compare" not in text
    assert all(f"{name} " in text for name in ("resnext-b", "darts"))
    assert "30 seeds, sd" in text
    assert "of the variance is noise" in text
