"""Cubes in the geometry of their sensor, shown on a map grid by a geographic lookup table (GLT).

The table says for each cell of the map which column and line of the cube it shows: the nearest pixel, no
resampling (the convention of the AVIRIS family and of EMIT).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube, WindowedCube, block_rows, memory_bytes
from hsi.errors import FileFormatError

_READ_BYTES = 64 << 20  # of the source at once
_EMPTY = -9999  # fill of some tables; 0 is the usual one


class LookupCube(WindowedCube):
    """A cube on the grid of its lookup table, ``(map rows, map cols, bands)``; NaN where there is no pixel.

    Parameters
    ----------
    base
        The cube ``(lines, samples, bands)`` in the geometry of its sensor.
    cols, rows
        ``(map rows, map cols)``, integers: sample and line of `base`, counted from 1. 0 means no pixel, as
        does -9999 in both; a negative number stands for a cell that was filled from its neighbour, the
        number without its sign.

    Raises
    ------
    FileFormatError
        When the tables differ in shape, hold no whole numbers, or name a pixel that `base` does not have.
    """

    def __init__(self, base: Cube, cols: NDArray[Any], rows: NDArray[Any]) -> None:
        kinds = cols.dtype.kind + rows.dtype.kind
        if cols.ndim != 2 or cols.shape != rows.shape or not set(kinds) <= set("iu"):
            raise FileFormatError(
                f"The lookup table has {cols.dtype} samples {cols.shape}, {rows.dtype} lines {rows.shape}; "
                "they must be integers of one 2-D shape; fetch its file again."
            )
        self.base: Cube = base
        self._cols, self._rows = cols, rows
        self.shape = (*cols.shape, base.shape[2])
        self.dtype: np.dtype[Any] = np.result_type(base.dtype, np.float32)
        self._check()

    def _check(self) -> None:
        step = max(1, _READ_BYTES // max(1, 8 * self.shape[1]))
        for row in range(0, self.shape[0], step):
            _, lines, samples = self._cells(slice(row, row + step), slice(None))
            line, sample = lines.max(initial=-1), samples.max(initial=-1)
            if line >= self.base.shape[0] or sample >= self.base.shape[1]:
                raise FileFormatError(
                    f"The lookup table names sample {int(sample) + 1} of line {int(line) + 1}, but the cube "
                    f"has {self.base.shape[0]} lines of {self.base.shape[1]} samples; it belongs to another "
                    "cube."
                )

    def _cells(
        self, rows: slice, cols: slice
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
        """Return which cells of a window show a pixel, and their lines and samples from 0."""
        lines = np.asarray(self._rows[rows, cols]).astype(np.int64)
        samples = np.asarray(self._cols[rows, cols]).astype(np.int64)
        filled = (lines != 0) & (samples != 0) & ~((lines == _EMPTY) & (samples == _EMPTY))
        return filled, np.abs(lines[filled]) - 1, np.abs(samples[filled]) - 1

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        filled, lines, samples = self._cells(rows, cols)
        count = self.shape[2] if bands is None else len(bands)
        values = np.full((*filled.shape, count), np.nan, self.dtype)
        if not len(lines) or not count:
            return values
        order = np.argsort(lines, kind="stable")
        lines, samples, places = lines[order], samples[order], np.flatnonzero(filled)[order]
        flat = values.reshape(-1, count)
        line_bytes = count * self.base.dtype.itemsize * int(samples.max() - samples.min() + 1)
        step = max(1, _READ_BYTES // line_bytes)
        start = 0
        while start < len(lines):  # one strip of lines after another
            first = int(lines[start])
            stop = int(np.searchsorted(lines, first + step))
            line, sample = lines[start:stop], samples[start:stop]
            left = int(sample.min())
            window = slice(first, int(line[-1]) + 1), slice(left, int(sample.max()) + 1)
            part = self.base[window] if bands is None else self.base[(*window, bands)]
            flat[places[start:stop]] = part[line - first, sample - left]
            start = stop
        return values

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return block_rows(self.base)

    @property
    def memory_bytes(self) -> int:
        """See `WindowedCube`."""
        tables = sum(memory_bytes(table[:, :, None]) for table in (self._cols, self._rows))
        return memory_bytes(self.base) + tables + _READ_BYTES


def lookup_mask(mask: NDArray[np.bool_], cols: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask ``(lines, samples)`` on the grid of the table, False where there is no pixel.

    Parameters and errors are those of `LookupCube`.
    """
    shown = np.asarray(LookupCube(mask[:, :, None].astype(np.uint8), cols, rows))
    return np.asarray(shown[:, :, 0] == 1)
