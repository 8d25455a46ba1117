"""The search study: the error to expect of the best of m models, by their number or by what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np

from edfkit import EdfkitError
from edfkit.stats.bands import TABLE_SIZES, edf_band
from edfkit.stats.edf import Floats
from edfkit.stats.minima import BestOf, best_of, best_of_band, draws_for_top
from edfkit.study.selection import Selection, Source, select
from edfkit.study.settings import Control, SelectionKeywords, settle

if TYPE_CHECKING:
    from edfkit import documents

DRAWS = tuple(2**power for power in range(13))
"""Those of the paper."""


@dataclass(frozen=True)
class Curve:
    """Best-of-m curve of one population.

    Attributes
    ----------
    name : str
    best : BestOf
    low, high : ndarray, shape (k,)
        Simultaneous band of the expected smallest error, percent.
    cost_of_one : float or None
        Mean cost of a draw, in the unit of the cost; None if there is none.
    """

    name: str
    best: BestOf
    low: Floats
    high: Floats
    cost_of_one: float | None

    def to_dict(self) -> "documents.Curve":
        """Give the curve as plain data; errors in percent."""
        best = self.best.to_dict()
        return {
            "name": self.name,
            "m": best["m"],
            "error": best["error"],
            "spread": best["spread"],
            "se": best["se"],
            "quantiles": best["quantiles"],
            "models": best["models"],
            "n_eff": best["n_eff"],
            "replacement": best["replacement"],
            "method": best["method"],
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "cost_of_one": self.cost_of_one,
            "cost": None if self.cost_of_one is None else (self.cost_of_one * self.best.m).tolist(),
        }


@dataclass(frozen=True)
class SearchStudy:
    """Best-of-m curves of some populations.

    Attributes
    ----------
    selection : Selection
    curves : list of Curve
    confidence : float
        Of the bands.
    cost : str or None
        What the cost is counted in.
    top : dict of float to int
        Draws that find a model of that best share with probability 0.95, whatever the population.
    """

    selection: Selection
    curves: list[Curve]
    confidence: float
    cost: str | None
    top: dict[float, int]

    def to_dict(self) -> "documents.SearchStudy":
        """Give the study as plain data, see the guide."""
        curves = {curve.name: curve.to_dict() for curve in self.curves}
        selected = self.selection.to_dict()
        return {
            "given": selected["given"],
            "error": selected["error"],
            "diverged": selected["diverged"],
            "bins": selected["bins"],
            "range": selected["range"],
            "spaces": [{**curves[space["name"]], "summary": space} for space in selected["spaces"]],
            "confidence": self.confidence,
            "cost": self.cost,
            "draws_for_top": {f"{share:g}": draws for share, draws in self.top.items()},
        }


def search_study(
    source: Source,
    names: Sequence[str],
    *,
    m: Sequence[int] | None = None,
    replacement: bool = True,
    cost: str | None = None,
    confidence: float = 0.95,
    **settings: Unpack[SelectionKeywords],
) -> SearchStudy:
    """Compute the error to expect of the best of m random models (NDS, figures 6 right and 10).

    Parameters
    ----------
    source : Source
        Where the populations are.
    names : sequence of str
        At least one population.
    m : sequence of int, optional
        Numbers of draws, at least 1; by default powers of 2 up to 4,096, without replacement up to the smallest
        population.
    replacement : bool
        Whether a model can be drawn again, as in the paper; without it there can be no weights (given none).
    cost : {"seconds", "params", "macs", "flops"}, optional
        What a search spends: the mean of it over the models, drawn with their weights, times m.
    confidence : float
        Of the band on each curve, at least 0.5 and below 1.
    **settings
        `reading` and `control`, or their fields, see `edfkit.study.settings`; by default params is held equal: models
        are drawn with the weights.

    Returns
    -------
    SearchStudy

    Raises
    ------
    EdfkitError
        If the cost is not known, models with weights are to be drawn without replacement, and see `selection.select`.
    """
    reading, control = settle("search_study", settings, Control())
    selection, given = select(source, names, reading=reading, control=control), control.given
    if not replacement and given != "none":
        raise EdfkitError(
            f"replacement: models that are weighted, given {given}, cannot be drawn without replacement; draw them "
            "with it, or hold nothing equal (given none)."
        )
    fewest = min(len(member.errors) for member in selection.populations)
    if m is None:
        m = [draws for draws in DRAWS if replacement or draws <= fewest]
    if not len(m) or (not replacement and max(m) > fewest):
        raise EdfkitError(
            f"m: {list(m)} was given, expected one or more, and without replacement none above "
            f"{fewest:,}, the models of the smallest population; correct them."
        )
    curves = []
    for member in selection.populations:
        found = best_of(member.errors, np.array(m), member.weights, replacement=replacement)
        # Narrow at the best models, which is what counts here; without weights only, and within what is tabulated.
        local = member.weights is None and len(member.errors) <= TABLE_SIZES[-1]
        method = "equal-local-levels" if local else "ks"
        band = edf_band(member.errors, member.weights, confidence=confidence, method=method)
        low, high = best_of_band(band.values, band.lower, band.upper, np.array(m), upper_before=band.upper_before)
        price = None
        if cost is not None:
            each = source.read(member.name, cost)[member.rows].astype(float)
            if np.isnan(each).any():
                raise EdfkitError(
                    f"The {cost} of {np.isnan(each).sum():,} {member.name} models are not known; choose another cost."
                )
            price = float(np.average(each, weights=member.weights))
        curves.append(Curve(member.name, found, low, high, price))
    top = {share: draws_for_top(share, 0.05) for share in (0.1, 0.05, 0.01, 0.001)}
    return SearchStudy(selection, curves, confidence, cost, top)
