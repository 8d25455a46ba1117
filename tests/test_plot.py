import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from edfkit import EdfkitError
from edfkit.show import words
from edfkit.show.plot import (
    FORMATS,
    check_path,
    complexity_figure,
    edf_figure,
    figure,
    noise_figure,
    point_figure,
    samples_figure,
    search_figure,
    write_figure,
)
from edfkit.show.words import short
from edfkit.study.compare import Comparison, compare_populations
from edfkit.study.complexity import ComplexityStudy, complexity_study
from edfkit.study.noise import NoiseStudy, noise_study
from edfkit.study.point import PointStudy, point_study
from edfkit.study.samples import SampleStudy, sample_study
from edfkit.study.search import SearchStudy, search_study
from edfkit.study.selection import InMemory

# Two populations, params in two bins.
_COMMON = {
    "params": [100_000, 150_000, 200_000, 2_000_000],
    "flops": [1e6, 2e6, 3e9, 4e9],
    "error_final": [100.0, 100.0, 100.0, 100.0],
}
SMALL = InMemory({"a": _COMMON | {"error": [10, 20, 20, 40]}, "b": _COMMON | {"error": [30, 30, 50, 90]}})


def simulated(models: int, seed: int = 0) -> dict[str, Any]:
    """Make a population of all that studies look at; errors are those of 1,000 test images, b's a little higher."""
    rng = np.random.default_rng(seed)
    params = rng.integers(20_000, 3_000_000, models)
    curves = np.round(
        np.clip(rng.gamma(4, 2, (models, 1)) + 2 * seed + np.arange(12, 0, -1) * rng.random(12), 0, 99), 1
    )
    return {
        "error": curves.min(axis=1),
        "error_final": curves[:, -1],
        "test_error": curves,
        "params": params,
        "flops": 100.0 * params,
        "seconds": params / 1e4,
        "lr": 10 ** rng.uniform(-3, 0, models),
        "wd": 10 ** rng.uniform(-5, -2, models),
    }


SOURCE = InMemory({"a": simulated(150), "b": simulated(130, 1)})
BOTH = ["a", "b"]
Study = Comparison | PointStudy | SearchStudy | SampleStudy | ComplexityStudy | NoiseStudy
STUDIES: dict[str, Callable[[InMemory, list[str]], Study]] = {
    "compare": lambda source, names: compare_populations(source, names, bins=3 if source is SOURCE else 1),
    "point": lambda source, names: point_study(source, *names, small=1, large=min(40, source.models(names[0]))),
    "search": lambda source, names: search_study(source, names, given="none", cost="seconds"),
    "samples": lambda source, names: sample_study(source, names[0], trials=3),
    "complexity": lambda source, names: complexity_study(source, names),
    "noise": lambda source, names: noise_study(source, names, one_network=source.models(names[0]) > 1),
}


@pytest.fixture(params=STUDIES)
def study(request: pytest.FixtureRequest) -> Study:
    return STUDIES[request.param](SOURCE, BOTH)


def texts(path: Path) -> set[str]:
    """Read the texts of an SVG file."""
    return {text.strip() for element in ET.parse(path).iter() if (text := "".join(element.itertext())).strip()}


def legend_texts(drawn: Figure) -> list[str]:
    """Read the legends of all parts of a figure, without the lines that only keep their height."""
    legends = [legend for part in (drawn, *drawn.subfigs) for legend in part.legends]
    return [text.get_text() for legend in legends for text in legend.get_texts() if text.get_text().strip()]


def bars(axes: Axes) -> list[Any]:
    """Read the heights (`values`) and `edges` of what is drawn as stairs."""
    return [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]


