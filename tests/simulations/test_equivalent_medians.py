"""How often medians that differ by just as much as is tested are shown to differ by less: the size of that test."""

import numpy as np
import pytest

from edfkit.metric import Metric
from edfkit.study.compare import compare_populations
from edfkit.study.selection import InMemory

pytestmark = pytest.mark.slow

RUNS, APART = 1000, 0.3


@pytest.mark.parametrize(("models", "given"), [(40, "none"), (150, "none"), (150, "params")])
def test_medians_at_the_margin_are_rarely_shown_to_be_equivalent(models: int, given: str) -> None:
    shown = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        populations = {}
        for name, shift in (("a", 0.0), ("b", APART)):
            params = rng.integers(1, 1000, models)
            loss = rng.gamma(3, 0.3, models) + shift + (params / 1000 if given != "none" else 0)
            populations[name] = {"loss": loss, "params": params}
        source = InMemory(populations, Metric("loss", "nats"))
        (pair,) = compare_populations(source, ["a", "b"], given=given, equivalent=APART).pairs
        shown += pair.is_equivalent is True
    rate = shown / RUNS
    print(f"{models} models, given {given}: {rate:.3f}")
    assert rate <= 0.05 + 2 * (0.05 * 0.95 / RUNS) ** 0.5
