"""Labels as a table of points: CSV or another text with one point a line and coordinates in two columns."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsi.datasets.formats.recognise import coordinate_columns, header_line
from hsi.datasets.labels.vectors import Features, load_shapely
from hsi.errors import FileFormatError
from hsi.io.size_limits import check_length
from hsi.io.text import decode_text

_MOST_BYTES = 256 << 20
_ORDER = ("wkt", "lon/lat", "x/y", "col/row", "sample/line")
_LONGEST_FIELD = 1 << 24  # characters; a polygon as text may be long
_NUMBER = r"[+-]?\d*{mark}?\d+{mark}?(?:[eE][+-]?\d+)?"


def read_points(path: Path, size: tuple[int, int], cube_crs: str | None) -> Features:
    """Read a table of points, or of shapes as well-known text (WKT).

    The first line names the columns. Coordinates are longitude and latitude (WGS 84), x and y (easting and
    northing; in the coordinate system of the cube), column and row (counted from 0), or sample and line
    (counted from 1); where they cannot be counted so, from the other number, which a note says. Commas,
    semicolons, tabs and bars are taken as delimiters, and a comma as decimal mark where it is no delimiter.
    The text is UTF-8, else Windows-1252.

    Parameters
    ----------
    size
        (rows, cols) of the cube.
    cube_crs
        Coordinate system of the cube, "" if not known, None for a cube without georeference: pixel
        coordinates are then preferred.

    Raises
    ------
    FileFormatError
        When no row has coordinates.
    """
    shapely = load_shapely(path)
    check_length(path, _MOST_BYTES)
    text = decode_text(path.read_bytes())
    lines = text.lstrip("\r\n").splitlines()
    title = header_line(lines or [""])
    header = coordinate_columns(title)
    if header is None:
        raise FileFormatError(
            f"{path} has no two columns with coordinates, such as x and y, and one for the class."
        )
    mark, kinds = header
    rows = _rows(path, lines[lines.index(title) :], mark)
    names, rows = [name.strip() for name in rows[0]], rows[1:]
    order = _ORDER if cube_crs is not None else (*_ORDER[3:], *_ORDER[:3])
    kind = next(one for one in order if one in kinds)
    first, second = kinds[kind]
    notes: list[str] = []
    if kind == "wkt":
        shapes = shapely.from_wkt([_cell(row, first) or None for row in rows], on_invalid="ignore")
        shapes = np.asarray(shapes, dtype=object)
        there = np.array([shape is not None and not shape.is_empty for shape in shapes], bool)
        shapes = shapely.force_2d(shapes[there])
    else:
        decimal = "," if mark != "," and _has_decimal_comma(rows, (first, second)) else "."
        xy = np.array([[_number(_cell(row, at), decimal) for at in (first, second)] for row in rows])
        there = np.isfinite(xy.reshape(-1, 2)).all(axis=1)
        xy = xy.reshape(-1, 2)[there]
        if kind in ("col/row", "sample/line"):
            start, why = _first_number(kind, xy, size)
            notes.append(f"{path.name}: pixels are counted from {start}{why}.")
            xy = xy - start + 0.5
        shapes = np.asarray(shapely.points(xy), dtype=object).reshape(-1)
    if not there.any():
        raise FileFormatError(
            f"{path} has no row with coordinates in '{names[first]}' and '{names[second]}'."
        )
    if not there.all():
        notes.append(
            f"{(~there).sum()} of {len(there)} rows in {path.name} have no coordinates; they are left out."
        )
    columns = _columns(names, [row for row, one in zip(rows, there, strict=True) if one], {first, second})
    crs, note = _crs(path, kind, shapely.bounds(shapes), cube_crs)
    return Features(
        shapes,
        columns,
        crs,
        default_crs=True,
        in_pixels=kind in ("col/row", "sample/line"),
        notes=(*notes, *note),
    )


def _rows(path: Path, lines: Sequence[str], mark: str) -> list[list[str]]:
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        return [row for row in csv.reader(lines, delimiter=mark, skipinitialspace=True) if any(row)]
    except csv.Error as error:
        raise FileFormatError(f"{path} cannot be read as a table ({error}); write it again.") from None
    finally:
        csv.field_size_limit(limit)


def _cell(row: Sequence[str], at: int) -> str:
    return row[at].strip() if at < len(row) else ""


def _has_decimal_comma(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> bool:
    cells = [cell for row in rows for at in columns if (cell := _cell(row, at))]
    with_comma = [cell for cell in cells if "," in cell]
    return bool(with_comma) and all(re.fullmatch(_NUMBER.format(mark=","), cell) for cell in cells)


def _number(text: str, decimal: str) -> float:
    """Return a number, NaN for anything else."""
    try:
        return float(text.replace(decimal, "."))
    except ValueError:
        return math.nan


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]], without: set[int]) -> dict[str, list[Any]]:
    return {
        name or f"column {at + 1}": [_cell(row, at) or None for row in rows]
        for at, name in enumerate(names)
        if at not in without
    }


def _first_number(kind: str, xy: Any, size: tuple[int, int]) -> tuple[int, str]:
    """Return the number of the first pixel, and a reason."""
    usual = 1 if kind == "sample/line" else 0
    if usual == 1 and (xy == 0).any():
        return 0, ", as one has the number 0"
    on_edge = (xy == [size[1], size[0]]).any() and (xy <= [size[1], size[0]]).all() and (xy >= 1).all()
    if usual == 0 and on_edge:
        return 1, f", as one has the number {int(xy.max())} of {max(size)} or fewer"
    return usual, f", as columns called {kind.replace('/', ' and ')} usually are"


def _crs(path: Path, kind: str, bounds: Any, cube_crs: str | None) -> tuple[str | None, list[str]]:
    """Return the coordinate system of a table, which never says it, and a note."""
    degrees = bool((np.abs(bounds) <= [180, 90, 180, 90]).all())
    if kind == "lon/lat" or (kind in ("x/y", "wkt") and degrees and _in_metres(cube_crs)):
        return "EPSG:4326", [
            f"The coordinates in {path.name} are taken for longitude and latitude (EPSG:4326)."
        ]
    if kind in ("x/y", "wkt"):
        return None, [
            f"The coordinates in {path.name} are taken for those of the cube; --labels-crs (labels_crs in a "
            "scene.toml) names others."
        ]
    return None, []


def _in_metres(cube_crs: str | None) -> bool:
    """Whether a coordinate system is a projected one."""
    import rasterio

    try:
        with rasterio.Env():
            return bool(cube_crs and rasterio.crs.CRS.from_user_input(cube_crs).is_projected)
    except Exception:  # GDAL and PROJ raise almost any type; the cube's is checked where it is used
        return False
