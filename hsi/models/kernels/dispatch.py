"""When the hand-written operators may replace PyTorch's modules: only where the result is the same."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from hsi.models.kernels.grouped_conv import MAX_WIDTH


def runs_eagerly() -> bool:
    """Tell whether no compiler, exporter or dispatch mode (such as a FLOP counter) is active.

    Those need the plain PyTorch operations, which they can trace.
    """
    return not torch.compiler.is_compiling() and _get_current_dispatch_mode() is None


def is_exporting() -> bool:
    """Tell whether ``torch.export`` is tracing: the graph must then hold for any batch size."""
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # PyTorch 2.6 lacks it
    return bool(exporting())


def runs_fused(x: Tensor) -> bool:
    """Tell whether maps like `x`, ``(N, C, D, H, W)``, may go through a fused operator.

    That is: plain float32 or float64 tensors on a CPU, run eagerly without autocast. Batches with one value
    per channel go to the modules, for PyTorch's own error in training.
    """
    if not runs_eagerly() or torch.is_autocast_enabled("cpu"):
        return False
    if type(x) is not Tensor or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return False
    return x.shape[-1] <= MAX_WIDTH and x.shape[0] * x[0, 0].numel() > 1


def is_norm(module: nn.Module, x: Tensor) -> TypeGuard[nn.BatchNorm3d]:
    """Tell whether a module is a batch norm with weight and bias, of the dtype of `x`, without hooks."""
    return type(module) is nn.BatchNorm3d and module.affine and _matches(module, x)


def is_relu(module: nn.Module) -> TypeGuard[nn.ReLU]:
    """Tell whether a module is a ReLU, without hooks."""
    return type(module) is nn.ReLU and not has_hooks(module)


def is_conv(module: nn.Module, x: Tensor, size: int) -> TypeGuard[nn.Conv3d]:
    """Tell whether a module is a "same" convolution with a cubic kernel of `size`, no bias and no hooks."""
    return (
        type(module) is nn.Conv3d
        and module.bias is None
        and module.kernel_size == (size,) * 3
        and module.padding == (size // 2,) * 3
        and module.padding_mode == "zeros"
        and module.stride == module.dilation == (1, 1, 1)
        and _matches(module, x)
    )


def has_hooks(module: nn.Module) -> bool:
    """Tell whether a module has hooks, which a fused operator would not call."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in hooks)


def _matches(module: nn.Module, x: Tensor) -> bool:
    """Tell whether a module has no hooks and ordinary parameters of the dtype and device of `x`."""
    return not has_hooks(module) and all(
        type(p) is nn.Parameter and p.dtype == x.dtype and p.device == x.device
        for p in module._parameters.values()
        if p is not None
    )
