"""Labels from files of any kind, and several files that make a split, against maps that are set by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hsi.datasets.formats.readers import ArraySource
from hsi.datasets.labels.read_labels import LabelMap, LabelOptions, merge_label_maps, read_labels
from hsi.errors import SceneError

SIZE = (6, 8)
UTM = {"crs": "EPSG:32632", "transform": [10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0]}


def _fields(path: Path, codes: list[int]) -> Path:
    """Write a field of 2 x 2 pixels a code, side by side in the first rows."""
    features = []
    for number, code in enumerate(codes):
        left, right, top, bottom = 500000 + 20 * number, 500020 + 20 * number, 5000000, 4999980
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "geometry": geometry, "properties": {"class": code}})
    crs = {"type": "name", "properties": {"name": "EPSG:32632"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


@pytest.mark.parametrize("unlabelled", [(), (-9999,)])
def test_pixels_outside_all_polygons_are_not_told_as_code_0(tmp_path: Path, unlabelled: tuple) -> None:
    pytest.importorskip("shapely")
    path = _fields(tmp_path / "fields.geojson", [-9999, 1, 2])
    read = read_labels(ArraySource(path), SIZE, UTM, LabelOptions(unlabelled=unlabelled))
    expected = np.zeros(SIZE, np.int64)
    expected[:2, 2:4], expected[:2, 4:6] = 1, 2
    np.testing.assert_array_equal(read.labels, expected)
    assert not any("code 0" in note for note in read.notes)


def test_code_0_of_a_polygon_is_told_once(tmp_path: Path) -> None:
    pytest.importorskip("shapely")
    path = _fields(tmp_path / "fields.geojson", [0, 1, 2])
    read = read_labels(ArraySource(path), SIZE, UTM, LabelOptions())
    assert read.codes == (1, 2)
    assert [note for note in read.notes if "ode 0 covers 4 pixels" in note and "--class-zero" in note]
    assert sum("--class-zero" in note for note in read.notes) == 1
    kept = read_labels(ArraySource(path), SIZE, UTM, LabelOptions(class_zero=True))
    assert kept.codes == (0, 1, 2)
    assert np.bincount(kept.labels.ravel()).tolist() == [36, 4, 4, 4]


def test_files_of_a_split_may_share_some_pixels_but_not_all() -> None:
    test = LabelMap(np.array([[0, 0, 0, 1, 1]]), (2,))
    train = LabelMap(np.array([[1, 1, 2, 2, 0]]), (1, 2))
    whole, subsets = merge_label_maps({"train": train, "test": test})
    np.testing.assert_array_equal(whole.labels, [[1, 1, 2, 0, 2]])
    np.testing.assert_array_equal(subsets["test"], [[False] * 4 + [True]])
    inside = LabelMap(np.array([[0, 1, 1, 0, 0]]), (2,))
    with pytest.raises(SceneError, match=r"Every pixel of the test labels .* do not overlap\.$"):
        merge_label_maps({"train": train, "test": inside})
