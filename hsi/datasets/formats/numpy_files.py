"""NumPy files: one array (.npy), or a ZIP archive of them (.npz). Objects are never unpickled.

An array is read only if the file is large enough for the shape that its header claims.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from hsi.datasets.formats.facts import ArrayInfo
from hsi.io.size_limits import check_claim

_ENDING = ".npy"


def list_npy(path: Path) -> list[ArrayInfo]:
    """Return the one array of a file, without reading it."""
    with path.open("rb") as file:
        return [_info("", *_header(file))]


def list_npz(path: Path) -> list[ArrayInfo]:
    """Return the arrays of an archive, without reading them."""
    infos = []
    with zipfile.ZipFile(path) as archive:
        for member in _members(archive):
            with archive.open(member) as file:
                infos.append(_info(member.filename.removesuffix(_ENDING), *_header(file)))
    return infos


def read_npy(path: Path, info: ArrayInfo) -> NDArray[Any]:
    """Return the array of a file."""
    with path.open("rb") as file:
        return _read(path, file, path.stat().st_size)


def map_npy(path: Path) -> NDArray[Any]:
    """Return the array of a file, memory-mapped and read-only; ValueError or OSError where it is damaged."""
    with path.open("rb") as file:
        _header(file)
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def read_npz(path: Path, info: ArrayInfo) -> NDArray[Any]:
    """Return one array of an archive."""
    with zipfile.ZipFile(path) as archive:
        member = next(one for one in _members(archive) if one.filename == info.name + _ENDING)
        return _read_member(path, archive, member)


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays (numbers and strings) of an archive that hsi wrote, by name.

    Raises
    ------
    ValueError
        When the file is damaged or not such an archive.
    OSError
        When it is missing or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                member.filename.removesuffix(_ENDING): _read_member(path, archive, member)
                for member in _members(archive)
            }
    except (OSError, ValueError):
        raise
    except Exception as error:  # damaged bytes make the parsers raise almost any type
        raise ValueError(" ".join(str(error).split())[:300] or type(error).__name__) from None


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [member for member in archive.infolist() if member.filename.endswith(_ENDING)]


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    whole = path.stat().st_size
    if member.compress_size > whole:
        raise ValueError(f"'{member.filename}' is longer than the archive")
    with archive.open(member) as file:
        return _read(path, file, member.compress_size)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the order is Fortran's, and element type."""
    version = npy_format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the .npy format")
    try:
        shape, fortran_order, dtype = _HEADERS[version](file)
    except (OSError, ValueError):
        raise
    except Exception as error:  # the header is a Python literal, whose parser has many ways to fail
        raise ValueError(f"a header that cannot be read ({type(error).__name__})") from None
    if any(isinstance(size, bool) or size < 0 for size in shape):
        raise ValueError(f"an array of the shape {shape}")
    return shape, fortran_order, dtype


_HEADERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


def _info(name: str, shape: tuple[int, ...], fortran_order: bool, dtype: np.dtype[Any]) -> ArrayInfo:
    words = "Python objects, which are never unpickled" if dtype.hasobject else str(dtype)
    return ArrayInfo(name, tuple(shape), words, dtype.kind in "iufb")


def _read(path: Path, file: IO[bytes], stored: int) -> NDArray[Any]:
    """Read one array whose header is next in `file`, if `stored` bytes can hold it."""
    shape, fortran_order, dtype = _header(file)
    if dtype.kind not in "iufbUS":
        raise ValueError(f"{dtype} values, which are no numbers")
    check_claim(path, shape, dtype.itemsize, stored)
    array = np.empty(math.prod(shape), dtype)
    buffer: Any = memoryview(array.view(np.uint8)) if array.nbytes else b""  # type: ignore[arg-type]
    done = 0
    while done < array.nbytes:
        got = file.readinto(buffer[done:])  # type: ignore[attr-defined]
        if not got:
            raise ValueError("an array is cut off")
        done += got
    return array.reshape(shape, order="F" if fortran_order else "C")
