"""Sizes of pixels in metres, against rulers of PROJ: distances in an equidistant projection."""

import math
import sys

import numpy as np
import pytest

from hsi.maps.pixel_size import pixel_size


@pytest.fixture(autouse=True)
def rasterio():
    return pytest.importorskip("rasterio", reason="the extra geo is not installed")


def measured(crs, transform, rows, cols):
    """The same by an azimuthal equidistant projection round the middle, true to length from there."""
    from rasterio import CRS
    from rasterio.warp import transform as reproject

    a, b, c, d, e, f = transform
    points = [(cols / 2, rows / 2), (cols / 2 + 1, rows / 2), (cols / 2, rows / 2 + 1)]
    x, y = zip(*((a * col + b * row + c, d * col + e * row + f) for col, row in points), strict=True)
    lon, lat = reproject(CRS.from_user_input(crs), CRS.from_epsg(4326), x, y)
    east, north = reproject(
        CRS.from_epsg(4326),
        CRS.from_proj4(f"+proj=aeqd +lat_0={lat[0]} +lon_0={lon[0]} +datum=WGS84"),
        lon,
        lat,
    )
    return tuple(math.hypot(east[n] - east[0], north[n] - north[0]) for n in (1, 2))


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32616", (20, 0, 500000, 0, -20, 4480000)),
        ("EPSG:32632", (3.2, 1.1, 600000, 1.1, -3.2, 5300000)),
        ("EPSG:2263", (10, 0, 980000, 0, -10, 200000)),  # feet
        ("EPSG:4326", (0.00054, 0, -76.3, 0, -0.00054, 61.2)),
        ("EPSG:4326", (0.0004, 0.0002, 10, 0.0002, -0.0004, -35)),
        ("EPSG:4326", (0.001, 0, 179.99, 0, -0.001, 5)),  # across the date line
        ("EPSG:3857", (30, 0, 1100000, 0, -30, 8400000)),  # 60 degrees north
    ],
)
def test_metres(crs, transform):
    found = pixel_size({"crs": crs, "transform": transform}, 30, 50)
    np.testing.assert_allclose(found, measured(crs, transform, 30, 50), rtol=1e-3)


@pytest.mark.parametrize(
    "georeference",
    [
        None,
        {},
        {"crs": "", "transform": (1, 0, 0, 0, -1, 0)},
        {"crs": "EPSG:32616", "transform": None},
        {"crs": "over there", "transform": (1, 0, 0, 0, -1, 0)},
        {"crs": "EPSG:4326", "transform": (1e6, 0, 1e7, 0, -1e6, 1e7)},
        {"crs": 'LOCAL_CS["by eye",UNIT["metre",1]]', "transform": (1, 0, 0, 0, -1, 0)},
    ],
)
def test_not_known(georeference):
    assert pixel_size(georeference, 30, 50) is None


def test_without_rasterio_it_is_not_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert pixel_size({"crs": "EPSG:32616", "transform": (20, 0, 0, 0, -20, 0)}, 3, 5) is None
