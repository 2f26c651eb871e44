"""STNet: a 3D-DenseNet whose dense layers hold a transformer with separate spatial and spectral attention.

G. Li and M. Ye, "Hyperspectral Image Classification via Transformer-based Spectral-Spatial Attention
Decoupling and Adaptive Gating", arXiv 2506.08324. No code was released: this is re-implemented from the
description.

From the paper: spatial and spectral attention are decoupled and run side by side; a gate fuses their
outputs; the feed-forward network is gated (GFFN); no depth or width is added to the backbone. From a review
of it: the spatial branch attends over the H * W positions of one band with N * D as its batch; the fusion
adapts per token.

The rest is not from the paper. For tokens t of d channels on the grid (D, H, W):

    u    = LN(t)
    A_s  = attention of u over the H * W positions within each band
    A_f  = attention of u over the D bands within each pixel (the mirror image)
    g    = sigmoid(W_g [A_s; A_f] + b_g)
    t1   = t + g * A_s + (1 - g) * A_f
    v    = LN(t1)
    out  = t1 + W_o (GELU(W_1 v) * (W_2 v))

Four heads, separate projections with bias for each branch, no positional encoding (the 3x3x3 convolution that
follows supplies position), no dropout, Xavier-uniform weights, zero biases (so both branches start with equal
shares). The paper calls its module "spatio-temporal"; the axis is spectral.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.densenet3d import GROWTH, LAYERS, DenseNet3D, PointwiseMixer
from hsi.models.kernels.attention import attend, attention_weights
from hsi.models.kernels.dispatch import runs_eagerly
from hsi.models.kernels.matrix_product import Linear, linear
from hsi.models.registry import register_model

Gate = Literal["token_channel", "token", "scalar"]
GatedFFN = Literal["geglu", "sigmoid"]
Placement = Literal["after_expand", "before_expand"]

GATES: tuple[str, ...] = get_args(Gate)
GATED_FFNS: tuple[str, ...] = get_args(GatedFFN)
PLACEMENTS: tuple[str, ...] = get_args(Placement)


class SpatialSpectralTransformer(nn.Module):
    """Decoupled spatial and spectral attention, fused by a gate, then a gated feed-forward network.

    Parameters
    ----------
    dim
        Channels d of a token.
    heads
        Heads of each attention; divides `dim`.
    ratio
        Hidden width of the feed-forward network, in multiples of `dim`.
    gate
        "token_channel": one gate value per token and channel; "token": one per token; "scalar": one trained
        value for the layer.
    gffn
        "geglu": ``GELU(W_1 v) * (W_2 v)``; "sigmoid": ``(W_1 v) * sigmoid(W_2 v)``.

    Notes
    -----
    ``(N, d, D, H, W)`` in and out, D = spectral; the result is channels-last. For a single token (H = W = 1
    or D = 1) queries and keys are not computed and get zero gradients.

    Raises
    ------
    ModelError
        For sizes below one, heads that do not divide `dim`, an unknown option, or an input of another shape.
    """

    mechanism = "gate"

    def __init__(
        self,
        dim: int,
        *,
        heads: int = 4,
        ratio: int = 2,
        gate: Gate = "token_channel",
        gffn: GatedFFN = "geglu",
    ) -> None:
        super().__init__()
        if min(dim, heads, ratio) < 1:
            raise ModelError(f"dim, heads and ratio must be at least 1; got {dim}, {heads} and {ratio}.")
        if dim % heads:
            raise ModelError(
                f"The number of heads must divide the width of a token; {heads} does not divide {dim}."
            )
        _check_choice("gate", gate, GATES)
        _check_choice("gffn", gffn, GATED_FFNS)
        self.dim = dim
        self.gate_kind = gate
        self.gffn_kind = gffn
        self.norm_attention = nn.LayerNorm(dim)
        self.spatial = AxisAttention(dim, heads, axis=2)
        self.spectral = AxisAttention(dim, heads, axis=1)
        if gate == "scalar":
            self.gate_logit = nn.Parameter(torch.zeros(()))
        else:
            self.gate = _linear(2 * dim, dim if gate == "token_channel" else 1)
        self.norm_gffn = nn.LayerNorm(dim)
        self.gffn_in = _linear(dim, ratio * dim, stacked=2)  # W_1 above W_2
        self.gffn_out = _linear(ratio * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, d, D, H, W)`` to the same shape."""
        t = self._tokens(x)
        spatial, spectral = self._branches(t)
        t = t + torch.lerp(spectral, spatial, self._gate(spatial, spectral))
        hidden = self.gffn_in(self.norm_gffn(t))
        hidden = _geglu(hidden) if self.gffn_kind == "geglu" else F.glu(hidden)
        return _grid(t + self.gffn_out(hidden), x)

    def gate_map(self, x: Tensor) -> Tensor:
        """Weight g of the spatial branch for the input `x`; the spectral branch has 1 - g.

        ``(N, d, D, H, W)`` for "token_channel", ``(N, 1, D, H, W)`` for "token", no axis for "scalar".
        """
        gate = self._gate(*self._branches(self._tokens(x)))
        return gate if gate.dim() == 0 else _grid(gate, x)

    def switch_parameters(self) -> tuple[Tensor, ...]:
        """Return the gate's parameters, without which both branches have half; see `Switchable`."""
        return (self.gate_logit,) if self.gate_kind == "scalar" else (self.gate.weight, self.gate.bias)

    def attention_maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax weights of both attentions for the input `x`; the last axis (keys) sums to one.

        Spatial: ``(N, D, heads, H * W, H * W)``; spectral: ``(N, H * W, heads, D, D)``.
        """
        u = self.norm_attention(self._tokens(x))
        return self.spatial.weights(u), self.spectral.weights(u)

    def _tokens(self, x: Tensor) -> Tensor:
        """``(N, d, D, H, W)`` to ``(N, D, H * W, d)``, a view if channels-last."""
        if x.dim() != 5 or x.shape[1] != self.dim:
            raise ModelError(f"Give an input of shape (N, {self.dim}, D, H, W), not {tuple(x.shape)}.")
        return x.permute(0, 2, 3, 4, 1).flatten(2, 3)

    def _branches(self, t: Tensor) -> tuple[Tensor, Tensor]:
        u = self.norm_attention(t)
        return self.spatial(u), self.spectral(u)

    def _gate(self, spatial: Tensor, spectral: Tensor) -> Tensor:
        if self.gate_kind == "scalar":
            return torch.sigmoid(self.gate_logit)
        for_spatial, for_spectral = self.gate.weight.split(self.dim, dim=1)  # no concatenation of branches
        return torch.sigmoid(linear(spatial, for_spatial, self.gate.bias) + linear(spectral, for_spectral))


class AxisAttention(nn.Module):
    """Multi-head self-attention along `axis` 1 or 2 of ``(N, A, B, dim)``: 4 dim^2 + 4 dim parameters."""

    def __init__(self, dim: int, heads: int, axis: int) -> None:
        super().__init__()
        self.heads = heads
        self.axis = axis
        self.qkv = _linear(dim, dim, stacked=3)
        self.out = _linear(dim, dim)

    def forward(self, u: Tensor) -> Tensor:
        """``(N, A, B, dim)`` to the same shape."""
        if u.shape[self.axis] > 1:
            return cast(Tensor, self.out(attend(self.qkv(u), self.heads, self.axis)))
        dim = u.shape[-1]  # the attention of a single token is its value
        weight, bias = self.qkv.weight[2 * dim :], self.qkv.bias[2 * dim :]
        if not runs_eagerly() or u.numel() <= dim * dim:
            return cast(Tensor, self.out(F.linear(u, weight, bias)))
        # Two linear maps in sequence are one; for more tokens than channels that is less work.
        return F.linear(u, self.out.weight @ weight, torch.addmv(self.out.bias, self.out.weight, bias))

    def weights(self, u: Tensor) -> Tensor:
        """Softmax weights, ``(N, lines, heads, length, length)``."""
        return attention_weights(self.qkv(u), self.heads, self.axis)


class TransformerMixer(nn.Sequential):
    """STNet's mixer: BN - ReLU - 1x1x1 convolution and the transformer.

    `placement` "after_expand" runs the transformer on the 4k channels after the convolution; "before_expand"
    on the C channels before it, at about three times the parameters. The paper does not say which; its "no
    extra width" fits the first.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        placement: Placement = "after_expand",
        heads: int = 4,
        ratio: int = 2,
        gate: Gate = "token_channel",
        gffn: GatedFFN = "geglu",
    ) -> None:
        _check_choice("placement", placement, PLACEMENTS)
        before = placement == "before_expand"
        transformer = SpatialSpectralTransformer(
            in_channels if before else out_channels, heads=heads, ratio=ratio, gate=gate, gffn=gffn
        )
        if before:
            expand = nn.Conv3d(in_channels, out_channels, kernel_size=1, bias=False)
            super().__init__(nn.BatchNorm3d(in_channels), nn.ReLU(inplace=True), transformer, expand)
        else:
            super().__init__(PointwiseMixer(in_channels, out_channels), transformer)


