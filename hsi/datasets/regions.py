"""Area maps: from the areas of labelled pixels to an area for every pixel of a scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.datasets.annealing import PARTS

Areas = NDArray[np.uint8]


def within(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Return the pixels within `distance` (Chebyshev) of `mask`."""
    grown = mask.view(np.uint8)
    for axis in (0, 1):
        grown = ndimage.maximum_filter1d(grown, 2 * distance + 1, axis=axis, mode="constant")
    return np.asarray(grown, bool)


def nearest_regions(areas: Areas) -> Areas:
    """Give each pixel the area of the nearest pixel that has one (areas 0 have none)."""
    _, (rows, cols) = ndimage.distance_transform_edt(areas == 0, return_indices=True)
    return np.asarray(areas[rows, cols])


def apart_regions(labels: NDArray[np.int64], areas: Areas, patch: int) -> Areas:
    """Give unlabelled pixels the nearest area, and none where another area is nearer than `patch`."""
    regions = nearest_regions(areas)
    for part in PARTS:
        regions[(regions != part) & within(areas == part, patch - 1)] = 0
    regions[(labels > 0) & (areas == 0)] = 0
    return regions
