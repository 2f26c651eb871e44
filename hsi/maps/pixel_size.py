"""Width and height of a pixel on the ground, in metres; for its area see `hsi.areas.ground_area`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_MAJOR, _SQUARED = 6_378_137.0, 0.00669437999  # WGS 84: semi-major axis in metres, squared eccentricity
_MERCATOR = ("merc", "webmerc")  # its metres are true at the equator alone


def pixel_size(georeference: Mapping[str, Any] | None, rows: int, cols: int) -> tuple[float, float] | None:
    """Return width and height in metres of the pixel in the middle of a scene; None where not known.

    Those are the lengths of a step to the next column and to the next row. The metres of a projection are
    taken as they are, but Mercator's, which are turned into degrees first; degrees are measured on the
    ellipsoid, M dlat to the north and N cos(lat) dlon to the east, with its radii of curvature (Snyder 1987,
    Map projections: a working manual, equations 4-18 and 4-20). Not known: without a georeference, a
    coordinate system, or rasterio, or where the system has no unit.
    """
    if not georeference or not georeference.get("crs") or georeference.get("transform") is None:
        return None
    try:
        import rasterio
        from rasterio.errors import RasterioError
        from rasterio.warp import transform as reproject
    except ImportError:
        return None
    a, b, c, d, e, f = (float(value) for value in tuple(georeference["transform"])[:6])
    x, y = a * cols / 2 + b * rows / 2 + c, d * cols / 2 + e * rows / 2 + f
    places = np.array([[x, x + a, x + b], [y, y + d, y + e]])  # the middle, a column and a row further
    try:
        with rasterio.Env():  # silences GDAL's own messages
            crs = rasterio.CRS.from_user_input(georeference["crs"])
            if crs.is_projected and crs.to_dict().get("proj") not in _MERCATOR:
                metres = float(crs.linear_units_factor[1])
                return (metres * math.hypot(a, d), metres * math.hypot(b, e)) if metres > 0 else None
            if not crs.is_projected and not crs.is_geographic:
                return None
            lon, lat = np.radians(reproject(crs, "EPSG:4326", *places))
    except (RasterioError, ValueError, AttributeError):
        return None
    if not (np.abs(lat) <= math.pi / 2).all():  # also where it is not finite
        return None
    root = math.sqrt(1 - _SQUARED * math.sin(lat[0]) ** 2)
    north = _MAJOR * (1 - _SQUARED) / root**3 * (lat[1:] - lat[0])
    east = _MAJOR / root * math.cos(lat[0]) * (np.mod(lon[1:] - lon[0] + math.pi, 2 * math.pi) - math.pi)
    width, height = np.hypot(east, north)
    return (float(width), float(height)) if 0 < width < math.inf and 0 < height < math.inf else None
