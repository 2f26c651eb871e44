"""BN - ReLU - grouped convolution as one operator against the three modules."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hsi.models.kernels import norm_conv
from hsi.models.kernels.norm_conv import norm_relu_conv


def modules(channels: int, outputs: int, groups: int, **options: object) -> tuple[nn.BatchNorm3d, nn.Conv3d]:
    norm = nn.BatchNorm3d(channels, **options).double()  # type: ignore[arg-type]
    conv = nn.Conv3d(channels, outputs, 3, padding=1, groups=groups, bias=False).double()
    nn.init.uniform_(norm.weight, -1.5, 1.5)
    nn.init.normal_(norm.bias)
    if norm.running_mean is not None and norm.running_var is not None:
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm, conv


def check(y: Tensor, norm: nn.BatchNorm3d, conv: nn.Conv3d, tolerance: float = 1e-10) -> None:
    """Compare output, all gradients and the running averages."""
    theirs = copy.deepcopy(norm)
    ours_in, theirs_in = (
        y.detach().clone(memory_format=torch.preserve_format).requires_grad_() for _ in "ab"
    )
    ours, expected = norm_relu_conv(ours_in, norm, conv), conv(torch.relu(theirs(theirs_in)))
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)
    grad = torch.randn_like(expected)
    got = torch.autograd.grad(ours, (ours_in, norm.weight, norm.bias, conv.weight), grad)
    want = torch.autograd.grad(expected, (theirs_in, theirs.weight, theirs.bias, conv.weight), grad)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    for a, b in zip(norm.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(a, b)


@settings(max_examples=30, deadline=None)
@given(
    samples=st.integers(2, 5),
    groups=st.sampled_from([1, 2, 4]),
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 3),
    size=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    training=st.booleans(),
    channels_last=st.booleans(),
    chunk=st.sampled_from([1, 60, 1 << 20]),
    seed=st.integers(0, 2**16),
)
def test_same_as_the_modules(
    samples: int,
    groups: int,
    inputs: int,
    outputs: int,
    size: tuple[int, int, int],
    training: bool,
    channels_last: bool,
    chunk: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    norm, conv = modules(groups * inputs, groups * outputs, groups)
    norm.train(training)
    y = 3 + 2 * torch.randn(samples, groups * inputs, *size, dtype=torch.float64)
    if channels_last:
        y = y.contiguous(memory_format=torch.channels_last_3d)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(norm_conv, "CHUNK", chunk)
        check(y, norm, conv, 1e-8)  # a variance of few values can be small, and its inverse large


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options", [{"momentum": None}, {"track_running_stats": False}, {"momentum": 0.7, "eps": 0.1}]
)
def test_options_of_the_batch_norm(training: bool, options: dict[str, object]) -> None:
    torch.manual_seed(1)
    norm, conv = modules(8, 4, 4, **options)
    norm.train(training)
    for _ in range(2):
        check(torch.randn(3, 8, 4, 3, 2).double(), norm, conv)


@pytest.mark.parametrize("size", [(3, 1, 1), (2, 3, 2), (1, 1, 4), (1, 3, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(size: tuple[int, int, int], training: bool) -> None:
    torch.manual_seed(2)
    norm, conv = modules(4, 4, 2)
    norm.train(training)
    y = torch.randn(3, 4, *size, dtype=torch.float64, requires_grad=True)

    def run(y: Tensor, weight: Tensor, bias: Tensor, kernel: Tensor) -> Tensor:
        names = ("weight", "bias")
        for name, value in zip(names, (weight, bias), strict=True):
            norm._parameters[name] = value  # type: ignore[assignment]
        conv._parameters["weight"] = kernel  # type: ignore[assignment]
        return norm_relu_conv(y, norm, conv)

    leaves = [p.detach().clone().requires_grad_() for p in (norm.weight, norm.bias, conv.weight)]
    assert torch.autograd.gradcheck(run, (y, *leaves))


def test_large_mean_does_not_cancel() -> None:
    """In float32 a mean of 1000 standard deviations leaves four digits; the result keeps three."""
    torch.manual_seed(3)
    norm, conv = modules(8, 4, 4)
    y = torch.randn(4, 8, 6, 5, 4) + 1000
    want = conv(torch.relu(copy.deepcopy(norm)(y.double())))
    got = norm_relu_conv(y, norm.float(), conv.float())
    assert (got - want).abs().max() < 1e-3 * want.abs().max()


def test_backward_twice_gives_the_same() -> None:
    torch.manual_seed(4)
    norm, conv = modules(8, 4, 4)
    y = torch.randn(3, 8, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    out = norm_relu_conv(y, norm, conv).square().sum()
    first = torch.autograd.grad(out, (y, norm.weight, conv.weight), retain_graph=True)
    second = torch.autograd.grad(out, (y, norm.weight, conv.weight))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_weights_changed_before_backward_are_noticed() -> None:
    norm, conv = modules(8, 4, 4)
    out = norm_relu_conv(torch.randn(3, 8, 4, 3, 2).double(), norm, conv).sum()
    with torch.no_grad():
        conv.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()  # type: ignore[no-untyped-call]
