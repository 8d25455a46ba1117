"""The registry of published archives: what there is, where it lies, and how to tell that it is the right one.

`registry.toml` beside this module is the built-in one. EDFKIT_REGISTRY adds others, separated by commas: files, or
http(s) addresses, which are fetched each time and kept in the data folder for when they cannot be reached. An entry
never replaces another of its name.

    format = 1

    [[archive]]
    name = "corpus"                 # lower-case letters, digits, "-", "_", "."
    version = "1"
    title = "What it is"
    kind = "archive"                # an edfkit archive, or "nds": published JSON files or zips of them, to be converted
    license = "CC0-1.0"
    citation = "How to cite it"     # may be left out
    card = "corpus.md"              # data card: an address, or a file beside the registry; may be left out

    [[archive.files]]               # one; of kind "nds" any number
    name = "corpus.h5"
    urls = ["corpus.h5"]            # all mirrors: addresses, or the name of a file beside the registry
    sha256 = "..."                  # may be left out, as may size, in bytes

    [archive.members]               # of kind "nds", may be left out: git blob ids of the files as known
    "ResNet.json" = "..."
"""

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from edfkit import EdfkitError

FORMAT = 1
BUILT_IN = Path(__file__).with_name("registry.toml")
KINDS = ("archive", "nds")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_BYTES = 2**20  # of a registry; the built-in one has 5,000
_TIMEOUT, _ATTEMPTS = 5.0, 1  # a registry is small and a copy of it is kept: not worth a wait

_REQUIRED = {"name": str, "version": str, "title": str, "kind": str, "license": str, "files": list}
_OPTIONAL = {"citation": str, "card": str, "members": dict}
_FILE_REQUIRED, _FILE_OPTIONAL = {"name": str, "urls": list}, {"sha256": str, "size": int}
_WORDS = {str: "text", int: "a whole number", list: "a list", dict: "a table"}


@dataclass(frozen=True)
class File:
    """A file to download.

    Attributes
    ----------
    name : str
    urls : tuple of str
        Its http(s) addresses, to be tried in turn.
    beside : Path or None
        Where it lies, if beside a registry that is a file.
    sha256 : str or None
        64 hexadecimal digits; None if not known.
    size : int or None
        In bytes; None if not known.
    """

    name: str
    urls: tuple[str, ...]
    beside: Path | None
    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class Entry:
    """A published archive.

    Attributes
    ----------
    name, version, title : str
    kind : {"archive", "nds"}
        What the files are: an edfkit archive, or published JSON files to be converted into one.
    license, citation : str
    card : str
        Where its data card is, an address or a path; empty if it has none.
    files : tuple of File
    members : mapping of str to str
        Git blob ids by the names of the published files, as far as known.
    registry : str
        The file or address of the registry that it stands in.
    """

    name: str
    version: str
    title: str
    kind: str
    license: str
    citation: str
    card: str
    files: tuple[File, ...]
    members: Mapping[str, str] = field(default_factory=dict)
    registry: str = ""

    @property
    def bundled(self) -> Path | None:
        """The archive itself, if it comes with edfkit."""
        return self.files[0].beside if self.registry == str(BUILT_IN) else None


def is_name(text: str) -> bool:
    """Tell whether a text can be the name, or the version, of an archive in a registry, and so of a folder."""
    return _NAME.fullmatch(text) is not None


def entries(*, ask: bool = True) -> list[Entry]:
    """List what the registries hold, the built-in one first.

    Parameters
    ----------
    ask : bool
        Whether to fetch registries that are addresses; else their kept copies are read, and those without left out.

    Returns
    -------
    list of Entry

    Raises
    ------
    EdfkitError
        If a registry cannot be read or breaks a rule, or two have an entry of the same name.
    """
    found = {entry.name: entry for entry in built_in()}
    for place in _places():
        for entry in _entries_of(place, ask):
            if other := found.get(entry.name):
                raise EdfkitError(
                    f"{place}: the name {entry.name!r} is taken by an entry of {other.registry}; give this one another "
                    "name, or take a registry out of EDFKIT_REGISTRY."
                )
            found[entry.name] = entry
    return list(found.values())


