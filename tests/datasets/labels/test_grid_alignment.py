from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hsi.datasets.labels.grid_alignment import align_labels
from hsi.errors import SceneError

UTM = "EPSG:32616"
CUBE = {"crs": UTM, "transform": [30.0, 0.0, 500000.0, 0.0, -30.0, 4100000.0]}
BLOCKS = np.kron([[1, 0, 2, 3], [3, 3, 70000, 1], [0, 2, 2, 1]], np.ones((4, 5), np.int32))
SIZE = BLOCKS.shape


def moved(
    col: float, row: float, width: float = 30.0, height: float = 30.0, crs: str = UTM
) -> dict[str, Any]:
    """Return the georeference of a grid that starts at a column and row of the cube."""
    return {"crs": crs, "transform": [width, 0.0, 500000.0 + 30 * col, 0.0, -height, 4100000.0 - 30 * row]}


def align(labels: np.ndarray, geo: Any, size: Any = SIZE, cube: Any = CUBE, **options: Any) -> Any:
    return align_labels(labels, geo, size, cube, where="The map", **options)


def area_majority(labels: np.ndarray, geo: Any, size: tuple[int, int]) -> np.ndarray:
    """Return the class that covers at least half of each pixel, by area; grids parallel to the axes."""
    width, _, left, _, height, top = geo["transform"]
    result = np.zeros(size, labels.dtype)
    for row in range(size[0]):
        for col in range(size[1]):
            west, north = 500000 + 30 * col, 4100000 - 30 * row
            cover: Counter[int] = Counter()
            for y in range(labels.shape[0]):
                for x in range(labels.shape[1]):
                    sides = sorted((left + width * x, left + width * (x + 1)))
                    ends = sorted((top + height * y, top + height * (y + 1)))
                    across = min(sides[1], west + 30) - max(sides[0], west)
                    down = min(ends[1], north) - max(ends[0], north - 30)
                    if across > 0 and down > 0 and labels[y, x]:
                        cover[int(labels[y, x])] += across * down
            most = cover.most_common(2)
            if most and most[0][1] >= 450 - 1e-6 and (len(most) == 1 or most[1][1] < most[0][1] - 1e-6):
                result[row, col] = most[0][0]
    return result


def test_the_same_grid_is_left_as_it_is() -> None:
    for geo in (CUBE, moved(0.009, -0.009), moved(0, 0, crs="EPSG:32616 ".strip())):
        aligned, notes = align(BLOCKS, geo)
        assert aligned is BLOCKS
        assert notes == ()


def test_the_same_coordinate_system_in_other_words() -> None:
    rasterio = pytest.importorskip("rasterio")
    for crs in (rasterio.crs.CRS.from_epsg(32616).to_wkt(), "+proj=utm +zone=16 +datum=WGS84 +units=m"):
        aligned, notes = align(BLOCKS, moved(0, 0, crs=crs))
        assert aligned is BLOCKS
        assert notes == ()


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 99999)
    ),
    st.integers(-9, 9),
    st.integers(-9, 9),
)
def test_a_shift_by_whole_pixels(labels: np.ndarray, col: int, row: int) -> None:
    expected = np.zeros((6, 7), np.int32)
    for y, x in np.ndindex(labels.shape):
        if 0 <= y + row < 6 and 0 <= x + col < 7:
            expected[y + row, x + col] = labels[y, x]
    if not expected.any():
        with pytest.raises(SceneError, match=r"does not overlap|none on the cube"):
            align(labels, moved(col, row), (6, 7))
        return
    aligned, notes = align(labels, moved(col, row), (6, 7))
    np.testing.assert_array_equal(aligned, expected)
    assert aligned.dtype == labels.dtype
    outside = np.count_nonzero(labels) - np.count_nonzero(expected)
    if (col, row) != (0, 0) or labels.shape != (6, 7):
        assert f"{outside} of its {np.count_nonzero(labels)} labelled pixels lie outside" in notes[0]
    else:
        assert notes == ()


