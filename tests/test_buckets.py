import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy import stats
from strategies import complexities, counted, errors

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.published import Published
from edfkit.datasets import locate
from edfkit.stats.bins import bin_counts, check_bins, common_range
from edfkit.stats.buckets import advise, bucket_means, correlation, histogram
from edfkit.stats.edf import Floats
from edfkit.stats.sample import Sample


def test_bucket_means_by_hand() -> None:
    # Buckets 0 to 2, 2 to 4, 4 to 6: a model on an inner edge belongs above, 6 to the last, 7 to none.
    found = bucket_means([1, 3, 10, 20, 90], [0, 1, 2, 6, 7], 0, 6, 3)
    assert found.edges.tolist() == [0, 2, 4, 6]
    assert found.counts.tolist() == [2, 1, 1]
    assert found.mean.tolist() == [2, 10, 20]
    assert_allclose(found.sd, [np.sqrt(2), np.nan, np.nan])
    assert found.outside == 1


def test_empty_buckets_have_no_mean() -> None:
    found = bucket_means([1, 3], [0, 9], 0, 9, 3)
    assert found.to_dict() == {
        "edges": [0, 3, 6, 9],
        "counts": [1, 0, 1],
        "mean": [1, None, 3],
        "sd": [None] * 3,
        "outside": 0,
    }
    assert bucket_means([1], [5], 6, 9, 2).to_dict()["mean"] == [None, None]


@given(errors(), st.integers(1, 6), st.integers(0, 9), st.integers(1, 30), st.data())
def test_bucket_means_equal_scipy(sample: Floats, buckets: int, lo: int, width: int, data: st.DataObject) -> None:
    models, hi = data.draw(complexities(sample.size, sample.size)), lo + width
    found = bucket_means(sample, models, lo, hi, buckets)
    inside = (lo <= models) & (models <= hi)
    assert found.outside == sample.size - inside.sum()
    assert_array_equal(found.counts, np.histogram(models, buckets, (lo, hi))[0])
    if inside.any():
        index = np.digitize(models[inside], found.edges[1:-1])
        for i in range(buckets):
            held = sample[inside][index == i]
            assert_allclose(found.mean[i], held.mean() if held.size else np.nan)
            assert_allclose(found.sd[i], held.std(ddof=1) if held.size > 1 else np.nan, atol=1e-9)
    assert_allclose(np.nansum(found.counts * found.mean), sample[inside].sum(), atol=1e-9)


def test_histograms_share_their_edges() -> None:
    found = histogram({"a": [0, 5, 10, 11], "b": [4]}, 0, 10, 2)
    assert json.loads(json.dumps(found.to_dict())) == {
        "edges": [0, 5, 10],
        "counts": {"a": [1, 2], "b": [1, 0]},
        "outside": {"a": 1, "b": 0},
    }


def test_advice_by_hand() -> None:
    # Of five bins over 0 to 10 the third and fourth are empty; three bins work. Five bins work at most from 0 to 4,
    # on a grid of ones: 0, 1, 2, 3, 4 have one model each.
    advice = advise({"a": [0, 1, 2, 3, 3.9, 9]}, 0, 10, 5, steps=10)
    assert advice.to_dict() == {"works": False, "empty": {"a": [[4, 6], [6, 8]]}, "most_bins": 3, "widest": [0, 4]}
    assert advise({"a": [0, 1, 2, 3, 3.9, 9]}, 0, 10, 3).to_dict() == {
        "works": True, "empty": {"a": []}, "most_bins": 3, "widest": [0, 10]
    }  # fmt: skip
    assert advise({"a": [0, 1, 2, 3, 3.9, 9]}, 0, 10, 3, limit=2).most_bins == 2


def test_advice_where_nothing_works() -> None:
    advice = advise({"a": [1, 2], "b": [20, 30]}, 0, 10, 2)
    assert (advice.works, advice.most_bins, advice.widest) == (False, 0, None)
    assert advice.empty == {"a": [(5, 10)], "b": [(0, 5), (5, 10)]}
    assert advise({"a": [1, 1, 1, 1]}, 0, 10, 2).widest is None


populations = st.lists(complexities(max_size=40), min_size=1, max_size=3)


@given(populations, st.integers(0, 20), st.integers(1, 40), st.integers(1, 5), st.integers(1, 12))
def test_the_advice_works_and_is_the_best_of_its_grid(
    spaces: list[Floats], lo: int, width: int, bins: int, steps: int
) -> None:
    hi, named = lo + width, {str(i): models for i, models in enumerate(spaces)}
    advice = advise(named, lo, hi, bins, limit=9, steps=steps)

    def works(start: float, end: float, count: int) -> bool:
        return all(bin_counts(models, start, end, count).min() > 0 for models in spaces)

    assert advice.works == works(lo, hi, bins) == (not any(advice.empty.values()))
    assert advice.most_bins == max((count for count in range(1, 10) if works(lo, hi, count)), default=0)
    grid = np.linspace(lo, hi, steps + 1)
    widths = [end - start for start in grid for end in grid if start < end and works(start, end, bins)]
    if advice.widest is None:
        assert not widths
    else:
        check_bins(named, *advice.widest, bins)
        assert lo <= advice.widest[0] < advice.widest[1] <= hi
        assert np.ptp(advice.widest) >= max(widths, default=0) * (1 - 1e-12)


