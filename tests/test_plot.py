import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edfkit import EdfkitError
from edfkit.plot import edf_figure, plot_edfs
from edfkit.study import Comparison, compare_populations


class Memory:
    """Two populations: errors 10, 20, 20, 40 and 30, 30, 50, 90, params in two bins."""

    def models(self, name: str) -> int:
        return 4

    def read(self, name: str, variable: str) -> np.ndarray:
        return np.array(
            {
                "status": [0, 0, 0, 0],
                "params": [100_000, 150_000, 200_000, 2_000_000],
                "flops": [1e6, 2e6, 3e9, 4e9],
                "error": [10.0, 20.0, 20.0, 40.0] if name == "a" else [30.0, 30.0, 50.0, 90.0],
                "error_final": [100.0, 100.0, 100.0, 100.0],
            }[variable]
        )


@pytest.fixture
def comparison() -> Comparison:
    return compare_populations(Memory(), ["a", "b"], bins=2)


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
    figure = edf_figure(comparison)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    (legend,) = figure.legends
    drawn = figure.get_tightbbox()  # of all that is drawn, in inches
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()
    assert not legend.get_window_extent().overlaps(axes.bbox)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bins": 2}, {"(params normalised)", "params 100 k to 2 M, 2 bins", "test error (%)"}),
        ({"given": "flops", "bins": 1}, {"(flops normalised)", "flops 1 M to 4 B, 1 bin", "test error (%)"}),
        ({"given": "none"}, {"(not normalised)", "test error (%)"}),
        ({"given": "none", "error": "final"}, {"(not normalised)", "test error (%) after the last epoch"}),
    ],
)
def test_labels_say_what_is_shown_and_normalised(tmp_path: Path, options: dict[str, Any], expected: set[str]) -> None:
    path = tmp_path / "edfs.svg"
    plot_edfs(compare_populations(Memory(), ["a", "b"], **options), path)
    texts = {text.strip() for element in ET.parse(path).iter() if (text := "".join(element.itertext())).strip()}
    assert expected | {"cumulative share of models"} <= texts
    if options.get("error") != "final":
        assert {"a (n = 4, min 10.0 %)", "b (n = 4, min 30.0 %)"} <= texts


@pytest.mark.parametrize(
    ("name", "begin"),
    [("p.png", b"\x89PNG\r\n\x1a\n"), ("p.PNG", b"\x89PNG\r\n\x1a\n"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF-")],
)
def test_the_ending_decides_the_format_and_the_bytes_repeat(
    tmp_path: Path, comparison: Comparison, name: str, begin: bytes
) -> None:
    path = tmp_path / name
    plot_edfs(comparison, path)
    first = path.read_bytes()
    assert first.startswith(begin)
    plot_edfs(comparison, path)
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["edfs.jpg", "edfs", "edfs.svg.gz", ".png"])
def test_another_ending_is_refused_before_anything_is_written(
    tmp_path: Path, comparison: Comparison, name: str
) -> None:
    with pytest.raises(EdfkitError, match=r"cannot be written as '.*'; give a name that ends in \.png, \.svg, \.pdf\."):
        plot_edfs(comparison, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_file_is_refused(tmp_path: Path, comparison: Comparison) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for path, reason in (
        (tmp_path / "absent" / "p.png", "No such file or directory"),
        (tmp_path / "file" / "p.png", "Not a directory"),
        (tmp_path / "folder.png", "Is a directory"),
    ):
        with pytest.raises(EdfkitError, match=rf"^The plot .* cannot be written \({reason}\); give another place\.$"):
            plot_edfs(comparison, path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.png"]


def test_many_populations_have_a_line_each() -> None:
    names = [f"space_{i}" for i in range(9)]
    figure = edf_figure(compare_populations(Memory(), names, given="none"))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    assert len(looks) == 9
    assert axes.bbox.height > figure.bbox.height / 3  # the legend leaves room for the curves
    assert not figure.legends[0].get_window_extent().overlaps(axes.bbox)


def test_errors_all_alike_can_be_drawn(tmp_path: Path) -> None:
    plot_edfs(compare_populations(Memory(), ["a", "b"], given="none", error="final"), tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 1_000


def test_no_display_and_no_pyplot_is_needed(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from typing import Any
from edfkit.archive import Archive
from edfkit.datasets import locate
from edfkit.plot import plot_edfs
from edfkit.study import compare_populations
assert "matplotlib" not in sys.modules, "loaded before it is needed"
with Archive(locate("digits")) as source:
    plot_edfs(compare_populations(source, ["resnet", "vanilla"]), Path(sys.argv[1]))
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-P", "-c", program, str(tmp_path / "p.png")], check=True)
    assert (tmp_path / "p.png").stat().st_size > 1000
