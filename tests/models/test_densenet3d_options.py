"""The backbone as it is built: published counts, names, first weights, own blocks, bad options."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from hsi.errors import ModelError
from hsi.models import densenet3d as module
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D, PointwiseMixer, low_pass


@pytest.mark.parametrize(("classes", "count"), [(16, 1_795_088), (9, 1_789_481), (13, 1_792_685)])
def test_parameters_of_the_large_variant(classes: int, count: int) -> None:
    model = DenseNet3D(200, classes, 11, layers=(14, 14, 14))
    assert sum(p.numel() for p in model.parameters()) == count


def test_names_of_parameters_are_fixed() -> None:
    model = DenseNet3D(8, 2, 7, layers=(1,), growth=(4,))
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == {
        "stem.weight": (8, 1, 3, 3, 3),
        "blocks.0.0.mixer.0.weight": (8,),
        "blocks.0.0.mixer.0.bias": (8,),
        "blocks.0.0.mixer.2.weight": (16, 8, 1, 1, 1),
        "blocks.0.0.norm.weight": (16,),
        "blocks.0.0.norm.bias": (16,),
        "blocks.0.0.conv.weight": (4, 4, 3, 3, 3),
        "norm.weight": (12,),
        "norm.bias": (12,),
        "head.weight": (2, 12),
        "head.bias": (2,),
    }


def test_initialisation_leaves_out_the_third_dimension() -> None:
    torch.manual_seed(0)
    model = DenseNet3D(8, 2, 7)
    for part in model.modules():
        if isinstance(part, nn.Conv3d):
            expected = math.sqrt(2 / (part.kernel_size[0] * part.kernel_size[1] * part.out_channels))
            assert abs(float(part.weight.detach().std()) / expected - 1) < 5 / math.sqrt(
                2 * part.weight.numel()
            )
    assert not model.head.bias.any()
    torch.manual_seed(0)
    other = DenseNet3D(8, 2, 7, init="kaiming").stem.weight.detach()
    assert abs(float(other.std()) / math.sqrt(2 / (27 * 16)) - 1) < 0.25


@pytest.mark.parametrize(
    "bad",
    [
        lambda i, o: nn.Conv3d(i, o + 1, 1),
        lambda i, o: nn.Conv3d(i, o, 3),
        lambda i, o: nn.Conv3d(i, o, 1, stride=(2, 1, 1)),
        lambda i, o: nn.Flatten(),
    ],
)
def test_bad_mixer_is_named(bad: module.Mixer) -> None:
    model = DenseNet3D(16, 2, 9, mixer=bad)
    with pytest.raises(ModelError, match="A mixer must keep N, D, H, W and return out_channels channels"):
        model(torch.zeros(2, 16, 9, 9))


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((8, 2, 8), {}, "odd number of pixels"),
        ((8, 2, 5), {}, "at least 7 pixels"),
        ((7, 2, 7), {}, "at least 8 bands"),
        ((8, 1, 7), {}, "at least 2 classes"),
        ((8, 2, 7), {"growth": (8, 16)}, "one positive number for each dense block"),
        ((8, 2, 7), {"layers": (), "growth": ()}, "one positive number for each dense block"),
        ((8, 2, 7), {"layers": (0, 1, 1)}, "one positive number for each dense block"),
        ((8, 2, 7), {"growth": (8, 16, 30)}, "multiple of 4"),
        ((8, 2, 7), {"mixer": (PointwiseMixer,) * 2}, "give one mixer or 3; got 2"),
        ((8, 2, 7), {"init": "xavier"}, "'released' or 'kaiming', not 'xavier'"),
        ((8, 2, 7), {"downsampling": "max"}, "'released' or 'antialiased', not 'max'"),
    ],
)
def test_bad_sizes_and_options(sizes: tuple[int, int, int], options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        DenseNet3D(*sizes, **options)  # type: ignore[arg-type]


def test_a_low_pass_removes_what_alternates_from_pixel_to_pixel() -> None:
    row, col = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    for pattern in ((-1) ** row, (-1) ** col, (-1) ** (row + col)):
        assert low_pass(pattern.expand(1, 2, 9, 9))[..., 2:-2, 2:-2].abs().max() < 1e-6
    torch.testing.assert_close(low_pass(torch.ones(1, 2, 9, 9))[..., 2:-2, 2:-2], torch.ones(1, 2, 7, 7))


@pytest.mark.parametrize("patch", [7, 9, 11, 17])
def test_antialiased_downsampling_lets_neighbouring_pixels_count_alike(patch: int) -> None:
    """By the mean |gradient| of random networks, added up over rows."""

    def unevenness(downsampling: str) -> float:
        torch.manual_seed(0)
        share = torch.zeros(patch)
        for _ in range(8):
            model = DenseNet3D(8, 2, patch, layers=(1, 1, 1), downsampling=downsampling).eval()
            x = torch.randn(16, 8, patch, patch, requires_grad=True)
            (gradient,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
            share += gradient.abs().sum((0, 1, 2))
        middle = share[1:-1] / (share[:-2] + share[2:]) * 2  # of a pixel to the mean of its neighbours
        return float(middle[1:-1].max() / middle[1:-1].min())

    assert unevenness("released") > 1.6
    assert unevenness("antialiased") < 1.3


def test_both_downsamplings_have_the_same_parameters() -> None:
    torch.manual_seed(0)
    released, other = (DenseNet3D(20, 3, 9, downsampling=name) for name in module.DOWNSAMPLINGS)
    other.load_state_dict(released.state_dict())
    x = torch.randn(2, 20, 9, 9)
    assert not torch.allclose(released.eval()(x), other.eval()(x))


@pytest.mark.parametrize("init", ["released", "kaiming"])
def test_self_initialised_modules_keep_their_start(init: str) -> None:
    class Own(nn.Module):
        self_initialised = True

        def __init__(self, channels: int, width: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv3d(channels, width, 1))
            nn.init.constant_(self.inner[0].weight, 7.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)  # type: ignore[no-any-return]

    model = DenseNet3D(8, 2, 7, mixer=Own, layers=(2,), growth=(4,), init=init)
    for name, parameter in model.named_parameters():
        if "conv" in name or "inner.0.weight" in name:
            assert bool((parameter == 7).all()) == ("inner" in name), name


def test_defaults_are_the_released_ones() -> None:
    assert not DenseNet3D(8, 2, 7).antialiased
    assert LAYERS == (4, 6, 8)
    assert GROWTH == (8, 16, 32)


def test_partial_builds_a_block() -> None:
    """A block's options reach its mixers through functools.partial, as the five networks do it."""

    def mixer(in_channels: int, out_channels: int, *, bias: bool) -> nn.Module:
        return nn.Conv3d(in_channels, out_channels, 1, bias=bias)

    model = DenseNet3D(8, 2, 7, mixer=partial(mixer, bias=True), layers=(1,), growth=(4,))
    assert model(torch.zeros(2, 8, 7, 7)).shape == (2, 2)
