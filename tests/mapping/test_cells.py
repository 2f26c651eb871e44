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
    together=st.sampled_from([1, 32, 50, 96, 1000]),
)
def test_tiles_and_cells_cover_each_pixel_once_within_the_budget(
    rows, cols, margin, pixel_bytes, budget, together
):
    by_tile, by_cell = np.zeros((rows, cols), int), np.zeros((rows, cols), int)
    for tile in tiles(rows, cols, margin, pixel_bytes, budget, together):
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


def test_tiles_are_as_high_as_rows_that_are_read_together_where_the_budget_allows():
    def shapes(pixels, together):
        return {tile.shape for tile in tiles(960, 960, 0, 1, pixels, together)}

    assert shapes(960 * 32, 1) == {(32, 960)}
    assert shapes(960 * 32, 40) == {(64, 480)}
    assert shapes(960 * 32, 960) == {(960, 32)}
    assert shapes(64 * 32, 960) == {(64, 32)}
    assert shapes(960 * 960, 40) == {(960, 960)}
