"""The snake convolution against SciPy, straight convolutions and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch import Tensor
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.kernels import snake
from hsi.models.kernels.snake import (
    View,
    outward_sum,
    plane_of,
    sampler_grid,
    shifted,
    snake_conv3d,
    snake_rows,
    snake_rows_unchunked,
    unshift,
)

AXES = "whd"
SPATIAL = {"d": 0, "h": 1, "w": 2}


def draw(
    shape: tuple[int, ...], axis_points: int, reach: float, seed: int, dtype: torch.dtype = torch.float64
):
    """Input, offsets, weight and bias for ``shape`` = (N, C, D, H, W)."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=rng, dtype=dtype)
    offsets = (
        torch.rand((shape[0], axis_points - 1, 2, *shape[2:]), generator=rng, dtype=dtype) * 2 - 1
    ) * reach
    weight = torch.randn((3, shape[1], axis_points), generator=rng, dtype=dtype)
    bias = torch.randn(3, generator=rng, dtype=dtype)
    return x, offsets, weight, bias


def by_scipy(x: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor, axis: str) -> np.ndarray:
    """Sample each channel at each point with map_coordinates, then sum over channels and points."""
    values, moved, kernel = x.numpy(), offsets.numpy(), weight.numpy()
    points = kernel.shape[2]
    others = [i for i in range(3) if i != SPATIAL[axis]]
    out = np.zeros((x.shape[0], kernel.shape[0], *x.shape[2:])) + bias.numpy()[:, None, None, None]
    for n in range(x.shape[0]):
        for point in range(points):
            place = np.indices(x.shape[2:]).astype(float)
            place[SPATIAL[axis]] += point - points // 2
            if point != points // 2:
                slot = point if point < points // 2 else point - 1
                for which, other in enumerate(others):
                    place[other] += moved[n, slot, which]
            sampled = np.stack([map_coordinates(c, place, order=1, mode="nearest") for c in values[n]])
            out[n] += np.einsum("oc,cdhw->odhw", kernel[:, :, point], sampled)
    return out


def straight(x: Tensor, weight: Tensor, bias: Tensor, axis: str) -> Tensor:
    """Ordinary convolution along one axis with replicated border."""
    points = weight.shape[2]
    kernel, padding = [1, 1, 1], [0] * 6
    kernel[SPATIAL[axis]] = points
    last = 2 * (2 - SPATIAL[axis])  # torch pads the last axis first
    padding[last] = padding[last + 1] = points // 2
    return F.conv3d(F.pad(x, padding, mode="replicate"), weight.view(*weight.shape[:2], *kernel), bias)


