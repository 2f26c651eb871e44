"""How many runs go on at a time, so that cores are used and memory is enough.

Each run has a process with as many threads as there are cores for it: ``cores // workers``. Threads share the
work on small networks poorly, so by default there is one process for each core, but no more than fit into
80 % of the memory that is free now. A run is taken to need 600 MB for Python and PyTorch, three times the
cube as float32, and for a network the memory of a training step that `hsi bench` measured, in proportion to
batch, bands and patch (1000 MB where there is no such result). On a GPU runs go one at a time. Our decisions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hsi.errors import ConfigError
from hsi.models.device import available_cores
from hsi.sweep.estimate import Rates, RunSize, cube_megabytes
from hsi.sweep.plan import PlannedRun

SHARE = 0.8
PROCESS_MB = 600.0
CUBES = 3.0
STEP_MB = 1000.0


@dataclass(frozen=True)
class Workers:
    """How many runs go on at a time, with how many threads each, and why."""

    count: int
    threads: int
    why: str


def choose_workers(
    wanted: int | None, runs: int, need_mb: float, *, device: str = "cpu", free_mb: float | None = None
) -> Workers:
    """Choose the number of runs at a time.

    Parameters
    ----------
    wanted
        What the user asked for, or None.
    runs
        How many there are to make.
    need_mb
        What the hungriest needs.
    device
        "cpu", "cuda" or "mps".
    free_mb
        Memory that is free; default: what the system tells.

    Raises
    ------
    ConfigError
        When `wanted` is below one.
    """
    cores = available_cores()
    if wanted is not None:
        if wanted < 1:
            raise ConfigError(f"workers must be at least 1, not {wanted}.")
        return Workers(wanted, max(1, cores // wanted), f"{wanted} at a time, as asked for")
    if device != "cpu":
        return Workers(1, cores, "one at a time, since they share a GPU")
    free = free_memory_mb() if free_mb is None else free_mb
    if free is None:
        return Workers(1, cores, "one at a time, since this system does not tell its free memory")
    fitting = max(1, int(SHARE * free // need_mb))
    count = max(1, min(cores, fitting, runs))
    memory = f"{fitting} x {need_mb:.0f} MB fit into {100 * SHARE:.0f} % of {free:.0f} MB of free memory"
    return Workers(
        count, max(1, cores // count), f"{count} at a time, since there are {cores} cores, and {memory}"
    )


def need_mb(run: PlannedRun, size: RunSize, rates: Rates) -> float:
    """Return about what a run needs, in MB."""
    step = 0.0
    if size.macs is not None:
        each = rates.of(run.config.model, "step_mb")
        values = run.config.batch * size.features * run.config.patch**2
        step = STEP_MB if each is None else each * values
    return PROCESS_MB + CUBES * cube_megabytes(size.scene) + step


def free_memory_mb() -> float | None:
    """Return the memory that new processes can have, or None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
        return int(kilobytes) / 2**10
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 / 2**20
    except (AttributeError, OSError, ValueError):
        return None
