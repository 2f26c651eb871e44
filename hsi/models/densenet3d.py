"""The 3D-DenseNet backbone of all five networks, with a slot (the mixer) for their blocks.

Source: the author's released networks (KANet, EKGNet and four siblings), which differ in the first
convolution of each dense layer. Layout, growth, grouping and initialisation follow that code; it reads as
CondenseNet's layout (exponential growth, full density; Huang et al., CVPR 2018) in three dimensions.

Axes are N C D H W; D is spectral. On a CPU the modules run as fused operators where the result is the same
(see `hsi.models.kernels.dispatch`): BN - ReLU - grouped convolution in every layer, and whole blocks of the
plain network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.device import lay_out
from hsi.models.kernels.dense_block import LayerModules, dense_block, halve
from hsi.models.kernels.dispatch import has_hooks, is_conv, is_norm, is_relu, runs_fused
from hsi.models.kernels.norm_conv import norm_relu_conv
from hsi.models.protocols import SelfInitialised
from hsi.models.registry import check_sizes, register_model

Mixer = Callable[[int, int], nn.Module]
"""``(in_channels, out_channels)`` -> a module from ``(N, in, D, H, W)`` to ``(N, out, D, H, W)``."""

LAYERS = (4, 6, 8)
GROWTH = (8, 16, 32)
MAX_CHANNELS, MAX_GROWTH = 2048, 256  # five and eight times those of the papers
BOTTLENECK = 4
GROUPS = 4

DOWNSAMPLINGS = ("released", "antialiased")


class PointwiseMixer(nn.Sequential):
    """BN - ReLU - 1x1x1 convolution: the mixer of the plain network."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.BatchNorm3d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv3d(in_channels, out_channels, kernel_size=1, bias=False),
        )


class DenseLayer(nn.Module):
    """``x -> concat([x, conv3x3x3(relu(bn(mixer(x))))])``: C channels in, C + growth out."""

    def __init__(self, in_channels: int, growth: int, mixer: Mixer) -> None:
        super().__init__()
        self.width = width = BOTTLENECK * growth
        self.mixer = mixer(in_channels, width)
        self.norm = nn.BatchNorm3d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv3d(width, growth, kernel_size=3, padding=1, groups=GROUPS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, C + growth, D, H, W)``; ModelError if the mixer's shape is wrong."""
        y = self.mixer(x)
        expected = (x.shape[0], self.width, *x.shape[2:])
        if y.shape != expected:
            raise ModelError(
                f"A mixer must keep N, D, H, W and return out_channels channels; {type(self.mixer).__name__} "
                f"turned {tuple(x.shape)} into {tuple(y.shape)}, not {expected}."
            )
        if runs_fused(y) and is_norm(self.norm, y) and is_relu(self.relu) and is_conv(self.conv, y, 3):
            new = norm_relu_conv(y, self.norm, self.conv)
        else:
            new = self.conv(self.relu(self.norm(y)))
        return torch.cat([x, new], dim=1)


class DenseBlock(nn.Sequential):
    """Dense layers in sequence, run as one operator where all mixers are `PointwiseMixer`."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, C + layers * growth, D, H, W)``."""
        if runs_fused(x):
            layers = [_fusible_modules(layer, x) for layer in self]
            fusible = [layer for layer in layers if layer is not None]
            if fusible and len(fusible) == len(layers):
                return dense_block(x, fusible)
        for layer in self:
            x = layer(x)
        return x


def _fusible_modules(layer: nn.Module, x: Tensor) -> LayerModules | None:
    """Return the modules of a plain layer if it may run fused, else None."""
    if type(layer) is not DenseLayer or type(layer.mixer) is not PointwiseMixer or len(layer.mixer) != 3:
        return None
    norm, relu, conv = layer.mixer
    if any(map(has_hooks, (layer, layer.mixer))) or not (is_relu(relu) and is_relu(layer.relu)):
        return None
    if is_norm(norm, x) and is_conv(conv, x, 1) and is_norm(layer.norm, x) and is_conv(layer.conv, x, 3):
        return LayerModules(norm, conv, layer.norm, layer.conv) if conv.groups == 1 else None
    return None


