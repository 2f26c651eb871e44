"""Where a network runs and in which precision."""

from __future__ import annotations

import contextlib

import torch

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
