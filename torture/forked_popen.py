"""A replacement of `subprocess.Popen` in a sweep, so that its runs are forked and start at once."""

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
    """``python -m hsi ...`` as a fork of this process, with the methods that `hsi.sweep.execute` uses.

    Process ids are written into the file `pids`, so that the runs of a killed sweep can be found.
    """

    pids: Path

    def __init__(self, command: list[str], *, stdout: Any, pass_fds: tuple[int, ...], **other: Any) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 99
            try:
                faults.remove_all()
                os.setsid()
                with self.pids.open("a", encoding="ascii") as file:
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
        """Return the exit status, or None while it runs."""
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
        """Kill it."""
        self.send_signal(signal.SIGKILL)
