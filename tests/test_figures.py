"""The paper's figures: every one is made, shows the library's numbers, and says what differs from the paper."""

import csv
import json
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.axes import Axes
from matplotlib.image import imread
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from stand_ins import ALL, stand_in, write_stand_ins

from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.archive.published import Published
from edfkit.cli import edfkit
from edfkit.cli import main as run_edfkit
from edfkit.datasets import BUNDLED
from edfkit.show.figures import Outcome, make_figures, wanted
from edfkit.show.figures.distributions import edfs
from edfkit.show.figures.page import STYLE, rows_of, settle, write_csv
from edfkit.show.figures.reading import BOUNDS, Comparing, FigureSource, findings, in_columns
from edfkit.show.figures.registry import FIGURES
from edfkit.show.figures.tables import write_markdown
from edfkit.show.look import SPACES
from edfkit.stats.buckets import bucket_means, histogram
from edfkit.stats.edf import edf
from edfkit.stats.epochs import error_ranks
from edfkit.stats.minima import best_of, difference, who_wins
from edfkit.stats.noise import average_over_seeds, seed_noise
from edfkit.stats.sizes import expected_distance_to_population
from edfkit.stats.two_sample import ks
from edfkit.study.compare import Pair, compare_populations
from edfkit.study.selection import InMemory, select

MODELS = 150
SEED = 3
EVERY_FORMAT = ["2", "12"]  # these figures; the others as SVG, as each format takes half a second
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Give an archive of all populations that the paper's figures need."""
    path = write_stand_ins(tmp_path_factory.mktemp("stand_ins") / "full.h5", models=MODELS)
    with Archive(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def made(full: Archive, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Outcome]]:
    """Make all that can be made of it, some in every format; give the folder, and what became of each."""
    folder = tmp_path_factory.mktemp("figures") / "new" / "folder"
    list(make_figures(full, EVERY_FORMAT, folder.with_name("every"), formats=["png", "pdf"], seed=SEED))
    outcomes = make_figures(full, ["all"], folder, formats=["svg"], seed=SEED)
    return folder, {outcome.name: outcome for outcome in outcomes}


