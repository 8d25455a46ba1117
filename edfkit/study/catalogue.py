"""What each study is, declared once.

From a row follow the command with its help and completion, its JSON Schema and the page of it, the plot, the entry in
the index of the docs, and for `compare` the options of a report. Nothing is loaded here: a row names functions by where
they lie, as "module:name".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edfkit.study.settings import COMPLEXITIES, GIVEN, POLICIES, STOPPED

VERDICT = "edfkit.show.words:verdict"
"""The function that writes the verdict of a pair."""
SETTING = "edfkit.show.words:setting"
"""The function that names a setting of a sensitivity study."""


@dataclass(frozen=True)
class Option:
    """An option of a study: a keyword of its function and an option of its command.

    Attributes
    ----------
    name : str
        The keyword.
    help : str
        One sentence.
    type : type or tuple of str
        int, float, bool, str, "whole numbers" (a list, such as 1,10), or the words to choose from.
    default : Any
        Default of the function.
    flag : str
        The option, if it is not the keyword with two dashes.
    other : str
        Another spelling of it, if there is one.
    unit : str
        Unit, if the sentence does not say it.
    least : float or None
        The smallest value.
    above : bool
        Whether `least` itself is excluded.
    values : int
        Number of values that the option takes.
    metavar : str
        What stands for the value in the help.
    usual : str
        What stands for the default in the help, where that is computed.
    among : tuple of str
        Words that are offered to complete a text.
    """

    name: str
    help: str
    type: type | tuple[str, ...] | Literal["whole numbers"]
    default: Any = None
    flag: str = ""
    other: str = ""
    unit: str = ""
    least: float | None = None
    above: bool = False
    values: int = 1
    metavar: str = ""
    usual: str = ""
    among: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The option as the command line has it."""
        return self.flag or f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Study:
    """A study: what it takes, what it gives, and how that is shown.

    Attributes
    ----------
    name : str
        The command, and the function in `edfkit`.
    about : str
        What it does: the help of the command.
    run : str
        The function.
    result : str
        The class that it returns.
    least, most : int or None
        How many populations it takes; None: any number.
    text : str
        The function of `edfkit.show.text` that puts it in words.
    documents : tuple of str
        What it prints as JSON, in `edfkit.documents`; one of them.
    everything : bool
        Whether it takes all populations where none is named.
    given : str or None
        The complexity that is held equal where nothing else is said, "" for the first that is known; None: it weights
        no models and takes no `Control`.
    strata : bool
        Whether it holds complexity equal by strata of each pair, unless it is told to take bins.
    bins : bool
        Whether it can be told to take bins.
    options : tuple of Option
        Those of its own.
    run_options : tuple of Option
        Those that say how it is run and not what comes out.
    plot : str
        The function of `edfkit.show.plot` that draws it, if there is one.
    plot_options : tuple of Option
        Those of the plot.
    writes : str
        What file it writes, if it writes one.
    refuse : callable or None
        Says what is wrong with names and options together, or nothing.
    page : str
        The page of the docs, if it is not the study's own.
    """

    name: str
    about: str
    run: str
    result: str
    least: int
    most: int | None
    text: str
    documents: tuple[str, ...]
    everything: bool = False
    given: str | None = None
    strata: bool = False
    bins: bool = True
    options: tuple[Option, ...] = ()
    run_options: tuple[Option, ...] = ()
    plot: str = ""
    plot_options: tuple[Option, ...] = ()
    writes: str = ""
    refuse: Callable[[Sequence[str], Mapping[str, Any]], str | None] | None = None
    page: str = ""

    @property
    def unpacked(self) -> bool:
        """Whether the function takes each population as an argument of its own, rather than a list."""
        return self.most is not None and self.least > 0

    @property
    def doc(self) -> str:
        """The page of the docs about it."""
        return self.page or f"studies/{self.name}"


# --- Options that several studies have

_POINTS = "percentage points, or the unit of the metric"
_AREA_TO = Option("area_to", "Where the area under the EDF ends, in the unit of the metric.", float,
                  usual="halfway between the bounds: 50 % of an error")  # fmt: skip
