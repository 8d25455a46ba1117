"""The JSON documents that edfkit prints: every field with its type, its unit and a sentence.

A document is declared here and nowhere else. The type checker holds the functions that build it to the declaration, a
test does so for what commands print, and `schema` writes its JSON Schema.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from edfkit.metric import is_known

if TYPE_CHECKING:
    import edfkit.metric

Schema = dict[str, Any]


@dataclass(frozen=True)
class In:
    """What a number is in.

    Attributes
    ----------
    unit : str
    least, most : float or None
        Its smallest and largest value.
    turns : bool
        Whether it is oriented within studies, see `edfkit.metric`, and turned by `own_sign`.
    """

    unit: str
    least: float | None = None
    most: float | None = None
    turns: bool = False


class Among:
    """The words that a text can be."""

    def __init__(self, *words: str) -> None:
        self.words = words


@dataclass(frozen=True)
class Length:
    """How many values a list has."""

    values: int


Percent = Annotated[float, In("percent", 0, 100)]
Value = Annotated[float, In("that of the metric", turns=True)]
Difference = Annotated[float, In("that of the metric, a difference", turns=True)]
Size = Annotated[float, In("that of the metric, a difference", 0)]
Share = Annotated[float, In("share", 0, 1)]
Probability = Annotated[float, In("probability", 0, 1)]
Correlation = Annotated[float, In("rank correlation", -1, 1)]
Turned = Annotated[float, In("rank correlation", -1, 1, turns=True)]
Distance = Annotated[float, In("difference of shares", 0, 1)]
Complexity = Annotated[float, In("raw count", 0)]
Models = Annotated[int, In("models", 0)]
Count = Annotated[int, In("count", 0)]
Positive = Annotated[int, In("count", 1)]
Seed = Annotated[int, In("seed", 0)]
Effective = Annotated[float, In("effective models", 0)]
ByShare = Annotated[dict[str, Value | None], 'By share of the models, such as "0.05".']
Range = Annotated[list[Complexity], Length(2)]
Interval = Annotated[list[Difference | None], Length(2)]
Correlations = Annotated[list[Correlation | None], Length(2)]
ShareInterval = Annotated[list[Annotated[float, In("share")] | None], Length(2)]
Given = Annotated[str, 'A complexity, another numeric column, two with a comma between, or "none".']
Counted = Annotated[str, Among("params", "flops", "macs", "acts")]
ErrorRead = Annotated[str, 'Error that is read: "best" over the epochs, "final", or the epoch, as a number in quotes.']
Diverged = Annotated[
    Annotated[str, Among("keep", "drop", "worst", "censor")],
    "What is done with runs that diverged: they keep their value (the worst, where they have none), are dropped, or "
    'count as the worst, 100 % of an error; "censor" is another word for "worst".',
]
Chosen = Annotated[
    str | None, "Metric by which the best epoch, or in a search the best run, is chosen; null: the metric itself."
]
Stopped = Annotated[
    Annotated[str, Among("drop", "last", "worst")],
    "What is done with runs that were stopped: they are dropped, keep the value they had, or count as the worst.",
]
Reasons = Annotated[
    dict[str, Annotated[int, In("models", 1)]], "Models that take no part, by reason; only reasons that occurred."
]


# --- What several documents have

VERSION = 1
"""Of the documents: it goes up when a key is taken away or gets another meaning, and not when keys are added."""


class Printed(TypedDict):
    """What every document begins with."""

    schema_version: Annotated[Annotated[int, In("version", 1)], "Version of the documents."]
    edfkit: Annotated[str, "Version of edfkit."]
    command: Annotated[str, "Command line that printed the document."]


Own = Annotated[float, In("that of the metric")]


class Metric(TypedDict):
    """What is measured of a model."""

    name: Annotated[str, "Variable of the archive."]
    label: Annotated[str, "Name as people see it."]
    unit: Annotated[str, 'Unit of its values, such as "percent", "share" or "nats"; "1" if none is known.']
    goal: Annotated[Annotated[str, Among("min", "max")], "Whether small or large values are good."]
    low: Annotated[Own | None, "Its lower bound; null if there is none."]
    high: Annotated[Own | None, "Its upper bound; null if there is none."]
    grid: Annotated[Own | None, "Distance of neighbouring values; null if it is not known."]


class Archive(TypedDict):
    """The archive that was read."""

    path: Annotated[str, "Path or address."]
    title: Annotated[str, "Title of the archive."]
    dataset: Annotated[str, 'Images that the models were trained on; several are joined by "and".']
    digest: Annotated[
        str | None, "SHA-256 of the stored checksums of the variables that were read; null if there are none."
    ]


class FromArchive(TypedDict):
    """A document about an archive."""

    archive: Annotated[Archive, "The archive that was read."]


class Space(TypedDict):
    """The models of one population that take part, and the summary of their errors."""

    name: Annotated[str, "Name of the population, lower case."]
    label: Annotated[str, "Name of the population as people see it."]
    models: Annotated[Models, "Models that take part."]
    diverged: Annotated[Models, "Those among them that diverged."]
    without_value: Annotated[
        Models, "Those that diverged and have no value, and count as the worst as `diverged` is keep."
    ]
    left_out: Annotated[Models, "Models that take no part."]
    left_out_why: Reasons
    n_eff: Annotated[Effective, "Effective number of models, 1 / sum of squared weights."]
    min: Annotated[Value | None, "Best value: the smallest error."]
    mean: Annotated[
        Value | None,
        "Mean, weighted if something is held equal; null where some run counts as worse than any value.",
    ]
    median: Annotated[Value | None, "The 0.5 quantile; null where it is worse than any value."]
    area: Annotated[
        Share | None,
        "Area under the EDF from the best value that can be to `area_to`; null where the metric has no bounds, or some "
        "run counts as worse than any value.",
    ]
    area_to: Annotated[Value | None, "Other end of the area; null where there is none."]
    quantiles: Annotated[
        ByShare,
        "For each share, the value that at least this share of the models reaches, counted from the best side; null "
        "where it is worse than any value.",
    ]


class ReadAs(TypedDict):
    """Which value of each model was read."""

    metric: Metric
    error: ErrorRead
    diverged: Diverged
    stopped: Stopped
    select: Chosen


class Held(TypedDict):
    """What was held equal, and which error was read."""

    metric: Metric
    given: Annotated[Given, "Complexity that is held equal."]
    error: ErrorRead
    diverged: Diverged
    stopped: Stopped
    select: Chosen
    bins: Annotated[Annotated[int, In("bins", 1)] | None, "Number of bins; null if there are none."]
    range: Annotated[Range | None, "Lower and upper end of the complexity, both included; null if there are no bins."]


class Selected(Held):
    """The models that took part."""

    spaces: Annotated[list[Space], "The populations, in the order of the command."]


# --- edfkit compare, and report


class Permutation(TypedDict):
    """The permutation test of D, within bins if there are any."""

    statistic: Annotated[Distance, "D, the largest distance of the weighted EDFs."]
    p_value: Annotated[Probability, "(1 + exceeding) / (1 + trials)."]
    standard_error: Annotated[Probability, "Standard error of the p value, from the finite number of permutations."]
    exceeding: Annotated[Count, "Permutations with a D at least as large."]
    trials: Annotated[Count, "Permutations that were drawn."]
    bins: Annotated[int, In("bins", 0), "Bins that hold models."]
    left_out_a: Annotated[Models, "Models of `a` outside the range."]
    left_out_b: Annotated[Models, "Models of `b` outside the range."]
    exact: Annotated[
        bool, "Whether permutations were drawn; false if bins of many models took part by their law in the limit."
    ]


Stretch = TypedDict(
    "Stretch",
    {
        "from": Annotated[Value | None, "Lower end of the values; null if there is none."],
        "to": Annotated[Value | None, "Upper end of the values; null if there is none."],
        "a_is": Annotated[str, Among("better", "worse", "undecided"), "Whether `a` is better there."],
    },
)
Stretch.__doc__ = "A range of errors."


class Best(TypedDict):
    """The best models of one population."""

    quantile: Annotated[Value | None, "Worst value among the best models."]
    low: Annotated[Value | None, "Lower end of its confidence interval; null if it has none."]
    high: Annotated[Value | None, "Upper end of its confidence interval; null if it has none."]
    mean: Annotated[Value | None, "Mean of the best models."]
    n_eff: Annotated[Effective, "Effective number of models at the quantile."]


class Tail(TypedDict):
    """The best models of both populations."""

    q: Annotated[Share, "Share of each population that counts as its best models."]
    confidence: Annotated[Probability, "Confidence of each interval."]
    a: Annotated[Best, "Of the first population."]
    b: Annotated[Best, "Of the second population."]


class PartShares(TypedDict):
    """Each part, divided by the total."""

    composition: Annotated[float, In("ratio"), "Share of the difference that comes from the mix of complexities."]
    within: Annotated[float, In("ratio"), "Share that comes from errors at equal complexity."]
    unshared: Annotated[float, In("ratio"), "Share that comes from bins that one population alone has."]


class Parts(TypedDict):
    """A signed difference, `a` minus `b`, and its parts, in the unit of the difference."""

    total: Annotated[float, In("that of the difference"), "The difference."]
    composition: Annotated[float, In("that of the difference"), "Part due to a different mix of the same bins."]
    within: Annotated[float, In("that of the difference"), "Part due to other errors in the same bins."]
    unshared: Annotated[float, In("that of the difference"), "Part due to bins that one population alone has."]
    shares: Annotated[PartShares | None, "Each part, divided by the total; null if the total is 0."]


class MeanParts(TypedDict):
    """A signed difference of means, `a` minus `b`, and its parts; null where there are no means."""

    total: Annotated[Difference | None, "The difference."]
    composition: Annotated[Difference | None, "Part due to a different mix of the same bins."]
    within: Annotated[Difference | None, "Part due to other values in the same bins."]
    unshared: Annotated[Difference | None, "Part due to bins that one population alone has."]
    shares: Annotated[PartShares | None, "Each part, divided by the total; null if the total is 0, or not known."]


class Mix(TypedDict):
    """How much of the difference without adjustment is the mix of complexities."""

    mean: Annotated[MeanParts, "Of the means."]
    prob_better: Annotated[Parts, "Of the probability that `a` is better, minus a half."]
    distance: Annotated[Parts, "Of the largest distance of the EDFs; these parts do not add up."]


class Balance(TypedDict):
    """How equal the complexities of the two populations are."""

    before: Annotated[
        float,
        In("ratio"),
        "Geometric mean of the complexity of `a` over that of `b`; a difference where values are below 0.",
    ]
    after: Annotated[float, In("ratio"), "The same within strata."]
    smd: Annotated[float, In("standard deviations"), "Standardised mean difference of the logarithm, within strata."]
    bias_in_se: Annotated[float, In("standard errors"), "Bias of `prob_a_better` that is left, in its standard errors."]
    equal: Annotated[bool, "Whether what is left is too little to matter."]


class Excluded(TypedDict):
    """Models outside the overlap."""

    a: Annotated[Models, "Models of `a`."]
    b: Annotated[Models, "Models of `b`."]


class Violation(TypedDict):
    """How nearly one population is at least as good as another at every quantile."""

    ratio: Annotated[
        Annotated[float, In("share", 0, 1)] | None,
        "Share of the squared distance of the quantiles where `a` is worse: 0 if `a` dominates, 1 if `b` does; null "
        "where the EDFs are equal.",
    ]
    low: Annotated[Probability, "Lower end of its confidence interval."]
    high: Annotated[Probability, "Upper end of its confidence interval."]
    standard_error: Annotated[Annotated[float, In("share", 0)] | None, "Standard error of the ratio in large samples."]
    distance: Annotated[Size, "Wasserstein distance of order 2 of the two EDFs."]


class Fragile(TypedDict):
    """What is found of a pair, depending on runs without a value; what holds in all three is claimed."""

    plain: Annotated[str, 'With those runs left out: the population that is better, "shape", or "none".']
    worst: Annotated[str, "With those runs counted as the worst."]
    best: Annotated[str, "With those runs counted as the best."]
    unplaced: Annotated[
        Models, "Those that are left out in all three cases, as the complexity that is held equal is not known of them."
    ]


class Pair(TypedDict):
    """Two compared populations; numbers are null where too few models of both are of equal complexity."""

    a: Annotated[str, "Name of the first population."]
    b: Annotated[str, "Name of the second population."]
    better: Annotated[
        str | None, 'Claim: the population that is better, "shape" if the distributions differ otherwise, or null.'
    ]
    ks: Annotated[Distance | None, "Kolmogorov-Smirnov distance D of the adjusted EDFs."]
    p_value: Annotated[Probability | None, "p value of the test that decides, of this pair by itself."]
    p_method: Annotated[str | None, "How the p value was computed."]
    p_adjusted: Annotated[
        Probability | None,
        "The p value, adjusted for all pairs: there is a claim exactly where it is at most 1 - `confidence`.",
    ]
    p_holm: Annotated[Probability | None, "The same as `p_adjusted`."]
    p_better: Annotated[Probability | None, "p value of `prob_a_better` = 1/2."]
    p_shape: Annotated[
        Probability | None, "p value of equal distributions; null also where it cannot change the claim."
    ]
    p_ks: Annotated[Probability | None, "Exact p value of D, with ties, run by run; null if something is held equal."]
    prob_a_better: Annotated[
        Probability | None,
        "Probability that a random model of `a` beats one of `b` of its complexity; ties count half.",
    ]
    prob_a_better_interval: Annotated[
        Annotated[list[Probability], Length(2)] | None, "Its confidence interval, of this pair by itself."
    ]
    mean_difference: Annotated[Difference | None, "Mean error of `a` minus that of `b`, adjusted."]
    mean_difference_interval: Annotated[
        Annotated[list[Difference], Length(2)] | None, "Its confidence interval, of this pair by itself."
    ]
    median_difference: Annotated[Difference | None, "Median error of `a` minus that of `b`, adjusted."]
    median_difference_interval: Annotated[
        Annotated[list[Difference], Length(2)] | None, "Its confidence interval, of this pair by itself."
    ]
    equivalent: Annotated[
        bool | None, "Whether the mean errors are shown to differ by less than --equivalent; null without it."
    ]
    p_equivalent: Annotated[Probability | None, "Its p value, adjusted for the number of pairs by Holm's method."]
    balance: Annotated[Balance | None, "How equal the complexities are; null if nothing is held equal."]
    strata: Annotated[Annotated[int, In("strata", 1)] | None, "Strata that hold models of both; null with bins."]
    overlap: Annotated[
        Annotated[float, In("models", 0)], "H: n / 2 for two populations of n models each of equal complexities."
    ]
    excluded: Annotated[Models, "Models outside the overlap, or outside the range of the bins."]
    excluded_by: Annotated[Excluded, "The same, by population."]
    paired: Annotated[bool, "Whether both populations are the same networks, so that each is compared with itself."]
    shared: Annotated[Annotated[int, In("networks", 0)], "Networks that are in both populations."]
    no_claim: Annotated[str | None, "Why the pair was not tested; null if it was."]
    permutation: Annotated[
        Permutation | None, "The permutation test of D, run by run; null without --permutations, and with strata."
    ]
    dominance: Annotated[str | None, 'Population whose EDF lies nowhere below the other; "neither" or "equal".']
    almost_dominance: Annotated[
        Violation | None, "How far `a` is from being at least as good as `b` at every quantile, adjusted."
    ]
    crossings: Annotated[list[Value | None], "Values at which the EDFs cross, the best one first."]
    confidence: Annotated[
        Probability, "Confidence of intervals, of `ranges` at all errors at once, and of all claims together."
    ]
    ranges: Annotated[
        list[Stretch],
        "Ranges of values, the best ones first, with the EDF that is above in each; undecided without a claim.",
    ]
    tail: Annotated[Tail | None, "The best models of both populations."]
    mix: Annotated[
        Mix | None,
        "How much of the difference without adjustment is the mix of complexities; null if nothing is held equal.",
    ]
    missing: Annotated[Excluded, "Runs that are left out as they have no value, by population."]
    fragile: Annotated[
        Fragile | None, "What is found if these count as the worst, or the best; null if there are none."
    ]
    verdict: Annotated[str, "The finding in one sentence."]


class ComparedSpace(Space):
    """A population that is compared."""

    units: Annotated[Models, "Networks, each with its settings; fewer than `models` where rows repeat one."]


class Setting(TypedDict):
    """Estimates of two populations in another setting, or why there are none; it makes no claim."""

    label: Annotated[str, "The setting, in words."]
    group: Annotated[
        Annotated[
            str, Among("chosen", "strata", "bins", "complexity", "error", "diverged", "stopped", "failed", "range")
        ],
        'What differs; "chosen" for the comparison itself.',
    ]
    given: Annotated[str, "Complexity that is held equal, several comma-separated, or none."]
    strata: Annotated[Annotated[int, In("strata", 1)] | None, "Strata that hold models of both; null without."]
    bins: Annotated[Annotated[int, In("bins", 1)] | None, "Number of bins; null with strata."]
    range: Annotated[Range | None, "Range of the bins, or part of the complexities that is looked at; null: all."]
    error: Annotated[str, "Which error of each model."]
    diverged: Diverged
    stopped: Stopped
    failed: Annotated[
        Annotated[str, Among("drop", "worst", "best")],
        "Whether runs without a value are left out, or count as the worst or the best.",
    ]
    prob_a_better: Annotated[Probability | None, "Probability that a random model of `a` beats one of `b`."]
    prob_a_better_interval: Annotated[
        Annotated[list[Probability], Length(2)] | None, "Its confidence interval, of this setting by itself."
    ]
    mean_difference: Annotated[Difference | None, "Mean error of `a` minus that of `b`, adjusted."]
    mean_difference_interval: Annotated[
        Annotated[list[Difference], Length(2)] | None, "Its confidence interval, of this setting by itself."
    ]
    balanced: Annotated[bool | None, "Whether complexity is equal enough for the intervals to hold."]
    why: Annotated[str | None, "Why nothing is estimated; null if something is."]


class Comparison(Held):
    """A comparison, without its archive."""

    chosen_on_test: Annotated[
        bool, "Whether errors are the smallest over the epochs on the test set, which makes them optimistic."
    ]
    spaces: Annotated[list[ComparedSpace], "The populations, in the order of the command; unweighted without bins."]
    pairs: Annotated[list[Pair], "Every pair of populations."]
    seed: Annotated[Seed, "Random seed of exchanges and bands."]
    sensitivity: Annotated[
        list[Setting], "Estimates in the setting of the comparison and in others; empty without --sensitivity."
    ]


class Compare(FromArchive, Comparison):
    """Error distributions of populations, every pair of them compared."""


class ReportFile(TypedDict):
    """A file that was written."""

    report: Annotated[str, "The file that was written."]
    bytes: Annotated[int, In("bytes", 1), "Size of the file."]


class Report(FromArchive, ReportFile, Comparison):
    """The comparison that the report begins with, and where the report was written."""


# --- edfkit describe


class Ranges(TypedDict):
    """Smallest and largest value of each complexity; null where it is not known."""

    params: Annotated[Range | None, "Trained parameters."]
    flops: Annotated[Range | None, "The published count of operations."]
    macs: Annotated[Range | None, "Multiply-adds."]
    acts: Annotated[Range | None, "Activations."]


class BootstrapInterval(TypedDict):
    """A bootstrap interval; estimate and ends are in the unit of the metric, of the area a share."""

    statistic: Annotated[str, "What was estimated."]
    estimate: Annotated[float, In("that of the metric, or share", turns=True), "Estimate from the sample itself."]
    low: Annotated[float, In("that of the metric, or share", turns=True), "Lower end."]
    high: Annotated[float, In("that of the metric, or share", turns=True), "Upper end."]
    confidence: Annotated[Probability, "Nominal coverage."]
    method: Annotated[str, "Kind of interval."]
    trials: Annotated[Count, "Bootstrap samples."]
    seed: Annotated[Seed | None, "Random seed of the bootstrap."]


class DescribedSpace(Space):
    """A population with its complexities and intervals."""

    complexity: Annotated[Ranges, "Smallest and largest complexity of all models of the population."]
    intervals: Annotated[
        dict[str, BootstrapInterval], "By statistic: mean, median, area, best of M; empty without --bootstrap."
    ]


class Description(ReadAs):
    """A description, without its archive."""

    spaces: Annotated[list[DescribedSpace], "The populations, unweighted."]


class Describe(FromArchive, Description):
    """Populations, one by one."""


# --- edfkit point


class Differences(TypedDict):
    """Distribution of the best error of the small search minus that of the large one."""

    mean: Annotated[Difference | None, "Mean; null where some run counts as worse than any value."]
    quantiles: Annotated[dict[str, Difference | None], 'By share of the searches, such as "0.05".']


class Gap(TypedDict):
    """How far apart two best errors must be to mean anything, if both searches drew from the first population."""

    either: Annotated[Size | None, "Whichever search is behind; null if no gap is large enough."]
    small_behind: Annotated[Size | None, "If the small search is behind."]
    large_behind: Annotated[Size | None, "If the large search is behind."]
    alpha: Annotated[Probability, "Probability that chance alone exceeds the gap."]
    small: Annotated[Models, "Models of the small search."]
    large: Annotated[Models, "Models of the large search."]
    replacement: Annotated[bool, "Whether models are drawn with replacement."]


class Resampled(TypedDict):
    """The same by resampling, as shares of the trials."""

    trials: Annotated[Count, "Trials."]
    seed: Annotated[Seed, "Random seed of the trials."]
    small_wins: Annotated[Share, "Share of the trials that the small search wins."]
    large_wins: Annotated[Share, "Share of the trials that the large search wins."]
    tie: Annotated[Share, "Share of the trials that end in a tie."]
    se: Annotated[Share, "Standard error of `large_wins`, if the exact probability holds."]


class PointStudy(Selected):
    """A point-estimate study, without its archive."""

    space: Annotated[str, "Population that the small search draws from."]
    against: Annotated[str, "Population that the large search draws from."]
    small: Annotated[Models, "Models of the small search."]
    large: Annotated[Models, "Models of the large search."]
    p_small_wins: Annotated[Probability, "Probability that the small search finds the smaller error."]
    p_large_wins: Annotated[Probability, "Probability that the large search finds the smaller error."]
    p_tie: Annotated[Probability, "Probability of a tie."]
    difference: Annotated[
        Differences, "Distribution of the best error of the small search minus that of the large one."
    ]
    gap: Annotated[Gap, "How far apart two best errors must be to mean anything."]
    resampled: Annotated[Resampled | None, "The same by resampling; null without --bootstrap."]


class Point(FromArchive, PointStudy):
    """What the best models of two searches say."""


# --- edfkit search


class Curve(TypedDict):
    """The best-of-m curve of one population; every list has one value for each m."""

    name: Annotated[str, "Name of the population."]
    m: Annotated[list[Annotated[int, In("models", 0)]], "Numbers of models drawn."]
    error: Annotated[list[Value | None], "Expected best value."]
    interval: Annotated[
        list[Annotated[list[Value | None], Length(2)] | None],
        "Confidence interval of the expectation, of each m alone; null above `most`.",
    ]
    median: Annotated[list[Value | None], "Median of the best value."]
    median_low: Annotated[list[Value | None], "Lower end of the simultaneous band of the medians; null: no bound."]
    median_high: Annotated[list[Value | None], "Upper end of the simultaneous band of the medians; null: no bound."]
    spread: Annotated[list[Size | None], "Standard deviation of the best value of one search."]
    se: Annotated[list[Size | None], "Standard error of the expectation; null above `most`."]
    quantiles: Annotated[dict[str, list[Value | None]], "By share of the searches: the best value."]
    models: Annotated[Models, "Models that take part."]
    n_eff: Annotated[Effective, "Effective number of models, or of networks where rows repeat one."]
    most: Annotated[Models, "Largest m for which there are enough models for an interval."]
    replacement: Annotated[bool, "Whether models are drawn with replacement."]
    method: Annotated[str, "How the curve was computed."]
    low: Annotated[list[Value | None], "Lower end of the simultaneous band; null: no bound."]
    high: Annotated[list[Value | None], "Upper end of the simultaneous band; null: no bound."]
    cost_of_one: Annotated[
        Annotated[float, In("that of `cost`", 0)] | None, "Mean cost of one model; null without --cost."
    ]
    cost: Annotated[list[Annotated[float, In("that of `cost`", 0)]] | None, "Cost of m models; null without --cost."]


class CurveOf(Curve):
    """A curve with the summary of its population."""

    summary: Annotated[Space, "Summary of the population."]


class Claimed(TypedDict):
    """Budgets for which one population is claimed to have the lower expected smallest error."""

    better: Annotated[str, "The population."]
    first: Annotated[Models, "Smallest m."]
    last: Annotated[Models, "Largest m."]


class SearchPair(TypedDict):
    """Two searches of equal budget; every list has one value for each m, null above `most`."""

    a: Annotated[str, "Name of the first population."]
    b: Annotated[str, "Name of the second population."]
    m: Annotated[list[Annotated[int, In("models", 0)]], "Numbers of models drawn, with replacement."]
    difference: Annotated[
        list[Difference | None], "Expected smallest error of `a` minus that of `b`, at equal complexity."
    ]
    low: Annotated[list[Difference | None], "Lower end of its interval, for all m of all pairs at once."]
    high: Annotated[list[Difference | None], "Upper end."]
    p_adjusted: Annotated[list[Probability | None], "p value of no difference, adjusted for all m of all pairs."]
    better: Annotated[
        list[str | None],
        "Claim: the population whose expectation is lower, where `p_adjusted` is at most 1 - `confidence`; or null.",
    ]
    most: Annotated[Models | None, "Largest m for which there are enough models; null if the pair was not tested."]
    claimed: Annotated[Claimed | None, "The longest run of budgets with the same claim; null if there is none."]
    balanced: Annotated[
        bool | None, "Whether complexity is equal enough for the intervals to hold; null if not tested."
    ]
    no_claim: Annotated[str | None, "Why the pair was not tested; null if it was."]


class SearchStudy(Held):
    """A search study, without its archive."""

    strata: Annotated[Annotated[int, In("strata", 1)] | None, "Strata that all populations have; null without."]
    unadjusted: Annotated[
        str | None, "Why the curves are not adjusted for complexity; null if they are, or nothing is held equal."
    ]
    spaces: Annotated[list[CurveOf], "The curves, one for each population."]
    pairs: Annotated[list[SearchPair], "Every pair of populations."]
    confidence: Annotated[Probability, "Confidence of bands and intervals, and of all claims together."]
    cost: Annotated[Annotated[str, Among("seconds", "params", "macs", "flops")] | None, "Unit of the costs."]
    draws_for_top: Annotated[
        dict[str, Annotated[int, In("draws", 0)]],
        "By share of the models: draws that find one of this best share with probability 0.95.",
    ]


class Search(FromArchive, SearchStudy):
    """The error to expect of the best of m random models."""


# --- edfkit samples, and plan


class Distances(TypedDict):
    """Distances by simulation, one for each size."""

    models: Annotated[list[Models], "Sizes of the samples."]
    mean: Annotated[list[Distance], "Mean D."]
    sd: Annotated[list[Annotated[float, In("difference of shares", 0)]], "Standard deviation of D."]
    trials: Annotated[Count, "Samples of each size."]
    population: Annotated[Models, "Models of the population."]
    reference: Annotated[Models, "Models of the EDF that the samples are compared with."]


class SampleSummary(TypedDict):
    """Summary of one sample."""

    min: Annotated[Value | None, "Best value."]
    median: Annotated[Value | None, "Median."]
    mean: Annotated[Value | None, "Mean; null where some run counts as worse than any value."]
    area: Annotated[Share | None, "Area under the EDF, of an error from 0 to 50 %; null where there is none."]


class SampleStudy(Selected):
    """A sample-size study, without its archive."""

    space: Annotated[str, "Name of the population."]
    models: Annotated[list[Models], "Sizes of the samples."]
    d_to_truth: Annotated[list[Distance], "Expected D to the distribution that the models are drawn from."]
    d_to_population: Annotated[list[Distance], "Expected D to all models of the population."]
    simulated: Annotated[Distances | None, "D to all models by simulation; null without --simulate."]
    samples: Annotated[dict[str, SampleSummary], "By size: the summary of one sample."]
    seed: Annotated[Seed, "Random seed of the simulation and the samples."]


class Samples(FromArchive, SampleStudy):
    """How far the EDF of fewer models is from that of all."""


class Precision(TypedDict):
    """With --eps: models for an EDF of a wanted precision."""

    models: Annotated[Models, "Models to train."]
    eps: Annotated[Share, "Largest distance of the EDF from the truth."]
    confidence: Annotated[Probability, "Confidence of that distance."]


class Needed(TypedDict):
    """Models of each population that reach the goal."""

    goal: Annotated[
        Annotated[str, Among("detect", "width", "equivalent")],
        "To claim that the better one is better, a narrow interval of the mean difference, or equivalence.",
    ]
    models: Annotated[Models, "Models of each population."]
    power: Annotated[Probability, "Probability to reach the goal with so many models, simulated anew."]
    standard_error: Annotated[Probability, "Standard error of the power."]
    alpha: Annotated[Probability, "Level of the tests; 1 - confidence of the intervals."]
    trials: Annotated[Count, "Simulated comparisons."]
    prob_a_better: Annotated[
        Probability | None, "Probability that a random model of the first pilot beats one of the second; null of one."
    ]
    prob_a_better_interval: Annotated[
        Annotated[list[Probability], Length(2)] | None, "Its confidence interval; null of one pilot."
    ]
    mean_difference: Annotated[
        Difference | None, "Mean error of the first pilot minus that of the second, adjusted; null of one."
    ]
    mean_difference_interval: Annotated[
        Interval | None, "Its confidence interval, null where there is no mean; null of one pilot."
    ]
    models_interval: Annotated[
        Annotated[list[Models | None], Length(2)] | None,
        "Models that detect the difference if the probability is at the ends of its interval: fewest and most, null if "
        "the interval contains 1/2; null for other goals, and of one pilot.",
    ]


class ComparisonPlan(Selected):
    """A plan, without its archive."""

    shift: Annotated[
        Annotated[float, In("that of the metric, a difference")] | None,
        "With one space: points by which another would be worse; null if not given.",
    ]
    width: Annotated[Size | None, "Wanted width of the interval of the mean difference; null if not given."]
    equivalent: Annotated[Size | None, "Points that the means are to differ by less than; null if not given."]
    wanted_power: Annotated[Probability, "Power that was asked for."]
    seed: Annotated[Seed, "Random seed of the simulation."]
    needed: Annotated[Needed, "Models of each population that reach the goal."]


class Plan(FromArchive, ComparisonPlan):
    """With one space or two: models that a comparison needs to reach its goal."""


# --- edfkit complexity


class Buckets(TypedDict):
    """Errors by bucket of complexity."""

    edges: Annotated[list[Complexity], "Edges, one more than buckets."]
    counts: Annotated[list[Models], "Models in each bucket."]
    mean: Annotated[list[Value | None], "Mean error; null if the bucket is empty."]
    sd: Annotated[list[Size | None], "Standard deviation of the errors; null below 2 models."]
    outside: Annotated[Models, "Models outside the range."]


class Advice(TypedDict):
    """Which bins work."""

    works: Annotated[bool, "Whether no bin is empty."]
    empty: Annotated[dict[str, list[Range]], "By population: ranges of the empty bins."]
    most_bins: Annotated[int, In("bins", 0), "The largest number of bins without an empty one."]
    widest: Annotated[Range | None, "The widest range in which so many bins work; null if none was found."]


class ComplexitySpace(TypedDict):
    """Complexity and error of one population."""

    name: Annotated[str, "Name of the population, lower case."]
    models: Annotated[Models, "Models that take part."]
    diverged: Annotated[Models, "Those among them that diverged."]
    left_out_why: Reasons
    min: Annotated[Complexity, "Smallest complexity."]
    max: Annotated[Complexity, "Largest complexity."]
    rank_correlation: Annotated[
        Turned | None, "Spearman's rank correlation of the metric and complexity; null where all are tied."
    ]
    rank_interval: Annotated[Annotated[list[Turned | None], Length(2)], "Its confidence interval at 95 %."]
    buckets: Annotated[Buckets, "Errors by bucket of complexity."]


class Histogram(TypedDict):
    """Models by complexity, from 0."""

    edges: Annotated[list[Complexity], "Edges, one more than buckets."]
    counts: Annotated[dict[str, list[Models]], "By population: models in each bucket."]
    outside: Annotated[dict[str, Models], "By population: models outside."]


class ComplexityStudy(TypedDict):
    """A complexity study, without its archive."""

    by: Annotated[Counted, "The complexity."]
    metric: Metric
    error: ErrorRead
    diverged: Diverged
    stopped: Stopped
    select: Chosen
    range: Annotated[Range, "Lower and upper end of the complexity, both included."]
    bins: Annotated[int, In("bins", 1), "Bins that the advice is on."]
    advice: Annotated[Advice, "Which bins work."]
    spaces: Annotated[list[ComplexitySpace], "The populations."]
    histogram: Annotated[Histogram, "Models by complexity, from 0."]


class ComplexityDocument(FromArchive, ComplexityStudy):
    """Complexities, and how the error goes with them."""


# --- edfkit noise


class Optimism(TypedDict):
    """How much lower the best error is than another one."""

    models: Annotated[Models, "Models."]
    mean: Annotated[Difference, "Mean of the other error minus the best."]
    mean_interval: Annotated[Interval, "Its confidence interval at 95 %; null for a single model."]
    median: Annotated[Difference, "Median of the other error minus the best."]
    quantiles: Annotated[dict[str, Difference], 'By share of the models, such as "0.05".']
    unchanged: Annotated[Models, "Models whose two errors are equal."]
    rank_correlation: Annotated[
        Correlation | None, "Spearman's rank correlation of the two errors; null where all are tied."
    ]
    rank_interval: Annotated[Correlations, "Its confidence interval at 95 %."]


class AtEpochs(TypedDict):
    """The order of the models after some epochs against that after the last, one value for each epoch."""

    epochs: Annotated[list[Annotated[int, In("epochs", 0)]], "Epochs, counted from 1."]
    spearman: Annotated[list[Correlation | None], "Spearman's rank correlation with the last epoch."]
    kendall: Annotated[list[Correlation | None], "Kendall's tau-b with the last epoch."]


class Seeds(TypedDict):
    """Errors of one network with many seeds."""

    seeds: Annotated[Count, "Seeds."]
    mean: Annotated[Value | None, "Mean error; null where some run counts as worse than any value."]
    min: Annotated[Value, "Smallest error."]
    max: Annotated[Value | None, "Largest error; null where that is worse than any value."]
    quantiles: Annotated[
        dict[str, Value | None], 'By share of the seeds, such as "0.05"; null where worse than any value.'
    ]
    sd: Annotated[Size | None, "Standard deviation between seeds; null where there is no mean."]
    sd_interval: Annotated[Interval, "Confidence interval of it by the jackknife; null where it has none."]
    sd_interval_normal: Annotated[Interval, "Confidence interval of it by chi-square, for normal errors."]
    excess_kurtosis: Annotated[Annotated[float, In("none")] | None, "Excess kurtosis, 0 if normal."]


class Rates(TypedDict):
    """Ranks of the errors over learning rate and weight decay."""

    lr_edges: Annotated[list[Annotated[float, In("learning rate", 0)]], "Edges of the learning rate."]
    wd_edges: Annotated[list[Annotated[float, In("weight decay", 0)]], "Edges of the weight decay."]
    counts: Annotated[list[list[Models]], "Models in each cell."]
    mean_rank: Annotated[list[list[Share | None]], "Mean rank, 0 the best and 1 the worst; null in empty cells."]
    empty: Annotated[Share, "Share of the cells without a model."]
    best: Annotated[
        Annotated[list[Annotated[int, In("index", 0)]], Length(2)] | None,
        "Indices of the best cell; null if there is none.",
    ]
    outside: Annotated[Models, "Models outside the edges."]


class NearDefault(TypedDict):
    """Models near the default rates."""

    models: Annotated[Models, "Models near the default rates."]
    mean_rank: Annotated[Share, "Mean rank of their errors among all, 0 the best and 1 the worst."]
    standard_error: Annotated[Annotated[float, In("share", 0)] | None, "Standard error of the mean rank."]


class NoiseSpace(TypedDict):
    """Training noise of one population."""

    name: Annotated[str, "Name of the population, lower case."]
    models: Annotated[Models, "Models that take part."]
    diverged: Annotated[Models, "Those among them that diverged."]
    last: Annotated[Optimism | None, "The best error against that after the last epoch; null if that is not known."]
    others: Annotated[
        Optimism | None, "The best error against that at the epoch which the other models choose; null without curves."
    ]
    epochs: Annotated[AtEpochs | None, "The order of the models after some epochs; null without curves."]
    seeds: Annotated[Seeds | None, "Errors of one network with many seeds; null without --one-network."]
    rates: Annotated[Rates | None, "Ranks over learning rate and weight decay; null unless they vary."]
    default: Annotated[NearDefault | None, "Models near the default rates; null unless the rates vary."]
    left_out_why: Reasons


class NoiseShare(TypedDict):
    """How much of an EDF's variance is training noise."""

    models: Annotated[Models, "Models."]
    seeds: Annotated[Count, "Seeds of each model."]
    noise_variance: Annotated[float, In("square of that of the metric", 0), "Variance between seeds."]
    model_variance: Annotated[
        float, In("square of that of the metric"), "Variance between models; an estimate that can be below 0."
    ]
    share: Annotated[float, In("share", None, 1), "Noise variance, divided by noise and model variance."]
    interval: Annotated[ShareInterval, "Confidence interval of the share."]
    share_of_average: Annotated[float, In("share", None, 1), "The share, if errors are averaged over all seeds."]


