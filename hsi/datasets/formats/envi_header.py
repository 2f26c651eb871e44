"""The text header of ENVI images and spectral libraries, as people and programs write it.

ENVI's own form is ``key = value`` with lists in braces over any number of lines (ENVI Header Files, NV5
Geospatial). Read as well are other spellings of a key (`wavelengths`, `Wavelength_Unit`, `bad bands
multiplier`), lists in square brackets or without commas, comments, quotes, text in Windows-1252, and line
ends of any system.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hsi.errors import FileFormatError
from hsi.io.size_limits import check_length
from hsi.io.text import decode_text

# Other spellings, without blanks, hyphens and underscores, of ENVI's keys.
_ALIASES = {
    alias: key
    for key, aliases in {
        "samples": "sample columns cols ncols nsamples numberofsamples numberofcolumns width",
        "lines": "line rows nrows nlines numberoflines numberofrows height",
        "bands": "nbands numberofbands channels",
        "data type": "datatypes dtype",
        "interleave": "interleaving layout",
        "byte order": "endian endianness",
        "header offset": "headeroffsets skipbytes",
        "file compression": "compression",
        "wavelength": "wavelengths wavelenght wavelenghts wavelengthlist centerwavelength centerwavelengths "
        "centrewavelength centrewavelengths centralwavelength centralwavelengths bandcenters bandcenter "
        "bandcentres bandcentre bandwavelength bandwavelengths lambda wl",
        "wavelength units": "wavelengthunit wavelengthsunit wavelengthsunits wavelenghtunits waveunits "
        "waveunit bandunits unitofwavelength",
        "fwhm": "fwhms bandwidth bandwidths fullwidthhalfmax fullwidthhalfmaximum",
        "bbl": "badbandsmultiplier badbandmultiplier badbandsmultipliers badbandmultipliers badbandslist "
        "badbandlist bbls goodbands goodband goodbandslist goodbandlist bandsgood bbllist",
        "band names": "bandname bandsnames namesofbands",
        "data ignore value": "dataignorevalues dataignore ignorevalue ignorevalues nodata nodatavalue "
        "nodatavalues missingvalue fillvalue",
        "class names": "classname classesnames",
        "class lookup": "classlookups classlookuptable classcolors classcolours",
        "sensor type": "sensor sensorname sensortypes instrument",
        "map info": "mapinformation",
        "projection info": "projectioninformation",
        "coordinate system string": "coordinatesystem coordinatesystemwkt crs wkt projectionwkt srs",
        "acquisition time": "acquisitiondate acquisitiondatetime acquired datetime dateacquired timeacquired "
        "acquisitiontimes",
        "spectra names": "spectranames spectraname spectrumnames",
    }.items()
    for alias in (key.replace(" ", ""), *aliases.split())
}
_KEY = re.compile(r"[A-Za-z][^={}\n]{0,79}")
_KEY_WITH_UNIT = re.compile(r"(.+?)\s*[\[(]\s*([^\])]+?)\s*[\])]")
_MOST_BYTES = 16 << 20  # of a header
_CLOSING = {"{": "}", "[": "]", "(": ")"}

_TYPES = {
    "1": "u1", "2": "i2", "3": "i4", "4": "f4", "5": "f8", "12": "u2", "13": "u4", "14": "i8", "15": "u8",
}  # fmt: skip
_COMPLEX = {"6": "complex64", "9": "complex128"}
_INTERLEAVES = {
    "bsq": "bsq", "bil": "bil", "bip": "bip",
    "bandsequential": "bsq", "bandinterleavedbyline": "bil", "bandinterleavedbypixel": "bip",
}  # fmt: skip
_LITTLE = {"0", "little", "littleendian", "lsf", "lsb", "intel", "hostintel", "i", "l"}
_BIG = {"1", "big", "bigendian", "msf", "msb", "network", "networkieee", "ieee", "m", "b"}


@dataclass(frozen=True)
class Layout:
    """How the values lie in the data file.

    Attributes
    ----------
    rows, cols, bands
        Of the image; of a spectral library, the spectra, their channels, and 1.
    dtype
        With its byte order.
    interleave
        "bsq", "bil" or "bip".
    offset
        Bytes before the first value.
    notes
        One sentence each for what the header leaves open.
    """

    rows: int
    cols: int
    bands: int
    dtype: np.dtype[np.generic]
    interleave: str
    offset: int
    notes: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Bytes of the data file, with the offset."""
        return self.offset + self.rows * self.cols * self.bands * self.dtype.itemsize

    def arrange(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a flat array of all values as a view (rows, cols, bands)."""
        if self.interleave == "bil":
            return values.reshape(self.rows, self.bands, self.cols).transpose(0, 2, 1)
        if self.interleave == "bip":
            return values.reshape(self.rows, self.cols, self.bands)
        return values.reshape(self.bands, self.rows, self.cols).transpose(1, 2, 0)


@dataclass(frozen=True)
class Header:
    """The fields of a header.

    Attributes
    ----------
    path
        The header file.
    fields
        Key in ENVI's spelling, lower case -> value without its braces, lines joined by blanks.
    notes
        One sentence each for what is odd.
    """

    path: Path
    fields: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def text(self, key: str) -> str:
        """Return a value as text, "" where the header has none."""
        return self.fields.get(key, "")

    def words(self, key: str) -> list[str]:
        """Return a list of names: split at commas, without a last empty one."""
        words = [word.strip().strip("\"'") for word in self.text(key).split(",")]
        while words and not words[-1]:
            words.pop()
        return words

    def numbers(self, key: str, notes: list[str]) -> tuple[float, ...]:
        """Return a list of numbers; where one is none, add a note and return nothing."""
        text = self.text(key)
        if ";" in text and re.search(r"\d,\d", text):  # decimal commas
            text = text.replace(",", ".")
        try:
            return tuple(float(word) for word in re.split(r"[,;\s{}\[\]()\"']+", text) if word)
        except ValueError:
            notes.append(f"'{key}' in the ENVI header is not a list of numbers; it is left out.")
            return ()

    @property
    def is_library(self) -> bool:
        """Whether it describes a spectral library, not an image."""
        return "spectral library" in self.text("file type").casefold()

    def layout(self, data: Path | None = None) -> Layout:
        """Return how the values lie in the data file.

        Parameters
        ----------
        data
            The data file, whose suffix (.bil) tells the interleave where the header does not.

        Raises
        ------
        FileFormatError
            When a size, the data type or the interleave is missing or cannot be.
        """
        notes: list[str] = []
        rows, cols, bands = (self._whole(key, 1) for key in ("lines", "samples", "bands"))
        offset = self._whole("header offset", 0)
        notes_of_frames: list[str] = []
        for key in ("major frame offsets", "minor frame offsets"):
            if any(self.numbers(key, notes_of_frames)):
                raise FileFormatError(
                    f"{self.path} gives '{key}', bytes between the lines of the image, which are not read; "
                    "save the image without them."
                )
        dtype = self._dtype()
        if dtype.itemsize > 1:
            dtype = dtype.newbyteorder(self._byte_order(notes))
        interleave = self._interleave(data, bands, notes)
        return Layout(rows, cols, bands, dtype, interleave, offset, tuple(notes))

    def _whole(self, key: str, least: int) -> int:
        text = self.text(key).strip().strip("\"'{}[]() ")
        if not text and key == "header offset":
            return 0
        if not text:
            raise FileFormatError(
                f"{self.path} is an ENVI header without '{key}'; add the line '{key} = ...' with the number."
            )
        match = re.fullmatch(r"\+?(\d{1,15})(?:\.0*)?", text)
        if match is None or int(match[1]) < least:
            raise FileFormatError(
                f"{self.path} gives '{key} = {text[:40]}', which is not a whole number from "
                f"{least} up; correct it."
            )
        return int(match[1])

    def _dtype(self) -> np.dtype[np.generic]:
        word = self.text("data type").strip("\"'{}[]() ").casefold()
        if not word:
            raise FileFormatError(
                f"{self.path} is an ENVI header without 'data type'; add the line 'data type = 4' for "
                "float32, 2 for int16 or 12 for uint16."
            )
        named = {"byte": "u1", "float": "f4", "double": "f8", "int": "i2", "uint": "u2", "long": "i4"}
        name = _TYPES.get(word.removesuffix(".0")) or named.get(word, word)
        complex_name = _COMPLEX.get(word, word if word.startswith("complex") else "")
        if complex_name:
            raise FileFormatError(
                f"{self.path} describes complex numbers (data type {word}, {complex_name[:20]}), which "
                "cannot be classified; save their magnitude or phase as float32."
            )
        if re.fullmatch(r"u?int(8|16|32|64)|float(32|64)|[uif][1248]", name) and name not in ("f1", "f2"):
            return np.dtype(name)
        raise FileFormatError(
            f"{self.path} gives 'data type = {word[:40]}', which is no type of ENVI images; it is 1 for "
            "bytes, 2 for int16, 12 for uint16, 4 for float32."
        )

    def _byte_order(self, notes: list[str]) -> Literal["<", ">"]:
        word = re.sub(r"[\s_()\-\"'{}]+", "", self.text("byte order")).casefold()
        if word in _BIG:
            return ">"
        if not word:
            notes.append(f"{self.path.name} gives no 'byte order'; the values are read as little-endian (0).")
        elif word not in _LITTLE:
            raise FileFormatError(
                f"{self.path} gives 'byte order = {word[:40]}'; it is 0 for little-endian, 1 for big-endian."
            )
        return "<"

    def _interleave(self, data: Path | None, bands: int, notes: list[str]) -> str:
        word = re.sub(r"[\s_\-\"'{}]+", "", self.text("interleave")).casefold()
        if word in _INTERLEAVES:
            return _INTERLEAVES[word]
        if word:
            raise FileFormatError(f"{self.path} gives 'interleave = {word[:40]}'; it is bsq, bil or bip.")
        suffix = "" if data is None else data.suffix.casefold()[1:]
        if suffix in _INTERLEAVES:
            notes.append(f"{self.path.name} gives no 'interleave'; by the data's name it is {suffix}.")
            return suffix
        if bands > 1:
            raise FileFormatError(
                f"{self.path} is an ENVI header without 'interleave'; add the line 'interleave = bsq' "
                "(bil, bip)."
            )
        return "bsq"


def read_header(path: Path) -> Header:
    """Read a header.

    Raises
    ------
    FileFormatError
        When it does not start with ENVI, is no text, or a brace is never closed.
    """
    check_length(path, _MOST_BYTES)
    magic, _, rest = decode_text(path.read_bytes()).lstrip("\ufeff \t\n\f").partition("\n")
    if magic.split()[:1] != ["ENVI"] and magic.strip().casefold() != "envi":
        raise FileFormatError(f"{path} is not an ENVI header that can be read: its first line is not 'ENVI'.")
    return parse_header(path, rest)


def parse_header(path: Path, text: str) -> Header:
    """Return the fields of a header's text, without its first line; `path` is its file, for messages.

    Raises
    ------
    FileFormatError
        When a brace is never closed.
    """
    fields: dict[str, str] = {}
    notes: list[str] = []
    as_in_envi = set()
    for key, value in _pairs(path, text):
        plain, unit = _canonical(key)
        if unit:
            fields.setdefault("wavelength units", unit)
        if plain == " ".join(key.casefold().split()):
            as_in_envi.add(plain)
        elif plain in as_in_envi:  # as "sensor" beside "sensor type"
            continue
        if plain in fields and fields[plain] != value:
            notes.append(f"{path.name} gives '{plain}' more than once; the last one is taken.")
        fields[plain] = value
    return Header(path, fields, tuple(dict.fromkeys(notes)))


def _canonical(key: str) -> tuple[str, str]:
    """Return a key in ENVI's spelling, and the unit in "wavelength (nm)"."""
    plain = " ".join(key.casefold().replace("_", " ").split()).strip("\"'")
    unit = ""
    if with_unit := _KEY_WITH_UNIT.fullmatch(plain):
        name = _ALIASES.get(re.sub(r"[\s_-]+", "", with_unit[1]), "")
        if name == "wavelength":
            plain, unit = name, with_unit[2]
    return _ALIASES.get(re.sub(r"[\s_-]+", "", plain), plain), unit


def _pairs(path: Path, text: str) -> list[tuple[str, str]]:
    """Return keys and values, in order of the file."""
    lines = [line.strip() for line in text.split("\n")]
    pairs: list[tuple[str, list[str]]] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        key, equals, value = line.partition("=")
        if not line or line.startswith((";", "#")):
            continue
        if not equals or not _KEY.fullmatch(key.strip()):
            # A list that is written without braces over several lines.
            if pairs and pairs[-1][1][-1].endswith(","):
                pairs[-1][1].append(line)
            continue
        key, value = key.strip(), value.strip()
        if not value and at < len(lines) and lines[at].startswith("{"):  # the brace on the next line
            value = lines[at]
            at += 1
        if value[:1] == "{" or (value[:1] in _CLOSING and re.match(r"[\[(][\s\"'\d.+{-]|[\[(]$", value)):
            value, at = _enclosed(path, key, value, lines, at)
        else:
            value = re.split(r"\s;", value)[0].strip()
        pairs.append((key, [value]))
    return [(key, " ".join(parts)) for key, parts in pairs]


def _enclosed(path: Path, key: str, value: str, lines: list[str], at: int) -> tuple[str, int]:
    """Return the text in the brackets that open at the start of `value`, and the next line's number."""
    opening, closing = value[0], _CLOSING[value[0]]
    parts = [value[1:]]
    depth = 1 + value[1:].count(opening) - value.count(closing)
    ends = at if closing in value else -1  # the first line with a closing bracket, where nothing balances
    last = at
    while depth > 0 and last < len(lines):
        line = lines[last]
        # Where nothing balances, each line is looked at only once.
        if ends >= 0 and "=" in line and _KEY.fullmatch(line.partition("=")[0].strip()):
            break
        last += 1
        if line.startswith(";"):
            parts.append("")
            continue
        parts.append(line)
        depth += line.count(opening) - line.count(closing)
        if ends < 0 and closing in line:
            ends = last
    if depth > 0:
        if ends < 0:
            raise FileFormatError(
                f"{path} is not an ENVI header that can be read: the '{opening}' of '{key[:40]}' is "
                "never closed."
            )
        parts, last = parts[: ends - at + 1], ends
    text = " ".join(part for part in parts if part)
    return text[: text.rfind(closing)].strip(), last
