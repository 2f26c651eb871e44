import copy
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from torch import nn

from hsi.errors import ModelError
from hsi.models import kan_product
from hsi.models.bspline import bspline_basis
from hsi.models.cost import count_macs
from hsi.models.densenet3d import DenseNet3D
from hsi.models.kanet import KANConv3d, KANet, kanet
from hsi.models.registry import build_model


def spread_knots(layer, seed=0):
    """Give each channel knots of its own, far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.rand(layer.grid.shape, generator=generator, dtype=torch.float64).pow(2) + 0.05
    layer.grid.copy_((steps.cumsum(1) - 0.5 * steps.sum(1, keepdim=True)).to(layer.grid))
    return layer


def make_layer(*sizes, seed=0, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    layer = spread_knots(KANConv3d(*sizes, noise=5.0, **options).to(dtype), seed)
    nn.init.normal_(layer.spline_scaler)
    return layer


def batch(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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
def test_equals_unfold_and_sum(kernel, stride, padding, sizes, grid, order, seed):
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
def test_gradcheck(kernel, stride, padding, order):
    channels = 2 if kernel == 1 else 1
    layer = make_layer(channels, 3 - channels, kernel, stride, padding, grid=3, order=order)
    x = batch(2, channels, 3, 3, 2).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


def gradients(layer, x, run=None):
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    layer.zero_grad()
    y = (run or layer)(x)
    y.backward(batch(*y.shape, seed=7).to(y.dtype))
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
@pytest.mark.parametrize("chunk", [1, 30, 47, 10**6])
def test_chunks_do_not_matter(kernel, padding, chunk, monkeypatch):
    layer, x = make_layer(3, 4, kernel, 1, padding), batch(5, 3, 4, 3, 2)
    whole = gradients(layer, x)
    monkeypatch.setattr(kan_product, "CPU_CHUNK", chunk)
    monkeypatch.setattr(kan_product, "MIN_ROWS", 7)
    for ours, expected in zip(gradients(layer, x), whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, (2, 1, 1), 0)]
)
def test_any_strides_and_the_plain_form_agree(kernel, stride, padding):
    layer, x = make_layer(4, 5, kernel, stride, padding), batch(2, 4, 5, 3, 4)
    expected = gradients(layer, x, lambda x: torch.compile(layer, backend="eager", fullgraph=True)(x))
    wide = torch.stack([x, x], dim=3).flatten(3, 4)
    forms = [x, x.contiguous(memory_format=torch.channels_last_3d), wide.view(2, 4, 5, 2, 3, 4)[:, :, :, 0]]
    for form in forms:
        for ours, other in zip(gradients(layer, form), expected, strict=True):
            torch.testing.assert_close(ours, other, rtol=1e-10, atol=1e-10)
        assert layer(form).is_contiguous(memory_format=torch.channels_last_3d)


def test_saves_only_its_input_and_weights():
    layer, x = make_layer(8, 4, dtype=torch.float32), batch(4, 8, 20, 5, 5, dtype=torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        layer(x.requires_grad_())
    kept = {t.untyped_storage().data_ptr(): t.numel() for t in saved}
    parameters = sum(p.numel() for p in layer.parameters())
    assert sum(kept.values()) <= x.numel() + 3 * parameters + layer.grid.numel()


def test_without_splines_it_is_a_linear_layer_of_silu():
    layer, x = make_layer(3, 4), batch(2, 3, 5, 2, 2)
    nn.init.zeros_(layer.spline_weight)
    expected = F.conv3d(F.silu(x), layer.base_weight.view(4, 3, 1, 1, 1))
    torch.testing.assert_close(layer(x), expected)


class RowKAN(nn.Module):
    """A KAN layer on rows with efficient-kan's names and shapes."""

    def __init__(self, features, out, grid=5, order=3):
        super().__init__()
        self.base_weight = nn.Parameter(torch.randn(out, features))
        self.spline_weight = nn.Parameter(torch.randn(out, features, grid + order))
        self.spline_scaler = nn.Parameter(torch.randn(out, features))
        knots = (torch.arange(grid + 2 * order + 1) - order) * 0.4 - 1
        self.register_buffer("grid", knots.repeat(features, 1))

    def forward(self, x):
        scaled = (self.spline_weight * self.spline_scaler.unsqueeze(-1)).flatten(1)
        return F.linear(F.silu(x), self.base_weight) + F.linear(
            bspline_basis(x, self.grid, 3).flatten(1), scaled
        )


def test_weights_of_a_row_kan_load_and_go_back():
    torch.manual_seed(0)
    rows, layer = RowKAN(6, 4), KANConv3d(6, 4)
    assert {k: v.shape for k, v in rows.state_dict().items()} == {
        k: v.shape for k, v in layer.state_dict().items()
    }
    layer.load_state_dict(rows.state_dict())
    x = batch(3, 6, 4, 2, 2, dtype=torch.float32)
    expected = rows(x.permute(0, 2, 3, 4, 1).reshape(-1, 6)).view(3, 4, 2, 2, 4).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    back = RowKAN(6, 4)
    back.load_state_dict(layer.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(back.state_dict().values(), rows.state_dict().values(), strict=True)
    )


