"""SpectralFormer: parameters by hand, group-wise embedding and cross-layer fusion against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models import SpectralFormer, build_model
from hsi.models.spectralformer import CrossLayerFusion, GroupwiseEmbedding


def by_hand(bands: int, classes: int, patch: int, neighbours: int, fusion: str) -> int:
    """Embedding, positions and class token, five encoders, three fusions, head."""
    tokens = bands + 1
    embedding = (neighbours * patch**2 + 1) * 64 + tokens * 64 + 64
    attention = 2 * 64 + 64 * 3 * 64 + (64 + 1) * 64
    feed_forward = 2 * 64 + (64 + 1) * 8 + (8 + 1) * 64
    fused = 2 * tokens**2 + tokens if fusion == "tokens" else 2
    return embedding + 5 * (attention + feed_forward) + 3 * fused + 2 * 64 + (64 + 1) * classes


def test_parameter_count_of_the_paper() -> None:
    assert by_hand(200, 16, 7, 3, "tokens") == 355_577
    assert sum(p.numel() for p in SpectralFormer(200, 16, 7).parameters()) == 355_577


@pytest.mark.parametrize("fusion", ["tokens", "pair"])
@pytest.mark.parametrize(
    ("bands", "classes", "patch", "neighbours"), [(8, 2, 7, 3), (30, 9, 11, 7), (9, 4, 1, 9)]
)
def test_parameter_counts(bands: int, classes: int, patch: int, neighbours: int, fusion: str) -> None:
    model = build_model(
        "spectralformer", bands=bands, classes=classes, patch=patch, neighbours=neighbours, fusion=fusion
    )
    assert sum(p.numel() for p in model.parameters()) == by_hand(bands, classes, patch, neighbours, fusion)


@given(
    bands=st.integers(1, 12),
    patch=st.integers(1, 5),
    half=st.integers(0, 4),
    width=st.integers(1, 6),
)
@settings(max_examples=40, deadline=None)
def test_groupwise_embedding_against_a_loop(bands: int, patch: int, half: int, width: int) -> None:
    neighbours = 2 * half + 1
    torch.manual_seed(bands)
    embedding = GroupwiseEmbedding(patch, neighbours, width).double()
    x = torch.randn(2, bands, patch, patch, dtype=torch.float64)
    weight, bias = embedding.linear.weight, embedding.linear.bias
    expected = torch.empty(2, bands, width, dtype=torch.float64)
    for n in range(2):
        for q in range(bands):
            group = [x[n, (q + offset) % bands].reshape(-1) for offset in range(-half, half + 1)]
            expected[n, q] = weight @ torch.cat(group) + bias
    torch.testing.assert_close(embedding(x), expected)


@pytest.mark.parametrize("fusion", ["tokens", "pair"])
def test_cross_layer_fusion_against_its_formula(fusion: str) -> None:
    torch.manual_seed(0)
    module = CrossLayerFusion(4, fusion).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
    z, skip = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    expected = torch.empty_like(z)
    for n in range(3):
        for t in range(4):
            if fusion == "pair":
                w1, w2 = module.weights
                expected[n, t] = w1 * z[n, t] + w2 * skip[n, t]
            else:
                assert module.mix is not None
                w = module.mix.weight[:, :, 0]
                expected[n, t] = module.mix.bias[t]
                for s in range(4):
                    expected[n, t] += w[t, s] * z[n, s] + w[t, 4 + s] * skip[n, s]
    torch.testing.assert_close(module(z, skip), expected)


def plain_encoder(encoder: torch.nn.Module, z: Tensor) -> Tensor:
    """One sample ``(tokens, 64)`` through attention head by head and the feed-forward part."""
    w = dict(encoder.named_parameters())
    u = F.layer_norm(z, (64,), w["norm_attention.weight"], w["norm_attention.bias"])
    q, k, v = (u @ w["qkv.weight"].T).chunk(3, dim=1)
    heads = []
    for h in range(4):
        cut = slice(16 * h, 16 * h + 16)
        scores = torch.exp(q[:, cut] @ k[:, cut].T / math.sqrt(16))
        heads.append(scores / scores.sum(1, keepdim=True) @ v[:, cut])
    z = z + torch.cat(heads, dim=1) @ w["out.weight"].T + w["out.bias"]
    u = F.layer_norm(z, (64,), w["norm_hidden.weight"], w["norm_hidden.bias"])
    hidden = u @ w["hidden.weight"].T + w["hidden.bias"]
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return z + hidden @ w["back.weight"].T + w["back.bias"]


@pytest.mark.parametrize("fusion", ["tokens", "pair"])
def test_the_network_written_out(fusion: str) -> None:
    """z(l) from encoder l; before encoders 3, 4, 5, CAF joins z(2), z(3), z(4) with z(0), z(1), z(2)."""
    torch.manual_seed(0)
    model = SpectralFormer(10, 3, 5, fusion=fusion).double().eval()  # type: ignore[arg-type]
    x = torch.randn(2, 10, 5, 5, dtype=torch.float64)
    for sample, logits in zip(x.split(1), model(x), strict=True):
        embedded = torch.cat([model.class_token[0], model.embedding(sample)[0]])
        z0 = embedded + model.positions[0]
        e1, e2, e3, e4, e5 = model.encoders
        caf3, caf4, caf5 = model.fusions
        z1 = plain_encoder(e1, z0)
        z2 = plain_encoder(e2, z1)
        z3 = plain_encoder(e3, caf3(z2[None], z0[None])[0])
        z4 = plain_encoder(e4, caf4(z3[None], z1[None])[0])
        z5 = plain_encoder(e5, caf5(z4[None], z2[None])[0])
        u = F.layer_norm(z5[0], (64,), model.norm.weight, model.norm.bias)
        torch.testing.assert_close(logits, model.head.weight @ u + model.head.bias)


def test_dropout_only_in_training() -> None:
    torch.manual_seed(0)
    model = SpectralFormer(8, 3, 7)
    x = torch.randn(2, 8, 7, 7)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": 4}, "neighbours must be odd"),
        ({"neighbours": 0}, "neighbours must be odd"),
        ({"neighbours": -3}, "neighbours must be odd"),
        ({"neighbours": 11}, "at least 11 bands, as many as a group has neighbours; got 10"),
        ({"fusion": "add"}, "fusion must be one of tokens, pair, not 'add'"),
    ],
)
def test_bad_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        build_model("spectralformer", bands=10, classes=3, patch=7, **options)
