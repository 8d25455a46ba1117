"""What is measured of a model: a metric, with its goal, unit, bounds and grid.

Convention: studies compute with oriented values, of which the smaller is the better one: those of a metric that is
minimised as they are, those of one that is maximised times -1. Every output turns them back, so that people and
programs see values with their own sign.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from edfkit import EdfkitError

if TYPE_CHECKING:
    from edfkit import documents

_T = TypeVar("_T")

GOALS = ("min", "max")
BOUNDS = {"percent": (0.0, 100.0), "share": (0.0, 1.0)}
"""The bounds that belong to a unit; other units have none."""

BEYOND = 3.4028234663852886e38
"""Stands, as an oriented value, for one that is worse than any: the largest number in single precision."""
_FAR = BEYOND / 1e12


def is_known(value: float) -> bool:
    """Tell whether a number is one: not NaN, not infinite, nor a mean of up to 1e12 that `BEYOND` is among."""
    return abs(value) < _FAR


@dataclass(frozen=True)
class Metric:
    """A metric of trained models.

    Attributes
    ----------
    name : str
        The variable of the archive that holds it.
    unit : str
        "percent", "share" (0 to 1), or any other, such as "nats"; "1" if there is none, or it is not known.
    goal : {"min", "max"}
        Whether small or large values are good.
    low, high : float or None
        Bounds of what it can be; None where there is none. By default those of the unit.
    grid : float or None
        Distance of neighbouring values, such as 100 / test images for an error in percent; None if it is not known.
    label : str
        What people call it; by default its name.
    decimals : int or None
        With how many its values are written, see `fitted`; None: 2 of percent, 4 of others.

    Raises
    ------
    EdfkitError
        If the goal is no goal, the bounds are not in order, or the grid is not above 0.
    """

    name: str = "error"
    unit: str = "percent"
    goal: Literal["min", "max"] = "min"
    low: float | None = None
    high: float | None = None
    grid: float | None = None
    label: str = ""
    decimals: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.goal not in GOALS:
            raise EdfkitError(f"goal: {self.goal!r} was given, expected min or max; correct it.")
        if not self.label:
            object.__setattr__(self, "label", self.name)
        if self.low is None and self.high is None:
            low, high = BOUNDS.get(self.unit, (None, None))
            object.__setattr__(self, "low", low)
            object.__setattr__(self, "high", high)
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise EdfkitError(
                f"The bounds of {self.label} were given as {self.low:g} and {self.high:g}, expected the lower one "
                "first; correct them."
            )
        if self.grid is not None and not 0 < self.grid < math.inf:
            raise EdfkitError(f"grid: {self.grid:g} was given, expected a number above 0; correct it or leave it out.")

    @property
    def sign(self) -> int:
        """What turns a value into an oriented one, and back."""
        return 1 if self.goal == "min" else -1

    def turned(self, values: _T) -> _T:
        """Turn values into oriented ones, or oriented ones back; 0 keeps its sign."""
        return values if self.goal == "min" else 0.0 - values  # type: ignore[operator,return-value]

    @property
    def least(self) -> float:
        """The best that an oriented value can be; minus infinity where there is no bound."""
        end = self.low if self.goal == "min" else self.high
        return -math.inf if end is None else self.turned(end)

    @property
    def most(self) -> float:
        """The worst that an oriented value can be; infinity where there is no bound."""
        end = self.high if self.goal == "min" else self.low
        return math.inf if end is None else self.turned(end)

    @property
    def worst(self) -> float:
        """What a run counts as, oriented, that counts as the worst: the bound, or `BEYOND`."""
        return min(self.most, BEYOND)

    @property
    def best(self) -> float:
        """What a run counts as, oriented, that counts as the best: the bound, or minus `BEYOND`."""
        return max(self.least, -BEYOND)

    @property
    def bounded(self) -> bool:
        """Whether there are both bounds, so that there is an area under the EDF."""
        return self.low is not None and self.high is not None

    @property
    def middle(self) -> float | None:
        """The value between the bounds, up to which the area is by default; None if there are not both."""
        return None if self.low is None or self.high is None else (self.low + self.high) / 2

    @property
    def digits(self) -> int:
        """The decimals with which its values are written."""
        return (2 if self.unit == "percent" else 4) if self.decimals is None else self.decimals

    def fitted(self, spread: float) -> "Metric":
        """Choose as many decimals as show three digits of how far values are apart; percent always has two."""
        if self.unit == "percent" or not 0 < spread < BEYOND:
            return self
        return replace(self, decimals=min(12, max(0, 2 - math.floor(math.log10(spread)))))

    def to_dict(self) -> "documents.Metric":
        """Give the metric as plain data."""
        return {
            "name": self.name,
            "label": self.label,
            "unit": self.unit,
            "goal": self.goal,
            "low": self.low,
            "high": self.high,
            "grid": self.grid,
        }


ERROR = Metric()
"""The default metric: top-1 test error, percent."""

# Words of names, as expressions that are compiled where they are used: commands that read archives do without.
_PERCENT = r"acc|accuracy|err|error|top[-_@ ]?[15]|prec[15]?"
_OTHERS = (
    r"loss|perplexity|ppl|nll|mse|rmse|mae|r2|auc|auroc|auprc|map|miou|iou|f1|bleu|rouge|reward|return|psnr|ssim|fid|elo|"
    r"kl|bpc|bpb|bits?|entropy"
)


def _named(name: str, words: str) -> bool:
    """Tell whether a name has one of some words, as in val_loss, valLoss or VAL/LOSS."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return any(re.search(rf"(^|[^a-z])({words})([^a-z]|$)", one.lower()) for one in (parted, name))


