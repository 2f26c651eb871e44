"""Fields of a label map cut into thin cells, and the assignment of the cells to regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.datasets.splits.annealing import NONE, Problem, Search
from hsi.datasets.splits.leakage import dilate

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
MakeSearch = Callable[[Problem, int], Search]

_SNAP_DEGREES = 20.0  # a field this close to the image axes is cut along rows or columns
_FEWEST_LINES = 6  # a shorter field is cut between pixels, not only between lines

_CUT = 0.05  # cost of a cut through a field, whatever its length
_CUT_LENGTH = 0.15  # cost of a cut as long as the square root of its class's pixels
_BORDER = 0.08  # the same for a border between regions that runs between fields
_SEED_BIAS = 0.5  # largest cost, per class, of having a region at the end of a field that the seed disfavours
_STARTS = 3  # searches, of which the best is taken
_STEPS_PER_CELL, _FEWEST_STEPS, _MOST_STEPS = 60, 1000, 60_000  # of each search


@dataclass(frozen=True)
class Cells:
    """The cells of a label map, n in number.

    A field is a connected (8 neighbours) piece of one class. It is sliced across its longer axis into cells,
    numbered consecutively along that axis, so a straight cut of the field lies between two numbers.

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


def cut_into_cells(labels: Ints, share: float) -> Cells:
    """Cut each field into straight slices of about `share` (0 to 1) of its class, at least one pixel line.

    `labels` is the label map ``(rows, cols)`` with at least one labelled pixel.
    """
    index = np.full(labels.shape, -1, np.int64)
    label: list[int] = []
    field: list[int] = []
    size: list[int] = []
    fields = 0
    totals = np.bincount(labels.ravel())
    for value in np.flatnonzero(totals[1:]) + 1:
        numbered, _ = ndimage.label(labels == value, np.ones((3, 3)))
        for number, box in enumerate(ndimage.find_objects(numbered), start=1):
            rows, cols = np.nonzero(numbered[box] == number)
            slices = _slices(_lines(rows, cols), share * totals[value])
            pieces = np.bincount(slices)
            index[box][rows, cols] = slices + len(label)
            label += [int(value)] * len(pieces)
            field += [fields] * len(pieces)
            size += pieces.tolist()
            fields += 1
    return Cells(index, np.array(label), np.array(field), np.array(size))


