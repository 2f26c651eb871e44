"""Metadata of a raster that GDAL reads: of its bands' tags, of a header beside it, of its attribute table.

Domains and names of tags are GDAL's (raster data model, and the drivers' pages); the columns of an attribute
table are told by their usage (`GDALRATFieldUsage`), else by their names.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.envi import facts_of_header
from hsi.datasets.formats.facts import (
    NO_DATA,
    ArrayInfo,
    FileFacts,
    centres_from_names,
    is_crs,
    make_georeference,
    to_nanometres,
)
from hsi.datasets.formats.named_arrays import SYSTEMS, facts_of_vectors, fill_value
from hsi.datasets.formats.rasters import aux_file, open_raster, zarr_vectors
from hsi.datasets.formats.recognise import recognise
from hsi.datasets.formats.zarr_stores import ZarrArray, list_zarr
from hsi.errors import FileFormatError
from hsi.io.size_limits import check_claim, check_length

_CENTRES = ("wavelength", "wavelengths", "central_wavelength", "center_wavelength", "centre_wavelength")
_UNITS = ("wavelength_units", "wavelength_unit", "wavelengths_units")
_WIDTHS = ("fwhm", "bandwidth", "full_width_half_max")
_GOOD = ("bbl", "good", "good_band")
_BAD = ("bad_band", "bad", "is_bad")


def raster_facts(path: Path, info: ArrayInfo | None = None) -> FileFacts:
    """Return the metadata of a raster, or of an array of a Zarr store.

    Wavelengths, widths and bad bands come from the tags of the bands, else of the file, else from an ENVI
    header beside it, else from the bands' descriptions. Class names and colours are those of its attribute
    table, or category names and colour table; black counts as no colour, since it is that of unlabelled
    pixels. Where bands have different no-data values, the one of most bands is taken.
    """
    notes = []
    with open_raster(path, info) as source:
        tags = [_lower_case(source.tags(band)) for band in source.indexes]
        imagery = [source.tags(band, ns="IMAGERY") for band in source.indexes]
        of_file = _lower_case(source.tags())
        wavelengths, widths, note = _wavelengths(tags, imagery, of_file)
        notes.append(note)
        bad = _bad_bands(tags, of_file)
        beside = _facts_beside(path, source.count)
        if not wavelengths:
            wavelengths, widths = beside.wavelengths_nm, beside.fwhm_nm
            notes += beside.notes
        if not wavelengths:
            wavelengths, note = centres_from_names([text or "" for text in source.descriptions])
            notes.append(note)
        alpha = [at for at, meaning in enumerate(source.colorinterp) if meaning.name == "alpha"]
        if alpha and source.count > len(alpha):
            listed = ", ".join(map(str, alpha))
            notes.append(f"Band {listed} (counted from 0) is an alpha band and counts as bad.")
        no_data, note = _no_data(source.nodatavals)
        notes.append(note)
        aux = aux_file(path)
        if aux.is_file() and aux.name not in {Path(file).name for file in source.files}:
            notes.append(f"{aux.name} cannot be read; what it says of the image's place is left out.")
        classes = _classes(path, source) if source.count == 1 else _Classes({}, {})
        return FileFacts(
            wavelengths_nm=wavelengths,
            fwhm_nm=widths,
            bad_bands=tuple(sorted({*(bad or beside.bad_bands), *(alpha if source.count > 1 else ())})),
            no_data=beside.no_data if no_data is None else no_data,
            class_names=classes.names or beside.class_names,
            colors=classes.colors or beside.colors,
            sensor=beside.sensor,
            georeference=_georeference(source),
            acquired=_acquired(of_file, source.tags(ns="IMAGERY")),
            masks=_masks(path, source, alpha),
            notes=tuple(note for note in notes if note),
        )


def _masks(path: Path, source: Any, alpha: Sequence[int]) -> dict[str, NDArray[np.bool_]]:
    """Return the pixels that the file's mask, or its alpha band (from 0), takes out."""
    masked = "per_dataset" in {meaning.name for meaning in source.mask_flag_enums[0]}
    if source.count < 2 or not (masked or alpha):
        return {}
    check_claim(path, (source.height, source.width), 1, path.stat().st_size)
    missing = (source.read(alpha[0] + 1) if alpha else source.dataset_mask()) == 0
    return {NO_DATA: missing} if missing.any() else {}