def find(name: str, *, ask: bool = True) -> Entry:
    """Find the entry of a name; for one of the built-in registry, no other is read.

    Parameters
    ----------
    name : str
    ask : bool
        See `entries`.

    Raises
    ------
    EdfkitError
        If no registry has it, or one cannot be read.
    """
    for entry in built_in():
        if entry.name == name:
            return entry
    known = {entry.name: entry for entry in entries(ask=ask)}
    if name not in known:
        raise EdfkitError(
            f"No registry has an archive {name!r}; there is {', '.join(known)}, and EDFKIT_REGISTRY adds registries."
        )
    return known[name]


def built_in() -> list[Entry]:
    """List what the built-in registry holds."""
    return parse(BUILT_IN.read_text(encoding="utf-8"), str(BUILT_IN))


def _places() -> list[str]:
    return [place.strip() for place in os.environ.get("EDFKIT_REGISTRY", "").split(",") if place.strip()]


def _entries_of(place: str, ask: bool) -> list[Entry]:
    if "://" in place:
        return _fetched(place, ask)
    try:
        data = Path(place).expanduser().read_bytes()
    except OSError as error:
        raise EdfkitError(
            f"The registry {place} cannot be read ({error.strerror}); correct EDFKIT_REGISTRY, a list of files and "
            "addresses separated by commas."
        ) from error
    return parse(_decoded(data, place), str(Path(place).expanduser()))


def _fetched(url: str, ask: bool) -> list[Entry]:
    """Read the registry at an address, else the kept copy of it."""
    import hashlib
    from tempfile import TemporaryDirectory

    from edfkit.datasets import data_folder
    from edfkit.datasets.download import download

    _check_url(f"The registry {url} in EDFKIT_REGISTRY", url)
    kept = data_folder() / ".registries" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.toml"
    if not ask:
        return parse(_decoded(kept.read_bytes(), url), url) if kept.exists() else []
    kept.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=kept.parent) as folder:
        new = Path(folder) / "registry.toml"
        try:
            download([url], new, sha256=None, most=_MOST_BYTES, attempts=_ATTEMPTS, timeout=_TIMEOUT)
        except EdfkitError as error:
            if not kept.exists():
                raise EdfkitError(
                    f"The registry {url} cannot be read, and no copy of it has been kept; try again later, or take it "
                    f"out of EDFKIT_REGISTRY. {error}"
                ) from error
            print(f"edfkit: the copy kept of the registry {url} is used. {error}", file=sys.stderr)
            return parse(_decoded(kept.read_bytes(), url), url)
        found = parse(_decoded(new.read_bytes(), url), url)
        new.replace(kept)
        return found


