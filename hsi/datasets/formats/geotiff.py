"""GeoTIFF images, read by rasterio (the optional extra ``geo``).

Values have the file's own element type. Scale and offset of the bands are not applied: each
band is standardised later, which undoes them.

A GeoTIFF cube that stays in its file; needs rasterio, the optional extra ``geo``.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import WindowedCube
from hsi.datasets.formats.facts import ArrayInfo, FileFacts, georeference_of, raster_info, to_nanometres
from hsi.errors import FileFormatError
from hsi.io.size_limits import check_claim, check_length, check_stored

GDAL_CACHE = 64 << 20
"""Bytes that GDAL may keep in memory for all files together: our decision. Its own bound is a share of the
machine's memory."""

_CENTRES = ("wavelength", "wavelengths", "central_wavelength", "center_wavelength")
_UNITS = ("wavelength_units", "wavelength_unit", "wavelengths_units")
_IN_WORDS = re.compile(
    r"(\d+(?:\.\d+)?)\s*(nm|nanomet(?:er|re)s?|[uµμ]m|micromet(?:er|re)s?|microns?)\b", re.I
)


def load_rasterio(path: Path) -> ModuleType:
    """Return the module rasterio.

    Raises
    ------
    FileFormatError
        When it is not installed; the message says how to install it.
    """
    try:
        import rasterio
        import rasterio.features
        import rasterio.warp
    except ImportError:
        raise FileFormatError(
            f"To read {path}, rasterio is needed; install it with: pip install 'hsi[geo]'"
        ) from None
    module: ModuleType = rasterio
    return module


def list_geotiff(path: Path) -> list[ArrayInfo]:
    """Return the one array of an image, without reading it."""
    with open_geotiff(path) as source:
        dtype = np.result_type(*source.dtypes) if "complex_int16" not in source.dtypes else np.dtype("c8")
        return [raster_info(source.height, source.width, source.count, str(dtype), dtype.kind in "iuf")]


def read_geotiff(path: Path, name: str = "") -> NDArray[Any]:
    """Return the values: (rows, cols, bands), a view of what was read by band; (rows, cols) of one band."""
    with open_geotiff(path) as source:
        for (rows, cols), dtype in zip(source.block_shapes, source.dtypes, strict=True):
            check_claim(path, (rows, cols), np.dtype(dtype).itemsize, path.stat().st_size)
        values: NDArray[Any] = source.read()
    return values[0] if len(values) == 1 else values.transpose(1, 2, 0)


def geotiff_facts(path: Path) -> FileFacts:
    """Return what the file says; see `FileFacts`.

    Wavelengths are looked for in the tags of the bands, then of the file, then in the bands' descriptions
    where each has a number with a unit. Class names come from the file beside it (``.aux.xml``) that GDAL and
    QGIS write; black in a colour table is taken for no colour, since it is that of unlabelled pixels.
    """
    with open_geotiff(path) as source:
        centres, unit = _wavelengths(source)
        wavelengths, note = to_nanometres(centres, unit)
        no_data = source.nodatavals[0]
        colors = {}
        if source.count == 1:
            with contextlib.suppress(ValueError):  # what rasterio raises where there is no table
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
    """Open an image with rasterio; what goes wrong there is raised as FileFormatError."""
    with damage_in_words(path), opened(path) as source:
        yield source


def opened(path: Path) -> Any:
    """Return an image as rasterio opens it, with rasterio's own errors."""
    rasterio = load_rasterio(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path.resolve(), driver="GTiff")


