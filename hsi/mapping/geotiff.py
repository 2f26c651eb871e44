"""Maps as GeoTIFF: the scene's coordinates, a colour table and class names, so that a GIS opens them right.

Needs rasterio, the optional extra ``geo``.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.geotiff import GDAL_CACHE
from hsi.datasets.palette import UNLABELLED, to_rgb
from hsi.errors import ConfigError
from hsi.mapping.cells import CELL, Window
from hsi.mapping.layer import Layer, Write

FULL = 2**20
"""Bytes: a disk on which a write failed and that has less left is taken to be full: our decision."""


@contextmanager
def write_geotiff(path: Path, layer: Layer) -> Iterator[Write]:
    """Write strips, compressed; only tiles in work and GDAL's cache are in memory.

    Labels have a colour table (up to 255 classes) and 0 as the value for no data; probabilities have a band
    for each class, described by its name. The names of the classes are tags ``CLASS_1`` ...; GDAL's list of
    category names has no place in a GeoTIFF: see `category_names`.

    Raises
    ------
    ConfigError
        When rasterio is not installed, or cannot read the scene's coordinate system.
    """
    try:
        import rasterio
        from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioIOError
    except ImportError:
        raise ConfigError(
            "GeoTIFF needs rasterio, which is not installed: pip install 'hsi[geo]', or write .npy or .png."
        ) from None
    written: list[tuple[Any, int]] = []
    place = layer.georeference or {}
    options: dict[str, Any] = {
        "driver": "GTiff",
        "height": layer.rows,
        "width": layer.cols,
        "count": layer.shape[2] if layer.kind == "proba" else 1,
        "dtype": layer.dtype.name,
        "nodata": 0 if layer.kind == "map" else float("nan"),
        "compress": "deflate",
        "interleave": "band",
        "blockysize": CELL,
        "BIGTIFF": "IF_SAFER",
    }
    if place.get("transform") is not None:
        options["transform"] = rasterio.Affine(*tuple(place["transform"])[:6])
    if place.get("crs"):
        try:
            options["crs"] = rasterio.CRS.from_user_input(place["crs"])
        except CRSError as error:
            raise ConfigError(f"The scene's coordinate system cannot be understood: {error}.") from None
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # many benchmark scenes have no place
        with _reasons(path), rasterio.open(path, "w", **options) as file:
            file.update_tags(**{f"CLASS_{n}": name for n, name in enumerate(layer.class_names, start=1)})
            if layer.kind == "proba":
                file.descriptions = layer.class_names
            else:
                file.descriptions = ("class" if layer.kind == "map" else "confidence",)
            if layer.kind == "map" and layer.dtype == np.uint8:
                colors = to_rgb((UNLABELLED, *layer.colors)).tolist()
                file.write_colormap(1, {n: (*color, 255) for n, color in enumerate(colors)})

            def write(window: Window, values: NDArray[Any]) -> None:
                span = rasterio.windows.Window.from_slices(
                    (window.top, window.bottom), (window.left, window.right)
                )
                bands = np.moveaxis(values.reshape(*values.shape[:2], -1), 2, 0).astype(layer.dtype)
                file.write(bands, window=span)
                written.append((span, zlib.crc32(bands.tobytes())))

            yield write
        with _reasons(path), rasterio.open(path) as file:
            # GDAL does not tell whether the disk took what it kept to the end.
            for span, checksum in written:
                if zlib.crc32(file.read(window=span).tobytes()) != checksum:
                    raise RasterioIOError("what was written is not what is there")


@contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """Say with the system's own error why GDAL could not write, which it does not tell apart itself."""
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, SystemError) as error:
        code = errno.ENOSPC if shutil.disk_usage(path.parent).free < FULL else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error


def category_names_path(path: Path) -> Path:
    """Return where GDAL looks for the names of the values of the map `path`."""
    return path.with_name(f"{path.name}.aux.xml")


def category_names(layer: Layer) -> str:
    """Return what GDAL reads from ``NAME.tif.aux.xml``: the name of each value of a label map, 0 first."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    for name in ("unlabelled", *layer.class_names):
        ElementTree.SubElement(names, "Category").text = name
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
