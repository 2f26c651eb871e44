"""Windows of a dataset of an HDF5 file."""

from __future__ import annotations

import multiprocessing
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import h5py
import numpy as np
import pytest

from hsi.datasets.formats.hdf5_files import Hdf5Cube
from hsi.errors import FileFormatError

STORED = (11, 7, 13)


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(-3000, 3000, STORED).astype(">i2")


@pytest.fixture
def path(tmp_path, values):
    file = tmp_path / "cube.h5"
    with h5py.File(file, "w") as out:
        out.create_dataset("group/cube", data=values, chunks=(4, 3, 5), compression="gzip")
        out.create_dataset("plain", data=values)
        out.create_dataset("flat", data=values[0])
        out.create_dataset("words", data=np.full((2, 2, 2), b"word"))
    return file


INDICES = [
    (slice(None), slice(None), slice(None)),
    (slice(2, 9), slice(1, 6), slice(3, 8)),
    (slice(None), slice(5, 6), [6, 0, 3]),
    (slice(1, 4), slice(None), [2, 2, 1, 5, 5]),
    (slice(None), slice(None), [0, -1]),
    (slice(None), slice(None), []),
    (slice(3, 3), slice(None), [1]),
    (slice(None, None, -2), slice(6, 1, -1), slice(None, None, -3)),
    (4, slice(None), 2),
    (-1, -1, slice(None)),
    (2, 3, -2),
]


@pytest.mark.parametrize("name", ["group/cube", "plain"])
@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_a_window_equals_that_of_the_array(path, values, name, axes):
    cube = Hdf5Cube(path, name, axes=axes)
    array = values.transpose(axes)
    assert (cube.shape, cube.ndim, cube.dtype) == (array.shape, 3, np.dtype("i2"))
    for index in INDICES:
        np.testing.assert_array_equal(cube[index], array[index])
    np.testing.assert_array_equal(np.asarray(cube), array)


def test_every_choice_of_bands_is_read_in_its_order(path, values):
    cube, rng = Hdf5Cube(path, "group/cube"), np.random.default_rng(1)
    for _ in range(50):
        bands = rng.integers(0, STORED[2], rng.integers(1, 20))
        np.testing.assert_array_equal(cube[3:5, :, bands], values[3:5][:, :, bands])


def test_it_is_pickled_as_the_path(path, values):
    cube = Hdf5Cube(path, "group/cube", axes=(2, 0, 1))
    cube[0]  # opens the file
    data = pickle.dumps(cube)
    assert len(data) < 1000
    np.testing.assert_array_equal(np.asarray(pickle.loads(data)), values.transpose(2, 0, 1))


def test_it_survives_a_fork(path, values):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    cube = Hdf5Cube(path, "group/cube")
    cube[0]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        rows = pool.map(cube.__getitem__, range(STORED[0]))
    np.testing.assert_array_equal(np.stack(rows), values)


def test_threads_read_the_same_values(path, values):
    cube = Hdf5Cube(path, "group/cube")
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda row: cube[row % STORED[0]], range(60)))
    for at, row in enumerate(rows):
        np.testing.assert_array_equal(row, values[at % STORED[0]])


def test_only_the_window_is_read(tmp_path):
    file = tmp_path / "large.h5"
    with h5py.File(file, "w") as out:
        out.create_dataset("cube", data=np.zeros((400, 100, 300), np.uint8), chunks=(1, 100, 300))
    cube = Hdf5Cube(file, "cube")
    assert cube.block_rows == 1
    tracemalloc.start()
    try:
        cube[200]
        cube[:, 5:6, [7, 200]]
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_rows_of_a_chunk_are_a_block(path):
    assert Hdf5Cube(path, "group/cube").block_rows == 4
    assert Hdf5Cube(path, "group/cube", axes=(2, 1, 0)).block_rows == 5
    assert Hdf5Cube(path, "plain").block_rows == 1


def test_large_chunks_get_a_note(tmp_path, path):
    assert Hdf5Cube(path, "group/cube").notes == ()
    file = tmp_path / "slow.h5"
    with h5py.File(file, "w") as out:
        cube = out.create_dataset("cube", (200, 600, 600), "f4", chunks=(1, 600, 600), compression="gzip")
        cube[0] = np.random.default_rng(0).random((600, 600))
    (note,) = Hdf5Cube(file, "cube", axes=(1, 2, 0)).notes
    assert "275 MiB" in note
    assert Hdf5Cube(file, "cube").notes == ()  # with bands along the rows of a chunk


@pytest.mark.parametrize("name", ["none", "group", "group/none", "plain/none", "flat", "words"])
def test_what_is_no_cube_is_refused(path, name):
    with pytest.raises(FileFormatError, match=name):
        Hdf5Cube(path, name)


def test_nothing_is_read_from_other_files(tmp_path, path):
    file = tmp_path / "links.h5"
    (tmp_path / "raw.bin").write_bytes(bytes(8))
    layout = h5py.VirtualLayout(STORED, "i2")
    layout[...] = h5py.VirtualSource(path, "plain", STORED)
    with h5py.File(file, "w") as out:
        out["external"] = h5py.ExternalLink(str(path), "plain")
        out["of_group"] = h5py.ExternalLink(str(path), "group")
        out["soft"] = h5py.SoftLink("/external")
        out.create_virtual_dataset("virtual", layout)
        out.create_dataset("stored", (2, 2, 2), "u1", external=[(str(tmp_path / "raw.bin"), 0, 8)])
    for name in ("external", "of_group/cube", "soft", "virtual", "stored"):
        with pytest.raises(FileFormatError):
            Hdf5Cube(file, name)


@pytest.mark.parametrize("chunks", [(1000, 1000, 1000), (1, 1, 1)])
def test_a_size_that_cannot_be_stored_is_refused(tmp_path, chunks):
    file = tmp_path / "bomb.h5"
    with h5py.File(file, "w") as out:
        out.create_dataset("cube", (100_000, 100_000, 1000), "u1", chunks=chunks, compression="gzip")
    with pytest.raises(FileFormatError, match="claims"):
        Hdf5Cube(file, "cube")


def test_a_damaged_chunk_is_named_when_it_is_read(path):
    with h5py.File(path) as file:
        chunk = file["group/cube"].id.get_chunk_info(0)
    damaged = bytearray(path.read_bytes())
    damaged[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(damaged)
    with pytest.raises(FileFormatError, match="damaged"):
        Hdf5Cube(path, "group/cube")[0]


def test_a_truncated_file_is_named(path):
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(FileFormatError, match="truncated"):
        Hdf5Cube(path, "plain")