@contextlib.contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Raise FileFormatError for the errors of rasterio."""
    rasterio = load_rasterio(path)
    try:
        yield
    except rasterio.errors.RasterioError as error:
        cause = " ".join(str(error.__cause__ or error).split())[:160]
        raise FileFormatError(f"{path} is truncated or damaged ({cause}); fetch it again.") from None


def _wavelengths(source: Any) -> tuple[list[float], str]:
    """Return the band centres and their unit as the file has them, or nothing."""
    tags = [_folded(source.tags(band)) for band in source.indexes]
    values = [_number(_first(tag, _CENTRES)) for tag in tags]
    if all(value is not None for value in values):
        return [value for value in values if value is not None], _first(tags[0], _UNITS)
    values = [
        _number(source.tags(band, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM", "")) for band in source.indexes
    ]
    if all(value is not None for value in values):
        return [value for value in values if value is not None], "um"
    whole = _folded(source.tags())
    words = _first(whole, _CENTRES).strip("{}[]() ").split(",")
    values = [_number(word) for word in words]
    if len(values) == source.count and all(value is not None for value in values):
        return [value for value in values if value is not None], _first(whole, _UNITS)
    matches = [_IN_WORDS.search(text or "") for text in source.descriptions]
    found = [match for match in matches if match is not None]
    if len(found) == len(matches) and len({match[2].casefold() for match in found}) == 1:
        return [float(match[1]) for match in found], found[0][2]
    return [], ""


def _folded(tags: dict[str, str]) -> dict[str, str]:
    return {name.casefold(): value for name, value in tags.items()}


def _first(tags: dict[str, str], names: tuple[str, ...]) -> str:
    return next((tags[name] for name in names if name in tags), "")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _class_names(path: Path) -> dict[int, str]:
    """Return the names of the categories, code 0 apart, that GDAL keeps in ``FILE.aux.xml``."""
    beside = path.with_name(path.name + ".aux.xml")
    if not beside.is_file():
        return {}
    check_length(beside)
    text = beside.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # GDAL writes none, and they can unpack to a great deal
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
    return georeference_of(crs, source.transform[:6])


AHEAD = 64 << 20
"""Bytes of the file's values that are read together where windows follow each other from left to right: our
decision. What is packed in strips or tiles is unpacked once for many windows so."""
_LARGE_BLOCK = 4 * AHEAD  # bytes: what is packed in one piece beyond this is spoken of


class GeoTiffCube(WindowedCube):
    """The values of an image ``(rows, cols, bands)``, read by windows.

    It may be sent to another process, or be there after a fork: each opens the file for itself, since GDAL's
    files cannot be shared. Threads of one process take turns.

    Parameters
    ----------
    path
        The image.

    Raises
    ------
    FileFormatError
        When it is damaged, here or when a window is read; when rasterio is not installed; or when strips or
        tiles of it are larger than this machine's memory.
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
        area = self._block[0] * self._block[1]
        self._unpacked = packed * area * self.shape[2] * self.dtype.itemsize
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._source: Any = None
        self._last: tuple[slice, slice] | None = None
        self._kept: tuple[slice, slice, NDArray[np.int64] | None, NDArray[Any]] | None = None

    def __reduce__(self) -> tuple[type[GeoTiffCube], tuple[Path]]:
        """Be sent as the name of the file."""
        return GeoTiffCube, (self.path,)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence where the way the file is packed makes mapping slow, else nothing."""
        if self._unpacked <= _LARGE_BLOCK:
            return ()
        return (
            f"{self.path.name} is packed in pieces of {self._unpacked / 2**20:,.0f} MiB, each unpacked many "
            "times for a map, which takes time and memory; a copy in tiles does not "
            "(gdal_translate -co TILED=YES).",
        )

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return self._block[0]

    @property
    def held(self) -> int:
        """See `WindowedCube`."""
        return AHEAD + GDAL_CACHE

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        if self._process != os.getpid():
            self._forget()
        with self._lock:
            if not self._keeps(rows, cols, bands):
                wide = self._widened(rows, cols, bands)
                # What was kept is let go of before more is read.
                self._kept = None
                self._kept = (rows, wide, bands, self._values(rows, wide, bands))
            self._last = rows, cols
            assert self._kept is not None
            _, wide, _, values = self._kept
            part = values[:, :, cols.start - wide.start : cols.stop - wide.start]
            window = np.ascontiguousarray(part.transpose(1, 2, 0))
            if cols.stop == wide.stop:
                self._kept = None
            return window

    def _keeps(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> bool:
        if self._kept is None:
            return False
        kept_rows, kept_cols, kept_bands, _ = self._kept
        inside = kept_cols.start <= cols.start and cols.stop <= kept_cols.stop
        if bands is None or kept_bands is None:
            return rows == kept_rows and inside and bands is kept_bands
        return rows == kept_rows and inside and np.array_equal(bands, kept_bands)

    def _widened(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> slice:
        """Return the columns to be read: more to the right where this window goes on from the last."""
        if not self._goes_on(rows, cols):
            return cols
        count = self.shape[2] if bands is None else len(bands)
        fitting = AHEAD // max(1, (rows.stop - rows.start) * count * self.dtype.itemsize)
        stop = min(cols.start + fitting, self.shape[1])
        whole_blocks = stop - stop % self._block[1]
        if cols.stop <= whole_blocks and stop < self.shape[1]:
            stop = whole_blocks
        return slice(cols.start, max(stop, cols.stop))

    def _goes_on(self, rows: slice, cols: slice) -> bool:
        """Tell whether a window is to the right of the last, or the first below a row of windows."""
        if self._last is None:
            return False
        last_rows, last_cols = self._last
        if rows == last_rows:
            return bool(last_cols.start < cols.start <= last_cols.stop)
        return bool(cols.start == 0 and last_cols.stop == self.shape[1] and last_rows.start < rows.start)

    def _values(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """Return ``(bands, rows, cols)``, as GDAL gives them."""
        count = self.shape[2] if bands is None else len(bands)
        size = (count, rows.stop - rows.start, cols.stop - cols.start)
        if 0 in size:
            return np.empty(size, self.dtype)
        rasterio = load_rasterio(self.path)
        indexes = None if bands is None else (bands + 1).tolist()
        window = rasterio.windows.Window(cols.start, rows.start, size[2], size[1])
        with damage_in_words(self.path), rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE):
            if self._source is None:
                self._source = opened(self.path)
            values: NDArray[Any] = self._source.read(indexes, window=window)
        return values
