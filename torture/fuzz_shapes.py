"""Points and polygons to damage, in every format: three fields on the crop, and some points."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from torture.fuzz_mutate import Packed
from torture.fuzz_seeds import COLS, GEOREFERENCE, ROWS, Files, pack_zip

_LEFT, _TOP = GEOREFERENCE["transform"][2], GEOREFERENCE["transform"][5]
_FIELDS = ((0, 0, "grass", 1), (80, 0, "soil", 2), (0, 120, "water", 1))
_WEST, _NORTH = -87.0, 40.4709  # of the crop, in degrees
Ring = list[list[float]]


def _rings(degrees: bool = False) -> list[Ring]:
    """Return the outlines of the fields."""
    left, top, width, height = (_WEST, _NORTH, 1.18e-5, 0.9e-5) if degrees else (_LEFT, _TOP, 1.0, 1.0)
    made = []
    for a, b, _, _ in _FIELDS:
        x, y, right, low = (
            left + a * width,
            top - b * height,
            left + (a + 70) * width,
            top - (b + 90) * height,
        )
        made.append([[x, y], [right, y], [right, low], [x, low], [x, y]])
    return made


def geojson_files() -> list[Files]:
    """Polygons, and a point, with a coordinate system of their own; without one; and one feature a line."""
    features: list[dict[str, Any]] = [
        {"type": "Feature", "properties": {"class": name, "code": code},
         "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for ring, (_, _, name, code) in zip(_rings(), _FIELDS, strict=True)
    ]  # fmt: skip
    features.append(
        {"type": "Feature", "properties": {"class": "soil"},
         "geometry": {"type": "Point", "coordinates": [500_110.0, 4_479_900.0]}}
    )  # fmt: skip
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32616"}}
    whole = {"type": "FeatureCollection", "crs": crs, "features": features}
    degrees = [
        {**one, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for one, ring in zip(features, _rings(degrees=True), strict=False)
    ]
    return [
        {"a.geojson": json.dumps(whole, indent=1).encode()},
        {"a.geojson": json.dumps({**whole, "crs": None, "features": degrees}).encode()},
        {"a.geojson": "\n".join(map(json.dumps, degrees)).encode()},
    ]


def _written(driver: str, name: str, degrees: bool = False, **options: str) -> Files:
    """Return the files that GDAL writes for the fields."""
    import pyogrio.raw
    import shapely

    shapes = np.array([shapely.Polygon(ring) for ring in _rings(degrees)], dtype=object)
    with tempfile.TemporaryDirectory() as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyogrio.raw.write(
            str(Path(made) / name),
            geometry=shapely.to_wkb(shapes),
            field_data=[np.array([one[2] for one in _FIELDS], object), np.array([1, 2, 1], np.int32)],
            fields=["class", "code"],
            geometry_type="Polygon",
            crs="EPSG:4326" if degrees else GEOREFERENCE["crs"],
            driver=driver,
            **options,
        )
        return {one.name: one.read_bytes() for one in Path(made).iterdir()}


def _geopackage_files() -> list[Files]:
    """A GeoPackage as it is, in small pages, and as a text of SQL that is run after the damage."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.gpkg"
        path.write_bytes(_bytes(_written("GPKG", "a.gpkg", SPATIAL_INDEX="NO")["a.gpkg"]))
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA page_size = 512")
        database.execute("VACUUM")
        sql = "\n".join(line for line in database.iterdump() if "CREATE TRIGGER" not in line)
        database.close()
        small = path.read_bytes()
    return [{"a.gpkg": small}, {"a.gpkg": Packed({"sql": sql.encode()}, _run_sql)}]


def _run_sql(parts: Mapping[str, bytes]) -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for statement in parts["sql"].decode("utf-8", errors="replace").split(";\n")[:300]:
            try:
                database.execute(statement)
            except (sqlite3.Error, ValueError, OverflowError):
                continue
        database.execute(f"PRAGMA application_id = {int.from_bytes(b'GPKG', 'big')}")
        database.execute("PRAGMA user_version = 10300")
        if database.in_transaction:
            database.execute("COMMIT")
        return database.serialize()


