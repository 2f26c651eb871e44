"""Maps as Cloud Optimized GeoTIFF, with coordinates, colours, names and overviews.

It needs rasterio, the extra ``geo``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Window
from hsi.datasets.formats.rasters import GDAL_CACHE
from hsi.errors import ConfigError, install_command
from hsi.maps.array_files import palette
from hsi.maps.map_product import MapProduct, Write

FULL_DISK_BYTES = 2**20
"""A disk with less free, on which a write failed, is taken to be full."""

BLOCK = 512
"""Rows and columns of a block, of overviews too; less where the bands of one would fill `_BLOCK_BYTES`."""
_BLOCK_BYTES = 16 << 20
_LEAST_BLOCK = 128


@contextmanager
def write_geotiff(path: Path, product: MapProduct) -> Iterator[Write]:
    """Write a Cloud Optimized GeoTIFF; only current tiles and GDAL's cache are in memory.

    Windows go into a plain file beside `path`, which GDAL's driver COG then copies: tiles of 512 x 512
    pixels, deflate, overviews where the map is larger than a tile (of whole numbers the most frequent, of
    fractions the mean). Labels have a colour table where they are uint8; probabilities have a band for each
    class, described by its name. Class names are tags ``CLASS_1`` ..., the product's metadata are tags too.
    GDAL's category names and attribute table have no place in a GeoTIFF: see `hsi.maps.attribute_table`.

    Raises
    ------
    ConfigError
        When rasterio is not installed, or cannot read the scene's coordinate system.
    """
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
        from rasterio.shutil import copy
    except ImportError:
        raise ConfigError(
            f"GeoTIFF needs rasterio, which is missing: {install_command('geo')}, or write .npy or .png."
        ) from None
    options = _options(product)
    plain = path.with_name(f"{path.name}.plain.tmp")
    written: list[tuple[Any, int]] = []
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE), warnings.catch_warnings(), _removed(plain):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # many benchmark scenes have no georeference
        with system_errors(path, (RasterioError, SystemError)), rasterio.open(plain, "w", **options) as file:
            _describe(file, product)

            def write(window: Window, values: NDArray[Any]) -> None:
                span = rasterio.windows.Window.from_slices(
                    (window.top, window.bottom), (window.left, window.right)
                )
                bands = np.moveaxis(values.reshape(*values.shape[:2], -1), 2, 0).astype(product.dtype)
                file.write(bands, window=span)
                written.append((span, zlib.crc32(bands.tobytes())))

            yield write
        with system_errors(path, (RasterioError, SystemError)):
            with rasterio.open(plain) as file:
                _check(zlib.crc32(file.read(window=span).tobytes()) == checksum for span, checksum in written)
            copy(
                plain,
                path,
                driver="COG",
                compress="deflate",
                predictor="yes",
                blocksize=options["blockxsize"],
                overview_resampling="mode" if product.dtype.kind == "u" else "average",
                bigtiff="if_safer",
            )
            with rasterio.open(plain) as file, rasterio.open(path) as made:
                blocks = (span for _, span in made.block_windows(1))
                _check(
                    file.read(window=span).tobytes() == made.read(window=span).tobytes() for span in blocks
                )


def _options(product: MapProduct) -> dict[str, Any]:
    """Return how rasterio has to create the plain file."""
    import rasterio

    georeference = product.georeference or {}
    bands = product.shape[2] if product.kind == "proba" else 1
    block = BLOCK
    while block > _LEAST_BLOCK and block * block * bands * product.dtype.itemsize > _BLOCK_BYTES:
        block //= 2
    options: dict[str, Any] = {
        "driver": "GTiff",
        "height": product.rows,
        "width": product.cols,
        "count": bands,
        "dtype": product.dtype.name,
        "nodata": product.no_data,
        "interleave": "band",
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "BIGTIFF": "IF_SAFER",
        "crs": coordinate_system(product),
    }
    if georeference.get("transform") is not None:
        options["transform"] = rasterio.Affine(*tuple(georeference["transform"])[:6])
    return options


def _describe(file: Any, product: MapProduct) -> None:
    """Write tags, names of bands and colours."""
    names = {f"CLASS_{number}": name for number, name in enumerate(product.class_names, start=1)}
    file.update_tags(**{**names, **product.metadata})
    if product.kind == "proba":
        file.descriptions = product.class_names
    else:
        file.descriptions = ("class" if product.kind == "map" else product.kind,)
    if product.kind == "map" and product.dtype == np.uint8:
        file.write_colormap(
            1, {value: (*color, 255) for value, color in enumerate(palette(product).tolist())}
        )


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    """Remove a file at the end."""
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError, OSError):
            path.unlink()


def _check(same: Iterator[bool]) -> None:
    """Raise an error where values differ: GDAL does not report whether its last ones reached the disk."""
    from rasterio.errors import RasterioIOError

    if not all(same):
        raise RasterioIOError("the file does not hold what was written")


@contextmanager
def system_errors(path: Path, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Raise the system's error (disk full, or input/output) for those of GDAL, which does not tell them."""
    try:
        yield
    except errors as error:
        code = errno.ENOSPC if shutil.disk_usage(path.parent).free < FULL_DISK_BYTES else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error


def coordinate_system(product: MapProduct) -> Any:
    """Return the coordinate system of a map for rasterio, or None where it has none.

    Raises
    ------
    ConfigError
        When it cannot be understood.
    """
    import rasterio
    from rasterio.errors import CRSError

    text = (product.georeference or {}).get("crs")
    try:
        return rasterio.CRS.from_user_input(text) if text else None
    except CRSError as error:
        raise ConfigError(f"The scene's coordinate system cannot be understood: {error}.") from None
