"""Points and polygons on a grid, against a slow loop over pixels and polygon edges."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.labels.rasterize import draw_labels
from hsi.errors import FileFormatError, SceneError

UTM = {"crs": "EPSG:32632", "transform": [2.0, 0.0, 500000.0, 0.0, -2.0, 5000000.0]}
SIZE = (20, 30)
Ring = list[tuple[float, float]]


def _xy(col: float, row: float) -> tuple[float, float]:
    return 500000 + 2 * col, 5000000 - 2 * row


def _ring(*corners: tuple[float, float]) -> Ring:
    """Return a closed ring from (col, row) corners, in UTM."""
    return [_xy(*corner) for corner in (*corners, corners[0])]


def _inside(ring: Ring, x: float, y: float) -> bool:
    """Even-odd rule, edge by edge."""
    odd = False
    for (x1, y1), (x2, y2) in pairwise(ring):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


def _oracle(rings: list[Ring], codes: list[int], shift: float = 0.0) -> np.ndarray:
    labels = np.zeros(SIZE, np.int64)
    for row in range(SIZE[0]):
        for col in range(SIZE[1]):
            x, y = _xy(col + 0.5, row + 0.5)
            found = {code for ring, code in zip(rings, codes, strict=True) if _inside(ring, x + shift, y)}
            labels[row, col] = found.pop() if len(found) == 1 else 0
    return labels


def _geojson(
    path: Path, features: list[tuple[dict[str, Any], dict[str, Any]]], crs: int | None = 32632
) -> Path:
    """Write features (geometry, properties) in UTM as they are, or (None) in longitude and latitude."""
    table: dict[str, Any] = {"type": "FeatureCollection"}
    if crs is not None:
        table["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{crs}"}}
    else:
        features = [
            (rasterio.warp.transform_geom("EPSG:32632", "OGC:CRS84", shape), properties)
            for shape, properties in features
        ]
    table["features"] = [
        {"type": "Feature", "geometry": shape, "properties": properties} for shape, properties in features
    ]
    path.write_text(json.dumps(table))
    return path


def _polygons(rings: list[Ring], values: list[Any], field: str = "class") -> list[tuple[dict, dict]]:
    return [
        ({"type": "Polygon", "coordinates": [ring]}, {field: value})
        for ring, value in zip(rings, values, strict=True)
    ]


RINGS = [
    _ring((2.2, 1.3), (9.7, 2.1), (8.4, 9.9), (1.1, 7.2)),
    _ring((12.1, 3.3), (18.8, 4.2), (14.9, 5.1), (17.2, 11.7), (11.3, 8.4)),
    _ring((6.3, 6.1), (14.2, 6.7), (13.1, 16.3), (5.2, 14.8)),
]


@pytest.mark.parametrize("crs", [32632, None])
def test_polygons_equal_the_slow_loop(tmp_path: Path, crs: int | None) -> None:
    path = _geojson(tmp_path / "fields.geojson", _polygons(RINGS, [1, 2, 5]), crs)
    drawn = draw_labels(path, SIZE, UTM)
    expected = _oracle(RINGS, [1, 2, 5])
    np.testing.assert_array_equal(drawn.labels, expected)
    assert set(np.unique(expected)) == {0, 1, 2, 5}
    claimed = sum(_oracle([ring], [1]) for ring in RINGS)
    assert any(
        note.startswith(f"{(claimed > 1).sum()} pixels lie in features of two") for note in drawn.notes
    )
    assert drawn.class_names == {}


# Corners off the rows of pixel centres.
corner = st.tuples(st.integers(0, 29).map(lambda n: n + 0.31), st.integers(0, 19).map(lambda n: n + 0.17))


@settings(max_examples=25, deadline=None)
@given(corners=st.lists(corner, min_size=3, max_size=6, unique=True))
def test_any_polygon_equals_the_slow_loop(tmp_path_factory: pytest.TempPathFactory, corners: list) -> None:
    ring = _ring(*corners)
    path = _geojson(tmp_path_factory.mktemp("p") / "a.geojson", _polygons([ring], [3]))
    # Whether a centre on an edge lies inside is a matter of rounding.
    clear = _oracle([ring], [3], -1e-6) == _oracle([ring], [3], 1e-6)
    drawn = draw_labels(path, SIZE, UTM, "class").labels
    np.testing.assert_array_equal(drawn[clear], _oracle([ring], [3])[clear])


def test_points_lines_and_text_classes(tmp_path: Path) -> None:
    features = [
        ({"type": "Point", "coordinates": _xy(3.5, 4.5)}, {"id": 1, "Crop": "rye"}),
        (
            {"type": "MultiPoint", "coordinates": [_xy(0.1, 0.1), _xy(29.9, 19.9)]},
            {"id": 2, "Crop": "Barley"},
        ),
        ({"type": "LineString", "coordinates": [_xy(10.5, 2.5), _xy(14.5, 2.5)]}, {"id": 3, "Crop": "rye "}),
        ({"type": "Point", "coordinates": _xy(5.5, 5.5)}, {"id": 4, "Crop": None}),
        ({"type": "Point", "coordinates": _xy(-50, 5)}, {"id": 5, "Crop": "oats"}),
        (None, {"id": 6, "Crop": "oats"}),
    ]
    drawn = draw_labels(_geojson(tmp_path / "a.json", features), SIZE, UTM)
    expected = np.zeros(SIZE, np.int64)
    expected[4, 3] = 3
    expected[0, 0] = expected[19, 29] = 1
    np.testing.assert_array_equal(drawn.labels, expected)
    assert drawn.class_names == {1: "Barley", 2: "oats", 3: "rye"}
    words = " ".join(drawn.notes)
    for expected_words in (
        "attribute 'Crop'",
        "1 features have no 'Crop'",
        "1 of 4 features in a.json lie outside",
        "1 features are lines; they give no label",
    ):
        assert expected_words in words


def test_what_cannot_be_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _geojson(tmp_path / "a.geojson", _polygons(RINGS, [1, 2, 3]))
    for place in (None, {"crs": "", "transform": UTM["transform"]}):
        with pytest.raises(SceneError, match="no coordinate system to place them"):
            draw_labels(path, SIZE, place)
    with pytest.raises(SceneError, match=r"None of the 3 .* on the cube; check the order of x and y"):
        draw_labels(path, SIZE, {**UTM, "transform": [2.0, 0, 700000, 0, -2.0, 5000000]})
    with pytest.raises(FileFormatError, match="cannot be brought to the cube's coordinates"):
        draw_labels(_geojson(tmp_path / "b.geojson", _polygons(RINGS, [1, 2, 3]), 999999), SIZE, UTM)
    (tmp_path / "c.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(FileFormatError, match="no point and no polygon"):
        draw_labels(tmp_path / "c.geojson", SIZE, UTM)
    for wrong in ('{"type": "FeatureCollection"', '{"type": "FeatureCollection"}', '{"type": "Feature"}'):
        (tmp_path / "c.geojson").write_text(wrong)
        with pytest.raises(FileFormatError):
            draw_labels(tmp_path / "c.geojson", SIZE, UTM)
    for coordinates in ([], [[[500001.0, 4999999.0]]], [5]):
        broken = [({"type": "Polygon", "coordinates": coordinates}, {"class": n}) for n in (1, 2)]
        with pytest.raises(FileFormatError, match="no point and no polygon"):
            draw_labels(_geojson(tmp_path / "d.geojson", broken), SIZE, UTM)
    some = [*broken, *_polygons(RINGS, [1, 2, 3])]
    drawn = draw_labels(_geojson(tmp_path / "d.geojson", some), SIZE, UTM)
    assert "2 features have no shape that can be read; they are left out." in drawn.notes
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(FileFormatError, match=r"hsi-toolkit\[geo\]"):
        draw_labels(path, SIZE, UTM)


def _contained(polygons: list[shapely.Polygon]) -> np.ndarray:
    """Return (polygon, row, col): whether a polygon in pixel coordinates contains the centre of a pixel."""
    return np.array(
        [
            [
                [polygon.contains(shapely.Point(col + 0.5, row + 0.5)) for col in range(SIZE[1])]
                for row in range(SIZE[0])
            ]
            for polygon in polygons
        ]
    )


def _from_pixels(polygon: Any) -> dict[str, Any]:
    return shapely.geometry.mapping(shapely.transform(polygon, lambda xy: [500000, 5000000] + xy * [2, -2]))


@settings(max_examples=20, deadline=None)
@given(
    circles=st.lists(
        st.tuples(st.floats(-3, 33), st.floats(-3, 23), st.floats(0.05, 8), st.integers(0, 4)),
        min_size=1,
        max_size=8,
    )
)
def test_many_polygons_with_holes_equal_the_slow_loop(
    tmp_path_factory: pytest.TempPathFactory, circles: list
) -> None:
    shapes = [
        shapely.Point(x, y).buffer(r, quad_segs=3) - shapely.Point(x, y).buffer(r / 3)
        for x, y, r, _ in circles
    ]
    codes = [code for *_, code in circles]
    features = [(_from_pixels(shape), {"class": code}) for shape, code in zip(shapes, codes, strict=True)]
    path = _geojson(tmp_path_factory.mktemp("p") / "a.geojson", features)
    surely, maybe = (_contained([shape.buffer(by) for shape in shapes]) for by in (-1e-6, 1e-6))
    if not shapely.intersects(shapely.box(0, 0, 30, 20), shapely.union_all(shapes)):
        with pytest.raises(SceneError, match="lies on the cube"):
            draw_labels(path, SIZE, UTM, "class")
        return
    drawn = draw_labels(path, SIZE, UTM, "class", class_zero=True)
    assert drawn.unlabelled < 0
    for row, col in np.argwhere((surely == maybe).all(axis=0)):
        here = {code for code, inside in zip(codes, surely[:, row, col], strict=True) if inside}
        assert drawn.labels[row, col] == (here.pop() if len(here) == 1 else drawn.unlabelled)
    without = draw_labels(path, SIZE, UTM, "class")
    assert without.unlabelled == 0
    zeros = int(maybe[[code == 0 for code in codes]].any(axis=0).sum())
    if zeros and (surely == maybe).all():
        assert any(note.startswith(f"Code 0 covers {zeros} pixels and is taken") for note in without.notes)
    seen = surely[[code > 0 for code in codes]].any(axis=0)
    assert (without.labels[~maybe.any(axis=0)] == 0).all()
    assert not (without.labels > 0)[(surely == maybe).all(axis=0) & ~seen].any()


def test_every_touched_pixel_on_request(tmp_path: Path) -> None:
    tiny = [
        shapely.box(3.1, 4.1, 3.3, 4.3),
        shapely.box(9.6, 7.6, 10.4, 8.4),
        shapely.box(15.2, 2.2, 18.8, 5.8),
    ]
    path = _geojson(
        tmp_path / "a.geojson",
        [(_from_pixels(one), {"class": name}) for one, name in zip(tiny, ("ash", "elm", "oak"), strict=True)],
    )
    drawn = draw_labels(path, SIZE, UTM)
    assert np.array_equal(drawn.labels, 3 * _contained(tiny)[2])
    note = next(note for note in drawn.notes if "pixel centre" in note)
    assert note.startswith("2 of 3 polygons hold no pixel centre (classes ash, elm have none); --all-touched")
    expected = np.zeros(SIZE, np.int64)
    for code, polygon in enumerate(tiny, start=1):
        for row, col in np.ndindex(SIZE):
            if polygon.intersects(shapely.box(col, row, col + 1, row + 1)):
                expected[row, col] = code
    touched = draw_labels(path, SIZE, UTM, all_touched=True)
    np.testing.assert_array_equal(touched.labels, expected)
    assert not any("pixel centre" in note for note in touched.notes)


def test_neighbours_share_no_pixel_and_leave_none(tmp_path: Path) -> None:
    """A border through pixel centres gives each of them to one side."""
    halves = [shapely.box(2, 2, 7.5, 9), shapely.box(7.5, 2, 12, 9)]
    features = [(_from_pixels(one), {"class": code}) for code, one in enumerate(halves, start=1)]
    drawn = draw_labels(_geojson(tmp_path / "a.geojson", features), SIZE, UTM).labels
    assert (drawn[2:9, 2:12] > 0).all()
    assert (drawn > 0).sum() == 70


def test_odd_geometries(tmp_path: Path) -> None:
    bow_tie = {"type": "Polygon", "coordinates": [_ring((2, 2), (8, 8), (8, 2), (2, 8))]}
    both = {
        "type": "GeometryCollection",
        "geometries": [
            {"type": "Point", "coordinates": [*_xy(20.5, 3.5), 77.0]},
            {
                "type": "GeometryCollection",
                "geometries": [{"type": "MultiPolygon", "coordinates": [[RINGS[1]]]}],
            },
            {"type": "LineString", "coordinates": [_xy(0, 0), _xy(29, 0)]},
        ],
    }
    far = {"type": "Point", "coordinates": [1e200, -1e200]}
    empty = {"type": "MultiPolygon", "coordinates": []}
    features = [(bow_tie, {"class": 1}), (both, {"class": 2}), (far, {"class": 3}), (empty, {"class": 3})]
    drawn = draw_labels(_geojson(tmp_path / "a.geojson", features), SIZE, UTM)
    triangles = [shapely.Polygon([(2, 2), (5, 5), (2, 8)]), shapely.Polygon([(8, 2), (5, 5), (8, 8)])]
    expected = np.where(_oracle([RINGS[1]], [2]) > 0, 2, 0)
    expected[3, 20] = 2
    clear = _contained([one.buffer(-1e-6) for one in triangles]).any(axis=0) == _contained(
        [one.buffer(1e-6) for one in triangles]
    ).any(axis=0)
    expected[_contained(triangles).any(axis=0)] = 1
    np.testing.assert_array_equal(drawn.labels[clear], expected[clear])
    for words in (
        "1 polygons cross themselves",
        "1 features are empty",
        "1 of 3 features in a.geojson lie outside",
    ):
        assert any(note.startswith(words) for note in drawn.notes)


def test_coordinate_systems(tmp_path: Path) -> None:
    features = _polygons(RINGS, [1, 2, 5])
    unsaid = {"type": "FeatureCollection", "features": []}
    unsaid["features"] = [
        {"type": "Feature", "geometry": shape, "properties": row} for shape, row in features
    ]
    path = tmp_path / "unsaid.geojson"
    path.write_text(json.dumps(unsaid))
    with pytest.raises(FileFormatError, match=r"look like metres \(500004, 4999997\), but GeoJSON without"):
        draw_labels(path, SIZE, UTM)
    expected = _oracle(RINGS, [1, 2, 5])
    given = draw_labels(path, SIZE, UTM, labels_crs="EPSG:32632")
    np.testing.assert_array_equal(given.labels, expected)
    assert not any("EPSG" in note for note in given.notes)
    wrong = _geojson(tmp_path / "wrong.geojson", features, 32633)
    with pytest.raises(SceneError, match="None of the 3 features"):
        draw_labels(wrong, SIZE, UTM)
    mended = draw_labels(wrong, SIZE, UTM, labels_crs="EPSG:32632")
    np.testing.assert_array_equal(mended.labels, expected)
    assert any("taken for EPSG:32632, and not for urn:ogc" in note for note in mended.notes)
    for text in ("nonsense", "http://localhost/x", "/etc/hostname"):
        with pytest.raises(SceneError, match="no coordinate system; name one by its code"):
            draw_labels(wrong, SIZE, UTM, labels_crs=text)
    with pytest.raises(SceneError, match="--crs EPSG"):
        draw_labels(wrong, SIZE, {**UTM, "crs": ""})
    turned = {**UTM, "transform": [1.2, 1.6, 500000.0, 1.6, -1.2, 5000000.0]}
    drawn = draw_labels(_geojson(tmp_path / "t.geojson", features), SIZE, turned).labels
    for row, col in np.ndindex(SIZE):
        x, y = 500000 + 1.2 * (col + 0.5) + 1.6 * (row + 0.5), 5000000 + 1.6 * (col + 0.5) - 1.2 * (row + 0.5)
        found = [code for ring, code in zip(RINGS, [1, 2, 5], strict=True) if _inside(ring, x, y)]
        assert drawn[row, col] == (found[0] if len(found) == 1 else 0)
