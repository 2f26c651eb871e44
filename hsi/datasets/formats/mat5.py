"""Numeric arrays in MATLAB v5 files ("MAT-File Format", The MathWorks).

Not ``scipy.io.loadmat``: on some damaged files it ends the process with a segmentation fault (seen with
SciPy 1.17 where the type number of an element was wrong). This reader checks each length and type before it
uses it, reads real numeric arrays only, and never creates an object from a file.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import ArrayInfo

_MATRIX, _COMPRESSED = 14, 15
_STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMBERS = range(6, 16)  # double, single, int8 to uint64
_OTHER = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque object"}
_COMPLEX_FLAG = 0x0800
_HEADER_BYTES = 128
_HEAD_BYTES = 8192  # more than the header of any variable
_CHUNK_BYTES = 1 << 20
_PADDING = 64  # bytes that may follow the numbers; 7 by the format


@dataclass(frozen=True)
class MatVariable(ArrayInfo):
    """One variable of a file, and where its numbers are.

    Attributes
    ----------
    stored_dtype
        Element type in the file, which may be smaller than in MATLAB; None for what holds no real numbers.
    start, length
        Offset of its bytes in the file, and their number.
    compressed
        Whether they are deflated.
    data
        Offset of the numbers: in the file, or in the inflated bytes.
    """

    stored_dtype: np.dtype[Any] | None
    start: int
    length: int
    compressed: bool
    data: int


def list_mat5(path: Path) -> list[MatVariable]:
    """Return the variables of a file; ValueError, struct.error or zlib.error where it is damaged."""
    size = path.stat().st_size
    found = []
    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}[file.read(_HEADER_BYTES)[126:128]]
        position = _HEADER_BYTES
        while position < size:
            file.seek(position)
            kind, stored = struct.unpack(order + "II", file.read(8))
            position += 8
            if position + stored > size:
                raise ValueError(f"{position + stored - size} bytes are missing at its end")
            if kind == _COMPRESSED:
                head = zlib.decompressobj().decompress(file.read(min(stored, _HEAD_BYTES)), _HEAD_BYTES)
                inner, _ = struct.unpack_from(order + "II", head)
            elif kind == _MATRIX:
                head = struct.pack(order + "II", kind, stored) + file.read(min(stored, _HEAD_BYTES))
                inner = kind
            else:
                raise ValueError(f"there is no element type {kind}")
            if inner != _MATRIX:
                raise ValueError(f"a variable has the element type {inner}")
            variable = _describe(head, order, position, stored, kind == _COMPRESSED)
            if variable.name:
                found.append(variable)
            position += stored
    return found


def read_mat5(path: Path, variable: MatVariable) -> NDArray[Any]:
    """Return a variable that `list_mat5` found, in Fortran order as MATLAB stores it.

    Raises ValueError or zlib.error where its numbers are damaged, or not real.
    """
    dtype = variable.stored_dtype
    if dtype is None:
        raise ValueError(f"'{variable.name}' is {variable.dtype}")
    count = math.prod(variable.shape)
    with path.open("rb") as file:
        if variable.compressed:
            file.seek(variable.start)
            raw = _inflate(file, variable.length, variable.data, count * dtype.itemsize)
            numbers = raw.view(dtype)
        else:
            file.seek(variable.data)
            numbers = np.fromfile(file, dtype, count)
    if numbers.size != count:
        raise ValueError(f"'{variable.name}' is cut off")
    return numbers.reshape(variable.shape, order="F")


def _inflate(file: IO[bytes], stored: int, skip: int, count: int) -> NDArray[np.uint8]:
    """Return `count` bytes of a deflated stream, after the first `skip`; its checksum is verified."""
    out = np.empty(count, np.uint8)
    inflater = zlib.decompressobj()
    done = -skip
    while not inflater.eof:
        packed = inflater.unconsumed_tail or file.read(min(_CHUNK_BYTES, stored))
        if not inflater.unconsumed_tail:
            stored -= len(packed)
        piece = inflater.decompress(packed, _CHUNK_BYTES)
        if not packed and not piece:
            raise ValueError("a compressed variable is cut off")
        first, last = max(done, 0), min(done + len(piece), count)
        if last > first:
            out[first:last] = np.frombuffer(piece, np.uint8)[first - done : last - done]
        done += len(piece)
        if done > count + _PADDING:  # a decompression bomb
            raise ValueError("a compressed variable is longer than it says")
    if done < count:
        raise ValueError("a compressed variable is too short")
    return out


def _describe(head: bytes, order: str, start: int, stored: int, compressed: bool) -> MatVariable:
    """Read the header of a variable: flags, dimensions, name, and the tag of its numbers."""
    _, _, at, following = _tag(head, order, 8)
    flags = struct.unpack_from(order + "I", head, at)[0]
    matlab_class = flags & 0xFF
    if matlab_class == 17:  # its description has another form
        return MatVariable("(object)", (), _OTHER[17], False, None, start, stored, compressed, 0)
    kind, length, at, following = _tag(head, order, following)
    if kind != 5 or length % 4 or length > 4 * 32:
        raise ValueError("the dimensions of a variable are damaged")
    shape = struct.unpack_from(f"{order}{length // 4}i", head, at)
    if min(shape, default=-1) < 0:
        raise ValueError("a dimension of a variable is negative")
    _, length, at, following = _tag(head, order, following)
    name = head[at : at + length].decode("latin-1")
    if matlab_class not in _NUMBERS or flags & _COMPLEX_FLAG:
        kind_of_class = "complex" if matlab_class in _NUMBERS else f"class {matlab_class}"
        words = _OTHER.get(matlab_class, kind_of_class)
        return MatVariable(name, shape, words, False, None, start, stored, compressed, 0)
    kind, length, at, _ = _tag(head, order, following)
    if kind not in _STORAGE:
        raise ValueError(f"the numbers of '{name}' have no element type {kind}")
    dtype = np.dtype(order + _STORAGE[kind])
    if length != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the length of '{name}' does not fit its dimensions")
    data = at if compressed else start + at - 8
    return MatVariable(name, shape, dtype.name, True, dtype, start, stored, compressed, data)


def _tag(head: bytes, order: str, at: int) -> tuple[int, int, int, int]:
    """Return type, length and offset of the data of the element at `at`, and the offset of the next one."""
    kind, length = struct.unpack_from(order + "II", head, at)
    if kind >> 16:  # small element: up to four bytes in the tag itself
        return kind & 0xFFFF, min(kind >> 16, 4), at + 4, at + 8
    return kind, length, at + 8, at + 8 + -(-length // 8) * 8
