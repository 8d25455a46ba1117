"""Compare network design spaces by the error distributions of populations of trained models.

The studies are in `edfkit.study`, on the data that `edfkit.archive`, `edfkit.published` and `edfkit.study.selection`
give; the functions of arrays beneath them in `edfkit.edf`, `edfkit.compare`, `edfkit.complexity`, `edfkit.bands`,
`edfkit.permutation`, `edfkit.mix`, `edfkit.minima`, `edfkit.samples`, `edfkit.bootstrap`, `edfkit.buckets` and
`edfkit.noise`; plots in `edfkit.plot`.
"""

__version__ = "0.1.0"


class EdfkitError(ValueError):
    """Input that edfkit cannot work with: one sentence says what was given, what was expected and what to do."""
