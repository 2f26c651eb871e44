"""Where and how a run measures: device, threads, precision, references."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from hsi.errors import ConfigError
from hsi.runs.device import autocast, choose_device

PRECISIONS = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class Setting:
    """What every part of a run, and each of its child processes, needs to know.

    ``precision`` is "float32", "tf32" (float32 with TF32 products, on a GPU) or "bf16" (autocast).
    ``references`` is the folder of the straightforward operators, or None.
    """

    device: str
    threads: int
    precision: str = "float32"
    references: Path | None = None

    def apply(self) -> torch.device:
        """Set threads and TF32 for this process; return the device."""
        torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = self.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        return torch.device(self.device)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which everything measured runs."""
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return autocast(torch.device(self.device), dtype)


def make_setting(
    *,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "float32",
    references: Path | None = None,
) -> Setting:
    """Check what the user asked for; None stands for all cores of this process.

    Raises
    ------
    ConfigError
        For a device that is not there, a precision it does not have, or a number of threads below one.
    """
    chosen = choose_device(device)
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, not '{precision}'.")
    if precision == "tf32" and chosen.type != "cuda":
        raise ConfigError("precision tf32 needs a CUDA GPU; use float32 or bf16.")
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be at least 1, not {threads}.")
    return Setting(chosen.type, threads or default_threads(), precision, references)


def default_threads() -> int:
    """Return ``OMP_NUM_THREADS`` where it is set, else the number of cores, as ``nproc`` does."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else available_cores()


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
