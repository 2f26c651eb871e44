"""Several images in one array, below each other: where each lies, and which pixels show the same ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hsi.datasets.formats.facts import is_crs

Ints = NDArray[np.int64]

MOST_PARTS = 255  # their numbers are bytes
BLANK_ROWS = 1  # between two parts, so that no field of one touches a field of the next


class ScenePart(NamedTuple):
    """One image of a combined scene; `test` where its labelled pixels are there to test on, and no others."""

    name: str
    rows: int
    cols: int
    test: bool = False


def part_windows(parts: Sequence[ScenePart]) -> list[tuple[slice, slice]]:
    """Return the rows and columns of each part in the array of all of them."""
    windows, top = [], 0
    for part in parts:
        windows.append((slice(top, top + part.rows), slice(0, part.cols)))
        top += part.rows + BLANK_ROWS
    return windows


def number_parts(parts: Sequence[ScenePart]) -> NDArray[np.uint8]:
    """Return the ``(rows, cols)`` part of each pixel, 1 for the first; 0 between and beside the parts."""
    windows = part_windows(parts)
    numbers = np.zeros((windows[-1][0].stop, max(part.cols for part in parts)), np.uint8)
    for number, window in enumerate(windows, start=1):
        numbers[window] = number
    return numbers


def image_windows(numbers: NDArray[np.uint8]) -> list[tuple[slice, slice]]:
    """Return the rows and columns of each part, from the map of their numbers."""
    return [window for window in ndimage.find_objects(numbers) if window is not None]


def rows_apart(numbers: NDArray[np.uint8], gap: int) -> Ints:
    """Return where each row lies when `gap` empty rows are put before each part but the first.

    What looks at neighbourhoods of pixels sees no neighbours across parts then.
    """
    part_of_row = np.maximum.accumulate(numbers.max(axis=1)).astype(np.int64)
    return np.arange(len(numbers)) + gap * np.maximum(part_of_row - 1, 0)


def pixels_apart(pixels: Ints, numbers: NDArray[np.uint8] | None, gap: int) -> Ints:
    """Return flat indices of pixels where their parts lie `gap` more rows apart; None: there is one part."""
    if numbers is None:
        return pixels
    cols = numbers.shape[1]
    return rows_apart(numbers, gap)[pixels // cols] * cols + pixels % cols


def same_ground(
    cubes: Sequence[Any], places: Sequence[dict[str, Any] | None], parts: Sequence[ScenePart]
) -> Ints | None:
    """Return the ``(n, 2)`` pairs of pixels of different parts that show the same ground, or None.

    Pixels do if the centre of one lies in the other, by their georeferences, or if two cubes are equal. They
    are flat indices in the array of all parts, that of the earlier part first.

    Parameters
    ----------
    cubes, places
        Cube and georeference (``crs`` and ``transform``, see `Scene`) of each part.
    parts
        Their sizes.
    """
    cols = max(part.cols for part in parts)
    tops = [rows.start for rows, _ in part_windows(parts)]
    found = []
    for later in range(1, len(parts)):
        for earlier in range(later):
            pair = (earlier, later)
            if _are_equal(cubes[earlier], cubes[later]):
                row, col = np.indices(cubes[earlier].shape[:2]).reshape(2, -1)
                local = [np.stack([row, col]), np.stack([row, col])]
            else:
                local = _by_place([places[one] for one in pair], [parts[one] for one in pair])
            flat = [(row + tops[one]) * cols + col for one, (row, col) in zip(pair, local, strict=True)]
            found.append(np.unique(np.stack(flat, axis=1), axis=0))
    pairs = np.concatenate(found).astype(np.int64) if found else np.empty((0, 2), np.int64)
    return pairs if len(pairs) else None


def _are_equal(one: Any, other: Any) -> bool:
    """Whether two cubes hold the same values; most differ in the first row."""
    return one.shape == other.shape and all(
        np.array_equal(one[row], other[row]) for row in range(one.shape[0])
    )


def _by_place(places: Sequence[dict[str, Any] | None], parts: Sequence[ScenePart]) -> list[Ints]:
    """Return ``(2, n)`` rows and columns in each of two parts of the pixels that show the same ground."""
    nothing = [np.empty((2, 0), np.int64)] * 2
    found = []
    for here, there in ((0, 1), (1, 0)):
        own, size = _centres(parts[here]), (parts[there].cols, parts[there].rows)
        corners = np.array([[0, 1, 0, 1], [0, 0, 1, 1]]) * [[parts[here].cols], [parts[here].rows]]
        outline = _cross(corners, places[here], places[there])
        if outline is None or any(
            low > most or high < 0 for low, high, most in zip(*_extremes(outline), size, strict=True)
        ):
            return nothing
        place = _cross(own, places[here], places[there])
        if place is None:
            return nothing
        column, row = place
        inside = (row >= 0) & (row < parts[there].rows) & (column >= 0) & (column < parts[there].cols)
        other = np.floor(np.stack([row[inside], column[inside]])).astype(np.int64)
        found.append([own[::-1][:, inside].astype(np.int64), other][:: 1 if here == 0 else -1])
    return [np.concatenate([one, two], axis=1) for one, two in zip(*found, strict=True)]


def _extremes(points: NDArray[np.float64]) -> tuple[Any, Any]:
    return points.min(axis=1), points.max(axis=1)


def _centres(part: ScenePart) -> NDArray[np.float64]:
    """Return ``(2, n)`` column and row of the centre of each pixel, in pixels."""
    rows, cols = np.indices((part.rows, part.cols)).reshape(2, -1) + 0.5
    return np.stack([cols, rows])


def _cross(
    pixels: NDArray[np.float64], here: dict[str, Any] | None, there: dict[str, Any] | None
) -> NDArray[np.float64] | None:
    """Return ``(2, n)`` columns and rows of one grid in another, or None where that cannot be told."""
    if not (here and there and here["crs"] and there["crs"]):
        return None
    forward, back = (np.array(place["transform"], float).reshape(2, 3) for place in (here, there))
    ground = forward[:, :2] @ pixels + forward[:, 2:]
    if here["crs"] != there["crs"]:
        moved = _reproject(ground, here["crs"], there["crs"])
        if moved is None:
            return None
        ground = moved
    try:
        return np.asarray(np.linalg.solve(back[:, :2], ground - back[:, 2:]))
    except np.linalg.LinAlgError:
        return None


def _reproject(ground: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64] | None:
    """Return ``(2, n)`` coordinates in another reference system; None without rasterio, or where it fails."""
    if not (is_crs(source) and is_crs(target)):
        return None
    try:
        from rasterio.errors import RasterioError
        from rasterio.warp import transform
    except ImportError:
        return None
    try:
        return np.array(transform(source, target, *ground))
    except (RasterioError, ValueError, RuntimeError):
        return None
