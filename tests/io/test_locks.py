"""A lock is its process's, however that ends; also on disks that have no locks."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from hsi.errors import InUseError, StorageError
from hsi.io import locks as lock
from hsi.io.locks import file_lock

pytestmark = pytest.mark.skipif(lock.fcntl is None, reason="this system has no such locks")
HOLD = """
import pathlib, sys
from hsi.io.locks import file_lock
with file_lock(pathlib.Path(sys.argv[1]), ""):
    print(flush=True)
    input()
"""


@pytest.fixture(params=[True, False], ids=["flock", "no flock"])
def path(request, tmp_path, monkeypatch):
    """A lock file, on a disk with locks or without."""
    if not request.param:

        def unsupported(descriptor, operation):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    return tmp_path / ".lock"


def test_the_second_is_refused_until_the_first_gives_it_up(path):
    for _ in range(2):
        with file_lock(path, "busy."):
            # Within one process a second open file counts as another; an owner's own file does not.
            if (path.parent / ".lock.owner").exists():
                (path.parent / ".lock.owner").write_text(f"{os.getppid()} {socket.gethostname()}")
            with pytest.raises(InUseError, match=r"busy\."), file_lock(path, "busy."):
                pass
        assert list(path.parent.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path):
    path = tmp_path / ".lock"
    words = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(InUseError), file_lock(path, "busy."):
            pass
        process.kill()
        process.wait()
        assert path.exists()
        with file_lock(path, "busy."):
            pass
    assert not path.exists()


@pytest.mark.parametrize(
    ("owner", "counts"),
    [("{dead} {here}", False), ("{alive} {here}", True), ("{dead} elsewhere", True), ("", True)],
)
def test_without_flock_a_dead_owner_does_not_count(tmp_path, monkeypatch, owner, counts):
    def unsupported(descriptor, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    said = owner.format(dead=ended.pid, alive=os.getppid(), here=socket.gethostname())
    (tmp_path / ".lock.owner").write_text(said)
    if counts:
        with pytest.raises(InUseError, match=r"remove '.*owner'"), file_lock(tmp_path / ".lock", "busy."):
            pass
        assert (tmp_path / ".lock.owner").read_text() == said
    else:
        with file_lock(tmp_path / ".lock", "busy."):
            pass
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StorageError, match="gone"), file_lock(tmp_path / "gone" / ".lock", "busy."):
        pass


def test_without_flock_the_library_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    path = tmp_path / ".lock"
    with file_lock(path, "busy."), pytest.raises(InUseError, match=r"busy\."), file_lock(path, "busy."):
        pass
    with file_lock(path, "busy."):
        pass
    with pytest.raises(StorageError, match="gone"), file_lock(tmp_path / "gone" / ".lock", "busy."):
        pass
    assert not path.exists()
