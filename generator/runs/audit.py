"""Audit an archive: train some of its models again, from what it says of them, and compare.

On the platform that trained a model, its curves come out equal to the last bit. Elsewhere sums are rounded otherwise,
which training amplifies as much as another seed would, so there an honest model is one more draw from its training
noise. With the mean of n trainings of it here and the sd of the noise at d degrees of freedom, the stated error lies
within

    mean +- t * sd * sqrt(1 + 1 / n),    t the 1 - c / 2 quantile of Student's t with d degrees of freedom,

but for a chance of c: exactly if the noise is normal and the platform draws anew, rarer if the same seed brings the two
close. The chance is shared out by Bonferroni, (1 - confidence) / models to each, so that an honest archive fails an
audit with a chance of 1 - confidence at most. If the noise of the curves is known too, half of it is for the error and
the other half is shared by the means of the curves over the epochs. Their points one by one are not held against such
bands: a deep network learns nothing for a while and then starts, so that single epochs are far from normal. Of 59
trainings of one, each against five others, 9 % left bands made for 2.5 %, and 2.5 % those of the means.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.published import Published
from edfkit.archive.schema import STATUS, Status
from edfkit.generator.runs import work
from edfkit.generator.runs.run import CURVES
from edfkit.generator.spaces import described as networks
from edfkit.generator.spaces.kinds import Architecture
from edfkit.generator.training.recipe import Recipe
from edfkit.result import Result

OUTCOMES = ("equal", "within noise", "different")
"""From good to bad."""

RERUNS = 4
"""Trainings under other seeds that the noise of a model is measured by, if nothing else says it."""

_LEAST = 5  # seeds of a network in an archive, to take its noise from there: as good as the default reruns
_OURS = ("epochs", "batch", "schedule", "precise_bn")  # what every recipe of a run says, and those of imports do not
_TOLERANCE = 1e-9  # percent, between an error and the smallest of its curve, as the format has it
Floats = NDArray[np.float64]


# The noise band


def prediction_band(
    sd: ArrayLike, *, df: float, trainings: int = 1, chance: float = 0.05, step: float = 0.0
) -> NDArray[np.float64]:
    """Give how far one more training may lie from the mean of some, on either side.

    t * max(sd, step / 2) * sqrt(1 + 1 / trainings). Errors are multiples of a step, that of one image: noise that
    shows on two neighbouring ones only has an sd of up to half a step, and a few trainings may all give the same.

    Parameters
    ----------
    sd : array_like
        Standard deviation of the training noise, 0 or more.
    df : float
        Degrees of freedom that it was estimated with, above 0; infinite if it is known.
    trainings : int
        That the mean is of, at least 1.
    chance : float
        That it lies farther away by noise alone, above 0 and below 1.
    step : float
        By which values differ, at least 0, in the unit of `sd`.

    Returns
    -------
    ndarray
        In the unit and shape of `sd`.

    Raises
    ------
    EdfkitError
        If a number is out of its range.
    """
    from scipy.special import stdtrit

    spread = np.asarray(sd, float)
    if np.any(spread < 0) or not (df > 0 and trainings >= 1 and 0 < chance < 1 and step >= 0):
        raise EdfkitError(
            f"A band was asked for with an sd of {np.min(spread):g}, {df:g} degrees of freedom, {trainings} trainings, "
            f"chance {chance:g} and step {step:g}, expected 0 or more, above 0, 1 or more, between 0 and 1, 0 or more; "
            "correct them."
        )
    reach = float(stdtrit(df, 1 - chance / 2)) * math.sqrt(1 + 1 / trainings)
    return np.asarray(reach * np.maximum(spread, step / 2))


@dataclass(frozen=True)
class Noise:
    """Training noise, as it is known before a model is trained again.

    Attributes
    ----------
    source : {"given", "archive"}
    sd : float
        Of the error, points.
    df : float
        Degrees of freedom of the sd; infinite if it is given.
    error : float
        Mean error of the network that it was seen on, percent; NaN if it is given.
    curves : dict of str to float
        The sd of the mean of each curve over the epochs, if it is the same network.
    """

    source: str
    sd: float
    df: float
    error: float = math.nan
    curves: Mapping[str, float] = field(default_factory=dict)


# What is audited


@dataclass(frozen=True)
class Subject:
    """A model as an archive describes it, and what it states of its training.

    Attributes
    ----------
    population, id : str
    architecture : Architecture
    configuration : dict of str to ndarray
        Its columns, without the axis of the models.
    recipe : Recipe
        With the learning rate and weight decay of this model.
    dataset : str
    seed : int
    status : {"finished", "diverged"}
    error, error_final : float
        Percent; NaN if the latter is not known.
    curves : dict of str to ndarray, shape (epochs,)
        Those out of `run.CURVES` that the archive has.
    noises : tuple of Noise
        What is known of the noise, of several networks perhaps; empty if it is to be measured.
    """

    population: str
    id: str
    architecture: Architecture
    configuration: Mapping[str, NDArray[Any]]
    recipe: Recipe
    dataset: str
    seed: int
    status: str
    error: float
    error_final: float
    curves: Mapping[str, Floats]
    noises: tuple[Noise, ...] = ()


def draw(source: Archive | Published, models: int, *, seed: int = 0, population: str | None = None) -> list[Subject]:
    """Draw models of an archive to audit, each as likely, none twice. More models begin with those of fewer.

    Parameters
    ----------
    source : Archive or Published
        Where they are.
    models : int
        How many, at least 1. Failed models are not drawn.
    seed : int
        Decides which.
    population : str, optional
        Draw from this one only.

    Returns
    -------
    list of Subject
        In the order of the draw.

    Raises
    ------
    EdfkitError
        If there are not so many, or a model is not described so that it can be trained again.
    """
    if not isinstance(source, Archive):
        raise EdfkitError(
            f"{source.path} holds published records, which do not say all that training took; "
            "audit an archive that edfkit pack wrote."
        )
    names = source.names if population is None else [population.lower()]
    trained = [np.flatnonzero(_trained(source, name)) for name in names]
    ends = np.cumsum([len(places) for places in trained])
    if not 1 <= models <= ends[-1]:
        raise EdfkitError(
            f"{models:,} models were asked for, and {source.path} has {ends[-1]:,} that were trained"
            + (f" in {population}" if population else "")
            + "; ask for 1 at least and no more than these."
        )
    drawn = np.random.default_rng(seed).permutation(ends[-1])[:models]
    of = np.searchsorted(ends, drawn, side="right")
    found: dict[int, Subject] = {}
    for which in np.unique(of):
        numbers = drawn[of == which]
        places = trained[which][numbers - (ends[which - 1] if which else 0)]
        found |= dict(zip(numbers.tolist(), _subjects(source, names[which], places), strict=True))
    return [found[number] for number in drawn.tolist()]


def _trained(source: Archive, name: str) -> NDArray[np.bool_]:
    """Tell which models of a population were trained to the end, or until they diverged, with an error to compare."""
    if not source.has(name, "error"):
        return np.zeros(source.models(name), bool)
    trained: NDArray[np.bool_] = np.isin(source.read(name, "status"), [Status.FINISHED, Status.DIVERGED])
    trained &= ~np.isnan(source.read(name, "error"))
    return trained


def _subjects(source: Archive, name: str, places: NDArray[np.intp]) -> Iterator[Subject]:
    recipe = _recipe(source, name)
    stated = {v: source.read(name, v)[places] for v in ("id", "error", "error_final", "status", "seed", "lr", "wd")}
    curves = {curve: source.read(name, curve)[places] for curve in CURVES if curve in source.variables(name)}
    parts = list(networks.describe(source, name))
    for i, place in enumerate(places):
        of_it = {variable: values[i] for variable, values in stated.items()}
        if not (of_it["seed"] >= 0 and of_it["seed"] == math.floor(of_it["seed"])):
            raise EdfkitError(
                f"{source.path} states the seed {of_it['seed']} for {of_it['id']} of {name}, expected a whole number "
                "from 0 up, so the model cannot be trained again; audit another population."
            )
        rates = {"lr": float(of_it["lr"]), "weight_decay": float(of_it["wd"])}
        architecture, configuration = next(
            (architecture, {column: values[among == place][0] for column, values in columns.items()})
            for among, architecture, columns in parts
            if place in among
        )
        known: dict[str, Any] = {rate: value for rate, value in rates.items() if not math.isnan(value)}
        yield Subject(
            name,
            str(of_it["id"]),
            architecture,
            configuration,
            replace(recipe, **known),
            source.dataset(name),
            int(of_it["seed"]),
            STATUS[of_it["status"]],
            float(of_it["error"]),
            float(of_it["error_final"]),
            {curve: values[i] for curve, values in curves.items()},
        )


def _recipe(source: Archive, name: str) -> Recipe:
    stated = source.recipe(name)
    try:
        if not isinstance(stated, dict):
            raise TypeError("it is no single one")
        if missing := [setting for setting in _OURS if setting not in stated]:
            raise TypeError(f"it says nothing of {missing[0]}")
        return Recipe(**stated)
    except TypeError as error:
        raise EdfkitError(
            f"{source.path}: the recipe of {name} is not one of edfkit generate ({error}), so its models cannot be "
            "trained again; audit an archive that edfkit pack wrote."
        ) from error


# Noise that an archive knows of


def known_noise(source: Archive, subjects: Sequence[Subject]) -> list[Subject]:
    """Add to models what their archive knows of the noise: from networks that it has with 5 seeds or more.

    If these are of the same network and rates, its noise is taken; else, of those trained on the same images by the
    same recipe but for the rates, all, of which that with the nearest error is to count.

    Parameters
    ----------
    source : Archive
        Where the models were drawn from.
    subjects : sequence of Subject

    Returns
    -------
    list of Subject
        The same models.
    """
    seeds: dict[tuple[str, bytes], dict[float, tuple[str, int]]] = {}  # of each network, where its models are
    own: dict[tuple[str, str], tuple[str, bytes]] = {}
    for name in source.names:
        try:
            keys, trained = _keys(source, name), _trained(source, name)
        except EdfkitError:
            continue  # a population that is not described has no noise to tell of
        ids, seed = source.read(name, "id"), source.read(name, "seed")
        for place in np.flatnonzero(trained).tolist():
            seeds.setdefault(keys[place], {})[seed[place]] = (name, place)
            own[name, ids[place]] = keys[place]
    groups = {key: list(members.values()) for key, members in seeds.items() if len(members) >= _LEAST}
    if not groups:
        return list(subjects)

    columns: dict[str, dict[str, NDArray[Any]]] = {name: {} for name, _ in set().union(*groups.values())}
    for name, read in columns.items():
        read |= {v: source.read(name, v) for v in ("id", "error", *CURVES) if v in source.variables(name)}
    known = {key: _noise(columns, members) for key, members in groups.items()}

    def of(subject: Subject) -> tuple[Noise, ...]:
        key = own[subject.population, subject.id]
        others = [
            (n, i) for n, i in groups.get(key, []) if (n, columns[n]["id"][i]) != (subject.population, subject.id)
        ]
        if len(others) >= _LEAST:
            return (_noise(columns, others, tuple(subject.curves)),)
        return tuple(noise for (trained, _), noise in known.items() if trained == key[0])

    return [replace(subject, noises=of(subject)) for subject in subjects]


def _keys(source: Archive, name: str) -> list[tuple[str, bytes]]:
    """Give, for each model, how and what on it was trained, but for the rates, and then its network and rates."""
    trained = f"{source.dataset(name)} {replace(_recipe(source, name), lr=0, weight_decay=0)}"
    rates = {rate: source.read(name, rate) for rate in ("lr", "wd")}
    keys: dict[int, tuple[str, bytes]] = {}
    for places, architecture, columns in networks.describe(source, name):
        values = [*(columns[column] for column in sorted(columns)), *(rate[places] for rate in rates.values())]
        rows = np.concatenate([column.reshape(len(places), -1).astype(float) for column in values], axis=1)
        prefix = repr(architecture.as_dict()).encode()
        keys |= {place: (trained, prefix + row.tobytes()) for place, row in zip(places.tolist(), rows, strict=True)}
    return [keys[place] for place in range(len(keys))]


def _noise(
    columns: Mapping[str, Mapping[str, NDArray[Any]]], members: Sequence[tuple[str, int]], curves: Sequence[str] = ()
) -> Noise:
    errors = np.array([columns[name]["error"][place] for name, place in members])
    means = {
        curve: [float(columns[name][curve][place].mean()) for name, place in members]
        for curve in curves
        if all(curve in columns[name] for name, _ in members)
    }
    return _measured("archive", errors, means)


def _measured(source: str, errors: ArrayLike, means: Mapping[str, ArrayLike]) -> Noise:
    """Give the noise that some trainings of a network show, by their errors and the means of their curves."""
    found = np.asarray(errors, float)
    curves = {curve: float(np.asarray(values, float).std(ddof=1)) for curve, values in means.items()}
    return Noise(source, float(found.std(ddof=1)), len(found) - 1, float(found.mean()), curves)


# Training again


def _retrain(subject: Subject, seed: int, folder: str | None, device: str) -> tuple[str, dict[str, Floats]]:
    """Train a model as a run does; give its status, and its curves as a run packs them."""
    dataset, images = work.images_of(subject.dataset, folder)
    try:
        result = work.train_configuration(
            subject.architecture, subject.configuration, subject.recipe, dataset, images, seed=seed, device=device
        )
    except EdfkitError:
        raise
    except Exception as error:  # whatever it is: the model that the archive describes does not train here
        raise EdfkitError(
            f"{subject.id} of {subject.population} could not be trained again ({type(error).__name__}: {error}); "
            "mend that, or audit another population."
        ) from error
    curves = {curve: np.array(getattr(result, curve), float) for curve in CURVES}
    for values in curves.values():
        values[~np.isfinite(values)] = np.nan  # results hold these as not known
    return result.status, curves


def _steps(subject: Subject, folder: str | None) -> dict[str, float]:
    """Say by how much the values of each curve differ at least: by an image, or what single precision resolves."""
    (train, test), batch = work.images_of(subject.dataset, folder)[0].images, subject.recipe.batch
    return {"test_error": 100 / test, "train_error": 100 / (train // batch * batch), "train_loss": 1e-6}


@dataclass(frozen=True)
class ModelAudit(Result):
    """What training a model again gave.

    Attributes
    ----------
    population, id : str
    seed : int
    outcome : {"equal", "within noise", "different"}
        Equal: errors and curves, to the last bit. Within noise: it ended in the same way, and the stated error is
        within the band, and the mean of each curve is within its own if that noise is known. If it diverged, it may
        have done so at any epoch.
    reason : str
        Why it is different; empty if it is not.
    stated_status, status : {"finished", "diverged"}
    stated_error, error : float
        Percent; of the training with the stated seed.
    differences : dict of str to float
        The largest difference of each curve from the stated one: points, nats for the loss. NaN if nothing can be
        compared.
    noise : {"", "given", "archive", "reruns"}
        Where the noise is known from; empty where it was not needed.
    noise_sd : float
        Of the error, points.
    trainings : int
        How often the model was trained here.
    mean_error : float
        Of these trainings, percent.
    band : float
        How far the stated error may lie from their mean, points.
    """

    population: str
    id: str
    seed: int
    outcome: str
    reason: str
    stated_status: str
    status: str
    stated_error: float
    error: float
    differences: dict[str, float]
    noise: str
    noise_sd: float
    trainings: int
    mean_error: float
    band: float


def audit_model(
    subject: Subject,
    *,
    chance: float,
    reruns: int = RERUNS,
    seed: int = 0,
    folder: str | None = None,
    device: str = "cpu",
) -> ModelAudit:
    """Train a model again, and compare. If it is not equal and its noise is not known, measure that.

    Parameters
    ----------
    subject : Subject
        The model.
    chance : float
        That an honest model is called different, if its noise is normal.
    reruns : int
        Trainings under other seeds to measure the noise by, at least 1.
    seed : int
        Decides those seeds.
    folder : str, optional
        Where the images are.
    device : {"cpu", "cuda"}
        What to train on.

    Returns
    -------
    ModelAudit

    Raises
    ------
    EdfkitError
        If the model cannot be trained here, the images cannot be had, or the stated curves are not as long as the
        recipe says.
    """
    for curve, values in subject.curves.items():
        if len(values) != subject.recipe.epochs:
            raise EdfkitError(
                f"The {curve} of {subject.id} of {subject.population} has {len(values)} epochs and the recipe "
                f"{subject.recipe.epochs}, so they cannot be compared; audit another population."
            )
    status, curves = _retrain(subject, subject.seed, folder, device)
    error, final = float(curves["test_error"].min()), float(curves["test_error"][-1])
    differences = {curve: _largest_difference(values, curves[curve]) for curve, values in subject.curves.items()}
    found = ModelAudit(
        subject.population, subject.id, subject.seed, "equal", "", subject.status, status, subject.error, error,
        differences, "", math.nan, 1, error, math.nan,
    )  # fmt: skip
    if (
        status == subject.status
        and error == subject.error
        and (final == subject.error_final or math.isnan(subject.error_final))
        and all(np.array_equal(values, curves[curve], equal_nan=True) for curve, values in subject.curves.items())
    ):
        return found
    if status != subject.status:
        return replace(found, outcome="different", reason=f"it {status} here, and the archive says {subject.status}")
    if reason := _contradiction(subject):
        return replace(found, outcome="different", reason=reason)
    if status == "diverged":
        return replace(found, outcome="within noise")

    trained = [curves]
    if subject.noises:
        noise = min(subject.noises, key=lambda known: abs(known.error - error))  # one alone, whatever its error
    else:
        seeds = np.random.default_rng([seed, *subject.id.encode()]).integers(2**31, size=reruns).tolist()
        trained += [_retrain(subject, other, folder, device)[1] for other in seeds]
        noise = _measured(
            "reruns",
            [one["test_error"].min() for one in trained],
            {curve: [one[curve].mean() for one in trained] for curve in subject.curves},
        )
    steps = _steps(subject, folder)
    mean = float(np.mean([one["test_error"].min() for one in trained]))
    shared = chance / 2 if noise.curves else chance
    usual: dict[str, Any] = {"df": noise.df, "trainings": len(trained)}
    band = float(prediction_band(noise.sd, **usual, chance=shared, step=steps["test_error"]))
    reason = ""
    if abs(subject.error - mean) > band:
        reason = f"its error of {subject.error:.2f} is not within {mean:.2f} +- {band:.2f}"
    for curve, sd in noise.curves.items():
        stated, middle = float(subject.curves[curve].mean()), float(np.mean([one[curve] for one in trained]))
        step = steps[curve] / subject.recipe.epochs
        reach = float(prediction_band(sd, **usual, chance=shared / len(noise.curves), step=step))
        if abs(stated - middle) > reach and not reason:  # never where the noise is not known: one of them diverged
            reason = f"the mean of its {curve}, {stated:.4g}, is not within {middle:.4g} +- {reach:.4g}"
    return replace(
        found, outcome="different" if reason else "within noise", reason=reason,
        noise=noise.source, noise_sd=noise.sd, trainings=len(trained), mean_error=mean, band=band,
    )  # fmt: skip


def _largest_difference(stated: Floats, found: Floats) -> float:
    apart = np.abs(stated - found)
    return float(np.nanmax(apart)) if not np.isnan(apart).all() else math.nan


def _contradiction(subject: Subject) -> str:
    """Say how the stated error contradicts the stated curve, if it does: no noise explains that."""
    curve = subject.curves.get("test_error")
    if curve is None or subject.status != "finished":
        return ""
    for what, stated, expected in (
        ("error", subject.error, curve.min()),
        ("final error", subject.error_final, curve[-1]),
    ):
        if abs(stated - expected) > _TOLERANCE:
            return f"its {what} is {stated:g}, and its curve says {expected:g}"
    return ""


# The whole


@dataclass(frozen=True)
class Audit(Result):
    """What training some models of an archive again gave.

    Attributes
    ----------
    archive : str
    seed : int
        Of the draw.
    confidence : float
        Of the whole audit: an honest archive passes with this probability at least, if its noise is normal.
    stated_software, software : str
        What the archive was trained with, and what the models were trained with now.
    same_platform : bool
        Whether these are the same.
    models : tuple of ModelAudit
        In the order of the draw.
    """

    archive: str
    seed: int
    confidence: float
    stated_software: str
    software: str
    same_platform: bool
    models: tuple[ModelAudit, ...]

    @property
    def outcome(self) -> str:
        """The worst outcome of a model."""
        return max((model.outcome for model in self.models), key=OUTCOMES.index)

    @property
    def exit_status(self) -> int:
        """0 if all are equal, 3 if all are at least within noise, else 1."""
        return {"equal": 0, "within noise": 3, "different": 1}[self.outcome]

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as plain data, with the outcome."""
        return {"outcome": self.outcome, **super().to_dict()}


