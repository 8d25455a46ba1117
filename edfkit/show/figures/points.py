"""Figures of a few models: what the best of them says (2), and how many are enough (7)."""

from collections.abc import Sequence

import numpy as np

from edfkit.show import draw
from edfkit.show.figures.page import Page, by_name, called, finish, page
from edfkit.show.figures.reading import FigureSource, own
from edfkit.show.look import looks
from edfkit.stats.edf import edf
from edfkit.stats.two_sample import ks
from edfkit.study.point import point_study
from edfkit.study.samples import sample_study

_SMALL, _LARGE, _ENOUGH = 100, 1000, 2000  # models of the paper's searches, and from how many on they fit
_TRIALS, _REPEATS, _MOST = 5000, 50, 14


def point(reading: FigureSource, names: Sequence[str]) -> Page:
    """Draw the law of the difference of two minima, and the EDFs of one small and one large sample (figure 2)."""
    (name,) = names
    drawn = page(1, 2)
    selection = reading.every(names)
    (member,) = selection.populations
    metric = drawn.metric = selection.metric
    models = len(member.errors)
    small, large = (_SMALL, _LARGE) if models >= _ENOUGH else (max(1, models // 50), max(1, models // 5))
    if small != _SMALL:
        drawn.notes.append(f"B = {small}, M = {large} rather than 100, 1,000, as there are {models:,} models")
    study = point_study(
        reading.counted, name, small=small, large=large, trials=_TRIALS, seed=reading.seed, reading=reading.how
    )
    law = drawn.name(
        0, f"min(B) - min(M), B = {small:,}, M = {large:,}", f"{called(member)}, {models:,} models; exact law"
    )
    draw.draw_law(law, study, looks([name]))
    assert study.resampled is not None
    for won, share, drawn_share in (
        ("small", study.wins.small_wins, study.resampled.small_wins),
        ("large", study.wins.large_wins, study.resampled.large_wins),
        ("tie", study.wins.tie, study.resampled.tie),
    ):
        said = {"probability": share, "share_of_trials": drawn_share, "trials": _TRIALS, "seed": reading.seed}
        drawn.add(0, population=name, series="winner", models_small=small, models_large=large, winner=won, **said)
    drawn.add(
        0,
        population=name,
        series="law of min(B) - min(M)",
        models_small=small,
        models_large=large,
        difference_points=own(member, study.values),
        probability=study.probabilities,
    )
    order = np.random.default_rng(reading.seed).permutation(models)
    samples = member.errors[order[:small]], member.errors[order[small : small + large]]
    test = ks(*samples)
    edfs = drawn.name(1, "EDFs of one B and one M", f"KS test: D = {test.statistic:.3f}, p = {test.p_value:.2g}")
    look = looks([name, f"{name}_in"])[1]
    first = {"color": draw.tint(look.light, 0.5), "linestyle": (0, look.dash)}
    for part, errors, style in zip("BM", samples, (first, draw.line(looks([name])[0])), strict=True):
        values, heights = edf(errors)
        draw.step(edfs, values, heights, metric, label=f"{part} = {len(errors):,} models", **style)
        drawn.add(
            1,
            population=name,
            series=f"EDF of {part}",
            seed=reading.seed,
            models=len(errors),
            error_percent=own(member, values),
            edf_share=heights,
            ks_statistic=test.statistic,
            ks_p_value=test.p_value,
        )
    draw.limit_edfs(edfs, selection)
    edfs.set_xlabel(draw.error_label(reading.how.error, metric))
    edfs.set_ylabel("share of models")
    finish(drawn, shared=False)
    return drawn


def enough(reading: FigureSource, names: Sequence[str]) -> Page:
    """Draw the EDFs of few and many models, and how far they are from all (figure 7)."""
    (name,) = names
    drawn = page(1, 2)
    selection = reading.every(names)
    ((member, look),) = by_name(selection)
    metric = drawn.metric = selection.metric
    models = len(member.errors)
    sizes = [2**power for power in range(_MOST + 1) if 2**power <= models]
    study = sample_study(reading.counted, name, models=sizes, trials=_REPEATS, seed=reading.seed, reading=reading.how)
    left = [f"{size:,}" for size in (10, 100, 1000, 10_000) if size not in study.errors]
    if left:
        drawn.notes.append(f"without n = {', '.join(left)}, as there are {models:,} models")
    edfs = drawn.name(0, "EDFs of n models", called(member))
    draw.draw_samples(edfs, study, look)
    for size, errors in (study.errors | {models: member.errors}).items():
        values, heights = edf(errors)
        steps = {"error_percent": own(member, values), "edf_share": heights}
        drawn.add(0, population=name, series="EDF", seed=reading.seed, models=size, **steps)
    draw.limit_edfs(edfs, selection)
    edfs.set_xlabel(draw.error_label(reading.how.error, metric))
    edfs.set_ylabel("share of models")
    distances = drawn.name(1, "distance of n models to all", f"{_REPEATS} trials for each n")
    draw.draw_distances(distances, study, look)
    distances.set_ylabel("distance of EDFs, D")
    assert study.simulated is not None
    drawn.add(
        1,
        population=name,
        series="distance",
        seed=reading.seed,
        models=study.models,
        expected_d_to_population_share=study.to_population,
        expected_d_to_truth_share=study.to_truth,
        simulated_mean_d_share=study.simulated.mean,
        simulated_sd_d_share=study.simulated.sd,
        trials=_REPEATS,
    )
    finish(drawn, shared=False)
    return drawn
