"""What files of named arrays (MATLAB, NumPy, HDF5, netCDF, Zarr) leave to be found out.

Which axes of a cube are rows, columns and bands; whether a matrix is a cube with its pixels in a row; which
of the vectors beside a cube are its wavelengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import (
    ArrayInfo,
    FileFacts,
    centres_from_vectors,
    is_crs,
    make_georeference,
)

Order = Literal["F", "C"]
Read = Callable[[Path, Any], NDArray[Any]]

_ROWS = {"y", "row", "rows", "line", "lines", "lat", "latitude", "northing", "downtrack", "along_track"}
_COLS = {"x", "col", "cols", "column", "columns", "sample", "samples", "lon", "longitude", "easting",
         "crosstrack", "across_track"}  # fmt: skip
MOST_VALUES = 100_000  # of a vector that could hold wavelengths


def find_axes(
    shape: Sequence[int], names: Sequence[str], vectors: Mapping[str, Sequence[float]]
) -> tuple[tuple[int, int, int], str]:
    """Return which axes of three are rows, columns and bands, and a note where that was found out.

    Rows come first and bands last, as in NumPy, unless the names of the axes say otherwise, or the only
    wavelengths among `vectors` fit the first axis and not the last.
    """
    lower = [name.rsplit("/", 1)[-1].strip().lower() for name in names]
    rows = [at for at, name in enumerate(lower) if name in _ROWS]
    cols = [at for at, name in enumerate(lower) if name in _COLS]
    if len(rows) == len(cols) == 1:
        axes = (rows[0], cols[0], 3 - rows[0] - cols[0])
        return axes, ""
    if shape[0] != shape[2] and not _centres(vectors, shape[2])[0] and _centres(vectors, shape[0])[0]:
        return (1, 2, 0), (
            f"The wavelengths fit the first axis of {' x '.join(map(str, shape))}, which is taken for that "
            "of the bands; rows and columns follow."
        )
    return (0, 1, 2), ""


def _centres(vectors: Mapping[str, Sequence[float]], bands: int) -> tuple[tuple[float, ...], str]:
    fitting = {name: values for name, values in vectors.items() if len(values) == bands}
    return centres_from_vectors(fitting, bands) if fitting else ((), "")


def facts_of_vectors(
    vectors: Mapping[str, Sequence[float]],
    bands: int,
    *,
    no_data: float | None = None,
    note: str = "",
    georeference: dict[str, Any] | None = None,
) -> FileFacts:
    """Return the facts of a cube: wavelengths as far as vectors beside it hold them, and what is given."""
    centres, of_centres = _centres(vectors, bands)
    notes = tuple(one for one in (note, of_centres) if one)
    return FileFacts(wavelengths_nm=centres, no_data=no_data, georeference=georeference, notes=notes)


def place_of_axes(
    rows: Sequence[float], cols: Sequence[float], names: Sequence[str], systems: Iterable[Any]
) -> dict[str, Any] | None:
    """Return the georeference that coordinates of pixel centres along the axes give (CF conventions).

    Parameters
    ----------
    rows, cols
        Coordinates; those that are not evenly spaced give none.
    names
        Of the two axes: latitude and longitude are those of WGS 84 where no system is given.
    systems
        Attributes that may hold the coordinate system as text.
    """
    if min(len(rows), len(cols)) < 2:
        return None
    steps = []
    for values in (rows, cols):
        differences = np.diff(values)
        steps.append(float(values[-1] - values[0]) / (len(values) - 1))
        if not np.allclose(differences, steps[-1], rtol=1e-3, atol=0):
            return None
    texts = (value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in systems)
    crs = next((text.strip() for text in texts if is_crs(text)), "")
    plain = [name.rsplit("/", 1)[-1].strip().lower() for name in names]
    if not crs and plain[0] in ("lat", "latitude") and plain[1] in ("lon", "longitude"):
        crs = "EPSG:4326"
    return make_georeference(
        crs, [steps[1], 0.0, cols[0] - steps[1] / 2, 0.0, steps[0], rows[0] - steps[0] / 2]
    )


SYSTEMS = ("crs_wkt", "spatial_ref", "crs", "projection", "epsg")
"""Attributes, of a cube, its grid mapping or its file, that may hold the coordinate system."""


def numbers_of_attribute(value: Any) -> list[float]:
    """Return an attribute as numbers, also where it is a text like "{400, 410}"; else none."""
    if isinstance(value, bytes | str):
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        value = text.strip().strip("{}[]()").replace(",", " ").split()
    try:
        return np.asarray(value, np.float64).ravel().tolist()
    except (TypeError, ValueError):
        return []


_FILLS = (
    "_fillvalue", "missing_value", "data_ignore_value", "data ignore value", "nodata", "no_data",
    "nodata_value", "fill_value", "fillvalue",
)  # fmt: skip


def fill_value(attributes: Mapping[str, Any]) -> float | None:
    """Return the value that the attributes of a cube give to pixels without data, None if they do not."""
    lower = {str(name).lower(): value for name, value in attributes.items()}
    given = (numbers_of_attribute(lower[name]) for name in _FILLS if name in lower)
    return next((one[0] for one in given if len(one) == 1), None)


def read_vectors(path: Path, infos: Iterable[ArrayInfo], read: Read, bands: int) -> dict[str, list[float]]:
    """Return the arrays of as many numbers as there are bands, by name."""
    return {
        info.name: np.asarray(read(path, info), np.float64).ravel().tolist()
        for info in infos
        if info.numeric
        and bands <= MOST_VALUES
        and 1 < max(info.shape, default=0) == math.prod(info.shape) == bands
    }


@dataclass(frozen=True)
class FlatArray(ArrayInfo):
    """A matrix (bands, pixels) or (pixels, bands), or a vector of pixels, read as an image.

    Attributes
    ----------
    stored
        What is in the file.
    pixels
        The axis of the pixels.
    order
        "F" where they run down the columns, as in MATLAB; "C" where they run along the rows, as in NumPy.
    """

    stored: ArrayInfo
    pixels: int
    order: Order


_SIZES = (
    ("nrow", "ncol"), ("nrows", "ncols"), ("n_rows", "n_cols"), ("rows", "cols"), ("row", "col"),
    ("rows", "columns"), ("lines", "samples"), ("nlines", "nsamples"), ("height", "width"), ("h", "w"),
    ("m", "n"), ("ny", "nx"), ("nl", "ns"),
)  # fmt: skip
_MOST_LISTED = 200  # arrays of a file in which sizes are looked for


def unflatten(path: Path, infos: Sequence[ArrayInfo], read: Read, order: Order) -> list[ArrayInfo]:
    """Return the arrays of a file, with images whose pixels stand in a row (see `FlatArray`) as such.

    Such a file has rows and columns beside the matrix, as two scalars (``nRow`` and ``nCol``, ``lines`` and
    ``samples``, ...) in the same struct or at the top, whose product is one side of the matrix and not the
    other.
    """
    scalars: dict[str, int] = {}
    for info in infos[:_MOST_LISTED]:
        name = info.name.lower()
        if info.numeric and math.prod(info.shape) == 1 and any(_leaf(name) in pair for pair in _SIZES):
            value = float(np.asarray(read(path, info)).item())
            if value.is_integer() and value > 1:
                scalars[name] = int(value)
    return [_as_image(info, scalars, order) for info in infos]


def _leaf(name: str) -> str:
    return name[name.rfind(".") + 1 :].rsplit("/", 1)[-1]


def _as_image(info: ArrayInfo, scalars: Mapping[str, int], order: Order) -> ArrayInfo:
    if not info.numeric or len(info.shape) != 2:
        return info
    inside = info.name.lower()[: len(info.name) - len(_leaf(info.name))]
    for prefix in dict.fromkeys((inside, "")):
        for pair in _SIZES:
            rows, cols = (scalars.get(prefix + name, 0) for name in pair)
            fitting = [axis for axis in (0, 1) if info.shape[axis] == rows * cols]
            if rows and cols and len(fitting) == 1:
                bands = info.shape[1 - fitting[0]]
                shape = (rows, cols) if bands == 1 else (rows, cols, bands)
                return FlatArray(info.name, shape, info.dtype, True, info, fitting[0], order)
    return info


def read_flat(path: Path, info: ArrayInfo, read: Read) -> NDArray[Any]:
    """Return an array, one of `FlatArray` as an image."""
    if not isinstance(info, FlatArray):
        return read(path, info)
    matrix = read(path, info.stored)
    return (matrix if info.pixels == 0 else matrix.T).reshape(info.shape, order=info.order)


def flat_note(info: ArrayInfo) -> str:
    """Return the sentence that says how `read_flat` took an array, "" if there is nothing to say."""
    if not isinstance(info, FlatArray):
        return ""
    rows, cols = info.shape[:2]
    return (
        f"'{info.name}' ({' x '.join(map(str, info.stored.shape))}) holds its pixels in a row; by the sizes "
        f"in the file they are taken as {rows} rows and {cols} columns, "
        + ("column by column, as MATLAB has it." if info.order == "F" else "row by row, as NumPy has it.")
    )


def table_of_pixels(infos: Sequence[ArrayInfo]) -> str:
    """Return "X (120 x 6 uint16)" where a file seems to hold pixels without their places, else ""."""
    vectors = {
        math.prod(info.shape) for info in infos if info.numeric and sum(n > 1 for n in info.shape) == 1
    }
    for info in infos:
        if info.numeric and len(info.shape) == 2 and min(info.shape) > 1:
            long, short = max(info.shape), min(info.shape)
            if (long > short and long in vectors) or long >= max(100, _LONG * short):
                return str(info)
    return ""


_LONG = 20  # times its width that a table is long; no image is that narrow
