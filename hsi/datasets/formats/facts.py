"""What a file says about itself: its arrays, wavelengths, bad bands, classes, coordinate system.

GDAL also accepts a file name or a web address as a coordinate system, and opens it. `is_crs` keeps that out:
it accepts codes of authorities, WKT and plain PROJ strings only.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
    """Return the one, nameless array of a raster file: 2-D where there is a single band."""
    return ArrayInfo("", (rows, cols) if bands == 1 else (rows, cols, bands), dtype, numeric)


NO_DATA = "no data"
"""The name of the mask of pixels that have no data, whatever they hold."""


@dataclass(frozen=True)
class FileFacts:
    """Metadata of a file; empty where it has none.

    Attributes
    ----------
    wavelengths_nm, fwhm_nm
        Band centres, and full widths at half maximum, in nanometres, one a band of the file, in its order. A
        centre of 0 stands for a band that has none.
    bad_bands
        Bands that the file itself marks as bad, and those without a centre, counted from 0.
    no_data
        Value that marks pixels without data, or None.
    class_names, colors
        Code -> name, "#rrggbb", for a file of labels.
    sensor
        The sensor's name.
    georeference
        ``{"crs": text, "transform": [a, b, c, d, e, f]}``, or None. ``crs`` is ``EPSG:n`` or WKT, "" if not
        known; x = a col + b row + c and y = d col + e row + f, with (0, 0) the outer corner of the first
        pixel.
    acquired
        When the image was taken, ISO 8601 in UTC, "" if not known.
    product
        The identifier of a satellite or airborne product, "" for other files.
    masks
        Name ("cloud", "snow", ...) -> (rows, cols) bool: pixels that the product flags. They have data, but
        for those of the mask `NO_DATA`.
    notes
        One sentence each for metadata that was ignored or guessed.
    """

    wavelengths_nm: tuple[float, ...] = ()
    fwhm_nm: tuple[float, ...] = ()
    bad_bands: tuple[int, ...] = ()
    no_data: float | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, str] = field(default_factory=dict)
    sensor: str = ""
    georeference: dict[str, Any] | None = None
    acquired: str = ""
    product: str = ""
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Count bands without a centre as bad."""
        unplaced = (number for number, centre in enumerate(self.wavelengths_nm) if centre <= 0)
        object.__setattr__(self, "bad_bands", tuple(sorted({*self.bad_bands, *unplaced})))


def make_georeference(crs: str, transform: Sequence[float]) -> dict[str, Any] | None:
    """Return a georeference as in `FileFacts`, or None if it is not finite, out of range or singular."""
    a, b, _, d, e, _ = transform
    sizes = map(abs, transform)
    if not all(math.isfinite(size) and size < _MAX_COORDINATE for size in sizes) or a * e - b * d == 0:
        return None
    return {"crs": crs, "transform": [float(value) for value in transform]}


_MAX_COORDINATE = 1e12  # metres or degrees
_MAX_CRS_LENGTH = 50_000
_CODE = re.compile(
    r"(?:EPSG|ESRI|OGC|CRS|IGNF|IAU_2015|SR-ORG):{1,2}[A-Za-z0-9]+"
    r"|urn:(?:ogc|x-ogc):def:crs:[A-Za-z]+:[\w.]*:[A-Za-z0-9]+"
    r"|https?://(?:www\.)?opengis\.net/def/crs/[A-Za-z]+/[\w.]+/[A-Za-z0-9]+",
    re.IGNORECASE,
)
_WKT = re.compile(
    r"\s*(?:GEOGCS|PROJCS|GEOCCS|LOCAL_CS|VERT_CS|COMPD_CS|GEOGCRS|GEODCRS|GEODETICCRS|GEOGRAPHICCRS|PROJCRS"
    r"|PROJECTEDCRS|COMPOUNDCRS|ENGCRS|ENGINEERINGCRS|BOUNDCRS|DERIVEDPROJCRS)\s*[\[(]",
    re.IGNORECASE,
)
_PROJ = re.compile(r"(?:\s*\+(?!init|nadgrids|geoidgrids|grids|file)[A-Za-z_0-9]+(?:=[\w.,+-]*)?)+\s*")


