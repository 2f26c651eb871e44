"""Files of points and polygons: the same labels from every format, and nothing else is opened."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import rasterio.warp
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.datasets.formats.readers import files_of
from hsi.datasets.formats.recognise import recognise
from hsi.datasets.labels.rasterize import draw_labels
from hsi.errors import FileFormatError, InputError

SIZE = (10, 12)
UTM = {"crs": "EPSG:32632", "transform": [10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0]}
BOXES = [(0, 0, 3, 2), (5, 4, 9, 9)]  # left, top, right, bottom in pixels
NAMES = ["Rüben", "corn"]
SHAPES = [
    shapely.box(500000 + 10 * a, 5000000 - 10 * d, 500000 + 10 * c, 5000000 - 10 * b) for a, b, c, d in BOXES
]


def _expected() -> np.ndarray:
    labels = np.zeros(SIZE, np.int64)
    labels[0:2, 0:3], labels[4:9, 5:9] = 2, 1
    return labels


def _in_degrees(shape: Any) -> Any:
    return shapely.geometry.shape(
        rasterio.warp.transform_geom("EPSG:32632", "OGC:CRS84", shapely.geometry.mapping(shape))
    )


def _write(
    path: Path,
    driver: str,
    *,
    shapes: list[Any] = SHAPES,
    columns: dict[str, list[Any]] | None = None,
    degrees: bool = False,
    kind: str = "Polygon",
    **options: Any,
) -> Path:
    columns = {"class": NAMES[: len(shapes)]} if columns is None else columns
    places = [_in_degrees(shape) if degrees else shape for shape in shapes]
    pyogrio.raw.write(
        str(path),
        geometry=np.array([shapely.to_wkb(shape) for shape in places], dtype=object),
        field_data=[np.array(v, dtype=object if isinstance(v[0], str) else None) for v in columns.values()],
        fields=[*columns],
        geometry_type=kind,
        crs="EPSG:4326" if degrees else "EPSG:32632",
        driver=driver,
        **options,
    )
    return path


def _check(path: Path, **options: Any) -> tuple[str, ...]:
    drawn = draw_labels(path, SIZE, UTM, **options)
    np.testing.assert_array_equal(drawn.labels, _expected())
    assert drawn.class_names == {1: "corn", 2: "Rüben"}
    return drawn.notes


@pytest.mark.parametrize(
    ("name", "driver", "degrees", "kind"),
    [
        ("a.gpkg", "GPKG", False, "geopackage"),
        ("a.db", "GPKG", True, "geopackage"),
        ("a.shp", "ESRI Shapefile", False, "shapefile"),
        ("a.fgb", "FlatGeobuf", False, "flatgeobuf"),
        ("a.geojson", "GeoJSON", True, "geojson"),
        ("a.geojsonl", "GeoJSONSeq", True, "geojson"),
        ("a.gml", "GML", False, "gml"),
        ("a.kml", "LIBKML", True, "kml"),
        ("b.kml", "KML", True, "kml"),
        ("a.tab", "MapInfo File", False, "tab"),
        ("a.mif", "MapInfo File", False, "mif"),
    ],
)
def test_every_format_gives_the_same(
    tmp_path: Path, name: str, driver: str, degrees: bool, kind: str
) -> None:
    path = _write(tmp_path / name.replace(".db", ".gpkg"), driver, degrees=degrees)
    path = path.rename(tmp_path / name)
    assert recognise(path) == kind
    _check(path)
    odd = tmp_path / "odd: name! 100%? #1"
    odd.mkdir()
    for part in files_of(path):
        shutil.copy(part, odd)
    before = sorted(one.name for one in odd.iterdir())
    _check(odd / name)
    assert sorted(one.name for one in odd.iterdir()) == before


def test_formats_that_are_written_by_hand(tmp_path: Path) -> None:
    rings = [[list(xy) for xy in _in_degrees(shape).exterior.coords] for shape in SHAPES]
    objects = [
        {"type": "Polygon", "arcs": [[number]], "properties": {"class": name}}
        for number, name in enumerate(NAMES)
    ]
    topology = {
        "type": "Topology",
        "objects": {"fields": {"type": "GeometryCollection", "geometries": objects}},
        "arcs": rings,
    }
    (tmp_path / "a.topojson").write_text(json.dumps(topology))
    esri = {
        "geometryType": "esriGeometryPolygon",
        "spatialReference": {"wkid": 32632},
        "fields": [{"name": "class", "type": "esriFieldTypeString"}],
        "features": [
            {"attributes": {"class": name}, "geometry": {"rings": [[list(xy) for xy in one.exterior.coords]]}}
            for one, name in zip(SHAPES, NAMES, strict=True)
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(esri))
    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
        archive.write(_write(tmp_path / "a.kml", "LIBKML", degrees=True), "doc.kml")
    kinds = {"a.topojson": "topojson", "a.json": "esrijson", "a.kmz": "kmz"}
    for name, kind in kinds.items():
        assert recognise(tmp_path / name) == kind
        _check(tmp_path / name)
    centres = [_in_degrees(shape).centroid for shape in SHAPES]
    points = "".join(
        f'<wpt lat="{one.y}" lon="{one.x}"><name>{number}</name><type>{name}</type></wpt>'
        for number, (one, name) in enumerate(zip(centres, NAMES, strict=True))
    )
    (tmp_path / "a.gpx").write_text(
        f'<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">{points}</gpx>'
    )
    drawn = draw_labels(tmp_path / "a.gpx", SIZE, UTM)
    assert {tuple(place) for place in np.argwhere(drawn.labels)} == {(1, 1), (6, 7)}
    assert (drawn.labels[1, 1], drawn.labels[6, 7]) == (2, 1)


def test_numbers_missing_values_and_codes_with_names(tmp_path: Path) -> None:
    third = shapely.box(500100, 4999900, 500120, 4999920)
    columns = {"code": np.array([4.0, 2.0, np.nan]), "what": ["wheat", "rye", "wheat"]}
    path = _write(tmp_path / "a.gpkg", "GPKG", shapes=[*SHAPES, third], columns=columns)
    drawn = draw_labels(path, SIZE, UTM, "code")
    np.testing.assert_array_equal(drawn.labels, np.array([0, 2, 4])[_expected()])
    assert any(note.startswith("1 features have no 'code'") for note in drawn.notes)


def test_layers(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.gpkg", "GPKG", layer="fields")
    lines = [shapely.LineString([(500000, 5000000), (500100, 4999900)])]
    _write(path, "GPKG", layer="roads", shapes=lines, kind="LineString", append=True)
    measured = {"height": np.array([1.5, 2.5])}
    _write(path, "GPKG", layer="trees", columns=measured, append=True)
    assert "The labels are those of the layer 'fields'." in _check(path)
    _check(path, layer="FIELDS")
    other = [shapely.box(500000, 4999900, 500120, 5000000), SHAPES[0]]
    _write(path, "GPKG", layer="older", shapes=other, append=True)
    with pytest.raises(FileFormatError, match=r"3 layers .*: fields, trees, older; name one with --layer"):
        draw_labels(path, SIZE, UTM)
    _check(path, layer="fields")
    assert (draw_labels(path, SIZE, UTM, layer="older").labels > 0).sum() == 120 - 6
    with pytest.raises(FileFormatError, match=r"no layer 'feilds'.* Did you mean 'fields'\?"):
        draw_labels(path, SIZE, UTM, layer="feilds")
    with pytest.raises(FileFormatError, match="no point and no polygon"):
        draw_labels(path, SIZE, UTM, layer="roads")
    _check(_write(tmp_path / "b.fgb", "FlatGeobuf"), layer="b")
    assert pyogrio.list_layers(path).shape == (4, 2)


def test_folders_of_a_document_can_be_the_classes(tmp_path: Path) -> None:
    def folder(name: str, shape: Any, count: int) -> str:
        ring = " ".join(f"{x},{y},0" for x, y in _in_degrees(shape).exterior.coords)
        ring = f"<LinearRing><coordinates>{ring}</coordinates></LinearRing>"
        polygon = f"<Polygon><outerBoundaryIs>{ring}</outerBoundaryIs></Polygon>"
        places = "".join(f"<Placemark><name>{name[0]} {n}</name>{polygon}</Placemark>" for n in range(count))
        return f"<Folder><name>{name}</name>{places}</Folder>"

    inside = folder(NAMES[0], SHAPES[0], 2) + folder(NAMES[1], SHAPES[1], 3)
    path = tmp_path / "a.kml"
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{inside}</Document></kml>')
    assert any("attribute 'folder'" in note for note in _check(path))


def test_too_many_layers(tmp_path: Path) -> None:
    folders = "".join(
        f"<Folder><name>{n}</name><Placemark><Point><coordinates>9,45</coordinates></Point></Placemark></Folder>"
        for n in range(1001)
    )
    path = tmp_path / "a.kml"
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>')
    with pytest.raises(FileFormatError, match="has 1,001 layers; name one with --layer"):
        draw_labels(path, SIZE, UTM)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "iso8859-15"])
def test_letters_in_a_shapefile(tmp_path: Path, encoding: str) -> None:
    path = _write(tmp_path / "a.shp", "ESRI Shapefile", encoding=encoding)
    _check(path)
    (tmp_path / "a.cpg").unlink()
    table = bytearray((tmp_path / "a.dbf").read_bytes())
    table[29] = 0  # the code page
    (tmp_path / "a.dbf").write_bytes(table)
    guessed = any("does not say in which letters" in note for note in _check(path))
    assert guessed == (encoding != "utf-8")
    for text in ("nonsense", "ANSI 1252" if encoding != "utf-8" else "65001"):
        (tmp_path / "a.cpg").write_text(text)
        _check(path)


def test_parts_of_a_shapefile(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.shp", "ESRI Shapefile")
    assert {one.suffix for one in files_of(path)} == {".shp", ".dbf", ".prj", ".cpg"}
    (tmp_path / "a.shx").write_bytes(b"damaged")
    _check(path)
    (tmp_path / "a.shx").unlink()
    _check(path)
    for end in (".shp", ".dbf", ".prj", ".cpg"):
        (tmp_path / f"a{end}").rename(tmp_path / f"B{end.upper()}")
    _check(tmp_path / "B.SHP")
    projection = tmp_path / "B.PRJ"
    for text in ("", "/etc/hostname", "nonsense"):
        projection.write_text(text)
        with pytest.raises(
            FileFormatError, match=r"does not name its coordinate system \(in B.prj beside it\)"
        ):
            draw_labels(tmp_path / "B.SHP", SIZE, UTM)
    projection.unlink()
    _check(tmp_path / "B.SHP", labels_crs="EPSG:32632")
    (tmp_path / "B.DBF").unlink()
    with pytest.raises(FileFormatError, match=r"lacks B\.dbf"):
        draw_labels(tmp_path / "B.SHP", SIZE, UTM)


# What a file names is never opened.

OTHER = (
    '<OGRVRTDataSource><OGRVRTLayer name="l"><SrcDataSource>{path}</SrcDataSource><SrcLayer>other</SrcLayer>'
    "</OGRVRTLayer></OGRVRTDataSource>"
)


class _Server(ThreadingHTTPServer):
    asked: list[str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[_Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"EPSG:32632")

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return

    running = _Server(("127.0.0.1", 0), Handler)
    running.asked = []
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    assert running.asked == []


def _kml(inside: str = "", after: str = "") -> str:
    places = "".join(
        f"<Placemark><name>{name}</name><styleUrl>ADDRESS/s#a</styleUrl><Polygon><outerBoundaryIs><LinearRing>"
        f"<coordinates>{' '.join(f'{x},{y}' for x, y in _in_degrees(one).exterior.coords)}</coordinates>"
        "</LinearRing></outerBoundaryIs></Polygon></Placemark>"
        for one, name in zip(SHAPES, NAMES, strict=True)
    )
    return f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{inside}{places}</Document></kml>{after}'


def _gml(srs: str = "EPSG:32632", where: str = "", after: str = "") -> str:
    members = "".join(
        f'<gml:featureMember><o:a><o:g><gml:Polygon srsName="{srs}"><gml:outerBoundaryIs><gml:LinearRing>'
        f"<gml:coordinates>{' '.join(f'{x},{y}' for x, y in one.exterior.coords)}</gml:coordinates>"
        f"</gml:LinearRing></gml:outerBoundaryIs></gml:Polygon></o:g><o:class>{name}</o:class>"
        '<o:more xlink:href="ADDRESS/x"/></o:a></gml:featureMember>'
        for one, name in zip(SHAPES, NAMES, strict=True)
    )
    spaces = (
        'xmlns:o="http://o.org/" xmlns:gml="http://www.opengis.net/gml" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    )
    return f"<o:FeatureCollection {spaces} {where}>{members}</o:FeatureCollection>{after}"


NETWORK = (
    "<NetworkLink><Link><href>ADDRESS/k.kml</href></Link></NetworkLink>"
    "<GroundOverlay><Icon><href>ADDRESS/o.png</href></Icon></GroundOverlay>"
    '<Style id="a"><IconStyle><Icon><href>ADDRESS/i</href></Icon></IconStyle></Style>'
)
SCHEMA = (
    'xsi:schemaLocation="http://o.org/ ADDRESS/wfs?service=WFS&amp;request=DescribeFeatureType&amp;'
    'typename=a"'
)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.kml", _kml(NETWORK), ""),
        ("a.kml", _kml(f"<!-- {OTHER} -->"), ""),
        ("a.kml", _kml(OTHER), "OGRVRTDataSource"),
        ("a.kml", _kml(after=OTHER), "junk after"),
        ("a.kml", f'<!DOCTYPE kml SYSTEM "ADDRESS/dtd">{_kml()}', "document type"),
        ("a.kml", f'<!DOCTYPE kml [<!ENTITY a SYSTEM "ADDRESS/e">]>{_kml("&a;")}', "XML file"),
        ("a.kml", f"<kml>{'<a>' * 3000}", "no place"),
        ("a.gml", _gml(where=SCHEMA), ""),
        ("a.gml", _gml(where='xsi:schemaLocation="http://o.org/ {path}"'), ""),
        ("a.gml", _gml(srs="ADDRESS/srs"), "does not name its coordinate system"),
        ("a.gml", _gml(srs="{path}"), "does not name its coordinate system"),
        ("a.gml", _gml(after=OTHER), "junk after"),
    ],
)  # fmt: skip
def test_xml_that_names_other_files(
    tmp_path: Path, server: _Server, name: str, content: str, words: str
) -> None:
    other = _write(tmp_path / "other.geojson", "GeoJSON", degrees=True, shapes=SHAPES[::-1])
    text = content.replace("ADDRESS", server.address).replace("{path}", str(other))
    (tmp_path / name).write_text(text)
    if words:
        with pytest.raises(InputError, match=words):
            draw_labels(tmp_path / name, SIZE, UTM)
    else:
        _check(tmp_path / name)


def test_json_that_names_other_files(tmp_path: Path, server: _Server) -> None:
    other = _write(tmp_path / "other.geojson", "GeoJSON", degrees=True)
    table = json.loads(_write(tmp_path / "a.geojson", "GeoJSON").read_text())
    for crs in (
        {"type": "link", "properties": {"href": f"{server.address}/crs", "type": "proj4"}},
        {"type": "link", "properties": {"href": str(other), "type": "ogcwkt"}},
        {"type": "name", "properties": {"name": f"{server.address}/crs"}},
    ):
        (tmp_path / "a.geojson").write_text(json.dumps({**table, "crs": crs}))
        with pytest.raises(FileFormatError, match="coordinate system"):
            draw_labels(tmp_path / "a.geojson", SIZE, UTM)
        _check(tmp_path / "a.geojson", labels_crs="EPSG:32632")
    topology = {"type": "Topology", "note": OTHER.format(path=other), "objects": {}, "arcs": []}
    (tmp_path / "a.topojson").write_text(json.dumps(topology).replace('\\"', "'"))
    with pytest.raises(FileFormatError):
        draw_labels(tmp_path / "a.topojson", SIZE, UTM)


VIEW = (
    "CREATE VIEW evil AS {query}; INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
    "VALUES ('evil', 'features', 'evil', 32632); "
    "INSERT INTO gpkg_geometry_columns VALUES ('evil', 'geom', 'POLYGON', 32632, 0, 0)"
)
FETCH = "ogr_geocode('x', 'geometry', 'SERVICE=OSM_NOMINATIM', 'QUERY_TEMPLATE=ADDRESS/g?q=%s')"
ENDLESS = (
    "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n AS fid, NULL AS geom FROM r"
)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (VIEW.format(query=f"SELECT fid, geom, {FETCH} AS class FROM a"), "not be opened|will not"),
        (VIEW.format(query=ENDLESS), ""),
        (
            "PRAGMA writable_schema = 1; INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, "
            "'CREATE VIRTUAL TABLE v USING VirtualOGR(''{path}'')')",
            "table of another program",
        ),
        ("UPDATE gpkg_spatial_ref_sys SET definition = 'ADDRESS/srs', organization = '' WHERE srs_id = 32632",
         "does not name its coordinate system"),
        ("ALTER TABLE gpkg_contents RENAME TO c; CREATE VIEW gpkg_contents AS SELECT * FROM c", "is a view"),
        ("DROP TABLE gpkg_contents", "no GeoPackage"),
        ("PRAGMA journal_mode = WAL", ""),
    ],
)  # fmt: skip
def test_a_geopackage_that_does_more_than_hold_shapes(
    tmp_path: Path, server: _Server, script: str, words: str
) -> None:
    other = _write(tmp_path / "other.geojson", "GeoJSON", degrees=True)
    path = _write(tmp_path / "a.gpkg", "GPKG")
    database = sqlite3.connect(path)
    database.executescript(script.replace("ADDRESS", server.address).replace("{path}", str(other)))
    database.commit()
    database.close()
    if words:
        with pytest.raises(FileFormatError, match=words):
            draw_labels(path, SIZE, UTM)
    else:
        notes = _check(path)
        assert ("evil" in script) == any("views (evil), which are not read" in note for note in notes)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.gpkg", "other.geojson"]


def test_a_table_of_mapinfo_that_names_another(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tab", "MapInfo File")
    text = path.read_text()
    for more in ('open table "other.tab" Hide\n', "create view a As\n", '  File "other.tif"\n'):
        path.write_text(text + more)
        with pytest.raises(FileFormatError, match="names other tables"):
            draw_labels(path, SIZE, UTM)
    path.write_text(text)
    (tmp_path / "a.map").unlink()
    with pytest.raises(FileFormatError, match=r"lacks a\.map"):
        draw_labels(path, SIZE, UTM)


FUZZED = {
    "a.gpkg": "GPKG", "a.fgb": "FlatGeobuf", "a.shp": "ESRI Shapefile", "a.gml": "GML", "a.kml": "LIBKML",
    "a.mif": "MapInfo File", "a.tab": "MapInfo File", "a.geojson": "GeoJSON",
}  # fmt: skip


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Return, by file name, the parts of a valid file."""
    found = {}
    for name, driver in FUZZED.items():
        folder = tmp_path_factory.mktemp("valid")
        _write(folder / name, driver, degrees=driver in ("LIBKML", "GeoJSON"))
        found[name] = {part.name: part.read_bytes() for part in sorted(folder.iterdir())}
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(FUZZED)))
def test_damage_is_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, valid: dict[str, dict[str, bytes]], data: Any, name: str
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    for part, content in valid[name].items():
        (folder / part).write_bytes(content)
    part = data.draw(st.sampled_from(sorted(valid[name])))
    changed = bytearray(valid[name][part])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + 4] = data.draw(
            st.sampled_from([b"\xff\xff\xff\x7f", b"\0\0\0\0", b'<>&"', b"\x80"])
        )
    cut = data.draw(st.one_of(st.just(len(changed)), st.integers(0, len(changed))))
    (folder / part).write_bytes(changed[:cut])
    try:
        drawn = draw_labels(folder / name, SIZE, UTM)
    except InputError:
        return
    assert drawn.labels.shape == SIZE
