"""Labels on another grid than the cube's: cut out, or brought over by majority.

A pixel of the cube gets the class that covers at least half of it; where two classes halve it, it has none.
The cover is counted at points spread evenly over the pixel: the centres of the label pixels where these fit
into it, else 4 points a label pixel and axis. A coarser label pixel gives its class to the pixels within it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import is_crs
from hsi.datasets.labels.label_map import check_size
from hsi.errors import SceneError, install_command

Georeference = Mapping[str, Any]
Affine = NDArray[np.float64]  # 3 x 3: (col, row, 1) -> (x, y, 1)

_SAME = 0.01  # pixels between two grids that are the same
_HARMLESS_SHIFT = 0.1  # pixels that are told, but left as they are
_POINTS_A_LABEL = 4
_MOST_POINTS = 32  # along one axis of a pixel
_BLOCK = 1 << 20  # points at a time
_KNOT = 16  # pixels between exactly transformed points; between them it is linear to less than 0.01 pixel


def align_labels(
    labels: NDArray[Any],
    label_geo: Georeference | None,
    cube_size: tuple[int, int],
    cube_geo: Georeference | None,
    *,
    align: bool = False,
    where: str,
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels on the grid of a cube, 0 where there are none, and notes.

    Labels on the same grid are returned as they are; those that differ by whole pixels are cut or padded, and
    those of another pixel size, direction or coordinate system are brought over by majority. Without both
    georeferences, the sizes must agree.

    Parameters
    ----------
    labels
        (rows, cols) of integers, 0 = unlabelled.
    label_geo, cube_geo
        Georeferences as in `hsi.datasets.formats.facts.FileFacts`. Where only one of them names its
        coordinate system, both are taken to be in it.
    cube_size
        (rows, cols).
    align
        Whether labels shifted by a fraction of a pixel are brought over, too.
    where
        What messages call the labels.

    Raises
    ------
    SceneError
        For sizes that differ without georeference, labels that do not overlap the cube or are shifted by a
        fraction of a pixel, and coordinate systems that cannot be used.
    """
    if label_geo is None or cube_geo is None:
        _check_size(labels, label_geo, cube_size, cube_geo, where)
        return labels, ()
    rows, cols = cube_size
    there, here = _matrix(label_geo), _matrix(cube_geo)
    transform = _between(cube_geo["crs"], label_geo["crs"], where)
    notes = []
    if bool(label_geo["crs"]) != bool(cube_geo["crs"]):
        nameless, other = (where, "the cube") if cube_geo["crs"] else ("The cube", "the labels")
        notes.append(f"{nameless} names no coordinate system; it is taken to be that of {other}.")
    grid = _Grid(cube_size, here, there, None)
    if transform is not None:
        bent = _Grid(cube_size, here, there, transform)
        corners = np.array([0, cols]), np.array([0, rows])
        apart = np.abs(np.subtract(bent.exact(*corners), grid.exact(*corners))).max()
        if not apart <= _SAME:  # it may be no number
            grid = bent
    moved = grid.whole_shift()
    if moved is not None:
        col, row, rest = moved
        if rest <= _HARMLESS_SHIFT:
            if (col, row) == (0, 0) and labels.shape == cube_size and rest <= _SAME:
                return labels, tuple(notes)
            return _shifted(labels, col, row, rest, cube_size, notes, where, label_geo, cube_geo)
        if not all(-n < at < have for at, n, have in zip((row, col), cube_size, labels.shape, strict=True)):
            raise _no_overlap(labels.shape, cube_size, label_geo, cube_geo, where)
        if not align:
            raise SceneError(
                f"{where} lies a fraction of a pixel ({rest:.2g}) off the grid of the cube: its geotransform "
                f"is {_in_words(label_geo)}, the cube's {_in_words(cube_geo)}; --align brings it over by "
                "majority."
            )
    result = _by_majority(labels, grid)
    if not grid.touched:
        raise _no_overlap(labels.shape, cube_size, label_geo, cube_geo, where)
    labelled = int(np.count_nonzero(result))
    if not labelled:
        raise SceneError(
            f"{where} lies on another grid, and no class covers half of a pixel of the cube; give labels of "
            "this place."
        )
    how = f"has pixels of {_pixel_size(label_geo)}, the cube of {_pixel_size(cube_geo)}"
    if moved is not None:
        how = f"lies {moved[2]:.2g} pixels off the grid of the cube"
    notes.append(
        f"{where} {how}: each pixel of the cube gets the class that covers at least half of it, which labels "
        f"{labelled} pixels."
    )
    return result, tuple(notes)


