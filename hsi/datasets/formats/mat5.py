"""Arrays of numbers in MATLAB v5 files ("MAT-File Format", The MathWorks).

Why not ``scipy.io.loadmat``: on some damaged files it ends the whole process (segmentation fault, seen with
SciPy 1.17 where the type number of an element was wrong), and a damaged download is what people have most
often. This reader checks each length and type before it uses it, knows real arrays of numbers only, and never
makes an object from a file.
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

_MATRIX, _COMPRESSED = 14, 15
_STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMBERS = range(6, 16)  # double, single, int8 to uint64
_OTHER = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque object"}
_COMPLEX_FLAG = 0x0800
_HEADER_BYTES = 128
_HEAD_BYTES = 8192  # more than the description of any variable takes
_PIECE = 1 << 20
_PADDING = 64  # bytes that may follow the numbers; 7 by the format


@dataclass(frozen=True)
class Variable:
    """One variable of a file, and where its numbers are.

    Attributes
    ----------
    name, shape
        As in MATLAB.
    dtype
        Element type as stored, which may be smaller than in MATLAB; None for what holds no real numbers.
    kind
        The element type in words, or what else the variable is.
    start, stored
        Where its bytes begin in the file, and how many there are.
    compressed
        Whether they are deflated.
    data
        Where the numbers begin: in the file, or in the inflated bytes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    kind: str
    start: int
    stored: int
    compressed: bool
    data: int


def list_variables(path: Path) -> list[Variable]:
    """Return the variables of a file without reading their numbers.

    Raises
    ------
    ValueError, struct.error, zlib.error
        Where the file is cut off or damaged.
    """
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


def read_variable(path: Path, variable: Variable) -> NDArray[Any]:
    """Return the numbers of a variable that `list_variables` found, column by column as MATLAB stores them.

    Raises
    ------
    ValueError, zlib.error
        Where they are damaged, or are no real numbers.
    """
    if variable.dtype is None:
        raise ValueError(f"'{variable.name}' is {variable.kind}")
    count = math.prod(variable.shape)
    with path.open("rb") as file:
        if variable.compressed:
            file.seek(variable.start)
            raw = _inflate(file, variable.stored, variable.data, count * variable.dtype.itemsize)
            numbers = raw.view(variable.dtype)
        else:
            file.seek(variable.data)
            numbers = np.fromfile(file, variable.dtype, count)
    if numbers.size != count:
        raise ValueError(f"'{variable.name}' is cut off")
    return numbers.reshape(variable.shape, order="F")


def _inflate(file: IO[bytes], stored: int, skip: int, wanted: int) -> NDArray[np.uint8]:
    """Return `wanted` bytes of a deflated stream, after the first `skip`; its checksum is checked."""
    out = np.empty(wanted, np.uint8)
    inflater = zlib.decompressobj()
    done = -skip
    while not inflater.eof:
        packed = inflater.unconsumed_tail or file.read(min(_PIECE, stored))
        if not inflater.unconsumed_tail:
            stored -= len(packed)
        piece = inflater.decompress(packed, _PIECE)
        if not packed and not piece:
            raise ValueError("a compressed variable is cut off")
        first, last = max(done, 0), min(done + len(piece), wanted)
        if last > first:
            out[first:last] = np.frombuffer(piece, np.uint8)[first - done : last - done]
        done += len(piece)
        if done > wanted + _PADDING:  # a few bytes can unpack to a great many
            raise ValueError("a compressed variable is longer than it says")
    if done < wanted:
        raise ValueError("a compressed variable is too short")
    return out


def _describe(head: bytes, order: str, start: int, stored: int, compressed: bool) -> Variable:
    """Read the beginning of a variable: flags, dimensions, name, and the tag of its numbers."""
    _, _, at, following = _tag(head, order, 8)
    flags = struct.unpack_from(order + "I", head, at)[0]
    matlab_class = flags & 0xFF
    if matlab_class == 17:  # its description has another form
        return Variable("(object)", (), None, _OTHER[17], start, stored, compressed, 0)
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
        return Variable(name, shape, None, words, start, stored, compressed, 0)
    kind, length, at, _ = _tag(head, order, following)
    if kind not in _STORAGE:
        raise ValueError(f"the numbers of '{name}' have no element type {kind}")
    dtype = np.dtype(order + _STORAGE[kind])
    if length != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the length of '{name}' does not fit its dimensions")
    data = at if compressed else start + at - 8
    return Variable(name, shape, dtype, dtype.name, start, stored, compressed, data)


def _tag(head: bytes, order: str, at: int) -> tuple[int, int, int, int]:
    """Return type, length and first byte of the element at `at`, and the place of the next one."""
    kind, length = struct.unpack_from(order + "II", head, at)
    if kind >> 16:  # up to four bytes stand in the tag itself
        return kind & 0xFFFF, min(kind >> 16, 4), at + 4, at + 8
    return kind, length, at + 8, at + 8 + -(-length // 8) * 8
