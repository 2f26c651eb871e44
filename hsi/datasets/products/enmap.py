"""EnMAP L1C and L2A: a GeoTIFF (or another raster), an XML file of metadata, rasters of quality.

Source: EnMAP Product Specification (EN-PCV-ICD-2009), and the readers of the EnMAP-Box and of SNAP.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.formats.facts import FileFacts, make_georeference, to_nanometres
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
from hsi.datasets.products.xml_metadata import (
    by_number,
    column,
    iso_time,
    number_in,
    read_xml,
    whole_number,
)
from hsi.errors import FileFormatError, HsiError

# A file that a user named after the product, such as a map of classes, is none of its parts.
_PART = r"(METADATA|SPECTRAL_IMAGE(?:_VNIR|_SWIR)?|QL_[A-Z_]+)(?:_COG)?(?:JPEG2000|(?:\.\w+)+)"
_NAME = re.compile(rf"(ENMAP\w*-_*(L\d[A-Z])-[^-]*)-{_PART}", re.I)
_TIME = re.compile(r"_(\d{8}T\d{6})Z?_", re.I)
_METADATA = "-metadata.xml"
_SUFFIXES = (
    ".tif", ".tiff", ".geotiff", ".bsq", ".bil", ".bip", "jpeg2000", ".jpeg2000", ".jp2", "_cog.tiff",
    "_cog.tif",
)  # fmt: skip
_L2A_FILL, _L1_FILL = -32768.0, 0.0
_BACKGROUND = 3  # in the layer CLASSES: 1 land, 2 water
_DEAD_MEAN = -1_000_000.0
# Layer -> name of the mask, and the codes that it stands for.
_LAYERS = {
    "CLOUD": ("cloud", (1,)),
    "CLOUDSHADOW": ("cloud shadow", (1,)),
    "HAZE": ("haze", (1,)),
    "CIRRUS": ("cirrus", (1, 2, 3)),  # thin, medium, thick
    "SNOW": ("snow", (1,)),
    "CLASSES": ("water", (2,)),
}


def find_enmap(path: Path) -> Path | None:
    """Return the metadata file of the product that a path belongs to, or None.

    The images of the two detectors of an L1B product belong to none: each can be read alone.
    """
    if path.is_dir():
        named = product_files(path, _NAME)
        return the_only((one for one in named if one.name.lower().endswith(_METADATA)), path, "EnMAP")
    name = _NAME.fullmatch(path.name)
    if name is None or not path.is_file() or re.match(r"SPECTRAL_IMAGE_(VNIR|SWIR)", name[3], re.I):
        return None
    return files_in(path.parent).get(name[1].lower() + _METADATA)


def open_enmap(path: Path, raw: bool) -> Product:
    """Open a product: reflectance as a fraction (L2A), radiance in W/m2/sr/nm (L1C).

    Parameters
    ----------
    path
        As `find_enmap` returns it.
    raw
        Whether the geometry of the sensor is wanted, which these levels do not hold.

    Raises
    ------
    FileFormatError
        When a file is missing or damaged, when image and metadata do not fit, and for L1B, whose two
        detectors have different grids.
    """
    name = _NAME.fullmatch(path.name)
    assert name is not None, "only called for what `find_enmap` returns"
    product, level = name[1], name[2].upper()
    if level not in ("L1C", "L2A"):
        raise FileFormatError(
            f"{path} is EnMAP {level}, whose detectors have grids of their own; order it as L1C or L2A, or "
            "name one of its images (-SPECTRAL_IMAGE_VNIR.TIF) to read it alone."
        )
    if raw:
        raise FileFormatError(f"{path} is EnMAP {level}, which has no sensor geometry; leave out --raw.")
    files = files_in(path.parent)
    image = find_raster(files, f"{product}-SPECTRAL_IMAGE", _SUFFIXES)
    if image is None:
        raise FileFormatError(f"{path} is without its image: put {product}-SPECTRAL_IMAGE.TIF beside it.")
    base, of_image, image_files = open_image(image)
    table = _BandTable(path, level, base.shape[2], read_xml(path))
    masks, background, mask_files, notes = _masks(files, product, base)
    fill = {_L2A_FILL if level == "L2A" else _L1_FILL}
    if of_image.no_data:  # a zero is a measured reflectance
        fill.add(of_image.no_data)
    order = np.argsort(table.wavelengths, kind="stable") if table.wavelengths else np.arange(base.shape[2])
    cube = ScaledCube(
        base, order=order, gain=table.gain, offset=table.offset, fill=sorted(fill), no_data=background
    )
    place = {int(band): number for number, band in enumerate(order)}
    dead = {place[band] for band in table.dead}
    if not table.has_statistics:
        dead.update(find_dead_bands(cube))
    found = _TIME.search(path.name)
    georeference, note = _georeference(of_image, table.root)
    return Product(
        cube=cube,
        facts=FileFacts(
            wavelengths_nm=tuple(table.wavelengths[band] for band in order) if table.wavelengths else (),
            fwhm_nm=tuple(table.fwhm[band] for band in order) if table.fwhm else (),
            bad_bands=tuple(sorted(dead)),
            sensor="EnMAP HSI",
            georeference=georeference,
            acquired=iso_time(found[1] if found else table.root.findtext(".//startTime", "")),
            product=product,
            masks=masks,
            notes=(*table.notes, *notes, *filter(None, [note])),
        ),
        files=(*image_files, path, *mask_files),
    )


class _BandTable:
    """What the metadata says about each band, in the order of the image."""

    def __init__(self, path: Path, level: str, bands: int, root: ElementTree.Element) -> None:
        self.root = root
        table = root.find("specific/bandCharacterisation")
        if table is None:
            table = root.find(".//bandCharacterisation")
        elements = [] if table is None else table.findall("bandID")
        rows = by_number(((element.get("number"), element) for element in elements), path)
        check_band_count(path, len(rows), bands)
        self._rows = rows
        self._position: dict[int | None, int] = {number: at for at, number in enumerate(rows)}
        self.notes: list[str] = []
        self.wavelengths = self._lengths("wavelengthCenterOfBand", "wavelengths")
        self.fwhm = self._lengths("FWHMOfBand", "band widths")
        if self.wavelengths and max(self.wavelengths) < 100:  # micrometres
            self.wavelengths, self.fwhm = (
                tuple(1000 * one for one in values) for values in (self.wavelengths, self.fwhm)
            )
        self.gain, self.offset = self._scale(level)
        self.dead, self.has_statistics = self._statistics()
        self._note_overlap()

    def _lengths(self, tag: str, words: str) -> tuple[float, ...]:
        values, _ = to_nanometres(column(self._rows, tag), "nm")
        if not values:
            self.notes.append(f"The metadata lacks {tag} of some bands; {words} are left out.")
        return values

    def _scale(self, level: str) -> tuple[Sequence[float] | float, Sequence[float] | float]:
        gain, offset = column(self._rows, "GainOfBand"), column(self._rows, "OffsetOfBand")
        if level == "L2A":
            if not gain or not offset:
                self.notes.append(
                    "The metadata lacks GainOfBand or OffsetOfBand; reflectance is taken as count / 10000."
                )
                return 1e-4, 0.0
            return gain, offset
        if not gain or not offset:
            self.notes.append(
                f"The metadata lacks GainOfBand or OffsetOfBand; {level} values are counts, not radiance."
            )
            return 1.0, 0.0
        self.notes.append(f"EnMAP {level} holds radiance (W/m2/sr/nm), not reflectance.")
        return gain, offset

    def _statistics(self) -> tuple[tuple[int, ...], bool]:
        """Return the bands without any data, from 0, and whether the metadata tells of all."""
        table = self.root.find("product/bandStatistics")
        if table is None:
            table = self.root.find("specific/bandStatistics")
        dead, told = [], 0
        for element in [] if table is None else table.findall("bandID"):
            band = self._position.get(whole_number(element.get("number", "")))
            means = [number_in(element, tag) for tag in ("mean", "meanReflectance")]
            mean = next((one for one in means if one is not None), None)
            spread = number_in(element, "stdDeviation")
            if band is None or mean is None or spread is None:
                continue
            told += 1
            if mean == _DEAD_MEAN and spread == 0:
                dead.append(band)
        return tuple(sorted(set(dead))), told == len(self._rows)

    def _note_overlap(self) -> None:
        if not self.wavelengths:
            return
        detectors = []
        for arm in ("vnir", "swir"):
            text = self.root.findtext(f"specific/{arm}ProductQuality/expectedChannelsList", "")
            numbers = map(whole_number, re.findall(r"\d+", text))
            places = [self._position[number] for number in numbers if number in self._position]
            detectors.append([self.wavelengths[place] for place in places])
        vnir, swir = detectors
        if not vnir or not swir or min(swir) >= max(vnir):
            return
        both = [one for one in (*vnir, *swir) if min(swir) <= one <= max(vnir)]
        self.notes.append(
            f"{len(both)} bands of VNIR and SWIR overlap ({min(both):.0f} to {max(both):.0f} nm); both are "
            "kept, in order of wavelength."
        )


def _masks(
    files: dict[str, Path], product: str, cube: Cube
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_] | None, list[Path], list[str]]:
    """Return the masks of the quality layers, the background, the files of the layers, and notes."""
    masks, background, used, notes = {}, None, [], []
    for layer, (mask, codes) in _LAYERS.items():
        path = find_raster(files, f"{product}-QL_QUALITY_{layer}", _SUFFIXES)
        if path is None:
            continue
        try:
            values = open_image(path)[0]
            if values.shape != (*cube.shape[:2], 1):
                notes.append(f"{path.name} has another size than the image; it is left out.")
                continue
            flags = values[:, :, 0]
        except HsiError:
            notes.append(f"{path.name} cannot be read; it is left out.")
            continue
        used.append(path)
        masks[mask] = np.isin(flags, codes)
        if layer == "CLASSES":
            background = flags == _BACKGROUND
    return masks, background, used, notes


def _georeference(image: FileFacts, root: ElementTree.Element) -> tuple[dict[str, object] | None, str]:
    """Return the georeference of the image; its coordinate system from the metadata if it has none."""
    placed = image.georeference
    if placed is None or placed["crs"]:
        return placed, ""
    text = root.findtext("product/ortho/projection", "")
    zone = re.fullmatch(r"UTM_Zone(\d{1,2})_(North|South)", text.strip(), re.I)
    if zone is None or not 1 <= int(zone[1]) <= 60:
        return placed, ""
    crs = f"EPSG:{(32700 if zone[2].lower() == 'south' else 32600) + int(zone[1])}"
    return make_georeference(crs, placed["transform"]), (
        f"The image says no coordinate system; {crs} is taken from the metadata."
    )
