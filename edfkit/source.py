"""Where populations are read from: an archive, or published files as they are."""

from pathlib import Path

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.published import Published


def open_source(path: Path) -> Archive | Published:
    """Open an archive, a published JSON file, or a folder of them; all are read alike.

    Parameters
    ----------
    path : Path
        A file is taken for JSON if its name ends so, else for an archive.

    Raises
    ------
    EdfkitError
        If it cannot be read.
    """
    if (path / "plan.json").is_file():
        raise EdfkitError(f"{path} is a run and not an archive; make one of it with edfkit pack {path} -o ARCHIVE.")
    if path.is_dir() or path.suffix.lower() == ".json":
        return Published(path)
    return Archive(path)
