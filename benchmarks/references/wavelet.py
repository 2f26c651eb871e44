"""Wavelet convolution as WTConv's code computes it, in three dimensions."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models.wcnet import WaveletConv3d


class StridedWaveletConv3d(nn.Module):
    """Transform and inverse by strided convolutions with fixed filters, one group a channel; Haar only.

    Finder et al., "Wavelet Convolutions for Large Receptive Fields" (arXiv 2407.05848), with the eight
    sub-bands of three axes.
    """

    filters: Tensor

    def __init__(self, ours: WaveletConv3d) -> None:
        super().__init__()
        self.ours = ours
        low, high = (torch.tensor([1.0, sign], dtype=torch.float64) / 2**0.5 for sign in (1.0, -1.0))
        cubes = [torch.einsum("i,j,k->ijk", *triple) for triple in itertools.product((low, high), repeat=3)]
        filters = torch.stack(cubes).unsqueeze(1)  # (8, 1, 2, 2, 2)
        self.register_buffer("filters", filters.repeat(ours.channels, 1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, D, H, W)`` to the same shape."""
        ours = self.ours
        low, bands, sizes = x, [], []
        for conv, scale in zip(ours.band_convs, ours.band_scales, strict=True):
            sizes.append(low.shape[2:])
            low = F.pad(low, [end for size in reversed(low.shape[2:]) for end in (0, size % 2)])
            parts = F.conv3d(low, self.filters, stride=2, groups=ours.channels)
            low = parts.unflatten(1, (-1, 8))[:, :, 0]
            bands.append(conv(parts) * scale.view(1, -1, 1, 1, 1))
        above: Tensor | None = None
        for parts, size in zip(reversed(bands), reversed(sizes), strict=True):
            if above is not None:
                split = parts.unflatten(1, (-1, 8))
                concat = torch.cat([(split[:, :, 0] + above).unsqueeze(2), split[:, :, 1:]], dim=2)
                parts = concat.flatten(1, 2)
            above = F.conv_transpose3d(parts, self.filters, stride=2, groups=ours.channels)
            above = above[:, :, : size[0], : size[1], : size[2]]
        base: Tensor = ours.base(x) * ours.base_scale.view(1, -1, 1, 1, 1)
        return base if above is None else base + above