@settings(max_examples=25, deadline=None)
@given(
    axis=st.sampled_from(AXES),
    points=st.sampled_from([3, 5, 9]),
    sizes=st.tuples(*[st.sampled_from([1, 2, 3, 6])] * 3),
    batch=st.integers(1, 3),
    reach=st.sampled_from([0.9, 4.0]),
    seed=st.integers(0, 1000),
)
def test_fractional_offsets_equal_scipy(axis, points, sizes, batch, reach, seed):
    args = draw((batch, 2, *sizes), points, reach, seed)
    np.testing.assert_allclose(
        snake_conv3d(*args, axis=axis).numpy(), by_scipy(*args, axis=axis), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("moved", [0, 1])
def test_each_deformable_axis_moves_alone(axis, moved):
    x, offsets, weight, bias = draw((1, 2, 5, 4, 6), 3, 1.0, 3)
    offsets[:, :, 1 - moved] = 0
    got = snake_conv3d(x, offsets, weight, bias, axis=axis)
    np.testing.assert_allclose(got.numpy(), by_scipy(x, offsets, weight, bias, axis), atol=1e-12)
    assert not torch.allclose(got, straight(x, weight, bias, axis))


@settings(max_examples=15, deadline=None)
@given(
    axis=st.sampled_from(AXES),
    points=st.sampled_from([3, 5, 9]),
    sizes=st.tuples(*[st.sampled_from([1, 2, 5])] * 3),
    seed=st.integers(0, 1000),
)
def test_zero_offsets_are_a_straight_convolution_with_replicated_border(axis, points, sizes, seed):
    x, offsets, weight, bias = draw((2, 3, *sizes), points, 0.0, seed)
    torch.testing.assert_close(
        snake_conv3d(x, offsets, weight, bias, axis=axis), straight(x, weight, bias, axis)
    )


def test_saturated_offsets_reach_c_voxels_at_distance_c():
    steps = torch.ones(8)
    reach = outward_sum(steps, 0)
    assert reach.tolist() == [4, 3, 2, 1, 1, 2, 3, 4]
    x = torch.arange(11.0 * 11, dtype=torch.float64).view(1, 1, 1, 11, 11)
    offsets = torch.zeros(1, 8, 2, 1, 11, 11, dtype=torch.float64)
    offsets[:, :, 1] = reach.double()[:, None, None, None]  # the view "w" moves in D and H
    for point, place in enumerate([-4, -3, -2, -1, 0, 1, 2, 3, 4]):
        weight = F.one_hot(torch.tensor(point), 9).double().view(1, 1, 9)
        got = snake_conv3d(x, offsets, weight, axis="w")[0, 0, 0, 5, 5].item()
        assert got == pytest.approx(x[0, 0, 0, 5 + abs(place), 5 + place].item())


@pytest.mark.parametrize("axis", AXES)
def test_the_centre_never_moves(axis):
    x, offsets, weight, _ = draw((2, 2, 4, 5, 3), 5, 3.0, 0)
    weight[:, :, [0, 1, 3, 4]] = 0
    got = snake_conv3d(x, offsets, weight, axis=axis)
    torch.testing.assert_close(got, torch.einsum("oc,ncdhw->nodhw", weight[:, :, 2], x))


@pytest.mark.parametrize("axis", AXES)
def test_interior_is_translation_equivariant(axis):
    x, offsets, weight, bias = draw((1, 2, 9, 9, 9), 3, 1.0, 1)
    scratch1 = snake_conv3d(x, offsets, weight, bias, axis=axis)
    scratch2 = snake_conv3d(
        x.roll((1, 1, 1), (2, 3, 4)), offsets.roll((1, 1, 1), (3, 4, 5)), weight, bias, axis=axis
    )
    inside = slice(3, 7)
    before = slice(2, 6)
    torch.testing.assert_close(scratch2[..., inside, inside, inside], scratch1[..., before, before, before])


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    ("sizes", "points"), [((4, 3, 5), 3), ((3, 4, 2), 5), ((5, 1, 1), 3), ((1, 3, 1), 3)]
)
def test_gradients(axis, sizes, points):
    x, offsets, weight, bias = draw((1, 2, *sizes), points, 0.9, 7)
    # Stay away from whole positions, where bilinear interpolation has a kink.
    offsets = offsets.sign() * offsets.abs().clamp(0.05, 0.95)
    inputs = [t.requires_grad_() for t in (x, offsets, weight, bias)]
    assert torch.autograd.gradcheck(lambda *a: snake_conv3d(*a, axis=axis), inputs)


def test_chunks_and_strides_change_nothing(monkeypatch):
    x, offsets, weight, bias = draw((5, 3, 4, 3, 3), 3, 1.0, 2)

    def run(x):
        inputs = [t.detach().requires_grad_() for t in (x, offsets, weight, bias)]
        out = snake_conv3d(*inputs, axis="h")
        return [out, *torch.autograd.grad(out.square().sum(), inputs)]

    whole = run(x)
    monkeypatch.setattr(snake, "CHUNK_VOXELS", 80)  # two samples at a time, then one
    for again in (run(x), run(x.to(memory_format=torch.channels_last_3d))):
        for a, b in zip(whole, again, strict=True):
            torch.testing.assert_close(a, b)
    assert whole[0].is_contiguous(memory_format=torch.channels_last_3d)


