"""Whether operations run one by one, so that hand-written backward passes may stand in for PyTorch's own.

Where the fused CPU operators may stand in for a chain of modules: where only the clock could tell.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from hsi.models.kernels.grouped_conv import WIDEST


def runs_eagerly() -> bool:
    """Tell whether no compiler or tracer is looking and no dispatch mode is on (FLOP counters are one).

    Those take the plain form of an operator, which they can read.
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined]
    return not (torch.compiler.is_compiling() or tracing or _get_current_dispatch_mode() is not None)


def is_written_out() -> bool:
    """Tell whether the network is being traced for a file: by ``torch.export`` or TorchScript's tracer.

    Such a graph must hold for any number of samples, so nothing may depend on how many there are now.
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined]
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # PyTorch 2.6 lacks it
    return tracing or exporting()


def runs_fused(x: Tensor) -> bool:
    """Tell whether maps like `x`, ``(N, C, D, H, W)``, may go through a fused operator.

    The fused operators are for plain float32 and float64 tensors on a CPU, run eagerly. Everything else takes
    the modules as they are: other devices and dtypes, autocast, compilers and tracers, dispatch modes (so
    FLOP counters count the plain operations), and batches with one value a channel, on which training ends
    with PyTorch's own error.
    """
    if not runs_eagerly() or torch.is_autocast_enabled("cpu"):
        return False
    if type(x) is not Tensor or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return False
    return x.shape[-1] <= WIDEST and x.shape[0] * x[0, 0].numel() > 1


def is_norm(module: nn.Module, x: Tensor) -> TypeGuard[nn.BatchNorm3d]:
    """Tell whether a module is a batch norm with weight and bias, of the dtype of `x`, without hooks."""
    return type(module) is nn.BatchNorm3d and module.affine and _like(module, x)


def is_relu(module: nn.Module) -> TypeGuard[nn.ReLU]:
    """Tell whether a module is a ReLU without hooks."""
    return type(module) is nn.ReLU and not has_hooks(module)


def is_conv(module: nn.Module, x: Tensor, size: int) -> TypeGuard[nn.Conv3d]:
    """Tell whether a module is a convolution that keeps D, H, W, has a cubic kernel, no bias, no hooks."""
    return (
        type(module) is nn.Conv3d
        and module.bias is None
        and module.kernel_size == (size,) * 3
        and module.padding == (size // 2,) * 3
        and module.padding_mode == "zeros"
        and module.stride == module.dilation == (1, 1, 1)
        and _like(module, x)
    )


def has_hooks(module: nn.Module) -> bool:
    """Tell whether hooks wait for a call of this module; pruning and feature extraction work so."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    return any(hooks)


def _like(module: nn.Module, x: Tensor) -> bool:
    """Tell whether a module has no hooks and ordinary parameters of the dtype and device of `x`."""
    parameters = module._parameters.values()
    return not has_hooks(module) and all(
        type(p) is nn.Parameter and p.dtype == x.dtype and p.device == x.device
        for p in parameters
        if p is not None
    )
