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
import shapefile
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
    expected[4, 3] = expected[2, 10:15] = 3
    expected[0, 0] = expected[19, 29] = 1
    np.testing.assert_array_equal(drawn.labels, expected)
    assert drawn.class_names == {1: "Barley", 2: "oats", 3: "rye"}
    words = " ".join(drawn.notes)
    for expected_words in (
        "attribute 'Crop'",
        "1 features have no 'Crop'",
        "1 of 5 features in a.json lie outside",
    ):
        assert expected_words in words


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_shapefile(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "fields.shp"
    with shapefile.Writer(str(path), encoding=encoding) as writer:
        writer.field("FID", "N")
        writer.field("name", "C", 20)
        for number, (ring, name) in enumerate(zip(RINGS[:2], ["Öl", "Weizen"], strict=True)):
            writer.poly([ring])
            writer.record(number, name)
    path.with_suffix(".cpg").write_text(encoding)
    with pytest.raises(FileFormatError, match=r"lacks fields\.prj"):
        draw_labels(path, SIZE, UTM)
    path.with_suffix(".prj").write_text(rasterio.crs.CRS.from_epsg(32632).to_wkt(version="WKT1_ESRI"))
    drawn = draw_labels(path, SIZE, UTM)
    np.testing.assert_array_equal(drawn.labels, _oracle(RINGS[:2], [2, 1]))
    assert drawn.class_names == {1: "Weizen", 2: "Öl"}
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        draw_labels(path, SIZE, UTM)


@pytest.mark.parametrize(
    ("properties", "wanted", "chosen"),
    [
        ([{"id": 1, "a": 2}, {"id": 2, "a": 3}], None, "a"),
        ([{"area": 1.5, "class": 2}, {"area": 7.25, "class": 3}], None, "class"),
        ([{"a": "x", "b": 1}, {"a": "y", "b": 2}, {"a": "y", "b": 3}], None, "a"),
        ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], "B", "b"),
        ([{"a": "1", "c": True}, {"a": "2", "c": False}], None, "a"),
    ],
)
def test_the_attribute_of_the_class(
    tmp_path: Path, properties: list[dict], wanted: str | None, chosen: str
) -> None:
    shapes = [{"type": "Point", "coordinates": _xy(n + 0.5, 0.5)} for n in range(len(properties))]
    path = _geojson(tmp_path / "a.geojson", list(zip(shapes, properties, strict=True)))
    assert f"attribute '{chosen}'" in draw_labels(path, SIZE, UTM, wanted).notes[0]


@pytest.mark.parametrize(
    ("properties", "wanted", "words"),
    [
        ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], None, "several attributes.*It has: a, b; name the right one"),
        ([{"a": 1.5}, {"a": 2.5}], None, "no attribute that could"),
        ([{}, {}], None, "It has: none"),
        ([{"crop": 1}, {"crop": 2}], "corp", "no attribute 'corp'.*Did you mean 'crop'"),
        ([{"a": 1.5}, {"a": 2.5}], "a", "neither texts nor whole numbers"),
        ([{"a": -1}, {"a": 2}], "a", "neither texts nor whole numbers"),
    ],
)
def test_an_attribute_that_is_not_clear_is_asked_for(
    tmp_path: Path, properties: list[dict], wanted: str | None, words: str
) -> None:
    shapes = [{"type": "Point", "coordinates": _xy(n + 0.5, 0.5)} for n in range(len(properties))]
    path = _geojson(tmp_path / "a.geojson", list(zip(shapes, properties, strict=True)))
    with pytest.raises(FileFormatError, match=words):
        draw_labels(path, SIZE, UTM, wanted)


def test_what_cannot_be_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _geojson(tmp_path / "a.geojson", _polygons(RINGS, [1, 2, 3]))
    for place in (None, {"crs": "", "transform": UTM["transform"]}):
        with pytest.raises(SceneError, match="no coordinate system to place them"):
            draw_labels(path, SIZE, place)
    with pytest.raises(SceneError, match=r"None of the 3 features .* lies on the cube"):
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
    empty = [({"type": "Polygon", "coordinates": [[[500001.0, 4999999.0]]]}, {"class": n}) for n in (1, 2)]
    assert not draw_labels(_geojson(tmp_path / "d.geojson", empty), SIZE, UTM).labels.any()
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(FileFormatError, match=r"hsi-toolkit\[geo\]"):
        draw_labels(path, SIZE, UTM)
