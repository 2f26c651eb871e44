"""Reading one array out of a file: MATLAB v5 and v7.3, NumPy, HDF5, ENVI, GeoTIFF. Nothing in a file is ever
executed.

Only the chosen array is read. MATLAB stores arrays column by column, so what is returned from a .mat file is
a transposed view where needed, never a copy. ENVI images are memory-mapped. `open_cube` leaves .npy, ENVI and
GeoTIFF cubes where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.formats.envi import envi_facts, envi_files, list_envi, read_envi
from hsi.datasets.formats.facts import ArrayInfo, FileFacts
from hsi.datasets.formats.geotiff import GeoTiffCube, geotiff_facts, list_geotiff, read_geotiff
from hsi.datasets.formats.hdf5_files import list_hdf5, read_hdf5
from hsi.datasets.formats.mat5 import list_variables, read_variable
from hsi.datasets.formats.numpy_files import list_npy, list_npz, map_npy, read_npy, read_npz
from hsi.datasets.formats.recognise import ARRAYS, recognise
from hsi.errors import FileFormatError, HsiError, near_miss
from hsi.io.size_limits import check_claim

Result = TypeVar("Result")


def list_arrays(path: Path) -> list[ArrayInfo]:
    """Return what a file holds, without reading the arrays.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        When there is no such file, or it is damaged or in no supported format; the message says which.
    """
    return _guarded(path, lambda: _LISTERS[_format_of_arrays(path)](path))


def read_facts(path: Path) -> FileFacts:
    """Return what a file says of itself beside its values; nothing for formats that say nothing.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        As `list_arrays`.
    """
    reader = _FACTS.get(recognise(path))
    return FileFacts() if reader is None else _guarded(path, lambda: reader(path))


def files_of(path: Path) -> tuple[Path, ...]:
    """Return all the files that are read for `path`: an ENVI image has two, a shapefile several."""
    kind = recognise(path)
    if kind == "envi":
        return envi_files(path)
    if kind == "shapefile":
        beside = (path.with_suffix(end) for end in (".dbf", ".prj", ".cpg"))
        return (path, *(one for one in beside if one.is_file()))
    return (path,)


def _format_of_arrays(path: Path) -> str:
    kind = recognise(path)
    if kind not in ARRAYS:
        raise FileFormatError(f"{path} holds points or polygons, not an array; it can only give labels.")
    return kind


def read_array(
    path: Path, *, ndim: int, key: str | None = None, known_keys: Iterable[str] = (), option: str = "cube_key"
) -> NDArray[Any]:
    """Return one array of `ndim` dimensions, in the file's own element type (native byte order).

    Parameters
    ----------
    path
        A .mat (v5, v7.3), .npy, .npz, HDF5, ENVI or GeoTIFF file; told by its content.
    ndim
        3 for a cube, 2 for a label map.
    key
        Name of the array; it must be there. ``group/name`` in HDF5.
    known_keys
        Names to look for where no key is given, before the rule "the one numeric array of `ndim` dimensions".
    option
        Name of the option that the message recommends where the choice is not clear.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        As `list_arrays`, and when no or several arrays fit: the message lists what is inside.
    """
    infos = list_arrays(path)
    info = _choose(path, infos, ndim, key, known_keys, option)
    if recognise(path) != "envi":  # which is mapped, and was checked
        check_claim(path, info.shape, np.dtype(info.dtype).itemsize, path.stat().st_size)
    array: NDArray[Any] = _guarded(path, lambda: _READERS[recognise(path)](path, info.name))
    if array.shape != info.shape or array.dtype.kind not in "iufb":
        raise FileFormatError(
            f"{path}: {info} holds complex numbers or another kind of value; only real numbers can be used."
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def open_cube(path: Path, key: str | None = None) -> Cube:
    """Return a cube (rows, cols, bands) of any size: one in .npy, ENVI or GeoTIFF is not read but for what is
    asked of it, in whatever byte order it has; of the other formats the array is read.

    Parameters and errors are those of `read_array`.
    """
    opener = _OPENERS.get(recognise(path))
    if opener is not None and key is None:
        (info,) = list_arrays(path)
        if len(info.shape) == 3 and (info.numeric or info.dtype == "bool"):
            return _guarded(path, lambda: opener(path))
    return read_array(path, ndim=3, key=key)


def _choose(
    path: Path, infos: list[ArrayInfo], ndim: int, key: str | None, known_keys: Iterable[str], option: str
) -> ArrayInfo:
    """Return the wanted array: by name, else the only one that fits."""
    inside = ", ".join(map(str, infos)) or "nothing"
    wanted = "3-D (rows, cols, bands)" if ndim == 3 else "2-D (rows, cols)"
    advice = f"name the right one with --{option.replace('_', '-')} ({option} in Python)"
    names = {info.name: info for info in infos}
    folded = {info.name.lower(): info for info in reversed(infos)}
    if key is not None:
        info = names.get(key) or folded.get(key.lower())
        if info is None:
            raise FileFormatError(
                f"{path} has no array '{key}'.{near_miss(key, names)} It holds: {inside}; {advice}."
            )
        if not info.numeric or len(info.shape) != ndim:
            raise FileFormatError(
                f"{path}: {info} is not a {wanted} array of numbers. The file holds: {inside}; {advice}."
            )
        return info
    fitting = [info for info in infos if info.numeric and len(info.shape) == ndim and min(info.shape) > 1]
    for known in known_keys:
        for info in fitting:
            if info.name.lower() == known.lower():
                return info
    if len(fitting) == 1:
        return fitting[0]
    found = "several arrays that are" if fitting else "no array that is"
    raise FileFormatError(f"{path} holds {found} {wanted} and numeric. It holds: {inside}; {advice}.")


def _guarded(path: Path, read: Callable[[], Result]) -> Result:
    """Run a parser; turn whatever it raises on a damaged file into one clear sentence."""
    try:
        return read()
    except HsiError:
        raise
    except Exception as error:  # damaged bytes make the parsers raise almost any type
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(f"{path} is truncated or damaged ({cause}); fetch or write it again.") from None


def _list_mat5(path: Path) -> list[ArrayInfo]:
    found = list_variables(path)
    return [ArrayInfo(one.name, one.shape, one.kind, one.dtype is not None) for one in found]


def _read_mat5(path: Path, name: str) -> NDArray[Any]:
    return read_variable(path, next(one for one in list_variables(path) if one.name == name))


_LISTERS: dict[str, Callable[[Path], list[ArrayInfo]]] = {
    "mat5": _list_mat5,
    "mat73": list_hdf5,
    "hdf5": list_hdf5,
    "npy": list_npy,
    "npz": list_npz,
    "envi": list_envi,
    "tiff": list_geotiff,
}
_READERS: dict[str, Callable[[Path, str], NDArray[Any]]] = {
    "mat5": _read_mat5,
    "mat73": read_hdf5,
    "hdf5": read_hdf5,
    "npy": read_npy,
    "npz": read_npz,
    "envi": read_envi,
    "tiff": read_geotiff,
}
_OPENERS: dict[str, Callable[[Path], Cube]] = {"npy": map_npy, "envi": read_envi, "tiff": GeoTiffCube}
_FACTS: dict[str, Callable[[Path], FileFacts]] = {"envi": envi_facts, "tiff": geotiff_facts}
