"""What is said of an array in a file before it is read.

What image files say of themselves beside their values: wavelengths, bad bands, classes, place on earth.

Texts that name a coordinate system, as files of others have them.

GDAL takes the name of a file or a web address for a coordinate system, too, and opens it. No file may make
this program do so: only codes of authorities, WKT and plain PROJ texts are let through (our decision).

Band positions in nanometres, from the units that files give them in.
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
    """Return what a raster file holds: one nameless array, 2-D where there is a single band."""
    return ArrayInfo("", (rows, cols) if bands == 1 else (rows, cols, bands), dtype, numeric)


@dataclass(frozen=True)
class FileFacts:
    """What a file says of itself; everything is empty where it says nothing.

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
        ``{"crs": text, "transform": [a, b, c, d, e, f]}``, or None. The text is ``EPSG:n`` or WKT, "" where
        not known; x = a col + b row + c and y = d col + e row + f, where (0, 0) is the outer corner of the
        first pixel.
    notes
        One sentence each for what could not be taken over, or was guessed.
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


def georeference_of(crs: str, transform: Sequence[float]) -> dict[str, Any] | None:
    """Return a georeference as `FileFacts` has it, or None where its numbers put no pixel anywhere.

    That is so where one is not finite or beyond any coordinate on earth, or where pixels have no area.
    """
    a, b, _, d, e, _ = transform
    sizes = (abs(value) for value in transform)
    if not all(math.isfinite(value) and value < _FARTHEST for value in sizes) or a * e - b * d == 0:
        return None
    return {"crs": crs, "transform": [float(value) for value in transform]}


_FARTHEST = 1e12  # in metres or degrees, whichever the system has


_MOST = 50_000  # letters
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


def names_a_system(text: str) -> bool:
    """Whether a text is a code (``EPSG:32616``, OGC's URN or address), WKT, or a PROJ text without files."""
    if len(text) > _MOST:
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
# Where no unit is given: optical sensors, visible to thermal infrared.
_LIKE_MICROMETRES = (0.2, 20.0)
_LIKE_NANOMETRES = (200.0, 20_000.0)


def to_nanometres(values: Sequence[float], unit: str) -> tuple[tuple[float, ...], str]:
    """Return band positions (or widths) in nanometres, and a note for people ("" where all is plain).

    Parameters
    ----------
    values
        One a band, in `unit`.
    unit
        As ENVI headers and raster tags write it, any letter case. Where it is missing, values from 0.2 to 20
        are taken for micrometres and from 200 to 20,000 for nanometres (our decision). What is no wavelength
        (a band's number, a frequency, a wave number) or cannot be told gives none.
    """
    word = unit.strip().casefold()
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        return (), "The file's wavelengths are not all positive numbers; they are left out." if values else ""
    if word in _UNITS:
        return tuple(value * _UNITS[word] for value in values), ""
    if word not in _NO_UNIT:
        return (), f"The file gives its bands in '{unit}', which is no wavelength; it is left out."
    for (low, high), name in ((_LIKE_MICROMETRES, "micrometres"), (_LIKE_NANOMETRES, "nanometres")):
        if low <= min(values) and max(values) <= high:
            factor = 1e3 if name == "micrometres" else 1.0
            note = f"The file gives no unit of its wavelengths; by their size they are taken for {name}."
            return tuple(value * factor for value in values), note
    return (), "The file gives no unit of its wavelengths, and none can be told; they are left out."
