"""What is written of a map: labels, confidence, or the probability of each class.

Maps as arrays: NumPy's .npy, and MATLAB's .mat (version 5).

Maps as PNG: labels in the scene's colours, confidence in grey.

Maps as GeoTIFF: the scene's coordinates, a colour table and class names, so that a GIS opens them right.

Needs rasterio, the optional extra ``geo``.
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

from hsi.datasets.formats.geotiff import GDAL_CACHE
from hsi.datasets.scene import UNLABELLED, to_rgb
from hsi.errors import ConfigError
from hsi.inference.tiles import CELL, Window

Write = Callable[[Window, NDArray[Any]], None]
"""Takes the values of one window of a layer; windows may come in any order and do not overlap."""


@dataclass(frozen=True)
class MapProduct:
    """One picture of a map, and what a file should say about it.

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
        """Turn logits ``(h, w, classes)`` into what this layer holds of them."""
        if self.kind == "map":
            return np.where(missing, 0, logits.argmax(axis=2) + 1).astype(self.dtype)
        shares = np.exp(logits - logits.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        shares[missing] = np.nan
        return shares if self.kind == "proba" else shares.max(axis=2)


ROOM_BYTES = 2**22
"""Zeros that are written at a time where a system cannot give a file its room at once."""
MAT_BYTES = 2**31
"""What one variable of a version 5 file can hold."""


@contextmanager
def write_npy(path: Path, layer: MapProduct) -> Iterator[Write]:
    """Write ``layer.shape`` as one array, tile by tile: the file is a memory map."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=layer.dtype, shape=layer.shape)
    _take_room(path, array.offset)
    yield _into(array)
    array.flush()


@contextmanager
def write_mat(path: Path, layer: MapProduct) -> Iterator[Write]:
    """Write a variable called as the layer's kind, and ``class_names``; the layer is held in memory.

    Raises
    ------
    ConfigError
        For a layer that no such file can hold.
    """
    from scipy.io import savemat

    size = int(np.prod(layer.shape, dtype=np.int64)) * layer.dtype.itemsize
    if size >= MAT_BYTES:
        raise ConfigError(
            f"A .mat file cannot hold {layer.kind} of {size / 2**30:.1f} GiB; write .npy or .tif instead."
        )
    array = np.zeros(layer.shape, layer.dtype)
    yield _into(array)
    names = np.array(layer.class_names, dtype=object)
    with path.open("wb") as file:  # given a name, SciPy would add .mat to it
        savemat(file, {layer.kind: array, "class_names": names}, do_compression=True)


def _take_room(path: Path, offset: int) -> None:
    """Give a file with nothing but zeros after `offset` its room on the disk.

    A full disk says so here; later it would end the process that writes into the map.
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
        for start in range(offset, size, ROOM_BYTES):
            file.write(bytes(min(ROOM_BYTES, size - start)))


def _into(array: NDArray[Any]) -> Write:
    def write(window: Window, values: NDArray[Any]) -> None:
        array[window.top : window.bottom, window.left : window.right] = values

    return write


MOST_COLORS = 256


@contextmanager
def write_png(path: Path, layer: MapProduct) -> Iterator[Write]:
    """Write 8 bits a pixel, which are held in memory.

    Labels are the numbers of a palette, 0 black; confidence is 0 (black, also where there is no data) to 255
    (certain).

    Raises
    ------
    ConfigError
        For probabilities, or more classes than a palette has colours beside black.
    """
    from PIL import Image

    if layer.kind == "proba":
        raise ConfigError(
            "A PNG cannot hold the probability of each class; write .tif, .npy or .mat instead."
        )
    if layer.kind == "map" and len(layer.class_names) >= MOST_COLORS:
        raise ConfigError(
            f"A PNG has {MOST_COLORS - 1} colours for classes, not {len(layer.class_names)}; write .tif, "
            ".npy or .mat instead."
        )
    array = np.zeros((layer.rows, layer.cols), np.uint8)

    def write(window: Window, values: NDArray[Any]) -> None:
        if layer.kind == "confidence":
            values = np.rint(255 * np.nan_to_num(values, nan=0.0))
        array[window.top : window.bottom, window.left : window.right] = values

    yield write
    image = Image.fromarray(array)
    if layer.kind == "map":
        image.putpalette(to_rgb((UNLABELLED, *layer.colors)).tobytes())
    image.save(path, format="PNG")


FULL = 2**20
"""Bytes: a disk on which a write failed and that has less left is taken to be full: our decision."""


@contextmanager
def write_geotiff(path: Path, layer: MapProduct) -> Iterator[Write]:
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


def category_names(layer: MapProduct) -> str:
    """Return what GDAL reads from ``NAME.tif.aux.xml``: the name of each value of a label map, 0 first."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    for name in ("unlabelled", *layer.class_names):
        ElementTree.SubElement(names, "Category").text = name
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