def is_percentage(name: str) -> bool:
    """Tell whether a column is by its name an error or an accuracy: val_acc, top1_err."""
    return _named(name, _PERCENT) and not is_other(name)


def is_other(name: str) -> bool:
    """Tell whether a column is by its name neither an error nor an accuracy: val_loss, AUC, mAP."""
    return _named(name, _OTHERS)


def stated(
    name: str,
    ends: tuple[float, float] | None,
    *,
    goal: str = "min",
    unit: str | None = None,
    low: float | None = None,
    high: float | None = None,
    grid: float | None = None,
    label: str = "",
) -> Metric:
    """Make a metric of what is said of it, and of what its values show; what cannot be known is refused.

    Parameters
    ----------
    name : str
        The variable.
    ends : (float, float) or None
        The smallest and the largest value; None if none is known.
    goal : {"min", "max"}
    unit : str, optional
        Where none is said it is percent for what is called an error or an accuracy, else not known.
    low, high, grid : float, optional
    label : str
        What people call it.

    Returns
    -------
    Metric

    Raises
    ------
    EdfkitError
        If no unit is said and no value is above 1, as these may be shares, or percent; or a value is out of its bounds.
    """
    shown = label or name
    if unit is None and ends is not None and ends[1] <= 1:
        raise EdfkitError(
            f"No value of {shown} is above 1 (the largest is {ends[1]:g}), so they may be shares of 0 to 1, percent or "
            "something else; say which by --unit share, --unit percent or --unit with another name, such as 1."
        )
    if unit is None:
        unit = "percent" if is_percentage(shown) and (ends is None or (ends[0] >= 0 and ends[1] <= 100)) else "1"
    metric = Metric(name, unit, goal, low, high, grid, label)  # type: ignore[arg-type]
    if ends is not None:
        check_bounds(metric, ends)
    return metric


def check_bounds(metric: Metric, ends: tuple[float, float]) -> None:
    """Check that values are within the bounds of their metric.

    Raises
    ------
    EdfkitError
        If the smallest or the largest is not.
    """
    low, high = metric.low, metric.high
    for end in ends:
        if (low is not None and end < low) or (high is not None and end > high):
            expected = f"{low:g} to {high:g}" if low is not None and high is not None else (
                f"{low:g} or more" if low is not None else f"{high:g} at most"
            )  # fmt: skip
            raise EdfkitError(
                f"{metric.label} has the value {end:g}, expected {expected}"
                + (f" ({metric.unit})" if metric.unit != "1" else "")
                + "; correct the value, or say its unit by --unit."
            )


def find(metrics: Iterable[Metric], name: str | None, where: str, option: str = "metric") -> Metric:
    """Find a metric by its name, else by its label, the first one if no name is given; `option` is what named it.

    Raises
    ------
    EdfkitError
        If there is none of the name, or several have the label; the message lists those there are.
    """
    known = list(metrics)
    if name is None:
        return known[0]
    found = [one for one in known if one.name == name] or [one for one in known if one.label == name]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(one.name for one in found)
        raise EdfkitError(f"{option}: {where} has {len(found)} metrics called {name!r}: {listed}; name one of these.")
    listed = ", ".join(one.label for one in known)
    raise EdfkitError(f"{option}: {where} has no metric {name!r}, but only {listed}; name one of these.")
