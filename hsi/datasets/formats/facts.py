"""What a file says about itself: its arrays, wavelengths, bad bands, classes, coordinate system.

GDAL also accepts a file name or a web address as a coordinate system, and opens it. `is_crs` keeps that out:
it accepts codes of authorities, WKT and plain PROJ strings only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ArrayInfo:
    """One array in a file: name, shape as `read_array` returns it, element type, whether it holds numbers."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    numeric: bool

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape)) or "scalar"
        return f"{self.name} ({size} {self.dtype})" if self.name else f"one array ({size} {self.dtype})"


def raster_info(rows: int, cols: int, bands: int, dtype: str, numeric: bool) -> ArrayInfo:
    """Return the one, nameless array of a raster file: 2-D where there is a single band."""
    return ArrayInfo("", (rows, cols) if bands == 1 else (rows, cols, bands), dtype, numeric)


@dataclass(frozen=True)
class FileFacts:
    """Metadata of a file; empty where it has none.

    Attributes
    ----------
    wavelengths_nm, fwhm_nm
        Band centres, and full widths at half maximum, in nanometres, one a band of the file.
    bad_bands
        Bands that the file itself marks as bad, counted from 0.
    no_data
        Value that marks pixels without data, or None.
    class_names, colors
        Code -> name, "#rrggbb", for a file of labels.
    sensor
        The sensor's name.
    georeference
        ``{"crs": text, "transform": [a, b, c, d, e, f]}``, or None. ``crs`` is ``EPSG:n`` or WKT, "" if not
        known; x = a col + b row + c and y = d col + e row + f, with (0, 0) the outer corner of the first
        pixel.
    notes
        One sentence each for metadata that was ignored or guessed.
    """

    wavelengths_nm: tuple[float, ...] = ()
    fwhm_nm: tuple[float, ...] = ()
    bad_bands: tuple[int, ...] = ()
    no_data: float | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, str] = field(default_factory=dict)
    sensor: str = ""
    georeference: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def make_georeference(crs: str, transform: Sequence[float]) -> dict[str, Any] | None:
    """Return a georeference as in `FileFacts`, or None if it is not finite, out of range or singular."""
    a, b, _, d, e, _ = transform
    sizes = map(abs, transform)
    if not all(math.isfinite(size) and size < _MAX_COORDINATE for size in sizes) or a * e - b * d == 0:
        return None
    return {"crs": crs, "transform": [float(value) for value in transform]}


_MAX_COORDINATE = 1e12  # metres or degrees
_MAX_CRS_LENGTH = 50_000
_CODE = re.compile(
    r"(?:EPSG|ESRI|OGC|CRS|IGNF|IAU_2015|SR-ORG):{1,2}[A-Za-z0-9]+"
    r"|urn:(?:ogc|x-ogc):def:crs:[A-Za-z]+:[\w.]*:[A-Za-z0-9]+"
    r"|https?://(?:www\.)?opengis\.net/def/crs/[A-Za-z]+/[\w.]+/[A-Za-z0-9]+",
    re.IGNORECASE,
)
_WKT = re.compile(
    r"\s*(?:GEOGCS|PROJCS|GEOCCS|LOCAL_CS|VERT_CS|COMPD_CS|GEOGCRS|GEODCRS|GEODETICCRS|GEOGRAPHICCRS|PROJCRS"
    r"|PROJECTEDCRS|COMPOUNDCRS|ENGCRS|ENGINEERINGCRS|BOUNDCRS|DERIVEDPROJCRS)\s*[\[(]",
    re.IGNORECASE,
)
_PROJ = re.compile(r"(?:\s*\+(?!init|nadgrids|geoidgrids|grids|file)[A-Za-z_0-9]+(?:=[\w.,+-]*)?)+\s*")


def is_crs(text: str) -> bool:
    """Whether a text is a code (``EPSG:32616``, OGC's URN or URL), WKT, or a PROJ string without files."""
    if len(text) > _MAX_CRS_LENGTH:
        return False
    return bool(_CODE.fullmatch(text.strip()) or _WKT.match(text) or _PROJ.fullmatch(text))


_UNITS = {
    "nm": 1.0, "nanometer": 1.0, "nanometers": 1.0, "nanometre": 1.0, "nanometres": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "microns": 1e3, "micrometer": 1e3, "micrometers": 1e3,
    "micrometre": 1e3, "micrometres": 1e3,
    "mm": 1e6, "millimeters": 1e6, "cm": 1e7, "centimeters": 1e7, "m": 1e9, "meters": 1e9,
    "angstrom": 0.1, "angstroms": 0.1,
}  # fmt: skip
_NO_UNIT = {"", "unknown", "none"}
# Ranges and factors where no unit is given: optical sensors, visible to thermal infrared.
_GUESSES = (("micrometres", 1e3, 0.2, 20.0), ("nanometres", 1.0, 200.0, 20_000.0))


def to_nanometres(values: Sequence[float], unit: str) -> tuple[tuple[float, ...], str]:
    """Return band centres (or widths) in nanometres, and a note ("" if the unit is clear).

    Parameters
    ----------
    values
        One a band, in `unit`.
    unit
        As in ENVI headers and raster tags, any letter case. Where it is missing, values from 0.2 to 20 are
        taken as micrometres and from 200 to 20,000 as nanometres. Other quantities (band number, frequency,
        wave number) and ambiguous values give no wavelengths.
    """
    word = unit.strip().casefold()
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        return (), "The file's wavelengths are not all positive numbers; they are left out." if values else ""
    if word in _UNITS:
        return tuple(value * _UNITS[word] for value in values), ""
    if word not in _NO_UNIT:
        return (), f"The file gives its bands in '{unit}', which is no wavelength; it is left out."
    for name, factor, low, high in _GUESSES:
        if low <= min(values) and max(values) <= high:
            note = f"The file gives no unit of its wavelengths; by their size they are taken for {name}."
            return tuple(value * factor for value in values), note
    return (), "The file gives no unit of its wavelengths, and none can be told; they are left out."
