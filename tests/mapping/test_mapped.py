"""Pages of memory maps."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from hsi.mapping.mapped import release_pages

STATUS = Path("/proc/self/smaps_rollup")


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(8 * 2**20, dtype=np.uint8).reshape(64, -1, 16))
    return tmp_path / "a.npy"


def resident():
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED") or not STATUS.is_file(), reason="this is for Linux")
def test_pages_of_a_read_only_map_are_given_back(file):
    array = np.load(file, mmap_mode="r")
    view = np.moveaxis(array, 2, 0)[::2]
    total = int(array.sum())
    before = resident()
    assert release_pages(view)
    assert before - resident() > 6 * 2**20
    assert int(array.sum()) == total  # they are read again


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_what_can_be_written_to_is_left_alone(file, mode):
    array = np.load(file, mmap_mode=mode)
    array[0, 0, 0] = 77
    assert not release_pages(array)
    assert array[0, 0, 0] == 77


def test_other_arrays_are_left_alone():
    assert not release_pages(np.zeros(3))
