"""Planet Tanager: surface reflectance and radiance, on a map grid ("ortho") or in sensor geometry ("basic").

Source: Tanager Product Specification (Planet, November 2025), section 3.6.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import FileFacts, make_georeference
from hsi.datasets.formats.hdf5_files import Hdf5Cube, get_node
from hsi.datasets.products.hdf5_metadata import (
    epsg_code,
    find_hdf5,
    georeference_of_gdal,
    missing,
    need_numbers,
    number,
    numbers,
    open_hdf5,
    read_layer,
    refuse_raw,
    sort_bands,
    text,
)
from hsi.datasets.products.product import Product, ScaledCube, find_dead_bands
from hsi.datasets.products.xml_metadata import iso_time
from hsi.errors import HsiError

_GROUPS = ("HDFEOS/GRIDS/HYP", "HDFEOS/SWATHS/HYP")
_FIELDS = ("Data Fields", "Data_Fields")
_CUBES = ("surface_reflectance", "toa_radiance")
_MASKS = {"beta_cloud_mask": "cloud", "beta_cirrus_mask": "cirrus"}  # 1: yes
_EMPTY = "nodata_pixels"
_FRAMING = "Planet_Ortho_Framing"
_FILL = -9999.0


def find_tanager(path: Path) -> Path | None:
    """Return the file that a path is, or the only Tanager file in that folder, or None."""
    return find_hdf5(path, "Tanager", lambda file: _cube_of(file) is not None)


def _cube_of(file: Any) -> tuple[str, str, str] | None:
    """Return the group of the product, the group of its fields, and the name of its cube."""
    for group in _GROUPS:
        for fields in _FIELDS:
            for cube in _CUBES:
                if get_node(file, f"{group}/{fields}/{cube}") is not None:
                    return group, f"{group}/{fields}", cube
    return None


def open_tanager(path: Path, raw: bool) -> Product:
    """Open a product: reflectance as a fraction, or radiance in W/m2/sr/um.

    Parameters
    ----------
    path
        As `find_tanager` returns it.
    raw
        Whether another geometry, that of the sensor, is wanted: it is a product of its own.

    Raises
    ------
    FileFormatError
        When something is missing in the file, or its parts do not fit.
    """
    refuse_raw(path, raw, "Tanager")
    with open_hdf5(path) as file:
        found = _cube_of(file)
        if found is None:
            raise missing(path, f"{_GROUPS[0]}/{_FIELDS[0]}/{_CUBES[0]}")
        group, fields, name = found
        base = Hdf5Cube(path, f"{fields}/{name}", axes=(1, 2, 0))
        node = file[f"{fields}/{name}"]
        flags = numbers(node, "good_wavelengths")
        bands = sort_bands(
            path,
            base.shape[2],
            need_numbers(path, node, "wavelengths"),
            numbers(node, "fwhm"),
            flags != 1 if len(flags) else None,
        )
        own = number(node, "_FillValue")
        scale = number(node, "scale_factor")
        shape = base.shape[:2]
        masks, no_data, notes = _masks(path, file, fields, shape)
        if group == _GROUPS[0]:
            georeference, note = _grid(file, group, shape)
        else:
            georeference, note = None, _sensor_grid(file, group)
    gain = 1.0
    if scale and base.dtype.kind in "iu":  # the product holds floats, which are values already
        gain = 1 / scale if scale > 1 else scale
    cube = ScaledCube(
        base,
        order=bands.order,
        gain=gain,
        fill=sorted({_FILL, _FILL if own is None else own}),
        no_data=no_data,
    )
    return Product(
        cube=cube,
        facts=FileFacts(
            wavelengths_nm=bands.wavelengths_nm,
            fwhm_nm=bands.fwhm_nm,
            bad_bands=bands.bad_bands(find_dead_bands(cube)),
            sensor="Tanager",
            georeference=georeference,
            acquired=iso_time(path.name),
            product=path.stem,
            masks=masks,
            notes=tuple(filter(None, (*bands.notes, *base.notes, *notes, note))),
        ),
        files=(path,),
    )


def _masks(
    path: Path, file: Any, fields: str, shape: tuple[int, ...]
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_] | None, tuple[str, ...]]:
    """Return the masks, the pixels without data, and notes on layers that cannot be used."""
    layers, notes = {}, []
    for name in (*_MASKS, _EMPTY):
        node = get_node(file, f"{fields}/{name}")
        if node is None:
            continue
        try:
            layers[name] = read_layer(path, node, shape, name) == 1
        except HsiError as error:
            notes.append(f"'{name}' is left out ({str(error).removesuffix('.')}).")
    no_data = layers.pop(_EMPTY, None)
    masks = {_MASKS[name]: np.asarray(layer) for name, layer in layers.items()}
    return masks, no_data, tuple(notes)


def _grid(file: Any, group: str, shape: tuple[int, ...]) -> tuple[dict[str, Any] | None, str]:
    """Return the georeference by the grid structure of HDF-EOS, else by Planet's framing; and a note.

    The points of the structure are the outer corners of the grid, whatever its pixel registration.
    """
    structure = text(get_node(file, "HDFEOS INFORMATION/StructMetadata.0"))
    fields = dict(re.findall(r"^\s*(\w+)\s*=\s*(.+?)\s*$", structure, re.M))
    code = number(file[group], "epsg_code")
    zone = re.fullmatch(r"-?\d{1,2}", fields.get("ZoneCode", ""))
    if code is None and zone and "UTM" in fields.get("Projection", ""):
        number_of_zone = int(zone[0])
        code = (32600 if number_of_zone > 0 else 32700) + abs(number_of_zone)
    framing = _framing(file, group)
    if code is None:
        code = framing.get("epsg_code")
    crs = epsg_code(code)
    note = "" if crs else "The product does not say its coordinate system; it is left open."
    upper, lower = (_point(fields.get(key, "")) for key in ("UpperLeftPointMtrs", "LowerRightMtrs"))
    size = tuple(fields.get(key, "") for key in ("YDim", "XDim"))
    if upper and lower and size in (("", ""), tuple(map(str, shape))) and 0 not in shape:
        (left, top), (right, bottom) = upper, lower
        origin = fields.get("GridOrigin", "HE5_HDFE_GD_UL")
        if origin.endswith(("LL", "LR")):  # the first row is the lowest
            top, bottom = bottom, top
        if origin.endswith(("UR", "LR")):
            left, right = right, left
        steps = (right - left) / shape[1], (bottom - top) / shape[0]
        return make_georeference(crs, (steps[0], 0.0, left, 0.0, steps[1], top)), note
    if [framing.get("rows"), framing.get("cols")] == list(shape):
        return georeference_of_gdal(crs, _floats(framing.get("geotransform"))), note
    return None, "The product does not say where its grid lies; the scene has no georeference."


def _point(value: str) -> tuple[float, float] | None:
    try:
        x, y = (float(part) for part in value.strip("()").split(","))
    except ValueError:
        return None
    return x, y


def _framing(file: Any, group: str) -> dict[str, Any]:
    """Return Planet's description of the map grid: epsg_code, rows, cols, geotransform; or nothing."""
    for name in (group, f"{group}/Geolocation Fields", f"{group}/Geolocation_Fields"):
        node = get_node(file, name)
        if node is None:
            continue
        try:
            framing = json.loads(text(node, _FRAMING) or "{}")
        except (ValueError, RecursionError):
            continue
        if isinstance(framing, dict) and framing:
            return framing
    return {}


def _floats(values: Any) -> list[float]:
    if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
        return []
    return [float(value) for value in values]


def _sensor_grid(file: Any, group: str) -> str:
    crs = epsg_code(_framing(file, group).get("epsg_code"))
    twin = f" ({crs})" if crs else ""
    return (
        "The product is in the geometry of the sensor, where only latitude and longitude place the pixels; "
        f"it has no map coordinates, unlike its ortho twin{twin}."
    )
