import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats
from strategies import samples

from edfkit import EdfkitError
from edfkit.stats import bootstrap as bootstrap_module
from edfkit.stats.bootstrap import _kinds, bootstrap, share_of_best
from edfkit.stats.edf import Floats, area, mean, quantiles
from edfkit.stats.minima import best_of
from edfkit.stats.two_sample import prob_better

Sample = tuple[Floats, Floats]


def drawn(rng: np.random.Generator, models: int, shift: float = 0) -> Floats:
    """Errors of a design space with the ties of a test set of 10,000 images."""
    return np.asarray(np.round(np.minimum(5 + shift + rng.gamma(3, 2, models), 100), 2), dtype=np.float64)


E, OTHER = drawn(np.random.default_rng(0), 60), drawn(np.random.default_rng(1), 50, 1)


@settings(max_examples=50)
@given(samples(min_size=2), samples(min_size=2))
def test_estimates_are_those_of_the_sample(a: Sample, b: Sample) -> None:
    (e, w), (other, other_w) = a, b
    calls: list[tuple[str, dict[str, object], Callable[[], float]]] = [
        ("mean", {}, lambda: mean(e, w)),
        ("median", {}, lambda: float(quantiles(e, 0.5, w))),
        ("quantile", {"q": 0.3}, lambda: float(quantiles(e, 0.3, w))),
        ("area", {"upto": 30}, lambda: area(e, 30, w)),
        ("prob_better", {"errors_b": other, "weights_b": other_w}, lambda: prob_better(e, other, w, other_w)),
    ]
    refusals = []
    for statistic, more, expected in calls:
        try:
            interval = bootstrap(statistic, e, w, trials=100, rng=0, **more)  # type: ignore[arg-type]
        except EdfkitError as refused:
            refusals.append(str(refused))
        else:
            assert interval.estimate == pytest.approx(expected(), abs=1e-9)
            assert interval.low <= interval.high
            assert interval.high <= 100
    assert all("give at least 2" in each or "of the weight" in each or "never varies" in each for each in refusals)


def test_trials_equal_resampled_models_one_by_one() -> None:
    # The published procedure, slowly; the ends of both have a Monte Carlo error.
    w = np.random.default_rng(2).uniform(0.5, 2, E.size)
    summaries: dict[str, Callable[[Floats, Floats], float]] = {
        "mean": mean,
        "median": lambda e, w: float(quantiles(e, 0.5, w)),
        "area": lambda e, w: area(e, 50, w),
        "min": lambda e, w: float(best_of(e, [2], w).error[0]),
    }
    for statistic, summary in summaries.items():
        for seed in (0, 1, 2):
            rng = np.random.default_rng(seed)
            rows = rng.integers(0, E.size, (1_000, E.size))
            trials = np.sort([summary(E[row], w[row]) for row in rows])
            interval = bootstrap(statistic, E, w, m=2, trials=4_000, rng=rng)
            for end, share in ((interval.low, 0.025), (interval.high, 0.975)):
                # The end is the quantile of a share that four standard errors reach.
                within = 4 * np.sqrt(share * (1 - share) * (1 / 1_000 + 1 / 4_000))
                assert np.mean(trials < end - 1e-9) - within <= share <= np.mean(trials <= end + 1e-9) + within


def test_prob_better_varies_with_both_samples() -> None:
    interval = bootstrap("prob_better", E, errors_b=OTHER, trials=4_000, rng=0)
    rng = np.random.default_rng(1)
    slow = [prob_better(rng.choice(E, E.size), rng.choice(OTHER, OTHER.size)) for _ in range(1_000)]
    assert interval.estimate == pytest.approx(prob_better(E, OTHER))
    assert interval.high - interval.low == pytest.approx(np.diff(np.quantile(slow, [0.025, 0.975]))[0], rel=0.1)


def test_any_function_can_be_summarised() -> None:
    def spread(errors: Floats, weights: Floats) -> float:
        return float(np.sqrt(np.average((errors - np.average(errors, weights=weights)) ** 2, weights=weights)))

    interval = bootstrap(spread, E, rng=0)
    assert interval.statistic == "spread"
    assert interval.estimate == pytest.approx(E.std())
    assert interval.low < interval.estimate < interval.high
    own_mean = bootstrap(lambda e, w: float(np.average(e, weights=w)), E, rng=0)
    named = bootstrap("mean", E, rng=0)
    assert (own_mean.low, own_mean.high) == pytest.approx((named.low, named.high))


def test_a_mean_of_many_models_has_the_normal_interval() -> None:
    e = drawn(np.random.default_rng(0), 5_000)
    interval = bootstrap("mean", e, trials=4_000, rng=0)
    half = 1.96 * e.std() / np.sqrt(e.size)
    assert (interval.low, interval.high) == pytest.approx((e.mean() - half, e.mean() + half), abs=half * 0.1)


