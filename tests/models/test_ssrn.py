"""SSRN: parameters by hand, the paper's shapes, the residual blocks written out."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models import SSRN
from hsi.models.ssrn import ResidualBlock


def by_hand(bands: int, classes: int) -> int:
    """Convolutions and linear layer with biases, and two numbers a channel for each batch norm."""
    depth = (bands - 7) // 2 + 1
    convolutions = (
        (7 * 1 + 1) * 24
        + 4 * (7 * 24 + 1) * 24
        + (depth * 24 + 1) * 128
        + (3 * 3 * 128 + 1) * 24
        + 4 * (3 * 3 * 24 + 1) * 24
    )
    norms = 2 * (5 * 24 + 128 + 5 * 24)
    return convolutions + norms + (24 + 1) * classes


def test_parameter_count_of_the_paper() -> None:
    assert by_hand(200, 16) == 364_168
    for patch in (7, 9):
        assert sum(p.numel() for p in SSRN(200, 16, patch).parameters()) == 364_168


@pytest.mark.parametrize(("bands", "classes"), [(7, 2), (8, 5), (103, 9), (176, 13)])
def test_parameter_counts(bands: int, classes: int) -> None:
    assert sum(p.numel() for p in SSRN(bands, classes, 7).parameters()) == by_hand(bands, classes)


def test_shapes_of_the_paper() -> None:
    network = SSRN(200, 16, 7).eval()
    shapes: list[tuple[int, ...]] = []
    parts = [module for module in network.spectral if not isinstance(module, nn.BatchNorm3d | nn.ReLU)]
    parts += [module for module in network.spatial if not isinstance(module, nn.BatchNorm2d | nn.ReLU)]
    for module in [*parts, network.head]:
        module.register_forward_hook(lambda module, given, made: shapes.append(tuple(made.shape[1:])))
    with torch.no_grad():
        network(torch.randn(1, 200, 7, 7))
    assert shapes == [
        (24, 97, 7, 7), (24, 97, 7, 7), (24, 97, 7, 7), (128, 1, 7, 7),
        (24, 5, 5), (24, 5, 5), (24, 5, 5), (16,),
    ]  # fmt: skip


def normalised(x: Tensor, norm: nn.BatchNorm2d | nn.BatchNorm3d) -> Tensor:
    """Batch normalisation by the batch's own mean and variance, channel by channel, then ReLU."""
    channels = []
    for c in range(x.shape[1]):
        values = x[:, c]
        scaled = (values - values.mean()) / (values.var(unbiased=False) + norm.eps).sqrt()
        channels.append(scaled * norm.weight[c] + norm.bias[c])
    return torch.stack(channels, dim=1).clamp(min=0)


@pytest.mark.parametrize("spectral", [True, False])
def test_residual_block_written_out(spectral: bool) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, spectral=spectral).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(3, 4, 9, 3, 3) if spectral else torch.randn(3, 4, 5, 5)
    x = x.double()
    given = x.clone()
    norm1, _, conv1, norm2, _, conv2 = block
    y = x
    for norm, conv in ((norm1, conv1), (norm2, conv2)):
        y = normalised(y, norm)
        if spectral:  # pixel by pixel, each a sequence of bands
            columns = [
                F.conv1d(y[..., i, j], conv.weight[..., 0, 0], conv.bias, padding=3)
                for i in range(3)
                for j in range(3)
            ]
            y = torch.stack(columns, dim=-1).unflatten(-1, (3, 3))
        else:
            y = F.conv2d(F.pad(y, (1, 1, 1, 1)), conv.weight, conv.bias)
    result = block(x)
    assert result.shape == x.shape
    torch.testing.assert_close(result, x + y)
    assert torch.equal(x, given), "the shortcut must see the input as it was"


def test_blocks_whose_convolutions_are_zero_pass_their_input() -> None:
    block = ResidualBlock(3, spectral=True)
    for conv in (block[2], block[5]):
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
    x = torch.randn(2, 3, 8, 2, 2)
    assert torch.equal(block(x), x)


def test_spectral_part_keeps_pixels_apart() -> None:
    torch.manual_seed(0)
    network = SSRN(20, 3, 5).eval()
    x = torch.randn(1, 20, 5, 5, requires_grad=True)
    features = network.spectral(x[:, None]).squeeze(2)
    (grad,) = torch.autograd.grad(features[0, :, 1, 3].sum(), x)
    reached = grad[0].abs().sum(0) > 0
    assert reached[1, 3]
    assert int(reached.sum()) == 1


def test_spatial_kernels_are_as_deep_as_the_features() -> None:
    """A 3 x 3 x 128 kernel over one channel of depth 128, as the paper has it, is our 2D convolution."""
    torch.manual_seed(0)
    conv = next(module for module in SSRN(20, 3, 7).spatial if isinstance(module, nn.Conv2d))
    x = torch.randn(2, 128, 7, 7)
    deep = F.conv3d(x[:, None], conv.weight[:, None], conv.bias).squeeze(2)
    torch.testing.assert_close(conv(x), deep, atol=1e-4, rtol=1e-4)
