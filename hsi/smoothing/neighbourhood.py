"""Averages over the neighbours of a pixel that belong to its group, and how far they reach.

Every sum adds the same pixels in the same order wherever the array begins, with exact zeros for what lies
outside: a window with a margin gives the bits that the whole scene gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Groups = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Box = tuple[slice, slice]
ALL = slice(None)


def each_group(groups: Groups) -> Iterator[tuple[Box, Bools]]:
    """Yield the bounding box of every group above 0, and which of the box's pixels belong to it."""
    from scipy import ndimage

    numbers, places = np.unique(groups, return_inverse=True)
    compact = places.reshape(groups.shape) + 1  # find_objects makes a list as long as the largest number
    boxes = ndimage.find_objects(compact)
    for place, number in enumerate(numbers):
        if number > 0:
            box = boxes[place]
            yield box, groups[box] == number


def shifted(size: int, offset: int) -> tuple[slice, slice]:
    """Return the positions of an axis that have a neighbour at `offset`, and those neighbours."""
    first, last = max(0, -offset), max(0, min(size, size - offset))
    return slice(first, last), slice(first + offset, max(first, last) + offset)


def pairs(shape: tuple[int, ...], down: int, right: int) -> tuple[Box, Box]:
    """Return the pixels that have a neighbour `down` rows and `right` columns away, and those neighbours."""
    rows, rows_there = shifted(shape[0], down)
    cols, cols_there = shifted(shape[1], right)
    return (rows, cols), (rows_there, cols_there)


def local_mean(values: Floats, groups: Groups, kernel: Sequence[float]) -> Floats:
    """Return the weighted mean over the pixels of the same group in a square window.

    ``out(i) = sum_j k(dy) k(dx) values(j) / sum_j k(dy) k(dx)``, over the pixels j of i's group that lie
    (dy, dx) from i.

    Parameters
    ----------
    values
        ``(rows, cols, channels)``; never read in group 0, where the result is as `values`.
    groups
        ``(rows, cols)``, 0 where there is no data.
    kernel
        Weights along rows and along columns alike, an odd number; ones for a plain mean.
    """
    out = values.copy()
    for box, inside in each_group(groups):
        kept = np.where(inside[..., None], values[box], np.float32(0))
        total = _weighted_sum(_weighted_sum(kept, kernel, 0), kernel, 1)
        mask = inside.astype(np.float32)
        weight = _weighted_sum(_weighted_sum(mask, kernel, 0), kernel, 1)
        total /= np.where(inside, weight, np.float32(1))[..., None]
        np.copyto(out[box], total, where=inside[..., None])
    return out


def _weighted_sum(values: Floats, kernel: Sequence[float], axis: int) -> Floats:
    total = np.zeros_like(values)
    radius = len(kernel) // 2
    for offset, weight in zip(range(-radius, radius + 1), kernel, strict=True):
        here, there = shifted(values.shape[axis], offset)
        before = (ALL,) * axis
        neighbour = values[(*before, there)]
        total[(*before, here)] += neighbour if weight == 1 else neighbour * np.float32(weight)
    return total


def gaussian(sigma: float) -> list[float]:
    """Return a Gaussian kernel of standard deviation `sigma` pixels, cut at three of them; [1] for 0."""
    radius = int(np.ceil(3 * sigma))
    offsets = np.arange(-radius, radius + 1)
    return [float(weight) for weight in np.exp(-0.5 * (offsets / (sigma or 1)) ** 2)]


def squared_distance(guide: Floats, here: Box, there: Box) -> Floats:
    """Return the squared Euclidean distance of the guide between pairs; `guide` is ``(F, rows, cols)``."""
    total = np.zeros_like(guide, shape=guide[(ALL, *here)].shape[1:])
    for feature in guide:
        difference = feature[here] - feature[there]
        difference *= difference
        total += difference
    return total


def edge_mean(values: Floats, guide: Floats, groups: Groups, radius: int, contrast: float) -> Floats:
    """Return the mean over a window in which neighbours weigh the less the more the guide differs.

    The joint bilateral filter (Tomasi and Manduchi 1998; Petschnigg et al. 2004) with a flat spatial kernel:
    ``w(i, j) = exp(-|g(i) - g(j)|^2 / (2 contrast^2))`` for the pixels j of i's group at most `radius` rows
    and columns away, else 0; ``out(i) = sum_j w(i, j) values(j) / sum_j w(i, j)``.

    Parameters
    ----------
    values, guide
        ``(rows, cols, C)`` and ``(rows, cols, F)``; never used in group 0.
    groups
        ``(rows, cols)``, 0 where there is no data; the result there is as `values`.
    radius
        Pixels.
    contrast
        Difference of the guide, in its unit, at which a neighbour weighs 0.61.
    """
    planes, features = planes_of(values, groups), planes_of(guide, groups)
    total = planes.copy()
    weights = np.ones(groups.shape, np.float32)
    spread = range(-radius, radius + 1)
    for down, right in ((down, right) for down in spread for right in spread if down or right):
        here, there = pairs(groups.shape, down, right)
        weight = similarity(features, groups, here, there, contrast)
        weights[here] += weight
        total[(ALL, *here)] += weight * planes[(ALL, *there)]
    total /= weights
    return np.where(groups[..., None] > 0, np.moveaxis(total, 0, 2), values)


def similarity(guide: Floats, groups: Groups, here: Box, there: Box, contrast: float) -> Floats:
    """Return ``exp(-|difference of the guide|^2 / (2 contrast^2))`` of pairs of one group, 0 of others."""
    weight = squared_distance(guide, here, there)
    weight *= np.float32(-0.5 / contrast**2)
    np.exp(weight, out=weight)
    weight[(groups[here] != groups[there]) | (groups[here] <= 0)] = 0
    return weight


def planes_of(values: Floats, groups: Groups) -> Floats:
    """Copy ``(rows, cols, channels)`` to contiguous ``(channels, rows, cols)``; group 0 becomes 0."""
    planes = np.array(np.moveaxis(values, 2, 0), np.float32, order="C", copy=True)
    planes[:, groups <= 0] = 0
    return planes


def dilate_within(marked: Bools, groups: Groups, radius: int, steps: int) -> Bools:
    """Return the pixels of which a marked pixel of the same group is near.

    Near is at most `radius` rows and columns away, or `steps` such moves, each inside the group.
    """
    from scipy import ndimage

    out = np.zeros(groups.shape, bool)
    square = np.ones((2 * radius + 1,) * 2, bool)
    for box, inside in each_group(groups):
        start = marked[box] & inside
        if start.any():
            near = ndimage.binary_dilation(start, square, iterations=steps, mask=inside)
            out[box] |= near & inside
    return out
