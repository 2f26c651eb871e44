"""Points in tables of text, against pixels that are set by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio.warp

from hsi.datasets.labels.rasterize import DrawnLabels, draw_labels
from hsi.errors import FileFormatError, SceneError

SIZE = (8, 6)
UTM = {"crs": "EPSG:32632", "transform": [10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0]}
PIXELS = [(0, 0), (1, 4), (7, 5), (3, 2)]  # row, column
NAMES = ["corn", "soy", "corn", "Rüben"]
MAP = dict(zip(PIXELS, [1, 3, 1, 2], strict=True))


def _drawn(path: Path, content: str | bytes, place: dict | None = UTM, **options: object) -> DrawnLabels:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return draw_labels(path, SIZE, place, **options)  # type: ignore[arg-type]


def _check(drawn: DrawnLabels) -> None:
    expected = np.zeros(SIZE, np.int64)
    for (row, col), code in MAP.items():
        expected[row, col] = code
    np.testing.assert_array_equal(drawn.labels, expected)
    assert drawn.class_names == {1: "corn", 2: "Rüben", 3: "soy"}


def _table(first: str, second: str, pairs: list[tuple], mark: str = ",", end: str = "\n") -> str:
    rows = [mark.join(("id", first, second, "class"))]
    for number, ((one, two), name) in enumerate(zip(pairs, NAMES, strict=True)):
        rows.append(mark.join((str(number), str(one), str(two), name)))
    return end.join(rows) + end


XY = [(500003.25 + 10 * col, 4999993.5 - 10 * row) for row, col in PIXELS]


@pytest.mark.parametrize(
    ("names", "mark", "end"),
    [
        (("x", "y"), ",", "\n"),
        (("X_coord", "Y_coord"), ";", "\r\n"),
        (("POINT_X", "POINT_Y"), "\t", "\n"),
        (('"Easting"', '"Northing"'), ",", "\r"),
    ],
)
def test_map_coordinates_are_those_of_the_cube(tmp_path: Path, names: tuple, mark: str, end: str) -> None:
    drawn = _drawn(tmp_path / "p.csv", _table(*names, XY, mark, end))
    _check(drawn)
    assert any("taken for those of the cube; --labels-crs" in note for note in drawn.notes)


def test_encodings_and_decimal_commas(tmp_path: Path) -> None:
    table = _table("x", "y", XY)
    for content in (table.encode("utf-8-sig"), table.encode("cp1252")):
        _check(_drawn(tmp_path / "p.csv", content))
    with_commas = [tuple(f"{value:.2f}".replace(".", ",") for value in pair) for pair in XY]
    for mark in (";", "\t"):
        _check(_drawn(tmp_path / "p.txt", _table("x", "y", with_commas, mark)))


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
def test_texts_that_excel_saves(tmp_path: Path, encoding: str) -> None:
    for mark, first in ((";", "sep=;\r\n"), (",", '"sep=,"\r\n'), ("\t", "sep=\t\r\n"), ("\t", "")):
        table = first + _table("x", "y", XY, mark, "\r\n")
        _check(_drawn(tmp_path / "p.csv", table.encode(encoding)))


def test_longitude_and_latitude(tmp_path: Path) -> None:
    lon, lat = rasterio.warp.transform("EPSG:32632", "OGC:CRS84", *zip(*XY, strict=True))
    pairs = list(zip(lon, lat, strict=True))
    for names in (("lon", "lat"), ("Longitude", "Latitude"), ("x", "y")):
        drawn = _drawn(tmp_path / "p.csv", _table(*names, pairs))
        _check(drawn)
        assert any("longitude and latitude (EPSG:4326)" in note for note in drawn.notes)
    swapped = [(two, one) for one, two in pairs]
    _check(_drawn(tmp_path / "p.csv", _table("lat", "lon", swapped)))
    other = rasterio.warp.transform("EPSG:32632", "EPSG:3857", *zip(*XY, strict=True))
    mercator = _table("x", "y", list(zip(*other, strict=True)))
    _check(_drawn(tmp_path / "p.csv", mercator, labels_crs="EPSG:3857"))
    with pytest.raises(SceneError, match="None of the 4 features"):
        _drawn(tmp_path / "p.csv", mercator)


@pytest.mark.parametrize(("names", "start"), [(("col", "row"), 0), (("sample", "line"), 1)])
def test_pixels_need_no_georeference(tmp_path: Path, names: tuple, start: int) -> None:
    pairs = [(col + start, row + start) for row, col in PIXELS]
    for place in (None, UTM):
        drawn = _drawn(tmp_path / "p.csv", _table(*names, pairs), place)
        _check(drawn)
        assert any(f"counted from {start}, as columns called" in note for note in drawn.notes)


def test_pixels_that_cannot_be_counted_as_usual(tmp_path: Path) -> None:
    from_one = _table("column", "row", [(col + 1, row + 1) for row, col in PIXELS])
    from_zero = _table("sample", "line", [(col, row) for row, col in PIXELS])
    for table, start in ((from_one, 1), (from_zero, 0)):
        drawn = _drawn(tmp_path / "p.csv", table)
        _check(drawn)
        assert any(f"counted from {start}, as one has the number" in note for note in drawn.notes)


def test_shapes_as_well_known_text(tmp_path: Path) -> None:
    rows = [f'"POINT Z ({x} {y} 3)",{name}' for (x, y), name in zip(XY, NAMES, strict=True)]
    _check(
        _drawn(tmp_path / "p.csv", "\n".join(["WKT,class", *rows, '"POINT EMPTY",soy', "nonsense,soy", ""]))
    )
    square = '"POLYGON ((500000 5000000, 500020 5000000, 500020 4999980, 500000 4999980, 500000 5000000))",5'
    drawn = _drawn(tmp_path / "p.csv", f"geom,class\n{square}\n")
    assert (drawn.labels[:2, :2] == 5).all()
    assert (drawn.labels > 0).sum() == 4


def test_rows_without_coordinates_are_counted(tmp_path: Path) -> None:
    drawn = _drawn(tmp_path / "p.csv", _table("x", "y", XY) + "5,,,soy\n6,nan,1,soy\n7,one,two,soy\n8\n\n")
    _check(drawn)
    assert "4 of 8 rows in p.csv have no coordinates; they are left out." in drawn.notes
    with pytest.raises(FileFormatError, match="no row with coordinates"):
        _drawn(tmp_path / "p.csv", "x,y,class\na,b,c\n")
    with pytest.raises(FileFormatError, match="no row with coordinates"):
        _drawn(tmp_path / "p.csv", "x,y,class\n")
    with pytest.raises(FileFormatError, match="table of text"):
        _drawn(tmp_path / "p.csv", "a,b,class\n1,2,3\n")
    with pytest.raises(SceneError, match="no coordinate system"):
        _drawn(tmp_path / "p.csv", _table("x", "y", XY), None)
