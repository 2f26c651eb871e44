import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from hsi.models.bspline import bspline_basis
from hsi.models.knots import adaptive_knots, refit


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
