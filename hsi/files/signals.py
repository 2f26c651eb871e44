"""Ctrl-C at a safe point: signals that wait while a step must not be cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_WAITING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_wait() -> Iterator[None]:
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
