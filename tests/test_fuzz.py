"""Random damage to real archives: it is seen, or what is read is as before; never a wrong figure, a crash or a hang."""

import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest

from edfkit import EdfkitError
from edfkit.archive import Archive, validate, write, writer
from edfkit.archive.combine import subset
from edfkit.archive.verify import verify
from edfkit.datasets import locate

BLOCK = 4096
MEMORY = 4 * 2**30  # of a process that reads damaged files
PATIENCE = 60.0  # seconds for one damage, of which a read takes a tenth of one
OUTCOMES = ("detected", "harmless", "wrong", "exception", "crash", "hang")


class Chunk(NamedTuple):
    """Where a chunk of a variable lies in a file."""

    variable: str
    offset: int
    size: int


class Layout(NamedTuple):
    """A file, where its values are, and where its object headers and indexes are, each kind by its length."""

    data: bytes
    chunks: list[Chunk]
    headers: dict[int, list[int]]
    indexes: dict[int, list[int]]

    @classmethod
    def of(cls, path: Path) -> "Layout":
        chunks: list[Chunk] = []
        with h5py.File(path) as file:

            def visit(name: str, item: object) -> None:
                if isinstance(item, h5py.Dataset) and item.chunks:
                    found = (item.id.get_chunk_info(i) for i in range(item.id.get_num_chunks()))
                    chunks.extend(Chunk(name, one.byte_offset, one.size) for one in found)

            file.visititems(visit)
        data = path.read_bytes()
        headers: dict[int, list[int]] = {}
        for start in places(data, b"OHDR\x02"):
            flags = data[start + 5]
            front = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)  # times, and limits of attributes
            width = 1 << (flags & 3)
            length = int.from_bytes(data[start + front : start + front + width], "little")
            headers.setdefault(front + width + length + 4, []).append(start)
        # Of B-trees, fractal heaps and arrays, in which attributes, links and chunks are found.
        indexes = {length: places(data, name) for name, length in ((b"BTHD", 38), (b"FRHP", 146), (b"FAHD", 28))}
        return cls(data, chunks, headers, indexes)

    def content(self, chunk: Chunk) -> bytes:
        return self.data[chunk.offset : chunk.offset + chunk.size]


def places(data: bytes, name: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(name), data)]


# --- Damage


def overwritten(data: bytes, start: int, new: bytes) -> bytes:
    return data[:start] + new + data[start + len(new) :]


def flipped(data: bytes, bits: Iterator[int] | list[int]) -> bytes:
    damaged = bytearray(data)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def flip_one(layout: Layout, rng: np.random.Generator) -> bytes:
    return flipped(layout.data, [int(rng.integers(len(layout.data) * 8))])


def flip_in_metadata(layout: Layout, rng: np.random.Generator) -> bytes:
    """Flip a bit outside of all chunks, where HDF5 keeps what it goes by."""
    inside = np.zeros(len(layout.data), bool)
    for chunk in layout.chunks:
        inside[chunk.offset : chunk.offset + chunk.size] = True
    return flipped(layout.data, [int(rng.choice(np.flatnonzero(~inside))) * 8 + int(rng.integers(8))])


def flip_many(layout: Layout, rng: np.random.Generator) -> bytes:
    return flipped(layout.data, rng.integers(0, len(layout.data) * 8, rng.integers(2, 21)).tolist())


def overwrite(layout: Layout, rng: np.random.Generator) -> bytes:
    new = rng.bytes(int(rng.integers(1, 65)))
    return overwritten(layout.data, int(rng.integers(len(layout.data) - len(new))), new)


def truncate(layout: Layout, rng: np.random.Generator) -> bytes:
    return layout.data[: int(rng.integers(len(layout.data)))]


def append(layout: Layout, rng: np.random.Generator) -> bytes:
    return layout.data + rng.bytes(int(rng.integers(1, 10_000)))


