"""Pieces of a scene with their margins.

How a scene is cut.

Pages of memory maps.
"""

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.cube import Window
from hsi.errors import SceneError
from hsi.inference.tiles import CELL, SceneBlocks, release_pages, tiles

CUBE = np.random.default_rng(0).normal(size=(13, 17, 3)).astype(np.float32)
REGIONS = np.random.default_rng(1).integers(0, 4, (13, 17)).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 12), st.integers(0, 16), st.integers(1, 13), st.integers(1, 17),
    st.sampled_from([1, 3, 7, 13]), st.sampled_from(["zeros", "reflect"]),
)  # fmt: skip
def test_a_block_is_a_window_of_the_padded_scene(top, left, height, width, patch, padding):
    blocks = SceneBlocks(CUBE, np.copy, 3, patch, regions=REGIONS, padding=padding)
    window = Window(top, min(13, top + height), left, min(17, left + width))
    block = blocks.read(window)
    margin = patch // 2
    mode = {"zeros": "constant", "reflect": "reflect"}[padding]
    padded = np.pad(CUBE, [(margin, margin)] * 2 + [(0, 0)], mode=mode)
    wanted = (slice(window.top, window.bottom + 2 * margin), slice(window.left, window.right + 2 * margin))
    np.testing.assert_array_equal(block.values, padded[wanted])
    inner = (slice(margin, margin + window.shape[0]), slice(margin, margin + window.shape[1]))
    here = (slice(window.top, window.bottom), slice(window.left, window.right))
    np.testing.assert_array_equal(block.regions[inner], REGIONS[here])
    if padding == "reflect":
        np.testing.assert_array_equal(block.regions, np.pad(REGIONS, margin, mode="reflect")[wanted])
    assert block.missing.shape == window.shape
    assert not block.missing.any()


def test_pixels_without_data_are_told_and_become_zeros():
    cube = CUBE.copy()
    cube[4, 5, 1], cube[0, 0, 2] = np.nan, np.inf
    block = SceneBlocks(cube, np.copy, 3, 5).read(Window(0, 8, 0, 8))
    assert np.argwhere(block.missing).tolist() == [[0, 0], [4, 5]]
    assert np.isfinite(block.values).all()
    assert (block.values[2 + 4, 2 + 5] == 0).all()
    assert (block.values[2 + 4, 2 + 4] == cube[4, 4]).all()


class Watched(np.ndarray):
    """A cube that remembers how large the pieces are that are taken of it."""

    largest = 0

    def __getitem__(self, key):
        piece = np.asarray(super().__getitem__(key))
        Watched.largest = max(Watched.largest, piece.size)
        return piece


def test_only_the_window_and_its_margin_are_read():
    blocks = SceneBlocks(CUBE.view(Watched), np.copy, 3, 5)
    blocks.read(Window(3, 6, 4, 9))
    assert Watched.largest == (3 + 4) * (5 + 4) * 3


def test_a_patch_wider_than_the_scene_is_refused():
    with pytest.raises(SceneError, match="does not fit the scene of 13 x 17"):
        SceneBlocks(CUBE, np.copy, 3, 15)


def test_pixels_known_to_have_no_data_keep_their_stand_ins():
    known = np.zeros((13, 17), bool)
    known[0, 0] = known[6, 3] = known[12, 16] = True
    cube = CUBE.copy()
    cube[4, 4, 0] = np.nan
    blocks = SceneBlocks(cube, np.copy, 3, 5, missing=known)
    for window in (Window(0, 13, 0, 17), Window(0, 8, 0, 9), Window(5, 13, 8, 17)):
        block = blocks.read(window)
        here = (slice(window.top, window.bottom), slice(window.left, window.right))
        np.testing.assert_array_equal(block.missing, (known | np.isnan(cube).any(axis=2))[here])
    np.testing.assert_array_equal(blocks.read(Window(6, 7, 3, 4)).values[2, 2], CUBE[6, 3])


@given(
    rows=st.integers(1, 150),
    cols=st.integers(1, 150),
    margin=st.integers(0, 12),
    pixel_bytes=st.integers(1, 900),
    budget=st.integers(1, 2**24),
    block_height=st.sampled_from([1, 32, 50, 96, 1000]),
)
def test_tiles_and_cells_cover_each_pixel_once_within_the_budget(
    rows, cols, margin, pixel_bytes, budget, block_height
):
    by_tile, by_cell = np.zeros((rows, cols), int), np.zeros((rows, cols), int)
    for tile in tiles(rows, cols, margin, pixel_bytes, budget, block_height):
        by_tile[tile.top : tile.bottom, tile.left : tile.right] += 1
        height, width = tile.shape
        taken = (height + 2 * margin) * (width + 2 * margin) * pixel_bytes
        assert taken <= budget or (height <= CELL and width <= CELL)
        for cell in tile.cells(CELL):
            assert cell.top % CELL == cell.left % CELL == 0
            assert max(cell.shape) <= CELL
            by_cell[cell.top : cell.bottom, cell.left : cell.right] += 1
    assert (by_tile == 1).all()
    assert (by_cell == 1).all()


def test_tiles_are_as_high_as_blocks_of_the_file_if_the_budget_allows():
    def shapes(pixels, block_height):
        return {tile.shape for tile in tiles(960, 960, 0, 1, pixels, block_height)}

    assert shapes(960 * 32, 1) == {(32, 960)}
    assert shapes(960 * 32, 40) == {(64, 480)}
    assert shapes(960 * 32, 960) == {(960, 32)}
    assert shapes(64 * 32, 960) == {(64, 32)}
    assert shapes(960 * 960, 40) == {(960, 960)}


STATUS = Path("/proc/self/smaps_rollup")


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(8 * 2**20, dtype=np.uint8).reshape(64, -1, 16))
    return tmp_path / "a.npy"


def resident():
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED") or not STATUS.is_file(), reason="this is for Linux")
def test_pages_of_a_read_only_map_are_released(file):
    array = np.load(file, mmap_mode="r")
    view = np.moveaxis(array, 2, 0)[::2]
    total = int(array.sum())
    before = resident()
    assert release_pages(view)
    assert before - resident() > 6 * 2**20
    assert int(array.sum()) == total  # they are read again


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_writable_maps_are_left_alone(file, mode):
    array = np.load(file, mmap_mode=mode)
    array[0, 0, 0] = 77
    assert not release_pages(array)
    assert array[0, 0, 0] == 77


def test_other_arrays_are_left_alone():
    assert not release_pages(np.zeros(3))
