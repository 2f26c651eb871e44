"""How the machines of a cluster are shared: how many runs at a time, with how many threads each.

The rule is that of `hsi.sweep.workers`, for several machines: as many runs at a time as there are cores and
as fit into memory, then as many threads for each as leave room for all; a GPU takes one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hsi.errors import ClusterError, ConfigError
from hsi.sweep.workers import Workers


@dataclass(frozen=True)
class Machine:
    """What one machine offers: cores, GPUs, and memory in MB."""

    cpus: int
    gpus: int
    memory_mb: float

    def fits(self, threads: int, need_mb: float, gpu: bool) -> int:
        """Return how many tasks of so many threads and so much memory (MB) it can do at a time.

        One at least is taken to fit into any machine's memory.
        """
        by_memory = max(1, int(self.memory_mb // need_mb))
        return min(self.cpus // threads, by_memory, self.gpus if gpu else by_memory)


def choose_device(wanted: str, machines: Sequence[Machine]) -> str:
    """Return "cpu" or "cuda" for "auto", "cpu" or "cuda"; auto takes the GPUs where there are any.

    Raises
    ------
    ConfigError
        For a device that no machine has.
    """
    found = {"cpu": True, "cuda": any(machine.gpus for machine in machines)}
    if wanted == "auto":
        return "cuda" if found["cuda"] else "cpu"
    if not found.get(wanted, False):
        raise ConfigError(f"No machine of the Ray cluster has a device '{wanted}'; use auto or cpu.")
    return wanted


def share(
    machines: Sequence[Machine], wanted: int | None, tasks: int, need_mb: float, *, device: str = "cpu"
) -> Workers:
    """Choose how many tasks go on at a time and how many threads each has.

    Parameters
    ----------
    machines
        Those of the cluster.
    wanted
        Tasks at a time that the user asked for, or None. More than fit wait in Ray's queue, for machines that
        join later.
    tasks
        How many there are to do.
    need_mb
        Memory of one, MB.
    device
        "cpu" or "cuda": what each works on.

    Raises
    ------
    ConfigError
        When `wanted` is below one.
    ClusterError
        When no machine can take a task.
    """
    if wanted is not None and wanted < 1:
        raise ConfigError(f"workers must be at least 1, not {wanted}.")

    def places(threads: int) -> int:
        return sum(machine.fits(threads, need_mb, device == "cuda") for machine in machines)

    most = places(1)
    if not most:
        raise ClusterError("The Ray cluster has no machine with a free core; start one by: ray start.")
    count = max(1, min(most, tasks)) if wanted is None else wanted
    cores = max(machine.cpus for machine in machines)
    threads = max(n for n in range(1, cores + 1) if n == 1 or places(n) >= min(count, most))
    why = f"{len(machines)} machine{'s' if len(machines) > 1 else ''} of a Ray cluster"
    return Workers(count, threads, f"{count} at a time on {why}")
