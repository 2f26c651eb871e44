"""STNet's block against its equations written out, and the properties that the paper claims for it."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from hsi.errors import ModelError
from hsi.models.registry import build_model
from hsi.models.stnet import AxisAttention, SpatialSpectralTransformer, TransformerMixer, stnet

GATES = ("token_channel", "token", "scalar")


def random_block(dim: int = 8, **options: object) -> SpatialSpectralTransformer:
    """A float64 block in which no parameter, biases and norms included, is at a special value."""
    torch.manual_seed(dim)
    block = SpatialSpectralTransformer(dim, **options).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return block


def plain_sequence(u: Tensor, attention: AxisAttention, heads: int) -> Tensor:
    """Attention of one sequence ``(tokens, d)``: softmax(q k' / sqrt(width)) v, then the projection."""
    width = u.shape[1] // heads
    q, k, v = (u @ attention.qkv.weight.T + attention.qkv.bias).chunk(3, dim=1)
    parts = []
    for h in range(heads):
        cut = slice(h * width, (h + 1) * width)
        scores = q[:, cut] @ k[:, cut].T / math.sqrt(width)
        weights = scores.exp() / scores.exp().sum(1, keepdim=True)
        parts.append(weights @ v[:, cut])
    return torch.cat(parts, dim=1) @ attention.out.weight.T + attention.out.bias


def plain_branches(block: SpatialSpectralTransformer, x: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """A_s band by band and A_f pixel by pixel, ``(N, D, H, W, d)``."""
    t = x.permute(0, 2, 3, 4, 1)
    n, depth, height, width, dim = t.shape
    norm = block.norm_attention
    u = (t - t.mean(-1, keepdim=True)) / (t.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    u = u * norm.weight + norm.bias
    spatial, spectral = torch.empty_like(t), torch.empty_like(t)
    for i, band in itertools.product(range(n), range(depth)):
        pixels = u[i, band].reshape(-1, dim)
        spatial[i, band] = plain_sequence(pixels, block.spatial, heads).reshape(height, width, dim)
    for i, row, column in itertools.product(range(n), range(height), range(width)):
        spectral[i, :, row, column] = plain_sequence(u[i, :, row, column], block.spectral, heads)
    return spatial, spectral


def plain_gate(block: SpatialSpectralTransformer, spatial: Tensor, spectral: Tensor) -> Tensor:
    if block.gate_kind == "scalar":
        return 1 / (1 + torch.exp(-block.gate_logit))
    logits = torch.cat([spatial, spectral], dim=-1) @ block.gate.weight.T + block.gate.bias
    return 1 / (1 + torch.exp(-logits))


def plain_rest(block: SpatialSpectralTransformer, t1: Tensor) -> Tensor:
    """The gated feed-forward part on ``(N, D, H, W, d)``, back to ``(N, d, D, H, W)``."""
    norm = block.norm_gffn
    v = F.layer_norm(t1, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    w1, w2 = block.gffn_in.weight.chunk(2)
    b1, b2 = block.gffn_in.bias.chunk(2)
    first, second = v @ w1.T + b1, v @ w2.T + b2
    if block.gffn_kind == "geglu":
        hidden = first * 0.5 * (1 + torch.erf(first / math.sqrt(2))) * second
    else:
        hidden = first / (1 + torch.exp(-second))
    return (t1 + hidden @ block.gffn_out.weight.T + block.gffn_out.bias).permute(0, 4, 1, 2, 3)


def plain_block(
    block: SpatialSpectralTransformer, x: Tensor, heads: int, gate: float | None = None
) -> Tensor:
    spatial, spectral = plain_branches(block, x, heads)
    g = plain_gate(block, spatial, spectral) if gate is None else gate
    return plain_rest(block, x.permute(0, 2, 3, 4, 1) + g * spatial + (1 - g) * spectral)


def set_gate(block: SpatialSpectralTransformer, logit: float) -> None:
    """Make the gate constant; at +-1000 the sigmoid is exactly 1 or 0."""
    with torch.no_grad():
        if block.gate_kind == "scalar":
            block.gate_logit.fill_(logit)
        else:
            block.gate.weight.zero_()
            block.gate.bias.fill_(logit)


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 2),
    depth=st.sampled_from([1, 2, 5]),
    height=st.integers(1, 3),
    width=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
    ratio=st.integers(1, 3),
    gate=st.sampled_from(GATES),
    gffn=st.sampled_from(["geglu", "sigmoid"]),
    last=st.booleans(),
)
def test_equals_its_equations(
    n: int, depth: int, height: int, width: int, heads: int, ratio: int, gate: str, gffn: str, last: bool
) -> None:
    block = random_block(8, heads=heads, ratio=ratio, gate=gate, gffn=gffn)
    x = torch.randn(n, 8, depth, height, width, dtype=torch.float64)
    if last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(block(x), plain_block(block, x, heads))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("shape", [(2, 4, 3, 2, 1), (2, 4, 3, 1, 1), (1, 4, 1, 2, 2)])
def test_gradcheck_input_and_parameters(gate: str, shape: tuple[int, ...]) -> None:
    block = random_block(4, heads=2, gate=gate, gffn="geglu" if gate != "token" else "sigmoid")
    names = [name for name, _ in block.named_parameters()]
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(block, dict(zip(names, parameters, strict=True)), x)
        return result

    assert torch.autograd.gradcheck(run, (x, *block.parameters()), fast_mode=True)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_forced_gate_removes_the_other_branch(gate: str, share: float) -> None:
    block = random_block(8, heads=2, gate=gate)
    set_gate(block, 1000.0 if share else -1000.0)
    x = torch.randn(2, 8, 4, 3, 2, dtype=torch.float64)
    before = block(x)
    torch.testing.assert_close(before, plain_block(block, x, 2, gate=share))
    unused = block.spectral if share else block.spatial
    with torch.no_grad():
        for parameter in unused.parameters():
            parameter.normal_()
    torch.testing.assert_close(block(x), before)


def test_gate_starts_at_an_equal_mix() -> None:
    block = SpatialSpectralTransformer(8, gate="scalar")
    assert block.gate_map(torch.randn(1, 8, 3, 2, 2)).item() == 0.5
    assert SpatialSpectralTransformer(8).gate.bias.abs().max() == 0


@pytest.mark.parametrize(("gate", "channels"), [("token_channel", 8), ("token", 1)])
def test_gate_map_is_the_gate_of_the_equations(gate: str, channels: int) -> None:
    block = random_block(8, heads=2, gate=gate)
    x = torch.randn(2, 8, 4, 3, 2, dtype=torch.float64)
    found = block.gate_map(x)
    assert found.shape == (2, channels, 4, 3, 2)
    torch.testing.assert_close(found, plain_gate(block, *plain_branches(block, x, 2)).permute(0, 4, 1, 2, 3))


def test_attention_maps_have_the_stated_shapes_and_sum_to_one() -> None:
    spatial, spectral = random_block(8, heads=2).attention_maps(
        torch.randn(2, 8, 5, 3, 2, dtype=torch.float64)
    )
    assert spatial.shape == (2, 5, 2, 6, 6)
    assert spectral.shape == (2, 6, 2, 5, 5)
    for maps in (spatial, spectral):
        torch.testing.assert_close(maps.sum(-1), torch.ones_like(maps[..., 0]))


def test_permuted_positions_permute_the_spatial_branch_alike() -> None:
    attention = AxisAttention(8, 2, axis=2).double()
    u = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    order = torch.randperm(9)
    torch.testing.assert_close(attention(u[:, :, order]), attention(u)[:, :, order])


def test_a_pixel_does_not_reach_the_spectral_branch_of_another() -> None:
    attention = AxisAttention(8, 2, axis=1).double()
    u = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    changed = u.clone()
    changed[:, :, 3] += 1
    difference = (attention(changed) - attention(u)).abs().amax(dim=(0, 1, 3))
    assert difference[3] > 1e-3
    assert difference[[i for i in range(9) if i != 3]].max() == 0


def test_a_band_does_not_reach_the_spatial_branch_of_another() -> None:
    attention = AxisAttention(8, 2, axis=2).double()
    u = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    changed = u.clone()
    changed[:, 1] += 1
    difference = (attention(changed) - attention(u)).abs().amax(dim=(0, 2, 3))
    assert difference[1] > 1e-3
    assert difference[[0, 2, 3]].max() == 0


@pytest.mark.parametrize("samples", [1, 4])
def test_one_token_gives_its_value_and_zero_gradients_to_queries_and_keys(samples: int) -> None:
    block = random_block(8, heads=2)
    x = torch.randn(samples, 8, 5, 1, 1, dtype=torch.float64)
    out = block(x)
    torch.testing.assert_close(out, plain_block(block, x, 2))
    out.square().sum().backward()
    grad = block.spatial.qkv.weight.grad
    assert grad is not None
    assert grad[:16].abs().max() == 0
    assert grad[16:].abs().min() > 0


def test_projections_are_xavier_uniform_one_by_one() -> None:
    block = SpatialSpectralTransformer(64)
    bound = math.sqrt(6 / (64 + 64))
    for weight in (
        *block.spatial.qkv.weight.chunk(3),
        *block.spectral.qkv.weight.chunk(3),
        block.spatial.out.weight,
    ):
        assert 0.98 * bound < weight.abs().max().item() <= bound
    for weight in block.gffn_in.weight.chunk(2):
        assert 0.98 * math.sqrt(6 / (64 + 128)) < weight.abs().max().item() <= math.sqrt(6 / (64 + 128))
    biases = [p for name, p in block.named_parameters() if name.endswith("bias") and "norm" not in name]
    assert all(bias.abs().max() == 0 for bias in biases)


def test_placement_of_the_transformer_in_the_mixer() -> None:
    after = [type(m) for m in TransformerMixer(12, 16).modules()]
    before = [type(m) for m in TransformerMixer(12, 16, placement="before_expand").modules()]
    assert after.index(nn.Conv3d) < after.index(SpatialSpectralTransformer)
    assert before.index(nn.Conv3d) > before.index(SpatialSpectralTransformer)
    x = torch.randn(2, 12, 3, 2, 2)
    for placement in ("after_expand", "before_expand"):
        assert TransformerMixer(12, 16, placement=placement)(x).shape == (2, 16, 3, 2, 2)


def test_block_traces_whole_with_gradients() -> None:
    block = random_block(8, heads=2)
    x = torch.randn(2, 8, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    traced = torch.compile(block, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        torch.autograd.grad(traced(x).square().sum(), x), torch.autograd.grad(block(x).square().sum(), x)
    )


def test_output_is_channels_last() -> None:
    x = torch.randn(2, 8, 3, 3, 2).contiguous(memory_format=torch.channels_last_3d)
    assert SpatialSpectralTransformer(8)(x).is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 3}, "3 does not divide 8"),
        ({"heads": 0}, "at least 1"),
        ({"ratio": 0}, "at least 1"),
        ({"gate": "both"}, "gate must be one of"),
        ({"gffn": "relu"}, "gffn must be one of"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        SpatialSpectralTransformer(8, **options)  # type: ignore[arg-type]


def test_bad_input_is_named() -> None:
    with pytest.raises(ModelError, match=r"\(N, 8, D, H, W\)"):
        SpatialSpectralTransformer(8)(torch.randn(2, 4, 3, 3, 3))


def test_placement_before_the_expansion_costs_three_times_the_parameters() -> None:
    after, before = (
        sum(p.numel() for p in stnet(200, 16, 11, placement=placement).parameters())
        for placement in ("after_expand", "before_expand")
    )
    assert 3 < before / after < 3.5


def test_bad_placement_is_named() -> None:
    with pytest.raises(ModelError, match="placement must be one of"):
        build_model("stnet", bands=20, classes=3, patch=7, placement="middle")
