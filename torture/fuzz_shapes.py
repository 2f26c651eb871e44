"""Points and polygons to damage: GeoJSON and a shapefile of three fields on the crop."""

from __future__ import annotations

import io
import json
from typing import Any

from torture.fuzz_seeds import GEOREFERENCE, Files


def _fields() -> list[tuple[list[list[float]], str, int]]:
    """Return rings, class names and codes of three fields on the crop."""
    x, y = GEOREFERENCE["transform"][2], GEOREFERENCE["transform"][5]
    corners = [(0, 0, "grass", 1), (80, 0, "soil", 2), (0, 120, "water", 1)]
    made = []
    for a, b, name, code in corners:
        left, top = x + a, y - b
        ring = [[left, top], [left + 70, top], [left + 70, top - 90], [left, top - 90], [left, top]]
        made.append((ring, name, code))
    return made


def geojson_files() -> list[Files]:
    """Polygons, and a point, with a coordinate system of their own; and a single feature without one."""
    features: list[dict[str, Any]] = [
        {"type": "Feature", "properties": {"class": name, "code": code},
         "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for ring, name, code in _fields()
    ]  # fmt: skip
    features.append(
        {"type": "Feature", "properties": {"class": "soil"},
         "geometry": {"type": "Point", "coordinates": [500_110.0, 4_479_900.0]}}
    )  # fmt: skip
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32616"}}
    whole = {"type": "FeatureCollection", "crs": crs, "features": features}
    box = [[-87.0, 40.4709], [-86.9995, 40.4709], [-86.9995, 40.469], [-87.0, 40.469], [-87.0, 40.4709]]
    alone = {**features[1], "properties": {"class": 2, "code": 2}, "geometry": {"type": "Polygon"}}
    alone["geometry"]["coordinates"] = [box]
    return [
        {"a.geojson": json.dumps(whole, indent=1).encode()},
        {"a.geojson": json.dumps(alone).encode()},
    ]


def shapefile_files() -> list[Files]:
    """A shapefile of polygons with a text and a number each."""
    import rasterio
    import shapefile

    shp, shx, dbf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with shapefile.Writer(shp=shp, shx=shx, dbf=dbf, shapeType=shapefile.POLYGON) as out:
        out.field("class", "C", size=12)
        out.field("code", "N", size=6)
        for ring, name, code in _fields():
            out.poly([ring])
            out.record(name, code)
        out.close()
        wkt = rasterio.crs.CRS.from_string(GEOREFERENCE["crs"]).to_wkt()
        return [
            {
                "a.shp": shp.getvalue(), "a.shx": shx.getvalue(), "a.dbf": dbf.getvalue(),
                "a.prj": wkt.encode(), "a.cpg": b"utf-8",
            }
        ]  # fmt: skip
