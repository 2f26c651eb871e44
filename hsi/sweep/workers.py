"""How many runs of a sweep are executed at a time, by cores and free memory.

Threads scale poorly on small networks, so by default there is one run for each core, with ``cores //
workers`` threads, but no more runs than fit into 80 % of the free memory. A run needs 600 MB for Python and
PyTorch, three times the cube as float32, and for a network the memory of a training step that `hsi bench`
measured, scaled by batch, bands and patch (1000 MB without a measurement). On a GPU runs are executed one at
a time.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hsi.errors import ConfigError
from hsi.models.cores import available_cores
from hsi.sweep.estimate import Rates, RunSize, cube_megabytes
from hsi.sweep.plan import PlannedRun

SHARE = 0.8
PROCESS_MB = 600.0
CUBES = 3.0
STEP_MB = 1000.0


@dataclass(frozen=True)
class Workers:
    """Number of runs at a time, threads of each, and the reason in words."""

    count: int
    threads: int
    why: str

    def __str__(self) -> str:
        return f"{self.why}, {self.threads} thread{'s' if self.threads > 1 else ''} each"


def choose_workers(
    requested: int | None, runs: int, need_mb: float, *, device: str = "cpu", free_mb: float | None = None
) -> Workers:
    """Choose the number of runs at a time.

    Parameters
    ----------
    requested
        The user's choice, or None.
    runs
        Number of runs to execute.
    need_mb
        Memory of the largest one, MB.
    device
        "cpu", "cuda" or "mps".
    free_mb
        Free memory, MB; default: as the system reports it.

    Raises
    ------
    ConfigError
        When `requested` is below one.
    """
    cores = available_cores()
    if requested is not None:
        if requested < 1:
            raise ConfigError(f"workers must be at least 1, not {requested}.")
        return Workers(requested, max(1, cores // requested), f"{requested} at a time, as asked for")
    if device != "cpu":
        return Workers(1, cores, "one at a time, since they share a GPU")
    free = free_memory_mb() if free_mb is None else free_mb
    if free is None:
        return Workers(1, cores, "one at a time, since this system does not report its free memory")
    fitting = max(1, int(SHARE * free // need_mb))
    count = max(1, min(cores, fitting, runs))
    memory = f"{fitting} x {need_mb:.0f} MB fit into {100 * SHARE:.0f} % of {free:.0f} MB of free memory"
    return Workers(
        count, max(1, cores // count), f"{count} at a time, since there are {cores} cores, and {memory}"
    )


def need_mb(run: PlannedRun, size: RunSize, rates: Rates) -> float:
    """Return the estimated memory of a run, MB."""
    step = 0.0
    if size.macs is not None:
        each = rates.of(run.config.model, "step_mb")
        values = run.config.batch * size.features * run.config.patch**2
        step = STEP_MB if each is None else each * values
    return PROCESS_MB + CUBES * cube_megabytes(size.scene) + step


def free_memory_mb() -> float | None:
    """Return the memory available to new processes, MB, or None if the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
        return int(kilobytes) / 2**10
    except (OSError, StopIteration):
        pass
    if not hasattr(os, "sysconf"):  # Windows
        return None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 / 2**20
    except (OSError, ValueError):
        return None
