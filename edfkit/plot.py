"""Plots, drawn without a display."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edfkit import EdfkitError
from edfkit.edf import edf
from edfkit.files import replacing
from edfkit.study import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")

# Okabe and Ito's colours, which the colour-blind can tell apart; line styles tell the curves apart without any colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")


def edf_figure(result: Comparison) -> "Figure":
    """Draw the EDFs of compared populations: share of models against error, lower errors and higher curves are better.

    Parameters
    ----------
    result : Comparison
        The populations, with their weights.

    Returns
    -------
    matplotlib.figure.Figure
        One line a population, of steps at its errors (percent) to its EDF (share), from error 0 to 100.
    """
    from matplotlib.figure import Figure  # alone, without pyplot, it needs no display and keeps no state

    figure = Figure(figsize=(4.8, 3.2 + 0.18 * len(result.populations)), layout="constrained")
    axes = figure.subplots()
    for i, member in enumerate(result.populations):
        errors, heights = edf(member.errors, member.weights)
        axes.step(
            np.concatenate([[0.0], errors, [100.0]]),
            np.concatenate([[0.0], heights, [1.0]]),
            where="post",
            color=_COLOURS[i % len(_COLOURS)],
            linestyle=_STYLES[i % len(_STYLES)],
            linewidth=1.6,
            label=f"{member.name} (n = {member.summary.models:,}, min {member.summary.min:.1f} %)",
        )
    axes.set_xlim(*_ends(result))
    axes.set_ylim(0, 1.02)  # a curve that has reached 1 is still seen whole
    axes.set_xlabel("test error (%)" + (" after the last epoch" if result.error == "final" else ""))
    axes.set_ylabel(f"cumulative share of models\n({_weighting(result)})")
    axes.set_title(_range(result), loc="left", fontsize="medium")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", frameon=False)  # where no curve can pass under it
    return figure


def plot_edfs(result: Comparison, path: Path) -> None:
    """Write the figure of `edf_figure` into a file, whole or not at all; the same result gives the same bytes.

    Parameters
    ----------
    result : Comparison
        The populations, with their weights.
    path : Path
        A PNG, SVG or PDF file, by its ending.

    Raises
    ------
    EdfkitError
        If the ending is another one, or the file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise EdfkitError(f"A plot cannot be written as {str(path)!r}; give a name that ends in {', '.join(FORMATS)}.")
    import matplotlib as mpl

    # Text stays text in SVG and PDF; a fixed salt and no date give the same bytes every time.
    style: dict[Any, Any] = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "edfkit", "pdf.fonttype": 42}
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(kind)
    try:
        with mpl.rc_context(style), replacing(path) as temporary:
            edf_figure(result).savefig(temporary, format=kind[1:], dpi=200, metadata=metadata)
    except OSError as error:
        raise EdfkitError(
            f"The plot {path} cannot be written ({error.strerror or error}); give another place."
        ) from error


def _ends(result: Comparison) -> tuple[float, float]:
    # From the smallest error to where the slowest EDF is at 95 %: beyond lie the few that diverged or hardly learned.
    left = min(member.summary.min for member in result.populations)
    right = max(member.summary.quantiles[0.95] for member in result.populations)
    margin = 0.05 * (right - left) or 1.0
    return max(0.0, left - margin), right + margin


def _weighting(result: Comparison) -> str:
    return "not normalised" if result.given == "none" else f"{result.given} normalised"


def _range(result: Comparison) -> str:
    if result.range is None:
        return ""
    lo, hi = map(_short, result.range)
    return f"{result.given} {lo} to {hi}, {result.bins} bin" + "s" * (result.bins != 1)


def _short(count: float) -> str:
    scale, letter = next((unit for unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")) if count >= unit[0]), (1, ""))
    return f"{count / scale:.3g}{letter}"
