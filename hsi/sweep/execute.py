"""A run of a sweep that was started, wherever it goes on: watched, stopped.

Where the runs of a sweep go on.

One run of a sweep as a process of its own: started, watched, stopped.

Running the runs of a sweep, some at a time; a failed one stops none of the others.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from hsi.errors import HsiError
from hsi.io.files import clear_unfinished, make_folder, write_text
from hsi.models.device import choose_device
from hsi.runs.status import RunState, clear_unstarted
from hsi.sweep.plan import PlannedRun
from hsi.sweep.workers import Workers, choose_workers


class RunHandle(ABC):
    """What a sweep knows of a run that it started.

    Attributes
    ----------
    run
        The run.
    resumed
        Whether it goes on from where it was interrupted.
    """

    def __init__(self, run: PlannedRun) -> None:
        self.run = run
        self.resumed = run.state is RunState.INTERRUPTED
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._started

    def epochs(self) -> int:
        """Return how many epochs are over, as its history says."""
        try:
            return (self.run.folder / "history.csv").read_bytes().count(b"\n") - 1
        except OSError:
            return 0

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether it goes on."""

    @property
    @abstractmethod
    def failure(self) -> str | None:
        """Why one that has ended is not done, in one line; None where it is."""

    @abstractmethod
    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does."""

    @abstractmethod
    def wait_or_kill(self) -> None:
        """Wait for an interrupted one; end it by force when it does not stop in time."""


class Engine:
    """Runs as processes of this machine; engines for other places derive from it."""

    def device(self, runs: Sequence[PlannedRun]) -> str:
        """Return what the runs work on: "cpu", "cuda" or "mps"; a GPU if any of them does.

        Raises
        ------
        ConfigError
            When one wants a device that is not there.
        """
        devices = {choose_device(name).type for name in {run.config.device for run in runs}}
        return next((kind for kind in ("cuda", "mps") if kind in devices), "cpu")

    def places(self, wanted: int | None, runs: int, need_mb: float, device: str) -> Workers:
        """Choose the number of runs at a time; see `hsi.sweep.workers.choose_workers`."""
        return choose_workers(wanted, runs, need_mb, device=device)

    def sharing(self, folder: Path) -> AbstractContextManager[None]:
        """Return the context in which runs are started that write into the sweep's folder."""
        return nullcontext()

    def start(self, run: PlannedRun, *, threads: int, data_root: Path | None, lock: int | None) -> RunHandle:
        """Start a run; see `hsi.sweep.execute.LocalRun`."""
        return LocalRun(run, threads=threads, data_root=data_root, lock=lock)


