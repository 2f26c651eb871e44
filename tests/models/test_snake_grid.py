from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.models.snake_grid import plane_of, sampler_grid, shifted, unshift

DISTANCES = st.integers(-5, 5).filter(bool)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), DISTANCES)
def test_shifting_takes_from_further_on_and_stops_at_the_border(size, distance):
    plane = torch.randn(2, size, 3, 2, 4)
    wanted = plane.numpy()[:, np.clip(np.arange(size) + distance, 0, size - 1)]
    np.testing.assert_array_equal(shifted(plane, distance), wanted)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), DISTANCES)
def test_unshift_is_the_adjoint(size, distance):
    x, y = torch.randn(2, 1, size, 2, 2, 3, dtype=torch.float64)
    back = torch.full_like(y, float("nan"))
    unshift(y, back, distance)
    assert (shifted(x, distance) * y).sum().item() == pytest.approx((x * back).sum().item())


@pytest.mark.parametrize(("axis", "others"), [("w", (1, 2)), ("h", (1, 3)), ("d", (2, 3))])
def test_the_sampler_gets_voxel_and_offset(axis, others):
    """-1 and 1 are the centres of the outermost voxels; the later of the two other axes comes first."""
    sizes = (1, 4, 3, 5)
    offsets = torch.randn(*sizes, 2)
    grid, scale = sampler_grid(offsets, axis)
    across, down = (sizes[place] for place in reversed(others))
    np.testing.assert_allclose(scale, [2 / (across - 1), 2 / (down - 1)], rtol=1e-6)
    plane = plane_of(offsets, axis)[0]
    grid = grid.view(plane.shape)
    for v, i, j in np.ndindex(*plane.shape[:3]):
        at = (grid[v, i, j] + 1) / scale
        np.testing.assert_allclose(at, plane[v, i, j] + torch.tensor([j, i]), atol=1e-5)


def test_an_axis_of_one_voxel_has_nowhere_to_go():
    _, scale = sampler_grid(torch.zeros(1, 2, 1, 3, 2), "w")
    assert scale.tolist() == [0.0, 2.0]
