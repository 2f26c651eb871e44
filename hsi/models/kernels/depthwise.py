"""Depthwise 3D convolution with a fast backward pass on a CPU.

On channels-last float32 maps, PyTorch's (oneDNN's) forward pass is fast, but its backward pass is ten times
slower. Here the input gradient is a depthwise convolution with flipped kernels, and the kernel gradient is a
few 2D convolutions.
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
    """Gradient ``(C, 1, *taps)`` of `convolve_rows` for its kernel.

    On a CPU only 2D depthwise convolutions have a fast kernel gradient, and only on images at least as high
    as the kernel. So one axis is handled tap by tap, as shifts, and the other two form the image.
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
    channels, ones = x.shape[-1], [1] * len(taps)
    gradient: Tensor = torch.ops.aten.convolution_backward(
        grad.movedim(-1, 1),
        x.movedim(-1, 1),
        x.new_empty(channels, 1, *taps),
        None,
        ones,
        [n // 2 for n in taps],
        ones,
        False,
        [0] * len(taps),
        channels,
        [False, True, False],
    )[1]
    return gradient


class _Depthwise(torch.autograd.Function):
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
    """Depthwise "same" convolution with odd kernels; the result is channels-last.

    `x` is ``(N, C, D, H, W)``, `kernel` ``(C, 1, k_D, k_H, k_W)``, `bias` ``(C,)``.
    """
    out: Tensor = _Depthwise.apply(x, kernel, bias)
    return out


def sum_rows(rows: Tensor) -> Tensor:
    """Sum per channel, as a matrix product: several times faster than `sum` over short rows."""
    flat = rows.flatten(0, -2)
    return flat.new_ones(len(flat)) @ flat
