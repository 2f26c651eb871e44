"""The depthwise convolution and its gradients, against PyTorch's own in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.models.kernels.depthwise import depthwise_conv3d


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 6)] * 3),
    taps=st.tuples(*[st.sampled_from((1, 3, 5))] * 3),
    channels=st.integers(1, 5),
    bias=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equals_grouped_convolution(
    size: tuple[int, int, int], taps: tuple[int, int, int], channels: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    shapes = [(2, channels, *size), (channels, 1, *taps), (channels,)]
    x, kernel, b = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    inputs = [x, kernel, b] if bias else [x, kernel]
    ours = depthwise_conv3d(x, kernel, b if bias else None)
    theirs = F.conv3d(x, kernel, b if bias else None, padding=[n // 2 for n in taps], groups=channels)
    grad = torch.randn_like(ours)
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, grad), torch.autograd.grad(theirs, inputs, grad), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [(7, 6, 6), (9, 2, 3), (8, 1, 1), (5, 4, 1)])
def test_float32(size: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(3, 20, *size), torch.randn(20, 1, 3, 3, 3), torch.randn(20)]
    inputs = [t.requires_grad_() for t in inputs]
    wide = [t.detach().double().requires_grad_() for t in inputs]
    ours, theirs = depthwise_conv3d(*inputs), F.conv3d(wide[0], wide[1], wide[2], padding=1, groups=20)
    torch.testing.assert_close(ours, theirs.float(), atol=1e-4, rtol=1e-4)
    grads = torch.autograd.grad(ours.square().sum(), inputs)
    for a, b in zip(grads, torch.autograd.grad(theirs.square().sum(), wide), strict=True):
        torch.testing.assert_close(a, b.float(), atol=1e-4 * float(b.abs().max()), rtol=1e-4)
