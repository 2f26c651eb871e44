from __future__ import annotations

import numpy as np
import pytest

from hsi.errors import InputError
from hsi.figures.snakes import draw_snakes


def places(count):
    """Three points each, of 2 x 3 voxels: rows, then columns."""
    return np.random.default_rng(0).normal(10, 2, (count, 3, 2, 2, 3)).astype(np.float32)


def test_a_line_through_the_points_of_every_voxel():
    at = places(2)
    corners = np.array([[4, 6], [-2, 0]])
    figure = draw_snakes({"Rows": at, "Columns": at + 1}, np.zeros((2, 7, 7, 3), np.uint8), corners)
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == ["Rows", "Columns", "", ""]
    lines = panels[2].collections[0].get_segments()
    assert len(lines) == 6
    np.testing.assert_allclose(lines[4], at[1, :, ::-1, 1, 1])  # x is the column
    assert panels[0].get_xlim() == (5.5, 12.5)
    assert panels[0].get_ylim() == (10.5, 3.5)
    assert panels[2].images[0].get_extent() == [-0.5, 6.5, 4.5, -2.5]


def test_there_is_room_for_six_pixels():
    with pytest.raises(InputError, match="6 pixels, not of 7"):
        draw_snakes({"Rows": places(7)}, np.zeros((7, 7, 7, 3), np.uint8), np.zeros((7, 2), int))
