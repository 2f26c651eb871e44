"""WCNet: 3D wavelet convolutions in the dense layers.

Guandong Li, Mengxia Ye: "3D Wavelet Convolutions with Extended Receptive Fields for Hyperspectral Image
Classification", arXiv:2504.10795. Re-implemented from the description: no code was released.

From the paper: a cascade of 3D wavelet transforms with small convolutions on every level and sub-band, in the
dense layers of the 3D-DenseNet; Haar filters. From the operator it builds on, WTConv (Finder et al., "Wavelet
Convolutions for Large Receptive Fields", arXiv:2407.05848, and its released code), per level i, with s a
factor per channel:

    X_LLL(i), X_H(i) = WT(X_LLL(i-1))                          odd axes padded with one zero at the end
    Y(i) = s_i * Conv(W_i, [X_LLL(i), X_H(i)])                 depthwise, "same", no bias
    Z(i) = IWT(Y_LLL(i) + Z(i+1), Y_H(i)), Z(L+1) = 0          cropped to the size before padding
    out  = s_0 * (Conv(W_0, X) + b_0) + Z(1)                   s_0 starts at 1, b_0 at 0

Not from either: s_i starts at 1 (WTConv: 0.1), and kernels as torch's convolutions do, not by the backbone's
rule, whose standard deviation of sqrt(2 / (9 C)) for C channels makes no sense for kernels over one channel:
both together left the wavelets without effect in trained networks; 8 sub-bands of the orthonormal separable
3D transform; the block is BN - ReLU - WaveletConv3d - 1x1x1 convolution in the mixer slot, since a depthwise
operator cannot change the width; kernel 3; one level; ``axes="hw"`` transforms the image axes only; other
wavelets use the boundary mode "zero", for which IWT undoes WT.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsi.errors import ModelError
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D
from hsi.models.kernels.depthwise import depthwise_conv3d
from hsi.models.kernels.dispatch import runs_eagerly
from hsi.models.kernels.haar_cascade import haar_cascade
from hsi.models.registry import register_model
from hsi.models.wavelet import AXES, SUBBANDS, check_axes, dwt3d, idwt3d, is_haar, wavelet_filters

LEVELS = 1
KERNEL_SIZE = 3
BAND_SCALE = 1.0


class WaveletConv3d(nn.Module):
    """Depthwise convolution of the input and of every sub-band of a wavelet cascade: WTConv in 3D.

    Parameters
    ----------
    channels
        C, in and out.
    kernel_size
        Odd width of all kernels, in voxels of their level.
    levels
        Length L of the cascade, 1 or more; the receptive field grows to about ``kernel_size * 2 ** L``.
    wavelet
        As for `hsi.models.wavelet.dwt3d`; Haar has a fast path.
    axes
        "dhw", or "hw" for no transform of the spectral axis (4 sub-bands; the kernels stay 3D).
    band_scale
        Start of the factors s_i. At 1 the sub-bands have as large a part in the output as the base
        convolution. At WTConv's 0.1 they have a tenth, and a short training leaves them there.

    Notes
    -----
    ``(N, C, D, H, W)`` to the same shape; fastest in channels-last memory. Channel ``c * B + b`` of a level's
    convolution is sub-band b of channel c, in the order of `hsi.models.wavelet.SUBBANDS`. With ``axes="dhw"``
    there are ``C k^3 + 2 C + L (8 C k^3 + 8 C)`` parameters.

    Raises
    ------
    ModelError
        For an even kernel, no level, an unknown wavelet or axes, or an input of another shape.
    """

    self_initialised = True
    mechanism = "wavelets"

    def __init__(
        self,
        channels: int,
        kernel_size: int = KERNEL_SIZE,
        levels: int = LEVELS,
        *,
        wavelet: Any = "haar",
        axes: str = "dhw",
        band_scale: float = BAND_SCALE,
    ) -> None:
        super().__init__()
        check_axes(axes)
        if channels < 1:
            raise ModelError(f"A wavelet convolution needs at least 1 channel; got {channels}.")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ModelError(
                f"The kernel of a wavelet convolution must be odd and positive; got {kernel_size}."
            )
        if levels < 1:
            raise ModelError(f"A wavelet convolution needs at least 1 level; got {levels}.")
        if not 0 < band_scale < math.inf:
            raise ModelError(f"band_scale, where the sub-bands start, must be above 0; got {band_scale}.")
        self.channels, self.levels, self.axes = channels, levels, axes
        self.wavelet = wavelet if isinstance(wavelet, str) else "custom"
        self.filters = wavelet_filters(wavelet)
        self.haar = is_haar(self.filters)
        inner = channels * len(SUBBANDS[axes])
        half = kernel_size // 2
        self.base = nn.Conv3d(channels, channels, kernel_size, padding=half, groups=channels)
        self.base_scale = nn.Parameter(torch.ones(channels))
        self.band_convs = nn.ModuleList(
            nn.Conv3d(inner, inner, kernel_size, padding=half, groups=inner, bias=False)
            for _ in range(levels)
        )
        self.band_scales = nn.ParameterList(torch.full((inner,), float(band_scale)) for _ in range(levels))
        nn.init.zeros_(cast(Tensor, self.base.bias))

    def extra_repr(self) -> str:
        """Return the options, for ``print(model)``."""
        return f"{self.channels}, levels={self.levels}, wavelet={self.wavelet!r}, axes={self.axes!r}"

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to the same shape."""
        if x.dim() != 5 or x.shape[1] != self.channels:
            raise ModelError(
                f"WaveletConv3d needs (N, {self.channels}, D, H, W); got a tensor of shape {tuple(x.shape)}."
            )
        device = x.device.type
        if x.dtype == torch.float64 or not torch.is_autocast_enabled(device):
            return self._run(x)
        with torch.autocast(device, enabled=False):
            return self._run(x.to(torch.get_autocast_dtype(device)))

    def _run(self, x: Tensor) -> Tensor:
        base = self.base.weight * self.base_scale.view(-1, 1, 1, 1, 1)
        bias = cast(Tensor, self.base.bias) * self.base_scale
        kernels = [
            cast(nn.Conv3d, conv).weight * scale.view(-1, 1, 1, 1, 1)
            for conv, scale in zip(self.band_convs, self.band_scales, strict=True)
        ]
        # In float16 the cascade's unnormalised sums could overflow.
        if self.haar and runs_eagerly() and x.dtype != torch.float16 and x.numel():
            return haar_cascade(x, base, bias, kernels, self.axes)
        return self._compose(
            x, base.to(x.dtype), bias.to(x.dtype), [kernel.to(x.dtype) for kernel in kernels]
        )

    def switch_parameters(self) -> Iterable[Tensor]:
        """Return the factors of the sub-bands, without which the base convolution is left."""
        return self.band_scales

    def sub_bands(self, x: Tensor) -> list[Tensor]:
        """Return the input of each level's convolution: ``(N, C, B, d, h, w)``, B as in `SUBBANDS`."""
        low, levels = x, []
        for _ in range(self.levels):
            levels.append(dwt3d(_pad_to_even(low, AXES[self.axes]), self.filters, "zero", self.axes))
            low = levels[-1][:, :, 0]
        return levels

    def _compose(self, x: Tensor, base: Tensor, bias: Tensor, kernels: Sequence[Tensor]) -> Tensor:
        """The operator by its formulas, for any wavelet."""
        levels = self.sub_bands(x)
        sizes = [x.shape[-3:], *(parts.shape[-3:] for parts in levels[:-1])]
        bands = [
            depthwise_conv3d(parts.flatten(1, 2), kernel).view(parts.shape)
            for parts, kernel in zip(levels, kernels, strict=True)
        ]
        z: Tensor | None = None
        for parts, size in zip(reversed(bands), reversed(sizes), strict=True):
            padded_size = _even(size, AXES[self.axes])
            if z is not None:
                parts = torch.cat((parts[:, :, :1] + z.unsqueeze(2), parts[:, :, 1:]), dim=2)
            z = idwt3d(parts, self.filters, "zero", self.axes, size=padded_size)
            z = z[..., : size[0], : size[1], : size[2]]
        return depthwise_conv3d(x, base, bias) + cast(Tensor, z)


