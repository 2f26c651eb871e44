"""Regions of a label map, and the merging of small ones into their neighbours."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray


def label_regions(labels: NDArray[Any], no_data: int) -> tuple[NDArray[np.int32], int]:
    """Number the regions of ``(rows, cols)`` labels: pixels of one value that touch by their sides.

    Returns
    -------
    ``(rows, cols)`` numbers from 0 on in the order of each region's first pixel, -1 where `no_data`; and how
    many there are.
    """
    from scipy.ndimage import label

    regions = np.full(labels.shape, -1, np.int32)
    count = 0
    for value in np.flatnonzero(np.bincount(labels.ravel())):
        if value != no_data:
            found, more = label(labels == value)
            here = found > 0
            regions[here] = found[here] - 1 + count
            count += more
    # By class so far; now by the first pixel, so that the numbers do not depend on those of the classes.
    _, first = np.unique(regions, return_index=True)
    first = first[first.size - count :]
    order = np.empty(count + 1, np.int32)
    order[np.argsort(first)] = np.arange(count)
    order[count] = -1  # what -1 picks
    return order[regions], count


def merge_small_regions(
    labels: NDArray[Any], no_data: int, min_pixels: float, pixel_sides: tuple[float, float] = (1.0, 1.0)
) -> NDArray[Any]:
    """Give the pixels of small regions the class of a neighbour, and return the new label map.

    The smallest region is merged first, of equal ones that with the first pixel in reading order, into the
    neighbour with which it shares the longest border; of equal ones into the larger, then into that with the
    first pixel. Regions of the same class that come to touch are one from then on. That is repeated until no
    region is smaller than `min_pixels`, but those that have no neighbour, such as islands without data round
    them. Pixels without data stay as they are.

    Parameters
    ----------
    labels
        ``(rows, cols)`` whole numbers from 0.
    no_data
        The value of pixels that are no region.
    min_pixels
        Regions of fewer pixels are merged.
    pixel_sides
        Width and height of a pixel, which borders are measured in.
    """
    regions, count = label_regions(labels, no_data)
    pixels = np.bincount(regions.ravel() + 1, minlength=count + 1)[1:]
    small = np.flatnonzero(pixels < min_pixels)
    if not len(small):
        return labels.copy()
    first = np.zeros(count, np.int64)
    backwards = np.flatnonzero(regions.ravel() >= 0)[::-1]
    first[regions.ravel()[backwards]] = backwards  # the last that is assigned stays: the first pixel
    merged = _Merging(labels.ravel()[first], pixels, *_borders(regions, count, pixel_sides))
    roots = merged.until(min_pixels, small)
    new = np.append(merged.classes[roots], no_data).astype(labels.dtype)  # -1 picks the last
    return new[regions]


def _borders(
    regions: NDArray[np.int32], count: int, pixel_sides: tuple[float, float]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Return which regions touch: where each one's neighbours start in a list, the list, and the lengths."""
    width, height = pixel_sides
    keys, lengths = [], []
    for one, other, side in (
        (regions[:, :-1], regions[:, 1:], height),
        (regions[:-1], regions[1:], width),
    ):
        apart = (one != other) & (one >= 0) & (other >= 0)
        low, high = np.minimum(one[apart], other[apart]), np.maximum(one[apart], other[apart])
        key, sides = np.unique(low.astype(np.int64) * count + high, return_counts=True)
        keys.append(key)
        lengths.append(sides * side)
    pairs, where = np.unique(np.concatenate(keys), return_inverse=True)
    shared = np.bincount(where, np.concatenate(lengths), minlength=len(pairs))
    low, high = (part.astype(np.int32) for part in np.divmod(pairs, max(count, 1)))
    start, end = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.argsort(start, kind="stable")
    starts = np.searchsorted(start[order], np.arange(count + 1))
    return starts, end[order], np.concatenate([shared, shared])[order]


class _Merging:
    """Regions that become one: a union-find forest, in which the lowest number is the root."""

    def __init__(
        self,
        classes: NDArray[Any],
        pixels: NDArray[np.int64],
        starts: NDArray[np.int64],
        neighbours: NDArray[np.int32],
        lengths: NDArray[np.float64],
    ) -> None:
        self.classes, self.pixels = classes.copy(), pixels.copy()
        self.starts, self.neighbours, self.lengths = starts, neighbours, lengths
        self.parents = np.arange(len(pixels))
        self.next = np.full(len(pixels), -1)  # the members of a region as a linked list from its root on
        self.last = np.arange(len(pixels))

    def until(self, min_pixels: float, small: NDArray[np.int64]) -> NDArray[np.int64]:
        """Merge what is smaller than `min_pixels`; return the root of each region."""
        waiting = [(int(self.pixels[region]), int(region)) for region in small]
        heapq.heapify(waiting)
        while waiting:
            pixels, region = heapq.heappop(waiting)
            if self.root(region) != region or self.pixels[region] != pixels:
                continue  # it has become another since
            borders = self.borders(region)
            if not borders:
                continue
            chosen = max(borders, key=lambda other: (borders[other], self.pixels[other], -other))
            of_class = self.classes[chosen]
            joined = [region, *(other for other in borders if self.classes[other] == of_class)]
            root = self.join(joined, of_class)
            if self.pixels[root] < min_pixels:
                heapq.heappush(waiting, (int(self.pixels[root]), root))
        return np.array([self.root(region) for region in range(len(self.parents))], np.int64)

    def root(self, region: int) -> int:
        """Return the root of a region, and shorten the way to it."""
        parents = self.parents
        while parents[region] != region:
            parents[region] = parents[parents[region]]
            region = int(parents[region])
        return region

    def borders(self, region: int) -> dict[int, float]:
        """Return the roots that a root touches, and how long each border is."""
        found: dict[int, float] = {}
        member = region
        while member >= 0:
            part = slice(self.starts[member], self.starts[member + 1])
            for other, length in zip(
                self.neighbours[part].tolist(), self.lengths[part].tolist(), strict=True
            ):
                there = self.root(other)
                if there != region:
                    found[there] = found.get(there, 0.0) + length
            member = int(self.next[member])
        return found

    def join(self, regions: list[int], of_class: Any) -> int:
        """Make roots one region of a class; return its root."""
        root = min(regions)
        for region in regions:
            if region != root:
                self.parents[region] = root
                self.pixels[root] += self.pixels[region]
                self.next[self.last[root]] = region
                self.last[root] = self.last[region]
        self.classes[root] = of_class
        return root
