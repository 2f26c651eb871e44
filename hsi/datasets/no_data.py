"""Pixels without data: which they are, and what stands in their place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.errors import SceneError

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
