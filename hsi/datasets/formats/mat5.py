"""Numeric arrays in MATLAB v5 files ("MAT-File Format", The MathWorks), also in structs and sparse ones.

Not ``scipy.io.loadmat``: on some damaged files it ends the process with a segmentation fault (seen with
SciPy 1.17 where the type number of an element was wrong). This reader checks each length and type before it
uses it, reads real numeric arrays only, and never creates an object from a file.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.formats.facts import ArrayInfo

_MATRIX, _COMPRESSED, _TEXT = 14, 15, 1
_WHOLE = (5, 6)  # int32 and uint32
_STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMBERS = range(6, 16)  # double, single, int8 to uint64
_STRUCT, _SPARSE, _OPAQUE = 2, 5, 17
_OTHER = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque object"}
_COMPLEX_FLAG = 0x0800
_HEADER_BYTES = 128
_CHUNK_BYTES = 1 << 20
_PADDING = 64  # bytes that may follow the numbers; 7 by the format
_MOST_SHORT = 1 << 16  # bytes of dimensions, a name, all names of a struct's fields
_MOST_FIELDS = 1000  # of a struct
_DEEPEST = 8  # structs in each other


@dataclass(frozen=True)
class MatVariable(ArrayInfo):
    """One array of a file, and where its numbers are. In a struct its name is ``struct.field``.

    Attributes
    ----------
    stored_dtype
        Element type in the file, which may be smaller than in MATLAB; None for what holds no real numbers.
    start, length
        Offset of the bytes of the variable in the file, and their number.
    compressed
        Whether they are deflated.
    data
        Offset of the numbers (of a sparse matrix: of its rows): in the file, or in the inflated bytes.
    sparse
        Whether it is a sparse matrix.
    order
        Byte order of the file, "<" or ">".
    """

    stored_dtype: np.dtype[Any] | None
    start: int
    length: int
    compressed: bool
    data: int
    sparse: bool = False
    order: str = "<"


class _Bytes:
    """The bytes of one variable, read or skipped in order; ValueError where they end too early.

    Parameters
    ----------
    file
        At the first byte.
    length
        Bytes in the file.
    compressed
        Whether they are deflated.
    """

    def __init__(self, file: IO[bytes], length: int, compressed: bool) -> None:
        self._file, self._left = file, length
        self._inflater = zlib.decompressobj() if compressed else None
        self._ready = b""  # inflated, not yet read
        self.position = 0

    def read(self, count: int) -> bytes:
        """Return the next bytes, a few."""
        if not 0 <= count <= _MOST_SHORT:
            raise ValueError(f"{count:,} bytes where there are some")
        found = self._next(count)
        while len(found) < count:
            found += self._next(count - len(found))
        return found

    def skip(self, count: int) -> None:
        """Pass over bytes, also many."""
        if count < 0:
            raise ValueError("a length does not fit what follows it")
        if self._inflater is None:
            if count > self._left:
                raise ValueError("a variable is cut off")
            self._file.seek(count, 1)
            self._left -= count
            self.position += count
            return
        while count:
            count -= len(self._next(count))

    def finish(self, most: int) -> None:
        """Pass over the rest, at most so many bytes; that verifies the checksum of a deflated variable."""
        assert self._inflater is not None
        end = self.position + most
        while self._ready or not self._inflater.eof:
            if self.position > end:  # a decompression bomb
                raise ValueError("a compressed variable is longer than it says")
            try:
                self._next(_CHUNK_BYTES)
            except ValueError:
                if not self._inflater.eof:
                    raise

    def _next(self, most: int) -> bytes:
        """Return 1 to `most` bytes, none of none."""
        if not most:
            return b""
        if self._inflater is None:
            found = self._file.read(min(most, self._left))
            self._left -= len(found)
        else:
            while not self._ready and not self._inflater.eof:
                packed = self._inflater.unconsumed_tail
                if not packed:
                    packed = self._file.read(min(_CHUNK_BYTES, self._left))
                    self._left -= len(packed)
                self._ready = self._inflater.decompress(packed, min(_CHUNK_BYTES, max(most, 4096)))
                if not packed and not self._ready:
                    break
            found, self._ready = self._ready[:most], self._ready[most:]
        if not found:
            raise ValueError("a variable is cut off")
        self.position += len(found)
        return found


@dataclass(frozen=True)
class _Tag:
    """Type and length of an element, and where its data starts and its successor."""

    kind: int
    length: int
    start: int
    end: int


def list_mat5(path: Path) -> list[MatVariable]:
    """Return the variables of a file, fields of structs behind the struct.

    Raises ValueError, struct.error or zlib.error where the file is damaged.
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
            if kind not in (_MATRIX, _COMPRESSED):
                raise ValueError(f"there is no element type {kind}")
            compressed = kind == _COMPRESSED
            content = _Bytes(file, stored, compressed)
            end = stored
            if compressed:
                tag = _read_tag(content, order)
                if tag.kind != _MATRIX:
                    raise ValueError(f"a variable has the element type {tag.kind}")
                end = tag.end
            blank = MatVariable("", (), "", False, None, position, stored, compressed, 0, order=order)
            found += [one for one in _describe(content, blank, end, "", 0) if one.name]
            position += stored
    return found