def _decoded(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EdfkitError(f"{place} is not a registry: it is not UTF-8 text ({error}); correct it.") from error


def parse(text: str, place: str) -> list[Entry]:
    """Read the text of a registry, strictly.

    Parameters
    ----------
    text : str
        TOML, see above.
    place : str
        Its path or address, against which the names of files beside it are resolved.

    Returns
    -------
    list of Entry

    Raises
    ------
    EdfkitError
        At the first rule that is broken, with the place and the key.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise EdfkitError(f"{place} is not a registry: it is not TOML ({error}); correct it.") from error
    if document.get("format", FORMAT) != FORMAT:  # first, as a newer one may have other keys
        raise EdfkitError(
            f"{place}: 'format' is {document['format']!r}, expected {FORMAT}; correct it, or update edfkit if it is "
            "newer."
        )
    _check_keys(place, document, {"format": int, "archive": list}, {})
    found: dict[str, Entry] = {}
    for number, table in enumerate(document["archive"]):
        entry = _entry(table, place, f"{place}: 'archive' number {number + 1}")
        if entry.name in found:
            raise EdfkitError(f"{place}: 'name' is {entry.name!r} twice; give one entry another.")
        found[entry.name] = entry
    return list(found.values())


def _entry(table: Any, place: str, where: str) -> Entry:
    _check_keys(where, table, _REQUIRED, _OPTIONAL)
    for key in ("name", "version"):
        if not is_name(table[key]):
            raise EdfkitError(
                f"{where}: {key!r} is {table[key]!r}, expected lower-case letters, digits, '-', '_' and '.', a letter "
                "or digit first, 100 at most; correct it."
            )
    where = f"{place}: {table['name']}"
    for key in ("title", "kind", "license", "card"):
        _check_text(where, key, table.get(key, "none"))
    _check_text(where, "citation", table.get("citation", "none"), lines=True)
    kind = table["kind"]
    if kind not in KINDS:
        raise EdfkitError(f"{where}: 'kind' is {kind!r}, expected {' or '.join(map(repr, KINDS))}; correct it.")
    files = [_file(file, place, f"{where}: 'files' number {i + 1}") for i, file in enumerate(table["files"])]
    if not files or (kind == "archive" and len(files) > 1):
        expected = "1" if kind == "archive" else "1 or more"
        raise EdfkitError(f"{where}: 'files' has {len(files)}, expected {expected} of kind {kind!r}; correct it.")
    if len({file.name for file in files}) < len(files):
        raise EdfkitError(f"{where}: 'files' has two of the same 'name'; give one another.")
    members = table.get("members", {})
    if members and kind != "nds":
        raise EdfkitError(f"{where}: 'members' belong to kind 'nds', and this is {kind!r}; leave them out.")
    for name, blob in members.items():
        if not isinstance(blob, str) or not re.fullmatch("[0-9a-f]{40}", blob):
            raise EdfkitError(
                f"{where}: 'members' has {blob!r} for {name!r}, expected 40 hexadecimal digits in lower case; "
                "correct it."
            )
    return Entry(
        table["name"],
        table["version"],
        table["title"],
        kind,
        table["license"],
        table.get("citation", ""),
        _card(where, table.get("card", ""), place),
        tuple(files),
        members,
        place,
    )


def _file(table: Any, place: str, where: str) -> File:
    _check_keys(where, table, _FILE_REQUIRED, _FILE_OPTIONAL)
    if not _FILE_NAME.fullmatch(table["name"]):
        raise EdfkitError(
            f"{where}: 'name' is {table['name']!r}, expected the plain name of a file (letters, digits, '-', '_' and "
            "'.', a letter or digit first, 100 at most); correct it."
        )
    if not table["urls"]:
        raise EdfkitError(f"{where}: 'urls' is empty, expected one address or more; add one.")
    urls, beside = [], None
    for url in table["urls"]:
        if not isinstance(url, str):
            raise EdfkitError(f"{where}: 'urls' has {url!r}, expected text; correct it.")
        if not _FILE_NAME.fullmatch(url):
            _check_url(f"{where}: 'urls'", url)
            urls.append(url)
        elif "://" in place:
            urls.append(urljoin(place, url))
        else:
            beside = Path(place).with_name(url)
    if len(set(table["urls"])) < len(table["urls"]):
        raise EdfkitError(f"{where}: 'urls' has an address twice; leave it out once.")
    sha256, size = table.get("sha256"), table.get("size")
    if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise EdfkitError(f"{where}: 'sha256' is {sha256!r}, expected 64 hexadecimal digits in lower case; correct it.")
    if size is not None and size < 1:
        raise EdfkitError(f"{where}: 'size' is {size}, expected the number of bytes, 1 or more; correct it.")
    return File(table["name"], tuple(urls), beside, sha256, size)


def _card(where: str, card: str, place: str) -> str:
    if not card:
        return ""
    if not _FILE_NAME.fullmatch(card):
        _check_url(f"{where}: 'card'", card)
        return card
    return urljoin(place, card) if "://" in place else str(Path(place).with_name(card))


def _check_keys(where: str, table: Any, required: Mapping[str, type], optional: Mapping[str, type]) -> None:
    """Check that a table has the keys of its kind, no others, with values of the right types."""
    types = {**required, **optional}
    if not isinstance(table, dict):
        raise EdfkitError(f"{where} is {table!r}, expected a table with {', '.join(required)}; correct it.")
    for key, value in table.items():
        if key not in types:
            raise EdfkitError(f"{where}: the key {key!r} is unknown, expected {', '.join(types)}; take it out.")
        if type(value) is not types[key]:  # not isinstance: true would be a whole number
            raise EdfkitError(f"{where}: {key!r} is {value!r}, expected {_WORDS[types[key]]}; correct it.")
    for key in required:
        if key not in table:
            raise EdfkitError(f"{where}: the key {key!r} is missing, expected {', '.join(required)}; add it.")


def _check_text(where: str, key: str, text: str, *, lines: bool = False) -> None:
    """Check text that goes to terminals: control characters could do anything there."""
    if not text.strip() or not (text.replace("\n", " ") if lines else text).isprintable():
        expected = "text without control characters" if lines else "one line of text"
        raise EdfkitError(f"{where}: {key!r} is {text!r}, expected {expected}; correct it.")


def _check_url(where: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises, if it is no number
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        raise EdfkitError(f"{where}: {url!r} is no http:// or https:// address; correct it.")
