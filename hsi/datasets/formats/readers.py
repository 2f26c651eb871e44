"""Reading one array out of a file: MATLAB, NumPy, HDF5, netCDF, ENVI, Zarr, and the rasters of GDAL.

Only the requested array is read, and nothing in a file is executed. MATLAB stores arrays column by column, so
an array from a .mat file is a transposed view, not a copy. ENVI images are memory-mapped; `open_cube` also
leaves cubes in .npy, HDF5, netCDF, Zarr and the rasters of GDAL on disk.

Every function takes the format as `kind_of` returned it (`kind`), so that a caller that reads a file in
several steps recognises it once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.formats.envi import envi_facts, envi_files, list_envi, read_envi
from hsi.datasets.formats.facts import ArrayInfo, FileFacts
from hsi.datasets.formats.hdf5_files import hdf5_facts, list_hdf5, open_hdf5, read_hdf5
from hsi.datasets.formats.mat5 import list_mat5, read_mat5
from hsi.datasets.formats.named_arrays import (
    Order,
    Read,
    facts_of_vectors,
    flat_note,
    read_flat,
    read_vectors,
    table_of_pixels,
    unflatten,
)
from hsi.datasets.formats.netcdf3_files import list_netcdf3, netcdf3_facts, read_netcdf3
from hsi.datasets.formats.numpy_files import list_npy, list_npz, map_npy, read_npy, read_npz
from hsi.datasets.formats.raster_cube import RasterCube
from hsi.datasets.formats.raster_facts import raster_facts, zarr_facts
from hsi.datasets.formats.rasters import list_rasters, raster_files, read_raster
from hsi.datasets.formats.recognise import RASTERS, SIBLINGS, recognise
from hsi.datasets.labels.label_images import (
    label_image_facts,
    label_image_files,
    list_label_image,
    read_label_values,
)
from hsi.datasets.products.known_products import PRODUCTS, find_product
from hsi.datasets.products.product import Product
from hsi.errors import FileFormatError, HsiError, near_miss
from hsi.io.size_limits import check_claim

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Format:
    """The functions of one format; `open`, `facts` and `files` where it has them.

    `read`, `open` and `facts` get what `list` returned for the array; `facts` only where arrays are `named`.
    """

    list: Callable[[Path], Iterable[ArrayInfo]]
    read: Read
    open: Callable[[Path, Any], Cube] | None = None
    facts: Callable[[Path, Any], FileFacts] | None = None
    files: Callable[[Path], tuple[Path, ...]] | None = None
    named: bool = False


def _arrays(list_: Callable[[Path], Iterable[ArrayInfo]], read: Read, order: Order = "F") -> _Format:
    """Return a format of named arrays, of which one may hold the pixels of a cube in a row, in some order."""

    def facts(path: Path, info: ArrayInfo) -> FileFacts:
        bands = info.shape[2]
        return facts_of_vectors(read_vectors(path, list_(path), read, bands), bands, note=flat_note(info))

    return _Format(
        lambda path: unflatten(path, [*list_(path)], read, order),
        lambda path, info: read_flat(path, info, read),
        facts=facts,
        named=True,
    )


_RASTER = _Format(
    list_rasters, read_raster, open=RasterCube, facts=lambda path, _: raster_facts(path), files=raster_files
)
_FORMATS = {
    **dict.fromkeys(RASTERS, _RASTER),
    "mat5": _arrays(list_mat5, read_mat5),
    "mat73": _arrays(partial(list_hdf5, matlab=True), partial(read_hdf5, matlab=True)),
    "hdf5": _Format(list_hdf5, read_hdf5, open=open_hdf5, facts=hdf5_facts, named=True),
    "netcdf3": _Format(list_netcdf3, read_netcdf3, open=read_netcdf3, facts=netcdf3_facts, named=True),
    "npy": _Format(list_npy, read_npy, open=lambda path, _: map_npy(path)),
    "npz": _arrays(list_npz, read_npz, "C"),
    "image": _Format(
        list_label_image,
        read_label_values,
        facts=lambda path, _: label_image_facts(path),
        files=label_image_files,
    ),
    "envi": _Format(
        list_envi, read_envi, open=read_envi, facts=lambda path, _: envi_facts(path), files=envi_files
    ),
    "zarr": _Format(
        list_rasters,
        read_raster,
        open=RasterCube,
        facts=zarr_facts,
        files=raster_files,
        named=True,
    ),
}

_RAW = " in sensor geometry"


def _format_of(kind: str) -> _Format | None:
    """Return the functions of a format or product, None for points and polygons."""
    name = kind.removesuffix(_RAW)
    if name not in PRODUCTS:
        return _FORMATS.get(kind)

    def open_(path: Path) -> Product:
        found = find_product(path)
        assert found is not None, "only called for what `kind_of` calls a product"
        state = found[1].stat()
        return _open_product(name, found[1], kind != name, (state.st_mtime_ns, state.st_size))

    return _Format(
        lambda path: [ArrayInfo("", tuple(open_(path).cube.shape), "float32", True)],
        lambda path, _: np.asarray(open_(path).cube),
        open=lambda path, _: open_(path).cube,
        facts=lambda path, _: open_(path).facts,
        files=lambda path: open_(path).files,
    )


@lru_cache(maxsize=2)
def _open_product(name: str, path: Path, raw: bool, _: tuple[int, int]) -> Product:
    """Open a product once for its shape, metadata and cube, while its main file stays the same."""
    return PRODUCTS[name].open(path, raw)


def kind_of(path: Path, raw: bool = False) -> str:
    """Return the name of the product that a file or folder belongs to, else its format as `recognise`.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        As `recognise`; also for `raw`, the geometry of the sensor, where the file is no product.
    """
    found = _guarded(path, lambda: find_product(path))
    if found is not None:
        return found[0] + _RAW * raw
    if raw:
        raise FileFormatError(
            f"{path} is not a product that hsi knows, and has one geometry only; leave out --raw."
        )
    return recognise(path)


@dataclass(frozen=True)
class ArraySource:
    """A file and the name of the array in it (None: the only one that fits).

    In a file of points or polygons the name is that of the attribute that holds the class. With `raw`, a
    product is taken in the geometry of its sensor; with `plain`, a file of a product, such as one of its
    masks, is taken alone. `layer` is that of a file of points or polygons that has several.
    """

    file: Path
    key: str | None = None
    raw: bool = False
    plain: bool = False
    layer: str | None = None

    @cached_property
    def kind(self) -> str:
        """The format of the file, see `kind_of`; found once."""
        return recognise(self.file) if self.plain else kind_of(self.file, self.raw)


def list_arrays(path: Path, kind: str | None = None) -> list[ArrayInfo]:
    """Return what a file holds, without reading the arrays.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        When there is no such file, or it is damaged or in no supported format; the message says which.
    """
    file_format = _format_of(kind or kind_of(path))
    if file_format is None:
        raise FileFormatError(f"{path} holds points or polygons, not an array; it can only give labels.")
    return _guarded(path, lambda: list(file_format.list(path)))


def read_facts(path: Path, kind: str | None = None, key: str | None = None) -> FileFacts:
    """Return a file's metadata; empty for formats that have none. Raises what `list_arrays` raises.

    In a file of named arrays they are those of the cube `key` (None: the only one), if there is one.
    """
    kind = kind or kind_of(path)
    file_format = _format_of(kind)
    reader = None if file_format is None else file_format.facts
    if file_format is None or reader is None:
        return FileFacts()
    info = None
    if file_format.named:
        try:
            info = _choose(path, list_arrays(path, kind), 3, key, (), "cube_key")
        except FileFormatError:
            return FileFacts()
    return _guarded(path, lambda: reader(path, info))


def files_of(path: Path, kind: str | None = None) -> tuple[Path, ...]:
    """Return all the files that are read for `path`: an ENVI image has two, a shapefile several."""
    kind = kind or kind_of(path)
    file_format = _format_of(kind)
    if file_format is not None and file_format.files is not None:
        return file_format.files(path)
    return (path, *filter(Path.is_file, map(path.with_suffix, SIBLINGS.get(kind, ()))))


def read_array(
    path: Path,
    *,
    ndim: int,
    key: str | None = None,
    known_keys: Iterable[str] = (),
    option: str = "cube_key",
    kind: str | None = None,
    any_layout: bool = False,
) -> NDArray[Any]:
    """Return one array of `ndim` dimensions, in the file's own element type (native byte order).

    Parameters
    ----------
    path
        A file or Zarr store; recognised by its content.
    ndim
        3 for a cube, 2 for a label map.
    key
        Name of the array: ``group/name`` in HDF5 and Zarr, ``struct.field`` in MATLAB.
    known_keys
        Names to look for where no key is given, before the rule "the one numeric array of `ndim` dimensions".
    option
        Name of the option that the message recommends where the choice is not clear.
    any_layout
        For labels: whether, where nothing fits, an array may also have axes of length 1, one layer a class,
        or all pixels in a row, or hold texts; see `hsi.datasets.labels.label_images.as_label_map`.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        As `list_arrays`, and when no or several arrays fit: the message lists what is inside.
    """
    kind = kind or kind_of(path)
    info = _choose(path, list_arrays(path, kind), ndim, key, known_keys, option, any_layout)
    file_format = _format_of(kind)
    assert file_format is not None, "`list_arrays` refuses it"
    if file_format.files is None:  # those of several files are checked when they are opened
        check_claim(path, info.shape, np.dtype(info.dtype).itemsize, path.stat().st_size)
    array: NDArray[Any] = _guarded(path, lambda: file_format.read(path, info))
    if array.shape != info.shape or array.dtype.kind not in ("iufbUS" if any_layout else "iufb"):
        raise FileFormatError(
            f"{path}: {info} holds complex numbers or another kind of value; only real numbers can be used."
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def open_cube(path: Path, key: str | None = None, kind: str | None = None) -> Cube:
    """Return a cube (rows, cols, bands) of any size.

    One in .npy, HDF5, netCDF, ENVI, Zarr or a raster of GDAL stays on disk, until a window of it is read; one
    in another format (.mat, .npz) is read as by `read_array`, which lists the errors.
    """
    kind = kind or kind_of(path)
    file_format = _format_of(kind)
    opener = None if file_format is None else file_format.open
    if file_format is not None and opener is not None and (file_format.named or key is None):
        infos = list_arrays(path, kind)
        whole = (
            len(infos) == 1 and len(infos[0].shape) == 3 and (infos[0].numeric or infos[0].dtype == "bool")
        )
        info = infos[0] if whole and key is None else _choose(path, infos, 3, key, (), "cube_key")
        return _guarded(path, lambda: opener(path, info))
    return read_array(path, ndim=3, key=key, kind=kind)


def _choose(
    path: Path,
    infos: list[ArrayInfo],
    ndim: int,
    key: str | None,
    known_keys: Iterable[str],
    option: str,
    any_layout: bool = False,
) -> ArrayInfo:
    """Return the requested array: by name, else the only one that fits."""
    inside = ", ".join(map(str, infos)) or "nothing"
    expected = "3-D (rows, cols, bands)" if ndim == 3 else "2-D (rows, cols)"
    advice = f"name the right one with --{option.replace('_', '-')} ({option} in Python)"
    if key is not None:
        names = {info.name: info for info in infos}
        lower_case = {info.name.lower(): info for info in reversed(infos)}
        info = names.get(key) or lower_case.get(key.lower()) or lower_case.get(key.lower().replace("/", "."))
        if info is None:
            raise FileFormatError(
                f"{path} has no array '{key}'.{near_miss(key, names)} It holds: {inside}; {advice}."
            )
        if (not info.numeric or len(info.shape) != ndim) and not (any_layout and _may_be_labels(info)):
            raise FileFormatError(
                f"{path}: {info} is not a {expected} array of numbers. The file holds: {inside}; {advice}."
            )
        return info
    fitting = [info for info in infos if info.numeric and len(info.shape) == ndim and min(info.shape) > 1]
    if any_layout and not fitting:
        fitting = _other_layouts(infos)
    for known in known_keys:
        for info in fitting:
            if info.name.lower() == known.lower():
                return info
    if len(fitting) == 1:
        return fitting[0]
    table = table_of_pixels(infos) if ndim == 3 and not fitting else ""
    if table:
        raise FileFormatError(
            f"{path} holds a table of pixels, {table}, no image: nothing says where the pixels lie; save the "
            "cube as (rows, cols, bands), or its numbers of rows and columns beside it as 'nRow' and 'nCol'."
        )
    if len(infos) == 1 and not infos[0].name:  # no name to choose by
        advice = "a cube has two bands or more, so name another file" if ndim == 3 else "name another file"
    found = "several arrays that are" if fitting else "no array that is"
    raise FileFormatError(f"{path} holds {found} {expected} and numeric. It holds: {inside}; {advice}.")


_MOST_LAYERS = 64
_FEWEST_LABELS = 100  # in a row; wavelengths and sizes are shorter lists


def _may_be_labels(info: ArrayInfo) -> bool:
    text = re.fullmatch(r"[<>|=]?[US]\d+", info.dtype) is not None
    return (info.numeric or info.dtype == "bool" or text) and len(info.shape) > 0


def _other_layouts(infos: list[ArrayInfo]) -> list[ArrayInfo]:
    """Return the arrays that may be labels in another layout than 2-D numbers; the likeliest layout only."""
    kept = [
        (info, [length for length in info.shape if length != 1]) for info in infos if _may_be_labels(info)
    ]
    images = [info for info, shape in kept if len(shape) == 2]
    layers = [info for info, shape in kept if len(shape) == 3 and min(shape) <= _MOST_LAYERS]
    lists = [info for info, shape in kept if len(shape) == 1 and shape[0] >= _FEWEST_LABELS]
    cubes = [shape for _, shape in kept if len(shape) == 3]
    of_a_cube = {shape[one] * shape[other] for shape in cubes for one, other in ((0, 1), (0, 2), (1, 2))}
    beside = [info for info in lists if math.prod(info.shape) in of_a_cube]
    return images or beside or layers or lists


def _guarded(path: Path, read: Callable[[], Result]) -> Result:
    """Run a parser; turn whatever it raises on a damaged file into one sentence."""
    try:
        return read()
    except HsiError:
        raise
    except Exception as error:  # damaged bytes make the parsers raise almost any type
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(f"{path} is truncated or damaged ({cause}); fetch or write it again.") from None
