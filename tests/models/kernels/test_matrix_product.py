import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.models.kernels import matrix_product as module
from hsi.models.kernels.matrix_product import Linear, linear, matrix_product

ORIGINAL = module._is_intel
LAYOUTS = {
    "rows": lambda m: m,
    "columns": lambda m: m.t().contiguous().t(),
    "part of a larger one": lambda m: torch.cat([m, m], dim=1)[:, : m.shape[1]],
}


@pytest.fixture(autouse=True, scope="module", params=["Intel", "another maker"])
def maker(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_is_intel", lambda: request.param == "Intel")
        yield request.param


def normal(*shape, seed, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(*(st.integers(1, 70),) * 3),
    left=st.sampled_from(sorted(LAYOUTS)),
    right=st.sampled_from(sorted(LAYOUTS)),
    seed=st.integers(0, 1000),
)
def test_equals_numpy_in_any_layout(sizes, left, right, seed):
    rows, inner, columns = sizes
    a, b = normal(rows, inner, seed=seed), normal(inner, columns, seed=seed + 1)
    expected = a.double().numpy() @ b.double().numpy()
    ours = matrix_product(LAYOUTS[left](a), LAYOUTS[right](b))
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6 * inner)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_is_pytorchs_own_product_without_onednn(dtype, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    monkeypatch.setattr(module, "_onednn", None)
    a, b = normal(40, 30, seed=1, dtype=dtype), normal(30, 20, seed=2, dtype=dtype)
    assert torch.equal(matrix_product(a, b), a @ b)


@pytest.mark.skipif(
    not module._has_both_libraries(), reason="this PyTorch has one library for products, or none"
)
def test_takes_onednn_for_float32_alone_and_not_on_intel(maker, monkeypatch):
    taken = []
    monkeypatch.setattr(module, "_onednn", lambda rows, other: taken.append(rows.dtype) or rows @ other.t())
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        matrix_product(normal(4, 3, seed=1, dtype=dtype), normal(3, 2, seed=2, dtype=dtype))
    assert taken == ([] if maker == "Intel" else [torch.float32])


@pytest.mark.parametrize(
    ("name", "intel"), [("Intel Xeon", True), ("AMD EPYC", False), ("", False), ("GenuineIntel", True)]
)
@pytest.mark.parametrize("old", [False, True])
def test_the_maker_is_known_by_name(name, intel, old, monkeypatch):
    if old:  # PyTorch without that function
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        monkeypatch.setattr("platform.processor", lambda: name)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": name}, raising=False)
    assert ORIGINAL.__wrapped__() is intel


def test_float64_keeps_its_digits():
    a, b = normal(50, 60, seed=1, dtype=torch.float64), normal(60, 40, seed=2, dtype=torch.float64)
    np.testing.assert_allclose(matrix_product(a, b), a.numpy() @ b.numpy(), rtol=0, atol=1e-12)


def test_same_bits_twice():
    a, b = normal(32, 252, seed=1), normal(2340, 252, seed=2).t()
    assert torch.equal(matrix_product(a, b), matrix_product(a, b))


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(0, 9), min_size=0, max_size=3),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    layout=st.sampled_from(sorted(LAYOUTS)),
    biased=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_linear_and_its_gradients_equal_numpy(shape, sizes, layout, biased, seed):
    inputs, outputs = sizes
    x = normal(*shape, inputs, seed=seed).requires_grad_()
    weight = LAYOUTS[layout](normal(outputs, inputs, seed=seed + 1)).requires_grad_()
    bias = normal(outputs, seed=seed + 2).requires_grad_() if biased else None
    y = linear(x, weight, bias)
    upstream = normal(*shape, outputs, seed=seed + 3)
    y.backward(upstream)
    a, w, g = (t.detach().double().numpy() for t in (x, weight, upstream))
    near = {"rtol": 1e-5, "atol": 1e-4}
    np.testing.assert_allclose(y.detach(), a @ w.T + (bias.detach().numpy() if biased else 0), **near)
    np.testing.assert_allclose(x.grad, g @ w, **near)
    rows, flat = a.reshape(-1, inputs), g.reshape(-1, outputs)
    np.testing.assert_allclose(weight.grad, flat.T @ rows, **near)
    if biased:
        np.testing.assert_allclose(bias.grad, flat.sum(axis=0), **near)


def test_linear_layer_is_pytorchs_under_a_compiler_autocast_and_float64(monkeypatch):
    layer, x = Linear(6, 4), normal(5, 6, seed=1)
    plain = torch.nn.Linear(6, 4)
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), plain(x))
    monkeypatch.setattr(module, "_onednn", None)
    assert torch.equal(layer.double()(x.double()), plain.double()(x.double()))
    layer.float(), plain.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), plain(x))
    with torch.no_grad():
        assert torch.equal(torch.compile(layer, backend="eager")(x), plain(x))