def is_crs(text: str) -> bool:
    """Whether a text is a code (``EPSG:32616``, OGC's URN or URL), WKT, or a PROJ string without files."""
    if len(text) > _MAX_CRS_LENGTH:
        return False
    return bool(_CODE.fullmatch(text.strip()) or _WKT.match(text) or _PROJ.fullmatch(text))


_UNITS = {
    "nm": 1.0, "nms": 1.0, "nanom": 1.0, "nanometer": 1.0, "nanometre": 1.0,
    "um": 1e3, "μm": 1e3, "âμm": 1e3, "\ufffdm": 1e3, "mum": 1e3, "mkm": 1e3, "mic": 1e3, "micron": 1e3,
    "micrometer": 1e3, "micrometre": 1e3, "micro meter": 1e3, "micro-meter": 1e3, "micrometro": 1e3,
    "mm": 1e6, "millimeter": 1e6, "millimetre": 1e6, "cm": 1e7, "centimeter": 1e7, "centimetre": 1e7,
    "m": 1e9, "meter": 1e9, "metre": 1e9, "å": 0.1, "a": 0.1, "angstrom": 0.1, "ångström": 0.1,
}  # fmt: skip
_NO_UNIT = {"", "unknown", "none", "null", "n/a", "na", "undefined", "-", "?", "index"}
# Ranges and factors where no unit is given: optical sensors, visible to thermal infrared.
_GUESSES = (("micrometres", 1e3, 0.2, 20.0), ("nanometres", 1.0, 200.0, 20_000.0))
_LONGEST_NM = 100_000.0  # 0.1 mm, beyond any optical sensor
_LONGEST_NAME = 200  # characters of the name of a band that are looked at


def unit_in_nanometres(unit: str) -> float | None:
    """Return the nanometres in a unit of length ("um", "Nanometers", "[µm]"), None if it is no such unit."""
    word = _plain_unit(unit)
    return _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))


def _plain_unit(unit: str) -> str:
    # NFKC makes the Greek letter of the micro sign. Some headers end the unit with a full stop.
    plain = unicodedata.normalize("NFKC", unit).strip(" \t\r\n.,;:()[]{}<>\"'").casefold()
    return plain.removeprefix("in ")


def to_nanometres(
    centres: Sequence[float], unit: str, *, check_unit: bool = False
) -> tuple[tuple[float, ...], str]:
    """Return band centres in nanometres, and a note ("" if everything is clear).

    A centre that is zero, negative or no number becomes 0, which `FileFacts` counts as a bad band: headers
    have it for bands that were not acquired. If that is half of the bands or more, there are no wavelengths.

    Parameters
    ----------
    centres
        One a band, in `unit`.
    unit
        As in ENVI headers and raster tags, any letter case. Where it is missing, or puts all bands beyond 0.1
        mm, values from 0.2 to 20 are taken as micrometres and from 200 to 20,000 as nanometres. Other
        quantities (frequency, wave number), plain counters and ambiguous values give no wavelengths.
    check_unit
        Whether 0.4 to 2.5 in nanometres is also doubted. No width of a band may be among the values then.
    """
    if not centres:
        return (), ""
    placed = [math.isfinite(centre) and centre > 0 for centre in centres]
    missing = [number for number, known in enumerate(placed) if not known]
    if 2 * len(missing) >= len(centres):
        return (), "The file's wavelengths are not all positive numbers; they are left out."
    factor, note = _factor(
        [centre for centre in centres if math.isfinite(centre) and centre > 0], unit, check_unit
    )
    if factor == 0:
        return (), note
    if missing:
        bands = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
        note = (
            f"The file gives no wavelength that can be for band{'s' * (len(missing) > 1)} {bands} (counted "
            f"from 0), which count{'s' * (len(missing) == 1)} as bad"
            + (f"; {note[0].lower()}{note[1:]}" if note else ".")
        )
    return tuple(
        float(centre) * factor if known else 0.0 for centre, known in zip(centres, placed, strict=True)
    ), note


