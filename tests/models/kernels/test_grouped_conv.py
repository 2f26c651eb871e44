"""The grouped convolution on group-major maps against PyTorch's own in three dimensions, float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hsi.models.kernels.grouped_conv import (
    GroupedConv3d,
    from_group_major,
    to_group_major,
    toeplitz_kernel,
    toeplitz_kernel_gradient,
)

sizes = st.integers(1, 5)


def group_major_by_loops(x: Tensor, groups: int) -> Tensor:
    """Convert ``(N, C, D, H, W)`` to group-major by the definition, with loops."""
    samples, channels, depth, height, width = x.shape
    out = x.new_empty(samples, depth, height, groups, width, channels // groups)
    for c in range(channels):
        for w in range(width):
            out[:, :, :, c // (channels // groups), w, c % (channels // groups)] = x[:, c, :, :, w]
    return out


def rows_of(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 4, 1).contiguous()


@settings(max_examples=40, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 4]),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 3),
    depth=sizes,
    height=sizes,
    width=sizes,
    seed=st.integers(0, 2**16),
)
def test_output_and_gradients_are_those_of_conv3d(
    groups: int, inputs: int, outputs: int, depth: int, height: int, width: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, groups * inputs, depth, height, width, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(groups * outputs, inputs, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    expected = F.conv3d(x, weight, padding=1, groups=groups)
    grad = torch.randn_like(expected)
    dx, dw = torch.autograd.grad(expected, (x, weight), grad)

    conv = GroupedConv3d(weight.detach(), groups, depth, height, width)
    maps, grad_maps = group_major_by_loops(x.detach(), groups), group_major_by_loops(grad, groups)
    torch.testing.assert_close(
        conv.forward(maps), group_major_by_loops(expected.detach(), groups), rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(
        conv.backward(grad_maps, maps), group_major_by_loops(dx, groups), rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(conv.weight_gradient(), dw, rtol=1e-10, atol=1e-10)


def test_weight_gradient_adds_up_over_chunks_and_starts_again() -> None:
    torch.manual_seed(0)
    x, grad = torch.randn(4, 3, 4, 3, 5, 2).double(), torch.randn(4, 3, 4, 3, 5, 1).double()
    conv = GroupedConv3d(torch.randn(3, 2, 3, 3, 3).double(), 3, 3, 4, 5)
    conv.backward(grad, x)
    whole = conv.weight_gradient()
    conv.backward(grad[:3], x[:3])
    conv.backward(grad[3:], x[3:])
    torch.testing.assert_close(conv.weight_gradient(), whole)


@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_toeplitz_kernel_has_one_diagonal_for_each_tap(width: int) -> None:
    weight = torch.arange(1.0, 1 + 6 * 2 * 27).view(6, 2, 3, 3, 3)
    kernel = toeplitz_kernel(weight, 2, width).view(2, width, 3, width, 2, 3, 3)
    for w in range(width):
        for v in range(width):
            tap = v - w + 1
            expected = weight.view(2, 3, 2, 3, 3, 3)[..., tap] if 0 <= tap < 3 else torch.zeros(2, 3, 2, 3, 3)
            assert torch.equal(kernel[:, w, :, v], expected)


@pytest.mark.parametrize("width", [1, 2, 6])
def test_toeplitz_kernel_gradient_is_the_transpose(width: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(8, 3, 3, 3, 3, dtype=torch.float64)
    grad = torch.randn(8 * width, 3 * width, 3, 3, dtype=torch.float64)
    left = (toeplitz_kernel(weight, 4, width) * grad).sum()
    right = (toeplitz_kernel_gradient(grad, 4, width) * weight).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 4),
    channels=st.sampled_from([1, 2, 3, 4, 8, 9]),
    size=st.tuples(sizes, sizes, sizes),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
)
def test_fold_and_unfold_any_rows(
    groups: int, channels: int, size: tuple[int, int, int], dtype: torch.dtype, before: int, after: int
) -> None:
    """Rows may be a slice of wider rows, at any offset."""
    wide = torch.randn(2, *size, before + groups * channels + after, dtype=dtype)
    rows = wide[..., before : before + groups * channels]
    expected = group_major_by_loops(rows.permute(0, 4, 1, 2, 3), groups)
    maps = torch.empty_like(expected)
    assert torch.equal(to_group_major(rows, maps), expected)
    other = torch.zeros_like(wide)
    target = other[..., before : before + groups * channels]
    assert torch.equal(from_group_major(maps, target), rows)
    assert not other[..., :before].any()
    assert not other[..., before + groups * channels :].any()
