"""Tiles of a scene, read and preprocessed block by block, and the cells that tiles are classified in.

Cells lie on a fixed grid, so which pixels share a batch does not depend on the tiles; nor does any bit of the
map.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube, Window, WindowedCube, block_rows
from hsi.datasets.patches import check_patch

CELL = 32
"""Rows and columns of a cell. Neighbouring cells both compute their margins of P // 2 pixels, so larger cells
save work and need more memory."""

TILE_BYTES = 64 * 2**20
"""Memory of a tile and its margin, as read and as preprocessed. A tile has at least one cell."""


def tiles(
    rows: int, cols: int, margin: int, pixel_bytes: int, budget: int = TILE_BYTES, block_height: int = 1
) -> Iterator[Window]:
    """Cut a scene into tiles of whole cells, row by row.

    Parameters
    ----------
    margin
        Pixels that are read beyond each side of a tile.
    pixel_bytes, budget
        Memory of a pixel while its tile is classified, and of a tile.
    block_height
        Rows that the file stores in one block: tiles are as high if the budget allows, since a block is
        unpacked again for each tile.
    """
    most = budget // pixel_bytes  # pixels, margins included
    height = min(-(-block_height // CELL) * CELL, _cells_within(most // (CELL + 2 * margin) - 2 * margin))
    width = _cells_within(most // (height + 2 * margin) - 2 * margin)
    if width >= cols:
        height = _cells_within(most // (cols + 2 * margin) - 2 * margin)
    for top in range(0, rows, height):
        for left in range(0, cols, width):
            yield Window(top, min(top + height, rows), left, min(left + width, cols))


def _cells_within(pixels: int) -> int:
    """Round down to whole cells, one at least."""
    return max(1, pixels // CELL) * CELL


def release_pages(array: Cube) -> bool:
    """Release the pages of a read-only memory map from this process; return whether that was done.

    The system would do it only when memory is short; until then they count as this process's memory. Other
    arrays are left alone, and so are writable maps, and systems without ``madvise``.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray | WindowedCube):
        if isinstance(owner, np.memmap) and owner.mode != "r":
            return False
        owner = owner.base
    if not isinstance(owner, mmap.mmap) or not hasattr(owner, "madvise"):
        return False
    if not hasattr(mmap, "MADV_DONTNEED"):
        return False
    with contextlib.suppress(OSError):
        owner.madvise(mmap.MADV_DONTNEED)
        return True
    return False


Transform = Callable[[NDArray[Any]], NDArray[np.float32]]
"""From a cube ``(rows, cols, bands)`` as read to the network's features, pixel by pixel."""


@dataclass(frozen=True)
class Block:
    """One part of a scene, preprocessed, with a margin that holds the patches of its pixels.

    Attributes
    ----------
    values
        ``(h + 2 margin, w + 2 margin, features)`` float32; beyond the scene it is padded.
    regions
        Region of each of those pixels, or None.
    missing
        ``(h, w)``: True where the scene has no data, NaN or infinite values; these are zeros in `values`.
    """

    values: NDArray[np.float32]
    regions: NDArray[np.integer[Any]] | None
    missing: NDArray[np.bool_]

    def part(self, window: Window, margin: int) -> Block:
        """Return a window of this block, in coordinates of its own pixels, with its margin."""
        rows = slice(window.top, window.bottom + 2 * margin)
        cols = slice(window.left, window.right + 2 * margin)
        return Block(
            self.values[rows, cols],
            None if self.regions is None else self.regions[rows, cols],
            self.missing[window.top : window.bottom, window.left : window.right],
        )


class SceneBlocks:
    """A scene that is read and preprocessed block by block.

    Parameters
    ----------
    cube
        ``(rows, cols, bands)``, in memory, memory-mapped, or read by windows.
    transform
        The fitted preprocessing.
    features
        Bands that `transform` returns.
    patch
        Patch width P; the margin is P // 2.
    regions
        ``(rows, cols)`` region of each pixel, or None; see `hsi.datasets.patches.PatchCutter`.
    padding
        "zeros" or "reflect", as there.
    missing
        ``(rows, cols)``: True for pixels without data that are filled in `cube`, for the patches of their
        neighbours; or None.

    Raises
    ------
    ConfigError, SceneError
        For a patch width that the scene cannot have.
    """

    def __init__(
        self,
        cube: Cube,
        transform: Transform,
        features: int,
        patch: int,
        *,
        regions: NDArray[np.integer[Any]] | None = None,
        padding: str = "zeros",
        missing: NDArray[np.bool_] | None = None,
    ) -> None:
        self.rows, self.cols, self.bands = (int(n) for n in cube.shape)
        check_patch(patch, self.rows, self.cols)
        self.patch, self.margin, self.features = patch, patch // 2, features
        self._cube, self._transform = cube, transform
        self._regions, self._reflect, self._missing = regions, padding == "reflect", missing

    def tiles(self, classes: int, budget: int = TILE_BYTES) -> list[Window]:
        """Return the tiles that the scene is mapped in; `budget` is the memory of one, in bytes."""
        raw = self._cube.dtype.itemsize * self.bands
        # As read, resampled (float32), the features, and twice the logits.
        pixel_bytes = raw + 4 * (self.bands + self.features + 2 * classes)
        height = block_rows(self._cube)
        return list(tiles(self.rows, self.cols, self.margin, pixel_bytes, budget, height))

    def read(self, window: Window) -> Block:
        """Read and preprocess a window with its margin."""
        rows, no_row = self._positions(window.top, window.bottom, self.rows)
        cols, no_col = self._positions(window.left, window.right, self.cols)
        top, left = rows.min(), cols.min()
        box = (slice(top, rows.max() + 1), slice(left, cols.max() + 1))
        place = np.ix_(rows - top, cols - left)
        # Contiguous whatever the file's order, in which sums of products could round differently.
        values = self._transform(np.ascontiguousarray(self._cube[box]))
        release_pages(self._cube)
        regions = None if self._regions is None else self._regions[box][place]
        missing = np.asarray(~np.isfinite(values).all(axis=2))
        if missing.any():
            values[missing] = 0
        if self._missing is not None:
            missing |= self._missing[box]
        if values.shape[:2] != (len(rows), len(cols)):  # at an edge of the scene
            values, missing = values[place], missing[place]
            values[no_row] = 0
            values[:, no_col] = 0
        height, width = window.shape
        inside = (slice(self.margin, self.margin + height), slice(self.margin, self.margin + width))
        return Block(values, regions, missing[inside])

    def features_of(self, window: Window) -> NDArray[np.float32]:
        """Return the features ``(h, w, features)`` of a window of the scene; zeros where it has no data."""
        values = self._transform(np.ascontiguousarray(self._cube[window.slices]))
        release_pages(self._cube)
        values[~np.isfinite(values).all(axis=2)] = 0
        return values

    def _positions(self, start: int, stop: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the scene's rows (or columns) of a block with its margin, and which of them are padding."""
        positions = np.arange(start - self.margin, stop + self.margin)
        if self._reflect:
            return (size - 1) - np.abs((size - 1) - np.abs(positions)), np.zeros(len(positions), bool)
        return positions.clip(0, size - 1), (positions < 0) | (positions >= size)
