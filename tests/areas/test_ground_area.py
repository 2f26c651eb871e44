"""The area of a pixel, against planes, spheres and the known area of the Earth."""

import math

import numpy as np
import pytest

from hsi.areas import pixel_area
from hsi.areas.ground_area import pixel_in_unit
from hsi.errors import ConfigError, InputError

UTM = {"crs": "EPSG:32632", "transform": [30.0, 0.0, 500_000.0, 0.0, -30.0, 5_300_000.0]}


def quadrangle(south, north, degrees):
    """Area of an ellipsoidal quadrangle (WGS 84) by a sum over thin belts: M(phi) N(phi) cos(phi)."""
    a, f = 6_378_137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    edges = np.radians(np.linspace(south, north, 20_001))
    phi = (edges[1:] + edges[:-1]) / 2
    w = 1 - e2 * np.sin(phi) ** 2
    meridian, across = a * (1 - e2) / w**1.5, a / np.sqrt(w)
    return float((meridian * across * np.cos(phi) * np.diff(edges)).sum() * math.radians(degrees))


def test_a_projected_scene_has_the_area_of_its_transform():
    pytest.importorskip("rasterio")
    assert pixel_area(UTM, (100, 200)) == pixel_area(None, (1, 1), pixel_size=30)
    turned = [20.0, 15.0, 500_000.0, 15.0, -20.0, 5_300_000.0]
    assert pixel_area({**UTM, "transform": turned}, (50, 50)).square_metres == pytest.approx(625)


def test_feet_are_not_metres():
    pytest.importorskip("rasterio")
    feet = {"crs": "EPSG:2263", "transform": [100.0, 0.0, 1_000_000.0, 0.0, -100.0, 200_000.0]}
    assert pixel_area(feet, (10, 10)).square_metres == pytest.approx((100 * 1200 / 3937) ** 2)


@pytest.mark.parametrize("top", [80.0, 47.3, 0.05, -33.0])
def test_degrees_are_measured_on_the_ellipsoid(top):
    pytest.importorskip("rasterio")
    step, rows, cols = 0.001, 100, 150
    scene = {"crs": "EPSG:4326", "transform": [step, 0.0, 179.95, 0.0, -step, top]}
    found = pixel_area(scene, (rows, cols))
    wanted = quadrangle(top - rows * step, top, cols * step) / (rows * cols)
    assert found.square_metres == pytest.approx(wanted, rel=1e-6)
    assert "in degrees" in found.notes[0]


def test_the_whole_earth():
    pytest.importorskip("rasterio")
    scene = {"crs": "EPSG:4326", "transform": [1.0, 0.0, -180.0, 0.0, -1.0, 90.0]}
    whole = pixel_area(scene, (180, 360)).square_metres * 180 * 360
    assert whole == pytest.approx(510_065_621.724e6, rel=1e-6)  # WGS 84, km2, as published


def test_web_mercator_is_not_believed():
    pytest.importorskip("rasterio")
    scene = {"crs": "EPSG:3857", "transform": [10.0, 0.0, 1_000_000.0, 0.0, -10.0, 6_500_000.0]}
    found = pixel_area(scene, (100, 100))
    latitude = 2 * math.atan(math.exp(6_499_500 / 6_378_137)) - math.pi / 2
    assert found.square_metres == pytest.approx(100 * math.cos(latitude) ** 2, rel=0.01)
    assert "too large" in found.notes[0]


@pytest.mark.parametrize(
    ("georeference", "words"),
    [
        (None, "no georeference"),
        ({**UTM, "crs": ""}, "does not name its coordinate system"),
        ({**UTM, "crs": "EPSG:1"}, "cannot be used"),
        ({**UTM, "crs": "EPSG:4326"}, "not clear"),
    ],
)
def test_without_a_place_areas_are_pixels(georeference, words):
    pytest.importorskip("rasterio")
    found = pixel_area(georeference, (100, 100))
    assert found.square_metres is None
    assert words in found.notes[0]
    assert "--pixel-size" in found.notes[0]
    assert pixel_in_unit(None) == ("pixels", 1.0)
    assert pixel_area(georeference, (100, 100), pixel_size=2.5).square_metres == 6.25


def test_sizes_and_units_that_make_no_sense_are_refused():
    for size in (0, -1, math.nan, math.inf):
        with pytest.raises(ConfigError, match="above 0"):
            pixel_area(None, (1, 1), pixel_size=size)
    with pytest.raises(InputError, match="Unknown unit"):
        pixel_in_unit(900, "mi2")
