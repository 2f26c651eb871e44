"""Pixels without data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi.datasets import no_data
from hsi.datasets.no_data import can_mark, fill_no_data, missing_pixels
from hsi.errors import SceneError

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
    found = missing_pixels(cube, marker)
    for row, col in np.ndindex(4, 5):
        values = [float(value) for value in cube[row, col]]
        if np.isnan(marker):
            expected = any(not np.isfinite(value) for value in values)
        elif marker == 0:
            expected = values == [0.0] * 3
        else:
            expected = marker in values
        assert found[row, col] == expected


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    cube = _cube()
    cube[1, 2, 0] = cube[5, 4, 3] = 800
    whole, missing, _ = fill_no_data(cube.copy(), 800.0, "x")
    monkeypatch.setattr(no_data, "_PIECE", 1)
    by_row, again, _ = fill_no_data(cube.copy(), 800.0, "x")
    np.testing.assert_array_equal(whole, by_row)
    np.testing.assert_array_equal(missing, again)
