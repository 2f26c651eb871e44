"""Leakage of a split: how many test pixels the training patches have seen already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.errors import SplitError, check_patch_width


@dataclass(frozen=True)
class Leakage:
    """Shares of the test pixels, as fractions."""

    centre: float
    """Of those that lie in a training patch."""
    overlap: float
    """Of those whose own patch shares a pixel with a training patch."""


def measure_leakage(
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    shape: tuple[int, int],
    patch: int,
    *,
    regions: NDArray[np.integer[Any]] | None = None,
    same_ground: NDArray[np.int64] | None = None,
    reach: Callable[[NDArray[np.bool_]], NDArray[np.bool_]] | None = None,
) -> Leakage:
    """Measure leakage from `train` into `test` for square patches, as the network sees them.

    The pixels that the training patches see are a dilation of the training mask; a second dilation gives the
    test patches that overlap them. Patches end at the image border.

    `train` and `test` are flat row-major indices in a scene of `shape` ``(rows, cols)``. With `regions`
    ``(rows, cols)``, a patch sees only pixels of its centre's region. Pixels of two images that are a pair of
    `same_ground`, ``(n, 2)`` flat indices, count as seen together.

    Where predictions are smoothed, `reach` turns a mask into that of the pixels whose smoothed value depends
    on it, and a test pixel counts if it depends on one that lies in a training patch, or whose patch overlaps
    one. Raises SplitError for an invalid patch width or an empty test set.
    """
    check_patch_width(patch, SplitError)
    if len(test) == 0:
        raise SplitError("Leakage needs test pixels; this split has none.")
    learnt = np.zeros(shape, bool)
    learnt.ravel()[train] = True
    seen = _seen_from(learnt, patch // 2, regions)
    if same_ground is not None:
        one, other = same_ground.T
        twins = np.concatenate([one[seen.ravel()[other]], other[seen.ravel()[one]]])
        seen.ravel()[twins] = True
    overlapped = _seen_from(seen, patch // 2, regions)
    if reach is not None:
        seen, overlapped = reach(seen), reach(overlapped)
    return Leakage(float(seen.ravel()[test].mean()), float(overlapped.ravel()[test].mean()))


def _seen_from(
    mask: NDArray[np.bool_], distance: int, regions: NDArray[np.integer[Any]] | None
) -> NDArray[np.bool_]:
    """Return the pixels within `distance` of a pixel of `mask` in the same region."""
    if regions is None:
        return dilate(mask, distance)
    near = np.zeros(mask.shape, bool)
    for region in np.unique(regions[mask]):
        inside = regions == region
        near |= dilate(mask & inside, distance) & inside
    return near


def dilate(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Return the pixels within `distance` (Chebyshev) of `mask`: one running maximum per axis."""
    grown = mask.view(np.uint8)
    for axis in (0, 1):
        grown = ndimage.maximum_filter1d(grown, 2 * distance + 1, axis=axis, mode="constant")
    return np.asarray(grown, bool)
