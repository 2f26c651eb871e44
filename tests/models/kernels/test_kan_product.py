import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from torch import nn

from hsi.errors import ModelError
from hsi.models.kernels import kan_product


def unfold_and_sum(layer, x):
    """phi_oi(x_i) summed over each neighbourhood: loops in NumPy, splines by SciPy."""
    kd, kh, kw = layer.kernel_size
    sd, sh, sw = layer.stride
    pd, ph, pw = layer.padding
    out, _, size = layer.spline_weight.shape
    base = layer.base_weight.detach().numpy().reshape(out, -1, kd, kh, kw)
    scaler = layer.spline_scaler.detach().numpy().reshape(out, -1, kd, kh, kw)
    spline = layer.spline_weight.detach().numpy().reshape(out, -1, kd, kh, kw, size)
    x = np.pad(x.detach().numpy(), ((0, 0), (0, 0), (pd, pd), (ph, ph), (pw, pw)))
    basis = np.zeros((*x.shape, size))
    for c in range(x.shape[1]):
        knots = layer.grid[c].numpy()
        for j in range(size):
            piece = knots[j : j + layer.order + 2]
            value = BSpline.basis_element(piece, extrapolate=False)(x[:, c])
            basis[:, c, ..., j] = np.where((x[:, c] >= piece[0]) & (x[:, c] < piece[-1]), value, 0)
    silu = x / (1 + np.exp(-x))
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], (kd, kh, kw), (sd, sh, sw), strict=True)]
    y = np.zeros((len(x), out, *sizes))
    for d, h, w in np.ndindex(*sizes):
        at = (slice(None), slice(None), slice(d * sd, d * sd + kd), slice(h * sh, h * sh + kh))
        at = (*at, slice(w * sw, w * sw + kw))
        y[:, :, d, h, w] = np.einsum("ncijk,ocijk->no", silu[at], base)
        y[:, :, d, h, w] += np.einsum("ncijkm,ocijkm,ocijk->no", basis[at], spline, scaler)
    return y


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.sampled_from([1, 3, (3, 1, 2), (1, 2, 3)]),
    stride=st.sampled_from([1, 2, (1, 2, 3)]),
    padding=st.sampled_from([0, 1, (0, 1, 2)]),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), *(st.integers(1, 5),) * 3),
    grid=st.integers(1, 6),
    order=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_equals_unfold_and_sum(make_layer, batch, kernel, stride, padding, sizes, grid, order, seed):
    layer = make_layer(sizes[1], 3, kernel, stride, padding, grid=grid, order=order, seed=seed)
    x = batch(*sizes, seed=seed)
    padded = [n + 2 * p for n, p in zip(sizes[2:], layer.padding, strict=True)]
    if any(n < k for n, k in zip(padded, layer.kernel_size, strict=True)):
        with pytest.raises(ModelError, match="smaller than the kernel"):
            layer(x)
        return
    np.testing.assert_allclose(layer(x).detach().numpy(), unfold_and_sum(layer, x), atol=1e-11)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (1, 2, 1), (3, 1, 1), ((3, 1, 2), (2, 1, 1), 0)]
)
@pytest.mark.parametrize("order", [1, 3])
def test_gradcheck(make_layer, batch, kernel, stride, padding, order):
    channels = 2 if kernel == 1 else 1
    layer = make_layer(channels, 3 - channels, kernel, stride, padding, grid=3, order=order)
    x = batch(2, channels, 3, 3, 2).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
@pytest.mark.parametrize("chunk", [1, 30, 47, 10**6])
def test_chunks_do_not_matter(make_layer, batch, gradients, kernel, padding, chunk, monkeypatch):
    layer, x = make_layer(3, 4, kernel, 1, padding), batch(5, 3, 4, 3, 2)
    whole = gradients(layer, x)
    monkeypatch.setattr(kan_product, "CPU_CHUNK", chunk)
    monkeypatch.setattr(kan_product, "MIN_ROWS", 7)
    for ours, expected in zip(gradients(layer, x), whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, (2, 1, 1), 0)]
)
def test_any_strides_and_the_plain_form_agree(make_layer, batch, gradients, kernel, stride, padding):
    layer, x = make_layer(4, 5, kernel, stride, padding), batch(2, 4, 5, 3, 4)
    expected = gradients(layer, x, lambda x: torch.compile(layer, backend="eager", fullgraph=True)(x))
    wide = torch.stack([x, x], dim=3).flatten(3, 4)
    forms = [x, x.contiguous(memory_format=torch.channels_last_3d), wide.view(2, 4, 5, 2, 3, 4)[:, :, :, 0]]
    for form in forms:
        for ours, other in zip(gradients(layer, form), expected, strict=True):
            torch.testing.assert_close(ours, other, rtol=1e-10, atol=1e-10)
        assert layer(form).is_contiguous(memory_format=torch.channels_last_3d)