def table(folder: Path, name: str) -> Rows:
    with open(folder / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def some(rows: Rows, **values: str) -> Rows:
    return [row for row in rows if all(row[column] == value for column, value in values.items())]


def column(rows: Rows, name: str) -> NDArray[np.float64]:
    return np.array([float(row[name] or "nan") for row in rows])


def make(path: Path, names: list[str], folder: Path, **options: Any) -> list[Outcome]:
    with Archive(path) as source:
        return list(make_figures(source, names, folder, formats=options.pop("formats", ["svg"]), **options))


# What is written


def test_every_figure_and_table_is_made(made: tuple[Path, dict[str, Outcome]]) -> None:
    folder, outcomes = made
    figures = [f"figure {number}" for number in FIGURES]
    assert list(outcomes) == [*figures, "table_spaces", "table_populations", "table_comparisons", "table_points"]
    assert {name.split()[1].rstrip("abcd") for name in figures} == {str(number) for number in range(1, 17)}
    for outcome in outcomes.values():
        assert outcome.reason is None
        assert outcome.missing == []
    written = sorted(file for outcome in outcomes.values() for file in outcome.files)
    assert written == sorted(path.name for path in folder.iterdir())
    assert {"figure_01.svg", "figure_16d.csv", "table_points.md"} <= set(written)


@pytest.mark.parametrize("number", EVERY_FORMAT)
def test_a_figure_is_a_picture_and_a_pdf_too(made: tuple[Path, Any], number: str) -> None:
    picture = imread(made[0].with_name("every") / f"figure_{number:0>2}.png")
    assert picture.shape[1] >= 600
    assert np.ptp(picture[..., :3]) == 1  # from black to white
    pdf = (made[0].with_name("every") / f"figure_{number:0>2}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")


@pytest.mark.parametrize("number", FIGURES)
def test_the_files_of_a_figure_are_whole(made: tuple[Path, dict[str, Outcome]], number: str) -> None:
    folder, outcomes = made
    svg, numbers = (folder / file for file in outcomes[f"figure {number}"].files)
    text = " ".join("".join(element.itertext()) for element in ET.parse(svg).iter())
    assert "(a)" in text
    rows = table(folder, numbers.stem)
    assert {"panel", "population"} <= set(rows[0])
    assert all(None not in row and None not in row.values() for row in rows)  # as many cells as columns
    assert {row["panel"] for row in rows} == set("abc"[: len(outcomes[f"figure {number}"].settings)])


@pytest.mark.slow
def test_no_legend_covers_a_panel_and_no_text_is_cut_or_runs_into_another(full: Archive) -> None:
    reading = FigureSource(full)
    for entry in FIGURES.values():
        with mpl.rc_context(STYLE):
            page = entry.draw(reading, list(entry.choose(full.names)[0]))
            settle(page)
            whole = page.figure.get_tightbbox()
            assert min(whole.x0, whole.y0) > 0, entry.name
            assert whole.x1 < page.figure.get_figwidth(), entry.name
            assert whole.y1 < page.figure.get_figheight(), entry.name
            legends = [*page.figure.legends, *(axes.get_legend() for axes in page.axes)]
            for legend in filter(None, legends):
                assert not any(legend.get_window_extent().overlaps(axes.bbox) for axes in page.axes), entry.name
            for axes in page.axes:
                heading = headings(axes)
                assert not any(heading[0].overlaps(other) for other in heading[1:]), entry.name
            for left, right in pairwise(map(headings, page.axes)):
                assert not any(one.overlaps(other) for one in left for other in right), entry.name


def headings(axes: Axes) -> list[Bbox]:
    """Say where the title and the setting of a panel are, and the label of its y axis, which must not rise to them."""
    title: Text = axes._left_title  # type: ignore[attr-defined]
    texts = [title, *axes.texts, axes.yaxis.label]
    return [text.get_window_extent() for text in texts if text.get_text()]


def test_the_same_seed_gives_the_same_bytes(full: Archive, made: tuple[Path, Any], tmp_path: Path) -> None:
    list(make_figures(full, EVERY_FORMAT, tmp_path, seed=SEED))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 8
    for file in files:
        folder = made[0].with_name("every") if file.endswith((".png", ".pdf")) else made[0]
        assert (folder / file).read_bytes() == (tmp_path / file).read_bytes()


def test_another_seed_draws_other_models(full: Archive, tmp_path: Path) -> None:
    for seed in (0, 3):
        list(make_figures(full, ["2"], tmp_path / str(seed), seed=seed, formats=[]))
    one, other = (some(table(tmp_path / str(seed), "figure_02"), series="EDF of M") for seed in (0, 3))
    assert [row["error_percent"] for row in one] != [row["error_percent"] for row in other]


# The numbers


@pytest.mark.parametrize(
    ("number", "panel", "given", "bins", "names"),
    [
        ("01", "c", "params", 40, ("resnet-b", "resnext-b")),
        ("03", "a", "none", 40, ("resnext-a", "resnext-b")),
        ("03", "c", "flops", 40, ("resnext-a", "resnext-b")),
        ("06", "a", "params", 10, ("vanilla", "resnet")),
        ("09", "b", "flops", 20, ("nasnet", "amoeba", "pnas", "enas", "darts")),
        ("11", "a", "params", 20, ("nasnet", "darts", "resnext-a", "resnext-b")),
        ("16a", "a", "params", 8, ("nasnet_in", "amoeba_in", "pnas_in", "enas_in", "darts_in")),
        ("16c", "b", "flops", 5, ("nasnet_in", "darts_in", "resnext-a_in", "resnext-b_in")),
    ],
)
def test_edfs_are_those_of_the_library(
    full: Archive, made: tuple[Path, Any], number: str, panel: str, given: str, bins: int, names: tuple[str, ...]
) -> None:
    rows = [row for row in some(table(made[0], f"figure_{number}"), panel=panel) if row["population"]]
    assert {row["population"] for row in rows} == set(names)
    setting: dict[str, Any] = {"given": rows[0]["given"]}
    if given != "none":
        setting |= {"bins": int(rows[0]["bins"]), "range": (float(rows[0]["range_low"]), float(rows[0]["range_high"]))}
        assert setting["bins"] <= bins
    assert rows[0]["given"] == given
    for member in select(full, names, **setting).populations:
        errors, heights = edf(member.errors, member.weights)
        curve = some(rows, population=member.name)
        assert column(curve, "error_percent").tolist() == errors.tolist()  # to the last digit
        assert column(curve, "edf_share").tolist() == heights.tolist()


@pytest.mark.parametrize(
    ("number", "panel", "most"), [("06", "b", 12), ("10", "a", 9), ("10", "b", 9), ("16b", "a", 5)]
)
def test_search_curves_are_those_of_the_library(
    full: Archive, made: tuple[Path, Any], number: str, panel: str, most: int
) -> None:
    rows = some(table(made[0], f"figure_{number}"), panel=panel)
    names = list(dict.fromkeys(row["population"] for row in rows))
    ends = float(rows[0]["range_low"]), float(rows[0]["range_high"])
    chosen = select(full, names, given=rows[0]["given"], bins=int(rows[0]["bins"]), range=ends)
    for member in chosen.populations:
        curve = some(rows, population=member.name)
        best = best_of(member.errors, 2 ** np.arange(most + 1), member.weights)
        assert column(curve, "models_drawn").tolist() == best.m.tolist()
        assert column(curve, "expected_min_error_percent").tolist() == best.error.tolist()
        assert column(curve, "spread_points").tolist() == best.spread.tolist()
        assert column(curve, "error_of_95_percent_of_searches_percent").tolist() == best.quantiles[0.95].tolist()


def test_the_points_of_figure_1_are_best_models(full: Archive, made: tuple[Path, Any]) -> None:
    rows = table(made[0], "figure_01")
    for name in ("resnet-b", "resnext-b"):
        errors, params = full.read(name, "error"), full.read(name, "params")
        (point,) = some(rows, panel="a", population=name)
        curve = some(rows, panel="b", population=name)
        assert 2 <= len(curve) <= 5
        assert np.diff(column(curve, "params")).min() > 0
        for row in curve:  # no better model has about as many params
            at = params == float(row["params"])
            assert float(row["error_percent"]) in errors[at]
        assert float(point["error_percent"]) == column(curve, "error_percent").min()


def test_figure_2_is_the_exact_law(full: Archive, made: tuple[Path, dict[str, Outcome]]) -> None:
    rows, errors = table(made[0], "figure_02"), full.read("resnet", "error")
    small, large = MODELS // 50, MODELS // 5
    assert f"B = {small}, M = {large} rather than 100, 1,000, as there are {MODELS} models" in made[1]["figure 2"].notes
    wins = who_wins(errors, small, large=large)
    law = some(rows, series="law of min(B) - min(M)")
    values, probabilities = difference(errors, small, large=large)
    assert column(law, "difference_points").tolist() == values.tolist()
    assert column(law, "probability").tolist() == probabilities.tolist()
    for winner, probability in (("small", wins.small_wins), ("large", wins.large_wins), ("tie", wins.tie)):
        (row,) = some(rows, winner=winner)
        assert float(row["probability"]) == probability
        assert row["trials"] == "5000"
        assert abs(float(row["share_of_trials"]) - probability) < 5 * 0.5 / np.sqrt(5000)
    samples = [some(rows, series=f"EDF of {part}") for part in "BM"]
    errors_of = [repeated(sample, size) for sample, size in zip(samples, (small, large), strict=True)]
    assert [len(sample) for sample in errors_of] == [small, large]
    assert float(samples[0][0]["ks_statistic"]) == pytest.approx(ks(*errors_of).statistic, abs=1e-12)


def repeated(curve: Rows, models: int) -> NDArray[np.float64]:
    """Give the errors of models from their EDF."""
    times = np.diff(column(curve, "edf_share"), prepend=0) * models
    return np.repeat(column(curve, "error_percent"), np.rint(times).astype(int))


def test_the_papers_sizes_are_taken_where_there_are_enough_models(tmp_path: Path) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["resnet"], 2000)
    (outcome,) = make(path, ["2"], tmp_path / "o", formats=[])
    assert "B = 100, M = 1,000" in outcome.settings[0]
    assert outcome.notes == []


