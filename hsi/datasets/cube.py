"""Cubes: arrays, or readers of windows of a file; views of some bands; pixels without data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hsi.errors import SceneError


class Cube(Protocol):
    """``(rows, cols, bands)`` of real numbers: a NumPy array or a `WindowedCube`.

    ``cube[rows, cols]`` and ``cube[rows, cols, bands]`` with slices or integers return a window as an array,
    ``np.asarray(cube)`` all of it.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, cols, bands)``."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type."""

    @property
    def ndim(self) -> int:
        """Number of dimensions, 3."""

    def __getitem__(self, key: Any, /) -> NDArray[Any]: ...

    def __array__(self) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Window:
    """Rows ``top .. bottom - 1`` and columns ``left .. right - 1`` of a scene."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array of the scene with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def cells(self, side: int) -> Iterator[Window]:
        """Cut the window into squares of `side` pixels, smaller at its end, row by row."""
        for top in range(self.top, self.bottom, side):
            for left in range(self.left, self.right, side):
                yield Window(top, min(top + side, self.bottom), left, min(left + side, self.right))


_STRIP_VALUES = 1 << 22


def can_mark(no_data: float, dtype: np.dtype[Any]) -> bool:
    """Return whether values of this type can equal `no_data`; ``nan`` also stands for infinite values."""
    if dtype.kind == "f":
        return True
    if not math.isfinite(no_data) or not float(no_data).is_integer():
        return False
    limits = np.iinfo(dtype)
    return int(limits.min) <= int(no_data) <= int(limits.max)


def find_missing(values: NDArray[Any], no_data: float) -> NDArray[np.bool_]:
    """Return the mask ``(h, w)`` of pixels of ``(h, w, bands)`` without data.

    Those are pixels where any band equals `no_data` (for ``nan``: is not finite). Dark bands measure 0 too,
    so for 0 all bands must be 0.
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
    cube: NDArray[Any], no_data: float | None, where: str, excluded: NDArray[np.bool_] | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, str]:
    """Give pixels without data the mean spectrum of the others; return cube, mask of those pixels, note.

    Pixels that are `excluded`, such as clouds, are treated alike. The mean leaves standardisation and PCA
    unchanged; the caller removes the labels. The cube is changed in place, unless it is read-only.
    """
    if excluded is None and (no_data is None or not can_mark(no_data, cube.dtype)):
        return cube, None, ""
    step = max(1, _STRIP_VALUES // (cube.shape[1] * cube.shape[2]))
    missing = np.empty(cube.shape[:2], bool)
    total = np.zeros(cube.shape[2])
    for row in range(0, len(cube), step):
        strip = cube[row : row + step]
        lacking = np.zeros(strip.shape[:2], bool) if no_data is None else find_missing(strip, no_data)
        if excluded is not None:
            lacking |= excluded[row : row + step]
        missing[row : row + step] = lacking
        total += strip[~lacking].sum(axis=0, dtype=np.float64)
    pixels = int(missing.sum())
    if not pixels:
        return cube, None, ""
    if pixels == missing.size:
        value = "" if no_data is None else f" ({no_data:g})"
        raise SceneError(f"Every pixel of {where} has no data{value}; check the no-data value.")
    cube = cube if cube.flags.writeable else cube.copy()
    cube[missing] = (total / (missing.size - pixels)).astype(cube.dtype)
    return cube, missing, f"{pixels} pixels have no data; they are unlabelled and hold the mean spectrum."


class WindowedCube(ABC):
    """A cube ``(rows, cols, bands)`` whose windows are read on access.

    Indices are slices, integers and ``...``; bands may also be an array of numbers. The bounding box of the
    indices is read, whatever their steps. As in NumPy, `base` is the cube that it reads from, if any.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    base: Cube | None = None

    @abstractmethod
    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """Return a window: `rows` and `cols` are non-negative with step 1; `bands` None means all."""

    @property
    @abstractmethod
    def block_rows(self) -> int:
        """Number of rows that can only be read together; 1 where each can be read alone."""

    @property
    @abstractmethod
    def memory_bytes(self) -> int:
        """Most bytes that it keeps in memory."""

    @property
    def ndim(self) -> int:
        """Number of dimensions: 3."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a window as an array, new or read-only; raise IndexError for other kinds of index."""
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
        """Return the whole cube as an array in memory."""
        whole = self.read(slice(0, self.shape[0]), slice(0, self.shape[1]), None)
        return np.asarray(whole, dtype)


def _box(part: Any, size: int) -> tuple[slice, Any]:
    """Return the slice to read for one index, and the index to apply to what was read."""
    if isinstance(part, slice):
        picked = range(size)[part]
        if not picked:
            return slice(0, 0), slice(0, 0)
        low, high = min(picked), max(picked)
        if picked.step < 0:
            return slice(low, high + 1), slice(high - low, None, picked.step)
        return slice(low, high + 1), slice(0, high - low + 1, picked.step)
    if not isinstance(part, int | np.integer):
        raise IndexError("rows and columns of a cube that is read by windows are slices or integers")
    number = range(size)[int(part)]  # raises IndexError
    return slice(number, number + 1), 0


def _bands(part: Any, size: int) -> tuple[NDArray[np.int64] | None, Any]:
    if isinstance(part, slice):
        picked = np.arange(size)[part]
        return (None if len(picked) == size and part.step in (None, 1) else picked), slice(None)
    picked = np.arange(size)[part]  # raises IndexError
    return np.atleast_1d(picked), slice(None) if picked.ndim else 0


def memory_bytes(cube: Cube) -> int:
    """Return the bytes that a cube keeps in memory; 0 for a memory map."""
    if isinstance(cube, WindowedCube):
        return cube.memory_bytes
    owner: Any = cube
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return 0
        owner = owner.base
    return int(np.prod(cube.shape, dtype=np.int64)) * cube.dtype.itemsize


def block_rows(cube: Cube) -> int:
    """Return the number of rows of a cube that can only be read together."""
    return cube.block_rows if isinstance(cube, WindowedCube) else 1


class CubeView(WindowedCube):
    """Some bands of a cube (numbers from 0; None: all), with NaN for pixels without data; makes no copy.

    With a `no_data` value, integers become floats that hold them exactly: float32 up to 16 bits, else
    float64.
    """

    def __init__(
        self, base: Cube, bands: NDArray[np.int64] | None = None, no_data: float | None = None
    ) -> None:
        self.base: Cube = base
        self._bands = None if bands is None or len(bands) == base.shape[2] else bands
        marks = no_data is not None and not math.isnan(no_data) and can_mark(no_data, base.dtype)
        self._no_data = no_data if marks else None
        self.shape = (*base.shape[:2], base.shape[2] if bands is None else len(bands))
        self.dtype = base.dtype
        if self._no_data is not None:
            self.dtype = np.result_type(base.dtype, np.float32)

    @property
    def shows_all(self) -> bool:
        """Whether the view equals the cube itself."""
        return self._bands is None and self._no_data is None

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        if self._no_data is None:
            if self._bands is not None:
                bands = self._bands if bands is None else self._bands[bands]
            return self._read_base(rows, cols, bands)
        # All bands of the view decide which pixels have data, whichever are asked for.
        values = self._read_base(rows, cols, self._bands)
        missing = find_missing(values, self._no_data)
        values = (values if bands is None else values[:, :, bands]).astype(self.dtype)
        values[missing] = np.nan
        return values

    def _read_base(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        if bands is None:
            return self.base[rows, cols]
        if len(bands) and (np.diff(bands) == 1).all():  # adjacent bands need no copy
            return self.base[rows, cols, int(bands[0]) : int(bands[-1]) + 1]
        return self.base[rows, cols, bands]

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return block_rows(self.base)

    @property
    def memory_bytes(self) -> int:
        """See `WindowedCube`."""
        return memory_bytes(self.base)
