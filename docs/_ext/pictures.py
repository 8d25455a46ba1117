"""The pictures of the guide, drawn from the bundled archive whenever the guide is built.

Those that explain the method come in two variants, for a light and a dark page; the figures of studies are those that
`--plot` draws.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sphinx.application import Sphinx

from edfkit.archive import Archive
from edfkit.datasets import BUNDLED
from edfkit.show.figures import make_figures
from edfkit.show.look import DARK_BACKGROUND, looks
from edfkit.show.plot import figure, write_figure
from edfkit.stats.bands import edf_band
from edfkit.stats.bins import bin_counts, common_range, complexity_weights
from edfkit.stats.edf import edf
from edfkit.stats.minima import best_of
from edfkit.study.compare import compare_populations
from edfkit.study.complexity import complexity_study
from edfkit.study.noise import noise_study
from edfkit.study.point import point_study
from edfkit.study.samples import sample_study
from edfkit.study.search import search_study

NAMES = ("resnet", "vanilla")
HALF = 150_000  # parameters: about the middle of the bundled models
BINS = 6
PAPER = [*map(str, range(2, 8)), *map(str, range(9, 16))]  # the figures on the page of claims

Populations = dict[str, dict[str, Any]]


@contextmanager
def page(dark: bool) -> Iterator[None]:
    """Draw as a page looks: text in its colour, nothing behind it."""
    ink, ground = ("#cfd0d0", DARK_BACKGROUND) if dark else ("#000000", "#ffffff")
    style: dict[Any, Any] = {
        "font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "edfkit", "figure.facecolor": ground,
        "axes.facecolor": ground, "savefig.transparent": True, "axes.spines.top": False, "axes.spines.right": False,
        "legend.frameon": False, "axes.grid": True, "grid.alpha": 0.15,
    }  # fmt: skip
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    with mpl.rc_context(style | dict.fromkeys(inked, ink)):
        yield


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """Give a figure with so many axes beside each other."""
    drawn = Figure(figsize=(7.8 if count > 1 else 5.2, 2.6 if count > 2 else 3.0), layout="constrained")
    return drawn, [drawn.add_subplot(1, count, place + 1) for place in range(count)]


def styles(dark: bool) -> dict[str, dict[str, Any]]:
    """Give colour and line of each population."""
    chosen = dict(zip(NAMES, looks(NAMES), strict=True))
    return {
        name: {"color": look.colour(dark=dark), "linestyle": (0, look.dash) if look.dash else "-"}
        for name, look in chosen.items()
    }


def step(axes: Axes, errors: Any, weights: Any = None, **style: Any) -> None:
    """Draw an EDF from 0 to 100 %."""
    values, heights = edf(errors, weights)
    axes.step([0, *values, 100], [0, *heights, 1], where="post", **style)


def edf_axes(axes: Axes) -> None:
    """Label the axes of EDFs."""
    axes.set(xlim=(0, 100), ylim=(0, 1.02), xlabel="error e (percent)", ylabel="F(e): share of the models")


def draw_edf(populations: Populations, dark: bool) -> Figure:
    """Draw two EDFs: read upwards from an error, sideways from a share."""
    drawn, (axes,) = panels(1)
    ink = mpl.rcParams["text.color"]
    axes.axvline(8, color=ink, linewidth=0.8, linestyle=":")
    axes.axhline(0.5, color=ink, linewidth=0.8, linestyle=":")
    for name, style in styles(dark).items():
        errors = populations[name]["error"]
        step(axes, errors, label=name, **style)
        share = float(np.mean(errors <= 8))
        median = float(np.quantile(errors, 0.5, method="inverted_cdf"))
        axes.plot([8, median], [share, 0.5], "o", color=style["color"], markersize=5)
        axes.annotate(f"{100 * share:.0f} % below 8 %", (8, share), (8, -10), textcoords="offset points")
        axes.annotate(f"median {median:.1f} %", (median, 0.5), (8, -11), textcoords="offset points")
    edf_axes(axes)
    axes.legend(loc="lower right")
    return drawn


def lopsided(populations: Populations) -> Populations:
    """Give a part of the models: all small ResNets with few large ones, and Vanilla the other way round."""
    parts = {}
    for name, values in populations.items():
        small = values["params"] < HALF
        thinned = np.arange(small.size) % 4 == 0  # every fourth of those that are to be few
        keep = (small | thinned) if name == "resnet" else (~small | thinned)
        parts[name] = {variable: numbers[keep] for variable, numbers in values.items()}
    return parts


def draw_normalise(populations: Populations, dark: bool) -> Figure:
    """Show what normalising does: models a bin, the weight of each bin, and the EDFs before and after."""
    parts = lopsided(populations)
    lo, hi = common_range(*(values["params"] for values in parts.values()))
    edges = np.linspace(lo, hi, BINS + 1) / 1e3
    drawn, (counts, weighed, edfs) = panels(3)
    for name, style in styles(dark).items():
        values = parts[name]
        weights = complexity_weights(values["params"], lo, hi, BINS)
        inside = weights > 0
        counts.stairs(bin_counts(values["params"], lo, hi, BINS), edges, label=name, linewidth=1.5, **style)
        heights = np.histogram(values["params"][inside], edges * 1e3, weights=weights[inside])[0]
        weighed.stairs(heights, edges, linewidth=1.5, **style)
        step(edfs, values["error"], color=style["color"], linewidth=0.8, alpha=0.6, label=f"{name}, as is")
        step(edfs, values["error"], weights, label=f"{name}, given params", **style)
    counts.set(xlabel="parameters (thousands)", ylabel="models in the bin", ylim=(0, None))
    weighed.set(xlabel="parameters (thousands)", ylabel="weight of the bin", ylim=(0, 0.3))
    counts.legend(fontsize=8)
    edf_axes(edfs)
    edfs.legend(fontsize=6, loc="lower right")
    return drawn


def draw_bands(populations: Populations, dark: bool) -> Figure:
    """Draw the two bands around the EDF of few models and of many."""
    drawn, both = panels(2)
    style = styles(dark)["resnet"]
    ink = mpl.rcParams["text.color"]
    for axes, models in zip(both, (50, 500), strict=True):
        errors = populations["resnet"]["error"][:models]
        for method, line in (("ks", ":"), ("equal-local-levels", "--")):
            band = edf_band(errors, method=method)
            for heights in (band.lower, band.upper):
                ends = [heights[0], *heights, heights[-1]] if heights is band.upper else [0, *heights, heights[-1]]
                axes.step([0, *band.values, 100], ends, where="post", color=ink, linewidth=0.8, linestyle=line,
                          label=method if heights is band.lower else None)  # fmt: skip
        step(axes, errors, label=f"{models} models", **style)
        edf_axes(axes)
        axes.set(xscale="log", xlim=(1, 100))
        axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        axes.legend(fontsize=8, loc="lower right")
    return drawn


def draw_search(populations: Populations, dark: bool) -> Figure:
    """Draw the expected best of m, and what one search finds."""
    drawn, (axes,) = panels(1)
    m = 2 ** np.arange(10)
    for name, style in styles(dark).items():
        best = best_of(populations[name]["error"], m)
        axes.plot(m, best.error, label=name, **style)
        low, high = np.maximum(best.error - best.spread, 0), best.error + best.spread
        axes.fill_between(m, low, high, color=style["color"], alpha=0.18, linewidth=0)
    axes.set(
        xscale="log", yscale="log", xlabel="m: number of random models", ylabel="best error (percent)", ylim=(1, 100)
    )
    axes.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
    axes.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.legend()
    return drawn


PICTURES: dict[str, Callable[[Populations, bool], Figure]] = {
    "edf": draw_edf,
    "normalise": draw_normalise,
    "bands": draw_bands,
    "search": draw_search,
}


def studies(archive: Archive) -> Iterator[tuple[str, Figure]]:
    """Give the figures of the pages on studies, as the commands there draw them."""
    yield "compare", figure(compare_populations(archive, NAMES), band=True)
    yield "point", figure(point_study(archive, "resnet", small=10, large=100))
    yield "search-study", figure(search_study(archive, NAMES))
    yield "samples", figure(sample_study(archive, "resnet", trials=50))
    yield "complexity", figure(complexity_study(archive, NAMES))
    yield "noise", figure(noise_study(archive, NAMES))


def draw(folder: Path) -> None:
    """Draw all pictures into a folder."""
    folder.mkdir(exist_ok=True)
    with Archive(BUNDLED["digits"]) as archive:
        populations = {
            name: {variable: archive.read(name, variable) for variable in ("error", "params")} for name in NAMES
        }
        for name, drawn in studies(archive):
            write_figure(drawn, folder / f"{name}.svg")
        for _ in make_figures(archive, PAPER, folder / "paper", formats=["svg"]):
            pass
    for name, drawing in PICTURES.items():
        for dark in (False, True):
            with page(dark):
                drawing(populations, dark).savefig(
                    folder / f"{name}{'-dark' if dark else ''}.svg", metadata={"Date": None}
                )


def setup(app: Sphinx) -> dict[str, Any]:
    """Draw before the pages are read."""
    app.connect("builder-inited", lambda app: draw(Path(app.srcdir) / "pictures"))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