def test_a_fraction_of_a_pixel_is_refused_until_asked_for() -> None:
    with pytest.raises(SceneError, match=r"499955.*500000.*--align"):
        align(BLOCKS, moved(-1.5, -1.5))
    aligned, notes = align(BLOCKS, moved(-1.5, -1.5), align=True)
    np.testing.assert_array_equal(aligned, area_majority(BLOCKS, moved(-1.5, -1.5), SIZE))
    assert "lies 0.5 pixels off the grid of the cube" in notes[0]
    almost, notes = align(BLOCKS, moved(0.06, 0))
    np.testing.assert_array_equal(almost, BLOCKS)
    assert "0.06 pixels off" in notes[0]


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(np.int32, (12, 15), elements=st.sampled_from([0, 1, 2, 70000])),
    st.sampled_from([(5.0, 6.0), (10.0, 10.0), (10.0, 15.0), (15.0, 15.0), (30.0, 15.0), (7.5, 30.0)]),
    st.integers(-2, 2),
    st.integers(-2, 2),
)
def test_finer_labels_by_majority(labels: np.ndarray, pixel: tuple[float, float], col: int, row: int) -> None:
    geo = moved(col, row, *pixel)
    expected = area_majority(labels, geo, (5, 6))
    if not expected.any():
        with pytest.raises(SceneError):
            align(labels, geo, (5, 6))
        return
    aligned, notes = align(labels, geo, (5, 6))
    np.testing.assert_array_equal(aligned, expected)
    assert f"has pixels of {pixel[0]:g} x {pixel[1]:g} (EPSG:32616), the cube of 30 x 30" in notes[0]
    assert f"labels {np.count_nonzero(expected)} pixels" in notes[0]


@pytest.mark.parametrize("times", [2, 3, 4])
def test_coarser_labels(times: int) -> None:
    size = (BLOCKS.shape[0] * times, BLOCKS.shape[1] * times)
    aligned, _ = align(BLOCKS, moved(0, 0, 30 * times, 30 * times), size)
    np.testing.assert_array_equal(aligned, np.kron(BLOCKS, np.ones((times, times), np.int32)))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_grid(turns: int) -> None:
    rows, cols = SIZE
    corner, right, down = {
        1: ((cols, 0), (0, 1), (-1, 0)),
        2: ((cols, rows), (-1, 0), (0, -1)),
        3: ((0, rows), (0, -1), (1, 0)),
    }[turns]
    geo = {
        "crs": UTM,
        "transform": [
            30.0 * right[0], 30.0 * down[0], 500000.0 + 30 * corner[0],
            -30.0 * right[1], -30.0 * down[1], 4100000.0 - 30 * corner[1],
        ],
    }  # fmt: skip
    aligned, notes = align(np.rot90(BLOCKS, turns), geo)
    np.testing.assert_array_equal(aligned, BLOCKS)
    assert "at least half" in notes[0]


def test_rows_from_south_to_north() -> None:
    geo = {"crs": UTM, "transform": [30.0, 0.0, 500000.0, 0.0, 30.0, 4100000.0 - 30 * SIZE[0]]}
    np.testing.assert_array_equal(align(BLOCKS[::-1], geo)[0], BLOCKS)


def test_an_odd_pixel_size_agrees_with_exact_areas() -> None:
    geo = moved(-0.3, 0.2, 13.0, 17.0)
    labels = np.kron(BLOCKS, np.ones((2, 2), np.int32))
    aligned, _ = align(labels, geo)
    exact = area_majority(labels, geo, SIZE)
    # Points stand for areas: pixels that a border nearly halves may differ.
    assert (aligned == exact).mean() > 0.97


