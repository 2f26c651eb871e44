"""What is said of an array in a file before it is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArrayInfo:
    """One array in a file: name, shape as `read_array` returns it, element type, whether it holds numbers."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    numeric: bool

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape)) or "scalar"
        return f"{self.name} ({size} {self.dtype})" if self.name else f"one array ({size} {self.dtype})"


def raster_info(rows: int, cols: int, bands: int, dtype: str, numeric: bool) -> ArrayInfo:
    """Return what a raster file holds: one nameless array, 2-D where there is a single band."""
    return ArrayInfo("", (rows, cols) if bands == 1 else (rows, cols, bands), dtype, numeric)
