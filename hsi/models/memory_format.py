"""How maps and kernels of 3D convolutions lie in memory: one format for all of a network.

The format changes logits by rounding only. Which one is quicker is a matter of the GPU, the precision and the
sizes, so `hsi.training.way` measures it there; on a CPU our operators are written for channels-last maps.
"""

from __future__ import annotations

import torch
from torch import nn

FORMATS = {"channels_last_3d": torch.channels_last_3d, "contiguous": torch.contiguous_format}
"""By name; `DenseNet3D` is built in the first, other networks in the second, which is PyTorch's own."""

_KERNEL_AXES = 5


def format_of(network: nn.Module) -> str | None:
    """Return the name of the format that a network runs in.

    None for one without 3D kernels, or whose own ``memory_format`` is none of `FORMATS`.
    """
    if all(parameter.dim() != _KERNEL_AXES for parameter in network.parameters()):
        return None
    kept = getattr(network, "memory_format", torch.contiguous_format)
    return next((name for name, each in FORMATS.items() if each is kept), None)


def other_formats(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the formats that a network could run in beside its present one."""
    present = format_of(network)
    return () if present is None else tuple(name for name in FORMATS if name != present)


def lay_out(network: nn.Module, name: str) -> None:
    """Bring a network's 3D kernels to a format, in place, and note it for the input of its forward pass.

    A network follows the format by bringing its input to its attribute ``memory_format``, as `DenseNet3D`
    does; PyTorch's convolutions follow that of their kernels anyway. Parameters stay the same objects; values
    do not change.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == _KERNEL_AXES:
            tensor.data = tensor.data.to(memory_format=FORMATS[name])
    network.memory_format = FORMATS[name]  # type: ignore[assignment]
