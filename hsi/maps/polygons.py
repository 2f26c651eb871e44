"""Maps as polygons in a GeoPackage; needs rasterio, shapely and pyogrio, the extra ``geo``."""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.areas.ground_area import UNITS, pixel_area
from hsi.datasets.cube import Window
from hsi.errors import ConfigError, InputError, install_command
from hsi.maps.geotiff import coordinate_system, system_errors
from hsi.maps.map_product import LegendEntry, MapProduct, Write
from hsi.maps.pixel_size import pixel_size
from hsi.maps.qgis_style import polygon_style
from hsi.maps.small_regions import merge_small_regions

LAYER, GEOMETRY = "map", "geom"
_BATCH = 20_000  # polygons that are in memory as such


def write_polygons(path: Path, product: MapProduct, labels: NDArray[Any], *, min_area: float = 0.0) -> int:
    """Write the regions of a label map as polygons of the layer "map" of a GeoPackage; return how many.

    A region is of pixels of one class that touch by their sides. Each polygon has ``class`` (0: not
    recognised), ``name``, ``pixels``, and, where the area of a pixel is known, ``area_m2`` and ``area_ha``,
    as of `hsi.areas.pixel_area`. Pixels without data are left out. Without a georeference coordinates are
    pixels, x to the right and y negative downwards, as a GIS shows such images. The file also has QGIS's
    style of the layer and the product's metadata.

    Parameters
    ----------
    path
        The file, whatever its suffix; an existing one is replaced.
    product
        The label map's size, names, colours, georeference.
    labels
        ``(rows, cols)``, as of `MapProduct.values`.
    min_area
        Smaller regions are merged into a neighbour, see `merge_small_regions`. In m2; in pixels where the
        area of a pixel is not known.

    Raises
    ------
    ConfigError
        When rasterio, shapely or pyogrio is not installed, the coordinate system cannot be understood, or
        `min_area` is not a number from 0 on.
    InputError
        When labels and product differ in size.
    OSError
        When the file cannot be written.
    """
    try:
        import pyogrio.errors
        import rasterio.features
        import shapely  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"A GeoPackage needs rasterio, pyogrio and shapely: {install_command('geo')}, or write .png."
        ) from None
    if labels.shape != (product.rows, product.cols):
        raise InputError(f"The labels are {labels.shape}, the map {(product.rows, product.cols)} pixels.")
    if not (math.isfinite(min_area) and min_area >= 0):
        raise ConfigError(f"The smallest area must be a number from 0 on, not {min_area:g}.")
    shape = (product.rows, product.cols)
    pixel_m2 = pixel_area(product.georeference, shape).square_metres
    sides = pixel_size(product.georeference, *shape) or (1.0, 1.0)
    merged = merge_small_regions(labels, int(product.no_data), min_area / (pixel_m2 or 1.0), sides)
    coordinate_system(product)  # an error, if it cannot be understood
    path.unlink(missing_ok=True)
    written = 0
    failures = ("DataLayerError", "DataSourceError", "FeatureError", "GeometryError")
    of_vectors = (getattr(pyogrio.errors, name) for name in failures)
    errors = (*of_vectors, rasterio.errors.RasterioError, sqlite3.Error)
    with system_errors(path, errors):
        polygons = _polygons(merged, int(product.no_data))
        batch = list(islice(polygons, _BATCH))
        _append(path, product, batch, pixel_m2)  # makes the layer, if it is to be empty
        while batch:
            written += len(batch)
            batch = list(islice(polygons, _BATCH))
            if batch:
                _append(path, product, batch, pixel_m2)
        _add_style(path, product.legend)
    return written


@contextmanager
def write_geopackage(path: Path, product: MapProduct, min_area: float = 0.0) -> Iterator[Write]:
    """Write a label map as polygons, see `write_polygons`; the map is in memory meanwhile.

    Raises
    ------
    ConfigError
        For another layer than the label map, and as `write_polygons`.
    """
    if product.kind != "map":
        raise ConfigError(f"A GeoPackage holds classes as polygons, no {product.kind}; write .tif or .npy.")
    labels = np.full(product.shape, product.no_data, product.dtype)

    def write(window: Window, values: NDArray[Any]) -> None:
        labels[window.slices] = values

    yield write
    write_polygons(path, product, labels, min_area=min_area)


def _polygons(labels: NDArray[Any], no_data: int) -> Iterator[tuple[int, Any]]:
    """Yield class and polygon, in columns and rows, of each region."""
    import shapely
    from rasterio.features import shapes

    for outline, value in shapes(labels, mask=labels != no_data, connectivity=4):
        rings = [np.asarray(ring, np.float64) for ring in outline["coordinates"]]
        polygon = shapely.Polygon(rings[0], rings[1:])
        if not polygon.is_valid:  # from GDAL before 3.7 where a ring touches itself
            polygon = shapely.make_valid(polygon)
        yield from ((int(value), part) for part in shapely.get_parts(polygon))


def _append(path: Path, product: MapProduct, batch: list[tuple[int, Any]], pixel_m2: float | None) -> None:
    """Append polygons to the layer; the first call makes the file."""
    import pyogrio
    import shapely

    georeference = product.georeference or {}
    names = {entry.value: entry.name for entry in product.legend}
    values = np.array([value for value, _ in batch], np.int32)
    polygons = np.array([polygon for _, polygon in batch], object)
    pixels = np.rint(shapely.area(polygons)).astype(np.int64)
    columns: dict[str, NDArray[Any]] = {
        "class": values,
        "name": np.array([names[value] for value, _ in batch], object),
        "pixels": pixels,
    }
    if pixel_m2 is not None:
        columns["area_m2"] = pixels * pixel_m2
        columns["area_ha"] = pixels * (pixel_m2 / UNITS["ha"])
    a, b, c, d, e, f = tuple(georeference.get("transform") or (1, 0, 0, 0, -1, 0))[:6]
    placed = shapely.transform(polygons, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        warnings.filterwarnings("ignore", message="The filename extension should be")
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(placed),
            field_data=list(columns.values()),
            fields=list(columns),
            layer=LAYER,
            driver="GPKG",
            geometry_type="Polygon",
            crs=georeference.get("crs") or None,
            append=path.exists(),
            dataset_metadata=dict(product.metadata) or None,
            geometry_name=GEOMETRY,
        )


# As QGIS makes it: a style of this table with useAsDefault is what a layer is shown in when it is opened.
_STYLE_TABLE = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
    styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30),
    ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""


def _add_style(path: Path, legend: tuple[LegendEntry, ...]) -> None:
    """Add QGIS's table of styles, with the one of the layer."""
    style = polygon_style(legend, "class")
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(_STYLE_TABLE)
        file.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, "
            "styleName, styleQML, styleSLD, useAsDefault, description, owner) "
            "VALUES ('', '', ?, ?, 'classes', ?, '', 1, 'Colours and names of the classes', '')",
            (LAYER, GEOMETRY, style),
        )
        file.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles')"
        )