def test_figure_7_has_the_distances_of_the_library(full: Archive, made: tuple[Path, dict[str, Outcome]]) -> None:
    rows = table(made[0], "figure_07")
    sizes = [2**power for power in range(15) if 2**power <= MODELS]
    distances = some(rows, series="distance")
    assert column(distances, "models").tolist() == sizes
    expected = expected_distance_to_population(np.array(sizes), MODELS)
    assert column(distances, "expected_d_to_population_share").tolist() == expected.tolist()
    assert abs(column(distances, "simulated_mean_d_share") - expected).max() < 0.15
    assert {row["models"] for row in some(rows, series="EDF")} == {"10", "100", str(MODELS)}
    assert made[1]["figure 7"].notes == [f"without n = 1,000, 10,000, as there are {MODELS} models"]


@pytest.mark.parametrize("number", ["05", "08"])
def test_histograms_count_every_model_once(full: Archive, made: tuple[Path, Any], number: str) -> None:
    rows = table(made[0], f"figure_{number}")
    for panel, by in (("a", "params"), ("b", "flops")):
        shown = some(rows, panel=panel)
        names = list(dict.fromkeys(row["population"] for row in shown))
        counts = {name: full.read(name, by).astype(float) for name in names}
        end = max(values.max() for values in counts.values())
        found = histogram(counts, 0, min(end, BOUNDS["cifar10"][by]), 36)
        for name in names:
            bins = some(shown, population=name)
            assert column(bins, "models").tolist() == found.counts[name].tolist()
            assert column(bins, "models").sum() + float(bins[0]["models_outside"]) == MODELS
            assert float(bins[0]["low_count"]) == 0