def zero_block(layout: Layout, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(layout.data) // BLOCK)) * BLOCK
    return overwritten(layout.data, start, bytes(BLOCK))


def swap_blocks(layout: Layout, rng: np.random.Generator) -> bytes:
    a, b = (int(i) * BLOCK for i in rng.choice(len(layout.data) // BLOCK, 2, replace=False))
    return swapped(layout.data, a, b, BLOCK)


def swapped(data: bytes, a: int, b: int, length: int) -> bytes:
    return overwritten(overwritten(data, a, data[b : b + length]), b, data[a : a + length])


def swap_some(layout: Layout, among: dict[int, list[int]], rng: np.random.Generator) -> bytes:
    """Swap two of what has a checksum of its own and the same length: only what it says of itself tells."""
    length = int(rng.choice(np.repeat(list(among), [len(at) * (len(at) > 1) for at in among.values()])))
    a, b = rng.choice(among[length], 2, replace=False)
    return swapped(layout.data, int(a), int(b), length)


def swap_headers(layout: Layout, rng: np.random.Generator) -> bytes:
    return swap_some(layout, layout.headers, rng)


def swap_indexes(layout: Layout, rng: np.random.Generator) -> bytes:
    return swap_some(layout, layout.indexes, rng)


def pairs(layout: Layout, same_variable: bool) -> list[tuple[Chunk, Chunk]]:
    """Chunks of equal size and different content, of one variable or of two."""
    by_size: dict[int, list[Chunk]] = {}
    for chunk in layout.chunks:
        by_size.setdefault(chunk.size, []).append(chunk)
    return [
        (a, b)
        for alike in by_size.values()
        for i, a in enumerate(alike)
        for b in alike[i + 1 :]
        if (a.variable == b.variable) == same_variable and layout.content(a) != layout.content(b)
    ]


def swap_chunks(layout: Layout, rng: np.random.Generator) -> bytes:
    """Swap two chunks of a variable: each one's own checksum goes with it."""
    among = pairs(layout, same_variable=True)
    a, b = among[int(rng.integers(len(among)))]
    return swapped(layout.data, a.offset, b.offset, a.size)


def replace_chunk(layout: Layout, rng: np.random.Generator) -> bytes:
    """Put a chunk of another variable in the place of one, of the same size if there are such."""
    among = pairs(layout, same_variable=False)
    if among:
        a, b = among[int(rng.integers(len(among)))]
    else:
        a, b = (layout.chunks[int(i)] for i in rng.choice(len(layout.chunks), 2, replace=False))
    return overwritten(layout.data, a.offset, layout.content(b)[: a.size])


KINDS: dict[str, Callable[[Layout, np.random.Generator], bytes]] = {
    "bit flipped": flip_one,
    "bit of the metadata flipped": flip_in_metadata,
    "bits flipped": flip_many,
    "bytes overwritten": overwrite,
    "truncated": truncate,
    "bytes appended": append,
    "block zeroed": zero_block,
    "blocks swapped": swap_blocks,
    "chunks swapped": swap_chunks,
    "chunk of another variable": replace_chunk,
    "object headers swapped": swap_headers,
    "indexes swapped": swap_indexes,
}


def damage(layout: Layout, kind: str, seed: int) -> bytes:
    """Damage a file in one way, the same for the same seed; it is another file afterwards."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    while True:
        damaged = KINDS[kind](layout, rng)
        if damaged != layout.data:
            return damaged


def kinds_for(layout: Layout) -> list[str]:
    return [kind for kind in KINDS if kind != "chunks swapped" or pairs(layout, same_variable=True)]


# --- What reading gives


def everything(path: Path, every_way: bool) -> tuple[dict[str, Any], list[str]]:
    """Read all values and attributes, once more by the other ways; give those that can be read, and the refusals."""
    read: dict[str, Any] = {}
    refusals: list[str] = []

    def take(what: str, action: Callable[[], Any]) -> Any:
        try:
            read[what] = value = action()
        except EdfkitError as error:
            refusals.append(str(error))
            return None
        return value

    opened = take("file", lambda: Archive(path))
    if opened is None:
        return {}, refusals
    del read["file"]
    with opened:
        read["attrs"] = opened.attrs
        for name in take("names", lambda: opened.names) or []:
            take(f"{name} size", lambda: opened.models(name))  # noqa: B023 - called at once
            take(f"{name} attrs", lambda: opened.group_attrs(name))  # noqa: B023
            for variable in take(f"{name} variables", lambda: opened.variables(name)) or []:  # noqa: B023
                where = f"{name} {variable}"
                take(f"{where} described", lambda: described(opened, name, variable))  # noqa: B023
                if every_way:
                    take(f"{where} piecewise", lambda: piecewise(opened, name, variable))  # noqa: B023
        take("valid", opened.validate)
        if not every_way:
            return read, refusals
        findings = take("verified", lambda: [finding.to_dict() for finding in verify(opened)])
        if any(finding["severity"] == "error" for finding in findings or []):
            refusals.append("There are findings.")
            del read["verified"]
    return read, refusals


def bits(values: Any) -> tuple[str, tuple[int, ...], bytes]:
    values = np.asarray(values)
    return values.dtype.str, values.shape, values.tobytes()


def described(opened: Archive, name: str, variable: str) -> tuple[Any, ...]:
    found = opened.variable(name, variable)
    return (*bits(found.values), found.dims, str(found.attrs))


def piecewise(opened: Archive, name: str, variable: str) -> list[Any]:
    pieces = list(opened.chunks(name, [variable], rows=100))  # all of them: a digest is of many rows
    return list(map(bits, (piece[variable] for piece in pieces)))


def work() -> None:
    """Damage, read and compare, for each line of standard input; say before and after each which one it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.h5"
        layouts: dict[str, tuple[Layout, list[dict[str, Any]]]] = {}
        for line in sys.stdin:
            original, kind, seed = json.loads(line)
            if original not in layouts:
                both = [everything(Path(original), every_way) for every_way in (False, True)]
                assert not any(refusals for _, refusals in both)
                layouts[original] = Layout.of(Path(original)), [whole for whole, _ in both]
            layout, wholes = layouts[original]
            every_way = seed % 4 == 0  # takes three times as long
            path.write_bytes(damage(layout, kind, seed))
            print("begun", flush=True)
            try:
                read, refusals = everything(path, every_way)
            except Exception as error:
                outcome = f"exception {type(error).__name__}: {error}".replace("\n", " ")
            else:
                sentences = [refusal for refusal in refusals if "\n" not in refusal and refusal.endswith(".")]
                whole = wholes[every_way]
                other = [what for what, value in read.items() if what not in whole or whole[what] != value]
                missing = [what for what in whole if what not in read]
                if other or (missing and not refusals):
                    outcome = f"wrong {other} {missing}"
                elif sentences != refusals:
                    outcome = f"exception of another form: {refusals}"
                else:
                    outcome = "detected" if refusals else "harmless"
            print(outcome, flush=True)


Damage = tuple[str, str, int]  # archive, kind, seed


def outcomes(damages: list[Damage], patience: float = PATIENCE, code: str = "") -> list[str]:
    """Give the outcome of each damage; processes that crash or hang are started again with the next one."""
    found: list[str] = []
    while len(found) < len(damages):
        found += batch(damages[len(found) : len(found) + 100], patience, code)
    return found


def batch(damages: list[Damage], patience: float, code: str) -> list[str]:
    """Try damages in one process until it crashes or hangs."""
    path = [str(Path(__file__).parent), *filter(None, sys.path)]
    start = f"""
    import resource, sys
    sys.path[:0] = {path!r}
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import test_fuzz
    """
    program = textwrap.dedent(start) + code + "\ntest_fuzz.work()\n"
    found: list[str] = []
    with (
        tempfile.TemporaryFile("w+") as given,
        subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", program],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if code else None,
            cwd=tempfile.gettempdir(),
        ) as process,
        selectors.DefaultSelector() as selector,
    ):
        # The process reads what has been written before it began to read.
        given.writelines(json.dumps(one) + "\n" for one in damages)
        given.flush()
        os.lseek(given.fileno(), 0, os.SEEK_SET)
        assert process.stdout
        selector.register(process.stdout, selectors.EVENT_READ)
        os.set_blocking(process.stdout.fileno(), False)
        pending, begun, deadline = b"", False, time.monotonic() + patience
        while len(found) < len(damages):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                process.kill()
                return [*found, "hang"]
            received = process.stdout.read()
            if received == b"":
                process.wait()
                assert begun, f"the process ended with {process.returncode} before the damage was read"
                return [*found, f"crash {process.returncode}"]
            *lines, pending = (pending + (received or b"")).split(b"\n")
            for line in lines:
                begun = line == b"begun"
                if not begun:
                    found.append(line.decode())
                deadline = time.monotonic() + patience
    return found


def fuzz(archives: dict[str, Path], count: int, seed: int) -> dict[str, Counter[str]]:
    """Try so many damages, in turn over the archives and the kinds, and count the outcomes by kind."""
    layouts = {name: Layout.of(path) for name, path in archives.items()}
    turns = [(str(archives[name]), kind) for name, layout in layouts.items() for kind in kinds_for(layout)]
    damages = [(*turns[i % len(turns)], seed + i // len(turns)) for i in range(count)]
    found = outcomes(damages)
    counts = {kind: Counter[str]() for kind in KINDS}
    for (_, kind, _), outcome in zip(damages, found, strict=True):
        counts[kind][outcome.split()[0]] += 1
    bad = [pair for pair in zip(damages, found, strict=True) if pair[1] not in ("detected", "harmless")]
    print("\n" + "\n".join(f"{kind:30}" + "".join(f"{c[o]:>11}" for o in OUTCOMES) for kind, c in counts.items()))
    print(f"{'':30}" + "".join(f"{outcome:>11}" for outcome in OUTCOMES))
    assert not bad, f"{len(bad)} of {count} damages led to another result, of them {bad[:5]}"
    return counts


# --- The archives


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundled archive, and one of many chunks, of which some have a digest in common."""
    from test_archive import ATTRS, GROUP_ATTRS, scalars, with_curves  # not in the processes that read damaged files

    path = tmp_path_factory.mktemp("fuzz") / "chunked.h5"
    rng = np.random.default_rng(11)
    populations = {"resnet": with_curves(300, 12, rng), "vanilla": scalars(300, rng)}
    for population in populations.values():
        population["seed"] = rng.integers(-(2**62), 2**62, 300)  # noise, which is stored in chunks of equal size
        population["status"] = rng.integers(0, 2, 300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_CHUNK_BYTES", 1024)
        patch.setattr(writer, "_DIGESTS", 20)
        write(path, populations, ATTRS, GROUP_ATTRS)
    layout = Layout.of(path)
    assert sum(chunk.variable == "resnet/seed" for chunk in layout.chunks) == 3
    assert sum(chunk.variable == "resnet/test_error" for chunk in layout.chunks) == 38
    assert len(pairs(layout, same_variable=True)) > 50
    assert len(pairs(layout, same_variable=False)) > 50
    with h5py.File(path) as file:
        rows = {name: int(file["resnet"][name].attrs["crc32_rows"][0]) for name in ("seed", "test_error")}
        assert rows == {"seed": 128, "test_error": 16}
    digits = path.with_name("digits.h5")
    subset(locate("digits"), digits, spaces=["resnet", "vanilla"])  # all the others are more of the same
    return {"digits": digits, "chunked": path}


def check_counts(counts: dict[str, Counter[str]], total: int) -> None:
    assert sum(counter.total() for counter in counts.values()) == total
    assert all(counter.total() for counter in counts.values())
    for kind in ("truncated", "chunks swapped", "object headers swapped"):
        assert counts[kind]["harmless"] == 0
    for kind, counter in counts.items():
        assert counter["detected"] or kind == "bytes appended"


def test_damage_is_seen_or_harmless(archives: dict[str, Path]) -> None:
    check_counts(fuzz(archives, 100, 0), 100)


@pytest.mark.slow
def test_much_damage_is_seen_or_harmless(archives: dict[str, Path]) -> None:
    check_counts(fuzz(archives, 2000, 10_000), 2000)


# --- The fuzz itself


def test_without_digests_swapped_chunks_give_wrong_figures(archives: dict[str, Path], tmp_path: Path) -> None:
    layout, path = Layout.of(archives["chunked"]), tmp_path / "swapped.h5"
    for seed in range(5):
        path.write_bytes(damage(layout, "chunks swapped", seed))
        with pytest.raises(EdfkitError, match="are not those that were written"):
            validate(path)
        other = []
        with h5py.File(path) as swapped, h5py.File(archives["chunked"]) as original:
            for population in original:
                for name, dataset in original[population].items():
                    if dataset.chunks and bits(swapped[population][name][()]) != bits(dataset[()]):
                        other.append(name)
        assert len(other) == 1, "HDF5 itself sees nothing"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("chunks swapped", "population.Stored._check = lambda *_: None"),
        ("object headers swapped", "population._check_path = lambda *_: None"),
    ],
)
def test_the_fuzz_sees_wrong_figures(archives: dict[str, Path], kind: str, code: str) -> None:
    damages = [(str(archives["chunked"]), kind, seed) for seed in range(5)]
    found = outcomes(damages, code=f"from edfkit.archive import population; {code}")
    assert "wrong" in {outcome.split()[0] for outcome in found} <= {"wrong", "detected"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os.kill(os.getpid(), 11)", "crash -11"),
        ("time.sleep(600)", "hang"),
        ("raise KeyError('odd')", "exception KeyError"),
    ],
)
def test_the_fuzz_sees_crashes_hangs_and_exceptions(archives: dict[str, Path], code: str, expected: str) -> None:
    """And goes on with the next damage."""
    damages = [(str(archives["digits"]), kind, 1) for kind in ("truncated", "bit flipped", "truncated")]
    start = f"""
import os, time
real, calls = test_fuzz.everything, []
def everything(path, every_way):
    calls.append(path)
    if len(calls) == 4:  # the second damage
        {code}
    return real(path, every_way)
test_fuzz.everything = everything
"""
    assert [outcome.startswith(expected) for outcome in outcomes(damages, 8.0, start)] == [False, True, False]
