"""Locks of files, run folders and sweeps: one process at a time, released when it ends, however it ends.

On POSIX the lock is ``flock`` on a file that is handled here, for two promises that `filelock` does not make:
a child process that inherits the descriptor keeps the lock, and the file is gone when the lock is given up.
Elsewhere (Windows) it is `filelock`'s.
"""

from __future__ import annotations

import errno
import importlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from hsi.errors import InUseError, StorageError
from hsi.io.files import clear_unfinished, make_folder
from hsi.io.signals import defer_signals

try:
    fcntl: Any = importlib.import_module("fcntl")
except ImportError:  # Windows
    fcntl = None

# What flock says on a disk that has no such locks, as some network disks do.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


@contextmanager
def file_lock(path: Path, busy: str) -> Iterator[int | None]:
    """Hold the lock of the file `path`, which is made and removed; yield its descriptor.

    A process that is given the descriptor holds the lock too, until it ends. What a killed process left is
    taken over. Where the disk has no locks, ``NAME.owner`` names the process that works there, which must be
    alive on this machine to count. None is yielded there, and on Windows.

    Parameters
    ----------
    path
        The lock file, in a folder that is there.
    busy
        The sentence for who comes second.

    Raises
    ------
    InUseError
        When another process holds it.
    StorageError
        When the file cannot be made.
    """
    if fcntl is None:
        with _library_lock(path, busy):
            yield None
        return
    ours: list[int] = []
    try:
        with defer_signals():  # Ctrl-C must not come between taking the lock and knowing that it is ours
            ours += _locked(path, busy)
        if ours:
            try:
                yield ours[0]
            finally:
                _give_up(path, ours)
        else:
            with _owned(path, busy):
                yield None
    finally:
        _give_up(path, ours)  # again, where Ctrl-C came as it was about to be given up


@contextmanager
def _library_lock(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock by `filelock`, on systems without ``fcntl``."""
    if not path.parent.is_dir():  # filelock would make it
        raise StorageError(path.parent, os.strerror(errno.ENOENT))
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise InUseError(busy) from None
    except OSError as error:
        raise StorageError(path.parent, error.strerror or str(error)) from error
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):  # another process may hold it by now
            path.unlink(missing_ok=True)


def clear_stale_lock(path: Path) -> None:
    """Remove the lock of a process that was killed when its work was done, unless it is held."""
    if path.exists():
        with suppress(InUseError, StorageError), file_lock(path, ""):
            pass


def _give_up(path: Path, ours: list[int]) -> None:
    with defer_signals():
        while ours:
            os.close(ours.pop())
            _remove(path)


def _locked(path: Path, busy: str) -> list[int]:
    """Return the descriptor of the locked file, or nothing where there are no locks."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return [descriptor]
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                path.unlink(missing_ok=True)
                return []
            raise InUseError(busy) from None
        os.close(descriptor)  # its holder removed it in between: once more


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StorageError(path.parent, error.strerror or str(error)) from error


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    """Remove the file of a lock that was given up, unless another process holds it (on) by now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, path):
            path.unlink()
    except OSError:
        pass
    finally:
        os.close(descriptor)


@contextmanager
def _owned(path: Path, busy: str) -> Iterator[None]:
    """Do without locks: a file that names the process at work."""
    owner = path.with_name(path.name + ".owner")
    here = socket.gethostname()
    for _ in range(2):
        try:
            descriptor = os.open(owner, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            break
        except FileExistsError:
            if _is_alive(owner, here):
                raise InUseError(f"{busy} If that is not so, remove '{owner}'.") from None
            owner.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(path.parent, error.strerror or str(error)) from error
    else:
        raise InUseError(busy)
    try:
        os.write(descriptor, f"{os.getpid()} {here}".encode())
        os.close(descriptor)
        yield
    finally:
        owner.unlink(missing_ok=True)


def _is_alive(owner: Path, here: str) -> bool:
    """Whether the named process may be alive: one on another machine may."""
    try:
        number, _, machine = owner.read_text(encoding="utf-8").partition(" ")
        if machine != here:
            return True
        os.kill(int(number), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except (OSError, ValueError):
        return True
    return int(number) != os.getpid()


LOCK = ".lock"


def remove_stale_run_lock(folder: Path) -> None:
    """Remove the lock that a killed process left in a finished run, unless a process holds it."""
    if (folder / LOCK).exists():
        with suppress(InUseError, StorageError), run_lock(folder):
            pass


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Lock an existing run folder, and remove incomplete files that a killed process left in it.

    Raises
    ------
    InUseError
        When another process is at work in it.
    StorageError
        When the disk is full or must not be written to.
    """
    busy = f"Another process is at work in '{folder}'; wait until it ends, or stop it first."
    with file_lock(folder / LOCK, busy):
        for place in (folder, folder / "checkpoint"):
            clear_unfinished(place)
        yield


@contextmanager
def sweep_lock(folder: Path) -> Iterator[int | None]:
    """Lock the folder of a sweep; yield the descriptor, which its runs inherit.

    A run that outlives its sweep (killed, say) keeps the lock until it ends, so that no second process
    writes into its folder. Where the system has no such locks None is yielded; see `hsi.io.locks.file_lock`.

    Raises
    ------
    InUseError
        When another process holds it.
    StorageError
        When the disk is full or must not be written to.
    """
    make_folder(folder)
    with file_lock(
        folder / ".lock", f"Another 'hsi sweep', or a run that it started, is still at work in '{folder}'."
    ) as descriptor:
        yield descriptor
