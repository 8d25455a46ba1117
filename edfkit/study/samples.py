"""The sample-size study: how many models are enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from edfkit.result import plain, signed
from edfkit.stats.edf import Floats
from edfkit.stats.sample import Sample
from edfkit.stats.sizes import (
    Distances,
    draw_models,
    expected_distance,
    expected_distance_to_population,
    simulate_distance,
)
from edfkit.stats.two_sample import Summary
from edfkit.study.selection import Selection, Source
from edfkit.study.settings import ReadingKeywords, settle
from edfkit.study.weighing import number, numbers, select_units

if TYPE_CHECKING:
    from edfkit import documents

DRAWN = (10, 100, 1000, 10_000)
"""Sizes of the samples that are summarised."""


@dataclass(frozen=True)
class SampleStudy:
    """How the EDF of a sample of the models approaches that of all.

    Where rows repeat a unit, models are units.

    Attributes
    ----------
    selection : Selection
        One population.
    models : ndarray of int, shape (k,)
        Sizes of the samples.
    to_truth : ndarray, shape (k,)
        Expected D of so many models to the distribution that they are drawn from.
    to_population : ndarray, shape (k,)
        Expected D of so many to all models of this population, which includes them: what the paper's figure 7 shows.
        It goes to 0 at the size of the population because the two overlap.
    simulated : Distances or None
        The latter by simulation, if it was asked for.
    samples : dict of int to Summary
        Summaries of samples of `DRAWN` models, as far as there are so many.
    errors : dict of int to ndarray
        Their errors, percent: the input of their EDFs.
    seed : int
        Of the simulation and of these samples.
    """

    selection: Selection
    models: np.ndarray[Any, np.dtype[np.int64]]
    to_truth: Floats
    to_population: Floats
    simulated: Distances | None
    samples: dict[int, Summary]
    errors: dict[int, Floats]
    seed: int

    def to_dict(self) -> "documents.SampleStudy":
        """Give the study as plain data, see the guide; D is a share (0 to 1), errors are percent."""
        samples: dict[str, documents.SampleSummary] = {
            str(size): {"min": s.min, "median": s.median, "mean": s.mean, "area": plain(s.area)}
            for size, s in self.samples.items()
        }
        document: documents.SampleStudy = {
            **self.selection.to_dict(),
            "space": self.selection.populations[0].name,
            "models": self.models.tolist(),
            "d_to_truth": self.to_truth.tolist(),
            "d_to_population": self.to_population.tolist(),
            "simulated": None if self.simulated is None else self.simulated.to_dict(),
            "samples": samples,
            "seed": self.seed,
        }
        return signed("SampleStudy", document, self.selection.metric)  # type: ignore[no-any-return]


def sample_study(
    source: Source,
    name: str,
    *,
    models: Sequence[int] | None = None,
    trials: int = 0,
    seed: int = 0,
    **settings: Unpack[ReadingKeywords],
) -> SampleStudy:
    """Say how far the EDF of fewer models is from that of all (NDS, figure 7).

    Parameters
    ----------
    source : Source
        Where the population is.
    name : str
        The population.
    models : sequence of int, optional
        Sizes of samples, 1 to the size of the population; by default powers of 2 up to it. Where rows repeat a unit,
        these are units: simulated samples have all their rows, those that are summarised one of each at random.
    trials : int
        Samples of each size to simulate, at least 2; 0: none.
    seed : int
        Of the samples.
    **settings
        `reading`, or its fields, see `edfkit.study.settings`.

    Returns
    -------
    SampleStudy

    Raises
    ------
    EdfkitError
        If a size is out of its range, and see `selection.select`.
    """
    reading, _ = settle("sample_study", settings)
    selection = select_units(source, [name], reading=reading)
    (member,) = selection.populations
    units, size = numbers(member), number(member)
    sample = Sample(member.errors, counts=member.counts)
    sizes = np.array(models) if models is not None else 2 ** np.arange(int(np.log2(size)) + 1)
    rng = np.random.default_rng(seed)
    simulated = simulate_distance(sample, sizes, trials=trials, rng=rng, units=units) if trials else None
    drawn = draw_models(sample, min(max(DRAWN), size), rng=np.random.default_rng(seed), units=units)
    samples = {some: drawn[:some] for some in DRAWN if some <= size}
    return SampleStudy(
        selection,
        sizes,
        expected_distance(sizes),
        expected_distance_to_population(sizes, size),
        simulated,
        {many: member.summarized(some) for many, some in samples.items()},
        samples,
        seed,
    )