_BAND = Option("band", "Add a panel to the plot for each pair: the difference of the EDFs with its band.", bool, False)
_STRATA = Option("strata", "Number of complexity strata per pair.", int, least=1, metavar="N",
                 usual="the square root of the number of models")  # fmt: skip
_BINS = Option("bins", "Complexity bins of equal width.", int, least=1,
               usual="at most 10, as many as leave 5 models of every space in each")  # fmt: skip
_CONFIDENCE = Option(
    "confidence", "Confidence of intervals and bands, and of all claims together, 0.5 to 1.", float, 0.95
)
RANGE = Option("range", "Complexity range, raw counts, ends included.", float, values=2, metavar="LO HI",
                usual="the range that all spaces cover")  # fmt: skip
SEED = Option("seed", "Random seed.", int, 0, least=0)

READING = (
    Option("metric", "Metric to compare, by its name.", str, metavar="METRIC", usual="that of the archive"),
    Option("select", "Choose the best epoch of each run by another metric; without curves, search and point choose the "
           "best run.", str, metavar="METRIC", usual="the metric"),
    Option("error", "Best value over the epochs, that after the last, or that after an epoch.", str, "best",
           metavar="best|final|EPOCH"),
    Option("diverged", "Runs that diverged keep their value (the worst where they have none), are left out, or count "
           "as the worst: 100 % of an error.", POLICIES, "keep"),
    Option("stopped", "Runs that were stopped are left out, keep the value they had, or count as the worst.", STOPPED,
           "drop"),
)  # fmt: skip
"""The fields of a `settings.Reading`."""


def control(study: Study) -> tuple[Option, ...]:
    """Give the fields of a `settings.Control` that a study takes, with the default of what is held equal."""
    first = "" if study.given else "params, or the first that is known"
    about = "Complexity to hold equal, or none: params, flops, macs, acts, or any numeric column"
    about += "; or two, comma-separated." if study.strata else "."
    given = Option("given", about, str, study.given or None, usual=first, metavar="COLUMN", among=GIVEN)
    if not study.strata:
        return (given, _BINS, RANGE)
    if not study.bins:
        return (given, _STRATA)
    bins = replace(_BINS, help="Complexity bins of equal width instead of strata, as in the paper.",
                   usual="none; with --range at most 10")  # fmt: skip
    return (given, _STRATA, bins, replace(RANGE, help="Complexity range of the bins, raw counts, ends included."))


# --- What is wrong with names and options together


MOST_WITH_BANDS = 4
"""The populations of a plot with bands: it has a panel for each of six pairs."""


def too_many_bands(names: Sequence[str]) -> str | None:
    """Say that there are too many populations for a plot of the bands, or nothing."""
    if len(names) <= MOST_WITH_BANDS:
        return None
    return (
        f"a plot with the band of each pair takes {MOST_WITH_BANDS} spaces at most and {len(names)} were named; name "
        "fewer, or leave out --band."
    )


def _too_many(names: Sequence[str], options: Mapping[str, Any]) -> str | None:
    if options["sensitive"] and len(names) > 2:
        return f"--sensitivity is about two spaces and {len(names)} were named; name two."
    return too_many_bands(names) if options["band"] else None


def _one_plan(names: Sequence[str], options: Mapping[str, Any]) -> str | None:
    goals = [f"--{name}" for name in ("shift", "width", "equivalent") if name in options]
    if ("eps" in options) == bool(names):
        return "expected either --eps, or one or two spaces; give one of them."
    if "eps" in options:
        return f"--eps was given with {goals[0]}, which is a goal of spaces; leave one out." if goals else None
    return unfit_goal(names, goals, "--")


def unfit_goal(names: Sequence[str], goals: Sequence[str], dashes: str = "") -> str | None:
    """Say why the goals of a plan do not go with the populations, in one sentence; nothing if they do.

    Parameters
    ----------
    names : sequence of str
        Populations.
    goals : sequence of str
        Which of shift, width and equivalent are given.
    dashes : str
        What stands before the name of an option.

    Returns
    -------
    str or None
    """
    if len(goals) > 1:
        return f"{' and '.join(goals)} were given, but a plan has one goal; leave the others out."
    if len(names) > 1 and f"{dashes}shift" in goals:
        return f"{dashes}shift was given with two spaces, whose own difference counts; leave it out, or name one space."
    if len(names) == 1 and not goals:
        every = f"{dashes}shift, {dashes}width or {dashes}equivalent"
        return f"{names[0]} was named alone, expected a goal, {every}, or two spaces; give one."
    return None


