"""One process at a time at work in a run folder, or in a folder of runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hsi.errors import InUseError, StorageError
from hsi.files.atomic import clear_unfinished
from hsi.files.lock import held

LOCK = ".lock"


def tidy(folder: Path) -> None:
    """Remove the lock of a process that was killed when its run was finished, unless it is still alive."""
    if (folder / LOCK).exists():
        with suppress(InUseError, StorageError), at_work(folder):
            pass


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Hold a folder that is there, and remove the half files that a killed process left in it.

    Raises
    ------
    InUseError
        When another process is at work in it.
    StorageError
        When the disk is full or must not be written to.
    """
    busy = f"Another process is at work in '{folder}'; wait until it ends, or stop it first."
    with held(folder / LOCK, busy):
        for place in (folder, folder / "checkpoint"):
            clear_unfinished(place)
        yield
