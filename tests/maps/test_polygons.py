"""Maps as GeoPackage, read by pyogrio (GDAL), shapely (GEOS) and SQLite."""

import sqlite3
import sys
import warnings
from contextlib import closing
from xml.etree import ElementTree

import numpy as np
import pytest

from hsi.errors import ConfigError, InputError
from hsi.maps.map_product import MapProduct
from hsi.maps.polygons import write_polygons

pyogrio = pytest.importorskip("pyogrio", reason="the extra geo is not installed")
shapely = pytest.importorskip("shapely", reason="the extra geo is not installed")
rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
measure = pytest.importorskip("skimage.measure", reason="scikit-image is not installed")

PLACE = {"crs": "EPSG:32616", "transform": (20.0, 0.0, 500000.0, 0.0, -20.0, 4480000.0)}
NAMES, COLORS = ("Grass & <herbs>", "Soil", "Wasser 東京"), ("#2fb344", "#e6332a", "#2f55e0")


def layer(shape=(40, 70), place=PLACE, **fields):
    return MapProduct("map", *shape, NAMES, COLORS, place, **fields)


def noise(shape=(40, 70), values=4):
    return np.random.default_rng(0).integers(0, values, shape).astype(np.uint8)


def read(path):
    """Polygons and columns of the layer."""
    info, _, geometry, columns = pyogrio.raw.read(path, layer="map")
    return shapely.from_wkb(geometry), dict(zip(info["fields"], columns, strict=True)), info


@pytest.mark.parametrize(
    "transform", [PLACE["transform"], (3.0, 1.5, 500000.0, 2.0, -4.0, 4480000.0), (5, 0, 0, 0, 5, 0)]
)
def test_polygons_are_the_regions(tmp_path, transform):
    labels = noise()
    place = {**PLACE, "transform": transform}
    made = write_polygons(tmp_path / "a.gpkg", layer(place=place), labels)
    polygons, columns, info = read(tmp_path / "a.gpkg")
    assert len(polygons) == made == measure.label(labels, connectivity=1, background=0).max()
    assert shapely.is_valid(polygons).all()
    assert (shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON).all()
    assert rasterio.CRS.from_user_input(info["crs"]) == rasterio.CRS.from_epsg(32616)
    # Burnt back by GDAL, pixel by pixel, they are the map; holes, too.
    burnt = rasterio.features.rasterize(
        zip(polygons, columns["class"].tolist(), strict=True),
        labels.shape,
        transform=rasterio.Affine(*transform),
    )
    np.testing.assert_array_equal(burnt, labels)
    a, b, _, d, e, _ = transform
    assert shapely.area(polygons) == pytest.approx(columns["area_m2"], rel=1e-9)
    assert shapely.area(polygons).sum() == pytest.approx((labels > 0).sum() * abs(a * e - b * d), rel=1e-12)


def test_names_and_sizes(tmp_path):
    labels = noise()
    write_polygons(tmp_path / "a.gpkg", layer(), labels)
    _, columns, _ = read(tmp_path / "a.gpkg")
    assert list(columns) == ["class", "name", "pixels", "area_m2", "area_ha"]
    np.testing.assert_array_equal(columns["name"], np.array(["", *NAMES], object)[columns["class"]])
    for number in (1, 2, 3):
        assert columns["pixels"][columns["class"] == number].sum() == (labels == number).sum()
    np.testing.assert_allclose(columns["area_m2"], 400 * columns["pixels"])
    np.testing.assert_allclose(columns["area_ha"], 0.04 * columns["pixels"])


@pytest.mark.parametrize(("place", "unit"), [(PLACE, 400), (None, 1), ({**PLACE, "crs": ""}, 1)])
def test_small_regions_are_merged_by_area(tmp_path, place, unit):
    labels = noise(values=3) + np.uint8(1)
    labels[:5, :9] = 0
    write_polygons(tmp_path / "a.gpkg", layer(place=place), labels, min_area=9 * unit)
    _, columns, _ = read(tmp_path / "a.gpkg")
    assert columns["pixels"].min() >= 9
    assert columns["pixels"].sum() == (labels > 0).sum()
    assert ("area_m2" in columns) == (unit > 1)
    assert measure.label(labels, connectivity=1, background=0).max() > len(columns["pixels"])


