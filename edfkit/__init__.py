"""Compare network design spaces by the error distributions of populations of trained models."""

__version__ = "0.1.0"


class EdfkitError(ValueError):
    """Input that edfkit cannot work with: one sentence says what was given, what was expected and what to do."""
