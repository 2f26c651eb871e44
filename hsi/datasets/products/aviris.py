"""AVIRIS Classic, AVIRIS-NG, AVIRIS-3 and AVIRIS-5 as ENVI images, on a map grid or on that of the sensor.

A cube in the geometry of its sensor is put on the map grid by the lookup table beside it (``*_glt``). Source:
the distribution documents of the products, and the readers of HyTools.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.datasets.cube import Cube
from hsi.datasets.formats.envi import envi_facts, envi_files, read_envi
from hsi.datasets.formats.envi_header import read_header
from hsi.datasets.formats.facts import FileFacts
from hsi.datasets.formats.recognise import recognise
from hsi.datasets.products.lookup_table import LookupCube
from hsi.datasets.products.product import Product, ScaledCube, files_in, find_dead_bands, the_only
from hsi.datasets.products.xml_metadata import iso_time
from hsi.errors import FileFormatError, HsiError
from hsi.io.size_limits import check_length

# The flight line, with the number of its part: f130411t01p00r11rdn_e_sc01, AV320230601t103000_003.
_LINES = (
    (re.compile(r"(ang(\d{8}t\d{6}))(.*)", re.I), "AVIRIS-NG"),
    (re.compile(r"(av3(\d{8}t\d{6})(?:_\d{3}(?=[_.]))?)(.*)", re.I), "AVIRIS-3"),
    (re.compile(r"(av5(\d{8}t\d{6})(?:_\d{3}(?=[_.]))?)(.*)", re.I), "AVIRIS-5"),
    (re.compile(r"(f(\d{6})t\d{2}p\d{2}r\d{2})(.*)", re.I), "AVIRIS"),
)
_REFLECTANCE, _RADIANCE = {"rfl", "refl", "corr", "reflectance"}, {"rdn", "rad", "radiance"}
_BESIDE = {"glt", "igm", "loc", "obs"}
_OTHER = {"unc", "uncert", "h2o", "mask", "bandmask", "atm", "lbl", "state", "ql", "rgb", "gain"}
_DATA_SUFFIXES = {"", ".img", ".dat", ".bsq", ".bil", ".bip", ".bin", ".raw"}
_FILL, _CLASSIC_FILL = -9999.0, -50.0
_WATER_VAPOUR = ((1340.0, 1440.0), (1800.0, 1975.0))  # nm, where a product flags no bands
_MOST_GAINS = 1 << 20  # bytes of a file of gains


@dataclass(frozen=True)
class _Name:
    """What the name of a file says."""

    sensor: str
    line: str
    acquired: str
    words: frozenset[str]

    @property
    def part(self) -> str:
        """The part of a line that was cut into scenes, or ""."""
        return next((word for word in self.words if re.fullmatch(r"sc\d+", word)), "")

    @property
    def rank(self) -> int:
        """How good a cube is, 0 the best."""
        return 0 if self.words & _REFLECTANCE else 1 if self.words & _RADIANCE else 2

    def goes_with(self, other: _Name) -> bool:
        """Whether two files are of one flight line, and of one part of it."""
        return self.line == other.line and (self.part == other.part or "" in (self.part, other.part))


def _parse(path: Path) -> _Name | None:
    for pattern, sensor in _LINES:
        found = pattern.fullmatch(path.name)
        if found is not None:
            date = found[2] if sensor != "AVIRIS" else f"20{found[2]}"
            acquired = iso_time(date) or f"{date[:4]}-{date[4:6]}-{date[6:8]}"
            if sensor == "AVIRIS" and date[2] == "9":
                acquired = f"19{acquired[2:]}"
            words = frozenset(re.split(r"[_.\-]+", found[3].lower()))
            return _Name(sensor, found[1].lower(), acquired, words)
    return None


def find_aviris(path: Path) -> Path | None:
    """Return the cube that a path is, that it lies beside, or the best one in that folder; or None.

    Reflectance is better than radiance. The other images of a flight line (water vapour, uncertainty) are
    ENVI images like any other.
    """
    if path.is_dir():
        return _best(files_in(path).values(), path)
    name = _parse(path)
    if name is None or not path.is_file():
        return None
    if name.words & _BESIDE:
        return _best(_beside(path, name), path.parent)
    return _envi_cube(path, name)


def _beside(path: Path, name: _Name) -> dict[Path, _Name]:
    """Return the files of the same flight line in the folder of a file."""
    named = ((one, _parse(one)) for one in files_in(path.parent).values())
    return {one: other for one, other in named if other is not None and other.goes_with(name)}


def _best(paths: Iterable[Path], folder: Path) -> Path | None:
    """Return the cube of reflectance, else that of radiance; FileFormatError where there are several."""
    ranks: dict[Path, int] = {}
    for path in paths:
        name = _parse(path)
        cube = None if name is None else _envi_cube(path, name)
        if name is not None and cube is not None:
            ranks[cube] = name.rank
    best = [path for path, rank in ranks.items() if rank == min(ranks.values())]
    return the_only(best, folder, "AVIRIS")


def _envi_cube(path: Path, name: _Name) -> Path | None:
    """Return the data file of an image of spectra; None for others, such as a class map of the line."""
    data = None if name.words & (_BESIDE | _OTHER) else _envi_data(path)
    if data is None:
        return None
    try:
        header = read_header(envi_files(data)[0])
        spectra = header.layout(data).bands > 1 and (name.rank < 2 or bool(header.text("wavelength")))
    except (HsiError, OSError):
        return None
    return data if spectra else None


def _envi_data(path: Path) -> Path | None:
    """Return the data file of an ENVI image, None for other files."""
    try:
        if path.suffix.lower() in {*_DATA_SUFFIXES, ".hdr"} and recognise(path) == "envi":
            return envi_files(path)[1]
    except (HsiError, OSError):
        pass
    return None


def open_aviris(path: Path, raw: bool) -> Product:
    """Open a product: reflectance as a fraction, or radiance in uW/cm2/sr/nm.

    Parameters
    ----------
    path
        As `find_aviris` returns it.
    raw
        Keep the geometry of the sensor, which has no map coordinates.

    Raises
    ------
    FileFormatError
        When a file is damaged, when cube and lookup table do not fit, and for `raw` where the cube is on a
        map grid already.
    """
    name = _parse(path)
    assert name is not None, "only called for what `find_aviris` returns"
    header, data = envi_files(path)
    base, facts = _three_axes(read_envi(path)), envi_facts(path)
    beside = _beside(path, name)
    gain, gain_files, notes = _gain(base, header, name, beside)
    fill = {_FILL, *([] if facts.no_data is None else [facts.no_data])}
    if gain_files:
        fill.add(_CLASSIC_FILL)
    centres = facts.wavelengths_nm
    order = np.argsort(centres, kind="stable") if centres else np.arange(base.shape[2])
    on_sensor = ScaledCube(base, order=order, gain=gain, fill=sorted(fill))
    place = {int(band): at for at, band in enumerate(order)}
    bad = {place[band] for band in facts.bad_bands}
    if not bad and name.sensor != "AVIRIS":
        bad, note = water_vapour_bands([centres[band] for band in order] if centres else [])
        notes += note
    bad.update(find_dead_bands(on_sensor))
    cube: Cube = on_sensor
    files, georeference = (data, header, *gain_files), facts.georeference
    if georeference is not None and georeference["crs"]:
        if raw:
            raise FileFormatError(f"{path} is on a map grid, and has no sensor geometry; leave out --raw.")
    elif not raw:
        table, place_of_table, table_files, note = _find_table(beside, on_sensor, name)
        files += table_files
        notes += note
        cube, georeference = table or cube, place_of_table or georeference
    return Product(
        cube=cube,
        facts=FileFacts(
            wavelengths_nm=tuple(centres[band] for band in order) if centres else (),
            fwhm_nm=tuple(facts.fwhm_nm[band] for band in order) if facts.fwhm_nm else (),
            bad_bands=tuple(sorted(bad)),
            sensor=name.sensor,
            georeference=georeference,
            acquired=name.acquired,
            product=path.name.removesuffix(path.suffix),
            notes=(*facts.notes, *notes),
        ),
        files=files,
    )


def water_vapour_bands(wavelengths_nm: Sequence[float]) -> tuple[set[int], tuple[str, ...]]:
    """Return the bands of an AVIRIS product that flags none where water vapour absorbs, and a note."""
    bad = {
        band
        for band, centre in enumerate(wavelengths_nm)
        if any(low <= centre <= high for low, high in _WATER_VAPOUR)
    }
    note = (
        "The product flags no bad bands; those at 1340 to 1440 and 1800 to 1975 nm, where water vapour "
        f"absorbs, are taken as bad ({len(bad)} of {len(wavelengths_nm)})."
    )
    return bad, (note,) if bad else ()


def _three_axes(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(*array.shape[:2], -1)


def _find_table(
    beside: dict[Path, _Name], cube: Cube, name: _Name
) -> tuple[LookupCube | None, dict[str, Any] | None, tuple[Path, ...], tuple[str, ...]]:
    """Return the cube on the grid of the lookup table beside it, that grid, the table's files, and notes."""
    error: FileFormatError | None = None
    for path, other in beside.items():
        if "glt" not in other.words or (table_file := _envi_data(path)) != path:
            continue
        table, facts = _three_axes(read_envi(path)), envi_facts(path)
        if table.shape[2] < 2:
            continue
        files = (table_file, envi_files(path)[0])
        if table.shape[:2] == tuple(cube.shape[:2]) and name.words & {"ort", "img"}:
            note = f"The cube names no map grid; that of {path.name}, which has its size, is taken."
            return None, facts.georeference, files, (note,)
        try:
            shown = LookupCube(cube, table[:, :, 0], table[:, :, 1])
        except FileFormatError as refused:
            error = FileFormatError(f"{path} does not fit: {refused}")
            continue
        return shown, facts.georeference, files, ()
    if error is not None:
        raise error
    note = "There is no lookup table (*_glt) beside the cube; it is in the geometry of its sensor."
    places = [path.name for path, other in beside.items() if other.words & {"igm", "loc"} and not path.suffix]
    if places:
        note = f"{note.removesuffix('.')}, whose coordinates are in {places[0]}."
    return None, None, (), (note,)


