"""Some bands of a cube, and NaN where it has no data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.datasets.cube_view import CubeView
from hsi.datasets.no_data import missing_pixels

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
        missing = missing_pixels(expected, marker)
        expected = expected.astype(EXACT[dtype])
        expected[missing] = np.nan
    elif marker == -9999.0 and dtype in ("int16", ">i2", "int32"):
        expected = expected.astype(EXACT[dtype])
    view = CubeView(cube, bands, marker)
    assert (view.shape, view.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(view, expected)
    np.testing.assert_array_equal(view[rows, cols, part], expected[rows, cols, part])


def test_it_keeps_nothing_and_changes_nothing(tmp_path) -> None:
    cube = np.full((3, 4, 5), 7, np.uint16)
    np.save(tmp_path / "a.npy", cube)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    view = CubeView(mapped, np.array([0, 4]), 7.0)
    assert np.isnan(view[...]).all()
    assert (mapped == 7).all()
    assert (view.held, view.block_rows) == (0, 1)
    assert not view.shows_all
    assert CubeView(mapped, np.arange(5), np.nan).shows_all
    inner = CubeView(CubeView(cube, np.array([1, 3])), np.array([1]), 0.0)
    assert (inner.shape, inner.held) == ((3, 4, 1), cube.nbytes)
    with pytest.raises(IndexError):
        view[0, 0, 2]