def test_a_quantile_has_the_interval_of_its_order_statistics() -> None:
    # A trial's median is at most the k-th error with the probability that half the draws are among the first k.
    e = np.arange(1.0, 42)
    reached = stats.binom.sf(20, 41, np.arange(1, 42) / 41)
    interval = bootstrap("median", e, trials=40_000, rng=0)
    assert interval.low == e[np.searchsorted(reached, 0.025)]
    assert interval.high == e[np.searchsorted(reached, 0.975)]


def test_the_same_seed_gives_the_same_interval() -> None:
    first, again = bootstrap("mean", E, rng=7), bootstrap("mean", E, rng=np.random.default_rng(7))
    assert (first.low, first.high) == (again.low, again.high)
    assert (first.seed, again.seed) == (7, None)
    assert bootstrap("mean", E, rng=8).low != first.low


def test_scale_of_the_weights_changes_nothing() -> None:
    w = np.random.default_rng(0).integers(1, 5, E.size)
    one, other = (bootstrap("mean", E, w * scale, rng=0) for scale in (1.0, 1e6))
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-12)


def test_a_higher_confidence_has_a_wider_interval() -> None:
    intervals = [bootstrap("mean", E, confidence=confidence, rng=0) for confidence in (0.5, 0.9, 0.99)]
    widths = [interval.high - interval.low for interval in intervals]
    assert widths == sorted(widths)


def test_many_models_are_resampled_in_pieces() -> None:
    e = drawn(np.random.default_rng(0), 25_000)
    interval = bootstrap("prob_better", e, errors_b=e + 0.1 * (e < 99), trials=2_000, rng=0)
    assert 0.5 < interval.low < interval.estimate < interval.high < 0.53


def test_equal_errors_have_an_interval_of_no_width() -> None:
    interval = bootstrap("mean", [5.0] * 30, rng=0)
    assert (interval.low, interval.high) == pytest.approx((5, 5))
    assert bootstrap("median", [0.0] * 30, rng=0).high == 0
    assert bootstrap("area", [100.0] * 30, rng=0).high == 0


def test_weights_spanning_many_orders_are_taken() -> None:
    w = 10.0 ** np.random.default_rng(0).integers(-3, 4, E.size)
    interval = bootstrap("mean", E, w, rng=0)
    assert E.min() <= interval.low < interval.high <= E.max()


def test_share_of_best_by_hand() -> None:
    assert share_of_best(1, 0.5) == pytest.approx(0.5)
    assert share_of_best(59) == pytest.approx(0.05, abs=5e-4)
    assert share_of_best(2, 0.19) == pytest.approx(0.1)
    assert share_of_best(10**9) == pytest.approx(-np.log(0.05) / 1e9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_best_of_n_is_as_good_as_said(seed: int) -> None:
    ranks = np.random.default_rng(seed).uniform(size=(2_000, 50)).min(axis=1)
    assert np.mean(ranks <= share_of_best(50, 0.9)) == pytest.approx(0.9, abs=4 * 0.3 / np.sqrt(2_000))


def test_result_is_json_able_with_every_field() -> None:
    interval = bootstrap("mean", E, rng=3)
    data = json.loads(json.dumps(interval.to_dict(), allow_nan=False))
    assert list(data) == list(interval.__dataclass_fields__)
    assert (data["confidence"], data["method"], data["trials"], data["seed"]) == (0.95, "percentile", 2_000, 3)


@pytest.mark.slow
def test_weighted_quantiles_that_are_not_refused_are_covered() -> None:
    def binned(rng: np.random.Generator, models: int) -> Sample:
        complexity = rng.beta(1, 2.5, models)
        e = np.round(drawn(rng, models) + 6 * (1 - complexity), 2)
        index = (complexity * 5).astype(int)
        return e, 1 / np.bincount(index)[index]

    rng = np.random.default_rng(0)
    e, w = binned(np.random.default_rng(7), 500_000)
    truth, held = float(quantiles(e, 0.25, w)), list[bool]()
    while len(held) < 400:
        try:
            e, w = binned(rng, 200)
            interval = bootstrap("quantile", e, w, q=0.25, trials=300, rng=rng)
        except EdfkitError:
            continue
        held.append(interval.low <= truth <= interval.high)
    assert np.mean(held) == pytest.approx(0.945, abs=0.035)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["mean", "median", "quantile", "area", "min", "prob_better"])
