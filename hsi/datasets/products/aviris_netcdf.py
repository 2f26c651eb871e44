"""AVIRIS-3, AVIRIS-5 and AVIRIS-NG in netCDF-4: reflectance on a map grid, radiance with a lookup table.

Source: the readers of HyTools and HyperCoast. The releases in ENVI format need no reader of their own here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hsi.datasets.cube import Cube
from hsi.datasets.formats.facts import FileFacts
from hsi.datasets.formats.hdf5_files import Hdf5Cube, get_node
from hsi.datasets.products.aviris import water_vapour_bands
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
    refuse_raw,
    sort_bands,
    text,
)
from hsi.datasets.products.lookup_table import LookupCube
from hsi.datasets.products.product import Product, ScaledCube, find_dead_bands
from hsi.datasets.products.xml_metadata import iso_time

_GROUPS = ("reflectance", "radiance")
_TABLE = "geolocation_lookup_table"
_TABLES = (f"{_TABLE}/sample", f"{_TABLE}/line")  # columns and rows of the cube
_FILL = -9999.0
_SENSORS = (("av3", "AVIRIS-3"), ("av5", "AVIRIS-5"), ("ang", "AVIRIS-NG"))


def find_aviris_netcdf(path: Path) -> Path | None:
    """Return the file that a path is, or the only such file in that folder, or None."""
    return find_hdf5(path, "AVIRIS", lambda file: _group(file) is not None)


def _group(file: Any) -> str | None:
    for group in _GROUPS:
        others = (f"{group}/wavelength", f"{group}/fwhm", "easting", "northing", _TABLE)
        cube = getattr(get_node(file, f"{group}/{group}"), "ndim", 0)
        if cube == 3 and any(get_node(file, name) is not None for name in others):
            return group
    return None


def open_aviris_netcdf(path: Path, raw: bool) -> Product:
    """Open a product: reflectance as a fraction, or radiance in uW/cm2/sr/nm.

    Parameters
    ----------
    path
        As `find_aviris_netcdf` returns it.
    raw
        Keep the geometry of the sensor, for radiance, which comes with a lookup table.

    Raises
    ------
    FileFormatError
        When something is missing in the file, or its parts do not fit; for `raw`, when it is on a map
        grid.
    """
    with open_hdf5(path) as file:
        group = _group(file)
        if group is None:
            raise missing(path, f"{_GROUPS[0]}/{_GROUPS[0]}")
        table = get_node(file, _TABLE)
        if table is None:
            refuse_raw(path, raw, "AVIRIS reflectance")
        node = need(path, file, f"{group}/{group}")
        wavelengths = numbers(need(path, file, f"{group}/wavelength"))
        base = Hdf5Cube(path, f"{group}/{group}", axes=_axes(node.shape, len(wavelengths)))
        flags = numbers(get_node(file, f"{group}/good_wavelengths"))
        bands = sort_bands(
            path,
            base.shape[2],
            wavelengths,
            numbers(get_node(file, f"{group}/fwhm")),
            flags != 1 if len(flags) else None,
        )
        own = number(node, "_FillValue")
        tables, georeference, note = None, None, ""
        if not raw:
            tables = None if table is None else read_lookup_table(path, file, *_TABLES)
            shape = base.shape if tables is None else tables[0].shape
            georeference, note = _georeference(file, node, shape)
    cube: Cube = ScaledCube(base, order=bands.order, fill=sorted({_FILL, _FILL if own is None else own}))
    vapour, vapour_notes = (set(), ()) if len(flags) else water_vapour_bands(bands.wavelengths_nm)
    dead = vapour.union(find_dead_bands(cube))
    if tables is not None:
        cube = LookupCube(cube, *tables)
    return Product(
        cube=cube,
        facts=FileFacts(
            wavelengths_nm=bands.wavelengths_nm,
            fwhm_nm=bands.fwhm_nm,
            bad_bands=bands.bad_bands(sorted(dead)),
            sensor=next((name for start, name in _SENSORS if path.name.lower().startswith(start)), "AVIRIS"),
            georeference=georeference,
            acquired=iso_time(path.name),
            product=path.stem,
            notes=tuple(filter(None, (*bands.notes, *base.notes, note, *vapour_notes))),
        ),
        files=(path,),
    )


def _axes(shape: tuple[int, ...], bands: int) -> tuple[int, int, int]:
    """Return the axes of rows, columns and bands: bands come first, in some copies last."""
    return (0, 1, 2) if shape[2] == bands != shape[0] else (1, 2, 0)


def _georeference(file: Any, node: Any, shape: tuple[int, ...]) -> tuple[dict[str, Any] | None, str]:
    """Return the grid by "GeoTransform", or by the coordinates of the pixels' centres where they differ."""
    mapping = None
    for name in (text(node, "grid_mapping"), "transverse_mercator", "projection", "spatial_ref", "crs"):
        mapping = mapping or (get_node(file, name) if name else None)
    crs = epsg_or_wkt(text(mapping, "spatial_ref") or text(mapping, "crs_wkt"))
    note = "" if crs else "The product does not say its coordinate system; it is left open."
    by_text = numbers(mapping, "GeoTransform").tolist()
    by_centres = _from_centres(file, shape)
    if len(by_text) != 6 and not by_centres:
        return None, "The product does not say where its grid lies; the scene has no georeference."
    if len(by_text) == 6 and by_centres and not _agree(by_text, by_centres, shape):
        note = "The geotransform and the coordinates of the pixels differ; the coordinates are used."
        by_text = []
    return georeference_of_gdal(crs, by_text if len(by_text) == 6 else by_centres), note


def _from_centres(file: Any, shape: tuple[int, ...]) -> list[float]:
    """Return a transform in GDAL's order by "easting" and "northing", nothing where they make no grid."""
    for prefix in ("", f"{_TABLE}/"):
        x, y = (numbers(get_node(file, f"{prefix}{name}")) for name in ("easting", "northing"))
        if (len(y), len(x)) != tuple(shape[:2]) or min(len(x), len(y)) < 2:
            continue
        width, height = (float((axis[-1] - axis[0]) / (len(axis) - 1)) for axis in (x, y))
        even = all(
            np.allclose(np.diff(axis), step, rtol=0, atol=abs(step) / 100)
            for axis, step in ((x, width), (y, height))
        )
        if even and width and height:
            return [float(x[0]) - width / 2, width, 0.0, float(y[0]) - height / 2, 0.0, height]
    return []


def _agree(by_text: list[float], by_centres: list[float], shape: tuple[int, ...]) -> bool:
    """Return whether two grids place the corners of an image within a pixel of each other."""
    if by_text[2] or by_text[4]:  # a turned grid has no coordinates of one axis
        return True
    size = max(abs(by_centres[1]), abs(by_centres[5]))
    for col, row in ((0, 0), (shape[1], shape[0])):
        x, y = (one[0] + one[1] * col for one in (by_text, by_centres))
        u, v = (one[3] + one[5] * row for one in (by_text, by_centres))
        if max(abs(x - y), abs(u - v)) > size:
            return False
    return True
