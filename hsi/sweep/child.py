"""One run of a sweep as a process of its own: started, watched, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hsi.runs.atomic import write_text
from hsi.runs.state import RunState, clear_stillborn
from hsi.sweep.plan import PlannedRun

GRACE_SECONDS = 10.0  # a stopped run may finish the step that it is in; its checkpoints are whole at any time
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Child:
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
        self.run = run
        self.log = _beside(run.folder, ".log")
        self.started = time.monotonic()
        self.resumed = run.state is RunState.INTERRUPTED
        run.folder.parent.mkdir(parents=True, exist_ok=True)
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
            clear_stillborn(self.run.folder)
            options = _beside(self.run.folder, ".toml")
            write_text(options, self.run.config.to_toml())
            words += ["--config", str(options), "--out", str(self.run.folder)]
        return words if data_root is None else [*words, "--data-root", str(data_root)]

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started

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
        return self._last_words() or f"ended with status {status}"

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()]
        return next((line.removeprefix("hsi: ") for line in reversed(lines) if line), "")

    def epochs(self) -> int:
        """Return how many epochs are over, as its history says."""
        try:
            return (self.run.folder / "history.csv").read_bytes().count(b"\n") - 1
        except OSError:
            return 0

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
