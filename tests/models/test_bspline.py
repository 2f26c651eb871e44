import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from hsi.errors import ModelError
from hsi.models.bspline import BasisPlanes, bspline_basis

ORDERS = [1, 2, 3, 4, 5]


def random_knots(channels, count, seed, dtype=torch.float64):
    """Strictly increasing knots whose intervals differ up to some hundredfold."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.rand(channels, count, generator=generator, dtype=torch.float64).pow(3) + 0.01
    return (steps.cumsum(1) - 2).to(dtype)


def scipy_basis(x, knots, order):
    """Half-open basis functions of one knot row, one SciPy spline each."""
    columns = []
    for j in range(len(knots) - order - 1):
        local = knots[j : j + order + 2]
        inside = (x >= local[0]) & (x < local[-1])
        column = np.zeros_like(x)
        if local[0] < local[-1]:
            column[inside] = BSpline.basis_element(local, extrapolate=False)(x[inside])
        columns.append(column)
    return np.stack(columns, axis=-1)


def cox_de_boor(x, knots, order):
    """The textbook recursion in the number type given."""
    x = x.unsqueeze(-1)
    basis = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - knots[:, : -k - 1]) / (knots[:, k:-1] - knots[:, : -k - 1])
        right = (knots[:, k + 1 :] - x) / (knots[:, k + 1 :] - knots[:, 1:-k])
        basis = left * basis[..., :-1] + right * basis[..., 1:]
    return basis


def points_for(knots, seed):
    """Points on, between and outside the knots of each channel: (n, C)."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(40, len(knots), generator=generator, dtype=torch.float64) * 1.4 - 0.2
    spread = knots[:, 0] + share.to(knots.dtype) * (knots[:, -1] - knots[:, 0])
    return torch.cat([knots.t(), spread])


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ORDERS), st.integers(1, 7), st.integers(1, 4), st.integers(0, 10**6))
def test_equals_scipy_on_between_and_outside_knots(order, intervals, channels, seed):
    knots = random_knots(channels, intervals + 2 * order + 1, seed)
    x = points_for(knots, seed + 1)
    ours = bspline_basis(x, knots, order)
    assert ours.shape == (*x.shape, intervals + order)
    for c in range(channels):
        np.testing.assert_allclose(
            ours[:, c], scipy_basis(x[:, c].numpy(), knots[c].numpy(), order), atol=1e-12
        )


@pytest.mark.parametrize("order", ORDERS)
def test_uniform_knots_and_single_row(order):
    knots = (torch.arange(5 + 2 * order + 1, dtype=torch.float64) - order) * 0.4 - 1
    x = torch.linspace(-4, 4, 60, dtype=torch.float64).view(3, 4, 5)
    expected = scipy_basis(x.numpy().ravel(), knots.numpy(), order).reshape(3, 4, 5, 5 + order)
    np.testing.assert_allclose(bspline_basis(x, knots, order), expected, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_repeated_knots(order):
    knots = torch.tensor([0.0] * (order + 1) + [0.3, 0.5, 0.5] + [1.0] * (order + 1), dtype=torch.float64)
    x = torch.cat([torch.linspace(-0.2, 1.2, 29, dtype=torch.float64), knots])
    np.testing.assert_allclose(
        bspline_basis(x, knots, order), scipy_basis(x.numpy(), knots.numpy(), order), atol=1e-12
    )


def test_partition_of_unity_inside_and_zero_outside():
    knots = (torch.arange(12, dtype=torch.float64) - 3) * 0.4 - 1
    inside = bspline_basis(torch.linspace(-1, 1 - 1e-9, 101, dtype=torch.float64), knots, 3)
    torch.testing.assert_close(inside.sum(-1), torch.ones(101, dtype=torch.float64))
    assert (inside >= 0).all()
    outside = torch.tensor(
        [-1e30, -5.0, -2.2001, 2.2001, 7.0, float("inf"), -float("inf")], dtype=torch.float64
    )
    assert (bspline_basis(outside, knots, 3) == 0).all()
    assert bspline_basis(torch.tensor([float("nan")]), knots, 3).isnan().all()


@pytest.mark.parametrize("order", [2, 3, 5])
def test_float32_is_as_exact_as_cox_de_boor(order):
    knots = random_knots(6, 5 + 2 * order + 1, 3, torch.float32)
    x = points_for(knots, 4)
    exact = cox_de_boor(x.double(), knots.double(), order)
    usual = (cox_de_boor(x, knots, order) - exact).abs().max()
    assert (bspline_basis(x, knots, order) - exact).abs().max() <= max(usual, 4e-7)
    planes = BasisPlanes(knots, order, 1, len(x)).fill(x.t().unsqueeze(0))[0, 1:].permute(2, 1, 0)
    assert (planes - exact).abs().max() <= max(usual, 4e-7)


@pytest.mark.parametrize("order", ORDERS)
def test_gradcheck(order):
    knots = random_knots(2, 3 + 2 * order + 1, 5)
    x = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(6)) * 3 - 2
    assert torch.autograd.gradcheck(lambda x: bspline_basis(x, knots, order), x.requires_grad_())


def test_half_precision_is_computed_in_float32():
    knots = random_knots(3, 12, 1, torch.float32)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).bfloat16()
    ours = bspline_basis(x, knots, 3)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, bspline_basis(x.float(), knots, 3))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("samples", [1, 2])
def test_planes_equal_the_plain_function_and_its_gradient(order, samples):
    knots = random_knots(3, 4 + 2 * order + 1, 7)
    x = torch.rand(samples, 3, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(8)) * 5 - 3
    x[0, :, 0] = float("inf")
    last = x.transpose(1, 2).clone().requires_grad_()
    silu, basis = torch.nn.functional.silu(last).unsqueeze(-1), bspline_basis(last, knots, order)
    expected = torch.cat([silu, basis], dim=-1)  # (n, r, C, planes)
    planes = BasisPlanes(knots, order, samples, 17)
    for _ in range(2):  # the second time in used memory
        values = planes.fill(x)
        torch.testing.assert_close(values.permute(0, 3, 2, 1), expected.detach(), atol=1e-14, rtol=1e-12)
        grad = torch.randn(values.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
        (wanted,) = torch.autograd.grad(expected, last, grad.permute(0, 3, 2, 1), retain_graph=True)
        ours = planes.backward(grad).transpose(1, 2)
        torch.testing.assert_close(ours[:, 1:], wanted[:, 1:], atol=1e-12, rtol=1e-11)


@pytest.mark.parametrize("order", [0, 6, -1])
def test_refuses_other_orders(order):
    with pytest.raises(ModelError, match="order"):
        bspline_basis(torch.zeros(3), torch.arange(20.0), order)


@pytest.mark.parametrize(
    ("x_shape", "knots_shape"), [((4, 3), (2, 12)), ((), (2, 12)), ((4,), (4,)), ((2,), (1, 2, 12))]
)
def test_refuses_shapes_that_do_not_fit(x_shape, knots_shape):
    with pytest.raises(ModelError, match=r"knots|channels"):
        bspline_basis(torch.zeros(x_shape), torch.zeros(knots_shape), 3)