def _gain(
    cube: NDArray[Any], header: Path, name: _Name, beside: dict[Path, _Name]
) -> tuple[Sequence[float] | float, tuple[Path, ...], tuple[str, ...]]:
    """Return the factors of the counts of a cube of integers, the file that they come from, and notes."""
    if name.words & _RADIANCE:
        unit: tuple[str, ...] = ("The product holds radiance (uW/cm2/sr/nm), not reflectance.",)
    else:
        unit = ()
    if cube.dtype.kind == "f":
        return 1.0, (), unit
    if unit:
        for path in beside:
            if path.suffix.lower() == ".gain":
                gains = _read_gains(path)
                if len(gains) == cube.shape[2]:
                    return [1 / gain for gain in gains], (path,), unit
        return 1.0, (), ("There is no file of gains (*.gain) beside the cube; its values are counts.",)
    scale = next(iter(read_header(header).numbers("reflectance scale factor", [])), 0.0)
    if 0 < scale < np.inf:
        return 1 / scale, (), ()
    return 1.0, (), ("The header gives no 'reflectance scale factor'; values are counts.",)


def _read_gains(path: Path) -> list[float]:
    """Return the first number of each line; none where they are not all positive."""
    check_length(path, _MOST_GAINS)
    lines = [line.split() for line in path.read_text("latin-1").splitlines()]
    try:
        gains = [float(words[0]) for words in lines if words]
    except ValueError:
        return []
    return gains if all(0 < gain < np.inf for gain in gains) else []
