"""Where populations are read from: an archive, on this machine or at an address, or published files as they are."""

from pathlib import Path

from edfkit import EdfkitError
from edfkit.archive import Archive
from edfkit.archive.published import Published
from edfkit.archive.remote import Address, is_address


def open_source(where: str | Path) -> Archive | Published:
    """Open an archive, a published JSON file, or a folder of them; all are read alike.

    Parameters
    ----------
    where : str or Path
        A file is taken for JSON if its name ends so, else for an archive. Or the address of an archive, such as
        "https://example.org/archive.h5", see `edfkit.archive.remote`.

    Raises
    ------
    EdfkitError
        If it cannot be read.
    """
    if is_address(where):
        address = Address(where)
        if address.removesuffix("?...").lower().endswith(".json"):
            raise EdfkitError(
                f"{address} is a JSON file and not an archive, and such files are read from this machine only; "
                "download it first."
            )
        return Archive(address)
    path = Path(where)
    if (path / "plan.json").is_file():
        raise EdfkitError(f"{path} is a run and not an archive; make one of it with edfkit pack {path} -o ARCHIVE.")
    if path.is_dir() or path.suffix.lower() == ".json":
        return Published(path)
    return Archive(path)
