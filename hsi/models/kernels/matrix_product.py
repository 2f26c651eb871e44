"""Matrix products by MKL or oneDNN, whichever is faster on this CPU.

PyTorch hands float32 products to MKL, which leaves AVX-512 unused on CPUs that are not Intel's. oneDNN is
twice as fast there (230 against 105 billion operations a second on one core of an AMD EPYC, on shapes of
KANet), but 4 to 38 % slower on Intel's (six shapes, one core of a Xeon).
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from hsi.models.kernels.dispatch import runs_eagerly


def matrix_product(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left @ right`` for ``(M, K)`` and ``(K, N)`` of one dtype and device; no autograd.

    oneDNN is used for float32 on CPUs where it is faster, PyTorch's own product everywhere else. Fastest
    where `left` or ``right.t()`` is contiguous.
    """
    if left.device.type != "cpu" or left.dtype != torch.float32 or not _prefers_onednn():
        return left @ right
    if left.is_contiguous():
        return _onednn(left, right.t())
    return _onednn(right.t(), left).t()


def _prefers_onednn() -> bool:
    return _has_both_libraries() and not _is_intel()


def _has_both_libraries() -> bool:
    onednn = torch.backends.mkldnn
    available = torch.backends.mkl.is_available() and onednn.is_available() and bool(onednn.enabled)
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # private: may go in another PyTorch


@cache
def _is_intel() -> bool:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.6 lacks it
    return "intel" in str(capabilities.get("cpu_name", platform.processor())).lower()


def _onednn(rows: Tensor, other: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``rows @ other.t() + bias``; oneDNN is hundreds of times slower on strided rows."""
    packed = other if other.is_contiguous() or other.t().is_contiguous() else other.contiguous()
    result: Tensor = torch.ops.mkldnn._linear_pointwise(rows.contiguous(), packed, bias, "none", [], "")
    return result


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Do what `torch.nn.functional.linear` does, by `matrix_product` in eager float32 on a CPU.

    There it is differentiable once; compilers, autocast, other dtypes and devices get PyTorch's function.
    """
    plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    if not plain or not _prefers_onednn() or not runs_eagerly() or torch.is_autocast_enabled("cpu"):
        return functional.linear(x, weight, bias)
    result: Tensor = _Linear.apply(x, weight, bias)
    return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(rows, weight)
        ctx.shape, ctx.biased = x.shape, bias is not None
        return _onednn(rows, weight, bias).view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        wants_x, wants_weight, _ = ctx.needs_input_grad
        grad_x = matrix_product(flat, weight).view(ctx.shape) if wants_x else None
        # A small result, each entry a sum over all rows: MKL is faster at that.
        grad_weight = flat.t() @ rows if wants_weight else None
        return grad_x, grad_weight, flat.sum(0) if ctx.biased else None


class Linear(nn.Linear):
    """`torch.nn.Linear` computed by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``."""
        return linear(input, self.weight, self.bias)
