"""How a scene is cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hsi.mapping.cells import CELL, tiles


@given(
    rows=st.integers(1, 150),
    cols=st.integers(1, 150),
    margin=st.integers(0, 12),
    pixel_bytes=st.integers(1, 900),
    budget=st.integers(1, 2**24),
)
def test_tiles_and_cells_cover_each_pixel_once_within_the_budget(rows, cols, margin, pixel_bytes, budget):
    by_tile, by_cell = np.zeros((rows, cols), int), np.zeros((rows, cols), int)
    for tile in tiles(rows, cols, margin, pixel_bytes, budget):
        by_tile[tile.top : tile.bottom, tile.left : tile.right] += 1
        height, width = tile.shape
        taken = (height + 2 * margin) * (width + 2 * margin) * pixel_bytes
        assert taken <= budget or (height <= CELL and width <= CELL)
        for cell in tile.cells():
            assert cell.top % CELL == cell.left % CELL == 0
            assert max(cell.shape) <= CELL
            by_cell[cell.top : cell.bottom, cell.left : cell.right] += 1
    assert (by_tile == 1).all()
    assert (by_cell == 1).all()