def test_one_voxel_at_a_time():
    layer, x = make_layer(3, 4), batch(2, 3, 4, 2, 3)
    y = layer(x)
    for n, d, h, w in np.ndindex(2, 4, 2, 3):
        torch.testing.assert_close(
            layer(x[n : n + 1, :, d : d + 1, h : h + 1, w : w + 1]).flatten(), y[n, :, d, h, w]
        )


def test_initial_weights():
    torch.manual_seed(0)
    layer = KANConv3d(20, 30)
    torch.testing.assert_close(layer.grid[7], torch.arange(-3.0, 9.0) * 0.4 - 1)
    samples = torch.einsum(
        "gk,oik->oig", bspline_basis(layer.grid[0, 3:9], layer.grid[0], 3), layer.spline_weight
    )
    assert 0.0098 < samples.abs().max() <= 0.01 + 1e-6
    assert abs(samples.mean()) < 2e-4
    for weight in (layer.base_weight, layer.spline_scaler):
        assert 0.98 / 20**0.5 < weight.abs().max() <= 1 / 20**0.5  # Kaiming-uniform with a = sqrt(5)


@pytest.mark.parametrize(
    ("bands", "classes", "parameters"), [(200, 16, 3_275_488), (103, 9, 3_272_681), (176, 13, 3_274_285)]
)
def test_parameter_counts(bands, classes, parameters):
    assert sum(p.numel() for p in kanet(bands, classes, 11).parameters()) == parameters


def test_macs_count_the_expanded_product():
    plain = count_macs(DenseNet3D(200, 16, 11, mixer=lambda i, o: nn.Conv3d(i, o, 1)), 200, 11)
    channels = [range(16, 48, 8), range(48, 144, 16), range(144, 400, 32)]
    pointwise = sum(
        c * 4 * k * n
        for layers, k, n in zip(channels, (8, 16, 32), (3600, 450, 25), strict=True)
        for c in layers
    )
    assert count_macs(kanet(200, 16, 11), 200, 11) == plain + 8 * pointwise


SMALL = {"layers": (1, 1, 1), "growth": (4, 4, 4)}


@pytest.mark.parametrize(("bands", "patch"), [(8, 7), (30, 9), (9, 11), (17, 17)])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_training_step_gives_finite_gradients(bands, patch, kernel_size):
    torch.manual_seed(0)
    model = kanet(bands, 4, patch, kernel_size=kernel_size, **SMALL)
    F.cross_entropy(
        model(batch(2, bands, patch, patch, dtype=torch.float32)), torch.tensor([0, 3])
    ).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_batch_equals_its_samples_in_eval():
    torch.manual_seed(0)
    model = kanet(20, 5, 9, **SMALL).eval()
    x = batch(5, 20, 9, 9, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(model(x), torch.cat([model(one[None]) for one in x]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"kernel_size": 3}, {"pre_norm": True}, {"grid": 3, "order": 2}])
def test_network_in_other_forms(options):
    torch.manual_seed(0)
    model = kanet(12, 5, 7, **SMALL, **options).eval()
    x = batch(3, 12, 7, 7, dtype=torch.float32)
    with torch.no_grad():
        eager = model(x)
        torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), eager)
        torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), eager)
        torch.testing.assert_close(copy.deepcopy(model).to(memory_format=torch.contiguous_format)(x), eager)
        torch.testing.assert_close(
            copy.deepcopy(model).double()(x.double()).float(), eager, rtol=1e-4, atol=1e-5
        )
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(x).float(), eager, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
def test_autocast_gives_finite_gradients_close_to_float32(kernel, padding):
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


def test_same_bits_twice():
    def run():
        torch.manual_seed(0)
        model = kanet(20, 5, 9, **SMALL)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for epoch in range(3):
            model.start_epoch(epoch)
            optimizer.zero_grad()
            F.cross_entropy(model(batch(6, 20, 9, 9, dtype=torch.float32)), torch.arange(6) % 5).backward()
            optimizer.step()
        return model.state_dict()

    first, second = run(), run()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_update_keeps_the_function_with_the_scaler_on():
    layer = make_layer(3, 4, dtype=torch.float64)
    layer.grid.copy_(torch.linspace(-2.2, 2.2, 12, dtype=torch.float64))
    x = 0.1 * batch(4, 3, 10, 5, 5).clamp(-1.9, 1.9)  # within one old interval, (-0.2, 0.2)
    before, old = layer(x), layer.grid.clone()
    layer.request_grid_update()
    after = layer(x)
    assert (layer.grid - old).abs().max() > 0.1
    assert (after - before).norm() < 1e-5 * before.norm()
    # New knots end at the data; the largest values may stand on their open end.
    inside = ((x > layer.grid[:, 3].view(3, 1, 1, 1)) & (x < layer.grid[:, -4].view(3, 1, 1, 1))).all(dim=1)
    change = (after - before).abs().amax(dim=1)[inside]
    assert change.max() < 1e-5 * before.abs().max()


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
def test_update_again_on_the_same_data_changes_nothing(kernel, padding):
    layer, x = make_layer(3, 4, kernel, 1, padding), batch(4, 3, 10, 5, 5)
    layer.request_grid_update(rows=300)
    first, grid = layer(x), layer.grid.clone()
    layer.request_grid_update(rows=300)
    assert (layer(x) - first).abs().max() < 1e-5 * first.abs().max()
    assert torch.equal(layer.grid, grid)


