"""How each design space looks, the same in every figure, report and page: colour, line, marker.

Convention: a look belongs to a design space, so all populations of it have its colour: `resnet`, `ResNet_in` and
`resnet_lr-wd` alike. Names that differ in a number otherwise, such as `net-18` and `net-34` or `resnet_18` and
`resnet_34`, are of different networks and have different colours. Spaces that are compared with each other differ in
lightness, line and marker too, so that the colour-blind and readers of grey print can tell them apart. The colours were
found by a search for large CIEDE2000 differences after the simulation of Machado et al. (2009); tests/test_look.py says
which differences hold.
"""

import re
from collections.abc import Sequence
from colorsys import hls_to_rgb
from dataclasses import dataclass, replace
from typing import TypeVar

_T = TypeVar("_T")

Dash = tuple[float, ...]

DARK_BACKGROUND = "#121212"  # what the dark colours are made for; the light ones are for white

_SOLID: Dash = ()
_DASHED: Dash = (4.5, 1.8)
_DOTTED: Dash = (1.2, 1.3)
_DASH_DOT: Dash = (6.0, 1.6, 1.2, 1.6)
_LONG: Dash = (9.0, 2.0)
_DASH_DOT_DOT: Dash = (6.0, 1.4, 1.2, 1.4, 1.2, 1.4)


@dataclass(frozen=True)
class Look:
    """The look of one population in a figure.

    Attributes
    ----------
    light, dark : str
        Colour on a white and on a dark background, as "#RRGGBB".
    dash : tuple of float
        Lengths drawn and left out in turn, in line widths; empty for a solid line.
    marker : str
        Marker, in the letters of matplotlib.
    """

    light: str
    dark: str
    dash: Dash
    marker: str

    def colour(self, *, dark: bool = False) -> str:
        """Return the colour for a white or, if `dark`, a dark background."""
        return self.dark if dark else self.light


SPACES: dict[str, Look] = {
    "resnet": Look("#0050E0", "#8CB8FF", _SOLID, "o"),
    "vanilla": Look("#F15B47", "#E87260", _DASHED, "s"),
    "resnext-a": Look("#009E8E", "#24FCD8", _DASH_DOT, "^"),
    "resnext-b": Look("#391C35", "#91708C", _LONG, "v"),
    "resnet-b": Look("#D17087", "#FEC8CA", _DOTTED, "D"),
    "darts": Look("#042C93", "#7440E8", _DASH_DOT_DOT, "X"),
    "nasnet": Look("#9E6C00", "#D39F00", _DOTTED, "P"),
    "enas": Look("#7287D0", "#8293DF", _SOLID, ">"),
    "pnas": Look("#256C4E", "#3AD195", _DASH_DOT, "<"),
    "amoeba": Look("#8A250B", "#C5594A", _DASHED, "*"),
}

_DASHES = (_SOLID, _DASHED, _DOTTED, _DASH_DOT, _LONG, _DASH_DOT_DOT)
_VARIANT = re.compile(r"(_(in|fix-w-d|lr-wd|rng\d+|reruns(_\w+)?))+$")  # how the published populations are called
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MARKERS = tuple("os^vDXP><*")


def space_of(name: str) -> str:
    """Return the design space of a population: `resnet` for "ResNet_lr-wd_in", `my_space` for "my_space_rng1"."""
    first = name.lower().partition("_")[0]
    return first if first in SPACES else _VARIANT.sub("", name.lower())


def looks(names: Sequence[str]) -> list[Look]:
    """Choose the look of each population of one figure.

    A population of a known space has that space's look, whatever else is in the figure. The others take, in their
    order, the looks that no population of the figure has, then colours made for them. Populations of one space
    (`resnet_rng1`, `resnet_rng2`) share the colour; the second and later ones get another line and marker. If they have
    different numbers in their names, beyond those of published populations, those of the first number share it.

    Parameters
    ----------
    names : sequence of str
        Names of the populations, in the order of the figure.

    Returns
    -------
    list of Look
        One a name, in their order; no two of up to 10 populations a colour are equal.
    """
    groups = _groups(names)
    free = [look for space, look in SPACES.items() if space not in groups]
    unknown = [group for group in dict.fromkeys(groups) if group not in SPACES]
    chosen = SPACES | {group: free[i] if i < len(free) else _made(i - len(free)) for i, group in enumerate(unknown)}
    found: list[Look] = []
    for group in groups:
        look = chosen[group]
        same = [other for other in found if other.light == look.light]
        found.append(_another_line(look, same) if same else look)
    return found


def _groups(names: Sequence[str]) -> list[str]:
    """Say which populations have a colour together: by the space, and the numbers that tell its populations apart."""
    first: dict[str, list[str]] = {}
    groups = []
    for name in map(str.lower, names):
        space = space_of(name)
        rest = name.removeprefix(space)
        numbers = _NUMBER.findall(_VARIANT.sub("", rest) if space in SPACES else rest)
        same = not numbers or first.setdefault(space, numbers) == numbers
        groups.append(space if same else f"{space} {' '.join(numbers)}")
    return groups


def _made(i: int) -> Look:
    """Make one more look: colours of hues far from the last ones, each of which is in contrast to its background."""
    hue = 0.618034 * i % 1  # the golden section, which keeps all of any number of hues apart
    light, dark = (
        "#" + "".join(f"{round(255 * part):02X}" for part in hls_to_rgb(hue, lightness, 0.65))
        for lightness in (0.32, 0.7)
    )
    return Look(light, dark, _DASHES[i % len(_DASHES)], _MARKERS[i % len(_MARKERS)])


def _another_line(look: Look, same: Sequence[Look]) -> Look:
    """Choose a line and a marker that no look of the same colour has, as long as there are any."""
    dashes, markers = [other.dash for other in same], [other.marker for other in same]
    return replace(look, dash=_next(_DASHES, look.dash, dashes), marker=_next(_MARKERS, look.marker, markers))


def _next(values: Sequence[_T], own: _T, taken: Sequence[_T]) -> _T:
    start = values.index(own)
    around = [*values[start:], *values[:start]]
    return min(around, key=taken.count)  # the first of those taken least often
