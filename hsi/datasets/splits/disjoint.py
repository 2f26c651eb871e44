"""Area maps: from the areas of labelled pixels to an area for every pixel of a scene.

What a division into areas could not meet, as sentences.

Split scheme ``disjoint``: train, val and test are separate areas of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.datasets.splits.annealing import PARTS, TEST, ApartSearch, Search
from hsi.datasets.splits.cells import Cells, assign_regions, cut_into_cells, reach
from hsi.datasets.splits.indices import SplitIndices, class_name, wanted_counts
from hsi.datasets.splits.sampling import too_few
from hsi.errors import SplitError, unknown

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


Ints = NDArray[np.int64]

_FEW_PIXELS = 5  # smaller parts of a class are named
_NEAR_ENOUGH = 0.25  # larger relative errors of a class's share are named


def area_notes(
    labels: Ints,
    names: Sequence[str],
    areas: NDArray[np.uint8],
    cells: Cells,
    wanted: tuple[float, float],
    guard: str,
) -> tuple[str, ...]:
    """Say what could not be met, a sentence for each kind.

    Parameters
    ----------
    labels, names
        Label map ``(rows, cols)``, 0 unlabelled; class names, class 1 first.
    areas
        ``(rows, cols)`` part of each labelled pixel: 1 train, 2 val, 3 test, 0 left out.
    cells
        The cells that the areas are made of.
    wanted
        Wanted shares of train and val.
    guard
        "mask" or "drop".
    """
    classes = int(labels.max()) + 1
    total = np.bincount(labels.ravel(), minlength=classes)
    counts = np.stack([np.bincount(labels[areas == part], minlength=classes) for part in PARTS])
    present = [label for label in range(1, classes) if total[label]]
    notes = [
        too_few(names, label, int(total[label])) for label in present if guard == "mask" and total[label] < 3
    ]
    lost = int(total[1:].sum() - counts[:, 1:].sum())
    if lost:
        notes.append(f"{lost} of {total[1:].sum()} labelled pixels lie between the areas and are left out.")
    for row, word in zip(counts, ("training", "validation", "test"), strict=True):
        lacking = [
            class_name(names, label) for label in present if not row[label] and (lost or total[label] > 2)
        ]
        if lacking:
            notes.append(
                f"No {word} pixel of: {', '.join(lacking)}; their fields are too small or too close."
            )
    for row, share, word in zip(counts, wanted, ("Training", "Validation"), strict=False):
        reached = row.sum() / total[1:].sum()
        if abs(reached - share) > _NEAR_ENOUGH * share:
            notes.append(f"{word} holds {reached:.2f} of all labelled pixels instead of {share:g}.")
        off = [
            f"{class_name(names, label)} {row[label] / total[label]:.2f}"
            for label in present
            if row[label]
            and abs(row[label] - share * total[label]) > max(1.0, _NEAR_ENOUGH * share * total[label])
        ]
        if off:
            notes.append(
                f"{word} share differs from {share:g} by more than a quarter of it for: {', '.join(off)}."
            )
    small = [
        f"{class_name(names, label)} {'/'.join(str(row[label]) for row in counts)}"
        for label in present
        if total[label] > 2 and (counts[:, label] > 0).all() and counts[:, label].min() < _FEW_PIXELS
    ]
    if small:
        notes.append(f"Fewer than {_FEW_PIXELS} pixels (train/val/test) in a part: {', '.join(small)}.")
    cut = _cut_classes(cells, areas) if guard == "mask" else []
    if cut:
        listed = ", ".join(class_name(names, label) for label in cut)
        notes.append(f"Fields are cut, so that areas touch inside them, for: {listed}.")
    return tuple(notes)


def _cut_classes(cells: Cells, areas: NDArray[np.uint8]) -> list[int]:
    """Return the classes that have a field in more than one area."""
    inside = cells.index >= 0
    cell = cells.index[inside]
    pairs = np.unique(np.stack([cells.field[cell], areas[inside], cells.label[cell]]), axis=1)
    fields, parts = np.unique(pairs[0], return_counts=True)
    return [int(label) for label in np.unique(pairs[2][np.isin(pairs[0], fields[parts > 1])])]


GUARDS = ("mask", "drop")

_SLICES_PER_PART = 5  # a part of the wanted size is made of about this many slices of its class


def disjoint_parts(
    labels: Ints, names: Sequence[str], *, train: float, val: float, patch: int, guard: str, seed: int
) -> SplitIndices:
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
        areas = assign_regions(cells, wanted, Search, seed)
        regions = nearest_regions(areas)
    else:
        areas = assign_regions(cells, wanted, partial(ApartSearch, reach=reach(cells, patch - 1)), seed)
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
    return SplitIndices(train_pixels, val_pixels, test_pixels, notes, regions)


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
