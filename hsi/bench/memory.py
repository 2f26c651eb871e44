"""How much memory an action needs beyond what is there before it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def peak_growth(action: Callable[[], object], device: torch.device) -> int | None:
    """Run an action once; return the growth of this process's peak memory, in bytes.

    On a CPU that is resident memory, so call it once in a process of its own: memory that was used and freed
    before may be used again without any growth. On a CUDA GPU it is what PyTorch has allocated there. None
    where the system does not tell.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu":
        return None
    start = _resident("VmRSS") if _reset_peak() else _peak()
    action()
    end = _peak()
    return None if start is None or end is None else max(0, end - start)


def _reset_peak() -> bool:
    """Set Linux's peak of this process back to what is resident now; tell whether that worked."""
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> int | None:
    """Peak resident memory in bytes. Linux's ``ru_maxrss`` would include the parent's before ``exec``."""
    in_status = _resident("VmHWM")
    if in_status is not None:
        return in_status
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _resident(field: str) -> int | None:
    """Return one field of Linux's process status, in bytes."""
    try:
        lines = STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), None)
