"""The published archives, the one that comes with edfkit, and which archive a command reads.

Every command asks `locate` when it starts, so that nothing is loaded and no registry read before it is needed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edfkit import EdfkitError

if TYPE_CHECKING:
    from edfkit.archive import Archive

BUNDLED = {"digits": Path(__file__).with_name("digits.h5")}
# A folder NAME/VERSION of the data folder holds a whole archive NAME.h5 only if this lies beside it, written last.
MARKER = "complete.json"


def data_folder() -> Path:
    """Give the folder of downloaded archives: EDFKIT_DATA, else the platform's folder for caches.

    Returns
    -------
    Path
        It need not exist: what writes there makes it.
    """
    if where := os.environ.get("EDFKIT_DATA"):
        return Path(where).expanduser().absolute()
    if sys.platform == "linux":  # what platformdirs gives, without the 30 ms that it takes to load
        cache = os.environ.get("XDG_CACHE_HOME", "").strip()
        return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "edfkit"
    from platformdirs import user_cache_dir  # pooch.os_cache, without loading pooch

    return Path(user_cache_dir("edfkit"))


def locate(where: str | None = None) -> Path | str:
    """Say where to read populations from.

    Parameters
    ----------
    where : str, optional
        An address (with "://"), a path, or the name of an archive: one that comes with edfkit, or that has been
        downloaded. A path that exists goes before a name, except that of one that comes with edfkit. If absent, the
        environment variable EDFKIT_ARCHIVE takes its place, and without that the `nds` archive, if it has been
        downloaded, else the bundled archive of models trained on digits.

    Returns
    -------
    Path or str
        A path, which need not exist, or an address as given.

    Raises
    ------
    EdfkitError
        If it is the name of an archive that has not been downloaded.
    """
    where = where or os.environ.get("EDFKIT_ARCHIVE")
    if not where:
        return downloaded("nds") or BUNDLED["digits"]
    if where in BUNDLED:
        return BUNDLED[where]
    if "://" in where:
        return where
    path = Path(where)
    if path.name != where or path.exists():
        return path
    if archive := downloaded(where):
        return archive

    from edfkit.datasets import registry

    if registry.is_name(where) and where in {entry.name for entry in registry.entries(ask=False)}:
        raise EdfkitError(
            f"The archive {where} has not been downloaded to this machine; edfkit datasets download {where} does it."
        )
    return path


def downloaded(name: str) -> Path | None:
    """Say where an archive lies that has been downloaded, by looking for files alone.

    Parameters
    ----------
    name : str

    Returns
    -------
    Path or None
        Of several versions the one that was downloaded last; None if there is none.
    """
    newest, found = -1, None
    try:
        with os.scandir(data_folder() / name) as versions:
            for version in versions:
                try:
                    written = os.stat(os.path.join(version.path, MARKER)).st_mtime_ns
                except OSError:  # not whole
                    continue
                if written > newest:
                    newest, found = written, Path(version.path) / f"{name}.h5"
    except (OSError, ValueError):  # there is no such folder; or a name with a NUL
        return None
    return found


def fetch(name: str, *, from_file: Path | None = None, progress: bool = False) -> Path:
    """Give the path of a published archive, which is downloaded, checked and converted if it is not here yet.

    Parameters
    ----------
    name : str
        Its name in the registry: `nds`, `digits`, or one of the registries in EDFKIT_REGISTRY.
    from_file : Path, optional
        A copy of the file to download, to be taken in its place.
    progress : bool
        Whether to show on standard error how far it is.

    Returns
    -------
    Path
        The archive.

    Raises
    ------
    EdfkitError
        If there is no such entry, its files cannot be had or are wrong, or are no such data.
    """
    from edfkit.datasets.store import obtain

    path: Path = obtain(name, from_file=from_file, progress=progress).path
    return path


def load(name: str, *, progress: bool = False) -> Archive:
    """Open a published archive, which is downloaded first if it is not here yet.

    Parameters
    ----------
    name : str
    progress : bool
        See `fetch`.

    Returns
    -------
    Archive
        Open for reading; a context manager.

    Raises
    ------
    EdfkitError
        See `fetch`.
    """
    from edfkit.archive import Archive

    return Archive(fetch(name, progress=progress))
