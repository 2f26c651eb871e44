"""The metadata inside products that are one HDF5 or netCDF-4 file.

Texts come as bytes or str, values as scalars or arrays of one, depending on the writer: all are read alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import is_crs, make_georeference
from hsi.datasets.formats.hdf5_files import check_dataset, get_node
from hsi.datasets.products.product import the_only
from hsi.errors import FileFormatError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUFFIXES = {".h5", ".he5", ".hdf5", ".hdf", ".nc", ".nc4"}
_MOST_FILES = 100  # of a folder that is looked at
_MOST_VALUES = 1 << 20  # of one attribute or list
_MICROMETRES = 100.0  # no optical sensor has a band centre below 100 nm
_WIDE = 0.5  # widths of bands below this are in micrometres


def find_hdf5(path: Path, title: str, is_product: Callable[[Any], bool]) -> Path | None:
    """Return the file of a product, `path` itself or the only one in that folder; None where there is none.

    `is_product` gets the opened file. Raises FileFormatError for a folder with several products.
    """
    if path.is_dir():
        try:
            files = [one for one in path.iterdir() if one.suffix.lower() in _SUFFIXES]
        except OSError:
            return None
        if len(files) > _MOST_FILES:
            return None
        return the_only((one for one in files if _is(one, is_product)), path, title)
    return path if _is(path, is_product) else None


def _is(path: Path, is_product: Callable[[Any], bool]) -> bool:
    import h5py

    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                return False
        with h5py.File(path, "r") as file:
            return is_product(file)
    except Exception:  # damaged bytes make the library raise almost any type
        return False


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open a file to read its metadata; FileFormatError for the errors of the library."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        cause = " ".join(str(error).split())[:160]
        raise FileFormatError(f"{path} is truncated or damaged ({cause}); fetch it again.") from None


def refuse_raw(path: Path, raw: bool, title: str) -> None:
    """Raise FileFormatError where the geometry of the sensor is wanted of a product that has one geometry."""
    if raw:
        raise FileFormatError(f"{path} is {title}, which has one geometry only; leave out --raw.")


def need(path: Path, file: Any, name: str) -> Any:
    """Return a group or dataset; FileFormatError names it where it is missing."""
    node = get_node(file, name)
    if node is None:
        raise missing(path, name)
    return node


def missing(path: Path, name: str) -> FileFormatError:
    """Return the error for a product without something that belongs to it."""
    return FileFormatError(f"{path} is damaged or incomplete: it has no '{name}'; download it again.")


def need_numbers(path: Path, node: Any, attribute: str) -> NDArray[np.float64]:
    """Return the numbers of an attribute; FileFormatError names it where it is missing."""
    values = numbers(node, attribute)
    if not len(values):
        raise missing(path, attribute)
    return values


def texts(node: Any, attribute: str | None = None) -> tuple[str, ...]:
    """Return the texts in an attribute, or in a dataset; none where it is missing or holds other values."""
    words = []
    for value in _values(node, attribute):
        if isinstance(value, bytes):
            value = value.decode("utf-8", errors="replace")
        if not isinstance(value, str):
            return ()
        words.append(value.strip("\0").strip())
    return tuple(words)


def text(node: Any, attribute: str | None = None) -> str:
    """Return the first of `texts`, or ""."""
    return next(iter(texts(node, attribute)), "")


def numbers(node: Any, attribute: str | None = None) -> NDArray[np.float64]:
    """Return the numbers in an attribute, or in a dataset, flat; also those written as text.

    Empty where it is missing or holds other values.
    """
    words = [part for word in texts(node, attribute) for part in word.replace(",", " ").split()]
    try:
        found = np.array(words or _values(node, attribute), np.float64)
    except (ValueError, TypeError):
        return np.empty(0)
    return found if found.ndim == 1 else np.empty(0)  # fields of records make a table


def number(node: Any, attribute: str | None = None) -> float | None:
    """Return the first of `numbers`, None where there is none or it is not finite."""
    value = next(iter(numbers(node, attribute).tolist()), math.nan)
    return value if math.isfinite(value) else None


def _values(node: Any, attribute: str | None) -> list[Any]:
    import h5py

    if node is None or (attribute is not None and attribute not in node.attrs):
        return []
    if attribute is None and not isinstance(node, h5py.Dataset):
        return []
    shape = node.shape if attribute is None else node.attrs.get_id(attribute).shape
    if shape is None or math.prod(shape) > _MOST_VALUES:
        return []
    if attribute is None:
        check_dataset(Path(node.file.filename), node)
        value = node[()]
    else:
        value = node.attrs[attribute]
    return [] if isinstance(value, h5py.Empty) else list(np.asarray(value).ravel().tolist())


def read_layer(path: Path, node: Any, shape: Sequence[int], name: str) -> NDArray[Any]:
    """Return a 2-D dataset; FileFormatError where it has another shape."""
    if tuple(node.shape or ()) != tuple(shape) or node.dtype.kind not in "iufb":
        size, wanted = (" x ".join(map(str, each)) for each in (node.shape or (), shape))
        raise FileFormatError(
            f"{path}: '{name}' is {size} {node.dtype}, but the image is {wanted}; download it again."
        )
    check_dataset(path, node)
    values: NDArray[Any] = node[()]
    return values


def read_lookup_table(
    path: Path, file: Any, cols: str, rows: str
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """Return the columns and rows of a lookup table as integers; 0 means no pixel.

    They are read as they are stored: one writer names -9999 as their fill and another 0, and copies made by
    other tools hold floats with NaN.
    """
    tables = []
    for name in (cols, rows):
        node = need(path, file, name)
        table = read_layer(path, node, node.shape if node.ndim == 2 else (0, 0), name)
        if table.dtype.kind == "f":
            table = np.nan_to_num(table, nan=0.0, posinf=0.0, neginf=0.0).round().astype(np.int64)
        tables.append(table)
    return tables[0], tables[1]


@dataclass(frozen=True)
class BandList:
    """The bands of a product in ascending order of wavelength, and their places in the file (`order`)."""

    order: NDArray[np.int64]
    wavelengths_nm: tuple[float, ...]
    fwhm_nm: tuple[float, ...]
    bad: frozenset[int]
    notes: tuple[str, ...]

    def bad_bands(self, dead: Sequence[int] = ()) -> tuple[int, ...]:
        """Return the flagged bands and those without data, in ascending order."""
        return tuple(sorted(self.bad | set(dead)))


def sort_bands(
    path: Path,
    bands: int,
    wavelengths: NDArray[np.float64],
    fwhm: NDArray[np.float64],
    bad: NDArray[np.bool_] | None = None,
) -> BandList:
    """Return the bands by wavelength; equal ones keep the order of the file.

    Parameters
    ----------
    path
        The file, for messages.
    bands
        Number of bands of the cube.
    wavelengths, fwhm
        In nanometres, or in micrometres where the values are that small. `fwhm` may be empty.
    bad
        Which bands the product flags as bad, or None.

    Raises
    ------
    FileFormatError
        When wavelengths are not one a band, or not positive.
    """
    if len(wavelengths) != bands:
        raise FileFormatError(
            f"{path} has {len(wavelengths)} wavelengths, but the cube has {bands} bands; download it again."
        )
    if not (np.isfinite(wavelengths).all() and (wavelengths > 0).all()):
        raise FileFormatError(f"{path} has wavelengths that are not positive numbers; download it again.")
    notes = []
    order = np.argsort(wavelengths, kind="stable")
    if wavelengths.max(initial=0) < _MICROMETRES:
        wavelengths = wavelengths * 1000
    if len(fwhm) not in (0, bands):
        notes.append(f"The product has {len(fwhm)} band widths for {bands} bands; they are left out.")
    if len(fwhm) != bands or not (np.isfinite(fwhm).all() and (fwhm > 0).all()):
        fwhm = np.empty(0)
    elif fwhm.max(initial=0) < _WIDE:
        fwhm = fwhm * 1000
    if bad is not None and len(bad) != bands:
        notes.append(f"The product flags {len(bad)} bands, but has {bands}; the flags are left out.")
        bad = None
    return BandList(
        order=order,
        wavelengths_nm=tuple(wavelengths[order].tolist()),
        fwhm_nm=tuple(fwhm[order].tolist()) if len(fwhm) else (),
        bad=frozenset() if bad is None else frozenset(np.flatnonzero(bad[order]).tolist()),
        notes=tuple(notes),
    )


def epsg_or_wkt(wkt: str) -> str:
    """Return the ``EPSG:n`` of a coordinate system in WKT, or the WKT; "" for another text or a damaged WKT.

    Without rasterio, it is the WKT as it is.
    """
    if not is_crs(wkt):
        return ""
    try:
        import rasterio
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
    except ImportError:
        return wkt
    try:
        with rasterio.Env():  # keeps what GDAL says off the screen
            code = CRS.from_wkt(wkt).to_epsg()
    except CRSError:
        return ""
    return wkt if code is None else f"EPSG:{code}"


def epsg_code(code: Any) -> str:
    """Return ``EPSG:n`` for a number that can be a code, "" for anything else."""
    known = isinstance(code, int | float) and 1000 < code < 1_000_000
    return f"EPSG:{int(code)}" if known else ""


def georeference_of_gdal(crs: str, geotransform: Sequence[float]) -> dict[str, Any] | None:
    """Return a georeference from the six numbers in GDAL's order, None where they are not that."""
    if len(geotransform) != 6:
        return None
    left, width, row_x, top, col_y, height = geotransform
    return make_georeference(crs, (width, row_x, left, col_y, height, top))
