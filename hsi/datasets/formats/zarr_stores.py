"""Zarr stores (folders, version 2 and 3): which arrays they hold. The values are read by GDAL's driver.

Axes have no fixed order: ``y, x, band`` and ``band, y, x`` are both common. Their names decide where they are
given, else a vector of wavelengths that fits one axis only, else rows come first, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hsi.datasets.formats.facts import ArrayInfo
from hsi.datasets.formats.named_arrays import find_axes
from hsi.errors import FileFormatError
from hsi.io.text import read_json

_MOST_ARRAYS = 1000
_DEEPEST = 8


@dataclass(frozen=True)
class ZarrArray(ArrayInfo):
    """One array of a store.

    Attributes
    ----------
    axes
        Which axes of the store's array are the rows, the columns and, of a cube, the bands; None where it is
        no image.
    names
        Of the axes of the store's array, where they are given.
    chunks
        Size of the pieces that are stored, along the axes of the store's array.
    attributes
        As stored.
    """

    axes: tuple[int, ...] | None
    names: tuple[str, ...]
    chunks: tuple[int, ...]
    attributes: dict[str, Any]
    note: str = ""

    def with_axes(self, vectors: dict[str, list[float]]) -> ZarrArray:
        """Return the array with its axes found out, also by the vectors that could be wavelengths."""
        if len(self.shape) != 3:
            return self
        axes, note = find_axes(self.shape, self.names, vectors)
        return replace(self, shape=tuple(self.shape[axis] for axis in axes), axes=axes, note=note)


def list_zarr(path: Path) -> list[ZarrArray]:
    """Return the arrays of a store, their axes as stored."""
    found = [_describe(path, folder) for folder in islice(_folders(path, _DEEPEST), _MOST_ARRAYS)]
    return [one for one in found if one is not None]


def find_zarr_array(path: Path, name: str) -> ZarrArray:
    """Return an array by its name; "" for the only one, or the only cube."""
    arrays = [one.with_axes({}) for one in list_zarr(path)]
    cubes = [one for one in arrays if len(one.shape) == 3 and one.numeric]
    for some in ([one for one in arrays if one.name == name], arrays, cubes):
        if len(some) == 1:
            return some[0]
    raise FileFormatError(
        f"{path} has no array '{name}'; it holds: {', '.join(map(str, arrays)) or 'nothing'}."
    )


def zarr_files(path: Path) -> tuple[Path, ...]:
    """Return all files of a store, sorted."""
    return tuple(sorted(one for one in path.rglob("*") if one.is_file()))


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders that hold an array; chunks are not looked at."""
    if (folder / ".zarray").is_file() or _node(folder / "zarr.json").get("node_type") == "array":
        yield folder
    elif depth:
        for inner in sorted(one for one in folder.iterdir() if one.is_dir() and not one.is_symlink()):
            yield from _folders(inner, depth - 1)


def _node(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    table = read_json(file)
    return table if isinstance(table, dict) else {}


def _describe(store: Path, folder: Path) -> ZarrArray | None:
    name = folder.relative_to(store).as_posix().removeprefix(".")
    node = _node(folder / ".zarray")
    if node:
        attributes = _node(folder / ".zattrs")
        names = attributes.get("_ARRAY_DIMENSIONS")
        dtype, chunks = node["dtype"], node["chunks"]
    else:
        node = _node(folder / "zarr.json")
        attributes, names, dtype = node.get("attributes", {}), node.get("dimension_names"), node["data_type"]
        chunks = node["chunk_grid"]["configuration"]["chunk_shape"]
    shape = tuple(int(size) for size in node["shape"])
    chunks = tuple(int(size) for size in chunks)
    if min(shape + chunks, default=1) < 0:
        raise ValueError(f"the array '{name}' has a negative size")
    try:
        kind = np.dtype(dtype if isinstance(dtype, str) else "O")
    except TypeError:  # bfloat16, structures, ...
        kind = np.dtype("O")
    axes = tuple(range(len(shape))) if len(shape) in (2, 3) else None
    words = str(dtype) if kind.hasobject else kind.name
    attributes = attributes if isinstance(attributes, dict) else {}
    names = tuple(map(str, names)) if isinstance(names, list) else ()
    return ZarrArray(name, shape, words, kind.kind in "iuf", axes, names, chunks, attributes)
