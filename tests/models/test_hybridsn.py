"""HybridSN: the published parameter count, the shapes of table I, zero padding, dropout."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models import HybridSN


def count(bands: int, classes: int, patch: int) -> int:
    return sum(p.numel() for p in HybridSN(bands, classes, patch).parameters())


def by_hand(bands: int, classes: int, patch: int) -> int:
    """Weights and biases, layer by layer."""
    bands_left, pixels_left = bands - 6 - 4 - 2, (patch - 8) ** 2
    return (
        (7 * 3 * 3 * 1 + 1) * 8
        + (5 * 3 * 3 * 8 + 1) * 16
        + (3 * 3 * 3 * 16 + 1) * 32
        + (3 * 3 * 32 * bands_left + 1) * 64
        + (pixels_left * 64 + 1) * 256
        + (256 + 1) * 128
        + (128 + 1) * classes
    )


def test_published_parameter_count() -> None:
    published = 5_122_176  # for 30 components, 25 x 25 pixels, 16 classes
    assert by_hand(30, 16, 25) == published
    assert count(30, 16, 25) == published


@pytest.mark.parametrize("sizes", [(13, 2, 9), (15, 9, 25), (200, 16, 11)])
def test_parameter_counts(sizes: tuple[int, int, int]) -> None:
    assert count(*sizes) == by_hand(*sizes)


@pytest.mark.parametrize(("bands", "patch"), [(8, 7), (12, 9), (13, 7), (1, 1), (9, 11)])
def test_padded_input_has_the_minimum_size(bands: int, patch: int) -> None:
    assert count(bands, 4, patch) == by_hand(max(bands, 13), 4, max(patch, 9))


def test_shapes_of_table_one() -> None:
    network = HybridSN(30, 16, 25).eval()
    shapes: list[tuple[int, ...]] = []
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda module, given, made: shapes.append(tuple(made.shape[1:])))
    with torch.no_grad():
        network(torch.randn(1, 30, 25, 25))
    assert shapes == [
        (8, 24, 23, 23), (16, 20, 21, 21), (32, 18, 19, 19), (64, 17, 17), (256,), (128,), (16,),
    ]  # fmt: skip


@pytest.mark.parametrize(("bands", "patch", "before", "around"), [(8, 7, 2, 1), (12, 9, 0, 0), (13, 1, 0, 4)])
def test_small_inputs_are_padded_with_zeros(bands: int, patch: int, before: int, around: int) -> None:
    torch.manual_seed(0)
    small, large = HybridSN(bands, 3, patch).eval(), HybridSN(13, 3, 9).eval()
    large.load_state_dict(small.state_dict())
    x = torch.randn(2, bands, patch, patch)
    padded = torch.zeros(2, 13, 9, 9)
    padded[:, before : before + bands, around : around + patch, around : around + patch] = x
    with torch.no_grad():
        torch.testing.assert_close(small(x), large(padded))


def test_the_network_written_out() -> None:
    """The layers of table I one after the other, channels and bands joined between the third and fourth."""
    torch.manual_seed(0)
    network = HybridSN(15, 5, 11).double().eval()
    x = torch.randn(2, 15, 11, 11, dtype=torch.float64)
    w: list[Tensor] = list(network.parameters())
    y = x[:, None]
    for i in (0, 2, 4):
        y = F.conv3d(y, w[i], w[i + 1]).clamp(min=0)
    n, channels, depth, height, width = y.shape
    concat = torch.stack([y[:, c, d] for c in range(channels) for d in range(depth)], dim=1)
    assert concat.shape == (n, channels * depth, height, width)
    y = F.conv2d(concat, w[6], w[7]).clamp(min=0).reshape(n, -1)
    y = (y @ w[8].T + w[9]).clamp(min=0)
    y = (y @ w[10].T + w[11]).clamp(min=0)
    torch.testing.assert_close(network(x), y @ w[12].T + w[13])


def test_dropout_of_two_fifths_after_both_hidden_layers() -> None:
    torch.manual_seed(0)
    network = HybridSN(13, 3, 9)
    seen: list[Tensor] = []
    for module in network.hidden:
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(lambda module, given, made: seen.append(made == 0))
    first = nn.Sequential(*network.hidden[:2])
    network.hidden[0].bias.data.fill_(100.0)  # so that only dropout makes zeros
    network.hidden[3].bias.data.fill_(10_000.0)
    network(torch.randn(200, 13, 9, 9))
    assert len(seen) == 2
    for zeros in seen:
        assert zeros.double().mean().item() == pytest.approx(0.4, abs=0.02)
    assert (first(torch.randn(4, 64)) > 0).all()
