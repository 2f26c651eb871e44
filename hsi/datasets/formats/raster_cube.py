"""The values of a raster that GDAL reads, taken from its file by windows."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import WindowedCube
from hsi.datasets.formats.facts import ArrayInfo
from hsi.datasets.formats.rasters import (
    cache_bytes,
    connect,
    load_rasterio,
    open_raster,
    rasterio_errors,
    read_window,
    stored_bytes,
    zarr_tile,
)
from hsi.io.size_limits import check_claim, check_stored

READ_AHEAD = 64 << 20
"""Bytes read at once where windows follow each other from left to right, so that a compressed block is
decompressed once for many windows."""
_LARGE_BLOCK = 4 * READ_AHEAD  # bytes of compressed values in one block, above which the scene gets a note


class RasterCube(WindowedCube):
    """The values of an image ``(rows, cols, bands)``, read by windows.

    It can be pickled and survives a fork: each process opens the file for itself, since GDAL's file handles
    cannot be shared. Threads of one process take turns.

    Parameters
    ----------
    path
        The image, or a Zarr store.
    info
        The array of a store, as `list_rasters` returned it; None: the only one.

    Raises
    ------
    FileFormatError
        When it is damaged (here or when a window is read), when rasterio is not installed, or when a strip or
        tile is larger than this machine's memory.
    """

    def __init__(self, path: Path, info: ArrayInfo | None = None) -> None:
        self.path = path
        self.info = info
        with open_raster(path, info) as source:
            self.shape = (source.height, source.width, source.count)
            self.dtype = np.result_type(*source.dtypes)
            rows, cols = source.block_shapes[0]
            self._gdal_cache = cache_bytes(source)
            # GDAL looks for the compression of JPEG 2000 in an endless loop where the file is damaged.
            packed = pixel = source.driver.startswith("JP2")
            if not packed:
                packed = source.compression is not None
                pixel = source.interleaving is not None and source.interleaving.value == "PIXEL"
        together = self.shape[2] if pixel else 1
        length = stored_bytes(path)
        check_stored(path, self.shape, self.dtype.itemsize, length)
        check_claim(path, (rows, cols, together), self.dtype.itemsize, length)
        self._tile = zarr_tile(info)
        self._block = (min(rows, self.shape[0]), min(cols, self.shape[1]))
        self._block_bytes = packed * math.prod(self._block) * self.shape[2] * self.dtype.itemsize
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._source: Any = None
        self._last: tuple[slice, slice] | None = None
        self._cache: tuple[slice, slice, NDArray[np.int64] | None, NDArray[Any]] | None = None

    def __reduce__(self) -> tuple[type[RasterCube], tuple[Path, ArrayInfo | None]]:
        """Pickle as the path of the file, and the name of the array in it."""
        return RasterCube, (self.path, self.info)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence if the block layout of the file makes mapping slow, else nothing."""
        if self._block_bytes <= _LARGE_BLOCK:
            return ()
        return (
            f"{self.path.name} is compressed in blocks of {self._block_bytes / 2**20:,.0f} MiB, each "
            "decompressed many times for a map; make a tiled copy (gdal_translate -co TILED=YES) to map "
            "faster and with less memory.",
        )

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return self._block[0]

    @property
    def memory_bytes(self) -> int:
        """See `WindowedCube`."""
        return READ_AHEAD + self._gdal_cache

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        if self._process != os.getpid():
            self._reset()
        with self._lock:
            if not self._is_cached(rows, cols, bands):
                wide = self._read_ahead(rows, cols, bands)
                self._cache = None  # freed before more is read
                self._cache = (rows, wide, bands, self._values(rows, wide, bands))
            self._last = rows, cols
            assert self._cache is not None
            _, wide, _, values = self._cache
            part = values[:, :, cols.start - wide.start : cols.stop - wide.start]
            window = np.ascontiguousarray(part.transpose(1, 2, 0))
            if cols.stop == wide.stop:
                self._cache = None
            return window

    def _is_cached(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> bool:
        if self._cache is None:
            return False
        cached_rows, cached_cols, cached_bands, _ = self._cache
        if rows != cached_rows or cols.start < cached_cols.start or cols.stop > cached_cols.stop:
            return False
        if bands is None or cached_bands is None:
            return bands is cached_bands
        return np.array_equal(bands, cached_bands)

    def _read_ahead(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> slice:
        """Return the columns to read: more to the right if this window follows the last one."""
        if not self._continues(rows, cols):
            return cols
        count = self.shape[2] if bands is None else len(bands)
        fitting = READ_AHEAD // max(1, (rows.stop - rows.start) * count * self.dtype.itemsize)
        stop = min(cols.start + fitting, self.shape[1])
        whole_blocks = stop - stop % self._block[1]
        if cols.stop <= whole_blocks and stop < self.shape[1]:
            stop = whole_blocks
        return slice(cols.start, max(stop, cols.stop))

    def _continues(self, rows: slice, cols: slice) -> bool:
        """Whether a window is to the right of the last, or the first one below a row of windows."""
        if self._last is None:
            return False
        last_rows, last_cols = self._last
        if rows == last_rows:
            return bool(last_cols.start < cols.start <= last_cols.stop)
        return bool(cols.start == 0 and last_cols.stop == self.shape[1] and last_rows.start < rows.start)

    def _values(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """Return ``(bands, rows, cols)``."""
        count = self.shape[2] if bands is None else len(bands)
        size = (count, rows.stop - rows.start, cols.stop - cols.start)
        if 0 in size:
            return np.empty(size, self.dtype)
        rasterio = load_rasterio(self.path)
        indexes = None if bands is None else (bands + 1).tolist()
        with rasterio_errors(self.path), rasterio.Env(GDAL_CACHEMAX=self._gdal_cache):
            if self._source is None:
                self._source = connect(self.path, self.info)
            return read_window(self._source, (rows, cols), indexes, self._tile)
