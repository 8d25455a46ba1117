"""Drawing in SVG that fits any width: what is drawn stretches, text and line widths do not.

A figure is an element as large as the area of its axes, in which places are percent; labels of the axes lie outside,
where the style sheet leaves room. What is drawn lies in a part of its own, 1,000 units wide and high, that stretches.
Colours, line styles and sizes are in the style sheet: a space has the class `s0`, `s1` and so on in all of a report.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from edfkit.show.words import short
from edfkit.stats.edf import Floats

_UNITS = 1000.0
_FINEST = 0.4  # units: less is not seen on a screen, so that a path has at most 2,500 steps
_MOST_TICKS = 6


@dataclass(frozen=True)
class Axis:
    """One axis: what it runs over, and its label. Places are those of oriented values, ticks show them turned back.

    Attributes
    ----------
    lo, hi : float
        Ends, lo < hi.
    label : str
    base : float or None
        Of the logarithm; None for an axis that is not logarithmic.
    text : callable
        Writes the number at a tick.
    sign : int
        -1 if numbers are those of a metric that is maximised, times -1: their ticks are at round numbers, too.
    """

    lo: float
    hi: float
    label: str
    base: float | None = None
    text: Callable[[float], str] = field(default=lambda value: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
    sign: int = 1

    def place(self, values: Floats | float) -> Floats:
        """Give the places of values, 0 at the low end and 1 at the high end."""
        ends, inside = np.array([self.lo, self.hi], float), np.asarray(values, float)
        if self.base is not None:
            ends = np.log(ends)
            inside = np.log(np.maximum(inside, np.finfo(float).tiny))
        return np.asarray((inside - ends[0]) / (ends[1] - ends[0]))

    def ticks(self) -> list[tuple[float, str]]:
        """List the places of ticks at round numbers, as percent, with their text."""
        values = _round_numbers(self.lo, self.hi) if self.base is None else _powers(self.lo, self.hi, self.base)
        return [
            (100 * float(self.place(value)), self.text(value if self.sign > 0 else 0.0 - value)) for value in values
        ]


def count(value: float) -> str:
    """Write a count at a tick, such as 1.2 M."""
    return "0" if value == 0 else short(value).replace(" ", "\N{NARROW NO-BREAK SPACE}")


def _round_numbers(lo: float, hi: float) -> list[float]:
    rough = (hi - lo) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (power, 2 * power, 2.5 * power, 5 * power, 10 * power) if step >= rough * (1 - 1e-9))
    first, last = math.ceil(lo / step - 1e-9), math.floor(hi / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _powers(lo: float, hi: float, base: float) -> list[float]:
    spanned = math.log(hi / lo, base)
    if base == 10 and spanned < 2:
        values = [m * 10.0**p for p in range(-6, 12) for m in ((1, 2, 5) if spanned > 0.7 else (1, 1.5, 2, 3, 4, 5, 7))]
    else:
        every = max(1, math.ceil(spanned / _MOST_TICKS))
        values = [base**p for p in range(every * math.ceil(-40 / every), 41, every)]
    return [value for value in values if lo * (1 - 1e-9) <= value <= hi * (1 + 1e-9)]


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _steps(x: Axis, y: Axis, errors: Floats, heights: Floats, before: float) -> list[tuple[float, float]]:
    """Give the places at which a step function changes, and to what, as units; only those that can be told apart."""
    across, up = _UNITS * x.place(errors), _UNITS * (1 - y.place(heights))
    left = int(np.searchsorted(across, 0, side="right"))  # those steps are left of the axes
    start = float(up[left - 1]) if left else float(_UNITS * (1 - y.place(before)))
    across, up = across[left:], up[left:]
    seen = across <= _UNITS
    across, up = across[seen], up[seen]
    column = np.floor(across / _FINEST)
    last = np.append(column[1:] != column[:-1], True)[: across.size]
    return [(0.0, start), *zip(across[last].tolist(), up[last].tolist(), strict=True), (_UNITS, math.nan)]


def _traced(steps: Sequence[tuple[float, float]]) -> str:
    """Write a path along steps, from the first place to the last."""
    parts = [f"M0 {_number(steps[0][1])}"]
    at = _number(steps[0][1])
    for across, up in steps[1:-1]:
        to = _number(up)
        if to != at:
            parts.append(f"H{_number(across)}V{to}")
            at = to
    return "".join(parts) + f"H{_number(_UNITS)}"


def steps(x: Axis, y: Axis, errors: Floats, heights: Floats, style: str, before: float = 0.0) -> Markup:
    """Draw a step function: `before` below the first error, and each height from its error on."""
    return Markup('<path class="line {}" d="{}"/>').format(style, _traced(_steps(x, y, errors, heights, before)))


def step_band(
    x: Axis, y: Axis, errors: Floats, lower: Floats, upper: Floats, style: str, before: tuple[float, float]
) -> Markup:
    """Fill between two step functions at the same errors; `before` is what they are below the first one."""
    above = _traced(_steps(x, y, errors, upper, before[1]))
    below = _steps(x, y, errors, lower, before[0])
    ups = [up for _, up in below[:-1]]
    back = [f"V{_number(ups[-1])}"]
    for (across, _), up in zip(reversed(below[1:-1]), reversed(ups[:-1]), strict=True):
        back.append(f"H{_number(across)}V{_number(up)}")
    return Markup('<path class="fill {}" d="{}"/>').format(style, f"{above}{''.join(back)}H0Z")


def polyline(x: Axis, y: Axis, values: Floats, heights: Floats, style: str) -> Markup:
    """Draw a line through points."""
    across, up = _UNITS * x.place(values), _UNITS * (1 - y.place(heights))
    points = " ".join(f"{_number(a)},{_number(u)}" for a, u in zip(across.tolist(), up.tolist(), strict=True))
    return Markup('<polyline class="line {}" points="{}"/>').format(style, points)


def ribbon(x: Axis, y: Axis, values: Floats, lower: Floats, upper: Floats, style: str) -> Markup:
    """Fill between two lines."""
    across = _UNITS * x.place(np.concatenate([values, values[::-1]]))
    up = _UNITS * (1 - y.place(np.concatenate([upper, lower[::-1]])))
    points = " ".join(f"{_number(a)},{_number(u)}" for a, u in zip(across.tolist(), up.tolist(), strict=True))
    return Markup('<polygon class="fill {}" points="{}"/>').format(style, points)


def rule(x: Axis | None, y: Axis | None, value: float, style: str = "rule") -> Markup:
    """Draw a line across the axes, at a value of one of them."""
    if x is not None:
        at = _percent(x.place(value))
        return Markup('<line class="{}" x1="{}" x2="{}" y1="0" y2="100%"/>').format(style, at, at)
    assert y is not None
    at = _percent(1 - y.place(value))
    return Markup('<line class="{}" x1="0" x2="100%" y1="{}" y2="{}"/>').format(style, at, at)


def whisker(x: Axis, y: Axis, value: float, low: float, high: float, style: str, shift: float = 0.0) -> Markup:
    """Draw a vertical line from a low to a high value; `shift` is to the right, pixels."""
    at = _percent(x.place(value))
    ends = _percent(1 - y.place(low)), _percent(1 - y.place(high))
    return Markup('<line class="whisker {}" x1="{}" x2="{}" y1="{}" y2="{}" transform="translate({} 0)"/>').format(
        style, at, at, *ends, _number(shift)
    )


def interval(x: Axis, low: float, high: float, style: str) -> Markup:
    """Draw a horizontal line from a low to a high value, half-way up."""
    ends = _percent(x.place(low)), _percent(x.place(high))
    return Markup('<line class="whisker {}" x1="{}" x2="{}" y1="50%" y2="50%"/>').format(style, *ends)


def dot(x: Axis, y: Axis, value: float, height: float, style: str, shift: float = 0.0) -> Markup:
    """Draw a point; its shape stays that of a circle."""
    return Markup('<circle class="dot {}" cx="{}" cy="{}" r="3.5" transform="translate({} 0)"/>').format(
        style, _percent(x.place(value)), _percent(1 - y.place(height)), _number(shift)
    )


def label(x: Axis, y: Axis, value: float, height: float, text: str, style: str, anchor: str = "start") -> Markup:
    """Write a text at a point."""
    aside = {"start": "8", "end": "-8", "middle": "0"}[anchor]
    return Markup('<text class="label {}" x="{}" y="{}" dx="{}" dy=".32em" text-anchor="{}">{}</text>').format(
        style, _percent(x.place(value)), _percent(1 - y.place(height)), aside, anchor, text
    )


def bar(lo: float, hi: float, style: str, top: str = "0", height: str = "100%", shift: float = 0.0) -> Markup:
    """Fill a rectangle between two places, shares of the width; `shift` is down, pixels."""
    return Markup('<rect class="bar {}" x="{}" width="{}" y="{}" height="{}" transform="translate(0 {})"/>').format(
        style, _percent(lo), _percent(max(0.0, hi - lo)), top, height, _number(shift)
    )


def figure(x: Axis, y: Axis, name: str, says: str, stretched: Sequence[Markup], fixed: Sequence[Markup] = ()) -> Markup:
    """Put together a figure.

    Parameters
    ----------
    x, y : Axis
    name, says : str
        What the figure is, and what it shows, for those who do not see it.
    stretched : sequence of Markup
        What stretches with the figure: lines and areas.
    fixed : sequence of Markup
        What keeps its shape: points, text, rules.

    Returns
    -------
    Markup
    """
    grid, ticks = [], []
    for at, text in y.ticks():
        up = _percent(1 - at / 100)
        grid.append(Markup('<line class="grid" x1="0" x2="100%" y1="{}" y2="{}"/>').format(up, up))
        ticks.append(Markup('<text x="0" y="{}" dx="-8" dy=".32em" text-anchor="end">{}</text>').format(up, text))
    for at, text in x.ticks():
        across = _percent(at / 100)
        ticks.append(Markup('<text x="{}" y="100%" dy="1.6em" text-anchor="middle">{}</text>').format(across, text))
    inside = Markup('<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%">{}</svg>')
    return Markup(
        '<div class="plot"><p class="ylabel" aria-hidden="true">{}</p>'
        '<svg role="img" aria-label="{}"><desc>{}</desc><g aria-hidden="true">{}{}<line class="base" x1="0" x2="100%" '
        'y1="100%" y2="100%"/>{}{}</g></svg><p class="xlabel" aria-hidden="true">{}</p></div>'
    ).format(
        y.label,
        name,
        says,
        _joined(grid),
        inside.format(_joined(stretched)),
        _joined(fixed),
        Markup('<g class="ticks">{}</g>').format(_joined(ticks)),
        x.label,
    )


def strip(name: str, says: str, parts: Sequence[Markup]) -> Markup:
    """Put together a strip of bars, without axes."""
    return Markup('<svg class="strip" role="img" aria-label="{}"><desc>{}</desc>{}</svg>').format(
        name, says, _joined(parts)
    )


def _joined(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)


def _percent(share: Floats | float) -> str:
    return f"{100 * float(share):.2f}".rstrip("0").rstrip(".") + "%"
