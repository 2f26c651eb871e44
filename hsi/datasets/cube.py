"""What a scene's cube can be: an array, or what reads a window of a file when it is asked for one."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


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
