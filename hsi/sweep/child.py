"""One run of a sweep as a process of its own: started, watched, stopped."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from hsi.files.atomic import clear_unfinished, make_folder, write_text
from hsi.runs.state import RunState, clear_stillborn
from hsi.sweep.going import Going
from hsi.sweep.plan import PlannedRun

GRACE_SECONDS = 10.0  # a stopped run may finish the step that it is in; its checkpoints are whole at any time
FULL = 2**16  # bytes: a disk with less left is taken to be why a run failed (our decision)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Child(Going):
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
            clear_stillborn(self.run.folder)
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