class NoiseStudy(TypedDict):
    """A noise study, without its archive."""

    metric: Metric
    diverged: Diverged
    stopped: Stopped
    select: Chosen
    spaces: Annotated[list[NoiseSpace], "The populations."]
    share: Annotated[NoiseShare | None, "How much of an EDF's variance is noise; null without --same-models."]


class Noise(FromArchive, NoiseStudy):
    """Training noise, the choice of the epoch, and the rates."""


# --- edfkit figures


class Made(TypedDict):
    """What became of a figure or a table."""

    name: Annotated[str, 'Number of the figure, such as "figure 2", or name of the table.']
    title: Annotated[str, "Title."]
    files: Annotated[list[str], "Files that were written; empty if it was left out."]
    populations: Annotated[dict[str, Models], "Models of each population that it shows."]
    missing: Annotated[list[str], "Populations of the paper's figure that the archive lacks."]
    settings: Annotated[list[str], "Settings of the panels."]
    notes: Annotated[list[str], "Other differences from the paper."]
    reason: Annotated[str | None, "Why it was left out; null if it was not."]


class Figures(FromArchive):
    """The figures and tables that were made."""

    folder: Annotated[str, "Folder of the files."]
    error: ErrorRead
    diverged: Diverged
    seed: Annotated[Seed, "Random seed."]
    made: Annotated[list[Made], "What became of each figure and table."]


