"""The sample-size studies: how many models are enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from edfkit import EdfkitError
from edfkit.result import Result
from edfkit.stats.edf import Floats
from edfkit.stats.sizes import (
    Detection,
    Distances,
    expected_distance,
    expected_distance_to_population,
    models_for_detection,
    models_for_precision,
    models_for_shift,
    simulate_distance,
)
from edfkit.stats.two_sample import Summary, summarize
from edfkit.study.selection import Selection, Source, select
from edfkit.study.settings import Control, ReadingKeywords, SelectionKeywords, settle

if TYPE_CHECKING:
    from edfkit import documents


@dataclass(frozen=True)
class SampleStudy:
    """How the EDF of a sample of the models approaches that of all.

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
        Summaries of samples of 10, 100, 1,000 and 10,000 models, as far as there are so many.
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
            str(size): {"min": s.min, "median": s.median, "mean": s.mean, "area": s.area}
            for size, s in self.samples.items()
        }
        return {
            **self.selection.to_dict(),
            "space": self.selection.populations[0].name,
            "models": self.models.tolist(),
            "d_to_truth": self.to_truth.tolist(),
            "d_to_population": self.to_population.tolist(),
            "simulated": None if self.simulated is None else self.simulated.to_dict(),
            "samples": samples,
            "seed": self.seed,
        }


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
        Sizes of samples, 1 to the size of the population; by default powers of 2 up to it.
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
    selection = select(source, [name], reading=reading)
    errors = selection.populations[0].errors
    sizes = np.array(models) if models is not None else 2 ** np.arange(int(np.log2(len(errors))) + 1)
    rng = np.random.default_rng(seed)
    simulated = simulate_distance(errors, sizes, trials=trials, rng=rng) if trials else None
    order = np.random.default_rng(seed).permutation(len(errors))
    samples = {size: errors[order[:size]] for size in (10, 100, 1000, 10_000) if size <= len(errors)}
    return SampleStudy(
        selection,
        sizes,
        expected_distance(sizes),
        expected_distance_to_population(sizes, len(errors)),
        simulated,
        {size: summarize(some) for size, some in samples.items()},
        samples,
        seed,
    )


@dataclass(frozen=True)
class Precision(Result):
    """Models whose EDF is everywhere within `eps` of the truth with some confidence.

    Attributes
    ----------
    models : int
    eps, confidence : float
        Shares, 0 to 1.
    """

    models: int
    eps: float
    confidence: float


@dataclass(frozen=True)
class DetectionPlan:
    """Models of each population with which a KS test detects a difference.

    Attributes
    ----------
    selection : Selection
        The pilot populations: two, or one of which the errors are shifted.
    shift : float or None
        Percentage points.
    detection : Detection
    wanted : float
        The power that was asked for.
    seed : int
    """

    selection: Selection
    shift: float | None
    detection: Detection
    wanted: float
    seed: int

    def to_dict(self) -> "documents.DetectionPlan":
        """Give the plan as plain data, see the guide."""
        return {
            **self.selection.to_dict(),
            "shift": self.shift,
            "wanted_power": self.wanted,
            "seed": self.seed,
            "detection": self.detection.to_dict(),
        }


def plan_precision(eps: float, confidence: float = 0.95) -> Precision:
    """Say how many models a population needs for its EDF to be within `eps` of the truth everywhere.

    Parameters
    ----------
    eps : float
        Share, above 0 and below 1.
    confidence : float
        Above 0 and below 1.

    Returns
    -------
    Precision

    Raises
    ------
    EdfkitError
        If one is out of its range.
    """
    return Precision(models_for_precision(eps, confidence), eps, confidence)


def plan_detection(
    source: Source,
    names: Sequence[str],
    *,
    shift: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    trials: int = 1000,
    seed: int = 0,
    **settings: Unpack[SelectionKeywords],
) -> DetectionPlan:
    """Say how many models are needed to tell two populations split, by simulation from pilot populations.

    Parameters
    ----------
    source : Source
        Where the pilots are.
    names : sequence of str
        Two populations; or one, with a shift.
    shift : float, optional
        Percentage points that the second population's errors are above the first's.
    power, alpha : float
        Wanted probability to detect the difference, and level of the test.
    trials : int
        Simulated pairs of samples for each number of models that is tried.
    seed : int
        Of the simulation.
    **settings
        `reading` and `control`, or their fields, see `edfkit.study.settings`; by default nothing is held equal.

    Returns
    -------
    DetectionPlan

    Raises
    ------
    EdfkitError
        If there are not two populations, or one with a shift; and see `edfkit.stats.sizes.models_for_detection`.
    """
    if len(names) != (2 if shift is None else 1):
        raise EdfkitError(
            f"shift: {len(names)} populations were given {'without' if shift is None else 'with'} a shift, expected "
            "two, or one and a shift, the points by which another would be worse; name these."
        )
    reading, control = settle("plan_detection", settings, Control("none"))
    selection = select(source, names, reading=reading, control=control)
    rng = np.random.default_rng(seed)
    first, last = selection.populations[0], selection.populations[-1]
    wanted: dict[str, Any] = {"power": power, "alpha": alpha, "trials": trials, "rng": rng}
    if shift is not None:
        detection = models_for_shift(first.errors, shift, first.weights, **wanted)
    else:
        detection = models_for_detection(first.errors, last.errors, first.weights, last.weights, **wanted)
    return DetectionPlan(selection, shift, detection, power, seed)


class _Planned(SelectionKeywords, total=False):
    shift: float | None
    power: float
    alpha: float
    trials: int
    seed: int


def plan_study(
    source: Source | None,
    names: Sequence[str] = (),
    *,
    eps: float | None = None,
    confidence: float = 0.95,
    **settings: Unpack[_Planned],
) -> Precision | DetectionPlan:
    """Say how many models to train: for a precision, or to tell populations split.

    Parameters
    ----------
    source : Source or None
        Where the pilots are; not needed with `eps`.
    names : sequence of str
        Two populations, or one with a shift; none with `eps`.
    eps, confidence
        See `plan_precision`.
    **settings
        See `plan_detection`.

    Returns
    -------
    Precision or DetectionPlan

    Raises
    ------
    EdfkitError
        If there are neither `eps` nor populations, or both; and see `plan_precision` and `plan_detection`.
    """
    if (eps is None) == (not names):
        raise EdfkitError(
            f"eps: {eps} was given with {len(names)} populations, expected either a precision, eps, or one or two "
            "populations; give one of them."
        )
    if unknown := [name for name in settings if name not in _Planned.__annotations__]:
        raise TypeError(f"plan_study() takes no argument {unknown[0]!r}")
    if eps is not None:  # a precision makes no use of the settings
        return plan_precision(eps, confidence)
    if source is None:
        raise EdfkitError("source: None was given, expected where the populations are; open an archive.")
    return plan_detection(source, names, **settings)
