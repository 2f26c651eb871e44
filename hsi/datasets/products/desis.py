"""DESIS L1B, L1C and L2A: a GeoTIFF, an XML file of metadata, an ENVI header, rasters of quality.

Source: DESIS Products Guide, and the readers of ACOLITE and of the EnMAP-Box.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.envi_header import read_header
from hsi.datasets.formats.facts import FileFacts, to_nanometres
from hsi.datasets.products.product import (
    Product,
    ScaledCube,
    check_band_count,
    files_in,
    find_dead_bands,
    find_raster,
    open_image,
    product_files,
    the_only,
)
from hsi.datasets.products.xml_metadata import by_number, column, iso_time, number_in, read_xml
from hsi.errors import FileFormatError, HsiError

# A file that a user named after the product, such as a map of classes, is none of its parts.
_PART = r"(?:METADATA|HISTORY|SPECTRAL_IMAGE|QL_IMAGE|QL_QUALITY(?:-\d+)?)(?:_COG)?(?:\.\w+)+"
_NAME = re.compile(rf"(DESIS-\w+-(L\d[A-Z])-.+?-(\d{{8}}T\d{{6}})(?:-V\w+)?)-{_PART}", re.I)
_METADATA, _HEADER = "-metadata.xml", "-spectral_image.hdr"
_SUFFIXES = (".tif", ".tiff", "_cog.tif", "_cog.tiff", ".jp2")
_FILL = -32768.0
# Bands of QL_QUALITY-2, from 0. The others: land, aerosol, water vapour.
_FLAGS = {"shadow": (0,), "snow": (2,), "haze": (3, 4), "cloud": (5, 6), "water": (7,)}


def find_desis(path: Path) -> Path | None:
    """Return the metadata (else the header) of the product that a path belongs to, or None."""
    if path.is_dir():
        named = list(product_files(path, _NAME))
        return the_only((one for one in named if find_desis(one) == one), path, "DESIS")
    name = _NAME.fullmatch(path.name)
    if name is None or not path.is_file():
        return None
    files, stem = files_in(path.parent), name[1].lower()
    return files.get(stem + _METADATA, files.get(stem + _HEADER))


def open_desis(path: Path, raw: bool) -> Product:
    """Open a product: reflectance as a fraction (L2A), radiance in mW/cm2/sr/um (L1B, L1C).

    Parameters
    ----------
    path
        As `find_desis` returns it.
    raw
        Whether the geometry of the sensor is wanted, which only L1B has.

    Raises
    ------
    FileFormatError
        When a file is missing or damaged, or when image and metadata do not fit.
    """
    name = _NAME.fullmatch(path.name)
    assert name is not None, "only called for what `find_desis` returns"
    product, level = name[1], name[2].upper()
    if raw and level != "L1B":
        raise FileFormatError(f"{path} is DESIS {level}, which has no sensor geometry; leave out --raw.")
    files = files_in(path.parent)
    image = find_raster(files, f"{product}-SPECTRAL_IMAGE", _SUFFIXES)
    if image is None:
        raise FileFormatError(f"{path} is without its image: put {product}-SPECTRAL_IMAGE.tif beside it.")
    base, of_image, image_files = open_image(image)
    bands = base.shape[2]
    table = _read_table(path, files.get((product + _HEADER).lower()), bands)
    notes = list(table.notes)
    gain: Sequence[float] | float = table.gain
    offset: Sequence[float] | float = table.offset
    if not gain or not offset:
        gain, offset = (1e-4 if level == "L2A" else 1.0), 0.0
        taken = (
            "reflectance is taken as count / 10000" if level == "L2A" else "values are counts, not radiance"
        )
        notes.append(f"The metadata lacks gain or offset of some bands; {taken}.")
    elif level != "L2A":
        notes.append(f"DESIS {level} holds radiance (mW/cm2/sr/um), not reflectance.")
    order = np.argsort(table.wavelengths, kind="stable") if table.wavelengths else np.arange(bands)
    marks = {_FILL, *(mark for mark in (of_image.no_data, table.background) if mark)}
    cube = ScaledCube(base, order=order, gain=gain, offset=offset, fill=sorted(marks))
    masks, mask_files, mask_notes = _masks(files, product, base.shape[:2])
    return Product(
        cube=cube,
        facts=FileFacts(
            wavelengths_nm=tuple(table.wavelengths[band] for band in order) if table.wavelengths else (),
            fwhm_nm=tuple(table.fwhm[band] for band in order) if table.fwhm else (),
            bad_bands=find_dead_bands(cube),
            sensor="DESIS",
            georeference=None if level == "L1B" else of_image.georeference,
            acquired=iso_time(name[3]),
            product=product,
            masks=masks,
            notes=(*notes, *mask_notes),
        ),
        files=(*image_files, *table.files, *mask_files),
    )


@dataclass(frozen=True)
class _BandTable:
    """What metadata or header say, in the order of the image; empty where not of every band."""

    wavelengths: tuple[float, ...] = ()
    fwhm: tuple[float, ...] = ()
    gain: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    background: float | None = None
    files: tuple[Path, ...] = ()
    notes: list[str] = field(default_factory=list)


def _read_table(path: Path, header: Path | None, bands: int) -> _BandTable:
    """Return the table of the metadata, else that of the header."""
    root = None if path == header else read_xml(path)
    # `band` also stands in `interiorOrientation`.
    table = None if root is None else next(root.iter("bandCharacterisation"), None)
    elements = [] if table is None else table.findall("band")
    if root is None or not elements:
        if header is None:
            raise FileFormatError(f"{path} describes no bands; unpack or download the product again.")
        return _header_table(header, bands, () if root is None else (path,))
    rows = by_number(((element.findtext("bandNumber"), element) for element in elements), path)
    check_band_count(path, len(rows), bands)
    wavelengths, fwhm, notes = _lengths(
        column(rows, "wavelengthCenterOfBand"), column(rows, "wavelengthWidthOfBand")
    )
    specific = root.find("specific")
    background = None if specific is None else number_in(specific, "backgroundValue")
    gain, offset = column(rows, "gainOfBand"), column(rows, "offsetOfBand")
    return _BandTable(wavelengths, fwhm, gain, offset, background, (path,), notes)


def _header_table(path: Path, bands: int, read: tuple[Path, ...]) -> _BandTable:
    header = read_header(path)
    notes: list[str] = []
    keys = ("wavelength", "fwhm", "data gain values", "data offset values")
    lists = {key: header.numbers(key, notes) for key in keys}
    for values in lists.values():
        check_band_count(path, len(values) or bands, bands)
    wavelengths, fwhm, more = _lengths(lists["wavelength"], lists["fwhm"])
    notes = [f"The metadata describes no bands; {path.name} does.", *notes, *more]
    gain, offset = lists["data gain values"], lists["data offset values"]
    return _BandTable(wavelengths, fwhm, gain, offset, None, (*read, path), notes)


def _lengths(
    centres: Sequence[float], widths: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...], list[str]]:
    """Return wavelengths and widths in nm, and notes on what is missing."""
    wavelengths, fwhm = (to_nanometres(values, "nm")[0] for values in (centres, widths))
    notes = []
    if not wavelengths:
        notes.append("The metadata lacks the wavelengths of some bands; all are left out.")
    elif max(wavelengths) < 100:  # micrometres
        wavelengths, fwhm = (tuple(1000 * one for one in values) for values in (wavelengths, fwhm))
    if not fwhm:
        notes.append("The metadata lacks the widths of some bands; all are left out.")
    return wavelengths, fwhm, notes


def _masks(
    files: dict[str, Path], product: str, size: tuple[int, ...]
) -> tuple[dict[str, NDArray[np.bool_]], list[Path], list[str]]:
    """Return the masks of the second quality raster, its file, and notes."""
    path = find_raster(files, f"{product}-QL_QUALITY-2", _SUFFIXES)
    if path is None:
        return {}, [], []
    try:
        layers = open_image(path)[0]
        if layers.shape[:2] != size or layers.shape[2] < 8:
            return {}, [], [f"{path.name} has another size than the image; it is left out."]
        return (
            {name: (layers[:, :, list(bands)] == 1).any(axis=2) for name, bands in _FLAGS.items()},
            [path],
            [],
        )
    except HsiError:
        return {}, [], [f"{path.name} cannot be read; it is left out."]
