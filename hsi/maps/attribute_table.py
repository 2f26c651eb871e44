"""The attribute table of a label map: pixels and area of each class, and the file where GDAL looks for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.areas.ground_area import UNITS, pixel_area
from hsi.datasets.scene import UNLABELLED
from hsi.maps.map_product import NO_DATA_NAME, LegendEntry, MapProduct


class PixelCounts:
    """Counts the pixels of each value of a label map, window by window.

    Attributes
    ----------
    pixels
        ``(C + 2,)`` int64: of pixels not recognised, of classes 1..C, and of pixels without data.
    """

    def __init__(self, product: MapProduct) -> None:
        self._no_data, self._classes = int(product.no_data), len(product.class_names)
        self._pixel_m2 = pixel_area(product.georeference, (product.rows, product.cols)).square_metres
        self.pixels = np.zeros(self._classes + 2, np.int64)

    def add(self, labels: NDArray[Any]) -> None:
        """Count the values ``(h, w)`` of one window of the label map."""
        places = np.where(labels == self._no_data, self._classes + 1, labels)
        self.pixels += np.bincount(places.ravel(), minlength=len(self.pixels))

    @property
    def area_m2(self) -> NDArray[np.float64] | None:
        """The area of `pixels` in m2, as of `hsi.areas.pixel_area`; None where that is not known."""
        return None if self._pixel_m2 is None else self._pixel_m2 * self.pixels.astype(np.float64)

    @property
    def rejected(self) -> int:
        """Pixels that are not recognised."""
        return int(self.pixels[0])

    @property
    def missing(self) -> int:
        """Pixels without data."""
        return int(self.pixels[-1])

    @property
    def classes(self) -> tuple[int, ...]:
        """Pixels of each class, class 1 first."""
        return tuple(int(count) for count in self.pixels[1:-1])


def attribute_table_path(path: Path) -> Path:
    """Return where GDAL looks for names and table of the map `path`: ``NAME.tif.aux.xml``."""
    return path.with_name(f"{path.name}.aux.xml")


@dataclass(frozen=True)
class _Column:
    name: str
    type: int  # GDALRATFieldType
    usage: int  # GDALRATFieldUsage


_INTEGER, _REAL, _STRING = 0, 1, 2
_COLUMNS = (
    _Column("Value", _INTEGER, 5),  # GFU_MinMax
    _Column("Class", _STRING, 2),  # GFU_Name
    _Column("Count", _INTEGER, 1),  # GFU_PixelCount
    _Column("Red", _INTEGER, 6),
    _Column("Green", _INTEGER, 7),
    _Column("Blue", _INTEGER, 8),
)
_AREAS = (_Column("Area_m2", _REAL, 0), _Column("Area_ha", _REAL, 0))  # GFU_Generic
_MOST_INTEGER = 2**31 - 1  # of a column of whole numbers


def attribute_table(product: MapProduct, counts: PixelCounts) -> str:
    """Return the text of ``NAME.tif.aux.xml``: the name of each value, and the raster attribute table.

    The table has a row for each class, for pixels not recognised, if there can be any, and for pixels without
    data: value, name, pixels, colour, and, where the size of a pixel is known, area in m2 and in ha.
    """
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    no_data = LegendEntry(int(product.no_data), NO_DATA_NAME, UNLABELLED)
    entries = sorted((*product.legend, no_data))
    names = ElementTree.SubElement(band, "CategoryNames")
    named = {entry.value: entry.name for entry in entries}
    for value in range(len(product.class_names) + 1):
        ElementTree.SubElement(names, "Category").text = xml_text(named[value])
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    many = int(counts.pixels.max()) > _MOST_INTEGER
    areas = counts.area_m2
    columns = (*_COLUMNS, *(_AREAS if areas is not None else ()))
    for index, column in enumerate(columns):
        field = ElementTree.SubElement(table, "FieldDefn", index=str(index))
        kind = _REAL if many and column.name == "Count" else column.type
        for tag, text in (("Name", column.name), ("Type", kind), ("Usage", column.usage)):
            ElementTree.SubElement(field, tag).text = str(text)
    for index, entry in enumerate(entries):
        place = entry.value if entry is not no_data else len(counts.pixels) - 1
        cells = [entry.value, xml_text(entry.name), counts.pixels[place], *rgb_of(entry.color)]
        if areas is not None:
            cells += [f"{areas[place]:.4f}", f"{areas[place] / UNITS['ha']:.8f}"]
        row = ElementTree.SubElement(table, "Row", index=str(index))
        for cell in cells:
            ElementTree.SubElement(row, "F").text = str(cell)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def rgb_of(color: str) -> tuple[int, int, int]:
    """Return red, green and blue, from 0 to 255, of a colour "#rrggbb"."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """Return a text without the characters that XML 1.0 cannot hold, such as control characters."""
    return _NOT_IN_XML.sub("", text)
