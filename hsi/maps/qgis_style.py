"""Styles of QGIS 3: the names and colours of a label map, of its raster or its polygons."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hsi.maps.attribute_table import rgb_of, xml_text
from hsi.maps.map_product import LegendEntry

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_VERSION = "3.4.0"  # the oldest QGIS that reads all of it; newer ones bring it up to date as they read


def style_path(path: Path) -> Path:
    """Return where QGIS looks for the style of the map `path`: ``NAME.qml``."""
    return path.with_suffix(".qml")


def raster_style(legend: Iterable[LegendEntry]) -> str:
    """Return the style of a label map: its first band with a palette, a name for each value."""
    root = _root()
    pipe = SubElement(root, "pipe")
    renderer = SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    SubElement(renderer, "rasterTransparency")
    limits = SubElement(renderer, "minMaxOrigin")
    for tag, text in (("limits", "None"), ("extent", "WholeRaster"), ("statAccuracy", "Estimated")):
        SubElement(limits, tag).text = text
    colors = SubElement(renderer, "colorPalette")
    for entry in legend:
        SubElement(
            colors,
            "paletteEntry",
            value=str(entry.value),
            label=xml_text(entry.name),
            color=entry.color,
            alpha="255",
        )
    SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0")
    SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    SubElement(pipe, "rasterresampler", maxOversampling="2")
    SubElement(root, "blendMode").text = "0"
    return _text(root)


def polygon_style(legend: Iterable[LegendEntry], field: str) -> str:
    """Return the style of polygons: filled by the number in `field`, without outlines."""
    root = _root()
    renderer = SubElement(
        root,
        "renderer-v2",
        type="categorizedSymbol",
        attr=field,
        enableorderby="0",
        forceraster="0",
        symbollevels="0",
    )
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for number, entry in enumerate(legend):
        SubElement(
            categories,
            "category",
            type="long",
            value=str(entry.value),
            label=xml_text(entry.name),
            symbol=str(number),
            render="true",
        )
        symbol = SubElement(
            symbols, "symbol", type="fill", name=str(number), alpha="1", clip_to_extent="1", force_rhr="0"
        )
        layer = SubElement(symbol, "layer", {"class": "SimpleFill", "pass": "0"}, enabled="1", locked="0")
        color = ",".join(map(str, (*rgb_of(entry.color), 255)))
        properties = {"color": color, "style": "solid", "outline_style": "no", "joinstyle": "bevel"}
        options = SubElement(layer, "Option", type="Map")  # of QGIS 3.20 and newer
        for name, value in properties.items():
            SubElement(options, "Option", name=name, type="QString", value=value)
        for name, value in properties.items():  # of older ones
            SubElement(layer, "prop", k=name, v=value)
    SubElement(root, "blendMode").text = "0"
    SubElement(root, "featureBlendMode").text = "0"
    SubElement(root, "layerGeometryType").text = "2"
    return _text(root)


def _root() -> Element:
    return Element("qgis", version=_VERSION, styleCategories="AllStyleCategories")


def _text(root: Element) -> str:
    indent(root)
    return _DOCTYPE + tostring(root, encoding="unicode") + "\n"
