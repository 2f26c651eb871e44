"""Split scheme ``disjoint``: train, val and test are separate areas of the scene."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.datasets.annealing import PARTS, TEST, Search
from hsi.datasets.annealing_apart import ApartSearch
from hsi.datasets.area_notes import area_notes
from hsi.datasets.areas import deal_out
from hsi.datasets.fields import cut_into_cells, reach
from hsi.datasets.parts import Parts, wanted_counts
from hsi.datasets.regions import apart_regions, nearest_regions, within
from hsi.errors import SplitError, unknown

Ints = NDArray[np.int64]

GUARDS = ("mask", "drop")

_SLICES_PER_PART = 5  # a part of the wanted size is made of about this many slices of its class


def disjoint_parts(
    labels: Ints, names: Sequence[str], *, train: float, val: float, patch: int, guard: str, seed: int
) -> Parts:
    """Divide a scene into a train, a val and a test area, so that no patch of one reaches into another.

    The fields of each class (connected patches of it) are dealt out whole where that meets the wanted shares,
    and cut straight across their longer axis where it does not. The areas are found by a search (simulated
    annealing) that looks, in this order, for classes in all three parts, for the wanted shares of each class
    and of all classes together, and for few and short borders between areas, above all through fields. The
    method is our decision.

    With ``guard="mask"`` each pixel of the scene belongs to the area of the nearest labelled pixel, and a
    patch sees only pixels of its own area: no labelled pixel is lost. With ``guard="drop"`` the patches stay
    whole, and labelled pixels are left out until any two pixels of different parts are at least `patch`
    pixels apart in rows or in columns: then their patches share no pixel. (At a distance of ``patch - 1``
    they would still share a line.) There the area map is 0 wherever a pixel is nearer than that to
    a pixel of another part.

    Parameters
    ----------
    labels
        Label map ``(rows, cols)``; 0 is unlabelled.
    names
        Class names, class 1 first, for the notes.
    train, val
        Wanted shares of each class's labelled pixels; the rest is test.
    patch
        Odd patch width in pixels.
    guard
        "mask" or "drop".
    seed
        Any integer >= 0; another seed gives other areas.

    Returns
    -------
    Parts
        With the area map as ``regions``, and notes on what could not be met.

    Raises
    ------
    SplitError
        For an unknown guard, or where the labels have no room for three areas.
    """
    if guard not in GUARDS:
        raise SplitError(unknown("guard", guard, GUARDS))
    cells = cut_into_cells(labels, min(train, val, 1 - train - val) / _SLICES_PER_PART)
    totals = np.bincount(labels.ravel())
    targets = np.array([(0, *wanted_counts(int(total), train, val)) for total in totals])
    wanted = [tuple(row) for row in targets[np.unique(cells.label)].tolist()]
    if guard == "mask":
        areas = deal_out(cells, wanted, Search, seed)
        regions = nearest_regions(areas)
    else:
        areas = deal_out(cells, wanted, partial(ApartSearch, reach=reach(cells, patch - 1)), seed)
        areas = _take_back(labels, areas, patch, targets)
        regions = apart_regions(labels, areas, patch)
    train_pixels, val_pixels, test_pixels = (np.flatnonzero(areas == part) for part in PARTS)
    if not (len(train_pixels) and len(val_pixels) and len(test_pixels)):
        way_out = "a smaller patch or guard='mask'" if guard == "drop" else "scheme 'random'"
        raise SplitError(
            f"These labels have no room for separate train, val and test areas with patch {patch}; "
            f"use {way_out}."
        )
    notes = area_notes(labels, names, areas, cells, (train, val), guard)
    return Parts(train_pixels, val_pixels, test_pixels, notes, regions)


def _take_back(labels: Ints, areas: NDArray[np.uint8], patch: int, targets: Ints) -> NDArray[np.uint8]:
    """Give left-out pixels that no other area is near back to an area that has their class.

    The search leaves out whole slices of fields; this makes the gaps as narrow as they may be. Test takes all
    it can, train and val only up to the wanted count of the class (`targets`, a row for each class), nearest
    pixels first.
    """
    areas = areas.copy()
    for part in reversed(PARTS):
        mine = areas == part
        free = (labels > 0) & (areas == 0) & ~within((areas > 0) & ~mine, patch - 1)
        distance = ndimage.distance_transform_edt(~mine) if mine.any() else np.zeros(labels.shape)
        for label in np.unique(labels[mine]):
            pixels = np.flatnonzero(free & (labels == label))
            room = (
                len(pixels) if part == TEST else targets[label, part] - int((mine & (labels == label)).sum())
            )
            order = np.argsort(distance.ravel()[pixels], kind="stable")
            areas.ravel()[pixels[order[: max(0, room)]]] = part
    return areas
