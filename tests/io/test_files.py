"""Files are whole or not there, several of them together."""

import errno
import os

import pytest

from hsi.errors import StorageError
from hsi.io import files as atomic
from hsi.io.files import clear_unfinished, write_text, written_together, written_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "metrics.json"
    write_text(path, "old")

    def fail_half_way():
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["metrics.json"]


def test_no_file_is_renamed_before_all_are_flushed(tmp_path, monkeypatch):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        write_text(path, "old")
    flushed = []

    def full_at_the_second(descriptor):
        flushed.append(descriptor)
        if len(flushed) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full_at_the_second)

    def write_both():
        with written_together(paths) as temporaries:
            for temporary in temporaries:
                temporary.write_text("new")

    with pytest.raises(StorageError) as error:
        write_both()
    assert str(error.value).startswith(f"'{paths[1]}' cannot be written (No space left on device);")
    assert error.value.exit_status == 1
    assert [path.read_text() for path in paths] == ["old", "old"]
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_what_a_disk_refuses_is_one_sentence(tmp_path, code):
    path = tmp_path / "a"
    with pytest.raises(StorageError, match=os.strerror(code)), written_whole(path):
        raise OSError(code, os.strerror(code))
    with (
        pytest.raises(OSError, match="timed out"),
        written_whole(path),
    ):  # such as a scene's file on a network
        raise OSError(errno.ETIMEDOUT, "timed out")
    assert names(tmp_path) == []


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    for name in (".a.1.tmp", ".a.22.tmp", ".ab.1.tmp", "a.1.tmp", ".a.lock", "a"):
        (tmp_path / name).touch()
    clear_unfinished(tmp_path, "a")
    assert names(tmp_path) == [".a.lock", ".ab.1.tmp", "a", "a.1.tmp"]
    clear_unfinished(tmp_path)
    assert names(tmp_path) == [".a.lock", "a", "a.1.tmp"]