def _lines(rows: Ints, cols: Ints) -> Ints:
    """Number the pixel lines across a field's longer axis; return the line of each pixel.

    In a field of a few lines each pixel is a line of its own, so that it can be cut at all.
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


def _slices(lines: Ints, least: float) -> Ints:
    """Join neighbouring lines to slices of at least `least` pixels; a short rest joins the last slice."""
    counts = np.bincount(lines)
    slice_of_line = np.zeros(len(counts), np.int64)
    current, pixels = 0, 0
    for line, count in enumerate(counts):
        if pixels >= least:
            current, pixels = current + 1, 0
        slice_of_line[line] = current
        pixels += int(count)
    if current and pixels < least / 2:
        slice_of_line[slice_of_line == current] = current - 1
    return np.asarray(slice_of_line[lines])


def borders(cells: Cells) -> tuple[Ints, Floats, Floats]:
    """Measure the borders between cells when every pixel of the scene belongs to its nearest cell.

    Returns the ``(m, 2)`` pairs of neighbouring cells; the ``(m,)`` length, in pixel edges, of the border
    through labelled pixels of one field; and that of the rest, where an edge counts
    ``1 / (1 + distance to the nearest labelled pixel)``.
    """
    distance, (rows, cols) = ndimage.distance_transform_edt(cells.index < 0, return_indices=True)
    near = cells.index[rows, cols]
    count = len(cells.size)
    keys, distances, own_field = [], [], []
    for first, second in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        edge = near[first] != near[second]
        one, two = near[first][edge], near[second][edge]
        keys.append(np.minimum(one, two) * count + np.maximum(one, two))
        apart = np.maximum(distance[first][edge], distance[second][edge])
        distances.append(apart)
        own_field.append((apart == 0) & (cells.field[one] == cells.field[two]))
    key, away, own = map(np.concatenate, (keys, distances, own_field))
    unique, place = np.unique(key, return_inverse=True)
    inside = np.bincount(place, weights=own.astype(float), minlength=len(unique))
    between = np.bincount(place, weights=np.where(own, 0.0, 1 / (1 + away)), minlength=len(unique))
    pairs = np.stack([unique // count, unique % count], axis=1)
    return pairs, inside.astype(np.float64), between.astype(np.float64)


def cells_within(cells: Cells, distance: int) -> list[list[int]]:
    """Return, for each cell, the others with a pixel within `distance` (Chebyshev) of one of its own."""
    rows, cols = cells.index.shape
    boxes = ndimage.find_objects(cells.index + 1)
    near = []
    for cell, (down, right) in enumerate(boxes):
        window = cells.index[
            max(0, down.start - distance) : min(rows, down.stop + distance),
            max(0, right.start - distance) : min(cols, right.stop + distance),
        ]
        found = np.unique(window[dilate(window == cell, distance)])
        near.append([int(other) for other in found if other >= 0 and other != cell])
    return near


def assign_regions(
    cells: Cells,
    targets: Sequence[tuple[int, ...]],
    make_search: MakeSearch,
    seed: int,
    *,
    border_weight: float = 1.0,
) -> NDArray[np.uint8]:
    """Return the ``(rows, cols)`` region of each labelled pixel, 0 where it is left out or unlabelled.

    The best of a few searches counts. `targets` are the target pixels of each class that has cells, lowest
    class first: left out, then in region 1, 2, .... `border_weight` multiplies the costs of borders.
    """
    problem = _problem(cells, targets, seed, border_weight)
    steps = min(_MOST_STEPS, max(_FEWEST_STEPS, _STEPS_PER_CELL * len(cells.size)))
    searches = [make_search(problem, _STARTS * seed + start) for start in range(_STARTS)]
    for search in searches:
        search.run(steps)
    best = min(searches, key=lambda search: search.cost)
    return np.array([*best.region, 0], np.uint8)[cells.index]  # the last one for index -1: no cell


def _problem(cells: Cells, targets: Sequence[tuple[int, ...]], seed: int, weight: float) -> Problem:
    _, label = np.unique(cells.label, return_inverse=True)
    totals = np.bincount(label, weights=cells.size)
    pairs, inside, between = borders(cells)
    one, two = pairs.T
    scale = np.sqrt(np.minimum(totals[label[one]], totals[label[two]]))
    costs = weight * (_CUT * (inside > 0) + (_CUT_LENGTH * inside + _BORDER * between) / scale)
    neighbours: list[list[tuple[int, float]]] = [[] for _ in cells.size]
    for first, second, cost in zip(one.tolist(), two.tolist(), costs.tolist(), strict=True):
        neighbours[first].append((second, cost))
        neighbours[second].append((first, cost))
    bounds = cells.bounds
    # A seed favours each region at one end of each field, so that seeds differ even where one split is best.
    count = bounds[cells.field + 1] - bounds[cells.field]
    along = (np.arange(len(cells.size)) - bounds[cells.field] + 0.5) / count - 0.5
    tilt = np.random.default_rng(seed).uniform(-_SEED_BIAS, _SEED_BIAS, (len(bounds) - 1, len(targets[0])))
    tilt[:, NONE] = 0
    seed_bias = tilt[cells.field] * (along * cells.size / totals[label])[:, None]
    return Problem(
        label=label.tolist(),
        size=cells.size.tolist(),
        first=bounds[cells.field].tolist(),
        last=bounds[cells.field + 1].tolist(),
        neighbours=neighbours,
        seed_bias=[tuple(row) for row in seed_bias.tolist()],
        targets=list(targets),
    )
