"""Results as plain data, which JSON can hold."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edfkit.metric import Metric


def signed(document: str, value: Any, metric: "Metric") -> Any:
    """Turn the oriented values of a document of `edfkit.documents` back, see `edfkit.metric`.

    Parameters
    ----------
    document : str
        The TypedDict that the value is.
    value : dict
    metric : Metric

    Returns
    -------
    dict
        The value itself where nothing is to be turned.
    """
    if metric.goal == "min" and metric.bounded:
        return value
    from edfkit import documents

    return documents.own_sign(getattr(documents, document), value, metric)


class Result:
    """A frozen dataclass that can be given as plain data."""

    def to_dict(self) -> Any:
        """Return the attributes as plain data: arrays as lists, numbers that are NaN or infinite as None."""
        return {name: plain(value) for name, value in vars(self).items()}


def plain(value: Any) -> Any:
    """Turn a value, and what is in it, into what JSON can hold.

    Parameters
    ----------
    value : Any
        Numbers, text, arrays, results, and lists, tuples and mappings of them.

    Returns
    -------
    Any
        Arrays and tuples as lists, results as dicts, NaN and infinite numbers as None; keys that are numbers as text.
    """
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, dict):
        return {f"{key:g}" if isinstance(key, float) else str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
