"""Joining a Ray cluster, how its machines are shared among tasks, and when a machine counts as lost."""

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

from hsi.errors import ClusterError, ConfigError, install_command
from hsi.models.cores import available_cores
from hsi.sweep.workers import Workers


@dataclass(frozen=True)
class Machine:
    """What one machine offers: cores, GPUs, and memory in MB."""

    cpus: int
    gpus: int
    memory_mb: float

    def fits(self, threads: int, need_mb: float, gpu: bool) -> int:
        """Return how many tasks of these threads and memory (MB) fit at a time; memory allows at least 1."""
        by_memory = max(1, int(self.memory_mb // need_mb))
        return min(self.cpus // threads, by_memory, self.gpus if gpu else by_memory)


def choose_device(requested: str, machines: Sequence[Machine]) -> str:
    """Resolve "auto", "cpu" or "cuda" to "cpu" or "cuda"; "auto" takes GPUs where there are any.

    Raises
    ------
    ConfigError
        For a device that no machine has.
    """
    found = {"cpu": True, "cuda": any(machine.gpus for machine in machines)}
    if requested == "auto":
        return "cuda" if found["cuda"] else "cpu"
    if not found.get(requested, False):
        raise ConfigError(f"No machine of the Ray cluster has a device '{requested}'; use auto or cpu.")
    return requested


def cluster_workers(
    machines: Sequence[Machine], requested: int | None, tasks: int, need_mb: float, *, device: str = "cpu"
) -> Workers:
    """Choose how many tasks run at a time and how many threads each has.

    The rule of `hsi.sweep.workers` for several machines: as many tasks at a time as cores and memory allow,
    then as many threads each as leave room for all; a GPU takes one task at a time. If the user `requested`
    more than fit, the rest waits in Ray's queue. A task needs `need_mb` of memory (MB).

    Raises
    ------
    ConfigError
        When `requested` is below one.
    ClusterError
        When no machine can take a task.
    """
    if requested is not None and requested < 1:
        raise ConfigError(f"workers must be at least 1, not {requested}.")

    def places(threads: int) -> int:
        return sum(machine.fits(threads, need_mb, device == "cuda") for machine in machines)

    most = places(1)
    if not most:
        raise ClusterError("The Ray cluster has no machine with a free core; start one by: ray start.")
    count = max(1, min(most, tasks)) if requested is None else requested
    cores = max(machine.cpus for machine in machines)
    threads = max(n for n in range(1, cores + 1) if n == 1 or places(n) >= min(count, most))
    why = f"{len(machines)} machine{'s' if len(machines) > 1 else ''} of a Ray cluster"
    return Workers(count, threads, f"{count} at a time on {why}")


RETRIES = 3
"""Times that a task is run again after its machine or process was lost: one that always runs out of memory
would otherwise be repeated for ever."""


def is_node_failure(error: BaseException) -> bool:
    """Return whether an error of Ray means a lost machine or process, not that the task itself failed."""
    from ray import exceptions

    failures = (
        exceptions.NodeDiedError,
        exceptions.WorkerCrashedError,
        exceptions.LocalRayletDiedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
    )
    return isinstance(error, failures)


def error_line(error: BaseException) -> str:
    """Return type and last line of an error on another machine."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[-1].strip()}"


STORE_BYTES = 2**28  # object store of a cluster of this machine alone
ANSWER_SECONDS = 10.0  # connection timeout; Ray itself would wait for minutes


@contextmanager
def connected() -> Iterator[list[Machine]]:
    """Join the cluster at ``RAY_ADDRESS``, else start one of this machine alone; yield its machines.

    On exit the cluster is left, or shut down if it was started here. Ray prints nothing on standard output
    and sends no usage report.

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
            f"--engine ray needs Ray, which is not installed: {install_command('cluster')}."
        ) from None
    if ray.is_initialized():  # by the calling program
        yield _machines(ray.nodes())
        return
    # Ray reports lost machines on standard output, which is for results.
    with redirect_stdout(io.StringIO()):
        try:
            with _keep_sigterm_handler():
                _join(os.environ.get("RAY_ADDRESS"))
            yield _machines(ray.nodes())
        finally:
            with _keep_sigterm_handler():
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
def _keep_sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray replaces."""
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
