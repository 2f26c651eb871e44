"""The runs of a sweep on a Ray cluster: each is a Ray task that starts the process of a local run."""

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

from hsi.cluster.connect import RETRIES, Machine, choose_device, cluster_workers, error_line, is_node_failure
from hsi.cluster.shared_folder import SharedFolder, verified_folder
from hsi.errors import ClusterError, HsiError
from hsi.runs.status import RunState
from hsi.sweep.execute import GRACE_SECONDS, Engine, LocalRun, RunHandle
from hsi.sweep.plan import PlannedRun
from hsi.sweep.workers import Workers

PAUSE_SECONDS = 5.0
"""Wait before a run is started again: Ray reports a lost machine up to two seconds before it kills the
processes left there (measured with Ray 2.60)."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class TrainingTask:
    """A run for a machine to train, and the seconds to wait before."""

    run: PlannedRun
    threads: int
    data_root: Path | None
    shared: SharedFolder
    pause: float = 0.0


@dataclass(frozen=True)
class TaskResult:
    """Why a run is not done (None if it is), and how many seconds it took."""

    failure: str | None
    seconds: float


class TaskProcess(LocalRun):
    """The process of a run, which ends with the Ray process that started it, even if that is killed."""

    def _command(self, data_root: Path | None) -> list[str]:
        wrapper = [sys.executable, "-m", "hsi.cluster.die_with_parent", str(os.getpid())]
        return [*wrapper, *super()._command(data_root)]


def run_task(task: TrainingTask) -> TaskResult:
    """Train or resume a run on this machine. Ray cancels by KeyboardInterrupt, which interrupts the run."""
    time.sleep(task.pause)
    try:
        task.shared.enter()
        if task.run.state is RunState.DONE:  # it finished on a machine that only Ray had lost
            return TaskResult(None, 0.0)
        process = TaskProcess(task.run, threads=task.threads, data_root=task.data_root)
    except ClusterError as error:
        return TaskResult(str(error), 0.0)
    except (HsiError, OSError) as error:
        return TaskResult(f"On {socket.gethostname()}: {error}", 0.0)
    try:
        while process.running:
            time.sleep(POLL_SECONDS)
    finally:
        process.interrupt()
        process.wait_or_kill()
    return TaskResult(process.failure, process.seconds)


class RemoteRun(RunHandle):
    """A run as a Ray task, which is submitted again when its machine is lost, `RETRIES` times at most.

    Parameters
    ----------
    task
        What to train.
    submit
        Submits a task to Ray and returns the reference to its result.
    message
        Called with a sentence when a machine was lost.
    """

    def __init__(
        self,
        task: TrainingTask,
        submit: Callable[[TrainingTask], Any],
        message: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(task.run)
        self._task, self._submit, self._message = task, submit, message
        self._retries_left, self._stopping = RETRIES, False
        self._result: TaskResult | None = None
        self._reference = submit(task)

    @property
    def seconds(self) -> float:
        """How long it has been running; of an ended one, how long its last process took."""
        return super().seconds if self._result is None else self._result.seconds

    @property
    def running(self) -> bool:
        """Whether it runs, or waits for a machine."""
        import ray

        if self._result is None and ray.wait([self._reference], timeout=0)[0]:
            self._collect()
        return self._result is None

    @property
    def failure(self) -> str | None:
        """Why an ended run is not done, in one line; None if it is."""
        return "still running" if self._result is None else self._result.failure

    def interrupt(self) -> None:
        """Interrupt its process."""
        import ray

        self._stopping = True
        if self.running:
            ray.cancel(self._reference)

    def wait_or_kill(self, seconds: float = GRACE_SECONDS + 5) -> None:
        """Wait until it has stopped; kill its process if it does not in time."""
        import ray

        if self._result is None:
            ray.wait([self._reference], timeout=seconds)
        if self.running:
            ray.cancel(self._reference, force=True)
            ray.wait([self._reference], timeout=seconds)
            self._result = self._result or TaskResult("killed", super().seconds)

    def _collect(self) -> None:
        import ray

        try:
            self._result = ray.get(self._reference)
        except ray.exceptions.TaskCancelledError:
            done = self.run.state is RunState.DONE  # it may have finished just then
            self._result = TaskResult(None if done else "interrupted", super().seconds)
        except ray.exceptions.RayError as error:
            if not is_node_failure(error) or self._stopping:
                self._result = TaskResult(error_line(error), super().seconds)
            elif self._retries_left:
                self._retries_left -= 1
                self.resumed = True
                self._message(f"{self.run.key}: its machine was lost; another one takes it over.")
                self._reference = self._submit(replace(self._task, pause=PAUSE_SECONDS))
            else:
                what = f"its machine or process was lost {RETRIES + 1} times ({type(error).__name__})"
                self._result = TaskResult(what, super().seconds)


class RayEngine(Engine):
    """Runs as tasks of the Ray cluster that this process has joined.

    All machines must share the working folder; each checks that before it trains. The sweep's process holds
    the lock of the sweep's folder, the machines those of the run folders.

    Parameters
    ----------
    machines
        See `hsi.cluster.connect.connected`.
    message
        Called with a sentence when a machine was lost.
    """

    def __init__(
        self, machines: Sequence[Machine], message: Callable[[str], None] = lambda text: None
    ) -> None:
        self._machines, self._message = machines, message
        self._need_mb = 0.0
        self._shared: SharedFolder | None = None

    def device(self, runs: Sequence[PlannedRun]) -> str:
        """Return "cuda" if any of the runs needs a GPU, else "cpu"."""
        devices = {choose_device(name, self._machines) for name in {run.config.device for run in runs}}
        return "cuda" if "cuda" in devices else "cpu"

    def places(self, requested: int | None, runs: int, need_mb: float, device: str) -> Workers:
        """Choose the number of runs at a time; see `hsi.cluster.connect.cluster_workers`."""
        self._need_mb = min(need_mb, max((machine.memory_mb for machine in self._machines), default=0.0))
        return cluster_workers(self._machines, requested, runs, need_mb, device=device)

    @contextmanager
    def sharing(self, folder: Path) -> Iterator[None]:
        """Mark the sweep's folder, so that the machines can check that they see it."""
        with verified_folder(folder) as self._shared:
            yield

    def start(self, run: PlannedRun, *, threads: int, data_root: Path | None, lock: int | None) -> RunHandle:
        """Submit a run to Ray; it starts when a machine has room. `lock` is not passed on."""
        import ray

        assert self._shared is not None, "start is called within sharing"
        gpu = choose_device(run.config.device, self._machines) == "cuda"
        task = ray.remote(run_task).options(
            name=run.key,
            num_cpus=threads,
            num_gpus=int(gpu),
            memory=int(self._need_mb * 2**20),
            max_retries=0,  # `RemoteRun` retries, after a pause
            scheduling_strategy="SPREAD",
        )
        return RemoteRun(TrainingTask(run, threads, data_root, self._shared), task.remote, self._message)
