"""Record what every command gives on one archive, to compare two versions of edfkit.

    python -P tests/support/guard.py record before.json.gz          # on the bundled archive
    python -P tests/support/guard.py record before.json.gz FOLDER   # on a folder of published files
    python -P tests/support/guard.py compare before.json.gz after.json.gz

A recording has the JSON document of each command, for the bundled archive the CSV file of each figure and table, and a
digest of each file that `edfkit export nds` writes. Two recordings are the same if the documents have the same keys in
the same order and the same numbers to 1e-12, and the files the same bytes. Sentences, which are text with blanks in it,
may differ. A test compares this edfkit with `recorded.json.gz`; as processors differ in the last bit, it takes the
numbers of CSV files as those of the documents.
"""

import csv
import gzip
import hashlib
import io
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from click.testing import CliRunner

from edfkit.archive.source import open_source
from edfkit.cli import edfkit
from edfkit.datasets import BUNDLED as BUNDLED_ARCHIVES
from edfkit.generator.spaces import SPACES
from edfkit.show.figures import make_figures

BUNDLED = [
    "compare resnet vanilla --permutations 50 --sensitivity",
    "compare resnet vanilla --given none --diverged censor --error final",
    "compare resnext-a resnext-b --given flops --bins 3 --range 1e6 5e6 --diverged drop --best-share 0.1",
    "compare nasnet amoeba pnas enas darts --confidence 0.9 --area-to 20",
    "compare resnet vanilla --bins 10 --permutations 50 --sensitivity",
    "compare nasnet amoeba pnas enas darts --bins 5 --confidence 0.9",
    "compare resnet_rng1 resnet_rng2 --strata 7 --equivalent 3",
    "compare resnet vanilla --given params,flops",
    "compare resnet vanilla --error 3",
    "compare resnet vanilla --stream --sensitivity --permutations 50 --seed 3",
    "describe",
    "describe resnet --bootstrap 100 --seed 2 --error final",
    "point resnet --small 10 --large 100",
    "point resnet vanilla --small 300 --large 300 --bootstrap 50 --alpha 0.1",
    "search resnet vanilla -m 1,10 --cost macs",
    "search resnet darts --given none --without-replacement -m 1,100",
    "search enas pnas --given acts --confidence 0.9",
    "search resnet vanilla --bins 3 --range 1e5 2e5 -m 1,4",
    "search resnet_rng1 -m 2",
    "search resnet resnet_rng1 -m 2",
    "samples resnet --simulate 5",
    "plan --eps 0.05",
    "plan resnet vanilla --trials 20",
    "plan resnet --shift 5 --trials 20 --power 0.9",
    "plan nasnet darts --equivalent 9 --trials 20",
    "plan resnet vanilla --width 6 --given none --trials 20",
    "complexity resnet vanilla --bins 40 --buckets 50 --range 1e5 4e5",
    "complexity darts enas --by acts",
    "noise resnet vanilla --one-network",
    "noise resnet_rng1 resnet_rng2 resnet_rng3 --same-models",
    "noise resnet_lr-wd vanilla_lr-wd --default 0.05 1e-3",
    "report resnet vanilla -o report.html --range 1e5 2e5 --bins 3",
    "report nasnet pnas darts -o cells.html --seed 4",
    "figures 2 5 -o figures --format png",
    "datasets list",
    "spaces list",
    "spaces count darts",
    "spaces show resnet --dataset digits --max-params 1e5",
    "spaces sample darts --models 2",
]
PUBLISHED = [
    "compare resnext-a_in resnext-b_in --permutations 50 --sensitivity",
    "compare resnext-a_in resnext-b_in --given flops --error final",
    "compare darts_in enas_in nasnet_in resnext-a_in resnext-b_in",
    "compare resnext-a_in resnext-b_in --given flops --bins 4",
    "describe",
    "point resnext-b_in resnext-a_in --small 20 --large 100",
    "search darts_in enas_in nasnet_in --cost flops",
    "samples nasnet_in",
    "plan resnext-a_in resnext-b_in --given params --trials 20",
    "complexity resnext-a_in resnext-b_in --by flops",
    "noise resnet_lr-wd_in",
    "report darts_in nasnet_in -o report.html",
]
RECORDED = Path(__file__).with_name("recorded.json.gz")
RECORDED_PUBLISHED = Path(__file__).with_name("recorded_published.json.gz")
EXEMPT = {"bytes", "path", "edfkit", "digest"}
"""Keys that may differ: the size of a report, which depends on its sentences, where edfkit is installed, its version,
and the digest of what is read, which may become less."""


