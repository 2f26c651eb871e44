"""Rasterising points and polygons (GeoJSON, shapefile) to a label map on a scene's grid.

A pixel gets the class of the polygon that contains its centre, or of the point inside it. A pixel with
features of two classes stays unlabelled. Needs the optional extra ``geo``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import is_crs
from hsi.datasets.formats.geotiff import load_rasterio
from hsi.datasets.labels.label_map import MOST_CLASSES
from hsi.datasets.labels.vectors import read_features
from hsi.errors import FileFormatError, SceneError, near_miss

_USUAL = (
    "class", "class_id", "classid", "class_name", "classname", "class_code", "label", "label_id", "code",
    "landcover", "land_cover", "lulc", "crop", "category", "species", "type",
)  # fmt: skip
_MAX_CODE_DIGITS = 9
_NUMBERING = {"id", "fid", "ogc_fid", "objectid", "gid", "uid", "uuid", "index"}


@dataclass(frozen=True)
class DrawnLabels:
    """A label map ``(rows, cols)`` int64, 0 = unlabelled; code -> name where classes are texts; notes."""

    labels: NDArray[np.int64]
    class_names: dict[int, str]
    notes: tuple[str, ...]


def draw_labels(
    path: Path, size: tuple[int, int], georeference: Mapping[str, Any] | None, class_field: str | None = None
) -> DrawnLabels:
    """Read points and polygons and rasterise them.

    Parameters
    ----------
    path
        A GeoJSON file or the ``.shp`` of a shapefile.
    size, georeference
        (rows, cols) of the scene, and its georeference as in `hsi.datasets.formats.facts.FileFacts`.
    class_field
        Name of the attribute that holds the class, in any letter case. Default: the only one that fits, usual
        names such as ``class`` first. Whole numbers are the codes of the classes, 0 = unlabelled; texts are
        numbered from 1 in alphabetical order, and become the names.

    Raises
    ------
    FileFormatError
        For a damaged file, one without coordinate system, or an attribute that is missing or not clear.
    SceneError
        When the scene is not georeferenced, or nothing lies on it.
    """
    rasterio = load_rasterio(path)
    features = read_features(path)
    if not features.geometries:
        raise FileFormatError(f"{path} holds no point and no polygon.")
    if georeference is None or not georeference["crs"]:
        raise SceneError(
            f"{path} holds coordinates, but the cube has no coordinate system to place them; use a "
            "georeferenced cube (GeoTIFF, or ENVI with map info), or give a label image."
        )
    codes, names, notes = _codes(path, features.attributes, class_field)
    for text in (features.crs, georeference["crs"]):
        if not is_crs(text):
            raise FileFormatError(
                f"{path} cannot be brought to the cube's coordinates: '{text[:60]}' is no coordinate system; "
                "name one by its code, such as EPSG:32616."
            )
    transform = rasterio.Affine(*georeference["transform"])
    try:
        with rasterio.Env():  # silences GDAL's own messages
            source = rasterio.crs.CRS.from_user_input(features.crs)
            target = rasterio.crs.CRS.from_user_input(georeference["crs"])
            shapes = rasterio.warp.transform_geom(source, target, features.geometries)
            outside = sum(not _overlaps(rasterio, shape, transform, size) for shape in shapes)
    except Exception as error:  # GDAL and PROJ raise almost any type
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(f"{path} cannot be brought to the cube's coordinates: {cause}.") from None
    if outside == len(shapes):
        raise SceneError(
            f"None of the {outside} features in {path} lies on the cube; check both coordinate systems."
        )
    if outside:
        notes.append(f"{outside} of {len(shapes)} features in {path.name} lie outside the scene.")
    labels, contested = _rasterise(rasterio, path, shapes, codes, transform, size)
    if contested:
        notes.append(f"{contested} pixels lie in features of two classes; they are unlabelled.")
    return DrawnLabels(labels, names, tuple(notes))


def _rasterise(
    rasterio: Any, path: Path, shapes: list[Any], codes: list[int], transform: Any, size: tuple[int, int]
) -> tuple[NDArray[np.int64], int]:
    labels = np.zeros(size, np.int64)
    draw = rasterio.features.rasterize
    if len(set(codes)) > MOST_CLASSES:
        raise FileFormatError(f"{path} has {len(set(codes))} classes; does that attribute hold the class?")
    contested = np.zeros(size, bool)
    for code in sorted(set(codes) - {0}):
        mine = [shape for shape, one in zip(shapes, codes, strict=True) if one == code]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rasterio.errors.ShapeSkipWarning)  # empty shapes give nothing
                covered = draw(mine, out_shape=size, transform=transform, dtype="uint8") > 0
        except Exception as error:  # GDAL raises almost any type
            raise FileFormatError(f"{path} holds a shape that cannot be drawn: {error}.") from None
        contested |= covered & (labels > 0)
        labels[covered] = code
    labels[contested] = 0
    return labels, int(contested.sum())


def _overlaps(rasterio: Any, shape: Any, transform: Any, size: tuple[int, int]) -> bool:
    """Whether the bounding box of a shape overlaps the grid."""
    left, bottom, right, top = rasterio.features.bounds(shape)
    a, b, x, d, e, y = transform[:6]
    corners = np.array([[left, left, right, right], [bottom, top, bottom, top]]) - [[x], [y]]
    cols, rows = np.linalg.solve([[a, b], [d, e]], corners)
    return bool(cols.max() >= 0 and cols.min() <= size[1] and rows.max() >= 0 and rows.min() <= size[0])


def _codes(
    path: Path, attributes: list[Mapping[str, Any]], class_field: str | None
) -> tuple[list[int], dict[int, str], list[str]]:
    """Return a code for each feature (0: none), the names of the codes, and notes."""
    columns = {
        name: [row.get(name) for row in attributes]
        for name in dict.fromkeys(n for r in attributes for n in r)
    }
    field = _choose_attribute(path, columns, class_field)
    values = [None if value is None or value == "" else value for value in columns[field]]
    notes = [f"The classes are those of the attribute '{field}' in {path.name}."]
    without = sum(value is None for value in values)
    if without:
        notes.append(f"{without} features have no '{field}'; they give no label.")
    numbers = _whole_numbers(values)
    if numbers is not None:
        return numbers, {}, notes
    texts = sorted(
        {str(value).strip() for value in values if value is not None}, key=lambda t: (t.casefold(), t)
    )
    code_of = {text: code for code, text in enumerate(texts, start=1)}
    codes = [0 if value is None else code_of[str(value).strip()] for value in values]
    return codes, {code: text for text, code in code_of.items()}, notes


def _choose_attribute(path: Path, columns: Mapping[str, list[Any]], given: str | None) -> str:
    """Return the attribute that holds the class."""
    inside = ", ".join(columns) or "none"
    advice = "name the right one with --class-field (class_field in a scene.toml)"
    if given is not None:
        for name in columns:
            if name.casefold() == given.casefold():
                if not _fits(columns[name]):
                    raise FileFormatError(
                        f"The attribute '{name}' in {path} holds neither texts nor whole numbers."
                    )
                return name
        raise FileFormatError(
            f"{path} has no attribute '{given}'.{near_miss(given, columns)} It has: {inside}; {advice}."
        )
    fitting = [name for name, values in columns.items() if _fits(values) and len(_distinct(values)) > 1]
    usual = [name for name in fitting if name.casefold() in _USUAL]
    others = [name for name in fitting if name.casefold() not in _NUMBERING]
    repeated = [name for name in others if len(_distinct(columns[name])) < len(columns[name])]
    for some in (usual, others, repeated):
        if len(some) == 1:
            return some[0]
    raise FileFormatError(
        f"{path} has {'several attributes' if fitting else 'no attribute'} that could hold the class. "
        f"It has: {inside}; {advice}."
    )


def _distinct(values: Iterable[Any]) -> set[str]:
    return {str(value) for value in values if value is not None and value != ""}


def _fits(values: Iterable[Any]) -> bool:
    """Whether values could be classes: texts, or whole numbers from 0."""
    present = [value for value in values if value is not None and value != ""]
    return bool(present) and (
        _whole_numbers(present) is not None or all(isinstance(value, str) for value in present)
    )


def _whole_numbers(values: Iterable[Any]) -> list[int] | None:
    """Return values (whole numbers >= 0, or their texts) as codes, missing ones as 0; None if one is not."""
    codes = []
    for value in values:
        text = isinstance(value, str) and value.strip().isdecimal() and len(value) <= _MAX_CODE_DIGITS
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        whole = number and 0 <= value < 10**_MAX_CODE_DIGITS and value % 1 == 0
        if value is not None and not text and not whole:
            return None
        codes.append(0 if value is None else int(value))
    return codes
