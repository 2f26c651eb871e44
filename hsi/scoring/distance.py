"""Accuracy by the distance to the nearest training pixel.

Distances are Chebyshev distances in pixels, since patches are squares: a test pixel lies in a training patch
of width P if its distance is at most (P - 1) / 2, and their patches share a pixel if it is at most P - 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.errors import InputError
from hsi.scoring.scores import wilson_interval

Pixels = NDArray[np.int64]

DISTANCE_BINS = (1, 2, 3, 5, 9, 17, 33, 65)
"""First distance of each bin, in pixels; the last has no end. Widths double."""


@dataclass(frozen=True)
class DistanceBin:
    """The test pixels of one range of distances.

    Attributes
    ----------
    nearest, farthest
        Range of distances in pixels, both ends included; `farthest` is None for the last bin.
    pixels, right
        Test pixels in the range, and how many of them are classified correctly.
    """

    nearest: int
    farthest: int | None
    pixels: int
    right: int

    @property
    def oa(self) -> float | None:
        """Overall accuracy of the bin as a fraction; None without pixels."""
        return self.right / self.pixels if self.pixels else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the accuracy, see `wilson_interval`; None without pixels."""
        return wilson_interval(self.right, self.pixels) if self.pixels else None

    def as_dict(self) -> dict[str, Any]:
        """Return the bin as values for JSON."""
        return {
            "nearest": self.nearest,
            "farthest": self.farthest,
            "pixels": self.pixels,
            "right": self.right,
            "oa": self.oa,
            "interval": None if self.interval is None else list(self.interval),
        }


def distance_to_nearest(train: Pixels, pixels: Pixels, shape: tuple[int, int]) -> Pixels:
    """Return the Chebyshev distance, in pixels, of flat indices `pixels` to the nearest of `train`.

    Raises
    ------
    InputError
        When there is no training pixel.
    """
    if len(train) == 0:
        raise InputError("Distances need training pixels; this split has none.")
    untrained = np.ones(shape, bool)
    untrained.ravel()[train] = False
    distance = ndimage.distance_transform_cdt(untrained, metric="chessboard")
    return np.asarray(distance, np.int64).ravel()[pixels]


def bin_by_distance(
    distance: Pixels, right: NDArray[np.bool_], bins: Sequence[int] = DISTANCE_BINS
) -> tuple[DistanceBin, ...]:
    """Count pixels, and correctly classified ones, in each bin of distances, nearest first.

    `distance` and `right` are ``(n,)``; bins beyond the last pixel are left out.

    Raises
    ------
    InputError
        For bins that do not rise, arrays that do not match, or a distance before the first bin.
    """
    edges = np.asarray(bins, np.int64)
    if len(edges) == 0 or (np.diff(edges) <= 0).any():
        raise InputError(f"Distance bins must rise, but are {list(bins)}.")
    if np.shape(distance) != np.shape(right):
        raise InputError(f"There are {np.size(distance)} distances, but {np.size(right)} answers.")
    if np.size(distance) and np.min(distance) < edges[0]:
        raise InputError(f"A distance of {np.min(distance)} lies before the first bin, {edges[0]}.")
    place = np.searchsorted(edges, distance, side="right") - 1
    pixels = np.bincount(place, minlength=len(edges))
    good = np.bincount(place, weights=right, minlength=len(edges)).astype(np.int64)
    used = int(place.max()) + 1 if len(place) else 0
    ends = [*(edges[1:] - 1).tolist(), None]
    return tuple(
        DistanceBin(int(edges[one]), ends[one], int(pixels[one]), int(good[one])) for one in range(used)
    )
