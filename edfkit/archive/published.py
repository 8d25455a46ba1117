"""The published files: populations as JSON, one list of records each, read in place.

Populations are named after their files, in lower case: `ResNeXt-A_in.json` is `resnext-a_in`. A file with several
lists, as those of the reruns, holds a population for each: `resnet_reruns_top`.

Test errors were stored in single precision, 4.65 as 4.650002, so that equal ones would not be ties. They are read
without that noise: what lies within 1e-5 of 4 decimals, and has 6 decimals at most, is rounded to 4.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.archive.schema import VARIABLES, Status, check_values

if TYPE_CHECKING:
    from edfkit.archive import Archive

# Such errors were recorded for runs that broke down: guessing among the 1,000 classes of ImageNet gives 99.9.
DIVERGED_FROM = 99.9

_COLUMNS: dict[str, Callable[[dict[str, Any]], float]] = {
    "error": lambda record: record["min_test_top1"],
    "error_final": lambda record: record["test_ep_top1"][-1],
    "params": lambda record: record["params"],
    "flops": lambda record: record["flops"],
    "macs": lambda record: math.nan,  # not recorded
    "acts": lambda record: math.nan,  # not recorded
    "seed": lambda record: record["rng_seed"],
    "lr": lambda record: record["optim"]["base_lr"],
    "wd": lambda record: record["optim"]["wd"],
}
CURVES = {"test_error": "test_ep_top1", "train_error": "train_ep_top1", "train_loss": "train_ep_loss"}
NOISE = 1e-5  # percent, at most


def denoised(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Take the noise of single precision from test errors.

    Parameters
    ----------
    values : ndarray of float64
        Percent; NaN stays.

    Returns
    -------
    errors : ndarray of float64
        Rounded to 4 decimals where that takes away at most 1e-5 and `noised` gives it back exactly, else as they were.
    noise : ndarray of int8
        What that took, in units of 1e-6 percent; 0 where nothing was.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        grid = np.rint(values * 1e4)
        noise = np.rint(values * 1e6) - grid * 100
        noisy = (np.abs(noise) <= NOISE * 1e6) & (noise != 0) & ((grid * 100 + noise) / 1e6 == values)
    return np.where(noisy, grid / 1e4, values), np.where(noisy, noise, 0).astype(np.int8)


def noised(errors: NDArray[np.float64], noise: NDArray[np.int8]) -> NDArray[np.float64]:
    """Give the values that `denoised` had, exactly."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(noise != 0, (np.rint(errors * 1e4) * 100 + noise) / 1e6, errors)


def dataset_of(file: str, record: object) -> str:
    """Say what the models of a file were trained on, by its name or, if edfkit wrote it, a record."""
    named = record.get("dataset") if isinstance(record, dict) else None
    if isinstance(named, str):
        return named
    return "ImageNet" if Path(file).stem.lower().endswith("_in") else "CIFAR-10"


def networks(source: "Archive | Published", name: str) -> list[Any]:
    """Give the description of each network of a population, as published.

    Parameters
    ----------
    source : Archive or Published
        Published files, or an archive that they were imported to.
    name : str
        The population, in any case.

    Returns
    -------
    list
        The `net` of each record.

    Raises
    ------
    EdfkitError
        If there is no such population, or a record describes no network.
    """
    if isinstance(source, Published):
        return source.networks(name)
    nets = []
    for piece in source.chunks(name, ["record"]):
        for text in piece["record"].tolist():
            try:
                nets.append(json.loads(text)["net"])
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise EdfkitError(
                    f"{source.path}: record {len(nets)} of {name} has no net ({type(error).__name__}: {error}); import "
                    "published files that describe the networks."
                ) from error
    return nets


