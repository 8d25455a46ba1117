"""Compare network design spaces by the error distributions of populations of trained models.

Populations are opened, and studies run on them:

open
    An archive, at a path or an address, or published JSON files.
compare, describe, point, search, samples, plan, complexity, noise
    The studies, as the commands of the same names; `edfkit.study` has their results.
report
    All that comparing spaces gives, in one HTML file.

For example:

    import edfkit

    with edfkit.open("archive.h5") as source:
        result = edfkit.compare(source, ["resnet", "vanilla"], given="flops")
    print(result.pairs[0].verdict)

Beneath them:

edfkit.stats
    Functions of arrays of errors: EDFs, tests, bands, best-of-m curves.
edfkit.archive
    Archives: reading, writing, checking and joining them.
edfkit.exchange
    Imports and exports of other formats.
edfkit.show
    Results as text, plots, figures and reports.
edfkit.generator
    Design spaces, training and runs; training needs PyTorch.
edfkit.datasets
    Published archives: listing, downloading and verifying them.

Bad input raises `EdfkitError`. Nothing is loaded before it is used.
"""

from typing import Any

__version__ = "0.1.0"
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


class EdfkitError(ValueError):
    """Input that edfkit cannot work with: one sentence says what was given, what was expected and what to do."""


def __getattr__(name: str) -> Any:
    from edfkit.lazy import found, look_up

    studies = {study.name: study.run for study in found("edfkit.study.catalogue:STUDIES")}
    return look_up(__name__, {"open": "edfkit.archive.source:open_source"} | studies, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
