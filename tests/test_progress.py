"""Progress of long loops, for whoever asked for it."""

import numpy as np

from edfkit.progress import showing, steps
from edfkit.stats.bootstrap import bootstrap
from edfkit.stats.curves import shape_test, strata_band
from edfkit.stats.permutation import permutation_test
from edfkit.stats.strata import in_strata

Report = tuple[str, int, int | None]


def test_steps_are_the_items_and_report_only_inside() -> None:
    seen: list[Report] = []
    assert list(steps(range(3), "outside")) == [0, 1, 2]
    with showing(lambda *report: seen.append(report)):
        assert list(steps(range(3), "all")) == [0, 1, 2]
        assert list(steps(iter("ab"), "unknown")) == ["a", "b"]
    assert list(steps("xy", "outside")) == ["x", "y"]
    assert seen == [
        *[("all", done, 3) for done in range(4)],
        ("unknown", 0, None),
        ("unknown", 1, None),
        ("unknown", 2, 2),
    ]


def test_a_loop_that_ends_early_is_reported_as_done() -> None:
    seen: list[Report] = []
    with showing(lambda *report: seen.append(report)):
        for item in steps([1, 0], "looking", 5):
            if item:
                break
    assert seen == [("looking", 0, 5), ("looking", 5, 5)]


def test_the_innermost_reporter_hears_of_it() -> None:
    outer: list[Report] = []
    inner: list[Report] = []
    with showing(lambda *report: outer.append(report)):
        with showing(lambda *report: inner.append(report)):
            list(steps([1], "inner"))
        list(steps([1], "outer"))
    assert ({what for what, *_ in outer}, {what for what, *_ in inner}) == ({"outer"}, {"inner"})


def test_long_work_reports() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(20, 2, (2, 300)).round(1)
    strata = in_strata(a, b)
    assert strata is not None
    seen: list[Report] = []
    with showing(lambda *report: seen.append(report)):
        shape_test(strata, rng=0)
        strata_band(strata, rng=0)
        bootstrap("mean", a, trials=100, rng=0)
        permutation_test(a, b, np.zeros(300, int), np.zeros(300, int), trials=99, rng=rng)
    assert list(dict.fromkeys(what for what, *_ in seen)) == ["permutations", "band", "bootstrap"]
    assert seen[-1] == ("permutations", 1, 1)