def _no_error(_: Sequence[str], options: Mapping[str, Any]) -> str | None:
    if options["error"] != "best":
        return "this is about the best error and the final one; leave --error out."
    return None


# --- The studies

_COMPARE = (
    _AREA_TO,
    _CONFIDENCE,
    Option(
        "equivalent",
        "Also test whether the means, or the medians of a metric without bounds, differ by less than DELTA",
        float,
        unit=_POINTS,
        least=0,
        above=True,
        metavar="DELTA",
    ),
    Option(
        "permutations",
        "Maximum number of permutations of the test of shape, if more than a claim needs; with --bins or --given none "
        "also for an exact test of D.",
        int,
        0,
        least=0,
        usual="as many as a claim needs",
    ),
    SEED,
    Option("best_share", "Fraction of each population that counts as its best models.", float, 0.05),
)

STUDIES = (
    Study(
        "compare",
        "Compare design SPACEs by their error distributions, at equal complexity.",
        run="edfkit.study.compare:compare_study",
        result="edfkit.study.compare:Comparison",
        least=2,
        most=None,
        given="params",
        strata=True,
        options=_COMPARE,
        run_options=(
            Option("sensitive", "Show estimates of two SPACEs for other strata, complexities and errors.", bool, False,
                   flag="--sensitivity"),
            Option("stream", "Count models that are alike together, as is done above 1,000,000 models.", bool, False),
            Option("scheduler", "Count on the Dask cluster with this scheduler.", str, metavar="ADDRESS"),
        ),
        refuse=_too_many,
        text="comparison",
        plot="edf_figure",
        plot_options=(_BAND,),
        documents=("Compare",),
    ),
    Study(
        "describe",
        "Describe the populations of design SPACEs, one by one: all of the archive if none is named.",
        run="edfkit.study.describe:describe_study",
        result="edfkit.study.describe:Description",
        least=0,
        most=None,
        everything=True,
        options=(
            _AREA_TO,
            Option("trials", "Bootstrap samples; gives intervals too.", int, 0, flag="--bootstrap", least=0,
                   metavar="TRIALS"),
            _CONFIDENCE,
            SEED,
        ),
        text="description",
        documents=("Describe",),
    ),
    Study(
        "point",
        "Say whose best model wins: that of a small search of SPACE, or of a large one of it, or of a second SPACE.",
        run="edfkit.study.point:point_study",
        result="edfkit.study.point:PointStudy",
        least=1,
        most=2,
        options=(
            Option("small", "Models of the small search.", int, 100, least=1),
            Option("large", "Models of the large search.", int, 1000, least=1),
            Option("alpha", "Probability that one space alone exceeds the gap.", float, 0.05),
            Option("trials", "Number of trials of the same study by resampling.", int, 0, flag="--bootstrap", least=0,
                   metavar="TRIALS"),
            SEED,
        ),
        text="point",
        plot="point_figure",
        documents=("Point",),
    ),
    Study(
        "search",
        "Say what error to expect of the best of m random models of design SPACEs, and whose best is better.",
        run="edfkit.study.search:search_study",
        result="edfkit.study.search:SearchStudy",
        least=1,
        most=None,
        given="params",
        strata=True,
        options=(
            Option("m", "Numbers of draws.", "whole numbers", flag="-m", metavar="M,M...", usual="1,2,4,... 4096"),
            Option("replacement", "Draw without replacement; requires --given none.", bool, True,
                   flag="--without-replacement"),
            Option("cost", "Show what a search costs.", ("seconds", "params", "macs", "flops")),
            _CONFIDENCE,
        ),
        text="search",
        plot="search_figure",
        documents=("Search",),
    ),
    Study(
        "samples",
        "Say how far the EDF of fewer models of a SPACE is from that of all.",
        run="edfkit.study.samples:sample_study",
        result="edfkit.study.samples:SampleStudy",
        least=1,
        most=1,
        options=(
            Option("trials", "Simulated samples of each size as well.", int, flag="--simulate", least=2,
                   metavar="TRIALS"),
            SEED,
        ),
        text="samples",
        plot="samples_figure",
        documents=("Samples",),
    ),
    Study(
        "plan",
        "Say how many models to train: for an EDF within --eps of the truth, or for a comparison of SPACEs to reach "
        "its goal. Without --width or --equivalent that is to show which of two is better.",
        run="edfkit.study.plan:plan_study",
        result="edfkit.study.plan:ComparisonPlan",
        least=0,
        most=2,
        given="params",
        strata=True,
        bins=False,
        options=(
            Option("eps", "Without SPACE: largest distance of the EDF from the truth, as a fraction.", float),
            Option("shift", "With one SPACE: detect another one whose errors are higher by so many points.", float,
                   metavar="POINTS"),
            Option("width", "Width of the confidence interval of the mean difference, from end to end", float,
                   unit=_POINTS, least=0, above=True, metavar="POINTS"),
            Option("equivalent", "Show that the means differ by less than DELTA", float, unit=_POINTS,
                   least=0, above=True, metavar="DELTA"),
            Option("power", "Wanted probability to reach the goal.", float, 0.8),
            Option("alpha", "Level of the test; 1 - confidence of the interval.", float, 0.05),
            Option("trials", "Simulated comparisons.", int, 1000, least=1),
            Option("confidence", "Confidence of --eps.", float, 0.95),
            SEED,
        ),
        refuse=_one_plan,
        text="plan",
        documents=("Precision", "Plan"),
        page="studies/samples",
    ),
    Study(
        "complexity",
        "Show the complexities of design SPACEs, how the error goes with them, and which bins would work.",
        run="edfkit.study.complexity:complexity_study",
        result="edfkit.study.complexity:ComplexityStudy",
        least=1,
        most=None,
        options=(
            Option("by", "Which complexity.", COMPLEXITIES, "params", flag="--of", other="--by"),
            Option("bins", "Bins to give advice on.", int, 10, least=1),
            Option("buckets", "Buckets of the means.", int, 20, least=1),
            RANGE,
        ),
        text="complexity",
        plot="complexity_figure",
        documents=("ComplexityDocument",),
    ),
    Study(
        "noise",
        "Measure training noise, the optimism of the best epoch, and what the training rates do.",
        run="edfkit.study.noise:noise_study",
        result="edfkit.study.noise:NoiseStudy",
        least=1,
        most=None,
        options=(
            Option("same_models", "The SPACEs are the same models with other seeds.", bool, False),
            Option("one_network", "Each of the SPACEs is one network with many seeds.", bool, False),
            Option("default", "Learning rate and weight decay whose neighbourhood is summarised.", float, (0.1, 5e-4),
                   values=2, metavar="LR WD"),
        ),
        refuse=_no_error,
        text="noise",
        plot="noise_figure",
        documents=("Noise",),
    ),
    Study(
        "report",
        "Write all that comparing design SPACEs gives into one HTML file, which needs no network.",
        run="edfkit.show.report.page:write_report",
        result="edfkit.show.report.content:Report",
        least=2,
        most=None,
        given="",
        strata=True,
        options=_COMPARE,
        text="report",
        documents=("Report",),
        writes="HTML file to write.",
        page="report",
    ),
)  # fmt: skip
"""The studies, in the order of the docs."""


def find(name: str) -> Study:
    """Give the study of a name."""
    return next(study for study in STUDIES if study.name == name)


DOCUMENTS = {study.name: study.documents for study in STUDIES} | {
    "figures": ("Figures",),
    "datasets list": ("DatasetsList",),
    "spaces list": ("SpacesList",),
    "spaces count": ("SpacesCount",),
    "spaces show": ("SpacesShow",),
    "spaces sample": ("SpacesSample",),
    "status": ("Status",),
    "audit": ("Audit",),
}
"""What every command with `--json` prints, by the words after `edfkit`: one of these of `edfkit.documents`."""


def schemas() -> dict[str, dict[str, Any]]:
    """Write the JSON Schema of every command that prints a document, by its words after `edfkit`."""
    from edfkit import documents

    return {
        command: documents.schema(command, *(getattr(documents, name) for name in names))
        for command, names in DOCUMENTS.items()
    }
