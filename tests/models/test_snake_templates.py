"""Where the snakes sample; what the templates compute is tested in test_sgdscnet.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch.nn import functional as F

from hsi.models.snake_templates import SnakeTemplates

SIZES = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
OPTIONS = st.fixed_dictionaries(
    {
        "views": st.sampled_from(["whd", "w", "d", "hd", "dw"]),
        "points": st.sampled_from([3, 5]),
        "spectral_offsets": st.booleans(),
    }
)


@settings(max_examples=25, deadline=None)
@given(sizes=SIZES, options=OPTIONS, seed=st.integers(0, 99))
def test_positions_are_those_that_forward_samples(sizes, options, seed):
    """The output follows from the positions: SciPy samples there, then weights, GroupNorm and ReLU."""
    torch.manual_seed(seed)
    module = SnakeTemplates(2, 4, **options).double().eval()
    x = torch.randn(2, 2, *sizes, dtype=torch.float64)
    with torch.no_grad():
        wanted = module(x)
        places = list(module.positions(x))
    assert len(places) == len(module.views)
    sums = []
    biases = module.bias.detach().chunk(len(module.views))
    for place, weight, bias in zip(places, module.weights, biases, strict=True):
        assert place.shape == (2, weight.shape[2], 3, *sizes)
        y = np.zeros((2, 4, *sizes)) + bias.numpy().reshape(1, -1, 1, 1, 1)
        for n, channel, j in np.ndindex(2, 2, weight.shape[2]):
            seen = map_coordinates(x[n, channel].numpy(), place[n, j].numpy(), order=1, mode="nearest")
            y[n] += weight.detach().numpy()[:, channel, j].reshape(-1, 1, 1, 1) * seen
        sums.append(torch.from_numpy(y))
    norm = module.norm
    found = F.relu(F.group_norm(torch.cat(sums, 1), norm.num_groups, norm.weight, norm.bias, norm.eps))
    np.testing.assert_allclose(found.detach(), wanted, atol=1e-4)


@pytest.mark.parametrize("view", "whd")
def test_points_lie_on_the_axis_and_inside_the_volume(view):
    module = SnakeTemplates(3, 4, views=view, points=5).eval()
    with torch.no_grad():
        (place,) = module.positions(torch.randn(2, 3, 4, 5, 6))
    own = "dhw".index(view)
    voxels = torch.stack(torch.meshgrid(*map(torch.arange, (4, 5, 6)), indexing="ij"))
    for j in range(5):
        straight = (voxels[own] + j - 2).clamp(0, place.shape[3 + own] - 1)
        assert torch.equal(place[:, j, own], straight.float().expand(2, -1, -1, -1))
    assert torch.equal(place[:, 2], voxels.float().expand(2, -1, -1, -1, -1))  # the centre stays
    for axis, size in enumerate((4, 5, 6)):
        assert place[:, :, axis].min() >= 0
        assert place[:, :, axis].max() <= size - 1
    away = (place - voxels).abs().amax(dim=(0, 3, 4, 5))
    for axis in {0, 1, 2} - {own}:
        assert (away[:, axis] <= torch.tensor([2.0, 1.0, 0.0, 1.0, 2.0]) + 1e-6).all()
