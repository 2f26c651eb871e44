"""EMIT L2A reflectance and L1B radiance: netCDF-4, in the geometry of the sensor, with a lookup table.

Source: the writers of the product (emit-sds/emit-utils, daac_converter.py; emit-sds/emit-sds-l2a).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.formats.facts import FileFacts
from hsi.datasets.formats.hdf5_files import Hdf5Cube, get_node
from hsi.datasets.products.hdf5_metadata import (
    epsg_or_wkt,
    find_hdf5,
    georeference_of_gdal,
    missing,
    need,
    number,
    numbers,
    open_hdf5,
    read_lookup_table,
    sort_bands,
    text,
    texts,
)
from hsi.datasets.products.lookup_table import LookupCube, lookup_mask
from hsi.datasets.products.product import Product, ScaledCube, files_in, find_dead_bands
from hsi.datasets.products.xml_metadata import iso_time
from hsi.errors import FileFormatError

_FILL = -9999.0
_CUBES = ("reflectance", "radiance")
_TABLES = ("location/glt_x", "location/glt_y")
_NAME = re.compile(r"EMIT_L\w+?_(?:RFL|RAD)_\w+?_(\d{8}T\d{6}_\w+)\.nc4?", re.I)


def find_emit(path: Path) -> Path | None:
    """Return the file of reflectance or radiance that a path is, or the only one in that folder, or None."""
    return find_hdf5(path, "EMIT", _is_emit)


def _is_emit(file: Any) -> bool:
    return any(getattr(get_node(file, name), "ndim", 0) == 3 for name in _CUBES) and any(
        get_node(file, name) is not None for name in ("sensor_band_parameters", "location")
    )


def open_emit(path: Path, raw: bool) -> Product:
    """Open a product on its map grid: reflectance as a fraction (L2A), radiance in uW/cm2/sr/nm (L1B).

    The masks of ``EMIT_L2A_MASK_...nc`` beside it are taken along.

    Parameters
    ----------
    path
        As `find_emit` returns it.
    raw
        Keep the geometry of the sensor, which has no map coordinates.

    Raises
    ------
    FileFormatError
        When something is missing in the file, or its parts do not fit.
    """
    with open_hdf5(path) as file:
        name = next((one for one in _CUBES if get_node(file, one) is not None), "")
        if not name:
            raise missing(path, _CUBES[0])
        base = Hdf5Cube(path, name)
        of_bands = "sensor_band_parameters"
        flags = numbers(get_node(file, f"{of_bands}/good_wavelengths"))
        bands = sort_bands(
            path,
            base.shape[2],
            numbers(need(path, file, f"{of_bands}/wavelengths")),
            numbers(get_node(file, f"{of_bands}/fwhm")),
            flags != 1 if len(flags) else None,
        )
        own = number(file[name], "_FillValue")
        tables = None if raw else read_lookup_table(path, file, *_TABLES)
        georeference, notes = (None, ()) if raw else _georeference(file)
    fill = sorted({_FILL, _FILL if own is None else own})
    cube: Cube = ScaledCube(base, order=bands.order, fill=fill)
    dead = find_dead_bands(cube)
    masks, mask_files, mask_notes = _masks(path, (base.shape[0], base.shape[1]))
    if tables is not None:
        cube = LookupCube(cube, *tables)
        masks = {name: lookup_mask(mask, *tables) for name, mask in masks.items()}
    return Product(
        cube=cube,
        facts=FileFacts(
            wavelengths_nm=bands.wavelengths_nm,
            fwhm_nm=bands.fwhm_nm,
            bad_bands=bands.bad_bands(dead),
            sensor="EMIT",
            georeference=georeference,
            acquired=iso_time(path.name),
            product=path.stem,
            masks=masks,
            notes=(*bands.notes, *base.notes, *notes, *mask_notes),
        ),
        files=(path, *mask_files),
    )


def _georeference(file: Any) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    crs = epsg_or_wkt(text(file, "spatial_ref"))
    georeference = georeference_of_gdal(crs or "EPSG:4326", numbers(file, "geotransform").tolist())
    if georeference is None:
        return None, ("The product has no 'geotransform'; the scene has no georeference.",)
    if crs:
        return georeference, ()
    return georeference, (
        "The product does not say its coordinate system; it is taken as EPSG:4326, as usual.",
    )


def _masks(
    path: Path, shape: tuple[int, int]
) -> tuple[dict[str, NDArray[np.bool_]], tuple[Path, ...], tuple[str, ...]]:
    """Return the flags of the mask file beside a product, on the grid of the sensor; its path; notes."""
    found = _NAME.fullmatch(path.name)
    if found is None:
        return {}, (), ()
    pattern = re.compile(rf"EMIT_L2A_MASK_\w+?_{found[1]}\.nc4?", re.I)
    beside = [one for name, one in files_in(path.parent).items() if pattern.fullmatch(name)]
    if not beside:
        return {}, (), ()
    mask_file = beside[-1]  # the newest version, by its name
    try:
        with open_hdf5(mask_file) as file:
            names = [
                _mask_name(flag) for flag in texts(need(mask_file, file, "sensor_band_parameters/mask_bands"))
            ]
        layers = Hdf5Cube(mask_file, "mask")
        if layers.shape != (*shape, len(names)):
            raise FileFormatError(f"{mask_file} does not fit the image.")
        masks = {name: np.asarray(layers[:, :, band] == 1) for band, name in enumerate(names) if name}
    except FileFormatError as error:
        reason = str(error).removesuffix(".")
        return {}, (), (f"The masks of {mask_file.name} are left out ({reason}).",)
    return masks, (mask_file,), ()


def _mask_name(flag: str) -> str:
    """Return "cloud" for "Cloud flag"; "" for layers of values, such as the water vapour."""
    name = flag.lower().replace("_", " ").strip()
    return name.removesuffix("flag").strip() if name.endswith("flag") else ""