@pytest.mark.parametrize("value", [0.0, 1e-12, 0.3, 5e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_update_survives_degenerate_input(value, dtype):
    layer = make_layer(3, 4, dtype=dtype)
    x = torch.full((2, 3, 4, 2, 2), value, dtype=dtype)
    x[:, 1] *= batch(2, 4, 2, 2, dtype=dtype)
    layer.request_grid_update()
    assert torch.isfinite(layer(x)).all()
    assert torch.isfinite(layer.spline_weight).all()
    assert (layer.grid.diff(dim=1) > 0).all()


def test_update_happens_once_in_training_only_and_is_no_state():
    layer, x = make_layer(2, 3), batch(2, 2, 3, 3, 3) * 4
    old = copy.deepcopy(layer.state_dict())
    layer.request_grid_update()
    assert layer.state_dict().keys() == old.keys()
    layer.eval()(x)
    assert torch.equal(layer.grid, old["grid"])
    layer.train()(x)
    new = layer.grid.clone()
    assert not torch.equal(new, old["grid"])
    layer(x * 3)
    assert torch.equal(layer.grid, new)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_update_leaves_all_as_it_was_on_bad_input(bad):
    layer, x = make_layer(2, 3), batch(2, 2, 3, 3, 3)
    old = copy.deepcopy(layer.state_dict())
    x[0, 0, 0, 0, 0] = bad
    layer.request_grid_update()
    layer(x)
    assert all(torch.equal(old[key], value) for key, value in layer.state_dict().items())


def test_update_takes_the_result_of_process_0(monkeypatch):
    first, other, x = make_layer(2, 3), make_layer(2, 3), batch(2, 2, 3, 3, 3)
    first.request_grid_update()
    first(x)
    results = [first.grid, first.spline_weight.data]

    def broadcast(tensor, src):
        assert src == 0
        tensor.copy_(results.pop(0))

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast", broadcast)
    other.request_grid_update()
    assert torch.equal(other(3 * x + 1), first(3 * x + 1))
    assert not results


def test_epochs_1_to_20_request_updates():
    for on in (True, False):
        model = kanet(8, 3, 7, grid_update=on, **SMALL)
        layers = [m for m in model.modules() if isinstance(m, KANConv3d)]
        asked = []
        for epoch in range(25):
            model.start_epoch(epoch)
            asked.append(all(layer._update_rows for layer in layers))
            model(batch(2, 8, 7, 7, dtype=torch.float32))
            assert not any(layer._update_rows for layer in layers)
        assert [epoch for epoch, yes in enumerate(asked) if yes] == (list(range(1, 21)) if on else [])


def test_adapted_knots_survive_saving():
    torch.manual_seed(0)
    model, x = kanet(8, 3, 7, **SMALL), batch(4, 8, 7, 7, dtype=torch.float32)
    model.start_epoch(1)
    model(x)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = kanet(8, 3, 7, **SMALL)
    other.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(other.eval()(x), model.eval()(x))


def test_is_registered():
    model = build_model("kanet", bands=8, classes=3, patch=7, **SMALL)
    assert isinstance(model, KANet)
    assert "KANConv3d(8, 16, kernel_size=(1, 1, 1)" in repr(model)


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((0, 3), {}),
        ((3, 0), {}),
        ((3, 3, 0), {}),
        ((3, 3, (1, 2)), {}),
        ((3, 3, 1, 0), {}),
        ((3, 3, 1, 1, -1), {}),
        ((3, 3), {"grid": 0}),
        ((3, 3), {"order": 0}),
        ((3, 3), {"order": 6}),
        ((3, 3), {"grid_range": (1.0, -1.0)}),
    ],
)
def test_refuses_bad_options(sizes, options):
    with pytest.raises(ModelError):
        KANConv3d(*sizes, **options)


def test_refuses_bad_input_weights_and_kernels():
    layer = KANConv3d(3, 4)
    for shape in [(2, 3, 4, 4), (2, 5, 4, 4, 4)]:
        with pytest.raises(ModelError, match="KANConv3d takes"):
            layer(torch.zeros(shape))
    state = layer.state_dict()
    state["grid"] = state["grid"].flip(1)
    with pytest.raises(ModelError, match="increase"):
        layer.load_state_dict(state)
    with pytest.raises(ModelError, match="odd"):
        kanet(8, 3, 7, kernel_size=2)
