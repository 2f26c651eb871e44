"""One sweep at a time in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsi.files.atomic import make_folder
from hsi.files.lock import held


@contextmanager
def locked(folder: Path) -> Iterator[int | None]:
    """Hold the lock of a sweep's folder; yield its descriptor, for the runs to hold it too.

    A run that outlives its sweep (killed, say) keeps the lock until it ends, so that no second process
    writes into its folder. Where the system has no such locks None is yielded; see `hsi.files.lock.held`.

    Raises
    ------
    InUseError
        When another process holds it.
    StorageError
        When the disk is full or must not be written to.
    """
    make_folder(folder)
    with held(
        folder / ".lock", f"Another 'hsi sweep', or a run that it started, is still at work in '{folder}'."
    ) as descriptor:
        yield descriptor
