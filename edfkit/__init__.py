"""Compare network design spaces by the error distributions of populations of trained models.

The functions live in the modules: `edfkit.edf`, `edfkit.complexity`, `edfkit.compare` and `edfkit.study` for the
statistics, `edfkit.archive` and `edfkit.published` for the data.
"""

__version__ = "0.1.0"


class EdfkitError(ValueError):
    """Input that edfkit cannot work with: one sentence says what was given, what was expected and what to do."""