def zarr_facts(path: Path, info: ZarrArray) -> FileFacts:
    """Return the metadata of a cube in a Zarr store; wavelengths also come from vectors beside it."""
    found = raster_facts(path, info)
    arrays = list_zarr(path)
    vectors = zarr_vectors(path, arrays, info)
    no_data = fill_value(info.attributes)
    # What a store fills empty chunks with is 0 where nothing was said.
    no_data = found.no_data if no_data is None and found.no_data else no_data
    beside = facts_of_vectors(vectors, info.shape[2], no_data=no_data, note=info.note)
    place = found.georeference
    if place is not None and not place["crs"]:
        place = {**place, "crs": _zarr_crs(arrays, info)}
    if not found.wavelengths_nm:
        found = replace(found, wavelengths_nm=beside.wavelengths_nm, notes=(*found.notes, *beside.notes))
    return replace(found, no_data=no_data, georeference=place)


def _zarr_crs(arrays: Sequence[ZarrArray], info: ZarrArray) -> str:
    """Return the coordinate system that an array names as GDAL (``_CRS``) or CF do, else ""."""
    own = info.attributes.get("_CRS")
    mapping = str(info.attributes.get("grid_mapping") or "spatial_ref")
    owners = [own if isinstance(own, dict) else {}, info.attributes]
    owners += [one.attributes for one in arrays if one.name.rsplit("/", 1)[-1] == mapping]
    texts = [owner[name] for owner in owners for name in ("wkt", *SYSTEMS, "url") if name in owner]
    return next((text for text in texts if isinstance(text, str) and is_crs(text)), "")


