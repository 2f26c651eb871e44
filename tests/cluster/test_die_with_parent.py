"""A program that ends with the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can tie processes")
TIED = [sys.executable, "-m", "hsi.cluster.die_with_parent"]
SHOW = "import signal, sys; print(sys.argv[1:], signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def test_it_becomes_the_program_and_hears_ctrl_c():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        command = [*TIED, str(os.getpid()), sys.executable, "-c", SHOW, "a b", "--c"]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    assert made.stdout == "['a b', '--c'] set()\n"


def test_it_is_killed_with_its_parent():
    parent = (
        "import os, subprocess, sys\n"
        "words = [sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(3); print(2)']\n"
        "subprocess.Popen([sys.executable, '-m', 'hsi.cluster.die_with_parent', str(os.getpid()), *words])\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as made:
        assert made.stdout is not None
        assert made.stdout.readline() == b"1\n"
        made.kill()
        assert made.stdout.read() == b""  # the end of the pipe: its last holder is gone


def test_a_parent_that_is_gone_already_is_noticed():
    command = [*TIED, "1", sys.executable, "-c", "print('went on')"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert (made.returncode, made.stdout) == (-signal.SIGKILL, "")
