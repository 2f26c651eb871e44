"""PRISMA L1, L2B, L2C and L2D (HDF-EOS5): two detectors, VNIR and SWIR, whose bands overlap near 950 nm.

Source: PRISMA Products Specification Document (ASI); the readers of prismaread, SNAP and the EnMAP-Box.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube, WindowedCube, block_rows, memory_bytes
from hsi.datasets.formats.facts import FileFacts
from hsi.datasets.formats.hdf5_files import Hdf5Cube, get_node
from hsi.datasets.products.hdf5_metadata import (
    BandList,
    find_hdf5,
    missing,
    need_numbers,
    number,
    numbers,
    open_hdf5,
    read_layer,
    refuse_raw,
    sort_bands,
    text,
)
from hsi.datasets.products.prisma_grid import place_grid
from hsi.datasets.products.product import Product
from hsi.datasets.products.xml_metadata import iso_time
from hsi.errors import FileFormatError, HsiError

_SWATHS = "HDFEOS/SWATHS"
_SWATH = re.compile(r"PRS_(L\w{1,2})_HCO")  # HCO: both detectors on one grid
_DETECTORS = ("Vnir", "Swir")
_MOST_COUNT = 65535.0
_CLOUD = 1
_SAMPLED_ROWS = 32
_SAMPLED_BYTES = 256 << 20  # unpacked to look for dead bands
_MOST_NAMED = 10  # bands of a note


def find_prisma(path: Path) -> Path | None:
    """Return the file that a path is, or the only PRISMA file in that folder, or None."""
    return find_hdf5(path, "PRISMA", lambda file: _swath(file) is not None)


def _swath(file: Any) -> tuple[str, str] | None:
    """Return the group of the hyperspectral cube, and its level: L1, L2B, L2C, L2D."""
    for name in get_node(file, _SWATHS) or ():
        found = _SWATH.fullmatch(name)
        if found:
            return f"{_SWATHS}/{name}", found[1].upper()
    return None


def open_prisma(path: Path, raw: bool) -> Product:
    """Open a product: reflectance as a fraction (L2C, L2D), or radiance in W/m2/sr/um (L1, L2B).

    Bands that were not acquired are dropped. Where the detectors overlap, the bands of both are kept.

    Parameters
    ----------
    path
        As `find_prisma` returns it.
    raw
        Whether another geometry, that of the sensor, is wanted: L1 to L2C have no other, L2D has lost it.

    Raises
    ------
    FileFormatError
        When something is missing in the file, or its parts do not fit.
    """
    refuse_raw(path, raw, "PRISMA")
    with open_hdf5(path) as file:
        found = _swath(file)
        if found is None:
            raise missing(path, f"{_SWATHS}/PRS_L2D_HCO")
        swath, level = found
        fields = f"{swath}/Data Fields"
        vnir, swir = (_Detector.read(path, file, fields, name, level) for name in _DETECTORS)
        if vnir.counts.shape[:2] != swir.counts.shape[:2]:
            sizes = " and ".join(f"{one.counts.shape[0]} x {one.counts.shape[1]}" for one in (vnir, swir))
            raise FileFormatError(f"{path}: VNIR_Cube and SWIR_Cube are {sizes} pixels; download it again.")
        bands, cube = _join(path, vnir, swir, level)
        shape = cube.shape[0], cube.shape[1]
        notes = [*bands.notes, *vnir.counts.notes, *swir.counts.notes, _overlap(vnir, swir)]
        if level == "L2D":
            georeference, note = place_grid(file, swath, shape)
        else:
            georeference = None
            note = (
                f"PRISMA {level} is in the geometry of the sensor, where only latitude and longitude place "
                "the pixels; it has no map coordinates, unlike L2D."
            )
        notes.append(note)
        if vnir.shift or swir.shift:
            notes.append(
                "The radiance has offsets, which are subtracted; readers of PRISMA differ in their sign."
            )
        masks, note = _masks(path, file, fields, shape)
        notes.append(note)
        acquired = iso_time(text(file, "Product_StartTime")) or iso_time(path.name)
    dead = _dead_bands(cube, _errors(path, vnir, swir, cube.order))
    if dead:
        centres = ", ".join(f"{bands.wavelengths_nm[band]:.0f}" for band in dead[:_MOST_NAMED])
        more = f" and {len(dead) - _MOST_NAMED} more" if len(dead) > _MOST_NAMED else ""
        notes.append(
            "PRISMA flags no bad bands; those without a valid value in any row that was looked at are taken "
            f"as bad: {centres} nm{more}."
        )
    return Product(
        cube=cube,
        facts=FileFacts(
            wavelengths_nm=bands.wavelengths_nm,
            fwhm_nm=bands.fwhm_nm,
            bad_bands=bands.bad_bands(dead),
            sensor="PRISMA",
            georeference=georeference,
            acquired=acquired,
            product=path.stem,
            masks=masks,
            notes=tuple(filter(None, notes)),
        ),
        files=(path,),
    )


@dataclass(frozen=True)
class _Detector:
    """One of the two cubes of counts, its error matrix if any, and what is known of its bands."""

    counts: Hdf5Cube
    errors: str  # name of the dataset, "" where there is none
    wavelengths: NDArray[np.float64]  # 0: not acquired
    fwhm: NDArray[np.float64]
    flags: NDArray[np.float64]
    gain: float
    offset: float
    shift: float  # the part of the offset whose sign is disputed

    @classmethod
    def read(cls, path: Path, file: Any, fields: str, name: str, level: str) -> _Detector:
        counts = Hdf5Cube(path, f"{fields}/{name.upper()}_Cube", axes=(0, 2, 1))
        wavelengths = need_numbers(path, file, f"List_Cw_{name}")
        if len(wavelengths) != counts.shape[2]:
            raise FileFormatError(
                f"{path}: 'List_Cw_{name}' has {len(wavelengths)} wavelengths, but {name.upper()}_Cube has "
                f"{counts.shape[2]} bands; download it again."
            )
        shift = 0.0
        if level == "L1":
            scale = number(file, f"ScaleFactor_{name}")
            if not scale:
                raise missing(path, f"ScaleFactor_{name}")
            shift = number(file, f"Offset_{name}") or 0.0
            gain, offset = 1 / scale, -shift
        else:
            low, high = (number(file, f"L2Scale{name}{end}") for end in ("Min", "Max"))
            if low is None or high is None:
                raise missing(path, f"L2Scale{name}{'Max' if high is None else 'Min'}")
            gain, offset = (high - low) / _MOST_COUNT, low
        errors = f"{fields}/{name.upper()}_PIXEL_{'SAT' if level == 'L1' else 'L2'}_ERR_MATRIX"
        return cls(
            counts=counts,
            errors=errors if get_node(file, errors) is not None else "",
            wavelengths=wavelengths,
            fwhm=numbers(file, f"List_Fwhm_{name}"),
            flags=numbers(file, f"List_Cw_{name}_Flags"),
            gain=gain,
            offset=offset,
            shift=shift,
        )

    @property
    def acquired(self) -> NDArray[np.bool_]:
        """Which bands were acquired: the others have the wavelength 0."""
        return np.asarray(np.isfinite(self.wavelengths) & (self.wavelengths > 0))


def _join(path: Path, vnir: _Detector, swir: _Detector, level: str) -> tuple[BandList, PrismaCube]:
    """Return the acquired bands of both detectors in ascending order of wavelength."""
    both = (vnir, swir)
    acquired = np.concatenate([one.acquired for one in both])
    sizes = [len(one.wavelengths) for one in both]
    kept = np.flatnonzero(acquired)
    fwhm, flags = np.empty(0), None
    if all(len(one.fwhm) == size for one, size in zip(both, sizes, strict=True)):
        fwhm = np.concatenate([one.fwhm for one in both])[kept]
    if all(len(one.flags) == size for one, size in zip(both, sizes, strict=True)):
        flags = np.concatenate([one.flags for one in both])[kept] == 0
    if not len(kept):
        raise FileFormatError(f"{path} has no band with a wavelength; download it again.")
    wavelengths = np.concatenate([one.wavelengths for one in both])[kept]
    bands = sort_bands(path, len(kept), wavelengths, fwhm, flags)
    cube = PrismaCube(
        vnir.counts,
        swir.counts,
        kept[bands.order],
        gain=(vnir.gain, swir.gain),
        offset=(vnir.offset, swir.offset),
        zero_is_data=level == "L1",
    )
    return bands, cube


class PrismaCube(WindowedCube):
    """The counts of both detectors as physical values, ``(rows, cols, bands)`` float32; NaN for no data.

    Parameters
    ----------
    vnir, swir
        The counts, ``(rows, cols, bands)``.
    order
        The bands to show: those of `vnir` from 0, then those of `swir`.
    gain, offset
        Of each detector: ``gain * count + offset``.
    zero_is_data
        Whether a count of 0 is a value unless all the bands of its pixel are 0 (L1); else it is no data.
    """

    def __init__(
        self,
        vnir: Cube,
        swir: Cube,
        order: NDArray[np.int64],
        *,
        gain: tuple[float, float],
        offset: tuple[float, float],
        zero_is_data: bool,
    ) -> None:
        self.base: Cube = vnir
        self._swir: Cube = swir
        self.order = order
        of_swir = (order >= vnir.shape[2]).astype(int)
        self._gain, self._offset = (np.array(pair, np.float64)[of_swir] for pair in (gain, offset))
        self._zero_is_data = zero_is_data
        self.shape = (vnir.shape[0], vnir.shape[1], len(order))
        self.dtype: np.dtype[Any] = np.dtype(np.float32)

    def read(self, rows: slice, cols: slice, bands: NDArray[np.int64] | None) -> NDArray[Any]:
        """See `WindowedCube`."""
        chosen = slice(None) if bands is None else bands
        counts = _stacked(self.base, self._swir, rows, cols, self.order[chosen])
        values = counts.astype(np.float32)
        values *= self._gain[chosen].astype(np.float32)
        values += self._offset[chosen].astype(np.float32)
        if not self._zero_is_data:
            values[counts == 0] = np.nan
            return values
        blank = ~counts.any(axis=2)
        if blank.any() and bands is not None:  # all bands decide, whichever are asked for
            blank = ~_stacked(self.base, self._swir, rows, cols, self.order).any(axis=2)
        values[blank] = np.nan
        return values

    @property
    def block_rows(self) -> int:
        """See `WindowedCube`."""
        return max(block_rows(self.base), block_rows(self._swir))

    @property
    def memory_bytes(self) -> int:
        """See `WindowedCube`."""
        return memory_bytes(self.base) + memory_bytes(self._swir)


def _stacked(vnir: Cube, swir: Cube, rows: slice, cols: slice, order: NDArray[np.int64]) -> NDArray[Any]:
    """Return a window of the bands `order` of two cubes, of which the second follows the first."""
    first = order < vnir.shape[2]
    size = rows.stop - rows.start, cols.stop - cols.start, len(order)
    values = np.empty(size, np.result_type(vnir.dtype, swir.dtype))
    if first.any():
        values[:, :, first] = vnir[rows, cols, order[first]]
    if not first.all():
        values[:, :, ~first] = swir[rows, cols, order[~first] - vnir.shape[2]]
    return values


def _errors(
    path: Path, vnir: _Detector, swir: _Detector, order: NDArray[np.int64]
) -> tuple[Cube, Cube, NDArray[np.int64]] | None:
    """Return the error matrices of both detectors and the order of their bands; None if one is unusable."""
    try:
        pair = [Hdf5Cube(path, one.errors, axes=(0, 2, 1)) for one in (vnir, swir) if one.errors]
    except FileFormatError:
        return None
    if [one.shape for one in pair] != [vnir.counts.shape, swir.counts.shape]:
        return None
    return pair[0], pair[1], order


def _dead_bands(cube: PrismaCube, errors: tuple[Cube, Cube, NDArray[np.int64]] | None) -> tuple[int, ...]:
    """Return the bands without a valid value in rows spread over the image.

    Readers disagree about the codes of errors, but 0 is good in all. Where no value of any band is good, the
    matrix says nothing.
    """
    valued, good = np.zeros((2, cube.shape[2]), bool)
    for rows in _spread_rows(cube):
        seen = np.isfinite(cube[rows])
        valued |= seen.any(axis=(0, 1))
        if errors is not None:
            vnir, swir, order = errors
            codes = _stacked(vnir, swir, rows, slice(0, cube.shape[1]), order)
            good |= (seen & (codes == 0)).any(axis=(0, 1))
    alive = good if good.any() else valued
    return tuple(np.flatnonzero(~alive).tolist()) if alive.any() else ()


def _spread_rows(cube: PrismaCube) -> list[slice]:
    """Return rows spread over the image; fewer strips of more rows where a row is costly to unpack."""
    rows, cols, bands = cube.shape
    cost = max(1, cube.block_rows * cols * bands * 2)
    strips = min(_SAMPLED_ROWS, max(1, _SAMPLED_BYTES // cost))
    height = _SAMPLED_ROWS // strips
    if strips == 1:
        starts = [max(0, (rows - height) // 2)]  # the middle: corners of L2D lie beside the swath
    else:
        starts = np.unique(np.linspace(0, max(0, rows - height), strips).round().astype(int)).tolist()
    return [slice(start, min(start + height, rows)) for start in starts]


def _overlap(vnir: _Detector, swir: _Detector) -> str:
    pair = [one.wavelengths[one.acquired] for one in (vnir, swir)]
    if not all(map(len, pair)) or pair[0].max() < pair[1].min():
        return ""
    return (
        f"The detectors VNIR and SWIR overlap from {pair[1].min():.0f} to {pair[0].max():.0f} nm; the bands "
        "of both are kept, in order of wavelength."
    )


def _masks(
    path: Path, file: Any, fields: str, shape: tuple[int, int]
) -> tuple[dict[str, NDArray[np.bool_]], str]:
    """Return the mask of clouds, which only L1 has, or a note why it cannot be used."""
    node = get_node(file, f"{fields}/Cloud_Mask")
    if node is None:
        return {}, ""
    try:
        return {"cloud": np.asarray(read_layer(path, node, shape, "Cloud_Mask") == _CLOUD)}, ""
    except HsiError as error:
        return {}, f"The mask of clouds is left out ({str(error).removesuffix('.')})."
