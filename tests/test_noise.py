import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import stats
from strategies import counted, errors

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.datasets import locate
from edfkit.stats.edf import Floats
from edfkit.stats.epochs import (
    at_epochs,
    best_against_last,
    error_ranks,
    rank_correlation,
    rank_interval,
    selection_optimism,
)
from edfkit.stats.noise import average_over_seeds, noise_share, noise_share_from_sd, seed_noise
from edfkit.stats.rates import default_rank, rate_map


@st.composite
def tables(draw: st.DrawFn, rows: int = 1, columns: int = 1, most: int = 8) -> Floats:
    """Errors, models by seeds or epochs, with ties."""
    shape = draw(st.integers(rows, most)), draw(st.integers(columns, most))
    size = shape[0] * shape[1]
    return draw(errors(size, size)).reshape(shape)


def without_each(values: Floats) -> Iterator[Floats]:
    for i in range(len(values)):
        yield np.delete(values, i, axis=0)


def jackknife(values: Floats, statistic: Callable[[Floats], float]) -> list[float]:
    """The textbook's, model by model, at the level 0.95."""
    n = len(values)
    pseudo = np.array([n * np.log(statistic(values)) - (n - 1) * np.log(statistic(v)) for v in without_each(values)])
    reach = stats.t.ppf(0.975, n - 1) * stats.sem(pseudo)
    return [math.exp(pseudo.mean() - reach), math.exp(min(pseudo.mean() + reach, 700))]


def reruns(folder: Path) -> dict[str, Floats]:
    """The test error curves of the published reruns, seeds by epochs."""
    return {
        f"{space}_{part}": np.array([record["test_ep_top1"] for record in records])
        for space in ("ResNet", "Vanilla")
        for part, records in json.loads((folder / f"{space}_reruns.json").read_text()).items()
    }


# --- Noise between seeds


def test_seed_noise_by_hand() -> None:
    # Mean 4, deviations -3, -1, 1, 3: variance 20 / 3. Fourth moment 41, second 5: 41 / 25 - 3.
    noise = seed_noise([1, 3, 5, 7])
    assert (noise.seeds, noise.mean, noise.min, noise.max) == (4, 4, 1, 7)
    assert noise.sd == pytest.approx(math.sqrt(20 / 3))
    assert noise.excess_kurtosis == pytest.approx(-1.36)
    assert noise.quantiles[0.5] == 4
    assert noise.quantiles[0.25] == 2.5
    # The 0.025 and 0.975 quantiles of chi-square with 3 degrees of freedom, from a table.
    assert noise.sd_interval_normal == pytest.approx((math.sqrt(20 / 9.3484), math.sqrt(20 / 0.2158)), rel=1e-4)


@given(errors(min_size=4))
def test_the_interval_of_the_noise_is_the_textbook_jackknife(sample: Floats) -> None:
    assume(all(np.ptp(v) > 0 for v in without_each(sample)))
    noise = seed_noise(sample)
    assert_allclose(np.square(noise.sd_interval), jackknife(sample, lambda v: float(v.var(ddof=1))), rtol=1e-5)
    assert noise.excess_kurtosis == pytest.approx(stats.kurtosis(sample))


@given(errors(min_size=3), st.integers(0, 100))
def test_seed_noise_follows_scale_and_mirror(sample: Floats, shift: int) -> None:
    noise, mirrored, halved = seed_noise(sample), seed_noise(100 - sample), seed_noise(sample / 2 + shift / 2)
    assert_allclose([mirrored.sd, *mirrored.sd_interval], [noise.sd, *noise.sd_interval], rtol=1e-6, atol=1e-9)
    assert_allclose([halved.sd, *halved.sd_interval], [noise.sd / 2, *np.divide(noise.sd_interval, 2)], rtol=1e-6)
    narrow = seed_noise(sample, conf=0.5)
    assert narrow.sd_interval_normal[0] >= noise.sd_interval_normal[0]
    assert narrow.sd_interval_normal[1] <= noise.sd_interval_normal[1]


def test_noise_that_does_not_show_has_no_jackknife_interval() -> None:
    agreed = seed_noise([5.1, 5.1, 5.1])
    assert agreed.sd == 0
    for noise in (agreed, seed_noise([5.1, 5.1, 5.1, 6]), seed_noise([5, 6])):
        assert all(map(math.isnan, noise.sd_interval))
    assert math.isnan(agreed.excess_kurtosis)
    assert agreed.to_dict()["sd_interval"] == [None, None]
    assert agreed.to_dict()["excess_kurtosis"] is None


