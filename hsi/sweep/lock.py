"""One sweep at a time in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsi.errors import RunError


@contextmanager
def locked(folder: Path) -> Iterator[int | None]:
    """Hold the lock of a sweep's folder; yield its descriptor, for the runs to hold it too.

    A run that outlives its sweep (killed, say) keeps the lock until it ends, so that no second process
    writes into its folder. Where the system has no such locks (Windows) there is none, and None is yielded.

    Raises
    ------
    RunError
        When another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"Another 'hsi sweep', or a run that it started, is still at work in '{folder}'."
            ) from None
        yield file.fileno()