def read_mat5(path: Path, variable: MatVariable) -> NDArray[Any]:
    """Return a variable that `list_mat5` found, in Fortran order as MATLAB stores it; sparse ones as dense.

    Raises ValueError or zlib.error where its numbers are damaged, or not real.
    """
    dtype = variable.stored_dtype
    if dtype is None:
        raise ValueError(f"'{variable.name}' is {variable.dtype}")
    count = math.prod(variable.shape)
    with path.open("rb") as file:
        if variable.sparse:
            return _read_sparse(file, variable)
        if variable.compressed:
            file.seek(variable.start)
            raw = _inflate(file, variable.length, variable.order, variable.data, count * dtype.itemsize)
            numbers = raw.view(dtype)
        else:
            file.seek(variable.start + variable.data)
            numbers = np.fromfile(file, dtype, count)
    if numbers.size != count:
        raise ValueError(f"'{variable.name}' is cut off")
    return numbers.reshape(variable.shape, order="F")


def _inflate(file: IO[bytes], stored: int, order: str, skip: int, count: int) -> NDArray[np.uint8]:
    """Return `count` bytes of a deflated stream, after the first `skip`; its checksum is verified."""
    out = np.empty(count, np.uint8)
    content = _Bytes(file, stored, True)
    tag = _read_tag(content, order)
    content.skip(skip - content.position)
    done = 0
    while done < count:
        piece = content._next(count - done)
        out[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    content.finish(max(0, tag.end - content.position) + _PADDING)
    return out


def _describe(
    content: _Bytes, blank: MatVariable, end: int, prefix: str, depth: int
) -> Iterator[MatVariable]:
    """Yield a variable, of which `content` is at the flags, and the fields of a struct behind it."""
    order = blank.order
    flags = struct.unpack(order + "I", _short(content, order, _WHOLE)[:4])[0]
    matlab_class = flags & 0xFF
    if matlab_class == _OPAQUE:  # its description has another form
        yield _like(blank, "(object)", (), _OTHER[_OPAQUE])
        return
    dimensions = _short(content, order, _WHOLE)
    if len(dimensions) % 4 or len(dimensions) > 4 * 32:
        raise ValueError("the dimensions of a variable are damaged")
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    if min(shape, default=-1) < 0:
        raise ValueError("a dimension of a variable is negative")
    name = prefix + _short(content, order, (_TEXT,)).decode("latin-1")
    if flags & _COMPLEX_FLAG and (matlab_class in _NUMBERS or matlab_class == _SPARSE):
        yield _like(blank, name, shape, "complex")
    elif matlab_class == _SPARSE:
        yield _like(blank, name, shape, "float64", np.dtype("f8"), content.position, sparse=len(shape) == 2)
    elif matlab_class in _NUMBERS:
        tag = _read_tag(content, order)
        if tag.kind not in _STORAGE:
            raise ValueError(f"the numbers of '{name}' have no element type {tag.kind}")
        dtype = np.dtype(order + _STORAGE[tag.kind])
        if tag.length != math.prod(shape) * dtype.itemsize or tag.start + tag.length > end:
            raise ValueError(f"the length of '{name}' does not fit its dimensions")
        yield _like(blank, name, shape, dtype.name, dtype, tag.start)
    else:
        yield _like(blank, name, shape, _OTHER.get(matlab_class, f"class {matlab_class}"))
        if matlab_class == _STRUCT and math.prod(shape) == 1 and depth < _DEEPEST and name:
            yield from _fields(content, blank, end, name, depth)


def _fields(content: _Bytes, blank: MatVariable, end: int, name: str, depth: int) -> Iterator[MatVariable]:
    """Yield what the fields of a struct hold."""
    order = blank.order
    width = struct.unpack(order + "i", _short(content, order, _WHOLE)[:4])[0]
    packed = _short(content, order, (_TEXT,))
    if width < 1 or len(packed) % width or len(packed) // width > _MOST_FIELDS:
        raise ValueError(f"the names of the fields of '{name}' are damaged")
    for at in range(0, len(packed), width):
        field = packed[at : at + width].split(b"\x00")[0].decode("latin-1")
        tag = _read_tag(content, order)
        if tag.kind != _MATRIX or tag.start + tag.length > end:
            raise ValueError(f"the field '{field}' of '{name}' is damaged")
        if tag.length and field:
            # Fields have no names of their own.
            yield from _describe(content, blank, tag.start + tag.length, f"{name}.{field}", depth + 1)
        if at + width < len(packed):
            content.skip(tag.end - content.position)


def _like(
    blank: MatVariable,
    name: str,
    shape: tuple[int, ...],
    words: str,
    dtype: np.dtype[Any] | None = None,
    data: int = 0,
    sparse: bool = False,
) -> MatVariable:
    return MatVariable(
        name, shape, words, dtype is not None, dtype, blank.start, blank.length, blank.compressed, data,
        sparse, blank.order,
    )  # fmt: skip


def _read_tag(content: _Bytes, order: str) -> _Tag:
    """Read the tag of the next element; `content` is then at its data."""
    first = content.read(4)
    kind = struct.unpack(order + "I", first)[0]
    if kind >> 16:  # small element: up to four bytes in the tag itself
        return _Tag(kind & 0xFFFF, min(kind >> 16, 4), content.position, content.position + 4)
    length = struct.unpack(order + "I", content.read(4))[0]
    padded = length if kind == _MATRIX else -(-length // 8) * 8
    return _Tag(kind, length, content.position, content.position + padded)


def _short(content: _Bytes, order: str, kinds: tuple[int, ...]) -> bytes:
    """Read a short element of one of some types, with its padding."""
    tag = _read_tag(content, order)
    if tag.kind not in kinds and not (_TEXT in kinds and tag.kind in (2, 16)):  # names may be uint8 or UTF-8
        raise ValueError(f"there is the element type {tag.kind} where {kinds[0]} belongs")
    found = content.read(tag.length)
    content.skip(tag.end - content.position)
    return found


def _read_sparse(file: IO[bytes], variable: MatVariable) -> NDArray[Any]:
    """Return a sparse matrix as a dense one; its parts are rows, starts of columns, and values."""
    file.seek(variable.start)
    content = _Bytes(file, variable.length, variable.compressed)
    content.skip(variable.data)
    rows, starts, values = (_long(content, variable) for _ in range(3))
    n_rows, n_cols = variable.shape
    if rows.dtype.kind not in "iu" or starts.dtype.kind not in "iu" or len(starts) != n_cols + 1:
        raise ValueError(f"the columns of the sparse matrix '{variable.name}' are damaged")
    lengths = np.diff(starts.astype(np.int64)).astype(np.int64)
    count = int(starts[-1])
    if starts[0] != 0 or (lengths < 0).any() or count > min(len(rows), len(values)):
        raise ValueError(f"the columns of the sparse matrix '{variable.name}' are damaged")
    if count and not 0 <= rows[:count].min() <= rows[:count].max() < n_rows:
        raise ValueError(f"the rows of the sparse matrix '{variable.name}' are damaged")
    dense = np.zeros((n_rows, n_cols), order="F")
    cols = np.repeat(np.arange(n_cols), lengths)
    dense[rows[:count], cols] = values[:count]
    return dense


def _long(content: _Bytes, variable: MatVariable) -> NDArray[Any]:
    """Read an element of numbers."""
    tag = _read_tag(content, variable.order)
    if tag.kind not in _STORAGE:
        raise ValueError(f"the numbers of '{variable.name}' have no element type {tag.kind}")
    dtype = np.dtype(variable.order + _STORAGE[tag.kind])
    pieces = []
    while content.position < tag.start + tag.length:  # memory grows with what is there, not with the claim
        pieces.append(content.read(min(_MOST_SHORT, tag.start + tag.length - content.position)))
    if variable.compressed or tag.end <= variable.length:
        content.skip(tag.end - content.position)
    return np.frombuffer(b"".join(pieces), dtype)
