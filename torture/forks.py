"""Commands of hsi in forked processes, which start in milliseconds and can be interrupted at any moment.

The parent imports everything once and never starts a thread; every child runs one command as `hsi` does, with
its output in a file.
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
TIMEOUT_S = 120.0  # a command that runs longer hangs


@dataclass(frozen=True)
class Result:
    """Exit status of a command (negative: the signal that killed it), its output, seconds."""

    status: int
    output: str
    seconds: float

    @property
    def last_line(self) -> str:
        """The last line of the output."""
        lines = [line for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else ""


class ForkedCommand:
    """One command in a process of its own.

    Parameters
    ----------
    arguments
        What follows ``hsi``.
    folder
        Its working folder.
    prepare
        Called in the new process before the command, for example to install a fault.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, prepare: Callable[[], None] | None = None
    ) -> None:
        descriptor, name = tempfile.mkstemp(prefix="hsi-torture-output-")
        self._output = Path(name)
        receiver, sender = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(receiver)
            _run_in_child(list(arguments), folder, descriptor, sender, prepare)
        os.close(descriptor)
        os.close(sender)
        os.read(receiver, 1)  # returns when the command begins, or its process is gone
        os.close(receiver)
        self._started = time.monotonic()
        self.result: Result | None = None
        self.stopped = False

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> Result | None:
        """Return the result, or None while it runs."""
        if self.result is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                self.stopped = True
            elif pid:
                self.result = self._result(status)
        return self.result

    def wait_until_stopped(self) -> bool:
        """Wait until it has stopped itself or ended; return whether it has stopped."""
        while self.poll() is None and not self.stopped:
            time.sleep(0.002)
        return self.stopped

    def wait(self) -> Result:
        """Wait until it has ended; kill it after `TIMEOUT_S`."""
        while (result := self.poll()) is None:
            if time.monotonic() - self._started > TIMEOUT_S:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.002)
        return result

    def _result(self, status: int) -> Result:
        output = self._output.read_text(encoding="utf-8", errors="replace")
        self._output.unlink()
        return Result(os.waitstatus_to_exitcode(status), output, time.monotonic() - self._started)


def run_forked(arguments: Sequence[str], folder: Path, prepare: Callable[[], None] | None = None) -> Result:
    """Run one command until it ends."""
    return ForkedCommand(arguments, folder, prepare).wait()


def _run_in_child(
    arguments: list[str], folder: Path, output: int, ready: int, prepare: Callable[[], None] | None
) -> None:
    """Run the command; never returns."""
    status = ESCAPED
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2)
        )
        os.chdir(folder)
        from hsi.commands.app import run

        if prepare is not None:
            prepare()
        os.write(ready, b".")
        os.close(ready)
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
