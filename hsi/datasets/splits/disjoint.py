"""Split scheme ``disjoint``: train, val and test are separate regions of the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.datasets.splits.annealing import SUBSETS, TEST, GapSearch, Search
from hsi.datasets.splits.cells import Cells, assign_regions, cells_within, cut_into_cells
from hsi.datasets.splits.indices import SplitIndices, class_name, subset_counts
from hsi.datasets.splits.leakage import dilate
from hsi.datasets.splits.sampling import note_tiny_class
from hsi.errors import SplitError

Ints = NDArray[np.int64]
Regions = NDArray[np.uint8]  # 1 train, 2 val, 3 test, 0 none

_SLICES_PER_REGION = 5  # a region of the target size holds about this many slices of each class
_FEW_PIXELS = 5  # smaller subsets of a class are named in the notes
_TOLERANCE = 0.25  # larger relative errors of a class's share are named in the notes


def split_disjoint(
    labels: Ints, names: Sequence[str], *, train: float, val: float, patch: int, guard: str, seed: int
) -> SplitIndices:
    """Divide a scene into three regions, one each for train, val and test.

    Fields (connected pieces of one class) are assigned whole where that meets the target shares, and cut
    straight across their longer axis where it does not. Simulated annealing looks, in this order, for every
    class in all three subsets, for the target shares of each class and overall, and for few and short borders
    between regions, above all through fields.

    With ``guard="mask"`` every pixel of the scene gets the region of the nearest labelled pixel, and a patch
    sees only pixels of its centre's region: no labelled pixel is lost. With ``guard="drop"`` patches stay
    whole, and labelled pixels are left out until any two pixels of different subsets are at least `patch`
    pixels apart in rows or in columns: then their patches share no pixel. (At ``patch - 1`` they would still
    share a line.) The region map is 0 wherever a pixel is nearer than that to a pixel of another subset.

    Parameters are those of `make_split`; raises SplitError where the labels have no room for three regions.
    """
    cells = cut_into_cells(labels, min(train, val, 1 - train - val) / _SLICES_PER_REGION)
    totals = np.bincount(labels.ravel())
    targets = np.array([(0, *subset_counts(int(total), train, val)) for total in totals])
    class_targets = [tuple(row) for row in targets[np.unique(cells.label)].tolist()]
    if guard == "mask":
        assigned = assign_regions(cells, class_targets, Search, seed)
        regions = nearest_regions(assigned)
    else:
        search = partial(GapSearch, within=cells_within(cells, patch - 1))
        assigned = assign_regions(cells, class_targets, search, seed)
        assigned = _narrow_gaps(labels, assigned, patch, targets)
        regions = separate_regions(labels, assigned, patch)
    alternative = "a smaller patch or guard='mask'" if guard == "drop" else "scheme 'random'"
    no_room = f"separate train, val and test regions with patch {patch}; use {alternative}."
    notes = partial(region_notes, labels, names, assigned, cells, (train, val), guard)
    return region_indices(assigned, regions, notes, no_room)


def region_indices(
    assigned: Regions, regions: Regions, notes: Callable[[], tuple[str, ...]], no_room: str
) -> SplitIndices:
    """Return the pixels of each subset; raise SplitError with `no_room` where one is empty."""
    train, val, test = (np.flatnonzero(assigned == subset) for subset in SUBSETS)
    if not (len(train) and len(val) and len(test)):
        raise SplitError(f"These labels have no room for {no_room}")
    return SplitIndices(train, val, test, notes(), regions)


def _narrow_gaps(labels: Ints, assigned: Regions, patch: int, targets: Ints) -> Regions:
    """Give left-out pixels that no other region is near back to a region that has their class.

    The search leaves out whole slices of fields. Test takes back all it can, train and val only up to the
    class's target (`targets`, a row for each class), nearest pixels first.
    """
    assigned = assigned.copy()
    for subset in reversed(SUBSETS):
        own = assigned == subset
        free = (labels > 0) & (assigned == 0) & ~dilate((assigned > 0) & ~own, patch - 1)
        distance = ndimage.distance_transform_edt(~own) if own.any() else np.zeros(labels.shape)
        for label in np.unique(labels[own]):
            pixels = np.flatnonzero(free & (labels == label))
            room = len(pixels)
            if subset != TEST:
                room = targets[label, subset] - int((own & (labels == label)).sum())
            order = np.argsort(distance.ravel()[pixels], kind="stable")
            assigned.ravel()[pixels[order[: max(0, room)]]] = subset
    return assigned


def nearest_regions(assigned: Regions) -> Regions:
    """Give each pixel the region of the nearest pixel that has one."""
    _, (rows, cols) = ndimage.distance_transform_edt(assigned == 0, return_indices=True)
    return np.asarray(assigned[rows, cols])


def separate_regions(labels: Ints, assigned: Regions, patch: int) -> Regions:
    """Give unlabelled pixels the nearest region, and none where another region is nearer than `patch`."""
    regions = nearest_regions(assigned)
    for subset in SUBSETS:
        regions[(regions != subset) & dilate(assigned == subset, patch - 1)] = 0
    regions[(labels > 0) & (assigned == 0)] = 0
    return regions


def region_notes(
    labels: Ints,
    names: Sequence[str],
    assigned: Regions,
    cells: Cells,
    shares: tuple[float, float],
    guard: str,
) -> tuple[str, ...]:
    """Return a sentence for each kind of target that `assigned` misses; `shares` are those of train and val.

    `assigned` is the ``(rows, cols)`` region of each labelled pixel, 0 where it is left out.
    """
    classes = int(labels.max()) + 1
    total = np.bincount(labels.ravel(), minlength=classes)
    counts = np.stack([np.bincount(labels[assigned == subset], minlength=classes) for subset in SUBSETS])
    present = [label for label in range(1, classes) if total[label]]
    notes = []
    if guard == "mask":
        notes += [note_tiny_class(names, label, int(total[label])) for label in present if total[label] < 3]
    lost = int(total[1:].sum() - counts[:, 1:].sum())
    if lost:
        notes.append(f"{lost} of {total[1:].sum()} labelled pixels lie between the regions and are left out.")
    for row, word in zip(counts, ("training", "validation", "test"), strict=True):
        absent = [label for label in present if not row[label] and (lost or total[label] > 2)]
        if absent:
            listed = ", ".join(class_name(names, label) for label in absent)
            notes.append(f"No {word} pixel of: {listed}; their fields are too small or too close.")
    for row, share, word in zip(counts, shares, ("Training", "Validation"), strict=False):
        reached = row.sum() / total[1:].sum()
        if abs(reached - share) > _TOLERANCE * share:
            notes.append(f"{word} holds {reached:.2f} of all labelled pixels instead of {share:g}.")
        off = [
            f"{class_name(names, label)} {row[label] / total[label]:.2f}"
            for label in present
            if row[label]
            and abs(row[label] - share * total[label]) > max(1.0, _TOLERANCE * share * total[label])
        ]
        if off:
            notes.append(
                f"{word} share differs from {share:g} by more than a quarter of it for: {', '.join(off)}."
            )
    small = [
        f"{class_name(names, label)} ({', '.join(map(str, counts[:, label]))})"
        for label in present
        if total[label] > 2 and 0 < counts[:, label].min() < _FEW_PIXELS
    ]
    if small:
        notes.append(
            f"Classes with fewer than {_FEW_PIXELS} pixels in a subset (their train, val and test pixels): "
            f"{', '.join(small)}."
        )
    cut = _cut_classes(cells, assigned) if guard == "mask" else []
    if cut:
        listed = ", ".join(class_name(names, label) for label in cut)
        notes.append(f"Regions touch inside fields, connected pieces of one class, of: {listed}.")
    return tuple(notes)


def _cut_classes(cells: Cells, assigned: Regions) -> list[int]:
    """Return the classes that have a field in more than one region."""
    inside = cells.index >= 0
    cell = cells.index[inside]
    pairs = np.unique(np.stack([cells.field[cell], assigned[inside], cells.label[cell]]), axis=1)
    fields, regions = np.unique(pairs[0], return_counts=True)
    return [int(label) for label in np.unique(pairs[2][np.isin(pairs[0], fields[regions > 1])])]
