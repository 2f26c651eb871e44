"""Become another program that is killed when its parent process ends, however that ends (Linux).

``python -m hsi.cluster.die_with_parent PARENT_PID PROGRAM ...``. When Ray gives up a machine that is still
alive, the training there must end before another machine resumes it. On other systems only the lock of the
run folder keeps the second training out.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Let this process be killed when its parent ends; that also holds for a program that it becomes."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Become the program that the command line names."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    # Ray's processes start with Ctrl-C blocked, which the program would inherit.
    if sys.platform != "win32":  # has no such masks
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    die_with(parent)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
