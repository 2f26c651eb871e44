"""Files that are written whole or not at all; and the cache folder of this toolkit."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from hsi.errors import StorageError
from hsi.io.signals import defer_signals

# A disk that is full, a quota or the size of a file used up, a folder or disk that may not be written to.
_STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def written_together(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield a temporary path beside each of `paths`; on success all are flushed to disk, then renamed.

    Whatever goes wrong before the first is renamed, nothing has changed; the temporary files are removed.
    Those of a killed process stay; see `clear_unfinished`. Ctrl-C waits while files are flushed and renamed.

    Raises
    ------
    StorageError
        When the disk is full or must not be written to.
    """
    temporaries = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in paths]
    try:
        with _told_of(paths[0]):
            yield temporaries
        with defer_signals():
            for path, temporary in zip(paths, temporaries, strict=True):
                with _told_of(path), temporary.open("rb+") as file:
                    os.fsync(file.fileno())
            for path, temporary in zip(paths, temporaries, strict=True):
                with _told_of(path):
                    temporary.replace(path)
            for folder in {path.parent for path in paths}:
                _flush_names(folder)
    finally:
        with defer_signals():
            for temporary in temporaries:
                with contextlib.suppress(FileNotFoundError, OSError):
                    temporary.unlink()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Do what `written_together` does, for one file."""
    with written_together([path]) as (temporary,):
        yield temporary


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8), whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Raises
    ------
    StorageError
        When the disk is full or must not be written to.
    """
    with _told_of(path):
        path.mkdir(parents=True, exist_ok=True)


def clear_unfinished(folder: Path, name: str = "*") -> None:
    """Remove what killed processes left of the file `name` in a folder; only for who holds its lock.

    Raises
    ------
    StorageError
        When the disk must not be written to.
    """
    for left in folder.glob(f".{name}.*.tmp*"):  # also the journal of a database
        with _told_of(left):
            left.unlink(missing_ok=True)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Turn what the system says of a full or read-only disk into one sentence about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _STORAGE:
            raise
        raise StorageError(path, error.strerror or str(error)) from error


def _flush_names(folder: Path) -> None:
    """Make renamings last through a loss of power, where the system can flush a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


__all__ = ["write_text", "written_together", "written_whole"]


def cache_folder() -> Path:
    """Return the user's cache folder of this system for this toolkit: downloads and kept measurements."""
    return platformdirs.user_cache_path("hsi")
