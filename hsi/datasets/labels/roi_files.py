"""Regions of interest that ENVI writes: as text (ASCII) with the pixels, and as XML with shapes.

Layout: "Regions of Interest (ROIs)" in the documentation of ENVI 5, NV5 Geospatial Software.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hsi.datasets.labels.vectors import Features, load_shapely
from hsi.datasets.products.xml_metadata import read_xml
from hsi.errors import FileFormatError
from hsi.io.size_limits import check_length
from hsi.io.text import decode_text

_FIELD = "ROI name"
_MOST_BYTES = 256 << 20


def read_roi_text(path: Path, size: tuple[int, int]) -> Features:
    """Read regions as text: pixels by sample and line from 1, or by map coordinates where these are missing.

    Parameters
    ----------
    size
        (rows, cols) of the cube.

    Raises
    ------
    FileFormatError
        When the regions were drawn on an image of another size, or the file is damaged.
    """
    shapely = load_shapely(path)
    check_length(path, _MOST_BYTES)
    text = decode_text(path.read_bytes())
    lines = text.splitlines()
    comments = [line.lstrip(" ;").strip() for line in lines if line.lstrip().startswith(";")]
    _check_size(path, comments, size)
    names, colors, counts = _regions(path, comments)
    (at, in_pixels) = _coordinate_positions(comments)
    rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith(";")]
    try:
        xy = np.array([[float(row[one]) for one in at] for row in rows]).reshape(-1, 2)
    except (ValueError, IndexError):
        raise FileFormatError(
            f"{path} has a line of a pixel that cannot be read; export the regions again."
        ) from None
    if len(xy) != sum(counts) or not np.isfinite(xy).all():
        raise FileFormatError(
            f"{path} announces {sum(counts)} pixels and lists {len(xy)}; export the regions again."
        )
    shapes = np.asarray(shapely.points(xy - 0.5 if in_pixels else xy), dtype=object).reshape(-1)
    column = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    notes = _empty_note(name for name, count in zip(names, counts, strict=True) if count == 0)
    return Features(shapes, {_FIELD: column}, None, in_pixels=in_pixels, colors=colors, notes=notes)


def _check_size(path: Path, comments: Iterable[str], size: tuple[int, int]) -> None:
    for line in comments:
        found = re.match(r"file dimensions?:\s*(\d{1,9})\s*x\s*(\d{1,9})", line, re.IGNORECASE)
        if found and (int(found[2]), int(found[1])) != size:
            raise FileFormatError(
                f"The regions in {path} were drawn on an image of {found[1]} columns and {found[2]} rows, "
                f"but the cube has {size[1]} columns and {size[0]} rows; give those of this cube."
            )


def _regions(path: Path, comments: Iterable[str]) -> tuple[list[str], dict[str, str], list[int]]:
    """Return names, colours by name, and numbers of pixels."""
    names: list[str] = []
    colors: dict[str, str] = {}
    counts: list[int] = []
    for line in comments:
        key, _, value = line.partition(":")
        match key.strip().casefold():
            case "roi name":
                names.append(value.strip() or f"region {len(names) + 1}")
            case "roi rgb value" if names:
                colors.setdefault(names[-1], _hex(value))
            case "roi npts" if value.strip().isdecimal() and len(value) < 12:
                counts.append(int(value))
    if not names or len(names) != len(counts):
        raise FileFormatError(
            f"{path} does not say name and number of pixels of each region; export them again."
        )
    return names, {name: color for name, color in colors.items() if color}, counts


def _hex(value: str) -> str:
    """Return "#rrggbb" of "{255, 0, 0}", "" where it is no colour."""
    numbers = [int(one) for one in re.findall(r"\d{1,4}", value)]
    fine = len(numbers) == 3 and max(numbers) < 256
    return "#{:02x}{:02x}{:02x}".format(*numbers) if fine else ""


def _coordinate_positions(comments: Iterable[str]) -> tuple[tuple[int, int], bool]:
    """Return the places of the two coordinates in a line, and whether they are pixels."""
    for line in comments:
        words = re.sub(r"map\s+([xy])\b", r"map\1", line.casefold()).split()
        for pair, in_pixels in ((("x", "y"), True), (("mapx", "mapy"), False)):
            if set(pair) <= set(words) and (words[0] == "id" or words[0] in pair):
                return (words.index(pair[0]), words.index(pair[1])), in_pixels
    return (1, 2), True


def _empty_note(names: Iterable[str]) -> tuple[str, ...]:
    empty = list(names)
    return (f"Regions without a pixel: {', '.join(empty[:8])}.",) if empty else ()


def read_roi_xml(path: Path) -> Features:
    """Read regions as XML, which ENVI 5 writes: polygons and points in map coordinates.

    Regions of an image without georeference have pixel coordinates from its outer corner. Regions by a
    threshold name another image; they are left out, with a note.

    Raises
    ------
    FileFormatError
        When the file is damaged, or its regions have several coordinate systems.
    """
    shapely = load_shapely(path)
    shapes: list[Any] = []
    column: list[str] = []
    colors: dict[str, str] = {}
    systems: set[str] = set()
    empty = []
    for number, region in enumerate(_all(read_xml(path), "region"), start=1):
        name = (region.get("name") or "").strip() or f"region {number}"
        if color := _hex(region.get("color") or ""):
            colors.setdefault(name, color)
        found = []
        for definition in _all(region, "geometrydef"):
            try:
                drawn = [*_polygons(shapely, definition), *_points(shapely, definition)]
            except (ValueError, shapely.errors.ShapelyError):
                raise FileFormatError(
                    f"{path} has a region ('{name[:40]}') with coordinates that cannot be read; export it "
                    "again."
                ) from None
            if drawn:
                systems.add(_text(definition, "coordsysstr"))
            found += drawn
        shapes += found
        column += [name] * len(found)
        if not found:
            empty.append(name)
    if len(systems) > 1:
        raise FileFormatError(
            f"The regions in {path} have several coordinate systems; export them one by one."
        )
    crs = next(iter(systems), "")
    in_pixels = crs.casefold() in ("", "none")
    notes = tuple(
        note.replace("Regions without a pixel", "Regions without a shape") for note in _empty_note(empty)
    )
    return Features(
        np.array([*shapes, None], dtype=object)[:-1],
        {_FIELD: column},
        None if in_pixels else crs,
        in_pixels=in_pixels,
        colors=colors,
        notes=notes,
    )


def _all(element: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    """Return the elements inside one by their name without namespace, in any letter case."""
    return [one for one in element.iter() if one.tag.rpartition("}")[2].casefold() == tag]


def _text(element: ElementTree.Element, tag: str) -> str:
    return next(((one.text or "").strip() for one in _all(element, tag)), "")


def _pairs(element: ElementTree.Element) -> Any:
    """Return the coordinates (N, 2) in an element."""
    numbers = np.array(re.split(r"[\s,]+", _text(element, "coordinates").strip(" ,")), dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a coordinate is no number")
    return numbers.reshape(-1, 2)


def _polygons(shapely: Any, definition: ElementTree.Element) -> list[Any]:
    drawn = []
    for polygon in _all(definition, "polygon"):
        rings = {side: [_pairs(ring) for ring in _all(polygon, side)] for side in ("exterior", "interior")}
        if len(rings["exterior"]) != 1:
            raise ValueError("a polygon has one exterior ring")
        drawn.append(shapely.Polygon(rings["exterior"][0], rings["interior"]))
    return drawn


def _points(shapely: Any, definition: ElementTree.Element) -> list[Any]:
    return [
        shapely.Point(xy)
        for tag in ("point", "multipoint")
        for one in _all(definition, tag)
        for xy in _pairs(one)
    ]
