"""KAN layers and inputs that several test files need."""

import pytest
import torch
from torch import nn

from hsi.models.kanet import KANConv3d


def _spread_knots(layer, seed=0):
    """Give each channel knots of its own, far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.rand(layer.grid.shape, generator=generator, dtype=torch.float64).pow(2) + 0.05
    layer.grid.copy_((steps.cumsum(1) - 0.5 * steps.sum(1, keepdim=True)).to(layer.grid))
    return layer


@pytest.fixture(scope="session")
def make_layer():
    """``make_layer(in, out, ..., seed=0, dtype=float64, **options)`` -> large splines on uneven knots."""

    def make(*sizes, seed=0, dtype=torch.float64, **options):
        torch.manual_seed(seed)
        layer = _spread_knots(KANConv3d(*sizes, noise=5.0, **options).to(dtype), seed)
        nn.init.normal_(layer.spline_scaler)
        return layer

    return make


@pytest.fixture(scope="session")
def batch():
    """``batch(*shape, seed=1, dtype=float64)`` -> normal numbers, the same each time."""

    def make(*shape, seed=1, dtype=torch.float64):
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)

    return make


@pytest.fixture(scope="session")
def gradients(batch):
    """``gradients(layer, x, run=None)`` -> output, gradient of x, gradients of the parameters."""

    def compute(layer, x, run=None):
        x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        layer.zero_grad()
        y = (run or layer)(x)
        y.backward(batch(*y.shape, seed=7).to(y.dtype))
        return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]

    return compute