# --- edfkit datasets, spaces


class Entry(TypedDict):
    """An archive of a registry."""

    name: Annotated[str, "Name."]
    version: Annotated[str, "Version."]
    title: Annotated[str, "Title."]
    path: Annotated[str | None, "Path on this machine; null if it is not downloaded."]


class DatasetsList(TypedDict):
    """Archives of the registries."""

    archives: Annotated[list[Entry], "The archives."]


class DesignSpace(TypedDict):
    """A design space."""

    name: Annotated[str, "Name."]
    block: Annotated[str, "Kind of block, or cells."]
    configurations: Annotated[Positive, "Number of configurations."]


class SpacesList(TypedDict):
    """Design spaces that come with edfkit."""

    spaces: Annotated[list[DesignSpace], "The design spaces."]


class SpacesCount(TypedDict):
    """Number of configurations of a space."""

    space: Annotated[str, "Name of the space."]
    configurations: Annotated[Positive, "Number of configurations, of any size."]
    cells: Annotated[Positive | None, "Number of cells alone; null for blocks."]


Bounds = Annotated[dict[str, Complexity], "By complexity."]


class SpacesShow(TypedDict):
    """Definition and complexities of a space."""

    definition: Annotated[dict[str, Any], "Definition, as in a TOML file."]
    configurations: Annotated[Positive, "Number of configurations."]
    dataset: Annotated[str, "Images that the networks are for."]
    counted: Annotated[Count, "Configurations whose complexity was computed."]
    exact: Annotated[bool, "Whether these are all."]
    quantiles: Annotated[dict[str, dict[str, Complexity]], "By complexity, and by share of the configurations."]
    bounds: Annotated[Bounds, "Bounds of the complexities."]
    within: Annotated[
        dict[str, Share], "Share of the configurations below each bound, below all (and), below any (or)."
    ]