def test_figures_4_12_and_15_show_the_models(full: Archive, made: tuple[Path, Any]) -> None:
    scatter = some(table(made[0], "figure_04"), panel="b", population="resnext-a")
    rows = column(scatter, "row").astype(int)
    assert column(scatter, "complexity_count").tolist() == full.read("resnext-a", "flops")[rows].tolist()
    assert column(scatter, "error_percent").tolist() == full.read("resnext-a", "error")[rows].tolist()
    ranks = some(table(made[0], "figure_12"), population="darts_lr-wd")
    assert column(ranks, "rank_share").tolist() == error_ranks(full.read("darts_lr-wd", "error")).tolist()
    assert column(ranks, "learning_rate").tolist() == full.read("darts_lr-wd", "lr").tolist()
    buckets = some(table(made[0], "figure_15"), panel="a", population="resnext-b")
    found = bucket_means(full.read("resnext-b", "error"), full.read("resnext-b", "params"), 0.02e6, 0.856e6, 20)
    assert column(buckets, "models").tolist() == found.counts.tolist()
    assert np.array_equal(column(buckets, "mean_error_percent"), found.mean, equal_nan=True)
    assert np.array_equal(column(buckets, "sd_points"), found.sd, equal_nan=True)


def test_figures_13_and_14_are_about_seeds(full: Archive, made: tuple[Path, Any]) -> None:
    rerun = some(table(made[0], "figure_13"), population="resnet_reruns_mid")
    errors = full.read("resnet_reruns_mid", "error")
    assert float(rerun[0]["sd_points"]) == seed_noise(errors).sd
    assert column(rerun, "error_percent").tolist() == edf(errors)[0].tolist()
    runs = np.stack([full.read(f"vanilla_rng{i}", "error") for i in (1, 2, 3)], axis=1)
    for seeds, average in enumerate(average_over_seeds(runs), start=1):
        curve = some(table(made[0], "figure_14"), population="vanilla", seeds=str(seeds))
        assert column(curve, "error_percent").tolist() == edf(average)[0].tolist()


def test_two_bins_weigh_by_hand(tmp_path: Path) -> None:
    # Three models share the first bin, so they weigh a sixth each, and the last one a half.
    common = {"params": [100_000, 150_000, 200_000, 2_000_000]}
    populations = {
        name: stand_in(name, 4) | common | {"error": np.array(errors, float)}
        for name, errors in (("resnext-a", [10, 20, 20, 40]), ("resnext-b", [30, 30, 50, 90]))
    }
    about = dict.fromkeys(("title", "source", "license", "software", "commit", "created"), "made up")
    write(tmp_path / "a.h5", populations, about | {"recipe": "{}", "dataset": "digits"})
    with Archive(tmp_path / "a.h5") as source:
        page = edfs(FigureSource(source), ["resnext-a", "resnext-b"], Comparing(2, given=("params",)))
    write_csv(tmp_path / "n.csv", page.numbers)
    assert page.settings == ["(a) given params, 100 k to 2 M, 2 bins"]
    rows = some(table(tmp_path, "n"), population="resnext-a")
    assert column(rows, "error_percent").tolist() == [10, 20, 40]
    assert column(rows, "edf_share") == pytest.approx([1 / 6, 1 / 2, 1])


def test_numbers_keep_all_digits_and_what_is_not_known_is_blank() -> None:
    part = {"population": "a", "x": np.array([1 / 3, np.nan]), "n": np.array([2**60, 1])}
    assert rows_of(part, ["population", "x", "n", "other"]) == [
        ("a", "0.3333333333333333", "1152921504606846976", ""),
        ("a", "", "1", ""),
    ]


# The settings


def test_the_papers_ranges_are_for_its_images(full: Archive, tmp_path: Path) -> None:
    many = write_stand_ins(tmp_path / "c.h5", ["vanilla", "resnet"], 1000)
    own = write_stand_ins(tmp_path / "d.h5", ["vanilla", "resnet"], 1000, dataset="digits")
    (paper,), (other,) = (make(path, ["6"], tmp_path / path.stem, formats=[]) for path in (many, own))
    assert paper.settings[0] == "(a) EDFs given params, 24 k to 856 k, 10 bins"
    assert other.settings[0] != paper.settings[0]
    rows = table(tmp_path / "d", "figure_06")
    with Archive(own) as source:
        both = [source.read(name, "params") for name in ("vanilla", "resnet")]
    assert float(rows[0]["range_low"]) == max(values.min() for values in both)
    assert float(rows[0]["range_high"]) == min(values.max() for values in both)


