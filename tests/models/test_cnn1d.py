"""1D-CNN: sizes by the paper's formulas, the network written out, and blindness to all but the centre."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.models import CNN1D, build_model


def test_parameter_count_of_the_paper() -> None:
    """Indian Pines there: 220 bands, 20 kernels of 24, 40 pooled positions, 100 hidden units, 8 classes."""
    by_hand = 20 * (24 + 1) + 100 * (20 * 40 + 1) + 8 * (100 + 1)
    assert by_hand == 81_408
    assert sum(p.numel() for p in CNN1D(220, 8, 1).parameters()) == by_hand


@pytest.mark.parametrize(
    ("bands", "kernel", "window", "positions"),
    [(220, 24, 5, 40), (224, 25, 5, 40), (103, 11, 3, 31), (30, 3, 1, 28), (8, 1, 1, 8), (1, 1, 1, 1)],
)
def test_layer_sizes(bands: int, kernel: int, window: int, positions: int) -> None:
    network = CNN1D(bands, 5, 7)
    assert network.conv.kernel_size == (kernel,)
    assert network.pool.kernel_size == window
    assert network.hidden.in_features == 20 * positions


@given(bands=st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_never_more_than_forty_positions(bands: int) -> None:
    network = CNN1D(bands, 2, 1)
    positions = network.hidden.in_features // 20
    assert positions <= 40
    assert network.pool(torch.zeros(1, 20, bands - network.conv.kernel_size[0] + 1)).shape[-1] == positions


def test_only_the_centre_pixel_matters() -> None:
    torch.manual_seed(0)
    network = CNN1D(30, 4, 9)
    x = torch.randn(3, 30, 9, 9, requires_grad=True)
    network(x).square().sum().backward()
    assert x.grad is not None
    reached = x.grad.abs().sum(dim=(0, 1)) > 0
    centre = torch.zeros(9, 9, dtype=torch.bool)
    centre[4, 4] = True
    assert torch.equal(reached, centre)
    other = torch.randn(3, 30, 9, 9)
    other[:, :, 4, 4] = x.detach()[:, :, 4, 4]
    assert torch.equal(network(other), network(x))


def test_the_network_written_out() -> None:
    """Each layer as sums over numbers, pooling after tanh as the paper has it."""
    torch.manual_seed(1)
    network = CNN1D(103, 3, 5).double()
    x = torch.randn(2, 103, 5, 5, dtype=torch.float64)
    weights = {key: value.detach().numpy() for key, value in network.named_parameters()}
    for sample, logits in zip(x.numpy(), network(x).detach().numpy(), strict=True):
        spectrum = sample[:, 2, 2]
        maps = np.empty((20, 93))
        for k in range(20):
            for i in range(93):
                kernel = weights["conv.weight"][k, 0]
                maps[k, i] = math.tanh(spectrum[i : i + 11] @ kernel + weights["conv.bias"][k])
        pooled = np.array([[row[i : i + 3].max() for i in range(0, 93, 3)] for row in maps])
        hidden = np.tanh(weights["hidden.weight"] @ pooled.ravel() + weights["hidden.bias"])
        np.testing.assert_allclose(logits, weights["head.weight"] @ hidden + weights["head.bias"])


def test_initial_parameters_are_uniform_within_a_twentieth() -> None:
    torch.manual_seed(0)
    network = build_model("cnn1d", bands=220, classes=8, patch=7)
    for parameter in network.parameters():
        assert parameter.abs().max() <= 0.05
    largest = torch.cat([p.flatten() for p in network.parameters()])
    assert largest.std().item() == pytest.approx(0.05 / math.sqrt(3), rel=0.02)
