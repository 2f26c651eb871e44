from __future__ import annotations

import math

import numpy as np
import torch

from hsi.models.context_mapper import ContextMapper, PointwiseLinear


def test_a_pointwise_linear_is_a_linear_layer():
    layer = PointwiseLinear(5, 3)
    x = torch.randn(4, 5)
    wanted = x.double().numpy() @ layer.weight.detach().double().numpy().reshape(3, 5).T
    np.testing.assert_allclose(layer(x).detach(), wanted, atol=1e-6)  # the bias starts at zero
    np.testing.assert_allclose(layer(x).detach(), layer.double()(x.double()).detach(), atol=1e-6)
    assert layer.weight.shape == (3, 5, 1, 1, 1)


def test_the_mapper_is_a_residual_block_and_a_linear_layer():
    torch.manual_seed(0)
    mapper = ContextMapper(4, 3).eval()
    with torch.no_grad():
        for tensor in mapper.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor))
    p = {name: value.double().numpy() for name, value in mapper.state_dict().items()}

    def norm(v, i):
        mean, variance = p[f"norm{i}.running_mean"], p[f"norm{i}.running_var"]
        return (v - mean) / np.sqrt(variance + 1e-5) * p[f"norm{i}.weight"] + p[f"norm{i}.bias"]

    def gelu(v):
        return v * (1 + np.array([math.erf(a / math.sqrt(2)) for a in v])) / 2

    def linear(v, i):
        return p[f"linear{i}.weight"].reshape(-1, 4) @ v + p[f"linear{i}.bias"]

    g = torch.randn(2, 4)
    for one, found in zip(g.double().numpy(), mapper(g).detach(), strict=True):
        h = linear(gelu(norm(linear(gelu(norm(one, 1)), 1), 2)), 2)
        np.testing.assert_allclose(found, linear(norm(h + one, 3), 3), rtol=1e-5)
