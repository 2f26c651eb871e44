"""Cubes that are read by windows, against NumPy's own indexing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.datasets.windowed import WindowedCube, block_rows, held_bytes

CUBE = np.random.default_rng(0).integers(0, 999, (6, 7, 5)).astype(np.int16)


class OfArray(WindowedCube):
    """Windows of an array; remembers what was read."""

    shape, dtype = CUBE.shape, CUBE.dtype
    block_rows, held = 4, 77

    def __init__(self) -> None:
        self.boxes: list[tuple[slice, slice]] = []

    def read(self, rows: slice, cols: slice, bands: np.ndarray | None) -> np.ndarray:
        assert rows.step is None
        assert cols.step is None
        assert 0 <= rows.start <= rows.stop <= 6
        assert 0 <= cols.start <= cols.stop <= 7
        self.boxes.append((rows, cols))
        return CUBE[rows, cols] if bands is None else CUBE[rows, cols][:, :, bands]


def parts(size: int) -> st.SearchStrategy[Any]:
    return st.integers(-size, size - 1) | st.slices(size)


@given(
    parts(6),
    parts(7),
    parts(5) | st.lists(st.integers(-5, 4), max_size=6).map(lambda some: np.array(some, int)),
)
def test_keys_mean_what_they_mean_to_numpy(rows: Any, cols: Any, bands: Any) -> None:
    expected = (
        CUBE[rows][..., cols, :][..., bands] if isinstance(rows, slice) else CUBE[rows][cols][..., bands]
    )
    for key in ((rows, cols, bands), (rows, cols, ..., bands)):
        found = OfArray()[key]
        assert isinstance(found, np.ndarray | np.generic)
        np.testing.assert_array_equal(found, expected)


def test_axes_may_be_left_out() -> None:
    cube = OfArray()
    np.testing.assert_array_equal(cube[2], CUBE[2])
    np.testing.assert_array_equal(cube[:, 3], CUBE[:, 3])
    np.testing.assert_array_equal(cube[...], CUBE)
    np.testing.assert_array_equal(cube[..., 1], CUBE[..., 1])
    np.testing.assert_array_equal(cube[1, ...], CUBE[1])
    np.testing.assert_array_equal(cube, CUBE)
    np.testing.assert_array_equal(np.asarray(cube, float), CUBE.astype(float))
    assert cube.ndim == 3


@pytest.mark.parametrize(
    "key", [6, (0, -8), (0, 0, 5), (0, 0, 0, 0), (..., ...), ([0, 1], 0), (0, np.zeros(7, bool)), None, "a"]
)
def test_keys_that_cannot_be(key: Any) -> None:
    with pytest.raises(IndexError):
        OfArray()[key]


def test_only_the_box_round_a_window_is_read() -> None:
    cube = OfArray()
    cube[1:5:2, 6:2:-3]
    assert cube.boxes == [(slice(1, 4), slice(3, 7))]


def test_what_is_held_and_read_together(tmp_path: Any) -> None:
    assert (held_bytes(OfArray()), block_rows(OfArray())) == (77, 4)
    assert (held_bytes(CUBE), block_rows(CUBE)) == (CUBE.nbytes, 1)
    np.save(tmp_path / "a.npy", CUBE)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert held_bytes(mapped) == held_bytes(np.asarray(mapped)[1:, :, :2]) == 0