class _GEGLU(torch.autograd.Function):
    """``GELU(a) * b`` of the halves of the last axis; saves only its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        a, b = x.chunk(2, dim=-1)
        return F.gelu(a).mul_(b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        a, b = x.chunk(2, dim=-1)
        result = torch.empty_like(x)
        grad_a, grad_b = result.chunk(2, dim=-1)
        torch.mul(grad, F.gelu(a), out=grad_b)
        torch.ops.aten.gelu_backward(grad * b, a, grad_input=grad_a)
        return result


def _geglu(x: Tensor) -> Tensor:
    if runs_eagerly():
        return cast(Tensor, _GEGLU.apply(x))
    a, b = x.chunk(2, dim=-1)
    return F.gelu(a) * b


def _linear(inputs: int, outputs: int, stacked: int = 1) -> nn.Linear:
    """`stacked` linear maps computed as one; each is Xavier-uniform on its own, biases are zero."""
    layer = Linear(inputs, stacked * outputs)
    for weight in layer.weight.chunk(stacked):
        nn.init.xavier_uniform_(weight)
    nn.init.zeros_(layer.bias)
    return layer


def _grid(tokens: Tensor, like: Tensor) -> Tensor:
    """``(N, D, H * W, channels)`` to ``(N, channels, D, H, W)``, channels-last."""
    return tokens.unflatten(2, like.shape[3:]).permute(0, 4, 1, 2, 3)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ModelError(f"{option} must be one of {', '.join(choices)}, not '{value}'.")


@register_model(
    "stnet",
    title="STNet: decoupled spatial and spectral attention with adaptive gating",
    paper="Li and Ye, arXiv 2506.08324",
    provenance="re-implemented from the description",
)
def stnet(
    bands: int,
    classes: int,
    patch: int,
    *,
    heads: int = 4,
    ratio: int = 2,
    gate: Gate = "token_channel",
    gffn: GatedFFN = "geglu",
    placement: Placement = "after_expand",
    layers: Sequence[int] = LAYERS,
    growth: Sequence[int] = GROWTH,
    init: str = "released",
    downsampling: str = "released",
) -> DenseNet3D:
    """Build STNet: 3,168,736 parameters on Indian Pines (200 bands, 16 classes)."""
    mixer = functools.partial(
        TransformerMixer, placement=placement, heads=heads, ratio=ratio, gate=gate, gffn=gffn
    )
    return DenseNet3D(
        bands,
        classes,
        patch,
        mixer=mixer,
        layers=layers,
        growth=growth,
        init=init,
        downsampling=downsampling,
    )