def test_bins_that_would_be_empty_are_fewer_and_that_is_said(made: tuple[Path, dict[str, Outcome]]) -> None:
    settings = made[1]["figure 3"].settings
    assert "not normalised" in settings[0]
    assert all("(40 would leave some empty)" in setting for setting in settings[1:])
    text = "".join(ET.parse(made[0] / "figure_03.svg").getroot().itertext())
    assert "(40 would leave some empty)" in text


def test_the_range_on_imagenet_starts_at_the_largest_minimum(full: Archive, made: tuple[Path, Any]) -> None:
    rows = some(table(made[0], "figure_16a"), panel="a")
    smallest = [full.read(f"{name}_in", "params").min() for name in ("nasnet", "amoeba", "pnas", "enas", "darts")]
    assert float(rows[0]["range_low"]) == max(smallest)
    assert float(rows[0]["range_high"]) == 6.0e6
    assert rows[0]["bins"] == "8"


def test_other_errors_and_policies_are_read(tmp_path: Path) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["vanilla", "resnet"], 60)
    make(path, ["6"], tmp_path / "final", error="final", formats=[])
    rows = some(table(tmp_path / "final", "figure_06"), panel="a", population="resnet")
    with Archive(path) as source:
        known = set(source.read("resnet", "error_final").tolist())
        assert not known & set(source.read("resnet", "error").tolist())
    assert set(column(rows, "error_percent").tolist()) <= known


# What is not there


def test_resnet_stands_in_for_resnet_b_and_that_is_said(tmp_path: Path) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["resnet", "resnext-b"], 80)
    (outcome,) = make(path, ["1"], tmp_path / "o")
    assert outcome.populations == {"resnet": 80, "resnext-b": 80}
    assert outcome.notes == ["resnet in place of resnet-b", "EDFs: bins of equal width, as in the paper"]
    assert outcome.missing == []
    rows = table(tmp_path / "o", "figure_01")
    assert {row["population"]: row["in_place_of"] for row in rows} == {"resnet": "resnet-b", "resnext-b": ""}
    assert "resnet in place of resnet-b" in (tmp_path / "o" / "figure_01.svg").read_text()


def test_a_figure_is_made_of_those_that_there_are(tmp_path: Path) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["pnas", "enas", "darts"], 60)
    outcomes = {outcome.name: outcome for outcome in make(path, [], tmp_path / "o", formats=[])}
    assert outcomes["figure 9"].populations == {"pnas": 60, "enas": 60, "darts": 60}
    assert outcomes["figure 9"].missing == ["nasnet", "amoeba"]
    assert outcomes["figure 9"].line().endswith("missing nasnet, amoeba")
    assert outcomes["figure 3"].line() == "figure 3: left out: there is no resnext-a, no resnext-b"
    assert outcomes["figure 11"].line() == (
        "figure 11: left out: there is no nasnet, no resnext-a, no resnext-b; it needs 2 of them"
    )
    assert not list((tmp_path / "o").glob("figure_03*"))


@pytest.mark.parametrize("name", ["3", "03", "16", "16b"])
def test_a_figure_that_is_named_and_cannot_be_made_is_refused(tmp_path: Path, name: str) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["vanilla", "resnet"], 60)
    with pytest.raises(EdfkitError, match=r"Figure \d+b? cannot be made: there is no .*; give another archive\.$"):
        make(path, ["6", name], tmp_path / "o")
    assert not (tmp_path / "o").exists()  # before anything is drawn


def test_an_unknown_complexity_leaves_a_figure_out_or_is_refused(tmp_path: Path) -> None:
    populations = {name: stand_in(name, 60) for name in ("resnext-a", "resnext-b")}
    populations["resnext-a"]["flops"] = np.full(60, np.nan)
    about = dict.fromkeys(("title", "source", "license", "software", "commit", "created"), "made up")
    write(tmp_path / "a.h5", populations, about | {"recipe": "{}", "dataset": "CIFAR-10"})
    outcomes = {outcome.name: outcome for outcome in make(tmp_path / "a.h5", ["all"], tmp_path / "o", formats=[])}
    reason = str(outcomes["table_comparisons"].reason)
    assert reason.startswith("without the pairs of figure 3: The flops of 60 of")
    assert "The flops of 60 of the 60 resnext-a models are not known" in str(outcomes["figure 5"].reason)
    with pytest.raises(EdfkitError, match="The flops of 60"):
        make(tmp_path / "a.h5", ["5"], tmp_path / "o")


