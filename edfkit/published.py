"""The published files: populations as JSON, one list of records each, read in place.

Populations are named after their files, in lower case: `ResNeXt-A_in.json` is `resnext-a_in`. A file with several
lists, as those of the reruns, holds a population for each: `resnet_reruns_top`.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edfkit import EdfkitError
from edfkit.schema import STATUS, VARIABLES, check_values

# Such errors were recorded for runs that broke down: guessing among the 1,000 classes of ImageNet gives 99.9.
_DIVERGED = 99.9

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
_CURVES = {"test_error": "test_ep_top1", "train_error": "train_ep_top1", "train_loss": "train_ep_loss"}
# Of a percent. Errors were stored in single precision, 4.65 also as 4.650002, so that equal ones would not be ties.
_DECIMALS = 4


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
        """Say what the models of a population were trained on: the names of the files tell."""
        return "ImageNet" if name.lower().endswith("_in") else "CIFAR-10"

    def read(self, name: str, variable: str) -> NDArray[Any]:
        """Read one variable of a population.

        Parameters
        ----------
        name : str
            The population, in any case.
        variable : str
            Such as "error" (percent, rounded to 4 decimals), "params", "flops", or a curve, "test_error"; "macs" and
            "acts" were not recorded and are NaN.

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
            broken = self.read(name, "error") >= _DIVERGED
            return np.where(broken, STATUS.index("diverged"), STATUS.index("finished")).astype(np.int8)
        if variable in _CURVES:
            return self._read_curves(file, records, variable)
        if variable not in _COLUMNS:
            known = ", ".join((*_COLUMNS, *_CURVES))
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
        return values.round(_DECIMALS) if spec.units == "percent" else values

    def _read_curves(self, file: Path, records: list[Any], variable: str) -> NDArray[np.float64]:
        try:
            values = np.array([record[_CURVES[variable]] for record in records], dtype=float)
        except (LookupError, TypeError, ValueError) as error:
            raise EdfkitError(
                f"The records of {file} have no usable {variable}, of as many epochs each ({type(error).__name__}: "
                f"{error}); give a file in the published format."
            ) from error
        check_values(str(file), variable, values, lambda: self.read(file.stem, "status"))
        return values.round(_DECIMALS) if VARIABLES[variable].units == "percent" else values

    def variables(self, name: str) -> list[str]:
        """List the variables of a population that are recorded; curves are, if the first record has them."""
        first = self._population(name)[1][0]
        curves = [curve for curve, key in _CURVES.items() if isinstance(first, dict) and first.get(key)]
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
        """Return the description of each network of a population, as published.

        Parameters
        ----------
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
