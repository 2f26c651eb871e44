"""Where a network runs and in which precision.

How maps and kernels of 3D convolutions lie in memory: one format for all of a network.

The format changes logits by rounding only. Which one is quicker is a matter of the GPU, the precision and the
sizes, so `hsi.training.autotune` measures it there; on a CPU our operators are written for channels-last maps.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hsi.errors import ConfigError

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "mps"; auto takes a GPU where there is one.

    Raises
    ------
    ConfigError
        When the named device is not on this machine.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in found.items() if there)
    if not found[name]:
        raise ConfigError(f"This machine has no device '{name}'; use --device auto or cpu.")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype that matrix products run in; "auto" is bfloat16 on a GPU that has it, else float32.

    Raises
    ------
    ConfigError
        For half precision on a CPU: float16 cannot be trained in there, and bfloat16 gradients of a 3x3x3
        convolution on maps of depth 2 come out wrong (oneDNN, seen with torch 2.13).
    """
    if name == "auto":
        return precisions_of(device)[0]
    if name != "float32" and device.type == "cpu":
        raise ConfigError(f"precision {name} needs a GPU; use float32 on a CPU.")
    return PRECISIONS[name]


def name_of(precision: torch.dtype) -> str:
    """Return what `choose_precision` calls a precision."""
    return next(name for name, each in PRECISIONS.items() if each == precision)


def precisions_of(device: torch.device) -> tuple[torch.dtype, ...]:
    """Return the precisions that "auto" chooses from, the one that is taken without measuring first."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return (torch.bfloat16, torch.float32)
    return (torch.float32,)


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def autocast(device: torch.device, precision: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Return the context in which the network runs in mixed precision, or one that does nothing."""
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=precision)


def device_name(device: torch.device) -> str:
    """Return a device's kind, with the model's name for a GPU."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def processor_name() -> str:
    """Return the CPU's model name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def seconds_of(action: Callable[[], object], device: torch.device, tries: int) -> float:
    """Return how long an action takes: the shortest of some tries, a GPU's work included."""
    taken = []
    for _ in range(tries):
        synchronise(device)
        started = time.perf_counter()
        action()
        synchronise(device)
        taken.append(time.perf_counter() - started)
    return min(taken)


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