def test_seeds_of_other_models_are_no_average(tmp_path: Path) -> None:
    populations = {f"resnet_rng{i}": stand_in(f"resnet_rng{i}", 60) for i in (1, 2)}
    populations["resnet_rng2"]["params"] = populations["resnet_rng2"]["params"][::-1]
    about = dict.fromkeys(("title", "source", "license", "software", "commit", "created"), "made up")
    write(tmp_path / "a.h5", populations, about | {"recipe": "{}", "dataset": "digits"})
    with pytest.raises(EdfkitError, match="not the same models in the same order"):
        make(tmp_path / "a.h5", ["14"], tmp_path / "o")


@pytest.mark.parametrize("models", [1, 2])
def test_a_few_models_are_drawn_or_left_out_without_a_warning(tmp_path: Path, models: int) -> None:
    path = write_stand_ins(tmp_path / "a.h5", models=models)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcomes = make(path, ["all"], tmp_path / "o", formats=[])
    assert len(outcomes) == len(FIGURES) + 4
    assert [bool(outcome.files) for outcome in outcomes] == [outcome.reason is None for outcome in outcomes]


def test_which_figures_are_meant() -> None:
    assert wanted([]) == wanted(["all"]) == [*FIGURES, "tables"]
    assert wanted(["tables", "7", "02", "7"]) == ["2", "7", "tables"]
    assert wanted(["16"]) == ["16a", "16b", "16c", "16d"]
    assert wanted(["16B"]) == ["16b"]
    for name in ("0", "17", "1a", "", "x"):
        with pytest.raises(EdfkitError, match="give numbers from 1 to 16, tables, or all"):
            wanted([name])


def test_an_unknown_format_is_refused(full: Archive, tmp_path: Path) -> None:
    with pytest.raises(EdfkitError, match="There are no figures as gif; choose from png, svg, pdf"):
        list(make_figures(full, ["2"], tmp_path, formats=["gif"]))


# Tables


def test_comparisons_are_those_of_the_library(full: Archive, made: tuple[Path, Any]) -> None:
    rows = table(made[0], "table_comparisons")
    assert [len(some(rows, figure=number)) for number in ("1", "3", "6", "9", "11")] == [1, 3, 1, 20, 12]
    (row,) = some(rows, figure="3", given="flops")
    ends = float(row["range_low"]), float(row["range_high"])
    chosen = select(full, [row["a"], row["b"]], given="flops", bins=int(row["bins"]), range=ends)
    a, b = chosen.populations
    assert float(row["ks_statistic"]) == ks(a.errors, b.errors, a.weights, b.weights).statistic
    for number, given in (("3", "flops"), ("9", "params"), ("3", "none")):
        chosen_rows = some(rows, figure=number, given=given)
        names = list(dict.fromkeys(name for row in chosen_rows for name in (row["a"], row["b"])))
        compared = compare_populations(full, names, given=given, seed=SEED).pairs
        assert [(row["a"], row["b"]) for row in chosen_rows] == [(pair.a, pair.b) for pair in compared]
        for row, pair in zip(chosen_rows, compared, strict=True):
            assert_is_the_finding(row, pair)
    assert not {"p_value", "p_method", "p_holm"} & set(rows[0])


def assert_is_the_finding(row: dict[str, str], pair: Pair) -> None:
    """Hold a row of a table against what is found of a pair by strata."""
    assert pair.estimates is not None
    assert pair.estimates.mean is not None
    better, mean = pair.estimates.better, pair.estimates.mean
    assert (row["better"], row["not_compared"]) == (pair.better, "")
    ends = [better.prob, better.low, better.high, mean.estimate, mean.low, mean.high]
    columns = [f"prob_a_better{end}" for end in ("", "_low", "_high")]
    columns += [f"mean_difference{end}_points" for end in ("", "_low", "_high")]
    assert [float(row[column]) for column in ("p_adjusted", *columns)] == [pair.p_adjusted, *ends]


