"""Device, precision and memory format of a network.

The memory format changes logits by rounding only. Which one is faster depends on the GPU, the precision and
the sizes, so `hsi.training.autotune` measures it; on a CPU the operators are written for channels-last maps.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hsi.errors import ConfigError, unknown

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "mps"; auto takes a GPU where there is one.

    Raises
    ------
    ConfigError
        For an unknown name, or when this machine does not have the device.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in found.items() if there)
    if name not in found:
        raise ConfigError(unknown("device", name, ["auto", *found]))
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
    """Return the name of a precision in `PRECISIONS`."""
    return next(name for name, each in PRECISIONS.items() if each == precision)


def precisions_of(device: torch.device) -> tuple[torch.dtype, ...]:
    """Return the precisions that "auto" chooses from, the default one first."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return (torch.bfloat16, torch.float32)
    return (torch.float32,)


def synchronise(device: torch.device) -> None:
    """Wait for a GPU's queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def autocast(device: torch.device, precision: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Return the autocast context for a precision; for float32 one that does nothing."""
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=precision)


def device_name(device: torch.device) -> str:
    """Return a device's kind, with the model's name for a GPU."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def processor_name() -> str:
    """Return the CPU's model name, where the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def seconds_of(action: Callable[[], object], device: torch.device, tries: int) -> float:
    """Return the shortest time that an action takes over some tries, a GPU's work included."""
    taken = []
    for _ in range(tries):
        synchronise(device)
        started = time.perf_counter()
        action()
        synchronise(device)
        taken.append(time.perf_counter() - started)
    return min(taken)


FORMATS = {"channels_last_3d": torch.channels_last_3d, "contiguous": torch.contiguous_format}
"""Memory formats; `DenseNet3D` is built in the first, other networks in the second, PyTorch's default."""


def format_of(network: nn.Module) -> str | None:
    """Return the name of a network's memory format; None without 3D kernels or if not in `FORMATS`."""
    if all(parameter.dim() != 5 for parameter in network.parameters()):
        return None
    current = getattr(network, "memory_format", torch.contiguous_format)
    return next((name for name, each in FORMATS.items() if each is current), None)


def other_formats(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the formats other than the present one that a network could run in."""
    present = format_of(network)
    return () if present is None else tuple(name for name in FORMATS if name != present)


def lay_out(network: nn.Module, name: str) -> None:
    """Convert a network's 3D kernels to a memory format, in place, and set its ``memory_format``.

    `DenseNet3D` converts its input to ``memory_format``; PyTorch's convolutions follow their kernels. Values
    and parameter objects stay the same.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 5:
            tensor.data = tensor.data.to(memory_format=FORMATS[name])
    network.memory_format = FORMATS[name]  # type: ignore[assignment]