def _factor(centres: Sequence[float], unit: str, check: bool) -> tuple[float, str]:
    """Return nanometres a unit, 0 if it cannot be told, and a note."""
    factor, word = unit_in_nanometres(unit), _plain_unit(unit)
    smallest, largest = min(centres), max(centres)
    if factor is not None and not _is_wrong(centres, factor, check):
        return factor, ""
    no_wavelength = f"The file gives its bands in '{unit[:40]}', which is no wavelength; it is left out."
    if factor is None and word not in _NO_UNIT:
        return 0.0, no_wavelength
    for name, guess, low, high in _GUESSES:
        if low <= smallest and largest <= high and not (guess > 1 and _is_counter(centres)):
            what = "gives no unit of its wavelengths"
            if factor is not None:
                what = f"gives wavelengths of {smallest:g} to {largest:g} in '{unit[:40]}', which cannot be"
            return guess, f"The file {what}; by their size they are taken for {name}."
    if word == "index":
        return 0.0, no_wavelength
    return 0.0, "The file gives no unit of its wavelengths, and none can be told; they are left out."


def _is_wrong(centres: Sequence[float], factor: float, check: bool) -> bool:
    """Whether a unit is that of other values: 400 to 2,500 micrometres, or 0.4 to 2.5 nanometres."""
    smallest, largest = min(centres), max(centres)
    small = check and factor <= 1 and smallest >= 0.3 and largest <= 20
    return smallest * factor > _LONGEST_NM or small


def _is_counter(values: Sequence[float]) -> bool:
    """Whether values are 1, 2, 3, ...: whole numbers one apart."""
    return all(value == values[0] + number for number, value in enumerate(values)) and values[0] % 1 == 0


_NUMBER = r"\d+(?:[.,]\d+)?(?:e[+-]?\d+)?"
_WITH_UNIT = re.compile(
    rf"(?:(?P<low>{_NUMBER})\s*(?:-|–|to)\s*)?(?<![\d.,])(?P<centre>{_NUMBER})[\s._\[(]*"
    r"(?P<unit>nm|nanomet(?:er|re)s?|[uμ]m|micromet(?:er|re)s?|microns?)(?![a-z])",
    re.IGNORECASE,
)
_ANY_NUMBER = re.compile(r"(?<![\d.,])\d+(?:\.\d+)?(?![\d.,]*\d)")
_AT_THE_END = re.compile(r"[\[(]\s*(\d+(?:\.\d+)?)\s*[\])]\s*$")
_BAND_WORD = re.compile(r"\b(?:b|bands?|bd|ch|channels?|layers?|components?|pc|mnf|ic)[\s._-]*\d", re.I)


def centres_from_names(names: Sequence[str]) -> tuple[tuple[float, ...], str]:
    """Return the band centres in nanometres that stand in the names of bands, and a note; else nothing.

    Each name has to give one. Read are numbers with a unit ("b1_450nm", "Band 12: 0.705 um", "0.45-0.52 µm",
    of which the middle is taken), a number in brackets at the end ("band 1 (400)"), the number after a
    band's number ("b1_450"), and the only number in a name ("450.3", "w450"). Without a unit the numbers
    have to be plausible as nanometres or micrometres and to run in one direction; counters ("Band 1",
    "Band 2"), years and whatever else is ambiguous give nothing.
    """
    if not names:
        return (), ""
    plain = [unicodedata.normalize("NFKC", str(name)[:_LONGEST_NAME]).strip() for name in names]
    found = _centres_with_unit(plain) or _centres_without_unit(plain)
    if not found:
        return (), ""
    first = names[0].strip()[:60]
    return found, (
        f"The wavelengths are taken from the names of the bands ('{first}' is {found[0]:g} nm, the last "
        f"{found[-1]:g} nm)."
    )


def _centres_with_unit(names: Sequence[str]) -> tuple[float, ...]:
    centres = []
    matches = [_WITH_UNIT.search(name) for name in names]
    found = [match for match in matches if match is not None]
    if len(found) < len(names):
        return ()
    for match in found:
        factor = unit_in_nanometres(match["unit"])
        assert factor is not None, "the units of the expression are among those that are known"
        low, centre = (float((match[name] or "nan").replace(",", ".")) for name in ("low", "centre"))
        # "b1-450nm" is no range.
        centres.append(factor * ((low + centre) / 2 if centre / 2 < low < centre else centre))
    fine = all(_GUESSES[1][2] / 2 <= centre <= _LONGEST_NM for centre in centres)
    return tuple(centres) if fine else ()


