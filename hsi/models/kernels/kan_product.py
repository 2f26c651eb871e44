"""Linear maps and convolutions of SiLU and B-spline values, expanded chunk by chunk.

A KAN layer is a linear map of its expanded input: SiLU(x) and all basis functions N_j(x), 1 + G + p values
per element. Here each chunk is expanded and multiplied while it is in cache, and expanded again in the
backward pass. So memory is that of the input, and a 3x3x3 kernel costs one expansion per element, not 27.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hsi.models.bspline import BasisPlanes
from hsi.models.kernels.dispatch import runs_eagerly
from hsi.models.kernels.matrix_product import matrix_product

CPU_CHUNK, GPU_CHUNK = 1 << 16, 1 << 20
"""Elements per chunk: on a CPU small enough for the cache, large enough that calls are few."""
MIN_ROWS = 256


def runs_chunked(x: Tensor) -> bool:
    """Tell whether the functions below may run on `x` (see `runs_eagerly`)."""
    return runs_eagerly() and type(x) in (Tensor, nn.Parameter)


def row_product(x: Tensor, weight: Tensor, grid: Tensor, order: int) -> Tensor:
    """Expand rows x ``(R, C)`` and multiply by `weight` ``(out, (1 + G + p) * C)``, to ``(R, out)``.

    In the weight, C varies fastest. The knots `grid` ``(C, G + 2p + 1)`` must increase strictly.
    Differentiable once, in x and weight.
    """
    result: Tensor = _RowProduct.apply(x, weight, grid, order)
    return result


def convolution(x: Tensor, weight: Tensor, grid: Tensor, order: int, stride: tuple[int, int, int]) -> Tensor:
    """Expand x ``(N, C, D, H, W)`` and convolve it without padding, to ``(N, out, D', H', W')``.

    The weight is ``(out, (1 + G + p) * C, kD, kH, kW)``; all else is as in `row_product`.
    """
    result: Tensor = _Convolution.apply(x, weight, grid, order, stride)
    return result


class _RowProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, grid: Tensor, order: int) -> Tensor:
        ctx.save_for_backward(x, weight, grid)
        ctx.order = order
        y = weight.new_empty(x.shape[0], weight.shape[0])
        for part, planes in _row_chunks(x, grid, order):
            values = planes.fill(x[part].t().unsqueeze(0)).flatten(0, 2).to(weight.dtype)
            y[part] = matrix_product(values.t(), weight.t())
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, grid = ctx.saved_tensors
        grad = grad.contiguous()
        turned = weight.t().contiguous()
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        # The sum over chunks is float32 in half precision too.
        grad_turned = torch.zeros_like(turned, dtype=torch.promote_types(weight.dtype, torch.float32))
        for part, planes in _row_chunks(x, grid, ctx.order):
            values = planes.fill(x[part].t().unsqueeze(0))
            grad_turned += matrix_product(values.flatten(0, 2).to(weight.dtype), grad[part])
            grad_values = matrix_product(turned, grad[part].t()).to(values.dtype)
            grad_x[part] = planes.backward(grad_values.view_as(values))[0].t()
        return grad_x, grad_turned.t().to(weight.dtype), None, None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, grid: Tensor, order: int, stride: tuple[int, int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight, grid)
        ctx.order, ctx.stride = order, stride
        size = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], weight.shape[2:], stride, strict=True)]
        y = weight.new_empty(len(x), *size, len(weight)).permute(0, 4, 1, 2, 3)
        for part, planes in _sample_chunks(x, weight, grid, order):
            values = planes.fill(x[part].flatten(2)).to(weight.dtype)
            y[part] = F.conv3d(values.view(-1, weight.shape[1], *x.shape[2:]), weight, stride=stride)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, weight, grid = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        grad_weight = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
        for part, planes in _sample_chunks(x, weight, grid, ctx.order):
            values = planes.fill(x[part].flatten(2))
            grad_values, new, _ = torch.ops.aten.convolution_backward(
                grad[part].contiguous(),
                values.view(-1, weight.shape[1], *x.shape[2:]).to(weight.dtype),
                weight,
                None,
                ctx.stride,
                (0, 0, 0),
                (1, 1, 1),
                False,
                (0, 0, 0),
                1,
                (True, True, False),
            )
            grad_weight += new
            grad_x[part] = planes.backward(grad_values.reshape(values.shape).to(values.dtype)).view_as(
                x[part]
            )
        return grad_x, grad_weight.to(weight.dtype), None, None, None


def _row_chunks(x: Tensor, grid: Tensor, order: int) -> Iterator[tuple[slice, BasisPlanes]]:
    knots = grid.to(torch.promote_types(x.dtype, torch.float32))
    size = max(MIN_ROWS, _elements(x) // x.shape[1])
    return _chunks(len(x), size, lambda rows: BasisPlanes(knots, order, 1, rows, _memory))


def _sample_chunks(
    x: Tensor, weight: Tensor, grid: Tensor, order: int
) -> Iterator[tuple[slice, BasisPlanes]]:
    knots = grid.to(torch.promote_types(x.dtype, torch.float32))
    points = math.prod(x.shape[2:])
    # Each convolution reorders its weight first, so its input should be several times larger.
    elements = max(_elements(x), 4 * weight.numel() * x.shape[1] // weight.shape[1])
    size = max(1, elements // (x.shape[1] * points))
    return _chunks(len(x), size, lambda samples: BasisPlanes(knots, order, samples, points, _memory))


_thread = threading.local()


def _memory(like: Tensor, numbers: int) -> Tensor:
    """Return flat memory for so many numbers; on a CPU a buffer of this thread, which is reused.

    Allocated per pass, it would be paged in each time (KANConv3d 3x3x3 takes a third longer). A pass is done
    with the buffer before the next one on its thread begins.
    """
    if like.device.type != "cpu":
        return like.new_empty(numbers)
    buffer: Tensor | None = getattr(_thread, "buffer", None)
    if buffer is None or buffer.dtype != like.dtype or buffer.numel() < numbers:
        with torch.inference_mode(False):  # an inference tensor cannot be written to in training
            buffer = _thread.buffer = torch.empty(numbers, dtype=like.dtype)
    return buffer[:numbers]


def _elements(x: Tensor) -> int:
    return CPU_CHUNK if x.device.type == "cpu" else GPU_CHUNK


def _chunks(
    total: int, size: int, workspace: Callable[[int], BasisPlanes]
) -> Iterator[tuple[slice, BasisPlanes]]:
    """Split `total` into parts of at most `size`, equal but for the last, each with a workspace that fits."""
    parts = -(-total // size)
    size = -(-total // parts) if parts else 1
    planes: BasisPlanes | None = None
    for start in range(0, total, size):
        stop = min(start + size, total)
        if planes is None or stop - start < size:
            planes = workspace(stop - start)
        yield slice(start, stop), planes
