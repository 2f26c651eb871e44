"""What looks odd in a cube that nothing is known of: values that may mean "no data", or are no numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MANY = 1e-3  # share of the pixels from which on a value that fills whole pixels is pointed out


@dataclass(frozen=True)
class Suspicions:
    """What was found; the values are in the cube's own units.

    Attributes
    ----------
    low, high
        Smallest and largest finite value.
    not_finite
        Pixels with a value that is NaN or infinite in some band.
    filled
        Value -> number of pixels that hold it in every band, most first.
    """

    low: float
    high: float
    not_finite: int
    filled: dict[float, int]

    @property
    def no_data(self) -> float | None:
        """The value that most likely means "no data": NaN if there is any, else what fills many pixels."""
        if self.not_finite:
            return float("nan")
        return next(iter(self.filled), None)


def look_for(cube: NDArray[Any]) -> Suspicions:
    """Look through a cube ``(rows, cols, bands)``, row by row, so that a memory-mapped one is never whole.

    A value that fills at least one pixel in a thousand, in every band, is listed: no spectrum is flat by
    chance (our decision).
    """
    low, high, not_finite = np.inf, -np.inf, 0
    filled: dict[float, int] = {}
    for row in cube:
        finite = np.isfinite(row) if row.dtype.kind == "f" else np.ones(row.shape, bool)
        not_finite += int((~finite.all(axis=1)).sum())
        if finite.any():
            low, high = min(low, float(row[finite].min())), max(high, float(row[finite].max()))
        flat = row[(row == row[:, :1]).all(axis=1), 0] if row.shape[1] > 1 else row[:0, 0]
        for value, count in zip(*np.unique(flat, return_counts=True), strict=True):
            filled[float(value)] = filled.get(float(value), 0) + int(count)
    least = _MANY * cube.shape[0] * cube.shape[1]
    many = sorted(((value, n) for value, n in filled.items() if n >= least), key=lambda pair: -pair[1])
    return Suspicions(float(low), float(high), not_finite, dict(many))
