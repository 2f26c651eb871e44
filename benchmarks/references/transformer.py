"""The transformer with decoupled attention, from PyTorch's multi-head attention modules."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.models.stnet import AxisAttention, SpatialSpectralTransformer


class MultiheadTransformer(nn.Module):
    """Two ``nn.MultiheadAttention`` calls with the sequence first, gate, and gated feed-forward network.

    "Hyperspectral Image Classification via Transformer-based Spectral-Spatial Attention Decoupling and
    Adaptive Gating" (Li and Ye, arXiv 2506.08324) released no code; this is the form in which such blocks are
    commonly written: token-and-channel gate, GEGLU, attention modules called with their default arguments.
    """

    def __init__(self, ours: SpatialSpectralTransformer, *, need_weights: bool = True) -> None:
        super().__init__()
        self.ours = ours
        self.need_weights = need_weights
        self.spatial = _attention(ours.spatial)
        self.spectral = _attention(ours.spectral)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, d, D, H, W)`` to the same shape."""
        ours = self.ours
        samples, dim, depth, height, width = x.shape
        t = x.permute(0, 2, 3, 4, 1)
        u = ours.norm_attention(t)
        rows = u.permute(2, 3, 0, 1, 4).reshape(height * width, samples * depth, dim)
        spatial = self._attend(self.spatial, rows).view(height, width, samples, depth, dim)
        spatial = spatial.permute(2, 3, 0, 1, 4)
        rows = u.permute(1, 0, 2, 3, 4).reshape(depth, samples * height * width, dim)
        spectral = self._attend(self.spectral, rows).view(depth, samples, height, width, dim)
        spectral = spectral.transpose(0, 1)
        gate = torch.sigmoid(ours.gate(torch.cat([spatial, spectral], dim=-1)))
        t = t + gate * spatial + (1 - gate) * spectral
        v = ours.norm_gffn(t)
        (first, second), (bias1, bias2) = ours.gffn_in.weight.chunk(2), ours.gffn_in.bias.chunk(2)
        hidden = F.gelu(F.linear(v, first, bias1)) * F.linear(v, second, bias2)
        t = t + ours.gffn_out(hidden)
        y: Tensor = t.permute(0, 4, 1, 2, 3).contiguous()
        return y

    def _attend(self, attention: nn.MultiheadAttention, rows: Tensor) -> Tensor:
        attended: Tensor = attention(rows, rows, rows, need_weights=self.need_weights)[0]
        return attended


def fused_multihead_transformer(ours: SpatialSpectralTransformer) -> MultiheadTransformer:
    """Leave PyTorch free to use its fused attention: no one asks for the weights."""
    return MultiheadTransformer(ours, need_weights=False)


def _attention(ours: AxisAttention) -> nn.MultiheadAttention:
    attention = nn.MultiheadAttention(ours.out.in_features, ours.heads)
    for module, name, shared in (
        (attention, "in_proj_weight", ours.qkv.weight),
        (attention, "in_proj_bias", ours.qkv.bias),
        (attention.out_proj, "weight", ours.out.weight),
        (attention.out_proj, "bias", ours.out.bias),
    ):
        module.register_parameter(name, cast(nn.Parameter, shared))
    return attention
