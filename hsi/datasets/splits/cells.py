"""Fields of a label map, cut into thin cells: the pieces that disjoint areas are put together from.

Areas of a scene: the fields of all classes, cut into cells, dealt out by a search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.datasets.splits.annealing import NONE, Problem, Search

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SNAP_DEGREES = 20.0  # a field this close to the image axes is cut along rows or columns
_FEWEST_LINES = 6  # a shorter field is cut between pixels, not only between lines


@dataclass(frozen=True)
class Cells:
    """The cells of a label map, n in number.

    A field is a connected (8 neighbours) patch of one class. It is sliced across its longer axis into cells;
    the cells of one field are numbered one after the other along that axis, so a straight cut of the field is
    a place between two numbers.

    Attributes
    ----------
    index
        ``(rows, cols)`` cell of each labelled pixel, -1 elsewhere.
    label, field, size
        ``(n,)`` class, field and number of pixels of each cell.
    """

    index: Ints
    label: Ints
    field: Ints
    size: Ints

    @property
    def bounds(self) -> Ints:
        """``(fields + 1,)`` first cell of each field, and n at the end."""
        return np.searchsorted(self.field, np.arange(int(self.field[-1]) + 2))


def cut_into_cells(labels: Ints, finest: float) -> Cells:
    """Cut each field into straight slices of a share `finest` of its class, one pixel line at least.

    Parameters
    ----------
    labels
        Label map ``(rows, cols)`` with at least one labelled pixel.
    finest
        Wanted size of a slice as a share of its class, 0 < finest < 1.
    """
    index = np.full(labels.shape, -1, np.int64)
    label: list[int] = []
    field: list[int] = []
    size: list[int] = []
    fields = 0
    totals = np.bincount(labels.ravel())
    for wanted in np.flatnonzero(totals[1:]) + 1:
        numbered, _ = ndimage.label(labels == wanted, np.ones((3, 3)))
        for number, box in enumerate(ndimage.find_objects(numbered), start=1):
            rows, cols = np.nonzero(numbered[box] == number)
            slices = _slices(_lines(rows, cols), finest * totals[wanted])
            pieces = np.bincount(slices)
            index[box][rows, cols] = slices + len(label)
            label += [int(wanted)] * len(pieces)
            field += [fields] * len(pieces)
            size += pieces.tolist()
            fields += 1
    return Cells(index, np.array(label), np.array(field), np.array(size))


def _lines(rows: Ints, cols: Ints) -> Ints:
    """Return the number of the pixel line, across the longer axis, that each pixel of a field lies on.

    In a field of a few lines each pixel is a line of its own, in the order of lines, so that it can be cut at
    all.
    """
    centred = np.stack([rows - rows.mean(), cols - cols.mean()])
    _, axes = np.linalg.eigh(centred @ centred.T)
    down, right = axes[:, 1]
    angle = abs(np.degrees(np.arctan2(down, right))) % 180
    if min(angle, 180 - angle) <= _SNAP_DEGREES:
        down, right = 0.0, 1.0
    elif abs(angle - 90) <= _SNAP_DEGREES:
        down, right = 1.0, 0.0
    along = down * rows + right * cols
    lines = np.floor(along - along.min() + 1e-6).astype(np.int64)
    if lines.max() + 1 < _FEWEST_LINES:
        order = np.lexsort((right * rows + down * cols, lines))
        lines[order] = np.arange(len(lines))
    return np.asarray(np.unique(lines, return_inverse=True)[1])


def _slices(lines: Ints, wanted: float) -> Ints:
    """Join neighbouring lines to slices of at least `wanted` pixels; a short rest joins the last slice."""
    counts = np.bincount(lines)
    slice_of_line = np.zeros(len(counts), np.int64)
    current, held = 0, 0
    for line, count in enumerate(counts):
        if held >= wanted:
            current, held = current + 1, 0
        slice_of_line[line] = current
        held += int(count)
    if current and held < wanted / 2:
        slice_of_line[slice_of_line == current] = current - 1
    return np.asarray(slice_of_line[lines])


def borders(cells: Cells) -> tuple[Ints, Floats, Floats]:
    """Measure where cells meet when every pixel of the scene belongs to its nearest cell.

    Returns
    -------
    pairs
        ``(m, 2)`` cells that meet.
    inside
        ``(m,)`` length, in pixel edges, of the border that runs through labelled pixels of one field.
    between
        ``(m,)`` length of the rest; an edge counts ``1 / (1 + distance to the nearest labelled pixel)``.
    """
    distance, (rows, cols) = ndimage.distance_transform_edt(cells.index < 0, return_indices=True)
    near = cells.index[rows, cols]
    count = len(cells.size)
    keys, far, same = [], [], []
    for first, second in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        meet = near[first] != near[second]
        one, two = near[first][meet], near[second][meet]
        keys.append(np.minimum(one, two) * count + np.maximum(one, two))
        apart = np.maximum(distance[first][meet], distance[second][meet])
        far.append(apart)
        same.append((apart == 0) & (cells.field[one] == cells.field[two]))
    key, away, own = np.concatenate(keys), np.concatenate(far), np.concatenate(same)
    unique, place = np.unique(key, return_inverse=True)
    inside = np.bincount(place, weights=own.astype(float), minlength=len(unique))
    between = np.bincount(place, weights=np.where(own, 0.0, 1 / (1 + away)), minlength=len(unique))
    pairs = np.stack([unique // count, unique % count], axis=1)
    return pairs, inside.astype(np.float64), between.astype(np.float64)


def reach(cells: Cells, distance: int) -> list[list[int]]:
    """Return, for each cell, the others that have a pixel within `distance` (Chebyshev) of one of its own."""
    rows, cols = cells.index.shape
    boxes = ndimage.find_objects(cells.index + 1)
    near = []
    for cell, (down, right) in enumerate(boxes):
        window = cells.index[
            max(0, down.start - distance) : min(rows, down.stop + distance),
            max(0, right.start - distance) : min(cols, right.stop + distance),
        ]
        grown = (window == cell).view(np.uint8)
        for axis in (0, 1):
            grown = ndimage.maximum_filter1d(grown, 2 * distance + 1, axis=axis, mode="constant")
        found = np.unique(window[grown.astype(bool)])
        near.append([int(other) for other in found if other >= 0 and other != cell])
    return near


MakeSearch = Callable[[Problem, int], Search]

_CUT = 0.05  # cost of a cut through a field, whatever its length
_CUT_LENGTH = 0.15  # cost of a cut that is as long as the square root of its class's pixels
_BORDER = 0.08  # the same for a border between areas that runs between fields
_TASTE = 0.5  # cost of having an area at the end of a field that the seed does not like, at most, per class
_STARTS = 3  # the best of so many searches is taken
_STEPS_PER_CELL, _FEWEST_STEPS, _MOST_STEPS = 60, 1000, 60_000  # of each search


def assign_regions(
    cells: Cells,
    targets: Sequence[tuple[int, ...]],
    make_search: MakeSearch,
    seed: int,
    *,
    borders_matter: float = 1.0,
) -> NDArray[np.uint8]:
    """Deal the cells out to areas; the best of a few searches counts.

    Parameters
    ----------
    cells
        As from `cut_into_cells`.
    targets
        Wanted pixels of each class that has cells, lowest class first: left out, then in area 1, 2, ....
    make_search
        `Search` or another, called with the problem and a seed.
    seed
        Any integer >= 0; another seed gives other areas.
    borders_matter
        Factor of the costs of borders.

    Returns
    -------
    array
        ``(rows, cols)`` area of each labelled pixel, 0 where it is left out or unlabelled.
    """
    problem = _problem(cells, targets, seed, borders_matter)
    steps = min(_MOST_STEPS, max(_FEWEST_STEPS, _STEPS_PER_CELL * len(cells.size)))
    searches = []
    for start in range(_STARTS):
        search = make_search(problem, _STARTS * seed + start)
        search.run(steps)
        searches.append(search)
    best = min(searches, key=lambda search: search.cost)
    return np.array([*best.area, 0], np.uint8)[cells.index]  # the last for pixels without a cell, number -1


def _problem(cells: Cells, targets: Sequence[tuple[int, ...]], seed: int, factor: float) -> Problem:
    """Put the cells, the wanted counts and the costs of borders into the form that the search reads."""
    _, label = np.unique(cells.label, return_inverse=True)
    totals = np.bincount(label, weights=cells.size)
    pairs, inside, between = borders(cells)
    one, two = pairs.T
    scale = np.sqrt(np.minimum(totals[label[one]], totals[label[two]]))
    costs = factor * (_CUT * (inside > 0) + (_CUT_LENGTH * inside + _BORDER * between) / scale)
    meets: list[list[tuple[int, float]]] = [[] for _ in cells.size]
    for first, second, cost in zip(one.tolist(), two.tolist(), costs.tolist(), strict=True):
        meets[first].append((second, cost))
        meets[second].append((first, cost))
    bounds = cells.bounds
    # Each seed likes each area at one end of each field, so that a scene with one best answer has several
    # good ones.
    count = bounds[cells.field + 1] - bounds[cells.field]
    along = (np.arange(len(cells.size)) - bounds[cells.field] + 0.5) / count - 0.5
    tilt = np.random.default_rng(seed).uniform(-_TASTE, _TASTE, (len(bounds) - 1, len(targets[0])))
    tilt[:, NONE] = 0
    taste = tilt[cells.field] * (along * cells.size / totals[label])[:, None]
    return Problem(
        label=label.tolist(),
        size=cells.size.tolist(),
        first=bounds[cells.field].tolist(),
        last=bounds[cells.field + 1].tolist(),
        meets=meets,
        taste=[tuple(row) for row in taste.tolist()],
        targets=list(targets),
    )
