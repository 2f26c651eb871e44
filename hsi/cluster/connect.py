"""How the machines of a cluster are shared: how many runs at a time, with how many threads each.

The rule is that of `hsi.sweep.workers`, for several machines: as many runs at a time as there are cores and
as fit into memory, then as many threads for each as leave room for all; a GPU takes one at a time.

When a machine goes away: what Ray says then, and how often its work is done again.

Joining a Ray cluster: the one that ``RAY_ADDRESS`` names, else one of this machine alone.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from hsi.errors import ClusterError, ConfigError
from hsi.models.device import available_cores
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


RETRIES = 3
"""How often work is done again whose machine, or process, went away: our decision. Work that ends its process
each time, for want of memory say, would go on for ever."""


def is_lost(error: BaseException) -> bool:
    """Tell whether an error of Ray says that a machine or a process went away, not that the work failed."""
    from ray import exceptions

    gone = (
        exceptions.NodeDiedError,
        exceptions.WorkerCrashedError,
        exceptions.LocalRayletDiedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
    )
    return isinstance(error, gone)


def in_words(error: BaseException) -> str:
    """Return one line about what went wrong on another machine."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[-1].strip()}"


STORE_BYTES = 2**28
"""Memory in which a cluster of this machine alone keeps results until they are written: our decision."""

ANSWER_SECONDS = 10.0
"""A cluster that is there answers sooner; Ray itself would wait for minutes."""


@contextmanager
def connected() -> Iterator[list[Machine]]:
    """Yield the machines of the cluster that can do work; on leaving, what was started for it is ended.

    Ray's messages are kept from standard output and its report of usage from the network.

    Raises
    ------
    ConfigError
        When Ray is not installed.
    ClusterError
        When the cluster that ``RAY_ADDRESS`` names does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "--engine ray needs Ray, which is not installed: pip install 'hsi[cluster]'."
        ) from None
    if ray.is_initialized():  # by a program that uses hsi
        yield _machines(ray.nodes())
        return
    # Ray tells of lost machines on standard output, which is for results.
    with redirect_stdout(io.StringIO()):
        try:
            with _sigterm_kept():
                _join(os.environ.get("RAY_ADDRESS"))
            yield _machines(ray.nodes())
        finally:
            with _sigterm_kept():
                ray.shutdown()


def _join(address: str | None) -> None:
    import ray

    quiet: dict[str, Any] = {"logging_level": "CRITICAL", "log_to_driver": False}
    if not address:
        ray.init(
            address="local",
            num_cpus=available_cores(),
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            **quiet,
        )
        return
    try:
        host, colon, port = address.rpartition(":")
        if colon and port.isdigit() and "://" not in address:
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"The Ray cluster at RAY_ADDRESS={address} cannot be joined ({_first_line(error)}); is it there, "
            "and was it started with the RAY_AUTH_MODE of this command?"
        ) from None


def _machines(nodes: list[dict[str, Any]]) -> list[Machine]:
    found = []
    for node in nodes:
        has = node["Resources"]
        if node["Alive"] and has.get("CPU", 0) >= 1:
            found.append(Machine(int(has["CPU"]), int(has.get("GPU", 0)), has.get("memory", 0) / 2**20))
    return found


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Undo that Ray takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