def test_advice_on_the_published_imagenet_populations(published: Path) -> None:
    source = Published(published)
    spaces = {name: source.read(name, "params") for name in ("darts_in", "enas_in", "nasnet_in", "resnext-a_in")}
    lo, hi = common_range(*spaces.values())
    advice = advise(spaces, lo, hi, 10)
    assert not advice.works
    assert advice.empty["resnext-a_in"]
    assert advice.widest is not None
    check_bins(spaces, lo, hi, advice.most_bins)
    check_bins(spaces, *advice.widest, 10)
    assert lo <= advice.widest[0] < advice.widest[1] <= hi


def test_larger_published_imagenet_models_are_better(published: Path) -> None:
    source = Published(published)
    error, params = (source.read("resnext-b_in", column) for column in ("error", "params"))
    assert correlation(error, params) == pytest.approx(stats.spearmanr(np.round(error, 4), params).statistic)
    assert correlation(error, params) < -0.9
    means = bucket_means(error, params, params.min(), params.max(), 5)
    assert means.counts.sum() == params.size
    assert np.all(np.diff(means.mean[:4]) < 0)


def test_buckets_of_the_bundled_archive() -> None:
    with Archive(locate("digits")) as archive:
        trained = archive.read("resnet", "status") != 2
        error, params = (archive.read("resnet", column)[trained].astype(float) for column in ("error", "params"))
        both = {name: archive.read(name, "params") for name in ("resnet", "vanilla")}
    means = bucket_means(error, params, params.min(), params.max())
    assert means.mean.shape == (20,)
    assert np.nansum(means.counts * means.mean) / error.size == pytest.approx(error.mean())
    assert abs(correlation(error, params)) < 0.2  # on digits, size hardly matters
    counts = histogram(both, 0, 0.3e6).counts
    assert {name: inside.sum() for name, inside in counts.items()} == {"resnet": 500, "vanilla": 500}


@given(errors(min_size=2), st.data())
def test_correlation_equals_scipy(sample: Floats, data: st.DataObject) -> None:
    models = data.draw(complexities(sample.size, sample.size))
    tied = np.ptp(sample) == 0 or np.ptp(models) == 0
    assert_allclose(
        correlation(sample, models), np.nan if tied else stats.spearmanr(sample, models).statistic, atol=1e-12
    )
    assert_allclose(correlation(sample, -models), -correlation(sample, models), atol=1e-12)


@given(counted(weighted=False), st.data(), st.booleans())
def test_counts_stand_for_models(
    sample: tuple[Floats, None, NDArray[np.int64]], data: st.DataObject, as_sample: bool
) -> None:
    values, _, counts = sample
    sizes = data.draw(complexities(values.size, values.size))
    population: Any = Sample(values, counts=counts) if as_sample else values
    given: dict[str, Any] = {} if as_sample else {"counts": counts}
    repeated, many = np.repeat(values, counts), np.repeat(sizes, counts)
    found, expected = bucket_means(population, sizes, 2, 20, 4, **given), bucket_means(repeated, many, 2, 20, 4)
    assert_array_equal(found.counts, expected.counts)
    assert found.outside == expected.outside
    assert_allclose(found.mean, expected.mean)
    assert_allclose(found.sd, expected.sd, atol=1e-9)
    assert_allclose(correlation(population, sizes, **given), correlation(repeated, many), atol=1e-12)
    histograms = histogram({"a": sizes, "b": sizes}, 2, 20, 5, counts={"a": counts}), histogram({"a": many}, 2, 20, 5)
    assert_array_equal(histograms[0].counts["a"], histograms[1].counts["a"])
    assert histograms[0].outside["a"] == histograms[1].outside["a"]
    assert histograms[0].counts["b"].sum() + histograms[0].outside["b"] == values.size
    assert advise({"a": sizes}, 2, 20, 3) == advise({"a": many}, 2, 20, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bucket_means([1, 2], [1], 0, 1), r"The numbers of models differ \(errors 2, complexity 1\)"),
        (lambda: bucket_means([1, np.nan], [1, 2], 0, 1), "errors: 1 of 2 values are unknown"),
        (lambda: bucket_means([1], [np.nan], 0, 1), "complexity: 1 of 1 values are unknown"),
        (lambda: bucket_means([1], [1], 2, 1), "range: 2 to 1 was given"),
        (lambda: bucket_means([1], [1], 0, 1, 0), "bins: 0 was given"),
        (lambda: histogram({}, 0, 1), "buckets: no population was given"),
        (lambda: histogram({"resnet": [np.nan]}, 0, 1), "complexity of resnet: 1 of 1 values are unknown"),
        (lambda: histogram({"a": [1]}, 1, 1, 2), "range: 1 to 1 was given"),
        (lambda: advise({}, 0, 1, 1), "buckets: no population was given"),
        (lambda: advise({"a": [1]}, 0, 1, 0), "bins: 0 was given"),
        (lambda: advise({"a": [1]}, 0, 1, -1), "bins: -1 was given"),
        (lambda: advise({"a": [1]}, 1, 0, 1), "range: 1 to 0 was given"),
        (lambda: advise({"a": [1]}, 0, 1, 1, limit=0), "advise: limit = 0 and steps = 100 were given"),
        (lambda: advise({"a": [1]}, 0, 1, 1, steps=0), "advise: limit = 100 and steps = 0 were given"),
        (lambda: correlation([1, 2], [1]), r"The numbers of models differ \(errors 2, complexity 1\)"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(EdfkitError, match=f"^{message}") as refused:
        call()
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith(".")
