"""Types of the names that the package loads on first use; studies that are not listed here are untyped."""

from typing import Any

from edfkit.archive.source import open_source as open
from edfkit.show.report.page import write_report as report
from edfkit.study.compare import compare_study as compare
from edfkit.study.complexity import complexity_study as complexity
from edfkit.study.describe import describe_study as describe
from edfkit.study.noise import noise_study as noise
from edfkit.study.plan import plan_study as plan
from edfkit.study.point import point_study as point
from edfkit.study.samples import sample_study as samples
from edfkit.study.search import search_study as search

__all__ = [
    "EdfkitError",
    "compare",
    "complexity",
    "describe",
    "noise",
    "open",
    "plan",
    "point",
    "report",
    "samples",
    "search",
]
__version__: str

class EdfkitError(ValueError): ...

def __getattr__(name: str) -> Any: ...