def test_coverage_is_what_the_documentation_says(statistic: str) -> None:
    rng, many = np.random.default_rng(0), drawn(np.random.default_rng(7), 1_000_000)
    q = {"quantile": 0.1}.get(statistic, 0.5)
    truth = {
        "mean": lambda: mean(many),
        "area": lambda: area(many, 50),
        "min": lambda: float(best_of(many, [10]).error[0]),
        "prob_better": lambda: prob_better(many, drawn(np.random.default_rng(8), 1_000_000, 1)),
    }.get(statistic, lambda: float(quantiles(many, q)))()
    held = 0
    for _ in range(600):
        other = drawn(rng, 200, 1) if statistic == "prob_better" else None
        interval = bootstrap(statistic, drawn(rng, 200), errors_b=other, q=q, m=10, trials=500, rng=rng)
        held += interval.low <= truth <= interval.high
    assert held / 600 == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap("mean", [1, np.nan], rng=0), r"errors: 1 of 2 values are unknown \(NaN\)"),
        (lambda: bootstrap("mean", [1], rng=0), "errors: one model was given"),
        (lambda: bootstrap("mean", [1, 2], [1, 0], rng=0), "errors: one model was given"),
        (lambda: bootstrap("mode", E, rng=0), "statistic: mode was given, but one of mean, median, quantile, area"),
        (
            lambda: bootstrap("min", np.arange(100), rng=0),
            r"min: no number of draws m .* m from 1 to 5, .* all 100 .* among the best 2.95 % \(share_of",
        ),
        (lambda: bootstrap("min", np.arange(100), m=6, rng=0), "min: that of m = 6 draws was asked for"),
        (lambda: bootstrap("min", E, [20] + [1] * 59, m=1, rng=0), "min: .* take 20 models or more"),
        (
            lambda: bootstrap("quantile", E[:20], q=0.1, rng=0),
            "quantile: q = 0.1 was asked for, but where one model has up to",
        ),
        (
            lambda: bootstrap("quantile", E, q=0.99, rng=0),
            "quantile: q = 0.99 was asked for, but where one model has up to",
        ),
        (lambda: bootstrap("median", E, [20] + [1] * 59, rng=0), "quantile: q = 0.5 .* one model has up to 25.3 % of"),
        (lambda: bootstrap("quantile", E, q=5, rng=0), "q: 5 was given, but a share between 0 and 1 is needed"),
        (lambda: bootstrap("area", E, upto=0, rng=0), "upto: 0 was given, but an error above 0 percent"),
        (lambda: bootstrap("mean", E, confidence=95, rng=0), "confidence: 95 was given, but a share between 0 and 1"),
        (lambda: bootstrap("mean", E, trials=10, rng=0), "trials: 10 was given, but at least 100 are needed"),
        (lambda: bootstrap("prob_better", E, rng=0), "errors_b: sample B was not given for prob_better"),
        (lambda: bootstrap("mean", E, errors_b=E, rng=0), "errors_b: sample B was given for mean"),
        (lambda: bootstrap("prob_better", [1, 2], errors_b=[3, 4], rng=0), "prob_better: all models of A are better"),
        (lambda: bootstrap(lambda e, w: float("nan"), E, rng=0), "statistic: it was not a number in some trials"),
        (lambda: share_of_best(0), "models: 0 was given, but a number from 1 on is needed"),
        (lambda: share_of_best(5, 1), "confidence: 1 was given, but a share between 0 and 1"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("statistic", "more"),
    [
        ("mean", {}),
        ("median", {}),
        ("area", {"upto": 12.0}),
        ("min", {"m": 3}),
        ("min", {"m": 200}),
        ("prob_better", {}),
    ],
)
def test_neighbours_that_are_drawn_together_leave_intervals_as_they_are(
    monkeypatch: pytest.MonkeyPatch, statistic: str, more: dict[str, object]
) -> None:
    rng = np.random.default_rng(21)
    e = 5 + rng.gamma(3, 2, 4_500)
    if statistic == "prob_better":
        more = {"errors_b": 5.2 + rng.gamma(3, 2, 4_000)}

    def ends() -> Floats:
        found = [bootstrap(statistic, e, trials=200, rng=seed, **more) for seed in range(8)]  # type: ignore[arg-type]
        return np.array([(one.low, one.high) for one in found])

    each = ends()
    with monkeypatch.context() as patch:
        patch.setattr(bootstrap_module, "LARGE", 1_000)
        patch.setattr(bootstrap_module, "MOST_KINDS", 500)
        together = ends()
    noise = np.hypot(each.std(axis=0, ddof=1), together.std(axis=0, ddof=1)) / np.sqrt(8)
    assert np.all(np.abs(each.mean(axis=0) - together.mean(axis=0)) < 4 * noise)
    assert np.any(each != together)


def test_the_best_models_and_those_of_unequal_weight_are_not_drawn_together() -> None:
    rng = np.random.default_rng(22)
    kinds = _kinds(rng.uniform(1, 99, 150_000), None)
    merged = kinds.merged()
    assert merged.models == kinds.models == 150_000
    assert merged.errors[:200].tolist() == kinds.errors[:200].tolist()
    assert np.all(np.diff(merged.errors) > 0)
    assert merged.counts @ merged.errors == pytest.approx(kinds.counts @ kinds.errors)
    assert np.all(merged.counts <= 1 + np.minimum(np.cumsum(merged.counts) / 200, 150_000 / 20_000))
    assert merged.errors.size < 22_000
    weighted = _kinds(kinds.errors, rng.choice([1.0, 2.0], 150_000))
    assert weighted.merged() is weighted
