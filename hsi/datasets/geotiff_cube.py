"""A GeoTIFF cube that stays in its file; needs rasterio, the optional extra ``geo``."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.geotiff import GDAL_CACHE, damage_in_words, load_rasterio, open_geotiff, opened
from hsi.datasets.size_limits import check_claim, check_stored
from hsi.datasets.windowed import WindowedCube

AHEAD = 64 << 20
"""Bytes of the file's values that are read together where windows follow each other from left to right: our
decision. What is packed in strips or tiles is unpacked once for many windows so."""
_LARGE_BLOCK = 4 * AHEAD  # bytes: what is packed in one piece beyond this is spoken of


class GeoTiffCube(WindowedCube):
    """The values of an image ``(rows, cols, bands)``, read by windows.

    It may be sent to another process, or be there after a fork: each opens the file for itself, since GDAL's
    files cannot be shared. Threads of one process take turns.

    Parameters
    ----------
    path
        The image.

    Raises
    ------
    FileFormatError
        When it is damaged, here or when a window is read; when rasterio is not installed; or when strips or
        tiles of it are larger than this machine's memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_geotiff(path) as source:
            self.shape = (source.height, source.width, source.count)
            self.dtype = np.dtype(source.dtypes[0])
            rows, cols = source.block_shapes[0]
            packed = source.compression is not None
            together = source.count if source.interleaving.value == "PIXEL" else 1
        length = path.stat().st_size
        check_stored(path, self.shape, self.dtype.itemsize, length)
        check_claim(path, (rows, cols, together), self.dtype.itemsize, length)
        self._block = (min(rows, self.shape[0]), min(cols, self.shape[1]))
        area = self._block[0] * self._block[1]
        self._unpacked = packed * area * self.shape[2] * self.dtype.itemsize
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._source: Any = None
        self._last: tuple[slice, slice] | None = None
        self._kept: tuple[slice, slice, NDArray[np.int64] | None, NDArray[Any]] | None = None

    def __reduce__(self) -> tuple[type[GeoTiffCube], tuple[Path]]:
        """Be sent as the name of the file."""
        return GeoTiffCube, (self.path,)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence where the way the file is packed makes mapping slow, else nothing."""
        if self._unpacked <= _LARGE_BLOCK:
            return ()
        return (
            f"{self.path.name} is packed in pieces of {self._unpacked / 2**20:,.0f} MiB, each unpacked many "
            "times for a map, which takes time and memory; a copy in tiles does not "
            "(gdal_translate -co TILED=YES).",
        )

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return self._block[0]

    @property
    def held(self) -> int:
        """See `WindowedCube`."""
        return AHEAD + GDAL_CACHE

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        if self._process != os.getpid():
            self._forget()
        with self._lock:
            if not self._keeps(rows, cols, bands):
                wide = self._widened(rows, cols, bands)
                # What was kept is let go of before more is read.
                self._kept = None
                self._kept = (rows, wide, bands, self._values(rows, wide, bands))
            self._last = rows, cols
            assert self._kept is not None
            _, wide, _, values = self._kept
            part = values[:, :, cols.start - wide.start : cols.stop - wide.start]
            window = np.ascontiguousarray(part.transpose(1, 2, 0))
            if cols.stop == wide.stop:
                self._kept = None
            return window

    def _keeps(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> bool:
        if self._kept is None:
            return False
        kept_rows, kept_cols, kept_bands, _ = self._kept
        inside = kept_cols.start <= cols.start and cols.stop <= kept_cols.stop
        if bands is None or kept_bands is None:
            return rows == kept_rows and inside and bands is kept_bands
        return rows == kept_rows and inside and np.array_equal(bands, kept_bands)

    def _widened(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> slice:
        """Return the columns to be read: more to the right where this window goes on from the last."""
        if not self._goes_on(rows, cols):
            return cols
        count = self.shape[2] if bands is None else len(bands)
        fitting = AHEAD // max(1, (rows.stop - rows.start) * count * self.dtype.itemsize)
        stop = min(cols.start + fitting, self.shape[1])
        whole_blocks = stop - stop % self._block[1]
        if cols.stop <= whole_blocks and stop < self.shape[1]:
            stop = whole_blocks
        return slice(cols.start, max(stop, cols.stop))

    def _goes_on(self, rows: slice, cols: slice) -> bool:
        """Tell whether a window is to the right of the last, or the first below a row of windows."""
        if self._last is None:
            return False
        last_rows, last_cols = self._last
        if rows == last_rows:
            return bool(last_cols.start < cols.start <= last_cols.stop)
        return bool(cols.start == 0 and last_cols.stop == self.shape[1] and last_rows.start < rows.start)

    def _values(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """Return ``(bands, rows, cols)``, as GDAL gives them."""
        count = self.shape[2] if bands is None else len(bands)
        size = (count, rows.stop - rows.start, cols.stop - cols.start)
        if 0 in size:
            return np.empty(size, self.dtype)
        rasterio = load_rasterio(self.path)
        indexes = None if bands is None else (bands + 1).tolist()
        window = rasterio.windows.Window(cols.start, rows.start, size[2], size[1])
        with damage_in_words(self.path), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
            if self._source is None:
                self._source = opened(self.path)
            values: NDArray[Any] = self._source.read(indexes, window=window)
        return values