def test_published_reruns_spread_by_013_to_025_points(published: Path) -> None:
    noise = {name: seed_noise(curves.min(axis=1)) for name, curves in reruns(published).items()}
    assert {name: (n.seeds, round(n.mean, 2), round(n.sd, 3)) for name, n in noise.items()} == {
        "ResNet_top": (100, 5.09, 0.133),
        "ResNet_mid": (100, 6.55, 0.252),
        "Vanilla_top": (100, 5.25, 0.132),
        "Vanilla_mid": (100, 8.93, 0.190),
    }
    # Where one seed is far out, the normal interval is too short; elsewhere the two agree.
    ratios = {name: np.ptp(n.sd_interval) / np.ptp(n.sd_interval_normal) for name, n in noise.items()}
    assert noise["ResNet_mid"].excess_kurtosis == pytest.approx(6.84, abs=0.01)
    assert ratios.pop("ResNet_mid") > 2
    assert all(0.9 < ratio < 1.2 for ratio in ratios.values())


@pytest.mark.slow
@pytest.mark.parametrize(("law", "low", "high"), [("normal", 0.93, 0.97), ("exponential", 0.89, 0.95)])
def test_the_interval_of_the_noise_covers_the_truth(law: str, low: float, high: float) -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(2000, 100)) if law == "normal" else rng.exponential(size=(2000, 100))
    intervals = np.array([seed_noise(20 + 2 * sample).sd_interval for sample in draws])
    assert low < np.mean((intervals[:, 0] < 2) & (intervals[:, 1] > 2)) < high


# --- Averages over seeds


def test_averages_over_one_two_and_three_seeds_by_hand() -> None:
    assert average_over_seeds([[3, 6, 9], [1, 0, 5]]).tolist() == [[3, 1], [4.5, 0.5], [6, 2]]


@given(tables())
def test_averages_over_seeds_equal_the_means(table: Floats) -> None:
    averages = average_over_seeds(table)
    assert averages.shape == table.T.shape
    for k, average in enumerate(averages, 1):
        assert_allclose(average, table[:, :k].mean(axis=1), atol=1e-12)
    assert_array_equal(average_over_seeds(np.repeat(table[:, :1], 7, axis=1)), np.repeat(table[:, :1].T, 7, axis=0))


# --- Share of the noise


def test_noise_share_by_hand() -> None:
    # Means 2 and 8, variances 2 and 2: W = 2, M = 2 * 18 = 36, model variance (36 - 2) / 2 = 17.
    share = noise_share([[1, 3], [7, 9]])
    assert (share.models, share.seeds, share.noise_variance, share.model_variance) == (2, 2, 2, 17)
    assert share.share == pytest.approx(2 / 19)
    assert share.share_of_average == pytest.approx(1 / 18)
    assert share.to_dict()["interval"] == [None, None]  # two models


@given(tables(rows=4, columns=2))
def test_noise_share_is_the_analysis_of_variance(table: Floats) -> None:
    s = table.shape[1]
    assume(np.ptp(table) > 0)
    share = noise_share(table)
    assert 0 <= share.share <= 1
    # Together the two variances are those of the seeds one by one: means of M and W with weights 1 and s - 1.
    between, within = s * table.mean(axis=1).var(ddof=1), table.var(axis=1, ddof=1).mean()
    assert share.noise_variance + share.model_variance == pytest.approx((between + (s - 1) * within) / s)

    def f(rows: Floats) -> float:
        return float(stats.f_oneway(*rows).statistic)

    def shows(rows: Floats) -> bool:
        return bool(np.ptp(rows.mean(axis=1)) > 1e-9 and np.ptp(rows, axis=1).max() > 0)

    assume(all(shows(rows) for rows in without_each(table)))
    assert share.share == pytest.approx(min(1, s / (f(table) + s - 1)))
    assert share.share_of_average == pytest.approx(min(1, 1 / f(table)))
    low, high = jackknife(table, f)
    assert share.interval == pytest.approx((min(1, s / (high + s - 1)), min(1, s / (low + s - 1))), rel=1e-4)


