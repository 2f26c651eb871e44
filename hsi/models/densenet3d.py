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
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from hsi.errors import ModelError
from hsi.models.device import lay_out
from hsi.models.kernels.dense_block import LayerModules, dense_block, halve
from hsi.models.kernels.dispatch import has_hooks, is_conv, is_norm, is_relu, runs_fused
from hsi.models.kernels.norm_conv import norm_relu_conv
from hsi.models.registry import check_sizes, register_model

Mixer = Callable[[int, int], nn.Module]
"""``(in_channels, out_channels)`` -> a module from ``(N, in, D, H, W)`` to ``(N, out, D, H, W)``."""

LAYERS = (4, 6, 8)
GROWTH = (8, 16, 32)
MAX_CHANNELS, MAX_GROWTH = 2048, 256  # five and eight times those of the papers
BOTTLENECK = 4
GROUPS = 4


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
        "kaiming": fan-out Kaiming. Applies to every ``nn.Conv3d``, also inside mixers.

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
        mixers = _one_per_block(mixer, len(layers))
        channels = 2 * growth[0]
        self.stem = nn.Conv3d(1, channels, kernel_size=3, stride=2, padding=1, bias=False)
        self.blocks = nn.ModuleList()
        for count, k, make in zip(layers, growth, mixers, strict=True):
            block = DenseBlock()
            for _ in range(count):
                block.append(DenseLayer(channels, k, make))
                channels += k
            self.blocks.append(block)
        self.pool = HalvingPool()
        self.norm = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(channels, classes)
        nn.init.zeros_(self.head.bias)
        initialise(self, init)
        lay_out(self, "channels_last_3d")

    def forward(self, x: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to logits ``(N, classes)``."""
        x = x.unsqueeze(1).contiguous(memory_format=self.memory_format)  # (N, 1, D, H, W)
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            x = block(x if i == 0 else self.pool(x))
        x = self.relu(self.norm(x))
        return cast(Tensor, self.head(x.mean(dim=(2, 3, 4))))


def initialise(model: nn.Module, rule: str) -> None:
    """Initialise every Conv3d in place by "released" or "kaiming" (see `DenseNet3D`)."""
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            if rule == "released":
                depth, height, _ = module.kernel_size
                nn.init.normal_(module.weight, std=math.sqrt(2.0 / (depth * height * module.out_channels)))
            elif rule == "kaiming":
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                raise ModelError(f"init must be 'released' or 'kaiming', not '{rule}'.")


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
) -> DenseNet3D:
    """Build the plain backbone: 585,184 parameters on Indian Pines (200 bands, 16 classes)."""
    return DenseNet3D(bands, classes, patch, layers=layers, growth=growth, init=init)
