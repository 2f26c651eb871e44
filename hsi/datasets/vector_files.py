"""Reading points and polygons with their attributes: GeoJSON, and shapefiles by pyshp (extra ``geo``)."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.datasets.recognise import recognise
from hsi.errors import FileFormatError

_WGS84 = "OGC:CRS84"  # longitude, latitude: what GeoJSON is by its standard (RFC 7946, section 4)


@dataclass(frozen=True)
class Features:
    """What a file holds: geometries as in GeoJSON, one table of attributes each, and a coordinate system.

    The system is text that GDAL understands, ``OGC:CRS84`` for a GeoJSON file that names none. Features
    without a geometry are left out.
    """

    geometries: list[Mapping[str, Any]]
    attributes: list[Mapping[str, Any]]
    crs: str


def read_features(path: Path) -> Features:
    """Read a GeoJSON file, or a shapefile by its ``.shp``.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        When the file is missing or damaged, a part of a shapefile is, or pyshp is not installed.
    """
    return _read_geojson(path) if recognise(path) == "geojson" else _read_shapefile(path)


def _read_geojson(path: Path) -> Features:
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
        found = table["features"] if table["type"] == "FeatureCollection" else [table]
        found = [one for one in found if one.get("geometry")]
        crs = table.get("crs") or {"properties": {"name": _WGS84}}
        return Features(
            [one["geometry"] for one in found],
            [one.get("properties") or {} for one in found],
            str(crs["properties"]["name"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{path} is not a GeoJSON file that can be read ({error}); write it again."
        ) from None


def _read_shapefile(path: Path) -> Features:
    try:
        import shapefile
    except ImportError:
        raise FileFormatError(
            f"To read {path}, pyshp is needed; install it with: pip install 'hsi[geo]'"
        ) from None
    projection = path.with_suffix(".prj")
    for needed in (path.with_suffix(".dbf"), projection):
        if not needed.is_file():
            raise FileFormatError(f"{path} lacks {needed.name} beside it; copy all parts of the shapefile.")
    encoding = path.with_suffix(".cpg")
    try:
        named = encoding.read_text(encoding="ascii").strip() if encoding.is_file() else "utf-8"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage: what is damaged beyond reading raises
            with shapefile.Reader(str(path), encoding=named, encodingErrors="replace") as reader:
                found = [one for one in reader.iterShapeRecords() if one.shape.shapeType != shapefile.NULL]
                return Features(
                    [one.shape.__geo_interface__ for one in found],
                    [one.record.as_dict() for one in found],
                    projection.read_text(encoding="utf-8", errors="replace"),
                )
    except (shapefile.ShapefileException, struct.error, OSError, ValueError, LookupError) as error:
        raise FileFormatError(
            f"{path} is truncated or damaged ({error}); copy all its parts again."
        ) from None
