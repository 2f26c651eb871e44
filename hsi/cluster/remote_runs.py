"""The runs of a sweep on a Ray cluster: each is a task that starts the process of a local sweep."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hsi.cluster.connect import RETRIES, Machine, choose_device, in_words, is_lost, share
from hsi.cluster.shared_folder import SharedFolder, proven
from hsi.errors import ClusterError, HsiError
from hsi.runs.status import RunState
from hsi.sweep.execute import GRACE_SECONDS, Engine, LocalRun, RunHandle
from hsi.sweep.plan import PlannedRun
from hsi.sweep.workers import Workers

PAUSE_SECONDS = 5.0
"""Before a run is started again: Ray tells of a lost machine up to two seconds before it ends what is left
there (measured with Ray 2.60)."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Order:
    """What a machine is told to train, where, and how long to wait before."""

    run: PlannedRun
    threads: int
    data_root: Path | None
    shared: SharedFolder
    pause: float = 0.0


@dataclass(frozen=True)
class Report:
    """How a run went on its machine: why it is not done (None where it is), and how many seconds it took."""

    failure: str | None
    seconds: float


class RemoteLocalRun(LocalRun):
    """A run's process that ends with the process that started it, even when that is killed."""

    def _command(self, data_root: Path | None) -> list[str]:
        tied = [sys.executable, "-m", "hsi.cluster.die_with_parent", str(os.getpid())]
        return [*tied, *super()._command(data_root)]


def train_there(order: Order) -> Report:
    """Train a run on the machine that this is called on, from where it was interrupted if it was.

    Ray's cancelling comes as KeyboardInterrupt; the run is interrupted then.
    """
    time.sleep(order.pause)
    try:
        order.shared.enter()
        if order.run.state is RunState.DONE:  # it came to its end on a machine that was lost to Ray alone
            return Report(None, 0.0)
        child = RemoteLocalRun(order.run, threads=order.threads, data_root=order.data_root)
    except ClusterError as error:
        return Report(str(error), 0.0)
    except (HsiError, OSError) as error:
        return Report(f"On {socket.gethostname()}: {error}", 0.0)
    try:
        while child.running:
            time.sleep(POLL_SECONDS)
    finally:
        child.interrupt()
        child.wait_or_kill()
    return Report(child.failure, child.seconds)


class RemoteRun(RunHandle):
    """A run as a task of Ray; it is given to another machine when its own goes away, three times at most.

    Parameters
    ----------
    order
        What to train.
    submit
        Hands an order to Ray; returns Ray's reference to the report.
    tell
        Told in a sentence that a machine went away.
    """

    def __init__(
        self, order: Order, submit: Callable[[Order], Any], tell: Callable[[str], None] = lambda text: None
    ) -> None:
        super().__init__(order.run)
        self._order, self._submit, self._tell = order, submit, tell
        self._left, self._stopping = RETRIES, False
        self._report: Report | None = None
        self._task = submit(order)

    @property
    def seconds(self) -> float:
        """How long it has been going on; of one that has ended, how long its last process took."""
        return super().seconds if self._report is None else self._report.seconds

    @property
    def running(self) -> bool:
        """Whether it goes on, or waits for a machine."""
        import ray

        if self._report is None and ray.wait([self._task], timeout=0)[0]:
            self._settle()
        return self._report is None

    @property
    def failure(self) -> str | None:
        """Why one that has ended is not done, in one line; None where it is."""
        return "still running" if self._report is None else self._report.failure

    def interrupt(self) -> None:
        """Have its process interrupted where it runs."""
        import ray

        self._stopping = True
        if self.running:
            ray.cancel(self._task)

    def wait_or_kill(self, seconds: float = GRACE_SECONDS + 5) -> None:
        """Wait until it has stopped; end its process by force when it does not in time."""
        import ray

        if self._report is None:
            ray.wait([self._task], timeout=seconds)
        if self.running:
            ray.cancel(self._task, force=True)
            ray.wait([self._task], timeout=seconds)
            self._report = self._report or Report("killed", super().seconds)

    def _settle(self) -> None:
        import ray

        try:
            self._report = ray.get(self._task)
        except ray.exceptions.TaskCancelledError:
            done = self.run.state is RunState.DONE  # it may have come to its end just then
            self._report = Report(None if done else "interrupted", super().seconds)
        except ray.exceptions.RayError as error:
            if not is_lost(error) or self._stopping:
                self._report = Report(in_words(error), super().seconds)
            elif self._left:
                self._left -= 1
                self.resumed = True
                self._tell(f"{self.run.key}: its machine was lost; another one takes it over.")
                self._task = self._submit(replace(self._order, pause=PAUSE_SECONDS))
            else:
                what = f"its machine or process was lost {RETRIES + 1} times ({type(error).__name__})"
                self._report = Report(what, super().seconds)


class RayEngine(Engine):
    """Runs as tasks of the Ray cluster that this process has joined.

    All machines must share the working folder; each checks that before it trains. The lock of the sweep's
    folder is held by the sweep alone, those of the run folders by the machines at work there.

    Parameters
    ----------
    machines
        See `hsi.cluster.connect.connected`.
    tell
        Told in a sentence of machines that go away.
    """

    def __init__(self, machines: Sequence[Machine], tell: Callable[[str], None] = lambda text: None) -> None:
        self._machines, self._tell = machines, tell
        self._need_mb = 0.0
        self._shared: SharedFolder | None = None

    def device(self, runs: Sequence[PlannedRun]) -> str:
        """Return "cpu", or "cuda" if any of the runs works on a GPU."""
        devices = {choose_device(name, self._machines) for name in {run.config.device for run in runs}}
        return "cuda" if "cuda" in devices else "cpu"

    def places(self, wanted: int | None, runs: int, need_mb: float, device: str) -> Workers:
        """Choose the number of runs at a time; see `hsi.cluster.connect.share`."""
        self._need_mb = min(need_mb, max((machine.memory_mb for machine in self._machines), default=0.0))
        return share(self._machines, wanted, runs, need_mb, device=device)

    @contextmanager
    def sharing(self, folder: Path) -> Iterator[None]:
        """Let the machines check that they see the sweep's folder."""
        with proven(folder) as self._shared:
            yield

    def start(self, run: PlannedRun, *, threads: int, data_root: Path | None, lock: int | None) -> RunHandle:
        """Give a run to Ray, to be trained when a machine has room for it; the lock stays here."""
        import ray

        assert self._shared is not None, "runs start within sharing"
        gpu = choose_device(run.config.device, self._machines) == "cuda"
        task = ray.remote(train_there).options(
            name=run.key,
            num_cpus=threads,
            num_gpus=int(gpu),
            memory=int(self._need_mb * 2**20),
            max_retries=0,  # `RemoteRun` does that, after a pause
            scheduling_strategy="SPREAD",
        )
        return RemoteRun(Order(run, threads, data_root, self._shared), task.remote, self._tell)