class DrawnNetwork(TypedDict):
    """A configuration."""

    params: Annotated[int, In("raw count", 0), "Trained parameters."]
    macs: Annotated[int, In("raw count", 0), "Multiply-adds."]
    flops: Annotated[int, In("raw count", 0), "The published count of operations."]
    acts: Annotated[int, In("raw count", 0), "Activations."]
    network: Annotated[dict[str, Any], "The configuration, as in a definition of a space."]


class SpacesSample(TypedDict):
    """Configurations drawn from a space."""

    space: Annotated[str, "Name of the space."]
    dataset: Annotated[str, "Images that the networks are for."]
    seed: Annotated[Seed, "Random seed of the draw."]
    bounds: Annotated[Bounds, "Bounds of the complexities."]
    bound: Annotated[
        str, Among("and", "or", "none"), '"and": below all bounds; "or": below at least one; "none": no bounds.'
    ]
    replacement: Annotated[bool, "Whether a configuration may be drawn twice."]
    models: Annotated[list[DrawnNetwork], "The configurations."]


# --- edfkit status, audit


class Status(TypedDict):
    """Progress of a run."""

    run: Annotated[str, "Folder of the run."]
    population: Annotated[str, "Name of the population."]
    dataset: Annotated[str, "Images that the models are trained on."]
    models: Annotated[Models, "Models that are planned."]
    finished: Annotated[Models, "Models that finished."]
    diverged: Annotated[Models, "Models that diverged."]
    failed: Annotated[Models, "Models that failed; they are trained again."]
    damaged: Annotated[Models, "Result files that cannot be read; their models are trained again."]
    running: Annotated[Count, "Processes that are training a model."]
    models_per_hour: Annotated[
        Annotated[float, In("models per hour", 0)] | None,
        "Speed of all processes, or of one if none is running; null before the first result.",
    ]
    hours_left: Annotated[Annotated[float, In("hours", 0)] | None, "Time left at this speed."]
    best_error: Annotated[Percent | None, "Smallest error so far."]
    cost_share: Annotated[
        Annotated[float, In("ratio", 0)] | None, "Predicted cost of a finished model, divided by that of a planned one."
    ]
    remaining: Annotated[Models, "Models that are not trained yet."]


