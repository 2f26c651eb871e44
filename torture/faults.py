"""Faults in a forked command: at each call that changes files it can be killed, stopped, or fail.

A moment is just before or just after such a call. Between two moments files do not change, except for the
bytes of a file that is being written, so moments cover all states of a command's files.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = (
    "replace", "rename", "fsync", "unlink", "remove", "mkdir", "rmdir", "open", "ftruncate",
    "posix_fallocate",
)  # fmt: skip
NEED_SPACE = ("os.mkdir", "os.open", "open", "os.fsync", "os.posix_fallocate", "os.replace")
WRITING = set("wax+")
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Act = Callable[[str, Any], object]
"""Called at each moment with the name of the call and its first argument."""

_originals: list[tuple[Any, str, Any]] = []  # module, name, the function that was replaced


def install(act: Act) -> None:
    """Call `act` at every moment of this process from now on."""
    calls = [(os, name) for name in CALLS if hasattr(os, name)]
    for module, name in (*calls, (io, "open"), (builtins, "open")):
        call = getattr(module, name)
        _originals.append((module, name, call))
        setattr(module, name, _wrapped(call, f"os.{name}" if module is os else "open", act))


def remove_all() -> None:
    """Restore all functions, as in a child that is not to be tested."""
    while _originals:
        setattr(*_originals.pop())


def _wrapped(call: Callable[..., Any], name: str, act: Act) -> Callable[..., Any]:
    def wrapped(*values: Any, **named: Any) -> Any:
        if not _writes(name, values, named):
            return call(*values, **named)
        act(name, values[0])
        result = call(*values, **named)
        try:
            act(name, values[0])
        except BaseException:
            if name == "open":
                result.close()
            raise
        return result

    return wrapped


def _writes(name: str, values: tuple[Any, ...], named: dict[str, Any]) -> bool:
    if name == "open":
        mode = named.get("mode", values[1] if len(values) > 1 else "r")
        return not isinstance(values[0], int) and bool(WRITING & set(mode))
    if name == "os.open":
        return bool((named.get("flags", values[1] if len(values) > 1 else 0)) & WRITE_FLAGS)
    return True


def count_into(path: Path) -> Callable[[], None]:
    """Return a function that installs a counter: `path` gets one byte for each moment."""

    def prepare() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        install(lambda name, argument: os.write(descriptor, b"."))

    return prepare


def from_moment(number: int, act: Act, *, once: bool = False) -> Callable[[], None]:
    """Return a function that installs `act` from the moment of that number (from 0), or at it alone."""

    def prepare() -> None:
        seen = -1

        def count(name: str, argument: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == number or (seen > number and not once):
                act(name, argument)

        install(count)

    return prepare


def at_moment(number: int, act: Act) -> Callable[[], None]:
    """Return a function that installs `act` at the moment of that number, from 0."""
    return from_moment(number, act, once=True)


def failing_from(number: int, code: int = errno.ENOSPC) -> Callable[[], None]:
    """Return a function after which calls that need space fail, from the moment of that number on."""

    def fail(name: str, argument: Any) -> None:
        if name in NEED_SPACE:
            raise OSError(code, os.strerror(code), None if isinstance(argument, int) else argument)

    return from_moment(number, fail)


def kill(name: str, argument: Any) -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt(name: str, argument: Any) -> None:
    """Interrupt this process as Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


def stop(name: str, argument: Any) -> None:
    """Stop this process until SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)
