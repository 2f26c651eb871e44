"""Reading points and polygons with their attributes: GeoJSON, and shapefiles by pyshp (extra ``geo``)."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.datasets.json_files import read_json
from hsi.datasets.recognise import recognise
from hsi.datasets.shapefile_checks import check_rows, check_shapes
from hsi.datasets.size_limits import check_length
from hsi.errors import FileFormatError

_MOST_BYTES = 1 << 30  # of one part of a file of shapes; it is read whole
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
        table = read_json(path, most=_MOST_BYTES)
        found = table["features"] if table["type"] == "FeatureCollection" else [table]
        found = [one for one in found if one.get("geometry")]
        crs = table.get("crs") or {"properties": {"name": _WGS84}}
        features = Features(
            [one["geometry"] for one in found],
            [one.get("properties") or {} for one in found],
            str(crs["properties"]["name"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{path} is not a GeoJSON file that can be read ({error}); write it again."
        ) from None
    for kind, ones in (("geometry", features.geometries), ("properties", features.attributes)):
        if not all(isinstance(one, Mapping) for one in ones):
            raise FileFormatError(f"{path} has a feature whose {kind} is no object; write it again.")
    return features


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
        for part in (path, path.with_suffix(".dbf"), projection, encoding):
            if part.is_file():
                check_length(part, _MOST_BYTES)
        check_shapes(path)
        check_rows(path.with_suffix(".dbf"))
        named = encoding.read_text(encoding="ascii").strip() if encoding.is_file() else "utf-8"
        with contextlib.ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage: what is damaged beyond reading raises
            # Two files are enough: the index (.shx) says nothing that the shapes do not.
            shapes, rows = (
                stack.enter_context(path.with_suffix(end).open("rb")) for end in (path.suffix, ".dbf")
            )
            with shapefile.Reader(shp=shapes, dbf=rows, encoding=named, encodingErrors="replace") as reader:
                found = [one for one in reader.iterShapeRecords() if one.shape.shapeType != shapefile.NULL]
                return Features(
                    [one.shape.__geo_interface__ for one in found],
                    [one.record.as_dict() for one in found],
                    projection.read_text(encoding="utf-8", errors="replace"),
                )
    except FileFormatError:
        raise
    except Exception as error:  # damaged bytes make the reader raise almost any type
        raise FileFormatError(
            f"{path} is truncated or damaged ({error}); copy all its parts again."
        ) from None
