"""Becoming another program that ends when the process that started it does, however that ends.

``python -m hsi.cluster.die_with_parent PID PROGRAM ...``: PID is the process that it is tied to, its parent. A machine
that is lost to Ray may be well; without this a training would go on there while the same one is started again
elsewhere. Only Linux can tie processes; elsewhere the lock of the run folder keeps the second one out.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """Let this process be killed when its parent ends; that holds for a program that it becomes."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Tie this process, then become the program that the command line names."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    # Ray's processes start with Ctrl-C blocked, which would go on in the program.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    tie(parent)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
