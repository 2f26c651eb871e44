"""Commands of hsi in forked processes, so that each starts in milliseconds and can be ended at any moment.

The parent imports everything once and never starts a thread; every child runs one command as `hsi` would,
with its words in a file.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ESCAPED = 99  # status of a command that let an exception out; the real command would print a traceback
PATIENCE = 120.0  # seconds until a command counts as hanging


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status (below zero: the signal that killed it), words, seconds."""

    status: int
    said: str
    seconds: float

    @property
    def sentence(self) -> str:
        """The last line that it said."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        return lines[-1] if lines else ""


class Forked:
    """One command in a process of its own.

    Parameters
    ----------
    arguments
        What follows ``hsi``.
    folder
        Where it works.
    prepare
        Called in the new process before the command, such as to plant a fault.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, prepare: Callable[[], None] | None = None
    ) -> None:
        descriptor, name = tempfile.mkstemp(prefix="hsi-torture-said-")
        self._said = Path(name)
        ready, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ready)
            _be_a_command(list(arguments), folder, descriptor, tell, prepare)
        os.close(descriptor)
        os.close(tell)
        os.read(ready, 1)  # returns when the command begins, or its process is gone
        os.close(ready)
        self._began = time.monotonic()
        self.ended: Ended | None = None
        self.stopped = False

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> Ended | None:
        """Return how it ended, or None while it runs."""
        if self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                self.stopped = True
            elif pid:
                self.ended = self._end(status)
        return self.ended

    def wait_until_stopped(self) -> bool:
        """Wait until it has stopped itself or ended; return whether it has stopped."""
        while self.poll() is None and not self.stopped:
            time.sleep(0.002)
        return self.stopped

    def wait(self) -> Ended:
        """Wait until it has ended; one that hangs is killed."""
        while (ended := self.poll()) is None:
            if time.monotonic() - self._began > PATIENCE:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.002)
        return ended

    def _end(self, status: int) -> Ended:
        said = self._said.read_text(encoding="utf-8", errors="replace")
        self._said.unlink()
        return Ended(os.waitstatus_to_exitcode(status), said, time.monotonic() - self._began)


def run_forked(arguments: Sequence[str], folder: Path, prepare: Callable[[], None] | None = None) -> Ended:
    """Run one command to its end."""
    return Forked(arguments, folder, prepare).wait()


def _be_a_command(
    arguments: list[str], folder: Path, said: int, tell: int, prepare: Callable[[], None] | None
) -> None:
    """Become the command: never returns."""
    status = ESCAPED
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2)
        )
        os.chdir(folder)
        from hsi.commands.app import run

        if prepare is not None:
            prepare()
        os.write(tell, b".")
        os.close(tell)
        status = run(arguments)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
