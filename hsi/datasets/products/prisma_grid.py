"""Where the map grid of a PRISMA L2D product lies.

The product gives the coordinates of its corners. Whether these are the centres of the corner pixels or their
outer corners is said nowhere, and readers disagree; the latitudes and longitudes of the pixels decide, where
they can.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import make_georeference
from hsi.datasets.formats.hdf5_files import check_dataset, get_node
from hsi.datasets.formats.rasters import load_rasterio
from hsi.datasets.products.hdf5_metadata import epsg_code, number, text
from hsi.errors import FileFormatError

_SPACING = 30.0  # metres
_FIT = 0.25  # pixels, by which latitudes and longitudes may miss a grid that they confirm
_SAMPLES = 9  # of rows and of columns
_CENTRES = "the centres of the corner pixels"
_OUTER = "the outer corners of the image"
_CORNERS = (
    ("Product_ULcorner_easting", "Product_LLcorner_easting"),
    ("Product_ULcorner_northing", "Product_URcorner_northing"),
    ("Product_LRcorner_easting", "Product_URcorner_easting"),
    ("Product_LRcorner_northing", "Product_LLcorner_northing"),
)


def place_grid(file: Any, swath: str, shape: tuple[int, int]) -> tuple[dict[str, Any] | None, str]:
    """Return the georeference of an L2D product, None where it has none, and a note on how it was found.

    Parameters
    ----------
    file
        The opened product.
    swath
        The group of its hyperspectral cube.
    shape
        Rows and columns of the image.
    """
    found = [_first_number(file, names) for names in _CORNERS]
    corners = [corner for corner in found if corner is not None]
    if len(corners) < len(found):
        return None, "The product does not say where its corners lie; the scene has no georeference."
    if min(shape) < 2:
        return None, "The product has a single row or column of pixels; the scene has no georeference."
    left, top, right, bottom = corners
    rows, cols = shape
    between = (right - left) / (cols - 1), (bottom - top) / (rows - 1)
    across = (right - left) / cols, (bottom - top) / rows
    transforms = {
        _CENTRES: [between[0], 0.0, left - between[0] / 2, 0.0, between[1], top - between[1] / 2],
        "the upper left corners of the corner pixels": [between[0], 0.0, left, 0.0, between[1], top],
        _OUTER: [across[0], 0.0, left, 0.0, across[1], top],
    }
    if any(make_georeference("", transform) is None for transform in transforms.values()):
        return None, "The corners of the product give pixels no place; the scene has no georeference."
    positions = _Positions(file, swath, shape)
    crs = epsg_code(number(file, "Epsg_Code")) or _utm_zone(file, positions)
    misses = {} if not crs else positions.misses(crs, transforms)
    ranked = sorted(misses, key=lambda name: misses[name])
    if ranked and misses[ranked[0]] < _FIT and misses[ranked[1]] > misses[ranked[0]] + _FIT / 2:
        how, why = ranked[0], "since its latitudes and longitudes agree with that"
    elif _is_nominal(across) and not _is_nominal(between):
        how, why = _OUTER, f"since this makes pixels of {_SPACING:g} m"
    else:
        how, why = _CENTRES, "which is not certain: the scene may lie half a pixel (15 m) off"
    note = f"The corner coordinates of the product are taken as {how}, {why}."
    if not crs:
        note += " Its coordinate system is not said, and left open."
    return make_georeference(crs, transforms[how]), note


def _first_number(file: Any, names: tuple[str, ...]) -> float | None:
    return next((value for name in names if (value := number(file, name)) is not None), None)


def _is_nominal(steps: tuple[float, float]) -> bool:
    return all(abs(abs(step) - _SPACING) < 0.01 for step in steps)


def _utm_zone(file: Any, positions: _Positions) -> str:
    """Return the code of the UTM zone that the product names, "" for none."""
    zone = number(file, "Projection_Id")
    latitude = number(file, "Product_center_lat")
    if latitude is None and len(positions.lat):
        latitude = float(np.median(positions.lat))
    named = "UTM" in text(file, "Projection_Name").upper() and zone is not None and 1 <= zone <= 60
    if not named or zone is None or latitude is None:
        return ""
    return f"EPSG:{(32700 if latitude < 0 else 32600) + int(zone)}"


class _Positions:
    """Latitudes and longitudes of some pixels, `lat` and `lon`, and their rows and columns.

    Pixels without a position are left out; there are none where the arrays are missing or have another shape.
    """

    def __init__(self, file: Any, swath: str, shape: tuple[int, int]) -> None:
        self.lat, self.lon = np.empty(0), np.empty(0)
        self.row, self.col = np.empty(0, np.int64), np.empty(0, np.int64)
        nodes = [get_node(file, f"{swath}/Geolocation Fields/{name}") for name in ("Latitude", "Longitude")]
        if any(getattr(node, "shape", None) != shape or node.dtype.kind != "f" for node in nodes):
            return
        try:
            for node in nodes:
                check_dataset(Path(file.filename), node)
        except FileFormatError:
            return
        rows, cols = (np.unique(np.linspace(0, size - 1, _SAMPLES).round().astype(int)) for size in shape)
        lat, lon = (_sample(node, rows, cols) for node in nodes)
        known = (np.abs(lat) <= 90) & (np.abs(lon) <= 180) & ((lat != 0) | (lon != 0))
        row, col = np.meshgrid(rows, cols, indexing="ij")
        self.lat, self.lon, self.row, self.col = lat[known], lon[known], row[known], col[known]

    def misses(self, crs: str, transforms: dict[str, list[float]]) -> dict[str, float]:
        """Return how many pixels each grid is off (root mean square); nothing where that cannot be known."""
        if not len(self.lat):
            return {}
        try:
            rasterio = load_rasterio(Path())
            x, y = (
                np.array(each) for each in rasterio.warp.transform("EPSG:4326", crs, self.lon, self.lat)[:2]
            )
        except Exception:  # not installed, or a code that it does not know
            return {}
        misses = {}
        for name, (a, _, c, _, e, f) in transforms.items():
            off = np.stack([(x - c) / a - self.col, (y - f) / e - self.row]) - 0.5
            misses[name] = float(np.sqrt((off**2).sum(axis=0).mean()))
        return misses


def _sample(node: Any, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.stack([node[row][cols] for row in rows.tolist()]).astype(np.float64)
    return values
