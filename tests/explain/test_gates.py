import numpy as np
import pytest
import torch

import hsi
from hsi.explain.gates import mean_share
from hsi.models.stnet import SpatialSpectralTransformer


def gate_by_hand(module, x):
    """The equations of `hsi.models.stnet` in double precision, token by token."""
    p = {name: value.detach().double().numpy() for name, value in module.named_parameters()}
    t = np.moveaxis(x.double().numpy(), 0, -1)  # one sample (d, D, H, W) -> (D, H, W, d)
    spread = np.sqrt(t.var(axis=-1, keepdims=True) + module.norm_attention.eps)
    u = (t - t.mean(axis=-1, keepdims=True)) / spread * p["norm_attention.weight"] + p["norm_attention.bias"]
    dim, heads = u.shape[-1], module.spatial.heads
    width = dim // heads

    def attention(tokens, name):
        q, k, v = np.split(tokens @ p[f"{name}.qkv.weight"].T + p[f"{name}.qkv.bias"], 3, axis=-1)
        out = np.zeros_like(tokens)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(len(tokens)):
                scores = np.exp(q[i, part] @ k[:, part].T / np.sqrt(width))
                out[i, part] = scores / scores.sum() @ v[:, part]
        return out @ p[f"{name}.out.weight"].T + p[f"{name}.out.bias"]

    depth, height, across, _ = u.shape
    spatial, spectral = np.zeros_like(u), np.zeros_like(u)
    for d in range(depth):
        spatial[d] = attention(u[d].reshape(-1, dim), "spatial").reshape(height, across, dim)
    for h, w in np.ndindex(height, across):
        spectral[:, h, w] = attention(u[:, h, w], "spectral")
    if module.gate_kind == "scalar":
        return 1 / (1 + np.exp(-p["gate_logit"]))
    joined = np.concatenate([spatial, spectral], axis=-1)
    return (1 / (1 + np.exp(-(joined @ p["gate.weight"].T + p["gate.bias"])))).mean()


def test_the_map_is_the_gate_of_each_patch(run_of, patches_round):
    run = run_of("stnet")
    found = hsi.explain.gate(run, device="cpu")
    assert found.share.shape == (24, 20)
    assert (found.share > 0).all()
    assert (found.share < 1).all()
    assert found.layers == ("1.1", "1.2", "2.1", "3.1")
    pixels = [0, 123, 479]
    _, modules, inputs = patches_round(run, pixels, SpatialSpectralTransformer)
    each = np.array([[gate_by_hand(m, x[i]) for m, x in zip(modules, inputs, strict=True)] for i in range(3)])
    assert each.std() > 1e-3  # the gate has learned something
    np.testing.assert_allclose(found.share.ravel()[pixels], each.mean(axis=1), rtol=1e-5)
    one = hsi.explain.gate(run, layer=2, device="cpu")
    np.testing.assert_allclose(one.share.ravel()[pixels], each[:, 2], rtol=1e-5)
    np.testing.assert_allclose(one.by_layer, one.share.mean(), rtol=1e-5)
    assert found.figure().get_size_inches()[0] < 4
    assert one.layers == ("2.1",)


@pytest.mark.parametrize("kind", ["token_channel", "token", "scalar"])
def test_every_kind_of_gate(kind):
    torch.manual_seed(0)
    module = SpatialSpectralTransformer(8, heads=2, gate=kind).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        x = torch.randn(2, 8, 3, 2, 2)
        found = mean_share(module, x)
    assert found.shape == (2, 1)
    np.testing.assert_allclose(found[:, 0], [gate_by_hand(module, one) for one in x], rtol=1e-5)


def test_the_gate_is_the_one_that_forward_mixes_with():
    """With the feed-forward network silent, the output gives the gate away."""
    torch.manual_seed(0)
    module = SpatialSpectralTransformer(8, heads=2).eval().double()
    with torch.no_grad():
        module.gate.weight.normal_()
        module.gffn_out.weight.zero_()
        x = torch.randn(2, 8, 3, 2, 2).double()
        tokens = x.permute(0, 2, 3, 4, 1).flatten(2, 3)
        u = module.norm_attention(tokens)
        spatial, spectral = module.spatial(u), module.spectral(u)
        mixed = (module(x) - x).permute(0, 2, 3, 4, 1).flatten(2, 3)
        share = (mixed - spectral) / (spatial - spectral)
    assert mean_share(module, x)[:, 0].tolist() == pytest.approx(share.mean(dim=(1, 2, 3)).tolist(), rel=1e-6)
