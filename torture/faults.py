"""Faults planted in a forked command: at each call that changes a folder, it can be ended or fail.

A moment is just before or just after such a call; between two of them the files do not change but for the
bytes of a file that is being written, so that moments are all the states that a command's files can be in.
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
    "replace",
    "rename",
    "fsync",
    "unlink",
    "remove",
    "mkdir",
    "rmdir",
    "open",
    "ftruncate",
    "posix_fallocate",
)
WRITING = set("wax+")
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Act = Callable[[str, Any], None]
"""Called at each moment with what is called and its first argument."""


_ours: list[tuple[Any, str, Any]] = []  # what was replaced: module, name, the call that stood there


def plant(act: Act) -> None:
    """Call `act` at every moment of this process from now on."""
    for module, name in [
        *((os, name) for name in CALLS if hasattr(os, name)),
        (io, "open"),
        (builtins, "open"),
    ]:
        call = getattr(module, name)
        _ours.append((module, name, call))
        setattr(module, name, _wrapped(call, f"os.{name}" if module is os else "open", act))


def uproot() -> None:
    """Take all faults out again, as in a process that is no longer the one to test."""
    while _ours:
        setattr(*_ours.pop())


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


def counting(path: Path) -> Callable[[], None]:
    """Return a preparation that counts moments: `path` gets one byte for each."""

    def prepare() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        plant(lambda name, what: void(os.write(descriptor, b".")))

    return prepare


def at_moment(number: int, do: Callable[[str, Any], None]) -> Callable[[], None]:
    """Return a preparation that does something at the moment of that number, from 0."""

    def prepare() -> None:
        seen = -1

        def act(name: str, what: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                do(name, what)

        plant(act)

    return prepare


def kill(name: str, what: Any) -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt(name: str, what: Any) -> None:
    """Be interrupted as by Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def stop(name: str, what: Any) -> None:
    """Stand still until SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def void(result: object) -> None:
    """Forget a result."""


def full_from(number: int, code: int = errno.ENOSPC) -> Callable[[], None]:
    """Return a preparation after which calls that need room fail, from the moment of that number on."""
    needy = ("os.mkdir", "os.open", "open", "os.fsync", "os.posix_fallocate", "os.replace")

    def prepare() -> None:
        seen = -1

        def act(name: str, what: Any) -> None:
            nonlocal seen
            seen += 1
            if seen >= number and name in needy:
                raise OSError(code, os.strerror(code), what if not isinstance(what, int) else None)

        plant(act)

    return prepare