def _centres_without_unit(names: Sequence[str]) -> tuple[float, ...]:
    if len(names) < 2:
        return ()
    at_the_end = [_AT_THE_END.search(name) for name in names]
    ended = [match[1] for match in at_the_end if match is not None]
    numbers = [_ANY_NUMBER.findall(name) for name in names]
    if len(ended) == len(names):
        return _plausible(ended, counters=True)
    if all(len(one) == 2 for one in numbers):
        counters = [float(one[0]) for one in numbers]
        rising = all(first <= second for first, second in itertools.pairwise(counters))
        if rising and all(counter % 1 == 0 for counter in counters):
            return _plausible([one[1] for one in numbers], counters=True)
        return ()
    if all(len(one) == 1 for one in numbers):
        return _plausible([one[0] for one in numbers], any(_BAND_WORD.search(name) for name in names))
    return ()


def _plausible(texts: Sequence[str], counters: bool) -> tuple[float, ...]:
    """Return numbers as nanometres if they can be nothing but wavelengths.

    With `counters`, they may also be the numbers of bands, as in "band 450".
    """
    values = np.array([float(text) for text in texts])
    steps = np.diff(values)
    whole = bool((values % 1 == 0).all())
    one_way = max((steps > 0).mean(), (steps < 0).mean())
    if one_way < 0.7:
        return ()
    if values.min() >= 0.3 and values.max() <= 15 and sum("." in text for text in texts) > len(texts) / 2:
        return tuple(float(value) * 1e3 for value in values) if not whole else ()
    if not (values.min() >= 300 and values.max() <= 15_000):
        return ()
    if whole and values.min() >= 1950 and values.max() <= 2100:  # years
        return ()
    if whole and (np.abs(steps) == 1).mean() > 0.5 and (counters or values.max() < 1.5 * values.min()):
        return ()
    return tuple(values.tolist())


# Names, without what is no letter, of arrays that hold wavelengths; the first ones are preferred.
_VECTOR_NAMES = (
    re.compile(r"wavelengths?(nm|um|nanomet(er|re)s?|micro(n|met(er|re))s?)?"),
    re.compile(r".*wavelen(gth|ght)s?.*"),
    re.compile(r"(band|channel|spectral)?(cent(er|re)s?|c?wls?|wvls?|waves?|lam[bd]*das?|lam|nm|um)(nm|um)?"),
    re.compile(r"(bands?|channels?)(nm|um|lambdas?)|spectral(axis|bands?|coordinates?)|wn[lm]?"),
)
_NO_CENTRES = re.compile(
    r"fwhm|width|error|sigma|std|start|min|max|lower|upper|count|num|index|unit|offset|shift"
)
_UNIT_IN_NAME = re.compile(r"(?:[\W_]|(?<=[a-z]))(nm|um|nanomet(?:er|re)s?|micro(?:n|met(?:er|re))s?)\W*$")


def centres_from_vectors(
    vectors: Mapping[str, Sequence[float] | NDArray[Any]], bands: int
) -> tuple[tuple[float, ...], str]:
    """Return the band centres in nanometres that one of several named arrays holds, and a note; else nothing.

    Parameters
    ----------
    vectors
        Name ("wavelength", "hsi.info.wl", "metadata/band_centers_nm") -> values, those of a .mat or HDF5
        file.
    bands
        Bands of the cube; an array of another length is passed over.
    """
    found: list[tuple[int, str]] = []
    for name, values in vectors.items():
        last = re.sub(r"[^a-z]", "", re.split(r"[./\\]", name.casefold().rstrip(" .)]"))[-1])
        rank = next((at for at, known in enumerate(_VECTOR_NAMES) if known.fullmatch(last)), None)
        if rank is not None and np.size(values) == bands and not _NO_CENTRES.search(last):
            found.append((rank, name))
    for _, name in sorted(found):
        try:
            values = np.asarray(vectors[name], dtype=np.float64).ravel()
        except (TypeError, ValueError):
            continue
        unit = _UNIT_IN_NAME.search(name.casefold())
        centres, _ = to_nanometres(values.tolist(), unit[1] if unit else "", check_unit=True)
        known = [centre for centre in centres if centre > 0]
        if known and min(known) >= 100 and max(known) <= _LONGEST_NM:
            return centres, (
                f"The wavelengths are taken from '{name[:80]}' in the file, {min(known):g} to {max(known):g} "
                "nm."
            )
    return (), ""
