"""The results of a study as plain data, for `--json`. Errors are percent, complexities raw counts, the rest shares."""

from typing import Any

from edfkit.study import Comparison, Population


def population(member: Population) -> dict[str, Any]:
    """Describe one population."""
    summary = member.summary
    return {
        "name": member.name,
        "models": summary.models,
        "diverged": member.diverged,
        "left_out": sum(member.left_out.values()),
        "left_out_why": member.left_out,
        "n_eff": summary.n_eff,
        "min": summary.min,
        "mean": summary.mean,
        "median": summary.median,
        "area": summary.area,
        "area_to": summary.area_to,
        "quantiles": {f"{q:g}": value for q, value in summary.quantiles.items()},
    }


def comparison(result: Comparison) -> dict[str, Any]:
    """Describe a comparison."""
    return {
        "given": result.given,
        "error": result.error,
        "bins": result.bins,
        "range": None if result.range is None else list(result.range),
        "spaces": [population(member) for member in result.populations],
        "pairs": [
            {
                "a": pair.a,
                "b": pair.b,
                "ks": pair.test.statistic,
                "p_value": pair.test.p_value,
                "p_method": pair.test.method,
                "prob_a_better": pair.prob_a_better,
                "verdict": pair.verdict,
            }
            for pair in result.pairs
        ],
    }
