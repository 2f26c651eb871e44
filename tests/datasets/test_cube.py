"""Cubes that are read by windows, against NumPy's own indexing; pixels without data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.datasets.cube import (
    CubeView,
    WindowedCube,
    block_rows,
    can_mark,
    fill_no_data,
    find_missing,
    memory_bytes,
)
from hsi.errors import SceneError

EXACT = {
    "uint8": "f4",
    "int16": "f4",
    "uint16": "f4",
    ">i2": "f4",
    "int32": "f8",
    "float32": "f4",
    "float64": "f8",
}


@given(
    st.sampled_from(sorted(EXACT)),
    st.none() | st.sets(st.integers(0, 5), min_size=1).map(lambda some: np.array(sorted(some))),
    st.sampled_from([None, 0.0, 2.0, 0.5, -9999.0, np.nan]),
    st.slices(5), st.slices(4), st.slices(6),
)  # fmt: skip
def test_windows_are_those_of_a_copy_with_nan(dtype, bands, marker, rows, cols, part) -> None:
    cube = np.random.default_rng(3).integers(0, 3, (5, 4, 6)).astype(dtype)
    cube[1, 2], cube[4, 0, 3:] = 0, 2
    expected = cube if bands is None else cube[:, :, bands]
    if marker in (0.0, 2.0) or (marker not in (None, np.nan) and np.dtype(dtype).kind == "f"):
        missing = find_missing(expected, marker)
        expected = expected.astype(EXACT[dtype])
        expected[missing] = np.nan
    elif marker == -9999.0 and dtype in ("int16", ">i2", "int32"):
        expected = expected.astype(EXACT[dtype])
    view = CubeView(cube, bands, marker)
    assert (view.shape, view.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(view, expected)
    np.testing.assert_array_equal(view[rows, cols, part], expected[rows, cols, part])


def test_a_view_keeps_nothing_in_memory_and_changes_nothing(tmp_path) -> None:
    cube = np.full((3, 4, 5), 7, np.uint16)
    np.save(tmp_path / "a.npy", cube)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    view = CubeView(mapped, np.array([0, 4]), 7.0)
    assert np.isnan(view[...]).all()
    assert (mapped == 7).all()
    assert (view.memory_bytes, view.block_rows) == (0, 1)
    assert not view.shows_all
    assert CubeView(mapped, np.arange(5), np.nan).shows_all
    inner = CubeView(CubeView(cube, np.array([1, 3])), np.array([1]), 0.0)
    assert (inner.shape, inner.memory_bytes) == ((3, 4, 1), cube.nbytes)
    with pytest.raises(IndexError):
        view[0, 0, 2]


RANDOM = np.random.default_rng(0)


def _cube() -> np.ndarray:
    return RANDOM.integers(1, 700, (6, 5, 4)).astype(np.uint16)


@pytest.mark.parametrize(
    ("marker", "dtype"), [(np.nan, np.float64), (-9999.0, np.float32), (65535.0, np.uint16)]
)
def test_no_data_pixels_get_the_mean_spectrum(marker: float, dtype: type) -> None:
    cube: np.ndarray = _cube().astype(dtype)
    cube[0, 0] = marker
    cube[2, 2, 3] = marker
    filled, missing, note = fill_no_data(cube.copy(), marker, "x")
    assert missing is not None
    assert np.argwhere(missing).tolist() == [[0, 0], [2, 2]]
    keep = np.ones((6, 5), bool)
    keep[0, 0] = keep[2, 2] = False
    mean = np.array([cube[:, :, band][keep].mean() for band in range(4)])
    np.testing.assert_allclose(filled[2, 2], mean, atol=1 if dtype == np.uint16 else 1e-3)
    np.testing.assert_array_equal(filled[keep], cube[keep])
    assert note.startswith("2 pixels")


def test_zero_marks_no_data_only_where_every_band_is_zero() -> None:
    cube = _cube()
    cube[1, 2], cube[3, 3, 0] = 0, 0
    _, missing, note = fill_no_data(cube.copy(), 0.0, "x")
    assert missing is not None
    assert np.argwhere(missing).tolist() == [[1, 2]]
    assert note.startswith("1 pixels")


def test_no_data_that_does_not_occur_or_is_everywhere() -> None:
    for marker in (-9999.0, 0.5, np.nan):
        cube = _cube()
        same, missing, note = fill_no_data(cube, marker, "x")
        assert same is cube
        assert missing is None
        assert note == ""
    with pytest.raises(SceneError, match="Every pixel"):
        fill_no_data(np.full((2, 2, 2), 7), 7.0, "x")


@given(
    st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]),
    st.sampled_from([0.0, 7.0, -9999.0, 0.5, 65535.0, np.nan, np.inf]),
    st.integers(0, 2**32 - 1),
)
def test_a_marked_pixel_has_the_value_in_any_band(dtype: str, marker: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    cube = random.integers(0, 3, (4, 5, 3)).astype(dtype)
    fits = np.dtype(dtype).kind == "f" or (
        np.isfinite(marker) and float(np.array(marker).astype(dtype)) == marker
    )
    assert can_mark(marker, cube.dtype) == fits
    if fits:
        cube[random.random(cube.shape) < 0.2] = marker
    found = find_missing(cube, marker)
    for row, col in np.ndindex(4, 5):
        values = [float(value) for value in cube[row, col]]
        if np.isnan(marker):
            expected = any(not np.isfinite(value) for value in values)
        elif marker == 0:
            expected = values == [0.0] * 3
        else:
            expected = marker in values
        assert found[row, col] == expected


def test_no_data_in_a_cube_that_is_looked_through_in_strips() -> None:
    cube = RANDOM.integers(1, 200, (5, 1100, 1000)).astype(np.uint8)
    cube[1, 2, 0] = cube[4, 4, 3] = 250
    filled, missing, _ = fill_no_data(cube.copy(), 250.0, "x")
    assert np.argwhere(missing).tolist() == [[1, 2], [4, 4]]
    np.testing.assert_array_equal(filled[4, 4], cube[~missing].mean(axis=0).astype(np.uint8))


CUBE = np.random.default_rng(0).integers(0, 999, (6, 7, 5)).astype(np.int16)


class OfArray(WindowedCube):
    """Windows of an array; remembers what was read."""

    shape, dtype = CUBE.shape, CUBE.dtype
    block_rows, memory_bytes = 4, 77

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
def test_indexing_equals_numpy(rows: Any, cols: Any, bands: Any) -> None:
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
def test_invalid_keys(key: Any) -> None:
    with pytest.raises(IndexError):
        OfArray()[key]


def test_only_the_box_round_a_window_is_read() -> None:
    cube = OfArray()
    cube[1:5:2, 6:2:-3]
    assert cube.boxes == [(slice(1, 4), slice(3, 7))]


def test_memory_and_rows_read_together(tmp_path: Any) -> None:
    assert (memory_bytes(OfArray()), block_rows(OfArray())) == (77, 4)
    assert (memory_bytes(CUBE), block_rows(CUBE)) == (CUBE.nbytes, 1)
    np.save(tmp_path / "a.npy", CUBE)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert memory_bytes(mapped) == memory_bytes(np.asarray(mapped)[1:, :, :2]) == 0