def test_holes(tmp_path):
    labels = np.ones((7, 7), np.uint8)
    labels[2:5, 2:5] = 2
    labels[3, 3] = 3
    labels[0, 0] = 0
    write_polygons(tmp_path / "a.gpkg", layer((7, 7), None), labels)
    polygons, columns, _ = read(tmp_path / "a.gpkg")
    found = dict(zip(columns["class"].tolist(), polygons, strict=True))
    assert found[1].equals(shapely.box(0, -7, 7, 0) - shapely.box(2, -5, 5, -2) - shapely.box(0, -1, 1, 0))
    assert found[2].equals(shapely.box(2, -5, 5, -2) - shapely.box(3, -4, 4, -3))
    assert found[3].equals(shapely.box(3, -4, 4, -3))


def test_rejected_pixels_are_polygons_and_those_without_data_are_none(tmp_path):
    labels = noise()
    labels[10:12] = 255
    write_polygons(tmp_path / "a.gpkg", layer(rejects=True), labels)
    _, columns, _ = read(tmp_path / "a.gpkg")
    assert columns["pixels"][columns["class"] == 0].sum() == (labels == 0).sum()
    assert set(columns["name"][columns["class"] == 0]) == {"not recognised"}
    assert columns["pixels"].sum() == (labels != 255).sum()


def test_qgis_finds_its_style(tmp_path):
    write_polygons(tmp_path / "a.gpkg", layer(rejects=True), noise())
    with closing(sqlite3.connect(tmp_path / "a.gpkg")) as file:
        query = (
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML, update_time FROM layer_styles"
        )
        ((table, geometry, default, style, _),) = file.execute(query).fetchall()
        columns = [
            row[:2] for row in file.execute("SELECT table_name, column_name FROM gpkg_geometry_columns")
        ]
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
    assert columns == [(table, geometry)]
    assert default == 1
    renderer = ElementTree.fromstring(style).find("renderer-v2")
    _, fields, _ = read(tmp_path / "a.gpkg")
    assert renderer.get("attr") in fields
    labels = {int(one.get("value")): one.get("label") for one in renderer.iter("category")}
    assert labels == {0: "not recognised", **dict(enumerate(NAMES, start=1))}


def test_what_the_map_was_made_with(tmp_path):
    said = {"model": "svm", "smoothing": "mean, 5 x 5"}
    write_polygons(tmp_path / "a.gpkg", layer(metadata=said), noise())
    assert pyogrio.read_info(tmp_path / "a.gpkg", layer="map")["dataset_metadata"] == said


def test_many_polygons_are_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("hsi.maps.polygons._BATCH", 100)
    labels = noise()
    made = write_polygons(tmp_path / "a.gpkg", layer(), labels)
    _, columns, _ = read(tmp_path / "a.gpkg")
    assert len(columns["pixels"]) == made > 500
    assert columns["pixels"].sum() == (labels > 0).sum()


def test_a_map_without_data_is_an_empty_layer(tmp_path):
    assert write_polygons(tmp_path / "a.gpkg", layer(), np.zeros((40, 70), np.uint8)) == 0
    assert pyogrio.read_info(tmp_path / "a.gpkg", layer="map")["features"] == 0


def test_an_older_file_is_replaced_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            write_polygons(tmp_path / ".a.gpkg.7.tmp", layer(place=None), noise())
    assert [path.name for path in tmp_path.iterdir()] == [".a.gpkg.7.tmp"]


def test_bad_input(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"\(3, 4\).*\(40, 70\)"):
        write_polygons(tmp_path / "a.gpkg", layer(), noise((3, 4)))
    for area in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="from 0 on"):
            write_polygons(tmp_path / "a.gpkg", layer(), noise(), min_area=area)
    with pytest.raises(ConfigError, match="coordinate system cannot be understood"):
        write_polygons(tmp_path / "a.gpkg", layer(place={**PLACE, "crs": "over there"}), noise())
    with pytest.raises(OSError, match="missing"):
        write_polygons(tmp_path / "missing" / "a.gpkg", layer(), noise())
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    with pytest.raises(ConfigError, match=r"pip install 'hsi-toolkit\[geo\]'"):
        write_polygons(tmp_path / "a.gpkg", layer(), noise())
    assert not list(tmp_path.iterdir())
