"""Split scheme ``disjoint``: train, val and test are separate areas of the scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.datasets.annealing import NONE, PARTS, TEST, Problem, Search
from hsi.datasets.annealing_apart import ApartSearch
from hsi.datasets.fields import Cells, borders, cut_into_cells, reach
from hsi.datasets.parts import Parts, class_name, wanted_counts
from hsi.datasets.sampling import too_few
from hsi.errors import SplitError, unknown

Ints = NDArray[np.int64]

GUARDS = ("mask", "drop")

_SLICES_PER_PART = 5  # a part of the wanted size is made of about this many slices of its class
_CUT = 0.05  # cost of a cut through a field, whatever its length
_CUT_LENGTH = 0.15  # cost of a cut that is as long as the square root of its class's pixels
_BORDER = 0.08  # the same for a border between areas that runs between fields
_TASTE = 0.5  # cost of having an area at the end of a field that the seed does not like, at most, per class
_STARTS = 3  # the best of so many searches is taken
_STEPS_PER_CELL, _FEWEST_STEPS, _MOST_STEPS = 60, 1000, 60_000  # of each search
_FEW_PIXELS = 5  # smaller parts of a class are named in the notes
_NEAR_ENOUGH = 0.25  # larger relative errors of a class's share are named in the notes


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
    problem = _problem(cells, train, val, seed)
    near = reach(cells, patch - 1) if guard == "drop" else None
    areas = _search(cells, problem, near, seed)
    if guard == "mask":
        _, (rows, cols) = ndimage.distance_transform_edt(areas == 0, return_indices=True)
        regions = areas[rows, cols]
    else:
        targets = np.zeros((int(labels.max()) + 1, 4), np.int64)
        targets[np.unique(cells.label)] = problem.targets
        areas = _take_back(labels, areas, patch, targets)
        regions = _apart_regions(labels, areas, patch)
    train_pixels, val_pixels, test_pixels = (np.flatnonzero(areas == part) for part in PARTS)
    if not (len(train_pixels) and len(val_pixels) and len(test_pixels)):
        way_out = "a smaller patch or guard='mask'" if guard == "drop" else "scheme 'random'"
        raise SplitError(
            f"These labels have no room for separate train, val and test areas with patch {patch}; "
            f"use {way_out}."
        )
    notes = _notes(labels, names, areas, cells, (train, val), guard)
    return Parts(train_pixels, val_pixels, test_pixels, notes, regions)


def _problem(cells: Cells, train: float, val: float, seed: int) -> Problem:
    """Put the cells, the wanted counts and the costs of borders into the form that the search reads."""
    _, label = np.unique(cells.label, return_inverse=True)
    totals = np.bincount(label, weights=cells.size)
    pairs, inside, between = borders(cells)
    one, two = pairs.T
    scale = np.sqrt(np.minimum(totals[label[one]], totals[label[two]]))
    costs = _CUT * (inside > 0) + (_CUT_LENGTH * inside + _BORDER * between) / scale
    meets: list[list[tuple[int, float]]] = [[] for _ in cells.size]
    for first, second, cost in zip(one.tolist(), two.tolist(), costs.tolist(), strict=True):
        meets[first].append((second, cost))
        meets[second].append((first, cost))
    bounds = cells.bounds
    # Each seed likes each area at one end of each field, so that a scene with one best answer has several
    # good ones.
    count = bounds[cells.field + 1] - bounds[cells.field]
    along = (np.arange(len(cells.size)) - bounds[cells.field] + 0.5) / count - 0.5
    tilt = np.random.default_rng(seed).uniform(-_TASTE, _TASTE, (len(bounds) - 1, 4))
    tilt[:, NONE] = 0
    taste = tilt[cells.field] * (along * cells.size / totals[label])[:, None]
    return Problem(
        label=label.tolist(),
        size=cells.size.tolist(),
        first=bounds[cells.field].tolist(),
        last=bounds[cells.field + 1].tolist(),
        meets=meets,
        taste=[tuple(row) for row in taste.tolist()],
        targets=[(0, *wanted_counts(int(total), train, val)) for total in totals],
    )


def _search(cells: Cells, problem: Problem, near: list[list[int]] | None, seed: int) -> NDArray[np.uint8]:
    """Return the ``(rows, cols)`` areas of the labelled pixels that the best of a few searches found."""
    steps = min(_MOST_STEPS, max(_FEWEST_STEPS, _STEPS_PER_CELL * len(cells.size)))
    searches = []
    for start in range(_STARTS):
        number = _STARTS * seed + start
        search = Search(problem, number) if near is None else ApartSearch(problem, number, near)
        search.run(steps)
        searches.append(search)
    best = min(searches, key=lambda search: search.cost)
    return np.array([*best.area, 0], np.uint8)[cells.index]  # the last for pixels without a cell, number -1


def _within(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Return the pixels within `distance` (Chebyshev) of `mask`."""
    grown = mask.view(np.uint8)
    for axis in (0, 1):
        grown = ndimage.maximum_filter1d(grown, 2 * distance + 1, axis=axis, mode="constant")
    return np.asarray(grown, bool)


def _take_back(labels: Ints, areas: NDArray[np.uint8], patch: int, targets: Ints) -> NDArray[np.uint8]:
    """Give left-out pixels that no other area is near back to an area that has their class.

    The search leaves out whole slices of fields; this makes the gaps as narrow as they may be. Test takes all
    it can, train and val only up to the wanted count of the class (`targets`, a row for each class), nearest
    pixels first.
    """
    areas = areas.copy()
    for part in reversed(PARTS):
        mine = areas == part
        free = (labels > 0) & (areas == 0) & ~_within((areas > 0) & ~mine, patch - 1)
        distance = ndimage.distance_transform_edt(~mine) if mine.any() else np.zeros(labels.shape)
        for label in np.unique(labels[mine]):
            pixels = np.flatnonzero(free & (labels == label))
            room = (
                len(pixels) if part == TEST else targets[label, part] - int((mine & (labels == label)).sum())
            )
            order = np.argsort(distance.ravel()[pixels], kind="stable")
            areas.ravel()[pixels[order[: max(0, room)]]] = part
    return areas


def _apart_regions(labels: Ints, areas: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """Give unlabelled pixels the nearest area, and none where another area is nearer than `patch`."""
    _, (rows, cols) = ndimage.distance_transform_edt(areas == 0, return_indices=True)
    regions = np.asarray(areas[rows, cols])
    for part in PARTS:
        regions[(regions != part) & _within(areas == part, patch - 1)] = 0
    regions[(labels > 0) & (areas == 0)] = 0
    return regions


def _notes(
    labels: Ints,
    names: Sequence[str],
    areas: NDArray[np.uint8],
    cells: Cells,
    wanted: tuple[float, float],
    guard: str,
) -> tuple[str, ...]:
    """Say what could not be met, a sentence for each kind."""
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
