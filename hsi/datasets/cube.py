"""What a scene's cube can be: an array, or what reads a window of a file when it is asked for one.

Pixels without data: which they are, and what stands in their place.

Cubes that are not in memory: what is asked for is read when it is asked for.

Some bands of a cube, with NaN where it has no data; made window by window.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hsi.errors import SceneError


class Cube(Protocol):
    """``(rows, cols, bands)`` of real numbers; any NumPy array is one.

    ``cube[rows, cols]`` with slices or single numbers gives that window as an array, and ``cube[rows, cols,
    bands]`` some of its bands; ``np.asarray(cube)`` the whole, as arithmetic needs it.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, cols, bands)``."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the arrays that come out."""

    @property
    def ndim(self) -> int:
        """Number of dimensions: 3."""

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Return a window."""

    def __array__(self) -> NDArray[Any]:
        """Return all of it."""


_PIECE = 1 << 22  # values looked at together


def can_mark(no_data: float, dtype: np.dtype[Any]) -> bool:
    """Tell whether values of this type can be `no_data`; ``nan`` also stands for infinite values."""
    if dtype.kind == "f":
        return True
    if not math.isfinite(no_data) or not float(no_data).is_integer():
        return False
    limits = np.iinfo(dtype)
    return int(limits.min) <= int(no_data) <= int(limits.max)


def missing_pixels(values: NDArray[Any], no_data: float) -> NDArray[np.bool_]:
    """Return which pixels ``(h, w)`` of ``(h, w, bands)`` have no data.

    A pixel has none where any band equals `no_data` (or is not a finite number, for ``nan``). Of 0, which
    dark bands measure too, a pixel without data holds nothing else (our decision).
    """
    if not can_mark(no_data, values.dtype):
        return np.zeros(values.shape[:2], bool)
    if math.isnan(no_data):
        missing = ~np.isfinite(values).all(axis=2)
    elif no_data == 0:
        missing = ~values.any(axis=2)
    else:  # integers are compared as such: no float copy of them
        missing = (values == (no_data if values.dtype.kind == "f" else int(no_data))).any(axis=2)
    return np.asarray(missing)


def fill_no_data(
    cube: NDArray[Any], no_data: float, where: str
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, str]:
    """Give pixels without data the mean spectrum of the others; return cube, map (rows, cols) of them, note.

    The mean keeps scaling and PCA unharmed (our decision); the caller takes the labels away. No copy of the
    cube is made, unless it is read-only.
    """
    if not can_mark(no_data, cube.dtype):
        return cube, None, ""
    step = max(1, _PIECE // (cube.shape[1] * cube.shape[2]))
    missing = np.empty(cube.shape[:2], bool)
    total = np.zeros(cube.shape[2])
    for row in range(0, len(cube), step):
        strip = cube[row : row + step]
        missing[row : row + step] = lacking = missing_pixels(strip, no_data)
        total += strip[~lacking].sum(axis=0, dtype=np.float64)
    pixels = int(missing.sum())
    if not pixels:
        return cube, None, ""
    if pixels == missing.size:
        raise SceneError(f"Every pixel of {where} has no data ({no_data:g}); check the no-data value.")
    cube = cube if cube.flags.writeable else cube.copy()
    cube[missing] = (total / (missing.size - pixels)).astype(cube.dtype)
    return cube, missing, f"{pixels} pixels have no data; they are unlabelled and hold the mean spectrum."


class WindowedCube(ABC):
    """A cube ``(rows, cols, bands)`` of which windows are read, and nothing is kept but what `held` says.

    It takes ``cube[rows, cols, bands]`` with slices, single numbers and ``...``; bands may also be an array
    of numbers. Whatever their steps, the box round them is read.

    Attributes
    ----------
    shape, dtype
        As of an array.
    base
        What it reads from, if that is another cube; else None. So called by NumPy, too.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    base: Cube | None = None

    @abstractmethod
    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """Return a window: `rows` and `cols` go from 0 or more up, step 1; `bands` None are all."""

    @property
    @abstractmethod
    def block_rows(self) -> int:
        """Rows that can only be read together; 1 where each can be read by itself."""

    @property
    @abstractmethod
    def held(self) -> int:
        """Bytes that it keeps in memory at most."""

    @property
    def ndim(self) -> int:
        """Number of dimensions: 3."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a window as an array, new or read-only.

        Raises
        ------
        IndexError
            For anything but what the class describes.
        """
        parts = list(key) if isinstance(key, tuple) else [key]
        dots = [at for at, part in enumerate(parts) if part is Ellipsis]
        if len(dots) > 1 or len(parts) - len(dots) > 3:
            raise IndexError("a cube has three axes: rows, columns and bands")
        at = dots[0] if dots else len(parts)
        parts[at : at + 1] = [slice(None)] * (4 - len(parts) if dots else 3 - len(parts))
        rows, inner_row = _box(parts[0], self.shape[0])
        cols, inner_col = _box(parts[1], self.shape[1])
        bands, inner_band = _bands(parts[2], self.shape[2])
        return self.read(rows, cols, bands)[inner_row, inner_col][..., inner_band]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all of it, in memory."""
        whole = self.read(slice(0, self.shape[0]), slice(0, self.shape[1]), None)
        return np.asarray(whole, dtype)


def _box(part: Any, size: int) -> tuple[slice, Any]:
    """Return the slice to be read for a part of a key, and what is then left to be taken of that."""
    if isinstance(part, slice):
        wanted = range(size)[part]
        if not wanted:
            return slice(0, 0), slice(0, 0)
        low, high = min(wanted), max(wanted)
        if wanted.step < 0:
            return slice(low, high + 1), slice(high - low, None, wanted.step)
        return slice(low, high + 1), slice(0, high - low + 1, wanted.step)
    if not isinstance(part, int | np.integer):
        raise IndexError("rows and columns of a cube that is read by windows are slices or numbers")
    number = range(size)[int(part)]  # which raises IndexError, as it should
    return slice(number, number + 1), 0


def _bands(part: Any, size: int) -> tuple[NDArray[np.int64] | None, Any]:
    if isinstance(part, slice):
        wanted = np.arange(size)[part]
        return (None if len(wanted) == size and part.step in (None, 1) else wanted), slice(None)
    wanted = np.arange(size)[part]  # which raises IndexError, as it should
    return np.atleast_1d(wanted), slice(None) if wanted.ndim else 0


def held_bytes(cube: Cube) -> int:
    """Return the bytes of memory that a cube keeps; of a memory map none."""
    if isinstance(cube, WindowedCube):
        return cube.held
    owner: Any = cube
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return 0
        owner = owner.base
    return int(np.prod(cube.shape, dtype=np.int64)) * cube.dtype.itemsize


def block_rows(cube: Cube) -> int:
    """Return how many rows of a cube can only be read together."""
    return cube.block_rows if isinstance(cube, WindowedCube) else 1


class CubeView(WindowedCube):
    """A cube seen through a list of bands and a no-data value, without a copy of it.

    Pixels without data (see `hsi.datasets.cube`) are NaN in all bands. Integers then become floats that
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
