"""A variable on its way into a file: values, or chunks of another file, come in and full chunks go out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from edfkit.archive.netcdf import Layout, chunks_alike, set_attr
from edfkit.archive.packing import Digests


class Sink:
    """Takes the values of a variable piece by piece, and writes each chunk once.

    Parameters
    ----------
    dataset : DatasetID
        Where they go.
    layout : Layout
        How it was laid out, with `crc32_rows`.
    """

    def __init__(self, dataset: h5py.h5d.DatasetID, layout: Layout) -> None:
        self._dataset, self._layout = dataset, layout
        self._length, self._chunk = layout.shape[0], layout.chunks[0]
        self._held: list[NDArray[Any]] = []
        self._count = self._written = 0
        self._copies: dict[int, tuple[h5py.h5d.DatasetID, int]] = {}  # of chunks, by their first row: from where
        self._digests = Digests(int(layout.attrs["crc32_rows"][0]))

    def append(self, values: NDArray[Any]) -> None:
        """Take the next rows."""
        self._held.append(values)
        self._count += len(values)
        self._digests.add(values)

    def copy(self, source: h5py.h5d.DatasetID, at: int) -> None:
        """Copy the chunks of another file that are chunks here too, when its rows come from a place on."""
        if chunks_alike(source, self._layout):
            rows = source.shape[0]
            whole = rows if at + rows == self._length else rows - self._chunk + 1
            self._copies |= {at + start: (source, start) for start in range(0, whole, self._chunk)}

    def write(self) -> Iterator[int]:
        """Write the chunks that are full, and give before each one up to which row it goes."""
        stop = self._count if self._count == self._length else self._count // self._chunk * self._chunk
        if stop == self._written:
            return
        held = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        others = (0,) * (len(self._layout.shape) - 1)
        for start in range(self._written, stop, self._chunk):
            end = min(start + self._chunk, stop)
            yield end
            if start in self._copies:
                source, place = self._copies[start]
                skipped, data = source.read_direct_chunk((place, *others))
                self._dataset.write_direct_chunk((start, *others), data, skipped)
            else:
                values = np.ascontiguousarray(held[start - self._written : end - self._written])
                rows = self._dataset.get_space()
                rows.select_hyperslab((start, *others), values.shape)
                self._dataset.write(h5py.h5s.create_simple(values.shape), rows, values)
        self._held, self._written = [held[stop - self._written :].copy()], stop

    def end(self) -> None:
        """Write the digests, when all values are there."""
        set_attr(self._dataset, "crc32", np.array(self._digests.all(), "<u4"))

    def restate(self, attrs: Mapping[str, NDArray[Any]]) -> None:
        """Replace attributes: what is known only when all values are there."""
        for name, value in attrs.items():
            h5py.h5a.delete(self._dataset, name.encode())
            set_attr(self._dataset, name, value)

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Read back what was written, as stored."""
        stored = h5py.Dataset(self._dataset)
        for start in range(0, self._length, self._chunk):
            yield stored[start : start + self._chunk]
