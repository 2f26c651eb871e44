"""Arrays as text that a page can hold: zlib, then base64."""

from __future__ import annotations

import base64
import zlib
from typing import Any

from numpy.typing import NDArray


def pack(array: NDArray[Any]) -> str:
    """Return an array's bytes, little-endian and in row-major order, compressed and as base64 text."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), 9)).decode("ascii")


def unpack(text: str) -> bytes:
    """Return the bytes that `pack` was given."""
    return zlib.decompress(base64.b64decode(text))
