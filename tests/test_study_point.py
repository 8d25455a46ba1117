import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.published import Published
from edfkit.datasets import BUNDLED
from edfkit.stats.minima import difference, minimum_gap, resample_minima, who_wins
from edfkit.study.point import point_study
from edfkit.study.selection import InMemory, Source, select

KEYS = [
    *("metric", "given", "error", "diverged", "stopped", "select", "bins", "range", "spaces", "space", "against"),
    *("small", "large"),
    *("p_small_wins", "p_large_wins", "p_tie", "difference", "gap", "resampled"),
]


@pytest.fixture(scope="module")
def digits() -> Iterator[Source]:
    with Archive(BUNDLED["digits"]) as archive:
        yield archive


def test_two_searches_by_hand() -> None:
    # One model of {1, 2} against the best of all of them: a tie half of the time, else the large search wins by 1.
    study = point_study(InMemory({"a": {"error": [1.0, 2.0]}}), "a", small=1, large=2)
    assert (study.wins.small_wins, study.wins.large_wins, study.wins.tie) == pytest.approx((0, 0.5, 0.5))
    assert study.values.tolist() == [0, 1]
    assert study.probabilities.tolist() == pytest.approx([0.5, 0.5])
    document = study.to_dict()
    assert (document["space"], document["against"], document["resampled"]) == ("a", "a", None)
    assert document["difference"]["mean"] == pytest.approx(0.5)
    assert document["difference"]["quantiles"] == {"0.05": 0, "0.25": 0, "0.5": 0, "0.75": 1, "0.95": 1}


@pytest.mark.parametrize("against", [None, "vanilla"])
@pytest.mark.parametrize("policy", ["keep", "censor"])
def test_the_study_is_that_of_the_array_functions(digits: Source, against: str | None, policy: str) -> None:
    study = point_study(
        digits, "ResNet", against, small=10, large=100, alpha=0.1, trials=300, seed=4, error="final", diverged=policy
    )
    names = ["resnet"] if against is None else ["resnet", against]
    selected = select(digits, names, error="final", diverged=policy)
    assert study.selection.to_dict() == selected.to_dict()
    first = selected.populations[0].errors
    other = selected.populations[1].errors if against else None
    assert study.wins == who_wins(first, 10, other, large=100)
    values, probabilities = difference(first, 10, other, large=100)
    assert study.values.tolist() == values.tolist()
    assert study.probabilities.tolist() == probabilities.tolist()
    assert study.gap == minimum_gap(first, 10, 100, alpha=0.1)

    one, two = resample_minima(first, 10, 100, 300, rng=np.random.default_rng(4), errors_large=other)
    drawn = study.resampled
    assert drawn is not None
    assert (drawn.trials, drawn.seed) == (300, 4)
    shares = [float(np.mean(outcome)) for outcome in (one < two, two < one, one == two)]
    assert [drawn.small_wins, drawn.large_wins, drawn.tie] == shares
    assert drawn.se == pytest.approx((study.wins.large_wins * (1 - study.wins.large_wins) / 300) ** 0.5)
    assert abs(drawn.large_wins - study.wins.large_wins) < 4 * drawn.se
    assert (one - two).mean() == pytest.approx(study.to_dict()["difference"]["mean"], abs=0.2)


def test_a_search_of_more_models_wins_by_the_ratio() -> None:
    # Without ties, of two independent draws of a large population the larger wins with probability near M / (M + B).
    source = InMemory({"a": {"error": np.arange(10_001) / 100}})
    wins = point_study(source, "a", small=10, large=90).wins
    assert wins.large_wins == pytest.approx(0.9, abs=0.01)
    assert wins.large_wins + wins.small_wins + wins.tie == pytest.approx(1, abs=1e-12)


def test_the_seed_decides_the_resampling(digits: Source) -> None:
    first, again, other = (
        point_study(digits, "vanilla", small=10, large=20, trials=50, seed=seed).resampled for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_divergence_can_be_left_out() -> None:
    source = InMemory({"a": {"error": [1.0, 2.0, 90.0], "status": [0, 0, 1]}})
    assert point_study(source, "a", small=1, large=1).selection.populations[0].diverged == 1
    with pytest.raises(EdfkitError, match="is to draw 3 models and a has 2"):
        point_study(source, "a", small=1, large=3, diverged="drop")


@pytest.mark.parametrize("against", [None, "vanilla"])
def test_a_point_study_is_plain_data(digits: Source, against: str | None) -> None:
    document = point_study(digits, "resnet", against, small=10, large=100, trials=10).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == KEYS
    assert document["p_small_wins"] + document["p_large_wins"] + document["p_tie"] == pytest.approx(1)
    assert (document["small"], document["large"], document["against"]) == (10, 100, against or "resnet")
    assert list(document["difference"]["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
    assert document["resampled"] is not None
    assert document["resampled"]["trials"] == 10


def test_a_gap_that_nothing_reaches_is_no_number_in_the_document() -> None:
    document = point_study(InMemory({"a": {"error": [5.0, 5.0]}}), "a", small=1, large=1).to_dict()
    json.dumps(document, allow_nan=False)
    assert document["gap"]["either"] is None


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["resnet", None], {"large": 501}, "is to draw 501 models and (resnet|vanilla) has 500"),
        (["resnet", None], {"small": 501, "large": 2}, "is to draw 501 models and (resnet|vanilla) has 500"),
        (["resnet", "vanilla"], {"large": 501}, "is to draw 501 models and (resnet|vanilla) has 500"),
        (["resnet", "resnet"], {"large": 5}, "named twice in resnet, resnet"),
        (["resnet", None], {"small": 0, "large": 5}, "0 was given, but a whole number of models from 1 on"),
        (["resnet", None], {"small": 5, "large": 5, "alpha": 0.0}, "alpha: 0 was given"),
        (["resnest", None], {}, "There is no population 'resnest'|no population 'resnest'"),
    ],
)
def test_what_cannot_be_searched_is_refused(digits: Source, names: list[Any], options: Any, message: str) -> None:
    with pytest.raises(EdfkitError, match=message) as caught:
        point_study(digits, *names, **options)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_too_large_a_search_is_called_by_its_name(digits: Source) -> None:
    with pytest.raises(EdfkitError, match="large"):
        point_study(digits, "resnet", small=10, large=501)


def test_real_searches(published: Path) -> None:
    with Published(published) as source:
        one = point_study(source, "resnext-a_in", small=10, large=100)
        assert one.wins.large_wins > 0.8
        two = point_study(source, "ResNeXt-A_in", "ResNeXt-B_in", small=10, large=100)
        assert two.wins.large_wins > one.wins.large_wins  # B is the better space
        assert two.to_dict()["against"] == "resnext-b_in"
        json.dumps(two.to_dict(), allow_nan=False)