def _check_size(
    labels: NDArray[Any],
    label_geo: Georeference | None,
    size: tuple[int, int],
    cube_geo: Georeference | None,
    where: str,
) -> None:
    known, other = ("the cube", "the label map") if label_geo is None else ("the label map", "the cube")
    if labels.shape != size and labels.shape[::-1] != size and (label_geo is None) != (cube_geo is None):
        raise SceneError(
            f"{where} has {labels.shape[0]} x {labels.shape[1]} pixels and the cube {size[0]} x {size[1]}, "
            f"and only {known} has a georeference to place them by; give {other} with its georeference."
        )
    check_size(labels.shape, size, where)


def _matrix(georeference: Georeference) -> Affine:
    return np.array([*georeference["transform"], 0, 0, 1], np.float64).reshape(3, 3)


def _between(source: str, target: str, where: str) -> Any:
    """Return a function (x, y) -> (x, y) between two coordinate systems, None where they are the same."""
    if not source or not target or source == target:
        return None
    for text in (source, target):
        if not is_crs(text):
            raise SceneError(
                f"{where} cannot be brought to the cube's grid: '{text[:60]}' is no coordinate system; name "
                "one by its code, such as EPSG:32616."
            )
    try:
        import rasterio
        import rasterio.warp
    except ImportError:
        raise SceneError(
            f"{where} may be in another coordinate system than the cube, which takes rasterio to tell; "
            f"install it with: {install_command('geo')}"
        ) from None

    def transform(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, Any]:
        try:
            with rasterio.Env():  # silences GDAL's own messages
                found = rasterio.warp.transform(systems[0], systems[1], x.ravel(), y.ravel())
        except Exception as error:  # GDAL and PROJ raise almost any type
            raise _unusable(where, error) from None
        return np.array(found[0]).reshape(x.shape), np.array(found[1]).reshape(y.shape)

    try:
        with rasterio.Env():
            systems = [rasterio.crs.CRS.from_user_input(text) for text in (source, target)]
    except Exception as error:
        raise _unusable(where, error) from None
    return None if systems[0] == systems[1] else transform


def _unusable(where: str, error: Exception) -> SceneError:
    cause = " ".join(str(error).split())[:160] or type(error).__name__
    return SceneError(
        f"{where} cannot be brought to the cube's coordinate system ({cause}); warp it to the cube's grid."
    )