class AuditedModel(TypedDict):
    """A model that was trained again."""

    population: Annotated[str, "Name of the population."]
    id: Annotated[str, "Identifier of the model in the archive."]
    seed: Annotated[Seed, "Random seed of its training."]
    outcome: Annotated[
        Annotated[str, Among("equal", "within noise", "different")],
        "Equal to the last bit, within training noise, or different.",
    ]
    reason: Annotated[str, "Why it is different; empty if it is not."]
    stated_status: Annotated[str, Among("finished", "diverged"), "How the training ended, as the archive says."]
    status: Annotated[str, Among("finished", "diverged"), "How the training ended here."]
    stated_error: Annotated[Percent | None, "Error, as the archive says."]
    error: Annotated[Percent | None, "Error here, with the stated seed."]
    differences: Annotated[
        dict[str, Annotated[float, In("percentage points; for the loss, nats")] | None],
        "The largest difference of each curve; null if nothing can be compared.",
    ]
    noise: Annotated[
        Annotated[str, Among("", "given", "archive", "reruns")],
        "Where the noise is known from; empty where it was not needed.",
    ]
    noise_sd: Annotated[
        Annotated[float, In("percentage points", 0)] | None,
        "Standard deviation of the error; null where it was not needed.",
    ]
    trainings: Annotated[Count, "Trainings of the model here."]
    mean_error: Annotated[Percent | None, "Mean error of these trainings; null where it was not needed."]
    band: Annotated[
        Annotated[float, In("percentage points", 0)] | None,
        "Largest distance of the stated error from their mean; null where it was not needed.",
    ]


