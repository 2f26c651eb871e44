"""Joining a Ray cluster: the one that ``RAY_ADDRESS`` names, else one of this machine alone."""

from __future__ import annotations

import io
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from hsi.bench.setting import available_cores
from hsi.cluster.machines import Machine
from hsi.errors import ClusterError, ConfigError

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
