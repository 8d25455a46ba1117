"""The comparison of two populations given complexity, in plain loops straight from the definitions: no edfkit in it."""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
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


@dataclass
class Stratum:
    """The models of A and of B of one stratum: the error of each, which part of a unit it is, and of which unit."""

    a: list[tuple[float, float, Hashable]]
    b: list[tuple[float, float, Hashable]]
    logs: tuple[list[float], list[float]]

    @property
    def units(self) -> tuple[float, float]:
        return math.fsum(size for _, size, _ in self.a), math.fsum(size for _, size, _ in self.b)

    @property
    def weight(self) -> float:
        n_a, n_b = self.units
        return n_a * n_b / (n_a + n_b)

    @property
    def wins(self) -> dict[tuple[Hashable, Hashable], float]:
        """For each pair of units how often that of A beats that of B; ties count half."""
        found: dict[tuple[Hashable, Hashable], float] = defaultdict(float)
        for error_a, size_a, unit_a in self.a:
            for error_b, size_b, unit_b in self.b:
                phi = 1.0 if error_a < error_b else 0.5 if error_a == error_b else 0.0
                found[unit_a, unit_b] += size_a * size_b * phi
        return found


@dataclass
class Strata:
    """Two populations in strata of about equal complexity, without what only one of them has."""

    strata: list[Stratum]

    @property
    def overlap(self) -> float:
        return math.fsum(one.weight for one in self.strata)

    @property
    def members(self) -> tuple[Member, Member]:
        """The models of both, with the weights that the strata give them."""
        found: tuple[Member, Member] = (Member([], [], 0, 0), Member([], [], 0, 0))
        for one in self.strata:
            for member, models, units in zip(found, (one.a, one.b), one.units, strict=True):
                member.errors += [error for error, _, _ in models]
                member.weights += [one.weight / self.overlap * size / units for _, size, _ in models]
        return found

    @property
    def prob_better(self) -> float:
        return math.fsum(
            one.weight / self.overlap * math.fsum(one.wins.values()) / math.prod(one.units) for one in self.strata
        )

    def better(self, confidence: float) -> tuple[float, float, float]:
        """Give p of P = 1/2, and the interval of P; not where P is near 0 or 1."""
        p, sums = self.prob_better, [0.0, 0.0]
        pairs = 0.0
        for one in self.strata:
            scale = one.weight / self.overlap / math.prod(one.units)
            rows: tuple[dict[Hashable, float], dict[Hashable, float]] = (defaultdict(float), defaultdict(float))
            for of, wins in one.wins.items():
                for side in (0, 1):
                    rows[side][of[side]] += wins - p
                pairs += (scale * (wins - p)) ** 2
            for side in (0, 1):
                sums[side] += math.fsum((scale * d) ** 2 for d in rows[side].values())
        v = self.overlap / (self.overlap - 1) * (sum(sums) - pairs)
        kappa = v / (4 * p * (1 - p))
        k = [1 / math.fsum((s.weight / self.overlap) ** 2 / s.units[side] for s in self.strata) for side in (0, 1)]
        df = sum(sums) ** 2 / sum(s * s / (n - 1) for s, n in zip(sums, k, strict=True))
        t, n = stats.t.ppf((1 + confidence) / 2, df), 1 / (4 * kappa)
        middle = (p + t * t / (2 * n)) / (1 + t * t / n)
        half = t / (1 + t * t / n) * math.sqrt(p * (1 - p) / n + t * t / (4 * n * n))
        return float(2 * stats.t.sf(abs(p - 0.5) / math.sqrt(kappa), df)), float(middle - half), float(middle + half)

    @property
    def mean_difference(self) -> float:
        """The difference of the means, less what a slope on the logarithm of complexity makes of what is left."""
        top = bottom = 0.0
        for one in self.strata:
            for models, logs in zip((one.a, one.b), one.logs, strict=True):
                n = math.fsum(size for _, size, _ in models)
                x = math.fsum(m[1] * log for m, log in zip(models, logs, strict=True)) / n
                y = math.fsum(m[1] * m[0] for m in models) / n
                top += math.fsum(m[1] * (log - x) * (m[0] - y) for m, log in zip(models, logs, strict=True))
                bottom += math.fsum(m[1] * (log - x) ** 2 for m, log in zip(models, logs, strict=True))
        slope = top / bottom if bottom else 0.0
        return math.fsum(
            sign * one.weight / self.overlap / n * m[1] * (m[0] - slope * log)
            for one in self.strata
            for sign, models, logs, n in zip((1, -1), (one.a, one.b), one.logs, one.units, strict=True)
            for m, log in zip(models, logs, strict=True)
        )


Models = list[tuple[float, float, Hashable]]
"""Error, complexity and unit of each model of a population."""


def numbered(errors: list[float], complexity: list[float]) -> Models:
    """Take each model for a unit by itself."""
    return [(error, count, place) for place, (error, count) in enumerate(zip(errors, complexity, strict=True))]


def stratify(a: Models, b: Models) -> Strata:
    """Cut the units of both into as many strata as the square root of their number, by complexity, ties together."""
    rows = [Counter(unit for _, _, unit in one) for one in (a, b)]
    total = sum(map(len, rows))
    number = max(1, round(math.sqrt(total)))

    def sized() -> Iterator[tuple[int, float, float, float, Hashable]]:
        for side, models in enumerate((a, b)):
            for error, count, unit in models:
                yield side, error, count, 1 / rows[side][unit], unit

    found = [Stratum([], [], ([], [])) for _ in range(number)]
    before = 0
    for count in sorted({count for _, _, count, _, _ in sized()}):
        tied = [one for one in sized() if one[2] == count]
        units = round(math.fsum(size for _, _, _, size, _ in tied))
        stratum = found[min(number - 1, math.floor((before + units / 2) * number / total))]
        for side, error, _, size, unit in tied:
            (stratum.a, stratum.b)[side].append((error, size, unit))
            stratum.logs[side].append(math.log(count))
        before += units
    return Strata([one for one in found if one.a and one.b])