def test_same_bits_twice():
    x, offsets, weight, bias = draw((4, 8, 20, 6, 6), 3, 1.0, 2, torch.float32)

    def run():
        inputs = [t.clone().requires_grad_() for t in (x, offsets, weight, bias)]
        return torch.autograd.grad(snake_conv3d(*inputs, axis="w").square().sum(), inputs)

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_bfloat16_is_close():
    args = draw((2, 4, 6, 5, 5), 3, 1.0, 5, torch.float32)
    exact = snake_conv3d(*args, axis="d")
    low = snake_conv3d(*(a.bfloat16() for a in args), axis="d")
    assert low.dtype == torch.bfloat16
    # The offsets too are rounded to 8 bits here.
    assert (low.float() - exact).abs().max() < 0.03 * exact.abs().max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axis": "x"}, "axis"),
        ({"weight": torch.zeros(3, 2, 4)}, "odd"),
        ({"weight": torch.zeros(3, 5, 3)}, "input channels"),
        ({"offsets": torch.zeros(1, 3, 2, 4, 4, 4)}, "offsets must be"),
        ({"x": torch.zeros(2, 4, 4, 4)}, "x as"),
    ],
)
def test_bad_input_is_named(change, message):
    good = {
        "x": torch.zeros(1, 2, 4, 4, 4),
        "offsets": torch.zeros(1, 2, 2, 4, 4, 4),
        "weight": torch.zeros(3, 2, 3),
    }
    with pytest.raises(ModelError, match=message):
        snake_conv3d(**{**good, **change})


DISTANCES = st.integers(-5, 5).filter(bool)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), DISTANCES)
def test_shifting_takes_from_further_on_and_stops_at_the_border(size, distance):
    plane = torch.randn(2, size, 3, 2, 4)
    expected = plane.numpy()[:, np.clip(np.arange(size) + distance, 0, size - 1)]
    np.testing.assert_array_equal(shifted(plane, distance), expected)


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


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    axes=st.sampled_from(["w", "h", "d", "wd", "whd"]),
    points=st.sampled_from([3, 5, 9]),
    moving=st.booleans(),
    plain=st.integers(0, 1),
    seed=st.integers(0, 99),
)
def test_equals_the_chunked_one(sizes, axes, points, moving, plain, seed):
    random = torch.Generator().manual_seed(seed)
    width, slots = 2, (points - 1) * len(axes)
    rows = width * (len(axes) + plain)
    x = torch.randn(3, *sizes, 4, generator=random)
    centre, bias = torch.randn(rows, 4, generator=random), torch.randn(rows, generator=random)
    outer = torch.randn(slots * width, 4, generator=random)
    offsets = 2 * torch.randn(3, *sizes, slots, 2, generator=random) if moving else None
    views = tuple(View(axis, points, i * (points - 1) if moving else None) for i, axis in enumerate(axes))
    expected = snake_rows(x, centre, bias, outer, offsets, views)
    found = snake_rows_unchunked(x, centre, bias, outer, offsets, views)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_graph_holds_for_any_number_of_samples():
    views = (View("w", 3, 0), View("d", 3, 2))
    weights = (torch.randn(4, 4), torch.randn(4), torch.randn(8, 4))

    class Rows(torch.nn.Module):
        def forward(self, x, offsets):
            return snake_rows(x, *weights, offsets, views)

    x, offsets = torch.randn(7, 3, 4, 4, 4), torch.randn(7, 3, 4, 4, 4, 2)
    many = {0: torch.export.Dim("N")}
    program = torch.export.export(Rows(), (x[:2], offsets[:2]), dynamic_shapes=(many, many))
    for count in (1, 7):
        found = program.module()(x[:count], offsets[:count])
        torch.testing.assert_close(found, Rows()(x[:count], offsets[:count]), atol=1e-5, rtol=1e-5)
