"""Figures of training noise and rates: rates (12), one model trained many times (13), and several seeds (14)."""

from collections.abc import Sequence
from functools import reduce
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.show import draw
from edfkit.show.figures.page import Page, finish, page
from edfkit.show.figures.reading import RATES, FigureSource
from edfkit.show.look import looks, space_of
from edfkit.stats.edf import edf
from edfkit.stats.epochs import decimals_of, error_ranks
from edfkit.stats.noise import average_over_seeds, noise_share, seed_noise
from edfkit.stats.rates import default_rank
from edfkit.study.selection import Population


def rates(reading: FigureSource, names: Sequence[str]) -> Page:
    """Draw the rank of the error over learning rate and weight decay, a point a model (figure 12)."""
    drawn = page(1, len(names), 2.4)
    members = reading.every(names).populations
    for place, member in enumerate(members):
        lr, wd = (reading.counted.read(member.name, what)[member.rows].astype(float) for what in ("lr", "wd"))
        if not (np.isfinite([lr, wd]).all() and min(lr.min(), wd.min()) > 0 and np.ptp(lr) > 0 and np.ptp(wd) > 0):
            raise EdfkitError(
                f"The learning rates and weight decays of {member.name} are not all known and above 0, or do not vary, "
                "so there is no map of them; leave the population out."
            )
        ranks = error_ranks(member.errors, decimals=decimals_of(member.metric.unit))
        default = RATES.get(reading.dataset([member.name]), RATES["cifar10"])
        axes = drawn.name(place, member.name, f"{len(ranks):,} models")
        points = axes.scatter(
            lr, wd, c=ranks, cmap="viridis", vmin=0, vmax=1, s=float(np.clip(3000 / len(ranks), 3, 14)), linewidth=0,
            rasterized=True,
        )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        label = f"default: learning rate {default[0]:g}, weight decay {default[1]:g}"
        axes.plot(*([value] for value in default), "+", color="#000000", markersize=11, markeredgewidth=2.4)
        axes.plot(*([value] for value in default), "+", color="#FF3B00", markersize=9, markeredgewidth=1.4, label=label)
        try:
            near = default_rank(lr, wd, member.errors, default, decimals=decimals_of(member.metric.unit))
        except EdfkitError:  # no model is so near
            near = None
        if near is not None:
            drawn.settings[-1] += (
                f"; mean rank {near.mean_rank:.2f} within a factor of 2 of {default[0]:g}, {default[1]:g}"
            )
        drawn.add(
            place,
            population=member.name,
            row=member.rows,
            learning_rate=lr,
            weight_decay=wd,
            error_percent=member.errors,
            rank_share=ranks,
        )
        axes.grid(visible=False)
        axes.set_xlabel("learning rate")
        if place == 0:
            axes.set_ylabel("weight decay")
    bar = drawn.figure.colorbar(points, ax=drawn.axes, pad=0.02, aspect=25)
    bar.set_label("rank of the error (0 best)")
    bar.outline.set_visible(False)
    finish(drawn)
    return drawn


def reruns(reading: FigureSource, names: Sequence[str]) -> Page:
    """Draw the EDFs of the errors of one network trained with many seeds, a panel a space (figure 13)."""
    spaces = _by_space(names)
    drawn = page(1, len(spaces))
    for place, (space, kinds) in enumerate(spaces.items()):
        axes = drawn.name(place, space)
        for member, look in zip(reading.every(kinds).populations, looks(kinds), strict=True):
            found = seed_noise(member.errors)
            label = f"{member.name.removeprefix(space + '_reruns_')}-ranked: {found.seeds:,} seeds, sd {found.sd:.2f}"
            values, heights = edf(member.errors)
            draw.step(axes, values, heights, label=label, **draw.line(look))
            drawn.add(
                place, population=member.name, seeds=found.seeds, mean_error_percent=found.mean, sd_points=found.sd,
                error_percent=values, edf_share=heights,
            )  # fmt: skip
        errors = np.concatenate([member.errors for member in reading.every(kinds).populations])
        margin = 0.08 * float(np.ptp(errors)) or 1.0
        axes.set_xlim(max(0.0, errors.min() - margin), min(100.0, errors.max() + margin))
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(draw.error_label(reading.how.error))
        axes.set_ylabel("share of seeds")
    finish(drawn, shared=False)
    return drawn


def seeds(reading: FigureSource, names: Sequence[str]) -> Page:
    """Draw the EDFs of errors averaged over 1, 2, ... seeds, a panel a space (figure 14)."""
    spaces = {space: runs for space, runs in _by_space(names).items() if len(runs) > 1}
    if not spaces:
        raise EdfkitError(f"Of {', '.join(names)} no two are of one space, which an average over seeds needs.")
    drawn = page(1, len(spaces))
    for place, (space, runs) in enumerate(spaces.items()):
        errors = _same_models(reading, reading.every(runs).populations)
        share = noise_share(errors)
        axes = drawn.name(place, space, f"{len(errors):,} models; {100 * share.share:.2g} % of the variance is noise")
        averages = average_over_seeds(errors)
        for number, (average, look) in enumerate(zip(averages, looks(runs), strict=True), start=1):
            values, heights = edf(average)
            label = "1 seed" if number == 1 else f"mean of {number} seeds"
            shade = draw.tint(look.light, 0.35 + 0.65 * number / len(runs))
            draw.step(axes, values, heights, label=label, **draw.line(look) | {"color": shade})
            drawn.add(
                place, population=space, seeds=number, models=len(average), noise_share_of_variance=share.share,
                error_percent=values, edf_share=heights,
            )  # fmt: skip
        ends = np.quantile(averages, [0, 0.95])
        margin = 0.05 * float(np.ptp(ends)) or 1.0
        axes.set_xlim(max(0.0, ends[0] - margin), min(100.0, ends[1] + margin))
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(draw.error_label(reading.how.error))
        axes.set_ylabel("share of models")
    finish(drawn, shared=False)
    return drawn


def _by_space(names: Sequence[str]) -> dict[str, list[str]]:
    return {space: list(kinds) for space, kinds in groupby(names, space_of)}


def _same_models(reading: FigureSource, runs: Sequence[Population]) -> NDArray[Any]:
    """Return the errors of the models that take part under every seed, shape (models, seeds)."""
    rows = reduce(np.intersect1d, [run.rows for run in runs])
    params = [reading.counted.read(run.name, "params") for run in runs]
    if not rows.size or any(not np.array_equal(one, params[0], equal_nan=True) for one in params):
        raise EdfkitError(
            f"{', '.join(run.name for run in runs)} are not the same models in the same order, which an average over "
            "seeds needs."
        )
    return np.stack([run.errors[np.searchsorted(run.rows, rows)] for run in runs], axis=1)
