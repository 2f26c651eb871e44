"""GeoTIFF images, read by rasterio (the optional extra ``geo``).

Values have the file's own element type. Scale and offset of the bands are not applied: each
band is standardised later, which undoes them.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.array_info import ArrayInfo, raster_info
from hsi.datasets.file_facts import FileFacts, georeference_of
from hsi.datasets.size_limits import check_claim, check_length
from hsi.datasets.wavelengths import to_nanometres
from hsi.errors import FileFormatError

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