class Published:
    """Published files, with the reading side of `edfkit.archive.Archive`.

    Parameters
    ----------
    path : Path
        A JSON file, or a folder of them. A file is read when a population of it is first asked for.

    Attributes
    ----------
    path : Path
    attrs : dict of str to str
        Just a `title`.

    Raises
    ------
    EdfkitError
        If there is no such file, or no JSON file in the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise EdfkitError(f"There is no file {path}; give an archive, or published JSON files.")
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise EdfkitError(
                f"The folder {path} has no JSON files; give one that holds published files, or an archive."
            )
        self._files = {file.stem.lower(): file for file in files}
        self._records: dict[Path, Any] = {}
        self.attrs = {"title": "published files"}

    def __enter__(self) -> "Published":
        return self

    def __exit__(self, *exception: object) -> None:
        self._records.clear()

    @property
    def names(self) -> list[str]:
        """The populations, sorted by file; those of files that are not called reruns are known without reading them."""
        names: list[str] = []
        for stem, file in self._files.items():
            lists = self._load(file) if stem.endswith("_reruns") else None
            names += [f"{stem}_{part}" for part in lists] if isinstance(lists, dict) else [stem]
        return names

    def models(self, name: str) -> int:
        """Return the number of models in a population."""
        return len(self._population(name)[1])

    def dataset(self, name: str) -> str:
        """Say what the models of a population were trained on: the names of the files tell, if the records do not."""
        file, records = self._population(name)
        return dataset_of(file.name, records[0])

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population.

        Parameters
        ----------
        name : str
            The population, in any case.
        variable : str
            Such as "error" (percent, without the noise of single precision), "params", "flops", or a curve,
            "test_error"; "macs" and "acts" were not recorded and are NaN.

        Returns
        -------
        ndarray, shape (models,), of curves (models, epochs)

        Raises
        ------
        EdfkitError
            If there is no such population or variable, a record lacks it, or a value is out of range.
        """
        file, records = self._population(name)
        if variable == "id":
            ids = [record.get("job_id", i) if isinstance(record, dict) else i for i, record in enumerate(records)]
            return np.array([str(name) for name in ids])
        if variable == "status":
            broken = (self.read(name, "error") >= DIVERGED_FROM) | [_broke_down(record) for record in records]
            return np.where(broken, Status.DIVERGED, Status.FINISHED).astype(np.int8)
        if variable in CURVES:
            return self._read_curves(file, records, variable)
        if variable not in _COLUMNS:
            known = ", ".join((*_COLUMNS, *CURVES))
            raise EdfkitError(f"Published files have no {variable!r}; they have id, status, {known}.")
        spec = VARIABLES[variable]
        values = np.empty(len(records))
        for i, record in enumerate(records):
            try:
                value = values[i] = float(_COLUMNS[variable](record))
            except (LookupError, TypeError, ValueError, OverflowError) as error:
                raise EdfkitError(
                    f"Record {i} of {file} has no usable {variable} ({type(error).__name__}: {error}); "
                    "give a file in the published format."
                ) from error
            if not (spec.low <= value <= spec.high or (spec.nan and math.isnan(value))):
                expected = "0 to 100 percent" if spec.units == "percent" else "a finite number, 0 or more"
                raise EdfkitError(
                    f"Record {i} of {file} has the {variable} {value:g}, expected {expected}; "
                    "give a file in the published format."
                )
        return denoised(values)[0] if spec.units == "percent" else values

    def _read_curves(self, file: Path, records: list[Any], variable: str) -> NDArray[np.float64]:
        try:
            values = np.array([record[CURVES[variable]] for record in records], dtype=float)
        except (LookupError, TypeError, ValueError) as error:
            raise EdfkitError(
                f"The records of {file} have no usable {variable}, of as many epochs each ({type(error).__name__}: "
                f"{error}); give a file in the published format."
            ) from error
        check_values(str(file), variable, values, lambda: self.read(file.stem, "status"))
        return denoised(values)[0] if variable == "test_error" else values

    def variables(self, name: str) -> list[str]:
        """List the variables of a population that are recorded; curves are, if the first record has them."""
        first = self._population(name)[1][0]
        curves = [curve for curve, key in CURVES.items() if isinstance(first, dict) and first.get(key)]
        return ["id", "status", *_COLUMNS, *curves]

    def validate(self) -> None:
        """Read every variable of every population, which checks its values.

        Raises
        ------
        EdfkitError
            See `read`.
        """
        for name in self.names:
            for variable in ("id", *_COLUMNS):
                self.read(name, variable)

    def networks(self, name: str) -> list[Any]:
        """Give the description of each network of a population, see the function `networks`."""
        file, records = self._population(name)
        missing = [i for i, record in enumerate(records) if not isinstance(record, dict) or "net" not in record]
        if missing:
            raise EdfkitError(f"Record {missing[0]} of {file} has no net; give a file in the published format.")
        return [record["net"] for record in records]

    def _population(self, name: str) -> tuple[Path, list[Any]]:
        """Find the records of a population, and the file that they are in."""
        name = name.lower()
        stem, _, part = name.rpartition("_")
        if name in self._files:
            file = self._files[name]
            records = self._load(file)
        elif stem in self._files and isinstance(lists := self._load(self._files[stem]), dict) and part in lists:
            file, records = self._files[stem], lists[part]
        else:
            raise EdfkitError(f"There is no population {name!r} in {self.path}; it has {', '.join(self.names)}.")
        if not isinstance(records, list) or not records:
            parts = [f"{name}_{part}" for part in records] if isinstance(records, dict) else []
            raise EdfkitError(
                f"{file} does not hold a list of records for {name}; "
                + (f"name one of {', '.join(parts)}." if parts else "give a file in the published format.")
            )
        return file, records

    def _load(self, file: Path) -> Any:
        if file not in self._records:
            try:
                self._records[file] = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise EdfkitError(f"{file} cannot be read as JSON ({error}); fetch it again.") from error
        return self._records[file]


def _broke_down(record: Any) -> bool:
    """Tell whether a curve of a record has NaN, or its smallest test error is another than min_test_top1."""
    curves = (record.get(key) for key in CURVES.values())
    if any(value != value for curve in curves if isinstance(curve, list) for value in curve):
        return True
    test = record.get("test_ep_top1")
    errors = [value for value in test if isinstance(value, int | float)] if isinstance(test, list) else []
    return bool(errors) and abs(record["min_test_top1"] - min(errors)) > NOISE