def _bytes(content: bytes | Packed) -> bytes:
    assert isinstance(content, bytes)
    return content


def _kml() -> bytes:
    folders = ""
    for ring, (_, _, name, code) in zip(_rings(degrees=True), _FIELDS, strict=True):
        places = " ".join(f"{x},{y},0" for x, y in ring)
        folders += (
            f"<Folder><name>{name}</name><Placemark><name>{name} {code}</name><ExtendedData>"
            f'<Data name="code"><value>{code}</value></Data></ExtendedData><Polygon><outerBoundaryIs>'
            f"<LinearRing><coordinates>{places}</coordinates></LinearRing></outerBoundaryIs></Polygon>"
            "</Placemark></Folder>\n"
        )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">'
    return f"{head}<Document>\n{folders}</Document></kml>".encode()


def _gml() -> bytes:
    members = ""
    for ring, (_, _, name, code) in zip(_rings(), _FIELDS, strict=True):
        places = " ".join(f"{x} {y}" for x, y in ring)
        members += (
            f'<gml:featureMember><o:field><o:shape><gml:Polygon srsName="EPSG:32616"><gml:exterior>'
            f"<gml:LinearRing><gml:posList>{places}</gml:posList></gml:LinearRing></gml:exterior>"
            f"</gml:Polygon></o:shape><o:class>{name}</o:class><o:code>{code}</o:code></o:field>"
            "</gml:featureMember>\n"
        )
    head = '<o:FeatureCollection xmlns:o="http://o.org/" xmlns:gml="http://www.opengis.net/gml">'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{members}</o:FeatureCollection>'.encode()


def _gpx() -> bytes:
    points = ""
    for at, (ring, (_, _, name, _)) in enumerate(zip(_rings(degrees=True), _FIELDS, strict=True)):
        x, y = ring[0][0] + 1e-4, ring[2][1] + 1e-4
        points += f'<wpt lat="{y}" lon="{x}"><name>{at}</name><type>{name}</type></wpt>\n'
    return f'<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">\n{points}</gpx>'.encode()


def _topojson() -> bytes:
    arcs = [[[round((x - _WEST) * 1e7), round((y - _NORTH) * 1e7)] for x, y in r] for r in _rings(True)]
    for arc in arcs:  # each point as the step from the one before
        for at in range(len(arc) - 1, 0, -1):
            arc[at] = [arc[at][0] - arc[at - 1][0], arc[at][1] - arc[at - 1][1]]
    shapes = [
        {"type": "Polygon", "arcs": [[at]], "properties": {"class": name, "code": code}}
        for at, (_, _, name, code) in enumerate(_FIELDS)
    ]
    table = {
        "type": "Topology", "transform": {"scale": [1e-7, 1e-7], "translate": [_WEST, _NORTH]},
        "arcs": arcs, "objects": {"fields": {"type": "GeometryCollection", "geometries": shapes}},
    }  # fmt: skip
    return json.dumps(table, indent=1).encode()


def _esrijson() -> bytes:
    table = {
        "geometryType": "esriGeometryPolygon", "spatialReference": {"wkid": 32616},
        "fields": [{"name": "class", "type": "esriFieldTypeString", "length": 20}],
        "features": [
            {"attributes": {"class": name}, "geometry": {"rings": [ring]}}
            for ring, (_, _, name, _) in zip(_rings(), _FIELDS, strict=True)
        ],
    }  # fmt: skip
    return json.dumps(table).encode()


