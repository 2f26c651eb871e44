"""Some bands of a cube, with NaN where it has no data; made window by window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.no_data import can_mark, missing_pixels
from hsi.datasets.windowed import WindowedCube, block_rows, held_bytes


class CubeView(WindowedCube):
    """A cube seen through a list of bands and a no-data value, without a copy of it.

    Pixels without data (see `hsi.datasets.no_data`) are NaN in all bands. Integers then become floats that
    hold them exactly: float32 up to 16 bits, else float64.

    Parameters
    ----------
    base
        The cube, in memory or not.
    bands
        Numbers of the bands to be seen, from 0; None: all.
    no_data
        Value that marks a pixel without data, or None.
    """

    def __init__(
        self, base: Cube, bands: NDArray[np.int64] | None = None, no_data: float | None = None
    ) -> None:
        self.base: Cube = base
        self._bands = None if bands is None or len(bands) == base.shape[2] else bands
        marks = no_data is not None and not math.isnan(no_data) and can_mark(no_data, base.dtype)
        self._no_data = no_data if marks else None  # NaN, and infinite values, say themselves what they are
        self.shape = (*base.shape[:2], base.shape[2] if bands is None else len(bands))
        self.dtype = base.dtype
        if self._no_data is not None:
            self.dtype = np.result_type(base.dtype, np.float32)

    @property
    def shows_all(self) -> bool:
        """Whether nothing differs from the cube itself."""
        return self._bands is None and self._no_data is None

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        if self._no_data is None:
            if self._bands is not None:
                bands = self._bands if bands is None else self._bands[bands]
            return self._of_base(rows, cols, bands)
        # Which pixels have data is asked of all bands that are seen, whichever are wanted.
        values = self._of_base(rows, cols, self._bands)
        missing = missing_pixels(values, self._no_data)
        values = (values if bands is None else values[:, :, bands]).astype(self.dtype)
        values[missing] = np.nan
        return values

    def _of_base(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        if bands is None:
            return self.base[rows, cols]
        if len(bands) and (np.diff(bands) == 1).all():  # bands side by side need no copy
            return self.base[rows, cols, int(bands[0]) : int(bands[-1]) + 1]
        return self.base[rows, cols, bands]

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return block_rows(self.base)

    @property
    def held(self) -> int:
        """See `WindowedCube`."""
        return held_bytes(self.base)
