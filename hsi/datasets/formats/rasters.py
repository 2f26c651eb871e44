"""Rasters that GDAL reads, by rasterio (the extra ``geo``): GeoTIFF, JPEG 2000, ERDAS, VRT, Zarr and others.

Values keep the file's element type. Scale and offset of the bands are not applied: each band is standardised
later, which cancels them. A file is opened by the one driver of its format (`RASTERS`), so that no other
format, database or service is tried; a VRT, an ERDAS image and a Zarr store are looked through first, since
they can name other files. `RasterCube` leaves the values on disk.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import ArrayInfo, is_crs, raster_info
from hsi.datasets.formats.named_arrays import MOST_VALUES, numbers_of_attribute
from hsi.datasets.formats.recognise import RASTERS, ehdr_files, recognise
from hsi.datasets.formats.zarr_stores import ZarrArray, find_zarr_array, list_zarr, zarr_files
from hsi.errors import FileFormatError, install_command
from hsi.io.size_limits import check_claim, check_length

GDAL_CACHE = 64 << 20
"""Bytes of GDAL's block cache, for all files together; its default is a share of the machine's memory."""


def load_rasterio(path: Path) -> ModuleType:
    """Return the module rasterio; FileFormatError says how to install it where it is missing."""
    try:
        import rasterio
        import rasterio.features
        import rasterio.warp
    except ImportError:
        raise FileFormatError(
            f"To read {path}, rasterio is needed; install it with: {install_command('geo')}"
        ) from None
    module: ModuleType = rasterio
    return module


def raster_files(path: Path) -> tuple[Path, ...]:
    """Return the files that hold a raster: ESRI data before its header, a VRT before its sources.

    Raises
    ------
    FileFormatError
        When the file names one that may not be opened.
    """
    kind = recognise(path)
    if kind == "ehdr":
        found = ehdr_files(path)
        assert found is not None, "`recognise` has found both"
        return found[::-1]
    if kind == "vrt":
        return vrt_files(path)
    if kind == "imagine":  # the values of a large one lie beside it
        return (path, *filter(Path.is_file, [path.with_suffix(".ige")]))
    return zarr_files(path) if kind == "zarr" else (path,)


def stored_bytes(path: Path) -> int:
    """Return the bytes that a raster takes on disk, in all its files."""
    return sum(file.stat().st_size for file in raster_files(path))


def list_rasters(path: Path) -> list[ArrayInfo]:
    """Return the one array of an image, or those of a Zarr store, without reading them."""
    if path.is_dir():
        arrays = list_zarr(path)
        return [one.with_axes(zarr_vectors(path, arrays, one)) for one in arrays]
    with open_raster(path) as source:
        dtype = np.result_type(*source.dtypes) if "complex_int16" not in source.dtypes else np.dtype("c8")
        return [raster_info(source.height, source.width, source.count, str(dtype), dtype.kind in "iuf")]


def read_raster(path: Path, info: ArrayInfo | None = None) -> NDArray[Any]:
    """Return the values: (rows, cols, bands), a transposed view; (rows, cols) of one band."""
    stored = stored_bytes(path)
    with open_raster(path, info) as source:
        for (rows, cols), dtype in zip(source.block_shapes, source.dtypes, strict=True):
            check_claim(path, (rows, cols), np.dtype(dtype).itemsize, stored)
        shape = (source.height, source.width, source.count)
        check_claim(path, shape, np.result_type(*source.dtypes).itemsize, stored)
        with load_rasterio(path).Env(GDAL_CACHEMAX=cache_bytes(source)):
            values = read_window(source, (slice(0, shape[0]), slice(0, shape[1])), None, zarr_tile(info))
    return values[0] if len(values) == 1 else values.transpose(1, 2, 0)


def cache_bytes(source: Any) -> int:
    """Return how large GDAL's block cache has to be for an open raster.

    A tile of JPEG 2000 is unpacked for all bands at once, and anew for every band that the cache had no room
    for.
    """
    if not source.driver.startswith("JP2"):
        return GDAL_CACHE
    rows, cols = source.block_shapes[0]
    tile = rows * cols * source.count * np.dtype(source.dtypes[0]).itemsize
    return max(GDAL_CACHE, tile + tile // 4)


def zarr_tile(info: ArrayInfo | None) -> tuple[int, int] | None:
    """Return rows and columns of the chunks of a Zarr array where they hold several bands each, else None."""
    if not isinstance(info, ZarrArray) or info.axes is None or len(info.axes) != 3:
        return None
    rows, cols, bands = (info.chunks[axis] for axis in info.axes)
    return (rows, cols) if bands > 1 else None


def read_window(
    source: Any, window: tuple[slice, slice], bands: list[int] | None, tile: tuple[int, int] | None
) -> NDArray[Any]:
    """Return a window of an open raster, (bands, rows, cols).

    Parameters
    ----------
    window
        Rows and columns.
    bands
        Numbers from 1; None: all.
    tile
        See `zarr_tile`. Tiles are read one after the other, since GDAL keeps only the last chunk unpacked and
        would unpack each anew for every band.
    """
    rows, cols = window
    if tile is None:
        box = ((rows.start, rows.stop), (cols.start, cols.stop))
        if len(set(source.dtypes)) == 1:
            values: NDArray[Any] = source.read(bands, window=box)
            return values
        dtype = np.result_type(*source.dtypes)
        one_by_one = source.indexes if bands is None else bands
        return np.stack([source.read(band, window=box).astype(dtype) for band in one_by_one])
    count = source.count if bands is None else len(bands)
    whole = np.empty((count, rows.stop - rows.start, cols.stop - cols.start), source.dtypes[0])
    for top, bottom in _pieces(rows, tile[0]):
        for left, right in _pieces(cols, tile[1]):
            place = slice(top - rows.start, bottom - rows.start), slice(left - cols.start, right - cols.start)
            whole[:, place[0], place[1]] = source.read(bands, window=((top, bottom), (left, right)))
    return whole


def _pieces(part: slice, step: int) -> Iterator[tuple[int, int]]:
    """Yield the beginnings and ends of the tiles that a part of an axis lies in, cut to it."""
    for start in range(part.start - part.start % step, part.stop, step):
        yield max(start, part.start), min(start + step, part.stop)


@contextlib.contextmanager
def open_raster(path: Path, info: ArrayInfo | None = None) -> Iterator[Any]:
    """Open an image, or an array of a Zarr store; FileFormatError for the errors of rasterio."""
    with rasterio_errors(path), connect(path, info) as source:
        yield source


def connect(path: Path, info: ArrayInfo | None = None) -> Any:
    """Return an open dataset of rasterio, see `open_raster`; the errors are those of rasterio."""
    rasterio = load_rasterio(path)
    kind = recognise(path)
    target: Any = path.resolve()
    options: dict[str, Any] = {}
    if kind == "zarr":
        array = info if isinstance(info, ZarrArray) else find_zarr_array(path, info.name if info else "")
        target, options = _zarr_target(path, array)
    elif kind == "imagine":
        _check_imagine(target)
    elif kind in ("ehdr", "vrt"):
        target = raster_files(path)[0].resolve()
    for file in () if kind == "zarr" else raster_files(path):
        _check_neighbours(file)
    driver = RASTERS.get(kind, RASTERS["tiff"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            source = rasterio.open(target, driver=driver, **options)
            # An error that GDAL kept while it opened a file is raised by the next call, whatever that is.
            _ = source.colorinterp
        except Exception:  # of almost any type, as for an address as coordinate system in the .aux.xml
            if not aux_file(path).is_file():
                raise
            with rasterio.Env(GDAL_PAM_ENABLED="NO"):
                source = rasterio.open(target, driver=driver, **options)
        if kind in ("lan", "ehdr"):
            _check_raw(path, source)
        return source


def _check_raw(path: Path, source: Any) -> None:
    """Raise FileFormatError for a file of plain values that is cut off; GDAL reads what is missing as 0."""
    bits = source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 * np.dtype(source.dtypes[0]).itemsize)
    wanted, stored = source.height * source.width * source.count * int(bits) // 8, stored_bytes(path)
    if stored < wanted:
        source.close()
        raise FileFormatError(f"{path} is truncated: it has {stored:,} of {wanted:,} bytes; fetch it again.")


def _check_neighbours(path: Path) -> None:
    """Raise FileFormatError for a file beside an image that GDAL must not open.

    A pipe could block forever. Overviews and masks are opened by any driver, and some drivers ask a server or
    open the files that they name, so only TIFF is left to GDAL.
    """
    for beside in path.resolve().parent.iterdir():
        if not beside.name.startswith(path.stem):
            continue
        with contextlib.suppress(OSError):  # a link to nothing
            mode = beside.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise FileFormatError(f"{beside} is a device or a pipe; remove it from beside {path}.")
            opened = beside.suffix.lower() in (".ovr", ".msk") and beside != path.resolve()
            if opened and not (stat.S_ISREG(mode) and _first_bytes(beside).startswith(_TIFF)):
                raise FileFormatError(
                    f"{beside} is no GeoTIFF, as overviews and masks are; remove it from beside {path}."
                )


_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def aux_file(path: Path) -> Path:
    """Return where GDAL keeps what a raster's own format has no place for."""
    return path.with_name(path.name + ".aux.xml")