def test_figures_of_edfs_have_the_findings_by_strata_below(
    full: Archive, made: tuple[Path, dict[str, Outcome]]
) -> None:
    for number, file in (("3", "03"), ("11", "11")):
        outcome = made[1][f"figure {number}"]
        assert "EDFs: bins of equal width, as in the paper; findings below: strata" in outcome.notes
        said = " ".join(
            " ".join("".join(one.itertext()).split()) for one in ET.parse(made[0] / f"figure_{file}.svg").iter()
        )
        rows = [row for row in table(made[0], f"figure_{file}") if row["a"]]
        for given in dict.fromkeys(row["given"] for row in rows):
            pairs = compare_populations(full, list(outcome.populations), given=given, seed=SEED).pairs
            shown = some(rows, given=given)
            assert [(row["a"], row["b"]) for row in shown] == [(pair.a, pair.b) for pair in pairs]
            for row, pair in zip(shown, pairs, strict=True):
                assert_is_the_finding(row, pair)
            opening = "not normalised:" if given == "none" else f"at equal {given}:"
            assert opening in said


def compared(**errors: Any) -> str:
    """Write what is found of populations of one law of complexity."""
    params = np.random.default_rng(5).integers(20_000, 300_000, 150)
    source = InMemory({name: {"params": params[: len(values)], "error": values} for name, values in errors.items()})
    return findings(compare_populations(source, list(errors)).pairs)


def test_findings_are_written_in_a_line() -> None:
    rng = np.random.default_rng(4)
    low, high = (rng.normal(mean, 4, 150) for mean in (20, 40))
    high_too = rng.permutation(high)
    assert compared(a=high, b=high_too) == "at equal params: none shown to be better"
    assert compared(a=low, b=high) == "at equal params: a better, 99.9 % (98.1 to > 99.9)"
    assert compared(a=high, b=low, c=high_too) == "at equal params: b better than a, c"
    assert compared(a=low[:3], b=high, c=high_too) == "at equal params: none shown; too few models: a and b, a and c"
    wide = np.concatenate([high[:75] - 15, high[75:] + 15])
    assert compared(a=high, b=high_too, c=wide) == "at equal params: none shown; differ in shape: a and c, b and c"


def test_a_pair_that_cannot_be_compared_is_said() -> None:
    with Archive(BUNDLED["digits"]) as source:
        pairs = compare_populations(source, ["resnet", "resnet_rng1", "vanilla"]).pairs
        assert findings(pairs).endswith("; not comparable: resnet and resnet_rng1")
        assert findings(pairs[:1]) == "at equal params: not comparable"
        row = in_columns(pairs[0])
    assert (row["better"], row["p_adjusted"]) == ("", None)
    assert row["not_compared"].startswith("resnet and resnet_rng1 have 100 networks in common")


def test_populations_and_best_models_are_described(full: Archive, made: tuple[Path, Any]) -> None:
    summaries, points = table(made[0], "table_populations"), table(made[0], "table_points")
    assert [row["population"] for row in summaries] == [row["population"] for row in points] == sorted(ALL)
    (resnet,) = some(summaries, population="resnet")
    errors = full.read("resnet", "error")
    assert float(resnet["min_error_percent"]) == errors.min()
    assert float(resnet["mean_error_percent"]) == pytest.approx(errors.mean(), abs=1e-12)
    assert float(resnet["q05_error_percent"]) == np.sort(errors)[int(np.ceil(0.05 * MODELS)) - 1]
    assert float(resnet["params_max"]) == full.read("resnet", "params").max()
    (best,) = some(points, population="resnet")
    assert best["id"] == f"resnet-{errors.argmin()}"
    assert float(best["flops"]) == full.read("resnet", "flops")[errors.argmin()]


def test_tables_are_to_be_read(tmp_path: Path) -> None:
    rows = [
        {"name": "a|b", "n": 25_000, "x": 1 / 3, "bins": 5, "p_adjusted": 0.0},
        {"name": "c", "n": 10**17, "x": float("nan"), "bins": "", "p_adjusted": 0.5},
    ]
    write_markdown(tmp_path / "t.md", "some numbers", rows)
    assert (tmp_path / "t.md").read_text().splitlines() == [
        "# Some numbers",
        "",
        "| name |          n |      x | bins | p adjusted |",
        "| ---- | ---------: | -----: | ---: | ---------: |",
        "| a\\|b |     25,000 | 0.3333 |    5 |    < 1e-16 |",
        "| c    | 1.0000e+17 |        |      |        0.5 |",
    ]


# The command


def run(*arguments: object) -> Any:
    return CliRunner().invoke(edfkit, ["figures", *map(str, arguments)])


def test_the_command_prints_a_line_a_figure(tmp_path: Path) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["resnet", "nasnet"], 60)
    done = run("--archive", path, "-o", tmp_path / "o", "--format", "png,svg")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert len(lines) == 1 + len(FIGURES) + 4
    assert lines[2].startswith("figure 2: what the best of a few models says; 60 resnet; (a) min(B) - min(M), B = 1")
    assert lines[3] == "figure 3: left out: there is no resnext-a, no resnext-b"
    assert {path.suffix for path in (tmp_path / "o").glob("figure_02.*")} == {".png", ".svg", ".csv"}
    spaces = {row["space"]: row for row in table(tmp_path / "o", "table_spaces")}
    assert spaces["resnet"]["configurations"] == "1259712"
    assert spaces["nasnet"]["cells"] == "71465842174521600"
    assert list(spaces) == [space for space in SPACES if space in ("resnet", "nasnet")]


