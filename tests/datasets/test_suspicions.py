from __future__ import annotations

import math

import numpy as np

from hsi.datasets.suspicions import look_for


def _cube(dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).integers(10, 900, (40, 30, 6)).astype(dtype)


def test_a_plain_cube_is_not_suspicious() -> None:
    cube = _cube(np.uint16)
    found = look_for(cube)
    assert (found.low, found.high) == (cube.min(), cube.max())
    assert (found.not_finite, found.filled, found.no_data) == (0, {}, None)


def test_values_that_fill_pixels_are_counted_most_first() -> None:
    cube = _cube(np.int16)
    cube[:2], cube[5, :9] = 0, -9999
    cube[7, 7] = 5  # one pixel in 1200 is no crowd, but more than one in a thousand is listed
    found = look_for(cube)
    assert list(found.filled.items()) == [(0.0, 60), (-9999.0, 9)]
    assert found.no_data == 0
    assert (found.low, found.high) == (-9999, cube.max())


def test_values_that_are_no_numbers() -> None:
    cube = _cube()
    cube[3, 4, 1], cube[9] = np.nan, np.inf
    found = look_for(cube)
    assert found.not_finite == 31
    assert found.no_data is not None
    assert math.isnan(found.no_data)
    assert math.isfinite(found.high)
    assert look_for(np.full((3, 3, 2), np.nan)).not_finite == 9
