"""The noise study: what the training seed, the choice of the epoch and the training rates do to the errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.schema import curve_of, final_of
from edfkit.metric import Metric
from edfkit.result import Result, signed
from edfkit.stats.epochs import AtEpochs, Optimism, at_epochs, best_against_last, decimals_of, selection_optimism
from edfkit.stats.noise import NoiseShare, SeedNoise, noise_share, seed_noise
from edfkit.stats.rates import DefaultRank, RateMap, default_rank, rate_map
from edfkit.study.counting import once
from edfkit.study.selection import Population, Source, select
from edfkit.study.settings import AS_WORST, Reading, ReadingKeywords, settle


@dataclass(frozen=True)
class Noise(Result):
    """What is known of one population.

    Attributes
    ----------
    name : str
    models, diverged : int
        Those that take part, and those among them that diverged.
    left_out : dict of str to int
        How many models take no part, by reason.
    last : Optimism or None
        How much lower the best error over the epochs is than the last; None if the last is not known.
    others : Optimism or None
        How much lower the best is than that at the epoch which the other models would choose; None without curves.
    epochs : AtEpochs or None
        The order of the models after some epochs against that after the last; None without curves.
    seeds : SeedNoise or None
        If the population is one network with many seeds.
    rates : RateMap or None
        If learning rate and weight decay vary.
    default : DefaultRank or None
        The models near the default rates, if the rates vary and there are any.
    label : str
        The name as people see it.
    filled : int
        Models among them that have no value, and count as the worst.
    """

    name: str
    models: int
    diverged: int
    left_out: dict[str, int]
    last: Optimism | None
    others: Optimism | None
    epochs: AtEpochs | None
    seeds: SeedNoise | None
    rates: RateMap | None
    default: DefaultRank | None
    label: str = ""
    filled: int = 0

    def to_dict(self) -> Any:
        """Give the numbers as plain data, without the models one by one."""
        numbers = super().to_dict()
        del numbers["label"], numbers["filled"]
        numbers["left_out_why"] = numbers.pop("left_out")
        if numbers["epochs"]:
            numbers["epochs"] = {key: numbers["epochs"][key] for key in ("epochs", "spearman", "kendall")}
        return numbers


@dataclass(frozen=True)
class NoiseStudy(Result):
    """What the training seed, the choice of the epoch and the rates do.

    Attributes
    ----------
    metric : Metric
    diverged, stopped, select : str
        As in `selection.Selection`.
    spaces : list of Noise
    share : NoiseShare or None
        If the populations are the same models with other seeds: what share of an EDF's variance is training noise.
    """

    metric: Metric
    diverged: str
    stopped: str
    select: str | None
    spaces: list[Noise]
    share: NoiseShare | None

    def to_dict(self) -> Any:
        """Give the study as plain data."""
        return signed("NoiseStudy", super().to_dict() | {"metric": self.metric.to_dict()}, self.metric)


def noise_study(
    source: Source,
    names: Sequence[str],
    *,
    same_models: bool = False,
    one_network: bool = False,
    default: tuple[float, float] = (0.1, 5e-4),
    **settings: Unpack[ReadingKeywords],
) -> NoiseStudy:
    """Measure training noise, the optimism of the best epoch, and the effect of the rates (NDS, figures 12 to 14).

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population, each once.
    same_models : bool
        Whether the populations are the same models, in the same order, with other seeds.
    one_network : bool
        Whether each population is one network with many seeds.
    default : (float, float)
        Learning rate and weight decay of which the neighbourhood is looked at, where they vary.
    **settings
        `reading`, or its fields, see `edfkit.study.settings`. The error is the best one, which is compared with others.

    Returns
    -------
    NoiseStudy

    Raises
    ------
    EdfkitError
        If the error is not the best; the same models are not as many, or take part in one population and not in
        another; the default is not above 0; and see `selection.select`.
    """
    reading, _ = settle("noise_study", settings)
    if reading.error != "best":
        raise EdfkitError(
            f"error: {reading.error} was given, but this is about the best error and others; leave it out."
        )
    diverged = reading.diverged
    if min(default) <= 0:
        raise EdfkitError(f"The default rates were {default}, expected two numbers above 0; correct them.")
    source = once(source)
    members = select(source, names, reading=reading, by_row=True).populations
    spaces = [_noise(source, member, reading, one_network, default) for member in members]
    share = None
    if same_models:
        if len(members) < 2 or any(not np.array_equal(member.rows, members[0].rows) for member in members):
            sizes = ", ".join(f"{len(member.rows):,} of {member.name}" for member in members)
            raise EdfkitError(
                f"The same models with other seeds were asked for, and {sizes} take part, which are not two or more "
                "populations of the same models; name others, or leave that out."
            )
        share = noise_share(np.stack([member.errors for member in members], axis=1))
    return NoiseStudy(members[0].metric, diverged, reading.stopped, reading.select, spaces, share)


def _noise(
    source: Source, member: Population, reading: Reading, one_network: bool, default: tuple[float, float]
) -> Noise:
    metric, decimals = member.metric, decimals_of(member.metric.unit)
    final, curves = (
        None if values is None else metric.turned(values)
        for values in (_known(source, member, name) for name in (final_of(metric.name), curve_of(metric.name)))
    )
    lr, wd = _known(source, member, "lr"), _known(source, member, "wd")
    worst = member.diverged if reading.diverged in AS_WORST else member.filled
    worst += member.stopped if reading.stopped == "worst" else 0
    if worst or reading.select is not None:
        final = None  # the errors are not, or no longer, the best of the curves
    rates = near = None
    if lr is not None and wd is not None and min(lr.min(), wd.min()) > 0 and np.ptp(lr) > 0 and np.ptp(wd) > 0:
        rates = rate_map(lr, wd, member.errors, decimals=decimals)
        if np.any((np.abs(np.log2(lr / default[0])) <= 1) & (np.abs(np.log2(wd / default[1])) <= 1)):
            near = default_rank(lr, wd, member.errors, default, decimals=decimals)
    return Noise(
        member.name,
        len(member.errors),
        member.diverged,
        member.left_out,
        None if final is None else best_against_last(member.errors, final, decimals=decimals),
        None if curves is None or len(curves) < 2 else selection_optimism(curves, decimals=decimals),
        None if curves is None else at_epochs(curves, _some_epochs(curves.shape[1]), decimals=decimals),
        seed_noise(member.errors) if one_network else None,
        rates,
        near,
        member.label,
        member.filled,
    )


def _known(source: Source, member: Population, variable: str) -> NDArray[np.float64] | None:
    """Read a variable of the models that take part; None if it is not known, or infinite, of some."""
    if variable not in source.variables(member.name):
        return None
    values = source.read(member.name, variable)[member.rows].astype(float)
    return values if np.isfinite(values).all() else None


def _some_epochs(last: int) -> Any:
    """Choose at most ten epochs, more of them early."""
    return sorted(set(np.geomspace(1, last, 10).round().astype(int).tolist()))
