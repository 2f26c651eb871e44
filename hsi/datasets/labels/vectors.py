"""Reading points and polygons with their attributes: GeoJSON, and shapefiles by pyshp (extra ``geo``).

A shapefile states numbers of points, parts and rows, and pyshp allocates memory for as many. They are checked
against the file's length first (layout: "ESRI Shapefile Technical Description", 1998, and dBASE III).
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.datasets.formats.recognise import recognise
from hsi.errors import FileFormatError, install_command
from hsi.io.size_limits import check_length
from hsi.io.text import read_json

_HEADER = 100  # bytes of a .shp
_WITH_PARTS = (3, 5, 13, 15, 23, 25, 31)  # lines, polygons, patches
_MANY_POINTS = (8, 18, 28)


def _check_shapes(path: Path) -> None:
    """Raise ValueError or struct.error where a shape is longer than the file, or than its record."""
    content = memoryview(path.read_bytes())
    at = _HEADER
    while at < len(content):
        _, words = struct.unpack_from(">ii", content, at)
        at += 8
        end = at + 2 * words
        if words < 2 or end > len(content):
            raise ValueError("the length of a shape does not fit the file")
        kind = struct.unpack_from("<i", content, at)[0]
        parts = points = 0
        if kind in _WITH_PARTS:
            parts, points = struct.unpack_from("<ii", content, at + 36)
        elif kind in _MANY_POINTS:
            points = struct.unpack_from("<i", content, at + 36)[0]
        if parts < 0 or points < 0 or 4 * parts + 16 * points > 2 * words:
            raise ValueError("a shape has fewer points than it says")
        at = end


def _check_rows(path: Path) -> None:
    """Raise ValueError or struct.error where a ``.dbf`` is too short for its number of rows."""
    with path.open("rb") as file:
        rows, header, length = struct.unpack("<4xIHH", file.read(12))
    if header < 33 or length < 1 or header + rows * length > path.stat().st_size + 1:
        raise ValueError("the table of attributes is shorter than it says")


_MOST_BYTES = 1 << 30  # of a GeoJSON file or a part of a shapefile, which is read whole
_WGS84 = "OGC:CRS84"  # longitude, latitude; the default of GeoJSON (RFC 7946, section 4)


@dataclass(frozen=True)
class Features:
    """GeoJSON geometries, the attributes of each, and the coordinate system as text for GDAL.

    Features without a geometry are left out.
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
            f"To read {path}, pyshp is needed; install it with: {install_command('geo')}"
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
        _check_shapes(path)
        _check_rows(path.with_suffix(".dbf"))
        named = encoding.read_text(encoding="ascii").strip() if encoding.is_file() else "utf-8"
        with contextlib.ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that does not prevent reading
            # The index (.shx) is not needed.
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
