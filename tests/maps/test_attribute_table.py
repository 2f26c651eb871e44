"""Attribute tables, as GDAL reads them and as the reader of label images does."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from hsi.datasets.formats.raster_facts import read_aux_classes
from hsi.maps.attribute_table import PixelCounts, attribute_table, attribute_table_path
from hsi.maps.geotiff import write_geotiff
from hsi.maps.map_product import MapProduct, rejected_color

PLACE = {"crs": "EPSG:32616", "transform": (20.0, 0.0, 500000.0, 0.0, -20.0, 4480000.0)}
NAMES, COLORS = ("Grass & <herbs>", "Soil", "Water"), ("#2fb344", "#e6332a", "#2f55e0")


def layer(place=PLACE, rejects=False, names=NAMES):
    return MapProduct("map", 40, 70, names, COLORS, place, rejects)


def counts_of(product, labels):
    counts = PixelCounts(product)
    for rows in (slice(0, 32), slice(32, 40)):
        counts.add(labels[rows])
    return counts


def labels_of(product):
    values = np.random.default_rng(0).integers(0, 4, (40, 70)).astype(product.dtype)
    values[0, :5] = product.no_data
    return values


@pytest.mark.parametrize("rejects", [False, True])
def test_counts(rejects):
    product = layer(rejects=rejects)
    labels = labels_of(product)
    counts = counts_of(product, labels)
    assert counts.classes == tuple(int((labels == number).sum()) for number in (1, 2, 3))
    assert counts.missing == (labels == (255 if rejects else 0)).sum()
    assert counts.rejected == ((labels == 0).sum() if rejects else 0)
    assert counts.pixels.sum() == 40 * 70


def table_by_gdal(write, tmp_path, product):
    """Write a map and its table; return what GDAL, which copies both into other files, makes of them."""
    from rasterio.shutil import copy

    values = write(write_geotiff, tmp_path / "a.tif", "map", product.georeference, rejects=product.rejects)
    text = attribute_table(product, counts_of(product, values))
    attribute_table_path(tmp_path / "a.tif").write_text(text, encoding="utf-8")
    copy(tmp_path / "a.tif", tmp_path / "b.png", driver="PNG")
    band = ElementTree.parse(tmp_path / "b.png.aux.xml").find("PAMRasterBand")
    table = band.find("GDALRasterAttributeTable")
    fields = [one.findtext("Name") for one in table.findall("FieldDefn")]
    rows = [dict(zip(fields, (one.text for one in row), strict=True)) for row in table.findall("Row")]
    usages = {one.findtext("Name"): int(one.findtext("Usage")) for one in table.findall("FieldDefn")}
    categories = [one.text for one in band.find("CategoryNames")]
    return values, rows, usages, categories


def test_gdal_reads_names_counts_colours_and_areas(write, tmp_path, rasterio):
    values, rows, usages, categories = table_by_gdal(write, tmp_path, layer())
    assert categories == ["no data", *NAMES]
    assert [row["Class"] for row in rows] == ["no data", *NAMES]
    assert [int(row["Value"]) for row in rows] == [0, 1, 2, 3]
    for row in rows:
        pixels = int((values == int(row["Value"])).sum())
        assert int(row["Count"]) == pixels
        assert float(row["Area_m2"]) == pytest.approx(400 * pixels)
        assert float(row["Area_ha"]) == pytest.approx(0.04 * pixels)
    colors = [
        "#{:02x}{:02x}{:02x}".format(*(int(row[name]) for name in ("Red", "Green", "Blue"))) for row in rows
    ]
    assert colors == ["#000000", *COLORS]
    # GFU_MinMax, GFU_Name, GFU_PixelCount, GFU_Red, GFU_Green, GFU_Blue of gdal.h
    assert [usages[name] for name in ("Value", "Class", "Count", "Red", "Green", "Blue")] == [
        5,
        2,
        1,
        6,
        7,
        8,
    ]


def test_rejected_pixels_have_a_row_of_their_own(write, tmp_path, rasterio):
    values, rows, _, categories = table_by_gdal(write, tmp_path, layer(rejects=True))
    assert categories == ["not recognised", *NAMES]
    assert [(int(row["Value"]), row["Class"]) for row in rows] == [
        (0, "not recognised"), *enumerate(NAMES, start=1), (255, "no data"),
    ]  # fmt: skip
    assert [int(row["Count"]) for row in rows] == [(values == value).sum() for value in (0, 1, 2, 3, 255)]
    assert int(rows[0]["Red"]) == int(rejected_color(COLORS)[1:3], 16)


def test_without_a_scale_there_are_no_areas(write, tmp_path, rasterio):
    for place in (None, {**PLACE, "crs": ""}):
        _, rows, _, _ = table_by_gdal(write, tmp_path, layer(place))
        assert list(rows[0]) == ["Value", "Class", "Count", "Red", "Green", "Blue"]


def test_degrees_become_square_metres(rasterio):
    place = {"crs": "EPSG:4326", "transform": (0.001, 0, 10.0, 0, -0.001, 50.02)}
    product = layer(place)
    counts = counts_of(product, np.ones((40, 70), np.uint8))
    sphere = (6371007.2 * math.radians(0.001)) ** 2 * math.cos(math.radians(50)) * 2800
    assert counts.area_m2.sum() == pytest.approx(sphere, rel=0.01)


def test_a_map_can_be_read_as_labels(write, tmp_path, rasterio):
    table_by_gdal(write, tmp_path, layer())
    found = read_aux_classes(tmp_path / "a.tif")
    assert {code: name for code, name in found.names.items() if code} == dict(enumerate(NAMES, start=1))
    assert {code: color for code, color in found.colors.items() if code} == dict(enumerate(COLORS, start=1))


def test_names_that_xml_cannot_hold(tmp_path):
    product = layer(names=("a\x00b\x1bc", "\ud800", "\ufffe\U0001f33f"))
    text = attribute_table(product, counts_of(product, labels_of(product)))
    root = ElementTree.fromstring(text)
    assert [one.text for one in root.iter("Category")] == ["no data", "abc", None, "\U0001f33f"]