GRACE_SECONDS = 10.0  # a stopped run may finish the step that it is in; its checkpoints are whole at any time
FULL = 2**16  # bytes: a disk with less left is taken to be why a run failed (our decision)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LocalRun(RunHandle):
    """``python -m hsi train`` for one planned run, from its beginning or from where it was interrupted.

    Its options go into ``SEED.toml`` and its words into ``SEED.log``, both beside the run folder. It has a
    process group of its own, so that Ctrl-C reaches the sweep alone, which then stops it.

    Parameters
    ----------
    run
        What to train; its folder must not be in use.
    threads
        Of this process.
    data_root
        Passed on to `hsi train`.
    lock
        Descriptor of a locked file that the process keeps open while it lives, or None.

    Raises
    ------
    RunError
        When the run's folder holds something else.
    """

    def __init__(
        self, run: PlannedRun, *, threads: int, data_root: Path | None = None, lock: int | None = None
    ) -> None:
        super().__init__(run)
        self.log = _beside(run.folder, ".log")
        make_folder(run.folder.parent)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command(data_root),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict.fromkeys(THREADS, str(threads))},
                start_new_session=True,
                pass_fds=() if lock is None else (lock,),
            )

    def _command(self, data_root: Path | None) -> list[str]:
        words = [sys.executable, "-m", "hsi", "train"]
        if self.resumed:
            words += ["--resume", str(self.run.folder)]
        else:
            clear_unstarted(self.run.folder)
            options = _beside(self.run.folder, ".toml")
            clear_unfinished(options.parent, options.name)
            write_text(options, self.run.config.to_toml())
            words += ["--config", str(options), "--out", str(self.run.folder)]
        return words if data_root is None else [*words, "--data-root", str(data_root)]

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process.poll() is None

    @property
    def failure(self) -> str | None:
        """Why an ended process has not finished its run, in one line; None where it has."""
        status = self.process.returncode
        if status == 0 and self.run.state is RunState.DONE:
            return None
        if status < 0:
            return f"killed by signal {-status}" + (
                ", perhaps for want of memory" if -status == signal.SIGKILL else ""
            )
        if shutil.disk_usage(self.log.parent).free < FULL:  # it had no room for its last words either
            return f"'{self.run.folder}' cannot be written ({os.strerror(errno.ENOSPC)})"
        return self._last_words() or f"ended with status {status}"

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()]
        return next((line.removeprefix("hsi: ") for line in reversed(lines) if line), "")

    def interrupt(self) -> None:
        """Ask the process to stop, as Ctrl-C does."""
        if self.running:
            # A job that a shell started with & ignores Ctrl-C, and so do its children.
            deaf = os.name == "nt" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            self.process.send_signal(signal.SIGTERM if deaf else signal.SIGINT)

    def wait_or_kill(self, seconds: float = GRACE_SECONDS) -> None:
        """Wait for an interrupted process; end it by force when it does not stop in time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


POLL_SECONDS = 0.2


class SweepCallback:
    """Told of what happens in a sweep; this one stays silent, displays derive from it."""

    def started(self, child: RunHandle) -> None:
        """A run was started."""

    def finished(self, child: RunHandle) -> None:
        """A run is done; its folder is complete."""

    def failed(self, run: PlannedRun, reason: str) -> None:
        """A run ended without being done."""

    def tick(self, running: Sequence[RunHandle], waiting: Sequence[PlannedRun]) -> None:
        """Some time has passed."""


@dataclass
class Outcome:
    """What became of the runs: done, failed (with the reason), and left for another time."""

    done: list[PlannedRun] = field(default_factory=list)
    failed: list[tuple[PlannedRun, str]] = field(default_factory=list)
    left: list[PlannedRun] = field(default_factory=list)


def execute(
    runs: Sequence[PlannedRun],
    *,
    workers: int,
    threads: int,
    data_root: Path | None = None,
    callback: SweepCallback | None = None,
    max_seconds: float | None = None,
    lock: int | None = None,
    engine: Engine | None = None,
) -> Outcome:
    """Train runs, `workers` at a time, each on `threads` threads.

    Parameters
    ----------
    runs
        What is missing or interrupted, in the order in which to start.
    max_seconds
        After so long no run is started any more, and those that are going are interrupted; they can be
        gone on with.
    lock
        See `hsi.io.locks.locked`.
    engine
        Where the runs go on; default: on this machine.

    Raises
    ------
    KeyboardInterrupt
        When the user stopped it; the running ones have been interrupted then, and can be gone on with.
    """
    callback, engine = callback or SweepCallback(), engine or Engine()
    waiting, running, outcome = list(runs), list[RunHandle](), Outcome()
    started = time.monotonic()
    try:
        while waiting or running:
            late = max_seconds is not None and time.monotonic() - started >= max_seconds
            if late:
                _stop(running)
            for child in [child for child in running if not child.running]:
                running.remove(child)
                _settle(child, late, outcome, callback)
            while waiting and not late and len(running) < workers:
                run = waiting.pop(0)
                try:
                    child = engine.start(run, threads=threads, data_root=data_root, lock=lock)
                except (HsiError, OSError) as error:
                    outcome.failed.append((run, str(error)))
                    callback.failed(run, str(error))
                    continue
                running.append(child)
                callback.started(child)
            if late and not running:
                outcome.left += waiting
                break
            callback.tick(running, waiting)
            time.sleep(POLL_SECONDS)
    finally:
        _stop(running)
    return outcome


def _settle(child: RunHandle, late: bool, outcome: Outcome, callback: SweepCallback) -> None:
    reason = child.failure
    if reason is None:
        outcome.done.append(child.run)
        callback.finished(child)
    elif late:
        outcome.left.append(child.run)
    else:
        outcome.failed.append((child.run, reason))
        callback.failed(child.run, reason)


def _stop(children: Sequence[RunHandle]) -> None:
    for child in children:
        child.interrupt()
    for child in children:
        child.wait_or_kill()
