import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from hsi.errors import ModelError
from hsi.models.bspline import BasisPlanes, adaptive_knots, bspline_basis, refit

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
        (expected_grad,) = torch.autograd.grad(expected, last, grad.permute(0, 3, 2, 1), retain_graph=True)
        ours = planes.backward(grad).transpose(1, 2)
        torch.testing.assert_close(ours[:, 1:], expected_grad[:, 1:], atol=1e-12, rtol=1e-11)


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


def uniform(channels, order, low=-1.0, high=1.0, intervals=5):
    step = (high - low) / intervals
    return (low + step * torch.arange(-order, intervals + order + 1, dtype=torch.float64)).repeat(channels, 1)


def rows_of(kind, n=500, channels=3):
    g = torch.Generator().manual_seed(11)
    noise = torch.randn(n, channels, generator=g, dtype=torch.float64)
    return {
        "normal": noise * 0.5,
        "tiny": noise * 1e-12,
        "constant": torch.full((n, channels), 0.3, dtype=torch.float64),
        "zero": torch.zeros(n, channels, dtype=torch.float64),
        "large": noise * 1e4 + 3e5,
        "far constant": torch.full((n, channels), -7e6, dtype=torch.float64),
        "two values": (noise > 0).double(),
        "one row": noise[:1],
    }[kind]


KINDS = ["normal", "tiny", "constant", "zero", "large", "far constant", "two values", "one row"]


def test_knots_follow_the_published_rule():
    rows = rows_of("normal")
    ours = adaptive_knots(rows, 5, 3)
    for c in range(3):
        values = np.sort(rows[:, c].numpy())
        adaptive = values[np.linspace(0, len(values) - 1, 6).astype(int)]
        step = (values[-1] - values[0] + 0.02) / 5
        inner = 0.02 * (values[0] - 0.01 + step * np.arange(6)) + 0.98 * adaptive
        expected = [*(inner[0] - step * np.arange(3, 0, -1)), *inner, *(inner[-1] + step * np.arange(1, 4))]
        np.testing.assert_allclose(ours[c], expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [1, 3, 5])
def test_knots_increase_in_float32_and_refit_is_finite(kind, order):
    rows = rows_of(kind)
    knots = adaptive_knots(rows, 5, order).float()
    assert (knots[:, 1:] > knots[:, :-1]).all()
    matrix = refit(rows, uniform(3, order), knots.double(), order)
    assert matrix.shape == (3, 5 + order, 5 + order)
    assert torch.isfinite(matrix).all()
    back = refit(rows, knots.double(), uniform(3, order), order)
    assert torch.isfinite(back).all()
    assert back.abs().max() < 1e3


def test_same_knots_keep_the_function():
    rows, knots = rows_of("normal"), uniform(3, 3)
    coefficients = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    new = torch.einsum("cij,cj->ci", refit(rows, knots, knots, 3), coefficients)
    basis = bspline_basis(rows, knots, 3)
    before, after = ((basis * c).sum(-1) for c in (coefficients, new))
    assert (after - before).abs().max() < 1e-9 * before.abs().max()


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_keeps_what_the_new_knots_can_express(order):
    rows = rows_of("normal").clamp(-0.95, 0.95)
    old = uniform(3, order)
    # Coefficients of a polynomial, by interpolation: every knot vector can express it.
    places = torch.linspace(-1, 1 - 1e-9, 5 + order, dtype=torch.float64)
    values = places**order - 0.5 * places + 0.25
    coefficients = torch.linalg.solve(bspline_basis(places, old[0], order), values).repeat(3, 1)
    new = adaptive_knots(rows, 5, order)
    fitted = torch.einsum("cij,cj->ci", refit(rows, old, new, order), coefficients)
    before = (bspline_basis(rows, old, order) * coefficients).sum(-1)
    after = (bspline_basis(rows, new, order) * fitted).sum(-1)
    inside = (rows >= new[:, order]) & (rows < new[:, -order - 1])
    assert inside.float().mean() > 0.9
    assert ((after - before).abs()[inside]).max() < 1e-5 * before.abs().max()


def test_is_the_least_squares_fit_elsewhere():
    rows, old = rows_of("normal").clamp(-0.95, 0.95), uniform(3, 3)
    coefficients = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    new = adaptive_knots(rows, 5, 3)
    fitted = torch.einsum("cij,cj->ci", refit(rows, old, new, 3), coefficients)
    for c in range(3):
        x = rows[:, c].numpy()
        spline = BSpline(old[c].numpy(), coefficients[c].numpy(), 3)
        design = bspline_basis(rows[:, c], new[c], 3).numpy()
        best = design @ np.linalg.lstsq(design, spline(x), rcond=None)[0]
        np.testing.assert_allclose(design @ fitted[c].numpy(), best, atol=1e-6)


def test_unseen_coefficients_keep_the_shape():
    """All data at one point: the curve elsewhere stays near the old one, where a plain ridge would give 0."""
    rows, knots = torch.full((50, 1), 0.1, dtype=torch.float64), uniform(1, 3)
    wide = uniform(1, 3, -1.1, 1.1)
    coefficients = 1.0 + 0.1 * torch.arange(8, dtype=torch.float64)
    fitted = refit(rows, knots, wide, 3)[0] @ coefficients
    x = torch.linspace(-0.6, 0.6, 20, dtype=torch.float64)
    before, after = bspline_basis(x, knots[0], 3) @ coefficients, bspline_basis(x, wide[0], 3) @ fitted
    assert (after - before).abs().max() < 0.05
    at = torch.tensor([0.1], dtype=torch.float64)
    torch.testing.assert_close(
        bspline_basis(at, wide[0], 3) @ fitted, bspline_basis(at, knots[0], 3) @ coefficients
    )


def test_many_channels_are_fitted_as_one_by_one():
    g = torch.Generator().manual_seed(3)
    rows = torch.randn(40, 70, generator=g, dtype=torch.float64)
    old, new = uniform(70, 3), adaptive_knots(rows, 5, 3)
    alone = torch.cat([refit(rows[:, c : c + 1], old[c : c + 1], new[c : c + 1], 3) for c in range(70)])
    torch.testing.assert_close(refit(rows, old, new, 3), alone, rtol=1e-6, atol=1e-6)
