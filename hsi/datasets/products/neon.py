"""NEON AOP surface reflectance (HDF5): tiles and flight lines, directional and bidirectional.

Source: NEON's tutorials on DP3.30006 and DP1.30006, and the reader of HyTools.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.envi_header import Header
from hsi.datasets.formats.envi_map_info import georeference_of
from hsi.datasets.formats.facts import FileFacts, make_georeference
from hsi.datasets.formats.hdf5_files import Hdf5Cube, get_node
from hsi.datasets.products.hdf5_metadata import (
    epsg_code,
    epsg_or_wkt,
    find_hdf5,
    missing,
    need,
    number,
    numbers,
    open_hdf5,
    refuse_raw,
    sort_bands,
    text,
)
from hsi.datasets.products.product import Product, ScaledCube, find_dead_bands
from hsi.datasets.products.xml_metadata import iso_time

_CUBE = "Reflectance/Reflectance_Data"
_PLACE = {"map info": "Map_Info", "coordinate system string": "Coordinate_System_String"}
_FILL, _SCALE = -9999.0, 10_000.0
_MOST_SITES = 20  # groups of the root that are looked at; NEON writes one


def find_neon(path: Path) -> Path | None:
    """Return the file that a path is, or the only NEON file in that folder, or None."""
    return find_hdf5(path, "NEON AOP", lambda file: _site(file) is not None)


def _site(file: Any) -> str | None:
    """Return the group of the site; its name can differ from the site in the name of the file."""
    for at, site in enumerate(file):
        if at >= _MOST_SITES:
            break
        if "/" not in site and getattr(get_node(file, f"{site}/{_CUBE}"), "ndim", 0) == 3:
            return str(site)
    return None


def open_neon(path: Path, raw: bool) -> Product:
    """Open a product: reflectance as a fraction.

    Bands in the windows of water vapour that the product names are bad bands.

    Parameters
    ----------
    path
        As `find_neon` returns it.
    raw
        Whether the geometry of the sensor is wanted, which the product does not have.

    Raises
    ------
    FileFormatError
        When something is missing in the file, or its parts do not fit.
    """
    refuse_raw(path, raw, "NEON AOP")
    with open_hdf5(path) as file:
        site = _site(file)
        if site is None:
            raise missing(path, f"SITE/{_CUBE}")
        base = Hdf5Cube(path, f"{site}/{_CUBE}")
        root = need(path, file, f"{site}/Reflectance")
        node = need(path, file, f"{site}/{_CUBE}")
        wavelengths = numbers(need(path, root, "Metadata/Spectral_Data/Wavelength"))
        bands = sort_bands(
            path, base.shape[2], wavelengths, numbers(get_node(root, "Metadata/Spectral_Data/FWHM"))
        )
        absorbed = _in_windows(root, bands.wavelengths_nm)
        scale, own = number(node, "Scale_Factor"), number(node, "Data_Ignore_Value")
        georeference, notes = _georeference(
            path, get_node(root, "Metadata/Coordinate_System"), node, base.shape
        )
    if not scale:
        notes = (*notes, f"The product has no scale factor; it is taken as {_SCALE:g}.")
    scale = scale or _SCALE
    gain = 1 / scale if abs(scale) >= 1 else scale  # written as 10000, or as 0.0001 by other tools
    cube = ScaledCube(base, order=bands.order, gain=gain, fill=_FILL if own is None else own)
    return Product(
        cube=cube,
        facts=FileFacts(
            wavelengths_nm=bands.wavelengths_nm,
            fwhm_nm=bands.fwhm_nm,
            bad_bands=bands.bad_bands((*absorbed, *find_dead_bands(cube))),
            sensor="NEON AOP",
            georeference=georeference,
            acquired=iso_time(path.name),
            product=path.stem,
            notes=(*bands.notes, *base.notes, *notes),
        ),
        files=(path,),
    )


def _in_windows(root: Any, wavelengths_nm: tuple[float, ...]) -> list[int]:
    """Return the bands in the windows ``Band_Window_1_Nanometers``, ... of the product, ends included."""
    inside: NDArray[np.bool_] = np.zeros(len(wavelengths_nm), bool)
    for attribute in root.attrs:
        if re.fullmatch(r"Band_Window_\d+_Nanometers", attribute):
            ends = numbers(root, attribute)
            if len(ends) == 2:
                inside |= (np.array(wavelengths_nm) >= ends.min()) & (np.array(wavelengths_nm) <= ends.max())
    return [int(band) for band in np.flatnonzero(inside)]


def _georeference(
    path: Path, place: Any, node: Any, shape: tuple[int, ...]
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Return the grid by "Map_Info", which is that of ENVI, else by the extent of the image; and notes."""
    fields = {key: text(_below(place, name)) for key, name in _PLACE.items()}
    placed = georeference_of(Header(path, fields), [])
    if placed is None:
        transform = _extent(numbers(node, "Spatial_Extent_meters").tolist(), shape)
        placed = None if transform is None else make_georeference("", transform)
    if placed is None:
        return None, ("The product does not say where its grid lies; the scene has no georeference.",)
    crs = epsg_code(number(_below(place, "EPSG Code"))) or placed["crs"]
    crs = crs or epsg_or_wkt(fields["coordinate system string"])
    notes = () if crs else ("The product does not say its coordinate system; it is left open.",)
    return {**placed, "crs": crs}, notes


def _below(place: Any, name: str) -> Any:
    return None if place is None else get_node(place, name)


def _extent(extent: list[float], shape: tuple[int, ...]) -> list[float] | None:
    if len(extent) != 4 or 0 in shape:
        return None
    left, right, bottom, top = extent
    return [(right - left) / shape[1], 0.0, left, 0.0, (bottom - top) / shape[0], top]