class _Grid:
    """Where the pixels of a cube lie on the grid of the labels, in pixels."""

    def __init__(self, size: tuple[int, int], here: Affine, there: Affine, transform: Any) -> None:
        self.size, self.transform = size, transform
        self.here, self.back = here, np.linalg.inv(there)
        self.touched = False  # whether any point has lain on the labels

    def exact(self, cols: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return columns and rows of the labels at every pair of `cols` and `rows`: two (rows, cols)."""
        col, row = np.meshgrid(np.asarray(cols, float), np.asarray(rows, float))
        x, y = (self.here[axis, 0] * col + self.here[axis, 1] * row + self.here[axis, 2] for axis in (0, 1))
        if self.transform is not None:
            x, y = self.transform(x, y)
        with np.errstate(invalid="ignore"):  # points outside the domain of a projection are infinite
            c, r = (self.back[axis, 0] * x + self.back[axis, 1] * y + self.back[axis, 2] for axis in (0, 1))
        return c, r

    def whole_shift(self) -> tuple[int, int, float] | None:
        """Return the columns and rows to shift by, and the rest in pixels; None where no shift will do."""
        if self.transform is not None:
            return None
        rows, cols = self.size
        ends = np.array([0, cols]), np.array([0, rows])
        offsets = np.subtract(self.exact(*ends), np.meshgrid(*ends)).reshape(2, 4)
        if np.ptp(offsets, axis=1).max() > _HARMLESS_SHIFT:
            return None
        whole = np.round(offsets.mean(axis=1))
        return int(whole[0]), int(whole[1]), float(np.abs(offsets - whole[:, None]).max())

    def points(self) -> tuple[int, int]:
        """Return the numbers of points along a column's and a row's direction of a pixel."""
        rows, cols = self.size
        middle = np.array([cols / 2, cols / 2 + 1]), np.array([rows / 2, rows / 2 + 1])
        c, r = self.exact(*middle)
        if not np.isfinite([c, r]).all():
            return _POINTS_A_LABEL, _POINTS_A_LABEL
        across = math.hypot(c[0, 1] - c[0, 0], r[0, 1] - r[0, 0])
        down = math.hypot(c[1, 0] - c[0, 0], r[1, 0] - r[0, 0])
        counts = max(1, round(across)), max(1, round(down))
        if max(counts) <= _MOST_POINTS and self._hits_centres(counts):
            return counts
        across, down = (
            min(max(math.ceil(_POINTS_A_LABEL * ratio), _POINTS_A_LABEL), _MOST_POINTS)
            for ratio in (across, down)
        )
        return across, down

    def _hits_centres(self, counts: tuple[int, int]) -> bool:
        """Whether the points in all four corner pixels are centres of label pixels."""
        spread = [(np.arange(count) + 0.5) / count for count in counts]
        cols, rows = (
            np.concatenate([points, length - 1 + points])
            for points, length in zip(spread, self.size[::-1], strict=True)
        )
        return all(bool((np.abs(at - np.floor(at) - 0.5) < 0.05).all()) for at in self.exact(cols, rows))

    def rows_at(self, first: int, last: int, across: int, down: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return columns and rows of the labels at the points of the rows `first` to `last`."""
        cols = (np.arange(self.size[1] * across) + 0.5) / across
        rows = first + (np.arange((last - first) * down) + 0.5) / down
        if self.transform is None:
            return self.exact(cols, rows)
        knots = [
            np.linspace(low, high, max(2, math.ceil((high - low) / _KNOT) + 1))
            for low, high in ((0, self.size[1]), (first, last))
        ]
        return tuple(_interpolate(one, knots, cols, rows) for one in self.exact(*knots))  # type: ignore[return-value]


def _interpolate(
    values: NDArray[Any], knots: list[NDArray[Any]], cols: NDArray[Any], rows: NDArray[Any]
) -> NDArray[Any]:
    """Return `values` at (rows, knots of the columns) bilinearly at `cols` and `rows`."""
    parts = []
    for at, known in ((cols, knots[0]), (rows, knots[1])):
        place = np.clip(np.searchsorted(known, at) - 1, 0, len(known) - 2)
        parts.append((place, (at - known[place]) / (known[place + 1] - known[place])))
    (col, col_share), (row, row_share) = parts
    with np.errstate(invalid="ignore"):
        along = values[:, col] * (1 - col_share) + values[:, col + 1] * col_share
        result: NDArray[Any] = along[row] * (1 - row_share)[:, None] + along[row + 1] * row_share[:, None]
    return result


def _by_majority(labels: NDArray[Any], grid: _Grid) -> NDArray[Any]:
    """Return the class that covers at least half of each pixel, 0 where none does or two do."""
    rows, cols = grid.size
    across, down = grid.points()
    count = across * down
    result = np.zeros(grid.size, labels.dtype)
    if labels.min() >= 0 and labels.max() < 2**15:
        labels = labels.astype(np.int16)  # sorted faster
    step = max(1, _BLOCK // (cols * count))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        c, r = grid.rows_at(first, last, across, down)
        with np.errstate(invalid="ignore"):
            inside = (c >= 0) & (c < labels.shape[1]) & (r >= 0) & (r < labels.shape[0])
        if not inside.any():
            continue
        grid.touched = True
        found = np.zeros(c.shape, labels.dtype)
        found[inside] = labels[r[inside].astype(np.int64), c[inside].astype(np.int64)]
        votes = found.reshape(last - first, down, cols, across).transpose(0, 2, 1, 3)
        result[first:last] = _majority(votes.reshape(last - first, cols, count))
    return result


def _majority(votes: NDArray[Any]) -> NDArray[Any]:
    """Return the value but 0 that fills at least half of the last axis, 0 where none does or two do."""
    votes = np.sort(votes, axis=-1)
    count = votes.shape[-1]
    # What fills half of a sorted list stands at its middle.
    low, high = votes[..., (count - 1) // 2], votes[..., count // 2]
    by = [2 * (votes == one[..., None]).sum(axis=-1) >= count for one in (low, high)]
    by = [wins & (one != 0) for wins, one in zip(by, (low, high), strict=True)]
    tie = by[0] & by[1] & (low != high)
    return np.where(tie, 0, np.where(by[0], low, np.where(by[1], high, 0))).astype(votes.dtype)


def _shifted(
    labels: NDArray[Any],
    col: int,
    row: int,
    rest: float,
    size: tuple[int, int],
    notes: list[str],
    where: str,
    label_geo: Georeference,
    cube_geo: Georeference,
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return the part of labels that lies on the cube, whose first pixel is theirs at `row`, `col`."""
    result = np.zeros(size, labels.dtype)
    there = [
        slice(max(at, 0), max(min(at + n, have), 0))
        for at, n, have in zip((row, col), size, labels.shape, strict=True)
    ]
    if any(one.start >= one.stop for one in there):
        raise _no_overlap(labels.shape, size, label_geo, cube_geo, where)
    here = tuple(slice(one.start - at, one.stop - at) for one, at in zip(there, (row, col), strict=True))
    part = labels[tuple(there)]
    result[here] = part
    before, after = np.count_nonzero(labels), np.count_nonzero(part)
    if not after:
        raise SceneError(
            f"{where} has labelled pixels ({before}), but none on the cube; check both georeferences."
        )
    if (col, row) != (0, 0) or labels.shape != size:
        notes.append(
            f"{where} covers another extent ({labels.shape[0]} x {labels.shape[1]} pixels) on the cube's "
            f"grid: it is cut to the cube, and {before - after} of its {before} labelled pixels lie outside."
        )
    if rest > _SAME:
        notes.append(f"{where} lies {rest:.2g} pixels off the grid of the cube, and is left so.")
    return result, tuple(notes)


def _no_overlap(
    label_size: tuple[int, ...],
    cube_size: tuple[int, int],
    label_geo: Georeference,
    cube_geo: Georeference,
    where: str,
) -> SceneError:
    return SceneError(
        f"{where} does not overlap the cube: it covers {_extent(label_geo, label_size)}, the cube "
        f"{_extent(cube_geo, cube_size)}; check both georeferences."
    )


def _extent(georeference: Georeference, size: tuple[int, ...]) -> str:
    rows, cols = size[:2]
    ends = _matrix(georeference) @ np.array([[0, cols, 0, cols], [0, 0, rows, rows], [1, 1, 1, 1]])
    (west, south), (east, north) = ends[:2].min(axis=1), ends[:2].max(axis=1)
    name = georeference["crs"]
    crs = f" in {name}" if name and len(name) <= 20 else ""
    return f"x {west:.10g} to {east:.10g}, y {south:.10g} to {north:.10g}{crs}"


def _in_words(georeference: Georeference) -> str:
    return f"({', '.join(f'{value:.10g}' for value in georeference['transform'])})"


def _pixel_size(georeference: Georeference) -> str:
    a, b, _, d, e, _ = georeference["transform"]
    name = georeference["crs"]
    return f"{math.hypot(a, d):.6g} x {math.hypot(b, e):.6g}" + (f" ({name})" if 0 < len(name) <= 20 else "")