def _wavelengths(
    tags: list[dict[str, str]], imagery: list[dict[str, str]], of_file: dict[str, str]
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return band centres and widths in nanometres as in the tags, and a note; or nothing."""
    unit = next((found for one in (*tags, of_file) if (found := _first(one, _UNITS))), "")
    for centres, widths, unit_of_both in (
        (
            _numbers(_first(tag, _CENTRES) for tag in tags),
            _numbers(_first(tag, _WIDTHS) for tag in tags),
            unit,
        ),
        (
            _numbers(tag.get("CENTRAL_WAVELENGTH_UM", "") for tag in imagery),
            _numbers(tag.get("FWHM_UM", "") for tag in imagery),
            "um",
        ),
        (_list(_first(of_file, _CENTRES)), _list(_first(of_file, _WIDTHS)), unit),
    ):
        if len(centres) != len(tags):
            continue
        wavelengths, note = to_nanometres(centres, unit_of_both)
        if not wavelengths:
            return (), (), note
        # Widths are in the unit of the centres, which may have been guessed.
        at = next(at for at, centre in enumerate(wavelengths) if centre > 0)
        factor = wavelengths[at] / centres[at]
        fine = len(widths) == len(tags) and all(0 < width < math.inf for width in widths)
        return wavelengths, tuple(width * factor for width in widths) if fine else (), note
    return (), (), ""


def _bad_bands(tags: list[dict[str, str]], of_file: dict[str, str]) -> tuple[int, ...]:
    flags = _list(_first(of_file, _GOOD))
    bad = {at for at, flag in enumerate(flags) if flag == 0 and len(flags) == len(tags)}
    for at, tag in enumerate(tags):
        if _first(tag, _GOOD).strip().casefold() in ("0", "0.0", "false", "no"):
            bad.add(at)
        if _first(tag, _BAD).strip().casefold() in ("1", "1.0", "true", "yes"):
            bad.add(at)
    return tuple(sorted(bad))


def _no_data(values: Sequence[float | None]) -> tuple[float | None, str]:
    """Return the no-data value of most bands, and a note where they differ."""
    # A NaN differs from itself.
    counts = Counter("nan" if math.isnan(value) else float(value) for value in values if value is not None)
    if not counts:
        return None, ""
    usual, bands = counts.most_common(1)[0]
    if len(counts) == 1:
        return float(usual), ""
    shown = usual if isinstance(usual, str) else f"{usual:g}"
    return float(usual), (
        f"The bands have {len(counts)} different no-data values; that of {bands} of {len(values)} bands, "
        f"{shown}, is used."
    )


def _lower_case(tags: dict[str, str]) -> dict[str, str]:
    return {name.casefold(): value for name, value in tags.items()}


def _first(tags: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((tags[name] for name in names if name in tags), "")


def _list(text: str) -> list[float]:
    return _numbers(text.strip("{}[]() ").replace(",", " ").split())


def _numbers(texts: Iterable[str]) -> list[float]:
    """Return texts as numbers, or none of them where one is not a number."""
    try:
        return [float(text) for text in texts]
    except ValueError:
        return []


_DATE = re.compile(
    r"(\d{4})[-:/]?(\d\d)[-:/]?(\d\d)(?:[ T]+(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?\s*(?:Z|UTC)?"
)


def _acquired(of_file: Mapping[str, str], imagery: Mapping[str, str]) -> str:
    """Return the time of the image in ISO 8601."""
    names = ("acquisitiondatetime", "acquisition_time", "acquisition_date", "tifftag_datetime")
    for text in (imagery.get("ACQUISITIONDATETIME", ""), *(of_file.get(name, "") for name in names)):
        found = _DATE.fullmatch(text.strip())
        if found and 1 <= int(found[2]) <= 12 and 1 <= int(found[3]) <= 31:
            day = "-".join(found.groups()[:3])
            return day if found[4] is None else f"{day}T{found[4]}:{found[5]}:{found[6] or '00'}Z"
    return ""


def _facts_beside(path: Path, bands: int) -> FileFacts:
    """Return the facts of an ENVI header beside a raster; a damaged one gives a note."""
    try:
        found = facts_of_header(path, bands) if path.is_file() else None
    except FileFormatError as error:
        return FileFacts(notes=(str(error),))
    return found or FileFacts()


def _georeference(source: Any) -> dict[str, Any] | None:
    if source.crs is None and source.transform.is_identity:
        return None
    degrees = source.crs is not None and source.crs.is_geographic
    if source.driver == "LAN" and degrees and abs(source.transform.a) == 1:
        return None  # the header of an image without a map, which reads as cells of one degree
    crs = ""
    if source.crs is not None:
        number = source.crs.to_epsg()
        crs = source.crs.to_wkt() if number is None else f"EPSG:{number}"
    return make_georeference(crs, source.transform[:6])


@dataclass(frozen=True)
class _Classes:
    names: Mapping[int, str]
    colors: Mapping[int, str]


def _classes(path: Path, source: Any) -> _Classes:
    """Return the class names and colours, code -> name and "#rrggbb", without code 0."""
    colors: dict[int, str] = {}
    with contextlib.suppress(ValueError):  # raised where there is no table
        colors = {code: _hex(color) for code, color in source.colormap(1).items()}
    found = read_aux_classes(path)
    names = found.names
    if not names and recognise(path) == "imagine":
        names = _imagine_names(path)
    colors = {
        code: color for code, color in (found.colors or colors).items() if code > 0 and color != "#000000"
    }
    return _Classes({code: name for code, name in names.items() if code > 0 and name}, colors)


def _hex(color: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color[:3])


def read_aux_classes(path: Path) -> _Classes:
    """Return the category names, or the attribute table, that GDAL keeps in ``FILE.aux.xml``."""
    beside = aux_file(path)
    if not beside.is_file():
        return _Classes({}, {})
    check_length(beside)
    text = beside.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # GDAL writes none; they can be an XML bomb
        return _Classes({}, {})
    try:
        band = ElementTree.fromstring(text).find("PAMRasterBand[@band='1']")
    except (ElementTree.ParseError, ValueError, LookupError):
        return _Classes({}, {})
    if band is None:
        return _Classes({}, {})
    names = {code: one.text or "" for code, one in enumerate(band.findall("CategoryNames/Category"))}
    table = band.find("GDALRasterAttributeTable")
    in_table = _Classes({}, {}) if table is None else _attribute_table(table)
    return _Classes(in_table.names or names, in_table.colors)


_USAGES = {"name": ("2",), "value": ("5", "3"), "red": ("6",), "green": ("7",), "blue": ("8",)}
_NAMES = {
    "name": ("class_name", "classname", "class_names", "class", "name", "label", "category", "description",
             "land_cover", "landcover", "type"),
    "value": ("value", "code", "class_code", "gridcode", "dn"),
    "red": ("red", "r"), "green": ("green", "g"), "blue": ("blue", "b"),
}  # fmt: skip
_TEXT = "2"  # the type of a column, beside "0" for whole numbers and "1" for others


def _attribute_table(table: ElementTree.Element) -> _Classes:
    fields = [
        (
            (one.findtext("Name") or "").strip().casefold().replace(" ", "_"),
            (one.findtext("Type") or "").strip(),
            (one.findtext("Usage") or "").strip(),
        )
        for one in table.findall("FieldDefn")
    ]
    column = {}
    for role in _USAGES:
        by_usage = [at for usage in _USAGES[role] for at, one in enumerate(fields) if one[2] == usage]
        by_name = [
            at
            for name in _NAMES[role]
            for at, one in enumerate(fields)
            if one[0] == name and (role != "name" or one[1] == _TEXT)
        ]
        column[role] = next(iter(by_usage + by_name), None)
    names, colors = {}, {}
    for at, row in enumerate(table.findall("Row")):
        cells = [one.text or "" for one in row.findall("F")]
        picked = {role: cells[col] for role, col in column.items() if col is not None and col < len(cells)}
        codes = _numbers([picked.get("value", str(at))])
        if not codes or not math.isfinite(codes[0]) or codes[0] % 1:
            continue
        code = int(codes[0])
        names[code] = picked.get("name", "").strip()
        parts = _numbers(picked.get(role, "") for role in ("red", "green", "blue"))
        if parts and all(0 <= part <= 255 for part in parts):
            # Colours in a column of fractions run from 0 to 1.
            share = 255 if fields[column["red"] or 0][1] == "1" and max(parts) <= 1 else 1
            colors[code] = _hex([round(part * share) for part in parts])
    return _Classes(names, colors)


_COLUMN = struct.Struct("<iIHi")  # rows, place of the data, type, length of a text
_TEXTS = 3


def _imagine_names(path: Path) -> dict[int, str]:
    """Return the texts of the column ``Class_Names`` of an ERDAS image (HFA); row number -> name."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        at = whole.find(b"Class_Names\x00")
        if at < 24:
            return {}
        data, length = struct.unpack_from("<II", whole, at - 8)
        if length < _COLUMN.size or data + _COLUMN.size > len(whole):
            return {}
        rows, start, kind, width = _COLUMN.unpack_from(whole, data)
        if kind != _TEXTS or rows < 0 or width < 1 or start + rows * width > len(whole):
            return {}
        texts = [whole[start + row * width : start + (row + 1) * width] for row in range(rows)]
    return {row: text.split(b"\x00")[0].decode("utf-8", "replace").strip() for row, text in enumerate(texts)}