def test_saves_only_its_input_and_weights(make_layer, batch):
    layer, x = make_layer(8, 4, dtype=torch.float32), batch(4, 8, 20, 5, 5, dtype=torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        layer(x.requires_grad_())
    kept = {t.untyped_storage().data_ptr(): t.numel() for t in saved}
    parameters = sum(p.numel() for p in layer.parameters())
    assert sum(kept.values()) <= x.numel() + 3 * parameters + layer.grid.numel()


def test_without_splines_it_is_a_linear_layer_of_silu(make_layer, batch):
    layer, x = make_layer(3, 4), batch(2, 3, 5, 2, 2)
    nn.init.zeros_(layer.spline_weight)
    expected = F.conv3d(F.silu(x), layer.base_weight.view(4, 3, 1, 1, 1))
    torch.testing.assert_close(layer(x), expected)


def test_one_voxel_at_a_time(make_layer, batch):
    layer, x = make_layer(3, 4), batch(2, 3, 4, 2, 3)
    y = layer(x)
    for n, d, h, w in np.ndindex(2, 4, 2, 3):
        torch.testing.assert_close(
            layer(x[n : n + 1, :, d : d + 1, h : h + 1, w : w + 1]).flatten(), y[n, :, d, h, w]
        )


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
def test_autocast_gives_finite_gradients_close_to_float32(make_layer, batch, gradients, kernel, padding):
    layer, x = (
        make_layer(4, 6, kernel, 1, padding, dtype=torch.float32),
        batch(3, 4, 5, 3, 3, dtype=torch.float32),
    )
    exact = gradients(layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        ours = gradients(layer, x)
    assert ours[0].dtype == torch.bfloat16
    lower = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert lower.dtype == torch.bfloat16
    assert (lower - exact[0]).norm() < 0.05 * exact[0].norm()
    for half, full in zip(ours, exact, strict=True):
        assert (half - full).norm() < 0.02 * full.norm()


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
def test_float32_is_close_to_float64(kernel, padding, make_layer, batch, gradients):
    layer, x = make_layer(8, 12, kernel, 1, padding), batch(4, 8, 10, 5, 5)
    exact = gradients(layer, x)
    single = gradients(copy.deepcopy(layer).float(), x.float())
    for ours, expected in zip(single, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - expected).norm() < 1e-5 * expected.norm()


def test_layers_of_any_size_and_thread_share_memory_without_a_trace(make_layer, batch):
    layers = [make_layer(2, 3, 1, seed=1), make_layer(3, 2, 3, 1, 1, seed=2), make_layer(2, 3, 1, seed=3)]
    inputs = [batch(2, 2, 4, 3, 3, seed=1), batch(1, 3, 2, 3, 3, seed=2), batch(3, 2, 5, 2, 2, seed=3)]
    layers[2].float()
    inputs[2] = inputs[2].float()

    def alone(number):
        x = inputs[number].clone().requires_grad_()
        y = layers[number](x)
        return y.detach(), *torch.autograd.grad(y.square().sum(), x)

    expected = [alone(number) for number in range(3)]
    xs = [x.clone().requires_grad_() for x in inputs]
    ys = [layer(x) for layer, x in zip(layers, xs, strict=True)]  # all forward, then all backward
    grads = [torch.autograd.grad(y.square().sum(), x)[0] for y, x in reversed(list(zip(ys, xs, strict=True)))]
    for (y, grad), ours, own in zip(expected, ys, reversed(grads), strict=True):
        assert torch.equal(y, ours)
        assert torch.equal(grad, own)
    with ThreadPoolExecutor(3) as pool:
        for number, found in enumerate(pool.map(alone, [0, 1, 2] * 4)):
            assert all(map(torch.equal, found, expected[number % 3]))


def test_memory_first_used_in_inference_mode_serves_a_training(make_layer, batch):
    kan_product._thread.buffer = None
    layer, x = make_layer(2, 3, 3, 1, 1, seed=1), batch(2, 2, 4, 3, 3, seed=1)
    with torch.inference_mode():
        looked = layer(x)
    found = layer(x)
    found.sum().backward()
    with torch.inference_mode():
        assert torch.equal(layer(x), looked)
    assert torch.equal(found, looked)