def drawn_lines(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """Read the lines that show data."""
    pairs = [
        (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in axes.get_lines()
    ]
    return [pair for pair in pairs if pair[0]]


@pytest.fixture
def comparison() -> Comparison:
    return compare_populations(SMALL, ["a", "b"], bins=2)


def test_the_curves_are_the_edfs(comparison: Comparison) -> None:
    # Three models share the first bin, so they weigh a sixth each, and the last one a half.
    (axes,) = edf_figure(comparison).axes
    a, b = axes.get_lines()
    assert a.get_drawstyle() == b.get_drawstyle() == "steps-post"  # a model counts from its own error on
    assert list(np.asarray(a.get_xdata())) == [0, 10, 20, 40, 100]
    assert a.get_ydata() == pytest.approx([0, 1 / 6, 1 / 2, 1, 1], abs=1e-12)
    assert list(np.asarray(b.get_xdata())) == [0, 30, 50, 90, 100]
    assert b.get_ydata() == pytest.approx([0, 1 / 3, 1 / 2, 1, 1], abs=1e-12)
    assert a.get_color() != b.get_color()
    assert a.get_linestyle() != b.get_linestyle()  # so that they differ in black and white


def test_the_axes_show_what_matters(comparison: Comparison) -> None:
    (axes,) = edf_figure(comparison).axes
    left, right = axes.get_xlim()
    assert 0 <= left < 10  # the smallest error
    assert right > 90  # where the slower one is at 95 %
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] >= 1


def test_no_text_is_cut_and_the_legend_covers_no_curve(comparison: Comparison) -> None:
    drawing = edf_figure(comparison)
    drawing.draw_without_rendering()
    (axes,) = drawing.axes
    (legend,) = drawing.legends
    drawn = drawing.get_tightbbox()  # of all that is drawn, in inches
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= drawing.get_figwidth()
    assert drawn.y1 <= drawing.get_figheight()
    assert not legend.get_window_extent().overlaps(axes.bbox)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bins": 2}, {"(given params)", "params 100 k to 2 M, 2 bins", "test error (%)"}),
        ({"given": "flops", "bins": 1}, {"(given flops)", "flops 1 M to 4 B, 1 bin", "test error (%)"}),
        ({"given": "none"}, {"(not normalised)", "test error (%)"}),
        ({"given": "none", "error": "final"}, {"(not normalised)", "test error (%) after the last epoch"}),
    ],
)
def test_labels_say_what_is_shown_and_normalised(tmp_path: Path, options: dict[str, Any], expected: set[str]) -> None:
    path = tmp_path / "edfs.svg"
    write_figure(edf_figure(compare_populations(SMALL, ["a", "b"], **options)), path)
    assert expected | {"cumulative share of models"} <= texts(path)
    if options.get("error") != "final":
        assert {"a (n = 4, min 10.0 %)", "b (n = 4, min 30.0 %)"} <= texts(path)