def _zarr_target(path: Path, array: ZarrArray) -> tuple[str, dict[str, Any]]:
    """Return GDAL's name of an array, and which of its axes are rows and columns."""
    folder = str(path.resolve())
    if '"' in folder + array.name:
        raise FileFormatError(f"{path} cannot be opened with a quotation mark in its name; rename it.")
    if array.axes is None and len(array.shape) != 1:
        raise FileFormatError(f"{path}: {array} is no image; name another array.")
    chunk = math.prod(array.chunks) * 8
    check_claim(path, (chunk,), 1, chunk)  # unpacked as a whole
    axes = {"DIM_X": array.axes[1], "DIM_Y": array.axes[0]} if array.axes and len(array.axes) == 3 else {}
    return f'ZARR:"{folder}":/{array.name}', axes


def zarr_vectors(path: Path, arrays: list[ZarrArray], cube: ZarrArray) -> dict[str, list[float]]:
    """Return what could hold the wavelengths of a cube: lists of numbers among attributes, and vectors."""
    if len(cube.shape) != 3 or not cube.numeric:
        return {}
    found = {name: numbers_of_attribute(value) for name, value in cube.attributes.items()}
    for one in arrays:
        if one.numeric and len(one.shape) == 1 and one.shape[0] in cube.shape and one.shape[0] <= MOST_VALUES:
            found[one.name] = np.asarray(read_raster(path, one), np.float64).ravel().tolist()
    return found


