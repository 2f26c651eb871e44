"""SpectralFormer: a transformer over groups of neighbouring bands; a baseline.

D. Hong, Z. Han, J. Yao, L. Gao, B. Zhang, A. Plaza and J. Chanussot, "SpectralFormer: Rethinking
Hyperspectral Image Classification With Transformers", IEEE Transactions on Geoscience and Remote Sensing 60,
2022 (arXiv 2107.02988). This is its patch-wise network. Re-implemented from the description and the settings
of the released code.

From the paper: group-wise spectral embedding (GSE) makes one token for each band from the patch in that band
and its neighbours, n bands in all, by one linear map to 64 numbers; a class token and trained positions are
added; five encoder layers of multi-head attention (4 heads) and a feed-forward part of 8 hidden units with
GELU, both after layer norm and with a shortcut; cross-layer adaptive fusion (CAF) joins what comes out of
encoder l with what came out of encoder l - 2 by trained weights; the class token is classified. Dropout 0.1;
patches of 7 x 7 and n = 3 at Indian Pines.

CAF in the paper is a weight for each of the two, ``w1 z(l) + w2 z(l-2)``: `fusion` "pair". The released code,
with which the paper's figures are likely to have been made, mixes the tokens as well: token t of the result
is the sum over all tokens s of ``w1[t, s] z(l)[s] + w2[t, s] z(l-2)[s]``, plus a bias: `fusion` "tokens". It
also says what the paper does not: heads of 16 numbers, no bias for queries, keys and values, and neighbours
of the first and last band taken from the other end of the spectrum.

"tokens" is the default, since others compare with it; the weights of "pair" start at one half; z(0) is the
embedded input.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.kernels.attention import attend
from hsi.models.registry import check_sizes, register_model

Fusion = Literal["tokens", "pair"]
FUSIONS: tuple[str, ...] = get_args(Fusion)

WIDTH = 64
LAYERS = 5
HEADS = 4
HEAD_WIDTH = 16
HIDDEN = 8
DROPOUT = 0.1


class GroupwiseEmbedding(nn.Module):
    """Group-wise spectral embedding: a token for each band from its patch and those of its neighbours.

    Token q is W [x(q - n//2); ...; x(q + n//2)] + b, where x(q) holds the P * P values of band q, n is the
    odd number of `neighbours` including q, and bands are cyclic.
    """

    def __init__(self, patch: int, neighbours: int, width: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.linear = nn.Linear(neighbours * patch * patch, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to ``(N, bands, width)``."""
        pixels = x.flatten(2)
        # One product for all offsets, then shifts of its narrow result: no n copies of the patches.
        weights = self.linear.weight.unflatten(1, (self.neighbours, -1)).transpose(0, 1)
        parts = F.linear(pixels, weights.flatten(0, 1)).unflatten(2, (self.neighbours, -1)).unbind(2)
        tokens: Tensor = self.linear.bias
        for i, part in enumerate(parts):
            tokens = tokens + part.roll(self.neighbours // 2 - i, dims=1)
        return tokens


class Encoder(nn.Module):
    """Attention over all tokens, then a feed-forward part, each with pre-layer-norm and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * HEADS * HEAD_WIDTH, bias=False)
        self.out = nn.Linear(HEADS * HEAD_WIDTH, WIDTH)
        self.norm_hidden = nn.LayerNorm(WIDTH)
        self.hidden = nn.Linear(WIDTH, HIDDEN)
        self.back = nn.Linear(HIDDEN, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, z: Tensor) -> Tensor:
        """``(N, tokens, 64)`` to the same shape."""
        qkv = self.qkv(self.norm_attention(z)).unsqueeze(1)
        z = z + self.dropout(self.out(attend(qkv, HEADS, axis=2).squeeze(1)))
        hidden = self.dropout(F.gelu(self.hidden(self.norm_hidden(z))))
        result: Tensor = z + self.dropout(self.back(hidden))
        return result


class CrossLayerFusion(nn.Module):
    """Cross-layer adaptive fusion of the outputs of two encoders, each ``(N, tokens, width)``.

    "pair": ``w1 z + w2 skip``; "tokens": ``W1 z + W2 skip + b``, where W1 and W2 mix the tokens.
    """

    def __init__(self, tokens: int, fusion: Fusion) -> None:
        super().__init__()
        self.mix: nn.Conv1d | None = None
        if fusion == "tokens":
            self.mix = nn.Conv1d(2 * tokens, tokens, kernel_size=1)
        else:
            self.weights = nn.Parameter(torch.full((2,), 0.5))

    def forward(self, z: Tensor, skip: Tensor) -> Tensor:
        """Return the fused tokens, of the same shape."""
        if self.mix is None:
            return self.weights[0] * z + self.weights[1] * skip
        fused: Tensor = self.mix(torch.cat([z, skip], dim=1))
        return fused


class SpectralFormer(nn.Module):
    """Group-wise embedded bands through a transformer with cross-layer fusion.

    Parameters
    ----------
    patch
        Odd patch width in pixels; 1 is the paper's pixel-wise network.
    neighbours
        Bands n per token; odd. The paper's best at Indian Pines: 3 with patches, 7 without.
    fusion
        "tokens" as in the released code, or "pair" as the paper writes it.
    """

    def __init__(
        self, bands: int, classes: int, patch: int, *, neighbours: int = 3, fusion: Fusion = "tokens"
    ) -> None:
        super().__init__()
        if neighbours < 1 or neighbours % 2 == 0:
            raise ModelError(
                f"neighbours must be odd, the band itself and as many on either side; not {neighbours}."
            )
        if fusion not in FUSIONS:
            raise ModelError(f"fusion must be one of {', '.join(FUSIONS)}, not '{fusion}'.")
        check_sizes(
            bands, classes, patch, min_bands=neighbours, bands_reason="as many as a group has neighbours"
        )
        self.embedding = GroupwiseEmbedding(patch, neighbours, WIDTH)
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, bands + 1, WIDTH))
        self.dropout = nn.Dropout(DROPOUT)
        self.encoders = nn.ModuleList(Encoder() for _ in range(LAYERS))
        self.fusions = nn.ModuleList(CrossLayerFusion(bands + 1, fusion) for _ in range(LAYERS - 2))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, bands, P, P)`` to logits ``(N, classes)``."""
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), self.embedding(x)], dim=1)
        outputs = [self.dropout(tokens + self.positions)]
        for i, encoder in enumerate(self.encoders):
            z = outputs[-1]
            if i >= 2:
                z = self.fusions[i - 2](z, outputs[i - 2])
            outputs.append(encoder(z))
        logits: Tensor = self.head(self.norm(outputs[-1][:, 0]))
        return logits


@register_model(
    "spectralformer",
    title="SpectralFormer: a transformer over groups of bands",
    paper="Hong et al., TGRS 2022, arXiv 2107.02988",
    provenance="re-implemented from the description",
    aliases=("spectral-former",),
    baseline=True,
)
def spectralformer(
    bands: int, classes: int, patch: int, *, neighbours: int = 3, fusion: Fusion = "tokens"
) -> SpectralFormer:
    """Build SpectralFormer: 355,577 parameters on the paper's Indian Pines (200 bands, 16 classes, P 7)."""
    return SpectralFormer(bands, classes, patch, neighbours=neighbours, fusion=fusion)