def vector_files() -> dict[str, list[Files]]:
    """Return the files of every format but GeoJSON, by the name of the main one."""
    archive: Files = {"a.kmz": pack_zip({"doc.kml": _kml()}, zipfile.ZIP_DEFLATED)}
    packed: Files = {"a.kmz": Packed({"doc.kml": _kml()}, lambda some: pack_zip(some, zipfile.ZIP_DEFLATED))}
    table = _written("MapInfo File", "a.tab")
    return {
        "a.shp": [
            {name: one for name, one in _written("ESRI Shapefile", "a.shp").items() if name[-3:] != "shx"}
        ],
        "a.gpkg": _geopackage_files(),
        "a.fgb": [_written("FlatGeobuf", "a.fgb"), _written("FlatGeobuf", "a.fgb", SPATIAL_INDEX="NO")],
        "a.kml": [{"a.kml": _kml()}],
        "a.kmz": [archive, packed],
        "a.gml": [{"a.gml": _gml()}],
        "a.gpx": [{"a.gpx": _gpx()}],
        "a.topojson": [{"a.topojson": _topojson()}],
        "a.json": [{"a.json": _esrijson()}],
        "a.mif": [_written("MapInfo File", "a.mif")],
        "a.tab": [{name.lower(): one for name, one in table.items()}],
    }


def _without(files: Files, end: str) -> Files:
    return {name: content for name, content in files.items() if not name.endswith(end)}


def point_files() -> list[Files]:
    """Tables of points: map coordinates, degrees, pixels, and shapes as WKT."""
    places = ((500_030.0, 4_479_970.0), (500_110.0, 4_479_930.0), (500_050.0, 4_479_850.0))
    names = [name for _, _, name, _ in _FIELDS]
    tables = (
        ["x,y,class", *(f"{x},{y},{name}" for (x, y), name in zip(places, names, strict=True))],
        ["Longitude;Latitude;Klasse", *(f"-86,999{n};40,4705;{n}" for n in (1, 5))],
        ["row\tcol\tclass", *(f"{n}\t{n + 1}\t{name}" for n, name in enumerate(names))],
        ["sample,line,label,notes", *(f'{n + 1},{n + 2},{name},"a, b"' for n, name in enumerate(names))],
        ["wkt|class", *(f"POINT ({x} {y})|{name}" for (x, y), name in zip(places, names, strict=True))],
    )  # fmt: skip
    return [{"a.csv": "\n".join([*lines, ""]).encode()} for lines in tables]


def region_files() -> dict[str, list[Files]]:
    """Regions of interest of ENVI, as text in pixels and in map coordinates, and as XML."""
    texts: list[Files] = []
    for columns in ("ID X Y B1", "ID X Y Map X Map Y Lat Lon", "ID Map X Map Y"):
        lines = ["; ENVI Output of ROIs (5.6) [Thu Jan 5 2023]", "; Number of ROIs: 2"]
        lines.append(f"; File Dimension: {COLS} x {ROWS}")
        for name, color in (("grass", "{0, 255, 0}"), ("soil, dry", "{200, 100, 0}")):
            lines += [f"; ROI name: {name}", f"; ROI rgb value: {color}", "; ROI npts: 3"]
        lines.append(f";  {columns}")
        for number in range(6):
            values = {"ID": number + 1, "X": number + 1, "Y": number + 2, "MapX": 500_030 + 20 * number,
                      "MapY": 4_479_970 - 20 * number}  # fmt: skip
            words = columns.replace("Map ", "Map").split()
            lines.append(" ".join(str(values.get(word, 0.5)) for word in words))
        texts.append({"a.txt": "\n".join([*lines, ""]).encode()})
    in_pixels = [[[(x - _LEFT) / 20, (_TOP - y) / 20] for x, y in ring] for ring in _rings()]
    return {
        "a.txt": texts,
        "a.xml": [{"a.xml": _regions(*one)} for one in ((_rings(), "EPSG:32616"), (in_pixels, "none"))],
    }


def _regions(rings: list[Ring], crs: str) -> bytes:
    regions = ""
    for ring, (_, _, name, _) in zip(rings, _FIELDS, strict=True):
        places = " ".join(f"{x} {y}" for x, y in ring)
        regions += (
            f'<Region name="{name}" color="0,{len(name)},9"><GeometryDef><CoordSysStr>{crs}</CoordSysStr>'
            f"<Polygon><Exterior><LinearRing><Coordinates>{places}</Coordinates></LinearRing></Exterior>"
            "</Polygon></GeometryDef></Region>\n"
        )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f'{head}<RegionsOfInterest version="1.1">\n{regions}</RegionsOfInterest>'.encode()
