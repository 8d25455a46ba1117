import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.published import Published
from edfkit.datasets import BUNDLED
from edfkit.stats.bins import common_range
from edfkit.stats.buckets import advise, bucket_means, correlation, histogram
from edfkit.study.complexity import complexity_study
from edfkit.study.selection import InMemory, Source, select
from edfkit.study.settings import COMPLEXITIES

KEYS = ["by", "metric", "error", "diverged", "stopped", "select", "range", "bins", "advice", "spaces", "histogram"]


@pytest.fixture(scope="module")
def digits() -> Iterator[Source]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


def test_a_study_by_hand() -> None:
    source = InMemory({"a": {"error": [1.0, 9.0, 5.0, 7.0], "params": [5, 1, 2, 2], "status": [2, 0, 0, 0]}})
    study = complexity_study(source, ["A"], bins=3, buckets=2)
    assert (study.by, study.range, study.bins) == ("params", (1, 2), 3)  # the failed one takes no part
    (space,) = study.spaces
    assert (space.name, space.models) == ("a", 3)
    assert space.complexity.tolist() == [1, 2, 2]
    assert space.errors.tolist() == [9, 5, 7]
    assert space.rank_correlation == pytest.approx(-(0.75**0.5))
    assert space.buckets.counts.tolist() == [1, 2]
    assert space.buckets.mean.tolist() == [9, 6]
    assert space.buckets.sd[1] == pytest.approx(2**0.5)
    assert study.histogram.edges.tolist() == [0, 1, 2]
    assert study.histogram.counts["a"].tolist() == [0, 3]
    assert not study.advice.works
    assert study.advice.most_bins == 2


@pytest.mark.parametrize("by", COMPLEXITIES)
@pytest.mark.parametrize("names", [["vanilla"], ["vanilla", "resnet"]])
@pytest.mark.parametrize("given_range", [None, (1.0, 1e7)])
def test_the_study_is_that_of_the_array_functions(
    digits: Source, by: str, names: list[str], given_range: tuple[float, float] | None
) -> None:
    study = complexity_study(
        digits, names, by=by, range=given_range, bins=7, buckets=5, error="final", diverged="censor"
    )
    members = select(digits, names, error="final", diverged="censor").populations
    counts = {one.name: digits.read(one.name, by)[one.rows].astype(float) for one in members}
    lo, hi = given_range or common_range(*counts.values())
    assert (study.range, study.error, study.diverged) == ((lo, hi), "final", "censor")
    for space, member in zip(study.spaces, members, strict=True):
        assert space.complexity.tolist() == counts[space.name].tolist()
        assert space.errors.tolist() == member.errors.tolist()
        assert space.rank_correlation == correlation(member.errors, counts[space.name])
        assert space.rank_correlation == pytest.approx(
            stats.spearmanr(member.errors, counts[space.name]).statistic, abs=1e-9
        )
        expected = bucket_means(member.errors, counts[space.name], lo, hi, 5)
        assert space.buckets.to_dict() == expected.to_dict()
        assert space.buckets.counts.sum() + space.buckets.outside == space.models
    largest = max(values.max() for values in counts.values())
    assert study.histogram.to_dict() == histogram(counts, 0.0, largest, 5).to_dict()
    assert {name: inside.sum() for name, inside in study.histogram.counts.items()} == dict.fromkeys(names, 500)
    assert study.advice == advise(counts, lo, hi, 7)


@pytest.mark.parametrize("bins", [2, 40, 1000])
def test_the_advice_works(digits: Source, bins: int) -> None:
    names = ["resnet", "vanilla"]
    study = complexity_study(digits, names, bins=bins)
    advice = study.advice
    options: dict[str, Any] = {"given": "params", "range": study.range}
    if advice.works:
        select(digits, names, bins=bins, **options)
    else:
        with pytest.raises(EdfkitError, match="has no model in"):
            select(digits, names, bins=bins, **options)
    select(digits, names, bins=advice.most_bins, **options)
    if advice.widest is not None:
        select(digits, names, given="params", bins=bins, range=advice.widest)


def test_a_study_is_plain_data(digits: Source) -> None:
    document = complexity_study(digits, ["resnet", "vanilla"], bins=40).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == KEYS
    assert [list(space) for space in document["spaces"]] == [
        ["name", "models", "diverged", "left_out_why", "min", "max", "rank_correlation", "rank_interval", "buckets"]
    ] * 2
    assert (document["by"], document["bins"], document["advice"]["works"]) == ("params", 40, False)
    assert list(document["histogram"]["counts"]) == ["resnet", "vanilla"]


def test_what_is_not_defined_is_none_in_the_document() -> None:
    source = InMemory({"a": {"error": [5.0, 5.0], "params": [1, 4]}})
    (space,) = complexity_study(source, ["a"], buckets=3).to_dict()["spaces"]
    assert space["rank_correlation"] is None
    assert space["buckets"]["mean"] == [5, None, 5]
    assert space["buckets"]["sd"] == [None, None, None]


def test_policies() -> None:
    source = InMemory({"a": {"error": [5.0, 6.0, 90.0], "params": [1, 4, 9], "status": [0, 0, 1]}})
    kept, dropped, censored = (
        complexity_study(source, ["a"], diverged=policy) for policy in ("keep", "drop", "censor")
    )
    assert (kept.range, dropped.range, censored.range) == ((1, 9), (1, 4), (1, 9))
    assert (kept.spaces[0].errors[-1], censored.spaces[0].errors[-1]) == (90, 100)
    assert dropped.spaces[0].models == 2


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["a", "A"], {}, "named twice"),
        (["a"], {"range": (2.0, 1.0)}, "range: 2 to 1 was given"),
        (["a"], {"buckets": 0}, "0"),
        (["a"], {"bins": 0}, "0"),
        (["a", "far"], {}, "share no range of complexity"),
        (["a"], {"by": "flops"}, "The population 'a' has no 'flops', but only error, params"),
    ],
)
def test_what_cannot_be_studied_is_refused(names: list[str], options: Any, message: str) -> None:
    source = InMemory({"a": {"error": [5.0, 6.0], "params": [1, 4]}, "far": {"error": [5.0, 6.0], "params": [7, 9]}})
    with pytest.raises(EdfkitError, match=message) as caught:
        complexity_study(source, names, **options)
    assert str(caught.value).endswith(".")


def test_an_unknown_complexity_is_refused_as_elsewhere(published: Path) -> None:
    # Leaving the models out, all of them, is no advice that can be followed.
    with Published(published) as source, pytest.raises(EdfkitError, match=r"The acts of .* resnext-a_in .* not known"):
        complexity_study(source, ["resnext-a_in"], by="acts")


def test_real_complexities(published: Path) -> None:
    with Published(published) as source:
        study = complexity_study(source, ["resnext-a_in", "resnext-b_in"], by="flops")
        assert all(space.rank_correlation < -0.7 for space in study.spaces)
        a, b = (np.median(space.complexity) for space in study.spaces)
        assert a < b  # A has more small models
        json.dumps(study.to_dict(), allow_nan=False)
