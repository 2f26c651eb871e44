"""The area of a pixel on the ground, from the georeference of a scene."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.errors import ConfigError, InputError, install_command, unknown

UNITS = {"ha": 1e4, "m2": 1.0, "km2": 1e6, "pixels": math.nan}
"""Square metres of a unit of area; a pixel has those of its scene."""

Floats = NDArray[np.float64]

MAJOR, FLATTENING = 6_378_137.0, 1 / 298.257223563
"""Semi-major axis in metres and flattening of WGS 84; other ellipsoids in use differ by 0.02 % of area."""
DISTORTED = 0.01
"""Difference from the area on the ellipsoid above which a map projection's own square metres are not used."""
_EDGE_POINTS = 64


@dataclass(frozen=True)
class PixelArea:
    """Square metres of a pixel, or None where that is not known, and sentences on where it is from."""

    square_metres: float | None
    notes: tuple[str, ...] = ()


def pixel_in_unit(square_metres: float | None, unit: str | None = None) -> tuple[str, float]:
    """Return a unit, default "ha" (else "pixels"), and the size of a pixel in it.

    Raises
    ------
    InputError
        For an unknown unit, and for square metres and hectares where the pixel's size is not known.

    Examples
    --------
    >>> pixel_in_unit(900.0)
    ('ha', 0.09)
    """
    unit = unit or ("pixels" if square_metres is None else "ha")
    if unit not in UNITS:
        raise InputError(unknown("unit", unit, UNITS))
    if unit == "pixels":
        return unit, 1.0
    if square_metres is None:
        raise InputError(
            f"The size of a pixel is not known, so there are no areas in {unit}; give it in metres with "
            "--pixel-size."
        )
    return unit, square_metres / UNITS[unit]


def pixel_area(
    georeference: Mapping[str, Any] | None, shape: tuple[int, int], pixel_size: float | None = None
) -> PixelArea:
    """Return the area of a pixel of a scene.

    In a projected coordinate system it is the parallelogram of the transform, in the system's unit of length,
    unless that differs from the area on the ellipsoid by more than 1 %, as in Web Mercator. In degrees, and
    then, it is the mean over the scene on the ellipsoid: the outline, densified, is brought to Lambert's
    cylindrical equal-area projection (Snyder 1987, Map projections: a working manual, eq. 10-13 and 3-12) and
    measured there.

    Parameters
    ----------
    georeference
        As in `hsi.Scene`, or None.
    shape
        (rows, cols) of the scene.
    pixel_size
        Side of a square pixel in metres, in place of the georeference.

    Raises
    ------
    ConfigError
        For a pixel size that is not above 0.

    Examples
    --------
    >>> pixel_area(None, (10, 10), pixel_size=30).square_metres
    900.0
    """
    if pixel_size is not None:
        if not (math.isfinite(pixel_size) and pixel_size > 0):
            raise ConfigError(f"The pixel size must be metres above 0, such as 30; got {pixel_size:g}.")
        return PixelArea(float(pixel_size) ** 2)
    give = "give the size of a pixel in metres with --pixel-size for square metres and hectares"
    if georeference is None:
        return PixelArea(None, (f"The scene has no georeference, so areas are pixels; {give}.",))
    if not georeference["crs"]:
        return PixelArea(
            None, (f"The scene does not name its coordinate system, so areas are pixels; {give}.",)
        )
    try:
        import rasterio.crs
        import rasterio.warp
    except ImportError:
        return PixelArea(
            None,
            (
                "To read the scene's coordinate system, rasterio is needed, so areas are pixels; install it "
                f"with: {install_command('geo')}, or {give}.",
            ),
        )
    try:
        with rasterio.Env():  # silences GDAL's own messages
            crs = rasterio.crs.CRS.from_user_input(georeference["crs"])
            flat = _planar_area(crs, georeference["transform"])
            true = _outline_area(rasterio.warp, crs, georeference["transform"], shape) / (shape[0] * shape[1])
    except Exception as error:  # GDAL and PROJ raise almost any type
        cause = " ".join(str(error).split())[:120] or type(error).__name__
        return PixelArea(
            None, (f"The scene's coordinate system cannot be used ({cause}), so areas are pixels; {give}.",)
        )
    if not (math.isfinite(true) and true > 0):
        return PixelArea(
            flat,
            (f"The scene's place on the ellipsoid is not clear, so areas are pixels; {give}.",)
            if flat is None
            else (),
        )
    if flat is not None and abs(flat / true - 1) <= DISTORTED:
        return PixelArea(flat)
    how = (
        "The scene is in degrees"
        if flat is None
        else f"The scene's projection shows areas {flat / true:.3g} times too large"
        if flat > true
        else f"The scene's projection shows areas {true / flat:.3g} times too small"
    )
    return PixelArea(
        true, (f"{how}; a pixel is taken for {true:,.6g} m2, its mean on the ellipsoid over the scene.",)
    )


def _planar_area(crs: Any, transform: Any) -> float | None:
    """Return the square metres of a pixel in a projected system, None in degrees."""
    if not crs.is_projected:
        return None
    a, b, _, d, e, _ = transform
    _, metres = crs.linear_units_factor
    return float(abs(a * e - b * d) * metres**2)


def _outline_area(warp: Any, crs: Any, transform: Any, shape: tuple[int, int]) -> float:
    """Return the area of a scene on the ellipsoid, in square metres."""
    rows, cols = shape
    step = np.linspace(0, 1, _EDGE_POINTS, endpoint=False)
    col = cols * np.concatenate([step, np.ones_like(step), 1 - step, np.zeros_like(step)])
    row = rows * np.concatenate([np.zeros_like(step), step, np.ones_like(step), 1 - step])
    a, b, x, d, e, y = transform
    degrees = np.array(warp.transform(crs, "EPSG:4326", x + a * col + b * row, y + d * col + e * row))
    longitude, latitude = np.radians(degrees)
    if (np.abs(latitude) > math.pi / 2 + 1e-9).any():
        return math.nan
    longitude = np.unwrap(longitude)  # a scene may cross the 180th meridian
    east, north = MAJOR * longitude, _authalic_height(latitude)
    return float(abs((east * np.roll(north, -1) - np.roll(east, -1) * north).sum()) / 2)


def _authalic_height(latitude: Floats) -> Floats:
    """Return y of the cylindrical equal-area projection of the ellipsoid: a q / 2 (Snyder 1987, eq. 3-12)."""
    square = FLATTENING * (2 - FLATTENING)
    e, sine = math.sqrt(square), np.sin(latitude)
    q = (1 - square) * (sine / (1 - square * sine**2) + np.arctanh(e * sine) / e)
    return np.asarray(MAJOR * q / 2)
