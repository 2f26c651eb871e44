"""The fused dense block and pooling against PyTorch's functions."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsi.models.kernels import norm_conv
from hsi.models.kernels.dense_block import LayerModules, dense_block, halve


def build(channels: int, growth: int, count: int, groups: int = 2, width: int = 4) -> nn.ModuleList:
    """Layers of (BN, 1x1x1, BN, 3x3x3), with parameters and averages that are not those at the start."""
    layers = nn.ModuleList()
    for _ in range(count):
        parts = (
            nn.BatchNorm3d(channels),
            nn.Conv3d(channels, width, 1, bias=False),
            nn.BatchNorm3d(width),
            nn.Conv3d(width, growth, 3, padding=1, groups=groups, bias=False),
        )
        layers.append(nn.ModuleList(parts))
        channels += growth
    for module in layers.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return layers.double()


def ours(x: Tensor, layers: nn.ModuleList) -> Tensor:
    return dense_block(x, [LayerModules(*layer) for layer in layers])  # type: ignore[misc]


def theirs(x: Tensor, layers: nn.ModuleList) -> Tensor:
    for layer in layers:
        norm1, conv1, norm2, conv2 = vars(LayerModules(*layer)).values()  # type: ignore[misc]
        y = F.relu(norm2(F.conv3d(F.relu(norm1(x)), conv1.weight)))
        x = torch.cat([x, F.conv3d(y, conv2.weight, padding=1, groups=conv2.groups)], 1)
    return x


def check(x: Tensor, layers: nn.ModuleList, tolerance: float) -> None:
    other = copy.deepcopy(layers)
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    got, want = ours(x1, layers), theirs(x2, other)
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)
    grad = torch.randn_like(want)
    got_grads = torch.autograd.grad(got, (x1, *layers.parameters()), grad)
    want_grads = torch.autograd.grad(want, (x2, *other.parameters()), grad)
    for a, b in zip(got_grads, want_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    for a, b in zip(layers.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b)


@settings(max_examples=25, deadline=None)
@given(
    samples=st.integers(3, 6),
    channels=st.integers(1, 5),
    growth=st.sampled_from([2, 4]),
    count=st.integers(1, 3),
    size=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4)),
    training=st.booleans(),
    chunk=st.sampled_from([1, 100, 1 << 20]),
    seed=st.integers(0, 2**16),
)
def test_same_as_layer_by_layer(
    samples: int,
    channels: int,
    growth: int,
    count: int,
    size: tuple[int, int, int],
    training: bool,
    chunk: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    layers = build(channels, growth, count).train(training)
    x = 1 + torch.randn(samples, channels, *size, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(norm_conv, "CHUNK", chunk)
        check(x, layers, 1e-7)  # a variance of three values can be small, and its inverse large
        with torch.no_grad():
            torch.testing.assert_close(
                ours(x, layers), theirs(x, copy.deepcopy(layers)), rtol=1e-7, atol=1e-7
            )


@pytest.mark.parametrize("frozen", [0, 2])
def test_some_batch_norms_frozen(frozen: int) -> None:
    """Fine-tuning keeps the averages of some batch norms; each follows its own switch."""
    torch.manual_seed(0)
    layers = build(3, 4, 3).train()
    for layer in layers:
        layer[frozen].eval()  # type: ignore[index]
    check(torch.randn(4, 3, 4, 3, 3).double(), layers, 1e-10)


def test_gradcheck_over_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    monkeypatch.setattr(norm_conv, "CHUNK", 30)
    layers = build(2, 2, 2).train()
    x = torch.randn(3, 2, 3, 1, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layers.named_parameters()]

    def run(x: Tensor, *values: Tensor) -> Tensor:
        for name, value in zip(names, values, strict=True):
            owner, _, leaf = name.rpartition(".")
            layers.get_submodule(owner)._parameters[leaf] = value  # type: ignore[assignment]
        return ours(x, layers)

    leaves = [p.detach().clone().requires_grad_() for p in layers.parameters()]
    assert torch.autograd.gradcheck(run, (x, *leaves))


def test_backward_twice_gives_the_same() -> None:
    torch.manual_seed(2)
    layers = build(3, 4, 2).train()
    out = ours(torch.randn(4, 3, 4, 3, 3).double(), layers).square().sum()
    first = torch.autograd.grad(out, tuple(layers.parameters()), retain_graph=True)
    second = torch.autograd.grad(out, tuple(layers.parameters()))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_input_and_its_gradient_are_left_alone() -> None:
    torch.manual_seed(3)
    layers = build(3, 4, 2).train()
    x = torch.randn(4, 3, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    kept = x.detach().clone()
    out = ours(x, layers)
    grad = torch.randn_like(out)
    grad_kept = grad.clone()
    out.backward(grad)  # type: ignore[no-untyped-call]
    assert torch.equal(x, kept)
    assert torch.equal(grad, grad_kept)


sizes = st.integers(2, 7)


@settings(max_examples=30, deadline=None)
@given(size=st.tuples(sizes, sizes, sizes), samples=st.integers(1, 3), channels_last=st.booleans())
def test_same_as_avg_pool3d(size: tuple[int, int, int], samples: int, channels_last: bool) -> None:
    x = torch.randn(samples, 5, *size, dtype=torch.float64)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    x.requires_grad_()
    expected, got = F.avg_pool3d(x, 2), halve(x)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    grad = torch.randn_like(expected)
    want = torch.autograd.grad(expected, x, grad)
    torch.testing.assert_close(torch.autograd.grad(got, x, grad), want, rtol=1e-12, atol=1e-12)


def test_gradcheck() -> None:
    x = torch.randn(2, 3, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(halve, (x,))
