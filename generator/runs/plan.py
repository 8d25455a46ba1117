"""The plan of a run: every model that is to be trained, with its configuration, rates, seed and id.

It is one file, RUN/plan.json, written before anything is trained and never changed but by growing.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.files import TEMPORARY_SUFFIX, replacing
from edfkit.generator import spaces
from edfkit.generator.spaces.counting import Complexity
from edfkit.generator.spaces.kinds import Space
from edfkit.generator.spaces.sampling import Sample, sample
from edfkit.generator.training import data
from edfkit.generator.training.recipe import REVISION, Recipe

FORMAT, FORMAT_VERSION = "edfkit run", 3

Rates = tuple[float, float]


@dataclass(frozen=True)
class Request:
    """What a run is to train.

    Attributes
    ----------
    space : Space
    dataset : str
        Name of an image data set.
    models : int
        Size of the population.
    seed : int
        Decides the configurations, the rates and, if there is no seed of its own for it, each model's training.
    bounds : dict from "params", "macs" or "flops" to number
        Upper complexity bounds, exclusive.
    rule : {"and", "or", "none"}
        How the bounds combine.
    recipe : Recipe
    replacement : bool
        Whether a configuration may be drawn more than once.
    lr_range, wd_range : (float, float), optional
        Ends between which each model's learning rate, or weight decay, is drawn, log-uniformly. Else the recipe's hold.
    training_seed : int, optional
        Decides each model's training alone: the same models with other seeds.
    geometry : dict of str to int
        `image_size`, `channels`, `classes`; those of `dataset` unless it is the user's own.
    """

    space: Space
    dataset: str
    models: int
    seed: int
    bounds: dict[str, float]
    rule: str
    recipe: Recipe
    replacement: bool = True
    lr_range: Rates | None = None
    wd_range: Rates | None = None
    training_seed: int | None = None
    geometry: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.geometry:
            object.__setattr__(self, "geometry", data.find(self.dataset).geometry)
        for name, ends in (("learning rate", self.lr_range), ("weight decay", self.wd_range)):
            if ends is not None and not 0 < ends[0] <= ends[1] < np.inf:
                raise EdfkitError(
                    f"The {name} is to be between {ends[0]:g} and {ends[1]:g}, expected two positive numbers, the "
                    "smaller first, as it is drawn log-uniformly; correct them."
                )

    @property
    def population(self) -> str:
        """What the population is called: as the space, with the published endings if rates vary or seeds are other."""
        swept = [name for name, ends in (("lr", self.lr_range), ("wd", self.wd_range)) if ends is not None]
        seeds = "" if self.training_seed is None else f"_rng{self.training_seed}"
        return "".join([self.space.name, "_" * bool(swept), "-".join(swept), seeds])

    def as_dict(self) -> dict[str, Any]:
        """Give the request as plain data, without what is not asked for."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return {**given, "space": spaces.definition(self.space), "recipe": self.recipe.as_dict()}


@dataclass(frozen=True)
class Plan:
    """A request with every model that it means.

    Attributes
    ----------
    request : Request
    sample : Sample
        The configurations.
    rates : dict of str to ndarray, shape (models,)
        The `lr` and `weight_decay` of each model, where they vary.
    seeds : ndarray of int64, shape (models,)
    ids : list of str
        One per model: a hash of configuration, recipe, data set, seed and revision of the training code.
    created : str
        When the plan was written, UTC.
    """

    request: Request
    sample: Sample
    rates: dict[str, NDArray[np.float64]]
    seeds: NDArray[np.int64]
    ids: list[str]
    created: str

    def recipe(self, index: int) -> Recipe:
        """Give the recipe of a model."""
        rates: dict[str, Any] = {name: float(values[index]) for name, values in self.rates.items()}
        return replace(self.request.recipe, **rates)

    def rate(self, name: str) -> NDArray[np.float64]:
        """Give the "lr" or "weight_decay" of every model."""
        return self.rates.get(name, np.full(len(self.ids), getattr(self.request.recipe, name), float))


