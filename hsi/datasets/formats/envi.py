"""ENVI images: a text header (``.hdr``) and a data file, read by the `spectral` library.

The data is memory-mapped, so a cube larger than memory can be opened; the view is (rows, cols, bands)
whatever the interleave. Gain, offset and reflectance scale of the header are not applied: each band is
standardised later, which cancels them.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import (
    ArrayInfo,
    FileFacts,
    is_crs,
    make_georeference,
    raster_info,
    to_nanometres,
)
from hsi.datasets.formats.recognise import envi_header
from hsi.errors import FileFormatError
from hsi.io.size_limits import check_length

Header = Mapping[str, Any]


def envi_files(path: Path) -> tuple[Path, Path]:
    """Return the header and the data file of an ENVI image, of which `path` is one.

    Raises
    ------
    FileFormatError
        When there is no data file beside the header.
    """
    header = envi_header(path)
    assert header is not None, "only called for what `recognise` calls envi"
    if header != path:
        return header, path
    stem = header.name[: -len(header.suffix)] if header.suffix.lower() == ".hdr" else header.name
    beside = sorted(one for one in header.parent.iterdir() if one.is_file() and one != header)
    fitting = [one for one in beside if one.name == stem]
    fitting += [one for one in beside if one.stem == stem and one.suffix.lower() in _DATA_SUFFIXES]
    if not fitting:
        raise FileFormatError(
            f"{path} is an ENVI header without its data: put the file {stem}, {stem}.img or {stem}.bsq "
            "beside it, or name the data file itself."
        )
    return header, fitting[0]


_DATA_SUFFIXES = (".img", ".dat", ".raw", ".bin", ".bsq", ".bil", ".bip", ".hyspex")


def list_envi(path: Path) -> list[ArrayInfo]:
    """Return the one array of an ENVI image, without reading it."""
    image = _open(path)
    dtype = np.dtype(image.dtype)
    return [raster_info(image.nrows, image.ncols, image.nbands, str(dtype), dtype.kind in "iuf")]


def read_envi(path: Path, info: ArrayInfo | None = None) -> NDArray[Any]:
    """Return the values, memory-mapped and read-only: (rows, cols, bands), or (rows, cols) of one band."""
    image = _open(path)
    mapped: NDArray[Any] = image.open_memmap(interleave="bip", writable=False)
    return mapped[:, :, 0] if image.nbands == 1 else mapped


def envi_facts(path: Path) -> FileFacts:
    """Return the metadata of the header; a note is made of values that cannot be read."""
    header = _open(path).metadata
    bands = int(header["bands"])
    notes: list[str] = []
    centres = _numbers(header, "wavelength", notes)
    unit = str(header.get("wavelength units", ""))
    wavelengths, note = to_nanometres(centres, unit)
    notes += [note] * bool(note)
    widths = _numbers(header, "fwhm", notes) if wavelengths else ()
    # Widths are in the unit of the centres, which may have been guessed.
    factor = wavelengths[0] / centres[0] if wavelengths else 1.0
    if not all(0 < width < math.inf for width in widths):
        notes.append("The header lists band widths ('fwhm') that are not positive numbers; left out.")
        widths = ()
    bad = tuple(number for number, flag in enumerate(_numbers(header, "bbl", notes)) if flag == 0)
    for name, values in (("wavelength", wavelengths), ("bbl", header.get("bbl", ()))):
        if len(values) not in (0, bands):
            notes.append(f"The header lists {len(values)} values of '{name}' for {bands} bands; left out.")
    return FileFacts(
        wavelengths_nm=wavelengths if len(wavelengths) == bands else (),
        fwhm_nm=tuple(width * factor for width in widths) if len(widths) == bands else (),
        bad_bands=bad if len(header.get("bbl", ())) == bands else (),
        no_data=next(iter(_numbers(header, "data ignore value", notes)), None),
        class_names=_class_names(header),
        colors=_colors(header, notes),
        sensor=_sensor(header),
        georeference=_georeference(header, notes),
        notes=tuple(notes),
    )


def _open(path: Path) -> Any:
    """Open with `spectral`; raise FileFormatError for its errors."""
    from spectral.io import envi, spyfile

    header, data = envi_files(path)
    check_length(header)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # field names that are not in lower case
        try:
            image = envi.open(str(header.resolve()), str(data.resolve()))
        except (envi.EnviException, spyfile.SpyException, KeyError, ValueError, TypeError) as error:
            cause = " ".join(str(error).split())[:160] or type(error).__name__
            raise FileFormatError(f"{header} is not an ENVI header that can be read: {cause}.") from None
    if not hasattr(image, "open_memmap"):
        raise FileFormatError(f"{header} describes a spectral library, not an image; name an image.")
    if min(image.nrows, image.ncols, image.nbands, image.offset + 1) < 1:
        raise FileFormatError(f"{header} gives a size that cannot be; write it again.")
    expected = image.offset + image.nrows * image.ncols * image.nbands * np.dtype(image.dtype).itemsize
    if data.stat().st_size < expected:
        raise FileFormatError(
            f"{data} is truncated: its header {header.name} asks for {expected:,} bytes, and it has "
            f"{data.stat().st_size:,}; fetch or write it again."
        )
    return image


def _listed(header: Header, name: str) -> list[str]:
    value = header.get(name, [])
    return [str(one).strip() for one in (value if isinstance(value, list) else str(value).split(","))]


def _numbers(header: Header, name: str, notes: list[str]) -> tuple[float, ...]:
    words = [word for word in _listed(header, name) if word.strip()]
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        notes.append(f"'{name}' in the ENVI header is not a list of numbers; it is left out.")
        return ()


def _class_names(header: Header) -> dict[int, str]:
    """Code -> name, without 0, which is "Unclassified" in ENVI."""
    return {code: name for code, name in enumerate(_listed(header, "class names")) if code and name}


def _colors(header: Header, notes: list[str]) -> dict[int, str]:
    values = _numbers(header, "class lookup", notes)
    if len(values) % 3 or not all(0 <= value <= 255 for value in values):
        notes.append("'class lookup' in the ENVI header is not three bytes a class; it is left out.")
        return {}
    triples = [tuple(int(value) for value in values[at : at + 3]) for at in range(0, len(values), 3)]
    return {code: "#{:02x}{:02x}{:02x}".format(*triple) for code, triple in enumerate(triples) if code}


def _sensor(header: Header) -> str:
    sensor = str(header.get("sensor type", "")).strip()
    return "" if sensor.casefold() in ("unknown", "none") else sensor


def _georeference(header: Header, notes: list[str]) -> dict[str, Any] | None:
    """Return the grid of "map info": name, reference pixel (from 1), its x and y, pixel width and height, ...

    Reference pixel (1, 1) is the outer corner of the first pixel. A rotation (degrees) is applied as by GDAL.
    """
    fields = _listed(header, "map info")
    if len(fields) < 7:
        return None
    try:
        col, row, x, y, width, height = (float(field) for field in fields[1:7])
        angle = next((float(one.split("=")[1]) for one in fields if one.strip().startswith("rotation=")), 0.0)
    except (ValueError, IndexError):
        notes.append("'map info' in the ENVI header cannot be read; the scene has no georeference.")
        return None
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    left, top = x - (col - 1) * width, y + (row - 1) * height
    transform = [cosine * width, sine * width, left, sine * height, -cosine * height, top]
    placed = make_georeference(_crs(header, fields, notes), transform)
    if placed is None:
        notes.append("'map info' in the ENVI header gives pixels no place; the scene has no georeference.")
    return placed


def _crs(header: Header, fields: list[str], notes: list[str]) -> str:
    # `spectral` splits text in braces at commas, which are part of WKT.
    wkt = ",".join(_listed(header, "coordinate system string")).strip()
    if wkt and is_crs(wkt):
        return wkt
    plain = [field.strip().casefold() for field in fields]
    if any(re.fullmatch(r"wgs[-_ ]?(19)?84", field) for field in plain):
        if plain[0] == "geographic lat/lon":
            return "EPSG:4326"
        if plain[0] == "utm" and len(plain) > 8 and plain[7].isdigit() and 1 <= int(plain[7]) <= 60:
            return f"EPSG:{(32700 if plain[8].startswith('s') else 32600) + int(plain[7])}"
    if plain[0] != "arbitrary":
        notes.append(f"The coordinate system '{fields[0]}' of the ENVI header is not known; it is left open.")
    return ""
