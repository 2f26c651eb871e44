"""Regions of interest of ENVI, as text and as XML, against pixels that are set by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from hsi.datasets.formats.recognise import recognise
from hsi.datasets.labels.rasterize import draw_labels
from hsi.errors import FileFormatError, InputError, SceneError

SIZE = (8, 6)
UTM = {"crs": "EPSG:32632", "transform": [10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0]}
CORN, SOY = [(0, 0), (1, 4)], [(7, 5), (3, 2), (3, 3)]  # row, column


def _expected() -> np.ndarray:
    labels = np.zeros(SIZE, np.int64)
    labels[tuple(zip(*CORN, strict=True))] = 1
    labels[tuple(zip(*SOY, strict=True))] = 2
    return labels


def _text(columns: str = "ID X Y", size: str = "6 x 8", more: str = "") -> str:
    lines = [
        "; ENVI Output of ROIs (5.5) [Mon Nov 2 2020]",
        "; Number of ROIs: 2",
        f"; File Dimension: {size}",
        ";",
    ]
    regions = (("Corn field", "{255, 0, 0}", CORN), ("soy: late", "{0, 128, 255}", SOY))
    for name, color, pixels in regions:
        lines += [f"; ROI name: {name}", f"; ROI rgb value: {color}", f"; ROI npts: {len(pixels)}", ";"]
    lines.append(f";   {columns}")
    for _, _, pixels in regions:
        for number, (row, col) in enumerate(pixels, start=1):
            values = {
                "ID": number,
                "X": col + 1,
                "Y": row + 1,
                "MapX": 500005 + 10 * col,
                "MapY": 4999995 - 10 * row,
            }
            names = columns.replace("Map ", "Map").split()
            lines.append("  ".join(str(values.get(name, 0.25)) for name in names))
        lines.append("")
    return "\n".join(lines) + more


@pytest.mark.parametrize(
    "columns", ["ID X Y", "ID X Y Map X Map Y Lat Lon B1 B2", "X Y B1", "ID Map X Map Y B1 B2"]
)
def test_regions_as_text(tmp_path: Path, columns: str) -> None:
    path = tmp_path / "roi.txt"
    path.write_text(_text(columns))
    assert recognise(path) == "roi_text"
    for place in (UTM,) if "X Y" not in columns or columns.startswith("ID Map") else (UTM, None):
        drawn = draw_labels(path, SIZE, place)
        np.testing.assert_array_equal(drawn.labels, _expected())
        assert drawn.class_names == {1: "Corn field", 2: "soy: late"}
        assert drawn.colors == {1: "#ff0000", 2: "#0080ff"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_text(size="8 x 6"), "image of 8 columns and 6 rows, but the cube has 6 columns and 8 rows"),
        (_text(more="4 1 1\n"), "announces 5 pixels and lists 6"),
        (_text(more="4 one 1\n"), "cannot be read"),
        (_text(more="4 nan 1\n"), "announces"),
        (_text(more="4\n"), "cannot be read"),
        (_text().replace("; ROI npts: 2", "; ROI npts: many"), "name and number"),
        ("; ENVI Output of ROIs (5.3)\n", "name and number"),
    ],
)
def test_text_that_is_damaged_or_of_another_image(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "roi.txt").write_text(text)
    with pytest.raises(FileFormatError, match=words):
        draw_labels(tmp_path / "roi.txt", SIZE, UTM)


def _xy(row: float, col: float, in_map: bool) -> str:
    return f"{500000 + 10 * col} {5000000 - 10 * row}" if in_map else f"{col} {row}"


def _xml(in_map: bool = True, system: str | None = None, more: str = "") -> str:
    def ring(tag: str, top: int, left: int, bottom: int, right: int) -> str:
        corners = [(top, left), (top, right), (bottom, right), (bottom, left), (top, left)]
        places = " ".join(_xy(*corner, in_map) for corner in corners)
        return f"<{tag}><LinearRing><Coordinates>\n{places}\n</Coordinates></LinearRing></{tag}>"

    crs = rasterio.crs.CRS.from_epsg(32632).to_wkt(version="WKT1_ESRI") if in_map else "none"
    crs = (crs if system is None else system).replace('"', "&quot;")
    points = " ".join(_xy(row + 0.5, col + 0.5, in_map) for row, col in SOY)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<RegionsOfInterest version="1.1">
<Region name="Corn" color="0,255,0"><GeometryDef><CoordSysStr>{crs}</CoordSysStr>
<Polygon>{ring("Exterior", 0, 0, 5, 4)}{ring("Interior", 1, 1, 4, 3)}</Polygon></GeometryDef></Region>
<Region name="soy" color="255,0,0"><GeometryDef><CoordSysStr>{crs}</CoordSysStr>
<Point><Coordinates>{points}</Coordinates></Point></GeometryDef></Region>{more}
</RegionsOfInterest>"""


def test_regions_as_xml(tmp_path: Path) -> None:
    path = tmp_path / "roi.xml"
    expected = np.zeros(SIZE, np.int64)
    expected[:5, :4] = 1
    expected[1:4, 1:3] = 0
    for row, col in SOY:
        expected[row, col] = 0 if expected[row, col] else 2  # one pixel is in both
    for in_map in (True, False):
        path.write_text(_xml(in_map, more='<Region name="bright" color="0,0,9"><Threshold/></Region>'))
        assert recognise(path) == "roi_xml"
        for place in (UTM,) if in_map else (UTM, None):
            drawn = draw_labels(path, SIZE, place)
            np.testing.assert_array_equal(drawn.labels, expected)
            assert drawn.class_names == {1: "Corn", 2: "soy"}
            assert drawn.colors == {1: "#00ff00", 2: "#ff0000"}
            assert "Regions without a shape: bright." in drawn.notes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_xml()[:-40], "damaged"),
        (_xml().replace("<RegionsOfInterest", "<!DOCTYPE x><RegionsOfInterest"), "XML|document type"),
        (_xml(system="http://localhost/crs"), "no coordinate system"),
        (_xml().replace("500000 5000000", "500000 north", 1), "cannot be read"),
        (_xml().replace("500000 5000000", "500000 inf", 1), "cannot be read"),
        (_xml().replace("</Exterior>", "</Exterior><Exterior/>", 1), "cannot be read"),
        (_xml().replace("UTM", "UTN", 1), "several coordinate systems"),
        ("<RegionsOfInterest/>", "no point and no polygon"),
    ],
)
def test_xml_that_is_damaged_or_ill_meant(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "roi.xml").write_text(text)
    with pytest.raises(InputError, match=words):
        draw_labels(tmp_path / "roi.xml", SIZE, UTM)


def test_binary_regions_and_cubes_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "old.roi").write_bytes(b"\x00\x01\x02\x03" * 40)
    with pytest.raises(FileFormatError, match="save them in ENVI as XML or as ASCII"):
        draw_labels(tmp_path / "old.roi", SIZE, UTM)
    (tmp_path / "roi.xml").write_text(_xml())
    with pytest.raises(SceneError, match="no coordinate system to place them"):
        draw_labels(tmp_path / "roi.xml", SIZE, None)