def make_plan(request: Request) -> Plan:
    """Sample the configurations of a request. The plan of more models begins with the plan of fewer.

    Raises
    ------
    EdfkitError
        See `sampling.sample`; also if paths are to be dropped that are the only ones.
    """
    space, recipe = request.space, request.recipe
    if recipe.drop_path and space.architecture.block == "double_plain_block":
        raise EdfkitError(
            f"The blocks of {space.name} have no shortcut, so dropping their path would drop all; give --drop-path 0."
        )
    drawn = sample(
        space,
        request.models,
        seed=request.seed,
        bounds=request.bounds,
        rule=request.rule,
        replacement=request.replacement,
        **request.geometry,
    )
    rates = _draw_rates(request)
    training = request.seed if request.training_seed is None else request.training_seed
    # Under another training seed the stream is another one even where both seeds are the same number.
    stream = [training, 1 if request.training_seed is None else 3, *space.name.encode()]
    seeds = np.random.default_rng(stream).integers(2**31, size=request.models)
    architecture = space.architecture.as_dict()
    common = [REVISION, architecture.pop("block"), request.dataset, recipe.as_dict()]
    prefix = json.dumps(common + [architecture] * bool(architecture), sort_keys=True)
    columns = [*drawn.columns.values(), *rates.values(), seeds]
    ids = [
        hashlib.blake2b((prefix + "".join(map(str, model))).encode(), digest_size=8).hexdigest()
        for model in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return Plan(request, drawn, rates, seeds, ids, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _draw_rates(request: Request) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng([request.seed, 2, *request.space.name.encode()])
    share = rng.random((request.models, 2))  # by rows, so that more models begin with those of fewer
    ranges = {"lr": request.lr_range, "weight_decay": request.wd_range}
    # Powers in double precision differ in their last bits between instruction sets, and with them the ids would. In
    # extended precision, rounded, they are the same with AVX2 and with AVX-512.
    exponents = share.astype(np.longdouble)
    return {
        name: ends[0] * (np.longdouble(ends[1] / ends[0]) ** exponents[:, i]).astype(float)
        for i, (name, ends) in enumerate(ranges.items())
        if ends is not None
    }


def write_plan(run: Path, plan: Plan) -> None:
    """Write the plan into the run's folder, which is made if need be."""
    (run / "results").mkdir(parents=True, exist_ok=True)
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": plan.created,
        "request": plan.request.as_dict(),
        "models": {
            "id": plan.ids,
            "seed": plan.seeds,
            **plan.rates,
            **plan.sample.columns,
            **plan.sample.complexity._asdict(),
        },
    }
    with replacing(run / "plan.json") as temporary:
        # What orjson cannot write itself is an array that is not contiguous.
        temporary.write_bytes(orjson.dumps(document, np.ndarray.tolist, orjson.OPT_SERIALIZE_NUMPY))


def read_plan(run: Path) -> Plan:
    """Read a run's plan.

    Raises
    ------
    EdfkitError
        If the folder holds no run, a damaged one, or one of another format version.
    """
    path = run / "plan.json"
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise EdfkitError(
            f"{run} is not a run: it has no plan.json; give the folder that edfkit generate wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise EdfkitError(f"The plan {path} cannot be read ({error}); restore it, or start a new run.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise EdfkitError(f"{path} is not the plan of a run; give the folder that edfkit generate wrote.")
    if (version_found := document.get("format_version")) != FORMAT_VERSION:
        raise EdfkitError(
            f"The run {run} has format version {version_found} and this edfkit reads {FORMAT_VERSION}; "
            "use the edfkit that began it."
        )
    try:
        request, models = document["request"], document["models"]
        space = spaces.read(request["space"], str(path), "")
        pairs = {name: tuple(request[name]) for name in ("lr_range", "wd_range") if name in request}
        columns = {name: np.array(models[name]) for name in space.draw(np.random.default_rng(), 0)}
        counts = Complexity(*(np.array(models[name], np.int64) for name in Complexity._fields))
        return Plan(
            Request(**{**request, **pairs, "space": space, "recipe": Recipe(**request["recipe"])}),
            Sample(columns, counts),
            {name: np.array(models[name], float) for name in ("lr", "weight_decay") if name in models},
            np.array(models["seed"], np.int64),
            models["id"],
            document["created"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EdfkitError(f"The plan {path} is damaged ({type(error).__name__}: {error}); start a new run.") from error


def open_run(run: Path, request: Request) -> Plan:
    """Begin a run, or go on with the one in the folder, with more models if the request has more.

    Raises
    ------
    EdfkitError
        If the folder holds a run of something else, or other files.
    """
    if not (run / "plan.json").exists():
        # A run killed before its plan was whole has left an empty folder of results, and perhaps a temporary file.
        ours = {run / "results", *run.glob(f".*{TEMPORARY_SUFFIX}")}
        if run.is_file() or (run.is_dir() and set(run.iterdir()) - ours):
            raise EdfkitError(f"{run} exists and is not a run; give the name of a new folder.")
        plan = make_plan(request)
        write_plan(run, plan)
        return plan
    plan = read_plan(run)
    old, new = (_settings(r) for r in (plan.request, request))
    differing = [name for name in old | new if old.get(name) != new.get(name)]
    if differing:
        raise EdfkitError(
            f"The run {run} was begun with "
            + ", ".join(f"{name} {old.get(name)} and not {new.get(name)}" for name in differing)
            + "; repeat its settings to go on, or give a new folder."
        )
    if request.models < plan.request.models:
        raise EdfkitError(
            f"The run {run} has {plan.request.models} models, more than the {request.models} asked for; "
            "a run can only grow."
        )
    if request.models > plan.request.models:
        longer = make_plan(request)
        if longer.ids[: len(plan.ids)] != plan.ids:
            raise EdfkitError(
                f"The run {run} cannot grow: this version of edfkit or numpy draws other models from its seed; "
                "start a new run with another seed."
            )
        plan = longer
        write_plan(run, plan)
    return plan


def _settings(request: Request) -> dict[str, Any]:
    """Give all that a run cannot change, one by one."""
    settings = {name: value for name, value in request.as_dict().items() if name != "models"}
    space, recipe, geometry = (settings.pop(name) for name in ("space", "recipe", "geometry"))
    return {"space": space.pop("name"), **settings, **space, **recipe, **geometry}
