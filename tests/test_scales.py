"""Statistics do not depend on the unit of a metric: values may be tiny, huge, negative, or worse than any."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edfkit.metric import BEYOND, Metric
from edfkit.stats.buckets import correlation
from edfkit.stats.dominance import violation
from edfkit.stats.edf import Floats
from edfkit.stats.epochs import at_epochs, best_against_last, error_ranks, selection_optimism
from edfkit.stats.minima import difference
from edfkit.stats.mix import decompose
from edfkit.stats.planning import Pilot, _of_one
from edfkit.stats.rates import default_rank, rate_map
from edfkit.stats.searches import best_difference
from edfkit.stats.strata import Strata, in_strata
from edfkit.study.complexity import complexity_study
from edfkit.study.noise import noise_study
from edfkit.study.selection import InMemory

SCALES = [1e-6, 1e12]
RNG = np.random.default_rng(0)
DRAWN = RNG.gamma(3, 2, (2, 80)).round(1)


def strata_of(a: Floats, b: Floats) -> Strata:
    found = in_strata(a, b)
    assert found is not None
    return found


@pytest.mark.parametrize("turn", [lambda x: x, lambda x: x - 100, lambda x: 1e-6 * x, lambda x: -1e12 - 1e12 * x])
def test_searches_are_compared_in_any_unit(turn: Callable[[Floats], Floats]) -> None:
    m = [1, 2, 4]
    plain, found = (best_difference(strata_of(*one), m) for one in (DRAWN, turn(DRAWN)))
    if turn(np.array([1.0])) > turn(np.array([0.0])):
        assert_allclose(found.p_adjusted, plain.p_adjusted, rtol=1e-6)
    assert np.isfinite(found.low).all()
    alike = best_difference(strata_of(turn(np.full(60, 1 / 3)), turn(np.full(60, 1 / 3))), m)
    assert np.isnan(alike.p_adjusted).all()


@pytest.mark.parametrize("scale", [1.0, *SCALES])
def test_a_shift_that_meets_another_value_ties_with_it(scale: float) -> None:
    values = np.array([1.1, 3.3, 5.5, 7.7])
    assert values[0] + 2.2 != values[1]
    pilot = Pilot(scale * values, ends=(-np.inf, np.inf))
    for seed in range(10):
        found = _of_one(pilot, 2, scale * 2.2, None, np.random.default_rng(seed))
        assert found is not None
        assert np.diff(np.unique(found.errors)).min() > 2.1 * scale
    # One that is small in the unit of the metric stays a shift.
    shifted = _of_one(pilot, 2, scale * 0.01, None, np.random.default_rng(0))
    assert shifted is not None
    assert_allclose(np.sort(shifted.errors / scale % 2.2 - 1.1), [0, 0, 0.01, 0.01], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-9, *SCALES])
def test_almost_dominance_is_the_same_in_any_unit(scale: float) -> None:
    plain, found = (violation(strata_of(*(one * DRAWN))) for one in (1.0, scale))
    assert (found.ratio, found.low, found.high) == pytest.approx((plain.ratio, plain.low, plain.high), rel=1e-6)
    assert found.distance == pytest.approx(scale * plain.distance)
    assert np.isnan(violation(strata_of(scale * DRAWN[0], scale * DRAWN[0])).ratio)


@pytest.mark.parametrize("scale", [*SCALES, -1.0])
def test_ranks_tie_in_single_precision(scale: float) -> None:
    logged = np.float64(np.float32(scale * DRAWN[0]))
    together = np.concatenate([scale * DRAWN[0], logged])
    ranks = error_ranks(together, decimals=None)
    assert_array_equal(ranks[:80], ranks[80:])
    assert_allclose(error_ranks(scale * DRAWN[0], decimals=None), error_ranks(np.sign(scale) * DRAWN[0]))
    assert_allclose(
        correlation(scale * DRAWN[0], DRAWN[1], decimals=None), correlation(np.sign(scale) * DRAWN[0], DRAWN[1])
    )
    lr, wd = np.exp(RNG.normal(0, 1, (2, 80)))
    for rates in (lambda e, **how: rate_map(lr, wd, e, **how).mean_rank,
                  lambda e, **how: default_rank(lr, wd, e, (1.0, 1.0), **how).mean_rank):  # fmt: skip
        assert_allclose(rates(scale * DRAWN[0], decimals=None), rates(np.sign(scale) * DRAWN[0]))


@pytest.mark.parametrize("scale", SCALES)
def test_epochs_are_chosen_in_any_unit(scale: float) -> None:
    curves = RNG.gamma(3, 2, (40, 12)).round(1)
    for plain, found in (
        (selection_optimism(curves), selection_optimism(scale * curves, decimals=None)),
        (best_against_last(curves.min(axis=1), curves[:, -1]),
         best_against_last(scale * curves.min(axis=1), scale * curves[:, -1], decimals=None)),
    ):  # fmt: skip
        assert found.mean == pytest.approx(scale * plain.mean)
        assert found.unchanged == plain.unchanged
        assert found.rank_correlation == pytest.approx(plain.rank_correlation)
    plain_epochs, epochs = at_epochs(curves), at_epochs(scale * curves, decimals=None)
    assert_allclose(epochs.spearman, plain_epochs.spearman)
    assert_allclose(epochs.kendall, plain_epochs.kendall)
    # What one precision of two takes off is no final value that is better than the best.
    best = scale * DRAWN[0]
    assert best_against_last(best, np.float64(np.float32(best)), decimals=None).unchanged == 80
    same = selection_optimism(np.full((3, 4), scale / 3), decimals=None)
    assert (same.mean, same.unchanged) == (0, 3)


def test_minima_beyond_any_have_a_difference() -> None:
    values, probabilities = difference([1.0, 2.0, BEYOND], 1, large=1, replacement=True)
    assert_allclose(values, [-BEYOND, -1, 0, 1, BEYOND])
    assert_allclose(probabilities, np.array([2, 1, 3, 1, 2]) / 9)


@pytest.mark.parametrize("turn", [lambda x: 1e-6 * x, lambda x: 1e12 * x, lambda x: -x])
def test_minima_have_a_difference_in_any_unit(turn: Callable[[Floats], Floats]) -> None:
    values, probabilities = difference(turn(DRAWN[0]), 3, turn(DRAWN[1]), large=5)
    assert probabilities.sum() == pytest.approx(1)
    low, high = turn(DRAWN[0]).min(), turn(DRAWN[1]).max()
    assert values[0] >= low - high - 1e-9 * np.abs(turn(DRAWN)).max()


@pytest.mark.parametrize("scale", [1e-15, *SCALES])
def test_parts_of_a_difference_have_shares_in_any_unit(scale: float) -> None:
    bins = np.arange(80) % 3, np.arange(80) % 2
    plain, found = (decompose(one * DRAWN[0], bins[0], one * DRAWN[1], bins[1]).mean for one in (1.0, scale))
    assert found.shares() == pytest.approx(plain.shares())
    order = np.argsort(DRAWN[0])
    assert decompose(scale * DRAWN[0], bins[0], scale * DRAWN[0][order], bins[0][order]).mean.shares() is None


def test_studies_tie_shares_as_finely_as_they_are() -> None:
    rng = np.random.default_rng(1)
    share, size = 0.5 + 1e-5 * rng.permutation(60), np.arange(60) + 1.0
    a: dict[str, Any] = {"loss": share, "params": size, "lr": np.exp(rng.normal(0, 1, 60)), "wd": size}
    a["loss_curve"] = share[:, None] + 1e-5 * np.array([2.0, 1.0, 0.0])
    a["loss_final"] = a["loss_curve"][:, -1]
    source = InMemory({"a": a}, Metric("loss", "nats"))
    noise = noise_study(source, ["a"]).spaces[0]
    assert noise.epochs is not None
    assert noise.last is not None
    assert noise.last.unchanged == 60
    assert noise.last.rank_correlation == pytest.approx(1)
    assert_allclose(noise.epochs.spearman, 1)
    found = complexity_study(source, ["a"]).spaces[0].rank_correlation
    ranks = np.argsort(np.argsort(share))
    assert found == pytest.approx(np.corrcoef(ranks, size)[0, 1])
