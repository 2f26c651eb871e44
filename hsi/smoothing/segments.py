"""Segments of similar neighbours, and averages over them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.smoothing.neighbourhood import Floats, Groups, each_group, gaussian, local_mean


def segment(guide: Floats, groups: Groups, scale: float, min_size: int, sigma: float) -> NDArray[np.int32]:
    """Divide an image into segments, connected pieces of one group in which the guide differs little.

    Felzenszwalb and Huttenlocher (2004), "Efficient graph-based image segmentation", International Journal of
    Computer Vision 59: neighbours (8 of each pixel) are joined in the order of their distance in the guide,
    two segments A and B as long as the distance is at most ``Int(A) + scale / |A|`` and ``Int(B) + scale /
    |B|``, Int being the largest distance that was joined inside. Each group is an image of its own.

    Parameters
    ----------
    guide
        ``(rows, cols, features)``; never read in group 0.
    groups
        ``(rows, cols)``, 0 where there is no data.
    scale
        In the guide's unit times pixels: larger values give larger segments.
    min_size
        Pixels; smaller segments are joined to the neighbour that differs least, if the group has one.
    sigma
        Standard deviation in pixels of a Gaussian filter that the guide passes first, inside groups.

    Returns
    -------
    ``(rows, cols)`` numbers from 1; 0 in group 0.
    """
    from skimage.measure import label
    from skimage.segmentation import felzenszwalb

    smoothed = local_mean(guide, groups, gaussian(sigma)) if sigma > 0 else guide
    # Piece by piece: the boxes of pieces are small where those of groups would be the whole image.
    pieces = label(np.maximum(groups, 0), background=0, connectivity=2)
    found = np.zeros(groups.shape, np.int32)
    last = 0
    for box, inside in each_group(pieces):
        if np.count_nonzero(inside) < 2 * min_size:  # too small for two segments
            found[box][inside] = last + 1
            last += 1
            continue
        values = smoothed[box].astype(np.float64)
        if not inside.all():
            values[~inside] = _far_away(values[inside], scale)
        with warnings.catch_warnings():  # of more features than a colour image has
            warnings.simplefilter("ignore", RuntimeWarning)
            segments = felzenszwalb(values, scale=255 * scale, sigma=0, min_size=min_size)
        numbers, places = np.unique(segments[inside], return_inverse=True)
        found[box][inside] = places + last + 1
        last += len(numbers)
    return found


def _far_away(values: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return features farther from all `values` than these are from each other, and than any threshold."""
    low, high = values.min(axis=0), values.max(axis=0)
    return high + 2 * (high - low) + 2 * scale + 1


def segment_mean(values: Floats, segments: NDArray[np.integer[Any]]) -> Floats:
    """Return the mean of `values` ``(rows, cols, channels)`` over each segment; as it is in segment 0."""
    numbers = segments.ravel()
    counts = np.bincount(numbers)
    out = np.empty_like(values)
    for channel in range(values.shape[2]):
        plane = values[..., channel]
        totals = np.bincount(numbers, weights=np.where(segments > 0, plane, 0).ravel())
        means = (totals / np.maximum(counts, 1)).astype(np.float32)
        out[..., channel] = np.where(segments > 0, means[segments], plane)
    return out


def spread_in_segments(marked: NDArray[np.bool_], segments: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return all pixels of the segments that hold a marked pixel."""
    holds = np.zeros(int(segments.max(initial=0)) + 1, bool)
    holds[segments[marked]] = True
    holds[0] = False
    return holds[segments]
