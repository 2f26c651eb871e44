"""Reading one array out of a file: MATLAB v5 and v7.3, NumPy, HDF5, ENVI, GeoTIFF. Nothing in a file is ever
executed.

Only the chosen array is read. MATLAB stores arrays column by column, so what is returned from a .mat file is
a transposed view where needed, never a copy. ENVI images are memory-mapped.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from hsi.datasets.array_info import ArrayInfo
from hsi.datasets.envi import envi_facts, envi_files, list_envi, read_envi
from hsi.datasets.file_facts import FileFacts
from hsi.datasets.geotiff import geotiff_facts, list_geotiff, read_geotiff
from hsi.datasets.mat5 import list_variables, read_variable
from hsi.datasets.recognise import ARRAYS, recognise
from hsi.errors import FileFormatError, HsiError, near_miss

Result = TypeVar("Result")

# A deflate stream shrinks at most about 1030 times, so a file cannot honestly hold more than this many times
# its size.
_MOST_EXPANSION = 1100

_MATLAB_NUMBERS = {
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double", "logical",
}  # fmt: skip


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
    count = int(np.prod(info.shape, dtype=object))
    if count > _MOST_EXPANSION * sum(file.stat().st_size for file in files_of(path)):
        raise FileFormatError(
            f"{path} is damaged: it claims to hold {info}, far more than a file of its size can; fetch it "
            "again."
        )
    array: NDArray[Any] = _guarded(path, lambda: _READERS[recognise(path)](path, info.name))
    if array.shape != info.shape or array.dtype.kind not in "iufb":
        raise FileFormatError(
            f"{path}: {info} holds complex numbers or another kind of value; only real numbers can be used."
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


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


def _stored_by_matlab(path: Path) -> bool:
    # MATLAB v7.3 is HDF5 after a 512-byte text header; its axes come out reversed. Other HDF5 files are taken
    # as they are.
    return recognise(path) == "mat73"


def _list_hdf5(path: Path) -> list[ArrayInfo]:
    import h5py

    infos = []
    reverse = _stored_by_matlab(path)

    def visit(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset) or name.startswith("#"):
            return
        kind = node.attrs.get("MATLAB_class", b"")
        kind = kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)
        numeric = node.dtype.kind in "iufb" and (not kind or kind in _MATLAB_NUMBERS)
        numeric = numeric and "MATLAB_empty" not in node.attrs and node.external is None
        shape = tuple(node.shape or ())
        infos.append(
            ArrayInfo(
                name,
                shape[::-1] if reverse else shape,
                kind if not numeric and kind else str(node.dtype),
                numeric,
            )
        )

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # hard links only: never into another file
    return infos


def _read_hdf5(path: Path, name: str) -> NDArray[Any]:
    import h5py

    with h5py.File(path, "r") as file:
        array: NDArray[Any] = file[name][()]
    return array.T if _stored_by_matlab(path) else array


def _npy_header(file: IO[bytes], name: str) -> ArrayInfo:
    version = npy_format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = npy_format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = npy_format.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version} of the .npy format")
    words = "Python objects, which are never unpickled" if dtype.hasobject else str(dtype)
    return ArrayInfo(name, tuple(shape), words, dtype.kind in "iufb")


def _list_npy(path: Path) -> list[ArrayInfo]:
    with path.open("rb") as file:
        return [_npy_header(file, "")]


def _list_npz(path: Path) -> list[ArrayInfo]:
    infos = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    infos.append(_npy_header(file, member[:-4]))
    return infos


def _read_npy(path: Path, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _read_npz(path: Path, name: str) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as arrays:
        array: NDArray[Any] = arrays[name]
    return array


_LISTERS: dict[str, Callable[[Path], list[ArrayInfo]]] = {
    "mat5": _list_mat5,
    "mat73": _list_hdf5,
    "hdf5": _list_hdf5,
    "npy": _list_npy,
    "npz": _list_npz,
    "envi": list_envi,
    "tiff": list_geotiff,
}
_READERS: dict[str, Callable[[Path, str], NDArray[Any]]] = {
    "mat5": _read_mat5,
    "mat73": _read_hdf5,
    "hdf5": _read_hdf5,
    "npy": _read_npy,
    "npz": _read_npz,
    "envi": read_envi,
    "tiff": read_geotiff,
}
_FACTS: dict[str, Callable[[Path], FileFacts]] = {"envi": envi_facts, "tiff": geotiff_facts}
