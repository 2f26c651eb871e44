"""The files of a map: GeoTIFF, PNG, NumPy's .npy, MATLAB's .mat (version 5).

A GeoTIFF has the scene's coordinates, a colour table and class names; it needs rasterio, the extra ``geo``.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.rasters import GDAL_CACHE
from hsi.datasets.scene import UNLABELLED, to_rgb
from hsi.errors import ConfigError, install_command
from hsi.inference.tiles import CELL, Window

Write = Callable[[Window, NDArray[Any]], None]
"""Writes the values of one window; windows may come in any order and do not overlap."""


@dataclass(frozen=True)
class MapProduct:
    """One layer of a map, and the metadata of its file.

    Attributes
    ----------
    kind
        "map": class 1..C of each pixel, 0 where there is no data; "confidence": the largest probability;
        "proba": the probability of each class. Without data the latter two are NaN.
    rows, cols
        Size of the scene, pixels.
    class_names, colors
        C names and C colours ("#rrggbb"), class 1 first.
    georeference
        ``crs`` (text that GDAL understands) and ``transform`` (a, b, c, d, e, f: x = a col + b row + c, y = d
        col + e row + f), or None.
    """

    kind: str
    rows: int
    cols: int
    class_names: tuple[str, ...]
    colors: tuple[str, ...]
    georeference: Mapping[str, Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, cols)``, or ``(rows, cols, classes)`` of probabilities."""
        size = (self.rows, self.cols)
        return (*size, len(self.class_names)) if self.kind == "proba" else size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Labels are uint8, or uint16 with more than 255 classes; the others float32."""
        if self.kind != "map":
            return np.dtype(np.float32)
        return np.dtype(np.uint8 if len(self.class_names) < 256 else np.uint16)

    def values(self, logits: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[Any]:
        """Turn logits ``(h, w, classes)`` into the values of this product."""
        if self.kind == "map":
            return np.where(missing, 0, logits.argmax(axis=2) + 1).astype(self.dtype)
        proba = np.exp(logits - logits.max(axis=2, keepdims=True))
        proba /= proba.sum(axis=2, keepdims=True)
        proba[missing] = np.nan
        return proba if self.kind == "proba" else proba.max(axis=2)


CHUNK_BYTES = 2**22
"""Zeros written at a time where the system cannot allocate a file."""
MAT_BYTES = 2**31
"""The limit of one variable of a version 5 file."""


@contextmanager
def write_npy(path: Path, product: MapProduct) -> Iterator[Write]:
    """Write one array, tile by tile: the file is a memory map."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=product.dtype, shape=product.shape)
    _allocate(path, array.offset)
    yield _write_to(array)
    array.flush()


@contextmanager
def write_mat(path: Path, product: MapProduct) -> Iterator[Write]:
    """Write variables named after the product's kind, and ``class_names``; the map is in memory meanwhile.

    Raises
    ------
    ConfigError
        For a map that is too large for the format.
    """
    from scipy.io import savemat

    size = int(np.prod(product.shape, dtype=np.int64)) * product.dtype.itemsize
    if size >= MAT_BYTES:
        raise ConfigError(
            f"A .mat file cannot hold {product.kind} of {size / 2**30:.1f} GiB; write .npy or .tif instead."
        )
    array = np.zeros(product.shape, product.dtype)
    yield _write_to(array)
    names = np.array(product.class_names, dtype=object)
    with path.open("wb") as file:  # given a name, SciPy would add .mat to it
        savemat(file, {product.kind: array, "class_names": names}, do_compression=True)


def _allocate(path: Path, offset: int) -> None:
    """Allocate a file of zeros after `offset` on the disk.

    A full disk raises an error here; later it would kill the process that writes into the memory map.
    """
    size = path.stat().st_size
    with path.open("rb+") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
        file.seek(offset)
        for start in range(offset, size, CHUNK_BYTES):
            file.write(bytes(min(CHUNK_BYTES, size - start)))


def _write_to(array: NDArray[Any]) -> Write:
    def write(window: Window, values: NDArray[Any]) -> None:
        array[window.top : window.bottom, window.left : window.right] = values

    return write


PALETTE_COLORS = 256