class Audit(TypedDict):
    """Models of an archive, trained again."""

    outcome: Annotated[str, Among("equal", "within noise", "different"), "The worst outcome of a model."]
    archive: Annotated[str, "Path or address of the archive."]
    seed: Annotated[Seed, "Random seed of the draw."]
    confidence: Annotated[Probability, "Probability that an unaltered archive passes."]
    stated_software: Annotated[str, "Software that the archive was trained with."]
    software: Annotated[str, "Software that the models were trained with now."]
    same_platform: Annotated[bool, "Whether both platforms are the same."]
    models: Annotated[list[AuditedModel], "The models, in the order of the draw."]


# --- Values with their own sign

_ENDS = (("low", "high"), ("median_low", "median_high"), ("from", "to"))


def own_sign(document: type, value: Any, metric: "edfkit.metric.Metric") -> Any:
    """Turn the oriented values of a document back, see `edfkit.metric`: lower ends become upper ones.

    Parameters
    ----------
    document : type
        The TypedDict that the value is.
    value : dict
    metric : Metric

    Returns
    -------
    dict
        Values that are worse than any, and infinite ones, are None.
    """
    return _turned(document, value, metric, False)


def _turned(hint: Any, value: Any, metric: "edfkit.metric.Metric", turns: bool) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if origin is Annotated:
        notes = arguments[1:]
        found = _turned(arguments[0], value, metric, turns or any(isinstance(one, In) and one.turns for one in notes))
        swaps = metric.goal == "max" and any(isinstance(one, Length) for one in notes) and _turning(arguments[0])
        return found[::-1] if swaps else found
    if origin in (Union, types.UnionType):
        return _turned(next(one for one in arguments if one is not type(None)), value, metric, turns)
    if origin is list:
        return [_turned(arguments[0], one, metric, turns) for one in value]
    if origin is dict:
        return {key: _turned(arguments[1], one, metric, turns) for key, one in value.items()}
    if is_typeddict(hint):
        hints = get_type_hints(hint, include_extras=True)
        found = {key: _turned(hints[key], one, metric, False) for key, one in value.items()}
        if metric.goal == "max":
            for low, high in _ENDS:
                if low in hints and high in hints and _turning(hints[low]):
                    found[low], found[high] = found[high], found[low]
        return found
    if hint is not float:
        return value
    if not is_known(value):
        return None
    return metric.turned(value) if turns else value


