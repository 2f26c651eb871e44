"""The place of an ENVI image: "map info", "projection info" and "coordinate system string".

The coordinate system is told by GDAL's own ENVI driver where rasterio is installed. It is shown a header
with nothing but these fields, in memory, so that no file beside the image is opened. Without rasterio, only
WKT, UTM and degrees on WGS 84 are read.
"""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
import zipfile
from typing import Any

from hsi.datasets.formats.envi_header import Header
from hsi.datasets.formats.facts import is_crs, make_georeference

_WGS84 = re.compile(r"(d_)?wgs[-_ ]?(19)?84|world geodetic system (19)?84", re.IGNORECASE)
# Names of datums that others than ENVI write -> those that GDAL's driver knows.
_DATUMS = {
    "nad83": "North America 1983", "nad27": "North America 1927", "ed50": "European 1950",
    "northamerican1983": "North America 1983", "northamerican1927": "North America 1927",
    "northamericandatum1983": "North America 1983", "northamericandatum1927": "North America 1927",
    "dnorthamerican1983": "North America 1983", "dnorthamerican1927": "North America 1927",
    "europeandatum1950": "European 1950", "gda94": "Geocentric Datum of Australia 1994",
    "gda1994": "Geocentric Datum of Australia 1994",
}  # fmt: skip


def georeference_of(header: Header, notes: list[str]) -> dict[str, Any] | None:
    """Return the grid of "map info": name, reference pixel (from 1), its x and y, pixel width and height, ...

    Reference pixel (1, 1) is the outer corner of the first pixel. A rotation (degrees) is applied as by GDAL.
    Notes are added of what cannot be read.
    """
    fields = header.words("map info")
    if not fields:
        return None
    try:
        col, row, x, y, width, height = (float(field) for field in fields[1:7])
        angle = next((float(one.split("=")[1]) for one in fields if _is_rotation(one)), 0.0)
    except (ValueError, IndexError):
        notes.append("'map info' in the ENVI header cannot be read; the scene has no georeference.")
        return None
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    left, top = x - (col - 1) * width, y + (row - 1) * height
    transform = [cosine * width, sine * width, left, sine * height, -cosine * height, top]
    placed = make_georeference("", transform)
    if placed is None:
        notes.append("'map info' in the ENVI header gives pixels no place; the scene has no georeference.")
        return None
    return {**placed, "crs": _crs(header, fields, notes)}


def _is_rotation(field: str) -> bool:
    return re.match(r"rotation\s*=", field, re.IGNORECASE) is not None


def _crs(header: Header, fields: list[str], notes: list[str]) -> str:
    text = header.text("coordinate system string").strip()
    if text and is_crs(text):
        if crs := _from_text(text):
            return crs
        notes.append("'coordinate system string' in the ENVI header cannot be read; it is left out.")
    name = fields[0].casefold()
    if name.startswith("arbitrary"):
        return ""
    others = (field for field in fields[7:] if not re.match(r"[+-]?\.?\d|north$|south$|.*=|$", field, re.I))
    datum = next(others, "")
    zone = int(fields[7]) if name == "utm" and len(fields) > 8 and re.fullmatch(r"\d{1,2}", fields[7]) else 0
    south = zone > 0 and fields[8].casefold().startswith("s")
    if not datum and (1 <= zone <= 60 or name.startswith("geographic")):
        notes.append("'map info' in the ENVI header names no datum; WGS 84 is taken.")
        datum = "WGS-84"
    if _WGS84.fullmatch(datum):
        if name.startswith("geographic"):
            return "EPSG:4326"
        if 1 <= zone <= 60:
            return f"EPSG:{(32700 if south else 32600) + zone}"
    if re.fullmatch(r"(d_)?etrs[-_ ]?(19)?89", datum, re.IGNORECASE) and 28 <= zone <= 38 and not south:
        return f"EPSG:{25800 + zone}"
    known = _DATUMS.get(re.sub(r"[-_ ]", "", datum).casefold(), datum)
    crs = _from_map_info(header, [known if field == datum else field for field in fields])
    if not crs:
        system = f"{fields[0]}, {datum}" if datum else fields[0]
        notes.append(
            f"The coordinate system '{system[:80]}' of the ENVI header is not known; it is left open."
        )
    return crs


def _from_text(text: str) -> str:
    """Return the code of a coordinate system, else its text; "" where PROJ cannot read it."""
    try:
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
    except ImportError:
        return text
    try:
        number = CRS.from_user_input(text).to_epsg()
    except CRSError:
        return ""
    return text if number is None else f"EPSG:{number}"


class _Warnings(logging.Handler):
    """Keeps what GDAL warns of, and so keeps it off the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one warning."""
        self.texts.append(record.getMessage())


def _from_map_info(header: Header, fields: list[str]) -> str:
    """Return the coordinate system that GDAL makes of "map info" and "projection info", "" for none."""
    try:
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
        from rasterio.io import ZipMemoryFile
    except ImportError:
        return ""
    lists = {"map info": ", ".join(fields), "projection info": header.text("projection info")}
    if any(set(text) & set("{}\n") for text in lists.values()):
        return ""
    # GDAL wants a data file of a few bytes.
    text = "ENVI\nsamples = 64\nlines = 1\nbands = 1\ndata type = 1\ninterleave = bsq\nbyte order = 0\n"
    text += "".join(f"{key} = {{{value}}}\n" for key, value in lists.items() if value)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("place.hdr", text)
        file.writestr("place.img", bytes(64))
    warned = _Warnings()
    logger = logging.getLogger("rasterio")
    logger.addHandler(warned)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with (
                ZipMemoryFile(archive.getvalue()) as memory,
                memory.open("place.img", driver="ENVI") as image,
            ):
                crs = image.crs
                # A zone that cannot be gives degrees.
                known = crs is not None and crs.is_geographic == fields[0].casefold().startswith("geographic")
                number, wkt = (crs.to_epsg(), crs.to_wkt()) if known else (None, "")
    except RasterioError:
        return ""
    finally:
        logger.removeHandler(warned)
    # GDAL takes a datum that it does not know for WGS 84, and a projection for a plane without a place.
    if any("nrecognized" in text for text in warned.texts) or wkt.startswith(("LOCAL_CS", "ENGCRS")):
        return ""
    return wkt if number is None else f"EPSG:{number}"
