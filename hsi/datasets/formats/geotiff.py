"""GeoTIFF images, read by rasterio (the optional extra ``geo``).

Values keep the file's element type. Scale and offset of the bands are not applied: each band is standardised
later, which cancels them. `GeoTiffCube` leaves the values on disk.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import WindowedCube
from hsi.datasets.formats.facts import ArrayInfo, FileFacts, make_georeference, raster_info, to_nanometres
from hsi.errors import FileFormatError, install_command
from hsi.io.size_limits import check_claim, check_length, check_stored

GDAL_CACHE = 64 << 20
"""Bytes of GDAL's block cache, for all files together; its default is a share of the machine's memory."""

_CENTRES = ("wavelength", "wavelengths", "central_wavelength", "center_wavelength")
_UNITS = ("wavelength_units", "wavelength_unit", "wavelengths_units")
_NUMBER_WITH_UNIT = re.compile(
    r"(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?|microns?)\b", re.I
)


def load_rasterio(path: Path) -> ModuleType:
    """Return the module rasterio; FileFormatError says how to install it where it is missing."""
    try:
        import rasterio
        import rasterio.features
        import rasterio.warp
    except ImportError:
        raise FileFormatError(
            f"To read {path}, rasterio is needed; install it with: {install_command('geo')}"
        ) from None
    module: ModuleType = rasterio
    return module


def list_geotiff(path: Path) -> list[ArrayInfo]:
    """Return the one array of an image, without reading it."""
    with open_geotiff(path) as source:
        dtype = np.result_type(*source.dtypes) if "complex_int16" not in source.dtypes else np.dtype("c8")
        return [raster_info(source.height, source.width, source.count, str(dtype), dtype.kind in "iuf")]


def read_geotiff(path: Path, info: ArrayInfo) -> NDArray[Any]:
    """Return the values: (rows, cols, bands), a transposed view; (rows, cols) of one band."""
    with open_geotiff(path) as source:
        for (rows, cols), dtype in zip(source.block_shapes, source.dtypes, strict=True):
            check_claim(path, (rows, cols), np.dtype(dtype).itemsize, path.stat().st_size)
        values: NDArray[Any] = source.read()
    return values[0] if len(values) == 1 else values.transpose(1, 2, 0)


def geotiff_facts(path: Path) -> FileFacts:
    """Return the metadata of the file.

    Wavelengths come from the tags of the bands, else of the file, else from the bands' descriptions where
    each has a number with a unit. Class names come from the ``.aux.xml`` beside it that GDAL and QGIS write;
    black in a colour table counts as no colour, since it is that of unlabelled pixels.
    """
    with open_geotiff(path) as source:
        centres, unit = _wavelengths(source)
        wavelengths, note = to_nanometres(centres, unit)
        no_data = source.nodatavals[0]
        colors = {}
        if source.count == 1:
            with contextlib.suppress(ValueError):  # raised where there is no table
                colors = {
                    code: "#{:02x}{:02x}{:02x}".format(*color)
                    for code, color in source.colormap(1).items()
                    if code > 0 and any(color[:3])
                }
        return FileFacts(
            wavelengths_nm=wavelengths,
            no_data=None if no_data is None else float(no_data),
            class_names=_class_names(path),
            colors=colors,
            georeference=_georeference(source),
            notes=(note,) if note else (),
        )


@contextlib.contextmanager
def open_geotiff(path: Path) -> Iterator[Any]:
    """Open an image; FileFormatError for the errors of rasterio."""
    with _rasterio_errors(path), _open(path) as source:
        yield source


def _open(path: Path) -> Any:
    rasterio = load_rasterio(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path.resolve(), driver="GTiff")


@contextlib.contextmanager
def _rasterio_errors(path: Path) -> Iterator[None]:
    rasterio = load_rasterio(path)
    try:
        yield
    except rasterio.errors.RasterioError as error:
        cause = " ".join(str(error.__cause__ or error).split())[:160]
        raise FileFormatError(f"{path} is truncated or damaged ({cause}); fetch it again.") from None


def _wavelengths(source: Any) -> tuple[list[float], str]:
    """Return the band centres and their unit as in the file, or nothing."""
    tags = [_lower_case(source.tags(band)) for band in source.indexes]
    if values := _numbers(_first(tag, _CENTRES) for tag in tags):
        return values, _first(tags[0], _UNITS)
    imagery = (source.tags(band, ns="IMAGERY") for band in source.indexes)
    if values := _numbers(tag.get("CENTRAL_WAVELENGTH_UM", "") for tag in imagery):
        return values, "um"
    of_file = _lower_case(source.tags())
    values = _numbers(_first(of_file, _CENTRES).strip("{}[]() ").split(","))
    if len(values) == source.count:
        return values, _first(of_file, _UNITS)
    matches = [_NUMBER_WITH_UNIT.search(text or "") for text in source.descriptions]
    found = [match for match in matches if match is not None]
    if len(found) == len(matches) and len({match[2].casefold() for match in found}) == 1:
        return [float(match[1]) for match in found], found[0][2]
    return [], ""


def _lower_case(tags: dict[str, str]) -> dict[str, str]:
    return {name.casefold(): value for name, value in tags.items()}


def _first(tags: dict[str, str], names: tuple[str, ...]) -> str:
    return next((tags[name] for name in names if name in tags), "")


def _numbers(texts: Iterable[str]) -> list[float]:
    """Return texts as numbers, or none of them where one is not a number."""
    try:
        return [float(text) for text in texts]
    except ValueError:
        return []


def _class_names(path: Path) -> dict[int, str]:
    """Return the category names, without code 0, that GDAL keeps in ``FILE.aux.xml``."""
    beside = path.with_name(path.name + ".aux.xml")
    if not beside.is_file():
        return {}
    check_length(beside)
    text = beside.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # GDAL writes none; they can be an XML bomb
        return {}
    try:
        band = ElementTree.fromstring(text).find("PAMRasterBand[@band='1']")
    except (ElementTree.ParseError, ValueError, LookupError):
        return {}
    names = [] if band is None else band.findall("CategoryNames/Category")
    return {code: name.text for code, name in enumerate(names) if code and name.text}


def _georeference(source: Any) -> dict[str, Any] | None:
    if source.crs is None and source.transform.is_identity:
        return None
    crs = ""
    if source.crs is not None:
        number = source.crs.to_epsg()
        crs = source.crs.to_wkt() if number is None else f"EPSG:{number}"
    return make_georeference(crs, source.transform[:6])


READ_AHEAD = 64 << 20
"""Bytes read at once where windows follow each other from left to right, so that a compressed block is
decompressed once for many windows."""
_LARGE_BLOCK = 4 * READ_AHEAD  # bytes of compressed values in one block, above which the scene gets a note


class GeoTiffCube(WindowedCube):
    """The values of an image ``(rows, cols, bands)``, read by windows.

    It can be pickled and survives a fork: each process opens the file for itself, since GDAL's file handles
    cannot be shared. Threads of one process take turns.

    Parameters
    ----------
    path
        The image.

    Raises
    ------
    FileFormatError
        When it is damaged (here or when a window is read), when rasterio is not installed, or when a strip or
        tile is larger than this machine's memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_geotiff(path) as source:
            self.shape = (source.height, source.width, source.count)
            self.dtype = np.dtype(source.dtypes[0])
            rows, cols = source.block_shapes[0]
            packed = source.compression is not None
            together = source.count if source.interleaving.value == "PIXEL" else 1
        length = path.stat().st_size
        check_stored(path, self.shape, self.dtype.itemsize, length)
        check_claim(path, (rows, cols, together), self.dtype.itemsize, length)
        self._block = (min(rows, self.shape[0]), min(cols, self.shape[1]))
        self._block_bytes = packed * math.prod(self._block) * self.shape[2] * self.dtype.itemsize
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._source: Any = None
        self._last: tuple[slice, slice] | None = None
        self._cache: tuple[slice, slice, NDArray[np.int64] | None, NDArray[Any]] | None = None

    def __reduce__(self) -> tuple[type[GeoTiffCube], tuple[Path]]:
        """Pickle as the path of the file."""
        return GeoTiffCube, (self.path,)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence if the block layout of the file makes mapping slow, else nothing."""
        if self._block_bytes <= _LARGE_BLOCK:
            return ()
        return (
            f"{self.path.name} is compressed in blocks of {self._block_bytes / 2**20:,.0f} MiB, each "
            "decompressed many times for a map; make a tiled copy (gdal_translate -co TILED=YES) to map "
            "faster and with less memory.",
        )

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return self._block[0]

    @property
    def memory_bytes(self) -> int:
        """See `WindowedCube`."""
        return READ_AHEAD + GDAL_CACHE

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        if self._process != os.getpid():
            self._reset()
        with self._lock:
            if not self._is_cached(rows, cols, bands):
                wide = self._read_ahead(rows, cols, bands)
                self._cache = None  # freed before more is read
                self._cache = (rows, wide, bands, self._values(rows, wide, bands))
            self._last = rows, cols
            assert self._cache is not None
            _, wide, _, values = self._cache
            part = values[:, :, cols.start - wide.start : cols.stop - wide.start]
            window = np.ascontiguousarray(part.transpose(1, 2, 0))
            if cols.stop == wide.stop:
                self._cache = None
            return window

    def _is_cached(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> bool:
        if self._cache is None:
            return False
        cached_rows, cached_cols, cached_bands, _ = self._cache
        if rows != cached_rows or cols.start < cached_cols.start or cols.stop > cached_cols.stop:
            return False
        if bands is None or cached_bands is None:
            return bands is cached_bands
        return np.array_equal(bands, cached_bands)

    def _read_ahead(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> slice:
        """Return the columns to read: more to the right if this window follows the last one."""
        if not self._continues(rows, cols):
            return cols
        count = self.shape[2] if bands is None else len(bands)
        fitting = READ_AHEAD // max(1, (rows.stop - rows.start) * count * self.dtype.itemsize)
        stop = min(cols.start + fitting, self.shape[1])
        whole_blocks = stop - stop % self._block[1]
        if cols.stop <= whole_blocks and stop < self.shape[1]:
            stop = whole_blocks
        return slice(cols.start, max(stop, cols.stop))

    def _continues(self, rows: slice, cols: slice) -> bool:
        """Whether a window is to the right of the last, or the first one below a row of windows."""
        if self._last is None:
            return False
        last_rows, last_cols = self._last
        if rows == last_rows:
            return bool(last_cols.start < cols.start <= last_cols.stop)
        return bool(cols.start == 0 and last_cols.stop == self.shape[1] and last_rows.start < rows.start)

    def _values(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """Return ``(bands, rows, cols)``."""
        count = self.shape[2] if bands is None else len(bands)
        size = (count, rows.stop - rows.start, cols.stop - cols.start)
        if 0 in size:
            return np.empty(size, self.dtype)
        rasterio = load_rasterio(self.path)
        indexes = None if bands is None else (bands + 1).tolist()
        window = rasterio.windows.Window(cols.start, rows.start, size[2], size[1])
        with _rasterio_errors(self.path), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
            if self._source is None:
                self._source = _open(self.path)
            values: NDArray[Any] = self._source.read(indexes, window=window)
        return values
