"""How a scene is cut: into cells that are classified one at a time, and tiles of cells that are read at once.

Cells lie on a fixed grid, so which pixels share a batch does not depend on the tiles; and so neither does any
bit of the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CELL = 32
"""Rows and columns of a cell: our decision. What neighbouring patches share is computed once a cell and its
margin of P // 2; a larger cell would compute fewer margins twice and need more memory."""

TILE_BYTES = 64 * 2**20
"""What a tile and its margin may take in memory, as read and as preprocessed: our decision. A tile has one
cell at least."""


@dataclass(frozen=True)
class Window:
    """Rows ``top .. bottom - 1`` and columns ``left .. right - 1`` of a scene."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def cells(self) -> Iterator[Window]:
        """Yield the cells of a tile, row by row."""
        for top in range(self.top, self.bottom, CELL):
            for left in range(self.left, self.right, CELL):
                yield Window(top, min(top + CELL, self.bottom), left, min(left + CELL, self.right))


def tiles(
    rows: int, cols: int, margin: int, pixel_bytes: int, budget: int = TILE_BYTES, together: int = 1
) -> Iterator[Window]:
    """Cut a scene into tiles of whole cells, row by row.

    Parameters
    ----------
    rows, cols
        Size of the scene, pixels.
    margin
        Pixels that are read beyond each side of a tile.
    pixel_bytes
        Memory that a pixel takes while its tile is in work.
    budget
        Memory that a tile may take, bytes.
    together
        Rows that can only be read together: tiles are as high where the budget allows, since what a file has
        packed together is unpacked for each tile anew.
    """
    most = budget // pixel_bytes  # pixels, margins included
    height = min(-(-together // CELL) * CELL, _cells_within(most // (CELL + 2 * margin) - 2 * margin))
    width = _cells_within(most // (height + 2 * margin) - 2 * margin)
    if width >= cols:
        height = _cells_within(most // (cols + 2 * margin) - 2 * margin)
    for top in range(0, rows, height):
        for left in range(0, cols, width):
            yield Window(top, min(top + height, rows), left, min(left + width, cols))


def _cells_within(pixels: int) -> int:
    """Round down to whole cells, one at least."""
    return max(1, pixels // CELL) * CELL
