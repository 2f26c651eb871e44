"""A Ray cluster of several machines, each a set of real processes on this one, and one that may be killed."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

STORE = 80 * 2**20  # bytes; Ray takes no less than 75 MB
TIMEOUT = 120  # seconds

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@pytest.fixture(scope="session")
def two_machines() -> Iterator[Any]:
    """A cluster of two machines of one core."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'hsi-toolkit[cluster]'")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(wait=False, num_cpus=1, object_store_memory=STORE)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture
def cluster(two_machines: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The cluster, named by ``RAY_ADDRESS``."""
    monkeypatch.setenv("RAY_ADDRESS", two_machines.address)
    return two_machines


def _wait_until(comes: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not comes():
        assert time.monotonic() < end, f"not so within {TIMEOUT} s"
        time.sleep(0.02)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait until something comes true, or fail."""
    return _wait_until


class Victim:
    """A machine of the cluster, to be killed while it is at work."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._node = cluster.add_node(num_cpus=1, object_store_memory=STORE)
        (raylet,) = self._node.all_processes["raylet"]
        self._raylet = psutil.Process(raylet.process.pid)
        self.alive = True

    def commands(self) -> list[list[str]]:
        """Return the command lines of what runs there."""
        found = []
        for process in self._raylet.children(recursive=True):
            try:
                found.append(process.cmdline())
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self) -> None:
        """End it as a loss of power does."""
        if self.alive:
            self.alive = False
            self._cluster.remove_node(self._node, allow_graceful=False)

    def bury(self) -> None:
        """Kill it and wait until the cluster knows: till then the next test would count with its core."""
        self.kill()
        self._cluster.wait_for_nodes(TIMEOUT)

    def kill_when(self, busy: Callable[[list[list[str]]], bool]) -> None:
        """Wait until its commands look so, then kill it."""
        _wait_until(lambda: busy(self.commands()))
        self.kill()


@pytest.fixture
def add_victim(cluster: Any) -> Iterator[Callable[[], Victim]]:
    """Add a machine to the cluster, which is gone after the test."""
    made: list[Victim] = []

    def add() -> Victim:
        made.append(Victim(cluster))
        return made[-1]

    yield add
    for victim in made:
        victim.bury()