class HalvingPool(nn.AvgPool3d):
    """Average pooling by 2 in D, H and W, rounded down."""

    def __init__(self) -> None:
        super().__init__(kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, C, D // 2, H // 2, W // 2)``."""
        if x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16):
            return self.forward(x.float()).to(x.dtype)  # PyTorch has no such pooling on a CPU
        return halve(x) if runs_fused(x) else super().forward(x)


class AntialiasedPool(HalvingPool):
    """Pooling by 2 that drops nothing: an odd axis is filtered by (1, 2, 1) / 4 and keeps every second voxel.

    An axis of one voxel, which cannot be halved, raises PyTorch's error as in `HalvingPool`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to ``(N, C, D // 2, H // 2, W // 2)``."""
        for axis in (2, 3, 4):
            last = x.shape[axis] - 1
            if (
                last and last % 2 == 0
            ):  # means of neighbours, an even number, of which the next step takes means
                x = (x.narrow(axis, 0, last) + x.narrow(axis, 1, last)) * 0.5
        return super().forward(x)


class DenseNet3D(nn.Module):
    """3D-DenseNet: stem, three dense blocks with pooling between them, linear head.

    Parameters
    ----------
    bands, classes, patch
        Spectral bands (>= 8), classes (>= 2), odd patch width in pixels (>= 7: at 5 no pixel is left for the
        third block).
    mixer
        First module of each dense layer: a callable ``(in_channels, out_channels) -> nn.Module`` that keeps
        D, H, W, or one such callable per block. Default: BN - ReLU - 1x1x1 convolution.
    layers, growth
        Dense layers, and new channels per layer, of each block.
    init
        "released": normal with std sqrt(2 / (k_D k_H C_out)), without k_W, as in the released code;
        "kaiming": fan-out Kaiming. Applies to every ``nn.Conv3d``, also inside mixers, but not inside modules
        that are `SelfInitialised`: depthwise kernels with thousands of outputs would start at almost zero.
    downsampling
        How the image axes are halved. "released": every second position of the stem's convolution, and
        pooling that drops the last pixel of an odd map, so that a pixel of the patch counts about twice as
        much as its neighbours and labels alternate from pixel to pixel in places. "antialiased": the stem
        sees the patch through the filter (1, 2, 1) / 4 along both image axes, and pooling drops nothing; the
        same parameters (after R. Zhang, "Making convolutional networks shift-invariant again", ICML 2019,
        arXiv 1904.11486).

    Notes
    -----
    Input ``(N, bands, P, P)``, output logits ``(N, classes)``. The transitions only pool, so features of all
    earlier blocks reach all later ones. Maps and kernels are channels-last; see `hsi.models.device.lay_out`.
    """

    memory_format: torch.memory_format

    def __init__(
        self,
        bands: int,
        classes: int,
        patch: int,
        *,
        mixer: Mixer | Sequence[Mixer] | None = None,
        layers: Sequence[int] = LAYERS,
        growth: Sequence[int] = GROWTH,
        init: str = "released",
        downsampling: str = "released",
    ) -> None:
        super().__init__()
        check_sizes(
            bands,
            classes,
            patch,
            min_bands=8,
            min_patch=7,
            bands_reason="to halve them three times",
            patch_reason="to be halved three times",
        )
        if len(layers) != len(growth) or not layers or min(*layers, *growth) < 1:
            raise ModelError("layers and growth need one positive number for each dense block.")
        added = sum(count * k for count, k in zip(layers, growth, strict=True))
        if added > MAX_CHANNELS or max(growth) > MAX_GROWTH:
            raise ModelError(
                f"Dense blocks may add at most {MAX_CHANNELS} channels, and each layer {MAX_GROWTH}; got "
                f"layers {list(layers)}, growth {list(growth)}."
            )
        if any(k % GROUPS for k in growth):
            raise ModelError(
                f"Each growth must be a multiple of {GROUPS}, the number of groups; got {list(growth)}."
            )
        if downsampling not in DOWNSAMPLINGS:
            raise ModelError(f"downsampling must be 'released' or 'antialiased', not '{downsampling}'.")
        mixers = _one_per_block(mixer, len(layers))
        self.antialiased = downsampling == "antialiased"
        channels = 2 * growth[0]
        padding = (1, 0, 0) if self.antialiased else 1  # `low_pass` adds the border of the image axes
        self.stem = nn.Conv3d(1, channels, kernel_size=3, stride=2, padding=padding, bias=False)
        self.blocks = nn.ModuleList()
        for count, k, make in zip(layers, growth, mixers, strict=True):
            block = DenseBlock()
            for _ in range(count):
                block.append(DenseLayer(channels, k, make))
                channels += k
            self.blocks.append(block)
        self.pool = AntialiasedPool() if self.antialiased else HalvingPool()
        self.norm = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(channels, classes)
        nn.init.zeros_(self.head.bias)
        initialise(self, init)
        lay_out(self, "channels_last_3d")

    def forward(self, x: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to logits ``(N, classes)``."""
        if self.antialiased:
            x = low_pass(x)
        x = x.unsqueeze(1).contiguous(memory_format=self.memory_format)  # (N, 1, D, H, W)
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            x = block(x if i == 0 else self.pool(x))
        x = self.relu(self.norm(x))
        return cast(Tensor, self.head(x.mean(dim=(2, 3, 4))))


def low_pass(x: Tensor) -> Tensor:
    """Filter ``(N, bands, P, P)`` by (1, 2, 1) / 4 along both image axes: ``(N, bands, P + 2, P + 2)``.

    Zeros surround the patch. A convolution of stride 2 on the result equals one of stride 1 on the patch
    whose output is filtered before every second position is kept, since both are linear; this order costs
    least.
    """
    x = F.pad(x, (2, 2, 2, 2))
    for axis in (2, 3):  # not by average pooling: ONNX Runtime cannot load padding before it
        size = x.shape[axis] - 2
        ends = x.narrow(axis, 0, size) + x.narrow(axis, 2, size)
        x = torch.add(0.25 * ends, x.narrow(axis, 1, size), alpha=0.5)
    return x


def initialise(model: nn.Module, rule: str) -> None:
    """Initialise Conv3d kernels in place by "released" or "kaiming" (see `DenseNet3D`)."""
    if rule not in ("released", "kaiming"):
        raise ModelError(f"init must be 'released' or 'kaiming', not '{rule}'.")
    for module in _backbone_convolutions(model):
        if rule == "released":
            depth, height, _ = module.kernel_size
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / (depth * height * module.out_channels)))
        else:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _backbone_convolutions(module: nn.Module) -> Iterator[nn.Conv3d]:
    """Yield every Conv3d that is not inside a self-initialised module."""
    if isinstance(module, SelfInitialised):
        return
    if isinstance(module, nn.Conv3d):
        yield module
    for child in module.children():
        yield from _backbone_convolutions(child)


def _one_per_block(mixer: Mixer | Sequence[Mixer] | None, blocks: int) -> list[Mixer]:
    if mixer is None:
        return [PointwiseMixer] * blocks
    if callable(mixer):
        return [mixer] * blocks
    if len(mixer) != blocks:
        raise ModelError(f"There are {blocks} dense blocks, so give one mixer or {blocks}; got {len(mixer)}.")
    return list(mixer)


@register_model(
    "densenet3d",
    title="3D-DenseNet (the shared backbone)",
    paper="the backbone of Li and Ye, 2025; after Huang et al., CVPR 2018",
    provenance="released code",
)
def densenet3d(
    bands: int,
    classes: int,
    patch: int,
    *,
    layers: Sequence[int] = LAYERS,
    growth: Sequence[int] = GROWTH,
    init: str = "released",
    downsampling: str = "released",
) -> DenseNet3D:
    """Build the plain backbone: 585,184 parameters on Indian Pines (200 bands, 16 classes)."""
    return DenseNet3D(
        bands, classes, patch, layers=layers, growth=growth, init=init, downsampling=downsampling
    )
