"""The archives that come with edfkit, and which archive a command reads."""

import os
from pathlib import Path

BUNDLED = {"digits": Path(__file__).with_name("digits.h5")}


def locate(where: str | None = None) -> Path:
    """Say which file or folder to read populations from.

    Parameters
    ----------
    where : str, optional
        A path, or the name of an archive that comes with edfkit. If absent, the environment variable EDFKIT_ARCHIVE
        takes its place, and without that the bundled archive of models trained on digits.

    Returns
    -------
    Path
        It need not exist.
    """
    where = where or os.environ.get("EDFKIT_ARCHIVE") or "digits"
    return BUNDLED.get(where) or Path(where)
