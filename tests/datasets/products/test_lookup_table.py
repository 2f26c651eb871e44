"""Cubes behind a geographic lookup table."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import hsi.datasets.products.lookup_table as lookup_table
from hsi.datasets.products.lookup_table import LookupCube, lookup_mask
from hsi.errors import FileFormatError


@pytest.fixture
def cube() -> np.ndarray:
    return np.random.default_rng(1).integers(-50, 5000, (31, 17, 6)).astype(np.int16)


@pytest.fixture
def tables() -> tuple[np.ndarray, np.ndarray]:
    """A swath that lies across the map, with empty cells and filled ones."""
    rng = np.random.default_rng(2)
    x, y = np.meshgrid(np.arange(40), np.arange(50))
    cols = np.round(0.5 * x + 0.3 * y - 8).astype(np.int32)
    rows = np.round(0.7 * y - 0.2 * x + 1).astype(np.int32)
    outside = (cols < 1) | (cols > 17) | (rows < 1) | (rows > 31)
    cols[outside] = rows[outside] = 0
    filled = rng.random(cols.shape) < 0.1
    cols[filled] *= -1
    rows[filled] *= -1
    return cols, rows


def by_hand(cube: np.ndarray, cols: np.ndarray, rows: np.ndarray) -> np.ndarray:
    out = np.full((*cols.shape, cube.shape[2]), np.nan, np.float32)
    for i in range(cols.shape[0]):
        for j in range(cols.shape[1]):
            if cols[i, j] and rows[i, j]:
                out[i, j] = cube[abs(rows[i, j]) - 1, abs(cols[i, j]) - 1]
    return out


def test_every_window_is_that_of_the_table(cube, tables):
    expected = by_hand(cube, *tables)
    shown = LookupCube(cube, *tables)
    assert shown.shape == (50, 40, 6)
    assert shown.dtype == np.float32
    assert 0.1 < np.isnan(expected[:, :, 0]).mean() < 0.9
    np.testing.assert_array_equal(np.asarray(shown), expected)
    np.testing.assert_array_equal(shown[7:31:3, 5:22, [4, 0, 4]], expected[7:31:3, 5:22][:, :, [4, 0, 4]])
    np.testing.assert_array_equal(shown[-1], expected[-1])
    np.testing.assert_array_equal(shown[20, 20, 1:3], expected[20, 20, 1:3])
    assert shown[5:5].shape == (0, 40, 6)


def test_a_wide_window_is_read_in_strips(cube, tables, monkeypatch):
    monkeypatch.setattr(lookup_table, "_READ_BYTES", 1000)
    np.testing.assert_array_equal(np.asarray(LookupCube(cube, *tables)), by_hand(cube, *tables))


def test_a_worker_gets_the_same_cube(cube, tables):
    shown = LookupCube(cube, *tables)
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(shown))), np.asarray(shown))


def test_fill_is_no_pixel(cube):
    cols = np.array([[-9999, 1, 0], [3, -9999, 2]])
    rows = np.array([[-9999, 1, 5], [0, -9999, -31]])
    shown = np.asarray(LookupCube(cube, cols, rows))
    assert (~np.isnan(shown[:, :, 0])).tolist() == [[False, True, False], [False, False, True]]
    np.testing.assert_array_equal(shown[1, 2], cube[30, 1])


@pytest.mark.parametrize(
    ("col", "row"), [(18, 1), (1, 32), (-18, 1), (1, -40), (np.iinfo(np.int64).min, 1), (-9999, 5)]
)
def test_a_table_of_another_cube_is_refused(cube, col, row):
    cols, rows = np.ones((2, 3, 3), np.int64)
    cols[1, 1], rows[1, 1] = col, row
    with pytest.raises(FileFormatError, match="31 lines of 17 samples; it belongs to another cube"):
        LookupCube(cube, cols, rows)


@pytest.mark.parametrize(
    "cols", [np.ones((3, 4), np.int32), np.ones(3, np.int32), np.ones((3, 3), np.float32)]
)
def test_tables_must_be_integers_of_one_shape(cube, cols):
    with pytest.raises(FileFormatError, match="integers of one 2-D shape"):
        LookupCube(cube, cols, np.ones((3, 3), np.int32))


def test_masks_go_the_same_way(tables):
    mask = np.random.default_rng(3).random((31, 17)) < 0.5
    cols, rows = tables
    expected = by_hand(mask[:, :, None], cols, rows)[:, :, 0] == 1
    np.testing.assert_array_equal(lookup_mask(mask, cols, rows), expected)
