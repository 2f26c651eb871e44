"""Separate regions in several images: one search over the fields of all, and regions within each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.parts import image_windows, rows_apart
from hsi.datasets.splits.annealing import SUBSETS, TEST, TRAIN, VAL
from hsi.datasets.splits.disjoint import nearest_regions, separate_regions
from hsi.datasets.splits.indices import SplitIndices
from hsi.datasets.splits.leakage import dilate
from hsi.datasets.splits.sampling import absence_notes

Ints = NDArray[np.int64]
Regions = NDArray[np.uint8]

_LEAST_GAP = 64  # rows between images in the search, so that borders between them hardly count
_NOT_TOLD = 255


def split_images(
    search: Callable[[Ints], SplitIndices],
    labels: Ints,
    images: NDArray[np.uint8],
    same_ground: Ints | None,
    names: Sequence[str],
    *,
    patch: int,
    guard: str,
) -> SplitIndices:
    """Divide several images into the three regions of a disjoint split.

    The fields of all images are assigned in one search, so that a class with a field in each can have them in
    different regions. Every other pixel gets its region within its own image. Ground that two images show
    gets the regions that it has in the earlier one, so that none is learnt in one and tested in another.

    Parameters
    ----------
    search
        Splits a label map, as `split_disjoint` and `split_fold`.
    labels, images
        ``(rows, cols)``: labels, and the image of each pixel, 1 for the first and 0 between them.
    same_ground
        Pairs of pixels as in `Split`, or None.
    names, patch, guard
        As for `make_split`.
    """
    rows = rows_apart(images, max(patch, _LEAST_GAP))
    apart = np.zeros((int(rows[-1]) + 1, labels.shape[1]), np.int64)
    apart[rows] = labels if same_ground is None else _first_shown(labels, images, same_ground)
    found = search(apart)
    assigned = np.zeros(apart.shape, np.uint8)
    for subset, pixels in zip(SUBSETS, (found.train, found.val, found.test), strict=True):
        assigned.ravel()[pixels] = subset
    assigned, regions = assigned[rows], np.zeros(labels.shape, np.uint8)
    told = np.full(labels.size, _NOT_TOLD, np.uint8)
    taken_over = 0
    for image, window in enumerate(image_windows(images), start=1):
        own, here = labels[window], assigned[window]
        forced = told.reshape(labels.shape)[window]
        if (forced != _NOT_TOLD).any():
            here = _take_over(own, here, forced, patch, guard)
            taken_over += int(((own > 0) & (forced != _NOT_TOLD)).sum())
        assigned[window] = here
        if not here.any():
            continue  # without labels, or none that are used
        if guard == "mask":
            regions[window] = np.where(forced == _NOT_TOLD, nearest_regions(here), forced)
            regions[window] = np.where(here > 0, here, regions[window])
        else:
            regions[window] = separate_regions(own, here, patch)
        if same_ground is not None:
            first, second = same_ground[images.ravel()[same_ground[:, 0]] == image].T
            told[second] = regions.ravel()[first]
    train, val, test = (np.flatnonzero(assigned == subset) for subset in SUBSETS)
    notes = found.notes
    if taken_over:
        subsets = {"training": train, "validation": val, "test": test}
        notes = (
            f"{taken_over} labelled pixels have the region that their ground has in an earlier scene.",
            *absence_notes(labels, names, subsets, "their fields are too small or too close"),
        )
        unused = int((labels > 0).sum() - (assigned > 0).sum())
        if unused:
            notes += (f"{unused} labelled pixels lie between the regions and are left out.",)
    return SplitIndices(train, val, test, notes, regions)


def _first_shown(labels: Ints, images: NDArray[np.uint8], same_ground: Ints) -> Ints:
    """Return the labels without those of ground that an earlier image with labels shows."""
    kept = labels.copy()
    told = np.isin(images.ravel()[same_ground[:, 0]], images[labels > 0])
    kept.ravel()[same_ground[told, 1]] = 0
    return kept


def _take_over(labels: Ints, assigned: Regions, forced: Regions, patch: int, guard: str) -> Regions:
    """Return the regions of labelled pixels, with those that their ground has already."""
    assigned = np.where((labels > 0) & (forced != _NOT_TOLD), forced, assigned)
    if guard == "drop":
        assigned[(assigned == VAL) & dilate(assigned == TEST, patch - 1)] = 0
        assigned[(assigned == TRAIN) & dilate(assigned > TRAIN, patch - 1)] = 0
    return assigned
