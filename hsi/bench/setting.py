"""What a benchmark runs with: sizes and repeats, device, threads and precision; and what it ran on."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import hsi
from hsi.errors import ConfigError
from hsi.models.cores import available_cores
from hsi.models.device import autocast, choose_device, device_name, processor_name


@dataclass(frozen=True)
class Scale:
    """Sizes and repeats of a benchmark.

    ``bands``, ``classes`` and the patch width ``patch`` (pixels) are those of the networks' input; operators
    get the feature maps of the first dense block. ``batch`` is the batch size, ``large_batch`` that of the
    backbone's training step, ``small_batch`` that of an operator whose reference needs about a gigabyte a
    patch. Maps are of ``map_side`` x ``map_side`` pixels. Each case runs at least ``rounds`` times and
    ``seconds`` long.
    """

    bands: int = 200
    classes: int = 16
    patch: int = 11
    batch: int = 16
    large_batch: int = 64
    small_batch: int = 2
    map_side: int = 24
    rounds: int = 3
    seconds: float = 8.0

    @property
    def block(self) -> tuple[int, int, int]:
        """Depth, height and width of the feature maps in the first dense block."""
        side = (self.patch + 1) // 2
        return ((self.bands + 1) // 2, side, side)


FULL = Scale()
"""Indian Pines: 200 bands, 16 classes, patches of 11 x 11."""

QUICK = Scale(batch=4, large_batch=8, small_batch=1, map_side=12, rounds=2, seconds=0.3)

PRECISIONS = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class Setting:
    """Device, threads and precision of a benchmark and its child processes.

    ``precision`` is "float32", "tf32" (float32 with TF32 products, on a GPU) or "bf16" (autocast).
    ``references`` is the folder of reference implementations, or None.
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
        """Return the autocast context of everything that is measured."""
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return autocast(torch.device(self.device), dtype)


def make_setting(
    *,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "float32",
    references: Path | None = None,
) -> Setting:
    """Return a checked setting; ``threads=None`` is ``OMP_NUM_THREADS`` if that is set, else all cores.

    Raises
    ------
    ConfigError
        For a device that this machine lacks, a precision that the device lacks, or less than one thread.
    """
    chosen = choose_device(device)
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, not '{precision}'.")
    if precision == "tf32" and chosen.type != "cuda":
        raise ConfigError("precision tf32 needs a CUDA GPU; use float32 or bf16.")
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be at least 1, not {threads}.")
    if threads is None:
        variable = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(variable) if variable.isdigit() and int(variable) > 0 else available_cores()
    return Setting(chosen.type, threads, precision, references)


def describe_machine(setting: Setting) -> dict[str, Any]:
    """Return the hardware, versions and threads that results are recorded with."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "hsi": hsi.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": processor_name(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": available_cores(),
        "threads": setting.threads,
        "load_before": load,
        "device": device_name(choose_device(setting.device)),
        "precision": setting.precision,
    }


def hardware_name(machine: dict[str, Any]) -> str:
    """Return the name of the GPU, or of the processor."""
    name: str = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    return name


def busy_warning(machine: dict[str, Any]) -> str | None:
    """Return a warning where other programs were running when the benchmark began, else None.

    Threads that share a core wait for each other at every operation, so on a busy machine a benchmark can be
    ten times slower, and unevenly so.
    """
    load, cores = machine["load_before"], machine["cores"]
    if load is None or load <= cores / 4:
        return None
    return f"The machine was busy (load {load:.1f} on {cores} cores): these times are no measure of it."


def file_name(machine: dict[str, Any], kind: str = "bench", ending: str = "json") -> str:
    """Return a file name with the kind of result, hardware, threads, precision and versions in it."""
    text = (
        f"{kind} {hardware_name(machine)} {machine['threads']}-threads {machine['precision']} "
        f"torch-{machine['torch']} hsi-{machine['hsi']}"
    )
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") + f".{ending}"