def _pad_to_even(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Pad each odd axis among `axes` (negative) with one zero at its end."""
    size, even = x.shape[-3:], _even(x.shape[-3:], axes)
    return F.pad(x, [end for axis in (-1, -2, -3) for end in (0, even[axis] - size[axis])])


def _even(size: Sequence[int], axes: Sequence[int]) -> list[int]:
    """Round the sizes (D, H, W) of `axes` up to even numbers."""
    return [n + n % 2 if axis in axes else n for axis, n in zip((-3, -2, -1), size, strict=True)]


class WaveletMixer(nn.Sequential):
    """BN - ReLU - WaveletConv3d - 1x1x1 convolution: WCNet's block for the mixer slot of the backbone."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        levels: int = LEVELS,
        kernel_size: int = KERNEL_SIZE,
        wavelet: Any = "haar",
        axes: str = "dhw",
        band_scale: float = BAND_SCALE,
    ) -> None:
        super().__init__(
            nn.BatchNorm3d(in_channels),
            nn.ReLU(inplace=True),
            WaveletConv3d(
                in_channels, kernel_size, levels, wavelet=wavelet, axes=axes, band_scale=band_scale
            ),
            nn.Conv3d(in_channels, out_channels, kernel_size=1, bias=False),
        )


@register_model(
    "wcnet",
    title="WCNet (3D wavelet convolutions)",
    paper="Li and Ye, 2025, arXiv:2504.10795",
    provenance="re-implemented from the description",
)
def wcnet(
    bands: int,
    classes: int,
    patch: int,
    *,
    levels: int | Sequence[int] = LEVELS,
    kernel_size: int = KERNEL_SIZE,
    wavelet: Any = "haar",
    axes: str = "dhw",
    band_scale: float = BAND_SCALE,
    layers: Sequence[int] = LAYERS,
    growth: Sequence[int] = GROWTH,
    init: str = "released",
    downsampling: str = "released",
) -> DenseNet3D:
    """Build WCNet: 1,265,248 parameters on Indian Pines (200 bands, 16 classes), 1,867,360 with two levels.

    `levels` is one number or one per dense block, such as ``(2, 2, 1)``; see `WaveletConv3d`, `DenseNet3D`.
    """
    per_block = [levels] * len(layers) if isinstance(levels, int) else list(levels)
    if len(per_block) != len(layers):
        raise ModelError(f"Give levels as one number or as {len(layers)}, one a block; got {len(per_block)}.")
    options = {"kernel_size": kernel_size, "wavelet": wavelet, "axes": axes, "band_scale": band_scale}
    mixers = [functools.partial(WaveletMixer, levels=n, **options) for n in per_block]
    return DenseNet3D(
        bands,
        classes,
        patch,
        mixer=mixers,
        layers=layers,
        growth=growth,
        init=init,
        downsampling=downsampling,
    )