@pytest.mark.parametrize(
    ("name", "begin"),
    [("p.png", b"\x89PNG\r\n\x1a\n"), ("p.PNG", b"\x89PNG\r\n\x1a\n"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF-")],
)
def test_the_ending_decides_the_format_and_the_bytes_repeat(
    tmp_path: Path, comparison: Comparison, name: str, begin: bytes
) -> None:
    path = tmp_path / name
    write_figure(edf_figure(comparison), path)
    first = path.read_bytes()
    assert first.startswith(begin)
    write_figure(edf_figure(comparison), path)
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["edfs.jpg", "edfs", "edfs.svg.gz", ".png"])
def test_another_ending_is_refused_before_anything_is_written(
    tmp_path: Path, comparison: Comparison, name: str
) -> None:
    with pytest.raises(EdfkitError, match=r"cannot be written as '.*'; give a name that ends in \.png, \.svg, \.pdf\."):
        check_path(tmp_path / name)
    drawing = edf_figure(comparison)
    with pytest.raises(EdfkitError, match=r"cannot be written"):
        write_figure(drawing, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_file_is_refused(tmp_path: Path, comparison: Comparison) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    drawing = edf_figure(comparison)
    for path, reason in (
        (tmp_path / "absent" / "p.png", "No such file or directory"),
        (tmp_path / "file" / "p.png", "Not a directory"),
        (tmp_path / "folder.png", "Is a directory"),
    ):
        with pytest.raises(EdfkitError, match=rf"^The plot .* cannot be written \({reason}\); give another place\.$"):
            write_figure(drawing, path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.png"]


def test_many_populations_have_a_line_each() -> None:
    names = [f"space_{i}" for i in range(9)]
    source = InMemory({name: {"error": [10, 20, 20, 40]} for name in names})
    drawing = edf_figure(compare_populations(source, names, given="none"))
    drawing.draw_without_rendering()
    (axes,) = drawing.axes
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    assert len(looks) == 9
    assert axes.bbox.height > drawing.bbox.height / 3  # the legend leaves room for the curves
    assert not drawing.legends[0].get_window_extent().overlaps(axes.bbox)


def test_errors_all_alike_can_be_drawn(tmp_path: Path) -> None:
    write_figure(edf_figure(compare_populations(SMALL, ["a", "b"], given="none", error="final")), tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1_000


def test_no_display_and_no_pyplot_is_needed(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from typing import Any
from edfkit.archive import Archive
from edfkit.datasets import locate
from edfkit.show.plot import figure, write_figure
from edfkit.study.compare import compare_populations
assert "matplotlib" not in sys.modules, "loaded before it is needed"
with Archive(locate("digits")) as source:
    write_figure(figure(compare_populations(source, ["resnet", "vanilla"])), Path(sys.argv[1]))
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-P", "-c", program, str(tmp_path / "p.png")], check=True)
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_a_band_is_that_of_the_claim_and_is_drawn_only_if_asked_for() -> None:
    compared = compare_populations(SOURCE, ["b", "a"])
    (pair,) = compared.pairs
    assert pair.better == "a"
    assert pair.estimates is not None
    (axes,) = edf_figure(compared).axes
    assert not axes.collections  # EDFs have no bands of their own, which would say less than that of the difference
    edfs, difference = edf_figure(compared, band=True).axes
    assert not edfs.collections
    assert edfs.get_xlim() == difference.get_xlim()
    zero, curve = difference.get_lines()
    assert list(np.asarray(zero.get_ydata())) == [0, 0]
    region = pair.estimates.difference
    assert curve.get_drawstyle() == "steps-post"
    assert curve.get_ydata() == pytest.approx([0, *region.difference, region.difference[-1]])
    band, *bars = difference.collections
    corners = {(float(x), float(y)) for x, y in np.asarray(band.get_paths()[0].vertices)}
    for value, lower, upper in zip(region.values, region.lower, region.upper, strict=True):
        assert {(value, lower), (value, upper)} <= corners
    assert {(0.0, region.half_width), (0.0, -region.half_width)} <= corners
    low, high = difference.get_ylim()
    assert low < region.lower.min()
    assert region.upper.max() < high
    (bar,) = bars
    assert isinstance(bar, LineCollection)
    segments = [(float(start[0]), float(end[0])) for start, end in map(np.asarray, bar.get_segments())]
    assert segments == [(lo, hi) for lo, hi, which in pair.ranges() if which == "worse"]
    assert segments
    assert difference.get_title(loc="left") == f"b, a: {words.brief(pair)}"
    assert words.brief(pair).startswith("a better, ")


def test_a_range_is_drawn_of_a_claimed_pair_alone() -> None:
    source = InMemory({"a": simulated(60), "b": simulated(60), "c": simulated(60, 1)})
    compared = compare_populations(source, ["a", "b", "c"])
    assert [pair.better == "none" for pair in compared.pairs] == [True, False, False]
    edfs, *differences = edf_figure(compared, band=True).axes
    assert [len(axes.collections) for axes in differences] == [1, 2, 2]  # the band, and the bars
    assert differences[0].get_title(loc="left") == "a, b: none shown to be better"
    assert len({axes.get_ylim() for axes in differences}) == 1
    assert re.fullmatch(r"params, \d+ common strata; pairs have strata of their own", edfs.get_title(loc="left"))


def test_a_pair_that_cannot_be_compared_has_an_empty_panel_that_says_so() -> None:
    apart = {"error": np.linspace(1, 9, 30), "params": np.arange(9_000, 9_030)}
    compared = compare_populations(InMemory({"a": simulated(30), "far": apart}), ["a", "far"])
    _, difference = edf_figure(compared, band=True).axes
    assert not difference.collections
    assert difference.get_title(loc="left") == "a, far: too few models"


def test_bands_of_too_many_pairs_are_refused() -> None:
    names = [f"space_{i}" for i in range(5)]
    compared = compare_populations(InMemory({name: {"error": [10, 20, 20, 40]} for name in names}), names, given="none")
    with pytest.raises(EdfkitError, match=r"^A plot with the band of each pair takes 4 spaces at most and 5 were"):
        edf_figure(compared, band=True)
    assert len(edf_figure(compared).axes) == 1


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]])
def test_nothing_overlaps_in_a_plot_with_bands(names: list[str]) -> None:
    source = InMemory({name: simulated(40, seed) for seed, name in enumerate(names)})
    drawing = edf_figure(compare_populations(source, names), band=True)
    assert len(drawing.axes) == 1 + len(names) * (len(names) - 1) // 2
    assert_nothing_overlaps(drawing)


@pytest.mark.parametrize("against", [None, "b"])
def test_the_law_of_the_difference_is_drawn_whole(against: str | None) -> None:
    study = point_study(SOURCE, "a", against, small=5, large=40)
    law, edfs = point_figure(study).axes
    small, large = bars(law)
    wins = study.wins
    heights = [small.values, large.values]
    assert float(np.sum(heights[0])) == pytest.approx(wins.small_wins, abs=1e-3)
    assert float(np.sum(heights[1])) == pytest.approx(wins.large_wins, abs=1e-3)
    (tie,) = (lines for lines in law.collections if isinstance(lines, LineCollection))
    assert np.asarray(tie.get_segments()[0]) == pytest.approx(np.array([[0, 0], [0, wins.tie]]), abs=1e-12)
    # Every bar has the probability of the values that it covers.
    edges = np.asarray(small.edges)
    total = np.asarray(heights[0]) + np.asarray(heights[1])
    for lo, hi, height in zip(edges, edges[1:], total, strict=False):
        inside = study.probabilities[(lo <= study.values) & (study.values < hi) & (np.abs(study.values) > 0.05)]
        assert height == pytest.approx(inside.sum(), abs=1e-3)
    lines = [x[0] for x, _ in drawn_lines(law)]
    assert sorted(lines) == pytest.approx([-study.gap.either, 0, study.gap.either])
    assert law.get_xlabel() == "best of 5 minus best of 40 (percentage points)"
    assert f"best of 40 is the better one: probability {wins.large_wins:.3f}" in legend_texts(law.figure.figure)
    assert len(edfs.get_lines()) == (1 if against is None else 2)


def test_a_law_of_few_values_has_a_bar_for_each() -> None:
    source = InMemory({"a": {"error": [1.0, 2.0, 3.0]}})
    law, _ = point_figure(point_study(source, "a", small=1, large=1)).axes
    small, large = bars(law)
    assert small.edges == pytest.approx([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert small.values == pytest.approx([1 / 9, 2 / 9, 0, 0, 0])
    assert large.values == pytest.approx([0, 0, 0, 2 / 9, 1 / 9])
    assert len(law.get_lines()) == 1  # no gap means anything, so there is none


def test_a_small_difference_is_no_tie() -> None:
    source = InMemory({"a": {"error": [1.0, 2.0]}, "b": {"error": [1.4, 2.4]}})
    law, _ = point_figure(point_study(source, "a", "b", small=1, large=1)).axes
    small, large = bars(law)
    assert (small.values.sum(), large.values.sum()) == pytest.approx((3 / 4, 1 / 4))
    assert not any(text.startswith("tie") for text in legend_texts(law.figure.figure))


def test_the_search_curves_are_the_studys() -> None:
    study = search_study(SOURCE, BOTH, bins=3, m=[1, 2, 4, 8])
    axes, median = search_figure(study).axes
    lines, medians = drawn_lines(axes), drawn_lines(median)
    for i, curve in enumerate(study.curves):
        for at, expected in enumerate((curve.best.quantiles[0.05], curve.best.quantiles[0.95], curve.best.error)):
            assert lines[3 * i + at] == ([1, 2, 4, 8], expected.tolist())
        outline = {tuple(point) for point in np.asarray(axes.collections[i].get_paths()[0].vertices).tolist()}
        for edge in (curve.low, curve.high):
            assert set(zip([1.0, 2.0, 4.0, 8.0], edge.tolist(), strict=True)) <= outline
        assert medians[i] == ([1, 2, 4, 8], curve.median.tolist())
        outline = {tuple(point) for point in np.asarray(median.collections[i].get_paths()[0].vertices).tolist()}
        for edge in (curve.median_low, curve.median_high):
            assert set(zip([1.0, 2.0, 4.0, 8.0], edge.tolist(), strict=True)) <= outline
        assert np.all((curve.low <= curve.best.error) & (curve.best.error <= curve.high))
    bottom, top = axes.get_ylim()
    assert all(bottom < curve.best.error.min() and curve.best.error.max() < top for curve in study.curves)
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "models drawn, m"
    assert axes.get_ylabel() == "expected smallest test error (%)\n(given params)"
    assert median.get_ylabel() == "median smallest test error (%)\n(given params)"
    assert median.get_ylim() == axes.get_ylim()


@pytest.mark.parametrize(("cost", "unit"), [("seconds", "seconds"), ("flops", "flops of its models")])
def test_a_search_is_drawn_against_its_cost(cost: str, unit: str) -> None:
    study = search_study(SOURCE, ["a"], given="none", cost=cost)
    axes, median = search_figure(study).axes
    (curve,) = study.curves
    assert curve.cost_of_one is not None
    assert drawn_lines(axes)[-1][0] == pytest.approx((curve.best.m * curve.cost_of_one).tolist())
    assert axes.get_xlabel() == median.get_xlabel() == f"mean cost of a search ({unit})"


@pytest.mark.parametrize("trials", [0, 3])
def test_the_distances_are_the_studys(trials: int) -> None:
    study = sample_study(SOURCE, "a", models=[1, 10, 100, 150], trials=trials)
    edfs, distances = samples_figure(study).axes
    assert len(edfs.get_lines()) == 3  # 10, 100 and all
    x, y = drawn_lines(edfs)[0]
    assert x[1:-1] == np.unique(study.errors[10]).tolist()
    assert y[-1] == 1
    lines = drawn_lines(distances)
    assert lines[0] == ([1, 10, 100, 150], study.to_truth.tolist())
    assert lines[1] == ([1, 10, 100], study.to_population[:3].tolist())  # 0 has no logarithm
    assert len(distances.containers) == (trials > 0)
    if study.simulated is not None:
        assert lines[2] == ([1, 10, 100], study.simulated.mean[:3])
    assert (distances.get_xscale(), distances.get_yscale()) == ("log", "log")
    assert distances.get_ylabel() == "expected distance of EDFs, D (0 to 1)"


def test_complexities_are_the_studys() -> None:
    study = complexity_study(SOURCE, BOTH, buckets=6)
    scatter, counts, means = complexity_figure(study).axes
    for i, space in enumerate(study.spaces):
        points = scatter.collections[i]
        assert isinstance(points, PathCollection)
        assert np.asarray(points.get_offsets()) == pytest.approx(np.column_stack([space.complexity, space.errors]))
        assert list(bars(counts)[i].values) == study.histogram.counts[space.name].tolist()
        assert bars(counts)[i].edges == pytest.approx(study.histogram.edges)
        line, _, (whiskers,) = means.containers[i]
        assert line.get_ydata() == pytest.approx(space.buckets.mean, nan_ok=True)
        for x, lo, hi in zip(line.get_xdata(), space.buckets.edges, space.buckets.edges[1:], strict=False):
            assert lo < x < hi
        reach = [segment[1][1] - segment[0][1] for segment in whiskers.get_segments()]
        assert reach == pytest.approx(4 * space.buckets.sd)
    assert scatter.get_xlabel() == "params of a model"
    assert scatter.get_ylabel() == means.get_ylabel() == "test error (%)"
    assert legend_texts(scatter.figure.figure)[0].startswith("a (n = 150, rank correlation ")


def test_noise_is_the_studys() -> None:
    study = noise_study(SOURCE, BOTH, one_network=True)
    epochs, seeds, *rates = noise_figure(study).axes
    for i, space in enumerate(study.spaces):
        assert space.epochs is not None
        assert space.seeds is not None
        assert space.rates is not None
        assert drawn_lines(epochs)[2 * i] == (space.epochs.epochs.tolist(), space.epochs.spearman.tolist())
        assert drawn_lines(epochs)[2 * i + 1] == (space.epochs.epochs.tolist(), space.epochs.kendall.tolist())
        assert drawn_lines(seeds)[i] == (
            [space.seeds.min, *space.seeds.quantiles.values(), space.seeds.max],
            [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1],
        )
        axes = rates[2 * i] if rates[1].get_label() == "<colorbar>" else rates[i]
        mesh = next(part for part in axes.collections if isinstance(part, QuadMesh))
        array = mesh.get_array()
        assert array is not None
        assert np.ma.filled(array, np.nan) == pytest.approx(space.rates.mean_rank.T, nan_ok=True)
        if space.rates.best is not None:
            ((x,), (y,)) = drawn_lines(axes)[0]
            row, column = space.rates.best
            assert space.rates.lr_edges[row] < x < space.rates.lr_edges[row + 1]
            assert space.rates.wd_edges[column] < y < space.rates.wd_edges[column + 1]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "weight decay")


def test_what_is_not_there_is_not_drawn() -> None:
    unknown = np.full(4, np.nan)
    bare = {"error": [10.0, 20.0, 20.0, 40.0], "error_final": unknown, "lr": unknown, "wd": unknown}
    source = InMemory({"a": bare, "c": bare | {"test_error": np.arange(8.0).reshape(4, 2)}})
    with pytest.raises(EdfkitError, match=r"^Nothing is known of a that a plot of noise could show: .*\.$"):
        noise_figure(noise_study(source, ["a"]))
    (axes,) = noise_figure(noise_study(source, ["a"], one_network=True)).axes
    assert axes.get_ylabel() == "share of seeds with at most that error"
    drawing = noise_figure(noise_study(source, ["a", "c"]))
    assert drawing.axes[0].get_xlabel() == "epochs trained"
    assert legend_texts(drawing)[0] == "c (n = 4)"


def test_every_study_has_its_figure(study: Study) -> None:
    drawing = figure(study)
    assert {axes.get_xlabel() != "" for axes in drawing.axes if axes.get_label() != "<colorbar>"} == {True}
    assert {axes.get_ylabel() != "" for axes in drawing.axes} == {True}


def test_no_other_result_has_one() -> None:
    with pytest.raises(EdfkitError, match=r"^There is no plot of a dict; give one of Comparison, .*, NoiseStudy\.$"):
        figure({})  # type: ignore[arg-type]


def test_nothing_overlaps_or_is_cut_in_any_figure(study: Study) -> None:
    assert_nothing_overlaps(figure(study))


def assert_nothing_overlaps(drawing: Figure) -> None:
    drawing.draw_without_rendering()
    extent = drawing.get_tightbbox()
    assert min(extent.x0, extent.y0) >= 0
    assert extent.x1 <= drawing.get_figwidth()
    assert extent.y1 <= drawing.get_figheight()
    boxes = [axes.bbox for axes in drawing.axes]
    boxes += [legend.get_window_extent() for part in (drawing, *drawing.subfigs) for legend in part.legends]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    for axes in (axes for axes in drawing.axes if axes.get_label() != "<colorbar>"):
        assert axes.bbox.width > 2.4 * drawing.dpi  # half of what each has
        labels = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        seen = [box for box in labels if axes.bbox.x0 - 1 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1 + 1]
        assert len(seen) >= 2
        assert not any(one.overlaps(other) for i, one in enumerate(seen) for other in seen[:i])


# That the bytes of the other formats repeat is tested of one study; of the others it takes long.
@pytest.mark.parametrize(
    "ending", [pytest.param(ending, marks=[] if ending == ".svg" else pytest.mark.slow) for ending in FORMATS]
)
def test_a_study_drawn_again_gives_the_same_bytes(tmp_path: Path, study: Study, ending: str) -> None:
    for name in ("one", "other"):
        write_figure(figure(study), tmp_path / f"{name}{ending}")
    assert (tmp_path / f"one{ending}").read_bytes() == (tmp_path / f"other{ending}").read_bytes()


@pytest.mark.parametrize("kind", STUDIES)
def test_one_model_is_drawn(tmp_path: Path, kind: str) -> None:
    one = InMemory({name: simulated(1) for name in BOTH})
    if kind == "complexity":
        one = InMemory({"a": simulated(1), "b": simulated(20)})
        study: Study = complexity_study(one, BOTH, range=(10_000, 4_000_000), bins=1)
    elif kind == "compare":
        study = compare_populations(one, BOTH, given="none")
    else:
        study = STUDIES[kind](one, BOTH)
    if kind == "noise":
        with pytest.raises(EdfkitError, match="Nothing is known"):
            figure(study)
    else:
        write_figure(figure(study), tmp_path / "p.png")


def test_many_models_are_drawn_and_their_points_are_pixels(tmp_path: Path) -> None:
    many = InMemory({"a": simulated(25_000), "b": simulated(25_000, 1)})
    write_figure(figure(complexity_study(many, BOTH)), tmp_path / "complexity.svg")
    assert (tmp_path / "complexity.svg").stat().st_size < 1_000_000
    for kind in ("compare", "point", "samples"):
        write_figure(figure(STUDIES[kind](many, BOTH)), tmp_path / f"{kind}.png")


def test_the_style_of_the_caller_is_left_alone(comparison: Comparison) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    edf_figure(comparison)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0"), (0.0123, "0.0123"), (999, "999"), (1000, "1 k"), (856_000, "856 k"), (999_999, "1 M")),
        *((1.29e8, "129 M"), (4e9, "4 B"), (3.2e12, "3.2 T"), (1.234e16, "12,300 T")),
    ],
)
def test_large_numbers_are_short(count: float, text: str) -> None:
    assert short(count) == text
