"""Signals: deferred while a step must not be interrupted, and SIGTERM as an exception.

Python handles a signal between two bytecodes of the main thread, so not while a library waits: a collective
of a GPU whose peer was killed waits for minutes. `sigterm_stops` therefore listens in a thread and ends the
process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_WAITING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is over, where this process answers them by Python code."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    answers = {number: signal.getsignal(number) for number in _WAITING}
    came: list[tuple[int, FrameType | None]] = []

    def later(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))

    changed: dict[int, Any] = {}  # how each was answered before
    try:
        for number, answer in answers.items():
            if callable(answer):
                changed[number] = answer
                signal.signal(number, later)
        yield
    finally:
        for known, answer in changed.items():
            signal.signal(known, answer)
        for first, frame in came[:1]:
            changed[first](first, frame)


PATIENCE = 5.0
"""Seconds that the main thread has to stop by itself; torchrun kills after 30."""


class Stopped(BaseException):
    """The process was told to end; no `Exception`, since nothing should go on after it."""


@contextmanager
def sigterm_stops(last_words: Callable[[], None]) -> Iterator[None]:
    """Raise `Stopped` in the block when SIGTERM comes; to be used in the main thread.

    Where the block is not over `PATIENCE` seconds later, `last_words` is called from another thread and the
    process ends with status 1.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with _watched(last_words):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _watched(last_words: Callable[[], None]) -> Iterator[None]:
    if sys.platform == "win32":  # no pipe tells of signals there
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    over = threading.Event()

    def watch() -> None:
        while number := os.read(reader, 1):
            if number[0] == signal.SIGTERM and not over.wait(PATIENCE):
                last_words()
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(writer)
        thread.join()
        os.close(reader)


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt, so that it stops the running runs as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
