import math

import numpy as np

import hsi
from hsi.models.ekgnet import ExpertKernelConv3d


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
    tau = math.log1p(math.exp(p["temperature_logit"])) + 1e-3
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