def _turning(hint: Any) -> bool:
    """Tell whether a value, or what is in it, is turned."""
    own = any(isinstance(one, In) and one.turns for one in getattr(hint, "__metadata__", ()))
    inner = () if is_typeddict(hint) else get_args(hint)
    return own or any(_turning(one) for one in inner if not isinstance(one, In | Among | Length | str))


# --- JSON Schema

_JSON = {str: "string", bool: "boolean", int: "integer", float: "number"}


def schema(command: str, *documents: type) -> Schema:
    """Write the JSON Schema of the document that a command prints.

    Parameters
    ----------
    command : str
        Words after `edfkit`, such as "spaces list".
    *documents : type
        The TypedDict of this module that it prints; several if it prints one of them.

    Returns
    -------
    dict
        JSON Schema, draft 2020-12, in which `unit` says what a number is in.
    """
    shared: dict[str, Schema] = {}
    parts = [_object(document, shared, Printed) for document in documents]
    about = {"description": f"{command.capitalize()}: one of several documents.", "oneOf": parts}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{command.replace(' ', '-')}.json",
        "title": f"edfkit {command} --json",
        **(parts[0] if len(parts) == 1 else about),
        "$defs": dict(sorted(shared.items())),
    }


def _object(document: type, shared: dict[str, Schema], *before: type) -> Schema:
    """Describe a TypedDict: all of its keys, those of others before them, and no other ones."""
    hints: dict[str, Any] = {}
    for one in (*before, document):
        hints |= get_type_hints(one, include_extras=True)
    return {
        "type": "object",
        "description": document.__doc__ or "",
        "properties": {name: _value(hint, shared) for name, hint in hints.items()},
        "required": list(hints),
        "additionalProperties": False,
    }


def _value(hint: Any, shared: dict[str, Schema]) -> Schema:
    """Describe a value; a TypedDict goes among the shared definitions."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _value(arguments[0], shared) | dict(_notes(arguments[1:]))
    if origin in (Union, types.UnionType):
        return {"anyOf": [_value(one, shared) for one in arguments]}
    if origin is list:
        return {"type": "array", "items": _value(arguments[0], shared)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(arguments[1], shared)}
    if is_typeddict(hint):
        if hint.__name__ not in shared:
            shared[hint.__name__] = {}  # before what is in it, which may refer to it
            shared[hint.__name__] = _object(hint, shared)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if hint is Any:
        return {}
    return {"type": "null"} if hint is type(None) else {"type": _JSON[hint]}


def _notes(notes: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """Give what the annotations of a value say."""
    for note in notes:
        if isinstance(note, In):
            bounds = {"minimum": note.least, "maximum": note.most}
            yield "unit", note.unit
            yield from ((key, bound) for key, bound in bounds.items() if bound is not None)
        elif isinstance(note, Among):
            yield "enum", list(note.words)
        elif isinstance(note, Length):
            yield from (("minItems", note.values), ("maxItems", note.values))
        else:
            yield "description", note
