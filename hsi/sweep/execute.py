"""Executing the runs of a sweep, several at a time, each in a process of its own."""

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
    """A run that was started; `resumed` says whether an interrupted one is continued."""

    def __init__(self, run: PlannedRun) -> None:
        self.run = run
        self.resumed = run.state is RunState.INTERRUPTED
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._started

    def epochs(self) -> int:
        """Return the number of epochs in its history.csv."""
        try:
            return (self.run.folder / "history.csv").read_bytes().count(b"\n") - 1
        except OSError:
            return 0

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether it has not ended yet."""

    @property
    @abstractmethod
    def failure(self) -> str | None:
        """Why an ended run is not done, in one line; None if it is."""

    @abstractmethod
    def interrupt(self) -> None:
        """Ask it to stop, as Ctrl-C does."""

    @abstractmethod
    def wait_or_kill(self) -> None:
        """Wait for an interrupted run to stop; kill it if it does not in time."""


class Engine:
    """Runs as processes of this machine; the base class of other engines."""

    def device(self, runs: Sequence[PlannedRun]) -> str:
        """Return "cuda" or "mps" if any of the runs needs it, else "cpu".

        Raises
        ------
        ConfigError
            For a device that this machine does not have.
        """
        devices = {choose_device(name).type for name in {run.config.device for run in runs}}
        return next((kind for kind in ("cuda", "mps") if kind in devices), "cpu")

    def places(self, requested: int | None, runs: int, need_mb: float, device: str) -> Workers:
        """Choose the number of runs at a time; see `hsi.sweep.workers.choose_workers`."""
        return choose_workers(requested, runs, need_mb, device=device)

    def sharing(self, folder: Path) -> AbstractContextManager[None]:
        """Return the context within which `start` is called for runs in the sweep's folder."""
        return nullcontext()

    def start(self, run: PlannedRun, *, threads: int, data_root: Path | None, lock: int | None) -> RunHandle:
        """Start a run; see `hsi.sweep.execute.LocalRun`."""
        return LocalRun(run, threads=threads, data_root=data_root, lock=lock)


GRACE_SECONDS = 10.0  # for an interrupted run to finish its step; its checkpoints are complete at any time
FULL = 2**16  # bytes: a disk with less space left counts as the reason of a failure
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LocalRun(RunHandle):
    """``python -m hsi train`` for one planned run, started or resumed.

    Options are written to ``SEED.toml`` and output to ``SEED.log``, both beside the run folder. The process
    has its own session, so that Ctrl-C reaches only the sweep, which then interrupts it. It inherits `lock`,
    the descriptor of a locked file, which it thus keeps locked while it lives.

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
            short = hasattr(signal, "SIGKILL") and -status == signal.SIGKILL
            return f"killed by signal {-status}" + (", perhaps out of memory" if short else "")
        if shutil.disk_usage(self.log.parent).free < FULL:  # then its log has no last message either
            return f"'{self.run.folder}' cannot be written ({os.strerror(errno.ENOSPC)})"
        return self._last_message() or f"ended with status {status}"

    def _last_message(self) -> str:
        lines = [line.strip() for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()]
        return next((line.removeprefix("hsi: ") for line in reversed(lines) if line), "")

    def interrupt(self) -> None:
        """Ask the process to stop, as Ctrl-C does."""
        if self.running:
            # A background job of a shell ignores SIGINT, and so do its subprocesses.
            ignored = os.name == "nt" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            self.process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)

    def wait_or_kill(self, seconds: float = GRACE_SECONDS) -> None:
        """Wait for an interrupted process; kill it if it does not end in time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


POLL_SECONDS = 0.2


class SweepCallback:
    """Hooks of `execute`; they do nothing here."""

    def started(self, handle: RunHandle) -> None:
        """A run was started."""

    def finished(self, handle: RunHandle) -> None:
        """A run is done; its folder is complete."""

    def failed(self, run: PlannedRun, reason: str) -> None:
        """A run ended without being done."""

    def tick(self, running: Sequence[RunHandle], waiting: Sequence[PlannedRun]) -> None:
        """Called several times a second."""


@dataclass
class SweepResult:
    """Runs by how they ended: done, failed with the reason, or left (not started, or interrupted)."""

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
) -> SweepResult:
    """Train or resume runs in the given order, `workers` at a time, each on `threads` threads.

    Parameters
    ----------
    max_seconds
        After this time no run is started, and running ones are interrupted; they can be resumed.
    lock
        See `hsi.io.locks.sweep_lock`.
    engine
        Where to run; default: this machine.

    Raises
    ------
    KeyboardInterrupt
        From the user; running runs have been interrupted then, and can be resumed.
    """
    callback, engine = callback or SweepCallback(), engine or Engine()
    waiting, running, result = list(runs), list[RunHandle](), SweepResult()
    started = time.monotonic()
    try:
        while waiting or running:
            late = max_seconds is not None and time.monotonic() - started >= max_seconds
            if late:
                _interrupt_all(running)
            for handle in [handle for handle in running if not handle.running]:
                running.remove(handle)
                _record(handle, late, result, callback)
            while waiting and not late and len(running) < workers:
                run = waiting.pop(0)
                try:
                    handle = engine.start(run, threads=threads, data_root=data_root, lock=lock)
                except (HsiError, OSError) as error:
                    result.failed.append((run, str(error)))
                    callback.failed(run, str(error))
                    continue
                running.append(handle)
                callback.started(handle)
            if late and not running:
                result.left += waiting
                break
            callback.tick(running, waiting)
            time.sleep(POLL_SECONDS)
    finally:
        _interrupt_all(running)
    return result


def _record(handle: RunHandle, late: bool, result: SweepResult, callback: SweepCallback) -> None:
    reason = handle.failure
    if reason is None:
        result.done.append(handle.run)
        callback.finished(handle)
    elif late:
        result.left.append(handle.run)
    else:
        result.failed.append((handle.run, reason))
        callback.failed(handle.run, reason)


def _interrupt_all(handles: Sequence[RunHandle]) -> None:
    for handle in handles:
        handle.interrupt()
    for handle in handles:
        handle.wait_or_kill()