@given(tables(rows=2, columns=2))
def test_noise_share_does_not_depend_on_order_or_scale(table: Floats) -> None:
    assume(np.ptp(table) > 0)
    share = noise_share(table)
    for same in (table[::-1], table[:, ::-1], 100 - table, table / 4 + 3):
        assert noise_share(same).share == pytest.approx(share.share, abs=1e-9)


def test_noise_share_at_its_ends() -> None:
    silent = noise_share([[1, 1], [2, 2], [4, 4]])
    assert (silent.share, silent.share_of_average, silent.noise_variance) == (0, 0, 0)
    assert all(map(math.isnan, silent.interval))
    alike = noise_share([[1, 3], [3, 1], [1, 3]])  # equal means: the model variance comes out below 0
    assert (alike.share, alike.share_of_average, alike.model_variance) == (1, 1, -1)


def test_noise_share_from_a_measured_sd_by_hand() -> None:
    # The variance of 1, 3, 5, 7 is 20 / 3.
    share = noise_share_from_sd([1, 3, 5, 7], 1)
    assert share.share == share.share_of_average == pytest.approx(0.15)
    assert (share.models, share.seeds, share.noise_variance) == (4, 1, 1)
    low, high = jackknife(np.array([1.0, 3, 5, 7]), lambda v: float(v.var(ddof=1)))
    assert share.interval == pytest.approx((1 / high, min(1, 1 / low)))
    assert noise_share_from_sd([1, 3, 5, 7], 0).share == 0
    assert noise_share_from_sd([1, 3, 5, 7], 9).share == 1


def simulated(rng: np.random.Generator, models: int, skewed: bool) -> Floats:
    """Three seeds of models with variance 4, noise of variance 1: a share of 0.2. Skewed: worse models are noisier."""
    noise = rng.normal(size=(models, 3))
    if not skewed:
        return 50 + 2 * rng.normal(size=(models, 1)) + noise
    quality = rng.exponential(size=(models, 1))
    return 20 + 2 * quality + quality / math.sqrt(2) * noise