@contextmanager
def write_png(path: Path, product: MapProduct) -> Iterator[Write]:
    """Write 8 bits a pixel; the map is in memory meanwhile.

    Labels have a palette, 0 black; confidence is grey, from 0 (also where there is no data) to 255 (certain).

    Raises
    ------
    ConfigError
        For probabilities, or more classes than a palette has colours beside black.
    """
    from PIL import Image

    if product.kind == "proba":
        raise ConfigError(
            "A PNG cannot hold the probability of each class; write .tif, .npy or .mat instead."
        )
    if product.kind == "map" and len(product.class_names) >= PALETTE_COLORS:
        raise ConfigError(
            f"A PNG has {PALETTE_COLORS - 1} colours for classes, not {len(product.class_names)}; write "
            ".tif, .npy or .mat instead."
        )
    array = np.zeros((product.rows, product.cols), np.uint8)

    def write(window: Window, values: NDArray[Any]) -> None:
        if product.kind == "confidence":
            values = np.rint(255 * np.nan_to_num(values, nan=0.0))
        array[window.top : window.bottom, window.left : window.right] = values

    yield write
    image = Image.fromarray(array)
    if product.kind == "map":
        image.putpalette(to_rgb((UNLABELLED, *product.colors)).tobytes())
    image.save(path, format="PNG")


FULL_DISK_BYTES = 2**20
"""A disk with less free, on which a write failed, is taken to be full."""


@contextmanager
def write_geotiff(path: Path, product: MapProduct) -> Iterator[Write]:
    """Write compressed strips; only current tiles and GDAL's cache are in memory.

    Labels have a colour table (up to 255 classes) and nodata 0; probabilities have a band for each class,
    described by its name. Class names are tags ``CLASS_1`` ...; GDAL's list of category names has no place in
    a GeoTIFF: see `category_names`.

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
            f"GeoTIFF needs rasterio, which is missing: {install_command('geo')}, or write .npy or .png."
        ) from None
    written: list[tuple[Any, int]] = []
    georeference = product.georeference or {}
    options: dict[str, Any] = {
        "driver": "GTiff",
        "height": product.rows,
        "width": product.cols,
        "count": product.shape[2] if product.kind == "proba" else 1,
        "dtype": product.dtype.name,
        "nodata": 0 if product.kind == "map" else float("nan"),
        "compress": "deflate",
        "interleave": "band",
        "blockysize": CELL,
        "BIGTIFF": "IF_SAFER",
    }
    if georeference.get("transform") is not None:
        options["transform"] = rasterio.Affine(*tuple(georeference["transform"])[:6])
    if georeference.get("crs"):
        try:
            options["crs"] = rasterio.CRS.from_user_input(georeference["crs"])
        except CRSError as error:
            raise ConfigError(f"The scene's coordinate system cannot be understood: {error}.") from None
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # many benchmark scenes have no georeference
        with _system_errors(path), rasterio.open(path, "w", **options) as file:
            file.update_tags(**{f"CLASS_{n}": name for n, name in enumerate(product.class_names, start=1)})
            if product.kind == "proba":
                file.descriptions = product.class_names
            else:
                file.descriptions = ("class" if product.kind == "map" else "confidence",)
            if product.kind == "map" and product.dtype == np.uint8:
                colors = to_rgb((UNLABELLED, *product.colors)).tolist()
                file.write_colormap(1, {n: (*color, 255) for n, color in enumerate(colors)})

            def write(window: Window, values: NDArray[Any]) -> None:
                span = rasterio.windows.Window.from_slices(
                    (window.top, window.bottom), (window.left, window.right)
                )
                bands = np.moveaxis(values.reshape(*values.shape[:2], -1), 2, 0).astype(product.dtype)
                file.write(bands, window=span)
                written.append((span, zlib.crc32(bands.tobytes())))

            yield write
        with _system_errors(path), rasterio.open(path) as file:
            # GDAL does not report whether its last cached values reached the disk.
            for span, checksum in written:
                if zlib.crc32(file.read(window=span).tobytes()) != checksum:
                    raise RasterioIOError("the file does not hold what was written")


@contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    """Raise the system's error (disk full, or input/output) for GDAL's, which does not tell them apart."""
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, SystemError) as error:
        code = errno.ENOSPC if shutil.disk_usage(path.parent).free < FULL_DISK_BYTES else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error


def category_names_path(path: Path) -> Path:
    """Return where GDAL looks for the names of the values of the map `path`."""
    return path.with_name(f"{path.name}.aux.xml")


def category_names(product: MapProduct) -> str:
    """Return the text of ``NAME.tif.aux.xml``: the name of each value of a label map, 0 first."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    for name in ("unlabelled", *product.class_names):
        ElementTree.SubElement(names, "Category").text = name
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