def record(published: Path | None = None) -> dict[str, Any]:
    """Run the commands and give what comes out of them."""
    unset = {name: None for name in os.environ if name.startswith("EDFKIT_")}
    runner = CliRunner(env=unset | {"EDFKIT_ARCHIVE": str(published) if published else None, "EDFKIT_DATA": "data"})

    def run(line: str) -> str:
        result = runner.invoke(edfkit, line.split(), catch_exceptions=False)
        assert result.exit_code == 0, f"{line}: {result.output}"
        return str(result.stdout)

    found: dict[str, Any] = {"documents": {}, "tables": {}, "exported": {}}
    with TemporaryDirectory() as folder, chdir(folder):
        for line in PUBLISHED if published else BUNDLED:
            found["documents"][line] = json.loads(run(f"{line} --json"))
        if not published:  # of published files the tables would hold the errors themselves
            sizes = {name: (space.size, getattr(space, "cells", None)) for name, space in SPACES.items()}
            with open_source(BUNDLED_ARCHIVES["digits"]) as source:
                list(make_figures(source, ["all"], Path("figures"), formats=(), sizes=sizes))
            for file in sorted(Path("figures").glob("*.csv")):
                found["tables"][file.name] = file.read_text(encoding="utf-8")
        archive = "digits"
        if published:
            run(f"import nds {published} -o imported.h5")
            archive = "imported.h5"
        run(f"export nds {archive} -o exported")
        for file in sorted(Path("exported").iterdir()):
            found["exported"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Name what differs between two values of recordings."""
    if path.rpartition(".")[2] in EXEMPT or (isinstance(one, str) and isinstance(other, str) and " " in one):
        return
    if isinstance(one, dict) and isinstance(other, dict):
        if list(one) != list(other):
            yield f"{path}: the keys {', '.join(one)} are now {', '.join(other)}"
        for key in one.keys() & other.keys():
            yield from differences(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differences(a, b, f"{path}[{i}]")
    elif isinstance(one, float) and isinstance(other, float):
        if not math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12):
            yield f"{path}: {one!r} is now {other!r}"
    elif one != other or type(one) is not type(other):
        yield f"{path}: {one!r} is now {other!r}"


def cells(table: str) -> list[list[Any]]:
    """Give the cells of a CSV file, numbers as such."""

    def value(cell: str) -> Any:
        try:
            return float(cell)
        except ValueError:
            return cell

    return [list(map(value, row)) for row in csv.reader(io.StringIO(table))]


def unlike(before: dict[str, Any], after: dict[str, Any], *, to_the_byte: bool = True) -> list[str]:
    """Name all that differs between two recordings."""
    found = list(differences(before["documents"], after["documents"]))
    for kind in ("tables", "exported"):
        for name in sorted(before[kind].keys() | after[kind].keys()):
            one, other = before[kind].get(name), after[kind].get(name)
            if kind == "tables" and one and other and not to_the_byte:
                found += differences(cells(one), cells(other), f"{kind}.{name}")
            elif one != other:
                found.append(f"{kind}.{name} differs")
    return found


def load(path: Path) -> dict[str, Any]:
    """Read a recording."""
    return dict(json.loads(gzip.decompress(path.read_bytes())))


def save(path: Path, recording: dict[str, Any]) -> None:
    """Write a recording; the same one gives the same bytes."""
    path.write_bytes(gzip.compress(json.dumps(recording).encode(), 9, mtime=0))


if __name__ == "__main__":
    verb, *places = sys.argv[1:]
    if verb == "record":
        save(Path(places[0]).resolve(), record(Path(places[1]).resolve() if len(places) > 1 else None))
    else:
        faults = unlike(*(load(Path(place)) for place in places))
        print(*faults or ["the same"], sep="\n")
        sys.exit(bool(faults))