@pytest.mark.parametrize("skewed", [False, True])
def test_noise_share_finds_the_variances_put_in(skewed: bool) -> None:
    table = simulated(np.random.default_rng(3), 4000, skewed)
    share = noise_share(table, conf=0.9999)
    assert share.noise_variance == pytest.approx(1, rel=0.15)
    assert share.model_variance == pytest.approx(4, rel=0.15)
    assert share.interval[0] < 0.2 < share.interval[1]
    once = noise_share_from_sd(table[:, 0], 1, conf=0.9999)
    assert once.interval[0] < 0.2 < once.interval[1]
    # Averages over three seeds hold a third of the noise.
    assert share.share_of_average == pytest.approx(1 / 3 / (4 + 1 / 3), rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(("skewed", "low", "high"), [(False, 0.93, 0.97), (True, 0.89, 0.95)])
def test_the_interval_of_the_share_covers_the_truth(skewed: bool, low: float, high: float) -> None:
    rng = np.random.default_rng(4)
    shares = [noise_share(simulated(rng, 200, skewed)) for _ in range(2000)]
    assert low < np.mean([share.interval[0] < 0.2 < share.interval[1] for share in shares]) < high
    assert np.mean([share.noise_variance for share in shares]) == pytest.approx(1, abs=0.02)
    assert np.mean([share.model_variance for share in shares]) == pytest.approx(4, abs=0.05)


def test_between_two_published_models_noise_is_a_small_share(published: Path) -> None:
    curves = reruns(published)
    table = np.array([curves["ResNet_top"].min(axis=1), curves["ResNet_mid"].min(axis=1)])
    share = noise_share(table)
    assert share.noise_variance == pytest.approx((0.1325**2 + 0.2521**2) / 2, rel=1e-2)
    assert 0.03 < share.share < 0.04


# --- Best epoch and last epoch


def test_best_against_last_by_hand() -> None:
    gain = best_against_last([5, 4, 8], [5, 6, 9])
    assert (gain.models, gain.mean, gain.median, gain.unchanged) == (3, 1, 1, 1)
    assert gain.rank_correlation == pytest.approx(0.5)  # ranks 2, 1, 3 and 1, 2, 3
    assert gain.to_dict()["quantiles"]["0.5"] == 1


def test_two_spellings_of_one_error_are_equal() -> None:
    # As in the published files: 465 of 10,000 images, twice.
    assert best_against_last([4.65, 7], [4.650002, 7]).unchanged == 2
    assert best_against_last([4.650002, 7], [4.65, 7]).unchanged == 2
    assert error_ranks([4.650002, 4.65, 7]).tolist() == pytest.approx([1 / 3, 1 / 3, 5 / 6])
    assert at_epochs([[9, 4.65], [8, 4.650002]]).to_dict()["spearman"] == [None, None]


@given(tables())
def test_the_gain_of_the_best_epoch_is_never_negative(curves: Floats) -> None:
    gain = best_against_last(curves.min(axis=1), curves[:, -1])
    assert all(value >= 0 for value in (gain.mean, gain.median, *gain.quantiles.values()))
    assert gain.unchanged == np.sum(curves.argmin(axis=1) == curves.shape[1] - 1) + np.sum(
        (curves.min(axis=1) == curves[:, -1]) & (curves.argmin(axis=1) < curves.shape[1] - 1)
    )


def test_selection_optimism_by_hand() -> None:
    # The sums of the others are smallest in columns 1, 0 and 1: the errors there are 5, 6 and 7, the smallest 3, 2, 4.
    optimism = selection_optimism([[3, 5, 9], [6, 2, 9], [4, 7, 9]])
    assert optimism.quantiles[0.5] == optimism.mean == pytest.approx(3)
    assert optimism.unchanged == 0


@given(tables(rows=2))
def test_selection_optimism_equals_leaving_out_one_by_one(curves: Floats) -> None:
    chosen = [np.delete(curves, i, axis=0).sum(axis=0).round(4).argmin() for i in range(len(curves))]
    gaps = curves[np.arange(len(curves)), chosen] - curves.min(axis=1)
    optimism = selection_optimism(curves)
    assert optimism.mean == pytest.approx(gaps.mean())
    assert optimism.median == pytest.approx(np.median(gaps))
    assert optimism.mean >= 0


def test_selection_optimism_of_pure_noise_is_the_expected_smallest() -> None:
    # Seeds of one model whose epochs differ by normal noise only, sd 1: the smallest of 10 is 1.5388 below the mean.
    curves = np.random.default_rng(5).normal(50, 1, (20_000, 10))
    assert selection_optimism(curves).mean == pytest.approx(1.5388, abs=0.04)


def test_the_best_epoch_of_published_reruns_is_about_a_tenth_of_a_point_optimistic(published: Path) -> None:
    for curves in reruns(published).values():
        last = best_against_last(curves.min(axis=1), curves[:, -1])
        others = selection_optimism(curves)
        assert 0.08 < last.mean < 0.11
        assert 0.07 < others.mean < 0.13
        assert 0 < last.unchanged < 40
        assert 0.8 < last.rank_correlation < 0.96


# --- Epochs


def test_at_epochs_by_hand() -> None:
    seen = at_epochs([[9, 3, 4], [8, 7, 5], [7, 6, 6]], [1, 2, 3])
    assert seen.errors.tolist() == [[9, 8, 7], [3, 7, 6], [4, 5, 6]]
    assert seen.best_so_far.tolist() == [[9, 8, 7], [3, 7, 6], [3, 5, 6]]
    assert seen.spearman.tolist() == pytest.approx([-1, 0.5, 1])
    assert seen.kendall.tolist() == pytest.approx([-1, 1 / 3, 1])
    assert at_epochs([[9, 3]], [2, 1, 2]).epochs.tolist() == [2, 1, 2]
    assert json.loads(json.dumps(seen.to_dict()))["epochs"] == [1, 2, 3]


def tau_b(a: Floats, b: Floats) -> float:
    """Kendall's, pair by pair."""
    x, y = np.sign(a[:, None] - a), np.sign(b[:, None] - b)
    both = np.sqrt(np.square(x).sum() * np.square(y).sum())
    return float((x * y).sum() / both) if both else math.nan


@given(tables(rows=2))
def test_rank_correlations_equal_independent_ones(curves: Floats) -> None:
    seen = at_epochs(curves)
    assert_array_equal(seen.epochs, np.arange(1, curves.shape[1] + 1))
    assert_array_equal(seen.best_so_far[-1], curves.min(axis=1))
    final = curves[:, -1]
    for epoch, spearman, kendall in zip(curves.T, seen.spearman, seen.kendall, strict=True):
        assert_allclose(kendall, tau_b(epoch, final), atol=1e-12)
        tied = np.ptp(epoch) == 0 or np.ptp(final) == 0
        assert_allclose(spearman, math.nan if tied else stats.spearmanr(epoch, final).statistic, atol=1e-12)
        assert_allclose(rank_correlation(epoch, final), spearman, atol=1e-12)


@pytest.mark.parametrize("models", [2, 31, 32, 33, 1_000, 5_000])
@pytest.mark.parametrize("step", [0.01, 1, 20])
def test_kendalls_tau_is_scipys(models: int, step: float) -> None:
    rng = np.random.default_rng(models)
    last = rng.uniform(0, 60, models)
    curves = np.column_stack([last + 30, last + rng.normal(0, 9, models).clip(-20, 20) + 20, 100 - last, last])
    curves = np.round(np.round(curves.clip(0, 100) / step) * step, 2).clip(0, 100)
    for epoch, tau in zip(curves.T, at_epochs(curves).kendall, strict=True):
        assert_allclose(tau, stats.kendalltau(epoch, curves[:, -1]).statistic, atol=1e-12)


@given(counted(weighted=False), st.data())
def test_a_rank_correlation_of_counted_models(
    sample: tuple[Floats, None, NDArray[np.int64]], data: st.DataObject
) -> None:
    values, _, counts = sample
    other = data.draw(errors(values.size, values.size))
    found = rank_correlation(values, other, counts)
    assert_allclose(found, rank_correlation(np.repeat(values, counts), np.repeat(other, counts)), atol=1e-12)


def test_one_model_or_one_epoch_has_no_or_full_correlation() -> None:
    assert at_epochs([[3, 2]]).to_dict() | {"errors": 0, "best_so_far": 0} == {
        "epochs": [1, 2], "errors": 0, "best_so_far": 0, "spearman": [None, None], "kendall": [None, None]
    }  # fmt: skip
    once = at_epochs([[3], [2]])
    assert (once.spearman.tolist(), once.kendall.tolist()) == ([pytest.approx(1)], [pytest.approx(1)])


@pytest.mark.parametrize("name", ["resnet", "vanilla"])
def test_the_bundled_curves_agree_with_the_bundled_errors(name: str) -> None:
    with Archive(locate("digits")) as archive:
        trained = archive.read(name, "status") != 2
        columns = {column: archive.read(name, column)[trained] for column in ("test_error", "error", "error_final")}
    seen = at_epochs(columns["test_error"])
    assert_array_equal(seen.errors[-1], columns["error_final"])
    assert_allclose(seen.best_so_far[-1], columns["error"], atol=1e-9)
    assert seen.spearman[-1] == pytest.approx(1)
    assert np.all(np.diff(seen.spearman) > 0)  # later epochs tell more
    assert np.all(seen.kendall <= seen.spearman + 1e-12)
    gain = best_against_last(columns["error"], columns["error_final"])
    assert gain.mean > 0
    assert gain.unchanged > trained.sum() / 2


# --- Learning rate and weight decay


@given(errors())
def test_error_ranks_equal_scipy(sample: Floats) -> None:
    ranks = error_ranks(sample)
    assert_allclose(ranks, (stats.rankdata(sample) - 0.5) / sample.size)
    assert ranks.mean() == pytest.approx(0.5)


def test_rate_map_by_hand() -> None:
    # Edges 0.01, 0.1, 1 and 1e-5, 1e-4, 1e-3. Ranks of the errors 2, 4, 6, 8: 1/8, 3/8, 5/8, 7/8.
    lr, wd = [0.01, 0.05, 0.5, 1], [1e-5, 5e-4, 1e-3, 5e-4]
    cells = rate_map(lr, wd, [8, 2, 4, 6], 2, 2, least=1)
    assert cells.counts.tolist() == [[1, 1], [0, 2]]
    assert_allclose(cells.mean_rank, [[7 / 8, 1 / 8], [np.nan, 1 / 2]])
    assert_allclose(cells.lr_edges, [0.01, 0.1, 1])
    assert (cells.best, cells.empty, cells.outside) == ((0, 1), 0.25, 0)
    assert cells.to_dict()["mean_rank"][1] == [None, 0.5]
    # The best cell must hold enough models.
    assert rate_map(lr, wd, [8, 2, 4, 6], 2, 2, least=2).best == (1, 1)
    assert rate_map(lr, wd, [8, 2, 4, 6], 2, 2).best is None
    # Given edges leave models out, which are ranked nevertheless.
    inner = rate_map(lr, wd, [8, 2, 4, 6], [0.02, 0.5], [1e-4, 1e-3], least=1)
    assert (inner.counts.tolist(), inner.outside) == ([[2]], 2)
    assert inner.mean_rank.tolist() == [[0.25]]


rates = st.integers(-6, 0).map(lambda i: 10.0**i) | st.floats(1e-6, 1)


@given(st.lists(st.tuples(rates, rates, st.integers(0, 9)), min_size=1), st.integers(1, 6), st.integers(1, 6))
def test_every_model_is_in_one_cell(models: list[tuple[float, float, int]], lr_bins: int, wd_bins: int) -> None:
    lr, wd, error = np.array(models, dtype=float).T
    assume(np.ptp(lr) > 0 and np.ptp(wd) > 0)
    cells = rate_map(lr, wd, error, lr_bins, wd_bins)
    assert cells.counts.shape == cells.mean_rank.shape == (lr_bins, wd_bins)
    assert cells.counts.sum() == lr.size
    assert np.nansum(cells.counts * cells.mean_rank) == pytest.approx(lr.size / 2)
    assert_array_equal(np.isnan(cells.mean_rank), cells.counts == 0)
    assert np.unique(np.round(np.diff(np.log(cells.lr_edges)), 9)).size <= 2
    swapped = rate_map(wd, lr, error, wd_bins, lr_bins)
    assert_array_equal(swapped.counts, cells.counts.T)


def test_default_rank_by_hand() -> None:
    lr, wd, error = [0.05, 0.2, 0.1, 0.3], [5e-4, 1e-3, 5e-4, 5e-4], [1, 2, 3, 4]
    near = default_rank(lr, wd, error)  # 0.3 is farther than a factor of 2
    assert near.models == 3
    assert near.mean_rank == pytest.approx(3 / 8)
    assert near.standard_error == pytest.approx(0.25 / math.sqrt(3))
    one = default_rank(lr, wd, error, (0.3, 5e-4), 1.2)
    assert (one.models, one.mean_rank, one.to_dict()["standard_error"]) == (1, 7 / 8, None)
    assert replace(one, standard_error=0.5).to_dict()["standard_error"] == 0.5


def test_the_published_default_is_better_than_the_average_one(published: Path) -> None:
    records = json.loads((published / "ResNet_lr-wd_in.json").read_text())
    lr, wd = (np.array([record["optim"][key] for record in records]) for key in ("base_lr", "wd"))
    error = np.array([record["min_test_top1"] for record in records])
    near = default_rank(lr, wd, error, (0.05, 5e-5))
    assert near.models == 11
    assert near.mean_rank + 3 * near.standard_error < 0.5
    cells = rate_map(lr, wd, error, 6, 6)
    assert (cells.empty, cells.outside, cells.counts.sum()) == (0, 0, 494)
    assert cells.best == (3, 2)
    assert cells.mean_rank[5, 5] > 0.95  # both large: training breaks down


# --- Bad input

NAN: Any = math.nan
RAGGED: Any = [[1, 2], [3]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: seed_noise([5]), "errors: 1 seed was given, but noise shows between at least 2"),
        (lambda: seed_noise([5, math.nan]), r"errors: 1 of 2 seeds have unknown values \(NaN\)"),
        (lambda: seed_noise([5, math.inf]), "errors: an infinite value was given, but finite ones are needed"),
        (lambda: seed_noise([[5, 6]]), r"errors: shape \(1, 2\) was given, but the shape \(seeds\)"),
        (lambda: seed_noise([5, 6], conf=1), "conf: 1 was given, but a level between 0 and 1"),
        (lambda: average_over_seeds([5, 6]), r"errors: shape \(2,\) was given, but the shape \(models, seeds\)"),
        (lambda: average_over_seeds(RAGGED), "errors: no table of numbers was given"),
        (lambda: average_over_seeds([[1, 2], [3, NAN]]), "errors: 1 of 2 models have unknown values"),
        (lambda: average_over_seeds(np.ones((0, 3))), r"errors: shape \(0, 3\) was given"),
        (lambda: noise_share([[1, 2]]), "errors: 1 models with 2 seeds were given, but at least 2 of each"),
        (lambda: noise_share([[1], [2]]), "errors: 2 models with 1 seeds were given, but at least 2 of each"),
        (lambda: noise_share([[2, 2], [2, 2]]), "errors: all are 2, so there is no variance to share"),
        (lambda: noise_share_from_sd([2], 1), "errors: 1 of 2 were given, so there is no variance to share"),
        (lambda: noise_share_from_sd([2, 3], -1), "noise_sd: -1 was given, but points from 0 up"),
        (lambda: noise_share_from_sd([2, 3], math.nan), "noise_sd: nan was given"),
        (lambda: error_ranks([]), r"errors: shape \(0,\) was given"),
        (lambda: rank_correlation([1, 2], [1]), r"The numbers of models differ \(a 2, b 1\)"),
        (lambda: best_against_last([1, 2], [1]), r"The numbers of models differ \(error_best 2, error_final 1\)"),
        (lambda: best_against_last([4, 2], [3, 2]), "error_final: 1 of 2 models have a final error below their best"),
        (lambda: selection_optimism([[3, 2]]), "test_error: 1 model was given, but its epoch is chosen by the others"),
        (lambda: selection_optimism([[3, NAN], [1, 1]]), "test_error: 1 of 2 models have unknown values"),
        (lambda: at_epochs([[3, NAN], [1, 1]]), r"test_error: 1 of 2 models have unknown values \(NaN\), as failed"),
        (lambda: at_epochs([[3, 2]], [0]), r"epochs: \[0\] was given, but a list of whole numbers from 1 to 2"),
        (lambda: at_epochs([[3, 2]], [3]), r"epochs: \[3\] was given"),
        (lambda: at_epochs([[3, 2]], [1.5]), r"epochs: \[1.5\] was given"),
        (lambda: at_epochs([[3, 2]], []), r"epochs: \[\] was given"),
        (lambda: at_epochs([[3, 2]], 1), "epochs: 1 was given"),
        (lambda: rate_map([0, 1], [1, 2], [1, 2]), "lr: 0 was given, but the scale is logarithmic"),
        (lambda: rate_map([1, 2], [-1, 2], [1, 2]), "wd: -1 was given, but the scale is logarithmic"),
        (lambda: rate_map([1, 2], [1], [1, 2]), r"The numbers of models differ \(lr 2, wd 1, errors 2\)"),
        (lambda: rate_map([1, 1], [1, 2], [1, 2]), "lr: all are 1, which is no range to divide"),
        (lambda: rate_map([1, 2], [1, 2], [1, 2], 0), "lr_bins: 0 was given, but at least one cell"),
        (lambda: rate_map([1, 2], [1, 2], [1, 2], 2, [3, 1]), r"wd_bins: \[3.0, 1.0\] were given, but at least two"),
        (lambda: default_rank([1, 2], [1, 2], [1, 2]), "default_rank: no model has a learning rate and weight decay"),
        (lambda: default_rank([1], [1], [1], factor=1), r"default_rank: default = \(0.1, 0.0005\) and factor = 1"),
        (lambda: default_rank([1], [1], [1], (0, 1)), r"default_rank: default = \(0, 1\) and factor = 2"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(("rho", "n"), [(0.0, 40), (0.6, 40), (-0.9, 150)])
def test_intervals_of_rank_correlations_cover(rho: float, n: int) -> None:
    rng = np.random.default_rng(n)
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's of two normal variables
    covered = 0
    for _ in range(400):
        x, noise = rng.standard_normal((2, n))
        low, high = rank_interval(rank_correlation(x, rho * x + np.sqrt(1 - rho**2) * noise), n)
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.98
    assert rank_interval(0.5, n) == pytest.approx(tuple(-end for end in rank_interval(-0.5, n)[::-1]))


def test_few_models_have_no_interval() -> None:
    assert np.isnan(rank_interval(0.5, 3)).all()
    assert np.isnan(rank_interval(np.nan, 30)).all()
    low, high = rank_interval(1.0, 10)
    assert low <= 1.0 <= high
    gain = best_against_last([1.0], [2.0])
    assert np.isnan(gain.mean_interval).all()
    gains = best_against_last([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])  # mean 2, standard error 1 / sqrt(3), t(2) = 4.303
    assert gains.mean_interval == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
