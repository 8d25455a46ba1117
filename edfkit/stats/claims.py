"""What several pairs of populations may be said to show, so that any false claim has at most the probability alpha.

Convention: each pair has two p values: `p_better`, of the hypothesis that a random model of one beats one of the other
as often as not, and `p_shape`, of the hypothesis that their error distributions are equal. If these are equal, so that
both hypotheses hold,

    p_any = min(p_better / 0.8, p_shape / 0.2)

is at most alpha with at most that probability. Of m pairs, those of the smallest p_any come first, each at the level
alpha / (m - pairs already claimed better), up to the first that is above it (after Holm 1979). A pair is claimed to be
better where p_better is not above that level either, else only to differ in shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edfkit import EdfkitError

OF_BETTER, OF_SHAPE = 0.8, 0.2
"""How the level is shared between the two tests of a pair."""


@dataclass(frozen=True)
class Claim:
    """What is claimed of a pair.

    Attributes
    ----------
    kind : {"better", "shape", "none"}
        That one is better, that the distributions differ in shape, or neither.
    p_value : float
        Of the pair by itself: the larger of p_better and p_any if one is better, else p_any.
    p_adjusted : float
        The same, adjusted for all pairs: there is a claim exactly where it is at most alpha.
    """

    kind: str
    p_value: float
    p_adjusted: float


def permutations_needed(pairs: int, alpha: float) -> int:
    """Say how many permutations the p value of shape takes, so that a claim of any of the pairs is possible.

    Parameters
    ----------
    pairs : int
        At least 1.
    alpha : float
        Above 0, below 1.

    Returns
    -------
    int
    """
    return max(1_999, 200 * pairs, int(np.ceil(2 * pairs / (OF_SHAPE * alpha) - 1e-9)))


def p_any(p_better: float, p_shape: float) -> float:
    """Combine the p values of the two tests of a pair.

    Parameters
    ----------
    p_better, p_shape : float
        0 to 1.

    Returns
    -------
    float
    """
    return min(1.0, p_better / OF_BETTER, p_shape / OF_SHAPE)


def claims(p_values: Sequence[tuple[float, float]], alpha: float = 0.05) -> list[Claim]:
    """Say what may be claimed of each of several pairs.

    Parameters
    ----------
    p_values : sequence of (float, float)
        Of each pair p_better and p_shape, 0 to 1.
    alpha : float
        Probability of any false claim, above 0, below 1.

    Returns
    -------
    list of Claim
        In the order of the pairs.

    Raises
    ------
    EdfkitError
        If a p value or alpha is out of range.
    """
    if not 0 < alpha < 1:
        raise EdfkitError(f"alpha: {alpha:g} was given, but a level between 0 and 1 is needed, for example 0.05.")
    if not all(0 <= p <= 1 for pair in p_values for p in pair):
        raise EdfkitError(f"claims: p values {list(p_values)} were given, but numbers from 0 to 1 are needed.")
    either = [p_any(*pair) for pair in p_values]
    found: list[Claim] = [Claim("none", 1.0, 1.0)] * len(either)
    better, stopped, highest = 0, False, 0.0
    for place in sorted(range(len(either)), key=lambda one: (either[one], p_values[one][0])):
        left = len(either) - better
        level = alpha / left
        stopped = stopped or either[place] > level
        both = max(p_values[place][0], either[place])
        kind = "none" if stopped else "better" if both <= level else "shape"
        p = both if kind == "better" else either[place]
        # Of what is claimed it is at most alpha, whatever round-off does, and of what is not it is above.
        raw = min(1.0, p * left)
        highest = max(highest, raw)
        adjusted = min(highest, alpha) if kind != "none" else max(highest, np.nextafter(alpha, 1))
        found[place] = Claim(kind, p, float(adjusted))
        better += kind == "better"
    return found
