"""Styles of QGIS, read by ElementTree; names of elements and attributes are those that QGIS 3 writes."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from hsi.maps.map_product import MapProduct, rejected_color
from hsi.maps.qgis_style import polygon_style, raster_style, style_path

NAMES, COLORS = ("Grass & <herbs>", 'Soil "dry"', "Wasser über 東京\x07"), ("#2fb344", "#e6332a", "#2f55e0")


def legend(rejects=False):
    return MapProduct("map", 4, 5, NAMES, COLORS, rejects=rejects).legend


@pytest.mark.parametrize("rejects", [False, True])
def test_a_palette_with_names(rejects):
    text = raster_style(legend(rejects))
    assert text.startswith("<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis ")
    root = ElementTree.fromstring(text)
    assert root.get("version").startswith("3.")
    (renderer,) = root.findall("pipe/rasterrenderer")
    assert {renderer.get("type"), renderer.get("band"), renderer.get("opacity")} == {"paletted", "1"}
    entries = [one.attrib for one in renderer.findall("colorPalette/paletteEntry")]
    wanted = [
        {"value": str(value), "label": name.strip("\x07"), "color": color, "alpha": "255"}
        for value, (name, color) in enumerate(zip(NAMES, COLORS, strict=True), start=1)
    ]
    if rejects:
        wanted.insert(
            0, {"value": "0", "label": "not recognised", "color": rejected_color(COLORS), "alpha": "255"}
        )
    assert entries == wanted


def test_a_category_and_a_fill_for_each_class():
    root = ElementTree.fromstring(polygon_style(legend(True), "class"))
    renderer = root.find("renderer-v2")
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "class")
    categories = renderer.findall("categories/category")
    assert [(one.get("value"), one.get("render")) for one in categories] == [
        (str(n), "true") for n in range(4)
    ]
    assert [one.get("label") for one in categories[:3]] == ["not recognised", *NAMES[:2]]
    symbols = {one.get("name"): one for one in renderer.findall("symbols/symbol")}
    assert {one.get("type") for one in symbols.values()} == {"fill"}
    for category, color in zip(categories[1:], COLORS, strict=True):
        fill = symbols[category.get("symbol")].find("layer")
        assert fill.get("class") == "SimpleFill"
        newer = {one.get("name"): one.get("value") for one in fill.findall("Option/Option")}
        older = {one.get("k"): one.get("v") for one in fill.findall("prop")}
        assert newer == older
        red, green, blue, alpha = map(int, newer["color"].split(","))
        assert (f"#{red:02x}{green:02x}{blue:02x}", alpha) == (color, 255)
        assert newer["outline_style"] == "no"


def test_where_qgis_looks():
    assert style_path(Path("a/b.c.tif")) == Path("a/b.c.qml")