def test_another_coordinate_system() -> None:
    warp = pytest.importorskip("rasterio.warp")
    rows, cols = 60, 80
    # 0.0001 degrees are about 9 m by 11 m; several intervals between exact points lie in the scene.
    geo = {"crs": "EPSG:4326", "transform": [1e-4, 0.0, -87.001, 0.0, -1e-4, 37.05]}
    labels = np.add.outer(np.arange(400) // 37, 12 * (np.arange(500) // 41)).astype(np.int32)
    cube = {"crs": UTM, "transform": [30.0, 0.0, 500000.0, 0.0, -30.0, 4099500.0]}
    aligned, notes = align(labels, geo, (rows, cols), cube)
    assert "(EPSG:4326)" in notes[0]
    expected = np.zeros((rows, cols), np.int32)
    share = (np.arange(12) + 0.5) / 12
    for row in range(rows):
        x, y = np.meshgrid(
            500000 + 30 * (np.arange(cols)[:, None] + share).ravel(), 4099500 - 30 * (row + share)
        )
        lon, lat = warp.transform(UTM, "EPSG:4326", x.ravel(), y.ravel())
        c = np.floor((np.array(lon) + 87.001) / 1e-4).astype(int).reshape(12, cols, 12)
        r = np.floor((37.05 - np.array(lat)) / 1e-4).astype(int).reshape(12, cols, 12)
        inside = (c >= 0) & (c < 500) & (r >= 0) & (r < 400)
        found = np.where(inside, labels[np.clip(r, 0, 399), np.clip(c, 0, 499)], 0)
        for col in range(cols):
            votes = Counter(found[:, col].ravel().tolist())
            votes.pop(0, None)
            most = votes.most_common(1)
            if most and most[0][1] >= 72:
                expected[row, col] = most[0][0]
    assert np.count_nonzero(expected) > 3000
    assert (aligned == expected).mean() > 0.985
    assert {*np.unique(aligned)} <= {*np.unique(labels)}


def test_where_one_side_names_no_coordinate_system() -> None:
    wide = np.pad(BLOCKS, 2)
    aligned, notes = align(wide, moved(-2, -2, crs=""))
    np.testing.assert_array_equal(aligned, BLOCKS)
    assert "The map names no coordinate system; it is taken to be that of the cube." in notes
    aligned, notes = align(BLOCKS, CUBE, cube={**CUBE, "crs": ""})
    assert "The cube names no coordinate system; it is taken to be that of the labels." in notes


def test_without_georeference_the_sizes_must_agree() -> None:
    for label_geo, cube_geo in ((None, None), (None, CUBE), (CUBE, None)):
        assert align(BLOCKS, label_geo, cube=cube_geo) == (BLOCKS, ())
        with pytest.raises(SceneError, match="looks transposed"):
            align(BLOCKS.T, label_geo, cube=cube_geo)
    with pytest.raises(SceneError, match="only the cube has a georeference"):
        align(BLOCKS[1:], None)
    with pytest.raises(SceneError, match="only the label map has a georeference"):
        align(BLOCKS[1:], CUBE, cube=None)


@pytest.mark.parametrize(
    "geo", [moved(100, 0), moved(0, -100, 15, 15), moved(0, 0, 1e-4, 1e-4, crs="EPSG:4326")]
)
def test_labels_of_another_place(geo: dict[str, Any]) -> None:
    with pytest.raises(SceneError, match=r"does not overlap the cube.*x 500000 to 500600"):
        align(BLOCKS, geo)


def test_a_coordinate_system_that_is_none_is_not_opened() -> None:
    with pytest.raises(SceneError, match="is no coordinate system"):
        align(BLOCKS, moved(0, 0, crs="/etc/hostname"))
    with pytest.raises(SceneError, match="cannot be brought"):
        align(BLOCKS, moved(0, 0, crs="EPSG:99999999"))


def test_the_strips_of_a_large_scene_join(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = np.kron(BLOCKS, np.ones((2, 2), np.int32))
    geo = moved(0, 0, 15, 15)
    whole, _ = align(fine, geo)
    np.testing.assert_array_equal(whole, BLOCKS)
    monkeypatch.setattr("hsi.datasets.labels.grid_alignment._BLOCK", 1)
    np.testing.assert_array_equal(align(fine, geo)[0], whole)


def test_ratio_beyond_the_most_points() -> None:
    fine = np.kron([[1, 2], [0, 3]], np.ones((100, 100), np.int16))
    aligned, _ = align(fine, moved(0, 0, 0.3, 0.3), (2, 2))
    np.testing.assert_array_equal(aligned, [[1, 2], [0, 3]])
    assert math.prod(aligned.shape) == 4


def test_far_labels_off_the_grid_do_not_overlap():
    here = {"crs": "EPSG:32633", "transform": [30.0, 0, 500_000.0, 0, -30.0, 4_100_000.0]}
    far = {**here, "transform": [30.0, 0, 700_010.0, 0, -30.0, 4_100_000.0]}
    with pytest.raises(SceneError, match="does not overlap the cube"):
        align_labels(np.ones((5, 6), int), far, (5, 6), here, where="x")
