"""The Haar cascade of `hsi.models.wcnet` as one operator with its own gradient.

A Haar transform is sums and differences of neighbours; its factors 1/sqrt(2) go into the small kernels.
Along an axis of length one the padded transform gives low = high = x / sqrt(2), and the cropped inverse
adds them again, so the two kernels are averaged and the axis is not transformed at all. The operator is
linear and the transform orthogonal, so the gradient of the input is the same cascade with flipped kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hsi.models.kernels.depthwise import convolve_rows, kernel_gradient, sum_rows
from hsi.models.wavelet import AXES

CHUNK_BYTES = 1 << 21
"""Activations per chunk: a few such arrays fit the last-level cache."""

Plan = tuple[tuple[int, ...], ...]
"""For each level, the axes of ``(N, D, H, W, C)`` that are transformed there: those longer than one."""


def haar_cascade(x: Tensor, base: Tensor, bias: Tensor, kernels: Sequence[Tensor], axes: str) -> Tensor:
    """Return ``Conv(base, x) + bias + Z(1)`` of `hsi.models.wcnet` with the Haar wavelet, channels-last.

    Parameters
    ----------
    x
        ``(N, C, D, H, W)``, not empty; fastest in channels-last memory.
    base, bias
        Depthwise kernels ``(C, 1, k, k, k)`` and ``(C,)``, scaled.
    kernels
        For each level ``(C * B, 1, k, k, k)``, scaled; channel ``c * B + b`` is sub-band b of channel c.
    axes
        "dhw" or "hw".
    """
    transformed = [axis % 5 - 1 for axis in AXES[axes]]  # of (N, D, H, W, C)
    size = list(x.shape[2:])
    scaled = [_crop_taps(base, size)]
    plan = []
    for level, kernel in enumerate(kernels, start=1):
        active = tuple(axis for axis in transformed if size[axis - 1] > 1)
        size = [(n + 1) // 2 if axis in active else n for axis, n in enumerate(size, start=1)]
        scaled.append(_crop_taps(_scale_kernel(kernel, level, transformed, active), size))
        plan.append(active)
    scaled = [kernel.to(x.dtype) for kernel in scaled]
    out: Tensor = _HaarCascade.apply(x, bias.to(x.dtype), tuple(plan), *scaled)
    return out


def _scale_kernel(kernel: Tensor, level: int, transformed: Sequence[int], active: Sequence[int]) -> Tensor:
    """Kernels for unnormalised transforms of the `active` axes only: band-major, ``(B' * C, 1, k, k, k)``.

    Each transformed axis contributes 1/2 per level: 1/sqrt(2) in the analysis and again in the synthesis. An
    axis of length one contributes 1/2 too, as the mean of its two kernels.
    """
    taps = kernel.shape[2:]
    kernel = kernel.view(-1, *(2,) * len(transformed), *taps)
    inactive = [1 + i for i, axis in enumerate(transformed) if axis not in active]
    if inactive:
        kernel = kernel.sum(inactive)
    kernel = kernel.reshape(kernel.shape[0], -1, *taps).transpose(0, 1)
    return kernel.reshape(-1, 1, *taps) * 0.5 ** (len(transformed) * level)


def _crop_taps(kernel: Tensor, size: Sequence[int]) -> Tensor:
    """Leave out the taps that only read padding on a map of this size."""
    for dim, n in zip((2, 3, 4), size, strict=True):
        half = kernel.shape[dim] // 2
        keep = min(half, n - 1)
        kernel = kernel.narrow(dim, half - keep, 2 * keep + 1)
    return kernel


class _HaarCascade(torch.autograd.Function):
    """The operator in chunks of samples that fit the cache; the backward pass recomputes the sub-bands."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, plan: Plan, base: Tensor, *kernels: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 4, 1).contiguous()
        ctx.save_for_backward(rows, base, *kernels)
        ctx.plan = plan
        out = torch.empty_like(rows)
        for part, out_part in zip(_chunks(rows), _chunks(out), strict=True):
            _cascade(part, _split_levels(part, plan), base, bias, kernels, plan, out_part)
        return out.permute(0, 4, 1, 2, 3)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan = ctx.plan
        rows, *kernels = ctx.saved_tensors
        grad_rows = grad.permute(0, 2, 3, 4, 1).contiguous()
        flipped = [kernel.flip(2, 3, 4) for kernel in kernels]
        grad_x = torch.empty_like(rows)
        grad_kernels = [torch.zeros_like(kernel) for kernel in kernels]
        for x, g, out in zip(_chunks(rows), _chunks(grad_rows), _chunks(grad_x), strict=True):
            grad_bands = _split_levels(g, plan)
            _cascade(g, grad_bands, flipped[0], None, flipped[1:], plan, out)
            inputs = [x, *(band.flatten(4) for band in _split_levels(x, plan))]
            outputs = [g, *(band.flatten(4) for band in grad_bands)]
            for total, ahead, behind in zip(grad_kernels, inputs, outputs, strict=True):
                total += kernel_gradient(ahead, behind, total.shape[2:])
        grad_bias = sum_rows(grad_rows)
        return grad_x.permute(0, 4, 1, 2, 3), grad_bias, None, *grad_kernels


def _chunks(rows: Tensor) -> list[Tensor]:
    """On a CPU, split the batch into equal parts of at most `CHUNK_BYTES` (or one sample)."""
    if rows.device.type != "cpu":
        return [rows]
    samples = rows.shape[0]
    parts = min(samples, math.ceil(rows.numel() * rows.element_size() / CHUNK_BYTES))
    size = math.ceil(samples / parts)
    return [rows[start : start + size] for start in range(0, samples, size)]


def _split_levels(x: Tensor, plan: Plan) -> list[Tensor]:
    """Unnormalised sub-bands ``(N, d, h, w, B, C)`` of each level."""
    bands: list[Tensor] = []
    for axes in plan:
        bands.append(haar_split(bands[-1][..., 0, :] if bands else x, axes))
    return bands


def _cascade(
    x: Tensor,
    bands: Sequence[Tensor],
    base: Tensor,
    bias: Tensor | None,
    kernels: Sequence[Tensor],
    plan: Plan,
    out: Tensor,
) -> None:
    """Write the convolution of `x` plus the synthesis of the convolved `bands` to `out`."""
    deeper: Tensor | None = None
    for level in range(len(plan) - 1, -1, -1):
        y = convolve_rows(bands[level].flatten(4), kernels[level], None).view(bands[level].shape)
        if deeper is not None:
            y[..., 0, :] += deeper
        deeper = haar_merge(y, plan[level], (bands[level - 1] if level else x).shape[1:4])
    torch.add(convolve_rows(x, base, bias), cast(Tensor, deeper), out=out)


def haar_split(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Sums and differences of neighbours: the Haar analysis without its factor 1/sqrt(2) per axis.

    ``(N, D, H, W, C)`` to ``(N, d, h, w, B, C)`` with B = 2 ** len(axes) sub-bands in the order of
    `hsi.models.wavelet.SUBBANDS`. `axes` is a sorted subset of (1, 2, 3); an odd axis is padded with one
    zero at its end. The adjoint is `haar_merge`. Not differentiable by autograd.
    """
    t = x.unsqueeze(4)
    for axis in reversed(axes):  # W, H, D: rows get longer and closer together with each pass
        n, (even, odd) = t.shape[axis], _phases(t, axis)
        shape = [*t.shape[:4], 2, *t.shape[4:]]
        shape[axis] = (n + 1) // 2
        out = t.new_empty(shape)
        low, high = (part.narrow(axis, 0, n // 2) for part in out.unbind(4))
        first = even.narrow(axis, 0, n // 2)
        torch.add(first, odd, out=low)
        torch.sub(first, odd, out=high)
        if n % 2:
            out.narrow(axis, n // 2, 1).copy_(even.narrow(axis, n // 2, 1).unsqueeze(4))
        t = out.flatten(4, 5)
    return t


def haar_merge(bands: Tensor, axes: Sequence[int], size: Sequence[int]) -> Tensor:
    """The adjoint of `haar_split`: the Haar synthesis without its factor 1/sqrt(2) per axis.

    ``(N, d, h, w, B, C)`` to ``(N, D, H, W, C)``, `size` being (D, H, W). Not differentiable by autograd.
    """
    t = bands
    for axis in axes:
        low, high = t.chunk(2, dim=4)  # the first bit of the sub-band
        shape = list(low.shape)
        shape[axis] = size[axis - 1]
        t = low.new_empty(shape)
        for phase, sign in zip(_phases(t, axis), (1, -1), strict=True):
            n = phase.shape[axis]
            torch.add(low.narrow(axis, 0, n), high.narrow(axis, 0, n), alpha=sign, out=phase)
    return t.squeeze(4)


def _phases(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Even and odd samples of one axis, as views."""
    n = x.shape[axis]
    return torch.ops.aten.slice(x, axis, 0, n, 2), torch.ops.aten.slice(x, axis, 1, n, 2)
