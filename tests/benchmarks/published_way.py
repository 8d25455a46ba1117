"""The studies as published, as the references of the benchmarks: loops over models, resampling; no edfkit in it.

Source: NDS, after the descriptions of the procedures; a study of few trials takes its part of the time. As a script it
reads published files and compares them: `python published_way.py FILE FILE`.
"""

import json
import sys
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

Record = dict[str, Any]  # a model of a published file, or what is needed of it


def errors_of(models: Sequence[Record]) -> list[float]:
    return [model["min_test_top1"] for model in models]


def weigh(models: list[Record], low: float, high: float, bins: int) -> tuple[list[Record], list[float]]:
    """Return the models within the range and 1 / (bins * models in the same bin) for each."""
    edges = np.linspace(low, high, bins + 1)
    inside = [model for model in models if low <= model["params"] <= high]
    counts = [0] * bins
    index = []
    for model in inside:
        place = min(int(np.digitize(model["params"], edges)) - 1, bins - 1)
        counts[place] += 1
        index.append(place)
    return inside, [1 / (bins * counts[place]) for place in index]


def common_range(spaces: list[list[Record]]) -> tuple[float, float]:
    complexities = [[model["params"] for model in models] for models in spaces]
    return max(map(min, complexities)), min(map(max, complexities))


def compare(spaces: list[list[Record]], bins: int = 10) -> float:
    """Return the largest distance between the EDFs of two spaces, normalised by parameters."""
    low, high = common_range(spaces)
    steps = []
    for models, sign in zip(spaces, (1, -1), strict=True):
        inside, weights = weigh(models, low, high, bins)
        steps += [(error, sign * weight) for error, weight in zip(errors_of(inside), weights, strict=True)]
    steps.sort()
    largest = height = 0.0
    for i, (error, step) in enumerate(steps):
        height += step
        if i + 1 == len(steps) or steps[i + 1][0] > error:
            largest = max(largest, abs(height))
    return largest


def resample_point(models: list[Record], small: int, large: int, trials: int) -> list[float]:
    """Return the smallest error of few models minus that of many, each drawn without replacement, for each trial."""
    random = np.random.RandomState(0)
    differences = []
    for _ in range(trials):
        best = []
        for size in (small, large):
            drawn = random.choice(len(models), size, replace=False)
            best.append(min(errors_of([models[i] for i in drawn])))
        differences.append(best[0] - best[1])
    return differences


def resample_search(models: list[Record], weights: list[float], sizes: Sequence[int]) -> list[tuple[float, float]]:
    """Return mean and spread of the best of m models over n / m weighted draws, for each m."""
    random = Random(0)
    up_to = list(accumulate(weights))
    curve = []
    for size in sizes:
        repeats = len(models) // size
        best = [min(errors_of(random.choices(models, cum_weights=up_to, k=size))) for _ in range(repeats)]
        curve.append((float(np.mean(best)), float(np.std(best))))
    return curve


def resample_sizes(models: list[Record], sizes: Sequence[int], trials: int) -> list[float]:
    """Return the mean D of samples to all models, for each size."""
    from scipy import stats

    random = np.random.RandomState(0)
    means = []
    for size in sizes:
        distances = []
        for _ in range(trials):
            drawn = random.choice(len(models), size, replace=False)
            test = stats.ks_2samp(errors_of([models[i] for i in drawn]), errors_of(models))
            distances.append(test.statistic)
        means.append(float(np.mean(distances)))
    return means


def permute(errors: list[NDArray[np.float64]], bins: list[NDArray[np.intp]], trials: int) -> tuple[float, list[float]]:
    """Return D of two populations, and after each exchange of models within bins: one exchange, one bin at a time.

    There is no published procedure; this is what the definition says.
    """
    random = np.random.RandomState(0)
    pooled, index = np.concatenate(errors), np.concatenate(bins)
    is_a = np.arange(pooled.size) < errors[0].size
    members = [np.flatnonzero(index == i) for i in np.unique(index)]
    order = np.argsort(pooled)
    ends = np.append(np.diff(pooled[order]) > 0, True)

    def distance(is_a: NDArray[np.bool_]) -> float:
        steps = np.empty(pooled.size)
        for models in members:
            from_a = is_a[models]
            number = from_a.sum()
            steps[models] = np.where(from_a, 1 / number, -1 / (models.size - number)) / len(members)
        return float(np.abs(np.cumsum(steps[order])[ends]).max())

    observed, exchanged = distance(is_a), []
    for _ in range(trials):
        for models in members:
            is_a[models] = random.permutation(is_a[models])
        exchanged.append(distance(is_a))
    return observed, exchanged


if __name__ == "__main__":
    print(compare([json.loads(Path(file).read_text(encoding="utf-8")) for file in sys.argv[1:]]))
