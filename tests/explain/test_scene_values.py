from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import hsi
from hsi.errors import InputError
from hsi.explain.scene_values import draw_scene_values, mean_share
from hsi.figures.style import COLUMN_MM, PAGE_MM
from hsi.models.ekgnet import ExpertKernelConv3d
from hsi.models.stnet import SpatialSpectralTransformer

VALUES = np.linspace(0.2, 0.7, 4 * 5 * 2).reshape(4, 5, 2)
BY_LAYER = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])


def drawn(**options):
    given = {"titles": ["One", "Two"], "label": "Share (%)", "scale": 100.0, **options}
    return draw_scene_values(VALUES, BY_LAYER, ["1.1", "1.2", "2.1"], **given)


def test_maps_share_one_scale():
    maps, bar, below = drawn().subfigs
    assert [axes.get_title() for axes in maps.axes] == ["One", "Two"]
    for number, axes in enumerate(maps.axes):
        np.testing.assert_allclose(axes.images[0].get_array(), 100 * VALUES[..., number])
        assert axes.images[0].get_clim() == pytest.approx((20, 70))
    assert bar.axes[0].get_xlabel() == "Share (%)"
    for number, line in enumerate(below.axes[0].lines):
        np.testing.assert_allclose(line.get_ydata(), 100 * BY_LAYER[:, number])
    assert [text.get_text() for text in below.axes[0].get_xticklabels()] == ["1.1", "1.2", "2.1"]


def test_a_balance_has_its_middle_in_the_middle():
    image = drawn(middle=50.0).subfigs[0].axes[0].images[0]
    assert image.get_clim() == pytest.approx((20, 80))


def test_one_map_takes_a_column_and_one_layer_no_panel():
    figure = draw_scene_values(VALUES[..., :1], BY_LAYER[:1, :1], ["1.1"], titles=[""], label="x")
    assert len(figure.subfigs) == 2
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(COLUMN_MM)
    assert drawn().get_size_inches()[0] * 25.4 == pytest.approx(PAGE_MM)


def test_pixels_without_data_are_no_numbers():
    values = VALUES.copy()
    values[1, 2] = np.nan
    figure = draw_scene_values(values, BY_LAYER, ["a", "b", "c"], titles=["One", "Two"], label="x")
    image = figure.subfigs[0].axes[0].images[0]
    assert np.isnan(np.ma.filled(image.get_array(), np.nan)).sum() == 1
    assert image.cmap.get_bad()[:3] == pytest.approx([0.35] * 3)
    with pytest.raises(InputError, match="no pixel"):
        draw_scene_values(values * np.nan, BY_LAYER, ["a", "b", "c"], titles=["One", "Two"], label="x")


def weights_by_hand(module, x):
    """Equations of arXiv 2504.13045 and the mapper of the released code, in double precision."""
    p = {name: value.detach().double().numpy() for name, value in module.state_dict().items()}
    g = x.double().numpy().mean(axis=(1, 2, 3))  # one sample (C, D, H, W)

    def norm(v, name):
        q = {key: p[f"mapper.{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
        return (v - q["running_mean"]) / np.sqrt(q["running_var"] + 1e-5) * q["weight"] + q["bias"]

    def gelu(v):
        return np.array([a * (1 + math.erf(a / math.sqrt(2))) / 2 for a in v])

    def linear(v, name):
        weight, bias = p[f"mapper.{name}.weight"], p[f"mapper.{name}.bias"]
        return np.array([row.ravel() @ v for row in weight]) + bias

    h = linear(gelu(norm(linear(gelu(norm(g, "norm1")), "linear1"), "norm2")), "linear2")
    logits = linear(norm(h + g, "norm3"), "linear3")
    tau = math.exp(p["log_temperature"]) + 1e-3
    powers = [math.exp(logit / tau) for logit in logits]
    return np.array(powers) / sum(powers)


def test_the_map_is_the_softmax_of_each_patch(run_of, patches_round):
    run = run_of("ekgnet")
    found = hsi.explain.expert_weights(run, device="cpu")
    assert found.weights.shape == (24, 20, 3)
    np.testing.assert_allclose(found.weights.sum(axis=2), 1, rtol=1e-5)
    pixels = [0, 99, 479]
    _, modules, inputs = patches_round(run, pixels, ExpertKernelConv3d)
    each = np.array(
        [[weights_by_hand(m, x[i]) for m, x in zip(modules, inputs, strict=True)] for i in range(len(pixels))]
    )
    assert each.std(axis=0).max() > 1e-3  # pixels differ
    np.testing.assert_allclose(found.weights.reshape(-1, 3)[pixels], each.mean(axis=1), rtol=1e-4)
    for layer, name in enumerate(found.layers):
        one = hsi.explain.expert_weights(run, layer=layer, device="cpu")
        assert one.layers == (name,)
        np.testing.assert_allclose(one.weights.reshape(-1, 3)[pixels], each[:, layer], rtol=1e-4)
        np.testing.assert_allclose(found.by_layer[layer], one.weights.mean(axis=(0, 1)), rtol=1e-4)
    maps = found.figure().subfigs[0].axes
    assert [axes.get_title() for axes in maps] == ["Expert 1", "Expert 2", "Expert 3"]


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
    concat = np.concatenate([spatial, spectral], axis=-1)
    return (1 / (1 + np.exp(-(concat @ p["gate.weight"].T + p["gate.bias"])))).mean()


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
