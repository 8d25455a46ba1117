"""The comparison of two populations given complexity, in plain loops straight from the definitions: no edfkit in it."""

import math
from dataclasses import dataclass

from scipy import stats


@dataclass
class Member:
    """One population: the errors that take part, their weights, and how many complexities lay outside the range."""

    errors: list[float]
    weights: list[float]
    below: int
    above: int

    @property
    def n_eff(self) -> float:
        return 1 / math.fsum(w * w for w in self.weights)

    @property
    def mean(self) -> float:
        return math.fsum(w * e for e, w in zip(self.errors, self.weights, strict=True))

    def area(self, upto: float) -> float:
        return 1 - math.fsum(w * min(1, e / upto) for e, w in zip(self.errors, self.weights, strict=True))

    def height(self, error: float) -> float:
        return math.fsum(w for e, w in zip(self.errors, self.weights, strict=True) if e <= error)

    def quantile(self, q: float) -> float:
        return min(e for e in self.errors if self.height(e) >= q - 1e-12)


def normalise(errors: list[float], complexity: list[float], lo: float, hi: float, bins: int) -> Member:
    """Weigh each model within lo..hi by 1 / (bins * models in its bin); hi belongs to the last bin."""
    edges = [lo + (hi - lo) * i / bins for i in range(bins + 1)]
    members: list[list[float]] = [[] for _ in range(bins)]
    for error, count in zip(errors, complexity, strict=True):
        for i in range(bins):
            if edges[i] <= count < edges[i + 1] or (i == bins - 1 and count == hi):
                members[i].append(error)
    return Member(
        [error for bin_ in members for error in bin_],
        [1 / (bins * len(bin_)) for bin_ in members for _ in bin_],
        sum(count < lo for count in complexity),
        sum(count > hi for count in complexity),
    )


def distance(a: Member, b: Member) -> float:
    """The largest distance between the EDFs."""
    return max(abs(a.height(e) - b.height(e)) for e in {*a.errors, *b.errors})


def p_value(a: Member, b: Member) -> float:
    """The asymptotic law of the distance, with the effective sizes."""
    return float(stats.kstwobign.sf(distance(a, b) * math.sqrt(a.n_eff * b.n_eff / (a.n_eff + b.n_eff))))


def prob_better(a: Member, b: Member) -> float:
    """The probability that a random model of a has the lower error; ties count half."""
    return math.fsum(
        w_a * w_b * (1.0 if e_a < e_b else 0.5 if e_a == e_b else 0.0)
        for e_a, w_a in zip(a.errors, a.weights, strict=True)
        for e_b, w_b in zip(b.errors, b.weights, strict=True)
    )
