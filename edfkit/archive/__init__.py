"""Archives: HDF5 files of populations, and what can stand in their place.

Archive, validate
    Reading one, and checking it whole (`edfkit.archive.reader`).
write, writing, Writer, Variable, Field
    Writing one, at once or population by population (`edfkit.archive.writer`, `edfkit.archive.packing`).

The rules of the format are in `edfkit.archive.schema`. Nothing is loaded before it is used: design spaces need the
schema alone, and no HDF5.
"""

from typing import TYPE_CHECKING, Any

from edfkit.lazy import look_up

if TYPE_CHECKING:
    from edfkit.archive.packing import Field, Variable
    from edfkit.archive.reader import Archive, validate
    from edfkit.archive.writer import Writer, write, writing

__all__ = ["Archive", "Field", "Variable", "Writer", "validate", "write", "writing"]

_LISTED = {
    "Archive": "edfkit.archive.reader:Archive",
    "Field": "edfkit.archive.packing:Field",
    "Variable": "edfkit.archive.packing:Variable",
    "Writer": "edfkit.archive.writer:Writer",
    "validate": "edfkit.archive.reader:validate",
    "write": "edfkit.archive.writer:write",
    "writing": "edfkit.archive.writer:writing",
}


def __getattr__(name: str) -> Any:
    return look_up(__name__, _LISTED, name)
