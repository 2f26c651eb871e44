"""A stand-in for `subprocess.Popen` in a sweep, whose runs are then forked and start at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from torture import faults


class ForkedPopen:
    """``python -m hsi ...`` as a fork of this process, with what `hsi.sweep.execute` uses of a process.

    Its number is written into `numbers`, so that the torture finds the runs of a sweep that was killed.
    """

    numbers: Path

    def __init__(self, command: list[str], *, stdout: Any, pass_fds: tuple[int, ...], **other: Any) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 99
            try:
                faults.uproot()
                os.setsid()
                with self.numbers.open("a", encoding="ascii") as file:
                    file.write(f"{os.getpid()}\n")
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                os.dup2(stdout.fileno(), 1)
                os.dup2(stdout.fileno(), 2)
                from hsi.commands.app import run

                status = run(command[3:])
            finally:
                with contextlib.suppress(OSError):  # a full disk
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(status)

    def poll(self) -> int | None:
        """Return how it ended, or None."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, seconds: float = 60.0) -> int:
        """Wait until it has ended."""
        end = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("hsi", seconds)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)