@contextlib.contextmanager
def rasterio_errors(path: Path) -> Iterator[None]:
    """Turn the errors of rasterio into FileFormatError."""
    rasterio = load_rasterio(path)
    try:
        yield
    except rasterio.errors.RasterioError as error:
        cause = " ".join(str(error.__cause__ or error).split())[:160]
        if path.is_dir() and re.search("codec|compressor|filter", cause, re.IGNORECASE):
            raise FileFormatError(
                f"{path} is a Zarr store packed in a way that GDAL {rasterio.__gdal_version__} does not read "
                f"({cause}); save it as version 2 (zarr_format=2), as netCDF or as GeoTIFF."
            ) from None
        raise FileFormatError(f"{path} is truncated or damaged ({cause}); fetch it again.") from None


_LINKS = (b"ExternalRasterDMS\x00", b"RRDNamesList\x00", b"DependentFile\x00")
_ENTRY = struct.Struct("<6I64s")  # next, previous, parent, child, data, length of the data, name


def _check_imagine(path: Path) -> None:
    """Raise FileFormatError where an ERDAS image (HFA) names a file above its own folder.

    Its nodes of three names hold names of files, which GDAL looks for from the image's folder on.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        for name in _LINKS:
            at = whole.find(name)
            while at >= 0:
                start = at - _ENTRY.size + 64
                if start >= 0:
                    *_, data, length, _ = _ENTRY.unpack(
                        whole[start : start + _ENTRY.size].ljust(_ENTRY.size, b"\0")
                    )
                    if b".." in whole[data : data + min(length, 1 << 16)]:
                        raise FileFormatError(
                            f"{path} names a file outside its folder, which is not opened; save it again as "
                            "one file."
                        )
                at = whole.find(name, at + 1)


_MOST_VRT_BYTES = 16 << 20  # of its text; far more than a mosaic of a thousand files of 300 bands takes
_DEEPEST_VRT = 4  # VRTs in each other
_VRT_ELEMENTS = {
    # What names the sources, and what is computed from them without code.
    "VRTDataset", "VRTRasterBand", "SimpleSource", "ComplexSource", "AveragedSource", "NoDataFromMaskSource",
    "SourceFilename", "SourceBand", "SourceProperties", "SrcRect", "DstRect", "NODATA", "UseMaskBand",
    "ScaleOffset", "ScaleRatio", "SrcMin", "SrcMax", "DstMin", "DstMax", "Clamp", "Exponent", "LUT",
    "ColorTableComponent",
    # What describes the result.
    "SRS", "GeoTransform", "GCPList", "GCP", "Metadata", "MDI", "NoDataValue", "HideNoDataValue",
    "ColorInterp", "ColorTable", "Entry", "Description", "UnitType", "Offset", "Scale", "CategoryNames",
    "Category", "GDALRasterAttributeTable", "FieldDefn", "Name", "Type", "Usage", "Row", "F", "Histograms",
    "HistItem", "HistMin", "HistMax", "BucketCount", "IncludeOutOfRange", "Approximate", "HistCounts",
    "MaskBand", "BlockXSize", "BlockYSize", "OverviewList",
}  # fmt: skip


def vrt_files(path: Path) -> tuple[Path, ...]:
    """Return a VRT and its sources, those of VRTs among them included.

    A VRT is a text that can name any file, address, database or Python function. Only one whose sources are
    plain files in its own folder or below is opened.

    Raises
    ------
    FileFormatError
        When it is damaged, or names anything but rasters in its own folder or below it.
    """
    return tuple(dict.fromkeys(_files_of_vrt(path, path.resolve().parent, _DEEPEST_VRT)))


def _files_of_vrt(path: Path, folder: Path, depth: int) -> list[Path]:
    if depth == 0:
        raise FileFormatError(f"{path} is a VRT of VRTs, nested too deep; save it with gdal_translate.")
    found = [path]
    for name in _names_in_vrt(path):
        source = path.parent / name
        if not source.resolve().is_relative_to(folder):
            raise _refused_vrt(path, f"'{name}' lies outside its folder")
        kind = recognise(source)
        if kind == "vrt":
            found += _files_of_vrt(source, folder, depth - 1)
        elif kind in _VRT_SOURCES and b"\x00" in _first_bytes(source):
            found.append(source)
        else:
            raise _refused_vrt(path, f"'{name}' is neither GeoTIFF nor JPEG 2000")
    return found


# GDAL tries all its drivers on a source. After a zero byte none but those of these formats finds what it
# looks for.
_VRT_SOURCES = ("tiff", "jpeg2000")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _names_in_vrt(path: Path) -> list[str]:
    """Return the names of the files that a VRT is made of, relative to its folder."""
    check_length(path, _MOST_VRT_BYTES)
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\x00" in text:  # GDAL writes none
        raise _refused_vrt(path, "it holds a document type")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise FileFormatError(f"{path} is truncated or damaged ({error}); write it again.") from None
    if root.tag != "VRTDataset" or root.get("subClass"):
        raise _refused_vrt(path, f"it is a {root.get('subClass') or root.tag}")
    names = []
    for element in root.iter():
        if element.tag not in _VRT_ELEMENTS or (element.tag == "VRTRasterBand" and element.get("subClass")):
            raise _refused_vrt(path, f"it holds <{element.tag}>")
        if element.tag == "MDI" and "OVERVIEW_FILE" in (element.get("key") or "").upper():
            raise _refused_vrt(path, "it names overviews elsewhere")
        system = element.text if element.tag == "SRS" else element.get("Projection")
        if system and not is_crs(system.strip()):
            raise _refused_vrt(path, "its coordinate system is no code and no WKT")
        if element.tag == "SourceFilename":
            names.append((element.text or "").strip())
            # GDAL takes a name without the mark as relative to where the program runs.
            if element.get("relativeToVRT") != "1" or not _PLAIN_NAME.fullmatch(names[-1]):
                raise _refused_vrt(path, f"'{names[-1][:80]}' is no name relative to it")
    if not names:
        raise _refused_vrt(path, "it has no source")
    return list(dict.fromkeys(names))


_PLAIN_NAME = re.compile(r"(?!/)(?!.*(?:^|/)\.\.(?:/|$))[^:\\<>\"|?*\x00-\x1f]+")


def _refused_vrt(path: Path, why: str) -> FileFormatError:
    return FileFormatError(
        f"{path} is a VRT that is not opened ({why}): only files in its own folder are; make one file of it "
        "with gdal_translate."
    )
