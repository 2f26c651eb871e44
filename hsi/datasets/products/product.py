"""An opened product: its cube in physical values, read by windows, and its metadata."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube, WindowedCube, block_rows, can_mark, memory_bytes
from hsi.datasets.formats.envi import envi_facts, envi_files, read_envi
from hsi.datasets.formats.facts import FileFacts
from hsi.datasets.formats.raster_cube import RasterCube
from hsi.datasets.formats.raster_facts import raster_facts
from hsi.datasets.formats.rasters import raster_files
from hsi.datasets.formats.recognise import recognise
from hsi.errors import FileFormatError


@dataclass(frozen=True)
class Product:
    """What a reader of products returns.

    Attributes
    ----------
    cube
        ``(rows, cols, bands)`` float32, read by windows: reflectance as a fraction, or radiance in the unit
        of the product; NaN where there is no data; bands in ascending order of wavelength.
    facts
        Metadata; everything that counts bands counts those of `cube`.
    files
        All files that were read, the image first.
    """

    cube: Cube
    facts: FileFacts
    files: tuple[Path, ...]


class ScaledCube(WindowedCube):
    """Counts of a file as physical values: ``gain * count + offset`` in float32, NaN for no data.

    Parameters
    ----------
    base
        The counts, ``(rows, cols, bands)``, in the order of the file.
    order
        Bands of `base` to show, in this order; None: all.
    gain, offset
        One a band of `base`, or one for all.
    fill
        The count or counts that mean "no data" in a band, or None; ``nan``: any that is not finite.
    no_data
        ``(rows, cols)``: True for pixels without data, whatever they hold; or None.
    """

    def __init__(
        self,
        base: Cube,
        *,
        order: Sequence[int] | NDArray[np.int64] | None = None,
        gain: float | Sequence[float] | NDArray[np.float64] = 1.0,
        offset: float | Sequence[float] | NDArray[np.float64] = 0.0,
        fill: float | Sequence[float] | None = None,
        no_data: NDArray[np.bool_] | None = None,
    ) -> None:
        bands = base.shape[2]
        self.base: Cube = base
        self._order = np.arange(bands) if order is None else np.asarray(order, np.int64)
        self._gain = np.broadcast_to(np.asarray(gain, np.float64), (bands,))[self._order]
        self._offset = np.broadcast_to(np.asarray(offset, np.float64), (bands,))[self._order]
        marks = np.unique([] if fill is None else fill).tolist()  # numpy counts all nan as one
        marks = [mark for mark in marks if can_mark(float(mark), base.dtype)]
        # Integers are compared as such: no float copy of them.
        self._fill = tuple(mark if base.dtype.kind == "f" else int(mark) for mark in marks)
        self._no_data = no_data
        self.shape = (base.shape[0], base.shape[1], len(self._order))
        self.dtype: np.dtype[Any] = np.dtype(np.float32)

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        chosen = self._order if bands is None else self._order[bands]
        gain, offset = (all_ if bands is None else all_[bands] for all_ in (self._gain, self._offset))
        in_order = len(chosen) > 0 and bool((np.diff(chosen) == 1).all())
        counts = self.base[rows, cols, slice(chosen[0], chosen[-1] + 1) if in_order else chosen]
        missing: NDArray[np.bool_] | None = None
        for mark in self._fill:
            equal = ~np.isfinite(counts) if math.isnan(mark) else counts == mark
            missing = equal if missing is None else missing | equal
        with np.errstate(over="ignore"):  # a damaged factor gives infinite values, which are looked for later
            values = np.array(counts, np.float32)  # no view of a memory map
            if (gain != 1).any():
                values *= gain.astype(np.float32)
            if offset.any():
                values += offset.astype(np.float32)
        if missing is not None:
            values[missing] = np.nan
        if self._no_data is not None:
            values[self._no_data[rows, cols]] = np.nan
        return values

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return block_rows(self.base)

    @property
    def memory_bytes(self) -> int:
        """See `WindowedCube`."""
        return memory_bytes(self.base)


def find_dead_bands(cube: Cube) -> tuple[int, ...]:
    """Return the bands of a cube of floats that are NaN wherever other bands have data, numbered from 0.

    Adjacent rows are looked at, since a line of a sensor can be lost in some bands: the middle ones first,
    and more until there are enough pixels.
    """
    alive, pixels = np.zeros(cube.shape[2], bool), 0
    step = max(1, min(_ADJACENT_ROWS, _MOST_VALUES // max(1, cube.shape[1] * cube.shape[2])))
    for start in dict.fromkeys(int(share * cube.shape[0]) // step * step for share in _ROW_SHARES):
        seen = np.isfinite(cube[start : start + step])
        alive |= seen.any(axis=(0, 1))
        pixels += int(seen.any(axis=2).sum())
        if alive.all() or pixels >= _ENOUGH_PIXELS:
            break
    return tuple(np.flatnonzero(~alive).tolist()) if alive.any() else ()


_ENOUGH_PIXELS = 3000
_ADJACENT_ROWS, _MOST_VALUES = 8, 1 << 24
# The middle, the quarters, the eighths, ... of the rows.
_ROW_SHARES = [odd / 2**power for power in range(1, 6) for odd in range(1, 2**power, 2)]


def open_image(path: Path) -> tuple[Cube, FileFacts, tuple[Path, ...]]:
    """Open the image of a product, ENVI or a raster that GDAL reads; return also its metadata and its files.

    Raises
    ------
    FileFormatError
        When it is damaged, or its format cannot be read here.
    """
    if recognise(path) == "envi":
        header, data = envi_files(path)
        cube = read_envi(path)
        return cube.reshape(*cube.shape[:2], -1), envi_facts(path), (data, header)
    return RasterCube(path), raster_facts(path), raster_files(path)


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their names in lower case; none where it cannot be listed."""
    try:
        return {one.name.lower(): one for one in sorted(folder.iterdir()) if one.is_file()}
    except OSError:
        return {}


def find_raster(files: dict[str, Path], stem: str, suffixes: Sequence[str]) -> Path | None:
    """Return the raster of a name in `files_in`, by the suffixes that occur, in their order."""
    names = (f"{stem}{suffix}".lower() for suffix in suffixes)
    return next((files[name] for name in names if name in files), None)


def check_band_count(path: Path, told: int, bands: int) -> None:
    """Raise FileFormatError unless the metadata in `path` describe as many bands as the image has."""
    if told != bands:
        raise FileFormatError(
            f"{path} describes {told} bands, but the image beside it has {bands}; download the product again."
        )


def product_files(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    """Yield the files that are named as a product's are, in a folder or in its folders named as a product."""
    try:
        inner = [
            one for one in folder.iterdir() if name.fullmatch(f"{one.name}-METADATA.XML") and one.is_dir()
        ]
    except OSError:
        return
    for one in (folder, *inner):
        yield from (path for path in files_in(one).values() if name.fullmatch(path.name))


def the_only(found: Iterable[Path], folder: Path, what: str) -> Path | None:
    """Return the one metadata file that a folder holds, None for none; FileFormatError for several."""
    paths = sorted(set(found))
    if len(paths) > 1:
        raise FileFormatError(
            f"{folder} holds {len(paths)} {what} products; name a file of one, such as {paths[0].name}."
        )
    return paths[0] if paths else None
