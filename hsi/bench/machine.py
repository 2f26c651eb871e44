"""What a result was measured on: hardware, versions, threads."""

from __future__ import annotations

import os
import platform
import re
from datetime import datetime, timezone
from typing import Any

import torch

import hsi
from hsi.bench.setting import Setting, available_cores
from hsi.runs.device import choose_device
from hsi.runs.environment import device_name, processor_name


def describe_machine(setting: Setting) -> dict[str, Any]:
    """Return hardware, versions and threads of this run."""
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


def busy_sentence(machine: dict[str, Any]) -> str | None:
    """Return a warning where others were at work when the run began, else None.

    Threads that share a core wait for each other at every operation, so a run on a busy machine can be ten
    times slower, and not evenly so.
    """
    load, cores = machine["load_before"], machine["cores"]
    if load is None or load <= cores / 4:
        return None
    return f"The machine was busy (load {load:.1f} on {cores} cores): these times are no measure of it."


def file_name(machine: dict[str, Any], kind: str = "bench", ending: str = "json") -> str:
    """Return a file name with the kind of result, hardware, threads, precision and versions in it."""
    hardware = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    words = [
        kind,
        hardware,
        f"{machine['threads']}-threads",
        machine["precision"],
        f"torch-{machine['torch']}",
        f"hsi-{machine['hsi']}",
    ]
    return re.sub(r"[^a-z0-9.]+", "-", " ".join(words).lower()).strip("-") + f".{ending}"
