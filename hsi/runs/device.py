"""Where a network runs and in which precision."""

from __future__ import annotations

import contextlib

import torch

from hsi.errors import ConfigError


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
        name = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    if name != "float32" and device.type == "cpu":
        raise ConfigError(f"precision {name} needs a GPU; use float32 on a CPU.")
    return {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def autocast(device: torch.device, precision: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Return the context in which the network runs in mixed precision, or one that does nothing."""
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=precision)
