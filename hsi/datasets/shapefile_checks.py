"""Checks of a shapefile's lengths, before its reader believes them.

Numbers of points, parts and rows stand in the file, and a reader takes memory for as many. The layout is that
of the "ESRI Shapefile Technical Description" (1998) and of dBASE III.
"""

from __future__ import annotations

import struct
from pathlib import Path

_HEADER = 100  # bytes of a .shp
_WITH_PARTS = (3, 5, 13, 15, 23, 25, 31)  # lines, polygons, patches
_MANY_POINTS = (8, 18, 28)


def check_shapes(path: Path) -> None:
    """Raise ValueError or struct.error where a shape is longer than the file, or than its record."""
    content = memoryview(path.read_bytes())
    at = _HEADER
    while at < len(content):
        _, words = struct.unpack_from(">ii", content, at)
        at += 8
        end = at + 2 * words
        if words < 2 or end > len(content):
            raise ValueError("the length of a shape does not fit the file")
        kind = struct.unpack_from("<i", content, at)[0]
        parts = points = 0
        if kind in _WITH_PARTS:
            parts, points = struct.unpack_from("<ii", content, at + 36)
        elif kind in _MANY_POINTS:
            points = struct.unpack_from("<i", content, at + 36)[0]
        if parts < 0 or points < 0 or 4 * parts + 16 * points > 2 * words:
            raise ValueError("a shape has fewer points than it says")
        at = end


def check_rows(path: Path) -> None:
    """Raise ValueError or struct.error where a ``.dbf`` says it has more rows than there are bytes for."""
    with path.open("rb") as file:
        rows, header, length = struct.unpack("<4xIHH", file.read(12))
    if header < 33 or length < 1 or header + rows * length > path.stat().st_size + 1:
        raise ValueError("the table of attributes is shorter than it says")
