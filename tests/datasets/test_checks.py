from __future__ import annotations

import math

import numpy as np
import pytest

from hsi.datasets.checks import (
    bands_left,
    check_cube,
    check_values,
    find_anomalies,
    find_useless_bands,
    take_bands,
    unwrap_negatives,
)
from hsi.errors import SceneError

RANDOM = np.random.default_rng(0)


def _cube() -> np.ndarray:
    return RANDOM.integers(1, 700, (6, 5, 4)).astype(np.uint16)


@pytest.mark.parametrize("shape", [(3, 4), (0, 4, 5), (2, 3, 4, 5)])
def test_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(SceneError, match="3-D"):
        check_cube(np.zeros(shape), "The cube")


@pytest.mark.parametrize("dtype", [complex, bool, "U3", object])
def test_element_type(dtype: type) -> None:
    with pytest.raises(SceneError, match="integers or floating-point"):
        check_cube(np.zeros((2, 2, 2), dtype), "The cube")


def test_dropped_bands_are_counted_from_0() -> None:
    cube = _cube()
    for dropped in ((0, 3), (1,), (0, 2)):
        left = bands_left(4, dropped, "x")
        np.testing.assert_array_equal(take_bands(cube, left), np.delete(cube, dropped, axis=2))
    assert np.shares_memory(take_bands(cube, bands_left(4, (0, 3), "x")), cube)
    assert take_bands(cube, bands_left(4, (), "x")) is cube
    with pytest.raises(SceneError, match="bands 0 to 3; there is no band 4"):
        bands_left(4, (4,), "x")
    with pytest.raises(SceneError, match="keep at least one"):
        bands_left(4, range(4), "x")


def test_wrapped_negatives_become_negative_without_a_copy() -> None:
    cube = _cube()
    cube[2, 3, 1], cube[4, 4, 0] = 65525, 65535
    corrected, note = unwrap_negatives(cube)
    assert corrected.dtype == np.int16
    assert np.shares_memory(corrected, cube)
    assert (corrected[2, 3, 1], corrected[4, 4, 0]) == (-11, -1)
    assert int(corrected.min()) == -11
    assert note.startswith("2 values")


def test_wrapped_negatives_beside_large_values_and_in_other_types() -> None:
    cube = _cube()
    cube[0, 0, 0], cube[1, 1, 1] = 40_000, 65_530
    corrected, _ = unwrap_negatives(cube)
    assert (int(corrected[0, 0, 0]), int(corrected[1, 1, 1])) == (40_000, -6)
    in_doubles, _ = unwrap_negatives(cube.astype(float))
    assert in_doubles.dtype == float
    np.testing.assert_array_equal(in_doubles, corrected)
    for untouched in (_cube(), _cube().astype(np.int16), _cube().astype(np.uint8), _cube() * 1e6):
        same, note = unwrap_negatives(untouched)
        assert same is untouched
        assert note == ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_placed(value: float) -> None:
    cube = _cube().astype(np.float32)
    cube[3, 1, 2] = cube[5, 0, 0] = value
    with pytest.raises(SceneError, match=r"2 values.*row 3, column 1, band 2.*no_data = nan"):
        check_values(cube, "The cube")


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_bands_that_hold_nothing_are_found(dtype: type) -> None:
    cube = _cube().astype(dtype)
    bands = cube.shape[2]
    assert find_useless_bands(cube, None).all.tolist() == []
    cube[:, :, 2], cube[:, :, 0] = 5, 0
    assert find_useless_bands(cube, None).constant.tolist() == [0, 2]
    assert find_useless_bands(cube, 0).constant.tolist() == [0, 2]
    cube[:, :, 1] = 77
    cube[1, 2] = 77  # a pixel without data does not hide a constant band
    found = find_useless_bands(cube, 77)
    assert (found.without_data.tolist(), found.constant.tolist()) == ([1], [0, 2])
    assert found.all.tolist() == [0, 1, 2]
    cube[: len(cube) // 3, :, 3] = 77  # in a third of the pixels: the pixels go, the band stays
    assert find_useless_bands(cube, 77).without_data.tolist() == [1]
    cube[:] = 77
    assert len(find_useless_bands(cube, 77).without_data) == bands


def test_bands_without_finite_values_hold_nothing() -> None:
    cube = _cube().astype(np.float32)
    cube[:, :, 1], cube[0, 0] = np.nan, np.inf
    assert find_useless_bands(cube, None).without_data.tolist() == [1]
    assert find_useless_bands(cube, np.nan, [1, 3]).without_data.tolist() == [1]


def test_a_few_values_near_the_limit_are_mentioned() -> None:
    cube = RANDOM.integers(1, 700, (40, 40, 4)).astype(np.uint16)
    cube[7, 7, 1] = 65530
    assert "wrapped into 16 bits" in check_values(cube, "x")[0]


def _cube_suspicions(dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).integers(10, 900, (40, 30, 6)).astype(dtype)


def test_a_plain_cube_is_not_suspicious() -> None:
    cube = _cube_suspicions(np.uint16)
    found = find_anomalies(cube)
    assert (found.low, found.high) == (cube.min(), cube.max())
    assert (found.not_finite, found.filled, found.no_data) == (0, {}, None)


def test_values_that_fill_pixels_are_counted_most_first() -> None:
    cube = _cube_suspicions(np.int16)
    cube[:2], cube[5, :9] = 0, -9999
    cube[7, 7] = 5  # one pixel in 1200 is no crowd, but more than one in a thousand is listed
    found = find_anomalies(cube)
    assert list(found.filled.items()) == [(0.0, 60), (-9999.0, 9)]
    assert found.no_data == 0
    assert (found.low, found.high) == (-9999, cube.max())


def test_values_that_are_no_numbers() -> None:
    cube = _cube_suspicions()
    cube[3, 4, 1], cube[9] = np.nan, np.inf
    found = find_anomalies(cube)
    assert found.not_finite == 31
    assert found.no_data is not None
    assert math.isnan(found.no_data)
    assert math.isfinite(found.high)
    assert find_anomalies(np.full((3, 3, 2), np.nan)).not_finite == 9
