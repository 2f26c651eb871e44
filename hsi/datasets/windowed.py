"""Cubes that are not in memory: what is asked for is read when it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube


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
