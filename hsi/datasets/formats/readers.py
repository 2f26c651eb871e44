"""Reading one array out of a file: MATLAB v5 and v7.3, NumPy, HDF5, ENVI, GeoTIFF.

Only the requested array is read, and nothing in a file is executed. MATLAB stores arrays column by column, so
an array from a .mat file is a transposed view, not a copy. ENVI images are memory-mapped; `open_cube` also
leaves .npy and GeoTIFF cubes on disk.

Every function takes the format as `recognise` returned it (`kind`), so that a caller that reads a file in
several steps recognises it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.formats.envi import envi_facts, envi_files, list_envi, read_envi
from hsi.datasets.formats.facts import ArrayInfo, FileFacts
from hsi.datasets.formats.geotiff import GeoTiffCube, geotiff_facts, list_geotiff, read_geotiff
from hsi.datasets.formats.hdf5_files import list_hdf5, read_hdf5
from hsi.datasets.formats.mat5 import list_mat5, read_mat5
from hsi.datasets.formats.numpy_files import list_npy, list_npz, map_npy, read_npy, read_npz
from hsi.datasets.formats.recognise import recognise
from hsi.errors import FileFormatError, HsiError, near_miss
from hsi.io.size_limits import check_claim

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Format:
    """The functions of one format; `open` and `facts` where it has them."""

    list: Callable[[Path], Iterable[ArrayInfo]]
    read: Callable[[Path, Any], NDArray[Any]]  # what `list` returned for the array
    open: Callable[[Path], Cube] | None = None
    facts: Callable[[Path], FileFacts] | None = None


_FORMATS = {
    "mat5": _Format(list_mat5, read_mat5),
    "mat73": _Format(partial(list_hdf5, matlab=True), partial(read_hdf5, matlab=True)),
    "hdf5": _Format(list_hdf5, read_hdf5),
    "npy": _Format(list_npy, read_npy, open=map_npy),
    "npz": _Format(list_npz, read_npz),
    "envi": _Format(list_envi, read_envi, open=read_envi, facts=envi_facts),
    "tiff": _Format(list_geotiff, read_geotiff, open=GeoTiffCube, facts=geotiff_facts),
}


def list_arrays(path: Path, kind: str | None = None) -> list[ArrayInfo]:
    """Return what a file holds, without reading the arrays.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        When there is no such file, or it is damaged or in no supported format; the message says which.
    """
    kind = kind or recognise(path)
    if kind not in _FORMATS:
        raise FileFormatError(f"{path} holds points or polygons, not an array; it can only give labels.")
    return _guarded(path, lambda: list(_FORMATS[kind].list(path)))


def read_facts(path: Path, kind: str | None = None) -> FileFacts:
    """Return a file's metadata; empty for formats that have none. Raises what `list_arrays` raises."""
    file_format = _FORMATS.get(kind or recognise(path))
    reader = file_format.facts if file_format else None
    return FileFacts() if reader is None else _guarded(path, lambda: reader(path))


def files_of(path: Path, kind: str | None = None) -> tuple[Path, ...]:
    """Return all the files that are read for `path`: an ENVI image has two, a shapefile several."""
    kind = kind or recognise(path)
    if kind == "envi":
        return envi_files(path)
    if kind == "shapefile":
        return (path, *filter(Path.is_file, map(path.with_suffix, (".dbf", ".prj", ".cpg"))))
    return (path,)


def read_array(
    path: Path,
    *,
    ndim: int,
    key: str | None = None,
    known_keys: Iterable[str] = (),
    option: str = "cube_key",
    kind: str | None = None,
) -> NDArray[Any]:
    """Return one array of `ndim` dimensions, in the file's own element type (native byte order).

    Parameters
    ----------
    path
        A .mat (v5, v7.3), .npy, .npz, HDF5, ENVI or GeoTIFF file; recognised by its content.
    ndim
        3 for a cube, 2 for a label map.
    key
        Name of the array, ``group/name`` in HDF5.
    known_keys
        Names to look for where no key is given, before the rule "the one numeric array of `ndim` dimensions".
    option
        Name of the option that the message recommends where the choice is not clear.

    Raises
    ------
    SceneNotFoundError, FileFormatError
        As `list_arrays`, and when no or several arrays fit: the message lists what is inside.
    """
    kind = kind or recognise(path)
    info = _choose(path, list_arrays(path, kind), ndim, key, known_keys, option)
    if kind != "envi":  # mapped, and checked against its header when opened
        check_claim(path, info.shape, np.dtype(info.dtype).itemsize, path.stat().st_size)
    array: NDArray[Any] = _guarded(path, lambda: _FORMATS[kind].read(path, info))
    if array.shape != info.shape or array.dtype.kind not in "iufb":
        raise FileFormatError(
            f"{path}: {info} holds complex numbers or another kind of value; only real numbers can be used."
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def open_cube(path: Path, key: str | None = None, kind: str | None = None) -> Cube:
    """Return a cube (rows, cols, bands) of any size.

    One in .npy, ENVI or GeoTIFF stays on disk, in its own byte order, until a window of it is read; one in
    another format is read as by `read_array`, which lists the errors.
    """
    kind = kind or recognise(path)
    opener = _FORMATS[kind].open if kind in _FORMATS else None
    if opener is not None and key is None:
        (info,) = list_arrays(path, kind)
        if len(info.shape) == 3 and (info.numeric or info.dtype == "bool"):
            return _guarded(path, lambda: opener(path))
    return read_array(path, ndim=3, key=key, kind=kind)


def _choose(
    path: Path, infos: list[ArrayInfo], ndim: int, key: str | None, known_keys: Iterable[str], option: str
) -> ArrayInfo:
    """Return the requested array: by name, else the only one that fits."""
    inside = ", ".join(map(str, infos)) or "nothing"
    expected = "3-D (rows, cols, bands)" if ndim == 3 else "2-D (rows, cols)"
    advice = f"name the right one with --{option.replace('_', '-')} ({option} in Python)"
    if key is not None:
        names = {info.name: info for info in infos}
        lower_case = {info.name.lower(): info for info in reversed(infos)}
        info = names.get(key) or lower_case.get(key.lower())
        if info is None:
            raise FileFormatError(
                f"{path} has no array '{key}'.{near_miss(key, names)} It holds: {inside}; {advice}."
            )
        if not info.numeric or len(info.shape) != ndim:
            raise FileFormatError(
                f"{path}: {info} is not a {expected} array of numbers. The file holds: {inside}; {advice}."
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
    raise FileFormatError(f"{path} holds {found} {expected} and numeric. It holds: {inside}; {advice}.")


def _guarded(path: Path, read: Callable[[], Result]) -> Result:
    """Run a parser; turn whatever it raises on a damaged file into one sentence."""
    try:
        return read()
    except HsiError:
        raise
    except Exception as error:  # damaged bytes make the parsers raise almost any type
        cause = " ".join(str(error).split())[:160] or type(error).__name__
        raise FileFormatError(f"{path} is truncated or damaged ({cause}); fetch or write it again.") from None