def test_the_command_prints_json(tmp_path: Path) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["resnet"], 60)
    done = run("2", "--archive", path, "-o", tmp_path / "o", "--format", "svg", "--format", "png", "--json")
    found = json.loads(done.output)
    assert found["archive"]["dataset"] == "CIFAR-10"
    assert (found["error"], found["diverged"], found["seed"]) == ("best", "keep", 0)
    (figure,) = found["made"]
    assert figure["name"] == "figure 2"
    assert figure["files"] == ["figure_02.png", "figure_02.svg", "figure_02.csv"]
    assert figure["populations"] == {"resnet": 60}
    assert figure["reason"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["99"], "There is no figure '99'; give numbers from 1 to 16, tables, or all."),
        (["2", "--format", "gif"], "--format was 'gif', expected some of png, svg, pdf, such as png,pdf."),
    ],
)
def test_wrong_usage_is_said(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run(*arguments, "-o", tmp_path)
    assert done.exit_code == 2
    assert message in done.output


def fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """Run the command as from a shell; give what it says on standard error."""
    monkeypatch.setattr("sys.argv", ["edfkit", "figures", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run_edfkit()
    assert stop.value.code == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    return sentence


def test_failures_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["mine"], 30)
    said = fails(capsys, monkeypatch, "3", "--archive", path, "-o", tmp_path / "o")
    assert said == "edfkit: Figure 3 cannot be made: there is no resnext-a, no resnext-b; give another archive."
    said = fails(capsys, monkeypatch, "--archive", path, "-o", tmp_path / "o")
    assert said.endswith("none of the populations that these figures need, but only mine; give another archive.")
    (tmp_path / "file").write_text("in the way")
    known = write_stand_ins(tmp_path / "b.h5", ["resnet"], 30)
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        said = fails(capsys, monkeypatch, "2", "--archive", known, "-o", place)
        assert said.startswith(f"edfkit: The folder {place} cannot be made (")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_folder_in_the_place_of_a_file_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["resnet"], 30)
    (tmp_path / "o" / "figure_02.csv").mkdir(parents=True)
    said = fails(capsys, monkeypatch, "2", "--archive", path, "-o", tmp_path / "o", "--format", "svg")
    assert said.startswith(f"edfkit: The table {tmp_path / 'o' / 'figure_02.csv'} cannot be written (")
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["figure_02.csv", "figure_02.svg"]


def test_a_full_disk_leaves_nothing_half_written(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_stand_ins(tmp_path / "a.h5", ["resnet", "vanilla"], 200)
    said = fails(capsys, monkeypatch, "--archive", path, "-o", small_disk / "o", "--format", "png,pdf")
    assert "cannot be written (No space left on device)" in said
    for file in (small_disk / "o").iterdir():
        assert file.suffix in (".png", ".pdf", ".csv")  # no temporary one
        if file.suffix == ".png":
            assert imread(file).size
        if file.suffix == ".pdf":
            assert file.read_bytes().rstrip().endswith(b"%%EOF")


# Published files


def test_the_published_files_give_figures_12_13_and_16(published: Path, tmp_path: Path) -> None:
    source = Published(published)
    outcomes = {outcome.name: outcome for outcome in make_figures(source, ["all"], tmp_path, formats=["svg"])}
    made = {name for name, outcome in outcomes.items() if outcome.files and name.startswith("figure")}
    assert made == {f"figure {number}" for number in ("12", "13", "16a", "16b", "16c", "16d")}
    assert outcomes["figure 12"].notes == ["resnet_lr-wd_in in place of resnet_lr-wd"]
    assert outcomes["figure 16a"].missing == ["amoeba_in", "pnas_in"]
    assert "118 M to 600 M, 8 bins" in outcomes["figure 16a"].settings[1]
    seeds = some(table(tmp_path, "figure_13"), population="resnet_reruns_top")
    assert (seeds[0]["seeds"], round(float(seeds[0]["mean_error_percent"]), 2)) == ("100", 5.09)
    best = {row["population"]: float(row["error_percent"]) for row in table(tmp_path, "table_points")}
    assert (best["darts_in"], best["resnext-b_in"]) == (28.0, 27.454)