def audit(
    source: Archive | Published,
    models: int,
    *,
    seed: int = 0,
    population: str | None = None,
    reruns: int | None = None,
    noise: float | None = None,
    confidence: float = 0.95,
    folder: Path | None = None,
    device: str = "auto",
    progress: Callable[[ModelAudit], None] | None = None,
) -> Audit:
    """Train some models of an archive again, one after the other, and compare them with what it states.

    Parameters
    ----------
    source : Archive or Published
        The archive; published files cannot be audited.
    models, seed, population
        Which models, see `draw`.
    reruns : int, optional
        Measure the noise of each model that is not equal by so many trainings under other seeds, at least 1. By default
        the noise is that of networks with many seeds in the archive, see `known_noise`; without those it is measured by
        4 trainings.
    noise : float, optional
        The sd of the noise of every model, points, 0 or more, in place of that.
    confidence : float
        Of the whole audit, above 0 and below 1.
    folder : Path, optional
        Where the images are.
    device : {"auto", "cpu", "cuda"}
        What to train on; auto takes a GPU if there is one.
    progress : callable, optional
        Called with each model as it is done.

    Returns
    -------
    Audit

    Raises
    ------
    EdfkitError
        If an option is out of its range, both `reruns` and `noise` are given, or the models cannot be trained here; see
        `draw` and `audit_model`.
    """
    if not 0 < confidence < 1:
        raise EdfkitError(f"The confidence was {confidence:g}, expected a number between 0 and 1; 0.95 is usual.")
    if reruns is not None and noise is not None:
        raise EdfkitError(f"Both {reruns} reruns and a noise of {noise:g} were given, expected one; leave one out.")
    if reruns is not None and reruns < 1:
        raise EdfkitError(f"{reruns} reruns were asked for, which show no noise; ask for at least 1.")
    if noise is not None and not 0 <= noise < math.inf:
        raise EdfkitError(f"The noise was {noise:g}, expected its sd in points, 0 or more; correct it.")
    subjects = draw(source, models, seed=seed, population=population)
    assert isinstance(source, Archive)  # draw refuses others
    if noise is not None:
        subjects = [replace(subject, noises=(Noise("given", noise, math.inf),)) for subject in subjects]
    elif reruns is None:
        subjects = known_noise(source, subjects)
    place, device = None if folder is None else str(folder), work.device_of(device)
    for dataset in {subject.dataset for subject in subjects}:
        work.images_of(dataset, place)  # what cannot be had fails here, before anything is trained
    chance = (1 - confidence) / models
    audited: list[ModelAudit] = []
    for subject in subjects:
        audited.append(
            audit_model(subject, chance=chance, reruns=reruns or RERUNS, seed=seed, folder=place, device=device)
        )
        if progress is not None:
            progress(audited[-1])
    stated, here = str(source.attrs["software"]), work.software(device)
    return Audit(str(source.path), seed, confidence, stated, here, stated == here, tuple(audited))
