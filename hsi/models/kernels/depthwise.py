"""Depthwise 3D convolution whose gradients are fast on a CPU too.

PyTorch (oneDNN) computes a depthwise Conv3d of channels-last float32 maps at tens of billions of products a
second and core, but its gradients ten times slower. The gradient of the input is such a convolution itself,
with flipped kernels; the gradient of the kernels is a few two-dimensional ones, which are fast. Source: our
decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def convolve_rows(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Depthwise "same" convolution of contiguous ``(N, D, H, W, C)``."""
    padding = [n // 2 for n in kernel.shape[2:]]
    y = F.conv3d(x.permute(0, 4, 1, 2, 3), kernel, bias, padding=padding, groups=x.shape[-1])
    return y.permute(0, 2, 3, 4, 1).contiguous()


def kernel_gradient(x: Tensor, grad: Tensor, taps: Sequence[int]) -> Tensor:
    """Gradient of `convolve_rows` for its kernel of `taps`, ``(C, 1, *taps)``.

    PyTorch's own takes about ten times as long on a CPU, where only two-dimensional depthwise convolutions
    have a fast one, and that only on images at least as high as the kernel. So the taps of one axis are
    taken one by one, as shifts of that axis in front of the batch, and the other two axes are the image.
    """
    if x.device.type != "cpu":
        return _image_gradient(x, grad, taps)
    if taps[1] == taps[2] == 1:
        return _image_gradient(x.flatten(2, 3), grad.flatten(2, 3), [taps[0], 1]).unsqueeze(-1)
    shifted = 1 if x.shape[2] >= taps[1] else 2
    count = taps[shifted - 1]
    others = [n for axis, n in enumerate(taps, start=1) if axis != shifted]
    x, grad = (t.movedim(shifted, 0).contiguous() for t in (x, grad))
    n = x.shape[0]
    slices = []
    for tap in range(count):
        shift = tap - count // 2
        if abs(shift) >= n:  # this tap only ever reads zeros
            slices.append(x.new_zeros(x.shape[-1], 1, *others))
            continue
        ahead = x[max(shift, 0) : n + min(shift, 0)].flatten(0, 1)
        behind = grad[max(-shift, 0) : n + min(-shift, 0)].flatten(0, 1)
        slices.append(_image_gradient(ahead, behind, others))
    return torch.stack(slices, dim=1 + shifted)


def _image_gradient(x: Tensor, grad: Tensor, taps: Sequence[int]) -> Tensor:
    """Kernel gradient of a depthwise "same" convolution of ``(N, ..., C)`` with as many axes as `taps`."""
    channels, one = x.shape[-1], [1] * len(taps)
    gradient: Tensor = torch.ops.aten.convolution_backward(
        grad.movedim(-1, 1),
        x.movedim(-1, 1),
        x.new_empty(channels, 1, *taps),
        None,
        one,
        [n // 2 for n in taps],
        one,
        False,
        [0] * len(taps),
        channels,
        [False, True, False],
    )[1]
    return gradient


class _Depthwise(torch.autograd.Function):
    """Depthwise "same" convolution whose gradients are fast on a CPU too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.permute(0, 2, 3, 4, 1).contiguous()
        ctx.save_for_backward(rows, kernel)
        return convolve_rows(rows, kernel, bias).permute(0, 4, 1, 2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, kernel = ctx.saved_tensors
        grad_rows = grad.permute(0, 2, 3, 4, 1).contiguous()
        grad_x = convolve_rows(grad_rows, kernel.flip(2, 3, 4), None).permute(0, 4, 1, 2, 3)
        grad_kernel = kernel_gradient(rows, grad_rows, kernel.shape[2:])
        return grad_x, grad_kernel, sum_rows(grad_rows) if ctx.needs_input_grad[2] else None


def depthwise_conv3d(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Depthwise convolution with odd kernels that keeps the size.

    `x` is ``(N, C, D, H, W)``, `kernel` ``(C, 1, k_D, k_H, k_W)``, `bias` ``(C,)``. The result is in
    channels-last memory.
    """
    out: Tensor = _Depthwise.apply(x, kernel, bias)
    return out


def sum_rows(rows: Tensor) -> Tensor:
    """Sum per channel: as a matrix product, which is several times faster than a sum over short rows."""
    flat = rows.flatten(0, -2)
    return flat.new_ones(len(flat)) @ flat
