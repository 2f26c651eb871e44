"""Multiply-accumulates against sums by hand and published figures; initialisation; refused sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hsi.errors import ModelError
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D
from hsi.models.kernels.attention import attend
from hsi.models.registry import check_sizes, cost_of, count_macs, init_weights


def by_hand(bands: int, patch: int, classes: int) -> int:
    """Stem; 4 k C (1x1x1) and 27 k^2 (3x3x3) at each position of each layer; head."""
    size = [(bands + 1) // 2, (patch + 1) // 2, (patch + 1) // 2]
    channels = 2 * GROWTH[0]
    total = 27 * channels * size[0] * size[1] * size[2]
    for block, (count, k) in enumerate(zip(LAYERS, GROWTH, strict=True)):
        if block:
            size = [n // 2 for n in size]
        for _ in range(count):
            total += (4 * k * channels + 27 * k * k) * size[0] * size[1] * size[2]
            channels += k
    return total + channels * classes


@pytest.mark.parametrize(
    ("bands", "patch", "classes", "millions"),
    [(200, 11, 16, 85.3), (200, 7, 16, 44.6), (103, 17, 9, 102.5), (176, 17, 13, 173.4)],
)
def test_plain_network(bands: int, patch: int, classes: int, millions: float) -> None:
    model = DenseNet3D(bands, classes, patch)
    macs = count_macs(model, bands, patch)
    assert macs == by_hand(bands, patch, classes)
    assert round(macs / 1e6, 1) == millions


def test_model_is_left_as_it_is() -> None:
    model = DenseNet3D(8, 2, 7, layers=(1,), growth=(4,)).double().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count_macs(model, 8, 7)
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        return torch.mm(x, weight.t())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        raise NotImplementedError


class _Hidden(nn.Module):
    """Maps patches to logits with a matrix product inside a function of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 8 * 49))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _Double.apply(x.flatten(1), self.weight)  # type: ignore[no-untyped-call]
        return out


def test_products_inside_custom_functions_count() -> None:
    assert count_macs(_Hidden(), 8, 7) == 3 * 8 * 49


def test_a_model_without_parameters_has_no_cost() -> None:
    assert cost_of(nn.Flatten(), 8, 7) == {"params": None, "macs": None}
    model = nn.Sequential(nn.Flatten(), nn.Linear(8 * 49, 3))
    assert cost_of(model, 8, 7) == {"params": 8 * 49 * 3 + 3, "macs": 8 * 49 * 3}


class _Attention(nn.Module):
    """Attention along the columns of a patch, its bands as queries, keys and values of 4 channels."""

    def forward(self, x: Tensor) -> Tensor:
        return attend(x.permute(0, 2, 3, 1), heads=2, axis=2)


def test_attention_counts_its_two_products() -> None:
    lines, length, width = 9, 9, 4
    assert count_macs(_Attention(), 3 * width, 9) == 2 * lines * length**2 * width


def test_weights_are_drawn_biases_zero_and_norms_kept():
    network = nn.Sequential(
        nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.Conv2d(2, 3, 1, bias=False), nn.Linear(3, 4)
    )
    norm = [parameter.clone() for parameter in network[1].parameters()]
    init_weights(network, lambda weight: nn.init.constant_(weight, 7.0))
    for layer in (network[0], network[2], network[3]):
        assert (layer.weight == 7).all()
        assert layer.bias is None or (layer.bias == 0).all()
    for before, after in zip(norm, network[1].parameters(), strict=True):
        torch.testing.assert_close(after, before)


def test_what_fits_is_let_through() -> None:
    check_sizes(1, 2, 1)
    check_sizes(7, 2, 3, min_bands=7, min_patch=3)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ((7, 2, 4), "The patch width must be an odd number of pixels, 1 or more; got 4."),
        ((7, 2, -1), "The patch width must be an odd number of pixels, 1 or more; got -1."),
        ((7, 2, 1), "The patch width must be at least 3 pixels, to be halved; got 1."),
        ((6, 2, 3), "This model needs at least 7 bands; got 6."),
        ((7, 1, 3), "A classifier needs at least 2 classes; got 1."),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(sizes: tuple[int, int, int], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        check_sizes(*sizes, min_bands=7, min_patch=3, patch_reason="to be halved")
    assert str(caught.value) == sentence
